//! The LSNs a statement reads at.

use crate::txn::locking::LockSet;
use crate::txn::service_error::{wal_error, with_backoff};
use crate::txn::{ReadView, Remote, Transaction};
use common::id::Lsn;
use common::service::wal::ReadLsn;
use expr::SqlError;
use parking_lot::Mutex;

/// An LSN that is at least every commit acknowledged before the call, and how new the definitions are there.
pub async fn read_lsn(remote: &Remote) -> Result<ReadLsn, SqlError> {
    with_backoff(|| remote.wal.read_lsn()).await.map_err(wal_error)
}

/// As [`read_lsn`], for those who know the definitions.
pub async fn newest_lsn(remote: &Remote) -> Result<Lsn, SqlError> {
    Ok(read_lsn(remote).await?.lsn)
}

/// As [`newest_lsn`], for a transaction: not before a commit whose locks it has got, which may not be durable yet.
pub async fn newest_lsn_after(locks: &Mutex<LockSet>, remote: &Remote) -> Result<Lsn, SqlError> {
    Ok(after_locks(newest_lsn(remote).await?, locks))
}

fn after_locks(newest: Lsn, locks: &Mutex<LockSet>) -> Lsn {
    locks.lock().undurable().map_or(newest, |version| newest.max(version.lsn))
}

/// What a plain SELECT reads: the transaction's snapshot, taken by its first read (REPEATABLE READ, SERIALIZABLE) or by
/// each statement (READ COMMITTED, and READ UNCOMMITTED, which is the same here). `begun_at`: an LSN that the statement
/// asked for after it began, if it did; another request would find nothing that it has to see.
pub async fn plain_view(
    transaction: &mut Transaction,
    remote: &Remote,
    begun_at: Option<Lsn>,
) -> Result<ReadView, SqlError> {
    use crate::sql::plan::Isolation;
    let keeps = matches!(transaction.isolation(), Isolation::RepeatableRead | Isolation::Serializable);
    let lsn = match transaction.snapshot() {
        Some(lsn) if keeps => lsn,
        _ => {
            let newest = match begun_at {
                Some(lsn) => lsn,
                None => newest_lsn(remote).await?,
            };
            let lsn = after_locks(newest, &transaction.locks());
            transaction.settle_snapshot(lsn, &remote.snapshots);
            lsn
        }
    };
    Ok(transaction.view(&remote.pages, lsn))
}

/// What locking reads, INSERT, UPDATE and DELETE read: everything committed up to now. Settles the snapshot of a
/// transaction that has none, so that an autocommit statement reads at one LSN throughout.
pub async fn newest_view(transaction: &mut Transaction, remote: &Remote) -> Result<ReadView, SqlError> {
    let lsn = newest_lsn_after(&transaction.locks(), remote).await?;
    transaction.settle_snapshot(lsn, &remote.snapshots);
    Ok(transaction.view(&remote.pages, lsn))
}
