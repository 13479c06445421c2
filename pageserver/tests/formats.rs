//! Files of every released format stay readable. To add one: run with `DRUMLIN_WRITE_GOLDEN=1`, and commit the file.

mod support;

use bytes::Bytes;
use common::cluster_map::{ClusterMap, MapChange};
use common::id::{ColumnId, CounterId, IndexId, Lsn, TableId, TabletId};
use common::key::Key;
use common::physical::PhysicalValue;
use expr::row_encoding::RowWriter;
use pageserver::layer::writer::{LayerWriter, WriterOptions};
use pageserver::layer::{Block, Compression, Version, format};
use pageserver::manifest::{self, Kept, LayerMeta, Manifest};
use std::path::PathBuf;
use support::key;

fn golden(name: &str, today: impl FnOnce() -> Vec<u8>) -> Bytes {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/formats").join(name);
    if std::env::var_os("DRUMLIN_WRITE_GOLDEN").is_some() && !path.exists() {
        std::fs::write(&path, today()).unwrap();
    }
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).into()
}

/// Every encoding, both kinds of keys, tombstones, several versions of a key, NULLs, and a row that is none.
fn versions() -> Vec<Version> {
    let mut versions = Vec::new();
    for number in 0..600u32 {
        let mut fields = vec![
            (ColumnId(0), PhysicalValue::Int64(i64::from(number) * 1_000_003)),
            (ColumnId(1), PhysicalValue::UInt64(u64::from(number / 50))),
            (ColumnId(2), PhysicalValue::Float64([0.5, 1.25, -3.0][number as usize % 3])),
            (ColumnId(3), PhysicalValue::Bytes(Bytes::from(format!("a longer text, number {number}")))),
            (ColumnId(4), PhysicalValue::Bytes(Bytes::from(["red", "green", "blue"][number as usize % 3]))),
            (ColumnId(5), PhysicalValue::Int128(i128::from(number) << 64)),
            (ColumnId(6), PhysicalValue::Int256([number as u8; 32])),
            (ColumnId(7), PhysicalValue::Int64(i64::from(number.wrapping_mul(2_654_435_761) % 1000) - 500)),
        ];
        if number % 4 == 0 {
            fields[3].1 = PhysicalValue::Null;
        }
        fields.truncate(8 - number as usize % 3);
        let mut row = RowWriter::new();
        fields.into_iter().for_each(|(column, value)| row.put(column, value));
        let row = row.finish();
        let lsn = u64::from(number) + 10;
        versions.push(Version { key: key(number), lsn: Lsn(lsn), row: (number % 9 != 0).then(|| row.clone()) });
        if number % 5 == 0 {
            versions.push(Version { key: key(number), lsn: Lsn(lsn - 9), row: Some(row) });
        }
    }
    versions.push(Version { key: key(601), lsn: Lsn(1), row: Some(Bytes::from_static(b"no row at all")) });
    versions.sort_by(|a, b| a.key.cmp(&b.key).then(b.lsn.cmp(&a.lsn)));
    versions
}

/// What version 2 added: many keys of one length.
fn versions_2() -> Vec<Version> {
    let mut versions = versions();
    let mut key = common::key::index_prefix(TableId(8), IndexId(1)).to_vec();
    key.push(1);
    for number in 0..300u64 {
        let mut key = key.clone();
        key.extend((number * 7).to_be_bytes());
        versions.push(Version { key: key.into(), lsn: Lsn(number), row: versions[1].row.clone() });
    }
    versions
}

fn layer(versions: Vec<Version>, compression: Compression) -> Vec<u8> {
    let mut writer = LayerWriter::new(WriterOptions { block_bytes: 16 << 10, block_rows: 1000, compression });
    versions.into_iter().for_each(|version| writer.push(version));
    writer.finish().unwrap().bytes
}

fn index_of(bytes: &Bytes) -> format::Index {
    let footer = &bytes[bytes.len() - format::FOOTER_BYTES..];
    let index_offset = u64::from_le_bytes(footer[..8].try_into().unwrap()) as usize;
    format::decode_tail(&bytes[index_offset..], bytes.len() as u64).unwrap()
}

fn read_layer(bytes: &Bytes, version: u8) -> Vec<Version> {
    assert_eq!(bytes[..8], [&b"DRUMLYR"[..], &[version]].concat());
    let index = index_of(bytes);
    let mut versions = Vec::new();
    for entry in &index.blocks {
        let start = entry.offset as usize;
        let block = Block::parse(&bytes.slice(start..start + entry.length as usize), entry.crc).unwrap();
        assert_eq!(block.rows(), entry.rows as usize);
        for index in 0..block.rows() {
            versions.push(Version { key: block.key(index), lsn: block.lsn(index), row: block.row(index).unwrap() });
        }
    }
    versions
}

