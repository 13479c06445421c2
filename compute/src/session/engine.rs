//! What all sessions of a compute share: services, global variables, the list of sessions.

use crate::account::Accounts;
use crate::catalog::TableDef;
use crate::catalog::virtual_tables::{Process, ServerState};
use crate::execute::Services;
use crate::execute::query_memory::QueryMemory;
use crate::execute::row::Cancel;
use crate::journal::Journal;
use crate::session::redact::redacted;
use crate::session::usage::UsageTable;
use crate::session::variables::{self, Values};
use crate::sql::plan::rules::Statistics;
use crate::txn::snapshot;
use common::env::Clock;
use common::id::{ColumnId, TableId};
use common::key::KeyRange;
use common::service::page::ColumnFigures;
use expr::{ErrorCode, SqlError};
use parking_lot::{Mutex, RwLock};
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

pub struct Engine {
    pub services: Services,
    pub clock: Arc<dyn Clock>,
    pub query_memory: Arc<QueryMemory>,
    version: Arc<str>,
    globals: RwLock<Arc<Values>>,
    sessions: Mutex<BTreeMap<u64, Arc<SessionHandle>>>,
    /// Statements since the start: SHOW STATUS's Questions.
    questions: AtomicU64,
    pub journal: Journal,
    started_us: u64,
    /// Rough, and as old as the last refresh.
    figures: Mutex<HashMap<TableId, Known>>,
    /// Rises when the figures have changed by much.
    statistics_version: AtomicU64,
    /// What accounts with limits have used.
    pub usage: UsageTable,
    /// Of the password that the server was started with.
    server_digest: OnceLock<[u8; 32]>,
}

struct Known {
    newest: Arc<TableFigures>,
    /// As they were when plans were made anew the last time.
    planned_by: Arc<TableFigures>,
}

/// What is known of a table without reading it.
struct TableFigures {
    rows: u64,
    columns: HashMap<ColumnId, Arc<ColumnFigures>>,
}

impl TableFigures {
    /// Whether plans would hardly be others: kept plans are not made anew for a few rows more.
    fn is_like(&self, other: &TableFigures) -> bool {
        let alike = |one: u64, other: u64| one.abs_diff(other) <= one.max(other) / 10;
        let same = |(column, one): (&ColumnId, &Arc<ColumnFigures>)| {
            let other = other.columns.get(column);
            other.is_some_and(|other| alike(one.distinct, other.distinct) && alike(one.nulls, other.nulls))
        };
        alike(self.rows, other.rows) && self.columns.len() == other.columns.len() && self.columns.iter().all(same)
    }
}

/// What others see of a session, and how they reach it.
pub struct SessionHandle {
    pub id: u64,
    pub host: String,
    pub cancel: Arc<Cancel>,
    /// KILL CONNECTION.
    pub killed: CancellationToken,
    /// How far its statement is, if that is one that says so.
    pub progress: Arc<Mutex<Option<String>>>,
    activity: Mutex<Activity>,
}

struct Activity {
    user: String,
    database: Option<Arc<str>>,
    /// The statement that runs.
    statement: Option<String>,
    since_us: u64,
}

/// Of a table that was not counted yet: not small, so that nobody scans it for each row of another.
const ROWS_UNKNOWN: u64 = 1000;
/// How long a login waits to learn which accounts there are now.
const ACCOUNTS_WAIT_MAX: Duration = Duration::from_secs(2);
/// Bytes of a statement that SHOW PROCESSLIST and logs can give.
const STATEMENT_BYTES_MAX: usize = 64 << 10;

impl Engine {
    /// `version` as SELECT VERSION() gives it.
    pub fn new(
        services: Services,
        clock: Arc<dyn Clock>,
        version: String,
        query_memory: Arc<QueryMemory>,
        journal: Journal,
    ) -> Engine {
        let mut globals = Values::default();
        if let Some(variable) = variables::lookup("version") {
            globals.set(variable, Some(version.clone()));
        }
        let started_us = clock.wall_us();
        Engine {
            services,
            clock,
            query_memory,
            version: version.into(),
            globals: RwLock::new(Arc::new(globals)),
            sessions: Mutex::default(),
            questions: AtomicU64::new(0),
            journal,
            started_us,
            figures: Mutex::default(),
            statistics_version: AtomicU64::new(0),
            usage: UsageTable::default(),
            server_digest: OnceLock::new(),
        }
    }

    /// The password of the first root, as long as nobody has given it another. Once, at the start.
    pub fn set_server_password(&self, password: &str) {
        if !password.is_empty() {
            let _ = self.server_digest.set(crate::account::password::fast_digest(password.as_bytes()));
        }
    }

    pub fn server_digest(&self) -> Option<[u8; 32]> {
        self.server_digest.get().copied()
    }

