//! Arrow arrays from stored columns and rows.
//!
//! A column that all rows have, with one physical type, is decoded straight into Arrow's buffers; only what is missing,
//! or of another type since an ALTER TABLE, takes the way over single values.

use crate::layer::block::{BlockColumn, TAG_NULL, Values};
use crate::layer::column::integer::IntegerColumn;
use crate::layer::{Block, FormatError, Version, row};
use arrow::array::{
    ArrayRef, BinaryArray, BinaryBuilder, Decimal128Array, Decimal256Array, Float64Array, Int64Array, UInt32Array,
    UInt64Array,
};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::i256;
use common::physical::{PhysicalType, PhysicalValue};
use common::service::page::ScanColumn;
use expr::row_encoding::RowReader;
use std::sync::Arc;

/// The column `wanted` of every row of a block.
pub fn of_block(block: &Block, wanted: &ScanColumn) -> Result<ArrayRef, FormatError> {
    let Some(column) = block.column(wanted.column) else {
        return build(wanted.physical, std::iter::repeat_n(Ok(wanted.default.clone()), block.rows()));
    };
    let physical = wanted.physical as u64;
    let nulls = match column.tags.constant() {
        Some(tag) if tag == physical => None,
        _ => {
            let tags = column.tags.decode(|tag| tag);
            // Absent reads as the default: as NULL only where that is the default.
            let nullish = |tag: u64| tag == TAG_NULL || (tag == 0 && wanted.default == PhysicalValue::Null);
            if tags.iter().any(|tag| *tag != physical && !nullish(*tag)) {
                return build(wanted.physical, (0..block.rows()).map(|index| value_or_default(column, index, wanted)));
            }
            Some(NullBuffer::from_iter(tags.iter().map(|tag| *tag == physical)))
        }
    };
    match column.values(wanted.physical)? {
        Some(values) => decode(values, wanted.physical, nulls),
        None => build(wanted.physical, std::iter::repeat_n(Ok(PhysicalValue::Null), block.rows())),
    }
}

fn value_or_default(column: &BlockColumn, index: usize, wanted: &ScanColumn) -> Result<PhysicalValue, FormatError> {
    Ok(column.value(index)?.map_or_else(|| wanted.default.clone(), |value| value.to_owned()))
}

fn decode(values: &Values, physical: PhysicalType, nulls: Option<NullBuffer>) -> Result<ArrayRef, FormatError> {
    Ok(match (values, physical) {
        (Values::Integer(column), PhysicalType::UInt64) => {
            Arc::new(UInt64Array::new(scalars(column, |bits| bits), nulls))
        }
        (Values::Integer(column), PhysicalType::Float64) => {
            Arc::new(Float64Array::new(scalars(column, f64::from_bits), nulls))
        }
        (Values::Integer(column), _) => Arc::new(Int64Array::new(scalars(column, |bits| bits as i64), nulls)),
        (Values::Wide128(column), _) => {
            let values = (0..column.rows()).map(|index| i128::from_le_bytes(column.get(index)));
            let array = Decimal128Array::new(ScalarBuffer::from_iter(values), nulls);
            Arc::new(array.with_data_type(physical.arrow()))
        }
        (Values::Wide256(column), _) => {
            let values = (0..column.rows()).map(|index| i256::from_le_bytes(column.get(index)));
            let array = Decimal256Array::new(ScalarBuffer::from_iter(values), nulls);
            Arc::new(array.with_data_type(physical.arrow()))
        }
        (Values::Bytes(column), _) => {
            let (offsets, data) = column.decode()?;
            let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
            Arc::new(BinaryArray::new(offsets, Buffer::from(data), nulls))
        }
    })
}

fn scalars<T: arrow::datatypes::ArrowNativeType>(column: &IntegerColumn, map: impl Fn(u64) -> T) -> ScalarBuffer<T> {
    ScalarBuffer::from(column.decode(map))
}

