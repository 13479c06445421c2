//! CREATE, ALTER and DROP of procedures and functions; triggers and events are beside.

pub mod event;
pub mod trigger;

use super::*;
use crate::account::{Privileges, RoutineKind};
use crate::catalog::routine::{BodyDef, DataAccess, ParameterDef, RoutineDef};
use crate::sql::parse::ast;
use crate::sql::plan::RoutineSpec;
use common::id::Lsn;
use expr::collation::CollationId;
use expr::error::WarningLevel;
use expr::mysql_type::MysqlType;

/// MySQL's limit for names.
const NAME_CHARACTERS_MAX: usize = 64;

fn check_name(name: &str) -> Result<(), SqlError> {
    if name.chars().count() > NAME_CHARACTERS_MAX {
        return Err(SqlError::new(ErrorCode::TOO_LONG_IDENT, format!("Identifier name '{name}' is too long")));
    }
    if name.trim_end() != name || name.is_empty() {
        return Err(SqlError::new(ErrorCode(1458), format!("Incorrect routine name '{name}'")));
    }
    Ok(())
}

/// A body as it is given now, to be stored in a database.
fn body(
    text: &str,
    definer: Option<&String>,
    comment: String,
    database_collation: CollationId,
    context: &StatementContext<'_>,
) -> BodyDef {
    let session = &context.eval.session;
    let connection = CollationId(session.collation_connection);
    let now_us = u64::try_from(context.eval.now_us).unwrap_or_default();
    BodyDef {
        text: text.to_owned(),
        definer: definer.cloned().unwrap_or_else(|| session.current_user.to_string()),
        sql_mode: context.eval.sql_mode.0,
        created_us: now_us,
        altered_us: now_us,
        character_set_client: connection.charset().name().to_owned(),
        collation_connection: connection,
        database_collation,
        comment,
    }
}

fn in_database((mut ty, collation): (MysqlType, Option<CollationId>), database: CollationId) -> MysqlType {
    if ty.is_text() && collation.is_none() {
        ty.collation = database;
    }
    ty
}

pub async fn create(spec: &RoutineSpec, context: &mut StatementContext<'_>) -> Result<Done, SqlError> {
    let RoutineSpec { name, definition, parameters, returns } = spec;
    refuse_made_up(name)?;
    check_name(&name.name)?;
    let key = storage::routine_key(definition.kind, &name.database, &name.name);
    let catalog = lock_names(vec![key.clone(), storage::database_key(&name.database)], context).await?;
    let catalog = with_home(&name.database, catalog, context)?;
    let database = catalog.database(&name.database).ok_or_else(|| unknown_database(&name.database))?;
    if catalog.routine(definition.kind, &name.database, &name.name).is_some() {
        let message = format!("{} {} already exists", definition.kind.sql(), name.name);
        if !definition.if_not_exists {
            return Err(SqlError::new(ErrorCode(1304), message));
        }
        context.warn(WarningLevel::Note, ErrorCode(1304), message);
        return Ok(Done::default());
    }
    let is_native = expr::function::lookup(&name.name.to_ascii_uppercase()).is_some();
    if definition.kind == RoutineKind::Function && is_native {
        let text = format!("This function '{}' has the same name as a native function", name.name);
        context.warn(WarningLevel::Note, ErrorCode(1585), text);
    }
    let collation = database.definition.collation;
    let parameter = |(parameter, ty): (&ast::Parameter, &(MysqlType, Option<CollationId>))| ParameterDef {
        mode: parameter.mode,
        name: parameter.name.clone(),
        ty: in_database(ty.clone(), collation),
    };
    let characteristics = &definition.characteristics;
    let comment = characteristics.comment.clone().unwrap_or_default();
    let routine = RoutineDef {
        kind: definition.kind,
        database: name.database.clone(),
        name: name.name.clone(),
        parameters: definition.parameters.iter().zip(parameters).map(parameter).collect(),
        parameters_text: definition.parameters_text.clone(),
        returns: returns.clone().map(|ty| in_database(ty, collation)),
        deterministic: characteristics.deterministic.unwrap_or(false),
        data_access: characteristics.data_access.unwrap_or(DataAccess::ContainsSql),
        invoker: characteristics.invoker.unwrap_or(false),
        body: body(&definition.body, definition.definer.as_ref(), comment, collation, context),
        version: Lsn::ZERO,
    };
    context.transaction.write(key, Some(storage::row_of(&routine)?), None)?;
    grant_to_creator(&routine, &catalog, context)
}

/// Who makes a routine may run, change and drop it: automatic_sp_privileges.
fn grant_to_creator(
    routine: &RoutineDef,
    catalog: &Catalog,
    context: &mut StatementContext<'_>,
) -> Result<Done, SqlError> {
    let rights = context.actor.rights.clone();
    let needed = Privileges::EXECUTE | Privileges::ALTER_ROUTINE;
    let held = rights.is_unlimited() || rights.routine(routine.kind, &routine.database, &routine.name).has(needed);
    if !held && let Some(account) = catalog.accounts.get(&rights.account) {
        let mut account = (**account).clone();
        let key = (routine.kind, routine.database.clone(), routine.name.to_lowercase());
        *account.routines.entry(key).or_default() |= needed;
        let row = storage::row_of(&account)?;
        context.transaction.write(storage::account_key(&rights.account), Some(row), None)?;
    }
    Ok(Done::default())
}

fn missing(kind: RoutineKind, name: &ObjectName) -> SqlError {
    let text = format!("{} {}.{} does not exist", kind.sql(), name.database, name.name);
    SqlError::new(ErrorCode::SP_DOES_NOT_EXIST, text)
}

pub async fn alter(
    name: &ObjectName,
    definition: &ast::AlterRoutine,
    context: &mut StatementContext<'_>,
) -> Result<Done, SqlError> {
    let key = storage::routine_key(definition.kind, &name.database, &name.name);
    let catalog = lock_names(vec![key.clone()], context).await?;
    let found = catalog.routine(definition.kind, &name.database, &name.name);
    let mut routine = (**found.ok_or_else(|| missing(definition.kind, name))?).clone();
    let given = &definition.characteristics;
    routine.body.comment = given.comment.clone().unwrap_or(routine.body.comment);
    routine.data_access = given.data_access.unwrap_or(routine.data_access);
    routine.invoker = given.invoker.unwrap_or(routine.invoker);
    routine.body.altered_us = u64::try_from(context.eval.now_us).unwrap_or_default();
    context.transaction.write(key, Some(storage::row_of(&routine)?), None)?;
    Ok(Done::default())
}

pub async fn drop(
    kind: RoutineKind,
    name: &ObjectName,
    if_exists: bool,
    context: &mut StatementContext<'_>,
) -> Result<Done, SqlError> {
    let key = storage::routine_key(kind, &name.database, &name.name);
    let catalog = lock_names(vec![key.clone()], context).await?;
    if catalog.routine(kind, &name.database, &name.name).is_none() {
        let error = missing(kind, name);
        if !if_exists {
            return Err(error);
        }
        context.warn(WarningLevel::Note, error.code, error.message);
        return Ok(Done::default());
    }
    context.transaction.write(key, None, None)?;
    // What was granted on it goes with it.
    let granted = (kind, name.database.clone(), name.name.to_lowercase());
    for account in catalog.accounts.iter().filter(|account| account.routines.contains_key(&granted)) {
        let mut account = (**account).clone();
        account.routines.remove(&granted);
        let row = storage::row_of(&account)?;
        context.transaction.write(storage::account_key(&account.name), Some(row), None)?;
    }
    Ok(Done::default())
}
