//! Partial aggregates of a scan, computed where the data is: no row leaves the page server.
//!
//! ```text
//!  scan ─▶ a block whose index entry says all ─▶ added without reading the block
//!       └▶ rows, gathered as for a batch ─▶ columns that calls read ─▶ added a column at a time
//! ```
//!
//! What a call means is `expr::partial`'s; a test holds this form to it. Bounds are exact here: where the encoded values
//! could not decide them (values of another type, rows older than a column), they are judged again on the columns.

use super::batch::BatchBuilder;
use super::term::{self, StoredColumn};
use crate::layer::Block;
use crate::layer::block::Values;
use crate::layer::format::BlockEntry;
use crate::layer::statistics::ColumnStatistics;
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::datatypes::{Decimal128Type, Decimal256Type, Float64Type, Int64Type, UInt64Type};
use common::physical::{PhysicalType, PhysicalValue};
use common::service::page::{Aggregates, ColumnBound, PageError, PartialCall, ScanBatch, ScanColumn, TermStep};
use expr::partial::{self, PartialError, PartialState};

pub struct Aggregator {
    wanted: Aggregates,
    /// Each with the place of its column.
    bounds: Vec<(usize, ColumnBound)>,
    states: Vec<PartialState>,
    /// Columns that calls read, and of those and the ones that bounds read.
    of_calls: Vec<usize>,
    all: Vec<usize>,
    /// There are only sums of integers, and counts of rows.
    sums_only: bool,
}

/// Arrays by the place of their column; those that are not needed are not there.
type Columns = Vec<Option<ArrayRef>>;

impl Aggregator {
    /// The request has been checked by [`partial::check`].
    pub fn new(wanted: &Aggregates, bounds: &[ColumnBound]) -> Aggregator {
        let placed = |bound: &ColumnBound| Some((partial::column_of(&wanted.columns, bound)?, bound.clone()));
        let bounds: Vec<(usize, ColumnBound)> = bounds.iter().filter_map(placed).collect();
        let mut of_calls: Vec<usize> = wanted.calls.iter().flat_map(columns_of).collect();
        of_calls.sort_unstable();
        of_calls.dedup();
        let mut all: Vec<usize> = of_calls.iter().copied().chain(bounds.iter().map(|(place, _)| *place)).collect();
        all.sort_unstable();
        all.dedup();
        let states = wanted.calls.iter().map(PartialState::new).collect();
        let sums_only = wanted.calls.iter().all(|call| matches!(call, PartialCall::Rows | PartialCall::Sum(_)));
        Aggregator { wanted: wanted.clone(), bounds, states, of_calls, all, sums_only }
    }

    /// Takes in what a batch has gathered.
    pub fn add(&mut self, batch: &mut BatchBuilder) -> Result<(), PageError> {
        let exact = batch.is_exact();
        if exact && self.sums_only && self.add_stored(batch)? {
            batch.clear();
            return Ok(());
        }
        let places = if exact { &self.of_calls } else { &self.all };
        let wanted: Vec<ScanColumn> = places.iter().map(|place| self.wanted.columns[*place].clone()).collect();
        let (rows, arrays) = batch.finish_columns(&wanted)?;
        let mut columns: Columns = vec![None; self.wanted.columns.len()];
        for (place, array) in places.iter().zip(arrays) {
            columns[*place] = Some(array);
        }
        let met = if exact { None } else { self.met(&columns, rows) };
        for (state, call) in self.states.iter_mut().zip(&self.wanted.calls) {
            add_call(state, call, &columns, met.as_ref(), rows).map_err(refused)?;
        }
        Ok(())
    }

    /// Sums of integers that every row has: from their encoding, without arrays between. False if it is not so; then nothing
    /// was added.
    fn add_stored(&mut self, batch: &BatchBuilder) -> Result<bool, PageError> {
        let mut parts: Vec<PartialState> = self.wanted.calls.iter().map(PartialState::new).collect();
        for piece in batch.pieces() {
            let added = piece.unit.in_block(&piece.entries, |block, rows| -> Result<bool, PageError> {
                let Some(columns) = self.stored_columns(block)? else { return Ok(false) };
                for (state, call) in parts.iter_mut().zip(&self.wanted.calls) {
                    let added = match call {
                        PartialCall::Sum(steps) => term::add_stored(state, steps, &columns, rows),
                        _ => state.count(rows.len() as u64),
                    };
                    added.map_err(refused)?;
                }
                Ok(true)
            });
            if !added.unwrap_or(Ok(false))? {
                return Ok(false);
            }
        }
        for (state, part) in self.states.iter_mut().zip(parts) {
            state.merge(&part.finish()).map_err(refused)?;
        }
        Ok(true)
    }

