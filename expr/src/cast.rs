//! CAST and CONVERT, and the conversions that the binder puts in. Manual: "Cast Functions and Operators" (14.10).
//!
//! What does not convert leaves a warning; dates and times that are none become NULL.

use crate::coerce::Whole;
use crate::collation::charset::Charset;
use crate::error::{ErrorCode, SqlError};
use crate::eval::EvalContext;
use crate::mysql_type::{MysqlType, TypeKind};
use crate::store::year_of_number;
use crate::value::decimal::Decimal;
use crate::value::json::Json;
use crate::value::temporal::DateRules;
use crate::value::{Value, number_text};
use compact_str::CompactString;
use serde_json::Value as Node;

/// The value as the target type. NULL stays NULL.
pub fn cast(value: Value, target: &MysqlType, context: &EvalContext) -> Result<Value, SqlError> {
    cast_by(value, target, DateRules::of_mode(context.sql_mode), context)
}

/// One of several values as the type that they have in common (CASE, COALESCE). A date that is one already is no matter of sql_mode, as
/// it is to CAST: a stored `0000-00-00` stays.
pub fn in_common(value: Value, target: &MysqlType, context: &EvalContext) -> Result<Value, SqlError> {
    let rules = match value {
        Value::Date(_) | Value::DateTime(_) => DateRules { invalid_days: true, ..DateRules::LENIENT },
        _ => DateRules::of_mode(context.sql_mode),
    };
    cast_by(value, target, rules, context)
}

fn cast_by(value: Value, target: &MysqlType, rules: DateRules, context: &EvalContext) -> Result<Value, SqlError> {
    if value.is_null() {
        return Ok(Value::Null);
    }
    Ok(match &target.kind {
        TypeKind::Null => value,
        TypeKind::Int { unsigned: false, .. } => Value::Int(to_signed(&value, context)?),
        TypeKind::Int { unsigned: true, .. } => Value::UInt(to_unsigned(&value, context)?),
        TypeKind::Bit { bits } => match value {
            Value::Bit(number, _) => Value::Bit(number, *bits),
            // A string is its bytes.
            Value::Bytes(_) | Value::Text(_) => {
                Value::Bit(value.to_bytes().iter().fold(0, |number, byte| number << 8 | u64::from(*byte)), *bits)
            }
            other => Value::Bit(other.to_u64(context)?, *bits),
        },
        TypeKind::Year => match year_of_number(value.to_i64(context)?, matches!(value, Value::Text(_))) {
            Some(year) => Value::UInt(year),
            None => {
                context.incorrect_value("YEAR", &value.to_text())?;
                Value::Null
            }
        },
        TypeKind::Float { .. } => match value {
            Value::Float(_) => value,
            other => Value::Float(to_float(other.to_f64(context)?, context)?),
        },
        TypeKind::Double { display, .. } => {
            let number = value.to_f64(context)?;
            Value::Double(match display {
                Some((_, decimals)) => round_double(number, *decimals),
                None => number,
            })
        }
        TypeKind::Decimal { precision, scale, .. } => Value::Decimal(to_decimal(&value, *precision, *scale, context)?),
        TypeKind::Date => match value {
            Value::Date(date) if rules.allow(date) => value,
            other => other.to_datetime_by(rules, context)?.map_or(Value::Null, |moment| Value::Date(moment.date())),
        },
        // A number that is no time is nothing, where a text is cut.
        TypeKind::Time { .. } if is_no_time(&value) => {
            context.truncated_value("time", &value.to_text())?;
            Value::Null
        }
        TypeKind::Time { fsp } => value.to_time(context)?.map_or(Value::Null, |time| Value::Time(time.round(*fsp))),
        TypeKind::DateTime { fsp } | TypeKind::Timestamp { fsp } => match value.to_datetime_by(rules, context)? {
            None => Value::Null,
            Some(moment) => match moment.round(*fsp) {
                Some(rounded) => Value::DateTime(rounded),
                None => {
                    context.incorrect_value("datetime", &moment.to_string())?;
                    Value::Null
                }
            },
        },
        TypeKind::Char { length } | TypeKind::VarChar { length } => to_text(value, *length, target, context)?,
        TypeKind::Text { .. } => to_text(value, u32::MAX, target, context)?,
        TypeKind::Enum(_) => match value {
            Value::Enum(..) => value,
            other => to_text(other, u32::MAX, target, context)?,
        },
        TypeKind::Set(_) => match value {
            Value::Set(..) => value,
            other => to_text(other, u32::MAX, target, context)?,
        },
        TypeKind::Binary { length } => to_binary(value, *length, true, context)?,
        TypeKind::VarBinary { length } => to_binary(value, *length, false, context)?,
        TypeKind::Blob { .. } | TypeKind::Geometry(_) => to_binary(value, u32::MAX, false, context)?,
        TypeKind::Json => match value {
            Value::Json(_) => value,
            Value::Text(text) => Value::Json(Json::parse(&text).map_err(|error| error.in_argument(1, "cast_as_json"))?),
            Value::Bytes(_) => return Err(binary_is_no_json()),
            other => Value::Json(other.to_json()),
        },
    })
}

/// 3144: bytes without a character set are no JSON.
pub(crate) fn binary_is_no_json() -> SqlError {
    SqlError::new(
        ErrorCode::INVALID_JSON_CHARSET,
        "Cannot create a JSON value from a string with CHARACTER SET 'binary'.",
    )
}

/// 838:59:59.999999 as a number.
const TIME_NUMBER_MAX: f64 = 8_385_959.999_999;

