//! ORDER BY: rows in the order of their sort keys; only the first few where only those will be read, and only the first
//! of equal ones for a DISTINCT over the same columns.

use crate::execute::query_memory::Reservation;
use crate::execute::row::context::row_bytes;
use crate::execute::row::evaluate::Evaluator;
use crate::execute::row::keys::{KeyColumn, sort_key};
use crate::execute::row::operator::{self, BATCH_ROWS, BoxOperator, Operator, Scope};
use crate::execute::row::order::{Order, Place};
use crate::execute::row::shape;
use crate::sql::plan::{Node, SortKey};
use async_trait::async_trait;
use expr::value::{Row, Value};
use expr::{Expression, SqlError};

/// Above this many rows, a limit is not worth a cut in between.
const TOP_ROWS_MAX: u64 = 100_000;

pub struct Sort<'q> {
    input: BoxOperator<'q>,
    order: Order<'q>,
    /// Rows that will be read at most.
    goal: Option<usize>,
    /// Of rows that are equal in all keys, the first alone.
    distinct: bool,
    memory: Reservation,
    scope: Scope<'q>,
    sorted: Option<std::vec::IntoIter<(Place, Row)>>,
}

/// A sort of `input`, with a DISTINCT in it where both go by the same columns.
pub fn open<'q>(
    input: &'q Node,
    keys: &'q [SortKey],
    goal: Option<u64>,
    scope: &Scope<'q>,
) -> Result<Sort<'q>, SqlError> {
    // EXPLAIN ANALYZE measures the two apart.
    let is_measured = scope.execution.context.profile.is_some();
    match input {
        Node::Distinct { input } if !is_measured && covers(keys, shape::width(input)) => {
            let sort = Sort::new(operator::open(input, scope, None)?, keys, goal, scope);
            Ok(Sort { distinct: true, ..sort })
        }
        _ => Ok(Sort::new(operator::open(input, scope, None)?, keys, goal, scope)),
    }
}

/// Whether every one of the columns is a key.
fn covers(keys: &[SortKey], columns: usize) -> bool {
    let is_key = |column: usize| {
        let same = |key: &SortKey| matches!(key.expression, Expression::Column { index, .. } if index == column);
        keys.iter().any(same)
    };
    (0..columns).all(is_key)
}

impl<'q> Sort<'q> {
    fn new(input: BoxOperator<'q>, keys: &'q [SortKey], goal: Option<u64>, scope: &Scope<'q>) -> Sort<'q> {
        let goal = goal.filter(|&goal| goal <= TOP_ROWS_MAX).map(|goal| goal as usize);
        let memory = Reservation::new(&scope.execution.memory);
        Sort {
            input,
            order: Order::new(keys, scope),
            goal,
            distinct: false,
            memory,
            scope: scope.clone(),
            sorted: None,
        }
    }

    async fn sort(&mut self) -> Result<std::vec::IntoIter<(Place, Row)>, SqlError> {
        let mut rows: Vec<(Place, Row)> = Vec::new();
        // With fewer rows a cut in between is not worth its sort.
        let mut rows_max = self.goal.map_or(2 * BATCH_ROWS, |goal| 2 * goal + BATCH_ROWS);
        while let Some(batch) = self.input.next().await? {
            self.scope.execution.check()?;
            for row in batch {
                let place = self.order.place(&row).await?;
                self.memory.grow(row_bytes(&row) + place.bytes())?;
                rows.push((place, row));
            }
            if rows.len() > rows_max && (self.goal.is_some() || self.distinct) {
                self.cut(&mut rows);
                if self.goal.is_none() {
                    rows_max = rows_max.max(2 * rows.len());
                }
                self.memory.clear();
                self.memory.grow(rows.iter().map(|(place, row)| row_bytes(row) + place.bytes()).sum())?;
            }
            tokio::task::consume_budget().await;
        }
        self.cut(&mut rows);
        Ok(rows.into_iter())
    }

    /// Sorts, and takes out what will not be read. The sort is stable: what is cut off would come after `goal` rows
    /// whatever follows, and of equal rows the first stays.
    fn cut(&self, rows: &mut Vec<(Place, Row)>) {
        let order =
            |left: &(Place, Row), right: &(Place, Row)| self.order.compare((&left.0, &left.1), (&right.0, &right.1));
        rows.sort_by(order);
        if self.distinct {
            rows.dedup_by(|later, earlier| order(earlier, later).is_eq());
        }
        if let Some(goal) = self.goal {
            rows.truncate(goal);
        }
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
