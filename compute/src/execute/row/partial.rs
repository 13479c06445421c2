//! Aggregates of one table without GROUP BY, computed by the page servers: one row comes back instead of all.
//!
//! Only where the answer is the ordinary one to the last digit: exact sums of integers and DECIMALs within 38 digits,
//! doubles in the order of the rows, and conditions that are bounds of columns with nothing left over. Everything else,
//! and a transaction's own writes, take the ordinary way.

mod term;

use crate::execute::bounds;
use crate::execute::codec;
use crate::execute::row::operator::{Operator, Scope};
use crate::execute::row::scan::access::{self, Target};
use crate::sql::plan::{Access, AggregateCall, Node, Query, Scan};
use crate::txn::read_view::ViewScan;
use async_trait::async_trait;
use common::id::ColumnId;
use common::key::KeyRange;
use common::physical::PhysicalValue;
use common::service::page::{Aggregates, ColumnBound, Direction, PartialCall, ScanBatch, ScanColumn, ScanOutput};
use expr::aggregate::{Accumulator, AggregateFunction};
use expr::eval::EvalContext;
use expr::mysql_type::{MysqlType, TypeKind};
use expr::partial;
use expr::row_encoding::{PhysicalRef, from_physical, physical_type};
use expr::value::{Row, Value};
use expr::{Expression, SqlError};
use futures::StreamExt;

/// What the page servers are asked for, and what becomes of their answer.
pub struct Pushed {
    wanted: Aggregates,
    bounds: Vec<ColumnBound>,
    finishes: Vec<Finish>,
}

/// Where a call's value comes from, as places in the answer.
enum Finish {
    Count {
        at: usize,
    },
    /// SUM and AVG.
    Sum {
        at: usize,
        count_at: Option<usize>,
        scale: u8,
        function: AggregateFunction,
        argument: MysqlType,
    },
    Limit {
        at: usize,
        ty: MysqlType,
    },
}

/// Whether a query is nothing but such an aggregate with something done to its one row.
pub fn is_whole_query(query: &Query, eval: &EvalContext) -> Result<bool, SqlError> {
    let mut node = &query.root;
    loop {
        node = match node {
            Node::Project { input, .. } | Node::Filter { input, .. } | Node::Limit { input, .. } => input,
            Node::Sort { input, .. } | Node::Distinct { input } => input,
            Node::Aggregate { input, group_by, aggregates, .. } => {
                return Ok(plan(input, group_by, aggregates, eval)?.is_some());
            }
            _ => return Ok(false),
        };
    }
}

/// `None` where the aggregates are the ordinary operator's.
pub fn plan(
    input: &Node,
    group_by: &[Expression],
    aggregates: &[AggregateCall],
    eval: &EvalContext,
) -> Result<Option<Pushed>, SqlError> {
    let Node::Scan(scan) = input else { return Ok(None) };
    let readable = match &scan.access {
        Access::Full | Access::Range { index: 0, .. } => true,
        Access::Range { index, .. } => access::is_covered(scan, *index),
        Access::Point { .. } => false,
    };
    if !group_by.is_empty() || aggregates.is_empty() || scan.lock.is_some() || !readable {
        return Ok(None);
    }
    let Some(bounds) = bounds::exactly(scan, eval)? else { return Ok(None) };
    let mut builder = Builder { scan, eval, wanted: Aggregates { columns: Vec::new(), calls: Vec::new() } };
    let mut finishes = Vec::with_capacity(aggregates.len());
    for call in aggregates {
        match builder.call(call)? {
            Some(finish) => finishes.push(finish),
            None => return Ok(None),
        }
    }
    for bound in &bounds {
        if builder.column_by_id(bound.column)?.is_none() {
            return Ok(None);
        }
    }
    let wanted = builder.wanted;
    Ok(partial::check(&wanted, &bounds).is_ok().then_some(Pushed { wanted, bounds, finishes }))
}

struct Builder<'q> {
    scan: &'q Scan,
    eval: &'q EvalContext,
    wanted: Aggregates,
}

