//! One authenticated connection: its commands in order, its results, its prepared statements.

use super::binary;
use super::character_set::{self, Results};
use super::column;
use super::command::{self, Command};
use super::compression::Algorithm;
use super::errors;
use super::handshake::{self, Client, HandshakeError};
use super::local_file;
use super::packet::{PacketError, PacketStream};
use super::parameters::{self, ParameterType};
use super::server::{CONNECT_TIMEOUT, Front};
use super::text;
use crate::account::AccountName;
use crate::session::result::{Done, ResultSet, StatementResult};
use crate::session::{PreparedInfo, Session, Wire};
use crate::sql::plan::Field;
use expr::{ErrorCode, MysqlType, SqlError, Value};
use futures::StreamExt;
use mysql_common::constants::{CapabilityFlags, StatusFlags};
use mysql_common::io::BufMutExt;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Long data and statements that one connection may hold.
const STATEMENTS_MAX: usize = 16_382;
/// How long a message that is too large may take to come to its end. MySQL's default of `net_read_timeout`.
const SKIP_TIMEOUT: Duration = Duration::from_secs(30);

/// Which row format a result travels in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RowFormat {
    Text,
    Binary,
}

/// The protocol's side of a prepared statement.
struct Statement {
    session_id: u32,
    parameters: usize,
    types: Vec<ParameterType>,
    long_data: Vec<Option<Vec<u8>>>,
}

pub struct Connection {
    packets: PacketStream,
    capabilities: CapabilityFlags,
    session: Session,
    statements: HashMap<u32, Statement>,
    peer: SocketAddr,
    front: Arc<Front>,
    over_tls: bool,
    /// Whose connection this counts as.
    account: AccountName,
    /// The result set that is being sent holds OUT parameters.
    out_parameters: bool,
}

/// Why a connection ends.
enum End {
    Quit,
    Failed(PacketError),
}

impl From<PacketError> for End {
    fn from(error: PacketError) -> End {
        End::Failed(error)
    }
}

impl Connection {
    /// Serves an authenticated client until it goes, or `stop`.
    pub async fn run(client: Client, peer: SocketAddr, id: u64, front: Arc<Front>, stop: CancellationToken) {
        let mut session = Session::new(front.engine.clone(), id, client.login.clone());
        session.set_client_found_rows(client.capabilities.contains(CapabilityFlags::CLIENT_FOUND_ROWS));
        session.set_client_collation(client.collation);
        let (compression, over_tls) = (client.compression, client.tls.is_some());
        session.set_wire(Wire { tls: client.tls, compression: compression.map(Algorithm::name) });
        let mut connection = Connection {
            packets: client.packets,
            capabilities: client.capabilities,
            session,
            statements: HashMap::new(),
            peer,
            front,
            over_tls,
            account: client.login.account,
            out_parameters: false,
        };
        if let Err(End::Failed(error)) = connection.serve(client.database, compression, stop).await {
            tracing::debug!(%peer, id, %error, "connection ended");
        }
        connection.session.close().await;
        connection.front.engine.usage.disconnect(&connection.account);
    }

    async fn serve(
        &mut self,
        database: Option<String>,
        compression: Option<Algorithm>,
        stop: CancellationToken,
    ) -> Result<(), End> {
        if let Some(database) = database
            && let Err(error) = self.session.use_database(&database).await
        {
            self.send_error(&error).await?;
            return Err(End::Quit);
        }
        self.send_done(&Done::default(), false).await?;
        // The OK that ends authentication is the last that travels plain.
        if let Some(algorithm) = compression {
            self.packets.compress(algorithm);
        }
        loop {
            self.packets.reset_sequence();
            let limit = self.session.max_allowed_packet();
            let idle = self.session.wait_timeout();
            let killed = self.session.killed();
            let message = tokio::select! {
                // A command that is here already must not slip in behind a kill, or behind RELEASE.
                biased;
                () = stop.cancelled() => {
                    let error = SqlError::new(ErrorCode(1053), "Server shutdown in progress");
                    return Ok(self.send_error(&error).await?);
                }
                () = killed.cancelled() => {
                    let error = SqlError::new(ErrorCode(1927), "Connection was killed");
                    return Ok(self.send_error(&error).await?);
                }
                message = tokio::time::timeout(idle, self.packets.read(limit)) => message,
            };
            let message = match message {
                Ok(Ok(message)) => message,
                Ok(Err(error)) => {
                    if let PacketError::TooLarge { .. } = error {
                        // A client that is still sending reads no answer.
                        let _ = tokio::time::timeout(SKIP_TIMEOUT, self.packets.skip()).await;
                        let text = "Got a packet bigger than 'max_allowed_packet' bytes";
                        self.send_error(&SqlError::new(ErrorCode::NET_PACKET_TOO_LARGE, text)).await?;
                    }
                    return Err(error.into());
                }
                Err(_) => {
                    let text = "The client was disconnected by the server because of inactivity. \
                                See wait_timeout and interactive_timeout for configuring this behavior.";
                    self.send_error(&SqlError::new(ErrorCode(4031), text)).await?;
                    return Err(End::Quit);
                }
            };
            self.answer(&message).await?;
        }
    }

