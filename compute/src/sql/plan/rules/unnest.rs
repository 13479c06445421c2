//! Subqueries that would run again for each of many rows become joins: EXISTS and IN semi joins, their negations anti joins,
//! and a comparison with an aggregate of the rows that belong to the outer row a join with all such aggregates.
//!
//! Only where a join reads less than the subquery would, run for every row. What does not have one of the known forms stays.

use super::Block;
use super::expressions::{
    conjunction, conjuncts, equals, filtered, has_subquery, is_pinned, literal_count, map_inputs,
};
use super::join_keys;
use super::outer_join::{is_null_then, rejects_missing};
use super::{Unnesting, estimate, optimise_query};
use crate::sql::plan::{Field, Join, JoinKind, Node, Query, Subquery, SubqueryKind, walk};
use expr::Expression;
use expr::aggregate::AggregateFunction;
use expr::expression::Comparison;
use expr::mysql_type::MysqlType;
use std::collections::BTreeSet;

/// Below so many rows a subquery is run for each, whatever it reads.
const ROWS_MIN: f64 = 1000.0;
/// Below so many rows IN looks for each in the rows of its subquery, which runs once.
const IN_ROWS_MIN: f64 = 10_000.0;
/// What a subquery costs that finds its rows by an index, in rows of a scan.
const LOOKUP_ROWS: f64 = 100.0;

/// Makes joins of subqueries in the filters of a node and below. Positions of columns stay.
pub fn unnest(mut node: Node, block: &mut Block) -> Node {
    map_inputs(&mut node, &mut |input| unnest(input, block));
    let Node::Filter { input, predicate } = node else { return node };
    let mut input = *input;
    let rows = estimate::rows(&input, block);
    let is_wanted = match block.statistics.unnesting() {
        Unnesting::Never => false,
        Unnesting::ByCost => rows >= ROWS_MIN,
        Unnesting::Always => true,
    };
    if !is_wanted || !has_subquery(&predicate) {
        return Node::Filter { input: Box::new(input), predicate };
    }
    let mut kept = Vec::new();
    for part in conjuncts(Some(predicate)) {
        let width = walk::types(&input).len();
        match Unnested::of(&part, width, rows, block) {
            Some(unnested) => input = unnested.over(input, width),
            None => kept.push(part),
        }
    }
    filtered(input, kept)
}

/// What a subquery becomes: a join with what it reads.
struct Unnested {
    kind: JoinKind,
    right: Node,
    /// Over the left's row and the right's.
    condition: Vec<Expression>,
}

impl Unnested {
    /// `width`: columns of the rows that the predicate is evaluated on; `rows`: how many there are.
    fn of(predicate: &Expression, width: usize, rows: f64, block: &mut Block) -> Option<Unnested> {
        if is_pinned(predicate) {
            return None;
        }
        match predicate {
            Expression::Call { function, arguments, .. } if function.name == "NOT" => match &arguments[..] {
                [Expression::Subquery { id, .. }] => exists(*id, JoinKind::Anti, width, rows, block),
                [Expression::Quantified { .. }] => is_in(&arguments[0], JoinKind::Anti, width, rows, block),
                _ => None,
            },
            Expression::Subquery { id, .. } => exists(*id, JoinKind::Semi, width, rows, block),
            Expression::Quantified { .. } => is_in(predicate, JoinKind::Semi, width, rows, block),
            _ => aggregate(predicate, width, rows, block),
        }
    }

    fn over(self, left: Node, width: usize) -> Node {
        let types = walk::types(&left);
        let Unnested { kind, right, condition } = self;
        let condition = conjunction(condition);
        let join = Node::Join(Box::new(Join { kind, left, right, equal: Vec::new(), condition, lateral: false }));
        if kind != JoinKind::Inner {
            return join;
        }
        let expressions =
            types.into_iter().take(width).enumerate().map(|(index, ty)| Expression::column(index, ty)).collect();
        Node::Project { input: Box::new(join), expressions }
    }
}

