//! Memory of queries: what one may hold, and what all of a compute may hold together.
//!
//! ```text
//! operator ─▶ Reservation ─▶ MemoryBudget (one query) ─▶ QueryMemory (all queries)
//! DataFusion's operator ─▶ analytic/memory.rs ────────────────▲
//! ```
//!
//! Invariants
//! - No query holds more than one may; all together hold no more than they may, but for what DataFusion takes without asking.
//! - A query that holds little is not refused for what large ones hold: the last part of the memory is for such alone.
//! - What was taken is given back when its holder is dropped, however the query ends.

use crate::execute::row::context::row_bytes;
use expr::value::Row;
use expr::{ErrorCode, SqlError};
use prometheus::core::Collector;
use prometheus::{IntCounter, IntGauge};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A query that holds no more is a small one.
const SMALL_BYTES: usize = 1 << 20;
/// Large queries leave this part of the memory to small ones.
const SMALL_PART: usize = 16;

/// What the queries of a compute hold.
#[derive(Debug)]
pub struct QueryMemory {
    /// Of one query.
    limit_bytes: usize,
    total_limit_bytes: usize,
    used_bytes: AtomicUsize,
    shown_bytes: IntGauge,
    refused: IntCounter,
}

impl QueryMemory {
    pub fn new(limit_bytes: usize, total_limit_bytes: usize) -> QueryMemory {
        let shown = "Bytes that operators of queries hold in memory, about.";
        let shown = IntGauge::new("drumlin_query_memory_bytes", shown);
        let refused = "Requests of queries for memory that were refused, because all together held too much.";
        let refused = IntCounter::new("drumlin_query_memory_refused_total", refused);
        QueryMemory {
            limit_bytes,
            total_limit_bytes,
            used_bytes: AtomicUsize::new(0),
            shown_bytes: shown.expect("a metric with a valid name"),
            refused: refused.expect("a metric with a valid name"),
        }
    }

    /// For `/metrics`.
    pub fn metrics(&self) -> [Box<dyn Collector>; 2] {
        [Box::new(self.shown_bytes.clone()), Box::new(self.refused.clone())]
    }

    /// What one query may hold.
    pub fn limit_bytes(&self) -> usize {
        self.limit_bytes
    }

    /// Takes `bytes` for a query that holds `held_bytes` already; nothing is taken where it gives the error.
    pub fn take(&self, bytes: usize, held_bytes: usize) -> Result<(), SqlError> {
        let small = held_bytes.saturating_add(bytes) <= SMALL_BYTES;
        let kept = if small { 0 } else { self.total_limit_bytes / SMALL_PART };
        let limit_bytes = self.total_limit_bytes - kept;
        let more = |used: usize| used.checked_add(bytes).filter(|used| *used <= limit_bytes);
        match self.used_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more) {
            Ok(_) => {
                self.shown_bytes.add(bytes as i64);
                Ok(())
            }
            Err(_) => {
                self.refused.inc();
                Err(SqlError::new(
                    ErrorCode::OUT_OF_RESOURCES,
                    format!(
                        "Out of memory: all queries together hold what they may, {} bytes; try again later, or raise \
                         --total-query-memory",
                        self.total_limit_bytes
                    ),
                ))
            }
        }
    }

    /// Takes without asking.
    pub fn add(&self, bytes: usize) {
        self.used_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.shown_bytes.add(bytes as i64);
    }

    pub fn give_back(&self, bytes: usize) {
        self.used_bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.shown_bytes.sub(bytes as i64);
    }
}

/// How many bytes the buffering operators of a query hold, and may hold.
#[derive(Debug)]
pub struct MemoryBudget {
    all: Arc<QueryMemory>,
    used_bytes: AtomicUsize,
}

impl MemoryBudget {
    pub fn new(all: Arc<QueryMemory>) -> MemoryBudget {
        MemoryBudget { all, used_bytes: AtomicUsize::new(0) }
    }
}

/// One operator's share of the budget; given back when dropped.
#[derive(Debug)]
pub struct Reservation {
    budget: Arc<MemoryBudget>,
    bytes: usize,
}

impl Reservation {
    pub fn new(budget: &Arc<MemoryBudget>) -> Reservation {
        Reservation { budget: budget.clone(), bytes: 0 }
    }

    pub fn grow(&mut self, bytes: usize) -> Result<(), SqlError> {
        let MemoryBudget { all, used_bytes } = &*self.budget;
        let held = used_bytes.fetch_add(bytes, Ordering::Relaxed);
        let taken = match held.saturating_add(bytes) <= all.limit_bytes {
            true => all.take(bytes, held),
            false => Err(SqlError::new(
                ErrorCode::OUT_OF_RESOURCES,
                format!(
                    "Out of memory: the query needs more than its limit of {} bytes; select less at a time, or raise \
                     --query-memory",
                    all.limit_bytes
                ),
            )),
        };
        match taken {
            Ok(()) => self.bytes += bytes,
            Err(_) => {
                used_bytes.fetch_sub(bytes, Ordering::Relaxed);
            }
        }
        taken
    }

    pub fn grow_rows(&mut self, rows: &[Row]) -> Result<(), SqlError> {
        self.grow(rows.iter().map(|row| row_bytes(row)).sum())
    }

    /// Gives everything back.
    pub fn clear(&mut self) {
        self.budget.used_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        self.budget.all.give_back(self.bytes);
        self.bytes = 0;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(grown: Result<(), SqlError>, flag: &str) {
        let error = grown.unwrap_err();
        assert_eq!(error.code, ErrorCode::OUT_OF_RESOURCES);
        assert!(error.message.ends_with(flag), "{}", error.message);
    }

    #[test]
    fn budget_is_shared_and_given_back() {
        let budget = Arc::new(MemoryBudget::new(Arc::new(QueryMemory::new(100, 1000))));
        let mut first = Reservation::new(&budget);
        let mut second = Reservation::new(&budget);
        first.grow(60).unwrap();
        refused(second.grow(60), "--query-memory");
        drop(first);
        second.clear();
        second.grow(100).unwrap();
    }

    #[test]
    fn all_queries_share_what_all_may_hold_and_small_ones_have_the_rest() {
        const MIB: usize = 1 << 20;
        let all = Arc::new(QueryMemory::new(12 * MIB, 16 * MIB));
        let query = || Reservation::new(&Arc::new(MemoryBudget::new(all.clone())));
        let (mut large, mut other, mut small) = (query(), query(), query());
        large.grow(12 * MIB).unwrap();
        other.grow(2 * MIB).unwrap();
        // 15 of 16 are for large ones.
        refused(other.grow(2 * MIB), "--total-query-memory");
        small.grow(MIB).unwrap();
        refused(small.grow(MIB), "--total-query-memory");
        drop(large);
        // What was refused was not taken.
        other.grow(10 * MIB).unwrap();
        drop((other, small));
        assert_eq!(all.used_bytes.load(Ordering::Relaxed), 0);
        assert_eq!((all.shown_bytes.get(), all.refused.get()), (0, 2));
    }
}
