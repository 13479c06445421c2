//! Transactions: read LSN, write buffer, observed versions, locks; commit through the wal.

pub mod read_view;
