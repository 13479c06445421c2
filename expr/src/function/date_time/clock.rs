//! NOW and its relatives: the statement's clock, which stands still while it runs.
//!
//! SYSDATE is NOW here (MySQL's `--sysdate-is-now`): a statement gives the same result wherever its parts run.

use crate::error::{ErrorCode, SqlError};
use crate::eval::{EvalContext, TimeZone};
use crate::function::argument;
use crate::function::{Arguments, Call, Function, LiteralResult};
use crate::mysql_type::{MysqlType, TypeKind};
use crate::value::Value;
use crate::value::temporal::DateTime;
use Arguments::{Between, Exactly};

pub static FUNCTIONS: &[Function] = &[
    Function::new("NOW", Between(0, 1), datetime_type, now).statement(),
    Function::new("CURRENT_TIMESTAMP", Between(0, 1), datetime_type, now).statement(),
    Function::new("LOCALTIME", Between(0, 1), datetime_type, now).statement(),
    Function::new("LOCALTIMESTAMP", Between(0, 1), datetime_type, now).statement(),
    Function::new("SYSDATE", Between(0, 1), datetime_type, now).statement(),
    Function::new("CURDATE", Exactly(0), date_type, curdate).statement(),
    Function::new("CURRENT_DATE", Exactly(0), date_type, curdate).statement(),
    Function::new("CURTIME", Between(0, 1), time_type, curtime).statement(),
    Function::new("CURRENT_TIME", Between(0, 1), time_type, curtime).statement(),
    Function::new("UTC_TIMESTAMP", Between(0, 1), datetime_type, utc_timestamp).statement(),
    Function::new("UTC_DATE", Exactly(0), date_type, utc_date).statement(),
    Function::new("UTC_TIME", Between(0, 1), time_type, utc_time).statement(),
];

pub static BY_LITERAL: &[(&str, LiteralResult)] = &[
    ("NOW", datetime_by_literal),
    ("CURRENT_TIMESTAMP", datetime_by_literal),
    ("LOCALTIME", datetime_by_literal),
    ("LOCALTIMESTAMP", datetime_by_literal),
    ("SYSDATE", datetime_by_literal),
    ("UTC_TIMESTAMP", datetime_by_literal),
    ("CURTIME", time_by_literal),
    ("CURRENT_TIME", time_by_literal),
    ("UTC_TIME", time_by_literal),
];

fn date_type(_: &[MysqlType]) -> Result<MysqlType, SqlError> {
    Ok(MysqlType::new(TypeKind::Date).with_nullable(false))
}

/// Six digits where a precision is given that we do not know.
fn datetime_type(types: &[MysqlType]) -> Result<MysqlType, SqlError> {
    Ok(MysqlType::new(TypeKind::DateTime { fsp: if types.is_empty() { 0 } else { 6 } }).with_nullable(false))
}

fn time_type(types: &[MysqlType]) -> Result<MysqlType, SqlError> {
    Ok(MysqlType::new(TypeKind::Time { fsp: if types.is_empty() { 0 } else { 6 } }).with_nullable(false))
}

fn literal_fsp(literals: &[Option<&Value>], function: &str) -> Result<u8, SqlError> {
    match literals.first() {
        None => Ok(0),
        Some(Some(Value::Int(fsp @ 0..=6))) => Ok(*fsp as u8),
        Some(Some(Value::UInt(fsp @ 0..=6))) => Ok(*fsp as u8),
        Some(Some(Value::Int(fsp))) => Err(too_precise(*fsp, function)),
        Some(_) => Ok(6),
    }
}

fn too_precise(fsp: i64, function: &str) -> SqlError {
    let message = format!("Too-big precision {fsp} specified for '{function}'. Maximum is 6.");
    SqlError::new(ErrorCode::TOO_BIG_PRECISION, message)
}

fn datetime_by_literal(_: &[MysqlType], literals: &[Option<&Value>]) -> Result<MysqlType, SqlError> {
    Ok(MysqlType::new(TypeKind::DateTime { fsp: literal_fsp(literals, "now")? }).with_nullable(false))
}

fn time_by_literal(_: &[MysqlType], literals: &[Option<&Value>]) -> Result<MysqlType, SqlError> {
    Ok(MysqlType::new(TypeKind::Time { fsp: literal_fsp(literals, "curtime")? }).with_nullable(false))
}

/// The statement's moment in a zone, digits beyond the wanted ones cut off.
fn moment(zone: TimeZone, arguments: &[Value], context: &EvalContext) -> Result<DateTime, SqlError> {
    let fsp = match arguments.first() {
        None => 0,
        Some(fsp) => argument::integer(fsp, context)?,
    };
    let fsp = u8::try_from(fsp).ok().filter(|fsp| *fsp <= 6).ok_or_else(|| too_precise(fsp, "now"))?;
    let moment = zone.from_utc_micros(context.now_us, fsp);
    Ok(moment.unwrap_or(DateTime::ZERO).truncate(fsp))
}

fn now(_: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    Ok(Value::DateTime(moment(context.time_zone, arguments, context)?))
}

fn curdate(_: &Call<'_>, _: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    Ok(Value::Date(moment(context.time_zone, &[], context)?.date()))
}

fn curtime(_: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    Ok(Value::Time(moment(context.time_zone, arguments, context)?.time()))
}

fn utc_timestamp(_: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    Ok(Value::DateTime(moment(TimeZone::Offset(0), arguments, context)?))
}

fn utc_date(_: &Call<'_>, _: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    Ok(Value::Date(moment(TimeZone::Offset(0), &[], context)?.date()))
}

fn utc_time(_: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    Ok(Value::Time(moment(TimeZone::Offset(0), arguments, context)?.time()))
}
