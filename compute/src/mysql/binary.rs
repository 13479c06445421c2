//! Rows of the binary protocol, of prepared statements. Manual: MySQL Internals, "Binary Protocol Resultset Row".

use super::character_set::Results;
use expr::mysql_type::{MysqlType, TypeKind};
use expr::value::Value;
use expr::value::temporal::{DateTime, Time};
use mysql_common::io::BufMutExt;

/// Writes the payload of a row packet.
pub fn encode_row(row: &[Value], types: &[MysqlType], results: Results, out: &mut Vec<u8>) {
    out.push(0);
    let nulls = out.len();
    // The bitmap of results begins at bit 2.
    out.resize(nulls + (row.len() + 9) / 8, 0);
    for (position, (value, ty)) in row.iter().zip(types).enumerate() {
        if value.is_null() {
            out[nulls + (position + 2) / 8] |= 1 << ((position + 2) % 8);
        } else {
            encode(value, ty, results, out);
        }
    }
}

/// By the column's type, which the client was told; values of another kind are converted.
fn encode(value: &Value, ty: &MysqlType, results: Results, out: &mut Vec<u8>) {
    match &ty.kind {
        TypeKind::Int { bytes: 1, .. } => out.push(integer(value) as u8),
        TypeKind::Int { bytes: 2, .. } | TypeKind::Year => {
            out.extend_from_slice(&(integer(value) as u16).to_le_bytes())
        }
        TypeKind::Int { bytes: 3 | 4, .. } => out.extend_from_slice(&(integer(value) as u32).to_le_bytes()),
        TypeKind::Int { .. } => out.extend_from_slice(&integer(value).to_le_bytes()),
        TypeKind::Float { .. } => out.extend_from_slice(&(double(value) as f32).to_le_bytes()),
        TypeKind::Double { .. } => out.extend_from_slice(&double(value).to_le_bytes()),
        TypeKind::Date | TypeKind::DateTime { .. } | TypeKind::Timestamp { .. } => match value {
            Value::Date(date) => put_datetime(DateTime::new(*date, 0, 0), out),
            Value::DateTime(datetime) => put_datetime(*datetime, out),
            // An empty date; a value of another kind in a date column is a bug of the executor.
            _ => out.push(0),
        },
        TypeKind::Time { .. } => match value {
            Value::Time(time) => put_time(*time, out),
            _ => out.push(0),
        },
        _ => match value {
            Value::Text(text) | Value::Enum(_, text) | Value::Set(_, text) => results.put(text, ty, out),
            _ => out.put_lenenc_str(&value.to_bytes()),
        },
    }
}

/// The low 64 bits; the column's width and sign say how they are read.
fn integer(value: &Value) -> u64 {
    match value {
        Value::Int(number) => *number as u64,
        Value::UInt(number) | Value::Bit(number, _) | Value::Set(number, _) => *number,
        Value::Enum(index, _) => (*index).into(),
        Value::Float(number) => *number as i64 as u64,
        Value::Double(number) => *number as i64 as u64,
        Value::Decimal(decimal) => decimal.to_f64() as i64 as u64,
        _ => 0,
    }
}

fn double(value: &Value) -> f64 {
    match value {
        Value::Float(number) => (*number).into(),
        Value::Double(number) => *number,
        Value::Int(number) => *number as f64,
        Value::UInt(number) => *number as f64,
        Value::Decimal(decimal) => decimal.to_f64(),
        _ => 0.0,
    }
}

fn put_datetime(datetime: DateTime, out: &mut Vec<u8>) {
    let date = datetime.date();
    let micros = datetime.micros_of_day();
    let length = match (datetime.packed(), micros, micros % 1_000_000) {
        (0, ..) => 0,
        (_, 0, _) => 4,
        (_, _, 0) => 7,
        _ => 11,
    };
    out.push(length);
    if length >= 4 {
        out.extend_from_slice(&date.year().to_le_bytes());
        out.extend_from_slice(&[date.month(), date.day()]);
    }
    if length >= 7 {
        let seconds = micros / 1_000_000;
        out.extend_from_slice(&[(seconds / 3600) as u8, (seconds / 60 % 60) as u8, (seconds % 60) as u8]);
    }
    if length == 11 {
        out.extend_from_slice(&((micros % 1_000_000) as u32).to_le_bytes());
    }
}

fn put_time(time: Time, out: &mut Vec<u8>) {
    let micros = time.micros().unsigned_abs();
    let fraction = (micros % 1_000_000) as u32;
    let length = match (micros, fraction) {
        (0, _) => 0,
        (_, 0) => 8,
        _ => 12,
    };
    out.push(length);
    if length >= 8 {
        let seconds = micros / 1_000_000;
        out.push(u8::from(time.micros() < 0));
        out.extend_from_slice(&((seconds / 86_400) as u32).to_le_bytes());
        out.extend_from_slice(&[(seconds / 3600 % 24) as u8, (seconds / 60 % 60) as u8, (seconds % 60) as u8]);
    }
    if length == 12 {
        out.extend_from_slice(&fraction.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Results = Results { collation: None };
    use expr::value::temporal::Date;

    #[test]
    fn nulls_are_bits_from_the_third_on() {
        let mut out = Vec::new();
        let types = vec![MysqlType::bigint(); 7];
        let mut row = vec![Value::Null; 7];
        row[0] = Value::Int(-1);
        encode_row(&row, &types, PLAIN, &mut out);
        assert_eq!(out, [&[0, 0b1111_1000, 0b1][..], &[0xff; 8]].concat());
    }

    #[test]
    fn temporal_values_are_as_short_as_they_can_be() {
        let encoded = |value, kind| {
            let mut out = Vec::new();
            encode(&value, &MysqlType::new(kind), PLAIN, &mut out);
            out
        };
        let date = Date::from_parts(2024, 2, 29);
        assert_eq!(encoded(Value::Date(date), TypeKind::Date), [4, 0xe8, 7, 2, 29]);
        let noon = DateTime::new(date, 12 * 3_600_000_000 + 5, 6);
        assert_eq!(
            encoded(Value::DateTime(noon), TypeKind::DateTime { fsp: 6 }),
            [11, 0xe8, 7, 2, 29, 12, 0, 0, 5, 0, 0, 0]
        );
        let time = Time::new(-(49 * 3600 + 61) * 1_000_000, 0);
        assert_eq!(encoded(Value::Time(time), TypeKind::Time { fsp: 0 }), [8, 1, 2, 0, 0, 0, 1, 1, 1]);
        assert_eq!(encoded(Value::Date(Date::ZERO), TypeKind::Date), [0]);
    }
}
