//! Between values and what is stored: rows, clustered keys, index entries, key ranges.
//!
//! Layout
//! - A row is stored under its clustered key with all its columns, those of the key included. A table without a key that
//!   can cluster has a hidden row id, a counter's value: the only part of its key, and column [`ROW_ID`] of its rows.
//! - An index entry's key has the index's parts; unless the index is unique and none of them is NULL, the clustered key's
//!   parts follow. Its row has the index's columns (but those cut to a prefix) and the clustered key's columns, so that
//!   readers find the row, and need it only for other columns.
//! - Position `table.columns.len()` in a list of columns is the hidden row id, as BIGINT UNSIGNED.

mod columns;
mod ranges;

pub use columns::{columns_of_rows, rows_of_columns, scan_columns};
pub use ranges::{Edge, index_prefix, index_range, unique_key, widen};

use crate::catalog::schema::{ColumnDef, IndexDef, IndexKind};
use crate::catalog::{TableDef, storage::CATALOG_TABLE};
use bytes::Bytes;
use common::id::ColumnId;
use common::key::{KEY_PREFIX_BYTES, Key};
use common::physical::PhysicalValue;
use expr::SqlError;
use expr::eval::{EvalContext, TimeZone};
use expr::key_encoding::{KeyBuilder, KeyPart};
use expr::mysql_type::{MysqlType, TypeKind};
use expr::row_encoding::{PhysicalRef, RowReader, RowWriter, from_physical, to_physical};
use expr::value::{Row, Value};
use std::sync::Arc;

/// Column of the hidden row id in stored rows; ids of columns begin at 1.
pub const ROW_ID: ColumnId = ColumnId(0);

/// What is decoded only to be encoded again needs no session's zone, and loses nothing in this one.
pub const UTC: TimeZone = TimeZone::Offset(0);

/// A key with what is stored under it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub key: Key,
    pub row: Bytes,
    /// No other row may have this key.
    pub unique: bool,
}

/// True for indexes that have entries.
pub fn is_stored(index: &IndexDef) -> bool {
    match index.kind {
        IndexKind::Btree => true,
        IndexKind::Array => index.unique,
        IndexKind::Fulltext | IndexKind::Spatial => false,
    }
}

/// A row of the clustered index. `values` are all columns of the table.
pub fn encode_row(table: &TableDef, values: &[Value], row_id: Option<u64>, zone: TimeZone) -> Result<Bytes, SqlError> {
    let mut writer = RowWriter::new();
    if let Some(row_id) = row_id {
        writer.put(ROW_ID, PhysicalValue::UInt64(row_id));
    }
    for (column, value) in table.columns.iter().zip(values) {
        writer.put(column.id, to_physical(value, &column.ty, zone)?);
    }
    Ok(writer.finish())
}

/// Some columns of a stored row, by position in the table. Rows stored before a column was added have its default.
/// For entries of an index: columns it does not have are not there and must not be asked for.
pub fn decode_row(table: &TableDef, positions: &[usize], row: &[u8], zone: TimeZone) -> Result<Row, SqlError> {
    let reader = RowReader::new(row)?;
    let mut values = Vec::with_capacity(positions.len());
    for &position in positions {
        values.push(match table.columns.get(position) {
            Some(column) => match reader.get(column.id) {
                Some(stored) => from_physical(stored, &column.ty, zone)?,
                None => added_value(column, zone)?,
            },
            None => row_id_of(&reader).map_or(Value::Null, Value::UInt),
        });
    }
    Ok(values)
}

/// All columns of a stored row, and its hidden row id if it has one.
pub fn decode_all(table: &TableDef, row: &[u8], zone: TimeZone) -> Result<(Row, Option<u64>), SqlError> {
    let positions: Vec<usize> = (0..table.columns.len()).collect();
    Ok((decode_row(table, &positions, row, zone)?, row_id_of(&RowReader::new(row)?)))
}

