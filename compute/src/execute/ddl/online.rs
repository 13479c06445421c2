//! Indexes of large tables are made while everybody goes on reading and writing.
//!
//! ```text
//! definition with the index "building" ─▶ rows in chunks, each its own transaction ─▶ definition with the index
//!   writers keep its entries, nobody reads it     rows held still, entries as they say      readers use it
//! ```
//!
//! Only the two changes of the definition hold the table still, for as long as open transactions need that have written
//! to it. A chunk locks its rows shared and reads them as they are then, so an entry never comes from an older row than the
//! one that is there; whoever changes the row later keeps its entries himself. Rows that come meanwhile have theirs already.
//!
//! Whoever builds holds a lock of a name of its own. Where a definition has an index that is being built and nobody holds
//! that lock, the builder is gone: any compute takes the index out again ([`drop_abandoned`]).

use super::*;
use crate::catalog::schema::IndexDef;
use crate::execute::Services;
use crate::execute::codec;
use crate::execute::write::duplicate::duplicate_entry;
use crate::txn::locking::NAMED_LOCKS;
use crate::txn::service_error::{lock_error, page_error};
use crate::txn::{self, Locker, ViewScan};
use common::id::{IndexId, Lsn, TableId, TxnId};
use common::key::{KeyRange, index_prefix};
use common::service::page::ScanBatch;
use common::service::wal::{LockError, LockRequest, LockWait, Tenure};
use futures::StreamExt;
use std::time::Duration;

/// Below this many rows, about, an index is made at once, with the table held still.
pub const ROWS_MIN: u64 = 5_000;
/// Rows that are locked at a time.
const CHUNK_ROWS: u64 = 500;
/// Of one chunk, whose rows others have locked or whose definition has changed.
const ATTEMPTS_MAX: u32 = 10;
/// How long a chunk waits for rows that others have locked before it tries again.
const ROWS_WAIT: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(20);

/// The lock of whoever builds indexes of a table.
pub struct Builder {
    remote: txn::Remote,
    txn: TxnId,
    key: Key,
    tenure: Tenure,
}

fn builder_key(table: TableId) -> Key {
    let mut key = index_prefix(NAMED_LOCKS, IndexId(1)).to_vec();
    key.extend(table.0.to_be_bytes());
    key.into()
}

impl Builder {
    /// `None`: somebody else builds.
    pub async fn of(table: TableId, remote: &txn::Remote, connection: u128) -> Result<Option<Builder>, SqlError> {
        let txn = TxnId((remote.new_id)() << 32 | connection & u128::from(u32::MAX));
        let key = builder_key(table);
        let request = LockRequest::keys(txn, vec![(key.clone(), LockMode::Exclusive)], LockWait::NoWait);
        match with_backoff(|| remote.wal.lock(request.clone())).await {
            Ok(reply) => Ok(Some(Builder { remote: remote.clone(), txn, key, tenure: reply.tenure() })),
            Err(LockError::NotAvailable) => Ok(None),
            Err(error) => Err(lock_error(error)),
        }
    }

    /// Takes the lock again where another leader knows nothing of it. False: somebody else has it by now.
    async fn is_kept(&mut self) -> Result<bool, SqlError> {
        if with_backoff(|| self.remote.wal.holds(self.tenure)).await.map_err(wal_error)? {
            return Ok(true);
        }
        let keys = vec![(self.key.clone(), LockMode::Exclusive)];
        let request = LockRequest::keys(self.txn, keys, LockWait::NoWait);
        match with_backoff(|| self.remote.wal.lock(request.clone())).await {
            Ok(reply) => {
                self.tenure = reply.tenure();
                Ok(true)
            }
            Err(LockError::NotAvailable) => Ok(false),
            Err(error) => Err(lock_error(error)),
        }
    }
}

impl Drop for Builder {
    fn drop(&mut self) {
        let (remote, txn) = (self.remote.clone(), self.txn);
        // Also where the statement is given up halfway. What is not heard ends with this node's connection.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { remote.wal.unlock(txn).await });
        }
    }
}

