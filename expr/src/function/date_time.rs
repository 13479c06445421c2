//! Functions that make and convert dates and times. Manual: "Date and Time Functions" (14.7).
//!
//! Arguments that are no dates give NULL; the coercion ([`Value::to_date`] and its like) leaves the warning.

use crate::collation::CollationId;
use crate::error::{ErrorCode, SqlError};
use crate::eval::{EvalContext, TimeZone};
use crate::function::argument;
use crate::function::result::{self, fsp_of};
use crate::function::{Arguments, Call, Function, LiteralResult};
use crate::mysql_type::{MysqlType, TypeKind};
use crate::value::Value;
use crate::value::decimal::Decimal;
use crate::value::temporal::{
    Date, DateRules, DateTime, MICROS_PER_SECOND, Time, day_number, days_in_month, from_day_number, parse_datetime,
};
use Arguments::{Between, Exactly};
use ethnum::I256;

pub mod arithmetic;
pub mod clock;
pub mod format;
pub mod parse_format;
pub mod parts;
mod week;

pub static FUNCTIONS: &[Function] = &[
    Function::new("DATE", Exactly(1), result::date, date),
    Function::new("TIME", Exactly(1), time_type, time),
    Function::new("TIMESTAMP", Between(1, 2), timestamp_type, timestamp),
    Function::new("TO_DAYS", Exactly(1), result::int::<6>, to_days),
    Function::new("FROM_DAYS", Exactly(1), result::date, from_days),
    Function::new("TO_SECONDS", Exactly(1), result::bigint, to_seconds),
    Function::new("LAST_DAY", Exactly(1), result::date, last_day),
    Function::new("MAKEDATE", Exactly(2), result::date, make_date),
    Function::new("MAKETIME", Exactly(3), make_time_type, make_time),
    Function::new("SEC_TO_TIME", Exactly(1), time_type, sec_to_time),
    Function::new("TIME_TO_SEC", Exactly(1), result::int::<10>, time_to_sec),
    Function::new("PERIOD_ADD", Exactly(2), result::int::<6>, period_add),
    Function::new("PERIOD_DIFF", Exactly(2), result::int::<6>, period_diff),
    Function::new("UNIX_TIMESTAMP", Between(0, 1), unix_timestamp_type, unix_timestamp).statement(),
    Function::new("FROM_UNIXTIME", Between(1, 2), from_unixtime_type, from_unixtime).statement(),
    Function::new("CONVERT_TZ", Exactly(3), convert_tz_type, convert_tz),
];

pub static BY_LITERAL: &[(&str, LiteralResult)] =
    &[("UNIX_TIMESTAMP", unix_timestamp_type_by_literal), ("STR_TO_DATE", parse_format::result_by_literal)];

/// Seconds after 3001-01-18 23:59:59 UTC are no timestamps.
const UNIX_SECONDS_MAX: i64 = 32_536_771_199;

/// NULL for a date that exists but cannot be used here: `0000-00-00`, `2024-00-00`. With a warning; where a strict
/// statement writes, a text is an error, and a date that was stored is not.
pub fn incorrect_datetime(value: &Value, context: &EvalContext) -> Result<Value, SqlError> {
    match value {
        Value::Date(_) | Value::DateTime(_) => {
            let message = format!("Incorrect datetime value: '{}'", value.to_text());
            context.warn(ErrorCode::TRUNCATED_WRONG_VALUE, message);
        }
        _ => context.incorrect_value("datetime", &value.to_text())?,
    }
    Ok(Value::Null)
}

/// 1441: the result would be outside the calendar. An error where a strict statement writes.
pub fn overflow(context: &EvalContext) -> Result<Value, SqlError> {
    context.bad_value(ErrorCode::DATETIME_FUNCTION_OVERFLOW, "Datetime function: datetime field overflow")?;
    Ok(Value::Null)
}

/// A date of the calendar, or `None` (with a warning).
pub fn valid_date(value: &Value, context: &EvalContext) -> Result<Option<Date>, SqlError> {
    let Some(date) = value.to_date(context)? else { return Ok(None) };
    if !date.is_valid() {
        incorrect_datetime(value, context)?;
        return Ok(None);
    }
    Ok(Some(date))
}

