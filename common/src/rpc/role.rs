//! What a node of a cluster does, as far as its certificate may say: what it may ask, and what it is asked.

use super::message::{Request, StreamRequest};
use crate::cluster_map::{MAP_KEY, OWNER_KEY};
use crate::service::wal::CommitRequest;
use serde::{Deserialize, Serialize};
use std::fmt;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeRole {
    Wal,
    Pageserver,
    Compute,
}

impl NodeRole {
    pub(super) const ALL: [NodeRole; 3] = [NodeRole::Wal, NodeRole::Pageserver, NodeRole::Compute];

    pub fn name(self) -> &'static str {
        match self {
            NodeRole::Wal => "wal",
            NodeRole::Pageserver => "pageserver",
            NodeRole::Compute => "compute",
        }
    }

    /// Whether a node of this role has a reason to ask that. Who is a member of the log is for the members to say, what the
    /// log may forget for the page servers, and data are read, locked and written for clients by computes. Page servers change the
    /// map and claim what they own.
    pub(super) fn may_ask(self, request: &Request) -> bool {
        use NodeRole::{Compute, Pageserver, Wal};
        match request {
            Request::Peer(_) | Request::ChangeMembers(_) => self == Wal,
            Request::Announce(_) | Request::ReportDurable { .. } | Request::ReportPressure(_) => self == Pageserver,
            Request::Lock(_)
            | Request::Unlock(_)
            | Request::UnlockKeys { .. }
            | Request::Locks
            | Request::LatestDeadlock
            | Request::Holds(_)
            | Request::WaitDurable(_)
            | Request::Allocate(_)
            | Request::ReportSnapshots(_)
            | Request::Get(_)
            | Request::Estimate(_)
            | Request::Figures(_)
            | Request::Flush
            | Request::BulkWrite(_)
            | Request::BulkFinish(_) => self == Compute,
            Request::Commit(request) => self == Compute || (self == Pageserver && is_about_placement(request)),
            Request::Outcome(_) => self != Wal,
            Request::NewestVersions { .. } => self != Pageserver,
            Request::ReadLsn
            | Request::WalStatus
            | Request::PageServers
            | Request::OldestSnapshot
            | Request::Pressure
            | Request::PageStatus => true,
        }
    }

    /// The same for calls that are answered by a stream.
    pub(super) fn may_stream(self, request: &StreamRequest) -> bool {
        match request {
            StreamRequest::Subscribe(_) => true,
            StreamRequest::Scan(_) => self == NodeRole::Compute,
        }
    }
}

/// The map and the owner of tablets are all that it writes.
fn is_about_placement(request: &CommitRequest) -> bool {
    let keys = request.writes.iter().map(|write| &write.mutation.key);
    keys.into_iter().all(|key| [MAP_KEY, OWNER_KEY].contains(key)) && request.counters.is_empty()
}

impl Request {
    /// The role of who answers it.
    pub(super) fn answered_by(&self) -> NodeRole {
        match self {
            Request::Get(_)
            | Request::NewestVersions { .. }
            | Request::Estimate(_)
            | Request::Figures(_)
            | Request::Flush
            | Request::BulkWrite(_)
            | Request::BulkFinish(_)
            | Request::PageStatus => NodeRole::Pageserver,
            _ => NodeRole::Wal,
        }
    }
}

impl StreamRequest {
    pub(super) fn answered_by(&self) -> NodeRole {
        match self {
            StreamRequest::Subscribe(_) => NodeRole::Wal,
            StreamRequest::Scan(_) => NodeRole::Pageserver,
        }
    }
}

impl fmt::Display for NodeRole {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
