//! What is asked of the store: by a long scan and by compaction few large requests, by a short scan no more than it needs, by
//! a flush a few, after a restart nothing that the local disk has.

mod support;

use async_trait::async_trait;
use bytes::Bytes;
use common::id::{IndexId, TableId};
use common::key::{Key, KeyRange, index_prefix};
use common::service::page::{Direction, GetRequest, ScanBatch, ScanOutput, ScanRequest};
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::*;
use pageserver::{CacheConfig, Config, DiskCacheConfig, PageServer};
use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use support::log::{LogHandle, MemoryLog};
use support::{row, small_config};

const ROWS: u32 = 4000;

/// Remembers the ranges of layers that were asked for.
#[derive(Debug, Default)]
struct Watched {
    inner: InMemory,
    ranges: Mutex<Vec<Range<u64>>>,
    lists: AtomicUsize,
}

impl fmt::Display for Watched {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("watched store")
    }
}

#[async_trait]
impl ObjectStore for Watched {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.inner.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        if let Some(GetRange::Bounded(range)) = &options.range
            && location.as_ref().ends_with(".layer")
        {
            self.ranges.lock().unwrap().push(range.clone());
        }
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.lists.fetch_add(1, Ordering::Relaxed);
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

fn key(number: u32) -> Key {
    let mut key = index_prefix(TableId(7), IndexId(0)).to_vec();
    key.extend(number.to_be_bytes());
    key.into()
}

fn config() -> Config {
    let cache = CacheConfig { memory_bytes: 64 << 20, disk: None };
    Config { memtable_bytes_max: 8 << 20, memtables_bytes_max: 16 << 20, cache, ..small_config() }
}

async fn start(log: &Arc<MemoryLog>, store: &Arc<Watched>) -> PageServer {
    start_with(config(), log, store).await
}

async fn start_with(config: Config, log: &Arc<MemoryLog>, store: &Arc<Watched>) -> PageServer {
    let server = pageserver::start(config, Arc::new(LogHandle(log.clone())), store.clone()).await.unwrap();
    store.ranges.lock().unwrap().clear();
    server
}

/// Reads rows from the middle; returns their keys, and what was asked of the store.
async fn scan(store: &Watched, server: &PageServer, log: &MemoryLog, request: ScanRequest) -> (Vec<Key>, usize) {
    let request = ScanRequest { lsn: log.newest(), ..request };
    let mut batches = server.service().scan(request).await.unwrap();
    let mut keys = Vec::new();
    while let Some(batch) = batches.next().await {
        let ScanBatch::Rows(rows) = batch.unwrap() else { panic!("rows were asked for") };
        keys.extend(rows.into_iter().map(|row| row.key));
    }
    (keys, store.ranges.lock().unwrap().len())
}

#[tokio::test]
async fn long_scans_ask_for_much_at_once_and_short_ones_for_little() {
    let (log, store) = (MemoryLog::new(1_000), Arc::new(Watched::default()));
    let server = start(&log, &store).await;
    let changes: Vec<(Key, Option<Bytes>)> = (0..ROWS).map(|number| (key(number), Some(row(number)))).collect();
    let lsn = log.commit(changes, vec![]);
    server.service().get(GetRequest { lsn, keys: vec![] }).await.unwrap();
    server.flush().await.unwrap();
    server.shutdown().await.unwrap();
    log.trim();

    let blocks = ROWS as usize / small_config().block_rows_max;
    let all = ScanRequest {
        lsn,
        ranges: vec![KeyRange::index(TableId(7), IndexId(0))],
        direction: Direction::Forward,
        limit: None,
        output: ScanOutput::Keys,
        bounds: Vec::new(),
        batch_rows: 100,
    };
    for direction in [Direction::Forward, Direction::Backward] {
        // Each time anew: nothing is in memory.
        let server = start(&log, &store).await;
        let (keys, requests) = scan(&store, &server, &log, ScanRequest { direction, ..all.clone() }).await;
        let mut expected: Vec<Key> = (0..ROWS).map(key).collect();
        if direction == Direction::Backward {
            expected.reverse();
        }
        assert_eq!(keys, expected);
        assert!(requests * 20 < blocks, "{requests} requests for {blocks} blocks");
        let asked: u64 = store.ranges.lock().unwrap().iter().map(|range| range.end - range.start).sum();
        let stored = server.service().status().await.unwrap().layer_bytes;
        assert!(asked <= stored, "{asked} bytes of {stored} were asked for: some twice");
        store.ranges.lock().unwrap().clear();
        let (keys, requests) = scan(&store, &server, &log, all.clone()).await;
        assert_eq!((keys.len(), requests), (ROWS as usize, 0), "everything is in memory now");
        drop(server);

        let server = start(&log, &store).await;
        let ranges = vec![KeyRange { start: key(ROWS / 2), end: key(ROWS) }];
        let short = ScanRequest { direction, ranges, limit: Some(3), ..all.clone() };
        let (keys, requests) = scan(&store, &server, &log, short).await;
        assert_eq!(keys.len(), 3);
        assert!(requests <= 2, "{requests} requests for three rows");
        let longest = store.ranges.lock().unwrap().iter().map(|range| range.end - range.start).max();
        assert!(longest.is_some_and(|longest| longest < 4096), "more than a block of six rows: {longest:?}");
    }
}

#[tokio::test]
async fn compaction_asks_for_much_at_once_and_for_nothing_twice() {
    let (log, store) = (MemoryLog::new(1_000), Arc::new(Watched::default()));
    // One merge, of four layers into one.
    let config = Config { level0_layers_max: 4, layer_bytes_max: 1 << 30, part_bytes: 1 << 30, ..config() };
    let server = start_with(config, &log, &store).await;
    let mut stored = 0;
    for part in 0..4 {
        if part == 3 {
            stored = server.service().status().await.unwrap().layer_bytes;
        }
        let numbers = (0..ROWS).filter(|number| number % 4 == part);
        let lsn = log.commit(numbers.map(|number| (key(number), Some(row(number)))).collect(), vec![]);
        server.service().get(GetRequest { lsn, keys: vec![] }).await.unwrap();
        server.flush().await.unwrap();
    }
    server.compact().await.unwrap();
    assert_eq!(server.service().status().await.unwrap().layers, 1);
    let ranges = store.ranges.lock().unwrap();
    let blocks = ROWS as usize / small_config().block_rows_max;
    assert!(ranges.len() >= 4 && ranges.len() * 20 < blocks, "{} requests for {blocks} blocks", ranges.len());
    let asked: u64 = ranges.iter().map(|range| range.end - range.start).sum();
    assert!(asked < stored / 3 * 4, "{asked} bytes, three of the four layers have {stored}");
}

/// A listing costs as much as a put.
#[tokio::test]
async fn a_flush_puts_a_layer_and_a_manifest_and_lists_hardly_more_than_once() {
    let (log, store) = (MemoryLog::new(1_000), Arc::new(Watched::default()));
    let server = start_with(Config { level0_layers_max: 1000, ..config() }, &log, &store).await;
    let before = store.lists.load(Ordering::Relaxed);
    const FLUSHES: u32 = 40;
    for number in 0..FLUSHES {
        let lsn = log.commit(vec![(key(number), Some(row(number)))], vec![]);
        server.service().get(GetRequest { lsn, keys: vec![] }).await.unwrap();
        assert_eq!(server.flush().await, Ok(lsn));
    }
    let lists = store.lists.load(Ordering::Relaxed) - before;
    assert!(lists as u32 <= FLUSHES + FLUSHES / 8 + 4, "{lists} listings for {FLUSHES} flushes");
    let objects = store.inner.list(None).map(|object| object.unwrap().location);
    let manifests = objects.filter(|path| std::future::ready(path.as_ref().contains("manifest-"))).count().await;
    assert!(manifests <= small_config().manifests_kept + 9, "{manifests} manifests are left");
}

/// Blocks come from the local disk again; at its start a page server reads no more than manifests and the ends of layers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_restart_the_cache_is_warm() {
    let (log, store) = (MemoryLog::new(1_000), Arc::new(Watched::default()));
    let directory = tempfile::tempdir().unwrap();
    let disk = Some(DiskCacheConfig { directory: directory.path().to_owned(), bytes: 64 << 20 });
    let config = || Config { cache: CacheConfig { memory_bytes: 64 << 20, disk: disk.clone() }, ..config() };
    let server = start_with(config(), &log, &store).await;
    let changes: Vec<(Key, Option<Bytes>)> = (0..ROWS).map(|number| (key(number), Some(row(number)))).collect();
    let lsn = log.commit(changes, vec![]);
    server.service().get(GetRequest { lsn, keys: vec![] }).await.unwrap();
    server.flush().await.unwrap();
    // A get reads blocks one by one, a scan many together.
    let (by_get, by_scan) = ((0..ROWS / 2).step_by(50), ROWS / 2..ROWS);
    let get = GetRequest { lsn, keys: by_get.map(key).collect() };
    let request = ScanRequest {
        lsn,
        ranges: vec![KeyRange { start: key(by_scan.start), end: key(by_scan.end) }],
        direction: Direction::Forward,
        limit: None,
        output: ScanOutput::Rows,
        bounds: Vec::new(),
        batch_rows: 100,
    };
    let expected = server.service().get(get.clone()).await.unwrap();
    assert!(expected.iter().all(Option::is_some));
    let (keys, requests) = scan(&store, &server, &log, request.clone()).await;
    assert!(keys.len() as u32 == ROWS / 2 && requests > 0);
    server.shutdown().await.unwrap();
    log.trim();

    let server = start_with(config(), &log, &store).await;
    assert_eq!(server.service().get(get).await.unwrap(), expected);
    assert_eq!(
        scan(&store, &server, &log, request).await,
        (keys, 0),
        "blocks were asked for that are on the local disk"
    );
    server.shutdown().await.unwrap();
}
