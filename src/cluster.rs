//! `drumlin cluster`: a cluster of real processes on this machine, for trying and testing.
//!
//! ```text
//! DIR/cluster.json            the nodes, each with the command that restarts exactly it
//! DIR/ca/                     the cluster's authority; DIR/certificates/NAME/ what a node shows to the others
//! DIR/ca-next/                the authority that takes over, while it does
//! DIR/tokens/                 what lets nodes on other machines in
//! DIR/NAME/                   a node's data; DIR/logs/NAME.log what it says
//! DIR/objects/                the store, unless --store names another
//! ```
//!
//! A node may be ended and restarted by hand. Which process it is now is in its directory's LOCK file; a process is ours
//! if its command line is the recorded one.

mod process;
mod rotate;
mod status;
mod token;

use crate::failure::Failure;
use crate::log_archive::{self, RecoverySettings};
use crate::node;
use common::env::Random;
use common::id::NodeId;
use common::rpc::{ClusterAuthority, Identity};
use serde::{Deserialize, Serialize};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use rotate::rotate;
pub use status::{status_of_cluster, status_of_server};
pub use token::{Terms, admit, token};

/// A node in a debug build on a busy machine, with room to spare.
const READY_WITHIN: Duration = Duration::from_secs(180);
const STOP_WITHIN: Duration = Duration::from_secs(60);
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// Below are the ports of well-known programs.
const LASTING_PORTS_FROM: u16 = 10_000;
const FILE: &str = "cluster.json";

pub struct Size {
    pub wal: u16,
    pub pageservers: u16,
    pub compute: u16,
}

