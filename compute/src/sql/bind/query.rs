//! Whole queries: WITH, set operations, ORDER BY and LIMIT around them, locking clauses.

use crate::catalog::TableDef;
use crate::sql::bind::scope::{Block, Boundary, Clause, Origin, Scope, ScopeColumn};
use crate::sql::bind::{Binder, Built, Cte, CteDefinition, error};
use crate::sql::parse::VARIABLE_QUOTE;
use crate::sql::parse::ast::syntax::{
    Expr, LimitClause, LockClause, LockType, NonBlock, OrderByExpr, OrderByKind, OrderBySort, Query, SetExpr, Value,
    Values, With,
};
use crate::sql::plan::{Field, Node, ScanLock, SortKey};
use common::service::wal::{LockMode, LockWait};
use expr::mysql_type::{MysqlType, TypeKind};
use expr::{ErrorCode, Expression, SqlError};
use std::sync::Arc;

/// LIMIT's parts, bound.
#[derive(Clone, Default)]
pub struct Limit {
    pub offset: Option<Expression>,
    pub count: Option<Expression>,
}

pub fn is_descending(key: &OrderByExpr) -> bool {
    matches!(key.options.sort, Some(OrderBySort::Desc))
}

impl Binder<'_> {
    /// Binds a query into the innermost frame.
    pub fn query(&mut self, query: &Query) -> Result<Built, SqlError> {
        if query.fetch.is_some() || query.for_clause.is_some() {
            return Err(SqlError::not_supported("FETCH"));
        }
        let visible = self.ctes.len();
        if let Some(with) = &query.with {
            self.with(with)?;
        }
        let bound = self.query_body(query);
        self.ctes.truncate(visible);
        bound
    }

    fn query_body(&mut self, query: &Query) -> Result<Built, SqlError> {
        let order_by: &[OrderByExpr] = match &query.order_by {
            Some(order_by) => match &order_by.kind {
                OrderByKind::Expressions(keys) => keys,
                OrderByKind::All(_) => return Err(SqlError::not_supported("ORDER BY ALL")),
            },
            None => &[],
        };
        let limit = self.limit(query.limit_clause.as_ref())?;
        let mut built = match query.body.as_ref() {
            SetExpr::Select(select) => self.select(select, order_by, &limit)?,
            body => {
                let built = self.set_expression(body)?;
                self.ordered(built, order_by, limit)?
            }
        };
        for lock in &query.locks {
            let mut locked = Vec::new();
            lock_scans(&mut built.root, lock, &mut locked);
            if lock.lock_type == LockType::Update {
                locked.iter().try_for_each(|table| self.check_locking(table))?;
            }
        }
        Ok(built)
    }

    /// SELECT, a query in parentheses, VALUES, TABLE, or an operation on two of them.
    pub fn set_expression(&mut self, body: &SetExpr) -> Result<Built, SqlError> {
        stacker::maybe_grow(128 << 10, 2 << 20, || match body {
            SetExpr::Select(select) => self.select(select, &[], &Limit::default()),
            SetExpr::Query(query) => self.query(query),
            SetExpr::SetOperation { left, op, set_quantifier, right } => {
                self.set_operation(left, *op, *set_quantifier, right)
            }
            SetExpr::Values(values) => self.values(values),
            SetExpr::Table(table) => {
                let database = table.schema_name.clone();
                let name = table.table_name.clone().unwrap_or_default();
                self.table_query(database, &name)
            }
            other => Err(SqlError::not_supported(other)),
        })
    }

    /// ORDER BY and LIMIT over a result: keys are its columns, by name or position.
    fn ordered(&mut self, built: Built, order_by: &[OrderByExpr], limit: Limit) -> Result<Built, SqlError> {
        let Built { mut root, fields, calc_found_rows } = built;
        if !order_by.is_empty() {
            let frame = self.frames.len() - 1;
            let boundary = self.frames[frame].boundary;
            let mut block = Block::new(boundary, frame);
            block.scope = scope_of(&fields);
            block.clause = Clause::Order;
            self.blocks.push(block);
            let keys = self.output_keys(order_by, &fields);
            self.blocks.pop();
            root = Node::Sort { input: Box::new(root), keys: keys? };
        }
        Ok(Built { root: limited(root, limit), fields, calc_found_rows })
    }

    fn output_keys(&mut self, order_by: &[OrderByExpr], fields: &[Field]) -> Result<Vec<SortKey>, SqlError> {
        order_by
            .iter()
            .map(|key| {
                let expression = match Self::position(&key.expr) {
                    Some(position) => match position.checked_sub(1).filter(|at| *at < fields.len()) {
                        Some(at) => Expression::column(at, fields[at].ty.clone()),
                        None => return Err(error::unknown_column(&position.to_string(), "order clause")),
                    },
                    None => self.expression(&key.expr)?,
                };
                Ok(SortKey { expression, descending: is_descending(key) })
            })
            .collect()
    }

    pub fn limit(&mut self, clause: Option<&LimitClause>) -> Result<Limit, SqlError> {
        let (offset, count) = match clause {
            None => return Ok(Limit::default()),
            Some(LimitClause::LimitOffset { limit, offset, .. }) => {
                (offset.as_ref().map(|offset| &offset.value), limit.as_ref())
            }
            Some(LimitClause::OffsetCommaLimit { offset, limit }) => (Some(offset), Some(limit)),
        };
        Ok(Limit {
            offset: offset.map(|it| self.row_count(it)).transpose()?,
            count: count.map(|it| self.row_count(it)).transpose()?,
        })
    }

    /// A number of rows: a literal or a parameter.
    pub fn row_count(&mut self, expression: &Expr) -> Result<Expression, SqlError> {
        match expression {
            Expr::Value(value) if matches!(value.value, Value::Number(..) | Value::Placeholder(_)) => {
                let mut bound = self.literal(&value.value)?;
                self.infer(&mut bound, &MysqlType::bigint_unsigned());
                if matches!(bound.ty().kind, TypeKind::Int { .. }) {
                    return Ok(bound);
                }
                Err(limit_error(expression))
            }
            Expr::Identifier(name) if name.quote_style != Some(VARIABLE_QUOTE) => {
                let found = self.local_row_count(std::slice::from_ref(&name.value))?;
                found.ok_or_else(|| limit_error(expression))
            }
            _ => Err(limit_error(expression)),
        }
    }

    /// `VALUES ROW(1, 2), ROW(3, 4)`
    fn values(&mut self, values: &Values) -> Result<Built, SqlError> {
        let frame = self.frames.len() - 1;
        let boundary = self.frames[frame].boundary;
        self.blocks.push(Block::new(boundary, frame));
        let mut rows = Vec::new();
        for row in &values.rows {
            let bound = self.expressions(&row.content);
            match bound {
                Ok(bound) => rows.push(bound),
                Err(error) => {
                    self.blocks.pop();
                    return Err(error);
                }
            }
        }
        self.blocks.pop();
        let Some(width) = rows.first().map(Vec::len) else {
            return Err(SqlError::not_supported("VALUES without rows"));
        };
        // To a client, a result without columns is none.
        if width == 0 {
            let text = "Each row of a VALUES clause must have at least one column, unless when used as source in an INSERT \
                        statement.";
            return Err(SqlError::new(ErrorCode(3942), text));
        }
        if rows.iter().any(|row| row.len() != width) {
            return Err(SqlError::new(
                ErrorCode::WRONG_VALUE_COUNT_ON_ROW,
                format!(
                    "Column count doesn't match value count at row {}",
                    rows.iter().position(|row| row.len() != width).unwrap_or(0) + 1
                ),
            ));
        }
        let mut fields = Vec::new();
        for column in 0..width {
            let types: Vec<MysqlType> = rows.iter().map(|row| row[column].ty()).collect();
            let ty = super::unify::unify(&types, self.context.collation_connection)?;
            fields.push(Field { name: format!("column_{column}"), ty, origin: None });
        }
        let rows = rows.into_iter().map(|row| {
            row.into_iter().zip(&fields).map(|(value, field)| super::unify::cast_to(value, &field.ty)).collect()
        });
        Ok(Built { root: Node::Values { rows: rows.collect() }, fields, calc_found_rows: false })
    }

    /// Puts the tables of a WITH into sight.
    pub fn with(&mut self, with: &With) -> Result<(), SqlError> {
        for cte in &with.cte_tables {
            let name = cte.alias.name.value.clone();
            let columns: Vec<String> = cte.alias.columns.iter().map(|column| column.name.value.clone()).collect();
            let visible = self.ctes.len();
            let recursive = with.recursive && super::recursive::names(&cte.query, &name);
            let definition = CteDefinition::Query { query: Arc::from(cte.query.clone()), visible, recursive };
            self.ctes.push(Cte { name, columns, definition });
        }
        Ok(())
    }
}

