//! Replaces the manifest in force and, with it, what readers see.

use super::{LayerSet, Snapshot, Tablet};
use crate::layer::Layer;
use crate::manifest::{Manifest, ManifestError};
use std::sync::Arc;
use std::sync::atomic::Ordering;

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
        let next = match self.manifests.publish(next).await {
            Ok(published) => published,
            Err(error) => {
                if let ManifestError::Fenced { .. } = &error {
                    self.fenced.get_or_init(|| error.to_string());
                }
                return Err(error);
            }
        };
        let known: Vec<Arc<Layer>> = self.snapshot().layers.iter().cloned().chain(opened).collect();
        let layers = LayerSet::arrange(&next, known.into_iter()).expect("every layer of a manifest is open");
        self.replace(|before| Snapshot {
            active: before.active.clone(),
            frozen: before.frozen.iter().filter(|frozen| frozen.up_to > next.durable).cloned().collect(),
            layers,
            horizon: next.horizon,
            tombstones_dropped: next.tombstones_dropped,
        });
        self.durable.store(next.durable.0, Ordering::Release);
        *current = next;
        Ok(())
    }

    /// A name for a layer, given out once.
    pub async fn next_layer_id(&self) -> (u64, u64) {
        let mut manifest = self.manifest.lock().await;
        let sequence = manifest.next_sequence;
        manifest.next_sequence += 1;
        (manifest.generation, sequence)
    }

    pub async fn manifest(&self) -> Manifest {
        self.manifest.lock().await.clone()
    }

    pub async fn prune_manifests(&self, kept: usize) {
        let number = self.manifest.lock().await.number;
        if let Err(error) = self.manifests.prune(number, kept).await {
            tracing::warn!(%error, "old manifests could not be deleted; later flushes try again");
        }
    }

    /// Layer objects of earlier owners that the manifest in force does not name: left by crashes, or deleted late.
    pub async fn leftover_layers(&self) -> Result<Vec<object_store::path::Path>, crate::objects::ObjectError> {
        let manifest = self.manifest().await;
        let named = |id: &(u64, u64)| manifest.layers.iter().any(|layer| layer.id() == *id);
        let objects = self.manifests.layer_objects().await?;
        // A name of our own generation may belong to a layer that is just being written.
        let leftover = objects.into_iter().filter(|(id, _)| id.0 < manifest.generation && !named(id));
        Ok(leftover.map(|(_, path)| path).collect())
    }
}
