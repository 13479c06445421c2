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

/// What is asked for. One worker is kept for the newest level, which every read and every flush depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    Level0,
    Deeper,
}

/// A plan whose inputs are merged completely, or `None` if all is well or has to wait for what is `running` on the same
/// tablet. `horizon`: see `retention`. `range`: the keys of the tablet; a layer that it shares with others may have more.
pub fn choose(
    manifest: &Manifest,
    options: &ChooseOptions,
    horizon: Lsn,
    range: &KeyRange,
    running: &[Plan],
    scope: Scope,
) -> Option<Plan> {
    match scope {
        Scope::Level0 => merge_level0(manifest, options).filter(|plan| fits(plan, running)),
        Scope::Deeper => push_down(manifest, options, running)
            .or_else(|| drop_deleted(manifest, horizon, running))
            .or_else(|| narrow(manifest, range, running)),
    }
}

/// Whether a plan may run beside others: they do not have an input in common, and what comes out of them lies apart.
fn fits(plan: &Plan, running: &[Plan]) -> bool {
    running.iter().all(|other| {
        let shares = |layer: &LayerMeta| other.inputs.iter().any(|input| input.id() == layer.id());
        let level0 = |plan: &Plan| plan.inputs.iter().any(|input| input.level == 0);
        let meets = plan.level == other.level && spans_overlap(plan, other);
        let clash = plan.inputs.iter().any(shares) || meets || (level0(plan) && level0(other));
        !clash
    })
}

fn spans_overlap(one: &Plan, other: &Plan) -> bool {
    let first = |plan: &Plan| plan.inputs.iter().map(|input| input.first.clone()).min();
    let last = |plan: &Plan| plan.inputs.iter().map(|input| input.last.clone()).max();
    first(one) <= last(other) && first(other) <= last(one)
}

/// Bytes that compaction has to rewrite until all is well, about: what is too much for a level, with what it meets in the
/// next one.
pub fn debt_bytes<'a>(layers: impl Iterator<Item = &'a LayerMeta>, options: &ChooseOptions) -> u64 {
    let mut levels: Vec<u64> = Vec::new();
    let mut flushed = 0;
    for layer in layers {
        let level = layer.level as usize;
        if levels.len() <= level {
            levels.resize(level + 1, 0);
        }
        levels[level] += layer.bytes;
        flushed += usize::from(level == 0);
    }
    let of_level = |level: usize| levels.get(level).copied().unwrap_or_default();
    let (mut debt, mut coming) = (0u64, 0u64);
    if flushed >= options.level0_layers.max(1) {
        coming = of_level(0);
        debt = coming.saturating_add(of_level(1));
    }
    let mut level_bytes_max = options.level1_bytes;
    for level in 1..levels.len() {
        let excess = (of_level(level) + coming).saturating_sub(level_bytes_max);
        // Each of its bytes meets so many of the next level.
        let met = (of_level(level + 1) / of_level(level).max(1)).min(options.level_growth);
        debt = debt.saturating_add(excess.saturating_mul(1 + met));
        coming = excess;
        level_bytes_max = level_bytes_max.saturating_mul(options.level_growth);
    }
    debt
}

