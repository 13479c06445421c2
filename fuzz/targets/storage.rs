//! What is read from disk, from the object store and from other nodes. Each function is given any bytes, and has to come back:
//! with a value or an error, in time, and with what was read being written and read again as the same.
//!
//! Checksums do not help against bytes that somebody made; so they are made right here, and what is behind them is read.

#![allow(dead_code, reason = "each program takes its targets")]

use bytes::Bytes;
use common::branch_points::BranchPoints;
use common::cluster_map::{ClusterMap, Owner};
use common::key::table_and_index;
use common::log_archive;
use common::{prepared, rpc};
use expr::eval::TimeZone;
use expr::row_encoding::{PhysicalRef, RowReader, RowWriter, from_physical, physical_type};
use expr::{MysqlType, TypeKind};
use pageserver::layer::block::crc32c;
use pageserver::layer::column::keys::KeyColumn;
use pageserver::layer::{Block, filter, format, row};
use pageserver::manifest;

/// A body without its last four bytes, and with the checksum of the rest in their place.
fn with_checksum(bytes: &[u8]) -> Vec<u8> {
    let body = &bytes[..bytes.len().saturating_sub(4)];
    [body, &crc32c(body).to_le_bytes()].concat()
}

/// Messages between nodes.
pub fn rpc_frame(bytes: &[u8]) {
    rpc::fuzz::frame(bytes);
}

/// Rows and columns that a page server sends. (Checks of the Arrow reader are asserts, which are caught: not for libFuzzer,
/// which takes every panic for a find.)
pub fn rpc_batch(bytes: &[u8]) {
    rpc::fuzz::batch(bytes);
}

/// Records of the log.
pub fn log_record(bytes: &[u8]) {
    wal::fuzz::log_record(bytes);
}

/// The history beside the log.
pub fn history(bytes: &[u8]) {
    wal::fuzz::history(bytes);
}

/// Objects of the log's archive.
pub fn log_archive(bytes: &[u8]) {
    let whole = with_checksum(bytes);
    let _ = log_archive::Object::decode(&whole);
    if let Ok(base) = log_archive::Base::decode(&whole) {
        assert_eq!(log_archive::Base::decode(&base.encode()), Ok(base), "it is read as it was written");
    }
}

/// Rows that the log holds about the cluster itself.
pub fn cluster_row(bytes: &[u8]) {
    if let Ok(map) = ClusterMap::decode(bytes) {
        assert_eq!(ClusterMap::decode(&map.encode()), Ok(map), "it is read as it was written");
    }
    let _ = Owner::decode(bytes);
    let _ = BranchPoints::decode(Some(bytes));
    let _ = prepared::decode_head(bytes);
    let _ = prepared::decode(bytes);
}

pub fn manifest(bytes: &[u8]) {
    if let Ok(found) = manifest::decode(&with_checksum(bytes)) {
        let again = manifest::decode(&manifest::encode(&found));
        assert!(again.is_ok_and(|again| again == found), "it is read as it was written");
    }
}

/// Index and footer of a layer: the blocks before them are not looked at.
pub fn layer_index(bytes: &[u8]) {
    let Some(index_bytes) = bytes.len().checked_sub(format::FOOTER_BYTES) else { return };
    let mut tail = bytes.to_vec();
    let (index, footer) = tail.split_at_mut(index_bytes);
    footer[8..12].copy_from_slice(&(index_bytes as u32).to_le_bytes());
    footer[12..16].copy_from_slice(&crc32c(index).to_le_bytes());
    let crc = crc32c(&footer[..20]);
    footer[20..24].copy_from_slice(&crc.to_le_bytes());
    let offset = u64::from_le_bytes(footer[..8].try_into().expect("eight bytes"));
    let Some(file_bytes) = offset.checked_add(bytes.len() as u64) else { return };
    if let Ok(index) = format::decode_tail(&tail, file_bytes) {
        for key in index.blocks.iter().flat_map(|block| [&block.first, &block.last]) {
            let _ = table_and_index(key);
            let _ = index.filter.may_contain(filter::hash(key));
        }
    }
}

/// More than a writer puts into a block.
const ROWS_MAX: usize = 1 << 14;

