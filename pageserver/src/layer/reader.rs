//! Opens layers and reads their blocks, through the block cache.
//!
//! Damage is repaired from the store where possible: bytes from the cache that do not verify are read again from the
//! object; only if those do not verify either is the block corrupt, and that is an error, never data.

use super::block::Block;
use super::column::FormatError;
use super::filter;
use super::format::{self, HEADER, Index};
use super::held::Held;
use super::search::BlockSearch;
use crate::cache::{BlockCache, BlockKey, FetchError};
use crate::manifest::LayerMeta;
use crate::metrics::Metrics;
use bytes::Bytes;
use common::env::objects::{ObjectError, Objects};
use common::id::Lsn;
use common::service::page::PageError;
use object_store::path::Path;
use parking_lot::Mutex;
use std::ops::Range;
use std::sync::{Arc, Weak};

/// What readers of layers need around them.
#[derive(Clone)]
pub struct LayerSource {
    pub objects: Objects,
    pub cache: Arc<BlockCache>,
    pub metrics: Arc<Metrics>,
    pub held: Held,
}

impl LayerSource {
    pub fn new(objects: Objects, cache: Arc<BlockCache>, metrics: Arc<Metrics>) -> LayerSource {
        LayerSource { objects, cache, metrics, held: Held::default() }
    }
}

/// An open layer. Snapshots hold it by `Arc`; its object is not deleted while one of them is in use.
pub struct Layer {
    pub meta: LayerMeta,
    pub index: Arc<Index>,
    blocks: Arc<Blocks>,
    /// Shared by all that are open on the object, also at another level: as long as there is one beside the reaper's, the
    /// object stays.
    path: Arc<Path>,
    source: LayerSource,
}

/// How point reads find a block: the search over the index, and each block as long as the cache keeps it.
struct Blocks {
    search: BlockSearch,
    slots: Vec<Mutex<Slot>>,
}

#[derive(Default)]
struct Slot {
    block: Weak<Block>,
    /// Reads since the cache was last told that the block is in use.
    reads: u8,
}

/// The cache hears of every fourth read of a block: enough to know which are in use, at a quarter of the price.
const READS_PER_TOUCH: u8 = 4;

impl Blocks {
    fn of(index: &Index) -> Arc<Blocks> {
        let slots = index.blocks.iter().map(|_| Mutex::default()).collect();
        Arc::new(Blocks { search: BlockSearch::of(&index.blocks), slots })
    }
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
            ReadError::Store(source) if source.is_damage() => missing(source.to_string()),
            ReadError::Fetch(source) if source.damaged => missing(source.to_string()),
            ReadError::Store(source) => PageError::Unavailable(source.to_string()),
            ReadError::Fetch(source) => PageError::Unavailable(source.to_string()),
        }
    }
}

fn missing(text: String) -> PageError {
    PageError::Corrupt(format!("{text}. A manifest names this object; restore it from a copy or a backup"))
}

impl Layer {
    /// A layer that this process has just written, with its index at hand. `path` has been held since before it was.
    pub fn written(source: LayerSource, meta: LayerMeta, path: Arc<Path>, mut index: Index) -> Layer {
        index.stamp(meta.stamp());
        Layer { path, meta, blocks: Blocks::of(&index), index: Arc::new(index), source }
    }

    /// The same object, at another level.
    pub fn with_meta(&self, meta: LayerMeta) -> Layer {
        Layer {
            path: self.path.clone(),
            meta,
            index: self.index.clone(),
            blocks: self.blocks.clone(),
            source: self.source.clone(),
        }
    }

    /// A bulk layer, from the LSN of its commit on.
    pub fn stamped(&self, lsn: Lsn) -> Layer {
        let meta = LayerMeta { lsn_min: lsn, lsn_max: lsn, stamped: true, ..self.meta.clone() };
        let mut index = Index::clone(&self.index);
        index.stamp(meta.stamp());
        Layer {
            path: self.path.clone(),
            meta,
            blocks: Blocks::of(&index),
            index: Arc::new(index),
            source: self.source.clone(),
        }
    }