    /// Accounts as of now; those known here, if the log does not answer in time: such a session cannot do anything.
    pub async fn newest_accounts(&self) -> Arc<Accounts> {
        let fresh = async {
            let now = snapshot::read_lsn(&self.services.remote).await?;
            self.services.catalog.snapshot_at_least(now.definitions).await
        };
        match tokio::time::timeout(ACCOUNTS_WAIT_MAX, fresh).await {
            Ok(Ok(catalog)) => catalog.accounts.clone(),
            _ => self.services.catalog.newest().accounts.clone(),
        }
    }

    pub fn version(&self) -> Arc<str> {
        self.version.clone()
    }

    /// The server's values now: what a new session starts with.
    pub fn globals(&self) -> Arc<Values> {
        self.globals.read().clone()
    }

    /// secure_file_priv: where files of this server are read.
    pub fn set_file_directory(&self, directory: Option<&std::path::Path>) {
        if let (Some(variable), Some(directory)) = (variables::lookup("secure_file_priv"), directory) {
            self.set_global(variable, Some(directory.display().to_string()));
        }
    }

    /// Variables that tell a file.
    pub fn set_files<'f>(&self, files: impl IntoIterator<Item = (&'static str, Option<&'f std::path::Path>)>) {
        for (name, path) in files {
            if let (Some(variable), Some(path)) = (variables::lookup(name), path) {
                self.set_global(variable, Some(path.display().to_string()));
            }
        }
    }

    /// slow_query_log_file: tells where it is.
    pub fn set_slow_log(&self, path: &std::path::Path) {
        if let Some(variable) = variables::lookup("slow_query_log_file") {
            self.set_global(variable, Some(path.display().to_string()));
        }
    }

    pub fn set_global(&self, variable: &'static variables::Variable, text: Option<String>) {
        Arc::make_mut(&mut self.globals.write()).set(variable, text);
    }

    /// Asks the page servers for the figures of every table. What they do not answer stays as it was.
    pub async fn refresh_statistics(&self) {
        let catalog = self.services.catalog.newest();
        for table in catalog.tables_by_id.values() {
            let range = KeyRange::index(table.id, table.clustered().id);
            if let Ok(figures) = self.services.remote.pages.figures(range).await {
                let columns = figures.columns.into_iter().map(|column| (column.column, Arc::new(column))).collect();
                let figures = TableFigures { rows: figures.rows, columns };
                let figures = Arc::new(figures);
                match self.figures.lock().entry(table.id) {
                    Entry::Occupied(mut known) if known.get().planned_by.is_like(&figures) => {
                        known.get_mut().newest = figures;
                    }
                    known => {
                        known.insert_entry(Known { newest: figures.clone(), planned_by: figures });
                        self.statistics_version.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
        }
        self.figures.lock().retain(|id, _| catalog.tables_by_id.contains_key(id));
    }

    /// Plans made under another version may not be the best any more.
    pub fn statistics_version(&self) -> u64 {
        self.statistics_version.load(Ordering::Relaxed)
    }

    pub fn connection_count(&self) -> u64 {
        self.sessions.lock().len() as u64
    }

    pub fn statistics(&self) -> String {
        let uptime = (self.clock.wall_us() - self.started_us) / 1_000_000;
        let questions = self.questions.load(Ordering::Relaxed);
        let per_second = questions as f64 / uptime.max(1) as f64;
        let (threads, slow) = (self.connection_count(), self.journal.slow_statements());
        format!(
            "Uptime: {uptime}  Threads: {threads}  Questions: {questions}  Slow queries: {slow}  Opens: 0  \
             Flush tables: 0  Open tables: 0  Queries per second avg: {per_second:.3}"
        )
    }

    pub(super) fn register(&self, id: u64, user: String, host: String) -> Arc<SessionHandle> {
        let activity = Activity { user, database: None, statement: None, since_us: self.clock.wall_us() };
        let handle = Arc::new(SessionHandle {
            id,
            host,
            cancel: Arc::default(),
            killed: CancellationToken::new(),
            progress: Arc::default(),
            activity: Mutex::new(activity),
        });
        self.sessions.lock().insert(id, handle.clone());
        handle
    }

    pub(super) fn forget(&self, id: u64) {
        self.sessions.lock().remove(&id);
    }

    /// KILL and KILL QUERY. 1094 for an unknown connection.
    ///
    /// `of_user`: 1095 for those of others.
    pub fn kill(&self, id: u64, query_only: bool, of_user: Option<&str>) -> Result<(), SqlError> {
        let unknown = || SqlError::new(ErrorCode::NO_SUCH_THREAD, format!("Unknown thread id: {id}"));
        let handle = self.sessions.lock().get(&id).cloned().ok_or_else(unknown)?;
        if of_user.is_some_and(|user| handle.activity.lock().user != user) {
            return Err(SqlError::new(ErrorCode(1095), format!("You are not owner of thread {id}")));
        }
        handle.cancel.kill();
        if !query_only {
            handle.killed.cancel();
        }
        Ok(())
    }

    pub(super) fn began(&self, handle: &SessionHandle, statement: &str) {
        self.questions.fetch_add(1, Ordering::Relaxed);
        let mut end = statement.len().min(STATEMENT_BYTES_MAX);
        while !statement.is_char_boundary(end) {
            end -= 1;
        }
        let shown = redacted(&statement[..end]).into_owned();
        let mut activity = handle.activity.lock();
        activity.statement = Some(shown);
        activity.since_us = self.clock.wall_us();
    }

    /// Gives the text of what has ended.
    pub(super) fn ended(&self, handle: &SessionHandle) -> Option<String> {
        let mut activity = handle.activity.lock();
        activity.since_us = self.clock.wall_us();
        activity.statement.take()
    }
}

impl Statistics for Engine {
    fn rows(&self, table: &TableDef) -> u64 {
        self.figures.lock().get(&table.id).map_or(ROWS_UNKNOWN, |known| known.newest.rows)
    }

    fn column(&self, table: &TableDef, column: ColumnId) -> Option<Arc<ColumnFigures>> {
        self.figures.lock().get(&table.id)?.newest.columns.get(&column).cloned()
    }
}

impl SessionHandle {
    fn is_running(&self) -> bool {
        self.activity.lock().statement.is_some()
    }

    pub(super) fn set_user(&self, user: String) {
        self.activity.lock().user = user;
    }

    pub(super) fn set_database(&self, database: Option<Arc<str>>) {
        self.activity.lock().database = database;
    }
}

/// The server as one session sees it: the session's own variables before the server's.
pub(super) struct View {
    pub engine: Arc<Engine>,
    pub session: Arc<Values>,
    pub wire: Arc<Wire>,
}

/// How a connection's bytes travel.
#[derive(Debug, Default)]
pub struct Wire {
    /// Version and cipher.
    pub tls: Option<(&'static str, String)>,
    /// Name of the algorithm.
    pub compression: Option<&'static str>,
}

impl ServerState for View {
    fn variables(&self, global: bool) -> Vec<(String, String)> {
        let globals = self.engine.globals();
        let mut all = if global { globals.all(true) } else { self.session.all(false) };
        // A session has no values of its own for the server's variables, only those from when it began.
        for (name, value) in &mut all {
            if let Some(variable) = variables::lookup(name)
                && matches!(variable.scope, variables::Scope::Global | variables::Scope::ReadOnly)
            {
                *value = globals.text(variable).unwrap_or_default().to_string();
            }
        }
        all.into_iter().map(|(name, value)| (name.to_string(), value)).collect()
    }

    fn status(&self, _global: bool) -> Vec<(String, String)> {
        let uptime = (self.engine.clock.wall_us() - self.engine.started_us) / 1_000_000;
        let threads = self.engine.connection_count().to_string();
        let running = self.engine.sessions.lock().values().filter(|session| session.is_running()).count();
        let questions = self.engine.questions.load(Ordering::Relaxed).to_string();
        let (tls_version, cipher) = self.wire.tls.as_ref().map_or(("", ""), |(version, cipher)| (*version, cipher));
        let compression = self.wire.compression;
        let of_journal = self.engine.journal.status().into_iter().map(|(name, count)| (name, count.to_string()));
        let own = [
            ("Compression", if compression.is_some() { "ON" } else { "OFF" }.to_string()),
            ("Compression_algorithm", compression.unwrap_or_default().to_string()),
            ("Queries", questions.clone()),
            ("Questions", questions),
            ("Ssl_cipher", cipher.to_string()),
            ("Ssl_version", tls_version.to_string()),
            ("Threads_connected", threads),
            ("Threads_running", running.to_string()),
            ("Uptime", uptime.to_string()),
        ];
        let mut status: Vec<_> =
            own.into_iter().chain(of_journal).map(|(name, value)| (name.to_string(), value)).collect();
        status.sort();
        status
    }

    fn processes(&self) -> Vec<Process> {
        let now_us = self.engine.clock.wall_us();
        let sessions: Vec<Arc<SessionHandle>> = self.engine.sessions.lock().values().cloned().collect();
        sessions
            .iter()
            .map(|session| {
                let activity = session.activity.lock();
                let running = activity.statement.is_some();
                Process {
                    id: session.id,
                    user: activity.user.clone(),
                    host: session.host.clone(),
                    database: activity.database.as_deref().map(str::to_string),
                    command: if running { "Query" } else { "Sleep" }.to_string(),
                    seconds: now_us.saturating_sub(activity.since_us) / 1_000_000,
                    state: Some(match session.progress.lock().clone() {
                        Some(progress) => progress,
                        None => if running { "executing" } else { "" }.to_string(),
                    }),
                    info: activity.statement.clone(),
                }
            })
            .collect()
    }
}
