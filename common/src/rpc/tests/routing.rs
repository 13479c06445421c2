//! Several nodes as one: what happens to calls when the leader changes, or a page server is lost.

use super::fake::{FakePages, FakeWal, ROWS, SILENT_KEY};
use super::{authority, eventually, identity, loopback};
use crate::bulk::BulkLayer;
use crate::id::{CommitId, Lsn, NodeId, TabletId, Term, TxnId};
use crate::key::{Key, KeyRange};
use crate::rpc::routing::{PageRouter, WalRouter};
use crate::rpc::{ClusterAuthority, Deadlines, RpcClient, Server, Services, WalClient, serve};
use crate::service::page::*;
use crate::service::wal::*;
use crate::service::{PageService, WalService};
use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;
use parking_lot::Mutex;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Who leads, for all members of a test.
#[derive(Clone, Default)]
struct Lead(Arc<Mutex<(u64, Option<u64>)>>);

impl Lead {
    fn set(&self, term: u64, leader: Option<u64>) {
        *self.0.lock() = (term, leader);
    }
}

/// A member over a log that all of them share, as if it were replicated.
struct Member {
    node: u64,
    log: Arc<FakeWal>,
    lead: Lead,
}

impl Member {
    fn check(&self) -> Result<(), WalError> {
        match *self.lead.0.lock() {
            (_, Some(leader)) if leader == self.node => Ok(()),
            (_, leader) => Err(WalError::NotLeader { leader: leader.map(NodeId) }),
        }
    }
}

#[async_trait]
impl WalService for Member {
    async fn read_lsn(&self) -> Result<ReadLsn, WalError> {
        self.check()?;
        self.log.read_lsn().await
    }

    async fn lock(&self, request: LockRequest) -> Result<LockReply, LockError> {
        self.check()?;
        self.log.lock(request).await
    }

    async fn unlock(&self, txn: TxnId) -> Result<(), WalError> {
        self.log.unlock(txn).await
    }

    async fn unlock_keys(&self, txn: TxnId, keys: Vec<Key>) -> Result<(), WalError> {
        self.check()?;
        self.log.unlock_keys(txn, keys).await
    }

    async fn locks(&self) -> Result<Vec<LockInfo>, WalError> {
        self.check()?;
        self.log.locks().await
    }

    async fn wait_durable(&self, version: Undurable) -> Result<bool, WalError> {
        self.check()?;
        self.log.wait_durable(version).await
    }

    async fn commit(&self, request: CommitRequest) -> Result<CommitReply, CommitError> {
        self.check()?;
        self.log.commit(request).await
    }

    async fn outcome(&self, commit: CommitId) -> Result<Option<Lsn>, WalError> {
        self.check()?;
        self.log.outcome(commit).await
    }

    async fn allocate(&self, request: AllocateRequest) -> Result<u64, WalError> {
        self.check()?;
        self.log.allocate(request).await
    }

    async fn subscribe(
        &self,
        request: SubscribeRequest,
    ) -> Result<BoxStream<'static, Result<StreamItem, WalError>>, WalError> {
        self.log.subscribe(request).await
    }

    async fn report_durable(&self, tablet: TabletId, lsn: Lsn) -> Result<(), WalError> {
        self.check()?;
        self.log.report_durable(tablet, lsn).await
    }

    async fn status(&self) -> Result<WalStatus, WalError> {
        let (term, leader) = *self.lead.0.lock();
        let status = self.log.status().await?;
        Ok(WalStatus { node: NodeId(self.node), term: Term(term), leader: leader.map(NodeId), ..status })
    }
}

struct Cluster {
    authority: ClusterAuthority,
    servers: Vec<Server>,
    addresses: Vec<SocketAddr>,
}

impl Cluster {
    fn start(services: Vec<Services>) -> Cluster {
        let authority = authority();
        let (mut servers, mut addresses) = (Vec::new(), Vec::new());
        for (at, services) in services.into_iter().enumerate() {
            let node = at as u64 + 1;
            let server = serve(loopback(), &identity(&authority, node), services).unwrap();
            addresses.push(server.local_addr());
            servers.push(server);
        }
        Cluster { authority, servers, addresses }
    }

