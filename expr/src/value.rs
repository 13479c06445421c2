//! A MySQL value at run time. Its type, where it matters, is in the expression or the column ([`crate::MysqlType`]).

use crate::value::{
    decimal::Decimal,
    json::Json,
    temporal::{Date, DateTime, Time},
};
use compact_str::CompactString;
use std::sync::Arc;

pub mod decimal;
pub mod json;
pub mod number_text;
pub mod temporal;

/// Text is UTF-8 whatever the column's character set; conversion happens where values enter and leave.
#[derive(Debug, Clone, Default)]
pub enum Value {
    #[default]
    Null,
    /// TINYINT to BIGINT, and the result of comparisons.
    Int(i64),
    /// The UNSIGNED ones, and YEAR.
    UInt(u64),
    /// FLOAT: kept apart from DOUBLE for its shortest text form.
    Float(f32),
    Double(f64),
    Decimal(Decimal),
    Text(CompactString),
    /// BINARY, VARBINARY, BLOB, GEOMETRY, and hexadecimal and bit literals.
    Bytes(Arc<[u8]>),
    Date(Date),
    /// DATETIME, and TIMESTAMP in the session's time zone.
    DateTime(DateTime),
    Time(Time),
    Json(Json),
    /// A text with a number: index of the member (0 for the error value '').
    Enum(u16, CompactString),
    /// A text with a number: bit n for member n.
    Set(u64, CompactString),
    /// BIT(n): number in numeric contexts, (n+7)/8 bytes in string contexts.
    Bit(u64, u8),
}

pub type Row = Vec<Value>;

impl Value {
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    pub fn text(text: impl AsRef<str>) -> Value {
        Value::Text(CompactString::new(text))
    }

    pub fn boolean(truth: bool) -> Value {
        Value::Int(truth as i64)
    }

    pub fn bytes(bytes: impl AsRef<[u8]>) -> Value {
        Value::Bytes(Arc::from(bytes.as_ref()))
    }

    /// Rough memory that the value holds outside of itself.
    pub fn heap_bytes(&self) -> usize {
        let text_bytes = |text: &CompactString| if text.is_heap_allocated() { text.capacity() } else { 0 };
        match self {
            Value::Text(text) | Value::Enum(_, text) | Value::Set(_, text) => text_bytes(text),
            Value::Bytes(bytes) => bytes.len(),
            Value::Json(document) => document.heap_bytes(),
            _ => 0,
        }
    }
}
