//! TPC-H's lineitem: as stored rows, and as the CSV file that peers read.

use super::support::key;
use bytes::Bytes;
use common::id::ColumnId;
use common::key::Key;
use common::physical::PhysicalValue;
use expr::row_encoding::RowWriter;
use std::io::Write;
use tpchgen::generators::{LineItem, LineItemGenerator};

pub const EXTENDEDPRICE: u16 = 5;
pub const DISCOUNT: u16 = 6;
pub const SHIPDATE: u16 = 10;

/// As `expr` stores a DATE.
pub fn date(year: i64, month: i64, day: i64) -> i64 {
    year * 512 + month * 32 + day
}

/// All rows, keyed by order and line number; each is also written to `csv`.
pub fn rows(scale_factor: f64, csv: &mut impl Write) -> impl Iterator<Item = (Key, Bytes)> {
    LineItemGenerator::new(scale_factor, 1, 1).iter().map(move |item| {
        // One closing separator, as TPC-H has it, is not part of a CSV line.
        let line = item.to_string();
        writeln!(csv, "{}", line.trim_end_matches('|')).expect("write the CSV file");
        (key(&[item.l_orderkey, i64::from(item.l_linenumber)]), row(&item))
    })
}

fn row(item: &LineItem) -> Bytes {
    let integer = PhysicalValue::Int64;
    let text = |text: &str| PhysicalValue::Bytes(Bytes::copy_from_slice(text.as_bytes()));
    let day = |day: tpchgen::dates::TPCHDate| {
        let text = day.to_string();
        let mut parts = text.split('-').map(|part| part.parse::<i64>().expect("a date"));
        let mut part = || parts.next().expect("three parts");
        integer(date(part(), part(), part()))
    };
    let values = [
        integer(item.l_orderkey),
        integer(item.l_partkey),
        integer(item.l_suppkey),
        integer(i64::from(item.l_linenumber)),
        integer(item.l_quantity * 100),
        integer(item.l_extendedprice.0),
        integer(item.l_discount.0),
        integer(item.l_tax.0),
        text(item.l_returnflag),
        text(item.l_linestatus),
        day(item.l_shipdate),
        day(item.l_commitdate),
        day(item.l_receiptdate),
        text(item.l_shipinstruct),
        text(item.l_shipmode),
        text(item.l_comment),
    ];
    let mut row = RowWriter::new();
    values.into_iter().zip(0..).for_each(|(value, column)| row.put(ColumnId(column), value));
    row.finish()
}
