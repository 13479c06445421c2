//! Functions and triggers: bodies that run inside of a statement, in sessions within its session.
//!
//! The statement lends its transaction to the nested session for as long as the body runs. What the body does is a part
//! of the statement: it is not committed by itself, and undone where the statement fails.

use super::frame::{Frame, Owner};
use super::program::Programs;
use crate::account::RoutineKind;
use crate::catalog::{Catalog, RoutineDef, TableDef, TriggerDef};
use crate::execute::routines::{Routines, RowPair};
use crate::execute::row::waiting::WaitingFunctions;
use crate::execute::row::walk;
use crate::execute::temporary::TemporaryTables;
use crate::session::Session;
use crate::session::engine::{Engine, SessionHandle, Wire};
use crate::session::identity::Identity;
use crate::session::named_locks::NamedLocks;
use crate::session::result::StatementResult;
use crate::session::variables::Values;
use crate::sql::plan::{InsertSource, Query, Statement};
use crate::txn::{OwnTables, Transaction};
use async_trait::async_trait;
use common::id::TableId;
use expr::eval::UserVariables;
use expr::function::misc::STORED_FUNCTION;
use expr::function::numeric::random::SessionSequence;
use expr::store::store;
use expr::value::Value;
use expr::{ErrorCode, Expression, SqlError};
use std::sync::Arc;

/// What a nested session knows of the statements around it.
pub struct Nested {
    /// Functions and triggers that run.
    pub active: Vec<Owner>,
    /// Tables that statements around it use: they may be read, and not written.
    pub used: Vec<TableId>,
    /// What LOCK TABLES holds for the session that they are all in.
    pub own_tables: Arc<OwnTables>,
}

/// What nested sessions take from the session that they are in.
struct Seed {
    engine: Arc<Engine>,
    handle: Arc<SessionHandle>,
    identity: Arc<Identity>,
    database: Option<Arc<str>>,
    variables: Arc<Values>,
    user_variables: UserVariables,
    random: SessionSequence,
    named_locks: Arc<NamedLocks>,
    temporary: Arc<TemporaryTables>,
    wire: Arc<Wire>,
    programs: Arc<Programs>,
    last_insert_id: u64,
    client_found_rows: bool,
}

/// Of one statement: runs the functions that it calls and the triggers that it fires.
pub struct Runner {
    seed: Seed,
    catalog: Arc<Catalog>,
    outside: Arc<Nested>,
    calls_functions: bool,
    lent: parking_lot::Mutex<Option<Transaction>>,
    inner: tokio::sync::Mutex<Option<Box<Session>>>,
}

impl Session {
    /// For a statement that may call functions or fire triggers.
    pub(in crate::session) fn runner(
        &self,
        catalog: &Arc<Catalog>,
        used: Vec<TableId>,
        calls_functions: bool,
    ) -> Arc<Runner> {
        let (mut active, mut all_used) = (Vec::new(), used);
        if let Some(nested) = &self.nested {
            active.clone_from(&nested.active);
            all_used.extend(&nested.used);
        }
        // Procedures that run around the statement count for recursion.
        active.extend(self.frames.iter().map(|frame| frame.program.owner.clone()));
        Arc::new(Runner {
            seed: Seed {
                engine: self.engine.clone(),
                handle: self.handle.clone(),
                identity: self.identity.clone(),
                database: self.database.clone(),
                variables: self.variables.clone(),
                user_variables: self.user_variables.clone(),
                random: self.random.clone(),
                named_locks: self.named_locks.clone(),
                temporary: self.temporary.clone(),
                wire: self.wire.clone(),
                programs: self.programs.clone(),
                last_insert_id: self.last_insert_id,
                client_found_rows: self.client_found_rows,
            },
            catalog: catalog.clone(),
            outside: Arc::new(Nested { active, used: all_used, own_tables: self.own_tables() }),
            calls_functions,
            lent: parking_lot::Mutex::new(None),
            inner: tokio::sync::Mutex::new(None),
        })
    }

    /// 1442 for a table that a statement around this one uses.
    pub(in crate::session) fn check_used(&self, statement: &Statement) -> Result<(), SqlError> {
        let Some(nested) = &self.nested else { return Ok(()) };
        for table in targets(statement) {
            if nested.used.contains(&table.id) {
                let text = format!(
                    "Can't update table '{}' in stored function/trigger because it is already used by statement which \
                     invoked this stored function/trigger.",
                    table.name
                );
                return Err(SqlError::new(ErrorCode(1442), text));
            }
        }
        Ok(())
    }

    /// Runs a body to its end. Gives its variables.
    async fn run_nested(&mut self, frame: Frame, what: &'static str) -> Result<Arc<[Value]>, SqlError> {
        self.frames.push(frame);
        match self.proceed().await {
            Ok(StatementResult::Done(_)) => Ok(self.calls.finished.take().unwrap_or_else(|| Arc::from([]))),
            Ok(_) => {
                self.leave_all().await;
                Err(SqlError::new(ErrorCode(1415), format!("Not allowed to return a result set from a {what}")))
            }
            Err(error) => Err(error),
        }
    }

