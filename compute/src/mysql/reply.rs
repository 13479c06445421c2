//! What a connection sends: results and their ends, in both row formats, and errors.

use super::character_set::Results;
use super::connection::{Connection, End};
use super::packet::PacketError;
use super::{binary, column, errors, text, track};
use crate::session::result::{Done, ResultSet, StatementResult};
use crate::session::{Change, Session};
use crate::sql::plan::Field;
use expr::value::Row;
use expr::{MysqlType, SqlError};
use futures::StreamExt;
use futures::stream::BoxStream;
use mysql_common::constants::{CapabilityFlags, StatusFlags};
use mysql_common::io::BufMutExt;

/// Which row format a result travels in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowFormat {
    Text,
    Binary,
}

impl Connection {
    /// Sends what a statement gives: of a CALL, one result set after the other. False where it failed.
    pub(super) async fn send_results(
        &mut self,
        mut outcome: Result<StatementResult, SqlError>,
        format: RowFormat,
        more: bool,
    ) -> Result<bool, End> {
        loop {
            let failed = outcome.is_err();
            let whole = self.send_result(outcome, format, more).await?;
            if failed || !whole {
                return Ok(false);
            }
            if !self.session.is_calling() {
                return Ok(true);
            }
            outcome = self.until_gone(async |session: &mut Session| session.proceed().await).await?;
        }
    }

    /// False where an error was sent instead of rows, or after some of them.
    async fn send_result(
        &mut self,
        outcome: Result<StatementResult, SqlError>,
        format: RowFormat,
        more: bool,
    ) -> Result<bool, End> {
        match outcome {
            Ok(StatementResult::Done(done)) => self.send_done(&done, more).await?,
            Ok(StatementResult::Rows(rows)) => return self.send_rows(rows, format, more).await,
            Ok(StatementResult::File(name)) => self.load_file(&name, more).await?,
            Ok(StatementResult::Called) => {
                self.send_error(&SqlError::internal("a CALL was not run; report it")).await?;
            }
            Err(error) => self.send_error(&error).await?,
        }
        Ok(true)
    }

    async fn send_rows(&mut self, result: ResultSet, format: RowFormat, more: bool) -> Result<bool, End> {
        let ResultSet { fields, mut rows, is_out_parameters } = result;
        // The OK of the CALL comes after it.
        let more = more || self.session.is_calling();
        let results = self.results();
        let types: Vec<MysqlType> = fields.iter().map(|field| field.ty.clone()).collect();
        // The first rows come before anything is sent, so that an error of theirs arrives as one.
        let mut next = match self.next_rows(&mut rows).await.transpose() {
            Ok(next) => next,
            Err(error) => {
                let _ = self.session.rows_ended(0, Some(&error)).await;
                if self.session.is_calling() {
                    // Nothing was sent: the procedure may have a handler for it.
                    return Ok(true);
                }
                self.send_error(&error).await?;
                return Ok(false);
            }
        };
        self.result_status.set(StatusFlags::SERVER_PS_OUT_PARAMS, is_out_parameters);
        self.packets.write(|out| out.put_lenenc_int(fields.len() as u64)).await?;
        self.send_columns(&fields).await?;
        let mut count = 0;
        while let Some(batch) = next {
            for row in &batch {
                self.packets
                    .write(|out| match format {
                        RowFormat::Text => text::encode_row(row, &types, results, out),
                        RowFormat::Binary => binary::encode_row(row, &types, results, out),
                    })
                    .await?;
            }
            count += batch.len() as u64;
            next = match self.next_rows(&mut rows).await.transpose() {
                Ok(next) => next,
                Err(error) => {
                    let _ = self.session.rows_ended(count, Some(&error)).await;
                    return self.rows_failed(&error).await;
                }
            };
        }
        drop(rows);
        if let Err(error) = self.session.rows_ended(count, None).await {
            return self.rows_failed(&error).await;
        }
        self.send_end_of_rows(0xfe, more).await?;
        self.result_status = StatusFlags::empty();
        self.packets.flush().await?;
        Ok(true)
    }

    /// What comes next of a result; if the client goes away meanwhile, the statement is cancelled, and ends with that error.
    pub(super) async fn next_rows(
        &mut self,
        rows: &mut BoxStream<'static, Result<Vec<Row>, SqlError>>,
    ) -> Option<Result<Vec<Row>, SqlError>> {
        let cancel = self.session.cancellation();
        let next = rows.next();
        tokio::pin!(next);
        tokio::select! {
            biased;
            batch = &mut next => return batch,
            // A statement that computes uses up what a task may do at a time; the connection is looked at all the same.
            _ = tokio::task::unconstrained(self.packets.closed()) => cancel.kill(),
        }
        next.await
    }

