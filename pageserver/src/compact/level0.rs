//! Level 0: sorted runs, the newest first, each of which may cost a read. Pure functions of the manifest.
//!
//! Rewriting level 1 for a few flushed layers would cost far more than writing those. So runs of about one size are first
//! merged among themselves (`tidy`): then there are few for each size. Those that have grown to the size of a part are
//! cut at borders of parts, and as soon as what lies above a part is a fair share of it, the part is merged into
//! level 1 by itself (`push`). So a row is rewritten as often as there are sizes, and then a few times more, however
//! large the tablet is. Decision 0021.

use super::choose::{ChooseOptions, Plan, fits, of_level, plan};
use super::parts::{Part, bytes, crosses, cuts, parts};
use crate::layer::block::crc32c;
use crate::manifest::{LayerMeta, Manifest, sorted_runs};
use common::key::Key;

/// Level 1 is rewritten for what is at least one part of so many of it.
pub const LEVEL1_PER_FLUSHED: u64 = 3;
/// A merge takes about so many parts at most.
const PARTS_AT_ONCE: u64 = 4;
/// A run that is not cut yet is cut together with others of at least a part of so many of a part.
const YOUNG_PER_PART: u64 = 4;
/// So many times the runs that are merged among themselves are too many, whatever their sizes.
const RUNS_OF_ALL_SIZES: usize = 3;

/// Level 0 as the rules see it.
struct Level0<'a> {
    /// Newest first.
    runs: Vec<Vec<&'a LayerMeta>>,
    /// From this one on they are apart by parts.
    settled: usize,
    cuts: Vec<Key>,
}

