//! What members of the log offer each other. The content of both messages is the consensus' own; nobody between reads it.

use async_trait::async_trait;
use bytes::Bytes;

#[async_trait]
pub trait PeerService: Send + Sync {
    /// Answers a request of another member. A request that makes no sense is answered by saying so.
    async fn handle(&self, request: Bytes) -> Bytes;
}
