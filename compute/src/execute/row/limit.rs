//! LIMIT and OFFSET.

use crate::execute::row::evaluate::Evaluator;
use crate::execute::row::operator::{BoxOperator, Operator, Scope, open as open_node};
use crate::execute::row::truth::to_count;
use crate::sql::plan::Node;
use async_trait::async_trait;
use expr::value::Row;
use expr::{Expression, SqlError};

pub struct Limit<'q> {
    input: BoxOperator<'q>,
    offset: u64,
    remaining: u64,
}

/// `offset` and `count` are constants or parameters.
pub fn open<'q>(
    input: &'q Node,
    offset: Option<&'q Expression>,
    count: Option<&'q Expression>,
    scope: &Scope<'q>,
) -> Result<BoxOperator<'q>, SqlError> {
    let (offset, count) = bounds(offset, count, scope)?;
    let goal = count.checked_add(offset).filter(|_| count != u64::MAX);
    Ok(Box::new(Limit { input: open_node(input, scope, goal)?, offset, remaining: count }))
}

/// Values of OFFSET (0 without one) and of LIMIT (`u64::MAX` without one).
pub fn bounds<'q>(
    offset: Option<&'q Expression>,
    count: Option<&'q Expression>,
    scope: &Scope<'q>,
) -> Result<(u64, u64), SqlError> {
    let value = |expression: &'q Expression| to_count(&Evaluator::new(expression, scope).eval_simple(&[])?);
    let offset = offset.map_or(Ok(0), value)?;
    let count = count.map_or(Ok(u64::MAX), value)?;
    Ok((offset, count))
}

#[async_trait]
impl Operator for Limit<'_> {
    async fn next(&mut self) -> Result<Option<Vec<Row>>, SqlError> {
        while self.remaining > 0 {
            let Some(mut batch) = self.input.next().await? else { return Ok(None) };
            let skipped = self.offset.min(batch.len() as u64);
            self.offset -= skipped;
            batch.drain(..skipped as usize);
            if batch.is_empty() {
                continue;
            }
            batch.truncate(self.remaining.min(batch.len() as u64) as usize);
            self.remaining -= batch.len() as u64;
            return Ok(Some(batch));
        }
        Ok(None)
    }
}
