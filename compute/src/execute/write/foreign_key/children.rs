//! What a parent's change does to its children: refused, followed, or set to NULL, from table to table.

use super::{has_children, positions, same_values};
use crate::catalog::TableDef;
use crate::catalog::schema::{ForeignKeyDef, ReferentialAction};
use crate::execute::StatementContext;
use crate::execute::codec;
use crate::execute::ddl::leads_with;
use crate::execute::write::change::{Change, delete_rows, lock_and_read, update_rows};
use crate::execute::write::keeper::{Keeper, TableRow};
use crate::execute::write::{CHUNK_ROWS, assign};
use crate::txn::ViewScan;
use common::key::{Key, KeyRange};
use common::service::page::ScanBatch;
use common::service::wal::LockMode;
use expr::value::Value;
use expr::{ErrorCode, SqlError};
use futures::StreamExt;
use std::sync::Arc;

/// InnoDB's limit on how far one change may lead.
const DEPTH_MAX: u32 = 15;

/// A foreign key of another table (or of this one) that refers to the changed table.
struct ChildKey {
    child: Arc<TableDef>,
    definition: ForeignKeyDef,
    /// Position of the child's index that leads with the key's columns.
    index: usize,
    /// Positions of the referenced columns in the parent.
    referenced: Vec<usize>,
}

fn child_keys(parent: &TableDef, context: &StatementContext<'_>) -> Result<Vec<ChildKey>, SqlError> {
    let mut keys = Vec::new();
    if !context.settings.foreign_key_checks || context.catalog.is_temporary(parent) {
        return Ok(keys);
    }
    for child in context.catalog.tables_by_id.values() {
        for definition in &child.foreign_keys {
            if definition.parent_database != parent.database || definition.parent_table != parent.name {
                continue;
            }
            let index =
                child.indexes.iter().position(|index| leads_with(index, &definition.columns)).ok_or_else(|| {
                    SqlError::internal(format!(
                        "No index of {} serves its foreign key {}; add one over its columns",
                        child.name, definition.name
                    ))
                })?;
            let referenced = definition.parent_columns.iter().filter_map(|name| parent.column_index(name)).collect();
            keys.push(ChildKey { child: child.clone(), definition: definition.clone(), index, referenced });
        }
    }
    // In the order of their definitions, so that errors do not depend on chance.
    keys.sort_by_key(|key| (key.child.id, key.definition.name.clone()));
    Ok(keys)
}

/// After rows of a table were deleted in the buffer: their children.
pub async fn after_delete(
    keeper: &Keeper,
    rows: &[TableRow],
    depth: u32,
    context: &mut StatementContext<'_>,
) -> Result<(), SqlError> {
    for key in child_keys(&keeper.table, context)? {
        let parents: Vec<(&TableRow, Option<&TableRow>)> = rows.iter().map(|row| (row, None)).collect();
        key.follow(&parents, key.definition.on_delete, depth, context).await?;
    }
    Ok(())
}

/// After rows of a table were changed in the buffer: children of those whose referenced columns changed.
pub async fn after_update(
    keeper: &Keeper,
    changes: &[Change],
    depth: u32,
    context: &mut StatementContext<'_>,
) -> Result<(), SqlError> {
    for key in child_keys(&keeper.table, context)? {
        let moved =
            |change: &&Change| !same_values(&keeper.table, &key.referenced, &change.old.values, &change.new.values);
        let parents: Vec<_> = changes.iter().filter(moved).map(|change| (&change.old, Some(&change.new))).collect();
        key.follow(&parents, key.definition.on_update, depth, context).await?;
    }
    Ok(())
}

