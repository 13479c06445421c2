//! Definitions: CREATE, ALTER, DROP, RENAME, TRUNCATE of databases, tables and views.
//!
//! Each runs in a transaction of its own that the session begins and commits. Names that change are locked exclusively,
//! as statements that write to a table hold them shared; so a change of a table waits for the transactions that wrote
//! to it, and none starts to write in between. The commit fails if a definition changed since it was read, or if the locks
//! were lost since; then the statement runs again.

mod alter;
mod backfill;
mod columns;
mod copied;
mod create_table;
mod database;
mod drop;
mod exchange;
mod expression_rules;
mod foreign_keys;
pub use foreign_keys::leads_with;
pub use indexes::HIDDEN;
pub use online::{ROWS_MIN, drop_abandoned};
mod indexes;
mod online;
mod partitions;
mod rename;
mod routine;
mod view;

use crate::catalog::{Catalog, Database, DatabaseDef, TableDef, storage, virtual_tables};
use crate::execute::StatementContext;
use crate::session::result::Done;
use crate::sql::plan::{Ddl, Isolation, ObjectName};
use crate::txn::Transaction;
use crate::txn::locking::wait_durable;
use crate::txn::service_error::{wal_error, with_backoff};
use crate::txn::snapshot::newest_lsn;
use common::id::{TableId, TxnId};
use common::key::Key;
use common::service::wal::{AllocateRequest, CounterBump, LockMode};
use expr::collation::CollationId;
use expr::{ErrorCode, SqlError};
use std::sync::Arc;

/// Runs a definition statement. What it changes is in the transaction; the session commits and then waits until the
/// catalog has reached the commit's LSN.
pub async fn execute(ddl: &Ddl, context: &mut StatementContext<'_>) -> Result<Done, SqlError> {
    let mark = context.transaction.mark();
    let temporary = context.temporary.definitions();
    let result = dispatch(ddl, context).await;
    if result.is_err() {
        context.temporary.restore(temporary);
        context.transaction.undo_to(mark);
    }
    result
}

async fn dispatch(ddl: &Ddl, context: &mut StatementContext<'_>) -> Result<Done, SqlError> {
    match ddl {
        Ddl::CreateDatabase { name, if_not_exists, collation } => {
            database::create(name, *if_not_exists, *collation, context).await
        }
        Ddl::AlterDatabase { name, collation } => database::alter(name, *collation, context).await,
        Ddl::DropDatabase { name, if_exists } => database::drop(name, *if_exists, context).await,
        Ddl::CreateTable(create) => create_table::create(create, context).await,
        Ddl::CreateTableLike { name, like, if_not_exists, temporary } => {
            create_table::create_like(name, like, *if_not_exists, *temporary, context).await
        }
        Ddl::DropTables { names, if_exists, temporary } => {
            drop::drop_tables(names, *if_exists, *temporary, context).await
        }
        Ddl::AlterTable { name, actions, .. } => alter::alter(name, actions, context).await,
        Ddl::RenameTables(pairs) => rename::rename(pairs, context).await,
        Ddl::Truncate(name) => drop::truncate(name, context).await,
        Ddl::CreateView(create) => view::create(create, context).await,
        Ddl::DropViews { names, if_exists } => view::drop(names, *if_exists, context).await,
        Ddl::Account(statement) => crate::execute::account::execute(statement, context).await,
        Ddl::CreateRoutine(spec) => routine::create(spec, context).await,
        Ddl::AlterRoutine { name, definition } => routine::alter(name, definition, context).await,
        Ddl::DropRoutine { kind, name, if_exists } => routine::drop(*kind, name, *if_exists, context).await,
        Ddl::CreateTrigger { name, table, definition } => {
            routine::trigger::create(name, table, definition, context).await
        }
        Ddl::DropTrigger { name, if_exists } => routine::trigger::drop(name, *if_exists, context).await,
        Ddl::CreateEvent(spec) => routine::event::create(spec, context).await,
        Ddl::AlterEvent { name, definition, schedule, rename } => {
            routine::event::alter(name, definition, schedule.as_ref(), rename.as_ref(), context).await
        }
        Ddl::DropEvent { name, if_exists } => routine::event::drop(name, *if_exists, context).await,
    }
}

