//! Columns of a batch being put together from stored columns and rows, in Arrow's form.
//!
//! A column that all rows have, with one physical type, goes from its encoding straight into Arrow's buffers, and only
//! for the rows that are wanted; what is missing, or of another type since an ALTER TABLE, takes the way over single
//! values.

use crate::layer::block::{BlockColumn, TAG_ABSENT, TAG_NULL, Values};
use crate::layer::column::bytes::StringsOut;
use crate::layer::{Block, FormatError, Version, row};
use arrow::array::builder::NullBufferBuilder;
use arrow::array::{ArrayRef, BinaryArray, Decimal128Array, Decimal256Array, Float64Array, Int64Array, UInt64Array};
use arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::i256;
use common::physical::{PhysicalType, PhysicalValue};
use common::service::page::ScanColumn;
use expr::row_encoding::RowReader;
use std::ops::Range;
use std::sync::Arc;

/// Rows of a block, ascending.
#[derive(Debug, Clone)]
pub enum Rows<'a> {
    Run(Range<usize>),
    List(&'a [u32]),
}

impl Rows<'_> {
    pub fn len(&self) -> usize {
        match self {
            Rows::Run(run) => run.len(),
            Rows::List(list) => list.len(),
        }
    }

    fn iter(&self) -> impl Iterator<Item = usize> {
        let (run, list) = match self {
            Rows::Run(run) => (run.clone(), &[][..]),
            Rows::List(list) => (0..0, *list),
        };
        run.chain(list.iter().map(|row| *row as usize))
    }
}

pub struct ColumnBuilder {
    wanted: ScanColumn,
    values: Out,
    nulls: NullBufferBuilder,
}

enum Out {
    /// Integers of either kind and floats, by their bits.
    Words(Vec<u64>),
    Int128(Vec<i128>),
    Int256(Vec<i256>),
    Bytes(StringsOut),
}

impl ColumnBuilder {
    pub fn new(wanted: &ScanColumn, rows: usize) -> ColumnBuilder {
        let values = match wanted.physical {
            PhysicalType::Int64 | PhysicalType::UInt64 | PhysicalType::Float64 => Out::Words(Vec::with_capacity(rows)),
            PhysicalType::Int128 => Out::Int128(Vec::with_capacity(rows)),
            PhysicalType::Int256 => Out::Int256(Vec::with_capacity(rows)),
            PhysicalType::Bytes => Out::Bytes(StringsOut::new(rows)),
        };
        ColumnBuilder { wanted: wanted.clone(), values, nulls: NullBufferBuilder::new(rows) }
    }

    /// Appends the column of some rows of a block.
    pub fn append_block(&mut self, block: &Block, rows: &Rows) -> Result<(), FormatError> {
        let Some(column) = block.column(self.wanted.column) else {
            let default = self.wanted.default.clone();
            return (0..rows.len()).try_for_each(|_| self.push(default.clone()));
        };
        let physical = self.wanted.physical as u64;
        if column.tags.constant() == Some(physical) {
            let values = column.values(self.wanted.physical)?.ok_or(FormatError("a section is missing"))?;
            self.append_values(values, rows)?;
            self.nulls.append_n_non_nulls(rows.len());
            return Ok(());
        }
        let mut tags = Vec::new();
        match rows {
            Rows::Run(run) => column.tags.decode_range(run.clone(), &mut tags, |tag| tag),
            Rows::List(list) => column.tags.gather(list, &mut tags, |tag| tag),
        }
        // Absent reads as the default: as NULL only where that is the default.
        let nullish = |tag: u64| tag == TAG_NULL || (tag == TAG_ABSENT && self.wanted.default == PhysicalValue::Null);
        if tags.iter().any(|tag| *tag != physical && !nullish(*tag)) {
            return rows.iter().try_for_each(|row| self.push_of(column, row));
        }
        match column.values(self.wanted.physical)? {
            None => (0..rows.len()).try_for_each(|_| self.push(PhysicalValue::Null)),
            Some(values) => {
                self.append_values(values, rows)?;
                tags.iter().for_each(|tag| self.nulls.append(*tag == physical));
                Ok(())
            }
        }
    }

    fn push_of(&mut self, column: &BlockColumn, row: usize) -> Result<(), FormatError> {
        let value = column.value(row)?.map_or_else(|| self.wanted.default.clone(), |value| value.to_owned());
        self.push(value)
    }

    /// The values alone; the caller knows which of them are NULL.
    fn append_values(&mut self, values: &Values, rows: &Rows) -> Result<(), FormatError> {
        match (values, &mut self.values) {
            (Values::Integer(column), Out::Words(out)) => match rows {
                Rows::Run(run) => column.decode_words(run.clone(), out),
                Rows::List(list) => column.gather(list, out, |bits| bits),
            },
            (Values::Wide128(column), Out::Int128(out)) => {
                out.extend(rows.iter().map(|row| i128::from_le_bytes(column.get(row))));
            }
            (Values::Wide256(column), Out::Int256(out)) => {
                out.extend(rows.iter().map(|row| i256::from_le_bytes(column.get(row))));
            }
            (Values::Bytes(column), Out::Bytes(out)) => match rows {
                Rows::Run(run) => column.decode_range(run.clone(), out)?,
                Rows::List(list) => column.gather(list, out)?,
            },
            _ => return Err(FormatError("values of another type than their section says")),
        }
        Ok(())
    }

