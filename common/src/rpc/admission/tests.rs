//! A desk and nodes over the network.

use super::*;
use crate::cluster_map::MAP_KEY;
use crate::env::Random;
use crate::id::{CommitId, Lsn, TxnId};
use crate::key::{Key, KeyRange};
use crate::rpc::{
    ClusterAuthority, Deadlines, Identity, PageClient, RpcClient, ServerConfig, Services, WalClient, serve,
};
use crate::service::page::{Direction, GetRequest, ScanOutput, ScanRequest};
use crate::service::wal::{CommitRequest, Mutation, Write};
use crate::service::{PageService, WalService};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const NOW_US: u64 = 1_000;

struct Site {
    directory: tempfile::TempDir,
    desk: AdmissionDesk,
    records: Arc<Mutex<HashMap<String, TokenRecord>>>,
}

fn authority(directory: &Path) -> ClusterAuthority {
    ClusterAuthority::load_or_create(&directory.join("ca")).unwrap()
}

impl Site {
    fn open() -> Site {
        let directory = tempfile::tempdir().unwrap();
        let records = Arc::new(Mutex::new(HashMap::<String, TokenRecord>::new()));
        let (kept, path) = (records.clone(), directory.path().to_owned());
        let admit: Admit = Arc::new(move |token: &JoinToken| {
            let mut records = kept.lock();
            let role = records.get_mut(&token.id()).ok_or(Refusal::Unknown)?.take(token, NOW_US)?;
            Ok(Admission { role, authority: authority(&path) })
        });
        let desk = AdmissionDesk::open(([127, 0, 0, 1], 0).into(), &authority(directory.path()), admit).unwrap();
        Site { directory, desk, records }
    }

    fn address(&self) -> SocketAddr {
        self.desk.local_addr().unwrap()
    }

