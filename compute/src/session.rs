//! One connection's state, without sockets: variables, current database, transaction, prepared statements, warnings.
//!
//! The protocol calls it; it parses, binds, runs, and answers with results that the protocol encodes.
//!
//! Invariants
//! - A statement that fails inside a transaction leaves the transaction as it was before the statement (error 1213 ends
//!   the transaction).
//! - While rows are being sent, the session runs nothing else; [`Session::rows_ended`] closes the statement.

mod binding;
mod control;
mod engine;
mod explain;
mod identity;
mod load;
mod lost_locks;
mod named_locks;
mod optimizer_switch;
mod prepared;
mod pressure;
mod recent;
mod redact;
pub mod result;
mod routine;
mod run;
pub mod scheduler;
mod set;
mod show;
mod source;
mod sql_mode;
mod table_locks;
mod told;
mod tracked;
mod transaction;
mod usage;
pub mod variables;
mod xa;

pub use engine::Engine;
pub use engine::Wire;
pub use identity::Login;
pub use named_locks::NamedLocks;
pub use prepared::PreparedInfo;
pub use tracked::{Change, Tracked};

use crate::account::Privileges;
use crate::execute::Settings;
use crate::execute::row::Cancel;
use crate::execute::temporary::TemporaryTables;
use crate::execute::write::load::input::FileInput;
use crate::session::engine::SessionHandle;
use crate::session::identity::Identity;
use crate::session::prepared::PreparedStatement;
use crate::session::recent::Recent;
use crate::session::routine::{Calls, Frame, Nested, Programs, Runner, SignalItems};
use crate::session::source::Source;
use crate::session::table_locks::TableLocks;
use crate::session::variables::{Outlines, Values};
use crate::sql::parse;
use crate::sql::plan::Isolation;
use crate::txn::Transaction;
use crate::txn::throttle::Debt;
use expr::collation::{Charset, CollationId};
use expr::error::Warning;
use expr::eval::{Effects, EvalContext, SessionInfo, SqlMode, UserVariables};
use expr::function::numeric::random::SessionSequence;
use expr::value::Value;
use expr::{ErrorCode, SqlError};
use result::StatementResult;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

pub struct Session {
    engine: Arc<Engine>,
    handle: Arc<SessionHandle>,
    identity: Arc<Identity>,
    /// Nothing may be done but to set another password.
    password_expired: bool,
    database: Option<Arc<str>>,
    variables: Arc<Values>,
    /// Names in lower case. Shared with the statement that runs.
    user_variables: UserVariables,
    random: SessionSequence,
    transaction: Option<Transaction>,
    /// The transaction is a branch of a global one.
    xa: Option<xa::Branch>,
    /// SET TRANSACTION: of the next one only.
    next_isolation: Option<Isolation>,
    next_read_only: Option<bool>,
    prepared: HashMap<u32, PreparedStatement>,
    next_prepared: u32,
    recent: Recent,
    /// The text of the statement that runs by its outline.
    outlined: Option<Arc<str>>,
    /// PREPARE name FROM: texts by name in lower case.
    named: HashMap<String, String>,
    warnings: Vec<Warning>,
    counted: run::WarningCounts,
    last_insert_id: u64,
    row_count: i64,
    found_rows: u64,
    client_found_rows: bool,
    /// Of the statement whose rows are being sent.
    sending: Option<Sending>,
    /// GET_LOCK.
    named_locks: Arc<NamedLocks>,
    /// LOCK TABLES.
    table_locks: Option<TableLocks>,
    wire: Arc<Wire>,
    temporary: Arc<TemporaryTables>,
    /// LOAD DATA LOCAL, until its file comes.
    waiting: Option<load::Waiting>,
    /// What LOAD DATA reads.
    input: Option<FileInput>,
    /// Procedures that run, each called by the one before it.
    frames: Vec<Frame>,
    calls: Calls,
    /// Of a session within a statement.
    nested: Option<Arc<Nested>>,
    programs: Arc<Programs>,
    signal_items: SignalItems,
    /// The statement from the client.
    running: Option<told::Running>,
    /// By all statements of this session, so far.
    rows_read: Arc<AtomicU64>,
    /// What it has written and not waited for.
    debt: Debt,
    /// The transaction that comes next has waited for page servers.
    has_waited: bool,
}

