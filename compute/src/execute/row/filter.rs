//! Operators that look at one row at a time: constant rows, WHERE, the select list.

use crate::execute::row::evaluate::{Evaluator, Predicate};
use crate::execute::row::operator::{BoxOperator, Operator, Scope};
use async_trait::async_trait;
use expr::value::Row;
use expr::{Expression, SqlError};

/// Rows that are there already.
pub struct Once {
    rows: Option<Vec<Row>>,
}

impl Once {
    pub fn new(rows: Vec<Row>) -> Once {
        Once { rows: Some(rows).filter(|rows| !rows.is_empty()) }
    }
}

#[async_trait]
impl Operator for Once {
    async fn next(&mut self) -> Result<Option<Vec<Row>>, SqlError> {
        Ok(self.rows.take())
    }
}

/// VALUES ROW(...), ...
pub struct Values<'q> {
    rows: &'q [Vec<Expression>],
    scope: Scope<'q>,
}

impl<'q> Values<'q> {
    pub fn new(rows: &'q [Vec<Expression>], scope: &Scope<'q>) -> Values<'q> {
        Values { rows, scope: scope.clone() }
    }
}

#[async_trait]
impl Operator for Values<'_> {
    async fn next(&mut self) -> Result<Option<Vec<Row>>, SqlError> {
        self.scope.execution.check()?;
        let count = self.rows.len().min(super::operator::BATCH_ROWS);
        if count == 0 {
            return Ok(None);
        }
        let mut batch = Vec::with_capacity(count);
        for expressions in &self.rows[..count] {
            let mut row = Vec::with_capacity(expressions.len());
            for expression in expressions {
                row.push(Evaluator::new(expression, &self.scope).eval(&[]).await?);
            }
            batch.push(row);
        }
        self.rows = &self.rows[count..];
        Ok(Some(batch))
    }
}

/// Rows for which a predicate is true.
pub struct Filter<'q> {
    input: BoxOperator<'q>,
    predicate: Predicate<'q>,
    scope: Scope<'q>,
}

impl<'q> Filter<'q> {
    pub fn new(input: BoxOperator<'q>, predicate: &'q Expression, scope: &Scope<'q>) -> Filter<'q> {
        Filter { input, predicate: Predicate::new(predicate, scope), scope: scope.clone() }
    }
}

#[async_trait]
impl Operator for Filter<'_> {
    async fn next(&mut self) -> Result<Option<Vec<Row>>, SqlError> {
        while let Some(mut batch) = self.input.next().await? {
            self.scope.execution.check()?;
            self.predicate.retain(&mut batch).await?;
            if !batch.is_empty() {
                return Ok(Some(batch));
            }
            tokio::task::consume_budget().await;
        }
        Ok(None)
    }
}

/// One value for each expression.
pub struct Project<'q> {
    input: BoxOperator<'q>,
    evaluators: Vec<Evaluator<'q>>,
    /// Where all expressions are columns, each another one: then values are moved.
    columns: Option<Vec<usize>>,
    scope: Scope<'q>,
}

impl<'q> Project<'q> {
    pub fn new(input: BoxOperator<'q>, expressions: &'q [Expression], scope: &Scope<'q>) -> Project<'q> {
        let evaluators = expressions.iter().map(|expression| Evaluator::new(expression, scope)).collect();
        Project { input, evaluators, columns: different_columns(expressions), scope: scope.clone() }
    }
}

fn different_columns(expressions: &[Expression]) -> Option<Vec<usize>> {
    let mut columns = Vec::with_capacity(expressions.len());
    for expression in expressions {
        match expression {
            Expression::Column { index, .. } if !columns.contains(index) => columns.push(*index),
            _ => return None,
        }
    }
    Some(columns)
}

/// The row's values at these columns; `None` if it does not have them all.
fn moved(row: &mut Row, columns: &[usize]) -> Option<Row> {
    if row.len() == columns.len() && columns.iter().enumerate().all(|(at, column)| at == *column) {
        return Some(std::mem::take(row));
    }
    let has_all = columns.iter().all(|column| *column < row.len());
    has_all.then(|| columns.iter().map(|column| std::mem::take(&mut row[*column])).collect())
}

#[async_trait]
impl Operator for Project<'_> {
    async fn next(&mut self) -> Result<Option<Vec<Row>>, SqlError> {
        let Some(batch) = self.input.next().await? else { return Ok(None) };
        self.scope.execution.check()?;
        let mut output = Vec::with_capacity(batch.len());
        for mut row in batch {
            if let Some(columns) = &self.columns
                && let Some(row) = moved(&mut row, columns)
            {
                output.push(row);
                continue;
            }
            let mut projected = Vec::with_capacity(self.evaluators.len());
            for evaluator in &mut self.evaluators {
                projected.push(evaluator.eval(&row).await?);
            }
            output.push(projected);
        }
        Ok(Some(output))
    }
}
