//! The services as another process reaches them: through the network, at whoever leads, again where that is safe. What
//! `common::rpc::routing` does over QUIC, done over the simulated network.

use crate::network::{self, Lost, travel};
use crate::sim::{Member, Pages, Process, Sim, lock};
use async_trait::async_trait;
use common::bulk::BulkLayer;
use common::id::{CommitId, Lsn, NodeId, TabletId, Term, TxnId};
use common::key::{Key, KeyRange};
use common::service::page::*;
use common::service::wal::*;
use common::service::{PageService, WalService};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

const CALL_PATIENCE: Duration = Duration::from_secs(8);
const COMMIT_PATIENCE: Duration = Duration::from_secs(30);
/// An attempt that hears nothing for so long is given up.
const ATTEMPT: Duration = Duration::from_millis(1500);
/// A stream that says nothing for so long is begun elsewhere.
const SILENCE_MAX: Duration = Duration::from_secs(2);

pub struct Remote {
    sim: Arc<Sim>,
    process: Arc<Process>,
    /// Who is believed to lead.
    leader: Mutex<NodeId>,
}

enum Attempt<T, E> {
    Done(Result<T, E>),
    Again(E, Option<NodeId>),
}

fn wal_attempt<T>(answer: Result<T, WalError>) -> Attempt<T, WalError> {
    match answer {
        Err(WalError::NotLeader { leader }) => Attempt::Again(WalError::NotLeader { leader }, leader),
        Err(error @ WalError::Unavailable(_)) => Attempt::Again(error, None),
        answer => Attempt::Done(answer),
    }
}

impl Remote {
    pub fn new(sim: &Arc<Sim>, process: &Arc<Process>) -> Arc<Remote> {
        Arc::new(Remote { sim: sim.clone(), process: process.clone(), leader: Mutex::new(NodeId(1)) })
    }

    /// The term of the newest leader there is, if it is the one that answered here last. Asks the members behind the
    /// network's back.
    pub async fn true_leader(&self) -> Option<Term> {
        let members = lock(&self.sim.members).clone();
        let mut newest = None;
        for (node, member) in members {
            if let Ok(status) = member.node.service().status().await {
                newest = newest.max(Some((status.term, status.leader == Some(node), node)));
            }
        }
        let here = *lock(&self.leader);
        newest.filter(|(_, leads, node)| *leads && *node == here).map(|(term, ..)| term)
    }

    fn member(&self, node: NodeId) -> Option<Member> {
        lock(&self.sim.members).get(&node).cloned()
    }

    /// Calls the leader until there is an answer or the patience ends.
    async fn at_leader<T, E, F>(
        &self,
        patience: Duration,
        attempt: Duration,
        lost: impl Fn(Lost) -> E,
        call: impl Fn(Arc<dyn WalService>) -> F,
        judge: impl Fn(Result<T, E>) -> Attempt<T, E>,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: Send + 'static,
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        let give_up = Instant::now() + patience;
        let mut wait = Duration::from_millis(5);
        loop {
            let node = *lock(&self.leader);
            let judged = match self.member(node) {
                None => Attempt::Again(lost(Lost::NotSent), None),
                Some(member) => {
                    let work = call(member.node.service());
                    let answer =
                        tokio::time::timeout(attempt, network::call(&self.sim, &self.process, &member.process, work));
                    match answer.await {
                        Ok(Ok(answer)) => judge(answer),
                        Ok(Err(how)) => Attempt::Again(lost(how), None),
                        Err(_) => Attempt::Again(lost(Lost::Unknown), None),
                    }
                }
            };
            match judged {
                Attempt::Done(answer) => return answer,
                Attempt::Again(error, leader) => {
                    if Instant::now() > give_up {
                        return Err(error);
                    }
                    *lock(&self.leader) = leader.unwrap_or(NodeId(node.0 % 3 + 1));
                }
            }
            tokio::time::sleep(wait + self.sim.ms(0, 5)).await;
            wait = (wait * 2).min(Duration::from_millis(100));
        }
    }

    async fn ask<T, F>(&self, call: impl Fn(Arc<dyn WalService>) -> F) -> Result<T, WalError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, WalError>> + Send + 'static,
    {
        self.at_leader(CALL_PATIENCE, ATTEMPT, |_| lost(), call, wal_attempt).await
    }
}

