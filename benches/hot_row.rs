//! One row that everybody updates: an auction's last minute, beside MariaDB with flush on commit on the same disk.
//!
//! `cargo bench --bench hot_row`. `HOT_ROW_SECONDS` is the time of each measurement (default 5), `HOT_ROW_SESSIONS`
//! a list of numbers of sessions (default `8,64,200`), `HOT_ROW_ONLY=drumlin` leaves the peer out.
//! Ends with an error if a statement failed or the row's final count is not the number of statements that succeeded.

#[path = "../tests/harness/mod.rs"]
mod harness;

use harness::Launch;
use harness::mariadb::MariaDb;
use mysql_async::prelude::*;
use mysql_async::{Conn, Error, Opts, OptsBuilder};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const UPDATE: &str = "update auction set bids = bids + 1, price = price + 0.01 where id = 1";

#[derive(Clone, Copy)]
enum Workload {
    Autocommit,
    ForUpdate,
}

impl Workload {
    fn name(self) -> &'static str {
        match self {
            Workload::Autocommit => "UPDATE in autocommit",
            Workload::ForUpdate => "BEGIN, SELECT ... FOR UPDATE, UPDATE, COMMIT",
        }
    }

    async fn once(self, connection: &mut Conn) -> Result<(), Error> {
        match self {
            Workload::Autocommit => connection.query_drop(UPDATE).await,
            Workload::ForUpdate => {
                connection.query_drop("begin").await?;
                let _: Option<u64> = connection.query_first("select bids from auction where id = 1 for update").await?;
                connection.query_drop(UPDATE).await?;
                connection.query_drop("commit").await
            }
        }
    }
}

struct Outcome {
    per_second: f64,
    errors: BTreeMap<u16, u64>,
}

/// All sessions at once, for a time.
async fn measure(options: &OptsBuilder, workload: Workload, sessions: usize, time: Duration) -> Outcome {
    let mut admin = connect(options).await;
    admin.query_drop("update auction set bids = 0, price = 1").await.expect("reset the row");
    let mut connections = Vec::new();
    for _ in 0..sessions {
        connections.push(connect(options).await);
    }
    let begun = Instant::now();
    let tasks: Vec<_> = connections
        .into_iter()
        .map(|mut connection| {
            tokio::spawn(async move {
                let mut done = 0_u64;
                let mut errors: BTreeMap<u16, u64> = BTreeMap::new();
                while begun.elapsed() < time {
                    match workload.once(&mut connection).await {
                        Ok(()) => done += 1,
                        Err(Error::Server(error)) => {
                            *errors.entry(error.code).or_default() += 1;
                            let _ = connection.query_drop("rollback").await;
                        }
                        Err(error) => panic!("{error}"),
                    }
                }
                (done, errors)
            })
        })
        .collect();
    let mut done = 0;
    let mut errors: BTreeMap<u16, u64> = BTreeMap::new();
    for task in tasks {
        let (count, failed) = task.await.expect("a session");
        done += count;
        failed.into_iter().for_each(|(code, count)| *errors.entry(code).or_default() += count);
    }
    let per_second = done as f64 / begun.elapsed().as_secs_f64();
    let bids: Option<u64> = admin.query_first("select bids from auction where id = 1").await.expect("read the row");
    assert_eq!(bids, Some(done), "every update that succeeded counts, and no other");
    Outcome { per_second, errors }
}

async fn connect(options: &OptsBuilder) -> Conn {
    let mut connection = Conn::new(Opts::from(options.clone())).await.expect("connect");
    connection.query_drop("use hot").await.expect("the database is there");
    connection
}

async fn prepare(options: &OptsBuilder) {
    let mut admin = Conn::new(Opts::from(options.clone())).await.expect("connect");
    for sql in [
        "create database hot",
        "use hot",
        "create table auction (id int primary key, bids bigint not null, price decimal(12, 2) not null, title varchar(80))",
        "insert into auction values (1, 0, 1, 'a lamp'), (2, 0, 1, 'a chair')",
        "set global max_connections = 500",
    ] {
        admin.query_drop(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
}

#[tokio::main]
async fn main() {
    let time = Duration::from_secs_f64(number("HOT_ROW_SECONDS").unwrap_or(5.0));
    let sessions = std::env::var("HOT_ROW_SESSIONS").unwrap_or_else(|_| "8,64,200".to_owned());
    let sessions: Vec<usize> = sessions.split(',').filter_map(|text| text.parse().ok()).collect();
    let directory = tempfile::tempdir().expect("a directory");
    let server = Launch::new(directory.path()).start();
    let peer = (std::env::var("HOT_ROW_ONLY").as_deref() != Ok("drumlin")).then(|| {
        MariaDb::start_with(&[
            "--innodb-flush-log-at-trx-commit=1",
            "--max-connections=500",
            "--innodb-deadlock-detect=ON",
        ])
    });
    let mut failed = false;
    prepare(&server.options()).await;
    if let Some(peer) = &peer {
        prepare(&peer.options()).await;
    }
    for workload in [Workload::Autocommit, Workload::ForUpdate] {
        println!("{}", workload.name());
        for &sessions in &sessions {
            let ours = measure(&server.options(), workload, sessions, time).await;
            failed |= !ours.errors.is_empty();
            let theirs = match &peer {
                Some(peer) => Some(measure(&peer.options(), workload, sessions, time).await),
                None => None,
            };
            let theirs = theirs.map_or(String::new(), |theirs| {
                let ratio = ours.per_second / theirs.per_second;
                format!(", mariadb {:.0} per second {:?}, ratio {ratio:.2}", theirs.per_second, theirs.errors)
            });
            println!("  {sessions} sessions: drumlin {:.0} per second {:?}{theirs}", ours.per_second, ours.errors);
        }
    }
    server.stop();
    assert!(!failed, "statements failed on drumlin");
}

fn number(name: &str) -> Option<f64> {
    std::env::var(name).ok()?.parse().ok()
}
