//! Frame of a layer file: header, index and footer. The blocks between are `block`'s.

use super::block::crc32c;
use super::column::{Cursor, FormatError};
use super::filter::Filter;
use super::sketch::{self, IndexSketch};
use super::statistics::ColumnStatistics;
use common::id::Lsn;
use common::key::Key;
use serde::{Deserialize, Serialize};

pub const HEADER: &[u8; 8] = b"DRUMLYR\x03";
const FOOTER_MAGIC: &[u8; 8] = b"DRUMLYRF";
pub const FOOTER_BYTES: usize = 32;
/// Version 2 brought keys of which only the differing bytes are kept, version 3 sketches.
const FORMAT_VERSION: u32 = 3;
const FORMAT_VERSION_SKETCHES: u32 = 3;
const FORMAT_VERSION_OLDEST: u32 = 1;

/// What is kept of a layer in memory: its blocks, and the filter over its keys.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Index {
    pub blocks: Vec<BlockEntry>,
    pub filter: Filter,
    /// By prefix.
    pub sketches: Vec<IndexSketch>,
    /// Of the format that the file has; the footer says it, and the header has to say the same.
    #[serde(skip)]
    pub version: u8,
}

/// As it was before version 3.
#[derive(Deserialize)]
struct IndexWithoutSketches {
    blocks: Vec<BlockEntry>,
    filter: Filter,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BlockEntry {
    pub offset: u64,
    pub length: u32,
    pub crc: u32,
    /// Versions, tombstones included.
    pub rows: u32,
    pub tombstones: u32,
    /// True where no key has two versions in the block.
    pub single: bool,
    pub lsn_min: Lsn,
    pub lsn_max: Lsn,
    pub first: Key,
    pub last: Key,
    pub columns: Vec<ColumnStatistics>,
}

impl Index {
    /// What the layer knows of an index, by the first eight bytes of its keys.
    pub fn sketch_of(&self, prefix: &[u8]) -> Option<&IndexSketch> {
        let place = self.sketches.binary_search_by(|sketch| (*sketch.prefix).cmp(prefix)).ok()?;
        Some(&self.sketches[place])
    }

    /// The blocks of an index.
    pub fn blocks_of<'i>(&'i self, prefix: &'i [u8]) -> impl Iterator<Item = &'i BlockEntry> {
        let first = self.blocks.partition_point(|block| &block.last[..] < prefix);
        self.blocks[first..].iter().take_while(move |block| block.first.starts_with(prefix))
    }

    /// Gives all versions one LSN, for a layer that was written before its commit.
    pub fn stamp(&mut self, stamp: Option<Lsn>) {
        let Some(lsn) = stamp else { return };
        for block in self.blocks.iter_mut() {
            (block.lsn_min, block.lsn_max) = (lsn, lsn);
        }
        self.sketches.iter_mut().flat_map(|sketch| &mut sketch.sample.rows).for_each(|row| row.lsn = lsn);
    }
}

/// Index and footer in bytes, for a file whose blocks end at `offset`.
pub fn encode_tail(index: &Index, offset: u64) -> Vec<u8> {
    let mut out = postcard::to_stdvec(index).expect("an index serializes");
    let mut footer = Vec::with_capacity(FOOTER_BYTES);
    footer.extend(offset.to_le_bytes());
    footer.extend((out.len() as u32).to_le_bytes());
    footer.extend(crc32c(&out).to_le_bytes());
    footer.extend(FORMAT_VERSION.to_le_bytes());
    footer.extend(crc32c(&footer).to_le_bytes());
    footer.extend(FOOTER_MAGIC);
    assert_eq!(footer.len(), FOOTER_BYTES, "footer length");
    out.extend(footer);
    out
}

/// Checks and decodes the tail of a file that is `file_bytes` long; `tail` begins where the index does.
pub fn decode_tail(tail: &[u8], file_bytes: u64) -> Result<Index, FormatError> {
    let at = tail.len().checked_sub(FOOTER_BYTES).ok_or(FormatError("it is too short for a footer"))?;
    let (index, footer) = tail.split_at(at);
    let mut cursor = Cursor::new(footer);
    let (offset, length, index_crc) = (cursor.u64()?, cursor.u32()?, cursor.u32()?);
    let (version, footer_crc) = (cursor.u32()?, cursor.u32()?);
    if cursor.rest() != FOOTER_MAGIC {
        return Err(FormatError("the footer's mark is missing"));
    }
    if crc32c(&footer[..20]) != footer_crc {
        return Err(FormatError("footer checksum mismatch"));
    }
    if !(FORMAT_VERSION_OLDEST..=FORMAT_VERSION).contains(&version) {
        return Err(FormatError("a layer format that this version does not know"));
    }
    if offset != file_bytes.wrapping_sub(tail.len() as u64) || length as usize != index.len() {
        return Err(FormatError("the index is not where the manifest says"));
    }
    if crc32c(index) != index_crc {
        return Err(FormatError("index checksum mismatch"));
    }
    let malformed = |_| FormatError("the index does not decode");
    let mut index: Index = if version >= FORMAT_VERSION_SKETCHES {
        postcard::from_bytes(index).map_err(malformed)?
    } else {
        let IndexWithoutSketches { blocks, filter } = postcard::from_bytes(index).map_err(malformed)?;
        Index { blocks, filter, sketches: Vec::new(), version: 0 }
    };
    index.version = version as u8;
    check_index(&index, offset)?;
    Ok(index)
}

fn check_index(index: &Index, blocks_end: u64) -> Result<(), FormatError> {
    index.filter.check()?;
    sketch::check(&index.sketches)?;
    let mut end = HEADER.len() as u64;
    let mut previous: Option<&BlockEntry> = None;
    for block in &index.blocks {
        if block.offset != end || block.first > block.last || block.lsn_min > block.lsn_max {
            return Err(FormatError("the index contradicts itself"));
        }
        if previous.is_some_and(|previous| previous.last >= block.first) {
            return Err(FormatError("blocks are out of order"));
        }
        end = end.saturating_add(u64::from(block.length));
        previous = Some(block);
    }
    if index.blocks.is_empty() || end != blocks_end {
        return Err(FormatError("the index does not cover the file"));
    }
    Ok(())
}
