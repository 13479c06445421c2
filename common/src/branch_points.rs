//! Branch points: LSNs with a name, at which everything stays readable until the name is dropped, whatever its age.
//!
//! Like the cluster map they are data in the log: a transaction that writes [`POINTS_KEY`] changes them, rivals are told
//! apart by the ordinary conflict check, and whoever follows the log learns of them at the same LSN.
//!
//! A point may be as far back from its own transaction, by the log's clock, as page servers keep everything (`retention`):
//! then none of them can have dropped what it sees, also one that reads the log again. Where a single row changed so often that its
//! history was cut short (page server, `compact::retention`), reads at an older point are refused.

use crate::id::Lsn;
use crate::key::Key;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The row of this key has the branch points, encoded ([`BranchPoints::encode`]). Table 0 is nobody's.
pub const POINTS_KEY: Key = Bytes::from_static(&[0, 0, 0, 0, 0, 0, 0, 2]);

/// Of every row a version per point is kept, in one block.
pub const POINTS_MAX: usize = 256;
pub const NAME_BYTES_MAX: usize = 256;

/// First byte of encoded points.
const FORMAT: u8 = b'B';

/// By name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BranchPoints(BTreeMap<String, Lsn>);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BranchPointsError {
    #[error("there are {POINTS_MAX} branch points already; drop one first")]
    TooMany,
    #[error("the name of a branch point has 1 to {NAME_BYTES_MAX} bytes")]
    BadName,
    #[error("there is a branch point {0:?} already")]
    Exists(String),
    #[error("they do not decode")]
    Malformed,
}

impl BranchPoints {
    /// A new point.
    pub fn insert(&mut self, name: &str, lsn: Lsn) -> Result<(), BranchPointsError> {
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            return Err(BranchPointsError::BadName);
        }
        if self.0.contains_key(name) {
            return Err(BranchPointsError::Exists(name.to_owned()));
        }
        if self.0.len() >= POINTS_MAX {
            return Err(BranchPointsError::TooMany);
        }
        self.0.insert(name.to_owned(), lsn);
        Ok(())
    }

    /// Drops a point; what it stood for, if there was one of that name.
    pub fn remove(&mut self, name: &str) -> Option<Lsn> {
        self.0.remove(name)
    }

    /// In the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Lsn)> + Clone {
        self.0.iter().map(|(name, lsn)| (name.as_str(), *lsn))
    }

    /// Where they are, ascending, each once.
    pub fn lsns(&self) -> Vec<Lsn> {
        let mut lsns: Vec<Lsn> = self.0.values().copied().collect();
        lsns.sort_unstable();
        lsns.dedup();
        lsns
    }

    /// The row of [`POINTS_KEY`].
    pub fn encode(&self) -> Bytes {
        let mut row = vec![FORMAT];
        row.extend(postcard::to_stdvec(self).expect("branch points serialize"));
        row.into()
    }

    /// Of the row, where there is one.
    pub fn decode(row: Option<&[u8]>) -> Result<BranchPoints, BranchPointsError> {
        let Some(row) = row else { return Ok(BranchPoints::default()) };
        let body = row.strip_prefix(&[FORMAT]).ok_or(BranchPointsError::Malformed)?;
        let points: BranchPoints = postcard::from_bytes(body).map_err(|_| BranchPointsError::Malformed)?;
        if points.0.len() > POINTS_MAX {
            return Err(BranchPointsError::TooMany);
        }
        if points.0.keys().any(|name| name.is_empty() || name.len() > NAME_BYTES_MAX) {
            return Err(BranchPointsError::BadName);
        }
        Ok(points)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_read_back_and_damage_is_refused() {
        let mut points = BranchPoints::default();
        for (name, lsn) in [("monday", 7), ("before the sale", 9), ("the same day", 7)] {
            points.insert(name, Lsn(lsn)).unwrap();
        }
        assert_eq!(points.lsns(), [Lsn(7), Lsn(9)]);
        let row = points.encode();
        assert_eq!(BranchPoints::decode(Some(&row)), Ok(points.clone()));
        for cut in 0..row.len() {
            assert_eq!(BranchPoints::decode(Some(&row[..cut])), Err(BranchPointsError::Malformed), "{cut} bytes");
        }
        assert_eq!(BranchPoints::decode(None), Ok(BranchPoints::default()));
        assert_eq!(points.remove("monday"), Some(Lsn(7)));
        assert_eq!((points.remove("monday"), points.iter().count()), (None, 2));
    }

    #[test]
    fn names_and_numbers_have_bounds() {
        let mut points = BranchPoints::default();
        assert_eq!(points.insert("", Lsn(1)), Err(BranchPointsError::BadName));
        assert_eq!(points.insert(&"n".repeat(NAME_BYTES_MAX + 1), Lsn(1)), Err(BranchPointsError::BadName));
        for number in 0..POINTS_MAX {
            points.insert(&number.to_string(), Lsn(1)).unwrap();
        }
        assert_eq!(points.insert("7", Lsn(1)), Err(BranchPointsError::Exists("7".to_owned())));
        assert_eq!(points.insert("one more", Lsn(1)), Err(BranchPointsError::TooMany));
        let mut more = points.clone();
        more.0.insert("one more".to_owned(), Lsn(1));
        assert_eq!(BranchPoints::decode(Some(&more.encode())), Err(BranchPointsError::TooMany));
    }
}