    fn stored_columns<'b>(&self, block: &'b Block) -> Result<Option<Vec<Option<StoredColumn<'b>>>>, PageError> {
        let mut columns: Vec<Option<StoredColumn>> = self.wanted.columns.iter().map(|_| None).collect();
        for place in &self.of_calls {
            let wanted = &self.wanted.columns[*place];
            let column = block.column(wanted.column);
            let Some(column) = column.filter(|column| column.tags.constant() == Some(wanted.physical as u64)) else {
                return Ok(None);
            };
            let values = column.values(wanted.physical).map_err(|what| PageError::Corrupt(what.to_string()))?;
            let Some(Values::Integer(values)) = values else { return Ok(None) };
            columns[*place] = Some(StoredColumn { values, signed: wanted.physical == PhysicalType::Int64 });
        }
        Ok(Some(columns))
    }

    /// Which rows meet all bounds; `None`: all.
    fn met(&self, columns: &Columns, rows: usize) -> Option<BooleanBuffer> {
        let mut met: Option<BooleanBuffer> = None;
        for (place, bound) in &self.bounds {
            let array = columns[*place].as_ref()?;
            let one = BooleanBuffer::collect_bool(rows, |row| bound.is_met_by(&value_at(array, row)));
            met = Some(match met {
                None => one,
                Some(before) => &before & &one,
            });
        }
        met
    }

    /// Takes in all rows of a block by what the index says of it; false where that is not enough. No version of the block
    /// is hidden, and none is too new.
    pub fn add_known(&mut self, entry: &BlockEntry) -> Result<bool, PageError> {
        let of = |place: usize| known(entry, &self.wanted.columns[place]);
        let rows = u64::from(entry.rows.saturating_sub(entry.tombstones));
        let all_meet = self.bounds.iter().all(|(place, bound)| of(*place).is_some_and(|known| known.all_meet(bound)));
        let enough = |call: &PartialCall| match call {
            PartialCall::Rows => true,
            PartialCall::Count(column) => of(usize::from(*column)).is_some(),
            PartialCall::Min(column) | PartialCall::Max(column) => {
                // Limits of strings are cut; a NaN leaves none, and 0 may be -0.
                let whole = |known: &&ColumnStatistics| {
                    matches!(known.physical, PhysicalType::Int64 | PhysicalType::UInt64 | PhysicalType::Int128)
                };
                of(usize::from(*column)).filter(whole).is_some()
            }
            PartialCall::Sum(_) | PartialCall::SumDouble(_) => false,
        };
        if !all_meet || !self.wanted.calls.iter().all(enough) {
            return Ok(false);
        }
        for (state, call) in self.states.iter_mut().zip(&self.wanted.calls) {
            let limit = |column: &u16, limit: fn(&ColumnStatistics) -> &Option<PhysicalValue>| {
                let known = known(entry, &self.wanted.columns[usize::from(*column)]);
                known.and_then(|known| limit(known).clone()).unwrap_or(PhysicalValue::Null)
            };
            let added = match call {
                PartialCall::Rows => state.count(rows),
                PartialCall::Count(column) => {
                    let nulls = known(entry, &self.wanted.columns[usize::from(*column)]).map_or(0, |known| known.nulls);
                    state.count(rows.saturating_sub(u64::from(nulls)))
                }
                PartialCall::Min(column) => state.offer(&limit(column, |known| &known.min)),
                PartialCall::Max(column) => state.offer(&limit(column, |known| &known.max)),
                PartialCall::Sum(_) | PartialCall::SumDouble(_) => Ok(()),
            };
            added.map_err(refused)?;
        }
        Ok(true)
    }

    pub fn finish(&mut self) -> ScanBatch {
        ScanBatch::Aggregates(std::mem::take(&mut self.states).into_iter().map(PartialState::finish).collect())
    }
}

/// What the index says of a column, where every row has it, with the type asked for or NULL.
pub fn known<'a>(entry: &'a BlockEntry, column: &ScanColumn) -> Option<&'a ColumnStatistics> {
    let mut of_column = entry.columns.iter().filter(|statistics| statistics.column == column.column);
    match (of_column.next(), of_column.next()) {
        (Some(only), None) if only.physical == column.physical && only.absent == 0 && only.others == 0 => Some(only),
        _ => None,
    }
}

fn columns_of(call: &PartialCall) -> Vec<usize> {
    match call {
        PartialCall::Rows => Vec::new(),
        PartialCall::Count(column)
        | PartialCall::SumDouble(column)
        | PartialCall::Min(column)
        | PartialCall::Max(column) => vec![usize::from(*column)],
        PartialCall::Sum(steps) => steps
            .iter()
            .filter_map(|step| match step {
                TermStep::Column(column) => Some(usize::from(*column)),
                _ => None,
            })
            .collect(),
    }
}

