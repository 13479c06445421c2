//! Replaces the manifest in force and, with it, what readers see.

use super::{Cut, Frozen, LayerSet, Snapshot, Tablet};
use crate::layer::Layer;
use crate::manifest::{LayerMeta, Manifest, ManifestError};
use common::id::Lsn;
use std::cmp::Reverse;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Former owners that come between are few.
const ATTEMPTS_MAX: usize = 10;
/// Manifests that are deleted together: to find them is to list them, which costs as much as to write one.
const PRUNED_TOGETHER: u64 = 8;

impl Tablet {
    /// Publishes the manifest that `edit` makes of the one in force; afterwards readers see its layers, of which those
    /// in `opened` are new. Frozen memtables up to its durable LSN are in layers then, and go.
    pub async fn publish(
        &self,
        opened: Vec<Arc<Layer>>,
        edit: impl FnOnce(&Manifest) -> Manifest,
    ) -> Result<(), ManifestError> {
        let mut current = self.manifest.lock().await;
        let next = edit(&current);
        assert_eq!(next.number, current.number + 1, "manifests are numbered without gaps");
        let next = self.put(next).await?;
        let known: Vec<Arc<Layer>> = self.snapshot().layers.iter().cloned().chain(opened).collect();
        let layers = LayerSet::arrange(&next, known.into_iter()).expect("every layer of a manifest is open");
        self.show(&next, layers);
        *current = next;
        Ok(())
    }

    async fn put(&self, next: Manifest) -> Result<Manifest, ManifestError> {
        let published = self.manifests.publish(next).await;
        if let Err(error @ ManifestError::Fenced { .. }) = &published {
            self.fenced.get_or_init(|| error.to_string());
        }
        published
    }

    fn show(&self, next: &Manifest, layers: LayerSet) {
        self.replace(|before| {
            let guest = before.guest.as_ref().map(|guest| (guest.id, guest.snapshot()));
            let is_guests = |frozen: &Frozen| guest.as_ref().is_some_and(|(id, _)| frozen.tablet == *id);
            let own = before.frozen.iter().filter(|frozen| frozen.up_to > next.durable && !is_guests(frozen));
            let mut frozen: Vec<Arc<Frozen>> = own.cloned().collect();
            let attached: Vec<Arc<Layer>> =
                before.attached.iter().filter(|layer| layer.meta.lsn_max > next.durable).cloned().collect();
            let mut layers = layers.with(&attached);
            if let Some((_, guest)) = &guest {
                frozen.extend(guest.frozen.iter().cloned());
                frozen.sort_by_key(|frozen| Reverse(frozen.up_to));
                layers = layers.with(guest.layers.iter());
            }
            Snapshot {
                frozen,
                layers,
                attached,
                kept: next.kept.and(&before.kept),
                tombstones_dropped: next.tombstones_dropped.max(before.tombstones_dropped),
                ..before.clone()
            }
        });
        self.durable.store(next.durable.0, Ordering::Release);
    }