    async fn answer(&mut self, message: &[u8]) -> Result<(), End> {
        let command = match Command::decode(message) {
            Ok(command) => command,
            Err(error) => return Ok(self.send_error(&error).await?),
        };
        match command {
            Command::Quit => return Err(End::Quit),
            Command::Ping => self.send_done(&Done::default(), false).await?,
            Command::Query(text) => self.query(text).await?,
            Command::InitDatabase(name) => {
                let used = self.session.use_database(&String::from_utf8_lossy(name)).await;
                self.send_outcome(used.map(|()| Done::default())).await?;
            }
            Command::FieldList { table } => self.field_list(&String::from_utf8_lossy(table)).await?,
            Command::Statistics => {
                let text = self.session.statistics();
                self.packets.write(|out| out.extend_from_slice(text.as_bytes())).await?;
                self.packets.flush().await?;
            }
            Command::Kill { connection } => {
                let outcome = self.session.kill(connection.into(), false).map(|()| Done::default());
                self.send_outcome(outcome).await?;
            }
            Command::ChangeUser(request) => self.change_user(request).await?,
            Command::ResetConnection => {
                self.session.reset().await;
                self.statements.clear();
                self.send_done(&Done::default(), false).await?;
            }
            Command::Prepare(text) => self.prepare(text).await?,
            Command::Execute { statement, cursor, payload } => self.execute(statement, cursor, payload).await?,
            Command::LongData { statement, parameter, data } => self.long_data(statement, parameter, data),
            Command::Close { statement } => {
                if let Some(closed) = self.statements.remove(&statement) {
                    self.session.close_prepared(closed.session_id);
                }
            }
            Command::ResetStatement { statement } => match self.statements.get_mut(&statement) {
                Some(found) => {
                    found.long_data.iter_mut().for_each(|data| *data = None);
                    self.send_done(&Done::default(), false).await?;
                }
                None => self.send_error(&unknown_statement(statement, "mysqld_stmt_reset")).await?,
            },
            Command::SetOption { multi_statements } => {
                self.capabilities.set(CapabilityFlags::CLIENT_MULTI_STATEMENTS, multi_statements);
                self.send_end_of_rows(0xfe, false).await?;
                self.packets.flush().await?;
            }
        }
        Ok(())
    }

    async fn query(&mut self, text: &[u8]) -> Result<(), End> {
        let text = character_set::statement(text, self.session.client_charset());
        let multiple = self.capabilities.contains(CapabilityFlags::CLIENT_MULTI_STATEMENTS);
        let ranges = if multiple { self.session.split(&text) } else { std::iter::once(0..text.len()).collect() };
        let last = ranges.len().saturating_sub(1);
        for (position, range) in ranges.into_iter().enumerate() {
            let outcome = self.until_gone(async |session: &mut Session| session.query(&text[range]).await).await?;
            if !self.send_results(outcome, RowFormat::Text, position < last).await? {
                break;
            }
        }
        Ok(())
    }

    /// Runs a statement; if the client goes away meanwhile, the statement is cancelled.
    async fn until_gone<F>(&mut self, run: F) -> Result<Result<StatementResult, SqlError>, End>
    where
        F: AsyncFnOnce(&mut Session) -> Result<StatementResult, SqlError>,
    {
        let cancel = self.session.cancellation();
        let statement = run(&mut self.session);
        tokio::pin!(statement);
        tokio::select! {
            biased;
            outcome = &mut statement => return Ok(outcome),
            _ = self.packets.closed() => cancel.kill(),
        }
        // The statement ends by itself now, leaving the session whole.
        let _ = statement.await;
        Err(PacketError::Closed.into())
    }

