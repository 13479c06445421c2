//! What a commit costs: with one session beside a bare fdatasync of as many bytes, with 64 how many share one fdatasync.
//!
//! `cargo bench --bench commit_latency`. `COMMIT_SECONDS` is the time of each measurement, default 4.

#[path = "../tests/harness/mod.rs"]
mod harness;

use harness::{Launch, Server};
use mysql_async::prelude::*;
use mysql_async::{Conn, Opts};
use std::io::{Seek, SeekFrom, Write};
use std::time::{Duration, Instant};

const SESSIONS: usize = 64;
/// Before the bare writes begin: as the log does, over blocks that exist.
const FILE_BYTES: usize = 16 << 20;

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// Appends of `bytes`, each synced, to a file whose blocks are written.
fn bare_fdatasync(directory: &std::path::Path, bytes: usize, time: Duration) -> Duration {
    let mut file = std::fs::File::create(directory.join("bare")).expect("a file");
    file.write_all(&vec![0; FILE_BYTES]).expect("write");
    file.sync_all().expect("sync");
    file.seek(SeekFrom::Start(0)).expect("seek");
    let record = vec![7; bytes];
    let mut times = Vec::new();
    let begun = Instant::now();
    while begun.elapsed() < time && (times.len() + 1) * bytes < FILE_BYTES {
        let one = Instant::now();
        file.write_all(&record).expect("write");
        file.sync_data().expect("sync");
        times.push(one.elapsed());
    }
    median(&mut times)
}

async fn connect(server: &Server) -> Conn {
    let mut connection = Conn::new(Opts::from(server.options())).await.expect("connect");
    connection.query_drop("use d").await.expect("the database is there");
    connection
}

/// A counter or a histogram's sum or count.
async fn metric(server: &Server, name: &str) -> f64 {
    let (_, text) = server.get("/metrics").await;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    line.unwrap_or_else(|| panic!("no {name}"))
}

#[tokio::main]
async fn main() {
    let seconds = std::env::var("COMMIT_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(4.0);
    let time = Duration::from_secs_f64(seconds);
    let directory = tempfile::tempdir().expect("a directory");
    let server = Launch::new(directory.path()).start();
    server.run(&["create database d", "create table d.t (id int primary key, v bigint, text varchar(200))"]).await;
    for id in 0..SESSIONS {
        server.run(&[&format!("insert into d.t values ({id}, 0, repeat('x', 100))")]).await;
    }

    let mut connection = connect(&server).await;
    let (syncs, bytes) =
        (metric(&server, "wal_sync_seconds_count").await, metric(&server, "wal_group_bytes_sum").await);
    let synced = metric(&server, "wal_sync_seconds_sum").await;
    let mut times = Vec::new();
    let begun = Instant::now();
    while begun.elapsed() < time {
        let one = Instant::now();
        connection.query_drop("update t set v = v + 1 where id = 1").await.expect("update");
        times.push(one.elapsed());
    }
    let commits = times.len() as f64;
    let syncs = metric(&server, "wal_sync_seconds_count").await - syncs;
    let bytes = (metric(&server, "wal_group_bytes_sum").await - bytes) / syncs;
    let synced = (metric(&server, "wal_sync_seconds_sum").await - synced) / syncs;
    let ours = median(&mut times);
    let mut reads = Vec::new();
    for _ in 0..2000 {
        let one = Instant::now();
        let _: Option<u64> = connection.query_first("select v from t where id = 1").await.expect("select");
        reads.push(one.elapsed());
    }
    let bare = bare_fdatasync(directory.path(), bytes as usize, time);
    let limit = bare.mul_f64(1.5) + Duration::from_micros(200);
    println!("one session: update {ours:?} median, bare fdatasync of {bytes:.0} bytes {bare:?}, limit {limit:?}");
    println!(
        "  {:.2} syncs per commit of {:.0} us on average; a point select {:?}",
        syncs / commits,
        synced * 1e6,
        median(&mut reads)
    );

    let syncs = metric(&server, "wal_sync_seconds_count").await;
    let begun = Instant::now();
    let mut tasks = Vec::new();
    for id in 0..SESSIONS {
        let mut connection = connect(&server).await;
        tasks.push(tokio::spawn(async move {
            let mut done = 0;
            while begun.elapsed() < time {
                connection.query_drop(format!("update t set v = v + 1 where id = {id}")).await.expect("update");
                done += 1;
            }
            done
        }));
    }
    let mut done = 0;
    for task in tasks {
        done += task.await.expect("a session");
    }
    let syncs = metric(&server, "wal_sync_seconds_count").await - syncs;
    let rate = f64::from(done) / begun.elapsed().as_secs_f64();
    println!("{SESSIONS} sessions: {rate:.0} commits per second, {:.1} commits per fdatasync", f64::from(done) / syncs);
    server.stop();
}
