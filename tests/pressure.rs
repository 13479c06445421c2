//! Backpressure as sessions see it: page servers are behind, and a transaction that is going to write waits before its first
//! lock; who reads does not, and who holds a lock does not.

use common::env::{Clock, SystemClock};
use common::service::WalService;
use common::service::wal::PressureReport;
use compute::{Compute, ComputeConfig};
use mysql_async::prelude::*;
use mysql_async::{Conn, Opts, OptsBuilder};
use object_store::memory::InMemory;
use pageserver::PageServer;
use std::sync::Arc;
use std::time::Duration;
use wal::{WalConfig, WalEnvironment, WalNode};

/// Longer than anything here takes, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

struct Roles {
    wal: WalNode,
    page_server: PageServer,
    compute: Compute,
    registry: prometheus::Registry,
    _directory: tempfile::TempDir,
}

impl Roles {
    async fn start() -> Roles {
        let directory = tempfile::tempdir().unwrap();
        let registry = prometheus::Registry::new();
        let mut environment = WalEnvironment::new(Arc::new(|| SystemClock.wall_us()));
        environment.registry = Some(registry.clone());
        let wal = wal::start(WalConfig::single(directory.path().join("wal")), environment).await.unwrap();
        let config = pageserver::Config {
            cache: pageserver::CacheConfig { memory_bytes: 16 << 20, disk: None },
            ..pageserver::Config::default()
        };
        let page_server = pageserver::start(config, wal.service(), Arc::new(InMemory::new())).await.unwrap();
        wal.set_page_service(page_server.service());
        let config = ComputeConfig {
            listen: "127.0.0.1:0".parse().unwrap(),
            data_dir: directory.path().to_owned(),
            tls: compute::TlsFiles::default(),
            root_password: String::new(),
            insecure: false,
            secure_file_priv: None,
            proxies: Vec::new(),
            audit_log: None,
            bulk_bytes: 64 << 20,
            transaction_memory_bytes: 256 << 20,
            query_memory_bytes: 1 << 30,
            total_query_memory_bytes: 4 << 30,
        };
        let compute = compute::start(config, wal.service(), page_server.service()).await.unwrap();
        Roles { wal, page_server, compute, registry, _directory: directory }
    }

    async fn connect(&self) -> Conn {
        let address = self.compute.local_addr();
        let options = OptsBuilder::default().ip_or_hostname(address.ip().to_string()).tcp_port(address.port());
        Conn::new(Opts::from(options.user(Some("root")).prefer_socket(false))).await.unwrap()
    }

    /// Commits that waited at the log.
    fn delayed_commits(&self) -> f64 {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name() == "wal_commits_delayed_total").expect("a metric");
        family.get_metric()[0].get_counter().get_value()
    }

    async fn stop(self) {
        self.compute.shutdown().await;
        self.page_server.shutdown().await.unwrap();
        self.wal.shutdown().await;
    }
}

fn metric(name: &str) -> f64 {
    let text = common::telemetry::metrics_text();
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok()).unwrap_or(0.0)
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("not in time: {what}"));
}

/// A page server that says again and again how far behind it is.
fn press(wal: Arc<dyn WalService>, pressure: f64) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        loop {
            let _ = wal.report_pressure(PressureReport { reporter: 77, pressure }).await;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    })
}

async fn is_waiting(connection: &mut Conn) -> bool {
    type Row = (u64, String, String, Option<String>, String, u64, Option<String>, Option<String>);
    let rows: Vec<Row> = connection.query("SHOW PROCESSLIST").await.unwrap();
    rows.iter().any(|row| row.6.as_deref() == Some("Waiting for page servers"))
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_wait_before_their_first_lock_and_nobody_else_waits() {
    let roles = Roles::start().await;
    let (mut writer, mut other) = (roles.connect().await, roles.connect().await);
    for statement in [
        "CREATE DATABASE d",
        "CREATE TABLE d.t (id INT PRIMARY KEY, text LONGTEXT)",
        "INSERT INTO d.t VALUES (1, 'small'), (2, 'small')",
    ] {
        writer.query_drop(statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
    let delayed = || metric("drumlin_transactions_delayed_total");
    assert_eq!(delayed(), 0.0);

    let pressing = press(roles.wal.service(), 1.0);
    // Until computes have heard of it: whoever writes is one that waits.
    until("a transaction waits", async || {
        writer.query_drop("UPDATE d.t SET text = 'a' WHERE id = 2").await.unwrap();
        delayed() > 0.0
    })
    .await;

    // It has written a lot, and its next transaction waits for that: before it locks anything. A slow machine may miss it.
    writer.query_drop("INSERT INTO d.t VALUES (3, 'small')").await.unwrap();
    let id: Option<u64> = writer.query_first("SELECT CONNECTION_ID()").await.unwrap();
    let id = id.expect("a number");
    loop {
        writer.query_drop("UPDATE d.t SET text = REPEAT('x', 33554432) WHERE id = 3").await.unwrap();
        let task = tokio::spawn(async move {
            writer.query_drop("BEGIN").await.unwrap();
            let outcome = writer.query_drop("UPDATE d.t SET text = 'b' WHERE id = 1").await;
            (writer, outcome)
        });
        until("it waits", async || task.is_finished() || is_waiting(&mut other).await).await;
        // Reads go on, and the row is free for who takes it.
        let before = delayed();
        let count: Option<u64> = other.query_first("SELECT COUNT(*) FROM d.t").await.unwrap();
        assert_eq!((count, delayed()), (Some(3), before));
        let taken = other.query_drop("SELECT id FROM d.t WHERE id = 1 FOR UPDATE NOWAIT").await;
        let was_seen = is_waiting(&mut other).await;
        other.query_drop(format!("KILL QUERY {id}")).await.unwrap();
        let (back, outcome) = task.await.unwrap();
        writer = back;
        let rolled_back = writer.query_drop("ROLLBACK").await;
        match (was_seen, outcome) {
            (true, Err(mysql_async::Error::Server(error))) => {
                assert_eq!(error.code, 1317, "{error}");
                taken.expect("nobody has locked it");
                break;
            }
            (_, Err(mysql_async::Error::Server(error))) if error.code == 1317 => {}
            (_, outcome) => outcome.expect("an update"),
        }
        // The kill may have come late.
        if rolled_back.is_err() {
            writer.query_drop("ROLLBACK").await.unwrap();
        }
    }

    // One that holds a lock goes on, whatever its session owes.
    let mut large = roles.connect().await;
    let (before, at_the_log) = loop {
        large.query_drop("BEGIN").await.unwrap();
        let now = (delayed(), roles.delayed_commits());
        large.query_drop("SELECT id FROM d.t WHERE id = 1 FOR UPDATE").await.unwrap();
        if delayed() > now.0 {
            break now;
        }
        // The reports were late.
        large.query_drop("ROLLBACK").await.unwrap();
    };
    large.query_drop("INSERT INTO d.t VALUES (4, REPEAT('x', 8388608))").await.unwrap();
    large.query_drop("UPDATE d.t SET text = 'c' WHERE id = 1").await.unwrap();
    large.query_drop("COMMIT").await.unwrap();
    assert_eq!((delayed(), roles.delayed_commits()), (before + 1.0, at_the_log), "at its first lock, and never again");

    pressing.abort();
    for connection in [writer, other, large] {
        connection.disconnect().await.unwrap();
    }
    roles.stop().await;
}
