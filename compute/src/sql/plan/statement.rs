//! Bound statements.

use crate::account::AccountName;
use crate::catalog::{EventDef, RoutineDef, TableDef, TriggerDef};
use crate::sql::plan::account::RoleChoice;
use crate::sql::plan::xa::XaStatement;
use crate::sql::plan::{Ddl, IntoTarget, LoadFile, Node, ObjectName, Query, Subquery};
use expr::Expression;
use expr::mysql_type::MysqlType;
use expr::sqlstate::SqlState;
use std::sync::Arc;

/// A statement ready to run: names resolved, types known. Valid for the versions of the tables that it names.
#[derive(Debug, Clone)]
pub enum Statement {
    Query(Query),
    Insert(Box<Insert>),
    Update(Box<Update>),
    Delete(Box<Delete>),
    Ddl(Ddl),
    Set(Vec<SetItem>),
    Show(Show),
    Explain {
        statement: Box<Statement>,
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
    /// SET TRANSACTION without GLOBAL or SESSION: for the next transaction only (else it becomes `Set`).
    SetTransaction {
        isolation: Option<Isolation>,
        read_only: Option<bool>,
    },
    /// (table, write).
    LockTables(Vec<(ObjectName, bool)>),
    UnlockTables,
    /// FLUSH TABLES writes everything to object storage; others are accepted.
    Flush {
        tables: bool,
    },
    Kill {
        query_only: bool,
        connection: Expression,
    },
    /// PREPARE name FROM 'text' | @variable.
    Prepare {
        name: String,
        source: Expression,
    },
    ExecutePrepared {
        name: String,
        using: Vec<String>,
    },
    Deallocate(String),
    Do(Query),
    Call {
        routine: Arc<RoutineDef>,
        /// One column for each parameter, without a table.
        arguments: Box<Query>,
        /// For each parameter, where its value goes in the end.
        targets: Vec<Option<CallTarget>>,
    },
    /// SIGNAL, RESIGNAL.
    Signal {
        resignal: bool,
        state: Option<SqlState>,
        items: Vec<(&'static str, Expression)>,
    },
    GetDiagnostics {
        stacked: bool,
        /// Of a condition; else of the statement.
        number: Option<Expression>,
        items: Vec<(IntoTarget, &'static str)>,
    },
    SetRole(RoleChoice),
    /// ANALYZE, CHECK, OPTIMIZE, REPAIR TABLE: (verb in lower case, tables).
    Maintenance {
        verb: String,
        tables: Vec<ObjectName>,
    },
}

/// Where the value of an OUT or INOUT parameter goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallTarget {
    User(String),
    /// A variable of the routine that calls.
    Slot(usize),
    /// `?`: to the client.
    Parameter(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Isolation {
    ReadUncommitted,
    ReadCommitted,
    RepeatableRead,
    Serializable,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExplainFormat {
    Traditional,
    Tree,
    Json,
}

#[derive(Debug, Clone)]
pub struct Insert {
    pub table: Arc<TableDef>,
    /// Numbers of the partitions that rows may be in, if not all.
    pub partitions: Option<Vec<u64>>,
    /// Target columns by position, in the order of the source.
    pub columns: Vec<usize>,
    pub source: InsertSource,
    /// Assignments (column, value); values read the existing row, then the row that was to be inserted (all columns each).
    pub on_duplicate: Vec<(usize, Expression)>,
    pub ignore: bool,
    pub replace: bool,
    pub subqueries: Vec<Subquery>,
}

#[derive(Debug, Clone)]
pub enum InsertSource {
    /// `None` is DEFAULT. Expressions may read columns of the row to the left of them (all table columns, by position).
    Values(Vec<Vec<Option<Expression>>>),
    Query(Query),
    /// LOAD DATA.
    File(LoadFile),
}

#[derive(Debug, Clone)]
pub struct Update {
    /// Gives, for each target, all columns of its table, at `base`; with join, WHERE, ORDER BY and LIMIT inside.
    pub input: Node,
    pub targets: Vec<UpdateTarget>,
    pub ignore: bool,
    pub subqueries: Vec<Subquery>,
}

#[derive(Debug, Clone)]
pub struct UpdateTarget {
    pub table: Arc<TableDef>,
    /// Numbers of the partitions that its rows may be in, if not all.
    pub partitions: Option<Vec<u64>>,
    pub base: usize,
    /// Column of the table, value over the input row (values assigned further left are seen, as in MySQL).
    /// `None` is DEFAULT.
    pub assignments: Vec<(usize, Option<Expression>)>,
}

#[derive(Debug, Clone)]
pub struct Delete {
    /// As in [`Update::input`].
    pub input: Node,
    pub targets: Vec<DeleteTarget>,
    pub ignore: bool,
    pub subqueries: Vec<Subquery>,
}

#[derive(Debug, Clone)]
pub struct DeleteTarget {
    pub table: Arc<TableDef>,
    pub base: usize,
}

#[derive(Debug, Clone)]
pub enum SetItem {
    User {
        name: String,
        value: Expression,
    },
    /// `value` None is DEFAULT.
    System {
        scope: VariableScope,
        name: String,
        value: Option<Expression>,
    },
    /// SET NAMES; None is DEFAULT.
    Names {
        charset: Option<String>,
        collation: Option<String>,
    },
    /// SET CHARACTER SET.
    CharacterSet(Option<String>),
    /// A user or system variable whose value is that of a query of one column.
    Computed {
        query: Box<Query>,
        item: Box<SetItem>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VariableScope {
    Session,
    Global,
    Persist,
}

/// SHOW statements that are not rewritten to queries over information_schema by the binder.
#[derive(Debug, Clone)]
pub enum Show {
    CreateTable(ObjectName),
    CreateView(ObjectName),
    CreateDatabase {
        name: String,
        if_not_exists: bool,
    },
    Variables {
        global: bool,
        filter: Option<ShowFilter>,
    },
    Status {
        global: bool,
        filter: Option<ShowFilter>,
    },
    Warnings {
        limit: Option<(u64, u64)>,
        errors_only: bool,
        count: bool,
    },
    ProcessList {
        full: bool,
    },
    Grants {
        user: AccountName,
        /// Of the session's own account: its active roles are shown too.
        is_own: bool,
        using: Vec<AccountName>,
    },
    CreateUser(AccountName),
    Engines,
    /// SHOW ENGINE INNODB STATUS.
    EngineStatus,
    /// SHOW CREATE PROCEDURE, FUNCTION, TRIGGER, EVENT.
    CreateRoutine(ShownBody),
    /// A query over virtual tables with MySQL's column names: SHOW TABLES, COLUMNS, INDEX, DATABASES, TABLE STATUS ...
    Query(Query),
    /// No rows ever here: (column names). SHOW TRIGGERS, EVENTS, REPLICA STATUS ...
    Empty(Vec<String>),
}

/// What SHOW CREATE shows; the text is hidden where its owner's rights are needed and are not there.
#[derive(Debug, Clone)]
pub enum ShownBody {
    Routine { definition: Arc<RoutineDef>, visible: bool },
    Trigger(Arc<TriggerDef>),
    Event(Arc<EventDef>),
}

#[derive(Debug, Clone)]
pub enum ShowFilter {
    Like(String),
    /// Over the columns (Variable_name, Value).
    Where(Expression),
}

/// What PREPARE learns about a statement.
#[derive(Debug, Clone)]
pub struct Prepared {
    pub statement: Statement,
    /// Of each `?`, as the binder inferred it.
    pub parameters: Vec<MysqlType>,
    /// Positions of those whose type the surroundings leave open: it was given, and may be another at the next execution.
    pub open: Vec<usize>,
}
