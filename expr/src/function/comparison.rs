//! Comparison functions with more than two operands. Manual: "Comparison Functions and Operators" (14.4.2).

use crate::collation::CollationId;
use crate::error::SqlError;
use crate::eval::EvalContext;
use crate::function::result::{self, characters_max, collation_of, fsp_of, string_value};
use crate::function::string::search;
use crate::function::{Arguments, Call, Function};
use crate::mysql_type::{MysqlType, TypeKind};
use crate::value::Value;
use crate::value::decimal::Decimal;
use Arguments::{AtLeast, Exactly};
use std::cmp::Ordering;

pub static FUNCTIONS: &[Function] = &[
    Function::new("GREATEST", AtLeast(2), extreme_type, greatest),
    Function::new("LEAST", AtLeast(2), extreme_type, least),
    Function::new("INTERVAL", AtLeast(2), result::int::<10>, interval).takes_null(),
    Function::new("ISNULL", Exactly(1), is_null_type, |_, arguments, _| Ok(Value::boolean(arguments[0].is_null())))
        .takes_null(),
];

fn is_null_type(types: &[MysqlType]) -> Result<MysqlType, SqlError> {
    Ok(result::boolean(types)?.with_nullable(false))
}

/// One type that holds all: numbers of the widest kind, dates and times of one kind, else strings.
fn extreme_type(types: &[MysqlType]) -> Result<MysqlType, SqlError> {
    let known: Vec<&MysqlType> = types.iter().filter(|ty| !matches!(ty.kind, TypeKind::Null)).collect();
    let all = |test: fn(&MysqlType) -> bool| known.iter().all(|ty| test(ty));
    let fsp = known.iter().map(|ty| fsp_of(ty)).max().unwrap_or(0);
    if known.is_empty() {
        return Ok(MysqlType::null());
    }
    if all(MysqlType::is_integer) {
        let is_widest = |ty: &&MysqlType| ty.is_unsigned() && characters_max(ty) >= 20;
        return Ok(match all(MysqlType::is_unsigned) {
            true => MysqlType::bigint_unsigned(),
            // No integer holds those beyond BIGINT and negative ones.
            false if known.iter().any(is_widest) => decimal_type(&known),
            false => MysqlType::bigint(),
        });
    }
    if all(|ty| ty.is_integer() || matches!(ty.kind, TypeKind::Decimal { .. })) {
        return Ok(decimal_type(&known));
    }
    if all(MysqlType::is_numeric) {
        return Ok(MysqlType::double());
    }
    if all(|ty| matches!(ty.kind, TypeKind::Date)) {
        return Ok(MysqlType::new(TypeKind::Date));
    }
    if all(|ty| matches!(ty.kind, TypeKind::Time { .. })) {
        return Ok(MysqlType::new(TypeKind::Time { fsp }));
    }
    if all(MysqlType::is_temporal) {
        return Ok(MysqlType::new(TypeKind::DateTime { fsp }));
    }
    if all(|ty| matches!(ty.kind, TypeKind::Json)) {
        return Ok(MysqlType::new(TypeKind::Json));
    }
    Ok(result::string(types.iter().map(characters_max).max().unwrap_or(0), collation_of(types)))
}

/// Room for the most whole digits and the most digits after the point.
fn decimal_type(types: &[&MysqlType]) -> MysqlType {
    let digits = types.iter().map(|ty| match ty.kind {
        TypeKind::Decimal { precision, scale, .. } => (precision.saturating_sub(scale), scale),
        _ => (characters_max(ty).min(20) as u8, 0),
    });
    let (whole, scale) = digits.fold((0, 0), |most, digits| (most.0.max(digits.0), most.1.max(digits.1)));
    MysqlType::new(TypeKind::Decimal { precision: (whole + scale).min(Decimal::PRECISION_MAX), scale, unsigned: false })
}

fn greatest(call: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    extreme(call, arguments, Ordering::Greater, context)
}

fn least(call: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    extreme(call, arguments, Ordering::Less, context)
}

fn extreme(call: &Call<'_>, arguments: &[Value], wanted: Ordering, context: &EvalContext) -> Result<Value, SqlError> {
    let has_date = call.argument_types.iter().any(MysqlType::is_temporal);
    let mut best = &arguments[0];
    for candidate in &arguments[1..] {
        let order = match &call.result_type.kind {
            // A date among texts makes all of them dates.
            _ if has_date && !call.result_type.is_temporal() => {
                candidate.to_datetime(context)?.cmp(&best.to_datetime(context)?)
            }
            TypeKind::Int { .. } | TypeKind::Decimal { .. } => {
                candidate.to_decimal(context)?.cmp(&best.to_decimal(context)?)
            }
            TypeKind::Double { .. } => candidate.to_f64(context)?.total_cmp(&best.to_f64(context)?),
            TypeKind::Date | TypeKind::DateTime { .. } => {
                candidate.to_datetime(context)?.cmp(&best.to_datetime(context)?)
            }
            TypeKind::Time { .. } => candidate.to_time(context)?.cmp(&best.to_time(context)?),
            TypeKind::Json => crate::value::json::compare::compare_nodes(&candidate.to_json().0, &best.to_json().0),
            _ => search::compare(candidate, best, collation_of(call.argument_types)),
        };
        if order == wanted {
            best = candidate;
        }
    }
    in_type(call, best, context)
}

fn in_type(call: &Call<'_>, value: &Value, context: &EvalContext) -> Result<Value, SqlError> {
    Ok(match &call.result_type.kind {
        TypeKind::Decimal { scale, .. } => Value::Decimal(value.to_decimal(context)?.round(i32::from(*scale))),
        TypeKind::Double { .. } => Value::Double(value.to_f64(context)?),
        TypeKind::DateTime { fsp } => {
            value.to_datetime(context)?.map_or(Value::Null, |moment| Value::DateTime(moment.with_fsp(*fsp)))
        }
        TypeKind::Time { fsp } => value.to_time(context)?.map_or(Value::Null, |time| Value::Time(time.with_fsp(*fsp))),
        _ if call.result_type.is_string() => string_value(call, &value.to_bytes()),
        _ => value.clone(),
    })
}

/// How many of the rising numbers are at most the first; -1 for NULL.
fn interval(_: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    if arguments[0].is_null() {
        return Ok(Value::Int(-1));
    }
    let exact = |value: &Value| matches!(value, Value::Int(_) | Value::UInt(_) | Value::Decimal(_));
    let all_exact = arguments.iter().all(exact);
    for (index, bound) in arguments[1..].iter().enumerate() {
        let above = match all_exact {
            true => bound.to_decimal(context)? > arguments[0].to_decimal(context)?,
            false => !bound.is_null() && bound.to_f64(context)? > arguments[0].to_f64(context)?,
        };
        if above {
            return Ok(Value::Int(index as i64));
        }
    }
    Ok(Value::Int(arguments.len() as i64 - 1))
}

/// Whether a collation tells upper from lower case.
pub fn is_case_sensitive(collation: CollationId) -> bool {
    collation == CollationId::BINARY || !crate::collation::equal(collation, "a", "A")
}
