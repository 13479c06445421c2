//! The page service: checks a request, waits for its LSN, takes snapshots of the tablets concerned, and reads.

use crate::bulk;
use crate::config::Config;
use crate::flush::FlushRequest;
use crate::read;
use crate::read::pool::ScanPool;
use crate::tablet::set::KeySnapshots;
use crate::tablet::{Snapshot, Tablets};
use async_trait::async_trait;
use common::bulk::BulkLayer;
use common::env::planted::{Bug, planted};
use common::id::Lsn;
use common::key::{Key, KeyRange};
use common::service::PageService;
use common::service::page::{
    BulkFinished, BulkRow, GetRequest, IndexFigures, PageError, PageStatus, RangeEstimate, RowVersion, ScanBatch,
    ScanOutput, ScanRequest,
};
use futures::stream::BoxStream;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

pub struct Service {
    pub tablets: Arc<Tablets>,
    pub config: Arc<Config>,
    pub flushes: mpsc::Sender<FlushRequest>,
    pub scans: ScanPool,
    /// False for a standby, which writes nothing.
    pub is_owner: bool,
}

impl Service {
    /// Everything up to `lsn` is in the snapshots that are taken after this.
    async fn wait(&self, lsn: Lsn) -> Result<(), PageError> {
        self.tablets.check_owned()?;
        if planted(Bug::ReadBelowApplied) {
            return Ok(());
        }
        self.tablets.wait_applied(lsn, self.config.read_wait_max).await
    }

    /// For what writes to the store.
    fn check_owner(&self) -> Result<(), PageError> {
        self.tablets.check_owned()?;
        match self.is_owner {
            true => Ok(()),
            false => Err(PageError::Unavailable("this page server is a standby".into())),
        }
    }

    /// What `keys` have at `lsn`, tombstones included, each with the snapshot that says so.
    async fn look_up(&self, keys: &[Key], lsn: Lsn, check: bool) -> Result<Vec<Answer>, PageError> {
        let metrics = &self.tablets.source.metrics;
        let parts = match self.tablets.snapshots_of_keys(keys) {
            KeySnapshots::Several(parts) => parts,
            KeySnapshots::One(snapshot) => {
                if check {
                    check_kept(&snapshot, lsn)?;
                }
                let found = read::get::get(&snapshot, metrics, keys, lsn).await?;
                return Ok(found.into_iter().map(|version| (version, snapshot.tombstones_dropped)).collect());
            }
        };
        let mut answers: Vec<Answer> = vec![(None, Lsn::ZERO); keys.len()];
        for (snapshot, places) in parts {
            if check {
                check_kept(&snapshot, lsn)?;
            }
            let wanted: Vec<Key> = places.iter().map(|place| keys[*place].clone()).collect();
            let found = read::get::get(&snapshot, metrics, &wanted, lsn).await?;
            for (place, version) in places.into_iter().zip(found) {
                answers[place] = (version, snapshot.tombstones_dropped);
            }
        }
        Ok(answers)
    }
}

/// A version and, for keys without one, up to where they may have been written and deleted.
type Answer = (Option<read::get::Found>, Lsn);

fn check_kept(snapshot: &Snapshot, lsn: Lsn) -> Result<(), PageError> {
    if snapshot.kept.has(lsn) {
        return Ok(());
    }
    Err(PageError::TooOld { wanted: lsn, horizon: snapshot.kept.horizon() })
}

#[async_trait]
impl PageService for Service {
    async fn get(&self, request: GetRequest) -> Result<Vec<Option<RowVersion>>, PageError> {
        self.wait(request.lsn).await?;
        let found = self.look_up(&request.keys, request.lsn, true).await?;
        Ok(read::get::rows(found.into_iter().map(|(version, _)| version).collect()))
    }

    async fn newest_versions(&self, keys: Vec<Key>, applied: Lsn) -> Result<Vec<Lsn>, PageError> {
        self.wait(applied).await?;
        let found = self.look_up(&keys, Lsn::MAX, false).await?;
        // A tombstone that compaction dropped was no newer than this.
        Ok(found.into_iter().map(|(version, never)| version.map_or(never, |(lsn, _)| lsn)).collect())
    }

    async fn scan(&self, request: ScanRequest) -> Result<BoxStream<'static, Result<ScanBatch, PageError>>, PageError> {
        let ascending = request.ranges.windows(2).all(|pair| !pair[0].end.is_empty() && pair[0].end <= pair[1].start);
        if !ascending {
            return Err(PageError::BadRequest("the ranges of a scan must be disjoint and ascending".into()));
        }
        if let ScanOutput::Aggregates(wanted) = &request.output {
            expr::partial::check(wanted, &request.bounds).map_err(|error| PageError::BadRequest(error.to_string()))?;
            if request.limit.is_some() {
                return Err(PageError::BadRequest("aggregates have no limit".into()));
            }
        }
        self.wait(request.lsn).await?;
        let parts = self.tablets.snapshots_of_ranges(&request.ranges);
        for (snapshot, _) in &parts {
            check_kept(snapshot, request.lsn)?;
        }
        Ok(self.scans.run(read::tablets::scan(parts, self.tablets.source.metrics.clone(), request)))
    }

    async fn estimate(&self, range: KeyRange) -> Result<RangeEstimate, PageError> {
        self.tablets.check_owned()?;
        let mut sum = RangeEstimate::default();
        for (snapshot, ranges) in self.tablets.snapshots_of_ranges(&[range]) {
            for range in ranges {
                let part = read::estimate::estimate(&snapshot, &range);
                sum = RangeEstimate { rows: sum.rows + part.rows, bytes: sum.bytes + part.bytes };
            }
        }
        Ok(sum)
    }

    async fn figures(&self, range: KeyRange) -> Result<IndexFigures, PageError> {
        self.tablets.check_owned()?;
        let parts = self.tablets.snapshots_of_ranges(std::slice::from_ref(&range));
        Ok(read::statistics::figures(&parts, &range))
    }

    async fn flush(&self) -> Result<Lsn, PageError> {
        self.check_owner()?;
        let (answer, answered) = oneshot::channel();
        let stopping = || PageError::Unavailable("the page server is stopping".into());
        self.flushes.send(answer).await.map_err(|_| stopping())?;
        answered.await.map_err(|_| stopping())?
    }

    async fn status(&self) -> Result<PageStatus, PageError> {
        let set = self.tablets.set();
        // Tablets that came of a split share layers.
        let mut layers = HashMap::new();
        for tablet in &set.tablets {
            layers.extend(tablet.snapshot().layers.iter().map(|layer| (layer.meta.id(), layer.meta.bytes)));
        }
        Ok(PageStatus {
            applied: self.tablets.applied(),
            durable: self.tablets.durable(),
            // One that was fenced owns nothing any more.
            tablets: match self.is_owner && self.tablets.check_owned().is_ok() {
                true => set.map.tablets().collect(),
                false => Vec::new(),
            },
            layers: layers.len() as u64,
            layer_bytes: layers.values().sum(),
            memtable_bytes: self.tablets.memtable_bytes().2 as u64,
            cache_memory_bytes: self.tablets.source.cache.memory_bytes(),
        })
    }

    async fn bulk_write(&self, rows: Vec<BulkRow>) -> Result<Vec<BulkLayer>, PageError> {
        self.check_owner()?;
        bulk::write(&self.tablets, &self.config, rows).await
    }

    async fn bulk_finish(&self, layers: Vec<BulkLayer>) -> Result<BulkFinished, PageError> {
        self.check_owner()?;
        bulk::finish(&self.tablets, &self.config, layers).await
    }
}
