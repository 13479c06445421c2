//! Columns of byte strings: one value for all rows, a dictionary, or the strings one after the other with offsets.
//!
//! Long data is compressed as one piece (lz4 or zstd) and expanded once, when the column is parsed; a parsed column
//! lives in the block cache, so later point reads only slice.

use super::integer::{self, IntegerColumn, IntegerSeek};
use super::{Cursor, FormatError};
use bytes::Bytes;
use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::ops::Range;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

const CONSTANT: u8 = 0;
const PLAIN: u8 = 1;
const DICTIONARY: u8 = 2;

const UNCOMPRESSED: u8 = 0;
const LZ4: u8 = 1;
const ZSTD: u8 = 2;

/// Less than this is not worth a call to a compressor.
const COMPRESS_BYTES_MIN: usize = 128;
/// What an expanded column may take at most; a length above it is damage, not data.
const COLUMN_BYTES_MAX: usize = 1 << 30;
const DICTIONARY_VALUES_MAX: usize = 4096;

/// How byte strings are compressed: lz4 where writing is urgent, zstd where the data stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    None,
    Lz4,
    Zstd { level: i32 },
}

/// A parsed column of byte strings.
#[derive(Debug)]
pub struct BytesColumn {
    rows: usize,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Constant(Bytes),
    Plain(Plain),
    Dictionary { codes: IntegerColumn, values: Plain },
}

/// Strings back to back: string `i` is `data[offsets[i]..offsets[i + 1]]`.
#[derive(Debug)]
struct Plain {
    offsets: Arc<[i32]>,
    data: Bytes,
}

/// Reads of single values where strings lie back to back: an offset, then the string.
#[derive(Debug)]
pub struct StringSeek {
    codes: Option<IntegerSeek>,
    offsets: Arc<[i32]>,
    data: Bytes,
}

impl StringSeek {
    #[inline]
    pub fn get(&self, index: usize) -> &[u8] {
        let index = self.codes.as_ref().map_or(index, |codes| codes.get(index) as usize);
        &self.data[self.offsets[index] as usize..self.offsets[index + 1] as usize]
    }
}

/// Appends `values`; returns how many bytes the parsed column takes beyond the encoded ones.
pub fn encode(values: &[&[u8]], compression: Compression, out: &mut Vec<u8>) -> usize {
    let first = values.first().copied().unwrap_or_default();
    if values.iter().all(|value| *value == first) {
        out.push(CONSTANT);
        out.extend(first);
        return 0;
    }
    if let Some((distinct, codes)) = dictionary(values) {
        out.push(DICTIONARY);
        let mut code_bytes = Vec::new();
        integer::encode(&codes, false, &mut code_bytes);
        out.extend((distinct.len() as u32).to_le_bytes());
        out.extend((code_bytes.len() as u32).to_le_bytes());
        out.extend(code_bytes);
        return encode_plain(&distinct, compression, out);
    }
    out.push(PLAIN);
    encode_plain(values, compression, out)
}

/// Distinct values and codes, where at least half of the bytes are repetitions.
fn dictionary<'a>(values: &[&'a [u8]]) -> Option<(Vec<&'a [u8]>, Vec<u64>)> {
    let total: usize = values.iter().map(|value| value.len()).sum();
    let mut codes_of: HashMap<&[u8], u64, BuildHasherDefault<ValueHasher>> = HashMap::default();
    let (mut distinct, mut codes, mut distinct_bytes) = (Vec::new(), Vec::with_capacity(values.len()), 0);
    for value in values {
        let code = *codes_of.entry(value).or_insert_with(|| {
            distinct.push(*value);
            distinct_bytes += value.len() + 2;
            distinct.len() as u64 - 1
        });
        codes.push(code);
        if distinct_bytes * 2 > total || distinct.len() > DICTIONARY_VALUES_MAX {
            return None;
        }
    }
    Some((distinct, codes))
}

/// Strings come with attackers, yet a block has few thousand of them: many that collide cost a fraction of a second.
#[derive(Default)]
struct ValueHasher(u64);

