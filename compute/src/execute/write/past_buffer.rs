//! Whether the rows of a statement may go to the store ahead of its commit (`txn::bulk`): nobody else must see their keys
//! before it, and the statement must not read them again.
//!
//! A table that the statement creates is that from the start. A table that was there and is empty becomes it by a lock on
//! all of it, taken when the rows have come to be many. A commit that relies on a locked range is refused by any leader but
//! the one that granted it, so nothing can have come in between even where the lock was lost.

use crate::catalog::TableDef;
use crate::execute::StatementContext;
use crate::execute::codec;
use crate::execute::write::duplicate::duplicate_key;
use crate::execute::write::keeper::{self, Image};
use crate::txn::bulk::{Duplicate, Outlet};
use crate::txn::{Transaction, ViewScan, spill};
use common::id::Lsn;
use common::key::KeyRange;
use common::service::page::ScanOutput;
use common::service::wal::{LockMode, LockWait};
use expr::{ErrorCode, SqlError};
use futures::StreamExt;

/// Which way the rows of a table take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Past {
    /// Through the buffer and the log.
    Never,
    /// Past the buffer once they are many, if the table turns out to be empty.
    IfEmpty,
    /// Past the buffer once they are many: the table is new.
    New,
}

impl Past {
    /// For a statement that writes rows to a table and refuses duplicates.
    pub fn of_existing(table: &TableDef, context: &StatementContext<'_>) -> Past {
        // Later statements of a transaction would not see the rows; a temporary table has no definition to rely on.
        match context.transaction.is_explicit() || is_own_parent(table) || table.version == Lsn::ZERO {
            true => Past::Never,
            false => Past::IfEmpty,
        }
    }

    pub fn of_new(table: &TableDef) -> Past {
        if is_own_parent(table) { Past::Never } else { Past::New }
    }
}

/// The way of one statement's rows into one table.
pub struct PastBuffer {
    past: Past,
    outlet: Outlet,
}

impl PastBuffer {
    pub fn new(past: Past, table: &TableDef) -> PastBuffer {
        PastBuffer { past, outlet: Outlet::new(KeyRange::table(table.id), past == Past::New) }
    }

    /// Nobody else sees the table's keys: duplicates are refused at the end, and no key is locked.
    pub fn is_of_new(&self) -> bool {
        self.past == Past::New
    }

    pub fn put(&mut self, image: Image, transaction: &mut Transaction) -> Result<(), SqlError> {
        keeper::put_new(image, &mut self.outlet, transaction)
    }

    /// After some rows were written.
    pub async fn relieve(&mut self, table: &TableDef, context: &mut StatementContext<'_>) -> Result<(), SqlError> {
        let remote = &context.services.remote;
        spill::relieve(context.transaction, remote).await?;
        if self.past == Past::IfEmpty && context.transaction.buffered_bytes() >= remote.bulk_bytes {
            self.past = if take_whole(table, context).await? { Past::New } else { Past::Never };
            if self.is_of_new() {
                self.outlet.let_pass();
            }
        }
        let relieved = self.outlet.relieve(context.transaction, &context.services.remote).await?;
        relieved.map_err(|Duplicate(key)| duplicate_key(table, &key))
    }

    /// After the last row.
    pub async fn finish(&mut self, table: &TableDef, context: &mut StatementContext<'_>) -> Result<(), SqlError> {
        let finished = self.outlet.finish(context.transaction).await?;
        finished.map_err(|Duplicate(key)| duplicate_key(table, &key))
    }
}

/// Then rows are looked up that the same statement wrote.
fn is_own_parent(table: &TableDef) -> bool {
    let own = |key: &crate::catalog::schema::ForeignKeyDef| {
        key.parent_table == table.name && key.parent_database == table.database
    };
    table.foreign_keys.iter().any(own)
}

/// Locks all keys of the table, without waiting; true if they are this transaction's alone and nothing is stored there.
async fn take_whole(table: &TableDef, context: &mut StatementContext<'_>) -> Result<bool, SqlError> {
    if !context.own_tables.tables.is_empty() {
        // LOCK TABLES: no locks are asked for, so nothing would make the commit depend on them.
        return Ok(false);
    }
    let stored = table.indexes.iter().filter(|index| codec::is_stored(index));
    let ranges: Vec<KeyRange> = stored.map(|index| KeyRange::index(table.id, index.id)).collect();
    let locks = ranges.iter().map(|range| (range.clone(), LockMode::Exclusive)).collect();
    let grant = match context.locker().lock_all(Vec::new(), locks, Some(LockWait::NoWait)).await {
        Ok(grant) => grant,
        Err(error) if error.code == ErrorCode::LOCK_NOWAIT => return Ok(false),
        Err(error) => return Err(error),
    };
    if !grant.known.is_empty() {
        // Somebody has just written there.
        return Ok(false);
    }
    let mut view = context.view(grant.lsn);
    view.buffer = Default::default();
    let scan = ViewScan { output: ScanOutput::Keys, ..ViewScan::rows(ranges.clone()).with_limit(1) };
    let found = view.scan(scan).next().await.transpose()?;
    if found.is_some() {
        return Ok(false);
    }
    let locks = context.transaction.locks();
    let mut locks = locks.lock();
    ranges.iter().for_each(|range| locks.cover(range));
    Ok(true)
}
