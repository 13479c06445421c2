//! The service: what callers see, and their way to the desk where they are answered.

use crate::driver::{Desk, Event};
use crate::lock_table::RequestId;
use crate::metrics::WalMetrics;
use crate::pressure::Pressure;
use crate::raft::{Consensus, Leadership, ProposeError};
use crate::snapshots::Snapshots;
use crate::stream::{self, StreamSource};
use async_trait::async_trait;
use common::id::{CommitId, LogPos, Lsn, NodeId, TabletId, TxnId};
use common::key::Key;
use common::service::WalService;
use common::service::wal::{
    AllocateRequest, CommitError, CommitReply, CommitRequest, Deadlock, LockError, LockInfo, LockReply, LockRequest,
    MemberChange, OldestSnapshot, PressureReport, ReadLsn, SnapshotReport, StreamItem, SubscribeRequest, Tenure,
    Undurable, WalError, WalStatus,
};
use futures::stream::BoxStream;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

/// A page server says every second that it is there.
const ANNOUNCEMENT_LASTS: Duration = Duration::from_secs(10);
const PAGE_SERVERS_MAX: usize = 1024;
/// How long a call waits at a leader that is getting ready.
const SERVING_WAIT_MAX: Duration = Duration::from_secs(2);

/// A handle on the running node.
pub struct Service {
    pub(crate) node: NodeId,
    pub(crate) desk: Arc<Desk>,
    /// For what the desk cannot deal with at once.
    pub(crate) events: mpsc::Sender<Event>,
    pub(crate) raft: Arc<Consensus>,
    pub(crate) leadership: watch::Receiver<Leadership>,
    /// The term in which the driver serves; zero while it does not.
    pub(crate) serving_term: watch::Receiver<u64>,
    pub(crate) source: StreamSource,
    pub(crate) metrics: Arc<WalMetrics>,
    pub(crate) next_request: AtomicU64,
    /// Page servers that announced themselves, and when they did last.
    pub(crate) page_servers: Mutex<HashMap<SocketAddr, Instant>>,
    pub(crate) pressure: Pressure,
    pub(crate) snapshots: Snapshots,
}

impl Service {
    fn unavailable(&self) -> WalError {
        match self.source.log.failure() {
            Some(failure) => WalError::Unavailable(format!("{failure}; restart this node once the cause is gone")),
            None => WalError::Unavailable("this wal node has stopped".to_string()),
        }
    }

    async fn ask<T>(&self, event: impl FnOnce(oneshot::Sender<T>) -> Event) -> Result<T, WalError> {
        let (reply, answer) = oneshot::channel();
        self.deliver(event(reply)).await?;
        answer.await.map_err(|_| self.unavailable())
    }

    /// To the desk, or to the driver's queue: also where others queue, who came before.
    async fn deliver(&self, event: Event) -> Result<(), WalError> {
        let queue_is_empty = self.events.capacity() == self.events.max_capacity();
        let event = match queue_is_empty {
            true => match self.desk.try_handle(event) {
                Ok(()) => return Ok(()),
                Err(event) => event,
            },
            false => event,
        };
        self.events.send(event).await.map_err(|_| self.unavailable())
    }

    /// As [`Service::check_serving`]; one that has just been elected is waited for, since callers would only ask again. Not
    /// one whose disk takes nothing: it may have been replaced and not know it.
    async fn wait_serving(&self) -> Result<u64, WalError> {
        let answer = self.check_serving();
        let may_serve = self.leadership.borrow().is_leader && !*self.source.log.stuck().borrow();
        if !matches!(answer, Err(WalError::NotLeader { .. })) || !may_serve {
            return answer;
        }
        let (mut serving, mut leadership) = (self.serving_term.clone(), self.leadership.clone());
        tokio::select! {
            _ = serving.wait_for(|term| *term != 0) => {}
            _ = leadership.wait_for(|now| !now.is_leader || now.stopped) => {}
            () = tokio::time::sleep(SERVING_WAIT_MAX) => {}
        }
        self.check_serving()
    }

