//! Adding to dates and times, and their differences: DATE_ADD, ADDTIME, DATEDIFF, TIMESTAMPDIFF and their like.

use crate::error::SqlError;
use crate::eval::EvalContext;
use crate::function::argument;
use crate::function::date_time::{
    Moment, incorrect_datetime, limited_time, overflow, text_type, valid_date, valid_datetime,
};
use crate::function::result::{self, fsp_of};
use crate::function::{Arguments, Call, Function, LiteralResult};
use crate::mysql_type::{MysqlType, TypeKind};
use crate::value::Value;
use crate::value::temporal::{
    DateRules, DateTime, Interval, IntervalUnit, MICROS_PER_DAY, Time, day_number, parse_datetime,
};
use Arguments::{Between, Exactly};

pub static FUNCTIONS: &[Function] = &[
    Function::new("DATE_ADD", Exactly(3), add_type, date_add),
    Function::new("DATE_SUB", Exactly(3), add_type, date_sub),
    Function::new("ADDDATE", Between(2, 3), add_type, date_add),
    Function::new("SUBDATE", Between(2, 3), add_type, date_sub),
    Function::new("TIMESTAMPADD", Exactly(3), timestampadd_type, timestampadd),
    Function::new("TIMESTAMPDIFF", Exactly(3), result::bigint, timestampdiff),
    Function::new("DATEDIFF", Exactly(2), result::int::<7>, datediff),
    Function::new("TIMEDIFF", Exactly(2), timediff_type, timediff),
    Function::new("ADDTIME", Exactly(2), addtime_type, addtime),
    Function::new("SUBTIME", Exactly(2), addtime_type, subtime),
];

pub static BY_LITERAL: &[(&str, LiteralResult)] = &[
    ("DATE_ADD", add_type_by_literal),
    ("DATE_SUB", add_type_by_literal),
    ("ADDDATE", add_type_by_literal),
    ("SUBDATE", add_type_by_literal),
    ("TIMESTAMPADD", timestampadd_type_by_literal),
];

/// The unit, which the parser passes as a text.
pub fn unit_of(value: &Value) -> Result<IntervalUnit, SqlError> {
    IntervalUnit::from_name(&value.to_text())
        .ok_or_else(|| SqlError::not_supported(format!("INTERVAL unit {}", value.to_text())))
}

/// Characters of `2024-01-31 12:34:56.000000`, with room as MySQL reports it.
const DATETIME_TEXT_CHARACTERS: u64 = 29;

/// Where the unit is not known: what holds every result.
fn add_type(types: &[MysqlType]) -> Result<MysqlType, SqlError> {
    match types.len() {
        2 => sum_type(&types[0], Some(&types[1]), Some(IntervalUnit::Day)),
        _ => sum_type(&types[0], types.get(1), None),
    }
}

fn add_type_by_literal(types: &[MysqlType], literals: &[Option<&Value>]) -> Result<MysqlType, SqlError> {
    match literals.get(2) {
        Some(Some(unit)) => sum_type(&types[0], types.get(1), Some(unit_of(unit)?)),
        _ => add_type(types),
    }
}

fn timestampadd_type(types: &[MysqlType]) -> Result<MysqlType, SqlError> {
    sum_type(&types[2], types.get(1), None)
}

fn timestampadd_type_by_literal(types: &[MysqlType], literals: &[Option<&Value>]) -> Result<MysqlType, SqlError> {
    match literals[0] {
        Some(unit) => sum_type(&types[2], types.get(1), Some(unit_of(unit)?)),
        None => timestampadd_type(types),
    }
}

