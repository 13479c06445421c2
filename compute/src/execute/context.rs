//! What the session gives to a statement that it runs.

use crate::catalog::virtual_tables::VirtualContext;
use crate::catalog::{Catalog, CatalogCache, TableDef, storage};
use crate::execute::account::Actor;
use crate::execute::expressions::{ExpressionCache, TableExpressions};
use crate::execute::query_memory::QueryMemory;
use crate::execute::routines::Routines;
use crate::execute::row::waiting::WaitingFunctions;
use crate::execute::row::{Cancel, Locked, QueryContext};
use crate::execute::temporary::TemporaryTables;
use crate::execute::write::load::input::FileInput;
use crate::sql::plan::ScanLock;
use crate::txn::locking::{definition_changed, wait_durable};
use crate::txn::snapshot::{newest_lsn_after, newest_view, plain_view};
use crate::txn::{Locker, OwnTables, ReadView, Remote, Transaction};
use async_trait::async_trait;
use common::id::Lsn;
use common::key::{Key, KeyRange};
use common::service::wal::{LockMode, LockWait};
use expr::error::{Warning, WarningLevel};
use expr::eval::{Effects, EvalContext};
use expr::{ErrorCode, Expression, SqlError};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// What all sessions of a compute share.
#[derive(Clone)]
pub struct Services {
    pub remote: Remote,
    pub catalog: Arc<CatalogCache>,
    /// Bound expressions of table definitions.
    pub expressions: Arc<ExpressionCache>,
}

/// Session variables that writing statements look at.
#[derive(Debug, Clone)]
pub struct Settings {
    pub foreign_key_checks: bool,
    /// innodb_lock_wait_timeout.
    pub lock_wait_timeout: Duration,
    pub auto_increment_increment: u64,
    pub auto_increment_offset: u64,
    /// CLIENT_FOUND_ROWS: UPDATE counts rows it matched.
    pub client_found_rows: bool,
    /// Tables with fewer rows get their indexes while they are held still.
    pub online_rows_min: u64,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            foreign_key_checks: true,
            lock_wait_timeout: Duration::from_secs(50),
            auto_increment_increment: 1,
            auto_increment_offset: 1,
            client_found_rows: false,
            online_rows_min: crate::execute::ddl::ROWS_MIN,
        }
    }
}

/// What queries of a statement need beside their view; see [`QueryContext`].
#[derive(Clone)]
pub struct QuerySettings {
    pub virtual_tables: VirtualContext,
    pub memory: Arc<QueryMemory>,
    pub cancel: Arc<Cancel>,
    pub recursion_depth_max: u64,
    pub found_rows: Arc<AtomicU64>,
    pub waiting: Arc<dyn WaitingFunctions>,
    /// How far a long statement is, for SHOW PROCESSLIST.
    pub progress: Arc<Mutex<Option<String>>>,
}

/// Binds the expressions that definitions hold as text. The session supplies it: nothing here imports the binder.
pub trait BindExpressions: Send + Sync {
    /// An expression over all columns of a table by position: of a generated column, a CHECK, a DEFAULT (...).
    fn bind(&self, table: &TableDef, text: &str) -> Result<Expression, SqlError>;
}

/// One statement's surroundings.
pub struct StatementContext<'a> {
    pub services: &'a Services,
    pub transaction: &'a mut Transaction,
    /// What the statement was bound against.
    pub catalog: Arc<Catalog>,
    /// `strict_write` and `ignore` are set by the statement itself.
    pub eval: EvalContext,
    pub settings: Settings,
    pub queries: QuerySettings,
    pub binder: Arc<dyn BindExpressions>,
    /// Who runs it.
    pub actor: Actor,
    pub temporary: Arc<TemporaryTables>,
    /// What the session has locked by LOCK TABLES.
    pub own_tables: Arc<OwnTables>,
    /// The file that LOAD DATA reads.
    pub input: Option<FileInput>,
    /// None where there are no routines anywhere.
    pub routines: Option<Arc<dyn Routines>>,
}

