//! A wal and a page server in one object, in memory: versions by key and LSN, locks, counters, the stream of commits.
//!
//! Small enough to be seen to be right, and as strict as the real ones: commits check versions, locks wait, deadlocks
//! and timeouts are errors. Everything of compute is tested on it.

mod locks;
mod pages;
pub mod plans;
pub mod server;

use crate::catalog::CatalogCache;
use crate::execute::Services;
use crate::txn::{Locker, Remote, WriteMemory};
use async_trait::async_trait;
use bytes::Bytes;
use common::bulk::BulkLayer;
use common::id::{CommitId, CounterId, LogPos, Lsn, NodeId, TabletId, Term, TxnId};
use common::key::Key;
use common::service::WalService;
use common::service::wal::*;
use futures::StreamExt;
use futures::stream::BoxStream;
use locks::LockTable;
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::watch;

/// The whole cluster below a compute.
pub struct FakeCluster {
    state: Arc<Mutex<State>>,
    locks: LockTable,
    committed: watch::Sender<Lsn>,
}

#[derive(Default)]
struct State {
    /// Newest last.
    versions: BTreeMap<Key, Vec<(Lsn, Option<Bytes>)>>,
    counters: HashMap<CounterId, u64>,
    commits: HashMap<CommitId, Lsn>,
    batches: Vec<Arc<Batch>>,
    /// Rows of bulk layers, by sequence number.
    bulk: Vec<BTreeMap<Key, Option<Bytes>>>,
}

impl FakeCluster {
    pub fn new() -> Arc<FakeCluster> {
        Arc::new(FakeCluster {
            state: Arc::default(),
            locks: LockTable::default(),
            committed: watch::channel(Lsn::ZERO).0,
        })
    }

    /// As a transaction sees it; ids count up.
    pub fn remote(self: &Arc<Self>) -> Remote {
        let next = AtomicU64::new(1);
        let new_id = Arc::new(move || u128::from(next.fetch_add(1, Ordering::Relaxed)));
        // Little, so that whatever may go past the buffer does in tests.
        let write_memory = Arc::new(WriteMemory::new(1 << 20, std::env::temp_dir()));
        Remote {
            wal: self.clone(),
            pages: self.clone(),
            new_id,
            snapshots: Arc::default(),
            throttle: Arc::default(),
            bulk_bytes: 600,
            write_memory,
        }
    }

    /// With a catalog that follows.
    pub async fn services(self: &Arc<Self>) -> Services {
        let remote = self.remote();
        let catalog = Arc::new(CatalogCache::start(remote.clone()).await.expect("the fake does not fail"));
        Services { remote, catalog, expressions: Arc::default() }
    }

    pub fn locks(&self) -> &LockTable {
        &self.locks
    }

    /// Takes locks for a transaction, waiting for none.
    pub fn locker(self: &Arc<Self>, transaction: &crate::txn::Transaction) -> Locker {
        Locker {
            remote: self.remote(),
            txn: transaction.id(),
            wait: LockWait::NoWait,
            locks: transaction.locks(),
            own: Arc::default(),
            interrupt: Arc::new(|| Box::pin(std::future::pending())),
        }
    }

    /// What the newest commit wrote.
    pub fn last_batch(&self) -> Arc<Batch> {
        self.state.lock().batches.last().expect("something was committed").clone()
    }

    pub fn newest(&self) -> Lsn {
        *self.committed.borrow()
    }

    /// Every row there is now, by key.
    pub fn rows(&self) -> BTreeMap<Key, Bytes> {
        let state = self.state.lock();
        let newest = state.versions.iter().filter_map(|(key, versions)| {
            let (_, row) = versions.last()?;
            Some((key.clone(), row.clone()?))
        });
        newest.collect()
    }

    fn check(state: &State, key: &Key, observed: Lsn) -> Result<(), CommitError> {
        let newest = state.versions.get(key).and_then(|versions| versions.last()).map_or(Lsn::ZERO, |(lsn, _)| *lsn);
        if newest > observed {
            return Err(CommitError::Conflict { key: key.clone(), newest });
        }
        Ok(())
    }
}

#[async_trait]
impl WalService for FakeCluster {
    async fn read_lsn(&self) -> Result<ReadLsn, WalError> {
        Ok(ReadLsn { lsn: self.newest(), definitions: self.newest() })
    }

    async fn lock(&self, request: LockRequest) -> Result<LockReply, LockError> {
        let granted = self.locks.lock(&request).await?;
        Ok(LockReply::durable(self.newest(), granted))
    }

