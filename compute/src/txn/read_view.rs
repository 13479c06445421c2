//! What a statement reads: the data at one LSN with the transaction's own writes over it.
//!
//! Cheap to clone and independent of the transaction afterwards, so that a result can stream while the session goes on.

use crate::txn::locking::Grant;
use crate::txn::merge;
use crate::txn::service_error::{page_error, with_backoff};
use crate::txn::spill::{HeldRow, load_all};
use bytes::Bytes;
use common::id::Lsn;
use common::key::{Key, KeyRange};
use common::service::PageService;
use common::service::page::{ColumnBound, Direction, GetRequest, RowVersion, ScanBatch, ScanOutput, ScanRequest};
use expr::SqlError;
use futures::stream::{BoxStream, StreamExt, TryStreamExt};
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A transaction's own writes: newest row by key, `None` for a deleted one.
pub type WriteBuffer = BTreeMap<Key, Option<HeldRow>>;

/// Newest versions that a lock brought along because they are not durable yet, by key: the LSN, and the row or `None`
/// for a deletion.
#[derive(Clone, Default)]
pub struct Known(Option<Arc<HashMap<Key, (Lsn, Option<Bytes>)>>>);

impl From<HashMap<Key, (Lsn, Option<Bytes>)>> for Known {
    fn from(rows: HashMap<Key, (Lsn, Option<Bytes>)>) -> Known {
        Known((!rows.is_empty()).then(|| Arc::new(rows)))
    }
}

impl Known {
    pub fn get(&self, key: &Key) -> Option<&(Lsn, Option<Bytes>)> {
        self.0.as_ref()?.get(key)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

#[derive(Clone)]
pub struct ReadView {
    pub pages: Arc<dyn PageService>,
    pub lsn: Lsn,
    pub buffer: Arc<WriteBuffer>,
    /// Over the data at the LSN where keys are looked up; scans do not see it.
    pub known: Known,
    /// Rows that page servers gave.
    pub rows_read: Arc<AtomicU64>,
}

/// See `common::service::page::ScanRequest`.
#[derive(Debug, Clone)]
pub struct ViewScan {
    pub ranges: Vec<KeyRange>,
    pub direction: Direction,
    pub limit: Option<u64>,
    pub output: ScanOutput,
    pub bounds: Vec<ColumnBound>,
    pub batch_rows: usize,
}

impl ViewScan {
    /// All rows of these ranges, forward.
    pub fn rows(ranges: Vec<KeyRange>) -> ViewScan {
        ViewScan {
            ranges,
            direction: Direction::Forward,
            limit: None,
            output: ScanOutput::Rows,
            bounds: Vec::new(),
            batch_rows: 1024,
        }
    }

    pub fn with_limit(self, limit: u64) -> ViewScan {
        ViewScan { limit: Some(limit), ..self }
    }

    /// Keys without their rows.
    pub fn keys_only(self) -> ViewScan {
        ViewScan { output: ScanOutput::Keys, ..self }
    }
}

impl ReadView {
    /// What is committed, and nothing over it.
    pub fn of(pages: Arc<dyn PageService>, lsn: Lsn) -> ReadView {
        ReadView { pages, lsn, buffer: Arc::default(), known: Known::default(), rows_read: Arc::default() }
    }

    /// The same own writes over the data at another LSN: locking reads continue at the LSN of the grant.
    pub fn at(&self, lsn: Lsn) -> ReadView {
        ReadView { lsn, known: Known::default(), ..self.clone() }
    }

    /// The same, with what a lock brought along over it.
    pub fn at_grant(&self, grant: &Grant) -> ReadView {
        ReadView { lsn: grant.lsn, known: grant.known.clone(), ..self.clone() }
    }

    /// Rows by key, in the order of the keys. Own writes have `lsn` of this view.
    pub async fn get(&self, keys: Vec<Key>) -> Result<Vec<Option<RowVersion>>, SqlError> {
        if self.buffer.is_empty() && self.known.is_empty() {
            return self.get_committed(keys).await;
        }
        let mut rows: Vec<Option<RowVersion>> = Vec::with_capacity(keys.len());
        let (mut own, mut own_at) = (Vec::new(), Vec::new());
        let (mut missing, mut missing_at) = (Vec::new(), Vec::new());
        for (position, key) in keys.into_iter().enumerate() {
            match self.buffer.get(&key) {
                Some(row) => {
                    rows.push(None);
                    own.push(row.clone());
                    own_at.push(position);
                }
                None => match self.known.get(&key) {
                    Some((lsn, row)) => rows.push(row.clone().map(|row| RowVersion { lsn: *lsn, row })),
                    None => {
                        rows.push(None);
                        missing.push(key);
                        missing_at.push(position);
                    }
                },
            }
        }
        for (position, row) in own_at.into_iter().zip(load_all(own).await?) {
            rows[position] = row.map(|row| RowVersion { lsn: self.lsn, row });
        }
        if !missing.is_empty() {
            for (position, row) in missing_at.into_iter().zip(self.get_committed(missing).await?) {
                rows[position] = row;
            }
        }
        Ok(rows)
    }

    async fn get_committed(&self, keys: Vec<Key>) -> Result<Vec<Option<RowVersion>>, SqlError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let wanted = keys.len();
        let request = GetRequest { lsn: self.lsn, keys };
        let rows = with_backoff(|| self.pages.get(request.clone())).await.map_err(page_error)?;
        if rows.len() != wanted {
            return Err(SqlError::internal(format!("The page server gave {} rows for {wanted} keys", rows.len())));
        }
        let found = rows.iter().filter(|row| row.is_some()).count();
        self.rows_read.fetch_add(found as u64, Ordering::Relaxed);
        Ok(rows)
    }

    /// Rows of ranges in key order, own writes merged in (for [`ScanOutput::Columns`] too).
    pub fn scan(&self, scan: ViewScan) -> BoxStream<'static, Result<ScanBatch, SqlError>> {
        let own = self.own_writes(&scan.ranges, scan.direction);
        if own.is_empty() {
            return self.scan_committed(scan);
        }
        // Every own write takes the place of at most one stored row, so this many rows are enough.
        let limit = scan.limit.map(|limit| limit.saturating_add(own.len() as u64));
        let output = match &scan.output {
            ScanOutput::Columns(_) => ScanOutput::Rows,
            output => output.clone(),
        };
        let stored = self.scan_committed(ViewScan { limit, output, ..scan.clone() });
        merge::merge(stored, own, self.lsn, scan)
    }