/// A number beyond the last time that is no date and time either.
fn is_no_time(value: &Value) -> bool {
    if !matches!(value, Value::Int(_) | Value::UInt(_) | Value::Decimal(_) | Value::Double(_) | Value::Float(_)) {
        return false;
    }
    let quiet = EvalContext::constant();
    let number = value.to_f64(&quiet).unwrap_or(0.0).abs();
    // From ten digits on it may be one.
    let calendar = DateRules { zero_date: true, zero_parts: false, invalid_days: false };
    let moment = || value.to_datetime_by(calendar, &quiet).is_ok_and(|moment| moment.is_some());
    number > TIME_NUMBER_MAX && (number < 1e10 || !moment())
}

fn is_json_double(value: &Value) -> bool {
    matches!(value, Value::Json(document)
        if matches!(&*document.0, Node::Number(number) if number.as_i64().is_none() && number.as_u64().is_none()))
}

/// Numbers of 2^63 and more wrap around when they come from unsigned integers or text, and stay at the largest otherwise.
fn to_signed(value: &Value, context: &EvalContext) -> Result<i64, SqlError> {
    match value.to_whole(context)? {
        Whole::Signed(number) => Ok(number),
        Whole::Unsigned(number) => match i64::try_from(number) {
            Ok(number) => Ok(number),
            Err(_) if matches!(value, Value::Double(_) | Value::Float(_) | Value::Decimal(_)) => {
                // Beyond 64 bits there is a warning already.
                if number != u64::MAX {
                    context.truncated_value("INTEGER", &value.to_text())?;
                }
                Ok(i64::MAX)
            }
            Err(_) if is_json_double(value) => Ok(i64::MAX),
            Err(_) => {
                if matches!(value, Value::Text(_)) {
                    let message = "Cast to signed converted positive out-of-range integer to its negative complement";
                    context.warn(ErrorCode::UNKNOWN_ERROR, message);
                }
                Ok(number as i64)
            }
        },
    }
}

fn to_unsigned(value: &Value, context: &EvalContext) -> Result<u64, SqlError> {
    match value.to_whole(context)? {
        Whole::Unsigned(number) => Ok(number),
        Whole::Signed(number) => {
            if number < 0 && matches!(value, Value::Text(_)) {
                let message = "Cast to unsigned converted negative integer to its positive complement";
                context.warn(ErrorCode::UNKNOWN_ERROR, message);
            }
            Ok(number as u64)
        }
    }
}

fn to_float(number: f64, context: &EvalContext) -> Result<f32, SqlError> {
    if number.abs() > f32::MAX as f64 {
        context.truncated_value("FLOAT", &number_text::double(number))?;
    }
    Ok(number.clamp(f32::MIN as f64, f32::MAX as f64) as f32)
}

/// To a number of digits after the point, by the decimal that the double shows as.
pub(crate) fn round_double(number: f64, decimals: u8) -> f64 {
    // Beyond 2^53 there are no digits after the point.
    if number.abs() >= 9_007_199_254_740_992.0 {
        return number;
    }
    Decimal::from_f64(number).round(decimals as i32).to_f64()
}

fn to_decimal(value: &Value, precision: u8, scale: u8, context: &EvalContext) -> Result<Decimal, SqlError> {
    let number = value.to_decimal(context)?;
    let rounded = number.round(scale as i32);
    if rounded.scale() == scale && rounded.digits() <= precision {
        return Ok(rounded);
    }
    let message = "Out of range value for column 'cast' at row 1";
    context.bad_value(ErrorCode::WARN_DATA_OUT_OF_RANGE, message)?;
    let largest = Decimal::largest(precision, scale);
    Ok(if number.is_negative() { largest.negate() } else { largest })
}

fn to_text(value: Value, length: u32, target: &MysqlType, context: &EvalContext) -> Result<Value, SqlError> {
    let charset = target.collation.charset();
    let text: CompactString = match value {
        Value::Text(text) => text,
        Value::Bytes(_) | Value::Bit(..) if charset == Charset::Binary => {
            return to_binary(value, length, false, context);
        }
        Value::Bytes(_) | Value::Bit(..) => match charset.decode(&value.to_bytes()) {
            Ok(text) => CompactString::from(text),
            Err(position) => {
                let bytes = value.to_bytes();
                let shown: String = bytes[position..].iter().take(3).map(|byte| format!("\\x{byte:02X}")).collect();
                let message = format!("Invalid {} character string: '{shown}'", charset.name());
                context.bad_value(ErrorCode::INVALID_CHARACTER_STRING, message)?;
                return Ok(Value::Null);
            }
        },
        other => CompactString::from(other.to_text()),
    };
    let text = match text.chars().all(|character| charset.has_character(character)) {
        true => text,
        false => text.chars().map(|character| if charset.has_character(character) { character } else { '?' }).collect(),
    };
    let cut = match text.len() > length as usize {
        true => text.char_indices().nth(length as usize).map(|(end, _)| end),
        false => None,
    };
    Ok(Value::Text(match cut {
        None => text,
        Some(end) => {
            context.truncated_value(&format!("CHAR({length})"), &text)?;
            CompactString::new(&text[..end])
        }
    }))
}

fn to_binary(value: Value, length: u32, pad: bool, context: &EvalContext) -> Result<Value, SqlError> {
    let length = length as usize;
    match value {
        Value::Bytes(bytes) if bytes.len() == length || (!pad && bytes.len() < length) => Ok(Value::Bytes(bytes)),
        other => {
            let mut bytes = other.to_bytes().into_owned();
            if bytes.len() > length {
                context.truncated_value(&format!("BINARY({length})"), &other.to_text())?;
                bytes.truncate(length);
            } else if pad {
                bytes.resize(length, 0);
            }
            Ok(Value::Bytes(bytes.into()))
        }
    }
}

#[cfg(test)]
mod tests;
