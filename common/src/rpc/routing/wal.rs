//! The wal service of several nodes: finds the leader, and asks again when it changes.

use super::leader::{LeaderWatch, Member, View};
use super::read_lsn::ReadLsnBatcher;
use super::{RETRY_WAIT_FIRST, RETRY_WAIT_MAX};
use crate::id::{CommitId, Lsn, NodeId, TabletId, Term, TxnId};
use crate::key::Key;
use crate::rpc::{Deadlines, RpcClient, WalClient};
use crate::service::WalService;
use crate::service::wal::{
    AllocateRequest, CommitError, CommitReply, CommitRequest, Deadlock, LockError, LockInfo, LockReply, LockRequest,
    LockWait, MemberChange, OldestSnapshot, PressureReport, ReadLsn, SnapshotReport, StreamItem, SubscribeRequest,
    Tenure, Undurable, WalError, WalStatus,
};
use async_trait::async_trait;
use futures::StreamExt;
use futures::future::join_all;
use futures::stream::{self, BoxStream, FuturesUnordered};
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// How long a call other than a commit looks for a leader that answers: longer than an election.
const CALL_PATIENCE: Duration = Duration::from_secs(8);
/// How long a commit does. Past it the outcome is unknown, which a client should not see.
const COMMIT_PATIENCE: Duration = Duration::from_secs(30);
/// A member that does not accept a subscription in this time is passed over.
const SUBSCRIBE_DEADLINE: Duration = Duration::from_secs(2);
/// After this time another one is asked as well.
const SUBSCRIBE_HEDGE: Duration = Duration::from_millis(150);
/// A stream that says nothing for so long, or nothing new while the leader has more, is cut and begun elsewhere. Several
/// times the interval of heartbeats.
const STREAM_SILENCE_MAX: Duration = Duration::from_millis(1500);
/// The same when the leader has just changed: the member that streams may be the one that died.
const STREAM_SILENCE_AFTER_CHANGE: Duration = Duration::from_millis(500);

/// The wal role of a cluster.
pub struct WalRouter {
    members: Arc<Members>,
    read_lsns: ReadLsnBatcher,
}

pub(super) struct Members {
    leader: LeaderWatch,
    /// Where subscriptions begin to look for a member, so that subscribers spread over them.
    offset: usize,
}

impl WalRouter {
    /// `seeds`: where some members listen, or did; they say who the others are. `own`: for spreading subscriptions.
    /// Must be called within a tokio runtime.
    pub fn new(client: &RpcClient, seeds: &[SocketAddr], own: NodeId) -> WalRouter {
        assert!(!seeds.is_empty(), "a cluster has wal nodes");
        let deadlines = Deadlines { call: CALL_PATIENCE, commit: COMMIT_PATIENCE, ..Deadlines::default() };
        let leader = LeaderWatch::start(client, seeds, deadlines);
        let members = Arc::new(Members { leader, offset: own.0 as usize });
        WalRouter { read_lsns: ReadLsnBatcher::start(members.clone()), members }
    }

    /// Where the members listen, as far as is known now: seeds for the next start.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.members.leader.roster.members().into_iter().map(|member| member.address).collect()
    }
}

/// What a failed attempt means.
enum Attempt<T, E> {
    /// The answer, good or bad.
    Done(Result<T, E>),
    /// Another node, or the same one later, may do better.
    Again(E),
}

fn wal_attempt<T>(answer: Result<T, WalError>) -> Attempt<T, WalError> {
    match answer {
        Err(error @ (WalError::NotLeader { .. } | WalError::Unavailable(_))) => Attempt::Again(error),
        answer => Attempt::Done(answer),
    }
}

