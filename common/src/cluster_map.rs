//! Cluster map: which tablet a key belongs to.
//!
//! The map is data in the log: it changes by a transaction that writes [`MAP_KEY`], and every transaction after that one
//! is tagged by the new map. Whoever follows the log changes maps at the same LSN. The key lies in the first tablet like any
//! other, so that commits of rivals are refused by the ordinary check for newer versions.
//!
//! Invariants
//! - Tablets are in key order, without gaps or overlaps; the first is [`FIRST_TABLET`], which no merge takes away.
//! - A tablet's id is never given out twice.

use crate::id::TabletId;
use crate::key::{Key, KeyRange};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// The row of this key is the map, encoded ([`ClusterMap::encode`]). Table 0 is nobody's.
pub const MAP_KEY: Key = Bytes::from_static(&[0; 8]);

/// The row of this key says which page server owns the tablets ([`Owner`]). Changed as the map is: one commit wins.
pub const OWNER_KEY: Key = Bytes::from_static(&[0, 0, 0, 0, 0, 0, 0, 1]);

/// First byte of an encoded owner.
const OWNER_FORMAT: u8 = b'O';

/// The page server that writes layers and manifests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// Drawn by the process when it started.
    pub process: u128,
    /// Where it is asked whether it lives.
    pub address: SocketAddr,
}

impl Owner {
    pub fn encode(&self) -> Bytes {
        let mut encoded = vec![OWNER_FORMAT];
        encoded.extend(postcard::to_stdvec(self).expect("an owner always serializes"));
        encoded.into()
    }

    pub fn decode(row: &[u8]) -> Option<Owner> {
        postcard::from_bytes(row.strip_prefix(&[OWNER_FORMAT])?).ok()
    }
}

/// The tablet of the smallest keys.
pub const FIRST_TABLET: TabletId = TabletId(1);

/// First byte of an encoded map; no stored row begins with it.
const FORMAT: u8 = b'M';

/// The tablets in key order, without gaps or overlaps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "MapParts", into = "MapParts")]
pub struct ClusterMap {
    tablets: Vec<TabletEntry>,
    /// Ids from here on were never given out.
    next_tablet: TabletId,
}

/// A tablet holds the keys from `start` up to the next tablet's start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TabletEntry {
    pub tablet: TabletId,
    pub start: Key,
}

#[derive(Serialize, Deserialize)]
struct MapParts {
    tablets: Vec<TabletEntry>,
    next_tablet: TabletId,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClusterMapError {
    #[error("the first tablet does not begin at the smallest key")]
    DoesNotBeginAtTheStart,
    #[error("the first tablet is not tablet {FIRST_TABLET}")]
    OtherFirst,
    #[error("tablet {0} does not begin after the one before it")]
    NotAscending(TabletId),
    #[error("tablet {0} is there twice")]
    Twice(TabletId),
    #[error("tablet {0} has an id that is still to be given out")]
    FromTheFuture(TabletId),
    #[error("it does not decode")]
    Malformed,
}

/// What leads from one map to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MapChange {
    /// The keys of `tablet` from `at` on become a tablet of their own; its id is the map's next.
    Split { tablet: TabletId, at: Key },
    /// `right` becomes part of `left`, its neighbour before it.
    Merge { left: TabletId, right: TabletId },
}

impl Default for ClusterMap {
    /// One tablet for every key.
    fn default() -> ClusterMap {
        let first = TabletEntry { tablet: FIRST_TABLET, start: Bytes::new() };
        ClusterMap { tablets: vec![first], next_tablet: TabletId(FIRST_TABLET.0 + 1) }
    }
}

impl ClusterMap {
    /// Entries in key order, the first at the empty key. The next id is the one after the greatest.
    pub fn new(tablets: Vec<TabletEntry>) -> Result<ClusterMap, ClusterMapError> {
        let greatest = tablets.iter().map(|entry| entry.tablet.0).max().unwrap_or_default();
        ClusterMap::with_next(tablets, TabletId(greatest.saturating_add(1)))
    }