fn sum_type(ty: &MysqlType, amount: Option<&MysqlType>, unit: Option<IntervalUnit>) -> Result<MysqlType, SqlError> {
    let added = match unit {
        None => 6,
        Some(unit) if unit.has_fraction() => 6,
        Some(IntervalUnit::Second) => amount.map_or(0, fsp_of),
        Some(_) => 0,
    };
    Ok(match ty.kind {
        TypeKind::Date if unit.is_some_and(IntervalUnit::keeps_date) => MysqlType::new(TypeKind::Date),
        TypeKind::Date => MysqlType::new(TypeKind::DateTime { fsp: added }),
        TypeKind::DateTime { fsp } | TypeKind::Timestamp { fsp } => {
            MysqlType::new(TypeKind::DateTime { fsp: fsp.max(added) })
        }
        TypeKind::Time { fsp } if unit.is_some_and(|unit| !unit.keeps_date()) => {
            MysqlType::new(TypeKind::Time { fsp: fsp.max(added) })
        }
        TypeKind::Time { fsp } => MysqlType::new(TypeKind::DateTime { fsp: fsp.max(added) }),
        _ => text_type(DATETIME_TEXT_CHARACTERS),
    })
}

/// `None` for an amount that no date survives.
fn interval_of(amount: &Value, unit: IntervalUnit, context: &EvalContext) -> Result<Option<Interval>, SqlError> {
    if unit.is_compound() {
        return Ok(Interval::parse_compound(unit, &amount.to_text()));
    }
    let whole = matches!(amount, Value::Int(_) | Value::UInt(_));
    if unit == IntervalUnit::Second && !whole {
        let micros = super::micros_of_seconds(amount, context)?;
        return Ok(i64::try_from(micros).ok().map(Interval::of_micros));
    }
    Ok(Interval::of(unit, argument::integer(amount, context)?))
}

fn date_add(call: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    let unit = arguments.get(2).map_or(Ok(IntervalUnit::Day), unit_of)?;
    add(call, &arguments[0], &arguments[1], unit, false, context)
}

fn date_sub(call: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    let unit = arguments.get(2).map_or(Ok(IntervalUnit::Day), unit_of)?;
    add(call, &arguments[0], &arguments[1], unit, true, context)
}

fn timestampadd(call: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    add(call, &arguments[2], &arguments[1], unit_of(&arguments[0])?, false, context)
}

fn add(
    call: &Call<'_>,
    value: &Value,
    amount: &Value,
    unit: IntervalUnit,
    negate: bool,
    context: &EvalContext,
) -> Result<Value, SqlError> {
    let Some(interval) = interval_of(amount, unit, context)? else { return overflow(context) };
    let interval = if negate { interval.negate() } else { interval };
    if let (Value::Time(time), false) = (value, unit.keeps_date()) {
        let step = interval.days.saturating_mul(MICROS_PER_DAY);
        let micros = time.micros().saturating_add(step).saturating_add(interval.micros);
        let fsp = fsp_of(call.result_type).max(time.fsp());
        let sum = Time::new(micros, fsp);
        return if sum.clamped() == sum { Ok(Value::Time(sum)) } else { overflow(context) };
    }
    let Some(moment) = value.to_datetime(context)? else { return Ok(Value::Null) };
    if !moment.date().is_valid() {
        return incorrect_datetime(value, context);
    }
    let Some(sum) = moment.add_interval(interval) else { return overflow(context) };
    let date_only = unit.keeps_date() && is_date(value);
    let text = !call.result_type.is_temporal();
    let fsp = match text {
        false => fsp_of(call.result_type),
        true if sum.microsecond() != 0 => 6,
        true => 0,
    };
    Ok(match (date_only, text) {
        (true, false) => Value::Date(sum.date()),
        (true, true) => Value::text(sum.date().to_string()),
        (false, false) => Value::DateTime(sum.with_fsp(fsp)),
        (false, true) => Value::text(sum.with_fsp(fsp).to_string()),
    })
}

