//! Parameters of COM_STMT_EXECUTE and attributes of queries, read as hostile bytes.
//!
//! Attributes are read and not kept: the function that shows them to statements is a component of MySQL's that is not
//! there unless it was installed. Manual: "Query Attributes" (11.6).

use super::character_set;
use expr::collation::Charset;
use expr::value::Value;
use expr::value::temporal::{Date, DateTime, Time};
use mysql_common::constants::ColumnType;
use mysql_common::io::ParseBuf;
use std::sync::Arc;

/// A parameter's type as the client sent it: kept for executions that do not repeat it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParameterType {
    pub column_type: ColumnType,
    pub unsigned: bool,
}

/// The packet does not follow the protocol. MySQL 1835 (malformed packet).
#[derive(Debug, thiserror::Error)]
#[error("Malformed communication packet.")]
pub struct Malformed;

/// Whether attributes may come with the parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attributes {
    /// The client does not know of them.
    Unknown,
    /// CLIENT_QUERY_ATTRIBUTES: parameters have names; what is behind those of the statement are attributes. `counted`:
    /// their number comes first even where the statement has no parameters.
    Named { counted: bool },
}

/// Reads the part of the packet after statement id, flags and iteration count. `types` is replaced if the client sent
/// new ones. `long_data`: what COM_STMT_SEND_LONG_DATA brought, by parameter.
pub fn decode(
    payload: &[u8],
    client: Charset,
    count: usize,
    attributes: Attributes,
    types: &mut Vec<ParameterType>,
    long_data: &mut [Option<Vec<u8>>],
) -> Result<Vec<Value>, Malformed> {
    let mut buffer = ParseBuf(payload);
    let total = match attributes {
        Attributes::Named { counted } if counted || count > 0 => length(&mut buffer)?,
        _ => count,
    };
    if total < count {
        return Err(Malformed);
    }
    let named = attributes != Attributes::Unknown;
    let mut values = read(&mut buffer, client, total, named, types, long_data)?;
    values.truncate(count);
    Ok(values)
}

/// The statement of a COM_QUERY under CLIENT_QUERY_ATTRIBUTES, behind its attributes.
pub fn past_attributes(payload: &[u8], client: Charset) -> Result<&[u8], Malformed> {
    let mut buffer = ParseBuf(payload);
    let (count, sets) = (length(&mut buffer)?, length(&mut buffer)?);
    if sets != 1 {
        return Err(Malformed);
    }
    read(&mut buffer, client, count, true, &mut Vec::new(), &mut [])?;
    Ok(buffer.0)
}

fn read(
    buffer: &mut ParseBuf<'_>,
    client: Charset,
    count: usize,
    named: bool,
    types: &mut Vec<ParameterType>,
    long_data: &mut [Option<Vec<u8>>],
) -> Result<Vec<Value>, Malformed> {
    if count == 0 {
        return Ok(Vec::new());
    }
    let nulls = take(buffer, count.div_ceil(8))?;
    if take(buffer, 1)?[0] == 1 {
        types.clear();
        for _ in 0..count {
            let [column_type, flags] = array(buffer)?;
            let column_type = ColumnType::try_from(column_type).map_err(|_| Malformed)?;
            types.push(ParameterType { column_type, unsigned: flags & 0x80 != 0 });
            if named {
                length_encoded(buffer)?;
            }
        }
    }
    if types.len() != count {
        return Err(Malformed);
    }
    let mut values = Vec::with_capacity(count);
    for (position, ty) in types.iter().enumerate() {
        let value = if let Some(data) = long_data.get_mut(position).and_then(Option::take) {
            string(&data, ty.column_type, client)
        } else if nulls[position / 8] & 1 << (position % 8) != 0 {
            Value::Null
        } else {
            value(buffer, *ty, client)?
        };
        values.push(value);
    }
    Ok(values)
}

fn take<'a>(buffer: &mut ParseBuf<'a>, bytes: usize) -> Result<&'a [u8], Malformed> {
    buffer.checked_eat(bytes).ok_or(Malformed)
}

