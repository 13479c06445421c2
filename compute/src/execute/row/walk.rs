//! Looking through plans: which subqueries an expression has, which columns of the row around it a query reads.

use crate::sql::plan::{Access, FrameBound, Node, Query, Scan};
use expr::Expression;
use expr::function::Volatility;

/// Parts of a conjunction, however nested.
pub fn conjuncts<'q>(expression: &'q Expression, parts: &mut Vec<&'q Expression>) {
    match expression {
        Expression::And(all) => all.iter().for_each(|part| conjuncts(part, parts)),
        other => parts.push(other),
    }
}

/// Calls `visit` for an expression and every expression in it; not for what is inside subqueries.
pub fn visit_expression<'q>(expression: &'q Expression, visit: &mut dyn FnMut(&'q Expression)) {
    visit(expression);
    match expression {
        Expression::Call { arguments, .. } | Expression::Coalesce { arguments, .. } => {
            arguments.iter().for_each(|argument| visit_expression(argument, visit));
        }
        Expression::Cast { argument, .. } => visit_expression(argument, visit),
        Expression::And(parts) | Expression::Or(parts) => {
            parts.iter().for_each(|part| visit_expression(part, visit));
        }
        Expression::Case { branches, otherwise, .. } => {
            for (condition, value) in branches {
                visit_expression(condition, visit);
                visit_expression(value, visit);
            }
            if let Some(otherwise) = otherwise {
                visit_expression(otherwise, visit);
            }
        }
        Expression::Quantified { needle, .. } => needle.iter().for_each(|part| visit_expression(part, visit)),
        Expression::Assign { value, .. } => visit_expression(value, visit),
        Expression::Literal { .. }
        | Expression::Column { .. }
        | Expression::Outer { .. }
        | Expression::Parameter { .. }
        | Expression::Subquery { .. }
        | Expression::UserVariable { .. } => {}
    }
}

/// As [`visit_expression`], to change expressions in place.
pub fn visit_expression_mut(expression: &mut Expression, visit: &mut dyn FnMut(&mut Expression)) {
    visit(expression);
    match expression {
        Expression::Call { arguments, .. } | Expression::Coalesce { arguments, .. } => {
            arguments.iter_mut().for_each(|argument| visit_expression_mut(argument, visit));
        }
        Expression::Cast { argument, .. } => visit_expression_mut(argument, visit),
        Expression::And(parts) | Expression::Or(parts) => {
            parts.iter_mut().for_each(|part| visit_expression_mut(part, visit));
        }
        Expression::Case { branches, otherwise, .. } => {
            for (condition, value) in branches {
                visit_expression_mut(condition, visit);
                visit_expression_mut(value, visit);
            }
            if let Some(otherwise) = otherwise {
                visit_expression_mut(otherwise, visit);
            }
        }
        Expression::Quantified { needle, .. } => needle.iter_mut().for_each(|part| visit_expression_mut(part, visit)),
        Expression::Assign { value, .. } => visit_expression_mut(value, visit),
        Expression::Literal { .. }
        | Expression::Column { .. }
        | Expression::Outer { .. }
        | Expression::Parameter { .. }
        | Expression::Subquery { .. }
        | Expression::UserVariable { .. } => {}
    }
}

/// Positions of the subqueries in an expression, each once.
pub fn subqueries_of(expression: &Expression) -> Vec<usize> {
    let mut ids = Vec::new();
    visit_expression(expression, &mut |part| {
        if let Expression::Subquery { id, .. } | Expression::Quantified { id, .. } = part
            && !ids.contains(id)
        {
            ids.push(*id);
        }
    });
    ids
}

