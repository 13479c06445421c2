//! Blocks of layers in memory and, optionally, on local disk. The only door to foyer.
//!
//! A block is named by its layer, its number and its checksum, so a directory left by another store can never answer
//! for this one. What comes from the cache is verified when it is parsed; losing the cache loses nothing.

use crate::config::CacheConfig;
use crate::layer::block::{self, Block};
use crate::layer::column::FormatError;
use crate::metrics::Metrics;
use bytes::Bytes;
use common::env::objects::ObjectError;
use common::id::Lsn;
use foyer::{
    BlockEngineConfig, Code, DeviceBuilder, FsDeviceBuilder, HybridCache, HybridCacheBuilder, HybridCachePolicy,
    RecoverMode, S3FifoConfig, Source,
};
use std::future::Future;
use std::io::{Read, Write};
use std::sync::{Arc, OnceLock};

/// Name of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BlockKey {
    pub tablet: u64,
    pub generation: u64,
    pub sequence: u64,
    pub block: u32,
    pub crc: u32,
}

const KEY_BYTES: usize = 32;
/// A cached block longer than this is damage.
const BLOCK_BYTES_MAX: usize = 1 << 30;

impl Code for BlockKey {
    fn encode(&self, writer: &mut impl Write) -> foyer::Result<()> {
        let mut bytes = [0; KEY_BYTES];
        bytes[..8].copy_from_slice(&self.tablet.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.generation.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.block.to_le_bytes());
        bytes[28..].copy_from_slice(&self.crc.to_le_bytes());
        writer.write_all(&bytes).map_err(foyer::Error::io_error)
    }

    fn decode(reader: &mut impl Read) -> foyer::Result<Self> {
        let word = |reader: &mut dyn Read| -> foyer::Result<u64> {
            let mut bytes = [0; 8];
            reader.read_exact(&mut bytes).map_err(foyer::Error::io_error)?;
            Ok(u64::from_le_bytes(bytes))
        };
        let (tablet, generation, sequence, last) = (word(reader)?, word(reader)?, word(reader)?, word(reader)?);
        Ok(BlockKey { tablet, generation, sequence, block: last as u32, crc: (last >> 32) as u32 })
    }

    fn estimated_size(&self) -> usize {
        KEY_BYTES
    }
}

/// A block as it lies in the object store, parsed at first use.
pub struct CachedBlock {
    bytes: Bytes,
    parsed: OnceLock<Result<Arc<Block>, FormatError>>,
}

impl CachedBlock {
    fn new(bytes: Bytes) -> CachedBlock {
        CachedBlock { bytes, parsed: OnceLock::new() }
    }

    /// `stamp`: of the layer. It has it before the first of its blocks comes here, and for good.
    fn block(&self, crc: u32, stamp: Option<Lsn>) -> Result<Arc<Block>, FormatError> {
        self.parsed.get_or_init(|| Block::parse_stamped(&self.bytes, crc, stamp).map(Arc::new)).clone()
    }
}

impl Code for CachedBlock {
    fn encode(&self, writer: &mut impl Write) -> foyer::Result<()> {
        writer.write_all(&(self.bytes.len() as u32).to_le_bytes()).map_err(foyer::Error::io_error)?;
        writer.write_all(&self.bytes).map_err(foyer::Error::io_error)
    }

    fn decode(reader: &mut impl Read) -> foyer::Result<Self> {
        let mut length = [0; 4];
        reader.read_exact(&mut length).map_err(foyer::Error::io_error)?;
        let length = (u32::from_le_bytes(length) as usize).min(BLOCK_BYTES_MAX);
        let mut bytes = Vec::new();
        reader.take(length as u64).read_to_end(&mut bytes).map_err(foyer::Error::io_error)?;
        Ok(CachedBlock::new(bytes.into()))
    }

    fn estimated_size(&self) -> usize {
        self.bytes.len() + 4
    }
}

/// Several readers may have waited for one fetch: each gets what it has to know of the error.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct FetchError {
    /// The object is not there, or not whole.
    pub damaged: bool,
    text: String,
}

pub struct BlockCache {
    blocks: HybridCache<BlockKey, CachedBlock>,
    metrics: Arc<Metrics>,
}

