//! Joins whose right side is found by an index for each left row.

use super::Block;
use super::access::{self, Choice};
use super::estimate;
use super::expressions::{conjunction, conjuncts, deepen, equals};
use crate::catalog::TableDef;
use crate::catalog::schema::IndexPart;
use crate::sql::plan::{Access, Node, Scan, walk};
use expr::Expression;
use expr::mysql_type::TypeKind;

/// How many rows may be read at once in the time of one lookup.
const ROWS_PER_LOOKUP: f64 = 8.0;

/// Turns joins into lookups where few left rows meet a big table. A chain of them works too: each lookup's `Outer` of
/// level 1 is the row of its own join's left side.
pub fn convert(node: &mut Node, block: &mut Block) {
    walk::each_input_mut(node, &mut |input| convert(input, block));
    let Node::Join(join) = node else { return };
    if join.lateral || join.equal.is_empty() {
        return;
    }
    let Node::Scan(scan) = &join.right else { return };
    let left_rows = estimate::rows(&join.left, block);
    if let Some(lookup) = candidate(scan, &join.equal, left_rows, block) {
        join.right = Node::Scan(Box::new(lookup));
        join.equal.clear();
        join.lateral = true;
    }
}

/// The scan as the right side of a lateral join that looks its rows up by `equal`; `None` if no index serves or reading
/// the scan once is better.
pub fn candidate(scan: &Scan, equal: &[(Expression, Expression)], left_rows: f64, block: &Block) -> Option<Scan> {
    if equal.is_empty() {
        return None;
    }
    let table_rows = block.statistics.rows(&scan.table) as f64;
    let read_once = access::choose(scan, block.statistics).map_or(table_rows, |choice| choice.rows);
    let mut lookup = scan.clone();
    lookup.access = Access::Full;
    let mut parts = conjuncts(lookup.filter.take());
    parts.iter_mut().for_each(deepen);
    for (left, right) in equal {
        let mut left = left.clone();
        walk::lift(&mut left, 1);
        parts.push(equals(indexed(right).clone(), left)?);
    }
    lookup.filter = conjunction(parts);
    let Choice { access, rows, .. } = access::choose(&lookup, block.statistics)?;
    let access = with_both_passes(access, &scan.table)?;
    if !access::reads_outer_row(&access) || left_rows * ROWS_PER_LOOKUP * rows.sqrt() >= read_once {
        return None;
    }
    lookup.access = access;
    lookup.lookups = (left_rows * rows.max(1.0)) as u64;
    Some(lookup)
}

/// The column that an index has, of one that a join compares otherwise than it is stored: a TIMESTAMP in local time.
fn indexed(key: &Expression) -> &Expression {
    match key {
        Expression::Cast { argument, ty } => match (argument.ty().kind, &ty.kind) {
            (TypeKind::Timestamp { fsp }, TypeKind::DateTime { fsp: shown }) if fsp == *shown => argument,
            _ => key,
        },
        _ => key,
    }
}

/// A local time may be two moments, so that more than one key of a unique index is equal to it.
fn with_both_passes(access: Access, table: &TableDef) -> Option<Access> {
    let Access::Point { index, keys } = &access else { return Some(access) };
    let is_local = |key: &Expression, part: &IndexPart| {
        let column = table.column_by_id(part.column).map(|(_, column)| &column.ty.kind);
        matches!(column, Some(TypeKind::Timestamp { .. })) && !matches!(key.ty().kind, TypeKind::Timestamp { .. })
    };
    if !keys.iter().any(|key| key.iter().zip(&table.indexes[*index].parts).any(|(key, part)| is_local(key, part))) {
        return Some(access);
    }
    let [prefix] = keys.as_slice() else { return None };
    Some(Access::Range { index: *index, prefix: prefix.clone(), low: None, high: None, descending: false })
}
