//! Takes locks for a transaction and remembers at which LSN each key was first seen.
//!
//! A [`Locker`] is handed to executors that run while the session holds the transaction; what it learns goes to the
//! transaction's shared [`LockSet`]. Locks are hints: commit checks every key here against newer versions.

use crate::txn::Remote;
use crate::txn::service_error::{lock_error, with_backoff};
use common::id::{Lsn, TxnId};
use common::key::Key;
use common::service::wal::{LockMode, LockReply, LockRequest, LockWait};
use expr::SqlError;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;

/// Keys a transaction has locked.
#[derive(Debug, Default)]
pub struct LockSet {
    held: HashMap<Key, Held>,
}

#[derive(Debug, Clone, Copy)]
struct Held {
    mode: LockMode,
    /// The first LSN at which the key was seen under a lock: whatever this transaction did with it started from there.
    observed: Lsn,
}

impl LockSet {
    /// The LSN at which a key was first seen, if it is locked.
    pub fn observed(&self, key: &Key) -> Option<Lsn> {
        self.held.get(key).map(|held| held.observed)
    }

    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&Key, Lsn)> {
        self.held.iter().map(|(key, held)| (key, held.observed))
    }

    fn holds(&self, key: &Key, mode: LockMode) -> bool {
        self.held.get(key).is_some_and(|held| held.mode == LockMode::Exclusive || mode == LockMode::Shared)
    }

    pub(super) fn grant(&mut self, key: Key, mode: LockMode, lsn: Lsn) {
        let held = self.held.entry(key).or_insert(Held { mode, observed: lsn });
        if mode == LockMode::Exclusive {
            held.mode = mode;
        }
        held.observed = held.observed.min(lsn);
    }

    pub fn clear(&mut self) {
        self.held.clear();
    }
}

/// Takes locks in the name of one transaction. Cheap to clone.
#[derive(Clone)]
pub struct Locker {
    pub remote: Remote,
    pub txn: TxnId,
    /// For requests that say nothing else: innodb_lock_wait_timeout.
    pub wait: LockWait,
    pub locks: Arc<Mutex<LockSet>>,
}

impl Locker {
    /// Locks keys, waiting as `wait` says (`None`: the session's timeout). The answer's LSN shows the newest committed
    /// version of every key granted, so the caller reads the keys at that LSN.
    pub async fn lock(&self, keys: Vec<(Key, LockMode)>, wait: Option<LockWait>) -> Result<LockReply, SqlError> {
        let request = LockRequest { txn: self.txn, keys, wait: wait.unwrap_or(self.wait) };
        let reply = with_backoff(|| self.remote.wal.lock(request.clone())).await.map_err(lock_error)?;
        if reply.granted.len() != request.keys.len() {
            return Err(SqlError::internal("The log answered a lock request with another number of keys"));
        }
        let mut locks = self.locks.lock();
        for ((key, mode), _) in request.keys.into_iter().zip(&reply.granted).filter(|(_, granted)| **granted) {
            locks.grant(key, mode, reply.lsn);
        }
        Ok(reply)
    }

    /// True if every one of these is already locked strongly enough.
    pub fn holds_all(&self, keys: &[(Key, LockMode)]) -> bool {
        let locks = self.locks.lock();
        keys.iter().all(|(key, mode)| locks.holds(key, *mode))
    }
}
