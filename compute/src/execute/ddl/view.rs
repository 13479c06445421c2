//! CREATE, ALTER and DROP VIEW.

use super::*;
use crate::catalog::ViewDef;
use crate::sql::plan::CreateView;
use common::id::Lsn;
use expr::error::WarningLevel;

pub async fn create(create: &CreateView, context: &mut StatementContext<'_>) -> Result<Done, SqlError> {
    let name = &create.name;
    refuse_made_up(name)?;
    let mut keys = name_keys(name).to_vec();
    keys.push(storage::database_key(&name.database));
    let catalog = lock_names(keys, context).await?;
    let catalog = with_home(&name.database, catalog, context)?;
    let database = catalog.database(&name.database).ok_or_else(|| unknown_database(&name.database))?;
    if database.tables.contains_key(&name.name) {
        return Err(if create.or_replace || create.alter {
            not_a_view(name)
        } else {
            SqlError::new(ErrorCode::TABLE_EXISTS, format!("Table '{}' already exists", name.name))
        });
    }
    match database.views.contains_key(&name.name) {
        true if !create.or_replace && !create.alter => {
            return Err(SqlError::new(ErrorCode::TABLE_EXISTS, format!("Table '{}' already exists", name.name)));
        }
        false if create.alter => return Err(no_such_table(name)),
        _ => {}
    }
    let columns = column_names(create)?;
    let view = ViewDef {
        database: name.database.clone(),
        name: name.name.clone(),
        columns,
        select: create.select.clone(),
        select_database: context.eval.session.database.as_deref().unwrap_or(&name.database).to_string(),
        definer: create.definer.clone().unwrap_or_else(|| context.eval.session.current_user.to_string()),
        invoker: create.invoker,
        algorithm: create.algorithm.clone(),
        check_option: create.check_option.clone(),
        sql_mode: context.eval.sql_mode.0,
        version: Lsn::ZERO,
    };
    let key = storage::view_key(&name.database, &name.name);
    context.transaction.write(key, Some(storage::row_of(&view)?), None)?;
    Ok(Done::default())
}

/// Names as given, or those of the SELECT; each once.
fn column_names(create: &CreateView) -> Result<Vec<String>, SqlError> {
    let columns = match &create.columns {
        Some(columns) if columns.len() != create.query.fields.len() => {
            return Err(SqlError::new(
                ErrorCode::VIEW_WRONG_LIST,
                "In definition of view, derived table or common table expression, SELECT list and column names list \
                 have different column counts",
            ));
        }
        Some(columns) => columns.clone(),
        None => create.query.fields.iter().map(|field| field.name.clone()).collect(),
    };
    for (position, column) in columns.iter().enumerate() {
        if columns[..position].iter().any(|other| other.eq_ignore_ascii_case(column)) {
            return Err(SqlError::new(ErrorCode::DUP_FIELDNAME, format!("Duplicate column name '{column}'")));
        }
    }
    Ok(columns)
}

fn not_a_view(name: &ObjectName) -> SqlError {
    SqlError::new(ErrorCode::WRONG_OBJECT, format!("'{}.{}' is not VIEW", name.database, name.name))
}

pub async fn drop(names: &[ObjectName], if_exists: bool, context: &mut StatementContext<'_>) -> Result<Done, SqlError> {
    let keys = names.iter().map(|name| storage::view_key(&name.database, &name.name)).collect();
    let catalog = lock_names(keys, context).await?;
    let mut unknown = Vec::new();
    for name in names {
        if catalog.view(&name.database, &name.name).is_some() {
            context.transaction.write(storage::view_key(&name.database, &name.name), None, None)?;
        } else if catalog.table(&name.database, &name.name).is_some() {
            return Err(not_a_view(name));
        } else {
            unknown.push(format!("{}.{}", name.database, name.name));
        }
    }
    if !unknown.is_empty() && !if_exists {
        return Err(SqlError::new(ErrorCode::BAD_TABLE, format!("Unknown table '{}'", unknown.join(","))));
    }
    for name in unknown {
        context.warn(WarningLevel::Note, ErrorCode::BAD_TABLE, format!("Unknown table '{name}'"));
    }
    Ok(Done::default())
}
