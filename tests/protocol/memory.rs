//! What queries hold together is bounded: a large one ends with an error where others hold the memory, small ones go on.

use super::harness::Launch;
use mysql_async::Error;
use mysql_async::prelude::Queryable;
use std::time::{Duration, Instant};

/// Opens a cursor over some 10 MiB of rows, and waits.
const PROCEDURE: &str = "CREATE PROCEDURE hold(seconds INT)
BEGIN
    DECLARE c CURSOR FOR WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
        SELECT REPEAT('x', 10000) FROM n;
    OPEN c;
    SELECT GET_LOCK('held', 0), SLEEP(seconds);
END";

/// Some 40 MB of texts, joined with themselves.
const LARGE: [&str; 3] = [
    "CREATE TABLE d.t (id INT PRIMARY KEY, other INT, text VARCHAR(700)) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
    "SET cte_max_recursion_depth = 100000",
    "INSERT INTO d.t WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000)
        SELECT i, i * 7 % 60013, REPEAT(MD5(i), 20) FROM n",
];
const JOIN: &str = "SELECT COUNT(*), SUM(CRC32(a.text)), MIN(a.id + b.other) FROM d.t AS a
    JOIN d.t AS b ON a.other = b.other AND a.text = b.text";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_join_that_does_not_fit_goes_to_files() {
    let data = tempfile::tempdir().unwrap();
    let mut answers = Vec::new();
    for memory in ["1G", "24M"] {
        let server = Launch::new(data.path()).argument("--query-memory").argument(memory).start();
        if memory == "1G" {
            server.run(&["CREATE DATABASE d"]).await;
            server.run(&LARGE).await;
        }
        let mut connection = server.connect().await;
        connection.query_drop("SET drumlin_executor = 'analytic'").await.unwrap();
        answers.push(
            connection
                .query_first::<(u64, u64, u64), _>(JOIN)
                .await
                .unwrap_or_else(|error| panic!("{memory}: {error}")),
        );
        server.stop();
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0].unwrap().0, 60_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queries_together_hold_what_they_may() {
    let data = tempfile::tempdir().unwrap();
    let limits = ["--query-memory", "24M", "--total-query-memory", "16M"];
    let server = limits.into_iter().fold(Launch::new(data.path()), Launch::argument).start();
    let mut other = server.connect().await;
    for statement in ["CREATE DATABASE d", "USE d", PROCEDURE, "CALL hold(0)", "DO RELEASE_LOCK('held')"] {
        other.query_drop(statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
    let mut holder = server.connect().await;
    holder.query_drop("USE d").await.unwrap();
    let id = holder.id();
    let holding = tokio::spawn(async move { holder.query_drop("CALL hold(600)").await });
    let begun = Instant::now();
    while other.query_first::<Option<u32>, _>("SELECT IS_USED_LOCK('held')").await.unwrap() != Some(Some(id)) {
        assert!(begun.elapsed() < Duration::from_secs(60), "it does not hold");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    match other.query_drop("CALL hold(0)").await {
        Err(Error::Server(error)) => {
            assert_eq!(error.code, 1041, "{error}");
            assert!(error.message.contains("all queries together"), "{error}");
        }
        answer => panic!("{answer:?}"),
    }
    // Small ones have the rest.
    let small = "SELECT COUNT(DISTINCT s.a) FROM (SELECT 1 AS a UNION SELECT 2 UNION SELECT 3 ORDER BY a DESC) AS s";
    assert_eq!(other.query_first::<u64, _>(small).await.unwrap(), Some(3));
    other.query_drop(format!("KILL QUERY {id}")).await.unwrap();
    assert!(holding.await.unwrap().is_err());
    other.query_drop("CALL hold(0)").await.unwrap();
    server.stop();
}
