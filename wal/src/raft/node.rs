//! This node as a member of the Raft group: start, propose, follow who leads, trim, stop.

use super::applied::Applied;
use super::command::Command;
use super::log_store::LogStore;
use super::network::{self, Network, PeerError, PeerTransport};
use super::state_machine::StateMachine;
use super::{Raft, TypeConfig};
use crate::config::WalConfig;
use crate::segment::SegmentLog;
use async_trait::async_trait;
use bytes::Bytes;
use common::env::planted::{Bug, planted};
use common::id::{NodeId, Term};
use common::service::wal::MemberStatus;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{ClientWriteError, LinearizableReadError, RaftError};
use openraft::impls::ProgressResponder;
use openraft::vote::RaftLeaderId;
use openraft::{BasicNode, Config, ReadPolicy, ServerState, SnapshotPolicy};
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Who leads, as far as this node knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Leadership {
    pub term: Term,
    pub leader: Option<NodeId>,
    /// This node leads in `term`.
    pub is_leader: bool,
    /// This node has stopped because of an error of its disk.
    pub stopped: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// Nothing was appended.
    #[error("this node does not lead in that term")]
    NotLeader(Option<NodeId>),
    /// It may be in the log or not.
    #[error("{0}")]
    Unknown(String),
}

#[derive(Debug, thiserror::Error)]
pub enum RaftStartError {
    #[error("start consensus: {0}")]
    Raft(String),
    #[error("this node did not become leader within {0:?}")]
    NoLeader(Duration),
    #[error("the log in this directory belongs to the nodes {0:?} together; start it as one of them")]
    OtherMembers(BTreeSet<u64>),
}

/// Consensus that is held up by its disk answers nothing: what it hears of others it writes down before it does anything else. So
/// long it is waited for where it has to say who leads;
const CONFIRM_WAIT_MAX: Duration = Duration::from_secs(2);
/// and so long until it has taken a batch, after which this node does not lead any more.
const PROPOSE_WAIT_MAX: Duration = Duration::from_secs(5);

/// The result of a proposal, once it is known.
pub type Proposal = std::pin::Pin<Box<dyn Future<Output = Result<(), ProposeError>> + Send>>;

pub struct RaftNode {
    pub(super) raft: Raft,
    pub(super) node: NodeId,
    leadership: watch::Receiver<Leadership>,
    leadership_task: JoinHandle<()>,
    alone: bool,
    appended: watch::Receiver<(u64, u64)>,
}

/// Stands in where there are no other members.
struct NoPeers;

#[async_trait]
impl PeerTransport for NoPeers {
    async fn call(&self, target: NodeId, _request: Bytes) -> Result<Bytes, PeerError> {
        Err(PeerError::Unreachable(target, "this node was started without a transport".to_string()))
    }
}

/// Longest wait of a single node to become its own leader: two syncs of its own disk.
const ALONE_LEADER_WAIT_MAX: Duration = Duration::from_secs(30);

