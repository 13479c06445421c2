//! Splits and merges by themselves and under load, what becomes of shared layers, and rivals that split.

mod support;

use common::cluster_map::{ClusterMap, MapChange};
use common::id::{Lsn, TabletId};
use common::key::{Key, KeyRange};
use common::service::page::{Direction, GetRequest, PageError, ScanOutput, ScanRequest};
use object_store::ObjectStore;
use pageserver::manifest::{self, LayerId, Manifest};
use pageserver::{Config, PageServer};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use support::faults::FaultyStore;
use support::log::{LogHandle, MemoryLog};
use support::model::{Model, check_scan};
use support::{key, row, small_config};

const KEYS: u32 = 300;

async fn start(config: Config, log: &Arc<MemoryLog>, store: &Arc<FaultyStore>) -> PageServer {
    let store: Arc<dyn ObjectStore> = store.clone();
    pageserver::start(config, Arc::new(LogHandle(log.clone())), store).await.unwrap()
}

fn commit(log: &MemoryLog, model: &mut Model, numbers: impl Iterator<Item = u32>, seed: u32) -> Lsn {
    let changes: BTreeMap<Key, _> = numbers.map(|number| (key(number), Some(row(number * 7 + seed)))).collect();
    let changes: Vec<_> = changes.into_iter().collect();
    let lsn = log.commit(changes.clone(), Vec::new());
    model.commit(lsn, &changes);
    lsn
}

async fn wait_applied(server: &PageServer, lsn: Lsn) {
    server.service().get(GetRequest { lsn, keys: Vec::new() }).await.unwrap();
}

async fn check(server: &PageServer, model: &Model, lsn: Lsn, direction: Direction) {
    let request = ScanRequest {
        lsn,
        // Without the map's own key, which these models do not have.
        ranges: vec![KeyRange { start: Key::from_static(&[0, 0, 0, 1]), end: Key::new() }],
        direction,
        limit: None,
        output: ScanOutput::Rows,
        bounds: Vec::new(),
        batch_rows: 64,
    };
    check_scan(&*server.service(), model, &request).await.unwrap();
}

async fn split_in_the_middle(server: &PageServer, log: &MemoryLog) -> TabletId {
    let tablet = server.map().tablets().last().unwrap();
    let at = server.middle_of(tablet).expect("a tablet with layers has a middle");
    let child = log.map().next_tablet();
    let lsn = server.change_map(&MapChange::Split { tablet, at }).await.unwrap();
    wait_applied(server, lsn).await;
    child
}

/// The manifests in force, by tablet, and the layer objects there are.
async fn stored(store: &FaultyStore) -> (BTreeMap<TabletId, Manifest>, BTreeSet<LayerId>) {
    let (mut manifests, mut layers) = (BTreeMap::new(), BTreeSet::new());
    for (path, bytes) in store.objects().await {
        match LayerId::of_path(&path) {
            Some(id) => drop(layers.insert(id)),
            None => {
                let manifest = manifest::decode(&bytes).unwrap();
                // They come in the order of their numbers.
                manifests.insert(manifest.tablet, manifest);
            }
        }
    }
    (manifests, layers)
}

fn named(manifests: &BTreeMap<TabletId, Manifest>) -> BTreeSet<LayerId> {
    manifests.values().flat_map(|manifest| &manifest.layers).map(|layer| layer.id()).collect()
}

/// A layer is deleted once nobody reads it any more: the flusher or the balancer may hold it a moment longer.
async fn await_nothing_left_over(server: &PageServer, store: &FaultyStore) {
    for _ in 0..1000 {
        let (manifests, layers) = stored(store).await;
        if layers == named(&manifests) {
            return;
        }
        tokio::task::yield_now().await;
        server.compact().await.unwrap();
    }
    let (manifests, layers) = stored(store).await;
    assert_eq!(layers, named(&manifests));
}

