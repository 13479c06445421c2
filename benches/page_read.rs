//! Point reads and scans through the in-process page service, blocks in memory.
//!
//! `cargo bench --bench page_read`; rows: PAGE_READ_ROWS (default 200000), ten columns each.

#[path = "../pageserver/tests/support/log.rs"]
#[allow(dead_code)]
mod log;

use bytes::Bytes;
use common::id::{ColumnId, IndexId, Lsn, TableId};
use common::key::{Key, KeyRange, index_prefix};
use common::physical::{PhysicalType, PhysicalValue};
use common::service::PageService;
use common::service::page::{ColumnBound, Direction, GetRequest, ScanBatch, ScanColumn, ScanOutput, ScanRequest};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use expr::row_encoding::RowWriter;
use futures::StreamExt;
use log::{LogHandle, MemoryLog};
use object_store::memory::InMemory;
use pageserver::{CacheConfig, Config, PageServer};
use std::sync::Arc;
use tokio::runtime::Runtime;

const ROWS_PER_COMMIT: u64 = 1000;

fn key(number: u64) -> Key {
    let mut key = index_prefix(TableId(1), IndexId(0)).to_vec();
    key.push(3);
    key.extend(number.to_be_bytes());
    key.into()
}

/// Five numbers, a date, a price, three strings: about 100 bytes.
fn row(number: u64, salt: u64) -> Bytes {
    let mixed = (number ^ salt).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut row = RowWriter::new();
    row.put(ColumnId(0), PhysicalValue::Int64(number as i64));
    row.put(ColumnId(1), PhysicalValue::Int64((mixed >> 40) as i64));
    row.put(ColumnId(2), PhysicalValue::Int64((mixed % 50) as i64));
    row.put(ColumnId(3), PhysicalValue::UInt64(mixed % 7));
    row.put(ColumnId(4), PhysicalValue::Int64((mixed % 10_000_000) as i64));
    row.put(ColumnId(5), PhysicalValue::Int64((number / 100) as i64));
    row.put(ColumnId(6), PhysicalValue::Float64((mixed % 1000) as f64 / 8.0));
    row.put(ColumnId(7), PhysicalValue::Bytes(Bytes::from(["AIR", "SHIP", "TRUCK"][mixed as usize % 3])));
    row.put(ColumnId(8), PhysicalValue::Bytes(Bytes::from(format!("user{:08x}@example.com", mixed >> 32))));
    row.put(
        ColumnId(9),
        PhysicalValue::Bytes(Bytes::from(format!("some words about item {} and {}", mixed % 997, number))),
    );
    row.finish()
}

fn row_count() -> u64 {
    std::env::var("PAGE_READ_ROWS").ok().and_then(|rows| rows.parse().ok()).unwrap_or(200_000)
}

async fn filled(log: &Arc<MemoryLog>) -> PageServer {
    let config = Config { cache: CacheConfig { memory_bytes: 2 << 30, disk: None }, ..Config::default() };
    let wal = Arc::new(LogHandle(log.clone()));
    let server = pageserver::start(config, wal, Arc::new(InMemory::new())).await.expect("start");
    for first in (0..row_count()).step_by(ROWS_PER_COMMIT as usize) {
        log.commit(
            (first..first + ROWS_PER_COMMIT).map(|number| (key(number), Some(row(number, 0)))).collect(),
            vec![],
        );
    }
    applied(&server, log.newest()).await;
    server.flush().await.expect("flush");
    server.compact().await.expect("compact");
    let status = server.service().status().await.expect("status");
    eprintln!("{} rows, {} layers of {} bytes together", row_count(), status.layers, status.layer_bytes);
    server
}

async fn applied(server: &PageServer, lsn: Lsn) {
    server.service().get(GetRequest { lsn, keys: vec![] }).await.expect("applied");
}

