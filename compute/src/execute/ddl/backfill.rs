//! Existing rows follow a changed definition: entries of new indexes, whole tables written anew, new constraints asked.
//!
//! Runs under the exclusive lock on the table's definition: nobody else writes to the table meanwhile. Entries of new
//! indexes and rows of new tables go to the object store as they become many (`txn::bulk`), and the commit names them there.

use crate::catalog::TableDef;
use crate::catalog::schema::IndexDef;
use crate::execute::StatementContext;
use crate::execute::codec;
use crate::execute::ddl::copied;
use crate::execute::expressions::TableExpressions;
use crate::execute::write::duplicate::{duplicate_entry, duplicate_key};
use crate::execute::write::foreign_key::Parents;
use crate::execute::write::keeper::{self, Keeper, TableRow};
use crate::execute::write::{CHUNK_ROWS, assign, auto_increment};
use crate::txn::bulk::{Duplicate, Outlet};
use crate::txn::{ReadView, ViewScan};
use common::id::IndexId;
use common::key::{Key, KeyRange};
use common::service::page::{Direction, ScanBatch, ScannedRow};
use common::service::wal::CounterBump;
use expr::SqlError;
use expr::eval::eval;
use expr::value::Value;
use futures::StreamExt;
use futures::stream::BoxStream;
use std::sync::Arc;

/// Rows of the clustered index.
pub fn rows_of(table: &TableDef, view: &ReadView) -> BoxStream<'static, Result<Vec<ScannedRow>, SqlError>> {
    let scan =
        ViewScan { batch_rows: CHUNK_ROWS, ..ViewScan::rows(vec![KeyRange::index(table.id, table.clustered().id)]) };
    view.scan(scan)
        .map(|batch| match batch? {
            ScanBatch::Rows(rows) => Ok(rows),
            ScanBatch::Columns(_) | ScanBatch::Aggregates(_) => {
                Err(SqlError::internal("The page server gave no rows where rows were asked for"))
            }
        })
        .boxed()
}

/// Writes entries for indexes that have none yet. `past_buffer`: the statement does not read them again.
pub async fn fill_indexes(
    table: &TableDef,
    indexes: &[IndexId],
    past_buffer: bool,
    context: &mut StatementContext<'_>,
) -> Result<(), SqlError> {
    let view = context.newest().await?;
    let cancel = context.queries.cancel.clone();
    let new = |index: &&crate::catalog::IndexDef| indexes.contains(&index.id) && codec::is_stored(index);
    let new: Vec<_> = table.indexes.iter().filter(new).collect();
    // One range for all: ids of new indexes follow each other, above those of all others.
    let ranges: Vec<KeyRange> = new.iter().map(|index| KeyRange::index(table.id, index.id)).collect();
    let Some(whole) = whole_of(&ranges) else { return Ok(()) };
    let mut outlet = Outlet::new(whole, past_buffer);
    let mut batches = rows_of(table, &view);
    while let Some(batch) = batches.next().await {
        cancel.check()?;
        for row in batch? {
            let (values, row_id) = codec::decode_all(table, &row.row, codec::UTC)?;
            for index in &new {
                for entry in codec::index_entries(table, index, &values, row_id, &row.key, codec::UTC)? {
                    if entry.unique && context.transaction.written(&entry.key).is_some_and(Option::is_some) {
                        return Err(duplicate_entry(table, index, &values));
                    }
                    outlet.put(entry.key, entry.row, context.transaction)?;
                }
            }
        }
        if let Err(Duplicate(key)) = outlet.relieve(context.transaction, &context.services.remote).await? {
            return Err(duplicate_of(table, &new, &key, &view).await?);
        }
    }
    drop(batches);
    match outlet.finish(context.transaction).await? {
        Ok(()) => Ok(()),
        Err(Duplicate(key)) => Err(duplicate_of(table, &new, &key, &view).await?),
    }
}

/// From the first to the last of some indexes of one table; `None` of none.
fn whole_of(ranges: &[KeyRange]) -> Option<KeyRange> {
    let (start, end) = (ranges.iter().map(|range| &range.start).min()?, ranges.iter().map(|range| &range.end).max()?);
    Some(KeyRange { start: start.clone(), end: end.clone() })
}

/// Error 1062 about a key that two rows of `view` have.
async fn duplicate_of(
    table: &TableDef,
    indexes: &[&IndexDef],
    key: &Key,
    view: &ReadView,
) -> Result<SqlError, SqlError> {
    let mut batches = rows_of(table, view);
    while let Some(batch) = batches.next().await {
        for row in batch? {
            let (values, row_id) = codec::decode_all(table, &row.row, codec::UTC)?;
            for index in indexes {
                let entries = codec::index_entries(table, index, &values, row_id, &row.key, codec::UTC)?;
                if entries.iter().any(|entry| entry.key == *key) {
                    return Ok(duplicate_entry(table, index, &values));
                }
            }
        }
    }
    Ok(duplicate_key(table, key))
}

