//! Temporary tables: definitions that one session alone sees.
//!
//! Their rows are stored as those of other tables, under ids of their own that are never used again; their definitions
//! are here and nowhere else, and go with the session. A statement is bound against the catalog with these tables over
//! it, so they stand in the way of other tables and views of the same names in every form of statement.
//!
//! Invariant: a temporary table's version is `Lsn::ZERO`; so nobody locks its definition or relies on it.

use crate::catalog::{Catalog, TableDef};
use common::id::TableId;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Of one session. Shared with the statement that runs.
#[derive(Default)]
pub struct TemporaryTables {
    state: Mutex<State>,
}

/// By database and name.
pub type Definitions = BTreeMap<(String, String), Arc<TableDef>>;

#[derive(Default)]
struct State {
    tables: Definitions,
    /// The shared catalog, and the same with the tables over it.
    seen: Option<(Arc<Catalog>, Arc<Catalog>)>,
}

impl TemporaryTables {
    /// The catalog as the session sees it.
    pub fn over(&self, shared: &Arc<Catalog>) -> Arc<Catalog> {
        let mut state = self.state.lock();
        if state.tables.is_empty() {
            return shared.clone();
        }
        if let Some((of, seen)) = &state.seen
            && Arc::ptr_eq(of, shared)
        {
            return seen.clone();
        }
        let mut seen = (**shared).clone();
        let mut ids: Vec<TableId> = Vec::new();
        for ((database, name), table) in &state.tables {
            if let Some(database) = seen.databases.get_mut(database) {
                database.tables.insert(name.clone(), table.clone());
                seen.tables_by_id.insert(table.id, table.clone());
                ids.push(table.id);
            }
        }
        seen.temporary = ids.into();
        seen.shared = Some(shared.clone());
        let seen = Arc::new(seen);
        state.seen = Some((shared.clone(), seen.clone()));
        seen
    }

    pub fn get(&self, database: &str, name: &str) -> Option<Arc<TableDef>> {
        self.state.lock().tables.get(&(database.to_owned(), name.to_owned())).cloned()
    }

    pub fn put(&self, table: TableDef) {
        let mut state = self.state.lock();
        state.tables.insert((table.database.clone(), table.name.clone()), Arc::new(table));
        state.seen = None;
    }

    pub fn remove(&self, database: &str, name: &str) {
        let mut state = self.state.lock();
        state.tables.remove(&(database.to_owned(), name.to_owned()));
        state.seen = None;
    }

    /// All of them, to be put back where a statement fails.
    pub fn definitions(&self) -> Definitions {
        self.state.lock().tables.clone()
    }

    pub fn restore(&self, tables: Definitions) {
        *self.state.lock() = State { tables, seen: None };
    }
}