pub fn refused(error: PartialError) -> PageError {
    PageError::BadRequest(error.to_string())
}

fn add_call(
    state: &mut PartialState,
    call: &PartialCall,
    columns: &Columns,
    met: Option<&BooleanBuffer>,
    rows: usize,
) -> Result<(), PartialError> {
    let array = |column: &u16| columns[usize::from(*column)].as_ref().ok_or(PartialError::Mismatch);
    match call {
        PartialCall::Rows => state.count(met.map_or(rows, BooleanBuffer::count_set_bits) as u64),
        PartialCall::Count(column) => {
            let valid = valid(array(column)?.nulls(), met);
            state.count((rows - valid.map_or(0, |valid| valid.null_count())) as u64)
        }
        PartialCall::Sum(steps) => {
            let mut valid: Option<NullBuffer> = met.map(|met| NullBuffer::new(met.clone()));
            for column in columns_of(call) {
                let nulls = columns[column].as_ref().and_then(|array| array.nulls());
                valid = NullBuffer::union(valid.as_ref(), nulls);
            }
            term::add(state, steps, columns, valid.as_ref(), rows)
        }
        PartialCall::SumDouble(column) => {
            let array = array(column)?.as_primitive_opt::<Float64Type>().ok_or(PartialError::Mismatch)?;
            let valid = valid(array.nulls(), met);
            let wanted = |row: &usize| valid.as_ref().is_none_or(|valid| valid.is_valid(*row));
            (0..rows).filter(wanted).try_for_each(|row| state.add_double(array.value(row)))
        }
        PartialCall::Min(column) => add_limit(state, array(column)?, met, true),
        PartialCall::Max(column) => add_limit(state, array(column)?, met, false),
    }
}

fn valid(nulls: Option<&NullBuffer>, met: Option<&BooleanBuffer>) -> Option<NullBuffer> {
    let met = met.map(|met| NullBuffer::new(met.clone()));
    NullBuffer::union(nulls, met.as_ref())
}

fn add_limit(
    state: &mut PartialState,
    array: &ArrayRef,
    met: Option<&BooleanBuffer>,
    least: bool,
) -> Result<(), PartialError> {
    let valid = valid(array.nulls(), met);
    macro_rules! limit {
        ($values:expr, $value:path) => {{
            let values = $values;
            let wanted = (0..values.len()).filter(|row| valid.as_ref().is_none_or(|valid| valid.is_valid(*row)));
            let wanted = wanted.map(|row| values[row]);
            match if least { wanted.min() } else { wanted.max() } {
                Some(limit) => state.offer(&$value(limit)),
                None => Ok(()),
            }
        }};
    }
    if let Some(array) = array.as_primitive_opt::<Int64Type>() {
        return limit!(array.values(), PhysicalValue::Int64);
    }
    if let Some(array) = array.as_primitive_opt::<UInt64Type>() {
        return limit!(array.values(), PhysicalValue::UInt64);
    }
    if let Some(array) = array.as_primitive_opt::<Decimal128Type>() {
        return limit!(array.values(), PhysicalValue::Int128);
    }
    let wanted = |row: &usize| valid.as_ref().is_none_or(|valid| valid.is_valid(*row));
    (0..array.len()).filter(wanted).try_for_each(|row| state.offer(&value_at(array, row)))
}

/// A value of an array that the column builder made.
fn value_at(array: &ArrayRef, row: usize) -> PhysicalValue {
    if array.is_null(row) {
        return PhysicalValue::Null;
    }
    if let Some(array) = array.as_primitive_opt::<Int64Type>() {
        return PhysicalValue::Int64(array.value(row));
    }
    if let Some(array) = array.as_primitive_opt::<UInt64Type>() {
        return PhysicalValue::UInt64(array.value(row));
    }
    if let Some(array) = array.as_primitive_opt::<Float64Type>() {
        return PhysicalValue::Float64(array.value(row));
    }
    if let Some(array) = array.as_primitive_opt::<Decimal128Type>() {
        return PhysicalValue::Int128(array.value(row));
    }
    if let Some(array) = array.as_primitive_opt::<Decimal256Type>() {
        let value = array.value(row);
        return PhysicalValue::Int256(value.to_le_bytes());
    }
    match array.as_binary_opt::<i32>() {
        Some(array) => PhysicalValue::Bytes(bytes::Bytes::copy_from_slice(array.value(row))),
        None => PhysicalValue::Null,
    }
}