/// Locks definitions for a change and answers with a catalog that has their newest versions.
pub(super) async fn lock_names(keys: Vec<Key>, context: &mut StatementContext<'_>) -> Result<Arc<Catalog>, SqlError> {
    let keys = keys.into_iter().map(|key| (key, LockMode::Exclusive)).collect();
    let grant = context.locker().lock_all(keys, Vec::new(), None).await?;
    // Rows that others write while an index is filled would be missing there, and no version tells of them.
    context.transaction.locks().lock().rely_on_locks();
    // A definition that was committed a moment ago is not durable yet; the catalog shows it when it is.
    wait_durable(&context.transaction.locks(), &context.services.remote).await?;
    let lsn = newest_lsn(&context.services.remote).await?.max(grant.lsn);
    let shared = context.services.catalog.snapshot_at_least(lsn).await?;
    context.catalog = context.temporary.over(&shared);
    Ok(context.catalog.clone())
}

/// A table id for a temporary table, at once for good: the statement's transaction may be rolled back, and an id must not
/// come again while rows may lie under it.
async fn allocate_temporary_id(context: &mut StatementContext<'_>) -> Result<TableId, SqlError> {
    let (id, bump) = next_table_id(context).await?;
    let remote = &context.services.remote;
    let mut alone = Transaction::new(TxnId((remote.new_id)()), Isolation::ReadCommitted, false, false);
    alone.bump_counter(bump);
    crate::txn::commit(alone, remote).await.map_err(crate::txn::CommitFailure::into_sql_error)?;
    Ok(id)
}

/// The keys under which a table or a view of this name may be.
fn name_keys(name: &ObjectName) -> [Key; 2] {
    [storage::table_key(&name.database, &name.name), storage::view_key(&name.database, &name.name)]
}

/// Of the server itself: nobody changes them as databases.
fn refuse_system_database(name: &str) -> Result<(), SqlError> {
    refuse_schema(name)?;
    match TAKES_TABLES.contains(&name) {
        true => Err(SqlError::new(ErrorCode(3554), format!("Access to system schema '{name}' is rejected."))),
        false => Ok(()),
    }
}

/// Databases of made-up tables beside which there may be tables, views and routines of users.
const TAKES_TABLES: [&str; 2] = ["mysql", "sys"];

/// What is made up when read is nobody's to define.
fn refuse_made_up(name: &ObjectName) -> Result<(), SqlError> {
    refuse_schema(&name.database)?;
    if TAKES_TABLES.contains(&name.database.as_str())
        && virtual_tables::tables_of(&name.database).any(|table| table.name == name.name)
    {
        let text = format!("Access to system table '{}.{}' is rejected.", name.database, name.name);
        return Err(SqlError::new(ErrorCode(3554), text));
    }
    Ok(())
}

fn refuse_schema(name: &str) -> Result<(), SqlError> {
    if ["information_schema", "performance_schema"].iter().any(|system| system.eq_ignore_ascii_case(name)) {
        return Err(SqlError::new(
            ErrorCode::DBACCESS_DENIED,
            format!("Access denied for user 'root'@'localhost' to database '{name}'"),
        ));
    }
    Ok(())
}

/// The catalog with a database in which something is to be made. What the server brings along is written down as a
/// database with its first table of a user.
fn with_home(
    database: &str,
    catalog: Arc<Catalog>,
    context: &mut StatementContext<'_>,
) -> Result<Arc<Catalog>, SqlError> {
    if catalog.database(database).is_some() || !TAKES_TABLES.contains(&database) {
        return Ok(catalog);
    }
    let definition = DatabaseDef { name: database.to_owned(), collation: CollationId::UTF8MB4_0900_AI_CI };
    context.transaction.write(storage::database_key(database), Some(storage::row_of(&definition)?), None)?;
    let mut catalog = (*catalog).clone();
    catalog.databases.insert(database.to_owned(), Database::new(Arc::new(definition)));
    Ok(Arc::new(catalog))
}

