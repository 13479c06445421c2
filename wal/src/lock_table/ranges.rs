//! Ranges of one index: who holds them, and who waits because of one.
//!
//! A range stands for every key in it, there or not: it excludes locks on these keys as each key's own lock would. Two
//! ranges that exclude each other and overlap wait for one another, also where no row lies in both.

use super::key_lock::compatible;
use super::table::RequestId;
use common::id::TxnId;
use common::key::{KEY_PREFIX_BYTES, Key, KeyRange};
use common::service::wal::{LockMode, LockTarget};
use std::collections::VecDeque;

/// The keys of one index, by their common beginning.
pub type Group = u64;

pub fn group_of_key(key: &[u8]) -> Group {
    let mut prefix = [0; KEY_PREFIX_BYTES];
    let length = key.len().min(KEY_PREFIX_BYTES);
    prefix[..length].copy_from_slice(&key[..length]);
    Group::from_be_bytes(prefix)
}

pub fn group_of(target: &LockTarget) -> Group {
    match target {
        LockTarget::Key(key) => group_of_key(key),
        LockTarget::Range(range) => group_of_key(&range.start),
    }
}

/// True if every key that a range can hold is of one group: the range is within one index.
pub fn is_within_group(range: &KeyRange) -> bool {
    let group = group_of_key(&range.start);
    match group.checked_add(1) {
        Some(next) => !range.end.is_empty() && range.end[..] <= next.to_be_bytes()[..],
        None => true,
    }
}

pub fn overlap(one: &LockTarget, other: &LockTarget) -> bool {
    match (one, other) {
        (LockTarget::Key(one), LockTarget::Key(other)) => one == other,
        (LockTarget::Key(key), LockTarget::Range(range)) | (LockTarget::Range(range), LockTarget::Key(key)) => {
            range.contains(key)
        }
        (LockTarget::Range(one), LockTarget::Range(other)) => one.overlaps(other),
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldRange {
    pub txn: TxnId,
    pub range: KeyRange,
    pub mode: LockMode,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupWaiter {
    pub request: RequestId,
    pub txn: TxnId,
    pub target: LockTarget,
    pub mode: LockMode,
    pub ticket: u64,
}

/// There is one only while it has something in it.
#[derive(Debug, Default)]
pub struct RangeGroup {
    pub held: Vec<HeldRange>,
    /// In order of their tickets: ranges, and keys that a range keeps from being granted.
    pub queue: VecDeque<GroupWaiter>,
}

impl RangeGroup {
    pub fn is_unused(&self) -> bool {
        self.held.is_empty() && self.queue.is_empty()
    }

    /// True if a range of the transaction holds all of `target` in this mode or a stronger one.
    pub fn covers(&self, txn: TxnId, target: &LockTarget, mode: LockMode) -> bool {
        self.held.iter().any(|held| {
            held.txn == txn
                && (held.mode == LockMode::Exclusive || mode == LockMode::Shared)
                && match target {
                    LockTarget::Key(key) => held.range.contains(key),
                    LockTarget::Range(range) => encloses(&held.range, range),
                }
        })
    }

    /// True if a range that the transaction holds keeps others from `target`.
    pub fn holds_against(&self, txn: TxnId, target: &LockTarget, mode: LockMode) -> bool {
        self.held
            .iter()
            .any(|held| held.txn == txn && !compatible(held.mode, mode) && contains_or_overlaps(&held.range, target))
    }

    /// Other transactions' ranges that exclude this.
    pub fn excluding(&self, txn: TxnId, target: &LockTarget, mode: LockMode) -> impl Iterator<Item = TxnId> {
        self.held
            .iter()
            .filter(move |held| {
                held.txn != txn && !compatible(held.mode, mode) && contains_or_overlaps(&held.range, target)
            })
            .map(|held| held.txn)
    }

    /// Takes back one grant.
    pub fn release_one(&mut self, txn: TxnId, range: &KeyRange, mode: LockMode) {
        let found = self.held.iter().rposition(|held| held.txn == txn && held.mode == mode && held.range == *range);
        if let Some(found) = found {
            self.held.swap_remove(found);
        }
    }

    /// In its place by its ticket, which may be older than others' here.
    pub fn enqueue(&mut self, waiter: GroupWaiter) {
        let at = self.queue.partition_point(|other| other.ticket < waiter.ticket);
        self.queue.insert(at, waiter);
    }

    pub fn forget_waiter(&mut self, ticket: u64) {
        if let Ok(at) = self.queue.binary_search_by_key(&ticket, |waiter| waiter.ticket) {
            self.queue.remove(at);
        }
    }
}

fn contains_or_overlaps(range: &KeyRange, target: &LockTarget) -> bool {
    match target {
        LockTarget::Key(key) => range.contains(key),
        LockTarget::Range(other) => range.overlaps(other),
    }
}

fn encloses(outer: &KeyRange, inner: &KeyRange) -> bool {
    outer.start <= inner.start && (outer.end.is_empty() || (!inner.end.is_empty() && inner.end <= outer.end))
}

/// Bounds for an ordered map of keys; the range is not empty.
pub fn bounds(range: &KeyRange) -> (std::ops::Bound<Key>, std::ops::Bound<Key>) {
    use std::ops::Bound;
    let end = if range.end.is_empty() { Bound::Unbounded } else { Bound::Excluded(range.end.clone()) };
    (Bound::Included(range.start.clone()), end)
}
