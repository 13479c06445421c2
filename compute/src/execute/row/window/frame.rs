//! Which rows of its partition a row's frame holds.

use crate::execute::row::evaluate::Evaluator;
use crate::execute::row::keys::{KeyColumn, sort_key};
use crate::execute::row::operator::Scope;
use crate::execute::row::truth::{shift, to_count};
use crate::sql::plan::{FrameBound, WindowCall};
use expr::mysql_type::{MysqlType, TypeKind};
use expr::value::decimal::Decimal;
use expr::value::{Row, Value};
use expr::{ErrorCode, SqlError};
use std::ops::Range;

pub struct Frame<'p, 'q> {
    call: &'q WindowCall,
    scope: &'p Scope<'q>,
}

/// A bound with its offset evaluated.
enum Offset {
    Unbounded,
    Current,
    /// Rows before or after.
    Rows(u64),
    /// A distance in the order's value.
    Distance(Value),
}

impl<'p, 'q> Frame<'p, 'q> {
    pub fn new(call: &'q WindowCall, scope: &'p Scope<'q>) -> Result<Frame<'p, 'q>, SqlError> {
        Ok(Frame { call, scope })
    }

    /// For every row of a partition, the rows of its frame.
    pub async fn ranges(&self, rows: &[(Vec<u8>, Vec<u8>, Row)], width: usize) -> Result<Vec<Range<usize>>, SqlError> {
        let count = rows.len();
        let peers = peers(rows);
        let Some(frame) = &self.call.frame else {
            // RANGE UNBOUNDED PRECEDING where there is an order, else the whole partition.
            let whole = self.call.order_by.is_empty();
            return Ok(peers.into_iter().map(|peers| 0..if whole { count } else { peers.end }).collect());
        };
        let start = self.offset(&frame.start, frame.rows).await?;
        let end = self.offset(&frame.end, frame.rows).await?;
        let start_before = matches!(frame.start, FrameBound::Preceding(_) | FrameBound::UnboundedPreceding);
        let end_before = matches!(frame.end, FrameBound::Preceding(_) | FrameBound::UnboundedPreceding);
        let mut ranges = Vec::with_capacity(count);
        for row in 0..count {
            let first = match &start {
                Offset::Unbounded if start_before => 0,
                Offset::Unbounded => count,
                Offset::Current if frame.rows => row,
                Offset::Current => peers[row].start,
                Offset::Rows(rows) if start_before => row.saturating_sub(clamp(*rows)),
                Offset::Rows(rows) => row.saturating_add(clamp(*rows)).min(count),
                Offset::Distance(distance) => {
                    self.edge(rows, width, row, &peers[row], distance, start_before, false).await?
                }
            };
            let last = match &end {
                Offset::Unbounded if end_before => 0,
                Offset::Unbounded => count,
                Offset::Current if frame.rows => row + 1,
                Offset::Current => peers[row].end,
                Offset::Rows(rows) if end_before => (row + 1).saturating_sub(clamp(*rows)),
                Offset::Rows(rows) => row.saturating_add(clamp(*rows)).saturating_add(1).min(count),
                Offset::Distance(distance) => {
                    self.edge(rows, width, row, &peers[row], distance, end_before, true).await?
                }
            };
            ranges.push(first..last.max(first));
        }
        Ok(ranges)
    }

    async fn offset(&self, bound: &'q FrameBound, rows: bool) -> Result<Offset, SqlError> {
        let expression = match bound {
            FrameBound::UnboundedPreceding | FrameBound::UnboundedFollowing => return Ok(Offset::Unbounded),
            FrameBound::CurrentRow => return Ok(Offset::Current),
            FrameBound::Preceding(expression) | FrameBound::Following(expression) => expression,
        };
        let value = Evaluator::new(expression, self.scope).eval(&[]).await?;
        if value.is_null() {
            return Err(frame_error());
        }
        if !rows {
            return Ok(Offset::Distance(value));
        }
        Ok(Offset::Rows(to_count(&value).map_err(|_| frame_error())?))
    }

    /// Where a RANGE frame begins (or ends, `is_end`) that reaches `distance` before (or after) a row.
    async fn edge(
        &self,
        rows: &[(Vec<u8>, Vec<u8>, Row)],
        width: usize,
        row: usize,
        peers: &Range<usize>,
        distance: &Value,
        before: bool,
        is_end: bool,
    ) -> Result<usize, SqlError> {
        let [key] = &self.call.order_by[..] else {
            return Err(SqlError::new(
                ErrorCode::WINDOW_RANGE_FRAME_ORDER_TYPE,
                "Window with RANGE N PRECEDING/FOLLOWING frame requires exactly one ORDER BY expression, of numeric or \
                 temporal type",
            ));
        };
        let value = Evaluator::new(&key.expression, self.scope).eval(&rows[row].2[..width]).await?;
        if value.is_null() {
            // NULLs are each other's peers, at any distance.
            return Ok(if is_end { peers.end } else { peers.start });
        }
        let ty = key.expression.ty();
        let target = within(shift(&value, distance, before != key.descending)?, &ty, is_end == key.descending);
        let mut bytes = Vec::new();
        sort_key(&target, &KeyColumn { ty, descending: key.descending }, &mut bytes)?;
        Ok(if is_end {
            rows.partition_point(|entry| entry.1 <= bytes)
        } else {
            rows.partition_point(|entry| entry.1 < bytes)
        })
    }
}

/// An edge between whole numbers as the next one inside the frame: `up` or down from it.
fn within(target: Value, ty: &MysqlType, up: bool) -> Value {
    let TypeKind::Int { unsigned, .. } = ty.kind else { return target };
    let number = match &target {
        Value::Decimal(number) => *number,
        Value::Double(number) => Decimal::from_f64(*number),
        _ => return target,
    };
    let whole = if up { number.ceiling() } else { number.floor() };
    match (unsigned, whole.is_negative()) {
        (false, true) => Value::Int(whole.to_i64().unwrap_or(i64::MIN)),
        (false, false) => Value::Int(whole.to_i64().unwrap_or(i64::MAX)),
        (true, true) => Value::UInt(0),
        (true, false) => Value::UInt(whole.to_u64().unwrap_or(u64::MAX)),
    }
}

fn clamp(rows: u64) -> usize {
    usize::try_from(rows).unwrap_or(usize::MAX)
}

fn frame_error() -> SqlError {
    SqlError::new(
        ErrorCode::WINDOW_FRAME_ILLEGAL,
        "Window '<unnamed window>': frame start or end is negative, NULL or of non-integral type",
    )
}

/// For every row, the rows equal to it in the order.
fn peers(rows: &[(Vec<u8>, Vec<u8>, Row)]) -> Vec<Range<usize>> {
    let mut all = Vec::with_capacity(rows.len());
    let mut start = 0;
    while start < rows.len() {
        let end = start + rows[start..].iter().take_while(|row| row.1 == rows[start].1).count();
        all.extend(std::iter::repeat_n(start..end, end - start));
        start = end;
    }
    all
}