/// A moment of the calendar, or `None` (with a warning).
pub fn valid_datetime(value: &Value, context: &EvalContext) -> Result<Option<DateTime>, SqlError> {
    let Some(moment) = value.to_datetime(context)? else { return Ok(None) };
    if !moment.date().is_valid() {
        incorrect_datetime(value, context)?;
        return Ok(None);
    }
    Ok(Some(moment))
}

/// A value that may be a time or a date with time, as ADDTIME, TIMEDIFF and EXTRACT take it.
#[derive(Debug, Clone, Copy)]
pub enum Moment {
    Time(Time),
    DateTime(DateTime),
}

/// The shortest text that can be a date with time and no time of day alone.
const DATETIME_CHARACTERS_MIN: usize = 12;

impl Moment {
    pub fn of(value: &Value, context: &EvalContext) -> Result<Option<Moment>, SqlError> {
        match value {
            Value::Date(date) => return Ok(Some(Moment::DateTime(date.at_midnight()))),
            Value::DateTime(moment) => return Ok(Some(Moment::DateTime(*moment))),
            Value::Text(text) if text.trim().len() >= DATETIME_CHARACTERS_MIN => {
                if let Some(parsed) = parse_datetime(text, DateRules::LENIENT) {
                    return Ok(Some(Moment::DateTime(parsed.value)));
                }
            }
            Value::Text(text) if text.matches('-').count() >= 2 => {
                if let Some(parsed) = parse_datetime(text, DateRules::LENIENT) {
                    return Ok(Some(Moment::DateTime(parsed.value)));
                }
            }
            _ => {}
        }
        Ok(value.to_time(context)?.map(Moment::Time))
    }

    /// As [`Moment::of`], where a time is asked for: a text that is too short for a date with time is one, even if it
    /// looks like a date.
    pub fn of_time(value: &Value, context: &EvalContext) -> Result<Option<Moment>, SqlError> {
        match value {
            Value::Text(text) if text.trim().len() < DATETIME_CHARACTERS_MIN => {
                Ok(value.to_time(context)?.map(Moment::Time))
            }
            _ => Moment::of(value, context),
        }
    }

    pub fn fsp(self) -> u8 {
        match self {
            Moment::Time(time) => time.fsp(),
            Moment::DateTime(moment) => moment.fsp(),
        }
    }
}

/// A time within MySQL's range; out of it the limit, with a warning.
pub fn limited_time(micros: i64, fsp: u8, context: &EvalContext) -> Value {
    let time = Time::new(micros, fsp);
    let limited = time.clamped();
    if limited != time {
        let message = format!("Truncated incorrect time value: '{time}'");
        context.warn(ErrorCode::TRUNCATED_WRONG_VALUE, message);
    }
    Value::Time(limited)
}

fn date(_: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    // Zero dates and zero parts are dates only where the sql_mode has nothing against them.
    let rules = DateRules { invalid_days: false, ..DateRules::of_mode(context.sql_mode) };
    Ok(arguments[0].to_datetime_by(rules, context)?.map_or(Value::Null, |moment| Value::Date(moment.date())))
}

fn time_type(types: &[MysqlType]) -> Result<MysqlType, SqlError> {
    Ok(MysqlType::new(TypeKind::Time { fsp: fsp_of(&types[0]) }))
}

fn time(_: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    Ok(arguments[0].to_time(context)?.map_or(Value::Null, Value::Time))
}

fn timestamp_type(types: &[MysqlType]) -> Result<MysqlType, SqlError> {
    let fsp = types.iter().map(fsp_of).max().unwrap_or(0);
    Ok(MysqlType::new(TypeKind::DateTime { fsp }))
}

fn timestamp(_: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    let Some(moment) = arguments[0].to_datetime(context)? else { return Ok(Value::Null) };
    let Some(added) = arguments.get(1) else { return Ok(Value::DateTime(moment)) };
    let Some(time) = added.to_time(context)? else { return Ok(Value::Null) };
    if !moment.date().is_valid() {
        return incorrect_datetime(&arguments[0], context);
    }
    let fsp = moment.fsp().max(time.fsp());
    match DateTime::from_linear_micros(moment.linear_micros() + time.micros(), fsp) {
        Some(sum) => Ok(Value::DateTime(sum)),
        None => overflow(context),
    }
}

fn to_days(_: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    Ok(valid_date(&arguments[0], context)?.map_or(Value::Null, |date| Value::Int(day_number(date))))
}

fn from_days(_: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    let days = argument::integer(&arguments[0], context)?;
    Ok(Value::Date(from_day_number(days).unwrap_or(Date::ZERO)))
}