    /// Sends what a statement gives: of a CALL, one result set after the other. False where it failed.
    async fn send_results(
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

    /// LOAD DATA LOCAL: the client is asked for its file, and the statement runs while it comes.
    async fn load_file(&mut self, name: &str, more: bool) -> Result<(), End> {
        if !self.capabilities.contains(CapabilityFlags::CLIENT_LOCAL_FILES) {
            let error = self.session.refuse_load();
            return Ok(self.send_error(&error).await?);
        }
        local_file::ask(&mut self.packets, name).await?;
        let (limit, idle) = (self.session.max_allowed_packet(), self.session.wait_timeout());
        let (chunks, received) = mpsc::channel(local_file::CHUNKS_MAX);
        let statement = self.session.load(received);
        // Where the client is lost in the middle, the statement finds its channel closed, and ends by itself.
        let (outcome, file) = tokio::join!(statement, local_file::receive(&mut self.packets, chunks, limit, idle));
        file?;
        match outcome {
            Ok(StatementResult::Done(done)) => self.send_done(&done, more).await?,
            Ok(_) => self.send_error(&SqlError::internal("LOAD DATA gave rows")).await?,
            Err(error) => self.send_error(&error).await?,
        }
        Ok(())
    }

    async fn send_rows(&mut self, result: ResultSet, format: RowFormat, more: bool) -> Result<bool, End> {
        let ResultSet { fields, mut rows, is_out_parameters } = result;
        // The OK of the CALL comes after it.
        let more = more || self.session.is_calling();
        self.out_parameters = is_out_parameters;
        let results = self.results();
        let types: Vec<MysqlType> = fields.iter().map(|field| field.ty.clone()).collect();
        // The first rows come before anything is sent, so that an error of theirs arrives as one.
        let mut next = match rows.next().await.transpose() {
            Ok(next) => next,
            Err(error) => {
                let _ = self.session.rows_ended(0, Some(&error)).await;
                self.out_parameters = false;
                if self.session.is_calling() {
                    // Nothing was sent: the procedure may have a handler for it.
                    return Ok(true);
                }
                self.send_error(&error).await?;
                return Ok(false);
            }
        };
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
            next = match rows.next().await.transpose() {
                Ok(next) => next,
                Err(error) => {
                    let _ = self.session.rows_ended(count, Some(&error)).await;
                    self.session.give_up_calls().await;
                    self.out_parameters = false;
                    self.send_error(&error).await?;
                    return Ok(false);
                }
            };
        }
        drop(rows);
        if let Err(error) = self.session.rows_ended(count, None).await {
            self.session.give_up_calls().await;
            self.send_error(&error).await?;
            return Ok(false);
        }
        self.send_end_of_rows(0xfe, more).await?;
        self.out_parameters = false;
        self.packets.flush().await?;
        Ok(true)
    }

