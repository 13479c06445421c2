//! Transactions of a session: begun by BEGIN, by autocommit=0, or for one statement.

use super::Session;
use super::named_locks::txn_of;
use crate::catalog::Catalog;
use crate::txn::{self, CommitFailure, Transaction, snapshot};
use common::id::Lsn;
use expr::SqlError;
use std::sync::Arc;

impl Session {
    /// The transaction that a statement runs in; a new one if there is none.
    pub(super) fn transaction(&mut self) -> &mut Transaction {
        let open = match self.transaction.take() {
            Some(open) => open,
            None => self.new_transaction(!self.autocommit(), None),
        };
        self.transaction.insert(open)
    }

    pub(super) fn new_transaction(&mut self, explicit: bool, read_only: Option<bool>) -> Transaction {
        let isolation = self.next_isolation.take().unwrap_or_else(|| self.variables.effective().isolation);
        let next_read_only = self.next_read_only.take();
        let read_only =
            read_only.or(next_read_only).unwrap_or_else(|| self.variables.effective().transaction_read_only);
        let id = txn_of(&self.engine.services.remote, self.handle.id);
        let bytes_max = self.engine.globals().integer("max_binlog_cache_size");
        let mut transaction = Transaction::new(id, isolation, read_only, explicit)
            .with_limit(usize::try_from(bytes_max).unwrap_or(usize::MAX))
            .counting(self.rows_read.clone());
        if std::mem::take(&mut self.has_waited) {
            transaction.note_waited();
        }
        transaction
    }

    /// BEGIN, which ends what was open before.
    pub(super) async fn begin(&mut self, consistent_snapshot: bool, read_only: Option<bool>) -> Result<(), SqlError> {
        self.commit().await?;
        self.unlock_tables().await;
        let mut transaction = self.new_transaction(true, read_only);
        if consistent_snapshot {
            snapshot::plain_view(&mut transaction, &self.engine.services.remote, None).await?;
        }
        self.transaction = Some(transaction);
        Ok(())
    }

    /// Commits what is open, if anything.
    pub(super) async fn commit(&mut self) -> Result<(), SqlError> {
        self.try_commit().await.map(|_| ()).map_err(CommitFailure::into_sql_error)
    }

    /// As [`Session::commit`], with the reason where it fails and the LSN where something was written.
    pub(super) async fn try_commit(&mut self) -> Result<Option<Lsn>, CommitFailure> {
        if self.nested.is_some() {
            return Ok(None);
        }
        match self.transaction.take() {
            Some(transaction) => {
                if let Some(tenure) = self.session_locks() {
                    transaction.locks().lock().rely_on_session_locks(tenure);
                }
                let written = transaction.has_writes().then(|| transaction.buffered_bytes() as u64);
                let outcome = txn::commit(transaction, &self.engine.services.remote).await;
                if let (Ok(_), Some(bytes)) = (&outcome, written) {
                    self.note_written(bytes);
                }
                outcome
            }
            None => Ok(None),
        }
    }

    /// What a statement has to tell, once everything that it read under locks is durable. Where that never will be, the
    /// transaction has to run again: error 1213.
    pub(super) async fn shown<T>(&mut self, outcome: Result<T, SqlError>) -> Result<T, SqlError> {
        if let Some(transaction) = &self.transaction {
            let lost = txn::locking::wait_durable(&transaction.locks(), &self.engine.services.remote).await.err();
            if let Some(error) = lost {
                self.roll_back().await;
                return Err(error);
            }
        }
        outcome
    }

    pub(super) async fn roll_back(&mut self) {
        if self.nested.is_some() {
            return;
        }
        if let Some(transaction) = self.transaction.take() {
            txn::roll_back(transaction, &self.engine.services.remote).await;
        }
    }

    /// The catalog with everything committed up to now, for a statement that begins, and the LSN that was asked for it, at
    /// which the statement may read.
    pub(super) async fn newest_catalog(&self) -> Result<(Arc<Catalog>, Option<Lsn>), SqlError> {
        let now = snapshot::read_lsn(&self.engine.services.remote).await?;
        let shared = self.engine.services.catalog.snapshot_at_least(now.definitions).await?;
        let catalog = self.temporary.over(&shared);
        // A table that was made since then is not there yet at that LSN.
        let begun_at = Some(now.lsn).filter(|lsn| catalog.lsn <= *lsn);
        Ok((catalog, begun_at))
    }
}
