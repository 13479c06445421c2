//! The reference: every version of every key in a map, and what reads must give.

use super::{columns, value_of};
use arrow::array::{Array, AsArray};
use arrow::datatypes::*;
use bytes::Bytes;
use common::id::Lsn;
use common::key::Key;
use common::physical::{PhysicalType, PhysicalValue};
use common::service::PageService;
use common::service::page::*;
use futures::StreamExt;
use std::collections::BTreeMap;

#[derive(Default, Clone)]
pub struct Model {
    versions: BTreeMap<Key, Vec<(Lsn, Option<Bytes>)>>,
}

impl Model {
    pub fn commit(&mut self, lsn: Lsn, changes: &[(Key, Option<Bytes>)]) {
        for (key, row) in changes {
            self.versions.entry(key.clone()).or_default().push((lsn, row.clone()));
        }
    }

    /// Forgets what is above `lsn`: it was lost with the log.
    pub fn truncate(&mut self, lsn: Lsn) {
        for versions in self.versions.values_mut() {
            versions.retain(|version| version.0 <= lsn);
        }
        self.versions.retain(|_, versions| !versions.is_empty());
    }

    pub fn get(&self, key: &Key, lsn: Lsn) -> Option<RowVersion> {
        let version = self.versions.get(key)?.iter().rev().find(|version| version.0 <= lsn)?;
        Some(RowVersion { lsn: version.0, row: version.1.clone()? })
    }

    pub fn newest(&self, key: &Key) -> Option<(Lsn, bool)> {
        self.versions.get(key)?.last().map(|(lsn, row)| (*lsn, row.is_some()))
    }

    /// All rows that the ranges hold, in the order of the scan, without limit and bounds.
    pub fn scan(&self, request: &ScanRequest) -> Vec<ScannedRow> {
        let mut rows: Vec<ScannedRow> = self
            .versions
            .keys()
            .filter(|key| request.ranges.iter().any(|range| range.contains(key)))
            .filter_map(|key| {
                let version = self.get(key, request.lsn)?;
                Some(ScannedRow { key: key.clone(), lsn: version.lsn, row: version.row })
            })
            .collect();
        if request.direction == Direction::Backward {
            rows.reverse();
        }
        rows
    }
}

fn meets(row: &Bytes, bounds: &[ColumnBound]) -> bool {
    bounds.iter().all(|bound| {
        let column = columns().into_iter().find(|column| column.column == bound.column).unwrap();
        match (value_of(row, &column), &bound.min, &bound.max) {
            (PhysicalValue::Int64(value), min, max) => {
                let at_least = !matches!(min, Some(PhysicalValue::Int64(min)) if value < *min);
                at_least && !matches!(max, Some(PhysicalValue::Int64(max)) if value > *max)
            }
            _ => false,
        }
    })
}

/// Reads all batches of a scan as rows of values.
pub async fn collect(service: &dyn PageService, request: &ScanRequest) -> Result<Vec<Vec<PhysicalValue>>, PageError> {
    let mut stream = service.scan(request.clone()).await?;
    let mut rows = Vec::new();
    while let Some(batch) = stream.next().await {
        match batch? {
            ScanBatch::Rows(batch) => {
                assert!(!batch.is_empty() && batch.len() <= request.batch_rows, "batch size");
                rows.extend(batch.into_iter().map(scanned));
            }
            ScanBatch::Aggregates(values) => rows.push(values),
            ScanBatch::Columns(batch) => {
                assert!(batch.num_rows() > 0 && batch.num_rows() <= request.batch_rows, "batch size");
                rows.extend(
                    (0..batch.num_rows())
                        .map(|row| batch.columns().iter().map(|array| value_at(&**array, row)).collect::<Vec<_>>()),
                );
            }
        }
    }
    Ok(rows)
}