/// A layer with keys of other tablets, which goes when all that share it have rewritten it.
fn narrow(manifest: &Manifest, range: &KeyRange, running: &[Plan]) -> Option<Plan> {
    let wide = manifest.layers.iter().filter(|layer| !layer.is_within(range));
    let mut plans = wide.map(|layer| plan(manifest, vec![layer.clone()], layer.level, false));
    plans.find(|plan| fits(plan, running))
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
fn push_down(manifest: &Manifest, options: &ChooseOptions, running: &[Plan]) -> Option<Plan> {
    let deepest = manifest.layers.last()?.level;
    let mut level_bytes_max = options.level1_bytes;
    for level in 1..=deepest {
        // What is on its way down already.
        let leaving = running.iter().filter(|plan| plan.level == level + 1).flat_map(|plan| &plan.inputs);
        let leaving = bytes(leaving.filter(|input| input.level == level));
        if bytes(of_level(manifest, level)).saturating_sub(leaving) > level_bytes_max {
            let overlapping = |layer: &LayerMeta| -> Vec<LayerMeta> {
                of_level(manifest, level + 1).filter(|other| other.overlaps(layer)).cloned().collect()
            };
            // In hundredths, so that small differences count.
            let cost = |layer: &&LayerMeta| bytes(overlapping(layer).iter()) * 100 / layer.bytes.max(1);
            let mut candidates: Vec<&LayerMeta> = of_level(manifest, level).collect();
            candidates.sort_by_cached_key(cost);
            let plans = candidates.into_iter().map(|layer| {
                let below = overlapping(layer);
                let move_only = below.is_empty();
                let inputs = std::iter::once(layer.clone()).chain(below).collect();
                plan(manifest, inputs, level + 1, move_only)
            });
            let mut fitting = plans.filter(|plan| fits(plan, running));
            if let Some(plan) = fitting.next() {
                return Some(plan);
            }
        }
        level_bytes_max = level_bytes_max.saturating_mul(options.level_growth);
    }
    None
}

/// A layer that is mostly tombstones which have outlived their use.
fn drop_deleted(manifest: &Manifest, horizon: Lsn, running: &[Plan]) -> Option<Plan> {
    let due = |layer: &&LayerMeta| layer.level > 0 && layer.tombstones * 2 > layer.versions && layer.lsn_max <= horizon;
    let candidates = manifest.layers.iter().filter(due);
    let mut plans = candidates.map(|layer| plan(manifest, vec![layer.clone()], layer.level, false));
    plans.find(|plan| plan.drop_tombstones && fits(plan, running))
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
        let plan = any(&lines, Lsn::ZERO, &KeyRange::all()).unwrap();
        assert_eq!((plan.level, plan.inputs.len()), (1, 5));
    }

    fn any(lines: &[&str], horizon: Lsn, range: &KeyRange) -> Option<Plan> {
        let manifest = manifest(lines);
        let with = |scope| choose(&manifest, &OPTIONS, horizon, range, &[], scope);
        with(Scope::Level0).or_else(|| with(Scope::Deeper))
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
                stamped: false,
            };
            layer.tombstones = words.get(4).map_or(0, |count| count.parse().unwrap());
            manifest.layers.push(layer);
            manifest.durable = Lsn(1000);
        }
        manifest.check().unwrap();
        manifest
    }

    fn chosen(lines: &[&str]) -> String {
        any(lines, Lsn(50), &KeyRange::all()).map_or_else(|| "nothing".into(), |plan| told(&plan))
    }

    fn told(plan: &Plan) -> String {
        let inputs: Vec<String> = plan.inputs.iter().map(|layer| layer.sequence.to_string()).collect();
        let how = if plan.move_only { "move" } else { "merge" };
        let tombstones = if plan.drop_tombstones { ", drop tombstones" } else { "" };
        format!("{how} {} into {}{tombstones}", inputs.join(" "), plan.level)
    }

    #[test]
    fn plans_beside_each_other_lie_apart() {
        // Level 1 is too large by far; level 0 is due, and meets the first layer of level 1.
        let lines = [
            "0 a-b 30-39 30",
            "0 a-b 20-29 30",
            "0 a-b 10-19 30",
            "1 a-b 1-9 60",
            "1 d-e 1-9 60",
            "1 g-h 1-9 60",
            "1 x-z 1-9 60",
            "2 a-e 1-2 50",
            "2 g-h 1-2 50",
        ];
        let manifest = manifest(&lines);
        let mut running: Vec<Plan> = Vec::new();
        let mut next = |scope| {
            let plan = choose(&manifest, &OPTIONS, Lsn::ZERO, &KeyRange::all(), &running, scope);
            let text = plan.as_ref().map_or_else(|| "nothing".into(), told);
            running.extend(plan);
            text
        };
        assert_eq!(next(Scope::Level0), "merge 1 2 3 4 into 1");
        assert_eq!(next(Scope::Level0), "nothing");
        assert_eq!(next(Scope::Deeper), "move 7 into 2, drop tombstones");
        // 4 and 5 share a layer of level 2 with each other, and 4 is taken.
        assert_eq!(next(Scope::Deeper), "merge 5 8 into 2");
        // What is left of level 1 fits, once those are gone.
        assert_eq!(next(Scope::Deeper), "merge 6 9 into 2, drop tombstones");
        assert_eq!(next(Scope::Deeper), "nothing");
    }

    #[test]
    fn debt_is_what_has_to_be_rewritten() {
        let debt = |lines: &[&str]| debt_bytes(manifest(lines).layers.iter(), &OPTIONS);
        assert_eq!(debt(&["0 a-z 20-29 5", "0 a-z 10-19 5", "1 a-z 1-9 90"]), 0);
        assert_eq!(debt(&["0 a-z 30-39 5", "0 a-z 20-29 5", "0 a-z 10-19 5", "1 a-z 1-9 80"]), 95);
        // 30 too much for level 1, each byte of which meets three of level 2.
        assert_eq!(debt(&["1 a-z 1-9 130", "2 a-z 1-9 390"]), 120);
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
        let narrowed = any(&lines, Lsn::ZERO, &range).unwrap();
        assert_eq!((narrowed.level, narrowed.inputs[0].sequence), (0, 1));
        let narrowed = any(&lines[1..], Lsn::ZERO, &range).unwrap();
        assert_eq!((narrowed.level, narrowed.inputs[0].sequence), (1, 2));
        assert_eq!(any(&lines[1..2], Lsn::ZERO, &range), None);
    }

    #[test]
    fn flushed_layers_of_one_time_go_together() {
        // 2 and 3 were flushed by two tablets at one cut.
        let lines = ["0 a-z 30-39 10", "0 a-c 20-28 10", "0 x-z 20-27 90", "0 a-b 10-19 90", "1 a-z 1-9 900"];
        assert_eq!(chosen(&lines), "merge 1 2 3 into 0");
    }
}
