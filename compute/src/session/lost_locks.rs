//! Locks that a session holds beside its transactions (GET_LOCK, LOCK TABLES), and may lose.
//!
//! They live in the memory of the log's leader, and end with it or with this node's connection to it. As everywhere in
//! MySQL, such locks end with the session, so it is the session that ends then: its client hears of it with its next
//! statement. What it still had under way cannot commit, because each commit names the tenure of these locks.

use super::Session;
use crate::txn::service_error::{wal_error, with_backoff};
use common::service::wal::Tenure;
use expr::{ErrorCode, SqlError};

/// "This session was killed".
const SESSION_WAS_KILLED: ErrorCode = ErrorCode(3169);

impl Session {
    /// The oldest tenure of these locks, if there are any.
    pub(super) fn session_locks(&self) -> Option<Tenure> {
        let tables = self.table_locks.as_ref().and_then(|locks| locks.tenure);
        self.named_locks.tenure().into_iter().chain(tables).min()
    }

    /// Before each statement. Costs a request only where the session holds such locks.
    pub(super) async fn check_session_locks(&mut self) -> Result<(), SqlError> {
        let Some(tenure) = self.session_locks() else { return Ok(()) };
        let remote = self.engine.services.remote.clone();
        if with_backoff(|| remote.wal.holds(tenure)).await.map_err(wal_error)? {
            return Ok(());
        }
        self.roll_back().await;
        self.named_locks.forget();
        self.table_locks = None;
        self.handle.killed.cancel();
        let text = "This session was killed: the locks of GET_LOCK or LOCK TABLES were lost when the leader of the log \
                    changed; connect again";
        Err(SqlError::new(SESSION_WAS_KILLED, text))
    }
}
