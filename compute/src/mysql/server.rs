//! The listening socket: accepts connections, one task each, and ends them at shutdown.

use super::authentication::ServerPassword;
use super::connection::Connection;
use super::errors;
use super::handshake::{self, HandshakeError};
use super::login::Logins;
use super::packet::PacketStream;
use crate::journal::{self, ConnectionEvent};
use crate::session::Engine;
use common::env::random::Random;
use expr::collation::Charset;
use expr::{ErrorCode, SqlError};
use ipnet::IpNet;
use rustls::ServerConfig;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long a client may take from connecting to being authenticated. MySQL's `connect_timeout`.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long shutdown waits for running statements.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// What all connections share.
pub struct Front {
    pub engine: Arc<Engine>,
    pub tls: Arc<ServerConfig>,
    /// Of the first account `root`.
    pub root: ServerPassword,
    /// Accept an empty password from other hosts.
    pub insecure: bool,
    /// Networks of balancers that say who their clients are.
    pub proxies: Vec<IpNet>,
    pub version: Arc<str>,
    pub random: Random,
    pub logins: Logins,
    next_connection: AtomicU64,
}

impl Front {
    pub fn new(engine: Arc<Engine>, tls: Arc<ServerConfig>, root_password: &str, insecure: bool) -> Front {
        let version = engine.version();
        engine.set_server_password(root_password);
        Front {
            engine,
            tls,
            root: ServerPassword::new(root_password),
            insecure,
            proxies: Vec::new(),
            version,
            random: Random::system(),
            logins: Logins::default(),
            next_connection: AtomicU64::new(1),
        }
    }

    /// Tells the journal of what became of a connection.
    pub async fn tell(&self, id: u64, user: &str, peer: SocketAddr, event: ConnectionEvent) {
        let (peer, now_us) = (peer.to_string(), self.engine.clock.wall_us());
        let connection = journal::Connection { id, user, peer: &peer, now_us };
        self.engine.journal.connection(connection, event, self.engine.connection_count()).await;
    }

    async fn refused(&self, id: u64, user: &str, peer: SocketAddr, error: &SqlError) {
        self.tell(id, user, peer, ConnectionEvent::Refused(error.code.0)).await;
    }

    /// Believes what balancers of these networks say of their clients.
    pub fn behind(self, proxies: Vec<IpNet>) -> Front {
        Front { proxies, ..self }
    }
}

/// A running server.
pub struct Server {
    address: SocketAddr,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Server {
    /// Serves connections of `listener` until [`Server::shutdown`].
    pub fn start(listener: TcpListener, front: Arc<Front>) -> std::io::Result<Server> {
        let address = listener.local_addr()?;
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        tasks.spawn(accept_all(listener, front, stop.clone(), tasks.clone()));
        Ok(Server { address, stop, tasks })
    }

    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Accepts no more, lets running statements finish for a while, then closes what is left.
    pub async fn shutdown(self) {
        self.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(DRAIN_TIMEOUT, self.tasks.wait()).await.is_err() {
            tracing::warn!(connections = self.tasks.len(), "closing connections whose statements did not end");
        }
    }
}

async fn accept_all(listener: TcpListener, front: Arc<Front>, stop: CancellationToken, tasks: TaskTracker) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                tasks.spawn(serve(stream, peer, front.clone(), stop.clone()));
            }
            Err(error) => {
                // Out of file descriptors, mostly: it passes when connections end.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, peer: SocketAddr, front: Arc<Front>, stop: CancellationToken) {
    // Answers are written whole: waiting to fill a segment only costs latency.
    let _ = stream.set_nodelay(true);
    let transport = Box::new(stream);
    let (connections, limit) = (front.engine.connection_count(), front.engine.globals().integer("max_connections"));
    // One more is for an administrator, who is known after the login.
    let is_reserved = connections == limit;
    if connections > limit {
        let mut packets = PacketStream::new(transport);
        let _ = packets.write(|out| errors::encode(&too_many(), Charset::Utf8mb4, out)).await;
        let _ = packets.flush().await;
        front.refused(0, "", peer, &too_many()).await;
        return;
    }
    let id = front.next_connection.fetch_add(1, Ordering::Relaxed);
    let accepted = Box::pin(handshake::accept(transport, peer, id, &front));
    let client = match tokio::time::timeout(CONNECT_TIMEOUT, accepted).await {
        Ok(Ok(client)) => client,
        Ok(Err(HandshakeError::Refused { user, error })) => {
            tracing::info!(%peer, %error, "connection refused");
            front.refused(id, &user, peer, &error).await;
            return;
        }
        Ok(Err(error)) => {
            tracing::debug!(%peer, %error, "handshake failed");
            let cause = if matches!(error, HandshakeError::Tls(_)) { "tls" } else { "broken" };
            front.engine.journal.aborted(false, cause);
            return;
        }
        Err(_) => {
            tracing::debug!(%peer, "handshake timed out");
            front.engine.journal.aborted(false, "timeout");
            return;
        }
    };
    Connection::run(client, id, front, is_reserved, stop).await;
}

/// max_connections are there.
pub fn too_many() -> SqlError {
    SqlError::new(ErrorCode(1040), "Too many connections")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten thousand connections wait most of the time.
    #[test]
    fn a_connection_that_waits_is_small() {
        fn bytes<F: Future>(_: fn(TcpStream, SocketAddr, Arc<Front>, CancellationToken) -> F) -> usize {
            size_of::<F>()
        }
        let task = bytes(serve);
        println!("session {}, connection {}", size_of::<crate::session::Session>(), size_of::<Connection>());
        assert!(task <= 6 << 10, "{task} bytes");
    }
}
