//! The service traits between processes: QUIC with mutual TLS. The only door to quinn.
//!
//! ```text
//! compute ── WalClient / PageClient ── peer ──┬─ lanes: calls and replies, many at once on a few long-lived streams
//!                                             └─ one QUIC stream per subscription or scan, with its flow control
//!                                                     │
//!            Arc<dyn WalService> / PageService ── server
//!
//! routing     the same traits over several nodes: who leads, who serves, asking again
//! admission   how a node gets the certificate that all of this asks for
//! ```
//!
//! What always holds
//! - Whoever is at the other end has a certificate of this cluster's authority (`tls`), when the connection was made.
//! - A call ends: with the service's answer, at its deadline, or when the connection is lost. Dropping the future of a
//!   call, or the stream of a subscription or scan, drops the work at the other end.
//! - A commit that may have reached the log never fails with an error that says it did not.
//! - Bytes from a peer are bounded and never cause a panic (`frame`, `message`, `scan_batch`).

mod admission;
mod caller;
mod client;
mod frame;
pub mod fuzz;
mod member;
mod message;
mod peer;
mod renewal;
mod role;
pub mod routing;
mod scan_batch;
mod server;
mod tls;
mod transport;

#[cfg(test)]
mod tests;

pub use admission::{Admission, AdmissionDesk, Admit, JoinError, JoinToken, NoToken, Refusal, TokenRecord, join};
pub use client::{Deadlines, PageClient, WalClient};
pub use member::{MemberClient, MemberError};
pub use peer::{Peer, RpcClient};
pub use renewal::{Ends, follow_identity};
pub use role::NodeRole;
pub use server::{Server, ServerConfig, ServerEnd, Services, serve};
pub use tls::{ClusterAuthority, Identity};

/// Why a remote call could not be set up or served.
#[derive(Debug, thiserror::Error)]
pub enum RpcError {
    #[error(
        "{path}: {reason}; restore it from a backup, or remove the directory to make new certificates for every node"
    )]
    Identity { path: String, reason: String },
    #[error("cannot listen on {address}: {source}; choose another address")]
    Listen { address: std::net::SocketAddr, source: std::io::Error },
    #[error("tls: {0}")]
    Tls(String),
}
