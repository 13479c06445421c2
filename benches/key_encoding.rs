//! Keys and rows as every read and write makes them: encoded from values and read back.

use common::id::{ColumnId, IndexId, TableId};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use expr::collation::CollationId;
use expr::eval::TimeZone;
use expr::key_encoding::{KeyBuilder, KeyPart};
use expr::row_encoding::{RowReader, RowWriter, from_physical, to_physical};
use expr::value::decimal::Decimal;
use expr::value::temporal::{DateRules, parse_datetime};
use expr::{MysqlType, TypeKind, Value};
use std::hint::black_box;

const UTC: TimeZone = TimeZone::Offset(0);

/// A row of an ordinary table: number, name, price, moment, remark.
fn columns() -> Vec<(MysqlType, Value)> {
    let text = |length| MysqlType::varchar(length, CollationId::UTF8MB4_0900_AI_CI);
    let price = Decimal::parse("12345.67").expect("a decimal");
    let moment = parse_datetime("2024-01-31 12:34:56.789", DateRules::LENIENT).expect("a moment").value;
    vec![
        (MysqlType::bigint(), Value::Int(1_234_567)),
        (text(100), Value::text("Ludovica Fernandez de la Cruz")),
        (MysqlType::new(TypeKind::Decimal { precision: 10, scale: 2, unsigned: false }), Value::Decimal(price)),
        (MysqlType::new(TypeKind::DateTime { fsp: 3 }), Value::DateTime(moment)),
        (text(255), Value::text("a remark of medium length, as people write them into forms, with an é in it")),
    ]
}

fn keys(criterion: &mut Criterion) {
    let columns = columns();
    let mut group = criterion.benchmark_group("key");
    group.throughput(Throughput::Elements(1));
    for (name, column) in [("bigint", 0), ("ascii_text", 1), ("decimal", 2), ("datetime", 3), ("text", 4)] {
        let (ty, value) = &columns[column];
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let mut key = KeyBuilder::new(TableId(7), IndexId(1));
                key.push(black_box(value), ty, KeyPart::default(), UTC).expect("fits its type");
                key.finish()
            });
        });
    }
    group.finish();
}

fn rows(criterion: &mut Criterion) {
    let columns = columns();
    let encode = || {
        let mut row = RowWriter::new();
        for (id, (ty, value)) in columns.iter().enumerate() {
            row.put(ColumnId(id as u16), to_physical(black_box(value), ty, UTC).expect("fits its type"));
        }
        row.finish()
    };
    let row = encode();
    let mut group = criterion.benchmark_group("row");
    group.throughput(Throughput::Bytes(row.len() as u64));
    group.bench_function("encode", |bencher| bencher.iter(encode));
    group.bench_function("decode", |bencher| {
        bencher.iter(|| {
            let reader = RowReader::new(black_box(&row)).expect("a row");
            let values = reader.columns().zip(&columns);
            values.map(|((_, stored), (ty, _))| from_physical(stored, ty, UTC).expect("fits")).collect::<Vec<_>>()
        });
    });
    group.bench_function("one_column", |bencher| {
        bencher.iter(|| {
            let reader = RowReader::new(black_box(&row)).expect("a row");
            let stored = reader.get(ColumnId(3)).expect("the row has it");
            from_physical(stored, &columns[3].0, UTC).expect("fits")
        });
    });
    group.finish();
}

criterion_group!(benches, keys, rows);
criterion_main!(benches);
