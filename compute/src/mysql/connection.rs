//! One authenticated connection: its commands in order, its results, its prepared statements.

use super::character_set;
use super::column;
use super::command::{self, Command};
use super::compression::Algorithm;
use super::handshake::{self, Client, HandshakeError};
use super::local_file;
use super::packet::{PacketError, PacketStream};
use super::parameters;
use super::prepared::Statement;
use super::reply::RowFormat;
use super::server::{CONNECT_TIMEOUT, Front, too_many};
use super::tls::Secured;
use crate::account::AccountName;
use crate::journal::ConnectionEvent;
use crate::session::result::{Done, StatementResult};
use crate::session::{Session, Tracked, Wire};
use expr::{ErrorCode, SqlError};
use mysql_common::constants::{CapabilityFlags, StatusFlags};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// How long a message that is too large may take to come to its end. MySQL's default of `net_read_timeout`.
const SKIP_TIMEOUT: Duration = Duration::from_secs(30);

pub struct Connection {
    pub(super) packets: PacketStream,
    pub(super) capabilities: CapabilityFlags,
    pub(super) session: Session,
    pub(super) statements: HashMap<u32, Statement>,
    /// The session as the client was told of it, where it asked for that.
    pub(super) tracked: Option<Tracked>,
    /// Status flags of the result that is being sent.
    pub(super) result_status: StatusFlags,
    peer: SocketAddr,
    front: Arc<Front>,
    tls: Option<Secured>,
    /// Whose connection this counts as.
    account: AccountName,
    id: u64,
    user: String,
}

/// Why a connection ends.
pub(super) enum End {
    Quit,
    Failed(PacketError),
}

impl From<PacketError> for End {
    fn from(error: PacketError) -> End {
        End::Failed(error)
    }
}

impl Connection {
    /// Serves an authenticated client until it goes, or `stop`. `is_reserved`: it has the place of an administrator.
    pub async fn run(client: Client, id: u64, front: Arc<Front>, is_reserved: bool, stop: CancellationToken) {
        let peer = client.peer;
        let mut session = Session::new(front.engine.clone(), id, client.login.clone());
        session.set_client_found_rows(client.capabilities.contains(CapabilityFlags::CLIENT_FOUND_ROWS));
        session.set_client_collation(client.collation);
        let compression = client.compression;
        let tls = client.tls.as_ref().map(|secured| (secured.version, secured.cipher.clone()));
        session.set_wire(Wire { tls, compression: compression.map(Algorithm::name) });
        let mut connection = Box::new(Connection {
            packets: client.packets,
            capabilities: client.capabilities,
            session,
            statements: HashMap::new(),
            tracked: None,
            result_status: StatusFlags::empty(),
            peer,
            front,
            tls: client.tls,
            account: client.login.account,
            id,
            user: client.login.user,
        });
        connection.tell(ConnectionEvent::Connected).await;
        let ended = if is_reserved && !connection.session.is_administrator() {
            connection.send_error(&too_many()).await.map_err(End::Failed)
        } else {
            connection.serve(client.database, compression, stop).await
        };
        if let Err(End::Failed(error)) = ended {
            tracing::debug!(%peer, id, %error, "connection ended");
            connection.front.engine.journal.aborted(true, error.cause());
        }
        let Connection { session, front, account, user, .. } = *connection;
        Box::pin(session.close()).await;
        front.engine.usage.disconnect(&account);
        front.tell(id, &user, peer, ConnectionEvent::Ended).await;
    }

    async fn tell(&mut self, event: ConnectionEvent) {
        self.front.tell(self.id, &self.user, self.peer, event).await;
    }

