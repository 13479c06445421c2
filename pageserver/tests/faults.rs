//! Random operations against a model, on an object store that fails 5 % of the requests (half of them after having done
//! what was asked), answers some 10 s late, and truncates bodies: no wrong answer, no lost write, and in the end nothing
//! that `drumlin doctor` has to report.
//!
//! A short run with short delays by default. `DRUMLIN_FAULT_SECONDS=1200` runs for so long, with the delays of the issue;
//! `DRUMLIN_FAULT_SEED` repeats a run's choices.

mod support;

use common::cluster_map::{MAP_KEY, MapChange};
use common::env::Random;
use common::env::retry::RetryPolicy;
use common::id::Lsn;
use common::key::{Key, KeyRange};
use common::service::page::{Direction, GetRequest, PageError, ScanRequest};
use object_store::ObjectStore;
use pageserver::doctor::{self, DoctorOptions, Report};
use pageserver::{Config, PageServer};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use support::faults::FaultyStore;
use support::log::{LogHandle, MemoryLog};
use support::model::{Model, check_scan};
use support::{key, output_of, row, small_config};

const KEYS: u64 = 150;
/// Of the short run.
const STEPS: u64 = 400;

/// Rounds of compaction after which nothing may lie on the store that nobody names.
const ROUNDS_TO_REST: usize = 10;

struct World {
    log: Arc<MemoryLog>,
    store: Arc<FaultyStore>,
    server: Option<PageServer>,
    model: Model,
    config: Config,
    random: Random,
    /// What was done, by kind.
    done: BTreeMap<&'static str, u64>,
}

impl World {
    async fn start(&mut self) {
        let (wal, store): (_, Arc<dyn ObjectStore>) = (Arc::new(LogHandle(self.log.clone())), self.store.clone());
        let started = pageserver::start(self.config.clone(), wal, store).await;
        self.server = Some(started.unwrap_or_else(|error| panic!("start: {error}")));
    }

    fn server(&self) -> &PageServer {
        self.server.as_ref().expect("a server runs")
    }

    fn some_key(&self) -> Key {
        key(self.random.below(KEYS) as u32)
    }

    async fn step(&mut self) {
        let kind = match self.random.below(100) {
            0..40 => self.commit(),
            40..60 => self.get().await,
            60..80 => self.scan().await,
            80..88 => self.flush().await,
            88..94 => self.compact().await,
            94..95 => self.restart().await,
            95..96 => self.crash().await,
            96..99 => self.split(),
            _ => self.merge().await,
        };
        *self.done.entry(kind).or_default() += 1;
    }

