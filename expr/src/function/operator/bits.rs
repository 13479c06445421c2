//! `& | ^ ~ << >>`. Manual: "Bit Functions and Operators" (14.12).
//!
//! On numbers of 64 bits without sign; on two binary strings of the same length, byte by byte.

use crate::error::{ErrorCode, SqlError};
use crate::eval::EvalContext;
use crate::function::Call;
use crate::function::operator::any_nullable;
use crate::mysql_type::{MysqlType, TypeKind};
use crate::value::Value;

pub(super) fn result_type(types: &[MysqlType]) -> Result<MysqlType, SqlError> {
    if types.iter().all(MysqlType::is_binary) {
        let length = types.iter().filter_map(MysqlType::character_length).max().unwrap_or(0);
        let kind = TypeKind::VarBinary { length: u32::try_from(length).unwrap_or(u32::MAX) };
        return Ok(MysqlType::new(kind).with_nullable(any_nullable(types)));
    }
    Ok(MysqlType::bigint_unsigned().with_nullable(any_nullable(types)))
}

pub(super) fn shift_type(types: &[MysqlType]) -> Result<MysqlType, SqlError> {
    Ok(MysqlType::bigint_unsigned().with_nullable(any_nullable(types)))
}

/// Bytes beside a number are a number themselves, most significant byte first, as hexadecimal literals are.
fn number(value: &Value, context: &EvalContext) -> Result<u64, SqlError> {
    match value {
        Value::Bytes(bytes) if bytes.len() <= 8 => Ok(bytes.iter().fold(0, |number, byte| number << 8 | *byte as u64)),
        // Decimals and doubles below zero have the bits of their whole number.
        other => other.to_u64(context),
    }
}

fn combine(
    call: &Call<'_>,
    arguments: &[Value],
    context: &EvalContext,
    numbers: fn(u64, u64) -> u64,
) -> Result<Value, SqlError> {
    if call.result_type.is_binary()
        && let [Value::Bytes(left), Value::Bytes(right)] = arguments
    {
        if left.len() != right.len() {
            let message = "Binary operands of bitwise operators must be of equal length";
            return Err(SqlError::new(ErrorCode::INVALID_BITWISE_OPERANDS_SIZE, message));
        }
        let bytes: Vec<u8> =
            left.iter().zip(right.iter()).map(|(left, right)| numbers(*left as u64, *right as u64) as u8).collect();
        return Ok(Value::Bytes(bytes.into()));
    }
    Ok(Value::UInt(numbers(number(&arguments[0], context)?, number(&arguments[1], context)?)))
}

pub(super) fn and(call: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    combine(call, arguments, context, |left, right| left & right)
}

pub(super) fn or(call: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    combine(call, arguments, context, |left, right| left | right)
}

pub(super) fn xor(call: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    combine(call, arguments, context, |left, right| left ^ right)
}

pub(super) fn not(call: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    match &arguments[0] {
        Value::Bytes(bytes) if call.result_type.is_binary() => {
            Ok(Value::Bytes(bytes.iter().map(|byte| !byte).collect()))
        }
        other => Ok(Value::UInt(!number(other, context)?)),
    }
}

fn shift(arguments: &[Value], context: &EvalContext, shifted: fn(u64, u32) -> Option<u64>) -> Result<Value, SqlError> {
    let places = u32::try_from(number(&arguments[1], context)?).unwrap_or(u32::MAX);
    Ok(Value::UInt(shifted(number(&arguments[0], context)?, places).unwrap_or(0)))
}

pub(super) fn shift_left(_: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    shift(arguments, context, u64::checked_shl)
}

pub(super) fn shift_right(_: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    shift(arguments, context, u64::checked_shr)
}
