//! Joins whose right side reads the left's row: LATERAL, and joins that look rows up by an index.
//!
//! Where the right side is a plain scan by keys, the lookups of a whole batch of left rows travel together.

use crate::execute::row::evaluate::Predicate;
use crate::execute::row::join::{JoinKeys, Matcher};
use crate::execute::row::operator::{BoxOperator, Operator, Scope, open as open_node};
use crate::execute::row::scan::lookup::{self, Lookups};
use crate::sql::plan::{Join, JoinKind};
use async_trait::async_trait;
use expr::SqlError;
use expr::value::Row;
use std::sync::Arc;

pub fn open<'q>(join: &'q Join, scope: &Scope<'q>) -> Result<BoxOperator<'q>, SqlError> {
    Ok(Box::new(LateralJoin {
        left: open_node(&join.left, scope, None)?,
        join,
        lookups: Lookups::new(&join.right),
        matcher: Matcher::new(join, scope),
        left_keys: JoinKeys::new(join.equal.iter().map(|(left, _)| left), scope),
        right_keys: JoinKeys::new(join.equal.iter().map(|(_, right)| right), scope),
        scope: scope.clone(),
    }))
}

struct LateralJoin<'q> {
    left: BoxOperator<'q>,
    join: &'q Join,
    /// If the right side can be read for many left rows at once.
    lookups: Option<Lookups<'q>>,
    matcher: Matcher<'q>,
    left_keys: JoinKeys<'q>,
    right_keys: JoinKeys<'q>,
    scope: Scope<'q>,
}

impl<'q> LateralJoin<'q> {
    /// Whether nothing but "one match or none" is asked of the right side.
    fn first_match_suffices(&self) -> bool {
        matches!(self.join.kind, JoinKind::Semi | JoinKind::Anti)
    }

    /// Joins a left row with the right rows read for it; true if no more of them are needed.
    async fn join_rows(
        &mut self,
        left: &Row,
        rights: Vec<Row>,
        any_match: &mut bool,
        output: &mut Vec<Row>,
    ) -> Result<bool, SqlError> {
        let left_key = self.left_keys.key(left).await?;
        let Some(left_key) = left_key else { return Ok(true) };
        for right in rights {
            if self.right_keys.key(&right).await?.as_ref() != Some(&left_key) {
                continue;
            }
            if let Some(joined) = self.matcher.pair(left, &right).await? {
                *any_match = true;
                if self.matcher.matched(joined, output) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    async fn one_by_one(&mut self, batch: Vec<Row>) -> Result<Vec<Row>, SqlError> {
        let mut output = Vec::new();
        // One match is enough only if every right row is one.
        let goal =
            (self.first_match_suffices() && self.join.equal.is_empty() && self.join.condition.is_none()).then_some(1);
        for left in batch {
            self.scope.execution.check()?;
            let left = Arc::new(left);
            let mut right = open_node(&self.join.right, &self.scope.lateral(left.clone()), goal)?;
            let mut any_match = false;
            while let Some(rights) = right.next().await? {
                if self.join_rows(&left, rights, &mut any_match, &mut output).await? {
                    break;
                }
            }
            drop(right);
            self.matcher.finish(Arc::unwrap_or_clone(left), any_match, &mut output);
            tokio::task::consume_budget().await;
        }
        Ok(output)
    }

    async fn together(&mut self, lookups: &Lookups<'q>, batch: Vec<Row>) -> Result<Option<Vec<Row>>, SqlError> {
        let lefts: Vec<Arc<Row>> = batch.into_iter().map(Arc::new).collect();
        let Some(found) = lookups.read(&lefts, &self.scope).await? else { return Ok(None) };
        let mut output = Vec::new();
        for (left, mut rights) in lefts.into_iter().zip(found) {
            let mut any_match = false;
            if let Some(filter) = lookups.filter() {
                Predicate::new(filter, &self.scope.lateral(left.clone())).retain(&mut rights).await?;
            }
            self.join_rows(&left, rights, &mut any_match, &mut output).await?;
            self.matcher.finish(Arc::unwrap_or_clone(left), any_match, &mut output);
        }
        Ok(Some(output))
    }
}

#[async_trait]
impl Operator for LateralJoin<'_> {
    async fn next(&mut self) -> Result<Option<Vec<Row>>, SqlError> {
        while let Some(mut batch) = self.left.next().await? {
            self.scope.execution.check()?;
            let mut output = Vec::new();
            // A left row may find many right rows, so that a batch of lookups is kept smaller than a batch of rows.
            while !batch.is_empty() {
                let rest = batch.split_off(batch.len().min(lookup::BATCH_KEYS));
                let rows = std::mem::replace(&mut batch, rest);
                let joined = match &self.lookups {
                    Some(lookups) => {
                        let lookups = lookups.clone();
                        match self.together(&lookups, rows.clone()).await? {
                            Some(joined) => joined,
                            None => self.one_by_one(rows).await?,
                        }
                    }
                    None => self.one_by_one(rows).await?,
                };
                output.extend(joined);
            }
            if !output.is_empty() {
                return Ok(Some(output));
            }
        }
        Ok(None)
    }
}
