//! The new node's side: a key of its own, the question, and the files that make it one of the cluster.

use super::{Admitted, DESK_NAME, JoinToken, MESSAGE_BYTES_MAX, Refusal, Request, WITHIN, pinned, proof_of};
use crate::env::Random;
use crate::id::NodeId;
use crate::rpc::frame::{self, FrameReader};
use crate::rpc::{Identity, NodeRole, RpcError, tls};
use rcgen::{KeyPair, PublicKeyData, SigningKey};
use std::net::SocketAddr;
use std::path::Path;
use tokio::time::timeout;

#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// Nothing was asked.
    #[error("{0} holds a certificate already; start the node with it, or choose an empty directory")]
    Taken(String),
    #[error(transparent)]
    Files(#[from] RpcError),
    #[error("{desk}: {reason}; is `drumlin cluster admit` running there, and is the token of that cluster?")]
    Unreached { desk: SocketAddr, reason: String },
    #[error(
        "{desk} has another authority than the token says: the token is of another cluster, or was made before \
         `drumlin cluster rotate`, or somebody stands in between; it was not shown"
    )]
    Stranger { desk: SocketAddr },
    #[error("{desk}: {refusal}")]
    Refused { desk: SocketAddr, refusal: Refusal },
}

/// Gets a certificate from the desk and puts it into `directory`, with its key and whom to believe. The token is shown
/// only once it is certain that the files can be written.
pub async fn join(
    desk: SocketAddr,
    token: &JoinToken,
    directory: &Path,
    random: &Random,
) -> Result<(NodeId, NodeRole), JoinError> {
    if tls::has_identity(directory) {
        return Err(JoinError::Taken(directory.display().to_string()));
    }
    let broken = |error: &dyn std::fmt::Display| RpcError::Tls(error.to_string());
    let key = KeyPair::generate().map_err(|error| broken(&error))?;
    tls::prepare(directory, random)?;
    let public_key = key.der_bytes().to_vec();
    let proof = key.sign(&proof_of(&public_key)).map_err(|error| broken(&error))?;
    let request = Request { token: token.clone(), public_key, proof };
    let admitted = timeout(WITHIN, ask(desk, &request)).await;
    let admitted = admitted.map_err(|_| JoinError::Unreached { desk, reason: "no answer in time".to_owned() })??;
    let admitted = admitted.map_err(|refusal| JoinError::Refused { desk, refusal })?;
    tls::receive(directory, &admitted.authority, &admitted.certificate, &key)?;
    // What was written is what a node will read.
    Identity::load(directory)?;
    Ok((admitted.node, admitted.role))
}

async fn ask(desk: SocketAddr, request: &Request) -> Result<Result<Admitted, Refusal>, JoinError> {
    let unreached = |reason: String| JoinError::Unreached { desk, reason };
    let lost = |error: &dyn std::fmt::Display| unreached(error.to_string());
    let local = SocketAddr::new(if desk.is_ipv4() { [0u8; 4].into() } else { [0u16; 8].into() }, 0);
    let endpoint = quinn::Endpoint::client(local).map_err(|error| lost(&error))?;
    let config = pinned::client_config(request.token.authority)?;
    let connecting = endpoint.connect_with(config, desk, DESK_NAME).map_err(|error| lost(&error))?;
    let connection = connecting.await.map_err(|error| match &error {
        // Ours: the verifier says so.
        quinn::ConnectionError::TransportError(failed) if failed.reason.contains("UnknownIssuer") => {
            JoinError::Stranger { desk }
        }
        _ => lost(&error),
    })?;
    let (mut send, receive) = connection.open_bi().await.map_err(|error| lost(&error))?;
    let message = frame::encode(&[], request, MESSAGE_BYTES_MAX).map_err(|error| lost(&error))?;
    send.write_all(&message).await.map_err(|error| lost(&error))?;
    let answer = FrameReader::new(receive, MESSAGE_BYTES_MAX).next().await.map_err(|error| lost(&error))?;
    connection.close(quinn::VarInt::from_u32(0), b"done");
    endpoint.wait_idle().await;
    frame::decode(&answer.unwrap_or_default()).map_err(|error| lost(&error))
}
