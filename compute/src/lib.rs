//! Compute: MySQL's protocol, language and transactions over the wal and page services. Keeps nothing that matters.
//!
//! A statement travels `mysql → session → sql → execute → txn → remote`; imports point the same way and never back.
//! `catalog` serves `sql` and `execute` and reads through `txn`.

pub mod catalog;
pub mod execute;
pub mod session;
pub mod sql;
pub mod txn;
