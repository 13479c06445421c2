//! What the index says about each column of a block: smallest and greatest value, and what is missing.
//!
//! A statistic may be wider than the data (long strings are cut), never narrower: it is used to skip blocks.

use common::id::ColumnId;
use common::physical::{PhysicalType, PhysicalValue};
use common::service::page::ColumnBound;
use expr::row_encoding::PhysicalRef;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;

/// Byte strings are cut to this length in statistics.
const BYTES_MAX: usize = 32;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ColumnStatistics {
    pub column: ColumnId,
    pub physical: PhysicalType,
    /// `None`: no lower bound is known (a NaN).
    pub min: Option<PhysicalValue>,
    pub max: Option<PhysicalValue>,
    pub nulls: u32,
    /// Rows without this column, being older than it.
    pub absent: u32,
    /// Values of another physical type.
    pub others: u32,
}

impl ColumnStatistics {
    /// `present` are the fields of all rows that have the column at all; `rows` counts those that have not, too.
    pub fn of<'a>(
        column: ColumnId,
        physical: PhysicalType,
        present: impl Iterator<Item = PhysicalRef<'a>>,
        rows: usize,
    ) -> ColumnStatistics {
        let mut statistics =
            ColumnStatistics { column, physical, min: None, max: None, nulls: 0, absent: rows as u32, others: 0 };
        let (mut min, mut max, mut ordered) = (None, None, true);
        for value in present {
            statistics.absent -= 1;
            match value.physical_type() {
                None => statistics.nulls += 1,
                Some(found) if found != physical => statistics.others += 1,
                Some(_) => {
                    ordered &= !matches!(value, PhysicalRef::Float64(number) if number.is_nan());
                    if min.is_none_or(|min| compare(value, min) == Some(Ordering::Less)) {
                        min = Some(value);
                    }
                    if max.is_none_or(|max| compare(value, max) == Some(Ordering::Greater)) {
                        max = Some(value);
                    }
                }
            }
        }
        if ordered {
            statistics.min = min.map(cut_down);
            statistics.max = max.and_then(cut_up);
        }
        statistics
    }

    /// True where every row has a value of this type that meets `bound`.
    pub fn all_meet(&self, bound: &ColumnBound) -> bool {
        let within =
            |value: &Option<PhysicalValue>, limit: &Option<PhysicalValue>, beyond: Ordering| match (value, limit) {
                (_, None) => true,
                (Some(value), Some(limit)) => value.compare(limit).is_some_and(|order| order != beyond),
                (None, Some(_)) => false,
            };
        self.nulls == 0
            && self.absent == 0
            && self.others == 0
            && within(&self.min, &bound.min, Ordering::Less)
            && within(&self.max, &bound.max, Ordering::Greater)
    }

    /// True where no value that is counted here can meet `bound`. Absent columns and other types say nothing.
    pub fn excludes(&self, bound: &ColumnBound) -> bool {
        if self.column != bound.column || self.absent > 0 || self.others > 0 {
            return false;
        }
        let beyond =
            |value: &Option<PhysicalValue>, limit: &Option<PhysicalValue>, order: Ordering| match (value, limit) {
                (Some(value), Some(limit)) => value.compare(limit) == Some(order),
                _ => false,
            };
        beyond(&self.max, &bound.min, Ordering::Less) || beyond(&self.min, &bound.max, Ordering::Greater)
    }
}

/// As values compare, without making values of strings.
fn compare(a: PhysicalRef<'_>, b: PhysicalRef<'_>) -> Option<Ordering> {
    match (a, b) {
        (PhysicalRef::Int64(a), PhysicalRef::Int64(b)) => Some(a.cmp(&b)),
        (PhysicalRef::Bytes(a), PhysicalRef::Bytes(b)) => Some(a.cmp(b)),
        _ => a.to_owned().compare(&b.to_owned()),
    }
}

fn cut_down(value: PhysicalRef<'_>) -> PhysicalValue {
    match value {
        PhysicalRef::Bytes(bytes) => PhysicalRef::Bytes(&bytes[..bytes.len().min(BYTES_MAX)]).to_owned(),
        other => other.to_owned(),
    }
}

fn cut_up(value: PhysicalRef<'_>) -> Option<PhysicalValue> {
    match value {
        PhysicalRef::Bytes(bytes) if bytes.len() > BYTES_MAX => {
            let end = common::key::prefix_end(&bytes[..BYTES_MAX]);
            (!end.is_empty()).then_some(PhysicalValue::Bytes(end))
        }
        other => Some(cut_down(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn bound(min: Option<PhysicalValue>, max: Option<PhysicalValue>) -> ColumnBound {
        ColumnBound { column: ColumnId(1), min, max }
    }

    fn statistics(values: &[PhysicalValue], rows: usize) -> ColumnStatistics {
        let present = || values.iter().map(PhysicalRef::from);
        let physical = present().find_map(|value| value.physical_type()).unwrap();
        ColumnStatistics::of(ColumnId(1), physical, present(), rows)
    }

    #[test]
    fn a_block_is_excluded_only_beyond_its_values() {
        let column = statistics(&[PhysicalValue::Int64(-5), PhysicalValue::Int64(9), PhysicalValue::Null], 3);
        for (min, max, excluded) in [
            (Some(10), None, true),
            (Some(9), None, false),
            (None, Some(-6), true),
            (None, Some(-5), false),
            (Some(0), Some(1), false),
        ] {
            let bound = bound(min.map(PhysicalValue::Int64), max.map(PhysicalValue::Int64));
            assert_eq!(column.excludes(&bound), excluded, "{bound:?}");
        }
    }

    #[test]
    fn rows_without_the_column_keep_a_block() {
        let column = statistics(&[PhysicalValue::Int64(1)], 2);
        assert!(!column.excludes(&bound(Some(PhysicalValue::Int64(100)), None)));
    }

    #[test]
    fn cut_strings_still_enclose_the_values() {
        let long = PhysicalValue::Bytes(Bytes::from(vec![b'x'; 100]));
        let column = statistics(std::slice::from_ref(&long), 1);
        assert!(!column.excludes(&bound(Some(long.clone()), Some(long))));
        let unbounded = statistics(&[PhysicalValue::Bytes(Bytes::from(vec![0xff; 100]))], 1);
        assert_eq!(unbounded.max, None);
    }

    #[test]
    fn nan_leaves_no_bounds() {
        let column = statistics(&[PhysicalValue::Float64(1.0), PhysicalValue::Float64(f64::NAN)], 2);
        assert_eq!((column.min, column.max), (None, None));
    }
}
