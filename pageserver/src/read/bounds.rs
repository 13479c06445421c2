//! Bounds of a scan on columns: which rows of a block or of a memtable may meet them, judged on the encoded values.
//!
//! Nothing that may meet the bounds is left out: a value of another type than the bound's, and a column that a row does
//! not have (its default is not known here), count as meeting it.

use crate::layer::block::{BlockColumn, TAG_NULL, Values};
use crate::layer::statistics::ColumnStatistics;
use crate::layer::{Block, FormatError, Version, row};
use common::physical::{PhysicalType, PhysicalValue};
use common::service::page::ColumnBound;
use expr::row_encoding::RowReader;
use std::ops::Range;

/// Whether every row of a block meets all `bounds`, by what the index says about it.
pub fn all_meet(statistics: &[ColumnStatistics], bounds: &[ColumnBound]) -> bool {
    bounds.iter().all(|bound| {
        let mut of_column = statistics.iter().filter(|statistics| statistics.column == bound.column);
        matches!((of_column.next(), of_column.next()), (Some(only), None) if only.all_meet(bound))
    })
}

/// Whether [`select`] leaves none in doubt: each column is in all rows of the block, with the bound's type or NULL.
pub fn are_decided(statistics: &[ColumnStatistics], bounds: &[ColumnBound]) -> bool {
    bounds.iter().all(|bound| {
        let mut of_column = statistics.iter().filter(|statistics| statistics.column == bound.column);
        let (Some(only), None) = (of_column.next(), of_column.next()) else { return false };
        let one_type = only.absent == 0 && only.others == 0;
        match type_of(bound) {
            Some(physical) => one_type && only.physical == physical,
            // IS NOT NULL is not judged.
            None => one_type && only.nulls == 0 && bound.min.is_none() && bound.max.is_none(),
        }
    })
}

/// The rows of `window` that may meet all `bounds`; `None`: all of them.
pub fn select(block: &Block, window: &Range<usize>, bounds: &[ColumnBound]) -> Result<Option<Vec<u32>>, FormatError> {
    let mut selected: Option<Vec<u32>> = None;
    for bound in bounds {
        let Some(column) = block.column(bound.column) else { continue };
        let Some(meeting) = select_one(column, window, bound)? else { continue };
        selected = Some(match selected {
            None => meeting,
            Some(before) => intersection(&before, &meeting),
        });
    }
    Ok(selected)
}

fn select_one(
    column: &BlockColumn,
    window: &Range<usize>,
    bound: &ColumnBound,
) -> Result<Option<Vec<u32>>, FormatError> {
    let Some(physical) = type_of(bound) else { return Ok(None) };
    let mut meeting = Vec::with_capacity(window.len());
    if let Some(values) = column.values(physical)? {
        select_values(values, physical, window, bound, &mut meeting);
    }
    if column.tags.constant() == Some(physical as u64) {
        return Ok(Some(meeting));
    }
    // Where a row has no value of this type, what stands there means nothing.
    let mut tags = Vec::new();
    column.tags.decode_range(window.clone(), &mut tags, |tag| tag);
    let mut chosen = meeting.into_iter().peekable();
    let mut rows = Vec::with_capacity(window.len());
    for (row, tag) in (window.start as u32..).zip(tags) {
        let met = chosen.next_if_eq(&row).is_some();
        let keep = match tag {
            TAG_NULL => false,
            tag if tag == physical as u64 => met,
            // Absent, or of another type.
            _ => true,
        };
        if keep {
            rows.push(row);
        }
    }
    Ok(Some(rows))
}

/// The type that both sides of a bound have; `None` where there is nothing to be judged.
fn type_of(bound: &ColumnBound) -> Option<PhysicalType> {
    let mut types = bound.min.iter().chain(&bound.max).map(row::physical);
    let first = types.next()??;
    types.all(|other| other == Some(first)).then_some(first)
}

fn select_values(
    values: &Values,
    physical: PhysicalType,
    window: &Range<usize>,
    bound: &ColumnBound,
    out: &mut Vec<u32>,
) {
    match (values, physical) {
        (Values::Integer(column), PhysicalType::Int64 | PhysicalType::UInt64) => {
            let (low, high) = match (&bound.min, &bound.max) {
                (Some(PhysicalValue::Int64(low)), Some(PhysicalValue::Int64(high))) if low > high => return,
                (Some(PhysicalValue::UInt64(low)), Some(PhysicalValue::UInt64(high))) if low > high => return,
                (min, max) if physical == PhysicalType::Int64 => {
                    (bits(min).unwrap_or(i64::MIN as u64), bits(max).unwrap_or(i64::MAX as u64))
                }
                (min, max) => (bits(min).unwrap_or(u64::MIN), bits(max).unwrap_or(u64::MAX)),
            };
            // On the circle of 64-bit numbers an interval is one comparison, signed or not.
            let span = high.wrapping_sub(low);
            column.select(window.clone(), out, |value| value.wrapping_sub(low) <= span);
        }
        (Values::Integer(column), _) => {
            column.select(window.clone(), out, |bits| bound.is_met_by(&PhysicalValue::Float64(f64::from_bits(bits))));
        }
        (Values::Bytes(column), _) => {
            let limit = |limit: &'_ Option<PhysicalValue>| match limit {
                Some(PhysicalValue::Bytes(bytes)) => Some(bytes.clone()),
                _ => None,
            };
            let (low, high) = (limit(&bound.min), limit(&bound.max));
            column.select(window.clone(), out, |value| {
                low.as_ref().is_none_or(|low| value >= &low[..]) && high.as_ref().is_none_or(|high| value <= &high[..])
            });
        }
        (Values::Wide128(column), _) => {
            let wanted = |row: &usize| bound.is_met_by(&PhysicalValue::Int128(i128::from_le_bytes(column.get(*row))));
            out.extend(window.clone().filter(wanted).map(|row| row as u32));
        }
        (Values::Wide256(column), _) => {
            let wanted = |row: &usize| bound.is_met_by(&PhysicalValue::Int256(column.get(*row)));
            out.extend(window.clone().filter(wanted).map(|row| row as u32));
        }
    }
}

