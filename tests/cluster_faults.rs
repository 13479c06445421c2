//! A cluster of real processes whose network, disks and processes fail in ways that need root: what cannot be had is
//! installed, and happens in a network and among mounts of the test's own.
//!
//! Short by default; `DRUMLIN_FAULT_SECONDS` says how long each fault lasts, `DRUMLIN_CLUSTER_WRITERS` how many write.

mod harness;

use harness::Launch;
use harness::bank::{Bank, setting};
use harness::cluster::Cluster;
use harness::faults::{self, SmallDisk, with_own_network};
use harness::unsynced::{Lost, Unsynced};
use mysql_async::prelude::*;
use rustix::process::Signal;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// One cluster at a time: it has enough processes.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// All wal nodes lose power at once, again and again: `DRUMLIN_LOSS_ROUNDS` times (default 2).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_when_all_wal_nodes_lose_what_they_had_not_synced() {
    let _alone = ALONE.lock().await;
    let mut unsynced = None;
    let cluster = Arc::new(Cluster::up_with(3, 1, 1, |directory| {
        let nodes = (1..=3).map(|number| directory.join(format!("wal-{number}"))).collect();
        unsynced.insert(Unsynced::new(nodes, &directory.join("unsynced"))).environment()
    }));
    let unsynced = unsynced.expect("it was made");
    let bank = Bank::open(&cluster, setting("DRUMLIN_CLUSTER_WRITERS", 4)).await;
    let nodes = cluster.of_role("wal");
    for _ in 0..setting("DRUMLIN_LOSS_ROUNDS", 2) {
        bank.wait_acknowledged(Instant::now()).await;
        tokio::time::sleep(fault_lasts()).await;
        nodes.iter().for_each(|node| cluster.signal(&node.name, Signal::KILL));
        let lost = tokio::task::block_in_place(|| {
            nodes.iter().for_each(|node| cluster.wait_ended(&node.name));
            unsynced.lose()
        });
        nodes.iter().for_each(|node| cluster.restart(&node.name));
        let restarted = Instant::now();
        let acknowledged = bank.wait_acknowledged(restarted).await;
        println!("all wal nodes killed, {lost:?}; restarted: {acknowledged:?} to the next acknowledged commit");
        assert_ne!(lost, Lost::default(), "there is always something that waits for its sync");
    }
    bank.close().await;
    Arc::into_inner(cluster).expect("the writers have ended").down();
}

/// The layer drops what was written when syncs do nothing, and nothing that was acknowledged when they work.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_whose_syncs_do_nothing_is_found_out() {
    let _alone = ALONE.lock().await;
    for honest in [true, false] {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("data");
        // The log is made under another name.
        let below = vec![data.join("wal"), data.join("wal.new")];
        let unsynced = Unsynced::new(below, &directory.path().join("unsynced"));
        let mut launch = Launch::new(&data);
        launch.environment.extend(unsynced.environment());
        let server = launch.start();
        server.run(&["CREATE DATABASE d", "CREATE TABLE d.t (id INT PRIMARY KEY)"]).await;
        server.stop();
        unsynced.lose();
        if !honest {
            launch = launch.variable("DRUMLIN_UNSYNCED_IGNORES_SYNC", "1");
        }
        let server = launch.start();
        server.run(&["INSERT INTO d.t VALUES (1), (2)"]).await;
        server.kill();
        let lost = unsynced.lose();
        let server = launch.start();
        let mut connection = server.connect().await;
        let found: Option<i64> = connection.query_first("SELECT COUNT(*) FROM d.t").await.unwrap();
        assert_eq!(found, Some(if honest { 2 } else { 0 }), "{lost:?}");
        drop(connection);
        server.kill();
    }
}

/// True in the process where the test is to run: see [`with_own_network`].
fn inside(test: &str) -> bool {
    tokio::task::block_in_place(|| with_own_network(test))
}

/// How long a fault lasts.
fn fault_lasts() -> Duration {
    Duration::from_secs(setting("DRUMLIN_FAULT_SECONDS", 1))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_cut_off_is_replaced_and_nothing_is_lost() {
    let _alone = ALONE.lock().await;
    if !inside("a_leader_that_is_cut_off_is_replaced_and_nothing_is_lost") {
        return;
    }
    let cluster = Arc::new(Cluster::up(3, 1, 2));
    let bank = Bank::open(&cluster, setting("DRUMLIN_CLUSTER_WRITERS", 4)).await;
    for _ in 0..setting("DRUMLIN_FAULT_ROUNDS", 1) {
        bank.wait_acknowledged(Instant::now()).await;
        let leader = cluster.with_part("leader");
        let isolated = faults::isolate(cluster.process(&leader));
        let cut = Instant::now();
        println!("{leader} is cut off: {:?} to the next acknowledged commit", bank.wait_acknowledged(cut).await);
        tokio::time::sleep(fault_lasts()).await;
        let healed = Instant::now();
        drop(isolated);
        println!("it is heard again: {:?} to the next acknowledged commit", bank.wait_acknowledged(healed).await);
        // It has to catch up before the next is cut off, or no majority is left.
        let reached = cluster.committed(&cluster.with_part("leader"));
        tokio::task::block_in_place(|| {
            cluster.wait("the former leader has caught up", || (cluster.committed(&leader) >= reached).then_some(()))
        });
    }
    bank.close().await;
    Arc::into_inner(cluster).expect("the writers have ended").down();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_whose_disk_is_full_holds_up_nobody_and_catches_up() {
    let _alone = ALONE.lock().await;
    if !inside("a_follower_whose_disk_is_full_holds_up_nobody_and_catches_up") {
        return;
    }
    let cluster = Arc::new(Cluster::up(3, 1, 1));
    let bank = Bank::open(&cluster, setting("DRUMLIN_CLUSTER_WRITERS", 2)).await;
    bank.wait_acknowledged(Instant::now()).await;
    let leader = cluster.with_part("leader");
    let follower = cluster.of_role("wal").into_iter().map(|node| node.name).find(|name| *name != leader);
    let follower = follower.expect("there are three");
    cluster.end(&follower, Signal::TERM);
    // Room for three segments, taken before the node can make the next one.
    let disk = SmallDisk::at(&cluster.directory().join(&follower), 240);
    disk.fill();
    cluster.restart(&follower);
    tokio::task::block_in_place(|| cluster.wait_ready(&follower));

    // More than the segment that it has; for the next one there is no space.
    let mut writer = cluster.connect("compute-1").await.expect("connect");
    writer.query_drop("CREATE TABLE bank.bulk (id INT PRIMARY KEY, bytes LONGBLOB NOT NULL)").await.expect("create");
    let full = Instant::now();
    for id in 0..72 {
        writer
            .query_drop(format!("INSERT INTO bank.bulk VALUES ({id}, REPEAT('{id:04}', 262144))"))
            .await
            .expect("insert");
    }
    tokio::time::sleep(fault_lasts()).await;
    println!(
        "{follower} has no space: {:?} to the next acknowledged commit",
        bank.wait_acknowledged(Instant::now()).await
    );
    let reached = cluster.committed(&leader);
    assert!(cluster.committed(&follower) < reached, "its disk was to be full");
    println!("without {follower}: 72 MiB in {:?}", full.elapsed());
    // It waits for space, and needs no restart.
    disk.free();
    tokio::task::block_in_place(|| {
        cluster.wait("the follower has caught up", || (cluster.committed(&follower) >= reached).then_some(()))
    });
    println!("{follower} has space again and has caught up");
    bank.close().await;
    drop(writer);
    Arc::into_inner(cluster).expect("the writers have ended").down();
}