/// As version 1 had it: one tablet, and all layers at home in it.
fn sample_manifest() -> Manifest {
    let mut manifest = Manifest::empty(TabletId(1), 0xfeed).taken_over(0xbeef);
    manifest.durable = Lsn(700);
    manifest.durable_time_us = 1_700_000_000_000_000;
    manifest.kept = Kept::new(Lsn(3), &[]);
    manifest.tombstones_dropped = Lsn(2);
    manifest.counters = vec![(CounterId(4), 12_345)];
    manifest.layers = vec![LayerMeta {
        home: TabletId(1),
        generation: 1,
        sequence: 2,
        level: 1,
        bytes: 5_000,
        index_offset: 4_000,
        first: key(1),
        last: key(2),
        lsn_min: Lsn(1),
        lsn_max: Lsn(700),
        versions: 99,
        tombstones: 9,
        stamped: false,
    }];
    if manifest.layers[0].first > manifest.layers[0].last {
        let layer = &mut manifest.layers[0];
        std::mem::swap(&mut layer.first, &mut layer.last);
    }
    manifest
}

const COMPRESSIONS: [(&str, Compression); 2] = [("lz4", Compression::Lz4), ("zstd", Compression::Zstd { level: 1 })];

#[test]
fn layer_1() {
    for (name, _) in COMPRESSIONS {
        let bytes = golden(&format!("layer-1-{name}.bin"), || panic!("nothing writes version 1 any more"));
        assert_eq!(read_layer(&bytes, 1), versions(), "{name}");
    }
}

#[test]
fn layer_2() {
    for (name, _) in COMPRESSIONS {
        let bytes = golden(&format!("layer-2-{name}.bin"), || panic!("nothing writes version 2 any more"));
        assert_eq!(read_layer(&bytes, 2), versions_2(), "{name}");
        assert_eq!(index_of(&bytes).sketches, []);
    }
}

#[test]
fn layer_3() {
    for (name, compression) in COMPRESSIONS {
        let today: Bytes = layer(versions_2(), compression).into();
        let bytes = golden(&format!("layer-3-{name}.bin"), || today.to_vec());
        assert_eq!(read_layer(&bytes, 3), versions_2(), "{name}");
        assert_eq!(read_layer(&today, 3), versions_2(), "{name}, written today");
        // Figures of layers of different ages are put together: they must mean the same for ever.
        assert_eq!(index_of(&bytes).sketches, index_of(&today).sketches);
        let [first, _, second] = &index_of(&bytes).sketches[..] else { panic!("keys of three indexes") };
        let distinct = |column: usize| first.columns[column].1.count();
        assert_eq!((distinct(1), distinct(2), distinct(4)), (12, 3, 3));
        assert_eq!((second.sample.rows.len(), second.columns.len()), (18, 7));
    }
}

#[test]
fn manifest_1() {
    let bytes = golden("manifest-1.bin", || panic!("nothing writes version 1 any more"));
    assert_eq!(manifest::decode(&bytes).unwrap(), sample_manifest());
}

/// Tablets that came of splits, and a layer of one that is gone.
fn sample_manifest_2() -> Manifest {
    let split = |map: ClusterMap, at: &[u8]| {
        let tablet = map.tablet_of(at);
        map.changed(&MapChange::Split { tablet, at: Key::copy_from_slice(at) }).unwrap()
    };
    let mut manifest = sample_manifest();
    manifest.map = Some(split(split(ClusterMap::default(), b"t"), b"k"));
    manifest.layers.push(LayerMeta { home: TabletId(9), level: 2, ..manifest.layers[0].clone() });
    manifest
}

#[test]
fn manifest_2() {
    let bytes = golden("manifest-2.bin", || panic!("nothing writes version 2 any more"));
    assert_eq!(manifest::decode(&bytes).unwrap(), sample_manifest_2());
}

/// With a layer that was written ahead of its commit.
fn sample_manifest_3() -> Manifest {
    let mut manifest = sample_manifest_2();
    let bulk = LayerMeta { sequence: 3, level: 0, lsn_min: Lsn(650), lsn_max: Lsn(650), ..manifest.layers[0].clone() };
    manifest.layers.insert(0, LayerMeta { stamped: true, tombstones: 0, ..bulk });
    manifest
}

#[test]
fn manifest_3() {
    let bytes = golden("manifest-3.bin", || panic!("nothing writes version 3 any more"));
    assert_eq!(manifest::decode(&bytes).unwrap(), sample_manifest_3());
}

/// With branch points, two of them below the horizon.
#[test]
fn manifest_4() {
    let mut manifest = sample_manifest_3();
    manifest.kept = Kept::new(Lsn(300), &[Lsn(100), Lsn(299)]);
    manifest.points = vec![Lsn(100), Lsn(299), Lsn(650)];
    let bytes = golden("manifest-4.bin", || manifest::encode(&manifest));
    assert_eq!(manifest::decode(&bytes).unwrap(), manifest);
    manifest.points.swap(0, 1);
    assert!(manifest::decode(&manifest::encode(&manifest)).is_err(), "out of order");
}
