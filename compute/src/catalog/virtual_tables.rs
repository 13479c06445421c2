//! information_schema, performance_schema and mysql: tables made up from the catalog and the server's state when read.
//!
//! Columns are named and ordered as in MySQL 8. Tables about things that do not exist here (files, resource groups)
//! are there and empty, so that tools that look find nothing.

mod account_tables;
mod constraints;
mod definitions;
mod innodb_status;
mod keywords;
mod locks;
mod routine_tables;
mod schema_tables;
mod server_tables;

use crate::account::{Privileges, Rights};
use crate::catalog::{Catalog, TableDef, ViewDef};
use common::id::CounterId;
use common::key::KeyRange;
use common::service::page::RangeEstimate;
use common::service::wal::AllocateRequest;
use common::service::{PageService, WalService};
use expr::SqlError;
use expr::eval::TimeZone;
use expr::mysql_type::MysqlType;
use expr::value::{Row, Value};
use std::sync::Arc;

pub use innodb_status::innodb_status;
pub use server_tables::ENGINES;

/// A made-up table's definition.
#[derive(Debug, Clone)]
pub struct VirtualTable {
    /// Lower case.
    pub database: &'static str,
    /// In MySQL's case: upper for information_schema, else lower.
    pub name: &'static str,
    pub columns: Vec<VirtualColumn>,
}

#[derive(Debug, Clone)]
pub struct VirtualColumn {
    pub name: &'static str,
    pub ty: MysqlType,
}

/// Databases whose tables are made up.
pub const DATABASES: [&str; 4] = ["information_schema", "mysql", "performance_schema", "sys"];

/// A table by name, in any case. `None` if there is none of that name.
pub fn lookup(database: &str, table: &str) -> Option<&'static VirtualTable> {
    definitions::all().iter().find(|definition| {
        definition.database.eq_ignore_ascii_case(database) && definition.name.eq_ignore_ascii_case(table)
    })
}

/// All made-up tables of a database, for SHOW TABLES.
pub fn tables_of(database: &str) -> impl Iterator<Item = &'static VirtualTable> {
    definitions::all().iter().filter(move |definition| definition.database.eq_ignore_ascii_case(database))
}

/// True for the databases whose tables are made up; a user's tables of the database `mysql` stand beside those.
pub fn is_virtual_database(database: &str) -> bool {
    DATABASES.iter().any(|name| name.eq_ignore_ascii_case(database))
}

/// What made-up tables show besides the catalog.
#[derive(Clone)]
pub struct VirtualContext {
    pub server: Arc<dyn ServerState>,
    /// For row counts; without it they are 0.
    pub pages: Option<Arc<dyn PageService>>,
    /// For next AUTO_INCREMENT values; without it they are NULL.
    pub wal: Option<Arc<dyn WalService>>,
    pub time_zone: TimeZone,
    /// Whose rights decide what is shown.
    pub viewer: Arc<Rights>,
    /// Binds a view's query, which the catalog keeps as text. Error 1356 for a view that is not valid any more.
    pub view_columns: fn(&Catalog, &ViewDef) -> Result<Vec<ViewColumn>, SqlError>,
    /// Reads a table's PARTITION BY clause, which the catalog keeps as text.
    pub partitions: fn(&TableDef) -> Result<Vec<PartitionRow>, SqlError>,
}

/// What a partition is, in the order of the definition.
#[derive(Debug, Clone, PartialEq)]
pub struct PartitionRow {
    pub name: String,
    /// `RANGE COLUMNS`
    pub method: &'static str,
    /// The columns or the expression that it goes by.
    pub expression: String,
    /// Its values.
    pub description: Option<String>,
    pub comment: String,
}

/// What a column of a view is.
#[derive(Debug, Clone, PartialEq)]
pub struct ViewColumn {
    pub ty: MysqlType,
    /// Database, table and name of the column that it is, where it is one.
    pub origin: Option<(String, String, String)>,
}

/// What the session layer knows of the server.
pub trait ServerState: Send + Sync {
    /// Names (lower case) and values of system variables, sorted; with the session's values unless `global`.
    fn variables(&self, global: bool) -> Vec<(String, String)>;

    /// Names and values of status variables, sorted.
    fn status(&self, global: bool) -> Vec<(String, String)>;

    fn processes(&self) -> Vec<Process>;
}

/// A row of SHOW PROCESSLIST.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Process {
    pub id: u64,
    pub user: String,
    pub host: String,
    pub database: Option<String>,
    pub command: String,
    pub seconds: u64,
    pub state: Option<String>,
    /// The statement that runs.
    pub info: Option<String>,
}