/// What a new cluster is to be.
pub struct Design {
    pub size: Size,
    pub store: Option<String>,
    pub base_port: u16,
    pub log_archive: log_archive::Settings,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Cluster {
    pub nodes: Vec<Node>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Node {
    pub name: String,
    pub role: String,
    /// When it was last started by `cluster up`.
    pub pid: u32,
    pub listen: SocketAddr,
    pub http: SocketAddr,
    /// The command that starts exactly this node.
    pub start: Vec<String>,
    pub log: PathBuf,
}

impl Cluster {
    fn load(dir: &Path) -> Result<Cluster, Failure> {
        let path = dir.join(FILE);
        let text = std::fs::read(&path).map_err(|error| {
            Failure::in_the_way(format!("{}: {error}; is there a cluster in this directory?", path.display()))
        })?;
        serde_json::from_slice(&text).map_err(|error| Failure::damaged(format!("{}: {error}", path.display())))
    }

    fn save(&self, dir: &Path) -> Result<(), Failure> {
        let (path, staged) = (dir.join(FILE), dir.join("cluster.json.new"));
        let text = serde_json::to_vec_pretty(self).map_err(|error| Failure::running(error.to_string()))?;
        std::fs::write(&staged, text)
            .and_then(|()| std::fs::rename(&staged, &path))
            .map_err(|error| Failure::in_the_way(format!("{}: {error}", path.display())))
    }
}

/// Starts the cluster that `dir` holds, or makes one there.
pub async fn up(dir: &Path, new: Design, recovery: RecoverySettings) -> Result<(), Failure> {
    let unwritable = |error: std::io::Error| Failure::in_the_way(format!("--dir {}: {error}", dir.display()));
    std::fs::create_dir_all(dir.join("logs")).map_err(unwritable)?;
    let dir = dir.canonicalize().map_err(unwritable)?;
    let mut cluster = match dir.join(FILE).exists() {
        true => Cluster::load(&dir)?,
        false => {
            let cluster = design(&dir, &new)?;
            cluster.save(&dir)?;
            cluster
        }
    };
    found(&dir, &cluster, recovery).await?;
    for node in &mut cluster.nodes {
        node.pid = match process::running(&dir, node) {
            Some(pid) => pid,
            None => process::spawn(node)?,
        };
    }
    cluster.save(&dir)?;
    for node in &cluster.nodes {
        wait_ready(&dir, node).await?;
    }
    let addresses = |role: &str| {
        let of_role = cluster.nodes.iter().filter(|node| node.role == role);
        of_role.map(|node| node.listen.to_string()).collect::<Vec<_>>().join(",")
    };
    println!(
        "ready mysql={} wal={} pageservers={} dir={} version={}",
        addresses("compute"),
        addresses("wal"),
        addresses("pageserver"),
        dir.display(),
        env!("CARGO_PKG_VERSION")
    );
    Ok(())
}

/// The first wal node's log is made before any process runs, unless some wal node has one.
async fn found(dir: &Path, cluster: &Cluster, recovery: RecoverySettings) -> Result<(), Failure> {
    let mut wal_nodes = cluster.nodes.iter().filter(|node| node.role == "wal");
    if wal_nodes.clone().any(|node| crate::start::has_log(&dir.join(&node.name))) {
        return Ok(());
    }
    let Some(first) = wal_nodes.next() else { return Ok(()) };
    let store = first.start.iter().skip_while(|word| *word != "--store").nth(1).cloned().unwrap_or_default();
    node::init(&dir.join(&first.name), first.listen, &store, recovery).await
}

/// Names, addresses, certificates and commands of a new cluster.
fn design(dir: &Path, new: &Design) -> Result<Cluster, Failure> {
    let size = &new.size;
    if size.wal == 0 || size.pageservers == 0 || size.compute == 0 {
        return Err(Failure::settings("--wal, --pageservers and --compute: each at least 1"));
    }
    let store = new.store.clone().unwrap_or_else(|| format!("file://{}", dir.join("objects").display()));
    if store.starts_with("memory:") {
        return Err(Failure::settings("--store memory:// belongs to one process; a cluster shares its store"));
    }
    let program = std::env::current_exe().map_err(|error| Failure::running(format!("the own program: {error}")))?;
    let names: Vec<(String, &str)> = [("wal", size.wal), ("pageserver", size.pageservers), ("compute", size.compute)]
        .into_iter()
        .flat_map(|(role, count)| (1..=count).map(move |number| (format!("{role}-{number}"), role)))
        .collect();
    let ports = ports(names.len() * 2, new.base_port)?;
    let address = |at: usize| SocketAddr::from(([127, 0, 0, 1], ports[at]));
    let join: Vec<String> = (0..usize::from(size.wal)).map(|at| address(at * 2).to_string()).collect();
    let certificate = |error: common::rpc::RpcError| Failure::in_the_way(error.to_string());
    let authority = ClusterAuthority::load_or_create(&dir.join("ca")).map_err(certificate)?;
    let mut nodes = Vec::new();
    for (at, (name, role)) in names.into_iter().enumerate() {
        let certificates = dir.join("certificates").join(&name);
        Identity::load_or_create(&certificates, &authority, NodeId(at as u64 + 1), &Random::system())
            .map_err(certificate)?;
        let (listen, http) = (address(at * 2), address(at * 2 + 1));
        let mut start: Vec<String> = [
            &program.display().to_string(),
            "node",
            "start",
            "--role",
            role,
            "--name",
            &name,
            "--data-dir",
            &dir.join(&name).display().to_string(),
            "--certificates",
            &certificates.display().to_string(),
            "--join",
            &join.join(","),
            "--listen",
            &listen.to_string(),
            "--http",
            &http.to_string(),
        ]
        .map(str::to_owned)
        .into();
        if role != "compute" {
            start.extend(["--store".to_owned(), store.clone()]);
        }
        if role == "wal" {
            start.extend(new.log_archive.flags());
        }
        if role == "pageserver" {
            // Several of them share one disk.
            start.extend(["--cache-disk", "1G"].map(str::to_owned));
        }
        let log = dir.join("logs").join(format!("{name}.log"));
        nodes.push(Node { name, role: role.to_owned(), pid: 0, listen, http, start, log });
    }
    Ok(Cluster { nodes })
}

/// Where ports are drawn from: below those that the system gives to whoever connects to somewhere, which could have a node's
/// port when the node is to be restarted.
fn lasting_ports() -> std::ops::Range<u16> {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let given_from = text.split_whitespace().next().and_then(|word| word.parse().ok());
    LASTING_PORTS_FROM..given_from.unwrap_or(LASTING_PORTS_FROM)
}

/// Ports that are free for TCP and UDP: from `base` on, or any where it is 0.
fn ports(count: usize, base: u16) -> Result<Vec<u16>, Failure> {
    // Held until all are chosen, so that none is chosen twice.
    let mut held: Vec<(TcpListener, UdpSocket)> = Vec::new();
    let hold = |port: u16| -> std::io::Result<(TcpListener, UdpSocket)> {
        let tcp = TcpListener::bind(("127.0.0.1", port))?;
        let udp = UdpSocket::bind(tcp.local_addr()?)?;
        Ok((tcp, udp))
    };
    let (lasting, random) = (lasting_ports(), Random::system());
    let mut attempts = 0;
    while held.len() < count {
        let port = match base {
            0 if lasting.is_empty() => 0,
            0 => lasting.start + (random.u64() % lasting.len() as u64) as u16,
            _ => u16::try_from(usize::from(base) + held.len())
                .map_err(|_| Failure::settings(format!("--base-port {base}: the ports go beyond 65535")))?,
        };
        match hold(port) {
            Ok(pair) => held.push(pair),
            // Taken, or free for TCP and not for UDP.
            Err(_) if base == 0 && attempts < 1000 => attempts += 1,
            Err(error) => {
                return Err(Failure::in_the_way(format!(
                    "port {port}: {error}; choose others with --base-port (0: any free ones)"
                )));
            }
        }
    }
    Ok(held.iter().filter_map(|(tcp, _)| Some(tcp.local_addr().ok()?.port())).collect())
}

async fn wait_ready(dir: &Path, node: &Node) -> Result<(), Failure> {
    let begun = tokio::time::Instant::now();
    while !status::is_ready(node.http).await {
        let ended = process::has_ended(node.pid) && process::running(dir, node).is_none();
        if ended || begun.elapsed() > READY_WITHIN {
            let why = if ended { "it has ended" } else { "it is not ready in time" };
            let last = process::last_line(&node.log);
            return Err(Failure::running(format!("{}: {why}; its log {} says: {last}", node.name, node.log.display())));
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
    Ok(())
}

/// Stops every node of the cluster that runs: those that clients talk to first.
pub async fn down(dir: &Path) -> Result<(), Failure> {
    let dir = dir.canonicalize().map_err(|error| Failure::in_the_way(format!("--dir {}: {error}", dir.display())))?;
    let cluster = Cluster::load(&dir)?;
    for role in ["compute", "pageserver", "wal"] {
        let nodes = cluster.nodes.iter().filter(|node| node.role == role);
        let running: Vec<(&Node, u32)> = nodes.filter_map(|node| Some((node, process::running(&dir, node)?))).collect();
        for (_, pid) in &running {
            process::terminate(*pid);
        }
        let begun = tokio::time::Instant::now();
        for (node, pid) in running {
            // Looked at again each time: a pid whose process has ended may be given to another.
            while process::is_ours(pid, node) {
                if begun.elapsed() > STOP_WITHIN {
                    println!("{} did not stop in time; ending it", node.name);
                    process::kill(pid);
                }
                tokio::time::sleep(LOOK_INTERVAL).await;
            }
            println!("stopped {}", node.name);
        }
    }
    Ok(())
}
