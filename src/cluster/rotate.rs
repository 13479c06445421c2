//! `drumlin cluster rotate`: a new authority takes over from the old one, while the cluster serves.
//!
//! Three steps, each on every node before the next begins: it believes both authorities; it shows a certificate of the new
//! one; it believes the new one alone. So any two nodes believe each other at any time. A node that does not run finds what
//! it needs when it starts. Cut short, the command is given again: each step may be done twice.

use super::{Cluster, LOOK_INTERVAL, Node, process, status};
use crate::failure::Failure;
use crate::node::CERTIFICATES_METRIC;
use common::id::NodeId;
use common::rpc::{ClusterAuthority, Identity, RpcError};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Nodes look every second.
const LOADED_WITHIN: Duration = Duration::from_secs(30);

pub async fn rotate(dir: &Path) -> Result<(), Failure> {
    let dir = dir.canonicalize().map_err(|error| Failure::in_the_way(format!("--dir {}: {error}", dir.display())))?;
    let cluster = Cluster::load(&dir)?;
    let (now, next) = (dir.join("ca"), dir.join("ca-next"));
    if now.exists() {
        let old = ClusterAuthority::load_or_create(&now).map_err(in_the_way)?;
        let new = ClusterAuthority::load_or_create(&next).map_err(in_the_way)?;
        let step = async |what: &str, change: &dyn Fn(&Path, NodeId) -> Result<(), RpcError>| {
            for (at, node) in cluster.nodes.iter().enumerate() {
                change(&certificates(&dir, node), NodeId(at as u64 + 1)).map_err(in_the_way)?;
            }
            for node in &cluster.nodes {
                wait_loaded(&dir, node).await?;
            }
            println!("every node {what}");
            Ok(())
        };
        step("believes both authorities", &|node, _| ClusterAuthority::believe(node, &[&old, &new])).await?;
        step("shows a certificate of the new one", &|node, id| new.renew(node, id)).await?;
        step("believes the new one alone", &|node, _| ClusterAuthority::believe(node, &[&new])).await?;
    }
    // Nobody believes the old one any more: its key is of no use.
    let replaced = match now.exists() {
        true => std::fs::remove_dir_all(&now),
        false => Ok(()),
    };
    let replaced = replaced.and_then(|()| std::fs::rename(&next, &now));
    replaced.map_err(|error| Failure::in_the_way(format!("{}: {error}; give the command again", now.display())))?;
    println!("the new authority is in {}", now.display());
    Ok(())
}

fn certificates(dir: &Path, node: &Node) -> PathBuf {
    dir.join("certificates").join(&node.name)
}

fn in_the_way(error: RpcError) -> Failure {
    Failure::in_the_way(error.to_string())
}

/// Until the node, if it runs, says that it uses what lies in its directory.
async fn wait_loaded(dir: &Path, node: &Node) -> Result<(), Failure> {
    let wanted = Identity::load(&certificates(dir, node)).map_err(in_the_way)?.fingerprint();
    let line = format!("drumlin_{CERTIFICATES_METRIC}{{fingerprint=\"{wanted}\"}} 1");
    let begun = tokio::time::Instant::now();
    while process::running(dir, node).is_some() {
        if status::get(node.http, "/metrics").await.is_some_and(|metrics| metrics.contains(&line)) {
            return Ok(());
        }
        if begun.elapsed() > LOADED_WITHIN {
            return Err(Failure::running(format!(
                "{} does not use its new certificates; see its log {}, and give the command again",
                node.name,
                node.log.display()
            )));
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
    Ok(())
}
