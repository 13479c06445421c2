//! LOCK TABLES: whole tables held by the session until UNLOCK TABLES.
//!
//! READ holds the table's range shared: others read, nobody writes. WRITE holds it exclusively: others neither write nor
//! read with locks; their plain reads see what was committed before. The definition is held still in both.

use super::Session;
use super::named_locks::txn_of;
use super::source::Plan;
use crate::catalog::describe::quoted;
use crate::catalog::{Catalog, TableDef, storage};
use crate::execute::row::walk;
use crate::sql::parse;
use crate::sql::plan::{InsertSource, Node, ObjectName, Query, Scan, Statement, Subquery};
use crate::txn::OwnTables;
use crate::txn::service_error::{lock_error, with_backoff};
use common::id::{Lsn, TxnId};
use common::key::KeyRange;
use common::service::wal::{LockMode, LockRequest, LockWait, Tenure};
use expr::{ErrorCode, SqlError};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub struct TableLocks {
    owner: TxnId,
    /// `None` until they are granted.
    pub tenure: Option<Tenure>,
    /// Database and name; true for WRITE.
    tables: BTreeMap<(String, String), bool>,
    /// Those locked for writing.
    pub own: Arc<OwnTables>,
}

impl Session {
    /// LOCK TABLES, which commits and gives up earlier table locks.
    pub(super) async fn lock_tables(
        &mut self,
        wanted: &[(ObjectName, bool)],
        catalog: &Catalog,
    ) -> Result<(), SqlError> {
        self.commit().await?;
        self.unlock_tables().await;
        let mut tables = BTreeMap::new();
        let mut own = OwnTables::default();
        let mut keys = Vec::new();
        let mut ranges = Vec::new();
        let wanted = self.base_tables(wanted, catalog)?;
        for (name, write) in &wanted {
            let table = catalog.table(&name.database, &name.name).ok_or_else(|| {
                let text = format!("Table '{}.{}' doesn't exist", name.database, name.name);
                SqlError::new(ErrorCode::NO_SUCH_TABLE, text)
            })?;
            let write = *tables.entry((name.database.clone(), name.name.clone())).or_insert(*write) | *write;
            tables.insert((name.database.clone(), name.name.clone()), write);
            let key = storage::table_key(&name.database, &name.name);
            keys.push((key.clone(), LockMode::Shared));
            let mode = if write { LockMode::Exclusive } else { LockMode::Shared };
            ranges.push((KeyRange::index(table.id, table.clustered().id), mode));
            if write {
                own.tables.insert(table.id);
                own.names.insert(key);
            }
        }
        // In one order for all sessions.
        keys.sort_by(|left, right| left.0.cmp(&right.0));
        ranges.sort_by(|left, right| left.0.start.cmp(&right.0.start));
        let owner = txn_of(&self.engine.services.remote, self.handle.id);
        let wait = LockWait::Timeout(Duration::from_secs(self.variables.integer("lock_wait_timeout")));
        let request = LockRequest { txn: owner, keys, ranges, wait };
        let remote = self.engine.services.remote.clone();
        self.table_locks = Some(TableLocks { owner, tenure: None, tables, own: Arc::new(own) });
        let cancel = self.handle.cancel.clone();
        let granted = tokio::select! {
            biased;
            error = cancel.cancelled() => Err(error),
            granted = with_backoff(|| remote.wal.lock(request.clone())) => granted.map_err(lock_error),
        };
        match (granted, &mut self.table_locks) {
            (Ok(reply), Some(locks)) => {
                locks.tenure = Some(reply.tenure());
                Arc::make_mut(&mut locks.own).owner = Some((owner, reply.tenure()));
                Ok(())
            }
            (Ok(_), None) => Ok(()),
            (Err(error), _) => {
                self.unlock_tables().await;
                Err(error)
            }
        }
    }

    /// UNLOCK TABLES; also at START TRANSACTION and the end of the session.
    pub(super) async fn unlock_tables(&mut self) {
        let Some(locks) = self.table_locks.take() else { return };
        let remote = &self.engine.services.remote;
        if let Err(error) = with_backoff(|| remote.wal.unlock(locks.owner)).await {
            tracing::warn!(%error, "locks of LOCK TABLES could not be freed");
        }
    }

