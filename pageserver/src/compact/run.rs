//! Runs compactions: one at a time, streaming, beside flushes and reads.
//!
//! Memory: two windows of blocks per sorted run of inputs, and one layer being written.

use super::choose::{ChooseOptions, Plan, choose};
use super::reaper::Reaper;
use super::retention::{bound_history, retain};
use crate::config::Config;
use crate::flush::{FlushError, put_layer, writer_options};
use crate::layer::reader::{Layer, ReadError};
use crate::layer::sequential::Sequential;
use crate::layer::writer::LayerWriter;
use crate::layer::{Block, Compression, Version};
use crate::manifest::LayerId;
use crate::tablet::{Tablet, Tablets};
use common::env::threads;
use common::id::Lsn;
use common::key::{Key, KeyRange};
use std::cmp::Reverse;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// Compacted data stays for long: the first zstd level costs little more than lz4 and takes a third less.
const COMPRESSION: Compression = Compression::Zstd { level: 1 };
/// Keys merged before other tasks get their turn.
const KEYS_PER_TURN: usize = 256;

/// What is read of all inputs and not merged yet, about; each sorted run has two windows of it, one of them on its way.
const READ_BYTES: u64 = 64 << 20;
/// Time to the first byte is what a request costs most; beyond this it is a small part.
const WINDOW_BYTES_MAX: u64 = 4 << 20;
const WINDOW_BYTES_MIN: u64 = 512 << 10;

/// What the versions of one key may take: they lie in one block, which is read whole.
const HISTORY_BYTES_MAX: usize = 64 << 20;

/// Somebody waits until there is nothing left to compact.
pub type CompactRequest = oneshot::Sender<Result<(), String>>;

#[derive(Debug, thiserror::Error)]
pub enum CompactError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("{0}")]
    Write(#[from] FlushError),
}

pub struct Compactor {
    pub tablets: Arc<Tablets>,
    pub config: Arc<Config>,
    pub requests: mpsc::Receiver<CompactRequest>,
    pub compaction_wanted: Arc<Notify>,
    pub reaper: Reaper,
}

impl Compactor {
    /// Runs until `stop`. A compaction that is cut off leaves objects that the next owner deletes.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut interval = tokio::time::interval(self.config.compaction_interval);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut orphans = tokio::time::interval(self.config.orphans_interval);
        orphans.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let mut request = None;
            let mut look_for_orphans = false;
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.compaction_wanted.notified() => {}
                _ = interval.tick() => {}
                _ = orphans.tick() => look_for_orphans = true,
                received = self.requests.recv() => request = received,
            }
            let work = async {
                let outcome = self.compact_all().await;
                if look_for_orphans || request.is_some() {
                    self.collect_orphans().await;
                }
                outcome
            };
            let outcome = tokio::select! {
                () = stop.cancelled() => return,
                outcome = work => outcome,
            };
            if let Err(error) = &outcome {
                tracing::error!(%error, "compaction failed; reads go on with the layers there are");
            }
            if let Some(request) = request {
                // Whoever asked may have given up.
                let _ = request.send(outcome.map_err(|error| error.to_string()));
            }
        }
    }

    async fn collect_orphans(&mut self) {
        if self.tablets.check_owned().is_err() {
            return;
        }
        match super::leftovers::find(&self.tablets).await {
            Ok(found) => self.reaper.bury_leftovers(&self.tablets.source, found, self.config.orphans_after).await,
            Err(error) => tracing::warn!(%error, "objects that nobody needs were not looked for; trying again later"),
        }
    }

    async fn compact_all(&mut self) -> Result<(), CompactError> {
        let mut changed = true;
        while changed {
            changed = false;
            for tablet in &self.tablets.set().tablets {
                if self.tablets.check_owned().is_err() {
                    return Ok(());
                }
                changed |= self.compact_once(tablet).await?;
            }
        }
        self.reaper.reap(&self.tablets.source, self.config.delete_after).await;
        Ok(())
    }

    /// Does what is most worth doing for a tablet; false if nothing is.
    async fn compact_once(&mut self, tablet: &Arc<Tablet>) -> Result<bool, CompactError> {
        let range = tablet.snapshot().range.clone();
        // While a split or merge is on its way to the store, the store's tablets are not those in memory. Looked at after
        // the range was: one that is smaller already belongs to a change that is pending or done. A split that comes
        // later finds all keys of the larger range in what comes out.
        if !tablet.is_settled() {
            return Ok(false);
        }
        self.reaper.reap(&self.tablets.source, self.config.delete_after).await;
        // What is newer than the last complete cut stays apart, so that it could be taken back.
        let (cut, mut manifest) = (self.tablets.durable(), tablet.manifest().await);
        manifest.layers.retain(|layer| layer.lsn_max <= cut);
        let horizon = self.tablets.retention_horizon(self.config.retention).max(tablet.snapshot().horizon);
        let Some(plan) = choose(&manifest, &ChooseOptions::of(&self.config), horizon, &range) else { return Ok(false) };
        self.compact(tablet, &plan, horizon, &range).await?;
        tablet.prune_manifests(self.config.manifests_kept).await;
        Ok(true)
    }

    async fn compact(
        &mut self,
        tablet: &Arc<Tablet>,
        plan: &Plan,
        horizon: Lsn,
        range: &KeyRange,
    ) -> Result<(), CompactError> {
        let removed: Vec<LayerId> = plan.inputs.iter().map(|input| input.id()).collect();
        if plan.move_only {
            let mut moved = plan.inputs.clone();
            moved.iter_mut().for_each(|layer| layer.level = plan.level);
            let published = tablet.publish(Vec::new(), |manifest| manifest.with_layers(&removed, moved)).await;
            return Ok(published.map_err(FlushError::from)?);
        }
        let snapshot = tablet.snapshot();
        let inputs: Vec<Arc<Layer>> =
            snapshot.layers.iter().filter(|layer| removed.contains(&layer.meta.id())).cloned().collect();
        assert_eq!(inputs.len(), plan.inputs.len(), "only compaction removes layers");
        drop(snapshot);
        let mut merge = Merge::new(&inputs, range);
        let mut output = Output { tablet, level: plan.level, layers: Vec::new() };
        let mut writer = LayerWriter::new(writer_options(&self.config, COMPRESSION));
        let (mut tombstones_dropped, mut keys, mut horizon) = (Lsn::ZERO, 0, horizon);
        while let Some(mut versions) = merge.next_key().await? {
            if let Some(lsn) = retain(&mut versions, horizon, plan.drop_tombstones) {
                tombstones_dropped = tombstones_dropped.max(lsn);
            }
            if let Some(raised) = bound_history(&mut versions, HISTORY_BYTES_MAX) {
                horizon = horizon.max(raised);
            }
            versions.into_iter().for_each(|version| writer.push(version));
            // A merge within level 0 gives one layer: several would have to be disjoint in LSN.
            if plan.level > 0 && writer.bytes() >= self.config.layer_bytes_max {
                let full = std::mem::replace(&mut writer, LayerWriter::new(writer_options(&self.config, COMPRESSION)));
                output.put(full).await?;
            }
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
            next.horizon = next.horizon.max(horizon);
            next.tombstones_dropped = next.tombstones_dropped.max(tombstones_dropped);
            next
        });
        published.await.map_err(FlushError::from)?;
        tablet.source.metrics.compactions.inc();
        drop(merge);
        self.reaper.bury(&inputs);
        Ok(())
    }
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
struct Merge {
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
    layer: Arc<Layer>,
    number: usize,
    block: Arc<Block>,
    keys: Vec<Key>,
    at: usize,
}

