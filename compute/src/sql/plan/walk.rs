//! Walking plans and expressions: what the binder and the rules need to move expressions from one row to another.
//!
//! Levels: inside a subquery, and on the right of a lateral join, `Outer` of level 1 is the row around it. A derived
//! table adds no level: its outer rows are those of the node that it stands in.

use crate::sql::plan::{Access, Bound, Node, Query, ScanLock, Subquery};
use expr::Expression;
use expr::mysql_type::MysqlType;

/// Calls `visit` for the expressions directly below `expression`.
pub fn each_child_mut(expression: &mut Expression, visit: &mut dyn FnMut(&mut Expression)) {
    match expression {
        Expression::Call { arguments, .. }
        | Expression::Coalesce { arguments, .. }
        | Expression::And(arguments)
        | Expression::Or(arguments)
        | Expression::Quantified { needle: arguments, .. } => arguments.iter_mut().for_each(visit),
        Expression::Cast { argument, .. } => visit(argument),
        Expression::Assign { value, .. } => visit(value),
        Expression::Case { branches, otherwise, .. } => {
            for (condition, result) in branches {
                visit(condition);
                visit(result);
            }
            if let Some(otherwise) = otherwise {
                visit(otherwise);
            }
        }
        Expression::Literal { .. }
        | Expression::Column { .. }
        | Expression::Outer { .. }
        | Expression::Parameter { .. }
        | Expression::Subquery { .. }
        | Expression::UserVariable { .. } => {}
    }
}

/// As [`each_child_mut`], reading.
pub fn each_child(expression: &Expression, visit: &mut dyn FnMut(&Expression)) {
    match expression {
        Expression::Call { arguments, .. }
        | Expression::Coalesce { arguments, .. }
        | Expression::And(arguments)
        | Expression::Or(arguments)
        | Expression::Quantified { needle: arguments, .. } => arguments.iter().for_each(visit),
        Expression::Cast { argument, .. } => visit(argument),
        Expression::Assign { value, .. } => visit(value),
        Expression::Case { branches, otherwise, .. } => {
            for (condition, result) in branches {
                visit(condition);
                visit(result);
            }
            if let Some(otherwise) = otherwise {
                visit(otherwise);
            }
        }
        Expression::Literal { .. }
        | Expression::Column { .. }
        | Expression::Outer { .. }
        | Expression::Parameter { .. }
        | Expression::Subquery { .. }
        | Expression::UserVariable { .. } => {}
    }
}

/// True if `test` holds for the expression or one below it; subqueries are not entered.
pub fn any(expression: &Expression, test: &dyn Fn(&Expression) -> bool) -> bool {
    stacker::maybe_grow(64 << 10, 1 << 20, || {
        let mut found = test(expression);
        if !found {
            each_child(expression, &mut |child| found = found || any(child, test));
        }
        found
    })
}

/// Moves an expression `levels` further in: its columns become outer columns.
pub fn lift(expression: &mut Expression, levels: usize) {
    if levels == 0 {
        return;
    }
    match expression {
        Expression::Column { index, ty } => {
            *expression = Expression::Outer { level: levels, index: *index, ty: ty.clone() };
        }
        Expression::Outer { level, .. } => *level += levels,
        _ => each_child_mut(expression, &mut |child| lift(child, levels)),
    }
}

/// What takes a column's place: given its position and type in the old row.
pub type ColumnMap<'a> = &'a mut dyn FnMut(usize, &MysqlType) -> Expression;

/// Replaces the columns of the row that `expression` is evaluated on, in its subqueries too.
pub fn map_columns(expression: &mut Expression, subqueries: &mut [Subquery], map: ColumnMap<'_>) {
    map_at(expression, subqueries, 0, map);
}

/// Replaces in `expression` what reads the row `level` rows out (0: the row itself).
fn map_at(expression: &mut Expression, subqueries: &mut [Subquery], level: usize, map: ColumnMap<'_>) {
    stacker::maybe_grow(64 << 10, 1 << 20, || {
        let replacement = match expression {
            Expression::Column { index, ty } if level == 0 => Some(map(*index, ty)),
            Expression::Outer { level: found, index, ty } if level > 0 && *found == level => Some(map(*index, ty)),
            _ => None,
        };
        if let Some(mut replacement) = replacement {
            lift(&mut replacement, level);
            *expression = replacement;
            return;
        }
        if let Expression::Subquery { id, .. } | Expression::Quantified { id, .. } = expression
            && let Some(subquery) = subqueries.get_mut(*id)
        {
            map_query(&mut subquery.query, level + 1, map);
        }
        each_child_mut(expression, &mut |child| map_at(child, subqueries, level, map));
    });
}

