//! Histories of lists, written and read through two computes while nodes of every role die: none has a cycle or a read that
//! its isolation level forbids.
//!
//! `HISTORY_TRANSACTIONS`: of each level (default 180), or of `HISTORY_LEVEL` alone, by `HISTORY_SESSIONS` (default 8).
//! `DRUMLIN_HISTORY_DIR` keeps the histories, in the form that Elle and `adya` read; `DRUMLIN_ADYA` names the program `adya`, which
//! then has to agree.

mod harness;

use harness::bank::setting;
use harness::cluster::Cluster;
use harness::history::{self, Operation, Outcome, Transaction};
use harness::lists::{LISTS, Lists, judge};
use mysql_async::prelude::*;
use mysql_async::{Conn, Error};
use rand::{SeedableRng, rngs::StdRng};
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// After so many transactions, other lists are written and read.
const TRANSACTIONS_PER_LISTS: u64 = 120;
const KILL_INTERVAL: Duration = Duration::from_secs(6);

/// A transaction, with when it ran, by whom.
struct Recorded {
    process: u64,
    begun_us: u128,
    ended_us: u128,
    transaction: Transaction,
}

struct Run {
    cluster: Arc<Cluster>,
    level: &'static str,
    lists: Lists,
    since: Instant,
    begun: AtomicU64,
    wanted: u64,
    sessions: u64,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_history_across_computes_has_an_anomaly_that_its_level_forbids() {
    let cluster = Arc::new(Cluster::up(3, 2, 2));
    let mut connection = cluster.connect("compute-1").await.expect("connect");
    connection.query_drop("CREATE DATABASE d").await.expect("create");
    let wanted = std::env::var("HISTORY_LEVEL").ok();
    for level in ["read uncommitted", "read committed", "repeatable read", "serializable"] {
        if wanted.as_deref().is_some_and(|wanted| wanted != level) {
            continue;
        }
        one_level(&cluster, &mut connection, level).await;
    }
    drop(connection);
    Arc::into_inner(cluster).expect("the sessions have ended").down();
}

async fn one_level(cluster: &Arc<Cluster>, connection: &mut Conn, level: &'static str) {
    let lists = Lists::create(connection, &format!("d.lists_{}", level.replace(' ', "_"))).await;
    let run = Arc::new(Run {
        cluster: cluster.clone(),
        level,
        lists,
        since: Instant::now(),
        begun: AtomicU64::new(0),
        wanted: setting("HISTORY_TRANSACTIONS", 180),
        sessions: setting("HISTORY_SESSIONS", 8),
    });
    let sessions: Vec<_> = (0..run.sessions).map(|number| tokio::spawn(session(run.clone(), number))).collect();
    let mut kills = 0;
    while sessions.iter().any(|session| !session.is_finished()) {
        let part = if kills % 4 == 3 { "owner" } else { "leader" };
        let node = cluster.with_part(part);
        cluster.end(&node, Signal::KILL);
        kills += 1;
        cluster.restart(&node);
        tokio::task::block_in_place(|| cluster.wait_ready(&node));
        let pause = Instant::now();
        while pause.elapsed() < KILL_INTERVAL && sessions.iter().any(|session| !session.is_finished()) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    let mut recorded = Vec::new();
    for session in sessions {
        recorded.extend(session.await.unwrap());
    }
    let last = run.lists.last(connection).await;
    let file = std::env::var_os("DRUMLIN_HISTORY_DIR").map(|directory| {
        let file = Path::new(&directory).join(format!("{}.jsonl", level.replace(' ', "-")));
        std::fs::write(&file, lines(&recorded, run.sessions, &last)).expect("write the history");
        file
    });
    let mut history: Vec<Transaction> = recorded.into_iter().map(|recorded| recorded.transaction).collect();
    history::settle_unknown(&mut history, &last);
    let committed = judge(level, &history, &last);
    println!("{level}: {committed} of {} transactions committed while {kills} nodes died", history.len());
    if let (Some(adya), Some(file)) = (std::env::var_os("DRUMLIN_ADYA"), file) {
        let model = if level == "serializable" { "strict-serializable" } else { "read-committed" };
        let output = Command::new(adya).args(["check", "-m", "list-append", "-c", model]).arg(&file).output();
        let output = output.expect("run adya");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{level}: adya: {} {said}", output.status);
        println!("{level}: adya finds it {model}");
    }
}

async fn session(run: Arc<Run>, number: u64) -> Vec<Recorded> {
    let mut random = StdRng::seed_from_u64(number);
    let compute = format!("compute-{}", number % 2 + 1);
    let mut connection = None;
    let mut recorded = Vec::new();
    loop {
        let at = run.begun.fetch_add(1, Ordering::Relaxed);
        if at >= run.wanted {
            return recorded;
        }
        while connection.is_none() {
            connection = connect(&run, &compute).await.ok();
        }
        let Some(open) = &mut connection else { continue };
        let begun_us = run.since.elapsed().as_micros();
        let mut operations = Vec::new();
        let (outcome, lost) = one_transaction(&run, open, &mut random, at, &mut operations).await;
        if lost {
            connection = None;
        }
        let ended_us = run.since.elapsed().as_micros();
        let transaction = Transaction { outcome, operations };
        recorded.push(Recorded { process: number, begun_us, ended_us, transaction });
    }
}

async fn connect(run: &Run, compute: &str) -> mysql_async::Result<Conn> {
    let mut connection = run.cluster.connect(compute).await?;
    connection.query_drop(format!("SET SESSION TRANSACTION ISOLATION LEVEL {}", run.level)).await?;
    Ok(connection)
}

/// How it ended, and whether the connection is of no use any more.
async fn one_transaction(
    run: &Run,
    connection: &mut Conn,
    random: &mut StdRng,
    at: u64,
    operations: &mut Vec<Operation>,
) -> (Outcome, bool) {
    let first = (at / TRANSACTIONS_PER_LISTS) as u32 * LISTS;
    match run.lists.some_operations(connection, random, first, operations).await {
        Ok(()) => {}
        // Nothing was sent to the log before COMMIT.
        Err(Error::Server(_)) => {
            let rolled_back = connection.query_drop("ROLLBACK").await;
            return (Outcome::RolledBack, rolled_back.is_err());
        }
        Err(_) => return (Outcome::RolledBack, true),
    }
    match connection.query_drop("COMMIT").await {
        Ok(()) => (Outcome::Committed, false),
        Err(Error::Server(error)) if [1213, 1205].contains(&error.code) => (Outcome::RolledBack, false),
        Err(_) => (Outcome::Unknown, true),
    }
}

/// The history as Elle writes it: what was asked, and what came of it, in the order of time. A read of everything ends it.
fn lines(recorded: &[Recorded], sessions: u64, last: &BTreeMap<u32, Vec<u64>>) -> String {
    let value = |operations: &[Operation], with_results: bool| -> Vec<serde_json::Value> {
        let one = |operation: &Operation| match operation {
            Operation::Append(key, value) => serde_json::json!(["append", key, value]),
            Operation::Read(key, list) if with_results => serde_json::json!(["r", key, list]),
            Operation::Read(key, _) => serde_json::json!(["r", key, null]),
        };
        operations.iter().map(one).collect()
    };
    let mut events: Vec<(u128, u8, usize)> = Vec::new();
    for (at, recorded) in recorded.iter().enumerate() {
        events.push((recorded.ended_us, 0, at));
        events.push((recorded.begun_us, 1, at));
    }
    // Within a microsecond, what ends is before what begins: a session's next transaction comes after its last one.
    events.sort_unstable();
    let mut text = String::new();
    let mut index = 0;
    let mut line = |kind: &str, process: u64, value: Vec<serde_json::Value>| {
        let event = serde_json::json!({"index": index, "type": kind, "process": process, "value": value});
        text.push_str(&format!("{event}\n"));
        index += 1;
    };
    // A client whose outcome is unknown goes on as another process.
    let mut lives: BTreeMap<u64, u64> = BTreeMap::new();
    for (_, begins, at) in events {
        let ended = begins == 0;
        let Recorded { process, transaction, .. } = &recorded[at];
        let life = lives.entry(*process).or_default();
        let own = *process + *life * sessions;
        let committed = transaction.outcome == Outcome::Committed;
        let kind = match (ended, transaction.outcome) {
            (false, _) => "invoke",
            (true, Outcome::Committed) => "ok",
            (true, Outcome::RolledBack) => "fail",
            (true, Outcome::Unknown) => {
                *life += 1;
                "info"
            }
        };
        line(kind, own, value(&transaction.operations, ended && committed));
    }
    let everything: Vec<Operation> = last.iter().map(|(key, list)| Operation::Read(*key, list.clone())).collect();
    for (kind, results) in [("invoke", false), ("ok", true)] {
        line(kind, u64::from(u32::MAX), value(&everything, results));
    }
    text
}
