//! `+ - * / DIV %` and negation. Manual: "Arithmetic Operators" (14.6.1).
//!
//! Doubles where an operand is a double or a text, else decimals where one is a decimal, else integers of 64 bits; `/` of
//! integers is a decimal. What does not fit is error 1690.
//!
//! Decimals inside an expression carry more digits than the result shows (see `Decimal::divide`): every operator here
//! exists rounded to its type, which is what a caller sees, and unrounded, which is what an enclosing operator gets.

use crate::error::{ErrorCode, SqlError};
use crate::eval::{EvalContext, SqlMode};
use crate::function::operator::{Evaluate, any_nullable};
use crate::function::{Call, Function};
use crate::mysql_type::{MysqlType, TypeKind};
use crate::value::Value;
use crate::value::decimal::Decimal;
use ethnum::I256;

/// What `/` adds to the scale of the dividend: MySQL's default of div_precision_increment.
const DIVISION_DIGITS: u8 = 4;

/// In which kind of numbers an operator computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Domain {
    Integer,
    Decimal,
    Double,
}

fn domain_of(ty: &MysqlType) -> Domain {
    match ty.kind {
        TypeKind::Int { .. } | TypeKind::Bit { .. } | TypeKind::Year | TypeKind::Date => Domain::Integer,
        TypeKind::Time { fsp } | TypeKind::DateTime { fsp } | TypeKind::Timestamp { fsp } => {
            if fsp == 0 {
                Domain::Integer
            } else {
                Domain::Decimal
            }
        }
        TypeKind::Decimal { .. } => Domain::Decimal,
        _ => Domain::Double,
    }
}

fn common_domain(types: &[MysqlType]) -> Domain {
    types.iter().map(domain_of).max().unwrap_or(Domain::Double)
}

/// Digits before and after the point that a value of the type may have.
fn digits_of(ty: &MysqlType) -> (u8, u8) {
    match ty.kind {
        TypeKind::Decimal { precision, scale, .. } => (precision.saturating_sub(scale), scale),
        TypeKind::Time { fsp } => (7, fsp),
        TypeKind::DateTime { fsp } | TypeKind::Timestamp { fsp } => (14, fsp),
        TypeKind::Date => (8, 0),
        TypeKind::Year => (4, 0),
        TypeKind::Bit { .. } => (20, 0),
        // 16777215 has eight digits, though NUMERIC_PRECISION says seven.
        TypeKind::Int { bytes: 3, .. } => (8, 0),
        _ => (ty.numeric_precision().map_or(20, |precision| precision as u8), 0),
    }
}

fn decimal_type(whole: u32, scale: u32, unsigned: bool, types: &[MysqlType]) -> MysqlType {
    let scale = scale.min(Decimal::SCALE_MAX as u32);
    let precision = (whole + scale).clamp(1, Decimal::PRECISION_MAX as u32);
    let kind = TypeKind::Decimal { precision: precision as u8, scale: scale as u8, unsigned };
    MysqlType::new(kind).with_nullable(any_nullable(types))
}

fn integer_type(unsigned: bool, types: &[MysqlType]) -> MysqlType {
    let ty = if unsigned { MysqlType::bigint_unsigned() } else { MysqlType::bigint() };
    ty.with_nullable(any_nullable(types))
}

fn double_type(types: &[MysqlType]) -> MysqlType {
    MysqlType::double().with_nullable(any_nullable(types))
}

fn any_unsigned(types: &[MysqlType]) -> bool {
    types.iter().any(MysqlType::is_unsigned)
}

fn all_unsigned(types: &[MysqlType]) -> bool {
    types.iter().all(MysqlType::is_unsigned)
}

pub(super) fn sum_type(types: &[MysqlType]) -> Result<MysqlType, SqlError> {
    Ok(match common_domain(types) {
        Domain::Integer => integer_type(any_unsigned(types), types),
        Domain::Decimal => {
            let whole = types.iter().map(|ty| digits_of(ty).0).max().unwrap_or(0);
            let scale = types.iter().map(|ty| digits_of(ty).1).max().unwrap_or(0);
            decimal_type(whole as u32 + 1, scale as u32, all_unsigned(types), types)
        }
        Domain::Double => double_type(types),
    })
}

