//! Partial aggregates of a scan: what [`PartialCall`] gives, on stored values. The reference that vectorised forms are
//! held to, and the way to put parts together.
//!
//! Stored values know nothing of MySQL's types; whoever asks chooses calls whose results are MySQL's. DECIMALs are integers
//! here, so their sums are exact.

use crate::value::decimal::Decimal;
use common::physical::{PhysicalType, PhysicalValue};
use common::service::page::{Aggregates, ColumnBound, PartialCall, ScanColumn, TermStep};
use ethnum::I256;
use std::cmp::Ordering;

/// Operands that wait in a term, and steps of one, at most.
const OPERANDS_MAX: usize = 16;
const STEPS_MAX: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PartialError {
    /// The rows themselves have to be read.
    #[error("a number in an aggregate does not fit")]
    OutOfRange,
    /// See [`check`].
    #[error("aggregates that do not fit their columns")]
    Mismatch,
}

/// Whether calls and bounds name columns that there are, with types that they can be computed from.
pub fn check(aggregates: &Aggregates, bounds: &[ColumnBound]) -> Result<(), PartialError> {
    let columns = &aggregates.columns;
    let physical = |column: &u16| columns.get(usize::from(*column)).map(|column| column.physical);
    let good = |call: &PartialCall| match call {
        PartialCall::Rows => true,
        PartialCall::Count(column) | PartialCall::Min(column) | PartialCall::Max(column) => physical(column).is_some(),
        PartialCall::SumDouble(column) => physical(column) == Some(PhysicalType::Float64),
        PartialCall::Sum(steps) => {
            use PhysicalType::{Int64, Int128, UInt64};
            is_well_formed(steps)
                && steps.iter().all(|step| match step {
                    TermStep::Column(column) => matches!(physical(column), Some(Int64 | UInt64 | Int128)),
                    _ => true,
                })
        }
    };
    let bounded = |bound: &ColumnBound| column_of(columns, bound).is_some();
    match aggregates.calls.iter().all(good) && bounds.iter().all(bounded) {
        true => Ok(()),
        false => Err(PartialError::Mismatch),
    }
}

/// The place of the column that a bound is on; `None` where it is not there or has another type.
pub fn column_of(columns: &[ScanColumn], bound: &ColumnBound) -> Option<usize> {
    let place = columns.iter().position(|column| column.column == bound.column)?;
    let same = |limit: &PhysicalValue| limit.physical_type() == Some(columns[place].physical);
    bound.min.iter().chain(&bound.max).all(same).then_some(place)
}

fn is_well_formed(steps: &[TermStep]) -> bool {
    let mut waiting = 0_usize;
    for step in steps {
        match step {
            TermStep::Column(_) | TermStep::Constant(_) => waiting += 1,
            TermStep::Add | TermStep::Subtract | TermStep::Multiply if waiting >= 2 => waiting -= 1,
            TermStep::Add | TermStep::Subtract | TermStep::Multiply => return false,
        }
        if waiting > OPERANDS_MAX {
            return false;
        }
    }
    waiting == 1 && steps.len() <= STEPS_MAX
}

/// The value of a term for one row; `None` where a column is NULL.
pub fn term(
    steps: &[TermStep],
    column: impl Fn(usize) -> Result<Option<i128>, PartialError>,
) -> Result<Option<i128>, PartialError> {
    let mut operands: Vec<i128> = Vec::new();
    for step in steps {
        let operand = match step {
            TermStep::Column(place) => match column(usize::from(*place))? {
                Some(value) => value,
                None => return Ok(None),
            },
            TermStep::Constant(value) => *value,
            TermStep::Add | TermStep::Subtract | TermStep::Multiply => {
                let (right, left) = (operands.pop(), operands.pop());
                let (Some(left), Some(right)) = (left, right) else { return Err(PartialError::Mismatch) };
                let result = match step {
                    TermStep::Add => left.checked_add(right),
                    TermStep::Subtract => left.checked_sub(right),
                    _ => left.checked_mul(right),
                };
                result.ok_or(PartialError::OutOfRange)?
            }
        };
        operands.push(operand);
    }
    operands.pop().map(Some).ok_or(PartialError::Mismatch)
}

/// The state of one call.
#[derive(Debug, Clone)]
pub enum PartialState {
    Count(u64),
    Sum(Option<I256>),
    Double(Option<f64>),
    Least(PhysicalValue),
    Greatest(PhysicalValue),
}

impl PartialState {
    pub fn new(call: &PartialCall) -> PartialState {
        match call {
            PartialCall::Rows | PartialCall::Count(_) => PartialState::Count(0),
            PartialCall::Sum(_) => PartialState::Sum(None),
            PartialCall::SumDouble(_) => PartialState::Double(None),
            PartialCall::Min(_) => PartialState::Least(PhysicalValue::Null),
            PartialCall::Max(_) => PartialState::Greatest(PhysicalValue::Null),
        }
    }

