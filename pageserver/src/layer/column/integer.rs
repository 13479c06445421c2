//! Columns of 64-bit values: signed and unsigned integers, floats by their bits, LSNs, tags, dictionary codes.
//!
//! The encoder measures each encoding and takes the smallest, with a preference for those that seek fastest. Values
//! travel as raw 64 bits; only the choice of a base needs to know whether they are signed.

use super::bits;
use super::{Cursor, FormatError};
use bytes::Bytes;
use std::collections::HashMap;

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
    Dictionary { values: Vec<u64>, width: u32, codes: Bytes },
    Delta { headers: Bytes, packed: Bytes },
}

struct Frame<'a> {
    first: u64,
    step_min: u64,
    width: u32,
    steps: &'a [u8],
}

/// Appends `values` in the smallest encoding. `signed` says how their order is meant.
pub fn encode(values: &[u64], signed: bool, out: &mut Vec<u8>) {
    let plan = Plan::of(values, signed);
    match plan {
        Plan::Constant => {
            out.push(CONSTANT);
            out.extend(values.first().copied().unwrap_or(0).to_le_bytes());
        }
        Plan::Plain => {
            out.push(PLAIN);
            values.iter().for_each(|value| out.extend(value.to_le_bytes()));
        }
        Plan::Packed { base, width } => {
            out.push(PACKED);
            out.extend(base.to_le_bytes());
            out.push(width as u8);
            bits::pack(values.iter().map(|value| value.wrapping_sub(base)), values.len(), width, out);
        }
        Plan::Runs { runs } => {
            out.push(RUNS);
            out.extend((runs as u32).to_le_bytes());
            let last_of_run = |index: &usize| values.get(index + 1) != Some(&values[*index]);
            (0..values.len()).filter(last_of_run).for_each(|index| out.extend((index as u32 + 1).to_le_bytes()));
            (0..values.len()).filter(last_of_run).for_each(|index| out.extend(values[index].to_le_bytes()));
        }
        Plan::Dictionary { distinct } => {
            let codes: HashMap<u64, u64> = distinct.iter().zip(0..).map(|(value, code)| (*value, code)).collect();
            out.push(DICTIONARY);
            out.extend((distinct.len() as u16).to_le_bytes());
            distinct.iter().for_each(|value| out.extend(value.to_le_bytes()));
            let width = bits::width_for(distinct.len() as u64 - 1);
            out.push(width as u8);
            bits::pack(values.iter().map(|value| codes[value]), values.len(), width, out);
        }
        Plan::Delta => encode_delta(values, out),
    }
}

enum Plan {
    Constant,
    Plain,
    Packed { base: u64, width: u32 },
    Runs { runs: usize },
    Dictionary { distinct: Vec<u64> },
    Delta,
}

impl Plan {
    fn of(values: &[u64], signed: bool) -> Plan {
        let Some(first) = values.first() else { return Plan::Constant };
        let bias = if signed { 1 << 63 } else { 0 };
        let (mut low, mut high, mut runs) = (first ^ bias, first ^ bias, 1usize);
        for pair in values.windows(2) {
            low = low.min(pair[1] ^ bias);
            high = high.max(pair[1] ^ bias);
            runs += usize::from(pair[0] != pair[1]);
        }
        if low == high {
            return Plan::Constant;
        }
        let width = bits::width_for(high - low);
        let (mut best, mut bytes) = if width <= bits::WIDTH_BITS_MAX {
            (Plan::Packed { base: low ^ bias, width }, bits::packed_bytes(values.len(), width))
        } else {
            (Plan::Plain, values.len() * 8)
        };
        // Another encoding has to save an eighth: packed values are the fastest to seek.
        let mut offer = |plan: Plan, plan_bytes: usize| {
            if plan_bytes + plan_bytes / 8 < bytes {
                (best, bytes) = (plan, plan_bytes);
            }
        };
        offer(Plan::Runs { runs }, 4 + runs * 12);
        if width > 8
            && let Some(distinct) = distinct_values(values)
        {
            let code_width = bits::width_for(distinct.len() as u64 - 1);
            let size = 3 + distinct.len() * 8 + bits::packed_bytes(values.len(), code_width);
            offer(Plan::Dictionary { distinct }, size);
        }
        if width > 8 {
            // A seek into uneven deltas walks half a frame: they have to save a lot.
            let (size, even) = delta_bytes(values);
            offer(Plan::Delta, if even { size } else { size * 4 });
        }
        best
    }
}

/// The distinct values in order of appearance; `None` if there are too many.
fn distinct_values(values: &[u64]) -> Option<Vec<u64>> {
    let mut seen = HashMap::new();
    let mut distinct = Vec::new();
    for value in values {
        if seen.insert(*value, ()).is_none() {
            distinct.push(*value);
            if distinct.len() > DICTIONARY_VALUES_MAX {
                return None;
            }
        }
    }
    Some(distinct)
}

/// Smallest step of a frame, and the width of what the steps are above it: 0 where all are equal. Steps are signed.
fn frame_steps(frame: &[u64]) -> (u64, u32) {
    let steps = || frame.windows(2).map(|pair| pair[1].wrapping_sub(pair[0]) as i64);
    let (low, high) = (steps().min().unwrap_or(0), steps().max().unwrap_or(0));
    if low == high {
        return (low as u64, 0);
    }
    (low as u64, bits::width_for((high as u64).wrapping_sub(low as u64)))
}

