//! Who belongs to the log, as the leader changes it: new members learn first and vote then, and a leader that stops hands
//! over.
//!
//! A change of voters goes through a joint configuration of old and new (openraft's), so that at no point two majorities
//! exist that do not know of each other. The steps may be asked for again and again: each is skipped where it is done.

use super::TypeConfig;
use super::node::{ProposeError, RaftNode};
use common::id::NodeId;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{ClientWriteError, RaftError};
use openraft::{BasicNode, ChangeMembers, RaftMetrics, ServerState};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A new member that is not this close to the end of the log does not vote yet, or commits would wait for it.
const LAG_MAX: u64 = 64;
/// How long one request waits for a new member to learn the log; then it is asked again.
const LEARN_WAIT: Duration = Duration::from_secs(5);
/// How long a leader that stops waits for its successor: an election without its timeout.
const HAND_OVER_WAIT: Duration = Duration::from_secs(3);

type Metrics = RaftMetrics<TypeConfig>;

impl RaftNode {
    /// Makes `node` a voter, and removes the members that listened at its address or at `replaces` before. Only at the
    /// leader.
    pub async fn take_in(&self, node: NodeId, address: String, replaces: Option<String>) -> Result<(), ProposeError> {
        let known = self.members();
        let is_gone = |other: &str| !other.is_empty() && (other == address || Some(other) == replaces.as_deref());
        let gone: BTreeSet<u64> = known
            .iter()
            .filter(|member| member.node != node && is_gone(&member.address))
            .map(|member| member.node.0)
            .collect();
        let own = known.iter().find(|member| member.node == node);
        if gone.is_empty() && own.is_some_and(|own| own.votes && own.address == address) {
            return Ok(());
        }
        if own.is_some_and(|own| own.address != address) {
            return Err(ProposeError::Unknown(format!(
                "node {node} is known at another address; start it there, or with an empty directory"
            )));
        }
        if own.is_none() {
            // Learners at the same address are nobody any more: the port has one owner.
            self.remove_learners(&gone).await?;
            let learner = BasicNode::new(&address);
            self.raft.add_learner(node.0, learner, false).await.map_err(refused)?;
            tracing::info!(%node, address, "a new member learns the log");
        }
        if own.is_none_or(|own| !own.votes) {
            self.wait_learned(node).await?;
        }
        let mut voters: BTreeSet<u64> =
            self.members().iter().filter(|member| member.votes).map(|member| member.node.0).collect();
        voters.insert(node.0);
        voters.retain(|voter| !gone.contains(voter));
        self.raft.change_membership(ChangeMembers::ReplaceAllVoters(voters), false).await.map_err(refused)?;
        tracing::info!(%node, ?gone, "the new member votes");
        Ok(())
    }

    async fn remove_learners(&self, gone: &BTreeSet<u64>) -> Result<(), ProposeError> {
        let is_learner = |node: &u64| self.members().iter().any(|member| member.node.0 == *node && !member.votes);
        let learners: BTreeSet<u64> = gone.iter().copied().filter(is_learner).collect();
        if !learners.is_empty() {
            self.raft.change_membership(ChangeMembers::RemoveNodes(learners), false).await.map_err(refused)?;
        }
        Ok(())
    }

    async fn wait_learned(&self, node: NodeId) -> Result<(), ProposeError> {
        let learned = |metrics: &Metrics| {
            let matched = metrics.replication.as_ref().and_then(|all| *all.get(&node.0)?).map(|log_id| log_id.index());
            matched.is_some_and(|matched| matched.saturating_add(LAG_MAX) >= metrics.last_log_index.unwrap_or(0))
        };
        let waited = self.raft.wait(Some(LEARN_WAIT)).metrics(learned, "a new member learns the log").await;
        waited.map(drop).map_err(|_| ProposeError::Unknown(format!("node {node} is still learning the log")))
    }

    /// Before a clean stop: another voter leads from here on, if there is one that answers.
    pub async fn hand_over(&self) {
        let Some(successor) = self.successor() else { return };
        tracing::info!(node = successor, "handing over the lead");
        let replaced = |metrics: &Metrics| metrics.state != ServerState::Leader;
        let asked = self.raft.trigger().transfer_leader(successor).await;
        let waited = self.raft.wait(Some(HAND_OVER_WAIT)).metrics(replaced, "another member leads").await;
        if asked.is_err() || waited.is_err() {
            tracing::warn!(node = successor, "it did not take the lead in time; the others will elect");
        }
    }

    /// The other voter that has most of the log. `None` where this node does not lead, or is alone.
    fn successor(&self) -> Option<u64> {
        let metrics = self.raft.metrics().borrow_watched().clone();
        if metrics.state != ServerState::Leader {
            return None;
        }
        let voters: BTreeSet<u64> = metrics.membership_config.voter_ids().collect();
        let replication: BTreeMap<u64, u64> = metrics
            .replication?
            .into_iter()
            .filter(|(node, _)| *node != self.node.0 && voters.contains(node))
            .map(|(node, matched)| (node, matched.map_or(0, |log_id| log_id.index())))
            .collect();
        replication.into_iter().max_by_key(|(_, matched)| *matched).map(|(node, _)| node)
    }
}

fn refused(error: RaftError<TypeConfig, ClientWriteError<TypeConfig>>) -> ProposeError {
    match error {
        RaftError::APIError(ClientWriteError::ForwardToLeader(forward)) => {
            ProposeError::NotLeader(forward.leader_id.map(NodeId))
        }
        error => ProposeError::Unknown(error.to_string()),
    }
}
