//! Parsed statements. Queries and expressions are sqlparser's; what it lacks or loses is ours.

use crate::account::{AccountName, RoutineKind};
use crate::catalog::routine::{DataAccess, EventStatus, ParameterMode, TriggerEvent, TriggerTiming};
use crate::catalog::schema::{IndexKind, ReferentialAction};
use crate::sql::parse::partition::{Partition, Partitioning};
use crate::sql::plan::account::{AccountRef, AccountStatement, RoleChoice};
use crate::sql::plan::xa::XaStatement;
use crate::sql::plan::{ColumnPosition, ExplainFormat, Isolation, LoadFormat, VariableScope};
use expr::sqlstate::SqlState;
pub use sqlparser::ast as syntax;
use sqlparser::ast::{Expr, OrderByExpr, Query, TableWithJoins};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

/// One statement with the text that it came from.
#[derive(Debug, Clone)]
pub struct Statement {
    pub kind: Kind,
    pub source: Source,
    /// Number of `?`.
    pub parameters: usize,
}

/// The text, and where the items of its select lists stand: they name the columns of results.
#[derive(Debug, Clone, Default)]
pub struct Source {
    pub text: Arc<str>,
    /// By the offset of the word SELECT.
    pub(super) items: Arc<HashMap<usize, Vec<Range<usize>>>>,
}

impl Source {
    /// Of a text without select lists of its own.
    pub(super) fn of(text: &str) -> Source {
        Source { text: Arc::from(text), items: Arc::default() }
    }

    /// Text of item `position` of this SELECT, as written.
    pub fn item(&self, select: &syntax::Select, position: usize) -> Option<&str> {
        self.text.get(self.item_range(select, position)?).map(str::trim)
    }

    /// Where item `position` of this SELECT stands in the text.
    pub fn item_range(&self, select: &syntax::Select, position: usize) -> Option<Range<usize>> {
        let offset = (select.select_token.0.span.start.column as usize).checked_sub(1)?;
        self.items.get(&offset)?.get(position).cloned()
    }
}

/// A table or view as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    pub database: Option<String>,
    pub name: String,
}

#[derive(Debug, Clone)]
pub enum Kind {
    /// `into`: INTO @a, b.
    Query {
        query: Box<Query>,
        into: Vec<IntoTarget>,
    },
    Insert(Box<Insert>),
    Update(Box<Update>),
    Delete(Box<Delete>),
    CreateDatabase {
        name: String,
        if_not_exists: bool,
        options: CharacterSet,
    },
    AlterDatabase {
        name: Option<String>,
        options: CharacterSet,
    },
    DropDatabase {
        name: String,
        if_exists: bool,
    },
    CreateTable(Box<CreateTable>),
    CreateTableLike {
        name: Name,
        like: Name,
        if_not_exists: bool,
        temporary: bool,
    },
    DropTables {
        names: Vec<Name>,
        if_exists: bool,
        temporary: bool,
    },
    AlterTable {
        name: Name,
        actions: Vec<AlterAction>,
        /// CREATE INDEX or DROP INDEX: another privilege is needed.
        is_index_statement: bool,
    },
    RenameTables(Vec<(Name, Name)>),
    Truncate(Name),
    CreateView(Box<CreateView>),
    DropViews {
        names: Vec<Name>,
        if_exists: bool,
    },
    Set(Vec<SetItem>),
    SetTransaction {
        scope: Option<VariableScope>,
        isolation: Option<Isolation>,
        read_only: Option<bool>,
    },
    Show(Show),
    Explain {
        statement: Box<Kind>,
        format: ExplainFormat,
        analyze: bool,
    },
    Use(String),
    Begin {
        consistent_snapshot: bool,
        read_only: Option<bool>,
    },
    Commit {
        chain: bool,
        release: bool,
    },
    Rollback {
        chain: bool,
        release: bool,
    },
    Savepoint(String),
    RollbackTo(String),
    ReleaseSavepoint(String),
    Xa(XaStatement),
    LockTables(Vec<(Name, bool)>),
    UnlockTables,
    Flush {
        tables: bool,
    },
    Kill {
        query_only: bool,
        connection: Expr,
    },
    Prepare {
        name: String,
        source: Expr,
    },
    ExecutePrepared {
        name: String,
        using: Vec<String>,
    },
    Deallocate(String),
    Do(Vec<Expr>),
    Maintenance {
        verb: String,
        tables: Vec<Name>,
    },
    Account(Box<AccountStatement>),
    SetRole(RoleChoice),
    CreateRoutine(Box<CreateRoutine>),
    AlterRoutine(Box<AlterRoutine>),
    DropRoutine(DropRoutine),
    CreateTrigger(Box<CreateTrigger>),
    DropTrigger(DropRoutine),
    CreateEvent(Box<CreateEvent>),
    AlterEvent(Box<AlterEvent>),
    DropEvent(DropRoutine),
    Call {
        name: Name,
        arguments: Vec<Expr>,
    },
    Signal(Box<Signal>),
    GetDiagnostics(Box<GetDiagnostics>),
}