/// Whether indexes are made here: the lock of their builder, if so, which the statement may have already.
pub async fn applies(
    old: &TableDef,
    new: &TableDef,
    builder: Option<Builder>,
    context: &StatementContext<'_>,
) -> Result<Option<Builder>, SqlError> {
    if context.temporary.get(&old.database, &old.name).is_some() || !context.own_tables.tables.is_empty() {
        return Ok(None);
    }
    let new_ones = || new.indexes.iter().filter(|index| old.indexes.iter().all(|known| known.id != index.id));
    if !new_ones().all(codec::is_stored) || new_ones().next().is_none() {
        return Ok(None);
    }
    let remote = &context.services.remote;
    let rows = KeyRange::index(old.id, old.clustered().id);
    let estimate = with_backoff(|| remote.pages.estimate(rows.clone())).await.map_err(page_error)?;
    if estimate.rows < context.settings.online_rows_min {
        return Ok(None);
    }
    match builder {
        Some(builder) => Ok(Some(builder)),
        None => Builder::of(old.id, remote, context.transaction.id().0).await,
    }
}

/// `new` has indexes that `old` has not, and is the same otherwise; the transaction has the definition locked. Returns how
/// many rows there were.
pub async fn build(
    old: &TableDef,
    mut new: TableDef,
    mut builder: Builder,
    context: &mut StatementContext<'_>,
) -> Result<(), SqlError> {
    let added: Vec<IndexId> =
        new.indexes.iter().map(|index| index.id).filter(|id| old.indexes.iter().all(|known| known.id != *id)).collect();
    for index in new.indexes.iter_mut().filter(|index| added.contains(&index.id)) {
        index.building = true;
    }
    put_table(&new, context)?;
    commit_here(context).await?;
    let filled = fill(new.id, &added, &mut builder, context).await;
    *context.queries.progress.lock() = None;
    // The definition may have got other changes meanwhile.
    let name = definition_of(new.id, context)?;
    let catalog = lock_names(vec![storage::table_key(&name.database, &name.name)], context).await?;
    let Some(current) = catalog.tables_by_id.get(&new.id) else { return Err(gone()) };
    let mut current = (**current).clone();
    current.version = Lsn::ZERO;
    if let Err(error) = filled {
        current.indexes.retain(|index| !added.contains(&index.id));
        put_table(&current, context)?;
        commit_here(context).await?;
        return Err(error);
    }
    for index in current.indexes.iter_mut().filter(|index| added.contains(&index.id)) {
        index.building = false;
    }
    if !added.iter().all(|id| current.indexes.iter().any(|index| index.id == *id)) {
        return Err(gone());
    }
    put_table(&current, context)
}

fn gone() -> SqlError {
    SqlError::new(ErrorCode(1412), "Table definition has changed, please retry transaction")
}

/// The name that a table has now.
fn definition_of(table: TableId, context: &StatementContext<'_>) -> Result<ObjectName, SqlError> {
    let catalog = context.services.catalog.newest();
    let table = catalog.tables_by_id.get(&table).ok_or_else(gone)?;
    Ok(ObjectName { database: table.database.clone(), name: table.name.clone() })
}

/// Commits what the statement has done so far; it goes on in another transaction.
async fn commit_here(context: &mut StatementContext<'_>) -> Result<(), SqlError> {
    let connection = context.transaction.id().0 & u128::from(u32::MAX);
    let id = TxnId((context.services.remote.new_id)() << 32 | connection);
    let next = Transaction::new(id, context.transaction.isolation(), false, context.transaction.is_explicit());
    let done = std::mem::replace(context.transaction, next);
    let remote = &context.services.remote;
    if let Some(lsn) = txn::commit(done, remote).await.map_err(crate::txn::CommitFailure::into_sql_error)? {
        context.services.catalog.snapshot_at_least(lsn).await?;
    }
    Ok(())
}

