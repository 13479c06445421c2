//! Bound definitions: what CREATE, ALTER, DROP ask for, checked as far as syntax and types go. The executor checks
//! against the catalog.

use crate::account::RoutineKind;
use crate::catalog::schema::{CheckDef, ColumnDefault, GeneratedDef, IndexKind, ReferentialAction};
use crate::sql::parse::ast::{self, PartitionAction, PartitioningOption};
use crate::sql::plan::Query;
use crate::sql::plan::account::AccountStatement;
use expr::Expression;
use expr::collation::CollationId;
use expr::mysql_type::MysqlType;

/// A table or view with its database resolved.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ObjectName {
    pub database: String,
    pub name: String,
}

#[derive(Debug, Clone)]
pub enum Ddl {
    CreateDatabase {
        name: String,
        if_not_exists: bool,
        collation: Option<CollationId>,
    },
    AlterDatabase {
        name: String,
        collation: CollationId,
    },
    DropDatabase {
        name: String,
        if_exists: bool,
    },
    CreateTable(Box<CreateTable>),
    CreateTableLike {
        name: ObjectName,
        like: ObjectName,
        if_not_exists: bool,
        temporary: bool,
    },
    DropTables {
        names: Vec<ObjectName>,
        if_exists: bool,
        temporary: bool,
    },
    /// `is_index_statement`: CREATE INDEX or DROP INDEX.
    AlterTable {
        name: ObjectName,
        actions: Vec<AlterAction>,
        is_index_statement: bool,
    },
    RenameTables(Vec<(ObjectName, ObjectName)>),
    Truncate(ObjectName),
    CreateView(Box<CreateView>),
    DropViews {
        names: Vec<ObjectName>,
        if_exists: bool,
    },
    Account(Box<AccountStatement>),
    CreateRoutine(Box<RoutineSpec>),
    AlterRoutine {
        name: ObjectName,
        definition: Box<ast::AlterRoutine>,
    },
    DropRoutine {
        kind: RoutineKind,
        name: ObjectName,
        if_exists: bool,
    },
    CreateTrigger {
        name: ObjectName,
        table: ObjectName,
        definition: Box<ast::CreateTrigger>,
    },
    DropTrigger {
        name: ObjectName,
        if_exists: bool,
    },
    CreateEvent(Box<EventSpec>),
    AlterEvent {
        name: ObjectName,
        definition: Box<ast::AlterEvent>,
        schedule: Option<ScheduleSpec>,
        rename: Option<ObjectName>,
    },
    DropEvent {
        name: ObjectName,
        if_exists: bool,
    },
}

#[derive(Debug, Clone)]
pub struct RoutineSpec {
    pub name: ObjectName,
    pub definition: Box<ast::CreateRoutine>,
    /// Types of the parameters; without a collation of their own they take the database's.
    pub parameters: Vec<(MysqlType, Option<CollationId>)>,
    pub returns: Option<(MysqlType, Option<CollationId>)>,
}

#[derive(Debug, Clone)]
pub struct EventSpec {
    pub name: ObjectName,
    pub definition: Box<ast::CreateEvent>,
    pub schedule: ScheduleSpec,
}

/// When an event runs: constant expressions.
#[derive(Debug, Clone)]
pub enum ScheduleSpec {
    At(Expression),
    Every { count: Expression, unit: String, starts: Option<Expression>, ends: Option<Expression> },
}

impl Ddl {
    /// CREATE and DROP of temporary tables belong to the transaction that is open; other definitions end it.
    pub fn keeps_transaction(&self) -> bool {
        match self {
            Ddl::CreateTable(create) => create.temporary,
            Ddl::CreateTableLike { temporary, .. } | Ddl::DropTables { temporary, .. } => *temporary,
            _ => false,
        }
    }
}

#[derive(Debug, Clone)]
pub struct CreateTable {
    pub temporary: bool,
    pub name: ObjectName,
    pub if_not_exists: bool,
    pub columns: Vec<ColumnSpec>,
    pub indexes: Vec<IndexSpec>,
    pub foreign_keys: Vec<ForeignKeySpec>,
    pub checks: Vec<CheckDef>,
    pub options: TableOptions,
    /// CREATE TABLE ... AS SELECT.
    pub source: Option<Query>,
    /// What to do with duplicates of `source`.
    pub source_ignore: bool,
    pub source_replace: bool,
}

