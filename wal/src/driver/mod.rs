//! Driver: the one task that owns the sequencer and the lock table. It awaits everything and decides nothing.
//!
//! ```text
//! events (bounded) ──▶ sequencer ──▶ forming batch ──▶ raft (several in flight) ──▶ replies, locks freed
//!                  └─▶ lock table ──▶ replies          timers ──▶ lock table
//! ```
//!
//! Leading begins when the first entry of the own term is applied (then all earlier ones are) and the conflict window is
//! rebuilt from the log; it ends when Raft says so or a proposal fails. Locks end with it, which is fine: the conflict
//! check is the truth. Locks pass on when their commit has its LSN, before it is durable: the next holder is told the rows
//! that are on their way to the disk and the LSN that it comes after, and may not show them before they are there.

mod handed;
mod leading;
mod lookup;
mod trim;

use crate::WallClock;
use crate::config::WalConfig;
use crate::lock_table::RequestId;
use crate::metrics::WalMetrics;
use crate::raft::{Leadership, RaftNode};
use crate::stream::StreamSource;
use common::id::{CommitId, Lsn, TabletId, TxnId};
use common::key::Key;
use common::service::PageService;
use common::service::wal::{
    AllocateRequest, CommitError, CommitReply, CommitRequest, Deadlock, LockError, LockInfo, LockReply, LockRequest,
    WalError,
};
use futures::StreamExt;
use leading::Leading;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

pub use trim::run as run_trimmer;

pub type CommitAnswer = oneshot::Sender<Result<CommitReply, CommitError>>;
pub type LockAnswer = oneshot::Sender<Result<LockReply, LockError>>;
pub type Answer<T> = oneshot::Sender<Result<T, WalError>>;
/// Set once a page server runs; it needs the log first.
pub type PageServiceSlot = Arc<Mutex<Option<Arc<dyn PageService>>>>;

/// What callers, timers and tasks tell the driver.
pub enum Event {
    Commit { request: Box<CommitRequest>, looked_up: Option<lookup::Answered>, reply: CommitAnswer },
    Lock { id: RequestId, request: LockRequest, reply: LockAnswer },
    CancelLock(RequestId),
    Unlock { txn: TxnId, reply: oneshot::Sender<()> },
    UnlockKeys { txn: TxnId, keys: Vec<Key>, reply: oneshot::Sender<()> },
    Locks { reply: Answer<Vec<LockInfo>> },
    LatestDeadlock { reply: Answer<Option<Deadlock>> },
    Outcome { commit: CommitId, reply: Answer<Option<Lsn>> },
    Allocate { request: AllocateRequest, reply: Answer<u64> },
    ReportDurable { tablet: TabletId, lsn: Lsn, reply: Answer<()> },
}

/// Waits for the node to stop.
pub(super) async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // An error means that the node is gone, which is the same.
    let _ = stopping.wait_for(|stopping| *stopping).await;
}

/// How often a leader looks whether its disk takes what is written.
const DISK_LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// Events taken at once before a batch is closed.
const EVENTS_AT_ONCE: usize = 1024;

pub struct Driver {
    pub config: Arc<WalConfig>,
    pub raft: Arc<RaftNode>,
    pub source: StreamSource,
    pub metrics: Arc<WalMetrics>,
    pub clock: WallClock,
    pub pages: PageServiceSlot,
    pub events: mpsc::Receiver<Event>,
    /// For tasks that come back with an answer.
    pub events_back: mpsc::WeakSender<Event>,
    pub leadership: watch::Receiver<Leadership>,
    /// The term served, for `Service`.
    pub serving_term: watch::Sender<u64>,
    pub stopping: watch::Receiver<bool>,
    /// Lookups under way.
    pub lookups: JoinSet<()>,
}

impl Driver {
    /// Runs until the node stops.
    pub async fn run(mut self) {
        let mut lost_term = 0;
        let (mut step_aside_at, mut steps_aside) = (None, 0);
        loop {
            let now = *self.leadership.borrow_and_update();
            if now.stopped || *self.stopping.borrow() {
                break;
            }
            if now.is_leader && now.term.0 > lost_term {
                match self.prepare(now.term).await {
                    Ok(leading) => self.lead(leading).await,
                    Err(error) => tracing::error!(%error, term = now.term.0, "cannot lead"),
                }
                self.serving_term.send_replace(0);
                lost_term = now.term.0;
                continue;
            }
            // It leads still, and cannot serve in this term again: of what it proposed it does not know what is in the log.
            let stuck = now.is_leader;
            let deadline = || tokio::time::Instant::now() + self.config.election_timeout;
            step_aside_at = stuck.then(|| step_aside_at.unwrap_or_else(deadline));
            let step_aside = tokio::time::sleep_until(step_aside_at.unwrap_or_else(deadline));
            tokio::select! {
                event = self.events.recv() => match event {
                    Some(event) => self.refuse(event),
                    None => return,
                },
                () = step_aside, if stuck => {
                    self.raft.step_aside(steps_aside).await;
                    (step_aside_at, steps_aside) = (None, steps_aside + 1);
                }
                changed = self.leadership.changed() => if changed.is_err() { break },
                () = stopped(&mut self.stopping) => break,
            }
        }
        // Whoever waits hears that this node has stopped, because its sender is dropped.
        self.events.close();
        while self.events.recv().await.is_some() {}
        self.lookups.shutdown().await;
    }