pub(super) fn product_type(types: &[MysqlType]) -> Result<MysqlType, SqlError> {
    Ok(match common_domain(types) {
        Domain::Integer => integer_type(any_unsigned(types), types),
        Domain::Decimal => {
            let whole = types.iter().map(|ty| digits_of(ty).0 as u32).sum();
            let scale = types.iter().map(|ty| digits_of(ty).1 as u32).sum();
            decimal_type(whole, scale, all_unsigned(types), types)
        }
        Domain::Double => double_type(types),
    })
}

pub(super) fn quotient_type(types: &[MysqlType]) -> Result<MysqlType, SqlError> {
    let (Domain::Integer | Domain::Decimal) = common_domain(types) else {
        return Ok(double_type(types).with_nullable(true));
    };
    let ((whole, scale), (_, divisor_scale)) = (digits_of(&types[0]), digits_of(&types[1]));
    let quotient_scale = (scale as u32 + DIVISION_DIGITS as u32).min(Decimal::SCALE_MAX as u32);
    let ty = decimal_type(whole as u32 + divisor_scale as u32, quotient_scale, all_unsigned(types), types);
    // Division by zero.
    Ok(ty.with_nullable(true))
}

pub(super) fn whole_quotient_type(types: &[MysqlType]) -> Result<MysqlType, SqlError> {
    Ok(integer_type(any_unsigned(types), types).with_nullable(true))
}

pub(super) fn remainder_type(types: &[MysqlType]) -> Result<MysqlType, SqlError> {
    let ty = match common_domain(types) {
        Domain::Integer => integer_type(types[0].is_unsigned(), types),
        Domain::Decimal => {
            let whole = types.iter().map(|ty| digits_of(ty).0).max().unwrap_or(0);
            let scale = types.iter().map(|ty| digits_of(ty).1).max().unwrap_or(0);
            decimal_type(whole as u32, scale as u32, types[0].is_unsigned(), types)
        }
        Domain::Double => double_type(types),
    };
    Ok(ty.with_nullable(true))
}

pub(super) fn negation_type(types: &[MysqlType]) -> Result<MysqlType, SqlError> {
    Ok(match common_domain(types) {
        Domain::Integer => integer_type(false, types),
        Domain::Decimal => {
            let (whole, scale) = digits_of(&types[0]);
            decimal_type(whole as u32, scale as u32, false, types)
        }
        Domain::Double => double_type(types),
    })
}

/// The form of an arithmetic operator that keeps all digits of decimals; `None` for all other functions.
pub fn unrounded(function: &Function) -> Option<Evaluate> {
    Some(match function.name {
        "+" => add_unrounded,
        "-" => subtract_unrounded,
        "*" => multiply_unrounded,
        "/" => divide_unrounded,
        "%" => remainder_unrounded,
        "NEG" => negate_unrounded,
        _ => return None,
    })
}

/// Functions that look at a decimal as a number and get all of its digits. All others, and columns, see what the type
/// shows.
pub fn takes_unrounded(function: &Function) -> bool {
    matches!(
        function.name,
        "+" | "-"
            | "*"
            | "/"
            | "%"
            | "DIV"
            | "NEG"
            | "="
            | "<>"
            | "<"
            | "<="
            | ">"
            | ">="
            | "<=>"
            | "BETWEEN"
            | "IN"
            | "ROUND"
            | "TRUNCATE"
            | "FLOOR"
            | "CEIL"
            | "CEILING"
            | "ABS"
            | "MOD"
            | "SIGN"
    )
}

/// To the scale of the result's type.
pub fn rounded(value: Value, call: &Call<'_>) -> Value {
    match (&value, &call.result_type.kind) {
        (Value::Decimal(number), TypeKind::Decimal { scale, .. }) if number.scale() != *scale => {
            Value::Decimal(number.round(*scale as i32))
        }
        _ => value,
    }
}

