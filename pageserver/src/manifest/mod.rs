//! The numbered list of a tablet's layers: what the tablet is, in object storage.
//!
//! Invariants
//! - Manifest `n + 1` is written only by an owner that has read manifest `n`; put-if-absent lets one of several win.
//! - A layer is durable before a manifest names it, and is deleted only after no manifest in force names it.

mod kept;
#[allow(clippy::module_inception)]
mod manifest;
mod runs;
pub mod store;
#[cfg(test)]
pub mod testing;

pub use kept::Kept;
pub use manifest::{LayerId, LayerMeta, Manifest, decode, encode};
pub use runs::sorted_runs;
pub use store::{ManifestError, ManifestStore};
