//! Assignment to columns of dates and times.

use super::Place;
use crate::error::{ErrorCode, SqlError};
use crate::eval::{SqlMode, TimeZone};
use crate::value::Value;
use crate::value::temporal::{Date, DateRules, DateTime, MICROS_PER_SECOND, Time, parse_datetime, parse_time};
use ethnum::I256;

/// TIMESTAMP holds from 1970-01-01 00:00:01 to 2038-01-19 03:14:07.999999 UTC.
const TIMESTAMP_MICROS_MIN: i64 = MICROS_PER_SECOND;
const TIMESTAMP_MICROS_MAX: i64 = (1 << 31) * MICROS_PER_SECOND - 1;

/// What a value is before it is cut to the column.
struct Moment {
    value: DateTime,
    /// It came with a time of day that a DATE would lose.
    truncated: bool,
}

fn whole_and_micros(value: &Value, place: &Place<'_>) -> Result<(i64, u32), SqlError> {
    if let Value::Int(number) = value {
        return Ok((*number, 0));
    }
    let micros = value.to_decimal(place.context)?.round(6);
    let million = I256::new(1_000_000);
    let whole = i64::try_from(micros.mantissa() / million).unwrap_or(i64::MAX);
    Ok((whole, (micros.mantissa() % million).unsigned_abs().as_u32()))
}

fn is_text(value: &Value) -> bool {
    matches!(value, Value::Text(_) | Value::Bytes(_) | Value::Enum(..) | Value::Set(..) | Value::Json(_))
}

/// The content of a JSON string, the text of all others.
fn text_of(value: &Value) -> String {
    match value {
        Value::Json(document) => document.as_str().map_or_else(|| document.to_string(), str::to_string),
        other => other.to_text().into_owned(),
    }
}

/// `None` where the value is no date or not one that the sql_mode allows; the warning is left then.
fn moment_of(value: &Value, kind: &str, place: &Place<'_>) -> Result<Option<Moment>, SqlError> {
    let context = place.context;
    let rules = DateRules::of_mode(context.sql_mode);
    // Whatever has the form of a date, to tell a date out of range from what is no date at all.
    let any = DateRules { invalid_days: true, ..DateRules::LENIENT };
    let mut garbage = false;
    let mut offset_seconds = None;
    let moment = match value {
        Value::DateTime(moment) => Some(*moment),
        Value::Date(date) => Some(date.at_midnight()),
        Value::Time(time) => {
            let micros = context.now().date().at_midnight().linear_micros() + time.micros();
            DateTime::from_linear_micros(micros, time.fsp())
        }
        value if is_text(value) => parse_datetime(&text_of(value), any).map(|parsed| {
            garbage = parsed.truncated;
            offset_seconds = parsed.offset_seconds;
            parsed.value
        }),
        value => {
            let (whole, micros) = whole_and_micros(value, place)?;
            DateTime::from_number(whole, micros, any)
        }
    };
    let Some(moment) = moment else {
        place.incorrect_temporal(kind, &text_of(value), ErrorCode::WARN_DATA_TRUNCATED)?;
        return Ok(None);
    };
    let moment = match offset_seconds {
        None => Some(moment),
        Some(offset) => TimeZone::Offset(offset)
            .to_utc_micros(moment)
            .and_then(|micros| context.time_zone.from_utc_micros(micros, moment.fsp())),
    };
    match moment.filter(|moment| rules.allow(moment.date())) {
        Some(value_in_zone) => {
            if garbage {
                place.incorrect_temporal(kind, &text_of(value), ErrorCode::WARN_DATA_TRUNCATED)?;
            }
            Ok(Some(Moment { value: value_in_zone, truncated: value_in_zone.micros_of_day() != 0 }))
        }
        None => {
            place.incorrect_temporal(kind, &text_of(value), ErrorCode::WARN_DATA_OUT_OF_RANGE)?;
            Ok(None)
        }
    }
}

