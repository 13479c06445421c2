//! The wal role: the log, the sequencer and the lock table.
//!
//! ```text
//! WalService (lock · commit · read LSN · subscribe)
//!    │
//! service ─▶ desk ── one at a time ──▶ sequencer (conflict check, LSN, batches)   no I/O, no clock
//!                │                     lock_table (who holds, who waits)          no I/O, no clock
//!                ▼
//! raft ── one entry per batch ──▶ segment (files, CRC, one fdatasync for all that wait)
//!    │ applied
//!    ▼
//! stream ── committed batches, in order ──▶ page servers        archive ── of the leader ──▶ object store
//! ```
//!
//! Keys and rows are bytes here; nothing knows SQL.
//!
//! Invariants
//! - A commit is answered only when its batch is on disk on a majority of members and applied.
//! - LSNs are dense, and subscribers see each of them once, in order.

mod archive;
pub mod config;
mod driver;
mod found;
pub mod fuzz;
pub mod lock_table;
pub mod metrics;
mod pressure;
mod raft;
mod rpc_peers;
pub mod segment;
pub mod sequencer;
mod service;
mod snapshots;
mod stream;
#[cfg(test)]
mod tests;

pub use config::{ArchiveConfig, WalConfig};
pub use found::{FoundError, found};
pub use raft::{Base, Founding, PeerError, PeerTransport, RaftStartError};
pub use rpc_peers::RpcPeers;

use archive::Archiver;
use async_trait::async_trait;
use bytes::Bytes;
use common::env::threads;
use common::log_archive::LogArchive;
use common::service::{PageService, PeerService, WalService};
use driver::{Desk, Driver, Lookups, PageServiceSlot};
use metrics::WalMetrics;
use pressure::Pressure;
use raft::{Applied, Consensus};
use segment::{Disk, RealDisk, RecoveryError, SegmentLog, SegmentOptions};
use service::Service;
use snapshots::Snapshots;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, PoisonError};
use stream::StreamSource;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// Microseconds since 1970.
pub type WallClock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// What a node takes from its surroundings.
pub struct WalEnvironment {
    pub clock: WallClock,
    /// Needed where there are other members.
    pub transport: Option<Arc<dyn PeerTransport>>,
    /// Where metrics are registered, if anywhere.
    pub registry: Option<prometheus::Registry>,
    /// Where what is committed is archived, if anywhere.
    pub archive: Option<LogArchive>,
}