    /// Tables in the place of views: those that a view reads, for reading.
    fn base_tables(
        &self,
        wanted: &[(ObjectName, bool)],
        catalog: &Catalog,
    ) -> Result<Vec<(ObjectName, bool)>, SqlError> {
        let mut tables = Vec::new();
        for (name, write) in wanted {
            if catalog.view(&name.database, &name.name).is_none() || catalog.names_temporary(&name.database, &name.name)
            {
                tables.push((name.clone(), *write));
                continue;
            }
            let text = format!("SELECT * FROM {}.{}", quoted(&name.database), quoted(&name.name));
            let statement = parse::parse(&text, self.sql_mode())?;
            let bound = self.bind(&statement, catalog, &|_| expr::MysqlType::null())?;
            let Statement::Query(query) = bound.prepared.statement else { continue };
            let read = super::routine::calls_functions(&query).1;
            let read = read.iter().filter_map(|id| catalog.tables_by_id.get(id));
            let table = |table: &Arc<TableDef>| {
                (ObjectName { database: table.database.clone(), name: table.name.clone() }, false)
            };
            tables.extend(read.map(table));
        }
        Ok(tables)
    }

    /// What the session has locked for writing.
    pub(super) fn own_tables(&self) -> Arc<OwnTables> {
        if let Some(nested) = &self.nested {
            return nested.own_tables.clone();
        }
        self.table_locks.as_ref().map(|locks| locks.own.clone()).unwrap_or_default()
    }

    /// Under LOCK TABLES a session uses what it has locked, as it has locked it: errors 1100 and 1099.
    pub(super) fn check_table_locks(&self, plan: &Plan) -> Result<(), SqlError> {
        let Some(locks) = &self.table_locks else { return Ok(()) };
        let statement = match plan {
            Plan::Query(query) => return check_query(locks, query),
            Plan::Change(statement) => statement,
            Plan::Other(_) => return Ok(()),
        };
        match &**statement {
            Statement::Insert(insert) => {
                locks.check(&insert.table, true)?;
                if let InsertSource::Query(query) = &insert.source {
                    check_query(locks, query)?;
                }
                check_subqueries(locks, &insert.subqueries)
            }
            Statement::Update(update) => {
                for target in &update.targets {
                    locks.check(&target.table, true)?;
                }
                check_node(locks, &update.input)?;
                check_subqueries(locks, &update.subqueries)
            }
            Statement::Delete(delete) => {
                for target in &delete.targets {
                    locks.check(&target.table, true)?;
                }
                check_node(locks, &delete.input)?;
                check_subqueries(locks, &delete.subqueries)
            }
            _ => Ok(()),
        }
    }
}

impl TableLocks {
    fn check(&self, table: &TableDef, write: bool) -> Result<(), SqlError> {
        // Temporary tables are the session's own.
        if table.version == Lsn::ZERO {
            return Ok(());
        }
        match self.tables.get(&(table.database.clone(), table.name.clone())) {
            None => {
                let text = format!("Table '{}' was not locked with LOCK TABLES", table.name);
                Err(SqlError::new(ErrorCode(1100), text))
            }
            Some(false) if write => {
                let text = format!("Table '{}' was locked with a READ lock and can't be updated", table.name);
                Err(SqlError::new(ErrorCode(1099), text))
            }
            Some(_) => Ok(()),
        }
    }
}

fn check_query(locks: &TableLocks, query: &Query) -> Result<(), SqlError> {
    check_node(locks, &query.root)?;
    check_subqueries(locks, &query.subqueries)
}

fn check_subqueries(locks: &TableLocks, subqueries: &[Subquery]) -> Result<(), SqlError> {
    subqueries.iter().try_for_each(|subquery| check_query(locks, &subquery.query))
}

fn check_node(locks: &TableLocks, node: &Node) -> Result<(), SqlError> {
    let mut outcome = Ok(());
    walk::visit_scans(node, &mut |scan: &Scan| {
        if outcome.is_ok() {
            let write = scan.lock.is_some_and(|lock| lock.mode == LockMode::Exclusive);
            outcome = locks.check(&scan.table, write);
        }
    });
    outcome
}