    fn with_next(tablets: Vec<TabletEntry>, next_tablet: TabletId) -> Result<ClusterMap, ClusterMapError> {
        match tablets.first() {
            Some(first) if first.start.is_empty() && first.tablet == FIRST_TABLET => {}
            Some(first) if first.start.is_empty() => return Err(ClusterMapError::OtherFirst),
            _ => return Err(ClusterMapError::DoesNotBeginAtTheStart),
        }
        if let Some(pair) = tablets.windows(2).find(|pair| pair[0].start >= pair[1].start) {
            return Err(ClusterMapError::NotAscending(pair[1].tablet));
        }
        let mut seen = std::collections::HashSet::new();
        for entry in &tablets {
            if !seen.insert(entry.tablet) {
                return Err(ClusterMapError::Twice(entry.tablet));
            }
            if entry.tablet >= next_tablet {
                return Err(ClusterMapError::FromTheFuture(entry.tablet));
            }
        }
        Ok(ClusterMap { tablets, next_tablet })
    }

    /// The row of [`MAP_KEY`].
    pub fn encode(&self) -> Bytes {
        let mut row = vec![FORMAT];
        row.extend(postcard::to_stdvec(self).expect("a map serializes"));
        row.into()
    }

    pub fn decode(row: &[u8]) -> Result<ClusterMap, ClusterMapError> {
        let body = row.strip_prefix(&[FORMAT]).ok_or(ClusterMapError::Malformed)?;
        postcard::from_bytes(body).map_err(|_| ClusterMapError::Malformed)
    }

    pub fn tablet_of(&self, key: &[u8]) -> TabletId {
        // The first entry begins at the smallest key, so at least one entry is at or before every key.
        let after = self.tablets.partition_point(|entry| &entry.start[..] <= key);
        self.tablets[after - 1].tablet
    }

    /// `None` for a tablet that is not in the map.
    pub fn range_of(&self, tablet: TabletId) -> Option<KeyRange> {
        let at = self.tablets.iter().position(|entry| entry.tablet == tablet)?;
        Some(self.range_at(at))
    }

    fn range_at(&self, at: usize) -> KeyRange {
        let end = self.tablets.get(at + 1).map_or_else(Bytes::new, |next| next.start.clone());
        KeyRange { start: self.tablets[at].start.clone(), end }
    }

    /// All tablets, in key order.
    pub fn tablets(&self) -> impl Iterator<Item = TabletId> + '_ {
        self.tablets.iter().map(|entry| entry.tablet)
    }

    /// All tablets with their ranges, in key order.
    pub fn ranges(&self) -> impl Iterator<Item = (TabletId, KeyRange)> + '_ {
        (0..self.tablets.len()).map(|at| (self.tablets[at].tablet, self.range_at(at)))
    }

    pub fn next_tablet(&self) -> TabletId {
        self.next_tablet
    }

    /// The same tablets; ids up to `used` count as given out.
    pub fn without_ids_up_to(mut self, used: TabletId) -> ClusterMap {
        self.next_tablet = self.next_tablet.max(TabletId(used.0.saturating_add(1)));
        self
    }

    /// The map after `change`; `None` where the change does not fit this map.
    pub fn changed(&self, change: &MapChange) -> Option<ClusterMap> {
        let mut map = self.clone();
        match change {
            MapChange::Split { tablet, at } => {
                let place = self.tablets.iter().position(|entry| entry.tablet == *tablet)?;
                let range = self.range_at(place);
                if *at <= range.start || !range.contains(at) || (*tablet == FIRST_TABLET && *at <= MAP_KEY) {
                    return None;
                }
                map.tablets.insert(place + 1, TabletEntry { tablet: self.next_tablet, start: at.clone() });
                map.next_tablet = TabletId(self.next_tablet.0.checked_add(1)?);
            }
            MapChange::Merge { left, right } => {
                let place = self.tablets.iter().position(|entry| entry.tablet == *right)?;
                if place == 0 || self.tablets[place - 1].tablet != *left {
                    return None;
                }
                map.tablets.remove(place);
            }
        }
        Some(map)
    }

    /// The change that leads from this map to `next`, if there is one.
    pub fn change_to(&self, next: &ClusterMap) -> Option<MapChange> {
        let known = |entry: &&TabletEntry| !self.tablets.contains(entry);
        let gone = self.tablets.iter().position(|entry| !next.tablets.contains(entry));
        let change = match (next.tablets.iter().find(known), gone) {
            (Some(new), None) => MapChange::Split { tablet: self.tablet_of(&new.start), at: new.start.clone() },
            (None, Some(place)) if place > 0 => {
                MapChange::Merge { left: self.tablets[place - 1].tablet, right: self.tablets[place].tablet }
            }
            _ => return None,
        };
        (self.changed(&change).as_ref() == Some(next)).then_some(change)
    }
}

