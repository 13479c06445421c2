//! Who is at the other end of a connection, as far as the services must know: which transactions of it hold locks.
//!
//! A compute that dies says nothing; its connection ends. Then its locks are freed, or others would wait for them until
//! they time out. A compute that only lost its connection loses locks too, which costs no guarantee: commit checks every
//! key again, and what relies on more than keys names the connection whose locks it needs.

use super::NodeRole;
use super::server::Services;
use crate::id::TxnId;
use parking_lot::Mutex;
use std::collections::HashSet;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio_util::task::TaskTracker;

/// Zero stands for calls within the process.
static SESSIONS: AtomicU64 = AtomicU64::new(1);

/// Shared by the connection and its streams; what it holds is freed when the last of them has ended, so that no lock
/// call is on its way any more.
#[derive(Clone)]
pub(super) struct Caller(Arc<Connected>);

pub(super) struct Connected {
    pub services: Services,
    /// The one that its certificate is for; `None`: any.
    pub role: Option<NodeRole>,
    /// The number of the connection, never the same twice in a process.
    pub session: u64,
    tasks: TaskTracker,
    /// Transactions that have asked for locks and have not ended.
    locking: Mutex<HashSet<TxnId>>,
}

impl Caller {
    pub fn new(services: Services, role: Option<NodeRole>, tasks: TaskTracker) -> Caller {
        let session = SESSIONS.fetch_add(1, Ordering::Relaxed);
        Caller(Arc::new(Connected { services, role, session, tasks, locking: Mutex::default() }))
    }
}

impl Deref for Caller {
    type Target = Connected;

    fn deref(&self) -> &Connected {
        &self.0
    }
}

impl Connected {
    /// True for the first time.
    pub fn locks(&self, txn: TxnId) -> bool {
        self.locking.lock().insert(txn)
    }

    pub fn holds_no_locks(&self, txn: TxnId) {
        self.locking.lock().remove(&txn);
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        let left = std::mem::take(self.locking.get_mut());
        let Some(wal) = self.services.wal.clone().filter(|_| !left.is_empty()) else { return };
        // Outside a runtime the process is ending, and the lock table with it.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            tracing::info!(transactions = left.len(), "a connection ended; freeing the locks that it left");
            self.tasks.spawn_on(
                async move {
                    for txn in left {
                        if let Err(error) = wal.unlock(txn).await {
                            tracing::debug!(%error, "locks of a lost connection were not freed here");
                        }
                    }
                },
                &runtime,
            );
        }
    }
}
