//! When a request to the object store is tried again: exponential waits with jitter, a deadline for every request, and a
//! budget over all of them, so that a store in trouble is not asked more for being in trouble.

use super::Random;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tokio::time::Instant;

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetryPolicy {
    /// One attempt of a request that moves few bytes. A store that takes longer is asked again: slow answers are mostly
    /// one machine's. Default: 5 s.
    pub attempt: Duration,
    /// More for each MiB that is moved. Default: 500 ms, which is a link of 2 MiB/s.
    pub attempt_per_mib: Duration,
    /// All attempts together, beside twice the time for the bytes moved. Default: 60 s.
    pub total: Duration,
    /// Waits are drawn between zero and a bound that doubles from here. Default: 50 ms.
    pub wait_first: Duration,
    /// Default: 5 s.
    pub wait_max: Duration,
    /// What waits are drawn from, where they have to be the same in every run. Default: the system's randomness.
    pub seed: Option<u64>,
}

impl Default for RetryPolicy {
    fn default() -> RetryPolicy {
        RetryPolicy {
            attempt: Duration::from_secs(5),
            attempt_per_mib: Duration::from_millis(500),
            total: Duration::from_secs(60),
            wait_first: Duration::from_millis(50),
            wait_max: Duration::from_secs(5),
            seed: None,
        }
    }
}

impl RetryPolicy {
    /// Everything within a few seconds: for finding out whether a store works at all.
    pub fn brief() -> RetryPolicy {
        RetryPolicy { total: Duration::from_secs(10), ..RetryPolicy::default() }
    }

    fn for_bytes(&self, bytes: u64) -> Duration {
        let mib = u32::try_from(bytes >> 20).unwrap_or(u32::MAX);
        self.attempt_per_mib.saturating_mul(mib)
    }

    pub fn attempt_timeout(&self, bytes: u64) -> Duration {
        self.attempt.saturating_add(self.for_bytes(bytes))
    }

    pub fn total_timeout(&self, bytes: u64) -> Duration {
        self.total.saturating_add(self.for_bytes(bytes) * 2)
    }

    /// The wait after attempt number `tries`, which is at least 1. All of it is jitter: those who failed together do not
    /// come back together.
    pub fn wait(&self, tries: u32, random: &Random) -> Duration {
        let bound = self.wait_first.saturating_mul(1 << tries.saturating_sub(1).min(20)).min(self.wait_max);
        Duration::from_micros(random.below(u64::try_from(bound.as_micros()).unwrap_or(u64::MAX).max(1)))
    }
}

/// Retries that may be made at once after a quiet time.
const TOKENS_MAX: f64 = 200.0;
/// What comes back by itself: so many retries a second a store without any answers has to bear from this process.
const TOKENS_PER_SECOND: f64 = 20.0;
/// What an answer gives: a store that fails one request in six can be used without a pause.
const TOKENS_PER_SUCCESS: f64 = 0.2;

/// Shared by all requests of a process to a store. One that finds it empty waits longer, until its deadline.
#[derive(Debug)]
pub struct RetryBudget {
    /// Tokens, and when they were counted.
    tokens: Mutex<(f64, Instant)>,
}

impl Default for RetryBudget {
    fn default() -> RetryBudget {
        RetryBudget { tokens: Mutex::new((TOKENS_MAX, Instant::now())) }
    }
}

impl RetryBudget {
    pub fn succeeded(&self) {
        let mut tokens = self.tokens.lock();
        tokens.0 = (tokens.0 + TOKENS_PER_SUCCESS).min(TOKENS_MAX);
    }

    /// Whether one more retry may be made now.
    pub fn take(&self) -> bool {
        self.take_at(Instant::now())
    }

    fn take_at(&self, now: Instant) -> bool {
        let mut tokens = self.tokens.lock();
        let back = now.saturating_duration_since(tokens.1).as_secs_f64() * TOKENS_PER_SECOND;
        *tokens = ((tokens.0 + back).min(TOKENS_MAX), now);
        let enough = tokens.0 >= 1.0;
        if enough {
            tokens.0 -= 1.0;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_bound_and_differ() {
        let (policy, random) = (RetryPolicy::default(), Random::seeded(1));
        let longest = |tries| (0..200).map(|_| policy.wait(tries, &random)).max().unwrap();
        for (tries, bound_ms) in [(1, 50), (2, 100), (4, 400), (20, 5000), (u32::MAX, 5000)] {
            let longest = longest(tries).as_millis();
            assert!(longest < bound_ms && longest > bound_ms / 2, "{tries}: {longest}");
        }
    }

    #[test]
    fn large_objects_get_more_time() {
        let policy = RetryPolicy::default();
        assert_eq!(policy.attempt_timeout(64 << 20), Duration::from_secs(5 + 32));
        assert_eq!(policy.total_timeout(64 << 20), Duration::from_secs(60 + 64));
    }

    #[test]
    fn an_empty_budget_fills_with_time_and_with_answers() {
        let (budget, now) = (RetryBudget::default(), Instant::now());
        let taken = |now| (0..1000).filter(|_| budget.take_at(now)).count();
        assert_eq!(taken(now), 200);
        (0..6).for_each(|_| budget.succeeded());
        assert_eq!(taken(now), 1);
        assert_eq!(taken(now + Duration::from_secs(1)), 20);
    }
}
