//! Window functions: rows of each partition in order, each with what the function sees from there.
//!
//! Rows leave in the order of the last window, as they do in MySQL.

mod frame;

use crate::execute::query_memory::Reservation;
use crate::execute::row::accumulate::{CallPlan, CallState};
use crate::execute::row::evaluate::Evaluator;
use crate::execute::row::keys::{KeyColumn, sort_key};
use crate::execute::row::operator::{BATCH_ROWS, BoxOperator, Operator, Scope, collect};
use crate::execute::row::sort::SortKeys;
use crate::execute::row::truth::to_count;
use crate::sql::plan::{WindowCall, WindowFunction};
use async_trait::async_trait;
use expr::value::{Row, Value};
use expr::{ErrorCode, SqlError};
use frame::Frame;

pub struct Window<'q> {
    input: BoxOperator<'q>,
    calls: &'q [WindowCall],
    memory: Reservation,
    scope: Scope<'q>,
    output: Option<std::vec::IntoIter<Row>>,
}

impl<'q> Window<'q> {
    pub fn new(input: BoxOperator<'q>, calls: &'q [WindowCall], scope: &Scope<'q>) -> Window<'q> {
        let memory = Reservation::new(&scope.execution.memory);
        Window { input, calls, memory, scope: scope.clone(), output: None }
    }

    async fn run(&mut self) -> Result<Vec<Row>, SqlError> {
        let execution = self.scope.execution.clone();
        let mut rows = collect(&mut *self.input, &execution, &mut self.memory).await?;
        let input_width = rows.first().map_or(0, Vec::len);
        for call in self.calls {
            self.memory.grow(rows.len() * size_of::<Value>())?;
            rows = self.run_call(call, rows, input_width).await?;
        }
        Ok(rows)
    }

    /// Sorts the rows as the call's window says and adds its column. Expressions see the input's columns only.
    async fn run_call(&mut self, call: &'q WindowCall, rows: Vec<Row>, width: usize) -> Result<Vec<Row>, SqlError> {
        let mut partition_keys: Vec<(Evaluator<'q>, KeyColumn)> = call
            .partition_by
            .iter()
            .map(|expression| {
                (Evaluator::new(expression, &self.scope), KeyColumn { ty: expression.ty(), descending: false })
            })
            .collect();
        let mut order_keys = SortKeys::new(&call.order_by, &self.scope);
        let mut sorted = Vec::with_capacity(rows.len());
        for row in rows {
            let mut partition = Vec::new();
            for (evaluator, column) in &mut partition_keys {
                sort_key(&evaluator.eval(&row).await?, column, &mut partition)?;
            }
            let order = order_keys.key(&row).await?;
            self.memory.grow(partition.len() + order.len() + 48)?;
            sorted.push((partition, order, row));
        }
        sorted.sort_by(|left, right| (&left.0, &left.1).cmp(&(&right.0, &right.1)));
        let mut start = 0;
        while start < sorted.len() {
            self.scope.execution.check()?;
            let same = |entry: &(Vec<u8>, Vec<u8>, Row)| entry.0 == sorted[start].0;
            let end = start + sorted[start..].iter().take_while(|entry| same(entry)).count();
            let values = Partition::new(call, &sorted[start..end], width, &self.scope).run().await?;
            for ((_, _, row), value) in sorted[start..end].iter_mut().zip(values) {
                row.push(value);
            }
            start = end;
            tokio::task::consume_budget().await;
        }
        Ok(sorted.into_iter().map(|(_, _, row)| row).collect())
    }
}

#[async_trait]
impl Operator for Window<'_> {
    async fn next(&mut self) -> Result<Option<Vec<Row>>, SqlError> {
        if self.output.is_none() {
            self.output = Some(self.run().await?.into_iter());
        }
        let Some(output) = &mut self.output else { return Ok(None) };
        let batch: Vec<Row> = output.by_ref().take(BATCH_ROWS).collect();
        Ok(Some(batch).filter(|batch| !batch.is_empty()))
    }
}

/// The rows of one partition, in order, for one call.
struct Partition<'p, 'q> {
    call: &'q WindowCall,
    rows: &'p [(Vec<u8>, Vec<u8>, Row)],
    width: usize,
    scope: &'p Scope<'q>,
}

impl<'p, 'q> Partition<'p, 'q> {
    fn new(
        call: &'q WindowCall,
        rows: &'p [(Vec<u8>, Vec<u8>, Row)],
        width: usize,
        scope: &'p Scope<'q>,
    ) -> Partition<'p, 'q> {
        Partition { call, rows, width, scope }
    }

    fn row(&self, index: usize) -> &'p [Value] {
        &self.rows[index].2[..self.width]
    }

    async fn run(self) -> Result<Vec<Value>, SqlError> {
        let count = self.rows.len();
        Ok(match self.call.function {
            WindowFunction::RowNumber => (1..=count as u64).map(Value::UInt).collect(),
            WindowFunction::Rank => self.peers().map(|peers| Value::UInt(peers.start as u64 + 1)).collect(),
            WindowFunction::DenseRank => self.peers().map(|peers| Value::UInt(peers.number)).collect(),
            WindowFunction::PercentRank => {
                let last = (count - 1).max(1) as f64;
                self.peers().map(|peers| Value::Double(peers.start as f64 / last)).collect()
            }
            WindowFunction::CumeDist => {
                self.peers().map(|peers| Value::Double(peers.end as f64 / count as f64)).collect()
            }
            WindowFunction::Ntile => self.ntile().await?,
            WindowFunction::Lag | WindowFunction::Lead => self.shifted().await?,
            WindowFunction::FirstValue | WindowFunction::LastValue | WindowFunction::NthValue => self.picked().await?,
            WindowFunction::Aggregate(function) => self.aggregated(function).await?,
        })
    }