    /// For answers that need no driver: does this node serve as the leader?
    fn check_serving(&self) -> Result<u64, WalError> {
        if self.source.log.failure().is_some() {
            return Err(self.unavailable());
        }
        match *self.serving_term.borrow() {
            0 => {
                let now = *self.leadership.borrow();
                Err(WalError::NotLeader { leader: now.leader.filter(|_| !now.is_leader) })
            }
            term => Ok(term),
        }
    }
}

/// Tells the driver that nobody waits for a lock request any more, when the caller's future is dropped.
struct CancelLock<'a> {
    service: &'a Service,
    request: Option<RequestId>,
}

impl Drop for CancelLock<'_> {
    fn drop(&mut self) {
        if let Some(request) = self.request
            && let Err(event) = self.service.desk.try_handle(Event::CancelLock(request))
        {
            let events = self.service.events.clone();
            if let Err(mpsc::error::TrySendError::Full(event)) = events.try_send(event)
                && let Ok(runtime) = tokio::runtime::Handle::try_current()
            {
                runtime.spawn(async move { events.send(event).await });
            }
        }
    }
}

#[async_trait]
impl WalService for Service {
    async fn read_lsn(&self) -> Result<ReadLsn, WalError> {
        let term = self.wait_serving().await?;
        self.raft.confirm_leader().await.map_err(|error| match error {
            ProposeError::NotLeader(leader) => WalError::NotLeader { leader },
            ProposeError::Unknown(reason) => WalError::Unavailable(reason),
        })?;
        let mark = self.source.applied.mark();
        // Leading again in a later term is another matter: that leader has to have applied what came between.
        if self.check_serving()? != term {
            return Err(WalError::Unavailable("the leader changed; try again".to_string()));
        }
        Ok(ReadLsn { lsn: mark.lsn, definitions: mark.definitions })
    }

    async fn lock(&self, request: LockRequest) -> Result<LockReply, LockError> {
        let id = RequestId(self.next_request.fetch_add(1, Ordering::Relaxed));
        let mut cancel = CancelLock { service: self, request: Some(id) };
        let answer = self.ask(|reply| Event::Lock { id, request, reply }).await;
        cancel.request = None;
        answer?
    }

    async fn unlock(&self, txn: TxnId) -> Result<(), WalError> {
        self.ask(|reply| Event::Unlock { txn, reply }).await
    }

    async fn unlock_keys(&self, txn: TxnId, keys: Vec<Key>) -> Result<(), WalError> {
        self.ask(|reply| Event::UnlockKeys { txn, keys, reply }).await
    }

    async fn locks(&self) -> Result<Vec<LockInfo>, WalError> {
        self.ask(|reply| Event::Locks { reply }).await?
    }

    async fn latest_deadlock(&self) -> Result<Option<Deadlock>, WalError> {
        self.ask(|reply| Event::LatestDeadlock { reply }).await?
    }

    async fn wait_durable(&self, version: Undurable) -> Result<bool, WalError> {
        if self.wait_serving().await? != version.term.0 {
            return Ok(false);
        }
        let mut marks = self.source.applied.watch();
        let mut serving = self.serving_term.clone();
        tokio::select! {
            biased;
            mark = marks.wait_for(|mark| mark.lsn >= version.lsn) => match mark {
                // An entry of a later term may have given the same LSN to something else.
                Ok(mark) => Ok(mark.term == version.term.0),
                Err(_) => Err(self.unavailable()),
            },
            changed = serving.wait_for(|term| *term != version.term.0) => match changed {
                Ok(_) => Ok(false),
                Err(_) => Err(self.unavailable()),
            },
        }
    }

    /// Whether it is the same connection is for whoever serves it to know.
    async fn holds(&self, tenure: Tenure) -> Result<bool, WalError> {
        Ok(self.wait_serving().await? == tenure.term.0)
    }

    async fn commit(&self, request: CommitRequest) -> Result<CommitReply, CommitError> {
        // One that holds locks for its session's transaction has waited before it took them.
        if !request.has_waited
            && let Some(delay) = self.pressure.delay(&request)
        {
            self.metrics.commits_delayed.inc();
            self.metrics.commit_delay_seconds.inc_by(delay.as_secs_f64());
            tokio::time::sleep(delay).await;
        }
        let (reply, answer) = oneshot::channel();
        let event = Event::Commit { request: Box::new(request), looked_up: None, reply };
        self.deliver(event).await.map_err(CommitError::Wal)?;
        match answer.await {
            Ok(result) => result,
            Err(_) => Err(CommitError::Unknown(self.unavailable().to_string())),
        }
    }

