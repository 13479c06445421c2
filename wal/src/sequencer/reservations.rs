//! Reservations: AUTO_INCREMENT values that this leader may hand out, because the log says so.
//!
//! A value is given to nobody before the log has a value of the counter that is above it, so no later leader gives it
//! again, whatever became of the transaction that got it. Each reservation reaches ahead by as many values as the counter
//! has handed out under this leader: a busy counter waits for the log once in a while, and a crash leaves a gap of at most
//! that many. A clean stop gives back what is left.
//!
//! Invariants
//! - `next <= reserved`, and `durable <= reserved`, but right after the counter was set back.
//! - What the log says of the counter, when all that has its LSN is applied, is `reserved`.

use super::counters::Counters;
use common::id::{CounterId, Lsn};
use common::service::wal::CounterBump;
use std::collections::HashMap;

/// However busy a counter is, its reservations reach no further ahead.
const AHEAD_MAX: u64 = 1 << 16;

#[derive(Debug, Clone, Copy)]
struct Reserved {
    /// Every value below has been handed out, or is not to be.
    next: u64,
    /// What the log has of the counter, or will have at `lsn`.
    reserved: u64,
    lsn: Lsn,
    /// What it has already.
    durable: u64,
    handed_out: u64,
}

/// Values that were handed out, and what has to happen to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handed {
    pub first: u64,
    /// The log has to say this of the counter.
    pub reserve: Option<CounterBump>,
}

/// Counters of a leader.
pub struct Reservations {
    /// As the log had them when it began to lead.
    inherited: Counters,
    touched: HashMap<CounterId, Reserved>,
}

impl Reservations {
    pub fn new(inherited: Counters) -> Reservations {
        Reservations { inherited, touched: HashMap::new() }
    }

    fn touch(&mut self, counter: CounterId) -> &mut Reserved {
        let next = self.inherited.next(counter);
        let fresh = Reserved { next, reserved: next, lsn: Lsn::ZERO, durable: next, handed_out: 0 };
        self.touched.entry(counter).or_insert(fresh)
    }

    /// Hands out `count` values from the first on, none below `at_least`. At the end of the numbers the counter stays at
    /// the last one, which the caller meets as a duplicate, as in MySQL.
    pub fn allocate(&mut self, counter: CounterId, count: u64, at_least: u64) -> Handed {
        let state = self.touch(counter);
        let first = state.next.max(at_least);
        if count == 0 {
            return Handed { first, reserve: None };
        }
        state.next = first.saturating_add(count);
        let ahead = state.handed_out.min(AHEAD_MAX);
        state.handed_out = state.handed_out.saturating_add(count);
        // In good time, so that nobody waits; but one reservation after the other.
        let soon = state.durable == state.reserved && state.reserved.saturating_sub(state.next) < ahead / 2;
        let reserve = state.next > state.reserved || soon;
        let next = state.next.saturating_add(ahead);
        Handed { first, reserve: reserve.then_some(CounterBump { counter, next, reset: false }) }
    }

    /// The LSN that has to be durable before what was handed out may be given to anybody; `None` if it may be at once.
    pub fn waits_for(&self, counter: CounterId) -> Option<Lsn> {
        let state = self.touched.get(&counter)?;
        (state.next > state.durable).then_some(state.lsn)
    }

    /// The log will say this of a counter at `lsn`.
    pub fn bump(&mut self, bump: &CounterBump, lsn: Lsn) {
        let state = self.touch(bump.counter);
        if bump.reset {
            *state = Reserved { next: bump.next, reserved: bump.next, lsn, ..*state };
            // What it had may be more than that, and is not reserved any more.
            state.durable = state.durable.min(bump.next);
        } else if bump.next > state.reserved {
            state.reserved = bump.next;
            state.lsn = lsn;
        }
    }

    /// A commit names a value that it used: later ones are above.
    pub fn used(&mut self, bump: &CounterBump, lsn: Lsn) {
        self.bump(bump, lsn);
        let state = self.touch(bump.counter);
        state.next = state.next.max(bump.next);
    }

    /// What has `lsn` is in the log.
    pub fn durable(&mut self, bump: &CounterBump, lsn: Lsn) {
        let state = self.touch(bump.counter);
        if state.lsn <= lsn {
            state.durable = state.reserved;
        }
    }

    /// What the log has to say so that nothing is reserved that was not handed out: for a leader that hands out no more.
    pub fn give_back(&self) -> Vec<CounterBump> {
        let left = self.touched.iter().filter(|(_, state)| state.reserved > state.next);
        let mut bumps: Vec<_> =
            left.map(|(counter, state)| CounterBump { counter: *counter, next: state.next, reset: true }).collect();
        bumps.sort_unstable_by_key(|bump| bump.counter);
        bumps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COUNTER: CounterId = CounterId(1);

    fn take(reservations: &mut Reservations, lsn: u64, count: u64) -> (u64, Option<u64>, Option<Lsn>) {
        let handed = reservations.allocate(COUNTER, count, 0);
        if let Some(bump) = handed.reserve {
            reservations.bump(&bump, Lsn(lsn));
        }
        (handed.first, handed.reserve.map(|bump| bump.next), reservations.waits_for(COUNTER))
    }

    #[test]
    fn values_wait_for_their_reservation_and_reservations_grow() {
        let mut all = Reservations::new(Counters::from_values([(COUNTER, 10)]));
        let durable = |all: &mut Reservations, lsn| {
            all.durable(&CounterBump { counter: COUNTER, next: 0, reset: false }, Lsn(lsn));
        };
        assert_eq!(take(&mut all, 1, 1), (10, Some(11), Some(Lsn(1))));
        assert_eq!(take(&mut all, 2, 1), (11, Some(13), Some(Lsn(2))));
        assert_eq!(take(&mut all, 3, 1), (12, None, Some(Lsn(2))), "it is on its way");
        durable(&mut all, 1);
        assert_eq!(all.waits_for(COUNTER), Some(Lsn(2)));
        durable(&mut all, 2);
        assert_eq!(all.waits_for(COUNTER), None);
        assert_eq!(take(&mut all, 4, 1), (13, Some(17), Some(Lsn(4))));
        durable(&mut all, 4);
        assert_eq!(take(&mut all, 5, 1), (14, None, None));
        assert_eq!(take(&mut all, 6, 1), (15, Some(21), None), "ahead of need");
        assert_eq!(take(&mut all, 7, 100), (16, Some(122), Some(Lsn(7))));
        assert_eq!(all.give_back(), [CounterBump { counter: COUNTER, next: 116, reset: true }]);
    }

    #[test]
    fn a_counter_that_is_set_back_reserves_again() {
        let mut all = Reservations::new(Counters::default());
        assert_eq!(take(&mut all, 1, 50), (1, Some(51), Some(Lsn(1))));
        all.durable(&CounterBump { counter: COUNTER, next: 51, reset: false }, Lsn(1));
        all.used(&CounterBump { counter: COUNTER, next: 7, reset: true }, Lsn(2));
        assert_eq!(take(&mut all, 3, 1), (7, Some(58), Some(Lsn(3))));
        assert_eq!(take(&mut all, 4, u64::MAX), (8, Some(u64::MAX), Some(Lsn(4))));
        assert_eq!(take(&mut all, 5, 1), (u64::MAX, None, Some(Lsn(4))), "the last value stays");
    }
}
