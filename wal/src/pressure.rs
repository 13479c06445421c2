//! Backpressure: page servers say how much. Computes ask for it and have transactions wait before their first lock
//! (`compute/src/txn/throttle.rs`); what comes from elsewhere waits here, at the begin of its commit, in proportion and by
//! its size, so that those who write most wait most. Readers wait for nothing.

use common::service::wal::{CommitRequest, PRESSURE_REPORT_LASTS, PressureReport, pressure_delay};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Page servers whose reports are kept. Those of old ones go first.
const REPORTERS_MAX: usize = 1024;

#[derive(Default)]
pub struct Pressure {
    /// By page server: the last report, and until when it holds.
    reports: Mutex<HashMap<u128, (f64, Instant)>>,
}

impl Pressure {
    /// Takes a report in; returns the greatest that hold now.
    pub fn reported(&self, report: PressureReport) -> f64 {
        self.reported_at(report, Instant::now())
    }

    fn reported_at(&self, report: PressureReport, now: Instant) -> f64 {
        let mut reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        reports.retain(|_, (_, until)| *until > now);
        // From another process: whatever it says is made a share.
        let pressure = if report.pressure.is_finite() { report.pressure.clamp(0.0, 1.0) } else { 0.0 };
        if pressure == 0.0 {
            reports.remove(&report.reporter);
        } else if reports.len() < REPORTERS_MAX || reports.contains_key(&report.reporter) {
            reports.insert(report.reporter, (pressure, now + PRESSURE_REPORT_LASTS));
        }
        greatest(&reports, now)
    }

    /// The greatest of the reports that hold now.
    pub fn now(&self) -> f64 {
        greatest(&self.reports.lock().unwrap_or_else(PoisonError::into_inner), Instant::now())
    }

    /// How long a commit should wait; `None` where all is well.
    pub fn delay(&self, request: &CommitRequest) -> Option<Duration> {
        let pressure = self.now();
        if pressure == 0.0 {
            return None;
        }
        let mutations = request.writes.iter().map(|write| &write.mutation);
        let bytes: usize =
            mutations.map(|mutation| mutation.key.len() + mutation.row.as_ref().map_or(0, |row| row.len())).sum();
        Some(pressure_delay(pressure, bytes as u64))
    }
}

fn greatest(reports: &HashMap<u128, (f64, Instant)>, now: Instant) -> f64 {
    reports.values().filter(|(_, until)| *until > now).map(|(pressure, _)| *pressure).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greatest_report_counts_until_it_is_over() {
        let (pressure, start) = (Pressure::default(), Instant::now());
        let report = |reporter, value| PressureReport { reporter, pressure: value };
        assert_eq!(pressure.reported_at(report(1, 0.25), start), 0.25);
        assert_eq!(pressure.reported_at(report(2, 0.75), start), 0.75);
        assert_eq!(pressure.reported_at(report(2, 0.0), start), 0.25);
        assert_eq!(pressure.reported_at(report(3, f64::NAN), start), 0.25);
        assert_eq!(pressure.reported_at(report(3, 7.0), start + PRESSURE_REPORT_LASTS / 2), 1.0);
        assert_eq!(pressure.reported_at(report(4, 0.5), start + 2 * PRESSURE_REPORT_LASTS), 0.5);
        assert_eq!(pressure.reports.lock().unwrap().len(), 1);
    }

    #[test]
    fn delays_are_in_proportion() {
        for (pressure, bytes, expected_ms) in
            [(1.0, 0, 20), (0.5, 0, 10), (1.0, 1 << 20, 520), (0.25, 1 << 20, 130), (1.0, u64::MAX, 2000)]
        {
            assert_eq!(pressure_delay(pressure, bytes).as_millis(), expected_ms, "{pressure} {bytes}");
        }
    }
}
