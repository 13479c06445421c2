//! A node on a disk that forgets what was not synced, and on one that fails.

use super::support::*;
use crate::segment::memory_disk::MemoryDisk;
use crate::{StartError, WalConfig, WalNode, start_on};
use common::id::{CommitId, Lsn};
use common::service::wal::{CommitError, Mutation, WalError, Write};
use std::sync::{Arc, Mutex};

async fn start(disk: &Arc<MemoryDisk>) -> Result<WalNode, StartError> {
    let mut config = WalConfig::single("memory".into());
    config.segment_bytes = 16 << 10;
    config.cache_bytes_max = 4 << 10;
    start_on(disk.clone(), config, environment()).await
}

/// Two keys that belong together, so that half a transaction would show.
fn pair(id: u128) -> Vec<Write> {
    let write = |name: &str| Write {
        mutation: Mutation { key: key(&format!("{name}{}", id % 7)), row: Some(key(&id.to_string())) },
        observed: Lsn::MAX,
    };
    vec![write("left"), write("right")]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crashes_under_concurrent_writers_lose_nothing_acknowledged() {
    let mut disk = MemoryDisk::new();
    let mut known: Vec<(CommitId, Lsn)> = Vec::new();
    for round in 0..12u64 {
        let node = start(&disk).await.unwrap_or_else(|error| panic!("round {round}: {error}"));
        let service = node.service();
        for (commit, lsn) in &known {
            assert_eq!(service.outcome(*commit).await, Ok(Some(*lsn)), "round {round}");
        }
        let last = service.read_lsn().await.expect("serves").lsn;
        let batches = if last > Lsn(0) { collect(&service, Lsn(1), last).await } else { Vec::new() };
        assert_eq!(lsns(&batches), (1..=last.0).collect::<Vec<_>>(), "round {round}");
        for transaction in batches.iter().flat_map(|batch| &batch.transactions) {
            let expected: Vec<_> = pair(transaction.commit_id.0).into_iter().map(|write| write.mutation).collect();
            let found: Vec<_> = transaction.mutations.iter().map(|(_, mutation)| mutation.clone()).collect();
            assert_eq!(found, expected, "round {round}: a transaction is whole");
        }

        let acknowledged = Arc::new(Mutex::new(Vec::new()));
        let writers: Vec<_> = (0..6u128)
            .map(|writer| {
                let (service, acknowledged) = (service.clone(), acknowledged.clone());
                tokio::spawn(async move {
                    for number in 0.. {
                        let id = (u128::from(round) * 10 + writer) * 100_000 + number;
                        match service.commit(commit_of(id, pair(id))).await {
                            Ok(reply) => acknowledged.lock().expect("lock").push((CommitId(id), reply.lsn)),
                            Err(_) => return,
                        }
                    }
                })
            })
            .collect();
        while acknowledged.lock().expect("lock").len() < 10 + 13 * (round as usize % 5) {
            tokio::task::yield_now().await;
        }
        // What was acknowledged before this moment has to be on the disk of this moment.
        known.extend(acknowledged.lock().expect("lock").iter().copied());
        let mut chance = round.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        disk = disk.after_crash(|| {
            chance ^= chance << 13;
            chance ^= chance >> 7;
            chance ^= chance << 17;
            chance & 1 == 1
        });
        drop(node);
        for writer in writers {
            writer.await.expect("writer");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_failed_sync_nothing_is_acknowledged_and_a_restart_goes_on() {
    let disk = MemoryDisk::new();
    let node = start(&disk).await.expect("starts");
    let service = node.service();
    service.commit(put(1, "a", "1", Lsn(0))).await.expect("commit");
    disk.fail_syncs();
    let unknown = service.commit(put(2, "a", "2", Lsn(1))).await;
    assert!(matches!(unknown, Err(CommitError::Unknown(_))), "{unknown:?}");
    let refused = service.commit(put(3, "b", "2", Lsn(1))).await;
    assert!(matches!(refused, Err(CommitError::Unknown(_) | CommitError::Wal(_))), "{refused:?}");
    let read = service.read_lsn().await;
    assert!(matches!(&read, Err(WalError::Unavailable(why)) if why.contains("input/output error")), "{read:?}");
    drop(node);
    let crashed = disk.after_crash(|| false);
    let node = start(&crashed).await.expect("starts again");
    let service = node.service();
    assert_eq!(service.outcome(CommitId(1)).await, Ok(Some(Lsn(1))));
    assert_eq!(service.outcome(CommitId(2)).await, Ok(None));
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_full_disk_commits_wait_until_there_is_space() {
    let disk = MemoryDisk::new();
    let node = start(&disk).await.expect("starts");
    let service = node.service();
    disk.fill_up();
    let writer = tokio::spawn({
        let service = service.clone();
        async move {
            for id in 1..=200 {
                service.commit(put(id, "key", &"x".repeat(500), Lsn::MAX)).await.expect("commits after a while");
            }
        }
    });
    // Once for the file ahead of time, then for the one that is needed.
    while disk.refused() < 3 {
        tokio::task::yield_now().await;
    }
    let reached = service.read_lsn().await.expect("reads go on").lsn;
    assert!(reached < Lsn(200));
    disk.make_room();
    writer.await.expect("every commit was acknowledged");
    assert_eq!(service.read_lsn().await.map(|read| read.lsn), Ok(Lsn(200)));
    node.shutdown().await;
}