    fn commit(&mut self) -> &'static str {
        let count = 1 + self.random.below(20);
        let changes: BTreeMap<Key, _> = (0..count)
            .map(|_| (self.some_key(), (self.random.below(5) > 0).then(|| row(self.random.below(10_000) as u32))))
            .collect();
        let changes: Vec<_> = changes.into_iter().collect();
        let lsn = self.log.commit(changes.clone(), Vec::new());
        self.model.commit(lsn, &changes);
        "commits"
    }

    /// A snapshot a little back; all of them are within the retention.
    fn some_lsn(&self) -> Lsn {
        Lsn(self.log.newest().0.saturating_sub(self.random.below(20)))
    }

    async fn get(&self) -> &'static str {
        let keys: Vec<Key> = (0..1 + self.random.below(15)).map(|_| self.some_key()).collect();
        let lsn = self.some_lsn();
        let found = self.server().service().get(GetRequest { lsn, keys: keys.clone() }).await;
        let found = found.unwrap_or_else(|error| panic!("get at {lsn}: {error}"));
        assert_eq!(found, keys.iter().map(|key| self.model.get(key, lsn)).collect::<Vec<_>>(), "at {lsn}");
        "gets"
    }

    async fn scan(&self) -> &'static str {
        let (one, other) = (self.some_key(), self.some_key());
        let range = match self.random.below(4) {
            0 => KeyRange { start: one, end: Key::new() },
            _ => KeyRange { start: one.clone().min(other.clone()), end: one.max(other) },
        };
        if range.is_empty() {
            return "scans";
        }
        let request = ScanRequest {
            lsn: self.some_lsn(),
            ranges: vec![range],
            direction: if self.random.below(2) == 0 { Direction::Forward } else { Direction::Backward },
            limit: (self.random.below(3) == 0).then(|| self.random.below(30)),
            output: output_of(self.random.below(4) as u8),
            bounds: Vec::new(),
            batch_rows: 1 + self.random.below(40) as usize,
        };
        let outcome = check_scan(&*self.server().service(), &self.model, &request).await;
        outcome.unwrap_or_else(|error| panic!("scan {request:?}: {error}"));
        "scans"
    }

    async fn wait_applied(&self) {
        let lsn = self.log.newest();
        self.server().service().get(GetRequest { lsn, keys: Vec::new() }).await.expect("the log is applied");
    }

    async fn flush(&self) -> &'static str {
        self.wait_applied().await;
        assert_eq!(self.server().flush().await, Ok(self.log.newest()));
        self.log.trim();
        "flushes"
    }

    async fn compact(&self) -> &'static str {
        self.server().compact().await.expect("compact");
        "compactions"
    }

    async fn restart(&mut self) -> &'static str {
        self.wait_applied().await;
        let server = self.server.take().expect("a server runs");
        assert_eq!(server.shutdown().await, Ok(self.log.newest()));
        self.start().await;
        "restarts"
    }

    /// What the process had on its way to the store still arrives, after others have taken its place.
    async fn crash(&mut self) -> &'static str {
        drop(self.server.take());
        self.start().await;
        "crashes"
    }

    fn change_map(&mut self, change: &MapChange) {
        let Some(map) = self.log.map().changed(change) else { return };
        let changes = vec![(MAP_KEY, Some(map.encode()))];
        let lsn = self.log.commit(changes.clone(), Vec::new());
        self.model.commit(lsn, &changes);
    }

    fn split(&mut self) -> &'static str {
        let (map, at) = (self.log.map(), self.some_key());
        if map.tablets().count() < 5 {
            self.change_map(&MapChange::Split { tablet: map.tablet_of(&at), at });
        }
        "splits"
    }

    async fn merge(&mut self) -> &'static str {
        let map = self.log.map();
        let right = map.tablet_of(&self.some_key());
        let Some(left) = map.tablets().take_while(|tablet| *tablet != right).last() else { return "merges" };
        self.flush().await;
        self.compact().await;
        if self.server().is_clean(left) && self.server().is_clean(right) {
            self.change_map(&MapChange::Merge { left, right });
        }
        "merges"
    }

    /// Everything is there, and nothing else.
    async fn finish(mut self) -> Report {
        self.restart().await;
        self.store.calm();
        self.store.settle().await;
        let lsn = self.log.newest();
        let keys: Vec<Key> = (0..KEYS as u32).map(key).collect();
        let found = self.server().service().get(GetRequest { lsn, keys: keys.clone() }).await.expect("get");
        assert_eq!(found, keys.iter().map(|key| self.model.get(key, lsn)).collect::<Vec<_>>());
        self.flush().await;
        // What nobody names is seen once, and deleted when it is seen again; a worker may have compacted in between.
        for _ in 0..ROUNDS_TO_REST {
            self.compact().await;
            if examine(&self.store).await.leaks.is_empty() {
                break;
            }
        }
        self.server.take().expect("a server runs").shutdown().await.expect("shutdown");
        examine(&self.store).await
    }
}

async fn examine(store: &Arc<FaultyStore>) -> Report {
    let options = DoctorOptions { grace: Duration::ZERO, now_us: u64::MAX };
    doctor::examine(store.clone(), options, Arc::default()).await.expect("the store can be examined")
}