    async fn lead(&mut self, mut leading: Leading) {
        let term = leading.term();
        self.serving_term.send_replace(term.0);
        tracing::info!(term = term.0, lsn = leading.last_lsn().0, "leading");
        let mut taken = Vec::with_capacity(EVENTS_AT_ONCE);
        let mut stuck = self.source.log.stuck();
        let mut looks = tokio::time::interval(DISK_LOOK_INTERVAL);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // Others could commit what this disk does not take, and memory would hold it all; and once they have elected,
            // this node cannot so much as write down that they did. So nobody is kept waiting for it.
            if *stuck.borrow_and_update() && self.raft.has_others() {
                self.raft.step_aside(0).await;
                break;
            }
            let deadline = leading.next_lock_deadline();
            tokio::select! {
                biased;
                _ = looks.tick() => self.source.log.look_whether_stuck(self.config.disk_write_max),
                Some(done) = leading.proposals.next(), if !leading.proposals.is_empty() => {
                    if !leading.proposal_done(done) {
                        break;
                    }
                }
                changed = self.leadership.changed() => {
                    let now = *self.leadership.borrow_and_update();
                    if changed.is_err() || now.stopped || !now.is_leader || now.term != term {
                        break;
                    }
                }
                count = self.events.recv_many(&mut taken, EVENTS_AT_ONCE), if !leading.is_overloaded() => {
                    if count == 0 {
                        break;
                    }
                    for event in taken.drain(..) {
                        self.handle(&mut leading, event);
                    }
                }
                () = tokio::time::sleep_until(deadline.unwrap_or_else(tokio::time::Instant::now)), if deadline.is_some() => {
                    leading.expire_locks(tokio::time::Instant::now());
                }
                changed = stuck.changed() => if changed.is_err() { break },
                Some(_) = self.lookups.join_next(), if !self.lookups.is_empty() => {}
                () = stopped(&mut self.stopping) => break,
            }
            if !leading.propose_batches(&self.raft, &self.clock).await {
                break;
            }
            leading.update_gauges();
        }
        if *self.stopping.borrow() && !self.leadership.borrow().stopped {
            leading.finish(&self.raft, &self.clock).await;
        }
        leading.give_up(self.leadership.borrow().leader.filter(|leader| *leader != self.config.node));
    }

    fn handle(&mut self, leading: &mut Leading, event: Event) {
        match event {
            Event::Commit { request, looked_up, reply } => {
                if let Some(lookup) = leading.commit(*request, looked_up, reply) {
                    self.start_lookup(lookup);
                }
            }
            Event::Lock { id, request, reply } => leading.lock(id, request, reply),
            Event::CancelLock(id) => leading.cancel_lock(id),
            Event::Unlock { txn, reply } => {
                leading.unlock(txn);
                let _ = reply.send(());
            }
            Event::UnlockKeys { txn, keys, reply } => {
                leading.unlock_keys(txn, &keys);
                let _ = reply.send(());
            }
            Event::Locks { reply } => drop(reply.send(Ok(leading.locks()))),
            Event::LatestDeadlock { reply } => drop(reply.send(Ok(leading.latest_deadlock()))),
            Event::Outcome { commit, reply } => leading.outcome(commit, reply),
            Event::Allocate { request, reply } => leading.allocate(request, reply),
            Event::ReportDurable { tablet, lsn, reply } => {
                leading.report_durable(tablet, lsn);
                let _ = reply.send(Ok(()));
            }
        }
    }

    /// Answers while this node does not lead.
    fn refuse(&self, event: Event) {
        let error =
            WalError::NotLeader { leader: self.leadership.borrow().leader.filter(|id| *id != self.config.node) };
        match event {
            Event::Commit { reply, .. } => drop(reply.send(Err(CommitError::Wal(error)))),
            Event::Lock { reply, .. } => drop(reply.send(Err(LockError::Wal(error)))),
            // Without a leader there are no locks.
            Event::CancelLock(_) => {}
            Event::Unlock { reply, .. } | Event::UnlockKeys { reply, .. } => drop(reply.send(())),
            Event::Locks { reply } => drop(reply.send(Err(error))),
            Event::LatestDeadlock { reply } => drop(reply.send(Err(error))),
            Event::Outcome { reply, .. } => drop(reply.send(Err(error))),
            Event::Allocate { reply, .. } => drop(reply.send(Err(error))),
            Event::ReportDurable { reply, .. } => drop(reply.send(Err(error))),
        }
    }
}
