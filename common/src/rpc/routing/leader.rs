//! Who leads the log: one task that asks the members, the leader mostly, and all of them when it does not answer.
//!
//! A node is believed to lead only if it says so itself and no later term was seen. That may be out of date at any time,
//! which costs time and nothing else: what a former leader says is checked by the consensus, not here.

use super::NodeAddress;
use crate::id::{Lsn, NodeId, Term};
use crate::rpc::{Deadlines, RpcClient, WalClient};
use crate::service::WalService;
use crate::service::wal::{MemberStatus, WalStatus};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use parking_lot::RwLock;
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
/// Between two rounds of asking all.
const SEARCH_INTERVAL: Duration = Duration::from_millis(30);

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
    pub fn start(client: &RpcClient, members: &[NodeAddress], deadlines: Deadlines) -> LeaderWatch {
        let roster = Arc::new(Roster { client: client.clone(), deadlines, members: RwLock::default() });
        members.iter().for_each(|member| roster.add(*member));
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

/// The members: those named at the start, until the leader says who they are.
pub(super) struct Roster {
    client: RpcClient,
    deadlines: Deadlines,
    members: RwLock<Vec<Member>>,
}

#[derive(Clone)]
pub(super) struct Member {
    pub node: NodeAddress,
    pub client: Arc<WalClient>,
    /// The same connection, for questions that have to be answered at once.
    ping: Arc<WalClient>,
}

impl Roster {
    pub fn members(&self) -> Vec<Member> {
        self.members.read().clone()
    }

    pub fn client(&self, node: NodeId) -> Option<Arc<WalClient>> {
        self.members.read().iter().find(|member| member.node.node == node).map(|member| member.client.clone())
    }

    fn add(&self, node: NodeAddress) {
        let peer = self.client.peer(node.address);
        let ping_deadlines = Deadlines { call: PING_DEADLINE, ..self.deadlines };
        let ping = Arc::new(WalClient::new(peer.clone(), ping_deadlines));
        self.members.write().push(Member { node, client: Arc::new(WalClient::new(peer, self.deadlines)), ping });
    }

    /// Takes over what the leader says about the members. Those whose address it does not know stay as they were named.
    fn learn(&self, members: &[MemberStatus]) {
        if members.is_empty() {
            return;
        }
        self.members.write().retain(|known| members.iter().any(|member| member.node == known.node.node));
        for member in members {
            let Ok(address) = member.address.parse() else { continue };
            let node = NodeAddress { node: member.node, address };
            if self.members.read().iter().any(|known| known.node == node) {
                continue;
            }
            self.members.write().retain(|known| known.node.node != node.node);
            self.add(node);
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
        let Some(member) = self.roster.members().into_iter().find(|member| member.node.node == node) else {
            return false;
        };
        match member.ping.status().await {
            Ok(status) => self.learn(node, &status),
            Err(_) => false,
        }
    }

    /// Asks all, until one says that it leads in a term that was not known. True if one says that it leads at all.
    async fn search(&self) -> bool {
        let known = self.sender.borrow().term;
        let members = self.roster.members();
        let mut asked: FuturesUnordered<_> =
            members.iter().map(|member| async move { (member.node.node, member.ping.status().await) }).collect();
        let mut found = false;
        while let Some((node, answer)) = asked.next().await {
            found |= answer.is_ok_and(|status| self.learn(node, &status));
            if self.sender.borrow().term > known {
                // The others may be slow to answer, or dead.
                break;
            }
        }
        found
    }

    /// Takes over what a member says about itself. True if it leads.
    fn learn(&self, node: NodeId, status: &WalStatus) -> bool {
        let view = *self.sender.borrow();
        if status.leader != Some(node) || status.term < view.term {
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
