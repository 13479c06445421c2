//! Scans read only the columns that something uses.
//!
//! Pruning a node drops columns and keeps the order of the others, so that where all columns are asked for nothing moves.

use super::Block;
use super::expressions::{Columns, columns_of, is_pinned, move_columns};
use crate::sql::plan::{Join, JoinKind, Node, Scan, walk};
use expr::Expression;

/// Where columns went: position before to position after. Columns that are gone are in no expression.
type Places = Vec<Option<usize>>;

/// A block's result keeps all its columns.
pub fn prune_root(node: Node, block: &mut Block) -> Node {
    let all = (0..walk::types(&node).len()).collect();
    prune(node, &all, block).0
}

fn kept(width: usize) -> Places {
    (0..width).map(Some).collect()
}

fn places_of(kept: &Columns, width: usize) -> Places {
    let mut places = vec![None; width];
    for (after, before) in kept.iter().enumerate() {
        places[*before] = Some(after);
    }
    places
}

fn relocate(expression: &mut Expression, places: &Places, block: &mut Block) {
    let place = |column: usize| places.get(column).copied().flatten().unwrap_or(column);
    move_columns(expression, &mut block.subqueries, &place);
}

/// What a node's own expressions read.
fn own_columns(node: &mut Node, block: &mut Block) -> Columns {
    let mut columns = Columns::new();
    walk::each_expression_mut(node, &mut |expression| {
        columns.extend(columns_of(expression, &mut block.subqueries));
    });
    columns
}

fn prune(mut node: Node, required: &Columns, block: &mut Block) -> (Node, Places) {
    stacker::maybe_grow(64 << 10, 1 << 20, || match node {
        Node::Scan(scan) => prune_scan(*scan, required, block),
        Node::Virtual(mut scan) => {
            if scan.columns.is_empty() {
                return (Node::Virtual(scan), Places::new());
            }
            let required = or_first(required.clone());
            let places = places_of(&required, scan.columns.len());
            scan.columns = required.iter().map(|column| scan.columns[*column]).collect();
            scan.types = required.iter().map(|column| scan.types[*column].clone()).collect();
            (Node::Virtual(scan), places)
        }
        Node::Project { input, expressions } => {
            let mut required = required.clone();
            if !expressions.is_empty() {
                required = or_first(required);
            }
            let pinned = expressions.iter().enumerate().filter(|(_, expression)| is_pinned(expression));
            required.extend(pinned.map(|(at, _)| at));
            let places = places_of(&required, expressions.len());
            let expressions =
                expressions.into_iter().enumerate().filter(|(at, _)| required.contains(at)).map(|(_, it)| it).collect();
            // The expressions are the node's own, whatever is below them.
            let mut node = Node::Project { input, expressions };
            let used = own_columns(&mut node, block);
            prune_input(&mut node, &used, block);
            (node, places)
        }
        Node::Filter { .. } | Node::Sort { .. } | Node::Limit { .. } => {
            let mut used = own_columns(&mut node, block);
            used.extend(required);
            let places = prune_input(&mut node, &used, block);
            (node, places)
        }
        Node::Aggregate { input, group_by, rollup, mut aggregates } => {
            let groups = group_by.len();
            let mut required: Columns = required.iter().copied().chain(0..groups).collect();
            if groups == 0 && !aggregates.is_empty() {
                required = or_first(required);
            }
            let places = places_of(&required, groups + aggregates.len());
            let mut position = groups;
            aggregates.retain(|_| {
                position += 1;
                required.contains(&(position - 1))
            });
            let mut node = Node::Aggregate { input, group_by, rollup, aggregates };
            let used = own_columns(&mut node, block);
            prune_input(&mut node, &used, block);
            (node, places)
        }
        Node::Window { ref input, ref calls } => {
            let (width, calls) = (walk::types(input).len(), calls.len());
            let mut used = own_columns(&mut node, block);
            used.extend(required.iter().filter(|column| **column < width));
            let mut places = prune_input(&mut node, &used, block);
            let new_width = places.iter().flatten().count();
            places.extend((0..calls).map(|call| Some(new_width + call)));
            (node, places)
        }
        Node::Join(join) => prune_join(*join, required, block),
        // All columns of their inputs count, and stay where they are.
        mut other => {
            let width = walk::types(&other).len();
            super::expressions::map_inputs(&mut other, &mut |input| prune_root(input, block));
            (other, kept(width))
        }
    })
}

