//! DROP TABLE and TRUNCATE.
//!
//! Neither touches rows: a dropped table's id is never used again, and a truncated table goes on under a new one. What is
//! stored under the old id stays until compaction on the page servers learns which table ids live.

use super::*;
use crate::execute::ddl::create_table::start_counter;
use common::id::CounterId;
use expr::error::WarningLevel;

pub async fn drop_tables(
    names: &[ObjectName],
    if_exists: bool,
    temporary: bool,
    context: &mut StatementContext<'_>,
) -> Result<Done, SqlError> {
    for name in names {
        refuse_made_up(name)?;
    }
    // What is the session's own needs no lock.
    let shared = names.iter().filter(|name| context.temporary.get(&name.database, &name.name).is_none());
    let keys: Vec<Key> = shared.map(|name| storage::table_key(&name.database, &name.name)).collect();
    let catalog =
        if temporary || keys.is_empty() { context.catalog.clone() } else { lock_names(keys, context).await? };
    let mut unknown = Vec::new();
    let mut dropped: Vec<Arc<TableDef>> = Vec::new();
    for name in names {
        match catalog.table(&name.database, &name.name) {
            Some(table) if dropped.iter().any(|other| other.id == table.id) => {
                return Err(SqlError::new(
                    ErrorCode::NONUNIQ_TABLE,
                    format!("Not unique table/alias: '{}'", name.name),
                ));
            }
            Some(table) if temporary && !catalog.is_temporary(table) => {
                unknown.push(format!("{}.{}", name.database, name.name));
            }
            Some(table) => dropped.push(table.clone()),
            None => unknown.push(format!("{}.{}", name.database, name.name)),
        }
    }
    if !unknown.is_empty() {
        if !if_exists {
            let message = format!("Unknown table '{}'", unknown.join(","));
            return Err(SqlError::new(ErrorCode::BAD_TABLE, message));
        }
        for name in unknown {
            context.warn(WarningLevel::Note, ErrorCode::BAD_TABLE, format!("Unknown table '{name}'"));
        }
    }
    if context.settings.foreign_key_checks {
        refuse_if_referenced(&catalog, &dropped)?;
    }
    for table in dropped {
        delete_table(&table, context)?;
        routine::trigger::drop_with(&catalog, &table, context)?;
    }
    Ok(Done::default())
}

/// A parent may go only together with its children.
fn refuse_if_referenced(catalog: &Catalog, dropped: &[Arc<TableDef>]) -> Result<(), SqlError> {
    for table in dropped.iter().filter(|table| !catalog.is_temporary(table)) {
        for child in children(catalog, &table.database, &table.name) {
            if dropped.iter().any(|other| other.id == child.id) {
                continue;
            }
            let key = child
                .foreign_keys
                .iter()
                .find(|key| key.parent_database == table.database && key.parent_table == table.name);
            return Err(SqlError::new(
                ErrorCode::FK_CANNOT_DROP_PARENT,
                format!(
                    "Cannot drop table '{}' referenced by a foreign key constraint '{}' on table '{}'.",
                    table.name,
                    key.map_or("", |key| &key.name),
                    child.name
                ),
            ));
        }
    }
    Ok(())
}

pub async fn truncate(name: &ObjectName, context: &mut StatementContext<'_>) -> Result<Done, SqlError> {
    refuse_made_up(name)?;
    let catalog = lock_names(vec![storage::table_key(&name.database, &name.name)], context).await?;
    // MySQL says of a view that there is no such table.
    if catalog.view(&name.database, &name.name).is_some() {
        return Err(no_such_table(name));
    }
    let table = find_table(&catalog, name)?;
    if context.settings.foreign_key_checks
        && let Some(child) = children(&catalog, &table.database, &table.name).first()
    {
        let key = child
            .foreign_keys
            .iter()
            .find(|key| key.parent_database == table.database && key.parent_table == table.name);
        return Err(SqlError::new(
            ErrorCode(1701),
            format!(
                "Cannot truncate a table referenced in a foreign key constraint (`{}`.`{}`, CONSTRAINT `{}`)",
                child.database,
                child.name,
                key.map_or("", |key| &key.name)
            ),
        ));
    }
    let id = allocate_table_id(context).await?;
    let table = TableDef { id, counter: CounterId(u64::from(id.0)), ..(*table).clone() };
    put_table(&table, context)?;
    start_counter(&table, 1, context);
    Ok(Done::default())
}
