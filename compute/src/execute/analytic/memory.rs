//! DataFusion's memory: one query's, fairly among its operators, out of what all queries of the compute may hold.
//!
//! An operator that is refused memory puts what it holds into files, if it can; so it does where others hold the memory.

use crate::execute::query_memory::QueryMemory;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::{FairSpillPool, MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation};
use std::fmt;
use std::sync::Arc;

/// Of a query's memory, what one sort may take to merge its files: it would take all there is, and sorts beside it could not begin.
const MERGE_SHARES: usize = 4;
/// How DataFusion names what merges.
const MERGE_CONSUMER: &str = "ExternalSorterMerge";

#[derive(Debug)]
pub struct QueryPool {
    one: FairSpillPool,
    all: Arc<QueryMemory>,
}

impl QueryPool {
    pub fn new(all: Arc<QueryMemory>) -> QueryPool {
        QueryPool { one: FairSpillPool::new(all.limit_bytes()), all }
    }
}

impl fmt::Display for QueryPool {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.one)
    }
}

impl MemoryPool for QueryPool {
    fn name(&self) -> &str {
        self.one.name()
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.one.register(consumer);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.one.unregister(consumer);
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.one.grow(reservation, additional);
        self.all.add(additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.one.shrink(reservation, shrink);
        self.all.give_back(shrink);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        let merges = reservation.consumer().name().starts_with(MERGE_CONSUMER);
        if merges && reservation.size() + additional > self.all.limit_bytes() / MERGE_SHARES {
            // It merges fewer files at a time.
            let text = format!("{} is to leave memory to others", reservation.consumer().name());
            return Err(DataFusionError::ResourcesExhausted(text));
        }
        let held = self.one.reserved();
        self.one.try_grow(reservation, additional)?;
        self.all.take(additional, held).map_err(|error| {
            self.one.shrink(reservation, additional);
            // Of the kind that has operators go to files.
            DataFusionError::ResourcesExhausted(error.message)
        })
    }

    fn reserved(&self) -> usize {
        self.one.reserved()
    }

    fn memory_limit(&self) -> MemoryLimit {
        self.one.memory_limit()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_has_what_others_leave_and_gives_it_back() {
        const MIB: usize = 1 << 20;
        let all = Arc::new(QueryMemory::new(12 * MIB, 16 * MIB));
        let pool = || Arc::new(QueryPool::new(all.clone())) as Arc<dyn MemoryPool>;
        let (one, other) = (pool(), pool());
        let held = MemoryConsumer::new("held").register(&one);
        held.try_grow(10 * MIB).unwrap();
        let wanted = MemoryConsumer::new("wanted").register(&other);
        let error = wanted.try_grow(6 * MIB).unwrap_err();
        assert!(matches!(error, DataFusionError::ResourcesExhausted(_)), "{error}");
        assert_eq!(other.reserved(), 0);
        wanted.try_grow(5 * MIB).unwrap();
        drop(held);
        wanted.try_grow(6 * MIB).unwrap();
        assert!(wanted.try_grow(2 * MIB).is_err(), "one query's limit");
        let merging = MemoryConsumer::new("ExternalSorterMerge[0]").register(&pool());
        assert!(merging.try_grow(4 * MIB).is_err() && merging.try_grow(3 * MIB).is_ok(), "a share of it");
    }
}
