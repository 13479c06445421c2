//! What compaction keeps for snapshots in use, and that reads of what it did not keep are refused.

mod support;

use common::branch_points::{BranchPoints, POINTS_KEY};
use common::id::Lsn;
use common::key::Key;
use common::service::page::{GetRequest, PageError};
use common::service::wal::{OldestSnapshot, WalError};
use object_store::ObjectStore;
use pageserver::{Config, PageServer};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use support::faults::FaultyStore;
use support::log::{LogHandle, MemoryLog};
use support::model::Model;
use support::{key, row, small_config};

const KEYS: u32 = 60;

struct World {
    config: Config,
    log: Arc<MemoryLog>,
    store: Arc<FaultyStore>,
    server: Option<PageServer>,
    model: Model,
    seed: u32,
}

async fn serve(config: &Config, log: &Arc<MemoryLog>, store: &Arc<FaultyStore>) -> PageServer {
    let store: Arc<dyn ObjectStore> = store.clone();
    pageserver::start(config.clone(), Arc::new(LogHandle(log.clone())), store).await.unwrap()
}

impl World {
    /// Nothing is kept by its age alone; a transaction takes a second by the log's clock.
    async fn start(snapshot_age_max: Duration) -> World {
        let (log, store) = (MemoryLog::new(1_000_000), FaultyStore::new(1));
        let config = Config { retention: Duration::ZERO, snapshot_age_max, ..small_config() };
        let server = serve(&config, &log, &store).await;
        World { config, log, store, server: Some(server), model: Model::default(), seed: 0 }
    }

    /// Without the log up to now, which layers hold.
    async fn restart(&mut self) {
        let durable = self.server.take().unwrap().shutdown().await.unwrap();
        assert_eq!(durable, self.log.newest());
        self.log.trim();
        self.server = Some(serve(&self.config, &self.log, &self.store).await);
    }

    fn server(&self) -> &PageServer {
        self.server.as_ref().unwrap()
    }

    /// Every key changes `times` times, and all of it is compacted.
    async fn change(&mut self, times: u32) -> Lsn {
        for _ in 0..times {
            self.seed += 1;
            // Every seventh time a key goes.
            let row = |number: u32| (!(number + self.seed).is_multiple_of(7)).then(|| row(number * 31 + self.seed));
            let changes: BTreeMap<Key, _> = (0..KEYS).map(|number| (key(number), row(number))).collect();
            let changes: Vec<_> = changes.into_iter().collect();
            let lsn = self.log.commit(changes.clone(), Vec::new());
            self.model.commit(lsn, &changes);
            self.server().service().get(GetRequest { lsn, keys: Vec::new() }).await.unwrap();
            self.server().flush().await.unwrap();
        }
        self.server().compact().await.unwrap();
        self.log.newest()
    }

    /// Branch points at these LSNs, and no others.
    fn branch_at(&mut self, lsns: &[Lsn]) -> Lsn {
        let mut points = BranchPoints::default();
        lsns.iter().for_each(|lsn| points.insert(&lsn.to_string(), *lsn).unwrap());
        let changes = vec![(POINTS_KEY, Some(points.encode()))];
        self.model.commit(self.log.newest().next(), &changes);
        self.log.commit(changes, Vec::new())
    }

    fn in_use(&self, oldest: Result<OldestSnapshot, WalError>) {
        *self.log.snapshot.lock().unwrap() = oldest;
    }

    /// Whether everything is there at `lsn`; otherwise the read was refused. A wrong answer is neither.
    async fn is_kept(&self, lsn: Lsn) -> bool {
        let keys: Vec<Key> = (0..KEYS).map(key).collect();
        match self.server().service().get(GetRequest { lsn, keys: keys.clone() }).await {
            Ok(found) => {
                assert_eq!(found, keys.iter().map(|key| self.model.get(key, lsn)).collect::<Vec<_>>(), "at {lsn}");
                true
            }
            Err(PageError::TooOld { wanted, horizon }) => {
                assert!(wanted == lsn && horizon > lsn);
                false
            }
            Err(error) => panic!("at {lsn}: {error}"),
        }
    }
}

#[tokio::test]
async fn what_an_open_snapshot_reads_is_kept_until_it_is_closed() {
    let mut world = World::start(Duration::from_secs(3600)).await;
    let first = world.change(4).await;
    world.in_use(Ok(OldestSnapshot::At(first)));
    for _ in 0..3 {
        let now = world.change(4).await;
        assert!(world.is_kept(first).await && world.is_kept(now).await);
    }
    assert!(!world.is_kept(Lsn(first.0 - 2)).await, "before it nothing is in use");
    world.in_use(Ok(OldestSnapshot::Nothing));
    let now = world.change(4).await;
    assert!(!world.is_kept(first).await, "closed, and compacted since");
    assert!(world.is_kept(now).await);
}

#[tokio::test]
async fn a_snapshot_that_nobody_closes_is_refused_in_the_end() {
    let mut world = World::start(Duration::from_secs(10)).await;
    let first = world.change(4).await;
    world.in_use(Ok(OldestSnapshot::At(first)));
    world.change(4).await;
    assert!(world.is_kept(first).await);
    let now = world.change(12).await;
    assert!(!world.is_kept(first).await);
    assert!(world.is_kept(Lsn(now.0 - 9)).await);
}

#[tokio::test]
async fn while_the_log_does_not_know_nothing_is_dropped() {
    for answer in [Ok(OldestSnapshot::Unknown), Err(WalError::Unavailable("no leader".into()))] {
        let mut world = World::start(Duration::from_secs(3600)).await;
        world.in_use(answer.clone());
        world.change(4).await;
        let now = world.change(4).await;
        for lsn in 1..=now.0 {
            assert!(world.is_kept(Lsn(lsn)).await, "{lsn}, {answer:?}");
        }
    }
}

#[tokio::test]
async fn a_branch_point_is_readable_until_it_is_dropped() {
    let mut world = World::start(Duration::from_secs(3600)).await;
    let first = world.change(4).await;
    let second = world.branch_at(&[first, first.next()]);
    assert_eq!(second, first.next(), "its own transaction");
    for _ in 0..3 {
        let now = world.change(5).await;
        assert!(world.is_kept(first).await && world.is_kept(second).await && world.is_kept(now).await);
        assert!(!world.is_kept(second.next()).await && !world.is_kept(Lsn(first.0 - 1)).await);
    }
    // Also by a page server that has it from the store alone.
    world.restart().await;
    world.change(5).await;
    assert!(world.is_kept(first).await && world.is_kept(second).await);
    world.branch_at(&[first]);
    let now = world.change(5).await;
    assert!(world.is_kept(first).await && !world.is_kept(second).await && world.is_kept(now).await);
    world.branch_at(&[]);
    let now = world.change(5).await;
    assert!(!world.is_kept(first).await && world.is_kept(now).await);
}

#[tokio::test]
async fn a_branch_point_for_what_is_gone_does_not_bring_it_back() {
    let mut world = World::start(Duration::from_secs(3600)).await;
    let first = world.change(4).await;
    world.change(8).await;
    assert!(!world.is_kept(first).await);
    world.branch_at(&[first]);
    let now = world.change(4).await;
    assert!(!world.is_kept(first).await && world.is_kept(now).await);
}