impl<'a> Level0<'a> {
    fn of(manifest: &'a Manifest, options: &ChooseOptions, running: &[Plan]) -> Level0<'a> {
        let runs = sorted_runs(of_level(manifest, 0), |layer| layer);
        let level1: Vec<&LayerMeta> = of_level(manifest, 1).collect();
        let merging = running.iter().filter(|plan| plan.level == 0);
        let is_merging = |run: &[&LayerMeta]| merging.clone().any(|plan| run.iter().any(|layer| plan.has(layer)));
        let mut settled = runs.len();
        let mut known = cuts(&parts(&[], &level1), options.part_bytes);
        while let Some(run) = settled.checked_sub(1).map(|next| &runs[next]) {
            let with: Vec<&LayerMeta> = runs[settled - 1..].concat();
            let all = parts(&with, &level1);
            let largest = all.iter().map(Part::bytes).max().unwrap_or_default();
            // One that was cut already, and hangs parts together all the same, would not get better by it.
            let cut = largest <= PARTS_AT_ONCE * options.part_bytes || !run.iter().any(|layer| crosses(layer, &known));
            if is_merging(run) || !cut {
                break;
            }
            settled -= 1;
            known = cuts(&all, options.part_bytes);
        }
        Level0 { runs, settled, cuts: known }
    }
}

/// Runs of level 0 to be merged among themselves.
pub fn tidy(manifest: &Manifest, options: &ChooseOptions, running: &[Plan]) -> Option<Plan> {
    let level0 = Level0::of(manifest, options, running);
    let is_busy = |run: &&Vec<&LayerMeta>| run.iter().any(|layer| running.iter().any(|plan| plan.has(layer)));
    let young = &level0.runs[..level0.settled];
    let sizes = || young.iter().map(|run| bytes(run));
    let (all, largest) = (sizes().sum::<u64>(), sizes().max().unwrap_or_default());
    // Never one by itself: cuts follow what is settled, and that follows how runs are made up. So the number of runs falls
    // with each merge, and there is an end. And not one that is large for the sake of a small one.
    if all >= options.part_bytes && (all - largest) * YOUNG_PER_PART >= options.part_bytes {
        // The oldest of them, which then lie next to those that are settled: so many that they are cut.
        let mut together = 0;
        let oldest = young.iter().rev().enumerate().take_while(|(count, run)| {
            let joins = together < options.part_bytes || *count < 2;
            together += bytes(run);
            joins
        });
        let mut oldest: Vec<&Vec<&LayerMeta>> = oldest.map(|(_, run)| run).collect();
        oldest.reverse();
        if !oldest.iter().any(is_busy) {
            return within_level0(manifest, options, &level0.cuts, oldest).filter(|plan| fits(plan, running));
        }
    }
    let mut together = 0;
    let free = level0.runs.iter().take_while(|run| {
        together += bytes(run);
        !is_busy(run) && together <= options.part_bytes
    });
    let free: Vec<&Vec<&LayerMeta>> = free.collect();
    let mut together = 0;
    let alike = free.iter().enumerate().take_while(|(count, run)| {
        let joins = *count == 0 || bytes(run) * *count as u64 <= 2 * together;
        together += bytes(run);
        joins
    });
    let (alike, enough) = (alike.count(), options.level0_layers.max(2));
    let count = match free.len() {
        // They are on their way into level 1.
        few if few < RUNS_OF_ALL_SIZES * enough && level0.settled == 0 && push_due(manifest, options, running) => {
            return None;
        }
        _ if alike >= enough => alike,
        all if all >= RUNS_OF_ALL_SIZES * enough => all,
        _ => return None,
    };
    within_level0(manifest, options, &level0.cuts, free[..count].to_vec()).filter(|plan| fits(plan, running))
}

/// Layers of level 0, with the others that are of one time with them: those of tablets that were merged, and a layer that
/// came ahead of its commit with what else the commit wrote. They go together, so that what comes out lies between those
/// that stay.
pub fn with_their_time<'a>(manifest: &'a Manifest, mut layers: Vec<&'a LayerMeta>) -> Vec<&'a LayerMeta> {
    let oldest = |layers: &[&LayerMeta]| layers.iter().map(|layer| layer.lsn_min).min();
    let newest = |layers: &[&LayerMeta]| layers.iter().map(|layer| layer.lsn_max).max();
    while let Some(next) = of_level(manifest, 0).find(|layer| {
        let is_there = layers.iter().any(|other| other.id() == layer.id());
        !is_there && Some(layer.lsn_max) >= oldest(&layers) && Some(layer.lsn_min) <= newest(&layers)
    }) {
        layers.push(next);
    }
    layers
}

/// `runs` are neighbours, newest first.
fn within_level0(
    manifest: &Manifest,
    options: &ChooseOptions,
    cuts: &[Key],
    runs: Vec<&Vec<&LayerMeta>>,
) -> Option<Plan> {
    let inputs = with_their_time(manifest, runs.iter().flat_map(|run| run.iter().copied()).collect());
    // Small ones are cut when they have become large.
    let cuts = if bytes(&inputs) * 2 >= options.part_bytes { cuts } else { &[] };
    let mut plan = plan(manifest, inputs.into_iter().cloned().collect(), 0, false);
    plan.cuts = cuts.to_vec();
    Some(plan)
}

fn push_due(manifest: &Manifest, options: &ChooseOptions, running: &[Plan]) -> bool {
    push(manifest, options, running, u64::MAX).is_some()
}

/// A part of level 0 to be merged into level 1, with inputs of at most so many bytes.
pub fn push(manifest: &Manifest, options: &ChooseOptions, running: &[Plan], bytes_max: u64) -> Option<Plan> {
    let level0 = Level0::of(manifest, options, running);
    let settled: Vec<&LayerMeta> = level0.runs[level0.settled..].concat();
    let level1: Vec<&LayerMeta> = of_level(manifest, 1).collect();
    let many = settled.len() >= options.level0_layers.max(1);
    let parts = parts(&settled, &level1);
    let mut candidates = Vec::new();
    for group in groups(&parts, options).into_iter().filter(|group| group.bytes() <= bytes_max) {
        let (flushed, below) = (group.flushed_bytes(), group.level1_bytes());
        let plan = match (&group.flushed[..], &group.level1[..]) {
            // In order of insertion, keys ascend and layers do not overlap: no need to rewrite them.
            ([layer], []) => {
                (many && is_whole(layer, options)).then(|| plan(manifest, vec![(*layer).clone()], 1, true))
            }
            (layers, _) => {
                let enough =
                    layers.len() >= options.level0_layers.max(1) || flushed * LEVEL1_PER_FLUSHED >= options.part_bytes;
                let due = enough && flushed * LEVEL1_PER_FLUSHED * 100 >= below * due_percent(&group, options);
                due.then(|| {
                    let inputs = group.flushed.iter().chain(&group.level1).map(|layer| (*layer).clone());
                    plan(manifest, inputs.collect(), 1, false)
                })
            }
        };
        // First where least of level 1 is rewritten for it.
        candidates.extend(plan.map(|plan| (below * 100 / flushed.max(1), plan)));
    }
    candidates.sort_by_key(|(cost, _)| *cost);
    candidates.into_iter().map(|(_, plan)| plan).find(|plan| fits(plan, running))
}

/// What a part is due at, in hundredths of what they are due at on average. Keys that come evenly make parts grow evenly: due
/// at one size, all of a tablet would be merged at once, and writers have to wait; and then nothing for long.
fn due_percent(part: &Part, options: &ChooseOptions) -> u64 {
    let Some(first) = part.level1.first() else { return 100 };
    // Another place in the order after each merge, and the same until then.
    let place = u64::from(crc32c(&first.sequence.to_le_bytes()));
    100 - options.stagger_percent + place % (2 * options.stagger_percent + 1)
}

/// Large enough to stay as it is.
fn is_whole(layer: &LayerMeta, options: &ChooseOptions) -> bool {
    layer.bytes * 4 >= options.layer_bytes
}

/// Parts that have something of level 0; small ones with their neighbours, and with what lies between.
fn groups<'a>(parts: &[Part<'a>], options: &ChooseOptions) -> Vec<Part<'a>> {
    let mut groups: Vec<Part> = Vec::new();
    // Of level 1 alone, since the last group.
    let mut between: Vec<&LayerMeta> = Vec::new();
    for part in parts {
        if part.flushed.is_empty() {
            between.extend(&part.level1);
            continue;
        }
        let is_apart = |part: &Part| match (&part.flushed[..], &part.level1[..]) {
            ([layer], []) => is_whole(layer, options),
            _ => part.bytes() >= options.layer_bytes,
        };
        let joins = groups.last().is_some_and(|last| {
            let level1 = last.level1_bytes() + bytes(&between) + part.level1_bytes();
            let flushed = last.flushed_bytes() + part.flushed_bytes();
            !is_apart(last) && !is_apart(part) && flushed * LEVEL1_PER_FLUSHED >= level1
        });
        match groups.last_mut() {
            Some(last) if joins => {
                last.flushed.extend(&part.flushed);
                last.level1.append(&mut between);
                last.level1.extend(&part.level1);
            }
            _ => groups.push(Part { flushed: part.flushed.clone(), level1: part.level1.clone() }),
        }
        between.clear();
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compact::choose::testing::{OPTIONS, told};
    use crate::manifest::testing::manifest;

    fn tidied(lines: &[&str], running: &[Plan]) -> String {
        tidy(&manifest(lines), &OPTIONS, running).map_or_else(|| "nothing".into(), |plan| told(&plan))
    }

    fn pushed(lines: &[&str], running: &[Plan]) -> String {
        push(&manifest(lines), &OPTIONS, running, u64::MAX).map_or_else(|| "nothing".into(), |plan| told(&plan))
    }

    #[test]
    fn parts_are_due_at_different_shares_of_level_1() {
        let options = ChooseOptions { stagger_percent: 50, ..OPTIONS };
        let due_with = |flushed: u64| {
            let due = |sequence: &u64| {
                let mut part = manifest(&[&format!("0 k-l 20-29 {flushed}"), "1 k-l 1-9 300"]);
                part.layers[1].sequence = 10 + sequence;
                push(&part, &options, &[], u64::MAX).is_some()
            };
            (0..100u64).filter(due).count()
        };
        assert_eq!((due_with(49), due_with(151)), (0, 100));
        assert!((30..70).contains(&due_with(100)), "{}", due_with(100));
        assert!((due_with(75) < due_with(100)) && (due_with(100) < due_with(125)));
    }

    #[test]
    fn runs_of_one_size_are_merged() {
        let cases: &[(&[&str], &str)] = &[
            (&["0 a-z 20-29 1", "0 a-z 10-19 1"], "nothing"),
            (
                &["0 a-z 40-49 1", "0 a-z 30-39 1", "0 a-z 20-29 1", "0 a-z 10-19 9", "1 a-z 1-9 900"],
                "merge 1 2 3 into 0",
            ),
            // They are on their way into level 1.
            (&["0 a-z 40-49 1", "0 a-z 30-39 1", "0 a-z 20-29 1", "1 a-z 1-9 9"], "nothing"),
            (&["0 a-z 30-39 1", "0 a-z 20-29 1", "0 a-z 10-19 3"], "nothing"),
            // Layers side by side are one run.
            (&["0 a-c 30-39 1", "0 d-f 20-29 1", "0 g-z 10-19 1"], "nothing"),
            // Those of one time go together.
            (
                &[
                    "0 a-z 40-49 9",
                    "0 a-z 30-39 9",
                    "0 a-c 20-29 9",
                    "0 x-z 15-28 9",
                    "0 a-b 10-19 40",
                    "1 a-z 1-9 900",
                ],
                "merge 1 2 3 4 5 into 0",
            ),
        ];
        for (lines, expected) in cases {
            assert_eq!(tidied(lines, &[]), *expected, "{lines:?}");
        }
        // Sizes without order: many are too many.
        let sizes = [1, 3, 1, 3, 1, 3, 1, 3, 1].iter().zip((1..10u64).rev());
        let lines: Vec<String> = sizes.map(|(bytes, at)| format!("0 a-z {at}0-{at}9 {bytes}")).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        assert_eq!(tidied(&lines[..8], &[]), "nothing");
        assert_eq!(tidied(&lines, &[]), "merge 1 2 3 4 5 6 7 8 9 into 0, drop tombstones");
    }

    #[test]
    fn large_runs_are_cut_and_parts_of_them_pushed() {
        let level1 = ["1 a-b 1-9 150", "1 c-d 1-9 150", "1 e-f 1-9 150", "1 g-h 1-9 150"];
        let with = |level0: &[&'static str]| [level0, &level1].concat();
        assert_eq!(tidied(&with(&["0 a-z 30-39 50", "0 a-z 20-29 40"]), &[]), "nothing");
        let lines = with(&["0 a-z 30-39 60", "0 a-z 20-29 60"]);
        let all = manifest(&lines);
        let plan = tidy(&all, &OPTIONS, &[]).unwrap();
        assert_eq!(told(&plan), "merge 1 2 into 0");
        assert_eq!(plan.cuts, ["c", "e", "g"]);
        assert_eq!(pushed(&lines, &[]), "nothing");
        // However large the second is beside the first, but not by itself, and not for the sake of nearly nothing.
        assert_eq!(tidied(&with(&["0 a-z 30-39 900", "0 a-z 20-29 30"]), &[]), "merge 1 2 into 0");
        assert_eq!(tidied(&with(&["0 a-z 30-39 900", "0 a-z 20-29 1"]), &[]), "nothing");
        assert_eq!(tidied(&with(&["0 a-z 30-39 900"]), &[]), "nothing");
        // Cut like that, and once more: each part by itself, that which costs least first.
        let cut = with(&[
            "0 a-b 40-49 20",
            "0 c-d 40-48 35",
            "0 e-f 40-47 25",
            "0 a-b 20-29 40",
            "0 c-d 20-28 30",
            "0 e-f 20-27 20",
        ]);
        assert_eq!(tidied(&cut, &[]), "nothing");
        assert_eq!(pushed(&cut, &[]), "merge 2 5 8 into 1, drop tombstones");
        let running = push(&manifest(&cut), &OPTIONS, &[], 240).unwrap();
        assert_eq!(pushed(&cut, std::slice::from_ref(&running)), "merge 1 4 7 into 1, drop tombstones");
        // Beside that newer ones are merged, and wait for their turn.
        let newer = [&["0 a-z 90-99 60", "0 a-z 80-89 60"][..], &cut].concat();
        assert_eq!(tidied(&newer, &[]), "merge 1 2 into 0");
        let running = [tidy(&manifest(&newer), &OPTIONS, &[]).unwrap()];
        assert_eq!(pushed(&newer, &running), "merge 4 7 10 into 1, drop tombstones");
        assert_eq!(tidied(&newer, &running), "nothing");
    }

    #[test]
    fn what_is_small_is_merged_into_level_1_as_it_is() {
        let cases: &[(&[&str], &str)] = &[
            (&["0 a-z 20-29 5", "0 a-z 10-19 5"], "nothing"),
            (&["0 a-z 30-39 5", "0 a-z 20-29 5", "0 a-z 10-19 5"], "merge 1 2 3 into 1, drop tombstones"),
            // Level 1 is rewritten where it overlaps; what is deeper keeps tombstones alive.
            (
                &["0 a-c 30-39 5", "0 a-c 20-29 5", "0 b-d 10-19 5", "1 a-b 1-9 10", "1 x-z 1-9 10", "2 a-b 1-2 10"],
                "merge 1 2 3 4 into 1",
            ),
            // Small parts go together with what lies between them, where that is little.
            (
                &["0 x-z 30-39 5", "0 a-b 20-29 5", "0 a-c 10-19 5", "1 a-a 1-9 10", "1 m-n 1-9 10"],
                "merge 2 3 1 4 5 into 1, drop tombstones",
            ),
            (&["0 x-z 30-39 5", "0 a-b 20-29 5", "0 a-c 10-19 5", "1 a-a 1-9 10", "1 m-n 1-9 90"], "nothing"),
            // Too little to rewrite level 1 for.
            (&["0 a-z 30-39 1", "0 a-z 20-29 1", "0 a-z 10-19 9", "1 a-z 1-9 90"], "nothing"),
            // Ascending inserts move down as they are.
            (&["0 x-z 30-39 20", "0 m-p 20-29 20", "0 f-g 10-19 20", "1 a-c 1-9 30"], "move 3 into 1, drop tombstones"),
        ];
        for (lines, expected) in cases {
            assert_eq!(pushed(lines, &[]), *expected, "{lines:?}");
        }
    }
}
