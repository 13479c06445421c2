//! Journal: what a compute tells of the statements and connections that it serves: metrics, status counters, the slow
//! query log and the audit log.
//!
//! `mysql` reports connections, `session` reports statements; nothing is asked of anybody here.

mod audit;
mod file;
mod metrics;
mod slow;
mod verb;

pub use audit::{Connection, ConnectionEvent};
pub use verb::Verb;

use file::LogFile;
use metrics::Metrics;
use prometheus::Registry;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Where the journal writes to.
#[derive(Debug, Clone, Default)]
pub struct JournalConfig {
    /// Written to while `slow_query_log` is ON.
    pub slow_log: Option<PathBuf>,
    /// None: nothing is audited.
    pub audit_log: Option<PathBuf>,
}

/// A statement that has ended, its rows sent.
#[derive(Debug)]
pub struct Ended<'a> {
    pub connection: u64,
    pub user: &'a str,
    pub host: &'a str,
    pub database: Option<&'a str>,
    /// Without the passwords in it.
    pub text: &'a str,
    pub verb: Verb,
    /// Microseconds since 1970.
    pub ended_us: u64,
    pub took: Duration,
    /// Rows that the client was sent, or that were changed.
    pub rows: Rows,
    /// Number of the error that it ended with.
    pub error: Option<u16>,
    /// It took long_query_time or longer, and read as much as min_examined_row_limit.
    pub is_slow: bool,
    /// slow_query_log is ON.
    pub logs_slow: bool,
}

#[derive(Debug, Clone, Copy, Default)]
pub struct Rows {
    pub sent: u64,
    pub changed: u64,
    /// That page servers gave for it.
    pub read: u64,
}

pub struct Journal {
    registry: Registry,
    metrics: Metrics,
    slow: Option<LogFile>,
    audit: Option<LogFile>,
    /// Of Max_used_connections.
    connections_most: AtomicU64,
}

impl Journal {
    /// Makes the files where they are missing. `Err`: the path, and why nothing can be written there.
    pub fn open(config: &JournalConfig) -> Result<Journal, (PathBuf, std::io::Error)> {
        let registry = Registry::new();
        let metrics = Metrics::new(&registry);
        let open = |path: &Option<PathBuf>, name: &str, head: &'static str| {
            let Some(path) = path else { return Ok(None) };
            let lost = metrics.lines_lost(name);
            LogFile::open(path, head, lost).map(Some).map_err(|error| (path.clone(), error))
        };
        let slow = open(&config.slow_log, "slow", slow::HEAD)?;
        let audit = open(&config.audit_log, "audit", "")?;
        Ok(Journal { registry, metrics, slow, audit, connections_most: AtomicU64::new(0) })
    }

    /// To be shown beside those of the process.
    pub fn registry(&self) -> Registry {
        self.registry.clone()
    }

    pub async fn statement(&self, ended: Ended<'_>) {
        self.metrics.statement(&ended);
        if ended.is_slow
            && ended.logs_slow
            && let Some(log) = &self.slow
        {
            log.write(slow::entry(&ended));
        }
        if let Some(log) = &self.audit {
            log.write_surely(audit::statement(&ended)).await;
        }
    }

    /// `open`: connections there are with it.
    pub async fn connection(&self, connection: Connection<'_>, event: ConnectionEvent, open: u64) {
        self.connections_most.fetch_max(open, Ordering::Relaxed);
        self.metrics.connection(event, open);
        if let Some(log) = &self.audit {
            log.write_surely(audit::connection(&connection, event)).await;
        }
    }

    /// Of one command and its answer.
    pub fn traffic(&self, received_bytes: u64, sent_bytes: u64) {
        self.metrics.traffic(received_bytes, sent_bytes);
    }

    /// A client that went, or was sent away, before or after its login, without saying so.
    pub fn aborted(&self, logged_in: bool, cause: &'static str) {
        self.metrics.aborted(logged_in, cause);
    }

    /// SHOW STATUS has them.
    pub fn status(&self) -> Vec<(&'static str, u64)> {
        let mut status = self.metrics.status();
        status.push(("Max_used_connections", self.connections_most.load(Ordering::Relaxed)));
        status
    }

    pub fn slow_statements(&self) -> u64 {
        self.metrics.slow_statements()
    }

    /// What was told so far is in the files when this returns.
    pub async fn flush(&self) {
        for log in self.slow.iter().chain(&self.audit) {
            log.flush().await;
        }
    }
}