fn lost() -> WalError {
    WalError::Unavailable("no answer".to_string())
}

#[async_trait]
impl WalService for Remote {
    async fn read_lsn(&self) -> Result<ReadLsn, WalError> {
        self.ask(|wal| async move { wal.read_lsn().await }).await
    }

    async fn lock(&self, request: LockRequest) -> Result<LockReply, LockError> {
        let allowed = if let LockWait::Timeout(wait) = request.wait { wait } else { Duration::ZERO };
        let begun = Instant::now();
        let call = |wal: Arc<dyn WalService>| {
            let mut request = request.clone();
            if let LockWait::Timeout(wait) = &mut request.wait {
                *wait = wait.saturating_sub(begun.elapsed());
            }
            async move { wal.lock(request).await }
        };
        let judge = |answer| match answer {
            Err(LockError::Wal(WalError::NotLeader { leader })) => {
                Attempt::Again(LockError::Wal(WalError::NotLeader { leader }), leader)
            }
            Err(LockError::Wal(error @ WalError::Unavailable(_))) => Attempt::Again(LockError::Wal(error), None),
            answer => Attempt::Done(answer),
        };
        let attempt = ATTEMPT + allowed;
        self.at_leader(CALL_PATIENCE + allowed, attempt, |_| LockError::Wal(lost()), call, judge).await
    }

    async fn unlock_keys(&self, txn: TxnId, keys: Vec<Key>) -> Result<(), WalError> {
        self.ask(|wal| {
            let keys = keys.clone();
            async move { wal.unlock_keys(txn, keys).await }
        })
        .await
    }

    async fn locks(&self) -> Result<Vec<LockInfo>, WalError> {
        self.ask(|wal| async move { wal.locks().await }).await
    }

    async fn wait_durable(&self, version: Undurable) -> Result<bool, WalError> {
        self.ask(move |wal| async move { wal.wait_durable(version).await }).await
    }

    async fn unlock(&self, txn: TxnId) -> Result<(), WalError> {
        self.ask(move |wal| async move { wal.unlock(txn).await }).await
    }

    async fn commit(&self, request: CommitRequest) -> Result<CommitReply, CommitError> {
        self.sim.ledger.requested(&request);
        let call = |wal: Arc<dyn WalService>| {
            let request = request.clone();
            async move { wal.commit(request).await }
        };
        let judge = |answer| match answer {
            Err(CommitError::Wal(WalError::NotLeader { leader })) => {
                Attempt::Again(CommitError::Unknown("another member leads".to_string()), leader)
            }
            Err(CommitError::Wal(WalError::Unavailable(reason)) | CommitError::Unknown(reason)) => {
                Attempt::Again(CommitError::Unknown(reason), None)
            }
            answer => Attempt::Done(answer),
        };
        let lost = |_| CommitError::Unknown("no answer".to_string());
        self.at_leader(COMMIT_PATIENCE, ATTEMPT, lost, call, judge).await
    }

    async fn outcome(&self, commit: CommitId) -> Result<Option<Lsn>, WalError> {
        self.ask(move |wal| async move { wal.outcome(commit).await }).await
    }

    async fn allocate(&self, request: AllocateRequest) -> Result<u64, WalError> {
        self.ask(move |wal| async move { wal.allocate(request).await }).await
    }

    async fn subscribe(
        &self,
        request: SubscribeRequest,
    ) -> Result<BoxStream<'static, Result<StreamItem, WalError>>, WalError> {
        let first = self.sim.random.below(3);
        let mut failed = lost();
        for offset in 0..3 {
            let Some(member) = self.member(NodeId((first + offset) % 3 + 1)) else { continue };
            let (wal, request) = (member.node.service(), request.clone());
            let begin = async move { wal.subscribe(request).await };
            match network::call(&self.sim, &self.process, &member.process, begin).await {
                Ok(Ok(items)) => return Ok(through(self.sim.clone(), self.process.clone(), member.process, items)),
                Ok(Err(error @ WalError::Trimmed { .. })) => failed = error,
                Ok(Err(_)) | Err(_) => {}
            }
        }
        Err(failed)
    }

    async fn report_durable(&self, tablet: TabletId, lsn: Lsn) -> Result<(), WalError> {
        self.ask(move |wal| async move { wal.report_durable(tablet, lsn).await }).await
    }

    async fn status(&self) -> Result<WalStatus, WalError> {
        self.ask(|wal| async move { wal.status().await }).await
    }
}

