//! A page server under test with everything that it should have: steps that change it or its surroundings, and steps
//! that read and compare with the reference.

use super::faults::FaultyStore;
use super::log::{LogHandle, MemoryLog};
use super::model::{Model, check_scan};
use super::{key, output_of, row};
use bytes::Bytes;
use common::branch_points::{BranchPoints, POINTS_KEY};
use common::cluster_map::{ClusterMap, MAP_KEY, MapChange};
use common::id::{ColumnId, CounterId, IndexId, Lsn, TableId};
use common::key::{Key, KeyRange, index_prefix};
use common::physical::PhysicalValue;
use common::service::page::{BulkFinished, ColumnBound, Direction, GetRequest, PageError, ScanOutput, ScanRequest};
use common::service::wal::CounterBump;
use object_store::ObjectStore;
use pageserver::{Config, PageServer, StoredState};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

pub const KEYS: u32 = 60;
const MINUTE_US: u64 = 60_000_000;
/// With a minute per transaction and an hour of retention.
const RETAINED: u64 = 60;
const BRANCH_POINTS_MAX: usize = 8;

#[derive(Debug, Clone)]
pub enum Step {
    Commit(Vec<(u32, Option<u32>)>),
    /// Rows that go to the store ahead of their commit, in so many interleaved parts, and what else the commit writes.
    Bulk {
        rows: Vec<(u32, u32)>,
        others: Vec<(u32, Option<u32>)>,
        parts: usize,
        fate: BulkFate,
    },
    Flush,
    Compact,
    Restart,
    /// The process dies: nothing is flushed.
    Crash,
    /// The process dies after so many changes of the store, in a flush or in compaction.
    CrashInFlush(u8),
    CrashInCompaction(u8),
    /// The process dies in a flush, and the log is gone: what is left is the last complete cut.
    LoseLog(u8),
    /// The tablet that has this key is split there.
    Split(u32),
    /// The tablet that has this key is merged with its neighbour.
    Merge(u32),
    /// A branch point at the LSN of its own transaction, or so far back from the one before.
    Branch(Option<u8>),
    /// One of the branch points goes.
    DropBranch(u8),
    /// Everything is read as one of the branch points sees it.
    ReadBranch {
        point: u8,
        output: u8,
        batch_rows: usize,
    },
    Get {
        keys: Vec<u32>,
        back: u64,
    },
    /// The newest versions of keys, tombstones included.
    Newest(Vec<u32>),
    Scan {
        from: u32,
        to: Option<u32>,
        more: Option<(u32, u32)>,
        backward: bool,
        limit: Option<u64>,
        output: u8,
        bound: Option<(i64, i64)>,
        batch_rows: usize,
        back: u64,
    },
}

/// What happens between the layers and their commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BulkFate {
    Commit,
    /// The process dies in between: the next one opens the layers.
    CrashThenCommit,
    GiveUp,
}

pub struct World {
    config: Config,
    log: Arc<MemoryLog>,
    store: Arc<FaultyStore>,
    server: Option<PageServer>,
    model: Model,
    /// Values of the counter, by the LSN that set it.
    counter: BTreeMap<u64, u64>,
    /// The newest LSN there ever was, lost ones included.
    highest: u64,
}

impl World {
    pub fn new(config: Config, store: Arc<FaultyStore>) -> World {
        World {
            config,
            log: MemoryLog::new(MINUTE_US),
            store,
            server: None,
            model: Model::default(),
            counter: BTreeMap::new(),
            highest: 0,
        }
    }

    pub async fn start(&mut self) {
        let store: Arc<dyn ObjectStore> = self.store.clone();
        self.server =
            Some(pageserver::start(self.config.clone(), Arc::new(LogHandle(self.log.clone())), store).await.unwrap());
    }

    fn server(&self) -> &PageServer {
        self.server.as_ref().unwrap()
    }

    /// Refusing an old snapshot is right only where retention allows it.
    fn check_refusal(&self, at: Lsn, error: PageError) {
        assert!(!self.branch_points().lsns().contains(&at), "a branch point: {at}, {error}");
        match error {
            PageError::TooOld { .. } => assert!(at.0 + RETAINED <= self.highest, "refused too early: {at}"),
            error => panic!("{error}"),
        }
    }

