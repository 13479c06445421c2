//! Members that reach each other over QUIC, as processes do, and clients that know no more than an address.

use super::support::*;
use crate::{RpcPeers, WalConfig, WalEnvironment, WalNode};
use common::env::Random;
use common::id::{Lsn, NodeId};
use common::rpc::routing::WalRouter;
use common::rpc::{ClusterAuthority, Identity, RpcClient, RpcError, Server, ServerConfig, Services, serve};
use common::service::WalService;
use common::service::wal::{CommitError, MemberChange};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

struct Host {
    wal: WalNode,
    server: Server,
    client: RpcClient,
}

struct Hosts {
    directory: tempfile::TempDir,
    authority: ClusterAuthority,
    running: BTreeMap<u64, Host>,
    router: Arc<WalRouter>,
}

/// A loopback address that no other test has, in whatever process.
fn address() -> SocketAddr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let process = std::process::id();
    let host = NEXT.fetch_add(1, Ordering::Relaxed);
    SocketAddr::from(([127, (process >> 8) as u8 | 1, process as u8, host], 7100))
}

impl Hosts {
    /// One member, which has made the log, and a client that knows it.
    async fn found(address: SocketAddr) -> Hosts {
        let directory = tempfile::tempdir().expect("temporary directory");
        let authority = ClusterAuthority::load_or_create(directory.path()).expect("an authority");
        let identity = identity(&directory, &authority, 99);
        let client = RpcClient::new(&identity).expect("a client");
        let router = Arc::new(WalRouter::new(&client, &[address], NodeId(99)));
        let mut hosts = Hosts { directory, authority, running: BTreeMap::new(), router };
        let config = hosts.config(1, address, vec![NodeId(1)]);
        crate::start(config, environment()).await.expect("the first member").shutdown().await;
        hosts.start(1, address).await;
        hosts
    }

    fn directory_of(&self, node: u64) -> PathBuf {
        self.directory.path().join(format!("log-{node}"))
    }

    fn config(&self, node: u64, address: SocketAddr, members: Vec<NodeId>) -> WalConfig {
        let mut config = WalConfig::member(self.directory_of(node), NodeId(node), members);
        config.segment_bytes = 16 << 10;
        config.election_timeout = Duration::from_millis(400);
        config.address = address.to_string();
        config
    }

    async fn start(&mut self, node: u64, address: SocketAddr) {
        let identity = identity(&self.directory, &self.authority, node);
        let client = RpcClient::new(&identity).expect("a client");
        let environment = WalEnvironment { transport: Some(Arc::new(RpcPeers::new(client.clone()))), ..environment() };
        let wal = crate::start(self.config(node, address, Vec::new()), environment).await.expect("a member");
        let services = Services { wal: Some(wal.service()), peer: Some(wal.peers()), page: None };
        let server = loop {
            match serve(ServerConfig { listen: address }, &identity, services.clone()) {
                Ok(server) => break server,
                // Of a member that was here before, until its last packet is sent.
                Err(RpcError::Listen { source, .. }) if source.kind() == std::io::ErrorKind::AddrInUse => {
                    tokio::task::yield_now().await;
                }
                Err(error) => panic!("{error}"),
            }
        };
        self.running.insert(node, Host { wal, server, client });
    }

    async fn join(&self, node: u64, address: SocketAddr, replaces: Option<SocketAddr>) {
        let replaces = replaces.map(|replaces| replaces.to_string());
        let change = MemberChange::Join { node: NodeId(node), address: address.to_string(), replaces };
        while self.router.change_members(change.clone()).await.is_err() {
            tokio::task::yield_now().await;
        }
    }

    /// Ends a member: cleanly, or as a crash does.
    async fn end(&mut self, node: u64, cleanly: bool) {
        let host = self.running.remove(&node).expect("it runs");
        if cleanly {
            host.wal.shutdown().await;
            host.server.shutdown(Duration::from_secs(1)).await;
        } else {
            drop(host.server);
            drop(host.wal);
        }
        host.client.close().await;
    }

