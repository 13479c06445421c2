//! A block: some hundreds to thousands of versions of one index, in key order, each column apart.
//!
//! Versions of one key lie newest first and are never split over two blocks, so that one block answers for its keys.
//! A block is parsed once, when it enters the block cache: its checksum is verified then, and the columns that a
//! reader asks for are expanded at first use.
//!
//! Bytes: docs/formats.md, "Layer".

use super::column::bytes::BytesColumn;
use super::column::integer::IntegerColumn;
use super::column::keys::KeyColumn;
use super::column::wide::WideColumn;
use super::column::{Cursor, FormatError, integer};
use super::row_plan::RowPlan;
use bytes::Bytes;
use common::id::{ColumnId, Lsn};
use common::key::Key;
use common::physical::PhysicalType;
use expr::row_encoding::PhysicalRef;
use std::sync::OnceLock;

pub(super) const MAGIC: u32 = u32::from_le_bytes(*b"DBK1");
pub(super) const HEADER_BYTES: usize = 16;
pub(super) const SECTION_BYTES: usize = 8;
pub(super) const CHECKSUM_BYTES: usize = 4;
/// More rows than this in one block is damage, not data.
pub const BLOCK_ROWS_MAX: usize = 1 << 24;

pub(super) const SECTION_KEYS: u8 = 1;
pub(super) const SECTION_LSNS: u8 = 2;
pub(super) const SECTION_STATES: u8 = 3;
pub(super) const SECTION_OPAQUE: u8 = 4;
pub(super) const SECTION_TAGS: u8 = 5;
pub(super) const SECTION_VALUES: u8 = 6;

pub(super) const STATE_ROW: u64 = 0;
pub(super) const STATE_TOMBSTONE: u64 = 1;
/// A row that could not be taken apart is kept as it came.
pub(super) const STATE_OPAQUE: u64 = 2;

pub const TAG_ABSENT: u64 = 0;
pub const TAG_NULL: u64 = 1;

/// One version of a key on its way into a block, or out of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    pub key: Key,
    pub lsn: Lsn,
    /// `None`: a tombstone.
    pub row: Option<Bytes>,
}

pub fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(bytes)
}

/// What a cached block will take in memory, expanded columns included, judged by its header alone.
pub fn memory_bytes(bytes: &[u8]) -> usize {
    let expanded = bytes.get(12..16).and_then(|word| word.try_into().ok()).map_or(0, u32::from_le_bytes);
    bytes.len() + (expanded as usize).min(1 << 30)
}

/// A parsed block.
#[derive(Debug)]
pub struct Block {
    rows: usize,
    memory_bytes: usize,
    keys: KeyColumn,
    lsns: IntegerColumn,
    states: IntegerColumn,
    opaque: Option<BytesColumn>,
    columns: Vec<BlockColumn>,
    /// Made when the first row is put together.
    plan: OnceLock<Result<RowPlan, FormatError>>,
}

#[derive(Debug)]
pub struct BlockColumn {
    pub column: ColumnId,
    pub tags: IntegerColumn,
    values: Vec<TypedValues>,
}

/// The values of one type, expanded at first use.
#[derive(Debug)]
struct TypedValues {
    physical: PhysicalType,
    payload: Bytes,
    parsed: OnceLock<Result<Values, FormatError>>,
}

/// The values of one column and type, expanded.
#[derive(Debug)]
pub enum Values {
    Integer(IntegerColumn),
    Wide128(WideColumn<16>),
    Wide256(WideColumn<32>),
    Bytes(BytesColumn),
}

