//! What a process says about itself: logs on stderr, metrics in one registry.
//!
//! Metrics of the process itself are made by the functions here, under the prefix `drumlin_`; registering a name twice is
//! a bug that shows at first use. A role that keeps a registry of its own adds it with [`add_registry`].

use parking_lot::Mutex;
use prometheus::{
    CounterVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// What is logged unless `DRUMLIN_LOG` says otherwise: our own state changes, and only the worries of libraries.
const DEFAULT_FILTER: &str = "warn,drumlin=info,common=info,compute=info,wal=info,pageserver=info";

/// Sends logs to stderr. A second call (several servers in one test process) does nothing.
pub fn init_logs() {
    let wanted = std::env::var("DRUMLIN_LOG").unwrap_or_else(|_| DEFAULT_FILTER.to_owned());
    let filter = EnvFilter::try_new(&wanted);
    let understood = filter.is_ok();
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter.unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER)))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .try_init();
    if !understood {
        tracing::warn!(
            DRUMLIN_LOG = wanted,
            "not a log filter, for example: info or warn,wal=debug; using the default"
        );
    }
}

/// The registry of the process.
pub fn registry() -> &'static Registry {
    prometheus::default_registry()
}

/// Registries of roles, shown beside [`registry`].
static ADDED: Mutex<Vec<Registry>> = Mutex::new(Vec::new());

/// Has `/metrics` show the metrics of another registry too.
pub fn add_registry(registry: Registry) {
    ADDED.lock().push(registry);
}

/// All metrics in Prometheus's text format.
pub fn metrics_text() -> String {
    let mut text = String::new();
    let mut families = registry().gather();
    for added in ADDED.lock().iter() {
        families.extend(added.gather());
    }
    if let Err(error) = TextEncoder::new().encode_utf8(&families, &mut text) {
        tracing::warn!(%error, "some metrics could not be written");
    }
    text
}

fn name(name: &str) -> String {
    format!("drumlin_{name}")
}

fn register<M: prometheus::core::Collector + Clone + 'static>(metric: prometheus::Result<M>) -> M {
    let metric = metric.expect("a metric with a valid name");
    registry().register(Box::new(metric.clone())).expect("a metric registered once");
    metric
}

pub fn counter(metric: &str, help: &str) -> IntCounter {
    register(IntCounter::new(name(metric), help))
}

pub fn counter_vec(metric: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    register(IntCounterVec::new(Opts::new(name(metric), help), labels))
}

/// For what is not counted in whole numbers.
pub fn float_counter_vec(metric: &str, help: &str, labels: &[&str]) -> CounterVec {
    register(CounterVec::new(Opts::new(name(metric), help), labels))
}

pub fn gauge(metric: &str, help: &str) -> IntGauge {
    register(IntGauge::new(name(metric), help))
}

pub fn gauge_vec(metric: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    register(IntGaugeVec::new(Opts::new(name(metric), help), labels))
}

/// Buckets from 100 µs to 26 s, each four times the one before.
pub fn histogram_vec(metric: &str, help: &str, labels: &[&str]) -> HistogramVec {
    let buckets = (0..10).map(|power| 0.0001 * 4f64.powi(power)).collect();
    register(HistogramVec::new(HistogramOpts::new(name(metric), help).buckets(buckets), labels))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registered_metrics_are_shown_with_their_prefix() {
        counter("test_of_telemetry_total", "Only here.").inc_by(3);
        let role = Registry::new();
        role.register(Box::new(IntGauge::new("role_gauge", "Of a role.").unwrap())).unwrap();
        add_registry(role);
        let text = metrics_text();
        assert!(text.contains("\ndrumlin_test_of_telemetry_total 3\n") && text.contains("\nrole_gauge 0\n"), "{text}");
    }
}
