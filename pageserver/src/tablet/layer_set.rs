//! The open layers of a tablet, in the order in which readers ask them.

use crate::layer::Layer;
use crate::manifest::{LayerId, Manifest, sorted_runs};
use common::key::KeyRange;
use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

#[derive(Clone, Default)]
pub struct LayerSet {
    /// Newest first: those of level 0, then each level. In a run layers ascend by key and do not overlap.
    runs: Vec<Vec<Arc<Layer>>>,
}

impl LayerSet {
    pub fn of(mut layers: Vec<Arc<Layer>>) -> LayerSet {
        // As in manifests: see `Manifest::with_layers`.
        layers.sort_by(|a, b| {
            let newest_first = |layer: &Layer| Reverse((layer.meta.lsn_max, layer.meta.stamped));
            let by_place =
                if a.meta.level == 0 { newest_first(a).cmp(&newest_first(b)) } else { a.meta.first.cmp(&b.meta.first) };
            a.meta.level.cmp(&b.meta.level).then(by_place)
        });
        LayerSet { runs: sorted_runs(layers, |layer| &layer.meta) }
    }

    /// Arranges the layers that `manifest` names; `None` if one of them is not among `open`.
    pub fn arrange(manifest: &Manifest, open: impl Iterator<Item = Arc<Layer>>) -> Option<LayerSet> {
        let open: HashMap<LayerId, Arc<Layer>> = open.map(|layer| (layer.meta.id(), layer)).collect();
        let mut layers = Vec::with_capacity(manifest.layers.len());
        for meta in &manifest.layers {
            let layer = open.get(&meta.id())?.clone();
            // A layer that moved to another level without being rewritten.
            layers.push(if layer.meta == *meta { layer } else { Arc::new(layer.with_meta(meta.clone())) });
        }
        Some(LayerSet::of(layers))
    }

    /// These layers and `others`, whose keys lie elsewhere or which are newer.
    pub fn with<'a>(&'a self, others: impl IntoIterator<Item = &'a Arc<Layer>>) -> LayerSet {
        let known: HashSet<LayerId> = self.iter().map(|layer| layer.meta.id()).collect();
        let new = others.into_iter().filter(|layer| !known.contains(&layer.meta.id()));
        LayerSet::of(self.iter().chain(new).cloned().collect())
    }

    /// The layers that hold keys of `range`.
    pub fn overlapping(&self, range: &KeyRange) -> LayerSet {
        LayerSet { runs: self.runs(range) }
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<Layer>> {
        self.runs.iter().flatten()
    }

    /// The layers that can hold `key`, in reading order.
    pub fn holding<'a>(&'a self, key: &'a [u8]) -> impl Iterator<Item = &'a Arc<Layer>> {
        self.runs.iter().filter_map(move |run| {
            let layer = run.get(run.partition_point(|layer| layer.meta.last < key))?;
            (layer.meta.first <= key).then_some(layer)
        })
    }

    /// Sorted runs as far as they overlap `range`, newest first.
    pub fn runs(&self, range: &KeyRange) -> Vec<Vec<Arc<Layer>>> {
        let within = |layer: &&Arc<Layer>| layer.meta.overlaps_range(range);
        let runs = self.runs.iter().map(|run| run.iter().filter(within).cloned().collect::<Vec<_>>());
        runs.filter(|run| !run.is_empty()).collect()
    }

    /// How many layers a point read may have to look into at most.
    pub fn run_count(&self) -> usize {
        self.runs.len()
    }
}
