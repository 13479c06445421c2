//! Finds the tablets on the store and takes them over, the first one first: whoever has it decides when a cut is complete,
//! so the former owner is stopped before anything else is read.

use super::set::Beginning;
use super::{LayerSet, Snapshot, Tablet, TabletSet, Tablets};
use crate::StartError;
use crate::layer::reader::{Layer, LayerSource, ReadError};
use crate::manifest::{LayerId, LayerMeta, Manifest, ManifestError, ManifestStore};
use common::cluster_map::{ClusterMap, FIRST_TABLET};
use common::env::objects::Objects;
use common::id::TabletId;
use common::key::KeyRange;
use futures::{StreamExt, TryStreamExt};
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, OnceLock};

/// Requests that are made at the same time at start.
const REQUESTS_MAX: usize = 16;

/// Tells this owner's manifests from those of any other.
pub fn new_owner() -> u128 {
    u128::from(RandomState::new().hash_one(0)) << 64 | u128::from(RandomState::new().hash_one(1))
}

/// Layers that are open already, for a standby that looks again.
pub type OpenLayers = HashMap<LayerId, Arc<Layer>>;

/// Opens the tablets as they are on the store, and changes nothing there: for a standby. What it sees is what an owner
/// that was just killed would have left, so the log fills in the rest.
pub async fn open_read_only(source: LayerSource, known: &OpenLayers) -> Result<Tablets, StartError> {
    let newest = async |tablet: TabletId| ManifestStore::new(source.objects.clone(), tablet).newest().await;
    let first = newest(FIRST_TABLET).await?.unwrap_or_else(|| Manifest::empty(FIRST_TABLET, 0));
    let map = first.map.clone().unwrap_or_default();
    let mut manifests = vec![first];
    for id in map.tablets().skip(1) {
        manifests.push(newest(id).await?.ok_or(StartError::MissingTablet(id))?);
    }
    arrange(source, map, manifests, known).await
}

/// Takes all tablets of the store over (former owners are fenced out) and opens their layers.
pub async fn open(source: LayerSource) -> Result<Tablets, StartError> {
    let owner = new_owner();
    let first = take_over(&source.objects, FIRST_TABLET, owner, None).await?;
    let map = first.map.clone().unwrap_or_default();
    let others = map.tablets().skip(1).map(|id| take_over(&source.objects, id, owner, Some(first.generation)));
    let others: Vec<Manifest> = futures::stream::iter(others).buffer_unordered(REQUESTS_MAX).try_collect().await?;
    let manifests: Vec<Manifest> = std::iter::once(first).chain(others).collect();
    arrange(source, map, manifests, &OpenLayers::default()).await
}

/// What the store has of a range, by the tablets of `map`; each with the part of the range that it has.
pub(super) async fn stored_snapshots(
    source: &LayerSource,
    map: &ClusterMap,
    range: &KeyRange,
) -> Result<Vec<(Arc<Snapshot>, KeyRange)>, StartError> {
    let mut snapshots = Vec::new();
    for (tablet, of_tablet) in map.ranges() {
        let part = of_tablet.intersection(range);
        if part.is_empty() {
            continue;
        }
        let newest = ManifestStore::new(source.objects.clone(), tablet).newest().await?;
        let mut manifest = newest.ok_or(StartError::MissingTablet(tablet))?;
        manifest.layers.retain(|layer| layer.overlaps_range(&part));
        let layers = open_layers(source, std::slice::from_ref(&manifest), &OpenLayers::default()).await?;
        let named = manifest.layers.iter().filter_map(|meta| layers.get(&meta.id()).cloned());
        let set = LayerSet::arrange(&manifest, named).expect("every layer of the manifest was opened");
        snapshots.push((Arc::new(Snapshot::stored(of_tablet, set, &manifest)), part));
    }
    Ok(snapshots)
}

/// The tablets that `manifests` describe, the first tablet's first.
async fn arrange(
    source: LayerSource,
    map: ClusterMap,
    mut manifests: Vec<Manifest>,
    known: &OpenLayers,
) -> Result<Tablets, StartError> {
    let first = &manifests[0];
    let begin = Beginning {
        cut: first.durable,
        time_us: first.durable_time_us,
        counters: first.counters.clone(),
        points: first.points.clone(),
    };
    for manifest in manifests.iter_mut() {
        // What a split has left to others.
        let range = map.range_of(manifest.tablet).unwrap_or_else(common::key::KeyRange::all);
        manifest.layers.retain(|layer| layer.overlaps_range(&range));
    }
    let layers = open_layers(&source, &manifests, known).await?;
    let fenced = Arc::new(OnceLock::new());
    let mut tablets = HashMap::new();
    for manifest in manifests {
        let named = manifest.layers.iter().filter_map(|meta| layers.get(&meta.id()).cloned());
        let set = LayerSet::arrange(&manifest, named).expect("every layer of the manifests was opened");
        let range = map.range_of(manifest.tablet).expect("the manifests are those of the map");
        let snapshot = Snapshot::stored(range, set, &manifest);
        let store = ManifestStore::new(source.objects.clone(), manifest.tablet);
        let tablet = Tablet::new(source.clone(), store, manifest, snapshot, fenced.clone());
        tablets.insert(tablet.id, Arc::new(tablet));
    }
    tracing::info!(tablets = tablets.len(), durable = %begin.cut, layers = layers.len(), "opened the tablets");
    let set = TabletSet::new(map, begin.cut, tablets);
    Ok(Tablets::new(source, set, begin, fenced))
}

/// Publishes a manifest of a new generation on top of the newest, until no rival comes between. `generation`: of the first
/// tablet, for all but itself, which is made where there is none.
pub(super) async fn take_over(
    objects: &Objects,
    tablet: TabletId,
    owner: u128,
    generation: Option<u64>,
) -> Result<Manifest, StartError> {
    let manifests = ManifestStore::new(objects.clone(), tablet);
    let mut attempts = 0;
    loop {
        let newest = match manifests.newest().await? {
            Some(newest) => newest,
            None if generation.is_none() => Manifest::empty(tablet, owner),
            None => return Err(StartError::MissingTablet(tablet)),
        };
        let next = match generation {
            None => newest.taken_over(owner),
            Some(generation) => newest.taken_over_with(owner, generation),
        };
        match manifests.publish(next).await {
            Err(ManifestError::Fenced { .. }) if attempts < 10 => attempts += 1,
            outcome => return Ok(outcome?),
        }
    }
}

/// Every layer that the manifests name, opened once, also where several name it.
async fn open_layers(
    source: &LayerSource,
    manifests: &[Manifest],
    known: &OpenLayers,
) -> Result<OpenLayers, ReadError> {
    let metas: HashMap<LayerId, &LayerMeta> =
        manifests.iter().flat_map(|manifest| &manifest.layers).map(|meta| (meta.id(), meta)).collect();
    let open = |meta: &LayerMeta| {
        let (source, meta, known) = (source.clone(), meta.clone(), known.get(&meta.id()).cloned());
        async move {
            match known {
                Some(layer) => Ok(layer),
                None => Layer::open(source, meta).await.map(Arc::new),
            }
        }
    };
    let opens: Vec<_> = metas.into_values().map(open).collect();
    let opened = futures::stream::iter(opens).buffer_unordered(REQUESTS_MAX);
    opened.map_ok(|layer| (layer.meta.id(), layer)).try_collect().await
}