impl Members {
    /// Calls the leader, whoever it is, until there is an answer or the patience ends; then the last error.
    async fn at_leader<T, E, F>(
        &self,
        patience: Duration,
        none: impl Fn() -> E,
        mut call: impl FnMut(Arc<WalClient>) -> F,
    ) -> Result<T, E>
    where
        F: Future<Output = Attempt<T, E>>,
    {
        let give_up = Instant::now() + patience;
        let mut view = self.leader.view.clone();
        let mut wait = RETRY_WAIT_FIRST;
        let mut last = None;
        loop {
            let now = *view.borrow_and_update();
            if let Some(leader) = now.leader.and_then(|leader| self.leader.roster.client(leader)) {
                let attempt = tokio::select! {
                    biased;
                    attempt = call(leader) => Some(attempt),
                    () = replaced(&mut view, now.term) => None,
                    () = tokio::time::sleep_until(give_up) => break,
                };
                match attempt {
                    Some(Attempt::Done(answer)) => return answer,
                    Some(Attempt::Again(error)) => {
                        last = Some(error);
                        self.leader.suspect();
                    }
                    // Somebody else leads: at once.
                    None => continue,
                }
            }
            tokio::select! {
                () = replaced(&mut view, now.term) => {}
                () = tokio::time::sleep(wait) => {}
                () = tokio::time::sleep_until(give_up) => break,
            }
            wait = (wait * 2).min(RETRY_WAIT_MAX);
        }
        Err(last.unwrap_or_else(none))
    }

    async fn ask<T, F>(&self, call: impl Fn(Arc<WalClient>) -> F) -> Result<T, WalError>
    where
        F: Future<Output = Result<T, WalError>>,
    {
        let call = &call;
        self.at_leader(CALL_PATIENCE, no_leader, |leader| async move { wal_attempt(call(leader).await) }).await
    }

    pub async fn read_lsn(&self) -> Result<ReadLsn, WalError> {
        self.ask(|leader| async move { leader.read_lsn().await }).await
    }
}

fn no_leader() -> WalError {
    WalError::Unavailable("no wal node leads".to_owned())
}

/// Returns when a later term has a leader.
async fn replaced(view: &mut watch::Receiver<View>, term: Term) {
    if view.wait_for(|view| view.term > term).await.is_err() {
        // The watch lives as long as the router that is being called.
        std::future::pending::<()>().await;
    }
}

#[async_trait]
impl WalService for WalRouter {
    async fn read_lsn(&self) -> Result<ReadLsn, WalError> {
        self.read_lsns.read_lsn().await
    }

    async fn lock(&self, request: LockRequest) -> Result<LockReply, LockError> {
        let begun = Instant::now();
        let allowed = match request.wait {
            LockWait::Timeout(wait) => wait,
            LockWait::NoWait | LockWait::SkipLocked => Duration::ZERO,
        };
        let request = &request;
        let call = |leader: Arc<WalClient>| async move {
            let mut request = request.clone();
            // Asked again after a change of leaders, it waits only for what is left.
            if let LockWait::Timeout(wait) = &mut request.wait {
                *wait = wait.saturating_sub(begun.elapsed());
            }
            match leader.lock(request).await {
                Err(LockError::Wal(error @ (WalError::NotLeader { .. } | WalError::Unavailable(_)))) => {
                    Attempt::Again(LockError::Wal(error))
                }
                answer => Attempt::Done(answer),
            }
        };
        self.members.at_leader(CALL_PATIENCE.saturating_add(allowed), || LockError::Wal(no_leader()), call).await
    }

    async fn unlock(&self, txn: TxnId) -> Result<(), WalError> {
        self.members.ask(|leader| async move { leader.unlock(txn).await }).await
    }

    async fn unlock_keys(&self, txn: TxnId, keys: Vec<Key>) -> Result<(), WalError> {
        let keys = &keys;
        self.members.ask(|leader| async move { leader.unlock_keys(txn, keys.clone()).await }).await
    }

    async fn locks(&self) -> Result<Vec<LockInfo>, WalError> {
        self.members.ask(|leader| async move { leader.locks().await }).await
    }

    async fn wait_durable(&self, version: Undurable) -> Result<bool, WalError> {
        self.members.ask(|leader| async move { leader.wait_durable(version).await }).await
    }

