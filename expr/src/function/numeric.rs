//! Mathematical functions. Manual: "Mathematical Functions" (14.6.2). Rounding is in [`round`], RAND in [`random`].

use crate::error::{ErrorCode, SqlError};
use crate::eval::EvalContext;
use crate::function::operator::rounded;
use crate::function::{self, argument, result};
use crate::function::{Arguments, Call, Function};
use crate::mysql_type::{MysqlType, TypeKind};
use crate::value::Value;
use Arguments::{Between, Exactly};

pub mod random;
pub mod round;

pub static FUNCTIONS: &[Function] = &[
    Function::new("ABS", Exactly(1), abs_type, abs),
    Function::new("SIGN", Exactly(1), result::int::<2>, sign),
    Function::new("MOD", Exactly(2), modulo_type, modulo),
    Function::new("POW", Exactly(2), result::double, pow),
    Function::new("POWER", Exactly(2), result::double, pow),
    Function::new("SQRT", Exactly(1), result::double, sqrt),
    Function::new("EXP", Exactly(1), result::double, exp),
    Function::new("LN", Exactly(1), result::double, ln),
    Function::new("LOG", Between(1, 2), result::double, log),
    Function::new("LOG2", Exactly(1), result::double, log2),
    Function::new("LOG10", Exactly(1), result::double, log10),
    Function::new("PI", Exactly(0), pi_type, pi),
    Function::new("SIN", Exactly(1), result::double, |_, arguments, context| unary(arguments, context, f64::sin)),
    Function::new("COS", Exactly(1), result::double, |_, arguments, context| unary(arguments, context, f64::cos)),
    Function::new("TAN", Exactly(1), result::double, |_, arguments, context| unary(arguments, context, f64::tan)),
    Function::new("COT", Exactly(1), result::double, cot),
    Function::new("ASIN", Exactly(1), result::double, |_, arguments, context| unary(arguments, context, f64::asin)),
    Function::new("ACOS", Exactly(1), result::double, |_, arguments, context| unary(arguments, context, f64::acos)),
    Function::new("ATAN", Between(1, 2), result::double, atan),
    Function::new("ATAN2", Between(1, 2), result::double, atan),
    Function::new("DEGREES", Exactly(1), result::double, degrees),
    Function::new("RADIANS", Exactly(1), result::double, radians),
    Function::new("CRC32", Exactly(1), crc32_type, crc32),
];

/// 1690: `DOUBLE value is out of range in 'pow(10,400)'`.
pub fn out_of_range(kind: &str, function: &str, arguments: &[Value]) -> SqlError {
    let shown: Vec<_> = arguments.iter().map(Value::to_text).collect();
    let message = format!("{kind} value is out of range in '{function}({})'", shown.join(","));
    SqlError::new(ErrorCode::DATA_OUT_OF_RANGE, message)
}

/// A function that has no value for some numbers gives NULL there (ASIN(2)).
fn unary(arguments: &[Value], context: &EvalContext, function: fn(f64) -> f64) -> Result<Value, SqlError> {
    let number = function(arguments[0].to_f64(context)?);
    Ok(if number.is_nan() { Value::Null } else { Value::Double(number) })
}

fn finite(number: f64, function: &str, arguments: &[Value]) -> Result<Value, SqlError> {
    if number.is_finite() { Ok(Value::Double(number)) } else { Err(out_of_range("DOUBLE", function, arguments)) }
}

fn abs_type(types: &[MysqlType]) -> Result<MysqlType, SqlError> {
    let ty = &types[0];
    Ok(match ty.kind {
        TypeKind::Decimal { .. } => ty.clone(),
        _ if ty.is_integer() && ty.is_unsigned() => MysqlType::bigint_unsigned(),
        _ if ty.is_integer() => MysqlType::bigint(),
        _ => MysqlType::double(),
    })
}

fn abs(call: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    match &arguments[0] {
        Value::Int(number) => match number.checked_abs() {
            Some(number) => Ok(Value::Int(number)),
            None => Err(out_of_range("BIGINT", "abs", arguments)),
        },
        Value::UInt(number) | Value::Bit(number, _) => Ok(Value::UInt(*number)),
        Value::Decimal(number) => Ok(rounded(Value::Decimal(number.absolute()), call)),
        other => Ok(Value::Double(other.to_f64(context)?.abs())),
    }
}

