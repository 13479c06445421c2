//! One step of the routine on top.

use super::frame::{Owner, Target};
use super::{Flow, condition};
use crate::execute::row::waiting::waits;
use crate::session::Session;
use crate::session::result::StatementResult;
use crate::session::source::{Plan, Source};
use crate::sql::parse::ast::Kind;
use crate::sql::parse::routine::program::{self as steps, Instruction};
use crate::sql::plan::{Node, Query};
use expr::eval::eval_unrounded;
use expr::store::store;
use expr::value::{Row, Value};
use expr::{ErrorCode, SqlError};
use futures::TryStreamExt;
use std::sync::Arc;

impl Session {
    pub(super) async fn step(&mut self) -> Result<Flow, SqlError> {
        let Some(frame) = self.frames.last_mut() else { return Ok(Flow::End) };
        let program = Arc::clone(&frame.program);
        let at = frame.at;
        let Some(step) = program.program.steps.get(at) else { return Ok(Flow::End) };
        frame.scope = None;
        let known = self.warnings.len();
        match &step.instruction {
            Instruction::Run(code) => return self.run_statement(code.scope, at).await,
            Instruction::Set(target, code) => {
                let value = self.value(code.scope, program.source(at)).await?;
                let target = match target {
                    steps::Target::Slot(slot) => Target::Slot(*slot),
                    steps::Target::New(column) => Target::Slot(program.new_column(column)?),
                    steps::Target::User(name) => Target::User(name.clone()),
                };
                self.assign(&target, value)?;
                self.go_to(at + 1);
                condition::after(self, at, known);
                return Ok(Flow::Next);
            }
            Instruction::JumpUnless(code, to) => {
                let value = self.value(code.scope, program.source(at)).await?;
                let context = self.eval_context(Arc::from([]));
                if value.to_bool(&context)? != Some(true) {
                    self.go_to(*to);
                    return Ok(Flow::Next);
                }
            }
            Instruction::Jump { to, leaves } => {
                if let Some(frame) = self.frames.last_mut() {
                    frame.leave_to(*leaves);
                }
                self.go_to(*to);
                return Ok(Flow::Next);
            }
            Instruction::Return(code) => {
                let value = self.value(code.scope, program.source(at)).await?;
                let Owner::Function(routine) = &program.owner else {
                    return Err(SqlError::internal("RETURN outside of a function; report it"));
                };
                let ty = routine.returns.clone().unwrap_or_else(expr::MysqlType::null);
                let context = self.store_context();
                let stored = store(value, &routine.name, 1, &ty, &context);
                self.keep(&context.effects);
                self.calls.returned = Some(stored?);
                return Ok(Flow::End);
            }
            Instruction::Open(cursor) => self.open_cursor(*cursor).await?,
            Instruction::Fetch { cursor, into } => self.fetch(*cursor, into)?,
            Instruction::Close(cursor) => self.close_cursor(*cursor)?,
            Instruction::EndBlock(depth) => {
                if let Some(frame) = self.frames.last_mut() {
                    frame.close_cursors(*depth);
                }
            }
            Instruction::EndHandler(number) => {
                self.end_handler(*number);
                return Ok(Flow::Next);
            }
            Instruction::NoCase => {
                return Err(SqlError::new(ErrorCode(1339), "Case not found for CASE statement"));
            }
        }
        self.go_to(at + 1);
        Ok(Flow::Next)
    }

    pub(super) fn go_to(&mut self, at: usize) {
        if let Some(frame) = self.frames.last_mut() {
            frame.at = at;
        }
    }

    /// Any statement, as if the session had been given it.
    async fn run_statement(&mut self, scope: usize, at: usize) -> Result<Flow, SqlError> {
        let depth = self.frames.len();
        let Some(frame) = self.frames.last_mut() else { return Ok(Flow::End) };
        frame.scope = Some(scope);
        let (values, owner) = (frame.values.clone(), frame.program.owner.kind());
        let Some(source) = frame.program.source(at) else { return Ok(Flow::Next) };
        let result = self.run(&source, values).await?;
        // A procedure that was called stands above this frame, which goes on behind the statement.
        if let Some(frame) = self.frames.get_mut(depth - 1) {
            frame.at = at + 1;
        }
        match result {
            StatementResult::Called => Ok(Flow::Next),
            StatementResult::Rows(rows) if self.nested.is_none() => Ok(Flow::Rows(rows)),
            StatementResult::Rows(_) => {
                self.close_rows(0, None).await?;
                let text = format!("Not allowed to return a result set from a {owner}");
                Err(SqlError::new(ErrorCode(1415), text))
            }
            StatementResult::Done(done) => {
                if !matches!(source.statement.kind, Kind::GetDiagnostics(_)) {
                    self.calls.affected = done.affected_rows;
                }
                condition::after(self, at, 0);
                Ok(Flow::Next)
            }
            StatementResult::File(_) => Err(SqlError::not_supported("LOAD DATA LOCAL in a stored routine")),
        }
    }

    /// The value of `SELECT expression`.
    async fn value(&mut self, scope: usize, source: Option<Arc<Source>>) -> Result<Value, SqlError> {
        let (Some(source), Some(frame)) = (source, self.frames.last_mut()) else {
            return Err(SqlError::internal("a step without its expression; report it"));
        };
        frame.scope = Some(scope);
        let values = frame.values.clone();
        // What names no table needs no catalog of this very moment.
        let known = self.temporary.over(&self.engine.services.catalog.newest());
        if let Plan::Query(query) = self.plan(&source, &known, &values)?
            && let Some(expression) = plain(&query)
        {
            let context = self.eval_context(values);
            let value = eval_unrounded(expression, &[], &context);
            self.keep(&context.effects);
            return value;
        }
        let (catalog, begun_at) = self.newest_catalog().await?;
        let Plan::Query(query) = self.plan(&source, &catalog, &values)? else {
            return Err(SqlError::internal("an expression that is no query; report it"));
        };
        if query.fields.len() != 1 {
            return Err(SqlError::new(ErrorCode::OPERAND_COLUMNS, "Operand should contain 1 column(s)"));
        }
        let context = self.eval_context(values);
        let StatementResult::Rows(rows) = self.select(query, catalog, context, begun_at).await? else {
            return Err(SqlError::internal("an expression without a value; report it"));
        };
        let outcome: Result<Vec<Vec<Row>>, SqlError> = rows.rows.try_collect().await;
        let ended = self.close_rows(1, outcome.as_ref().err()).await;
        let row = outcome?.into_iter().flatten().next().unwrap_or_default();
        ended?;
        Ok(row.into_iter().next().unwrap_or(Value::Null))
    }
}

/// The expression of a query that has nothing else in it.
fn plain(query: &Query) -> Option<&expr::Expression> {
    let root = match &query.root {
        Node::Limit { input, .. } => input,
        other => other,
    };
    match root {
        Node::Project { input, expressions } if matches!(**input, Node::Dual) && query.subqueries.is_empty() => {
            expressions.first().filter(|expression| expressions.len() == 1 && !waits(expression))
        }
        _ => None,
    }
}
