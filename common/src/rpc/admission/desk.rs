//! The desk: answers nodes that show a token. It decides nothing about tokens; who runs it does.

use super::{Admitted, DESK_NAME, JoinToken, MESSAGE_BYTES_MAX, PROTOCOL, Refusal, Request, WITHIN, proof_of};
use crate::env::Random;
use crate::id::NodeId;
use crate::rpc::frame::{self, FrameError, FrameReader};
use crate::rpc::tls::{ClusterAuthority, provider, tls_error};
use crate::rpc::{NodeRole, RpcError};
use quinn::crypto::rustls::QuicServerConfig;
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

/// Nodes that are answered at the same time; more are refused, and ask again.
const AT_ONCE: usize = 32;

/// What has to be known to let a node in.
pub struct Admission {
    pub role: NodeRole,
    pub authority: ClusterAuthority,
}

/// Takes one use of the token, and writes that down before it returns.
pub type Admit = Arc<dyn Fn(&JoinToken) -> Result<Admission, Refusal> + Send + Sync>;

/// Nodes that come with a token are answered until [`AdmissionDesk::shutdown`].
pub struct AdmissionDesk {
    endpoint: quinn::Endpoint,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl AdmissionDesk {
    /// Must be called within a tokio runtime. Shows a certificate of this authority.
    pub fn open(listen: SocketAddr, authority: &ClusterAuthority, admit: Admit) -> Result<AdmissionDesk, RpcError> {
        let endpoint = quinn::Endpoint::server(server_config(authority)?, listen)
            .map_err(|source| RpcError::Listen { address: listen, source })?;
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        tasks.spawn(accept(endpoint.clone(), admit, stop.clone(), tasks.clone()));
        Ok(AdmissionDesk { endpoint, stop, tasks })
    }

    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.endpoint.local_addr()
    }

    /// From now on, shows a certificate of this authority.
    pub fn renew(&self, authority: &ClusterAuthority) -> Result<(), RpcError> {
        self.endpoint.set_server_config(Some(server_config(authority)?));
        Ok(())
    }

    /// Nobody is let in any more; who is being answered is, within `grace`.
    pub async fn shutdown(&self, grace: Duration) {
        self.stop.cancel();
        self.tasks.close();
        let _ = tokio::time::timeout(grace, self.tasks.wait()).await;
        self.endpoint.close(quinn::VarInt::from_u32(0), b"stopped");
        let _ = tokio::time::timeout(grace, self.endpoint.wait_idle()).await;
    }
}

/// With a key and a certificate for this process alone.
fn server_config(authority: &ClusterAuthority) -> Result<quinn::ServerConfig, RpcError> {
    let (certificates, key) = authority.server_certificate(DESK_NAME)?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let mut config = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(tls_error)?
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .map_err(tls_error)?;
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    let crypto = QuicServerConfig::try_from(config).map_err(|error| RpcError::Tls(error.to_string()))?;
    Ok(quinn::ServerConfig::with_crypto(Arc::new(crypto)))
}

async fn accept(endpoint: quinn::Endpoint, admit: Admit, stop: CancellationToken, tasks: TaskTracker) {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        let incoming = tokio::select! {
            () = stop.cancelled() => return,
            incoming = endpoint.accept() => incoming,
        };
        let Some(incoming) = incoming else { return };
        let Ok(place) = places.clone().try_acquire_owned() else {
            incoming.refuse();
            continue;
        };
        let admit = admit.clone();
        tasks.spawn(async move {
            let peer = incoming.remote_address();
            match tokio::time::timeout(WITHIN, answer(incoming, &admit)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => debug!(%peer, error, "nothing was asked"),
                Err(_) => debug!(%peer, "it took too long"),
            }
            drop(place);
        });
    }
}

async fn answer(incoming: quinn::Incoming, admit: &Admit) -> Result<(), String> {
    let peer = incoming.remote_address();
    let lost = |error: &dyn std::fmt::Display| error.to_string();
    let connection = incoming.await.map_err(|error| lost(&error))?;
    let (mut send, receive) = connection.accept_bi().await.map_err(|error| lost(&error))?;
    let request = FrameReader::new(receive, MESSAGE_BYTES_MAX).next().await.map_err(|error| lost(&error))?;
    let decoded =
        request.ok_or(FrameError::Malformed("it is empty".to_owned())).and_then(|bytes| frame::decode(&bytes));
    let request: Request = decoded.map_err(|error| lost(&error))?;
    let id = request.token.id();
    let admitted = let_in(&request, admit);
    match &admitted {
        Ok(admitted) => info!(%peer, token = id, node = %admitted.node, role = %admitted.role, "let a node in"),
        Err(refusal) => warn!(%peer, token = id, "did not let a node in: {refusal}"),
    }
    let message = frame::encode(&[], &admitted, MESSAGE_BYTES_MAX).map_err(|error| lost(&error))?;
    send.write_all(&message).await.map_err(|error| lost(&error))?;
    let _ = send.finish();
    // Until the node has it, and closes.
    connection.closed().await;
    Ok(())
}

pub(super) fn let_in(request: &Request, admit: &Admit) -> Result<Admitted, Refusal> {
    let proves = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &request.public_key);
    proves.verify(&proof_of(&request.public_key), &request.proof).map_err(|_| Refusal::Key)?;
    let Admission { role, authority } = admit(&request.token)?;
    let node = NodeId(Random::system().u64());
    let certificate = authority.admit(node, role, &request.public_key).map_err(|error| {
        warn!(%error, "the authority cannot sign");
        Refusal::Unable
    })?;
    Ok(Admitted { node, role, certificate, authority: authority.pem().to_owned() })
}
