//! A tablet: memtables and layers of one key range, behind a snapshot that is replaced whole. A page server runs many.
//!
//! ```text
//! log receiver ──apply──▶ active memtable ──cut──▶ frozen memtables ──flush──▶ layers ──compact──▶ layers
//!                                   readers: one Arc<Snapshot> holds all of it
//! ```
//!
//! `set` holds the tablets of a page server and what they share, `change` splits and merges them, `open` and `recover`
//! find them on the store, `balance` decides when to split and merge.
//!
//! Invariants
//! - Every version of a key in a newer place (active, frozen, level 0, level 1, ...) has a greater LSN than all versions
//!   of that key in older places. So the first place that has a version at or below the read LSN has the answer.
//! - A snapshot is complete for its range: a version moves from a frozen memtable to a layer in one replacement. It may
//!   hold keys beyond its range, which belong to others and are stale; nobody reads them here.

pub mod balance;
pub mod balancer;
mod change;
mod layer_set;
pub mod open;
mod publish;
pub mod recover;
mod retention;
pub mod set;

use crate::layer::Layer;
use crate::layer::reader::LayerSource;
use crate::manifest::{Kept, LayerId, Manifest, ManifestStore};
use crate::memtable::Memtable;
use common::id::{Lsn, TabletId};
use common::key::{Key, KeyRange};
use common::service::page::Direction;
use parking_lot::RwLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

pub use change::Change;
pub use layer_set::LayerSet;
pub use set::{Cut, CutPart, TabletSet, Tablets};

/// What a reader holds while it reads.
#[derive(Clone)]
pub struct Snapshot {
    /// The keys that it answers for.
    pub range: KeyRange,
    pub active: Arc<Memtable>,
    /// Newest first.
    pub frozen: Vec<Arc<Frozen>>,
    pub layers: LayerSet,
    /// Bulk layers among them that this tablet's manifest does not name yet.
    attached: Vec<Arc<Layer>>,
    /// Reads elsewhere are refused.
    pub kept: Kept,
    /// A key that is nowhere may have been written and deleted up to here.
    pub tombstones_dropped: Lsn,
    /// The tablet that was merged into this one, until this one's manifest names its layers.
    guest: Option<Arc<Tablet>>,
}

impl Snapshot {
    /// What is on the store, with nothing in memory yet.
    pub fn stored(range: KeyRange, layers: LayerSet, manifest: &Manifest) -> Snapshot {
        Snapshot {
            range,
            active: Arc::default(),
            frozen: Vec::new(),
            layers,
            attached: Vec::new(),
            kept: manifest.kept.clone(),
            tombstones_dropped: manifest.tombstones_dropped,
            guest: None,
        }
    }
}

/// A memtable that is being written to a layer.
pub struct Frozen {
    /// Whose changes they are.
    pub tablet: TabletId,
    pub table: Arc<Memtable>,
    pub up_to: Lsn,
}

pub struct Tablet {
    pub id: TabletId,
    pub source: LayerSource,
    owner: u128,
    /// Of this process. Names of layers have it.
    generation: u64,
    snapshot: RwLock<Arc<Snapshot>>,
    durable: AtomicU64,
    /// The manifest in force. Held across a publication, so that edits follow each other.
    manifest: tokio::sync::Mutex<Manifest>,
    manifests: ManifestStore,
    /// Why this process must not act as owner any more; shared by all its tablets.
    fenced: Arc<OnceLock<String>>,
    /// Changes of the map that concern this tablet and are not on the store yet. Meanwhile it is not compacted.
    changes_pending: AtomicUsize,
    /// Bytes of changes applied since the process began.
    written_bytes: AtomicU64,
    /// The manifest at which old ones were deleted last; 0: by none of this process.
    pruned_at: AtomicU64,
}

impl Tablet {
    pub fn new(
        source: LayerSource,
        manifests: ManifestStore,
        manifest: Manifest,
        snapshot: Snapshot,
        fenced: Arc<OnceLock<String>>,
    ) -> Tablet {
        Tablet {
            id: manifest.tablet,
            source,
            owner: manifest.owner,
            generation: manifest.generation,
            snapshot: RwLock::new(Arc::new(snapshot)),
            durable: AtomicU64::new(manifest.durable.0),
            manifest: tokio::sync::Mutex::new(manifest),
            manifests,
            fenced,
            changes_pending: AtomicUsize::new(0),
            written_bytes: AtomicU64::new(0),
            pruned_at: AtomicU64::new(0),
        }
    }

    pub fn owner(&self) -> u128 {
        self.owner
    }

