//! Lock table: which transaction holds which key or range of keys, and who waits for it.
//!
//! Owned by the driver next to the sequencer; no clock, no I/O: time comes in as [`LockTable::timeout`]. Soft state:
//! lost with the leader, because a commit's conflict check is the truth.
//!
//! ```text
//! request ─▶ its keys, then its ranges, one after the other
//!              key:   a range in the way? wait in the index's queue ─▶ another holder? wait in the key's queue
//!              range: another range, a holder of or waiter for a key in it? wait in the index's queue
//! ```
//!
//! Invariants
//! - A key has one exclusive holder, or any number of shared holders, never both; a range counts for every key in it.
//! - Whoever waits is behind everyone who asked earlier, but for upgrades, which go first, and for those who wait for
//!   the asking transaction itself.
//! - The waits-for graph has no cycle once a call returns.

mod blockers;
mod deadlock;
mod key_lock;
mod ranges;
mod report;
mod table;
#[cfg(test)]
mod tests;

pub use table::{LockEvent, LockOutcome, LockTable, RequestId};
