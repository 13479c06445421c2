//! A unit of a scan: a block, or a chunk of a memtable, as entries with one key each.
//!
//! An entry is the newest version of a key at or below the scan's LSN. Tombstones are entries too: they hide what older
//! sources have.

use super::column;
use crate::layer::{Block, FormatError, Layer, Version};
use arrow::array::ArrayRef;
use bytes::Bytes;
use common::id::Lsn;
use common::key::{Key, KeyRange};
use common::service::page::ScanColumn;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// From here on all keys of a block are unfolded together, which is cheaper by the key.
const SINGLE_KEYS_MAX: usize = 64;

pub struct Unit {
    content: Content,
    /// Rows of the content, one per entry, ascending; `None`: all rows of `window`.
    selection: Option<Vec<u32>>,
    window: Range<usize>,
    /// Whether an entry may be a tombstone.
    tombstones: bool,
    keys: OnceLock<Vec<Key>>,
    keys_asked: AtomicUsize,
    arrays: OnceLock<Vec<ArrayRef>>,
}

enum Content {
    /// In key order, one version per key.
    Rows(Vec<Version>),
    Block {
        block: Arc<Block>,
        layer: Arc<Layer>,
        number: usize,
    },
}

impl Unit {
    /// `versions` ascend by key.
    pub fn of_rows(versions: Vec<Version>) -> Unit {
        Unit {
            window: 0..versions.len(),
            tombstones: versions.iter().any(|version| version.row.is_none()),
            content: Content::Rows(versions),
            selection: None,
            keys: OnceLock::new(),
            keys_asked: AtomicUsize::new(0),
            arrays: OnceLock::new(),
        }
    }

    /// The entries of a block within `range` at `lsn`.
    pub fn of_block(layer: Arc<Layer>, number: usize, block: Arc<Block>, range: &KeyRange, lsn: Lsn) -> Unit {
        let entry = &layer.index.blocks[number];
        let start = if entry.first >= range.start { 0 } else { block.keys().lower_bound(&range.start) };
        let whole = range.end.is_empty() || entry.last < range.end;
        let end = if whole { block.rows() } else { block.keys().lower_bound(&range.end) };
        let window = start..end.max(start);
        let tombstones = !block.only_rows();
        let all = entry.single && entry.lsn_max <= lsn;
        let mut unit = Unit {
            content: Content::Block { block, layer, number },
            selection: None,
            window,
            tombstones,
            keys: OnceLock::new(),
            keys_asked: AtomicUsize::new(0),
            arrays: OnceLock::new(),
        };
        if !all {
            unit.selection = Some(unit.select(lsn));
        }
        unit
    }

    /// The first visible version of each key; versions of a key lie newest first.
    fn select(&self, lsn: Lsn) -> Vec<u32> {
        let Content::Block { block, .. } = &self.content else { return Vec::new() };
        let (keys, lsns) = (self.row_keys(), block.lsns());
        let mut selection: Vec<u32> = Vec::with_capacity(self.window.len());
        for row in self.window.clone() {
            let taken = selection.last().is_some_and(|last| keys[*last as usize] == keys[row]);
            if lsns[row] <= lsn.0 && !taken {
                selection.push(row as u32);
            }
        }
        selection
    }

    pub fn entries(&self) -> usize {
        self.selection.as_ref().map_or(self.window.len(), Vec::len)
    }

    fn row_of(&self, entry: usize) -> usize {
        match &self.selection {
            Some(selection) => selection[entry] as usize,
            None => self.window.start + entry,
        }
    }

    fn row_keys(&self) -> &[Key] {
        self.keys.get_or_init(|| match &self.content {
            Content::Rows(versions) => versions.iter().map(|version| version.key.clone()).collect(),
            Content::Block { block, .. } => block.keys().decode(),
        })
    }

    pub fn key(&self, entry: usize) -> Key {
        let row = self.row_of(entry);
        match &self.content {
            Content::Rows(versions) => versions[row].key.clone(),
            Content::Block { block, layer, number } => match row {
                // First and last keys are asked for every block; they are in the index.
                0 => layer.index.blocks[*number].first.clone(),
                row if row + 1 == block.rows() => layer.index.blocks[*number].last.clone(),
                row => match self.keys.get() {
                    Some(keys) => keys[row].clone(),
                    None if self.keys_asked.fetch_add(1, Ordering::Relaxed) < SINGLE_KEYS_MAX => block.key(row),
                    None => self.row_keys()[row].clone(),
                },
            },
        }
    }

