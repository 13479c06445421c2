//! Joins: by hash where there are equalities, else every pair; the right side is held in memory, the left one streams.
//! Rows come in the order of the left side.

mod lateral;

use crate::execute::query_memory::Reservation;
use crate::execute::row::evaluate::{Evaluator, Predicate};
use crate::execute::row::keys::{KeyColumn, sort_key};
use crate::execute::row::operator::{BATCH_ROWS, BoxOperator, Operator, Scope, open as open_node};
use crate::execute::row::shape;
use crate::sql::plan::{Join, JoinKind};
use async_trait::async_trait;
use expr::value::{Row, Value};
use expr::{Expression, SqlError};
use std::collections::HashMap;

pub fn open<'q>(join: &'q Join, scope: &Scope<'q>) -> Result<BoxOperator<'q>, SqlError> {
    if join.lateral {
        return lateral::open(join, scope);
    }
    Ok(Box::new(HashJoin {
        kind: join.kind,
        left: open_node(&join.left, scope, None)?,
        right: Some(open_node(&join.right, scope, None)?),
        left_keys: JoinKeys::new(join.equal.iter().map(|(left, _)| left), scope),
        right_keys: JoinKeys::new(join.equal.iter().map(|(_, right)| right), scope),
        matcher: Matcher::new(join, scope),
        table: RightRows::default(),
        memory: Reservation::new(&scope.execution.memory),
        pending: None,
        scope: scope.clone(),
    }))
}

/// One side of the equalities, as bytes that are the same where the values are equal.
pub(super) struct JoinKeys<'q> {
    parts: Vec<(Evaluator<'q>, KeyColumn)>,
}

impl<'q> JoinKeys<'q> {
    fn new(expressions: impl Iterator<Item = &'q Expression>, scope: &Scope<'q>) -> JoinKeys<'q> {
        let parts = expressions
            .map(|expression| {
                let column = KeyColumn { ty: expression.ty(), descending: false };
                (Evaluator::new(expression, scope), column)
            })
            .collect();
        JoinKeys { parts }
    }

    /// `None` if a part is NULL: such a row meets no other.
    async fn key(&mut self, row: &Row) -> Result<Option<Vec<u8>>, SqlError> {
        let mut key = Vec::with_capacity(12 * self.parts.len());
        for (evaluator, column) in &mut self.parts {
            let value = evaluator.eval(row).await?;
            if value.is_null() {
                return Ok(None);
            }
            sort_key(&value, column, &mut key)?;
        }
        Ok(Some(key))
    }
}

/// What becomes of a left row and the right rows that may match it.
pub(super) struct Matcher<'q> {
    kind: JoinKind,
    condition: Option<Predicate<'q>>,
    right_width: usize,
}

impl<'q> Matcher<'q> {
    pub(super) fn new(join: &'q Join, scope: &Scope<'q>) -> Matcher<'q> {
        let condition = join.condition.as_ref().map(|condition| Predicate::new(condition, scope));
        Matcher { kind: join.kind, condition, right_width: shape::width(&join.right) }
    }

    /// Whether a pair matches; the joined row if so.
    pub(super) async fn pair(&mut self, left: &Row, right: &Row) -> Result<Option<Row>, SqlError> {
        let mut joined = Vec::with_capacity(left.len() + right.len());
        joined.extend_from_slice(left);
        joined.extend_from_slice(right);
        let holds = match &mut self.condition {
            None => true,
            Some(condition) if condition.is_simple() => condition.holds_simple(&joined)?,
            Some(condition) => condition.holds(&joined).await?,
        };
        Ok(holds.then_some(joined))
    }

    /// Adds what comes of a match; true if the left row needs no further one.
    pub(super) fn matched(&self, joined: Row, output: &mut Vec<Row>) -> bool {
        match self.kind {
            JoinKind::Inner | JoinKind::Left => output.push(joined),
            JoinKind::Semi | JoinKind::Anti => {}
        }
        matches!(self.kind, JoinKind::Semi | JoinKind::Anti)
    }

    /// Adds what comes of a left row after its last match.
    pub(super) fn finish(&self, left: Row, any_match: bool, output: &mut Vec<Row>) {
        match self.kind {
            JoinKind::Inner => {}
            JoinKind::Left if any_match => {}
            JoinKind::Left => {
                let mut joined = left;
                joined.extend(std::iter::repeat_n(Value::Null, self.right_width));
                output.push(joined);
            }
            JoinKind::Semi if any_match => output.push(left),
            JoinKind::Anti if !any_match => output.push(left),
            JoinKind::Semi | JoinKind::Anti => {}
        }
    }
}

