//! `drumlin status` and `drumlin cluster status`: what runs, who leads, who owns, how far each is.

use super::{Cluster, Node, process};
use crate::failure::Failure;
use common::rpc::{Deadlines, Identity, PageClient, RpcClient, WalClient};
use common::service::{PageService, WalService};
use serde::Serialize;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Metrics of a server with all roles take some 200 KB.
const ANSWER_BYTES_MAX: u64 = 4 << 20;
const ASK_WITHIN: Duration = Duration::from_secs(1);

#[derive(Serialize)]
struct NodeStatus {
    name: String,
    role: String,
    listen: SocketAddr,
    http: SocketAddr,
    /// `None`: it does not run.
    pid: Option<u32>,
    ready: bool,
    /// Of a wal node: leader or follower. Of a page server: owner or standby.
    part: Option<&'static str>,
    term: Option<u64>,
    /// Newest transaction that is committed (wal) or applied (page server), as far as the node knows.
    lsn: Option<u64>,
    /// Of a page server: everything up to here is in layers.
    durable: Option<u64>,
    /// Of the wal node that leads: how far the log is archived on the store.
    archive: Option<ArchiveStatus>,
}

/// How far the log is archived.
#[derive(Serialize)]
struct ArchiveStatus {
    /// Everything up to here.
    lsn: u64,
    /// How long the oldest transaction has waited that is not.
    lag_seconds: f64,
    /// Places that will never be archived, since this node started.
    gaps: u64,
    failures: u64,
}

/// Whether the node at `http` says that it serves.
pub async fn is_ready(http: SocketAddr) -> bool {
    get(http, "/readyz").await.is_some()
}

/// What a node answers with 200.
pub async fn get(http: SocketAddr, path: &str) -> Option<String> {
    let ask = async {
        let mut stream = TcpStream::connect(http).await?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: drumlin\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    let answer = tokio::time::timeout(ASK_WITHIN, ask).await.ok()?.ok()?;
    answer.starts_with(b"HTTP/1.1 200").then(|| String::from_utf8_lossy(&answer).into_owned())
}

/// What the metrics of a node say about the archive; `None` where nothing of it is known there.
async fn archive_of(http: SocketAddr) -> Option<ArchiveStatus> {
    let text = get(http, "/metrics").await?;
    let value = |name: &str| -> Option<f64> {
        let mut lines = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        lines.next()?.trim().parse().ok()
    };
    let count = |name| value(name).map(|value| value as u64);
    Some(ArchiveStatus {
        lsn: count("wal_archived_lsn")?,
        lag_seconds: value("wal_archive_lag_seconds")?,
        gaps: count("wal_archive_gaps_total")?,
        failures: count("wal_archive_failures_total")?,
    })
}

/// One server, by its HTTP address.
pub async fn status_of_server(http: SocketAddr, json: bool) -> Result<(), Failure> {
    let ready = is_ready(http).await;
    let archive = archive_of(http).await;
    if json {
        println!("{}", serde_json::json!({ "http": http, "ready": ready, "archive": archive }));
    } else {
        println!("{http}: {}", if ready { "ready" } else { "not ready" });
        archive.iter().for_each(print_archive);
    }
    match ready {
        true => Ok(()),
        false => Err(Failure::running(format!("no server is ready at {http}; --http or --dir say where to look"))),
    }
}

fn print_archive(archive: &ArchiveStatus) {
    let ArchiveStatus { lsn, lag_seconds, gaps, failures } = archive;
    println!(
        "log archived up to lsn {lsn}, {lag_seconds:.0} s behind; {failures} failures, {gaps} gaps since the start"
    );
}

pub async fn status_of_cluster(dir: &Path, json: bool) -> Result<(), Failure> {
    let dir = dir.canonicalize().map_err(|error| Failure::in_the_way(format!("--dir {}: {error}", dir.display())))?;
    let cluster = Cluster::load(&dir)?;
    let client = cluster.nodes.first().and_then(|node| {
        let identity = Identity::load(&dir.join("certificates").join(&node.name)).ok()?;
        RpcClient::new(&identity).ok()
    });
    let asked = cluster.nodes.iter().map(|node| ask(&dir, node, client.as_ref()));
    let nodes = futures::future::join_all(asked).await;
    if json {
        println!("{}", serde_json::json!({ "nodes": nodes }));
    } else {
        println!("{:<14} {:<9} {:<9} {:>12} {:>12}  listen", "name", "pid", "part", "lsn", "durable");
        for node in &nodes {
            let number = |value: Option<u64>| value.map_or("-".to_owned(), |value| value.to_string());
            let part = node.part.unwrap_or(if node.ready { "ready" } else { "down" });
            let pid = node.pid.map_or("-".to_owned(), |pid| pid.to_string());
            println!(
                "{:<14} {pid:<9} {part:<9} {:>12} {:>12}  {}",
                node.name,
                number(node.lsn),
                number(node.durable),
                node.listen
            );
        }
        nodes.iter().filter_map(|node| node.archive.as_ref()).for_each(print_archive);
    }
    match nodes.iter().all(|node| node.ready) {
        true => Ok(()),
        false => Err(Failure::running("not every node is ready")),
    }
}

async fn ask(dir: &Path, node: &Node, client: Option<&RpcClient>) -> NodeStatus {
    let mut status = NodeStatus {
        name: node.name.clone(),
        role: node.role.clone(),
        listen: node.listen,
        http: node.http,
        pid: process::running(dir, node),
        ready: is_ready(node.http).await,
        part: None,
        term: None,
        lsn: None,
        durable: None,
        archive: None,
    };
    let Some(peer) = client.filter(|_| status.pid.is_some()).map(|client| client.peer(node.listen)) else {
        return status;
    };
    let deadlines = Deadlines { call: ASK_WITHIN, ..Deadlines::default() };
    match node.role.as_str() {
        "wal" => {
            if let Ok(answer) = WalClient::new(peer, deadlines).status().await {
                status.part = Some(if answer.leader == Some(answer.node) { "leader" } else { "follower" });
                (status.term, status.lsn) = (Some(answer.term.0), Some(answer.committed.0));
                if answer.leader == Some(answer.node) {
                    status.archive = archive_of(node.http).await;
                }
            }
        }
        "pageserver" => {
            if let Ok(answer) = PageClient::new(peer, deadlines).status().await {
                status.part = Some(if answer.tablets.is_empty() { "standby" } else { "owner" });
                (status.lsn, status.durable) = (Some(answer.applied.0), Some(answer.durable.0));
            }
        }
        _ => {}
    }
    status
}
