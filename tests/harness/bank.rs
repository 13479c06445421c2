//! Writers that move money between accounts of a cluster, and know what was acknowledged: whatever happens to nodes
//! meanwhile, no acknowledged transfer may be missing and no money may be made or lost.

use super::cluster::Cluster;
use mysql_async::prelude::*;
use mysql_async::{Conn, Error};
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

pub const ACCOUNTS: u64 = 50;
pub const BALANCE: i64 = 1000;

/// A number of the environment.
pub fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text}: a number")))
}

/// A transfer whose commit was answered.
struct Acknowledged {
    id: u64,
    begun: Instant,
    at: Instant,
}

/// Writers that move money between accounts, through all computes, until they are told to stop.
pub struct Bank {
    cluster: Arc<Cluster>,
    stop: Arc<AtomicBool>,
    acknowledged: Arc<Mutex<Vec<Acknowledged>>>,
    writers: Vec<tokio::task::JoinHandle<()>>,
}

impl Bank {
    pub async fn open(cluster: &Arc<Cluster>, writers: u64) -> Bank {
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
    pub async fn wait_acknowledged(&self, since: Instant) -> Duration {
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
    pub async fn close(self) {
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
