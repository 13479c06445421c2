//! A member of the log as another member calls it.

use super::message::Request;
use super::peer::{CallError, Peer};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MemberError {
    /// It did not get the request: no connection, or it refused.
    #[error("{0}")]
    Unreachable(String),
    /// It may have got the request.
    #[error("{0}")]
    Lost(String),
}

#[derive(Clone)]
pub struct MemberClient {
    peer: Arc<Peer>,
}

impl MemberClient {
    pub fn new(peer: Arc<Peer>) -> MemberClient {
        MemberClient { peer }
    }

    /// The answer to `request`, within the deadline.
    pub async fn call(&self, request: Bytes, deadline: Duration) -> Result<Bytes, MemberError> {
        self.peer.call_bytes(&Request::Peer(request), deadline).await.map_err(|error| match error {
            CallError::NotSent(reason) | CallError::TooLarge(reason) => MemberError::Unreachable(reason),
            CallError::Lost(reason) => MemberError::Lost(reason),
        })
    }
}
