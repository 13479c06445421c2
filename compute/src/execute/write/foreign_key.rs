//! Foreign keys: a child's row has a parent, and what happens to children when a parent goes or changes.
//!
//! A child's writer locks the parent's key shared and checks it at COMMIT; a parent's writer holds it exclusively. So
//! one waits for the other, and neither can commit on what the other took away.

mod children;

pub use children::{after_delete, after_update};

use crate::catalog::schema::ForeignKeyDef;
use crate::catalog::{Catalog, TableDef};
use crate::execute::StatementContext;
use crate::execute::codec;
use crate::execute::ddl::leads_with;
use crate::execute::show::foreign_key_line;
use crate::txn::ViewScan;
use common::key::{Key, KeyRange};
use common::service::page::ScanBatch;
use common::service::wal::LockMode;
use expr::value::Value;
use expr::{ErrorCode, SqlError};
use futures::StreamExt;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// The foreign keys of a table, with the indexes of their parents.
pub struct Parents {
    keys: Vec<ParentKey>,
}

struct ParentKey {
    definition: ForeignKeyDef,
    /// Positions of the child's columns.
    columns: Vec<usize>,
    /// The parent's definition and the index to find its rows by; `None`: there is no such table, so no row either.
    parent: Option<(Arc<TableDef>, usize)>,
}

impl Parents {
    /// Empty where foreign_key_checks=0.
    pub fn of(table: &TableDef, context: &mut StatementContext<'_>) -> Parents {
        if !context.settings.foreign_key_checks {
            return Parents { keys: Vec::new() };
        }
        let catalog = context.catalog.clone();
        let keys: Vec<ParentKey> =
            table.foreign_keys.iter().map(|definition| parent_key(definition, table, &catalog)).collect();
        for (parent, _) in keys.iter().filter_map(|key| key.parent.as_ref()) {
            context.rely_on(parent);
        }
        Parents { keys }
    }

    /// True if a foreign key's columns are not the same in both states of a row.
    pub fn touches(&self, table: &TableDef, old: &[Value], new: &[Value]) -> bool {
        self.keys.iter().any(|key| !same_values(table, &key.columns, old, new))
    }

    /// For each row, the error if it has no parent. `None` rows are not looked at. Rows before a row, and the row
    /// itself, count as parents where the table refers to itself.
    pub async fn verify(
        &self,
        table: &TableDef,
        rows: &[Option<&[Value]>],
        context: &mut StatementContext<'_>,
    ) -> Result<Vec<Option<SqlError>>, SqlError> {
        let mut errors: Vec<Option<SqlError>> = rows.iter().map(|_| None).collect();
        for key in &self.keys {
            let Some((parent, index)) = &key.parent else {
                for (row, error) in rows.iter().zip(&mut errors) {
                    let orphan = row.is_some_and(|row| key.columns.iter().all(|&column| !row[column].is_null()));
                    if orphan && error.is_none() {
                        *error = Some(no_parent(table, &key.definition));
                    }
                }
                continue;
            };
            key.verify(table, parent, *index, rows, &mut errors, context).await?;
        }
        Ok(errors)
    }
}

fn parent_key(definition: &ForeignKeyDef, table: &TableDef, catalog: &Catalog) -> ParentKey {
    let columns = positions(table, definition);
    let itself = definition.parent_database == table.database && definition.parent_table == table.name;
    let parent = if itself {
        Some(Arc::new(table.clone()))
    } else {
        catalog.table(&definition.parent_database, &definition.parent_table).cloned()
    };
    let parent = parent.and_then(|parent| {
        let index = referenced_index(&parent, definition)?;
        Some((parent, index))
    });
    ParentKey { definition: definition.clone(), columns, parent }
}

/// Positions of a foreign key's own columns.
fn positions(table: &TableDef, definition: &ForeignKeyDef) -> Vec<usize> {
    definition.columns.iter().filter_map(|id| table.column_by_id(*id).map(|(position, _)| position)).collect()
}

/// An index of the parent by which referenced rows are found; a unique one of just these columns if there is one.
fn referenced_index(parent: &TableDef, definition: &ForeignKeyDef) -> Option<usize> {
    let ids: Vec<_> = definition
        .parent_columns
        .iter()
        .map(|name| Some(parent.columns[parent.column_index(name)?].id))
        .collect::<Option<_>>()?;
    let serving = |exact: bool| {
        parent
            .indexes
            .iter()
            .position(|index| leads_with(index, &ids) && (!exact || (index.unique && index.parts.len() == ids.len())))
    };
    serving(true).or_else(|| serving(false))
}

/// Same stored values in these columns.
fn same_values(table: &TableDef, columns: &[usize], old: &[Value], new: &[Value]) -> bool {
    columns.iter().all(|&column| {
        let ty = &table.columns[column].ty;
        let stored = |value: &Value| expr::row_encoding::to_physical(value, ty, codec::UTC).ok();
        stored(&old[column]) == stored(&new[column])
    })
}

