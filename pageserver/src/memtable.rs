//! Versions that are not in a layer yet: rows by key, and by LSN within a key.
//!
//! One writer (the log receiver), many readers. Readers hold the lock for a lookup or for one chunk of a scan, so that
//! neither side waits long. A frozen memtable is simply one that nobody writes to any more.

use crate::layer::Version;
use bytes::Bytes;
use common::id::Lsn;
use common::key::{Key, KeyRange};
use common::service::page::Direction;
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Bound;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What an entry takes beyond its key and row: nodes of the map, handles, the version list. Measured, rounded up.
const ENTRY_OVERHEAD_BYTES: usize = 144;

#[derive(Default)]
pub struct Memtable {
    keys: RwLock<BTreeMap<Key, Versions>>,
    bytes: AtomicUsize,
    versions: AtomicUsize,
}

/// Versions of one key. Most keys have one.
struct Versions {
    newest: (Lsn, Option<Bytes>),
    /// Oldest first.
    older: Vec<(Lsn, Option<Bytes>)>,
}

impl Versions {
    fn at(&self, lsn: Lsn) -> Option<&(Lsn, Option<Bytes>)> {
        if self.newest.0 <= lsn {
            return Some(&self.newest);
        }
        self.older[..self.older.partition_point(|version| version.0 <= lsn)].last()
    }
}

impl Memtable {
    /// Applies the changes of one transaction; they become visible together. LSNs only rise.
    pub fn apply<'a>(&self, lsn: Lsn, changes: impl Iterator<Item = (&'a Key, &'a Option<Bytes>)>) {
        let mut keys = self.keys.write();
        let (mut bytes, mut versions) = (0, 0);
        for (key, row) in changes {
            bytes += key.len() + row.as_ref().map_or(0, Bytes::len) + ENTRY_OVERHEAD_BYTES;
            versions += 1;
            match keys.entry(key.clone()) {
                Entry::Vacant(place) => {
                    place.insert(Versions { newest: (lsn, row.clone()), older: Vec::new() });
                }
                Entry::Occupied(mut found) if found.get().newest.0 == lsn => found.get_mut().newest.1 = row.clone(),
                Entry::Occupied(mut found) => {
                    let found = found.get_mut();
                    assert!(found.newest.0 < lsn, "transactions are applied in order");
                    let before = std::mem::replace(&mut found.newest, (lsn, row.clone()));
                    found.older.push(before);
                }
            }
        }
        drop(keys);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.versions.fetch_add(versions, Ordering::Relaxed);
    }

    /// The newest version of `key` at or below `lsn`; its row is `None` where it is a tombstone.
    pub fn get(&self, key: &[u8], lsn: Lsn) -> Option<(Lsn, Option<Bytes>)> {
        self.keys.read().get(key)?.at(lsn).cloned()
    }

    /// Up to `count` keys of `range`, from its start (or its end, going back), each with its version at `lsn`,
    /// tombstones included. In the order of `direction`.
    pub fn chunk(&self, range: &KeyRange, lsn: Lsn, direction: Direction, count: usize) -> Vec<Version> {
        if range.is_empty() {
            return Vec::new();
        }
        let keys = self.keys.read();
        let end = if range.end.is_empty() { Bound::Unbounded } else { Bound::Excluded(&range.end) };
        let entries = keys.range::<Key, _>((Bound::Included(&range.start), end));
        let visible = |(key, versions): (&Key, &Versions)| {
            let (lsn, row) = versions.at(lsn)?;
            Some(Version { key: key.clone(), lsn: *lsn, row: row.clone() })
        };
        match direction {
            Direction::Forward => entries.filter_map(visible).take(count).collect(),
            Direction::Backward => entries.rev().filter_map(visible).take(count).collect(),
        }
    }

    pub fn has_keys_in(&self, range: &KeyRange) -> bool {
        // The map would not take an empty range.
        if range.is_empty() {
            return false;
        }
        let end = if range.end.is_empty() { Bound::Unbounded } else { Bound::Excluded(&range.end) };
        self.keys.read().range::<Key, _>((Bound::Included(&range.start), end)).next().is_some()
    }

    /// Every version of up to `count` keys after `after`, sorted by key, newest first: what a flush writes.
    pub fn all_versions(&self, after: Option<&Key>, count: usize) -> Vec<Version> {
        let keys = self.keys.read();
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut out = Vec::new();
        for (key, versions) in keys.range::<Key, _>((start, Bound::Unbounded)).take(count) {
            for (lsn, row) in std::iter::once(&versions.newest).chain(versions.older.iter().rev()) {
                out.push(Version { key: key.clone(), lsn: *lsn, row: row.clone() });
            }
        }
        out
    }

    /// About how much memory it takes.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    pub fn versions(&self) -> usize {
        self.versions.load(Ordering::Relaxed)
    }

    pub fn is_empty(&self) -> bool {
        self.versions() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(table: &Memtable, lsn: u64, changes: &[(&'static str, Option<&'static str>)]) {
        let changes: Vec<(Key, Option<Bytes>)> =
            changes.iter().map(|(key, row)| (Key::from(*key), row.map(Bytes::from))).collect();
        table.apply(Lsn(lsn), changes.iter().map(|(key, row)| (key, row)));
    }

    fn keys(versions: &[Version]) -> Vec<String> {
        versions.iter().map(|version| format!("{}@{}", String::from_utf8_lossy(&version.key), version.lsn)).collect()
    }

    #[test]
    fn each_lsn_sees_its_own_state() {
        let table = Memtable::default();
        apply(&table, 1, &[("a", Some("1")), ("b", Some("1"))]);
        apply(&table, 3, &[("a", Some("3"))]);
        apply(&table, 5, &[("a", None), ("c", Some("5"))]);
        assert_eq!(table.get(b"a", Lsn(0)), None);
        assert_eq!(table.get(b"a", Lsn(2)), Some((Lsn(1), Some("1".into()))));
        assert_eq!(table.get(b"a", Lsn(4)), Some((Lsn(3), Some("3".into()))));
        assert_eq!(table.get(b"a", Lsn(9)), Some((Lsn(5), None)));
        let all = KeyRange::all();
        assert_eq!(keys(&table.chunk(&all, Lsn(4), Direction::Forward, 9)), ["a@3", "b@1"]);
        assert_eq!(keys(&table.chunk(&all, Lsn(5), Direction::Backward, 2)), ["c@5", "b@1"]);
        assert_eq!(keys(&table.all_versions(None, 9)), ["a@5", "a@3", "a@1", "b@1", "c@5"]);
        assert_eq!(keys(&table.all_versions(Some(&"a".into()), 1)), ["b@1"]);
    }
}
