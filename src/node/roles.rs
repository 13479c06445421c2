//! The role of a node: how it starts, when it is ready, how it stops.

use super::{Role, Settings, Surroundings};
use crate::failure::Failure;
use crate::lifecycle;
use common::env::{Clock, Random, SystemClock};
use common::id::NodeId;
use common::rpc::routing::PageRouter;
use common::rpc::{
    Deadlines, Ends, PageClient, RpcClient, Server, ServerConfig, ServerEnd, Services, follow_identity, serve,
};
use common::service::page::GetRequest;
use common::service::wal::MemberChange;
use common::service::{PageService, WalService};
use compute::{Compute, ComputeConfig};
use futures::FutureExt;
use pageserver::{Member, Probe, Pulse};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};
use wal::{RpcPeers, WalConfig, WalEnvironment, WalNode};

/// How long a node looks for the others before its start has failed: an operator starts them in any order.
const START_PATIENCE: Duration = Duration::from_secs(300);
const RETRY_WAIT: Duration = Duration::from_millis(200);
const ANNOUNCE_INTERVAL: Duration = Duration::from_secs(1);
const PROBE_DEADLINE: Duration = Duration::from_millis(500);
/// Calls that still run when a node stops have so long to end.
const GRACE: Duration = Duration::from_secs(2);
const IDENTITY_FILE: &str = "node-id";
pub const CERTIFICATES_METRIC: &str = "cluster_certificates";

/// A role that runs, with what must not end before it.
pub struct Running {
    role: RunningRole,
    settings: Settings,
    client: RpcClient,
    _remembering: AbortOnDropHandle<()>,
    _renewing: AbortOnDropHandle<()>,
    _data_dir: common::env::DataDir,
}

enum RunningRole {
    Wal { node: WalNode, server: Server },
    Pageserver { member: Member, server: Server, _announcing: AbortOnDropHandle<()> },
    Compute { compute: Compute },
}

impl RunningRole {
    fn server_end(&self) -> Option<ServerEnd> {
        match self {
            RunningRole::Wal { server, .. } | RunningRole::Pageserver { server, .. } => Some(server.end()),
            RunningRole::Compute { .. } => None,
        }
    }
}

impl Running {
    /// Returns when the node serves.
    pub async fn start(around: Surroundings) -> Result<Running, Failure> {
        let remembering = around.remember_members();
        let role = match around.settings.role {
            Role::Wal => start_wal(&around).await?,
            Role::Pageserver => start_page_server(&around).await?,
            Role::Compute => start_compute(&around).await?,
        };
        let renewing = renew_certificates(&around, role.server_end());
        let Surroundings { settings, data_dir, client, .. } = around;
        Ok(Running { role, settings, client, _remembering: remembering, _renewing: renewing, _data_dir: data_dir })
    }

    fn local_addr(&self) -> SocketAddr {
        match &self.role {
            RunningRole::Wal { server, .. } | RunningRole::Pageserver { server, .. } => server.local_addr(),
            RunningRole::Compute { compute } => compute.local_addr(),
        }
    }
}

impl lifecycle::Roles for Running {
    fn ready_line(&self, http: SocketAddr) -> String {
        let Settings { role, name, .. } = &self.settings;
        format!("role={} name={name} listen={} http={http}", role.name(), self.local_addr())
    }

    async fn shutdown(self) {
        match self.role {
            RunningRole::Wal { node, server } => {
                // First the log, which hands over the lead and needs the network for it.
                node.shutdown().await;
                server.shutdown(GRACE).await;
            }
            RunningRole::Pageserver { member, server, .. } => {
                server.shutdown(GRACE).await;
                if let Err(error) = member.shutdown().await {
                    warn!(%error, "the last flush failed; the log has what it did not write");
                }
            }
            RunningRole::Compute { compute } => compute.shutdown().await,
        }
        self.client.close().await;
    }
}

/// Uses what is put into the node's directory of certificates, and tells by a metric what that is.
fn renew_certificates(around: &Surroundings, server: Option<ServerEnd>) -> AbortOnDropHandle<()> {
    let gauge = common::telemetry::gauge_vec(
        CERTIFICATES_METRIC,
        "1 for the certificates in use: a fingerprint of what is shown to other nodes and which authorities are believed.",
        &["fingerprint"],
    );
    let ends = Ends { client: around.client.clone(), server };
    AbortOnDropHandle::new(tokio::spawn(follow_identity(around.settings.certificates.clone(), ends, move |identity| {
        gauge.reset();
        gauge.with_label_values(&[identity.fingerprint()]).set(1);
    })))
}

fn serve_at(around: &Surroundings, services: Services) -> Result<Server, Failure> {
    serve(ServerConfig { listen: around.settings.listen }, &around.identity, services)
        .map_err(|error| Failure::in_the_way(format!("--listen: {error}")))
}

/// Tries until it works, or the patience ends: then says what was last in the way.
async fn until<T, E: std::fmt::Display>(
    what: &str,
    mut attempt: impl AsyncFnMut() -> Result<T, E>,
) -> Result<T, Failure> {
    let begun = tokio::time::Instant::now();
    let mut told = None;
    loop {
        let error = match attempt().await {
            Ok(done) => return Ok(done),
            Err(error) => error.to_string(),
        };
        if begun.elapsed() > START_PATIENCE {
            return Err(Failure::running(format!("{what}: {error}; are the addresses of --join right?")));
        }
        if told.as_ref() != Some(&error) {
            info!(error, "{what}: trying again");
            told = Some(error);
        }
        tokio::time::sleep(RETRY_WAIT).await;
    }
}

