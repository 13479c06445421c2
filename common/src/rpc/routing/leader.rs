//! Who leads the log: one task that asks the members, the leader mostly, and all of them when it does not answer.
//!
//! A process starts with addresses, its seeds, and does not know who listens there: a disk that was replaced is another
//! member at the same address. Whoever answers says who it is, and the leader says who the members are and where they
//! listen. Seeds that are no members are still asked when no leader is known.
//!
//! A node is believed to lead only if it says so itself and no later term was seen. That may be out of date at any time,
//! which costs time and nothing else: what a former leader says is checked by the consensus, not here.

use crate::id::{Lsn, NodeId, Term};
use crate::rpc::{Deadlines, RpcClient, WalClient};
use crate::service::WalService;
use crate::service::wal::{MemberStatus, WalError, WalStatus};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use parking_lot::RwLock;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio_util::task::AbortOnDropHandle;

/// How often the leader is asked whether it still leads.
const PING_INTERVAL: Duration = Duration::from_millis(150);
/// Without an answer for so long, the others are asked too.
const PING_DEADLINE: Duration = Duration::from_millis(250);
/// Every so often all are asked, though the leader answers: it may be cut off from the others, and replaced.
const ROUNDS_PER_SEARCH: u64 = 6;
/// Between two questions to the same member while no leader is known.
const SEARCH_INTERVAL: Duration = Duration::from_millis(30);

/// Addresses that are remembered though the leader does not name them.
const ADDRESSES_MAX: usize = 64;

/// What is known. `term` never falls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct View {
    pub term: Term,
    /// `None` before the first was found.
    pub leader: Option<NodeId>,
    /// What the leader had committed when it was last asked.
    pub committed: Lsn,
}

pub(super) struct LeaderWatch {
    pub view: watch::Receiver<View>,
    pub roster: Arc<Roster>,
    suspicion: Arc<Notify>,
    _task: AbortOnDropHandle<()>,
}

impl LeaderWatch {
    /// Starts to ask. Must be called within a tokio runtime.
    pub fn start(client: &RpcClient, seeds: &[SocketAddr], deadlines: Deadlines) -> LeaderWatch {
        let roster = Arc::new(Roster { client: client.clone(), deadlines, members: RwLock::default() });
        roster.members.write().extend(seeds.iter().map(|address| roster.member(*address, None)));
        let (sender, view) = watch::channel(View::default());
        let suspicion = Arc::new(Notify::new());
        let tracker = Tracker { roster: roster.clone(), sender, suspicion: suspicion.clone() };
        LeaderWatch { view, roster, suspicion, _task: AbortOnDropHandle::new(tokio::spawn(tracker.run())) }
    }

    /// A call went wrong: look again, now.
    pub fn suspect(&self) {
        self.suspicion.notify_one();
    }
}

/// The members, and seeds.
pub(super) struct Roster {
    client: RpcClient,
    deadlines: Deadlines,
    members: RwLock<Vec<Member>>,
}

#[derive(Clone)]
pub(super) struct Member {
    pub address: SocketAddr,
    /// Who answers there, once that is known.
    pub node: Option<NodeId>,
    /// False for one that the leader did not name.
    named: bool,
    pub client: Arc<WalClient>,
    /// The same connection, for questions that have to be answered at once.
    ping: Arc<WalClient>,
}

impl Member {
    pub async fn announce(&self, page_server: SocketAddr) -> Result<(), WalError> {
        self.ping.announce(page_server).await
    }

    pub async fn page_servers(&self) -> Result<Vec<SocketAddr>, WalError> {
        self.ping.page_servers().await
    }
}

impl Roster {
    /// The members, as the leader named them; the seeds before it did.
    pub fn members(&self) -> Vec<Member> {
        let all = self.all();
        let named: Vec<Member> = all.iter().filter(|member| member.named).cloned().collect();
        if named.is_empty() { all } else { named }
    }

    fn all(&self) -> Vec<Member> {
        self.members.read().clone()
    }

    pub fn client(&self, node: NodeId) -> Option<Arc<WalClient>> {
        self.members.read().iter().find(|member| member.node == Some(node)).map(|member| member.client.clone())
    }

    fn member(&self, address: SocketAddr, node: Option<NodeId>) -> Member {
        let peer = self.client.peer(address);
        let ping_deadlines = Deadlines { call: PING_DEADLINE, ..self.deadlines };
        let ping = Arc::new(WalClient::new(peer.clone(), ping_deadlines));
        Member { address, node, named: false, client: Arc::new(WalClient::new(peer, self.deadlines)), ping }
    }

