//! What somebody may do: an account's privileges with those of the roles that are active.

use super::{AccountDef, AccountName, Accounts, Privileges, host};
use crate::catalog::{Catalog, RoutineDef};
use common::id::{Lsn, TableId};
use expr::{ErrorCode, SqlError};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The rights of one session, or of a view's definer.
#[derive(Debug, Default)]
pub struct Rights {
    pub account: AccountName,
    /// The client's host, for messages.
    client_host: Arc<str>,
    /// In the order of their names.
    pub active_roles: Vec<AccountName>,
    parts: Vec<Arc<AccountDef>>,
    global: Privileges,
    /// The catalog as far as it may be seen, with the LSN of the whole and its temporary tables.
    visible: Mutex<Option<(Lsn, Arc<[TableId]>, Arc<Catalog>)>>,
}

/// Of a table that is open in part: what each column allows.
#[derive(Debug)]
pub struct ColumnLimits {
    pub database: String,
    pub table: String,
    /// Names in lower case.
    columns: BTreeMap<String, Privileges>,
    who: String,
}

impl Default for AccountName {
    fn default() -> AccountName {
        AccountName::new("", "%")
    }
}

impl Rights {
    /// Of the server itself: everything.
    pub fn of_server() -> Arc<Rights> {
        Arc::new(Rights { global: Privileges::ALL, client_host: "".into(), ..Rights::default() })
    }

    /// Of an account with these roles active. An account that is gone has none.
    pub fn of(account: &AccountName, client_host: &str, roles: &[AccountName], accounts: &Accounts) -> Rights {
        let mut parts = accounts.with_inherited(roles);
        parts.extend(accounts.get(account).cloned());
        let global = parts.iter().fold(Privileges::NONE, |all, part| all | part.global);
        Rights {
            account: account.clone(),
            client_host: client_host.into(),
            active_roles: roles.to_vec(),
            parts,
            global,
            visible: Mutex::default(),
        }
    }

    pub fn global(&self) -> Privileges {
        self.global
    }

    /// Whether nothing in the database is closed to them.
    pub fn is_unlimited(&self) -> bool {
        self.global.has(Privileges::OF_DATABASE.without(Privileges::GRANT_OPTION))
    }

    pub fn database(&self, database: &str) -> Privileges {
        if self.is_unlimited() && self.global.has(Privileges::GRANT_OPTION) {
            return self.global;
        }
        let of_part = |part: &Arc<AccountDef>| {
            let exact = part.databases.get(database).copied();
            let pattern = || {
                let matching = part.databases.iter().filter(|(pattern, _)| host::like(pattern, database));
                matching.min_by_key(|(pattern, _)| host::rank(pattern)).map(|(_, privileges)| *privileges)
            };
            exact.or_else(pattern).unwrap_or_default()
        };
        self.parts.iter().fold(self.global, |all, part| all | of_part(part))
    }

    /// On the whole of a table or view.
    pub fn table(&self, database: &str, table: &str) -> Privileges {
        let above = self.database(database);
        self.table_grants(database, table).fold(above, |all, grant| all | grant.privileges)
    }

    fn table_grants(&self, database: &str, table: &str) -> impl Iterator<Item = &super::TableGrant> {
        let key = (database.to_owned(), table.to_owned());
        self.parts.iter().filter_map(move |part| part.tables.get(&key))
    }

    /// On at least one column.
    pub fn any_column(&self, database: &str, table: &str) -> Privileges {
        let columns = self.table_grants(database, table).flat_map(|grant| grant.columns.values());
        columns.fold(Privileges::NONE, |all, privileges| all | *privileges)
    }

    /// On one column: those on its table too.
    pub fn column(&self, database: &str, table: &str, column: &str) -> Privileges {
        let of_columns = self.table_grants(database, table).flat_map(|grant| &grant.columns);
        of_columns
            .filter(|(name, _)| name.eq_ignore_ascii_case(column))
            .fold(self.table(database, table), |all, (_, privileges)| all | *privileges)
    }

    /// What each column allows to read, where the table as a whole does not. Error 1142 where nothing does.
    pub fn reading(&self, database: &str, table: &str) -> Result<Option<Arc<ColumnLimits>>, SqlError> {
        if self.is_unlimited() || self.table(database, table).has(Privileges::SELECT) {
            return Ok(None);
        }
        if !self.any_column(database, table).has(Privileges::SELECT) {
            return Err(self.table_denied("SELECT", table));
        }
        Ok(Some(self.column_limits(database, table)))
    }

