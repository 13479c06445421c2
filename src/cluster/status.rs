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
}

/// Whether the node at `http` says that it serves.
pub async fn is_ready(http: SocketAddr) -> bool {
    let ask = async {
        let mut stream = TcpStream::connect(http).await?;
        stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: drumlin\r\nConnection: close\r\n\r\n").await?;
        let mut answer = Vec::new();
        stream.take(4096).read_to_end(&mut answer).await?;
        std::io::Result::Ok(answer.starts_with(b"HTTP/1.1 200"))
    };
    matches!(tokio::time::timeout(ASK_WITHIN, ask).await, Ok(Ok(true)))
}

/// One server, by its HTTP address.
pub async fn status_of_server(http: SocketAddr, json: bool) -> Result<(), Failure> {
    let ready = is_ready(http).await;
    match json {
        true => println!("{}", serde_json::json!({ "http": http, "ready": ready })),
        false => println!("{http}: {}", if ready { "ready" } else { "not ready" }),
    }
    match ready {
        true => Ok(()),
        false => Err(Failure::running(format!("no server is ready at {http}; --http or --dir say where to look"))),
    }
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
