//! The log is lost with all its directories, and the object store is there: a log founded anew has everything up to where
//! the old one was archived.

mod harness;

use harness::cluster::Cluster;
use harness::{Launch, Server};
use mysql_async::prelude::*;
use mysql_async::{Conn, Opts, OptsBuilder};
use rustix::process::Signal;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

const WRITERS: u64 = 4;
const ACCOUNTS: u64 = 10;
const BALANCE: i64 = 100;
/// Until an archive that writes every second has what was committed, on a busy machine.
const ARCHIVED_WITHIN: Duration = Duration::from_secs(60);

const TABLES: [&str; 4] = [
    "CREATE DATABASE d",
    "CREATE TABLE d.accounts (id BIGINT PRIMARY KEY, balance BIGINT NOT NULL)",
    "CREATE TABLE d.transfers (id BIGINT PRIMARY KEY AUTO_INCREMENT, amount BIGINT NOT NULL)",
    "CREATE TABLE d.copies (id BIGINT PRIMARY KEY, amount BIGINT NOT NULL)",
];

async fn connect(address: SocketAddr) -> mysql_async::Result<Conn> {
    let options = OptsBuilder::default().ip_or_hostname(address.ip().to_string()).tcp_port(address.port());
    Conn::new(Opts::from(options.user(Some("root")).prefer_socket(false))).await
}

/// Sessions that move money, and write each transfer down twice in its transaction.
struct Load {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<Mutex<Vec<u64>>>,
    writers: JoinSet<()>,
}

impl Load {
    async fn begin(address: SocketAddr) -> Load {
        let mut connection = connect(address).await.expect("connect");
        let accounts: Vec<String> = (0..ACCOUNTS).map(|id| format!("({id}, {BALANCE})")).collect();
        let accounts = format!("INSERT INTO d.accounts VALUES {}", accounts.join(","));
        for statement in TABLES.into_iter().chain([accounts.as_str()]) {
            connection.query_drop(statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
        }
        let load = Load { stop: Arc::default(), acknowledged: Arc::default(), writers: JoinSet::new() };
        let mut load = load;
        for writer in 0..WRITERS {
            let (stop, acknowledged) = (load.stop.clone(), load.acknowledged.clone());
            load.writers.spawn(async move {
                let mut connection = connect(address).await.expect("connect");
                for turn in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    match transfer(&mut connection, writer, turn).await {
                        Ok(id) => acknowledged.lock().unwrap().push(id),
                        // Ended on purpose by the victim of a deadlock, or with the server.
                        Err(mysql_async::Error::Server(_)) => drop(connection.query_drop("ROLLBACK").await),
                        Err(_) => return,
                    }
                }
            });
        }
        load
    }

    fn so_far(&self) -> Vec<u64> {
        self.acknowledged.lock().unwrap().clone()
    }

