//! What these tests share.

use crate::{WalConfig, WalEnvironment, WalNode, start};
use bytes::Bytes;
use common::id::{CommitId, Lsn, TxnId};
use common::service::WalService;
use common::service::wal::{
    Batch, CommitRequest, LockMode, LockReply, LockRequest, LockWait, Mutation, StreamItem, SubscribeRequest, Write,
};
use futures::StreamExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A clock that ticks once per look.
pub fn environment() -> WalEnvironment {
    let ticks = AtomicU64::new(1_000_000);
    WalEnvironment::new(Arc::new(move || ticks.fetch_add(1, Ordering::Relaxed)))
}

pub async fn start_at(directory: &Path) -> WalNode {
    start_with(directory, |_| {}).await
}

pub async fn start_with(directory: &Path, change: impl FnOnce(&mut WalConfig)) -> WalNode {
    let mut config = WalConfig::single(directory.to_path_buf());
    config.segment_bytes = 1 << 20;
    change(&mut config);
    start(config, environment()).await.expect("the node starts")
}

pub fn key(name: &str) -> Bytes {
    Bytes::copy_from_slice(name.as_bytes())
}

/// One write of `name`, observed at `observed`.
pub fn put(id: u128, name: &str, row: &str, observed: Lsn) -> CommitRequest {
    commit_of(id, vec![Write { mutation: Mutation { key: key(name), row: Some(key(row)) }, observed }])
}

pub fn commit_of(id: u128, writes: Vec<Write>) -> CommitRequest {
    CommitRequest::of(CommitId(id), TxnId(id), writes)
}

pub async fn lock(
    service: &Arc<dyn WalService>,
    txn: u128,
    name: &str,
) -> Result<LockReply, common::service::wal::LockError> {
    let keys = vec![(key(name), LockMode::Exclusive)];
    service.lock(LockRequest::keys(TxnId(txn), keys, LockWait::Timeout(Duration::from_secs(60)))).await
}

/// Every batch from `from` up to `last`, as a subscriber gets them.
pub async fn collect(service: &Arc<dyn WalService>, from: Lsn, last: Lsn) -> Vec<Arc<Batch>> {
    try_collect(service, from, last).await.expect("the log can be read")
}

/// As [`collect`]; the log may let go of what is read at any time.
pub async fn try_collect(
    service: &Arc<dyn WalService>,
    from: Lsn,
    last: Lsn,
) -> Result<Vec<Arc<Batch>>, common::service::wal::WalError> {
    let mut stream = service.subscribe(SubscribeRequest { from, tablets: Vec::new() }).await?;
    let mut batches: Vec<Arc<Batch>> = Vec::new();
    let mut reached = Lsn(from.0 - 1);
    while reached < last {
        match stream.next().await.expect("a stream goes on")? {
            StreamItem::Batch(batch) => {
                reached = batch.last_lsn;
                batches.push(batch);
            }
            StreamItem::Heartbeat { up_to } => reached = reached.max(up_to),
        }
    }
    Ok(batches)
}

/// LSNs in the batches, in the order of their arrival.
pub fn lsns(batches: &[Arc<Batch>]) -> Vec<u64> {
    batches.iter().flat_map(|batch| batch.transactions.iter().map(|transaction| transaction.lsn.0)).collect()
}
