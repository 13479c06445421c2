//! Commands on prepared statements, and the cursors that they open.

use super::connection::{Connection, End};
use super::cursor::{Cursor, Spool};
use super::parameters::{self, Attributes, ParameterType};
use super::reply::RowFormat;
use super::{binary, character_set, column};
use crate::session::result::{Done, ResultSet, StatementResult};
use crate::session::{PreparedInfo, Session};
use expr::{ErrorCode, MysqlType, SqlError, Value};
use mysql_common::constants::{CapabilityFlags, StatusFlags};
use mysql_common::io::BufMutExt;

/// Statements that one connection may hold.
const STATEMENTS_MAX: usize = 16_382;

/// The protocol's side of a prepared statement.
pub struct Statement {
    session_id: u32,
    parameters: usize,
    types: Vec<ParameterType>,
    long_data: Vec<Option<Vec<u8>>>,
    /// Long data was left out.
    is_too_long: bool,
    cursor: Option<Cursor>,
}

/// COM_STMT_EXECUTE: the rows wait to be fetched.
const CURSOR_READ_ONLY: u8 = 1;
/// The same byte: the number of parameters is sent.
const PARAMETER_COUNT_AVAILABLE: u8 = 8;

impl Connection {
    pub(super) async fn prepare(&mut self, text: &[u8]) -> Result<(), End> {
        if self.statements.len() >= STATEMENTS_MAX {
            let text =
                format!("Can't create more than max_prepared_stmt_count statements (current value: {STATEMENTS_MAX})");
            return Ok(self.send_error(&SqlError::new(ErrorCode(1461), text)).await?);
        }
        let PreparedInfo { id, parameters, fields } =
            match self.session.prepare(&character_set::statement(text, self.session.client_charset())).await {
                Ok(info) => info,
                Err(error) => return Ok(self.send_error(&error).await?),
            };
        let warnings = self.session.warning_count();
        self.packets
            .write(|out| {
                out.push(0);
                out.extend_from_slice(&id.to_le_bytes());
                out.extend_from_slice(&(fields.len() as u16).to_le_bytes());
                out.extend_from_slice(&(parameters.len() as u16).to_le_bytes());
                out.push(0);
                out.extend_from_slice(&warnings.to_le_bytes());
            })
            .await?;
        if !parameters.is_empty() {
            for ty in &parameters {
                let definition = column::parameter(ty);
                self.packets.write(|out| column::encode(&definition, out)).await?;
            }
            if !self.capabilities.contains(CapabilityFlags::CLIENT_DEPRECATE_EOF) {
                self.send_eof(false).await?;
            }
        }
        if !fields.is_empty() {
            self.send_columns(&fields).await?;
        }
        self.packets.flush().await?;
        let statement = Statement {
            session_id: id,
            parameters: parameters.len(),
            types: Vec::new(),
            long_data: parameters.iter().map(|_| None).collect(),
            is_too_long: false,
            cursor: None,
        };
        self.statements.insert(id, statement);
        Ok(())
    }

    pub(super) async fn execute(&mut self, statement: u32, cursor: u8, payload: &[u8]) -> Result<(), End> {
        let Some(found) = self.statements.get_mut(&statement) else {
            return Ok(self.send_error(&unknown_statement(statement, "mysqld_stmt_execute")).await?);
        };
        found.cursor = None;
        let attributes = match self.capabilities.contains(CapabilityFlags::CLIENT_QUERY_ATTRIBUTES) {
            true => Attributes::Named { counted: cursor & PARAMETER_COUNT_AVAILABLE != 0 },
            false => Attributes::Unknown,
        };
        let cursor = cursor & !PARAMETER_COUNT_AVAILABLE;
        if cursor > CURSOR_READ_ONLY {
            return Ok(self.send_error(&SqlError::not_supported("scrollable or updatable cursors")).await?);
        }
        if std::mem::take(&mut found.is_too_long) {
            found.long_data.iter_mut().for_each(|data| *data = None);
            let text = "Parameter of prepared statement which is set through mysql_send_long_data() is longer than \
                        'max_allowed_packet' bytes";
            return Ok(self.send_error(&SqlError::new(ErrorCode(1105), text)).await?);
        }
        let client = self.session.client_charset();
        let (count, types, long_data) = (found.parameters, &mut found.types, &mut found.long_data);
        let decoded = parameters::decode(payload, client, count, attributes, types, long_data);
        let session_id = found.session_id;
        let values: Vec<Value> = match decoded {
            Ok(values) => values,
            Err(error) => return Ok(self.send_error(&SqlError::new(ErrorCode(1835), error.to_string())).await?),
        };
        let outcome = self.until_gone(async |session: &mut Session| session.execute(session_id, values).await).await?;
        match outcome {
            // Of a CALL there is no cursor, as in MySQL.
            Ok(StatementResult::Rows(rows)) if cursor == CURSOR_READ_ONLY && !self.session.is_calling() => {
                self.open_cursor(statement, rows).await
            }
            outcome => self.send_results(outcome, RowFormat::Binary, false).await.map(|_| ()),
        }
    }

