//! Counters of statements and connections, for `/metrics` and for SHOW STATUS.

use super::Ended;
use super::audit::ConnectionEvent;
use super::verb::Verb;
use prometheus::core::Collector;
use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

/// Of one kind of statements.
struct Statements {
    seconds: Histogram,
    failed: IntCounter,
}

pub struct Metrics {
    /// In the order of [`Verb::ALL`].
    statements: Vec<Statements>,
    slow: IntCounter,
    bytes_received: IntCounter,
    bytes_sent: IntCounter,
    rows_sent: IntCounter,
    rows_changed: IntCounter,
    rows_read: IntCounter,
    errors: IntCounterVec,
    connections: IntCounter,
    connections_open: IntGauge,
    refused: IntCounterVec,
    aborted_connects: IntCounterVec,
    aborted_clients: IntCounterVec,
    lines_lost: IntCounterVec,
}

fn made<M: Collector + Clone + 'static>(registry: &Registry, metric: prometheus::Result<M>) -> M {
    let metric = metric.expect("a metric with a valid name");
    registry.register(Box::new(metric.clone())).expect("a metric registered once");
    metric
}

impl Metrics {
    pub fn new(registry: &Registry) -> Metrics {
        let counter = |name: &str, help: &str| made(registry, IntCounter::new(name, help));
        let by =
            |name: &str, help: &str, label: &str| made(registry, IntCounterVec::new(Opts::new(name, help), &[label]));
        // From 50 µs to 13 s, each four times the one before.
        let buckets = (0..10).map(|power| 0.00005 * 4f64.powi(power)).collect();
        let options = HistogramOpts::new("drumlin_mysql_statement_seconds", "Time of statements, their rows sent.");
        let seconds = made(registry, HistogramVec::new(options.buckets(buckets), &["verb"]));
        let failed = by("drumlin_mysql_statements_failed_total", "Statements that ended with an error.", "verb");
        let of = |verb: &Verb| Statements {
            seconds: seconds.with_label_values(&[verb.name()]),
            failed: failed.with_label_values(&[verb.name()]),
        };
        Metrics {
            statements: Verb::ALL.iter().map(of).collect(),
            slow: counter("drumlin_mysql_slow_statements_total", "Statements of long_query_time or longer."),
            bytes_received: counter("drumlin_mysql_received_bytes_total", "Bytes of commands, after the login."),
            bytes_sent: counter("drumlin_mysql_sent_bytes_total", "Bytes of answers, after the login."),
            rows_sent: counter("drumlin_mysql_rows_sent_total", "Rows sent to clients."),
            rows_changed: counter("drumlin_mysql_rows_changed_total", "Rows inserted, updated and deleted."),
            rows_read: counter("drumlin_mysql_rows_read_total", "Rows that page servers gave for statements."),
            errors: by("drumlin_mysql_errors_total", "Errors that statements ended with, by MySQL's number.", "error"),
            connections: counter("drumlin_mysql_connections_total", "Connections that were accepted."),
            connections_open: made(
                registry,
                IntGauge::new("drumlin_mysql_connections", "Connections that are open, after their login."),
            ),
            refused: by(
                "drumlin_mysql_connections_refused_total",
                "Connections that were refused, by MySQL's number of the error.",
                "error",
            ),
            aborted_connects: by(
                "drumlin_mysql_aborted_connects_total",
                "Connections that ended before their login without an answer.",
                "cause",
            ),
            aborted_clients: by(
                "drumlin_mysql_aborted_clients_total",
                "Connections that ended without the client saying so.",
                "cause",
            ),
            lines_lost: by("drumlin_mysql_log_lines_lost_total", "Lines of a log that were not written.", "log"),
        }
    }

    pub fn lines_lost(&self, log: &str) -> IntCounter {
        self.lines_lost.with_label_values(&[log])
    }

    pub fn statement(&self, ended: &Ended<'_>) {
        let statements = &self.statements[ended.verb as usize];
        statements.seconds.observe(ended.took.as_secs_f64());
        if let Some(error) = ended.error {
            statements.failed.inc();
            self.errors.with_label_values(&[error.to_string()]).inc();
        }
        if ended.is_slow {
            self.slow.inc();
        }
        self.rows_sent.inc_by(ended.rows.sent);
        self.rows_changed.inc_by(ended.rows.changed);
        self.rows_read.inc_by(ended.rows.read);
    }

    pub fn connection(&self, event: ConnectionEvent, open: u64) {
        match event {
            ConnectionEvent::Connected | ConnectionEvent::ChangedUser => self.connections.inc(),
            ConnectionEvent::Refused(error) => {
                self.connections.inc();
                self.refused.with_label_values(&[error.to_string()]).inc();
            }
            ConnectionEvent::Ended => {}
        }
        self.connections_open.set(i64::try_from(open).unwrap_or(i64::MAX));
    }

    pub fn traffic(&self, received_bytes: u64, sent_bytes: u64) {
        self.bytes_received.inc_by(received_bytes);
        self.bytes_sent.inc_by(sent_bytes);
    }

    pub fn aborted(&self, logged_in: bool, cause: &str) {
        let aborted = if logged_in { &self.aborted_clients } else { &self.aborted_connects };
        aborted.with_label_values(&[cause]).inc();
    }

    pub fn slow_statements(&self) -> u64 {
        self.slow.get()
    }

    pub fn status(&self) -> Vec<(&'static str, u64)> {
        let by_verb = Verb::ALL.iter().zip(&self.statements);
        let mut status: Vec<_> = by_verb
            .filter_map(|(verb, statements)| Some((verb.status_variable()?, statements.seconds.get_sample_count())))
            .collect();
        status.extend([
            ("Aborted_clients", sum(&self.aborted_clients)),
            // MySQL counts those with wrong passwords too.
            ("Aborted_connects", sum(&self.aborted_connects) + sum(&self.refused)),
            ("Bytes_received", self.bytes_received.get()),
            ("Bytes_sent", self.bytes_sent.get()),
            ("Connections", self.connections.get() + sum(&self.aborted_connects)),
            ("Slow_queries", self.slow.get()),
        ]);
        status
    }
}

fn sum(counters: &IntCounterVec) -> u64 {
    let families = counters.collect();
    let values = families.iter().flat_map(|family| family.get_metric());
    values.map(|metric| metric.get_counter().get_value() as u64).sum()
}
