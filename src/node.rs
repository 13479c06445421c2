//! `drumlin node start`: one role in this process, the others over the network.
//!
//! A node is told where some wal nodes listen (`--join`) and learns the rest from them: who leads and who the members are
//! from the log, which page servers there are from what those announced to the wal nodes. It remembers the addresses of
//! the members, so that it starts also when all of those it was told of have been replaced.
//!
//! A log is founded once, by `drumlin node init` on the first wal node. A wal node that starts with an empty directory is
//! nobody: it draws a new identity and asks the leader to take it in, in place of the member that listened at its address
//! before. So a node that has lost its disk cannot speak for what it has forgotten, and its recorded command brings it back.

mod join;
mod roles;

pub use join::join;
pub use roles::CERTIFICATES_METRIC;

use crate::failure::Failure;
use crate::front_end;
use crate::lifecycle;
use crate::log_archive::{self, RecoverySettings};
use crate::page_server;
use common::env::{DataDir, Random};
use common::id::NodeId;
use common::rpc::routing::WalRouter;
use common::rpc::{Identity, NodeRole, RpcClient};
use roles::Running;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Role {
    Wal,
    Pageserver,
    Compute,
}

impl Role {
    pub fn name(self) -> &'static str {
        NodeRole::from(self).name()
    }
}

impl From<Role> for NodeRole {
    fn from(role: Role) -> NodeRole {
        match role {
            Role::Wal => NodeRole::Wal,
            Role::Pageserver => NodeRole::Pageserver,
            Role::Compute => NodeRole::Compute,
        }
    }
}

#[derive(Debug, Clone)]
pub struct Settings {
    pub role: Role,
    pub name: String,
    pub data_dir: PathBuf,
    pub certificates: PathBuf,
    pub join: Vec<SocketAddr>,
    pub replaces: Option<SocketAddr>,
    pub listen: SocketAddr,
    pub http: SocketAddr,
    pub store: String,
    /// Of a page server.
    pub page_server: page_server::Settings,
    /// Of a wal node.
    pub log_archive: log_archive::Settings,
    /// Of a compute.
    pub front_end: front_end::Settings,
    pub root_password: String,
}

/// What a role needs of the process around it.
struct Surroundings {
    settings: Settings,
    data_dir: DataDir,
    identity: Identity,
    client: RpcClient,
    wal: Arc<WalRouter>,
}

/// How often the addresses of the members are written down, if they have changed.
const REMEMBER_INTERVAL: Duration = Duration::from_secs(1);
const MEMBERS_FILE: &str = "members";

pub async fn run(settings: Settings) -> Result<(), Failure> {
    check(&settings)?;
    settings.front_end.set_priorities();
    let http = settings.http;
    lifecycle::serve(http, async || Running::start(Surroundings::prepare(settings)?).await).await
}

/// What the command line parser cannot see.
fn check(settings: &Settings) -> Result<(), Failure> {
    if settings.role == Role::Compute {
        crate::start::check_password(settings.listen, &settings.root_password, settings.front_end.insecure)?;
    }
    settings.page_server.check()?;
    settings.log_archive.check()?;
    if settings.join.is_empty() {
        return Err(Failure::settings("--join needs the address of at least one wal node"));
    }
    if settings.role == Role::Pageserver && settings.store.is_empty() {
        return Err(Failure::settings("--store is needed for a page server: all of them share one store"));
    }
    if settings.role != Role::Compute && (settings.listen.ip().is_unspecified() || settings.listen.port() == 0) {
        return Err(Failure::settings(format!(
            "--listen {}: the others have to reach this node there; give its own address and port",
            settings.listen
        )));
    }
    Ok(())
}

impl Surroundings {
    fn prepare(settings: Settings) -> Result<Surroundings, Failure> {
        let data_dir = DataDir::acquire(&settings.data_dir).map_err(|error| Failure::in_the_way(error.to_string()))?;
        let identity = Identity::load(&settings.certificates)
            .map_err(|error| Failure::settings(format!("--certificates: {error}")))?;
        if let Some(role) = identity.role().filter(|role| *role != settings.role.into()) {
            let path = settings.certificates.display();
            let text = format!("--certificates {path}: the certificate there is for the role {role} alone");
            return Err(Failure::settings(text));
        }
        let client = RpcClient::new(&identity).map_err(|error| Failure::running(error.to_string()))?;
        let mut seeds = settings.join.clone();
        seeds.extend(remembered(data_dir.path()).into_iter().filter(|seed| !settings.join.contains(seed)));
        let wal = Arc::new(WalRouter::new(&client, &seeds, NodeId(Random::system().u64())));
        Ok(Surroundings { settings, data_dir, identity, client, wal })
    }

    /// Writes the members' addresses down for the next start.
    fn remember_members(&self) -> AbortOnDropHandle<()> {
        let (wal, path) = (self.wal.clone(), self.data_dir.path().join(MEMBERS_FILE));
        let mut known = remembered(self.data_dir.path());
        AbortOnDropHandle::new(tokio::spawn(async move {
            loop {
                tokio::time::sleep(REMEMBER_INTERVAL).await;
                let now = wal.addresses();
                if now == known {
                    continue;
                }
                let lines: String = now.iter().map(|address| format!("{address}\n")).collect();
                let staged = path.with_extension("new");
                if let Err(error) = std::fs::write(&staged, lines).and_then(|()| std::fs::rename(&staged, &path)) {
                    warn!(%error, path = %path.display(), "the members' addresses were not written down");
                }
                known = now;
            }
        }))
    }
}

fn remembered(data_dir: &Path) -> Vec<SocketAddr> {
    let text = std::fs::read_to_string(data_dir.join(MEMBERS_FILE)).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

/// `drumlin node init`: makes the log of a new cluster, with this node as its only member. Behind a store that holds
/// data, the log goes on where the store ends, its archive included.
pub async fn init(data_dir: &Path, listen: SocketAddr, store: &str, recovery: RecoverySettings) -> Result<(), Failure> {
    let data_dir = DataDir::acquire(data_dir).map_err(|error| Failure::in_the_way(error.to_string()))?;
    if crate::start::has_log(data_dir.path()) {
        return Err(Failure::in_the_way(format!(
            "{} holds a log already; start the node, or choose an empty directory",
            data_dir.path().display()
        )));
    }
    let store = lifecycle::open_store(store, data_dir.path()).await?;
    let node = roles::draw_identity(data_dir.path())?;
    let mut config = wal::WalConfig::member(data_dir.path().join("wal"), node, vec![node]);
    config.address = listen.to_string();
    let stored = log_archive::found(config, &store, recovery).await?;
    info!(%node, base_lsn = %stored.durable, "made the log of a new cluster");
    Ok(())
}