    /// `node` has answered at `address`.
    fn identify(&self, address: SocketAddr, node: NodeId) {
        let mut members = self.members.write();
        for member in members.iter_mut() {
            if member.address == address {
                member.node = Some(node);
            } else if member.node == Some(node) {
                // It has moved.
                member.node = None;
            }
        }
    }

    /// Takes over what the leader says about the members. Those whose address it does not know stay as they were.
    fn learn(&self, named: &[MemberStatus]) {
        if named.is_empty() {
            return;
        }
        let mut members = self.members.write();
        for member in members.iter_mut() {
            member.named = named.iter().any(|named| Some(named.node) == member.node && named.address.is_empty());
        }
        for named in named {
            let Ok(address) = named.address.parse() else { continue };
            match members.iter_mut().find(|member| member.address == address) {
                Some(member) => (member.node, member.named) = (Some(named.node), true),
                None => {
                    tracing::info!(node = %named.node, %address, "a member of the log");
                    members.push(Member { named: true, ..self.member(address, Some(named.node)) });
                }
            }
        }
        if members.len() > ADDRESSES_MAX {
            members.retain(|member| member.named);
        }
    }

    /// Remembers whom another member than the leader knows: the leader may have taken somebody in, handed over to it and
    /// stopped before it was asked. They are asked, and believed when they answer.
    fn hear_of(&self, known: &[MemberStatus]) {
        let mut members = self.members.write();
        for known in known {
            let Ok(address) = known.address.parse() else { continue };
            if members.len() < ADDRESSES_MAX && members.iter().all(|member| member.address != address) {
                members.push(self.member(address, Some(known.node)));
            }
        }
    }
}

struct Tracker {
    roster: Arc<Roster>,
    sender: watch::Sender<View>,
    suspicion: Arc<Notify>,
}

impl Tracker {
    async fn run(self) {
        for round in 0u64.. {
            let view = *self.sender.borrow();
            let known = match view.leader {
                Some(node) if !round.is_multiple_of(ROUNDS_PER_SEARCH) => self.ask(node).await,
                _ => false,
            };
            if !known && !self.search().await {
                tokio::time::sleep(SEARCH_INTERVAL).await;
                continue;
            }
            tokio::select! {
                () = tokio::time::sleep(PING_INTERVAL) => {}
                // Not more often than this, whatever callers meet.
                () = async { self.suspicion.notified().await; tokio::time::sleep(SEARCH_INTERVAL / 3).await } => {}
            }
        }
    }

    /// Whether this member still says that it leads.
    async fn ask(&self, node: NodeId) -> bool {
        let Some(member) = self.roster.all().into_iter().find(|member| member.node == Some(node)) else {
            return false;
        };
        match member.ping.status().await {
            Ok(status) => self.learn(member.address, &status),
            Err(_) => false,
        }
    }

    /// Asks all, until one says that it leads in a term that was not known. True if one says that it leads at all.
    ///
    /// Members that answer are asked again while others are waited for: one of those that are dead must not keep from
    /// being seen whom the living elect.
    async fn search(&self) -> bool {
        async fn ask(member: &Member, wait: Duration) -> (&Member, Result<WalStatus, WalError>) {
            tokio::time::sleep(wait).await;
            (member, member.ping.status().await)
        }
        let known = self.sender.borrow().term;
        let members = self.roster.all();
        let mut asked: FuturesUnordered<_> = members.iter().map(|member| ask(member, Duration::ZERO)).collect();
        let mut found = false;
        let deadline = tokio::time::sleep(PING_DEADLINE);
        tokio::pin!(deadline);
        loop {
            let (member, answer) = tokio::select! {
                biased;
                answer = asked.next() => match answer {
                    Some(answer) => answer,
                    None => return found,
                },
                () = &mut deadline => return found,
            };
            let answered = answer.is_ok();
            found |= answer.is_ok_and(|status| self.learn(member.address, &status));
            if self.sender.borrow().term > known {
                return true;
            }
            if answered && !found {
                asked.push(ask(member, SEARCH_INTERVAL));
            }
        }
    }

    /// Takes over what a member says about itself. True if it leads.
    fn learn(&self, address: SocketAddr, status: &WalStatus) -> bool {
        let (view, node) = (*self.sender.borrow(), status.node);
        self.roster.identify(address, node);
        if status.leader != Some(node) || status.term < view.term {
            self.roster.hear_of(&status.members);
            return false;
        }
        self.roster.learn(&status.members);
        if (status.term, Some(node)) != (view.term, view.leader) {
            tracing::info!(%node, term = status.term.0, "the log's leader");
        }
        let now = View { term: status.term, leader: Some(node), committed: view.committed.max(status.committed) };
        self.sender.send_if_modified(|view| std::mem::replace(view, now) != now);
        true
    }
}
