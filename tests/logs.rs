//! What a compute writes down of statements and connections: metrics, status counters, the slow query log, the audit log.

mod harness;

use harness::{Launch, Server, tools};
use mysql_async::prelude::*;
use std::collections::HashMap;
use std::path::Path;
use std::process::Command;

async fn refused(server: &Server) {
    let options = server.options().user(Some("mallory")).pass(Some("guess"));
    let error = mysql_async::Conn::new(options).await.expect_err("nobody knows mallory");
    assert!(error.to_string().contains("1045"), "{error}");
}

async fn counters(server: &Server) -> HashMap<String, u64> {
    let mut connection = server.connect().await;
    let rows: Vec<(String, String)> = connection.query("SHOW GLOBAL STATUS").await.unwrap();
    connection.disconnect().await.unwrap();
    rows.into_iter().filter_map(|(name, value)| Some((name, value.parse().ok()?))).collect()
}

#[tokio::test]
async fn statements_and_connections_are_counted() {
    let data = tempfile::tempdir().unwrap();
    let server = Launch::new(data.path()).start();
    let before = counters(&server).await;
    server
        .run(&[
            "CREATE DATABASE d",
            "CREATE TABLE d.t (id INT PRIMARY KEY, n INT)",
            "INSERT INTO d.t VALUES (1, 1), (2, 2), (3, 3)",
            "REPLACE INTO d.t VALUES (3, 4)",
            "UPDATE d.t SET n = 5 WHERE id < 3",
            "DELETE FROM d.t WHERE id = 1",
            "BEGIN",
            "SELECT * FROM d.t",
            "COMMIT",
        ])
        .await;
    let mut connection = server.connect().await;
    connection.query_drop("SELECT * FROM d.missing").await.expect_err("it is missing");
    connection.disconnect().await.unwrap();
    refused(&server).await;
    let after = counters(&server).await;
    let more = |name: &str| after[name] - before[name];
    for (name, count) in [
        ("Com_insert", 1),
        ("Com_replace", 1),
        ("Com_update", 1),
        ("Com_delete", 1),
        ("Com_begin", 1),
        ("Com_commit", 1),
        ("Aborted_connects", 1),
        ("Slow_queries", 0),
    ] {
        assert_eq!(more(name), count, "{name}");
    }
    assert!(
        more("Bytes_received") > 100
            && more("Bytes_sent") > 100
            && more("Com_select") >= 2
            && more("Connections") >= 4
            && more("Questions") >= 10
    );
    let (_, text) = server.get("/metrics").await;
    let value = |name: &str| -> f64 {
        let line = text.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')));
        line.unwrap_or_else(|| panic!("no {name}")).rsplit(' ').next().unwrap().parse().unwrap()
    };
    assert_eq!(value("drumlin_mysql_connections_refused_total{error=\"1045\"}"), 1.0);
    assert_eq!(value("drumlin_mysql_errors_total{error=\"1146\"}"), 1.0);
    assert_eq!(value("drumlin_mysql_statements_failed_total{verb=\"select\"}"), 1.0);
    assert_eq!(value("drumlin_mysql_statement_seconds_count{verb=\"update\"}"), 1.0);
    // Inserted 3, replaced 1 (which counts twice), updated 2, deleted 1.
    assert_eq!(value("drumlin_mysql_rows_changed_total"), 8.0);
    assert!(value("drumlin_mysql_rows_sent_total") >= 2.0 && value("drumlin_mysql_rows_read_total") >= 2.0);
    server.stop();
}

