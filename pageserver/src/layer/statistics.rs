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
        let statistics =
            ColumnStatistics { column, physical, min: None, max: None, nulls: 0, absent: rows as u32, others: 0 };
        match physical {
            PhysicalType::Int64 => statistics.with(present, Integers::default()),
            PhysicalType::Bytes => statistics.with(present, Strings::default()),
            _ => statistics.with(present, Others::default()),
        }
    }

    fn with<'a>(mut self, present: impl Iterator<Item = PhysicalRef<'a>>, mut ends: impl Ends<'a>) -> ColumnStatistics {
        for value in present {
            self.absent -= 1;
            match value.physical_type() {
                None => self.nulls += 1,
                Some(found) if found != self.physical => self.others += 1,
                Some(_) => ends.see(value),
            }
        }
        if let Some((min, max)) = ends.found() {
            self.min = Some(cut_down(min));
            self.max = cut_up(max);
        }
        self
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

/// The smallest and the greatest of values of one type. Every value of every layer that is written passes here.
trait Ends<'a> {
    fn see(&mut self, value: PhysicalRef<'a>);

    /// `None`: there was no value, or they have no order.
    fn found(self) -> Option<(PhysicalRef<'a>, PhysicalRef<'a>)>;
}

#[derive(Default)]
struct Integers(Option<(i64, i64)>);

impl<'a> Ends<'a> for Integers {
    fn see(&mut self, value: PhysicalRef<'a>) {
        if let PhysicalRef::Int64(value) = value {
            let (min, max) = self.0.unwrap_or((value, value));
            self.0 = Some((min.min(value), max.max(value)));
        }
    }

    fn found(self) -> Option<(PhysicalRef<'a>, PhysicalRef<'a>)> {
        self.0.map(|(min, max)| (PhysicalRef::Int64(min), PhysicalRef::Int64(max)))
    }
}

/// Most strings are told apart by their first bytes, which are compared as a number.
#[derive(Default)]
struct Strings<'a>(Option<(HeadedString<'a>, HeadedString<'a>)>);

/// Compares as its string does: where the heads are equal, strings decide.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct HeadedString<'a> {
    /// The first eight bytes, zeros where there are fewer.
    head: u64,
    string: &'a [u8],
}

impl<'a> HeadedString<'a> {
    fn of(string: &'a [u8]) -> HeadedString<'a> {
        let head = string.first_chunk().copied().unwrap_or_else(|| {
            let mut head = [0; 8];
            head[..string.len()].copy_from_slice(string);
            head
        });
        HeadedString { head: u64::from_be_bytes(head), string }
    }
}

impl<'a> Ends<'a> for Strings<'a> {
    fn see(&mut self, value: PhysicalRef<'a>) {
        if let PhysicalRef::Bytes(string) = value {
            let value = HeadedString::of(string);
            let (min, max) = self.0.get_or_insert((value, value));
            if value < *min {
                *min = value;
            } else if value > *max {
                *max = value;
            }
        }
    }

    fn found(self) -> Option<(PhysicalRef<'a>, PhysicalRef<'a>)> {
        self.0.map(|(min, max)| (PhysicalRef::Bytes(min.string), PhysicalRef::Bytes(max.string)))
    }
}

#[derive(Default)]
struct Others<'a> {
    ends: Option<(PhysicalRef<'a>, PhysicalRef<'a>)>,
    without_order: bool,
}

impl<'a> Ends<'a> for Others<'a> {
    fn see(&mut self, value: PhysicalRef<'a>) {
        self.without_order |= matches!(value, PhysicalRef::Float64(number) if number.is_nan());
        let (min, max) = self.ends.get_or_insert((value, value));
        let owned = value.to_owned();
        if owned.compare(&min.to_owned()) == Some(Ordering::Less) {
            *min = value;
        } else if owned.compare(&max.to_owned()) == Some(Ordering::Greater) {
            *max = value;
        }
    }

    fn found(self) -> Option<(PhysicalRef<'a>, PhysicalRef<'a>)> {
        self.ends.filter(|_| !self.without_order)
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

    #[test]
    fn ends_are_those_of_the_order_of_values() {
        let strings = ["b", "", "abcdefgh", "abcdefg", "abcdefghi", "abcdefg\0", "\u{ff}", "abcdefgh\0"];
        let strings = strings.map(|text| PhysicalValue::Bytes(Bytes::copy_from_slice(text.as_bytes())));
        let integers = [3, i64::MIN, -1, i64::MAX, 0].map(PhysicalValue::Int64);
        let floats = [0.5, -2.0, f64::INFINITY, -0.0].map(PhysicalValue::Float64);
        for values in [&strings[..], &integers, &floats] {
            for from in 0..values.len() {
                for to in from + 1..=values.len() {
                    let mut sorted = values[from..to].to_vec();
                    sorted.sort_by(|a, b| a.compare(b).unwrap());
                    let found = statistics(&values[from..to], to - from);
                    let (min, max) = (found.min.unwrap(), found.max.unwrap());
                    assert_eq!(min.compare(&sorted[0]), Some(Ordering::Equal), "{:?}", &values[from..to]);
                    assert_eq!(max.compare(sorted.last().unwrap()), Some(Ordering::Equal), "{:?}", &values[from..to]);
                }
            }
        }
        let nan = statistics(&[PhysicalValue::Float64(1.0), PhysicalValue::Float64(f64::NAN)], 2);
        assert_eq!((nan.min, nan.max), (None, None));
    }
}
