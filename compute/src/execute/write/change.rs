//! Rows that change or go: keys locked, duplicates found, entries moved, children and parents looked after.

use crate::execute::StatementContext;
use crate::execute::codec;
use crate::execute::write::assign;
use crate::execute::write::duplicate::duplicate_entry;
use crate::execute::write::foreign_key::{self, Parents};
use crate::execute::write::keeper::{self, Image, Keeper, TableRow};
use crate::txn::spill;
use bytes::Bytes;
use common::id::Lsn;
use common::key::Key;
use common::service::wal::LockMode;
use expr::SqlError;
use futures::FutureExt;
use futures::future::BoxFuture;
use std::collections::{HashMap, HashSet};

/// An update of one row.
#[derive(Debug, Clone)]
pub struct Change {
    pub old: TableRow,
    pub new: TableRow,
}

impl Change {
    /// A row with its assigned columns changed: what follows by itself is filled in (ON UPDATE CURRENT_TIMESTAMP,
    /// generated columns) and CHECKs are asked. `None` if the row stays the same.
    pub fn of(
        keeper: &Keeper,
        old: TableRow,
        mut new: TableRow,
        assigned: &[usize],
        context: &StatementContext<'_>,
    ) -> Result<Option<Change>, SqlError> {
        let table = &keeper.table;
        let stored = |row: &TableRow| codec::encode_row(table, &row.values, None, keeper.zone());
        let before = stored(&old)?;
        if before == stored(&new)? {
            return Ok(None);
        }
        for (position, column) in table.columns.iter().enumerate() {
            if column.on_update_now && !assigned.contains(&position) {
                new.values[position] = assign::now(column, &context.eval)?;
            }
        }
        keeper.complete(&mut new.values, 1, &context.eval)?;
        Ok(Some(Change { old, new }))
    }
}

/// Locks keys and reads what is stored under them (own writes included) at the LSN of the grant.
pub async fn lock_and_read(
    keys: Vec<Key>,
    mode: LockMode,
    context: &mut StatementContext<'_>,
) -> Result<(HashMap<Key, Option<Bytes>>, Lsn), SqlError> {
    lock_and_read_some(keys, Vec::new(), mode, context).await
}

/// As [`lock_and_read`]; `others` are locked only.
pub async fn lock_and_read_some(
    keys: Vec<Key>,
    others: Vec<Key>,
    mode: LockMode,
    context: &mut StatementContext<'_>,
) -> Result<(HashMap<Key, Option<Bytes>>, Lsn), SqlError> {
    let wanted = keys.iter().chain(&others).map(|key| (key.clone(), mode)).collect();
    let grant = context.locker().lock(wanted, None).await?;
    let rows = context.view(grant.lsn).at_grant(&grant).get(keys.clone()).await?;
    let rows = rows.into_iter().map(|version| version.map(|version| version.row));
    Ok((keys.into_iter().zip(rows).collect(), grant.lsn))
}

/// Applies updates of rows whose clustered keys are locked. `depth` counts how far foreign keys have led here.
pub fn update_rows<'a, 'c: 'a>(
    keeper: &'a Keeper,
    changes: Vec<Change>,
    depth: u32,
    context: &'a mut StatementContext<'c>,
) -> BoxFuture<'a, Result<(), SqlError>> {
    async move {
        let table = &*keeper.table;
        let mut images = Vec::with_capacity(changes.len());
        for change in &changes {
            images.push((keeper.image(&change.old)?, keeper.image(&change.new)?));
        }
        let stored = lock_moved_keys(table, &images, context).await?;
        verify_parents(table, &changes, context).await?;
        for (change, (old, new)) in changes.iter().zip(images) {
            for (index, key) in new.unique_keys(table) {
                if old.unique_keys(table).any(|(_, before)| before == key) {
                    continue;
                }
                let taken = match context.transaction.written(key) {
                    Some(row) => row.is_some(),
                    None => stored.get(key).is_some_and(Option::is_some),
                };
                if taken {
                    return Err(duplicate_entry(table, &table.indexes[index], &change.new.values));
                }
            }
            keeper::replace(old, new, context.transaction)?;
        }
        spill::relieve(context.transaction, &context.services.remote).await?;
        foreign_key::after_update(keeper, &changes, depth, context).await
    }
    .boxed()
}

/// Keys that rows leave or take are locked, so that others wait; what stands under unique ones is read. Entries that
/// are not unique are locked where they are new: they may be in a range that another transaction has read.
async fn lock_moved_keys(
    table: &crate::catalog::TableDef,
    images: &[(Image, Image)],
    context: &mut StatementContext<'_>,
) -> Result<HashMap<Key, Option<Bytes>>, SqlError> {
    let mut keys = Vec::new();
    let mut others = Vec::new();
    for (old, new) in images {
        let before: HashSet<&Key> = old.unique_keys(table).map(|(_, key)| key).collect();
        let after: HashSet<&Key> = new.unique_keys(table).map(|(_, key)| key).collect();
        keys.extend(before.symmetric_difference(&after).map(|key| (*key).clone()));
        let stays = |key: &Key| old.entries.iter().any(|(_, entry)| entry.key == *key);
        others.extend(new.other_keys(table).filter(|key| !stays(key) && **key != old.key).cloned());
    }
    keys.sort_unstable();
    keys.dedup();
    if keys.is_empty() && others.is_empty() {
        return Ok(HashMap::new());
    }
    Ok(lock_and_read_some(keys, others, LockMode::Exclusive, context).await?.0)
}

/// Rows whose foreign key columns changed must have parents.
async fn verify_parents(
    table: &crate::catalog::TableDef,
    changes: &[Change],
    context: &mut StatementContext<'_>,
) -> Result<(), SqlError> {
    let parents = Parents::of(table, context);
    let rows: Vec<Option<&[expr::Value]>> = changes
        .iter()
        .map(|change| parents.touches(table, &change.old.values, &change.new.values).then_some(&change.new.values[..]))
        .collect();
    match parents.verify(table, &rows, context).await?.into_iter().flatten().next() {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

/// Deletes rows whose clustered keys are locked, and what depends on them.
pub fn delete_rows<'a, 'c: 'a>(
    keeper: &'a Keeper,
    rows: Vec<TableRow>,
    depth: u32,
    context: &'a mut StatementContext<'c>,
) -> BoxFuture<'a, Result<(), SqlError>> {
    async move {
        let table = &*keeper.table;
        let mut images = Vec::with_capacity(rows.len());
        let mut keys = Vec::new();
        for row in &rows {
            let image = keeper.image(row)?;
            keys.extend(image.entries.iter().filter(|(_, entry)| entry.unique).map(|(_, entry)| entry.key.clone()));
            images.push(image);
        }
        let keys: Vec<_> = keys.into_iter().map(|key| (key, LockMode::Exclusive)).collect();
        let locker = context.locker();
        if !keys.is_empty() && !locker.holds_all(&keys) {
            locker.lock(keys, None).await?;
        }
        debug_assert_eq!(table.id, keeper.table.id);
        for image in images {
            keeper::remove(image, context.transaction)?;
        }
        spill::relieve(context.transaction, &context.services.remote).await?;
        foreign_key::after_delete(keeper, &rows, depth, context).await
    }
    .boxed()
}
