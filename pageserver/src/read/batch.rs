//! Collects entries of units into batches of the form that the scan asked for.

use super::column::ColumnBuilder;
use super::unit::{Entries, Unit};
use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::datatypes::{Field, Schema, SchemaRef};
use common::service::page::{Direction, PageError, ScanBatch, ScanColumn, ScanOutput, ScannedRow};
use std::sync::Arc;

/// Where sources alternate after fewer entries than this, each unit is decoded in one go, and single values are picked
/// out of that.
const TURN_ENTRIES_MIN: usize = 16;
/// A source that comes back is looked for among the last so many pieces.
const TURN_PIECES: usize = 8;
/// What a batch may take in memory, about; rows can be long.
const BATCH_BYTES_MAX: usize = 32 << 20;

pub struct BatchBuilder {
    output: ScanOutput,
    schema: SchemaRef,
    direction: Direction,
    pieces: Vec<Piece>,
    rows: usize,
    bytes: usize,
    /// Pieces of a unit that had one before, with others between.
    turns: usize,
}

/// Entries of a unit, ascending; a backward scan hands them on in reverse.
pub struct Piece {
    pub unit: Arc<Unit>,
    pub entries: Entries,
}

impl BatchBuilder {
    pub fn new(output: ScanOutput, direction: Direction) -> BatchBuilder {
        let columns = if let ScanOutput::Columns(columns) = &output { &columns[..] } else { &[] };
        let field = |column: &ScanColumn| Field::new(column.column.to_string(), column.physical.arrow(), true);
        let schema = Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()));
        BatchBuilder { output, schema, direction, pieces: Vec::new(), rows: 0, bytes: 0, turns: 0 }
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    pub fn is_full(&self) -> bool {
        self.bytes >= BATCH_BYTES_MAX
    }

    /// Takes entries `[low, high)` of a unit, without tombstones and what cannot meet the bounds, but no more than
    /// `rows_max` rows, from the side that is read first. Returns how many entries were used up.
    pub fn push(&mut self, unit: &Arc<Unit>, low: usize, high: usize, rows_max: usize) -> usize {
        let (entries, used) = unit.rows_of(low, high, rows_max, self.direction);
        self.bytes += entries.len() * unit.entry_bytes();
        self.add(unit, entries);
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
        let recent = self.pieces.iter().rev().take(TURN_PIECES);
        self.turns += usize::from(recent.skip(1).any(|piece| Arc::ptr_eq(&piece.unit, unit)));
        self.pieces.push(Piece { unit: unit.clone(), entries });
    }

    /// Whether every row that was collected meets the bounds: else some only may.
    pub fn is_exact(&self) -> bool {
        self.pieces.iter().all(|piece| piece.unit.is_exact())
    }

    /// What was collected.
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// Forgets what was collected.
    pub fn clear(&mut self) {
        self.take();
    }

    /// How many rows were collected, and these columns of them; the builder is empty afterwards.
    pub fn finish_columns(&mut self, columns: &[ScanColumn]) -> Result<(usize, Vec<ArrayRef>), PageError> {
        let (pieces, rows, turns) = self.take();
        let arrays = if columns.is_empty() { Vec::new() } else { self.columns(columns, &pieces, turns)? };
        Ok((rows, arrays))
    }

    fn take(&mut self) -> (Vec<Piece>, usize, usize) {
        self.bytes = 0;
        (std::mem::take(&mut self.pieces), std::mem::take(&mut self.rows), std::mem::take(&mut self.turns))
    }

    /// The batch collected so far; the builder is empty afterwards.
    pub fn finish(&mut self) -> Result<ScanBatch, PageError> {
        let (pieces, rows, turns) = self.take();
        let columns = match &self.output {
            ScanOutput::Columns(columns) => columns,
            // Columns are taken by the aggregates themselves.
            ScanOutput::Aggregates(_) => &Vec::new(),
            ScanOutput::Keys => return self.scanned_rows(&pieces, rows, false),
            ScanOutput::Rows => return self.scanned_rows(&pieces, rows, true),
        };
        let arrays = if columns.is_empty() { Vec::new() } else { self.columns(columns, &pieces, turns)? };
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options);
        // The arrays come from this crate's own decoders: a wrong type or length is a bug there, not in the data.
        Ok(ScanBatch::Columns(batch.expect("arrays fit the schema they were made for")))
    }

    fn scanned_rows(&self, pieces: &[Piece], rows: usize, with_rows: bool) -> Result<ScanBatch, PageError> {
        let mut out = Vec::with_capacity(rows);
        let backward = self.direction == Direction::Backward;
        for Piece { unit, entries } in pieces {
            let mut add = |entry: usize| -> Result<(), PageError> {
                let row = if with_rows { unit.row(entry) } else { Ok(Default::default()) };
                let row = row.map_err(|what| unit.describe(what))?;
                out.push(ScannedRow { key: unit.key(entry), lsn: unit.lsn(entry), row });
                Ok(())
            };
            if backward {
                entries.iter().rev().try_for_each(&mut add)?
            } else {
                entries.iter().try_for_each(&mut add)?
            }
        }
        Ok(ScanBatch::Rows(out))
    }

    fn columns(&self, columns: &[ScanColumn], pieces: &[Piece], turns: usize) -> Result<Vec<ArrayRef>, PageError> {
        let rows: usize = pieces.iter().map(|piece| piece.entries.len()).sum();
        if rows < turns * TURN_ENTRIES_MIN {
            return self.picked(columns, pieces);
        }
        if self.direction == Direction::Forward {
            return appended(columns, pieces.iter(), rows);
        }
        let ascending = appended(columns, pieces.iter().rev(), rows)?;
        let indices = UInt32Array::from_iter_values((0..rows as u32).rev());
        ascending.iter().map(|array| arrow::compute::take(array, &indices, None).map_err(too_large)).collect()
    }

    /// Every value by its place: for scattered entries.
    fn picked(&self, columns: &[ScanColumn], pieces: &[Piece]) -> Result<Vec<ArrayRef>, PageError> {
        // The units in question, with the span of entries that is wanted of each.
        let mut units: Vec<(&Arc<Unit>, usize, usize)> = Vec::new();
        let mut unit_of_piece = Vec::with_capacity(pieces.len());
        for piece in pieces {
            let at = units.iter().rposition(|known| Arc::ptr_eq(known.0, &piece.unit)).unwrap_or_else(|| {
                units.push((&piece.unit, usize::MAX, 0));
                units.len() - 1
            });
            let (_, low, high) = &mut units[at];
            for entry in piece.entries.iter() {
                (*low, *high) = ((*low).min(entry), (*high).max(entry + 1));
            }
            unit_of_piece.push(at);
        }
        let mut decoded = Vec::with_capacity(units.len());
        for (unit, low, high) in &units {
            let piece = Piece { unit: (*unit).clone(), entries: Entries::Run(*low..*high) };
            decoded.push(appended(columns, std::iter::once(&piece), high - low)?);
        }
        let mut places = Vec::new();
        for (piece, at) in pieces.iter().zip(unit_of_piece) {
            let place = |entry: usize| (at, entry - units[at].1);
            match self.direction {
                Direction::Forward => places.extend(piece.entries.iter().map(place)),
                Direction::Backward => places.extend(piece.entries.iter().rev().map(place)),
            }
        }
        let interleaved = (0..columns.len()).map(|column| {
            let arrays: Vec<&dyn Array> = decoded.iter().map(|arrays| &*arrays[column]).collect();
            arrow::compute::interleave(&arrays, &places).map_err(too_large)
        });
        interleaved.collect()
    }
}