pub(super) fn store_date(value: Value, place: &Place<'_>) -> Result<Value, SqlError> {
    let moment = moment_of(&value, "date", place)?;
    if moment.as_ref().is_some_and(|moment| moment.truncated) {
        place.truncated_note();
    }
    Ok(Value::Date(moment.map_or(Date::ZERO, |moment| moment.value.date())))
}

/// Rounded or cut to the column's digits, as the sql_mode says.
fn to_fsp(moment: DateTime, fsp: u8, place: &Place<'_>) -> Option<DateTime> {
    if place.context.sql_mode.has(SqlMode::TIME_TRUNCATE_FRACTIONAL) {
        return Some(moment.truncate(fsp));
    }
    moment.round(fsp)
}

pub(super) fn store_datetime(value: Value, fsp: u8, place: &Place<'_>) -> Result<Value, SqlError> {
    let Some(moment) = moment_of(&value, "datetime", place)? else {
        return Ok(Value::DateTime(DateTime::ZERO.with_fsp(fsp)));
    };
    match to_fsp(moment.value, fsp, place) {
        Some(rounded) => Ok(Value::DateTime(rounded)),
        None => {
            place.incorrect_temporal("datetime", &value.to_text(), ErrorCode::WARN_DATA_OUT_OF_RANGE)?;
            Ok(Value::DateTime(DateTime::ZERO.with_fsp(fsp)))
        }
    }
}

/// In the session's time zone, like the value of every TIMESTAMP column; stored rows have it in UTC.
pub(super) fn store_timestamp(value: Value, fsp: u8, place: &Place<'_>) -> Result<Value, SqlError> {
    let zero = Value::DateTime(DateTime::ZERO.with_fsp(fsp));
    let Some(moment) = moment_of(&value, "datetime", place)? else { return Ok(zero) };
    if moment.value == DateTime::ZERO {
        return Ok(zero);
    }
    let zone = place.context.time_zone;
    // Through UTC and back, so that a local time that does not exist becomes one that does.
    let stored = to_fsp(moment.value, fsp, place)
        .and_then(|rounded| zone.to_utc_micros(rounded))
        .filter(|micros| (TIMESTAMP_MICROS_MIN..=TIMESTAMP_MICROS_MAX).contains(micros))
        .and_then(|micros| zone.from_utc_micros(micros, fsp));
    match stored {
        Some(local) => Ok(Value::DateTime(local)),
        None => {
            place.incorrect_temporal("datetime", &value.to_text(), ErrorCode::WARN_DATA_OUT_OF_RANGE)?;
            Ok(zero)
        }
    }
}

pub(super) fn store_time(value: Value, fsp: u8, place: &Place<'_>) -> Result<Value, SqlError> {
    let (time, garbage, clipped) = match &value {
        Value::Time(time) => (Some(*time), false, false),
        Value::DateTime(moment) => (Some(moment.time()), false, false),
        Value::Date(_) => (Some(Time::ZERO), false, false),
        text if is_text(text) => match parse_time(&text_of(text)) {
            Some(parsed) => (Some(parsed.value), parsed.truncated, parsed.out_of_range),
            None => (None, false, false),
        },
        number => {
            let (whole, micros) = whole_and_micros(number, place)?;
            match Time::from_number(whole, micros) {
                Some((time, clipped)) => (Some(time), false, clipped),
                None => (None, false, true),
            }
        }
    };
    if time.is_none() || garbage || clipped {
        let code = if clipped { ErrorCode::WARN_DATA_OUT_OF_RANGE } else { ErrorCode::WARN_DATA_TRUNCATED };
        place.incorrect_temporal("time", &text_of(&value), code)?;
    }
    let time = time.unwrap_or(Time::ZERO);
    let cut = place.context.sql_mode.has(SqlMode::TIME_TRUNCATE_FRACTIONAL);
    Ok(Value::Time(if cut { time.truncate(fsp) } else { time.round(fsp) }))
}