/// `EXISTS (SELECT ... WHERE inner = outer AND ...)`
fn exists(id: usize, kind: JoinKind, width: usize, rows: f64, block: &mut Block) -> Option<Unnested> {
    let Subquery { query, kind: SubqueryKind::Exists, correlated: true } = block.subqueries.get(id)? else {
        return None;
    };
    let mut query = query.clone();
    query.root = without_output(query.root)?;
    let correlation = Correlation::take(&mut query)?;
    let read: BTreeSet<usize> = correlation.parts.iter().flat_map(Expression::columns).collect();
    let place = |column: usize| width + read.iter().take_while(|other| **other < column).count();
    let condition: Vec<Expression> =
        correlation.parts.iter().map(|part| over_both(part, &place)).collect::<Option<_>>()?;
    if !condition.iter().any(|part| join_keys::key_of(part, width, block).is_some()) {
        return None;
    }
    let types = walk::types(&query.root);
    let expressions = read.iter().map(|column| Expression::column(*column, types[*column].clone())).collect();
    query.root = Node::Project { input: Box::new(query.root), expressions };
    is_worth_it(&query, &correlation, rows, block).then(|| Unnested { kind, right: optimised(query, block), condition })
}

/// `needle IN (SELECT ...)`, and NOT IN where nothing can be NULL.
fn is_in(quantified: &Expression, kind: JoinKind, width: usize, rows: f64, block: &mut Block) -> Option<Unnested> {
    let Expression::Quantified { needle, comparison: Comparison::Equal, all: false, id } = quantified else {
        return None;
    };
    let Subquery { query, kind: SubqueryKind::Rows, correlated: false } = block.subqueries.get(*id)? else {
        return None;
    };
    let query = query.clone();
    let is_wanted = rows >= IN_ROWS_MIN || block.statistics.unnesting() == Unnesting::Always;
    if !is_wanted || query.fields.len() != needle.len() {
        return None;
    }
    let mut condition = Vec::new();
    for (at, (needle, field)) in needle.iter().zip(&query.fields).enumerate() {
        let is_never_null = matches!(needle, Expression::Column { ty, .. } if !ty.nullable)
            && field.origin.is_some()
            && !field.ty.nullable;
        if kind == JoinKind::Anti && !is_never_null {
            return None;
        }
        let part = equals(needle.clone(), Expression::column(width + at, field.ty.clone()))?;
        join_keys::key_of(&part, width, block)?;
        condition.push(part);
    }
    Some(Unnested { kind, right: optimised(query, block), condition })
}

