//! Cluster map: which tablet a key belongs to.
//!
//! Data only. Today one tablet covers everything; splits will make it more, and nothing that asks changes.

use crate::id::TabletId;
use crate::key::{Key, KeyRange};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// The tablets in key order, without gaps or overlaps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<TabletEntry>", into = "Vec<TabletEntry>")]
pub struct ClusterMap {
    tablets: Vec<TabletEntry>,
}

/// A tablet holds the keys from `start` up to the next tablet's start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TabletEntry {
    pub tablet: TabletId,
    pub start: Key,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClusterMapError {
    #[error("the first tablet does not begin at the smallest key")]
    DoesNotBeginAtTheStart,
    #[error("tablet {0} does not begin after the one before it")]
    NotAscending(TabletId),
    #[error("tablet {0} is there twice")]
    Twice(TabletId),
}

impl Default for ClusterMap {
    /// One tablet, `TabletId(1)`, for every key.
    fn default() -> ClusterMap {
        ClusterMap { tablets: vec![TabletEntry { tablet: TabletId(1), start: Bytes::new() }] }
    }
}

impl ClusterMap {
    /// Entries in key order, the first at the empty key.
    pub fn new(tablets: Vec<TabletEntry>) -> Result<ClusterMap, ClusterMapError> {
        if tablets.first().is_none_or(|first| !first.start.is_empty()) {
            return Err(ClusterMapError::DoesNotBeginAtTheStart);
        }
        for (at, entry) in tablets.iter().enumerate().skip(1) {
            if tablets[at - 1].start >= entry.start {
                return Err(ClusterMapError::NotAscending(entry.tablet));
            }
            if tablets[..at].iter().any(|earlier| earlier.tablet == entry.tablet) {
                return Err(ClusterMapError::Twice(entry.tablet));
            }
        }
        Ok(ClusterMap { tablets })
    }

    pub fn tablet_of(&self, key: &[u8]) -> TabletId {
        // The first entry begins at the smallest key, so at least one entry is at or before every key.
        let after = self.tablets.partition_point(|entry| &entry.start[..] <= key);
        self.tablets[after - 1].tablet
    }

    /// `None` for a tablet that is not in the map.
    pub fn range_of(&self, tablet: TabletId) -> Option<KeyRange> {
        let at = self.tablets.iter().position(|entry| entry.tablet == tablet)?;
        let end = self.tablets.get(at + 1).map_or_else(Bytes::new, |next| next.start.clone());
        Some(KeyRange { start: self.tablets[at].start.clone(), end })
    }

    /// All tablets, in key order.
    pub fn tablets(&self) -> impl Iterator<Item = TabletId> + '_ {
        self.tablets.iter().map(|entry| entry.tablet)
    }
}

impl TryFrom<Vec<TabletEntry>> for ClusterMap {
    type Error = ClusterMapError;

    fn try_from(tablets: Vec<TabletEntry>) -> Result<ClusterMap, ClusterMapError> {
        ClusterMap::new(tablets)
    }
}

impl From<ClusterMap> for Vec<TabletEntry> {
    fn from(map: ClusterMap) -> Vec<TabletEntry> {
        map.tablets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(tablet: u64, start: &'static [u8]) -> TabletEntry {
        TabletEntry { tablet: TabletId(tablet), start: Bytes::from_static(start) }
    }

    #[test]
    fn every_key_is_in_the_tablet_whose_range_contains_it() {
        let map = ClusterMap::new(vec![entry(1, b""), entry(7, b"g"), entry(3, b"p")]).expect("valid map");
        for (key, tablet) in [(&b""[..], 1), (b"f\xff", 1), (b"g", 7), (b"o", 7), (b"p", 3), (b"\xff\xff", 3)] {
            assert_eq!(map.tablet_of(key), TabletId(tablet), "{key:?}");
            assert!(map.range_of(TabletId(tablet)).expect("tablet is in the map").contains(key), "{key:?}");
        }
        assert_eq!(map.range_of(TabletId(9)), None);
        assert_eq!(ClusterMap::default().tablet_of(b"anything"), TabletId(1));
    }

    #[test]
    fn maps_with_gaps_or_repetitions_are_refused() {
        use ClusterMapError::*;
        assert_eq!(ClusterMap::new(vec![]), Err(DoesNotBeginAtTheStart));
        assert_eq!(ClusterMap::new(vec![entry(1, b"a")]), Err(DoesNotBeginAtTheStart));
        assert_eq!(ClusterMap::new(vec![entry(1, b""), entry(2, b"")]), Err(NotAscending(TabletId(2))));
        assert_eq!(ClusterMap::new(vec![entry(1, b""), entry(1, b"a")]), Err(Twice(TabletId(1))));
    }
}
