//! Physical column types: what a stored row is made of, without MySQL's meaning.
//!
//! Compute maps every MySQL type onto one of these (`expr::row_encoding`), the page server stores and compares columns
//! by them. Order of physical values is the order of the MySQL values, but for text, where a collation decides.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[repr(u8)]
pub enum PhysicalType {
    /// Arrow `Int64`: integers, YEAR, DATE, DATETIME, TIMESTAMP, TIME (packed), DECIMAL up to 18 digits.
    Int64 = 2,
    /// Arrow `UInt64`: unsigned integers, BIT, ENUM (index), SET (bits).
    UInt64 = 3,
    /// Arrow `Float64`: FLOAT and DOUBLE.
    Float64 = 4,
    /// Arrow `Decimal128(38, 0)`: DECIMAL of 19 to 38 digits, unscaled.
    Int128 = 5,
    /// Arrow `Decimal256(76, 0)`: DECIMAL of more than 38 digits, unscaled.
    Int256 = 6,
    /// Arrow `Binary`: text (UTF-8), binary strings, JSON, geometry.
    Bytes = 7,
}

impl PhysicalType {
    pub fn from_tag(tag: u8) -> Option<PhysicalType> {
        Some(match tag {
            2 => PhysicalType::Int64,
            3 => PhysicalType::UInt64,
            4 => PhysicalType::Float64,
            5 => PhysicalType::Int128,
            6 => PhysicalType::Int256,
            7 => PhysicalType::Bytes,
            _ => return None,
        })
    }

    pub fn arrow(self) -> arrow::datatypes::DataType {
        use arrow::datatypes::DataType;
        match self {
            PhysicalType::Int64 => DataType::Int64,
            PhysicalType::UInt64 => DataType::UInt64,
            PhysicalType::Float64 => DataType::Float64,
            PhysicalType::Int128 => DataType::Decimal128(38, 0),
            PhysicalType::Int256 => DataType::Decimal256(76, 0),
            PhysicalType::Bytes => DataType::Binary,
        }
    }
}

/// One stored value. `Null` is SQL NULL; a column that a row does not have at all is `None` at the place of use.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum PhysicalValue {
    Null,
    Int64(i64),
    UInt64(u64),
    Float64(f64),
    Int128(i128),
    /// Two's complement, little endian.
    Int256([u8; 32]),
    Bytes(Bytes),
}

impl PhysicalValue {
    /// NULL has no type.
    pub fn physical_type(&self) -> Option<PhysicalType> {
        Some(match self {
            PhysicalValue::Null => return None,
            PhysicalValue::Int64(_) => PhysicalType::Int64,
            PhysicalValue::UInt64(_) => PhysicalType::UInt64,
            PhysicalValue::Float64(_) => PhysicalType::Float64,
            PhysicalValue::Int128(_) => PhysicalType::Int128,
            PhysicalValue::Int256(_) => PhysicalType::Int256,
            PhysicalValue::Bytes(_) => PhysicalType::Bytes,
        })
    }

    /// Order of two values of one type; `None` for values that have none between them.
    pub fn compare(&self, other: &PhysicalValue) -> Option<Ordering> {
        match (self, other) {
            (PhysicalValue::Int64(a), PhysicalValue::Int64(b)) => Some(a.cmp(b)),
            (PhysicalValue::UInt64(a), PhysicalValue::UInt64(b)) => Some(a.cmp(b)),
            (PhysicalValue::Float64(a), PhysicalValue::Float64(b)) => a.partial_cmp(b),
            (PhysicalValue::Int128(a), PhysicalValue::Int128(b)) => Some(a.cmp(b)),
            (PhysicalValue::Int256(a), PhysicalValue::Int256(b)) => {
                // Two's complement, little endian: the sign is in the last byte, then the bytes decide from the top.
                let key = |value: &[u8; 32]| {
                    let mut big: [u8; 32] = *value;
                    big.reverse();
                    big[0] ^= 0x80;
                    big
                };
                Some(key(a).cmp(&key(b)))
            }
            (PhysicalValue::Bytes(a), PhysicalValue::Bytes(b)) => Some(a.cmp(b)),
            _ => None,
        }
    }
}
