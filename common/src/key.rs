//! Keys as the roles below SQL see them: bytes whose order is the order of the index, and half-open ranges of them.

use crate::id::{IndexId, TableId};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Memcomparable key: table id (4 bytes), index id (4 bytes), encoded columns. See `expr::key_encoding`.
pub type Key = Bytes;

/// Length of the prefix that names table and index.
pub const KEY_PREFIX_BYTES: usize = 8;

/// The first eight bytes of every key of this index.
pub fn index_prefix(table: TableId, index: IndexId) -> [u8; KEY_PREFIX_BYTES] {
    let mut prefix = [0; KEY_PREFIX_BYTES];
    prefix[..4].copy_from_slice(&table.0.to_be_bytes());
    prefix[4..].copy_from_slice(&index.0.to_be_bytes());
    prefix
}

/// Table and index of a key; `None` where it is too short to be one.
pub fn table_and_index(key: &[u8]) -> Option<(TableId, IndexId)> {
    let table = key.get(..4)?.try_into().ok()?;
    let index = key.get(4..8)?.try_into().ok()?;
    Some((TableId(u32::from_be_bytes(table)), IndexId(u32::from_be_bytes(index))))
}

/// Half-open range `[start, end)` of keys. An empty `end` means "no upper bound".
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct KeyRange {
    pub start: Key,
    pub end: Key,
}

impl KeyRange {
    /// Every key there is.
    pub fn all() -> KeyRange {
        KeyRange { start: Bytes::new(), end: Bytes::new() }
    }

    /// Every key that begins with `prefix`.
    pub fn prefix(prefix: &[u8]) -> KeyRange {
        KeyRange { start: Bytes::copy_from_slice(prefix), end: prefix_end(prefix) }
    }

    /// Every key of one table.
    pub fn table(table: TableId) -> KeyRange {
        KeyRange::prefix(&table.0.to_be_bytes())
    }

    /// Every key of one index.
    pub fn index(table: TableId, index: IndexId) -> KeyRange {
        KeyRange::prefix(&index_prefix(table, index))
    }

    pub fn contains(&self, key: &[u8]) -> bool {
        key >= &self.start[..] && (self.end.is_empty() || key < &self.end[..])
    }

    /// True when no key can be in it.
    pub fn is_empty(&self) -> bool {
        !self.end.is_empty() && self.start >= self.end
    }

    /// The keys that are in both.
    pub fn intersection(&self, other: &KeyRange) -> KeyRange {
        let end = match (self.end.is_empty(), other.end.is_empty()) {
            (true, _) => &other.end,
            (_, true) => &self.end,
            _ => (&self.end).min(&other.end),
        };
        KeyRange { start: (&self.start).max(&other.start).clone(), end: end.clone() }
    }

    pub fn overlaps(&self, other: &KeyRange) -> bool {
        (other.end.is_empty() || self.start < other.end) && (self.end.is_empty() || other.start < self.end)
    }
}

/// The smallest key greater than every key that begins with `prefix`; empty ("no bound") if there is none.
pub fn prefix_end(prefix: &[u8]) -> Key {
    let mut end = prefix.to_vec();
    while let Some(last) = end.last_mut() {
        if *last < 0xff {
            *last += 1;
            break;
        }
        end.pop();
    }
    end.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefix_range_holds_exactly_the_keys_with_that_prefix() {
        let range = KeyRange::prefix(b"a\xff");
        assert!(range.contains(b"a\xff") && range.contains(b"a\xff\xff\x01"));
        assert!(!range.contains(b"a\xfe") && !range.contains(b"b"));
        assert!(KeyRange::prefix(b"\xff\xff").end.is_empty());
    }

    #[test]
    fn the_intersection_holds_the_keys_of_both() {
        let range = |start: &'static [u8], end: &'static [u8]| KeyRange {
            start: Bytes::from_static(start),
            end: Bytes::from_static(end),
        };
        for (a, b, both) in [
            (range(b"", b""), range(b"c", b"f"), range(b"c", b"f")),
            (range(b"a", b"d"), range(b"c", b""), range(b"c", b"d")),
            (range(b"a", b"d"), range(b"b", b"c"), range(b"b", b"c")),
        ] {
            assert_eq!(a.intersection(&b), both);
            assert_eq!(b.intersection(&a), both);
        }
        assert!(range(b"a", b"b").intersection(&range(b"c", b"d")).is_empty());
    }

    #[test]
    fn key_prefix_round_trips() {
        assert_eq!(table_and_index(&index_prefix(TableId(7), IndexId(2))), Some((TableId(7), IndexId(2))));
        assert_eq!(table_and_index(b"short"), None);
    }
}