impl WalEnvironment {
    /// For a node without others and without metrics.
    pub fn new(clock: WallClock) -> WalEnvironment {
        WalEnvironment { clock, transport: None, registry: None, archive: None }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("wal configuration: {0}")]
    Config(String),
    #[error("log directory {path}: {source}", path = path.display())]
    Directory { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Log(#[from] RecoveryError),
    #[error(transparent)]
    Raft(#[from] RaftStartError),
    #[error("wal metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    #[error("this node leads but cannot serve: {0}")]
    NotServing(String),
}

/// A running node. Stop it with [`WalNode::shutdown`]; dropped without, it stops as in a crash.
pub struct WalNode {
    service: Arc<Service>,
    desk: Arc<Desk>,
    raft: Arc<Consensus>,
    log: SegmentLog,
    pages: PageServiceSlot,
    stopping: watch::Sender<bool>,
    driver: Option<JoinHandle<()>>,
    trimmer: JoinHandle<()>,
    archiver: Option<JoinHandle<()>>,
}

/// Requests that wait for the driver, over all callers.
const EVENTS_MAX: usize = 8192;

/// Starts a node. One that is alone serves when this returns; a member of several, when it leads.
pub async fn start(config: WalConfig, environment: WalEnvironment) -> Result<WalNode, StartError> {
    config.validate().map_err(StartError::Config)?;
    let path = config.directory.clone();
    let disk = RealDisk::open(&path).map_err(|source| StartError::Directory { path, source })?;
    start_on(Arc::new(disk), config, environment).await
}

/// As [`start`], on another disk than the configured directory: a simulated one.
pub async fn start_on(
    disk: Arc<dyn Disk>,
    config: WalConfig,
    environment: WalEnvironment,
) -> Result<WalNode, StartError> {
    let metrics = Arc::new(WalMetrics::new()?);
    if let Some(registry) = &environment.registry {
        metrics.register(registry)?;
    }
    let options = SegmentOptions { segment_bytes: config.segment_bytes, cache_bytes_max: config.cache_bytes_max };
    let log_metrics = metrics.clone();
    let log = threads::blocking(move || SegmentLog::open(disk, options, log_metrics))
        .await
        .map_err(|error| StartError::NotServing(error.to_string()))??;
    let applied = Arc::new(Applied::new(config.outcomes_max, config.stream_bytes_max));
    let raft = Arc::new(Consensus::start(&config, log.clone(), applied.clone(), environment.transport).await?);
    let (stopping, stopping_watch) = watch::channel(false);
    let source = StreamSource {
        log: log.clone(),
        applied,
        heartbeat_interval: config.heartbeat_interval,
        stopping: stopping_watch.clone(),
    };
    let (events, events_receiver) = mpsc::channel(EVENTS_MAX);
    let (serving_term, serving_watch) = watch::channel(0);
    let pages = PageServiceSlot::default();
    let config = Arc::new(config);
    let lookups = Lookups::new(pages.clone(), events.downgrade(), metrics.clone());
    let desk = Desk::new(&raft, lookups);
    let driver = Driver {
        config: config.clone(),
        raft: raft.clone(),
        desk: desk.clone(),
        source: source.clone(),
        metrics: metrics.clone(),
        clock: environment.clock.clone(),
        archives: environment.archive.is_some(),
        events: events_receiver,
        leadership: raft.leadership(),
        serving_term,
        stopping: stopping_watch,
    };
    let service = Arc::new(Service {
        node: config.node,
        desk: desk.clone(),
        events,
        raft: raft.clone(),
        leadership: raft.leadership(),
        serving_term: serving_watch.clone(),
        source: source.clone(),
        metrics: metrics.clone(),
        next_request: AtomicU64::new(1),
        page_servers: Default::default(),
        pressure: Pressure::default(),
        snapshots: Snapshots::default(),
    });
    let archiver = environment.archive.map(|archive| Archiver {
        archive,
        config: config.archive.clone(),
        source: source.clone(),
        desk: desk.clone(),
        leadership: raft.leadership(),
        metrics,
        clock: environment.clock,
    });
    let node = WalNode {
        service,
        desk,
        raft: raft.clone(),
        log,
        pages,
        stopping,
        driver: Some(tokio::spawn(driver.run())),
        trimmer: tokio::spawn(driver::run_trimmer(raft, source)),
        archiver: archiver.map(|archiver| tokio::spawn(archiver.run())),
    };
    if config.members.len() == 1 {
        node.wait_serving(serving_watch).await?;
    }
    Ok(node)
}

struct Peers {
    raft: Arc<Consensus>,
}

#[async_trait]
impl PeerService for Peers {
    async fn handle(&self, request: Bytes) -> Bytes {
        self.raft.handle_peer(&request).await
    }
}

impl WalNode {
    /// What other roles call.
    pub fn service(&self) -> Arc<dyn WalService> {
        self.service.clone()
    }

    /// Tells where to ask for versions that are older than the conflict window.
    pub fn set_page_service(&self, pages: Arc<dyn PageService>) {
        *self.pages.lock().unwrap_or_else(PoisonError::into_inner) = Some(pages);
    }

    /// The same over the network.
    pub fn peers(&self) -> Arc<dyn PeerService> {
        Arc::new(Peers { raft: self.raft.clone() })
    }

    /// Answers a request that another member sent through its [`PeerTransport`].
    pub async fn handle_peer(&self, request: &[u8]) -> Bytes {
        self.raft.handle_peer(request).await
    }

    fn stop_archiving(&self) {
        if let Some(archiver) = &self.archiver {
            archiver.abort();
        }
    }

    async fn wait_serving(&self, mut serving: watch::Receiver<u64>) -> Result<(), StartError> {
        let stopped = async {
            let mut leadership = self.raft.leadership();
            let _ = leadership.wait_for(|now| now.stopped).await;
        };
        tokio::select! {
            result = serving.wait_for(|term| *term > 0) => match result {
                Ok(_) => Ok(()),
                Err(_) => Err(StartError::NotServing("its driver has stopped; the log says why".to_string())),
            },
            () = stopped => Err(StartError::NotServing(match self.log.failure() {
                Some(failure) => failure.to_string(),
                None => "consensus has stopped; the log says why".to_string(),
            })),
        }
    }

    /// Stops: commits that were accepted are written and answered, later ones refused. A leader hands over to another
    /// member. Everything is durable then.
    pub async fn shutdown(mut self) {
        self.stopping.send_replace(true);
        if let Some(driver) = self.driver.take()
            && let Err(error) = driver.await
        {
            tracing::error!(%error, "the wal driver failed");
        }
        self.trimmer.abort();
        self.stop_archiving();
        self.raft.hand_over().await;
        self.raft.shutdown().await;
        let log = self.log.clone();
        if let Err(error) = threads::blocking(move || log.close()).await {
            tracing::error!(%error, "the log was not closed");
        }
    }
}

impl Drop for WalNode {
    fn drop(&mut self) {
        if let Some(driver) = &self.driver {
            // Without a shutdown: as in a crash, nothing more is written.
            driver.abort();
            self.trimmer.abort();
            self.stop_archiving();
            self.log.kill();
            self.desk.close();
        }
    }
}
