//! GROUP BY, DISTINCT aggregates, WITH ROLLUP: groups by keys under which equal values are the same bytes.
//!
//! Groups come in the order in which they were first seen; with ROLLUP sorted, each followed by what sums it up.

use crate::execute::query_memory::Reservation;
use crate::execute::row::accumulate::{CallPlan, CallState};
use crate::execute::row::context::row_bytes;
use crate::execute::row::evaluate::Evaluator;
use crate::execute::row::keys::{KeyColumn, sort_key};
use crate::execute::row::operator::{BATCH_ROWS, BoxOperator, Operator, Scope};
use crate::sql::plan::AggregateCall;
use async_trait::async_trait;
use expr::aggregate::AggregateFunction;
use expr::value::{Row, Value};
use expr::{Expression, SqlError};
use indexmap::IndexMap;

pub struct Aggregate<'q> {
    input: BoxOperator<'q>,
    group_by: Vec<(Evaluator<'q>, KeyColumn)>,
    rollup: bool,
    calls: Vec<CallPlan<'q>>,
    /// Groups by how many of the group columns they have: without ROLLUP only the last is used.
    levels: Vec<IndexMap<Vec<u8>, Group>>,
    memory: Reservation,
    scope: Scope<'q>,
    output: Option<std::vec::IntoIter<Row>>,
}

struct Group {
    values: Row,
    /// Where in the key each of its values ends.
    ends: Vec<usize>,
    calls: Vec<CallState>,
}

impl<'q> Aggregate<'q> {
    pub fn new(
        input: BoxOperator<'q>,
        group_by: &'q [Expression],
        rollup: bool,
        aggregates: &'q [AggregateCall],
        scope: &Scope<'q>,
    ) -> Aggregate<'q> {
        let columns = group_by
            .iter()
            .map(|expression| {
                let column = KeyColumn { ty: expression.ty(), descending: false };
                (Evaluator::new(expression, scope), column)
            })
            .collect();
        Aggregate {
            input,
            group_by: columns,
            rollup: rollup && !group_by.is_empty(),
            calls: aggregates.iter().map(|call| CallPlan::new(call, group_by, scope)).collect(),
            levels: (0..=group_by.len()).map(|_| IndexMap::new()).collect(),
            memory: Reservation::new(&scope.execution.memory),
            scope: scope.clone(),
            output: None,
        }
    }

    async fn read_input(&mut self) -> Result<(), SqlError> {
        while let Some(batch) = self.input.next().await? {
            self.scope.execution.check()?;
            for row in &batch {
                self.add(row).await?;
            }
            tokio::task::consume_budget().await;
        }
        Ok(())
    }

    async fn add(&mut self, row: &Row) -> Result<(), SqlError> {
        let mut key = Vec::new();
        let mut values = Vec::with_capacity(self.group_by.len());
        let mut ends = Vec::with_capacity(self.group_by.len());
        for (evaluator, column) in &mut self.group_by {
            let value = evaluator.eval(row).await?;
            sort_key(&value, column, &mut key)?;
            values.push(value);
            ends.push(key.len());
        }
        let mut arguments = Vec::with_capacity(self.calls.len());
        for call in &mut self.calls {
            arguments.push(call.arguments(row).await?);
        }
        let count = values.len();
        let first_level = if self.rollup { 0 } else { count };
        for level in first_level..=count {
            let key = &key[..if level == 0 { 0 } else { ends[level - 1] }];
            let group = match self.levels[level].get_mut(key) {
                Some(group) => group,
                None => {
                    let mut group_values: Row = values[..level].to_vec();
                    group_values.resize(count, Value::Null);
                    let states = self.calls.iter().map(|call| call.start()).collect();
                    self.memory.grow(row_bytes(&group_values) + key.len() + 64 * self.calls.len() + 96)?;
                    let group = Group { values: group_values, ends: ends.clone(), calls: states };
                    self.levels[level].entry(key.to_vec()).or_insert(group)
                }
            };
            for ((call, state), arguments) in self.calls.iter().zip(&mut group.calls).zip(&arguments) {
                state.add(call, arguments, &mut self.memory, &self.scope)?;
            }
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<Vec<Row>, SqlError> {
        let count = self.group_by.len();
        let mut levels = std::mem::take(&mut self.levels);
        let mut output = Vec::new();
        if count == 0 && levels[0].is_empty() {
            let states = self.calls.iter().map(|call| call.start()).collect();
            levels[0].insert(Vec::new(), Group { values: Vec::new(), ends: Vec::new(), calls: states });
        }
        let Some(finest) = levels.pop() else { return Ok(output) };
        if !self.rollup {
            for group in finest.into_values() {
                output.push(self.row(group, count)?);
            }
            return Ok(output);
        }
        let mut groups: Vec<(Vec<u8>, Group)> = finest.into_iter().collect();
        groups.sort_by(|left, right| left.0.cmp(&right.0));
        let mut open: Option<(Vec<u8>, Vec<usize>)> = None;
        for (key, group) in groups {
            if let Some((previous, ends)) = open.take() {
                self.close_levels(&mut levels, &previous, &ends, Some(&key), &mut output)?;
            }
            open = Some((key, group.ends.clone()));
            output.push(self.row(group, count)?);
        }
        if let Some((previous, ends)) = open {
            self.close_levels(&mut levels, &previous, &ends, None, &mut output)?;
        }
        Ok(output)
    }

    /// Gives the sums of the prefixes of `previous` that `next` does not share, the longest first.
    fn close_levels(
        &self,
        levels: &mut [IndexMap<Vec<u8>, Group>],
        previous: &[u8],
        ends: &[usize],
        next: Option<&[u8]>,
        output: &mut Vec<Row>,
    ) -> Result<(), SqlError> {
        for level in (0..levels.len()).rev() {
            let prefix = &previous[..if level == 0 { 0 } else { ends[level - 1] }];
            if next.is_some_and(|next| next.starts_with(prefix)) {
                break;
            }
            if let Some(group) = levels[level].swap_remove(prefix) {
                output.push(self.row(group, level)?);
            }
        }
        Ok(())
    }

    /// A row of the result, from a group that has the first `level` of the group columns.
    fn row(&self, group: Group, level: usize) -> Result<Row, SqlError> {
        let mut row = group.values;
        for (call, state) in self.calls.iter().zip(group.calls) {
            row.push(match call.function() {
                AggregateFunction::Grouping => call.grouping(level),
                _ => state.finish(&self.scope)?,
            });
        }
        Ok(row)
    }
}

#[async_trait]
impl Operator for Aggregate<'_> {
    async fn next(&mut self) -> Result<Option<Vec<Row>>, SqlError> {
        if self.output.is_none() {
            self.read_input().await?;
            self.output = Some(self.finish()?.into_iter());
        }
        let Some(output) = &mut self.output else { return Ok(None) };
        let batch: Vec<Row> = output.by_ref().take(BATCH_ROWS).collect();
        Ok(Some(batch).filter(|batch| !batch.is_empty()))
    }
}
