//! The wait of a transaction that is going to write, before its first lock; see [`crate::txn::throttle`].

use super::Session;
use crate::sql::parse::ast::Kind;
use expr::SqlError;
use tokio::time::Instant;

/// What SHOW PROCESSLIST says meanwhile.
const STATE: &str = "Waiting for page servers";

impl Session {
    /// Before a statement: if it begins to write or to lock in a transaction, the transaction waits here, and nowhere later.
    pub(super) async fn wait_to_write(&mut self, kind: &Kind) -> Result<(), SqlError> {
        let begins = match kind {
            Kind::Insert(_)
            | Kind::Update(_)
            | Kind::Delete(_)
            | Kind::CreateTable(_)
            | Kind::AlterTable { .. }
            | Kind::DropTables { .. }
            | Kind::RenameTables(_)
            | Kind::Truncate(_) => true,
            // What it locks is let go at once where it is a transaction by itself.
            Kind::Query { query, .. } => !query.locks.is_empty() && (self.in_transaction() || !self.autocommit()),
            _ => false,
        };
        if begins { self.wait_for_page_servers().await } else { Ok(()) }
    }

    /// Not where a transaction holds or has written something: it goes on, and its session owes the more.
    pub(super) async fn wait_for_page_servers(&mut self) -> Result<(), SqlError> {
        if self.nested.is_some() {
            return Ok(());
        }
        if let Some(open) = self.transaction.as_mut().filter(|open| open.has_locks() || open.has_writes()) {
            open.note_waited();
            return Ok(());
        }
        let delay = self.engine.services.remote.throttle.delay(&mut self.debt, Instant::now());
        if !delay.is_zero() {
            *self.handle.progress.lock() = Some(STATE.to_owned());
            let outcome = tokio::select! {
                biased;
                error = self.handle.cancel.cancelled() => Err(error),
                () = tokio::time::sleep(delay) => Ok(()),
            };
            *self.handle.progress.lock() = None;
            outcome?;
        }
        match &mut self.transaction {
            Some(open) => open.note_waited(),
            None => self.has_waited = true,
        }
        Ok(())
    }

    /// A transaction with so many bytes is committed.
    pub(super) fn note_written(&mut self, bytes: u64) {
        self.engine.services.remote.throttle.written(&mut self.debt, bytes, Instant::now());
    }
}