    pub async fn run(&mut self, step: &Step) {
        match step {
            Step::Commit(changes) => {
                let changes: BTreeMap<Key, Option<Bytes>> =
                    changes.iter().map(|(number, seed)| (key(*number), seed.map(row))).collect();
                let changes: Vec<_> = changes.into_iter().collect();
                let bump = CounterBump { counter: CounterId(3), next: self.log.newest().0, reset: false };
                let lsn = self.log.commit(changes.clone(), vec![bump]);
                self.counter.insert(lsn.0, bump.next);
                self.model.commit(lsn, &changes);
                self.highest = self.highest.max(lsn.0);
            }
            Step::Bulk { rows, others, parts, fate } => self.bulk(rows, others, *parts, *fate).await,
            Step::Flush => {
                self.wait_applied().await;
                let durable = self.server().flush().await.unwrap();
                assert_eq!(durable, self.log.newest());
                assert_eq!(self.log.reported(), durable);
                self.log.trim();
            }
            Step::Compact => {
                self.server().compact().await.unwrap();
            }
            Step::Restart => {
                self.wait_applied().await;
                let durable = self.server.take().unwrap().shutdown().await.unwrap();
                assert_eq!(durable, self.log.newest());
                let stored = pageserver::stored_state(self.store.clone()).await.unwrap();
                assert_eq!((stored.durable, stored.newest), (durable, durable));
                self.check_stored(&stored);
                self.start().await;
            }
            Step::Crash => {
                self.die();
                self.start().await;
            }
            Step::CrashInFlush(changes) => {
                self.die_in_flush(*changes).await;
                self.start().await;
            }
            Step::CrashInCompaction(changes) => {
                self.store.changes_left.store(i64::from(*changes), Ordering::Relaxed);
                // An error is what a crash comes to.
                let _ = self.server().compact().await;
                self.die();
                self.start().await;
            }
            Step::LoseLog(changes) => {
                self.die_in_flush(*changes).await;
                let before = pageserver::stored_state(self.store.clone()).await.unwrap();
                let stored = pageserver::recover(self.store.clone()).await.unwrap();
                assert_eq!((stored.durable, stored.newest), (before.durable, before.durable));
                assert_eq!(pageserver::stored_state(self.store.clone()).await.unwrap(), stored);
                self.counter.retain(|lsn, _| *lsn <= stored.durable.0);
                self.model.truncate(stored.durable);
                self.check_stored(&stored);
                self.log = MemoryLog::beginning_at(stored.durable, stored.map, MINUTE_US);
                self.start().await;
            }
            Step::Split(number) => {
                let (map, at) = (self.log.map(), key(*number));
                self.change_map(MapChange::Split { tablet: map.tablet_of(&at), at });
            }
            Step::Merge(number) => {
                let map = self.log.map();
                let right = map.tablet_of(&key(*number));
                let Some(left) = map.tablets().take_while(|tablet| *tablet != right).last() else { return };
                // Tablets are merged when they share nothing.
                self.wait_applied().await;
                self.server().flush().await.unwrap();
                self.server().compact().await.unwrap();
                assert!(self.server().is_clean(left) && self.server().is_clean(right));
                self.change_map(MapChange::Merge { left, right });
            }
            Step::Branch(back) => self.branch(*back),
            Step::DropBranch(point) => {
                let mut points = self.branch_points();
                let Some(name) = nth(&points, *point).map(|(name, _)| name.to_owned()) else { return };
                points.remove(&name);
                self.change_branch_points(&points);
            }
            Step::ReadBranch { point, output, batch_rows } => {
                // A page server that has not come to the point yet may not keep it yet.
                self.wait_applied().await;
                let points = self.branch_points();
                let Some((_, lsn)) = nth(&points, *point) else { return };
                self.check_everything(lsn, output_of(*output), *batch_rows).await;
            }
            Step::Get { keys, back } => self.check_get(keys, *back).await,
            Step::Newest(keys) => self.check_newest(keys).await,
            Step::Scan { from, to, more, backward, limit, output, bound, batch_rows, back } => {
                let mut ranges = vec![range(*from, *to)];
                ranges.extend(more.map(|(from, to)| range(from, Some(to))));
                ranges.sort_by(|a, b| a.start.cmp(&b.start));
                ranges.retain(|range| !range.is_empty());
                if ranges.len() == 2 && (ranges[0].end.is_empty() || ranges[0].end > ranges[1].start) {
                    ranges.pop();
                }
                let bounds = bound.map(|(min, width)| ColumnBound {
                    column: ColumnId(0),
                    min: Some(PhysicalValue::Int64(min)),
                    max: Some(PhysicalValue::Int64(min + width)),
                });
                let output = output_of(*output);
                let request = ScanRequest {
                    lsn: Lsn(self.log.newest().0.saturating_sub(*back)),
                    ranges,
                    direction: if *backward { Direction::Backward } else { Direction::Forward },
                    limit: limit.filter(|_| !matches!(output, ScanOutput::Aggregates(_))),
                    output,
                    bounds: bounds.into_iter().collect(),
                    batch_rows: *batch_rows,
                };
                let service = self.server().service();
                if let Err(error) = check_scan(&*service, &self.model, &request).await {
                    self.check_refusal(request.lsn, error);
                }
            }
        }
    }

