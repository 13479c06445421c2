//! One compaction: a merge that streams from its inputs to its outputs, beside flushes and reads.
//!
//! Memory: two windows of blocks per sorted run of inputs, and one layer being written.

use super::choose::Plan;
use super::retention::{Retention, bound_history, retain};
use crate::config::Config;
use crate::flush::{FlushError, put_layer, writer_options};
use crate::layer::encode::{Pending, Stored};
use crate::layer::reader::{Layer, ReadError};
use crate::layer::sequential::Sequential;
use crate::layer::writer::LayerWriter;
use crate::layer::{Block, Compression, FormatError};
use crate::manifest::{Kept, LayerId};
use crate::tablet::{LayerSet, Tablet};
use common::env::threads;
use common::id::Lsn;
use common::key::{Key, KeyRange};
use std::cmp::Reverse;
use std::collections::VecDeque;
use std::sync::Arc;

/// Compacted data stays for long: the first zstd level costs little more than lz4 and takes a third less.
const COMPRESSION: Compression = Compression::Zstd { level: 1 };
/// Keys merged before other tasks get their turn.
const KEYS_PER_TURN: usize = 256;

/// What is read of all inputs and not merged yet, about; each sorted run has two windows of it, one of them on its way.
const READ_BYTES: u64 = 32 << 20;
/// Time to the first byte is what a request costs most; beyond this it is a small part.
const WINDOW_BYTES_MAX: u64 = 4 << 20;
const WINDOW_BYTES_MIN: u64 = 512 << 10;

/// What the versions of one key may take: they lie in one block, which is read whole.
const HISTORY_BYTES_MAX: usize = 64 << 20;

#[derive(Debug, thiserror::Error)]
pub enum CompactError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("{0}")]
    Write(#[from] FlushError),
}

/// Merges the inputs of a plan and publishes what comes out. Returns the inputs, which the tablet no longer names.
pub async fn compact(
    tablet: &Arc<Tablet>,
    config: &Config,
    plan: &Plan,
    retention: &Retention,
    range: &KeyRange,
) -> Result<Vec<Arc<Layer>>, CompactError> {
    let removed: Vec<LayerId> = plan.inputs.iter().map(|input| input.id()).collect();
    if plan.move_only {
        let mut moved = plan.inputs.clone();
        moved.iter_mut().for_each(|layer| layer.level = plan.level);
        let published = tablet.publish(Vec::new(), |manifest| manifest.with_layers(&removed, moved)).await;
        published.map_err(FlushError::from)?;
        return Ok(Vec::new());
    }
    let snapshot = tablet.snapshot();
    let inputs: Vec<Arc<Layer>> =
        snapshot.layers.iter().filter(|layer| removed.contains(&layer.meta.id())).cloned().collect();
    assert_eq!(inputs.len(), plan.inputs.len(), "only compaction removes layers");
    drop(snapshot);
    let mut merge = Merge::new(&inputs, range);
    let mut output = Output { tablet, level: plan.level, layers: Vec::new() };
    let mut writer = LayerWriter::new(writer_options(config, COMPRESSION));
    let mut cuts = plan.cuts.iter().peekable();
    let (mut tombstones_dropped, mut keys, mut kept) = (Lsn::ZERO, 0, retention.kept());
    while let Some(mut versions) = merge.next_key().await? {
        if let Some(lsn) = retain(&mut versions, &kept, plan.drop_tombstones) {
            tombstones_dropped = tombstones_dropped.max(lsn);
        }
        if let Some(raised) = bound_history(&mut versions, HISTORY_BYTES_MAX, &retention.points) {
            kept = kept.and(&Kept::new(raised, &retention.points));
        }
        let Some(next) = versions.first() else { continue };
        let is_cut = cuts.peek().is_some_and(|cut| **cut <= next.key);
        while cuts.next_if(|cut| **cut <= next.key).is_some() {}
        if is_cut || writer.bytes() >= config.layer_bytes_max {
            let full = std::mem::replace(&mut writer, LayerWriter::new(writer_options(config, COMPRESSION)));
            output.put(full).await?;
        }
        versions.into_iter().for_each(|version| writer.push(version));
        keys += 1;
        if keys % KEYS_PER_TURN == 0 {
            tokio::task::yield_now().await;
        }
    }
    output.put(writer).await?;
    let opened = output.layers;
    let added = opened.iter().map(|layer| layer.meta.clone()).collect();
    let published = tablet.publish(opened, |manifest| {
        let mut next = manifest.with_layers(&removed, added);
        next.kept = next.kept.and(&kept);
        next.tombstones_dropped = next.tombstones_dropped.max(tombstones_dropped);
        next
    });
    published.await.map_err(FlushError::from)?;
    tablet.source.metrics.compactions.inc();
    Ok(inputs)
}

