//! Sources of a scan: a memtable, or a sorted run of layers. Each gives its units one after the other.

use super::ahead::{Ahead, BlockAt};
use super::unit::Unit;
use crate::layer::Layer;
use crate::layer::format::BlockEntry;
use crate::memtable::Memtable;
use crate::metrics::Metrics;
use common::id::Lsn;
use common::key::{Key, KeyRange};
use common::service::page::{ColumnBound, Direction, PageError};
use std::sync::Arc;

/// Keys copied out of a memtable at a time: few enough that the writer hardly waits.
const CHUNK_KEYS_FIRST: usize = 32;
const CHUNK_KEYS_MAX: usize = 1024;

pub struct Source {
    kind: Kind,
    /// The unit being read, with what is left of it: entries `[low, high)`.
    pub unit: Option<(Arc<Unit>, usize, usize)>,
}

enum Kind {
    Memtable {
        table: Arc<Memtable>,
        /// What is not copied yet; `None` at the end.
        rest: Option<KeyRange>,
        chunk_keys: usize,
    },
    Layers {
        layers: Vec<Arc<Layer>>,
        /// Blocks not read yet, as (layer, block), in reading order, the next one last.
        blocks: Vec<BlockAt>,
        ahead: Ahead,
    },
}

/// The next key of a source, seen in reading order: what comes next is not before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Exactly this key.
    Key(Key),
    /// Not before this key (forward), not after it (backward); known without reading anything. An empty key means that
    /// nothing is known, whatever the direction.
    Bound(Key),
    End,
}

impl Source {
    pub fn memtable(table: Arc<Memtable>, range: &KeyRange) -> Source {
        let rest = Some(range.clone());
        Source { kind: Kind::Memtable { table, rest, chunk_keys: CHUNK_KEYS_FIRST }, unit: None }
    }

    pub fn layers(layers: Vec<Arc<Layer>>, range: &KeyRange, direction: Direction) -> Source {
        let mut blocks = Vec::new();
        for (at, layer) in layers.iter().enumerate() {
            let entries = &layer.index.blocks;
            let start = entries.partition_point(|block| block.last < range.start);
            let end = if range.end.is_empty() {
                entries.len()
            } else {
                entries.partition_point(|block| block.first < range.end)
            };
            blocks.extend((start..end).map(|block| (at as u32, block as u32)));
        }
        if direction == Direction::Forward {
            blocks.reverse();
        }
        let ahead = Ahead::new(blocks.len());
        Source { kind: Kind::Layers { layers, blocks, ahead }, unit: None }
    }

    pub fn next(&self, direction: Direction) -> Next {
        if let Some((unit, low, high)) = &self.unit {
            let entry = if direction == Direction::Forward { *low } else { high - 1 };
            return Next::Key(unit.key(entry));
        }
        match &self.kind {
            Kind::Memtable { rest: None, .. } => Next::End,
            Kind::Memtable { rest: Some(rest), .. } => match direction {
                Direction::Forward => Next::Bound(rest.start.clone()),
                Direction::Backward => Next::Bound(rest.end.clone()),
            },
            Kind::Layers { layers, blocks, .. } => match blocks.last() {
                None => Next::End,
                Some((layer, block)) => {
                    let entry = &layers[*layer as usize].index.blocks[*block as usize];
                    Next::Bound(if direction == Direction::Forward { entry.first.clone() } else { entry.last.clone() })
                }
            },
        }
    }

    /// Reads the next unit that has entries, or comes to its end.
    pub async fn load(
        &mut self,
        range: &KeyRange,
        lsn: Lsn,
        direction: Direction,
        bounds: &[ColumnBound],
    ) -> Result<(), PageError> {
        let unit = match &mut self.kind {
            Kind::Memtable { table, rest, chunk_keys } => {
                let Some(wanted) = rest.clone() else { return Ok(()) };
                let mut versions = table.chunk(&wanted, lsn, direction, *chunk_keys);
                *rest = match (versions.last(), direction) {
                    (Some(last), Direction::Forward) if versions.len() == *chunk_keys => {
                        Some(KeyRange { start: successor(&last.key), end: wanted.end })
                    }
                    (Some(last), Direction::Backward) if versions.len() == *chunk_keys => {
                        // An empty end would mean "no bound"; before the empty key there is nothing.
                        (!last.key.is_empty()).then(|| KeyRange { start: wanted.start, end: last.key.clone() })
                    }
                    _ => None,
                };
                *chunk_keys = (*chunk_keys * 2).min(CHUNK_KEYS_MAX);
                if direction == Direction::Backward {
                    versions.reverse();
                }
                Unit::of_rows(versions, bounds)
            }
            Kind::Layers { layers, blocks, ahead } => {
                let Some(at) = blocks.pop() else { return Ok(()) };
                let wanted = |at: BlockAt| !bounds.iter().any(|bound| excludes(entry(layers, at), bound));
                let block = ahead.take(layers, at, blocks, wanted).await?;
                let (layer, number) = (layers[at.0 as usize].clone(), at.1 as usize);
                Unit::of_block(layer, number, block, range, lsn, bounds)?
            }
        };
        let entries = unit.entries();
        self.unit = (entries > 0).then(|| (Arc::new(unit), 0, entries));
        Ok(())
    }

