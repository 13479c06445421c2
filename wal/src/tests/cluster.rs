//! Three members in one process, over a transport in memory that can be cut.

use super::support::*;
use crate::segment::memory_disk::MemoryDisk;
use crate::{PeerError, PeerTransport, WalConfig, WalEnvironment, WalNode};
use async_trait::async_trait;
use bytes::Bytes;
use common::id::{CommitId, Lsn, NodeId, TabletId};
use common::service::WalService;
use common::service::wal::{CommitError, CommitReply, CommitRequest, SubscribeRequest, WalError};
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

/// Carries calls between the nodes of one test.
#[derive(Default)]
struct Wires {
    nodes: Mutex<HashMap<NodeId, Weak<WalNode>>>,
    cut: Mutex<HashSet<NodeId>>,
}

struct Wire {
    from: NodeId,
    wires: Arc<Wires>,
}

#[async_trait]
impl PeerTransport for Wire {
    async fn call(&self, target: NodeId, request: Bytes) -> Result<Bytes, PeerError> {
        let unreachable = || PeerError::Unreachable(target, "the wire is cut".to_string());
        let is_cut = || {
            let cut = self.wires.cut.lock().expect("lock");
            cut.contains(&target) || cut.contains(&self.from)
        };
        if is_cut() {
            return Err(unreachable());
        }
        let node = self.wires.nodes.lock().expect("lock").get(&target).and_then(Weak::upgrade);
        let answer = node.ok_or_else(unreachable)?.handle_peer(&request).await;
        // An answer can get lost as well.
        if is_cut() { Err(unreachable()) } else { Ok(answer) }
    }
}

struct Cluster {
    directory: tempfile::TempDir,
    wires: Arc<Wires>,
    nodes: HashMap<NodeId, Arc<WalNode>>,
    /// Of those that do not write to the directory.
    disks: HashMap<NodeId, Arc<MemoryDisk>>,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Writers that hang do not end.
        self.disks.values().for_each(|disk| disk.resume());
    }
}

const MEMBERS: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(3)];

impl Cluster {
    async fn start() -> Cluster {
        Cluster::start_on(HashMap::new()).await
    }

    async fn start_on(disks: HashMap<NodeId, Arc<MemoryDisk>>) -> Cluster {
        let directory = tempfile::tempdir().expect("temporary directory");
        let mut cluster = Cluster { directory, wires: Arc::default(), nodes: HashMap::new(), disks };
        for node in MEMBERS.iter().rev() {
            cluster.start_node(*node).await;
        }
        cluster
    }

    fn directory_of(&self, node: NodeId) -> PathBuf {
        self.directory.path().join(node.to_string())
    }

