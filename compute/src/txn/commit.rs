//! Commits through the wal, and finds out what became of a commit whose answer was lost.

use crate::sql::plan::Isolation;
use crate::txn::locking;
use crate::txn::past_log;
use crate::txn::service_error::{deadlock, wal_error, with_backoff};
use crate::txn::{Remote, Transaction};
use common::id::{CommitId, Lsn, TableId, TxnId};
use common::key::{Key, table_and_index};
use common::service::wal::{CommitError, CommitRequest, WalError};
use expr::{ErrorCode, SqlError};
use std::time::Duration;

/// Tables of users begin here; keys of those below are the catalog's.
pub const FIRST_USER_TABLE: TableId = TableId(1000);

/// How often a lost outcome is asked for; with the waits of [`with_backoff`] in each, minutes in all.
const OUTCOME_ROUNDS_MAX: u32 = 30;
const OUTCOME_ROUND_WAIT: Duration = Duration::from_secs(1);

/// Why a transaction was not committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommitFailure {
    /// Someone else wrote a key first, or may have: locks were lost. Nothing was written; the statement or transaction may run again.
    Conflict,
    /// A definition that was used has changed. Nothing was written; bind again and run again.
    SchemaChanged,
    /// Nothing was written, or the outcome cannot be learned: the text says which.
    Failed(SqlError),
}

impl CommitFailure {
    /// What the client of a transaction that cannot be run again is told.
    pub fn into_sql_error(self) -> SqlError {
        match self {
            CommitFailure::Conflict => deadlock(),
            CommitFailure::SchemaChanged => {
                SqlError::new(ErrorCode(1412), "Table definition has changed, please retry transaction")
            }
            CommitFailure::Failed(error) => error,
        }
    }
}

/// Commits. Afterwards the transaction is over, whatever the answer; its locks are gone.
/// Answers with the LSN of the commit; a transaction without writes has none of its own and answers with `None`.
pub async fn commit(mut transaction: Transaction, remote: &Remote) -> Result<Option<Lsn>, CommitFailure> {
    if !transaction.has_writes() {
        // What it read may not be shown before it is durable; locks of SERIALIZABLE must have held until now.
        let shown = locking::wait_durable(&transaction.locks(), remote).await;
        if let Err(error) = shown {
            roll_back(transaction, remote).await;
            return Err(if error.code == ErrorCode::LOCK_DEADLOCK {
                CommitFailure::Conflict
            } else {
                CommitFailure::Failed(error)
            });
        }
        if transaction.isolation() != Isolation::Serializable || !transaction.has_locks() {
            roll_back(transaction, remote).await;
            return Ok(None);
        }
    }
    if past_log::is_large(&transaction, remote)
        && let Err(error) = past_log::store(&mut transaction, remote).await
    {
        roll_back(transaction, remote).await;
        return Err(CommitFailure::Failed(error));
    }
    let nothing_to_write = !transaction.has_writes();
    let txn = transaction.id();
    let commit_id = CommitId((remote.new_id)());
    let answer = match transaction.into_commit(commit_id) {
        Ok(request) => send(request, remote).await,
        Err(error) => Err(Refusal::Failed(error)),
    };
    if answer.is_err() {
        unlock(txn, remote).await;
    }
    answer.map(|lsn| (!nothing_to_write).then_some(lsn)).map_err(CommitFailure::from)
}

/// The lock table frees locks with the commit; after a refusal they are still ours. Lost unlocks expire there.
pub(super) async fn unlock(txn: TxnId, remote: &Remote) {
    if let Err(error) = remote.wal.unlock(txn).await {
        tracing::debug!(%error, "unlock after a refused commit");
    }
}

/// Why a commit has no effect.
pub(super) enum Refusal {
    /// This key has another version, or is locked by somebody else.
    Conflict(Key),
    LocksLost,
    Failed(SqlError),
}

impl From<Refusal> for CommitFailure {
    fn from(refusal: Refusal) -> CommitFailure {
        match refusal {
            Refusal::Conflict(key) => conflict(&key),
            Refusal::LocksLost => CommitFailure::Conflict,
            Refusal::Failed(error) => CommitFailure::Failed(error),
        }
    }
}

pub(super) async fn send(request: CommitRequest, remote: &Remote) -> Result<Lsn, Refusal> {
    let commit_id = request.commit_id;
    let attempt = with_backoff(|| {
        let request = request.clone();
        async move {
            match remote.wal.commit(request).await {
                Ok(reply) => Ok(Ok(reply.lsn)),
                // Commits are idempotent by id, so these may be sent again.
                Err(CommitError::Wal(error @ (WalError::NotLeader { .. } | WalError::Unavailable(_)))) => Err(error),
                Err(error) => Ok(Err(error)),
            }
        }
    });
    match attempt.await {
        Ok(Ok(lsn)) => Ok(lsn),
        Ok(Err(CommitError::Conflict { key, .. })) => Err(Refusal::Conflict(key)),
        Ok(Err(CommitError::LocksLost)) => Err(Refusal::LocksLost),
        Ok(Err(CommitError::Refused(text))) => {
            Err(Refusal::Failed(SqlError::internal(format!("The log refused the commit: {text}"))))
        }
        Ok(Err(CommitError::Unknown(_))) | Err(_) => learn_outcome(commit_id, remote).await,
        Ok(Err(CommitError::Wal(error))) => Err(Refusal::Failed(wal_error(error))),
    }
}

fn conflict(key: &Key) -> CommitFailure {
    match table_and_index(key) {
        Some((table, _)) if table < FIRST_USER_TABLE => CommitFailure::SchemaChanged,
        _ => CommitFailure::Conflict,
    }
}

async fn learn_outcome(commit_id: CommitId, remote: &Remote) -> Result<Lsn, Refusal> {
    for round in 0..OUTCOME_ROUNDS_MAX {
        if round > 0 {
            tokio::time::sleep(OUTCOME_ROUND_WAIT).await;
        }
        match with_backoff(|| remote.wal.outcome(commit_id)).await {
            Ok(Some(lsn)) => return Ok(lsn),
            Ok(None) => return Err(Refusal::LocksLost),
            Err(error) => tracing::warn!(%error, round, "the outcome of a commit is not known yet"),
        }
    }
    Err(Refusal::Failed(SqlError::internal(
        "The log did not answer in time: it is not known whether the transaction was committed",
    )))
}

/// Ends a transaction without a commit.
pub async fn roll_back(transaction: Transaction, remote: &Remote) {
    if transaction.has_locks() {
        let txn = transaction.id();
        if let Err(error) = with_backoff(|| remote.wal.unlock(txn)).await {
            // The lock table forgets transactions it hears nothing of; nobody waits for ever.
            tracing::warn!(%error, "locks of a rolled back transaction could not be freed");
        }
    }
}
