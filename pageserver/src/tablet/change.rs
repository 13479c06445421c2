//! Splits and merges, in memory: at the LSN of the map's transaction, without I/O. The store follows with the cut at that
//! LSN (`flush`).
//!
//! The halves of a split share what their parent had: frozen memtables, layers. A merge puts the memtables and layers of
//! two neighbours side by side, which is sound because both are clean: neither has keys of the other.

use super::{Snapshot, Tablet, TabletSet};
use crate::ingest::apply::StreamError;
use crate::manifest::{Manifest, ManifestStore};
use common::cluster_map::{ClusterMap, MapChange};
use common::id::{Lsn, TabletId};
use common::key::KeyRange;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};

/// What became of the tablets.
pub enum Change {
    /// `child` has the upper part of what `parent` had.
    Split { parent: Arc<Tablet>, child: Arc<Tablet> },
    /// `left` has what `right` had.
    Merge { left: Arc<Tablet>, right: Arc<Tablet> },
}

/// The map that a transaction writes, and the step that leads there; an error where it cannot be made (yet).
pub fn read_map(set: &TabletSet, lsn: Lsn, row: Option<&[u8]>) -> Result<(ClusterMap, MapChange), StreamError> {
    let map = ClusterMap::decode(row.unwrap_or_default()).map_err(|error| StreamError::BadMap { lsn, error })?;
    let step = set.map.change_to(&map).ok_or(StreamError::NoStep { lsn })?;
    if let MapChange::Merge { left, right } = &step {
        let clean = |id: &TabletId| set.by_id(*id).is_some_and(|tablet| tablet.is_clean());
        if !clean(left) || !clean(right) {
            return Err(StreamError::NotClean { lsn });
        }
    }
    Ok((map, step))
}

/// Makes the tablets of `map`, which is one `step` away, of those of `set`, whose memtables are frozen.
pub fn change(
    set: &TabletSet,
    map: ClusterMap,
    lsn: Lsn,
    step: &MapChange,
    fenced: &Arc<OnceLock<String>>,
) -> (TabletSet, Change) {
    let mut tablets: HashMap<TabletId, Arc<Tablet>> =
        set.tablets.iter().map(|tablet| (tablet.id, tablet.clone())).collect();
    let of = |id: &TabletId| set.by_id(*id).expect("a step names tablets of its map").clone();
    let change = match step {
        MapChange::Split { tablet, .. } => {
            let (parent, id) = (of(tablet), set.map.next_tablet());
            let range = |id: TabletId| map.range_of(id).expect("both halves are in the map");
            let child = split(&parent, id, range(*tablet), range(id), fenced);
            tablets.insert(id, child.clone());
            Change::Split { parent, child }
        }
        MapChange::Merge { left, right } => {
            let (left, right) = (of(left), of(right));
            merge(&left, &right, map.range_of(left.id).expect("the merged tablet is in the map"));
            tablets.remove(&right.id);
            Change::Merge { left, right }
        }
    };
    tracing::info!(%lsn, ?step, "the map of tablets changed");
    (TabletSet::new(map, lsn, tablets), change)
}

fn split(
    parent: &Arc<Tablet>,
    id: TabletId,
    lower: KeyRange,
    upper: KeyRange,
    fenced: &Arc<OnceLock<String>>,
) -> Arc<Tablet> {
    let whole = parent.snapshot();
    let snapshot = Snapshot {
        layers: whole.layers.overlapping(&upper),
        attached: whole.attached.iter().filter(|layer| layer.meta.overlaps_range(&upper)).cloned().collect(),
        range: upper,
        active: Arc::default(),
        guest: None,
        ..Snapshot::clone(&whole)
    };
    let manifests = ManifestStore::new(parent.source.objects.clone(), id);
    // Published, with layers and a number, by `establish`. What is written ahead of that has this process's generation in its
    // name: another process that makes the same split gives other names.
    let empty = Manifest::empty(id, parent.owner);
    let manifest = Manifest { durable: parent.durable(), generation: parent.generation(), ..empty };
    let child = Tablet::new(parent.source.clone(), manifests, manifest, snapshot, fenced.clone());
    child.changes_pending.store(1, Ordering::Release);
    parent.changes_pending.fetch_add(1, Ordering::AcqRel);
    parent.replace(|before| Snapshot { range: lower, ..before.clone() });
    Arc::new(child)
}

fn merge(left: &Arc<Tablet>, right: &Arc<Tablet>, range: KeyRange) {
    left.changes_pending.fetch_add(1, Ordering::AcqRel);
    right.changes_pending.fetch_add(1, Ordering::AcqRel);
    let other = right.snapshot();
    left.replace(|before| {
        let mut frozen: Vec<_> = before.frozen.iter().chain(&other.frozen).cloned().collect();
        frozen.sort_by_key(|frozen| Reverse(frozen.up_to));
        Snapshot {
            range,
            active: before.active.clone(),
            frozen,
            layers: before.layers.with(other.layers.iter()),
            attached: before.attached.clone(),
            kept: before.kept.and(&other.kept),
            tombstones_dropped: before.tombstones_dropped.max(other.tombstones_dropped),
            // Whoever publishes for `left` from now on keeps these layers in sight.
            guest: Some(right.clone()),
        }
    });
}

impl Change {
    /// The change is on the store.
    pub fn settled(&self) {
        let (Change::Split { parent: one, child: other } | Change::Merge { left: one, right: other }) = self;
        one.changes_pending.fetch_sub(1, Ordering::AcqRel);
        other.changes_pending.fetch_sub(1, Ordering::AcqRel);
    }
}
