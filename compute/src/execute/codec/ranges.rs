//! Key ranges for conditions on an index's parts.

use super::part_column;
use crate::catalog::TableDef;
use crate::catalog::schema::{ColumnDef, IndexDef, IndexPart};
use crate::execute::write::assign;
use common::key::{Key, KeyRange};
use expr::SqlError;
use expr::eval::{EvalContext, TimeZone};
use expr::key_encoding::{KeyBound, KeyBuilder, KeyPart, range};
use expr::mysql_type::{MysqlType, TypeKind};
use expr::value::Value;
use expr::value::temporal::DateTime;

/// One end of a range, in the part of the index after the prefix.
#[derive(Debug, Clone)]
pub struct Edge {
    pub value: Value,
    pub inclusive: bool,
}

/// The key of a unique index with all its parts given; `None` if no stored value can be equal to one of `values`.
pub fn unique_key(
    table: &TableDef,
    index: &IndexDef,
    values: &[Value],
    zone: TimeZone,
) -> Result<Option<Key>, SqlError> {
    if values.iter().any(Value::is_null) {
        return Ok(None);
    }
    Ok(equal_parts(table, index, values, zone)?.map(KeyBuilder::finish))
}

/// How keys of an index begin whose first parts are these values (NULL allowed); `None` if no stored value can be equal
/// to one of them.
pub fn index_prefix(
    table: &TableDef,
    index: &IndexDef,
    values: &[Value],
    zone: TimeZone,
) -> Result<Option<Key>, SqlError> {
    Ok(equal_parts(table, index, values, zone)?.map(KeyBuilder::finish))
}

/// The part of an index that is equal to `prefix` (NULL to NULL) and between the edges after it; `None` if nothing can
/// be there. Where an index holds only a prefix of a value, the range holds more than the condition: check rows again.
pub fn index_range(
    table: &TableDef,
    index: &IndexDef,
    prefix: &[Value],
    low: Option<&Edge>,
    high: Option<&Edge>,
    zone: TimeZone,
) -> Result<Option<KeyRange>, SqlError> {
    let Some(key) = equal_parts(table, index, prefix, zone)? else { return Ok(None) };
    let Some(part) = index.parts.get(prefix.len()) else { return Ok(Some(KeyRange::prefix(key.bytes()))) };
    if low.or(high).is_none() {
        return Ok(Some(KeyRange::prefix(key.bytes())));
    }
    let (_, column) = part_column(table, part.column)?;
    let low = low.map(|edge| stored_edge(column, edge, zone)).transpose()?;
    let high = high.map(|edge| stored_edge(column, edge, zone)).transpose()?;
    // A value that has no place in the column's order bounds nothing here; the scan's filter still does.
    let bound = |edge: &'_ Option<Option<Edge>>| edge.clone().flatten();
    let (low, high) = (bound(&low), bound(&high));
    let low = low.as_ref().map(|edge| KeyBound { value: &edge.value, inclusive: edge.inclusive });
    let high = high.as_ref().map(|edge| KeyBound { value: &edge.value, inclusive: edge.inclusive });
    let range = range(&key, low, high, &column.ty, key_part(part), zone)?;
    Ok((!range.is_empty()).then_some(range))
}

/// A local time that comes twice is two moments to an index of a TIMESTAMP column: the range between them takes its part's
/// place, and what follows in the prefix is left to the scan's filter. `types`: of the prefix' expressions.
pub fn widen(
    table: &TableDef,
    index: &IndexDef,
    prefix: &mut Vec<Value>,
    types: &[MysqlType],
    edges: &mut [Option<Edge>; 2],
    zone: TimeZone,
) -> Result<(), SqlError> {
    for (at, (part, ty)) in index.parts.iter().zip(types).enumerate() {
        let (_, column) = part_column(table, part.column)?;
        let is_timestamp = |ty: &MysqlType| matches!(ty.kind, TypeKind::Timestamp { .. });
        if !is_timestamp(&column.ty) || is_timestamp(ty) {
            continue;
        }
        let local = match &prefix[at] {
            Value::DateTime(local) => *local,
            Value::Date(date) => DateTime::new(*date, 0, 0),
            _ => continue,
        };
        if let Some(passes) = zone.both_passes(local) {
            *edges = passes.map(|local| Some(Edge { value: Value::DateTime(local), inclusive: true }));
            if part.descending {
                edges.reverse();
            }
            prefix.truncate(at);
            return Ok(());
        }
    }
    Ok(())
}

fn key_part(part: &IndexPart) -> KeyPart {
    KeyPart { descending: part.descending, prefix: part.prefix }
}

fn equal_parts(
    table: &TableDef,
    index: &IndexDef,
    values: &[Value],
    zone: TimeZone,
) -> Result<Option<KeyBuilder>, SqlError> {
    let mut key = KeyBuilder::new(table.id, index.id);
    for (part, value) in index.parts.iter().zip(values) {
        let (_, column) = part_column(table, part.column)?;
        let Some(value) = as_stored(column, value, zone)? else { return Ok(None) };
        key.push(&value, &column.ty, key_part(part), zone)?;
    }
    Ok(Some(key))
}

/// The value as the column would hold it; `None` if the column cannot hold an equal one.
fn as_stored(column: &ColumnDef, value: &Value, zone: TimeZone) -> Result<Option<Value>, SqlError> {
    if value.is_null() {
        return Ok(Some(Value::Null));
    }
    let strict = EvalContext { strict_write: true, time_zone: zone, ..EvalContext::constant() };
    let Ok(stored) = assign::convert(column, value.clone(), 1, &strict) else { return Ok(None) };
    Ok(assign::is_same(&stored, value, &column.ty).then_some(stored))
}

/// An edge in the column's own values. A value between two of the column's is moved to where no row is lost.
fn stored_edge(column: &ColumnDef, edge: &Edge, zone: TimeZone) -> Result<Option<Edge>, SqlError> {
    let strict = EvalContext { strict_write: true, time_zone: zone, ..EvalContext::constant() };
    let Ok(value) = assign::convert(column, edge.value.clone(), 1, &strict) else { return Ok(None) };
    // Rounded: rows equal to the rounded value may or may not be wanted, so they are read.
    let exact = assign::is_same(&value, &edge.value, &column.ty);
    Ok(Some(Edge { value, inclusive: edge.inclusive || !exact }))
}