    async fn latest_deadlock(&self) -> Result<Option<Deadlock>, WalError> {
        self.members.ask(|leader| async move { leader.latest_deadlock().await }).await
    }

    async fn holds(&self, tenure: Tenure) -> Result<bool, WalError> {
        self.members.ask(|leader| async move { leader.holds(tenure).await }).await
    }

    /// Sent again until it is known what became of it: the log takes a commit id once. Whatever a later leader decides is
    /// final, because an earlier one can no longer append.
    async fn commit(&self, request: CommitRequest) -> Result<CommitReply, CommitError> {
        let arrived = std::sync::atomic::AtomicBool::new(false);
        let (request, arrived) = (&request, &arrived);
        let may_have_arrived = || arrived.load(std::sync::atomic::Ordering::Relaxed);
        let call = |leader: Arc<WalClient>| async move {
            // An attempt that is dropped half way counts as arrived.
            let before = arrived.swap(true, std::sync::atomic::Ordering::Relaxed);
            match leader.commit(request.clone()).await {
                Err(CommitError::Wal(error @ (WalError::NotLeader { .. } | WalError::Unavailable(_)))) => {
                    arrived.store(before, std::sync::atomic::Ordering::Relaxed);
                    Attempt::Again(CommitError::Wal(error))
                }
                Err(error @ CommitError::Unknown(_)) => Attempt::Again(error),
                answer => Attempt::Done(answer),
            }
        };
        let answer = self.members.at_leader(COMMIT_PATIENCE, || CommitError::Wal(no_leader()), call).await;
        match answer {
            Err(CommitError::Wal(error)) if may_have_arrived() => Err(CommitError::Unknown(error.to_string())),
            answer => answer,
        }
    }

    async fn outcome(&self, commit: CommitId) -> Result<Option<Lsn>, WalError> {
        self.members.ask(|leader| async move { leader.outcome(commit).await }).await
    }

    async fn allocate(&self, request: AllocateRequest) -> Result<u64, WalError> {
        let request = &request;
        self.members.ask(|leader| async move { leader.allocate(*request).await }).await
    }

    /// From a follower if there is one that answers: they have the same batches, and less to do.
    async fn subscribe(
        &self,
        request: SubscribeRequest,
    ) -> Result<BoxStream<'static, Result<StreamItem, WalError>>, WalError> {
        let members = &self.members;
        let leader = members.leader.view.borrow().leader;
        let mut order = members.leader.roster.members();
        let offset = members.offset % order.len().max(1);
        order.rotate_left(offset);
        order.sort_by_key(|member| leader.is_some() && member.node == leader);
        let mut failed = no_leader();
        let mut trimmed = None;
        let mut order = order.into_iter();
        let mut asked = FuturesUnordered::new();
        loop {
            let others = match order.next() {
                Some(member) => {
                    asked.push(subscribe_at(member, request.clone()));
                    true
                }
                None => false,
            };
            let begun = tokio::select! {
                biased;
                begun = asked.next() => begun,
                // It may be dead.
                () = tokio::time::sleep(SUBSCRIBE_HEDGE), if others => continue,
            };
            match begun {
                Some(Ok(items)) => return Ok(watched(items, request.from, members.leader.view.clone())),
                // A member that was away may hold less than the others.
                Some(Err(WalError::Trimmed { first })) => trimmed = trimmed.min(Some(first)).or(Some(first)),
                Some(Err(error)) => failed = error,
                None => return Err(trimmed.map_or(failed, |first| WalError::Trimmed { first })),
            }
        }
    }

    async fn report_pressure(&self, report: PressureReport) -> Result<(), WalError> {
        self.members.ask(|leader| async move { leader.report_pressure(report).await }).await
    }

    async fn pressure(&self) -> Result<f64, WalError> {
        self.members.ask(|leader| async move { leader.pressure().await }).await
    }

    async fn report_snapshots(&self, report: SnapshotReport) -> Result<(), WalError> {
        self.members.ask(|leader| async move { leader.report_snapshots(report).await }).await
    }

    async fn oldest_snapshot(&self) -> Result<OldestSnapshot, WalError> {
        self.members.ask(|leader| async move { leader.oldest_snapshot().await }).await
    }

    async fn report_durable(&self, tablet: TabletId, lsn: Lsn) -> Result<(), WalError> {
        self.members.ask(|leader| async move { leader.report_durable(tablet, lsn).await }).await
    }

    async fn status(&self) -> Result<WalStatus, WalError> {
        self.members.ask(|leader| async move { leader.status().await }).await
    }

    async fn change_members(&self, change: MemberChange) -> Result<(), WalError> {
        let change = &change;
        self.members.ask(|leader| async move { leader.change_members(change.clone()).await }).await
    }

    /// To every member, so that it does not matter whom others ask. Members that do not answer hear it the next time.
    async fn announce(&self, page_server: SocketAddr) -> Result<(), WalError> {
        let members = self.members.leader.roster.members();
        join_all(members.iter().map(|member| member.announce(page_server))).await;
        Ok(())
    }

    async fn page_servers(&self) -> Result<Vec<SocketAddr>, WalError> {
        let members = self.members.leader.roster.members();
        let answers = join_all(members.iter().map(|member| member.page_servers())).await;
        let mut found: Vec<SocketAddr> = answers.into_iter().flatten().flatten().collect();
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }
}