    async fn serve(
        &mut self,
        database: Option<String>,
        compression: Option<Algorithm>,
        stop: CancellationToken,
    ) -> Result<(), End> {
        if self.capabilities.contains(CapabilityFlags::CLIENT_SESSION_TRACK) {
            self.tracked = Some(self.session.tracked());
        }
        if let Some(database) = database
            && let Err(error) = Box::pin(self.session.use_database(&database)).await
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
            let super::packet::Traffic { received, sent } = self.packets.take_traffic();
            self.front.engine.journal.traffic(received, sent);
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
                // Closed without a word, as by MySQL: drivers take what nobody asked for as a broken protocol.
                () = killed.cancelled() => return Ok(()),
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
                    self.front.engine.journal.aborted(true, "timeout");
                    self.send_error(&SqlError::new(ErrorCode(4031), text)).await?;
                    return Err(End::Quit);
                }
            };
            // Apart, so that a connection that waits has no room for what runs.
            Box::pin(self.answer(&message)).await?;
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
            Command::Query(payload) => self.query_with_attributes(payload).await?,
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
            Command::Refresh { tables } => {
                self.query(if tables { b"FLUSH TABLES" } else { b"FLUSH STATUS" }).await?;
            }
            Command::Debug => match self.session.require_super() {
                Ok(()) => {
                    self.send_end_of_rows(0xfe, false).await?;
                    self.packets.flush().await?;
                }
                Err(error) => self.send_error(&error).await?,
            },
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
            Command::Close { statement } => self.close_statement(statement),
            Command::ResetStatement { statement } => self.reset_statement(statement).await?,
            Command::Fetch { statement, rows } => self.fetch(statement, rows).await?,
            Command::SetOption { multi_statements } => {
                self.capabilities.set(CapabilityFlags::CLIENT_MULTI_STATEMENTS, multi_statements);
                self.send_end_of_rows(0xfe, false).await?;
                self.packets.flush().await?;
            }
        }
        Ok(())
    }

    /// COM_QUERY, from a client that may send attributes with it.
    async fn query_with_attributes(&mut self, payload: &[u8]) -> Result<(), End> {
        if !self.capabilities.contains(CapabilityFlags::CLIENT_QUERY_ATTRIBUTES) {
            return self.query(payload).await;
        }
        match parameters::past_attributes(payload, self.session.client_charset()) {
            Ok(text) => self.query(text).await,
            Err(error) => Ok(self.send_error(&SqlError::new(ErrorCode(1835), error.to_string())).await?),
        }
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
    pub(super) async fn until_gone<F>(&mut self, run: F) -> Result<Result<StatementResult, SqlError>, End>
    where
        F: AsyncFnOnce(&mut Session) -> Result<StatementResult, SqlError>,
    {
        let cancel = self.session.cancellation();
        let statement = run(&mut self.session);
        tokio::pin!(statement);
        tokio::select! {
            biased;
            outcome = &mut statement => return Ok(outcome),
            _ = tokio::task::unconstrained(self.packets.closed()) => cancel.kill(),
        }
        // The statement ends by itself now, leaving the session whole.
        let _ = statement.await;
        Err(PacketError::Closed.into())
    }

    /// LOAD DATA LOCAL: the client is asked for its file, and the statement runs while it comes.
    pub(super) async fn load_file(&mut self, name: &str, more: bool) -> Result<(), End> {
        if !self.capabilities.contains(CapabilityFlags::CLIENT_LOCAL_FILES) {
            let error = self.session.refuse_load().await;
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
        let (tls, capabilities) = (self.tls.as_ref(), self.capabilities);
        let changed =
            handshake::change_user(&mut self.packets, &self.front, &request.user, self.peer, tls, capabilities);
        let login = match tokio::time::timeout(CONNECT_TIMEOUT, changed).await {
            Ok(Ok(login)) => login,
            Ok(Err(HandshakeError::Packet(error))) => return Err(error.into()),
            Ok(Err(HandshakeError::Refused { user, error })) => {
                self.front.tell(self.id, &user, self.peer, ConnectionEvent::Refused(error.code.0)).await;
                return Err(End::Quit);
            }
            Ok(Err(_)) | Err(_) => return Err(End::Quit),
        };
        self.front.engine.usage.disconnect(&self.account);
        self.account = login.account.clone();
        self.user = login.user.clone();
        self.tell(ConnectionEvent::ChangedUser).await;
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