impl RaftNode {
    /// Joins the group. A node that is alone leads when this returns.
    pub async fn start(
        config: &WalConfig,
        log: SegmentLog,
        applied: Arc<Applied>,
        transport: Option<Arc<dyn PeerTransport>>,
    ) -> Result<RaftNode, RaftStartError> {
        let raft_error = |error: &dyn std::fmt::Display| RaftStartError::Raft(error.to_string());
        let state_machine = StateMachine::new(applied, log.clone(), config.outcomes_max);
        let network = Network::new(transport.unwrap_or_else(|| Arc::new(NoPeers)));
        let settings = raft_config(config).validate().map_err(|error| raft_error(&error))?;
        let appending = Arc::new(watch::Sender::new((0, 0)));
        let appended = appending.subscribe();
        let raft = Raft::new(config.node.0, Arc::new(settings), network, LogStore::new(log, appending), state_machine)
            .await
            .map_err(|error| raft_error(&error))?;
        let (leadership, leadership_task) = follow_leadership(&raft, config.node);
        let alone = config.members.len() == 1;
        let node = RaftNode { raft, node: config.node, leadership, leadership_task, alone, appended };
        let initialized = node.raft.is_initialized().await.map_err(|error| raft_error(&error))?;
        if !initialized && config.members.iter().min() == Some(&config.node) {
            let address = |member: &NodeId| match *member == config.node {
                true => BasicNode::new(&config.address),
                false => BasicNode::default(),
            };
            let members: BTreeMap<u64, BasicNode> =
                config.members.iter().map(|member| (member.0, address(member))).collect();
            node.raft.initialize(members).await.map_err(|error| raft_error(&error))?;
        } else if alone {
            // Nobody else can lead, so there is nothing to wait for.
            node.raft.trigger().elect(false).await.map_err(|error| raft_error(&error))?;
        }
        if alone {
            let mut leadership = node.leadership.clone();
            tokio::time::timeout(ALONE_LEADER_WAIT_MAX, leadership.wait_for(|state| state.is_leader || state.stopped))
                .await
                .map_err(|_| RaftStartError::NoLeader(ALONE_LEADER_WAIT_MAX))?
                .map_err(|error| raft_error(&error))?;
        }
        Ok(node)
    }

    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.leadership.clone()
    }

    /// Appends a command if this node leads in `term`. The outer wait is short: until the command is in line.
    pub async fn propose(&self, command: Command, term: Term) -> Proposal {
        let (responder, receiver) = ProgressResponder::complete_only();
        let submitted = self.raft.write(command).with_leader(term.0).responder(responder).await;
        if let Err(error) = submitted {
            return Box::pin(std::future::ready(Err(ProposeError::Unknown(error.to_string()))));
        }
        Box::pin(async move {
            match receiver.await {
                Ok(Ok(_)) => Ok(()),
                Ok(Err(ClientWriteError::ForwardToLeader(forward))) => {
                    Err(ProposeError::NotLeader(forward.leader_id.map(NodeId)))
                }
                Ok(Err(error)) => Err(ProposeError::Unknown(error.to_string())),
                Err(_) => Err(ProposeError::Unknown("this node stopped".to_string())),
            }
        })
    }

    /// As [`RaftNode::propose`], for a batch that others follow: answers when it is in this node's log, on disk or not, and
    /// what comes after it may be proposed. `Err`: it is not, and nothing may follow it in this term. A leader that was
    /// not heard for a while refuses proposals and takes later ones again, so the order of proposals alone says nothing.
    pub async fn propose_batch(&self, command: Command, term: Term) -> Result<Proposal, ProposeError> {
        let (lsn, mut appended) = (command.last_lsn().0, self.appended.clone());
        let mut proposal = self.propose(command, term).await;
        tokio::select! {
            biased;
            result = &mut proposal => result.map(|()| -> Proposal { Box::pin(std::future::ready(Ok(()))) }),
            reached = appended.wait_for(|(in_term, up_to)| *in_term == term.0 && *up_to >= lsn) => match reached {
                Ok(_) => Ok(proposal),
                Err(_) => Err(ProposeError::Unknown("this node stopped".to_string())),
            },
            // One that is alone is replaced by nobody.
            () = tokio::time::sleep(PROPOSE_WAIT_MAX), if !self.alone => Err(held_up()),
        }
    }

    /// Makes sure that this node still leads, so that what it has applied is the newest there is.
    pub async fn confirm_leader(&self) -> Result<(), ProposeError> {
        if self.alone || planted(Bug::StaleLease) {
            return Ok(());
        }
        let confirmed = self.raft.ensure_linearizable(ReadPolicy::ReadIndex);
        match tokio::time::timeout(CONFIRM_WAIT_MAX, confirmed).await.map_err(|_| held_up())? {
            Ok(_) => Ok(()),
            Err(RaftError::APIError(error)) => {
                let leader = match error {
                    LinearizableReadError::ForwardToLeader(forward) => forward.leader_id,
                    LinearizableReadError::QuorumNotEnough(_) => None,
                };
                Err(ProposeError::NotLeader(leader.map(NodeId)))
            }
            Err(RaftError::Fatal(error)) => Err(ProposeError::Unknown(error.to_string())),
        }
    }

    /// Members and learners, as far as this node knows.
    pub fn members(&self) -> Vec<MemberStatus> {
        let membership = self.raft.metrics().borrow_watched().membership_config.clone();
        let voters: Vec<u64> = membership.voter_ids().collect();
        let status = |node: u64, address: &str| MemberStatus {
            node: NodeId(node),
            address: address.to_owned(),
            votes: voters.contains(&node),
        };
        membership.nodes().map(|(node, known)| status(*node, &known.addr)).collect()
    }

    /// There are other members that vote.
    pub fn has_others(&self) -> bool {
        self.members().iter().any(|member| member.votes && member.node != self.node)
    }

    /// Drops entries up to this index, which has to be applied: first a snapshot, then the purge.
    pub async fn purge(&self, index: u64) -> Result<(), String> {
        let covered = |metrics: &openraft::RaftMetrics<TypeConfig>| {
            metrics.snapshot.is_some_and(|snapshot| snapshot.index() >= index)
        };
        if !covered(&self.raft.metrics().borrow_watched()) {
            self.raft.trigger().snapshot().await.map_err(|error| error.to_string())?;
            let limit = Some(Duration::from_secs(60));
            self.raft.wait(limit).metrics(covered, "snapshot").await.map_err(|error| error.to_string())?;
        }
        self.raft.trigger().purge_log(index).await.map_err(|error| error.to_string())
    }

    /// Has another member stand for election, at each attempt another one. It wins if it has the whole log and is heard.
    pub async fn step_aside(&self, attempt: usize) {
        let members = self.members();
        let others: Vec<&MemberStatus> =
            members.iter().filter(|member| member.votes && member.node != self.node).collect();
        let Some(next) = others.get(attempt % others.len().max(1)) else { return };
        tracing::warn!(member = %next.node, "this node leads and cannot serve; another one shall lead");
        if let Err(error) = self.raft.trigger().transfer_leader(next.node.0).await {
            tracing::warn!(%error, "consensus has stopped");
        }
    }

    /// Answers a request of another member.
    pub async fn handle_peer(&self, request: &[u8]) -> Bytes {
        network::handle(&self.raft, self.node, request).await
    }

    pub async fn shutdown(&self) {
        if let Err(error) = self.raft.shutdown().await {
            tracing::warn!(%error, "consensus did not stop cleanly");
        }
        self.leadership_task.abort();
    }
}

