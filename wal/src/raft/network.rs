//! Messages between members, over a transport that somebody else provides: one request, one answer, bytes.

use super::{Raft, SnapshotMeta, TypeConfig, Vote};
use async_trait::async_trait;
use bytes::Bytes;
use common::id::NodeId;
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{Backoff, RPCOption, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest, TransferLeaderResponse,
    VoteRequest, VoteResponse,
};
use openraft::{BasicNode, OptionalSend};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// An append takes as long as the other side's disk does. Giving up earlier only sends the same entries again.
const APPEND_LIMIT: Duration = Duration::from_secs(2);
/// Before a member that did not answer is tried again.
const BACKOFF: Duration = Duration::from_millis(50);

/// Carries requests to other members. The other side hands them to `WalNode::handle_peer`.
#[async_trait]
pub trait PeerTransport: Send + Sync + 'static {
    /// The answer of `target` to `request`. Gives up by itself when the peer is silent for long.
    async fn call(&self, target: NodeId, request: Bytes) -> Result<Bytes, PeerError>;

    /// The log says where a member listens; nothing where it does not say so. Comes before the first call.
    fn learn_address(&self, _target: NodeId, _address: &str) {}
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// No connection; do not hurry to try again.
    #[error("node {0} cannot be reached: {1}")]
    Unreachable(NodeId, String),
    /// The connection broke, or the answer makes no sense; try again.
    #[error("exchange with node {0} failed: {1}")]
    Failed(NodeId, String),
}

#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
enum PeerRequest {
    Append(AppendEntriesRequest<TypeConfig>),
    Vote(VoteRequest<TypeConfig>),
    PreVote(VoteRequest<TypeConfig>),
    Snapshot { vote: Vote, meta: SnapshotMeta, state: Bytes },
    TransferLeader(TransferLeaderRequest<TypeConfig>),
}

/// What a member answers: the encoded response, or why there is none.
type PeerAnswer<T> = Result<T, String>;

fn encode<T: Serialize, E: ToString>(answer: Result<T, E>) -> Bytes {
    let answer: PeerAnswer<T> = answer.map_err(|error| error.to_string());
    // Nothing in an answer can fail to encode; an empty one is an error at the other side.
    postcard::to_stdvec(&answer).map(Bytes::from).unwrap_or_default()
}

/// What one hears who takes this node for a member of a group, and it is alone.
pub fn refuse(own: NodeId) -> Bytes {
    encode(Err::<(), _>(format!("node {own} is the only member of its log")))
}

/// Handles a request of another member.
///
/// Each names whom it is for: where a disk was replaced, another member listens at the same address, and must not answer
/// for the one before it.
pub async fn handle(raft: &Raft, own: NodeId, request: &[u8]) -> Bytes {
    let request = postcard::from_bytes(request).map(
        |(target, request): (u64, PeerRequest)| {
            if target == own.0 { Ok(request) } else { Err(target) }
        },
    );
    let request = match request {
        Ok(Ok(request)) => Ok(request),
        Ok(Err(target)) => return encode(Err::<(), _>(format!("node {own} listens here, not {target}"))),
        Err(error) => Err(error),
    };
    match request {
        Ok(PeerRequest::Append(request)) => encode(raft.append_entries(request).await),
        Ok(PeerRequest::Vote(request)) => encode(raft.vote(request).await),
        Ok(PeerRequest::PreVote(request)) => encode(raft.pre_vote(request).await),
        Ok(PeerRequest::Snapshot { vote, meta, state }) => {
            let snapshot = super::Snapshot { meta, snapshot: state };
            encode(raft.install_full_snapshot(vote, snapshot).await)
        }
        Ok(PeerRequest::TransferLeader(request)) => encode(raft.handle_transfer_leader(request).await),
        Err(error) => encode(Err::<(), _>(format!("the request cannot be read: {error}"))),
    }
}

/// Makes clients for members.
pub struct Network {
    transport: Arc<dyn PeerTransport>,
}

impl Network {
    pub fn new(transport: Arc<dyn PeerTransport>) -> Network {
        Network { transport }
    }
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = Peer;

    async fn new_client(&mut self, target: u64, node: &BasicNode) -> Peer {
        self.transport.learn_address(NodeId(target), &node.addr);
        Peer { target: NodeId(target), transport: self.transport.clone() }
    }
}

/// One other member.
pub struct Peer {
    target: NodeId,
    transport: Arc<dyn PeerTransport>,
}

impl Peer {
    async fn call<T: DeserializeOwned>(&self, request: &PeerRequest, limit: Duration) -> Result<T, PeerError> {
        let failed = |reason: String| PeerError::Failed(self.target, reason);
        let request = postcard::to_stdvec(&(self.target.0, request)).map_err(|error| failed(error.to_string()))?;
        let answer = tokio::time::timeout(limit, self.transport.call(self.target, request.into()))
            .await
            .map_err(|_| PeerError::Unreachable(self.target, format!("no answer within {limit:?}")))??;
        let answer: PeerAnswer<T> = postcard::from_bytes(&answer).map_err(|error| failed(error.to_string()))?;
        // A member that has stopped, or another one at its address: asking again at once would be no use.
        answer.map_err(|reason| PeerError::Unreachable(self.target, reason))
    }
}

fn rpc_error(error: PeerError) -> RPCError<TypeConfig> {
    match error {
        PeerError::Unreachable(..) => RPCError::Unreachable(Unreachable::new(&error)),
        PeerError::Failed(..) => RPCError::Network(NetworkError::new(&error)),
    }
}

impl RaftNetworkV2<TypeConfig> for Peer {
    type SnapshotData = Bytes;

    fn backoff(&self) -> Option<Backoff> {
        Some(Backoff::new(std::iter::repeat(BACKOFF)))
    }

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.call(&PeerRequest::Append(request), option.hard_ttl().max(APPEND_LIMIT)).await.map_err(rpc_error)
    }

    async fn vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.call(&PeerRequest::Vote(request), option.hard_ttl()).await.map_err(rpc_error)
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.call(&PeerRequest::PreVote(request), option.hard_ttl()).await.map_err(rpc_error)
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: super::Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let request = PeerRequest::Snapshot { vote, meta: snapshot.meta, state: snapshot.snapshot };
        tokio::select! {
            answer = self.call(&request, option.hard_ttl()) => answer.map_err(|error| match error {
                PeerError::Unreachable(..) => StreamingError::Unreachable(Unreachable::new(&error)),
                PeerError::Failed(..) => StreamingError::Network(NetworkError::new(&error)),
            }),
            closed = cancel => Err(StreamingError::Closed(closed)),
        }
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.call(&PeerRequest::TransferLeader(request), option.hard_ttl()).await.map_err(rpc_error)
    }
}
