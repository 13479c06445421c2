//! Assignment to columns of numbers.

use super::Place;
use crate::coerce::Whole;
use crate::error::SqlError;
use crate::value::Value;
use crate::value::decimal::{Decimal, number_prefix_bytes};

/// Smallest and largest of an integer type.
fn bounds(bytes: u8, unsigned: bool) -> (i128, i128) {
    let bits = 8 * bytes.clamp(1, 8) as u32;
    if unsigned { (0, (1 << bits) - 1) } else { (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) }
}

pub(super) fn store_int(value: Value, bytes: u8, unsigned: bool, place: &Place<'_>) -> Result<Value, SqlError> {
    let number: i128 = match &value {
        Value::Int(number) => *number as i128,
        Value::UInt(number) | Value::Bit(number, _) | Value::Set(number, _) => *number as i128,
        Value::Double(number) => whole_of_double(*number),
        Value::Float(number) => whole_of_double(*number as f64),
        Value::Decimal(number) => whole_of_decimal(number),
        Value::Text(_) | Value::Bytes(_) => whole_of_text(&value.to_text(), place)?,
        Value::Enum(index, _) => *index as i128,
        _ => match value.to_whole(place.context)? {
            Whole::Signed(number) => number as i128,
            Whole::Unsigned(number) => number as i128,
        },
    };
    if unsigned && is_negative_decimal(&value) && number == 0 {
        place.out_of_range()?;
    }
    let (smallest, largest) = bounds(bytes, unsigned);
    // As a double the largest BIGINT is one more.
    let double = matches!(value, Value::Double(_) | Value::Float(_));
    let is_largest = double && bytes == 8 && !unsigned && number == largest + 1;
    if (number < smallest || number > largest) && !is_largest {
        place.out_of_range()?;
    }
    let number = number.clamp(smallest, largest);
    Ok(if unsigned { Value::UInt(number as u64) } else { Value::Int(number as i64) })
}

/// Below zero before it is rounded; a text or a floating point number is looked at after that.
fn is_negative_decimal(value: &Value) -> bool {
    matches!(value, Value::Decimal(number) if number.is_negative())
}

/// Half to even, as the processor rounds; beyond 64 bits it only matters on which side.
fn whole_of_double(number: f64) -> i128 {
    number.round_ties_even() as i128
}

fn whole_of_decimal(number: &Decimal) -> i128 {
    let side = if number.is_negative() { i128::MIN } else { i128::MAX };
    i128::try_from(number.round(0).mantissa()).unwrap_or(side)
}

/// Unlike CAST, assignment reads fractions and exponents and rounds.
fn whole_of_text(text: &str, place: &Place<'_>) -> Result<i128, SqlError> {
    let parsed = Decimal::parse_prefix(text.as_bytes());
    if parsed.consumed == 0 {
        place.incorrect("integer", text)?;
        return Ok(0);
    }
    if !text.as_bytes()[parsed.consumed..].iter().all(u8::is_ascii_whitespace) {
        place.truncated()?;
    }
    Ok(whole_of_decimal(&parsed.number))
}

pub(super) fn store_bit(value: Value, bits: u8, place: &Place<'_>) -> Result<Value, SqlError> {
    if is_negative_decimal(&value) {
        place.out_of_range()?;
        return Ok(Value::Bit(0, bits));
    }
    let number = match &value {
        // The bytes themselves are the number.
        Value::Text(_) | Value::Bytes(_) => {
            let bytes = value.to_bytes();
            let significant = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
            let bytes = &bytes[significant..];
            (bytes.len() <= 8).then(|| bytes.iter().fold(0, |number, byte| number << 8 | *byte as u64))
        }
        // Cut, unlike decimals, which are rounded.
        Value::Double(number) => Some(Value::Double(number.trunc()).to_u64(place.context)?),
        other => Some(other.to_u64(place.context)?),
    };
    let largest = u64::MAX >> (64 - bits.clamp(1, 64) as u32);
    match number {
        Some(number) if number <= largest => Ok(Value::Bit(number, bits)),
        _ => {
            place.too_long()?;
            Ok(Value::Bit(largest, bits))
        }
    }
}

/// The year that a number stands for: two digits are of 1970 to 2069, and 0 is the zero year unless it is text.
pub fn year_of_number(number: i64, is_text: bool) -> Option<u64> {
    match number {
        0 if is_text => Some(2000),
        0 => Some(0),
        1..=69 => Some(number as u64 + 2000),
        70..=99 => Some(number as u64 + 1900),
        1901..=2155 => Some(number as u64),
        _ => None,
    }
}

