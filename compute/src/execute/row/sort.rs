//! ORDER BY: rows in the order of their sort keys; only the first few where only those will be read.

use crate::execute::row::context::{Reservation, row_bytes};
use crate::execute::row::evaluate::Evaluator;
use crate::execute::row::keys::{KeyColumn, sort_key};
use crate::execute::row::operator::{BATCH_ROWS, BoxOperator, Operator, Scope};
use crate::sql::plan::SortKey;
use async_trait::async_trait;
use expr::SqlError;
use expr::value::{Row, Value};

/// Above this many rows, a limit is not worth a cut in between.
const TOP_ROWS_MAX: u64 = 100_000;

pub struct Sort<'q> {
    input: BoxOperator<'q>,
    keys: SortKeys<'q>,
    /// Rows that will be read at most.
    goal: Option<usize>,
    memory: Reservation,
    scope: Scope<'q>,
    sorted: Option<std::vec::IntoIter<(Vec<u8>, Row)>>,
}

impl<'q> Sort<'q> {
    pub fn new(input: BoxOperator<'q>, keys: &'q [SortKey], goal: Option<u64>, scope: &Scope<'q>) -> Sort<'q> {
        let goal = goal.filter(|&goal| goal <= TOP_ROWS_MAX).map(|goal| goal as usize);
        let memory = Reservation::new(&scope.execution.memory);
        Sort { input, keys: SortKeys::new(keys, scope), goal, memory, scope: scope.clone(), sorted: None }
    }

    async fn sort(&mut self) -> Result<std::vec::IntoIter<(Vec<u8>, Row)>, SqlError> {
        let mut rows: Vec<(Vec<u8>, Row)> = Vec::new();
        while let Some(batch) = self.input.next().await? {
            self.scope.execution.check()?;
            for row in batch {
                let key = self.keys.key(&row).await?;
                self.memory.grow(row_bytes(&row) + key.len() + size_of::<Vec<u8>>())?;
                rows.push((key, row));
            }
            if let Some(goal) = self.goal
                && rows.len() > 2 * goal + BATCH_ROWS
            {
                // The sort is stable, so what is cut off would come after `goal` rows whatever follows.
                rows.sort_by(|left, right| left.0.cmp(&right.0));
                rows.truncate(goal);
                self.memory.clear();
                self.memory.grow(rows.iter().map(|(key, row)| row_bytes(row) + key.len()).sum())?;
            }
            tokio::task::consume_budget().await;
        }
        rows.sort_by(|left, right| left.0.cmp(&right.0));
        if let Some(goal) = self.goal {
            rows.truncate(goal);
        }
        Ok(rows.into_iter())
    }
}

#[async_trait]
impl Operator for Sort<'_> {
    async fn next(&mut self) -> Result<Option<Vec<Row>>, SqlError> {
        if self.goal == Some(0) {
            return Ok(None);
        }
        if self.sorted.is_none() {
            self.sorted = Some(self.sort().await?);
        }
        let Some(sorted) = &mut self.sorted else { return Ok(None) };
        let batch: Vec<Row> = sorted.by_ref().take(BATCH_ROWS).map(|(_, row)| row).collect();
        Ok(Some(batch).filter(|batch| !batch.is_empty()))
    }
}

/// The keys of an ORDER BY as bytes whose order is the order asked for.
pub struct SortKeys<'q> {
    parts: Vec<(Evaluator<'q>, KeyColumn)>,
}

impl<'q> SortKeys<'q> {
    pub fn new(keys: &'q [SortKey], scope: &Scope<'q>) -> SortKeys<'q> {
        let parts = keys
            .iter()
            .map(|key| {
                let column = KeyColumn { ty: key.expression.ty(), descending: key.descending };
                (Evaluator::new(&key.expression, scope), column)
            })
            .collect();
        SortKeys { parts }
    }

    pub async fn key(&mut self, row: &[Value]) -> Result<Vec<u8>, SqlError> {
        let mut key = Vec::with_capacity(16 * self.parts.len());
        for (evaluator, column) in &mut self.parts {
            sort_key(&evaluator.eval(row).await?, column, &mut key)?;
        }
        Ok(key)
    }
}
