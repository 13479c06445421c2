//! From an accepted connection to an authenticated one. Manual: MySQL Internals, "Connection Phase".

use super::authentication::{NONCE_BYTES, Plugin};
use super::compression::Algorithm;
use super::login::{self, Attempt};
use super::packet::{PacketError, PacketStream, Transport};
use super::proxy::{self, Header};
use super::server::Front;
use super::tls::Secured;
use crate::account::password::SHA2_PLUGIN;
use crate::session::Login;
use common::env::random::Random;
use expr::collation::{Charset, CollationId};
use expr::{ErrorCode, SqlError};
use mysql_common::constants::{CapabilityFlags, StatusFlags};
use mysql_common::io::ParseBuf;
use mysql_common::packets::{AuthPlugin, HandshakePacket, HandshakeResponse};
use mysql_common::proto::{MyDeserialize, MySerialize};
use std::net::SocketAddr;
use tokio_rustls::TlsAcceptor;

/// Longest message before a client is known: user, database, attributes.
pub const MESSAGE_BYTES_MAX: usize = 64 << 10;
/// Length of the request that asks for TLS: a handshake response cut after its fixed part.
const TLS_REQUEST_BYTES: usize = 32;
/// MySQL's default.
const ZSTD_LEVEL: u8 = 3;

/// Who is connected, after authentication.
pub struct Client {
    pub packets: PacketStream,
    /// Of the client itself, where a balancer stands between.
    pub peer: SocketAddr,
    pub capabilities: CapabilityFlags,
    pub login: Login,
    pub database: Option<String>,
    pub collation: CollationId,
    /// From the first command on.
    pub compression: Option<Algorithm>,
    /// None without TLS.
    pub tls: Option<Secured>,
}

#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    #[error(transparent)]
    Packet(#[from] PacketError),
    /// Sent to the client already.
    #[error("{error}")]
    Refused {
        /// As given; empty where the client did not come that far.
        user: String,
        error: SqlError,
    },
    #[error("TLS: {0}")]
    Tls(std::io::Error),
}

/// What this server can do; a client turns on a part of it.
pub fn server_capabilities() -> CapabilityFlags {
    CapabilityFlags::CLIENT_LONG_PASSWORD
        | CapabilityFlags::CLIENT_FOUND_ROWS
        | CapabilityFlags::CLIENT_LONG_FLAG
        | CapabilityFlags::CLIENT_CONNECT_WITH_DB
        | CapabilityFlags::CLIENT_LOCAL_FILES
        | CapabilityFlags::CLIENT_IGNORE_SPACE
        | CapabilityFlags::CLIENT_PROTOCOL_41
        | CapabilityFlags::CLIENT_INTERACTIVE
        | CapabilityFlags::CLIENT_SSL
        | CapabilityFlags::CLIENT_TRANSACTIONS
        | CapabilityFlags::CLIENT_SECURE_CONNECTION
        | CapabilityFlags::CLIENT_MULTI_STATEMENTS
        | CapabilityFlags::CLIENT_MULTI_RESULTS
        | CapabilityFlags::CLIENT_PS_MULTI_RESULTS
        | CapabilityFlags::CLIENT_PLUGIN_AUTH
        | CapabilityFlags::CLIENT_CONNECT_ATTRS
        | CapabilityFlags::CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA
        | CapabilityFlags::CLIENT_CAN_HANDLE_EXPIRED_PASSWORDS
        | CapabilityFlags::CLIENT_DEPRECATE_EOF
        | CapabilityFlags::CLIENT_SESSION_TRACK
        | CapabilityFlags::CLIENT_COMPRESS
        | CapabilityFlags::CLIENT_ZSTD_COMPRESSION_ALGORITHM
        | CapabilityFlags::CLIENT_QUERY_ATTRIBUTES
}