/// The right side, held.
#[derive(Default)]
struct RightRows {
    rows: Vec<Row>,
    /// Rows by key; without equalities all rows are under the empty key.
    by_key: HashMap<Vec<u8>, Vec<u32>>,
}

/// Left rows of one batch that have not met all their right rows yet.
struct Pending {
    rows: std::vec::IntoIter<Row>,
    current: Option<Current>,
}

struct Current {
    left: Row,
    key: Option<Vec<u8>>,
    next_match: usize,
    any_match: bool,
}

struct HashJoin<'q> {
    kind: JoinKind,
    left: BoxOperator<'q>,
    /// `None` once it has been read.
    right: Option<BoxOperator<'q>>,
    left_keys: JoinKeys<'q>,
    right_keys: JoinKeys<'q>,
    matcher: Matcher<'q>,
    table: RightRows,
    memory: Reservation,
    pending: Option<Pending>,
    scope: Scope<'q>,
}

impl HashJoin<'_> {
    async fn read_right(&mut self) -> Result<(), SqlError> {
        let Some(mut right) = self.right.take() else { return Ok(()) };
        while let Some(batch) = right.next().await? {
            self.scope.execution.check()?;
            self.memory.grow_rows(&batch)?;
            for row in batch {
                let Some(key) = self.right_keys.key(&row).await? else { continue };
                let position = u32::try_from(self.table.rows.len()).map_err(|_| {
                    SqlError::internal("a join's right side has more than 4 billion rows; filter it first")
                })?;
                self.memory.grow(key.len() + 4)?;
                self.table.by_key.entry(key).or_default().push(position);
                self.table.rows.push(row);
            }
            tokio::task::consume_budget().await;
        }
        Ok(())
    }

    /// Joins pending rows until the batch is full or none is left.
    async fn join_pending(&mut self, output: &mut Vec<Row>) -> Result<(), SqlError> {
        let Some(pending) = &mut self.pending else { return Ok(()) };
        let mut pairs = 0_usize;
        while output.len() < BATCH_ROWS {
            let Some(current) = &mut pending.current else {
                let Some(left) = pending.rows.next() else {
                    self.pending = None;
                    return Ok(());
                };
                let key = self.left_keys.key(&left).await?;
                pending.current = Some(Current { left, key, next_match: 0, any_match: false });
                continue;
            };
            let matches =
                current.key.as_ref().and_then(|key| self.table.by_key.get(key)).map_or(&[][..], Vec::as_slice);
            let mut finished = true;
            while let Some(&position) = matches.get(current.next_match) {
                current.next_match += 1;
                pairs += 1;
                if pairs.is_multiple_of(4 * BATCH_ROWS) {
                    self.scope.execution.check()?;
                    tokio::task::consume_budget().await;
                }
                if let Some(joined) = self.matcher.pair(&current.left, &self.table.rows[position as usize]).await? {
                    current.any_match = true;
                    if self.matcher.matched(joined, output) {
                        break;
                    }
                    if output.len() >= BATCH_ROWS {
                        finished = false;
                        break;
                    }
                }
            }
            if finished && let Some(current) = pending.current.take() {
                self.matcher.finish(current.left, current.any_match, output);
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Operator for HashJoin<'_> {
    async fn next(&mut self) -> Result<Option<Vec<Row>>, SqlError> {
        self.read_right().await?;
        if self.table.rows.is_empty() && matches!(self.kind, JoinKind::Inner | JoinKind::Semi) {
            return Ok(None);
        }
        let mut output = Vec::new();
        while output.is_empty() {
            self.scope.execution.check()?;
            if self.pending.is_none() {
                let Some(batch) = self.left.next().await? else { return Ok(None) };
                self.pending = Some(Pending { rows: batch.into_iter(), current: None });
            }
            self.join_pending(&mut output).await?;
        }
        Ok(Some(output))
    }
}
