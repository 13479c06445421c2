//! Compute: MySQL's protocol, language and transactions over the wal and page services. Keeps nothing that matters.
//!
//! A statement travels `mysql → session → sql → execute → txn → remote`; imports point the same way and never back.
//! `catalog` serves `sql` and `execute` and reads through `txn`.

pub mod account;
pub mod catalog;
pub mod execute;
pub mod fuzz;
pub mod journal;
mod mysql;
pub mod session;
pub mod sql;
#[cfg(test)]
#[macro_use]
pub mod testing;
pub mod txn;

use crate::catalog::CatalogCache;
use crate::execute::Services;
use crate::execute::expressions::ExpressionCache;
use crate::journal::{Journal, JournalConfig};
use crate::mysql::server::{Front, Server};
pub use crate::mysql::tls::TlsFiles;
use crate::session::Engine;
use crate::txn::{Remote, WriteMemory};
use common::env::random::Random;
use common::env::{Clock, SystemClock};
use common::service::{PageService, WalService};
use execute::query_memory::QueryMemory;
use ipnet::IpNet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// MySQL's version that we follow; clients and ORMs choose their dialect by it.
const MYSQL_VERSION: &str = "8.4.0";
/// How long a shutdown waits for the disk that logs are on.
const JOURNAL_WAIT_MAX: Duration = Duration::from_secs(5);
/// How often row counts for the planner are taken anew.
const STATISTICS_INTERVAL: Duration = Duration::from_secs(5);
/// At the start; twice as long each time after.
const STATISTICS_INTERVAL_FIRST: Duration = Duration::from_secs(1);

/// Settings of the compute role.
#[derive(Debug, Clone)]
pub struct ComputeConfig {
    /// Where MySQL clients connect.
    pub listen: SocketAddr,
    /// For the TLS certificate and key that are made where none are given.
    pub data_dir: PathBuf,
    pub tls: TlsFiles,
    /// Of the account `root`; empty: accepted from loopback only.
    pub root_password: String,
    /// Accept an empty password from other hosts too.
    pub insecure: bool,
    /// The directory that LOAD DATA without LOCAL may read; none: it reads nothing.
    pub secure_file_priv: Option<PathBuf>,
    /// Networks of balancers whose PROXY protocol headers are believed.
    pub proxies: Vec<IpNet>,
    /// Rows of new tables and indexes, of loads into empty tables, and of large transactions, beyond this go to the store ahead
    /// of their commit.
    pub bulk_bytes: usize,
    /// What transactions hold in memory for their commits, all together; beyond it their rows go to files in `data_dir`.
    pub transaction_memory_bytes: usize,
    /// What the operators of one query may hold in memory; beyond it sorting and grouping go to files where the columnar executor
    /// runs it, and else the query ends with error 1041.
    pub query_memory_bytes: usize,
    /// The same for all queries together: where they hold more, a large one ends with error 1041.
    pub total_query_memory_bytes: usize,
    /// One JSON object in a line for each connection and statement; none: nothing is audited.
    pub audit_log: Option<PathBuf>,
}

/// In the data directory, for statements that take long_query_time or longer while slow_query_log is ON.
const SLOW_LOG_FILE: &str = "slow.log";

/// In the data directory: files of large transactions, which have no names there.
const SPILL_DIRECTORY: &str = "spill";

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("listen on {address}: {source}")]
    Listen { address: SocketAddr, source: std::io::Error },
    #[error(transparent)]
    Tls(#[from] mysql::tls::TlsError),
    #[error("read the catalog: {0}")]
    Catalog(expr::SqlError),
    #[error("write to {path}: {source}")]
    Journal { path: PathBuf, source: std::io::Error },
}

/// A running compute.
pub struct Compute {
    server: Server,
    engine: Arc<Engine>,
    /// Ended with it.
    tasks: JoinSet<()>,
}

/// Reads the catalog and serves MySQL clients.
pub async fn start(
    config: ComputeConfig,
    wal: Arc<dyn WalService>,
    pages: Arc<dyn PageService>,
) -> Result<Compute, StartError> {
    let tls = mysql::tls::server_config(&config.data_dir, &config.tls)?;
    let listener = TcpListener::bind(config.listen)
        .await
        .map_err(|source| StartError::Listen { address: config.listen, source })?;
    let random = Random::system();
    let remote = Remote {
        wal,
        pages,
        new_id: Arc::new(move || random.u128()),
        snapshots: Arc::default(),
        throttle: Arc::default(),
        bulk_bytes: config.bulk_bytes,
        write_memory: Arc::new(WriteMemory::new(
            config.transaction_memory_bytes,
            config.data_dir.join(SPILL_DIRECTORY),
        )),
    };
    let catalog = CatalogCache::start(remote.clone()).await.map_err(StartError::Catalog)?;
    let services = Services { remote, catalog: Arc::new(catalog), expressions: Arc::new(ExpressionCache::default()) };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let version = format!("{MYSQL_VERSION}-Drumlin-{}", env!("CARGO_PKG_VERSION"));
    let journals = JournalConfig { slow_log: Some(config.data_dir.join(SLOW_LOG_FILE)), audit_log: config.audit_log };
    let journal = Journal::open(&journals).map_err(|(path, source)| StartError::Journal { path, source })?;
    let query_memory = Arc::new(QueryMemory::new(config.query_memory_bytes, config.total_query_memory_bytes));
    let engine = Arc::new(Engine::new(services, clock, version, query_memory, journal));
    engine.set_file_directory(config.secure_file_priv.as_deref());
    engine.set_files(config.tls.variables());
    engine.set_slow_log(&config.data_dir.join(SLOW_LOG_FILE));
    let metrics = engine.services.remote.write_memory.metrics().into_iter().chain(engine.query_memory.metrics());
    for metric in metrics {
        engine.journal.registry().register(metric).expect("a metric registered once");
    }
    let mut tasks = JoinSet::new();
    tasks.spawn(refresh_statistics(engine.clone()));
    tasks.spawn(session::scheduler::Scheduler::new(engine.clone()).run());
    tasks.spawn(txn::open_snapshots::report(engine.services.remote.clone()));
    let Remote { wal, throttle, .. } = engine.services.remote.clone();
    tasks.spawn(txn::throttle::follow(wal, throttle));
    let front = Front::new(engine.clone(), tls, &config.root_password, config.insecure).behind(config.proxies);
    let front = Arc::new(front);
    let server =
        Server::start(listener, front).map_err(|source| StartError::Listen { address: config.listen, source })?;
    Ok(Compute { server, engine, tasks })
}

impl Compute {
    pub fn local_addr(&self) -> SocketAddr {
        self.server.local_addr()
    }

    /// Accepts no more connections, lets statements finish, closes what is left.
    pub async fn shutdown(mut self) {
        self.server.shutdown().await;
        self.tasks.shutdown().await;
        if tokio::time::timeout(JOURNAL_WAIT_MAX, self.engine.journal.flush()).await.is_err() {
            tracing::warn!("the last lines of the logs are not written");
        }
    }

    /// Statements and connections, for `/metrics`.
    pub fn metrics(&self) -> prometheus::Registry {
        self.engine.journal.registry()
    }
}

async fn refresh_statistics(engine: Arc<Engine>) {
    // At the start page servers learn of their layers one after the other, and tables are made and filled.
    let mut interval = STATISTICS_INTERVAL_FIRST;
    loop {
        engine.refresh_statistics().await;
        execute::ddl::drop_abandoned(&engine.services).await;
        tokio::time::sleep(interval).await;
        interval = (interval * 2).min(STATISTICS_INTERVAL);
    }
}
