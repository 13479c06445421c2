//! Statements about the session: SET, transactions, locks, prepared statements.

use crate::account::Privileges;
use crate::sql::bind::scope::Boundary;
use crate::sql::bind::{Binder, Built, Frame};
use crate::sql::parse::ast::{self, Kind};
use crate::sql::plan::{Field, Isolation, Node, Query, SetItem, Statement, VariableScope, walk};
use expr::function::misc::WAITING;
use expr::value::Value;
use expr::{Expression, MysqlType, SqlError};

impl Binder<'_> {
    pub fn session_statement(&mut self, kind: &Kind) -> Result<Statement, SqlError> {
        Ok(match kind {
            Kind::Set(items) => {
                let mut bound = Vec::new();
                for item in items {
                    bound.push(self.set_item(item)?);
                }
                Statement::Set(bound)
            }
            Kind::SetTransaction { scope: None, isolation, read_only } => {
                Statement::SetTransaction { isolation: *isolation, read_only: *read_only }
            }
            Kind::SetTransaction { scope: Some(scope), isolation, read_only } => {
                Statement::Set(self.transaction_items(*scope, *isolation, *read_only))
            }
            Kind::Use(database) => Statement::Use(database.clone()),
            Kind::Begin { consistent_snapshot, read_only } => {
                Statement::Begin { consistent_snapshot: *consistent_snapshot, read_only: *read_only }
            }
            Kind::Commit { chain, release } => Statement::Commit { chain: *chain, release: *release },
            Kind::Rollback { chain, release } => Statement::Rollback { chain: *chain, release: *release },
            Kind::Savepoint(name) => Statement::Savepoint(name.clone()),
            Kind::RollbackTo(name) => Statement::RollbackTo(name.clone()),
            Kind::ReleaseSavepoint(name) => Statement::ReleaseSavepoint(name.clone()),
            Kind::Xa(statement) => Statement::Xa(statement.clone()),
            Kind::LockTables(tables) => {
                let mut bound = Vec::new();
                for (name, write) in tables {
                    let name = self.object(name)?;
                    self.rights.require_database(Privileges::LOCK_TABLES, &name.database)?;
                    self.rights.require_table(Privileges::SELECT, &name.database, &name.name)?;
                    bound.push((name, *write));
                }
                Statement::LockTables(bound)
            }
            Kind::UnlockTables => Statement::UnlockTables,
            Kind::Flush { tables } => Statement::Flush { tables: *tables },
            Kind::Kill { query_only, connection } => {
                Statement::Kill { query_only: *query_only, connection: self.constant(connection)? }
            }
            Kind::Prepare { name, source } => Statement::Prepare { name: name.clone(), source: self.constant(source)? },
            Kind::ExecutePrepared { name, using } => {
                Statement::ExecutePrepared { name: name.clone(), using: using.clone() }
            }
            Kind::SetRole(choice) => Statement::SetRole(choice.clone()),
            Kind::Deallocate(name) => Statement::Deallocate(name.clone()),
            Kind::Do(expressions) => {
                let (query, _) = self.framed(Boundary::Top, |binder| {
                    let bound = binder.expressions(expressions)?;
                    let fields = bound
                        .iter()
                        .zip(expressions)
                        .map(|(bound, syntax)| Field { name: syntax.to_string(), ty: bound.ty(), origin: None })
                        .collect();
                    let root = Node::Project { input: Box::new(Node::Dual), expressions: bound };
                    Ok(Built { root, fields, calc_found_rows: false })
                })?;
                Statement::Do(query)
            }
            Kind::Maintenance { verb, tables } => {
                let tables = self.objects(tables)?;
                let needed = match verb.as_str() {
                    "check" | "checksum" => Privileges::SELECT,
                    _ => Privileges::SELECT | Privileges::INSERT,
                };
                for name in &tables {
                    self.rights.require_table(needed, &name.database, &name.name)?;
                }
                Statement::Maintenance { verb: verb.clone(), tables }
            }
            other => return Err(SqlError::internal(format!("no binding for {other:?}"))),
        })
    }

    /// An expression without a row around it and without subqueries.
    pub fn constant(&mut self, expression: &ast::syntax::Expr) -> Result<Expression, SqlError> {
        self.frames.push(Frame::new(Boundary::Top));
        let bound = self.expression(expression);
        let subqueries = self.frames.pop().is_some_and(|frame| !frame.subqueries.is_empty());
        self.blocks.clear();
        let bound = bound?;
        if subqueries {
            return Err(SqlError::not_supported("a subquery in this statement"));
        }
        Ok(bound)
    }

    /// The value as a query, if there is a subquery in it, or a call that has to be waited for.
    fn computed(&mut self, value: &ast::syntax::Expr) -> Result<Option<Query>, SqlError> {
        let (query, _) = self.framed(Boundary::Top, |binder| {
            let bound = binder.expression(value)?;
            let fields = vec![Field { name: String::new(), ty: bound.ty(), origin: None }];
            let root = Node::Project { input: Box::new(Node::Dual), expressions: vec![bound] };
            Ok(Built { root, fields, calc_found_rows: false })
        })?;
        self.blocks.clear();
        let mut waits = false;
        if let Node::Project { expressions, .. } = &query.root {
            let waiting = |part: &Expression| matches!(part, Expression::Call { function, .. } if WAITING.contains(&function.name));
            waits = expressions.iter().any(|expression| walk::any(expression, &waiting));
        }
        Ok(if query.subqueries.is_empty() && !waits { None } else { Some(query) })
    }

    fn set_item(&mut self, item: &ast::SetItem) -> Result<SetItem, SqlError> {
        let value = match item {
            ast::SetItem::User { value, .. } | ast::SetItem::System { value: Some(value), .. } => Some(value),
            _ => None,
        };
        if let Some(value) = value
            && let Some(query) = self.computed(value)?
        {
            let placeholder = self.value_literal(&Value::Null);
            let ty = query.fields[0].ty.clone();
            let item = match item {
                ast::SetItem::User { name, .. } => {
                    self.assigned.push((name.clone(), ty));
                    SetItem::User { name: name.clone(), value: placeholder }
                }
                ast::SetItem::System { scope, name, .. } => {
                    SetItem::System { scope: *scope, name: name.clone(), value: Some(placeholder) }
                }
                _ => return Err(SqlError::internal("SET of something else with a subquery")),
            };
            return Ok(SetItem::Computed { query: Box::new(query), item: Box::new(item) });
        }
        Ok(match item {
            ast::SetItem::User { name, value } => {
                let value = self.constant(value)?;
                self.assigned.push((name.clone(), value.ty()));
                SetItem::User { name: name.clone(), value }
            }
            ast::SetItem::System { scope, name, value } => SetItem::System {
                scope: *scope,
                name: name.clone(),
                value: value.as_ref().map(|value| self.constant(value)).transpose()?,
            },
            ast::SetItem::Names { charset, collation } => {
                SetItem::Names { charset: charset.clone(), collation: collation.clone() }
            }
            ast::SetItem::CharacterSet(charset) => SetItem::CharacterSet(charset.clone()),
        })
    }

    /// SET SESSION|GLOBAL TRANSACTION as the variables that it sets.
    fn transaction_items(
        &self,
        scope: VariableScope,
        isolation: Option<Isolation>,
        read_only: Option<bool>,
    ) -> Vec<SetItem> {
        let mut items = Vec::new();
        if let Some(isolation) = isolation {
            let name = match isolation {
                Isolation::ReadUncommitted => "READ-UNCOMMITTED",
                Isolation::ReadCommitted => "READ-COMMITTED",
                Isolation::RepeatableRead => "REPEATABLE-READ",
                Isolation::Serializable => "SERIALIZABLE",
            };
            let value = Some(self.value_literal(&Value::text(name)));
            items.push(SetItem::System { scope, name: "transaction_isolation".to_owned(), value });
        }
        if let Some(read_only) = read_only {
            let value = Some(Expression::literal(Value::boolean(read_only), MysqlType::boolean().with_nullable(false)));
            items.push(SetItem::System { scope, name: "transaction_read_only".to_owned(), value });
        }
        items
    }
}
