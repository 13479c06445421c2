//! Values as bytes: equal bytes where values compare equal, and bytes in the order in which values sort.
//!
//! The bytes of one value are no prefix of another's of the same type, so keys of several columns are put together by
//! writing one after the other. NULL sorts first.

mod json;

use expr::SqlError;
use expr::collation;
use expr::mysql_type::{MysqlType, TypeKind};
use expr::value::decimal::Decimal;
use expr::value::{Row, Value};

/// How one column of a key compares.
#[derive(Debug, Clone)]
pub struct KeyColumn {
    pub ty: MysqlType,
    pub descending: bool,
}

const NULL: u8 = 0;
const PRESENT: u8 = 1;

/// Adds a value's bytes to a key.
pub fn sort_key(value: &Value, column: &KeyColumn, key: &mut Vec<u8>) -> Result<(), SqlError> {
    let start = key.len();
    ascending(value, &column.ty, key)?;
    if column.descending {
        key[start..].iter_mut().for_each(|byte| *byte = !*byte);
    }
    Ok(())
}

/// A whole row as a key.
pub fn row_key(row: &Row, types: &[MysqlType]) -> Result<Vec<u8>, SqlError> {
    let mut key = Vec::with_capacity(10 * row.len());
    for (value, ty) in row.iter().zip(types) {
        ascending(value, ty, &mut key)?;
    }
    Ok(key)
}

fn ascending(value: &Value, ty: &MysqlType, key: &mut Vec<u8>) -> Result<(), SqlError> {
    if value.is_null() {
        key.push(NULL);
        return Ok(());
    }
    key.push(PRESENT);
    match &ty.kind {
        TypeKind::Double { .. } | TypeKind::Float { .. } => match number(value) {
            Some(number) => double(number, key),
            None => by_value(value, ty, key)?,
        },
        TypeKind::Decimal { .. } => match value {
            Value::Int(number) => decimal(&Decimal::from(*number), key),
            Value::UInt(number) => decimal(&Decimal::from(*number), key),
            _ => by_value(value, ty, key)?,
        },
        TypeKind::Int { .. } | TypeKind::Year | TypeKind::Bit { .. } => match value {
            // The edge of a RANGE frame may lie beyond the type.
            Value::Decimal(number) => match i128::try_from(number.trimmed().mantissa()) {
                Ok(mantissa) if number.trimmed().scale() == 0 => integer(mantissa, key),
                _ => by_value(value, ty, key)?,
            },
            _ => by_value(value, ty, key)?,
        },
        TypeKind::Enum(_) | TypeKind::Set(_) => match value {
            // Members sort by number, not by name.
            Value::Enum(index, _) => integer(*index as i128, key),
            Value::Set(bits, _) => integer(*bits as i128, key),
            _ => by_value(value, ty, key)?,
        },
        TypeKind::DateTime { .. } | TypeKind::Timestamp { .. } => match value {
            Value::Date(date) => ordered(expr::value::temporal::DateTime::new(*date, 0, 0).packed(), key),
            _ => by_value(value, ty, key)?,
        },
        _ => by_value(value, ty, key)?,
    }
    Ok(())
}

fn by_value(value: &Value, ty: &MysqlType, key: &mut Vec<u8>) -> Result<(), SqlError> {
    match value {
        Value::Null => {}
        Value::Int(number) => integer(*number as i128, key),
        Value::UInt(number) | Value::Bit(number, _) => integer(*number as i128, key),
        Value::Float(number) => double(*number as f64, key),
        Value::Double(number) => double(*number, key),
        Value::Decimal(number) => decimal(number, key),
        Value::Text(text) | Value::Enum(_, text) | Value::Set(_, text) => {
            let mut weights = Vec::with_capacity(2 * text.len());
            collation::sort_key(ty.collation, text.as_str(), &mut weights);
            string(&weights, key);
        }
        Value::Bytes(bytes) => string(bytes, key),
        Value::Date(date) => ordered(date.packed() as i64, key),
        Value::DateTime(moment) => ordered(moment.packed(), key),
        Value::Time(time) => ordered(time.micros(), key),
        Value::Json(document) => json::document(&document.0, key),
    }
    Ok(())
}

