//! How many rows a node gives, about. Only for choosing between plans that give the same rows.

use super::Block;
use super::access::{self, BOUND_SELECTIVITY, EQUAL_SELECTIVITY};
use super::expressions::{conjuncts, literal_count};
use crate::sql::plan::{JoinKind, Node, Scan};
use expr::Expression;

/// Rows of a table that is made up when it is read.
const VIRTUAL_ROWS: f64 = 100.0;

pub fn rows(node: &Node, block: &Block) -> f64 {
    match node {
        Node::Dual => 1.0,
        Node::Scan(scan) => scan_rows(scan, block),
        Node::Virtual(_) | Node::WorkingTable { .. } => VIRTUAL_ROWS,
        Node::Values { rows } => rows.len() as f64,
        Node::Filter { input, predicate } => (rows(input, block) * selectivity(predicate)).max(1.0),
        Node::Project { input, .. } | Node::Window { input, .. } | Node::Sort { input, .. } => rows(input, block),
        Node::Distinct { input } => rows(input, block),
        Node::Aggregate { input, group_by, .. } => match group_by.is_empty() {
            true => 1.0,
            false => (rows(input, block) / 10.0).max(1.0),
        },
        Node::Limit { input, count, .. } => {
            let rows = rows(input, block);
            count.as_ref().and_then(literal_count).map_or(rows, |count| rows.min(count as f64))
        }
        Node::Join(join) => {
            let left = rows(&join.left, block);
            let right = rows(&join.right, block);
            match join.kind {
                JoinKind::Semi | JoinKind::Anti => left,
                JoinKind::Left => left.max(right),
                // The right side gives the rows of one left row.
                JoinKind::Inner if join.lateral => left * right,
                JoinKind::Inner if !join.equal.is_empty() || join.condition.is_some() => left.max(right),
                JoinKind::Inner => left * right,
            }
        }
        Node::SetOperation { left, right, .. } => rows(left, block) + rows(right, block),
        Node::RecursiveCte { anchor, .. } => rows(anchor, block) * 10.0,
        Node::Derived(query) => rows(&query.root, block),
    }
}

/// Rows of a scan after its filter, whether or not its access has been chosen.
fn scan_rows(scan: &Scan, block: &Block) -> f64 {
    let table_rows = (block.statistics.rows(&scan.table) as f64).max(1.0);
    let filtered = table_rows * scan.filter.as_ref().map_or(1.0, selectivity);
    let found = access::choose(scan, table_rows).map_or(table_rows, |choice| choice.rows);
    filtered.min(found).max(1.0)
}

/// Part of the rows that a predicate keeps.
fn selectivity(predicate: &Expression) -> f64 {
    let one = |part: &Expression| match part {
        Expression::Call { function, arguments, .. } => match function.name {
            "=" | "<=>" | "IS NULL" => EQUAL_SELECTIVITY,
            "IN" => (EQUAL_SELECTIVITY * (arguments.len().max(2) - 1) as f64).min(0.5),
            "BETWEEN" | "LIKE" => 0.1,
            "<>" | "IS NOT NULL" | "NOT" => 0.9,
            _ => BOUND_SELECTIVITY,
        },
        Expression::Or(operands) => (EQUAL_SELECTIVITY * operands.len() as f64).min(1.0),
        _ => BOUND_SELECTIVITY,
    };
    conjuncts(Some(predicate.clone())).iter().map(one).product()
}
