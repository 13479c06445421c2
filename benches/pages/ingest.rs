//! Ingest of rows of about 200 bytes through the log form, in random key order, onto a directory: does the rate stay, what
//! memory and which requests does it take, and what does it leave on the store once compaction is idle?
//!
//! `cargo bench -p pageserver --bench ingest`; gigabytes of keys and rows: INGEST_GB (default 0.1); where the objects go:
//! INGEST_DIR (default: a temporary directory, removed afterwards); megabytes a second that are offered:
//! INGEST_MB_PER_SECOND (default: as fast as the page server lets its one session write).

mod support;

use bytes::Bytes;
use common::env::file_store::FileStore;
use common::env::metered_store::MeteredStore;
use common::id::ColumnId;
use common::key::Key;
use common::physical::PhysicalValue;
use common::service::page::GetRequest;
use common::service::wal::pressure_delay;
use expr::row_encoding::RowWriter;
use pageserver::layer::writer::{LayerWriter, WriterOptions};
use pageserver::layer::{Compression, Version};
use pageserver::{CacheConfig, Config, PageServer};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::log::{LogHandle, MemoryLog};
use support::{key, number_from, process_cpu};

const ROWS_PER_COMMIT: u64 = 500;
/// Transactions between two looks at how far the page server is: the log holds at most so many of them in memory.
const COMMITS_PER_WAIT: u64 = 200;
const TENTHS: u64 = 10;
/// Neighbouring rows that are encoded by themselves, for what the data takes at least.
const SAMPLE_ROWS: u64 = 200_000;

fn main() {
    let gigabytes: f64 = number_from("INGEST_GB", 0.1);
    let row_bytes = (row(12_345).len() + row_key(12_345).len()) as u64;
    let rows = ((gigabytes * 1e9) as u64 / row_bytes).max(TENTHS * ROWS_PER_COMMIT);
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let directory = std::env::var("INGEST_DIR").map_or_else(|_| temporary.path().to_owned(), Into::into);
    std::fs::create_dir_all(&directory).expect("a directory for objects");
    let store = Arc::new(MeteredStore::new(Arc::new(FileStore::new(&directory).expect("a store"))));
    let config = Config {
        cache: CacheConfig { memory_bytes: 64 << 20, disk: None },
        read_wait_max: Duration::from_secs(3600),
        delete_after: Duration::from_secs(2),
        compaction_interval: Duration::from_secs(1),
        ..Config::default()
    };
    println!(
        "{rows} rows of {row_bytes} bytes with their keys, {:.2} GB; memtables up to {} MiB, {} compactions at a time",
        (rows * row_bytes) as f64 / 1e9,
        config.memtables_bytes_max >> 20,
        config.compaction_workers
    );
    let runtime = tokio::runtime::Runtime::new().expect("runtime");
    let log = MemoryLog::new(1_000);
    let wal = Arc::new(LogHandle(log.clone()));
    let server = runtime.block_on(pageserver::start(config, wal, store)).expect("start a page server");

    let begun = (Instant::now(), process_cpu());
    let offered: f64 = number_from("INGEST_MB_PER_SECOND", f64::INFINITY);
    let pace = Pace { begun: Instant::now(), bytes_per_second: offered * 1e6, row_bytes };
    let mut load = Load { rows, pace, done: 0, delayed: Duration::ZERO, log: &log, server: &server, runtime: &runtime };
    let mut rates = Vec::new();
    for tenth in 1..=TENTHS {
        let (started, cpu, delayed) = (Instant::now(), process_cpu(), load.delayed);
        let bytes = load.up_to(rows * tenth / TENTHS) * row_bytes;
        let (wall, cpu) = (started.elapsed().as_secs_f64(), (process_cpu() - cpu).as_secs_f64());
        let megabytes = bytes as f64 / 1e6;
        rates.push(megabytes / wall);
        println!(
            "tenth {tenth:>2}: {:>6.1} MB/s of wall time, {:>6.1} MB/s of CPU time; commits waited {:.0} % of the time; memory {} MB; debt {} MB, {} runs to look into",
            megabytes / wall,
            megabytes / cpu,
            (load.delayed - delayed).as_secs_f64() * 100.0 / wall,
            memory_kb("VmRSS") / 1000,
            gauge(&server, "pageserver_compaction_debt_bytes") / 1_000_000,
            gauge(&server, "pageserver_read_amplification"),
        );
    }
    let slowest = rates[1..].iter().copied().fold(f64::INFINITY, f64::min);
    let fastest = rates[1..].iter().copied().fold(0.0, f64::max);
    println!("second to last tenth: slowest at {:.0} % of the fastest", slowest * 100.0 / fastest);
    runtime.block_on(server.flush()).expect("flush");
    log.trim();
    runtime.block_on(server.compact()).expect("compact");
    let elapsed = (begun.0.elapsed().as_secs_f64(), (process_cpu() - begun.1).as_secs_f64());
    println!(
        "compaction idle after {:.1} s, {:.1} s of CPU; memory at most {} MB",
        elapsed.0,
        elapsed.1,
        memory_kb("VmHWM") / 1000
    );
    let gb = (rows * row_bytes) as f64 / 1e9;
    report_requests(gb);
    // What compaction has replaced goes a little later.
    while space(&directory) > gauge(&server, "pageserver_layer_bytes") * 21 / 20 {
        std::thread::sleep(Duration::from_millis(500));
    }
    let (space, live) = (space(&directory), compressed_bytes(rows));
    println!(
        "space: {} MB on the store, {} MB of live data in one sorted run: {:.2} times; {:.1} % of the rows' bytes",
        space / 1_000_000,
        live / 1_000_000,
        space as f64 / live as f64,
        space as f64 * 100.0 / (rows * row_bytes) as f64
    );
    check(&runtime, &server, &log, rows);
    runtime.block_on(server.shutdown()).expect("shutdown");
}

