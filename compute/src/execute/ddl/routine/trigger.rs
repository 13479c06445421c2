//! CREATE and DROP TRIGGER, and what becomes of triggers when their table is dropped or renamed.
//!
//! A trigger is a part of its table: the table's definition is written again with it, so that statements that were bound
//! without the trigger are bound again.

use super::*;
use crate::catalog::routine::{TriggerDef, TriggerEvent};

pub async fn create(
    name: &ObjectName,
    table_name: &ObjectName,
    definition: &ast::CreateTrigger,
    context: &mut StatementContext<'_>,
) -> Result<Done, SqlError> {
    refuse_made_up(name)?;
    check_name(&name.name)?;
    let key = storage::trigger_key(&name.database, &name.name);
    let mut keys = name_keys(table_name).to_vec();
    keys.extend([key.clone(), storage::database_key(&name.database)]);
    let catalog = lock_names(keys, context).await?;
    let database = catalog.database(&name.database).ok_or_else(|| unknown_database(&name.database))?;
    let table = find_table(&catalog, table_name)?;
    if catalog.is_temporary(&table) {
        let text = format!("Trigger's '{}' is view or temporary table", table.name);
        return Err(SqlError::new(ErrorCode(1361), text));
    }
    if database.triggers.contains_key(&name.name) {
        let message = "Trigger already exists";
        if !definition.if_not_exists {
            return Err(SqlError::new(ErrorCode(1359), message));
        }
        context.warn(WarningLevel::Note, ErrorCode(1359), message);
        return Ok(Done::default());
    }
    check_columns(&table, definition)?;
    let others = catalog.triggers(&table, definition.timing, definition.event);
    let at = match &definition.place {
        None => others.len(),
        Some((follows, other)) => {
            let found = others.iter().position(|trigger| trigger.name.eq_ignore_ascii_case(other));
            let found = found.ok_or_else(|| {
                let text =
                    format!("Referenced trigger '{other}' for the given action time and event type does not exist.");
                SqlError::new(ErrorCode(3011), text)
            })?;
            found + usize::from(*follows)
        }
    };
    let collation = database.definition.collation;
    let trigger = TriggerDef {
        database: name.database.clone(),
        name: name.name.clone(),
        table: table.name.clone(),
        timing: definition.timing,
        event: definition.event,
        order: at as u32 + 1,
        body: body(&definition.body, definition.definer.as_ref(), String::new(), collation, context),
        version: Lsn::ZERO,
    };
    context.transaction.write(key, Some(storage::row_of(&trigger)?), None)?;
    for other in others.iter().skip(at) {
        put(&TriggerDef { order: other.order + 1, ..(**other).clone() }, context)?;
    }
    put_table(&table, context)?;
    Ok(Done::default())
}

fn put(trigger: &TriggerDef, context: &mut StatementContext<'_>) -> Result<(), SqlError> {
    let key = storage::trigger_key(&trigger.database, &trigger.name);
    context.transaction.write(key, Some(storage::row_of(trigger)?), None)
}

/// 1363 for a row that the trigger does not have, 1054 for a column that the table does not have.
fn check_columns(table: &TableDef, definition: &ast::CreateTrigger) -> Result<(), SqlError> {
    for (is_new, column) in &definition.row_columns {
        let row = if *is_new { "NEW" } else { "OLD" };
        let lacks = match definition.event {
            TriggerEvent::Insert => !is_new,
            TriggerEvent::Delete => *is_new,
            TriggerEvent::Update => false,
        };
        if lacks {
            let text = format!("There is no {row} row in on {} trigger", definition.event.word());
            return Err(SqlError::new(ErrorCode(1363), text));
        }
        if table.column_index(column).is_none() {
            return Err(SqlError::new(ErrorCode::BAD_FIELD, format!("Unknown column '{column}' in '{row}'")));
        }
    }
    Ok(())
}

pub async fn drop(name: &ObjectName, if_exists: bool, context: &mut StatementContext<'_>) -> Result<Done, SqlError> {
    let key = storage::trigger_key(&name.database, &name.name);
    let of = |catalog: &Catalog| catalog.database(&name.database)?.triggers.get(&name.name).cloned();
    let mut keys = vec![key.clone()];
    if let Some(trigger) = of(&context.catalog) {
        keys.push(storage::table_key(&name.database, &trigger.table));
    }
    let catalog = lock_names(keys, context).await?;
    let Some(trigger) = of(&catalog) else {
        let message = "Trigger does not exist";
        if !if_exists {
            return Err(SqlError::new(ErrorCode(1360), message));
        }
        context.warn(WarningLevel::Note, ErrorCode(1360), message);
        return Ok(Done::default());
    };
    context.transaction.write(key, None, None)?;
    if let Some(table) = catalog.table(&name.database, &trigger.table).cloned() {
        for other in catalog.triggers(&table, trigger.timing, trigger.event) {
            if other.order > trigger.order {
                put(&TriggerDef { order: other.order - 1, ..(*other).clone() }, context)?;
            }
        }
        put_shared_table(&table, context)?;
    }
    Ok(Done::default())
}

fn of_table(catalog: &Catalog, table: &TableDef) -> Vec<Arc<TriggerDef>> {
    if catalog.is_temporary(table) {
        return Vec::new();
    }
    let Some(database) = catalog.database(&table.database) else { return Vec::new() };
    database.triggers.values().filter(|trigger| trigger.table == table.name).cloned().collect()
}

/// The table is dropped.
pub fn drop_with(catalog: &Catalog, table: &TableDef, context: &mut StatementContext<'_>) -> Result<(), SqlError> {
    for trigger in of_table(catalog, table) {
        context.transaction.write(storage::trigger_key(&trigger.database, &trigger.name), None, None)?;
    }
    Ok(())
}

/// The table gets another name. 1435 where it would leave its database.
pub fn follow(
    catalog: &Catalog,
    table: &TableDef,
    renamed: &TableDef,
    context: &mut StatementContext<'_>,
) -> Result<(), SqlError> {
    let triggers = of_table(catalog, table);
    if !triggers.is_empty() && table.database != renamed.database {
        return Err(SqlError::new(ErrorCode(1435), "Trigger in wrong schema"));
    }
    for trigger in triggers {
        put(&TriggerDef { table: renamed.name.clone(), ..(*trigger).clone() }, context)?;
    }
    Ok(())
}