impl Hasher for ValueHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0 ^= xxh3_64(bytes);
    }

    /// Lengths come before the bytes, which tell strings apart well enough.
    fn write_usize(&mut self, _: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

fn encode_plain(values: &[&[u8]], compression: Compression, out: &mut Vec<u8>) -> usize {
    let data = values.concat();
    assert!(data.len() < COLUMN_BYTES_MAX, "a block of more than a gigabyte");
    let lengths: Vec<u64> = values.iter().map(|value| value.len() as u64).collect();
    let mut length_bytes = Vec::new();
    integer::encode(&lengths, false, &mut length_bytes);
    let compressed = match compression {
        _ if data.len() < COMPRESS_BYTES_MIN => None,
        Compression::None => None,
        Compression::Lz4 => Some((LZ4, lz4_flex::block::compress(&data))),
        Compression::Zstd { level } => zstd_compress(&data, level).map(|bytes| (ZSTD, bytes)),
    };
    // Expanding costs time on every first read: it has to save an eighth.
    let compressed = compressed.filter(|(_, bytes)| bytes.len() + data.len() / 8 < data.len());
    let expanded = values.len() * 4 + compressed.as_ref().map_or(0, |_| data.len());
    let data_bytes = data.len() as u32;
    let (method, stored) = compressed.unwrap_or((UNCOMPRESSED, data));
    out.push(method);
    out.extend((length_bytes.len() as u32).to_le_bytes());
    out.extend(data_bytes.to_le_bytes());
    out.extend(length_bytes);
    out.extend(stored);
    expanded
}

thread_local! {
    /// A compressor for its level: making one costs as much as it takes to compress a short column.
    static COMPRESSOR: RefCell<Option<(i32, zstd::bulk::Compressor<'static>)>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<zstd::bulk::Decompressor<'static>>> = const { RefCell::new(None) };
}

/// `None` where the library fails: the data then stays as it is.
fn zstd_compress(data: &[u8], level: i32) -> Option<Vec<u8>> {
    COMPRESSOR.with_borrow_mut(|kept| {
        if kept.as_ref().is_none_or(|(of, _)| *of != level) {
            *kept = Some((level, zstd::bulk::Compressor::new(level).ok()?));
        }
        kept.as_mut()?.1.compress(data).ok()
    })
}

/// `None` where it does not expand, or to more.
fn zstd_decompress(stored: &[u8], expanded_bytes: usize) -> Option<Vec<u8>> {
    DECOMPRESSOR.with_borrow_mut(|kept| {
        if kept.is_none() {
            *kept = Some(zstd::bulk::Decompressor::new().ok()?);
        }
        kept.as_mut()?.decompress(stored, expanded_bytes).ok()
    })
}

impl Plain {
    fn parse(bytes: &Bytes, count: usize) -> Result<Plain, FormatError> {
        let mut cursor = Cursor::new(bytes);
        let (method, length_bytes, data_len) = (cursor.u8()?, cursor.u32()? as usize, cursor.u32()? as usize);
        if data_len >= COLUMN_BYTES_MAX {
            return Err(FormatError("a column is longer than a gigabyte"));
        }
        let lengths = IntegerColumn::parse(&bytes.slice_ref(cursor.take(length_bytes)?), count)?;
        let mut offsets = Vec::with_capacity(count + 1);
        let mut end = 0u64;
        offsets.push(0);
        for length in lengths.decode(|length| length) {
            end = end.saturating_add(length);
            if end > data_len as u64 {
                return Err(FormatError("string lengths exceed the data"));
            }
            offsets.push(end as i32);
        }
        if end != data_len as u64 {
            return Err(FormatError("string lengths fall short of the data"));
        }
        let stored = cursor.rest();
        let data = match method {
            UNCOMPRESSED => bytes.slice_ref(stored),
            LZ4 => Bytes::from(
                lz4_flex::block::decompress(stored, data_len).map_err(|_| FormatError("lz4 data does not expand"))?,
            ),
            ZSTD => Bytes::from(zstd_decompress(stored, data_len).ok_or(FormatError("zstd data does not expand"))?),
            _ => return Err(FormatError("unknown compression")),
        };
        if data.len() != data_len {
            return Err(FormatError("expanded data has the wrong length"));
        }
        Ok(Plain { offsets: offsets.into(), data })
    }

    fn range(&self, index: usize) -> Range<usize> {
        self.offsets[index] as usize..self.offsets[index + 1] as usize
    }
}

impl BytesColumn {
    pub fn parse(bytes: &Bytes, rows: usize) -> Result<BytesColumn, FormatError> {
        let mut cursor = Cursor::new(bytes);
        let kind = match cursor.u8()? {
            CONSTANT => Kind::Constant(bytes.slice_ref(cursor.rest())),
            PLAIN => Kind::Plain(Plain::parse(&bytes.slice_ref(cursor.rest()), rows)?),
            DICTIONARY => {
                let (count, code_bytes) = (cursor.u32()? as usize, cursor.u32()? as usize);
                if count == 0 || count > DICTIONARY_VALUES_MAX {
                    return Err(FormatError("a dictionary has the wrong size"));
                }
                let codes = IntegerColumn::parse(&bytes.slice_ref(cursor.take(code_bytes)?), rows)?;
                if codes.decode(|code| code as usize >= count).into_iter().any(|out_of_range| out_of_range) {
                    return Err(FormatError("a dictionary code is out of range"));
                }
                Kind::Dictionary { codes, values: Plain::parse(&bytes.slice_ref(cursor.rest()), count)? }
            }
            _ => return Err(FormatError("unknown string encoding")),
        };
        Ok(BytesColumn { rows, kind })
    }

    /// The column for reads of single values, where its encoding allows fast ones. Indexes must be below the row count.
    pub fn seek(&self) -> Option<StringSeek> {
        let (codes, plain) = match &self.kind {
            Kind::Constant(_) => return None,
            Kind::Plain(plain) => (None, plain),
            Kind::Dictionary { codes, values } => (Some(codes.seek()?), values),
        };
        Some(StringSeek { codes, offsets: plain.offsets.clone(), data: plain.data.clone() })
    }

    #[inline]
    pub fn get(&self, index: usize) -> &[u8] {
        assert!(index < self.rows, "row out of range");
        match &self.kind {
            Kind::Constant(value) => value,
            Kind::Plain(plain) => &plain.data[plain.range(index)],
            Kind::Dictionary { codes, values } => &values.data[values.range(codes.get(index) as usize)],
        }
    }

    /// The value without a copy, sharing the block's memory.
    pub fn get_shared(&self, index: usize) -> Bytes {
        assert!(index < self.rows, "row out of range");
        match &self.kind {
            Kind::Constant(value) => value.clone(),
            Kind::Plain(plain) => plain.data.slice(plain.range(index)),
            Kind::Dictionary { codes, values } => values.data.slice(values.range(codes.get(index) as usize)),
        }
    }

    /// All strings back to back and their offsets, as Arrow wants them, without a copy; `None` where they do not lie so.
    pub fn shared(&self) -> Option<(&[i32], Bytes)> {
        match &self.kind {
            Kind::Plain(plain) => Some((&plain.offsets, plain.data.clone())),
            _ => None,
        }
    }

    /// Appends the strings of some rows. Fails where a dictionary or a constant would unfold to more than Arrow's
    /// offsets can address.
    pub fn decode_range(&self, rows: Range<usize>, out: &mut StringsOut) -> Result<(), FormatError> {
        assert!(rows.start <= rows.end && rows.end <= self.rows, "rows out of range");
        match &self.kind {
            Kind::Plain(plain) => {
                let offsets = &plain.offsets[rows.start..=rows.end];
                let (first, last) = (offsets[0], offsets[offsets.len() - 1]);
                let shift = out.grow(&plain.data[first as usize..last as usize])? - first;
                out.offsets.extend(offsets[1..].iter().map(|offset| offset + shift));
            }
            Kind::Constant(value) => {
                for _ in rows {
                    out.push(value)?;
                }
            }
            Kind::Dictionary { codes, values } => {
                let mut row_codes = Vec::new();
                codes.decode_range(rows, &mut row_codes, |code| code as usize);
                for code in row_codes {
                    out.push(&values.data[values.range(code)])?;
                }
            }
        }
        Ok(())
    }

    /// Appends the strings of `rows`, which ascend.
    pub fn gather(&self, rows: &[u32], out: &mut StringsOut) -> Result<(), FormatError> {
        rows.iter().try_for_each(|row| out.push(self.get(*row as usize)))
    }

    /// Appends those of `rows` whose string is wanted; strings of a dictionary are judged once.
    pub fn select(&self, rows: Range<usize>, out: &mut Vec<u32>, wanted: impl Fn(&[u8]) -> bool) {
        assert!(rows.start <= rows.end && rows.end <= self.rows, "rows out of range");
        match &self.kind {
            Kind::Constant(value) => {
                if wanted(value) {
                    out.extend(rows.map(|row| row as u32));
                }
            }
            Kind::Dictionary { codes, values } => {
                let count = values.offsets.len() - 1;
                let wanted: Vec<bool> = (0..count).map(|code| wanted(&values.data[values.range(code)])).collect();
                codes.select(rows, out, |code| wanted[code as usize]);
            }
            Kind::Plain(plain) => {
                out.extend(rows.filter(|row| wanted(&plain.data[plain.range(*row)])).map(|row| row as u32));
            }
        }
    }
}

/// Strings being gathered in Arrow's form.
#[derive(Debug)]
pub struct StringsOut {
    pub offsets: Vec<i32>,
    pub data: Vec<u8>,
}

impl StringsOut {
    pub fn new(rows: usize) -> StringsOut {
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push(0);
        StringsOut { offsets, data: Vec::new() }
    }

    pub fn push(&mut self, value: &[u8]) -> Result<(), FormatError> {
        self.grow(value)?;
        self.offsets.push(self.data.len() as i32);
        Ok(())
    }

    /// Appends bytes; returns where they begin.
    fn grow(&mut self, bytes: &[u8]) -> Result<i32, FormatError> {
        let start = self.data.len();
        if start + bytes.len() > COLUMN_BYTES_MAX {
            return Err(FormatError("a column unfolds to more than a gigabyte"));
        }
        self.data.extend_from_slice(bytes);
        Ok(start as i32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trip(values: &[&[u8]], compression: Compression) -> u8 {
        let mut encoded = Vec::new();
        encode(values, compression, &mut encoded);
        let kind = encoded[0];
        let column = BytesColumn::parse(&encoded.into(), values.len()).unwrap();
        for (index, value) in values.iter().enumerate() {
            assert_eq!(column.get(index), *value);
            assert_eq!(column.get_shared(index), *value);
            assert!(column.seek().is_none_or(|seek| seek.get(index) == *value));
        }
        if let Some((offsets, data)) = column.shared() {
            assert_eq!(strings(offsets, &data), values);
        }
        let (count, pivot) = (values.len(), values[values.len() / 2]);
        let mut out = StringsOut::new(0);
        let mut expected = Vec::new();
        for range in [0..count, count / 3..count, count / 2..count / 2] {
            column.decode_range(range.clone(), &mut out).unwrap();
            expected.extend(&values[range.clone()]);
            let mut selected = Vec::new();
            column.select(range.clone(), &mut selected, |value| value <= pivot);
            let wanted: Vec<u32> = range.filter(|row| values[*row] <= pivot).map(|row| row as u32).collect();
            assert_eq!(selected, wanted);
            column.gather(&selected, &mut out).unwrap();
            expected.extend(selected.iter().map(|row| values[*row as usize]));
        }
        assert_eq!(strings(&out.offsets, &out.data), expected);
        kind
    }

    fn strings<'a>(offsets: &[i32], data: &'a [u8]) -> Vec<&'a [u8]> {
        offsets.windows(2).map(|pair| &data[pair[0] as usize..pair[1] as usize]).collect()
    }

    #[test]
    fn repetition_decides_the_encoding() {
        let numbers: Vec<String> = (0..200).map(|n| format!("value number {n} of many")).collect();
        let numbers: Vec<&[u8]> = numbers.iter().map(|text| text.as_bytes()).collect();
        for compression in [Compression::None, Compression::Lz4, Compression::Zstd { level: 1 }] {
            assert_eq!(round_trip(&[&b"same"[..]; 50], compression), CONSTANT);
            assert_eq!(round_trip(&numbers, compression), PLAIN);
            let repeated: Vec<&[u8]> = (0..200).map(|n| numbers[n % 7]).collect();
            assert_eq!(round_trip(&repeated, compression), DICTIONARY);
        }
    }

    proptest! {
        #[test]
        fn any_strings_come_back(values in prop::collection::vec(prop::collection::vec(0u8..4, 0..40), 1..100)) {
            let values: Vec<&[u8]> = values.iter().map(|value| &value[..]).collect();
            round_trip(&values, Compression::Lz4);
            round_trip(&values, Compression::Zstd { level: 1 });
        }

        #[test]
        fn damaged_bytes_never_panic(
            values in prop::collection::vec(prop::collection::vec(0u8..4, 0..40), 1..60), at: prop::sample::Index, to: u8,
        ) {
            let values: Vec<&[u8]> = values.iter().map(|value| &value[..]).collect();
            let mut encoded = Vec::new();
            encode(&values, Compression::Lz4, &mut encoded);
            let at = at.index(encoded.len());
            encoded[at] = to;
            if let Ok(column) = BytesColumn::parse(&encoded.into(), values.len()) {
                column.get(values.len() - 1);
                let _ = column.decode_range(0..values.len(), &mut StringsOut::new(0));
            }
        }
    }
}
