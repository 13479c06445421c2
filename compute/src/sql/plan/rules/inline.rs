//! Makes one block of many: derived tables, views and CTEs become part of the block that reads them, and projections
//! between joins move above them.

use super::Block;
use super::expressions::{is_plain, map_inputs};
use crate::sql::plan::{Join, JoinKind, Node, Subquery, walk};
use expr::Expression;
use std::collections::HashSet;

/// Replaces derived tables by their nodes. They add no level, so only the positions of their subqueries change.
pub fn inline_derived(node: Node, subqueries: &mut Vec<Subquery>) -> Node {
    match node {
        Node::Derived(query) => {
            let query = *query;
            // Inner derived tables first: afterwards all subqueries in the nodes are this query's.
            let mut own = query.subqueries;
            let mut root = inline_derived(query.root, &mut own);
            let shift = subqueries.len();
            shift_ids(&mut root, shift);
            subqueries.extend(own);
            root
        }
        mut other => {
            map_inputs(&mut other, &mut |input| inline_derived(input, subqueries));
            other
        }
    }
}

fn shift_ids(node: &mut Node, shift: usize) {
    if shift > 0 {
        each_id_mut(node, &mut |id| *id += shift);
    }
}

/// Forgets subqueries that no expression names any more, and counts the others anew.
pub fn drop_unused(root: &mut Node, subqueries: &mut Vec<Subquery>) {
    let mut used = HashSet::new();
    each_id_mut(root, &mut |id| {
        used.insert(*id);
    });
    if used.len() == subqueries.len() {
        return;
    }
    each_id_mut(root, &mut |id| *id = (0..*id).filter(|before| used.contains(before)).count());
    let mut position = 0;
    subqueries.retain(|_| {
        position += 1;
        used.contains(&(position - 1))
    });
}

/// Calls `visit` for every position of a subquery in a node and below it.
fn each_id_mut(node: &mut Node, visit: &mut dyn FnMut(&mut usize)) {
    fn each_in(expression: &mut Expression, visit: &mut dyn FnMut(&mut usize)) {
        if let Expression::Subquery { id, .. } | Expression::Quantified { id, .. } = expression {
            visit(id);
        }
        walk::each_child_mut(expression, &mut |child| each_in(child, visit));
    }
    walk::each_expression_mut(node, &mut |expression| each_in(expression, visit));
    walk::each_input_mut(node, &mut |input| each_id_mut(input, visit));
}

/// Gives every expression correlated subqueries of its own. `taken`: those that stand elsewhere.
pub fn unshare(node: &mut Node, subqueries: &mut Vec<Subquery>, taken: Vec<usize>) {
    unshare_node(node, subqueries, &mut taken.into_iter().collect());
}

fn unshare_node(node: &mut Node, subqueries: &mut Vec<Subquery>, taken: &mut HashSet<usize>) {
    walk::each_expression_mut(node, &mut |expression| unshare_in(expression, subqueries, taken));
    walk::each_input_mut(node, &mut |input| unshare_node(input, subqueries, taken));
}

fn unshare_in(expression: &mut Expression, subqueries: &mut Vec<Subquery>, taken: &mut HashSet<usize>) {
    if let Expression::Subquery { id, .. } | Expression::Quantified { id, .. } = expression
        && !taken.insert(*id)
        && let Some(subquery) = subqueries.get(*id)
        && subquery.correlated
    {
        let copy = subquery.clone();
        *id = subqueries.len();
        taken.insert(*id);
        subqueries.push(copy);
    }
    walk::each_child_mut(expression, &mut |child| unshare_in(child, subqueries, taken));
}

/// Moves projections from below joins to above them, and makes one of two that follow each other, so that joins of
/// tables stand next to each other.
pub fn pull_projects(mut node: Node, block: &mut Block) -> Node {
    map_inputs(&mut node, &mut |input| pull_projects(input, block));
    match node {
        Node::Join(join) => pull_from_join(*join, block),
        Node::Project { input, mut expressions } => match *input {
            Node::Project { input, expressions: inner } if inner.iter().all(is_plain) => {
                for expression in &mut expressions {
                    substitute(expression, &inner, block);
                }
                Node::Project { input, expressions }
            }
            input => Node::Project { input: Box::new(input), expressions },
        },
        other => other,
    }
}

/// Replaces columns by the expressions that make them.
pub fn substitute(expression: &mut Expression, made_by: &[Expression], block: &mut Block) {
    walk::map_columns(expression, &mut block.subqueries, &mut |index, ty| match made_by.get(index) {
        Some(maker) => maker.clone(),
        None => Expression::column(index, ty.clone()),
    });
}

fn pull_from_join(mut join: Join, block: &mut Block) -> Node {
    // The right side of a lateral join reads the left's row by position.
    if join.lateral || !join.equal.is_empty() {
        return Node::Join(Box::new(join));
    }
    let left_width = walk::types(&join.left).len();
    let right_types = walk::types(&join.right);
    let left = match &join.left {
        Node::Project { expressions, .. } if expressions.iter().all(is_plain) => Some(expressions.clone()),
        _ => None,
    };
    let right = match (&join.right, join.kind) {
        (Node::Project { expressions, .. }, JoinKind::Inner) if expressions.iter().all(is_plain) => {
            Some(expressions.clone())
        }
        // What a missing row gives must be NULL.
        (Node::Project { expressions, .. }, JoinKind::Left | JoinKind::Semi | JoinKind::Anti)
            if expressions.iter().all(|expression| matches!(expression, Expression::Column { .. })) =>
        {
            Some(expressions.clone())
        }
        _ => None,
    };
    if left.is_none() && right.is_none() {
        return Node::Join(Box::new(join));
    }
    let left_types = walk::types(&join.left);
    let identity = |types: Vec<expr::MysqlType>| -> Vec<Expression> {
        types.into_iter().enumerate().map(|(index, ty)| Expression::column(index, ty)).collect()
    };
    let mut made_by = match left {
        Some(expressions) => {
            join.left = unwrapped(join.left);
            expressions
        }
        None => identity(left_types),
    };
    let new_width = walk::types(&join.left).len();
    let mut made_by_right = match right {
        Some(expressions) => {
            join.right = unwrapped(join.right);
            expressions
        }
        None => identity(right_types),
    };
    for expression in &mut made_by_right {
        walk::map_columns(expression, &mut [], &mut |index, ty| {
            let ty = if join.kind == JoinKind::Left { ty.clone().with_nullable(true) } else { ty.clone() };
            Expression::column(index + new_width, ty)
        });
    }
    made_by.extend(made_by_right);
    if let Some(condition) = &mut join.condition {
        substitute(condition, &made_by, block);
    }
    if matches!(join.kind, JoinKind::Semi | JoinKind::Anti) {
        made_by.truncate(left_width);
    }
    Node::Project { input: Box::new(Node::Join(Box::new(join))), expressions: made_by }
}

fn unwrapped(node: Node) -> Node {
    match node {
        Node::Project { input, .. } => *input,
        other => other,
    }
}
