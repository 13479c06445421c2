//! Damage and rivals: flipped bits are found or repaired, never returned; of two owners one goes on.

mod support;

use common::id::Lsn;
use common::key::{Key, KeyRange};
use common::service::page::{Direction, GetRequest, PageError, ScanOutput, ScanRequest};
use object_store::{ObjectStore, ObjectStoreExt};
use pageserver::doctor::{self, DoctorOptions};
use pageserver::{Config, DiskCacheConfig, PageServer, StartError};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use support::faults::FaultyStore;
use support::log::{LogHandle, MemoryLog};
use support::model::{Model, check_scan};
use support::{columns, key, row, small_config};

const KEYS: u32 = 200;

async fn start(config: Config, log: &Arc<MemoryLog>, store: &Arc<FaultyStore>) -> Result<PageServer, StartError> {
    let store: Arc<dyn ObjectStore> = store.clone();
    pageserver::start(config, Arc::new(LogHandle(log.clone())), store).await
}

/// A log and a store with some layers, flushed completely.
async fn filled() -> (Arc<MemoryLog>, Arc<FaultyStore>, Model) {
    let (log, store) = (MemoryLog::new(1_000), FaultyStore::new(1));
    let server = start(small_config(), &log, &store).await.unwrap();
    let mut model = Model::default();
    for round in 0..60u32 {
        let changes: Vec<_> = (0..KEYS)
            .filter(|number| (number + round) % 7 == 0)
            .map(|number| (key(number), Some(row(number * 31 + round))))
            .collect();
        let mut changes: Vec<(Key, _)> = changes;
        changes.sort_by(|a, b| a.0.cmp(&b.0));
        let lsn = log.commit(changes.clone(), Vec::new());
        model.commit(lsn, &changes);
        if round % 10 == 9 {
            wait_applied(&server, lsn).await;
            server.flush().await.unwrap();
        }
    }
    server.compact().await.unwrap();
    server.shutdown().await.unwrap();
    log.trim();
    (log, store, model)
}

async fn wait_applied(server: &PageServer, lsn: Lsn) {
    server.service().get(GetRequest { lsn, keys: Vec::new() }).await.unwrap();
}

/// Reads everything in two ways; whatever is not an error must be right.
async fn read_all(server: &PageServer, model: &Model, lsn: Lsn) -> Result<(), PageError> {
    let service = server.service();
    let request = ScanRequest {
        lsn,
        ranges: vec![KeyRange::all()],
        direction: Direction::Forward,
        limit: None,
        output: ScanOutput::Columns(columns()),
        bounds: Vec::new(),
        batch_rows: 50,
    };
    let scanned = check_scan(&*service, model, &request).await;
    let mut outcome = scanned;
    for first in (0..KEYS).step_by(20) {
        let keys: Vec<Key> = (first..first + 20).map(key).collect();
        match service.get(GetRequest { lsn, keys: keys.clone() }).await {
            Ok(found) => assert_eq!(found, keys.iter().map(|key| model.get(key, lsn)).collect::<Vec<_>>()),
            Err(error) => outcome = Err(error),
        }
    }
    outcome
}

fn random(state: &mut u64) -> usize {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) as usize
}

