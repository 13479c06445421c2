//! Columns of 64-bit values: signed and unsigned integers, floats by their bits, LSNs, tags, dictionary codes.
//!
//! The encoder measures each encoding and takes the smallest, with a preference for those that seek fastest. Values
//! travel as raw 64 bits; only the choice of a base needs to know whether they are signed.

mod encode;

use super::bits;
use super::{Cursor, FormatError};
use bytes::Bytes;
pub use encode::encode;
use std::ops::Range;
use std::sync::Arc;

const CONSTANT: u8 = 0;
const PLAIN: u8 = 1;
const PACKED: u8 = 2;
const RUNS: u8 = 3;
const DICTIONARY: u8 = 4;
const DELTA: u8 = 5;

/// Values per frame of the delta encoding: the most a seek decodes.
const FRAME_ROWS: usize = 128;
/// First value (8), smallest difference (8), width (1), offset of the packed differences (4).
const FRAME_HEADER_BYTES: usize = 21;
/// More distinct values than this are not looked for.
const DICTIONARY_VALUES_MAX: usize = 256;

/// A parsed column of 64-bit values.
#[derive(Debug)]
pub struct IntegerColumn {
    rows: usize,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Constant(u64),
    Plain(Bytes),
    Packed { base: u64, width: u32, packed: Bytes },
    Runs { ends: Vec<u32>, values: Vec<u64> },
    Dictionary { values: Arc<[u64]>, width: u32, codes: Bytes },
    Delta { headers: Bytes, packed: Bytes },
}

/// The encodings that find a value with one or two reads, alone: a column of them is no larger than a cache line.
#[derive(Debug)]
pub enum IntegerSeek {
    Constant(u64),
    Packed { base: u64, width: u32, packed: Bytes },
    Dictionary { values: Arc<[u64]>, width: u32, codes: Bytes },
}

impl IntegerSeek {
    #[inline]
    pub fn get(&self, index: usize) -> u64 {
        match self {
            IntegerSeek::Constant(value) => *value,
            IntegerSeek::Packed { base, width, packed } => base.wrapping_add(bits::get(packed, *width, index)),
            IntegerSeek::Dictionary { values, width, codes } => values[bits::get(codes, *width, index) as usize],
        }
    }
}

struct Frame<'a> {
    first: u64,
    step_min: u64,
    width: u32,
    steps: &'a [u8],
}

impl IntegerColumn {
    /// Parses and checks a column of `rows` values that fills `bytes`.
    pub fn parse(bytes: &Bytes, rows: usize) -> Result<IntegerColumn, FormatError> {
        let mut cursor = Cursor::new(bytes);
        let kind = match cursor.u8()? {
            CONSTANT => Kind::Constant(cursor.u64()?),
            PLAIN => Kind::Plain(bytes.slice_ref(cursor.take(rows * 8)?)),
            PACKED => {
                let (base, width) = (cursor.u64()?, u32::from(cursor.u8()?));
                bits::check(cursor.rest(), rows, width)?;
                Kind::Packed { base, width, packed: bytes.slice_ref(cursor.rest()) }
            }
            RUNS => {
                let runs = cursor.u32()? as usize;
                let mut ends = Cursor::new(cursor.take(runs.saturating_mul(4))?);
                let mut values = Cursor::new(cursor.take(runs.saturating_mul(8))?);
                let ends = (0..runs).map(|_| ends.u32()).collect::<Result<Vec<u32>, _>>()?;
                let values = (0..runs).map(|_| values.u64()).collect::<Result<Vec<u64>, _>>()?;
                if !ends.is_sorted_by(|a, b| a < b) || ends.last().is_none_or(|last| *last as usize != rows) {
                    return Err(FormatError("run ends are out of order"));
                }
                Kind::Runs { ends, values }
            }
            DICTIONARY => {
                let size = usize::from(cursor.u16()?);
                if size > DICTIONARY_VALUES_MAX {
                    return Err(FormatError("a dictionary has the wrong size"));
                }
                let values = (0..size).map(|_| cursor.u64()).collect::<Result<Vec<u64>, _>>()?;
                let width = u32::from(cursor.u8()?);
                bits::check(cursor.rest(), rows, width)?;
                let codes = bytes.slice_ref(cursor.rest());
                if (0..rows).any(|index| bits::get(&codes, width, index) as usize >= size) {
                    return Err(FormatError("a dictionary code is out of range"));
                }
                Kind::Dictionary { values: values.into(), width, codes }
            }
            DELTA => {
                let headers = cursor.take(rows.div_ceil(FRAME_ROWS) * FRAME_HEADER_BYTES)?;
                let column = Kind::Delta { headers: bytes.slice_ref(headers), packed: bytes.slice_ref(cursor.rest()) };
                let column = IntegerColumn { rows, kind: column };
                column.check_frames()?;
                return Ok(column);
            }
            _ => return Err(FormatError("unknown integer encoding")),
        };
        Ok(IntegerColumn { rows, kind })
    }

