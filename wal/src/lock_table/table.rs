//! The table: requests over many keys, transactions over many requests.

use super::deadlock::find_cycle;
use super::key_lock::{Grant, KeyLock, Place, Waiter};
use common::id::TxnId;
use common::key::Key;
use common::service::wal::{LockMode, LockWait};
use std::collections::{HashMap, HashSet, VecDeque};

/// One call of `lock`, named by the driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub u64);

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LockOutcome {
    /// One flag per key; all true but for SKIP LOCKED.
    Granted(Vec<bool>),
    NotAvailable,
    Timeout,
    Deadlock,
    /// The table is at its limit; or the transaction ended while it waited.
    Refused(&'static str),
}

/// A request is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockEvent {
    pub request: RequestId,
    pub outcome: LockOutcome,
}

#[derive(Debug)]
struct Request {
    txn: TxnId,
    keys: Vec<(Key, LockMode)>,
    /// Keys before this one are done; this one is waited for.
    at: usize,
    granted: Vec<bool>,
    /// Grants of this request, to be undone if it fails.
    grants: Vec<(Key, Grant)>,
    skip_locked: bool,
    may_wait: bool,
    /// In the queue of the key that is waited for.
    place: Option<Place>,
}

#[derive(Debug, Default)]
struct Txn {
    held: HashSet<Key>,
    waiting: Vec<RequestId>,
}

pub struct LockTable {
    keys: HashMap<Key, KeyLock>,
    txns: HashMap<TxnId, Txn>,
    /// Requests that wait.
    requests: HashMap<RequestId, Request>,
    held: usize,
    locks_max: usize,
    next_ticket: u64,
}

impl LockTable {
    pub fn new(locks_max: usize) -> LockTable {
        LockTable {
            keys: HashMap::new(),
            txns: HashMap::new(),
            requests: HashMap::new(),
            held: 0,
            locks_max,
            next_ticket: 0,
        }
    }

    /// Locks held, counted per holder.
    pub fn held(&self) -> usize {
        self.held
    }

    /// Requests that wait.
    pub fn waiting(&self) -> usize {
        self.requests.len()
    }

    /// Asks for keys. The events say what is over at once; a request without an event waits.
    pub fn acquire(&mut self, id: RequestId, txn: TxnId, keys: Vec<(Key, LockMode)>, wait: LockWait) -> Vec<LockEvent> {
        if self.held + keys.len() > self.locks_max {
            let refused = LockOutcome::Refused("the lock table is full; commit in smaller transactions");
            return vec![LockEvent { request: id, outcome: refused }];
        }
        let request = Request {
            txn,
            granted: Vec::with_capacity(keys.len()),
            keys,
            at: 0,
            grants: Vec::new(),
            skip_locked: wait == LockWait::SkipLocked,
            may_wait: matches!(wait, LockWait::Timeout(_)),
            place: None,
        };
        let mut events = Vec::new();
        let mut freed = VecDeque::new();
        self.advance(id, request, &mut events, &mut freed);
        self.settle(freed, &mut events);
        events
    }

    /// The request has waited long enough. Nothing happens if it is over already.
    pub fn timeout(&mut self, id: RequestId) -> Vec<LockEvent> {
        let mut events = Vec::new();
        let freed = self.fail(id, LockOutcome::Timeout, &mut events);
        self.settle(freed, &mut events);
        events
    }

    /// Frees everything that a transaction holds or waits for.
    pub fn release(&mut self, txn: TxnId) -> Vec<LockEvent> {
        let mut events = Vec::new();
        let freed = self.end_txn(txn, LockOutcome::Refused("the transaction ended while it waited"), &mut events);
        self.settle(freed, &mut events);
        events
    }

    /// Goes through the request's keys from where it is until it is over or has to wait.
    fn advance(&mut self, id: RequestId, mut request: Request, events: &mut Vec<LockEvent>, freed: &mut VecDeque<Key>) {
        while let Some((key, mode)) = request.keys.get(request.at).cloned() {
            let lock = self.keys.entry(key.clone()).or_default();
            match lock.try_grant(request.txn, mode) {
                Some(grant) => {
                    self.note_grant(&mut request, key, grant);
                    request.granted.push(true);
                    request.at += 1;
                }
                None if request.skip_locked => {
                    request.granted.push(false);
                    request.at += 1;
                }
                None if !request.may_wait => {
                    freed.extend(self.undo(&request));
                    events.push(LockEvent { request: id, outcome: LockOutcome::NotAvailable });
                    return;
                }
                None => {
                    request.place = Some(lock.enqueue(id, request.txn, mode, self.next_ticket));
                    self.next_ticket += 1;
                    let txn = request.txn;
                    let state = self.txns.entry(txn).or_default();
                    state.waiting.push(id);
                    // Who holds nothing and is last in one queue only cannot close a circle.
                    let harmless = state.held.is_empty() && state.waiting.len() == 1;
                    self.requests.insert(id, request);
                    if !harmless {
                        self.resolve_deadlocks(txn, events, freed);
                    }
                    return;
                }
            }
        }
        events.push(LockEvent { request: id, outcome: LockOutcome::Granted(request.granted) });
    }

    fn note_grant(&mut self, request: &mut Request, key: Key, grant: Grant) {
        if grant == Grant::New {
            self.txns.entry(request.txn).or_default().held.insert(key.clone());
            self.held += 1;
        }
        // Another request of the same transaction may have brought it and still wait: if that one fails, the key stays.
        for id in self.txns.get(&request.txn).map_or(&[][..], |txn| &txn.waiting) {
            if let Some(other) = self.requests.get_mut(id) {
                other.grants.retain(|(granted, _)| *granted != key);
            }
        }
        if grant != Grant::Held {
            request.grants.push((key, grant));
        }
    }

