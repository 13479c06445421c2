//! A unit of a scan: a block, or a chunk of a memtable, as entries with one key each.
//!
//! An entry is the newest version of a key at or below the scan's LSN. Tombstones are entries too: they hide what older
//! sources have.

use super::bounds;
use super::column::{self, ColumnBuilder, Rows};
use crate::layer::{Block, FormatError, Layer, Version};
use arrow::array::ArrayRef;
use bytes::Bytes;
use common::id::Lsn;
use common::key::{Key, KeyRange};
use common::service::page::{ColumnBound, Direction, PageError, ScanColumn};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// From here on all keys of the window are unfolded together, which is cheaper by the key.
const SINGLE_KEYS_MAX: usize = 16;

pub struct Unit {
    content: Content,
    /// Rows of the content, one per entry, ascending; `None`: all rows of `window`.
    selection: Option<Vec<u32>>,
    window: Range<usize>,
    /// Whether an entry may be a tombstone.
    tombstones: bool,
    /// Of all rows of the window.
    keys: OnceLock<Vec<Key>>,
    keys_asked: AtomicUsize,
    /// Entries that may meet the bounds of the scan; `None`: all.
    meeting: Option<Vec<u32>>,
    /// They do meet them.
    exact: bool,
}

/// Some entries of a unit, ascending.
#[derive(Debug, Clone)]
pub enum Entries {
    Run(Range<usize>),
    List(Vec<u32>),
}