    /// After some rows: the statement ends, and a CALL with it.
    async fn rows_failed(&mut self, error: &SqlError) -> Result<bool, End> {
        self.session.give_up_calls().await;
        self.result_status = StatusFlags::empty();
        self.send_error(error).await?;
        Ok(false)
    }

    /// Column definitions, closed by EOF for clients that want it.
    pub(super) async fn send_columns(&mut self, fields: &[Field]) -> Result<(), PacketError> {
        let results = self.results();
        for field in fields {
            let definition = column::definition(field, results);
            self.packets.write(|out| column::encode(&definition, out)).await?;
        }
        if !self.capabilities.contains(CapabilityFlags::CLIENT_DEPRECATE_EOF) {
            self.send_eof(self.session.is_calling()).await?;
        }
        Ok(())
    }

    /// EOF, or for newer clients the OK that stands for it.
    pub(super) async fn send_end_of_rows(&mut self, header: u8, more: bool) -> Result<(), PacketError> {
        if self.capabilities.contains(CapabilityFlags::CLIENT_DEPRECATE_EOF) {
            self.write_ok(header, &Done::default(), more).await
        } else {
            self.send_eof(more).await
        }
    }

    pub(super) async fn send_eof(&mut self, more: bool) -> Result<(), PacketError> {
        let status = self.status(more);
        let warnings = self.session.warning_count();
        self.packets
            .write(|out| {
                out.push(0xfe);
                out.extend_from_slice(&warnings.to_le_bytes());
                out.extend_from_slice(&status.bits().to_le_bytes());
            })
            .await
    }

    pub(super) async fn send_outcome(&mut self, outcome: Result<Done, SqlError>) -> Result<(), PacketError> {
        match outcome {
            Ok(done) => self.send_done(&done, false).await,
            Err(error) => self.send_error(&error).await,
        }
    }

    pub(super) async fn send_done(&mut self, done: &Done, more: bool) -> Result<(), PacketError> {
        self.write_ok(0, done, more).await?;
        self.packets.flush().await
    }

    pub(super) async fn write_ok(&mut self, header: u8, done: &Done, more: bool) -> Result<(), PacketError> {
        let changes = self.changes();
        let mut status = self.status(more);
        status.set(StatusFlags::SERVER_SESSION_STATE_CHANGED, !changes.is_empty());
        let warnings = self.session.warning_count();
        self.packets
            .write(|out| {
                out.push(header);
                out.put_lenenc_int(done.affected_rows);
                out.put_lenenc_int(match done.last_insert_id {
                    0 => done.given_insert_id,
                    generated => generated,
                });
                out.extend_from_slice(&status.bits().to_le_bytes());
                out.extend_from_slice(&warnings.to_le_bytes());
                if !done.info.is_empty() || !changes.is_empty() {
                    out.put_lenenc_str(done.info.as_bytes());
                }
                if !changes.is_empty() {
                    track::encode(&changes, out);
                }
            })
            .await
    }

    /// What the client has not been told of its session, if it wants to be.
    fn changes(&mut self) -> Vec<Change> {
        let Some(known) = &self.tracked else { return Vec::new() };
        let changes = self.session.changes_since(known);
        if !changes.is_empty() {
            self.tracked = Some(self.session.tracked());
        }
        changes
    }

    pub(super) async fn send_error(&mut self, error: &SqlError) -> Result<(), PacketError> {
        let charset = self.results().charset();
        self.packets.write(|out| errors::encode(error, charset, out)).await?;
        self.packets.flush().await
    }

    pub(super) fn status(&self, more: bool) -> StatusFlags {
        let mut status = StatusFlags::empty();
        status.set(StatusFlags::SERVER_STATUS_AUTOCOMMIT, self.session.autocommit());
        status.set(StatusFlags::SERVER_STATUS_IN_TRANS, self.session.in_transaction());
        status.set(StatusFlags::SERVER_STATUS_NO_BACKSLASH_ESCAPES, self.session.no_backslash_escapes());
        status.set(StatusFlags::SERVER_MORE_RESULTS_EXISTS, more);
        status.insert(self.result_status);
        status
    }

    pub(super) fn results(&self) -> Results {
        Results { collation: self.session.results_collation() }
    }
}