macro_rules! rounded_forms {
    ($($name:ident = $unrounded:ident,)*) => {
        $(pub(super) fn $name(
            call: &Call<'_>,
            arguments: &[Value],
            context: &EvalContext,
        ) -> Result<Value, SqlError> {
            Ok(rounded($unrounded(call, arguments, context)?, call))
        })*
    };
}

rounded_forms! {
    add = add_unrounded,
    subtract = subtract_unrounded,
    multiply = multiply_unrounded,
    divide = divide_unrounded,
    remainder = remainder_unrounded,
}

fn add_unrounded(call: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    const PLUS: Operation = Operation {
        symbol: "+",
        small: i64::checked_add,
        wide: |left, right| left + right,
        decimal: Decimal::add,
        double: |left, right| left + right,
    };
    PLUS.apply(call, arguments, context)
}

fn subtract_unrounded(call: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    const MINUS: Operation = Operation {
        symbol: "-",
        small: i64::checked_sub,
        wide: |left, right| left - right,
        decimal: Decimal::subtract,
        double: |left, right| left - right,
    };
    MINUS.apply(call, arguments, context)
}

fn multiply_unrounded(call: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    const TIMES: Operation = Operation {
        symbol: "*",
        small: i64::checked_mul,
        // Saturating is out of range too.
        wide: i128::saturating_mul,
        decimal: Decimal::multiply,
        double: |left, right| left * right,
    };
    TIMES.apply(call, arguments, context)
}

/// One of `+ - *` in every kind of numbers.
struct Operation {
    symbol: &'static str,
    small: fn(i64, i64) -> Option<i64>,
    wide: fn(i128, i128) -> i128,
    decimal: fn(&Decimal, &Decimal) -> Option<Decimal>,
    double: fn(f64, f64) -> f64,
}

impl Operation {
    fn apply(&self, call: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
        let (left, right) = (&arguments[0], &arguments[1]);
        let out_of_range = |kind: &str| out_of_range(kind, self.symbol, left, right);
        match &call.result_type.kind {
            TypeKind::Int { unsigned, .. } => {
                if !unsigned
                    && let (Value::Int(left), Value::Int(right)) = (left, right)
                    && let Some(result) = (self.small)(*left, *right)
                {
                    return Ok(Value::Int(result));
                }
                let result = (self.wide)(whole(left, context)?, whole(right, context)?);
                let signed =
                    !unsigned || (self.symbol == "-" && context.sql_mode.has(SqlMode::NO_UNSIGNED_SUBTRACTION));
                integer(result, !signed).ok_or_else(|| out_of_range(integer_name(!signed)))
            }
            TypeKind::Decimal { .. } => {
                let result = (self.decimal)(&left.to_decimal(context)?, &right.to_decimal(context)?);
                result.map(Value::Decimal).ok_or_else(|| out_of_range("DECIMAL"))
            }
            _ => finite((self.double)(left.to_f64(context)?, right.to_f64(context)?))
                .ok_or_else(|| out_of_range("DOUBLE")),
        }
    }
}

/// Any 64-bit number, whichever its sign.
fn whole(value: &Value, context: &EvalContext) -> Result<i128, SqlError> {
    use crate::coerce::Whole;
    Ok(match value.to_whole(context)? {
        Whole::Signed(number) => number as i128,
        Whole::Unsigned(number) => number as i128,
    })
}

fn integer(number: i128, unsigned: bool) -> Option<Value> {
    if unsigned { u64::try_from(number).ok().map(Value::UInt) } else { i64::try_from(number).ok().map(Value::Int) }
}

fn integer_name(unsigned: bool) -> &'static str {
    if unsigned { "BIGINT UNSIGNED" } else { "BIGINT" }
}

fn finite(number: f64) -> Option<Value> {
    number.is_finite().then_some(Value::Double(number))
}

