//! Relational plans.

use crate::catalog::TableDef;
use common::service::wal::{LockMode, LockWait};
use expr::Expression;
use expr::aggregate::AggregateFunction;
use expr::mysql_type::MysqlType;
use std::sync::Arc;

/// A query block with everything below it.
#[derive(Debug, Clone)]
pub struct Query {
    pub root: Node,
    /// Columns of the result, one for each column of `root`.
    pub fields: Vec<Field>,
    /// Named by position from `Expression::Subquery` and `Quantified` in this query's nodes.
    pub subqueries: Vec<Subquery>,
    /// INTO @a, b.
    pub into_variables: Vec<IntoTarget>,
    /// SQL_CALC_FOUND_ROWS.
    pub calc_found_rows: bool,
}

/// Where a value goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IntoTarget {
    /// `@name`, in lower case.
    User(String),
    /// A variable of the routine, by its slot.
    Slot(usize),
}

/// What a client is told about a column of a result.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// Alias, or the column's name, or the expression's text.
    pub name: String,
    pub ty: MysqlType,
    /// Where a plain column comes from.
    pub origin: Option<FieldOrigin>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct FieldOrigin {
    pub database: String,
    /// Alias of the table in the query.
    pub table: String,
    pub original_table: String,
    pub original_name: String,
    pub primary_key: bool,
    pub unique_key: bool,
    /// First column of a non-unique index.
    pub multiple_key: bool,
    pub auto_increment: bool,
    /// NOT NULL without a DEFAULT clause.
    pub no_default: bool,
    pub on_update_now: bool,
}