impl Entries {
    pub fn len(&self) -> usize {
        match self {
            Entries::Run(run) => run.len(),
            Entries::List(list) => list.len(),
        }
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = usize> {
        let (run, list) = match self {
            Entries::Run(run) => (run.clone(), &[][..]),
            Entries::List(list) => (0..0, &list[..]),
        };
        run.chain(list.iter().map(|entry| *entry as usize))
    }
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
    pub fn of_rows(versions: Vec<Version>, bounds: &[ColumnBound]) -> Unit {
        let meeting = (!bounds.is_empty()).then(|| {
            let meeting = versions.iter().zip(0..).filter(|(version, _)| bounds::row_meets(version, bounds));
            meeting.map(|(_, entry)| entry).collect()
        });
        Unit {
            window: 0..versions.len(),
            tombstones: versions.iter().any(|version| version.row.is_none()),
            content: Content::Rows(versions),
            selection: None,
            keys: OnceLock::new(),
            keys_asked: AtomicUsize::new(0),
            meeting,
            exact: bounds.is_empty(),
        }
    }

    /// The entries of a block within `range` at `lsn`. All of them count in the merge; only those that may meet `bounds`
    /// are handed on.
    pub fn of_block(
        layer: Arc<Layer>,
        number: usize,
        block: Arc<Block>,
        range: &KeyRange,
        lsn: Lsn,
        bounds: &[ColumnBound],
    ) -> Result<Unit, PageError> {
        let entry = &layer.index.blocks[number];
        let start = if entry.first >= range.start { 0 } else { block.keys().lower_bound(&range.start) };
        let whole = range.end.is_empty() || entry.last < range.end;
        let end = if whole { block.rows() } else { block.keys().lower_bound(&range.end) };
        let window = start..end.max(start);
        let tombstones = !block.only_rows();
        let all = entry.single && entry.lsn_max <= lsn;
        let exact = bounds::are_decided(&entry.columns, bounds);
        let mut unit = Unit {
            content: Content::Block { block, layer, number },
            selection: None,
            window,
            tombstones,
            keys: OnceLock::new(),
            keys_asked: AtomicUsize::new(0),
            meeting: None,
            exact,
        };
        if !all {
            unit.selection = Some(unit.select(lsn));
        }
        unit.meeting = unit.entries_meeting(bounds).map_err(|what| unit.describe(what))?;
        Ok(unit)
    }

    fn entries_meeting(&self, bounds: &[ColumnBound]) -> Result<Option<Vec<u32>>, FormatError> {
        let Content::Block { block, layer, number } = &self.content else { return Ok(None) };
        if bounds.is_empty() || bounds::all_meet(&layer.index.blocks[*number].columns, bounds) {
            return Ok(None);
        }
        let Some(mut rows) = bounds::select(block, &self.window, bounds)? else { return Ok(None) };
        match &self.selection {
            Some(selection) => Ok(Some(bounds::places(selection, &rows))),
            None if rows.len() == self.window.len() => Ok(None),
            None => {
                rows.iter_mut().for_each(|row| *row -= self.window.start as u32);
                Ok(Some(rows))
            }
        }
    }

    /// The first visible version of each key; versions of a key lie newest first.
    fn select(&self, lsn: Lsn) -> Vec<u32> {
        let Content::Block { block, .. } = &self.content else { return Vec::new() };
        let (keys, lsns) = (self.row_keys(), block.lsns());
        let key = |row: usize| &keys[row - self.window.start];
        let mut selection: Vec<u32> = Vec::with_capacity(self.window.len());
        for row in self.window.clone() {
            let taken = selection.last().is_some_and(|last| key(*last as usize) == key(row));
            if lsns[row] <= lsn.0 && !taken {
                selection.push(row as u32);
            }
        }
        selection
    }

    /// Whether what [`Unit::rows_of`] gives meets the bounds: else it only may.
    pub fn is_exact(&self) -> bool {
        self.exact
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

    /// Keys of the window's rows.
    fn row_keys(&self) -> &[Key] {
        self.keys.get_or_init(|| match &self.content {
            Content::Rows(versions) => versions.iter().map(|version| version.key.clone()).collect(),
            Content::Block { block, .. } => block.keys().decode(self.window.clone()),
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
                    Some(keys) => keys[row - self.window.start].clone(),
                    None if self.keys_asked.fetch_add(1, Ordering::Relaxed) < SINGLE_KEYS_MAX => block.key(row),
                    None => self.row_keys()[row - self.window.start].clone(),
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

    /// The first of the entries `[low, high)` that are rows and may meet the bounds, seen from one side, but no more than
    /// `rows_max`; and how many entries that uses up.
    pub fn rows_of(&self, low: usize, high: usize, rows_max: usize, direction: Direction) -> (Entries, usize) {
        let forward = direction == Direction::Forward;
        if self.meeting.is_none() && !self.tombstones {
            let count = (high - low).min(rows_max);
            let run = if forward { low..low + count } else { high - count..high };
            return (Entries::Run(run), count);
        }
        let all = self.meeting.is_none().then(|| (low as u32..high as u32).collect::<Vec<u32>>());
        let mut candidates = match (&self.meeting, &all) {
            (Some(meeting), _) => {
                let before = |limit: usize| meeting.partition_point(|entry| (*entry as usize) < limit);
                &meeting[before(low)..before(high)]
            }
            (None, all) => all.as_deref().unwrap_or_default(),
        };
        let mut list = Vec::with_capacity(candidates.len().min(rows_max));
        let mut used = high - low;
        while let Some((entry, rest)) = if forward { candidates.split_first() } else { candidates.split_last() } {
            if !self.is_tombstone(*entry as usize) {
                if list.len() == rows_max {
                    let entry = *entry as usize;
                    used = if forward { entry - low } else { high - 1 - entry };
                    break;
                }
                list.push(*entry);
            }
            candidates = rest;
        }
        if !forward {
            list.reverse();
        }
        (Entries::List(list), used)
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

    /// Appends the wanted columns of some entries.
    pub fn append(&self, entries: &Entries, columns: &mut [ColumnBuilder]) -> Result<(), FormatError> {
        if let Content::Rows(versions) = &self.content {
            return column::append_rows(columns, entries.iter().map(|entry| &versions[entry]));
        }
        let append =
            |block: &Block, rows: &Rows| columns.iter_mut().try_for_each(|column| column.append_block(block, rows));
        self.in_block(entries, append).unwrap_or(Ok(()))
    }

    /// Calls `take` with the block and the rows that some entries are in it; `None` if there is no block.
    pub fn in_block<T>(&self, entries: &Entries, take: impl FnOnce(&Block, &Rows) -> T) -> Option<T> {
        let Content::Block { block, .. } = &self.content else { return None };
        let listed: Vec<u32>;
        let rows = match (entries, &self.selection) {
            (Entries::Run(run), None) => Rows::Run(self.window.start + run.start..self.window.start + run.end),
            (Entries::Run(run), Some(selection)) => Rows::List(&selection[run.clone()]),
            (Entries::List(list), None) if self.window.start == 0 => Rows::List(list),
            (Entries::List(list), _) => {
                listed = list.iter().map(|entry| self.row_of(*entry as usize) as u32).collect();
                Rows::List(&listed)
            }
        };
        Some(take(block, &rows))
    }

    /// A column of a run of entries, where it can be handed on as it lies in the block.
    pub fn shared(&self, run: &Range<usize>, wanted: &ScanColumn) -> Result<Option<ArrayRef>, FormatError> {
        match (&self.content, &self.selection) {
            (Content::Block { block, .. }, None) => {
                column::shared_strings(block, wanted, &(self.window.start + run.start..self.window.start + run.end))
            }
            _ => Ok(None),
        }
    }

    /// About what an entry takes in a batch.
    pub fn entry_bytes(&self) -> usize {
        match &self.content {
            Content::Rows(versions) => versions.last().and_then(|last| last.row.as_ref()).map_or(0, Bytes::len),
            Content::Block { block, .. } => block.memory_bytes() / block.rows(),
        }
    }

    /// Where the unit comes from, for an error message.
    pub fn describe(&self, what: FormatError) -> PageError {
        match &self.content {
            Content::Rows(_) => PageError::Corrupt(format!("a row in the memtable: {what}")),
            Content::Block { layer, number, .. } => layer.corrupt(*number, what).into(),
        }
    }
}
