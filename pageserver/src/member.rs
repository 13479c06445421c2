//! One of several page servers over the same store: the owner, which writes, or a standby, which follows the log, reads the
//! same layers, and takes over when the owner is gone.
//!
//! ```text
//! standby ──the owner is silent, or nobody owns──▶ commit of OWNER_KEY ──won──▶ takes the manifests over ──▶ owner
//!    ▲                                                                                                      │
//!    └───────────── the row names another process, or a manifest was published by another ◀─────────────────┘
//! ```
//!
//! Who owns is a row in the log, so that of several standbys one wins; that the former owner stops is seen to by the
//! generations of the manifests. Reads are answered all the time, by the standby's view until the owner's has caught up.
//!
//! A standby's memtables grow with the log. When the owner has published newer manifests, the standby opens them beside
//! what it has, follows the log from their cut, and goes over to them once they have caught up.

use crate::cache::BlockCache;
use crate::config::Config;
use crate::layer::reader::LayerSource;
use crate::manifest::ManifestStore;
use crate::metrics::Metrics;
use crate::read::pool::ScanPool;
use crate::tablet::{Tablets, open};
use crate::{PageServer, StartError};
use async_trait::async_trait;
use common::bulk::BulkLayer;
use common::cluster_map::{FIRST_TABLET, OWNER_KEY, Owner};
use common::env::Random;
use common::env::objects::Objects;
use common::id::{CommitId, Lsn, TxnId};
use common::key::{Key, KeyRange};
use common::service::page::{
    BulkFinished, BulkRow, GetRequest, IndexFigures, PageError, PageStatus, RangeEstimate, RowVersion, ScanBatch,
    ScanRequest,
};
use common::service::wal::{CommitError, CommitRequest, Mutation, Write};
use common::service::{PageService, WalService};
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use object_store::ObjectStore;
use parking_lot::RwLock;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// What a look at another page server showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pulse {
    Owns,
    /// It answers, and owns nothing (yet).
    Lives,
    Silent,
}

/// Asks the page server at an address whether it lives. Answers soon.
pub type Probe = Arc<dyn Fn(SocketAddr) -> BoxFuture<'static, Pulse> + Send + Sync>;

/// How often the owner is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// An owner that has been silent for so long is replaced.
const SILENCE_MAX: Duration = Duration::from_millis(1500);
/// One that lives has so long to take the tablets over.
const TAKE_OVER_MAX: Duration = Duration::from_secs(20);
/// How often a standby looks for newer manifests. Layers that they replaced are deleted after a minute.
const REFRESH_INTERVAL: Duration = Duration::from_secs(10);
/// How long new tablets may take to catch up with the log before they are given up.
const CATCH_UP_MAX: Duration = Duration::from_secs(60);
const RETRY_WAIT: Duration = Duration::from_millis(200);

/// The service of whatever this page server is now.
#[derive(Clone)]
struct Current(Arc<RwLock<Arc<dyn PageService>>>);

impl Current {
    fn service(&self) -> Arc<dyn PageService> {
        self.0.read().clone()
    }
}

/// A running page server of several. Stop it with [`Member::shutdown`].
pub struct Member {
    current: Current,
    source: LayerSource,
    stop: CancellationToken,
    task: Option<JoinHandle<PageServer>>,
}

/// Starts as a standby. `address`: where others reach this one.
pub async fn start_member(
    config: Config,
    address: SocketAddr,
    wal: Arc<dyn WalService>,
    store: Arc<dyn ObjectStore>,
    probe: Probe,
) -> Result<Member, StartError> {
    config.validate().map_err(StartError::Config)?;
    let metrics = Arc::new(Metrics::new());
    let cache = Arc::new(BlockCache::open(&config.cache, metrics.clone()).await.map_err(StartError::Cache)?);
    let source = LayerSource::new(Objects::with_policy(store, config.requests), cache, metrics);
    let (config, stop) = (Arc::new(config), CancellationToken::new());
    let process = Owner { process: Random::system().u128(), address };
    let mut runner = Runner { config, wal, source: source.clone(), probe, process, current: None };
    let standby = runner.standby(None).await?;
    let current = Current(Arc::new(RwLock::new(standby.service())));
    runner.current = Some(current.clone());
    let task = Some(tokio::spawn(runner.run(standby, stop.clone())));
    Ok(Member { current, source, stop, task })
}

impl Member {
    pub fn service(&self) -> Arc<dyn PageService> {
        Arc::new(self.current.clone())
    }

