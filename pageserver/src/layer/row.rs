//! Stored rows taken apart into columns; the bytes are `expr::row_encoding`'s, which also puts them together again.

use super::column::FormatError;
use bytes::Bytes;
use common::physical::{PhysicalType, PhysicalValue};
use expr::row_encoding::{PhysicalRef, RowReader};

/// One value per column, by column id; `None` where the row does not have the column.
pub type Fields = Vec<Option<PhysicalValue>>;

/// Byte strings share the row's memory.
pub fn decode(row: &Bytes) -> Result<Fields, FormatError> {
    let reader = RowReader::new(row).map_err(|error| FormatError(error.0))?;
    let mut fields = vec![None; reader.column_count()];
    for (column, value) in reader.columns() {
        if let Some(field) = fields.get_mut(usize::from(column.0)) {
            *field = Some(owned(row, value));
        }
    }
    Ok(fields)
}

/// A value that outlives its borrow; byte strings share the memory of `row`, which they lie in.
pub fn owned(row: &Bytes, value: PhysicalRef<'_>) -> PhysicalValue {
    match value {
        PhysicalRef::Bytes(bytes) => PhysicalValue::Bytes(row.slice_ref(bytes)),
        other => other.to_owned(),
    }
}

/// The physical type of a value; NULL has none.
pub fn physical(value: &PhysicalValue) -> Option<PhysicalType> {
    PhysicalRef::from(value).physical_type()
}