fn sign(_: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    let sign = match &arguments[0] {
        Value::Int(number) => number.signum(),
        Value::UInt(number) | Value::Bit(number, _) => i64::from(*number > 0),
        Value::Decimal(number) if number.is_zero() => 0,
        Value::Decimal(number) => {
            if number.is_negative() {
                -1
            } else {
                1
            }
        }
        other => match other.to_f64(context)? {
            0.0 => 0,
            number => number.signum() as i64,
        },
    };
    Ok(Value::Int(sign))
}

/// MOD(a, b) is a % b.
fn remainder() -> Result<&'static Function, SqlError> {
    function::lookup("%").ok_or_else(|| SqlError::internal("the operator % is missing"))
}

fn modulo_type(types: &[MysqlType]) -> Result<MysqlType, SqlError> {
    (remainder()?.result)(types)
}

fn modulo(call: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    (remainder()?.evaluate)(call, arguments, context)
}

fn pow(_: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    let power = arguments[0].to_f64(context)?.powf(arguments[1].to_f64(context)?);
    finite(power, "pow", arguments)
}

fn sqrt(_: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    unary(arguments, context, f64::sqrt)
}

fn exp(_: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    finite(arguments[0].to_f64(context)?.exp(), "exp", arguments)
}

fn logarithm(number: f64, function: impl Fn(f64) -> f64, context: &EvalContext) -> Value {
    if number > 0.0 {
        return Value::Double(function(number));
    }
    let message = "Invalid argument for logarithm";
    context.warn(ErrorCode::INVALID_ARGUMENT_FOR_LOGARITHM, message);
    Value::Null
}

fn ln(_: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    Ok(logarithm(arguments[0].to_f64(context)?, f64::ln, context))
}

/// LOG(x) is LN(x); LOG(base, x).
fn log(_: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    let first = arguments[0].to_f64(context)?;
    let Some(second) = arguments.get(1) else { return Ok(logarithm(first, f64::ln, context)) };
    let number = second.to_f64(context)?;
    if first == 1.0 {
        return Ok(logarithm(0.0, f64::ln, context));
    }
    Ok(logarithm(first.min(number), |_| number.ln() / first.ln(), context))
}

fn log2(_: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    Ok(logarithm(arguments[0].to_f64(context)?, f64::log2, context))
}

fn log10(_: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    Ok(logarithm(arguments[0].to_f64(context)?, f64::log10, context))
}

/// Six digits are shown: `3.141593`. All of them count in arithmetic.
fn pi_type(_: &[MysqlType]) -> Result<MysqlType, SqlError> {
    Ok(MysqlType::new(TypeKind::Double { unsigned: false, display: Some((8, 6)) }).with_nullable(false))
}

fn pi(_: &Call<'_>, _: &[Value], _: &EvalContext) -> Result<Value, SqlError> {
    Ok(Value::Double(std::f64::consts::PI))
}

fn cot(_: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    finite(1.0 / arguments[0].to_f64(context)?.tan(), "cot", arguments)
}

fn atan(_: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    match arguments.get(1) {
        None => unary(arguments, context, f64::atan),
        Some(second) => Ok(Value::Double(arguments[0].to_f64(context)?.atan2(second.to_f64(context)?))),
    }
}

fn degrees(_: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    finite(arguments[0].to_f64(context)? * (180.0 / std::f64::consts::PI), "degrees", arguments)
}

fn radians(_: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    Ok(Value::Double(arguments[0].to_f64(context)? * (std::f64::consts::PI / 180.0)))
}

fn crc32_type(types: &[MysqlType]) -> Result<MysqlType, SqlError> {
    result::int::<10>(types).map(|mut ty| {
        if let TypeKind::Int { bytes, unsigned, .. } = &mut ty.kind {
            (*bytes, *unsigned) = (8, true);
        }
        ty
    })
}

fn crc32(call: &Call<'_>, arguments: &[Value], _: &EvalContext) -> Result<Value, SqlError> {
    let mut crc = flate2::Crc::new();
    crc.update(&argument::stored_bytes(call, &arguments[0]));
    Ok(Value::UInt(u64::from(crc.sum())))
}