fn scan_request(lsn: Lsn, columns: &[(u16, PhysicalType)], bounds: Vec<ColumnBound>) -> ScanRequest {
    let column = |(column, physical): &(u16, PhysicalType)| ScanColumn {
        column: ColumnId(*column),
        physical: *physical,
        default: PhysicalValue::Null,
    };
    ScanRequest {
        lsn,
        ranges: vec![KeyRange::index(TableId(1), IndexId(0))],
        direction: Direction::Forward,
        limit: None,
        output: ScanOutput::Columns(columns.iter().map(column).collect()),
        bounds,
        batch_rows: 8192,
    }
}

async fn scan(service: &dyn PageService, request: &ScanRequest) -> usize {
    let mut stream = service.scan(request.clone()).await.expect("scan");
    let mut rows = 0;
    while let Some(batch) = stream.next().await {
        rows += match batch.expect("batch") {
            ScanBatch::Rows(rows) => rows.len(),
            ScanBatch::Columns(batch) => batch.num_rows(),
            ScanBatch::Aggregates(_) => 1,
        };
    }
    rows
}

fn benches(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("runtime");
    let log = MemoryLog::new(1_000);
    let server = runtime.block_on(filled(&log));
    let service = server.service();
    let mut state = 1u64;
    let mut next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % row_count()
    };
    let two = [(4, PhysicalType::Int64), (2, PhysicalType::Int64)];
    let text = [(8, PhysicalType::Bytes)];

    let get = |criterion: &mut Criterion, name: &str, keys: usize, next: &mut dyn FnMut() -> u64| {
        let mut group = criterion.benchmark_group("get");
        group.throughput(Throughput::Elements(keys as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let request = GetRequest { lsn: log.newest(), keys: (0..keys).map(|_| key(next())).collect() };
                let found = runtime.block_on(service.get(request)).expect("get");
                assert!(found.iter().all(Option::is_some));
            });
        });
        group.finish();
    };
    get(criterion, "one key", 1, &mut next);
    get(criterion, "100 keys", 100, &mut next);

    let measure = |criterion: &mut Criterion, name: &str, request: ScanRequest| {
        let mut group = criterion.benchmark_group("scan");
        group.throughput(Throughput::Elements(row_count()));
        group.sample_size(20);
        group.bench_function(name, |bencher| bencher.iter(|| runtime.block_on(scan(&*service, &request))));
        group.finish();
    };
    let lsn = log.newest();
    measure(criterion, "two integer columns", scan_request(lsn, &two, vec![]));
    measure(criterion, "a text column", scan_request(lsn, &text, vec![]));
    let narrow =
        ColumnBound { column: ColumnId(5), min: Some(PhysicalValue::Int64(100)), max: Some(PhysicalValue::Int64(110)) };
    measure(criterion, "two columns, bounds that leave few blocks", scan_request(lsn, &two, vec![narrow]));
    let rows = ScanRequest { output: ScanOutput::Rows, ..scan_request(lsn, &two, vec![]) };
    measure(criterion, "whole rows", rows);
    let mut ten = scan_request(lsn, &two, vec![]);
    ten.output = ScanOutput::Rows;
    ten.limit = Some(10);
    ten.ranges = vec![KeyRange { start: key(row_count() / 2), end: key(row_count()) }];
    measure(criterion, "ten rows from the middle", ten);

    // A fifth of the rows has newer versions, in the memtable.
    runtime.block_on(async {
        for _ in 0..row_count() / 5 / 100 {
            let mut numbers: Vec<u64> = (0..100).map(|_| next()).collect();
            numbers.sort_unstable();
            numbers.dedup();
            log.commit(numbers.into_iter().map(|number| (key(number), Some(row(number, 1)))).collect(), vec![]);
        }
        applied(&server, log.newest()).await;
    });
    get(criterion, "one key, a fifth of the rows in the memtable", 1, &mut next);
    measure(criterion, "two columns, a fifth of the rows in the memtable", scan_request(log.newest(), &two, vec![]));
}

criterion_group!(page_read, benches);
criterion_main!(page_read);
