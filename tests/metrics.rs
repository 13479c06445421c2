//! What `/metrics` says of a page server and its store, held to what was done.

mod harness;

use harness::{Launch, Server};
use mysql_async::prelude::*;
use std::collections::HashMap;

/// By name and labels, as they are written.
struct Metrics(HashMap<String, f64>);

impl Metrics {
    async fn of(server: &Server) -> Metrics {
        let (status, text) = server.get("/metrics").await;
        assert_eq!(status, 200);
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let value = |line: &str| Some((line.rsplit_once(' ')?.0.to_owned(), line.rsplit_once(' ')?.1.parse().ok()?));
        Metrics(lines.filter_map(value).collect())
    }

    #[track_caller]
    fn get(&self, name: &str) -> f64 {
        *self.0.get(name).unwrap_or_else(|| panic!("there is no {name}"))
    }

    /// Of requests that went well; 0 where there were none.
    fn requests(&self, operation: &str) -> f64 {
        let name = format!("drumlin_object_store_requests_total{{operation=\"{operation}\",outcome=\"ok\"}}");
        self.0.get(&name).copied().unwrap_or_default()
    }
}

#[tokio::test]
async fn a_page_server_says_what_it_holds_and_what_its_requests_cost() {
    let data = tempfile::tempdir().unwrap();
    let launch = Launch::new(data.path()).argument("--cache-disk").argument("0");
    let server = launch.start();
    let before = Metrics::of(&server).await;
    server.run(&["CREATE DATABASE d", "CREATE TABLE d.t (id INT PRIMARY KEY, name VARCHAR(40))"]).await;
    let rows: Vec<String> = (0..500).map(|id| format!("({id}, 'name {id}')")).collect();
    // What was counted has been applied.
    server.run(&[&format!("INSERT INTO d.t VALUES {}", rows.join(",")), "SELECT COUNT(*) FROM d.t"]).await;
    server.run(&["FLUSH TABLES"]).await;
    let after = Metrics::of(&server).await;
    assert_eq!(after.get("pageserver_memtable_bytes"), 0.0);
    assert!(after.get("pageserver_durable_lsn") > before.get("pageserver_applied_lsn"));
    assert_eq!(after.get("pageserver_durable_lsn"), after.get("pageserver_applied_lsn"));
    assert_eq!((after.get("pageserver_tablets"), after.get("pageserver_compaction_debt_bytes")), (1.0, 0.0));
    assert!(after.get("pageserver_layers") >= 1.0 && after.get("pageserver_read_amplification") >= 1.0);
    assert!(after.get("pageserver_pressure") == 0.0 && after.get("wal_pressure") == 0.0);
    let written = |metrics: &Metrics| metrics.get("drumlin_object_store_bytes_total{operation=\"put\"}");
    assert!(written(&after) >= after.get("pageserver_layer_bytes"), "every layer was put");
    assert!(after.requests("put") > before.requests("put"), "a layer");
    assert!(after.requests("put_if_absent") > before.requests("put_if_absent"), "a manifest");
    let cost = after.get("drumlin_object_store_cost_dollars_total{operation=\"put\"}");
    assert!((cost - after.requests("put") * 5e-6).abs() < 1e-9, "{cost}");
    server.stop();

    // Nothing is in memory: the first look at a row reads its block from the store, the second does not.
    let server = launch.start();
    let mut connection = server.connect().await;
    let mut look = async || -> Metrics {
        let name: Option<String> = connection.query_first("SELECT name FROM d.t WHERE id = 77").await.unwrap();
        assert_eq!(name.as_deref(), Some("name 77"));
        Metrics::of(&server).await
    };
    let first = look().await;
    let second = look().await;
    let more = |name: &str| second.get(name) - first.get(name);
    assert!(first.get("pageserver_cache_misses_total") > 0.0 && first.requests("get_range") > 0.0);
    assert_eq!(more("pageserver_cache_misses_total"), 0.0);
    assert!(more("pageserver_cache_memory_hits_total") > 0.0 && more("pageserver_keys_read_total") > 0.0);
    assert_eq!(second.get("pageserver_cache_disk_hits_total"), 0.0);
    assert!(second.get("pageserver_cache_memory_bytes") > 0.0);
    assert!(more("pageserver_layers_touched_sum") <= more("pageserver_layers_touched_count") * 3.0);
    for name in ["pageserver_apply_lag_lsns", "pageserver_apply_lag_seconds", "pageserver_layers_touched_count"] {
        second.get(name);
    }
    connection.disconnect().await.unwrap();
    server.stop();
}

/// Page servers are told by the log to keep what it reads.
#[tokio::test]
async fn the_log_hears_of_an_open_transaction_and_of_its_end() {
    let data = tempfile::tempdir().unwrap();
    let server = Launch::new(data.path()).start();
    server.run(&["CREATE DATABASE d", "CREATE TABLE d.t (id INT PRIMARY KEY AUTO_INCREMENT)"]).await;
    let mut connection = server.connect().await;
    connection.query_drop("START TRANSACTION WITH CONSISTENT SNAPSHOT").await.unwrap();
    wait_until(async || {
        server.run(&["INSERT INTO d.t VALUES (NULL)"]).await;
        let metrics = Metrics::of(&server).await;
        (1.0..metrics.get("wal_committed_lsn")).contains(&metrics.get("wal_oldest_snapshot_lsn"))
    })
    .await;
    connection.query_drop("COMMIT").await.unwrap();
    wait_until(async || Metrics::of(&server).await.get("wal_oldest_snapshot_lsn") == 0.0).await;
    connection.disconnect().await.unwrap();
    server.stop();
}

async fn wait_until(holds: impl AsyncFn() -> bool) {
    let begun = std::time::Instant::now();
    while !holds().await {
        assert!(begun.elapsed().as_secs() < 120, "it did not come");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}
