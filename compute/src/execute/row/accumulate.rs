//! One aggregate call: its arguments from a row, DISTINCT and ORDER BY of its own, and the running state of a group.

use crate::execute::query_memory::Reservation;
use crate::execute::row::context::row_bytes;
use crate::execute::row::evaluate::Evaluator;
use crate::execute::row::keys::row_key;
use crate::execute::row::operator::Scope;
use crate::execute::row::sort::SortKeys;
use crate::sql::plan::{AggregateCall, WindowCall};
use expr::aggregate::{Accumulator, AggregateFunction};
use expr::mysql_type::MysqlType;
use expr::value::{Row, Value};
use expr::{Expression, SqlError};
use std::collections::HashSet;

/// What is the same for all groups.
pub struct CallPlan<'q> {
    function: AggregateFunction,
    arguments: Vec<Evaluator<'q>>,
    types: Vec<MysqlType>,
    distinct: bool,
    order_by: Option<SortKeys<'q>>,
    separator: Option<&'q str>,
    /// GROUPING: for each argument, which group column it is.
    group_columns: Vec<usize>,
}

/// One row's part in a call.
pub struct Arguments {
    values: Row,
    /// With ORDER BY: where it stands.
    order: Vec<u8>,
}

impl<'q> CallPlan<'q> {
    pub fn new(call: &'q AggregateCall, group_by: &'q [Expression], scope: &Scope<'q>) -> CallPlan<'q> {
        let grouping = call.function == AggregateFunction::Grouping;
        let group_columns = if grouping {
            // Expressions have no equality of their own; their structure is what is compared.
            let groups: Vec<String> = group_by.iter().map(|expression| format!("{expression:?}")).collect();
            let position = |argument: &Expression| groups.iter().position(|group| *group == format!("{argument:?}"));
            call.arguments.iter().map(|argument| position(argument).unwrap_or(0)).collect()
        } else {
            Vec::new()
        };
        let evaluated = if grouping { &[][..] } else { &call.arguments[..] };
        CallPlan {
            function: call.function,
            arguments: evaluated.iter().map(|argument| Evaluator::new(argument, scope)).collect(),
            types: call.arguments.iter().map(Expression::ty).collect(),
            distinct: call.distinct,
            order_by: (!call.order_by.is_empty()).then(|| SortKeys::new(&call.order_by, scope)),
            separator: call.separator.as_deref(),
            group_columns,
        }
    }

    /// An aggregate over a window.
    pub fn of_window(call: &'q WindowCall, function: AggregateFunction, scope: &Scope<'q>) -> CallPlan<'q> {
        CallPlan {
            function,
            arguments: call.arguments.iter().map(|argument| Evaluator::new(argument, scope)).collect(),
            types: call.arguments.iter().map(Expression::ty).collect(),
            distinct: false,
            order_by: None,
            separator: None,
            group_columns: Vec::new(),
        }
    }

    pub fn function(&self) -> AggregateFunction {
        self.function
    }

    pub async fn arguments(&mut self, row: &[Value]) -> Result<Arguments, SqlError> {
        let mut values = Vec::with_capacity(self.arguments.len());
        for argument in &mut self.arguments {
            values.push(argument.eval(row).await?);
        }
        let order = match &mut self.order_by {
            Some(order_by) => order_by.key(row).await?,
            None => Vec::new(),
        };
        Ok(Arguments { values, order })
    }

    pub fn start(&self) -> CallState {
        CallState {
            accumulator: Accumulator::new(self.function, &self.types, self.separator),
            seen: self.distinct.then(HashSet::new),
            ordered: self.order_by.is_some().then(Vec::new),
        }
    }

    /// GROUPING(...) of a row that has the first `level` group columns: a bit for each argument, set if it is summed over.
    pub fn grouping(&self, level: usize) -> Value {
        Value::Int(self.group_columns.iter().fold(0, |bits, &column| bits << 1 | i64::from(column >= level)))
    }
}

/// The state of one call in one group.
pub struct CallState {
    accumulator: Accumulator,
    /// DISTINCT: arguments that have been counted.
    seen: Option<HashSet<Vec<u8>>>,
    /// ORDER BY: everything, until the end.
    ordered: Option<Vec<(Vec<u8>, Row)>>,
}

impl CallState {
    pub fn add(
        &mut self,
        call: &CallPlan<'_>,
        arguments: &Arguments,
        memory: &mut Reservation,
        scope: &Scope<'_>,
    ) -> Result<(), SqlError> {
        if call.function == AggregateFunction::Grouping {
            return Ok(());
        }
        if let Some(seen) = &mut self.seen {
            let key = row_key(&arguments.values, &call.types)?;
            let bytes = key.len() + 2 * size_of::<Vec<u8>>();
            if !seen.insert(key) {
                return Ok(());
            }
            memory.grow(bytes)?;
        }
        if let Some(ordered) = &mut self.ordered {
            memory.grow(arguments.order.len() + row_bytes(&arguments.values))?;
            ordered.push((arguments.order.clone(), arguments.values.clone()));
            return Ok(());
        }
        if matches!(
            call.function,
            AggregateFunction::GroupConcat | AggregateFunction::JsonArrayAgg | AggregateFunction::JsonObjectAgg
        ) {
            memory.grow(row_bytes(&arguments.values))?;
        }
        self.accumulator.update(&arguments.values, &scope.eval)
    }

    /// The result of what was added up to now; for calls without ORDER BY.
    pub fn value(&self, scope: &Scope<'_>) -> Result<Value, SqlError> {
        self.accumulator.clone().finish(&scope.eval)
    }

    pub fn finish(mut self, scope: &Scope<'_>) -> Result<Value, SqlError> {
        if let Some(mut ordered) = self.ordered.take() {
            // Of equal keys the last comes first, as in MySQL, which sorts into a tree.
            ordered.reverse();
            ordered.sort_by(|left, right| left.0.cmp(&right.0));
            for (_, values) in &ordered {
                self.accumulator.update(values, &scope.eval)?;
            }
        }
        self.accumulator.finish(&scope.eval)
    }
}
