//! The open layers of a tablet, in the order in which readers ask them.

use crate::layer::Layer;
use crate::manifest::Manifest;
use common::key::KeyRange;
use std::collections::HashMap;
use std::sync::Arc;

#[derive(Clone, Default)]
pub struct LayerSet {
    /// Flushed layers, newest first; they may overlap.
    pub level0: Vec<Arc<Layer>>,
    /// Levels 1 and up: in each, layers ascend by key and do not overlap.
    pub levels: Vec<Vec<Arc<Layer>>>,
}

impl LayerSet {
    /// Arranges the layers that `manifest` names; `None` if one of them is not among `open`.
    pub fn arrange(manifest: &Manifest, open: impl Iterator<Item = Arc<Layer>>) -> Option<LayerSet> {
        let open: HashMap<(u64, u64), Arc<Layer>> = open.map(|layer| (layer.meta.id(), layer)).collect();
        let mut set = LayerSet::default();
        for meta in &manifest.layers {
            let layer = open.get(&meta.id())?.clone();
            // A layer that moved to another level without being rewritten.
            let layer = if layer.meta == *meta { layer } else { Arc::new(layer.with_meta(meta.clone())) };
            match meta.level as usize {
                0 => set.level0.push(layer),
                level => {
                    if set.levels.len() < level {
                        set.levels.resize_with(level, Vec::new);
                    }
                    set.levels[level - 1].push(layer);
                }
            }
        }
        Some(set)
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
