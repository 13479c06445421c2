//! Rows that have their LSN and are not applied yet: what the next holder of their locks has to see.

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
}

impl InFlight {
    pub fn insert(&mut self, mutation: &Mutation, lsn: Lsn) {
        self.rows.insert(mutation.key.clone(), (lsn, mutation.row.clone()));
    }

    /// A version is applied; a newer one of the same key may be on its way.
    pub fn applied(&mut self, key: &Key, lsn: Lsn) {
        if self.rows.get(key).is_some_and(|(newest, _)| *newest == lsn) {
            self.rows.remove(key);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub fn newest(&self, key: &Key) -> Option<&(Lsn, Option<Bytes>)> {
        self.rows.get(key)
    }

    /// The newest LSN of any key in the range.
    pub fn newest_in(&self, range: &KeyRange) -> Option<Lsn> {
        if range.is_empty() {
            return None;
        }
        let end = if range.end.is_empty() { Bound::Unbounded } else { Bound::Excluded(&range.end) };
        self.rows.range::<Key, _>((Bound::Included(&range.start), end)).map(|(_, (lsn, _))| *lsn).max()
    }
}
