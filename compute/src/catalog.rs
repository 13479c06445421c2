//! The catalog: databases, tables, views as data in the same key space, and the in-memory picture of it.

pub mod schema;
pub mod snapshot;

pub use schema::{ColumnDef, DatabaseDef, ForeignKeyDef, IndexDef, TableDef, ViewDef};
pub use snapshot::{Catalog, Database};
