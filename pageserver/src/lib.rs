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

mod cache;
mod compact;
pub mod config;
mod flush;
mod ingest;
pub mod layer;
pub mod manifest;
mod memtable;
mod metrics;
pub mod objects;
mod read;
mod service;
mod tablet;

use cache::BlockCache;
use common::id::{Lsn, TabletId};
use common::service::page::PageError;
use common::service::wal::CounterBump;
use common::service::{PageService, WalService};
use compact::run::{CompactRequest, Compactor};
pub use config::{CacheConfig, Config, DiskCacheConfig};
use flush::Flusher;
use futures::{StreamExt, TryStreamExt};
use ingest::receiver::Receiver;
use layer::reader::{Layer, LayerSource, ReadError};
use manifest::{Manifest, ManifestError, ManifestStore};
use metrics::Metrics;
use object_store::ObjectStore;
use objects::Objects;
use service::Service;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use tablet::{LayerSet, Tablet};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The one tablet there is today: all keys.
pub const TABLET: TabletId = TabletId(1);

/// Indexes of layers that are read at the same time at start.
const OPENS_MAX: usize = 16;
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
}

impl StartError {
    /// Whether an object in the store is damaged, which a person has to look at; anything else may pass.
    pub fn is_damage(&self) -> bool {
        matches!(
            self,
            StartError::Manifest(ManifestError::Corrupt { .. }) | StartError::Layer(ReadError::Corrupt { .. })
        )
    }
}

/// A running page server. Dropping it without [`PageServer::shutdown`] stops its tasks; the log keeps what they had not
/// written yet.
pub struct PageServer {
    service: Arc<Service>,
    tablet: Arc<Tablet>,
    compactions: mpsc::Sender<CompactRequest>,
    receiver_stop: CancellationToken,
    stop: CancellationToken,
    receiver: Option<JoinHandle<()>>,
    tasks: Vec<JoinHandle<()>>,
}

/// What the object store holds, for a log that is started afresh beside it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StoredState {
    /// Transactions up to here are in layers: a new log must continue above.
    pub durable: Lsn,
    /// Wall clock of the batch that `durable` came with: a new log's clock must not be behind.
    pub time_us: u64,
    /// AUTO_INCREMENT counters at `durable`.
    pub counters: Vec<CounterBump>,
}

/// Reads what the newest manifest on `store` says; nothing is changed.
pub async fn stored_state(store: Arc<dyn ObjectStore>) -> Result<StoredState, StartError> {
    let newest = ManifestStore::new(Objects::new(store), TABLET).newest().await?;
    let Some(manifest) = newest else { return Ok(StoredState::default()) };
    let bump = |(counter, next)| CounterBump { counter, next, reset: true };
    Ok(StoredState {
        durable: manifest.durable,
        time_us: manifest.durable_time_us,
        counters: manifest.counters.into_iter().map(bump).collect(),
    })
}

/// The durable LSN of the newest manifest on `store`; zero for an empty store.
pub async fn durable_lsn_of(store: Arc<dyn ObjectStore>) -> Result<Lsn, StartError> {
    Ok(stored_state(store).await?.durable)
}

/// Takes the tablet over (its former owner is fenced out), opens its layers, and follows the log.
pub async fn start(
    config: Config,
    wal: Arc<dyn WalService>,
    store: Arc<dyn ObjectStore>,
) -> Result<PageServer, StartError> {
    config.validate().map_err(StartError::Config)?;
    let config = Arc::new(config);
    let metrics = Arc::new(Metrics::new());
    let cache = Arc::new(BlockCache::open(&config.cache, metrics.clone()).await.map_err(StartError::Cache)?);
    let objects = Objects::new(store);
    let source = LayerSource { tablet: TABLET, objects: objects.clone(), cache, metrics };
    let manifests = ManifestStore::new(objects, TABLET);
    let manifest = take_over(&manifests, TABLET).await?;
    let layers = open_layers(&source, &manifest).await?;
    tracing::info!(
        generation = manifest.generation, durable = %manifest.durable, layers = manifest.layers.len(), "opened the tablet"
    );
    let tablet = Arc::new(Tablet::new(source, manifests, manifest, layers));
    Ok(PageServer::run(config, wal, tablet))
}

