//! Statements about accounts, roles and privileges. They name nothing that a binder would have to look up, so the
//! parser gives them as they are run.

use crate::account::password::Secret;
use crate::account::{AccountName, Privileges, RoutineKind, TlsRule};

/// Of whom a statement speaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccountRef {
    /// CURRENT_USER, USER(): the account of the session.
    Current,
    Named(AccountName),
}

#[derive(Debug, Clone)]
pub enum AccountStatement {
    CreateUsers {
        users: Vec<UserSpec>,
        if_not_exists: bool,
        default_roles: Vec<AccountName>,
        options: UserOptions,
    },
    AlterUsers {
        users: Vec<UserSpec>,
        if_exists: bool,
        options: UserOptions,
    },
    DropUsers {
        names: Vec<AccountRef>,
        if_exists: bool,
        are_roles: bool,
    },
    RenameUsers(Vec<(AccountRef, AccountRef)>),
    CreateRoles {
        names: Vec<AccountName>,
        if_not_exists: bool,
    },
    SetPassword {
        user: Option<AccountRef>,
        password: Secret,
        current: Option<Secret>,
        retain: bool,
    },
    SetDefaultRole {
        roles: RoleChoice,
        users: Vec<AccountRef>,
        if_exists: bool,
    },
    Grant {
        privileges: Vec<PrivilegeSpec>,
        on: PrivilegeLevel,
        to: Vec<AccountRef>,
        grant_option: bool,
    },
    Revoke {
        privileges: Vec<PrivilegeSpec>,
        on: PrivilegeLevel,
        from: Vec<AccountRef>,
        rules: RevokeRules,
    },
    /// REVOKE ALL PRIVILEGES, GRANT OPTION FROM.
    RevokeAll {
        from: Vec<AccountRef>,
        rules: RevokeRules,
    },
    GrantRoles {
        roles: Vec<AccountName>,
        to: Vec<AccountRef>,
        admin: bool,
    },
    RevokeRoles {
        roles: Vec<AccountName>,
        from: Vec<AccountRef>,
        rules: RevokeRules,
    },
    GrantProxy {
        proxied: AccountRef,
        to: Vec<AccountRef>,
        grant_option: bool,
    },
    RevokeProxy {
        proxied: AccountRef,
        from: Vec<AccountRef>,
        rules: RevokeRules,
    },
}

/// One account of CREATE USER or ALTER USER.
#[derive(Debug, Clone)]
pub struct UserSpec {
    pub name: AccountRef,
    pub authentication: Option<Authentication>,
    /// DISCARD OLD PASSWORD.
    pub discard_retained: bool,
}

#[derive(Debug, Clone)]
pub struct Authentication {
    pub plugin: Option<String>,
    pub given: Given,
    /// REPLACE 'current password'.
    pub current: Option<Secret>,
    /// RETAIN CURRENT PASSWORD.
    pub retain: bool,
}

#[derive(Debug, Clone)]
pub enum Given {
    /// IDENTIFIED WITH plugin.
    Nothing,
    Password(Secret),
    /// AS 'hash'.
    Hash(Secret),
}

/// What follows the accounts; None leaves it as it is, or as it is at first.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct UserOptions {
    pub tls: Option<TlsRule>,
    pub queries_per_hour: Option<u32>,
    pub updates_per_hour: Option<u32>,
    pub connections_per_hour: Option<u32>,
    pub user_connections: Option<u32>,
    pub expire: Option<Expire>,
    /// The inner None is DEFAULT.
    pub history_count: Option<Option<u32>>,
    pub history_days: Option<Option<u32>>,
    pub require_current: Option<Option<bool>>,
    pub failed_login_attempts: Option<u16>,
    /// The inner None is UNBOUNDED.
    pub lock_days: Option<Option<u16>>,
    pub locked: Option<bool>,
    /// COMMENT.
    pub comment: Option<String>,
    /// ATTRIBUTE: a JSON object.
    pub attribute: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expire {
    Now,
    Default,
    Never,
    Days(u16),
}

/// SET ROLE, SET DEFAULT ROLE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoleChoice {
    Default,
    None,
    All,
    AllExcept(Vec<AccountName>),
    These(Vec<AccountName>),
}

/// `SELECT (a, b)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrivilegeSpec {
    pub privilege: PrivilegeWords,
    pub columns: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PrivilegeWords {
    /// ALL [PRIVILEGES].
    All,
    Usage,
    Static(Privileges),
    /// In upper case; it may be unknown.
    Dynamic(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PrivilegeLevel {
    /// `*.*`
    Global,
    /// `db.*`; None is `*`, the default database.
    Database(Option<String>),
    Table {
        database: Option<String>,
        name: String,
    },
    Routine {
        kind: RoutineKind,
        database: Option<String>,
        name: String,
    },
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RevokeRules {
    pub if_exists: bool,
    pub ignore_unknown_user: bool,
}
