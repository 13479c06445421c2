//! Deletes layer objects some time after the last manifest and the last reader have let go of them.

use crate::layer::Layer;
use crate::layer::reader::LayerSource;
use object_store::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

#[derive(Default)]
pub struct Reaper {
    /// Layers that the manifest no longer names, with when it ceased to.
    layers: Vec<(Instant, Arc<Path>)>,
    /// Objects that earlier owners left behind, with when they were found.
    leftovers: Vec<(Instant, Path)>,
}

impl Reaper {
    pub fn bury(&mut self, layers: &[Arc<Layer>]) {
        for layer in layers {
            // Tablets that share a layer let go of it one after the other; it is dead after the last one.
            match self.layers.iter_mut().find(|(_, object)| Arc::ptr_eq(object, layer.path())) {
                Some((since, _)) => *since = Instant::now(),
                None => self.layers.push((Instant::now(), layer.path().clone())),
            }
        }
    }

    pub fn bury_leftovers(&mut self, objects: Vec<Path>) {
        self.leftovers.extend(objects.into_iter().map(|object| (Instant::now(), object)));
    }

    /// Deletes what has waited for `delete_after` and is not being read.
    pub async fn reap(&mut self, source: &LayerSource, delete_after: Duration) {
        let due = |since: &Instant| since.elapsed() >= delete_after;
        let mut objects = Vec::new();
        // The reaper's own reference is the last one: no snapshot has the layer, and none can come to have it.
        self.layers.retain(|(since, object)| {
            let dead = due(since) && Arc::strong_count(object) == 1;
            if dead {
                objects.push(Path::clone(object));
            }
            !dead
        });
        self.leftovers.retain(|(since, object)| {
            if due(since) {
                objects.push(object.clone());
            }
            !due(since)
        });
        for object in objects {
            match source.objects.delete(&object).await {
                Ok(()) => source.metrics.objects_deleted.inc(),
                // The next owner finds it among the leftovers.
                Err(error) => tracing::warn!(%error, "an object that is no longer needed could not be deleted"),
            }
        }
    }
}
