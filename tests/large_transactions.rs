//! Transactions whose writes go to the object store ahead of their commit, against the real binary: what others see of them,
//! who waits for them, and kill -9 in the middle of COMMIT.
//!
//! `DRUMLIN_LARGE_ROWS`: rows of the table (4,000 unless it says otherwise).

mod harness;

use harness::{Launch, Server};
use mysql_async::prelude::*;
use mysql_async::{Conn, Error};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

fn row_count() -> u64 {
    std::env::var("DRUMLIN_LARGE_ROWS").map_or(4_000, |rows| rows.parse().unwrap())
}

fn launch(data: &Path) -> Launch {
    Launch::new(data).argument("--bulk-size").argument("128K").argument("--transaction-memory").argument("1M")
}

async fn connect(server: &Server) -> Conn {
    let mut conn = server.connect().await;
    conn.query_drop("USE l").await.unwrap();
    conn
}

/// Accounts 1 to `rows`, with a balance of 100 each.
async fn fill(server: &Server, rows: u64) {
    let mut conn = server.connect().await;
    conn.query_drop("CREATE DATABASE l").await.unwrap();
    conn.query_drop("USE l").await.unwrap();
    let create =
        "CREATE TABLE account (id INT PRIMARY KEY, balance INT NOT NULL, note VARCHAR(1000), code INT NOT NULL,
                  KEY (balance), UNIQUE KEY (code))";
    conn.query_drop(create).await.unwrap();
    let ids: Vec<u64> = (1..=rows).collect();
    for ids in ids.chunks(500) {
        let rows: Vec<String> = ids.iter().map(|id| format!("({id}, 100, REPEAT('n', 400), -{id})")).collect();
        conn.query_drop(format!("INSERT INTO account VALUES {}", rows.join(","))).await.unwrap();
    }
}

async fn number(conn: &mut Conn, query: &str) -> i64 {
    conn.query_first(query).await.unwrap().expect("one row")
}