    fn check_frames(&self) -> Result<(), FormatError> {
        let Kind::Delta { headers, packed } = &self.kind else { return Ok(()) };
        for (number, header) in headers.chunks(FRAME_HEADER_BYTES).enumerate() {
            let mut cursor = Cursor::new(header);
            cursor.take(16)?;
            let (width, offset) = (u32::from(cursor.u8()?), cursor.u32()? as usize);
            let rows = (self.rows - number * FRAME_ROWS).min(FRAME_ROWS);
            let steps = packed.get(offset..).ok_or(FormatError("a frame begins past the end"))?;
            if width > 0 {
                bits::check(steps, rows - 1, width)?;
            }
        }
        Ok(())
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The value that all rows share, if the encoding says so.
    pub fn constant(&self) -> Option<u64> {
        match self.kind {
            Kind::Constant(value) => Some(value),
            _ => None,
        }
    }

    /// Bits that the magnitudes of all values fit in, if the encoding knows; `signed`: as they are meant.
    pub fn magnitude_bits(&self, signed: bool) -> Option<u32> {
        let magnitude = |value: u64| if signed { value ^ ((value as i64) >> 63) as u64 } else { value };
        let bits = |value: u64| 64 - magnitude(value).leading_zeros();
        match &self.kind {
            Kind::Constant(value) => Some(bits(*value)),
            Kind::Packed { base, width, .. } => {
                let most = bits::mask(*width);
                let last = match signed {
                    true => (*base as i64).checked_add_unsigned(most)? as u64,
                    false => base.checked_add(most)?,
                };
                Some(bits(*base).max(bits(last)))
            }
            Kind::Runs { values, .. } => values.iter().map(|value| bits(*value)).max(),
            Kind::Dictionary { values, .. } => values.iter().map(|value| bits(*value)).max(),
            Kind::Plain(_) | Kind::Delta { .. } => None,
        }
    }

    /// The column for reads of single values, where its encoding allows fast ones. Indexes must be below the row count.
    pub fn seek(&self) -> Option<IntegerSeek> {
        Some(match &self.kind {
            Kind::Constant(value) => IntegerSeek::Constant(*value),
            Kind::Packed { base, width, packed } => {
                IntegerSeek::Packed { base: *base, width: *width, packed: packed.clone() }
            }
            Kind::Dictionary { values, width, codes } => {
                IntegerSeek::Dictionary { values: values.clone(), width: *width, codes: codes.clone() }
            }
            Kind::Plain(_) | Kind::Runs { .. } | Kind::Delta { .. } => return None,
        })
    }

    #[inline]
    pub fn get(&self, index: usize) -> u64 {
        assert!(index < self.rows, "row out of range");
        match &self.kind {
            Kind::Constant(value) => *value,
            Kind::Plain(values) => plain(values, index),
            Kind::Packed { base, width, packed } => base.wrapping_add(bits::get(packed, *width, index)),
            Kind::Runs { ends, values } => values[ends.partition_point(|end| *end as usize <= index)],
            Kind::Dictionary { values, width, codes } => values[bits::get(codes, *width, index) as usize],
            Kind::Delta { headers, packed } => {
                let frame = frame(headers, packed, index / FRAME_ROWS);
                if frame.width == 0 {
                    return frame.first.wrapping_add(frame.step_min.wrapping_mul((index % FRAME_ROWS) as u64));
                }
                (0..index % FRAME_ROWS).fold(frame.first, |value, step| {
                    value.wrapping_add(frame.step_min).wrapping_add(bits::get(frame.steps, frame.width, step))
                })
            }
        }
    }

    /// All values, each passed through `map`.
    pub fn decode<T>(&self, map: impl Fn(u64) -> T) -> Vec<T> {
        let mut out = Vec::with_capacity(self.rows);
        self.decode_range(0..self.rows, &mut out, map);
        out
    }

    /// Appends the values of some rows, each passed through `map`.
    pub fn decode_range<T>(&self, rows: Range<usize>, out: &mut Vec<T>, map: impl Fn(u64) -> T) {
        assert!(rows.start <= rows.end && rows.end <= self.rows, "rows out of range");
        out.reserve(rows.len());
        match &self.kind {
            Kind::Constant(value) => out.extend(rows.map(|_| map(*value))),
            Kind::Plain(values) => {
                let (values, _) = values[rows.start * 8..rows.end * 8].as_chunks::<8>();
                out.extend(values.iter().map(|value| map(u64::from_le_bytes(*value))));
            }
            Kind::Packed { base, width, packed } => {
                bits::unpack(packed, *width, rows.start, rows.len(), out, |value| map(base.wrapping_add(value)));
            }
            Kind::Runs { ends, values } => {
                let first = ends.partition_point(|end| *end as usize <= rows.start);
                let mut at = rows.start;
                for (end, value) in ends[first..].iter().zip(&values[first..]) {
                    let end = (*end as usize).min(rows.end);
                    out.extend((at..end).map(|_| map(*value)));
                    at = end;
                    if at == rows.end {
                        break;
                    }
                }
            }
            Kind::Dictionary { values, width, codes } => {
                bits::unpack(codes, *width, rows.start, rows.len(), out, |code| map(values[code as usize]));
            }
            Kind::Delta { headers, packed } => {
                let mut frame_values = Vec::with_capacity(FRAME_ROWS);
                for number in rows.start / FRAME_ROWS..rows.end.div_ceil(FRAME_ROWS) {
                    let first = number * FRAME_ROWS;
                    let wanted = rows.start.max(first) - first..rows.end.min(first + FRAME_ROWS) - first;
                    frame_values.clear();
                    frame(headers, packed, number).decode(wanted.end, &mut frame_values);
                    out.extend(frame_values[wanted].iter().map(|value| map(*value)));
                }
            }
        }
    }

    /// Appends the values of some rows as they are.
    pub fn decode_words(&self, rows: Range<usize>, out: &mut Vec<u64>) {
        match &self.kind {
            Kind::Packed { base, width, packed } => {
                assert!(rows.start <= rows.end && rows.end <= self.rows, "rows out of range");
                bits::unpack_words(packed, *width, *base, rows.start, rows.len(), out);
            }
            _ => self.decode_range(rows, out, |value| value),
        }
    }

    /// Appends the values of `rows`, which ascend, each passed through `map`.
    pub fn gather<T>(&self, rows: &[u32], out: &mut Vec<T>, map: impl Fn(u64) -> T) {
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return };
        let span = *first as usize..*last as usize + 1;
        // A seek into deltas or runs costs a multiple of a value's share in decoding all of them.
        let dense = match &self.kind {
            Kind::Constant(_) | Kind::Plain(_) | Kind::Packed { .. } | Kind::Dictionary { .. } => 3,
            Kind::Runs { .. } | Kind::Delta { .. } => 32,
        };
        if span.len() > rows.len() * dense {
            out.extend(rows.iter().map(|row| map(self.get(*row as usize))));
            return;
        }
        let mut values = Vec::new();
        self.decode_words(span.clone(), &mut values);
        out.extend(rows.iter().map(|row| map(values[*row as usize - span.start])));
    }

