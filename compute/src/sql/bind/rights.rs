//! Privileges of what a statement names: checked as names are resolved, before it is told whether they exist.
//!
//! Tables of FROM need SELECT, on the whole or on the columns that are read; what is changed needs its own. A view's
//! body is bound with the rights of its definer, or with those of whoever asks (SQL SECURITY INVOKER).

use crate::account::{AccountName, ColumnLimits, Privileges, Rights};
use crate::catalog::{TableDef, ViewDef};
use crate::sql::bind::Binder;
use crate::sql::bind::scope::{Scope, ScopeColumn};
use crate::sql::parse::ast::{self, Name};
use crate::sql::plan::account::{AccountStatement, PrivilegeLevel};
use crate::sql::plan::{AlterAction, Ddl, ObjectName};
use expr::{ErrorCode, SqlError};
use std::sync::Arc;

/// Tables of performance_schema that everybody may read, as in MySQL.
const OPEN_PERFORMANCE_TABLES: [&str; 5] =
    ["global_status", "global_variables", "processlist", "session_status", "session_variables"];

impl Binder<'_> {
    /// What may be read of a table or view in FROM; None is all of it.
    pub fn read_limits(&self, database: &str, name: &str) -> Result<Option<Arc<ColumnLimits>>, SqlError> {
        let open = database.eq_ignore_ascii_case("information_schema")
            || (database.eq_ignore_ascii_case("performance_schema")
                && OPEN_PERFORMANCE_TABLES.iter().any(|table| table.eq_ignore_ascii_case(name)));
        if open || self.rights.is_unlimited() || self.context.catalog.names_temporary(database, name) {
            return Ok(None);
        }
        if self.row_ids && self.frames.len() == 1 {
            // A table of UPDATE or DELETE: its columns are looked at one by one.
            let held = self.rights.table(database, name);
            if held.has(Privileges::SELECT) {
                return Ok(None);
            }
            let any = held | self.rights.any_column(database, name);
            if !any.has_any(self.change | Privileges::SELECT) {
                return Err(self.rights.table_denied(&self.change.list(), name));
            }
            return Ok(Some(self.rights.column_limits(database, name)));
        }
        self.rights.reading(database, name)
    }

    /// 1142 for a table of UPDATE or DELETE that is only read and may not be.
    pub fn check_read_only_tables(&mut self, changed: &[usize]) -> Result<(), SqlError> {
        let rights = self.rights.clone();
        for (position, table) in self.block().scope.tables.iter().enumerate() {
            if let (false, Some(limits)) = (changed.contains(&position), &table.limits) {
                rights.reading(&limits.database, &limits.table)?;
            }
        }
        Ok(())
    }

    /// 1142, or 1143 where other columns of the table may be changed so.
    pub fn check_column(&self, needed: Privileges, table: &TableDef, column: &str) -> Result<(), SqlError> {
        let rights = &self.rights;
        if rights.is_unlimited()
            || self.context.catalog.is_temporary(table)
            || rights.column(&table.database, &table.name, column).has(needed)
        {
            return Ok(());
        }
        let command = needed.list();
        if rights.any_column(&table.database, &table.name).has(needed) {
            return Err(rights.column_denied(&command, column, &table.name));
        }
        Err(rights.table_denied(&command, &table.name))
    }

    /// 1142 unless the table, or one of its columns, may be changed so.
    pub fn check_some(&self, needed: Privileges, database: &str, name: &str) -> Result<(), SqlError> {
        let rights = &self.rights;
        let held = || rights.table(database, name) | rights.any_column(database, name);
        if rights.is_unlimited() || self.context.catalog.names_temporary(database, name) || held().has(needed) {
            return Ok(());
        }
        Err(rights.table_denied(&needed.list(), name))
    }

    /// 1142 unless all of these are there for the whole table. What is the session's own needs none.
    pub fn need_table(&self, needed: Privileges, database: &str, name: &str) -> Result<(), SqlError> {
        if self.context.catalog.names_temporary(database, name) {
            return Ok(());
        }
        self.rights.require_table(needed, database, name)
    }

    /// FOR UPDATE: 1142 unless the rows could be changed, or their tables locked.
    pub fn check_locking(&self, table: &TableDef) -> Result<(), SqlError> {
        let any = Privileges::UPDATE | Privileges::DELETE | Privileges::LOCK_TABLES;
        let held = self.rights.table(&table.database, &table.name);
        if self.rights.is_unlimited() || self.context.catalog.is_temporary(table) || held.has_any(any) {
            return Ok(());
        }
        Err(self.rights.table_denied("SELECT with locking clause", &table.name))
    }

    /// Whose rights a view's body has.
    pub fn rights_of_view(&self, view: &ViewDef) -> Result<Arc<Rights>, SqlError> {
        if view.invoker {
            return Ok(self.rights.clone());
        }
        let definer = AccountName::parse(&view.definer);
        let accounts = &self.context.catalog.accounts;
        match accounts.definer(&definer) {
            Some(account) => {
                let roles: Vec<AccountName> = account.default_roles.iter().cloned().collect();
                Ok(Arc::new(Rights::of(&account.name, &definer.host, &roles, accounts)))
            }
            None => Err(SqlError::new(
                ErrorCode(1449),
                format!("The user specified as a definer ({}) does not exist", definer.literal()),
            )),
        }
    }

    /// 1227 where a definer is named that is not the account itself.
    pub fn check_definer(&self, definer: Option<&str>) -> Result<(), SqlError> {
        match definer {
            Some(definer) if AccountName::parse(definer) != self.rights.account => {
                self.rights.require_dynamic("SET_ANY_DEFINER")
            }
            _ => Ok(()),
        }
    }

    /// CREATE VIEW and ALTER VIEW, before the view's query is looked at.
    pub fn check_view(&self, view: &ast::CreateView) -> Result<(), SqlError> {
        let database = self.database_of(&view.name)?;
        self.rights.require_table(Privileges::CREATE_VIEW, &database, &view.name.name)?;
        if view.or_replace || view.alter {
            self.rights.require_table(Privileges::DROP, &database, &view.name.name)?;
        }
        self.check_definer(view.definer.as_deref())
    }

    /// Names in GRANT and REVOKE get the default database.
    pub fn account_statement(&self, statement: &AccountStatement) -> Result<AccountStatement, SqlError> {
        let mut statement = statement.clone();
        if let AccountStatement::Grant { on, .. } | AccountStatement::Revoke { on, .. } = &mut statement
            && let PrivilegeLevel::Database(database)
            | PrivilegeLevel::Table { database, .. }
            | PrivilegeLevel::Routine { database, .. } = on
            && database.is_none()
        {
            *database = Some(self.database_of(&Name { database: None, name: String::new() })?);
        }
        Ok(statement)
    }

    /// What a definition needs, beside what its queries read.
    pub fn check_ddl(&self, ddl: &Ddl) -> Result<(), SqlError> {
        self.check_routine_ddl(ddl)?;
        let rights = &self.rights;
        if rights.is_unlimited() {
            return Ok(());
        }
        let need = |needed: Privileges, name: &ObjectName| self.need_table(needed, &name.database, &name.name);
        match ddl {
            Ddl::CreateTable(create) if create.temporary => {
                rights.require_database(Privileges::CREATE_TEMPORARY_TABLES, &create.name.database)
            }
            Ddl::CreateTableLike { name, like, temporary: true, .. } => {
                rights.require_database(Privileges::CREATE_TEMPORARY_TABLES, &name.database)?;
                need(Privileges::SELECT, like)
            }
            Ddl::DropTables { temporary: true, .. } => Ok(()),
            Ddl::CreateDatabase { name, .. } => rights.require_database(Privileges::CREATE, name),
            Ddl::AlterDatabase { name, .. } => rights.require_database(Privileges::ALTER, name),
            Ddl::DropDatabase { name, .. } => rights.require_database(Privileges::DROP, name),
            Ddl::CreateTable(create) => {
                need(Privileges::CREATE, &create.name)?;
                if create.source.is_some() {
                    need(Privileges::INSERT, &create.name)?;
                }
                create.foreign_keys.iter().try_for_each(|key| need(Privileges::REFERENCES, &key.parent))
            }
            Ddl::CreateTableLike { name, like, .. } => {
                need(Privileges::CREATE, name)?;
                need(Privileges::SELECT, like)
            }
            Ddl::DropTables { names, .. } | Ddl::DropViews { names, .. } => {
                names.iter().try_for_each(|name| need(Privileges::DROP, name))
            }
            Ddl::AlterTable { name, is_index_statement: true, .. } => need(Privileges::INDEX, name),
            Ddl::AlterTable { name, actions, .. } => {
                need(Privileges::ALTER, name)?;
                actions.iter().try_for_each(|action| self.check_alter(name, action))
            }
            Ddl::RenameTables(pairs) => pairs.iter().try_for_each(|(from, to)| {
                need(Privileges::ALTER | Privileges::DROP, from)?;
                need(Privileges::CREATE | Privileges::INSERT, to)
            }),
            Ddl::Truncate(name) => need(Privileges::DROP, name),
            // They look at rights themselves.
            Ddl::CreateView(_) | Ddl::Account(_) => Ok(()),
            Ddl::CreateRoutine(_)
            | Ddl::AlterRoutine { .. }
            | Ddl::DropRoutine { .. }
            | Ddl::CreateTrigger { .. }
            | Ddl::DropTrigger { .. }
            | Ddl::CreateEvent(_)
            | Ddl::AlterEvent { .. }
            | Ddl::DropEvent { .. } => Ok(()),
        }
    }

    fn check_alter(&self, table: &ObjectName, action: &AlterAction) -> Result<(), SqlError> {
        use crate::sql::parse::ast::PartitionAction;
        let need = |needed: Privileges, name: &ObjectName| self.need_table(needed, &name.database, &name.name);
        match action {
            AlterAction::Rename(to) => {
                need(Privileges::DROP, table)?;
                need(Privileges::CREATE | Privileges::INSERT, to)
            }
            AlterAction::AddForeignKey(key) => need(Privileges::REFERENCES, &key.parent),
            AlterAction::Partition(PartitionAction::Drop(_) | PartitionAction::Truncate(_)) => {
                need(Privileges::DROP, table)
            }
            AlterAction::Partition(PartitionAction::Exchange { table: other, .. }) => {
                let database = other.database.clone().unwrap_or_else(|| table.database.clone());
                let other = ObjectName { database, name: other.name.clone() };
                let needed = Privileges::DROP | Privileges::INSERT | Privileges::CREATE;
                need(needed, table)?;
                need(needed | Privileges::ALTER, &other)
            }
            _ => Ok(()),
        }
    }

    /// SHOW COLUMNS, SHOW INDEX, DESCRIBE: 1142 unless something of the table is open.
    pub fn check_described(&self, database: &str, name: &str) -> Result<(), SqlError> {
        let rights = &self.rights;
        let any = Privileges::OF_COLUMN;
        let open = rights.is_unlimited()
            || self.context.catalog.names_temporary(database, name)
            || database.eq_ignore_ascii_case("information_schema")
            || database.eq_ignore_ascii_case("performance_schema")
            || rights.table(database, name).has_any(any)
            || rights.any_column(database, name).has_any(any);
        if open { Ok(()) } else { Err(rights.table_denied("SELECT", name)) }
    }

    /// SHOW TABLES and its like: 1044 for a database in which nothing is open.
    pub fn check_shown_database(&self, database: &str) -> Result<(), SqlError> {
        if self.rights.sees_database(database) { Ok(()) } else { Err(self.rights.database_denied(database)) }
    }
}

impl Scope {
    /// 1143 unless the column may be read.
    pub fn check_read(&self, column: &ScopeColumn) -> Result<(), SqlError> {
        match &self.tables[column.table].limits {
            Some(limits) => limits.check_read(&column.name),
            None => Ok(()),
        }
    }
}