    fn scan_committed(&self, scan: ViewScan) -> BoxStream<'static, Result<ScanBatch, SqlError>> {
        let (pages, rows_read) = (self.pages.clone(), self.rows_read.clone());
        let request = ScanRequest {
            lsn: self.lsn,
            ranges: scan.ranges,
            direction: scan.direction,
            limit: scan.limit,
            output: scan.output,
            bounds: scan.bounds,
            batch_rows: scan.batch_rows,
        };
        futures::stream::once(async move {
            let batches = with_backoff(|| pages.scan(request.clone())).await.map_err(page_error)?;
            let counted = batches.inspect_ok(move |batch| {
                let rows = match batch {
                    ScanBatch::Rows(rows) => rows.len(),
                    ScanBatch::Columns(columns) => columns.num_rows(),
                    // How many went into it is not known here.
                    ScanBatch::Aggregates(_) => 1,
                };
                rows_read.fetch_add(rows as u64, Ordering::Relaxed);
            });
            Ok::<_, SqlError>(counted.map_err(page_error))
        })
        .try_flatten()
        .boxed()
    }

    /// Whether the transaction itself has written there: then aggregates cannot be asked for.
    pub fn has_own_writes(&self, ranges: &[KeyRange]) -> bool {
        !self.own_writes(ranges, Direction::Forward).is_empty()
    }

    /// Own writes in these ranges, in the order of the scan.
    fn own_writes(&self, ranges: &[KeyRange], direction: Direction) -> Vec<(Key, Option<HeldRow>)> {
        let mut own = Vec::new();
        if self.buffer.is_empty() {
            return own;
        }
        for range in ranges.iter().filter(|range| !range.is_empty()) {
            let end = if range.end.is_empty() { Bound::Unbounded } else { Bound::Excluded(&range.end) };
            let entries = self.buffer.range::<Key, _>((Bound::Included(&range.start), end));
            own.extend(entries.map(|(key, row)| (key.clone(), row.clone())));
        }
        if direction == Direction::Backward {
            own.reverse();
        }
        own
    }
}
