//! A page server that knows versions of keys and nothing else: what the sequencer asks one for.

use async_trait::async_trait;
use common::bulk::BulkLayer;
use common::id::Lsn;
use common::key::{Key, KeyRange};
use common::service::PageService;
use common::service::page::{
    BulkFinished, BulkRow, GetRequest, PageError, PageStatus, RangeEstimate, RowVersion, ScanBatch, ScanRequest,
};
use futures::stream::BoxStream;
use std::collections::HashMap;
use std::sync::Arc;

/// Every other key was never written.
pub struct Versions(HashMap<Key, Lsn>);

impl Versions {
    pub fn of(newest: impl IntoIterator<Item = (Key, Lsn)>) -> Arc<dyn PageService> {
        Arc::new(Versions(newest.into_iter().collect()))
    }
}

fn not_here<T>() -> Result<T, PageError> {
    Err(PageError::BadRequest("only versions are here".to_string()))
}

#[async_trait]
impl PageService for Versions {
    async fn newest_versions(&self, keys: Vec<Key>, _: Lsn) -> Result<Vec<Lsn>, PageError> {
        Ok(keys.iter().map(|key| self.0.get(key).copied().unwrap_or_default()).collect())
    }

    async fn get(&self, _: GetRequest) -> Result<Vec<Option<RowVersion>>, PageError> {
        not_here()
    }

    async fn scan(&self, _: ScanRequest) -> Result<BoxStream<'static, Result<ScanBatch, PageError>>, PageError> {
        not_here()
    }

    async fn estimate(&self, _: KeyRange) -> Result<RangeEstimate, PageError> {
        not_here()
    }

    async fn flush(&self) -> Result<Lsn, PageError> {
        not_here()
    }

    async fn status(&self) -> Result<PageStatus, PageError> {
        not_here()
    }

    async fn bulk_write(&self, _: Vec<BulkRow>) -> Result<Vec<BulkLayer>, PageError> {
        not_here()
    }

    async fn bulk_finish(&self, _: Vec<BulkLayer>) -> Result<BulkFinished, PageError> {
        not_here()
    }
}
