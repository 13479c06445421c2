//! What a store holds, for a log that is started beside it; and the way back to the last complete cut where the log is
//! gone.
//!
//! Tablets are flushed one after the other. Where a crash came between, some have layers above the cut that the first
//! tablet's manifest names. With the log at hand that is fine: it fills the rest in. Without it those layers hold parts of
//! transactions, and go. They can go whole: flushes end at cuts, and compaction waits for the cut.

use super::open::{new_owner, stored_snapshots, take_over};
use crate::StartError;
use crate::cache::BlockCache;
use crate::config::CacheConfig;
use crate::layer::FormatError;
use crate::layer::reader::LayerSource;
use crate::manifest::{Manifest, ManifestError, ManifestStore};
use crate::metrics::Metrics;
use crate::read::scan::scan;
use common::cluster_map::{ClusterMap, FIRST_TABLET};
use common::env::objects::Objects;
use common::id::{Lsn, TabletId};
use common::key::Key;
use common::prepared::{self, PreparedLocks};
use common::service::page::{Direction, ScanBatch, ScanOutput, ScanRequest};
use common::service::wal::CounterBump;
use futures::{StreamExt, TryStreamExt};
use object_store::ObjectMeta;
use object_store::path::Path;
use std::sync::Arc;

const REQUESTS_MAX: usize = 16;

/// What the object store holds, for a log that is started afresh beside it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StoredState {
    /// Transactions up to here are in layers: a new log must continue above.
    pub durable: Lsn,
    /// Some tablet is ahead: a log that goes on with this store must reach up to here. A new log may not be started
    /// before [`recover`].
    pub newest: Lsn,
    /// Wall clock of the batch that `durable` came with: a new log's clock must not be behind.
    pub time_us: u64,
    /// AUTO_INCREMENT counters at `durable`.
    pub counters: Vec<CounterBump>,
    /// The tablets at `durable`.
    pub map: ClusterMap,
    /// Transactions that are prepared at `durable`, by the keys of their records. [`recover`] alone says so.
    pub prepared: Vec<(Key, PreparedLocks)>,
}

/// Reads what the newest manifests on `store` say; nothing is changed.
pub async fn stored_state(objects: Objects) -> Result<StoredState, StartError> {
    let newest = ManifestStore::new(objects.clone(), FIRST_TABLET).newest().await?;
    let Some(first) = newest else { return Ok(StoredState::default()) };
    let map = first.map.clone().unwrap_or_default();
    let others = map.tablets().skip(1).map(|id| newest_of(&objects, id));
    let others: Vec<Manifest> = futures::stream::iter(others).buffer_unordered(REQUESTS_MAX).try_collect().await?;
    let newest = others.iter().map(|manifest| manifest.durable).max().unwrap_or_default().max(first.durable);
    Ok(state(first, newest))
}

async fn newest_of(objects: &Objects, id: TabletId) -> Result<Manifest, StartError> {
    let newest = ManifestStore::new(objects.clone(), id).newest().await?;
    newest.ok_or(StartError::MissingTablet(id))
}

fn state(first: Manifest, newest: Lsn) -> StoredState {
    let bump = |(counter, next)| CounterBump { counter, next, reset: true };
    StoredState {
        durable: first.durable,
        newest,
        time_us: first.durable_time_us,
        map: first.map.unwrap_or_default(),
        counters: first.counters.into_iter().map(bump).collect(),
        prepared: Vec::new(),
    }
}

/// For a store whose log is gone: fences out whoever used it, and leaves every tablet at the last complete cut, which is
/// returned. Can be repeated. Must not be used where the log goes on: transactions that it has told page servers to have
/// would be missing.
pub async fn recover(objects: &Objects) -> Result<StoredState, StartError> {
    if ManifestStore::new(objects.clone(), FIRST_TABLET).newest().await?.is_none() {
        return Ok(StoredState::default());
    }
    let owner = new_owner();
    let first = take_over(objects, FIRST_TABLET, owner, None).await?;
    let cut = first.durable;
    // Ids that were given out after the cut are not given out again.
    let used = objects.list(&Path::from("tablets")).await?.iter().filter_map(tablet_of).max();
    let map = first.map.clone().unwrap_or_default().without_ids_up_to(used.unwrap_or_default());
    let manifests = ManifestStore::new(objects.clone(), FIRST_TABLET);
    let first = manifests.publish(Manifest { map: Some(map.clone()), ..first.with_layers(&[], Vec::new()) }).await?;
    for id in map.tablets().skip(1) {
        let newest = take_over(objects, id, owner, Some(first.generation)).await?;
        if newest.durable > cut {
            let manifests = ManifestStore::new(objects.clone(), id);
            let back = rolled_back(&newest, cut).map_err(|what| {
                StartError::Manifest(ManifestError::Corrupt { object: manifests.path(newest.number), what })
            })?;
            tracing::warn!(tablet = %id, %cut, was = %newest.durable, "went back to the last complete cut");
            manifests.publish(back).await?;
        }
    }
    let prepared = prepared_at(objects, &map, cut).await?;
    Ok(StoredState { prepared, ..state(first, cut) })
}