    async fn wait(&self, count: usize) {
        let begun = Instant::now();
        while self.so_far().len() < count {
            assert!(begun.elapsed() < ARCHIVED_WITHIN, "{count} transfers take too long");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn end(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        while self.writers.join_next().await.is_some() {}
    }
}

async fn transfer(connection: &mut Conn, writer: u64, turn: u64) -> mysql_async::Result<u64> {
    let (from, to) = ((writer + turn) % ACCOUNTS, (writer * 3 + turn * 7 + 1) % ACCOUNTS);
    connection.query_drop("BEGIN").await?;
    connection.query_drop(format!("UPDATE d.accounts SET balance = balance - 1 WHERE id = {from}")).await?;
    connection.query_drop(format!("UPDATE d.accounts SET balance = balance + 1 WHERE id = {to}")).await?;
    connection.query_drop(format!("INSERT INTO d.transfers (amount) VALUES ({turn})")).await?;
    let id = connection.last_insert_id().expect("an id");
    connection.query_drop(format!("INSERT INTO d.copies VALUES ({id}, {turn})")).await?;
    connection.query_drop("COMMIT").await?;
    Ok(id)
}

/// Everything that was acknowledged is there, transactions are whole, and numbers go on.
async fn check(connection: &mut Conn, acknowledged: &[u64]) {
    let total: Option<i64> = connection.query_first("SELECT SUM(balance) FROM d.accounts").await.expect("total");
    assert_eq!(total, Some(ACCOUNTS as i64 * BALANCE), "no money is made or lost");
    let ids: Vec<u64> = connection.query("SELECT id FROM d.transfers ORDER BY id").await.expect("transfers");
    let copies: Vec<u64> = connection.query("SELECT id FROM d.copies ORDER BY id").await.expect("copies");
    assert_eq!(ids, copies, "each transaction is there whole or not at all");
    let missing: Vec<&u64> = acknowledged.iter().filter(|id| ids.binary_search(id).is_err()).collect();
    assert!(
        missing.is_empty(),
        "of {} acknowledged and archived transfers are missing: {missing:?}",
        acknowledged.len()
    );
    connection.query_drop("INSERT INTO d.transfers (amount) VALUES (0)").await.expect("an insert");
    let new = connection.last_insert_id().expect("an id");
    let newest = ids.iter().chain(acknowledged).max().copied().unwrap_or(0);
    assert!(new > newest, "AUTO_INCREMENT went back: {new} after {newest}");
    connection.query_drop(format!("INSERT INTO d.copies VALUES ({new}, 0)")).await.expect("an insert");
}

async fn metric(server: &Server, name: &str) -> u64 {
    let (_, text) = server.get("/metrics").await;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse::<f64>().ok());
    value.unwrap_or_else(|| panic!("no {name} in {text}")) as u64
}

/// Waits until everything that is committed now is archived.
async fn wait_archived(server: &Server) -> u64 {
    let (committed, begun) = (metric(server, "wal_committed_lsn").await, Instant::now());
    while metric(server, "wal_archived_lsn").await < committed {
        assert!(begun.elapsed() < ARCHIVED_WITHIN, "not archived in time");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    committed
}

fn launch(data: &Path, store: &Path) -> Launch {
    Launch::new(data).store(&format!("file://{}", store.display())).argument("--archive-age").argument("1s")
}

fn doctor(store: &Path) -> (i32, String) {
    let mut command = Command::new(harness::program());
    command.args(["doctor", "--store", &format!("file://{}", store.display())]);
    let Output { status, stdout, .. } = command.output().expect("run the drumlin binary");
    (status.code().expect("it ends by itself"), String::from_utf8(stdout).expect("text"))
}

/// Branches of XA transactions that are prepared.
async fn prepared(connection: &mut Conn) -> Vec<String> {
    let rows: Vec<(i64, i64, i64, String)> = connection.query("XA RECOVER").await.expect("XA RECOVER");
    let mut names: Vec<String> = rows.into_iter().map(|(_, _, _, name)| name).collect();
    names.sort();
    names
}

async fn prepare(address: SocketAddr, name: &str, id: u64) {
    let mut connection = connect(address).await.expect("connect");
    for statement in [
        format!("XA START '{name}'"),
        format!("INSERT INTO d.xa VALUES ({id})"),
        format!("XA END '{name}'"),
        format!("XA PREPARE '{name}'"),
    ] {
        connection.query_drop(&statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_log_is_lost_has_all_that_was_archived() {
    let (data, store) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = launch(data.path(), store.path()).start();
    let load = Load::begin(server.mysql()).await;
    load.wait(10).await;
    server.run(&["CREATE TABLE d.xa (id INT PRIMARY KEY)"]).await;
    prepare(server.mysql(), "in layers", 1).await;
    // Something is in layers, and something is not.
    server.run(&["FLUSH TABLES"]).await;
    prepare(server.mysql(), "in the log", 2).await;
    server.run(&["CREATE TABLE d.late (id INT PRIMARY KEY)", "INSERT INTO d.late VALUES (7)"]).await;
    load.wait(40).await;
    let acknowledged = load.so_far();
    let archived = wait_archived(&server).await;
    let (code, report) = doctor(store.path());
    assert_eq!(code, 0, "{report}");
    server.kill();
    load.end().await;

    let fresh = tempfile::tempdir().unwrap();
    let server = launch(fresh.path(), store.path()).start();
    let mut connection = server.connect().await;
    assert!(metric(&server, "wal_archived_lsn").await >= archived || wait_archived(&server).await >= archived);
    check(&mut connection, &acknowledged).await;
    assert!(metric(&server, "wal_committed_lsn").await > archived);
    let late: Vec<u64> = connection.query("SELECT id FROM d.late").await.expect("a table of the archived part");
    assert_eq!(late, [7]);
    assert_eq!(prepared(&mut connection).await, ["in layers", "in the log"]);
    connection.query_drop("SET innodb_lock_wait_timeout = 1").await.unwrap();
    for id in [1, 2] {
        let refused = connection.query_drop(format!("SELECT * FROM d.xa WHERE id = {id} FOR UPDATE NOWAIT")).await;
        let code = match &refused {
            Err(mysql_async::Error::Server(error)) => error.code,
            other => panic!("the lock of a prepared transaction is gone: {other:?}"),
        };
        assert_eq!(code, 3572, "{refused:?}");
    }
    connection.query_drop("XA COMMIT 'in layers'").await.expect("XA COMMIT");
    connection.query_drop("XA COMMIT 'in the log'").await.expect("XA COMMIT");
    let ids: Vec<u64> = connection.query("SELECT id FROM d.xa ORDER BY id").await.expect("rows");
    assert_eq!(ids, [1, 2]);

    // Again, before anything is flushed: part of it is in the archive of the first log alone.
    let acknowledged: Vec<u64> = connection.query("SELECT id FROM d.transfers").await.expect("transfers");
    wait_archived(&server).await;
    drop(connection);
    server.kill();
    let fresh = tempfile::tempdir().unwrap();
    let server = launch(fresh.path(), store.path()).start();
    check(&mut server.connect().await, &acknowledged).await;
    let (code, report) = doctor(store.path());
    assert_eq!(code, 0, "{report}");
    server.stop();
}

/// Archived objects of all generations, oldest first.
fn archived_objects(store: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for generation in std::fs::read_dir(store.join("log")).expect("an archive") {
        for object in std::fs::read_dir(generation.unwrap().path()).unwrap() {
            found.extend(Some(object.unwrap().path()).filter(|path| !path.ends_with("base")));
        }
    }
    found.sort();
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gap_in_the_archive_is_told_and_never_passed_over() {
    let (data, store) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = launch(data.path(), store.path()).start();
    server.run(&["CREATE DATABASE d", "CREATE TABLE d.t (id INT PRIMARY KEY)"]).await;
    for id in 1..=3 {
        server.run(&[&format!("INSERT INTO d.t VALUES ({id})")]).await;
        wait_archived(&server).await;
    }
    server.kill();
    let objects = archived_objects(store.path());
    assert!(objects.len() >= 3, "{objects:?}");
    // The third row is in the last one, the second in that before it; which is damaged.
    let damaged = &objects[objects.len() - 2];
    let mut bytes = std::fs::read(damaged).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(damaged, bytes).unwrap();
    let (code, report) = doctor(store.path());
    assert_eq!(code, 4, "{report}");
    assert!(report.contains("does not match its checksum") && report.contains("are missing"), "{report}");

    let fresh = tempfile::tempdir().unwrap();
    let (code, line) = launch(fresh.path(), store.path()).fail();
    assert_eq!(code, 4, "{line}");
    assert!(line.contains("has a gap") && line.contains("--accept-archive-gap"), "{line}");
    let server = launch(fresh.path(), store.path()).argument("--accept-archive-gap").start();
    let mut connection = server.connect().await;
    let ids: Vec<u64> = connection.query("SELECT id FROM d.t ORDER BY id").await.expect("rows");
    assert_eq!(ids, [1], "what is before the gap");
    connection.query_drop("INSERT INTO d.t VALUES (4)").await.expect("an insert");
    drop(connection);
    wait_archived(&server).await;
    server.kill();
    // What was given up stays given up.
    let fresh = tempfile::tempdir().unwrap();
    let server = launch(fresh.path(), store.path()).start();
    let ids: Vec<u64> = server.connect().await.query("SELECT id FROM d.t ORDER BY id").await.expect("rows");
    assert_eq!(ids, [1, 4]);
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_loses_all_wal_nodes_has_all_that_was_archived() {
    let cluster = Cluster::up_as(3, 1, 1, &["--archive-age", "1s"], |_| Vec::new());
    let load = Load::begin(cluster.node("compute-1").listen).await;
    load.wait(10).await;
    let mut connection = cluster.connect("compute-1").await.expect("connect");
    connection.query_drop("FLUSH TABLES").await.expect("a flush");
    load.wait(20).await;
    // Another leader goes on with the archive.
    cluster.end(&cluster.with_part("leader"), Signal::KILL);
    load.wait(40).await;
    let acknowledged = load.so_far();
    let committed = cluster.committed(&cluster.with_part("leader"));
    let archived = cluster.wait("the archive", || {
        let nodes = cluster.status();
        let leader = nodes.iter().find(|node| node["archive"]["lsn"].as_u64() >= Some(committed))?;
        leader["archive"]["lsn"].as_u64()
    });
    assert!(archived >= committed);
    for node in cluster.of_role("compute").iter().chain(&cluster.of_role("pageserver")).chain(&cluster.of_role("wal")) {
        if cluster.is_running(&node.name) {
            cluster.end(&node.name, Signal::KILL);
        }
    }
    load.end().await;
    for node in cluster.of_role("wal") {
        std::fs::remove_dir_all(cluster.directory().join(&node.name)).unwrap();
    }
    tokio::task::block_in_place(|| cluster.up_again());
    let mut connection = cluster.connect("compute-1").await.expect("connect");
    check(&mut connection, &acknowledged).await;
    assert!(cluster.committed(&cluster.with_part("leader")) > archived);
    let (code, report) = doctor(&cluster.directory().join("objects"));
    assert_eq!(code, 0, "{report}");
    drop(connection);
    cluster.down();
}
