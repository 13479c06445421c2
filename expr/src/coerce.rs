//! Implicit conversions: what a value is where a number, a text, a date or a truth value is needed.
//! Manual: "Type Conversion in Expression Evaluation" (14.3).
//!
//! What does not convert leaves a warning and counts as 0, or as NULL where a date or time is needed; in statements that
//! change data under a strict sql_mode it is an error. NULL itself counts as 0: callers look for it first.

use crate::collation::Charset;
use crate::error::{ErrorCode, SqlError};
use crate::eval::{EvalContext, TimeZone};
use crate::mysql_type::MysqlType;
use crate::value::decimal::{Decimal, number_prefix_bytes};
use crate::value::json::{Json, double_node, number_node};
use crate::value::temporal::{Date, DateRules, DateTime, Time, parse_datetime, parse_time};
use crate::value::{Value, number_text};
use ethnum::I256;
use serde_json::Value as Node;
use std::borrow::Cow;

impl Value {
    /// Whole number: decimals round half away from zero, doubles half to even, texts are read up to the first character
    /// that is no digit. Out of range gives the nearest number.
    pub fn to_i64(&self, context: &EvalContext) -> Result<i64, SqlError> {
        Ok(match self.to_whole(context)? {
            Whole::Signed(number) => number,
            Whole::Unsigned(number) => i64::try_from(number).unwrap_or(i64::MAX),
        })
    }

    /// As [`Value::to_i64`], up to 2^64 - 1; negative numbers wrap around, as they do in bit operations.
    pub fn to_u64(&self, context: &EvalContext) -> Result<u64, SqlError> {
        Ok(match self.to_whole(context)? {
            Whole::Signed(number) => number as u64,
            Whole::Unsigned(number) => number,
        })
    }

    /// The whole number with its signedness, as CAST to SIGNED and UNSIGNED need it.
    pub(crate) fn to_whole(&self, context: &EvalContext) -> Result<Whole, SqlError> {
        Ok(match self {
            Value::Null => Whole::Signed(0),
            Value::Int(number) => Whole::Signed(*number),
            Value::UInt(number) | Value::Bit(number, _) | Value::Set(number, _) => Whole::Unsigned(*number),
            Value::Enum(index, _) => Whole::Unsigned(*index as u64),
            Value::Float(number) => whole_of_double(*number as f64, context)?,
            Value::Double(number) => whole_of_double(*number, context)?,
            Value::Decimal(number) => whole_of_decimal(number, context)?,
            Value::Text(text) => whole_of_text(text, context)?,
            Value::Bytes(bytes) => whole_of_text(&String::from_utf8_lossy(bytes), context)?,
            Value::Date(date) => Whole::Signed(date.as_number()),
            Value::DateTime(moment) => Whole::Signed(moment.round(0).unwrap_or(*moment).as_number()),
            Value::Time(time) => Whole::Signed(time.round(0).as_number()),
            Value::Json(document) => whole_of_json(document, context)?,
        })
    }

    pub fn to_f64(&self, context: &EvalContext) -> Result<f64, SqlError> {
        Ok(match self {
            Value::Null => 0.0,
            Value::Int(number) => *number as f64,
            Value::UInt(number) | Value::Bit(number, _) | Value::Set(number, _) => *number as f64,
            Value::Enum(index, _) => *index as f64,
            Value::Float(number) => *number as f64,
            Value::Double(number) => *number,
            Value::Decimal(number) => number.to_f64(),
            Value::Text(text) => double_of_text(text, context)?,
            Value::Bytes(bytes) => double_of_text(&String::from_utf8_lossy(bytes), context)?,
            Value::Date(_) | Value::DateTime(_) | Value::Time(_) => self.to_decimal(context)?.to_f64(),
            Value::Json(document) => match &*document.0 {
                Node::Number(number) => number.as_f64().unwrap_or(0.0),
                Node::Bool(truth) => *truth as u8 as f64,
                Node::String(text) => double_of_text(text, context)?,
                _ => not_a_number(context, "DOUBLE", 0.0)?,
            },
        })
    }