#[tokio::test]
async fn shared_layers_live_as_long_as_somebody_names_them() {
    let (log, store) = (MemoryLog::new(1_000), FaultyStore::new(1));
    let mut model = Model::default();
    let config = Config { manifests_kept: 1000, ..small_config() };
    let server = start(config.clone(), &log, &store).await;
    let lsn = commit(&log, &mut model, 0..KEYS, 0);
    wait_applied(&server, lsn).await;
    server.flush().await.unwrap();
    server.compact().await.unwrap();
    let child = split_in_the_middle(&server, &log).await;
    server.flush().await.unwrap();
    // No data was copied: the child began with layers of its parent.
    let path = format!("tablets/{child}/manifest-{:020}", 1);
    let (_, first) = store.objects().await.into_iter().find(|(found, _)| found.as_ref() == path).unwrap();
    let first = manifest::decode(&first).unwrap();
    assert!(!first.layers.is_empty() && first.layers.iter().all(|layer| layer.home == TabletId(1)));
    // Each half rewrites what it shares; then nothing is shared, and nothing is left over.
    server.compact().await.unwrap();
    server.compact().await.unwrap();
    assert!(server.is_clean(TabletId(1)) && server.is_clean(child));
    await_nothing_left_over(&server, &store).await;
    check(&server, &model, lsn, Direction::Backward).await;

    // After a merge the manifests of the right one are gone, its layers are the left one's.
    let merged = server.change_map(&MapChange::Merge { left: TabletId(1), right: child }).await.unwrap();
    wait_applied(&server, merged).await;
    check(&server, &model, lsn, Direction::Forward).await;
    server.flush().await.unwrap();
    let (manifests, _) = stored(&store).await;
    assert_eq!(manifests.keys().copied().collect::<Vec<_>>(), [TabletId(1)]);
    await_nothing_left_over(&server, &store).await;
    server.shutdown().await.unwrap();
    let server = start(config, &log, &store).await;
    check(&server, &model, lsn, Direction::Forward).await;
}

