//! Cursors: the rows of a query, read when it is opened. They are what there was then, whatever happens afterwards.

use crate::execute::query_memory::{MemoryBudget, Reservation};
use crate::session::Session;
use crate::session::result::StatementResult;
use crate::sql::parse::routine::program::{self as steps, Target};
use expr::value::Row;
use expr::{ErrorCode, SqlError};
use futures::TryStreamExt;
use std::collections::VecDeque;
use std::sync::Arc;

pub struct OpenCursor {
    rows: VecDeque<Row>,
    /// Of the rows.
    _memory: Reservation,
    columns: usize,
}

impl Session {
    pub(super) async fn open_cursor(&mut self, number: usize) -> Result<(), SqlError> {
        let Some(frame) = self.frames.last_mut() else { return Ok(()) };
        if frame.cursors[number].is_some() {
            return Err(SqlError::new(ErrorCode(1325), "Cursor is already open"));
        }
        let source = frame.program.cursor(number);
        frame.scope = Some(frame.program.program.cursors[number].query.scope);
        let values = frame.values.clone();
        let result = self.run(&source, values).await?;
        let StatementResult::Rows(mut result) = result else {
            return Err(SqlError::internal("a cursor's query gave no rows; report it"));
        };
        let columns = result.fields.len();
        let read = async {
            let mut rows = VecDeque::new();
            let mut memory = Reservation::new(&Arc::new(MemoryBudget::new(self.engine.query_memory.clone())));
            while let Some(batch) = result.rows.try_next().await? {
                memory.grow_rows(&batch)?;
                rows.extend(batch);
            }
            Ok((rows, memory))
        };
        let outcome = read.await;
        let count = outcome.as_ref().map_or(0, |(rows, _)| rows.len() as u64);
        let ended = self.close_rows(count, outcome.as_ref().err()).await;
        let (rows, memory) = outcome?;
        ended?;
        if let Some(frame) = self.frames.last_mut() {
            frame.cursors[number] = Some(OpenCursor { rows, _memory: memory, columns });
        }
        Ok(())
    }

    /// 1329 after the last row.
    pub(super) fn fetch(&mut self, number: usize, into: &[Target]) -> Result<(), SqlError> {
        let Some(frame) = self.frames.last_mut() else { return Ok(()) };
        let program = Arc::clone(&frame.program);
        let Some(open) = &mut frame.cursors[number] else { return Err(not_open()) };
        if open.columns != into.len() {
            return Err(SqlError::new(ErrorCode(1328), "Incorrect number of FETCH variables"));
        }
        let Some(row) = open.rows.pop_front() else {
            return Err(SqlError::new(ErrorCode(1329), "No data - zero rows fetched, selected, or processed"));
        };
        for (target, value) in into.iter().zip(row) {
            let target = match target {
                steps::Target::Slot(slot) => super::Target::Slot(*slot),
                steps::Target::New(column) => super::Target::Slot(program.new_column(column)?),
                steps::Target::User(name) => super::Target::User(name.clone()),
            };
            self.assign(&target, value)?;
        }
        Ok(())
    }

    pub(super) fn close_cursor(&mut self, number: usize) -> Result<(), SqlError> {
        match self.frames.last_mut().and_then(|frame| frame.cursors[number].take()) {
            Some(_) => Ok(()),
            None => Err(not_open()),
        }
    }
}

fn not_open() -> SqlError {
    SqlError::new(ErrorCode(1326), "Cursor is not open")
}
