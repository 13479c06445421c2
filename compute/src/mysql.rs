//! MySQL's client/server protocol, and the only door to opensrv-mysql and mysql_common.
//!
//! One task per connection: handshake and authentication, then commands in the order they arrive, each answered
//! before the next is read. mysql_common gives the packet structures, opensrv-mysql the error kinds, column types and
//! the value encoding trait; the loop is ours (docs/decisions/0003-mysql-front-end.md).
//!
//! Invariants
//! - Every packet's length is checked before memory is taken for it; before authentication the limit is small.
//! - No command is answered with OK unless it did what it says.

mod authentication;
mod binary;
mod certificate;
mod character_set;
mod column;
mod command;
mod compression;
mod connection;
mod cursor;
mod errors;
pub mod fuzz;
mod guard;
mod handshake;
mod local_file;
mod login;
mod packet;
mod parameters;
mod prepared;
mod proxy;
mod reply;
mod rsa;
pub mod server;
mod text;
pub mod tls;
mod track;