impl Builder<'_> {
    fn call(&mut self, call: &AggregateCall) -> Result<Option<Finish>, SqlError> {
        if !call.order_by.is_empty() {
            return Ok(None);
        }
        match (call.function, &call.arguments[..]) {
            (AggregateFunction::Count, []) => Ok(Some(Finish::Count { at: self.add(PartialCall::Rows) })),
            (AggregateFunction::Count, [Expression::Literal { value, .. }]) if !value.is_null() && !call.distinct => {
                Ok(Some(Finish::Count { at: self.add(PartialCall::Rows) }))
            }
            (AggregateFunction::Count, [Expression::Column { index, .. }]) if !call.distinct => {
                let column = self.column(*index)?;
                Ok(column.map(|column| Finish::Count { at: self.add(PartialCall::Count(column)) }))
            }
            // MIN and MAX of the same rows are the same with DISTINCT.
            (AggregateFunction::Min | AggregateFunction::Max, [Expression::Column { index, ty }]) if is_ordered(ty) => {
                let Some(column) = self.column(*index)? else { return Ok(None) };
                let least = call.function == AggregateFunction::Min;
                let at = self.add(if least { PartialCall::Min(column) } else { PartialCall::Max(column) });
                Ok(Some(Finish::Limit { at, ty: ty.clone() }))
            }
            (AggregateFunction::Sum | AggregateFunction::Avg, [argument]) if !call.distinct => {
                self.sum(call.function, argument)
            }
            _ => Ok(None),
        }
    }

    fn sum(&mut self, function: AggregateFunction, argument: &Expression) -> Result<Option<Finish>, SqlError> {
        let ty = argument.ty();
        if let (Expression::Column { index, .. }, TypeKind::Double { .. } | TypeKind::Float { .. }) =
            (argument, &ty.kind)
        {
            let Some(column) = self.column(*index)? else { return Ok(None) };
            let at = self.add(PartialCall::SumDouble(column));
            let count_at = Some(self.add(PartialCall::Count(column)));
            return Ok(Some(Finish::Sum { at, count_at, scale: 0, function, argument: ty }));
        }
        let Some(term) = term::of(argument, self)? else { return Ok(None) };
        let scale = match ty.kind {
            TypeKind::Int { .. } => 0,
            TypeKind::Decimal { scale, .. } => scale,
            _ => return Ok(None),
        };
        if term.scale != scale {
            return Ok(None);
        }
        let count_at = match (function, &term.nullable[..]) {
            (AggregateFunction::Sum, _) => None,
            (_, []) => Some(self.add(PartialCall::Rows)),
            (_, [column]) => Some(self.add(PartialCall::Count(*column))),
            // In how many rows none of several columns is NULL is not asked.
            _ => return Ok(None),
        };
        let at = self.add(PartialCall::Sum(term.steps));
        Ok(Some(Finish::Sum { at, count_at, scale, function, argument: ty }))
    }

    fn add(&mut self, call: PartialCall) -> usize {
        let calls = &mut self.wanted.calls;
        calls.iter().position(|known| *known == call).unwrap_or_else(|| {
            calls.push(call);
            calls.len() - 1
        })
    }

    /// The place of a column of the scan's output.
    fn column(&mut self, index: usize) -> Result<Option<u16>, SqlError> {
        let position = self.scan.columns.get(index);
        let column = position.and_then(|position| self.scan.table.columns.get(*position));
        column.map_or(Ok(None), |column| self.column_by_id(column.id))
    }

    fn column_by_id(&mut self, id: ColumnId) -> Result<Option<u16>, SqlError> {
        let columns = &mut self.wanted.columns;
        if let Some(place) = columns.iter().position(|known| known.column == id) {
            return Ok(u16::try_from(place).ok());
        }
        let Some((_, column)) = self.scan.table.column_by_id(id) else { return Ok(None) };
        let default = codec::added_physical(column)?;
        columns.push(ScanColumn { column: id, physical: physical_type(&column.ty), default });
        Ok(u16::try_from(columns.len() - 1).ok())
    }
}

/// True if the order of stored values is MySQL's.
fn is_ordered(ty: &MysqlType) -> bool {
    use TypeKind::{Date, DateTime, Decimal, Double, Float, Int, Time, Year};
    matches!(
        ty.kind,
        Int { .. } | Year | Date | DateTime { .. } | Time { .. } | Decimal { .. } | Double { .. } | Float { .. }
    )
}

