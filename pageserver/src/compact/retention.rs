//! Which versions of a key stay when its layers are merged.

use crate::layer::encode::Pending;
use crate::manifest::Kept;
use common::id::Lsn;

/// What a version takes in memory beyond its row.
const VERSION_OVERHEAD_BYTES: usize = 64;

/// What compaction leaves of a tablet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retention {
    pub horizon: Lsn,
    /// Branch points, wherever they are.
    pub points: Vec<Lsn>,
}

impl Retention {
    pub fn kept(&self) -> Kept {
        Kept::new(self.horizon, &self.points)
    }
}

/// Keeps every version above the horizon, and what readers at the horizon and at branch points see: the newest at or below
/// each. `versions`: of one key, newest first. With `drop_tombstones` nothing older lies elsewhere, so that a tombstone at
/// or below the horizon which is the oldest says no more than no version at all. Returns the LSN of the newest that went so.
pub fn retain(versions: &mut Vec<Pending>, kept: &Kept, drop_tombstones: bool) -> Option<Lsn> {
    thin(versions, kept);
    let mut dropped = None;
    let goes = |version: &Pending| version.is_tombstone() && version.lsn <= kept.horizon();
    while drop_tombstones && versions.last().is_some_and(goes) {
        dropped = versions.pop().map(|version| version.lsn);
    }
    dropped
}

fn thin(versions: &mut Vec<Pending>, kept: &Kept) {
    if versions.last().is_none_or(|oldest| oldest.lsn > kept.horizon()) {
        return;
    }
    // From the newest on; those that have found what they see are left behind.
    let mut readers = std::iter::once(kept.horizon()).chain(kept.points().iter().rev().copied()).peekable();
    versions.retain(|version| {
        let is_above = version.lsn > kept.horizon();
        let mut is_seen = false;
        while !is_above && readers.next_if(|reader| version.lsn <= *reader).is_some() {
            is_seen = true;
        }
        is_above || is_seen
    });
}

/// Drops the oldest versions of a key whose history is larger than `bytes_max`: a row that changes thousands of times per
/// second must not make blocks that no memory can hold. What branch points see stays. Returns the LSN that the horizon rises
/// to.
pub fn bound_history(versions: &mut Vec<Pending>, bytes_max: usize, points: &[Lsn]) -> Option<Lsn> {
    let mut bytes = 0;
    let kept = versions.iter().take_while(|version| {
        bytes += version.row_bytes() + VERSION_OVERHEAD_BYTES;
        bytes <= bytes_max
    });
    let kept = kept.count().max(1);
    if kept >= versions.len() {
        return None;
    }
    let horizon = versions[kept - 1].lsn;
    thin(versions, &Kept::new(horizon, points));
    Some(horizon)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::Version;
    use bytes::Bytes;

    #[test]
    fn a_history_without_end_is_cut_and_the_horizon_says_so() {
        let version = |lsn: u64| Version { key: "k".into(), lsn: Lsn(lsn), row: Some(Bytes::from(vec![0; 36])) };
        let mut versions: Vec<Pending> = (1..=10).rev().map(version).map(Pending::from).collect();
        let points = [Lsn(2), Lsn(5)];
        assert_eq!(bound_history(&mut versions, 1000, &points), None);
        assert_eq!(bound_history(&mut versions, 399, &points), Some(Lsn(8)));
        let lsns = |versions: &[Pending]| versions.iter().map(|version| version.lsn.0).collect::<Vec<_>>();
        assert_eq!(lsns(&versions), [10, 9, 8, 5, 2]);
        assert_eq!(bound_history(&mut versions, 399, &points[1..]), Some(Lsn(8)));
        assert_eq!(lsns(&versions), [10, 9, 8, 5]);
        assert_eq!(bound_history(&mut versions, 0, &[]), Some(Lsn(10)), "the newest always stays");
        assert_eq!(lsns(&versions), [10]);
    }

    #[test]
    fn what_somebody_may_see_stays() {
        // Versions as lsn, "-" for a tombstone; horizon 10; branch points.
        for (versions, points, drop_tombstones, kept, dropped) in [
            ("15 12 9 7", &[][..], false, "15 12 9", None),
            ("15 12 9- 7", &[], false, "15 12 9-", None),
            ("15 12 9- 7", &[], true, "15 12", Some(9)),
            ("15- 9 7", &[], true, "15- 9", None),
            ("9- 7", &[], true, "", Some(9)),
            ("10 9", &[], true, "10", None),
            ("15", &[], true, "15", None),
            ("15 9 7 6 3 2", &[6], false, "15 9 6", None),
            ("15 9 7 6 3 2", &[5, 4, 8], false, "15 9 7 3", None),
            ("15 9 7 6 3 2", &[1, 9], false, "15 9", None),
            ("15 9- 7 6", &[8], true, "15 9- 7", None),
            ("15 9- 7- 6", &[8], true, "15", Some(9)),
            ("15 9 7- 6", &[8], true, "15 9", Some(7)),
            ("15 12 11", &[8], true, "15 12 11", None),
        ] {
            let parse = |word: &str| Version {
                key: "k".into(),
                lsn: Lsn(word.trim_end_matches('-').parse().unwrap()),
                row: (!word.ends_with('-')).then(Bytes::new),
            };
            let mut all: Vec<Pending> = versions.split(' ').map(parse).map(Pending::from).collect();
            let points: Vec<Lsn> = points.iter().map(|point| Lsn(*point)).collect();
            let newest_dropped = retain(&mut all, &Kept::new(Lsn(10), &points), drop_tombstones);
            let all = all.into_iter().map(|version| Version { row: version.row(), key: version.key, lsn: version.lsn });
            let wanted: Vec<Version> = kept.split_whitespace().map(parse).collect();
            assert_eq!(all.collect::<Vec<_>>(), wanted, "{versions}");
            assert_eq!(newest_dropped, dropped.map(Lsn), "{versions}");
        }
    }
}