/// Writes all rows of `old` under `new`'s id, in the form that `new` gives them, with all its indexes. Returns how many.
/// `past_buffer`: the statement does not read them again.
pub async fn rebuild(
    old: &TableDef,
    new: &mut TableDef,
    past_buffer: bool,
    context: &mut StatementContext<'_>,
) -> Result<u64, SqlError> {
    renumber(new);
    let expressions = Arc::new(TableExpressions::bind(new, &*context.binder)?);
    let keeper = Keeper::new(Arc::new(new.clone()), expressions, context.eval.time_zone);
    context.eval.strict_write = context.eval.sql_mode.is_strict();
    let view = context.newest().await?;
    let cancel = context.queries.cancel.clone();
    let sources: Vec<Option<usize>> =
        new.columns.iter().map(|column| old.column_by_id(column.id).map(|(position, _)| position)).collect();
    let mut outlet = Outlet::new(KeyRange::table(new.id), past_buffer);
    let mut batches = rows_of(old, &view);
    let mut records = 0;
    while let Some(batch) = batches.next().await {
        cancel.check()?;
        let batch = batch?;
        let mut row_ids = row_ids(old, &keeper.table, batch.len(), context).await?;
        for row in batch {
            records += 1;
            let (values, row_id) = codec::decode_all(old, &row.row, context.eval.time_zone)?;
            let row_id = row_ids.as_mut().map_or(row_id, Iterator::next);
            let mut new_values = Vec::with_capacity(sources.len());
            for (position, source) in sources.iter().enumerate() {
                let value = match source {
                    Some(source) => {
                        let (before, after) = (&old.columns[*source], &keeper.table.columns[position]);
                        copied::converted(before, after, values[*source].clone(), records, &context.eval)?
                    }
                    None => new_value(&keeper, position, &new_values, records, context).await?,
                };
                new_values.push(value);
            }
            keeper.complete(&mut new_values, records, &context.eval)?;
            let row_id = row_id.filter(|_| keeper.table.has_hidden_row_id());
            put_new(&keeper, TableRow { values: new_values, row_id }, &mut outlet, context)?;
        }
        let relieved = outlet.relieve(context.transaction, &context.services.remote).await?;
        relieved.map_err(|Duplicate(key)| duplicate_key(&keeper.table, &key))?;
    }
    drop(batches);
    let finished = outlet.finish(context.transaction).await?;
    finished.map(|()| records).map_err(|Duplicate(key)| duplicate_key(&keeper.table, &key))
}

/// A table under a new id counts its indexes from 0 again, and no row of it is older than any of its columns.
fn renumber(table: &mut TableDef) {
    for (number, index) in table.indexes.iter_mut().enumerate() {
        index.id = IndexId(number as u32);
    }
    table.next_index = table.indexes.len() as u32;
    table.columns.iter_mut().for_each(|column| column.added_default = None);
}

/// Row ids for rows that have none yet.
async fn row_ids(
    old: &TableDef,
    new: &TableDef,
    count: usize,
    context: &mut StatementContext<'_>,
) -> Result<Option<std::ops::Range<u64>>, SqlError> {
    if !new.has_hidden_row_id() || old.has_hidden_row_id() || count == 0 {
        return Ok(None);
    }
    let first = auto_increment::allocate_row_ids(new, count as u64, context).await?;
    Ok(Some(first..first + count as u64))
}

/// The value of a column that the old rows do not have.
async fn new_value(
    keeper: &Keeper,
    position: usize,
    values: &[Value],
    row_number: u64,
    context: &mut StatementContext<'_>,
) -> Result<Value, SqlError> {
    let table = keeper.table.clone();
    let column = &table.columns[position];
    if column.auto_increment {
        let number = auto_increment::allocate(&table, 1, 1, context).await?;
        return auto_increment::value(&table, position, number);
    }
    if column.generated.is_some() {
        return Ok(Value::Null);
    }
    if matches!(column.default, crate::catalog::schema::ColumnDefault::None) {
        return Ok(assign::implicit_default(&column.ty));
    }
    let mut known = values.to_vec();
    known.resize(table.columns.len(), Value::Null);
    assign::default(&table, position, &keeper.expressions, &known, row_number, &context.eval)
}

/// Nothing is stored under a new id but what this transaction wrote: its buffer knows every duplicate, and what has left it is
/// compared in the end.
fn put_new(
    keeper: &Keeper,
    row: TableRow,
    outlet: &mut Outlet,
    context: &mut StatementContext<'_>,
) -> Result<(), SqlError> {
    let image = keeper.image(&row)?;
    for (index, key) in image.unique_keys(&keeper.table) {
        if context.transaction.written(key).is_some_and(Option::is_some) {
            return Err(duplicate_entry(&keeper.table, &keeper.table.indexes[index], &row.values));
        }
    }
    keeper::put_new(image, outlet, context.transaction)
}

