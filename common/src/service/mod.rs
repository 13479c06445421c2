//! The services that roles offer each other, with their messages and errors.
//!
//! Each trait has two forms: the role itself (a direct call, all roles in one process) and a client over QUIC
//! (`common::rpc`). No code above these traits knows which of the two it has.

pub mod page;
pub mod peer;
pub mod wal;

pub use page::PageService;
pub use peer::PeerService;
pub use wal::WalService;
