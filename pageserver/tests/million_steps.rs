//! A million steps against the reference map: mostly reads of every kind, among commits, flushes, compactions, splits,
//! merges, restarts and crashes.
//!
//! | variable | meaning |
//! |---|---|
//! | `REFERENCE_STEPS` | how many in all; default a million |
//! | `REFERENCE_SEED` | run this one history alone, as a failure names it |

mod support;

use pageserver::Config;
use std::collections::BTreeMap;
use support::faults::FaultyStore;
use support::small_config;
use support::world::{BulkFate, KEYS, Step, World};

/// Steps of one history: a hundred flushes, some dozen compactions, and restarts of every kind.
const HISTORY_STEPS: u64 = 25_000;

/// The generator "splitmix64": a seed is enough to repeat a history.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((bits ^ bits >> 31) % u64::from(limit)) as u32
    }

    fn one_in(&mut self, count: u32) -> bool {
        self.below(count) == 0
    }

    fn keys(&mut self, count_max: u32) -> Vec<u32> {
        (0..1 + self.below(count_max)).map(|_| self.below(KEYS)).collect()
    }

    /// How far back a read looks: mostly not at all, sometimes beyond what is kept.
    fn back(&mut self) -> u64 {
        if self.one_in(3) { self.below(80).into() } else { 0 }
    }

    /// The step with its kind.
    fn step(&mut self) -> (&'static str, Step) {
        match self.below(10_000) {
            0..300 => {
                let changes = self.keys(4).into_iter().map(|key| (key, (!self.one_in(5)).then(|| self.below(10_000))));
                ("commit", Step::Commit(changes.collect()))
            }
            300..306 => ("flush", Step::Flush),
            306..312 => ("compact", Step::Compact),
            312..314 => ("restart", Step::Restart),
            314..316 => ("crash", Step::Crash),
            316..319 => ("crash in flush", Step::CrashInFlush(self.below(16) as u8)),
            319..321 => ("crash in compaction", Step::CrashInCompaction(self.below(8) as u8)),
            321..322 => ("loss of the log", Step::LoseLog(self.below(16) as u8)),
            322..326 => ("split", Step::Split(self.below(KEYS))),
            326..328 => ("merge", Step::Merge(self.below(KEYS))),
            328..334 => {
                let rows = self.keys(30).into_iter().map(|key| (key, self.below(10_000))).collect();
                let others = self.keys(3).into_iter().map(|key| (key, (!self.one_in(3)).then(|| self.below(10_000))));
                let fate = [BulkFate::Commit, BulkFate::Commit, BulkFate::CrashThenCommit, BulkFate::GiveUp];
                let (others, fate) = (others.collect(), fate[self.below(4) as usize]);
                ("bulk commit", Step::Bulk { rows, others, parts: 1 + self.below(3) as usize, fate })
            }
            334..340 => ("branch point", Step::Branch((!self.one_in(3)).then(|| self.below(60) as u8))),
            340..343 => ("branch point dropped", Step::DropBranch(self.below(8) as u8)),
            343..360 => {
                let output = [0, 1, 2, 4, 7][self.below(5) as usize];
                let (point, batch_rows) = (self.below(8) as u8, 1 + self.below(40) as usize);
                ("scan at a branch point", Step::ReadBranch { point, output, batch_rows })
            }
            360..9000 => ("get", Step::Get { keys: self.keys(1), back: self.back() }),
            9000..9400 => ("multi-get", Step::Get { keys: self.keys(12), back: self.back() }),
            9400..9650 => ("newest version", Step::Newest(self.keys(3))),
            _ => {
                let from = self.below(KEYS);
                let output = [0, 1, 2, 3, 4, 6, 6, 7][self.below(8) as usize];
                let scan = Step::Scan {
                    from,
                    // Mostly short; to the end of all keys now and then.
                    to: (!self.one_in(40)).then(|| (from + 1 + self.below(8)) % KEYS),
                    more: self.one_in(8).then(|| (self.below(KEYS), self.below(KEYS))),
                    backward: self.one_in(2) && output < 4,
                    limit: self.one_in(4).then(|| self.below(10).into()),
                    output,
                    bound: self.one_in(3).then(|| (i64::from(self.below(1200)) - 600, self.below(400).into())),
                    batch_rows: 1 + self.below(40) as usize,
                    back: self.back(),
                };
                (
                    match output {
                        0 => "scan of rows",
                        1 => "scan of keys",
                        2 => "scan of columns",
                        3 => "scan of nothing",
                        4 => "every aggregate",
                        6 => "count",
                        _ => "limits",
                    },
                    scan,
                )
            }
        }
    }
}

/// Says which history failed, whatever it failed of.
struct OnPanic(u64);

impl Drop for OnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("to repeat it: REFERENCE_SEED={}", self.0);
        }
    }
}

fn history(seed: u64, steps: u64, counts: &mut BTreeMap<&'static str, u64>) {
    let _seed = OnPanic(seed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut dice = Dice(seed);
        let mut world = World::new(Config { scan_threads: 0, ..small_config() }, FaultyStore::new(seed));
        world.start().await;
        for _ in 0..steps {
            let (kind, step) = dice.step();
            *counts.entry(kind).or_default() += 1;
            world.run(&step).await;
        }
        world.check_all().await;
    });
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

#[test]
fn reads_equal_the_reference_for_a_million_steps() {
    let mut counts = BTreeMap::new();
    if let Some(seed) = number("REFERENCE_SEED") {
        return history(seed, HISTORY_STEPS, &mut counts);
    }
    let mut left = number("REFERENCE_STEPS").unwrap_or(1_000_000);
    let mut seed = 1;
    while left > 0 {
        let steps = left.min(HISTORY_STEPS);
        history(seed, steps, &mut counts);
        left -= steps;
        seed += 1;
    }
    println!("{} steps in {} histories: {counts:?}", counts.values().sum::<u64>(), seed - 1);
}
