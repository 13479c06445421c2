//! Sorted runs: layers that follow each other by key, so that one of them at most has a key.
//!
//! Layers of level 0 overlap each other in keys, but not all of them: a merge within level 0 gives layers side by side,
//! and so do rows that come in order of their keys. What a read costs goes by runs, not by layers.

use super::LayerMeta;

/// The sorted runs of layers that come in a manifest's order, newest first; within a run layers ascend by key.
pub fn sorted_runs<T>(layers: impl IntoIterator<Item = T>, meta: impl Fn(&T) -> &LayerMeta) -> Vec<Vec<T>> {
    let mut runs: Vec<Vec<T>> = Vec::new();
    for layer in layers {
        let of = meta(&layer);
        // Only the last run: a layer that passed by one which overlaps it would seem newer than that.
        let place = runs.last().and_then(|run| {
            let last = meta(run.last()?);
            let at = run.partition_point(|other| meta(other).first < of.first);
            let apart = |other: Option<&T>| other.is_none_or(|other| !meta(other).overlaps(of));
            let joins = (last.level == 0) == (of.level == 0) && (of.level == 0 || last.level == of.level);
            (joins && apart(run.get(at)) && apart(at.checked_sub(1).and_then(|before| run.get(before)))).then_some(at)
        });
        match (place, runs.last_mut()) {
            (Some(at), Some(run)) => run.insert(at, layer),
            _ => runs.push(vec![layer]),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::testing::layers;

    #[test]
    fn neighbours_in_time_that_lie_apart_are_one_run() {
        let runs = |lines: &[&str]| {
            let layers = layers(lines);
            let runs = sorted_runs(&layers, |layer| layer);
            let run =
                |run: Vec<&LayerMeta>| run.iter().map(|layer| layer.sequence.to_string()).collect::<Vec<_>>().join(" ");
            runs.into_iter().map(run).collect::<Vec<_>>().join(", ")
        };
        assert_eq!(
            runs(&["0 m-p 20-29 1", "0 a-c 10-19 1", "0 x-z 5-9 1", "1 a-b 1-4 1", "1 c-z 1-4 1"]),
            "2 1 3, 4 5"
        );
        assert_eq!(runs(&["0 a-c 20-29 1", "0 b-d 10-19 1", "0 x-z 5-9 1", "2 a-b 1-4 1"]), "1, 2 3, 4");
        // The third would fit the first, but the second lies between them.
        assert_eq!(runs(&["0 a-b 20-29 1", "0 a-d 10-19 1", "0 c-d 5-9 1"]), "1, 2, 3");
        assert_eq!(runs(&["1 a-b 1-4 1", "2 c-d 1-4 1"]), "1, 2");
    }
}
