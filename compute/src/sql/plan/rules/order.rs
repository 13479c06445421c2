//! Sorts of what an index gives in that order already.

use super::Block;
use super::access::{Terms, is_allowed, is_readable};
use super::expressions::{literal_count, map_inputs};
use crate::catalog::schema::{IndexDef, IndexPart};
use crate::execute::codec;
use crate::sql::plan::{Access, Node, Scan, SortKey};
use expr::Expression;

/// Rows for which following a secondary index beats sorting.
const FEW_ROWS: u64 = 1000;
/// What a LIMIT without a number here is taken for.
const UNKNOWN_LIMIT: u64 = 100;

/// A column of the table to sort by.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    column: usize,
    descending: bool,
}

/// Removes sorts below limits, and above scans of a part of an index, where the index has the order.
pub fn drop_sorts(node: Node, block: &Block) -> Node {
    drop_below(node, None, block)
}

fn drop_below(mut node: Node, limit: Option<u64>, block: &Block) -> Node {
    match node {
        Node::Limit { input, offset, count } => {
            let number = |bound: &Option<Expression>| {
                bound.as_ref().map_or(0, |bound| literal_count(bound).unwrap_or(UNKNOWN_LIMIT))
            };
            let rows = count.is_some().then(|| number(&offset).saturating_add(number(&count)));
            let input = Box::new(drop_below(*input, rows, block));
            Node::Limit { input, offset, count }
        }
        Node::Project { input, expressions } => {
            let input = Box::new(drop_below(*input, limit, block));
            Node::Project { input, expressions }
        }
        Node::Sort { mut input, keys } => {
            let columns: Option<Vec<(usize, bool)>> = keys.iter().map(column_key).collect();
            if let Some(columns) = columns
                && order(&mut input, &columns, limit, block)
            {
                return *input;
            }
            Node::Sort { input: Box::new(drop_below(*input, None, block)), keys }
        }
        ref mut other => {
            map_inputs(other, &mut |input| drop_below(input, None, block));
            node
        }
    }
}

fn column_key(key: &SortKey) -> Option<(usize, bool)> {
    match &key.expression {
        Expression::Column { index, .. } => Some((*index, key.descending)),
        _ => None,
    }
}

/// Makes a node give its rows in an order, if its scan can; else changes nothing.
fn order(node: &mut Node, keys: &[(usize, bool)], limit: Option<u64>, block: &Block) -> bool {
    match node {
        Node::Project { input, expressions } => {
            let below = keys.iter().map(|(column, descending)| match expressions.get(*column) {
                Some(Expression::Column { index, .. }) => Some((*index, *descending)),
                _ => None,
            });
            match below.collect::<Option<Vec<_>>>() {
                Some(below) => order(input, &below, limit, block),
                None => false,
            }
        }
        // Rows that are filtered away do not count for the limit.
        Node::Filter { input, .. } => order(input, keys, None, block),
        Node::Scan(scan) => {
            let wanted = keys.iter().map(|(column, descending)| {
                Some(Wanted { column: *scan.columns.get(*column)?, descending: *descending })
            });
            match wanted.collect::<Option<Vec<_>>>() {
                Some(wanted) => order_scan(scan, &wanted, limit, block),
                None => false,
            }
        }
        _ => false,
    }
}

fn order_scan(scan: &mut Scan, wanted: &[Wanted], limit: Option<u64>, block: &Block) -> bool {
    let terms = Terms::of(scan);
    let table = scan.table.clone();
    let direction = |index: &IndexDef| direction(&table, index, wanted, &terms);
    match &mut scan.access {
        Access::Point { keys, .. } if keys.len() <= 1 => return true,
        Access::Point { index, .. } => return direction(&table.indexes[*index]) == Some(false),
        Access::Range { index, descending, .. } => {
            if let Some(backward) = direction(&table.indexes[*index]) {
                *descending = backward;
                return true;
            }
            return false;
        }
        Access::Full => {}
    }
    // Everything is read: only worth while if not all of it is asked for.
    let Some(limit) = limit else { return false };
    if let Some(backward) = direction(table.clustered()) {
        if backward {
            scan.access = whole(0, true);
        }
        return true;
    }
    let rows = block.statistics.rows(&table);
    let found = table.indexes.iter().enumerate().skip(1).find_map(|(position, index)| {
        let is_covered = scan.lock.is_none() && codec::is_covered(&table, index, &scan.columns);
        let pays = is_covered || scan.filter.is_none() && limit <= FEW_ROWS && limit.saturating_mul(3) < rows;
        let backward = direction(index).filter(|_| pays && is_readable(index) && is_allowed(scan, index))?;
        Some(whole(position, backward))
    });
    match found {
        Some(access) => {
            scan.access = access;
            true
        }
        None => false,
    }
}

fn whole(index: usize, descending: bool) -> Access {
    Access::Range { index, prefix: Vec::new(), low: None, high: None, descending }
}

/// Whether an index read forward (`false`) or backward (`true`) has the wanted order; `None` if neither.
fn direction(table: &crate::catalog::TableDef, index: &IndexDef, wanted: &[Wanted], terms: &Terms) -> Option<bool> {
    if index.parts.is_empty() {
        return None;
    }
    // Entries of a secondary index with equal parts are in the order of the clustered key.
    let is_clustered = index.id == table.clustered().id;
    let tail: &[IndexPart] = if is_clustered { &[] } else { &table.clustered().parts };
    let mut parts = index.parts.iter().chain(tail);
    let mut backward: Option<bool> = None;
    'keys: for key in wanted {
        if terms.equal_or_null(key.column).is_some() {
            continue;
        }
        loop {
            // After the whole clustered key there are no two equal rows.
            let Some(part) = parts.next() else {
                if table.has_hidden_row_id() {
                    return None;
                }
                break 'keys;
            };
            let (column, _) = table.column_by_id(part.column)?;
            if column != key.column {
                // One value only, or a key that has come already: no matter for the order.
                let is_known = terms.equal_or_null(column).is_some()
                    || wanted.iter().take_while(|other| other.column != key.column).any(|other| other.column == column);
                if is_known {
                    continue;
                }
                return None;
            }
            if part.prefix.is_some() {
                return None;
            }
            let needed = key.descending != part.descending;
            if backward.is_some_and(|backward| backward != needed) {
                return None;
            }
            backward = Some(needed);
            continue 'keys;
        }
    }
    Some(backward.unwrap_or(false))
}