    /// Takes in a row that meets the bounds, as values of the columns.
    pub fn add_row(&mut self, call: &PartialCall, row: &[PhysicalValue]) -> Result<(), PartialError> {
        let value = |column: &u16| row.get(usize::from(*column)).ok_or(PartialError::Mismatch);
        match call {
            PartialCall::Rows => self.count(1),
            PartialCall::Count(column) => self.count(u64::from(*value(column)? != PhysicalValue::Null)),
            PartialCall::Sum(steps) => {
                let integer = |place: usize| match row.get(place) {
                    Some(PhysicalValue::Null) => Ok(None),
                    Some(PhysicalValue::Int64(value)) => Ok(Some(i128::from(*value))),
                    Some(PhysicalValue::UInt64(value)) => Ok(Some(i128::from(*value))),
                    Some(PhysicalValue::Int128(value)) => Ok(Some(*value)),
                    _ => Err(PartialError::Mismatch),
                };
                match term(steps, integer)? {
                    Some(value) => self.add(value),
                    None => Ok(()),
                }
            }
            PartialCall::SumDouble(column) => match value(column)? {
                PhysicalValue::Null => Ok(()),
                PhysicalValue::Float64(value) => self.add_double(*value),
                _ => Err(PartialError::Mismatch),
            },
            PartialCall::Min(column) | PartialCall::Max(column) => self.offer(value(column)?),
        }
    }

    pub fn count(&mut self, rows: u64) -> Result<(), PartialError> {
        let PartialState::Count(count) = self else { return Err(PartialError::Mismatch) };
        *count = count.checked_add(rows).ok_or(PartialError::OutOfRange)?;
        Ok(())
    }

    /// Adds to an exact sum.
    pub fn add(&mut self, value: i128) -> Result<(), PartialError> {
        self.add_wide(I256::from(value))
    }

    fn add_wide(&mut self, value: I256) -> Result<(), PartialError> {
        let PartialState::Sum(sum) = self else { return Err(PartialError::Mismatch) };
        *sum = Some(sum.unwrap_or_default().checked_add(value).ok_or(PartialError::OutOfRange)?);
        Ok(())
    }

    pub fn add_double(&mut self, value: f64) -> Result<(), PartialError> {
        let PartialState::Double(sum) = self else { return Err(PartialError::Mismatch) };
        // Not 0.0 + value: that would make 0 of -0.
        *sum = Some(sum.map_or(value, |sum| sum + value));
        Ok(())
    }

    /// A value that may be the least or the greatest. Of equal ones the first is kept.
    pub fn offer(&mut self, value: &PhysicalValue) -> Result<(), PartialError> {
        let (held, wanted) = match self {
            PartialState::Least(held) => (held, Ordering::Less),
            PartialState::Greatest(held) => (held, Ordering::Greater),
            _ => return Err(PartialError::Mismatch),
        };
        let better = match (&*held, value) {
            (_, PhysicalValue::Null) => false,
            (PhysicalValue::Null, _) => true,
            (held, value) => value.compare(held) == Some(wanted),
        };
        if better {
            *held = match value {
                // A copy: a slice would keep the whole memory it came from alive.
                PhysicalValue::Bytes(bytes) => PhysicalValue::Bytes(bytes::Bytes::copy_from_slice(bytes)),
                other => other.clone(),
            };
        }
        Ok(())
    }

    /// Puts the result of further rows to it.
    pub fn merge(&mut self, part: &PhysicalValue) -> Result<(), PartialError> {
        match (&*self, part) {
            (PartialState::Count(_), PhysicalValue::UInt64(rows)) => self.count(*rows),
            (PartialState::Sum(_) | PartialState::Double(_), PhysicalValue::Null) => Ok(()),
            (PartialState::Sum(_), PhysicalValue::Int256(sum)) => self.add_wide(I256::from_le_bytes(*sum)),
            (PartialState::Double(_), PhysicalValue::Float64(sum)) => self.add_double(*sum),
            (PartialState::Least(_) | PartialState::Greatest(_), value) => self.offer(value),
            _ => Err(PartialError::Mismatch),
        }
    }

    pub fn finish(self) -> PhysicalValue {
        match self {
            PartialState::Count(count) => PhysicalValue::UInt64(count),
            PartialState::Sum(sum) => sum.map_or(PhysicalValue::Null, |sum| PhysicalValue::Int256(sum.to_le_bytes())),
            PartialState::Double(sum) => sum.map_or(PhysicalValue::Null, PhysicalValue::Float64),
            PartialState::Least(value) | PartialState::Greatest(value) => value,
        }
    }
}

/// An exact sum as a number of that scale; `None` for other values.
pub fn decimal(sum: &PhysicalValue, scale: u8) -> Option<Decimal> {
    match sum {
        PhysicalValue::Int256(sum) => Some(Decimal::new(I256::from_le_bytes(*sum), scale)),
        _ => None,
    }
}