impl Block {
    /// Verifies and parses. `crc` is what the layer's index says, so that a block of another layer is not taken for it.
    pub fn parse(bytes: &Bytes, crc: u32) -> Result<Block, FormatError> {
        let (body, stored) = bytes.split_last_chunk::<CHECKSUM_BYTES>().ok_or(FormatError("it is too short"))?;
        if u32::from_le_bytes(*stored) != crc || crc32c(body) != crc {
            return Err(FormatError("checksum mismatch"));
        }
        let mut cursor = Cursor::new(body);
        if cursor.u32()? != MAGIC {
            return Err(FormatError("not a block"));
        }
        let (rows, sections, _) = (cursor.u32()? as usize, cursor.u32()? as usize, cursor.u32()?);
        if rows == 0 || rows > BLOCK_ROWS_MAX {
            return Err(FormatError("the row count is out of range"));
        }
        let mut directory = Cursor::new(cursor.take(sections.saturating_mul(SECTION_BYTES))?);
        let (mut keys, mut lsns, mut states, mut opaque) = (None, None, None, None);
        let mut columns: Vec<BlockColumn> = Vec::new();
        for _ in 0..sections {
            let (kind, physical, column) = (directory.u8()?, directory.u8()?, ColumnId(directory.u16()?));
            let payload = bytes.slice_ref(cursor.take(directory.u32()? as usize)?);
            match kind {
                SECTION_KEYS => keys = Some(KeyColumn::parse(&payload, rows)?),
                SECTION_LSNS => lsns = Some(IntegerColumn::parse(&payload, rows)?),
                SECTION_STATES => states = Some(IntegerColumn::parse(&payload, rows)?),
                SECTION_OPAQUE => opaque = Some(BytesColumn::parse(&payload, rows)?),
                SECTION_TAGS => {
                    if columns.last().is_some_and(|last| last.column >= column) {
                        return Err(FormatError("columns are out of order"));
                    }
                    let tags = IntegerColumn::parse(&payload, rows)?;
                    columns.push(BlockColumn { column, tags, values: Vec::new() });
                }
                SECTION_VALUES => {
                    let owner = columns.last_mut().filter(|last| last.column == column);
                    let owner = owner.ok_or(FormatError("values without tags"))?;
                    let physical = PhysicalType::from_tag(physical).ok_or(FormatError("unknown physical type"))?;
                    owner.values.push(TypedValues { physical, payload, parsed: OnceLock::new() });
                }
                _ => return Err(FormatError("unknown section")),
            }
        }
        let missing = FormatError("a section is missing");
        Ok(Block {
            rows,
            memory_bytes: memory_bytes(bytes),
            keys: keys.ok_or(missing.clone())?,
            lsns: lsns.ok_or(missing.clone())?,
            states: states.ok_or(missing)?,
            opaque,
            columns,
            plan: OnceLock::new(),
        })
    }

    /// The same with one LSN for all its versions, whatever the object says: a bulk layer is written before its commit.
    pub fn parse_stamped(bytes: &Bytes, crc: u32, stamp: Option<Lsn>) -> Result<Block, FormatError> {
        let mut block = Block::parse(bytes, crc)?;
        if let Some(lsn) = stamp {
            let mut constant = Vec::new();
            integer::encode(&vec![lsn.0; block.rows], false, &mut constant);
            block.lsns = IntegerColumn::parse(&constant.into(), block.rows)?;
        }
        Ok(block)
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    /// See [`memory_bytes`].
    pub fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }

    pub fn key(&self, index: usize) -> Key {
        self.keys.get(index)
    }

    pub fn keys(&self) -> &KeyColumn {
        &self.keys
    }

    pub fn lsn(&self, index: usize) -> Lsn {
        Lsn(self.lsns.get(index))
    }

    pub fn lsns(&self) -> Vec<u64> {
        self.lsns.decode(|lsn| lsn)
    }

    pub fn is_tombstone(&self, index: usize) -> bool {
        self.states.get(index) == STATE_TOMBSTONE
    }

    /// True where every version is a row of columns: no tombstone, nothing opaque.
    pub fn only_rows(&self) -> bool {
        self.states.constant() == Some(STATE_ROW)
    }

    pub fn is_opaque(&self, index: usize) -> bool {
        self.states.get(index) == STATE_OPAQUE
    }

    pub fn column(&self, column: ColumnId) -> Option<&BlockColumn> {
        let at = self.columns.binary_search_by_key(&column, |column| column.column).ok()?;
        Some(&self.columns[at])
    }

    /// Index of the newest version of `key` at or below `lsn`.
    pub fn find(&self, key: &[u8], lsn: Lsn) -> Option<usize> {
        let mut index = self.keys.lower_bound(key);
        while index < self.rows && self.keys.equals(index, key) {
            if self.lsn(index) <= lsn {
                return Some(index);
            }
            index += 1;
        }
        None
    }

