//! Consensus: one log on several nodes, by openraft. Nothing outside this folder sees openraft or its generics.
//!
//! ```text
//! driver ── propose(Command, term) ──▶ RaftNode ──▶ openraft ──▶ log_store ──▶ segment
//!                                                       │ committed
//!                                                       ▼
//!                                       state_machine ──▶ Applied (history, ring, marks) ──▶ service, stream
//! ```
//!
//! A log with one member (`Alone`) needs no openraft: what is on its disk is committed, and its writer applies it. Its entries
//! are those that openraft would write.
//!
//! Invariants
//! - A command is appended only in the term in which it was made, so a sequencer of an old term cannot write.
//! - Snapshots hold the history, never data: what they replace is in layers.

mod alone;
mod applied;
mod command;
mod consensus;
pub mod fuzz;
mod log_store;
mod members;
mod network;
mod node;
mod snapshot;
mod state_machine;

pub use alone::Alone;
pub use applied::{Applied, AppliedMark};
pub use command::{Base, Command, CommandError, CommandKind, Founding};
pub use consensus::Consensus;
pub use network::{PeerError, PeerTransport};
pub use node::{Leadership, Proposal, ProposeError, RaftNode, RaftStartError};

openraft::declare_raft_types!(
    /// The types of our Raft: node ids are numbers, one leader per term, entries are [`Command`]s. Members are known with
    /// the address where they listen; empty where all are in one process.
    pub TypeConfig:
        D = Command,
        R = (),
        NodeId = u64,
        Node = openraft::BasicNode,
        LeaderId = openraft::impls::leader_id_std::LeaderId<u64, u64>,
);

type LeaderId = openraft::impls::leader_id_std::LeaderId<u64, u64>;
type CommittedLeaderId = <LeaderId as openraft::vote::RaftLeaderId>::Committed;
type LogId = openraft::LogId<CommittedLeaderId>;
type Vote = openraft::Vote<LeaderId>;
type Entry = openraft::Entry<CommittedLeaderId, openraft::EntryPayload<Command, u64, openraft::BasicNode>>;
type Membership = openraft::Membership<u64, openraft::BasicNode>;
type StoredMembership = openraft::StoredMembership<CommittedLeaderId, u64, openraft::BasicNode>;
type SnapshotMeta = openraft::SnapshotMeta<CommittedLeaderId, u64, openraft::BasicNode>;
type Snapshot = openraft::Snapshot<CommittedLeaderId, u64, openraft::BasicNode, bytes::Bytes>;
/// As memberships were written before the log knew addresses.
type OldMembership = openraft::Membership<u64, openraft::EmptyNode>;
type Raft = openraft::Raft<TypeConfig, state_machine::StateMachine>;