/// 1690; the operands stand in it as values.
fn out_of_range(kind: &str, symbol: &str, left: &Value, right: &Value) -> SqlError {
    let message = format!("{kind} value is out of range in '({} {symbol} {})'", left.to_text(), right.to_text());
    SqlError::new(ErrorCode::DATA_OUT_OF_RANGE, message)
}

/// NULL, with a warning or an error as the sql_mode says.
fn division_by_zero(context: &EvalContext) -> Result<Value, SqlError> {
    if context.sql_mode.has(SqlMode::ERROR_FOR_DIVISION_BY_ZERO) {
        context.bad_value(ErrorCode::DIVISION_BY_ZERO, "Division by 0")?;
    }
    Ok(Value::Null)
}

fn divide_unrounded(call: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    let (left, right) = (&arguments[0], &arguments[1]);
    if let TypeKind::Decimal { scale, .. } = call.result_type.kind {
        let divisor = right.to_decimal(context)?;
        if divisor.is_zero() {
            return division_by_zero(context);
        }
        let dividend = left.to_decimal(context)?;
        let increment = scale.saturating_sub(digits_of(&call.argument_types[0]).1);
        let quotient = dividend.divide(&divisor, increment);
        return quotient.map(Value::Decimal).ok_or_else(|| out_of_range("DECIMAL", "/", left, right));
    }
    let divisor = right.to_f64(context)?;
    if divisor == 0.0 {
        return division_by_zero(context);
    }
    finite(left.to_f64(context)? / divisor).ok_or_else(|| out_of_range("DOUBLE", "/", left, right))
}

pub(super) fn divide_whole(call: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    let (left, right) = (&arguments[0], &arguments[1]);
    let unsigned = call.result_type.is_unsigned();
    let quotient = if common_domain(call.argument_types) == Domain::Integer {
        match whole(right, context)? {
            0 => return division_by_zero(context),
            divisor => Some(whole(left, context)? / divisor),
        }
    } else {
        let divisor = right.to_decimal(context)?;
        if divisor.is_zero() {
            return division_by_zero(context);
        }
        let quotient = left.to_decimal(context)?.divide_whole(&divisor);
        quotient.and_then(|quotient| i128::try_from(quotient.mantissa()).ok())
    };
    quotient
        .and_then(|quotient| integer(quotient, unsigned))
        .ok_or_else(|| out_of_range(integer_name(unsigned), "DIV", left, right))
}

fn remainder_unrounded(call: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    let (left, right) = (&arguments[0], &arguments[1]);
    match &call.result_type.kind {
        TypeKind::Int { unsigned, .. } => match whole(right, context)? {
            0 => division_by_zero(context),
            divisor => integer(whole(left, context)? % divisor, *unsigned)
                .ok_or_else(|| out_of_range(integer_name(*unsigned), "%", left, right)),
        },
        TypeKind::Decimal { .. } => {
            let remainder = left.to_decimal(context)?.remainder(&right.to_decimal(context)?);
            remainder.map_or_else(|| division_by_zero(context), |remainder| Ok(Value::Decimal(remainder)))
        }
        _ => {
            let divisor = right.to_f64(context)?;
            if divisor == 0.0 { division_by_zero(context) } else { Ok(Value::Double(left.to_f64(context)? % divisor)) }
        }
    }
}

pub(super) fn negate(call: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    Ok(rounded(negate_unrounded(call, arguments, context)?, call))
}

fn negate_unrounded(call: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    let argument = &arguments[0];
    match &call.result_type.kind {
        TypeKind::Int { .. } => integer(-whole(argument, context)?, false).ok_or_else(|| {
            let message = format!("BIGINT value is out of range in '-({})'", argument.to_text());
            SqlError::new(ErrorCode::DATA_OUT_OF_RANGE, message)
        }),
        TypeKind::Decimal { .. } => {
            let number = argument.to_decimal(context)?;
            Ok(Value::Decimal(Decimal::new(I256::ZERO - number.mantissa(), number.scale())))
        }
        _ => Ok(Value::Double(-argument.to_f64(context)?)),
    }
}
