//! GRANT and REVOKE of privileges at every level.

use super::edit::Edit;
use super::{guard_system_user, require_administrator, resolve};
use crate::account::privilege::{DYNAMIC, is_dynamic};
use crate::account::{AccountDef, AccountName, Privileges, TableGrant};
use crate::catalog::{Catalog, virtual_tables};
use crate::execute::StatementContext;
use crate::sql::plan::account::{AccountRef, PrivilegeLevel, PrivilegeSpec, PrivilegeWords, RevokeRules};
use expr::error::WarningLevel;
use expr::{ErrorCode, SqlError};

/// What the words of a statement name at its level.
#[derive(Default)]
struct Named {
    privileges: Privileges,
    dynamic: Vec<String>,
    columns: Vec<(String, Privileges)>,
    /// Dynamic privileges that do not exist.
    unknown: Vec<String>,
}

fn named(specs: &[PrivilegeSpec], on: &PrivilegeLevel) -> Result<Named, SqlError> {
    let all = match on {
        PrivilegeLevel::Global => Privileges::ALL,
        PrivilegeLevel::Database(_) => Privileges::OF_DATABASE,
        PrivilegeLevel::Table { .. } => Privileges::OF_TABLE,
        PrivilegeLevel::Routine { .. } => Privileges::OF_ROUTINE,
    };
    let mut named = Named::default();
    for spec in specs {
        match &spec.privilege {
            PrivilegeWords::Usage => {}
            PrivilegeWords::All => {
                named.privileges |= all.without(Privileges::GRANT_OPTION);
                if *on == PrivilegeLevel::Global {
                    named.dynamic.extend(DYNAMIC.iter().map(|name| (*name).to_owned()));
                }
            }
            PrivilegeWords::Static(privilege) if spec.columns.is_empty() => named.privileges |= *privilege,
            PrivilegeWords::Static(privilege) => {
                if !matches!(on, PrivilegeLevel::Table { .. }) {
                    return Err(illegal());
                }
                if !Privileges::OF_COLUMN.has(*privilege) {
                    return Err(incorrect_usage("COLUMN GRANT", "NON-COLUMN PRIVILEGES"));
                }
                named.columns.extend(spec.columns.iter().map(|column| (column.clone(), *privilege)));
            }
            PrivilegeWords::Dynamic(name) if is_dynamic(name) => named.dynamic.push(name.clone()),
            PrivilegeWords::Dynamic(name) => named.unknown.push(name.clone()),
        }
    }
    if *on != PrivilegeLevel::Global && !(named.dynamic.is_empty() && named.unknown.is_empty()) {
        let mut names = named.dynamic;
        names.extend(named.unknown);
        let text = format!("Illegal privilege level specified for {}", names.join(","));
        return Err(SqlError::new(ErrorCode(3619), text));
    }
    if !all.has(named.privileges) {
        return Err(match on {
            PrivilegeLevel::Database(_) => incorrect_usage("DB GRANT", "GLOBAL PRIVILEGES"),
            _ => illegal(),
        });
    }
    Ok(named)
}

fn illegal() -> SqlError {
    let text = "Illegal GRANT/REVOKE command; please consult the manual to see which privileges can be used";
    SqlError::new(ErrorCode(1144), text)
}

fn incorrect_usage(what: &str, with: &str) -> SqlError {
    SqlError::new(ErrorCode(1221), format!("Incorrect usage of {what} and {with}"))
}

fn unregistered(name: &str) -> SqlError {
    SqlError::new(ErrorCode(3929), format!("Dynamic privilege '{name}' is not registered with the server."))
}

/// The database of a level; the binder has put the default one there.
fn database_of(database: &Option<String>) -> &str {
    database.as_deref().unwrap_or_default()
}

