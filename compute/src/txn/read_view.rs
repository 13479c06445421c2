//! What a statement reads: the data at one LSN with the transaction's own writes over it.
//!
//! Cheap to clone and independent of the transaction afterwards, so that a result can stream while the session goes on.

use bytes::Bytes;
use common::id::Lsn;
use common::key::{Key, KeyRange};
use common::service::PageService;
use common::service::page::{ColumnBound, Direction, RowVersion, ScanBatch, ScanOutput};
use expr::SqlError;
use futures::stream::BoxStream;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A transaction's own writes: newest row by key, `None` for a deleted one.
pub type WriteBuffer = BTreeMap<Key, Option<Bytes>>;

#[derive(Clone)]
pub struct ReadView {
    pub pages: Arc<dyn PageService>,
    pub lsn: Lsn,
    pub buffer: Arc<WriteBuffer>,
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

impl ReadView {
    /// Rows by key, in the order of the keys. Own writes have `lsn` of this view.
    pub async fn get(&self, keys: Vec<Key>) -> Result<Vec<Option<RowVersion>>, SqlError> {
        let _ = keys;
        Err(SqlError::internal("reads are being written"))
    }

    /// Rows of ranges in key order, own writes merged in (for [`ScanOutput::Columns`] too).
    pub fn scan(&self, scan: ViewScan) -> BoxStream<'static, Result<ScanBatch, SqlError>> {
        let _ = scan;
        Box::pin(futures::stream::empty())
    }
}