    /// Passes over the next block where no row of it can meet `bounds` and no source of `older` has keys in its range,
    /// whose versions it may hide.
    pub fn skip_excluded(&mut self, bounds: &[ColumnBound], older: &[Source], metrics: &Metrics) -> bool {
        let Kind::Layers { layers, blocks, .. } = &mut self.kind else { return false };
        let (None, Some(at)) = (&self.unit, blocks.last()) else { return false };
        let entry = entry(layers, *at);
        if !bounds.iter().any(|bound| excludes(entry, bound))
            || older.iter().any(|source| source.has_keys_in(&entry.first, &entry.last))
        {
            return false;
        }
        blocks.pop();
        metrics.blocks_skipped.inc();
        true
    }

    /// The next block's index entry, where the index may stand for the block: it lies within the range, its keys have one
    /// version each, which is old enough, and no other source has keys there. `others` are in any order.
    pub fn plain_block<'s>(
        &self,
        range: &KeyRange,
        lsn: Lsn,
        mut others: impl Iterator<Item = &'s Source>,
    ) -> Option<&BlockEntry> {
        let Kind::Layers { layers, blocks, .. } = &self.kind else { return None };
        let (None, Some(at)) = (&self.unit, blocks.last()) else { return None };
        let entry = entry(layers, *at);
        let within = range.contains(&entry.first) && range.contains(&entry.last);
        let plain = within && entry.single && entry.lsn_max <= lsn;
        (plain && !others.any(|other| other.has_keys_in(&entry.first, &entry.last))).then_some(entry)
    }

    /// Leaves the next block out.
    pub fn pass_block(&mut self) {
        if let Kind::Layers { blocks, .. } = &mut self.kind {
            blocks.pop();
        }
    }

    /// Whether it may have keys from `first` to `last`, both included, that were not passed yet.
    fn has_keys_in(&self, first: &Key, last: &Key) -> bool {
        if self.unit.as_ref().is_some_and(|(unit, low, high)| {
            let at = unit.lower_bound(first, *low, *high);
            at < *high && unit.key(at) <= *last
        }) {
            return true;
        }
        match &self.kind {
            Kind::Memtable { table, rest, .. } => rest.as_ref().is_some_and(|rest| {
                let part = rest.intersection(&KeyRange { start: first.clone(), end: successor(last) });
                table.has_keys_in(&part)
            }),
            Kind::Layers { layers, blocks, .. } => {
                // Blocks lie in reading order; keys ascend along them or against them.
                let entry = |at: &BlockAt| entry(layers, *at);
                let ascending =
                    blocks.first().zip(blocks.last()).is_some_and(|(a, b)| entry(a).first <= entry(b).first);
                let at = if ascending {
                    blocks.partition_point(|block| entry(block).last < *first)
                } else {
                    blocks.partition_point(|block| entry(block).first > *last)
                };
                blocks.get(at).is_some_and(|block| entry(block).first <= *last && entry(block).last >= *first)
            }
        }
    }
}

fn entry(layers: &[Arc<Layer>], at: BlockAt) -> &BlockEntry {
    &layers[at.0 as usize].index.blocks[at.1 as usize]
}

/// Whether no row of a block can meet `bound`.
fn excludes(entry: &BlockEntry, bound: &ColumnBound) -> bool {
    let mut of_column = entry.columns.iter().filter(|column| column.column == bound.column).peekable();
    // A column that the block does not know at all reads as its default.
    of_column.peek().is_some() && of_column.all(|column| column.excludes(bound))
}

/// The key right after `key`.
fn successor(key: &Key) -> Key {
    let mut next = Vec::with_capacity(key.len() + 1);
    next.extend_from_slice(key);
    next.push(0);
    next.into()
}