/// What is left to do when the last row has been sent.
struct Sending {
    effects: Arc<Effects>,
    found_rows: Arc<AtomicU64>,
    calc_found_rows: bool,
    /// Has the transaction as long as the rows come.
    lent: Option<Lent>,
}

/// A transaction that stored functions of a query work in.
struct Lent {
    runner: Arc<Runner>,
    is_explicit: bool,
}

impl Session {
    pub fn new(engine: Arc<Engine>, id: u64, login: Login) -> Session {
        let handle = engine.register(id, login.user.clone(), login.host.clone());
        let named_locks = Arc::new(NamedLocks::new(engine.services.remote.clone(), id));
        Session::within(engine, handle, Arc::new(Identity::new(login)), named_locks)
    }

    /// One that others do not see as a session of its own.
    fn within(
        engine: Arc<Engine>,
        handle: Arc<SessionHandle>,
        identity: Arc<Identity>,
        named_locks: Arc<NamedLocks>,
    ) -> Session {
        let variables = engine.globals();
        Session {
            password_expired: identity.login.expired,
            frames: Vec::new(),
            calls: Calls::default(),
            nested: None,
            programs: Arc::default(),
            signal_items: SignalItems::default(),
            running: None,
            rows_read: Arc::default(),
            debt: Debt::default(),
            has_waited: false,
            engine,
            handle,
            identity,
            database: None,
            variables,
            user_variables: UserVariables::default(),
            random: SessionSequence::default(),
            transaction: None,
            xa: None,
            next_isolation: None,
            next_read_only: None,
            prepared: HashMap::new(),
            next_prepared: 1,
            recent: Recent::default(),
            outlined: None,
            named: HashMap::new(),
            warnings: Vec::new(),
            counted: run::WarningCounts::default(),
            last_insert_id: 0,
            row_count: -1,
            found_rows: 0,
            client_found_rows: false,
            sending: None,
            named_locks,
            table_locks: None,
            wire: Arc::default(),
            temporary: Arc::default(),
            waiting: None,
            input: None,
        }
    }

    /// Ends the session: what is not committed is rolled back.
    pub async fn close(mut self) {
        // Its client went in the middle of an answer.
        self.ended(Err(&SqlError::new(ErrorCode(1160), "Got an error writing communication packets"))).await;
        self.roll_back().await;
        self.release_session_locks().await;
        self.engine.forget(self.handle.id);
    }

    /// COM_RESET_CONNECTION: as after connecting, but for user and database.
    pub async fn reset(&mut self) {
        self.xa = None;
        self.roll_back().await;
        self.release_session_locks().await;
        self.variables = self.engine.globals();
        self.identity.forget_roles();
        self.temporary.restore(Default::default());
        self.user_variables = UserVariables::default();
        self.next_isolation = None;
        self.next_read_only = None;
        self.prepared.clear();
        self.recent.clear();
        self.named.clear();
        self.warnings.clear();
        self.last_insert_id = 0;
        self.row_count = -1;
        self.found_rows = 0;
        self.sending = None;
        self.leave_all().await;
    }

    /// LOCK TABLES and GET_LOCK end with the session.
    async fn release_session_locks(&mut self) {
        self.unlock_tables().await;
        if let Err(error) = self.named_locks.release_all().await {
            tracing::warn!(%error, "named locks of a session could not be freed");
        }
    }

    /// Where the statements of a text stand, for clients that send several at once.
    pub fn split(&self, text: &str) -> Vec<Range<usize>> {
        parse::split_statements(text, self.sql_mode())
    }

