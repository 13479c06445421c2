//! Bulk layers on the page server: rows become layers in the store ahead of their commit, and wait for it here.
//!
//! ```text
//! bulk_write ─▶ layers in the store, known here alone ─▶ bulk_finish ─▶ disjoint layers ─▶ commit (log)
//!                                                                                  └─▶ ingest attaches them
//! ```
//!
//! Invariants
//! - A layer that waits is held, so that nobody takes its object for an orphan. What this process did not write, or has
//!   let go of, it refuses to finish: a commit never names an object that may be deleted.
//! - Nothing here has an LSN. A layer gets it when the log's record is applied ([`Layer::stamped`]).

use crate::compact::run::Merge;
use crate::config::Config;
use crate::flush::{put_layer, writer_options};
use crate::layer::writer::{EncodedLayer, LayerWriter};
use crate::layer::{Compression, Layer, ReadError, Version};
use crate::manifest::{LayerId, LayerMeta};
use crate::tablet::{Tablet, Tablets};
use bytes::Bytes;
use common::bulk::BulkLayer;
use common::env::threads;
use common::id::Lsn;
use common::key::{Key, KeyRange};
use common::service::page::{BULK_BYTES_MAX, BULK_KEPT, BulkFinished, BulkRow, PageError};
use futures::{StreamExt, TryStreamExt};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::task::JoinError;
use tokio::time::Instant;

/// Layers that wait at a time: each keeps its index in memory.
const WAITING_MAX: usize = 4096;
/// These layers stay for long if they do not overlap with others, so they are compressed as compaction does.
const COMPRESSION: Compression = Compression::Zstd { level: 1 };
/// Indexes read at the same time.
const OPENS_MAX: usize = 8;

/// Layers that were written here and are not committed.
#[derive(Default)]
pub struct Waiting {
    layers: Mutex<HashMap<LayerId, (Arc<Layer>, Instant)>>,
}

impl Waiting {
    fn put(&self, layer: &Arc<Layer>) -> Result<(), PageError> {
        let mut layers = self.layers.lock();
        layers.retain(|_, (_, since)| since.elapsed() < BULK_KEPT);
        if layers.len() >= WAITING_MAX {
            let text = format!("{WAITING_MAX} layers wait for their commits; commit or give up some of them");
            return Err(PageError::BadRequest(text));
        }
        layers.insert(layer.meta.id(), (layer.clone(), Instant::now()));
        Ok(())
    }

    /// The layer, kept for the full time from now on.
    fn keep(&self, layer: &BulkLayer) -> Result<Arc<Layer>, PageError> {
        let mut layers = self.layers.lock();
        let found = layers.get_mut(&id_of(layer)).filter(|(found, _)| reference(&found.meta) == *layer);
        let (found, since) = found.ok_or_else(|| {
            let text = "the page server does not have a layer of this transaction any more: it was started since, or the \
                        layer waited for its commit too long";
            PageError::BadRequest(text.to_owned())
        })?;
        *since = Instant::now();
        Ok(found.clone())
    }

    fn take(&self, id: LayerId) -> Option<Arc<Layer>> {
        self.layers.lock().remove(&id).map(|(layer, _)| layer)
    }
}

fn id_of(layer: &BulkLayer) -> LayerId {
    LayerId { home: layer.home, generation: layer.generation, sequence: layer.sequence }
}

fn reference(meta: &LayerMeta) -> BulkLayer {
    BulkLayer {
        home: meta.home,
        generation: meta.generation,
        sequence: meta.sequence,
        bytes: meta.bytes,
        index_offset: meta.index_offset,
        first: meta.first.clone(),
        last: meta.last.clone(),
        rows: meta.versions,
        tombstones: meta.tombstones,
    }
}

/// What a manifest says of a layer that was committed at `lsn`.
fn meta_of(layer: &BulkLayer, lsn: Lsn) -> LayerMeta {
    LayerMeta {
        home: layer.home,
        generation: layer.generation,
        sequence: layer.sequence,
        level: 0,
        bytes: layer.bytes,
        index_offset: layer.index_offset,
        first: layer.first.clone(),
        last: layer.last.clone(),
        lsn_min: lsn,
        lsn_max: lsn,
        versions: layer.rows,
        tombstones: layer.tombstones,
        stamped: true,
    }
}