/// A session that has something to write so often and no more.
struct Pace {
    begun: Instant,
    bytes_per_second: f64,
    row_bytes: u64,
}

impl Pace {
    /// Waits until it is time for the rows after `done`.
    fn keep(&self, done: u64) {
        let due = Duration::from_secs_f64((done * self.row_bytes) as f64 / self.bytes_per_second);
        std::thread::sleep(due.saturating_sub(self.begun.elapsed()));
    }
}

struct Load<'a> {
    rows: u64,
    pace: Pace,
    done: u64,
    /// What commits waited under pressure.
    delayed: Duration,
    log: &'a Arc<MemoryLog>,
    server: &'a PageServer,
    runtime: &'a tokio::runtime::Runtime,
}

impl Load<'_> {
    /// Returns how many rows that were.
    fn up_to(&mut self, end: u64) -> u64 {
        let first = self.done;
        for commit in 1u64.. {
            let numbers = self.done..(self.done + ROWS_PER_COMMIT).min(end);
            if numbers.is_empty() {
                break;
            }
            self.pace.keep(self.done);
            self.done = numbers.end;
            let numbers = numbers.map(|number| scattered(number, self.rows));
            let mut changes: Vec<_> = numbers.map(|number| (row_key(number), Some(row(number)))).collect();
            changes.sort_by(|a, b| a.0.cmp(&b.0));
            // As the log has a session do.
            let bytes = changes.iter().map(|(key, row)| (key.len() + row.as_ref().map_or(0, Bytes::len)) as u64).sum();
            let delay = pressure_delay(self.log.pressure(), bytes);
            self.delayed += delay;
            if !delay.is_zero() {
                std::thread::sleep(delay);
            }
            let lsn = self.log.commit(changes, vec![]);
            if commit.is_multiple_of(COMMITS_PER_WAIT) || self.done == end {
                let request = GetRequest { lsn, keys: vec![] };
                self.runtime.block_on(self.server.service().get(request)).expect("the log is applied");
                self.log.trim();
            }
        }
        self.done - first
    }
}

/// Each number below `count` comes once, far from the one before.
fn scattered(number: u64, count: u64) -> u64 {
    // A prime larger than any count here has no factor in common with it.
    const STEP: u128 = 1_000_000_000_039;
    (u128::from(number) * STEP % u128::from(count)) as u64
}

fn row_key(number: u64) -> Key {
    key(&[number as i64])
}

