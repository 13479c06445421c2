//! Transactions: read LSN, write buffer, observed versions, locks; commit through the wal.
//!
//! [`Transaction`] decides and does no I/O. Drivers around it await: [`snapshot`] finds the LSNs a statement reads at,
//! [`locking`] takes locks, [`commit`] commits and finds out about lost answers, [`retry`] runs a statement again.
//! [`open_snapshots`] has what they read kept. [`spill`] keeps rows of large ones in files, and [`past_log`] commits those
//! through the object store.
//!
//! Always true: what a statement wrote is in the write buffer, or, of a table or index that nobody else sees yet, in layers
//! that only this transaction knows ([`bulk`]); nothing is in the log before COMMIT.

pub mod bulk;
pub mod commit;
pub mod locking;
pub mod merge;
pub mod open_snapshots;
pub mod past_log;
pub mod prepared;
pub mod read_view;
pub mod retry;
pub mod service_error;
pub mod snapshot;
pub mod spill;
pub mod throttle;
pub mod transaction;

pub use commit::{CommitFailure, commit, roll_back};
pub use locking::{Grant, Interrupt, Locker, OwnTables};
pub use open_snapshots::OpenSnapshots;
pub use read_view::{Known, ReadView, ViewScan, WriteBuffer};
pub use spill::WriteMemory;
pub use throttle::Throttle;
pub use transaction::Transaction;

use common::service::{PageService, WalService};
use std::sync::Arc;

/// The services a transaction talks to, and where its identifiers come from.
#[derive(Clone)]
pub struct Remote {
    pub wal: Arc<dyn WalService>,
    pub pages: Arc<dyn PageService>,
    /// Random identifiers of transactions and commits; never the same twice.
    pub new_id: Arc<dyn Fn() -> u128 + Send + Sync>,
    /// Where this compute's transactions read.
    pub snapshots: Arc<OpenSnapshots>,
    pub throttle: Arc<Throttle>,
    /// Buffered rows of a new table or index that go to the store ahead of the commit; see [`bulk`].
    pub bulk_bytes: usize,
    /// What transactions hold for their commits; see [`spill`].
    pub write_memory: Arc<WriteMemory>,
}
