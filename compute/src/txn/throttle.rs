//! Throttle: how long a transaction that is going to write waits before its first lock, where page servers cannot keep up
//! with what is written.
//!
//! ```text
//! page servers ─▶ log ─▶ pressure, asked for twice a second ─▶ wait at the first writing statement ─▶ locks, writes, commit
//!                                                  what it wrote: a debt of its session ◀──────────────────────────┘
//! ```
//!
//! What a transaction will write nobody knows at its begin. So it pays for the one before it in its session: a debt of bytes,
//! which also goes with time. A session that has written nothing yet is taken for one that writes what is usual here.
//!
//! Invariants
//! - Nobody waits here who holds a lock of a transaction, or has written in one.
//! - Reads never wait.

use common::service::WalService;
use common::service::wal::{
    PRESSURE_ASK_EVERY, PRESSURE_BYTES_PER_SECOND, PRESSURE_REPORT_LASTS, pressure_delay, pressure_paid,
};
use common::telemetry;
use prometheus::{CounterVec, IntCounter};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tokio::time::Instant;

/// A debt beyond this is forgiven: it would be waited for long after the pressure is gone.
const DEBT_BYTES_MAX: u64 = 64 << 20;
/// Of the average of what transactions write, the newest one counts for so much.
const AVERAGE_SHARE: u64 = 16;

static DELAYED: LazyLock<IntCounter> = LazyLock::new(|| {
    telemetry::counter(
        "transactions_delayed_total",
        "Transactions that waited for page servers before their first lock.",
    )
});
static DELAY_SECONDS: LazyLock<CounterVec> = LazyLock::new(|| {
    telemetry::float_counter_vec(
        "transaction_delay_seconds_total",
        "Time for which transactions waited for page servers before their first lock.",
        &[],
    )
});

/// Of one compute.
#[derive(Debug, Default)]
pub struct Throttle {
    /// The bits of a share between 0 and 1, as the log said last.
    pressure: AtomicU64,
    /// What transactions of this compute write, on average.
    usual_bytes: AtomicU64,
}

/// What one session has written and not waited for.
#[derive(Debug, Default)]
pub struct Debt {
    /// As of an instant; `None`: it has not written yet.
    owed: Option<(u64, Instant)>,
}

impl Debt {
    /// What is left of it: time pays, too.
    fn left(&self, usual_bytes: u64, now: Instant) -> u64 {
        let Some((bytes, since)) = self.owed else { return usual_bytes };
        let passed_us = u64::try_from(now.saturating_duration_since(since).as_micros()).unwrap_or(u64::MAX);
        bytes.saturating_sub(passed_us.saturating_mul(PRESSURE_BYTES_PER_SECOND) / 1_000_000)
    }
}

impl Throttle {
    pub fn set_pressure(&self, pressure: f64) {
        self.pressure.store(pressure.to_bits(), Ordering::Relaxed);
    }

    /// How long a transaction of this session waits that begins now. What that pays for is no debt any more.
    pub fn delay(&self, debt: &mut Debt, now: Instant) -> Duration {
        let pressure = f64::from_bits(self.pressure.load(Ordering::Relaxed));
        // From another process.
        let pressure = if pressure.is_finite() { pressure.clamp(0.0, 1.0) } else { 0.0 };
        if pressure == 0.0 {
            return Duration::ZERO;
        }
        let bytes = debt.left(self.usual_bytes.load(Ordering::Relaxed), now);
        let delay = pressure_delay(pressure, bytes);
        debt.owed = Some((bytes - pressure_paid(bytes), now + delay));
        DELAYED.inc();
        DELAY_SECONDS.with_label_values(&[] as &[&str]).inc_by(delay.as_secs_f64());
        delay
    }

    /// A transaction of this session is committed, with so many bytes.
    pub fn written(&self, debt: &mut Debt, bytes: u64, now: Instant) {
        let left = debt.owed.map_or(0, |_| debt.left(0, now));
        debt.owed = Some((left.saturating_add(bytes).min(DEBT_BYTES_MAX), now));
        let average = self.usual_bytes.load(Ordering::Relaxed);
        // Of two at the same time one may be missed.
        self.usual_bytes.store(average - average / AVERAGE_SHARE + bytes / AVERAGE_SHARE, Ordering::Relaxed);
    }
}

/// Asks the log for the pressure, again and again.
pub async fn follow(wal: Arc<dyn WalService>, throttle: Arc<Throttle>) {
    let mut heard = Instant::now();
    loop {
        match wal.pressure().await {
            Ok(pressure) => {
                heard = Instant::now();
                throttle.set_pressure(pressure);
            }
            // What was said last holds for as long as a report does.
            Err(_) if heard.elapsed() > PRESSURE_REPORT_LASTS => throttle.set_pressure(0.0),
            Err(_) => {}
        }
        tokio::time::sleep(PRESSURE_ASK_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn seconds(throttle: &Throttle, debt: &mut Debt, now: Instant) -> f64 {
        throttle.delay(debt, now).as_secs_f64()
    }

    #[test]
    fn a_session_pays_for_what_it_wrote_before() {
        let (throttle, start, mut debt) = (Throttle::default(), Instant::now(), Debt::default());
        let second = Duration::from_secs(1);
        throttle.written(&mut debt, MIB, start);
        assert_eq!(seconds(&throttle, &mut debt, start), 0.0, "no pressure");
        throttle.set_pressure(0.5);
        assert_eq!(seconds(&throttle, &mut debt, start), 0.26);
        assert_eq!(seconds(&throttle, &mut debt, start + second), 0.01, "it has paid");
        throttle.written(&mut debt, 2 * MIB, start + second);
        assert_eq!(seconds(&throttle, &mut debt, start + second + second / 2), 0.26, "half of it by time");
        throttle.written(&mut debt, 2 * MIB, start + 2 * second);
        assert_eq!(seconds(&throttle, &mut debt, start + 10 * second), 0.01, "all of it by time");
    }

    #[test]
    fn the_debt_of_a_large_transaction_is_paid_in_several_parts_and_has_an_end() {
        let (throttle, start, mut debt) = (Throttle::default(), Instant::now(), Debt::default());
        throttle.set_pressure(1.0);
        throttle.written(&mut debt, 10 << 30, start);
        let (mut now, mut waits) = (start, 0);
        while seconds(&throttle, &mut debt, now) == 2.0 {
            now += Duration::from_secs(2);
            waits += 1;
        }
        assert!((10..=20).contains(&waits), "{waits}");
    }

    #[test]
    fn who_has_written_nothing_pays_what_is_usual() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        throttle.set_pressure(1.0);
        assert_eq!(seconds(&throttle, &mut Debt::default(), now), 0.02);
        let mut others = Debt::default();
        for _ in 0..200 {
            throttle.written(&mut others, MIB, now);
        }
        let delay = seconds(&throttle, &mut Debt::default(), now);
        assert!((0.5..0.53).contains(&delay), "{delay}");
        throttle.set_pressure(f64::NAN);
        assert_eq!(seconds(&throttle, &mut Debt::default(), now), 0.0);
    }
}