    async fn outcome(&self, commit: CommitId) -> Result<Option<Lsn>, WalError> {
        self.ask(|reply| Event::Outcome { commit, reply }).await?
    }

    async fn allocate(&self, request: AllocateRequest) -> Result<u64, WalError> {
        self.ask(|reply| Event::Allocate { request, reply }).await?
    }

    async fn subscribe(
        &self,
        request: SubscribeRequest,
    ) -> Result<BoxStream<'static, Result<StreamItem, WalError>>, WalError> {
        stream::subscribe(self.source.clone(), request, false)
    }

    async fn subscribe_to_definitions(
        &self,
        from: Lsn,
    ) -> Result<BoxStream<'static, Result<StreamItem, WalError>>, WalError> {
        stream::subscribe(self.source.clone(), SubscribeRequest { from, tablets: Vec::new() }, true)
    }

    async fn report_durable(&self, tablet: TabletId, lsn: Lsn) -> Result<(), WalError> {
        self.ask(|reply| Event::ReportDurable { tablet, lsn, reply }).await?
    }

    async fn report_pressure(&self, report: PressureReport) -> Result<(), WalError> {
        // A follower delays nothing; whoever leads has to know.
        self.check_serving()?;
        self.metrics.pressure.set(self.pressure.reported(report));
        Ok(())
    }

    async fn pressure(&self) -> Result<f64, WalError> {
        self.check_serving()?;
        Ok(self.pressure.now())
    }

    async fn report_snapshots(&self, report: SnapshotReport) -> Result<(), WalError> {
        let term = self.check_serving()?;
        let oldest = self.snapshots.reported(report, term, Instant::now());
        let oldest =
            oldest.map_err(|_| WalError::Unavailable("too many computes report their snapshots".to_string()))?;
        self.metrics.oldest_snapshot.set(oldest.map_or(0, |lsn| i64::try_from(lsn.0).unwrap_or(i64::MAX)));
        Ok(())
    }

    async fn oldest_snapshot(&self) -> Result<OldestSnapshot, WalError> {
        Ok(self.snapshots.oldest(self.check_serving()?, Instant::now()))
    }

    async fn status(&self) -> Result<WalStatus, WalError> {
        let leadership = *self.leadership.borrow();
        let log_bytes = self.source.log.log_bytes();
        self.metrics.log_bytes.set(i64::try_from(log_bytes).unwrap_or(i64::MAX));
        Ok(WalStatus {
            node: self.node,
            term: leadership.term,
            leader: leadership.leader,
            committed: self.source.applied.mark().lsn,
            first: stream::first_lsn(&self.source),
            log_last: LogPos(self.source.log.last_mark().map_or(0, |mark| mark.index)),
            log_bytes,
            locks_held: u64::try_from(self.metrics.locks_held.get()).unwrap_or(0),
            locks_waiting: u64::try_from(self.metrics.locks_waiting.get()).unwrap_or(0),
            members: self.raft.members(),
        })
    }

    async fn change_members(&self, change: MemberChange) -> Result<(), WalError> {
        self.check_serving()?;
        match change {
            MemberChange::Join { node, address, replaces } => self.raft.take_in(node, address, replaces).await,
        }
        .map_err(|error| match error {
            ProposeError::NotLeader(leader) => WalError::NotLeader { leader },
            ProposeError::Unknown(reason) => WalError::Unavailable(reason),
        })
    }

    async fn announce(&self, page_server: SocketAddr) -> Result<(), WalError> {
        let mut known = self.page_servers.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, seen| seen.elapsed() < ANNOUNCEMENT_LASTS);
        if known.len() < PAGE_SERVERS_MAX {
            known.insert(page_server, Instant::now());
        }
        Ok(())
    }

    async fn page_servers(&self) -> Result<Vec<SocketAddr>, WalError> {
        let known = self.page_servers.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(known.iter().filter(|(_, seen)| seen.elapsed() < ANNOUNCEMENT_LASTS).map(|(address, _)| *address).collect())
    }
}
