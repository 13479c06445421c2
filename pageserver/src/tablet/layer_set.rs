//! The open layers of a tablet, in the order in which readers ask them.

use crate::layer::Layer;
use crate::manifest::{LayerId, Manifest};
use common::key::KeyRange;
use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

#[derive(Clone, Default)]
pub struct LayerSet {
    /// Flushed layers, newest first; those that overlap in keys do not overlap in LSN.
    pub level0: Vec<Arc<Layer>>,
    /// Levels 1 and up: in each, layers ascend by key and do not overlap.
    pub levels: Vec<Vec<Arc<Layer>>>,
}

impl LayerSet {
    /// Arranges the layers that `manifest` names; `None` if one of them is not among `open`.
    pub fn arrange(manifest: &Manifest, open: impl Iterator<Item = Arc<Layer>>) -> Option<LayerSet> {
        let open: HashMap<LayerId, Arc<Layer>> = open.map(|layer| (layer.meta.id(), layer)).collect();
        let mut set = LayerSet::default();
        for meta in &manifest.layers {
            let layer = open.get(&meta.id())?.clone();
            // A layer that moved to another level without being rewritten.
            let layer = if layer.meta == *meta { layer } else { Arc::new(layer.with_meta(meta.clone())) };
            match meta.level as usize {
                0 => set.level0.push(layer),
                level => set.level(level).push(layer),
            }
        }
        Some(set)
    }

    /// Layers of level `level`, which is at least 1.
    fn level(&mut self, level: usize) -> &mut Vec<Arc<Layer>> {
        if self.levels.len() < level {
            self.levels.resize_with(level, Vec::new);
        }
        &mut self.levels[level - 1]
    }

    /// These layers and those of `other`, whose keys lie elsewhere.
    pub fn union(mut self, other: &LayerSet) -> LayerSet {
        let known: HashSet<LayerId> = self.iter().map(|layer| layer.meta.id()).collect();
        let new = |layer: &&Arc<Layer>| !known.contains(&layer.meta.id());
        self.level0.extend(other.level0.iter().filter(new).cloned());
        // As in manifests: see `Manifest::with_layers`.
        self.level0.sort_by_key(|layer| Reverse((layer.meta.lsn_max, layer.meta.stamped)));
        for (level, layers) in other.levels.iter().enumerate() {
            let level = self.level(level + 1);
            level.extend(layers.iter().filter(new).cloned());
            level.sort_by(|a, b| a.meta.first.cmp(&b.meta.first));
        }
        self
    }

    /// The layers that hold keys of `range`.
    pub fn overlapping(&self, range: &KeyRange) -> LayerSet {
        let kept = |layers: &Vec<Arc<Layer>>| {
            layers.iter().filter(|layer| layer.meta.overlaps_range(range)).cloned().collect::<Vec<_>>()
        };
        LayerSet { level0: kept(&self.level0), levels: self.levels.iter().map(kept).collect() }
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<Layer>> {
        self.level0.iter().chain(self.levels.iter().flatten())
    }

    /// The layers that can hold `key`, in reading order.
    pub fn holding<'a>(&'a self, key: &'a [u8]) -> impl Iterator<Item = &'a Arc<Layer>> {
        let deeper = self.levels.iter().filter_map(move |level| {
            let at = level.partition_point(|layer| layer.meta.last < key);
            level.get(at)
        });
        self.level0.iter().chain(deeper).filter(move |layer| layer.meta.first <= key && layer.meta.last >= key)
    }

    /// Sorted runs that overlap `range`, newest first: each flushed layer by itself, then each level.
    pub fn runs(&self, range: &KeyRange) -> Vec<Vec<Arc<Layer>>> {
        let within = |layer: &&Arc<Layer>| layer.meta.overlaps_range(range);
        let flushed = self.level0.iter().filter(within).map(|layer| vec![layer.clone()]);
        let deeper = self.levels.iter().map(|level| level.iter().filter(within).cloned().collect::<Vec<_>>());
        flushed.chain(deeper).filter(|run| !run.is_empty()).collect()
    }
}
