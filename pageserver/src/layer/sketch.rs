//! What a layer knows of the columns of each index in it, for the planner: how many different values, and a sample of rows.
//!
//! Both can be put together over layers whose rows hide each other:
//! - Different values are counted by HyperLogLog (Flajolet and others, 2007): the union of two sketches is the sketch of
//!   the union. 1024 registers: about 3 % off. Up to 64 values are kept as hashes, and counted exactly.
//! - The sample has the rows whose keys have the smallest hashes, tombstones included. Of two layers, the rows below the
//!   smaller of both limits are a sample of both together, in which the newer version of a key hides the older.
//!
//! Made while a layer is written: a hash per value, and nothing per row that does not come into the sample.

use super::column::FormatError;
use super::filter;
use super::row;
use bytes::Bytes;
use common::id::{ColumnId, Lsn};
use common::key::{KEY_PREFIX_BYTES, Key};
use common::physical::PhysicalValue;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const REGISTER_BITS: u32 = 10;
const REGISTERS: usize = 1 << REGISTER_BITS;
/// Values that are counted exactly.
const FEW_MAX: usize = 64;
/// Rows of a sample, of one layer and index.
const SAMPLE_ROWS_MAX: usize = 256;
/// A small layer samples no more than one key in so many: the sample stays a small part of it.
const KEYS_PER_SAMPLED: u64 = 16;
/// Byte strings are cut to this length.
const SAMPLED_BYTES_MAX: usize = 32;

/// Of one index, as far as a layer has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IndexSketch {
    /// The first eight bytes of its keys: table and index.
    pub prefix: Key,
    /// By column id.
    pub columns: Vec<(ColumnId, Distinct)>,
    pub sample: Sample,
}

/// Different values of a column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Distinct {
    /// Their hashes, ascending.
    Few(Vec<u64>),
    /// For each of 1024 parts of the hashes, by their last ten bits: the most leading zeros in the other bits, plus one.
    Many(Bytes),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Keys of the layer and index that it is a sample of.
    pub keys: u64,
    /// All keys of the layer and index with a smaller hash are there.
    pub below: u64,
    pub rows: Vec<SampledRow>,
}

/// The newest version that the layer has of a key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SampledRow {
    /// Of the key, as the filter has it.
    pub hash: u64,
    pub lsn: Lsn,
    /// By column id; `None`: a tombstone.
    pub values: Option<Vec<Option<PhysicalValue>>>,
}

/// The hash of a value; NULL is no value.
fn hash(value: &PhysicalValue) -> Option<u64> {
    Some(match value {
        PhysicalValue::Null => return None,
        PhysicalValue::Int64(value) => mix(*value as u64),
        PhysicalValue::UInt64(value) => mix(*value),
        PhysicalValue::Float64(value) => mix(value.to_bits()),
        PhysicalValue::Int128(value) => filter::hash(&value.to_le_bytes()),
        PhysicalValue::Int256(value) => filter::hash(value),
        PhysicalValue::Bytes(value) => filter::hash(value),
    })
}

/// The finish of "splitmix64": every bit of the number moves every bit of the hash.
fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ bits >> 31
}

impl Default for Distinct {
    fn default() -> Distinct {
        Distinct::Few(Vec::new())
    }
}

impl Distinct {
    /// How many there are, about.
    pub fn count(&self) -> u64 {
        let registers = match self {
            Distinct::Few(hashes) => return hashes.len() as u64,
            Distinct::Many(registers) => registers,
        };
        let count = registers.len() as f64;
        let sum: f64 = registers.iter().map(|register| (-f64::from(*register)).exp2()).sum();
        let estimate = 0.7213 / (1.0 + 1.079 / count) * count * count / sum;
        let empty = registers.iter().filter(|register| **register == 0).count();
        match empty > 0 && estimate <= 2.5 * count {
            // Few values: how many registers they leave empty says it better.
            true => (count * (count / empty as f64).ln()).round() as u64,
            false => estimate.round() as u64,
        }
    }
}

/// A count of different values that grows.
#[derive(Debug, Default)]
pub struct DistinctBuilder {
    few: Vec<u64>,
    registers: Option<Box<[u8; REGISTERS]>>,
    last: Option<u64>,
}

impl DistinctBuilder {
    pub fn add(&mut self, value: &PhysicalValue) {
        if let Some(hash) = hash(value) {
            self.add_neighbour(hash);
        }
    }

