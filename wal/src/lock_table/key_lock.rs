//! One key: its holders, and its queue.

use super::table::RequestId;
use common::id::TxnId;
use common::service::wal::LockMode;
use std::collections::VecDeque;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiter {
    pub request: RequestId,
    pub txn: TxnId,
    pub mode: LockMode,
    pub place: Place,
}

/// A place in a queue: upgrades (of holders in shared mode) before the rest, each in order of their tickets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    behind_upgrades: bool,
    pub ticket: u64,
}

#[derive(Debug, Default)]
pub struct KeyLock {
    /// One per transaction.
    holders: Vec<(TxnId, LockMode)>,
    queue: VecDeque<Waiter>,
}

/// What an immediate grant changed, so that it can be taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grant {
    /// The transaction held it in this mode or a stronger one.
    Held,
    /// It is a new holder.
    New,
    /// It held it shared.
    Upgraded,
}

pub fn compatible(one: LockMode, other: LockMode) -> bool {
    one == LockMode::Shared && other == LockMode::Shared
}

impl KeyLock {
    pub fn is_unused(&self) -> bool {
        self.holders.is_empty() && self.queue.is_empty()
    }

    pub fn held_by(&self, txn: TxnId) -> Option<LockMode> {
        self.holders.iter().find(|(holder, _)| *holder == txn).map(|(_, mode)| *mode)
    }

    pub fn holders(&self) -> &[(TxnId, LockMode)] {
        &self.holders
    }

    pub fn waiters(&self) -> impl Iterator<Item = &Waiter> {
        self.queue.iter()
    }

    /// Transactions that hold this key, or have asked for it before `ticket`, in a mode that excludes `mode`; without
    /// those who wait for `txn` itself.
    pub fn in_the_way_of(&self, txn: TxnId, mode: LockMode, ticket: u64) -> impl Iterator<Item = TxnId> {
        let own = self.held_by(txn);
        let holders = self.holders.iter().filter(move |(holder, held)| *holder != txn && !compatible(*held, mode));
        let waiters = self.queue.iter().filter(move |waiter| {
            waiter.txn != txn
                && waiter.place.ticket < ticket
                && !compatible(waiter.mode, mode)
                && own.is_none_or(|own| compatible(own, waiter.mode))
        });
        holders.map(|(holder, _)| *holder).chain(waiters.map(|waiter| waiter.txn))
    }

    /// True if no other transaction holds it in a mode that excludes `mode`.
    fn compatible_with_holders(&self, txn: TxnId, mode: LockMode) -> bool {
        self.holders.iter().all(|(holder, held)| *holder == txn || compatible(*held, mode))
    }

    /// Grants at once, or not at all. Does not overtake waiters that asked before `ticket`, unless the transaction holds the
    /// key already.
    pub fn try_grant(&mut self, txn: TxnId, mode: LockMode, ticket: u64) -> Option<Grant> {
        let place = Place { behind_upgrades: true, ticket };
        match self.held_by(txn) {
            Some(held) if held == LockMode::Exclusive || held == mode => Some(Grant::Held),
            Some(_) => self.compatible_with_holders(txn, mode).then(|| self.grant(txn, mode)),
            None if self.queue.front().is_none_or(|first| place < first.place)
                && self.compatible_with_holders(txn, mode) =>
            {
                Some(self.grant(txn, mode))
            }
            None => None,
        }
    }

    fn grant(&mut self, txn: TxnId, mode: LockMode) -> Grant {
        match self.holders.iter_mut().find(|(holder, _)| *holder == txn) {
            Some((_, held)) if *held == LockMode::Exclusive || *held == mode => Grant::Held,
            Some((_, held)) => {
                *held = LockMode::Exclusive;
                Grant::Upgraded
            }
            None => {
                self.holders.push((txn, mode));
                Grant::New
            }
        }
    }

    /// Puts a request that could not be granted in line, by its ticket: upgrades before the rest.
    pub fn enqueue(&mut self, request: RequestId, txn: TxnId, mode: LockMode, ticket: u64) -> Place {
        let place = Place { behind_upgrades: self.held_by(txn).is_none(), ticket };
        let at = self.queue.partition_point(|other| other.place < place);
        self.queue.insert(at, Waiter { request, txn, mode, place });
        place
    }

    pub fn forget_waiter(&mut self, place: Place) {
        if let Ok(at) = self.queue.binary_search_by_key(&place, |waiter| waiter.place) {
            self.queue.remove(at);
        }
    }

    /// Takes a grant back.
    pub fn undo(&mut self, txn: TxnId, grant: Grant) {
        match grant {
            Grant::Held => {}
            Grant::New => self.release(txn),
            Grant::Upgraded => {
                if let Some((_, held)) = self.holders.iter_mut().find(|(holder, _)| *holder == txn) {
                    *held = LockMode::Shared;
                }
            }
        }
    }

    pub fn release(&mut self, txn: TxnId) {
        self.holders.retain(|(holder, _)| *holder != txn);
    }

    /// Grants the first waiter if it can be granted now.
    pub fn grant_next(&mut self) -> Option<(Waiter, Grant)> {
        let next = *self.queue.front()?;
        if !self.compatible_with_holders(next.txn, next.mode) {
            return None;
        }
        self.queue.pop_front();
        let grant = self.grant(next.txn, next.mode);
        Some((next, grant))
    }

    /// Grants a waiter wherever it stands if its transaction has come to hold the key as it wants. Otherwise it might wait
    /// behind somebody who waits for it.
    pub fn grant_held(&mut self, place: Place) -> Option<Waiter> {
        let at = self.queue.binary_search_by_key(&place, |waiter| waiter.place).ok()?;
        let held = self.held_by(self.queue[at].txn)?;
        if held == LockMode::Exclusive || held == self.queue[at].mode { self.queue.remove(at) } else { None }
    }

    /// Transactions that have to act before this waiter can be granted, without those that one of these waits for
    /// anyway: a queue of a thousand writers is a chain, not a web.
    pub fn blockers(&self, place: Place) -> Vec<TxnId> {
        let Ok(at) = self.queue.binary_search_by_key(&place, |waiter| waiter.place) else {
            return Vec::new();
        };
        let Waiter { txn, mode, .. } = self.queue[at];
        let mut blockers = Vec::new();
        for ahead in self.queue.range(..at).rev().filter(|ahead| ahead.txn != txn && !compatible(ahead.mode, mode)) {
            blockers.push(ahead.txn);
            if ahead.mode == LockMode::Exclusive {
                // It waits for every other holder and for everyone ahead of it. Its own shared lock, if it is an
                // upgrade, is covered by waiting for it.
                return blockers;
            }
        }
        let holders = self.holders.iter().filter(|(holder, held)| *holder != txn && !compatible(*held, mode));
        blockers.extend(holders.map(|(holder, _)| *holder));
        blockers
    }
}