struct Output<'a> {
    tablet: &'a Arc<Tablet>,
    level: u32,
    layers: Vec<Arc<Layer>>,
}

impl Output<'_> {
    async fn put(&mut self, writer: LayerWriter) -> Result<(), CompactError> {
        let encoded = threads::blocking(move || writer.finish()).await.map_err(FlushError::from)?;
        let Some(encoded) = encoded else { return Ok(()) };
        self.tablet.source.metrics.compaction_bytes.inc_by(encoded.bytes.len() as u64);
        let layer = put_layer(self.tablet, encoded, self.level).await.map_err(FlushError::from)?;
        self.layers.push(layer);
        Ok(())
    }
}

/// All versions of the inputs within a range, key by key.
pub struct Merge {
    runs: Vec<Run>,
    range: KeyRange,
}

/// Layers that follow each other by key.
struct Run {
    layers: VecDeque<Arc<Layer>>,
    /// Of the layer before those.
    blocks: Option<Sequential>,
    window_bytes: u64,
    current: Option<Current>,
}

struct Current {
    block: Arc<Block>,
    keys: Vec<Key>,
    /// Of a row, about.
    row_bytes: u32,
    at: usize,
}

impl Merge {
    pub fn new(inputs: &[Arc<Layer>], range: &KeyRange) -> Merge {
        let runs = LayerSet::of(inputs.to_vec()).runs(range);
        let window_bytes = (READ_BYTES / 2 / runs.len().max(1) as u64).clamp(WINDOW_BYTES_MIN, WINDOW_BYTES_MAX);
        let run = |layers: Vec<_>| Run { layers: layers.into(), blocks: None, window_bytes, current: None };
        Merge { runs: runs.into_iter().map(run).collect(), range: range.clone() }
    }

    /// The versions of the next key, newest first.
    pub async fn next_key(&mut self) -> Result<Option<Vec<Pending>>, ReadError> {
        for run in &mut self.runs {
            if run.key().is_none() {
                run.fill(&self.range).await?;
            }
        }
        let Some(key) = self.runs.iter().filter_map(Run::key).min().cloned() else { return Ok(None) };
        let mut versions = Vec::with_capacity(1);
        for run in &mut self.runs {
            // The versions of a key are in one block.
            run.take(&key, &mut versions);
        }
        versions.sort_by_key(|version| Reverse(version.lsn));
        Ok(Some(versions))
    }
}

impl Run {
    async fn fill(&mut self, range: &KeyRange) -> Result<(), ReadError> {
        while self.key().is_none() {
            self.current = None;
            let Some(blocks) = &mut self.blocks else {
                let Some(layer) = self.layers.pop_front() else { return Ok(()) };
                self.blocks = Some(Sequential::new(layer, range, self.window_bytes));
                continue;
            };
            let Some((number, bytes)) = blocks.next().await? else {
                self.blocks = None;
                continue;
            };
            let layer = blocks.layer().clone();
            let entry = &layer.index.blocks[number];
            let within = range.contains(&entry.first) && range.contains(&entry.last);
            let block = layer.block_apart(number, bytes).await?;
            let mut keys = block.keys().decode(0..block.rows());
            let mut at = 0;
            if !within {
                at = keys.partition_point(|key| *key < range.start);
                keys.truncate(keys.partition_point(|key| range.end.is_empty() || *key < range.end));
            }
            let corrupt = |what| layer.corrupt(number, what);
            block.check_rows().map_err(corrupt)?;
            let row_bytes = row_bytes(&block).map_err(corrupt)?;
            self.current = Some(Current { block, keys, row_bytes, at });
        }
        Ok(())
    }

    fn key(&self) -> Option<&Key> {
        let current = self.current.as_ref()?;
        current.keys.get(current.at)
    }

    fn take(&mut self, key: &Key, versions: &mut Vec<Pending>) {
        let Some(Current { block, keys, row_bytes, at }) = &mut self.current else { return };
        while keys.get(*at) == Some(key) {
            let stored = if block.is_tombstone(*at) || block.is_opaque(*at) {
                Stored::Row(block.row(*at).expect("a block is checked when it comes"))
            } else {
                Stored::InBlock { block: block.clone(), index: *at as u32, bytes: *row_bytes }
            };
            versions.push(Pending { key: key.clone(), lsn: block.lsn(*at), stored });
            *at += 1;
        }
    }
}

/// What a row of a block takes as a row, by some of them.
fn row_bytes(block: &Block) -> Result<u32, FormatError> {
    const SAMPLES: usize = 4;
    let mut bytes = 0;
    for sample in 0..SAMPLES {
        bytes += block.row(sample * block.rows() / SAMPLES)?.map_or(0, |row| row.len());
    }
    Ok((bytes / SAMPLES) as u32)
}
