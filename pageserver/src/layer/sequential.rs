//! A layer from end to end: for compaction and for whoever checks it. Few large requests, the next one under way while
//! the blocks of the last are worked on. Nothing of it goes through the cache.

use super::reader::{Layer, ReadError};
use bytes::Bytes;
use common::key::KeyRange;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use tokio_util::task::AbortOnDropHandle;

pub struct Sequential {
    layer: Arc<Layer>,
    /// Blocks that have not been asked for.
    rest: Range<usize>,
    window_bytes: u64,
    ready: VecDeque<(usize, Bytes)>,
    coming: Option<AbortOnDropHandle<Result<Vec<(usize, Bytes)>, ReadError>>>,
}

impl Sequential {
    /// The blocks that have keys of `range`, in order. `window_bytes`: of a request, about; two such windows are in memory
    /// at a time.
    pub fn new(layer: Arc<Layer>, range: &KeyRange, window_bytes: u64) -> Sequential {
        let blocks = &layer.index.blocks;
        let start = blocks.partition_point(|block| block.last < range.start);
        let end = match range.end.is_empty() {
            true => blocks.len(),
            false => blocks.partition_point(|block| block.first < range.end),
        };
        Sequential { rest: start..end.max(start), layer, window_bytes, ready: VecDeque::new(), coming: None }
    }

    pub fn layer(&self) -> &Arc<Layer> {
        &self.layer
    }

    /// The next block, as it lies in the object. After an error the blocks that were asked for together are skipped.
    pub async fn next(&mut self) -> Result<Option<(usize, Bytes)>, ReadError> {
        if self.ready.is_empty() {
            if self.coming.is_none() {
                self.ask();
            }
            let Some(coming) = self.coming.take() else { return Ok(None) };
            let outcome = coming.await;
            self.ask();
            match outcome.map_err(|error| error.try_into_panic()) {
                Ok(blocks) => self.ready.extend(blocks?),
                Err(Ok(panic)) => std::panic::resume_unwind(panic),
                // Only a runtime that ends stops it, and then nothing goes on here.
                Err(Err(_)) => std::future::pending().await,
            }
        }
        Ok(self.ready.pop_front())
    }

    /// Sends for the next window.
    fn ask(&mut self) {
        let (start, mut end, mut bytes) = (self.rest.start, self.rest.start, 0);
        while end < self.rest.end && (end == start || bytes < self.window_bytes) {
            bytes += u64::from(self.layer.index.blocks[end].length);
            end += 1;
        }
        self.rest.start = end;
        if start < end {
            let layer = self.layer.clone();
            let window = async move { layer.bytes_apart(start..end).await };
            self.coming = Some(AbortOnDropHandle::new(tokio::spawn(window)));
        }
    }
}

impl Layer {
    /// The bytes of each of these blocks. A slice of the answer each: it lives until all of them are worked on.
    async fn bytes_apart(&self, numbers: Range<usize>) -> Result<Vec<(usize, Bytes)>, ReadError> {
        let bytes = self.bytes_of(numbers.clone()).await?;
        let mut start = 0;
        let blocks = numbers.map(|number| {
            let end = start + self.index.blocks[number].length as usize;
            let block = bytes.slice(start.min(bytes.len())..end.min(bytes.len()));
            start = end;
            (number, block)
        });
        Ok(blocks.collect())
    }
}
