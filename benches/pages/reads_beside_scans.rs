//! Latency of point reads with and without scans beside them.
//!
//! `cargo bench -p pageserver --bench reads_beside_scans`; rows: POINT_READS_ROWS (default 2000000); SCAN_THREADS: threads of
//! the page server for scans (0: on the threads of the point reads). A client outside of the runtime sends one read after
//! the other; as many scans as there are processors run all the time, or none does. The two take turns.

#[path = "support/rows.rs"]
mod rows;
mod support;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use common::key::KeyRange;
use common::physical::PhysicalType;
use common::service::PageService;
use common::service::page::{Direction, GetRequest, ScanBatch, ScanOutput, ScanRequest};
use futures::StreamExt;
use pageserver::Config;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use support::{INDEX, Pages, Random, TABLE, column, key, number_from, quantile};

const ROUNDS: usize = 7;
const ROUND: Duration = Duration::from_secs(3);

fn main() {
    let count = number_from("POINT_READS_ROWS", 2_000_000);
    let scan_threads = number_from("SCAN_THREADS", Config::default().scan_threads);
    let pages = Pages::start(Config { scan_threads, ..Config::default() });
    pages.load((0..count).map(|number| (key(&[number as i64]), rows::row(number, 0))));
    pages.flush();
    pages.compact();
    let scans = std::thread::available_parallelism().map_or(2, usize::from);
    println!("{count} rows; {scan_threads} threads for scans, {scans} scans at a time");
    let mut ratios = Vec::new();
    for round in 0..=ROUNDS {
        let alone = read(&pages, count);
        let rows = Arc::new(AtomicU64::new(0));
        let stop = Arc::new(AtomicBool::new(false));
        let tasks: Vec<_> = (0..scans)
            .map(|_| pages.runtime.spawn(scan(pages.server.service(), request(&pages), rows.clone(), stop.clone())))
            .collect();
        let beside = read(&pages, count);
        stop.store(true, Ordering::Relaxed);
        tasks.into_iter().for_each(|task| pages.runtime.block_on(task).expect("the scan task"));
        if round == 0 {
            // Everything is in memory now.
            continue;
        }
        let ratio = quantile(&beside, 990) as f64 / quantile(&alone, 990) as f64;
        println!(
            "  round {round}: alone {}, beside scans {} ({} million rows scanned); p99 {ratio:.2} times",
            describe(&alone),
            describe(&beside),
            rows.load(Ordering::Relaxed) / 1_000_000
        );
        ratios.push(ratio);
    }
    ratios.sort_by(f64::total_cmp);
    println!("p99 beside scans: {:.2} times that without (median of {ROUNDS} rounds)", ratios[ROUNDS / 2]);
}

fn describe(sorted: &[u64]) -> String {
    let micros = |per_mille| quantile(sorted, per_mille) as f64 / 1e3;
    format!("{} reads, p50 {:.0} us, p99 {:.0} us, p99.9 {:.0} us", sorted.len(), micros(500), micros(990), micros(999))
}

/// Nanoseconds from sending each read to having its answer, sorted.
fn read(pages: &Pages, count: u64) -> Vec<u64> {
    let lsn = pages.log.newest();
    let mut random = Random(3);
    let mut times = Vec::new();
    let begun = Instant::now();
    while begun.elapsed() < ROUND {
        let (service, key) = (pages.server.service(), key(&[random.below(count) as i64]));
        let sent = Instant::now();
        let answer = pages.runtime.spawn(async move { service.get(GetRequest { lsn, keys: vec![key] }).await });
        let answer = futures::executor::block_on(answer).expect("the read task").expect("get");
        times.push(sent.elapsed().as_nanos() as u64);
        assert!(answer[0].is_some(), "every row is there");
    }
    times.sort_unstable();
    times
}

fn request(pages: &Pages) -> ScanRequest {
    ScanRequest {
        lsn: pages.log.newest(),
        ranges: vec![KeyRange::index(TABLE, INDEX)],
        direction: Direction::Forward,
        limit: None,
        output: ScanOutput::Columns(
            [(1, PhysicalType::Int64), (4, PhysicalType::Int64), (8, PhysicalType::Bytes)]
                .map(|(id, physical)| column(id, physical))
                .to_vec(),
        ),
        bounds: Vec::new(),
        batch_rows: 8192,
    }
}

/// Scans again and again until told to stop.
async fn scan(service: Arc<dyn PageService>, request: ScanRequest, rows: Arc<AtomicU64>, stop: Arc<AtomicBool>) {
    let mut sum = 0i64;
    while !stop.load(Ordering::Relaxed) {
        let mut batches = service.scan(request.clone()).await.expect("scan");
        while let Some(batch) = batches.next().await {
            let ScanBatch::Columns(batch) = batch.expect("batch") else { panic!("columns were asked for") };
            let values = batch.column(0).as_primitive::<Int64Type>().values();
            sum = values.iter().fold(sum, |sum, value| sum.wrapping_add(*value));
            rows.fetch_add(batch.num_rows() as u64, Ordering::Relaxed);
            if stop.load(Ordering::Relaxed) {
                break;
            }
        }
    }
    std::hint::black_box(sum);
}
