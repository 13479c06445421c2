//! Definitions as rows: keys by name, one column with the definition in postcard behind a format number.
//!
//! Databases, tables, views, accounts, routines, triggers and events are indexes of [`CATALOG_TABLE`]. A key is the name,
//! for what is in a database the database's name, a zero byte, the object's name, for accounts user, zero byte, host; no
//! name has a zero byte in it. A routine's name has its kind before it (`p`, `f`); names of routines and events are in
//! lower case.

use crate::account::{AccountDef, AccountName, RoutineKind};
use crate::catalog::{Catalog, Database, DatabaseDef, EventDef, RoutineDef, TableDef, TriggerDef, ViewDef};
use crate::execute::codec;
use bytes::Bytes;
use common::id::{CounterId, IndexId, Lsn};
use common::key::{Key, KeyRange, index_prefix, table_and_index};
use expr::SqlError;
use serde::{Serialize, de::DeserializeOwned};
use std::sync::Arc;

pub use crate::txn::commit::FIRST_USER_TABLE;

pub use common::id::CATALOG_TABLE;
const DATABASES: IndexId = IndexId(0);
const TABLES: IndexId = IndexId(1);
const VIEWS: IndexId = IndexId(2);
const ACCOUNTS: IndexId = IndexId(3);
const ROUTINES: IndexId = IndexId(4);
const TRIGGERS: IndexId = IndexId(5);
const EVENTS: IndexId = IndexId(6);

/// Gives out table ids; a table's own counter has the number of its id.
pub const TABLE_ID_COUNTER: CounterId = CounterId(1);

/// Of stored definitions. Another number needs code that reads both.
const FORMAT: u8 = 1;

pub fn database_key(name: &str) -> Key {
    key(DATABASES, &[name])
}

pub fn table_key(database: &str, name: &str) -> Key {
    key(TABLES, &[database, name])
}

pub fn view_key(database: &str, name: &str) -> Key {
    key(VIEWS, &[database, name])
}

pub fn routine_key(kind: RoutineKind, database: &str, name: &str) -> Key {
    let kind = match kind {
        RoutineKind::Procedure => 'p',
        RoutineKind::Function => 'f',
    };
    key(ROUTINES, &[database, &format!("{kind}{}", name.to_lowercase())])
}

pub fn trigger_key(database: &str, name: &str) -> Key {
    key(TRIGGERS, &[database, name])
}

pub fn event_key(database: &str, name: &str) -> Key {
    key(EVENTS, &[database, &name.to_lowercase()])
}

pub fn account_key(name: &AccountName) -> Key {
    key(ACCOUNTS, &[&name.user, &name.host])
}

/// Locked by whoever changes accounts; nothing is stored under it.
pub fn accounts_key() -> Key {
    key(ACCOUNTS, &[])
}

/// Everything the catalog stores.
pub fn whole() -> Vec<KeyRange> {
    [DATABASES, TABLES, VIEWS, ACCOUNTS, ROUTINES, TRIGGERS, EVENTS]
        .map(|index| KeyRange::index(CATALOG_TABLE, index))
        .to_vec()
}

fn key(index: IndexId, names: &[&str]) -> Key {
    let mut key = index_prefix(CATALOG_TABLE, index).to_vec();
    key.extend_from_slice(names.join("\0").as_bytes());
    key.into()
}

/// A definition as a stored row.
pub fn row_of(definition: &impl Serialize) -> Result<Bytes, SqlError> {
    let stored = postcard::to_extend(definition, vec![FORMAT])
        .map_err(|error| SqlError::internal(format!("A definition cannot be stored: {error}")))?;
    Ok(codec::bytes_row(stored.into()))
}

fn definition_of<T: DeserializeOwned>(row: &Bytes, what: &str) -> Result<T, SqlError> {
    let damaged = |error: String| SqlError::internal(format!("The stored definition of {what} is damaged: {error}"));
    let stored = codec::row_bytes(row)?;
    match stored.split_first() {
        Some((&FORMAT, definition)) => postcard::from_bytes(definition).map_err(|error| damaged(error.to_string())),
        Some((format, _)) => Err(damaged(format!("format {format} is of a newer version of this server"))),
        None => Err(damaged("it is empty".into())),
    }
}

