//! Writes a block: versions in order become columns, wherever their values lie now: in rows that came with the log, or in
//! the columns of other blocks, which are merged without the detour over rows.

use super::block::{
    BLOCK_ROWS_MAX, Block, CHECKSUM_BYTES, HEADER_BYTES, MAGIC, SECTION_BYTES, SECTION_KEYS, SECTION_LSNS,
    SECTION_OPAQUE, SECTION_STATES, SECTION_TAGS, SECTION_VALUES, STATE_OPAQUE, STATE_ROW, STATE_TOMBSTONE, TAG_ABSENT,
    TAG_NULL, Version, crc32c,
};
use super::column::bytes::Compression;
use super::column::{bytes as byte_column, integer, keys, wide};
use super::sketch::{DistinctBuilder, SketchBuilder};
use super::statistics::ColumnStatistics;
use bytes::Bytes;
use common::id::{ColumnId, Lsn};
use common::key::Key;
use common::physical::PhysicalType;
use expr::row_encoding::{PhysicalRef, RowReader};
use std::sync::Arc;

/// A version on its way into a block.
#[derive(Debug, Clone)]
pub struct Pending {
    pub key: Key,
    pub lsn: Lsn,
    pub stored: Stored,
}

/// Where its row is.
#[derive(Debug, Clone)]
pub enum Stored {
    /// `None`: a tombstone.
    Row(Option<Bytes>),
    /// A row of columns in a block that [`Block::check_rows`] has passed, with the bytes it would have as a row, about.
    InBlock { block: Arc<Block>, index: u32, bytes: u32 },
}

impl From<Version> for Pending {
    fn from(Version { key, lsn, row }: Version) -> Pending {
        Pending { key, lsn, stored: Stored::Row(row) }
    }
}

impl Pending {
    pub fn is_tombstone(&self) -> bool {
        matches!(self.stored, Stored::Row(None))
    }

    /// Of the row, about.
    pub fn row_bytes(&self) -> usize {
        match &self.stored {
            Stored::Row(row) => row.as_ref().map_or(0, Bytes::len),
            Stored::InBlock { bytes, .. } => *bytes as usize,
        }
    }

    pub fn row(&self) -> Option<Bytes> {
        match &self.stored {
            Stored::Row(row) => row.clone(),
            Stored::InBlock { block, index, .. } => block.row(*index as usize).expect(CHECKED),
        }
    }
}

const CHECKED: &str = "a block is checked before its rows are passed on";

/// A block in bytes, with what its index entry needs.
pub struct EncodedBlock {
    pub bytes: Vec<u8>,
    pub crc: u32,
    pub statistics: Vec<ColumnStatistics>,
    pub tombstones: u32,
}

/// Encodes versions, which are sorted by key, then by descending LSN.
pub fn encode(versions: &[Version], compression: Compression) -> EncodedBlock {
    let versions: Vec<Pending> = versions.iter().cloned().map(Pending::from).collect();
    encode_sketched(&versions, compression, &mut SketchBuilder::default())
}

/// As [`encode`]; the values are added to the sketches of the layer.
pub fn encode_sketched(versions: &[Pending], compression: Compression, sketches: &mut SketchBuilder) -> EncodedBlock {
    let rows = versions.len();
    assert!(rows > 0 && rows <= BLOCK_ROWS_MAX, "rows of a block");
    let mut sections = Sections::default();
    let key_slices: Vec<&[u8]> = versions.iter().map(|version| &version.key[..]).collect();
    sections.add(SECTION_KEYS, 0, 0, |out| {
        keys::encode(&key_slices, out);
        0
    });
    sections.integers(SECTION_LSNS, 0, &versions.iter().map(|version| version.lsn.0).collect::<Vec<_>>());

    let Matrix { states, columns } = Matrix::of(versions);
    sections.integers(SECTION_STATES, 0, &states);
    if states.contains(&STATE_OPAQUE) {
        let rows = versions.iter().zip(&states);
        let opaque: Vec<&[u8]> = rows
            .map(|(version, state)| match &version.stored {
                Stored::Row(Some(row)) if *state == STATE_OPAQUE => &row[..],
                _ => &[][..],
            })
            .collect();
        sections.add(SECTION_OPAQUE, 0, 0, |out| byte_column::encode(&opaque, compression, out));
    }
    let tombstones = states.iter().filter(|state| **state == STATE_TOMBSTONE).count();
    let mut statistics = Vec::new();
    for (column, values) in (0u16..).zip(&columns) {
        let distinct = sketches.column(column);
        statistics.extend(encode_column(column, values, rows - tombstones, compression, distinct, &mut sections));
    }
    let (bytes, crc) = sections.finish(rows);
    EncodedBlock { bytes, crc, statistics, tombstones: tombstones as u32 }
}

/// The values of versions by column, in the order of column ids; `None` where a version does not have the column.
struct Matrix<'a> {
    states: Vec<u64>,
    columns: Vec<Vec<Option<PhysicalRef<'a>>>>,
}

impl<'a> Matrix<'a> {
    fn of(versions: &'a [Pending]) -> Matrix<'a> {
        let mut states = Vec::with_capacity(versions.len());
        let mut columns: Vec<Vec<Option<PhysicalRef<'a>>>> = Vec::new();
        let mut put = |version: usize, column: ColumnId, value: PhysicalRef<'a>| {
            let column = usize::from(column.0);
            if columns.len() <= column {
                columns.resize_with(column + 1, || vec![None; versions.len()]);
            }
            columns[column][version] = Some(value);
        };
        for (at, version) in versions.iter().enumerate() {
            states.push(match &version.stored {
                Stored::Row(None) => STATE_TOMBSTONE,
                Stored::Row(Some(row)) => match RowReader::new(row) {
                    Ok(reader) => {
                        reader.columns().for_each(|(column, value)| put(at, column, value));
                        STATE_ROW
                    }
                    Err(_) => STATE_OPAQUE,
                },
                Stored::InBlock { block, index, .. } => {
                    block.each_value(*index as usize, |column, value| put(at, column, value)).expect(CHECKED);
                    STATE_ROW
                }
            });
        }
        Matrix { states, columns }
    }
}