fn held_up() -> ProposeError {
    ProposeError::Unknown("consensus on this node does not answer; its disk may be stuck".to_string())
}

fn raft_config(config: &WalConfig) -> Config {
    let election_ms = u64::try_from(config.election_timeout.as_millis()).unwrap_or(u64::MAX / 4);
    Config {
        cluster_name: "drumlin".to_string(),
        // The consensus waits for the larger of these, which is the lease of the leader, and then for a time between them.
        election_timeout_min: election_ms * 3 / 5,
        election_timeout_max: election_ms,
        heartbeat_interval: election_ms / 5,
        install_snapshot_timeout: 10_000,
        max_payload_entries: 64,
        // Snapshots hold no data: they help a follower only where the entries are gone.
        replication_lag_threshold: 1 << 40,
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: u64::MAX,
        enable_pre_vote: Some(true),
        // A member whose disk was replaced rejoins with an empty log. It counts as failed until it has caught up: with
        // it, at most a minority may be.
        // Those who are named by the log alone come back under a new identity instead.
        allow_log_reversion: Some(!config.members.is_empty()),
        // A restarted leader stands for election, so that each leader has a term of its own.
        enable_leader_restore: Some(false),
        ..Config::default()
    }
}

fn follow_leadership(raft: &Raft, node: NodeId) -> (watch::Receiver<Leadership>, JoinHandle<()>) {
    let mut metrics = raft.metrics();
    let (sender, receiver) = watch::channel(Leadership::default());
    let task = tokio::spawn(async move {
        loop {
            let now = {
                let metrics = metrics.borrow_watched();
                Leadership {
                    term: Term(metrics.vote.leader_id.term()),
                    leader: metrics.current_leader.map(NodeId),
                    is_leader: metrics.state == ServerState::Leader && metrics.current_leader == Some(node.0),
                    stopped: metrics.running_state.is_err(),
                }
            };
            sender.send_if_modified(|state| std::mem::replace(state, now) != now);
            if metrics.changed().await.is_err() {
                sender.send_modify(|state| *state = Leadership { is_leader: false, stopped: true, ..*state });
                return;
            }
        }
    });
    (receiver, task)
}
