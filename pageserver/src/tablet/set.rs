//! The tablets of a page server, and what they share: how far the log is applied, counters, time, and the cuts on their
//! way to the store.
//!
//! A cut is one LSN at which the memtables of all tablets are set aside together. Cuts are flushed in order, and each is
//! complete when the manifest of the first tablet says so: that manifest names the map and an LSN up to which every
//! tablet is in layers. So the store alone always holds one state of the whole database.
//!
//! Invariants
//! - Readers take their snapshots while no map change can come between (`set` is locked), so that each key is in exactly
//!   one of them.
//! - `applied` is raised after the changes are in the memtables.

use super::change::{self, Change};
use super::retention::TimeLine;
use super::{Frozen, Snapshot, Tablet};
use crate::bulk::Waiting;
use crate::ingest::apply::StreamError;
use crate::layer::Layer;
use crate::layer::reader::LayerSource;
use crate::manifest::Kept;
use common::branch_points::{BranchPoints, POINTS_KEY};
use common::bulk::is_record;
use common::cluster_map::{ClusterMap, MAP_KEY};
use common::id::{CounterId, Lsn, TabletId};
use common::key::{Key, KeyRange};
use common::service::page::PageError;
use common::service::wal::Transaction;
use parking_lot::{Mutex, RwLock};
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::watch;

/// The tablets by one map. Replaced whole.
pub struct TabletSet {
    pub map: ClusterMap,
    /// The map's transaction, or an LSN by which it was in force.
    pub map_lsn: Lsn,
    /// In key order, as in the map.
    pub tablets: Vec<Arc<Tablet>>,
    ranges: Vec<KeyRange>,
    places: HashMap<TabletId, usize>,
}

/// Where all tablets were set aside together.
pub struct Cut {
    pub up_to: Lsn,
    pub time_us: u64,
    pub counters: Vec<(CounterId, u64)>,
    /// The branch points at `up_to`.
    pub points: Vec<Lsn>,
    pub frozen: Vec<(Arc<Tablet>, Arc<Frozen>)>,
    /// The tablets from here on.
    pub set: Arc<TabletSet>,
    /// Bulk layers that came with the transaction at the cut, and the tablets that have keys of them.
    pub attached: Vec<(Arc<Tablet>, Arc<Layer>)>,
    /// How the tablets came of those before.
    pub change: Option<Change>,
}

/// What a cut has of one tablet.
pub struct CutPart<'c> {
    pub tablet: &'c Arc<Tablet>,
    pub frozen: Option<&'c Arc<Frozen>>,
    pub attached: Vec<Arc<Layer>>,
}

impl Cut {
    /// By tablet.
    pub fn parts(&self) -> Vec<CutPart<'_>> {
        let frozen = self.frozen.iter().map(|(tablet, frozen)| (tablet, Some(frozen), None));
        let attached = self.attached.iter().map(|(tablet, layer)| (tablet, None, Some(layer)));
        let mut parts: BTreeMap<TabletId, CutPart<'_>> = BTreeMap::new();
        for (tablet, frozen, layer) in frozen.chain(attached) {
            let part = parts.entry(tablet.id).or_insert_with(|| CutPart { tablet, frozen: None, attached: Vec::new() });
            part.frozen = part.frozen.or(frozen);
            part.attached.extend(layer.cloned());
        }
        parts.into_values().collect()
    }
}

/// Where to look for keys.
pub enum KeySnapshots {
    /// All of them here: the common case, which should cost nothing.
    One(Arc<Snapshot>),
    /// Each with the places of its keys.
    Several(Vec<(Arc<Snapshot>, Vec<usize>)>),
}

pub struct Tablets {
    pub source: LayerSource,
    /// Bulk layers that are not committed yet.
    pub bulk: Waiting,
    set: RwLock<Arc<TabletSet>>,
    applied: watch::Sender<Lsn>,
    /// Everything up to here is in layers, of all tablets.
    cut: AtomicU64,
    /// Guards what the log receiver knows beyond the memtables; also taken for a cut, so that it falls between
    /// transactions.
    head: Mutex<Head>,
    fenced: Arc<OnceLock<String>>,
}