/// `value < (SELECT aggregate FROM ... WHERE inner = outer AND ...)`, where no row makes the comparison NULL.
fn aggregate(predicate: &Expression, width: usize, rows: f64, block: &mut Block) -> Option<Unnested> {
    let ids = super::expressions::subqueries_of(predicate);
    let [id] = ids[..] else { return None };
    let Subquery { query, kind: SubqueryKind::Scalar, correlated: true } = block.subqueries.get(id)? else {
        return None;
    };
    let mut query = query.clone();
    let (mut value, root) = match query.root {
        Node::Project { input, mut expressions } if expressions.len() == 1 => (expressions.pop()?, *input),
        root => (Expression::column(0, walk::types(&root).first()?.clone()), root),
    };
    let Node::Aggregate { input, group_by, rollup: false, aggregates } = root else { return None };
    use AggregateFunction::{Avg, Max, Min, Sum};
    let is_null_without_rows = aggregates.iter().all(|call| matches!(call.function, Avg | Max | Min | Sum));
    let reads_group_only = !has_subquery(&value) && !super::expressions::has_outer(&value) && !is_pinned(&value);
    if !group_by.is_empty() || !is_null_without_rows || !reads_group_only || !is_null_then(&value, &|_| true) {
        return None;
    }
    query.root = *input;
    let correlation = Correlation::take(&mut query)?;
    let mut keys = Vec::new();
    let mut condition = Vec::new();
    for part in &correlation.parts {
        let (inner, outer) = sides(part)?;
        let key = Expression::column(width + keys.len(), inner.ty());
        if !is_same_class(&inner.ty(), &outer.ty()) {
            return None;
        }
        let part = equals(over_both(outer, &|column| column)?, key)?;
        join_keys::key_of(&part, width, block)?;
        condition.push(part);
        keys.push(inner.clone());
    }
    if keys.is_empty() {
        return None;
    }
    let shift = keys.len();
    walk::map_columns(&mut value, &mut [], &mut |index, ty| Expression::column(index + shift, ty.clone()));
    let mut comparison = predicate.clone();
    put_column(&mut comparison, id, &Expression::column(width + shift, value.ty().with_nullable(true)));
    if !rejects_missing(&comparison, &|column| column == width + shift) {
        return None;
    }
    condition.push(comparison);
    let mut expressions: Vec<Expression> =
        keys.iter().enumerate().map(|(index, key)| Expression::column(index, key.ty())).collect();
    expressions.push(value);
    let input = Box::new(Node::Aggregate { input: Box::new(query.root), group_by: keys, rollup: false, aggregates });
    query.root = Node::Project { input, expressions };
    is_worth_it(&query, &correlation, rows, block).then(|| Unnested {
        kind: JoinKind::Inner,
        right: optimised(query, block),
        condition,
    })
}

/// The parts of a subquery's WHERE that read the row around it; taken out of the query, which reads nothing else of it.
struct Correlation {
    parts: Vec<Expression>,
}

impl Correlation {
    fn take(query: &mut Query) -> Option<Correlation> {
        let mut root = std::mem::replace(&mut query.root, Node::Dual);
        let (mut parts, mut own) = (Vec::new(), Vec::new());
        while let Node::Filter { input, predicate } = root {
            for part in conjuncts(Some(predicate)) {
                let mut reads_outer = false;
                walk::each_row_read(&part, &query.subqueries, &mut |level, _| reads_outer |= level > 0);
                match reads_outer {
                    true if has_subquery(&part) || is_pinned(&part) => return None,
                    true => parts.push(part),
                    false => own.push(part),
                }
            }
            root = *input;
        }
        query.root = filtered(root, own);
        let mut reads_outer = false;
        walk::each_read_of_node(&query.root, &query.subqueries, &mut |level, _| reads_outer |= level > 0);
        (!reads_outer && !parts.is_empty()).then_some(Correlation { parts })
    }

    /// Columns of the subquery's own rows that an index would be asked for.
    fn keys(&self) -> impl Iterator<Item = usize> {
        self.parts.iter().filter_map(|part| match sides(part)?.0 {
            Expression::Column { index, .. } => Some(*index),
            _ => None,
        })
    }
}

/// Of `inner = outer`: the side over the subquery's row, and the side over the row around it.
fn sides(part: &Expression) -> Option<(&Expression, &Expression)> {
    let Expression::Call { function, arguments, .. } = part else { return None };
    let [first, second] = &arguments[..] else { return None };
    let reads_outer = super::expressions::has_outer;
    let reads_inner = |side: &Expression| !side.columns().is_empty();
    match function.name {
        "=" if reads_inner(first) && !reads_outer(first) && reads_outer(second) && !reads_inner(second) => {
            Some((first, second))
        }
        "=" if reads_inner(second) && !reads_outer(second) && reads_outer(first) && !reads_inner(first) => {
            Some((second, first))
        }
        _ => None,
    }
}

