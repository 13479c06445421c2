//! Large tables are scanned in parts of about equally many rows, one for each thread.
//!
//! Where they are cut is said by the values that page servers know of the first column of the primary key; only for integers,
//! whose values are known in full.

use crate::execute::analytic::runtime;
use crate::execute::codec::{self, Edge};
use crate::execute::row::QueryContext;
use crate::sql::plan::Scan;
use common::key::KeyRange;
use common::physical::PhysicalValue;
use expr::SqlError;
use expr::row_encoding::{PhysicalRef, from_physical};

/// Below so many rows one thread is soon done.
const ROWS_MIN: u64 = 100_000;

/// The keys of all of a table with about `rows` rows, in parts; `None` if it is read as a whole.
pub async fn parts(scan: &Scan, rows: u64, context: &QueryContext) -> Result<Option<Vec<KeyRange>>, SqlError> {
    let count = runtime::threads();
    let table = &scan.table;
    let clustered = table.clustered();
    let Some(first) = clustered.parts.first() else { return Ok(None) };
    let Some((_, column)) = table.column_by_id(first.column) else { return Ok(None) };
    if rows < ROWS_MIN || count < 2 || first.descending || !column.ty.is_integer() {
        return Ok(None);
    }
    let whole = KeyRange::index(table.id, clustered.id);
    let Ok(figures) = context.view.pages.figures(whole).await else { return Ok(None) };
    let known = figures.columns.iter().find(|figures| figures.column == column.id);
    let Some(quantiles) = known.map(|known| &known.quantiles).filter(|quantiles| quantiles.len() >= count) else {
        return Ok(None);
    };
    let zone = context.eval.time_zone;
    let mut cuts = Vec::new();
    for part in 1..count {
        let stored = match &quantiles[part * quantiles.len() / count] {
            PhysicalValue::Int64(number) => PhysicalRef::Int64(*number),
            PhysicalValue::UInt64(number) => PhysicalRef::UInt64(*number),
            _ => return Ok(None),
        };
        cuts.push(from_physical(stored, &column.ty, zone)?);
    }
    let mut ranges = Vec::with_capacity(count);
    let mut low = None;
    for cut in cuts {
        let high = Edge { value: cut.clone(), inclusive: false };
        ranges.extend(codec::index_range(table, clustered, &[], low.as_ref(), Some(&high), zone)?);
        low = Some(Edge { value: cut, inclusive: true });
    }
    ranges.extend(codec::index_range(table, clustered, &[], low.as_ref(), None, zone)?);
    Ok(Some(ranges))
}
