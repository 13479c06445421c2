//! How QUIC is set up: windows, timeouts, and connection ids that a restarted node recognises.

use super::tls::{self, Identity};
use super::{NodeRole, RpcError};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{Connection, EndpointConfig, IdleTimeout, TransportConfig, VarInt};
use quinn_proto::HashedConnectionIdGenerator;
use rustls::pki_types::CertificateDer;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// A peer that has been silent for so long is gone: its calls are dropped, and the locks that it held.
const IDLE_TIMEOUT: Duration = Duration::from_secs(5);
/// Several keep-alives fit into an idle timeout, so that the loss of one means nothing.
const KEEP_ALIVE: Duration = Duration::from_secs(1);
/// Round trip assumed of a new connection: nodes of a cluster are near each other. A first packet sent to a node that
/// was just starting is sent again after three of these.
const INITIAL_ROUND_TRIP: Duration = Duration::from_millis(30);
/// One scan may have so much on its way: 1 GB/s at 4 ms of round trip.
const STREAM_WINDOW_BYTES: u32 = 4 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 32 << 20;
/// Streams that a client may have open: its lanes, subscriptions and scans.
const STREAMS_MAX: u32 = 4096;

/// The one role that the certificate at the other end is for; `None`: any.
pub fn role_of(connection: &Connection) -> Option<NodeRole> {
    let shown = connection.peer_identity()?.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    tls::role_of(shown.first()?)
}

fn transport_config() -> Arc<TransportConfig> {
    let mut transport = TransportConfig::default();
    transport
        .max_idle_timeout(Some(IdleTimeout::try_from(IDLE_TIMEOUT).expect("a timeout of seconds")))
        .keep_alive_interval(Some(KEEP_ALIVE))
        .initial_rtt(INITIAL_ROUND_TRIP)
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW_BYTES))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW_BYTES))
        .send_window(u64::from(CONNECTION_WINDOW_BYTES))
        .max_concurrent_bidi_streams(VarInt::from_u32(STREAMS_MAX))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None);
    Arc::new(transport)
}

fn endpoint_config(identity: &Identity) -> EndpointConfig {
    let reset_key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &identity.reset_key);
    let mut config = EndpointConfig::new(Arc::new(reset_key));
    let connection_id_key = identity.connection_id_key;
    config.cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(connection_id_key)));
    config
}

fn open_endpoint(
    identity: &Identity,
    server: Option<quinn::ServerConfig>,
    address: SocketAddr,
) -> Result<quinn::Endpoint, RpcError> {
    let listen_error = |source| RpcError::Listen { address, source };
    let socket = std::net::UdpSocket::bind(address).map_err(listen_error)?;
    quinn::Endpoint::new(endpoint_config(identity), server, socket, Arc::new(quinn::TokioRuntime)).map_err(listen_error)
}

pub(super) fn server_endpoint(identity: &Identity, listen: SocketAddr) -> Result<quinn::Endpoint, RpcError> {
    open_endpoint(identity, Some(server_config(identity)?), listen)
}

/// What new connections from others are served with.
pub(super) fn server_config(identity: &Identity) -> Result<quinn::ServerConfig, RpcError> {
    let crypto =
        QuicServerConfig::try_from(identity.server_config()?).map_err(|error| RpcError::Tls(error.to_string()))?;
    let mut config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
    config.transport_config(transport_config());
    Ok(config)
}

/// What new connections to others are made with.
pub(super) fn client_config(identity: &Identity) -> Result<quinn::ClientConfig, RpcError> {
    let crypto =
        QuicClientConfig::try_from(identity.client_config()?).map_err(|error| RpcError::Tls(error.to_string()))?;
    let mut config = quinn::ClientConfig::new(Arc::new(crypto));
    config.transport_config(transport_config());
    Ok(config)
}

pub(super) fn client_endpoint(identity: &Identity) -> Result<quinn::Endpoint, RpcError> {
    // A socket for both address families where the system has them, else for the older one.
    open_endpoint(identity, None, SocketAddr::from(([0u16; 8], 0)))
        .or_else(|_| open_endpoint(identity, None, SocketAddr::from(([0u8; 4], 0))))
}
