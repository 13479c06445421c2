//! One table's rows as they are written: keys, index entries, generated columns, CHECKs.

use crate::catalog::schema::KEY_EXPRESSION_PREFIX;
use crate::catalog::{ColumnDef, TableDef};
use crate::execute::codec::{self, Entry};
use crate::execute::expressions::TableExpressions;
use crate::execute::write::assign;
use crate::txn::Transaction;
use crate::txn::bulk::Outlet;
use bytes::Bytes;
use common::key::Key;
use expr::eval::{EvalContext, TimeZone, eval};
use expr::value::{Row, Value};
use expr::{ErrorCode, SqlError};
use std::sync::Arc;

/// A row of a table with its identity.
#[derive(Debug, Clone)]
pub struct TableRow {
    /// All columns.
    pub values: Row,
    /// Where the table is clustered by it.
    pub row_id: Option<u64>,
}

/// What a row is in storage: under its clustered key, and in every secondary index.
#[derive(Debug, Clone)]
pub struct Image {
    pub key: Key,
    pub row: Bytes,
    /// Position in the table's indexes, and the entry.
    pub entries: Vec<(usize, Entry)>,
}

impl Image {
    /// Keys that no other row may have, with the position of their index. The hidden row id is nobody else's anyway.
    pub fn unique_keys(&self, table: &TableDef) -> impl Iterator<Item = (usize, &Key)> {
        let clustered = (!table.has_hidden_row_id()).then_some((0, &self.key));
        let secondary =
            self.entries.iter().filter(|(_, entry)| entry.unique).map(|(index, entry)| (*index, &entry.key));
        clustered.into_iter().chain(secondary)
    }

    /// The rest of the keys: nobody else writes them, but they may lie in a range that somebody has locked.
    pub fn other_keys(&self, table: &TableDef) -> impl Iterator<Item = &Key> {
        let clustered = table.has_hidden_row_id().then_some(&self.key);
        let secondary = self.entries.iter().filter(|(_, entry)| !entry.unique).map(|(_, entry)| &entry.key);
        clustered.into_iter().chain(secondary)
    }
}

#[derive(Clone)]
pub struct Keeper {
    pub table: Arc<TableDef>,
    pub expressions: Arc<TableExpressions>,
    /// Numbers of the partitions that rows may be in, if not all.
    pub partitions: Option<Vec<u64>>,
    zone: TimeZone,
}

impl Keeper {
    pub fn new(table: Arc<TableDef>, expressions: Arc<TableExpressions>, zone: TimeZone) -> Keeper {
        Keeper { table, expressions, partitions: None, zone }
    }

    pub fn zone(&self) -> TimeZone {
        self.zone
    }

    pub fn image(&self, row: &TableRow) -> Result<Image, SqlError> {
        let (table, zone) = (&*self.table, self.zone);
        let key = codec::clustered_key(table, &row.values, row.row_id, zone)?;
        let mut entries = Vec::with_capacity(table.indexes.len() - 1);
        for (position, index) in table.indexes.iter().enumerate().skip(1).filter(|(_, index)| codec::is_stored(index)) {
            let of_index = codec::index_entries(table, index, &row.values, row.row_id, &key, zone)?;
            entries.extend(of_index.into_iter().map(|entry| (position, entry)));
        }
        Ok(Image { row: codec::encode_row(table, &row.values, row.row_id, zone)?, key, entries })
    }

    /// A stored row of this table.
    pub fn decode(&self, row: &[u8]) -> Result<TableRow, SqlError> {
        let (values, row_id) = codec::decode_all(&self.table, row, self.zone)?;
        Ok(TableRow { values, row_id })
    }

    /// Fills in generated columns and asks every CHECK.
    pub fn complete(&self, values: &mut Row, row_number: u64, context: &EvalContext) -> Result<(), SqlError> {
        for (position, expression) in &self.expressions.generated {
            let column = &self.table.columns[*position];
            let value = eval(expression, values, context).map_err(|error| of_array_index(error, column))?;
            values[*position] = assign::assign(column, value, row_number, context)?;
        }
        for (name, check) in &self.expressions.checks {
            if eval(check, values, context)?.to_bool(context)? == Some(false) {
                return Err(SqlError::new(
                    ErrorCode::CHECK_CONSTRAINT_VIOLATED,
                    format!("Check constraint '{name}' is violated."),
                ));
            }
        }
        self.check_partition(values, context)
    }

