//! Many sessions at once on a real server, and whether what they saw can have been: sums that stay, counters that lose
//! nothing, numbers given once, and histories of lists that have no cycle their level forbids.
//!
//! `HISTORY_TRANSACTIONS` is how many transactions each list history has (default 400), and scales the others.

mod harness;

use harness::history::{self, Operation, Outcome, Transaction};
use harness::lists::{Lists, judge};
use harness::{Launch, Server};
use mysql_async::Conn;
use mysql_async::prelude::*;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const SESSIONS: usize = 6;

fn transactions() -> usize {
    std::env::var("HISTORY_TRANSACTIONS").ok().and_then(|text| text.parse().ok()).unwrap_or(400)
}

/// Deadlock, lock wait timeout: the transaction may run again.
fn may_run_again(error: &mysql_async::Error) -> bool {
    matches!(error, mysql_async::Error::Server(error) if [1213, 1205].contains(&error.code))
}

async fn connect(server: &Server, level: &str) -> Conn {
    let mut connection = server.connect().await;
    connection.query_drop("use d").await.unwrap();
    connection.query_drop(format!("set session transaction isolation level {level}")).await.unwrap();
    connection
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_concurrent_sessions_see_can_have_been() {
    let directory = tempfile::tempdir().unwrap();
    let server = Launch::new(directory.path()).start();
    server.run(&["create database d"]).await;
    for level in ["read committed", "repeatable read", "serializable"] {
        lists(&server, level).await;
    }
    bank(&server).await;
    counter(&server).await;
    numbers(&server).await;
    server.stop();
}

/// Appends and reads of a few lists.
async fn lists(server: &Server, level: &'static str) {
    let mut connection = connect(server, level).await;
    let lists = Arc::new(Lists::create(&mut connection, "d.list").await);
    let mut tasks = Vec::new();
    for session in 0..SESSIONS {
        let mut connection = connect(server, level).await;
        let lists = lists.clone();
        let count = transactions() / SESSIONS;
        tasks.push(tokio::spawn(async move {
            let mut random = StdRng::seed_from_u64(session as u64);
            let mut history = Vec::with_capacity(count);
            for _ in 0..count {
                let mut operations = Vec::new();
                let outcome = match one_transaction(&lists, &mut connection, &mut random, &mut operations).await {
                    Ok(outcome) => outcome,
                    Err(error) if may_run_again(&error) => {
                        connection.query_drop("rollback").await.unwrap();
                        Outcome::RolledBack
                    }
                    Err(error) => panic!("{error}"),
                };
                history.push(Transaction { outcome, operations });
            }
            history
        }));
    }
    let mut history: Vec<Transaction> = Vec::new();
    for task in tasks {
        history.extend(task.await.unwrap());
    }
    let committed = judge(level, &history, &lists.last(&mut connection).await);
    println!("{level}: {committed} of {} transactions committed", history.len());
}

async fn one_transaction(
    lists: &Lists,
    connection: &mut Conn,
    random: &mut StdRng,
    operations: &mut Vec<Operation>,
) -> mysql_async::Result<Outcome> {
    lists.some_operations(connection, random, 0, operations).await?;
    if random.random_bool(0.1) {
        connection.query_drop("rollback").await?;
        return Ok(Outcome::RolledBack);
    }
    connection.query_drop("commit").await?;
    Ok(Outcome::Committed)
}

/// Transfers between accounts: every snapshot has the same sum.
async fn bank(server: &Server) {
    const ACCOUNTS: u32 = 5;
    const TOTAL: i64 = 500;
    server.run(&["create table d.account (id int primary key, balance int not null)"]).await;
    for id in 0..ACCOUNTS {
        server.run(&[&format!("insert into d.account values ({id}, 100)")]).await;
    }
    let count = transactions() / 8;
    let mut tasks = Vec::new();
    for session in 0..SESSIONS {
        let level = if session % 2 == 0 { "repeatable read" } else { "serializable" };
        let mut connection = connect(server, level).await;
        tasks.push(tokio::spawn(async move {
            let mut random = StdRng::seed_from_u64(100 + session as u64);
            for round in 0..count {
                if round % 3 == 0 {
                    let sum: Option<i64> = connection.query_first("select sum(balance) from account").await.unwrap();
                    assert_eq!(sum, Some(TOTAL), "money comes and goes");
                }
                let (from, to) = (random.random_range(0..ACCOUNTS), random.random_range(0..ACCOUNTS));
                match transfer(&mut connection, from, to, random.random_range(1..20)).await {
                    Err(error) if may_run_again(&error) => connection.query_drop("rollback").await.unwrap(),
                    outcome => outcome.unwrap(),
                }
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let mut connection = connect(server, "read committed").await;
    let (sum, least): (i64, i64) =
        connection.query_first("select sum(balance), min(balance) from account").await.unwrap().unwrap();
    assert_eq!(sum, TOTAL);
    assert!(least >= 0, "an account was overdrawn: two transfers relied on the same balance");
}

async fn transfer(connection: &mut Conn, from: u32, to: u32, amount: i64) -> mysql_async::Result<()> {
    if from == to {
        return Ok(());
    }
    connection.query_drop("begin").await?;
    let sql = format!("select balance from account where id = {from} for update");
    let balance: Option<i64> = connection.query_first(sql).await?;
    if balance.unwrap_or(0) >= amount {
        connection.query_drop(format!("update account set balance = balance - {amount} where id = {from}")).await?;
        connection.query_drop(format!("update account set balance = balance + {amount} where id = {to}")).await?;
    }
    connection.query_drop("commit").await
}

/// Increments in four ways: as many as succeeded are there.
async fn counter(server: &Server) {
    server
        .run(&["create table d.counter (id int primary key, v int not null)", "insert into d.counter values (1, 0)"])
        .await;
    let count = transactions() / 8;
    let mut tasks = Vec::new();
    for session in 0..SESSIONS {
        let level = ["read committed", "repeatable read", "serializable"][session % 3];
        let mut connection = connect(server, level).await;
        tasks.push(tokio::spawn(async move {
            let mut done = 0;
            for round in 0..count {
                match increment(&mut connection, (session + round) % 4).await {
                    Ok(()) => done += 1,
                    Err(error) if may_run_again(&error) => connection.query_drop("rollback").await.unwrap(),
                    Err(error) => panic!("{error}"),
                }
            }
            done
        }));
    }
    let mut done = 0;
    for task in tasks {
        done += task.await.unwrap();
    }
    let mut connection = connect(server, "read committed").await;
    let counted: Option<i64> = connection.query_first("select v from counter").await.unwrap();
    assert_eq!(counted, Some(done), "updates were lost");
}

async fn increment(connection: &mut Conn, way: usize) -> mysql_async::Result<()> {
    match way {
        0 => connection.query_drop("update counter set v = v + 1 where id = 1").await,
        1 => {
            connection.query_drop("begin").await?;
            let v: Option<i64> = connection.query_first("select v from counter where id = 1 for update").await?;
            let sql = format!("update counter set v = {} where id = 1", v.unwrap_or(0) + 1);
            connection.query_drop(sql).await?;
            connection.query_drop("commit").await
        }
        2 => connection.query_drop("insert into counter values (1, 1) on duplicate key update v = v + 1").await,
        _ => {
            connection.query_drop("begin").await?;
            connection.query_drop("update counter set v = v + 1 where v >= 0").await?;
            connection.query_drop("commit").await
        }
    }
}

/// AUTO_INCREMENT: no number twice, and an insert that begins after another was answered has a greater one.
async fn numbers(server: &Server) {
    server.run(&["create table d.ticket (id bigint primary key auto_increment, who int)"]).await;
    let answered = Arc::new(AtomicU64::new(0));
    let count = transactions() / 8;
    let mut tasks = Vec::new();
    for _ in 0..SESSIONS {
        let mut connection = connect(server, "repeatable read").await;
        let answered = answered.clone();
        tasks.push(tokio::spawn(async move {
            let mut given = Vec::with_capacity(count);
            for round in 0..count {
                let before = answered.load(Ordering::SeqCst);
                let rows = if round % 5 == 0 { "(1), (2), (3)" } else { "(1)" };
                connection.query_drop(format!("insert into ticket (who) values {rows}")).await.unwrap();
                let first = connection.last_insert_id().expect("a number was given");
                assert!(first > before, "{first} was given after {before} had been answered");
                let last = first + if round % 5 == 0 { 2 } else { 0 };
                given.extend(first..=last);
                answered.fetch_max(last, Ordering::SeqCst);
            }
            given
        }));
    }
    let mut all = HashSet::new();
    let mut total = 0;
    for task in tasks {
        let given = task.await.unwrap();
        total += given.len();
        all.extend(given);
    }
    assert_eq!(all.len(), total, "a number was given twice");
}

/// The checker finds what is made by hand.
mod checker {
    use super::history::{Anomaly, Operation, Outcome, Transaction, check};
    use std::collections::BTreeMap;

    /// `r1=2,3 a1=4` in one line for each transaction, `!` before one that was rolled back; then the last lists.
    fn anomalies(history: &str, last: &[(u32, &[u64])]) -> Vec<Anomaly> {
        let transaction = |line: &str| {
            let (outcome, line) = match line.strip_prefix('!') {
                Some(rest) => (Outcome::RolledBack, rest),
                None => (Outcome::Committed, line),
            };
            let operation = |word: &str| {
                let (key, value) = word[1..].split_once('=').unwrap();
                let key = key.parse().unwrap();
                match &word[..1] {
                    "a" => Operation::Append(key, value.parse().unwrap()),
                    _ => Operation::Read(key, value.split(',').filter_map(|value| value.parse().ok()).collect()),
                }
            };
            Transaction { outcome, operations: line.split_whitespace().map(operation).collect() }
        };
        let history: Vec<_> = history.lines().map(str::trim).filter(|line| !line.is_empty()).map(transaction).collect();
        let last: BTreeMap<_, _> = last.iter().map(|(key, list)| (*key, list.to_vec())).collect();
        check(&history, &last).into_keys().collect()
    }

    #[test]
    fn a_serial_history_is_fine() {
        assert_eq!(anomalies("a1=1 a2=1\nr1=1 a1=2\n!a1=9\nr1=1,2 r2=1", &[(1, &[1, 2]), (2, &[1])]), []);
    }

    #[test]
    fn writes_in_opposite_orders_are_g0() {
        assert_eq!(anomalies("a1=1 a2=1\na1=2 a2=2", &[(1, &[1, 2]), (2, &[2, 1])]), [Anomaly::G0]);
    }

    #[test]
    fn what_was_rolled_back_or_half_done_is_not_read() {
        assert_eq!(anomalies("!a1=1\nr1=1", &[(1, &[])]), [Anomaly::Incompatible, Anomaly::G1a]);
        assert_eq!(anomalies("!a1=1", &[(1, &[1])]), [Anomaly::G1a]);
        let half = anomalies("a1=1 a1=2\nr1=1", &[(1, &[1, 2])]);
        assert!(half.contains(&Anomaly::G1b), "{half:?}");
    }

    #[test]
    fn reads_of_each_other_are_g1c() {
        assert_eq!(anomalies("a1=1 r2=1\na2=1 r1=1", &[(1, &[1]), (2, &[1])]), [Anomaly::G1c]);
    }

    #[test]
    fn a_lost_update_is_g_single() {
        assert_eq!(anomalies("r1= a1=1\nr1= a1=2", &[(1, &[1, 2])]), [Anomaly::GSingle]);
    }

    #[test]
    fn a_snapshot_that_is_torn_is_g_single() {
        assert_eq!(anomalies("a1=1 a2=1\nr1=1 r2=", &[(1, &[1]), (2, &[1])]), [Anomaly::GSingle]);
    }

    #[test]
    fn write_skew_is_g2() {
        assert_eq!(anomalies("r1= a2=1\nr2= a1=1", &[(1, &[1]), (2, &[1])]), [Anomaly::G2]);
    }

    #[test]
    fn what_was_committed_stays() {
        assert_eq!(anomalies("a1=1\na1=2", &[(1, &[2])]), [Anomaly::Lost]);
        assert_eq!(anomalies("a1=1\na1=2\nr1=2,1", &[(1, &[1, 2])]), [Anomaly::Incompatible]);
    }
}
