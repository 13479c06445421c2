//! Blocks of layers: parsing one as it comes from the store, reading one row of it, decoding whole columns.
//!
//! `cargo bench --bench block_decode`.

use bytes::Bytes;
use common::id::{ColumnId, IndexId, Lsn, TableId};
use common::key::index_prefix;
use common::physical::{PhysicalType, PhysicalValue};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use expr::row_encoding::RowWriter;
use pageserver::layer::block::Block;
use pageserver::layer::encode;
use pageserver::layer::{Compression, Version};
use std::hint::black_box;

const ROWS: u64 = 1000;

fn versions() -> Vec<Version> {
    let version = |number: u64| {
        let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut row = RowWriter::new();
        row.put(ColumnId(0), PhysicalValue::Int64(number as i64));
        row.put(ColumnId(1), PhysicalValue::Int64((mixed >> 40) as i64));
        row.put(ColumnId(2), PhysicalValue::UInt64(mixed % 7));
        row.put(ColumnId(3), PhysicalValue::Float64((mixed % 1000) as f64 / 8.0));
        row.put(ColumnId(4), PhysicalValue::Bytes(Bytes::from(["AIR", "SHIP", "TRUCK"][mixed as usize % 3])));
        row.put(ColumnId(5), PhysicalValue::Bytes(Bytes::from(format!("some words about item {}", mixed % 997))));
        let mut key = index_prefix(TableId(1), IndexId(0)).to_vec();
        key.extend(number.to_be_bytes());
        Version { key: key.into(), lsn: Lsn(number / 100 + 1), row: Some(row.finish()) }
    };
    (0..ROWS).map(version).collect()
}

fn benches(criterion: &mut Criterion) {
    let versions = versions();
    for (name, compression) in [("lz4", Compression::Lz4), ("zstd", Compression::Zstd { level: 1 })] {
        let encoded = encode::encode(&versions, compression);
        let bytes = Bytes::from(encoded.bytes);
        let mut group = criterion.benchmark_group(format!("block of {ROWS} rows, {name}, {} bytes", bytes.len()));
        group.bench_function("encode", |bencher| bencher.iter(|| encode::encode(black_box(&versions), compression)));
        group.bench_function("parse", |bencher| bencher.iter(|| Block::parse(black_box(&bytes), encoded.crc)));
        group.bench_function("parse and read a row", |bencher| {
            bencher.iter(|| Block::parse(black_box(&bytes), encoded.crc).expect("sound").row(500));
        });
        let parsed = Block::parse(&bytes, encoded.crc).expect("sound");
        let mut number = 0;
        group.bench_function("find and read a row", |bencher| {
            bencher.iter(|| {
                number = (number + 7) % ROWS as usize;
                let row = parsed.find(black_box(&versions[number].key), Lsn::MAX).expect("present");
                parsed.row(row)
            });
        });
        group.throughput(Throughput::Elements(ROWS));
        for (column, physical) in [(0, PhysicalType::Int64), (1, PhysicalType::Int64), (5, PhysicalType::Bytes)] {
            group.bench_function(format!("values of column {column}, {physical:?}"), |bencher| {
                bencher.iter(|| {
                    let column = parsed.column(ColumnId(column)).expect("present");
                    (0..ROWS as usize).map(|row| column.value(black_box(row))).filter(Result::is_ok).count()
                });
            });
        }
        group.finish();
    }
}

criterion_group!(block_decode, benches);
criterion_main!(block_decode);