/// Options given; others stay as they are (ALTER) or take defaults (CREATE).
#[derive(Debug, Clone, Default)]
pub struct TableOptions {
    pub engine: Option<String>,
    pub collation: Option<CollationId>,
    pub comment: Option<String>,
    pub auto_increment: Option<u64>,
    /// Others, as SHOW CREATE TABLE prints them.
    pub others: Vec<String>,
    pub partitioning: Option<PartitioningOption>,
}

#[derive(Debug, Clone)]
pub struct ColumnSpec {
    pub name: String,
    /// Text types without a character set have `collation` None: the table's default applies.
    pub ty: MysqlType,
    pub collation: Option<CollationId>,
    /// NULL or NOT NULL was written; for the rules of TIMESTAMP and of primary keys.
    pub nullable: Option<bool>,
    pub default: ColumnDefault,
    pub on_update_now: bool,
    pub auto_increment: bool,
    pub generated: Option<GeneratedDef>,
    pub comment: String,
    pub invisible: bool,
    /// What is told when the column is made: it is of another type than was written (1246).
    pub note: Option<String>,
}

#[derive(Debug, Clone)]
pub struct IndexSpec {
    pub name: Option<String>,
    pub primary: bool,
    pub unique: bool,
    pub kind: IndexKind,
    /// Column name, prefix length, descending.
    pub parts: Vec<(String, Option<u32>, bool)>,
    /// Functional key parts: position in `parts`, where the name is empty, and SQL text.
    pub expressions: Vec<(usize, String)>,
    pub comment: String,
    pub invisible: bool,
}

#[derive(Debug, Clone)]
pub struct ForeignKeySpec {
    pub name: Option<String>,
    /// Name for the index that is made if no index serves; FOREIGN KEY index_name (...).
    pub index_name: Option<String>,
    pub columns: Vec<String>,
    pub parent: ObjectName,
    pub parent_columns: Vec<String>,
    pub on_delete: ReferentialAction,
    pub on_update: ReferentialAction,
}

#[derive(Debug, Clone)]
pub enum AlterAction {
    AddColumn {
        column: ColumnSpec,
        position: ColumnPosition,
        if_not_exists: bool,
    },
    DropColumn {
        name: String,
        if_exists: bool,
    },
    /// CHANGE and MODIFY (same name).
    ChangeColumn {
        old_name: String,
        column: ColumnSpec,
        position: ColumnPosition,
    },
    RenameColumn {
        old_name: String,
        new_name: String,
    },
    SetDefault {
        column: String,
        default: ColumnDefault,
    },
    AddIndex {
        index: IndexSpec,
        if_not_exists: bool,
    },
    DropIndex {
        name: String,
        if_exists: bool,
    },
    DropPrimaryKey,
    RenameIndex {
        old_name: String,
        new_name: String,
    },
    SetIndexVisible {
        name: String,
        visible: bool,
    },
    AddForeignKey(ForeignKeySpec),
    DropForeignKey(String),
    AddCheck(CheckDef),
    /// DROP CHECK and DROP CONSTRAINT (any kind).
    DropConstraint(String),
    SetCheckEnforced {
        name: String,
        enforced: bool,
        /// ALTER CONSTRAINT: the name may be of another kind.
        any: bool,
    },
    Options(TableOptions),
    Partition(PartitionAction),
    ConvertCharacterSet(CollationId),
    Rename(ObjectName),
    /// DISABLE/ENABLE KEYS, ALGORITHM=, LOCK=, FORCE, ORDER BY: accepted, nothing to do here.
    Nothing,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnPosition {
    Unchanged,
    First,
    After(String),
}

#[derive(Debug, Clone)]
pub struct CreateView {
    pub name: ObjectName,
    pub or_replace: bool,
    pub columns: Option<Vec<String>>,
    /// The SELECT's text.
    pub select: String,
    /// The same, bound: for its columns and to find errors now.
    pub query: Query,
    pub definer: Option<String>,
    pub invoker: bool,
    pub algorithm: String,
    pub check_option: Option<String>,
    /// ALTER VIEW: it must exist.
    pub alter: bool,
}