/// The wanted columns of stored rows; tombstones give NULLs.
pub fn of_rows(versions: &[Version], wanted: &[ScanColumn]) -> Result<Vec<ArrayRef>, FormatError> {
    let mut columns: Vec<Vec<PhysicalValue>> = wanted.iter().map(|_| Vec::with_capacity(versions.len())).collect();
    // Where the values of each column id go; most scans want few of many.
    let width = wanted.iter().map(|column| usize::from(column.column.0) + 1).max().unwrap_or(0);
    let mut places: Vec<Vec<usize>> = vec![Vec::new(); width];
    for (place, column) in wanted.iter().enumerate() {
        places[usize::from(column.column.0)].push(place);
    }
    for (index, version) in versions.iter().enumerate() {
        if let Some(stored) = &version.row {
            let reader = RowReader::new(stored).map_err(|error| FormatError(error.0))?;
            for (column, value) in reader.columns().take_while(|(column, _)| usize::from(column.0) < width) {
                for place in &places[usize::from(column.0)] {
                    columns[*place].push(row::owned(stored, value));
                }
            }
        }
        for (values, column) in columns.iter_mut().zip(wanted) {
            values.resize(index + 1, column.default.clone());
        }
    }
    let arrays = wanted.iter().zip(columns);
    arrays.map(|(column, values)| build(column.physical, values.into_iter().map(Ok))).collect()
}

/// An array from single values, each converted to `physical` if it is of another type.
fn build(
    physical: PhysicalType,
    values: impl Iterator<Item = Result<PhysicalValue, FormatError>>,
) -> Result<ArrayRef, FormatError> {
    macro_rules! collect {
        ($array:ty, $pattern:pat => $value:expr) => {{
            let values = values.map(|value| {
                Ok(match convert(value?, physical)? {
                    $pattern => Some($value),
                    _ => None,
                })
            });
            values.collect::<Result<Vec<_>, FormatError>>().map(<$array>::from)?
        }};
    }
    Ok(match physical {
        PhysicalType::Int64 => Arc::new(collect!(Int64Array, PhysicalValue::Int64(value) => value)),
        PhysicalType::UInt64 => Arc::new(collect!(UInt64Array, PhysicalValue::UInt64(value) => value)),
        PhysicalType::Float64 => Arc::new(collect!(Float64Array, PhysicalValue::Float64(value) => value)),
        PhysicalType::Int128 => {
            let array = collect!(Decimal128Array, PhysicalValue::Int128(value) => value);
            Arc::new(array.with_data_type(physical.arrow()))
        }
        PhysicalType::Int256 => {
            let array = collect!(Decimal256Array, PhysicalValue::Int256(value) => i256::from_le_bytes(value));
            Arc::new(array.with_data_type(physical.arrow()))
        }
        PhysicalType::Bytes => {
            let mut builder = BinaryBuilder::new();
            for value in values {
                match convert(value?, physical)? {
                    PhysicalValue::Bytes(bytes) => builder.append_value(bytes),
                    _ => builder.append_null(),
                }
            }
            Arc::new(builder.finish())
        }
    })
}

/// Widens an integer that an older row holds in a narrower type. Anything else that differs is not ours to interpret.
fn convert(value: PhysicalValue, physical: PhysicalType) -> Result<PhysicalValue, FormatError> {
    let found = row::physical(&value);
    if found.is_none_or(|found| found == physical) {
        return Ok(value);
    }
    let wide = match value {
        PhysicalValue::Int64(value) => i128::from(value),
        PhysicalValue::UInt64(value) => i128::from(value),
        PhysicalValue::Int128(value) => value,
        _ => return Err(FormatError("a column has another physical type than the one asked for")),
    };
    let converted = match physical {
        PhysicalType::Int64 => i64::try_from(wide).ok().map(PhysicalValue::Int64),
        PhysicalType::UInt64 => u64::try_from(wide).ok().map(PhysicalValue::UInt64),
        PhysicalType::Int128 => Some(PhysicalValue::Int128(wide)),
        PhysicalType::Int256 => Some(PhysicalValue::Int256(i256::from_i128(wide).to_le_bytes())),
        PhysicalType::Float64 | PhysicalType::Bytes => None,
    };
    converted.ok_or(FormatError("a column has another physical type than the one asked for"))
}

/// The rows `selection` of each array.
pub fn select(arrays: &[ArrayRef], selection: &[u32]) -> Result<Vec<ArrayRef>, FormatError> {
    let indices = UInt32Array::from(selection.to_vec());
    let take = |array: &ArrayRef| arrow::compute::take(array, &indices, None);
    let taken = arrays.iter().map(take).collect::<Result<Vec<_>, _>>();
    taken.map_err(|_| FormatError("a column is too large for one array"))
}
