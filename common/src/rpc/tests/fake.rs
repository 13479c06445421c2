//! The least that keeps the promises of both services, in memory.

use crate::bulk::BulkLayer;
use crate::id::{ColumnId, CommitId, CounterId, LogPos, Lsn, NodeId, TabletId, Term, TxnId};
use crate::key::{Key, KeyRange};
use crate::physical::PhysicalValue;
use crate::service::page::*;
use crate::service::wal::*;
use arrow::array::{ArrayRef, Int64Array};
use arrow::datatypes::{Field, Schema};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use async_trait::async_trait;
use futures::stream::{self, BoxStream, StreamExt};
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Notify;

/// Locking this key never ends.
pub const STUCK_KEY: &[u8] = b"stuck";
/// A commit that writes this key is made and never answered.
pub const SILENT_KEY: &[u8] = b"silent";

/// Counts the calls and streams that are being worked on.
#[derive(Default, Clone)]
pub struct Working(Arc<AtomicUsize>);

impl Working {
    pub fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    fn begin(&self) -> WorkingGuard {
        self.0.fetch_add(1, Ordering::SeqCst);
        WorkingGuard(self.clone())
    }
}

struct WorkingGuard(Working);

impl Drop for WorkingGuard {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[derive(Default)]
pub struct FakeWal {
    state: Mutex<WalState>,
    committed: Arc<Notify>,
    pub working: Working,
}

#[derive(Default)]
struct WalState {
    log: Vec<Arc<Batch>>,
    newest: HashMap<Key, Lsn>,
    counters: HashMap<CounterId, u64>,
    locks: HashMap<Key, TxnId>,
    durable: BTreeMap<TabletId, Lsn>,
    snapshots: HashMap<u128, Lsn>,
}

impl FakeWal {
    pub fn commits(&self) -> usize {
        self.state.lock().log.len()
    }
}

#[async_trait]
impl WalService for FakeWal {
    async fn read_lsn(&self) -> Result<ReadLsn, WalError> {
        let lsn = Lsn(self.state.lock().log.len() as u64);
        Ok(ReadLsn { lsn, definitions: lsn })
    }

    async fn lock(&self, request: LockRequest) -> Result<LockReply, LockError> {
        let _working = self.working.begin();
        if request.keys.iter().any(|(key, _)| key == STUCK_KEY) {
            std::future::pending::<()>().await;
        }
        let mut state = self.state.lock();
        let mut granted = Vec::new();
        for (key, _) in &request.keys {
            let free = state.locks.get(key).is_none_or(|holder| *holder == request.txn);
            match (free, request.wait) {
                (true, _) => drop(state.locks.insert(key.clone(), request.txn)),
                (false, LockWait::SkipLocked) => {}
                (false, LockWait::NoWait) => return Err(LockError::NotAvailable),
                (false, LockWait::Timeout(_)) => return Err(LockError::Timeout),
            }
            granted.push(free);
        }
        Ok(LockReply::durable(Lsn(state.log.len() as u64), granted))
    }

    async fn unlock(&self, txn: TxnId) -> Result<(), WalError> {
        self.state.lock().locks.retain(|_, holder| *holder != txn);
        Ok(())
    }

    async fn unlock_keys(&self, txn: TxnId, keys: Vec<Key>) -> Result<(), WalError> {
        self.state.lock().locks.retain(|key, holder| *holder != txn || !keys.contains(key));
        Ok(())
    }

    async fn locks(&self) -> Result<Vec<LockInfo>, WalError> {
        let state = self.state.lock();
        let held = |(key, txn): (&Key, &TxnId)| LockInfo {
            txn: *txn,
            target: LockTarget::Key(key.clone()),
            mode: LockMode::Exclusive,
            waits_for: None,
        };
        Ok(state.locks.iter().map(held).collect())
    }

    async fn wait_durable(&self, version: Undurable) -> Result<bool, WalError> {
        Ok(version.lsn.0 <= self.state.lock().log.len() as u64)
    }

    async fn commit(&self, request: CommitRequest) -> Result<CommitReply, CommitError> {
        if let Some(lsn) = self.outcome(request.commit_id).await? {
            return Ok(CommitReply { lsn });
        }
        let silent = request.writes.iter().any(|write| write.mutation.key == SILENT_KEY);
        let lsn = {
            let mut state = self.state.lock();
            for write in &request.writes {
                let newest = state.newest.get(&write.mutation.key).copied().unwrap_or_default();
                if newest > write.observed {
                    return Err(CommitError::Conflict { key: write.mutation.key.clone(), newest });
                }
            }
            let lsn = Lsn(state.log.len() as u64 + 1);
            for write in &request.writes {
                state.newest.insert(write.mutation.key.clone(), lsn);
            }
            let mutations = request.writes.iter().map(|write| (TabletId(1), write.mutation.clone())).collect();
            let transaction =
                Transaction { lsn, commit_id: request.commit_id, mutations, counters: request.counters.clone() };
            state.log.push(Arc::new(Batch {
                first_lsn: lsn,
                last_lsn: lsn,
                time_us: lsn.0,
                transactions: vec![transaction],
            }));
            state.locks.retain(|_, holder| *holder != request.txn);
            lsn
        };
        self.committed.notify_waiters();
        if silent {
            std::future::pending::<()>().await;
        }
        Ok(CommitReply { lsn })
    }

