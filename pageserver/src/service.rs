//! The page service: checks a request, waits for its LSN, takes a snapshot, and reads.

use crate::config::Config;
use crate::flush::FlushRequest;
use crate::read;
use crate::tablet::{Snapshot, Tablet};
use async_trait::async_trait;
use common::id::Lsn;
use common::key::{Key, KeyRange};
use common::service::PageService;
use common::service::page::{GetRequest, PageError, PageStatus, RangeEstimate, RowVersion, ScanBatch, ScanRequest};
use futures::stream::BoxStream;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

pub struct Service {
    pub tablet: Arc<Tablet>,
    pub config: Arc<Config>,
    pub flushes: mpsc::Sender<FlushRequest>,
}

impl Service {
    /// A snapshot that has everything up to `lsn` and still keeps what is visible there.
    async fn snapshot_at(&self, lsn: Lsn) -> Result<Arc<Snapshot>, PageError> {
        self.tablet.check_owned()?;
        self.tablet.wait_applied(lsn, self.config.read_wait_max).await?;
        let snapshot = self.tablet.snapshot();
        if lsn < snapshot.horizon {
            return Err(PageError::TooOld { wanted: lsn, horizon: snapshot.horizon });
        }
        Ok(snapshot)
    }
}

#[async_trait]
impl PageService for Service {
    async fn get(&self, request: GetRequest) -> Result<Vec<Option<RowVersion>>, PageError> {
        let snapshot = self.snapshot_at(request.lsn).await?;
        let found = read::get::get(&snapshot, &self.tablet.source.metrics, &request.keys, request.lsn).await?;
        Ok(read::get::rows(found))
    }

    async fn newest_versions(&self, keys: Vec<Key>) -> Result<Vec<Lsn>, PageError> {
        self.tablet.check_owned()?;
        let snapshot = self.tablet.snapshot();
        let found = read::get::get(&snapshot, &self.tablet.source.metrics, &keys, Lsn::MAX).await?;
        // A tombstone that compaction dropped was no newer than this.
        let never = snapshot.tombstones_dropped;
        Ok(found.into_iter().map(|version| version.map_or(never, |(lsn, _)| lsn)).collect())
    }

    async fn scan(&self, request: ScanRequest) -> Result<BoxStream<'static, Result<ScanBatch, PageError>>, PageError> {
        let ascending = request.ranges.windows(2).all(|pair| !pair[0].end.is_empty() && pair[0].end <= pair[1].start);
        if !ascending {
            return Err(PageError::BadRequest("the ranges of a scan must be disjoint and ascending".into()));
        }
        let snapshot = self.snapshot_at(request.lsn).await?;
        Ok(read::scan::scan(snapshot, self.tablet.source.metrics.clone(), request))
    }

    async fn estimate(&self, range: KeyRange) -> Result<RangeEstimate, PageError> {
        self.tablet.check_owned()?;
        Ok(read::estimate::estimate(&self.tablet.snapshot(), &range))
    }

    async fn flush(&self) -> Result<Lsn, PageError> {
        self.tablet.check_owned()?;
        let (answer, answered) = oneshot::channel();
        let stopping = || PageError::Unavailable("the page server is stopping".into());
        self.flushes.send(answer).await.map_err(|_| stopping())?;
        answered.await.map_err(|_| stopping())?
    }

    async fn status(&self) -> Result<PageStatus, PageError> {
        let snapshot = self.tablet.snapshot();
        Ok(PageStatus {
            applied: self.tablet.applied(),
            durable: self.tablet.durable(),
            tablets: vec![self.tablet.id],
            layers: snapshot.layers.iter().count() as u64,
            layer_bytes: snapshot.layers.iter().map(|layer| layer.meta.bytes).sum(),
            memtable_bytes: self.tablet.memtable_bytes().1 as u64,
            cache_memory_bytes: self.tablet.source.cache.memory_bytes(),
        })
    }
}