    /// For `/metrics`.
    pub fn metrics(&self) -> prometheus::Registry {
        self.source.metrics.registry.clone()
    }

    /// Stops; an owner flushes what it applied.
    pub async fn shutdown(mut self) -> Result<Lsn, PageError> {
        self.stop.cancel();
        match self.task.take().expect("shut down once").await {
            Ok(running) => running.shutdown().await,
            Err(error) => Err(PageError::Unavailable(format!("the page server's task failed: {error}"))),
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

struct Runner {
    config: Arc<Config>,
    wal: Arc<dyn WalService>,
    source: LayerSource,
    probe: Probe,
    /// This process, as the log knows it when it owns.
    process: Owner,
    /// Set before it runs.
    current: Option<Current>,
}

/// What the log says at the LSN that was applied.
struct Seen {
    owner: Option<Owner>,
    at: Lsn,
}

impl Runner {
    async fn run(self, standby: PageServer, stop: CancellationToken) -> PageServer {
        let mut running = standby;
        let mut refreshed = Instant::now();
        // Since when the owner has not been seen to own, and which process that was.
        let mut missing: Option<(Instant, u128)> = None;
        let mut claimed = Lsn::ZERO;
        loop {
            tokio::select! {
                () = stop.cancelled() => return running,
                () = tokio::time::sleep(LOOK_INTERVAL) => {}
            }
            let seen = match self.look(&running).await {
                Ok(seen) => seen,
                Err(error) if !running.service.is_owner => {
                    tracing::warn!(%error, "a standby cannot read who owns the tablets");
                    continue;
                }
                // Fenced out, which the manifests say before the log does.
                Err(_) => Seen { owner: None, at: Lsn::ZERO },
            };
            let is_mine = seen.owner.as_ref().is_some_and(|owner| owner.process == self.process.process);
            if running.service.is_owner {
                let fenced = running.tablets.check_owned().is_err();
                if fenced || (!is_mine && seen.at >= claimed) {
                    tracing::warn!("another page server owns the tablets now; standing by");
                    tokio::select! {
                        () = stop.cancelled() => return running,
                        () = self.step_down(&mut running) => refreshed = Instant::now(),
                    }
                }
                continue;
            }
            if !self.may_claim(seen.owner.as_ref(), &mut missing).await {
                if refreshed.elapsed() > REFRESH_INTERVAL {
                    tokio::select! {
                        () = stop.cancelled() => return running,
                        () = self.refresh(&mut running) => refreshed = Instant::now(),
                    }
                }
                continue;
            }
            match self.claim(seen.at).await {
                Ok(lsn) => {
                    tracing::info!(%lsn, "the log says that this page server owns the tablets");
                    claimed = lsn;
                }
                Err(error) => {
                    tracing::info!(%error, "this page server does not become the owner");
                    continue;
                }
            }
            missing = None;
            tokio::select! {
                () = stop.cancelled() => return running,
                outcome = self.take_over(&mut running) => if let Err(error) = outcome {
                    tracing::error!(%error, "the tablets could not be taken over; trying again");
                }
            }
        }
    }

    /// Who owns, by this page server's own view of the log.
    async fn look(&self, running: &PageServer) -> Result<Seen, PageError> {
        let at = running.tablets.applied();
        let request = GetRequest { lsn: at, keys: vec![OWNER_KEY] };
        let found = running.service.get(request).await?.into_iter().next().flatten();
        Ok(Seen { owner: found.and_then(|version| Owner::decode(&version.row)), at })
    }

    /// Whether nobody owns, or the owner has been missing for too long.
    async fn may_claim(&self, owner: Option<&Owner>, missing: &mut Option<(Instant, u128)>) -> bool {
        // A former process of this page server is gone for certain: the address is ours. So is a claim of this process
        // whose taking over failed.
        let Some(owner) = owner.filter(|owner| owner.address != self.process.address) else { return true };
        let pulse = (self.probe)(owner.address).await;
        let since = match *missing {
            Some((since, process)) if process == owner.process && pulse != Pulse::Owns => since,
            _ => Instant::now(),
        };
        *missing = (pulse != Pulse::Owns).then_some((since, owner.process));
        let patience = if pulse == Pulse::Silent { SILENCE_MAX } else { TAKE_OVER_MAX };
        pulse != Pulse::Owns && since.elapsed() >= patience
    }

    async fn claim(&self, observed: Lsn) -> Result<Lsn, CommitError> {
        let random = Random::system();
        let mutation = Mutation { key: OWNER_KEY, row: Some(self.process.encode()) };
        let writes = vec![Write { mutation, observed }];
        let request = CommitRequest::of(CommitId(random.u128()), TxnId(random.u128()), writes);
        Ok(self.wal.commit(request).await?.lsn)
    }

    fn start(&self, tablets: Tablets, is_owner: bool) -> Result<PageServer, StartError> {
        let threads = self.config.scan_threads;
        let scans = ScanPool::start(threads)
            .map_err(|error| StartError::Config(format!("start {threads} scan threads: {error}")))?;
        Ok(PageServer::run(self.config.clone(), self.wal.clone(), Arc::new(tablets), scans, is_owner))
    }

    async fn standby(&self, before: Option<&PageServer>) -> Result<PageServer, StartError> {
        let mut known = open::OpenLayers::default();
        for tablet in before.iter().flat_map(|before| before.tablets.set().tablets.clone()) {
            known.extend(tablet.snapshot().layers.iter().map(|layer| (layer.meta.id(), layer.clone())));
        }
        self.start(open::open_read_only(self.source.clone(), &known).await?, false)
    }

    async fn take_over(&self, running: &mut PageServer) -> Result<(), StartError> {
        let owner = self.start(open::open(self.source.clone()).await?, true)?;
        // What was answered before must not be taken back.
        self.go_over(running, owner).await;
        Ok(())
    }

    async fn step_down(&self, running: &mut PageServer) {
        loop {
            match self.standby(Some(running)).await {
                Ok(standby) => return self.go_over(running, standby).await,
                Err(error) => tracing::warn!(%error, "a standby cannot open the tablets; trying again"),
            }
            tokio::time::sleep(RETRY_WAIT).await;
        }
    }

    /// Goes over to newer manifests, if there are any.
    async fn refresh(&self, running: &mut PageServer) {
        let manifests = ManifestStore::new(self.source.objects.clone(), FIRST_TABLET);
        let known = running.tablets.set().first().manifest().await.number;
        match manifests.newest().await {
            Ok(Some(newest)) if newest.number > known => {}
            Ok(_) => return,
            Err(error) => return tracing::warn!(%error, "a standby cannot read the newest manifest"),
        }
        match self.standby(Some(running)).await {
            Ok(standby) => self.go_over(running, standby).await,
            // Published anew meanwhile, perhaps; there is a next time.
            Err(error) => tracing::warn!(%error, "a standby cannot open the newest tablets"),
        }
    }

    /// Replaces what runs by `next`, once that has applied as much. A next owner that is late is taken anyway: it alone
    /// may write.
    async fn go_over(&self, running: &mut PageServer, next: PageServer) {
        let reached = running.tablets.applied();
        let caught_up = next.tablets.wait_applied(reached, CATCH_UP_MAX).await;
        if caught_up.is_err() && !next.service.is_owner && !running.service.is_owner {
            tracing::warn!(%reached, "newer tablets did not catch up with the log in time");
            return;
        }
        let current = self.current.as_ref().expect("set before it runs");
        *current.0.write() = next.service();
        // Dropped, the former one stops following the log; readers finish with what they hold.
        *running = next;
    }
}

#[async_trait]
impl PageService for Current {
    async fn get(&self, request: GetRequest) -> Result<Vec<Option<RowVersion>>, PageError> {
        self.service().get(request).await
    }

    async fn newest_versions(&self, keys: Vec<Key>, applied: Lsn) -> Result<Vec<Lsn>, PageError> {
        self.service().newest_versions(keys, applied).await
    }

    async fn scan(&self, request: ScanRequest) -> Result<BoxStream<'static, Result<ScanBatch, PageError>>, PageError> {
        self.service().scan(request).await
    }

    async fn estimate(&self, range: KeyRange) -> Result<RangeEstimate, PageError> {
        self.service().estimate(range).await
    }

    async fn figures(&self, range: KeyRange) -> Result<IndexFigures, PageError> {
        self.service().figures(range).await
    }

    async fn flush(&self) -> Result<Lsn, PageError> {
        self.service().flush().await
    }

    async fn bulk_write(&self, rows: Vec<BulkRow>) -> Result<Vec<BulkLayer>, PageError> {
        self.service().bulk_write(rows).await
    }

    async fn bulk_finish(&self, layers: Vec<BulkLayer>) -> Result<BulkFinished, PageError> {
        self.service().bulk_finish(layers).await
    }

    async fn status(&self) -> Result<PageStatus, PageError> {
        self.service().status().await
    }
}
