//! Subqueries in expressions: run once if they read nothing of the row, else once for each different row they see.

use crate::execute::query_memory::Reservation;
use crate::execute::row::keys::exact_key;
use crate::execute::row::operator::{Scope, collect, open};
use crate::execute::row::walk::{self, OuterColumns};
use crate::sql::plan::{Subquery, SubqueryKind};
use expr::eval::SubqueryResult;
use expr::value::{Row, Value};
use expr::{ErrorCode, SqlError};
use std::collections::HashMap;
use std::sync::Arc;

/// Results that are remembered for one correlated subquery, at most.
const MEMO_ENTRIES_MAX: usize = 10_000;

/// One subquery of one expression of one operator.
pub struct SubqueryRun<'q> {
    id: usize,
    subquery: &'q Subquery,
    scope: Scope<'q>,
    /// What it reads of the row; `None` if its result must not be remembered.
    reads: Option<Vec<usize>>,
    memo: HashMap<Vec<u8>, SubqueryResult>,
    memory: Reservation,
}

impl<'q> SubqueryRun<'q> {
    pub fn new(id: usize, scope: &Scope<'q>) -> SubqueryRun<'q> {
        let subquery = &scope.subqueries[id];
        let reads = match walk::outer_columns(&subquery.query) {
            OuterColumns::Pure(columns) => Some(columns),
            OuterColumns::Volatile => None,
        };
        let memory = Reservation::new(&scope.execution.memory);
        SubqueryRun { id, subquery, scope: scope.clone(), reads, memo: HashMap::new(), memory }
    }

    pub fn id(&self) -> usize {
        self.id
    }

    pub fn is_correlated(&self) -> bool {
        self.subquery.correlated
    }

    /// For subqueries that read nothing of the rows around them: their one result in this execution.
    pub async fn result_once(&mut self) -> Result<SubqueryResult, SqlError> {
        let address = std::ptr::from_ref(self.subquery) as usize;
        let known = self.scope.execution.uncorrelated.lock().expect("no panic under the lock").get(&address).cloned();
        if let Some(result) = known {
            return Ok(result);
        }
        // Kept for the whole execution, so its memory is never given back.
        let result = self.run(Arc::new(Row::new())).await?;
        let mut results = self.scope.execution.uncorrelated.lock().expect("no panic under the lock");
        results.insert(address, result.clone());
        Ok(result)
    }

    /// The result as seen from a row.
    pub async fn result_for(&mut self, row: &Arc<Row>) -> Result<SubqueryResult, SqlError> {
        let Some(reads) = &self.reads else { return self.run(row.clone()).await };
        let mut key = Vec::new();
        for &column in reads {
            exact_key(row.get(column).unwrap_or(&Value::Null), &mut key);
        }
        if let Some(result) = self.memo.get(&key) {
            return Ok(result.clone());
        }
        let result = self.run(row.clone()).await?;
        if self.memo.len() < MEMO_ENTRIES_MAX {
            self.memory.grow(key.len() + size_of::<SubqueryResult>() + 64)?;
            self.memo.insert(key, result.clone());
        }
        Ok(result)
    }

    async fn run(&mut self, row: Arc<Row>) -> Result<SubqueryResult, SqlError> {
        let execution = self.scope.execution.clone();
        execution.check()?;
        let query = &self.subquery.query;
        let scope = self.scope.inner(&query.subqueries, Some(row));
        match self.subquery.kind {
            SubqueryKind::Exists => {
                let mut operator = open(&query.root, &scope, Some(1))?;
                Ok(SubqueryResult::Scalar(Value::boolean(operator.next().await?.is_some())))
            }
            SubqueryKind::Scalar => {
                let mut operator = open(&query.root, &scope, Some(2))?;
                let Some(mut first) = operator.next().await? else { return Ok(SubqueryResult::Scalar(Value::Null)) };
                if first.len() > 1 || operator.next().await?.is_some() {
                    return Err(SqlError::new(ErrorCode::SUBQUERY_NO_1_ROW, "Subquery returns more than 1 row"));
                }
                Ok(SubqueryResult::Scalar(first.swap_remove(0).into_iter().next().unwrap_or(Value::Null)))
            }
            SubqueryKind::Rows => {
                let mut operator = open(&query.root, &scope, None)?;
                let rows = collect(&mut *operator, &execution, &mut self.memory).await?;
                Ok(SubqueryResult::Rows(Arc::new(rows)))
            }
        }
    }
}