/// The columns of all pieces, one after the other.
fn appended<'a>(
    columns: &[ScanColumn],
    pieces: impl Iterator<Item = &'a Piece>,
    rows: usize,
) -> Result<Vec<ArrayRef>, PageError> {
    let mut pieces = pieces.peekable();
    let mut shared: Vec<Option<ArrayRef>> = vec![None; columns.len()];
    if let Some(Piece { unit, entries: Entries::Run(run) }) = pieces.peek().copied()
        && run.len() == rows
    {
        for (array, column) in shared.iter_mut().zip(columns) {
            *array = unit.shared(run, column).map_err(|what| unit.describe(what))?;
        }
    }
    let built = columns.iter().zip(&shared).filter(|(_, shared)| shared.is_none());
    let mut builders: Vec<ColumnBuilder> = built.map(|(column, _)| ColumnBuilder::new(column, rows)).collect();
    for Piece { unit, entries } in pieces {
        unit.append(entries, &mut builders).map_err(|what| unit.describe(what))?;
    }
    let mut built = builders.into_iter().map(ColumnBuilder::finish);
    Ok(shared.into_iter().filter_map(|shared| shared.or_else(|| built.next())).collect())
}

fn too_large(error: arrow::error::ArrowError) -> PageError {
    PageError::BadRequest(format!("ask for smaller batches: {error}"))
}