    /// How many entries have keys less than `key`, of which it is known that `[0, low)` do and `[high, ..)` do not.
    pub fn lower_bound(&self, key: &[u8], low: usize, high: usize) -> usize {
        if let (Content::Block { block, .. }, None, None) = (&self.content, &self.selection, self.keys.get()) {
            // Searching the encoded keys saves unfolding them.
            let row = block.keys().lower_bound(key);
            return row.saturating_sub(self.window.start).clamp(low, high);
        }
        let (mut low, mut high) = (low, high);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.key(middle) < key { low = middle + 1 } else { high = middle }
        }
        low
    }

    /// As [`Unit::lower_bound`], for a key that is probably near `low`: in interleaved sources runs are short.
    pub fn lower_bound_near_low(&self, key: &[u8], low: usize, high: usize) -> usize {
        if high == 0 || self.key(high - 1) < key {
            return high;
        }
        let (mut from, mut step) = (low, 1);
        while from + step < high && self.key(from + step) < key {
            from += step;
            step *= 2;
        }
        self.lower_bound(key, from, (from + step + 1).min(high))
    }

    /// As [`Unit::lower_bound`], for a key that is probably near `high`.
    pub fn lower_bound_near_high(&self, key: &[u8], low: usize, high: usize) -> usize {
        if low == high || self.key(low) >= key {
            return low;
        }
        let (mut to, mut step) = (high, 1);
        while to > low + step && self.key(to - step) >= key {
            to -= step;
            step *= 2;
        }
        self.lower_bound(key, to.saturating_sub(step).max(low), to)
    }

    /// True where entries are rows without exception, so that a run of entries is a slice.
    pub fn is_plain(&self) -> bool {
        self.selection.is_none() && !self.tombstones
    }

    pub fn is_tombstone(&self, entry: usize) -> bool {
        self.tombstones
            && match &self.content {
                Content::Rows(versions) => versions[self.row_of(entry)].row.is_none(),
                Content::Block { block, .. } => block.is_tombstone(self.row_of(entry)),
            }
    }

    pub fn lsn(&self, entry: usize) -> Lsn {
        match &self.content {
            Content::Rows(versions) => versions[self.row_of(entry)].lsn,
            Content::Block { block, .. } => block.lsn(self.row_of(entry)),
        }
    }

    /// The stored row; empty for a tombstone.
    pub fn row(&self, entry: usize) -> Result<Bytes, FormatError> {
        match &self.content {
            Content::Rows(versions) => Ok(versions[self.row_of(entry)].row.clone().unwrap_or_default()),
            Content::Block { block, .. } => Ok(block.row(self.row_of(entry))?.unwrap_or_default()),
        }
    }

    /// One array per wanted column, with a value for each entry; those of tombstones mean nothing. Decoded once.
    pub fn arrays(&self, columns: &[ScanColumn]) -> Result<&[ArrayRef], FormatError> {
        if let Some(arrays) = self.arrays.get() {
            return Ok(arrays);
        }
        let arrays = match &self.content {
            Content::Rows(versions) => column::of_rows(versions, columns)?,
            Content::Block { block, .. } => {
                let whole = columns.iter().map(|column| column::of_block(block, column));
                let whole = whole.collect::<Result<Vec<ArrayRef>, FormatError>>()?;
                match &self.selection {
                    None => whole.iter().map(|array| array.slice(self.window.start, self.window.len())).collect(),
                    Some(selection) => column::select(&whole, selection)?,
                }
            }
        };
        Ok(self.arrays.get_or_init(|| arrays))
    }

    /// Where the unit comes from, for an error message.
    pub fn describe(&self, what: FormatError) -> common::service::page::PageError {
        match &self.content {
            Content::Rows(_) => common::service::page::PageError::Corrupt(format!("a row in the memtable: {what}")),
            Content::Block { layer, number, .. } => layer.corrupt(*number, what).into(),
        }
    }
}