pub(super) fn store_year(value: Value, place: &Place<'_>) -> Result<Value, SqlError> {
    if is_negative_decimal(&value) {
        place.out_of_range()?;
        return Ok(Value::UInt(0));
    }
    let (number, is_text) = match &value {
        Value::Text(text) => {
            let number = whole_of_text(text, place)?;
            // Four zeros are the zero year; so is what is no number.
            (number, text.trim().len() < 4 && number_prefix_bytes(text.as_bytes()) > 0)
        }
        Value::Date(date) => (date.year() as i128, false),
        Value::DateTime(moment) => (moment.date().year() as i128, false),
        // Cut, unlike decimals, which are rounded.
        Value::Double(number) => (*number as i128, false),
        Value::Float(number) => (*number as i128, false),
        other => (other.to_i64(place.context)? as i128, false),
    };
    let year = i64::try_from(number).ok().and_then(|number| year_of_number(number, is_text));
    if year.is_none() {
        place.out_of_range()?;
    }
    Ok(Value::UInt(year.unwrap_or(0)))
}

fn double_of(value: &Value, place: &Place<'_>) -> Result<f64, SqlError> {
    if !matches!(value, Value::Text(_) | Value::Bytes(_)) {
        return value.to_f64(place.context);
    }
    let text = value.to_text();
    let length = number_prefix_bytes(text.as_bytes());
    if length == 0 || !text[length..].bytes().all(|byte| byte.is_ascii_whitespace()) {
        place.truncated()?;
    }
    Ok(text[..length].trim_start().parse().unwrap_or(0.0))
}

/// Rounded to the digits that the column shows, within its range and `largest`.
fn within(
    number: f64,
    unsigned: bool,
    display: Option<(u8, u8)>,
    largest: f64,
    place: &Place<'_>,
) -> Result<f64, SqlError> {
    let mut number = number;
    let mut limit = largest;
    if let Some((digits, decimals)) = display {
        limit = limit.min(Decimal::largest(digits, decimals).to_f64());
        number = crate::cast::round_double(number, decimals);
    }
    let smallest = if unsigned { 0.0 } else { -limit };
    if !(smallest..=limit).contains(&number) {
        place.out_of_range()?;
    }
    Ok(if number.is_nan() { 0.0 } else { number.clamp(smallest, limit) })
}

pub(super) fn store_double(
    value: Value,
    unsigned: bool,
    display: Option<(u8, u8)>,
    place: &Place<'_>,
) -> Result<Value, SqlError> {
    let number = double_of(&value, place)?;
    Ok(Value::Double(within(number, unsigned, display, f64::MAX, place)?))
}

pub(super) fn store_float(
    value: Value,
    unsigned: bool,
    display: Option<(u8, u8)>,
    place: &Place<'_>,
) -> Result<Value, SqlError> {
    let number = double_of(&value, place)?;
    Ok(Value::Float(within(number, unsigned, display, f32::MAX as f64, place)? as f32))
}

pub(super) fn store_decimal(
    value: Value,
    precision: u8,
    scale: u8,
    unsigned: bool,
    place: &Place<'_>,
) -> Result<Value, SqlError> {
    let number = match &value {
        Value::Text(_) | Value::Bytes(_) => decimal_of_text(&value.to_text(), place)?,
        other => other.to_decimal(place.context)?,
    };
    let largest = Decimal::largest(precision, scale);
    let rounded = number.round(scale as i32);
    if unsigned && rounded.is_negative() {
        place.out_of_range()?;
        return Ok(Value::Decimal(Decimal::ZERO.round(scale as i32)));
    }
    if rounded.scale() != scale || rounded.digits() > precision {
        place.out_of_range()?;
        return Ok(Value::Decimal(if number.is_negative() { largest.negate() } else { largest }));
    }
    if rounded != number && !matches!(value, Value::Double(_) | Value::Float(_)) {
        place.truncated_note();
    }
    Ok(Value::Decimal(rounded))
}

fn decimal_of_text(text: &str, place: &Place<'_>) -> Result<Decimal, SqlError> {
    let parsed = Decimal::parse_prefix(text.as_bytes());
    if parsed.consumed == 0 {
        place.incorrect("decimal", text)?;
    } else if !text.as_bytes()[parsed.consumed..].iter().all(u8::is_ascii_whitespace) {
        // Unlike for other numbers, what begins with one is no better than what is none.
        match place.is_strict() {
            true => place.incorrect("decimal", text)?,
            false => place.truncated_note(),
        }
    }
    Ok(parsed.number)
}
