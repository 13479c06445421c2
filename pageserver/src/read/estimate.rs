//! Rough figures for the planner, from memory alone: block indexes, and the sizes of memtables.

use crate::tablet::Snapshot;
use common::id::Lsn;
use common::key::KeyRange;
use common::service::page::{Direction, RangeEstimate};

/// Keys of a memtable that are counted one by one; beyond, its share is guessed.
const MEMTABLE_KEYS_COUNTED: usize = 1000;

/// Versions of a key in several layers are counted several times, and tombstones once more against them.
pub fn estimate(snapshot: &Snapshot, range: &KeyRange) -> RangeEstimate {
    let mut estimate = in_memtables(snapshot, range);
    let layers = in_layers(snapshot, range);
    estimate.rows += layers.rows.saturating_sub(layers.tombstones);
    estimate.bytes += layers.bytes;
    estimate
}

#[derive(Debug, Clone, Copy, Default)]
pub struct InLayers {
    /// Versions that are rows; a key counts once for each.
    pub rows: u64,
    pub tombstones: u64,
    pub bytes: u64,
}

pub fn in_layers(snapshot: &Snapshot, range: &KeyRange) -> InLayers {
    let mut found = InLayers::default();
    for layer in snapshot.layers.iter().filter(|layer| layer.meta.overlaps_range(range)) {
        for block in &layer.index.blocks {
            if block.last < range.start || (!range.end.is_empty() && block.first >= range.end) {
                continue;
            }
            let whole = block.first >= range.start && (range.end.is_empty() || block.last < range.end);
            // Of a block at the edge of the range, half.
            let share = if whole { 1 } else { 2 };
            found.rows += u64::from(block.rows - block.tombstones.min(block.rows)) / share;
            found.tombstones += u64::from(block.tombstones) / share;
            found.bytes += u64::from(block.length) / share;
        }
    }
    found
}

pub fn in_memtables(snapshot: &Snapshot, range: &KeyRange) -> RangeEstimate {
    let mut estimate = RangeEstimate::default();
    let tables = std::iter::once(&snapshot.active).chain(snapshot.frozen.iter().map(|frozen| &frozen.table));
    for table in tables.filter(|table| !table.is_empty()) {
        let counted = table.chunk(range, Lsn::MAX, Direction::Forward, MEMTABLE_KEYS_COUNTED);
        let rows = counted.iter().filter(|version| version.row.is_some());
        let (mut count, mut bytes) = (0, 0);
        for version in rows {
            count += 1;
            bytes += (version.key.len() + version.row.as_ref().map_or(0, |row| row.len())) as u64;
        }
        if counted.len() == MEMTABLE_KEYS_COUNTED {
            // More than were counted: assume half of the table.
            let versions = (table.versions() as u64 / 2).max(count);
            bytes = bytes * versions / count.max(1);
            count = versions;
        }
        estimate.rows += count;
        estimate.bytes += bytes;
    }
    estimate
}
