//! Stored rows: physical values by column id, any of them readable without the others being decoded.
//!
//! Layout (`docs/formats.md`, "Row"): version byte 1; number of columns n (u16, little endian); n tags of four bits, low
//! half first; then the payloads of the columns that have one, in the order of their ids. Numbers are little endian and
//! as short as they can be. Rows come from the log and from object storage: they are parsed as hostile.

use crate::SqlError;
use crate::eval::TimeZone;
use crate::mysql_type::{MysqlType, TypeKind};
use crate::value::Value;
use crate::value::decimal::Decimal;
use crate::value::json::Json;
use crate::value::temporal::{Date, DateTime, Time};
use bytes::Bytes;
use common::id::ColumnId;
use common::physical::{PhysicalType, PhysicalValue};
use ethnum::I256;
use std::sync::Arc;

const VERSION: u8 = 1;
const HEADER_BYTES: usize = 3;

/// What a column of a row is stored as; the numbers are part of the format.
mod tag {
    pub const ABSENT: u8 = 0;
    pub const NULL: u8 = 1;
    pub const INT_8_BYTES: u8 = 2;
    pub const UINT_8_BYTES: u8 = 3;
    pub const FLOAT: u8 = 4;
    pub const INT_16_BYTES: u8 = 5;
    pub const INT_32_BYTES: u8 = 6;
    /// Length in four bytes.
    pub const BYTES: u8 = 7;
    pub const INT_1_BYTE: u8 = 8;
    pub const INT_2_BYTES: u8 = 9;
    pub const INT_4_BYTES: u8 = 10;
    pub const UINT_1_BYTE: u8 = 11;
    pub const UINT_2_BYTES: u8 = 12;
    pub const UINT_4_BYTES: u8 = 13;
    /// Length in one byte.
    pub const BYTES_SHORT: u8 = 14;
}

/// The bytes are no row: damaged, or of a newer version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("stored row is damaged: {0}")]
pub struct RowError(pub &'static str);

impl From<RowError> for SqlError {
    fn from(error: RowError) -> SqlError {
        SqlError::internal(format!("{error}; run `drumlin doctor` to find the object that holds it"))
    }
}

/// A stored value, borrowed from its row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum PhysicalRef<'a> {
    Null,
    Int64(i64),
    UInt64(u64),
    Float64(f64),
    Int128(i128),
    Int256([u8; 32]),
    Bytes(&'a [u8]),
}

impl PhysicalRef<'_> {
    pub fn to_owned(self) -> PhysicalValue {
        match self {
            PhysicalRef::Null => PhysicalValue::Null,
            PhysicalRef::Int64(number) => PhysicalValue::Int64(number),
            PhysicalRef::UInt64(number) => PhysicalValue::UInt64(number),
            PhysicalRef::Float64(number) => PhysicalValue::Float64(number),
            PhysicalRef::Int128(number) => PhysicalValue::Int128(number),
            PhysicalRef::Int256(number) => PhysicalValue::Int256(number),
            PhysicalRef::Bytes(bytes) => PhysicalValue::Bytes(Bytes::copy_from_slice(bytes)),
        }
    }

    /// The type it is stored as; `None` for NULL.
    pub fn physical_type(&self) -> Option<PhysicalType> {
        Some(match self {
            PhysicalRef::Null => return None,
            PhysicalRef::Int64(_) => PhysicalType::Int64,
            PhysicalRef::UInt64(_) => PhysicalType::UInt64,
            PhysicalRef::Float64(_) => PhysicalType::Float64,
            PhysicalRef::Int128(_) => PhysicalType::Int128,
            PhysicalRef::Int256(_) => PhysicalType::Int256,
            PhysicalRef::Bytes(_) => PhysicalType::Bytes,
        })
    }
}

