//! Writes a layer from versions in order: gathers them into blocks, and keeps what index and filter need.

use super::column::bytes::Compression;
use super::encode::{self, Pending};
use super::filter::{self, Filter};
use super::format::{self, BlockEntry, HEADER, Index};
use super::sketch::SketchBuilder;
use common::id::Lsn;
use common::key::{KEY_PREFIX_BYTES, Key};

#[derive(Debug, Clone, Copy)]
pub struct WriterOptions {
    /// Keys and rows of a block before encoding, about.
    pub block_bytes: usize,
    pub block_rows: usize,
    pub compression: Compression,
}

/// A whole layer in memory, ready to be put.
#[derive(Debug)]
pub struct EncodedLayer {
    pub bytes: Vec<u8>,
    /// Where the index begins.
    pub index_offset: u64,
    pub index: Index,
    pub first: Key,
    pub last: Key,
    pub lsn_min: Lsn,
    pub lsn_max: Lsn,
    pub versions: u64,
    pub tombstones: u64,
}

pub struct LayerWriter {
    options: WriterOptions,
    out: Vec<u8>,
    pending: Vec<Pending>,
    pending_bytes: usize,
    blocks: Vec<BlockEntry>,
    hashes: Vec<u64>,
    sketches: SketchBuilder,
}

impl LayerWriter {
    pub fn new(options: WriterOptions) -> LayerWriter {
        LayerWriter {
            options,
            out: HEADER.to_vec(),
            pending: Vec::new(),
            pending_bytes: 0,
            blocks: Vec::new(),
            hashes: Vec::new(),
            sketches: SketchBuilder::default(),
        }
    }

    /// The next version: of a greater key, or of the same key and older.
    pub fn push(&mut self, version: impl Into<Pending>) {
        let version = version.into();
        if let Some(last) = self.pending.last() {
            let newer = last.key < version.key || (last.key == version.key && last.lsn > version.lsn);
            assert!(newer, "versions out of order");
            let same_index = last.key.get(..KEY_PREFIX_BYTES) == version.key.get(..KEY_PREFIX_BYTES);
            let full = self.pending_bytes >= self.options.block_bytes || self.pending.len() >= self.options.block_rows;
            if last.key != version.key && (full || !same_index) {
                self.cut_block();
            }
        }
        if self.pending.last().is_none_or(|last| last.key != version.key) {
            let hash = filter::hash(&version.key);
            self.hashes.push(hash);
            self.sketches.add_key(&version.key, hash, version.lsn, || version.row());
        }
        self.pending_bytes += version.key.len() + 8 + version.row_bytes();
        self.pending.push(version);
    }

    pub fn is_empty(&self) -> bool {
        self.pending.is_empty() && self.blocks.is_empty()
    }

    /// Bytes written so far; what waits for its block is counted as it came.
    pub fn bytes(&self) -> usize {
        self.out.len() + self.pending_bytes
    }

    fn cut_block(&mut self) {
        let versions = std::mem::take(&mut self.pending);
        self.pending_bytes = 0;
        let (Some(first), Some(last)) = (versions.first(), versions.last()) else { return };
        let encoded = encode::encode_sketched(&versions, self.options.compression, &mut self.sketches);
        let lsns = || versions.iter().map(|version| version.lsn);
        self.blocks.push(BlockEntry {
            offset: self.out.len() as u64,
            length: encoded.bytes.len() as u32,
            crc: encoded.crc,
            rows: versions.len() as u32,
            tombstones: encoded.tombstones,
            single: versions.windows(2).all(|pair| pair[0].key != pair[1].key),
            lsn_min: lsns().min().unwrap_or_default(),
            lsn_max: lsns().max().unwrap_or_default(),
            // Copies: a slice would keep the whole memory it came from alive.
            first: Key::copy_from_slice(&first.key),
            last: Key::copy_from_slice(&last.key),
            columns: encoded.statistics,
        });
        self.out.extend(encoded.bytes);
    }

    /// `None` if nothing was pushed.
    pub fn finish(mut self) -> Option<EncodedLayer> {
        self.cut_block();
        let (first, last) = (self.blocks.first()?.first.clone(), self.blocks.last()?.last.clone());
        let (filter, sketches) = (Filter::build(&self.hashes), self.sketches.finish());
        let index = Index { blocks: self.blocks, filter, sketches, version: HEADER[7] };
        let index_offset = self.out.len() as u64;
        self.out.extend(format::encode_tail(&index, index_offset));
        let blocks = &index.blocks;
        Some(EncodedLayer {
            bytes: self.out,
            index_offset,
            first,
            last,
            lsn_min: blocks.iter().map(|block| block.lsn_min).min()?,
            lsn_max: blocks.iter().map(|block| block.lsn_max).max()?,
            versions: blocks.iter().map(|block| u64::from(block.rows)).sum(),
            tombstones: blocks.iter().map(|block| u64::from(block.tombstones)).sum(),
            index,
        })
    }
}
