//! ALTER TABLE ... EXCHANGE PARTITION: a partition and a table of the same form trade their rows.
//! Manual: "Exchanging Partitions and Subpartitions with Tables" (26.3.3).

use super::*;
use crate::catalog::TableDef;
use crate::execute::ddl::backfill::rows_of;
use crate::execute::write::auto_increment;
use crate::execute::write::duplicate::duplicate_entry;
use crate::execute::write::keeper::{self, Keeper, TableRow};
use crate::sql::bind::partition;
use expr::eval::eval;
use futures::StreamExt;

pub async fn exchange(
    name: &ObjectName,
    partition_name: &str,
    other: &ObjectName,
    validated: bool,
    context: &mut StatementContext<'_>,
) -> Result<Done, SqlError> {
    for table in [name, other] {
        refuse_made_up(table)?;
    }
    let keys = [name, other].map(|table| storage::table_key(&table.database, &table.name)).to_vec();
    let catalog = lock_names(keys, context).await?;
    // A view is opened like a table, and has no rows of its own.
    if [name, other].iter().any(|table| catalog.view(&table.database, &table.name).is_some()) {
        return Err(SqlError::new(ErrorCode(1177), "Can't open table"));
    }
    let (table, plain) = (find_table(&catalog, name)?, find_table(&catalog, other)?);
    let Some(text) = table.partitioning.as_deref().filter(|text| !text.is_empty()) else {
        return Err(SqlError::new(ErrorCode(1505), "Partition management on a not partitioned table is not possible"));
    };
    if catalog.is_temporary(&plain) {
        let text = format!("Table to exchange with partition is temporary: '{}'", plain.name);
        return Err(SqlError::new(ErrorCode(1733), text));
    }
    if plain.partitioning.as_ref().is_some_and(|text| !text.is_empty()) {
        let text = format!("Table to exchange with partition is partitioned: '{}'", plain.name);
        return Err(SqlError::new(ErrorCode(1732), text));
    }
    if !plain.foreign_keys.is_empty() {
        let text = format!("Table to exchange with partition has foreign key references: '{}'", plain.name);
        return Err(SqlError::new(ErrorCode(1740), text));
    }
    let partitioning = partition::parse_text(text)?;
    let number = partition::numbers(&partitioning, &[partition_name.to_owned()], &table.name)?[0];
    if !same_form(&table, &plain) {
        return Err(SqlError::new(ErrorCode(1736), "Tables have different definitions"));
    }
    context.rely_on(&table);
    context.rely_on(&plain);
    let of_table = keeper_of(&table, context)?;
    let of_plain = keeper_of(&plain, context)?;
    let mut leaving = Vec::new();
    for row in all_rows(&of_table, context).await? {
        if number_of(&of_table, &row, context)? == Some(number) {
            leaving.push(row);
        }
    }
    let coming = all_rows(&of_plain, context).await?;
    if validated {
        for row in &coming {
            if number_of(&of_table, row, context)? != Some(number) {
                return Err(SqlError::new(ErrorCode(1737), "Found a row that does not match the partition"));
            }
        }
    }
    for (keeper, rows) in [(&of_table, &leaving), (&of_plain, &coming)] {
        for row in rows {
            keeper::remove(keeper.image(row)?, context.transaction)?;
        }
    }
    put_all(&of_plain, leaving, context).await?;
    put_all(&of_table, coming, context).await?;
    Ok(Done::default())
}

fn keeper_of(table: &Arc<TableDef>, context: &StatementContext<'_>) -> Result<Keeper, SqlError> {
    Ok(Keeper::new(table.clone(), context.expressions(table)?, context.eval.time_zone))
}

async fn all_rows(keeper: &Keeper, context: &mut StatementContext<'_>) -> Result<Vec<TableRow>, SqlError> {
    let view = context.newest().await?;
    let cancel = context.queries.cancel.clone();
    let mut rows = Vec::new();
    let mut batches = rows_of(&keeper.table, &view);
    while let Some(batch) = batches.next().await {
        cancel.check()?;
        for row in batch? {
            rows.push(keeper.decode(&row.row)?);
        }
    }
    Ok(rows)
}

fn number_of(keeper: &Keeper, row: &TableRow, context: &StatementContext<'_>) -> Result<Option<u64>, SqlError> {
    let Some(partition) = &keeper.expressions.partition else { return Ok(None) };
    let number = eval(&partition.number, &row.values, &context.eval)?;
    if number.is_null() { Ok(None) } else { number.to_u64(&context.eval).map(Some) }
}

async fn put_all(keeper: &Keeper, rows: Vec<TableRow>, context: &mut StatementContext<'_>) -> Result<(), SqlError> {
    if rows.is_empty() {
        return Ok(());
    }
    let table = keeper.table.clone();
    let mut row_ids = None;
    if table.has_hidden_row_id() {
        let first = auto_increment::allocate_row_ids(&table, rows.len() as u64, context).await?;
        row_ids = Some(first..);
    }
    let view = context.newest().await?;
    for row in rows {
        let row = TableRow { values: row.values, row_id: row_ids.as_mut().and_then(Iterator::next) };
        let image = keeper.image(&row)?;
        for (index, key) in image.unique_keys(&table) {
            let taken = match context.transaction.written(key) {
                Some(written) => written.is_some(),
                None => view.get(vec![key.clone()]).await?.into_iter().next().flatten().is_some(),
            };
            if taken {
                return Err(duplicate_entry(&table, &table.indexes[index], &row.values));
            }
        }
        keeper::put(image, context.transaction)?;
    }
    Ok(())
}

/// The same columns in the same order, the same keys.
fn same_form(left: &TableDef, right: &TableDef) -> bool {
    let columns = left.columns.len() == right.columns.len()
        && left.columns.iter().zip(&right.columns).all(|(left, right)| {
            left.name.eq_ignore_ascii_case(&right.name) && left.ty == right.ty && left.generated == right.generated
        });
    let parts = |table: &TableDef| {
        let mut indexes: Vec<_> = table
            .indexes
            .iter()
            .map(|index| {
                let parts: Vec<_> = index
                    .parts
                    .iter()
                    .map(|part| (table.column_by_id(part.column).map(|(at, _)| at), part.prefix, part.descending))
                    .collect();
                (index.name.to_lowercase(), index.unique, parts)
            })
            .collect();
        indexes.sort();
        indexes
    };
    columns && parts(left) == parts(right) && left.engine.eq_ignore_ascii_case(&right.engine)
}
