//! Neighbouring blocks of a layer in one request to the store: for scans, which know what they will need.

use super::block::Block;
use super::reader::{Layer, ReadError};
use bytes::Bytes;
use futures::TryStreamExt;
use futures::stream::{self, StreamExt};
use std::ops::Range;
use std::sync::Arc;

/// Blocks that are taken from the local disk at the same time.
const DISK_READS_MAX: usize = 8;

impl Layer {
    /// The blocks `numbers`, in order: from the local disk where one of them is there, else by one ranged request. They
    /// are in the cache afterwards.
    pub async fn fetch(&self, numbers: Range<usize>) -> Result<Vec<Arc<Block>>, ReadError> {
        if numbers.clone().any(|number| self.may_be_cached(number)) {
            let reads: Vec<_> = numbers.map(|number| self.block(number)).collect();
            // Boxed: see `read::get`.
            return stream::iter(reads).buffered(DISK_READS_MAX).boxed().try_collect().await;
        }
        let bytes = self.bytes_of(numbers.clone()).await?;
        let mut blocks = Vec::with_capacity(numbers.len());
        let mut start = 0;
        for number in numbers {
            let end = start + self.index.blocks[number].length as usize;
            // Copies: a slice would keep the whole answer in memory for as long as the cache keeps one block.
            let block = Bytes::copy_from_slice(bytes.get(start..end).unwrap_or_default());
            blocks.push(match self.keep(number, block) {
                Some(block) => block,
                // Damaged on its way, or where it lies: that way repairs it or says so.
                None => self.block(number).await?,
            });
            start = end;
        }
        Ok(blocks)
    }
}