    /// Finds all rows, and tells the client that they can be fetched.
    async fn open_cursor(&mut self, statement: u32, result: ResultSet) -> Result<(), End> {
        let ResultSet { fields, mut rows, .. } = result;
        let results = self.results();
        let types: Vec<MysqlType> = fields.iter().map(|field| field.ty.clone()).collect();
        let mut spool = Spool::default();
        let mut count = 0;
        let filled: Result<(), SqlError> = async {
            while let Some(batch) = self.next_rows(&mut rows).await.transpose()? {
                for row in &batch {
                    spool.push(|out| binary::encode_row(row, &types, results, out)).await.map_err(cannot_keep)?;
                }
                count += batch.len() as u64;
            }
            Ok(())
        }
        .await;
        drop(rows);
        let ended = self.session.rows_ended(count, filled.as_ref().err()).await;
        let cursor = match filled.and(ended) {
            Ok(()) => spool.rewind().await.map_err(cannot_keep),
            Err(error) => Err(error),
        };
        let cursor = match cursor {
            Ok(cursor) => cursor,
            Err(error) => return Ok(self.send_error(&error).await?),
        };
        self.packets.write(|out| out.put_lenenc_int(fields.len() as u64)).await?;
        for field in &fields {
            let definition = column::definition(field, results);
            self.packets.write(|out| column::encode(&definition, out)).await?;
        }
        if let Some(found) = self.statements.get_mut(&statement) {
            found.cursor = Some(cursor);
        }
        self.end_of_cursor(StatusFlags::SERVER_STATUS_CURSOR_EXISTS).await
    }

    pub(super) async fn fetch(&mut self, statement: u32, rows: u32) -> Result<(), End> {
        let Some(found) = self.statements.get_mut(&statement) else {
            return Ok(self.send_error(&unknown_statement(statement, "mysqld_stmt_fetch")).await?);
        };
        let Some(mut cursor) = found.cursor.take() else {
            let text = format!("The statement ({statement}) has no open cursor.");
            return Ok(self.send_error(&SqlError::new(ErrorCode(1421), text)).await?);
        };
        // As in MySQL, a cursor is at its end when more was asked for than there was.
        let at_end = cursor.rows() < u64::from(rows);
        for _ in 0..rows {
            match cursor.next().await {
                Ok(Some(row)) => self.packets.write(|out| out.extend_from_slice(row)).await?,
                Ok(None) => break,
                Err(error) => return Ok(self.send_error(&cannot_keep(error)).await?),
            }
        }
        if at_end {
            return self.end_of_cursor(StatusFlags::SERVER_STATUS_LAST_ROW_SENT).await;
        }
        if let Some(found) = self.statements.get_mut(&statement) {
            found.cursor = Some(cursor);
        }
        self.end_of_cursor(StatusFlags::SERVER_STATUS_CURSOR_EXISTS).await
    }

    async fn end_of_cursor(&mut self, status: StatusFlags) -> Result<(), End> {
        self.result_status = status;
        let sent = self.send_end_of_rows(0xfe, false).await;
        self.result_status = StatusFlags::empty();
        sent?;
        Ok(self.packets.flush().await?)
    }

    /// Forgets long data, and closes the cursor.
    pub(super) async fn reset_statement(&mut self, statement: u32) -> Result<(), End> {
        let Some(found) = self.statements.get_mut(&statement) else {
            return Ok(self.send_error(&unknown_statement(statement, "mysqld_stmt_reset")).await?);
        };
        found.long_data.iter_mut().for_each(|data| *data = None);
        found.is_too_long = false;
        found.cursor = None;
        Ok(self.send_done(&Done::default(), false).await?)
    }

    pub(super) fn close_statement(&mut self, statement: u32) {
        if let Some(closed) = self.statements.remove(&statement) {
            self.session.close_prepared(closed.session_id);
        }
    }

    /// Not answered, by the protocol: what is too long shows at the execution.
    pub(super) fn long_data(&mut self, statement: u32, parameter: u16, data: &[u8]) {
        let limit = self.session.max_allowed_packet();
        // Of all statements together, so that a client holds no more than one large statement takes.
        let held: usize = self.statements.values().flat_map(|it| it.long_data.iter().flatten()).map(Vec::len).sum();
        let Some(found) = self.statements.get_mut(&statement) else { return };
        let Some(slot) = found.long_data.get_mut(usize::from(parameter)) else { return };
        if held + data.len() > limit {
            found.is_too_long = true;
        } else {
            slot.get_or_insert_default().extend_from_slice(data);
        }
    }
}

/// In MySQL's words for a file that cannot be written.
fn cannot_keep(error: std::io::Error) -> SqlError {
    SqlError::new(ErrorCode(1026), format!("Error writing file of a cursor in the temporary directory ({error})"))
}

fn unknown_statement(id: u32, command: &str) -> SqlError {
    let text = format!("Unknown prepared statement handler ({id}) given to {command}");
    SqlError::new(ErrorCode::UNKNOWN_STMT_HANDLER, text)
}