    async fn commit(&self, number: u64) {
        let request = put(u128::from(number), "key", "row", Lsn::MAX);
        // On a busy machine a change of the leader may outlast the router's patience. Sent again, it still counts once.
        let answered = async {
            loop {
                match self.router.commit(request.clone()).await {
                    Err(CommitError::Unknown(_)) => {}
                    reply => return reply.map(|reply| reply.lsn),
                }
            }
        };
        let answer = tokio::time::timeout(Duration::from_secs(120), answered).await;
        assert_eq!(answer.expect("a leader in time"), Ok(Lsn(number)));
        assert!(self.router.read_lsn().await.expect("a leader").lsn >= Lsn(number));
    }

    /// Waits until the client has heard from the leader what `enough` asks for.
    async fn client_knows(&self, enough: impl Fn(&mut Vec<SocketAddr>) -> bool) {
        let heard = async {
            while !enough(&mut self.router.addresses()) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), heard).await.expect("the client hears of the members");
    }

    /// Who votes, as the leader says.
    async fn voters(&self) -> Vec<u64> {
        let members = self.router.status().await.expect("a leader").members;
        members.into_iter().filter(|member| member.votes).map(|member| member.node.0).collect()
    }

    async fn shutdown(mut self) {
        while let Some((node, _)) = self.running.first_key_value() {
            self.end(*node, false).await;
        }
    }
}

fn identity(directory: &tempfile::TempDir, authority: &ClusterAuthority, node: u64) -> Identity {
    let path = directory.path().join(format!("identity-{node}"));
    Identity::load_or_create(&path, authority, NodeId(node), &Random::system()).expect("an identity")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_member_grows_to_three_which_are_all_replaced_while_clients_go_on() {
    let addresses: Vec<SocketAddr> = (0..6).map(|_| address()).collect();
    let mut hosts = Hosts::found(addresses[0]).await;
    hosts.commit(1).await;
    for node in [2, 3] {
        hosts.start(node, addresses[node as usize - 1]).await;
        hosts.join(node, addresses[node as usize - 1], None).await;
        hosts.commit(node).await;
    }
    assert_eq!(hosts.voters().await, [1, 2, 3]);
    // One after the other goes, and another comes at another address; the client was told of the first one only.
    for old in [1, 2, 3] {
        let new = old + 3;
        // It asks the leader now and then; of a leader that dies before that it cannot hear who else there is.
        let members: Vec<SocketAddr> = hosts.running.keys().map(|node| addresses[*node as usize - 1]).collect();
        hosts.client_knows(|known| members.iter().all(|member| known.contains(member))).await;
        hosts.end(old, old == 2).await;
        hosts.commit(new).await;
        hosts.start(new, addresses[new as usize - 1]).await;
        hosts.join(new, addresses[new as usize - 1], Some(addresses[old as usize - 1])).await;
    }
    hosts.commit(7).await;
    assert_eq!(hosts.voters().await, [4, 5, 6]);
    hosts
        .client_knows(|known| {
            known.sort_unstable();
            known == &addresses[3..]
        })
        .await;
    for node in [4, 5, 6] {
        let batches = collect(&hosts.running[&node].wal.service(), Lsn(1), Lsn(7)).await;
        assert_eq!(lsns(&batches), (1..=7).collect::<Vec<_>>(), "node {node}");
    }
    hosts.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_whose_disk_is_lost_comes_back_at_its_address_as_another() {
    let addresses: Vec<SocketAddr> = (0..3).map(|_| address()).collect();
    let mut hosts = Hosts::found(addresses[0]).await;
    for node in [2, 3] {
        hosts.start(node, addresses[node as usize - 1]).await;
        hosts.join(node, addresses[node as usize - 1], None).await;
    }
    hosts.commit(1).await;
    hosts.end(2, false).await;
    hosts.commit(2).await;
    hosts.start(20, addresses[1]).await;
    hosts.join(20, addresses[1], None).await;
    assert_eq!(hosts.voters().await, [1, 3, 20]);
    // It counts: without another member there is still a majority.
    hosts.end(3, false).await;
    hosts.commit(3).await;
    hosts.end(1, true).await;
    let alone = hosts.running[&20].wal.service();
    assert_eq!(lsns(&collect(&alone, Lsn(1), Lsn(3)).await), [1, 2, 3]);
    hosts.shutdown().await;
}
