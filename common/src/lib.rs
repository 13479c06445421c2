//! What two roles share: identifiers, the services they offer each other, and the environment they run in.
//!
//! Nothing of SQL lives here. Into this crate comes only what two roles need, and only an identifier, a message,
//! or the environment (clock, randomness, disk, object store, telemetry).

pub mod branch_points;
pub mod bulk;
pub mod cluster_map;
pub mod env;
pub mod id;
pub mod key;
pub mod log_archive;
pub mod physical;
pub mod prepared;
pub mod rpc;
pub mod service;
pub mod telemetry;
