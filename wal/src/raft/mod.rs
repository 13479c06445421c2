//! Consensus: one log on several nodes, by openraft. Nothing outside this folder sees openraft or its generics.
//!
//! ```text
//! service ── propose(Command, term) ──▶ RaftNode ──▶ openraft ──▶ log_store ──▶ segment
//!                                                       │ committed
//!                                                       ▼
//!                                       state_machine ──▶ Applied (history, ring, marks) ──▶ service, stream
//! ```
//!
//! Invariants
//! - A command is appended only in the term in which it was made, so a sequencer of an old term cannot write.
//! - Snapshots hold the history, never data: what they replace is in layers.

mod applied;
mod command;
mod log_store;
mod network;
mod node;
mod snapshot;
mod state_machine;

pub use applied::{Applied, AppliedMark};
pub use command::{Command, CommandKind};
pub use network::{PeerError, PeerTransport};
pub use node::{Leadership, ProposeError, RaftNode, RaftStartError};

openraft::declare_raft_types!(
    /// The types of our Raft: node ids are numbers, one leader per term, entries are [`Command`]s.
    pub TypeConfig:
        D = Command,
        R = (),
        NodeId = u64,
        Node = openraft::EmptyNode,
        LeaderId = openraft::impls::leader_id_std::LeaderId<u64, u64>,
);

type LeaderId = openraft::impls::leader_id_std::LeaderId<u64, u64>;
type CommittedLeaderId = <LeaderId as openraft::vote::RaftLeaderId>::Committed;
type LogId = openraft::LogId<CommittedLeaderId>;
type Vote = openraft::Vote<LeaderId>;
type Entry = openraft::Entry<CommittedLeaderId, openraft::EntryPayload<Command, u64, openraft::EmptyNode>>;
type StoredMembership = openraft::StoredMembership<CommittedLeaderId, u64, openraft::EmptyNode>;
type SnapshotMeta = openraft::SnapshotMeta<CommittedLeaderId, u64, openraft::EmptyNode>;
type Snapshot = openraft::Snapshot<CommittedLeaderId, u64, openraft::EmptyNode, bytes::Bytes>;
type Raft = openraft::Raft<TypeConfig, state_machine::StateMachine>;