    /// Runs one statement.
    pub async fn query(&mut self, text: &str) -> Result<StatementResult, SqlError> {
        self.began(text);
        let sql_mode = self.sql_mode();
        let outlines = self.variables.effective().outlines;
        let outline = if outlines == Outlines::Off { None } else { parse::outline::of(text, sql_mode) };
        let is_known =
            outline.and_then(|outline| self.recent.outlined(outline, sql_mode, outlines == Outlines::Always));
        if let Some((source, values)) = is_known {
            self.outlined = Some(text.into());
            let outcome = self.run(&source, values.into()).await;
            self.outlined = None;
            return self.conclude(outcome).await;
        }
        if let Some(source) = self.recent.get(text, sql_mode) {
            let outcome = self.run(&source, Arc::from([])).await;
            return self.conclude(outcome).await;
        }
        let outcome = match parse::parse(text, sql_mode) {
            Ok(statement) => match self.ask_for_file(statement, text).await {
                Ok(Ok(file)) => return Ok(file),
                Ok(Err(statement)) => {
                    let source = Arc::new(Source::new(statement));
                    self.recent.note(text, sql_mode, &source);
                    match self.run(&source, Arc::from([])).await {
                        Ok(StatementResult::Called) => return self.proceed().await,
                        outcome => outcome,
                    }
                }
                Err(error) => Err(error),
            },
            Err(error) => {
                self.warnings.clear();
                Err(error)
            }
        };
        self.conclude(outcome).await
    }

    /// COM_INIT_DB and USE.
    pub async fn use_database(&mut self, name: &str) -> Result<(), SqlError> {
        let (catalog, _) = self.newest_catalog().await?;
        let rights = self.rights(&catalog);
        if !rights.sees_database(name) {
            return Err(rights.database_denied(name));
        }
        let collation = match catalog.database(name) {
            Some(database) => database.definition.collation,
            None if crate::catalog::virtual_tables::is_virtual_database(name) => CollationId::UTF8MB4_0900_AI_CI,
            None => return Err(SqlError::new(ErrorCode::BAD_DB, format!("Unknown database '{name}'"))),
        };
        self.set_text("collation_database", collation.name());
        self.set_text("character_set_database", collation.charset().name());
        self.database = Some(name.into());
        self.handle.set_database(self.database.clone());
        Ok(())
    }

    /// Of the handshake: the client's character set and collation.
    pub fn set_client_collation(&mut self, collation: CollationId) {
        let known = collation.known().filter(|info| info.charset.bytes_min() == 1);
        let collation = known.map_or(CollationId::UTF8MB4_0900_AI_CI, |info| info.id);
        let charset = collation.charset().name();
        for name in ["character_set_client", "character_set_connection", "character_set_results"] {
            self.set_text(name, charset);
        }
        self.set_text("collation_connection", collation.name());
    }

    pub fn set_client_found_rows(&mut self, found_rows: bool) {
        self.client_found_rows = found_rows;
    }

    /// How the connection is protected and compressed, for SHOW STATUS.
    pub fn set_wire(&mut self, wire: Wire) {
        self.wire = Arc::new(wire);
    }

    /// COM_CHANGE_USER, after authentication.
    pub fn set_user(&mut self, login: Login) {
        self.handle.set_user(login.user.clone());
        self.password_expired = login.expired;
        self.identity = Arc::new(Identity::new(login));
        self.database = None;
        self.handle.set_database(None);
    }

    /// KILL of one's own sessions, or with CONNECTION_ADMIN of any. 1095.
    pub fn kill(&self, connection: u64, query_only: bool) -> Result<(), SqlError> {
        let own_only = !self.newest_rights().dynamic("CONNECTION_ADMIN");
        self.engine.kill(connection, query_only, own_only.then_some(self.identity.login.user.as_str()))
    }

    /// May connect where max_connections are there already.
    pub fn is_administrator(&self) -> bool {
        self.newest_rights().dynamic("CONNECTION_ADMIN")
    }

    /// 1227 without SUPER.
    pub fn require_super(&self) -> Result<(), SqlError> {
        self.newest_rights().require_any(Privileges::SUPER)
    }

    /// How the running statement is told to end.
    pub fn cancellation(&self) -> Arc<Cancel> {
        self.handle.cancel.clone()
    }

    /// Cancelled when the connection shall end.
    pub fn killed(&self) -> CancellationToken {
        self.handle.killed.clone()
    }

