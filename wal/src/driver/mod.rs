//! Driver: the task that makes this node's sequencer and lock table lead, and ends it. It awaits everything and decides nothing.
//!
//! ```text
//! callers ──▶ desk: sequencer ──▶ forming batch ──▶ log ──▶ durable: replies, locks freed
//!    │             lock table ──▶ replies
//!    └─ queue (bounded) ──▶ driver ──▶ desk        timers, lookups, proposals to a group
//! ```
//!
//! Callers deal with their events themselves, at the desk; those that cannot at once queue for the driver.
//!
//! Leading begins when the first entry of the own term is applied (then all earlier ones are) and the conflict window is
//! rebuilt from the log; it ends when Raft says so or a proposal fails. Locks end with it, which is fine: the conflict
//! check is the truth. Locks pass on when their commit has its LSN, before it is durable: the next holder is told the rows
//! that are on their way to the disk and the LSN that it comes after, and may not show them before they are there.

mod desk;
mod handed;
mod leading;
mod lookup;
mod trim;

use crate::WallClock;
use crate::config::WalConfig;
use crate::lock_table::RequestId;
use crate::metrics::WalMetrics;
use crate::raft::{Command, CommandKind, Consensus, Leadership, Proposal, RaftNode};
use crate::stream::StreamSource;
use common::id::{CommitId, Lsn, TabletId, Term, TxnId};
use common::key::Key;
use common::service::PageService;
use common::service::wal::{
    AllocateRequest, CommitError, CommitReply, CommitRequest, Deadlock, LockError, LockInfo, LockReply, LockRequest,
    WalError,
};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesOrdered;
use leading::{Leading, Proposed};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior};

pub use desk::Desk;
pub use lookup::Lookups;
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
    pub raft: Arc<Consensus>,
    pub desk: Arc<Desk>,
    pub source: StreamSource,
    pub metrics: Arc<WalMetrics>,
    pub clock: WallClock,
    /// The log waits for its archive.
    pub archives: bool,
    pub events: mpsc::Receiver<Event>,
    pub leadership: watch::Receiver<Leadership>,
    /// The term served, for `Service`.
    pub serving_term: watch::Sender<u64>,
    pub stopping: watch::Receiver<bool>,
}

/// In the order of their proposal to a group, which is the order of the log.
type Proposals = FuturesOrdered<BoxFuture<'static, Proposed>>;

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
        self.desk.lookups.stop();
    }

    async fn lead(&mut self, leading: Leading) {
        let term = leading.term();
        tracing::info!(term = term.0, lsn = leading.last_lsn().0, "leading");
        self.desk.open(leading);
        self.serving_term.send_replace(term.0);
        let mut proposals = Proposals::new();
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
            let comes_by = Instant::now() + DISK_LOOK_INTERVAL;
            let armed = self.desk.with(|leading| (leading.arm(comes_by), leading.is_overloaded()));
            let Some((deadline, is_overloaded)) = armed else { break };
            tokio::select! {
                biased;
                _ = looks.tick() => self.source.log.look_whether_stuck(self.config.disk_write_max),
                Some(done) = proposals.next(), if !proposals.is_empty() => {
                    if !self.proposal_done(done) {
                        break;
                    }
                }
                changed = self.leadership.changed() => {
                    let now = *self.leadership.borrow_and_update();
                    if changed.is_err() || now.stopped || !now.is_leader || now.term != term {
                        break;
                    }
                }
                () = self.desk.poked() => {}
                count = self.events.recv_many(&mut taken, EVENTS_AT_ONCE), if !is_overloaded => {
                    if count == 0 {
                        break;
                    }
                    for event in taken.drain(..) {
                        if let Err(event) = self.desk.handle(event) {
                            self.refuse(event);
                        }
                    }
                }
                () = tokio::time::sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                    self.desk.with(|leading| leading.expire_locks(Instant::now()));
                }
                changed = stuck.changed() => if changed.is_err() { break },
                () = stopped(&mut self.stopping) => break,
            }
            if !self.propose_batches(&mut proposals, term).await {
                break;
            }
        }
        if *self.stopping.borrow() && !self.leadership.borrow().stopped {
            self.finish(&mut proposals, term).await;
        }
        if let Some(leading) = self.desk.take() {
            leading.give_up(self.leadership.borrow().leader.filter(|leader| *leader != self.config.node));
        }
    }

    /// Sends forming batches on their way. False: this node cannot lead any more.
    async fn propose_batches(&self, proposals: &mut Proposals, term: Term) -> bool {
        let group = match &*self.raft {
            Consensus::Alone(_) => {
                self.desk.look_what_leaves();
                return true;
            }
            Consensus::Group(group) => group,
        };
        while let Some(kind) = self.desk.with(Leading::take_command).flatten() {
            if !propose(group, proposals, kind, term).await {
                return false;
            }
        }
        true
    }

    /// A proposal is over. False: this node cannot lead any more.
    fn proposal_done(&self, proposed: Proposed) -> bool {
        let Some(batch) = proposed.batch else {
            return proposed.result.is_ok();
        };
        if let Err(error) = proposed.result {
            self.desk.with(|leading| leading.proposal_failed(&batch, &error));
            return false;
        }
        let answered = self.desk.with(|leading| {
            let answered = leading.durable(&batch);
            leading.update_gauges();
            answered
        });
        for (lsn, waiting) in answered.into_iter().flatten() {
            leading::answer(lsn, waiting);
        }
        true
    }

    /// Before a clean stop: what was accepted is written and answered.
    async fn finish(&mut self, proposals: &mut Proposals, term: Term) {
        self.desk.begin_closing();
        self.desk.with(Leading::give_back_reservations);
        while self.propose_batches(proposals, term).await
            && self.desk.with(|leading| leading.has_unfinished()) == Some(true)
        {
            tokio::select! {
                Some(done) = proposals.next(), if !proposals.is_empty() => {
                    if !self.proposal_done(done) {
                        return;
                    }
                }
                () = self.desk.poked(), if proposals.is_empty() => {}
                changed = self.leadership.changed() => {
                    if changed.is_err() || self.leadership.borrow_and_update().stopped {
                        return;
                    }
                }
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

/// Hands a command to a group. False: this node cannot lead any more.
async fn propose(group: &RaftNode, proposals: &mut Proposals, kind: CommandKind, term: Term) -> bool {
    let command = match Command::new(&kind) {
        Ok(command) => command,
        Err(error) => {
            // The batch has its LSNs already: going on would leave a gap.
            tracing::error!(%error, "a batch cannot be encoded; giving up the lead");
            return false;
        }
    };
    let batch = match kind {
        CommandKind::Batch(batch) => Some(batch),
        CommandKind::Base(_) | CommandKind::Trim { .. } => None,
    };
    let (proposal, accepted) = match batch {
        None => (group.propose(command, term).await, true),
        Some(_) => match group.propose_batch(command, term).await {
            Ok(proposal) => (proposal, true),
            Err(error) => {
                let refused: Proposal = Box::pin(std::future::ready(Err(error)));
                (refused, false)
            }
        },
    };
    proposals.push_back(Box::pin(async move { Proposed { batch, result: proposal.await } }));
    accepted
}
