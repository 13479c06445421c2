//! Seeds: runs each in a process of its own, which is this test binary again.
//!
//! Some libraries count over a whole process (tokio, for the order of `select!`): a second run in it would differ.

use crate::sim::Outcome;
use crate::{machine, world};
use common::env::planted::{self, Bug};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

const SEED: &str = "DRUMLIN_SIMULATION_SEED";
const BUG: &str = "DRUMLIN_SIMULATION_BUG";
const TRACE: &str = "DRUMLIN_SIMULATION_TRACE";
/// Before the outcome, on a line of its own.
const MARK: &str = "simulation-outcome";

/// Seeds that found something once, one a line: they are run first for ever.
const KEPT: &str = include_str!("seeds.txt");

pub fn kept() -> Vec<u64> {
    KEPT.lines().filter_map(|line| line.split('#').next()?.trim().parse().ok()).collect()
}

pub fn environment_number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    pub seed: u64,
    pub bug: Option<Bug>,
}

impl Run {
    pub fn of_environment() -> Option<Run> {
        let bug = std::env::var(BUG).ok();
        let bug = bug.and_then(|name| Bug::ALL.into_iter().find(|bug| format!("{bug:?}") == name));
        Some(Run { seed: environment_number(SEED)?, bug })
    }

    /// Runs in this process and prints the outcome.
    pub fn here(self) {
        let print = std::env::var_os(TRACE).is_some();
        if print {
            // What the roles say, between the lines of the trace.
            let level = tracing::level_filters::LevelFilter::WARN;
            tracing_subscriber::fmt()
                .with_max_level(level)
                .with_ansi(false)
                .with_writer(std::io::stderr)
                .without_time()
                .init();
        }
        let outcome = machine::run(self.seed, move || {
            planted::plant(self.bug);
            world::run(self.seed, print)
        });
        let Outcome { hash, events, commits, violation } = outcome;
        println!("\n{MARK} {hash} {events} {commits} {}", violation.unwrap_or_default());
    }

    /// Runs in a process of its own.
    pub fn in_a_process(self) -> Outcome {
        let mut command = Command::new(std::env::current_exe().expect("the path of this program"));
        command.args(["one_seed", "--exact", "--nocapture", "--test-threads=1"]);
        command.env(SEED, self.seed.to_string()).env_remove(TRACE).env_remove(BUG);
        if let Some(bug) = self.bug {
            command.env(BUG, format!("{bug:?}"));
        }
        let ended = command.stdin(Stdio::null()).output().expect("this program runs once more");
        let printed = String::from_utf8_lossy(&ended.stdout);
        let outcome = printed.lines().find_map(|line| parse(line.strip_prefix(MARK)?));
        outcome.unwrap_or_else(|| {
            let said = String::from_utf8_lossy(&ended.stderr);
            let panic =
                said.lines().skip_while(|line| !line.contains("panicked")).take(3).collect::<Vec<_>>().join(" ");
            Outcome { hash: 0, events: 0, commits: 0, violation: Some(format!("{}: {panic}", ended.status)) }
        })
    }
}

fn parse(line: &str) -> Option<Outcome> {
    let mut words = line.trim_start().splitn(4, ' ');
    let mut number = || words.next()?.parse().ok();
    let (hash, events, commits) = (number()?, number()?, number()?);
    let violation = words.next().map(str::trim).filter(|text| !text.is_empty()).map(str::to_string);
    Some(Outcome { hash, events, commits, violation })
}

/// Runs all, as many at a time as there are processors, until one is `enough`. In the order of the runs.
pub fn run_all(runs: &[Run], enough: impl Fn(&Outcome) -> bool + Sync) -> Vec<(Run, Outcome)> {
    let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let done = Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed)
                    && let Some(run) = runs.get(next.fetch_add(1, Ordering::Relaxed))
                {
                    let outcome = run.in_a_process();
                    if enough(&outcome) {
                        stop.store(true, Ordering::Relaxed);
                    }
                    done.lock().expect("no thread panics").push((*run, outcome));
                }
            });
        }
    });
    let mut done = done.into_inner().expect("no thread panics");
    done.sort_by_key(|(run, _)| runs.iter().position(|other| other == run));
    done
}
