//! `drumlin start`: all roles in one process, calling each other directly.
//!
//! Up: data directory, object store, wal, page server, compute, and only then `ready`. Down: readiness turns red, compute
//! lets statements finish, the page server flushes what it applied, the log closes. Whatever does not come down in this
//! order recovers at the next start.

use crate::failure::Failure;
use crate::front_end;
use crate::lifecycle;
use crate::log_archive;
use crate::page_server;
use anyhow::Context;
use common::env::{Clock, DataDir, DataDirError, Store, SystemClock};
use compute::{Compute, ComputeConfig};
use pageserver::{PageServer, StoredState};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tracing::{info, warn};
use wal::{WalConfig, WalEnvironment, WalNode};

pub struct Settings {
    pub data_dir: PathBuf,
    pub listen: SocketAddr,
    /// Empty: `objects` below the data directory.
    pub store: String,
    pub http: SocketAddr,
    pub page_server: page_server::Settings,
    pub log_archive: log_archive::Settings,
    pub log_recovery: log_archive::RecoverySettings,
    pub front_end: front_end::Settings,
    pub root_password: String,
}

pub async fn run(settings: Settings) -> Result<(), Failure> {
    check(&settings)?;
    settings.front_end.set_priorities();
    // Found out before recovery, which may take a while; compute binds it for good.
    drop(lifecycle::bind(settings.listen, "--listen").await?);
    lifecycle::serve(settings.http, async || Roles::start(&settings).await).await
}

/// What the command line parser cannot see.
fn check(settings: &Settings) -> Result<(), Failure> {
    check_password(settings.listen, &settings.root_password, settings.front_end.insecure)?;
    settings.log_archive.check()?;
    settings.page_server.check()
}

/// An empty password is for this host alone.
pub fn check_password(listen: SocketAddr, root_password: &str, insecure: bool) -> Result<(), Failure> {
    if !listen.ip().is_loopback() && root_password.is_empty() && !insecure {
        return Err(Failure::settings(format!(
            "--listen {listen} is reachable from other hosts and root has no password; set DRUMLIN_ROOT_PASSWORD, or \
             listen on 127.0.0.1, or accept the risk with --insecure"
        )));
    }
    Ok(())
}

/// Everything that runs, and the directory that must not be let go before it ends.
struct Roles {
    store: Store,
    wal: WalNode,
    page_server: PageServer,
    compute: Compute,
    _data_dir: DataDir,
}

impl Roles {
    async fn start(settings: &Settings) -> Result<Roles, Failure> {
        let data_dir = DataDir::acquire(&settings.data_dir).map_err(|error| match &error {
            DataDirError::InUse { .. } | DataDirError::Unwritable { .. } => Failure::in_the_way(error.to_string()),
        })?;
        let store = lifecycle::open_store(&settings.store, data_dir.path()).await?;
        info!(data_dir = %data_dir.path().display(), store = store.url, "recovering");
        let mut config = WalConfig::single(data_dir.path().join("wal"));
        config.archive = settings.log_archive.config(settings.page_server.retention);
        let stored = match has_log(data_dir.path()) {
            true => pageserver::stored_state(store.objects.clone()).await.map_err(page_server_failure)?,
            false => log_archive::found(config.clone(), &store, settings.log_recovery).await?,
        };
        let wal = start_wal(config, &store, &stored).await?;
        check_log_fits(&wal, &store, &stored).await?;
        let page_server = start_page_server(settings, data_dir.path(), &wal, &store).await?;
        wal.set_page_service(page_server.service());
        let config = ComputeConfig {
            listen: settings.listen,
            data_dir: data_dir.path().to_owned(),
            tls: settings.front_end.tls_files(),
            root_password: settings.root_password.clone(),
            insecure: settings.front_end.insecure,
            secure_file_priv: settings.front_end.secure_file_priv.clone(),
            proxies: settings.front_end.proxy_from.clone(),
            audit_log: settings.front_end.audit_log.clone(),
            bulk_bytes: usize::try_from(settings.front_end.bulk_size).unwrap_or(usize::MAX),
            transaction_memory_bytes: usize::try_from(settings.front_end.transaction_memory).unwrap_or(usize::MAX),
            query_memory_bytes: usize::try_from(settings.front_end.query_memory).unwrap_or(usize::MAX),
            total_query_memory_bytes: settings.front_end.total_query_memory_bytes(),
        };
        let compute =
            compute::start(config, wal.service(), page_server.service()).await.map_err(|error| match &error {
                compute::StartError::Listen { .. } => Failure::in_the_way(format!("--listen: {error}")),
                compute::StartError::Tls(_) => Failure::in_the_way(format!("TLS of MySQL clients: {error}")),
                _ => Failure::running(format!("start the MySQL front end: {error}")),
            })?;
        common::telemetry::add_registry(compute.metrics());
        Ok(Roles { store, wal, page_server, compute, _data_dir: data_dir })
    }
}