    /// For every row, the rows that are equal in the order.
    fn peers(&self) -> impl Iterator<Item = Peers> {
        let mut start = 0;
        let mut number = 0;
        let mut all = Vec::with_capacity(self.rows.len());
        while start < self.rows.len() {
            let order = &self.rows[start].1;
            let end = start + self.rows[start..].iter().take_while(|row| row.1 == *order).count();
            number += 1;
            all.extend(std::iter::repeat_n(Peers { start, end, number }, end - start));
            start = end;
        }
        all.into_iter()
    }

    async fn argument(&self, position: usize, row: usize) -> Result<Value, SqlError> {
        Evaluator::new(&self.call.arguments[position], self.scope).eval(self.row(row)).await
    }

    /// A count that is given as an argument, such as that of NTILE.
    async fn count_argument(&self, position: usize, smallest: u64, name: &str) -> Result<Option<u64>, SqlError> {
        let value = self.argument(position, 0).await?;
        if value.is_null() {
            return Ok(None);
        }
        match to_count(&value) {
            Ok(count) if count >= smallest => Ok(Some(count)),
            _ => Err(SqlError::new(ErrorCode::WRONG_ARGUMENTS, format!("Incorrect arguments to {name}"))),
        }
    }

    async fn ntile(&self) -> Result<Vec<Value>, SqlError> {
        let count = self.rows.len() as u64;
        let Some(buckets) = self.count_argument(0, 1, "ntile").await? else {
            return Ok(vec![Value::Null; self.rows.len()]);
        };
        let (small, larger) = (count / buckets, count % buckets);
        // The first `larger` buckets have one row more.
        let boundary = larger * (small + 1);
        Ok((0..count)
            .map(|row| {
                let bucket = if row < boundary { row / (small + 1) } else { larger + (row - boundary) / small };
                Value::UInt(bucket + 1)
            })
            .collect())
    }

    async fn shifted(&self) -> Result<Vec<Value>, SqlError> {
        let lead = self.call.function == WindowFunction::Lead;
        let name = if lead { "lead" } else { "lag" };
        let offset = match self.call.arguments.len() {
            1 => Some(1),
            _ => self.count_argument(1, 0, name).await?,
        };
        let offset = offset.unwrap_or(0) as usize;
        let mut values = Vec::with_capacity(self.rows.len());
        for row in 0..self.rows.len() {
            let source = if lead { row.checked_add(offset) } else { row.checked_sub(offset) };
            values.push(match source.filter(|&source| source < self.rows.len()) {
                Some(source) => self.argument(0, source).await?,
                None if self.call.arguments.len() > 2 => self.argument(2, row).await?,
                None => Value::Null,
            });
        }
        Ok(values)
    }

    async fn picked(&self) -> Result<Vec<Value>, SqlError> {
        let frames = Frame::new(self.call, self.scope)?.ranges(self.rows, self.width).await?;
        let nth = match self.call.function {
            WindowFunction::NthValue => self.count_argument(1, 1, "nth_value").await?.unwrap_or(0) as usize,
            _ => 1,
        };
        let mut values = Vec::with_capacity(self.rows.len());
        for frame in frames {
            let source = match self.call.function {
                _ if frame.is_empty() || nth == 0 => None,
                WindowFunction::LastValue => Some(frame.end - 1),
                _ => Some(frame.start + nth - 1).filter(|&source| source < frame.end),
            };
            values.push(match source {
                Some(source) => self.argument(0, source).await?,
                None => Value::Null,
            });
        }
        Ok(values)
    }

    async fn aggregated(&self, function: expr::aggregate::AggregateFunction) -> Result<Vec<Value>, SqlError> {
        let mut plan = CallPlan::of_window(self.call, function, self.scope);
        let frames = Frame::new(self.call, self.scope)?.ranges(self.rows, self.width).await?;
        let mut arguments = Vec::with_capacity(self.rows.len());
        for row in 0..self.rows.len() {
            arguments.push(plan.arguments(self.row(row)).await?);
        }
        let mut memory = Reservation::new(&self.scope.execution.memory);
        let mut values: Vec<Value> = Vec::with_capacity(frames.len());
        let mut state: Option<(CallState, std::ops::Range<usize>)> = None;
        for frame in frames {
            // A frame that only grows at its end goes on from the one before; others start again.
            let (current, from) = match state.take() {
                Some((current, done)) if done.start == frame.start && done.end <= frame.end => {
                    if done.end == frame.end
                        && let Some(last) = values.last()
                    {
                        values.push(last.clone());
                        state = Some((current, done));
                        continue;
                    }
                    (current, done.end)
                }
                _ => (plan.start(), frame.start),
            };
            let mut current = current;
            for values in &arguments[from..frame.end.max(from)] {
                current.add(&plan, values, &mut memory, self.scope)?;
            }
            values.push(current.value(self.scope)?);
            state = Some((current, frame));
            self.scope.execution.check()?;
        }
        Ok(values)
    }
}

/// Rows `start..end` of a partition are equal in its order; they are the `number`th such group.
#[derive(Clone)]
struct Peers {
    start: usize,
    end: usize,
    number: u64,
}
