//! The newest catalog of this compute: read once at the start, then kept up by following the log.
//!
//! Invariant: the catalog shown with an applied LSN has every definition committed up to that LSN. It may be older than
//! the log; whoever needs a certain LSN waits for it, a bounded time.

use crate::catalog::{Catalog, storage};
use crate::txn::service_error::{wal_error, with_backoff};
use crate::txn::snapshot::{newest_lsn, read_lsn};
use crate::txn::{ReadView, Remote, ViewScan};
use common::id::Lsn;
use common::service::page::ScanBatch;
use common::service::wal::{Batch, StreamItem, WalError};
use expr::SqlError;
use futures::StreamExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How long a statement waits for the catalog to reach its LSN before it gets an error.
const FOLLOW_WAIT_MAX: Duration = Duration::from_secs(10);
/// Before the log is asked again after an error.
const RECONNECT_WAIT: Duration = Duration::from_millis(200);

#[derive(Clone)]
struct Shown {
    applied: Lsn,
    catalog: Arc<Catalog>,
}

pub struct CatalogCache {
    remote: Remote,
    shown: watch::Receiver<Shown>,
    follower: JoinHandle<()>,
}

impl CatalogCache {
    /// Reads the catalog and starts to follow the log; ends when dropped.
    pub async fn start(remote: Remote) -> Result<CatalogCache, SqlError> {
        let catalog = load(&remote).await?;
        let (sender, shown) = watch::channel(Shown { applied: catalog.lsn, catalog: Arc::new(catalog) });
        let follower = tokio::spawn(Follower { remote: remote.clone(), sender }.run());
        Ok(CatalogCache { remote, shown, follower })
    }

    /// What is known now.
    pub fn newest(&self) -> Arc<Catalog> {
        self.shown.borrow().catalog.clone()
    }

    /// A catalog with everything committed up to `lsn`, and possibly more. Its own `lsn` is that of its last change.
    pub async fn snapshot_at_least(&self, lsn: Lsn) -> Result<Arc<Catalog>, SqlError> {
        {
            let shown = self.shown.borrow();
            if shown.applied >= lsn {
                return Ok(shown.catalog.clone());
            }
        }
        // The follower hears late of what defines nothing; up to there the newest definitions are enough.
        let now = read_lsn(&self.remote).await?;
        let enough = if now.lsn >= lsn { lsn.min(now.definitions) } else { lsn };
        let mut shown = self.shown.clone();
        let reached = tokio::time::timeout(FOLLOW_WAIT_MAX, shown.wait_for(|shown| shown.applied >= enough)).await;
        match reached {
            Ok(Ok(shown)) => Ok(shown.catalog.clone()),
            Ok(Err(_)) => Err(SqlError::internal("The catalog is no longer kept up: this server is stopping")),
            Err(_) => Err(SqlError::internal(format!(
                "The catalog did not reach lsn {lsn} in time: the log's stream is late; try again"
            ))),
        }
    }
}

impl Drop for CatalogCache {
    fn drop(&mut self) {
        self.follower.abort();
    }
}

/// The catalog as it is stored, at the newest LSN.
async fn load(remote: &Remote) -> Result<Catalog, SqlError> {
    let lsn = newest_lsn(remote).await?;
    let view = ReadView::of(remote.pages.clone(), lsn);
    let mut catalog = Catalog { lsn, ..Catalog::default() };
    // Databases come first in key order, so their tables find them.
    let mut batches = view.scan(ViewScan::rows(storage::whole()));
    while let Some(batch) = batches.next().await {
        let ScanBatch::Rows(rows) = batch? else {
            return Err(SqlError::internal("The page server gave columns where rows were asked for"));
        };
        for row in rows {
            storage::apply(&mut catalog, &row.key, Some(&row.row), row.lsn)?;
        }
    }
    Ok(catalog)
}

struct Follower {
    remote: Remote,
    sender: watch::Sender<Shown>,
}

impl Follower {
    async fn run(self) {
        while !self.sender.is_closed() {
            match self.follow().await {
                Ok(()) => {}
                Err(error) => tracing::warn!(%error, "the catalog cannot follow the log; trying again"),
            }
            tokio::time::sleep(RECONNECT_WAIT).await;
        }
    }

    /// Until the stream ends.
    async fn follow(&self) -> Result<(), SqlError> {
        let from = self.sender.borrow().applied.next();
        let mut stream = match with_backoff(|| self.remote.wal.subscribe_to_definitions(from)).await {
            Ok(stream) => stream,
            Err(WalError::Trimmed { .. }) => return self.reload().await,
            Err(error) => return Err(wal_error(error)),
        };
        while let Some(item) = stream.next().await {
            match item {
                Ok(StreamItem::Batch(batch)) => self.apply(&batch)?,
                Ok(StreamItem::Heartbeat { up_to }) => self.advance(up_to, None),
                Err(WalError::Trimmed { .. }) => return self.reload().await,
                Err(error) => return Err(wal_error(error)),
            }
        }
        Ok(())
    }

    async fn reload(&self) -> Result<(), SqlError> {
        let catalog = load(&self.remote).await?;
        self.advance(catalog.lsn, Some(catalog));
        Ok(())
    }

    fn apply(&self, batch: &Batch) -> Result<(), SqlError> {
        let mut changed: Option<Catalog> = None;
        for transaction in &batch.transactions {
            let ours = |key: &[u8]| key.starts_with(&storage::CATALOG_TABLE.0.to_be_bytes());
            let mut mutations: Vec<_> =
                transaction.mutations.iter().map(|(_, mutation)| mutation).filter(|one| ours(&one.key)).collect();
            // A database before what is in it.
            mutations.sort_by(|left, right| left.key.cmp(&right.key));
            for mutation in mutations {
                let catalog = changed.get_or_insert_with(|| (*self.sender.borrow().catalog).clone());
                storage::apply(catalog, &mutation.key, mutation.row.as_ref(), transaction.lsn)?;
                catalog.lsn = transaction.lsn;
            }
        }
        self.advance(batch.last_lsn, changed);
        Ok(())
    }

    fn advance(&self, applied: Lsn, changed: Option<Catalog>) {
        self.sender.send_if_modified(|shown| {
            if applied <= shown.applied && changed.is_none() {
                return false;
            }
            shown.applied = shown.applied.max(applied);
            if let Some(catalog) = changed {
                shown.catalog = Arc::new(catalog);
            }
            true
        });
    }
}
