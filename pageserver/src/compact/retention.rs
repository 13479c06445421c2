//! Which versions of a key stay when its layers are merged.

use crate::layer::encode::Pending;
use common::id::Lsn;

/// What a version takes in memory beyond its row.
const VERSION_OVERHEAD_BYTES: usize = 64;

/// Keeps every version above `horizon`, and the newest at or below it, which is what a reader at the horizon sees.
/// `versions`: of one key, newest first. With `drop_tombstones` nothing older lies elsewhere, so that a tombstone at or
/// below the horizon says no more than no version at all. Returns the LSN of a tombstone that went that way.
pub fn retain(versions: &mut Vec<Pending>, horizon: Lsn, drop_tombstones: bool) -> Option<Lsn> {
    let above = versions.partition_point(|version| version.lsn > horizon);
    versions.truncate(above + 1);
    let last = versions.get(above)?;
    if drop_tombstones && last.is_tombstone() {
        return versions.pop().map(|version| version.lsn);
    }
    None
}

/// Drops the oldest versions of a key whose history is larger than `bytes_max`: a row that changes thousands of times per
/// second must not make blocks that no memory can hold. Returns the LSN that the horizon rises to.
pub fn bound_history(versions: &mut Vec<Pending>, bytes_max: usize) -> Option<Lsn> {
    let mut bytes = 0;
    let kept = versions.iter().take_while(|version| {
        bytes += version.row_bytes() + VERSION_OVERHEAD_BYTES;
        bytes <= bytes_max
    });
    let kept = kept.count().max(1);
    if kept >= versions.len() {
        return None;
    }
    versions.truncate(kept);
    versions.last().map(|oldest| oldest.lsn)
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
        assert_eq!(bound_history(&mut versions, 1000), None);
        assert_eq!(bound_history(&mut versions, 399), Some(Lsn(8)));
        assert_eq!(versions.len(), 3);
        assert_eq!(bound_history(&mut versions, 0), Some(Lsn(10)), "the newest always stays");
    }

    #[test]
    fn what_somebody_may_see_stays() {
        // Versions as lsn, "-" for a tombstone; horizon 10.
        for (versions, drop_tombstones, kept) in [
            ("15 12 9 7", false, "15 12 9"),
            ("15 12 9- 7", false, "15 12 9-"),
            ("15 12 9- 7", true, "15 12"),
            ("15- 9 7", true, "15- 9"),
            ("9- 7", true, ""),
            ("10 9", true, "10"),
            ("15", true, "15"),
        ] {
            let parse = |word: &str| Version {
                key: "k".into(),
                lsn: Lsn(word.trim_end_matches('-').parse().unwrap()),
                row: (!word.ends_with('-')).then(Bytes::new),
            };
            let mut all: Vec<Pending> = versions.split(' ').map(parse).map(Pending::from).collect();
            let dropped = retain(&mut all, Lsn(10), drop_tombstones);
            let all = all.into_iter().map(|version| Version { row: version.row(), key: version.key, lsn: version.lsn });
            let wanted: Vec<Version> = kept.split_whitespace().map(parse).collect();
            assert_eq!(all.collect::<Vec<_>>(), wanted, "{versions}");
            assert_eq!(dropped.is_some(), drop_tombstones && versions.contains("9-"));
        }
    }
}
