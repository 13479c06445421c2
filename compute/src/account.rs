//! Accounts and privileges: who there is, what they may do, how their passwords are kept.
//!
//! Definitions of accounts are rows of the catalog's table and come with every catalog (`catalog/storage.rs`): a GRANT is
//! seen by the next statement on every compute. Plain data and decisions; nothing here waits or knows a session.
//!
//! Invariants
//! - Everything that an account is allowed stands in its own definition; a role's privileges are looked up when used.
//! - While no account is stored there is one: `root`@`%`, with everything and the password that the server was started
//!   with. The first statement that stores an account stores it too.
//! - No text of a password is kept, nor shown by Debug.

mod accounts;
mod definition;
mod describe;
mod host;
mod names;
pub mod password;
pub mod privilege;
mod rights;

#[cfg(test)]
mod tests;

pub use accounts::Accounts;
pub use definition::{AccountDef, Credential, HistoryEntry, Limits, RoutineKind, TableGrant, TlsRule};
pub use describe::{create_user, grants};
pub use names::AccountName;
pub use privilege::Privileges;
pub use rights::{ColumnLimits, Rights, specific_access_denied};
