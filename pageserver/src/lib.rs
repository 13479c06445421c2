//! The page server: keeps what the log says as rows, in memory first and as columnar layers in object storage, and
//! answers reads at an LSN.
//!
//! ```text
//!  wal stream ─▶ ingest ─▶ memtable ─▶ flush ─▶ layers + manifests (object store)
//!                             │                     │   ▲
//!                             │                  cache  compact
//!                             ▼                     ▼
//!  get, scan ◀─ service ◀─ read: one snapshot of memtables and layers
//! ```
//!
//! Everything here can be lost but the object store, and what is not there yet is in the log: a start reads the newest
//! manifest and follows the log from its durable LSN.

mod bulk;
mod cache;
mod compact;
pub mod config;
pub mod doctor;
mod flush;
mod gauges;
mod ingest;
mod inventory;
pub mod layer;
pub mod manifest;
mod member;
mod memtable;
mod metrics;
mod pressure;
mod read;
mod service;
mod tablet;

use cache::BlockCache;
use common::cluster_map::{ClusterMap, MapChange};
use common::env::objects::{ObjectError, Objects};
use common::id::{Lsn, TabletId};
use common::key::Key;
use common::service::page::PageError;
use common::service::wal::{CommitError, CounterBump};
use common::service::{PageService, WalService};
use compact::workers::{CompactRequest, Compactor};
pub use config::{CacheConfig, Config, DiskCacheConfig};
use flush::Flusher;
use ingest::receiver::Receiver;
use layer::reader::{LayerSource, ReadError};
use manifest::ManifestError;
pub use member::{Member, Probe, Pulse, start_member};
use metrics::Metrics;
use object_store::ObjectStore;
use pressure::Reporter;
use read::pool::ScanPool;
use service::Service;
use std::sync::Arc;
use tablet::balance::BalanceOptions;
use tablet::balancer::{self, Balancer};
pub use tablet::recover::StoredState;
use tablet::{Tablets, recover};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Flush requests that wait; each is answered by the next flush.
const FLUSH_REQUESTS_MAX: usize = 64;

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{0}")]
    Config(String),
    #[error("{0}")]
    Cache(String),
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error(transparent)]
    Layer(#[from] ReadError),
    #[error(transparent)]
    Store(#[from] ObjectError),
    #[error(
        "the manifests of tablet {0} are missing from the store, though the first tablet's manifest names it. Restore the objects below tablets/{0}/ from a copy or a backup"
    )]
    MissingTablet(TabletId),
    #[error("read the records of prepared transactions: {0}")]
    Prepared(String),
}

impl StartError {
    /// Whether an object in the store is damaged, which a person has to look at; anything else may pass.
    pub fn is_damage(&self) -> bool {
        matches!(
            self,
            StartError::Manifest(ManifestError::Corrupt { .. })
                | StartError::Layer(ReadError::Corrupt { .. })
                | StartError::MissingTablet(_)
        ) || matches!(self, StartError::Layer(ReadError::Store(error)) if error.is_damage())
    }
}

/// A running page server. Dropping it without [`PageServer::shutdown`] stops its tasks; the log keeps what they had not
/// written yet.
pub struct PageServer {
    service: Arc<Service>,
    tablets: Arc<Tablets>,
    wal: Arc<dyn WalService>,
    compactions: mpsc::Sender<CompactRequest>,
    receiver_stop: CancellationToken,
    stop: CancellationToken,
    receiver: Option<JoinHandle<()>>,
    tasks: Vec<JoinHandle<()>>,
}

/// See [`tablet::recover`]: reads what the newest manifests on `store` say; nothing is changed.
pub async fn stored_state(store: Arc<dyn ObjectStore>) -> Result<StoredState, StartError> {
    recover::stored_state(Objects::new(store)).await
}

/// For a store whose log is gone: leaves every tablet at the last complete cut, and says what a new log must know.
pub async fn recover(store: Arc<dyn ObjectStore>) -> Result<StoredState, StartError> {
    recover::recover(&Objects::new(store)).await
}

/// The LSN up to which the newest manifests on `store` are complete; zero for an empty store.
pub async fn durable_lsn_of(store: Arc<dyn ObjectStore>) -> Result<Lsn, StartError> {
    Ok(stored_state(store).await?.durable)
}

/// Takes the tablets over (their former owner is fenced out), opens their layers, and follows the log.
pub async fn start(
    config: Config,
    wal: Arc<dyn WalService>,
    store: Arc<dyn ObjectStore>,
) -> Result<PageServer, StartError> {
    config.validate().map_err(StartError::Config)?;
    let config = Arc::new(config);
    let scans = ScanPool::start(config.scan_threads)
        .map_err(|error| StartError::Config(format!("start {} scan threads: {error}", config.scan_threads)))?;
    let metrics = Arc::new(Metrics::new());
    let cache = Arc::new(BlockCache::open(&config.cache, metrics.clone()).await.map_err(StartError::Cache)?);
    let objects = Objects::with_policy(store, config.requests);
    let source = LayerSource::new(objects, cache, metrics);
    let tablets = Arc::new(tablet::open::open(source).await?);
    Ok(PageServer::run(config, wal, tablets, scans, true))
}

