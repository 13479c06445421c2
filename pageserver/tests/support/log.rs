//! A log in memory that page servers can follow.

use async_trait::async_trait;
use bytes::Bytes;
use common::bulk::BulkLayer;
use common::cluster_map::{ClusterMap, MAP_KEY};
use common::id::{CommitId, LogPos, Lsn, NodeId, TabletId, Term, TxnId};
use common::key::Key;
use common::service::WalService;
use common::service::wal::*;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use tokio::sync::watch;

pub struct MemoryLog {
    batches: Mutex<Vec<Arc<Batch>>>,
    newest: watch::Sender<Lsn>,
    reported: Mutex<HashMap<TabletId, Lsn>>,
    /// The oldest snapshot in use; an error where that is not known.
    pub snapshot: Mutex<Result<OldestSnapshot, WalError>>,
    /// The map, and the LSN of its transaction.
    map: Mutex<(ClusterMap, Lsn)>,
    pressure: Mutex<f64>,
    /// Held from the look at the map to the commit of the next one.
    proposing: Mutex<()>,
    /// What one transaction takes by the clock of the batches.
    pub time_step_us: u64,
}

impl MemoryLog {
    pub fn new(time_step_us: u64) -> Arc<MemoryLog> {
        MemoryLog::beginning_at(Lsn::ZERO, ClusterMap::default(), time_step_us)
    }

    /// A log that is made beside a store which holds everything up to `base`.
    pub fn beginning_at(base: Lsn, map: ClusterMap, time_step_us: u64) -> Arc<MemoryLog> {
        Arc::new(MemoryLog {
            batches: Mutex::new(Vec::new()),
            newest: watch::Sender::new(base),
            reported: Mutex::default(),
            snapshot: Mutex::new(Ok(OldestSnapshot::Nothing)),
            map: Mutex::new((map, Lsn::ZERO)),
            pressure: Mutex::new(0.0),
            proposing: Mutex::new(()),
            time_step_us,
        })
    }

    pub fn map(&self) -> ClusterMap {
        self.map.lock().unwrap().0.clone()
    }

    /// One transaction, as a batch of its own.
    pub fn commit(&self, changes: Vec<(Key, Option<Bytes>)>, counters: Vec<CounterBump>) -> Lsn {
        self.commit_batch(vec![(changes, counters)])
    }

    /// Transactions that come in one batch; returns the LSN of the last.
    pub fn commit_batch(&self, all: Vec<(Vec<(Key, Option<Bytes>)>, Vec<CounterBump>)>) -> Lsn {
        let mut batches = self.batches.lock().unwrap();
        let first_lsn = self.newest.borrow().next();
        let mut last_lsn = Lsn(first_lsn.0 - 1);
        let mut transactions = Vec::new();
        for (changes, counters) in all {
            let lsn = last_lsn.next();
            last_lsn = lsn;
            let map = self.map();
            let tagged = |(key, row): (Key, Option<Bytes>)| {
                if key == MAP_KEY {
                    let next = ClusterMap::decode(row.as_ref().unwrap()).unwrap();
                    assert!(map.change_to(&next).is_some(), "a map one step away");
                    *self.map.lock().unwrap() = (next, lsn);
                }
                let mutation = Mutation { key, row };
                match BulkLayer::of(&mutation) {
                    None => vec![(map.tablet_of(&mutation.key), mutation)],
                    Some(layer) => {
                        let keys = layer.unwrap().range();
                        let concerned = map.ranges().filter(|(_, range)| !range.intersection(&keys).is_empty());
                        concerned.map(|(tablet, _)| (tablet, mutation.clone())).collect()
                    }
                }
            };
            let mutations = changes.into_iter().flat_map(tagged).collect();
            transactions.push(Transaction { lsn, commit_id: CommitId(u128::from(lsn.0)), mutations, counters });
        }
        let time_us = last_lsn.0 * self.time_step_us;
        batches.push(Arc::new(Batch { first_lsn, last_lsn, time_us, transactions }));
        self.newest.send_replace(last_lsn);
        last_lsn
    }

    pub fn newest(&self) -> Lsn {
        *self.newest.borrow()
    }

    /// What all tablets of the map were reported to have in layers.
    pub fn reported(&self) -> Lsn {
        let reported = self.reported.lock().unwrap();
        self.map().tablets().map(|tablet| reported.get(&tablet).copied().unwrap_or_default()).min().unwrap()
    }

    /// Forgets what layers hold, as a real log does.
    pub fn trim(&self) {
        let durable = self.reported();
        self.batches.lock().unwrap().retain(|batch| batch.last_lsn > durable);
    }