    pub fn column_limits(&self, database: &str, table: &str) -> Arc<ColumnLimits> {
        let mut columns = BTreeMap::new();
        for (name, privileges) in self.table_grants(database, table).flat_map(|grant| &grant.columns) {
            *columns.entry(name.to_lowercase()).or_insert(Privileges::NONE) |= *privileges;
        }
        Arc::new(ColumnLimits { database: database.to_owned(), table: table.to_owned(), columns, who: self.who() })
    }

    pub fn routine(&self, kind: super::RoutineKind, database: &str, name: &str) -> Privileges {
        let key = (kind, database.to_owned(), name.to_lowercase());
        let of_routine = self.parts.iter().filter_map(|part| part.routines.get(&key));
        of_routine.fold(self.database(database), |all, privileges| all | *privileges)
    }

    /// Any right on it, or it is their own.
    pub fn sees_routine(&self, routine: &RoutineDef) -> bool {
        let any = Privileges::EXECUTE | Privileges::ALTER_ROUTINE | Privileges::CREATE_ROUTINE;
        self.routine(routine.kind, &routine.database, &routine.name).has_any(any)
            || self.sees_body(&routine.body.definer)
    }

    /// The text of what this account has defined.
    pub fn sees_body(&self, definer: &str) -> bool {
        self.global.has(Privileges::SELECT)
            || self.dynamic("SHOW_ROUTINE")
            || AccountName::parse(definer) == self.account
    }

    /// A dynamic privilege. SUPER stands for those that took over a part of it.
    pub fn dynamic(&self, name: &str) -> bool {
        const OF_SUPER: [&str; 12] = [
            "BINLOG_ADMIN",
            "BINLOG_ENCRYPTION_ADMIN",
            "CONNECTION_ADMIN",
            "ENCRYPTION_KEY_ADMIN",
            "GROUP_REPLICATION_ADMIN",
            "REPLICATION_SLAVE_ADMIN",
            "RESOURCE_GROUP_ADMIN",
            "ROLE_ADMIN",
            "SESSION_VARIABLES_ADMIN",
            "SET_ANY_DEFINER",
            "SYSTEM_USER",
            "SYSTEM_VARIABLES_ADMIN",
        ];
        self.has_dynamic(name)
            || (self.global.has(Privileges::SUPER) && OF_SUPER.contains(&name))
            || self.global == Privileges::ALL && self.parts.is_empty()
    }

    /// As it was granted.
    pub fn has_dynamic(&self, name: &str) -> bool {
        self.parts.iter().any(|part| part.dynamic.contains_key(name))
    }

    pub fn grants_dynamic(&self, name: &str) -> bool {
        self.parts.iter().any(|part| part.dynamic.get(name).is_some_and(|grantable| *grantable))
    }

    /// Any right on it or in it.
    pub fn sees_database(&self, database: &str) -> bool {
        if self.is_unlimited() || is_open(database) || !self.database(database).is_empty_but_usage() {
            return true;
        }
        self.parts.iter().any(|part| {
            part.tables.keys().any(|(of, _)| of == database) || part.routines.keys().any(|(_, of, _)| of == database)
        })
    }

    /// Any right on it or on one of its columns.
    pub fn sees_table(&self, database: &str, table: &str) -> bool {
        self.is_unlimited()
            || is_open(database)
            || self.table(database, table).has_any(Privileges::OF_TABLE)
            || self.any_column(database, table).has_any(Privileges::OF_COLUMN)
    }

    /// The catalog without what they may not see.
    pub fn visible(&self, catalog: &Catalog) -> Option<Arc<Catalog>> {
        if self.is_unlimited() {
            return None;
        }
        let mut kept = self.visible.lock();
        if let Some((lsn, temporary, visible)) = &*kept
            && *lsn == catalog.lsn
            && Arc::ptr_eq(temporary, &catalog.temporary)
        {
            return Some(visible.clone());
        }
        let mut visible = catalog.clone();
        visible.databases.retain(|name, database| {
            database
                .tables
                .retain(|table, definition| catalog.is_temporary(definition) || self.sees_table(name, table));
            database.views.retain(|view, _| self.sees_table(name, view));
            database.routines.retain(|_, routine| self.sees_routine(routine));
            let triggers = |table: &str| self.table(name, table).has(Privileges::TRIGGER);
            database.triggers.retain(|_, trigger| triggers(&trigger.table));
            database.events.retain(|_, _| self.database(name).has(Privileges::EVENT));
            self.global.has(Privileges::SHOW_DATABASES) || self.sees_database(name)
        });
        visible
            .tables_by_id
            .retain(|_, table| catalog.is_temporary(table) || self.sees_table(&table.database, &table.name));
        let visible = Arc::new(visible);
        *kept = Some((catalog.lsn, catalog.temporary.clone(), visible.clone()));
        Some(visible)
    }