    /// Column definitions, closed by EOF for clients that want it.
    async fn send_columns(&mut self, fields: &[Field]) -> Result<(), PacketError> {
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
    async fn send_end_of_rows(&mut self, header: u8, more: bool) -> Result<(), PacketError> {
        if self.capabilities.contains(CapabilityFlags::CLIENT_DEPRECATE_EOF) {
            self.write_ok(header, &Done::default(), more).await
        } else {
            self.send_eof(more).await
        }
    }

    async fn send_eof(&mut self, more: bool) -> Result<(), PacketError> {
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

    async fn send_outcome(&mut self, outcome: Result<Done, SqlError>) -> Result<(), PacketError> {
        match outcome {
            Ok(done) => self.send_done(&done, false).await,
            Err(error) => self.send_error(&error).await,
        }
    }

    async fn send_done(&mut self, done: &Done, more: bool) -> Result<(), PacketError> {
        self.write_ok(0, done, more).await?;
        self.packets.flush().await
    }

    async fn write_ok(&mut self, header: u8, done: &Done, more: bool) -> Result<(), PacketError> {
        let status = self.status(more);
        let warnings = self.session.warning_count();
        self.packets
            .write(|out| {
                out.push(header);
                out.put_lenenc_int(done.affected_rows);
                out.put_lenenc_int(done.last_insert_id);
                out.extend_from_slice(&status.bits().to_le_bytes());
                out.extend_from_slice(&warnings.to_le_bytes());
                if !done.info.is_empty() {
                    out.put_lenenc_str(done.info.as_bytes());
                }
            })
            .await
    }

    async fn send_error(&mut self, error: &SqlError) -> Result<(), PacketError> {
        let charset = self.results().charset();
        self.packets.write(|out| errors::encode(error, charset, out)).await?;
        self.packets.flush().await
    }

    fn status(&self, more: bool) -> StatusFlags {
        let mut status = StatusFlags::empty();
        status.set(StatusFlags::SERVER_STATUS_AUTOCOMMIT, self.session.autocommit());
        status.set(StatusFlags::SERVER_STATUS_IN_TRANS, self.session.in_transaction());
        status.set(StatusFlags::SERVER_STATUS_NO_BACKSLASH_ESCAPES, self.session.no_backslash_escapes());
        status.set(StatusFlags::SERVER_MORE_RESULTS_EXISTS, more);
        status.set(StatusFlags::SERVER_PS_OUT_PARAMS, self.out_parameters);
        status
    }

    fn results(&self) -> Results {
        Results { collation: self.session.results_collation() }
    }

    async fn prepare(&mut self, text: &[u8]) -> Result<(), End> {
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
        };
        self.statements.insert(id, statement);
        Ok(())
    }

    async fn execute(&mut self, statement: u32, cursor: u8, payload: &[u8]) -> Result<(), End> {
        let Some(found) = self.statements.get_mut(&statement) else {
            return Ok(self.send_error(&unknown_statement(statement, "mysqld_stmt_execute")).await?);
        };
        if cursor > 1 {
            return Ok(self.send_error(&SqlError::not_supported("scrollable or updatable cursors")).await?);
        }
        let client = self.session.client_charset();
        let decoded = parameters::decode(payload, client, found.parameters, &mut found.types, &mut found.long_data);
        let session_id = found.session_id;
        let values: Vec<Value> = match decoded {
            Ok(values) => values,
            Err(error) => return Ok(self.send_error(&SqlError::new(ErrorCode(1835), error.to_string())).await?),
        };
        // A read-only cursor may be answered with the whole result: the status says that no cursor exists.
        let outcome = self.until_gone(async |session: &mut Session| session.execute(session_id, values).await).await?;
        self.send_results(outcome, RowFormat::Binary, false).await?;
        Ok(())
    }

    /// Not answered, by the protocol; an error shows at the execution.
    fn long_data(&mut self, statement: u32, parameter: u16, data: &[u8]) {
        let limit = self.session.max_allowed_packet();
        let Some(found) = self.statements.get_mut(&statement) else { return };
        let held: usize = found.long_data.iter().flatten().map(Vec::len).sum();
        if let Some(slot) = found.long_data.get_mut(usize::from(parameter))
            && held + data.len() <= limit
        {
            slot.get_or_insert_default().extend_from_slice(data);
        }
    }

    async fn field_list(&mut self, table: &str) -> Result<(), End> {
        let query = format!("SELECT * FROM `{}` LIMIT 0", table.replace('`', "``"));
        match self.session.query(&query).await {
            Ok(StatementResult::Rows(result)) => {
                let results = self.results();
                for field in &result.fields {
                    let definition = column::definition(field, results);
                    self.packets
                        .write(|out| {
                            column::encode(&definition, out);
                            // COM_FIELD_LIST adds the default value; NULL tells nothing wrong.
                            out.push(0xfb);
                        })
                        .await?;
                }
                // Nothing was changed by it.
                let _ = self.session.rows_ended(0, None).await;
                self.send_end_of_rows(0xfe, false).await?;
                Ok(self.packets.flush().await?)
            }
            Ok(_) => Ok(self.send_done(&Done::default(), false).await?),
            Err(error) => Ok(self.send_error(&error).await?),
        }
    }

    async fn change_user(&mut self, request: command::ChangeUser) -> Result<(), End> {
        let (over_tls, capabilities) = (self.over_tls, self.capabilities);
        let changed =
            handshake::change_user(&mut self.packets, &self.front, &request.user, self.peer, over_tls, capabilities);
        let login = match tokio::time::timeout(CONNECT_TIMEOUT, changed).await {
            Ok(Ok(login)) => login,
            Ok(Err(HandshakeError::Packet(error))) => return Err(error.into()),
            Ok(Err(_)) | Err(_) => return Err(End::Quit),
        };
        self.front.engine.usage.disconnect(&self.account);
        self.account = login.account.clone();
        self.session.reset().await;
        self.session.set_user(login);
        self.statements.clear();
        if let Some(collation) = request.collation {
            self.session.set_client_collation(collation);
        }
        let used = match request.database {
            Some(database) => self.session.use_database(&database).await,
            None => Ok(()),
        };
        Ok(self.send_outcome(used.map(|()| Done::default())).await?)
    }
}

fn unknown_statement(id: u32, command: &str) -> SqlError {
    let text = format!("Unknown prepared statement handler ({id}) given to {command}");
    SqlError::new(ErrorCode::UNKNOWN_STMT_HANDLER, text)
}
