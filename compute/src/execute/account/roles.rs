//! CREATE ROLE; GRANT and REVOKE of roles; SET DEFAULT ROLE. Manual: "Using Roles" (8.2.10).

use super::edit::Edit;
use super::{ALREADY_THERE, left_out};
use super::{check_length, guard_system_user, require_administrator, resolve, unknown_id};
use crate::account::password::SHA2_PLUGIN;
use crate::account::{AccountDef, AccountName, Privileges};
use crate::execute::StatementContext;
use crate::sql::plan::account::{AccountRef, RevokeRules, RoleChoice};
use expr::error::WarningLevel;
use expr::{ErrorCode, SqlError};
use std::collections::BTreeSet;

/// Roles are accounts that nobody logs in with: locked, and with an expired password.
pub fn create(
    names: &[AccountName],
    if_not_exists: bool,
    edit: &mut Edit,
    context: &StatementContext<'_>,
) -> Result<(), SqlError> {
    require_administrator(Privileges::CREATE_ROLE | Privileges::CREATE_USER, Privileges::INSERT, context)?;
    let mut existing = Vec::new();
    for name in names {
        check_length(name)?;
        if edit.get(name).is_some() {
            existing.push(name.clone());
            continue;
        }
        let now = context.actor.policies.now_us / 1_000_000;
        let account = AccountDef::new(name.clone(), SHA2_PLUGIN, now);
        edit.put(AccountDef { locked: true, expired: true, ..account });
    }
    left_out("CREATE ROLE", &existing, if_not_exists.then_some(ALREADY_THERE), context)
}

/// Grants a role. 3523 for names that are not there, 3528 where roles would contain each other.
pub fn add(role: &AccountName, to: &AccountName, admin: bool, edit: &mut Edit) -> Result<(), SqlError> {
    if edit.get(role).is_none() {
        return Err(unknown_id(role));
    }
    if role == to || inherited(role, edit).contains(to) {
        return Err(SqlError::new(
            ErrorCode(3528),
            format!(
                "User account {} is directly or indirectly granted to the role {}. The GRANT would create a loop",
                role.quoted(),
                to.quoted()
            ),
        ));
    }
    match edit.get_mut(to) {
        Some(account) => {
            *account.roles.entry(role.clone()).or_default() |= admin;
            Ok(())
        }
        None => Err(unknown_id(to)),
    }
}

/// The roles that a role has, at any distance.
fn inherited(role: &AccountName, edit: &Edit) -> BTreeSet<AccountName> {
    let mut found = BTreeSet::new();
    let mut open = vec![role.clone()];
    while let Some(name) = open.pop() {
        for inner in edit.get(&name).into_iter().flat_map(|account| account.roles.keys()) {
            if found.insert(inner.clone()) {
                open.push(inner.clone());
            }
        }
    }
    found
}

pub fn grant(
    roles: &[AccountName],
    to: &[AccountRef],
    admin: bool,
    edit: &mut Edit,
    context: &StatementContext<'_>,
) -> Result<(), SqlError> {
    for role in roles {
        require_admin_of(role, edit, context)?;
    }
    for name in to {
        let name = resolve(name, context);
        for role in roles {
            add(role, &name, admin, edit)?;
        }
    }
    Ok(())
}

/// 1227 unless they may hand on the role.
fn require_admin_of(role: &AccountName, edit: &Edit, context: &StatementContext<'_>) -> Result<(), SqlError> {
    let own = edit.get(&context.actor.rights.account);
    if own.is_some_and(|account| account.roles.get(role) == Some(&true)) || context.actor.rights.dynamic("ROLE_ADMIN") {
        return Ok(());
    }
    Err(SqlError::new(
        ErrorCode(1227),
        "Access denied; you need (at least one of) the WITH ADMIN, ROLE_ADMIN, SUPER privilege(s) for this operation",
    ))
}

pub fn revoke(
    roles: &[AccountName],
    from: &[AccountRef],
    rules: RevokeRules,
    edit: &mut Edit,
    context: &StatementContext<'_>,
) -> Result<(), SqlError> {
    for role in roles {
        require_admin_of(role, edit, context)?;
        refuse_mandatory(role, context)?;
        if edit.get(role).is_none() {
            if !rules.if_exists {
                return Err(unknown_id(role));
            }
            context.warn(WarningLevel::Warning, ErrorCode(3523), unknown_id(role).message);
        }
    }
    for name in from {
        let name = resolve(name, context);
        guard_system_user(&name, edit, context)?;
        match edit.get_mut(&name) {
            Some(account) => roles.iter().for_each(|role| {
                account.roles.remove(role);
                account.default_roles.remove(role);
            }),
            None if rules.ignore_unknown_user => {
                context.warn(WarningLevel::Warning, ErrorCode(3162), unknown_id(&name).message);
            }
            None => return Err(unknown_id(&name)),
        }
    }
    Ok(())
}

/// 3628.
pub fn refuse_mandatory(role: &AccountName, context: &StatementContext<'_>) -> Result<(), SqlError> {
    if !context.actor.policies.mandatory_roles.contains(role) {
        return Ok(());
    }
    Err(SqlError::new(
        ErrorCode(3628),
        format!(
            "The role {} is a mandatory role and can't be revoked or dropped. The restriction can be lifted by excluding \
             the role identifier from the global variable mandatory_roles.",
            role.quoted()
        ),
    ))
}

pub fn set_default(
    choice: &RoleChoice,
    users: &[AccountRef],
    if_exists: bool,
    edit: &mut Edit,
    context: &StatementContext<'_>,
) -> Result<(), SqlError> {
    for user in users {
        let name = resolve(user, context);
        if name != context.actor.rights.account {
            require_administrator(Privileges::CREATE_USER, Privileges::UPDATE, context)?;
        }
        let Some(account) = edit.get_mut(&name) else {
            if if_exists {
                context.warn(WarningLevel::Note, ErrorCode(3162), unknown_id(&name).message);
                continue;
            }
            return Err(unknown_id(&name));
        };
        let mandatory = &context.actor.policies.mandatory_roles;
        account.default_roles = match choice {
            RoleChoice::None => BTreeSet::new(),
            RoleChoice::These(roles) => {
                if let Some(role) = roles.iter().find(|it| !account.roles.contains_key(*it) && !mandatory.contains(it))
                {
                    return Err(not_granted(role, &name));
                }
                roles.iter().cloned().collect()
            }
            _ => account.roles.keys().chain(mandatory).cloned().collect(),
        };
    }
    Ok(())
}

/// 3530.
pub fn not_granted(role: &AccountName, to: &AccountName) -> SqlError {
    SqlError::new(ErrorCode(3530), format!("{} is not granted to {}", role.quoted(), to.quoted()))
}