/// Tells of every column that an expression reads, in its subqueries too: how many rows out the column's row is (0: the
/// row that the expression is evaluated on), and its position there.
pub fn each_row_read(expression: &Expression, subqueries: &[Subquery], visit: &mut dyn FnMut(usize, usize)) {
    read_at(expression, subqueries, 0, visit);
}

/// As [`each_row_read`], of all expressions in a node and below it.
pub fn each_read_of_node(node: &Node, subqueries: &[Subquery], visit: &mut dyn FnMut(usize, usize)) {
    // Nodes are walked as what may be changed.
    read_node(&mut node.clone(), subqueries, 0, visit);
}

/// `depth`: how many rows further in the expression stands.
fn read_at(expression: &Expression, subqueries: &[Subquery], depth: usize, visit: &mut dyn FnMut(usize, usize)) {
    match expression {
        Expression::Column { index, .. } if depth == 0 => visit(0, *index),
        Expression::Outer { level, index, .. } if *level >= depth => visit(*level - depth, *index),
        Expression::Subquery { id, .. } | Expression::Quantified { id, .. } => {
            if let Some(subquery) = subqueries.get(*id) {
                // Nodes are walked as what may be changed.
                let Query { mut root, subqueries, .. } = subquery.query.clone();
                read_node(&mut root, &subqueries, depth + 1, visit);
            }
        }
        _ => {}
    }
    each_child(expression, &mut |child| read_at(child, subqueries, depth, visit));
}

fn read_node(node: &mut Node, subqueries: &[Subquery], depth: usize, visit: &mut dyn FnMut(usize, usize)) {
    each_expression_mut(node, &mut |expression| read_at(expression, subqueries, depth, visit));
    match node {
        Node::Join(join) => {
            read_node(&mut join.left, subqueries, depth, visit);
            read_node(&mut join.right, subqueries, depth + usize::from(join.lateral), visit);
        }
        Node::Derived(query) => {
            let Query { root, subqueries, .. } = query.as_mut();
            read_node(root, subqueries, depth, visit);
        }
        _ => each_input_mut(node, &mut |input| read_node(input, subqueries, depth, visit)),
    }
}

/// Replaces what reads the row `level` rows out, anywhere in a query.
pub fn map_query(query: &mut Query, level: usize, map: ColumnMap<'_>) {
    let Query { root, subqueries, .. } = query;
    map_node(root, subqueries, level, map);
}

/// Replaces what reads the row `level` rows out, in a node and everything below it.
pub fn map_node(node: &mut Node, subqueries: &mut [Subquery], level: usize, map: ColumnMap<'_>) {
    each_expression_mut(node, &mut |expression| map_at(expression, subqueries, level, map));
    match node {
        Node::Join(join) => {
            map_node(&mut join.left, subqueries, level, map);
            map_node(&mut join.right, subqueries, level + usize::from(join.lateral), map);
        }
        Node::Derived(query) => map_query(query, level, map),
        _ => each_input_mut(node, &mut |input| map_node(input, subqueries, level, map)),
    }
}

/// Calls `visit` for the expressions of this node alone.
pub fn each_expression_mut(node: &mut Node, visit: &mut dyn FnMut(&mut Expression)) {
    match node {
        Node::Scan(scan) => {
            scan.filter.iter_mut().for_each(&mut *visit);
            match &mut scan.access {
                Access::Full => {}
                Access::Point { keys, .. } => keys.iter_mut().flatten().for_each(visit),
                Access::Range { prefix, low, high, .. } => {
                    prefix.iter_mut().for_each(&mut *visit);
                    for Bound { value, .. } in low.iter_mut().chain(high) {
                        visit(value);
                    }
                }
            }
        }
        Node::Values { rows } => rows.iter_mut().flatten().for_each(visit),
        Node::Filter { predicate, .. } => visit(predicate),
        Node::Project { expressions, .. } => expressions.iter_mut().for_each(visit),
        Node::Join(join) => {
            for (left, right) in &mut join.equal {
                visit(left);
                visit(right);
            }
            join.condition.iter_mut().for_each(visit);
        }
        Node::Aggregate { group_by, aggregates, .. } => {
            group_by.iter_mut().for_each(&mut *visit);
            for call in aggregates {
                call.arguments.iter_mut().for_each(&mut *visit);
                call.order_by.iter_mut().for_each(|key| visit(&mut key.expression));
            }
        }
        Node::Window { calls, .. } => {
            for call in calls {
                call.arguments.iter_mut().for_each(&mut *visit);
                call.partition_by.iter_mut().for_each(&mut *visit);
                call.order_by.iter_mut().for_each(|key| visit(&mut key.expression));
            }
        }
        Node::Sort { keys, .. } => keys.iter_mut().for_each(|key| visit(&mut key.expression)),
        Node::Limit { offset, count, .. } => offset.iter_mut().chain(count).for_each(visit),
        Node::JsonTable(table) => visit(&mut table.document),
        Node::Dual
        | Node::Virtual(_)
        | Node::Distinct { .. }
        | Node::SetOperation { .. }
        | Node::RecursiveCte { .. }
        | Node::WorkingTable { .. }
        | Node::Derived(_) => {}
    }
}

