//! What the sketches of columns (`layer/sketch.rs`) take of the CPU time that writing a layer takes. Compactions also read
//! and merge, and flushes also upload, so the part of their time is smaller.
//!
//! `cargo bench --workspace --bench sketch_cost`; rows of TPC-H's lineitem, SKETCH_ROUNDS of them (default 9), fastest counts.

#[allow(dead_code, reason = "columns by name are another program's")]
#[path = "support/lineitem.rs"]
mod lineitem;
mod support;

use bytes::Bytes;
use common::id::Lsn;
use common::physical::PhysicalValue;
use pageserver::Config;
use pageserver::layer::row::{Fields, decode};
use pageserver::layer::sketch::SketchBuilder;
use pageserver::layer::writer::{LayerWriter, WriterOptions};
use pageserver::layer::{Compression, Version, filter};
use std::time::Duration;
use support::{number_from, process_cpu};

const COLUMNS: usize = 16;
const BLOCK_ROWS: usize = 1000;

fn main() {
    let mut no_file = std::io::sink();
    let rows = lineitem::rows(0.02, &mut no_file);
    let versions: Vec<Version> = rows.map(|(key, row)| Version { key, lsn: Lsn(1), row: Some(row) }).collect();
    let stored = versions.iter().filter_map(|version| version.row.as_ref());
    let fields: Vec<Fields> = stored.map(|row| decode(row).expect("a row")).collect();
    let columns: Vec<Values> = (0..COLUMNS).map(|column| Values::of(&fields, column)).collect();
    let hashes: Vec<u64> = versions.iter().map(|version| filter::hash(&version.key)).collect();
    let rows = versions.len();
    for (name, compression) in [("lz4", Compression::Lz4), ("zstd", Compression::Zstd { level: 1 })] {
        let config = Config::default();
        let options = WriterOptions { block_bytes: config.block_bytes, block_rows: config.block_rows_max, compression };
        let (mut layer, mut sketches) = (Duration::MAX, Duration::MAX);
        for _ in 0..number_from("SKETCH_ROUNDS", 9) {
            layer = layer.min(timed(|| {
                let mut writer = LayerWriter::new(options);
                versions.iter().for_each(|version| writer.push(version.clone()));
                writer.finish().expect("a layer").bytes.len()
            }));
            // As the writer does it: keys as they come, then the values of a block, column by column.
            sketches = sketches.min(timed(|| {
                let mut builder = SketchBuilder::default();
                for start in (0..rows).step_by(BLOCK_ROWS) {
                    let end = rows.min(start + BLOCK_ROWS);
                    for (version, hash) in versions[start..end].iter().zip(&hashes[start..end]) {
                        builder.add_key(&version.key, *hash, version.lsn, || version.row.clone());
                    }
                    for (column, values) in columns.iter().enumerate() {
                        let distinct = builder.column(column as u16);
                        match values {
                            Values::Words(words) => distinct.add_words(&words[start..end]),
                            Values::Bytes(texts) => texts[start..end].iter().for_each(|text| distinct.add_bytes(text)),
                        }
                    }
                }
                builder.finish().len()
            }));
        }
        let nanoseconds = |time: Duration| time.as_nanos() as f64 / rows as f64;
        println!(
            "{rows} rows of 16 columns, {name}: {:.0} ns of CPU per row to write, of which sketches {:.0} ns, {:.1} %",
            nanoseconds(layer),
            nanoseconds(sketches),
            sketches.as_secs_f64() * 100.0 / layer.as_secs_f64()
        );
    }
}

/// A column as the writer has it at hand.
enum Values {
    Words(Vec<u64>),
    Bytes(Vec<Bytes>),
}

impl Values {
    fn of(rows: &[Fields], column: usize) -> Values {
        let values = || rows.iter().filter_map(|row| row[column].as_ref());
        let words: Vec<u64> = values()
            .filter_map(|value| match value {
                PhysicalValue::Int64(number) => Some(*number as u64),
                _ => None,
            })
            .collect();
        let texts = values().filter_map(|value| match value {
            PhysicalValue::Bytes(text) => Some(text.clone()),
            _ => None,
        });
        if words.is_empty() { Values::Bytes(texts.collect()) } else { Values::Words(words) }
    }
}

fn timed<T>(work: impl FnOnce() -> T) -> Duration {
    let begun = process_cpu();
    std::hint::black_box(work());
    process_cpu() - begun
}
