//! Time, in its two kinds: the wall clock (what a person would say) and the monotonic one (how long something took).
//!
//! Whoever needs either holds an `Arc<dyn Clock>`; nothing else in the workspace asks the system for the wall clock.

use parking_lot::Mutex;
use std::fmt::Debug;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub trait Clock: Debug + Send + Sync {
    /// Microseconds since 1970. May step backwards: whoever needs order keeps the greatest value seen.
    fn wall_us(&self) -> u64;

    /// Never goes backwards.
    fn now(&self) -> Instant;
}

/// The clock of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the place that may ask")]
    fn wall_us(&self) -> u64 {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since_1970.as_micros()).unwrap_or(u64::MAX)
    }

    fn now(&self) -> Instant {
        Instant::now()
    }
}

/// A clock that stands still until a test moves it.
#[derive(Debug)]
pub struct ManualClock {
    /// Wall time in microseconds, and the instant that goes with it.
    time: Mutex<(u64, Instant)>,
}

impl ManualClock {
    pub fn new(wall_us: u64) -> ManualClock {
        ManualClock { time: Mutex::new((wall_us, Instant::now())) }
    }

    /// Both kinds of time move on together.
    pub fn advance(&self, by: Duration) {
        let mut time = self.time.lock();
        time.0 = time.0.saturating_add(u64::try_from(by.as_micros()).unwrap_or(u64::MAX));
        time.1 += by;
    }

    /// Sets the wall clock alone, as an administrator or a time server may, also backwards.
    pub fn set_wall_us(&self, wall_us: u64) {
        self.time.lock().0 = wall_us;
    }
}

impl Clock for ManualClock {
    fn wall_us(&self) -> u64 {
        self.time.lock().0
    }

    fn now(&self) -> Instant {
        self.time.lock().1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manual_clock_moves_only_when_told() {
        let clock = ManualClock::new(1_000);
        let start = clock.now();
        assert_eq!((clock.wall_us(), clock.now()), (1_000, start));
        clock.advance(Duration::from_millis(3));
        assert_eq!((clock.wall_us(), clock.now() - start), (4_000, Duration::from_millis(3)));
        clock.set_wall_us(7);
        assert_eq!((clock.wall_us(), clock.now() - start), (7, Duration::from_millis(3)));
    }

    #[test]
    fn system_clock_counts_from_1970() {
        // 2025-01-01: a clock in seconds or milliseconds would be far below it.
        assert!(SystemClock.wall_us() > 1_735_689_600_000_000);
    }
}
