//! Running one parsed statement: transaction, catalog, binding, execution, and what the session keeps of it.

use super::load::reads_file;
use super::result::{Done, ResultSet, StatementResult};
use super::routine::{Runner, calls_functions, change_calls_functions};
use super::source::{Plan, Source};
use super::{Lent, Sending, Session};
use crate::catalog::Catalog;
use crate::execute::account::{Actor, Policies};
use crate::execute::choose;
use crate::execute::routines::Routines;
use crate::execute::row::walk;
use crate::execute::row::{Locker as RowLocker, QueryContext};
use crate::execute::{QuerySettings, ScanLocker, StatementContext, ddl, write};
use crate::sql::parse::ast::{self, Kind};
use crate::sql::plan::{Ddl, IntoTarget, Isolation, Query, Scan, ScanLock, Statement};
use crate::txn::retry::may_run_again;
use crate::txn::{CommitFailure, snapshot};
use common::id::Lsn;
use common::service::wal::LockMode;
use expr::error::{Warning, WarningLevel};
use expr::eval::EvalContext;
use expr::value::{Row, Value};
use expr::{ErrorCode, SqlError};
use futures::TryStreamExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};

/// The definition of a table changed between binding and running.
const TABLE_CHANGED: ErrorCode = ErrorCode(1412);

/// How one run of a statement ended without an answer.
pub(super) enum Failure {
    Statement(SqlError),
    Commit(CommitFailure),
}

impl From<Failure> for SqlError {
    fn from(failure: Failure) -> SqlError {
        match failure {
            Failure::Statement(error) => error,
            Failure::Commit(reason) => reason.into_sql_error(),
        }
    }
}

impl From<SqlError> for Failure {
    fn from(error: SqlError) -> Failure {
        Failure::Statement(error)
    }
}

impl Session {
    pub(super) async fn run(&mut self, source: &Source, parameters: Arc<[Value]>) -> Result<StatementResult, SqlError> {
        let statement = &source.statement;
        // Values of a routine's variables are not those of `?`.
        let has_variables = self.frames.last().is_some_and(|frame| frame.scope.is_some());
        if statement.parameters != parameters.len() && !has_variables {
            return Err(SqlError::new(ErrorCode::WRONG_ARGUMENTS, "Incorrect arguments to EXECUTE"));
        }
        // SHOW WARNINGS shows those of the statement before it.
        if !keeps_warnings(&statement.kind) {
            self.counted = WarningCounts::of(&self.warnings);
            self.warnings.clear();
        }
        self.note_verb(&statement.kind);
        self.check_account(statement)?;
        self.check_branch(&statement.kind)?;
        self.check_session_locks().await?;
        self.wait_to_write(&statement.kind).await?;
        let mut runs = 1;
        loop {
            // What a statement read from a file is gone, too.
            let explicit = self.in_transaction() || !self.autocommit() || reads_file(statement);
            let failure = match self.run_once(source, parameters.clone()).await {
                Ok(result) => return Ok(result),
                Err(failure) => failure,
            };
            match failure {
                Failure::Commit(reason) if may_run_again(&reason, explicit, false, runs) => {}
                Failure::Statement(error)
                    if error.code == TABLE_CHANGED
                        && !reads_file(statement)
                        && (!explicit
                            || matches!(statement.kind, Kind::Insert(_) | Kind::Update(_) | Kind::Delete(_)))
                        && runs < crate::txn::retry::RUNS_MAX => {}
                failure => return Err(failure.into()),
            }
            runs += 1;
            self.warnings.clear();
        }
    }

    /// 1226 for an account that has used up what it has; 1820 for one whose password has expired.
    fn check_account(&mut self, statement: &ast::Statement) -> Result<(), SqlError> {
        use crate::sql::plan::account::AccountStatement;
        let accounts = &self.engine.services.catalog.newest().accounts;
        let Some(account) = self.identity.look_up(accounts, &self.engine).2 else { return Ok(()) };
        let changes = matches!(
            statement.kind,
            Kind::Insert(_) | Kind::Update(_) | Kind::Delete(_) | Kind::CreateTable(_) | Kind::AlterTable { .. }
        );
        let now_us = self.engine.clock.wall_us();
        self.engine.usage.statement(&account.name, account.limits, changes, now_us)?;
        if !self.password_expired {
            return Ok(());
        }
        let own_password = match &statement.kind {
            Kind::Account(statement) => {
                matches!(&**statement, AccountStatement::AlterUsers { .. } | AccountStatement::SetPassword { .. })
            }
            Kind::Set(_) | Kind::Show(ast::Show::Warnings { .. }) => true,
            _ => false,
        };
        if !own_password {
            let text = "You must reset your password using ALTER USER statement before executing this statement.";
            return Err(SqlError::new(ErrorCode(1820), text));
        }
        Ok(())
    }