/// Calls `visit` for every expression of a node and of the nodes below, with how many rows deep it stands (the right side
/// of a lateral join is one deeper); of derived tables too, not of subqueries. `block` is called for each derived table.
pub fn visit_node<'q>(
    node: &'q Node,
    depth: usize,
    visit: &mut dyn FnMut(&'q Expression, usize),
    block: &mut dyn FnMut(&'q Query, usize),
) {
    let mut each = |expression: &'q Expression| visit(expression, depth);
    match node {
        Node::Dual | Node::Virtual(_) | Node::WorkingTable { .. } => {}
        Node::Scan(scan) => scan_expressions(scan, &mut each),
        Node::Values { rows } => rows.iter().flatten().for_each(each),
        Node::JsonTable(table) => each(&table.document),
        Node::Filter { input, predicate } => {
            each(predicate);
            visit_node(input, depth, visit, block);
        }
        Node::Project { input, expressions } => {
            expressions.iter().for_each(each);
            visit_node(input, depth, visit, block);
        }
        Node::Join(join) => {
            for (left, right) in &join.equal {
                each(left);
                each(right);
            }
            join.condition.iter().for_each(each);
            visit_node(&join.left, depth, visit, block);
            visit_node(&join.right, depth + usize::from(join.lateral), visit, block);
        }
        Node::Aggregate { input, group_by, aggregates, .. } => {
            group_by.iter().for_each(&mut each);
            for call in aggregates {
                call.arguments.iter().for_each(&mut each);
                call.order_by.iter().for_each(|key| each(&key.expression));
            }
            visit_node(input, depth, visit, block);
        }
        Node::Window { input, calls } => {
            for call in calls {
                call.arguments.iter().chain(&call.partition_by).for_each(&mut each);
                call.order_by.iter().for_each(|key| each(&key.expression));
                for bound in call.frame.iter().flat_map(|frame| [&frame.start, &frame.end]) {
                    if let FrameBound::Preceding(value) | FrameBound::Following(value) = bound {
                        each(value);
                    }
                }
            }
            visit_node(input, depth, visit, block);
        }
        Node::Sort { input, keys } => {
            keys.iter().for_each(|key| each(&key.expression));
            visit_node(input, depth, visit, block);
        }
        Node::Limit { input, offset, count } => {
            offset.iter().chain(count).for_each(each);
            visit_node(input, depth, visit, block);
        }
        Node::Distinct { input } => visit_node(input, depth, visit, block),
        Node::SetOperation { left, right, .. } => {
            visit_node(left, depth, visit, block);
            visit_node(right, depth, visit, block);
        }
        Node::RecursiveCte { anchor, recursive, .. } => {
            visit_node(anchor, depth, visit, block);
            visit_node(recursive, depth, visit, block);
        }
        Node::Derived(query) => {
            block(query, depth);
            visit_node(&query.root, depth, visit, block);
        }
    }
}

/// Calls `visit` for the derived tables below a node, those inside each other too.
pub fn visit_blocks<'q>(node: &'q Node, visit: &mut dyn FnMut(&'q Query)) {
    visit_node(node, 0, &mut |_, _| {}, &mut |block, _| visit(block));
}

/// Calls `visit` for the scans below a node, in derived tables too.
pub fn visit_scans<'q>(node: &'q Node, visit: &mut dyn FnMut(&'q Scan)) {
    match node {
        Node::Scan(scan) => visit(scan),
        Node::Dual | Node::Virtual(_) | Node::WorkingTable { .. } | Node::Values { .. } | Node::JsonTable(_) => {}
        Node::Filter { input, .. }
        | Node::Project { input, .. }
        | Node::Aggregate { input, .. }
        | Node::Window { input, .. }
        | Node::Sort { input, .. }
        | Node::Limit { input, .. }
        | Node::Distinct { input } => visit_scans(input, visit),
        Node::Join(join) => {
            visit_scans(&join.left, visit);
            visit_scans(&join.right, visit);
        }
        Node::SetOperation { left, right, .. } => {
            visit_scans(left, visit);
            visit_scans(right, visit);
        }
        Node::RecursiveCte { anchor, recursive, .. } => {
            visit_scans(anchor, visit);
            visit_scans(recursive, visit);
        }
        Node::Derived(query) => visit_scans(&query.root, visit),
    }
}

fn scan_expressions<'q>(scan: &'q Scan, visit: &mut dyn FnMut(&'q Expression)) {
    scan.filter.iter().for_each(&mut *visit);
    match &scan.access {
        Access::Full => {}
        Access::Point { keys, .. } => keys.iter().flatten().for_each(visit),
        Access::Range { prefix, low, high, .. } => {
            prefix.iter().for_each(&mut *visit);
            low.iter().chain(high).for_each(|bound| visit(&bound.value));
        }
    }
}

/// What a subquery reads of the row around it.
pub enum OuterColumns {
    /// These columns; the same values give the same result.
    Pure(Vec<usize>),
    /// Its result may differ every time.
    Volatile,
}

/// What a query reads of the row directly around it, from wherever inside.
pub fn outer_columns(query: &Query) -> OuterColumns {
    let mut columns = Vec::new();
    if collect_outer(query, 1, &mut columns) {
        return OuterColumns::Volatile;
    }
    columns.sort_unstable();
    columns.dedup();
    OuterColumns::Pure(columns)
}

/// Adds the columns that `query` reads of the row `level` levels out; true if it has something volatile.
fn collect_outer(query: &Query, level: usize, columns: &mut Vec<usize>) -> bool {
    let mut volatile = false;
    // Blocks whose subqueries are to be looked through, with the depth they stand at.
    let mut blocks = vec![(query, 0)];
    visit_node(
        &query.root,
        0,
        &mut |expression, depth| {
            visit_expression(expression, &mut |part| match part {
                Expression::Outer { level: read, index, .. } if *read == level + depth => columns.push(*index),
                Expression::Call { function, .. } if function.volatility == Volatility::Volatile => volatile = true,
                Expression::Assign { .. } | Expression::UserVariable { .. } => volatile = true,
                _ => {}
            });
        },
        &mut |block, depth| blocks.push((block, depth)),
    );
    for (block, depth) in blocks {
        for subquery in &block.subqueries {
            // A subquery in the right side of a lateral join stands deeper than its block; all depths up to the deepest
            // are taken, which at worst remembers by more columns than needed.
            for extra in 0..=lateral_depth(&block.root) {
                volatile |= collect_outer(&subquery.query, level + depth + extra + 1, columns);
            }
        }
    }
    volatile
}

/// How many lateral joins stand in each other's right sides, at most.
fn lateral_depth(node: &Node) -> usize {
    let mut deepest = 0;
    visit_node(node, 0, &mut |_, depth| deepest = deepest.max(depth), &mut |_, _| {});
    deepest
}
