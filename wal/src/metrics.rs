//! What the wal role tells Prometheus.

use prometheus::{Counter, Gauge, Histogram, HistogramOpts, IntCounter, IntGauge, Registry};
use std::time::Duration;

pub struct WalMetrics {
    sync_seconds: Histogram,
    group_bytes: Histogram,
    pub batch_transactions: Histogram,
    pub commits: IntCounter,
    pub conflicts: IntCounter,
    /// Commits whose keys were older than the conflict window.
    pub lookups: IntCounter,
    pub deadlocks: IntCounter,
    pub lock_timeouts: IntCounter,
    pub locks_held: IntGauge,
    pub locks_waiting: IntGauge,
    pub committed_lsn: IntGauge,
    pub oldest_snapshot: IntGauge,
    pub log_bytes: IntGauge,
    pub archived_lsn: IntGauge,
    pub archive_lag_lsns: IntGauge,
    pub archive_lag_seconds: Gauge,
    pub archive_objects: IntCounter,
    pub archive_bytes: IntCounter,
    pub archive_failures: IntCounter,
    pub archive_gaps: IntCounter,
    pub archive_removed: IntCounter,
    /// What page servers reported, from 0 to 1.
    pub pressure: Gauge,
    pub commits_delayed: IntCounter,
    pub commit_delay_seconds: Counter,
}

fn histogram(name: &str, help: &str, start: f64, count: usize) -> Result<Histogram, prometheus::Error> {
    Histogram::with_opts(HistogramOpts::new(name, help).buckets(prometheus::exponential_buckets(start, 2.0, count)?))
}

impl WalMetrics {
    /// All at zero, and not known to any registry yet.
    pub fn new() -> Result<WalMetrics, prometheus::Error> {
        Ok(WalMetrics {
            // 50 µs to 1.6 s.
            sync_seconds: histogram("wal_sync_seconds", "Time of one fdatasync of the log", 50e-6, 16)?,
            // 64 B to 64 MiB.
            group_bytes: histogram("wal_group_bytes", "Bytes that shared one fdatasync", 64.0, 21)?,
            batch_transactions: histogram("wal_batch_transactions", "Transactions in one log entry", 1.0, 14)?,
            commits: IntCounter::new("wal_commits_total", "Transactions committed through this node")?,
            conflicts: IntCounter::new("wal_conflicts_total", "Commits refused because a key had a newer version")?,
            lookups: IntCounter::new("wal_version_lookups_total", "Commits that had to ask page servers for versions")?,
            deadlocks: IntCounter::new("wal_deadlocks_total", "Lock requests ended as a deadlock's victim")?,
            lock_timeouts: IntCounter::new("wal_lock_timeouts_total", "Lock requests that waited too long")?,
            locks_held: IntGauge::new("wal_locks_held", "Keys locked, counted once per holder")?,
            locks_waiting: IntGauge::new("wal_locks_waiting", "Lock requests that wait")?,
            committed_lsn: IntGauge::new("wal_committed_lsn", "Newest durable transaction")?,
            oldest_snapshot: IntGauge::new(
                "wal_oldest_snapshot_lsn",
                "Oldest snapshot that is open anywhere, as computes report; 0: none",
            )?,
            log_bytes: IntGauge::new("wal_log_bytes", "Size of the log's segments on disk")?,
            archived_lsn: IntGauge::new(
                "wal_archived_lsn",
                "Everything up to here is archived on the object store; told by the leader",
            )?,
            archive_lag_lsns: IntGauge::new(
                "wal_archive_lag_lsns",
                "Transactions that are committed and not archived",
            )?,
            archive_lag_seconds: Gauge::new(
                "wal_archive_lag_seconds",
                "How long the oldest transaction that is not archived has waited",
            )?,
            archive_objects: IntCounter::new("wal_archive_objects_total", "Objects of archived log written")?,
            archive_bytes: IntCounter::new("wal_archive_bytes_total", "Bytes of archived log written")?,
            archive_failures: IntCounter::new(
                "wal_archive_failures_total",
                "Attempts to archive the log that failed, after all repeats of their requests",
            )?,
            archive_gaps: IntCounter::new(
                "wal_archive_gaps_total",
                "Places where the log let go transactions before they were archived",
            )?,
            archive_removed: IntCounter::new(
                "wal_archive_removed_total",
                "Objects of archived log removed, being in layers and older than the retention",
            )?,
            pressure: Gauge::new("wal_pressure", "How much page servers want commits slowed down, from 0 to 1")?,
            commits_delayed: IntCounter::new("wal_commits_delayed_total", "Commits slowed down for page servers")?,
            commit_delay_seconds: Counter::new(
                "wal_commit_delay_seconds_total",
                "Time for which commits were slowed down for page servers",
            )?,
        })
    }

    pub fn register(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        registry.register(Box::new(self.sync_seconds.clone()))?;
        registry.register(Box::new(self.group_bytes.clone()))?;
        registry.register(Box::new(self.batch_transactions.clone()))?;
        for counter in [&self.commits, &self.conflicts, &self.lookups, &self.deadlocks, &self.lock_timeouts] {
            registry.register(Box::new(counter.clone()))?;
        }
        for gauge in
            [&self.locks_held, &self.locks_waiting, &self.committed_lsn, &self.oldest_snapshot, &self.log_bytes]
        {
            registry.register(Box::new(gauge.clone()))?;
        }
        for gauge in [&self.archived_lsn, &self.archive_lag_lsns] {
            registry.register(Box::new(gauge.clone()))?;
        }
        registry.register(Box::new(self.archive_lag_seconds.clone()))?;
        for counter in [
            &self.archive_objects,
            &self.archive_bytes,
            &self.archive_failures,
            &self.archive_gaps,
            &self.archive_removed,
        ] {
            registry.register(Box::new(counter.clone()))?;
        }
        registry.register(Box::new(self.pressure.clone()))?;
        registry.register(Box::new(self.commits_delayed.clone()))?;
        registry.register(Box::new(self.commit_delay_seconds.clone()))?;
        Ok(())
    }

    pub fn observe_sync(&self, elapsed: Duration, bytes: usize) {
        self.sync_seconds.observe(elapsed.as_secs_f64());
        self.group_bytes.observe(bytes as f64);
    }
}