/// The records of prepared transactions: their locks are the log's, which is to hold them again.
async fn prepared_at(objects: &Objects, map: &ClusterMap, cut: Lsn) -> Result<Vec<(Key, PreparedLocks)>, StartError> {
    let metrics = Arc::new(Metrics::new());
    let config = CacheConfig { memory_bytes: 1 << 20, disk: None };
    let cache = Arc::new(BlockCache::open(&config, metrics.clone()).await.map_err(StartError::Cache)?);
    let source = LayerSource::new(objects.clone(), cache, metrics.clone());
    let mut found = Vec::new();
    for (snapshot, range) in stored_snapshots(&source, map, &prepared::all()).await? {
        let request = ScanRequest {
            lsn: cut,
            ranges: vec![range],
            direction: Direction::Forward,
            limit: None,
            output: ScanOutput::Rows,
            bounds: Vec::new(),
            batch_rows: 256,
        };
        let mut batches = scan(snapshot, metrics.clone(), request);
        while let Some(batch) = batches.next().await {
            let batch = batch.map_err(|error| StartError::Prepared(error.to_string()))?;
            let ScanBatch::Rows(rows) = batch else { continue };
            for row in rows {
                match prepared::decode_head(&row.row) {
                    Ok(head) => found.push((row.key, head)),
                    Err(error) => return Err(StartError::Prepared(error.to_string())),
                }
            }
        }
    }
    Ok(found)
}

/// The tablet that an object belongs to by its name.
fn tablet_of(object: &ObjectMeta) -> Option<TabletId> {
    let (id, _) = object.location.as_ref().strip_prefix("tablets/")?.split_once('/')?;
    Some(TabletId(id.parse().ok()?))
}

/// The manifest as it was at `cut`.
fn rolled_back(manifest: &Manifest, cut: Lsn) -> Result<Manifest, FormatError> {
    let newer: Vec<_> = manifest.layers.iter().filter(|layer| layer.lsn_min > cut).map(|layer| layer.id()).collect();
    let mut back = manifest.with_layers(&newer, Vec::new());
    if back.layers.iter().any(|layer| layer.lsn_max > cut) || back.kept.horizon() > cut {
        return Err(FormatError("a layer reaches over the last complete cut"));
    }
    back.durable = cut;
    Ok(back)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::LayerMeta;

    fn layer(sequence: u64, level: u32, lsn_min: u64, lsn_max: u64) -> LayerMeta {
        LayerMeta {
            home: TabletId(2),
            generation: 1,
            sequence,
            level,
            bytes: 10,
            index_offset: 5,
            first: "a".into(),
            last: "b".into(),
            lsn_min: Lsn(lsn_min),
            lsn_max: Lsn(lsn_max),
            versions: 1,
            tombstones: 0,
            stamped: false,
        }
    }

    #[test]
    fn layers_above_the_cut_go_whole() {
        let mut manifest = Manifest::empty(TabletId(2), 0);
        manifest.durable = Lsn(30);
        manifest = manifest.with_layers(&[], vec![layer(3, 0, 21, 30), layer(2, 0, 11, 20), layer(1, 1, 1, 10)]);
        let back = rolled_back(&manifest, Lsn(20)).unwrap();
        assert_eq!((back.durable, back.layers.len(), back.number), (Lsn(20), 2, manifest.number + 1));
        back.check().unwrap();
        assert!(rolled_back(&manifest, Lsn(15)).is_err(), "flushes end at cuts");
    }
}
