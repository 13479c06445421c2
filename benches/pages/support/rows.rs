//! A table of ten columns for point reads: numbers, a price, names, a sentence; about 130 bytes a row.

use bytes::Bytes;
use common::id::ColumnId;
use common::physical::PhysicalValue;
use expr::row_encoding::RowWriter;

/// `salt` tells the versions of a row apart.
pub fn row(number: u64, salt: u64) -> Bytes {
    let mixed = (number ^ salt << 40).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut row = RowWriter::new();
    let text = |text: String| PhysicalValue::Bytes(Bytes::from(text));
    row.put(ColumnId(0), PhysicalValue::Int64(number as i64));
    row.put(ColumnId(1), PhysicalValue::Int64((mixed >> 40) as i64));
    row.put(ColumnId(2), PhysicalValue::Int64((mixed % 50) as i64));
    row.put(ColumnId(3), PhysicalValue::UInt64(mixed % 7));
    row.put(ColumnId(4), PhysicalValue::Int64((mixed % 10_000_000) as i64));
    row.put(ColumnId(5), PhysicalValue::Int64((number / 100) as i64));
    row.put(ColumnId(6), PhysicalValue::Float64((mixed % 1000) as f64 / 8.0));
    row.put(ColumnId(7), text(["AIR", "SHIP", "TRUCK"][mixed as usize % 3].into()));
    row.put(ColumnId(8), text(format!("user{:08x}@example.com", mixed >> 32)));
    row.put(ColumnId(9), text(format!("some words about item {} and {number}", mixed % 997)));
    row.finish()
}