    pub fn to_decimal(&self, context: &EvalContext) -> Result<Decimal, SqlError> {
        Ok(match self {
            Value::Null => Decimal::ZERO,
            Value::Int(number) => Decimal::from(*number),
            Value::UInt(number) | Value::Bit(number, _) | Value::Set(number, _) => Decimal::from(*number),
            Value::Enum(index, _) => Decimal::from(*index as u64),
            Value::Float(number) => Decimal::from_f64(*number as f64),
            Value::Double(number) => Decimal::from_f64(*number),
            Value::Decimal(number) => *number,
            Value::Text(text) => decimal_of_text(text, context)?,
            Value::Bytes(bytes) => decimal_of_text(&String::from_utf8_lossy(bytes), context)?,
            Value::Date(date) => Decimal::from(date.as_number()),
            Value::DateTime(moment) => with_fraction(moment.as_number(), moment.microsecond(), moment.fsp(), false),
            Value::Time(time) => with_fraction(time.as_number(), time.microsecond(), time.fsp(), time.is_negative()),
            Value::Json(document) => match &*document.0 {
                Node::Number(number) => Decimal::parse_prefix(number.as_str().as_bytes()).number,
                Node::Bool(truth) => Decimal::from(*truth as i64),
                Node::String(text) => decimal_of_text(text, context)?,
                _ => not_a_number(context, "DECIMAL", Decimal::ZERO)?,
            },
        })
    }

    /// MySQL's text form. NULL gives an empty text, bytes that are no UTF-8 lose what is none.
    pub fn to_text(&self) -> Cow<'_, str> {
        Cow::Owned(match self {
            Value::Null => return Cow::Borrowed(""),
            Value::Text(text) | Value::Enum(_, text) | Value::Set(_, text) => return Cow::Borrowed(text),
            Value::Bytes(bytes) => return String::from_utf8_lossy(bytes),
            Value::Bit(..) => String::from_utf8_lossy(&self.to_bytes()).into_owned(),
            Value::Int(number) => number.to_string(),
            Value::UInt(number) => number.to_string(),
            Value::Float(number) => number_text::float(*number),
            Value::Double(number) => number_text::double(*number),
            Value::Decimal(number) => number.to_string(),
            Value::Date(date) => date.to_string(),
            Value::DateTime(moment) => moment.to_string(),
            Value::Time(time) => time.to_string(),
            Value::Json(document) => document.to_string(),
        })
    }

    /// The bytes of a value of that type as its character set has them; those of [`Value::to_bytes`] for all but text.
    pub fn stored_bytes(&self, ty: &MysqlType) -> Cow<'_, [u8]> {
        let charset = ty.collation.charset();
        if !ty.is_text() || charset.is_utf8() || charset == Charset::Binary {
            return self.to_bytes();
        }
        match self.to_text() {
            Cow::Borrowed(text) => charset.encode(text),
            Cow::Owned(text) => Cow::Owned(charset.encode(&text).into_owned()),
        }
    }

    /// The bytes of the text form; of BIT its own bytes, most significant first.
    pub fn to_bytes(&self) -> Cow<'_, [u8]> {
        match self {
            Value::Bytes(bytes) => Cow::Borrowed(bytes),
            Value::Bit(number, bits) => {
                let length = (*bits as usize).div_ceil(8).min(8);
                Cow::Owned(number.to_be_bytes()[8 - length..].to_vec())
            }
            _ => match self.to_text() {
                Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
                Cow::Owned(text) => Cow::Owned(text.into_bytes()),
            },
        }
    }

    /// Not 0. `None` for NULL.
    pub fn to_bool(&self, context: &EvalContext) -> Result<Option<bool>, SqlError> {
        Ok(Some(match self {
            Value::Null => return Ok(None),
            Value::Int(number) => *number != 0,
            Value::UInt(number) | Value::Bit(number, _) | Value::Set(number, _) => *number != 0,
            Value::Decimal(number) => !number.is_zero(),
            Value::Json(document) => *document != Json::new(Node::from(0)),
            _ => self.to_f64(context)? != 0.0,
        }))
    }

    /// The date of a value; `None` with a warning for what is none. Zero dates and zero parts pass.
    pub fn to_date(&self, context: &EvalContext) -> Result<Option<Date>, SqlError> {
        if let Value::Date(date) = self {
            return Ok(Some(*date));
        }
        Ok(self.to_datetime(context)?.map(DateTime::date))
    }

    /// The date and time of a value: a date is its midnight, a time is of today. `None` with a warning for what is none.
    /// Zero dates and zero parts pass.
    pub fn to_datetime(&self, context: &EvalContext) -> Result<Option<DateTime>, SqlError> {
        self.to_datetime_by(DateRules::LENIENT, context)
    }

    /// As [`Value::to_datetime`], with other rules for zero dates.
    pub fn to_datetime_by(&self, rules: DateRules, context: &EvalContext) -> Result<Option<DateTime>, SqlError> {
        let moment = match self {
            Value::Null => return Ok(None),
            Value::DateTime(moment) if rules.allow(moment.date()) => Some(*moment),
            Value::Date(date) if rules.allow(*date) => Some(date.at_midnight()),
            Value::DateTime(_) | Value::Date(_) => None,
            Value::Time(time) => {
                let today = context.now().date().at_midnight();
                let micros = today.linear_micros() + time.micros();
                DateTime::from_linear_micros(micros, time.fsp())
            }
            Value::Text(_) | Value::Bytes(_) | Value::Enum(..) | Value::Set(..) => {
                return datetime_of_text(&self.to_text(), rules, context);
            }
            Value::Json(document) => match &*document.0 {
                Node::String(text) => return datetime_of_text(text, rules, context),
                _ => None,
            },
            _ => {
                let (number, micros) = self.to_number_and_micros(context)?;
                // Of a number that is a date alone, what is behind the point is no part of a second.
                let micros = if number < 100_000_000 { 0 } else { micros };
                DateTime::from_number(number, micros, rules)
            }
        };
        if moment.is_none() {
            context.incorrect_value("datetime", &self.to_text())?;
        }
        Ok(moment)
    }

    /// The time of a value: of a date and time its time of day. `None` with a warning for what is none.
    pub fn to_time(&self, context: &EvalContext) -> Result<Option<Time>, SqlError> {
        let time = match self {
            Value::Null => return Ok(None),
            Value::Time(time) => Some(*time),
            Value::DateTime(moment) => Some(moment.time()),
            Value::Date(_) => Some(Time::ZERO),
            Value::Text(_) | Value::Bytes(_) | Value::Enum(..) | Value::Set(..) => {
                return time_of_text(&self.to_text(), context);
            }
            Value::Json(document) => match &*document.0 {
                Node::String(text) => return time_of_text(text, context),
                _ => None,
            },
            _ => {
                let (number, micros) = self.to_number_and_micros(context)?;
                let parsed = Time::from_number(number, micros);
                if parsed.is_some_and(|(_, clipped)| clipped) {
                    context.truncated_value("time", &self.to_text())?;
                }
                parsed.map(|(time, _)| time)
            }
        };
        if time.is_none() {
            context.truncated_value("time", &self.to_text())?;
        }
        Ok(time)
    }

    /// A document that is this value: numbers as numbers, text as a string (not parsed), NULL as null.
    pub fn to_json(&self) -> Json {
        Json::new(match self {
            Value::Json(document) => return document.clone(),
            Value::Null => Node::Null,
            Value::Int(number) => Node::from(*number),
            Value::UInt(number) => Node::from(*number),
            Value::Float(number) => double_node(*number as f64),
            Value::Double(number) => double_node(*number),
            Value::Decimal(number) => number_node(&number.to_string()),
            Value::DateTime(moment) => Node::String(moment.with_fsp(6).to_string()),
            Value::Time(time) => Node::String(time.with_fsp(6).to_string()),
            _ => Node::String(self.to_text().into_owned()),
        })
    }

    /// Whole part and microseconds of a number that stands for a date or a time.
    fn to_number_and_micros(&self, context: &EvalContext) -> Result<(i64, u32), SqlError> {
        if let Value::Int(number) = self {
            return Ok((*number, 0));
        }
        let micros = self.to_decimal(context)?.round(6);
        let million = I256::new(1_000_000);
        let whole = i64::try_from(micros.mantissa() / million).unwrap_or(i64::MAX);
        Ok((whole, (micros.mantissa() % million).unsigned_abs().as_u32()))
    }
}