struct Head {
    counters: BTreeMap<CounterId, u64>,
    /// The branch points, ascending.
    points: Vec<Lsn>,
    time_line: TimeLine,
    time_us: u64,
    /// Whether anything was applied since the last cut.
    dirty: bool,
    /// Oldest first.
    cuts: VecDeque<Arc<Cut>>,
}

/// What the store holds beside the tablets.
pub struct Beginning {
    /// Everything up to here is in layers.
    pub cut: Lsn,
    pub time_us: u64,
    pub counters: Vec<(CounterId, u64)>,
    pub points: Vec<Lsn>,
}

impl TabletSet {
    /// `tablets` has one for each of the map.
    pub fn new(map: ClusterMap, map_lsn: Lsn, mut tablets: HashMap<TabletId, Arc<Tablet>>) -> TabletSet {
        let (ids, ranges): (Vec<TabletId>, Vec<KeyRange>) = map.ranges().unzip();
        let take = |id: &TabletId| tablets.remove(id).expect("there is a tablet for each of the map");
        let tablets = ids.iter().map(take).collect();
        let places = ids.into_iter().zip(0..).collect();
        TabletSet { map, map_lsn, tablets, ranges, places }
    }

    /// The tablet whose manifest completes a cut.
    pub fn first(&self) -> &Arc<Tablet> {
        &self.tablets[0]
    }

    fn place_of(&self, key: &[u8]) -> usize {
        self.ranges.partition_point(|range| &range.start[..] <= key).saturating_sub(1)
    }

    /// The tablet that has `key`, and its keys.
    pub fn place_and_range(&self, key: &[u8]) -> (usize, KeyRange) {
        let place = self.place_of(key);
        (place, self.ranges[place].clone())
    }

    pub fn by_id(&self, id: TabletId) -> Option<&Arc<Tablet>> {
        Some(&self.tablets[*self.places.get(&id)?])
    }
}

impl Tablets {
    pub fn new(source: LayerSource, set: TabletSet, begin: Beginning, fenced: Arc<OnceLock<String>>) -> Tablets {
        let Beginning { cut, time_us, counters, points } = begin;
        let head = Head {
            counters: counters.into_iter().collect(),
            points,
            time_line: TimeLine::default(),
            time_us,
            dirty: false,
            cuts: VecDeque::new(),
        };
        Tablets {
            source,
            bulk: Waiting::default(),
            set: RwLock::new(Arc::new(set)),
            applied: watch::Sender::new(cut),
            cut: AtomicU64::new(cut.0),
            head: Mutex::new(head),
            fenced,
        }
    }

    pub fn set(&self) -> Arc<TabletSet> {
        self.set.read().clone()
    }

    pub fn applied(&self) -> Lsn {
        *self.applied.borrow()
    }

    /// Everything up to here is in layers, of all tablets.
    pub fn durable(&self) -> Lsn {
        Lsn(self.cut.load(Ordering::Acquire))
    }