/// Publishes a manifest of a new generation on top of the newest, until no rival comes between.
async fn take_over(manifests: &ManifestStore, tablet: TabletId) -> Result<Manifest, ManifestError> {
    let owner = u128::from(RandomState::new().hash_one(0)) << 64 | u128::from(RandomState::new().hash_one(1));
    let mut attempts = 0;
    loop {
        let newest = manifests.newest().await?.unwrap_or_else(|| Manifest::empty(tablet, owner));
        match manifests.publish(newest.taken_over(owner)).await {
            Err(ManifestError::Fenced { .. }) if attempts < 10 => attempts += 1,
            outcome => return outcome,
        }
    }
}

async fn open_layers(source: &LayerSource, manifest: &Manifest) -> Result<LayerSet, ReadError> {
    let opens = manifest.layers.iter().map(|meta| Layer::open(source.clone(), meta.clone()));
    let opened: Vec<Arc<Layer>> =
        futures::stream::iter(opens).buffer_unordered(OPENS_MAX).map_ok(Arc::new).try_collect().await?;
    Ok(LayerSet::arrange(manifest, opened.into_iter()).expect("every layer of the manifest was opened"))
}

impl PageServer {
    fn run(config: Arc<Config>, wal: Arc<dyn WalService>, tablet: Arc<Tablet>) -> PageServer {
        let (receiver_stop, stop) = (CancellationToken::new(), CancellationToken::new());
        let (flush_wanted, flushed) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let compaction_wanted = Arc::new(Notify::new());
        let (flushes, requests) = mpsc::channel(FLUSH_REQUESTS_MAX);
        let receiver = Receiver {
            tablet: tablet.clone(),
            wal: wal.clone(),
            flush_wanted: flush_wanted.clone(),
            flushed: flushed.clone(),
            memtable_bytes_max: config.memtable_bytes_max,
            memtables_bytes_max: config.memtables_bytes_max,
        };
        let flusher = Flusher {
            tablet: tablet.clone(),
            wal,
            config: config.clone(),
            requests,
            flush_wanted,
            flushed,
            compaction_wanted: compaction_wanted.clone(),
        };
        let service = Arc::new(Service { tablet: tablet.clone(), config, flushes });
        let (compactions, requests) = mpsc::channel(FLUSH_REQUESTS_MAX);
        let compactor = Compactor {
            tablet: tablet.clone(),
            config: service.config.clone(),
            requests,
            compaction_wanted,
            reaper: Default::default(),
        };
        let tasks = vec![tokio::spawn(flusher.run(stop.clone())), tokio::spawn(compactor.run(stop.clone()))];
        let receiver = Some(tokio::spawn(receiver.run(receiver_stop.clone())));
        PageServer { service, tablet, compactions, receiver_stop, stop, receiver, tasks }
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
        self.tablet.source.metrics.registry.clone()
    }

    /// AUTO_INCREMENT counters as far as the log was applied.
    pub fn counters(&self) -> Vec<CounterBump> {
        let counters = self.tablet.counters().into_iter();
        counters.map(|(counter, next)| CounterBump { counter, next, reset: true }).collect()
    }

    /// Stops following the log, flushes what was applied, and ends all tasks. The error is the flush's; what it did not
    /// write is still in the log.
    pub async fn shutdown(mut self) -> Result<Lsn, PageError> {
        self.receiver_stop.cancel();
        if let Some(receiver) = self.receiver.take() {
            // A panic of the task has been reported by its own thread.
            let _ = receiver.await;
        }
        let flushed = self.service.flush().await;
        self.stop.cancel();
        for task in std::mem::take(&mut self.tasks) {
            let _ = task.await;
        }
        self.tablet.source.cache.close().await;
        flushed
    }
}

impl Drop for PageServer {
    fn drop(&mut self) {
        self.receiver_stop.cancel();
        self.stop.cancel();
    }
}
