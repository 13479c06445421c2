//! FLOOR, CEILING, ROUND and TRUNCATE: exact numbers round half away from zero, DOUBLE half to even.
//! Manual: "Rounding Behavior" (14.25.4).

use crate::error::SqlError;
use crate::eval::EvalContext;
use crate::function::argument;
use crate::function::numeric::out_of_range;
use crate::function::{Arguments, Call, Function, LiteralResult};
use crate::mysql_type::{MysqlType, TypeKind};
use crate::value::Value;
use crate::value::decimal::Decimal;
use Arguments::{Between, Exactly};

pub static FUNCTIONS: &[Function] = &[
    Function::new("FLOOR", Exactly(1), whole_type, floor),
    Function::new("CEIL", Exactly(1), whole_type, ceiling),
    Function::new("CEILING", Exactly(1), whole_type, ceiling),
    Function::new("ROUND", Between(1, 2), round_type, round),
    Function::new("TRUNCATE", Exactly(2), truncate_type, truncate),
];

pub static BY_LITERAL: &[(&str, LiteralResult)] =
    &[("ROUND", round_type_by_literal), ("TRUNCATE", truncate_type_by_literal)];

/// Whole digits that always fit into a BIGINT.
const BIGINT_DIGITS_SAFE: u8 = 18;

fn whole_type(types: &[MysqlType]) -> Result<MysqlType, SqlError> {
    let ty = &types[0];
    Ok(match ty.kind {
        TypeKind::Decimal { precision, scale, unsigned } if precision.saturating_sub(scale) >= BIGINT_DIGITS_SAFE => {
            let precision = (precision - scale + 1).min(Decimal::PRECISION_MAX);
            MysqlType::new(TypeKind::Decimal { precision, scale: 0, unsigned })
        }
        TypeKind::Decimal { .. } => MysqlType::bigint(),
        _ if ty.is_integer() && ty.is_unsigned() => MysqlType::bigint_unsigned(),
        _ if ty.is_integer() => MysqlType::bigint(),
        _ => double_with(Some(0)),
    })
}

/// A DOUBLE that shows a fixed number of digits after the point: `ROUND(2.5e0, 2)` is `2.50`.
fn double_with(digits: Option<i64>) -> MysqlType {
    /// Digits that a DOUBLE shows beside those after the point.
    const DIGITS: u8 = 17;
    let decimals = digits.map(|digits| digits.max(0)).filter(|digits| *digits <= i64::from(Decimal::SCALE_MAX));
    let display = decimals.map(|decimals| (DIGITS + decimals as u8, decimals as u8));
    MysqlType::new(TypeKind::Double { unsigned: false, display })
}

fn whole(
    call: &Call<'_>,
    argument: &Value,
    exact: fn(&Decimal) -> Decimal,
    approximate: fn(f64) -> f64,
    context: &EvalContext,
) -> Result<Value, SqlError> {
    Ok(match argument {
        Value::Int(_) | Value::UInt(_) => argument.clone(),
        Value::Bit(number, _) => Value::UInt(*number),
        Value::Decimal(number) => {
            let number = exact(number);
            match number.to_i64().filter(|_| call.result_type.is_integer()) {
                Some(number) => Value::Int(number),
                None => Value::Decimal(number),
            }
        }
        other => Value::Double(approximate(other.to_f64(context)?)),
    })
}

fn floor(call: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    whole(call, &arguments[0], Decimal::floor, f64::floor, context)
}

fn ceiling(call: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    whole(call, &arguments[0], Decimal::ceiling, f64::ceil, context)
}

fn round_type(types: &[MysqlType]) -> Result<MysqlType, SqlError> {
    rounded_type(types, if types.len() == 1 { Some(0) } else { None }, true)
}

fn truncate_type(types: &[MysqlType]) -> Result<MysqlType, SqlError> {
    rounded_type(types, None, false)
}

fn round_type_by_literal(types: &[MysqlType], literals: &[Option<&Value>]) -> Result<MysqlType, SqlError> {
    match types.len() {
        1 => round_type(types),
        _ => rounded_type(types, literal_digits(literals), true),
    }
}

fn truncate_type_by_literal(types: &[MysqlType], literals: &[Option<&Value>]) -> Result<MysqlType, SqlError> {
    rounded_type(types, literal_digits(literals), false)
}

fn literal_digits(literals: &[Option<&Value>]) -> Option<i64> {
    match literals.get(1)? {
        Some(Value::Int(digits)) => Some(*digits),
        Some(Value::UInt(digits)) => Some(i64::try_from(*digits).unwrap_or(i64::MAX)),
        _ => None,
    }
}