/// A stream from another process: late, and ended by whatever ends a connection.
fn through(
    sim: Arc<Sim>,
    own: Arc<Process>,
    member: Arc<Process>,
    items: BoxStream<'static, Result<StreamItem, WalError>>,
) -> BoxStream<'static, Result<StreamItem, WalError>> {
    stream::unfold(Some(items), move |items| {
        let (sim, own, member) = (sim.clone(), own.clone(), member.clone());
        async move {
            let mut items = items?;
            let next = tokio::select! {
                biased;
                () = member.died() => None,
                next = tokio::time::timeout(SILENCE_MAX, items.next()) => next.ok().flatten(),
            };
            match next {
                Some(item) if travel(&sim, &member, &own).await => Some((item, Some(items))),
                _ => Some((Err(lost()), None)),
            }
        }
    })
    .boxed()
}

impl Remote {
    async fn at_pages<T, F>(&self, call: impl Fn(Arc<dyn PageService>) -> F) -> Result<T, PageError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, PageError>> + Send + 'static,
    {
        let give_up = Instant::now() + CALL_PATIENCE;
        loop {
            let pages: Option<Pages> = lock(&self.sim.pages).clone();
            let answer = match pages {
                None => Err(PageError::Unavailable("no page server runs".to_string())),
                Some(pages) => {
                    let work = call(pages.server.service());
                    let answer = network::call(&self.sim, &self.process, &pages.process, work);
                    match tokio::time::timeout(ATTEMPT * 2, answer).await {
                        Ok(Ok(answer)) => answer,
                        _ => Err(PageError::Unavailable("no answer".to_string())),
                    }
                }
            };
            match answer {
                Err(PageError::Unavailable(_) | PageError::Behind { .. }) if Instant::now() < give_up => {}
                answer => return answer,
            }
            tokio::time::sleep(self.sim.ms(5, 50)).await;
        }
    }
}

#[async_trait]
impl PageService for Remote {
    async fn get(&self, request: GetRequest) -> Result<Vec<Option<RowVersion>>, PageError> {
        self.at_pages(|pages| {
            let request = request.clone();
            async move { pages.get(request).await }
        })
        .await
    }

    async fn newest_versions(&self, keys: Vec<Key>, applied: Lsn) -> Result<Vec<Lsn>, PageError> {
        self.at_pages(|pages| {
            let keys = keys.clone();
            async move { pages.newest_versions(keys, applied).await }
        })
        .await
    }

    /// All batches at once: ranges are small here.
    async fn scan(&self, request: ScanRequest) -> Result<BoxStream<'static, Result<ScanBatch, PageError>>, PageError> {
        let batches = self
            .at_pages(|pages| {
                let request = request.clone();
                async move {
                    let batches: Vec<_> = pages.scan(request).await?.collect().await;
                    batches.into_iter().collect::<Result<Vec<_>, _>>()
                }
            })
            .await?;
        Ok(stream::iter(batches.into_iter().map(Ok)).boxed())
    }

    async fn estimate(&self, range: KeyRange) -> Result<RangeEstimate, PageError> {
        self.at_pages(|pages| {
            let range = range.clone();
            async move { pages.estimate(range).await }
        })
        .await
    }

    async fn flush(&self) -> Result<Lsn, PageError> {
        self.at_pages(|pages| async move { pages.flush().await }).await
    }

    async fn status(&self) -> Result<PageStatus, PageError> {
        self.at_pages(|pages| async move { pages.status().await }).await
    }

    async fn bulk_write(&self, rows: Vec<BulkRow>) -> Result<Vec<BulkLayer>, PageError> {
        self.at_pages(|pages| {
            let rows = rows.clone();
            async move { pages.bulk_write(rows).await }
        })
        .await
    }

    async fn bulk_finish(&self, layers: Vec<BulkLayer>) -> Result<BulkFinished, PageError> {
        self.at_pages(|pages| {
            let layers = layers.clone();
            async move { pages.bulk_finish(layers).await }
        })
        .await
    }
}