    async fn call_function(&mut self, routine: &Arc<RoutineDef>, arguments: Vec<Value>) -> Result<Value, SqlError> {
        let program = self.programs.of_routine(routine)?;
        let context = self.store_context();
        let mut values = vec![Value::Null; program.types.len()];
        for (slot, (parameter, argument)) in routine.parameters.iter().zip(arguments).enumerate() {
            values[slot] = store(argument, &parameter.name, 1, &parameter.ty, &context)?;
        }
        let body = &routine.body;
        let saved = self.enter(&routine.database, body.sql_mode, &body.definer, routine.invoker)?;
        self.calls.returned = None;
        self.run_nested(Frame::new(program, values, saved, Vec::new()), "function").await?;
        Ok(self.calls.returned.take().unwrap_or_default())
    }

    async fn run_trigger(
        &mut self,
        trigger: &Arc<TriggerDef>,
        table: &Arc<TableDef>,
        rows: RowPair,
    ) -> Result<RowPair, SqlError> {
        let program = self.programs.of_trigger(trigger, table)?;
        let (start, columns) = (program.rows_at(), table.columns.len());
        let mut values = vec![Value::Null; program.types.len()];
        for (row, at) in [(&rows.old, start), (&rows.new, start + columns)] {
            for (place, value) in values[at..].iter_mut().zip(row.iter().flatten()) {
                *place = value.clone();
            }
        }
        let body = &trigger.body;
        let saved = self.enter(&trigger.database, body.sql_mode, &body.definer, false)?;
        let values = self.run_nested(Frame::new(program, values, saved, Vec::new()), "trigger").await?;
        let new = rows.new.map(|_| values.iter().skip(start + columns).take(columns).cloned().collect());
        Ok(RowPair { old: rows.old, new })
    }
}

impl Runner {
    fn session(&self, kept: &mut Option<Box<Session>>, owner: Owner) -> Result<Box<Session>, SqlError> {
        let is_same = |other: &Owner| match (&owner, other) {
            (Owner::Function(routine), other) => other.is_routine(routine),
            (Owner::Trigger(trigger), Owner::Trigger(other)) => {
                trigger.database == other.database && trigger.name == other.name
            }
            _ => false,
        };
        if self.outside.active.iter().any(is_same) {
            return Err(SqlError::new(ErrorCode(1424), "Recursive stored functions and triggers are not allowed."));
        }
        let mut active = self.outside.active.clone();
        active.push(owner);
        let Nested { used, own_tables, .. } = &*self.outside;
        let nested = Arc::new(Nested { active, used: used.clone(), own_tables: own_tables.clone() });
        if let Some(mut session) = kept.take() {
            session.nested = Some(nested);
            session.warnings.clear();
            return Ok(session);
        }
        let Seed {
            engine,
            handle,
            identity,
            database,
            variables,
            user_variables,
            random,
            named_locks,
            temporary,
            wire,
            programs,
            last_insert_id,
            client_found_rows,
        } = &self.seed;
        let mut session = Session::within(engine.clone(), handle.clone(), identity.clone(), named_locks.clone());
        session.database.clone_from(database);
        session.variables = variables.clone();
        session.user_variables = user_variables.clone();
        session.random = random.clone();
        session.temporary = temporary.clone();
        session.wire = wire.clone();
        session.programs = programs.clone();
        session.last_insert_id = *last_insert_id;
        session.client_found_rows = *client_found_rows;
        session.nested = Some(nested);
        Ok(Box::new(session))
    }

    async fn function(&self, mut arguments: Vec<Value>) -> Result<Value, SqlError> {
        let rest = arguments.split_off(arguments.len().min(2));
        let names: Vec<String> = arguments.iter().map(|name| name.to_text().into_owned()).collect();
        let [database, name] = names.as_slice() else {
            return Err(SqlError::internal("a call of a function without a name; report it"));
        };
        let Some(routine) = self.catalog.routine(RoutineKind::Function, database, name).cloned() else {
            let text = format!("FUNCTION {database}.{name} does not exist");
            return Err(SqlError::new(ErrorCode::SP_DOES_NOT_EXIST, text));
        };
        let mut kept = self.inner.lock().await;
        // A call that was given up in the middle has left its frames.
        if let Some(session) = kept.as_mut() {
            session.leave_all().await;
        }
        let session = self.session(&mut kept, Owner::Function(routine.clone()))?;
        // Kept where it is while the body runs: what was lent is found there, whatever happens to this future.
        let session = kept.insert(session);
        if let Some(transaction) = self.lent.lock().take() {
            session.transaction = Some(transaction);
        }
        let lent = session.transaction.is_some();
        let mark = session.transaction.as_mut().map(|transaction| transaction.mark());
        let outcome = session.call_function(&routine, rest).await;
        if !lent && let Some(own) = session.transaction.take() {
            // EXPLAIN ANALYZE: there is no transaction to work in.
            crate::txn::roll_back(own, &self.seed.engine.services.remote).await;
        }
        if let (Err(_), Some(mark), Some(transaction)) = (&outcome, mark, session.transaction.as_mut()) {
            transaction.undo_to(mark);
        }
        outcome
    }
}