impl<'a> From<&'a PhysicalValue> for PhysicalRef<'a> {
    fn from(value: &'a PhysicalValue) -> PhysicalRef<'a> {
        match value {
            PhysicalValue::Null => PhysicalRef::Null,
            PhysicalValue::Int64(number) => PhysicalRef::Int64(*number),
            PhysicalValue::UInt64(number) => PhysicalRef::UInt64(*number),
            PhysicalValue::Float64(number) => PhysicalRef::Float64(*number),
            PhysicalValue::Int128(number) => PhysicalRef::Int128(*number),
            PhysicalValue::Int256(number) => PhysicalRef::Int256(*number),
            PhysicalValue::Bytes(bytes) => PhysicalRef::Bytes(bytes),
        }
    }
}

/// Gathers a row's columns, in any order.
#[derive(Debug, Default)]
pub struct RowWriter {
    columns: Vec<(ColumnId, PhysicalValue)>,
}

impl RowWriter {
    pub fn new() -> RowWriter {
        RowWriter::default()
    }

    /// Sets a column. A column that is never set is absent: it has the default it was added with.
    pub fn put(&mut self, column: ColumnId, value: PhysicalValue) {
        self.columns.push((column, value));
    }

    /// The stored form. Panics if a column was set twice.
    pub fn finish(mut self) -> Bytes {
        self.columns.sort_by_key(|(column, _)| *column);
        assert!(self.columns.windows(2).all(|pair| pair[0].0 < pair[1].0), "a column was set twice");
        let count = self.columns.last().map_or(0, |(column, _)| usize::from(column.0) + 1);
        let mut row = vec![0; HEADER_BYTES + count.div_ceil(2)];
        row[0] = VERSION;
        row[1..3].copy_from_slice(&(count as u16).to_le_bytes());
        for (column, value) in &self.columns {
            let tag = put_payload(value.into(), &mut row);
            let position = usize::from(column.0);
            row[HEADER_BYTES + position / 2] |= tag << (position % 2 * 4);
        }
        row.into()
    }
}

/// Puts a row together from columns that come in the order of their ids, without the detour over owned values: for
/// readers that have columns.
#[derive(Debug)]
pub struct RowEncoder {
    row: Vec<u8>,
    columns: usize,
    /// Columns below this have been put.
    next: usize,
}

impl RowEncoder {
    /// `columns`: one more than the id of the last column that will be put.
    pub fn new(columns: usize) -> RowEncoder {
        let header = HEADER_BYTES + columns.div_ceil(2);
        let mut row = Vec::with_capacity(header + columns * 12);
        row.resize(header, 0);
        row[0] = VERSION;
        row[1..3].copy_from_slice(&(columns as u16).to_le_bytes());
        RowEncoder { row, columns, next: 0 }
    }

    /// Panics if the column is out of order.
    pub fn put(&mut self, column: ColumnId, value: PhysicalRef<'_>) {
        let position = usize::from(column.0);
        assert!(self.next <= position && position < self.columns, "columns out of order");
        self.next = position + 1;
        let tag = put_payload(value, &mut self.row);
        self.row[HEADER_BYTES + position / 2] |= tag << (position % 2 * 4);
    }

    /// Panics if the last column is missing.
    pub fn finish(self) -> Bytes {
        assert_eq!(self.next, self.columns, "the last column is missing");
        self.row.into()
    }
}

