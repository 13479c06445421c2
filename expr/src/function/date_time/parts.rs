//! Functions that take a part out of a date or time. Manual: "Date and Time Functions" (14.7).

use crate::error::SqlError;
use crate::eval::EvalContext;
use crate::function::argument;
use crate::function::date_time::format::{self, DAY_NAMES, MONTH_NAMES};
use crate::function::date_time::week::{WeekMode, week_of};
use crate::function::date_time::{Moment, incorrect_datetime, valid_date};
use crate::function::result::{self, text_collation_of};
use crate::function::{Arguments, Call, Function};
use crate::mysql_type::MysqlType;
use crate::value::Value;
use crate::value::temporal::{Date, IntervalUnit};
use Arguments::{Between, Exactly};

pub static FUNCTIONS: &[Function] = &[
    Function::new("YEAR", Exactly(1), result::int::<4>, |_, a, c| of_date(a, c, |date| i64::from(date.year()))),
    Function::new("MONTH", Exactly(1), result::int::<2>, |_, a, c| of_date(a, c, |date| i64::from(date.month()))),
    Function::new("DAY", Exactly(1), result::int::<2>, |_, a, c| of_date(a, c, |date| i64::from(date.day()))),
    Function::new("DAYOFMONTH", Exactly(1), result::int::<2>, |_, a, c| of_date(a, c, |date| i64::from(date.day()))),
    Function::new("QUARTER", Exactly(1), result::int::<2>, |_, a, c| of_date(a, c, quarter)),
    Function::new("DAYOFYEAR", Exactly(1), result::int::<3>, day_of_year),
    Function::new("DAYOFWEEK", Exactly(1), result::int::<2>, day_of_week),
    Function::new("WEEKDAY", Exactly(1), result::int::<2>, weekday),
    Function::new("DAYNAME", Exactly(1), result::text::<9>, day_name),
    Function::new("MONTHNAME", Exactly(1), result::text::<9>, month_name),
    // These depend on the session: default_week_format, sql_mode.
    Function::new("WEEK", Between(1, 2), result::int::<2>, week).statement(),
    Function::new("WEEKOFYEAR", Exactly(1), result::int::<2>, week_of_year),
    Function::new("YEARWEEK", Between(1, 2), result::int::<6>, year_week),
    Function::new("HOUR", Exactly(1), result::int::<3>, hour),
    Function::new("MINUTE", Exactly(1), result::int::<2>, minute),
    Function::new("SECOND", Exactly(1), result::int::<2>, second),
    Function::new("MICROSECOND", Exactly(1), result::int::<6>, microsecond),
    Function::new("EXTRACT", Exactly(2), result::int::<21>, extract).statement(),
    Function::new("DATE_FORMAT", Exactly(2), format_type, date_format),
    Function::new("TIME_FORMAT", Exactly(2), format_type, time_format),
    Function::new("GET_FORMAT", Exactly(2), result::text::<17>, get_format),
    Function::new("STR_TO_DATE", Exactly(2), super::parse_format::result_type, super::parse_format::str_to_date)
        .statement(),
];

fn of_date(arguments: &[Value], context: &EvalContext, part: fn(Date) -> i64) -> Result<Value, SqlError> {
    Ok(arguments[0].to_date(context)?.map_or(Value::Null, |date| Value::Int(part(date))))
}

fn quarter(date: Date) -> i64 {
    (i64::from(date.month()) + 2) / 3
}

fn day_of_year(_: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    let date = valid_date(&arguments[0], context)?;
    Ok(date.map_or(Value::Null, |date| Value::Int(i64::from(date.day_of_year()))))
}

fn day_of_week(_: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    let date = valid_date(&arguments[0], context)?;
    Ok(date.map_or(Value::Null, |date| Value::Int((i64::from(date.weekday()) + 1) % 7 + 1)))
}

fn weekday(_: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    let date = valid_date(&arguments[0], context)?;
    Ok(date.map_or(Value::Null, |date| Value::Int(i64::from(date.weekday()))))
}

fn day_name(_: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    let date = valid_date(&arguments[0], context)?;
    Ok(date.map_or(Value::Null, |date| Value::text(DAY_NAMES[usize::from(date.weekday())])))
}

fn month_name(_: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    let Some(date) = arguments[0].to_date(context)? else { return Ok(Value::Null) };
    match usize::from(date.month()).checked_sub(1).and_then(|month| MONTH_NAMES.get(month)) {
        Some(name) => Ok(Value::text(name)),
        None => Ok(Value::Null),
    }
}

fn week_mode(arguments: &[Value], context: &EvalContext) -> Result<WeekMode, SqlError> {
    let mode = match arguments.get(1) {
        Some(mode) => argument::integer(mode, context)?,
        None => i64::from(context.session.default_week_format),
    };
    Ok(WeekMode::from_number(mode))
}

fn week(_: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    let mode = week_mode(arguments, context)?;
    Ok(valid_date(&arguments[0], context)?.map_or(Value::Null, |date| Value::Int(week_of(date, mode).1)))
}

fn week_of_year(_: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    let date = valid_date(&arguments[0], context)?;
    Ok(date.map_or(Value::Null, |date| Value::Int(week_of(date, WeekMode::ISO).1)))
}

