//! Bytes that nobody wrote, given to everything that reads bytes: the targets of `fuzz/`, for a while and from one seed.
//!
//! Each target reads its corpus as it is, then mutations of it. A panic is a find: it is printed with the bytes, which
//! belong into the corpus once it is mended.
//!
//! | variable | meaning |
//! |---|---|
//! | `DRUMLIN_FUZZ_RUNS` | mutations for each target, instead of the few that a default run takes |
//! | `DRUMLIN_FUZZ_TARGET` | only this target |
//! | `DRUMLIN_SEED` | which mutations |
//!
//! `cargo test --test fuzz -- --ignored` writes what the corpus begins with anew, after a format has changed.

#[path = "../harness/mutation.rs"]
mod mutation;
mod seeds;
#[path = "../../fuzz/targets/storage.rs"]
mod storage;

use common::env::random::Random;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

struct Target {
    name: &'static str,
    run: fn(&[u8]),
    /// A few seconds of a debug build, all together.
    mutations: u64,
}

const TARGETS: [Target; 14] = [
    Target { name: "rpc_frame", run: storage::rpc_frame, mutations: 20_000 },
    Target { name: "rpc_batch", run: storage::rpc_batch, mutations: 3_000 },
    Target { name: "log_record", run: storage::log_record, mutations: 20_000 },
    Target { name: "history", run: storage::history, mutations: 20_000 },
    Target { name: "log_archive", run: storage::log_archive, mutations: 20_000 },
    Target { name: "cluster_row", run: storage::cluster_row, mutations: 20_000 },
    Target { name: "manifest", run: storage::manifest, mutations: 20_000 },
    Target { name: "layer_index", run: storage::layer_index, mutations: 5_000 },
    Target { name: "layer_block", run: storage::layer_block, mutations: 2_000 },
    Target { name: "keys", run: storage::keys, mutations: 5_000 },
    Target { name: "stored_row", run: storage::stored_row, mutations: 20_000 },
    Target { name: "packet", run: compute::fuzz::packet, mutations: 20_000 },
    Target { name: "envelope", run: compute::fuzz::envelope, mutations: 5_000 },
    Target { name: "statement", run: compute::fuzz::statement, mutations: 5_000 },
];

/// What takes longer for a few hundred kilobytes would take for ever for more.
const RUN_MAX: Duration = Duration::from_secs(5);

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text}: not a number")))
}

fn folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target)
}

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = folder(target);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "no corpus for {target}");
    files.iter().map(|file| std::fs::read(file).unwrap()).collect()
}

fn run(target: &Target, bytes: &[u8]) {
    let begun = Instant::now();
    let ended = catch_unwind(AssertUnwindSafe(|| (target.run)(bytes)));
    assert!(ended.is_ok(), "target {} with these bytes: {}", target.name, shown(bytes));
    let elapsed = begun.elapsed();
    assert!(elapsed < RUN_MAX, "target {} took {elapsed:?} with these bytes: {}", target.name, shown(bytes));
}

/// Text as text, other bytes in hexadecimal.
fn shown(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => format!("{text:?}"),
        Err(_) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}

#[test]
fn no_bytes_hurt_what_reads_them() {
    let seed = setting("DRUMLIN_SEED").unwrap_or(1);
    let only = std::env::var("DRUMLIN_FUZZ_TARGET").ok();
    for target in TARGETS.iter().filter(|target| only.as_ref().is_none_or(|only| only == target.name)) {
        let begun = Instant::now();
        let corpus = corpus(target.name);
        corpus.iter().for_each(|bytes| run(target, bytes));
        let random = Random::seeded(seed);
        let mutations = setting("DRUMLIN_FUZZ_RUNS").unwrap_or(target.mutations);
        for _ in 0..mutations {
            let base = &corpus[random.below(corpus.len() as u64) as usize];
            let change = match target.name {
                "statement" => [mutation::mutated, mutation::reworded, mutation::revalued][random.below(3) as usize],
                _ => mutation::mutated,
            };
            run(target, &change(base, &corpus, &random));
        }
        println!("{}: {mutations} mutations of {} files in {:?}", target.name, corpus.len(), begun.elapsed());
    }
}

#[test]
#[ignore = "changes the corpus"]
fn the_corpus_is_written() {
    for (target, name, bytes) in seeds::all() {
        assert!(TARGETS.iter().any(|known| known.name == target), "{target}");
        std::fs::create_dir_all(folder(target)).unwrap();
        std::fs::write(folder(target).join(name), bytes).unwrap();
    }
}
