//! What a page server counts. What it merely is, `gauges` finds out when it is asked. Requests and bytes of the object store are counted by the store itself
//! (`common::env::metered_store`).

use crate::gauges::Shown;
use prometheus::{Gauge, Histogram, HistogramOpts, IntCounter, IntGauge, Registry};
use std::sync::OnceLock;

pub struct Metrics {
    pub registry: Registry,
    /// What the gauges of [`crate::gauges`] look at, once they are there.
    pub shown: OnceLock<Shown>,
    /// Set by `pressure`.
    pub apply_lag_lsns: IntGauge,
    pub apply_lag_seconds: Gauge,
    pub pressure: Gauge,
    pub keys_read: IntCounter,
    /// Layers whose blocks were read, per key of a point read.
    pub layers_touched: Histogram,
    pub scans: IntCounter,
    pub blocks_skipped: IntCounter,
    pub cache_memory_hits: IntCounter,
    pub cache_disk_hits: IntCounter,
    pub cache_misses: IntCounter,
    pub corrupt_blocks: IntCounter,
    pub flushes: IntCounter,
    pub compactions: IntCounter,
    pub compaction_bytes: IntCounter,
    pub objects_deleted: IntCounter,
}

impl Metrics {
    pub fn new() -> Metrics {
        let registry = Registry::new();
        let counter = |name: &str, help: &str| {
            let counter = IntCounter::new(name, help).expect("metric names are constants");
            registry.register(Box::new(counter.clone())).expect("each metric is registered once");
            counter
        };
        let gauge = |name: &str, help: &str| {
            let gauge = IntGauge::new(name, help).expect("metric names are constants");
            registry.register(Box::new(gauge.clone())).expect("each metric is registered once");
            gauge
        };
        let float_gauge = |name: &str, help: &str| {
            let gauge = Gauge::new(name, help).expect("metric names are constants");
            registry.register(Box::new(gauge.clone())).expect("each metric is registered once");
            gauge
        };
        let apply_lag_seconds = float_gauge(
            "pageserver_apply_lag_seconds",
            "Age of the newest transaction that is applied, while others wait.",
        );
        let pressure = float_gauge("pageserver_pressure", "How much commits are to be slowed down, from 0 to 1.");
        let options = HistogramOpts::new("pageserver_layers_touched", "Layers whose blocks a point read looked into.")
            .buckets(vec![0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0]);
        let layers_touched = Histogram::with_opts(options).expect("metric names are constants");
        registry.register(Box::new(layers_touched.clone())).expect("each metric is registered once");
        Metrics {
            apply_lag_lsns: gauge("pageserver_apply_lag_lsns", "Transactions in the log that are not applied yet."),
            apply_lag_seconds,
            pressure,
            keys_read: counter("pageserver_keys_read_total", "Keys of point reads."),
            layers_touched,
            scans: counter("pageserver_scans_total", "Scans begun."),
            blocks_skipped: counter("pageserver_blocks_skipped_total", "Blocks that bounds kept scans from reading."),
            cache_memory_hits: counter("pageserver_cache_memory_hits_total", "Blocks found in memory."),
            cache_disk_hits: counter("pageserver_cache_disk_hits_total", "Blocks found on local disk."),
            cache_misses: counter("pageserver_cache_misses_total", "Blocks read from the object store."),
            corrupt_blocks: counter("pageserver_corrupt_blocks_total", "Blocks whose checksum did not match."),
            flushes: counter("pageserver_flushes_total", "Memtables written as layers."),
            compactions: counter("pageserver_compactions_total", "Compactions finished."),
            compaction_bytes: counter("pageserver_compaction_bytes_total", "Bytes written by compactions."),
            objects_deleted: counter("pageserver_objects_deleted_total", "Objects deleted after their time."),
            registry,
            shown: OnceLock::new(),
        }
    }
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics::new()
    }
}