    /// Reads the index; the blocks are read as they are needed.
    pub async fn open(source: LayerSource, meta: LayerMeta) -> Result<Layer, ReadError> {
        let path = source.held.hold(meta.id());
        let mut last_error = None;
        // A body damaged on its way is cured by asking again; a damaged object is not.
        for _ in 0..2 {
            let tail = source.objects.get_range(&path, meta.index_offset..meta.bytes).await?;
            match format::decode_tail(&tail, meta.bytes) {
                Ok(mut index) => {
                    index.stamp(meta.stamp());
                    return Ok(Layer { meta, blocks: Blocks::of(&index), index: Arc::new(index), path, source });
                }
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
        let mut slot = self.blocks.slots[number].lock();
        if slot.reads > 0
            && let Some(block) = slot.block.upgrade()
        {
            slot.reads = (slot.reads + 1) % READS_PER_TOUCH;
            self.source.metrics.cache_memory_hits.inc();
            return Some(block);
        }
        let block = self.source.cache.in_memory(&self.key(number), self.meta.stamp());
        // Nothing is kept alive here: what the cache drops is gone.
        *slot = Slot { block: block.as_ref().map_or_else(Weak::new, Arc::downgrade), reads: 1 };
        block
    }

    /// Whether the block is in memory, without counting as a use of it.
    pub fn is_in_memory(&self, number: usize) -> bool {
        self.source.cache.is_in_memory(&self.key(number))
    }

    /// Whether the block may be in memory or on local disk.
    pub(super) fn may_be_cached(&self, number: usize) -> bool {
        self.source.cache.may_have(&self.key(number))
    }

    /// Puts the bytes of a block that came with others into the cache; `None` if they are damaged.
    pub(super) fn keep(&self, number: usize, bytes: Bytes) -> Option<Arc<Block>> {
        let block = self.source.cache.insert_sound(self.key(number), bytes, self.meta.stamp()).ok()?;
        self.check_shape(number, block).ok()
    }

    /// Neighbouring blocks as they lie in the object.
    pub(super) async fn bytes_of(&self, numbers: Range<usize>) -> Result<Bytes, ReadError> {
        let last = self.byte_range(numbers.end - 1);
        let range = self.byte_range(numbers.start).start..last.end;
        Ok(self.without_header()(numbers.start, self.source.objects.get_range(&self.path, range).await?))
    }

    pub async fn block(&self, number: usize) -> Result<Arc<Block>, ReadError> {
        if let Some(block) = self.block_in_memory(number) {
            return Ok(block);
        }
        let key = self.key(number);
        let (objects, path, range) = (self.source.objects.clone(), self.path.clone(), self.byte_range(number));
        let without_header = self.without_header();
        let fetch = async move { objects.get_range(&path, range).await.map(|bytes| without_header(number, bytes)) };
        match self.source.cache.get_or_fetch(key, self.meta.stamp(), fetch).await? {
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
        let bytes = self.without_header()(number, bytes);
        let block =
            Block::parse_stamped(&bytes, key.crc, self.meta.stamp()).map_err(|what| self.corrupt(number, what))?;
        self.source.cache.insert(key, bytes);
        self.check_shape(number, Arc::new(block))
    }

    /// A block of these bytes, which are not kept in the cache: whoever reads a layer from end to end must not push out
    /// what is in use. Bytes that are damaged are read again, once.
    pub async fn block_apart(&self, number: usize, bytes: Bytes) -> Result<Arc<Block>, ReadError> {
        let crc = self.index.blocks[number].crc;
        let block = match Block::parse_stamped(&bytes, crc, self.meta.stamp()) {
            Ok(block) => block,
            Err(_) => {
                let bytes = self.bytes_of(number..number + 1).await?;
                Block::parse_stamped(&bytes, crc, self.meta.stamp()).map_err(|what| self.corrupt(number, what))?
            }
        };
        self.check_shape(number, Arc::new(block))
    }

    /// Index and block must tell the same story.
    fn check_shape(&self, number: usize, block: Arc<Block>) -> Result<Arc<Block>, ReadError> {
        if block.rows() != self.index.blocks[number].rows as usize {
            return Err(self.corrupt(number, FormatError("row count differs from the index")));
        }
        Ok(block)
    }

    /// Gives the bytes from a block on. What follows a damaged header is not trusted: it parses as a damaged block.
    fn without_header(&self) -> impl Fn(usize, Bytes) -> Bytes + Send + 'static {
        let mut expected = *HEADER;
        expected[7] = self.index.version;
        move |number, bytes| match number {
            0 if bytes.starts_with(&expected) => bytes.slice(expected.len()..),
            0 => Bytes::new(),
            _ => bytes,
        }
    }

    /// Where a block lies; the first one with the header before it, which is checked on that occasion.
    fn byte_range(&self, number: usize) -> Range<u64> {
        let entry = &self.index.blocks[number];
        let start = if number == 0 { 0 } else { entry.offset };
        start..entry.offset + u64::from(entry.length)
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
        let number = self.blocks.search.first_not_before(&self.index.blocks, key);
        (number < self.index.blocks.len()).then_some(number)
    }

    pub fn objects(&self) -> &Objects {
        &self.source.objects
    }

    pub fn path(&self) -> &Arc<Path> {
        &self.path
    }
}

/// See [`filter::hash`].
pub fn key_hash(key: &[u8]) -> u64 {
    filter::hash(key)
}
