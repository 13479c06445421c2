//! Statements about the session, its transaction, and the server.

use super::Session;
use super::result::{Done, StatementResult};
use super::source::Source;
use crate::account::Privileges;
use crate::catalog::Catalog;
use crate::sql::plan::{Isolation, Query, SetItem, Statement};
use expr::eval::{EvalContext, eval};
use expr::value::{Row, Value};
use expr::{ErrorCode, SqlError};
use futures::TryStreamExt;
use std::sync::{Arc, PoisonError};

impl Session {
    /// The value of a query of one row and column.
    async fn value_of(
        &mut self,
        query: Arc<Query>,
        catalog: Arc<Catalog>,
        context: EvalContext,
    ) -> Result<Value, SqlError> {
        match self.select(query, catalog, context, None).await {
            Ok(StatementResult::Rows(rows)) => {
                let outcome: Result<Vec<Vec<Row>>, SqlError> = rows.rows.try_collect().await;
                let ended = self.close_rows(0, outcome.as_ref().err()).await;
                let row = outcome?.into_iter().flatten().next().unwrap_or_default();
                ended?;
                Ok(row.into_iter().next().unwrap_or(Value::Null))
            }
            Ok(_) => Ok(Value::Null),
            Err(failure) => Err(failure.into()),
        }
    }

    /// Runs it; SELECT, changes and definitions go other ways.
    pub(super) async fn control(
        &mut self,
        statement: Statement,
        catalog: Arc<Catalog>,
        context: EvalContext,
    ) -> Result<StatementResult, SqlError> {
        match statement {
            Statement::Set(mut items) => {
                for item in &mut items {
                    if let SetItem::Computed { query, item: inner } = item {
                        let ty = query.fields[0].ty.clone();
                        let query = Arc::new((**query).clone());
                        let value = self.value_of(query, catalog.clone(), context.clone()).await?;
                        let literal = expr::Expression::literal(value, ty);
                        let mut inner = (**inner).clone();
                        match &mut inner {
                            SetItem::User { value, .. } => *value = literal,
                            SetItem::System { value, .. } => *value = Some(literal),
                            _ => {}
                        }
                        *item = inner;
                    }
                }
                let outcome = self.set(&items, &context).await;
                self.keep(&context.effects);
                outcome?;
            }
            Statement::Show(crate::sql::plan::Show::Query(query)) => {
                return Ok(self.select(Arc::new(query), catalog, context, None).await?);
            }
            Statement::Show(show) => return self.show(&show, &catalog, &context).await,
            Statement::Use(name) => self.use_database(&name).await?,
            Statement::Begin { consistent_snapshot, read_only } => self.begin(consistent_snapshot, read_only).await?,
            Statement::Commit { chain, release } => {
                let characteristics = self.characteristics();
                self.commit().await?;
                self.after_end(chain, release, characteristics).await?;
            }
            Statement::Rollback { chain, release } => {
                let characteristics = self.characteristics();
                self.roll_back().await;
                self.after_end(chain, release, characteristics).await?;
            }
            Statement::Savepoint(name) => {
                let transaction = self.transaction();
                if transaction.is_explicit() {
                    transaction.savepoint(&name);
                } else {
                    self.roll_back().await;
                }
            }
            Statement::RollbackTo(name) => self.open_transaction(&name)?.rollback_to(&name)?,
            Statement::ReleaseSavepoint(name) => self.open_transaction(&name)?.release_savepoint(&name)?,
            Statement::Xa(statement) => return self.xa(statement).await,
            Statement::SetTransaction { isolation, read_only } => {
                if self.in_transaction() {
                    let text = "Transaction characteristics can't be changed while a transaction is in progress";
                    return Err(SqlError::new(ErrorCode(1568), text));
                }
                self.next_isolation = isolation.or(self.next_isolation);
                self.next_read_only = read_only.or(self.next_read_only);
            }
            Statement::LockTables(tables) => self.lock_tables(&tables, &catalog).await?,
            Statement::UnlockTables => {
                if self.table_locks.is_some() {
                    self.commit().await?;
                }
                self.unlock_tables().await;
            }
            Statement::Flush { tables } => {
                let rights = self.rights(&catalog);
                let flushes = ["FLUSH_PRIVILEGES", "FLUSH_TABLES", "FLUSH_STATUS", "FLUSH_USER_RESOURCES"];
                if !flushes.iter().any(|name| rights.has_dynamic(name)) {
                    rights.require_any(Privileges::RELOAD)?;
                }
                self.commit().await?;
                if tables {
                    let flushed = self.engine.services.remote.pages.flush().await;
                    flushed.map_err(crate::txn::service_error::page_error)?;
                }
            }
            Statement::Kill { query_only, connection } => {
                let id = eval(&connection, &[], &context)?.to_u64(&context)?;
                self.kill(id, query_only)?;
            }
            Statement::Prepare { name, source } => {
                let text = eval(&source, &[], &context)?;
                self.hide_variables();
                self.prepare_named(&name, text.to_text().into_owned()).await?;
            }
            Statement::ExecutePrepared { name, using } => {
                let text = self.named_text(&name)?;
                let source = Source::new(crate::sql::parse::parse(&text, self.sql_mode())?);
                let parameters = self.user_values(&using);
                self.hide_variables();
                let outcome = Box::pin(self.run(&source, parameters)).await;
                if let (Ok(StatementResult::Called), Some(frame)) = (&outcome, self.frames.last_mut()) {
                    frame.give_back_to(&using);
                }
                return outcome;
            }
            Statement::Deallocate(name) => self.deallocate(&name)?,
            Statement::SetRole(choice) => self.set_role(&choice, &catalog)?,
            Statement::Do(query) => {
                if let StatementResult::Rows(rows) = self.select(Arc::new(query), catalog, context, None).await? {
                    let outcome: Result<Vec<Vec<Row>>, SqlError> = rows.rows.try_collect().await;
                    let ended = self.close_rows(0, outcome.as_ref().err()).await;
                    outcome?;
                    ended?;
                }
            }
            Statement::Call { routine, arguments, targets } => {
                let row = match self.select(Arc::new(*arguments), catalog, context, None).await? {
                    StatementResult::Rows(rows) => {
                        let outcome: Result<Vec<Vec<Row>>, SqlError> = rows.rows.try_collect().await;
                        let ended = self.close_rows(1, outcome.as_ref().err()).await;
                        let rows = outcome?;
                        ended?;
                        rows.into_iter().flatten().next().unwrap_or_default()
                    }
                    _ => Row::new(),
                };
                self.enter_procedure(&routine, row, &targets).await?;
                return Ok(StatementResult::Called);
            }
            Statement::Signal { resignal, state, items } => self.signal(resignal, state, &items, &context)?,
            Statement::GetDiagnostics { stacked, number, items } => {
                self.get_diagnostics(stacked, number.as_ref(), &items, &context)?;
            }
            Statement::Maintenance { verb, tables } => return self.maintain(&verb, &tables, &catalog).await,
            Statement::Explain { statement, format, analyze } => {
                return self.explain(&statement, format, analyze, catalog, context).await;
            }
            Statement::Query(_)
            | Statement::Insert(_)
            | Statement::Update(_)
            | Statement::Delete(_)
            | Statement::Ddl(_) => return Err(SqlError::internal("a statement took the wrong way; report it")),
        }
        Ok(StatementResult::Done(Done::default()))
    }

