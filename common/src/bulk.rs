//! Rows that lie in the object store before they are committed, and the record in the log that makes them count.
//!
//! A page server writes sorted rows as layers that no manifest names and hands out a [`BulkLayer`] for each. The commit
//! carries it as a mutation of a reserved key, and at the LSN of that commit every row of the layer becomes a version. The
//! rows themselves never pass through the log. A row may also be a deletion. A layer that nobody commits is an orphan, and is
//! deleted late.
//!
//! Invariants
//! - The layers of one commit have disjoint key ranges, and none of its other writes has one of their keys.
//! - A layer is committed at most once.

use crate::id::TabletId;
use crate::key::{Key, KeyRange};
use crate::service::wal::{Mutation, Write};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Every key of a bulk record begins like this: table 0, which is the log's own, and an index that it never has.
const PREFIX: [u8; 8] = [0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff];
const FORMAT: u8 = 2;
/// Without `tombstones`: there were none.
const FORMAT_WITHOUT_TOMBSTONES: u8 = 1;

/// Names a layer that a page server has written, with what is needed to open it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BulkLayer {
    /// The tablet below whose name the object lies. Its rows may belong to others by the time of the commit.
    pub home: TabletId,
    pub generation: u64,
    pub sequence: u64,
    pub bytes: u64,
    pub index_offset: u64,
    /// Smallest and greatest key, both in the layer.
    pub first: Key,
    pub last: Key,
    pub rows: u64,
    /// Rows that are deletions.
    pub tombstones: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BulkError {
    #[error("a bulk record does not decode")]
    Malformed,
    #[error("a bulk record contradicts itself")]
    Contradiction,
    #[error("layers of one commit have keys in common")]
    Overlap,
}

impl BulkLayer {
    /// What the commit writes.
    pub fn record(&self) -> Mutation {
        let mut key = PREFIX.to_vec();
        for number in [self.home.0, self.generation, self.sequence] {
            key.extend(number.to_be_bytes());
        }
        let mut row = vec![FORMAT];
        row.extend(postcard::to_stdvec(self).expect("plain data serializes"));
        Mutation { key: key.into(), row: Some(row.into()) }
    }

    /// The layer that a mutation stands for; `None` for a mutation of another kind.
    pub fn of(mutation: &Mutation) -> Option<Result<BulkLayer, BulkError>> {
        mutation.key.starts_with(&PREFIX).then(|| {
            let row = mutation.row.as_deref().unwrap_or_default();
            let layer = match row.split_first() {
                Some((&FORMAT, body)) => postcard::from_bytes(body).ok(),
                // The same but for the last number.
                Some((&FORMAT_WITHOUT_TOMBSTONES, body)) => postcard::from_bytes(&[body, &[0]].concat()).ok(),
                _ => None,
            };
            let layer: BulkLayer = layer.ok_or(BulkError::Malformed)?;
            let sound = layer.first <= layer.last
                && layer.index_offset < layer.bytes
                && layer.rows > 0
                && layer.tombstones <= layer.rows;
            if !sound || layer.record().key != mutation.key {
                return Err(BulkError::Contradiction);
            }
            Ok(layer)
        })
    }

    /// Its keys, and whatever lies between them.
    pub fn range(&self) -> KeyRange {
        let mut end = Vec::with_capacity(self.last.len() + 1);
        end.extend_from_slice(&self.last);
        end.push(0);
        KeyRange { start: self.first.clone(), end: Bytes::from(end) }
    }
}

/// Whether a key is that of a bulk record: it names a layer, and nothing is ever stored under it.
pub fn is_record(key: &[u8]) -> bool {
    key.starts_with(&PREFIX)
}

/// The layers that a commit carries.
pub fn layers_of(writes: &[Write]) -> Result<Vec<BulkLayer>, BulkError> {
    let mut layers =
        writes.iter().filter_map(|write| BulkLayer::of(&write.mutation)).collect::<Result<Vec<_>, BulkError>>()?;
    layers.sort_by(|a, b| a.first.cmp(&b.first));
    match layers.windows(2).all(|pair| pair[0].last < pair[1].first) {
        true => Ok(layers),
        false => Err(BulkError::Overlap),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Lsn;

    fn layer(sequence: u64, first: &'static str, last: &'static str) -> BulkLayer {
        BulkLayer {
            home: TabletId(3),
            generation: 2,
            sequence,
            bytes: 900,
            index_offset: 700,
            first: first.into(),
            last: last.into(),
            rows: 5,
            tombstones: 2,
        }
    }

    #[test]
    fn a_record_names_its_layer() {
        let layer = layer(7, "b", "m");
        let mutation = layer.record();
        assert!(is_record(&mutation.key));
        assert_eq!(BulkLayer::of(&mutation), Some(Ok(layer.clone())));
        assert!(layer.range().contains(b"m") && !layer.range().contains(b"m\0"));
        assert_eq!(BulkLayer::of(&Mutation { key: "b".into(), row: None }), None);
        let row = mutation.row.clone().unwrap();
        for length in 0..row.len() {
            let cut = Mutation { key: mutation.key.clone(), row: Some(row.slice(..length)) };
            assert!(BulkLayer::of(&cut).unwrap().is_err(), "{length} bytes");
        }
        // As logs of before have it.
        let older = [&[FORMAT_WITHOUT_TOMBSTONES], &row[1..row.len() - 1]].concat();
        let older = Mutation { key: mutation.key.clone(), row: Some(older.into()) };
        assert_eq!(BulkLayer::of(&older), Some(Ok(BulkLayer { tombstones: 0, ..layer })));
        let other = Mutation { key: [&mutation.key[..], b"x"].concat().into(), ..mutation };
        assert_eq!(BulkLayer::of(&other), Some(Err(BulkError::Contradiction)));
    }

    #[test]
    fn layers_of_one_commit_are_disjoint() {
        let write = |layer: BulkLayer| Write { mutation: layer.record(), observed: Lsn::MAX };
        let writes = |layers: &[BulkLayer]| layers.iter().cloned().map(write).collect::<Vec<_>>();
        let (low, high) = (layer(1, "a", "f"), layer(2, "g", "k"));
        assert_eq!(layers_of(&writes(&[high.clone(), low.clone()])), Ok(vec![low.clone(), high]));
        assert_eq!(layers_of(&writes(&[low, layer(2, "f", "k")])), Err(BulkError::Overlap));
    }
}
