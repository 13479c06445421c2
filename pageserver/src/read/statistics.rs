//! What the planner may know of an index without reading it: sketches and figures of its layers, put together.
//!
//! From memory alone. Layers that share rows (older versions, a tablet's split) are put together such that a row counts
//! once, as far as sketches can tell; memtables count in the number of rows alone.

use super::estimate;
use crate::layer::Layer;
use crate::layer::sketch::{DistinctBuilder, IndexSketch, SampledRow};
use crate::tablet::Snapshot;
use common::id::ColumnId;
use common::key::{KEY_PREFIX_BYTES, KeyRange};
use common::physical::{PhysicalType, PhysicalValue};
use common::service::page::{ColumnFigures, IndexFigures};
use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Rows of the sample whose values are looked at.
const SAMPLE_ROWS_MAX: usize = 4096;
/// Parts of equal size that quantiles divide a column into, at most.
const QUANTILE_PARTS: usize = 64;
/// Values for each part, at least: fewer say nothing.
const VALUES_PER_PART: usize = 4;

/// `range` is in one index: figures of all of the index, but the number of rows.
pub fn figures(parts: &[(Arc<Snapshot>, Vec<KeyRange>)], range: &KeyRange) -> IndexFigures {
    let mut figures = IndexFigures::default();
    let mut versions_in_range = 0;
    // Tablets that came of a split share layers.
    let mut layers: HashMap<_, &Arc<Layer>> = HashMap::new();
    for (snapshot, ranges) in parts {
        for range in ranges {
            let (memtables, layers) = (estimate::in_memtables(snapshot, range), estimate::in_layers(snapshot, range));
            versions_in_range += layers.rows;
            figures.rows += memtables.rows;
            figures.bytes += memtables.bytes + layers.bytes;
        }
        let overlapping = snapshot.layers.iter().filter(|layer| layer.meta.overlaps_range(range));
        layers.extend(overlapping.map(|layer| (layer.meta.id(), layer)));
    }
    let prefix = &range.start[..range.start.len().min(KEY_PREFIX_BYTES)];
    let sketches: Vec<&IndexSketch> = layers.values().filter_map(|layer| layer.index.sketch_of(prefix)).collect();
    let sample = sample(&sketches);
    let mut columns: BTreeMap<ColumnId, Column> = BTreeMap::new();
    for sketch in &sketches {
        for (column, distinct) in &sketch.columns {
            columns.entry(*column).or_default().distinct.merge(distinct);
        }
    }
    let mut stored_rows = 0;
    // Of an older format, without sketches.
    let mut silent_layers = false;
    for layer in layers.values() {
        silent_layers |= layer.index.sketches.is_empty();
        for block in layer.index.blocks_of(prefix) {
            stored_rows += u64::from(block.rows.saturating_sub(block.tombstones));
            for statistics in &block.columns {
                let column = columns.entry(statistics.column).or_default();
                column.nulls += u64::from(statistics.nulls);
                column.widen(statistics.physical, &statistics.min, &statistics.max);
            }
        }
    }
    figures.rows += match rows_in_layers(&sketches, sample.len()) {
        // Of the index's rows, the range has the part that it has of the versions.
        Some(rows) if !silent_layers && stored_rows > 0 => {
            (rows * versions_in_range as f64 / stored_rows as f64).round() as u64
        }
        _ => versions_in_range,
    };
    // Layers may hold several versions of a row, and memtables rows that no layer has.
    let scale = if stored_rows == 0 { 0.0 } else { figures.rows as f64 / stored_rows as f64 };
    let finish = |(id, column): (ColumnId, Column)| column.finish(id, figures.rows, scale, &sample);
    figures.columns = columns.into_iter().map(finish).collect();
    figures
}

/// Rows that are neither hidden by a newer version nor deleted: of all keys of all layers, the part that the sample of
/// them together, `visible` rows, has of the samples one by one. With a sample of n keys of which a part p is visible, the
/// standard error is sqrt((1 - p) / (p n)): none where nothing hides anything. `None` where there is no
/// sample.
fn rows_in_layers(sketches: &[&IndexSketch], visible: usize) -> Option<f64> {
    let below = below(sketches);
    let samples = sketches.iter().flat_map(|sketch| &sketch.sample.rows).filter(|row| row.hash < below).count();
    let keys: f64 = sketches.iter().map(|sketch| sketch.sample.keys as f64).sum();
    (samples > 0).then(|| keys * visible as f64 / samples as f64)
}

/// The limit that all samples share.
fn below(sketches: &[&IndexSketch]) -> u64 {
    sketches.iter().map(|sketch| sketch.sample.below).min().unwrap_or(0)
}

/// The rows below the limit that all samples share, each once, without those that are deleted.
fn sample<'a>(sketches: &[&'a IndexSketch]) -> Vec<&'a [Option<PhysicalValue>]> {
    let below = below(sketches);
    let mut newest: BTreeMap<u64, &SampledRow> = BTreeMap::new();
    for row in sketches.iter().flat_map(|sketch| &sketch.sample.rows).filter(|row| row.hash < below) {
        newest
            .entry(row.hash)
            .and_modify(|known| *known = if row.lsn > known.lsn { row } else { known })
            .or_insert(row);
    }
    newest.values().filter_map(|row| row.values.as_deref()).collect()
}

#[derive(Default)]
struct Column {
    distinct: DistinctBuilder,
    nulls: u64,
    physical: Option<PhysicalType>,
    min: Option<PhysicalValue>,
    max: Option<PhysicalValue>,
    /// A block did not say, or the column has several types.
    unknown: bool,
}

impl Column {
    fn widen(&mut self, physical: PhysicalType, min: &Option<PhysicalValue>, max: &Option<PhysicalValue>) {
        self.unknown |= *self.physical.get_or_insert(physical) != physical;
        let (Some(min), Some(max)) = (min, max) else {
            self.unknown = true;
            return;
        };
        if self.min.as_ref().is_none_or(|known| min.compare(known) == Some(Ordering::Less)) {
            self.min = Some(min.clone());
        }
        if self.max.as_ref().is_none_or(|known| max.compare(known) == Some(Ordering::Greater)) {
            self.max = Some(max.clone());
        }
    }

    fn finish(self, id: ColumnId, rows: u64, scale: f64, sample: &[&[Option<PhysicalValue>]]) -> ColumnFigures {
        let of_row = |row: &&[Option<PhysicalValue>]| row.get(usize::from(id.0)).cloned().flatten();
        let mut values: Vec<PhysicalValue> = sample.iter().take(SAMPLE_ROWS_MAX).filter_map(of_row).collect();
        values.retain(|value| value.physical_type() == self.physical && value.compare(value).is_some());
        values.sort_by(|a, b| a.compare(b).unwrap_or(Ordering::Equal));
        let parts = (values.len() / VALUES_PER_PART).min(QUANTILE_PARTS);
        let quantiles = match (parts, self.unknown) {
            (0 | 1, _) | (_, true) => Vec::new(),
            (parts, false) => (0..=parts).map(|part| values[part * (values.len() - 1) / parts].clone()).collect(),
        };
        let limits = if self.unknown { (None, None) } else { (self.min, self.max) };
        ColumnFigures {
            column: id,
            distinct: self.distinct.finish().count().min(rows),
            nulls: ((self.nulls as f64 * scale) as u64).min(rows),
            min: limits.0,
            max: limits.1,
            quantiles,
        }
    }
}