/// Applies one change of the catalog's rows. Keys of other tables are not for here: false.
pub fn apply(catalog: &mut Catalog, key: &Key, row: Option<&Bytes>, lsn: Lsn) -> Result<bool, SqlError> {
    let Some((CATALOG_TABLE, index)) = table_and_index(key) else { return Ok(false) };
    let names = String::from_utf8_lossy(&key[common::key::KEY_PREFIX_BYTES..]).into_owned();
    let (database, name) = names.split_once('\0').unwrap_or((&names, ""));
    match index {
        DATABASES => apply_database(catalog, database, row)?,
        TABLES => apply_table(catalog, database, name, row, lsn)?,
        VIEWS => apply_view(catalog, database, name, row, lsn)?,
        ACCOUNTS => {
            let account: Option<AccountDef> = row.map(|row| definition_of(row, database)).transpose()?;
            Arc::make_mut(&mut catalog.accounts).put(AccountName::new(database, name), account);
        }
        ROUTINES | TRIGGERS | EVENTS => {
            apply_body(catalog, index, database, name, row, lsn)?;
            count_bodies(catalog);
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn count_bodies(catalog: &mut Catalog) {
    let databases = catalog.databases.values();
    catalog.bodies = databases.map(|database| database.routines.len() + database.triggers.len()).sum();
}

fn apply_body(
    catalog: &mut Catalog,
    index: IndexId,
    database: &str,
    name: &str,
    row: Option<&Bytes>,
    lsn: Lsn,
) -> Result<(), SqlError> {
    let Some(of) = catalog.databases.get_mut(database) else { return Ok(()) };
    match index {
        ROUTINES => {
            let kind = if name.starts_with('f') { RoutineKind::Function } else { RoutineKind::Procedure };
            let key = (kind, name.get(1..).unwrap_or_default().to_owned());
            match row {
                None => drop(of.routines.remove(&key)),
                Some(row) => {
                    let mut definition: RoutineDef = definition_of(row, name)?;
                    definition.version = lsn;
                    of.routines.insert(key, Arc::new(definition));
                }
            }
        }
        TRIGGERS => match row {
            None => drop(of.triggers.remove(name)),
            Some(row) => {
                let mut definition: TriggerDef = definition_of(row, name)?;
                definition.version = lsn;
                of.triggers.insert(name.to_owned(), Arc::new(definition));
            }
        },
        _ => match row {
            None => drop(of.events.remove(name)),
            Some(row) => {
                let mut definition: EventDef = definition_of(row, name)?;
                definition.version = lsn;
                of.events.insert(name.to_owned(), Arc::new(definition));
            }
        },
    }
    Ok(())
}

fn apply_database(catalog: &mut Catalog, name: &str, row: Option<&Bytes>) -> Result<(), SqlError> {
    let Some(row) = row else {
        if let Some(database) = catalog.databases.remove(name) {
            database.tables.values().for_each(|table| drop(catalog.tables_by_id.remove(&table.id)));
            count_bodies(catalog);
        }
        return Ok(());
    };
    let definition: Arc<DatabaseDef> = Arc::new(definition_of(row, name)?);
    match catalog.databases.get_mut(name) {
        Some(database) => database.definition = definition,
        None => {
            catalog.databases.insert(name.to_owned(), Database::new(definition));
        }
    }
    Ok(())
}

fn apply_table(
    catalog: &mut Catalog,
    database: &str,
    name: &str,
    row: Option<&Bytes>,
    lsn: Lsn,
) -> Result<(), SqlError> {
    let Some(of) = catalog.databases.get_mut(database) else { return Ok(()) };
    let before = match row {
        None => of.tables.remove(name),
        Some(row) => {
            let mut definition: TableDef = definition_of(row, name)?;
            if definition.indexes.is_empty() {
                return Err(SqlError::internal(format!(
                    "The stored definition of {name} is damaged: no clustered index"
                )));
            }
            definition.version = lsn;
            let definition = Arc::new(definition);
            catalog.tables_by_id.insert(definition.id, definition.clone());
            of.tables.insert(name.to_owned(), definition)
        }
    };
    // A renamed table comes with its id under another name, before or after this change: only a table that is still
    // the one known by its id goes.
    if let Some(before) = before
        && catalog.tables_by_id.get(&before.id).is_some_and(|known| Arc::ptr_eq(known, &before))
    {
        catalog.tables_by_id.remove(&before.id);
    }
    Ok(())
}

fn apply_view(
    catalog: &mut Catalog,
    database: &str,
    name: &str,
    row: Option<&Bytes>,
    lsn: Lsn,
) -> Result<(), SqlError> {
    let Some(of) = catalog.databases.get_mut(database) else { return Ok(()) };
    match row {
        None => drop(of.views.remove(name)),
        Some(row) => {
            let mut definition: ViewDef = definition_of(row, name)?;
            definition.version = lsn;
            of.views.insert(name.to_owned(), Arc::new(definition));
        }
    }
    Ok(())
}