/// An order as a shop would have it.
fn row(number: u64) -> Bytes {
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let text = |text: String| PhysicalValue::Bytes(Bytes::from(text));
    let mut row = RowWriter::new();
    row.put(ColumnId(0), PhysicalValue::Int64(number as i64));
    row.put(ColumnId(1), PhysicalValue::Int64((mixed >> 30) as i64 & 0xff_ffff));
    row.put(ColumnId(2), PhysicalValue::Int64(1_700_000_000_000_000 + (number as i64) * 731));
    row.put(ColumnId(3), PhysicalValue::Int64((mixed % 1_000_000) as i64));
    row.put(ColumnId(4), text(["new", "paid", "sent", "returned"][(mixed >> 7) as usize % 4].into()));
    row.put(ColumnId(5), text(format!("customer{:07}@example.com", mixed % 3_000_000)));
    row.put(ColumnId(6), text(format!("{:016x}{:08x}", mixed.rotate_left(17) ^ number, mixed >> 13 & 0xffff_ffff)));
    row.put(
        ColumnId(7),
        text(format!("{} {} street, door {}, leave it with the neighbours", mixed % 300, mixed % 977, mixed % 23)),
    );
    row.put(ColumnId(8), text(format!("item {} of lot {}, {} pieces", mixed % 50_000, mixed % 811, mixed % 12)));
    row.finish()
}

fn memory_kb(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.and_then(|value| value.trim().strip_suffix("kB")?.trim().parse().ok()).unwrap_or(0)
}

fn gauge(server: &PageServer, name: &str) -> u64 {
    let families = server.metrics().gather();
    let family = families.iter().find(|family| family.name() == name).expect("metric");
    family.get_metric()[0].get_gauge().get_value() as u64
}

fn report_requests(gigabytes: f64) {
    let (mut puts, mut dollars) = (0.0, 0.0);
    for family in common::telemetry::registry().gather() {
        for metric in family.get_metric() {
            let label = |name: &str| {
                let label = metric.get_label().iter().find(|label| label.name() == name);
                label.map(|label| label.value().to_owned()).unwrap_or_default()
            };
            let value = metric.get_counter().get_value();
            match family.name() {
                "drumlin_object_store_requests_total" if value > 0.0 => {
                    println!("  {} {}: {value}", label("operation"), label("outcome"));
                    if ["put", "put_if_absent", "multipart"].contains(&label("operation").as_str()) {
                        puts += value;
                    }
                }
                "drumlin_object_store_bytes_total" if value > 0.0 => {
                    println!(
                        "  {}: {:.2} GB, {:.2} times the rows",
                        label("operation"),
                        value / 1e9,
                        value / 1e9 / gigabytes
                    );
                }
                "drumlin_object_store_cost_dollars_total" => dollars += value,
                _ => {}
            }
        }
    }
    println!(
        "{:.0} PUT requests per GB; requests of all kinds cost {:.4} dollars per GB",
        puts / gigabytes,
        dollars / gigabytes
    );
}

fn space(directory: &Path) -> u64 {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => space(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    };
    entries.map(size).sum()
}

/// What all rows would take as one sorted run of layers.
fn compressed_bytes(rows: u64) -> u64 {
    let config = Config::default();
    let options = WriterOptions {
        block_bytes: config.block_bytes,
        block_rows: config.block_rows_max,
        compression: Compression::Zstd { level: 1 },
    };
    let mut writer = LayerWriter::new(options);
    let sample = SAMPLE_ROWS.min(rows);
    let first = (rows - sample) / 2;
    for number in first..first + sample {
        writer.push(Version { key: row_key(number), lsn: common::id::Lsn(1 + number % 1000), row: Some(row(number)) });
    }
    let encoded = writer.finish().expect("rows were pushed").bytes.len() as u64;
    encoded * rows / sample
}

/// Some rows are what they should be.
fn check(runtime: &tokio::runtime::Runtime, server: &PageServer, log: &MemoryLog, rows: u64) {
    let numbers: Vec<u64> = (0..rows).step_by((rows / 1000).max(1) as usize).collect();
    let keys = numbers.iter().map(|number| row_key(*number)).collect();
    let found = runtime.block_on(server.service().get(GetRequest { lsn: log.newest(), keys })).expect("get");
    for (number, found) in numbers.iter().zip(found) {
        assert_eq!(found.expect("every row is there").row, row(*number));
    }
    println!("{} rows checked", numbers.len());
}
