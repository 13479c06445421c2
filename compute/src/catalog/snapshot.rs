//! The catalog as of one LSN: immutable, shared, replaced as a whole when something changes.

use crate::account::{Accounts, RoutineKind};
use crate::catalog::routine::{TriggerEvent, TriggerTiming};
use crate::catalog::{DatabaseDef, EventDef, RoutineDef, TableDef, TriggerDef, ViewDef};
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
    /// How many routines and triggers there are: most servers have none, and need not look for them.
    pub bodies: usize,
}

#[derive(Debug, Clone)]
pub struct Database {
    pub definition: Arc<DatabaseDef>,
    pub tables: BTreeMap<String, Arc<TableDef>>,
    pub views: BTreeMap<String, Arc<ViewDef>>,
    /// By kind and name in lower case.
    pub routines: BTreeMap<(RoutineKind, String), Arc<RoutineDef>>,
    pub triggers: BTreeMap<String, Arc<TriggerDef>>,
    /// By name in lower case.
    pub events: BTreeMap<String, Arc<EventDef>>,
}

impl Database {
    pub fn new(definition: Arc<DatabaseDef>) -> Database {
        Database {
            definition,
            tables: BTreeMap::new(),
            views: BTreeMap::new(),
            routines: BTreeMap::new(),
            triggers: BTreeMap::new(),
            events: BTreeMap::new(),
        }
    }
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

    pub fn routine(&self, kind: RoutineKind, database: &str, name: &str) -> Option<&Arc<RoutineDef>> {
        self.databases.get(database)?.routines.get(&(kind, name.to_lowercase()))
    }

    pub fn event(&self, database: &str, name: &str) -> Option<&Arc<EventDef>> {
        self.databases.get(database)?.events.get(&name.to_lowercase())
    }

    /// Of a table, for one event, in the order in which they fire.
    pub fn triggers(&self, table: &TableDef, timing: TriggerTiming, event: TriggerEvent) -> Vec<Arc<TriggerDef>> {
        if self.bodies == 0 || self.is_temporary(table) {
            return Vec::new();
        }
        let Some(database) = self.databases.get(&table.database) else { return Vec::new() };
        let fires = |trigger: &&Arc<TriggerDef>| {
            trigger.table == table.name && trigger.timing == timing && trigger.event == event
        };
        let mut triggers: Vec<_> = database.triggers.values().filter(fires).cloned().collect();
        triggers.sort_by_key(|trigger| trigger.order);
        triggers
    }
}