/// Nobody hands on what they may not hand on.
fn check_may_grant(named: &Named, on: &PrivilegeLevel, context: &StatementContext<'_>) -> Result<(), SqlError> {
    let rights = &context.actor.rights;
    let needed = named.privileges | Privileges::GRANT_OPTION;
    match on {
        PrivilegeLevel::Global => {
            let only_dynamic = named.privileges.is_empty() && !named.dynamic.is_empty();
            if !only_dynamic && !rights.global().has(needed) {
                let who = rights.account.literal();
                let text = format!("Access denied for user {who} (using password: YES)");
                return Err(SqlError::new(ErrorCode(1045), text));
            }
            for name in &named.dynamic {
                let held = rights.grants_dynamic(name) || (!only_dynamic && rights.has_dynamic(name));
                if !held && rights.global() != Privileges::ALL {
                    return Err(crate::account::specific_access_denied("GRANT OPTION"));
                }
            }
            Ok(())
        }
        PrivilegeLevel::Database(database) => rights.require_database(needed, database_of(database)),
        PrivilegeLevel::Table { database, name } => {
            let held = rights.table(database_of(database), name);
            let columns = named.columns.iter().map(|(column, privilege)| (column, *privilege));
            let mut missing = needed.without(held);
            for (column, privilege) in columns {
                missing |= privilege.without(rights.column(database_of(database), name, column));
            }
            if missing.is_empty() {
                return Ok(());
            }
            let list = if missing.has(Privileges::GRANT_OPTION) { "GRANT".to_owned() } else { missing.list() };
            Err(rights.table_denied(&list, name))
        }
        PrivilegeLevel::Routine { kind, database, name } => {
            if rights.routine(*kind, database_of(database), name).has(needed) {
                return Ok(());
            }
            let (who, database) = (rights.who(), database_of(database));
            let text = format!("grant command denied to user {who} for routine '{database}.{name}'");
            Err(SqlError::new(ErrorCode(1370), text))
        }
    }
}

/// 1146 for a table that is not there, unless it may be created; 1054 for its columns.
fn check_objects(named: &Named, on: &PrivilegeLevel, catalog: &Catalog) -> Result<(), SqlError> {
    match on {
        PrivilegeLevel::Global | PrivilegeLevel::Database(_) => Ok(()),
        PrivilegeLevel::Routine { kind, database, name } => {
            if catalog.routine(*kind, database_of(database), name).is_some() {
                return Ok(());
            }
            let text = format!("{} {}.{name} does not exist", kind.sql(), database_of(database));
            Err(SqlError::new(ErrorCode::SP_DOES_NOT_EXIST, text))
        }
        PrivilegeLevel::Table { database, name } => {
            let database = database_of(database);
            let columns: Vec<String> = if let Some(table) = catalog.table(database, name) {
                table.columns.iter().map(|column| column.name.clone()).collect()
            } else if let Some(view) = catalog.view(database, name) {
                view.columns.clone()
            } else if let Some(table) = virtual_tables::lookup(database, name) {
                table.columns.iter().map(|column| column.name.to_owned()).collect()
            } else if named.privileges.has(Privileges::CREATE) {
                return Ok(());
            } else {
                let text = format!("Table '{database}.{name}' doesn't exist");
                return Err(SqlError::new(ErrorCode::NO_SUCH_TABLE, text));
            };
            for (column, _) in &named.columns {
                if !columns.iter().any(|known| known.eq_ignore_ascii_case(column)) {
                    return Err(SqlError::new(ErrorCode::BAD_FIELD, format!("Unknown column '{column}' in '{name}'")));
                }
            }
            Ok(())
        }
    }
}

pub fn grant(
    specs: &[PrivilegeSpec],
    on: &PrivilegeLevel,
    to: &[AccountRef],
    grant_option: bool,
    edit: &mut Edit,
    context: &StatementContext<'_>,
) -> Result<(), SqlError> {
    let mut named = named(specs, on)?;
    if let Some(name) = named.unknown.first() {
        return Err(unregistered(name));
    }
    check_may_grant(&named, on, context)?;
    check_objects(&named, on, &context.catalog)?;
    if grant_option {
        named.privileges |= Privileges::GRANT_OPTION;
    }
    for name in to {
        let name = resolve(name, context);
        let grantor = context.actor.rights.account.to_string();
        let Some(account) = edit.get_mut(&name) else {
            return Err(SqlError::new(ErrorCode(1410), "You are not allowed to create a user with GRANT"));
        };
        add(account, &named, on, grant_option, grantor);
    }
    Ok(())
}