#[derive(Debug, Clone)]
pub struct Subquery {
    pub query: Query,
    pub kind: SubqueryKind,
    /// Reads columns of an enclosing query: run again for every row. `Expression::Outer` of level 1 in it reads the
    /// row that the expression with the subquery is evaluated on; level 2 what is level 1 there, and so on.
    pub correlated: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubqueryKind {
    /// One column, at most one row: else error 1242.
    Scalar,
    Exists,
    /// All rows, for IN, ANY, ALL.
    Rows,
}

#[derive(Debug, Clone)]
pub enum Node {
    /// One row without columns: SELECT without FROM.
    Dual,
    Scan(Box<Scan>),
    /// A table of information_schema, performance_schema, mysql or sys that is made up when read.
    Virtual(VirtualScan),
    Values {
        rows: Vec<Vec<Expression>>,
    },
    Filter {
        input: Box<Node>,
        predicate: Expression,
    },
    Project {
        input: Box<Node>,
        expressions: Vec<Expression>,
    },
    Join(Box<Join>),
    /// Gives the group values, then the aggregates. Without `group_by`: exactly one row.
    Aggregate {
        input: Box<Node>,
        group_by: Vec<Expression>,
        rollup: bool,
        aggregates: Vec<AggregateCall>,
    },
    /// Gives the input's columns, then one for each call.
    Window {
        input: Box<Node>,
        calls: Vec<WindowCall>,
    },
    Sort {
        input: Box<Node>,
        keys: Vec<SortKey>,
    },
    /// `offset` and `count` are constants or parameters.
    Limit {
        input: Box<Node>,
        offset: Option<Expression>,
        count: Option<Expression>,
    },
    Distinct {
        input: Box<Node>,
    },
    /// Inputs have the same number of columns and types (the binder adds casts).
    SetOperation {
        kind: SetKind,
        all: bool,
        left: Box<Node>,
        right: Box<Node>,
    },
    /// WITH RECURSIVE. `recursive` reads the rows of the round before through `WorkingTable` with this id; what it gives
    /// is stored in columns of the anchor's types.
    RecursiveCte {
        id: usize,
        /// Of the columns, for errors.
        names: Vec<String>,
        anchor: Box<Node>,
        recursive: Box<Node>,
        all: bool,
    },
    /// `types`: of its columns.
    WorkingTable {
        id: usize,
        types: Vec<MysqlType>,
    },
    /// A derived table, view or CTE whose subqueries are its own.
    Derived(Box<Query>),
    /// JSON_TABLE.
    JsonTable(Box<JsonTable>),
}

/// Rows out of a document, which is an expression over no row; of the tables to its left it reads outer columns.
#[derive(Debug, Clone)]
pub struct JsonTable {
    pub document: Expression,
    pub table: expr::function::json::table::JsonTable,
}

#[derive(Debug, Clone)]
pub struct Scan {
    pub table: Arc<TableDef>,
    /// Alias in the query.
    pub alias: String,
    /// Positions in `table.columns`, in the order of the scan's output.
    pub columns: Vec<usize>,
    /// Over the scan's output; every row given meets it. Conditions are pushed here by the rules.
    pub filter: Option<Expression>,
    pub access: Access,
    pub lock: Option<ScanLock>,
    /// USE/FORCE/IGNORE INDEX.
    pub hints: Vec<IndexHint>,
    /// About how many rows it finds one by one, where it looks them up for the rows of a join's left side; else 0.
    pub lookups: u64,
}

/// How a scan finds its rows. Key expressions read no column of the scan itself: constants, parameters, outer columns.
#[derive(Debug, Clone)]
pub enum Access {
    /// All rows in the order of the clustered index.
    Full,
    /// Exact keys of a unique index, all its parts given; one row at most for each.
    Point { index: usize, keys: Vec<Vec<Expression>> },
    /// A part of an index: equal to `prefix` in its first parts, then between the bounds in the next.
    Range { index: usize, prefix: Vec<Expression>, low: Option<Bound>, high: Option<Bound>, descending: bool },
}

#[derive(Debug, Clone)]
pub struct Bound {
    pub value: Expression,
    pub inclusive: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScanLock {
    pub mode: LockMode,
    pub wait: Option<LockWait>,
}

impl ScanLock {
    /// What REPEATABLE READ and SERIALIZABLE take for rows that a statement reads on its way to others.
    pub const SHARED: ScanLock = ScanLock { mode: LockMode::Shared, wait: None };
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexHint {
    pub kind: IndexHintKind,
    pub indexes: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IndexHintKind {
    Use,
    Force,
    Ignore,
}

#[derive(Debug, Clone)]
pub struct VirtualScan {
    /// Lower case.
    pub database: String,
    /// Upper case for information_schema.
    pub table: String,
    /// Positions in the table's columns.
    pub columns: Vec<usize>,
    pub types: Vec<MysqlType>,
}

#[derive(Debug, Clone)]
pub struct Join {
    pub kind: JoinKind,
    pub left: Node,
    pub right: Node,
    /// Pairs that must be equal: (over the left's row, over the right's row), with the type they are compared as being
    /// already cast in. NULLs never match.
    pub equal: Vec<(Expression, Expression)>,
    /// Over left then right.
    pub condition: Option<Expression>,
    /// The right side reads the left's row as `Expression::Outer` of level 1 (LATERAL; also made by the rule that turns
    /// a join into index lookups).
    pub lateral: bool,
}

/// Right joins are turned round by the binder. Semi and Anti give the left's columns only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinKind {
    Inner,
    Left,
    Semi,
    Anti,
}

#[derive(Debug, Clone)]
pub struct AggregateCall {
    pub function: AggregateFunction,
    pub arguments: Vec<Expression>,
    pub distinct: bool,
    /// GROUP_CONCAT: keys over the input row.
    pub order_by: Vec<SortKey>,
    pub separator: Option<String>,
    pub ty: MysqlType,
}

#[derive(Debug, Clone)]
pub struct SortKey {
    pub expression: Expression,
    pub descending: bool,
}

#[derive(Debug, Clone)]
pub struct WindowCall {
    pub function: WindowFunction,
    pub arguments: Vec<Expression>,
    pub partition_by: Vec<Expression>,
    pub order_by: Vec<SortKey>,
    pub frame: Option<WindowFrame>,
    pub ty: MysqlType,
}

#[derive(Debug, Clone, PartialEq)]
pub enum WindowFunction {
    RowNumber,
    Rank,
    DenseRank,
    PercentRank,
    CumeDist,
    Ntile,
    Lag,
    Lead,
    FirstValue,
    LastValue,
    NthValue,
    Aggregate(AggregateFunction),
}

#[derive(Debug, Clone)]
pub struct WindowFrame {
    /// ROWS; else RANGE.
    pub rows: bool,
    pub start: FrameBound,
    pub end: FrameBound,
}

#[derive(Debug, Clone)]
pub enum FrameBound {
    UnboundedPreceding,
    Preceding(Expression),
    CurrentRow,
    Following(Expression),
    UnboundedFollowing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetKind {
    Union,
    Intersect,
    Except,
}

impl Node {
    /// The nodes that this one reads, from the left. Subqueries in expressions are not among them.
    pub fn inputs(&self) -> Vec<&Node> {
        match self {
            Node::Dual
            | Node::Scan(_)
            | Node::Virtual(_)
            | Node::Values { .. }
            | Node::WorkingTable { .. }
            | Node::JsonTable(_) => Vec::new(),
            Node::Filter { input, .. }
            | Node::Project { input, .. }
            | Node::Aggregate { input, .. }
            | Node::Window { input, .. }
            | Node::Sort { input, .. }
            | Node::Limit { input, .. }
            | Node::Distinct { input } => vec![input],
            Node::Join(join) => vec![&join.left, &join.right],
            Node::SetOperation { left, right, .. } => vec![left, right],
            Node::RecursiveCte { anchor, recursive, .. } => vec![anchor, recursive],
            Node::Derived(query) => vec![&query.root],
        }
    }

    /// Whether a scan in it locks what it reads.
    pub fn locks(&self) -> bool {
        matches!(self, Node::Scan(scan) if scan.lock.is_some()) || self.inputs().into_iter().any(Node::locks)
    }
}