    async fn run_once(&mut self, source: &Source, parameters: Arc<[Value]>) -> Result<StatementResult, Failure> {
        let (catalog, begun_at) = match source.statement.kind {
            // These name no tables; they also work while the log cannot be reached.
            Kind::Set(_)
            | Kind::SetTransaction { .. }
            | Kind::Commit { .. }
            | Kind::Rollback { .. }
            | Kind::Savepoint(_)
            | Kind::RollbackTo(_)
            | Kind::ReleaseSavepoint(_)
            | Kind::UnlockTables
            | Kind::Kill { .. } => (self.engine.services.catalog.newest(), None),
            _ => self.newest_catalog().await?,
        };
        let plan = self.plan(source, &catalog, &parameters)?;
        self.check_table_locks(&plan)?;
        self.check_nested(&plan)?;
        self.open_file(&source.statement)?;
        let context = self.eval_context(parameters);
        match plan {
            Plan::Query(query) => {
                self.check_branch_reads(&query)?;
                Ok(self.select(query, catalog, context, begun_at).await?)
            }
            Plan::Change(change) => Ok(StatementResult::Done(self.change(&change, catalog, context).await?)),
            Plan::Other(other) => match *other {
                Statement::Ddl(ddl) => {
                    if !ddl.keeps_transaction() {
                        self.commit().await?;
                    }
                    Ok(StatementResult::Done(self.define(&ddl, catalog, context).await?))
                }
                other => Ok(self.control(other, catalog, context).await?),
            },
        }
    }

    /// INSERT, UPDATE, DELETE.
    async fn change(
        &mut self,
        statement: &Statement,
        catalog: Arc<Catalog>,
        context: EvalContext,
    ) -> Result<Done, Failure> {
        let actor = Actor { rights: self.rights(&catalog), policies: Policies::default() };
        let effects = context.effects.clone();
        let runner = (catalog.bodies > 0).then(|| {
            let (calls, used) = change_calls_functions(statement);
            self.runner(&catalog, used, calls)
        });
        let run = async |context: &mut StatementContext<'_>| write::execute(statement, context).await;
        let outcome = self.with_context(catalog, context, actor, runner, run).await;
        let mut done = match outcome {
            Ok(done) => done,
            Err(error) => {
                let error =
                    self.shown::<Done>(Err(error)).await.err().unwrap_or_else(crate::txn::service_error::deadlock);
                if write::ends_transaction(&error) || !self.in_transaction() {
                    self.roll_back().await;
                }
                return Err(error.into());
            }
        };
        if done.last_insert_id == 0 {
            // LAST_INSERT_ID(expression)
            let said = *effects.last_insert_id.lock().unwrap_or_else(PoisonError::into_inner);
            done.last_insert_id = said.unwrap_or(0);
        }
        let done = if self.in_transaction() { self.shown(Ok(done)).await? } else { done };
        self.commit_if_alone().await?;
        self.row_count = done.affected_rows as i64;
        if done.last_insert_id != 0 {
            self.last_insert_id = done.last_insert_id;
        }
        Ok(done)
    }

    async fn define(&mut self, statement: &Ddl, catalog: Arc<Catalog>, context: EvalContext) -> Result<Done, Failure> {
        let actor = self.actor(&catalog);
        let run = async |context: &mut StatementContext<'_>| ddl::execute(statement, context).await;
        let runner = match statement {
            Ddl::CreateTable(create) if catalog.bodies > 0 => create.source.as_ref().and_then(|source| {
                let (calls, used) = calls_functions(source);
                calls.then(|| self.runner(&catalog, used, true))
            }),
            _ => None,
        };
        let outcome = self.with_context(catalog, context, actor, runner, run).await;
        let done = match outcome {
            Ok(done) => done,
            Err(error) => {
                if !self.in_transaction() || write::ends_transaction(&error) {
                    self.roll_back().await;
                }
                return Err(error.into());
            }
        };
        if statement.keeps_transaction() && self.in_transaction() {
            self.row_count = done.affected_rows as i64;
            return Ok(done);
        }
        let lsn = self.try_commit().await.map_err(Failure::Commit)?;
        if let Some(lsn) = lsn {
            self.engine.services.catalog.snapshot_at_least(lsn).await?;
        }
        if self.password_expired {
            let accounts = &self.engine.services.catalog.newest().accounts;
            self.password_expired = accounts.get(&self.identity.login.account).is_some_and(|account| account.expired);
        }
        // The current database may be gone.
        if let Some(name) = &self.database
            && !crate::catalog::virtual_tables::is_virtual_database(name)
            && self.engine.services.catalog.newest().database(name).is_none()
        {
            self.database = None;
            self.handle.set_database(None);
        }
        self.row_count = done.affected_rows as i64;
        Ok(done)
    }

