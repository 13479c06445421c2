//! What a client is told when a service answers with an error, and how long we try before telling.

use common::service::page::PageError;
use common::service::wal::{LockError, WalError};
use expr::{ErrorCode, SqlError};
use std::future::Future;
use std::time::Duration;

/// Attempts of a request that may be repeated. With the waits below: about 5 s, longer than an election takes.
const ATTEMPTS_MAX: u32 = 10;
const WAIT_FIRST: Duration = Duration::from_millis(10);
const WAIT_MAX: Duration = Duration::from_secs(1);

/// An error that may pass by itself.
pub trait Transient {
    fn is_transient(&self) -> bool;
}

impl Transient for PageError {
    fn is_transient(&self) -> bool {
        matches!(self, PageError::Behind { .. } | PageError::Unavailable(_))
    }
}

impl Transient for WalError {
    fn is_transient(&self) -> bool {
        matches!(self, WalError::NotLeader { .. } | WalError::Unavailable(_))
    }
}

impl Transient for LockError {
    fn is_transient(&self) -> bool {
        matches!(self, LockError::Wal(error) if error.is_transient())
    }
}

/// Asks again while the answer is an error that may pass, a bounded number of times.
pub async fn with_backoff<T, E, F, Fut>(mut request: F) -> Result<T, E>
where
    E: Transient,
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    let mut wait = WAIT_FIRST;
    for _ in 1..ATTEMPTS_MAX {
        match request().await {
            Err(error) if error.is_transient() => {
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(WAIT_MAX);
            }
            answer => return answer,
        }
    }
    request().await
}

pub fn page_error(error: PageError) -> SqlError {
    match error {
        PageError::TooOld { wanted, horizon } => SqlError::internal(format!(
            "Snapshot too old: this transaction reads at {wanted}, versions are kept from {horizon} on; \
             end it and start a new one"
        )),
        PageError::Behind { wanted, applied } => {
            SqlError::internal(format!("The page server has applied {applied} and not yet {wanted}; try again"))
        }
        PageError::Unavailable(text) => {
            SqlError::internal(format!("The page server does not answer ({text}); try again"))
        }
        PageError::Corrupt(text) => SqlError::internal(format!("Stored data is damaged: {text}")),
        PageError::BadRequest(text) => SqlError::internal(format!("The page server refused a request: {text}")),
    }
}

pub fn wal_error(error: WalError) -> SqlError {
    match error {
        WalError::NotLeader { .. } => SqlError::internal("The log has no leader at the moment; try again"),
        WalError::Trimmed { first } => SqlError::internal(format!("The log begins at {first}; restart this compute")),
        WalError::Unavailable(text) => SqlError::internal(format!("The log does not answer ({text}); try again")),
        WalError::Corrupt(text) => SqlError::internal(format!("The log is damaged: {text}")),
    }
}

pub fn lock_error(error: LockError) -> SqlError {
    match error {
        LockError::Deadlock => deadlock(),
        LockError::Timeout => {
            SqlError::new(ErrorCode::LOCK_WAIT_TIMEOUT, "Lock wait timeout exceeded; try restarting transaction")
        }
        LockError::NotAvailable => SqlError::new(
            ErrorCode::LOCK_NOWAIT,
            "Statement aborted because lock(s) could not be acquired immediately and NOWAIT is set.",
        ),
        LockError::Full => {
            SqlError::new(ErrorCode::LOCK_TABLE_FULL, "The total number of locks exceeds the lock table size")
        }
        LockError::Wal(error) => wal_error(error),
    }
}

/// MySQL's 1213, also for a commit that met a newer version: both mean "nothing was written, run it again".
pub fn deadlock() -> SqlError {
    SqlError::new(ErrorCode::LOCK_DEADLOCK, "Deadlock found when trying to get lock; try restarting transaction")
}