/// DEFAULT CHARACTER SET and COLLATE of a database or table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CharacterSet {
    pub charset: Option<String>,
    pub collation: Option<String>,
    /// COLLATE stood before the character set.
    pub collation_first: bool,
}

#[derive(Debug, Clone)]
pub struct Insert {
    pub table: Name,
    /// PARTITION (p): rows of others are refused.
    pub partitions: Vec<String>,
    /// Names as written, with a table before them or not.
    pub columns: Option<Vec<String>>,
    pub source: InsertSource,
    /// `AS row (a, b)` after the values.
    pub row_alias: Option<(String, Option<Vec<String>>)>,
    pub on_duplicate: Vec<Assignment>,
    pub ignore: bool,
    pub replace: bool,
}

#[derive(Debug, Clone)]
pub enum InsertSource {
    Values(Vec<Vec<InsertValue>>),
    Query(Box<Query>),
    /// LOAD DATA.
    File(Box<LoadFile>),
}

#[derive(Debug, Clone)]
pub struct LoadFile {
    pub name: String,
    pub local: bool,
    pub charset: Option<String>,
    pub format: LoadFormat,
    /// IGNORE n LINES.
    pub lines_ignored: u64,
    /// Where fields go; `None`: to all columns.
    pub targets: Option<Vec<LoadTarget>>,
    /// SET.
    pub assignments: Vec<Assignment>,
}

#[derive(Debug, Clone)]
pub enum LoadTarget {
    /// As written, with a table before it or not.
    Column(String),
    /// In lower case.
    Variable(String),
}

#[derive(Debug, Clone)]
pub enum InsertValue {
    Default,
    /// Read by the fast path.
    Literal(expr::Value),
    Expression(Expr),
}

/// `column = value`; `value` None is DEFAULT.
#[derive(Debug, Clone)]
pub struct Assignment {
    /// One to three parts.
    pub column: Vec<String>,
    pub value: Option<Expr>,
}

#[derive(Debug, Clone)]
pub struct Update {
    pub with: Option<syntax::With>,
    pub tables: Vec<TableWithJoins>,
    pub assignments: Vec<Assignment>,
    pub selection: Option<Expr>,
    pub order_by: Vec<OrderByExpr>,
    pub limit: Option<Expr>,
    pub ignore: bool,
}

#[derive(Debug, Clone)]
pub struct Delete {
    pub with: Option<syntax::With>,
    /// Tables to delete from, by name or alias; empty for a delete from one table.
    pub targets: Vec<Name>,
    pub tables: Vec<TableWithJoins>,
    pub selection: Option<Expr>,
    pub order_by: Vec<OrderByExpr>,
    pub limit: Option<Expr>,
    pub ignore: bool,
}

