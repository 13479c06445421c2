//! CREATE, ALTER, DROP, RENAME USER; SET PASSWORD.

use super::edit::Edit;
use super::passwords::{self, check_current};
use super::{ALREADY_THERE, NOT_THERE, left_out};
use super::{check_length, failed, guard_system_user, require_administrator, resolve, roles};
use crate::account::password::{self, SHA2_PLUGIN, Secret};
use crate::account::{AccountDef, AccountName, Credential, Privileges};
use crate::execute::StatementContext;
use crate::sql::plan::account::{AccountRef, Authentication, Expire, Given, UserOptions, UserSpec};
use expr::{ErrorCode, SqlError};

pub async fn create(
    users: &[UserSpec],
    if_not_exists: bool,
    default_roles: &[AccountName],
    options: &UserOptions,
    edit: &mut Edit,
    context: &StatementContext<'_>,
) -> Result<(), SqlError> {
    require_administrator(Privileges::CREATE_USER, Privileges::INSERT, context)?;
    let mut existing = Vec::new();
    for spec in users {
        let name = resolve(&spec.name, context);
        check_length(&name)?;
        if edit.get(&name).is_some() {
            existing.push(name);
            continue;
        }
        let now = context.actor.policies.now_us / 1_000_000;
        let mut account = AccountDef::new(name.clone(), SHA2_PLUGIN, now);
        apply_options(&mut account, options)?;
        if let Some(authentication) = &spec.authentication {
            authenticate(&mut account, authentication, false, context).await?;
        }
        account.expired = options.expire == Some(Expire::Now);
        edit.put(account);
        for role in default_roles {
            roles::add(role, &name, false, edit)?;
        }
        if let Some(account) = edit.get_mut(&name) {
            account.default_roles.extend(default_roles.iter().cloned());
        }
    }
    left_out("CREATE USER", &existing, if_not_exists.then_some(ALREADY_THERE), context)
}

pub async fn alter(
    users: &[UserSpec],
    if_exists: bool,
    options: &UserOptions,
    edit: &mut Edit,
    context: &StatementContext<'_>,
) -> Result<(), SqlError> {
    let own = context.actor.rights.account.clone();
    let administers = require_administrator(Privileges::CREATE_USER, Privileges::UPDATE, context);
    // One's own password may be changed by anybody, and nothing else.
    let only_own = |spec: &UserSpec| {
        resolve(&spec.name, context) == own
            && *options == UserOptions::default()
            && spec
                .authentication
                .as_ref()
                .is_none_or(|it| it.plugin.is_none() && matches!(it.given, Given::Password(_)))
    };
    if !users.iter().all(only_own) {
        administers.clone()?;
    }
    let mut missing = Vec::new();
    for spec in users {
        let name = resolve(&spec.name, context);
        if name != own {
            guard_system_user(&name, edit, context)?;
        }
        let Some(mut account) = edit.get(&name).cloned() else {
            missing.push(name);
            continue;
        };
        apply_options(&mut account, options)?;
        if let Some(authentication) = &spec.authentication {
            let policies = &context.actor.policies;
            let current = authentication.current.as_ref();
            check_current(&account, current, name == own, administers.is_ok(), policies).await?;
            authenticate(&mut account, authentication, true, context).await?;
        }
        if spec.discard_retained {
            account.retained = None;
        }
        if options.expire == Some(Expire::Now) {
            account.expired = true;
        }
        passwords::prune(&mut account, &context.actor.policies);
        edit.put(account);
    }
    left_out("ALTER USER", &missing, if_exists.then_some(NOT_THERE), context)
}

/// IDENTIFIED. `alters`: a plugin without a password leaves an expired one.
async fn authenticate(
    account: &mut AccountDef,
    authentication: &Authentication,
    alters: bool,
    context: &StatementContext<'_>,
) -> Result<(), SqlError> {
    if let Some(plugin) = &authentication.plugin {
        if !password::is_plugin(plugin) {
            return Err(SqlError::new(ErrorCode(1524), format!("Plugin '{plugin}' is not loaded")));
        }
        if *plugin != account.plugin {
            account.history.clear();
            account.retained = None;
        }
        account.plugin.clone_from(plugin);
    }
    match &authentication.given {
        Given::Password(password) => passwords::change(account, password, authentication.retain, context).await?,
        Given::Hash(hash) => {
            if !password::is_hash(&account.plugin, &hash.0) {
                let text = "The password hash doesn't have the expected format.";
                return Err(SqlError::new(ErrorCode(1827), text));
            }
            account.credential = Credential::Hash(hash.0.clone());
            account.password_changed = context.actor.policies.now_us / 1_000_000;
            account.expired = false;
        }
        Given::Nothing => {
            account.credential = Credential::Hash(String::new());
            account.history.clear();
            account.expired = alters;
        }
    }
    Ok(())
}

