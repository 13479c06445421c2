//! Deletes objects some time after the last manifest and the last reader have let go of them.

use crate::layer::Layer;
use crate::layer::reader::LayerSource;
use object_store::path::Path;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

#[derive(Default)]
pub struct Reaper {
    /// Layers that the manifest no longer names, with when it ceased to.
    layers: Vec<(Instant, Arc<Path>)>,
    /// Objects that were found to be named by nobody, with when that was first so.
    leftovers: HashMap<Path, Instant>,
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

    /// `found`: all that nobody names now. What was so all the time for so long as `after`, and at least once before, is
    /// deleted.
    pub async fn bury_leftovers(&mut self, source: &LayerSource, found: Vec<Path>, after: Duration) {
        let known = std::mem::take(&mut self.leftovers);
        for object in found {
            match known.get(&object) {
                Some(since) if since.elapsed() >= after => delete(source, &object).await,
                since => drop(self.leftovers.insert(object, since.copied().unwrap_or_else(Instant::now))),
            }
        }
    }

    /// Deletes layers that have waited for `delete_after` and are not being read.
    pub async fn reap(&mut self, source: &LayerSource, delete_after: Duration) {
        let mut objects = Vec::new();
        // The reaper's own reference is the last one: no snapshot has the layer, and none can come to have it.
        self.layers.retain(|(since, object)| {
            let dead = since.elapsed() >= delete_after && Arc::strong_count(object) == 1;
            if dead {
                objects.push(Path::clone(object));
            }
            !dead
        });
        for object in objects {
            delete(source, &object).await;
        }
    }
}

async fn delete(source: &LayerSource, object: &Path) {
    match source.objects.delete(object).await {
        Ok(()) => source.metrics.objects_deleted.inc(),
        // It is found among the leftovers again.
        Err(error) => tracing::warn!(%error, "an object that is no longer needed could not be deleted"),
    }
}
