//! One connection's state, without sockets: variables, current database, transaction, prepared statements, warnings.
//!
//! The protocol calls it; it parses, binds, runs, and answers with results that the protocol encodes.

pub mod result;
pub mod variables;
