//! Accounts, privileges and roles: mysql.user and its like, information_schema's *_PRIVILEGES and roles.

use crate::account::{AccountDef, AccountName, Privileges, TlsRule, privilege};
use crate::catalog::Catalog;
use crate::catalog::virtual_tables::schema_tables::{CATALOG, moment};
use crate::catalog::virtual_tables::{VirtualContext, lookup, number, optional, text, yes_no};
use expr::value::{Row, Value};
use std::sync::Arc;

/// `None` if the table is none of these.
pub(super) fn information_schema(name: &str, catalog: &Catalog, context: &VirtualContext) -> Option<Vec<Row>> {
    let seen: Vec<&Arc<AccountDef>> =
        catalog.accounts.iter().filter(|account| context.viewer.sees_account(&account.name)).collect();
    let rows = match name {
        "USER_PRIVILEGES" => seen.iter().flat_map(|account| user_privileges(account)).collect(),
        "SCHEMA_PRIVILEGES" => seen.iter().flat_map(|account| schema_privileges(account)).collect(),
        "TABLE_PRIVILEGES" => seen.iter().flat_map(|account| table_privileges(account)).collect(),
        "COLUMN_PRIVILEGES" => seen.iter().flat_map(|account| column_privileges(account)).collect(),
        "USER_ATTRIBUTES" => {
            let row = |account: &&Arc<AccountDef>| {
                vec![text(&account.name.user), text(&account.name.host), optional(account.attribute.as_ref())]
            };
            seen.iter().map(row).collect()
        }
        "APPLICABLE_ROLES" => applicable_roles(catalog, context, false),
        "ADMINISTRABLE_ROLE_AUTHORIZATIONS" => applicable_roles(catalog, context, true),
        "ENABLED_ROLES" => enabled_roles(catalog, context),
        _ => return None,
    };
    Some(rows)
}

/// Words of the privileges without GRANT OPTION; USAGE for none.
fn words(privileges: Privileges) -> Vec<&'static str> {
    let listed: Vec<&str> = privileges.without(Privileges::GRANT_OPTION).iter().map(|named| named.sql).collect();
    if listed.is_empty() { vec!["USAGE"] } else { listed }
}

fn grantable(privileges: Privileges) -> Value {
    yes_no(privileges.has(Privileges::GRANT_OPTION))
}

fn user_privileges(account: &AccountDef) -> Vec<Row> {
    let grantee = account.name.literal();
    let row = |word: &str, grantable: Value| vec![text(&grantee), text(CATALOG), text(word), grantable];
    let mut rows: Vec<Row> =
        words(account.global).into_iter().map(|word| row(word, grantable(account.global))).collect();
    rows.extend(account.dynamic.iter().map(|(word, may)| row(word, yes_no(*may))));
    rows
}

fn schema_privileges(account: &AccountDef) -> Vec<Row> {
    let mut rows = Vec::new();
    for (database, privileges) in &account.databases {
        for word in words(*privileges) {
            let grantee = text(account.name.literal());
            rows.push(vec![grantee, text(CATALOG), text(database), text(word), grantable(*privileges)]);
        }
    }
    rows
}

fn table_privileges(account: &AccountDef) -> Vec<Row> {
    let mut rows = Vec::new();
    for ((database, table), grant) in &account.tables {
        if grant.privileges.is_empty() {
            continue;
        }
        for word in words(grant.privileges) {
            rows.push(vec![
                text(account.name.literal()),
                text(CATALOG),
                text(database),
                text(table),
                text(word),
                grantable(grant.privileges),
            ]);
        }
    }
    rows
}

fn column_privileges(account: &AccountDef) -> Vec<Row> {
    let mut rows = Vec::new();
    for ((database, table), grant) in &account.tables {
        for (column, privileges) in &grant.columns {
            for word in words(*privileges) {
                rows.push(vec![
                    text(account.name.literal()),
                    text(CATALOG),
                    text(database),
                    text(table),
                    text(column),
                    text(word),
                    grantable(grant.privileges),
                ]);
            }
        }
    }
    rows
}

