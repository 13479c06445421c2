//! Carries the messages between members over QUIC: one connection for each, to where the log says that it listens.

use crate::raft::{PeerError, PeerTransport};
use async_trait::async_trait;
use bytes::Bytes;
use common::id::NodeId;
use common::rpc::{MemberClient, MemberError, RpcClient};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Longer than any wait of the consensus, which gives up earlier by itself.
const DEADLINE: Duration = Duration::from_secs(15);

pub struct RpcPeers {
    client: RpcClient,
    /// Where each member was last said to listen.
    members: Mutex<HashMap<NodeId, (SocketAddr, MemberClient)>>,
}

impl RpcPeers {
    pub fn new(client: RpcClient) -> RpcPeers {
        RpcPeers { client, members: Mutex::default() }
    }
}

#[async_trait]
impl PeerTransport for RpcPeers {
    async fn call(&self, target: NodeId, request: Bytes) -> Result<Bytes, PeerError> {
        let member = self.members.lock().unwrap_or_else(PoisonError::into_inner).get(&target).cloned();
        let Some((_, member)) = member else {
            return Err(PeerError::Unreachable(target, "the log does not say where it listens".to_owned()));
        };
        member.call(request, DEADLINE).await.map_err(|error| match error {
            MemberError::Unreachable(reason) => PeerError::Unreachable(target, reason),
            MemberError::Lost(reason) => PeerError::Failed(target, reason),
        })
    }

    fn learn_address(&self, target: NodeId, address: &str) {
        let Ok(address) = address.parse::<SocketAddr>() else { return };
        let mut members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        if members.get(&target).is_none_or(|(known, _)| *known != address) {
            members.insert(target, (address, MemberClient::new(self.client.peer(address))));
        }
    }
}