/// Appends a value and says how.
fn put_payload(value: PhysicalRef<'_>, row: &mut Vec<u8>) -> u8 {
    match value {
        PhysicalRef::Null => tag::NULL,
        PhysicalRef::Int64(number) => {
            let bytes = number.to_le_bytes();
            let (tag, length) = if i8::try_from(number).is_ok() {
                (tag::INT_1_BYTE, 1)
            } else if i16::try_from(number).is_ok() {
                (tag::INT_2_BYTES, 2)
            } else if i32::try_from(number).is_ok() {
                (tag::INT_4_BYTES, 4)
            } else {
                (tag::INT_8_BYTES, 8)
            };
            row.extend_from_slice(&bytes[..length]);
            tag
        }
        PhysicalRef::UInt64(number) => {
            let bytes = number.to_le_bytes();
            let (tag, length) = match number {
                ..=0xff => (tag::UINT_1_BYTE, 1),
                0x100..=0xffff => (tag::UINT_2_BYTES, 2),
                0x1_0000..=0xffff_ffff => (tag::UINT_4_BYTES, 4),
                _ => (tag::UINT_8_BYTES, 8),
            };
            row.extend_from_slice(&bytes[..length]);
            tag
        }
        PhysicalRef::Float64(number) => {
            row.extend_from_slice(&number.to_le_bytes());
            tag::FLOAT
        }
        PhysicalRef::Int128(number) => {
            row.extend_from_slice(&number.to_le_bytes());
            tag::INT_16_BYTES
        }
        PhysicalRef::Int256(number) => {
            row.extend_from_slice(&number);
            tag::INT_32_BYTES
        }
        PhysicalRef::Bytes(bytes) => match u8::try_from(bytes.len()) {
            Ok(length) => {
                row.push(length);
                row.extend_from_slice(bytes);
                tag::BYTES_SHORT
            }
            Err(_) => {
                // MySQL's longest value is below 4 GiB; transactions are limited long before.
                row.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
                row.extend_from_slice(bytes);
                tag::BYTES
            }
        },
    }
}

/// A stored row, checked as a whole when it is opened.
#[derive(Debug, Clone, Copy)]
pub struct RowReader<'a> {
    tags: &'a [u8],
    count: usize,
    payload: &'a [u8],
}

impl<'a> RowReader<'a> {
    pub fn new(row: &'a [u8]) -> Result<RowReader<'a>, RowError> {
        let (header, rest) = row.split_at_checked(HEADER_BYTES).ok_or(RowError("shorter than its header"))?;
        if header[0] != VERSION {
            return Err(RowError("unknown version"));
        }
        let count = usize::from(u16::from_le_bytes([header[1], header[2]]));
        let (tags, payload) = rest.split_at_checked(count.div_ceil(2)).ok_or(RowError("shorter than its tags"))?;
        let reader = RowReader { tags, count, payload };
        let mut at = 0;
        for position in 0..count {
            at += reader.payload_bytes(position, at)?;
        }
        if at != payload.len() {
            return Err(RowError("length does not agree with its tags"));
        }
        Ok(reader)
    }

    /// Number of columns, absent ones included: ids are below it.
    pub fn column_count(&self) -> usize {
        self.count
    }

    /// A column's value; `None` if the row does not have it.
    pub fn get(&self, column: ColumnId) -> Option<PhysicalRef<'a>> {
        let wanted = usize::from(column.0);
        if wanted >= self.count {
            return None;
        }
        let mut at = 0;
        for position in 0..wanted {
            // Checked when the row was opened.
            at += self.payload_bytes(position, at).ok()?;
        }
        self.value(wanted, at)
    }