impl BlockCache {
    pub async fn open(config: &CacheConfig, metrics: Arc<Metrics>) -> Result<BlockCache, String> {
        let builder = HybridCacheBuilder::new()
            .with_name("blocks")
            .with_policy(HybridCachePolicy::WriteOnInsertion)
            .memory(config.memory_bytes)
            .with_shards(16)
            // A large scan passes through the small queue and leaves the blocks in use where they are.
            .with_eviction_config(S3FifoConfig::default())
            .with_weighter(|_: &BlockKey, value: &CachedBlock| block::memory_bytes(&value.bytes))
            .storage();
        let blocks = match &config.disk {
            None => builder.build().await,
            Some(disk) => {
                let device = FsDeviceBuilder::new(&disk.directory)
                    .with_capacity(disk.bytes)
                    .build()
                    .map_err(|error| format!("cache directory {}: {error}", disk.directory.display()))?;
                builder
                    .with_engine_config(BlockEngineConfig::new(device).with_block_size(disk.region_bytes()))
                    .with_recover_mode(RecoverMode::Quiet)
                    .build()
                    .await
            }
        };
        let blocks = blocks.map_err(|error| format!("open the block cache: {error}"))?;
        Ok(BlockCache { blocks, metrics })
    }

    /// A block that is in memory and sound.
    pub fn in_memory(&self, key: &BlockKey, stamp: Option<Lsn>) -> Option<Arc<Block>> {
        let block = self.blocks.memory().get(key)?.value().block(key.crc, stamp).ok()?;
        self.metrics.cache_memory_hits.inc();
        Some(block)
    }

    /// Whether a block is in memory, without a say in what stays there.
    pub fn is_in_memory(&self, key: &BlockKey) -> bool {
        self.blocks.memory().contains(key)
    }

    /// False only where a block is certainly neither in memory nor on local disk.
    pub fn may_have(&self, key: &BlockKey) -> bool {
        self.blocks.contains(key)
    }

    /// Puts a block that was read together with its neighbours; the error says that its bytes are damaged.
    pub fn insert_sound(&self, key: BlockKey, bytes: Bytes, stamp: Option<Lsn>) -> Result<Arc<Block>, FormatError> {
        let cached = CachedBlock::new(bytes);
        let block = cached.block(key.crc, stamp)?;
        self.blocks.insert(key, cached);
        self.metrics.cache_misses.inc();
        Ok(block)
    }

    /// The block, from the cache or through `fetch`; requests for one block at one time share a fetch. The inner
    /// error says that the bytes are damaged; they are then out of the cache.
    pub async fn get_or_fetch<F>(
        &self,
        key: BlockKey,
        stamp: Option<Lsn>,
        fetch: F,
    ) -> Result<Result<Arc<Block>, FormatError>, FetchError>
    where
        F: Future<Output = Result<Bytes, ObjectError>> + Send + 'static,
    {
        let entry = self.blocks.get_or_fetch(&key, || async move { fetch.await.map(CachedBlock::new) }).await.map_err(
            |error| FetchError {
                damaged: error.downcast_ref::<ObjectError>().is_some_and(ObjectError::is_damage),
                text: error.source().map_or_else(|| error.to_string(), ToString::to_string),
            },
        )?;
        match entry.source() {
            Source::Memory => self.metrics.cache_memory_hits.inc(),
            Source::Disk => self.metrics.cache_disk_hits.inc(),
            Source::Outer => self.metrics.cache_misses.inc(),
        }
        let block = entry.value().block(key.crc, stamp);
        if block.is_err() {
            self.blocks.remove(&key);
        }
        Ok(block)
    }

    /// Puts a block that was read around the cache, after damage.
    pub fn insert(&self, key: BlockKey, bytes: Bytes) {
        self.blocks.insert(key, CachedBlock::new(bytes));
    }

    pub fn memory_bytes(&self) -> u64 {
        self.blocks.memory().usage() as u64
    }

    pub async fn close(&self) {
        if let Err(error) = self.blocks.close().await {
            tracing::warn!(%error, "block cache did not close cleanly; it will be filled anew");
        }
    }
}
