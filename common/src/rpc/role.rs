//! What a node of a cluster does, as far as its certificate may say.

use super::message::Request;
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

    /// Whether a node of this role has a reason to ask that: who is a member of the log, and what the log may forget, is
    /// for the members and the page servers to say.
    pub(super) fn may_ask(self, request: &Request) -> bool {
        match request {
            Request::Peer(_) | Request::ChangeMembers(_) => self == NodeRole::Wal,
            Request::Announce(_) | Request::ReportDurable { .. } => self == NodeRole::Pageserver,
            _ => true,
        }
    }
}

impl fmt::Display for NodeRole {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
