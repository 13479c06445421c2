//! Lock table: which transaction holds which key, and who waits for it.
//!
//! Owned by the driver next to the sequencer; no clock, no I/O: time comes in as [`LockTable::timeout`]. Soft state:
//! lost with the leader, because a commit's conflict check is the truth.
//!
//! Invariants
//! - A key has one exclusive holder, or any number of shared holders, never both.
//! - Whoever waits is behind everyone who asked earlier, but for upgrades, which go first.
//! - The waits-for graph has no cycle once a call returns.

mod deadlock;
mod key_lock;
mod table;
#[cfg(test)]
mod tests;

pub use table::{LockEvent, LockOutcome, LockTable, RequestId};
