//! Sums of terms over integer columns: a chunk of rows at a time, in 64 bits where the values of the chunk are so small
//! that nothing can overflow, else row by row as `expr::partial` has it.

use super::column::Rows;
use crate::layer::column::integer::IntegerColumn;
use arrow::array::{ArrayRef, AsArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{Decimal128Type, Int64Type, UInt64Type};
use common::service::page::TermStep;
use expr::partial::{PartialError, PartialState, term};

/// Rows whose operands stay in the first-level cache: 8 KiB each.
const CHUNK_ROWS: usize = 1024;
/// What adding up a chunk adds to the bits of its values: log2 of its rows.
const CHUNK_BITS: u32 = 10;
/// A magnitude of so many bits, and its sign.
const BITS_MAX: u32 = 63;

enum Column<'a> {
    Signed(&'a [i64]),
    Unsigned(&'a [u64]),
    Wide(&'a [i128]),
    /// Values of either sign by their bits; of their magnitudes, how many bits there are.
    Bits {
        words: &'a [u64],
        signed: bool,
        magnitude_bits: u32,
    },
}

/// A column as it lies in a block, where every row has a value.
pub struct StoredColumn<'a> {
    pub values: &'a IntegerColumn,
    pub signed: bool,
}

/// A part of a term for the rows of a chunk.
enum Operand<'a> {
    Constant(i64),
    Signed(&'a [i64]),
    Unsigned(&'a [u64]),
    Computed(Vec<i64>),
}

/// Adds the term's sum over the rows that `valid` has.
pub fn add(
    state: &mut PartialState,
    steps: &[TermStep],
    columns: &[Option<ArrayRef>],
    valid: Option<&NullBuffer>,
    rows: usize,
) -> Result<(), PartialError> {
    let columns: Vec<Option<Column>> = columns.iter().map(|array| array.as_ref().and_then(column)).collect();
    let mut scratch: Vec<Vec<i64>> = Vec::new();
    for start in (0..rows).step_by(CHUNK_ROWS) {
        let end = (start + CHUNK_ROWS).min(rows);
        match narrow(steps, &columns, start, end, &mut scratch) {
            Some(values) => add_narrow(state, &values, valid, start, end)?,
            None => add_wide(state, steps, &columns, valid, start, end)?,
        }
    }
    Ok(())
}

/// Adds the term's sum over some rows of a block.
pub fn add_stored(
    state: &mut PartialState,
    steps: &[TermStep],
    columns: &[Option<StoredColumn>],
    rows: &Rows,
) -> Result<(), PartialError> {
    let known: Vec<Option<u32>> = columns
        .iter()
        .map(|column| column.as_ref().and_then(|column| column.values.magnitude_bits(column.signed)))
        .collect();
    let read: Vec<bool> = (0..columns.len())
        .map(|place| steps.iter().any(|step| matches!(step, TermStep::Column(column) if usize::from(*column) == place)))
        .collect();
    let mut words: Vec<Vec<u64>> = vec![Vec::new(); columns.len()];
    let mut scratch: Vec<Vec<i64>> = Vec::new();
    for start in (0..rows.len()).step_by(CHUNK_ROWS) {
        let end = (start + CHUNK_ROWS).min(rows.len());
        for ((words, column), _) in words.iter_mut().zip(columns).zip(&read).filter(|(_, read)| **read) {
            let Some(column) = column else { continue };
            words.clear();
            match rows {
                Rows::Run(run) => column.values.decode_words(run.start + start..run.start + end, words),
                Rows::List(list) => column.values.gather(&list[start..end], words, |word| word),
            }
        }
        let of_chunk = |((words, column), known): ((&'_ Vec<u64>, &Option<StoredColumn>), &Option<u32>)| {
            let signed = column.as_ref()?.signed;
            let magnitude = |word: &u64| if signed { magnitude(*word as i64) } else { *word };
            Some((signed, known.unwrap_or_else(|| bits(words.iter().map(magnitude)))))
        };
        let facts: Vec<Option<(bool, u32)>> = words.iter().zip(columns).zip(&known).map(of_chunk).collect();
        let chunk: Vec<Option<Column>> = words
            .iter()
            .zip(facts)
            .map(|(words, facts)| facts.map(|(signed, magnitude_bits)| Column::Bits { words, signed, magnitude_bits }))
            .collect();
        match narrow(steps, &chunk, 0, end - start, &mut scratch) {
            Some(values) => {
                add_narrow(state, &values, None, 0, end - start)?;
                if let Operand::Computed(values) = values {
                    scratch.push(values);
                }
            }
            None => add_wide(state, steps, &chunk, None, 0, end - start)?,
        }
    }
    Ok(())
}

fn column(array: &ArrayRef) -> Option<Column<'_>> {
    if let Some(array) = array.as_primitive_opt::<Int64Type>() {
        return Some(Column::Signed(array.values()));
    }
    if let Some(array) = array.as_primitive_opt::<UInt64Type>() {
        return Some(Column::Unsigned(array.values()));
    }
    array.as_primitive_opt::<Decimal128Type>().map(|array| Column::Wide(array.values()))
}

/// Bits of the largest magnitude.
fn bits(values: impl Iterator<Item = u64>) -> u32 {
    64 - values.fold(0, |all, value| all | value).leading_zeros()
}

fn magnitude(value: i64) -> u64 {
    // One less than the magnitude of negative numbers: as many bits, or the sign's, which is counted apart.
    (value ^ (value >> 63)) as u64
}

/// The term's values, computed in 64 bits; `None` where they may not fit, or their sum.
fn narrow<'a>(
    steps: &[TermStep],
    columns: &[Option<Column<'a>>],
    start: usize,
    end: usize,
    scratch: &mut Vec<Vec<i64>>,
) -> Option<Operand<'a>> {
    let mut operands: Vec<(Operand<'a>, u32)> = Vec::new();
    for step in steps {
        let next = match step {
            TermStep::Constant(value) => {
                let value = i64::try_from(*value).ok()?;
                // A power of two has one bit more than the numbers below it.
                (Operand::Constant(value), bits([magnitude(value)].into_iter()) + 1)
            }
            TermStep::Column(place) => match columns.get(usize::from(*place))?.as_ref()? {
                Column::Signed(values) => {
                    let values = &values[start..end];
                    (Operand::Signed(values), bits(values.iter().map(|value| magnitude(*value))) + 1)
                }
                Column::Unsigned(values) => {
                    let values = &values[start..end];
                    (Operand::Unsigned(values), bits(values.iter().copied()))
                }
                Column::Bits { words, signed, magnitude_bits } => {
                    (Operand::Unsigned(&words[start..end]), magnitude_bits + u32::from(*signed))
                }
                Column::Wide(_) => return None,
            },
            TermStep::Add | TermStep::Subtract | TermStep::Multiply => {
                let ((right, right_bits), (left, left_bits)) = (operands.pop()?, operands.pop()?);
                let bits = match step {
                    TermStep::Multiply => left_bits + right_bits,
                    _ => left_bits.max(right_bits) + 1,
                };
                if bits > BITS_MAX {
                    return None;
                }
                let operation = match step {
                    TermStep::Add => i64::wrapping_add,
                    TermStep::Subtract => i64::wrapping_sub,
                    _ => i64::wrapping_mul,
                };
                let result = match (left, right) {
                    (Operand::Constant(left), Operand::Constant(right)) => Operand::Constant(operation(left, right)),
                    (left, right) => {
                        let mut out = scratch.pop().unwrap_or_default();
                        out.clear();
                        // One loop for each operation: a call for each value would cost more than the value.
                        match step {
                            TermStep::Add => compute(&left, &right, &mut out, |left, right| left.wrapping_add(right)),
                            TermStep::Subtract => {
                                compute(&left, &right, &mut out, |left, right| left.wrapping_sub(right));
                            }
                            _ => compute(&left, &right, &mut out, |left, right| left.wrapping_mul(right)),
                        }
                        for used in [left, right] {
                            if let Operand::Computed(values) = used {
                                scratch.push(values);
                            }
                        }
                        Operand::Computed(out)
                    }
                };
                (result, bits)
            }
        };
        operands.push(next);
    }
    let (values, bits) = operands.pop()?;
    (bits + CHUNK_BITS <= BITS_MAX).then_some(values)
}

/// One side at least is no constant.
fn compute(left: &Operand, right: &Operand, out: &mut Vec<i64>, operation: impl Fn(i64, i64) -> i64) {
    macro_rules! over {
        ($left:expr, $right:expr) => {
            out.extend($left.zip($right).map(|(left, right)| operation(left, right)))
        };
    }
    macro_rules! with_left {
        ($left:expr) => {
            match right {
                Operand::Constant(value) => over!($left, std::iter::repeat(*value)),
                Operand::Signed(values) => over!($left, values.iter().copied()),
                Operand::Unsigned(values) => over!($left, values.iter().map(|value| *value as i64)),
                Operand::Computed(values) => over!($left, values.iter().copied()),
            }
        };
    }
    match (left, right) {
        (Operand::Constant(_), Operand::Constant(_)) => {}
        (Operand::Constant(value), _) => with_left!(std::iter::repeat(*value)),
        (Operand::Signed(values), _) => with_left!(values.iter().copied()),
        (Operand::Unsigned(values), _) => with_left!(values.iter().map(|value| *value as i64)),
        (Operand::Computed(values), _) => with_left!(values.iter().copied()),
    }
}

fn add_narrow(
    state: &mut PartialState,
    values: &Operand,
    valid: Option<&NullBuffer>,
    start: usize,
    end: usize,
) -> Result<(), PartialError> {
    let rows = end - start;
    let valid = valid.map(|valid| valid.slice(start, rows)).filter(|valid| valid.null_count() > 0);
    let count = rows - valid.as_ref().map_or(0, NullBuffer::null_count);
    if count == 0 {
        return Ok(());
    }
    let sum = |values: &mut dyn Iterator<Item = i64>| match &valid {
        None => values.fold(0i64, i64::wrapping_add),
        Some(valid) => {
            values.zip(valid.iter()).fold(0i64, |sum, (value, valid)| sum.wrapping_add(if valid { value } else { 0 }))
        }
    };
    let total = match values {
        Operand::Constant(value) => i128::from(*value) * count as i128,
        Operand::Signed(values) if valid.is_none() => {
            values.iter().fold(0i64, |sum, value| sum.wrapping_add(*value)).into()
        }
        Operand::Unsigned(values) if valid.is_none() => {
            values.iter().fold(0i64, |sum, value| sum.wrapping_add(*value as i64)).into()
        }
        Operand::Computed(values) if valid.is_none() => {
            values.iter().fold(0i64, |sum, value| sum.wrapping_add(*value)).into()
        }
        Operand::Signed(values) => sum(&mut values.iter().copied()).into(),
        Operand::Computed(values) => sum(&mut values.iter().copied()).into(),
        Operand::Unsigned(values) => sum(&mut values.iter().map(|value| *value as i64)).into(),
    };
    state.add(total)
}

fn add_wide(
    state: &mut PartialState,
    steps: &[TermStep],
    columns: &[Option<Column>],
    valid: Option<&NullBuffer>,
    start: usize,
    end: usize,
) -> Result<(), PartialError> {
    for row in (start..end).filter(|row| valid.is_none_or(|valid| valid.is_valid(*row))) {
        let value = |place: usize| match columns.get(place) {
            Some(Some(Column::Signed(values))) => Ok(Some(i128::from(values[row]))),
            Some(Some(Column::Unsigned(values))) => Ok(Some(i128::from(values[row]))),
            Some(Some(Column::Bits { words, signed: true, .. })) => Ok(Some(i128::from(words[row] as i64))),
            Some(Some(Column::Bits { words, signed: false, .. })) => Ok(Some(i128::from(words[row]))),
            Some(Some(Column::Wide(values))) => Ok(Some(values[row])),
            _ => Err(PartialError::Mismatch),
        };
        if let Some(value) = term(steps, value)? {
            state.add(value)?;
        }
    }
    Ok(())
}