/// A whole number in one of the two 64-bit ranges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whole {
    Signed(i64),
    Unsigned(u64),
}

fn whole_of_double(number: f64, context: &EvalContext) -> Result<Whole, SqlError> {
    let rounded = number.round_ties_even();
    if (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&rounded) {
        return Ok(Whole::Signed(rounded as i64));
    }
    if (0.0..18_446_744_073_709_551_616.0).contains(&rounded) {
        return Ok(Whole::Unsigned(rounded as u64));
    }
    context.truncated_value("INTEGER", &number_text::double(number))?;
    Ok(if rounded < 0.0 { Whole::Signed(i64::MIN) } else { Whole::Unsigned(u64::MAX) })
}

fn whole_of_decimal(number: &Decimal, context: &EvalContext) -> Result<Whole, SqlError> {
    if let Some(whole) = number.to_i64() {
        return Ok(Whole::Signed(whole));
    }
    if let Some(whole) = number.to_u64() {
        return Ok(Whole::Unsigned(whole));
    }
    context.truncated_value("DECIMAL", &number.to_string())?;
    Ok(if number.is_negative() { Whole::Signed(i64::MIN) } else { Whole::Unsigned(u64::MAX) })
}

fn whole_of_text(text: &str, context: &EvalContext) -> Result<Whole, SqlError> {
    let trimmed = text.trim_matches(|character: char| character.is_ascii_whitespace());
    let (negative, rest) = match trimmed.as_bytes().first() {
        Some(b'-') => (true, &trimmed[1..]),
        Some(b'+') => (false, &trimmed[1..]),
        _ => (false, trimmed),
    };
    let length = rest.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
    let magnitude = rest[..length]
        .bytes()
        .try_fold(0u64, |number, digit| number.checked_mul(10)?.checked_add((digit - b'0') as u64));
    let whole = match magnitude {
        Some(number) if !negative => i64::try_from(number).map_or(Whole::Unsigned(number), Whole::Signed),
        Some(number) if number <= i64::MIN.unsigned_abs() => Whole::Signed((number as i64).wrapping_neg()),
        _ if negative => Whole::Signed(i64::MIN),
        _ => Whole::Unsigned(u64::MAX),
    };
    let out_of_range = magnitude.is_none_or(|number| negative && number > i64::MIN.unsigned_abs());
    if length == 0 || length < rest.len() || out_of_range {
        context.truncated_value("INTEGER", text)?;
    }
    Ok(whole)
}

