//! RENAME TABLE, also of several at once, and of views. Rows stay where they are: keys carry the table's id.

use super::*;
use crate::catalog::{Catalog, TableDef};

pub async fn rename(pairs: &[(ObjectName, ObjectName)], context: &mut StatementContext<'_>) -> Result<Done, SqlError> {
    let mut keys = Vec::new();
    for (old, new) in pairs {
        refuse_made_up(old)?;
        refuse_made_up(new)?;
        keys.extend(name_keys(old));
        keys.extend(name_keys(new));
        keys.push(storage::database_key(&new.database));
    }
    keys.sort();
    keys.dedup();
    let mut catalog = lock_names(keys, context).await?;
    for (_, new) in pairs {
        catalog = with_home(&new.database, catalog, context)?;
    }
    let mut catalog = (*catalog).clone();
    for (old, new) in pairs {
        rename_one(old, new, &mut catalog, context).await?;
    }
    Ok(Done::default())
}

/// `catalog` is changed too: the next pair may use a name that this one frees.
async fn rename_one(
    old: &ObjectName,
    new: &ObjectName,
    catalog: &mut Catalog,
    context: &mut StatementContext<'_>,
) -> Result<(), SqlError> {
    if old.database != new.database && catalog.view(&old.database, &old.name).is_some() {
        let text = format!("Changing schema from '{}' to '{}' is not allowed.", old.database, new.database);
        return Err(SqlError::new(ErrorCode(1450), text));
    }
    let target = catalog.database(&new.database).ok_or_else(|| unknown_database(&new.database))?;
    if target.tables.contains_key(&new.name) || target.views.contains_key(&new.name) {
        return Err(SqlError::new(ErrorCode::TABLE_EXISTS, format!("Table '{}' already exists", new.name)));
    }
    if catalog.view(&old.database, &old.name).is_some() {
        return rename_view(old, new, catalog, context);
    }
    let table = find_table(catalog, old)?;
    let renamed = renamed(&table, new);
    delete_table(&table, context)?;
    put_table(&renamed, context)?;
    routine::trigger::follow(catalog, &table, &renamed, context)?;
    follow_children(&table, &renamed, catalog, context).await?;
    if let Some(database) = catalog.databases.get_mut(&old.database) {
        database.tables.remove(&old.name);
    }
    let renamed = Arc::new(renamed);
    catalog.tables_by_id.insert(renamed.id, renamed.clone());
    if let Some(database) = catalog.databases.get_mut(&new.database) {
        database.tables.insert(new.name.clone(), renamed);
    }
    Ok(())
}

/// The same table under another name: generated names of constraints and references to itself follow.
pub fn renamed(table: &TableDef, new: &ObjectName) -> TableDef {
    let mut renamed = TableDef { database: new.database.clone(), name: new.name.clone(), ..table.clone() };
    let keys_prefix = format!("{}_ibfk_", table.name);
    let checks_prefix = format!("{}_chk_", table.name);
    for key in &mut renamed.foreign_keys {
        if let Some(number) = key.name.strip_prefix(&keys_prefix) {
            key.name = format!("{}_ibfk_{number}", new.name);
        }
        if key.parent_database == table.database && key.parent_table == table.name {
            key.parent_database = new.database.clone();
            key.parent_table = new.name.clone();
        }
    }
    for check in &mut renamed.checks {
        if let Some(number) = check.name.strip_prefix(&checks_prefix) {
            check.name = format!("{}_chk_{number}", new.name);
        }
    }
    renamed
}

/// Foreign keys of other tables go on pointing to the table.
pub async fn follow_children(
    old: &TableDef,
    new: &TableDef,
    catalog: &mut Catalog,
    context: &mut StatementContext<'_>,
) -> Result<(), SqlError> {
    let children: Vec<TableDef> =
        children(catalog, &old.database, &old.name).into_iter().map(|child| (**child).clone()).collect();
    if children.is_empty() {
        return Ok(());
    }
    let keys = children.iter().map(|child| storage::table_key(&child.database, &child.name)).collect();
    lock_names(keys, context).await?;
    for mut child in children {
        for key in &mut child.foreign_keys {
            if key.parent_database == old.database && key.parent_table == old.name {
                key.parent_database = new.database.clone();
                key.parent_table = new.name.clone();
            }
        }
        put_table(&child, context)?;
        let child = Arc::new(child);
        catalog.tables_by_id.insert(child.id, child.clone());
        if let Some(database) = catalog.databases.get_mut(&child.database) {
            database.tables.insert(child.name.clone(), child);
        }
    }
    Ok(())
}

fn rename_view(
    old: &ObjectName,
    new: &ObjectName,
    catalog: &mut Catalog,
    context: &mut StatementContext<'_>,
) -> Result<(), SqlError> {
    if old.database != new.database {
        return Err(SqlError::new(
            ErrorCode(1450),
            format!("Changing schema from '{}' to '{}' is not allowed.", old.database, new.database),
        ));
    }
    let Some(database) = catalog.databases.get_mut(&old.database) else { return Err(unknown_database(&old.database)) };
    let Some(view) = database.views.remove(&old.name) else { return Err(no_such_table(old)) };
    let renamed = crate::catalog::ViewDef { name: new.name.clone(), ..(*view).clone() };
    context.transaction.write(storage::view_key(&old.database, &old.name), None, None)?;
    let key = storage::view_key(&new.database, &new.name);
    context.transaction.write(key, Some(storage::row_of(&renamed)?), None)?;
    database.views.insert(new.name.clone(), Arc::new(renamed));
    Ok(())
}
