//! Locks by key, with waiting, deadlocks and timeouts.

use common::id::TxnId;
use common::key::Key;
use common::service::wal::{LockError, LockMode, LockRequest, LockWait};
use parking_lot::Mutex;
use std::collections::HashMap;
use tokio::sync::Notify;

#[derive(Default)]
pub struct LockTable {
    state: Mutex<State>,
    freed: Notify,
}

#[derive(Default)]
struct State {
    held: HashMap<Key, HashMap<TxnId, LockMode>>,
    /// Who waits for whom.
    waits: HashMap<TxnId, Vec<TxnId>>,
}

impl State {
    /// Who stands in the way.
    fn blockers(&self, txn: TxnId, key: &Key, mode: LockMode) -> Vec<TxnId> {
        let others =
            self.held.get(key).into_iter().flatten().filter(|(other, held)| {
                **other != txn && (mode == LockMode::Exclusive || **held == LockMode::Exclusive)
            });
        others.map(|(other, _)| *other).collect()
    }

    fn grant(&mut self, txn: TxnId, key: &Key, mode: LockMode) {
        let held = self.held.entry(key.clone()).or_default().entry(txn).or_insert(mode);
        if mode == LockMode::Exclusive {
            *held = mode;
        }
    }

    fn waits_in_circle(&self, txn: TxnId) -> bool {
        let mut seen = Vec::new();
        let mut next = self.waits.get(&txn).cloned().unwrap_or_default();
        while let Some(other) = next.pop() {
            if other == txn {
                return true;
            }
            if !seen.contains(&other) {
                seen.push(other);
                next.extend(self.waits.get(&other).into_iter().flatten());
            }
        }
        false
    }
}

impl LockTable {
    pub async fn lock(&self, request: &LockRequest) -> Result<Vec<bool>, LockError> {
        let LockRequest { txn, keys, wait } = request;
        match wait {
            LockWait::SkipLocked => {
                let mut state = self.state.lock();
                let grant = |(key, mode): &(Key, LockMode)| {
                    let free = state.blockers(*txn, key, *mode).is_empty();
                    if free {
                        state.grant(*txn, key, *mode);
                    }
                    free
                };
                Ok(keys.iter().map(grant).collect())
            }
            LockWait::NoWait => {
                if self.try_all(*txn, keys)? {
                    Ok(vec![true; keys.len()])
                } else {
                    Err(LockError::NotAvailable)
                }
            }
            LockWait::Timeout(timeout) => {
                let waiting = async {
                    loop {
                        let freed = self.freed.notified();
                        if self.try_all(*txn, keys)? {
                            return Ok(vec![true; keys.len()]);
                        }
                        freed.await;
                    }
                };
                let outcome = tokio::time::timeout(*timeout, waiting).await.unwrap_or(Err(LockError::Timeout));
                self.state.lock().waits.remove(txn);
                if outcome == Err(LockError::Deadlock) {
                    self.unlock(*txn);
                }
                outcome
            }
        }
    }

    fn try_all(&self, txn: TxnId, keys: &[(Key, LockMode)]) -> Result<bool, LockError> {
        let mut state = self.state.lock();
        let blockers: Vec<TxnId> = keys.iter().flat_map(|(key, mode)| state.blockers(txn, key, *mode)).collect();
        if blockers.is_empty() {
            keys.iter().for_each(|(key, mode)| state.grant(txn, key, *mode));
            return Ok(true);
        }
        state.waits.insert(txn, blockers);
        if state.waits_in_circle(txn) { Err(LockError::Deadlock) } else { Ok(false) }
    }

    pub fn unlock(&self, txn: TxnId) {
        self.state.lock().held.retain(|_, held| {
            held.remove(&txn);
            !held.is_empty()
        });
        self.freed.notify_waiters();
    }
}