/// A new identity, written down before it is used.
pub fn draw_identity(data_dir: &Path) -> Result<NodeId, Failure> {
    let (path, node) = (data_dir.join(IDENTITY_FILE), NodeId(Random::system().u64()));
    let staged = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        std::fs::write(&staged, format!("{node}\n"))?;
        std::fs::File::open(&staged)?.sync_all()?;
        std::fs::rename(&staged, &path)?;
        std::fs::File::open(data_dir)?.sync_all()
    };
    write().map_err(|error| Failure::in_the_way(format!("{}: {error}", path.display())))?;
    Ok(node)
}

/// Who this node is, by what is in its directory: with a log, who wrote it; without one, somebody new.
fn wal_identity(data_dir: &Path) -> Result<NodeId, Failure> {
    if !crate::start::has_log(data_dir) {
        return draw_identity(data_dir);
    }
    let path = data_dir.join(IDENTITY_FILE);
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    text.trim().parse().map(NodeId).map_err(|_| {
        Failure::damaged(format!(
            "{} does not say who wrote the log beside it; restore it, or move the log away and the node joins as a new one",
            path.display()
        ))
    })
}

async fn start_wal(around: &Surroundings) -> Result<RunningRole, Failure> {
    let Settings { listen, replaces, store, log_archive, page_server, .. } = &around.settings;
    let node = wal_identity(around.data_dir.path())?;
    let mut config = WalConfig::member(around.data_dir.path().join("wal"), node, Vec::new());
    config.address = listen.to_string();
    config.archive = log_archive.config(page_server.retention);
    let archive = match store.as_str() {
        "" => {
            warn!("without --store the log is not archived when this node leads");
            None
        }
        store => crate::log_archive::archive_of(&lifecycle::open_store(store, around.data_dir.path()).await?),
    };
    let environment = WalEnvironment {
        clock: Arc::new(|| SystemClock.wall_us()),
        transport: Some(Arc::new(RpcPeers::new(around.client.clone()))),
        registry: Some(common::telemetry::registry().clone()),
        archive,
    };
    let running = wal::start(config, environment).await.map_err(crate::start::wal_failure)?;
    let pages = PageRouter::following(&around.client, around.wal.clone());
    running.set_page_service(Arc::new(pages));
    let services = Services { wal: Some(running.service()), peer: Some(running.peers()), page: None };
    let server = serve_at(around, services)?;
    let change = MemberChange::Join {
        node,
        address: listen.to_string(),
        replaces: replaces.map(|replaces| replaces.to_string()),
    };
    until("join the log", async || around.wal.change_members(change.clone()).await).await?;
    Ok(RunningRole::Wal { node: running, server })
}

fn probe(client: &RpcClient) -> Probe {
    let client = client.clone();
    Arc::new(move |address| {
        let deadlines = Deadlines { call: PROBE_DEADLINE, ..Deadlines::default() };
        let owner = PageClient::new(client.peer(address), deadlines);
        async move {
            match owner.status().await {
                Ok(status) if status.tablets.is_empty() => Pulse::Lives,
                Ok(_) => Pulse::Owns,
                Err(_) => Pulse::Silent,
            }
        }
        .boxed()
    })
}

async fn start_page_server(around: &Surroundings) -> Result<RunningRole, Failure> {
    let store = lifecycle::open_store(&around.settings.store, around.data_dir.path()).await?;
    let address = around.settings.listen;
    let config = around.settings.page_server.config(around.data_dir.path());
    let member = pageserver::start_member(config, address, around.wal.clone(), store.objects, probe(&around.client))
        .await
        .map_err(crate::start::page_server_failure)?;
    common::telemetry::add_registry(member.metrics());
    let server = serve_at(around, Services { page: Some(member.service()), ..Services::default() })?;
    let wal = around.wal.clone();
    let announcing = AbortOnDropHandle::new(tokio::spawn(async move {
        loop {
            let _ = wal.announce(address).await;
            tokio::time::sleep(ANNOUNCE_INTERVAL).await;
        }
    }));
    until("follow the log", async || -> anyhow::Result<()> {
        let lsn = around.wal.read_lsn().await?.lsn;
        member.service().get(GetRequest { lsn, keys: Vec::new() }).await?;
        Ok(())
    })
    .await?;
    Ok(RunningRole::Pageserver { member, server, _announcing: announcing })
}

async fn start_compute(around: &Surroundings) -> Result<RunningRole, Failure> {
    let settings = &around.settings;
    let config = ComputeConfig {
        listen: settings.listen,
        data_dir: around.data_dir.path().to_owned(),
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
    let pages: Arc<dyn PageService> = Arc::new(PageRouter::following(&around.client, around.wal.clone()));
    let wal: Arc<dyn WalService> = around.wal.clone();
    let compute = until("start the MySQL front end", async || {
        match compute::start(config.clone(), wal.clone(), pages.clone()).await {
            // Nothing to wait for.
            Err(error @ compute::StartError::Listen { .. }) => {
                Ok(Err(Failure::in_the_way(format!("--listen: {error}"))))
            }
            Err(error @ compute::StartError::Tls(_)) => {
                Ok(Err(Failure::in_the_way(format!("TLS of MySQL clients: {error}"))))
            }
            Err(error @ compute::StartError::Journal { .. }) => Ok(Err(Failure::running(error.to_string()))),
            Err(error) => Err(error),
            Ok(compute) => Ok(Ok(compute)),
        }
    })
    .await??;
    common::telemetry::add_registry(compute.metrics());
    Ok(RunningRole::Compute { compute })
}