    async fn outcome(&self, commit: CommitId) -> Result<Option<Lsn>, WalError> {
        let state = self.state.lock();
        let found = state.log.iter().find(|batch| batch.transactions[0].commit_id == commit);
        Ok(found.map(|batch| batch.first_lsn))
    }

    async fn allocate(&self, request: AllocateRequest) -> Result<u64, WalError> {
        let mut state = self.state.lock();
        let next = state.counters.entry(request.counter).or_insert(1);
        let first = (*next).max(request.at_least);
        *next = first + request.count;
        Ok(first)
    }

    async fn subscribe(
        &self,
        request: SubscribeRequest,
    ) -> Result<BoxStream<'static, Result<StreamItem, WalError>>, WalError> {
        if request.from == Lsn::ZERO {
            return Err(WalError::Trimmed { first: Lsn(1) });
        }
        let mut batches: Vec<Arc<Batch>> = self.state.lock().log.clone();
        batches.retain(|batch| batch.first_lsn >= request.from);
        let up_to = batches.last().map_or(request.from, |batch| batch.last_lsn);
        let items = batches.into_iter().map(StreamItem::Batch).chain([StreamItem::Heartbeat { up_to }]);
        let guard = self.working.begin();
        let forever = stream::once(async move {
            std::future::pending::<()>().await;
            drop(guard);
            Err(WalError::Unavailable("unreachable".to_owned()))
        });
        Ok(stream::iter(items.map(Ok)).chain(forever).boxed())
    }

    async fn report_durable(&self, tablet: TabletId, lsn: Lsn) -> Result<(), WalError> {
        self.state.lock().durable.insert(tablet, lsn);
        Ok(())
    }

    async fn report_snapshots(&self, report: SnapshotReport) -> Result<(), WalError> {
        let mut state = self.state.lock();
        match report.oldest {
            Some(oldest) => state.snapshots.insert(report.reporter, oldest),
            None => state.snapshots.remove(&report.reporter),
        };
        Ok(())
    }

    async fn pressure(&self) -> Result<f64, WalError> {
        Ok(0.25)
    }

    async fn oldest_snapshot(&self) -> Result<OldestSnapshot, WalError> {
        Ok(self.state.lock().snapshots.values().min().map_or(OldestSnapshot::Nothing, |lsn| OldestSnapshot::At(*lsn)))
    }

    async fn status(&self) -> Result<WalStatus, WalError> {
        let state = self.state.lock();
        Ok(WalStatus {
            node: NodeId(1),
            term: Term(1),
            leader: Some(NodeId(1)),
            committed: Lsn(state.log.len() as u64),
            first: state.durable.get(&TabletId(1)).copied().unwrap_or(Lsn(1)),
            log_last: LogPos(state.log.len() as u64),
            log_bytes: 0,
            locks_held: state.locks.len() as u64,
            locks_waiting: 0,
            members: Vec::new(),
        })
    }
}

/// Rows `key = n as one byte`, each written at LSN `n`.
#[derive(Default)]
pub struct FakePages {
    pub working: Working,
}

pub const ROWS: u8 = 200;
/// Scans that start here yield one batch and then an error.
pub const BROKEN_KEY: &[u8] = &[150];
/// Scans that start here yield batches forever.
pub const ENDLESS_KEY: &[u8] = &[151];

fn version(key: &Key, lsn: Lsn) -> Option<RowVersion> {
    match key[..] {
        [number @ 1..=ROWS] if u64::from(number) <= lsn.0 => {
            Some(RowVersion { lsn: Lsn(u64::from(number)), row: vec![number; usize::from(number)].into() })
        }
        _ => None,
    }
}

fn batch_of(keys: &[u8], request: &ScanRequest) -> ScanBatch {
    let scanned = |number: &u8| ScannedRow {
        key: vec![*number].into(),
        lsn: Lsn(u64::from(*number)),
        row: if request.output == ScanOutput::Keys { Key::new() } else { vec![*number; 3].into() },
    };
    let columns = match &request.output {
        ScanOutput::Columns(columns) => columns,
        // All rows are in one batch where aggregates are asked for.
        ScanOutput::Aggregates(wanted) => {
            let value = |call: &PartialCall| match call {
                PartialCall::Rows => PhysicalValue::UInt64(keys.len() as u64),
                PartialCall::Max(_) => {
                    keys.last().map_or(PhysicalValue::Null, |key| PhysicalValue::Int64((*key).into()))
                }
                _ => PhysicalValue::Null,
            };
            return ScanBatch::Aggregates(wanted.calls.iter().map(value).collect());
        }
        ScanOutput::Rows | ScanOutput::Keys => return ScanBatch::Rows(keys.iter().map(scanned).collect()),
    };
    let fields: Vec<Field> =
        columns.iter().map(|column| Field::new(column.column.to_string(), column.physical.arrow(), true)).collect();
    let numbers = || Arc::new(Int64Array::from_iter_values(keys.iter().map(|key| i64::from(*key)))) as ArrayRef;
    let arrays = columns.iter().map(|_| numbers()).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(keys.len()));
    ScanBatch::Columns(RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options).unwrap())
}