    /// The columns that the row has, by id.
    pub fn columns(&self) -> impl Iterator<Item = (ColumnId, PhysicalRef<'a>)> + use<'a> {
        let reader = *self;
        let mut at = 0;
        (0..reader.count).filter_map(move |position| {
            let value = reader.value(position, at);
            at += reader.payload_bytes(position, at).unwrap_or(0);
            Some((ColumnId(position as u16), value?))
        })
    }

    fn tag(&self, position: usize) -> u8 {
        self.tags[position / 2] >> (position % 2 * 4) & 15
    }

    /// Bytes of a column's payload, which begins at `at`; checks that they are there.
    fn payload_bytes(&self, position: usize, at: usize) -> Result<usize, RowError> {
        let rest = self.payload.len() - at;
        let length = match self.tag(position) {
            tag::ABSENT | tag::NULL => 0,
            tag::INT_1_BYTE | tag::UINT_1_BYTE => 1,
            tag::INT_2_BYTES | tag::UINT_2_BYTES => 2,
            tag::INT_4_BYTES | tag::UINT_4_BYTES => 4,
            tag::INT_8_BYTES | tag::UINT_8_BYTES | tag::FLOAT => 8,
            tag::INT_16_BYTES => 16,
            tag::INT_32_BYTES => 32,
            tag::BYTES_SHORT => 1 + usize::from(*self.payload.get(at).ok_or(RowError("a length is missing"))?),
            tag::BYTES => {
                let bytes = self.payload[at..].first_chunk().ok_or(RowError("a length is missing"))?;
                4 + u32::from_le_bytes(*bytes) as usize
            }
            _ => return Err(RowError("unknown tag")),
        };
        if length > rest {
            return Err(RowError("a value is cut"));
        }
        Ok(length)
    }

    fn value(&self, position: usize, at: usize) -> Option<PhysicalRef<'a>> {
        let rest = &self.payload[at..];
        let signed = |bytes: usize| -> Option<i64> {
            let mut number = [if rest.get(bytes - 1)? & 0x80 != 0 { 0xff } else { 0 }; 8];
            number[..bytes].copy_from_slice(&rest[..bytes]);
            Some(i64::from_le_bytes(number))
        };
        let unsigned = |bytes: usize| -> Option<u64> {
            let mut number = [0; 8];
            number[..bytes].copy_from_slice(rest.get(..bytes)?);
            Some(u64::from_le_bytes(number))
        };
        Some(match self.tag(position) {
            tag::NULL => PhysicalRef::Null,
            tag::INT_1_BYTE => PhysicalRef::Int64(signed(1)?),
            tag::INT_2_BYTES => PhysicalRef::Int64(signed(2)?),
            tag::INT_4_BYTES => PhysicalRef::Int64(signed(4)?),
            tag::INT_8_BYTES => PhysicalRef::Int64(signed(8)?),
            tag::UINT_1_BYTE => PhysicalRef::UInt64(unsigned(1)?),
            tag::UINT_2_BYTES => PhysicalRef::UInt64(unsigned(2)?),
            tag::UINT_4_BYTES => PhysicalRef::UInt64(unsigned(4)?),
            tag::UINT_8_BYTES => PhysicalRef::UInt64(unsigned(8)?),
            tag::FLOAT => PhysicalRef::Float64(f64::from_le_bytes(*rest.first_chunk()?)),
            tag::INT_16_BYTES => PhysicalRef::Int128(i128::from_le_bytes(*rest.first_chunk()?)),
            tag::INT_32_BYTES => PhysicalRef::Int256(*rest.first_chunk()?),
            tag::BYTES_SHORT => PhysicalRef::Bytes(rest.get(1..1 + usize::from(*rest.first()?))?),
            tag::BYTES => {
                let length = u32::from_le_bytes(*rest.first_chunk()?) as usize;
                PhysicalRef::Bytes(rest.get(4..4 + length)?)
            }
            _ => return None,
        })
    }
}

/// What values of a type are stored as.
pub fn physical_type(ty: &MysqlType) -> PhysicalType {
    match &ty.kind {
        TypeKind::Int { unsigned: true, .. } | TypeKind::Bit { .. } | TypeKind::Enum(_) | TypeKind::Set(_) => {
            PhysicalType::UInt64
        }
        TypeKind::Int { .. }
        | TypeKind::Year
        | TypeKind::Null
        | TypeKind::Date
        | TypeKind::Time { .. }
        | TypeKind::DateTime { .. }
        | TypeKind::Timestamp { .. } => PhysicalType::Int64,
        TypeKind::Float { .. } | TypeKind::Double { .. } => PhysicalType::Float64,
        TypeKind::Decimal { precision: ..=18, .. } => PhysicalType::Int64,
        TypeKind::Decimal { precision: ..=38, .. } => PhysicalType::Int128,
        TypeKind::Decimal { .. } => PhysicalType::Int256,
        _ => PhysicalType::Bytes,
    }
}