    fn len(&self) -> usize {
        self.nulls.len()
    }

    /// Appends one value, converted if it is of another type.
    fn push(&mut self, value: PhysicalValue) -> Result<(), FormatError> {
        let value = convert(value, self.wanted.physical)?;
        self.nulls.append(value != PhysicalValue::Null);
        match (&mut self.values, value) {
            (Out::Words(out), PhysicalValue::Int64(value)) => out.push(value as u64),
            (Out::Words(out), PhysicalValue::UInt64(value)) => out.push(value),
            (Out::Words(out), PhysicalValue::Float64(value)) => out.push(value.to_bits()),
            (Out::Int128(out), PhysicalValue::Int128(value)) => out.push(value),
            (Out::Int256(out), PhysicalValue::Int256(value)) => out.push(i256::from_le_bytes(value)),
            (Out::Bytes(out), PhysicalValue::Bytes(value)) => out.push(&value)?,
            (Out::Words(out), _) => out.push(0),
            (Out::Int128(out), _) => out.push(0),
            (Out::Int256(out), _) => out.push(i256::ZERO),
            (Out::Bytes(out), _) => out.push(&[])?,
        }
        Ok(())
    }

    pub fn finish(mut self) -> ArrayRef {
        let (physical, nulls) = (self.wanted.physical, self.nulls.finish());
        match self.values {
            Out::Words(words) => {
                // The same bytes under another name: nothing is copied.
                let (count, buffer) = (words.len(), Buffer::from_vec(words));
                match physical {
                    PhysicalType::UInt64 => Arc::new(UInt64Array::new(ScalarBuffer::new(buffer, 0, count), nulls)),
                    PhysicalType::Float64 => Arc::new(Float64Array::new(ScalarBuffer::new(buffer, 0, count), nulls)),
                    _ => Arc::new(Int64Array::new(ScalarBuffer::new(buffer, 0, count), nulls)),
                }
            }
            Out::Int128(values) => {
                Arc::new(Decimal128Array::new(ScalarBuffer::from(values), nulls).with_data_type(physical.arrow()))
            }
            Out::Int256(values) => {
                Arc::new(Decimal256Array::new(ScalarBuffer::from(values), nulls).with_data_type(physical.arrow()))
            }
            Out::Bytes(strings) => {
                let offsets = OffsetBuffer::new(ScalarBuffer::from(strings.offsets));
                Arc::new(BinaryArray::new(offsets, Buffer::from_vec(strings.data), nulls))
            }
        }
    }
}

/// A run of rows of a column as a slice of what lies in the block: strings without NULLs, back to back.
pub fn shared_strings(block: &Block, wanted: &ScanColumn, run: &Range<usize>) -> Result<Option<ArrayRef>, FormatError> {
    if wanted.physical != PhysicalType::Bytes {
        return Ok(None);
    }
    let column = block.column(wanted.column).filter(|column| column.tags.constant() == Some(wanted.physical as u64));
    let Some(column) = column else { return Ok(None) };
    let Some(Values::Bytes(values)) = column.values(wanted.physical)? else { return Ok(None) };
    let Some((offsets, data)) = values.shared() else { return Ok(None) };
    let Some(offsets) = offsets.get(run.start..=run.end) else { return Ok(None) };
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets.to_vec()));
    Ok(Some(Arc::new(BinaryArray::new(offsets, Buffer::from(data), None))))
}

/// Appends the wanted columns of stored rows; a tombstone gives defaults, which mean nothing.
pub fn append_rows<'a>(
    columns: &mut [ColumnBuilder],
    versions: impl Iterator<Item = &'a Version>,
) -> Result<(), FormatError> {
    // Where the values of each column id go; most scans want few of many.
    let width = columns.iter().map(|column| usize::from(column.wanted.column.0) + 1).max().unwrap_or(0);
    let mut places: Vec<Vec<usize>> = vec![Vec::new(); width];
    for (place, column) in columns.iter().enumerate() {
        places[usize::from(column.wanted.column.0)].push(place);
    }
    let before = columns.first().map_or(0, ColumnBuilder::len);
    for (rows, version) in (before + 1..).zip(versions) {
        if let Some(stored) = &version.row {
            let reader = RowReader::new(stored).map_err(|error| FormatError(error.0))?;
            for (column, value) in reader.columns().take_while(|(column, _)| usize::from(column.0) < width) {
                for place in &places[usize::from(column.0)] {
                    columns[*place].push(row::owned(stored, value))?;
                }
            }
        }
        for column in columns.iter_mut().filter(|column| column.len() < rows) {
            let default = column.wanted.default.clone();
            column.push(default)?;
        }
    }
    Ok(())
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