    /// Error 1526 for a row that no partition takes, 1748 for one of a partition that the statement leaves out.
    pub fn check_partition(&self, values: &Row, context: &EvalContext) -> Result<(), SqlError> {
        let Some(partition) = &self.expressions.partition else { return Ok(()) };
        if partition.total && self.partitions.is_none() {
            return Ok(());
        }
        let number = eval(&partition.number, values, context)?;
        if number.is_null() {
            let value = match &partition.value {
                Some(value) => match eval(value, values, context)? {
                    Value::Null => "NULL".to_owned(),
                    value => value.to_text().into_owned(),
                },
                None => "from column_list".to_owned(),
            };
            return Err(SqlError::new(ErrorCode(1526), format!("Table has no partition for value {value}")));
        }
        if let Some(allowed) = &self.partitions
            && !allowed.contains(&number.to_u64(context)?)
        {
            return Err(SqlError::new(ErrorCode(1748), "Found a row not matching the given partition set"));
        }
        Ok(())
    }
}

/// Errors of CAST(... AS ... ARRAY) name the index, which the hidden column is named after.
fn of_array_index(error: SqlError, column: &ColumnDef) -> SqlError {
    match (error.code, column.is_key_expression()) {
        (ErrorCode(3903 | 3904 | 3907), true) => {
            let index = column.name.trim_start_matches(KEY_EXPRESSION_PREFIX).split('!').next().unwrap_or_default();
            SqlError::new(error.code, format!("{} '{index}'", error.message))
        }
        _ => error,
    }
}

/// Writes a new row. The clustered key and unique entries carry what their locks observed; other entries belong to the
/// row and are guarded by its key.
pub fn put(image: Image, transaction: &mut Transaction) -> Result<(), SqlError> {
    for (_, entry) in image.entries {
        transaction.write(entry.key, Some(entry.row), None)?;
    }
    transaction.write(image.key, Some(image.row), None)
}

/// The same for a row that may go past the buffer.
pub fn put_new(image: Image, outlet: &mut Outlet, transaction: &mut Transaction) -> Result<(), SqlError> {
    for (_, entry) in image.entries {
        outlet.put(entry.key, entry.row, transaction)?;
    }
    outlet.put(image.key, image.row, transaction)
}

pub fn remove(image: Image, transaction: &mut Transaction) -> Result<(), SqlError> {
    for (_, entry) in image.entries {
        transaction.write(entry.key, None, None)?;
    }
    transaction.write(image.key, None, None)
}

/// Writes what is different between two states of one row.
pub fn replace(old: Image, new: Image, transaction: &mut Transaction) -> Result<(), SqlError> {
    let one_each = |entries: &[(usize, Entry)]| entries.windows(2).all(|pair| pair[0].0 != pair[1].0);
    if old.entries.len() != new.entries.len() || !one_each(&old.entries) || !one_each(&new.entries) {
        return replace_arrays(old, new, transaction);
    }
    for ((_, old), (_, new)) in old.entries.into_iter().zip(new.entries) {
        let same_key = old.key == new.key;
        if same_key && old.row == new.row {
            continue;
        }
        if !same_key {
            transaction.write(old.key, None, None)?;
        }
        transaction.write(new.key, Some(new.row), None)?;
    }
    if old.key != new.key {
        transaction.write(old.key, None, None)?;
    }
    transaction.write(new.key, Some(new.row), None)
}

/// The same where an index has any number of entries for a row: first those that go, then those that come.
fn replace_arrays(old: Image, new: Image, transaction: &mut Transaction) -> Result<(), SqlError> {
    for (_, entry) in &old.entries {
        if !new.entries.iter().any(|(_, other)| other.key == entry.key) {
            transaction.write(entry.key.clone(), None, None)?;
        }
    }
    for (_, entry) in new.entries {
        if !old.entries.iter().any(|(_, other)| *other == entry) {
            transaction.write(entry.key, Some(entry.row), None)?;
        }
    }
    if old.key != new.key {
        transaction.write(old.key, None, None)?;
    }
    transaction.write(new.key, Some(new.row), None)
}