/// Without a mode it is 0, whatever default_week_format says.
fn year_week(_: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    let mode = match arguments.get(1) {
        Some(mode) => argument::integer(mode, context)?,
        None => 0,
    };
    let Some(date) = valid_date(&arguments[0], context)? else { return Ok(Value::Null) };
    let (year, week) = week_of(date, WeekMode::from_number(mode).of_week_year());
    Ok(Value::Int(i64::from(year) * 100 + week))
}

fn hour(_: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    Ok(arguments[0].to_time(context)?.map_or(Value::Null, |time| Value::Int(i64::from(time.hours()))))
}

fn minute(_: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    Ok(arguments[0].to_time(context)?.map_or(Value::Null, |time| Value::Int(i64::from(time.minute()))))
}

fn second(_: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    Ok(arguments[0].to_time(context)?.map_or(Value::Null, |time| Value::Int(i64::from(time.second()))))
}

fn microsecond(_: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    Ok(arguments[0].to_time(context)?.map_or(Value::Null, |time| Value::Int(i64::from(time.microsecond()))))
}

fn extract(_: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    use IntervalUnit::*;
    let unit = super::arithmetic::unit_of(&arguments[0])?;
    let value = &arguments[1];
    if unit.keeps_date() {
        let Some(date) = value.to_date(context)? else { return Ok(Value::Null) };
        if unit == Week && !date.is_valid() {
            return incorrect_datetime(value, context);
        }
        let (year, month) = (i64::from(date.year()), i64::from(date.month()));
        return Ok(Value::Int(match unit {
            Year => year,
            YearMonth => year * 100 + month,
            Quarter => quarter(date),
            Month => month,
            Week => week_of(date, WeekMode::from_number(i64::from(context.session.default_week_format))).1,
            _ => i64::from(date.day()),
        }));
    }
    let Some(moment) = Moment::of(value, context)? else { return Ok(Value::Null) };
    let (day, time) = match moment {
        Moment::Time(time) => (0, time),
        Moment::DateTime(moment) => (i64::from(moment.date().day()), moment.time()),
    };
    let (hour, minute, second) = (i64::from(time.hours()), i64::from(time.minute()), i64::from(time.second()));
    let micros = i64::from(time.microsecond());
    let clock = hour * 10_000 + minute * 100 + second;
    let number = match unit {
        Hour => hour,
        Minute => minute,
        Second => second,
        Microsecond => micros,
        DayHour => day * 100 + hour,
        DayMinute => day * 10_000 + hour * 100 + minute,
        DaySecond => day * 1_000_000 + clock,
        DayMicrosecond => (day * 1_000_000 + clock) * 1_000_000 + micros,
        HourMinute => hour * 100 + minute,
        HourSecond => clock,
        HourMicrosecond => clock * 1_000_000 + micros,
        MinuteSecond => minute * 100 + second,
        MinuteMicrosecond => (minute * 100 + second) * 1_000_000 + micros,
        _ => second * 1_000_000 + micros,
    };
    Ok(Value::Int(if time.is_negative() { -number } else { number }))
}

/// A specifier of two characters gives at most ten or so: `%M`, `%W`; the timestamp forms are `%r`, `%T`.
fn format_type(types: &[MysqlType]) -> Result<MysqlType, SqlError> {
    Ok(result::string(result::characters_max(&types[1]).saturating_mul(10), text_collation_of(&types[1..])))
}

fn date_format(_: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    let Some(moment) = arguments[0].to_datetime(context)? else { return Ok(Value::Null) };
    Ok(format::datetime(moment, &arguments[1].to_text()).map_or(Value::Null, Value::text))
}

fn time_format(_: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    let Some(time) = arguments[0].to_time(context)? else { return Ok(Value::Null) };
    Ok(format::time(time, &arguments[1].to_text()).map_or(Value::Null, Value::text))
}

fn get_format(_: &Call<'_>, arguments: &[Value], _: &EvalContext) -> Result<Value, SqlError> {
    let kind = arguments[0].to_text().to_ascii_uppercase();
    let place = arguments[1].to_text().to_ascii_uppercase();
    let pattern = match (kind.as_str(), place.as_str()) {
        ("DATE", "USA") => "%m.%d.%Y",
        ("DATE", "JIS" | "ISO") => "%Y-%m-%d",
        ("DATE", "EUR") => "%d.%m.%Y",
        ("DATE", "INTERNAL") => "%Y%m%d",
        ("DATETIME" | "TIMESTAMP", "USA" | "EUR") => "%Y-%m-%d %H.%i.%s",
        ("DATETIME" | "TIMESTAMP", "JIS" | "ISO") => "%Y-%m-%d %H:%i:%s",
        ("DATETIME" | "TIMESTAMP", "INTERNAL") => "%Y%m%d%H%i%s",
        ("TIME", "USA") => "%h:%i:%s %p",
        ("TIME", "JIS" | "ISO") => "%H:%i:%s",
        ("TIME", "EUR") => "%H.%i.%s",
        ("TIME", "INTERNAL") => "%H%i%s",
        _ => return Ok(Value::Null),
    };
    Ok(Value::text(pattern))
}
