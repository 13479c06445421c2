//! Decides, again and again, which compactions run: a bounded number at a time, on inputs that lie apart, one worker kept
//! for the newest level. Owns the tasks they run in.

use super::choose::{ChooseOptions, Plan, Scope, choose};
use super::in_use::SnapshotsInUse;
use super::leftovers;
use super::reaper::Reaper;
use super::retention::Retention;
use super::run::{CompactError, compact};
use crate::config::Config;
use crate::layer::Layer;
use crate::tablet::{Tablet, Tablets};
use common::id::TabletId;
use common::key::KeyRange;
use common::service::WalService;
use std::sync::Arc;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

/// Somebody waits until there is nothing left to compact.
pub type CompactRequest = oneshot::Sender<Result<(), String>>;

pub struct Compactor {
    tablets: Arc<Tablets>,
    wal: Arc<dyn WalService>,
    config: Arc<Config>,
    requests: mpsc::Receiver<CompactRequest>,
    compaction_wanted: Arc<Notify>,
    snapshots: SnapshotsInUse,
    reaper: Reaper,
    tasks: JoinSet<Finished>,
    running: Vec<Running>,
    next_number: u64,
    /// Whoever waits until nothing is left to do, and what went wrong since the first of them came.
    waiting: Vec<CompactRequest>,
    failure: Option<String>,
}

struct Work {
    tablet: Arc<Tablet>,
    plan: Plan,
    retention: Retention,
    /// The tablet's, when it was looked at.
    range: KeyRange,
}

struct Running {
    number: u64,
    tablet: TabletId,
    plan: Plan,
    scope: Scope,
}

enum Event {
    Finished(Option<Result<Finished, JoinError>>),
    Look,
    LookForOrphans,
    Request(Option<CompactRequest>),
}

struct Finished {
    number: u64,
    outcome: Result<Vec<Arc<Layer>>, CompactError>,
}

impl Compactor {
    pub fn new(
        tablets: Arc<Tablets>,
        config: Arc<Config>,
        wal: Arc<dyn WalService>,
        requests: mpsc::Receiver<CompactRequest>,
        compaction_wanted: Arc<Notify>,
    ) -> Compactor {
        Compactor {
            snapshots: SnapshotsInUse::new(wal.clone()),
            tablets,
            wal,
            config,
            requests,
            compaction_wanted,
            reaper: Reaper::default(),
            tasks: JoinSet::new(),
            running: Vec::new(),
            next_number: 0,
            waiting: Vec::new(),
            failure: None,
        }
    }

    /// Runs until `stop`. Compactions that are cut off leave objects that are found as leftovers.
    pub async fn run(mut self, stop: CancellationToken) {
        let every = |period| {
            let mut interval = tokio::time::interval(period);
            interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            interval
        };
        let (mut interval, mut orphans) = (every(self.config.compaction_interval), every(self.config.orphans_interval));
        loop {
            let event = tokio::select! {
                () = stop.cancelled() => return,
                finished = self.tasks.join_next(), if !self.running.is_empty() => Event::Finished(finished),
                () = self.compaction_wanted.notified() => Event::Look,
                _ = interval.tick() => Event::Look,
                _ = orphans.tick() => Event::LookForOrphans,
                received = self.requests.recv() => Event::Request(received),
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.handle(event) => {}
            }
        }
    }

    async fn handle(&mut self, event: Event) {
        match event {
            Event::Finished(finished) => self.finish(finished).await,
            Event::LookForOrphans => self.collect_orphans().await,
            Event::Request(request) => self.waiting.extend(request),
            Event::Look => {}
        }
        // After a failure nothing new until there is reason to look again: the same would fail again at once.
        if self.failure.is_none() {
            self.begin().await;
        }
        if self.running.is_empty() {
            self.answer().await;
        }
    }

    async fn finish(&mut self, finished: Option<Result<Finished, JoinError>>) {
        match finished {
            Some(Ok(Finished { number, outcome })) => {
                self.running.retain(|running| running.number != number);
                match outcome {
                    Ok(inputs) => self.reaper.bury(&inputs),
                    Err(error) => self.failed(error.to_string()),
                }
            }
            Some(Err(error)) => {
                // A bug in the merge; which of the plans it was is not known any more.
                self.tasks.shutdown().await;
                self.running.clear();
                self.failed(error.to_string());
            }
            None => self.running.clear(),
        }
        self.reaper.reap(&self.tablets.source, self.config.delete_after).await;
    }