/// The stored form of a value that has its column's type already (`store`): what does not is a bug, reported as 1105.
/// TIMESTAMP goes from the session's zone to UTC.
pub fn to_physical(value: &Value, ty: &MysqlType, zone: TimeZone) -> Result<PhysicalValue, SqlError> {
    let wrong = || SqlError::internal(format!("a value of another type in a column of type {:?}: {value:?}", ty.kind));
    if value.is_null() {
        return Ok(PhysicalValue::Null);
    }
    Ok(match (&ty.kind, value) {
        (TypeKind::Int { unsigned: false, .. } | TypeKind::Year, Value::Int(number)) => PhysicalValue::Int64(*number),
        (TypeKind::Int { unsigned: false, .. } | TypeKind::Year, Value::UInt(number)) => {
            PhysicalValue::Int64(i64::try_from(*number).map_err(|_| wrong())?)
        }
        (TypeKind::Int { unsigned: true, .. }, Value::UInt(number)) => PhysicalValue::UInt64(*number),
        (TypeKind::Int { unsigned: true, .. }, Value::Int(number)) => {
            PhysicalValue::UInt64(u64::try_from(*number).map_err(|_| wrong())?)
        }
        (TypeKind::Bit { .. }, Value::Bit(bits, _) | Value::UInt(bits)) => PhysicalValue::UInt64(*bits),
        (TypeKind::Enum(_), Value::Enum(index, _)) => PhysicalValue::UInt64((*index).into()),
        (TypeKind::Set(_), Value::Set(bits, _)) => PhysicalValue::UInt64(*bits),
        (TypeKind::Float { .. }, Value::Float(number)) => PhysicalValue::Float64((*number).into()),
        (TypeKind::Float { .. } | TypeKind::Double { .. }, Value::Double(number)) => PhysicalValue::Float64(*number),
        (TypeKind::Double { .. }, Value::Float(number)) => PhysicalValue::Float64((*number).into()),
        (TypeKind::Decimal { precision, scale, .. }, Value::Decimal(number)) => {
            let mantissa = number.round((*scale).into()).mantissa();
            match precision {
                ..=18 => PhysicalValue::Int64(i64::try_from(mantissa).map_err(|_| wrong())?),
                ..=38 => PhysicalValue::Int128(i128::try_from(mantissa).map_err(|_| wrong())?),
                _ => PhysicalValue::Int256(mantissa.to_le_bytes()),
            }
        }
        (TypeKind::Date, Value::Date(date)) => PhysicalValue::Int64(date.packed().into()),
        (TypeKind::DateTime { .. }, Value::DateTime(moment)) => PhysicalValue::Int64(moment.packed()),
        (TypeKind::Timestamp { .. }, Value::DateTime(moment)) if moment.packed() == 0 => PhysicalValue::Int64(0),
        (TypeKind::Timestamp { .. }, Value::DateTime(moment)) => {
            PhysicalValue::Int64(zone.to_utc_micros(*moment).ok_or_else(wrong)?)
        }
        (TypeKind::Time { .. }, Value::Time(time)) => PhysicalValue::Int64(time.micros()),
        (_, Value::Bytes(bytes)) if ty.is_binary() => PhysicalValue::Bytes(Bytes::copy_from_slice(bytes)),
        (TypeKind::Char { .. } | TypeKind::VarChar { .. } | TypeKind::Text { .. }, Value::Text(text)) => {
            PhysicalValue::Bytes(Bytes::copy_from_slice(text.as_bytes()))
        }
        (TypeKind::Json, Value::Json(document)) => PhysicalValue::Bytes(document.to_string().into()),
        _ => return Err(wrong()),
    })
}