impl TryFrom<MapParts> for ClusterMap {
    type Error = ClusterMapError;

    fn try_from(parts: MapParts) -> Result<ClusterMap, ClusterMapError> {
        ClusterMap::with_next(parts.tablets, parts.next_tablet)
    }
}

impl From<ClusterMap> for MapParts {
    fn from(map: ClusterMap) -> MapParts {
        MapParts { tablets: map.tablets, next_tablet: map.next_tablet }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(tablet: u64, start: &'static [u8]) -> TabletEntry {
        TabletEntry { tablet: TabletId(tablet), start: Bytes::from_static(start) }
    }

    fn sample() -> ClusterMap {
        ClusterMap::new(vec![entry(1, b""), entry(7, b"g"), entry(3, b"p")]).expect("valid map")
    }

    #[test]
    fn every_key_is_in_the_tablet_whose_range_contains_it() {
        let map = sample();
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
        assert_eq!(ClusterMap::new(vec![entry(2, b"")]), Err(OtherFirst));
        assert_eq!(ClusterMap::new(vec![entry(1, b""), entry(2, b"")]), Err(NotAscending(TabletId(2))));
        assert_eq!(ClusterMap::new(vec![entry(1, b""), entry(1, b"a")]), Err(Twice(TabletId(1))));
        assert_eq!(
            ClusterMap::with_next(vec![entry(1, b""), entry(5, b"a")], TabletId(5)),
            Err(FromTheFuture(TabletId(5)))
        );
    }

    #[test]
    fn splits_and_merges_lead_to_maps_and_are_recognised() {
        let map = sample();
        let split = MapChange::Split { tablet: TabletId(7), at: Bytes::from_static(b"k") };
        let halves = map.changed(&split).expect("a split within the tablet");
        assert_eq!(halves.tablets().collect::<Vec<_>>(), [1, 7, 8, 3].map(TabletId));
        assert_eq!(map.change_to(&halves), Some(split));
        let merge = MapChange::Merge { left: TabletId(8), right: TabletId(3) };
        let merged = halves.changed(&merge).expect("a merge of neighbours");
        assert_eq!(merged.tablets().collect::<Vec<_>>(), [1, 7, 8].map(TabletId));
        assert_eq!(halves.change_to(&merged), Some(merge));
        assert_eq!(merged.next_tablet(), TabletId(9), "ids are not given out again");
        assert_eq!(map.change_to(&merged), None, "two steps are no change");
        for (tablet, at) in [(7, &b"g"[..]), (7, b"p"), (7, b"a"), (9, b"h"), (1, b"\0")] {
            let change = MapChange::Split { tablet: TabletId(tablet), at: Bytes::from_static(at) };
            assert_eq!(map.changed(&change), None, "{change:?}");
        }
        for (left, right) in [(7, 1), (1, 3), (3, 7), (7, 9)] {
            let change = MapChange::Merge { left: TabletId(left), right: TabletId(right) };
            assert_eq!(map.changed(&change), None, "{change:?}");
        }
    }

    #[test]
    fn an_encoded_map_is_read_back_and_damage_is_refused() {
        let map = sample();
        let row = map.encode();
        assert_eq!(ClusterMap::decode(&row), Ok(map));
        for cut in 0..row.len() {
            assert!(ClusterMap::decode(&row[..cut]).is_err(), "{cut} bytes");
        }
        assert_eq!(ClusterMap::decode(b"\x01row"), Err(ClusterMapError::Malformed));
    }
}