impl lifecycle::Roles for Roles {
    fn ready_line(&self, http: SocketAddr) -> String {
        format!("mysql={} http={http} store={}", self.compute.local_addr(), self.store.url)
    }

    async fn shutdown(self) {
        self.compute.shutdown().await;
        if let Err(error) = self.page_server.shutdown().await {
            warn!(%error, "the last flush failed; the next start takes what it did not write from the log");
        }
        self.wal.shutdown().await;
    }
}

pub fn has_log(data_dir: &Path) -> bool {
    std::fs::read_dir(data_dir.join("wal")).is_ok_and(|mut files| files.next().is_some())
}

/// A log with one member, in this process.
async fn start_wal(config: WalConfig, store: &Store, stored: &StoredState) -> Result<WalNode, Failure> {
    let earliest_us = stored.time_us;
    let environment = WalEnvironment {
        clock: Arc::new(move || SystemClock.wall_us().max(earliest_us)),
        transport: None,
        registry: Some(common::telemetry::registry().clone()),
        archive: log_archive::archive_of(store),
    };
    wal::start(config, environment).await.map_err(wal_failure)
}

pub fn wal_failure(error: wal::StartError) -> Failure {
    match &error {
        wal::StartError::Log(wal::segment::RecoveryError::Damaged { .. })
        | wal::StartError::Log(wal::segment::RecoveryError::Missing { .. }) => Failure::damaged(error.to_string()),
        _ => Failure::running(format!("start the log: {error}")),
    }
}

/// A log and a store that do not belong together would lose transactions: better no start than a wrong one.
async fn check_log_fits(wal: &WalNode, store: &Store, stored: &StoredState) -> Result<(), Failure> {
    let status = wal
        .service()
        .status()
        .await
        .context("ask the log for its state")
        .map_err(|error| Failure::running(format!("{error:#}")))?;
    if status.committed < stored.newest {
        return Err(Failure::in_the_way(format!(
            "the log in the data directory ends at lsn {} but store {} holds transactions up to {}: another server has \
             used this store since; start with an empty --data-dir, which takes everything from the store",
            status.committed, store.url, stored.newest
        )));
    }
    if status.first > stored.durable.next() {
        return Err(Failure::in_the_way(format!(
            "the log in the data directory begins at lsn {} but store {} holds transactions only up to {}: this is not \
             the store that the log was written for; correct --store",
            status.first, store.url, stored.durable
        )));
    }
    Ok(())
}

async fn start_page_server(
    settings: &Settings,
    data_dir: &Path,
    wal: &WalNode,
    store: &Store,
) -> Result<PageServer, Failure> {
    let config = settings.page_server.config(data_dir);
    let page_server =
        pageserver::start(config, wal.service(), store.objects.clone()).await.map_err(page_server_failure)?;
    common::telemetry::add_registry(page_server.metrics());
    Ok(page_server)
}

pub fn page_server_failure(error: pageserver::StartError) -> Failure {
    match error.is_damage() {
        true => Failure::damaged(error.to_string()),
        false => Failure::in_the_way(format!("start the page server: {error}")),
    }
}
