//! Backpressure: tells the log how much commits should be slowed down, before memtables are full and layers pile up.
//!
//! The pressure rises from nothing at a soft limit to one at a hard limit, so that writers slow down until what comes in is
//! what can be carried away, and nobody is stopped. A report holds for a few seconds: what is not repeated is over.

use crate::compact::choose::ChooseOptions;
use crate::config::Config;
use crate::gauges::compaction_debt;
use crate::tablet::Tablets;
use common::env::{Clock, SystemClock};
use common::service::WalService;
use common::service::wal::{PRESSURE_REPORT_EVERY, PressureReport};
use std::sync::Arc;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

pub struct Reporter {
    pub tablets: Arc<Tablets>,
    pub wal: Arc<dyn WalService>,
    pub config: Arc<Config>,
    /// A standby slows nobody down; it only finds out how far it is behind.
    pub is_owner: bool,
}

/// Where pressure begins, and where it is full.
#[derive(Debug, Clone, Copy)]
struct Limits {
    soft: u64,
    hard: u64,
}

impl Limits {
    /// 0 up to the soft limit, 1 from the hard limit on, even in between.
    fn pressure(self, value: u64) -> f64 {
        let (above, width) = (value.saturating_sub(self.soft), self.hard.saturating_sub(self.soft).max(1));
        (above as f64 / width as f64).min(1.0)
    }
}

/// At this size memtables hold the log up (see `ingest::receiver`); half of it is reached in ordinary work.
fn memtable_limits(config: &Config) -> Limits {
    let hard = config.memtables_bytes_max as u64;
    Limits { soft: hard / 2 + hard / 8, hard }
}

fn debt_limits(config: &Config) -> Limits {
    Limits { soft: config.compaction_debt_soft, hard: config.compaction_debt_max }
}

/// Sorted runs that a read may have to look into. Some of each size are in order, and as many again while those before
/// them are being merged.
fn run_limits(config: &Config) -> Limits {
    let runs = config.level0_layers_max as u64;
    Limits { soft: 5 * runs, hard: 20 * runs }
}

impl Reporter {
    /// Runs until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let mut interval = tokio::time::interval(PRESSURE_REPORT_EVERY);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut before = 0.0;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = interval.tick() => {}
            }
            if self.tablets.check_owned().is_err() {
                return;
            }
            let report = self.look();
            // Nothing twice in a row is nothing to speak of.
            let worth_telling = self.is_owner && (report.pressure > 0.0 || before > 0.0);
            before = report.pressure;
            let work = async {
                // One that is lost is made up for by the next.
                if worth_telling && let Err(error) = self.wal.report_pressure(report).await {
                    tracing::debug!(%error, "the log did not take the pressure");
                }
                self.lag().await;
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = work => {}
            }
        }
    }

    fn look(&self) -> PressureReport {
        let memtable_bytes = self.tablets.memtable_bytes().2 as u64;
        let debt_bytes = compaction_debt(&self.tablets, &ChooseOptions::of(&self.config));
        let of_memtables = memtable_limits(&self.config).pressure(memtable_bytes);
        let of_debt = debt_limits(&self.config).pressure(debt_bytes);
        let of_runs = run_limits(&self.config).pressure(self.most_runs());
        let pressure = of_memtables.max(of_debt).max(of_runs);
        self.tablets.source.metrics.pressure.set(pressure);
        PressureReport { reporter: self.tablets.owner(), pressure }
    }

    /// In the tablet that is worst off.
    fn most_runs(&self) -> u64 {
        let set = self.tablets.set();
        let runs = set.tablets.iter().map(|tablet| tablet.snapshot().layers.run_count());
        runs.max().unwrap_or_default() as u64
    }

    /// How far what is applied is behind the log.
    async fn lag(&self) {
        let metrics = &self.tablets.source.metrics;
        let Ok(status) = self.wal.status().await else { return };
        let lsns = status.committed.0.saturating_sub(self.tablets.applied().0);
        let age_us = SystemClock.wall_us().saturating_sub(self.tablets.time_us());
        metrics.apply_lag_lsns.set(i64::try_from(lsns).unwrap_or(i64::MAX));
        metrics.apply_lag_seconds.set(if lsns == 0 { 0.0 } else { age_us as f64 / 1e6 });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pressure_rises_evenly_between_its_limits() {
        let limits = Limits { soft: 100, hard: 300 };
        for (value, expected) in [(0, 0.0), (100, 0.0), (150, 0.25), (200, 0.5), (300, 1.0), (u64::MAX, 1.0)] {
            assert_eq!(limits.pressure(value), expected, "{value}");
        }
        let config = Config::default();
        config.validate().unwrap();
        let limits = memtable_limits(&config);
        assert!(limits.soft > 2 * config.memtable_bytes_max as u64 && limits.soft < limits.hard);
    }
}