fn add(account: &mut AccountDef, named: &Named, on: &PrivilegeLevel, grant_option: bool, grantor: String) {
    match on {
        PrivilegeLevel::Global => {
            account.global |= named.privileges;
            for name in &named.dynamic {
                *account.dynamic.entry(name.clone()).or_default() |= grant_option;
            }
        }
        PrivilegeLevel::Database(database) => {
            if !named.privileges.is_empty() {
                *account.databases.entry(database_of(database).to_owned()).or_default() |= named.privileges;
            }
        }
        PrivilegeLevel::Table { database, name } => {
            if named.privileges.is_empty() && named.columns.is_empty() {
                return;
            }
            let grant = account.tables.entry((database_of(database).to_owned(), name.clone())).or_default();
            grant.privileges |= named.privileges;
            grant.grantor = grantor;
            for (column, privilege) in &named.columns {
                *column_entry(grant, column) |= *privilege;
            }
        }
        PrivilegeLevel::Routine { kind, database, name } => {
            let key = (*kind, database_of(database).to_owned(), name.to_lowercase());
            *account.routines.entry(key).or_default() |= named.privileges;
        }
    }
}

/// A column's privileges, whatever case its name was written in before.
fn column_entry<'a>(grant: &'a mut TableGrant, column: &str) -> &'a mut Privileges {
    let known = grant.columns.keys().find(|name| name.eq_ignore_ascii_case(column)).cloned();
    grant.columns.entry(known.unwrap_or_else(|| column.to_owned())).or_default()
}

pub fn revoke(
    specs: &[PrivilegeSpec],
    on: &PrivilegeLevel,
    from: &[AccountRef],
    rules: RevokeRules,
    edit: &mut Edit,
    context: &StatementContext<'_>,
) -> Result<(), SqlError> {
    let named = named(specs, on)?;
    for name in &named.unknown {
        context.warn(WarningLevel::Warning, ErrorCode(3929), unregistered(name).message);
    }
    check_may_grant(&named, on, context)?;
    for name in from {
        let name = resolve(name, context);
        guard_system_user(&name, edit, context)?;
        let outcome = match edit.get_mut(&name) {
            Some(account) => remove(account, &named, on),
            None if rules.ignore_unknown_user => {
                let text = format!("Authorization ID {} does not exist.", name.literal());
                context.warn(WarningLevel::Warning, ErrorCode(3162), text);
                Ok(())
            }
            None => Err(no_grant(&name, None)),
        };
        match outcome {
            Err(error) if rules.if_exists => context.warn(WarningLevel::Warning, error.code, error.message),
            outcome => outcome?,
        }
    }
    Ok(())
}

/// 1141, 1147.
fn no_grant(name: &AccountName, table: Option<&str>) -> SqlError {
    let text = format!("There is no such grant defined for user '{}' on host '{}'", name.user, name.host);
    match table {
        None => SqlError::new(ErrorCode(1141), text),
        Some(table) => SqlError::new(ErrorCode(1147), format!("{text} on table '{table}'")),
    }
}