/// Calls `visit` for the nodes directly below; a derived table's query is not entered.
pub fn each_input_mut(node: &mut Node, visit: &mut dyn FnMut(&mut Node)) {
    match node {
        Node::Filter { input, .. }
        | Node::Project { input, .. }
        | Node::Aggregate { input, .. }
        | Node::Window { input, .. }
        | Node::Sort { input, .. }
        | Node::Limit { input, .. }
        | Node::Distinct { input } => visit(input),
        Node::Join(join) => {
            visit(&mut join.left);
            visit(&mut join.right);
        }
        Node::SetOperation { left, right, .. } => {
            visit(left);
            visit(right);
        }
        Node::RecursiveCte { anchor, recursive, .. } => {
            visit(anchor);
            visit(recursive);
        }
        Node::Dual
        | Node::Scan(_)
        | Node::Virtual(_)
        | Node::Values { .. }
        | Node::WorkingTable { .. }
        | Node::JsonTable(_)
        | Node::Derived(_) => {}
    }
}

/// Makes every scan of a query lock what it reads, those of subqueries and derived tables too. Scans that lock stay as
/// they are.
pub fn lock_query(query: &mut Query, lock: ScanLock) {
    lock_node(&mut query.root, lock);
    query.subqueries.iter_mut().for_each(|subquery| lock_query(&mut subquery.query, lock));
}

/// As [`lock_query`], for one node and what it reads.
pub fn lock_node(node: &mut Node, lock: ScanLock) {
    match node {
        Node::Scan(scan) => {
            scan.lock.get_or_insert(lock);
        }
        Node::Derived(query) => lock_query(query, lock),
        _ => each_input_mut(node, &mut |input| lock_node(input, lock)),
    }
}

/// Types of a node's columns.
pub fn types(node: &Node) -> Vec<MysqlType> {
    match node {
        Node::Dual => Vec::new(),
        Node::Scan(scan) => {
            // Behind the last column is the hidden row id.
            let ty = |column: &usize| {
                scan.table.columns.get(*column).map_or_else(MysqlType::bigint_unsigned, |column| column.ty.clone())
            };
            scan.columns.iter().map(ty).collect()
        }
        Node::Virtual(scan) => scan.types.clone(),
        Node::Values { rows } => rows.first().map(|row| row.iter().map(Expression::ty).collect()).unwrap_or_default(),
        Node::Filter { input, .. }
        | Node::Sort { input, .. }
        | Node::Limit { input, .. }
        | Node::Distinct { input } => types(input),
        Node::Project { expressions, .. } => expressions.iter().map(Expression::ty).collect(),
        Node::Join(join) => {
            let mut all = types(&join.left);
            match join.kind {
                crate::sql::plan::JoinKind::Inner => all.extend(types(&join.right)),
                crate::sql::plan::JoinKind::Left => {
                    all.extend(types(&join.right).into_iter().map(|ty| ty.with_nullable(true)))
                }
                crate::sql::plan::JoinKind::Semi | crate::sql::plan::JoinKind::Anti => {}
            }
            all
        }
        Node::Aggregate { group_by, aggregates, .. } => {
            group_by.iter().map(Expression::ty).chain(aggregates.iter().map(|call| call.ty.clone())).collect()
        }
        Node::Window { input, calls } => {
            let mut all = types(input);
            all.extend(calls.iter().map(|call| call.ty.clone()));
            all
        }
        Node::SetOperation { left, .. } => types(left),
        Node::RecursiveCte { anchor, .. } => types(anchor),
        Node::WorkingTable { types, .. } => types.clone(),
        Node::Derived(query) => query.fields.iter().map(|field| field.ty.clone()).collect(),
        Node::JsonTable(table) => table.table.fields().into_iter().map(|(_, ty)| ty).collect(),
    }
}