#[tokio::test]
async fn pt_query_digest_reads_the_slow_log() {
    let data = tempfile::tempdir().unwrap();
    let server = Launch::new(data.path()).start();
    server.run(&["SELECT 'before it is on'"]).await;
    server
        .run(&[
            "CREATE DATABASE shop",
            "CREATE TABLE shop.bids (id INT PRIMARY KEY, amount INT)",
            "INSERT INTO shop.bids VALUES (1, 10), (2, 20), (3, 30)",
            "SET GLOBAL slow_query_log = ON",
            "SET GLOBAL long_query_time = 0",
        ])
        .await;
    let mut connection = server.connect().await;
    connection.query_drop("USE shop").await.unwrap();
    for id in 1..=3 {
        let query = format!("SELECT amount FROM bids WHERE id <= {id}");
        let _: Vec<i32> = connection.query(query).await.unwrap();
    }
    let _: Vec<i32> = connection.exec("SELECT amount FROM bids WHERE id = ?", (2,)).await.unwrap();
    connection.query_drop("SELECT nothing FROM bids").await.expect_err("no such column");
    connection.query_drop("CREATE USER ann IDENTIFIED BY 'geheim'").await.unwrap();
    // Only what reads that many rows.
    connection.query_drop("SET min_examined_row_limit = 2").await.unwrap();
    connection.query_drop("SELECT 'reads nothing'").await.unwrap();
    let _: Vec<i32> = connection.query("SELECT amount FROM bids ORDER BY amount").await.unwrap();
    connection.disconnect().await.unwrap();
    assert!(counters(&server).await["Slow_queries"] >= 6);
    server.stop();

    let path = data.path().join("slow.log");
    let log = std::fs::read_to_string(&path).unwrap();
    assert!(log.contains("# User@Host: root[root] @ localhost []  Id:"), "{log}");
    assert!(log.contains("Rows_sent: 3  Rows_examined: 3\nuse shop;\nSET timestamp="), "{log}");
    assert!(log.contains("\nSELECT nothing FROM bids;\n") && log.contains("\nSELECT amount FROM bids WHERE id = ?;\n"));
    assert!(!log.contains("geheim") && !log.contains("before it is on") && !log.contains("reads nothing"), "{log}");
    let report = digest(&path);
    // Three of one form, with their values taken out.
    let attributes = &report["classes"].as_array().expect("classes");
    let class = attributes.iter().find(|class| class["fingerprint"] == "select amount from bids where id <= ?");
    let class = class.unwrap_or_else(|| panic!("{report:#}"));
    assert_eq!(class["query_count"], 3, "{class:#}");
    assert_eq!(class["metrics"]["Rows_sent"]["sum"], "6", "{class:#}");
    assert_eq!(class["metrics"]["Rows_examined"]["sum"], "6", "{class:#}");
    assert_eq!(class["metrics"]["db"]["value"], "shop", "{class:#}");
}

fn digest(log: &Path) -> serde_json::Value {
    let program = tools::program("pt-query-digest", &["percona-toolkit"]);
    let output = Command::new(program)
        .args(["--no-version-check", "--output", "json", "--limit", "100%"])
        .arg(log)
        .env("HOME", log.parent().unwrap())
        .output()
        .expect("pt-query-digest runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let start = text.find('{').unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&output.stderr)));
    serde_json::from_str(text[start..].trim()).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[tokio::test]
async fn the_audit_log_tells_who_did_what() {
    let data = tempfile::tempdir().unwrap();
    let path = data.path().join("audit.log");
    let server = Launch::new(data.path()).argument("--audit-log").argument(path.to_str().unwrap()).start();
    server.run(&["CREATE DATABASE d", "CREATE USER ann IDENTIFIED BY 'geheim'"]).await;
    refused(&server).await;
    let mut connection = server.connect().await;
    connection.query_drop("SELECT '\"\n', 1 FROM d.missing").await.expect_err("it is missing");
    // Whoever rotates the file need not tell the server.
    let old = data.path().join("audit.log.1");
    std::fs::rename(&path, &old).unwrap();
    connection.disconnect().await.unwrap();
    server.stop();

    let text = std::fs::read_to_string(&old).unwrap_or_default() + &std::fs::read_to_string(&path).unwrap();
    assert!(!text.contains("geheim"), "{text}");
    let entries: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect();
    let find = |event: &str, field: &str, value: serde_json::Value| {
        let found = entries.iter().find(|entry| entry["event"] == event && entry[field] == value);
        found.unwrap_or_else(|| panic!("no {event} with {field} {value}: {text}"))
    };
    let guess = find("connect", "user", "mallory".into());
    assert_eq!(guess["error"], 1045);
    assert!(guess["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{guess}");
    let failed = find("statement", "error", 1146.into());
    assert_eq!(
        (&failed["user"], &failed["host"], &failed["verb"]),
        (&"root".into(), &"localhost".into(), &"select".into())
    );
    assert_eq!(failed["statement"], "SELECT '\"\n', 1 FROM d.missing");
    let made = find("statement", "statement", "CREATE USER ann IDENTIFIED BY '<secret>'".into());
    assert_eq!((&made["verb"], &made["error"]), (&"define".into(), &0.into()));
    let (came, went) = (find("connect", "error", 0.into()), find("disconnect", "user", "root".into()));
    assert_eq!(came["user"], "root");
    assert!(went["time"].as_str() > came["time"].as_str());
}