/// Asks and gives the one row.
pub struct PartialAggregate<'q> {
    pushed: Option<Pushed>,
    ranges: Vec<KeyRange>,
    scope: Scope<'q>,
}

impl<'q> PartialAggregate<'q> {
    /// `None` where the aggregates are the ordinary operator's.
    pub fn open(
        input: &'q Node,
        group_by: &'q [Expression],
        aggregates: &'q [AggregateCall],
        scope: &Scope<'q>,
    ) -> Result<Option<PartialAggregate<'q>>, SqlError> {
        let (Node::Scan(scan), Some(pushed)) = (input, plan(input, group_by, aggregates, &scope.eval)?) else {
            return Ok(None);
        };
        let ranges = match access::target(scan, scope)? {
            Target::Range { range, .. } => vec![range],
            Target::Nothing => Vec::new(),
            Target::Keys { .. } => return Ok(None),
        };
        if scope.execution.context.view.has_own_writes(&ranges) {
            return Ok(None);
        }
        Ok(Some(PartialAggregate { pushed: Some(pushed), ranges, scope: scope.clone() }))
    }

    async fn answer(&self, pushed: &Pushed) -> Result<Vec<PhysicalValue>, SqlError> {
        if self.ranges.is_empty() {
            let nothing = partial::of_rows(&pushed.wanted, &pushed.bounds, std::iter::empty());
            return nothing.map_err(|error| SqlError::internal(error.to_string()));
        }
        let mut batches = self.scope.execution.context.view.scan(ViewScan {
            ranges: self.ranges.clone(),
            direction: Direction::Forward,
            limit: None,
            output: ScanOutput::Aggregates(pushed.wanted.clone()),
            bounds: pushed.bounds.clone(),
            batch_rows: 1,
        });
        // One answer for all rows may take long.
        let batch = tokio::select! {
            batch = batches.next() => batch,
            error = self.scope.execution.context.cancel.cancelled() => return Err(error),
        };
        match batch.transpose()? {
            Some(ScanBatch::Aggregates(values)) if values.len() == pushed.wanted.calls.len() => Ok(values),
            _ => Err(SqlError::internal("asked for aggregates, got something else; report the page server's version")),
        }
    }

    fn row(&self, pushed: &Pushed, values: &[PhysicalValue]) -> Result<Row, SqlError> {
        let wrong =
            || SqlError::internal("an aggregate of another type than asked for; report the page server's version");
        let count = |at: usize| match &values[at] {
            PhysicalValue::UInt64(count) => i64::try_from(*count).map_err(|_| wrong()),
            _ => Err(wrong()),
        };
        let mut row = Vec::with_capacity(pushed.finishes.len());
        for finish in &pushed.finishes {
            row.push(match finish {
                Finish::Count { at } => Value::Int(count(*at)?),
                Finish::Limit { at, ty } => {
                    from_physical(PhysicalRef::from(&values[*at]), ty, self.scope.eval.time_zone)?
                }
                Finish::Sum { at, count_at, scale, function, argument } => {
                    let sum = match &values[*at] {
                        PhysicalValue::Null => Value::Null,
                        // As the ordinary way begins: of -0 alone it makes 0.
                        PhysicalValue::Float64(sum) => Value::Double(0.0 + sum),
                        sum => Value::Decimal(partial::decimal(sum, *scale).ok_or_else(wrong)?),
                    };
                    // Without a count: as if it were one value.
                    let count = count_at.map_or(Ok(1), count)?;
                    let arguments = std::slice::from_ref(argument);
                    Accumulator::summed(*function, arguments, &sum, count, &self.scope.eval)?
                        .finish(&self.scope.eval)?
                }
            });
        }
        Ok(row)
    }
}

#[async_trait]
impl Operator for PartialAggregate<'_> {
    async fn next(&mut self) -> Result<Option<Vec<Row>>, SqlError> {
        let Some(pushed) = self.pushed.take() else { return Ok(None) };
        let values = self.answer(&pushed).await?;
        Ok(Some(vec![self.row(&pushed, &values)?]))
    }
}