/// Writes rows as layers, one for each tablet that has keys of them.
pub async fn write(tablets: &Tablets, config: &Config, rows: Vec<BulkRow>) -> Result<Vec<BulkLayer>, PageError> {
    let bytes: usize = rows.iter().map(|(key, row)| key.len() + row.as_ref().map_or(0, Bytes::len)).sum();
    if bytes > BULK_BYTES_MAX {
        return Err(PageError::BadRequest(format!("{bytes} bytes of bulk rows are more than {BULK_BYTES_MAX}")));
    }
    if !rows.windows(2).all(|pair| pair[0].0 < pair[1].0) || rows.iter().any(|(key, _)| common::bulk::is_record(key)) {
        return Err(PageError::BadRequest("bulk rows must ascend by key, each key once".into()));
    }
    let set = tablets.set();
    let mut references = Vec::new();
    let mut rest = rows.into_iter().peekable();
    while let Some((first, _)) = rest.peek() {
        let (place, range) = set.place_and_range(first);
        let mut here = Vec::new();
        while let Some(row) = rest.next_if(|(key, _)| range.contains(key)) {
            here.push(row);
        }
        let options = writer_options(config, COMPRESSION);
        let encoded = threads::blocking(move || {
            let mut writer = LayerWriter::new(options);
            here.into_iter().for_each(|(key, row)| writer.push(Version { key, lsn: Lsn::ZERO, row }));
            writer.finish()
        });
        references.push(reference(&put(tablets, &set.tablets[place], encoded).await?.meta));
    }
    Ok(references)
}

/// Into the store, and among those that wait.
async fn put(
    tablets: &Tablets,
    tablet: &Arc<Tablet>,
    encoded: impl Future<Output = Result<Option<EncodedLayer>, JoinError>>,
) -> Result<Arc<Layer>, PageError> {
    let unavailable = |error: &dyn std::fmt::Display| PageError::Unavailable(error.to_string());
    let encoded = encoded.await.map_err(|error| unavailable(&error))?.expect("a layer that is put has rows");
    let layer = put_layer(tablet, encoded, 0).await.map_err(|error| unavailable(&error))?;
    tablets.bulk.put(&layer)?;
    Ok(layer)
}

/// Encoded on a thread that may take long.
async fn finished(writer: LayerWriter) -> Result<Option<EncodedLayer>, JoinError> {
    threads::blocking(move || writer.finish()).await
}

/// See `PageService::bulk_finish`.
pub async fn finish(tablets: &Tablets, config: &Config, layers: Vec<BulkLayer>) -> Result<BulkFinished, PageError> {
    let mut open = layers.iter().map(|layer| tablets.bulk.keep(layer)).collect::<Result<Vec<_>, PageError>>()?;
    open.sort_by(|a, b| a.meta.first.cmp(&b.meta.first));
    let mut ready = Vec::new();
    let mut open = open.into_iter().peekable();
    while let Some(layer) = open.next() {
        let mut last = layer.meta.last.clone();
        let mut group = vec![layer];
        while let Some(next) = open.next_if(|next| next.meta.first <= last) {
            last = last.max(next.meta.last.clone());
            group.push(next);
        }
        if let [layer] = &group[..] {
            ready.push(reference(&layer.meta));
            continue;
        }
        match merge(tablets, config, &group).await? {
            Ok(merged) => ready.extend(merged),
            Err(key) => return Ok(BulkFinished::Duplicate(key)),
        }
        // The group's layers stay for their time, for a call that is repeated because its answer was lost.
    }
    Ok(BulkFinished::Ready(ready))
}

/// Layers without keys in common that have the rows of `group`; the key, where two have it.
async fn merge(
    tablets: &Tablets,
    config: &Config,
    group: &[Arc<Layer>],
) -> Result<Result<Vec<BulkLayer>, Key>, PageError> {
    let set = tablets.set();
    let mut merge = Merge::new(group, &KeyRange::all());
    let mut merged = Vec::new();
    let mut current: Option<(usize, KeyRange, LayerWriter)> = None;
    while let Some(mut versions) = merge.next_key().await? {
        let Some(version) = versions.pop().filter(|_| versions.is_empty()) else {
            return Ok(Err(versions[0].key.clone()));
        };
        let stays = |(_, range, writer): &mut (usize, KeyRange, LayerWriter)| {
            range.contains(&version.key) && writer.bytes() < config.layer_bytes_max
        };
        if let Some((place, _, full)) = current.take_if(|current| !stays(current)) {
            merged.push(reference(&put(tablets, &set.tablets[place], finished(full)).await?.meta));
        }
        let (_, _, writer) = current.get_or_insert_with(|| {
            let (place, range) = set.place_and_range(&version.key);
            (place, range, LayerWriter::new(writer_options(config, COMPRESSION)))
        });
        writer.push(version);
        tokio::task::consume_budget().await;
    }
    if let Some((place, _, writer)) = current {
        merged.push(reference(&put(tablets, &set.tablets[place], finished(writer)).await?.meta));
    }
    Ok(Ok(merged))
}

/// The layers that a transaction attaches, open: those that were written here are at hand.
pub async fn open(tablets: &Tablets, layers: &[BulkLayer], lsn: Lsn) -> Result<Vec<Arc<Layer>>, ReadError> {
    let opens = layers.iter().map(|layer| {
        let (source, meta) = (tablets.source.clone(), meta_of(layer, lsn));
        let at_hand = tablets.bulk.take(meta.id());
        async move {
            match at_hand {
                Some(layer) => Ok(Arc::new(layer.stamped(lsn))),
                None => Layer::open(source, meta).await.map(Arc::new),
            }
        }
    });
    let opens: Vec<_> = opens.collect();
    futures::stream::iter(opens).buffered(OPENS_MAX).try_collect().await
}