fn bits(value: &Option<PhysicalValue>) -> Option<u64> {
    match value {
        Some(PhysicalValue::Int64(value)) => Some(*value as u64),
        Some(PhysicalValue::UInt64(value)) => Some(*value),
        _ => None,
    }
}

/// Whether a stored row may meet all `bounds`.
pub fn row_meets(version: &Version, bounds: &[ColumnBound]) -> bool {
    let Some(reader) = version.row.as_ref().and_then(|row| RowReader::new(row).ok()) else { return true };
    bounds.iter().all(|bound| match reader.get(bound.column) {
        None => true,
        Some(value) => bound.is_met_by(&value.to_owned()),
    })
}

fn intersection(a: &[u32], b: &[u32]) -> Vec<u32> {
    let mut b = b.iter().peekable();
    let mut both = Vec::with_capacity(a.len());
    for row in a {
        while b.next_if(|other| *other < row).is_some() {}
        if b.peek() == Some(&row) {
            both.push(*row);
        }
    }
    both
}

/// The places in `rows` (ascending) of those that are also in `selected` (ascending).
pub fn places(rows: &[u32], selected: &[u32]) -> Vec<u32> {
    let mut selected = selected.iter().peekable();
    let mut places = Vec::with_capacity(selected.len().min(rows.len()));
    for (place, row) in (0..).zip(rows) {
        while selected.next_if(|other| *other < row).is_some() {}
        if selected.peek() == Some(&row) {
            places.push(place);
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::Compression;
    use crate::layer::encode;
    use bytes::Bytes;
    use common::id::{ColumnId, Lsn};
    use expr::row_encoding::RowWriter;
    use proptest::prelude::*;

    fn value() -> impl Strategy<Value = Option<PhysicalValue>> {
        prop_oneof![
            1 => Just(None),
            1 => Just(Some(PhysicalValue::Null)),
            6 => (-20..20i64).prop_map(|value| Some(PhysicalValue::Int64(value))),
            1 => prop_oneof![Just(0u64), Just(15), Just(u64::MAX)].prop_map(|value| Some(PhysicalValue::UInt64(value))),
            1 => Just(Some(PhysicalValue::Int64(i64::MIN))),
            1 => (0..6u8).prop_map(|value| Some(PhysicalValue::Bytes(Bytes::from(vec![value; 3])))),
            1 => (-9..9i8).prop_map(|value| Some(PhysicalValue::Float64(f64::from(value) / 2.0))),
            1 => (-9..9i128).prop_map(|value| Some(PhysicalValue::Int128(value << 70))),
        ]
    }

    proptest! {
        /// What is judged on encoded columns equals what is judged on single values, and statistics never promise more.
        #[test]
        fn blocks_and_rows_agree(
            values in prop::collection::vec((value(), value()), 1..150),
            limits in prop::collection::vec((value(), value()), 1..3),
            repeat in 1usize..4,
        ) {
            let rows = values.iter().flat_map(|row| std::iter::repeat_n(row, repeat));
            let versions: Vec<Version> = rows.enumerate().map(|(number, (first, second))| {
                let mut row = RowWriter::new();
                for (column, value) in [(0, first), (1, second)] {
                    if let Some(value) = value {
                        row.put(ColumnId(column), value.clone());
                    }
                }
                let key = Bytes::copy_from_slice(&(number as u32).to_be_bytes());
                Version { key, lsn: Lsn(1), row: Some(row.finish()) }
            }).collect();
            let side = |limit: Option<PhysicalValue>| limit.filter(|limit| *limit != PhysicalValue::Null);
            let bounds: Vec<ColumnBound> = (0..).zip(limits).map(|(column, (min, max))| {
                let (min, max) = (side(min), side(max));
                let same = min.as_ref().zip(max.as_ref()).is_none_or(|(a, b)| row::physical(a) == row::physical(b));
                ColumnBound { column: ColumnId(column), min, max: if same { max } else { None } }
            }).collect();
            let encoded = encode::encode(&versions, Compression::None);
            let block = Block::parse(&encoded.bytes.into(), encoded.crc).unwrap();
            let expected: Vec<u32> = (0..versions.len()).filter(|row| {
                bounds.iter().all(|bound| type_of(bound).is_none() || row_meets(&versions[*row], std::slice::from_ref(bound)))
            }).map(|row| row as u32).collect();
            for window in [0..versions.len(), versions.len() / 3..versions.len() / 2] {
                let wanted: Vec<u32> = expected.iter().copied().filter(|row| window.contains(&(*row as usize))).collect();
                let selected = select(&block, &window, &bounds).unwrap();
                prop_assert_eq!(selected.unwrap_or_else(|| window.map(|row| row as u32).collect()), wanted);
            }
            if all_meet(&encoded.statistics, &bounds) {
                prop_assert_eq!(expected.len(), versions.len());
            }
            if are_decided(&encoded.statistics, &bounds) {
                let meets = |row: &Version, bound: &ColumnBound| {
                    let reader = RowReader::new(row.row.as_ref().unwrap()).unwrap();
                    reader.get(bound.column).is_some_and(|value| bound.is_met_by(&value.to_owned()))
                };
                for row in &versions {
                    prop_assert_eq!(row_meets(row, &bounds), bounds.iter().all(|bound| meets(row, bound)));
                }
            }
        }
    }
}
