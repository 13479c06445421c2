//! What statements need of stored routines: their triggers fired, and the transaction lent to the functions they call.
//!
//! The session supplies it: bodies are made of statements, and nothing here knows how those run.

use crate::catalog::{TableDef, TriggerDef};
use crate::txn::Transaction;
use async_trait::async_trait;
use expr::SqlError;
use expr::value::Row;
use std::sync::Arc;

/// A row before and after a change; what a trigger's NEW and OLD are.
#[derive(Debug, Clone, Default)]
pub struct RowPair {
    pub old: Option<Row>,
    pub new: Option<Row>,
}

#[async_trait]
pub trait Routines: Send + Sync {
    /// Runs a trigger's body in the transaction of the statement that fires it, and gives NEW as the body left it.
    async fn fire(
        &self,
        trigger: &Arc<TriggerDef>,
        table: &Arc<TableDef>,
        rows: RowPair,
        transaction: &mut Transaction,
    ) -> Result<RowPair, SqlError>;

    /// True if the statement calls stored functions.
    fn calls_functions(&self) -> bool;

    /// Until it is taken back, functions work in this transaction.
    fn lend(&self, transaction: Transaction);

    fn take_back(&self) -> Option<Transaction>;
}