#[derive(Debug, Clone)]
pub struct CreateTable {
    pub name: Name,
    pub temporary: bool,
    pub if_not_exists: bool,
    pub columns: Vec<Column>,
    pub indexes: Vec<Index>,
    pub foreign_keys: Vec<ForeignKey>,
    /// Each with the number of columns that stand before it.
    pub checks: Vec<(usize, Check)>,
    pub options: TableOptions,
    pub source: Option<Box<Query>>,
    /// Text of `source`.
    pub ignore: bool,
    pub replace: bool,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct TableOptions {
    pub engine: Option<String>,
    pub character_set: CharacterSet,
    pub comment: Option<String>,
    pub auto_increment: Option<u64>,
    pub others: Vec<String>,
    pub partitioning: Option<PartitioningOption>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum PartitioningOption {
    By(Partitioning),
    /// REMOVE PARTITIONING.
    Remove,
}

/// What ALTER TABLE does to partitions. Names None is ALL.
#[derive(Debug, Clone)]
pub enum PartitionAction {
    Add(Vec<Partition>),
    /// ADD PARTITION PARTITIONS n.
    AddCount(u64),
    Drop(Vec<String>),
    Truncate(Option<Vec<String>>),
    Coalesce(u64),
    Reorganize {
        from: Vec<String>,
        into: Vec<Partition>,
    },
    Exchange {
        name: String,
        table: Name,
        validated: bool,
    },
    /// ANALYZE, CHECK, OPTIMIZE, REBUILD, REPAIR: there is nothing to do here.
    Upkeep(Option<Vec<String>>),
}

/// A type as written.
#[derive(Debug, Clone, PartialEq)]
pub struct TypeName {
    /// Upper case, synonyms resolved: `INT`, `VARCHAR`, `DOUBLE`.
    pub name: String,
    pub lengths: Vec<u32>,
    /// Of ENUM and SET.
    pub members: Vec<String>,
    pub unsigned: bool,
    pub zerofill: bool,
    pub character_set: CharacterSet,
    /// The BINARY attribute: the character set's `_bin` collation.
    pub binary: bool,
}

#[derive(Debug, Clone)]
pub struct Column {
    pub name: String,
    /// Its table's, where that is written before it.
    pub table: Option<String>,
    pub ty: TypeName,
    pub nullable: Option<bool>,
    pub default: Option<Default>,
    /// With how many digits.
    pub on_update_now: Option<u64>,
    pub auto_increment: bool,
    pub generated: Option<Generated>,
    pub comment: String,
    pub invisible: bool,
    /// PRIMARY KEY.
    pub primary: bool,
    pub unique: bool,
    pub check: Option<Check>,
    pub references: Option<ForeignKey>,
}

#[derive(Debug, Clone)]
pub enum Default {
    Null,
    /// A literal, with its sign or introducer.
    Literal(Box<Expr>),
    /// With how many digits.
    Now(u64),
    Expression(Box<Expr>),
}

#[derive(Debug, Clone)]
pub struct Generated {
    pub expression: Box<Expr>,
    pub stored: bool,
}

#[derive(Debug, Clone)]
pub struct Check {
    pub name: Option<String>,
    pub expression: Box<Expr>,
    pub enforced: bool,
}

#[derive(Debug, Clone)]
pub struct Index {
    pub name: Option<String>,
    pub primary: bool,
    pub unique: bool,
    pub kind: IndexKind,
    pub parts: Vec<IndexPart>,
    pub comment: String,
    pub invisible: bool,
}

#[derive(Debug, Clone)]
pub enum IndexPart {
    Column {
        name: String,
        prefix: Option<u32>,
        descending: bool,
    },
    /// `(expression)`
    Expression {
        expression: Box<syntax::Expr>,
        descending: bool,
    },
}

#[derive(Debug, Clone)]
pub struct ForeignKey {
    pub name: Option<String>,
    pub index_name: Option<String>,
    pub columns: Vec<String>,
    pub parent: Name,
    pub parent_columns: Vec<String>,
    pub on_delete: ReferentialAction,
    pub on_update: ReferentialAction,
}

#[derive(Debug, Clone)]
pub enum AlterAction {
    AddColumn {
        column: Column,
        position: ColumnPosition,
    },
    DropColumn(String),
    ChangeColumn {
        old_name: String,
        column: Column,
        position: ColumnPosition,
    },
    RenameColumn {
        old_name: String,
        new_name: String,
    },
    /// None: DROP DEFAULT.
    SetDefault {
        column: String,
        default: Option<Default>,
    },
    AddIndex(Index),
    DropIndex(String),
    DropPrimaryKey,
    RenameIndex {
        old_name: String,
        new_name: String,
    },
    SetIndexVisible {
        name: String,
        visible: bool,
    },
    AddForeignKey(ForeignKey),
    DropForeignKey(String),
    AddCheck(Check),
    DropConstraint(String),
    SetCheckEnforced {
        name: String,
        enforced: bool,
        /// ALTER CONSTRAINT: the name may be of another kind.
        any: bool,
    },
    Options(TableOptions),
    Partition(PartitionAction),
    ConvertCharacterSet(CharacterSet),
    Rename(Name),
    Nothing,
}

#[derive(Debug, Clone)]
pub struct CreateView {
    pub name: Name,
    pub or_replace: bool,
    pub alter: bool,
    pub columns: Option<Vec<String>>,
    pub query: Box<Query>,
    /// Text of `query`.
    pub select: String,
    /// Where it starts in the statement's text.
    pub select_start: usize,
    pub definer: Option<String>,
    pub invoker: bool,
    pub algorithm: String,
    pub check_option: Option<String>,
}

#[derive(Debug, Clone)]
pub enum SetItem {
    User {
        name: String,
        value: Expr,
    },
    /// `value` None is DEFAULT.
    System {
        scope: VariableScope,
        name: String,
        value: Option<Expr>,
    },
    Names {
        charset: Option<String>,
        collation: Option<String>,
    },
    CharacterSet(Option<String>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IntoTarget {
    /// `@name`, in lower case.
    User(String),
    /// A variable of the routine.
    Local(String),
    /// OUTFILE or DUMPFILE.
    File,
}

#[derive(Debug, Clone)]
pub struct CreateRoutine {
    /// None is the account itself.
    pub definer: Option<String>,
    pub if_not_exists: bool,
    pub kind: RoutineKind,
    pub name: Name,
    pub parameters: Vec<Parameter>,
    pub parameters_text: String,
    pub returns: Option<TypeName>,
    pub characteristics: Characteristics,
    /// Its text.
    pub body: String,
    /// Those that the body sets.
    pub system_variables: Vec<String>,
}

#[derive(Debug, Clone)]
pub struct Parameter {
    pub mode: ParameterMode,
    pub name: String,
    pub ty: TypeName,
}

/// What is not given stays as it is, or is the default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Characteristics {
    pub comment: Option<String>,
    pub deterministic: Option<bool>,
    pub data_access: Option<DataAccess>,
    pub invoker: Option<bool>,
}

#[derive(Debug, Clone)]
pub struct AlterRoutine {
    pub kind: RoutineKind,
    pub name: Name,
    pub characteristics: Characteristics,
}

/// DROP PROCEDURE, FUNCTION, TRIGGER, EVENT.
#[derive(Debug, Clone)]
pub struct DropRoutine {
    /// Of a routine.
    pub kind: Option<RoutineKind>,
    pub name: Name,
    pub if_exists: bool,
}

#[derive(Debug, Clone)]
pub struct CreateTrigger {
    pub definer: Option<String>,
    pub if_not_exists: bool,
    pub name: Name,
    pub timing: TriggerTiming,
    pub event: TriggerEvent,
    pub table: Name,
    /// FOLLOWS (true) or PRECEDES another.
    pub place: Option<(bool, String)>,
    pub body: String,
    /// Columns of NEW (true) and OLD that the body names.
    pub row_columns: Vec<(bool, String)>,
    /// Those that the body sets.
    pub system_variables: Vec<String>,
}

#[derive(Debug, Clone)]
pub struct CreateEvent {
    pub definer: Option<String>,
    pub if_not_exists: bool,
    pub name: Name,
    pub schedule: Schedule,
    pub preserve: bool,
    pub status: EventStatus,
    pub comment: String,
    pub body: String,
}

/// What is not given stays as it is.
#[derive(Debug, Clone)]
pub struct AlterEvent {
    pub definer: Option<String>,
    pub name: Name,
    pub schedule: Option<Schedule>,
    pub preserve: Option<bool>,
    pub rename: Option<Name>,
    pub status: Option<EventStatus>,
    pub comment: Option<String>,
    pub body: Option<String>,
}

/// Texts of expressions.
#[derive(Debug, Clone)]
pub enum Schedule {
    At(String),
    Every { count: String, unit: String, starts: Option<String>, ends: Option<String> },
}

/// What SIGNAL may say beside the state.
pub const SIGNAL_ITEMS: [&str; 12] = [
    "class_origin",
    "subclass_origin",
    "message_text",
    "mysql_errno",
    "constraint_catalog",
    "constraint_schema",
    "constraint_name",
    "catalog_name",
    "schema_name",
    "table_name",
    "column_name",
    "cursor_name",
];

/// What GET DIAGNOSTICS knows of a statement.
pub const STATEMENT_ITEMS: [&str; 2] = ["number", "row_count"];

/// SIGNAL and RESIGNAL.
#[derive(Debug, Clone)]
pub struct Signal {
    pub resignal: bool,
    pub state: Option<SignalState>,
    /// Of [`SIGNAL_ITEMS`].
    pub items: Vec<(&'static str, Expr)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignalState {
    State(SqlState),
    /// A declared condition.
    Named(String),
}

#[derive(Debug, Clone)]
pub struct GetDiagnostics {
    pub stacked: bool,
    pub what: Diagnosed,
}

#[derive(Debug, Clone)]
pub enum Diagnosed {
    Statement(Vec<(DiagnosticsTarget, &'static str)>),
    Condition { number: Expr, items: Vec<(DiagnosticsTarget, &'static str)> },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DiagnosticsTarget {
    User(String),
    Named(String),
}

impl GetDiagnostics {
    pub fn targets(&self) -> impl Iterator<Item = &DiagnosticsTarget> {
        let (Diagnosed::Statement(items) | Diagnosed::Condition { items, .. }) = &self.what;
        items.iter().map(|(target, _)| target)
    }
}

#[derive(Debug, Clone)]
pub enum Filter {
    None,
    Like(String),
    Where(Box<Expr>),
}

#[derive(Debug, Clone)]
pub enum Show {
    CreateTable(Name),
    CreateView(Name),
    CreateDatabase {
        name: String,
        if_not_exists: bool,
    },
    Databases(Filter),
    Tables {
        full: bool,
        database: Option<String>,
        filter: Filter,
    },
    TableStatus {
        database: Option<String>,
        filter: Filter,
    },
    OpenTables {
        filter: Filter,
    },
    Columns {
        full: bool,
        table: Name,
        filter: Filter,
    },
    Index {
        table: Name,
        filter: Filter,
    },
    Variables {
        global: bool,
        filter: Filter,
    },
    Status {
        global: bool,
        filter: Filter,
    },
    Collation(Filter),
    CharacterSet(Filter),
    Engines,
    /// SHOW ENGINE INNODB STATUS.
    EngineStatus,
    Plugins,
    Privileges,
    Warnings {
        limit: Option<(u64, u64)>,
        errors_only: bool,
        count: bool,
    },
    ProcessList {
        full: bool,
    },
    /// None is the session's own account.
    Grants {
        user: Option<AccountRef>,
        using: Vec<AccountName>,
    },
    CreateUser(AccountRef),
    Triggers {
        database: Option<String>,
        filter: Filter,
    },
    Events {
        database: Option<String>,
        filter: Filter,
    },
    ProcedureStatus(Filter),
    FunctionStatus(Filter),
    /// SHOW CREATE PROCEDURE, FUNCTION, TRIGGER, EVENT: (kind, name).
    CreateRoutine(&'static str, Name),
    /// Replication and logs: never rows here.
    Empty(&'static [&'static str]),
}