    pub fn generation(&self) -> u64 {
        self.generation
    }

    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.read().clone()
    }

    fn replace(&self, change: impl FnOnce(&Snapshot) -> Snapshot) {
        let mut snapshot = self.snapshot.write();
        *snapshot = Arc::new(change(&snapshot));
    }

    /// What this tablet's own manifest says; the set's cut may be ahead of it.
    pub fn durable(&self) -> Lsn {
        Lsn(self.durable.load(Ordering::Acquire))
    }

    /// Applies the changes of one transaction to keys of this tablet, unless its layers have them already.
    fn apply<'a>(&self, lsn: Lsn, changes: impl Iterator<Item = (&'a Key, &'a Option<bytes::Bytes>)>) {
        if lsn <= self.durable() {
            return;
        }
        let table = self.snapshot.read().active.clone();
        let before = table.bytes();
        table.apply(lsn, changes);
        self.written_bytes.fetch_add(table.bytes().saturating_sub(before) as u64, Ordering::Relaxed);
    }

    /// From now on it can be read only where `kept` says; a compaction is about to drop the rest.
    pub(super) fn keep(&self, kept: &Kept) {
        self.replace(|before| Snapshot { kept: before.kept.and(kept), ..before.clone() });
    }

    pub fn written_bytes(&self) -> u64 {
        self.written_bytes.load(Ordering::Relaxed)
    }

    /// Sets the active memtable aside, if there is anything in it.
    fn freeze(&self, up_to: Lsn) -> Option<Arc<Frozen>> {
        let table = self.snapshot.read().active.clone();
        if table.is_empty() {
            return None;
        }
        let frozen = Arc::new(Frozen { tablet: self.id, table, up_to });
        self.replace(|before| Snapshot {
            active: Arc::default(),
            frozen: std::iter::once(frozen.clone()).chain(before.frozen.iter().cloned()).collect(),
            ..before.clone()
        });
        Some(frozen)
    }

    /// Whether it takes part in a bulk commit at `lsn` that has keys of `keys`, and its layers do not have it already.
    fn wants(&self, keys: &KeyRange, lsn: Lsn) -> bool {
        lsn > self.durable() && !self.snapshot().range.intersection(keys).is_empty()
    }

    /// Whether a memtable has a key of `keys`. It would hide a layer that is attached, which is newer.
    fn hides(&self, keys: &KeyRange) -> bool {
        let snapshot = self.snapshot();
        let has = |table: &Memtable| !table.chunk(keys, Lsn::MAX, Direction::Forward, 1).is_empty();
        has(&snapshot.active) || snapshot.frozen.iter().any(|frozen| has(&frozen.table))
    }

    /// Shows layers that were written ahead of the commit that is being applied.
    fn attach(&self, layers: Vec<Arc<Layer>>) {
        let bytes = layers.iter().map(|layer| layer.meta.bytes).sum();
        self.written_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.replace(|before| Snapshot {
            layers: before.layers.with(&layers),
            attached: before.attached.iter().cloned().chain(layers).collect(),
            ..before.clone()
        });
    }

    /// Whether every change of the map that concerns this tablet is on the store.
    pub fn is_settled(&self) -> bool {
        self.changes_pending.load(Ordering::Acquire) == 0
    }

    /// Whether a tablet that was merged into this one is not in its manifest yet.
    pub fn has_guest(&self) -> bool {
        self.snapshot.read().guest.is_some()
    }

    /// Whether its layers hold keys of its range alone.
    pub fn is_clean(&self) -> bool {
        let snapshot = self.snapshot();
        let within = |layer: &Arc<Layer>| layer.meta.is_within(&snapshot.range);
        self.is_settled() && snapshot.layers.iter().all(within)
    }

    /// About how many bytes of layers hold keys of its range.
    pub fn layer_bytes(&self) -> u64 {
        let snapshot = self.snapshot();
        let of_layer = |layer: &Arc<Layer>| {
            if layer.meta.is_within(&snapshot.range) {
                return layer.meta.bytes;
            }
            let blocks = layer.index.blocks.iter();
            let within = blocks.filter(|block| snapshot.range.contains(&block.first));
            within.map(|block| u64::from(block.length)).sum()
        };
        snapshot.layers.iter().map(of_layer).sum()
    }

    /// A name for a layer, given out once.
    pub async fn next_layer_id(&self) -> LayerId {
        let mut manifest = self.manifest.lock().await;
        let sequence = manifest.next_sequence;
        manifest.next_sequence += 1;
        LayerId { home: self.id, generation: manifest.generation, sequence }
    }

    pub async fn manifest(&self) -> Manifest {
        self.manifest.lock().await.clone()
    }
}
