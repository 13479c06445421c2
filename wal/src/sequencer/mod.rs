//! Sequencer: gives each transaction its place in the total order, or refuses it.
//!
//! ```text
//! commit → check (conflict window, outcomes) → LSN → forming batch → (raft) → applied → History
//! ```
//!
//! No I/O and no clock. Runs on the leader only and is rebuilt from the log when a node becomes leader; what all
//! nodes keep (newest LSN, counters, outcomes) is the [`History`], which changes only by committed batches.
//!
//! Invariants
//! - LSNs are dense: a batch begins one above the end of the last one.
//! - A commit is accepted only if no version newer than it observed exists, those in flight included.
//! - A commit id is accepted once.
//! - A value of a counter is given to nobody before the log says that it is taken.
//! - A commit that builds on what only another leader knew is refused.

mod conflict_window;
mod core;
mod counters;
mod history;
mod in_flight;
mod reservations;
mod retag;
#[cfg(test)]
mod tests;

pub use conflict_window::ConflictWindow;
pub use core::{Decision, Sequencer, SequencerLimits, VersionsAt, note_writes};
pub use counters::Counters;
pub use history::{History, Outcomes};
pub use in_flight::InFlight;
pub use retag::retagged;
