//! SQL against a running server: the corpora of `shared/data`, and our own cases beside this file.
//!
//! Each corpus has a list of known differences (`slt.known`, `mysqltest.known`) with the reason of each. A record that
//! differs and is not listed fails the test, and so does a listed one that agrees: the lists only say what is true.
//!
//! | variable | meaning |
//! |---|---|
//! | `DRUMLIN_DATA_DIR` | where the corpora are; default `../shared/data` |
//! | `DRUMLIN_SQL_ALL` | set: every record, instead of the slice that a default run takes |
//! | `DRUMLIN_SQL_ONLY` | only files whose name contains this |
//! | `DRUMLIN_SQL_SERVER` | `host:port` of a running server to ask instead of starting one; the lists hold for Drumlin only |
//! | `DRUMLIN_SQL_REPORT` | folder for what failed, one file a corpus; default below the target directory |

#[path = "../harness/mod.rs"]
mod harness;

mod cases;
mod client;
mod hostile;
mod known;
mod mysqltest;
mod report;
mod sessions;
mod slt;
mod target;

use report::Report;
use std::path::{Path, PathBuf};
use target::Target;

/// Sessions at a time; files are independent of each other.
const SESSIONS: usize = 4;

/// The corpora, or one line that says that they are not there.
fn data(folder: &str) -> Option<PathBuf> {
    let root = match std::env::var_os("DRUMLIN_DATA_DIR") {
        Some(path) => PathBuf::from(path),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"),
    };
    let path = root.join(folder);
    if path.is_dir() {
        return Some(path);
    }
    println!("no {}: {folder} was not run (DRUMLIN_DATA_DIR says where the corpora are)", path.display());
    None
}

/// True if every record is wanted.
fn everything() -> bool {
    std::env::var_os("DRUMLIN_SQL_ALL").is_some()
}

/// True if the file is wanted.
fn wanted(name: &str) -> bool {
    std::env::var("DRUMLIN_SQL_ONLY").map_or(true, |part| name.contains(&part))
}

/// Files below a folder with this ending, as paths relative to it without the ending, in order.
fn files(folder: &Path, ending: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(inner) = folders.pop() {
        for entry in std::fs::read_dir(&inner).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if let Some(name) = path.strip_prefix(folder).unwrap().to_str().unwrap().strip_suffix(ending) {
                found.push(name.to_owned());
            }
        }
    }
    found.sort();
    found.retain(|name| wanted(name));
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqllogictest_corpus_gives_the_recorded_answers() {
    let Some(folder) = data("slt") else { return };
    let target = Target::start().await;
    let mut report = Report::new("slt", include_str!("slt.known"));
    slt::run(&target, &folder, &mut report).await;
    report.finish(target).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mysqltest_cases_give_the_recorded_answers() {
    let Some(folder) = data("mysqltest") else { return };
    let target = Target::start().await;
    let mut report = Report::new("mysqltest", include_str!("mysqltest.known"));
    mysqltest::run(&target, &folder, &mut report).await;
    report.finish(target).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn own_cases_give_the_same_answers_on_both_executors() {
    let target = Target::start().await;
    let mut report = Report::new("cases", "");
    cases::run(&target, &Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sql"), &mut report).await;
    report.finish(target).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_and_accounts_get_the_recorded_answers() {
    let target = Target::start().await;
    let mut report = Report::new("sessions", "");
    sessions::run(&target, &Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sql/sessions"), &mut report).await;
    report.finish(target).await;
}
