//! From an accepted connection to an authenticated one. Manual: MySQL Internals, "Connection Phase".

use super::authentication::{NATIVE_PLUGIN, NONCE_BYTES, Plugin, SHA2_PLUGIN};
use super::compression::Algorithm;
use super::packet::{PacketError, PacketStream, Transport};
use super::server::Front;
use super::tls;
use common::env::random::Random;
use expr::collation::CollationId;
use expr::{ErrorCode, SqlError};
use mysql_common::constants::{CapabilityFlags, StatusFlags};
use mysql_common::io::ParseBuf;
use mysql_common::packets::{AuthPlugin, HandshakePacket, HandshakeResponse};
use mysql_common::proto::{MyDeserialize, MySerialize};
use std::net::SocketAddr;
use tokio_rustls::TlsAcceptor;

/// Longest message before a client is known: user, database, attributes.
const MESSAGE_BYTES_MAX: usize = 64 << 10;
/// Length of the request that asks for TLS: a handshake response cut after its fixed part.
const TLS_REQUEST_BYTES: usize = 32;
/// MySQL's default.
const ZSTD_LEVEL: u8 = 3;
/// First byte of an authentication answer that continues the exchange; with the next: the fast path succeeded.
const FAST_AUTHENTICATION_OK: [u8; 2] = [1, 3];

/// Who is connected, after authentication.
pub struct Client {
    pub packets: PacketStream,
    pub capabilities: CapabilityFlags,
    pub user: String,
    pub database: Option<String>,
    pub collation: CollationId,
    /// From the first command on.
    pub compression: Option<Algorithm>,
    /// Version and cipher.
    pub tls: Option<(&'static str, String)>,
}

#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    #[error(transparent)]
    Packet(#[from] PacketError),
    /// Sent to the client already.
    #[error("{0}")]
    Refused(SqlError),
    #[error("TLS: {0}")]
    Tls(std::io::Error),
}

/// What this server can do; a client turns on a part of it.
pub fn server_capabilities() -> CapabilityFlags {
    CapabilityFlags::CLIENT_LONG_PASSWORD
        | CapabilityFlags::CLIENT_FOUND_ROWS
        | CapabilityFlags::CLIENT_LONG_FLAG
        | CapabilityFlags::CLIENT_CONNECT_WITH_DB
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
        | CapabilityFlags::CLIENT_DEPRECATE_EOF
        | CapabilityFlags::CLIENT_COMPRESS
        | CapabilityFlags::CLIENT_ZSTD_COMPRESSION_ALGORITHM
}

/// Greets, upgrades to TLS if asked, and checks the password. Errors have been sent to the client.
pub async fn accept(
    transport: Box<dyn Transport>,
    peer: SocketAddr,
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
    let mut message = packets.read(MESSAGE_BYTES_MAX).await?;
    let mut tls = None;
    if message.len() == TLS_REQUEST_BYTES && message[1] & 0x08 != 0 {
        let sequence = packets.sequence();
        let acceptor = TlsAcceptor::from(front.tls.clone());
        let transport = acceptor.accept(packets.into_transport()).await.map_err(HandshakeError::Tls)?;
        tls = tls::describe(transport.get_ref().1);
        packets = PacketStream::new(Box::new(transport)).with_sequence(sequence);
        message = packets.read(MESSAGE_BYTES_MAX).await?;
    }
    let Ok(response) = HandshakeResponse::deserialize((), &mut ParseBuf(&message)) else {
        return refuse(&mut packets, SqlError::new(ErrorCode(1043), "Bad handshake")).await;
    };
    let capabilities = response.capabilities() & server_capabilities();
    if !capabilities.contains(CapabilityFlags::CLIENT_PROTOCOL_41 | CapabilityFlags::CLIENT_SECURE_CONNECTION) {
        let text =
            "Client does not support authentication protocol requested by server; consider upgrading MySQL client";
        return refuse(&mut packets, SqlError::new(ErrorCode(1251), text)).await;
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
    match offered {
        Some(plugin) => check(&mut packets, front, &user, peer, plugin, &nonce, &answer).await?,
        None => switch(&mut packets, front, &user, peer, Plugin::Sha2).await?,
    }
    Ok(Client { packets, capabilities, user, database, collation, compression, tls })
}

/// Asks the client to prove its password anew, with a fresh challenge: COM_CHANGE_USER, and unknown plugins.
pub async fn switch(
    packets: &mut PacketStream,
    front: &Front,
    user: &str,
    peer: SocketAddr,
    plugin: Plugin,
) -> Result<(), HandshakeError> {
    let nonce = make_nonce(&front.random);
    let name = match plugin {
        Plugin::Native => NATIVE_PLUGIN,
        Plugin::Sha2 => SHA2_PLUGIN,
    };
    packets
        .write(|out| {
            out.push(0xfe);
            out.extend_from_slice(name.as_bytes());
            out.push(0);
            out.extend_from_slice(&nonce);
            out.push(0);
        })
        .await?;
    packets.flush().await?;
    let answer = packets.read(MESSAGE_BYTES_MAX).await?;
    check(packets, front, user, peer, plugin, &nonce, &answer).await
}

async fn check(
    packets: &mut PacketStream,
    front: &Front,
    user: &str,
    peer: SocketAddr,
    plugin: Plugin,
    nonce: &[u8; NONCE_BYTES],
    answer: &[u8],
) -> Result<(), HandshakeError> {
    let known = user == "root";
    let allowed = !front.root.is_empty() || peer.ip().is_loopback() || front.insecure;
    if !known || !allowed || !front.root.verify(plugin, nonce, answer) {
        let used = if answer.len() > 1 { "YES" } else { "NO" };
        let text = format!("Access denied for user '{user}'@'{}' (using password: {used})", host(peer));
        return refuse(packets, SqlError::new(ErrorCode::ACCESS_DENIED, text)).await;
    }
    if plugin == Plugin::Sha2 && !front.root.is_empty() {
        packets.write(|out| out.extend_from_slice(&FAST_AUTHENTICATION_OK)).await?;
    }
    Ok(())
}

/// What the client asked for; its zstd level is the last byte of its response.
fn compression(capabilities: CapabilityFlags, response: &[u8]) -> Option<Algorithm> {
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

async fn refuse<T>(packets: &mut PacketStream, error: SqlError) -> Result<T, HandshakeError> {
    packets.write(|out| super::errors::encode(&error, out)).await?;
    packets.flush().await?;
    Err(HandshakeError::Refused(error))
}

/// Random, without zero bytes (clients read the challenge as a C string) and `$`.
fn make_nonce(random: &Random) -> [u8; NONCE_BYTES] {
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