impl ChildKey {
    /// `parents`: rows as they were, and as they are now if they still are.
    async fn follow(
        &self,
        parents: &[(&TableRow, Option<&TableRow>)],
        action: ReferentialAction,
        depth: u32,
        context: &mut StatementContext<'_>,
    ) -> Result<(), SqlError> {
        let zone = context.eval.time_zone;
        let mut ranges: Vec<(KeyRange, usize)> = Vec::with_capacity(parents.len());
        for (position, (old, _)) in parents.iter().enumerate() {
            let values: Vec<Value> = self.referenced.iter().map(|&column| old.values[column].clone()).collect();
            if values.iter().any(Value::is_null) {
                continue;
            }
            let index = &self.child.indexes[self.index];
            if let Some(range) = codec::index_range(&self.child, index, &values, None, None, zone)? {
                ranges.push((range, position));
            }
        }
        if ranges.is_empty() {
            return Ok(());
        }
        ranges.sort_by(|left, right| left.0.start.cmp(&right.0.start));
        ranges.dedup_by(|left, right| left.0 == right.0);
        let found = self.find(&ranges, action, context).await?;
        if found.is_empty() {
            return Ok(());
        }
        if depth >= DEPTH_MAX {
            return Err(SqlError::new(
                ErrorCode(3008),
                format!("Foreign key cascade delete/update exceeds max depth of {DEPTH_MAX}."),
            ));
        }
        context.begin_write(&[&self.child]).await?;
        let keeper = Keeper::new(self.child.clone(), context.expressions(&self.child)?, context.eval.time_zone);
        for chunk in found.chunks(CHUNK_ROWS) {
            self.apply(&keeper, chunk, parents, action, depth, context).await?;
        }
        Ok(())
    }

    /// Clustered keys of children, each with the position of its parent. Error 1451 where the action refuses any.
    async fn find(
        &self,
        ranges: &[(KeyRange, usize)],
        action: ReferentialAction,
        context: &mut StatementContext<'_>,
    ) -> Result<Vec<(Key, usize)>, SqlError> {
        // Children that are not there have no version to check: the locks on their parents keep them away.
        context.transaction.locks().lock().rely_on_locks();
        let view = context.newest().await?;
        let refuses = !matches!(action, ReferentialAction::Cascade | ReferentialAction::SetNull);
        let mut scan = ViewScan::rows(ranges.iter().map(|(range, _)| range.clone()).collect());
        if refuses {
            scan = scan.with_limit(1);
        }
        let mut found = Vec::new();
        let mut batches = view.scan(scan);
        while let Some(batch) = batches.next().await {
            let ScanBatch::Rows(entries) = batch? else { continue };
            if refuses && !entries.is_empty() {
                return Err(has_children(&self.child, &self.definition));
            }
            for entry in entries {
                let at = ranges.partition_point(|(range, _)| range.start <= entry.key).saturating_sub(1);
                let key =
                    if self.index == 0 { entry.key } else { codec::clustered_key_of_entry(&self.child, &entry.row)? };
                found.push((key, ranges[at].1));
            }
        }
        Ok(found)
    }

    async fn apply(
        &self,
        keeper: &Keeper,
        found: &[(Key, usize)],
        parents: &[(&TableRow, Option<&TableRow>)],
        action: ReferentialAction,
        depth: u32,
        context: &mut StatementContext<'_>,
    ) -> Result<(), SqlError> {
        let keys = found.iter().map(|(key, _)| key.clone()).collect();
        let (mut stored, _) = lock_and_read(keys, LockMode::Exclusive, context).await?;
        let columns = positions(&self.child, &self.definition);
        let mut rows = Vec::new();
        for (key, parent) in found {
            // A row may have gone, or have found another parent, before it was locked.
            let Some(row) = stored.remove(key).flatten() else { continue };
            let row = keeper.decode(&row)?;
            let parent = &parents[*parent];
            let still = columns.iter().zip(&self.referenced).all(|(&own, &referenced)| {
                assign::is_same(&row.values[own], &parent.0.values[referenced], &self.child.columns[own].ty)
            });
            if still {
                rows.push((row, parent));
            }
        }
        if let (ReferentialAction::Cascade, true) = (action, parents.iter().all(|(_, new)| new.is_none())) {
            return delete_rows(keeper, rows.into_iter().map(|(row, _)| row).collect(), depth + 1, context).await;
        }
        let mut changes = Vec::with_capacity(rows.len());
        for (old, (_, parent)) in rows {
            let mut new = old.clone();
            for (&own, &referenced) in columns.iter().zip(&self.referenced) {
                new.values[own] = match (action, parent) {
                    (ReferentialAction::Cascade, Some(parent)) => {
                        assign::convert(&self.child.columns[own], parent.values[referenced].clone(), 1, &context.eval)?
                    }
                    _ => Value::Null,
                };
            }
            changes.extend(Change::of(keeper, old, new, &columns, context)?);
        }
        update_rows(keeper, changes, depth + 1, context).await
    }
}
