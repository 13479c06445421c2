//! CREATE, ALTER and DROP DATABASE.

use super::{lock_names, refuse_system_database, unknown_database};
use crate::catalog::{Catalog, DatabaseDef, storage};
use crate::execute::StatementContext;
use crate::session::result::Done;
use expr::collation::CollationId;
use expr::error::WarningLevel;
use expr::{ErrorCode, SqlError};

pub async fn create(
    name: &str,
    if_not_exists: bool,
    collation: Option<CollationId>,
    context: &mut StatementContext<'_>,
) -> Result<Done, SqlError> {
    let key = storage::database_key(name);
    let catalog = lock_names(vec![key.clone()], context).await?;
    if catalog.database(name).is_some() || is_system(name) {
        let message = format!("Can't create database '{name}'; database exists");
        if !if_not_exists {
            return Err(SqlError::new(ErrorCode::DB_CREATE_EXISTS, message));
        }
        context.warn(WarningLevel::Note, ErrorCode::DB_CREATE_EXISTS, message);
        return Ok(Done { affected_rows: 1, ..Done::default() });
    }
    if name.chars().count() > 64 {
        return Err(SqlError::new(ErrorCode::TOO_LONG_IDENT, format!("Identifier name '{name}' is too long")));
    }
    let definition =
        DatabaseDef { name: name.to_owned(), collation: collation.unwrap_or(CollationId::UTF8MB4_0900_AI_CI) };
    context.transaction.write(key, Some(storage::row_of(&definition)?), None)?;
    Ok(Done { affected_rows: 1, ..Done::default() })
}

fn is_system(name: &str) -> bool {
    ["information_schema", "performance_schema", "mysql", "sys"].contains(&name)
}

pub async fn alter(name: &str, collation: CollationId, context: &mut StatementContext<'_>) -> Result<Done, SqlError> {
    refuse_system_database(name)?;
    let key = storage::database_key(name);
    let catalog = lock_names(vec![key.clone()], context).await?;
    let database = catalog.database(name).ok_or_else(|| unknown_database(name))?;
    let definition = DatabaseDef { collation, ..(*database.definition).clone() };
    context.transaction.write(key, Some(storage::row_of(&definition)?), None)?;
    Ok(Done { affected_rows: 1, ..Done::default() })
}

/// Drops everything in it; affected rows are the tables and views dropped.
pub async fn drop(name: &str, if_exists: bool, context: &mut StatementContext<'_>) -> Result<Done, SqlError> {
    refuse_system_database(name)?;
    let catalog = lock_names(vec![storage::database_key(name)], context).await?;
    let Some(database) = catalog.database(name) else {
        let message = format!("Can't drop database '{name}'; database doesn't exist");
        if !if_exists {
            return Err(SqlError::new(ErrorCode::DB_DROP_EXISTS, message));
        }
        context.warn(WarningLevel::Note, ErrorCode::DB_DROP_EXISTS, message);
        return Ok(Done::default());
    };
    let tables = database.tables.keys().map(|table| storage::table_key(name, table));
    let views = database.views.keys().map(|view| storage::view_key(name, view));
    let mut keys: Vec<_> = tables.chain(views).collect();
    let dropped = keys.len() as u64;
    keys.extend(database.routines.values().map(|routine| storage::routine_key(routine.kind, name, &routine.name)));
    keys.extend(database.triggers.keys().map(|trigger| storage::trigger_key(name, trigger)));
    keys.extend(database.events.keys().map(|event| storage::event_key(name, event)));
    if context.settings.foreign_key_checks {
        refuse_if_referenced(&catalog, name)?;
    }
    if !keys.is_empty() {
        lock_names(keys.clone(), context).await?;
    }
    for key in keys {
        context.transaction.write(key, None, None)?;
    }
    context.transaction.write(storage::database_key(name), None, None)?;
    Ok(Done { affected_rows: dropped, ..Done::default() })
}

/// A table of another database may have a foreign key into this one.
fn refuse_if_referenced(catalog: &Catalog, name: &str) -> Result<(), SqlError> {
    for table in catalog.tables_by_id.values().filter(|table| table.database != name) {
        if let Some(key) = table.foreign_keys.iter().find(|key| key.parent_database == name) {
            return Err(SqlError::new(
                ErrorCode::FK_CANNOT_DROP_PARENT,
                format!(
                    "Cannot drop table '{}' referenced by a foreign key constraint '{}' on table '{}'.",
                    key.parent_table, key.name, table.name
                ),
            ));
        }
    }
    Ok(())
}