    /// Appends those of `rows` whose value is wanted. Values that repeat are judged once where the encoding knows.
    pub fn select(&self, rows: Range<usize>, out: &mut Vec<u32>, wanted: impl Fn(u64) -> bool) {
        assert!(rows.start <= rows.end && rows.end <= self.rows, "rows out of range");
        match &self.kind {
            Kind::Constant(value) => {
                if wanted(*value) {
                    out.extend(rows.map(|row| row as u32));
                }
            }
            Kind::Packed { base, width, packed } => {
                let mut at = rows.start;
                bits::for_each_group(packed, *width, rows.start, rows.len(), |group, count| {
                    push_wanted(&group[..count], at, out, |value| wanted(base.wrapping_add(value)));
                    at += count;
                });
            }
            Kind::Dictionary { values, width, codes } => {
                let mut wanted_codes = [false; DICTIONARY_VALUES_MAX];
                for (code, value) in values.iter().enumerate().take(DICTIONARY_VALUES_MAX) {
                    wanted_codes[code] = wanted(*value);
                }
                let mut at = rows.start;
                bits::for_each_group(codes, *width, rows.start, rows.len(), |group, count| {
                    push_wanted(&group[..count], at, out, |code| wanted_codes[code as usize % DICTIONARY_VALUES_MAX]);
                    at += count;
                });
            }
            Kind::Runs { ends, values } => {
                let mut at = rows.start;
                for run in ends.partition_point(|end| *end as usize <= rows.start)..ends.len() {
                    let end = (ends[run] as usize).min(rows.end);
                    if wanted(values[run]) {
                        out.extend((at..end).map(|row| row as u32));
                    }
                    at = end;
                    if at == rows.end {
                        break;
                    }
                }
            }
            Kind::Plain(_) | Kind::Delta { .. } => {
                let mut values = Vec::new();
                self.decode_range(rows.clone(), &mut values, |value| value);
                push_wanted(&values, rows.start, out, wanted);
            }
        }
    }
}