    /// What page servers reported last; commits here do not wait by themselves.
    pub fn pressure(&self) -> f64 {
        *self.pressure.lock().unwrap()
    }

    fn after(&self, from: Lsn) -> Option<Arc<Batch>> {
        self.batches.lock().unwrap().iter().find(|batch| batch.last_lsn >= from).cloned()
    }
}

/// The log as page servers see it.
pub struct LogHandle(pub Arc<MemoryLog>);

impl std::ops::Deref for LogHandle {
    type Target = MemoryLog;

    fn deref(&self) -> &MemoryLog {
        &self.0
    }
}

#[async_trait]
impl WalService for LogHandle {
    async fn read_lsn(&self) -> Result<ReadLsn, WalError> {
        Ok(ReadLsn { lsn: self.newest(), definitions: self.newest() })
    }

    async fn lock(&self, _: LockRequest) -> Result<LockReply, LockError> {
        Err(LockError::NotAvailable)
    }

    async fn unlock(&self, _: TxnId) -> Result<(), WalError> {
        Ok(())
    }

    async fn unlock_keys(&self, _: TxnId, _: Vec<Key>) -> Result<(), WalError> {
        Ok(())
    }

    async fn locks(&self) -> Result<Vec<LockInfo>, WalError> {
        Ok(Vec::new())
    }

    async fn report_pressure(&self, report: PressureReport) -> Result<(), WalError> {
        *self.pressure.lock().unwrap() = report.pressure;
        Ok(())
    }

    async fn wait_durable(&self, version: Undurable) -> Result<bool, WalError> {
        Ok(version.lsn <= self.newest())
    }

    /// Changes of the map alone; the rest is appended directly.
    async fn commit(&self, request: CommitRequest) -> Result<CommitReply, CommitError> {
        let [write] = &request.writes[..] else { return Err(CommitError::Refused("tests append directly".into())) };
        let _alone = self.proposing.lock().unwrap();
        let (map, newest) = self.map.lock().unwrap().clone();
        if write.mutation.key != MAP_KEY || newest > write.observed {
            return Err(CommitError::Conflict { key: write.mutation.key.clone(), newest });
        }
        // As the sequencer does: whoever has applied a change may look at the map from before it still.
        let next = ClusterMap::decode(write.mutation.row.as_ref().unwrap()).unwrap();
        if map.change_to(&next).is_none() {
            return Err(CommitError::Refused("the map is not one step away".into()));
        }
        let lsn = self.0.commit(vec![(MAP_KEY, write.mutation.row.clone())], Vec::new());
        Ok(CommitReply { lsn })
    }

    async fn outcome(&self, _: CommitId) -> Result<Option<Lsn>, WalError> {
        Ok(None)
    }

    async fn allocate(&self, _: AllocateRequest) -> Result<u64, WalError> {
        Err(WalError::Unavailable("tests have no counters".into()))
    }

    async fn subscribe(
        &self,
        request: SubscribeRequest,
    ) -> Result<BoxStream<'static, Result<StreamItem, WalError>>, WalError> {
        let first = self.batches.lock().unwrap().first().map(|batch| batch.first_lsn);
        if let Some(first) = first
            && first > request.from
        {
            return Err(WalError::Trimmed { first });
        }
        let (log, newest) = (self.0.clone(), self.newest.subscribe());
        let items = stream::unfold((log, newest, request.from), |(log, mut newest, from)| async move {
            newest.wait_for(|newest| *newest >= from).await.ok()?;
            let batch = log.after(from)?;
            let next = batch.last_lsn.next();
            Some((Ok(StreamItem::Batch(batch)), (log, newest, next)))
        });
        Ok(items.boxed())
    }

    async fn report_durable(&self, tablet: TabletId, lsn: Lsn) -> Result<(), WalError> {
        self.reported.lock().unwrap().insert(tablet, lsn);
        Ok(())
    }

    async fn oldest_snapshot(&self) -> Result<OldestSnapshot, WalError> {
        self.snapshot.lock().unwrap().clone()
    }

    async fn status(&self) -> Result<WalStatus, WalError> {
        Ok(WalStatus {
            node: NodeId(1),
            term: Term(1),
            leader: Some(NodeId(1)),
            committed: self.newest(),
            first: Lsn(1),
            log_last: LogPos(0),
            log_bytes: 0,
            locks_held: 0,
            locks_waiting: 0,
            members: Vec::new(),
        })
    }
}