fn array<const N: usize>(buffer: &mut ParseBuf<'_>) -> Result<[u8; N], Malformed> {
    take(buffer, N)?.try_into().map_err(|_| Malformed)
}

fn value(buffer: &mut ParseBuf<'_>, ty: ParameterType, client: Charset) -> Result<Value, Malformed> {
    use ColumnType::*;
    let integer = |signed: i64, unsigned: u64| if ty.unsigned { Value::UInt(unsigned) } else { Value::Int(signed) };
    Ok(match ty.column_type {
        MYSQL_TYPE_NULL => Value::Null,
        MYSQL_TYPE_TINY => {
            let [byte] = array(buffer)?;
            integer((byte as i8).into(), byte.into())
        }
        MYSQL_TYPE_SHORT | MYSQL_TYPE_YEAR => {
            let bytes = array(buffer)?;
            integer(i16::from_le_bytes(bytes).into(), u16::from_le_bytes(bytes).into())
        }
        MYSQL_TYPE_LONG | MYSQL_TYPE_INT24 => {
            let bytes = array(buffer)?;
            integer(i32::from_le_bytes(bytes).into(), u32::from_le_bytes(bytes).into())
        }
        MYSQL_TYPE_LONGLONG => {
            let bytes = array(buffer)?;
            integer(i64::from_le_bytes(bytes), u64::from_le_bytes(bytes))
        }
        MYSQL_TYPE_FLOAT => Value::Float(f32::from_le_bytes(array(buffer)?)),
        MYSQL_TYPE_DOUBLE => Value::Double(f64::from_le_bytes(array(buffer)?)),
        MYSQL_TYPE_DATE | MYSQL_TYPE_DATETIME | MYSQL_TYPE_TIMESTAMP => {
            let length = take(buffer, 1)?[0];
            let (date, micros) = datetime(take(buffer, length.into())?)?;
            if ty.column_type == MYSQL_TYPE_DATE {
                Value::Date(date)
            } else {
                Value::DateTime(DateTime::new(date, micros, if micros % 1_000_000 == 0 { 0 } else { 6 }))
            }
        }
        MYSQL_TYPE_TIME => {
            let length = take(buffer, 1)?[0];
            Value::Time(time(take(buffer, length.into())?)?)
        }
        _ => string(length_encoded(buffer)?, ty.column_type, client),
    })
}

fn length_encoded<'a>(buffer: &mut ParseBuf<'a>) -> Result<&'a [u8], Malformed> {
    let length = length(buffer)?;
    take(buffer, length)
}

fn length(buffer: &mut ParseBuf<'_>) -> Result<usize, Malformed> {
    let length = match take(buffer, 1)?[0] {
        byte @ 0..=0xfa => byte.into(),
        0xfc => u64::from(u16::from_le_bytes(array(buffer)?)),
        0xfd => {
            let [low, middle, high] = array(buffer)?;
            u64::from(u32::from_le_bytes([low, middle, high, 0]))
        }
        0xfe => u64::from_le_bytes(array(buffer)?),
        _ => return Err(Malformed),
    };
    usize::try_from(length).map_err(|_| Malformed)
}

/// Text if the client calls it a string and it is one in the client's character set; bytes otherwise.
fn string(bytes: &[u8], column_type: ColumnType, client: Charset) -> Value {
    use ColumnType::*;
    let blob = matches!(
        column_type,
        MYSQL_TYPE_BLOB | MYSQL_TYPE_TINY_BLOB | MYSQL_TYPE_MEDIUM_BLOB | MYSQL_TYPE_LONG_BLOB | MYSQL_TYPE_BIT
    );
    match character_set::parameter(bytes, client) {
        Some(text) if !blob => Value::text(&text),
        _ => Value::Bytes(Arc::from(bytes)),
    }
}

