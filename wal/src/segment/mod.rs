//! Segments: the log on one node's disk, as files of checksummed records.
//!
//! ```text
//! raft/log_store → SegmentLog (handle, index, cache) → writer thread → segment files
//! raft/alone ──── source ──┘   ↑         (takes what has gathered when it begins a group)
//!                              reads: cache, else pread by position
//! ```
//!
//! Knows nothing of Raft but what a record must carry: entries with index and term, and the few facts that Raft
//! wants durable (vote, committed, truncations, purges), which live in the same files. No other state is on disk.
//!
//! Invariants
//! - A callback says "done" only after an fdatasync that covers its records; after a failed one nothing is ever
//!   acknowledged again.
//! - Indexes of the entries that are readable form one range without a hole.
//! - Only the last segment may end in a torn record, and only in bytes that no completed fdatasync covers.

mod disk;
pub mod fuzz;
mod gathering;
mod index;
mod log;
pub mod memory_disk;
mod reader;
mod record;
mod recovery;
mod spare;
mod stuck;
#[cfg(test)]
mod tests;
mod writer;

pub use disk::{Disk, DiskFile, RealDisk};
pub use log::{SegmentLog, SegmentOptions, Source, Taken, WriteDone, WriteFailure};
pub use record::{EntryMark, LogEntry, Meta};
pub use recovery::RecoveryError;
