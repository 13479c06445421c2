//! Values where an operator needs a truth value, a count, or a distance.

use expr::eval::EvalContext;
use expr::value::Value;
use expr::{ErrorCode, SqlError};

/// Whether a condition's value is true: neither NULL nor zero.
pub fn is_true(value: &Value, context: &EvalContext) -> Result<bool, SqlError> {
    match value {
        Value::Null => Ok(false),
        Value::Int(number) => Ok(*number != 0),
        other => Ok(other.to_bool(context)?.unwrap_or(false)),
    }
}

/// A number of rows: LIMIT, OFFSET, NTILE.
pub fn to_count(value: &Value) -> Result<u64, SqlError> {
    match value {
        Value::Int(number) if *number >= 0 => Ok(*number as u64),
        Value::UInt(number) => Ok(*number),
        _ => Err(SqlError::new(ErrorCode::WRONG_ARGUMENTS, "Incorrect arguments to LIMIT")),
    }
}

/// A value less a distance (`down`), or plus it: the edge of a RANGE frame.
pub fn shift(value: &Value, distance: &Value, down: bool) -> Result<Value, SqlError> {
    let context = EvalContext::constant();
    let sign = if down { -1.0 } else { 1.0 };
    Ok(match (value, distance) {
        (Value::Float(_) | Value::Double(_), _) | (_, Value::Float(_) | Value::Double(_)) => {
            Value::Double(value.to_f64(&context)? + sign * distance.to_f64(&context)?)
        }
        (Value::Int(_) | Value::UInt(_) | Value::Decimal(_), _) => {
            let (value, distance) = (value.to_decimal(&context)?, distance.to_decimal(&context)?);
            let target = if down { value.subtract(&distance) } else { value.add(&distance) };
            target.map_or(Value::Double(value.to_f64() + sign * distance.to_f64()), Value::Decimal)
        }
        _ => {
            return Err(SqlError::not_supported("RANGE frames with INTERVAL"));
        }
    })
}