fn rounded_type(types: &[MysqlType], digits: Option<i64>, may_carry: bool) -> Result<MysqlType, SqlError> {
    let ty = &types[0];
    Ok(match ty.kind {
        TypeKind::Decimal { precision, scale, unsigned } => {
            let new_scale = digits.map_or(scale, |digits| digits.clamp(0, i64::from(Decimal::SCALE_MAX)) as u8);
            let carry = u8::from(may_carry && new_scale < scale);
            let precision = (precision - scale.min(precision) + new_scale + carry).clamp(1, Decimal::PRECISION_MAX);
            MysqlType::new(TypeKind::Decimal { precision, scale: new_scale, unsigned })
        }
        _ if ty.is_integer() && ty.is_unsigned() => MysqlType::bigint_unsigned(),
        _ if ty.is_integer() => MysqlType::bigint(),
        // As the number that it is elsewhere: whole, if it has no digits after the point.
        TypeKind::Date | TypeKind::DateTime { fsp: 0 } | TypeKind::Timestamp { fsp: 0 } => MysqlType::bigint(),
        _ => double_with(digits),
    })
}

fn digits_of(arguments: &[Value], context: &EvalContext) -> Result<i64, SqlError> {
    arguments.get(1).map_or(Ok(0), |digits| argument::integer(digits, context))
}

fn round(call: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    let digits = digits_of(arguments, context)?;
    match &arguments[0] {
        Value::Decimal(number) => Ok(Value::Decimal(number.round(scale(call, number, digits)))),
        Value::Int(_) | Value::UInt(_) | Value::Bit(..) => cut_integer(arguments, digits, true, "round"),
        moment if call.result_type.is_integer() => {
            let number = Value::Int(moment.to_f64(context)? as i64);
            cut_integer(&[number], digits, true, "round")
        }
        other => Ok(Value::Double(round_double(other.to_f64(context)?, digits))),
    }
}

fn truncate(call: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    let digits = digits_of(arguments, context)?;
    match &arguments[0] {
        Value::Decimal(number) => Ok(Value::Decimal(number.truncate(scale(call, number, digits)))),
        Value::Int(_) | Value::UInt(_) | Value::Bit(..) => cut_integer(arguments, digits, false, "truncate"),
        moment if call.result_type.is_integer() => {
            let number = Value::Int(moment.to_f64(context)? as i64);
            cut_integer(&[number], digits, false, "truncate")
        }
        other => Ok(Value::Double(cut_double(other.to_f64(context)?, digits, f64::trunc))),
    }
}

/// Digits wanted, but no more than the result's type shows.
fn scale(call: &Call<'_>, number: &Decimal, digits: i64) -> i32 {
    let most = match call.result_type.kind {
        TypeKind::Decimal { scale, .. } => scale,
        _ => number.scale(),
    };
    digits.clamp(-80, i64::from(most)) as i32
}

fn cut_integer(arguments: &[Value], digits: i64, half_away: bool, function: &str) -> Result<Value, SqlError> {
    let number = match arguments[0] {
        Value::Int(number) => i128::from(number),
        Value::UInt(number) | Value::Bit(number, _) => i128::from(number),
        _ => 0,
    };
    let unit = 10i128.pow(digits.clamp(-20, 0).unsigned_abs() as u32);
    let rest = number % unit;
    let mut cut = number - rest;
    if half_away && rest.abs() * 2 >= unit && unit > 1 {
        cut += unit * rest.signum();
    }
    match arguments[0] {
        Value::Int(_) => i64::try_from(cut).map(Value::Int).map_err(|_| out_of_range("BIGINT", function, arguments)),
        _ => u64::try_from(cut).map(Value::UInt).map_err(|_| out_of_range("BIGINT UNSIGNED", function, arguments)),
    }
}

/// To `digits` decimal places, negative ones before the point; ties go to the even digit.
pub fn round_double(number: f64, digits: i64) -> f64 {
    cut_double(number, digits, f64::round_ties_even)
}

fn cut_double(number: f64, digits: i64, cut: fn(f64) -> f64) -> f64 {
    let factor = 10f64.powi(digits.unsigned_abs().min(400) as i32);
    match digits {
        ..0 if factor.is_infinite() => 0.0,
        ..0 => cut(number / factor) * factor,
        _ => {
            let scaled = number * factor;
            if scaled.is_finite() { cut(scaled) / factor } else { number }
        }
    }
}
