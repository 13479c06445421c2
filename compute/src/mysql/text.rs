//! Rows of the text protocol: every value as a length-encoded string.

use super::character_set::Results;
use expr::mysql_type::{MysqlType, TypeKind};
use expr::value::Value;
use mysql_common::io::BufMutExt;

/// Writes the payload of a row packet.
pub fn encode_row(row: &[Value], types: &[MysqlType], results: Results, out: &mut Vec<u8>) {
    for (value, ty) in row.iter().zip(types) {
        encode(value, ty, results, out);
    }
}

fn encode(value: &Value, ty: &MysqlType, results: Results, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.push(0xfb),
        Value::Int(number) if !pads(ty) => put_display(number, out),
        Value::UInt(number) if !pads(ty) => put_display(number, out),
        Value::Text(text) | Value::Enum(_, text) | Value::Set(_, text) => results.put(text, ty, out),
        Value::Bytes(bytes) => out.put_lenenc_str(bytes),
        Value::Bit(..) => out.put_lenenc_str(&value.to_bytes()),
        Value::Double(number) => put_float(*number, value, ty, out),
        Value::Float(number) => put_float(f64::from(*number), value, ty, out),
        _ => put_padded(&value.to_text(), ty, out),
    }
}

/// FLOAT(M,D) and DOUBLE(M,D) show all their decimals.
fn put_float(number: f64, value: &Value, ty: &MysqlType, out: &mut Vec<u8>) {
    match ty.kind {
        TypeKind::Double { display: Some((_, decimals)), .. }
        | TypeKind::Float { display: Some((_, decimals)), .. }
            if number.is_finite() =>
        {
            out.put_lenenc_str(format!("{number:.*}", usize::from(decimals)).as_bytes());
        }
        _ => out.put_lenenc_str(value.to_text().as_bytes()),
    }
}

/// ZEROFILL and YEAR show leading zeros.
fn pads(ty: &MysqlType) -> bool {
    matches!(ty.kind, TypeKind::Year) || matches!(ty.kind, TypeKind::Int { display, .. } if display.zerofill)
}

fn put_padded(text: &str, ty: &MysqlType, out: &mut Vec<u8>) {
    let width = match ty.kind {
        TypeKind::Year => 4,
        TypeKind::Int { display, .. } if display.zerofill => display.width.unwrap_or(0).into(),
        _ => 0,
    };
    if text.len() >= width {
        out.put_lenenc_str(text.as_bytes());
    } else {
        out.put_lenenc_str(format!("{text:0>width$}").as_bytes());
    }
}

/// A number's digits; never 251 bytes or more, so the length is one byte.
fn put_display(number: impl std::fmt::Display, out: &mut Vec<u8>) {
    use std::io::Write;
    let start = out.len();
    out.push(0);
    // Writing to a vector cannot fail.
    let _ = write!(out, "{number}");
    out[start] = (out.len() - start - 1) as u8;
}

#[cfg(test)]
mod tests {
    use super::*;
    use expr::mysql_type::IntDisplay;

    #[test]
    fn values_are_length_encoded_text() {
        let mut out = Vec::new();
        let zerofill = MysqlType::new(TypeKind::Int {
            bytes: 4,
            unsigned: true,
            display: IntDisplay { width: Some(5), zerofill: true },
        });
        let types = [MysqlType::bigint(), MysqlType::null(), zerofill, MysqlType::new(TypeKind::Year)];
        encode_row(
            &[Value::Int(-42), Value::Null, Value::UInt(7), Value::UInt(0)],
            &types,
            Results { collation: None },
            &mut out,
        );
        assert_eq!(out, b"\x03-42\xfb\x0500007\x040000");
    }
}