fn objects(data: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(data) else { return 0 };
    let entries = entries.flatten();
    entries.map(|entry| if entry.path().is_dir() { objects(&entry.path()) } else { 1 }).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_transaction_is_one_for_all_others() {
    let count = row_count();
    let data = tempfile::tempdir().unwrap();
    let server = launch(data.path()).start();
    fill(&server, count).await;
    let mut large = connect(&server).await;
    let mut other = connect(&server).await;
    large.query_drop("BEGIN").await.unwrap();
    large
        .query_drop("UPDATE account SET balance = balance + 1, note = REPEAT('m', 700) WHERE id % 2 = 0")
        .await
        .unwrap();
    large.query_drop("DELETE FROM account WHERE id % 20 = 0").await.unwrap();
    let inserted = "INSERT INTO account SELECT id + 1000000, 100, 'new', code - 1000000 FROM account WHERE id % 20 = 2";
    large.query_drop(inserted).await.unwrap();
    // What was deleted in it may be inserted again, and is seen by it alone.
    large.query_drop("INSERT INTO account VALUES (20, 7, 'again', -20)").await.unwrap();
    large.query_drop("SAVEPOINT s").await.unwrap();
    large.query_drop("UPDATE account SET balance = 0 WHERE id % 2 = 0").await.unwrap();
    large.query_drop("ROLLBACK TO s").await.unwrap();
    assert_eq!(number(&mut large, "SELECT balance FROM account WHERE id = 20").await, 7);
    assert_eq!(number(&mut other, "SELECT SUM(balance) FROM account").await, 100 * count as i64);
    // Rows beside its own change all the time, through its commit, without a conflict.
    let done = Arc::new(AtomicBool::new(false));
    let beside = tokio::spawn({
        let (mut conn, done) = (connect(&server).await, done.clone());
        async move {
            let mut changes = 0;
            while !done.load(Ordering::Relaxed) {
                let id = (changes * 2) % count + 1;
                let change = format!("UPDATE account SET balance = balance + 1, code = code WHERE id = {id}");
                conn.query_drop(change).await.expect("nobody else has the odd ones");
                changes += 1;
            }
            changes as i64
        }
    });
    // And somebody waits for one of its rows.
    let waits = tokio::spawn({
        let mut conn = connect(&server).await;
        async move { conn.query_drop("UPDATE account SET balance = balance + 10 WHERE id = 2").await }
    });
    while number(&mut other, "SELECT COUNT(*) FROM performance_schema.data_lock_waits").await == 0 {}
    large.query_drop("COMMIT").await.unwrap();
    waits.await.unwrap().unwrap();
    assert_eq!(number(&mut other, "SELECT balance FROM account WHERE id = 2").await, 111);
    done.store(true, Ordering::Relaxed);
    let changes = beside.await.unwrap();
    let (even, twentieth) = (count as i64 / 2, count as i64 / 20);
    let sum = 100 * (count as i64 + twentieth) + even + changes + 10 - 101 * twentieth + 7;
    let check = "SELECT SUM(balance) FROM account";
    assert_eq!(number(&mut other, check).await, sum);
    assert_eq!(number(&mut other, "SELECT COUNT(*) FROM account").await, count as i64 + 1);
    // The other indexes tell the same.
    for index in ["balance", "code"] {
        let query = format!("SELECT SUM(balance) FROM account FORCE INDEX ({index}) WHERE {index} > -100000000");
        assert_eq!(number(&mut other, &query).await, sum, "{index}");
    }
    assert_eq!(number(&mut other, "SELECT COUNT(*) FROM account WHERE code = -40").await, 0);
    assert_eq!(number(&mut other, "SELECT id FROM account WHERE code = -1000002").await, 1_000_002);
    // A large one that is rolled back leaves nothing; what was read before a change is a conflict.
    large.query_drop("BEGIN").await.unwrap();
    large.query_drop("UPDATE account SET balance = 0").await.unwrap();
    large.query_drop("ROLLBACK").await.unwrap();
    large.query_drop("SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE").await.unwrap();
    large.query_drop("UPDATE account SET balance = balance + 1").await.unwrap();
    assert_eq!(number(&mut other, check).await, sum + count as i64 + 1);
    let (_, metrics) = server.get("/metrics").await;
    let spilled = metrics.lines().find_map(|line| line.strip_prefix("drumlin_transaction_spilled_bytes_total "));
    assert!(spilled.is_some_and(|bytes| bytes.parse::<u64>().unwrap() > 1_000_000), "{spilled:?}");
    drop((large, other));
    server.kill();
    let server = launch(data.path()).start();
    assert_eq!(number(&mut connect(&server).await, check).await, sum + count as i64 + 1);
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_in_the_middle_of_a_large_commit_leaves_all_of_it_or_nothing() {
    let count = row_count();
    let data = tempfile::tempdir().unwrap();
    let mut server = launch(data.path()).start();
    fill(&server, count).await;
    let mut base = 100 * count as i64;
    // It dies at the first object, the second, and so on: in the middle of the layers, at the flush, after the commit.
    for nth in 1..=6 {
        let before = objects(data.path());
        let mut conn = connect(&server).await;
        conn.query_drop("BEGIN").await.unwrap();
        conn.query_drop("UPDATE account SET balance = balance + 1").await.unwrap();
        let committing = tokio::spawn(async move {
            let committed = conn.query_drop("COMMIT").await;
            committed.is_ok()
        });
        while objects(data.path()) < before + nth && !committing.is_finished() {
            tokio::task::yield_now().await;
        }
        server.kill();
        let acknowledged = committing.await.unwrap();
        server = launch(data.path()).start();
        let mut conn = connect(&server).await;
        let sum = number(&mut conn, "SELECT SUM(balance) FROM account").await;
        let by_index = "SELECT SUM(balance) FROM account FORCE INDEX (balance) WHERE balance > 0";
        assert_eq!(number(&mut conn, by_index).await, sum);
        assert!(sum == base + count as i64 || sum == base && !acknowledged, "{nth}: {base} became {sum}");
        base = sum;
        let error = conn.query_drop("INSERT INTO account VALUES (1, 1, '', 1)").await.unwrap_err();
        assert!(matches!(&error, Error::Server(error) if error.code == 1062), "{error}");
    }
    server.stop();
}