/// The value of a stored column. TIMESTAMP comes in the session's zone.
pub fn from_physical(stored: PhysicalRef<'_>, ty: &MysqlType, zone: TimeZone) -> Result<Value, RowError> {
    Ok(match (&ty.kind, stored) {
        (_, PhysicalRef::Null) => Value::Null,
        (TypeKind::Year, PhysicalRef::Int64(number)) => {
            Value::UInt(u64::try_from(number).map_err(|_| RowError("a year out of range"))?)
        }
        (TypeKind::Int { .. }, PhysicalRef::Int64(number)) => Value::Int(number),
        (TypeKind::Int { .. }, PhysicalRef::UInt64(number)) => Value::UInt(number),
        (TypeKind::Bit { bits }, PhysicalRef::UInt64(number)) => Value::Bit(number, *bits),
        (TypeKind::Enum(members), PhysicalRef::UInt64(index)) => {
            let index = u16::try_from(index).map_err(|_| RowError("an ENUM index out of range"))?;
            let text = match index.checked_sub(1) {
                None => "",
                Some(position) => members.get(usize::from(position)).ok_or(RowError("an ENUM index out of range"))?,
            };
            Value::Enum(index, text.into())
        }
        (TypeKind::Set(members), PhysicalRef::UInt64(bits)) => Value::Set(bits, set_text(members, bits).into()),
        (TypeKind::Float { .. }, PhysicalRef::Float64(number)) => Value::Float(number as f32),
        (TypeKind::Double { .. }, PhysicalRef::Float64(number)) => Value::Double(number),
        (TypeKind::Decimal { scale, .. }, PhysicalRef::Int64(number)) => {
            Value::Decimal(Decimal::new(I256::from(number), *scale))
        }
        (TypeKind::Decimal { scale, .. }, PhysicalRef::Int128(number)) => {
            Value::Decimal(Decimal::new(I256::from(number), *scale))
        }
        (TypeKind::Decimal { scale, .. }, PhysicalRef::Int256(number)) => {
            Value::Decimal(Decimal::new(I256::from_le_bytes(number), *scale))
        }
        (TypeKind::Date, PhysicalRef::Int64(packed)) => {
            Value::Date(Date::from_packed(i32::try_from(packed).map_err(|_| RowError("a DATE out of range"))?))
        }
        (TypeKind::DateTime { fsp }, PhysicalRef::Int64(packed)) => {
            Value::DateTime(DateTime::from_packed(packed, *fsp))
        }
        (TypeKind::Timestamp { fsp }, PhysicalRef::Int64(0)) => Value::DateTime(DateTime::from_packed(0, *fsp)),
        (TypeKind::Timestamp { fsp }, PhysicalRef::Int64(micros)) => {
            Value::DateTime(zone.from_utc_micros(micros, *fsp).ok_or(RowError("a TIMESTAMP out of range"))?)
        }
        (TypeKind::Time { fsp }, PhysicalRef::Int64(micros)) => Value::Time(Time::new(micros, *fsp)),
        (TypeKind::Json, PhysicalRef::Bytes(bytes)) => {
            let text = std::str::from_utf8(bytes).map_err(|_| RowError("JSON that is not UTF-8"))?;
            Value::Json(Json::parse(text).map_err(|_| RowError("JSON that does not parse"))?)
        }
        (_, PhysicalRef::Bytes(bytes)) if ty.is_binary() => Value::Bytes(Arc::from(bytes)),
        (TypeKind::Char { .. } | TypeKind::VarChar { .. } | TypeKind::Text { .. }, PhysicalRef::Bytes(bytes)) => {
            Value::text(std::str::from_utf8(bytes).map_err(|_| RowError("text that is not UTF-8"))?)
        }
        _ => return Err(RowError("a column is stored as another type")),
    })
}