fn apply_options(account: &mut AccountDef, options: &UserOptions) -> Result<(), SqlError> {
    if options.expire == Some(Expire::Now) && account.name.user.is_empty() {
        return Err(SqlError::new(ErrorCode(3016), "The password for anonymous user cannot be expired."));
    }
    match options.expire {
        Some(Expire::Default) => account.lifetime_days = None,
        Some(Expire::Never) => account.lifetime_days = Some(0),
        Some(Expire::Days(days)) => account.lifetime_days = Some(days),
        Some(Expire::Now) | None => {}
    }
    fn set<T: Clone>(place: &mut T, option: &Option<T>) {
        if let Some(option) = option {
            place.clone_from(option);
        }
    }
    set(&mut account.tls, &options.tls);
    set(&mut account.limits.queries_per_hour, &options.queries_per_hour);
    set(&mut account.limits.updates_per_hour, &options.updates_per_hour);
    set(&mut account.limits.connections_per_hour, &options.connections_per_hour);
    set(&mut account.limits.user_connections, &options.user_connections);
    set(&mut account.history_count, &options.history_count);
    set(&mut account.history_days, &options.history_days);
    set(&mut account.require_current, &options.require_current);
    set(&mut account.failed_login_attempts, &options.failed_login_attempts);
    set(&mut account.lock_days, &options.lock_days);
    set(&mut account.locked, &options.locked);
    if let Some(comment) = &options.comment {
        merge_attribute(account, serde_json::json!({ "comment": comment }));
    }
    if let Some(attribute) = &options.attribute {
        let invalid =
            || SqlError::new(ErrorCode(3140), format!("Invalid JSON text: \"{attribute}\" is no JSON object."));
        match serde_json::from_str(attribute) {
            Ok(value @ serde_json::Value::Object(_)) => merge_attribute(account, value),
            _ => return Err(invalid()),
        }
    }
    Ok(())
}

/// As JSON_MERGE_PATCH does with one level: null removes.
fn merge_attribute(account: &mut AccountDef, patch: serde_json::Value) {
    let before = account.attribute.as_deref().and_then(|text| serde_json::from_str(text).ok());
    let mut object = match before {
        Some(serde_json::Value::Object(object)) => object,
        _ => serde_json::Map::new(),
    };
    if let serde_json::Value::Object(patch) = patch {
        for (name, value) in patch {
            if value.is_null() {
                object.remove(&name);
            } else {
                object.insert(name, value);
            }
        }
    }
    // As MySQL writes JSON: a space after commas and colons.
    let members = object.iter().map(|(name, value)| format!("{}: {value}", serde_json::Value::from(name.as_str())));
    account.attribute = (!object.is_empty()).then(|| format!("{{{}}}", members.collect::<Vec<_>>().join(", ")));
}

pub fn drop(
    names: &[AccountRef],
    if_exists: bool,
    are_roles: bool,
    edit: &mut Edit,
    context: &StatementContext<'_>,
) -> Result<(), SqlError> {
    let needed = if are_roles { Privileges::DROP_ROLE | Privileges::CREATE_USER } else { Privileges::CREATE_USER };
    require_administrator(needed, Privileges::DELETE, context)?;
    let mut missing = Vec::new();
    for name in names {
        let name = resolve(name, context);
        roles::refuse_mandatory(&name, context)?;
        guard_system_user(&name, edit, context)?;
        if edit.remove(&name).is_none() {
            missing.push(name);
            continue;
        }
        for other in edit.names() {
            let names_it = edit.get(&other).is_some_and(|account| {
                account.roles.contains_key(&name)
                    || account.default_roles.contains(&name)
                    || account.proxies.contains_key(&name)
            });
            if names_it && let Some(account) = edit.get_mut(&other) {
                account.roles.remove(&name);
                account.default_roles.remove(&name);
                account.proxies.remove(&name);
            }
        }
    }
    let operation = if are_roles { "DROP ROLE" } else { "DROP USER" };
    left_out(operation, &missing, if_exists.then_some(NOT_THERE), context)
}

pub fn rename(
    pairs: &[(AccountRef, AccountRef)],
    edit: &mut Edit,
    context: &StatementContext<'_>,
) -> Result<(), SqlError> {
    require_administrator(Privileges::CREATE_USER, Privileges::UPDATE, context)?;
    for (from, to) in pairs {
        let (from, to) = (resolve(from, context), resolve(to, context));
        check_length(&from)?;
        check_length(&to)?;
        guard_system_user(&from, edit, context)?;
        if edit.get(&to).is_some() {
            return Err(failed("RENAME USER", &[from]));
        }
        let Some(mut account) = edit.remove(&from) else { return Err(failed("RENAME USER", &[from])) };
        account.name = to.clone();
        edit.put(account);
        for other in edit.names() {
            let Some(mut account) = edit.get(&other).cloned() else { continue };
            let role = account.roles.remove(&from);
            let default = account.default_roles.remove(&from);
            let proxy = account.proxies.remove(&from);
            if role.is_none() && !default && proxy.is_none() {
                continue;
            }
            account.roles.extend(role.map(|admin| (to.clone(), admin)));
            account.default_roles.extend(default.then(|| to.clone()));
            account.proxies.extend(proxy.map(|grantable| (to.clone(), grantable)));
            edit.put(account);
        }
    }
    Ok(())
}

pub async fn set_password(
    user: Option<&AccountRef>,
    password: &Secret,
    current: Option<&Secret>,
    retain: bool,
    edit: &mut Edit,
    context: &StatementContext<'_>,
) -> Result<(), SqlError> {
    let own = context.actor.rights.account.clone();
    let name = user.map_or_else(|| own.clone(), |user| resolve(user, context));
    let administers = require_administrator(Privileges::CREATE_USER, Privileges::UPDATE, context).is_ok();
    if name != own {
        if !administers {
            return Err(context.actor.rights.database_denied("mysql"));
        }
        guard_system_user(&name, edit, context)?;
    }
    let Some(mut account) = edit.get(&name).cloned() else {
        return Err(SqlError::new(ErrorCode(1133), "Can't find any matching row in the user table"));
    };
    check_current(&account, current, name == own, administers, &context.actor.policies).await?;
    passwords::change(&mut account, password, retain, context).await?;
    edit.put(account);
    Ok(())
}