fn encode_column(
    column: u16,
    values: &[Option<PhysicalRef>],
    row_count: usize,
    compression: Compression,
    distinct: &mut DistinctBuilder,
    sections: &mut Sections,
) -> Vec<ColumnStatistics> {
    let tag_of = |value: &Option<PhysicalRef>| match value {
        None => TAG_ABSENT,
        Some(value) => value.physical_type().map_or(TAG_NULL, |physical| physical as u64),
    };
    let tags: Vec<u64> = values.iter().map(tag_of).collect();
    sections.integers(SECTION_TAGS, column, &tags);
    let mut statistics = Vec::new();
    for physical in [2u8, 3, 4, 5, 6, 7].into_iter().filter_map(PhysicalType::from_tag) {
        if !tags.contains(&(physical as u64)) {
            continue;
        }
        encode_values(column, physical, values, compression, distinct, sections);
        let present = values.iter().copied().flatten();
        statistics.push(ColumnStatistics::of(ColumnId(column), physical, present, row_count));
    }
    statistics
}

/// Values of one physical type, one per row; rows without one repeat the value before, which costs least.
fn encode_values(
    column: u16,
    physical: PhysicalType,
    values: &[Option<PhysicalRef>],
    compression: Compression,
    distinct: &mut DistinctBuilder,
    sections: &mut Sections,
) {
    // With the number of rows before the first value.
    macro_rules! filled {
        ($pattern:pat => $value:expr, $empty:expr) => {{
            let mut last = None;
            let mut before = 0;
            let filled = values
                .iter()
                .map(|value| {
                    if let Some($pattern) = value {
                        last = Some($value);
                    }
                    before += usize::from(last.is_none());
                    last.unwrap_or($empty)
                })
                .collect::<Vec<_>>();
            (filled, before)
        }};
    }
    let tag = physical as u8;
    match physical {
        PhysicalType::Int64 => {
            let (values, before) = filled!(PhysicalRef::Int64(value) => *value as u64, 0);
            distinct.add_words(&values[before..]);
            sections.add(SECTION_VALUES, tag, column, |out| {
                integer::encode(&values, true, out);
                0
            });
        }
        PhysicalType::UInt64 => {
            let (values, before) = filled!(PhysicalRef::UInt64(value) => *value, 0);
            distinct.add_words(&values[before..]);
            sections.add(SECTION_VALUES, tag, column, |out| {
                integer::encode(&values, false, out);
                0
            });
        }
        PhysicalType::Float64 => {
            let (values, before) = filled!(PhysicalRef::Float64(value) => value.to_bits(), 0);
            distinct.add_words(&values[before..]);
            sections.add(SECTION_VALUES, tag, column, |out| {
                integer::encode(&values, false, out);
                0
            });
        }
        PhysicalType::Int128 => {
            let (values, before) = filled!(PhysicalRef::Int128(value) => value.to_le_bytes(), [0; 16]);
            values[before..].iter().for_each(|value| distinct.add_bytes(value));
            sections.add(SECTION_VALUES, tag, column, |out| {
                wide::encode(&values, out);
                0
            });
        }
        PhysicalType::Int256 => {
            let (values, before) = filled!(PhysicalRef::Int256(value) => *value, [0; 32]);
            values[before..].iter().for_each(|value| distinct.add_bytes(value));
            sections.add(SECTION_VALUES, tag, column, |out| {
                wide::encode(&values, out);
                0
            });
        }
        PhysicalType::Bytes => {
            let values = values
                .iter()
                .map(|value| match value {
                    Some(PhysicalRef::Bytes(bytes)) => {
                        distinct.add_bytes(bytes);
                        *bytes
                    }
                    _ => &[][..],
                })
                .collect::<Vec<_>>();
            sections.add(SECTION_VALUES, tag, column, |out| byte_column::encode(&values, compression, out));
        }
    }
}

/// Directory and payloads of a block being written.
#[derive(Default)]
struct Sections {
    directory: Vec<u8>,
    payload: Vec<u8>,
    expanded_bytes: usize,
}

impl Sections {
    fn add(&mut self, kind: u8, physical: u8, column: u16, write: impl FnOnce(&mut Vec<u8>) -> usize) {
        let start = self.payload.len();
        self.expanded_bytes += write(&mut self.payload);
        self.directory.extend([kind, physical]);
        self.directory.extend(column.to_le_bytes());
        self.directory.extend(((self.payload.len() - start) as u32).to_le_bytes());
    }

    fn integers(&mut self, kind: u8, column: u16, values: &[u64]) {
        self.add(kind, 0, column, |out| {
            integer::encode(values, false, out);
            0
        });
    }

    fn finish(self, rows: usize) -> (Vec<u8>, u32) {
        let mut bytes = Vec::with_capacity(HEADER_BYTES + self.directory.len() + self.payload.len() + CHECKSUM_BYTES);
        bytes.extend(MAGIC.to_le_bytes());
        bytes.extend((rows as u32).to_le_bytes());
        bytes.extend(((self.directory.len() / SECTION_BYTES) as u32).to_le_bytes());
        bytes.extend((self.expanded_bytes as u32).to_le_bytes());
        bytes.extend(self.directory);
        bytes.extend(self.payload);
        let crc = crc32c(&bytes);
        bytes.extend(crc.to_le_bytes());
        (bytes, crc)
    }
}