/// Members of a SET value, separated by commas.
pub fn set_text(members: &[String], bits: u64) -> String {
    let chosen: Vec<&str> = members
        .iter()
        .take(64)
        .enumerate()
        .filter(|(position, _)| bits & 1 << position != 0)
        .map(|(_, member)| member.as_str())
        .collect();
    chosen.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn physical() -> impl Strategy<Value = PhysicalValue> {
        prop_oneof![
            Just(PhysicalValue::Null),
            any::<i64>().prop_map(PhysicalValue::Int64),
            (-300i64..300).prop_map(PhysicalValue::Int64),
            any::<u64>().prop_map(PhysicalValue::UInt64),
            (0u64..70_000).prop_map(PhysicalValue::UInt64),
            (-1e300f64..1e300).prop_map(PhysicalValue::Float64),
            any::<i128>().prop_map(PhysicalValue::Int128),
            any::<[u8; 32]>().prop_map(PhysicalValue::Int256),
            prop::collection::vec(any::<u8>(), 0..600).prop_map(|bytes| PhysicalValue::Bytes(bytes.into())),
        ]
    }

    proptest! {
        #[test]
        fn rows_round_trip_whole_and_by_column(columns in prop::collection::btree_map(0u16..40, physical(), 0..12)) {
            let mut writer = RowWriter::new();
            for (column, value) in &columns {
                writer.put(ColumnId(*column), value.clone());
            }
            let row = writer.finish();
            let reader = RowReader::new(&row).unwrap();
            let read: Vec<_> = reader.columns().map(|(column, value)| (column.0, value.to_owned())).collect();
            prop_assert_eq!(read, columns.clone().into_iter().collect::<Vec<_>>());
            for column in 0..42 {
                let value = reader.get(ColumnId(column)).map(PhysicalRef::to_owned);
                prop_assert_eq!(value.as_ref(), columns.get(&column));
            }
        }

        #[test]
        fn hostile_bytes_give_errors_or_values_and_nothing_else(mut bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Some(first) = bytes.first_mut() {
                *first = VERSION;
            }
            if let Some(second) = bytes.get_mut(2) {
                *second = 0;
            }
            if let Ok(reader) = RowReader::new(&bytes) {
                prop_assert!(reader.columns().count() <= reader.column_count());
            }
        }
    }

    #[test]
    fn values_survive_storage() {
        let berlin = TimeZone::Named(chrono_tz::Europe::Berlin);
        let decimal = |precision| MysqlType::new(TypeKind::Decimal { precision, scale: 2, unsigned: false });
        let members: Arc<[String]> = Arc::from(["a".to_string(), "b".to_string(), "c".to_string()]);
        let moment = DateTime::new(Date::from_parts(2024, 7, 1), 3_600_000_000, 0);
        for (value, ty, text) in [
            (Value::Int(-7), MysqlType::bigint(), "-7"),
            (Value::UInt(u64::MAX), MysqlType::bigint_unsigned(), "18446744073709551615"),
            (Value::Decimal(Decimal::parse("12.5").unwrap()), decimal(5), "12.50"),
            (
                Value::Decimal(Decimal::parse("-12345678901234567890.1").unwrap()),
                decimal(30),
                "-12345678901234567890.10",
            ),
            (Value::Decimal(Decimal::parse("1e50").unwrap()), decimal(60), &format!("1{}.00", "0".repeat(50))),
            (Value::DateTime(moment), MysqlType::new(TypeKind::Timestamp { fsp: 0 }), "2024-07-01 01:00:00"),
            (Value::DateTime(moment), MysqlType::new(TypeKind::DateTime { fsp: 0 }), "2024-07-01 01:00:00"),
            (Value::Set(5, "a,c".into()), MysqlType::new(TypeKind::Set(members.clone())), "a,c"),
            (Value::Enum(2, "b".into()), MysqlType::new(TypeKind::Enum(members)), "b"),
            (Value::Float(0.1), MysqlType::new(TypeKind::Float { unsigned: false, display: None }), "0.1"),
        ] {
            let stored = to_physical(&value, &ty, berlin).unwrap();
            assert_eq!(PhysicalRef::from(&stored).physical_type(), Some(physical_type(&ty)), "{text}");
            let back = from_physical(PhysicalRef::from(&stored), &ty, berlin).unwrap();
            assert_eq!(back.to_text(), text);
        }
        let text = MysqlType::varchar(5, crate::collation::CollationId::UTF8MB4_BIN);
        assert!(to_physical(&Value::Int(1), &text, berlin).is_err());
        assert!(from_physical(PhysicalRef::Bytes(b"\xff"), &text, berlin).is_err());
    }
}