async fn subscribe_at(
    member: Member,
    request: SubscribeRequest,
) -> Result<BoxStream<'static, Result<StreamItem, WalError>>, WalError> {
    let begun = tokio::time::timeout(SUBSCRIBE_DEADLINE, member.client.subscribe(request)).await;
    begun.unwrap_or_else(|_| Err(WalError::Unavailable(format!("the wal node at {} does not answer", member.address))))
}

/// A stream that ends with an error when its member has fallen silent, or behind: then it is asked for elsewhere.
fn watched(
    items: BoxStream<'static, Result<StreamItem, WalError>>,
    from: Lsn,
    view: watch::Receiver<View>,
) -> BoxStream<'static, Result<StreamItem, WalError>> {
    struct Watched {
        items: BoxStream<'static, Result<StreamItem, WalError>>,
        view: watch::Receiver<View>,
        /// Everything below was delivered.
        next: Lsn,
        /// Since when nothing new came although the leader had it.
        behind_since: Option<(Instant, Lsn)>,
    }
    let state = Watched { items, view, next: from, behind_since: None };
    stream::unfold(Some(state), |state| async move {
        let mut state = state?;
        let unavailable = |reason: &str| Some((Err(WalError::Unavailable(reason.to_owned())), None));
        let term = state.view.borrow().term;
        let item = tokio::select! {
            biased;
            item = state.items.next() => item?,
            () = async {
                replaced(&mut state.view, term).await;
                tokio::time::sleep(STREAM_SILENCE_AFTER_CHANGE).await;
            } => return unavailable("the stream has fallen silent since the leader changed"),
            () = tokio::time::sleep(STREAM_SILENCE_MAX) => return unavailable("the stream has fallen silent"),
        };
        let reached = match &item {
            Ok(StreamItem::Batch(batch)) => batch.last_lsn,
            Ok(StreamItem::Heartbeat { up_to }) => *up_to,
            Err(_) => return Some((item, None)),
        };
        let committed = state.view.borrow().committed;
        if reached >= state.next {
            state.next = reached.next();
            state.behind_since = None;
        }
        match state.behind_since {
            _ if reached >= committed => state.behind_since = None,
            None => state.behind_since = Some((Instant::now(), committed)),
            Some((since, wanted)) if reached < wanted && since.elapsed() > STREAM_SILENCE_MAX => {
                return unavailable("the member that streams has fallen behind");
            }
            Some(_) => {}
        }
        Some((item, Some(state)))
    })
    .boxed()
}
