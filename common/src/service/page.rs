//! What page servers offer: point reads and scans at an LSN.

use crate::bulk::BulkLayer;
use crate::id::{ColumnId, Lsn, TabletId};
use crate::key::{Key, KeyRange};
use crate::physical::{PhysicalType, PhysicalValue};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::time::Duration;

#[async_trait]
pub trait PageService: Send + Sync {
    /// The newest version at or below `request.lsn` of each key, in the order of the keys; `None` where there is no row.
    /// Waits until that LSN is applied.
    async fn get(&self, request: GetRequest) -> Result<Vec<Option<RowVersion>>, PageError>;

    /// The newest LSN at which each key was written (tombstones count), `Lsn::ZERO` if never. Waits until `applied` is
    /// applied, so every version up to there counts. For the sequencer's check of keys older than its window.
    async fn newest_versions(&self, keys: Vec<Key>, applied: Lsn) -> Result<Vec<Lsn>, PageError>;

    /// Rows of key ranges at an LSN, in key order (or its reverse). Waits until that LSN is applied.
    async fn scan(&self, request: ScanRequest) -> Result<BoxStream<'static, Result<ScanBatch, PageError>>, PageError>;

    /// Rough figures for the planner.
    async fn estimate(&self, range: KeyRange) -> Result<RangeEstimate, PageError>;

    /// Rough figures for the planner, of the index that `range` is in: the number of rows is the range's, the rest is the
    /// whole index's.
    async fn figures(&self, range: KeyRange) -> Result<IndexFigures, PageError> {
        let RangeEstimate { rows, bytes } = self.estimate(range).await?;
        Ok(IndexFigures { rows, bytes, columns: Vec::new() })
    }

    /// Writes everything applied up to now to object storage and returns the durable LSN after that. FLUSH TABLES.
    async fn flush(&self) -> Result<Lsn, PageError>;

    async fn status(&self) -> Result<PageStatus, PageError>;

    /// Writes rows and deletions, in ascending order of their keys and each key once, as layers in the object store that
    /// nobody sees until a commit names them. At most [`BULK_BYTES_MAX`] of keys and rows in one call.
    async fn bulk_write(&self, rows: Vec<BulkRow>) -> Result<Vec<BulkLayer>, PageError>;

    /// Makes layers of [`PageService::bulk_write`] ready for one commit: where their ranges overlap, they are merged into
    /// layers that do not. From this answer on, the page server keeps them for [`BULK_KEPT`]: time to commit them.
    async fn bulk_finish(&self, layers: Vec<BulkLayer>) -> Result<BulkFinished, PageError>;
}

/// A key, and the row that it gets; `None` for a deletion.
pub type BulkRow = (Key, Option<Bytes>);

/// What one [`PageService::bulk_write`] may carry.
pub const BULK_BYTES_MAX: usize = 64 << 20;

