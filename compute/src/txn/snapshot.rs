//! The LSNs a statement reads at.

use crate::txn::locking::LockSet;
use crate::txn::service_error::{wal_error, with_backoff};
use crate::txn::{ReadView, Remote, Transaction};
use common::id::Lsn;
use expr::SqlError;
use parking_lot::Mutex;

/// An LSN that is at least every commit acknowledged before the call.
pub async fn newest_lsn(remote: &Remote) -> Result<Lsn, SqlError> {
    with_backoff(|| remote.wal.read_lsn()).await.map_err(wal_error)
}

/// As [`newest_lsn`], for a transaction: not before a commit whose locks it has got, which may not be durable yet.
pub async fn newest_lsn_after(locks: &Mutex<LockSet>, remote: &Remote) -> Result<Lsn, SqlError> {
    let newest = newest_lsn(remote).await?;
    Ok(locks.lock().undurable().map_or(newest, |version| newest.max(version.lsn)))
}

/// What a plain SELECT reads: the transaction's snapshot, taken by its first read (REPEATABLE READ, SERIALIZABLE) or by
/// each statement (READ COMMITTED, and READ UNCOMMITTED, which is the same here).
pub async fn plain_view(transaction: &mut Transaction, remote: &Remote) -> Result<ReadView, SqlError> {
    use crate::sql::plan::Isolation;
    let keeps = matches!(transaction.isolation(), Isolation::RepeatableRead | Isolation::Serializable);
    let lsn = match transaction.snapshot() {
        Some(lsn) if keeps => lsn,
        _ => {
            let lsn = newest_lsn_after(&transaction.locks(), remote).await?;
            transaction.settle_snapshot(lsn);
            lsn
        }
    };
    Ok(transaction.view(&remote.pages, lsn))
}

/// What locking reads, INSERT, UPDATE and DELETE read: everything committed up to now. Settles the snapshot of a
/// transaction that has none, so that an autocommit statement reads at one LSN throughout.
pub async fn newest_view(transaction: &mut Transaction, remote: &Remote) -> Result<ReadView, SqlError> {
    let lsn = newest_lsn_after(&transaction.locks(), remote).await?;
    transaction.settle_snapshot(lsn);
    Ok(transaction.view(&remote.pages, lsn))
}