    /// Returns once `wanted` is applied, or says how far it came within `wait_max`.
    pub async fn wait_applied(&self, wanted: Lsn, wait_max: Duration) -> Result<(), PageError> {
        if self.applied() >= wanted {
            return Ok(());
        }
        let mut applied = self.applied.subscribe();
        let reached = applied.wait_for(|applied| *applied >= wanted);
        match tokio::time::timeout(wait_max, reached).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(PageError::Behind { wanted, applied: self.applied() }),
        }
    }

    /// The snapshots of the tablets that have `keys`.
    pub fn snapshots_of_keys(&self, keys: &[Key]) -> KeySnapshots {
        let set = self.set.read();
        let Some((first, others)) = keys.split_first() else { return KeySnapshots::Several(Vec::new()) };
        let only = set.place_of(first);
        if others.iter().all(|key| set.ranges[only].contains(key)) {
            return KeySnapshots::One(set.tablets[only].snapshot());
        }
        let mut by_tablet: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (place, key) in keys.iter().enumerate() {
            by_tablet.entry(set.place_of(key)).or_default().push(place);
        }
        let parts = by_tablet.into_iter().map(|(at, places)| (set.tablets[at].snapshot(), places));
        KeySnapshots::Several(parts.collect())
    }

    /// One snapshot for each tablet that `ranges` overlap, in key order, with the parts of the ranges that it has.
    /// `ranges` ascend and are disjoint.
    pub fn snapshots_of_ranges(&self, ranges: &[KeyRange]) -> Vec<(Arc<Snapshot>, Vec<KeyRange>)> {
        let set = self.set.read();
        let mut parts: Vec<(usize, Vec<KeyRange>)> = Vec::new();
        for range in ranges.iter().filter(|range| !range.is_empty()) {
            let overlapping = (set.place_of(&range.start)..set.ranges.len())
                .take_while(|at| range.end.is_empty() || set.ranges[*at].start < range.end);
            for at in overlapping {
                let part = range.intersection(&set.ranges[at]);
                match parts.last_mut() {
                    Some((last, parts)) if *last == at => parts.push(part),
                    _ => parts.push((at, vec![part])),
                }
            }
        }
        parts.into_iter().map(|(at, parts)| (set.tablets[at].snapshot(), parts)).collect()
    }

    /// Whether a tablet lacks keys of `keys` that a bulk commit at `lsn` brings; what is in its layers it does not want.
    pub fn want(&self, keys: &KeyRange, lsn: Lsn) -> bool {
        self.set().tablets.iter().any(|tablet| tablet.wants(keys, lsn))
    }

    /// Whether a memtable has one of these keys, which has to be in a layer before a bulk layer can lie over it.
    pub fn hide(&self, keys: &KeyRange) -> bool {
        self.set().tablets.iter().any(|tablet| tablet.hides(keys))
    }

    /// Applies one transaction, with the layers that its bulk records name. Only the log receiver calls this, in the order of the log. An error leaves nothing of it
    /// applied.
    pub fn apply(&self, transaction: &Transaction, bulk: &[Arc<Layer>], time_us: u64) -> Result<(), StreamError> {
        let set = self.set();
        let mut head = self.head.lock();
        let mut concerned: Vec<TabletId> = Vec::new();
        let (mut map, mut points) = (None, None);
        for (tablet, mutation) in transaction.mutations.iter().filter(|(_, mutation)| !is_record(&mutation.key)) {
            let range = set.places.get(tablet).map(|place| &set.ranges[*place]);
            if !range.is_some_and(|range| range.contains(&mutation.key)) {
                return Err(StreamError::OtherMap { lsn: transaction.lsn, tablet: *tablet });
            }
            if concerned.last() != Some(tablet) && !concerned.contains(tablet) {
                concerned.push(*tablet);
            }
            if mutation.key == MAP_KEY {
                map = Some(change::read_map(&set, transaction.lsn, mutation.row.as_deref())?);
            }
            if mutation.key == POINTS_KEY {
                let read = BranchPoints::decode(mutation.row.as_deref());
                points = Some(read.map_err(|error| StreamError::BadPoints { lsn: transaction.lsn, error })?);
            }
        }
        for id in concerned {
            let changes = transaction.mutations.iter();
            let changes = changes.filter(|(tablet, mutation)| *tablet == id && !is_record(&mutation.key));
            let changes = changes.map(|(_, mutation)| (&mutation.key, &mutation.row));
            if let Some(tablet) = set.by_id(id) {
                tablet.apply(transaction.lsn, changes);
            }
        }
        if let Some(points) = points {
            head.points = points.lsns();
        }
        for bump in &transaction.counters {
            let next = head.counters.entry(bump.counter).or_insert(0);
            *next = if bump.reset { bump.next } else { bump.next.max(*next) };
        }
        head.time_us = head.time_us.max(time_us);
        head.time_line.note(time_us, transaction.lsn);
        head.dirty = true;
        if !bulk.is_empty() {
            // A cut of its own: the layers and what else the transaction wrote get to the store together.
            let attached = attach(&set, bulk, transaction.lsn);
            let frozen = freeze_all(&set, transaction.lsn);
            let cut = Cut { attached, frozen, ..head.cut(transaction.lsn, &set) };
            head.push_cut(cut);
        }
        if let Some((map, step)) = map {
            self.raise_applied(transaction.lsn);
            let frozen = freeze_all(&set, transaction.lsn);
            let mut current = self.set.write();
            let (next, change) = change::change(&set, map, transaction.lsn, &step, &self.fenced);
            let next = Arc::new(next);
            let cut = Cut { frozen, change: Some(change), ..head.cut(transaction.lsn, &next) };
            head.push_cut(cut);
            *current = next;
        }
        // At once, not after the batch: a cut may come before the next transaction.
        self.raise_applied(transaction.lsn);
        Ok(())
    }

    /// Everything up to `lsn` is applied, or was not for this page server.
    pub fn applied_up_to(&self, lsn: Lsn) {
        // Under the head's lock, so that a cut never names an LSN that a memtable lacks.
        let _head = self.head.lock();
        self.raise_applied(lsn);
    }

    fn raise_applied(&self, lsn: Lsn) {
        self.applied.send_if_modified(|applied| {
            let risen = lsn > *applied;
            *applied = lsn.max(*applied);
            risen
        });
    }

    /// Bytes of the largest active memtable, of all active ones, and of all memtables together.
    pub fn memtable_bytes(&self) -> (usize, usize, usize) {
        let (mut largest, mut active, mut frozen) = (0, 0, 0);
        // Tablets that came of a split share memtables.
        let mut seen = HashSet::new();
        for tablet in &self.set.read().tablets {
            let snapshot = tablet.snapshot();
            let bytes = snapshot.active.bytes();
            largest = largest.max(bytes);
            active += bytes;
            let new = snapshot.frozen.iter().filter(|frozen| seen.insert(Arc::as_ptr(&frozen.table)));
            frozen += new.map(|frozen| frozen.table.bytes()).sum::<usize>();
        }
        (largest, active, active + frozen)
    }

    /// Sets all active memtables aside for a flush, if anything was applied since the last time.
    pub fn cut(&self) {
        let mut head = self.head.lock();
        if head.dirty {
            let (set, up_to) = (self.set(), self.applied());
            let frozen = freeze_all(&set, up_to);
            let cut = Cut { frozen, ..head.cut(up_to, &set) };
            head.push_cut(cut);
        }
    }

    /// The cut to flush next.
    pub fn oldest_cut(&self) -> Option<Arc<Cut>> {
        self.head.lock().cuts.front().cloned()
    }

    /// The oldest cut is on the store.
    pub fn cut_flushed(&self, cut: &Arc<Cut>) {
        let mut head = self.head.lock();
        let oldest = head.cuts.pop_front();
        assert!(oldest.is_some_and(|oldest| Arc::ptr_eq(&oldest, cut)), "cuts are flushed in order");
        self.cut.store(cut.up_to.0, Ordering::Release);
    }

    /// Nothing was applied between the last cut and `up_to`, and the first tablet's manifest says so.
    pub fn durable_up_to(&self, up_to: Lsn) {
        self.cut.fetch_max(up_to.0, Ordering::AcqRel);
    }

    /// Time of the newest batch that was applied.
    pub fn time_us(&self) -> u64 {
        self.head.lock().time_us
    }

    /// The LSN below which versions may be dropped, for a retention of that length.
    pub fn retention_horizon(&self, retention: Duration) -> Lsn {
        let lsn = self.head.lock().time_line.horizon(retention);
        lsn.min(self.durable())
    }

    /// Tells the manifests of this process from those of any other.
    pub fn owner(&self) -> u128 {
        self.set.read().first().owner()
    }

    /// The branch points, ascending.
    pub fn points(&self) -> Vec<Lsn> {
        self.head.lock().points.clone()
    }

    /// Compaction is about to drop what is older than `horizon` of a tablet: from now on it cannot be read there, but at
    /// the branch points, which are returned. One that comes later is too late for what it would have to find below.
    pub fn keep(&self, tablet: &Tablet, horizon: Lsn) -> Vec<Lsn> {
        let head = self.head.lock();
        let readable = tablet.snapshot();
        let points: Vec<Lsn> = head.points.iter().copied().filter(|point| readable.kept.has(*point)).collect();
        tablet.keep(&Kept::new(horizon, &points));
        points
    }

    pub fn counters(&self) -> Vec<(CounterId, u64)> {
        self.head.lock().counters.iter().map(|(counter, next)| (*counter, *next)).collect()
    }

    /// An error once another process has taken a tablet over.
    pub fn check_owned(&self) -> Result<(), PageError> {
        match self.fenced.get() {
            None => Ok(()),
            Some(why) => Err(PageError::Unavailable(why.clone())),
        }
    }
}