#[tokio::test]
async fn flipped_bits_in_objects_are_found() {
    let (log, store, model) = filled().await;
    let mut objects = store.objects().await;
    let is_manifest = |path: &object_store::path::Path| path.as_ref().contains("manifest-");
    let newest_manifest = objects.iter().map(|(path, _)| path.clone()).filter(is_manifest).max();
    // Older manifests are not read any more.
    objects.retain(|(path, _)| !is_manifest(path) || Some(path) == newest_manifest.as_ref());
    let mut state = 7u64;
    for _ in 0..300 {
        let damaged = store.duplicate().await;
        let (path, bytes) = &objects[random(&mut state) % objects.len()];
        let mut bytes = bytes.to_vec();
        let bit = random(&mut state) % (bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        damaged.inner.put(path, bytes.into()).await.unwrap();
        let outcome = match start(small_config(), &log, &damaged).await {
            Ok(server) => read_all(&server, &model, log.newest()).await.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        let text = outcome.expect_err(&format!("bit {bit} of {path} is flipped, and nobody noticed"));
        assert!(text.contains(path.as_ref()), "the error names the object: {text}");
    }
}

/// Each of these is damage that the doctor names, with the object; nothing else is.
#[tokio::test]
async fn flipped_bits_are_found_by_the_doctor() {
    let (_, store, _) = filled().await;
    let examine = async || {
        let options = DoctorOptions { grace: Duration::ZERO, now_us: u64::MAX };
        doctor::examine(store.clone(), options, Arc::default()).await.unwrap()
    };
    let sound = examine().await;
    assert_eq!(sound.damage, Vec::new());
    assert!(sound.layers > 1 && sound.blocks > sound.layers);
    let objects = store.objects().await;
    let mut state = 13u64;
    for _ in 0..400 {
        let (path, bytes) = &objects[random(&mut state) % objects.len()];
        let mut flipped = bytes.to_vec();
        let bit = random(&mut state) % (bytes.len() * 8);
        flipped[bit / 8] ^= 1 << (bit % 8);
        store.inner.put(path, flipped.into()).await.unwrap();
        let report = examine().await;
        assert_eq!(report.damage.len(), 1, "bit {bit} of {path}: {report:?}");
        assert_eq!(report.damage[0].object, path.as_ref());
        if let Some(place) = &report.damage[0].place {
            // The header is checked with the first block.
            let start = if place.block == Some(0) { 0 } else { place.start };
            assert!((start..place.end).contains(&(bit as u64 / 8)), "bit {bit} of {path}: {report:?}");
        }
        store.inner.put(path, bytes.clone().into()).await.unwrap();
    }
    assert_eq!(examine().await, sound);
}

#[tokio::test]
async fn objects_that_are_missing_or_cut_short_are_damage() {
    let (log, store, _) = filled().await;
    let layer = store.objects().await.into_iter().find(|(path, _)| path.as_ref().ends_with(".layer")).unwrap();
    for left in [None, Some(0), Some(layer.1.len() / 2), Some(layer.1.len() - 1)] {
        let damaged = store.duplicate().await;
        match left {
            None => damaged.inner.delete(&layer.0).await.unwrap(),
            Some(length) => drop(damaged.inner.put(&layer.0, layer.1.slice(..length).into()).await.unwrap()),
        }
        let options = DoctorOptions { grace: Duration::ZERO, now_us: u64::MAX };
        let report = doctor::examine(damaged.clone(), options, Arc::default()).await.unwrap();
        assert!(report.damage.iter().all(|damage| damage.object == layer.0.as_ref()), "{left:?}: {report:?}");
        assert!(!report.is_sound(), "{left:?}");
        let error = start(small_config(), &log, &damaged).await.err().expect("an open layer is read from its end");
        assert!(error.is_damage() && error.to_string().contains(layer.0.as_ref()), "{left:?}: {error}");
    }
}

fn cache_config(directory: &Path) -> Config {
    let mut config = small_config();
    config.cache.disk = Some(DiskCacheConfig { directory: directory.to_owned(), bytes: 64 << 20 });
    config
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_cache_is_repaired_from_the_store() {
    let (log, store, model) = filled().await;
    let directory = tempfile::tempdir().unwrap();
    let mut state = 11u64;
    for round in 0..8 {
        let server = start(cache_config(directory.path()), &log, &store).await.unwrap();
        read_all(&server, &model, log.newest()).await.unwrap_or_else(|error| panic!("round {round}: {error}"));
        server.shutdown().await.unwrap();
        for entry in std::fs::read_dir(directory.path()).unwrap() {
            let path = entry.unwrap().path();
            let mut bytes = std::fs::read(&path).unwrap();
            // Where the entries are: files are much larger than what they hold.
            let used = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0).max(1);
            for _ in 0..50 {
                bytes[random(&mut state) % used] ^= 1 << (random(&mut state) % 8);
            }
            std::fs::write(&path, bytes).unwrap();
        }
    }
}

#[tokio::test]
async fn a_cache_of_another_store_is_not_believed() {
    let directory = tempfile::tempdir().unwrap();
    let (log, store, model) = filled().await;
    let server = start(cache_config(directory.path()), &log, &store).await.unwrap();
    read_all(&server, &model, log.newest()).await.unwrap();
    server.shutdown().await.unwrap();

    let (other_log, other_store, mut other) = (MemoryLog::new(1_000), FaultyStore::new(2), Model::default());
    let server = start(cache_config(directory.path()), &other_log, &other_store).await.unwrap();
    let mut changes: Vec<_> = (0..KEYS).map(|number| (key(number), Some(row(number + 5)))).collect();
    changes.sort_by(|a, b| a.0.cmp(&b.0));
    let lsn = other_log.commit(changes.clone(), Vec::new());
    other.commit(lsn, &changes);
    wait_applied(&server, lsn).await;
    server.flush().await.unwrap();
    read_all(&server, &other, lsn).await.unwrap();
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_former_owner_cannot_publish_and_says_so() {
    let (log, store) = (MemoryLog::new(1_000), FaultyStore::new(1));
    let former = start(small_config(), &log, &store).await.unwrap();
    let owner = start(small_config(), &log, &store).await.unwrap();
    let lsn = log.commit(vec![(key(1), Some(row(1)))], Vec::new());
    wait_applied(&former, lsn).await;
    wait_applied(&owner, lsn).await;
    let refused = former.flush().await;
    assert!(matches!(&refused, Err(PageError::Unavailable(text)) if text.contains("no longer owns")), "{refused:?}");
    assert_eq!(log.reported(), Lsn::ZERO, "what the former owner wrote does not count");
    assert_eq!(owner.flush().await, Ok(lsn));
    let read = former.service().get(GetRequest { lsn, keys: vec![key(1)] }).await;
    assert!(matches!(read, Err(PageError::Unavailable(_))), "{read:?}");
}

#[tokio::test]
async fn a_read_ahead_of_the_log_ends_in_time() {
    let (log, store) = (MemoryLog::new(1_000), FaultyStore::new(1));
    let mut config = small_config();
    config.read_wait_max = std::time::Duration::from_millis(1);
    let server = start(config, &log, &store).await.unwrap();
    let read = server.service().get(GetRequest { lsn: Lsn(5), keys: vec![key(1)] }).await;
    assert_eq!(read, Err(PageError::Behind { wanted: Lsn(5), applied: Lsn(0) }));
}

#[tokio::test]
async fn objects_that_nothing_names_are_deleted() {
    let (log, store, model) = filled().await;
    let orphan = object_store::path::Path::from("tablets/1/layers/0000000001-0000009999.layer");
    store.inner.put(&orphan, bytes::Bytes::from_static(b"left by a crash").into()).await.unwrap();
    let server = start(small_config(), &log, &store).await.unwrap();
    // Twice: what is found by one run is deleted by the next.
    server.compact().await.unwrap();
    server.compact().await.unwrap();
    let layers = server.service().status().await.unwrap().layers as usize;
    let stored = store.objects().await.iter().filter(|(path, _)| path.as_ref().ends_with(".layer")).count();
    assert_eq!(stored, layers);
    read_all(&server, &model, log.newest()).await.unwrap();
}