/// Size of the delta encoding, and whether all frames are arithmetic sequences.
fn delta_bytes(values: &[u64]) -> (usize, bool) {
    let (mut total, mut even) = (0, true);
    for frame in values.chunks(FRAME_ROWS) {
        let (_, width) = frame_steps(frame);
        if width > bits::WIDTH_BITS_MAX {
            // Too wide for this encoding: never the smallest.
            return (values.len() * 16, false);
        }
        even &= width == 0;
        total += FRAME_HEADER_BYTES + if width == 0 { 0 } else { bits::packed_bytes(frame.len() - 1, width) };
    }
    (total, even)
}

fn encode_delta(values: &[u64], out: &mut Vec<u8>) {
    out.push(DELTA);
    let mut packed = Vec::new();
    for frame in values.chunks(FRAME_ROWS) {
        let (step_min, width) = frame_steps(frame);
        out.extend(frame[0].to_le_bytes());
        out.extend(step_min.to_le_bytes());
        out.push(width as u8);
        out.extend((packed.len() as u32).to_le_bytes());
        if width > 0 {
            let steps = frame.windows(2).map(|pair| pair[1].wrapping_sub(pair[0]).wrapping_sub(step_min));
            bits::pack(steps, frame.len() - 1, width, &mut packed);
        }
    }
    out.extend(packed);
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
                let values = (0..size).map(|_| cursor.u64()).collect::<Result<Vec<u64>, _>>()?;
                let width = u32::from(cursor.u8()?);
                bits::check(cursor.rest(), rows, width)?;
                let codes = bytes.slice_ref(cursor.rest());
                if (0..rows).any(|index| bits::get(&codes, width, index) as usize >= size) {
                    return Err(FormatError("a dictionary code is out of range"));
                }
                Kind::Dictionary { values, width, codes }
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
        match &self.kind {
            Kind::Constant(value) => out.extend((0..self.rows).map(|_| map(*value))),
            Kind::Plain(values) => out.extend((0..self.rows).map(|index| map(plain(values, index)))),
            Kind::Packed { base, width, packed } => {
                bits::unpack(packed, *width, 0, self.rows, &mut out, |value| map(base.wrapping_add(value)));
            }
            Kind::Runs { ends, values } => {
                for (end, value) in ends.iter().zip(values) {
                    while out.len() < *end as usize {
                        out.push(map(*value));
                    }
                }
            }
            Kind::Dictionary { values, width, codes } => {
                bits::unpack(codes, *width, 0, self.rows, &mut out, |code| map(values[code as usize]));
            }
            Kind::Delta { headers, packed } => {
                for number in 0..self.rows.div_ceil(FRAME_ROWS) {
                    let frame = frame(headers, packed, number);
                    let mut value = frame.first;
                    out.push(map(value));
                    for step in 0..(self.rows - number * FRAME_ROWS).min(FRAME_ROWS) - 1 {
                        let above = if frame.width == 0 { 0 } else { bits::get(frame.steps, frame.width, step) };
                        value = value.wrapping_add(frame.step_min).wrapping_add(above);
                        out.push(map(value));
                    }
                }
            }
        }
        out
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
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trip(values: &[u64], signed: bool) -> u8 {
        let mut encoded = Vec::new();
        encode(values, signed, &mut encoded);
        let kind = encoded[0];
        let column = IntegerColumn::parse(&encoded.into(), values.len()).unwrap();
        assert_eq!(column.decode(|value| value), values);
        for (index, value) in values.iter().enumerate() {
            assert_eq!(column.get(index), *value);
        }
        kind
    }

    #[test]
    fn each_shape_of_data_takes_the_encoding_made_for_it() {
        let scattered = |n: u64| xxhash_rust::xxh3::xxh3_64(&n.to_le_bytes());
        assert_eq!(round_trip(&[7; 500], false), CONSTANT);
        assert_eq!(round_trip(&(0..500).map(scattered).collect::<Vec<_>>(), false), PLAIN);
        assert_eq!(round_trip(&(0..500).map(|n| scattered(n) >> 50).collect::<Vec<_>>(), false), PACKED);
        assert_eq!(round_trip(&(0..500).map(|n| n / 100 * 77).collect::<Vec<_>>(), false), RUNS);
        assert_eq!(round_trip(&(0..500).map(|n| scattered(n % 5)).collect::<Vec<_>>(), false), DICTIONARY);
        assert_eq!(round_trip(&(0..500).map(|n| n * 1_000_003).collect::<Vec<_>>(), false), DELTA);
        assert_eq!(round_trip(&(0..500).map(|n| n * 1_000_003 + n % 3).collect::<Vec<_>>(), false), DELTA);
        let signed = |n: u64| ((scattered(n) % 1000) as i64 - 500) as u64;
        assert_eq!(round_trip(&(0..500).map(signed).collect::<Vec<_>>(), true), PACKED);
    }

    proptest! {
        #[test]
        fn any_values_come_back(values in prop::collection::vec(any::<u64>(), 1..400), shift in 0u32..64, signed: bool) {
            let values: Vec<u64> = values.iter().map(|value| ((*value as i64) >> shift) as u64).collect();
            round_trip(&values, signed);
        }

        #[test]
        fn damaged_bytes_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 1..300), kind in 0u8..6, rows in 1usize..300) {
            bytes[0] = kind;
            if let Ok(column) = IntegerColumn::parse(&bytes.into(), rows) {
                prop_assert_eq!(column.decode(|value| value).len(), rows);
                column.get(rows - 1);
            }
        }
    }
}