fn number(value: &Value) -> Option<f64> {
    Some(match value {
        Value::Int(number) => *number as f64,
        Value::UInt(number) => *number as f64,
        Value::Float(number) => *number as f64,
        Value::Double(number) => *number,
        Value::Decimal(number) => number.to_f64(),
        _ => return None,
    })
}

/// Signed and unsigned numbers in one order.
fn integer(number: i128, key: &mut Vec<u8>) {
    key.push(u8::from(number >= 0));
    key.extend_from_slice(&(number as u64).to_be_bytes());
}

fn ordered(number: i64, key: &mut Vec<u8>) {
    key.extend_from_slice(&(number as u64 ^ 1 << 63).to_be_bytes());
}

fn double(number: f64, key: &mut Vec<u8>) {
    // One zero.
    let bits = if number == 0.0 { 0 } else { number.to_bits() };
    let flipped = if bits >> 63 == 1 { !bits } else { bits | 1 << 63 };
    key.extend_from_slice(&flipped.to_be_bytes());
}

/// Sign, power of ten, digits without trailing zeros: the same for 1.5 and 1.50.
fn decimal(number: &Decimal, key: &mut Vec<u8>) {
    let mantissa = number.mantissa();
    let negative = number.is_negative();
    let text = match i128::try_from(mantissa) {
        Ok(small) => small.unsigned_abs().to_string(),
        Err(_) => mantissa.unsigned_abs().to_string(),
    };
    let digits = text.trim_end_matches('0');
    if digits.is_empty() {
        key.push(1);
        return;
    }
    key.push(if negative { 0 } else { 2 });
    let start = key.len();
    // Position of the point behind the first digit: -30 to 77 fits a byte.
    key.push((text.len() as i32 - number.scale() as i32 + 128) as u8);
    key.extend_from_slice(digits.as_bytes());
    key.push(0);
    if negative {
        key[start..].iter_mut().for_each(|byte| *byte = !*byte);
    }
}

/// Bytes with an end mark that sorts below every continuation.
fn string(bytes: &[u8], key: &mut Vec<u8>) {
    let mut rest = bytes;
    while let Some(position) = memchr::memchr(0, rest) {
        key.extend_from_slice(&rest[..position]);
        key.extend_from_slice(&[0, 0xff]);
        rest = &rest[position + 1..];
    }
    key.extend_from_slice(rest);
    key.extend_from_slice(&[0, 0]);
}

/// Bytes that are the same only for the very same value.
pub fn exact_key(value: &Value, key: &mut Vec<u8>) {
    match value {
        Value::Null => key.push(0),
        Value::Int(value) => tagged(1, &value.to_le_bytes(), key),
        Value::UInt(value) => tagged(2, &value.to_le_bytes(), key),
        Value::Float(value) => tagged(3, &value.to_le_bytes(), key),
        Value::Double(value) => tagged(4, &value.to_le_bytes(), key),
        Value::Decimal(value) => {
            tagged(5, &[value.scale()], key);
            key.extend_from_slice(&value.mantissa().to_le_bytes());
        }
        Value::Text(text) => {
            key.push(6);
            string(text.as_bytes(), key);
        }
        Value::Bytes(bytes) => {
            key.push(7);
            string(bytes, key);
        }
        Value::Date(date) => tagged(8, &date.packed().to_le_bytes(), key),
        Value::DateTime(moment) => {
            tagged(9, &[moment.fsp()], key);
            key.extend_from_slice(&moment.packed().to_le_bytes());
        }
        Value::Time(time) => {
            tagged(10, &[time.fsp()], key);
            key.extend_from_slice(&time.micros().to_le_bytes());
        }
        Value::Json(document) => {
            key.push(11);
            string(document.to_string().as_bytes(), key);
        }
        Value::Enum(index, text) => {
            tagged(12, &index.to_le_bytes(), key);
            string(text.as_bytes(), key);
        }
        Value::Set(bits, _) => tagged(13, &bits.to_le_bytes(), key),
        Value::Bit(bits, width) => {
            tagged(14, &[*width], key);
            key.extend_from_slice(&bits.to_le_bytes());
        }
    }
}

fn tagged(tag: u8, bytes: &[u8], key: &mut Vec<u8>) {
    key.push(tag);
    key.extend_from_slice(bytes);
}