impl ParentKey {
    async fn verify(
        &self,
        table: &TableDef,
        parent: &TableDef,
        index: usize,
        rows: &[Option<&[Value]>],
        errors: &mut [Option<SqlError>],
        context: &mut StatementContext<'_>,
    ) -> Result<(), SqlError> {
        let zone = context.eval.time_zone;
        let index = &parent.indexes[index];
        let exact = index.unique && index.parts.len() == self.columns.len();
        // What each row looks for: None for a NULL in it (no parent needed), an error for a value no parent can have.
        let mut wanted: Vec<Option<Key>> = vec![None; rows.len()];
        for ((row, wanted), error) in rows.iter().zip(&mut wanted).zip(errors.iter_mut()) {
            let Some(row) = row else { continue };
            let values: Vec<Value> = self.columns.iter().map(|&column| row[column].clone()).collect();
            if values.iter().any(Value::is_null) {
                continue;
            }
            match codec::index_prefix(parent, index, &values, zone)? {
                Some(key) => *wanted = Some(key),
                None if error.is_none() => *error = Some(no_parent(table, &self.definition)),
                None => {}
            }
        }
        let distinct: HashSet<Key> = wanted.iter().flatten().cloned().collect();
        let mut found = if exact {
            find_exact(distinct.into_iter().collect(), context).await?
        } else {
            find_by_prefix(parent, distinct, context).await?
        };
        let itself = parent.id == table.id;
        for ((row, wanted), error) in rows.iter().zip(wanted).zip(errors) {
            if itself && let Some(row) = row {
                let referenced = self.definition.parent_columns.iter().filter_map(|name| parent.column_index(name));
                let values: Vec<Value> = referenced.map(|column| row[column].clone()).collect();
                found.extend(codec::index_prefix(parent, index, &values, zone)?);
            }
            if wanted.is_some_and(|wanted| !found.contains(&wanted)) && error.is_none() {
                *error = Some(no_parent(table, &self.definition));
            }
        }
        Ok(())
    }
}

/// Which of these keys have a row. All are locked shared.
async fn find_exact(keys: Vec<Key>, context: &mut StatementContext<'_>) -> Result<HashSet<Key>, SqlError> {
    if keys.is_empty() {
        return Ok(HashSet::new());
    }
    let (rows, _) = super::change::lock_and_read(keys, LockMode::Shared, context).await?;
    Ok(rows.into_iter().filter_map(|(key, row)| row.map(|_| key)).collect())
}

/// Which of these beginnings of keys have an entry. Of each, one row is locked shared.
async fn find_by_prefix(
    parent: &TableDef,
    prefixes: HashSet<Key>,
    context: &mut StatementContext<'_>,
) -> Result<HashSet<Key>, SqlError> {
    let mut rows_found: HashMap<Key, Key> = HashMap::new();
    if prefixes.is_empty() {
        return Ok(HashSet::new());
    }
    let view = context.newest().await?;
    for prefix in prefixes {
        let mut batches = view.scan(ViewScan::rows(vec![KeyRange::prefix(&prefix)]).with_limit(1));
        while let Some(batch) = batches.next().await {
            let ScanBatch::Rows(entries) = batch? else { continue };
            if let Some(entry) = entries.first() {
                let clustered =
                    common::key::table_and_index(&entry.key).map(|(_, index)| index) == Some(parent.clustered().id);
                let row =
                    if clustered { entry.key.clone() } else { codec::clustered_key_of_entry(parent, &entry.row)? };
                rows_found.insert(prefix.clone(), row);
                break;
            }
        }
    }
    drop(view);
    let keys: HashSet<Key> = rows_found.values().cloned().collect();
    let alive = find_exact(keys.into_iter().collect(), context).await?;
    Ok(rows_found.into_iter().filter(|(_, row)| alive.contains(row)).map(|(prefix, _)| prefix).collect())
}

fn no_parent(table: &TableDef, definition: &ForeignKeyDef) -> SqlError {
    SqlError::new(
        ErrorCode::NO_REFERENCED_ROW_2,
        format!(
            "Cannot add or update a child row: a foreign key constraint fails (`{}`.`{}`, {})",
            table.database,
            table.name,
            foreign_key_line(table, definition)
        ),
    )
}

fn has_children(child: &TableDef, definition: &ForeignKeyDef) -> SqlError {
    SqlError::new(
        ErrorCode::ROW_IS_REFERENCED_2,
        format!(
            "Cannot delete or update a parent row: a foreign key constraint fails (`{}`.`{}`, {})",
            child.database,
            child.name,
            foreign_key_line(child, definition)
        ),
    )
}
