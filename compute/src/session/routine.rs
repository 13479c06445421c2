//! Stored routines at run time: an interpreter of their steps (`sql::parse::routine::program`) with frames of its own.
//!
//! ```text
//! CALL ─▶ a frame ─▶ step, step, step ...      a result set: the interpreter stops, and goes on when it has been sent
//!                      └▶ any statement: as if the session had been given it
//! function, trigger ─▶ a session within the session ([`nested`]), in the transaction of the statement around it
//! ```
//!
//! Procedures that call procedures are frames on one another, not calls of this code: depth costs no stack.
//!
//! Invariants
//! - Whatever way a frame ends, the session has its database, variables and rights back as they were before it.
//! - A nested session never commits and never rolls back: that is for the statement around it.

mod condition;
mod cursor;
mod diagnostics;
mod frame;
mod nested;
mod program;
mod step;

pub(super) use diagnostics::SignalItems;
pub(super) use frame::Frame;
pub(super) use nested::{Nested, Runner, calls_functions, change_calls_functions};
pub(super) use program::Programs;

use super::Session;
use super::result::{Done, ResultSet, StatementResult};
use crate::catalog::routine::{ParameterMode, RoutineDef};
use crate::sql::plan::{CallTarget, Field, IntoTarget};
use expr::mysql_type::MysqlType;
use expr::store::store;
use expr::value::{Row, Value};
use expr::{ErrorCode, SqlError};
use frame::{Owner, Target};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use std::sync::{Arc, PoisonError};

/// What calls leave behind as they go along.
#[derive(Default)]
pub(super) struct Calls {
    /// Rows changed by the last statement.
    affected: u64,
    /// The OK after the result set with OUT parameters.
    pending: Option<Done>,
    /// Of a function.
    returned: Option<Value>,
    /// A trigger's variables as its body left them.
    finished: Option<Arc<[Value]>>,
    /// An error of rows that were being sent.
    failed: Option<SqlError>,
}

/// What a step leads to.
enum Flow {
    Next,
    Rows(ResultSet),
    /// The frame has come to its end.
    End,
}

impl Session {
    /// True while a procedure has more to give.
    pub fn is_calling(&self) -> bool {
        !self.frames.is_empty() || self.calls.pending.is_some()
    }

