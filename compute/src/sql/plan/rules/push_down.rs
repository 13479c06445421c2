//! Predicates move down to where their columns come from, and into the scans.

use super::Block;
use super::expressions::{
    columns_of, conjunction, conjuncts, filtered, has_outer, has_subquery, is_pinned, is_plain, map_inputs,
    move_columns, split,
};
use super::inline::substitute;
use super::outer_join::rejects_missing;
use crate::sql::plan::{Join, JoinKind, Node, SetKind, walk};
use expr::Expression;

/// The node with `predicates` (over its columns, none of them pinned) applied, as far down as they may go.
pub fn push(node: Node, predicates: Vec<Expression>, block: &mut Block) -> Node {
    stacker::maybe_grow(64 << 10, 1 << 20, || match node {
        Node::Filter { input, predicate } => {
            let mut parts = predicates;
            split(predicate, &mut parts);
            let (pinned, free): (Vec<_>, Vec<_>) = parts.into_iter().partition(is_pinned);
            filtered(push(*input, free, block), pinned)
        }
        Node::Scan(mut scan) => {
            let (above, into): (Vec<_>, Vec<_>) = predicates.into_iter().partition(has_subquery);
            let mut parts = conjuncts(scan.filter.take());
            for part in into {
                if !parts.iter().any(|known| known.is_same(&part)) {
                    parts.push(part);
                }
            }
            scan.filter = conjunction(parts);
            filtered(Node::Scan(scan), above)
        }
        Node::Project { input, expressions } => push_through_project(*input, expressions, predicates, block),
        Node::Join(join) => push_into_join(*join, predicates, block),
        Node::Sort { input, keys } => {
            // Assignments in keys are evaluated for the rows that are there.
            if keys.iter().any(|key| is_pinned(&key.expression)) {
                let input = Box::new(push(*input, Vec::new(), block));
                return filtered(Node::Sort { input, keys }, predicates);
            }
            Node::Sort { input: Box::new(push(*input, predicates, block)), keys }
        }
        Node::Aggregate { input, group_by, rollup, aggregates } => {
            let (mut below, above): (Vec<_>, Vec<_>) = predicates.into_iter().partition(|predicate| {
                let columns = columns_of(predicate, &mut block.subqueries);
                // Without groups, and in a rollup, there are rows that come from no input row.
                !rollup
                    && !group_by.is_empty()
                    && !has_subquery(predicate)
                    && columns.iter().all(|column| group_by.get(*column).is_some_and(is_plain))
            });
            for predicate in &mut below {
                substitute(predicate, &group_by, block);
            }
            let input = Box::new(push(*input, below, block));
            filtered(Node::Aggregate { input, group_by, rollup, aggregates }, above)
        }
        Node::SetOperation { kind: SetKind::Union, all: true, left, right } => {
            let (above, both): (Vec<_>, Vec<_>) = predicates.into_iter().partition(has_subquery);
            let left = Box::new(push(*left, both.clone(), block));
            let right = Box::new(push(*right, both, block));
            filtered(Node::SetOperation { kind: SetKind::Union, all: true, left, right }, above)
        }
        mut other => {
            map_inputs(&mut other, &mut |input| push(input, Vec::new(), block));
            filtered(other, predicates)
        }
    })
}

fn push_through_project(
    input: Node,
    expressions: Vec<Expression>,
    predicates: Vec<Expression>,
    block: &mut Block,
) -> Node {
    // Assignments see every row that reaches them.
    let is_fixed = expressions.iter().any(is_pinned);
    let (mut below, above): (Vec<_>, Vec<_>) = predicates.into_iter().partition(|predicate| {
        let columns = columns_of(predicate, &mut block.subqueries);
        !is_fixed && columns.iter().all(|column| expressions.get(*column).is_some_and(is_plain))
    });
    for predicate in &mut below {
        substitute(predicate, &expressions, block);
    }
    let input = Box::new(push(input, below, block));
    filtered(Node::Project { input, expressions }, above)
}

/// Which sides of a join an expression reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Neither,
    Left,
    Right,
    Both,
}

/// `left_width`: columns of the left side.
pub fn side_of(expression: &Expression, left_width: usize, block: &mut Block) -> Side {
    let columns = columns_of(expression, &mut block.subqueries);
    let left = columns.iter().any(|column| *column < left_width);
    let right = columns.iter().any(|column| *column >= left_width);
    match (left, right) {
        (false, false) => Side::Neither,
        (true, false) => Side::Left,
        (false, true) => Side::Right,
        (true, true) => Side::Both,
    }
}

fn push_into_join(mut join: Join, predicates: Vec<Expression>, block: &mut Block) -> Node {
    let left_width = walk::types(&join.left).len();
    if join.kind == JoinKind::Left
        && predicates.iter().any(|predicate| rejects_missing(predicate, &|column| column >= left_width))
    {
        join.kind = JoinKind::Inner;
    }
    let (mut to_left, mut to_right, mut above) = (Vec::new(), Vec::new(), Vec::new());
    let mut condition = Vec::new();
    // A predicate on the right side would stand one row deeper in a lateral join.
    let may_go_right = |predicate: &Expression| !join.lateral || !has_outer(predicate) && !has_subquery(predicate);
    for predicate in predicates {
        match (side_of(&predicate, left_width, block), join.kind) {
            (Side::Left, _) => to_left.push(predicate),
            (Side::Right, JoinKind::Inner) if may_go_right(&predicate) => to_right.push(predicate),
            (Side::Neither, JoinKind::Inner) if is_plain(&predicate) => {
                if may_go_right(&predicate) {
                    to_right.push(predicate.clone());
                }
                to_left.push(predicate);
            }
            (Side::Neither, _) => to_left.push(predicate),
            (Side::Both, JoinKind::Inner) if !has_subquery(&predicate) => condition.push(predicate),
            _ => above.push(predicate),
        }
    }
    for predicate in conjuncts(join.condition.take()) {
        let is_free = !is_pinned(&predicate);
        match (side_of(&predicate, left_width, block), join.kind) {
            (Side::Right, _) if is_free && may_go_right(&predicate) => to_right.push(predicate),
            (Side::Left, JoinKind::Inner | JoinKind::Semi) if is_free => to_left.push(predicate),
            (Side::Neither, JoinKind::Inner) if is_plain(&predicate) => {
                if may_go_right(&predicate) {
                    to_right.push(predicate.clone());
                }
                to_left.push(predicate);
            }
            _ => condition.push(predicate),
        }
    }
    for predicate in &mut to_right {
        let to_side = |column: usize| column.saturating_sub(left_width);
        move_columns(predicate, &mut block.subqueries, &to_side);
    }
    join.condition = conjunction(condition);
    join.left = push(join.left, to_left, block);
    join.right = push(join.right, to_right, block);
    filtered(Node::Join(Box::new(join)), above)
}
