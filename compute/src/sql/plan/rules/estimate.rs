//! How many rows a node gives, about. Only for choosing between plans that give the same rows.

use super::Block;
use super::access;
use super::expressions::{conjuncts, literal_count};
use super::selectivity::{BETWEEN, BOUND, Column, EQUAL};
use crate::sql::plan::{JoinKind, Node, Scan};
use expr::Expression;

/// Rows out of one document, where nothing is known of it.
const JSON_ROWS: f64 = 2.0;
/// Rows of a table that is made up when it is read.
const VIRTUAL_ROWS: f64 = 100.0;

pub fn rows(node: &Node, block: &Block) -> f64 {
    match node {
        Node::Dual => 1.0,
        Node::Scan(scan) => scan_rows(scan, block),
        Node::Virtual(_) | Node::WorkingTable { .. } => VIRTUAL_ROWS,
        Node::Values { rows } => rows.len() as f64,
        Node::JsonTable(_) => JSON_ROWS,
        Node::Filter { input, predicate } => (rows(input, block) * selectivity(predicate, None)).max(1.0),
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
    let filtered = table_rows * scan.filter.as_ref().map_or(1.0, |filter| selectivity(filter, Some((scan, block))));
    let found = access::choose(scan, block.statistics).map_or(table_rows, |choice| choice.rows);
    filtered.min(found).max(1.0)
}

/// Part of the rows that a predicate keeps; of a scan's rows where it is on them.
fn selectivity(predicate: &Expression, of: Option<(&Scan, &Block)>) -> f64 {
    conjuncts(Some(predicate.clone())).iter().map(|part| part_kept(part, of)).product()
}

fn part_kept(part: &Expression, of: Option<(&Scan, &Block)>) -> f64 {
    let column = |expression: Option<&Expression>| match (expression, of) {
        (Some(Expression::Column { index, .. }), Some((scan, block))) => {
            Column::of(scan, *scan.columns.get(*index)?, block.statistics)
        }
        _ => None,
    };
    let Expression::Call { function, arguments, .. } = part else {
        return match part {
            Expression::Or(operands) => operands.iter().map(|operand| selectivity(operand, of)).sum::<f64>().min(1.0),
            _ => BOUND,
        };
    };
    let (first, second) = (column(arguments.first()), column(arguments.get(1)));
    match (function.name, first, second) {
        ("=" | "<=>", Some(one), Some(other)) => one.equal().min(other.equal()),
        ("=" | "<=>", Some(column), None) | ("=" | "<=>", None, Some(column)) => column.equal(),
        ("=" | "<=>", ..) => EQUAL,
        ("IS NULL", Some(column), _) => column.is_null(),
        ("IS NULL", ..) => EQUAL,
        ("IS NOT NULL", Some(column), _) => 1.0 - column.is_null(),
        ("IN", column, _) => {
            let equal = column.map_or(EQUAL, |column| column.equal());
            (equal * (arguments.len().max(2) - 1) as f64).min(0.5)
        }
        ("<" | "<=", Some(column), None) => column.between(None, arguments.get(1)),
        (">" | ">=", None, Some(column)) => column.between(None, arguments.first()),
        (">" | ">=", Some(column), None) => column.between(arguments.get(1), None),
        ("<" | "<=", None, Some(column)) => column.between(arguments.first(), None),
        ("BETWEEN", Some(column), _) => column.between(arguments.get(1), arguments.get(2)),
        ("BETWEEN" | "LIKE", ..) => BETWEEN,
        ("<>" | "IS NOT NULL" | "NOT", ..) => 0.9,
        _ => BOUND,
    }
}