#[async_trait]
impl PageService for FakePages {
    async fn get(&self, request: GetRequest) -> Result<Vec<Option<RowVersion>>, PageError> {
        if request.lsn == Lsn::MAX {
            return Err(PageError::Behind { wanted: request.lsn, applied: Lsn(u64::from(ROWS)) });
        }
        Ok(request.keys.iter().map(|key| version(key, request.lsn)).collect())
    }

    async fn newest_versions(&self, keys: Vec<Key>, _applied: Lsn) -> Result<Vec<Lsn>, PageError> {
        Ok(keys.iter().map(|key| version(key, Lsn::MAX).map_or(Lsn::ZERO, |version| version.lsn)).collect())
    }

    async fn scan(&self, request: ScanRequest) -> Result<BoxStream<'static, Result<ScanBatch, PageError>>, PageError> {
        if request.lsn == Lsn::ZERO {
            return Err(PageError::TooOld { wanted: Lsn::ZERO, horizon: Lsn(1) });
        }
        let start = request.ranges.first().map(|range| range.start.clone()).unwrap_or_default();
        let mut keys: Vec<u8> =
            (1..=ROWS).filter(|key| request.ranges.iter().any(|range| range.contains(&[*key]))).collect();
        if request.direction == Direction::Backward {
            keys.reverse();
        }
        keys.truncate(request.limit.map_or(usize::MAX, |limit| limit as usize));
        if let ScanOutput::Aggregates(_) = request.output {
            let batch = batch_of(&keys, &request);
            return Ok(stream::iter([Ok(batch)]).boxed());
        }
        let batches: Vec<ScanBatch> = keys.chunks(request.batch_rows).map(|keys| batch_of(keys, &request)).collect();
        if start == BROKEN_KEY {
            let error = PageError::Corrupt("layer 7 at byte 9".to_owned());
            return Ok(stream::iter([Ok(batches[0].clone()), Err(error)]).boxed());
        }
        if start == ENDLESS_KEY {
            let guard = self.working.begin();
            let endless = stream::repeat_with(move || {
                let _held = &guard;
                Ok(batches[0].clone())
            });
            return Ok(endless.boxed());
        }
        Ok(stream::iter(batches.into_iter().map(Ok)).boxed())
    }

    async fn estimate(&self, range: KeyRange) -> Result<RangeEstimate, PageError> {
        let rows = (1..=ROWS).filter(|key| range.contains(&[*key])).count() as u64;
        Ok(RangeEstimate { rows, bytes: 4 * rows })
    }

    async fn figures(&self, range: KeyRange) -> Result<IndexFigures, PageError> {
        let RangeEstimate { rows, bytes } = self.estimate(range).await?;
        let value = |number: i64| PhysicalValue::Int64(number);
        let column = ColumnFigures {
            column: ColumnId(3),
            distinct: rows,
            nulls: 1,
            min: Some(value(-1)),
            max: None,
            quantiles: vec![value(0), value(1)],
        };
        Ok(IndexFigures { rows, bytes, columns: vec![column] })
    }

    async fn flush(&self) -> Result<Lsn, PageError> {
        Ok(Lsn(u64::from(ROWS)))
    }

    async fn status(&self) -> Result<PageStatus, PageError> {
        Ok(PageStatus {
            applied: Lsn(2),
            durable: Lsn(1),
            tablets: vec![TabletId(1), TabletId(2)],
            layers: 3,
            layer_bytes: 4,
            memtable_bytes: 5,
            cache_memory_bytes: 6,
        })
    }

    async fn bulk_write(&self, rows: Vec<BulkRow>) -> Result<Vec<BulkLayer>, PageError> {
        let (Some((first, _)), Some((last, _))) = (rows.first(), rows.last()) else { return Ok(Vec::new()) };
        let bytes = rows.iter().map(|(key, row)| (key.len() + row.as_ref().map_or(0, |row| row.len())) as u64).sum();
        let (home, generation, sequence) = (TabletId(1), 2, 3);
        let (first, last, rows) = (first.clone(), last.clone(), rows.len() as u64);
        let tombstones = 0;
        Ok(vec![BulkLayer { home, generation, sequence, bytes, index_offset: 4, first, last, rows, tombstones }])
    }

    async fn bulk_finish(&self, layers: Vec<BulkLayer>) -> Result<BulkFinished, PageError> {
        let common = layers.windows(2).find(|pair| pair[0].last >= pair[1].first);
        Ok(common.map_or(BulkFinished::Ready(layers.clone()), |pair| BulkFinished::Duplicate(pair[1].first.clone())))
    }
}
