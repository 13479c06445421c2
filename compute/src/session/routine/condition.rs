//! Conditions and their handlers: errors, warnings, NOT FOUND.
//!
//! The innermost block that has a handler for a condition has the one that fits best: by number, then by SQLSTATE, then
//! by class. Manual: "DECLARE ... HANDLER Statement" (15.6.7.2).

use super::frame::{Frame, Handling};
use crate::execute::write;
use crate::session::Session;
use crate::sql::parse::routine::program::Condition;
use expr::error::{Warning, WarningLevel};
use expr::sqlstate;
use expr::{ErrorCode, SqlError};

/// How well a handler's condition fits; None: not at all.
fn rank(handled: &Condition, raised: &Warning) -> Option<u8> {
    let state = raised.sqlstate();
    let is_error = raised.level == WarningLevel::Error;
    match handled {
        Condition::Code(code) => (raised.code == ErrorCode(*code)).then_some(3),
        Condition::State(wanted) => (state == *wanted).then_some(2),
        Condition::NotFound => sqlstate::is_not_found(state).then_some(1),
        Condition::Warning => {
            (sqlstate::is_warning(state) || (!is_error && !sqlstate::is_not_found(state))).then_some(1)
        }
        Condition::Exception => (is_error && sqlstate::is_exception(state)).then_some(1),
    }
}

/// The handler for a condition that comes up at a step.
fn find(frame: &Frame, at: usize, raised: &Warning) -> Option<usize> {
    let program = &frame.program.program;
    let mut next = program.steps.get(at).map(|step| step.block);
    while let Some(block) = next.and_then(|block| program.blocks.get(block)) {
        let mut best: Option<(u8, usize)> = None;
        for &number in &block.handlers {
            let fits = program.handlers[number].conditions.iter().filter_map(|handled| rank(handled, raised)).max();
            if let Some(rank) = fits
                && best.is_none_or(|(known, _)| rank > known)
            {
                best = Some((rank, number));
            }
        }
        if let Some((_, number)) = best {
            return Some(number);
        }
        next = block.parent;
    }
    None
}

/// Errors that no handler sees: the statement has been told to end, or its transaction is gone under it.
fn is_fatal(session: &Session, error: &SqlError) -> bool {
    let killed = [ErrorCode::QUERY_INTERRUPTED, ErrorCode::QUERY_TIMEOUT, ErrorCode(1053), ErrorCode(1927)];
    killed.contains(&error.code) || (session.nested.is_some() && write::ends_transaction(error))
}

impl Session {
    /// Gives an error to the handler for it, in the innermost frame that has one. The error, where none has.
    pub(super) async fn caught(&mut self, error: SqlError) -> Result<(), SqlError> {
        // As at the end of a statement by itself.
        if write::ends_transaction(&error) || !self.in_transaction() {
            self.roll_back().await;
        }
        if is_fatal(self, &error) {
            return Err(error);
        }
        self.row_count = -1;
        let raised = Warning {
            level: WarningLevel::Error,
            code: error.code,
            message: error.message.clone(),
            state: error.state,
        };
        // Frames without a handler end: the CALL in the frame below is what failed.
        while let Some(frame) = self.frames.last() {
            let at = frame.at;
            if let Some(number) = find(frame, at, &raised) {
                self.warnings.push(raised.clone());
                self.handle(number, at, raised);
                return Ok(());
            }
            if let Some(frame) = self.frames.pop() {
                self.restore(frame);
            }
            // The caller has been moved behind its CALL already.
            if let Some(caller) = self.frames.last_mut() {
                caller.at = caller.at.saturating_sub(1);
            }
        }
        Err(error)
    }

    fn handle(&mut self, number: usize, at: usize, condition: Warning) {
        let diagnostics = self.warnings.clone();
        let Some(frame) = self.frames.last_mut() else { return };
        let program = frame.program.clone();
        let handler = &program.program.handlers[number];
        let resume = program.program.steps.get(at).map_or(at + 1, |step| step.resume);
        if handler.exits {
            frame.handling.truncate(handler.depth.handlers);
        }
        frame.handling.push(Handling { condition, diagnostics, resume });
        frame.at = handler.start;
    }

    pub(super) fn end_handler(&mut self, number: usize) {
        let Some(frame) = self.frames.last_mut() else { return };
        let program = frame.program.clone();
        let handler = &program.program.handlers[number];
        let Some(handled) = frame.handling.pop() else { return };
        frame.at = if handler.exits { handler.end } else { handled.resume };
        // What was handled is not told to anybody.
        self.warnings.clear();
    }
}

/// After a step that has worked: a handler for what it warns of. `known`: how many warnings there were before it.
pub(super) fn after(session: &mut Session, at: usize, known: usize) {
    let Some(frame) = session.frames.last() else { return };
    if frame.program.program.handlers.is_empty() || session.warnings.len() <= known {
        return;
    }
    let new = session.warnings.iter().skip(known).filter(|warning| warning.level == WarningLevel::Warning);
    let found = new.into_iter().find_map(|warning| {
        let number = find(frame, at, warning)?;
        Some((number, warning.clone()))
    });
    if let Some((number, warning)) = found {
        session.handle(number, at, warning);
    }
}
