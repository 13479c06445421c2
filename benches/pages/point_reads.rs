//! Point reads of ten-column rows, uniformly over a table that is in memory; then the same after a fifth of the rows was
//! updated at random.
//!
//! `cargo bench -p pageserver --bench point_reads`; rows: POINT_READS_ROWS (default 10000000). Prints reads per second of
//! CPU time of the reading thread, and how many layers a read touched.

#[path = "support/rows.rs"]
mod rows;
mod support;

use common::service::page::GetRequest;
use rows::row;
use std::time::{Duration, Instant};
use support::{Pages, Random, key, number_from, thread_cpu};

const READS: u64 = 1_000_000;
const KEYS_PER_MULTI_GET: u64 = 100;
const ROUNDS: usize = 3;

fn main() {
    let count = number_from("POINT_READS_ROWS", 10_000_000);
    let pages = Pages::start(Default::default());
    let begun = Instant::now();
    pages.load((0..count).map(|number| (key(&[number as i64]), row(number, 0))));
    pages.flush();
    pages.compact();
    let status = pages.status();
    println!(
        "loaded {count} rows in {:.1} s: {} layers, {} MB",
        begun.elapsed().as_secs_f64(),
        status.layers,
        status.layer_bytes >> 20
    );
    // Once over all, so that every block is in memory.
    warm(&pages, count);
    println!("cache: {} MB", pages.status().cache_memory_bytes >> 20);
    measure(&pages, count, 0);

    let mut random = Random(7);
    let updates = (0..count / 5).map(|_| random.below(count)).map(|number| (key(&[number as i64]), row(number, 1)));
    pages.load(updates);
    println!("after a random update of a fifth of the rows, as it is: {}", shape(&pages));
    warm(&pages, count);
    measure(&pages, count, 1);
    pages.flush();
    pages.compact();
    println!("after flush and compaction: {}", shape(&pages));
    warm(&pages, count);
    measure(&pages, count, 1);
}

fn shape(pages: &Pages) -> String {
    let status = pages.status();
    format!("{} layers, {} MB, memtables {} MB", status.layers, status.layer_bytes >> 20, status.memtable_bytes >> 20)
}

fn warm(pages: &Pages, count: u64) {
    let service = pages.server.service();
    let lsn = pages.log.newest();
    for first in (0..count).step_by(10_000) {
        let keys = (first..(first + 10_000).min(count)).step_by(25).map(|number| key(&[number as i64])).collect();
        pages.runtime.block_on(service.get(GetRequest { lsn, keys })).expect("get");
    }
}

fn measure(pages: &Pages, count: u64, salt: u64) {
    for round in 0..ROUNDS {
        let touched = layers_touched(pages);
        let (single, checked) = read(pages, count, 1, salt);
        let (multi, _) = read(pages, count, KEYS_PER_MULTI_GET, salt);
        println!(
            "  round {round}: one key a get {single:>9.0} reads/s of CPU, {KEYS_PER_MULTI_GET} keys a get {multi:>9.0}; \
             {checked} rows checked; layers touched {}",
            distribution(&touched, &layers_touched(pages))
        );
    }
}

/// Reads per second of CPU time; keys are made beforehand.
fn read(pages: &Pages, count: u64, keys_per_get: u64, salt: u64) -> (f64, u64) {
    let service = pages.server.service();
    let lsn = pages.log.newest();
    let mut random = Random(keys_per_get);
    let (mut spent, mut checked) = (Duration::ZERO, 0);
    const REQUESTS: u64 = 10_000;
    for _ in 0..READS / REQUESTS {
        let numbers: Vec<u64> = (0..REQUESTS).map(|_| random.below(count)).collect();
        let requests: Vec<GetRequest> = numbers
            .chunks(keys_per_get as usize)
            .map(|numbers| GetRequest { lsn, keys: numbers.iter().map(|number| key(&[*number as i64])).collect() })
            .collect();
        let mut answers = Vec::with_capacity(requests.len());
        let before = thread_cpu();
        pages.runtime.block_on(async {
            for request in requests {
                answers.push(service.get(request).await);
            }
        });
        spent += thread_cpu() - before;
        let found = answers.into_iter().flat_map(|answer| answer.expect("get"));
        for (number, found) in numbers.iter().zip(found) {
            let found = found.expect("every row is there").row;
            assert!(found == row(*number, 0) || found == row(*number, salt), "a wrong row");
            checked += 1;
        }
    }
    (READS as f64 / spent.as_secs_f64(), checked)
}

/// Cumulative counts of the histogram of layers touched per read.
fn layers_touched(pages: &Pages) -> Vec<(f64, u64)> {
    let families = pages.server.metrics().gather();
    let family = families.iter().find(|family| family.name() == "pageserver_layers_touched").expect("metric");
    let histogram = family.get_metric()[0].get_histogram();
    let mut counts: Vec<(f64, u64)> =
        histogram.get_bucket().iter().map(|bucket| (bucket.upper_bound(), bucket.cumulative_count())).collect();
    counts.push((f64::INFINITY, histogram.get_sample_count()));
    counts
}

fn distribution(before: &[(f64, u64)], after: &[(f64, u64)]) -> String {
    let all = after.last().map_or(0, |all| all.1) - before.last().map_or(0, |all| all.1);
    let mut text = Vec::new();
    let mut below = 0;
    for ((bound, before), (_, after)) in before.iter().zip(after) {
        let count = after - before;
        if count > below {
            text.push(format!("{bound}: {:.3} %", (count - below) as f64 * 100.0 / all as f64));
        }
        below = count;
    }
    text.join(", ")
}