    fn client(&self) -> RpcClient {
        RpcClient::new(&identity(&self.authority, 9)).unwrap()
    }
}

fn wal_nodes(log: &Arc<FakeWal>, lead: &Lead) -> Cluster {
    let member = |node| Services {
        wal: Some(Arc::new(Member { node, log: log.clone(), lead: lead.clone() })),
        ..Services::default()
    };
    Cluster::start((1..=3).map(member).collect())
}

fn commit_of(id: u128, key: &'static [u8]) -> CommitRequest {
    let mutation = Mutation { key: Key::from_static(key), row: None };
    let writes = vec![Write { mutation, observed: Lsn::MAX }];
    CommitRequest::of(CommitId(id), TxnId(id), writes)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_without_an_answer_is_sent_to_the_next_leader_and_made_once() {
    let (log, lead) = (Arc::new(FakeWal::default()), Lead::default());
    lead.set(1, Some(2));
    let cluster = wal_nodes(&log, &lead);
    let client = cluster.client();
    let wal = Arc::new(WalRouter::new(&client, &cluster.addresses, NodeId(9)));
    assert_eq!(wal.commit(commit_of(1, b"a")).await.unwrap().lsn, Lsn(1));
    let pending = tokio::spawn({
        let wal = wal.clone();
        async move { wal.commit(commit_of(2, SILENT_KEY)).await }
    });
    eventually("the commit is made", || log.commits() == 2).await;
    assert!(!pending.is_finished());
    lead.set(2, Some(3));
    assert_eq!(pending.await.unwrap().unwrap().lsn, Lsn(2));
    assert_eq!(log.commits(), 2, "made once");
    assert_eq!(wal.read_lsn().await.unwrap().lsn, Lsn(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_wait_for_a_leader_to_be_found() {
    let (log, lead) = (Arc::new(FakeWal::default()), Lead::default());
    lead.set(1, None);
    let cluster = wal_nodes(&log, &lead);
    let client = cluster.client();
    let wal = Arc::new(WalRouter::new(&client, &cluster.addresses, NodeId(9)));
    let waiting: Vec<_> = (1..=20u128)
        .map(|id| {
            let wal = wal.clone();
            tokio::spawn(async move {
                wal.commit(commit_of(id, b"k")).await.unwrap();
                wal.read_lsn().await.unwrap().lsn
            })
        })
        .collect();
    lead.set(7, Some(1));
    for task in waiting {
        assert!(task.await.unwrap() >= Lsn(1));
    }
    assert_eq!(log.commits(), 20);
    assert_eq!(wal.status().await.unwrap().term, Term(7));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_begins_at_a_member_that_holds_what_is_wanted() {
    let (log, lead) = (Arc::new(FakeWal::default()), Lead::default());
    lead.set(1, Some(1));
    let mut cluster = wal_nodes(&log, &lead);
    let client = cluster.client();
    let wal = WalRouter::new(&client, &cluster.addresses, NodeId(9));
    wal.commit(commit_of(1, b"a")).await.unwrap();
    let mut stream = wal.subscribe(SubscribeRequest { from: Lsn(1), tablets: vec![] }).await.unwrap();
    assert!(matches!(stream.next().await, Some(Ok(StreamItem::Batch(_)))));
    let trimmed = wal.subscribe(SubscribeRequest { from: Lsn::ZERO, tablets: vec![] }).await.err();
    assert_eq!(trimmed, Some(WalError::Trimmed { first: Lsn(1) }));
    // Only the leader is left.
    cluster.servers.truncate(1);
    let mut stream = wal.subscribe(SubscribeRequest { from: Lsn(1), tablets: vec![] }).await.unwrap();
    assert!(matches!(stream.next().await, Some(Ok(StreamItem::Batch(_)))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn locks_end_with_the_connection_that_took_them() {
    let fake = Arc::new(FakeWal::default());
    let cluster = Cluster::start(vec![Services { wal: Some(fake.clone()), ..Services::default() }]);
    let locks = |client: &RpcClient| WalClient::new(client.peer(cluster.addresses[0]), Deadlines::default());
    let keys = || vec![(Key::from_static(b"a"), LockMode::Exclusive)];
    let lock = |txn| LockRequest::keys(TxnId(txn), keys(), LockWait::NoWait);
    let (dying_client, living_client) = (cluster.client(), cluster.client());
    let (dying, wal) = (locks(&dying_client), locks(&living_client));
    dying.lock(lock(1)).await.unwrap();
    assert_eq!(wal.lock(lock(2)).await, Err(LockError::NotAvailable));
    dying_client.close().await;
    let freed = async {
        while wal.lock(lock(2)).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), freed).await.expect("the lock is freed");
}

/// A page server whose scans break after one batch, as when it is killed.
struct Breaking(FakePages);

#[async_trait]
impl PageService for Breaking {
    async fn get(&self, _: GetRequest) -> Result<Vec<Option<RowVersion>>, PageError> {
        Err(PageError::Unavailable("broken".to_owned()))
    }

    async fn newest_versions(&self, keys: Vec<Key>, applied: Lsn) -> Result<Vec<Lsn>, PageError> {
        self.0.newest_versions(keys, applied).await
    }

    async fn scan(&self, request: ScanRequest) -> Result<BoxStream<'static, Result<ScanBatch, PageError>>, PageError> {
        let first = self.0.scan(request).await?.take(1);
        let broken = futures::stream::iter([Err(PageError::Unavailable("broken".to_owned()))]);
        Ok(first.chain(broken).boxed())
    }

    async fn estimate(&self, range: KeyRange) -> Result<RangeEstimate, PageError> {
        self.0.estimate(range).await
    }

    async fn flush(&self) -> Result<Lsn, PageError> {
        self.0.flush().await
    }

    async fn status(&self) -> Result<PageStatus, PageError> {
        self.0.status().await
    }

    async fn bulk_write(&self, rows: Vec<BulkRow>) -> Result<Vec<BulkLayer>, PageError> {
        self.0.bulk_write(rows).await
    }

    async fn bulk_finish(&self, layers: Vec<BulkLayer>) -> Result<BulkFinished, PageError> {
        self.0.bulk_finish(layers).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scan_goes_on_at_another_page_server() {
    let page = |page: Arc<dyn PageService>| Services { page: Some(page), ..Services::default() };
    let broken = Arc::new(Breaking(FakePages::default()));
    let cluster = Cluster::start(vec![page(broken), page(Arc::new(FakePages::default()))]);
    let client = cluster.client();
    let pages = PageRouter::new(&client, &cluster.addresses);
    for direction in [Direction::Forward, Direction::Backward] {
        let request = ScanRequest {
            lsn: Lsn(200),
            ranges: vec![KeyRange { start: Key::from_static(&[3]), end: Key::new() }],
            direction,
            limit: Some(100),
            output: ScanOutput::Rows,
            bounds: vec![],
            batch_rows: 10,
        };
        let mut keys = Vec::new();
        let mut batches = pages.scan(request).await.unwrap();
        while let Some(batch) = batches.next().await {
            let ScanBatch::Rows(rows) = batch.unwrap() else { panic!("rows were asked for") };
            keys.extend(rows.iter().map(|row| row.key[0]));
        }
        let expected: Vec<u8> = match direction {
            Direction::Forward => (3..103).collect(),
            Direction::Backward => (ROWS - 99..=ROWS).rev().collect(),
        };
        assert_eq!(keys, expected);
    }
    let found = pages.get(GetRequest { lsn: Lsn(9), keys: vec![Key::from_static(&[7])] }).await.unwrap();
    assert_eq!(found[0].as_ref().map(|version| version.lsn), Some(Lsn(7)));
}