impl VirtualContext {
    /// All columns of all rows. Columns that are not `wanted` may be left NULL where they are costly.
    pub async fn rows(
        &self,
        database: &str,
        table: &str,
        wanted: &[usize],
        catalog: &Catalog,
    ) -> Result<Vec<Row>, SqlError> {
        let Some(definition) = lookup(database, table) else {
            return Err(SqlError::new(
                expr::ErrorCode::NO_SUCH_TABLE,
                format!("Table '{database}.{table}' doesn't exist"),
            ));
        };
        let rows = match (definition.database, definition.name) {
            ("information_schema", name) => {
                let visible = self.viewer.visible(catalog);
                let catalog = visible.as_deref().unwrap_or(catalog);
                match schema_tables::rows(name, wanted, catalog, self).await? {
                    Some(rows) => self.seen(name, rows, catalog),
                    None => constraints::rows(name, catalog)
                        .or_else(|| routine_tables::rows(name, catalog, self))
                        .or_else(|| account_tables::information_schema(name, catalog, self))
                        .unwrap_or_else(|| server_tables::information_schema(name, self)),
                }
            }
            ("performance_schema", "data_locks") => locks::data_locks(catalog, self).await?,
            ("performance_schema", "data_lock_waits") => locks::data_lock_waits(self).await?,
            ("performance_schema", name) => server_tables::performance_schema(name, self),
            ("mysql", name) => account_tables::mysql(name, catalog, self).unwrap_or_default(),
            _ => Vec::new(),
        };
        debug_assert!(rows.iter().all(|row| row.len() == definition.columns.len()), "{database}.{table}");
        Ok(rows)
    }

    /// Of rows about the schema, what the viewer may see: the catalog was cut down before, the system's own tables and
    /// single columns were not.
    fn seen(&self, name: &str, mut rows: Vec<Row>, catalog: &Catalog) -> Vec<Row> {
        let viewer = &self.viewer;
        if viewer.is_unlimited() {
            return rows;
        }
        match name {
            "SCHEMATA" => rows.retain(|row| {
                viewer.global().has(Privileges::SHOW_DATABASES) || viewer.sees_database(&row[1].to_text())
            }),
            "TABLES" | "COLUMNS" => rows.retain(|row| {
                let names = (row[1].to_text(), row[2].to_text());
                catalog.names_temporary(&names.0, &names.1) || viewer.sees_table(&names.0, &names.1)
            }),
            "VIEWS" => {
                for row in &mut rows {
                    if !viewer.table(&row[1].to_text(), &row[2].to_text()).has(Privileges::SHOW_VIEW) {
                        row[3] = text("");
                    }
                }
            }
            _ => {}
        }
        if name == "COLUMNS" {
            rows.retain_mut(|row| {
                if row[1].to_text() == "information_schema" || row[1].to_text() == "performance_schema" {
                    return true;
                }
                let names = (row[1].to_text(), row[2].to_text());
                if catalog.names_temporary(&names.0, &names.1) {
                    return true;
                }
                let held = viewer.column(&row[1].to_text(), &row[2].to_text(), &row[3].to_text());
                let named = (held & Privileges::OF_COLUMN).iter().map(|named| named.sql.to_ascii_lowercase());
                row[18] = text(named.collect::<Vec<_>>().join(","));
                (held & Privileges::OF_COLUMN) != Privileges::NONE
            });
        }
        rows
    }

    async fn estimate(&self, table: &TableDef) -> RangeEstimate {
        let Some(pages) = &self.pages else { return RangeEstimate::default() };
        // A page server that does not answer must not make the table invisible.
        pages.estimate(KeyRange::index(table.id, table.clustered().id)).await.unwrap_or_default()
    }

    /// What the next row of the table will be given.
    pub async fn next_auto_increment(&self, counter: CounterId) -> Option<u64> {
        let wal = self.wal.as_ref()?;
        wal.allocate(AllocateRequest { counter, count: 0, at_least: 0 }).await.ok()
    }
}

fn text(text: impl AsRef<str>) -> Value {
    Value::text(text)
}

/// NULL for nothing.
fn optional(value: Option<impl AsRef<str>>) -> Value {
    value.map_or(Value::Null, Value::text)
}

fn number(value: impl TryInto<i64>) -> Value {
    Value::Int(value.try_into().unwrap_or(i64::MAX))
}

fn yes_no(truth: bool) -> Value {
    Value::text(if truth { "YES" } else { "NO" })
}

#[cfg(test)]
mod tests;