/// A few of many: what is done with each may go through all.
fn some(keys: &[Bytes]) -> impl Iterator<Item = (usize, &Bytes)> {
    keys.iter().enumerate().step_by((keys.len() / 20).max(1))
}

/// A block of a layer, with every value in it.
pub fn layer_block(bytes: &[u8]) {
    let whole = Bytes::from(with_checksum(bytes));
    let Some(crc) = whole.last_chunk::<4>() else { return };
    let Ok(block) = Block::parse(&whole, u32::from_le_bytes(*crc)) else { return };
    // Constant columns of millions of rows are a few bytes, and are what they say they are.
    if block.rows() > ROWS_MAX {
        return;
    }
    let keys = block.keys().decode(0..block.rows());
    for (place, key) in some(&keys) {
        assert_eq!(block.key(place), *key);
        let _ = (block.lsn(place), block.is_tombstone(place), block.is_opaque(place));
        let found = block.find(key, block.lsn(place));
        // Blocks are written in order; where this one is not, nothing is promised but an answer.
        assert!(found.is_none_or(|found| found < block.rows()));
    }
    if block.check_rows().is_err() {
        return;
    }
    for place in 0..block.rows() {
        if let Ok(Some(stored)) = block.row(place) {
            let _ = row::decode(&stored);
        }
    }
}

/// Keys of a block. The first two bytes say how many rows they are for.
pub fn keys(bytes: &[u8]) {
    let Some((rows, column)) = bytes.split_first_chunk::<2>() else { return };
    let rows = usize::from(u16::from_le_bytes(*rows)) % 2_000 + 1;
    let Ok(column) = KeyColumn::parse(&Bytes::copy_from_slice(column), rows) else { return };
    let keys = column.decode(0..rows);
    assert_eq!(keys.len(), rows);
    for (place, key) in some(&keys) {
        assert_eq!(column.get(place), *key);
        assert!(column.equals(place, key));
        assert!(column.lower_bound(key) <= rows);
    }
}

/// A stored row: its columns, as values of every type.
pub fn stored_row(bytes: &[u8]) {
    let _ = row::decode(&Bytes::copy_from_slice(bytes));
    let Ok(reader) = RowReader::new(bytes) else { return };
    let types = types();
    let mut writer = RowWriter::new();
    for (column, value) in reader.columns() {
        assert!(reader.get(column).is_some_and(|got| same(got, value)));
        writer.put(column, value.to_owned());
        for ty in types.iter().filter(|ty| value.physical_type().is_none_or(|stored| stored == physical_type(ty))) {
            let _ = from_physical(value, ty, TimeZone::Offset(0));
        }
    }
    let again = writer.finish();
    let again = RowReader::new(&again).expect("what was read can be written");
    assert_eq!(again.columns().count(), reader.columns().count());
    let mut pairs = again.columns().zip(reader.columns());
    assert!(pairs.all(|(left, right)| left.0 == right.0 && same(left.1, right.1)), "it is read as it was written");
}

/// NaN is itself here.
fn same(left: PhysicalRef<'_>, right: PhysicalRef<'_>) -> bool {
    match (left, right) {
        (PhysicalRef::Float64(left), PhysicalRef::Float64(right)) => left.to_bits() == right.to_bits(),
        (left, right) => left == right,
    }
}

fn types() -> Vec<MysqlType> {
    let members: std::sync::Arc<[String]> = std::sync::Arc::from(["a".to_owned(), "b".to_owned()]);
    let decimal = |precision| TypeKind::Decimal { precision, scale: 2, unsigned: false };
    [
        TypeKind::Date,
        TypeKind::DateTime { fsp: 6 },
        TypeKind::Timestamp { fsp: 0 },
        TypeKind::Time { fsp: 3 },
        TypeKind::Year,
        TypeKind::Json,
        TypeKind::Enum(members.clone()),
        TypeKind::Set(members),
        TypeKind::VarBinary { length: 40 },
        decimal(10),
        decimal(30),
        decimal(65),
    ]
    .into_iter()
    .map(MysqlType::new)
    .chain([
        MysqlType::bigint(),
        MysqlType::bigint_unsigned(),
        MysqlType::double(),
        MysqlType::varchar(9, expr::collation::CollationId::UTF8MB4_BIN),
    ])
    .collect()
}