    /// Integers of 64 bits, or the bits of doubles: as [`DistinctBuilder::add`] does it, for many at a time.
    pub fn add_words(&mut self, words: &[u64]) {
        let mut rest = words;
        while self.registers.is_none()
            && let Some((first, others)) = rest.split_first()
        {
            self.add_neighbour(mix(*first));
            rest = others;
        }
        if let Some(registers) = &mut self.registers {
            rest.iter().for_each(|word| note(registers, mix(*word)));
        }
    }

    /// A byte string, as [`DistinctBuilder::add`] does it.
    pub fn add_bytes(&mut self, bytes: &[u8]) {
        self.add_neighbour(filter::hash(bytes));
    }

    fn add_neighbour(&mut self, hash: u64) {
        // Neighbours are often the same.
        if self.last != Some(hash) {
            self.last = Some(hash);
            self.add_hash(hash);
        }
    }

    pub fn merge(&mut self, other: &Distinct) {
        match other {
            Distinct::Few(hashes) => hashes.iter().for_each(|hash| self.add_hash(*hash)),
            Distinct::Many(others) => {
                for (register, other) in self.registers().iter_mut().zip(others) {
                    *register = (*register).max(*other);
                }
            }
        }
    }

    fn add_hash(&mut self, hash: u64) {
        if let Some(registers) = &mut self.registers {
            note(registers, hash);
        } else if let Err(place) = self.few.binary_search(&hash) {
            self.few.insert(place, hash);
            if self.few.len() > FEW_MAX {
                self.registers();
            }
        }
    }

    fn registers(&mut self) -> &mut [u8; REGISTERS] {
        let few = std::mem::take(&mut self.few);
        let registers = self.registers.get_or_insert_with(|| Box::new([0; REGISTERS]));
        few.into_iter().for_each(|hash| note(registers, hash));
        registers
    }

    pub fn finish(self) -> Distinct {
        match self.registers {
            Some(registers) => Distinct::Many(Bytes::copy_from_slice(&registers[..])),
            None => Distinct::Few(self.few),
        }
    }
}

fn note(registers: &mut [u8; REGISTERS], hash: u64) {
    let register = &mut registers[hash as usize % REGISTERS];
    let zeros = (hash >> REGISTER_BITS).leading_zeros() - REGISTER_BITS;
    *register = (*register).max(zeros as u8 + 1);
}

/// Gathers the sketches of a layer, whose keys come in order.
#[derive(Debug, Default)]
pub struct SketchBuilder {
    finished: Vec<IndexSketch>,
    prefix: Key,
    columns: Vec<DistinctBuilder>,
    /// By hash: the smallest so far.
    sample: BTreeMap<u64, (Lsn, Option<Bytes>)>,
    keys: u64,
    /// Whether a key was left out.
    cut: bool,
}

impl SketchBuilder {
    /// A key with the newest version that the layer has of it.
    pub fn add_key(&mut self, key: &Key, hash: u64, lsn: Lsn, row: impl FnOnce() -> Option<Bytes>) {
        let prefix = &key[..key.len().min(KEY_PREFIX_BYTES)];
        if *prefix != *self.prefix {
            self.close();
            self.prefix = Key::copy_from_slice(prefix);
        }
        self.keys += 1;
        if self.sample.len() == SAMPLE_ROWS_MAX {
            self.cut = true;
            if self.sample.last_key_value().is_none_or(|(largest, _)| hash >= *largest) {
                return;
            }
            self.sample.pop_last();
        }
        self.sample.insert(hash, (lsn, row()));
    }

    /// Counts values of a column, of the index that was added last.
    pub fn column(&mut self, column: u16) -> &mut DistinctBuilder {
        let column = usize::from(column);
        if self.columns.len() <= column {
            self.columns.resize_with(column + 1, DistinctBuilder::default);
        }
        &mut self.columns[column]
    }

    fn close(&mut self) {
        let keys = std::mem::take(&mut self.keys);
        if keys == 0 {
            return;
        }
        let mut sample = std::mem::take(&mut self.sample);
        let mut cut = std::mem::take(&mut self.cut);
        let rows_max = (keys / KEYS_PER_SAMPLED).max(1);
        let mut below = None;
        while sample.len() as u64 > rows_max {
            below = sample.pop_last().map(|(hash, _)| hash);
            cut = true;
        }
        // Without a hash that was left out last, what follows the largest kept is unknown.
        let largest = sample.last_key_value().map_or(0, |(hash, _)| hash.saturating_add(1));
        let below = if cut { below.unwrap_or(largest) } else { u64::MAX };
        let rows = sample.into_iter().map(|(hash, (lsn, row))| SampledRow { hash, lsn, values: row.map(cut_row) });
        let sample = Sample { keys, below, rows: rows.collect() };
        let columns = std::mem::take(&mut self.columns).into_iter().map(DistinctBuilder::finish);
        let columns = (0..).map(ColumnId).zip(columns);
        let columns = columns.filter(|(_, distinct)| *distinct != Distinct::default()).collect();
        self.finished.push(IndexSketch { prefix: std::mem::take(&mut self.prefix), columns, sample });
    }

