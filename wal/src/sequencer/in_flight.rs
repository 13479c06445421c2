//! Rows that have their LSN and are not applied yet: what the next holder of their locks has to see. Of rows in bulk layers
//! nothing is known here but where they may be: whoever wants to see them has to read them.

use bytes::Bytes;
use common::id::Lsn;
use common::key::{Key, KeyRange};
use common::service::wal::Mutation;
use std::collections::BTreeMap;
use std::ops::Bound;

#[derive(Default)]
pub struct InFlight {
    /// The newest version of each key.
    rows: BTreeMap<Key, (Lsn, Option<Bytes>)>,
    /// Ranges of bulk layers.
    layers: Vec<(KeyRange, Lsn)>,
}

impl InFlight {
    pub fn insert(&mut self, mutation: &Mutation, lsn: Lsn) {
        self.rows.insert(mutation.key.clone(), (lsn, mutation.row.clone()));
    }

    pub fn insert_layer(&mut self, range: KeyRange, lsn: Lsn) {
        self.layers.push((range, lsn));
    }

    /// Layers up to here are applied.
    pub fn layers_applied(&mut self, lsn: Lsn) {
        self.layers.retain(|(_, newer)| *newer > lsn);
    }

    /// A version is applied; a newer one of the same key may be on its way.
    pub fn applied(&mut self, key: &Key, lsn: Lsn) {
        if self.rows.get(key).is_some_and(|(newest, _)| *newest == lsn) {
            self.rows.remove(key);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.layers.is_empty()
    }

    pub fn newest(&self, key: &Key) -> Option<&(Lsn, Option<Bytes>)> {
        self.rows.get(key)
    }

    /// The newest layer that may have the key.
    pub fn newest_layer(&self, key: &Key) -> Option<Lsn> {
        self.layers.iter().filter(|(range, _)| range.contains(key)).map(|(_, lsn)| *lsn).max()
    }

    /// The newest LSN of any key in the range, or of a layer that may have one.
    pub fn newest_in(&self, range: &KeyRange) -> Option<Lsn> {
        if range.is_empty() {
            return None;
        }
        let end = if range.end.is_empty() { Bound::Unbounded } else { Bound::Excluded(&range.end) };
        let rows = self.rows.range::<Key, _>((Bound::Included(&range.start), end)).map(|(_, (lsn, _))| *lsn);
        let layers = self.layers.iter().filter(|(layer, _)| layer.overlaps(range)).map(|(_, lsn)| *lsn);
        rows.chain(layers).max()
    }
}