impl StatementContext<'_> {
    /// What plain reads of this statement see.
    pub async fn plain(&mut self) -> Result<ReadView, SqlError> {
        plain_view(self.transaction, &self.services.remote, None).await
    }

    /// The newest committed data with the transaction's own writes over it.
    pub async fn newest(&mut self) -> Result<ReadView, SqlError> {
        newest_view(self.transaction, &self.services.remote).await
    }

    /// The data at an LSN with the transaction's own writes over it. Drop it before writing: while a view is held,
    /// the first write copies the transaction's whole buffer.
    pub fn view(&self, lsn: Lsn) -> ReadView {
        self.transaction.view(&self.services.remote.pages, lsn)
    }

    /// Before a statement writes to tables: has their definitions held still, from the first lock of the statement until
    /// the transaction ends, and answers with the LSN at which the newest committed rows are read. Error 1412 if a definition is not the one that the
    /// statement was bound to; bound again, the statement may run again.
    pub async fn begin_write(&mut self, tables: &[&TableDef]) -> Result<Lsn, SqlError> {
        if self.transaction.is_read_only() {
            return Err(SqlError::new(
                ErrorCode::CANT_EXECUTE_IN_READ_ONLY_TRANSACTION,
                "Cannot execute statement in a READ ONLY transaction.",
            ));
        }
        let key = |table: &&TableDef| (storage::table_key(&table.database, &table.name), LockMode::Shared);
        let shared = tables.iter().filter(|table| !self.catalog.is_temporary(table));
        let keys: Vec<_> = shared.map(key).collect();
        let locker = self.locker();
        if !locker.holds_all(&keys) {
            locker.defer(keys);
        }
        let lsn = newest_lsn_after(&self.transaction.locks(), &self.services.remote).await?;
        self.transaction.settle_snapshot(lsn, &self.services.remote.snapshots);
        let newest = self.services.catalog.newest();
        for table in tables {
            let current = newest.table(&table.database, &table.name);
            if table.version != Lsn::ZERO && current.is_none_or(|current| current.version != table.version) {
                return Err(definition_changed());
            }
            self.rely_on(table);
        }
        Ok(lsn)
    }

    /// Makes the commit depend on this definition being the newest.
    pub fn rely_on(&mut self, table: &TableDef) {
        if table.version != Lsn::ZERO {
            self.transaction.check(storage::table_key(&table.database, &table.name), table.version);
        }
    }

    /// Takes locks for the transaction.
    pub fn locker(&self) -> Locker {
        Locker {
            remote: self.services.remote.clone(),
            txn: self.transaction.id(),
            wait: LockWait::Timeout(self.settings.lock_wait_timeout),
            locks: self.transaction.locks(),
            own: self.own_tables.clone(),
            interrupt: self.queries.cancel.interrupt(),
        }
    }

    /// For queries of this statement that read `view`; scans with a lock take it for the transaction.
    pub fn query_context(&self, view: ReadView) -> QueryContext {
        let QuerySettings { virtual_tables, memory, cancel, recursion_depth_max, found_rows, waiting, .. } =
            self.queries.clone();
        QueryContext {
            locker: Some(Arc::new(ScanLocker {
                locker: self.locker(),
                view: view.clone(),
                locks_ranges: self.transaction.locks_ranges(),
                shows: false,
            })),
            view,
            eval: self.eval.clone(),
            catalog: self.catalog.clone(),
            virtual_tables,
            memory,
            cancel,
            recursion_depth_max,
            found_rows,
            waiting,
            profile: None,
        }
    }

    /// Runs something that may call stored functions: they work in the statement's transaction meanwhile.
    pub async fn with_functions<T>(&mut self, run: impl Future<Output = T>) -> T {
        let Some(routines) = self.routines.clone().filter(|routines| routines.calls_functions()) else {
            return run.await;
        };
        let stand_in = Transaction::new(self.transaction.id(), self.transaction.isolation(), false, false);
        routines.lend(std::mem::replace(self.transaction, stand_in));
        let outcome = run.await;
        if let Some(transaction) = routines.take_back() {
            *self.transaction = transaction;
        }
        outcome
    }

    pub fn expressions(&self, table: &TableDef) -> Result<Arc<TableExpressions>, SqlError> {
        self.services.expressions.of(table, &*self.binder)
    }

    /// Adds a line to SHOW WARNINGS.
    pub fn warn(&self, level: WarningLevel, code: ErrorCode, message: impl Into<String>) {
        let mut warnings = self.eval.effects.warnings.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if warnings.len() < Effects::WARNINGS_MAX {
            warnings.push(Warning::new(level, code, message));
        }
    }
}

/// Locks of a statement's scans. Own writes are those from before the statement.
pub struct ScanLocker {
    pub locker: Locker,
    pub view: ReadView,
    pub locks_ranges: bool,
    /// What is read goes to the client before the transaction ends, so it has to be durable.
    pub shows: bool,
}

#[async_trait]
impl crate::execute::row::Locker for ScanLocker {
    async fn newest(&self) -> Result<ReadView, SqlError> {
        Ok(self.view.at(newest_lsn_after(&self.locker.locks, &self.locker.remote).await?))
    }

    async fn lock(&self, keys: Vec<Key>, ranges: Vec<KeyRange>, lock: ScanLock) -> Result<Locked, SqlError> {
        let keys = keys.into_iter().map(|key| (key, lock.mode)).collect();
        let ranges = ranges.into_iter().map(|range| (range, lock.mode)).collect();
        let grant = self.locker.lock_all(keys, ranges, lock.wait).await?;
        if self.shows {
            wait_durable(&self.locker.locks, &self.locker.remote).await?;
        }
        Ok(Locked { view: self.view.at_grant(&grant), granted: grant.granted })
    }

    async fn unlock(&self, keys: Vec<Key>) -> Result<(), SqlError> {
        self.locker.unlock(keys).await
    }

    fn holds(&self, key: &Key) -> bool {
        self.locker.holds(key)
    }

    fn locks_ranges(&self) -> bool {
        self.locks_ranges
    }
}