    /// Everything there is, now.
    pub async fn check_all(&self) {
        let every: Vec<u32> = (0..KEYS).collect();
        self.check_get(&every, 0).await;
        self.check_newest(&every).await;
        self.check_everything(self.log.newest(), output_of(0), 7).await;
        for (_, lsn) in self.branch_points().iter() {
            self.check_everything(lsn, output_of(0), 7).await;
        }
    }

    /// All rows there are at `lsn`; no refusal.
    async fn check_everything(&self, lsn: Lsn, output: ScanOutput, batch_rows: usize) {
        // The map and the branch points are rows without columns.
        let of_tables =
            KeyRange { start: Bytes::copy_from_slice(&index_prefix(TableId(1), IndexId(0))), end: Bytes::new() };
        let request = ScanRequest {
            lsn,
            ranges: vec![if output == ScanOutput::Rows { KeyRange::all() } else { of_tables }],
            direction: Direction::Forward,
            limit: None,
            output,
            bounds: Vec::new(),
            batch_rows,
        };
        check_scan(&*self.server().service(), &self.model, &request).await.unwrap();
    }

    fn branch_points(&self) -> BranchPoints {
        let row = self.model.get(&POINTS_KEY, self.log.newest()).map(|version| version.row);
        BranchPoints::decode(row.as_deref()).unwrap()
    }

    fn branch(&mut self, back: Option<u8>) {
        let (mut points, newest) = (self.branch_points(), self.log.newest());
        if points.iter().count() >= BRANCH_POINTS_MAX {
            return;
        }
        // Not further back from its transaction than everything is kept.
        let lsn = back.map_or(newest.next(), |back| Lsn(newest.0.saturating_sub(u64::from(back) % RETAINED)));
        points.insert(&format!("{lsn} by {newest}"), lsn).unwrap();
        self.change_branch_points(&points);
    }

    fn change_branch_points(&mut self, points: &BranchPoints) {
        let changes = vec![(POINTS_KEY, Some(points.encode()))];
        let lsn = self.log.commit(changes.clone(), Vec::new());
        self.model.commit(lsn, &changes);
        self.highest = self.highest.max(lsn.0);
    }

    async fn bulk(&mut self, rows: &[(u32, u32)], others: &[(u32, Option<u32>)], parts: usize, fate: BulkFate) {
        // Some are deletions, also of what was never there.
        let rows: BTreeMap<Key, Option<Bytes>> =
            rows.iter().map(|(number, seed)| (key(*number), (seed % 4 > 0).then(|| row(*seed)))).collect();
        let service = self.server().service();
        let mut layers = Vec::new();
        for part in 0..parts {
            let part = rows.iter().enumerate().filter(|(at, _)| at % parts == part).map(|(_, (key, row))| (key, row));
            let part = part.map(|(key, row)| (key.clone(), row.clone())).collect();
            layers.extend(service.bulk_write(part).await.unwrap());
        }
        let BulkFinished::Ready(layers) = service.bulk_finish(layers).await.unwrap() else { panic!("no key is twice") };
        assert!(layers.windows(2).all(|pair| pair[0].last < pair[1].first), "{layers:?}");
        assert_eq!(layers.iter().map(|layer| layer.rows).sum::<u64>(), rows.len() as u64);
        let deletions = rows.values().filter(|row| row.is_none()).count();
        assert_eq!(layers.iter().map(|layer| layer.tombstones).sum::<u64>(), deletions as u64);
        drop(service);
        match fate {
            BulkFate::Commit => {}
            BulkFate::CrashThenCommit => {
                self.die();
                self.start().await;
                let refused = self.server().service().bulk_finish(layers.clone()).await;
                assert!(matches!(refused, Err(PageError::BadRequest(_))), "{refused:?}");
            }
            BulkFate::GiveUp => return,
        }
        let others: BTreeMap<Key, Option<Bytes>> =
            others.iter().map(|(number, seed)| (key(*number), seed.map(row))).collect();
        let mut changes: Vec<_> = others.into_iter().filter(|(key, _)| !rows.contains_key(key)).collect();
        let records = layers.iter().map(|layer| layer.record()).map(|record| (record.key, record.row));
        let lsn = self.log.commit(changes.iter().cloned().chain(records).collect(), Vec::new());
        changes.extend(rows);
        self.model.commit(lsn, &changes);
        self.highest = self.highest.max(lsn.0);
    }