/// Every row has a parent by the foreign keys of these names.
pub async fn verify_foreign_keys(
    table: &TableDef,
    names: &[String],
    context: &mut StatementContext<'_>,
) -> Result<(), SqlError> {
    let mut only_new = table.clone();
    only_new.foreign_keys.retain(|key| names.contains(&key.name));
    let parents = Parents::of(&only_new, context);
    let view = context.newest().await?;
    let mut batches = rows_of(table, &view);
    while let Some(batch) = batches.next().await {
        let mut rows = Vec::new();
        for row in batch? {
            rows.push(codec::decode_all(table, &row.row, context.eval.time_zone)?.0);
        }
        let values: Vec<Option<&[Value]>> = rows.iter().map(|row| Some(&row[..])).collect();
        if let Some(error) = parents.verify(&only_new, &values, context).await?.into_iter().flatten().next() {
            return Err(error);
        }
    }
    Ok(())
}

/// No row violates the CHECKs of these names.
pub async fn verify_checks(
    table: &TableDef,
    names: &[String],
    context: &mut StatementContext<'_>,
) -> Result<(), SqlError> {
    let mut only_new = table.clone();
    only_new.checks.retain(|check| names.contains(&check.name));
    only_new.columns.iter_mut().for_each(|column| column.generated = None);
    let expressions = Arc::new(TableExpressions::bind(&only_new, &*context.binder)?);
    let keeper = Keeper::new(Arc::new(only_new), expressions, context.eval.time_zone);
    let view = context.newest().await?;
    let mut batches = rows_of(table, &view);
    while let Some(batch) = batches.next().await {
        for row in batch? {
            let mut row = keeper.decode(&row.row)?;
            keeper.complete(&mut row.values, 1, &context.eval)?;
        }
    }
    Ok(())
}

/// Deletes the rows of these partitions.
pub async fn empty_partitions(
    table: &Arc<TableDef>,
    numbers: &[u64],
    context: &mut StatementContext<'_>,
) -> Result<(), SqlError> {
    let expressions = context.expressions(table)?;
    let Some(partition) = &expressions.partition else { return Ok(()) };
    let keeper = Keeper::new(table.clone(), expressions.clone(), context.eval.time_zone);
    let view = context.newest().await?;
    let cancel = context.queries.cancel.clone();
    let mut batches = rows_of(table, &view);
    while let Some(batch) = batches.next().await {
        cancel.check()?;
        for row in batch? {
            let row = keeper.decode(&row.row)?;
            let number = eval(&partition.number, &row.values, &context.eval)?;
            if !number.is_null() && numbers.contains(&number.to_u64(&context.eval)?) {
                keeper::remove(keeper.image(&row)?, context.transaction)?;
            }
        }
    }
    Ok(())
}

/// Every row has a partition.
pub async fn verify_partitions(table: &TableDef, context: &mut StatementContext<'_>) -> Result<(), SqlError> {
    let expressions = Arc::new(TableExpressions::bind(table, &*context.binder)?);
    let keeper = Keeper::new(Arc::new(table.clone()), expressions, context.eval.time_zone);
    let view = context.newest().await?;
    let mut batches = rows_of(table, &view);
    while let Some(batch) = batches.next().await {
        for row in batch? {
            keeper.check_partition(&keeper.decode(&row.row)?.values, &context.eval)?;
        }
    }
    Ok(())
}

/// AUTO_INCREMENT = n: the counter goes there, but not below what rows have.
pub async fn set_counter(table: &TableDef, next: u64, context: &mut StatementContext<'_>) -> Result<(), SqlError> {
    let Some(column) = auto_increment::column(table) else { return Ok(()) };
    let leads = |index: &&crate::catalog::IndexDef| {
        codec::is_stored(index) && index.parts.first().is_some_and(|part| part.column == table.columns[column].id)
    };
    let mut least = 1;
    if let Some(index) = table.indexes.iter().find(leads) {
        let last = if index.parts[0].descending { Direction::Forward } else { Direction::Backward };
        let range = KeyRange::index(table.id, index.id);
        let scan = ViewScan { direction: last, ..ViewScan::rows(vec![range]) }.with_limit(1);
        let view = context.newest().await?;
        let mut batches = view.scan(scan);
        while let Some(batch) = batches.next().await {
            let ScanBatch::Rows(rows) = batch? else { continue };
            if let Some(row) = rows.first() {
                let greatest = codec::decode_row(table, &[column], &row.row, codec::UTC)?;
                least = greatest.first().and_then(auto_increment::explicit).map_or(1, |number| number + 1);
            }
        }
    }
    context.transaction.bump_counter(CounterBump { counter: table.counter, next: next.max(least), reset: true });
    Ok(())
}