    pub fn finish(mut self) -> Vec<IndexSketch> {
        self.close();
        self.finished
    }
}

/// The values of a row, long ones cut; a row that cannot be taken apart has none.
fn cut_row(stored: Bytes) -> Vec<Option<PhysicalValue>> {
    let cut = |value| match value {
        PhysicalValue::Bytes(bytes) => {
            PhysicalValue::Bytes(Bytes::copy_from_slice(&bytes[..bytes.len().min(SAMPLED_BYTES_MAX)]))
        }
        other => other,
    };
    row::decode(&stored).unwrap_or_default().into_iter().map(|value| value.map(cut)).collect()
}

/// What came from outside has the shape that merging relies on.
pub fn check(sketches: &[IndexSketch]) -> Result<(), FormatError> {
    let sound = |distinct: &Distinct| match distinct {
        Distinct::Few(hashes) => hashes.len() <= FEW_MAX,
        Distinct::Many(registers) => registers.len() == REGISTERS,
    };
    match sketches.iter().flat_map(|sketch| &sketch.columns).all(|(_, distinct)| sound(distinct)) {
        true => Ok(()),
        false => Err(FormatError("a sketch has the wrong size")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: impl Iterator<Item = i64>) -> Distinct {
        let mut builder = DistinctBuilder::default();
        values.for_each(|value| builder.add(&PhysicalValue::Int64(value)));
        builder.finish()
    }

    #[test]
    fn different_values_are_counted_within_a_tenth() {
        for count in [0, 1, 64, 65, 300, 2_000, 2_600, 50_000, 1_000_000] {
            let counted = of((0..count).chain(0..count / 2)).count() as f64;
            assert!((counted - count as f64).abs() <= count as f64 * 0.1, "{counted} for {count}");
        }
        assert_eq!(of(0..64).count(), 64, "a few are counted exactly");
    }

    #[test]
    fn words_and_bytes_count_as_values_do() {
        for numbers in [0..50u64, 0..70, 0..4000] {
            let (mut values, mut words, mut bytes, mut texts) =
                <(DistinctBuilder, DistinctBuilder, DistinctBuilder, DistinctBuilder)>::default();
            let all: Vec<u64> = numbers.clone().chain(numbers.rev()).collect();
            words.add_words(&all);
            for number in all {
                values.add(&PhysicalValue::UInt64(number));
                bytes.add_bytes(&number.to_le_bytes());
                texts.add(&PhysicalValue::Bytes(Bytes::copy_from_slice(&number.to_le_bytes())));
            }
            assert_eq!((values.finish(), bytes.finish()), (words.finish(), texts.finish()));
        }
    }

    #[test]
    fn parts_come_to_the_same_as_the_whole() {
        for (first, second) in [(0..20, 10..50), (0..10, 0..5000), (0..5000, 2500..9000)] {
            let mut merged = DistinctBuilder::default();
            merged.merge(&of(first.clone()));
            merged.merge(&of(second.clone()));
            assert_eq!(merged.finish(), of(first.chain(second)));
        }
    }

    fn sketch(keys: std::ops::Range<u32>) -> Vec<IndexSketch> {
        let mut builder = SketchBuilder::default();
        for number in keys {
            let key = Key::from([&[0, 0, 0, 1, 0, 0, 0, (number / 10_000) as u8][..], &number.to_be_bytes()].concat());
            builder.add_key(&key, filter::hash(&key), Lsn(number.into()), || None);
            builder.column(1).add(&PhysicalValue::UInt64(number.into()));
        }
        builder.finish()
    }

    #[test]
    fn a_sample_has_all_keys_below_its_limit() {
        for (count, rows) in [(5, 1), (1000, 62), (10_000, 256)] {
            let [one] = &sketch(0..count)[..] else { panic!("one index") };
            assert_eq!(one.sample.rows.len(), rows, "{count}");
            assert!(one.sample.rows.iter().all(|row| row.hash < one.sample.below));
            let hash = |number: u32| filter::hash(&[&[0, 0, 0, 1, 0, 0, 0, 0][..], &number.to_be_bytes()].concat());
            assert_eq!((0..count).filter(|number| hash(*number) < one.sample.below).count(), rows);
            assert_eq!(one.columns.len(), 1);
        }
        assert_eq!(sketch(0..30_000).len(), 3);
        assert_eq!(sketch(0..0).len(), 0);
    }
}