fn limit_error(expression: &Expr) -> SqlError {
    SqlError::new(
        ErrorCode::PARSE_ERROR,
        format!(
            "You have an error in your SQL syntax; check the manual that corresponds to your MySQL server version for \
             the right syntax to use near '{expression}' at line 1"
        ),
    )
}

pub fn limited(root: Node, limit: Limit) -> Node {
    match limit {
        Limit { offset: None, count: None } => root,
        Limit { offset, count } => Node::Limit { input: Box::new(root), offset, count },
    }
}

/// A scope with the columns of a result, which belong to no table.
pub fn scope_of(fields: &[Field]) -> Scope {
    let columns = fields.iter().enumerate().map(|(index, field)| ScopeColumn {
        name: field.name.clone(),
        table: 0,
        index,
        ty: field.ty.clone(),
        origin: field.origin.clone().map_or(Origin::None, Origin::Told),
        merged: false,
        invisible: false,
    });
    let table = super::scope::ScopeTable {
        alias: String::new(),
        database: None,
        definition: None,
        limits: None,
        keys: Vec::new(),
    };
    Scope { columns: columns.collect(), tables: vec![table], width: fields.len() }
}

/// FOR UPDATE and FOR SHARE: scans of the query block, not those of its subqueries and derived tables.
fn lock_scans(node: &mut Node, clause: &LockClause, locked: &mut Vec<Arc<TableDef>>) {
    if let Node::Scan(scan) = node {
        let of: Option<String> = clause.of.as_ref().map(super::column_type::plain_name);
        if of.is_none_or(|names| names.split(',').any(|name| name == scan.alias)) {
            locked.push(scan.table.clone());
            scan.lock = Some(ScanLock {
                mode: match clause.lock_type {
                    LockType::Share => LockMode::Shared,
                    LockType::Update => LockMode::Exclusive,
                },
                wait: match clause.nonblock {
                    Some(NonBlock::Nowait) => Some(LockWait::NoWait),
                    Some(NonBlock::SkipLocked) => Some(LockWait::SkipLocked),
                    None => None,
                },
            });
        }
        return;
    }
    crate::sql::plan::walk::each_input_mut(node, &mut |input| lock_scans(input, clause, locked));
}

/// Blocks of a set operation see what the query's frame lets them see.
pub fn boundary_of(binder: &Binder<'_>) -> (Boundary, usize) {
    let frame = binder.frames.len().saturating_sub(1);
    (binder.frames.get(frame).map_or(Boundary::Top, |frame| frame.boundary), frame)
}