    /// The stored row at `index`, put together from its columns; `None` for a tombstone.
    pub fn row(&self, index: usize) -> Result<Option<Bytes>, FormatError> {
        match self.states.get(index) {
            STATE_TOMBSTONE => return Ok(None),
            STATE_OPAQUE => {
                let opaque = self.opaque.as_ref().ok_or(FormatError("a section is missing"))?;
                return Ok(Some(opaque.get_shared(index)));
            }
            _ => {}
        }
        self.plan()?.row(&self.columns, index).map(Some)
    }

    fn plan(&self) -> Result<&RowPlan, FormatError> {
        self.plan.get_or_init(|| RowPlan::of(&self.columns)).as_ref().map_err(Clone::clone)
    }

    /// The values that the row at `index` has, by column id; it is neither a tombstone nor opaque.
    pub fn each_value<'a>(
        &'a self,
        index: usize,
        put: impl FnMut(ColumnId, PhysicalRef<'a>),
    ) -> Result<(), FormatError> {
        self.plan()?.each_value(&self.columns, index, put)
    }

    /// Reads enough that from now on every row can be put together, and every value be read.
    pub fn check_rows(&self) -> Result<(), FormatError> {
        self.plan()?;
        for column in self.columns.iter().filter(|column| column.tags.constant().is_none()) {
            let mut tags = column.tags.decode(|tag| tag);
            tags.sort_unstable();
            tags.dedup();
            for tag in tags.into_iter().filter(|tag| ![TAG_ABSENT, TAG_NULL].contains(tag)) {
                let physical = u8::try_from(tag).ok().and_then(PhysicalType::from_tag);
                let values = column.values(physical.ok_or(FormatError("unknown tag"))?)?;
                values.ok_or(FormatError("a section is missing"))?;
            }
        }
        let opaque_missing =
            self.opaque.is_none() && !self.only_rows() && (0..self.rows).any(|row| self.is_opaque(row));
        if opaque_missing { Err(FormatError("a section is missing")) } else { Ok(()) }
    }
}

impl BlockColumn {
    /// Values of one type; `None` if no row of the block has one.
    pub fn values(&self, physical: PhysicalType) -> Result<Option<&Values>, FormatError> {
        let Some(values) = self.values.iter().find(|values| values.physical == physical) else { return Ok(None) };
        let parsed = values.parsed.get_or_init(|| Values::parse(physical, &values.payload, self.tags.rows()));
        parsed.as_ref().map(Some).map_err(Clone::clone)
    }

    /// `None`: the row does not have this column.
    pub fn value(&self, index: usize) -> Result<Option<PhysicalRef<'_>>, FormatError> {
        let physical = match self.tags.get(index) {
            TAG_ABSENT => return Ok(None),
            TAG_NULL => return Ok(Some(PhysicalRef::Null)),
            tag => u8::try_from(tag).ok().and_then(PhysicalType::from_tag).ok_or(FormatError("unknown tag"))?,
        };
        let values = self.values(physical)?.ok_or(FormatError("a section is missing"))?;
        Ok(Some(values.get(physical, index)))
    }
}

impl Values {
    fn parse(physical: PhysicalType, payload: &Bytes, rows: usize) -> Result<Values, FormatError> {
        Ok(match physical {
            PhysicalType::Int64 | PhysicalType::UInt64 | PhysicalType::Float64 => {
                Values::Integer(IntegerColumn::parse(payload, rows)?)
            }
            PhysicalType::Int128 => Values::Wide128(WideColumn::parse(payload, rows)?),
            PhysicalType::Int256 => Values::Wide256(WideColumn::parse(payload, rows)?),
            PhysicalType::Bytes => Values::Bytes(BytesColumn::parse(payload, rows)?),
        })
    }

    fn get(&self, physical: PhysicalType, index: usize) -> PhysicalRef<'_> {
        match (self, physical) {
            (Values::Integer(column), PhysicalType::UInt64) => PhysicalRef::UInt64(column.get(index)),
            (Values::Integer(column), PhysicalType::Float64) => PhysicalRef::Float64(f64::from_bits(column.get(index))),
            (Values::Integer(column), _) => PhysicalRef::Int64(column.get(index) as i64),
            (Values::Wide128(column), _) => PhysicalRef::Int128(i128::from_le_bytes(column.get(index))),
            (Values::Wide256(column), _) => PhysicalRef::Int256(column.get(index)),
            (Values::Bytes(column), _) => PhysicalRef::Bytes(column.get(index)),
        }
    }
}