    /// The parts that USER_PRIVILEGES and its like may show: all, or those of the account and its roles.
    pub fn sees_account(&self, name: &AccountName) -> bool {
        self.table("mysql", "user").has(Privileges::SELECT) || *name == self.account
    }

    /// `'user'@'host'` of the client.
    pub fn who(&self) -> String {
        format!("'{}'@'{}'", self.account.user, self.client_host)
    }

    /// 1142.
    pub fn table_denied(&self, command: &str, table: &str) -> SqlError {
        SqlError::new(ErrorCode(1142), format!("{command} command denied to user {} for table '{table}'", self.who()))
    }

    /// 1143.
    pub fn column_denied(&self, command: &str, column: &str, table: &str) -> SqlError {
        column_denied(command, column, table, &self.who())
    }

    /// 1044.
    pub fn database_denied(&self, database: &str) -> SqlError {
        let who = self.account.literal();
        SqlError::new(ErrorCode(1044), format!("Access denied for user {who} to database '{database}'"))
    }

    /// 1142 unless all of these are there. The error names the first that is not.
    pub fn require_table(&self, needed: Privileges, database: &str, table: &str) -> Result<(), SqlError> {
        if self.is_unlimited() {
            return Ok(());
        }
        let missing = needed.without(self.table(database, table));
        match missing.iter().next() {
            Some(first) => Err(self.table_denied(first.sql, table)),
            None => Ok(()),
        }
    }

    /// 1044 unless all of these are there.
    pub fn require_database(&self, needed: Privileges, database: &str) -> Result<(), SqlError> {
        if self.database(database).has(needed) { Ok(()) } else { Err(self.database_denied(database)) }
    }

    /// 1227 unless one of these static privileges is there globally.
    pub fn require_any(&self, of: Privileges) -> Result<(), SqlError> {
        if self.global.has_any(of) {
            return Ok(());
        }
        Err(specific_access_denied(&of.iter().map(|named| named.sql).collect::<Vec<_>>().join(" or ")))
    }

    /// 1227 unless this dynamic privilege (or SUPER) is there.
    pub fn require_dynamic(&self, name: &str) -> Result<(), SqlError> {
        if self.dynamic(name) { Ok(()) } else { Err(specific_access_denied(&format!("SUPER or {name}"))) }
    }
}

impl Privileges {
    /// GRANT OPTION alone opens nothing; neither do privileges that name no database.
    fn is_empty_but_usage(self) -> bool {
        !self.has_any(Privileges::OF_DATABASE)
    }
}

impl ColumnLimits {
    /// 1143 unless the column may be read.
    pub fn check_read(&self, column: &str) -> Result<(), SqlError> {
        if self.allows(Privileges::SELECT, column) {
            return Ok(());
        }
        Err(column_denied("SELECT", column, &self.table, &self.who))
    }

    pub fn allows(&self, privilege: Privileges, column: &str) -> bool {
        self.columns.get(&column.to_lowercase()).is_some_and(|privileges| privileges.has(privilege))
    }

    /// 1142: all columns were asked for.
    pub fn all_denied(&self) -> SqlError {
        SqlError::new(ErrorCode(1142), format!("SELECT command denied to user {} for table '{}'", self.who, self.table))
    }
}

fn column_denied(command: &str, column: &str, table: &str, who: &str) -> SqlError {
    SqlError::new(
        ErrorCode(1143),
        format!("{command} command denied to user {who} for column '{column}' in table '{table}'"),
    )
}

/// 1227.
pub fn specific_access_denied(privileges: &str) -> SqlError {
    SqlError::new(
        ErrorCode(1227),
        format!("Access denied; you need (at least one of) the {privileges} privilege(s) for this operation"),
    )
}

/// Everybody may read it; what it shows depends on the reader.
fn is_open(database: &str) -> bool {
    ["information_schema", "performance_schema"].iter().any(|open| open.eq_ignore_ascii_case(database))
}