    /// A text of its own sees no variables of the routine that runs it.
    fn hide_variables(&mut self) {
        if let Some(frame) = self.frames.last_mut() {
            frame.scope = None;
        }
    }

    fn user_values(&self, names: &[String]) -> Arc<[Value]> {
        let variables = self.user_variables.lock().unwrap_or_else(PoisonError::into_inner);
        names.iter().map(|name| variables.get(&name.to_lowercase()).cloned().unwrap_or_default()).collect()
    }

    /// Isolation and READ ONLY of the open transaction.
    fn characteristics(&self) -> Option<(Isolation, bool)> {
        self.transaction.as_ref().map(|transaction| (transaction.isolation(), transaction.is_read_only()))
    }

    /// AND CHAIN, which keeps the characteristics, and RELEASE.
    async fn after_end(
        &mut self,
        chain: bool,
        release: bool,
        characteristics: Option<(Isolation, bool)>,
    ) -> Result<(), SqlError> {
        if chain {
            self.next_isolation = characteristics.map(|(isolation, _)| isolation);
            self.begin(false, characteristics.map(|(_, read_only)| read_only)).await?;
        }
        if release {
            self.handle.killed.cancel();
        }
        Ok(())
    }

    fn open_transaction(&mut self, savepoint: &str) -> Result<&mut crate::txn::Transaction, SqlError> {
        let missing = || SqlError::new(ErrorCode::SP_DOES_NOT_EXIST, format!("SAVEPOINT {savepoint} does not exist"));
        self.transaction.as_mut().ok_or_else(missing)
    }

    /// ANALYZE, CHECK, OPTIMIZE, REPAIR: nothing to do here but to say whether the tables are there.
    async fn maintain(
        &mut self,
        verb: &str,
        tables: &[crate::sql::plan::ObjectName],
        catalog: &Catalog,
    ) -> Result<StatementResult, SqlError> {
        self.commit().await?;
        let mut rows = Vec::new();
        for name in tables {
            let known = catalog.table(&name.database, &name.name).is_some()
                || catalog.view(&name.database, &name.name).is_some();
            let full = Value::text(format!("{}.{}", name.database, name.name));
            let line =
                |kind: &str, text: String| vec![full.clone(), Value::text(verb), Value::text(kind), Value::text(text)];
            if known {
                rows.push(line("status", "OK".to_string()));
            } else {
                rows.push(line("Error", format!("Table '{}.{}' doesn't exist", name.database, name.name)));
                rows.push(line("status", "Operation failed".to_string()));
            }
        }
        let names = ["Table", "Op", "Msg_type", "Msg_text"].map(str::to_string).to_vec();
        Ok(super::show::result(super::show::fields(&crate::sql::plan::Show::Empty(names)), rows))
    }
}
