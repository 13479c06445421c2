//! Assignment to a column: INSERT, UPDATE and LOAD DATA convert every value here.
//!
//! In strict mode what does not fit is an error with the column and the row; otherwise, and with IGNORE, MySQL's nearest
//! value is stored and a warning left. What comes out always fits the column. NULL passes; whether the column takes it is
//! the caller's question. Manual: "Out-of-Range and Overflow Handling" (13.1.7), "Server SQL Modes" (7.1.11).

use crate::error::{ErrorCode, SqlError};
use crate::eval::EvalContext;
use crate::mysql_type::{MysqlType, TypeKind};
use crate::value::Value;

mod double_text;
mod number;
pub(crate) mod string;
mod temporal;

pub use number::year_of_number;

/// The value as the column stores it.
pub fn store(
    value: Value,
    column: &str,
    row_number: u64,
    ty: &MysqlType,
    context: &EvalContext,
) -> Result<Value, SqlError> {
    if value.is_null() {
        return Ok(value);
    }
    let place = Place { column, row_number, context };
    match &ty.kind {
        TypeKind::Null => Ok(value),
        TypeKind::Int { bytes, unsigned, .. } => number::store_int(value, *bytes, *unsigned, &place),
        TypeKind::Bit { bits } => number::store_bit(value, *bits, &place),
        TypeKind::Year => number::store_year(value, &place),
        TypeKind::Float { unsigned, display } => number::store_float(value, *unsigned, *display, &place),
        TypeKind::Double { unsigned, display } => number::store_double(value, *unsigned, *display, &place),
        TypeKind::Decimal { precision, scale, unsigned } => {
            number::store_decimal(value, *precision, *scale, *unsigned, &place)
        }
        TypeKind::Date => temporal::store_date(value, &place),
        TypeKind::Time { fsp } => temporal::store_time(value, *fsp, &place),
        TypeKind::DateTime { fsp } => temporal::store_datetime(value, *fsp, &place),
        TypeKind::Timestamp { fsp } => temporal::store_timestamp(value, *fsp, &place),
        TypeKind::Char { length } => string::store_char(value, *length, ty.collation, &place),
        TypeKind::VarChar { length } => string::store_varchar(value, *length, ty.collation, &place),
        TypeKind::Text { size } => string::store_text(value, size.bytes_max(), ty.collation, &place),
        TypeKind::Binary { length } => string::store_short_binary(value, *length, true, &place),
        TypeKind::VarBinary { length } => string::store_short_binary(value, *length, false, &place),
        TypeKind::Blob { size } => string::store_binary(value, size.bytes_max(), false, &place),
        TypeKind::Enum(members) => string::store_enum(value, members, ty.collation, &place),
        TypeKind::Set(members) => string::store_set(value, members, ty.collation, &place),
        TypeKind::Json => string::store_json(value, &place),
        TypeKind::Geometry(_) => string::store_geometry(value),
    }
}

/// Where a value goes, for messages, and what happens to one that does not fit.
struct Place<'a> {
    column: &'a str,
    row_number: u64,
    context: &'a EvalContext,
}

impl Place<'_> {
    fn is_strict(&self) -> bool {
        self.context.strict_write && !self.context.ignore
    }

    /// 1264
    fn out_of_range(&self) -> Result<(), SqlError> {
        let message = format!("Out of range value for column '{}' at row {}", self.column, self.row_number);
        self.context.bad_value(ErrorCode::WARN_DATA_OUT_OF_RANGE, message)
    }

    fn truncated_message(&self) -> String {
        format!("Data truncated for column '{}' at row {}", self.column, self.row_number)
    }

    /// 1265
    fn truncated(&self) -> Result<(), SqlError> {
        self.context.bad_value(ErrorCode::WARN_DATA_TRUNCATED, self.truncated_message())
    }

    /// 1265 for a loss that is no error even in strict mode.
    fn truncated_note(&self) {
        self.context.note(ErrorCode::WARN_DATA_TRUNCATED, self.truncated_message());
    }

    /// 1366 `Incorrect integer value: 'abc' for column 'x' at row 1`.
    fn incorrect(&self, kind: &str, text: &str) -> Result<(), SqlError> {
        let message = self.incorrect_message(kind, text);
        self.context.bad_value(ErrorCode::TRUNCATED_WRONG_VALUE_FOR_FIELD, message)
    }

    /// 1292 in strict mode; otherwise a warning with `lenient_code`.
    fn incorrect_temporal(&self, kind: &str, text: &str, lenient_code: ErrorCode) -> Result<(), SqlError> {
        if self.is_strict() {
            return Err(SqlError::new(ErrorCode::TRUNCATED_WRONG_VALUE, self.incorrect_message(kind, text)));
        }
        if lenient_code == ErrorCode::WARN_DATA_OUT_OF_RANGE { self.out_of_range() } else { self.truncated() }
    }

    fn incorrect_message(&self, kind: &str, text: &str) -> String {
        let end = text.char_indices().nth(128).map_or(text.len(), |(end, _)| end);
        format!("Incorrect {kind} value: '{}' for column '{}' at row {}", &text[..end], self.column, self.row_number)
    }

    /// 1406 in strict mode, 1265 otherwise.
    fn too_long(&self) -> Result<(), SqlError> {
        if self.is_strict() {
            let message = format!("Data too long for column '{}' at row {}", self.column, self.row_number);
            return Err(SqlError::new(ErrorCode::DATA_TOO_LONG, message));
        }
        self.truncated()
    }
}

#[cfg(test)]
mod tests;