fn to_seconds(_: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    let moment = valid_datetime(&arguments[0], context)?;
    Ok(moment.map_or(Value::Null, |moment| Value::Int(moment.linear_micros().div_euclid(MICROS_PER_SECOND))))
}

fn last_day(_: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    let Some(date) = arguments[0].to_date(context)? else { return Ok(Value::Null) };
    if date.month() == 0 {
        return incorrect_datetime(&arguments[0], context);
    }
    Ok(Value::Date(Date::from_parts(date.year(), date.month(), days_in_month(date.year(), date.month()))))
}

/// Years of two digits: 0 to 69 are of this century.
pub fn full_year(year: i64) -> i64 {
    match year {
        0..=69 => year + 2000,
        70..=99 => year + 1900,
        _ => year,
    }
}

fn make_date(_: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    let year = full_year(argument::integer(&arguments[0], context)?);
    let day = argument::integer(&arguments[1], context)?;
    if !(0..=9999).contains(&year) || day <= 0 {
        return Ok(Value::Null);
    }
    let first = day_number(Date::from_parts(year as u16, 1, 1));
    Ok(from_day_number(first.saturating_add(day - 1)).map_or(Value::Null, Value::Date))
}

fn make_time_type(types: &[MysqlType]) -> Result<MysqlType, SqlError> {
    Ok(MysqlType::new(TypeKind::Time { fsp: fsp_of(&types[2]) }))
}

fn make_time(call: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    let hour = argument::integer(&arguments[0], context)?;
    let minute = argument::integer(&arguments[1], context)?;
    let micros = micros_of_seconds(&arguments[2], context)?;
    let minute_micros = 60 * MICROS_PER_SECOND;
    if !(0..60).contains(&minute) || !(0..i128::from(minute_micros)).contains(&micros) {
        return Ok(Value::Null);
    }
    let rest = minute * minute_micros + micros as i64;
    // Far beyond the range of TIME already; keeps the product below in range.
    let hours = hour.unsigned_abs().min(10_000) as i64 * 60 * minute_micros;
    let signed = if hour < 0 { -(hours + rest) } else { hours + rest };
    Ok(limited_time(signed, fsp_of(call.result_type), context))
}

/// Seconds with up to six digits, rounded half away from zero.
fn micros_of_seconds(value: &Value, context: &EvalContext) -> Result<i128, SqlError> {
    Ok(match value {
        Value::Int(seconds) => i128::from(*seconds) * i128::from(MICROS_PER_SECOND),
        Value::UInt(seconds) => i128::from(*seconds) * i128::from(MICROS_PER_SECOND),
        other => {
            let scaled = other.to_decimal(context)?.round(6);
            let mantissa = scaled.mantissa() * I256::from(10).pow(u32::from(6 - scale_of(&scaled)));
            i128::try_from(mantissa).unwrap_or(i128::MAX)
        }
    })
}

fn scale_of(number: &Decimal) -> u8 {
    number.scale().min(6)
}

fn sec_to_time(call: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    let micros = micros_of_seconds(&arguments[0], context)?;
    // Half of what an i64 holds: far beyond TIME, whose limit then applies.
    let micros = micros.clamp(i128::from(i64::MIN / 2), i128::from(i64::MAX / 2)) as i64;
    Ok(limited_time(micros, fsp_of(call.result_type), context))
}

fn time_to_sec(_: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    let time = arguments[0].to_time(context)?;
    Ok(time.map_or(Value::Null, |time| Value::Int(time.micros() / MICROS_PER_SECOND)))
}

/// Months since year 0 of YYMM or YYYYMM.
fn period_months(value: &Value, function: &str, context: &EvalContext) -> Result<i64, SqlError> {
    let period = argument::integer(value, context)?;
    let (year, month) = (period / 100, period % 100);
    if period < 0 || !(1..=12).contains(&month) || year > 9999 {
        let message = format!("Incorrect arguments to {function}");
        return Err(SqlError::new(ErrorCode::WRONG_ARGUMENTS, message));
    }
    Ok(full_year(year) * 12 + month - 1)
}

/// Computed modulo 2 to the 32, in years of any length; two digits of a year mean what they do in a period.
fn period_add(_: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    let months = period_months(&arguments[0], "period_add", context)? as u32;
    let sum = i64::from(months.wrapping_add(argument::integer(&arguments[1], context)? as u32));
    Ok(Value::Int(if sum == 0 { 0 } else { full_year(sum / 12) * 100 + sum % 12 + 1 }))
}