    fn change_map(&mut self, change: MapChange) {
        let Some(map) = self.log.map().changed(&change) else { return };
        let changes = vec![(MAP_KEY, Some(map.encode()))];
        let lsn = self.log.commit(changes.clone(), Vec::new());
        self.model.commit(lsn, &changes);
        self.highest = self.highest.max(lsn.0);
    }

    /// What the store says of counters and tablets is what was at its LSN.
    fn check_stored(&self, stored: &StoredState) {
        let counters: Vec<u64> = stored.counters.iter().map(|bump| bump.next).collect();
        let wanted: Vec<u64> =
            self.counter.range(..=stored.durable.0).next_back().map(|(_, next)| *next).into_iter().collect();
        assert_eq!(counters, wanted);
        let row = self.model.get(&MAP_KEY, stored.durable).map(|version| version.row);
        let map = row.map_or_else(ClusterMap::default, |row| ClusterMap::decode(&row).unwrap());
        assert!(stored.map.ranges().eq(map.ranges()), "{:?} is not {map:?}", stored.map);
    }

    async fn die_in_flush(&mut self, changes: u8) {
        self.wait_applied().await;
        self.store.changes_left.store(i64::from(changes), Ordering::Relaxed);
        // An error is what a crash comes to.
        let _ = self.server().flush().await;
        self.die();
    }

    fn die(&mut self) {
        drop(self.server.take());
        self.store = self.store.successor();
    }

    async fn wait_applied(&self) {
        let lsn = self.log.newest();
        self.server().service().get(GetRequest { lsn, keys: vec![] }).await.unwrap();
    }

    async fn check_get(&self, keys: &[u32], back: u64) {
        let lsn = Lsn(self.log.newest().0.saturating_sub(back));
        let keys: Vec<Key> = keys.iter().map(|number| key(*number)).collect();
        let service = self.server().service();
        match service.get(GetRequest { lsn, keys: keys.clone() }).await {
            Ok(found) => {
                let wanted: Vec<_> = keys.iter().map(|key| self.model.get(key, lsn)).collect();
                assert_eq!(found, wanted, "at {lsn}");
            }
            Err(error) => self.check_refusal(lsn, error),
        }
    }

    async fn check_newest(&self, keys: &[u32]) {
        self.wait_applied().await;
        let keys: Vec<Key> = keys.iter().map(|number| key(*number)).collect();
        let newest = self.server().service().newest_versions(keys.clone(), Lsn::ZERO).await.unwrap();
        for (key, newest) in keys.iter().zip(newest) {
            match self.model.newest(key) {
                // A dropped tombstone leaves an upper bound behind.
                Some((lsn, false)) => assert!(newest >= lsn && newest <= self.log.newest(), "{newest} for {lsn}"),
                Some((lsn, true)) => assert_eq!(newest, lsn),
                None => assert!(newest.0 + RETAINED <= self.highest || newest == Lsn::ZERO),
            }
        }
    }
}

fn nth(points: &BranchPoints, number: u8) -> Option<(&str, Lsn)> {
    points.iter().cycle().nth(usize::from(number) % BRANCH_POINTS_MAX)
}

fn range(from: u32, to: Option<u32>) -> KeyRange {
    let (start, end) = (key(from), to.map(key).unwrap_or_default());
    if end.is_empty() || start <= end { KeyRange { start, end } } else { KeyRange { start: end, end: start } }
}
