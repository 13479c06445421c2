//! Which layers to merge next. A pure function of the manifest.
//!
//! Level 0 is a few sorted runs, each of which may cost a read (`level0`); from level 1 on, one layer per level can hold a
//! key. Level 1 has room for all of a tablet that is split in time; what is more than that goes further down.

use super::level0;
use crate::config::Config;
use crate::manifest::{Kept, LayerMeta, Manifest};
use common::key::{Key, KeyRange};

#[derive(Debug, Clone, Copy)]
pub struct ChooseOptions {
    /// Runs of level 0 of about one size before they are merged.
    pub level0_layers: usize,
    /// Of level 1, what is merged with what lies above it at a time, about.
    pub part_bytes: u64,
    pub level1_bytes: u64,
    pub level_growth: u64,
    pub layer_bytes: u64,
    /// How much earlier or later than others a part is due, at most, so that not all of them are due at once.
    pub stagger_percent: u64,
}

impl ChooseOptions {
    pub fn of(config: &Config) -> ChooseOptions {
        ChooseOptions {
            level0_layers: config.level0_layers_max,
            part_bytes: config.part_bytes,
            level1_bytes: config.level1_bytes,
            level_growth: config.level_growth,
            layer_bytes: config.layer_bytes_max as u64,
            stagger_percent: 50,
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
    /// Keys at which what comes out begins a new layer, ascending.
    pub cuts: Vec<Key>,
}

impl Plan {
    /// Whether `layer` is one of the inputs.
    pub fn has(&self, layer: &LayerMeta) -> bool {
        self.inputs.iter().any(|input| input.id() == layer.id())
    }
}

/// What is asked for. One worker is kept for the newest level, whose runs every flush adds to, and for what is done soon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    Level0,
    Deeper,
}

/// A plan whose inputs are merged completely, or `None` if all is well or has to wait for what is `running` on the same
/// tablet. `kept`: what `retention` leaves. `range`: the keys of the tablet; a layer that it shares with others may have more.
pub fn choose(
    manifest: &Manifest,
    options: &ChooseOptions,
    kept: &Kept,
    range: &KeyRange,
    running: &[Plan],
    scope: Scope,
) -> Option<Plan> {
    match scope {
        Scope::Level0 => level0::push(manifest, options, running, options.part_bytes)
            .or_else(|| level0::tidy(manifest, options, running)),
        Scope::Deeper => level0::push(manifest, options, running, u64::MAX)
            .or_else(|| push_down(manifest, options, running))
            .or_else(|| drop_deleted(manifest, kept, running))
            .or_else(|| narrow(manifest, range, running)),
    }
}

/// Whether a plan may run beside others: they do not have an input in common, and what comes out of them lies apart.
pub fn fits(plan: &Plan, running: &[Plan]) -> bool {
    running.iter().all(|other| {
        let meets = plan.level == other.level && spans_overlap(plan, other);
        !meets && !plan.inputs.iter().any(|layer| other.has(layer))
    })
}

fn spans_overlap(one: &Plan, other: &Plan) -> bool {
    let first = |plan: &Plan| plan.inputs.iter().map(|input| input.first.clone()).min();
    let last = |plan: &Plan| plan.inputs.iter().map(|input| input.last.clone()).max();
    first(one) <= last(other) && first(other) <= last(one)
}

/// A layer with keys of other tablets, which goes when all that share it have rewritten it.
fn narrow(manifest: &Manifest, range: &KeyRange, running: &[Plan]) -> Option<Plan> {
    let wide = manifest.layers.iter().filter(|layer| !layer.is_within(range));
    let mut plans = wide.map(|layer| {
        // What comes out of a stamped one is not stamped.
        let inputs = if layer.level == 0 { level0::with_their_time(manifest, vec![layer]) } else { vec![layer] };
        plan(manifest, inputs.into_iter().cloned().collect(), layer.level, false)
    });
    plans.find(|plan| fits(plan, running))
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
fn drop_deleted(manifest: &Manifest, kept: &Kept, running: &[Plan]) -> Option<Plan> {
    // A branch point that sees some of its versions keeps the tombstones above them.
    let is_seen = |layer: &LayerMeta| kept.points().iter().any(|point| (layer.lsn_min..layer.lsn_max).contains(point));
    let due = |layer: &&LayerMeta| {
        layer.level > 0 && layer.tombstones * 2 > layer.versions && layer.lsn_max <= kept.horizon() && !is_seen(layer)
    };
    let candidates = manifest.layers.iter().filter(due);
    let mut plans = candidates.map(|layer| plan(manifest, vec![layer.clone()], layer.level, false));
    plans.find(|plan| plan.drop_tombstones && fits(plan, running))
}

pub fn of_level(manifest: &Manifest, level: u32) -> impl Iterator<Item = &LayerMeta> {
    manifest.layers.iter().filter(move |layer| layer.level == level)
}

fn bytes<'a>(layers: impl Iterator<Item = &'a LayerMeta>) -> u64 {
    layers.map(|layer| layer.bytes).sum()
}

pub fn plan(manifest: &Manifest, inputs: Vec<LayerMeta>, level: u32, move_only: bool) -> Plan {
    let newest = inputs.iter().map(|input| input.lsn_max).max().unwrap_or_default();
    let shallowest = inputs.iter().map(|input| input.level).min().unwrap_or_default();
    // Newer than all inputs: above them, or flushed after them.
    let newer = |layer: &LayerMeta| layer.level < shallowest || (layer.level == 0 && layer.lsn_min > newest);
    let (first, last) = (inputs.iter().map(|input| &input.first).min(), inputs.iter().map(|input| &input.last).max());
    let within = |layer: &LayerMeta| Some(&layer.first) <= last && Some(&layer.last) >= first;
    let is_input = |layer: &LayerMeta| inputs.iter().any(|input| input.id() == layer.id());
    let drop_tombstones = !manifest.layers.iter().any(|layer| !is_input(layer) && !newer(layer) && within(layer));
    Plan { inputs, level, move_only, drop_tombstones, cuts: Vec::new() }
}

#[cfg(test)]
pub mod testing {
    use super::*;

