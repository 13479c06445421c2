//! Access paths: which index a scan reads, and which part of it.
//!
//! The filter stays as it is; the access only has to give every row that the filter keeps.

mod terms;

pub use terms::Terms;

use super::selectivity::{self, Column};
use super::{Block, Statistics};
use crate::catalog::schema::{IndexDef, IndexKind};
use crate::execute::codec;
use crate::sql::plan::{Access, IndexHintKind, Node, Scan, walk};
use expr::Expression;

/// Keys of one access, at most; IN lists multiply.
const KEYS_MAX: usize = 1024;
/// What fetching the row costs beside an entry of a secondary index.
const FETCH_COST: f64 = 3.0;

/// An access with what it is expected to read.
#[derive(Debug, Clone)]
pub struct Choice {
    pub access: Access,
    pub rows: f64,
    pub cost: f64,
}

/// Gives all scans that read everything the best access that their filters allow.
pub fn choose_all(node: &mut Node, block: &Block) {
    walk::each_input_mut(node, &mut |input| choose_all(input, block));
    if let Node::Scan(scan) = node
        && matches!(scan.access, Access::Full)
        && let Some(choice) = choose(scan, block.statistics)
    {
        scan.access = choice.access;
    }
}

/// The best access of a scan; `None` if reading everything is no worse.
pub fn choose(scan: &Scan, statistics: &dyn Statistics) -> Option<Choice> {
    let terms = Terms::of(scan);
    if terms.is_empty() {
        return all_of_hinted(scan, statistics);
    }
    let table_rows = (statistics.rows(&scan.table) as f64).max(1.0);
    let forced = scan.hints.iter().any(|hint| hint.kind == IndexHintKind::Force);
    let mut best: Option<Choice> = None;
    for (position, index) in scan.table.indexes.iter().enumerate() {
        if !is_readable(index) || !is_allowed(scan, index) {
            continue;
        }
        if let Some(choice) = on_index(scan, position, index, &terms, table_rows, statistics)
            && best.as_ref().is_none_or(|best| choice.cost < best.cost)
        {
            best = Some(choice);
        }
    }
    best.filter(|best| forced || best.cost < table_rows || matches!(best.access, Access::Point { .. }))
}

/// All of an index that USE or FORCE INDEX asks for, if it has all that is wanted: in its order, as in MySQL.
fn all_of_hinted(scan: &Scan, statistics: &dyn Statistics) -> Option<Choice> {
    let hinted = scan.hints.iter().any(|hint| hint.kind != IndexHintKind::Ignore);
    let serves = |(position, index): &(usize, &IndexDef)| {
        *position > 0
            && is_readable(index)
            && is_allowed(scan, index)
            && codec::is_covered(&scan.table, index, &scan.columns)
    };
    let found = scan.table.indexes.iter().enumerate().find(serves).filter(|_| hinted && scan.lock.is_none())?;
    let rows = statistics.rows(&scan.table) as f64;
    let access = Access::Range { index: found.0, prefix: Vec::new(), low: None, high: None, descending: false };
    Some(Choice { access, rows, cost: rows })
}

/// Entries of the index are there for all rows.
pub fn is_readable(index: &IndexDef) -> bool {
    index.kind == IndexKind::Btree && !index.building && !index.invisible && !index.parts.is_empty()
}

/// What USE, FORCE and IGNORE INDEX leave.
pub fn is_allowed(scan: &Scan, index: &IndexDef) -> bool {
    let names_it = |names: &[String]| names.iter().any(|name| name.eq_ignore_ascii_case(&index.name));
    let mut wanted = scan.hints.iter().filter(|hint| hint.kind != IndexHintKind::Ignore).peekable();
    let is_wanted = wanted.peek().is_none() || wanted.any(|hint| names_it(&hint.indexes));
    let is_ignored = scan.hints.iter().any(|hint| hint.kind == IndexHintKind::Ignore && names_it(&hint.indexes));
    is_wanted && !is_ignored
}

fn on_index(
    scan: &Scan,
    position: usize,
    index: &IndexDef,
    terms: &Terms,
    table_rows: f64,
    statistics: &dyn Statistics,
) -> Option<Choice> {
    // An entry costs its row besides, unless it has all that is wanted.
    let row_cost = match position {
        0 => 1.0,
        _ if scan.lock.is_none() && codec::is_covered(&scan.table, index, &scan.columns) => 0.7,
        _ => FETCH_COST,
    };
    if let Some(keys) = point_keys(scan, index, terms) {
        let rows = (keys.len() as f64).min(table_rows);
        return Some(Choice { access: Access::Point { index: position, keys }, rows, cost: rows * row_cost * 0.5 });
    }
    let column_of = |part: usize| {
        let part = index.parts.get(part)?;
        scan.table.column_by_id(part.column).map(|(column, _)| column)
    };
    let mut prefix = Vec::new();
    let mut selectivity = 1.0;
    while let Some(column) = column_of(prefix.len())
        && let Some(value) = terms.equal_or_null(column)
    {
        selectivity *= match Column::of(scan, column, statistics) {
            Some(of) if terms.equal(column).is_some() => of.equal(),
            Some(of) => of.is_null(),
            None => selectivity::EQUAL,
        };
        prefix.push(value.clone());
    }
    let next = column_of(prefix.len());
    let low = next.and_then(|column| terms.low(column)).cloned();
    let high = next.and_then(|column| terms.high(column)).cloned();
    let bounds = usize::from(low.is_some()) + usize::from(high.is_some());
    if prefix.is_empty() && bounds == 0 {
        return None;
    }
    if let Some(column) = next.and_then(|next| Column::of(scan, next, statistics)) {
        selectivity *= column.within(low.as_ref(), high.as_ref());
    }
    let rows = (table_rows * selectivity).max(1.0);
    let cost = rows * row_cost;
    let access = Access::Range { index: position, prefix, low, high, descending: false };
    Some(Choice { access, rows, cost })
}

/// All exact keys of a unique index whose parts are all given.
fn point_keys(scan: &Scan, index: &IndexDef, terms: &Terms) -> Option<Vec<Vec<Expression>>> {
    if !index.unique || index.parts.iter().any(|part| part.prefix.is_some()) {
        return None;
    }
    let mut keys: Vec<Vec<Expression>> = vec![Vec::new()];
    for part in &index.parts {
        let (column, _) = scan.table.column_by_id(part.column)?;
        let values = terms.equal(column)?;
        if keys.len().saturating_mul(values.len()) > KEYS_MAX {
            return None;
        }
        keys = keys
            .iter()
            .flat_map(|key| {
                values.iter().map(move |value| {
                    let mut key = key.clone();
                    key.push(value.clone());
                    key
                })
            })
            .collect();
    }
    Some(keys)
}

/// The access asks for a value of the row directly around the scan.
pub fn reads_outer_row(access: &Access) -> bool {
    let reads =
        |expression: &Expression| walk::any(expression, &|part| matches!(part, Expression::Outer { level: 1, .. }));
    match access {
        Access::Full => false,
        Access::Point { keys, .. } => keys.iter().flatten().any(reads),
        Access::Range { prefix, .. } => prefix.iter().any(reads),
    }
}