    fn token(&self, role: NodeRole, expires_us: u64, uses: u32) -> JoinToken {
        let token = authority(self.directory.path()).draw_token(&Random::system()).unwrap();
        self.records.lock().insert(token.id(), token.record(role, expires_us, uses));
        token
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    async fn join(&self, token: &JoinToken, name: &str) -> Result<(NodeId, NodeRole), JoinError> {
        join(self.address(), token, &self.path(name), &Random::system()).await
    }
}

fn refusal(outcome: Result<(NodeId, NodeRole), JoinError>) -> Refusal {
    match outcome {
        Err(JoinError::Refused { refusal, .. }) => refusal,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_node_with_a_token_becomes_one_of_the_cluster() {
    let site = Site::open();
    let token = site.token(NodeRole::Wal, NOW_US + 1, 1);
    let (_, role) = site.join(&token, "new").await.unwrap();
    let new = Identity::load(&site.path("new")).unwrap();
    assert_eq!((role, new.role()), (NodeRole::Wal, Some(NodeRole::Wal)));
    // Both believe each other: it serves an old node, and is served by it.
    let old =
        Identity::load_or_create(&site.path("old"), &authority(site.directory.path()), NodeId(1), &Random::system());
    let old = old.unwrap();
    assert_eq!(old.role(), None);
    for (server, client) in [(&new, &old), (&old, &new)] {
        let listen = ServerConfig { listen: ([127, 0, 0, 1], 0).into() };
        let server = serve(listen, server, Services::default()).unwrap();
        let client = RpcClient::new(client).unwrap();
        let wal = WalClient::new(client.peer(server.local_addr()), Deadlines::default());
        let error = wal.status().await.unwrap_err().to_string();
        assert!(error.contains("does not offer that service"), "{error}");
    }
    // Its certificate is not replaced by joining again, and its token is used.
    assert!(matches!(site.join(&token, "new").await, Err(JoinError::Taken(_))));
    assert_eq!(refusal(site.join(&token, "other").await), Refusal::Used);
    assert!(!site.path("other").join("node.pem").exists());
}

#[tokio::test]
async fn who_is_not_let_in_hears_why() {
    let site = Site::open();
    let expired = site.token(NodeRole::Wal, NOW_US, 1);
    assert_eq!(refusal(site.join(&expired, "a").await), Refusal::Expired);
    // Of the right authority, and of nobody's making.
    let forged = authority(site.directory.path()).draw_token(&Random::system()).unwrap();
    assert_eq!(refusal(site.join(&forged, "a").await), Refusal::Unknown);
    // Of another cluster: the token is not even shown.
    let other = Site::open();
    let strange = other.token(NodeRole::Wal, NOW_US + 1, 1);
    assert!(matches!(site.join(&strange, "a").await, Err(JoinError::Stranger { .. })));
    other.join(&strange, "a").await.unwrap();
    let gone = site.address();
    site.desk.shutdown(Duration::from_secs(1)).await;
    let outcome = join(gone, &expired, &other.path("b"), &Random::system()).await;
    assert!(matches!(outcome, Err(JoinError::Unreached { .. })), "{outcome:?}");
}

#[tokio::test]
async fn a_certificate_is_good_for_its_role_alone() {
    let site = Site::open();
    let token = site.token(NodeRole::Compute, NOW_US + 1, 2);
    site.join(&token, "compute").await.unwrap();
    let compute = Identity::load(&site.path("compute")).unwrap();
    assert_eq!(compute.role(), Some(NodeRole::Compute));
    let old =
        Identity::load_or_create(&site.path("old"), &authority(site.directory.path()), NodeId(1), &Random::system());
    let old = old.unwrap();
    // Nobody takes it for a server.
    let listen = || ServerConfig { listen: ([127, 0, 0, 1], 0).into() };
    let pretender = serve(listen(), &compute, Services::default()).unwrap();
    let client = RpcClient::new(&old).unwrap();
    let deadlines = Deadlines { call: Duration::from_secs(10), ..Deadlines::default() };
    let wal = WalClient::new(client.peer(pretender.local_addr()), deadlines);
    let error = wal.status().await.unwrap_err().to_string();
    assert!(!error.contains("does not offer that service"), "{error}");
    // Nor is it asked about members of the log, or what the log may forget.
    let server = serve(listen(), &old, Services::default()).unwrap();
    for (identity, allowed) in [(&compute, false), (&old, true)] {
        let client = RpcClient::new(identity).unwrap();
        let wal = WalClient::new(client.peer(server.local_addr()), Deadlines::default());
        let error = wal.announce(server.local_addr()).await.unwrap_err().to_string();
        let wanted = if allowed { "does not offer that service" } else { "certificate is for another role" };
        assert!(error.contains(wanted), "{error}");
        assert!(wal.status().await.unwrap_err().to_string().contains("does not offer that service"));
    }
}

#[tokio::test]
async fn roles_are_a_wall_between_nodes() {
    let site = Site::open();
    let mut identities = Vec::new();
    for role in [NodeRole::Wal, NodeRole::Pageserver, NodeRole::Compute] {
        let token = site.token(role, NOW_US + 1, 1);
        site.join(&token, role.name()).await.unwrap();
        identities.push(Identity::load(&site.path(role.name())).unwrap());
    }
    let [wal_node, page_server, compute] = &identities[..] else { panic!("three roles") };
    let listen = || ServerConfig { listen: ([127, 0, 0, 1], 0).into() };
    let serve = |identity: &Identity| serve(listen(), identity, Services::default()).unwrap();
    let servers = [serve(wal_node), serve(page_server)];
    let addresses = servers.each_ref().map(|server| server.local_addr());
    const PASSED: &str = "does not offer that service";
    const REFUSED: &str = "certificate is for another role";

    // Who has a page server's key does not stand in for a wal node, nor the other way round.
    let client = RpcClient::new(compute).unwrap();
    let wal = |at: usize| WalClient::new(client.peer(addresses[at]), Deadlines::default());
    let pages = |at: usize| PageClient::new(client.peer(addresses[at]), Deadlines::default());
    let told = |error: String, wanted: &str| assert!(error.contains(wanted), "{error}; wanted: {wanted}");
    told(wal(0).status().await.unwrap_err().to_string(), PASSED);
    told(wal(1).status().await.unwrap_err().to_string(), "its certificate is for a pageserver");
    told(pages(1).status().await.unwrap_err().to_string(), PASSED);
    told(pages(0).status().await.unwrap_err().to_string(), "its certificate is for a wal");

    // What each may ask.
    let commit = |key: Key| {
        let writes = vec![Write { mutation: Mutation { key, row: None }, observed: Lsn(1) }];
        CommitRequest::of(CommitId(1), TxnId(1), writes)
    };
    let scan = || ScanRequest {
        lsn: Lsn(1),
        ranges: vec![KeyRange { start: Key::new(), end: Key::new() }],
        direction: Direction::Forward,
        limit: None,
        output: ScanOutput::Keys,
        bounds: Vec::new(),
        batch_rows: 1,
    };
    for (identity, [locks, row, map, reads, scans]) in [
        (wal_node, [REFUSED, REFUSED, REFUSED, REFUSED, REFUSED]),
        (page_server, [REFUSED, REFUSED, PASSED, REFUSED, REFUSED]),
        (compute, [PASSED, PASSED, PASSED, PASSED, PASSED]),
    ] {
        let client = RpcClient::new(identity).unwrap();
        let wal = WalClient::new(client.peer(addresses[0]), Deadlines::default());
        let pages = PageClient::new(client.peer(addresses[1]), Deadlines::default());
        told(wal.locks().await.unwrap_err().to_string(), locks);
        told(wal.commit(commit(Key::from_static(b"row"))).await.unwrap_err().to_string(), row);
        told(wal.commit(commit(MAP_KEY)).await.unwrap_err().to_string(), map);
        told(wal.read_lsn().await.unwrap_err().to_string(), PASSED);
        told(pages.get(GetRequest { lsn: Lsn(1), keys: Vec::new() }).await.unwrap_err().to_string(), reads);
        told(pages.scan(scan()).await.err().expect("nobody scans").to_string(), scans);
    }
}

#[tokio::test]
async fn a_key_that_is_not_the_senders_costs_the_token_nothing() {
    let site = Site::open();
    let token = site.token(NodeRole::Wal, NOW_US + 1, 1);
    let admit: Admit = Arc::new(|_| panic!("nobody is to be asked"));
    for public_key in [vec![4; 65], Vec::new()] {
        let request = Request { token: token.clone(), public_key, proof: vec![1; 70] };
        assert_eq!(desk::let_in(&request, &admit).unwrap_err(), Refusal::Key);
    }
}
