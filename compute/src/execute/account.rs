//! Statements about accounts: each reads the newest definitions under one lock, changes them in memory, stores them all.
//!
//! One lock for all accounts, since a role that goes is named by others; such statements are rare. What fails leaves
//! nothing behind: either all accounts that a statement names are changed, or none.

mod edit;
mod grants;
mod passwords;
mod roles;
mod users;

use crate::account::privilege::Privileges;
use crate::account::{AccountName, Rights};
use crate::execute::StatementContext;
use crate::session::result::Done;
use crate::sql::plan::account::{AccountRef, AccountStatement};
use edit::Edit;
use expr::error::WarningLevel;
use expr::{ErrorCode, SqlError};
use std::sync::Arc;

/// Who runs a statement, and the server's rules that account statements look at.
#[derive(Clone)]
pub struct Actor {
    pub rights: Arc<Rights>,
    pub policies: Policies,
}

/// Global variables that account statements look at.
#[derive(Debug, Clone, Default)]
pub struct Policies {
    /// password_history.
    pub history_count: u32,
    /// password_reuse_interval.
    pub history_days: u32,
    /// password_require_current.
    pub require_current: bool,
    pub mandatory_roles: Vec<AccountName>,
    /// Of the password that this server was started with; None for an empty one.
    pub server_digest: Option<[u8; 32]>,
    /// Microseconds since 1970.
    pub now_us: u64,
}

pub async fn execute(statement: &AccountStatement, context: &mut StatementContext<'_>) -> Result<Done, SqlError> {
    let mut edit = Edit::begin(context).await?;
    match statement {
        AccountStatement::CreateUsers { users, if_not_exists, default_roles, options } => {
            users::create(users, *if_not_exists, default_roles, options, &mut edit, context).await?;
        }
        AccountStatement::AlterUsers { users, if_exists, options } => {
            users::alter(users, *if_exists, options, &mut edit, context).await?;
        }
        AccountStatement::DropUsers { names, if_exists, are_roles } => {
            users::drop(names, *if_exists, *are_roles, &mut edit, context)?;
        }
        AccountStatement::RenameUsers(pairs) => users::rename(pairs, &mut edit, context)?,
        AccountStatement::SetPassword { user, password, current, retain } => {
            users::set_password(user.as_ref(), password, current.as_ref(), *retain, &mut edit, context).await?;
        }
        AccountStatement::CreateRoles { names, if_not_exists } => {
            roles::create(names, *if_not_exists, &mut edit, context)?;
        }
        AccountStatement::SetDefaultRole { roles, users, if_exists } => {
            roles::set_default(roles, users, *if_exists, &mut edit, context)?;
        }
        AccountStatement::GrantRoles { roles, to, admin } => roles::grant(roles, to, *admin, &mut edit, context)?,
        AccountStatement::RevokeRoles { roles, from, rules } => {
            roles::revoke(roles, from, *rules, &mut edit, context)?;
        }
        AccountStatement::Grant { privileges, on, to, grant_option } => {
            grants::grant(privileges, on, to, *grant_option, &mut edit, context)?;
        }
        AccountStatement::Revoke { privileges, on, from, rules } => {
            grants::revoke(privileges, on, from, *rules, &mut edit, context)?;
        }
        AccountStatement::RevokeAll { from, rules } => grants::revoke_all(from, *rules, &mut edit, context)?,
        AccountStatement::GrantProxy { proxied, to, grant_option } => {
            grants::grant_proxy(proxied, to, *grant_option, &mut edit, context)?;
        }
        AccountStatement::RevokeProxy { proxied, from, rules } => {
            grants::revoke_proxy(proxied, from, *rules, &mut edit, context)?;
        }
    }
    edit.store(context)?;
    Ok(Done::default())
}

/// The account that a statement speaks of.
fn resolve(name: &AccountRef, context: &StatementContext<'_>) -> AccountName {
    match name {
        AccountRef::Current => context.actor.rights.account.clone(),
        AccountRef::Named(name) => name.clone(),
    }
}

/// 1227 unless they administer accounts: a global privilege, or this one on the tables of accounts.
fn require_administrator(
    of: Privileges,
    on_tables: Privileges,
    context: &StatementContext<'_>,
) -> Result<(), SqlError> {
    if context.actor.rights.database("mysql").has(on_tables) {
        return Ok(());
    }
    context.actor.rights.require_any(of)
}

/// 1227 where an account with SYSTEM_USER is changed by somebody without.
fn guard_system_user(name: &AccountName, edit: &Edit, context: &StatementContext<'_>) -> Result<(), SqlError> {
    let is_system = edit.get(name).is_some_and(|account| account.dynamic.contains_key("SYSTEM_USER"));
    if is_system { context.actor.rights.require_dynamic("SYSTEM_USER") } else { Ok(()) }
}

/// 1396.
fn failed(operation: &str, names: &[AccountName]) -> SqlError {
    let names: Vec<String> = names.iter().map(AccountName::literal).collect();
    SqlError::new(ErrorCode(1396), format!("Operation {operation} failed for {}", names.join(",")))
}

/// What IF EXISTS and IF NOT EXISTS make of an account that is not as wanted: a note.
struct Tolerated {
    code: ErrorCode,
    says: &'static str,
}

const ALREADY_THERE: Tolerated = Tolerated { code: ErrorCode(3163), says: "already exists" };
const NOT_THERE: Tolerated = Tolerated { code: ErrorCode(3162), says: "does not exist" };

/// The names that a statement left out: 1396 for all of them together, or notes where that is tolerated.
fn left_out(
    operation: &str,
    names: &[AccountName],
    tolerated: Option<Tolerated>,
    context: &StatementContext<'_>,
) -> Result<(), SqlError> {
    let Some(Tolerated { code, says }) = tolerated else {
        return if names.is_empty() { Ok(()) } else { Err(failed(operation, names)) };
    };
    for name in names {
        context.warn(WarningLevel::Note, code, format!("Authorization ID {} {says}.", name.literal()));
    }
    Ok(())
}

/// 3523.
fn unknown_id(name: &AccountName) -> SqlError {
    SqlError::new(ErrorCode(3523), format!("Unknown authorization ID {}", name.quoted()))
}

/// 1470 for names that no column of mysql.user holds.
fn check_length(name: &AccountName) -> Result<(), SqlError> {
    let too_long = |text: &str, what: &str, max: usize| {
        SqlError::new(
            ErrorCode(1470),
            format!("String '{text}' is too long for {what} (should be no longer than {max})"),
        )
    };
    if name.user.chars().count() > 32 {
        return Err(too_long(&name.user, "user name", 32));
    }
    if name.host.chars().count() > 255 {
        return Err(too_long(&name.host, "host name", 255));
    }
    if name.user.contains('\0') || name.host.contains(['\0', '@']) {
        return Err(SqlError::new(ErrorCode(1396), format!("Malformed name of an account: {}", name.literal())));
    }
    Ok(())
}