    async fn start_node(&mut self, node: NodeId) {
        loop {
            let mut config = WalConfig::member(self.directory_of(node), node, MEMBERS.to_vec());
            config.segment_bytes = 16 << 10;
            config.cache_bytes_max = 1 << 10;
            config.election_timeout = Duration::from_millis(400);
            config.disk_write_max = Duration::from_millis(600);
            let wire = Wire { from: node, wires: self.wires.clone() };
            let environment = WalEnvironment { transport: Some(Arc::new(wire)), ..environment() };
            let started = match self.disks.get(&node) {
                Some(disk) => crate::start_on(disk.clone(), config, environment).await,
                None => crate::start(config, environment).await,
            };
            match started {
                Ok(started) => {
                    let started = Arc::new(started);
                    self.wires.nodes.lock().expect("lock").insert(node, Arc::downgrade(&started));
                    self.nodes.insert(node, started);
                    return;
                }
                // Tasks of a node that was killed hold its directory until they notice.
                Err(crate::StartError::Directory { source, .. })
                    if source.kind() == std::io::ErrorKind::ResourceBusy =>
                {
                    tokio::task::yield_now().await;
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Ends a node as a crash would.
    fn kill(&mut self, node: NodeId) {
        self.wires.nodes.lock().expect("lock").remove(&node);
        self.nodes.remove(&node);
    }

    fn cut(&self, node: NodeId) {
        self.wires.cut.lock().expect("lock").insert(node);
    }

    fn mend(&self, node: NodeId) {
        self.wires.cut.lock().expect("lock").remove(&node);
    }

    fn service(&self, node: NodeId) -> Arc<dyn WalService> {
        self.nodes[&node].service()
    }

    /// A node that serves, as it says itself.
    async fn leader(&self) -> NodeId {
        loop {
            for (node, started) in &self.nodes {
                if tokio::time::timeout(Duration::from_secs(1), started.service().read_lsn())
                    .await
                    .is_ok_and(|answer| answer.is_ok())
                {
                    return *node;
                }
            }
            tokio::task::yield_now().await;
        }
    }

    /// Commits as a client does: at whoever leads, asking for the outcome where it is unknown.
    async fn commit(&self, request: CommitRequest) -> Result<CommitReply, CommitError> {
        loop {
            let service = self.service(self.leader().await);
            match service.commit(request.clone()).await {
                Err(CommitError::Wal(_) | CommitError::Unknown(_)) => {}
                answer => return answer,
            }
        }
    }

    async fn shutdown(mut self) {
        for (id, node) in self.nodes.drain() {
            self.wires.nodes.lock().expect("lock").remove(&id);
            let mut node = node;
            let node = loop {
                // A call of a peer may hold it for a moment.
                match Arc::try_unwrap(node) {
                    Ok(node) => break node,
                    Err(shared) => node = shared,
                }
                tokio::task::yield_now().await;
            };
            node.shutdown().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_members_elect_a_leader_and_all_of_them_stream_its_commits() {
    let cluster = Cluster::start().await;
    for number in 1..=20u64 {
        let request = put(u128::from(number), "key", &number.to_string(), Lsn(number - 1));
        assert_eq!(cluster.commit(request).await.map(|reply| reply.lsn), Ok(Lsn(number)));
    }
    for node in MEMBERS {
        let batches = collect(&cluster.service(node), Lsn(1), Lsn(20)).await;
        assert_eq!(lsns(&batches), (1..=20).collect::<Vec<_>>(), "node {node}");
    }
    let leader = cluster.leader().await;
    let follower = MEMBERS.into_iter().find(|node| *node != leader).expect("there are others");
    let refused = cluster.service(follower).commit(put(99, "key", "x", Lsn::MAX)).await;
    assert_eq!(refused, Err(CommitError::Wal(WalError::NotLeader { leader: Some(leader) })));
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_when_leaders_die() {
    let mut cluster = Cluster::start().await;
    let mut acknowledged: Vec<(CommitId, Lsn)> = Vec::new();
    let mut id = 0;
    for _ in 0..3 {
        for _ in 0..10 {
            id += 1;
            let reply = cluster.commit(put(id, &format!("k{}", id % 3), "row", Lsn::MAX)).await.expect("blind writes");
            acknowledged.push((CommitId(id), reply.lsn));
        }
        let leader = cluster.leader().await;
        cluster.kill(leader);
        id += 1;
        let reply = cluster.commit(put(id, "k0", "row", Lsn::MAX)).await.expect("two members are enough");
        acknowledged.push((CommitId(id), reply.lsn));
        cluster.start_node(leader).await;
    }
    let last = acknowledged.last().expect("commits").1;
    assert_eq!(acknowledged.len() as u64, last.0, "each commit has one LSN, and no LSN is without a commit");
    for node in MEMBERS {
        let batches = collect(&cluster.service(node), Lsn(1), last).await;
        let found: Vec<_> = batches
            .iter()
            .flat_map(|batch| batch.transactions.iter().map(|transaction| (transaction.commit_id, transaction.lsn)))
            .collect();
        assert_eq!(found, acknowledged, "node {node}");
    }
    let service = cluster.service(cluster.leader().await);
    for (commit, lsn) in &acknowledged {
        assert_eq!(service.outcome(*commit).await, Ok(Some(*lsn)));
    }
    // The conflict window of the new leader knows what the old ones wrote.
    let stale = cluster.commit(put(10_000, "k0", "x", Lsn(0))).await;
    assert!(matches!(stale, Err(CommitError::Conflict { .. })), "{stale:?}");
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_cut_off_neither_reads_nor_commits() {
    let cluster = Cluster::start().await;
    cluster.commit(put(1, "a", "1", Lsn(0))).await.expect("commit");
    let old = cluster.leader().await;
    cluster.cut(old);
    let service = cluster.service(old);
    let pending = tokio::spawn({
        let service = service.clone();
        async move { service.commit(put(2, "a", "old", Lsn(1))).await }
    });
    let read = tokio::time::timeout(Duration::from_secs(5), service.read_lsn()).await;
    assert!(!matches!(read, Ok(Ok(_))), "{read:?}");
    // The others go on meanwhile.
    let new = loop {
        let leader = cluster.leader().await;
        if leader != old {
            break leader;
        }
    };
    let other = cluster.service(new).commit(put(3, "a", "new", Lsn(1))).await.expect("two members are enough");
    cluster.mend(old);
    let answer = pending.await.expect("task");
    assert!(matches!(answer, Err(CommitError::Unknown(_) | CommitError::Wal(_))), "{answer:?}");
    // Asked again, the loser learns that it has lost.
    let again = cluster.commit(put(2, "a", "old", Lsn(1))).await;
    assert_eq!(again, Err(CommitError::Conflict { key: key("a"), newest: other.lsn }));
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_was_away_longer_than_the_log_gets_the_history() {
    let mut cluster = Cluster::start().await;
    let leader = cluster.leader().await;
    let away = MEMBERS.into_iter().find(|node| *node != leader).expect("there are others");
    cluster.kill(away);
    let row = "x".repeat(2_000);
    for number in 1..=60u64 {
        cluster.commit(put(u128::from(number), "key", &row, Lsn::MAX)).await.expect("commit");
    }
    loop {
        let service = cluster.service(cluster.leader().await);
        let _ = service.report_durable(TabletId(1), Lsn(50)).await;
        if service.status().await.is_ok_and(|status| status.first > Lsn(1)) {
            break;
        }
        tokio::task::yield_now().await;
    }
    cluster.start_node(away).await;
    let service = cluster.service(away);
    // First the history arrives, then the log begins behind it.
    let first = loop {
        let status = service.status().await.expect("status");
        if status.committed == Lsn(60) && status.first > Lsn(1) {
            break status.first;
        }
        tokio::task::yield_now().await;
    };
    let gone = service.subscribe(SubscribeRequest { from: Lsn(1), tablets: vec![] }).await.err();
    assert_eq!(gone, Some(WalError::Trimmed { first }));
    assert_eq!(lsns(&collect(&service, first, Lsn(60)).await), (first.0..=60).collect::<Vec<_>>());
    // It can lead with what it got.
    cluster.kill(leader);
    let reply = cluster.commit(put(100, "key", "after", Lsn::MAX)).await.expect("commit");
    assert_eq!(reply.lsn, Lsn(61));
    assert_eq!(cluster.commit(put(7, "key", &row, Lsn::MAX)).await.map(|reply| reply.lsn), Ok(Lsn(7)));
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_whose_disk_is_full_hands_over_and_goes_on_when_there_is_space() {
    let disks: HashMap<_, _> = MEMBERS.into_iter().map(|node| (node, MemoryDisk::new())).collect();
    let cluster = Cluster::start_on(disks.clone()).await;
    let row = "x".repeat(2_000);
    let mut last = Lsn(0);
    for round in 0..2_u64 {
        let full = cluster.leader().await;
        disks[&full].fill_up();
        // More than a segment: its own disk cannot take it.
        for number in 1..=40 {
            last =
                cluster.commit(put(u128::from(round * 100 + number), "key", &row, Lsn::MAX)).await.expect("commit").lsn;
        }
        assert_ne!(cluster.leader().await, full, "it cannot have written all of it");
        disks[&full].make_room();
        assert_eq!(lsns(&collect(&cluster.service(full), Lsn(1), last).await), (1..=last.0).collect::<Vec<_>>());
    }
    assert_eq!(last, Lsn(80));
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_whose_disk_hangs_hands_over_and_keeps_nobody_waiting() {
    let disks: HashMap<_, _> = MEMBERS.into_iter().map(|node| (node, MemoryDisk::new())).collect();
    let cluster = Cluster::start_on(disks.clone()).await;
    let mut id = 0;
    for cut_off in [false, true] {
        let stuck = cluster.leader().await;
        let service = cluster.service(stuck);
        assert_eq!(service.status().await.map(|status| status.leader), Ok(Some(stuck)));
        disks[&stuck].hang();
        if cut_off {
            // The others elect. When it hears of that, it cannot write it down.
            cluster.cut(stuck);
        }
        let mut leader = stuck;
        while leader == stuck {
            id += 1;
            cluster.commit(put(id, "key", "row", Lsn::MAX)).await.expect("two disks are enough");
            leader = cluster.leader().await;
        }
        cluster.mend(stuck);
        // Nobody who comes to the one that is stuck waits for its disk.
        id += 1;
        let answer = service.commit(put(id, "key", "row", Lsn::MAX)).await;
        assert!(matches!(answer, Err(CommitError::Unknown(_) | CommitError::Wal(_))), "{answer:?}");
        assert!(lock(&service, id, "key").await.is_err());
        assert!(service.read_lsn().await.is_err());
        let last = cluster.commit(put(id, "key", "row", Lsn::MAX)).await.expect("commit").lsn;
        disks[&stuck].resume();
        assert_eq!(lsns(&collect(&service, Lsn(1), last).await), (1..=last.0).collect::<Vec<_>>());
        assert_eq!(u128::from(last.0), id, "each commit has one LSN");
    }
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_with_an_empty_disk_rejoins() {
    let mut cluster = Cluster::start().await;
    for number in 1..=10u64 {
        cluster.commit(put(u128::from(number), "key", "row", Lsn::MAX)).await.expect("commit");
    }
    let leader = cluster.leader().await;
    let lost = MEMBERS.into_iter().find(|node| *node != leader).expect("there are others");
    collect(&cluster.service(lost), Lsn(1), Lsn(10)).await;
    cluster.kill(lost);
    std::fs::remove_dir_all(cluster.directory_of(lost)).expect("the disk is lost");
    cluster.start_node(lost).await;
    cluster.commit(put(11, "key", "row", Lsn::MAX)).await.expect("commit");
    assert_eq!(lsns(&collect(&cluster.service(lost), Lsn(1), Lsn(11)).await), (1..=11).collect::<Vec<_>>());
    cluster.shutdown().await;
}
