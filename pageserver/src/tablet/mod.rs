//! A tablet: memtables and layers of one key range, behind a snapshot that is replaced whole.
//!
//! ```text
//! log receiver ──apply──▶ active memtable ──freeze──▶ frozen memtables ──flush──▶ layers ──compact──▶ layers
//!                                   readers: one Arc<Snapshot> holds all of it
//! ```
//!
//! Invariants
//! - Every version of a key in a newer place (active, frozen, level 0, level 1, ...) has a greater LSN than all versions
//!   of that key in older places. So the first place that has a version at or below the read LSN has the answer.
//! - A snapshot is complete: a version moves from a frozen memtable to a layer in one replacement.
//! - `applied` is raised after the changes are in the memtable.

mod layer_set;
mod publish;
mod retention;

use crate::layer::reader::LayerSource;
use crate::manifest::{Manifest, ManifestStore};
use crate::memtable::Memtable;
use common::id::{CounterId, Lsn, TabletId};
use common::service::page::PageError;
use common::service::wal::Transaction;
use parking_lot::{Mutex, RwLock};
use retention::TimeLine;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::watch;

pub use layer_set::LayerSet;

/// What a reader holds while it reads.
pub struct Snapshot {
    pub active: Arc<Memtable>,
    /// Newest first.
    pub frozen: Vec<Arc<Frozen>>,
    pub layers: LayerSet,
    /// Reads below are refused.
    pub horizon: Lsn,
    /// A key that is nowhere may have been written and deleted up to here.
    pub tombstones_dropped: Lsn,
}

/// A memtable that is being written to a layer, with what the manifest will say about it.
pub struct Frozen {
    pub table: Arc<Memtable>,
    pub up_to: Lsn,
    pub time_us: u64,
    pub counters: Vec<(CounterId, u64)>,
}

pub struct Tablet {
    pub id: TabletId,
    pub source: LayerSource,
    snapshot: RwLock<Arc<Snapshot>>,
    applied: watch::Sender<Lsn>,
    durable: AtomicU64,
    /// Guards what the log receiver knows beyond the memtable; also taken to freeze, so that a freeze falls between
    /// transactions.
    head: Mutex<Head>,
    /// The manifest in force. Held across a publication, so that edits follow each other.
    manifest: tokio::sync::Mutex<Manifest>,
    manifests: ManifestStore,
    /// Why this process must not act as owner any more.
    fenced: OnceLock<String>,
}

struct Head {
    counters: BTreeMap<CounterId, u64>,
    time_line: TimeLine,
    time_us: u64,
    /// Whether anything was applied since the last freeze.
    dirty: bool,
}

impl Tablet {
    pub fn new(source: LayerSource, manifests: ManifestStore, manifest: Manifest, layers: LayerSet) -> Tablet {
        let snapshot = Snapshot {
            active: Arc::default(),
            frozen: Vec::new(),
            layers,
            horizon: manifest.horizon,
            tombstones_dropped: manifest.tombstones_dropped,
        };
        let head = Head {
            counters: manifest.counters.iter().copied().collect(),
            time_line: TimeLine::default(),
            time_us: manifest.durable_time_us,
            dirty: false,
        };
        Tablet {
            id: source.tablet,
            source,
            snapshot: RwLock::new(Arc::new(snapshot)),
            applied: watch::Sender::new(manifest.durable),
            durable: AtomicU64::new(manifest.durable.0),
            head: Mutex::new(head),
            manifest: tokio::sync::Mutex::new(manifest),
            manifests,
            fenced: OnceLock::new(),
        }
    }

    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.read().clone()
    }

    fn replace(&self, change: impl FnOnce(&Snapshot) -> Snapshot) {
        let mut snapshot = self.snapshot.write();
        *snapshot = Arc::new(change(&snapshot));
    }

    pub fn applied(&self) -> Lsn {
        *self.applied.borrow()
    }

    pub fn durable(&self) -> Lsn {
        Lsn(self.durable.load(Ordering::Acquire))
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

    /// Applies one transaction. Only the log receiver calls this, in the order of the log.
    pub fn apply(&self, transaction: &Transaction, time_us: u64) {
        let mut head = self.head.lock();
        let table = self.snapshot.read().active.clone();
        let changes = transaction.mutations.iter().filter(|(tablet, _)| *tablet == self.id);
        table.apply(transaction.lsn, changes.map(|(_, mutation)| (&mutation.key, &mutation.row)));
        for bump in &transaction.counters {
            let next = head.counters.entry(bump.counter).or_insert(0);
            *next = if bump.reset { bump.next } else { bump.next.max(*next) };
        }
        head.time_us = head.time_us.max(time_us);
        head.time_line.note(time_us, transaction.lsn);
        head.dirty = true;
    }

    /// Everything up to `lsn` is applied, or was not for this tablet.
    pub fn applied_up_to(&self, lsn: Lsn) {
        // Under the head's lock, so that a freeze never names an LSN that its memtable lacks.
        let _head = self.head.lock();
        self.applied.send_if_modified(|applied| {
            let risen = lsn > *applied;
            *applied = lsn.max(*applied);
            risen
        });
    }

    /// Bytes in the active memtable, and in all memtables together.
    pub fn memtable_bytes(&self) -> (usize, usize) {
        let snapshot = self.snapshot();
        let active = snapshot.active.bytes();
        (active, active + snapshot.frozen.iter().map(|frozen| frozen.table.bytes()).sum::<usize>())
    }

    /// Sets the active memtable aside for a flush, if anything was applied since the last time.
    pub fn freeze(&self) {
        let mut head = self.head.lock();
        if !head.dirty {
            return;
        }
        head.dirty = false;
        let (up_to, time_us) = (self.applied(), head.time_us);
        let counters = head.counters.iter().map(|(counter, next)| (*counter, *next)).collect();
        self.replace(|before| {
            let frozen = Arc::new(Frozen { table: before.active.clone(), up_to, time_us, counters });
            Snapshot {
                active: Arc::default(),
                frozen: std::iter::once(frozen).chain(before.frozen.iter().cloned()).collect(),
                layers: before.layers.clone(),
                horizon: before.horizon,
                tombstones_dropped: before.tombstones_dropped,
            }
        });
    }

    /// The LSN below which versions may be dropped, for a retention of that length.
    pub fn retention_horizon(&self, retention: Duration) -> Lsn {
        let lsn = self.head.lock().time_line.horizon(retention);
        lsn.min(self.durable())
    }

    pub fn counters(&self) -> Vec<(CounterId, u64)> {
        self.head.lock().counters.iter().map(|(counter, next)| (*counter, *next)).collect()
    }

    /// An error once another process has taken the tablet over.
    pub fn check_owned(&self) -> Result<(), PageError> {
        match self.fenced.get() {
            None => Ok(()),
            Some(why) => Err(PageError::Unavailable(why.clone())),
        }
    }
}