/// A row has at least one column, so that rows can be counted in columnar form.
fn or_first(mut required: Columns) -> Columns {
    if required.is_empty() {
        required.insert(0);
    }
    required
}

/// Prunes the only input of a node and moves the node's own expressions.
fn prune_input(node: &mut Node, used: &Columns, block: &mut Block) -> Places {
    let mut places = Places::new();
    super::expressions::map_inputs(node, &mut |input| {
        let (input, moved) = prune(input, used, block);
        places = moved;
        input
    });
    walk::each_expression_mut(node, &mut |expression| relocate(expression, &places, block));
    places
}

fn prune_scan(mut scan: Scan, required: &Columns, block: &mut Block) -> (Node, Places) {
    let width = scan.columns.len();
    if scan.lock.is_some() || width == 0 {
        return (Node::Scan(Box::new(scan)), kept(width));
    }
    let mut used = required.clone();
    if let Some(filter) = &scan.filter {
        used.extend(columns_of(filter, &mut block.subqueries));
    }
    if used.is_empty() {
        used.insert(cheapest(&scan));
    }
    let places = places_of(&used, width);
    if let Some(filter) = &mut scan.filter {
        relocate(filter, &places, block);
    }
    scan.columns = used.iter().map(|column| scan.columns[*column]).collect();
    (Node::Scan(Box::new(scan)), places)
}

/// A column that every index has, if rows need only be counted.
fn cheapest(scan: &Scan) -> usize {
    let key = scan.table.indexes.first().and_then(|index| index.parts.first());
    let column = key.and_then(|part| scan.table.column_by_id(part.column)).map_or(0, |(position, _)| position);
    scan.columns.iter().position(|other| *other == column).unwrap_or(0)
}

fn prune_join(mut join: Join, required: &Columns, block: &mut Block) -> (Node, Places) {
    let left_width = walk::types(&join.left).len();
    let right_width = walk::types(&join.right).len();
    let mut used = required.clone();
    if let Some(condition) = &join.condition {
        used.extend(columns_of(condition, &mut block.subqueries));
    }
    let mut left_used: Columns = used.iter().copied().filter(|column| *column < left_width).collect();
    let mut right_used: Columns = used.iter().filter_map(|column| column.checked_sub(left_width)).collect();
    for (left, right) in &join.equal {
        left_used.extend(columns_of(left, &mut block.subqueries));
        right_used.extend(columns_of(right, &mut block.subqueries));
    }
    if join.lateral {
        walk::map_node(&mut join.right, &mut block.subqueries, 1, &mut |index, ty| {
            left_used.insert(index);
            Expression::column(index, ty.clone())
        });
    }
    let (left, left_places) = prune(join.left, &left_used, block);
    let (mut right, right_places) = prune(join.right, &right_used, block);
    if join.lateral {
        walk::map_node(&mut right, &mut block.subqueries, 1, &mut |index, ty| {
            let place = left_places.get(index).copied().flatten().unwrap_or(index);
            Expression::column(place, ty.clone())
        });
    }
    let new_left_width = walk::types(&left).len();
    let mut places = left_places.clone();
    places.extend(right_places.iter().map(|place| place.map(|place| place + new_left_width)));
    places.resize(left_width + right_width, None);
    if let Some(condition) = &mut join.condition {
        relocate(condition, &places, block);
    }
    for (left, right) in &mut join.equal {
        relocate(left, &left_places, block);
        relocate(right, &right_places, block);
    }
    if matches!(join.kind, JoinKind::Semi | JoinKind::Anti) {
        places.truncate(left_width);
    }
    join.left = left;
    join.right = right;
    (Node::Join(Box::new(join)), places)
}