fn period_diff(_: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    let first = period_months(&arguments[0], "period_diff", context)?;
    Ok(Value::Int(first - period_months(&arguments[1], "period_diff", context)?))
}

fn unix_timestamp_type(types: &[MysqlType]) -> Result<MysqlType, SqlError> {
    unix_type(types.first().map_or(0, fsp_of))
}

fn unix_type(fsp: u8) -> Result<MysqlType, SqlError> {
    match fsp {
        0 => result::int::<12>(&[]),
        fsp => {
            let kind = TypeKind::Decimal { precision: 12 + fsp, scale: fsp, unsigned: false };
            Ok(MysqlType::new(kind))
        }
    }
}

/// A literal text shows how many digits its seconds have.
fn unix_timestamp_type_by_literal(types: &[MysqlType], literals: &[Option<&Value>]) -> Result<MysqlType, SqlError> {
    match literals.first() {
        Some(Some(Value::Text(text))) => {
            unix_type(parse_datetime(text, DateRules::LENIENT).map_or(0, |parsed| parsed.value.fsp()))
        }
        _ => unix_timestamp_type(types),
    }
}

fn unix_timestamp(call: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    let Some(argument) = arguments.first() else { return Ok(Value::Int(context.now_us / MICROS_PER_SECOND)) };
    let Some(moment) = argument.to_datetime(context)? else { return Ok(Value::Null) };
    let micros = context.time_zone.to_utc_micros(moment).unwrap_or(0);
    let micros = if (0..=UNIX_SECONDS_MAX).contains(&(micros / MICROS_PER_SECOND)) { micros.max(0) } else { 0 };
    match call.result_type.kind {
        TypeKind::Decimal { scale, .. } => {
            Ok(Value::Decimal(Decimal::new(I256::from(micros), 6).truncate(i32::from(scale))))
        }
        _ => Ok(Value::Int(micros / MICROS_PER_SECOND)),
    }
}

fn from_unixtime_type(types: &[MysqlType]) -> Result<MysqlType, SqlError> {
    match types.len() {
        1 => Ok(MysqlType::new(TypeKind::DateTime { fsp: fsp_of(&types[0]) })),
        _ => Ok(result::string(
            result::characters_max(&types[1]).saturating_mul(10),
            result::text_collation_of(&types[1..]),
        )),
    }
}

fn from_unixtime(_: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    let micros = micros_of_seconds(&arguments[0], context)?;
    let most = i128::from(UNIX_SECONDS_MAX + 1) * i128::from(MICROS_PER_SECOND);
    if !(0..most).contains(&micros) {
        return Ok(Value::Null);
    }
    let fsp = match &arguments[0] {
        Value::Int(_) | Value::UInt(_) => 0,
        Value::Decimal(number) => number.scale().min(6),
        _ => 6,
    };
    let Some(moment) = context.time_zone.from_utc_micros(micros as i64, fsp) else { return Ok(Value::Null) };
    match arguments.get(1) {
        None => Ok(Value::DateTime(moment)),
        Some(pattern) => Ok(format::datetime(moment, &pattern.to_text()).map_or(Value::Null, Value::text)),
    }
}

fn convert_tz_type(types: &[MysqlType]) -> Result<MysqlType, SqlError> {
    Ok(MysqlType::new(TypeKind::DateTime { fsp: fsp_of(&types[0]) }))
}

/// What is no moment between 1970 and 3001 in UTC is not converted.
fn convert_tz(_: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    let Some(moment) = valid_datetime(&arguments[0], context)? else { return Ok(Value::Null) };
    let zones = (TimeZone::parse(&arguments[1].to_text()), TimeZone::parse(&arguments[2].to_text()));
    let (Some(from), Some(to)) = zones else { return Ok(Value::Null) };
    let utc =
        from.to_utc_micros(moment).filter(|micros| (1..=UNIX_SECONDS_MAX).contains(&(micros / MICROS_PER_SECOND)));
    let converted = utc.and_then(|micros| to.from_utc_micros(micros, moment.fsp()));
    Ok(Value::DateTime(converted.unwrap_or(moment)))
}

/// A text of at most that many characters: names and formatted dates.
pub fn text_type(characters: u64) -> MysqlType {
    result::string(characters, CollationId::UTF8MB4_0900_AI_CI)
}