/// How long layers without a commit are kept. Longer than any commit is tried again.
pub const BULK_KEPT: Duration = Duration::from_secs(3600);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum BulkFinished {
    /// Disjoint, in key order.
    Ready(Vec<BulkLayer>),
    /// Two of them have this key.
    Duplicate(Key),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetRequest {
    pub lsn: Lsn,
    pub keys: Vec<Key>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowVersion {
    /// The commit that wrote it.
    pub lsn: Lsn,
    pub row: Bytes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Direction {
    Forward,
    Backward,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScanRequest {
    pub lsn: Lsn,
    /// Disjoint, ascending. Scanned in that order, or in reverse for `Backward`.
    pub ranges: Vec<KeyRange>,
    pub direction: Direction,
    /// Rows, over all ranges.
    pub limit: Option<u64>,
    pub output: ScanOutput,
    /// Bounds that every wanted row meets. The page server may use them to skip blocks and rows; the caller checks again.
    pub bounds: Vec<ColumnBound>,
    /// Rows per batch, about.
    pub batch_rows: usize,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ScanOutput {
    /// Keys and stored rows, for the row path.
    Rows,
    /// Keys alone (COUNT(*), existence).
    Keys,
    /// One Arrow array per column, of `physical.arrow()`, nullable, in this order. May be empty: then only row counts.
    Columns(Vec<ScanColumn>),
    /// One value per call, in one batch, of the rows that meet all bounds. Bounds are exact here, and each is on one of
    /// `columns`, with values of its type. Without limit. `expr::partial` says what the values are.
    Aggregates(Aggregates),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Aggregates {
    /// What calls and bounds read. Calls name a column by its place here.
    pub columns: Vec<ScanColumn>,
    pub calls: Vec<PartialCall>,
}

/// An aggregate over a part of the rows, such that parts can be put together. A column is a place in
/// [`Aggregates::columns`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PartialCall {
    /// Rows, as `UInt64`.
    Rows,
    /// Rows whose column is not NULL, as `UInt64`.
    Count(u16),
    /// The exact sum of a term over integers, as `Int256`; NULL where no row has a value. The term in postfix order: a flat
    /// list, so that a hostile one cannot be nested deeply.
    Sum(Vec<TermStep>),
    /// The sum of a `Float64` column, added up in key order; NULL where no row has a value.
    SumDouble(u16),
    /// In the order of physical values; NULL where no row has a value.
    Min(u16),
    Max(u16),
}

/// Columns are `Int64`, `UInt64` or `Int128`; what does not fit 128 bits on the way is refused. NULL makes a term NULL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TermStep {
    Column(u16),
    Constant(i128),
    Add,
    Subtract,
    Multiply,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScanColumn {
    pub column: ColumnId,
    pub physical: PhysicalType,
    /// For rows stored before the column was added.
    pub default: PhysicalValue,
}

/// `min <= column <= max`; a missing side is open. NULL never meets a bound.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ColumnBound {
    pub column: ColumnId,
    pub min: Option<PhysicalValue>,
    pub max: Option<PhysicalValue>,
}

impl ColumnBound {
    /// Whether a value meets it. NULL does not; a value that cannot be compared does.
    pub fn is_met_by(&self, value: &PhysicalValue) -> bool {
        let beyond = |limit: &Option<PhysicalValue>, order: Ordering| {
            limit.as_ref().is_some_and(|limit| value.compare(limit) == Some(order))
        };
        *value != PhysicalValue::Null && !beyond(&self.min, Ordering::Less) && !beyond(&self.max, Ordering::Greater)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScannedRow {
    pub key: Key,
    pub lsn: Lsn,
    /// Empty for [`ScanOutput::Keys`].
    pub row: Bytes,
}

/// In process, a batch is handed on as it is; over the network, columns travel as Arrow IPC.
#[derive(Debug, Clone, PartialEq)]
pub enum ScanBatch {
    Rows(Vec<ScannedRow>),
    Columns(RecordBatch),
    /// The one batch of [`ScanOutput::Aggregates`].
    Aggregates(Vec<PhysicalValue>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RangeEstimate {
    pub rows: u64,
    pub bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct IndexFigures {
    pub rows: u64,
    pub bytes: u64,
    /// By column id. What is not known is not there: nothing is before the first flush.
    pub columns: Vec<ColumnFigures>,
}

/// What is known of the stored values of a column, about. Rows older than the column count for nothing here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ColumnFigures {
    pub column: ColumnId,
    /// Different values, without NULL.
    pub distinct: u64,
    /// Rows with NULL.
    pub nulls: u64,
    /// No value is beyond; long strings are cut.
    pub min: Option<PhysicalValue>,
    pub max: Option<PhysicalValue>,
    /// Values that divide the others into parts of equally many rows, from the least to the greatest of a sample; none
    /// where too few are known. Long strings are cut.
    pub quantiles: Vec<PhysicalValue>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PageStatus {
    pub applied: Lsn,
    pub durable: Lsn,
    /// What it owns; nothing, where it stands by for another.
    pub tablets: Vec<TabletId>,
    pub layers: u64,
    pub layer_bytes: u64,
    pub memtable_bytes: u64,
    pub cache_memory_bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum PageError {
    /// The LSN was not applied in time; try again, here or at another copy.
    #[error("lsn {wanted} is not applied yet (applied: {applied})")]
    Behind { wanted: Lsn, applied: Lsn },
    /// The snapshot is older than what is kept.
    #[error("lsn {wanted} is below the retention horizon {horizon}")]
    TooOld { wanted: Lsn, horizon: Lsn },
    /// A checksum or a structure is wrong and no other copy could repair it. The text says which object and where.
    #[error("{0}")]
    Corrupt(String),
    #[error("page server unavailable: {0}")]
    Unavailable(String),
    #[error("bad request: {0}")]
    BadRequest(String),
}
