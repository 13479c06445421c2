//! A cluster of real processes under writers, while its nodes are killed, stopped, wiped and replaced.
//!
//! Short by default. Long runs: `DRUMLIN_CLUSTER_SECONDS` (seconds of kills, one every five), `DRUMLIN_CLUSTER_WRITERS`,
//! `DRUMLIN_FRESH_PAIRS`; with `-- --nocapture` the figures are shown.

mod harness;

use harness::cluster::Cluster;
use mysql_async::prelude::*;
use mysql_async::{Conn, Error};
use rustix::process::Signal;
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const ACCOUNTS: u64 = 50;
const BALANCE: i64 = 1000;
const KILL_INTERVAL: Duration = Duration::from_secs(5);

/// One cluster at a time: it has enough processes.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text}: a number")))
}

/// A transfer whose commit was answered.
struct Acknowledged {
    id: u64,
    begun: Instant,
    at: Instant,
}

/// Writers that move money between accounts, through all computes, until they are told to stop.
struct Bank {
    cluster: Arc<Cluster>,
    stop: Arc<AtomicBool>,
    acknowledged: Arc<Mutex<Vec<Acknowledged>>>,
    writers: Vec<tokio::task::JoinHandle<()>>,
}

impl Bank {
    async fn open(cluster: &Arc<Cluster>, writers: u64) -> Bank {
        let mut connection = cluster.connect("compute-1").await.expect("connect");
        for statement in [
            "CREATE DATABASE bank",
            "CREATE TABLE bank.accounts (id BIGINT PRIMARY KEY, balance BIGINT NOT NULL)",
            "CREATE TABLE bank.transfers (id BIGINT PRIMARY KEY, amount BIGINT NOT NULL)",
        ] {
            connection.query_drop(statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
        }
        let rows: Vec<String> = (0..ACCOUNTS).map(|id| format!("({id}, {BALANCE})")).collect();
        connection.query_drop(format!("INSERT INTO bank.accounts VALUES {}", rows.join(","))).await.expect("accounts");
        let bank =
            Bank { cluster: cluster.clone(), stop: Arc::default(), acknowledged: Arc::default(), writers: Vec::new() };
        let next = Arc::new(AtomicU64::new(1));
        let computes = cluster.of_role("compute");
        let spawn = |number: u64| {
            let compute = computes[number as usize % computes.len()].name.clone();
            let (cluster, stop) = (cluster.clone(), bank.stop.clone());
            let (acknowledged, next) = (bank.acknowledged.clone(), next.clone());
            tokio::spawn(async move {
                let mut connection = None;
                while !stop.load(Ordering::Relaxed) {
                    if connection.is_none() {
                        connection = cluster.connect(&compute).await.ok();
                    }
                    let Some(open) = &mut connection else {
                        tokio::time::sleep(Duration::from_millis(50)).await;
                        continue;
                    };
                    let id = next.fetch_add(1, Ordering::Relaxed);
                    let begun = Instant::now();
                    match transfer(open, id).await {
                        Ok(()) => acknowledged.lock().unwrap().push(Acknowledged { id, begun, at: Instant::now() }),
                        // Refused, or not known: only what was acknowledged has to be there.
                        Err(Error::Server(_)) => drop(open.query_drop("ROLLBACK").await),
                        Err(_) => connection = None,
                    }
                }
            })
        };
        Bank { writers: (0..writers).map(spawn).collect(), ..bank }
    }

    /// When the first transfer was acknowledged that began after `since`: the answer of an earlier one may have been on
    /// its way.
    fn acknowledged_after(&self, since: Instant) -> Option<Instant> {
        let acknowledged = self.acknowledged.lock().unwrap();
        let later = acknowledged.iter().rev().take_while(|transfer| transfer.at > since);
        later.filter(|transfer| transfer.begun > since).map(|transfer| transfer.at).min()
    }

    /// How long after `since` that was.
    async fn wait_acknowledged(&self, since: Instant) -> Duration {
        let begun = Instant::now();
        loop {
            if let Some(at) = self.acknowledged_after(since) {
                return at - since;
            }
            assert!(begun.elapsed() < Duration::from_secs(120), "no commit is acknowledged{}", self.cluster.logs());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Stops the writers, and finds everything as it was acknowledged, through every compute.
    async fn close(self) {
        self.stop.store(true, Ordering::Relaxed);
        for writer in self.writers {
            writer.await.unwrap();
        }
        let acknowledged: Vec<u64> = self.acknowledged.lock().unwrap().iter().map(|transfer| transfer.id).collect();
        for compute in self.cluster.of_role("compute") {
            let mut connection = self.cluster.connect(&compute.name).await.expect("connect");
            let total: Option<i64> = connection.query_first("SELECT SUM(balance) FROM bank.accounts").await.unwrap();
            assert_eq!(total, Some(ACCOUNTS as i64 * BALANCE), "through {}", compute.name);
            let found: Vec<u64> = connection.query("SELECT id FROM bank.transfers").await.unwrap();
            let found: HashSet<u64> = found.into_iter().collect();
            let lost: Vec<&u64> = acknowledged.iter().filter(|id| !found.contains(id)).collect();
            assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
        }
        println!("{} transfers acknowledged, none lost", acknowledged.len());
    }
}

/// Moves some money; the accounts follow from the transfer's number.
async fn transfer(connection: &mut Conn, id: u64) -> Result<(), Error> {
    let (from, to, amount) = (id * 7 % ACCOUNTS, (id * 13 + 1) % ACCOUNTS, id % 10);
    connection.query_drop("BEGIN").await?;
    connection.query_drop(format!("INSERT INTO bank.transfers VALUES ({id}, {amount})")).await?;
    // In one order, or pairs would meet in deadlocks all the time.
    for (account, change) in if from < to { [(from, -1), (to, 1)] } else { [(to, 1), (from, -1)] } {
        let change = change * amount as i64;
        connection
            .query_drop(format!("UPDATE bank.accounts SET balance = balance + ({change}) WHERE id = {account}"))
            .await?;
    }
    connection.query_drop("COMMIT").await
}

fn print_times(what: &str, times: &mut [Duration]) {
    times.sort();
    let (median, worst) = (times[times.len() / 2], times[times.len() - 1]);
    println!("{what}: {} times, median {median:?}, worst {worst:?}", times.len());
}

/// Writes through one compute and reads through the other, `pairs` times.
async fn check_fresh(cluster: &Cluster, pairs: u64) {
    let mut a = cluster.connect("compute-1").await.expect("connect");
    let mut b = cluster.connect("compute-2").await.expect("connect");
    a.query_drop("CREATE TABLE bank.fresh (id INT PRIMARY KEY, value BIGINT NOT NULL)").await.expect("create");
    a.query_drop("INSERT INTO bank.fresh VALUES (1, 0)").await.expect("insert");
    for value in 1..=pairs {
        let (write, read) = if value % 2 == 0 { (&mut a, &mut b) } else { (&mut b, &mut a) };
        write.query_drop(format!("UPDATE bank.fresh SET value = {value} WHERE id = 1")).await.expect("update");
        let seen: Option<u64> = read.query_first("SELECT value FROM bank.fresh WHERE id = 1").await.expect("select");
        assert_eq!(seen, Some(value), "a stale answer");
    }
    println!("{pairs} pairs of a write through one compute and a read through the other: none stale");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_while_nodes_of_every_role_die() {
    let _alone = ALONE.lock().await;
    let cluster = Arc::new(Cluster::up(3, 2, 2));
    let bank = Bank::open(&cluster, setting("DRUMLIN_CLUSTER_WRITERS", 4)).await;
    bank.wait_acknowledged(Instant::now()).await;

    // The leader of the log, again and again.
    let kills = (setting("DRUMLIN_CLUSTER_SECONDS", 5) / KILL_INTERVAL.as_secs()).max(1);
    let mut times = Vec::new();
    for _ in 0..kills {
        let leader = cluster.with_part("leader");
        let killed = Instant::now();
        cluster.end(&leader, Signal::KILL);
        times.push(bank.wait_acknowledged(killed).await);
        cluster.restart(&leader);
        tokio::task::block_in_place(|| cluster.wait_ready(&leader));
        tokio::time::sleep(KILL_INTERVAL.saturating_sub(killed.elapsed()).min(Duration::from_secs(kills))).await;
    }
    print_times("kill -9 of the leader to the next acknowledged commit", &mut times);

    // One that stands still must not acknowledge anything when it wakes up.
    let leader = cluster.with_part("leader");
    let stopped = Instant::now();
    cluster.signal(&leader, Signal::STOP);
    println!("SIGSTOP of the leader: {:?} to the next acknowledged commit", bank.wait_acknowledged(stopped).await);
    tokio::time::sleep(Duration::from_secs(if kills > 2 { 10 } else { 1 })).await;
    cluster.signal(&leader, Signal::CONT);
    let woken = Instant::now();
    bank.wait_acknowledged(woken).await;

    // The page server that owns the tablets: its standby answers, and takes over.
    let owner = cluster.with_part("owner");
    let mut reader = cluster.connect("compute-1").await.expect("connect");
    let killed = Instant::now();
    cluster.end(&owner, Signal::KILL);
    let total: Option<i64> = reader.query_first("SELECT SUM(balance) FROM bank.accounts").await.expect("a read");
    println!("kill -9 of the owning page server: a read answers after {:?}", killed.elapsed());
    assert_eq!(total, Some(ACCOUNTS as i64 * BALANCE));
    tokio::task::block_in_place(|| {
        cluster.wait("the standby owns the tablets", || {
            cluster.status().iter().any(|node| node["part"] == "owner" && node["name"] != owner.as_str()).then_some(())
        })
    });
    println!("its standby owns the tablets after {:?}", killed.elapsed());
    cluster.restart(&owner);
    tokio::task::block_in_place(|| cluster.wait_ready(&owner));

    // A compute: the other one is undisturbed.
    cluster.end("compute-2", Signal::KILL);
    let total: Option<i64> = reader.query_first("SELECT SUM(balance) FROM bank.accounts").await.expect("a read");
    assert_eq!(total, Some(ACCOUNTS as i64 * BALANCE));
    cluster.restart("compute-2");
    tokio::task::block_in_place(|| cluster.wait_ready("compute-2"));

    check_fresh(&cluster, setting("DRUMLIN_FRESH_PAIRS", 50)).await;
    bank.close().await;
    drop(reader);
    Arc::into_inner(cluster).expect("the writers have ended").down();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wal_nodes_lose_their_disks_one_after_the_other_and_come_back_as_new_members() {
    let _alone = ALONE.lock().await;
    let cluster = Arc::new(Cluster::up(3, 1, 1));
    let bank = Bank::open(&cluster, 2).await;
    for node in cluster.of_role("wal") {
        bank.wait_acknowledged(Instant::now()).await;
        // The leader is among them: stopped cleanly, it hands over.
        let stopped = Instant::now();
        cluster.end(&node.name, Signal::TERM);
        println!("{} stopped: {:?} to the next acknowledged commit", node.name, bank.wait_acknowledged(stopped).await);
        std::fs::remove_dir_all(cluster.directory().join(&node.name)).unwrap();
        cluster.restart(&node.name);
        tokio::task::block_in_place(|| cluster.wait_ready(&node.name));
    }
    bank.wait_acknowledged(Instant::now()).await;
    bank.close().await;
    Arc::into_inner(cluster).expect("the writers have ended").down();
}