/// Roles that the viewer may activate, those of roles among them.
fn applicable_roles(catalog: &Catalog, context: &VirtualContext, only_administrable: bool) -> Vec<Row> {
    let own = &context.viewer.account;
    let mut rows = Vec::new();
    let mut open = vec![own.clone()];
    let mut seen = vec![own.clone()];
    while let Some(grantee) = open.pop() {
        let Some(account) = catalog.accounts.get(&grantee) else { continue };
        for (role, admin) in &account.roles {
            if !seen.contains(role) {
                seen.push(role.clone());
                open.push(role.clone());
            }
            if only_administrable && !admin {
                continue;
            }
            let is_default = account.default_roles.contains(role);
            rows.push(vec![
                text(&own.user),
                text(&own.host),
                text(&grantee.user),
                text(&grantee.host),
                text(&role.user),
                text(&role.host),
                yes_no(*admin),
                yes_no(is_default),
                yes_no(false),
            ]);
        }
    }
    rows
}

fn enabled_roles(catalog: &Catalog, context: &VirtualContext) -> Vec<Row> {
    let own = catalog.accounts.get(&context.viewer.account);
    let row = |role: &AccountName| {
        let is_default = own.is_some_and(|account| account.default_roles.contains(role));
        vec![text(&role.user), text(&role.host), yes_no(is_default), yes_no(false)]
    };
    context.viewer.active_roles.iter().map(row).collect()
}

/// `None` if the table is none of these.
pub(super) fn mysql(name: &str, catalog: &Catalog, context: &VirtualContext) -> Option<Vec<Row>> {
    let of: fn(&AccountDef, &VirtualContext) -> Vec<Row> = match name {
        "user" => |account, context| vec![user(account, context)],
        "db" => databases,
        "tables_priv" => tables,
        "columns_priv" => columns,
        "procs_priv" => routines,
        "global_grants" => global_grants,
        "role_edges" => role_edges,
        "default_roles" => default_roles,
        "proxies_priv" => proxies,
        "password_history" => password_history,
        _ => return None,
    };
    Some(catalog.accounts.iter().flat_map(|account| of(account, context)).collect())
}

fn flag(truth: bool) -> Value {
    text(if truth { "Y" } else { "N" })
}

/// The value of a `..._priv` column.
fn privilege_flag(privileges: Privileges, column: &str) -> Option<Value> {
    let named = privilege::STATIC.iter().find(|named| named.column.eq_ignore_ascii_case(column))?;
    Some(flag(privileges.has(named.privilege)))
}

fn user(account: &AccountDef, context: &VirtualContext) -> Row {
    let days = |days: Option<u32>| days.map_or(Value::Null, number);
    let tls = match &account.tls {
        TlsRule::None => ["", "", "", ""],
        TlsRule::Any => ["ANY", "", "", ""],
        TlsRule::X509 => ["X509", "", "", ""],
        TlsRule::Specified { subject, issuer, cipher } => ["SPECIFIED", cipher, issuer, subject],
    };
    let bytes = |text: &str| Value::Bytes(text.as_bytes().to_vec().into());
    let value = |column: &str| match column {
        "Host" => text(&account.name.host),
        "User" => text(&account.name.user),
        "ssl_type" => text(tls[0]),
        "ssl_cipher" => bytes(tls[1]),
        "x509_issuer" => bytes(tls[2]),
        "x509_subject" => bytes(tls[3]),
        "max_questions" => number(account.limits.queries_per_hour),
        "max_updates" => number(account.limits.updates_per_hour),
        "max_connections" => number(account.limits.connections_per_hour),
        "max_user_connections" => number(account.limits.user_connections),
        "plugin" => text(&account.plugin),
        "authentication_string" => text(account.authentication_string()),
        "password_expired" => flag(account.expired),
        "password_last_changed" => moment(account.password_changed, context.time_zone),
        "password_lifetime" => days(account.lifetime_days.map(u32::from)),
        "account_locked" => flag(account.locked),
        "Password_reuse_history" => days(account.history_count),
        "Password_reuse_time" => days(account.history_days),
        "Password_require_current" => account.require_current.map_or(Value::Null, flag),
        "User_attributes" => user_attributes(account),
        column => privilege_flag(account.global, column).unwrap_or(Value::Null),
    };
    lookup("mysql", "user")
        .map(|table| table.columns.iter().map(|column| value(column.name)).collect())
        .unwrap_or_default()
}

