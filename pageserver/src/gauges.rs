//! What a page server is at the moment of the question: nothing is counted along the way, so nothing can be forgotten.

use crate::compact::choose::ChooseOptions;
use crate::compact::debt::debt_bytes;
use crate::config::Config;
use crate::layer::Layer;
use crate::tablet::Tablets;
use parking_lot::Mutex;
use prometheus::IntGauge;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use std::collections::HashMap;
use std::sync::{Arc, Weak};

struct Gauges {
    tablets: Shown,
    options: ChooseOptions,
    applied_lsn: IntGauge,
    durable_lsn: IntGauge,
    tablet_count: IntGauge,
    memtable_bytes: IntGauge,
    layers: IntGauge,
    layer_bytes: IntGauge,
    compaction_debt_bytes: IntGauge,
    read_amplification: IntGauge,
    cache_memory_bytes: IntGauge,
    branch_points: IntGauge,
}

/// The tablets that are looked at. The registry may outlive them, and a member of several page servers goes over from some
/// to others.
pub type Shown = Arc<Mutex<Weak<Tablets>>>;

/// Has the gauges of the page server's registry show these tablets from now on.
pub fn show(tablets: &Arc<Tablets>, config: &Config) {
    let shown = tablets.source.metrics.shown.get_or_init(|| register(tablets, config));
    *shown.lock() = Arc::downgrade(tablets);
}

fn register(tablets: &Arc<Tablets>, config: &Config) -> Shown {
    let shown = Shown::default();
    let gauge = |name: &str, help: &str| IntGauge::new(name, help).expect("metric names are constants");
    let gauges = Gauges {
        tablets: shown.clone(),
        options: ChooseOptions::of(config),
        applied_lsn: gauge("pageserver_applied_lsn", "Newest transaction in the memtable."),
        durable_lsn: gauge("pageserver_durable_lsn", "Newest transaction in layers."),
        tablet_count: gauge("pageserver_tablets", "Tablets."),
        memtable_bytes: gauge("pageserver_memtable_bytes", "Keys and rows in memtables."),
        layers: gauge("pageserver_layers", "Layers in the newest manifests."),
        layer_bytes: gauge("pageserver_layer_bytes", "Bytes of the layers in the newest manifests."),
        compaction_debt_bytes: gauge(
            "pageserver_compaction_debt_bytes",
            "Bytes that compaction still has to rewrite, about.",
        ),
        read_amplification: gauge(
            "pageserver_read_amplification",
            "Layers that a point read may have to look into at most, in the tablet that is worst off.",
        ),
        cache_memory_bytes: gauge("pageserver_cache_memory_bytes", "Blocks in memory."),
        branch_points: gauge("pageserver_branch_points", "LSNs that stay readable whatever their age."),
    };
    let registry = &tablets.source.metrics.registry;
    registry.register(Box::new(gauges)).expect("each metric is registered once");
    shown
}

/// Bytes that compaction still has to rewrite, in all tablets.
pub fn compaction_debt(tablets: &Tablets, options: &ChooseOptions) -> u64 {
    let of_tablet = |layers: &crate::tablet::LayerSet| debt_bytes(layers.iter().map(|layer| &layer.meta), options);
    tablets.set().tablets.iter().map(|tablet| of_tablet(&tablet.snapshot().layers)).sum()
}

impl Gauges {
    fn all(&self) -> [&IntGauge; 10] {
        [
            &self.applied_lsn,
            &self.durable_lsn,
            &self.tablet_count,
            &self.memtable_bytes,
            &self.layers,
            &self.layer_bytes,
            &self.compaction_debt_bytes,
            &self.read_amplification,
            &self.cache_memory_bytes,
            &self.branch_points,
        ]
    }

    fn look(&self, tablets: &Tablets) {
        let set = |gauge: &IntGauge, value: u64| gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        set(&self.applied_lsn, tablets.applied().0);
        set(&self.durable_lsn, tablets.durable().0);
        set(&self.memtable_bytes, tablets.memtable_bytes().2 as u64);
        set(&self.compaction_debt_bytes, compaction_debt(tablets, &self.options));
        set(&self.cache_memory_bytes, tablets.source.cache.memory_bytes());
        set(&self.branch_points, tablets.points().len() as u64);
        let current = tablets.set();
        set(&self.tablet_count, current.tablets.len() as u64);
        // Tablets that came of a split share layers.
        let mut layers = HashMap::new();
        let mut most = 0;
        for tablet in &current.tablets {
            let snapshot = tablet.snapshot();
            layers.extend(snapshot.layers.iter().map(|layer: &Arc<Layer>| (layer.meta.id(), layer.meta.bytes)));
            most = most.max(snapshot.layers.run_count());
        }
        set(&self.layers, layers.len() as u64);
        set(&self.layer_bytes, layers.values().sum());
        set(&self.read_amplification, most as u64);
    }
}

impl Collector for Gauges {
    fn desc(&self) -> Vec<&Desc> {
        self.all().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let tablets = self.tablets.lock().upgrade();
        if let Some(tablets) = tablets {
            self.look(&tablets);
        }
        self.all().into_iter().flat_map(Collector::collect).collect()
    }
}