#[async_trait]
impl WaitingFunctions for Runner {
    async fn call(&self, function: &str, arguments: Vec<Value>) -> Result<Value, SqlError> {
        match function == STORED_FUNCTION.name {
            true => self.function(arguments).await,
            false => self.seed.named_locks.call(function, arguments).await,
        }
    }
}

#[async_trait]
impl Routines for Runner {
    async fn fire(
        &self,
        trigger: &Arc<TriggerDef>,
        table: &Arc<TableDef>,
        rows: RowPair,
        transaction: &mut Transaction,
    ) -> Result<RowPair, SqlError> {
        let mut kept = self.inner.lock().await;
        if let Some(session) = kept.as_mut() {
            session.leave_all().await;
        }
        let session = self.session(&mut kept, Owner::Trigger(trigger.clone()))?;
        let session = kept.insert(session);
        let stand_in = Transaction::new(transaction.id(), transaction.isolation(), false, false);
        session.transaction = Some(std::mem::replace(transaction, stand_in));
        let outcome = session.run_trigger(trigger, table, rows).await;
        if let Some(lent) = session.transaction.take() {
            *transaction = lent;
        }
        outcome
    }

    fn calls_functions(&self) -> bool {
        self.calls_functions
    }

    fn lend(&self, transaction: Transaction) {
        *self.lent.lock() = Some(transaction);
    }

    fn take_back(&self) -> Option<Transaction> {
        if let Some(transaction) = self.lent.lock().take() {
            return Some(transaction);
        }
        // Nobody else waits for it: the calls have ended, or were given up.
        self.inner.try_lock().ok()?.as_mut()?.transaction.take()
    }
}

/// Tables that a statement writes to.
pub fn targets(statement: &Statement) -> Vec<&Arc<TableDef>> {
    match statement {
        Statement::Insert(insert) => vec![&insert.table],
        Statement::Update(update) => update.targets.iter().map(|target| &target.table).collect(),
        Statement::Delete(delete) => delete.targets.iter().map(|target| &target.table).collect(),
        _ => Vec::new(),
    }
}

/// Whether a query calls stored functions, in its subqueries too; and the tables that it reads.
pub fn calls_functions(query: &Query) -> (bool, Vec<TableId>) {
    let mut found = Found::default();
    found.query(query);
    (found.calls, found.tables)
}

/// The same of a statement that changes rows.
pub fn change_calls_functions(statement: &Statement) -> (bool, Vec<TableId>) {
    let mut found = Found::default();
    match statement {
        Statement::Insert(insert) => {
            match &insert.source {
                InsertSource::Values(rows) => {
                    rows.iter().flatten().flatten().for_each(|expression| found.expression(expression));
                }
                InsertSource::Query(query) => found.query(query),
                InsertSource::File(file) => {
                    file.assignments.iter().filter_map(|(_, value)| value.as_ref()).for_each(|it| found.expression(it));
                }
            }
            insert.on_duplicate.iter().for_each(|(_, value)| found.expression(value));
            insert.subqueries.iter().for_each(|subquery| found.query(&subquery.query));
        }
        Statement::Update(update) => {
            found.node(&update.input);
            let values = update.targets.iter().flat_map(|target| &target.assignments);
            values.filter_map(|(_, value)| value.as_ref()).for_each(|value| found.expression(value));
            update.subqueries.iter().for_each(|subquery| found.query(&subquery.query));
        }
        Statement::Delete(delete) => {
            found.node(&delete.input);
            delete.subqueries.iter().for_each(|subquery| found.query(&subquery.query));
        }
        _ => {}
    }
    found.tables.extend(targets(statement).iter().map(|table| table.id));
    (found.calls, found.tables)
}

#[derive(Default)]
struct Found {
    calls: bool,
    tables: Vec<TableId>,
}

impl Found {
    fn query(&mut self, query: &Query) {
        self.node(&query.root);
        query.subqueries.iter().for_each(|subquery| self.query(&subquery.query));
    }

    fn node(&mut self, node: &crate::sql::plan::Node) {
        walk::visit_scans(node, &mut |scan| self.tables.push(scan.table.id));
        let mut inner: Vec<&Query> = Vec::new();
        let mut calls = false;
        walk::visit_node(node, 0, &mut |expression, _| calls |= is_call(expression), &mut |query, _| inner.push(query));
        self.calls |= calls;
        for query in inner {
            query.subqueries.iter().for_each(|subquery| self.query(&subquery.query));
        }
    }

    fn expression(&mut self, expression: &Expression) {
        self.calls |= is_call(expression);
    }
}

fn is_call(expression: &Expression) -> bool {
    let mut found = false;
    walk::visit_expression(expression, &mut |part| {
        found |= matches!(part, Expression::Call { function, .. } if function.name == STORED_FUNCTION.name);
    });
    found
}