fn row_id_of(reader: &RowReader<'_>) -> Option<u64> {
    match reader.get(ROW_ID) {
        Some(PhysicalRef::UInt64(row_id)) => Some(row_id),
        _ => None,
    }
}

/// What rows have that were stored before the column was. The text is in UTC.
fn added_value(column: &ColumnDef, zone: TimeZone) -> Result<Value, SqlError> {
    match added_physical(column)? {
        PhysicalValue::Null => Ok(Value::Null),
        stored => Ok(from_physical(PhysicalRef::from(&stored), &column.ty, zone)?),
    }
}

/// The same as it would be stored: the default of scans that read columns.
pub fn added_physical(column: &ColumnDef) -> Result<PhysicalValue, SqlError> {
    match &column.added_default {
        None => Ok(PhysicalValue::Null),
        Some(text) => {
            let value = crate::execute::write::assign::literal_default(column, text, &EvalContext::constant())?;
            to_physical(&value, &column.ty, UTC)
        }
    }
}

/// Positions of the clustered key's columns; the hidden row id where that is the key.
pub fn clustered_positions(table: &TableDef) -> Vec<usize> {
    if table.has_hidden_row_id() {
        return vec![table.columns.len()];
    }
    let position =
        |part: &crate::catalog::schema::IndexPart| table.column_by_id(part.column).map(|(position, _)| position);
    table.clustered().parts.iter().filter_map(position).collect()
}

/// The key of a row. `values` are all columns of the table.
pub fn clustered_key(table: &TableDef, values: &[Value], row_id: Option<u64>, zone: TimeZone) -> Result<Key, SqlError> {
    let mut key = KeyBuilder::new(table.id, table.clustered().id);
    if table.has_hidden_row_id() {
        key.push_u64(
            row_id.ok_or_else(|| SqlError::internal("A row without its hidden row id; report this statement"))?,
        );
    } else {
        push_parts(&mut key, table, table.clustered(), values, None, zone)?;
    }
    Ok(key.finish())
}

/// Adds an index's parts; true if one of them is NULL. `item` takes the place of an array.
fn push_parts(
    key: &mut KeyBuilder,
    table: &TableDef,
    index: &IndexDef,
    values: &[Value],
    item: Option<&[u8]>,
    zone: TimeZone,
) -> Result<bool, SqlError> {
    let mut has_null = false;
    for part in &index.parts {
        let (position, column) = part_column(table, part.column)?;
        if let (TypeKind::Json, Some(item)) = (&column.ty.kind, item) {
            let ty = MysqlType::new(TypeKind::VarBinary { length: item.len() as u32 });
            key.push(&Value::Bytes(Arc::from(item)), &ty, KeyPart { descending: part.descending, prefix: None }, zone)?;
            continue;
        }
        let value = values.get(position).unwrap_or(&Value::Null);
        has_null |= value.is_null();
        key.push(value, &column.ty, KeyPart { descending: part.descending, prefix: part.prefix }, zone)?;
    }
    Ok(has_null)
}

fn part_column(table: &TableDef, id: ColumnId) -> Result<(usize, &ColumnDef), SqlError> {
    table
        .column_by_id(id)
        .ok_or_else(|| SqlError::internal(format!("The definition of {} has a key over a column it lacks", table.name)))
}

/// The entries of a row in a secondary index: one, or in an index of arrays one for each item. `clustered_key` is the
/// row's.
pub fn index_entries(
    table: &TableDef,
    index: &IndexDef,
    values: &[Value],
    row_id: Option<u64>,
    clustered_key: &Key,
    zone: TimeZone,
) -> Result<Vec<Entry>, SqlError> {
    let entry = |items: Option<&[u8]>| index_entry(table, index, values, items, row_id, clustered_key, zone);
    if index.kind != IndexKind::Array {
        return Ok(vec![entry(None)?]);
    }
    let mut items = Vec::new();
    for part in &index.parts {
        let (position, column) = part_column(table, part.column)?;
        if let (TypeKind::Json, Some(Value::Json(array))) = (&column.ty.kind, values.get(position)) {
            items.extend(array.0.as_array().into_iter().flatten().map(|item| item.to_string().into_bytes()));
        }
    }
    items.sort_unstable();
    items.dedup();
    items.iter().map(|item| entry(Some(item))).collect()
}