fn datetime(bytes: &[u8]) -> Result<(Date, i64), Malformed> {
    let date = match bytes {
        [] => return Ok((Date::ZERO, 0)),
        [low, high, month @ ..=12, day @ ..=31, ..] => {
            let year = u16::from_le_bytes([*low, *high]);
            if year > 9999 {
                return Err(Malformed);
            }
            Date::from_parts(year, *month, *day)
        }
        _ => return Err(Malformed),
    };
    let micros = match &bytes[4..] {
        [] => 0,
        [hour @ ..=23, minute @ ..=59, second @ ..=59, fraction @ ..] => {
            let seconds = i64::from(*hour) * 3600 + i64::from(*minute) * 60 + i64::from(*second);
            seconds * 1_000_000 + microseconds(fraction)?
        }
        _ => return Err(Malformed),
    };
    Ok((date, micros))
}

fn time(bytes: &[u8]) -> Result<Time, Malformed> {
    match bytes {
        [] => Ok(Time::new(0, 0)),
        [negative @ ..=1, d0, d1, d2, d3, hour @ ..=23, minute @ ..=59, second @ ..=59, fraction @ ..] => {
            let days = i64::from(u32::from_le_bytes([*d0, *d1, *d2, *d3]));
            let seconds = days * 86_400 + i64::from(*hour) * 3600 + i64::from(*minute) * 60 + i64::from(*second);
            // 838:59:59 is the longest TIME.
            let fraction = microseconds(fraction)?;
            let micros = seconds.min(838 * 3600 + 3599) * 1_000_000 + fraction;
            Ok(Time::new(if *negative == 1 { -micros } else { micros }, if fraction == 0 { 0 } else { 6 }))
        }
        _ => Err(Malformed),
    }
}

fn microseconds(bytes: &[u8]) -> Result<i64, Malformed> {
    match bytes {
        [] => Ok(0),
        [a, b, c, d] => {
            let micros = u32::from_le_bytes([*a, *b, *c, *d]);
            if micros < 1_000_000 { Ok(micros.into()) } else { Err(Malformed) }
        }
        _ => Err(Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const UTF8: Charset = Charset::Utf8mb4;

    #[test]
    fn types_stay_from_one_execution_to_the_next() {
        let mut types = Vec::new();
        let first = [0, 1, 8, 0x80, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        let values = decode(&first, UTF8, 1, Attributes::Unknown, &mut types, &mut []).unwrap();
        assert!(matches!(values[..], [Value::UInt(u64::MAX)]));
        let values =
            decode(&[0, 0, 1, 0, 0, 0, 0, 0, 0, 0], UTF8, 1, Attributes::Unknown, &mut types, &mut []).unwrap();
        assert!(matches!(values[..], [Value::UInt(1)]));
        assert!(matches!(
            decode(&[1, 0], UTF8, 1, Attributes::Unknown, &mut types, &mut []).unwrap()[..],
            [Value::Null]
        ));
    }

    #[test]
    fn attributes_come_behind_the_parameters() {
        // One parameter, a TINY without a name, and one attribute, a string `id` that says `x7`.
        let payload = [&[2, 0, 1, 1, 0, 0, 0xfd, 0, 2][..], b"id", &[9, 2], b"x7"].concat();
        let named = Attributes::Named { counted: false };
        let values = decode(&payload, UTF8, 1, named, &mut Vec::new(), &mut []).unwrap();
        assert!(matches!(values[..], [Value::Int(9)]));
        let query = [&[1, 1, 0, 1, 0xfd, 0, 2][..], b"id", &[2], b"x7", b"SELECT 1"].concat();
        assert_eq!(past_attributes(&query, UTF8).unwrap(), b"SELECT 1");
        assert_eq!(past_attributes(b"\0\x01SELECT 2", UTF8).unwrap(), b"SELECT 2");
        assert!(past_attributes(b"\0\x02SELECT 2", UTF8).is_err());
        assert!(decode(&[0], UTF8, 1, named, &mut Vec::new(), &mut []).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..64), count in 0usize..6) {
            let _ = decode(&bytes, UTF8, count, Attributes::Unknown, &mut Vec::new(), &mut []);
            let _ = decode(&bytes, UTF8, count, Attributes::Named { counted: true }, &mut Vec::new(), &mut []);
            let _ = past_attributes(&bytes, UTF8);
        }
    }
}
