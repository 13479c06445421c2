//! Where the values of a row lie in a block, column by column, in one piece of memory.
//!
//! A point read of a row touches each of its columns once; what it costs are the cache lines on the way there. So the
//! places are gathered when a block's first row is put together, and shared with all that follow.

use super::block::{BlockColumn, TAG_ABSENT, TAG_NULL, Values};
use super::column::FormatError;
use super::column::bytes::StringSeek;
use super::column::integer::IntegerSeek;
use bytes::Bytes;
use common::id::ColumnId;
use common::physical::PhysicalType;
use expr::row_encoding::{PhysicalRef, RowEncoder};

/// The columns of a block that has at least one, without those that no row has.
#[derive(Debug)]
pub struct RowPlan {
    fields: Vec<Field>,
}

#[derive(Debug)]
struct Field {
    column: ColumnId,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Null,
    Integer(PhysicalType, IntegerSeek),
    Strings(StringSeek),
    /// Another encoding, or not the same for all rows; the number is the column's in the block.
    Elsewhere(u32),
}

impl RowPlan {
    pub fn of(columns: &[BlockColumn]) -> Result<RowPlan, FormatError> {
        let mut fields = Vec::with_capacity(columns.len());
        for (number, column) in columns.iter().enumerate() {
            let place = match column.tags.constant() {
                Some(TAG_ABSENT) => continue,
                Some(TAG_NULL) => Place::Null,
                None => Place::Elsewhere(number as u32),
                Some(tag) => {
                    let physical = u8::try_from(tag).ok().and_then(PhysicalType::from_tag);
                    let physical = physical.ok_or(FormatError("unknown tag"))?;
                    let values = column.values(physical)?.ok_or(FormatError("a section is missing"))?;
                    let seek = match values {
                        Values::Integer(values) => values.seek().map(|seek| Place::Integer(physical, seek)),
                        Values::Bytes(values) => values.seek().map(Place::Strings),
                        Values::Wide128(_) | Values::Wide256(_) => None,
                    };
                    seek.unwrap_or(Place::Elsewhere(number as u32))
                }
            };
            fields.push(Field { column: column.column, place });
        }
        Ok(RowPlan { fields })
    }

    /// The values that a row has; `columns` are those that the plan was made of.
    pub fn each_value<'a>(
        &'a self,
        columns: &'a [BlockColumn],
        index: usize,
        mut put: impl FnMut(ColumnId, PhysicalRef<'a>),
    ) -> Result<(), FormatError> {
        for field in &self.fields {
            if let Some(value) = field.value(columns, index)? {
                put(field.column, value);
            }
        }
        Ok(())
    }

    /// The stored row.
    pub fn row(&self, columns: &[BlockColumn], index: usize) -> Result<Bytes, FormatError> {
        // A row ends with the last column that it has.
        let mut fields = &self.fields[..];
        while let Some((Field { place: Place::Elsewhere(number), .. }, rest)) = fields.split_last() {
            if columns[*number as usize].value(index)?.is_some() {
                break;
            }
            fields = rest;
        }
        let Some(last) = fields.last() else { return Ok(RowEncoder::new(0).finish()) };
        let mut row = RowEncoder::new(usize::from(last.column.0) + 1);
        for field in fields {
            if let Some(value) = field.value(columns, index)? {
                row.put(field.column, value);
            }
        }
        Ok(row.finish())
    }
}

impl Field {
    #[inline]
    fn value<'a>(&'a self, columns: &'a [BlockColumn], index: usize) -> Result<Option<PhysicalRef<'a>>, FormatError> {
        Ok(Some(match &self.place {
            Place::Null => PhysicalRef::Null,
            Place::Integer(physical, seek) => {
                let bits = seek.get(index);
                match physical {
                    PhysicalType::UInt64 => PhysicalRef::UInt64(bits),
                    PhysicalType::Float64 => PhysicalRef::Float64(f64::from_bits(bits)),
                    _ => PhysicalRef::Int64(bits as i64),
                }
            }
            Place::Strings(seek) => PhysicalRef::Bytes(seek.get(index)),
            Place::Elsewhere(number) => return columns[*number as usize].value(index),
        }))
    }
}
