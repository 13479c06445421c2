//! Point reads: memtables, then layers from new to old; the first that has a version at or below the LSN answers.
//!
//! Keys whose blocks are in memory are answered at once; the others wait for their blocks together.

use crate::layer::reader::{Layer, ReadError, key_hash};
use crate::metrics::Metrics;
use crate::tablet::Snapshot;
use bytes::Bytes;
use common::id::Lsn;
use common::key::Key;
use common::service::page::{PageError, RowVersion};
use futures::{StreamExt, TryStreamExt};
use std::sync::Arc;

/// Blocks of one multi-get that are fetched at the same time.
const FETCHES_MAX: usize = 32;

/// A version that was found: `None` for a tombstone.
pub type Found = (Lsn, Option<Bytes>);

enum Lookup {
    Done(Option<Found>),
    /// This block has to be fetched; then the search goes on at this layer.
    Fetch {
        layer: Arc<Layer>,
        block: usize,
    },
}

pub async fn get(
    snapshot: &Snapshot,
    metrics: &Metrics,
    keys: &[Key],
    lsn: Lsn,
) -> Result<Vec<Option<Found>>, PageError> {
    let mut found: Vec<Option<Found>> = Vec::with_capacity(keys.len());
    let mut waiting: Vec<(usize, Arc<Layer>, usize)> = Vec::new();
    for (index, key) in keys.iter().enumerate() {
        match lookup(snapshot, metrics, key, lsn)? {
            Lookup::Done(version) => found.push(version),
            Lookup::Fetch { layer, block } => {
                found.push(None);
                waiting.push((index, layer, block));
            }
        }
    }
    metrics.keys_read.inc_by(keys.len() as u64);
    if waiting.is_empty() {
        return Ok(found);
    }
    let fetches = waiting.into_iter().map(|(index, layer, block)| async move {
        let version = lookup_fetching(snapshot, metrics, &keys[index], lsn, layer, block).await?;
        Ok::<_, PageError>((index, version))
    });
    // Boxed: a stream of borrowing futures is otherwise too general for the compiler to see that it can be sent.
    let mut fetched = futures::stream::iter(fetches.collect::<Vec<_>>()).buffer_unordered(FETCHES_MAX).boxed();
    while let Some((index, version)) = fetched.try_next().await? {
        found[index] = version;
    }
    drop(fetched);
    Ok(found)
}

/// Fetches what the search needs, block by block, and searches again: what was fetched is in memory then.
async fn lookup_fetching(
    snapshot: &Snapshot,
    metrics: &Metrics,
    key: &Key,
    lsn: Lsn,
    layer: Arc<Layer>,
    block: usize,
) -> Result<Option<Found>, PageError> {
    let in_memtable = in_memtables(snapshot, key, lsn);
    if in_memtable.is_some() {
        return Ok(in_memtable);
    }
    // The layers before `layer` have been asked: they do not hold the key, and layers do not change.
    let hash = key_hash(key);
    let mut begun = false;
    let mut touched = 0;
    for candidate in snapshot.layers.holding(key) {
        begun |= Arc::ptr_eq(candidate, &layer);
        if !begun || candidate.meta.lsn_min > lsn || !candidate.may_contain(key, hash) {
            continue;
        }
        let number = if Arc::ptr_eq(candidate, &layer) { Some(block) } else { candidate.block_of(key) };
        let Some(number) = number else { continue };
        touched += 1;
        let block = candidate.block(number).await?;
        if let Some(found) = in_block(candidate, number, &block, key, lsn)? {
            metrics.layers_touched.observe(f64::from(touched));
            return Ok(Some(found));
        }
    }
    metrics.layers_touched.observe(f64::from(touched));
    Ok(None)
}

fn in_memtables(snapshot: &Snapshot, key: &Key, lsn: Lsn) -> Option<Found> {
    // An empty table is common where most is read and little written: no lock is taken for it.
    let active = if snapshot.active.is_empty() { None } else { snapshot.active.get(key, lsn) };
    active.or_else(|| snapshot.frozen.iter().find_map(|frozen| frozen.table.get(key, lsn)))
}

fn in_block(
    layer: &Layer,
    number: usize,
    block: &crate::layer::Block,
    key: &Key,
    lsn: Lsn,
) -> Result<Option<Found>, ReadError> {
    let Some(row) = block.find(key, lsn) else { return Ok(None) };
    let stored = block.row(row).map_err(|what| layer.corrupt(number, what))?;
    Ok(Some((block.lsn(row), stored)))
}

fn lookup(snapshot: &Snapshot, metrics: &Metrics, key: &Key, lsn: Lsn) -> Result<Lookup, PageError> {
    let found = in_memtables(snapshot, key, lsn);
    if found.is_some() {
        return Ok(Lookup::Done(found));
    }
    let hash = key_hash(key);
    let mut touched = 0;
    for layer in snapshot.layers.holding(key) {
        if layer.meta.lsn_min > lsn || !layer.may_contain(key, hash) {
            continue;
        }
        let Some(number) = layer.block_of(key) else { continue };
        touched += 1;
        let Some(block) = layer.block_in_memory(number) else {
            return Ok(Lookup::Fetch { layer: layer.clone(), block: number });
        };
        if let Some(found) = in_block(layer, number, &block, key, lsn)? {
            metrics.layers_touched.observe(f64::from(touched));
            return Ok(Lookup::Done(Some(found)));
        }
    }
    metrics.layers_touched.observe(f64::from(touched));
    Ok(Lookup::Done(None))
}

/// What a get answers: tombstones are rows that are not there.
pub fn rows(found: Vec<Option<Found>>) -> Vec<Option<RowVersion>> {
    found.into_iter().map(|version| version.and_then(|(lsn, row)| Some(RowVersion { lsn, row: row? }))).collect()
}