/// `item`: what stands for the array in its index.
fn index_entry(
    table: &TableDef,
    index: &IndexDef,
    values: &[Value],
    item: Option<&[u8]>,
    row_id: Option<u64>,
    clustered_key: &Key,
    zone: TimeZone,
) -> Result<Entry, SqlError> {
    let mut key = KeyBuilder::new(table.id, index.id);
    let has_null = push_parts(&mut key, table, index, values, item, zone)?;
    let unique = index.unique && !has_null;
    if !unique {
        key.push_encoded(&clustered_key[KEY_PREFIX_BYTES..]);
    }
    let mut writer = RowWriter::new();
    if let Some(row_id) = row_id {
        writer.put(ROW_ID, PhysicalValue::UInt64(row_id));
    }
    for (position, column) in table.columns.iter().enumerate() {
        let whole = |part: &crate::catalog::schema::IndexPart| part.column == column.id && part.prefix.is_none();
        let in_clustered = table.clustered().parts.iter().any(|part| part.column == column.id);
        if in_clustered || index.parts.iter().any(whole) {
            writer.put(column.id, to_physical(&values[position], &column.ty, zone)?);
        }
    }
    Ok(Entry { key: key.finish(), row: writer.finish(), unique })
}

/// True if every one of these columns can be read from entries of the index alone.
pub fn is_covered(table: &TableDef, index: &IndexDef, positions: &[usize]) -> bool {
    positions.iter().all(|&position| match table.columns.get(position) {
        Some(column) => {
            table.clustered().parts.iter().any(|part| part.column == column.id)
                || index.parts.iter().any(|part| part.column == column.id && part.prefix.is_none())
        }
        None => table.has_hidden_row_id(),
    })
}

/// The key of the row that an entry of a secondary index stands for. `entry_row` is what is stored in the entry.
pub fn clustered_key_of_entry(table: &TableDef, entry_row: &[u8]) -> Result<Key, SqlError> {
    let reader = RowReader::new(entry_row)?;
    let mut key = KeyBuilder::new(table.id, table.clustered().id);
    if table.has_hidden_row_id() {
        let damaged =
            || SqlError::internal(format!("An index entry of {} has no row id; run `drumlin doctor`", table.name));
        key.push_u64(row_id_of(&reader).ok_or_else(damaged)?);
        return Ok(key.finish());
    }
    for part in &table.clustered().parts {
        let (_, column) = part_column(table, part.column)?;
        let stored = reader.get(part.column).unwrap_or(PhysicalRef::Null);
        let value = from_physical(stored, &column.ty, UTC)?;
        key.push(&value, &column.ty, KeyPart { descending: part.descending, prefix: part.prefix }, UTC)?;
    }
    Ok(key.finish())
}

/// The type of a column by position; the hidden row id's behind the last.
pub fn column_type(table: &TableDef, position: usize) -> MysqlType {
    table
        .columns
        .get(position)
        .map_or_else(|| MysqlType::bigint_unsigned().with_nullable(false), |column| column.ty.clone())
}

/// A row of one column of bytes.
pub fn bytes_row(bytes: Bytes) -> Bytes {
    let mut writer = RowWriter::new();
    writer.put(ROW_ID, PhysicalValue::Bytes(bytes));
    writer.finish()
}

/// The bytes of a row made by [`bytes_row`].
pub fn row_bytes(row: &[u8]) -> Result<&[u8], SqlError> {
    match RowReader::new(row)?.get(ROW_ID) {
        Some(PhysicalRef::Bytes(bytes)) => Ok(bytes),
        _ => {
            Err(SqlError::internal(format!("A row of table {CATALOG_TABLE} is not a definition; run `drumlin doctor`")))
        }
    }
}

#[cfg(test)]
mod tests;