fn unknown_database(name: &str) -> SqlError {
    SqlError::new(ErrorCode::BAD_DB, format!("Unknown database '{name}'"))
}

fn no_such_table(name: &ObjectName) -> SqlError {
    SqlError::new(ErrorCode::NO_SUCH_TABLE, format!("Table '{}.{}' doesn't exist", name.database, name.name))
}

/// The table of that name, which must be one.
fn find_table(catalog: &Catalog, name: &ObjectName) -> Result<Arc<TableDef>, SqlError> {
    refuse_made_up(name)?;
    if let Some(table) = catalog.table(&name.database, &name.name) {
        return Ok(table.clone());
    }
    if catalog.view(&name.database, &name.name).is_some() {
        return Err(SqlError::new(
            ErrorCode::WRONG_OBJECT,
            format!("'{}.{}' is not BASE TABLE", name.database, name.name),
        ));
    }
    Err(no_such_table(name))
}

/// A new table id with its counter, which starts at `next`.
async fn allocate_table_id(context: &mut StatementContext<'_>) -> Result<TableId, SqlError> {
    let (id, bump) = next_table_id(context).await?;
    context.transaction.bump_counter(bump);
    Ok(id)
}

/// With what makes it last.
async fn next_table_id(context: &StatementContext<'_>) -> Result<(TableId, CounterBump), SqlError> {
    let request = AllocateRequest {
        counter: storage::TABLE_ID_COUNTER,
        count: 1,
        at_least: u64::from(storage::FIRST_USER_TABLE.0),
    };
    let id = with_backoff(|| context.services.remote.wal.allocate(request)).await.map_err(wal_error)?;
    let table = u32::try_from(id)
        .map_err(|_| SqlError::internal("No table ids are left: create a new cluster and move there"))?;
    let bump = CounterBump { counter: storage::TABLE_ID_COUNTER, next: id + 1, reset: false };
    Ok((TableId(table), bump))
}

/// Stores a table's definition under its name; where the name is a temporary table's, that one's.
fn put_table(table: &TableDef, context: &mut StatementContext<'_>) -> Result<(), SqlError> {
    if context.temporary.get(&table.database, &table.name).is_some() {
        context.temporary.put(table.clone());
        return Ok(());
    }
    put_shared_table(table, context)
}

fn put_shared_table(table: &TableDef, context: &mut StatementContext<'_>) -> Result<(), SqlError> {
    let key = storage::table_key(&table.database, &table.name);
    context.transaction.write(key, Some(storage::row_of(table)?), None)
}

fn delete_table(table: &TableDef, context: &mut StatementContext<'_>) -> Result<(), SqlError> {
    if context.temporary.get(&table.database, &table.name).is_some_and(|own| own.id == table.id) {
        context.temporary.remove(&table.database, &table.name);
        return Ok(());
    }
    context.transaction.write(storage::table_key(&table.database, &table.name), None, None)
}

/// Tables with a foreign key to this one, other than itself.
fn children<'c>(catalog: &'c Catalog, database: &str, name: &str) -> Vec<&'c Arc<TableDef>> {
    if catalog.names_temporary(database, name) {
        return Vec::new();
    }
    let points_here = |table: &&Arc<TableDef>| {
        (table.database != database || table.name != name)
            && table.foreign_keys.iter().any(|key| key.parent_database == database && key.parent_table == name)
    };
    catalog.tables_by_id.values().filter(points_here).collect()
}

#[cfg(test)]
mod bulk_tests;
#[cfg(test)]
mod tests;