fn freeze_all(set: &TabletSet, up_to: Lsn) -> Vec<(Arc<Tablet>, Arc<Frozen>)> {
    set.tablets.iter().filter_map(|tablet| Some((tablet.clone(), tablet.freeze(up_to)?))).collect()
}

/// Shows bulk layers in every tablet that has keys of them; says which those are.
fn attach(set: &TabletSet, layers: &[Arc<Layer>], lsn: Lsn) -> Vec<(Arc<Tablet>, Arc<Layer>)> {
    let mut attached = Vec::new();
    for tablet in &set.tablets {
        let wanted: Vec<Arc<Layer>> =
            layers.iter().filter(|layer| tablet.wants(&layer.meta.range(), lsn)).cloned().collect();
        attached.extend(wanted.iter().map(|layer| (tablet.clone(), layer.clone())));
        if !wanted.is_empty() {
            tablet.attach(wanted);
        }
    }
    attached
}

impl Head {
    /// A cut here, with nothing in it.
    fn cut(&self, up_to: Lsn, set: &Arc<TabletSet>) -> Cut {
        let counters = self.counters.iter().map(|(counter, next)| (*counter, *next)).collect();
        let (points, frozen, attached) = (self.points.clone(), Vec::new(), Vec::new());
        Cut { up_to, time_us: self.time_us, counters, points, frozen, attached, set: set.clone(), change: None }
    }

