//! Plans written by hand, in few words.

use crate::catalog::TableDef;
use crate::catalog::schema::{ColumnDefault, IndexKind, ReferentialAction};
use crate::sql::plan::*;
use expr::Expression;
use expr::collation::CollationId;
use expr::mysql_type::{MysqlType, TypeKind};
use expr::value::Value;
use std::sync::Arc;

pub fn name(name: &str) -> ObjectName {
    ObjectName { database: "d".into(), name: name.into() }
}

pub fn int() -> MysqlType {
    MysqlType::new(TypeKind::Int { bytes: 4, unsigned: false, display: Default::default() })
}

pub fn varchar(length: u32) -> MysqlType {
    MysqlType::varchar(length, CollationId::UTF8MB4_0900_AI_CI)
}

pub fn column(name: &str, ty: MysqlType) -> ColumnSpec {
    ColumnSpec {
        name: name.into(),
        ty,
        collation: None,
        nullable: None,
        default: ColumnDefault::None,
        on_update_now: false,
        auto_increment: false,
        generated: None,
        comment: String::new(),
        invisible: false,
        note: None,
    }
}

pub fn not_null(name: &str, ty: MysqlType) -> ColumnSpec {
    ColumnSpec { nullable: Some(false), ..column(name, ty) }
}

pub fn auto_increment(name: &str) -> ColumnSpec {
    ColumnSpec { auto_increment: true, ..not_null(name, int()) }
}

fn index(columns: &[&str]) -> IndexSpec {
    IndexSpec {
        name: None,
        primary: false,
        unique: false,
        kind: IndexKind::Btree,
        parts: columns.iter().map(|column| (column.to_string(), None, false)).collect(),
        expressions: Vec::new(),
        comment: String::new(),
        invisible: false,
    }
}

pub fn primary(columns: &[&str]) -> IndexSpec {
    IndexSpec { primary: true, unique: true, ..index(columns) }
}

pub fn unique(columns: &[&str]) -> IndexSpec {
    IndexSpec { unique: true, ..index(columns) }
}

pub fn key(columns: &[&str]) -> IndexSpec {
    index(columns)
}

pub fn references(column: &str, parent: &str, parent_column: &str, on_delete: ReferentialAction) -> ForeignKeySpec {
    ForeignKeySpec {
        name: None,
        index_name: None,
        columns: vec![column.into()],
        parent: name(parent),
        parent_columns: vec![parent_column.into()],
        on_delete,
        on_update: on_delete,
    }
}

pub fn create_database() -> Ddl {
    Ddl::CreateDatabase { name: "d".into(), if_not_exists: false, collation: None }
}

pub fn create(table: &str, columns: Vec<ColumnSpec>, indexes: Vec<IndexSpec>) -> CreateTable {
    CreateTable {
        temporary: false,
        name: name(table),
        if_not_exists: false,
        columns,
        indexes,
        foreign_keys: Vec::new(),
        checks: Vec::new(),
        options: TableOptions::default(),
        source: None,
        source_ignore: false,
        source_replace: false,
    }
}

pub fn create_table(table: &str, columns: Vec<ColumnSpec>, indexes: Vec<IndexSpec>) -> Ddl {
    Ddl::CreateTable(Box::new(create(table, columns, indexes)))
}

pub fn literal(value: impl Into<Literal>) -> Expression {
    value.into().0
}

/// A constant of an expression.
pub struct Literal(pub Expression);

impl From<i64> for Literal {
    fn from(number: i64) -> Literal {
        Literal(Expression::literal(Value::Int(number), MysqlType::bigint()))
    }
}

impl From<&str> for Literal {
    fn from(text: &str) -> Literal {
        Literal(Expression::literal(Value::text(text), varchar(text.len() as u32)))
    }
}

impl From<Option<i64>> for Literal {
    fn from(number: Option<i64>) -> Literal {
        match number {
            Some(number) => number.into(),
            None => Literal(Expression::literal(Value::Null, MysqlType::null())),
        }
    }
}

/// A row of literals: `row![1, "a", None]`.
#[macro_export]
macro_rules! row {
    ($($value:expr),*) => { vec![$(Some($crate::testing::plans::literal($value))),*] };
}

pub fn insert(table: &Arc<TableDef>, columns: &[&str], rows: Vec<Vec<Option<Expression>>>) -> Insert {
    Insert {
        partitions: None,
        table: table.clone(),
        columns: columns.iter().map(|column| table.column_index(column).expect("a column")).collect(),
        source: InsertSource::Values(rows),
        on_duplicate: Vec::new(),
        ignore: false,
        replace: false,
        subqueries: Vec::new(),
    }
}

impl From<Insert> for Statement {
    fn from(insert: Insert) -> Statement {
        Statement::Insert(Box::new(insert))
    }
}

pub fn scan(table: &Arc<TableDef>) -> Node {
    Node::Scan(Box::new(Scan {
        table: table.clone(),
        alias: table.name.clone(),
        columns: (0..table.columns.len()).collect(),
        filter: None,
        access: Access::Full,
        lock: None,
        hints: Vec::new(),
        lookups: 0,
    }))
}

/// Rows whose clustered or other unique index has this value.
pub fn point(table: &Arc<TableDef>, index: usize, value: impl Into<Literal>) -> Node {
    let Node::Scan(mut scan) = scan(table) else { unreachable!() };
    scan.access = Access::Point { index, keys: vec![vec![value.into().0]] };
    Node::Scan(scan)
}

/// Rows of an index that begin with a value.
pub fn range(table: &Arc<TableDef>, index: usize, value: impl Into<Literal>) -> Node {
    let Node::Scan(mut scan) = scan(table) else { unreachable!() };
    scan.access = Access::Range { index, prefix: vec![value.into().0], low: None, high: None, descending: false };
    Node::Scan(scan)
}

pub fn update(table: &Arc<TableDef>, input: Node, assignments: Vec<(&str, Expression)>) -> Update {
    let assignments = assignments
        .into_iter()
        .map(|(column, value)| (table.column_index(column).expect("a column"), Some(value)))
        .collect();
    Update {
        input,
        targets: vec![UpdateTarget { table: table.clone(), partitions: None, base: 0, assignments }],
        ignore: false,
        subqueries: Vec::new(),
    }
}

impl From<Update> for Statement {
    fn from(update: Update) -> Statement {
        Statement::Update(Box::new(update))
    }
}

pub fn delete(table: &Arc<TableDef>, input: Node) -> Delete {
    Delete {
        input,
        targets: vec![DeleteTarget { table: table.clone(), base: 0 }],
        ignore: false,
        subqueries: Vec::new(),
    }
}

impl From<Delete> for Statement {
    fn from(delete: Delete) -> Statement {
        Statement::Delete(Box::new(delete))
    }
}

/// A column of the table, by name.
pub fn of(table: &Arc<TableDef>, column: &str) -> Expression {
    let position = table.column_index(column).expect("a column");
    Expression::column(position, table.columns[position].ty.clone())
}
