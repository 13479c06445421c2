//! What is stored of one account or role: a row of the catalog's table.

use super::{AccountName, Privileges};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// An account. A role is one that nobody can log in with until it is unlocked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AccountDef {
    pub name: AccountName,
    /// `caching_sha2_password` or another plugin's name.
    pub plugin: String,
    pub credential: Credential,
    /// The password before this one, while both hold: RETAIN CURRENT PASSWORD.
    pub retained: Option<Credential>,
    pub locked: bool,
    pub expired: bool,
    /// Seconds since 1970.
    pub password_changed: u64,
    /// PASSWORD EXPIRE INTERVAL n DAY; 0 is NEVER, None default_password_lifetime.
    pub lifetime_days: Option<u16>,
    /// PASSWORD HISTORY n; None password_history.
    pub history_count: Option<u32>,
    /// PASSWORD REUSE INTERVAL n DAY; None password_reuse_interval.
    pub history_days: Option<u32>,
    /// PASSWORD REQUIRE CURRENT (true), OPTIONAL (false); None password_require_current.
    pub require_current: Option<bool>,
    pub failed_login_attempts: u16,
    /// PASSWORD_LOCK_TIME in days; None is UNBOUNDED.
    pub lock_days: Option<u16>,
    pub tls: TlsRule,
    pub limits: Limits,
    /// ATTRIBUTE and COMMENT: a JSON object.
    pub attribute: Option<String>,
    /// Newest last.
    pub history: Vec<HistoryEntry>,

    pub global: Privileges,
    /// By name, with whether it may be granted on.
    pub dynamic: BTreeMap<String, bool>,
    /// By the pattern of the database's name.
    pub databases: BTreeMap<String, Privileges>,
    /// By database and table.
    pub tables: BTreeMap<(String, String), TableGrant>,
    pub routines: BTreeMap<(RoutineKind, String, String), Privileges>,
    /// GRANT PROXY, with whether it may be granted on.
    pub proxies: BTreeMap<AccountName, bool>,
    /// Roles granted, with whether they may be granted on.
    pub roles: BTreeMap<AccountName, bool>,
    pub default_roles: BTreeSet<AccountName>,
}

/// What is known of a password.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub enum Credential {
    /// The text of mysql.user.authentication_string, in the plugin's form; empty for an empty password.
    Hash(String),
    /// The password that each server was started with. Only of the first `root`.
    OfServer,
}

/// A password of earlier.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// Microseconds since 1970.
    pub changed_us: u64,
    pub hash: String,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct TableGrant {
    pub privileges: Privileges,
    /// By the column's name as it was written.
    pub columns: BTreeMap<String, Privileges>,
    /// `root@localhost`.
    pub grantor: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum RoutineKind {
    Procedure,
    Function,
}

impl RoutineKind {
    pub fn sql(self) -> &'static str {
        match self {
            RoutineKind::Procedure => "PROCEDURE",
            RoutineKind::Function => "FUNCTION",
        }
    }
}

/// REQUIRE.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum TlsRule {
    #[default]
    None,
    /// SSL.
    Any,
    X509,
    Specified {
        subject: String,
        issuer: String,
        cipher: String,
    },
}

/// WITH MAX_...; 0 is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Limits {
    pub queries_per_hour: u32,
    pub updates_per_hour: u32,
    pub connections_per_hour: u32,
    pub user_connections: u32,
}

impl AccountDef {
    /// An account that may log in without a password and do nothing.
    pub fn new(name: AccountName, plugin: &str, now_seconds: u64) -> AccountDef {
        AccountDef {
            name,
            plugin: plugin.to_owned(),
            credential: Credential::Hash(String::new()),
            retained: None,
            locked: false,
            expired: false,
            password_changed: now_seconds,
            lifetime_days: None,
            history_count: None,
            history_days: None,
            require_current: None,
            failed_login_attempts: 0,
            lock_days: Some(0),
            tls: TlsRule::None,
            limits: Limits::default(),
            attribute: None,
            history: Vec::new(),
            global: Privileges::NONE,
            dynamic: BTreeMap::new(),
            databases: BTreeMap::new(),
            tables: BTreeMap::new(),
            routines: BTreeMap::new(),
            proxies: BTreeMap::new(),
            roles: BTreeMap::new(),
            default_roles: BTreeSet::new(),
        }
    }

    /// The account that there is before any is stored.
    pub fn first_root() -> AccountDef {
        let all = super::privilege::DYNAMIC.iter().map(|name| ((*name).to_owned(), true)).collect();
        AccountDef {
            credential: Credential::OfServer,
            global: Privileges::ALL,
            dynamic: all,
            proxies: BTreeMap::from([(AccountName::new("", ""), true)]),
            ..AccountDef::new(AccountName::new("root", "%"), super::password::SHA2_PLUGIN, 0)
        }
    }

    /// authentication_string, as mysql.user shows it.
    pub fn authentication_string(&self) -> &str {
        match &self.credential {
            Credential::Hash(hash) => hash,
            Credential::OfServer => "",
        }
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Credential::Hash(hash) if hash.is_empty() => "Empty",
            Credential::Hash(_) => "Hash(..)",
            Credential::OfServer => "OfServer",
        })
    }
}

impl fmt::Debug for HistoryEntry {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "HistoryEntry({})", self.changed_us)
    }
}
