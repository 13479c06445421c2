//! A log with one member, and what it has in common with a group's.

use super::support::*;
use crate::{RaftStartError, StartError, WalConfig, start};
use common::id::{CATALOG_TABLE, Lsn, NodeId};
use common::service::wal::{Mutation, StreamItem, WalError, Write};
use futures::StreamExt;
use std::path::Path;

/// A group of one: it has an address, and is going to be one of several.
fn group_of_one(directory: &Path) -> WalConfig {
    let mut config = WalConfig::member(directory.to_path_buf(), NodeId(1), vec![NodeId(1)]);
    config.address = "127.0.0.1:1".to_string();
    config.segment_bytes = 16 << 10;
    config
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_of_one_and_a_node_alone_go_on_with_each_others_log() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let mut newest = 0;
    let mut term = 0;
    for round in 0..6u64 {
        let config = match round % 2 {
            0 => group_of_one(directory.path()),
            _ => WalConfig { segment_bytes: 16 << 10, ..WalConfig::single(directory.path().to_path_buf()) },
        };
        let node = start(config, environment()).await.unwrap_or_else(|error| panic!("round {round}: {error}"));
        let service = node.service();
        assert_eq!(service.read_lsn().await.map(|read| read.lsn), Ok(Lsn(newest)), "round {round}");
        let status = service.status().await.expect("status");
        assert!(status.term.0 > term, "each start leads in a term of its own");
        term = status.term.0;
        for _ in 0..50 {
            newest += 1;
            let request = put(u128::from(newest), "key", &"x".repeat(200), Lsn(newest - 1));
            assert_eq!(service.commit(request).await.expect("no conflict").lsn, Lsn(newest));
        }
        // Some of the log is replaced by a snapshot, which the other one starts from.
        service.report_durable(common::id::TabletId(1), Lsn(newest - 20)).await.expect("reported");
        service.commit(put(1 << 64 | u128::from(round), "other", "row", Lsn::MAX)).await.expect("no conflict");
        newest += 1;
        node.shutdown().await;
    }
    let node = start_at(directory.path()).await;
    // It may still be letting go of what the last snapshot replaced.
    let (first, batches) = loop {
        let first = node.service().status().await.expect("status").first;
        match try_collect(&node.service(), first, Lsn(newest)).await {
            Ok(batches) => break (first, batches),
            Err(error) => assert!(matches!(error, WalError::Trimmed { .. }), "{error}"),
        }
    };
    assert!(first > Lsn(1), "the log was trimmed");
    assert_eq!(lsns(&batches), (first.0..=newest).collect::<Vec<_>>());
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_of_several_is_not_one_nodes_alone() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let members = vec![NodeId(1), NodeId(2), NodeId(3)];
    let node = start(WalConfig::member(directory.path().to_path_buf(), NodeId(1), members), environment()).await;
    node.expect("it waits for the others").shutdown().await;
    let alone = start(WalConfig::single(directory.path().to_path_buf()), environment()).await;
    let refused = alone.err().expect("it may lack what the others have committed");
    assert!(matches!(refused, StartError::Raft(RaftStartError::OtherMembers(_))), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_follows_definitions_hears_of_each_and_of_the_rest_late() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let node =
        start_with(directory.path(), |config| config.heartbeat_interval = std::time::Duration::from_millis(20)).await;
    let service = node.service();
    let mut stream = service.subscribe_to_definitions(Lsn(1)).await.expect("subscribes");
    let mut reached = Lsn(0);
    for round in 1..=20u64 {
        for number in 0..10 {
            let id = u128::from(round) * 100 + number;
            service.commit(put(id, "row", "1", Lsn::MAX)).await.expect("no conflict");
        }
        let mut key = CATALOG_TABLE.0.to_be_bytes().to_vec();
        key.extend_from_slice(b"\0\0\0\x01items");
        let write = Write { mutation: Mutation { key: key.into(), row: None }, observed: Lsn::MAX };
        let defined = service.commit(commit_of(u128::from(round) << 64, vec![write])).await.expect("no conflict").lsn;
        let mut heard = false;
        while reached < defined {
            match stream.next().await.expect("a stream goes on").expect("the log can be read") {
                StreamItem::Batch(batch) => {
                    assert!(batch.first_lsn <= reached.next(), "nothing is left out without a word");
                    heard |= batch.transactions.iter().any(|transaction| transaction.lsn == defined);
                    reached = batch.last_lsn;
                }
                StreamItem::Heartbeat { up_to } => {
                    assert!(up_to < defined, "a definition is told, not passed over");
                    reached = reached.max(up_to);
                }
            }
        }
        assert!(heard, "round {round}");
    }
    // The rest comes with a heartbeat.
    let last = service.commit(put(1, "row", "2", Lsn::MAX)).await.expect("no conflict").lsn;
    while reached < last {
        if let StreamItem::Heartbeat { up_to } = stream.next().await.expect("goes on").expect("readable") {
            reached = up_to;
        }
    }
    node.shutdown().await;
}
