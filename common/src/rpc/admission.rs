//! How a new node gets its certificate over the network: it shows a token that an operator made, over TLS 1.3.
//!
//! ```text
//! node                                                              desk (holds the authority's key)
//!  │  draws a key, which never leaves it
//!  ├─ TLS: is the desk's certificate signed by the authority whose digest the token names? ─▶
//!  ├─ token, public key, a signature by that key ─────────────────────────────────────────▶ one use of the token is taken
//!  ◀──────────────── certificate for the token's role, and the authority's ─────────────────┤
//! ```
//!
//! What always holds
//! - A token is shown only to who has the key of the authority that it names (`pinned`).
//! - A use is taken, and written down, before anything is signed. What was taken for an answer that got lost stays taken.
//! - Who shows a token that is not known hears no more than that. Neither end writes a token to its log.
//!
//! docs/decisions/0037-join-tokens.md says why it is so.

mod desk;
mod node;
mod pinned;
mod token;

#[cfg(test)]
mod tests;

pub use desk::{Admission, AdmissionDesk, Admit};
pub use node::{JoinError, join};
pub use token::{JoinToken, NoToken, TokenRecord};

use crate::id::NodeId;
use crate::rpc::NodeRole;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The name that a desk's certificate carries, and no node's.
const DESK_NAME: &str = "admission.drumlin.internal";
/// What is spoken here, and by nobody else.
const PROTOCOL: &[u8] = b"drumlin-join/1";
/// Messages are a few hundred bytes, answers hold two certificates.
const MESSAGE_BYTES_MAX: usize = 16 << 10;
/// From the connection to the answer.
const WITHIN: Duration = Duration::from_secs(10);
/// Before what a node signs to show that the key is its own: no other use of a key signs the same.
const PROOF_OF: &[u8] = b"drumlin join: this key is mine\n";

#[derive(Serialize, Deserialize)]
struct Request {
    token: JoinToken,
    /// A point of P-256, not compressed.
    public_key: Vec<u8>,
    proof: Vec<u8>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Admitted {
    node: NodeId,
    role: NodeRole,
    /// PEM.
    certificate: String,
    authority: String,
}

/// Why a node is not let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Refusal {
    #[error("the token is not known here: it is mistyped, was withdrawn, or is of another cluster; make another one")]
    Unknown,
    #[error("the token has expired; make another one")]
    Expired,
    #[error("the token was used as often as it may be; make another one")]
    Used,
    #[error("the key that was sent is none, or not the sender's")]
    Key,
    #[error("the cluster's authority is being replaced; try again when `drumlin cluster rotate` has ended")]
    Rotating,
    /// The desk's own log has more.
    #[error("the desk cannot read or write its files; see its log")]
    Unable,
}

/// What a node signs with its new key.
fn proof_of(public_key: &[u8]) -> Vec<u8> {
    [PROOF_OF, public_key].concat()
}