impl Merge {
    fn new(inputs: &[Arc<Layer>], range: &KeyRange) -> Merge {
        let mut runs: Vec<(u32, VecDeque<Arc<Layer>>)> = Vec::new();
        // Inputs come in the order of the layer set: by level, and by key within the deeper ones.
        for layer in inputs {
            let level = layer.meta.level;
            match runs.iter_mut().find(|(of, _)| level > 0 && *of == level) {
                Some((_, run)) => run.push_back(layer.clone()),
                None => runs.push((level, VecDeque::from([layer.clone()]))),
            }
        }
        let window_bytes = (READ_BYTES / 2 / runs.len().max(1) as u64).clamp(WINDOW_BYTES_MIN, WINDOW_BYTES_MAX);
        let run = |(_, layers)| Run { layers, blocks: None, window_bytes, current: None };
        Merge { runs: runs.into_iter().map(run).collect(), range: range.clone() }
    }

    /// The versions of the next key, newest first.
    async fn next_key(&mut self) -> Result<Option<Vec<Version>>, ReadError> {
        for run in &mut self.runs {
            run.fill(&self.range).await?;
        }
        let Some(key) = self.runs.iter().filter_map(Run::key).min().cloned() else { return Ok(None) };
        let mut versions = Vec::new();
        for run in &mut self.runs {
            // The versions of a key are in one block.
            run.take(&key, &mut versions)?;
        }
        versions.sort_by_key(|version| Reverse(version.lsn));
        Ok(Some(versions))
    }
}

impl Run {
    async fn fill(&mut self, range: &KeyRange) -> Result<(), ReadError> {
        while self.current.as_ref().is_none_or(|current| current.at >= current.keys.len()) {
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
            let mut keys = block.keys().decode();
            let mut at = 0;
            if !within {
                at = keys.partition_point(|key| *key < range.start);
                keys.truncate(keys.partition_point(|key| range.end.is_empty() || *key < range.end));
            }
            self.current = Some(Current { layer, number, block, keys, at });
        }
        Ok(())
    }

    fn key(&self) -> Option<&Key> {
        self.current.as_ref().map(|current| &current.keys[current.at])
    }

    fn take(&mut self, key: &Key, versions: &mut Vec<Version>) -> Result<(), ReadError> {
        let Some(current) = &mut self.current else { return Ok(()) };
        while current.keys.get(current.at) == Some(key) {
            let row = current.block.row(current.at).map_err(|what| current.layer.corrupt(current.number, what))?;
            // A copy of its own: the block's key list is one piece of memory.
            let key = Key::copy_from_slice(key);
            versions.push(Version { key, lsn: current.block.lsn(current.at), row });
            current.at += 1;
        }
        Ok(())
    }
}