    /// Runs something that writes in this session's transaction.
    async fn with_context<F>(
        &mut self,
        catalog: Arc<Catalog>,
        eval: EvalContext,
        actor: Actor,
        runner: Option<Arc<Runner>>,
        run: F,
    ) -> Result<Done, SqlError>
    where
        F: AsyncFnOnce(&mut StatementContext<'_>) -> Result<Done, SqlError>,
    {
        let effects = eval.effects.clone();
        let settings = self.settings();
        let queries = self.query_settings(Arc::default(), runner.clone());
        let binder = self.definition_binder(catalog.clone());
        let services = self.engine.services.clone();
        let input = self.input.take();
        let own_tables = self.own_tables();
        let temporary = self.temporary.clone();
        let mut context = StatementContext {
            services: &services,
            transaction: self.transaction(),
            catalog,
            eval,
            settings,
            queries,
            binder,
            actor,
            temporary,
            own_tables,
            input,
            routines: runner.map(|runner| runner as Arc<dyn Routines>),
        };
        let outcome = run(&mut context).await;
        self.keep(&effects);
        outcome
    }

    pub(super) fn query_settings(&self, found_rows: Arc<AtomicU64>, runner: Option<Arc<Runner>>) -> QuerySettings {
        QuerySettings {
            virtual_tables: self.virtual_context(),
            memory: self.engine.query_memory.clone(),
            cancel: self.handle.cancel.clone(),
            recursion_depth_max: self.variables.effective().cte_max_recursion_depth,
            found_rows,
            waiting: match runner {
                Some(runner) => runner,
                None => self.named_locks.clone(),
            },
            progress: self.handle.progress.clone(),
        }
    }

    /// SELECT and what else gives rows of a plan. `begun_at`: see [`snapshot::plain_view`].
    pub(super) async fn select(
        &mut self,
        mut query: Arc<Query>,
        catalog: Arc<Catalog>,
        context: EvalContext,
        begun_at: Option<Lsn>,
    ) -> Result<StatementResult, Failure> {
        // A reading statement that is a transaction by itself is serializable as it is.
        let transaction = self.transaction();
        if transaction.isolation() == Isolation::Serializable && transaction.is_explicit() {
            crate::sql::plan::walk::lock_query(Arc::make_mut(&mut query), ScanLock::SHARED);
        }
        let found_rows = Arc::new(AtomicU64::new(0));
        let fields = query.fields.clone();
        let into = query.into_variables.clone();
        let calc_found_rows = query.calc_found_rows;
        let effects = context.effects.clone();
        let (runner, lends) = match catalog.bodies {
            0 => (None, false),
            _ => {
                let (calls, used) = calls_functions(&query);
                (calls.then(|| self.runner(&catalog, used, true)), calls)
            }
        };
        let settings = self.query_settings(found_rows.clone(), runner.clone());
        let query_context = self.query_context(&query, catalog, context, settings, begun_at).await?;
        let rows = choose::run(query, query_context, self.variables.effective().executor);
        let mut lent = None;
        if let (Some(runner), true) = (runner, lends)
            && let Some(transaction) = self.transaction.take()
        {
            let is_explicit = transaction.is_explicit();
            runner.lend(transaction);
            lent = Some(Lent { runner, is_explicit });
        }
        if into.is_empty() {
            self.sending = Some(Sending { effects, found_rows, calc_found_rows, lent });
            return Ok(StatementResult::Rows(ResultSet { fields, rows, is_out_parameters: false }));
        }
        let collected: Result<Vec<Vec<Row>>, SqlError> = rows.try_collect().await;
        if let Some(lent) = lent {
            self.transaction = lent.runner.take_back();
        }
        let done = match collected {
            Ok(batches) => self.assign_row(batches, &into, &effects),
            Err(error) => Err(error),
        };
        self.keep(&effects);
        if done.is_err() && !self.in_transaction() {
            self.roll_back().await;
        }
        let count = done?;
        self.commit_if_alone().await?;
        self.found_rows = count;
        self.row_count = count as i64;
        Ok(StatementResult::Done(Done { affected_rows: count, ..Done::default() }))
    }

    pub(super) async fn query_context(
        &mut self,
        query: &Query,
        catalog: Arc<Catalog>,
        eval: EvalContext,
        settings: QuerySettings,
        begun_at: Option<Lsn>,
    ) -> Result<QueryContext, SqlError> {
        let remote = self.engine.services.remote.clone();
        let wait = self.settings().lock_wait_timeout;
        let locks = query.root.locks() || query.subqueries.iter().any(|subquery| subquery.query.root.locks());
        let mut locks_exclusively = false;
        walk::visit_scans(&query.root, &mut |scan| {
            locks_exclusively |= scan.lock.is_some_and(|lock| lock.mode == LockMode::Exclusive);
        });
        let own = self.own_tables();
        let transaction = self.transaction();
        if locks_exclusively && transaction.is_read_only() {
            let text = "Cannot execute statement in a READ ONLY transaction.";
            return Err(SqlError::new(ErrorCode::CANT_EXECUTE_IN_READ_ONLY_TRANSACTION, text));
        }
        let view = snapshot::plain_view(transaction, &remote, begun_at).await?;
        // A table that was made anew since the snapshot has its rows under another id: MySQL refuses the old snapshot too.
        let mut remade = false;
        let too_new = |scan: &Scan| scan.lock.is_none() && scan.table.version > view.lsn;
        walk::visit_scans(&query.root, &mut |scan| remade |= too_new(scan));
        for subquery in &query.subqueries {
            walk::visit_scans(&subquery.query.root, &mut |scan| remade |= too_new(scan));
        }
        if remade {
            return Err(SqlError::new(TABLE_CHANGED, "Table definition has changed, please retry transaction"));
        }
        let locker = locks.then(|| {
            let locks_ranges = transaction.locks_ranges();
            let locker = crate::txn::Locker {
                remote: remote.clone(),
                txn: transaction.id(),
                wait: common::service::wal::LockWait::Timeout(wait),
                locks: transaction.locks(),
                own,
                interrupt: settings.cancel.interrupt(),
            };
            Arc::new(ScanLocker { locker, view: view.clone(), locks_ranges, shows: true }) as Arc<dyn RowLocker>
        });
        Ok(QueryContext {
            view,
            eval,
            catalog,
            virtual_tables: settings.virtual_tables,
            locker,
            memory: settings.memory,
            cancel: settings.cancel,
            recursion_depth_max: settings.recursion_depth_max,
            found_rows: settings.found_rows,
            waiting: settings.waiting,
            profile: None,
        })
    }

    /// The protocol has sent the last row, or given up with an error.
    ///
    /// An error where the transaction of a query that changed something by its functions cannot be committed.
    pub async fn rows_ended(&mut self, rows: u64, error: Option<&SqlError>) -> Result<(), SqlError> {
        self.note_sent(rows);
        let closed = self.close_rows(rows, error).await;
        if !self.is_calling() {
            match error.or(closed.as_ref().err()) {
                Some(error) => self.ended(Err(error)).await,
                None => self.ended(Ok(0)).await,
            }
        }
        closed
    }

    /// The last row was taken, by the client or within the statement.
    pub(super) async fn close_rows(&mut self, rows: u64, error: Option<&SqlError>) -> Result<(), SqlError> {
        if let Some(error) = error {
            self.rows_failed(error);
        }
        let Some(sending) = self.sending.take() else { return Ok(()) };
        if let Some(lent) = sending.lent {
            self.transaction = lent.runner.take_back();
        }
        self.keep(&sending.effects);
        match error {
            Some(error) => {
                if self.frames.is_empty() {
                    self.note_error(error);
                }
                if write::ends_transaction(error) || !self.in_transaction() {
                    self.roll_back().await;
                }
            }
            None => {
                self.row_count = -1;
                self.found_rows =
                    if sending.calc_found_rows { sending.found_rows.load(Ordering::Relaxed) } else { rows };
                // A reading transaction has nothing to commit, only locks to give back.
                if !self.in_transaction() {
                    match self.transaction.as_ref().is_some_and(|transaction| transaction.has_writes()) {
                        true => self.commit().await?,
                        false => self.roll_back().await,
                    }
                }
            }
        }
        Ok(())
    }

    /// Commits a statement that is a transaction by itself.
    async fn commit_if_alone(&mut self) -> Result<(), Failure> {
        if self.in_transaction() {
            return Ok(());
        }
        self.try_commit().await.map(|_| ()).map_err(Failure::Commit)
    }

    /// Takes over what a statement left behind.
    pub(super) fn keep(&mut self, effects: &expr::eval::Effects) {
        let taken = |warnings: &mut Vec<Warning>| std::mem::take(warnings);
        self.warnings.extend(taken(&mut effects.warnings.lock().unwrap_or_else(PoisonError::into_inner)));
        if let Some(id) = *effects.last_insert_id.lock().unwrap_or_else(PoisonError::into_inner) {
            self.last_insert_id = id;
        }
    }

    /// Closes a statement, unless rows of it are to be sent.
    pub(super) async fn conclude(
        &mut self,
        outcome: Result<StatementResult, SqlError>,
    ) -> Result<StatementResult, SqlError> {
        match &outcome {
            Ok(StatementResult::Rows(_)) => {}
            Ok(StatementResult::Done(done)) if !self.is_calling() => self.ended(Ok(done.affected_rows)).await,
            Ok(_) => {}
            Err(error) => self.ended(Err(error)).await,
        }
        if let Err(error) = &outcome {
            self.row_count = -1;
            self.note_error(error);
            if write::ends_transaction(error) || (!self.in_transaction() && self.sending.is_none()) {
                self.roll_back().await;
            }
        }
        outcome
    }

    /// An error is the last line of SHOW WARNINGS.
    fn note_error(&mut self, error: &SqlError) {
        let (code, message, state) = (error.code, error.message.clone(), error.state);
        self.warnings.push(Warning { level: WarningLevel::Error, code, message, state });
    }

    /// 1422, 1336: what a statement within another may not do, wherever its text comes from.
    fn check_nested(&self, plan: &Plan) -> Result<(), SqlError> {
        if self.nested.is_none() {
            return Ok(());
        }
        match plan {
            Plan::Query(_) => Ok(()),
            Plan::Change(change) => self.check_used(change),
            Plan::Other(other) => match &**other {
                Statement::Ddl(ddl) if ddl.keeps_transaction() => Ok(()),
                Statement::Ddl(_) | Statement::Begin { .. } | Statement::Commit { .. } | Statement::Rollback { .. } => {
                    let text = "Explicit or implicit commit is not allowed in stored function or trigger.";
                    Err(SqlError::new(ErrorCode(1422), text))
                }
                Statement::Prepare { .. } | Statement::ExecutePrepared { .. } | Statement::Deallocate(_) => {
                    let text = "Dynamic SQL is not allowed in stored function or trigger";
                    Err(SqlError::new(ErrorCode(1336), text))
                }
                _ => Ok(()),
            },
        }
    }

    /// SELECT ... INTO @a, b: one row at most; none leaves the variables as they are, with warning 1329.
    fn assign_row(
        &mut self,
        batches: Vec<Vec<Row>>,
        targets: &[IntoTarget],
        effects: &expr::eval::Effects,
    ) -> Result<u64, SqlError> {
        let mut rows = batches.into_iter().flatten();
        let Some(row) = rows.next() else {
            let message = "No data - zero rows fetched, selected, or processed";
            let warning = Warning::new(WarningLevel::Warning, ErrorCode(1329), message);
            effects.warnings.lock().unwrap_or_else(PoisonError::into_inner).push(warning);
            return Ok(0);
        };
        if rows.next().is_some() {
            return Err(SqlError::new(ErrorCode::TOO_MANY_ROWS, "Result consisted of more than one row"));
        }
        if row.len() != targets.len() {
            let text = "The used SELECT statements have a different number of columns";
            return Err(SqlError::new(ErrorCode::WRONG_NUMBER_OF_COLUMNS_IN_SELECT, text));
        }
        for (target, value) in targets.iter().zip(row) {
            self.assign_into(target, value)?;
        }
        Ok(1)
    }
}

/// Of the statement before: `@@warning_count` and `@@error_count`.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct WarningCounts {
    pub(super) all: usize,
    pub(super) errors: usize,
}

impl WarningCounts {
    fn of(warnings: &[Warning]) -> WarningCounts {
        let errors = warnings.iter().filter(|warning| warning.level == WarningLevel::Error).count();
        WarningCounts { all: warnings.len(), errors }
    }
}

/// SHOW WARNINGS and GET DIAGNOSTICS tell of the statement before them, RESIGNAL adds to what it left.
fn keeps_warnings(kind: &Kind) -> bool {
    match kind {
        Kind::Show(ast::Show::Warnings { .. }) | Kind::GetDiagnostics(_) => true,
        Kind::Signal(signal) => signal.resignal,
        _ => false,
    }
}
