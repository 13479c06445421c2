//! What stands behind the log: a group of members with openraft, or this node alone.

use super::alone::Alone;
use super::applied::Applied;
use super::command::Command;
use super::network::{self, PeerTransport};
use super::node::{Leadership, Proposal, ProposeError, RaftNode, RaftStartError};
use crate::config::WalConfig;
use crate::segment::SegmentLog;
use bytes::Bytes;
use common::id::{NodeId, Term};
use common::service::wal::MemberStatus;
use std::sync::Arc;
use tokio::sync::watch;

pub enum Consensus {
    Group(RaftNode),
    Alone(Arc<Alone>),
}

impl Consensus {
    /// A node that is alone leads when this returns.
    pub async fn start(
        config: &WalConfig,
        log: SegmentLog,
        applied: Arc<Applied>,
        transport: Option<Arc<dyn PeerTransport>>,
    ) -> Result<Consensus, RaftStartError> {
        // One with an address is going to be a member of several.
        if config.members == [config.node] && config.address.is_empty() && transport.is_none() {
            return Ok(Consensus::Alone(Arc::new(Alone::start(config, log, applied).await?)));
        }
        Ok(Consensus::Group(RaftNode::start(config, log, applied, transport).await?))
    }

    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        match self {
            Consensus::Group(group) => group.leadership(),
            Consensus::Alone(alone) => alone.leadership(),
        }
    }

    /// Appends a command if this node leads in `term`; answers when it is committed and applied.
    pub async fn propose(&self, command: Command, term: Term) -> Result<(), ProposeError> {
        self.submit(command, term).await.await
    }

    /// As [`Consensus::propose`], for several that follow each other: the outer wait is until it has its place in the log.
    pub async fn submit(&self, command: Command, term: Term) -> Proposal {
        match self {
            Consensus::Group(group) => group.propose(command, term).await,
            Consensus::Alone(alone) => alone.submit(command, term),
        }
    }

    /// Makes sure that this node still leads, so that what it has applied is the newest there is.
    pub async fn confirm_leader(&self) -> Result<(), ProposeError> {
        match self {
            Consensus::Group(group) => group.confirm_leader().await,
            Consensus::Alone(_) => Ok(()),
        }
    }

    /// Members and learners, as far as this node knows.
    pub fn members(&self) -> Vec<MemberStatus> {
        match self {
            Consensus::Group(group) => group.members(),
            Consensus::Alone(alone) => {
                vec![MemberStatus { node: alone.node(), address: String::new(), votes: true }]
            }
        }
    }

    /// There are other members that vote.
    pub fn has_others(&self) -> bool {
        match self {
            Consensus::Group(group) => group.has_others(),
            Consensus::Alone(_) => false,
        }
    }

    pub async fn take_in(&self, node: NodeId, address: String, replaces: Option<String>) -> Result<(), ProposeError> {
        match self {
            Consensus::Group(group) => group.take_in(node, address, replaces).await,
            Consensus::Alone(_) => {
                Err(ProposeError::Unknown("this log runs with one member; it takes in no other".to_string()))
            }
        }
    }

    /// Drops entries up to this index, which has to be applied.
    pub async fn purge(&self, index: u64) -> Result<(), String> {
        match self {
            Consensus::Group(group) => group.purge(index).await,
            Consensus::Alone(alone) => alone.purge(index).await.map_err(|error| error.to_string()),
        }
    }

    /// Has another member stand for election, at each attempt another one.
    pub async fn step_aside(&self, attempt: usize) {
        if let Consensus::Group(group) = self {
            group.step_aside(attempt).await;
        }
    }

    /// Answers a request of another member.
    pub async fn handle_peer(&self, request: &[u8]) -> Bytes {
        match self {
            Consensus::Group(group) => group.handle_peer(request).await,
            Consensus::Alone(alone) => network::refuse(alone.node()),
        }
    }

    /// Before a clean stop: another voter leads from here on, if there is one that answers.
    pub async fn hand_over(&self) {
        if let Consensus::Group(group) = self {
            group.hand_over().await;
        }
    }

    pub async fn shutdown(&self) {
        match self {
            Consensus::Group(group) => group.shutdown().await,
            Consensus::Alone(alone) => alone.shutdown(),
        }
    }
}
