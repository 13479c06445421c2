//! SHOW GRANTS and SHOW CREATE USER.

use super::{AccountDef, AccountName, Accounts, Credential, Privileges, TlsRule};
use crate::catalog::describe::{literal, quoted};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The lines of SHOW GRANTS for an account with the privileges of some of its roles.
pub fn grants(account: &AccountDef, using: &[AccountName], accounts: &Accounts) -> Vec<String> {
    let mut parts = accounts.with_inherited(using);
    parts.retain(|part| part.name != account.name);
    parts.insert(0, Arc::new(account.clone()));
    let to = account.name.quoted();
    let mut lines = Vec::new();
    let global = parts.iter().fold(Privileges::NONE, |all, part| all | part.global);
    lines.push(line(&listed(global), "*.*", &to, global));
    lines.extend(dynamic_lines(&parts, &to));
    let mut databases: BTreeMap<&String, Privileges> = BTreeMap::new();
    for (database, privileges) in parts.iter().flat_map(|part| &part.databases) {
        *databases.entry(database).or_default() |= *privileges;
    }
    for (database, privileges) in databases {
        let words = all_or_listed(privileges, Privileges::OF_DATABASE);
        lines.push(line(&words, &format!("{}.*", quoted(database)), &to, privileges));
    }
    lines.extend(table_lines(&parts, &to));
    for ((kind, database, name), privileges) in parts.iter().flat_map(|part| &part.routines) {
        let on = format!("{} {}.{}", kind.sql(), quoted(database), quoted(name));
        lines.push(line(&listed(*privileges), &on, &to, *privileges));
    }
    for (proxied, grantable) in &account.proxies {
        let option = if *grantable { " WITH GRANT OPTION" } else { "" };
        lines.push(format!("GRANT PROXY ON {} TO {to}{option}", proxied.quoted()));
    }
    for admin in [false, true] {
        let roles: Vec<String> =
            account.roles.iter().filter(|(_, is_admin)| **is_admin == admin).map(|(role, _)| role.quoted()).collect();
        if !roles.is_empty() {
            let option = if admin { " WITH ADMIN OPTION" } else { "" };
            lines.push(format!("GRANT {} TO {to}{option}", roles.join(",")));
        }
    }
    lines
}

fn line(words: &str, on: &str, to: &str, privileges: Privileges) -> String {
    let option = if privileges.has(Privileges::GRANT_OPTION) { " WITH GRANT OPTION" } else { "" };
    format!("GRANT {words} ON {on} TO {to}{option}")
}

fn listed(privileges: Privileges) -> String {
    let rest = privileges.without(Privileges::GRANT_OPTION);
    if rest.is_empty() { "USAGE".to_owned() } else { rest.list() }
}

fn all_or_listed(privileges: Privileges, all: Privileges) -> String {
    let all = all.without(Privileges::GRANT_OPTION);
    if privileges.has(all) { "ALL PRIVILEGES".to_owned() } else { listed(privileges) }
}

fn dynamic_lines(parts: &[Arc<AccountDef>], to: &str) -> Vec<String> {
    let mut all: BTreeMap<&str, bool> = BTreeMap::new();
    for (name, grantable) in parts.iter().flat_map(|part| &part.dynamic) {
        *all.entry(name).or_default() |= *grantable;
    }
    let mut lines = Vec::new();
    for grantable in [false, true] {
        let names: Vec<&str> = all.iter().filter(|(_, may)| **may == grantable).map(|(name, _)| *name).collect();
        if !names.is_empty() {
            let option = if grantable { " WITH GRANT OPTION" } else { "" };
            lines.push(format!("GRANT {} ON *.* TO {to}{option}", names.join(",")));
        }
    }
    lines
}

