//! Blocks that a scan will need, on their way from the store while it works on those before.
//!
//! Nothing is fetched ahead as long as all is in memory. From the first block on that is not, neighbours come together
//! in one ranged request, which grows from request to request, and the next request is under way while the blocks of
//! the last are read. So a scan of ten rows reads a block or two, and a long one is not held up by latency.

use crate::layer::reader::ReadError;
use crate::layer::{Block, Layer};
use common::service::page::PageError;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio_util::task::AbortOnDropHandle;

/// What the first request ahead asks for, about.
const WINDOW_BYTES_MIN: u64 = 512 << 10;
/// Time to the first byte is what a request to an object store costs most; from here on it is a small part.
const WINDOW_BYTES_MAX: u64 = 4 << 20;
const FETCHES_MAX: usize = 2;

/// A block of a run of layers: which layer, which block.
pub type BlockAt = (u32, u32);

#[derive(Default)]
pub struct Ahead {
    /// Zero until a block was not in memory.
    window_bytes: u64,
    fetches: VecDeque<Fetch>,
    /// How many of the blocks at the far end have not been planned for.
    unplanned: usize,
}

struct Fetch {
    /// In reading order.
    blocks: VecDeque<BlockAt>,
    state: FetchState,
}

enum FetchState {
    Running(AbortOnDropHandle<Result<Vec<Arc<Block>>, ReadError>>),
    /// As many as `Fetch::blocks`.
    Done(VecDeque<Arc<Block>>),
}

impl Ahead {
    pub fn new(blocks: usize) -> Ahead {
        Ahead { unplanned: blocks, ..Ahead::default() }
    }

    /// The block `at`, which is the next one. `rest` are those after it, the next one last; `wanted` says which of them
    /// will be read, as far as that is known.
    pub async fn take(
        &mut self,
        layers: &[Arc<Layer>],
        at: BlockAt,
        rest: &[BlockAt],
        wanted: impl Fn(BlockAt) -> bool,
    ) -> Result<Arc<Block>, PageError> {
        let (layer, number) = (&layers[at.0 as usize], at.1 as usize);
        self.unplanned = self.unplanned.min(rest.len());
        let fetched = self.fetched(at).await?;
        let block = fetched.or_else(|| layer.block_in_memory(number));
        if self.window_bytes > 0 {
            self.plan(layers, rest, &wanted);
        }
        if let Some(block) = block {
            return Ok(block);
        }
        // By itself, so that reading goes on as soon as can be. What follows is planned for when it is asked for.
        self.window_bytes = self.window_bytes.max(WINDOW_BYTES_MIN);
        Ok(layer.block(number).await?)
    }

    /// The block, if it is on its way. What was to come before it is not wanted any more.
    async fn fetched(&mut self, at: BlockAt) -> Result<Option<Arc<Block>>, PageError> {
        if !self.fetches.iter().any(|fetch| fetch.blocks.contains(&at)) {
            return Ok(None);
        }
        while let Some(fetch) = self.fetches.front_mut() {
            if !fetch.blocks.contains(&at) {
                self.fetches.pop_front();
                continue;
            }
            if let FetchState::Running(task) = &mut fetch.state {
                let blocks = task.await.map_err(|error| PageError::Unavailable(format!("read ahead: {error}")))??;
                fetch.state = FetchState::Done(blocks.into());
            }
            let FetchState::Done(blocks) = &mut fetch.state else { return Ok(None) };
            while let (Some(next), Some(block)) = (fetch.blocks.pop_front(), blocks.pop_front()) {
                if next == at {
                    return Ok(Some(block));
                }
            }
        }
        Ok(None)
    }

    /// Starts fetches for the blocks after those that are planned for.
    fn plan(&mut self, layers: &[Arc<Layer>], rest: &[BlockAt], wanted: &impl Fn(BlockAt) -> bool) {
        self.fetches.retain(|fetch| !fetch.blocks.is_empty());
        while self.fetches.len() < FETCHES_MAX {
            let mut run: VecDeque<BlockAt> = VecDeque::new();
            let mut bytes = 0;
            while let Some(at) = self.unplanned.checked_sub(1).map(|next| rest[next]) {
                let layer = &layers[at.0 as usize];
                let neighbour = run.back().is_none_or(|last| last.0 == at.0 && last.1.abs_diff(at.1) == 1);
                if bytes >= self.window_bytes || !neighbour {
                    break;
                }
                self.unplanned -= 1;
                if wanted(at) && !layer.is_in_memory(at.1 as usize) {
                    bytes += u64::from(layer.index.blocks[at.1 as usize].length);
                    run.push_back(at);
                } else if !run.is_empty() {
                    break;
                }
            }
            let (Some(first), Some(last)) = (run.front().copied(), run.back().copied()) else { return };
            let numbers = first.1.min(last.1) as usize..first.1.max(last.1) as usize + 1;
            let (layer, backward) = (layers[first.0 as usize].clone(), first.1 > last.1);
            let task = tokio::spawn(async move {
                let mut blocks = layer.fetch(numbers).await?;
                if backward {
                    blocks.reverse();
                }
                Ok(blocks)
            });
            self.fetches.push_back(Fetch { blocks: run, state: FetchState::Running(AbortOnDropHandle::new(task)) });
            self.window_bytes = (self.window_bytes * 2).min(WINDOW_BYTES_MAX);
        }
    }
}
