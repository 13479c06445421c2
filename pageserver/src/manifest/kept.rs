//! At which LSNs a tablet can be read.

use common::id::Lsn;
use serde::{Deserialize, Serialize};

/// Everything from the horizon on, and some LSNs below it: branch points, for which compaction left what they see.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    horizon: Lsn,
    /// Ascending, all below the horizon.
    points: Vec<Lsn>,
}

impl Kept {
    /// `points`: those that are kept; what is not below the horizon needs no mention.
    pub fn new(horizon: Lsn, points: &[Lsn]) -> Kept {
        let mut points: Vec<Lsn> = points.iter().copied().filter(|point| *point < horizon).collect();
        points.sort_unstable();
        points.dedup();
        Kept { horizon, points }
    }

    pub fn horizon(&self) -> Lsn {
        self.horizon
    }

    /// Those below the horizon, ascending.
    pub fn points(&self) -> &[Lsn] {
        &self.points
    }

    pub fn has(&self, lsn: Lsn) -> bool {
        lsn >= self.horizon || self.points.binary_search(&lsn).is_ok()
    }

    /// What both have.
    pub fn and(&self, other: &Kept) -> Kept {
        let points = self.points.iter().chain(&other.points).copied();
        let points: Vec<Lsn> = points.filter(|point| self.has(*point) && other.has(*point)).collect();
        Kept::new(self.horizon.max(other.horizon), &points)
    }

    /// Whether it is as [`Kept::new`] makes it.
    pub(super) fn is_consistent(&self) -> bool {
        self.points.is_sorted_by(|a, b| a < b) && self.points.last().is_none_or(|last| *last < self.horizon)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_both_keep_is_kept() {
        let kept = |horizon: u64, points: &[u64]| {
            let points: Vec<Lsn> = points.iter().map(|point| Lsn(*point)).collect();
            Kept::new(Lsn(horizon), &points)
        };
        for (one, other, both) in [
            (kept(0, &[]), kept(10, &[3, 7]), kept(10, &[3, 7])),
            (kept(5, &[3]), kept(10, &[3, 7]), kept(10, &[3, 7])),
            (kept(5, &[]), kept(10, &[3, 7]), kept(10, &[7])),
            (kept(8, &[3, 7]), kept(10, &[]), kept(10, &[])),
            (kept(10, &[10, 9, 9]), kept(10, &[9]), kept(10, &[9])),
        ] {
            assert_eq!(one.and(&other), both);
            assert_eq!(other.and(&one), both);
            for lsn in (0..20).map(Lsn) {
                assert_eq!(both.has(lsn), one.has(lsn) && other.has(lsn), "{lsn} of {both:?}");
            }
            assert!(both.is_consistent());
        }
    }
}
