//! The catalog as of one LSN: immutable, shared, replaced as a whole when something changes.

use crate::account::Accounts;
use crate::catalog::{DatabaseDef, TableDef, ViewDef};
use common::id::{Lsn, TableId};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Names are compared as they are written (lower_case_table_names=0).
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    /// Everything committed up to here is in it.
    pub lsn: Lsn,
    pub databases: BTreeMap<String, Database>,
    pub tables_by_id: HashMap<TableId, Arc<TableDef>>,
    /// Ids of the session's temporary tables, where this is the catalog as a session sees it.
    pub temporary: Arc<[TableId]>,
    /// And then the catalog that all sessions share: what views are made of.
    pub shared: Option<Arc<Catalog>>,
    /// Another one only where an account has changed.
    pub accounts: Arc<Accounts>,
}

#[derive(Debug, Clone)]
pub struct Database {
    pub definition: Arc<DatabaseDef>,
    pub tables: BTreeMap<String, Arc<TableDef>>,
    pub views: BTreeMap<String, Arc<ViewDef>>,
}

impl Catalog {
    pub fn database(&self, name: &str) -> Option<&Database> {
        self.databases.get(name)
    }

    pub fn table(&self, database: &str, name: &str) -> Option<&Arc<TableDef>> {
        self.databases.get(database)?.tables.get(name)
    }

    /// Of the session alone.
    pub fn is_temporary(&self, table: &TableDef) -> bool {
        self.temporary.contains(&table.id)
    }

    /// Whether a name stands for a temporary table.
    pub fn names_temporary(&self, database: &str, name: &str) -> bool {
        !self.temporary.is_empty() && self.table(database, name).is_some_and(|table| self.is_temporary(table))
    }

    pub fn view(&self, database: &str, name: &str) -> Option<&Arc<ViewDef>> {
        self.databases.get(database)?.views.get(name)
    }
}