    /// Goes on with the procedures that run: up to the next result set, or to the end of the first of them.
    pub fn proceed(&mut self) -> BoxFuture<'_, Result<StatementResult, SqlError>> {
        async move {
            let outcome = self.run_frames().await;
            if self.nested.is_some() { outcome } else { self.conclude(outcome).await }
        }
        .boxed()
    }

    async fn run_frames(&mut self) -> Result<StatementResult, SqlError> {
        if let Some(done) = self.calls.pending.take() {
            return Ok(StatementResult::Done(done));
        }
        while !self.frames.is_empty() {
            let stepped = match self.calls.failed.take() {
                Some(error) => {
                    self.step_back();
                    Err(error)
                }
                None => match self.handle.cancel.check() {
                    Ok(()) => self.step().await,
                    Err(error) => {
                        self.leave_all().await;
                        return Err(error);
                    }
                },
            };
            tokio::task::consume_budget().await;
            match stepped {
                Ok(Flow::Next) => {}
                Ok(Flow::Rows(rows)) => return Ok(StatementResult::Rows(rows)),
                Ok(Flow::End) => match self.finish_frame() {
                    Ok(Some(result)) => return Ok(result),
                    Ok(None) => {}
                    Err(error) => {
                        self.step_back();
                        self.catch_or_leave(error).await?;
                    }
                },
                Err(error) => self.catch_or_leave(error).await?,
            }
        }
        Ok(StatementResult::Done(Done { affected_rows: self.calls.affected, ..Done::default() }))
    }

    /// The step before is the one that failed.
    fn step_back(&mut self) {
        if let Some(frame) = self.frames.last_mut() {
            frame.at = frame.at.saturating_sub(1);
        }
    }

    async fn catch_or_leave(&mut self, error: SqlError) -> Result<(), SqlError> {
        let outcome = self.caught(error).await;
        if outcome.is_err() {
            self.leave_all().await;
        }
        outcome
    }

    /// Rows that were being sent have failed: their statement has.
    pub(super) fn rows_failed(&mut self, error: &SqlError) {
        if !self.frames.is_empty() {
            self.calls.failed = Some(error.clone());
        }
    }

    /// The client has been told of an error: procedures end where they are.
    pub async fn give_up_calls(&mut self) {
        self.leave_all().await;
    }

    /// Gives up whatever runs.
    pub(super) async fn leave_all(&mut self) {
        while let Some(frame) = self.frames.pop() {
            self.restore(frame);
        }
        self.calls = Calls::default();
    }

    /// CALL: a frame for the procedure. It runs when the session goes on.
    pub(super) async fn enter_procedure(
        &mut self,
        routine: &Arc<RoutineDef>,
        arguments: Row,
        targets: &[Option<CallTarget>],
    ) -> Result<(), SqlError> {
        self.check_depth(routine)?;
        let program = self.programs.of_routine(routine)?;
        let context = self.store_context();
        let mut values: Vec<Value> = vec![Value::Null; program.types.len()];
        for (slot, (parameter, argument)) in routine.parameters.iter().zip(arguments).enumerate() {
            if parameter.mode != ParameterMode::Out {
                values[slot] = store(argument, &parameter.name, 1, &parameter.ty, &context)?;
            }
        }
        self.keep(&context.effects);
        let outs = targets.iter().enumerate();
        let outs = outs.filter_map(|(slot, target)| Some((slot, target.clone()?))).collect();
        if self.frames.is_empty() {
            self.calls = Calls::default();
        }
        let saved = self.enter(&routine.database, routine.body.sql_mode, &routine.body.definer, routine.invoker)?;
        self.frames.push(Frame::new(program, values, saved, outs));
        Ok(())
    }

    /// 1456 for a procedure that calls itself deeper than it may.
    fn check_depth(&self, routine: &RoutineDef) -> Result<(), SqlError> {
        let is_same = |owner: &Owner| owner.is_routine(routine);
        let here = self.frames.iter().filter(|frame| is_same(&frame.program.owner)).count();
        let outside = self.nested.as_ref().map_or(0, |nested| nested.active.iter().filter(|it| is_same(it)).count());
        let limit = self.variables.integer("max_sp_recursion_depth") as usize;
        // A thread's stack bounds MySQL's frames; here memory does.
        const FRAMES_MAX: usize = 1_000;
        if self.frames.len() >= FRAMES_MAX {
            let text = "Thread stack overrun: procedures call one another too deeply";
            return Err(SqlError::new(ErrorCode::STACK_OVERRUN_NEED_MORE, text));
        }
        if here + outside > limit {
            let text = format!(
                "Recursive limit {limit} (as set by the max_sp_recursion_depth variable) was exceeded for routine {}",
                routine.name
            );
            return Err(SqlError::new(ErrorCode(1456), text));
        }
        Ok(())
    }

    /// The frame's values go where they belong; the session is what it was before. The result, after the first frame.
    fn finish_frame(&mut self) -> Result<Option<StatementResult>, SqlError> {
        let Some(frame) = self.frames.pop() else { return Ok(None) };
        if let Owner::Function(routine) = &frame.program.owner
            && self.calls.returned.is_none()
        {
            let text = format!("FUNCTION {} ended without RETURN", routine.name);
            self.restore(frame);
            return Err(SqlError::new(ErrorCode(1321), text));
        }
        let values = frame.values.clone();
        let outs = frame.outs.clone();
        let types: Vec<MysqlType> = outs.iter().map(|(slot, _)| frame.program.types[*slot].clone()).collect();
        let names: Vec<String> =
            outs.iter().map(|(slot, _)| frame.program.program.variables[*slot].name.clone()).collect();
        self.calls.finished = Some(values.clone());
        self.restore(frame);
        let (mut fields, mut row) = (Vec::new(), Vec::new());
        for (((slot, target), ty), name) in outs.into_iter().zip(types).zip(names) {
            let value = values[slot].clone();
            match target {
                CallTarget::User(name) => self.assign(&Target::User(name), value)?,
                CallTarget::Slot(slot) => self.assign(&Target::Slot(slot), value)?,
                CallTarget::Parameter(_) => {
                    fields.push(Field { name, ty, origin: None });
                    row.push(value);
                }
            }
        }
        if !self.frames.is_empty() {
            return Ok(None);
        }
        let done = Done { affected_rows: self.calls.affected, ..Done::default() };
        if fields.is_empty() {
            return Ok(Some(StatementResult::Done(done)));
        }
        self.calls.pending = Some(done);
        let rows = futures::stream::iter([Ok(vec![row])]).boxed();
        Ok(Some(StatementResult::Rows(ResultSet { fields, rows, is_out_parameters: true })))
    }

    /// INTO of a query, GET DIAGNOSTICS.
    pub(super) fn assign_into(&mut self, target: &IntoTarget, value: Value) -> Result<(), SqlError> {
        match target {
            IntoTarget::User(name) => self.assign(&Target::User(name.clone()), value),
            IntoTarget::Slot(slot) => self.assign(&Target::Slot(*slot), value),
        }
    }

    fn assign(&mut self, target: &Target, value: Value) -> Result<(), SqlError> {
        match target {
            Target::User(name) => {
                let mut variables = self.user_variables.lock().unwrap_or_else(PoisonError::into_inner);
                variables.insert(name.clone(), value);
            }
            Target::Slot(slot) => {
                let context = self.store_context();
                let Some(frame) = self.frames.last_mut() else {
                    return Err(SqlError::internal("a variable of no routine; report it"));
                };
                let stored = store(value, frame.name_of(*slot), 1, &frame.program.types[*slot], &context);
                let stored = stored.map(|value| frame.set(*slot, value));
                self.keep(&context.effects);
                stored?;
            }
        }
        Ok(())
    }

    /// Under which values are stored into variables.
    fn store_context(&self) -> expr::eval::EvalContext {
        let mut context = self.eval_context(Arc::from([]));
        context.strict_write = context.sql_mode.is_strict();
        context
    }
}
