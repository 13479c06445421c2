//! What a running query shares with its session and among its operators: what it reads, its memory, its end.

use crate::catalog::Catalog;
use crate::catalog::virtual_tables::VirtualContext;
use crate::execute::query_memory::{MemoryBudget, QueryMemory};
use crate::execute::row::profile::Profile;
use crate::execute::row::waiting::WaitingFunctions;
use crate::sql::plan::ScanLock;
use crate::txn::Interrupt;
use crate::txn::read_view::ReadView;
use async_trait::async_trait;
use common::key::{Key, KeyRange};
use expr::eval::{EvalContext, SubqueryResult};
use expr::value::{Row, Value};
use expr::{ErrorCode, SqlError};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;

/// What a session gives to a query that it runs.
#[derive(Clone)]
pub struct QueryContext {
    pub view: ReadView,
    pub eval: EvalContext,
    pub catalog: Arc<Catalog>,
    pub virtual_tables: VirtualContext,
    /// Of the transaction, for scans with a lock; `None` where nothing may be locked.
    pub locker: Option<Arc<dyn Locker>>,
    /// What it may hold, and what all queries may.
    pub memory: Arc<QueryMemory>,
    pub cancel: Arc<Cancel>,
    /// `cte_max_recursion_depth`.
    pub recursion_depth_max: u64,
    /// Answers SLEEP, GET_LOCK and its kin.
    pub waiting: Arc<dyn WaitingFunctions>,
    /// With SQL_CALC_FOUND_ROWS: how many rows there would have been without LIMIT; written when the query ends.
    pub found_rows: Arc<AtomicU64>,
    /// EXPLAIN ANALYZE: what the operators do is measured.
    pub profile: Option<Arc<Profile>>,
}

/// MySQL's default of `cte_max_recursion_depth`.
pub const RECURSION_DEPTH_MAX_DEFAULT: u64 = 1000;

/// What a transaction does for scans that lock.
#[async_trait]
pub trait Locker: Send + Sync {
    /// The newest committed data with the transaction's own writes over it.
    async fn newest(&self) -> Result<ReadView, SqlError>;

    /// Locks keys and ranges as `lock` says.
    async fn lock(&self, keys: Vec<Key>, ranges: Vec<KeyRange>, lock: ScanLock) -> Result<Locked, SqlError>;

    /// Gives back keys that turned out not to be wanted.
    async fn unlock(&self, keys: Vec<Key>) -> Result<(), SqlError>;

    /// True if the transaction had locked the key before.
    fn holds(&self, key: &Key) -> bool;

    /// True where what a scan reads is locked as a whole, so that nothing appears in it: REPEATABLE READ, SERIALIZABLE.
    fn locks_ranges(&self) -> bool;
}

/// What was locked.
pub struct Locked {
    /// Shows the newest version of every key granted.
    pub view: ReadView,
    /// One for each key; false only under SKIP LOCKED.
    pub granted: Vec<bool>,
}

/// How a running query is told to end: KILL QUERY, a closed connection, `max_execution_time`.
#[derive(Debug, Default)]
pub struct Cancel {
    state: AtomicU8,
    notify: Notify,
}

impl Cancel {
    const KILLED: u8 = 1;
    const TIMED_OUT: u8 = 2;

    /// Ends the query with error 1317.
    pub fn kill(&self) {
        self.set(Self::KILLED);
    }

    /// Ends the query with error 3024.
    pub fn time_out(&self) {
        self.set(Self::TIMED_OUT);
    }

    fn set(&self, state: u8) {
        // The first reason stays.
        let _ = self.state.compare_exchange(0, state, Ordering::AcqRel, Ordering::Acquire);
        self.notify.notify_waiters();
    }

    /// Makes it ready for the next statement.
    pub fn reset(&self) {
        self.state.store(0, Ordering::Release);
    }

    /// The error to end with, if the query shall end.
    pub fn check(&self) -> Result<(), SqlError> {
        match self.state.load(Ordering::Acquire) {
            0 => Ok(()),
            Self::TIMED_OUT => Err(SqlError::new(
                ErrorCode::QUERY_TIMEOUT,
                "Query execution was interrupted, maximum statement execution time exceeded",
            )),
            _ => Err(SqlError::new(ErrorCode::QUERY_INTERRUPTED, "Query execution was interrupted")),
        }
    }

    /// For waits outside of queries.
    pub fn interrupt(self: &Arc<Cancel>) -> Interrupt {
        let cancel = self.clone();
        Arc::new(move || {
            let cancel = cancel.clone();
            Box::pin(async move { cancel.cancelled().await })
        })
    }

    /// Waits until the query shall end, and gives the error to end with.
    pub async fn cancelled(&self) -> SqlError {
        loop {
            let notified = self.notify.notified();
            if let Err(error) = self.check() {
                return error;
            }
            notified.await;
        }
    }
}

/// One run of a query, shared by its operators and subqueries.
pub struct Execution {
    pub context: QueryContext,
    pub memory: Arc<MemoryBudget>,
    /// Results of subqueries that read nothing of the rows around them, by the address of the plan's subquery: the plan
    /// outlives the execution.
    pub(super) uncorrelated: Mutex<HashMap<usize, SubqueryResult>>,
}

impl Execution {
    pub fn new(context: QueryContext) -> Arc<Execution> {
        let memory = Arc::new(MemoryBudget::new(context.memory.clone()));
        Arc::new(Execution { context, memory, uncorrelated: Mutex::default() })
    }

    /// Called once per batch by every operator that loops.
    pub fn check(&self) -> Result<(), SqlError> {
        self.context.cancel.check()
    }
}

/// About what a row takes in memory.
pub fn row_bytes(row: &[Value]) -> usize {
    let heap: usize = row
        .iter()
        .map(|value| match value {
            // Short texts live inside the value.
            Value::Text(text) if text.len() > 24 => text.len(),
            Value::Bytes(bytes) => bytes.len() + 16,
            // A guess: counting would cost more than it is worth.
            Value::Json(_) => 256,
            _ => 0,
        })
        .sum();
    size_of::<Row>() + size_of_val(row) + heap
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_reason_to_end_stays() {
        let cancel = Cancel::default();
        cancel.check().unwrap();
        cancel.time_out();
        cancel.kill();
        assert_eq!(cancel.check().unwrap_err().code, ErrorCode::QUERY_TIMEOUT);
        cancel.reset();
        cancel.check().unwrap();
    }
}