#[test]
fn no_fault_of_the_store_is_seen_from_outside() {
    let seconds = std::env::var("DRUMLIN_FAULT_SECONDS").ok().and_then(|seconds| seconds.parse::<u64>().ok());
    let seed = std::env::var("DRUMLIN_FAULT_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(run(seed, seconds.map(Duration::from_secs)));
}

async fn run(seed: u64, time: Option<Duration>) {
    let store = FaultyStore::new(seed);
    store.failures_per_mille.store(25, Ordering::Relaxed);
    store.truncations_per_mille.store(20, Ordering::Relaxed);
    store.delays_per_mille.store(10, Ordering::Relaxed);
    let mut config = small_config();
    config.read_wait_max = Duration::from_secs(600);
    match time {
        Some(_) => store.delay_ms.store(10_000, Ordering::Relaxed),
        None => {
            // A fraction of the real times, and yet more than a busy machine takes for a request.
            store.delay_ms.store(500, Ordering::Relaxed);
            let (attempt, wait_first) = (Duration::from_millis(250), Duration::from_millis(1));
            config.requests = RetryPolicy { attempt, wait_first, ..RetryPolicy::default() };
        }
    }
    let mut world = World {
        log: MemoryLog::new(1_000),
        store,
        server: None,
        model: Model::default(),
        config,
        random: Random::seeded(seed),
        done: BTreeMap::new(),
    };
    println!("DRUMLIN_FAULT_SEED={seed}");
    world.start().await;
    let (begun, mut steps) = (Instant::now(), 0);
    while time.map_or(steps < STEPS, |time| begun.elapsed() < time) {
        world.step().await;
        steps += 1;
    }
    println!("{steps} steps in {:.0} s: {:?}", begun.elapsed().as_secs_f64(), world.done);
    let report = world.finish().await;
    println!("{} objects, {} layers, {} blocks", report.objects, report.layers, report.blocks);
    assert_eq!((report.damage, report.leaks, report.leaks_unknown), (Vec::new(), Vec::new(), false));
}

/// Both believe that they own the tablets, and race for every manifest: each LSN is published by one of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_owners_one_publishes() {
    for seed in 0..20 {
        let store = FaultyStore::new(seed);
        store.failures_per_mille.store(50, Ordering::Relaxed);
        let log = MemoryLog::new(1_000);
        let start = || async {
            let (wal, store): (_, Arc<dyn ObjectStore>) = (Arc::new(LogHandle(log.clone())), store.clone());
            pageserver::start(small_config(), wal, store).await.unwrap()
        };
        // At the same time: the later manifest has the tablets, and the other one does not know.
        let (one, other) = tokio::join!(start(), start());
        let mut model = Model::default();
        let changes: Vec<_> =
            BTreeMap::from_iter((0..40).map(|number| (key(number), Some(row(number))))).into_iter().collect();
        let lsn = log.commit(changes.clone(), Vec::new());
        model.commit(lsn, &changes);
        for server in [&one, &other] {
            // The one that is no longer the owner may have found out by now, and refuses.
            let _ = server.service().get(GetRequest { lsn, keys: Vec::new() }).await;
        }
        let (flushed_one, flushed_other) = tokio::join!(one.flush(), other.flush());
        let refused = |outcome: &Result<Lsn, PageError>| matches!(outcome, Err(PageError::Unavailable(_)));
        let outcomes = [flushed_one, flushed_other];
        assert_eq!(outcomes.iter().filter(|outcome| **outcome == Ok(lsn)).count(), 1, "seed {seed}: {outcomes:?}");
        assert_eq!(outcomes.iter().filter(|outcome| refused(outcome)).count(), 1, "seed {seed}: {outcomes:?}");
        drop((one, other));
        let after = start().await;
        let keys: Vec<Key> = (0..40).map(key).collect();
        let found = after.service().get(GetRequest { lsn, keys: keys.clone() }).await.unwrap();
        assert_eq!(found, keys.iter().map(|key| model.get(key, lsn)).collect::<Vec<_>>());
    }
}