    pub fn statistics(&self) -> String {
        self.engine.statistics()
    }

    pub fn warning_count(&self) -> u16 {
        self.warnings.len().try_into().unwrap_or(u16::MAX)
    }

    pub fn in_transaction(&self) -> bool {
        if self.nested.is_some() {
            // The statement around it decides.
            return true;
        }
        match self.sending.as_ref().and_then(|sending| sending.lent.as_ref()) {
            Some(lent) => lent.is_explicit,
            None => self.transaction.as_ref().is_some_and(Transaction::is_explicit),
        }
    }

    pub fn autocommit(&self) -> bool {
        self.variables.effective().autocommit
    }

    pub fn no_backslash_escapes(&self) -> bool {
        self.sql_mode().has(SqlMode::NO_BACKSLASH_ESCAPES)
    }

    pub fn max_allowed_packet(&self) -> usize {
        self.variables.effective().max_allowed_packet
    }

    pub fn wait_timeout(&self) -> Duration {
        self.variables.effective().wait_timeout
    }

    /// What results are in: `character_set_results`, as a collation. None: as each column is.
    pub fn results_collation(&self) -> Option<CollationId> {
        let charset = self.variables.effective().character_set_results?;
        let connection = self.connection_collation();
        Some(if connection.charset() == charset { connection } else { charset.default_collation() })
    }

    /// `character_set_client`: what statements and parameters are written in.
    pub fn client_charset(&self) -> Charset {
        self.variables.effective().character_set_client
    }

    fn connection_collation(&self) -> CollationId {
        self.variables.effective().collation_connection
    }

    fn sql_mode(&self) -> SqlMode {
        self.variables.effective().sql_mode
    }

    /// Sets a variable of the table by a value that is known to be good.
    fn set_text(&mut self, name: &str, text: &str) {
        if let Some(variable) = variables::lookup(name) {
            Arc::make_mut(&mut self.variables).set(variable, Some(text.to_string()));
        }
    }

    fn settings(&self) -> Settings {
        let variables = self.variables.effective();
        Settings {
            foreign_key_checks: variables.foreign_key_checks,
            lock_wait_timeout: variables.lock_wait_timeout,
            auto_increment_increment: variables.auto_increment_increment,
            auto_increment_offset: variables.auto_increment_offset,
            client_found_rows: self.client_found_rows,
            online_rows_min: crate::execute::ddl::ROWS_MIN,
        }
    }

    /// What expressions of a new statement see.
    fn eval_context(&self, parameters: Arc<[Value]>) -> EvalContext {
        let variables = self.variables.effective();
        let effects = Effects {
            user_variables: self.user_variables.clone(),
            session_random: self.random.clone(),
            ..Effects::default()
        };
        EvalContext {
            sql_mode: variables.sql_mode,
            time_zone: variables.time_zone,
            now_us: variables.timestamp_us.unwrap_or_else(|| self.engine.clock.wall_us() as i64),
            parameters,
            outer_rows: Vec::new(),
            subqueries: Vec::new(),
            session: Arc::new(self.info()),
            strict_write: false,
            ignore: false,
            effects: Arc::new(effects),
        }
    }

    fn info(&self) -> SessionInfo {
        let variables = self.variables.effective();
        SessionInfo {
            database: self.database.clone(),
            user: self.identity.user.clone(),
            current_user: self.identity.current_user.clone(),
            current_role: self.identity.look_up(&self.engine.services.catalog.newest().accounts, &self.engine).1,
            connection_id: self.handle.id,
            version: self.engine.version(),
            last_insert_id: self.last_insert_id,
            row_count: self.row_count,
            found_rows: self.found_rows,
            collation_connection: variables.collation_connection.0,
            group_concat_max_len: variables.group_concat_max_len,
            max_allowed_packet: variables.max_allowed_packet,
            div_precision_increment: variables.div_precision_increment,
            default_week_format: variables.default_week_format,
            lc_time_names: variables.lc_time_names.clone(),
            block_encryption_mode: variables.block_encryption_mode,
        }
    }
}
