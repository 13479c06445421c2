//! AUTO_INCREMENT: which rows get a value, and which values.
//!
//! Values come from the wal's counter, so they rise over all computes. A value that a client gives moves the counter
//! past it, at once for others and for good with the commit.

use crate::catalog::TableDef;
use crate::execute::StatementContext;
use crate::txn::service_error::{wal_error, with_backoff};
use common::service::wal::{AllocateRequest, CounterBump};
use expr::eval::{EvalContext, SqlMode};
use expr::mysql_type::TypeKind;
use expr::value::Value;
use expr::{ErrorCode, SqlError};

/// Position of the table's AUTO_INCREMENT column.
pub fn column(table: &TableDef) -> Option<usize> {
    table.columns.iter().position(|column| column.auto_increment)
}

/// NULL, or 0 unless NO_AUTO_VALUE_ON_ZERO.
pub fn wants_value(value: &Value, context: &EvalContext) -> bool {
    match value {
        Value::Null => true,
        Value::Int(0) | Value::UInt(0) => !context.sql_mode.has(SqlMode::NO_AUTO_VALUE_ON_ZERO),
        Value::Float(number) => *number == 0.0 && !context.sql_mode.has(SqlMode::NO_AUTO_VALUE_ON_ZERO),
        Value::Double(number) => *number == 0.0 && !context.sql_mode.has(SqlMode::NO_AUTO_VALUE_ON_ZERO),
        _ => false,
    }
}

/// A given value as the counter sees it; negative ones do not move it.
pub fn explicit(value: &Value) -> Option<u64> {
    match value {
        Value::Int(number) => u64::try_from(*number).ok(),
        Value::UInt(number) => Some(*number),
        Value::Float(number) if *number >= 0.0 => Some(*number as u64),
        Value::Double(number) if *number >= 0.0 => Some(*number as u64),
        _ => None,
    }
}

/// `count` values as auto_increment_increment and _offset ask, none below `at_least`: the first; each next is one
/// increment further.
pub async fn allocate(
    table: &TableDef,
    count: u64,
    at_least: u64,
    context: &mut StatementContext<'_>,
) -> Result<u64, SqlError> {
    let increment = context.settings.auto_increment_increment.max(1);
    // MySQL ignores an offset greater than the increment.
    let offset = match context.settings.auto_increment_offset {
        offset if offset > increment => 1,
        offset => offset.max(1),
    };
    let wanted = count.saturating_mul(increment);
    let first = take(table, wanted, at_least.max(1), context).await?;
    let misplaced = (first + increment - offset % increment) % increment;
    let first = if misplaced == 0 { first } else { first + increment - misplaced };
    Ok(first)
}

/// `count` row ids for a table without a key.
pub async fn allocate_row_ids(
    table: &TableDef,
    count: u64,
    context: &mut StatementContext<'_>,
) -> Result<u64, SqlError> {
    take(table, count, 1, context).await
}

async fn take(
    table: &TableDef,
    count: u64,
    at_least: u64,
    context: &mut StatementContext<'_>,
) -> Result<u64, SqlError> {
    let at_least = at_least.max(context.transaction.counter_next(table.counter));
    let request = AllocateRequest { counter: table.counter, count, at_least };
    let first = with_backoff(|| context.services.remote.wal.allocate(request)).await.map_err(wal_error)?;
    let next = first.checked_add(count).ok_or_else(exhausted)?;
    context.transaction.bump_counter(CounterBump { counter: table.counter, next, reset: false });
    Ok(first)
}

/// Moves the counter past a value that was given.
pub async fn move_past(table: &TableDef, value: u64, context: &mut StatementContext<'_>) -> Result<(), SqlError> {
    let next = value.saturating_add(1);
    if context.transaction.counter_next(table.counter) >= next {
        return Ok(());
    }
    let ask = |count, at_least| AllocateRequest { counter: table.counter, count, at_least };
    let wal = &context.services.remote.wal;
    let current = with_backoff(|| wal.allocate(ask(0, 0))).await.map_err(wal_error)?;
    if current <= value {
        // Taking the value itself moves the counter behind it.
        with_backoff(|| wal.allocate(ask(1, value))).await.map_err(wal_error)?;
    }
    context.transaction.bump_counter(CounterBump { counter: table.counter, next, reset: false });
    Ok(())
}

/// A counter's value in the column's type.
pub fn value(table: &TableDef, position: usize, number: u64) -> Result<Value, SqlError> {
    let max = match table.columns[position].ty.kind {
        TypeKind::Int { bytes, unsigned: true, .. } => u64::MAX >> (64 - 8 * u32::from(bytes.clamp(1, 8))),
        TypeKind::Int { bytes, .. } => u64::MAX >> (65 - 8 * u32::from(bytes.clamp(1, 8))),
        _ => u64::MAX,
    };
    if number > max || number == u64::MAX {
        return Err(exhausted());
    }
    Ok(match table.columns[position].ty.kind {
        TypeKind::Int { unsigned: true, .. } => Value::UInt(number),
        TypeKind::Float { .. } => Value::Float(number as f32),
        TypeKind::Double { .. } => Value::Double(number as f64),
        _ => Value::Int(number as i64),
    })
}

fn exhausted() -> SqlError {
    SqlError::new(ErrorCode(1467), "Failed to read auto-increment value from storage engine")
}
