//! Who is in whose way: ranges and keys that keep a request waiting, and the waits-for graph that comes of it.

use super::key_lock::{KeyLock, compatible};
use super::ranges::{self, Group, HeldRange, group_of, group_of_key};
use super::table::{LockTable, RequestId, Waits};
use common::id::TxnId;
use common::key::Key;
use common::service::wal::{LockMode, LockTarget};
use std::ops::ControlFlow;

/// Beyond this many locks it is cheaper to follow who waits for whom than to look at each of them.
const HELD_LOOKED_AT_MAX: usize = 64;

impl LockTable {
    /// True if a range (for a range: also a key in it) is in the way; `None` if a range of the transaction's own covers it.
    pub(super) fn is_behind_range(&self, txn: TxnId, target: &LockTarget, mode: LockMode, ticket: u64) -> Option<bool> {
        if let LockTarget::Key(key) = target {
            if self.groups.is_empty() {
                return Some(false);
            }
            let held = self.keys.get(key).and_then(|lock| lock.held_by(txn));
            if held.is_some_and(|held| held == LockMode::Exclusive || held == mode) {
                return Some(false);
            }
        }
        if self.groups.get(&group_of(target)).is_some_and(|group| group.covers(txn, target, mode)) {
            return None;
        }
        Some(self.visit_blockers(txn, target, mode, ticket, &mut |_| ControlFlow::Break(())).is_break())
    }

    /// Transactions that keep `txn` from `target` by ranges held or asked for before `ticket`; for a range also by keys.
    fn visit_blockers(
        &self,
        txn: TxnId,
        target: &LockTarget,
        mode: LockMode,
        ticket: u64,
        visit: &mut dyn FnMut(TxnId) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        if let Some(group) = self.groups.get(&group_of(target)) {
            for other in group.excluding(txn, target, mode) {
                visit(other)?;
            }
            for ahead in group.queue.iter().take_while(|ahead| ahead.ticket < ticket) {
                let both_keys = matches!((&ahead.target, target), (LockTarget::Key(_), LockTarget::Key(_)));
                if ahead.txn != txn
                    && !both_keys
                    && !compatible(ahead.mode, mode)
                    && ranges::overlap(&ahead.target, target)
                    && !self.holds_against(txn, &ahead.target, ahead.mode)
                {
                    visit(ahead.txn)?;
                }
            }
        }
        if let LockTarget::Range(range) = target {
            for (_, lock) in self.keys.range(ranges::bounds(range)) {
                for other in lock.in_the_way_of(txn, mode, ticket) {
                    visit(other)?;
                }
            }
        }
        ControlFlow::Continue(())
    }

    /// True if somebody other than `own` holds the key, or a range over it, in a mode that excludes `mode`.
    pub fn is_locked_against(&self, key: &Key, mode: LockMode, own: impl Fn(TxnId) -> bool) -> bool {
        let of_key = self
            .keys
            .get(key)
            .is_some_and(|lock| lock.holders().iter().any(|(holder, held)| !compatible(*held, mode) && !own(*holder)));
        of_key
            || self.groups.get(&group_of_key(key)).is_some_and(|group| {
                let excludes = |held: &HeldRange| !compatible(held.mode, mode) && held.range.contains(key);
                group.held.iter().any(|held| excludes(held) && !own(held.txn))
            })
    }

    /// True if what the transaction holds keeps others from `target`.
    fn holds_against(&self, txn: TxnId, target: &LockTarget, mode: LockMode) -> bool {
        if self.groups.get(&group_of(target)).is_some_and(|group| group.holds_against(txn, target, mode)) {
            return true;
        }
        let holds = |lock: &KeyLock| lock.held_by(txn).is_some_and(|held| !compatible(held, mode));
        match target {
            LockTarget::Key(key) => self.keys.get(key).is_some_and(holds),
            LockTarget::Range(range) => self.keys.range(ranges::bounds(range)).any(|(_, lock)| holds(lock)),
        }
    }

    /// True if it is certain, at little cost, that nobody waits for what the transaction holds.
    pub(super) fn nobody_waits_for(&self, txn: TxnId) -> bool {
        let Some(state) = self.txns.get(&txn).filter(|state| state.held() <= HELD_LOOKED_AT_MAX) else { return false };
        let quiet = |group: Group| self.groups.get(&group).is_none_or(|group| group.queue.is_empty());
        let unwanted = |key: &Key| {
            self.keys.get(key).is_none_or(|lock| lock.waiters().next().is_none()) && quiet(group_of_key(key))
        };
        state.keys.iter().all(unwanted) && state.ranges.iter().all(|range| quiet(group_of_key(&range.start)))
    }

    pub(super) fn blockers(&self, txn: TxnId) -> Vec<TxnId> {
        let waiting = self.txns.get(&txn).map_or(&[][..], |txn| &txn.waiting);
        waiting.iter().flat_map(|id| self.blockers_of_request(*id)).collect()
    }

    pub(super) fn blockers_of_request(&self, id: RequestId) -> Vec<TxnId> {
        let Some(request) = self.requests.get(&id) else { return Vec::new() };
        let (target, mode) = &request.items[request.at];
        match (request.waits, target) {
            (Some(Waits::Key(place)), LockTarget::Key(key)) => {
                self.keys.get(key).map(|lock| lock.blockers(place)).unwrap_or_default()
            }
            (Some(Waits::Group(ticket)), _) => {
                let mut blockers = Vec::new();
                let _ = self.visit_blockers(request.txn, target, *mode, ticket, &mut |other| {
                    // Consecutive keys of one holder are the rule.
                    if blockers.last() != Some(&other) {
                        blockers.push(other);
                    }
                    ControlFlow::Continue(())
                });
                blockers
            }
            _ => Vec::new(),
        }
    }
}