/// Values of both that are equal are equal in their groups, too.
fn is_same_class(left: &MysqlType, right: &MysqlType) -> bool {
    let is_decimal = |ty: &MysqlType| matches!(ty.kind, expr::TypeKind::Decimal { .. });
    left.is_integer() && right.is_integer()
        || is_decimal(left) && is_decimal(right)
        || left.is_text() && right.is_text() && left.collation == right.collation && left.kind == right.kind
        || left.kind == right.kind && left.is_temporal()
}

/// What EXISTS counts rows of.
fn without_output(node: Node) -> Option<Node> {
    match node {
        Node::Project { input, expressions } if !expressions.iter().any(is_pinned) => without_output(*input),
        Node::Sort { input, keys } if !keys.iter().any(|key| is_pinned(&key.expression)) => without_output(*input),
        Node::Distinct { input } => without_output(*input),
        Node::Limit { input, offset: None, count: Some(count) } if literal_count(&count)? > 0 => without_output(*input),
        Node::Project { .. } | Node::Sort { .. } | Node::Limit { .. } | Node::Aggregate { .. } => None,
        other => Some(other),
    }
}

/// The part of a subquery's WHERE over the left's row and the right's, whose columns go to `place`.
fn over_both(part: &Expression, place: &dyn Fn(usize) -> usize) -> Option<Expression> {
    fn put(part: &mut Expression, place: &dyn Fn(usize) -> usize, possible: &mut bool) {
        match part {
            Expression::Column { index, .. } => *index = place(*index),
            Expression::Outer { level: 1, index, ty } => *part = Expression::column(*index, ty.clone()),
            Expression::Outer { .. } => *possible = false,
            _ => walk::each_child_mut(part, &mut |child| put(child, place, possible)),
        }
    }
    let (mut part, mut possible) = (part.clone(), true);
    put(&mut part, place, &mut possible);
    possible.then_some(part)
}

/// Puts a column where the subquery stands.
fn put_column(expression: &mut Expression, subquery: usize, column: &Expression) {
    match expression {
        Expression::Subquery { id, .. } if *id == subquery => *expression = column.clone(),
        _ => walk::each_child_mut(expression, &mut |child| put_column(child, subquery, column)),
    }
}

/// Whether one run over everything reads less than a run for each of so many rows.
fn is_worth_it(query: &Query, correlation: &Correlation, rows: f64, block: &Block) -> bool {
    if block.statistics.unnesting() == Unnesting::Always {
        return true;
    }
    let (mut read, mut has_index) = (0.0, false);
    let keys: Vec<usize> = correlation.keys().collect();
    let mut node = &query.root;
    // Columns of the first table stand where the subquery's do.
    while let Node::Project { input, .. } | Node::Aggregate { input, .. } | Node::Filter { input, .. } = node {
        node = input;
    }
    let mut first = true;
    each_scan(node, &mut |scan| {
        read += block.statistics.rows(&scan.table) as f64;
        let is_key = |id| {
            keys.iter().any(|key| {
                let column = scan.columns.get(*key).and_then(|position| scan.table.columns.get(*position));
                column.is_some_and(|column| column.id == id)
            })
        };
        has_index |= !first
            || scan.table.indexes.iter().any(|index| index.parts.first().is_some_and(|part| is_key(part.column)));
        first = false;
    });
    let each = if has_index { LOOKUP_ROWS } else { read };
    rows + read < rows * each
}

fn each_scan(node: &Node, visit: &mut dyn FnMut(&crate::sql::plan::Scan)) {
    if let Node::Scan(scan) = node {
        visit(scan);
    }
    for input in node.inputs() {
        each_scan(input, visit);
    }
}

/// A query as a node of the block around it.
fn optimised(mut query: Query, block: &Block) -> Node {
    let types = walk::types(&query.root);
    query.fields = types.into_iter().map(|ty| Field { name: String::new(), ty, origin: None }).collect();
    let query = optimise_query(query, block.statistics);
    match query.subqueries.is_empty() {
        true => query.root,
        false => Node::Derived(Box::new(query)),
    }
}
