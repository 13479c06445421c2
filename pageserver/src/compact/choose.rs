//! Which layers to merge next. A pure function of the manifest.
//!
//! Flushed layers (level 0) overlap each other, so each of them may cost a read; from level 1 on, one layer per level
//! can hold a key. Level 0 is kept to a few layers; each deeper level may hold ten times what the one above it may.

use crate::config::Config;
use crate::manifest::{LayerMeta, Manifest};
use common::id::Lsn;
use common::key::KeyRange;

#[derive(Debug, Clone, Copy)]
pub struct ChooseOptions {
    /// Flushed layers before they are merged.
    pub level0_layers: usize,
    pub level1_bytes: u64,
    pub level_growth: u64,
    pub layer_bytes: u64,
}

impl ChooseOptions {
    pub fn of(config: &Config) -> ChooseOptions {
        ChooseOptions {
            level0_layers: config.level0_layers_max,
            level1_bytes: config.level1_bytes,
            level_growth: config.level_growth,
            layer_bytes: config.layer_bytes_max as u64,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    pub inputs: Vec<LayerMeta>,
    /// Level of what comes out.
    pub level: u32,
    /// The one input is named at another level, and not rewritten.
    pub move_only: bool,
    /// No older layer has keys of this range: a tombstone below the horizon hides nothing.
    pub drop_tombstones: bool,
}

/// A plan whose inputs are merged completely, or `None` if all is well. `horizon`: see `retention`. `range`: the keys of
/// the tablet; a layer that it shares with others may have more.
pub fn choose(manifest: &Manifest, options: &ChooseOptions, horizon: Lsn, range: &KeyRange) -> Option<Plan> {
    merge_level0(manifest, options)
        .or_else(|| push_down(manifest, options))
        .or_else(|| drop_deleted(manifest, horizon))
        .or_else(|| narrow(manifest, range))
}

/// A layer with keys of other tablets, which goes when all that share it have rewritten it.
fn narrow(manifest: &Manifest, range: &KeyRange) -> Option<Plan> {
    let wide = manifest.layers.iter().find(|layer| !layer.is_within(range))?;
    Some(plan(manifest, vec![wide.clone()], wide.level, false))
}

fn merge_level0(manifest: &Manifest, options: &ChooseOptions) -> Option<Plan> {
    let level0: Vec<&LayerMeta> = of_level(manifest, 0).collect();
    if level0.len() < options.level0_layers.max(1) {
        return None;
    }
    // In order of insertion, keys ascend and layers do not overlap: no need to rewrite them.
    let oldest = *level0.last()?;
    // What comes out may span everything from the first key to the last: layers between two flushed ones belong to it.
    let first = level0.iter().map(|flushed| &flushed.first).min()?;
    let last = level0.iter().map(|flushed| &flushed.last).max()?;
    let overlap: Vec<&LayerMeta> =
        of_level(manifest, 1).filter(|layer| layer.first <= *last && layer.last >= *first).collect();
    if oldest.bytes * 4 >= options.layer_bytes && !of_level(manifest, 1).any(|layer| layer.overlaps(oldest)) {
        return Some(plan(manifest, vec![oldest.clone()], 1, true));
    }
    let (level0_bytes, overlap_bytes) = (bytes(level0.iter().copied()), bytes(overlap.iter().copied()));
    // Small flushes are first merged among themselves; rewriting a large level 1 for them would cost too much.
    if level0_bytes * 4 < overlap_bytes && level0.len() < 2 * options.level0_layers {
        let mut together = 0;
        let alike = level0.iter().take_while(|layer| {
            let joins = together == 0 || layer.bytes <= 2 * together;
            together += layer.bytes;
            joins
        });
        let mut newest: Vec<LayerMeta> = alike.map(|layer| (*layer).clone()).collect();
        // Those of tablets that were merged may be of one time: they go together.
        let oldest = |newest: &[LayerMeta]| newest.iter().map(|layer| layer.lsn_min).min();
        while let Some(next) = level0.get(newest.len())
            && Some(next.lsn_max) >= oldest(&newest)
        {
            newest.push((*next).clone());
        }
        // Neighbours in LSN, so that what comes out fits between those that stay.
        if newest.len() > 1 && newest.len() * 2 >= options.level0_layers {
            return Some(plan(manifest, newest, 0, false));
        }
        return None;
    }
    let inputs = level0.into_iter().chain(overlap).cloned().collect();
    Some(plan(manifest, inputs, 1, false))
}

/// From a level that is too large, the layer that costs least to merge into the next one.
fn push_down(manifest: &Manifest, options: &ChooseOptions) -> Option<Plan> {
    let deepest = manifest.layers.last()?.level;
    let mut level_bytes_max = options.level1_bytes;
    for level in 1..=deepest {
        if bytes(of_level(manifest, level)) > level_bytes_max {
            let overlapping = |layer: &LayerMeta| -> Vec<LayerMeta> {
                of_level(manifest, level + 1).filter(|other| other.overlaps(layer)).cloned().collect()
            };
            // In hundredths, so that small differences count.
            let cost = |layer: &&LayerMeta| bytes(overlapping(layer).iter()) * 100 / layer.bytes.max(1);
            let cheapest = of_level(manifest, level).min_by_key(cost)?;
            let below = overlapping(cheapest);
            let move_only = below.is_empty();
            let inputs = std::iter::once(cheapest.clone()).chain(below).collect();
            return Some(plan(manifest, inputs, level + 1, move_only));
        }
        level_bytes_max = level_bytes_max.saturating_mul(options.level_growth);
    }
    None
}

/// A layer that is mostly tombstones which have outlived their use.
fn drop_deleted(manifest: &Manifest, horizon: Lsn) -> Option<Plan> {
    let due = |layer: &&LayerMeta| layer.level > 0 && layer.tombstones * 2 > layer.versions && layer.lsn_max <= horizon;
    let candidates = manifest.layers.iter().filter(due);
    candidates.map(|layer| plan(manifest, vec![layer.clone()], layer.level, false)).find(|plan| plan.drop_tombstones)
}

fn of_level(manifest: &Manifest, level: u32) -> impl Iterator<Item = &LayerMeta> {
    manifest.layers.iter().filter(move |layer| layer.level == level)
}

fn bytes<'a>(layers: impl Iterator<Item = &'a LayerMeta>) -> u64 {
    layers.map(|layer| layer.bytes).sum()
}

fn plan(manifest: &Manifest, inputs: Vec<LayerMeta>, level: u32, move_only: bool) -> Plan {
    let is_input = |layer: &LayerMeta| inputs.iter().any(|input| input.id() == layer.id());
    let newest = inputs.iter().map(|input| input.lsn_max).max().unwrap_or_default();
    let shallowest = inputs.iter().map(|input| input.level).min().unwrap_or_default();
    // Newer than all inputs: above them, or flushed after them.
    let newer = |layer: &LayerMeta| layer.level < shallowest || (layer.level == 0 && layer.lsn_min > newest);
    let (first, last) = (inputs.iter().map(|input| &input.first).min(), inputs.iter().map(|input| &input.last).max());
    let within = |layer: &LayerMeta| Some(&layer.first) <= last && Some(&layer.last) >= first;
    let drop_tombstones = !manifest.layers.iter().any(|layer| !is_input(layer) && !newer(layer) && within(layer));
    Plan { inputs, level, move_only, drop_tombstones }
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::id::TabletId;

    const OPTIONS: ChooseOptions =
        ChooseOptions { level0_layers: 3, level1_bytes: 100, level_growth: 10, layer_bytes: 40 };

    #[test]
    fn a_merge_takes_what_lies_between_its_inputs() {
        let lines = ["0 x-z 5-5 30", "0 a-b 4-4 30", "0 a-c 3-3 30", "1 a-a 1-1 10", "1 m-n 2-2 10"];
        let plan = choose(&manifest(&lines), &OPTIONS, Lsn::ZERO, &KeyRange::all()).unwrap();
        assert_eq!((plan.level, plan.inputs.len()), (1, 5));
    }

    /// "level first-last lsn-lsn bytes", sequence numbers in order.
    fn manifest(lines: &[&str]) -> Manifest {
        let mut manifest = Manifest::empty(TabletId(1), 0);
        for (line, sequence) in lines.iter().zip(1..) {
            let words: Vec<&str> = line.split(' ').collect();
            let (first, last) = words[1].split_once('-').unwrap();
            let (lsn_min, lsn_max) = words[2].split_once('-').unwrap();
            let mut layer = LayerMeta {
                home: TabletId(1),
                generation: 1,
                sequence,
                level: words[0].parse().unwrap(),
                bytes: words[3].parse().unwrap(),
                index_offset: 0,
                first: first.to_owned().into(),
                last: last.to_owned().into(),
                lsn_min: Lsn(lsn_min.parse().unwrap()),
                lsn_max: Lsn(lsn_max.parse().unwrap()),
                versions: 10,
                tombstones: 0,
            };
            layer.tombstones = words.get(4).map_or(0, |count| count.parse().unwrap());
            manifest.layers.push(layer);
            manifest.durable = Lsn(1000);
        }
        manifest.check().unwrap();
        manifest
    }

    fn chosen(lines: &[&str]) -> String {
        match choose(&manifest(lines), &OPTIONS, Lsn(50), &KeyRange::all()) {
            None => "nothing".into(),
            Some(plan) => {
                let inputs: Vec<String> = plan.inputs.iter().map(|layer| layer.sequence.to_string()).collect();
                let how = if plan.move_only { "move" } else { "merge" };
                let tombstones = if plan.drop_tombstones { ", drop tombstones" } else { "" };
                format!("{how} {} into {}{tombstones}", inputs.join(" "), plan.level)
            }
        }
    }

    #[test]
    fn plans() {
        let cases: &[(&[&str], &str)] = &[
            (&["0 a-z 20-29 5", "0 a-z 10-19 5"], "nothing"),
            (&["0 a-z 30-39 5", "0 a-z 20-29 5", "0 a-z 10-19 5"], "merge 1 2 3 into 1, drop tombstones"),
            // Level 1 is rewritten where it overlaps; what is deeper keeps tombstones alive.
            (
                &["0 a-c 30-39 5", "0 a-c 20-29 5", "0 b-d 10-19 5", "1 a-b 1-9 10", "1 x-z 1-9 10", "2 a-b 1-2 10"],
                "merge 1 2 3 4 into 1",
            ),
            // Too little to rewrite level 1 for.
            (&["0 a-z 30-39 1", "0 a-z 20-29 1", "0 a-z 10-19 9", "1 a-z 1-9 90"], "merge 1 2 into 0"),
            // Ascending inserts move down as they are.
            (&["0 x-z 30-39 20", "0 m-p 20-29 20", "0 f-g 10-19 20", "1 a-c 1-9 30"], "move 3 into 1, drop tombstones"),
            // Level 1 is over its size: the layer with least below it goes down.
            (&["1 a-c 5-9 60", "1 d-f 5-9 60", "2 a-b 1-2 50"], "move 2 into 2, drop tombstones"),
            (&["1 a-c 5-9 60", "1 d-f 5-9 60", "2 a-b 1-2 50", "2 e-e 1-2 90"], "merge 1 3 into 2, drop tombstones"),
            // Dead weight, once nobody can see it.
            (&["1 a-c 5-60 10 9"], "nothing"),
            (&["1 a-c 5-40 10 9"], "merge 1 into 1, drop tombstones"),
            (&["1 a-c 5-40 10 9", "2 a-b 1-2 10"], "nothing"),
        ];
        for (lines, expected) in cases {
            assert_eq!(chosen(lines), *expected, "{lines:?}");
        }
    }

    #[test]
    fn a_layer_that_is_shared_is_narrowed_last() {
        let range = KeyRange { start: "a".into(), end: "n".into() };
        let lines = ["0 a-z 20-29 5", "1 a-c 1-9 10", "1 d-p 1-9 10"];
        let narrowed = choose(&manifest(&lines), &OPTIONS, Lsn::ZERO, &range).unwrap();
        assert_eq!((narrowed.level, narrowed.inputs[0].sequence), (0, 1));
        let narrowed = choose(&manifest(&lines[1..]), &OPTIONS, Lsn::ZERO, &range).unwrap();
        assert_eq!((narrowed.level, narrowed.inputs[0].sequence), (1, 2));
        assert_eq!(choose(&manifest(&lines[1..2]), &OPTIONS, Lsn::ZERO, &range), None);
    }

    #[test]
    fn flushed_layers_of_one_time_go_together() {
        // 2 and 3 were flushed by two tablets at one cut.
        let lines = ["0 a-z 30-39 10", "0 a-c 20-28 10", "0 x-z 20-27 90", "0 a-b 10-19 90", "1 a-z 1-9 900"];
        assert_eq!(chosen(&lines), "merge 1 2 3 into 0");
    }
}
