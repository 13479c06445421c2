//! The input of UPDATE and DELETE: its scans of target tables lock what they read. Where a table is clustered by a hidden
//! row id, the binder lets its scans give that too, behind the columns.

use crate::catalog::TableDef;
use crate::execute::write::keeper::{Keeper, TableRow};
use crate::sql::plan::{Node, Scan, ScanLock};
use common::service::wal::LockMode;
use expr::value::{Row, Value};

/// The input as it is run.
pub fn prepare(input: &Node, tables: &[&TableDef]) -> Node {
    let mut input = input.clone();
    let single = is_single(&input);
    each_scan(&mut input, &mut |scan| {
        let Some(table) = tables.iter().find(|table| table.id == scan.table.id) else { return };
        if scan.lock.is_none() {
            scan.lock = Some(ScanLock { mode: LockMode::Exclusive, wait: None });
        }
        // Behind the columns, where no expression over a single table looks.
        if single && table.has_hidden_row_id() && !scan.columns.contains(&table.columns.len()) {
            scan.columns.push(table.columns.len());
        }
    });
    input
}

/// One scan with nothing but filters, order and limits over it: rows come once, and its columns are the input's.
pub fn is_single(node: &Node) -> bool {
    match node {
        Node::Scan(_) => true,
        Node::Filter { input, .. } | Node::Sort { input, .. } | Node::Limit { input, .. } => is_single(input),
        _ => false,
    }
}

/// Scans of the tables themselves, not of derived tables.
fn each_scan(node: &mut Node, visit: &mut dyn FnMut(&mut Scan)) {
    match node {
        Node::Scan(scan) => visit(scan),
        Node::Filter { input, .. }
        | Node::Project { input, .. }
        | Node::Sort { input, .. }
        | Node::Limit { input, .. }
        | Node::Distinct { input } => each_scan(input, visit),
        Node::Join(join) => {
            each_scan(&mut join.left, visit);
            each_scan(&mut join.right, visit);
        }
        _ => {}
    }
}

/// A target's row in a row of the input; `None` where an outer join found none.
pub fn row_of(keeper: &Keeper, row: &[Value], base: usize) -> Option<TableRow> {
    let table = &keeper.table;
    let end = base + table.columns.len();
    let values: Row = row.get(base..end)?.to_vec();
    if table.has_hidden_row_id() {
        return match row.get(end) {
            Some(Value::UInt(row_id)) => Some(TableRow { values, row_id: Some(*row_id) }),
            _ => None,
        };
    }
    // No part of a clustered key is NULL.
    let first = table.clustered().parts.first().and_then(|part| table.column_by_id(part.column));
    let exists = first.is_some_and(|(position, _)| !values[position].is_null());
    exists.then_some(TableRow { values, row_id: None })
}