/// What the rows that meet `bounds` come to: each row is the values of `aggregates.columns`.
pub fn of_rows(
    aggregates: &Aggregates,
    bounds: &[ColumnBound],
    rows: impl Iterator<Item = Vec<PhysicalValue>>,
) -> Result<Vec<PhysicalValue>, PartialError> {
    check(aggregates, bounds)?;
    let mut states: Vec<PartialState> = aggregates.calls.iter().map(PartialState::new).collect();
    for row in rows {
        let met = |bound: &ColumnBound| {
            column_of(&aggregates.columns, bound)
                .is_some_and(|place| row.get(place).is_some_and(|value| bound.is_met_by(value)))
        };
        if bounds.iter().all(met) {
            for (state, call) in states.iter_mut().zip(&aggregates.calls) {
                state.add_row(call, &row)?;
            }
        }
    }
    Ok(states.into_iter().map(PartialState::finish).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::id::ColumnId;

    fn wanted(calls: Vec<PartialCall>) -> Aggregates {
        let column = |(id, physical)| ScanColumn { column: ColumnId(id), physical, default: PhysicalValue::Null };
        let columns = [(5, PhysicalType::Int64), (6, PhysicalType::Int128), (7, PhysicalType::Float64)];
        Aggregates { columns: columns.map(column).to_vec(), calls }
    }

    fn row(first: Option<i64>, second: Option<i128>, third: f64) -> Vec<PhysicalValue> {
        let first = first.map_or(PhysicalValue::Null, PhysicalValue::Int64);
        vec![first, second.map_or(PhysicalValue::Null, PhysicalValue::Int128), PhysicalValue::Float64(third)]
    }

    fn sum(value: i128) -> PhysicalValue {
        PhysicalValue::Int256(I256::from(value).to_le_bytes())
    }

    #[test]
    fn nulls_count_for_nothing_and_parts_add_up() {
        use TermStep::{Column, Constant, Multiply, Subtract};
        let calls = vec![
            PartialCall::Rows,
            PartialCall::Count(0),
            // first * (100 - second)
            PartialCall::Sum(vec![Column(0), Constant(100), Column(1), Subtract, Multiply]),
            PartialCall::SumDouble(2),
            PartialCall::Min(1),
            PartialCall::Max(0),
        ];
        let wanted = wanted(calls);
        let rows = [
            row(Some(2), Some(10), 0.5),
            row(None, Some(1), 1.0),
            row(Some(7), None, 2.0),
            row(Some(-1), Some(5), 4.0),
        ];
        let all = of_rows(&wanted, &[], rows.iter().cloned()).unwrap();
        let expected = vec![
            PhysicalValue::UInt64(4),
            PhysicalValue::UInt64(3),
            sum(2 * 90 - 95),
            PhysicalValue::Float64(7.5),
            PhysicalValue::Int128(1),
            PhysicalValue::Int64(7),
        ];
        assert_eq!(all, expected);
        let mut states: Vec<PartialState> = wanted.calls.iter().map(PartialState::new).collect();
        for part in [&rows[..1], &rows[1..1], &rows[1..]] {
            let part = of_rows(&wanted, &[], part.iter().cloned()).unwrap();
            states.iter_mut().zip(&part).try_for_each(|(state, part)| state.merge(part)).unwrap();
        }
        assert_eq!(states.into_iter().map(PartialState::finish).collect::<Vec<_>>(), expected);
        let bound = ColumnBound { column: ColumnId(5), min: None, max: Some(PhysicalValue::Int64(2)) };
        assert_eq!(of_rows(&wanted, &[bound], rows.into_iter()).unwrap()[0], PhysicalValue::UInt64(2));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        use TermStep::{Add, Column, Constant, Multiply};
        let bad = [
            PartialCall::Count(3),
            PartialCall::SumDouble(0),
            PartialCall::Sum(vec![Column(2)]),
            PartialCall::Sum(vec![]),
            PartialCall::Sum(vec![Column(0), Add]),
            PartialCall::Sum(vec![Column(0), Column(1)]),
            PartialCall::Sum([vec![Constant(1); 20], vec![Add; 19]].concat()),
        ];
        for call in bad {
            assert_eq!(check(&wanted(vec![call]), &[]), Err(PartialError::Mismatch));
        }
        let other = ColumnBound { column: ColumnId(5), min: Some(PhysicalValue::UInt64(1)), max: None };
        assert_eq!(check(&wanted(vec![]), &[other]), Err(PartialError::Mismatch));
        let square = wanted(vec![PartialCall::Sum(vec![Column(1), Column(1), Multiply])]);
        let rows = [row(None, Some(i128::MAX), 0.0)];
        assert_eq!(of_rows(&square, &[], rows.into_iter()), Err(PartialError::OutOfRange));
    }
}