    /// The first manifest of a tablet that came of a split: it names the layers of its parent that hold keys of its
    /// range at the cut. `pending` are layers of the parent that its manifest does not name yet.
    ///
    /// The first tablet's generation tells processes apart here: one of a former owner gives way, one of a later owner is
    /// left alone.
    pub async fn establish(&self, parent: &Tablet, pending: Vec<Arc<Layer>>, cut: &Cut) -> Result<(), ManifestError> {
        let range = cut.set.map.range_of(self.id).expect("the map that made a tablet has it");
        let generation = cut.set.first().manifest().await.generation;
        let mut current = self.manifest.lock().await;
        if current.number > 0 {
            // By an earlier attempt to flush the cut.
            return Ok(());
        }
        let inherited = parent.snapshot();
        // What was attached after the cut is for the cuts that follow.
        let inherited_layers = inherited.layers.overlapping(&range);
        let known: Vec<Arc<Layer>> =
            inherited_layers.iter().filter(|layer| layer.meta.lsn_max <= cut.up_to).cloned().collect();
        let pending = pending.into_iter().filter(|layer| layer.meta.overlaps_range(&range));
        let known: Vec<Arc<Layer>> = known.into_iter().chain(pending).collect();
        let mut first = Manifest { generation, layers: Vec::new(), ..current.clone() };
        first.durable = cut.up_to;
        first.durable_time_us = cut.time_us;
        first.kept = inherited.kept.clone();
        first.tombstones_dropped = inherited.tombstones_dropped;
        let layers: Vec<LayerMeta> = known.iter().map(|layer| layer.meta.clone()).collect();
        let mut attempts = 0;
        let next = loop {
            // There may be manifests already: of an attempt that a crash cut off, here or in a process before this one.
            let found = self.manifests.newest().await?;
            first.number = found.as_ref().map_or(0, |found| found.number);
            if found.is_some_and(|found| found.generation > generation) {
                let error = ManifestError::Fenced { tablet: self.id, number: first.number };
                self.fenced.get_or_init(|| error.to_string());
                return Err(error);
            }
            match self.manifests.publish(first.with_layers(&[], layers.clone())).await {
                Err(ManifestError::Fenced { .. }) if attempts < ATTEMPTS_MAX => attempts += 1,
                outcome => break outcome?,
            }
        };
        let layers = LayerSet::arrange(&next, known.into_iter()).expect("every layer of a manifest is open");
        self.show(&next, layers);
        *current = next;
        Ok(())
    }

    /// Takes over the layers of `right`, which was merged into this tablet: from now on this tablet's manifest names
    /// them. `edit` is what else there is to say.
    pub async fn absorb(
        &self,
        right: &Tablet,
        mut opened: Vec<Arc<Layer>>,
        edit: impl FnOnce(&Manifest) -> Manifest,
    ) -> Result<(), ManifestError> {
        let other = right.snapshot();
        let theirs: Vec<LayerMeta> = other.layers.iter().map(|layer| layer.meta.clone()).collect();
        opened.extend(other.layers.iter().cloned());
        self.publish(opened, |manifest| {
            let next = edit(manifest);
            let new = |layer: &LayerMeta| !next.layers.iter().any(|known| known.id() == layer.id());
            let added = theirs.into_iter().filter(new).collect();
            let mut next = Manifest { number: next.number - 1, ..next.clone() }.with_layers(&[], added);
            next.kept = next.kept.and(&other.kept);
            next.tombstones_dropped = next.tombstones_dropped.max(other.tombstones_dropped);
            next
        })
        .await?;
        self.replace(|before| Snapshot { guest: None, ..before.clone() });
        Ok(())
    }

    /// Says in the manifest that everything up to `cut` is in layers.
    pub fn durable_at(manifest: &Manifest, added: Vec<LayerMeta>, up_to: Lsn, time_us: u64) -> Manifest {
        let mut next = manifest.with_layers(&[], added);
        next.durable = up_to;
        next.durable_time_us = time_us;
        next
    }

    /// Deletes all but the newest `kept` of the old manifests, some at a time.
    pub async fn prune_manifests(&self, kept: usize) {
        let number = self.manifest.lock().await.number;
        let pruned_at = self.pruned_at.load(Ordering::Relaxed);
        if pruned_at > 0 && number < pruned_at + PRUNED_TOGETHER {
            return;
        }
        match self.manifests.prune(number, kept).await {
            Ok(()) => self.pruned_at.store(number, Ordering::Relaxed),
            Err(error) => tracing::warn!(%error, "old manifests could not be deleted; later flushes try again"),
        }
    }

    /// Deletes the manifests of a tablet that is no more. Its layers belong to who names them.
    pub async fn retire(&self) {
        let number = self.manifest.lock().await.number;
        if let Err(error) = self.manifests.delete_up_to(number).await {
            tracing::warn!(%error, tablet = %self.id, "manifests of a merged tablet remain; the next start deletes them");
        }
    }
}