    /// Hands on keys that were freed, until nothing more can be granted.
    fn settle(&mut self, mut freed: VecDeque<Key>, events: &mut Vec<LockEvent>) {
        while let Some(key) = freed.pop_front() {
            while let Some((waiter, grant)) = self.keys.get_mut(&key).and_then(KeyLock::grant_next) {
                self.go_on(&key, waiter, grant, events, &mut freed);
                let waiting = self.txns.get(&waiter.txn).map(|txn| txn.waiting.clone()).unwrap_or_default();
                for id in waiting {
                    let place = self.requests.get(&id).filter(|other| other.keys[other.at].0 == key);
                    let place = place.and_then(|other| other.place);
                    let lock = self.keys.get_mut(&key);
                    if let Some(also) = lock.zip(place).and_then(|(lock, place)| lock.grant_held(place)) {
                        self.go_on(&key, also, Grant::Held, events, &mut freed);
                    }
                }
            }
            if self.keys.get(&key).is_some_and(KeyLock::is_unused) {
                self.keys.remove(&key);
            }
        }
    }

    /// A waiting request was granted the key it waited for.
    fn go_on(
        &mut self,
        key: &Key,
        waiter: Waiter,
        grant: Grant,
        events: &mut Vec<LockEvent>,
        freed: &mut VecDeque<Key>,
    ) {
        let Some(mut request) = self.requests.remove(&waiter.request) else {
            unreachable!("who waits in a queue is a waiting request");
        };
        self.note_grant(&mut request, key.clone(), grant);
        self.forget_waiting(waiter.txn, waiter.request);
        request.granted.push(true);
        request.at += 1;
        self.advance(waiter.request, request, events, freed);
    }

    /// Ends cycles through `txn`, which has just begun to wait, by giving up the cheapest transaction in each.
    fn resolve_deadlocks(&mut self, txn: TxnId, events: &mut Vec<LockEvent>, freed: &mut VecDeque<Key>) {
        while let Some(cycle) = find_cycle(txn, |txn| self.blockers(txn)) {
            // Fewest locks is least work lost; among equals, the one whose request closed the cycle.
            let work =
                |candidate: &TxnId| (self.txns.get(candidate).map_or(0, |txn| txn.held.len()), *candidate != txn);
            let Some(victim) = cycle.iter().copied().min_by_key(work) else {
                unreachable!("a cycle has members");
            };
            let released = self.end_txn(victim, LockOutcome::Deadlock, events);
            freed.extend(released);
            if victim == txn {
                return;
            }
        }
    }

    fn blockers(&self, txn: TxnId) -> Vec<TxnId> {
        let Some(waiting) = self.txns.get(&txn).map(|txn| &txn.waiting) else {
            return Vec::new();
        };
        let mut blockers = Vec::new();
        for id in waiting {
            let request = &self.requests[id];
            if let Some(lock) = self.keys.get(&request.keys[request.at].0)
                && let Some(place) = request.place
            {
                blockers.extend(lock.blockers(place));
            }
        }
        blockers
    }

    /// Ends a waiting request. Returns keys that others may get now.
    fn fail(&mut self, id: RequestId, outcome: LockOutcome, events: &mut Vec<LockEvent>) -> VecDeque<Key> {
        let Some(request) = self.requests.remove(&id) else {
            return VecDeque::new();
        };
        let waited_for = request.keys[request.at].0.clone();
        if let Some(lock) = self.keys.get_mut(&waited_for)
            && let Some(place) = request.place
        {
            lock.forget_waiter(place);
        }
        self.forget_waiting(request.txn, id);
        let mut freed = self.undo(&request);
        freed.push_back(waited_for);
        events.push(LockEvent { request: id, outcome });
        freed
    }

    /// Takes back the grants of a request that failed.
    fn undo(&mut self, request: &Request) -> VecDeque<Key> {
        let mut freed = VecDeque::new();
        for (key, grant) in request.grants.iter().rev() {
            if let Some(lock) = self.keys.get_mut(key) {
                lock.undo(request.txn, *grant);
            }
            if *grant == Grant::New {
                self.held -= 1;
                if let Some(txn) = self.txns.get_mut(&request.txn) {
                    txn.held.remove(key);
                }
            }
            freed.push_back(key.clone());
        }
        // A key that was only looked at leaves no trace either.
        if let Some((key, _)) = request.keys.get(request.at) {
            freed.push_back(key.clone());
        }
        self.drop_txn_if_unused(request.txn);
        freed
    }

    fn end_txn(&mut self, txn: TxnId, outcome: LockOutcome, events: &mut Vec<LockEvent>) -> VecDeque<Key> {
        let mut freed = VecDeque::new();
        let waiting = self.txns.get(&txn).map(|txn| txn.waiting.clone()).unwrap_or_default();
        for id in waiting {
            freed.extend(self.fail(id, outcome.clone(), events));
        }
        if let Some(state) = self.txns.remove(&txn) {
            self.held -= state.held.len();
            for key in state.held {
                if let Some(lock) = self.keys.get_mut(&key) {
                    lock.release(txn);
                }
                freed.push_back(key);
            }
        }
        freed
    }

    fn forget_waiting(&mut self, txn: TxnId, id: RequestId) {
        if let Some(state) = self.txns.get_mut(&txn) {
            state.waiting.retain(|other| *other != id);
        }
        self.drop_txn_if_unused(txn);
    }

    fn drop_txn_if_unused(&mut self, txn: TxnId) {
        if self.txns.get(&txn).is_some_and(|state| state.held.is_empty() && state.waiting.is_empty()) {
            self.txns.remove(&txn);
        }
    }

    /// Nothing is held, waited for or remembered.
    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.txns.is_empty() && self.requests.is_empty()
    }
}
