//! The table: requests over many keys and ranges, transactions over many requests.

use super::deadlock::find_cycle;
use super::key_lock::{Grant, KeyLock, Place, Waiter};
use super::ranges::{self, Group, GroupWaiter, HeldRange, RangeGroup, group_of, group_of_key};
use common::id::TxnId;
use common::key::{Key, KeyRange};
use common::service::wal::{LockInfo, LockMode, LockTarget, LockWait};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

/// One call of `lock`, named by the driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub u64);

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LockOutcome {
    /// One flag per key; all true but for SKIP LOCKED. Ranges have none: they are granted.
    Granted(Vec<bool>),
    NotAvailable,
    Timeout,
    Deadlock,
    /// The table is at its limit, or the transaction is at its own: half of the table, so that others have room.
    Full,
    /// The transaction ended while it waited, or the request makes no sense.
    Refused(&'static str),
}

/// A request is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockEvent {
    pub request: RequestId,
    pub outcome: LockOutcome,
}

#[derive(Debug)]
pub(super) struct Request {
    pub txn: TxnId,
    /// Keys, then ranges.
    pub items: Vec<(LockTarget, LockMode)>,
    /// Items before this one are done; this one is waited for.
    pub at: usize,
    granted: Vec<bool>,
    /// Grants of this request, to be undone if it fails.
    grants: Vec<(usize, Grant)>,
    skip_locked: bool,
    may_wait: bool,
    pub waits: Option<Waits>,
    /// It has stood in line for its current item with this ticket; nobody who came later is ahead of it.
    ticket: Option<u64>,
}

/// Where a request stands in line.
#[derive(Debug, Clone, Copy)]
pub(super) enum Waits {
    /// In the queue of the key.
    Key(Place),
    /// In the queue of the index, with this ticket.
    Group(u64),
}

#[derive(Debug, Default)]
pub(super) struct Txn {
    pub keys: Vec<Key>,
    pub ranges: Vec<KeyRange>,
    pub waiting: Vec<RequestId>,
}

impl Txn {
    pub fn held(&self) -> usize {
        self.keys.len() + self.ranges.len()
    }
}

/// What others may get now.
enum Freed {
    Key(Key),
    Group(Group),
    /// A transaction with other requests that wait has got this: they may want it too, or no longer stand behind others.
    Gained(TxnId, LockTarget),
}

pub struct LockTable {
    pub(super) keys: BTreeMap<Key, KeyLock>,
    /// Indexes of which a range is held or waited for.
    pub(super) groups: HashMap<Group, RangeGroup>,
    pub(super) txns: HashMap<TxnId, Txn>,
    /// Requests that wait.
    pub(super) requests: HashMap<RequestId, Request>,
    held: usize,
    locks_max: usize,
    next_ticket: u64,
    /// What its transactions waited for, and who was given up.
    latest_deadlock: Option<(Vec<LockInfo>, TxnId)>,
    victims: Victims,
}

/// Victims of deadlocks that have not said that they are over. Whoever lost the answer and asks again must not get locks as
/// if it had those from before, too.
#[derive(Default)]
struct Victims {
    all: HashSet<TxnId>,
    /// Oldest first, with some that are over.
    order: VecDeque<TxnId>,
}

impl Victims {
    /// The oldest are forgotten: they have heard of it, or are gone.
    const MOST: usize = 1 << 14;

    fn insert(&mut self, txn: TxnId) {
        if self.all.insert(txn) {
            self.order.push_back(txn);
        }
        while self.order.len() > Victims::MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.all.remove(&oldest);
        }
    }
}

/// Of a longer circle, so many waits are kept for people to see.
const DEADLOCK_WAITS_MAX: usize = 16;

impl LockTable {
    pub fn new(locks_max: usize) -> LockTable {
        LockTable {
            keys: BTreeMap::new(),
            groups: HashMap::new(),
            txns: HashMap::new(),
            requests: HashMap::new(),
            held: 0,
            locks_max,
            next_ticket: 0,
            latest_deadlock: None,
            victims: Victims::default(),
        }
    }