/// A DATE, or a text or number that has no time of day.
fn is_date(value: &Value) -> bool {
    /// The largest number that is a date without a time: 9999-12-31.
    const DATE_NUMBER_MAX: i64 = 99_991_231;
    match value {
        Value::Date(_) => true,
        Value::Int(number) => *number <= DATE_NUMBER_MAX,
        Value::UInt(number) => *number <= DATE_NUMBER_MAX as u64,
        Value::Text(text) => parse_datetime(text, DateRules::LENIENT).is_some_and(|parsed| parsed.date_only),
        _ => false,
    }
}

fn timestampdiff(_: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    let unit = unit_of(&arguments[0])?;
    let Some(earlier) = valid_datetime(&arguments[1], context)? else { return Ok(Value::Null) };
    let Some(later) = valid_datetime(&arguments[2], context)? else { return Ok(Value::Null) };
    Ok(Value::Int(earlier.units_until(later, unit)))
}

fn datediff(_: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    let Some(first) = valid_date(&arguments[0], context)? else { return Ok(Value::Null) };
    let Some(second) = valid_date(&arguments[1], context)? else { return Ok(Value::Null) };
    Ok(Value::Int(day_number(first) - day_number(second)))
}

fn timediff_type(types: &[MysqlType]) -> Result<MysqlType, SqlError> {
    let fsp = types.iter().map(fsp_of).max().unwrap_or(0);
    Ok(MysqlType::new(TypeKind::Time { fsp }))
}

/// Both times or both dates with times; anything else is NULL.
fn timediff(_: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    let Some(first) = Moment::of_time(&arguments[0], context)? else { return Ok(Value::Null) };
    let Some(second) = Moment::of_time(&arguments[1], context)? else { return Ok(Value::Null) };
    let fsp = first.fsp().max(second.fsp());
    let micros = match (first, second) {
        (Moment::Time(first), Moment::Time(second)) => first.micros() - second.micros(),
        (Moment::DateTime(first), Moment::DateTime(second)) => first.linear_micros() - second.linear_micros(),
        _ => return Ok(Value::Null),
    };
    Ok(limited_time(micros, fsp, context))
}

fn addtime_type(types: &[MysqlType]) -> Result<MysqlType, SqlError> {
    let fsp = types.iter().map(fsp_of).max().unwrap_or(0);
    Ok(match types[0].kind {
        TypeKind::DateTime { .. } | TypeKind::Timestamp { .. } | TypeKind::Date => {
            MysqlType::new(TypeKind::DateTime { fsp })
        }
        TypeKind::Time { .. } => MysqlType::new(TypeKind::Time { fsp }),
        _ => text_type(DATETIME_TEXT_CHARACTERS),
    })
}

fn addtime(call: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    add_time(call, arguments, 1, context)
}

fn subtime(call: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    add_time(call, arguments, -1, context)
}

fn add_time(call: &Call<'_>, arguments: &[Value], sign: i64, context: &EvalContext) -> Result<Value, SqlError> {
    let Some(Moment::Time(added)) = Moment::of(&arguments[1], context)? else { return Ok(Value::Null) };
    let Some(moment) = Moment::of(&arguments[0], context)? else { return Ok(Value::Null) };
    let text = !call.result_type.is_temporal();
    let step = added.micros() * sign;
    let shown_fsp = |micros: i64| match text {
        true if micros % 1_000_000 != 0 => 6,
        true => 0,
        false => moment.fsp().max(added.fsp()),
    };
    let sum = match moment {
        Moment::Time(time) => {
            let micros = time.micros() + step;
            limited_time(micros, shown_fsp(micros), context)
        }
        Moment::DateTime(moment) => {
            if !moment.date().is_valid() {
                return incorrect_datetime(&arguments[0], context);
            }
            let micros = moment.linear_micros() + step;
            match DateTime::from_linear_micros(micros, shown_fsp(micros)) {
                Some(sum) => Value::DateTime(sum),
                None => return overflow(context),
            }
        }
    };
    Ok(if text { Value::text(sum.to_text()) } else { sum })
}