/// Greets, upgrades to TLS if asked, and checks the password. Errors have been sent to the client.
pub async fn accept(
    transport: Box<dyn Transport>,
    mut peer: SocketAddr,
    connection_id: u64,
    front: &Front,
) -> Result<Client, HandshakeError> {
    let mut packets = PacketStream::new(transport);
    let nonce = make_nonce(&front.random);
    let greeting = HandshakePacket::new(
        10,
        front.version.as_bytes(),
        connection_id as u32,
        nonce[..8].try_into().unwrap_or_default(),
        // The second part of the challenge is sent with a closing zero byte.
        Some([&nonce[8..], &[0]].concat()),
        server_capabilities(),
        CollationId::UTF8MB4_0900_AI_CI.0 as u8,
        StatusFlags::SERVER_STATUS_AUTOCOMMIT,
        Some(SHA2_PLUGIN.as_bytes()),
    );
    packets.write(|out| greeting.serialize(out)).await?;
    packets.flush().await?;
    if proxy::is_trusted(&front.proxies, peer.ip())
        && let Header::Client(client) = proxy::take(&mut packets).await?
    {
        peer = client;
    }
    let mut message = packets.read(MESSAGE_BYTES_MAX).await?;
    let mut tls = None;
    if message.len() == TLS_REQUEST_BYTES && message[1] & 0x08 != 0 {
        let sequence = packets.sequence();
        let acceptor = TlsAcceptor::from(front.tls.clone());
        let transport = acceptor.accept(packets.into_transport()).await.map_err(HandshakeError::Tls)?;
        tls = Some(Secured::of(transport.get_ref().1));
        packets = PacketStream::new(Box::new(transport)).with_sequence(sequence);
        message = packets.read(MESSAGE_BYTES_MAX).await?;
    }
    let Ok(response) = HandshakeResponse::deserialize((), &mut ParseBuf(&message)) else {
        return refuse(&mut packets, "", SqlError::new(ErrorCode(1043), "Bad handshake")).await;
    };
    let capabilities = response.capabilities() & server_capabilities();
    if !capabilities.contains(CapabilityFlags::CLIENT_PROTOCOL_41 | CapabilityFlags::CLIENT_SECURE_CONNECTION) {
        let text =
            "Client does not support authentication protocol requested by server; consider upgrading MySQL client";
        return refuse(&mut packets, "", SqlError::new(ErrorCode(1251), text)).await;
    }
    let user = String::from_utf8_lossy(response.user()).into_owned();
    let database =
        response.db_name().filter(|name| !name.is_empty()).map(|name| String::from_utf8_lossy(name).into_owned());
    let offered = match response.auth_plugin() {
        Some(AuthPlugin::MysqlNativePassword) | None => Some(Plugin::Native),
        Some(AuthPlugin::CachingSha2Password) => Some(Plugin::Sha2),
        Some(_) => None,
    };
    let collation = CollationId(response.collation().into());
    let answer = response.scramble_buf().to_vec();
    let compression = compression(capabilities, &message);
    if tls.is_none() && front.engine.globals().boolean("require_secure_transport") {
        let text = "Connections using insecure transport are prohibited while --require_secure_transport=ON.";
        return refuse(&mut packets, &user, SqlError::new(ErrorCode(3159), text)).await;
    }
    let can_handle_expired = capabilities.contains(CapabilityFlags::CLIENT_CAN_HANDLE_EXPIRED_PASSWORDS);
    let attempt = Attempt { user: &user, peer, tls: tls.as_ref(), can_handle_expired, plugin: offered, nonce, answer };
    let login = login::log_in(&mut packets, front, attempt).await?;
    Ok(Client { packets, peer, capabilities, login, database, collation, compression, tls })
}

/// COM_CHANGE_USER: the client proves its password anew, with a fresh challenge.
pub async fn change_user(
    packets: &mut PacketStream,
    front: &Front,
    user: &str,
    peer: SocketAddr,
    tls: Option<&Secured>,
    capabilities: CapabilityFlags,
) -> Result<Login, HandshakeError> {
    let attempt = Attempt {
        user,
        peer,
        tls,
        can_handle_expired: capabilities.contains(CapabilityFlags::CLIENT_CAN_HANDLE_EXPIRED_PASSWORDS),
        plugin: None,
        nonce: [0; NONCE_BYTES],
        answer: vec![0],
    };
    login::log_in(packets, front, attempt).await
}

/// What the client asked for; its zstd level is the last byte of its response.
pub fn compression(capabilities: CapabilityFlags, response: &[u8]) -> Option<Algorithm> {
    if capabilities.contains(CapabilityFlags::CLIENT_COMPRESS) {
        Some(Algorithm::Zlib)
    } else if capabilities.contains(CapabilityFlags::CLIENT_ZSTD_COMPRESSION_ALGORITHM) {
        let level = response.last().copied().filter(|level| (1..=22).contains(level));
        Some(Algorithm::Zstd(level.unwrap_or(ZSTD_LEVEL).into()))
    } else {
        None
    }
}

/// How the client's host appears in account names and messages.
pub fn host(peer: SocketAddr) -> String {
    if peer.ip().is_loopback() { "localhost".to_string() } else { peer.ip().to_string() }
}

pub async fn refuse<T>(packets: &mut PacketStream, user: &str, error: SqlError) -> Result<T, HandshakeError> {
    packets.write(|out| super::errors::encode(&error, Charset::Utf8mb4, out)).await?;
    packets.flush().await?;
    Err(HandshakeError::Refused { user: user.to_owned(), error })
}

/// Random, without zero bytes (clients read the challenge as a C string) and `$`.
pub fn make_nonce(random: &Random) -> [u8; NONCE_BYTES] {
    let mut nonce = [0; NONCE_BYTES];
    random.fill(&mut nonce);
    for byte in &mut nonce {
        *byte = 33 + *byte % 93;
        if *byte == b'$' {
            *byte = b'%';
        }
    }
    nonce
}
