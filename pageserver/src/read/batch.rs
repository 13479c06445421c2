//! Collects entries of units into batches of the form that the scan asked for.

use super::unit::Unit;
use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Field, Schema, SchemaRef};
use common::service::page::{Direction, PageError, ScanBatch, ScanColumn, ScanOutput, ScannedRow};
use std::ops::Range;
use std::sync::Arc;

/// From this many entries per piece on, copying slices beats picking single values.
const SLICE_ENTRIES_MIN: usize = 16;

pub struct BatchBuilder {
    output: ScanOutput,
    schema: SchemaRef,
    direction: Direction,
    pieces: Vec<Piece>,
    rows: usize,
}

/// Entries of a unit, ascending; a backward scan hands them on in reverse.
struct Piece {
    unit: Arc<Unit>,
    entries: Entries,
}

enum Entries {
    Run(Range<usize>),
    List(Vec<u32>),
}

impl Entries {
    fn len(&self) -> usize {
        match self {
            Entries::Run(range) => range.len(),
            Entries::List(list) => list.len(),
        }
    }

    fn in_order(&self, direction: Direction) -> Box<dyn Iterator<Item = usize> + '_> {
        match (self, direction) {
            (Entries::Run(range), Direction::Forward) => Box::new(range.clone()),
            (Entries::Run(range), Direction::Backward) => Box::new(range.clone().rev()),
            (Entries::List(list), Direction::Forward) => Box::new(list.iter().map(|entry| *entry as usize)),
            (Entries::List(list), Direction::Backward) => Box::new(list.iter().rev().map(|entry| *entry as usize)),
        }
    }
}

impl BatchBuilder {
    pub fn new(output: ScanOutput, direction: Direction) -> BatchBuilder {
        let columns = if let ScanOutput::Columns(columns) = &output { &columns[..] } else { &[] };
        let field = |column: &ScanColumn| Field::new(column.column.to_string(), column.physical.arrow(), true);
        let schema = Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()));
        BatchBuilder { output, schema, direction, pieces: Vec::new(), rows: 0 }
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Takes entries `[low, high)` of a unit without the tombstones, but no more than `rows_max` rows, from the side
    /// that is read first. Returns how many entries were used up.
    pub fn push(&mut self, unit: &Arc<Unit>, low: usize, high: usize, rows_max: usize) -> usize {
        if unit.is_plain() {
            let count = (high - low).min(rows_max);
            let run = match self.direction {
                Direction::Forward => low..low + count,
                Direction::Backward => high - count..high,
            };
            self.add(unit, Entries::Run(run));
            return count;
        }
        let mut list = Vec::new();
        let mut used = 0;
        while used < high - low && list.len() < rows_max {
            let entry = if self.direction == Direction::Forward { low + used } else { high - 1 - used };
            if !unit.is_tombstone(entry) {
                list.push(entry as u32);
            }
            used += 1;
        }
        if self.direction == Direction::Backward {
            list.reverse();
        }
        self.add(unit, Entries::List(list));
        used
    }

    fn add(&mut self, unit: &Arc<Unit>, entries: Entries) {
        self.rows += entries.len();
        if entries.len() == 0 {
            return;
        }
        // Single entries of one unit that follow each other grow one list.
        if let Some(last) = self.pieces.last_mut()
            && Arc::ptr_eq(&last.unit, unit)
            && self.direction == Direction::Forward
        {
            match (&mut last.entries, &entries) {
                (Entries::Run(run), Entries::Run(more)) if run.end == more.start => {
                    run.end = more.end;
                    return;
                }
                (Entries::List(list), Entries::List(more)) => {
                    list.extend(more);
                    return;
                }
                _ => {}
            }
        }
        self.pieces.push(Piece { unit: unit.clone(), entries });
    }

    /// The batch collected so far; the builder is empty afterwards.
    pub fn finish(&mut self) -> Result<ScanBatch, PageError> {
        let pieces = std::mem::take(&mut self.pieces);
        let rows = std::mem::take(&mut self.rows);
        let columns = match &self.output {
            ScanOutput::Columns(columns) => columns,
            ScanOutput::Keys => return self.scanned_rows(&pieces, rows, false),
            ScanOutput::Rows => return self.scanned_rows(&pieces, rows, true),
        };
        let arrays = if columns.is_empty() { Vec::new() } else { self.columns(columns, &pieces)? };
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options);
        // The arrays come from this crate's own decoders: a wrong type or length is a bug there, not in the data.
        Ok(ScanBatch::Columns(batch.expect("arrays fit the schema they were made for")))
    }

    fn scanned_rows(&self, pieces: &[Piece], rows: usize, with_rows: bool) -> Result<ScanBatch, PageError> {
        let mut out = Vec::with_capacity(rows);
        for piece in pieces {
            for entry in piece.entries.in_order(self.direction) {
                let row = if with_rows { piece.unit.row(entry) } else { Ok(Default::default()) };
                let row = row.map_err(|what| piece.unit.describe(what))?;
                out.push(ScannedRow { key: piece.unit.key(entry), lsn: piece.unit.lsn(entry), row });
            }
        }
        Ok(ScanBatch::Rows(out))
    }

    fn columns(&self, columns: &[ScanColumn], pieces: &[Piece]) -> Result<Vec<ArrayRef>, PageError> {
        let mut decoded: Vec<&[ArrayRef]> = Vec::with_capacity(pieces.len());
        for piece in pieces {
            decoded.push(piece.unit.arrays(columns).map_err(|what| piece.unit.describe(what))?);
        }
        let rows: usize = pieces.iter().map(|piece| piece.entries.len()).sum();
        let runs = pieces.iter().all(|piece| matches!(piece.entries, Entries::Run(_)));
        let long_runs = runs && self.direction == Direction::Forward && rows >= pieces.len() * SLICE_ENTRIES_MIN;
        let mut out = Vec::with_capacity(columns.len());
        for at in 0..columns.len() {
            let array = if long_runs { concatenated(pieces, &decoded, at) } else { self.picked(pieces, &decoded, at) };
            out.push(array.map_err(|error| PageError::BadRequest(format!("ask for smaller batches: {error}")))?);
        }
        Ok(out)
    }

    /// Every value by its place: for scattered entries.
    fn picked(&self, pieces: &[Piece], decoded: &[&[ArrayRef]], at: usize) -> arrow::error::Result<ArrayRef> {
        // Pieces of one unit share its array.
        let mut arrays: Vec<&dyn arrow::array::Array> = Vec::new();
        let mut units: Vec<*const Unit> = Vec::new();
        let mut places = Vec::new();
        for (piece, columns) in pieces.iter().zip(decoded) {
            let unit = Arc::as_ptr(&piece.unit);
            let array = units.iter().rposition(|known| *known == unit).unwrap_or_else(|| {
                units.push(unit);
                arrays.push(&columns[at]);
                arrays.len() - 1
            });
            places.extend(piece.entries.in_order(self.direction).map(|entry| (array, entry)));
        }
        arrow::compute::interleave(&arrays, &places)
    }
}

fn concatenated(pieces: &[Piece], decoded: &[&[ArrayRef]], at: usize) -> arrow::error::Result<ArrayRef> {
    let slices: Vec<ArrayRef> = pieces
        .iter()
        .zip(decoded)
        .filter_map(|(piece, columns)| match &piece.entries {
            Entries::Run(run) => Some(columns[at].slice(run.start, run.len())),
            Entries::List(_) => None,
        })
        .collect();
    match &slices[..] {
        [only] => Ok(only.clone()),
        many => arrow::compute::concat(&many.iter().map(|slice| &**slice).collect::<Vec<_>>()),
    }
}