    async fn unlock(&self, txn: TxnId) -> Result<(), WalError> {
        self.locks.unlock(txn);
        Ok(())
    }

    async fn unlock_keys(&self, txn: TxnId, keys: Vec<Key>) -> Result<(), WalError> {
        self.locks.unlock_keys(txn, &keys);
        Ok(())
    }

    async fn locks(&self) -> Result<Vec<LockInfo>, WalError> {
        Ok(self.locks.report())
    }

    async fn wait_durable(&self, version: Undurable) -> Result<bool, WalError> {
        Ok(version.lsn <= self.newest())
    }

    async fn commit(&self, request: CommitRequest) -> Result<CommitReply, CommitError> {
        let lsn = {
            let mut state = self.state.lock();
            if let Some(&lsn) = state.commits.get(&request.commit_id) {
                return Ok(CommitReply { lsn });
            }
            for write in &request.writes {
                FakeCluster::check(&state, &write.mutation.key, write.observed)?;
            }
            for check in &request.checks {
                FakeCluster::check(&state, &check.key, check.lsn)?;
            }
            let lsn = self.newest().next();
            for write in &request.writes {
                let rows: Vec<(Key, Option<Bytes>)> = match BulkLayer::of(&write.mutation) {
                    None => vec![(write.mutation.key.clone(), write.mutation.row.clone())],
                    Some(layer) => {
                        let layer = layer.expect("a record that this cluster has made");
                        let rows = std::mem::take(&mut state.bulk[layer.sequence as usize]);
                        assert_eq!(rows.len() as u64, layer.rows, "a layer is committed once");
                        rows.into_iter().collect()
                    }
                };
                for (key, row) in rows {
                    let versions = state.versions.entry(key).or_default();
                    assert!(versions.last().is_none_or(|(newest, _)| *newest < lsn), "a commit writes a key once");
                    versions.push((lsn, row));
                }
            }
            for bump in &request.counters {
                let next = state.counters.entry(bump.counter).or_insert(1);
                *next = if bump.reset { bump.next } else { bump.next.max(*next) };
            }
            state.commits.insert(request.commit_id, lsn);
            let mutations = request.writes.into_iter().map(|write| (TabletId(1), write.mutation)).collect();
            let transaction = Transaction { lsn, commit_id: request.commit_id, mutations, counters: request.counters };
            let batch = Batch { first_lsn: lsn, last_lsn: lsn, time_us: lsn.0, transactions: vec![transaction] };
            state.batches.push(Arc::new(batch));
            self.committed.send_replace(lsn);
            lsn
        };
        self.locks.unlock(request.txn);
        Ok(CommitReply { lsn })
    }

    async fn outcome(&self, commit: CommitId) -> Result<Option<Lsn>, WalError> {
        Ok(self.state.lock().commits.get(&commit).copied())
    }

    async fn allocate(&self, request: AllocateRequest) -> Result<u64, WalError> {
        let mut state = self.state.lock();
        let next = state.counters.entry(request.counter).or_insert(1);
        let first = request.at_least.max(*next);
        *next = first + request.count;
        Ok(first)
    }

    async fn subscribe(
        &self,
        request: SubscribeRequest,
    ) -> Result<BoxStream<'static, Result<StreamItem, WalError>>, WalError> {
        // One batch for each commit, so the batch of an LSN is at that position.
        let state = self.state.clone();
        let committed = self.committed.subscribe();
        let stream = futures::stream::unfold((request.from, committed), move |(next, mut committed)| {
            let state = state.clone();
            async move {
                committed.wait_for(|newest| *newest >= next).await.ok()?;
                let batch = state.lock().batches[next.0 as usize - 1].clone();
                Some((Ok(StreamItem::Batch(batch)), (next.next(), committed)))
            }
        });
        Ok(stream.boxed())
    }

    async fn report_durable(&self, _tablet: TabletId, _lsn: Lsn) -> Result<(), WalError> {
        Ok(())
    }

    async fn status(&self) -> Result<WalStatus, WalError> {
        Ok(WalStatus {
            node: NodeId(1),
            term: Term(1),
            leader: Some(NodeId(1)),
            committed: self.newest(),
            first: Lsn(1),
            log_last: LogPos(self.newest().0),
            log_bytes: 0,
            locks_held: 0,
            locks_waiting: 0,
            members: Vec::new(),
        })
    }
}
