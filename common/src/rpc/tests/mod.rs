//! Both forms of the services: one suite for what must not differ (`services`), and what can only go wrong between
//! processes (`faults`), and several nodes (`routing`).

mod fake;
mod faults;
mod routing;
mod services;

use super::{
    ClusterAuthority, Deadlines, Identity, PageClient, RpcClient, Server, ServerConfig, Services, WalClient, serve,
};
use crate::env::Random;
use crate::id::NodeId;
use crate::service::{PageService, WalService};
use fake::{FakePages, FakeWal};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

fn authority() -> ClusterAuthority {
    ClusterAuthority::load_or_create(tempfile::tempdir().unwrap().path()).unwrap()
}

fn identity(authority: &ClusterAuthority, node: u64) -> Identity {
    Identity::load_or_create(tempfile::tempdir().unwrap().path(), authority, NodeId(node), &Random::system()).unwrap()
}

fn loopback() -> ServerConfig {
    ServerConfig { listen: SocketAddr::from(([127, 0, 0, 1], 0)) }
}

fn both(wal: Arc<FakeWal>, page: Arc<FakePages>) -> Services {
    Services { wal: Some(wal), page: Some(page), peer: None }
}

fn only_wal(wal: Arc<FakeWal>) -> Services {
    Services { wal: Some(wal), ..Services::default() }
}

/// Both fakes behind a server, and clients of it.
struct Remote {
    server: Server,
    client: RpcClient,
    wal: WalClient,
    pages: PageClient,
    fake_wal: Arc<FakeWal>,
    fake_pages: Arc<FakePages>,
}

impl Remote {
    fn start(deadlines: Deadlines) -> Remote {
        let authority = authority();
        let server_identity = identity(&authority, 1);
        let (fake_wal, fake_pages) = (Arc::new(FakeWal::default()), Arc::new(FakePages::default()));
        let server = serve(loopback(), &server_identity, both(fake_wal.clone(), fake_pages.clone())).unwrap();
        let client = RpcClient::new(&identity(&authority, 2)).unwrap();
        let peer = client.peer(server.local_addr());
        Remote {
            server,
            client,
            wal: WalClient::new(peer.clone(), deadlines),
            pages: PageClient::new(peer, deadlines),
            fake_wal,
            fake_pages,
        }
    }
}

/// Waits for something that another task is about to do.
async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), wait).await.unwrap_or_else(|_| panic!("never: {what}"));
}

fn services_of(remote: Remote) -> (Arc<dyn WalService>, Arc<dyn PageService>) {
    // The clients keep their sockets; the server must outlive them.
    std::mem::forget(remote.server);
    (Arc::new(remote.wal), Arc::new(remote.pages))
}
