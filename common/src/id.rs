//! Identifiers that travel between roles. Types keep apart what must never be mixed: an [`Lsn`] is a place in the
//! total order of transactions, a [`LogPos`] a place in one log.

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(formatter)
            }
        }
    };
}

id!(
    /// Position of one committed transaction in the total order; dense, never reused. `Lsn(0)` is "before everything".
    Lsn(u64)
);
id!(
    /// Place of an entry in one Raft log (its index). Never an [`Lsn`].
    LogPos(u64)
);
id!(
    /// A contiguous key range, the unit of placement on page servers.
    TabletId(u64)
);
id!(
    /// A table, or a namespace of the catalog. First four bytes of every key, big endian.
    TableId(u32)
);
/// The table of definitions. The log tells how new the newest of them is.
pub const CATALOG_TABLE: TableId = TableId(1);

id!(
    /// An index within a table; the primary (clustered) index is `IndexId(0)`. Bytes 4 to 8 of every key, big endian.
    IndexId(u32)
);
id!(
    /// A column within a table; given out once, never reused, so that adding and dropping columns rewrites no row.
    ColumnId(u16)
);
id!(
    /// A process of a cluster.
    NodeId(u64)
);
id!(
    /// A running transaction, as the lock table knows it. Random, unique over all computes.
    TxnId(u128)
);
id!(
    /// One attempt to commit. Kept with its outcome in the log, so that a compute whose answer was lost can ask.
    CommitId(u128)
);
id!(
    /// A Raft leader's term; answers that depend on being leader carry it.
    Term(u64)
);
id!(
    /// An AUTO_INCREMENT counter (one per table that has such a column).
    CounterId(u64)
);

impl Lsn {
    pub const ZERO: Lsn = Lsn(0);
    /// Greater than every LSN that will ever be assigned.
    pub const MAX: Lsn = Lsn(u64::MAX);

    /// The LSN that follows this one.
    pub fn next(self) -> Lsn {
        Lsn(self.0 + 1)
    }
}