    pub const OPTIONS: ChooseOptions = ChooseOptions {
        level0_layers: 3,
        part_bytes: 100,
        level1_bytes: 100,
        level_growth: 10,
        layer_bytes: 40,
        stagger_percent: 0,
    };

    pub fn told(plan: &Plan) -> String {
        let inputs: Vec<String> = plan.inputs.iter().map(|layer| layer.sequence.to_string()).collect();
        let how = if plan.move_only { "move" } else { "merge" };
        let tombstones = if plan.drop_tombstones { ", drop tombstones" } else { "" };
        format!("{how} {} into {}{tombstones}", inputs.join(" "), plan.level)
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{OPTIONS, told};
    use super::*;
    use crate::manifest::testing::manifest;
    use common::id::Lsn;

    fn any(lines: &[&str], kept: &Kept, range: &KeyRange) -> Option<Plan> {
        let manifest = manifest(lines);
        let with = |scope| choose(&manifest, &OPTIONS, kept, range, &[], scope);
        with(Scope::Level0).or_else(|| with(Scope::Deeper))
    }

    fn chosen(lines: &[&str]) -> String {
        any(lines, &Kept::new(Lsn(50), &[]), &KeyRange::all()).map_or_else(|| "nothing".into(), |plan| told(&plan))
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
            let plan = choose(&manifest, &OPTIONS, &Kept::default(), &KeyRange::all(), &running, scope);
            let text = plan.as_ref().map_or_else(|| "nothing".into(), told);
            running.extend(plan);
            text
        };
        assert_eq!(next(Scope::Level0), "nothing");
        assert_eq!(next(Scope::Deeper), "merge 1 2 3 4 into 1");
        assert_eq!(next(Scope::Level0), "nothing");
        assert_eq!(next(Scope::Deeper), "move 7 into 2, drop tombstones");
        // 4 and 5 share a layer of level 2 with each other, and 4 is taken.
        assert_eq!(next(Scope::Deeper), "merge 5 8 into 2");
        // What is left of level 1 fits, once those are gone.
        assert_eq!(next(Scope::Deeper), "merge 6 9 into 2, drop tombstones");
        assert_eq!(next(Scope::Deeper), "nothing");
    }

    #[test]
    fn plans() {
        let cases: &[(&[&str], &str)] = &[
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
    fn tombstones_above_what_a_branch_point_sees_are_no_reason_to_rewrite() {
        for (point, plan) in [(4, true), (5, false), (39, false), (40, true), (45, true)] {
            let kept = Kept::new(Lsn(50), &[Lsn(point)]);
            assert_eq!(any(&["1 a-c 5-40 10 9"], &kept, &KeyRange::all()).is_some(), plan, "{point}");
        }
    }

    #[test]
    fn a_layer_that_is_shared_is_narrowed_last() {
        let range = KeyRange { start: "a".into(), end: "n".into() };
        let lines = ["0 a-z 20-29 5", "1 a-c 1-9 10", "1 d-p 1-9 10"];
        let narrowed = any(&lines, &Kept::default(), &range).unwrap();
        assert_eq!((narrowed.level, narrowed.inputs[0].sequence), (0, 1));
        let narrowed = any(&lines[1..], &Kept::default(), &range).unwrap();
        assert_eq!((narrowed.level, narrowed.inputs[0].sequence), (1, 2));
        assert_eq!(any(&lines[1..2], &Kept::default(), &range), None);
    }
}
