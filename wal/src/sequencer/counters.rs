//! AUTO_INCREMENT counters: the next value of each.

use common::id::CounterId;
use common::service::wal::CounterBump;
use std::collections::HashMap;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters {
    next: HashMap<CounterId, u64>,
}

impl Counters {
    pub fn from_values(values: impl IntoIterator<Item = (CounterId, u64)>) -> Counters {
        Counters { next: values.into_iter().collect() }
    }

    /// The next value; 1 for a counter that was never used.
    pub fn next(&self, counter: CounterId) -> u64 {
        self.next.get(&counter).copied().unwrap_or(1)
    }

    pub fn bump(&mut self, bump: &CounterBump) {
        let next = if bump.reset { bump.next } else { self.next(bump.counter).max(bump.next) };
        self.next.insert(bump.counter, next);
    }

    /// All values, in the order of the counters.
    pub fn values(&self) -> Vec<(CounterId, u64)> {
        let mut values: Vec<_> = self.next.iter().map(|(counter, next)| (*counter, *next)).collect();
        values.sort_unstable();
        values
    }
}
