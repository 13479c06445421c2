//! From the log to the memtable: `receiver` awaits batches, `apply` decides what each one changes.

pub mod apply;
pub mod receiver;