    /// The deadlock that was resolved since the last call, if there was one.
    pub fn take_deadlock(&mut self) -> Option<(Vec<LockInfo>, TxnId)> {
        self.latest_deadlock.take()
    }

    /// Locks held, counted per holder.
    pub fn held(&self) -> usize {
        self.held
    }

    /// Requests that wait.
    pub fn waiting(&self) -> usize {
        self.requests.len()
    }

    /// Asks for keys and ranges. The events say what is over at once; a request without an event waits.
    pub fn acquire(
        &mut self,
        id: RequestId,
        txn: TxnId,
        keys: Vec<(Key, LockMode)>,
        ranges: Vec<(KeyRange, LockMode)>,
        wait: LockWait,
    ) -> Vec<LockEvent> {
        let refused = |reason| vec![LockEvent { request: id, outcome: LockOutcome::Refused(reason) }];
        if self.victims.all.contains(&txn) {
            return vec![LockEvent { request: id, outcome: LockOutcome::Deadlock }];
        }
        // A range may stand for the keys that there is no room for.
        let has_its_half = !keys.is_empty() && self.held_count(txn) + keys.len() > self.locks_max.div_ceil(2);
        if has_its_half || self.held + keys.len() + ranges.len() > self.locks_max {
            return vec![LockEvent { request: id, outcome: LockOutcome::Full }];
        }
        if ranges.iter().any(|(range, _)| !ranges::is_within_group(range)) {
            return refused("a range to be locked is not within one index");
        }
        if wait == LockWait::SkipLocked && !ranges.is_empty() {
            return refused("a range cannot be locked in part");
        }
        let granted = Vec::with_capacity(keys.len());
        let mut items: Vec<_> = keys.into_iter().map(|(key, mode)| (LockTarget::Key(key), mode)).collect();
        let ranges = ranges.into_iter().filter(|(range, _)| !range.is_empty());
        items.extend(ranges.map(|(range, mode)| (LockTarget::Range(range), mode)));
        let request = Request {
            txn,
            items,
            at: 0,
            granted,
            grants: Vec::new(),
            skip_locked: wait == LockWait::SkipLocked,
            may_wait: matches!(wait, LockWait::Timeout(_)),
            waits: None,
            ticket: None,
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

    /// How many locks a transaction holds.
    pub fn held_count(&self, txn: TxnId) -> usize {
        self.txns.get(&txn).map_or(0, Txn::held)
    }

    /// What a transaction holds, and how.
    pub fn held_by(&self, txn: TxnId) -> Vec<(LockTarget, LockMode)> {
        let Some(state) = self.txns.get(&txn) else { return Vec::new() };
        let mut held = Vec::with_capacity(state.held());
        for key in &state.keys {
            if let Some(mode) = self.keys.get(key).and_then(|lock| lock.held_by(txn)) {
                held.push((LockTarget::Key(key.clone()), mode));
            }
        }
        let mut groups: Vec<Group> = state.ranges.iter().map(|range| group_of_key(&range.start)).collect();
        groups.dedup();
        for group in groups.iter().filter_map(|group| self.groups.get(group)) {
            let own = group.held.iter().filter(|range| range.txn == txn);
            held.extend(own.map(|range| (LockTarget::Range(range.range.clone()), range.mode)));
        }
        held
    }

    /// Frees everything that a transaction holds or waits for.
    pub fn release(&mut self, txn: TxnId) -> Vec<LockEvent> {
        let mut events = Vec::new();
        self.victims.all.remove(&txn);
        let freed = self.end_txn(txn, LockOutcome::Refused("the transaction ended while it waited"), &mut events);
        self.settle(freed, &mut events);
        events
    }

    /// Frees single keys. Where the transaction holds a range over them, others wait on.
    pub fn release_keys(&mut self, txn: TxnId, keys: &[Key]) -> Vec<LockEvent> {
        let mut freed = VecDeque::new();
        for key in keys {
            if let Some(lock) = self.keys.get_mut(key)
                && lock.held_by(txn).is_some()
            {
                lock.release(txn);
                self.forget_key(txn, key);
                freed.push_back(Freed::Key(key.clone()));
            }
        }
        self.drop_txn_if_unused(txn);
        let mut events = Vec::new();
        self.settle(freed, &mut events);
        events
    }

    /// Goes through the request's items from where it is until it is over or has to wait.
    fn advance(
        &mut self,
        id: RequestId,
        mut request: Request,
        events: &mut Vec<LockEvent>,
        freed: &mut VecDeque<Freed>,
    ) {
        while let Some((target, mode)) = request.items.get(request.at) {
            let (txn, mode) = (request.txn, *mode);
            let group = group_of(target);
            let ticket = request.ticket.take().unwrap_or(u64::MAX);
            let behind_range = self.is_behind_range(txn, target, mode, ticket);
            let granted = match (target, behind_range) {
                (_, Some(true)) => None,
                // Covered by a range of its own.
                (_, None) => Some(Grant::Held),
                (LockTarget::Range(range), Some(false)) => {
                    let held = HeldRange { txn, range: range.clone(), mode };
                    self.groups.entry(group).or_default().held.push(held);
                    Some(Grant::New)
                }
                (LockTarget::Key(key), Some(false)) => {
                    self.keys.entry(key.clone()).or_default().try_grant(txn, mode, ticket)
                }
            };
            if let Some(grant) = granted {
                self.note_grant(&mut request, grant, freed);
                continue;
            }
            if request.skip_locked {
                self.forget_if_unused(&request.items[request.at].0);
                request.granted.push(false);
                request.at += 1;
                continue;
            }
            if !request.may_wait {
                freed.extend(self.undo(&request));
                events.push(LockEvent { request: id, outcome: LockOutcome::NotAvailable });
                return;
            }
            request.ticket = (ticket != u64::MAX).then_some(ticket);
            self.wait(id, request, behind_range == Some(true), events, freed);
            return;
        }
        events.push(LockEvent { request: id, outcome: LockOutcome::Granted(request.granted) });
    }

    /// Puts a request in line for its current item: at its old place if it has stood in another queue for it.
    fn wait(
        &mut self,
        id: RequestId,
        mut request: Request,
        behind_range: bool,
        events: &mut Vec<LockEvent>,
        freed: &mut VecDeque<Freed>,
    ) {
        let (target, mode) = request.items[request.at].clone();
        let (txn, kept) = (request.txn, request.ticket.take());
        let ticket = kept.unwrap_or(self.next_ticket);
        self.next_ticket += u64::from(kept.is_none());
        request.waits = Some(match &target {
            LockTarget::Key(key) if !behind_range => {
                Waits::Key(self.keys.entry(key.clone()).or_default().enqueue(id, txn, mode, ticket))
            }
            _ => {
                let group = self.groups.entry(group_of(&target)).or_default();
                group.enqueue(GroupWaiter { request: id, txn, target: target.clone(), mode, ticket });
                Waits::Group(ticket)
            }
        });
        self.forget_if_unused(&target);
        let state = self.txns.entry(txn).or_default();
        state.waiting.push(id);
        // Who is last in one queue only, and holds nothing that others wait for, cannot close a circle.
        let last_in_one_queue = state.waiting.len() == 1 && kept.is_none();
        self.requests.insert(id, request);
        if !(last_in_one_queue && self.nobody_waits_for(txn)) {
            self.resolve_deadlocks(txn, events, freed);
        }
    }

    /// The request's current item is granted; it goes on to the next.
    fn note_grant(&mut self, request: &mut Request, grant: Grant, freed: &mut VecDeque<Freed>) {
        let at = request.at;
        let target = &request.items[at].0;
        if grant == Grant::New {
            let txn = self.txns.entry(request.txn).or_default();
            match target {
                LockTarget::Key(key) => txn.keys.push(key.clone()),
                LockTarget::Range(range) => txn.ranges.push(range.clone()),
            }
            self.held += 1;
        }
        // Another request of the same transaction may have brought it and still wait: if that one fails, the lock stays.
        for id in self.txns.get(&request.txn).map_or(&[][..], |txn| &txn.waiting) {
            if let Some(other) = self.requests.get_mut(id) {
                let items = &other.items;
                other.grants.retain(|(granted, _)| !ranges::overlap(&items[*granted].0, target));
            }
        }
        if grant != Grant::Held && self.txns.get(&request.txn).is_some_and(|txn| !txn.waiting.is_empty()) {
            freed.push_back(Freed::Gained(request.txn, target.clone()));
        }
        if grant != Grant::Held {
            request.grants.push((at, grant));
        }
        if matches!(target, LockTarget::Key(_)) {
            request.granted.push(true);
        }
        request.at += 1;
    }

    /// Hands on what was freed, until nothing more can be granted.
    fn settle(&mut self, mut freed: VecDeque<Freed>, events: &mut Vec<LockEvent>) {
        while let Some(next) = freed.pop_front() {
            match next {
                Freed::Key(key) => {
                    self.settle_key(&key, events, &mut freed);
                    if !self.groups.is_empty() {
                        self.settle_group(group_of_key(&key), events, &mut freed);
                    }
                }
                Freed::Group(group) => self.settle_group(group, events, &mut freed),
                Freed::Gained(txn, target) => {
                    if let LockTarget::Key(key) = &target {
                        self.settle_held(txn, key, events, &mut freed);
                    }
                    self.settle_group(group_of(&target), events, &mut freed);
                    // Those who want it wait from now on for one who waits.
                    if self.txns.get(&txn).is_some_and(|txn| !txn.waiting.is_empty()) {
                        self.resolve_deadlocks(txn, events, &mut freed);
                    }
                }
            }
        }
    }

    fn settle_key(&mut self, key: &Key, events: &mut Vec<LockEvent>, freed: &mut VecDeque<Freed>) {
        loop {
            if let Some(waiter) = self.overtaken_by_range(key) {
                self.requeue_behind_range(key, waiter, events, freed);
                continue;
            }
            let Some((waiter, grant)) = self.keys.get_mut(key).and_then(KeyLock::grant_next) else { break };
            self.go_on(waiter.request, grant, events, freed);
            self.settle_held(waiter.txn, key, events, freed);
        }
        if self.keys.get(key).is_some_and(KeyLock::is_unused) {
            self.keys.remove(key);
        }
    }

    /// Lets other requests of a transaction go on that wait for a key which it has got.
    fn settle_held(&mut self, txn: TxnId, key: &Key, events: &mut Vec<LockEvent>, freed: &mut VecDeque<Freed>) {
        let waiting = self.txns.get(&txn).map(|txn| txn.waiting.clone()).unwrap_or_default();
        for id in waiting {
            let place = self.requests.get(&id).and_then(|other| match (&other.items[other.at].0, other.waits) {
                (LockTarget::Key(wanted), Some(Waits::Key(place))) if wanted == key => Some(place),
                _ => None,
            });
            let lock = self.keys.get_mut(key);
            if let Some(also) = lock.zip(place).and_then(|(lock, place)| lock.grant_held(place)) {
                self.go_on(also.request, Grant::Held, events, freed);
            }
        }
    }

    /// The first waiter of a key, if somebody has got a range over the key meanwhile that keeps it from the key.
    fn overtaken_by_range(&self, key: &Key) -> Option<Waiter> {
        let group = self.groups.get(&group_of_key(key))?;
        let waiter = *self.keys.get(key)?.waiters().next()?;
        group.excluding(waiter.txn, &LockTarget::Key(key.clone()), waiter.mode).next().map(|_| waiter)
    }

    /// Such a waiter waits for the range from now on: who came after it may have the key before.
    fn requeue_behind_range(
        &mut self,
        key: &Key,
        waiter: Waiter,
        events: &mut Vec<LockEvent>,
        freed: &mut VecDeque<Freed>,
    ) {
        if let Some(lock) = self.keys.get_mut(key) {
            lock.forget_waiter(waiter.place);
        }
        let Some(mut request) = self.requests.remove(&waiter.request) else {
            unreachable!("who waits in a queue is a waiting request");
        };
        self.forget_waiting(waiter.txn, waiter.request);
        request.waits = None;
        request.ticket = Some(waiter.place.ticket);
        self.advance(waiter.request, request, events, freed);
    }

    /// Lets those go on in an index's queue who have nothing in their way any more.
    fn settle_group(&mut self, group: Group, events: &mut Vec<LockEvent>, freed: &mut VecDeque<Freed>) {
        loop {
            let free = self.groups.get(&group).and_then(|state| {
                let unblocked = |waiter: &&GroupWaiter| {
                    self.is_behind_range(waiter.txn, &waiter.target, waiter.mode, waiter.ticket) != Some(true)
                };
                state.queue.iter().find(unblocked).cloned()
            });
            let Some(waiter) = free else { break };
            if let Some(state) = self.groups.get_mut(&group) {
                state.forget_waiter(waiter.ticket);
            }
            let Some(mut request) = self.requests.remove(&waiter.request) else {
                unreachable!("who waits in a queue is a waiting request");
            };
            self.forget_waiting(waiter.txn, waiter.request);
            request.waits = None;
            request.ticket = Some(waiter.ticket);
            // It may have to wait for another holder of its key now, or for its next item.
            self.advance(waiter.request, request, events, freed);
        }
        if self.groups.get(&group).is_some_and(RangeGroup::is_unused) {
            self.groups.remove(&group);
        }
    }

    /// A waiting request was granted the key it waited for.
    fn go_on(&mut self, id: RequestId, grant: Grant, events: &mut Vec<LockEvent>, freed: &mut VecDeque<Freed>) {
        let Some(mut request) = self.requests.remove(&id) else {
            unreachable!("who waits in a queue is a waiting request");
        };
        self.note_grant(&mut request, grant, freed);
        self.forget_waiting(request.txn, id);
        request.waits = None;
        self.advance(id, request, events, freed);
    }

    /// Ends cycles through `txn`, which has just begun to wait, by giving up the cheapest transaction in each.
    fn resolve_deadlocks(&mut self, txn: TxnId, events: &mut Vec<LockEvent>, freed: &mut VecDeque<Freed>) {
        while let Some(cycle) = find_cycle(txn, |txn| self.blockers(txn)) {
            // Fewest locks is least work lost; among equals, the one whose request closed the cycle.
            let work = |candidate: &TxnId| (self.txns.get(candidate).map_or(0, Txn::held), *candidate != txn);
            let Some(victim) = cycle.iter().copied().min_by_key(work) else {
                unreachable!("a cycle has members");
            };
            let waiting = cycle.iter().filter_map(|txn| self.txns.get(txn)).flat_map(|txn| &txn.waiting);
            let waits = waiting.take(DEADLOCK_WAITS_MAX).filter_map(|id| self.wait_of(*id)).collect();
            self.latest_deadlock = Some((waits, victim));
            self.victims.insert(victim);
            let released = self.end_txn(victim, LockOutcome::Deadlock, events);
            freed.extend(released);
            if victim == txn {
                return;
            }
        }
    }

    /// Ends a waiting request. Returns what others may get now.
    fn fail(&mut self, id: RequestId, outcome: LockOutcome, events: &mut Vec<LockEvent>) -> VecDeque<Freed> {
        let Some(request) = self.requests.remove(&id) else {
            return VecDeque::new();
        };
        let target = &request.items[request.at].0;
        match (request.waits, target) {
            (Some(Waits::Key(place)), LockTarget::Key(key)) => {
                if let Some(lock) = self.keys.get_mut(key) {
                    lock.forget_waiter(place);
                }
            }
            (Some(Waits::Group(ticket)), _) => {
                if let Some(group) = self.groups.get_mut(&group_of(target)) {
                    group.forget_waiter(ticket);
                }
            }
            _ => {}
        }
        self.forget_waiting(request.txn, id);
        let freed = self.undo(&request);
        events.push(LockEvent { request: id, outcome });
        freed
    }

    /// Takes back the grants of a request that failed.
    fn undo(&mut self, request: &Request) -> VecDeque<Freed> {
        let mut freed = VecDeque::new();
        for (at, grant) in request.grants.iter().rev() {
            let (target, mode) = &request.items[*at];
            match target {
                LockTarget::Key(key) => {
                    if let Some(lock) = self.keys.get_mut(key) {
                        lock.undo(request.txn, *grant);
                    }
                    if *grant == Grant::New {
                        self.forget_key(request.txn, key);
                    }
                }
                LockTarget::Range(range) => {
                    if let Some(group) = self.groups.get_mut(&group_of(target)) {
                        group.release_one(request.txn, range, *mode);
                    }
                    self.held -= 1;
                    if let Some(txn) = self.txns.get_mut(&request.txn)
                        && let Some(found) = txn.ranges.iter().rposition(|held| held == range)
                    {
                        txn.ranges.swap_remove(found);
                    }
                }
            }
            freed.push_back(freed_by(target));
        }
        // What was only looked at leaves no trace either, and lets those behind it go on.
        if let Some((target, _)) = request.items.get(request.at) {
            freed.push_back(freed_by(target));
        }
        self.drop_txn_if_unused(request.txn);
        freed
    }

    /// A key is no longer among those that the transaction holds.
    fn forget_key(&mut self, txn: TxnId, key: &Key) {
        if let Some(txn) = self.txns.get_mut(&txn)
            && let Some(found) = txn.keys.iter().rposition(|held| held == key)
        {
            txn.keys.swap_remove(found);
            self.held -= 1;
        }
    }

    fn end_txn(&mut self, txn: TxnId, outcome: LockOutcome, events: &mut Vec<LockEvent>) -> VecDeque<Freed> {
        let mut freed = VecDeque::new();
        let waiting = self.txns.get(&txn).map(|txn| txn.waiting.clone()).unwrap_or_default();
        for id in waiting {
            freed.extend(self.fail(id, outcome.clone(), events));
        }
        if let Some(state) = self.txns.remove(&txn) {
            self.held -= state.held();
            for range in state.ranges {
                let group = group_of_key(&range.start);
                if let Some(state) = self.groups.get_mut(&group) {
                    state.held.retain(|held| held.txn != txn);
                }
                freed.push_back(Freed::Group(group));
            }
            for key in state.keys {
                let Entry::Occupied(mut lock) = self.keys.entry(key) else { continue };
                lock.get_mut().release(txn);
                if !lock.get().is_unused() {
                    freed.push_back(Freed::Key(lock.key().clone()));
                    continue;
                }
                let group = group_of_key(lock.key());
                lock.remove();
                if self.groups.contains_key(&group) {
                    freed.push_back(Freed::Group(group));
                }
            }
        }
        freed
    }

    /// A key or an index that was only looked at leaves no trace.
    fn forget_if_unused(&mut self, target: &LockTarget) {
        if let LockTarget::Key(key) = target
            && self.keys.get(key).is_some_and(KeyLock::is_unused)
        {
            self.keys.remove(key);
        }
    }

    fn forget_waiting(&mut self, txn: TxnId, id: RequestId) {
        if let Some(state) = self.txns.get_mut(&txn) {
            state.waiting.retain(|other| *other != id);
        }
        self.drop_txn_if_unused(txn);
    }

    fn drop_txn_if_unused(&mut self, txn: TxnId) {
        if self.txns.get(&txn).is_some_and(|state| state.held() == 0 && state.waiting.is_empty()) {
            self.txns.remove(&txn);
        }
    }

    /// Nothing is held, waited for or remembered.
    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.groups.is_empty() && self.txns.is_empty() && self.requests.is_empty()
    }
}

fn freed_by(target: &LockTarget) -> Freed {
    match target {
        LockTarget::Key(key) => Freed::Key(key.clone()),
        LockTarget::Range(range) => Freed::Group(group_of_key(&range.start)),
    }
}
