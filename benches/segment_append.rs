//! Append to the log: one entry at a time and 64 writers that share syncs, beside a bare fdatasync of the same bytes.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;
use wal::metrics::WalMetrics;
use wal::segment::{LogEntry, RealDisk, SegmentLog, SegmentOptions};

const PAYLOAD_BYTES: usize = 200;
const WRITERS: u64 = 64;

fn entry(index: u64) -> LogEntry {
    LogEntry { index, term: 1, last_lsn: index + 1, payload_kind: 1, payload: vec![7; PAYLOAD_BYTES].into() }
}

fn open(directory: &std::path::Path) -> SegmentLog {
    let disk = Arc::new(RealDisk::open(directory).expect("the directory can be used"));
    let options = SegmentOptions { segment_bytes: 64 << 20, cache_bytes_max: 1 << 20 };
    SegmentLog::open(disk, options, Arc::new(WalMetrics::new().expect("metrics"))).expect("an empty log opens")
}

/// The directory has to be on a disk: a temporary file system syncs nothing.
fn temporary() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("temporary directory")
}

fn segment_append(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("segment_append");
    group.sample_size(20).measurement_time(Duration::from_secs(4));

    group.throughput(Throughput::Elements(1));
    group.bench_function("bare fdatasync", |bencher| {
        let directory = temporary();
        let file = std::fs::File::create(directory.path().join("file")).expect("file");
        file.set_len(64 << 20).expect("length");
        let bytes = vec![7; PAYLOAD_BYTES + 56];
        let mut offset = 0;
        bencher.iter(|| {
            file.write_all_at(&bytes, offset).expect("write");
            file.sync_data().expect("sync");
            offset += bytes.len() as u64;
        });
    });

    group.bench_function("1 writer", |bencher| {
        let directory = temporary();
        let log = open(directory.path());
        let mut index = 0;
        bencher.iter(|| {
            let (sender, receiver) = mpsc::channel();
            log.append(vec![entry(index)], Box::new(move |result| sender.send(result).expect("waited for")));
            index += 1;
            receiver.recv().expect("an answer").expect("written");
        });
        log.close();
    });

    group.throughput(Throughput::Elements(WRITERS));
    group.bench_function("64 writers", |bencher| {
        let directory = temporary();
        let log = open(directory.path());
        let mut index = 0;
        bencher.iter(|| {
            let (sender, receiver) = mpsc::channel();
            for _ in 0..WRITERS {
                let sender = sender.clone();
                log.append(vec![entry(index)], Box::new(move |result| sender.send(result).expect("waited for")));
                index += 1;
            }
            for _ in 0..WRITERS {
                receiver.recv().expect("an answer").expect("written");
            }
        });
        log.close();
    });
    group.finish();
}

criterion_group!(benches, segment_append);
criterion_main!(benches);