fn table_lines(parts: &[Arc<AccountDef>], to: &str) -> Vec<String> {
    let names: BTreeSet<&(String, String)> = parts.iter().flat_map(|part| part.tables.keys()).collect();
    let mut lines = Vec::new();
    for name in names {
        let mut privileges = Privileges::NONE;
        let mut columns: BTreeMap<&str, Privileges> = BTreeMap::new();
        for grant in parts.iter().filter_map(|part| part.tables.get(name)) {
            privileges |= grant.privileges;
            for (column, of_column) in &grant.columns {
                *columns.entry(column).or_default() |= *of_column;
            }
        }
        let on = format!("{}.{}", quoted(&name.0), quoted(&name.1));
        let mut words = Vec::new();
        if privileges.has(Privileges::OF_TABLE.without(Privileges::GRANT_OPTION)) {
            words.push("ALL PRIVILEGES".to_owned());
        } else {
            for named in (privileges | Privileges::OF_COLUMN).without(Privileges::GRANT_OPTION).iter() {
                let of_columns: Vec<String> = columns
                    .iter()
                    .filter(|(_, of_column)| of_column.has(named.privilege))
                    .map(|(column, _)| quoted(column))
                    .collect();
                if privileges.has(named.privilege) {
                    words.push(named.sql.to_owned());
                }
                if !of_columns.is_empty() {
                    words.push(format!("{} ({})", named.sql, of_columns.join(", ")));
                }
            }
        }
        if words.is_empty() {
            words.push("USAGE".to_owned());
        }
        lines.push(line(&words.join(", "), &on, to, privileges));
    }
    lines
}

/// SHOW CREATE USER.
pub fn create_user(account: &AccountDef) -> String {
    let mut text = format!("CREATE USER {} IDENTIFIED WITH {}", account.name.quoted(), literal(&account.plugin));
    if let Credential::Hash(hash) = &account.credential
        && !hash.is_empty()
    {
        text += &format!(" AS {}", literal(hash));
    }
    if !account.default_roles.is_empty() {
        let roles: Vec<String> = account.default_roles.iter().map(AccountName::quoted).collect();
        text += &format!(" DEFAULT ROLE {}", roles.join(","));
    }
    text += " REQUIRE ";
    match &account.tls {
        TlsRule::None => text += "NONE",
        TlsRule::Any => text += "SSL",
        TlsRule::X509 => text += "X509",
        TlsRule::Specified { subject, issuer, cipher } => {
            let parts = [("SUBJECT", subject), ("ISSUER", issuer), ("CIPHER", cipher)];
            let given = parts.iter().filter(|(_, value)| !value.is_empty());
            text += &given.map(|(word, value)| format!("{word} {}", literal(value))).collect::<Vec<_>>().join(" ");
        }
    }
    let limits = [
        ("MAX_QUERIES_PER_HOUR", account.limits.queries_per_hour),
        ("MAX_UPDATES_PER_HOUR", account.limits.updates_per_hour),
        ("MAX_CONNECTIONS_PER_HOUR", account.limits.connections_per_hour),
        ("MAX_USER_CONNECTIONS", account.limits.user_connections),
    ];
    let given: Vec<String> =
        limits.iter().filter(|(_, limit)| *limit > 0).map(|(word, limit)| format!("{word} {limit}")).collect();
    if !given.is_empty() {
        text += &format!(" WITH {}", given.join(" "));
    }
    text += &match (account.expired, account.lifetime_days) {
        (true, _) => " PASSWORD EXPIRE".to_owned(),
        (false, None) => " PASSWORD EXPIRE DEFAULT".to_owned(),
        (false, Some(0)) => " PASSWORD EXPIRE NEVER".to_owned(),
        (false, Some(days)) => format!(" PASSWORD EXPIRE INTERVAL {days} DAY"),
    };
    text += if account.locked { " ACCOUNT LOCK" } else { " ACCOUNT UNLOCK" };
    text += &account.history_count.map_or(" PASSWORD HISTORY DEFAULT".to_owned(), |n| format!(" PASSWORD HISTORY {n}"));
    text += &account
        .history_days
        .map_or(" PASSWORD REUSE INTERVAL DEFAULT".to_owned(), |days| format!(" PASSWORD REUSE INTERVAL {days} DAY"));
    text += match account.require_current {
        None => " PASSWORD REQUIRE CURRENT DEFAULT",
        Some(true) => " PASSWORD REQUIRE CURRENT",
        Some(false) => " PASSWORD REQUIRE CURRENT OPTIONAL",
    };
    if account.failed_login_attempts > 0 || account.lock_days != Some(0) {
        let days = account.lock_days.map_or("UNBOUNDED".to_owned(), |days| days.to_string());
        text += &format!(" FAILED_LOGIN_ATTEMPTS {} PASSWORD_LOCK_TIME {days}", account.failed_login_attempts);
    }
    if let Some(attribute) = &account.attribute {
        text += &format!(" ATTRIBUTE {}", literal(attribute));
    }
    text
}