    fn push_cut(&mut self, cut: Cut) {
        self.dirty = false;
        self.cuts.push_back(Arc::new(cut));
    }
}

#[cfg(test)]
mod tests {
    use crate::cache::BlockCache;
    use crate::config::CacheConfig;
    use crate::layer::reader::LayerSource;
    use crate::metrics::Metrics;
    use crate::tablet::open::open;
    use common::env::objects::Objects;
    use common::id::{CommitId, Lsn, TabletId};
    use common::key::Key;
    use common::service::wal::{Mutation, Transaction};
    use object_store::memory::InMemory;
    use std::sync::Arc;

    #[tokio::test]
    async fn a_cut_between_the_transactions_of_a_batch_names_the_last_that_is_applied() {
        let metrics = Arc::new(Metrics::new());
        let cache = Arc::new(BlockCache::open(&CacheConfig::default(), metrics.clone()).await.unwrap());
        let source = LayerSource::new(Objects::new(Arc::new(InMemory::new())), cache, metrics);
        let tablets = open(source).await.unwrap();
        let mutation = Mutation { key: Key::from_static(b"a key of a table"), row: None };
        for lsn in [1, 2] {
            let (commit_id, mutations) = (CommitId(u128::from(lsn)), vec![(TabletId(1), mutation.clone())]);
            let transaction = Transaction { lsn: Lsn(lsn), commit_id, mutations, counters: Vec::new() };
            tablets.apply(&transaction, &[], lsn).unwrap();
        }
        tablets.cut();
        let cut = tablets.oldest_cut().unwrap();
        assert_eq!((cut.up_to, cut.frozen[0].1.up_to), (Lsn(2), Lsn(2)));
    }
}
