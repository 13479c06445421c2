//! Examines a store: every checksum of every manifest and layer of all tablets and of the archive of the log, whether that
//! is whole, and what lies there that nobody needs.
//! Nothing is changed, and a database may go on using the store meanwhile.
//!
//! What is listed first and named by no manifest read afterwards is a leak, if it is old enough not to be on its way into
//! one. What a manifest names and cannot be read is damage, if the manifest still names it then.

mod layers;
mod log;
mod report;

pub use report::{Damage, Leak, Place, Progress, Report};

use crate::cache::BlockCache;
use crate::config::CacheConfig;
use crate::inventory::{Inventory, Kind, is_gone, root};
use crate::layer::reader::LayerSource;
use crate::manifest::{self, LayerId, LayerMeta, ManifestError};
use crate::metrics::Metrics;
use common::cluster_map::{ClusterMap, FIRST_TABLET};
use common::env::objects::{ObjectError, Objects};
use common::id::TabletId;
use common::log_archive::{ArchiveError, LogArchive};
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Manifests that are read, and layers that are checked, at the same time.
const MANIFESTS_AT_ONCE: usize = 16;
const LAYERS_AT_ONCE: usize = 4;

#[derive(Debug, Clone, Copy)]
pub struct DoctorOptions {
    /// Younger objects may be on their way into a manifest, or about to be deleted.
    pub grace: Duration,
    /// Microseconds since 1970, by a clock that agrees with the store's.
    pub now_us: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum DoctorError {
    #[error(transparent)]
    Store(#[from] ObjectError),
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error("{0}")]
    Cache(String),
    /// Neither tablets nor anything else of a database.
    #[error("there is no database on this store")]
    Empty,
}

/// Damage does not end the examination; only a store that cannot be read does.
pub async fn examine(
    store: Arc<dyn ObjectStore>,
    options: DoctorOptions,
    progress: Arc<Progress>,
) -> Result<Report, DoctorError> {
    let objects = Objects::new(store);
    // Before the manifests: what the archive has to have is what is above them.
    let archive = LogArchive::new(objects.clone());
    let archived = archive.contents().await?;
    let inventory = Inventory::take(&objects).await?;
    if inventory.objects.is_empty() && archived.is_empty() {
        return Err(DoctorError::Empty);
    }
    let mut report = Report {
        objects: inventory.objects.len() as u64,
        bytes: inventory.objects.iter().map(|object| object.size).sum(),
        ..Report::default()
    };
    log::check(&archive, &archived, &inventory, &mut report).await?;
    check_manifests(&objects, &inventory, &mut report).await?;
    check_layers(objects, &inventory, &progress, &mut report).await?;
    find_leaks(&inventory, &options, &mut report);
    report.sort();
    Ok(report)
}

/// Every manifest there is, also those that are kept for inspection only.
async fn check_manifests(objects: &Objects, inventory: &Inventory, report: &mut Report) -> Result<(), DoctorError> {
    report.tablets = inventory.manifests.len() as u64;
    for (tablet, manifest) in &inventory.manifests {
        if let Err(error) = manifest {
            let object = match error {
                ManifestError::Corrupt { object, .. } => object.to_string(),
                _ => format!("{}/{tablet}", root()),
            };
            report.damage.push(Damage::manifest_in_force(object, *tablet, error.to_string()));
        }
    }
    match inventory.map() {
        Some(map) => {
            let missing = map.tablets().filter(|tablet| !inventory.manifests.contains_key(tablet));
            report.damage.extend(missing.map(Damage::no_manifest));
        }
        // A database that has not been flushed yet is in its log alone.
        None if !inventory.manifests.contains_key(&FIRST_TABLET) && !inventory.objects.is_empty() => {
            report.damage.push(Damage::no_manifest(FIRST_TABLET));
        }
        None => {}
    }
    let reads = inventory.objects.iter().filter_map(|object| match Kind::of(&object.location) {
        Kind::Manifest { tablet, number } => Some((&object.location, tablet, number)),
        _ => None,
    });
    let reads: Vec<_> = reads
        .map(|(path, tablet, number)| async move {
            match objects.get(path).await {
                Ok(bytes) => Ok(Some((path, tablet, number, bytes))),
                // Pruned since it was listed.
                Err(error) if error.is_not_found() => Ok(None),
                Err(error) => Err(error),
            }
        })
        .collect();
    let mut reads = futures::stream::iter(reads).buffer_unordered(MANIFESTS_AT_ONCE).boxed();
    while let Some(read) = reads.try_next().await? {
        let Some((path, tablet, number, bytes)) = read else { continue };
        report.manifests += 1;
        let what = match manifest::decode(&bytes) {
            Ok(manifest) if manifest.number == number && manifest.tablet == tablet => continue,
            Ok(_) => "it is not what its name says".to_owned(),
            Err(what) => what.to_string(),
        };
        // Of the one in force it has been said above.
        if !report.damage.iter().any(|damage| damage.object == path.as_ref()) {
            report.damage.push(Damage::old_manifest(path.to_string(), tablet, what));
        }
    }
    Ok(())
}

async fn check_layers(
    objects: Objects,
    inventory: &Inventory,
    progress: &Arc<Progress>,
    report: &mut Report,
) -> Result<(), DoctorError> {
    // Tablets that came of a split share layers: each is checked once, for the first that names it.
    let mut named: BTreeMap<LayerId, (TabletId, &LayerMeta)> = BTreeMap::new();
    for (tablet, manifest) in &inventory.manifests {
        for layer in manifest.iter().flat_map(|manifest| &manifest.layers) {
            named.entry(layer.id()).or_insert((*tablet, layer));
        }
    }
    progress.layers_total.store(named.len() as u64, Ordering::Relaxed);
    progress.bytes_total.store(named.values().map(|(_, layer)| layer.bytes).sum(), Ordering::Relaxed);
    let metrics = Arc::new(Metrics::new());
    // Layers are opened as page servers open them; what is read of them does not go through the cache.
    let config = CacheConfig { memory_bytes: 1 << 20, disk: None };
    let cache = Arc::new(BlockCache::open(&config, metrics.clone()).await.map_err(DoctorError::Cache)?);
    let source = LayerSource::new(objects, cache, metrics);
    let checks: Vec<_> = named
        .into_values()
        .map(|(tablet, layer)| layers::check(source.clone(), tablet, layer.clone(), progress.clone()))
        .collect();
    let mut checks = futures::stream::iter(checks).buffer_unordered(LAYERS_AT_ONCE).boxed();
    while let Some(checked) = checks.try_next().await? {
        report.layers += 1;
        report.blocks += checked.blocks;
        report.damage.extend(checked.damage);
    }
    Ok(())
}

fn find_leaks(inventory: &Inventory, options: &DoctorOptions, report: &mut Report) {
    let (Some(named), Some(map)) = (inventory.named(), inventory.map()) else {
        // With a manifest unreadable nobody can say what it names.
        report.leaks_unknown = true;
        return;
    };
    for object in &inventory.objects {
        let age = age(object, options.now_us);
        if age >= options.grace && is_leak(&object.location, &map, |id| named.contains(&id)) {
            report.leaked_bytes += object.size;
            report.leaks.push(Leak {
                object: object.location.to_string(),
                bytes: object.size,
                age_seconds: age.as_secs(),
            });
        }
    }
}

fn is_leak(path: &Path, map: &ClusterMap, named: impl Fn(LayerId) -> bool) -> bool {
    match Kind::of(path) {
        Kind::Layer(id) => !named(id),
        Kind::Manifest { tablet, .. } => is_gone(map, tablet),
        Kind::Other => true,
    }
}

fn age(object: &ObjectMeta, now_us: u64) -> Duration {
    let modified_us = u64::try_from(object.last_modified.timestamp_micros()).unwrap_or(0);
    Duration::from_micros(now_us.saturating_sub(modified_us))
}
