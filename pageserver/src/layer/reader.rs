//! Opens layers and reads their blocks, through the block cache.
//!
//! Damage is repaired from the store where possible: bytes from the cache that do not verify are read again from the
//! object; only if those do not verify either is the block corrupt, and that is an error, never data.

use super::block::Block;
use super::column::FormatError;
use super::filter;
use super::format::{self, Index};
use crate::cache::{BlockCache, BlockKey, FetchError};
use crate::manifest::LayerMeta;
use crate::metrics::Metrics;
use crate::objects::{ObjectError, Objects};
use common::service::page::PageError;
use object_store::path::Path;
use std::sync::Arc;

/// What readers of layers need around them.
#[derive(Clone)]
pub struct LayerSource {
    pub objects: Objects,
    pub cache: Arc<BlockCache>,
    pub metrics: Arc<Metrics>,
}

/// An open layer. Snapshots hold it by `Arc`; its object is not deleted while one of them is in use.
pub struct Layer {
    pub meta: LayerMeta,
    pub index: Arc<Index>,
    /// Shared by all that are open on the object, also at another level: as long as there is one beside the reaper's, the
    /// object stays.
    path: Arc<Path>,
    source: LayerSource,
}

#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error(
        "{object} is damaged at byte {offset}: {what}. Restore the object from a copy or a backup; `drumlin doctor` lists what is affected"
    )]
    Corrupt { object: String, offset: u64, what: FormatError },
    #[error(transparent)]
    Store(#[from] ObjectError),
    #[error(transparent)]
    Fetch(#[from] FetchError),
}

impl From<ReadError> for PageError {
    fn from(error: ReadError) -> PageError {
        match error {
            ReadError::Corrupt { .. } => PageError::Corrupt(error.to_string()),
            // The object is named by a manifest: that it is gone is damage, not a matter of trying again.
            ReadError::Store(source) if source.is_not_found() => missing(source.to_string()),
            ReadError::Fetch(source) if source.missing => missing(source.to_string()),
            ReadError::Store(source) => PageError::Unavailable(source.to_string()),
            ReadError::Fetch(source) => PageError::Unavailable(source.to_string()),
        }
    }
}

fn missing(text: String) -> PageError {
    PageError::Corrupt(format!("{text}. A manifest names this object; restore it from a copy or a backup"))
}

impl Layer {
    /// A layer that this process has just written, with its index at hand.
    pub fn written(source: LayerSource, meta: LayerMeta, index: Index) -> Layer {
        Layer { path: Arc::new(meta.path()), meta, index: Arc::new(index), source }
    }

    /// The same object, at another level.
    pub fn with_meta(&self, meta: LayerMeta) -> Layer {
        Layer { path: self.path.clone(), meta, index: self.index.clone(), source: self.source.clone() }
    }

    /// Reads the index; the blocks are read as they are needed.
    pub async fn open(source: LayerSource, meta: LayerMeta) -> Result<Layer, ReadError> {
        let path = Arc::new(meta.path());
        let mut last_error = None;
        // A body damaged on its way is cured by asking again; a damaged object is not.
        for _ in 0..2 {
            let tail = source.objects.get_range(&path, meta.index_offset..meta.bytes).await?;
            match format::decode_tail(&tail, meta.bytes) {
                Ok(index) => return Ok(Layer { meta, index: Arc::new(index), path, source }),
                Err(what) => last_error = Some(what),
            }
        }
        let what = last_error.unwrap_or(FormatError("it could not be read"));
        Err(ReadError::Corrupt { object: path.to_string(), offset: meta.index_offset, what })
    }

    fn key(&self, number: usize) -> BlockKey {
        BlockKey {
            tablet: self.meta.home.0,
            generation: self.meta.generation,
            sequence: self.meta.sequence,
            block: number as u32,
            crc: self.index.blocks[number].crc,
        }
    }

    /// The block, if it is in memory.
    pub fn block_in_memory(&self, number: usize) -> Option<Arc<Block>> {
        self.source.cache.in_memory(&self.key(number))
    }

    pub async fn block(&self, number: usize) -> Result<Arc<Block>, ReadError> {
        let key = self.key(number);
        if let Some(block) = self.source.cache.in_memory(&key) {
            return Ok(block);
        }
        let (objects, path, range) = (self.source.objects.clone(), self.path.clone(), self.byte_range(number));
        let fetch = async move { objects.get_range(&path, range).await };
        match self.source.cache.get_or_fetch(key, fetch).await? {
            Ok(block) => self.check_shape(number, block),
            Err(what) => self.block_again(number, what).await,
        }
    }

    /// Reads around the cache, after `what` was found wrong with the bytes that came through it.
    async fn block_again(&self, number: usize, what: FormatError) -> Result<Arc<Block>, ReadError> {
        self.source.metrics.corrupt_blocks.inc();
        tracing::warn!(object = %self.path, block = number, %what, "block is damaged; reading it again from the store");
        let block = self.block_uncached(number).await?;
        Ok(block)
    }

    /// Reads a block from the store, past the cache; a sound one then replaces what the cache had.
    async fn block_uncached(&self, number: usize) -> Result<Arc<Block>, ReadError> {
        let key = self.key(number);
        let bytes = self.source.objects.get_range(&self.path, self.byte_range(number)).await?;
        let block = Block::parse(&bytes, key.crc).map_err(|what| self.corrupt(number, what))?;
        self.source.cache.insert(key, bytes);
        self.check_shape(number, Arc::new(block))
    }

    /// A block for compaction: not kept in the cache, so that rewriting old data does not push out what is in use.
    pub async fn block_for_compaction(&self, number: usize) -> Result<Arc<Block>, ReadError> {
        if let Some(block) = self.block_in_memory(number) {
            return Ok(block);
        }
        let crc = self.index.blocks[number].crc;
        let mut last_error = None;
        for _ in 0..2 {
            let bytes = self.source.objects.get_range(&self.path, self.byte_range(number)).await?;
            match Block::parse(&bytes, crc) {
                Ok(block) => return self.check_shape(number, Arc::new(block)),
                Err(what) => last_error = Some(what),
            }
        }
        Err(self.corrupt(number, last_error.unwrap_or(FormatError("it could not be read"))))
    }

    /// Index and block must tell the same story.
    fn check_shape(&self, number: usize, block: Arc<Block>) -> Result<Arc<Block>, ReadError> {
        if block.rows() != self.index.blocks[number].rows as usize {
            return Err(self.corrupt(number, FormatError("row count differs from the index")));
        }
        Ok(block)
    }

    fn byte_range(&self, number: usize) -> std::ops::Range<u64> {
        let entry = &self.index.blocks[number];
        entry.offset..entry.offset + u64::from(entry.length)
    }

    pub fn corrupt(&self, number: usize, what: FormatError) -> ReadError {
        ReadError::Corrupt { object: self.path.to_string(), offset: self.index.blocks[number].offset, what }
    }

    /// False only where the key is certainly not in this layer.
    pub fn may_contain(&self, key: &[u8], hash: u64) -> bool {
        *key >= *self.meta.first && *key <= *self.meta.last && self.index.filter.may_contain(hash)
    }

    /// The one block that can hold `key`.
    pub fn block_of(&self, key: &[u8]) -> Option<usize> {
        let number = self.index.blocks.partition_point(|block| block.last < key);
        let entry = self.index.blocks.get(number)?;
        (entry.first <= key).then_some(number)
    }

    pub fn path(&self) -> &Arc<Path> {
        &self.path
    }
}

/// See [`filter::hash`].
pub fn key_hash(key: &[u8]) -> u64 {
    filter::hash(key)
}