/// Appends the numbers of the wanted values, counted from `first`. Without branches: what is wanted has no pattern.
fn push_wanted(values: &[u64], first: usize, out: &mut Vec<u32>, wanted: impl Fn(u64) -> bool) {
    for (group, first) in values.chunks(bits::GROUP).zip((first..).step_by(bits::GROUP)) {
        let mut found = [0u32; bits::GROUP];
        let mut count = 0;
        for (index, value) in group.iter().enumerate() {
            found[count % bits::GROUP] = (first + index) as u32;
            count += usize::from(wanted(*value));
        }
        out.extend_from_slice(&found[..count]);
    }
}

impl Frame<'_> {
    /// Appends the first `count` values.
    fn decode(&self, count: usize, out: &mut Vec<u64>) {
        if count == 0 {
            return;
        }
        let mut value = self.first;
        out.push(value);
        if self.width == 0 {
            out.extend((1..count).map(|step| self.first.wrapping_add(self.step_min.wrapping_mul(step as u64))));
            return;
        }
        bits::for_each_group(self.steps, self.width, 0, count - 1, |steps, rows| {
            out.extend(steps[..rows].iter().map(|step| {
                value = value.wrapping_add(self.step_min).wrapping_add(*step);
                value
            }));
        });
    }
}

fn plain(values: &[u8], index: usize) -> u64 {
    u64::from_le_bytes(*values[index * 8..].first_chunk().expect("length was checked when the column was parsed"))
}

fn frame<'a>(headers: &[u8], packed: &'a [u8], number: usize) -> Frame<'a> {
    let header = &headers[number * FRAME_HEADER_BYTES..][..FRAME_HEADER_BYTES];
    let word = |at: usize| u64::from_le_bytes(*header[at..].first_chunk().expect("header holds two words"));
    let offset = u32::from_le_bytes(*header[17..].first_chunk().expect("header ends with an offset"));
    Frame { first: word(0), step_min: word(8), width: u32::from(header[16]), steps: &packed[offset as usize..] }
}

#[cfg(test)]
mod tests;