#[tokio::test]
async fn tablets_split_by_size_and_merge_when_small() {
    let (log, store) = (MemoryLog::new(1_000), FaultyStore::new(1));
    let mut model = Model::default();
    let config = Config {
        tablet_bytes_max: 8 << 10,
        tablet_bytes_min: 1 << 10,
        balance_interval: Duration::from_millis(1),
        ..small_config()
    };
    let server = start(config, &log, &store).await;
    let mut lsn = Lsn::ZERO;
    for round in 0..6 {
        lsn = commit(&log, &mut model, 0..KEYS, round);
    }
    wait_applied(&server, lsn).await;
    while server.map().tablets().count() < 3 {
        server.flush().await.unwrap();
        server.compact().await.unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    check(&server, &model, lsn, Direction::Forward).await;
    assert_eq!(server.service().status().await.unwrap().tablets, log.map().tablets().collect::<Vec<_>>());
    server.shutdown().await.unwrap();

    // The same data is small for a server that thinks in larger tablets.
    let config = Config {
        tablet_bytes_max: 1 << 20,
        tablet_bytes_min: 512 << 10,
        balance_interval: Duration::from_millis(1),
        ..small_config()
    };
    let server = start(config, &log, &store).await;
    while server.map().tablets().count() > 1 {
        server.flush().await.unwrap();
        server.compact().await.unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    check(&server, &model, lsn, Direction::Backward).await;
    assert!(log.map().ranges().eq(ClusterMap::default().ranges()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_and_writes_go_on_while_tablets_split_and_merge() {
    let (log, store) = (MemoryLog::new(1_000), FaultyStore::new(1));
    let mut model = Model::default();
    let server = Arc::new(start(small_config(), &log, &store).await);
    let mut lsn = commit(&log, &mut model, 0..KEYS, 0);
    wait_applied(&server, lsn).await;
    server.flush().await.unwrap();
    // A change of the map after each handful of writes; none is waited for before the next read.
    let changing = server.clone();
    let changes = tokio::spawn(async move {
        for number in 0..40u32 {
            let map = changing.map();
            let at = key(number * 37 % KEYS);
            let change = match map.tablets().count() {
                6.. => {
                    changing.flush().await.unwrap();
                    changing.compact().await.unwrap();
                    let tablets: Vec<TabletId> = map.tablets().collect();
                    MapChange::Merge { left: tablets[1], right: tablets[2] }
                }
                _ => MapChange::Split { tablet: map.tablet_of(&at), at },
            };
            if let Ok(lsn) = changing.change_map(&change).await {
                wait_applied(&changing, lsn).await;
            }
        }
    });
    let mut round = 1;
    while !changes.is_finished() || round < 20 {
        lsn = commit(&log, &mut model, (0..KEYS).filter(|number| number % 11 == round % 11), round);
        let direction = if round % 2 == 0 { Direction::Forward } else { Direction::Backward };
        check(&server, &model, lsn, direction).await;
        let keys: Vec<Key> = (0..KEYS).step_by(17).map(key).collect();
        let found = server.service().get(GetRequest { lsn, keys: keys.clone() }).await.unwrap();
        assert_eq!(found, keys.iter().map(|key| model.get(key, lsn)).collect::<Vec<_>>());
        round += 1;
    }
    changes.await.unwrap();
    server.flush().await.unwrap();
    let state = pageserver::stored_state(store.clone()).await.unwrap();
    assert!(state.map.ranges().eq(log.map().ranges()));
}

#[tokio::test]
async fn of_two_servers_that_split_the_newer_goes_on() {
    let (log, store) = (MemoryLog::new(1_000), FaultyStore::new(1));
    let mut model = Model::default();
    let older = start(small_config(), &log, &store).await;
    let lsn = commit(&log, &mut model, 0..KEYS, 0);
    wait_applied(&older, lsn).await;
    older.flush().await.unwrap();
    let newer = start(small_config(), &log, &store).await;
    // Both follow the log, and so both come to split; only one may bring it to the store.
    split_in_the_middle(&newer, &log).await;
    // It may have met the newer one's manifest already: then it does not answer at all.
    let waited = older.service().get(GetRequest { lsn: log.newest(), keys: Vec::new() }).await;
    assert!(matches!(waited, Ok(_) | Err(PageError::Unavailable(_))), "{waited:?}");
    assert!(older.flush().await.is_err());
    assert!(
        older.service().get(GetRequest { lsn, keys: Vec::new() }).await.is_err(),
        "it knows that it is not the owner"
    );
    newer.flush().await.unwrap();
    let lsn = commit(&log, &mut model, 0..KEYS, 1);
    check(&newer, &model, lsn, Direction::Forward).await;
    newer.flush().await.unwrap();
    newer.shutdown().await.unwrap();
    let server = start(small_config(), &log, &store).await;
    check(&server, &model, lsn, Direction::Forward).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flush_may_fall_between_the_transactions_of_a_batch() {
    let (log, store) = (MemoryLog::new(1), FaultyStore::new(1));
    let mut model = Model::default();
    let server = Arc::new(start(small_config(), &log, &store).await);
    let flushing = server.clone();
    let flushes = tokio::spawn(async move {
        let mut durable = Lsn::ZERO;
        while durable < Lsn(40_000) {
            durable = flushing.flush().await.unwrap();
        }
    });
    for batch in 0..20u32 {
        let changes = |number: u32| vec![(key(number % KEYS), Some(row(number)))];
        let transactions: Vec<_> =
            (batch * 2000..batch * 2000 + 2000).map(|number| (changes(number), Vec::new())).collect();
        let first = log.newest().next().0;
        log.commit_batch(transactions.clone());
        for ((changes, _), lsn) in transactions.iter().zip(first..) {
            model.commit(Lsn(lsn), changes);
        }
        tokio::task::yield_now().await;
    }
    flushes.await.unwrap();
    check(&server, &model, log.newest(), Direction::Forward).await;
}
