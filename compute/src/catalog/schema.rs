//! What the catalog stores: definitions of databases, tables and views, serialised as rows of the catalog table.

use common::id::{ColumnId, CounterId, IndexId, Lsn, TableId};
use expr::collation::CollationId;
use expr::mysql_type::MysqlType;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DatabaseDef {
    pub name: String,
    pub collation: CollationId,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TableDef {
    pub id: TableId,
    pub database: String,
    pub name: String,
    /// In the order of SELECT *.
    pub columns: Vec<ColumnDef>,
    /// The first is the clustered index (`IndexId(0)`): the primary key, else, as in InnoDB, the first UNIQUE NOT NULL
    /// key, else a hidden row id (no parts).
    pub indexes: Vec<IndexDef>,
    pub foreign_keys: Vec<ForeignKeyDef>,
    pub checks: Vec<CheckDef>,
    /// Default collation of new columns.
    pub collation: CollationId,
    pub comment: String,
    /// As given (`InnoDB`, `MyISAM`), for SHOW; every table is stored the same way.
    pub engine: String,
    /// Further table options for SHOW CREATE TABLE, in order: `ROW_FORMAT=DYNAMIC`.
    pub options: Vec<String>,
    /// PARTITION BY clause as given; metadata only.
    pub partitioning: Option<String>,
    /// Of the AUTO_INCREMENT column, or of the hidden row id.
    pub counter: CounterId,
    /// Next ids to give out; ids are never reused within a table.
    pub next_column: u16,
    pub next_index: u32,
    /// Seconds since 1970.
    pub create_time: u64,
    /// The commit that wrote this definition; set when read, not stored. Commits name it as an observed version.
    #[serde(skip)]
    pub version: Lsn,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ColumnDef {
    pub id: ColumnId,
    pub name: String,
    pub ty: MysqlType,
    pub default: ColumnDefault,
    /// ON UPDATE CURRENT_TIMESTAMP.
    pub on_update_now: bool,
    pub auto_increment: bool,
    pub generated: Option<GeneratedDef>,
    pub comment: String,
    pub invisible: bool,
    /// What rows stored before the column was added have, in the text form of DEFAULT; `None` is NULL.
    pub added_default: Option<String>,
}

/// How names of columns begin that hold functional key parts, as in MySQL.
pub const KEY_EXPRESSION_PREFIX: &str = "!hidden!";

impl ColumnDef {
    /// It holds a functional key part: statements do not see it, nor does SHOW.
    pub fn is_key_expression(&self) -> bool {
        self.invisible && self.generated.is_some() && self.name.starts_with(KEY_EXPRESSION_PREFIX)
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ColumnDefault {
    /// No DEFAULT clause: NULL for nullable columns, else error 1364 in strict mode and the type's implicit default.
    None,
    Null,
    /// A constant, in the text form that SHOW CREATE TABLE quotes; stored into the column's type when used.
    Literal(String),
    /// CURRENT_TIMESTAMP with the column's fraction.
    Now,
    /// DEFAULT (expression), as SQL text.
    Expression(String),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GeneratedDef {
    /// SQL text of the expression.
    pub expression: String,
    pub stored: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IndexDef {
    pub id: IndexId,
    /// `PRIMARY` for the primary key; the clustered index of a table without any key is named `GEN_CLUST_INDEX`.
    pub name: String,
    pub unique: bool,
    pub parts: Vec<IndexPart>,
    pub kind: IndexKind,
    pub comment: String,
    pub invisible: bool,
    /// Written but not yet read: an index whose backfill has not finished.
    pub building: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum IndexKind {
    Btree,
    /// Accepted, shown, not stored: MATCH scans.
    Fulltext,
    /// Accepted, shown, not stored.
    Spatial,
    /// Over the items of a JSON array, CAST(... AS ... ARRAY): shown, and stored where it is unique, with an entry for
    /// each item. Conditions are answered without it.
    Array,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IndexPart {
    pub column: ColumnId,
    /// Characters (bytes for binary types) of a prefix index.
    pub prefix: Option<u32>,
    pub descending: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ForeignKeyDef {
    pub name: String,
    pub columns: Vec<ColumnId>,
    pub parent_database: String,
    pub parent_table: String,
    /// By name: the parent may not exist yet under foreign_key_checks=0.
    pub parent_columns: Vec<String>,
    pub on_delete: ReferentialAction,
    pub on_update: ReferentialAction,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReferentialAction {
    /// No clause; acts as RESTRICT, shown as nothing.
    Default,
    NoAction,
    Restrict,
    Cascade,
    SetNull,
    SetDefault,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckDef {
    pub name: String,
    pub expression: String,
    pub enforced: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ViewDef {
    pub database: String,
    pub name: String,
    /// Names of the view's columns, in order.
    pub columns: Vec<String>,
    /// The SELECT, as given.
    pub select: String,
    /// Default database when it was created: names in `select` without a database belong to it.
    pub select_database: String,
    /// `root@localhost`, as SHOW CREATE VIEW writes it.
    pub definer: String,
    /// SQL SECURITY INVOKER.
    pub invoker: bool,
    /// UNDEFINED, MERGE, TEMPTABLE.
    pub algorithm: String,
    /// CASCADED or LOCAL of WITH CHECK OPTION.
    pub check_option: Option<String>,
    /// sql_mode under which it was created.
    pub sql_mode: u64,
    #[serde(skip)]
    pub version: Lsn,
}

impl TableDef {
    /// Position of a column by name, in any case.
    pub fn column_index(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name.eq_ignore_ascii_case(name))
    }

    pub fn column_by_id(&self, id: ColumnId) -> Option<(usize, &ColumnDef)> {
        self.columns.iter().enumerate().find(|(_, column)| column.id == id)
    }

    /// The clustered index.
    pub fn clustered(&self) -> &IndexDef {
        &self.indexes[0]
    }

    /// True if rows are clustered by a hidden row id.
    pub fn has_hidden_row_id(&self) -> bool {
        self.clustered().parts.is_empty()
    }

    pub fn index_by_name(&self, name: &str) -> Option<&IndexDef> {
        self.indexes.iter().find(|index| index.name.eq_ignore_ascii_case(name))
    }
}
