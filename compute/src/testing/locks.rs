//! Locks by key, with waiting, deadlocks and timeouts.

use common::id::TxnId;
use common::key::{Key, KeyRange};
use common::service::wal::{LockError, LockInfo, LockMode, LockRequest, LockTarget, LockWait};
use parking_lot::Mutex;
use std::collections::HashMap;
use tokio::sync::Notify;

#[derive(Default)]
pub struct LockTable {
    state: Mutex<State>,
    freed: Notify,
}

fn excludes(one: LockMode, other: LockMode) -> bool {
    one == LockMode::Exclusive || other == LockMode::Exclusive
}

#[derive(Default)]
struct State {
    held: HashMap<Key, HashMap<TxnId, LockMode>>,
    ranges: Vec<(TxnId, KeyRange, LockMode)>,
    /// Who waits for whom.
    waits: HashMap<TxnId, Vec<TxnId>>,
    /// What one transaction may hold; zero: any number.
    keys_max: usize,
}

impl State {
    /// Who stands in the way.
    fn blockers(&self, txn: TxnId, key: &Key, mode: LockMode) -> Vec<TxnId> {
        let others =
            self.held.get(key).into_iter().flatten().filter(|(other, held)| {
                **other != txn && (mode == LockMode::Exclusive || **held == LockMode::Exclusive)
            });
        let ranges = self
            .ranges
            .iter()
            .filter(|(other, range, held)| *other != txn && range.contains(key) && excludes(*held, mode));
        others.map(|(other, _)| *other).chain(ranges.map(|(other, ..)| *other)).collect()
    }

    fn range_blockers(&self, txn: TxnId, range: &KeyRange, mode: LockMode) -> Vec<TxnId> {
        let keys = self.held.iter().filter(|(key, _)| range.contains(key)).flat_map(|(_, holders)| holders);
        let keys = keys.map(|(other, held)| (*other, *held));
        let ranges =
            self.ranges.iter().filter(|(_, held, _)| held.overlaps(range)).map(|(other, _, mode)| (*other, *mode));
        keys.chain(ranges)
            .filter(|(other, held)| *other != txn && excludes(*held, mode))
            .map(|(other, _)| other)
            .collect()
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
    /// More keys than this get a transaction an error.
    pub fn set_limit(&self, keys_max: usize) {
        self.state.lock().keys_max = keys_max;
    }

    pub fn held_keys(&self, txn: TxnId) -> usize {
        self.state.lock().held.values().filter(|holders| holders.contains_key(&txn)).count()
    }

    pub async fn lock(&self, request: &LockRequest) -> Result<Vec<bool>, LockError> {
        let LockRequest { txn, keys, ranges, wait } = request;
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
                if self.try_all(*txn, keys, ranges)? {
                    Ok(vec![true; keys.len()])
                } else {
                    Err(LockError::NotAvailable)
                }
            }
            LockWait::Timeout(timeout) => {
                let waiting = async {
                    loop {
                        let freed = self.freed.notified();
                        if self.try_all(*txn, keys, ranges)? {
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

    fn try_all(
        &self,
        txn: TxnId,
        keys: &[(Key, LockMode)],
        ranges: &[(KeyRange, LockMode)],
    ) -> Result<bool, LockError> {
        let held = self.held_keys(txn);
        let mut state = self.state.lock();
        if state.keys_max > 0 && held + keys.len() > state.keys_max {
            return Err(LockError::Full);
        }
        let mut blockers: Vec<TxnId> = keys.iter().flat_map(|(key, mode)| state.blockers(txn, key, *mode)).collect();
        blockers.extend(ranges.iter().flat_map(|(range, mode)| state.range_blockers(txn, range, *mode)));
        if blockers.is_empty() {
            keys.iter().for_each(|(key, mode)| state.grant(txn, key, *mode));
            state.ranges.extend(ranges.iter().map(|(range, mode)| (txn, range.clone(), *mode)));
            return Ok(true);
        }
        state.waits.insert(txn, blockers);
        if state.waits_in_circle(txn) { Err(LockError::Deadlock) } else { Ok(false) }
    }

    pub fn unlock_keys(&self, txn: TxnId, keys: &[Key]) {
        self.state.lock().held.retain(|key, held| {
            if keys.contains(key) {
                held.remove(&txn);
            }
            !held.is_empty()
        });
        self.freed.notify_waiters();
    }

    /// Locks that are held.
    pub fn report(&self) -> Vec<LockInfo> {
        let state = self.state.lock();
        let keys = state
            .held
            .iter()
            .flat_map(|(key, holders)| holders.iter().map(|(txn, mode)| (*txn, LockTarget::Key(key.clone()), *mode)));
        let ranges = state.ranges.iter().map(|(txn, range, mode)| (*txn, LockTarget::Range(range.clone()), *mode));
        keys.chain(ranges).map(|(txn, target, mode)| LockInfo { txn, target, mode, waits_for: None }).collect()
    }

    pub fn unlock(&self, txn: TxnId) {
        self.state.lock().ranges.retain(|(holder, ..)| *holder != txn);
        self.state.lock().held.retain(|_, held| {
            held.remove(&txn);
            !held.is_empty()
        });
        self.freed.notify_waiters();
    }
}