    fn failed(&mut self, error: String) {
        tracing::error!(error, "compaction failed; reads go on with the layers there are");
        self.failure.get_or_insert(error);
    }

    /// Nothing runs: whoever waits has what they wanted, or the reason why not.
    async fn answer(&mut self) {
        self.reaper.reap(&self.tablets.source, self.config.delete_after).await;
        if !self.waiting.is_empty() {
            self.collect_orphans().await;
        }
        let failure = self.failure.take();
        for request in self.waiting.drain(..) {
            // Whoever asked may have given up.
            let _ = request.send(failure.clone().map_or(Ok(()), Err));
        }
    }

    async fn collect_orphans(&mut self) {
        if self.tablets.check_owned().is_err() {
            return;
        }
        // Bulk layers of commits that are not applied here are named by the log alone.
        let Ok(status) = self.wal.status().await else { return };
        if self.tablets.wait_applied(status.committed, self.config.read_wait_max).await.is_err() {
            return;
        }
        match leftovers::find(&self.tablets).await {
            Ok(found) => self.reaper.bury_leftovers(&self.tablets.source, found, self.config.orphans_after).await,
            Err(error) => tracing::warn!(%error, "objects that nobody needs were not looked for; trying again later"),
        }
    }

    /// Starts what is most worth doing, as long as there are workers for it.
    async fn begin(&mut self) {
        if !self.has_worker(Scope::Level0) {
            return;
        }
        self.snapshots.refresh(self.tablets.applied()).await;
        for scope in [Scope::Level0, Scope::Deeper] {
            for tablet in &self.tablets.set().tablets {
                while self.has_worker(scope)
                    && self.tablets.check_owned().is_ok()
                    && let Some(work) = self.choose(tablet, scope).await
                {
                    self.start(work, scope);
                }
            }
        }
    }

    fn has_worker(&self, scope: Scope) -> bool {
        let workers = self.config.compaction_workers;
        match scope {
            Scope::Level0 => self.running.len() < workers,
            Scope::Deeper => {
                let deeper = self.running.iter().filter(|running| running.scope == Scope::Deeper);
                self.running.len() < workers && deeper.count() < workers.saturating_sub(1).max(1)
            }
        }
    }

    async fn choose(&self, tablet: &Arc<Tablet>, scope: Scope) -> Option<Work> {
        let snapshot = tablet.snapshot();
        // While a split or merge is on its way to the store, the store's tablets are not those in memory. Looked at after
        // the range was: one that is smaller already belongs to a change that is pending or done. A split that comes
        // later finds all keys of the larger range in what comes out.
        if !tablet.is_settled() {
            return None;
        }
        // What is newer than the last complete cut stays apart, so that it could be taken back.
        let (cut, mut manifest) = (self.tablets.durable(), tablet.manifest().await);
        manifest.layers.retain(|layer| layer.lsn_max <= cut);
        let running = self.running.iter().filter(|running| running.tablet == tablet.id);
        let running: Vec<Plan> = running.map(|running| running.plan.clone()).collect();
        let options = ChooseOptions::of(&self.config);
        let horizon = self.snapshots.bound(
            self.tablets.retention_horizon(self.config.retention),
            self.tablets.retention_horizon(self.config.snapshot_age_max.max(self.config.retention)),
        );
        let horizon = horizon.max(snapshot.kept.horizon());
        let mut retention = Retention { horizon, points: self.tablets.points() };
        let plan = choose(&manifest, &options, &retention.kept(), &snapshot.range, &running, scope)?;
        if !plan.move_only {
            retention.points = self.tablets.keep(tablet, horizon);
        }
        Some(Work { tablet: tablet.clone(), plan, retention, range: snapshot.range.clone() })
    }

    fn start(&mut self, work: Work, scope: Scope) {
        let number = self.next_number;
        self.next_number += 1;
        self.running.push(Running { number, tablet: work.tablet.id, plan: work.plan.clone(), scope });
        let config = self.config.clone();
        self.tasks.spawn(async move {
            let Work { tablet, plan, retention, range } = work;
            let outcome = compact(&tablet, &config, &plan, &retention, &range).await;
            if outcome.is_ok() {
                tablet.prune_manifests(config.manifests_kept).await;
            }
            Finished { number, outcome }
        });
    }
}