fn whole_of_json(document: &Json, context: &EvalContext) -> Result<Whole, SqlError> {
    match &*document.0 {
        Node::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => Ok(Whole::Signed(number)),
            (None, Some(number)) => Ok(Whole::Unsigned(number)),
            (None, None) => whole_of_double(number.as_f64().unwrap_or(0.0), context),
        },
        Node::Bool(truth) => Ok(Whole::Signed(*truth as i64)),
        Node::String(text) => whole_of_text(text, context),
        _ => not_a_number(context, "INTEGER", Whole::Signed(0)),
    }
}

fn not_a_number<T>(context: &EvalContext, kind: &str, zero: T) -> Result<T, SqlError> {
    let message = format!("Invalid JSON value for CAST to {kind} from column json at row 1");
    context.bad_value(ErrorCode::INVALID_JSON_VALUE_FOR_CAST, message)?;
    Ok(zero)
}

fn double_of_text(text: &str, context: &EvalContext) -> Result<f64, SqlError> {
    let length = number_prefix_bytes(text.as_bytes());
    let number: f64 = text[..length].trim_start().parse().unwrap_or(0.0);
    if !text[length..].bytes().all(|byte| byte.is_ascii_whitespace()) || !number.is_finite() {
        context.truncated_value("DOUBLE", text)?;
    }
    Ok(number.clamp(f64::MIN, f64::MAX))
}

fn decimal_of_text(text: &str, context: &EvalContext) -> Result<Decimal, SqlError> {
    let parsed = Decimal::parse_prefix(text.as_bytes());
    let rest_is_space = text.as_bytes()[parsed.consumed..].iter().all(u8::is_ascii_whitespace);
    if parsed.consumed == 0 || !rest_is_space || parsed.overflow {
        context.truncated_value("DECIMAL", text)?;
    }
    Ok(parsed.number)
}

fn with_fraction(number: i64, micros: u32, fsp: u8, negative: bool) -> Decimal {
    let million = I256::new(1_000_000);
    let mantissa = I256::from(number.unsigned_abs()) * million + I256::from(micros);
    Decimal::new(if negative { -mantissa } else { mantissa }, 6).truncate(fsp as i32)
}

fn datetime_of_text(text: &str, rules: DateRules, context: &EvalContext) -> Result<Option<DateTime>, SqlError> {
    let Some(parsed) = parse_datetime(text, rules) else {
        context.incorrect_value("datetime", text)?;
        return Ok(None);
    };
    if parsed.truncated {
        context.truncated_value(if parsed.date_only { "date" } else { "datetime" }, text)?;
    }
    // A text with an offset names a moment: show it in the session's time zone.
    let Some(offset) = parsed.offset_seconds else { return Ok(Some(parsed.value)) };
    let moment = TimeZone::Offset(offset)
        .to_utc_micros(parsed.value)
        .and_then(|micros| context.time_zone.from_utc_micros(micros, parsed.value.fsp()));
    if moment.is_none() {
        context.incorrect_value("datetime", text)?;
    }
    Ok(moment)
}

fn time_of_text(text: &str, context: &EvalContext) -> Result<Option<Time>, SqlError> {
    let parsed = parse_time(text);
    if parsed.is_none_or(|parsed| parsed.truncated || parsed.out_of_range) {
        context.truncated_value("time", text)?;
    }
    Ok(parsed.map(|parsed| parsed.value))
}

#[cfg(test)]
mod tests;
