//! XA: the states of a session's branch of a global transaction, and what finishes prepared ones.
//!
//! ```text
//! XA START ─▶ active ─ XA END ─▶ idle ─ XA COMMIT ONE PHASE, XA ROLLBACK ─▶ over
//!                                  └─── XA PREPARE ─▶ a record in the log, no session's any more
//! ```
//!
//! As in MySQL 8.4 (`xa_detach_on_prepare`), a branch belongs to no session once it is prepared: any session of any compute
//! can finish it. A name is locked as a key from XA START on, so that nobody begins a second branch of it.

use super::Session;
use super::result::{Done, StatementResult};
use super::show::{fields, result};
use crate::execute::row::walk;
use crate::sql::parse::ast::{self, Kind};
use crate::sql::plan::xa::{XaStatement, Xid, errors};
use crate::sql::plan::{Query, Show};
use crate::txn::prepared::{self, Finish};
use crate::txn::{self, CommitFailure, Locker, snapshot};
use common::service::wal::LockWait;
use expr::value::Value;
use expr::{ErrorCode, SqlError};
use std::sync::Arc;

/// A branch that is not prepared.
pub(super) struct Branch {
    xid: Xid,
    /// XA END was given.
    ended: bool,
}

impl Session {
    /// What the branch is in, as errors call it. One whose transaction is gone (a deadlock has ended it) can only be rolled back.
    fn branch_state(&self) -> Option<&'static str> {
        let branch = self.xa.as_ref()?;
        Some(match (&self.transaction, branch.ended) {
            (None, _) => "ROLLBACK ONLY",
            (Some(_), false) => "ACTIVE",
            (Some(_), true) => "IDLE",
        })
    }

    /// Error 1399 for a statement that has no place in a branch: what ends transactions, and whatever needs one where it is
    /// not active.
    pub(super) fn check_branch(&self, kind: &Kind) -> Result<(), SqlError> {
        let Some(state) = self.branch_state() else { return Ok(()) };
        let refused = match kind {
            Kind::Xa(_) => false,
            Kind::Query { .. }
            | Kind::Set(_)
            | Kind::SetTransaction { .. }
            | Kind::Show(ast::Show::Warnings { .. })
            | Kind::Use(_)
            | Kind::Do(_)
            | Kind::Prepare { .. }
            | Kind::ExecutePrepared { .. }
            | Kind::Deallocate(_)
            | Kind::Kill { .. } => state == "ROLLBACK ONLY",
            Kind::Insert(_)
            | Kind::Update(_)
            | Kind::Delete(_)
            | Kind::Savepoint(_)
            | Kind::RollbackTo(_)
            | Kind::ReleaseSavepoint(_)
            | Kind::Show(_)
            | Kind::Explain { .. } => state != "ACTIVE",
            _ => true,
        };
        if refused { Err(errors::wrong_state(state)) } else { Ok(()) }
    }

    /// As [`Session::check_branch`], of a query: without tables it runs while the branch is idle.
    pub(super) fn check_branch_reads(&self, query: &Query) -> Result<(), SqlError> {
        let Some(state) = self.branch_state().filter(|state| *state != "ACTIVE") else { return Ok(()) };
        let mut reads = false;
        walk::visit_scans(&query.root, &mut |_| reads = true);
        for subquery in &query.subqueries {
            walk::visit_scans(&subquery.query.root, &mut |_| reads = true);
        }
        if reads { Err(errors::wrong_state(state)) } else { Ok(()) }
    }

    pub(super) async fn xa(&mut self, statement: XaStatement) -> Result<StatementResult, SqlError> {
        match statement {
            XaStatement::Start { xid, joins } => self.start_branch(xid, joins).await?,
            XaStatement::End { xid, suspends } => self.end_branch(&xid, suspends)?,
            XaStatement::Prepare(xid) => self.prepare_branch(&xid).await?,
            XaStatement::Commit { xid, one_phase } => self.commit_branch(&xid, one_phase).await?,
            XaStatement::Rollback(xid) => self.roll_back_branch(&xid).await?,
            XaStatement::Recover { convert } => return self.recover(convert).await,
        }
        Ok(StatementResult::Done(Done::default()))
    }

    async fn start_branch(&mut self, xid: Xid, joins: bool) -> Result<(), SqlError> {
        if joins {
            return Err(errors::invalid());
        }
        if let Some(state) = self.branch_state() {
            return Err(errors::wrong_state(state));
        }
        if self.in_transaction() || self.table_locks.is_some() {
            return Err(errors::outside());
        }
        self.commit().await?;
        // From here on it holds the lock of its name.
        self.wait_for_page_servers().await?;
        let transaction = self.new_transaction(true, None);
        let remote = self.engine.services.remote.clone();
        let locker = Locker {
            remote: remote.clone(),
            txn: transaction.id(),
            wait: LockWait::NoWait,
            locks: transaction.locks(),
            own: Arc::default(),
            interrupt: self.handle.cancel.interrupt(),
        };
        let taken = match prepared::lock_name(&locker, &xid).await {
            Ok(taken) => taken,
            Err(error) => {
                txn::roll_back(transaction, &remote).await;
                return Err(if error.code == ErrorCode::LOCK_NOWAIT { errors::duplicate() } else { error });
            }
        };
        if taken {
            txn::roll_back(transaction, &remote).await;
            return Err(errors::duplicate());
        }
        self.transaction = Some(transaction);
        self.xa = Some(Branch { xid, ended: false });
        Ok(())
    }

    /// The branch, if it is the one that is named and in this state.
    fn branch(&mut self, xid: &Xid, ended: bool) -> Result<&mut Branch, SqlError> {
        let state = self.branch_state().unwrap_or("NON-EXISTING");
        match &mut self.xa {
            Some(branch) if branch.ended != ended => Err(errors::wrong_state(state)),
            Some(branch) if branch.xid != *xid => Err(errors::unknown()),
            Some(branch) => Ok(branch),
            None => Err(errors::wrong_state(state)),
        }
    }

    fn end_branch(&mut self, xid: &Xid, suspends: bool) -> Result<(), SqlError> {
        if suspends {
            return Err(errors::invalid());
        }
        self.branch(xid, false)?.ended = true;
        if self.transaction.is_none() { Err(errors::deadlock()) } else { Ok(()) }
    }

    async fn prepare_branch(&mut self, xid: &Xid) -> Result<(), SqlError> {
        self.branch(xid, true)?;
        let Some(transaction) = self.transaction.take() else {
            return Err(errors::wrong_state("ROLLBACK ONLY"));
        };
        self.xa = None;
        if let Some(tenure) = self.session_locks() {
            transaction.locks().lock().rely_on_session_locks(tenure);
        }
        let prepared = prepared::prepare(transaction, xid, &self.engine.services.remote).await;
        prepared.map_err(|failure| match failure {
            CommitFailure::Conflict => errors::deadlock(),
            CommitFailure::SchemaChanged => errors::rolled_back(),
            CommitFailure::Failed(error) => error,
        })
    }

    async fn commit_branch(&mut self, xid: &Xid, one_phase: bool) -> Result<(), SqlError> {
        let Some(state) = self.branch_state() else {
            if one_phase {
                return Err(errors::invalid());
            }
            return self.finish(xid, Finish::Commit).await;
        };
        if self.xa.as_ref().is_some_and(|branch| branch.xid != *xid) {
            return Err(errors::wrong_state(state));
        }
        match state {
            "IDLE" if one_phase => {
                self.xa = None;
                self.try_commit().await.map(drop).map_err(|failure| match failure {
                    CommitFailure::Conflict => errors::deadlock(),
                    CommitFailure::SchemaChanged => errors::rolled_back(),
                    CommitFailure::Failed(error) => error,
                })
            }
            "ROLLBACK ONLY" if self.branch(xid, true).is_ok() => {
                self.xa = None;
                Err(errors::deadlock())
            }
            _ => Err(errors::wrong_state(state)),
        }
    }

    async fn roll_back_branch(&mut self, xid: &Xid) -> Result<(), SqlError> {
        let Some(state) = self.branch_state() else { return self.finish(xid, Finish::RollBack).await };
        if self.xa.as_ref().is_some_and(|branch| branch.xid != *xid) || state == "ACTIVE" {
            return Err(errors::wrong_state(state));
        }
        self.xa = None;
        self.roll_back().await;
        Ok(())
    }

    /// Finishes a prepared branch.
    async fn finish(&mut self, xid: &Xid, how: Finish) -> Result<(), SqlError> {
        if self.in_transaction() || self.table_locks.is_some() {
            return Err(errors::outside());
        }
        prepared::finish(xid, how, &self.engine.services.remote).await
    }

    async fn recover(&mut self, convert: bool) -> Result<StatementResult, SqlError> {
        if !self.newest_rights().dynamic("XA_RECOVER_ADMIN") {
            return Err(errors::failed("XA RECOVER needs XA_RECOVER_ADMIN"));
        }
        let remote = &self.engine.services.remote;
        let lsn = snapshot::read_lsn(remote).await?.lsn;
        let mut rows = Vec::new();
        for xid in prepared::all(lsn, remote).await? {
            let (global, branch) = (Value::Int(xid.global.len() as i64), Value::Int(xid.branch.len() as i64));
            let data = [xid.global, xid.branch].concat();
            let data = match convert {
                true => Value::text(format!("0x{}", data.iter().map(|byte| format!("{byte:02X}")).collect::<String>())),
                false => Value::text(String::from_utf8_lossy(&data)),
            };
            rows.push(vec![Value::Int(xid.format as i64), global, branch, data]);
        }
        let names = ["formatID", "gtrid_length", "bqual_length", "data"].map(str::to_string).to_vec();
        Ok(result(fields(&Show::Empty(names)), rows))
    }
}
