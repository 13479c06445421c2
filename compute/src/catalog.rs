//! The catalog: databases, tables, views as data in the same key space, and the in-memory picture of it.
//!
//! [`storage`] says how definitions are stored as rows of `TableId(1)`; [`cache`] keeps the newest picture by following
//! the log. Statements take a [`Catalog`] from the cache and name the definitions they used when they commit.

pub mod cache;
pub mod describe;
pub mod routine;
pub mod schema;
pub mod snapshot;
pub mod storage;
pub mod virtual_tables;

pub use cache::CatalogCache;
pub use routine::{EventDef, RoutineDef, TriggerDef};
pub use schema::{ColumnDef, DatabaseDef, ForeignKeyDef, IndexDef, TableDef, ViewDef};
pub use snapshot::{Catalog, Database};