fn user_attributes(account: &AccountDef) -> Value {
    let mut members = Vec::new();
    if let Some(attribute) = &account.attribute {
        members.push(format!("\"metadata\": {attribute}"));
    }
    if account.failed_login_attempts > 0 || account.lock_days != Some(0) {
        let days = account.lock_days.map_or(-1, i32::from);
        members.push(format!(
            "\"Password_locking\": {{\"failed_login_attempts\": {}, \"password_lock_time_days\": {days}}}",
            account.failed_login_attempts
        ));
    }
    if members.is_empty() { Value::Null } else { text(format!("{{{}}}", members.join(", "))) }
}

fn databases(account: &AccountDef, _context: &VirtualContext) -> Vec<Row> {
    let Some(table) = lookup("mysql", "db") else { return Vec::new() };
    let row = |(database, privileges): (&String, &Privileges)| {
        let value = |column: &str| match column {
            "Host" => text(&account.name.host),
            "Db" => text(database),
            "User" => text(&account.name.user),
            column => privilege_flag(*privileges, column).unwrap_or(Value::Null),
        };
        table.columns.iter().map(|column| value(column.name)).collect()
    };
    account.databases.iter().map(row).collect()
}

/// Members of a set column: `Select,Insert`.
fn members(privileges: Privileges) -> Value {
    text(privileges.iter().map(|named| named.member).filter(|member| !member.is_empty()).collect::<Vec<_>>().join(","))
}

fn tables(account: &AccountDef, context: &VirtualContext) -> Vec<Row> {
    let mut rows = Vec::new();
    for ((database, table), grant) in &account.tables {
        let of_columns = grant.columns.values().fold(Privileges::NONE, |all, privileges| all | *privileges);
        rows.push(vec![
            text(&account.name.host),
            text(database),
            text(&account.name.user),
            text(table),
            text(&grant.grantor),
            moment(0, context.time_zone),
            members(grant.privileges),
            members(of_columns),
        ]);
    }
    rows
}

fn columns(account: &AccountDef, context: &VirtualContext) -> Vec<Row> {
    let mut rows = Vec::new();
    for ((database, table), grant) in &account.tables {
        for (column, privileges) in &grant.columns {
            rows.push(vec![
                text(&account.name.host),
                text(database),
                text(&account.name.user),
                text(table),
                text(column),
                moment(0, context.time_zone),
                members(*privileges),
            ]);
        }
    }
    rows
}

fn routines(account: &AccountDef, context: &VirtualContext) -> Vec<Row> {
    let mut rows = Vec::new();
    for ((kind, database, name), privileges) in &account.routines {
        rows.push(vec![
            text(&account.name.host),
            text(database),
            text(&account.name.user),
            text(name),
            text(kind.sql()),
            text(""),
            members(*privileges),
            moment(0, context.time_zone),
        ]);
    }
    rows
}

fn global_grants(account: &AccountDef, _context: &VirtualContext) -> Vec<Row> {
    let row = |(name, grantable): (&String, &bool)| {
        vec![text(&account.name.user), text(&account.name.host), text(name), flag(*grantable)]
    };
    account.dynamic.iter().map(row).collect()
}

fn role_edges(account: &AccountDef, _context: &VirtualContext) -> Vec<Row> {
    let row = |(role, admin): (&AccountName, &bool)| {
        let to = &account.name;
        vec![text(&role.host), text(&role.user), text(&to.host), text(&to.user), flag(*admin)]
    };
    account.roles.iter().map(row).collect()
}

fn default_roles(account: &AccountDef, _context: &VirtualContext) -> Vec<Row> {
    let row = |role: &AccountName| {
        vec![text(&account.name.host), text(&account.name.user), text(&role.host), text(&role.user)]
    };
    account.default_roles.iter().map(row).collect()
}

fn proxies(account: &AccountDef, context: &VirtualContext) -> Vec<Row> {
    let row = |(proxied, grantable): (&AccountName, &bool)| {
        vec![
            text(&account.name.host),
            text(&account.name.user),
            text(&proxied.host),
            text(&proxied.user),
            number(i64::from(*grantable)),
            text(""),
            moment(0, context.time_zone),
        ]
    };
    account.proxies.iter().map(row).collect()
}

fn password_history(account: &AccountDef, context: &VirtualContext) -> Vec<Row> {
    let row = |entry: &crate::account::HistoryEntry| {
        vec![
            text(&account.name.host),
            text(&account.name.user),
            moment(entry.changed_us / 1_000_000, context.time_zone),
            text(&entry.hash),
        ]
    };
    account.history.iter().map(row).collect()
}
