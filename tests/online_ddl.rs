//! Indexes of large tables are made while others write to them, and are taken out again where their builder dies.
//!
//! `ONLINE_ROWS`: rows of the table (default 6,500, a little more than what is done with the table held still).

mod harness;

use harness::Launch;
use harness::bank::setting;
use mysql_async::prelude::*;
use mysql_async::{Conn, Error};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const WRITERS: u64 = 3;

/// `d.t (id, k, u)`: `u` is unique whatever the writers do, `k` is not.
async fn fill(connection: &mut Conn, rows: u64) {
    for statement in [
        "CREATE DATABASE d".to_owned(),
        "CREATE TABLE d.t (id BIGINT PRIMARY KEY, k INT NOT NULL, u BIGINT NOT NULL)".to_owned(),
        "SET SESSION cte_max_recursion_depth = 1000000".to_owned(),
        format!(
            "INSERT INTO d.t WITH RECURSIVE n AS (SELECT 1 AS id UNION ALL SELECT id + 1 FROM n WHERE id < {rows}) \
             SELECT id, id % 1000, id FROM n"
        ),
        // Written out, so that the page server knows how many rows there are.
        "FLUSH TABLES".to_owned(),
    ] {
        connection.query_drop(&statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
}

async fn write(mut connection: Conn, number: u64, rows: u64, stop: Arc<AtomicBool>, done: Arc<AtomicU64>) {
    let mut random = StdRng::seed_from_u64(number);
    let mut next = rows + number;
    while !stop.load(Ordering::Relaxed) {
        let id = random.random_range(1..=rows);
        let statement = match random.random_range(0..4) {
            0 => {
                next += WRITERS;
                format!("INSERT INTO d.t VALUES ({next}, {}, {next})", next % 1000)
            }
            1 => format!("DELETE FROM d.t WHERE id = {id}"),
            2 => format!("UPDATE d.t SET k = {} WHERE id = {id}", random.random_range(0..1000)),
            _ => {
                next += WRITERS;
                format!("UPDATE d.t SET u = {next} WHERE id = {id}")
            }
        };
        match connection.query_drop(&statement).await {
            Ok(()) => drop(done.fetch_add(1, Ordering::Relaxed)),
            Err(Error::Server(error)) if [1213, 1205].contains(&error.code) => {}
            Err(error) => panic!("{statement}: {error}"),
        }
    }
}

async fn number(connection: &mut Conn, query: &str) -> u64 {
    connection.query_first(query).await.unwrap_or_else(|error| panic!("{query}: {error}")).expect("one row")
}

/// Through the index and through the rows, all is the same.
async fn compare(connection: &mut Conn, column: &str) {
    let sums = "COUNT(*) * 1000003 + SUM(id) * 31";
    let rows = number(connection, &format!("SELECT {sums} + SUM({column}) FROM d.t IGNORE INDEX ({column})")).await;
    let through = format!("SELECT {sums} + SUM({column}) FROM d.t FORCE INDEX ({column}) WHERE {column} >= 0");
    assert_eq!(number(connection, &through).await, rows, "through the index on {column}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_is_made_while_others_write_and_is_gone_if_its_builder_dies() {
    let directory = tempfile::tempdir().unwrap();
    let launch = Launch::new(directory.path());
    let server = launch.start();
    let rows = setting("ONLINE_ROWS", 6_500);
    let mut connection = server.connect().await;
    fill(&mut connection, rows).await;
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut writers = Vec::new();
    for writer in 0..WRITERS {
        let connection = server.connect().await;
        writers.push(tokio::spawn(write(connection, writer, rows, stop.clone(), done.clone())));
    }
    for statement in ["CREATE INDEX k ON d.t (k)", "ALTER TABLE d.t ADD UNIQUE INDEX u (u)"] {
        let before = done.load(Ordering::Relaxed);
        connection.query_drop(statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
        let meanwhile = done.load(Ordering::Relaxed) - before;
        println!("{statement}: {meanwhile} statements wrote meanwhile");
    }
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }
    compare(&mut connection, "k").await;
    compare(&mut connection, "u").await;

    // Two rows that have the same.
    connection.query_drop("ALTER TABLE d.t ADD COLUMN twice BIGINT AS (IF(u % 100 = 7, 7, u)) STORED").await.unwrap();
    match connection.query_drop("CREATE UNIQUE INDEX twice ON d.t (twice)").await {
        Err(Error::Server(error)) => assert_eq!(error.code, 1062, "{error}"),
        other => panic!("rows that are the same have a unique index: {other:?}"),
    }
    let (_, text): (String, String) = connection.query_first("SHOW CREATE TABLE d.t").await.unwrap().unwrap();
    assert!(!text.contains("`twice` ("), "{text}");

    // Its builder dies, in a table so large that somebody sees it at work, and writes, and sees it still at work.
    let progress = "SELECT COUNT(*) FROM information_schema.processlist WHERE state LIKE 'altering table: %rows'";
    let mut other = server.connect().await;
    let mut apart = 10_000_000u64;
    let builder = loop {
        assert!(apart < 10_000_000 << 6, "writers wait for an index to be made");
        for _ in 0..2 {
            let more = format!("INSERT INTO d.t (id, k, u) SELECT id + {apart}, k, u + {apart} FROM d.t");
            connection.query_drop(more).await.unwrap();
            apart *= 2;
        }
        let builder = tokio::spawn(async move {
            let made = connection.query_drop("CREATE INDEX w ON d.t (u, k)").await;
            (connection, made)
        });
        while !builder.is_finished() && number(&mut other, progress).await == 0 {}
        if !builder.is_finished() {
            other.query_drop("UPDATE d.t SET k = k + 1 WHERE id = 1").await.unwrap();
        }
        if !builder.is_finished() {
            break builder;
        }
        let (finished, made) = builder.await.unwrap();
        made.unwrap();
        connection = finished;
        connection.query_drop("DROP INDEX w ON d.t").await.unwrap();
    };
    drop(other);
    server.kill();
    let (_, made) = builder.await.unwrap();
    assert!(made.is_err(), "its builder died");
    let server = launch.start();
    let mut connection = server.connect().await;
    connection.query_drop("INSERT INTO d.t (id, k, u) VALUES (-1, 1, -1)").await.unwrap();
    connection.query_drop("CREATE INDEX w ON d.t (u, k)").await.unwrap();
    compare(&mut connection, "k").await;
    server.stop();
}