impl PageServer {
    /// `is_owner`: it writes to the store what it applies. A standby only follows the log.
    fn run(
        config: Arc<Config>,
        wal: Arc<dyn WalService>,
        tablets: Arc<Tablets>,
        scans: ScanPool,
        is_owner: bool,
    ) -> PageServer {
        let (receiver_stop, stop) = (CancellationToken::new(), CancellationToken::new());
        let (flush_wanted, flushed) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let compaction_wanted = Arc::new(Notify::new());
        let (flushes, requests) = mpsc::channel(FLUSH_REQUESTS_MAX);
        let receiver = Receiver {
            tablets: tablets.clone(),
            wal: wal.clone(),
            flush_wanted: flush_wanted.clone(),
            compaction_wanted: compaction_wanted.clone(),
            flushed: flushed.clone(),
            memtable_bytes_max: config.memtable_bytes_max,
            memtables_bytes_max: config.memtables_bytes_max,
            flushes: is_owner,
        };
        let flusher = Flusher {
            tablets: tablets.clone(),
            wal: wal.clone(),
            config: config.clone(),
            requests,
            flush_wanted,
            flushed,
            compaction_wanted: compaction_wanted.clone(),
        };
        let service = Arc::new(Service { tablets: tablets.clone(), config, flushes, scans, is_owner });
        let (compactions, requests) = mpsc::channel(FLUSH_REQUESTS_MAX);
        let compactor =
            Compactor::new(tablets.clone(), service.config.clone(), wal.clone(), requests, compaction_wanted);
        let pressure =
            Reporter { tablets: tablets.clone(), wal: wal.clone(), config: service.config.clone(), is_owner };
        let balancer = Balancer {
            tablets: tablets.clone(),
            wal: wal.clone(),
            options: BalanceOptions::of(&service.config),
            interval: service.config.balance_interval,
            read_wait_max: service.config.read_wait_max,
        };
        let mut tasks = vec![tokio::spawn(pressure.run(stop.clone()))];
        if is_owner {
            tasks.push(tokio::spawn(flusher.run(stop.clone())));
            tasks.push(tokio::spawn(compactor.run(stop.clone())));
            tasks.push(tokio::spawn(balancer.run(stop.clone())));
        }
        gauges::show(&tablets, &service.config);
        let receiver = Some(tokio::spawn(receiver.run(receiver_stop.clone())));
        PageServer { service, tablets, wal, compactions, receiver_stop, stop, receiver, tasks }
    }

    pub fn service(&self) -> Arc<dyn PageService> {
        self.service.clone()
    }

    /// Writes everything applied up to now to object storage; returns the durable LSN.
    pub async fn flush(&self) -> Result<Lsn, PageError> {
        self.service.flush().await
    }

    /// Compacts until nothing is left to be gained. It happens by itself, too.
    pub async fn compact(&self) -> Result<(), PageError> {
        let (answer, answered) = oneshot::channel();
        let stopping = || PageError::Unavailable("the page server is stopping".into());
        self.compactions.send(answer).await.map_err(|_| stopping())?;
        answered.await.map_err(|_| stopping())?.map_err(PageError::Unavailable)
    }

    /// For `/metrics`.
    pub fn metrics(&self) -> prometheus::Registry {
        self.tablets.source.metrics.registry.clone()
    }

    /// AUTO_INCREMENT counters as far as the log was applied.
    pub fn counters(&self) -> Vec<CounterBump> {
        let counters = self.tablets.counters().into_iter();
        counters.map(|(counter, next)| CounterBump { counter, next, reset: true }).collect()
    }

    /// The map of tablets, as far as the log was applied.
    pub fn map(&self) -> ClusterMap {
        self.tablets.set().map.clone()
    }

    /// Asks the log to split or merge tablets; it happens by itself, too. Returns the LSN from which on it is so.
    pub async fn change_map(&self, change: &MapChange) -> Result<Lsn, CommitError> {
        balancer::propose(&self.tablets, &self.wal, change).await
    }

    /// Where a tablet would be split by size; `None` for a tablet that cannot be.
    pub fn middle_of(&self, tablet: TabletId) -> Option<Key> {
        balancer::middle_of_layers(self.tablets.set().by_id(tablet)?)
    }

    /// Whether a tablet shares no layer with others, and may be merged.
    pub fn is_clean(&self, tablet: TabletId) -> bool {
        self.tablets.set().by_id(tablet).is_some_and(|tablet| tablet.is_clean())
    }

    /// Stops following the log, flushes what was applied, and ends all tasks. The error is the flush's; what it did not
    /// write is still in the log.
    pub async fn shutdown(mut self) -> Result<Lsn, PageError> {
        self.receiver_stop.cancel();
        if let Some(receiver) = self.receiver.take() {
            // A panic of the task has been reported by its own thread.
            let _ = receiver.await;
        }
        let flushed = match self.service.is_owner {
            true => self.service.flush().await,
            false => Ok(self.tablets.durable()),
        };
        self.stop.cancel();
        for task in std::mem::take(&mut self.tasks) {
            let _ = task.await;
        }
        self.tablets.source.cache.close().await;
        flushed
    }
}

impl Drop for PageServer {
    fn drop(&mut self) {
        self.receiver_stop.cancel();
        self.stop.cancel();
    }
}
