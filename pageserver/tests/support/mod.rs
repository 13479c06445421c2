//! What the tests of this crate stand on: a log in memory, an object store with faults, and a reference map.
#![allow(dead_code)]

pub mod faults;
pub mod log;
pub mod model;
pub mod world;

use bytes::Bytes;
use common::id::{ColumnId, IndexId, Lsn, TableId};
use common::key::{Key, index_prefix};
use common::physical::{PhysicalType, PhysicalValue};
use common::service::page::{Aggregates, PartialCall, ScanColumn, ScanOutput, TermStep};
use pageserver::{CacheConfig, Config};
use std::time::Duration;

/// Small everything, so that a few rows make blocks, layers and levels.
pub fn small_config() -> Config {
    Config {
        memtable_bytes_max: 4 << 10,
        memtables_bytes_max: 64 << 10,
        flush_interval: Duration::from_secs(3600),
        block_bytes: 400,
        block_rows_max: 6,
        layer_bytes_max: 2 << 10,
        level0_layers_max: 2,
        part_bytes: 4 << 10,
        level1_bytes: 24 << 10,
        level_growth: 3,
        scan_threads: 1,
        read_wait_max: Duration::from_secs(20),
        retention: Duration::from_secs(3600),
        delete_after: Duration::ZERO,
        orphans_after: Duration::ZERO,
        compaction_interval: Duration::from_secs(3600),
        manifests_kept: 2,
        tablet_bytes_min: 0,
        balance_interval: Duration::from_secs(3600),
        cache: CacheConfig { memory_bytes: 1 << 20, disk: None },
        ..Config::default()
    }
}

/// Keys of two indexes, of differing lengths, some of them prefixes of others.
pub fn key(number: u32) -> Key {
    let mut key = index_prefix(TableId(7), IndexId(number % 2)).to_vec();
    match number % 5 {
        0 => key.extend(number.to_be_bytes()),
        _ => key.extend(&number.to_be_bytes()[2..]),
    }
    key.into()
}

/// A row whose shape and values follow from `seed`: three to five columns, NULLs among them.
pub fn row(seed: u32) -> Bytes {
    let mut fields = vec![
        Some(PhysicalValue::Int64(i64::from(seed % 1000) - 500)),
        (!seed.is_multiple_of(7)).then(|| PhysicalValue::Bytes(Bytes::from(format!("text {}", seed % 20)))),
        Some(if seed.is_multiple_of(3) { PhysicalValue::Null } else { PhysicalValue::UInt64(u64::from(seed)) }),
    ];
    if seed.is_multiple_of(2) {
        fields.push(Some(PhysicalValue::Float64(f64::from(seed) / 3.0)));
    }
    if seed.is_multiple_of(4) {
        fields.push(Some(PhysicalValue::Int128(i128::from(seed) << 70)));
    }
    let present = fields.into_iter().zip(0..).filter_map(|(field, column)| Some((ColumnId(column), field?)));
    let mut row = expr::row_encoding::RowWriter::new();
    present.for_each(|(column, value)| row.put(column, value));
    row.finish()
}

pub fn columns() -> Vec<ScanColumn> {
    let column = |column, physical, default| ScanColumn { column: ColumnId(column), physical, default };
    vec![
        column(0, PhysicalType::Int64, PhysicalValue::Null),
        column(1, PhysicalType::Bytes, PhysicalValue::Bytes(Bytes::from_static(b"default"))),
        column(2, PhysicalType::UInt64, PhysicalValue::Null),
        column(3, PhysicalType::Float64, PhysicalValue::Float64(-1.0)),
        column(4, PhysicalType::Int128, PhysicalValue::Null),
        column(9, PhysicalType::Int64, PhysicalValue::Int64(9)),
    ]
}

/// The value that a scan gives for a column of a stored row.
pub fn value_of(row: &Bytes, column: &ScanColumn) -> PhysicalValue {
    let fields = pageserver::layer::row::decode(row).unwrap();
    fields.get(usize::from(column.column.0)).cloned().flatten().unwrap_or_else(|| column.default.clone())
}

pub fn output_of(kind: u8) -> ScanOutput {
    match kind % 8 {
        0 => ScanOutput::Rows,
        1 => ScanOutput::Keys,
        2 => ScanOutput::Columns(columns()),
        3 => ScanOutput::Columns(Vec::new()),
        4 | 5 => ScanOutput::Aggregates(Aggregates { columns: columns(), calls: calls() }),
        // What the index of a layer may know by itself.
        6 => ScanOutput::Aggregates(Aggregates { columns: columns(), calls: vec![PartialCall::Rows] }),
        _ => {
            let calls = vec![PartialCall::Rows, PartialCall::Count(2), PartialCall::Min(0), PartialCall::Max(2)];
            ScanOutput::Aggregates(Aggregates { columns: columns(), calls })
        }
    }
}

/// Every kind of call on every type that it takes.
fn calls() -> Vec<PartialCall> {
    use TermStep::{Add, Column, Constant, Multiply, Subtract};
    let each = 0..columns().len() as u16;
    let mut calls = vec![
        PartialCall::Rows,
        PartialCall::Sum(vec![Column(0)]),
        PartialCall::Sum(vec![Column(2)]),
        PartialCall::Sum(vec![Column(4), Column(5), Add]),
        PartialCall::Sum(vec![Column(0), Constant(100), Column(2), Subtract, Multiply]),
        PartialCall::Sum(vec![Column(0), Constant(1 << 60), Multiply, Column(2), Multiply]),
        PartialCall::Sum(vec![Constant(3), Constant(-4), Multiply]),
        PartialCall::SumDouble(3),
    ];
    calls.extend(each.clone().map(PartialCall::Count));
    calls.extend(each.clone().map(PartialCall::Min));
    calls.extend(each.map(PartialCall::Max));
    calls
}

pub fn lsn(number: u64) -> Lsn {
    Lsn(number)
}