fn scanned(row: ScannedRow) -> Vec<PhysicalValue> {
    vec![PhysicalValue::Bytes(row.key), PhysicalValue::UInt64(row.lsn.0), PhysicalValue::Bytes(row.row)]
}

fn expected(row: &ScannedRow, output: &ScanOutput) -> Vec<PhysicalValue> {
    match output {
        ScanOutput::Rows => scanned(row.clone()),
        ScanOutput::Keys => scanned(ScannedRow { row: Bytes::new(), ..row.clone() }),
        ScanOutput::Columns(columns) => columns.iter().map(|column| value_of(&row.row, column)).collect(),
        ScanOutput::Aggregates(_) => Vec::new(),
    }
}

/// Doubles are added up in another order where there are several tablets.
fn is_same(got: &PhysicalValue, wanted: &PhysicalValue) -> bool {
    match (got, wanted) {
        (PhysicalValue::Float64(got), PhysicalValue::Float64(wanted)) => (got - wanted).abs() <= wanted.abs() * 1e-9,
        _ => got == wanted,
    }
}

fn value_at(array: &dyn Array, row: usize) -> PhysicalValue {
    if array.is_null(row) {
        return PhysicalValue::Null;
    }
    match array.data_type() {
        DataType::Int64 => PhysicalValue::Int64(array.as_primitive::<Int64Type>().value(row)),
        DataType::UInt64 => PhysicalValue::UInt64(array.as_primitive::<UInt64Type>().value(row)),
        DataType::Float64 => PhysicalValue::Float64(array.as_primitive::<Float64Type>().value(row)),
        DataType::Binary => PhysicalValue::Bytes(Bytes::copy_from_slice(array.as_binary::<i32>().value(row))),
        other if *other == PhysicalType::Int128.arrow() => {
            PhysicalValue::Int128(array.as_primitive::<Decimal128Type>().value(row))
        }
        other => panic!("unexpected array {other}"),
    }
}

/// Compares a scan with the reference. Where bounds are given, rows that do not meet them may be left out.
pub async fn check_scan(service: &dyn PageService, model: &Model, request: &ScanRequest) -> Result<(), PageError> {
    let got = collect(service, request).await?;
    let all = model.scan(request);
    if let ScanOutput::Aggregates(wanted) = &request.output {
        let values = |row: &ScannedRow| wanted.columns.iter().map(|column| value_of(&row.row, column)).collect();
        let expected = expr::partial::of_rows(wanted, &request.bounds, all.iter().map(values)).unwrap();
        let [got] = &got[..] else { panic!("{} batches of aggregates", got.len()) };
        let same =
            got.len() == expected.len() && got.iter().zip(&expected).all(|(got, expected)| is_same(got, expected));
        assert!(same, "{got:?} are not {expected:?}; {request:?}");
        return Ok(());
    }
    let limit = request.limit.map_or(usize::MAX, |limit| limit as usize);
    if request.bounds.is_empty() {
        let wanted: Vec<_> = all.iter().take(limit).map(|row| expected(row, &request.output)).collect();
        assert_eq!(got, wanted, "{request:?}");
        return Ok(());
    }
    if request.output == ScanOutput::Columns(Vec::new()) {
        // Rows without columns cannot be told apart: only their number can be wrong.
        let fewest = all.iter().filter(|row| meets(&row.row, &request.bounds)).count();
        assert!(got.len() >= fewest.min(limit) && got.len() <= all.len().min(limit), "{request:?}");
        return Ok(());
    }
    // What came must be a subsequence of all rows that leaves out none that meets the bounds.
    let mut got = got.into_iter().peekable();
    let mut count = 0;
    for row in &all {
        if count == limit {
            break;
        }
        if got.peek() == Some(&expected(row, &request.output)) {
            got.next();
            count += 1;
        } else {
            assert!(!meets(&row.row, &request.bounds), "{row:?} is missing; {request:?}");
        }
    }
    assert_eq!(got.next(), None, "a row that should not be there; {request:?}");
    Ok(())
}