fn remove(account: &mut AccountDef, named: &Named, on: &PrivilegeLevel) -> Result<(), SqlError> {
    let account_name = account.name.clone();
    match on {
        PrivilegeLevel::Global => {
            account.global = account.global.without(named.privileges);
            for name in &named.dynamic {
                account.dynamic.remove(name);
            }
        }
        PrivilegeLevel::Database(database) => {
            let Some(held) = account.databases.get_mut(database_of(database)) else {
                return if named.privileges.is_empty() { Ok(()) } else { Err(no_grant(&account_name, None)) };
            };
            *held = held.without(named.privileges);
            if held.is_empty() {
                account.databases.remove(database_of(database));
            }
        }
        PrivilegeLevel::Table { database, name } => {
            // MySQL takes names of tables as they are written, and so may have none of this one.
            let key = (database_of(database).to_owned(), name.clone());
            let Some(grant) = account.tables.get_mut(&key) else {
                let nothing = named.privileges.is_empty() && named.columns.is_empty();
                return if nothing { Ok(()) } else { Err(no_grant(&account_name, Some(name))) };
            };
            grant.privileges = grant.privileges.without(named.privileges);
            for (column, privilege) in &named.columns {
                let held = column_entry(grant, column);
                *held = held.without(*privilege);
            }
            // All of a kind takes those of columns with it.
            for held in grant.columns.values_mut() {
                *held = held.without(named.privileges);
            }
            grant.columns.retain(|_, held| !held.is_empty());
            if grant.privileges.is_empty() && grant.columns.is_empty() {
                account.tables.remove(&key);
            }
        }
        PrivilegeLevel::Routine { kind, database, name } => {
            let key = (*kind, database_of(database).to_owned(), name.to_lowercase());
            let Some(held) = account.routines.get_mut(&key) else { return Err(no_grant(&account_name, None)) };
            *held = held.without(named.privileges);
            if held.is_empty() {
                account.routines.remove(&key);
            }
        }
    }
    Ok(())
}

/// REVOKE ALL PRIVILEGES, GRANT OPTION: everything but roles.
pub fn revoke_all(
    from: &[AccountRef],
    rules: RevokeRules,
    edit: &mut Edit,
    context: &StatementContext<'_>,
) -> Result<(), SqlError> {
    require_administrator(Privileges::CREATE_USER, Privileges::UPDATE, context)?;
    for name in from {
        let name = resolve(name, context);
        guard_system_user(&name, edit, context)?;
        match edit.get_mut(&name) {
            Some(account) => {
                account.global = Privileges::NONE;
                account.dynamic.clear();
                account.databases.clear();
                account.tables.clear();
                account.routines.clear();
            }
            None if rules.if_exists || rules.ignore_unknown_user => {
                let text = format!("Authorization ID {} does not exist.", name.literal());
                context.warn(WarningLevel::Warning, ErrorCode(3162), text);
            }
            None => {
                let text = "Can't revoke all privileges for one or more of the requested users";
                return Err(SqlError::new(ErrorCode(1269), text));
            }
        }
    }
    Ok(())
}

/// Proxies are kept and shown; no plugin here makes use of them.
pub fn grant_proxy(
    proxied: &AccountRef,
    to: &[AccountRef],
    grant_option: bool,
    edit: &mut Edit,
    context: &StatementContext<'_>,
) -> Result<(), SqlError> {
    let proxied = resolve(proxied, context);
    check_may_proxy(&proxied, edit, context)?;
    for name in to {
        let name = resolve(name, context);
        let Some(account) = edit.get_mut(&name) else {
            return Err(SqlError::new(ErrorCode(1410), "You are not allowed to create a user with GRANT"));
        };
        *account.proxies.entry(proxied.clone()).or_default() |= grant_option;
    }
    Ok(())
}

fn check_may_proxy(proxied: &AccountName, edit: &Edit, context: &StatementContext<'_>) -> Result<(), SqlError> {
    let own = &context.actor.rights.account;
    let anybody = AccountName::new("", "");
    let grants = edit.get(own).is_some_and(|account| {
        [proxied, &anybody].iter().any(|name| account.proxies.get(*name).is_some_and(|grantable| *grantable))
    });
    if grants || own == proxied {
        return Ok(());
    }
    let text = format!("Access denied for user {} (using password: YES)", own.literal());
    Err(SqlError::new(ErrorCode(1698), text))
}

pub fn revoke_proxy(
    proxied: &AccountRef,
    from: &[AccountRef],
    rules: RevokeRules,
    edit: &mut Edit,
    context: &StatementContext<'_>,
) -> Result<(), SqlError> {
    let proxied = resolve(proxied, context);
    check_may_proxy(&proxied, edit, context)?;
    for name in from {
        let name = resolve(name, context);
        let removed = edit.get_mut(&name).and_then(|account| account.proxies.remove(&proxied));
        if removed.is_none() {
            let error = no_grant(&name, None);
            if !rules.if_exists {
                return Err(error);
            }
            context.warn(WarningLevel::Warning, error.code, error.message);
        }
    }
    Ok(())
}
