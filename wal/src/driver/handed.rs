//! Locks of commits that have their LSN and are not durable yet: they have passed on to others already.
//!
//! Whoever gets such a lock comes after that commit, and must see all of it: not only the rows that were locked, but
//! whatever else the commit wrote. So the grant tells the LSN, and what is read from then on is read there or later.

use common::id::Lsn;
use common::key::{Key, KeyRange};
use common::service::wal::{LockMode, LockTarget};
use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;

#[derive(Debug, Clone, Copy, Default)]
struct Newest {
    shared: Lsn,
    exclusive: Lsn,
}

impl Newest {
    /// Of the holders that a lock in this mode had to come after.
    fn before(self, mode: LockMode) -> Lsn {
        match mode {
            LockMode::Shared => self.exclusive,
            LockMode::Exclusive => self.exclusive.max(self.shared),
        }
    }
}

#[derive(Default)]
pub struct HandedOn {
    keys: BTreeMap<Key, Newest>,
    ranges: Vec<(KeyRange, LockMode, Lsn)>,
    /// Oldest first, to forget them.
    order: VecDeque<(Lsn, Vec<Key>)>,
}

impl HandedOn {
    pub fn insert(&mut self, locks: Vec<(LockTarget, LockMode)>, lsn: Lsn) {
        let mut held = Vec::with_capacity(locks.len());
        for (target, mode) in locks {
            match target {
                LockTarget::Key(key) => {
                    let newest = self.keys.entry(key.clone()).or_default();
                    match mode {
                        LockMode::Shared => newest.shared = lsn,
                        LockMode::Exclusive => newest.exclusive = lsn,
                    }
                    held.push(key);
                }
                LockTarget::Range(range) => self.ranges.push((range, mode, lsn)),
            }
        }
        self.order.push_back((lsn, held));
    }

    /// Everything up to here is durable.
    pub fn durable(&mut self, up_to: Lsn) {
        while self.order.front().is_some_and(|(lsn, _)| *lsn <= up_to)
            && let Some((_, keys)) = self.order.pop_front()
        {
            for key in keys {
                if self.keys.get(&key).is_some_and(|newest| newest.shared <= up_to && newest.exclusive <= up_to) {
                    self.keys.remove(&key);
                }
            }
        }
        self.ranges.retain(|(_, _, lsn)| *lsn > up_to);
    }

    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// The newest commit that a holder of `key` comes after; zero if there is none.
    pub fn before_key(&self, key: &Key, mode: LockMode) -> Lsn {
        let of_key = self.keys.get(key).map_or(Lsn::ZERO, |newest| newest.before(mode));
        let ranges = self.ranges.iter().filter(|(range, held, _)| excludes(*held, mode) && range.contains(key));
        ranges.map(|(_, _, lsn)| *lsn).max().unwrap_or_default().max(of_key)
    }

    pub fn before_range(&self, range: &KeyRange, mode: LockMode) -> Lsn {
        if range.is_empty() {
            return Lsn::ZERO;
        }
        let end = if range.end.is_empty() { Bound::Unbounded } else { Bound::Excluded(&range.end) };
        let keys = self.keys.range::<Key, _>((Bound::Included(&range.start), end));
        let of_keys = keys.map(|(_, newest)| newest.before(mode)).max().unwrap_or_default();
        let ranges = self.ranges.iter().filter(|(other, held, _)| excludes(*held, mode) && range.overlaps(other));
        ranges.map(|(_, _, lsn)| *lsn).max().unwrap_or_default().max(of_keys)
    }
}

fn excludes(one: LockMode, other: LockMode) -> bool {
    one == LockMode::Exclusive || other == LockMode::Exclusive
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_comes_after_those_that_it_excludes_until_they_are_durable() {
        let key = |name: &'static str| Key::from_static(name.as_bytes());
        let range = |start, end| KeyRange { start: key(start), end: key(end) };
        let mut handed = HandedOn::default();
        handed.insert(vec![(LockTarget::Key(key("a")), LockMode::Shared)], Lsn(1));
        handed.insert(
            vec![
                (LockTarget::Key(key("a")), LockMode::Exclusive),
                (LockTarget::Range(range("c", "f")), LockMode::Shared),
            ],
            Lsn(2),
        );
        handed.insert(vec![(LockTarget::Key(key("a")), LockMode::Shared)], Lsn(3));
        assert_eq!(handed.before_key(&key("a"), LockMode::Shared), Lsn(2));
        assert_eq!(handed.before_key(&key("a"), LockMode::Exclusive), Lsn(3));
        assert_eq!(handed.before_key(&key("d"), LockMode::Shared), Lsn(0));
        assert_eq!(handed.before_key(&key("d"), LockMode::Exclusive), Lsn(2));
        assert_eq!(handed.before_range(&range("a", "b"), LockMode::Shared), Lsn(2));
        assert_eq!(handed.before_range(&range("e", "z"), LockMode::Exclusive), Lsn(2));
        handed.durable(Lsn(2));
        assert_eq!(handed.before_key(&key("d"), LockMode::Exclusive), Lsn(0));
        assert_eq!(handed.before_key(&key("a"), LockMode::Exclusive), Lsn(3));
        handed.durable(Lsn(3));
        assert!(handed.is_empty() && handed.keys.is_empty() && handed.ranges.is_empty());
    }
}
