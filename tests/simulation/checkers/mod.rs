//! What has to hold at every step.

mod ledger;

pub use ledger::Ledger;