/// Writes entries for all rows, chunk by chunk.
async fn fill(
    table: TableId,
    added: &[IndexId],
    builder: &mut Builder,
    context: &StatementContext<'_>,
) -> Result<(), SqlError> {
    let remote = &context.services.remote;
    let first = definition_of(table, context)?;
    let clustered =
        context.services.catalog.newest().table(&first.database, &first.name).map(|table| table.clustered().id);
    let whole = KeyRange::index(table, clustered.ok_or_else(gone)?);
    let all = with_backoff(|| remote.pages.estimate(whole.clone())).await.map_err(page_error)?.rows;
    let (mut rest, mut done, mut attempts) = (whole, 0, 0);
    loop {
        context.queries.cancel.check()?;
        *context.queries.progress.lock() = Some(format!("altering table: {done} of about {} rows", all.max(done)));
        if !builder.is_kept().await? {
            return Err(gone());
        }
        match chunk(table, added, &rest, context).await {
            Ok(None) => return Ok(()),
            Ok(Some((start, rows))) => {
                rest.start = start;
                done += rows;
                attempts = 0;
            }
            Err(error) if may_pass(&error) && attempts < ATTEMPTS_MAX => {
                attempts += 1;
                tokio::time::sleep(PAUSE * attempts).await;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Deadlock, lock wait timeout, another definition.
fn may_pass(error: &SqlError) -> bool {
    [ErrorCode::LOCK_DEADLOCK, ErrorCode::LOCK_WAIT_TIMEOUT, ErrorCode(1412)].contains(&error.code)
}

/// The first rows of a range. Where to go on, and how many they were; `None` at the end.
async fn chunk(
    table: TableId,
    added: &[IndexId],
    rest: &KeyRange,
    context: &StatementContext<'_>,
) -> Result<Option<(Key, u64)>, SqlError> {
    let remote = &context.services.remote;
    let lsn = newest_lsn(remote).await?;
    let connection = context.transaction.id().0 & u128::from(u32::MAX);
    let id = TxnId((remote.new_id)() << 32 | connection);
    let mut transaction = Transaction::new(id, Isolation::ReadCommitted, false, false);
    let scan = ViewScan::rows(vec![rest.clone()]).keys_only().with_limit(CHUNK_ROWS);
    let mut batches = transaction.view(&remote.pages, lsn).scan(scan);
    let mut keys: Vec<Key> = Vec::new();
    while let Some(batch) = batches.next().await {
        let ScanBatch::Rows(rows) = batch? else { continue };
        keys.extend(rows.into_iter().map(|row| row.key));
    }
    let Some(last) = keys.last() else { return Ok(None) };
    let next: Key = [last, &[0][..]].concat().into();
    let count = keys.len() as u64;
    let written = write_entries(table, added, keys, &mut transaction, context).await;
    match written {
        Ok(()) => {
            let committed = txn::commit(transaction, remote).await;
            committed.map_err(crate::txn::CommitFailure::into_sql_error)?;
            Ok(Some((next, count)))
        }
        Err(error) => {
            txn::roll_back(transaction, remote).await;
            Err(error)
        }
    }
}

async fn write_entries(
    table: TableId,
    added: &[IndexId],
    keys: Vec<Key>,
    transaction: &mut Transaction,
    context: &StatementContext<'_>,
) -> Result<(), SqlError> {
    let remote = &context.services.remote;
    let name = definition_of(table, context)?;
    let definition = storage::table_key(&name.database, &name.name);
    let locker = Locker {
        txn: transaction.id(),
        wait: LockWait::Timeout(ROWS_WAIT),
        locks: transaction.locks(),
        own: Arc::default(),
        ..context.locker()
    };
    // Nothing but the locks on the rows says that an entry is still right when it is committed.
    transaction.locks().lock().rely_on_locks();
    locker.defer(vec![(definition.clone(), LockMode::Shared)]);
    let shared = keys.iter().map(|key| (key.clone(), LockMode::Shared)).collect();
    let grant = locker.lock(shared, None).await?;
    let catalog = context.services.catalog.newest();
    let table = catalog.tables_by_id.get(&table).ok_or_else(gone)?;
    let indexes: Vec<&IndexDef> = table.indexes.iter().filter(|index| added.contains(&index.id)).collect();
    if indexes.len() != added.len() {
        return Err(gone());
    }
    transaction.check(definition, table.version);
    let rows = transaction.view(&remote.pages, grant.lsn).at_grant(&grant).get(keys.clone()).await?;
    let mut unique: Vec<(Key, Key, usize, Vec<expr::value::Value>)> = Vec::new();
    for (key, row) in keys.iter().zip(rows) {
        let Some(row) = row else { continue };
        let (values, row_id) = codec::decode_all(table, &row.row, codec::UTC)?;
        for (position, index) in indexes.iter().enumerate() {
            for entry in codec::index_entries(table, index, &values, row_id, key, codec::UTC)? {
                if entry.unique {
                    if transaction.written(&entry.key).is_some() {
                        return Err(duplicate_entry(table, index, &values));
                    }
                    unique.push((entry.key.clone(), key.clone(), position, values.clone()));
                }
                transaction.write(entry.key, Some(entry.row), None)?;
            }
        }
    }
    if unique.is_empty() {
        return Ok(());
    }
    // Rows that others have written since have their entries: one of another row is a duplicate.
    let entries: Vec<Key> = unique.iter().map(|(entry, ..)| entry.clone()).collect();
    let grant = locker.lock(entries.iter().map(|key| (key.clone(), LockMode::Exclusive)).collect(), None).await?;
    let stored = txn::ReadView::of(remote.pages.clone(), grant.lsn).at_grant(&grant);
    for ((_, row, position, values), there) in unique.iter().zip(stored.get(entries).await?) {
        if let Some(there) = there
            && codec::clustered_key_of_entry(table, &there.row)? != *row
        {
            return Err(duplicate_entry(table, indexes[*position], values));
        }
    }
    Ok(())
}

/// Takes indexes out of definitions whose builders are gone.
pub async fn drop_abandoned(services: &Services) {
    let catalog = services.catalog.newest();
    let building = |table: &&Arc<TableDef>| table.indexes.iter().any(|index| index.building);
    for table in catalog.tables_by_id.values().filter(building) {
        match drop_abandoned_of(table.id, services).await {
            Ok(false) => {}
            Ok(true) => {
                let name = format!("{}.{}", table.database, table.name);
                tracing::warn!(table = name, "took out an index that somebody had begun to build");
            }
            Err(error) => tracing::warn!(%error, "an abandoned index could not be taken out; it is tried again"),
        }
    }
}

/// False: its builder is there.
async fn drop_abandoned_of(table: TableId, services: &Services) -> Result<bool, SqlError> {
    let remote = &services.remote;
    let Some(_builder) = Builder::of(table, remote, 0).await? else { return Ok(false) };
    let catalog = services.catalog.newest();
    let Some(name) = catalog.tables_by_id.get(&table) else { return Ok(false) };
    let key = storage::table_key(&name.database, &name.name);
    let id = TxnId((remote.new_id)() << 32);
    let mut transaction = Transaction::new(id, Isolation::ReadCommitted, false, false);
    let locker = Locker {
        remote: remote.clone(),
        txn: id,
        wait: LockWait::Timeout(ROWS_WAIT),
        locks: transaction.locks(),
        own: Arc::default(),
        interrupt: Arc::new(|| Box::pin(std::future::pending())),
    };
    let taken_out = async {
        let grant = locker.lock(vec![(key.clone(), LockMode::Exclusive)], None).await?;
        transaction.locks().lock().rely_on_locks();
        wait_durable(&transaction.locks(), remote).await?;
        let lsn = newest_lsn(remote).await?.max(grant.lsn);
        let catalog = services.catalog.snapshot_at_least(lsn).await?;
        let Some(current) = catalog.tables_by_id.get(&table) else { return Ok(false) };
        let mut current = (**current).clone();
        let before = current.indexes.len();
        current.indexes.retain(|index| !index.building);
        current.version = Lsn::ZERO;
        if current.indexes.len() < before && storage::table_key(&current.database, &current.name) == key {
            transaction.write(key.clone(), Some(storage::row_of(&current)?), None)?;
            return Ok(true);
        }
        Ok(false)
    };
    match taken_out.await {
        Ok(true) => {
            txn::commit(transaction, remote).await.map_err(crate::txn::CommitFailure::into_sql_error)?;
            Ok(true)
        }
        outcome => {
            txn::roll_back(transaction, remote).await;
            outcome
        }
    }
}
