//! What the rules ask of expressions and do to them.

use super::factor::factored;
use crate::sql::plan::{Node, Subquery, walk};
use expr::Expression;
use expr::function::{Volatility, lookup};
use expr::mysql_type::MysqlType;
use expr::value::Value;
use std::collections::BTreeSet;

/// Columns by position.
pub type Columns = BTreeSet<usize>;

/// Takes a conjunction apart, however nested; what all alternatives of an OR have is a part of it.
pub fn split(expression: Expression, parts: &mut Vec<Expression>) {
    match expression {
        Expression::And(operands) => operands.into_iter().for_each(|operand| split(operand, parts)),
        Expression::Or(operands) => {
            let (common, rest) = factored(operands);
            parts.extend(common);
            parts.extend(rest);
        }
        other => parts.push(other),
    }
}

pub fn conjuncts(expression: Option<Expression>) -> Vec<Expression> {
    let mut parts = Vec::new();
    expression.into_iter().for_each(|expression| split(expression, &mut parts));
    parts
}

/// The conjunction of parts; `None` without any.
pub fn conjunction(mut parts: Vec<Expression>) -> Option<Expression> {
    match parts.len() {
        0 | 1 => parts.pop(),
        _ => Some(Expression::And(parts)),
    }
}

/// A filter over a node, if there is something to filter by.
pub fn filtered(input: Node, predicates: Vec<Expression>) -> Node {
    match conjunction(predicates) {
        Some(predicate) => Node::Filter { input: Box::new(input), predicate },
        None => input,
    }
}

/// How often and in which order it is evaluated matters: it stays where it is.
pub fn is_pinned(expression: &Expression) -> bool {
    walk::any(expression, &|part| match part {
        Expression::Call { function, .. } => function.volatility == Volatility::Volatile,
        Expression::Assign { .. } | Expression::UserVariable { .. } => true,
        _ => false,
    })
}

pub fn has_subquery(expression: &Expression) -> bool {
    walk::any(expression, &|part| matches!(part, Expression::Subquery { .. } | Expression::Quantified { .. }))
}

/// The same value at every evaluation for one outer row, and cheap to have twice.
pub fn is_plain(expression: &Expression) -> bool {
    !is_pinned(expression) && !has_subquery(expression)
}

/// Reads no column of the row it is evaluated on: a key of an index may be computed from it.
pub fn is_constant(expression: &Expression) -> bool {
    is_plain(expression) && !walk::any(expression, &|part| matches!(part, Expression::Column { .. }))
}

pub fn has_outer(expression: &Expression) -> bool {
    walk::any(expression, &|part| matches!(part, Expression::Outer { .. }))
}

/// Positions of the subqueries in an expression.
pub fn subqueries_of(expression: &Expression) -> Vec<usize> {
    fn collect(expression: &Expression, ids: &mut Vec<usize>) {
        if let Expression::Subquery { id, .. } | Expression::Quantified { id, .. } = expression {
            ids.push(*id);
        }
        walk::each_child(expression, &mut |child| collect(child, ids));
    }
    let mut ids = Vec::new();
    collect(expression, &mut ids);
    ids
}

/// Columns that an expression reads of its row, in its subqueries too.
pub fn columns_of(expression: &Expression, subqueries: &mut [Subquery]) -> Columns {
    let mut columns = Columns::new();
    let mut expression = expression.clone();
    // A mapping onto itself changes nothing; it only sees all columns.
    walk::map_columns(&mut expression, subqueries, &mut |index, ty| {
        columns.insert(index);
        Expression::column(index, ty.clone())
    });
    columns
}

/// Moves columns to where `map` says.
pub fn move_columns(expression: &mut Expression, subqueries: &mut [Subquery], map: &dyn Fn(usize) -> usize) {
    walk::map_columns(expression, subqueries, &mut |index, ty| Expression::column(map(index), ty.clone()));
}

/// Calls `visit` for the nodes directly below, giving each away and putting the answer in its place.
pub fn map_inputs(node: &mut Node, visit: &mut dyn FnMut(Node) -> Node) {
    walk::each_input_mut(node, &mut |input| {
        let taken = std::mem::replace(input, Node::Dual);
        *input = visit(taken);
    });
}

/// `left = right`.
pub fn equals(left: Expression, right: Expression) -> Option<Expression> {
    let function = lookup("=")?;
    let arguments = vec![left, right];
    let ty = function.result_type(&arguments).ok()?;
    Some(Expression::Call { function, arguments, ty })
}

/// Rewrites one level of rows: reads of outer rows go one row further out; columns stay.
pub fn deepen(expression: &mut Expression) {
    match expression {
        Expression::Outer { level, .. } => *level += 1,
        _ => walk::each_child_mut(expression, &mut deepen),
    }
}

/// Truth of a literal; `None` for anything else.
pub fn literal_truth(expression: &Expression) -> Option<bool> {
    match expression {
        Expression::Literal { value: Value::Null, .. } => Some(false),
        Expression::Literal { value: Value::Int(number), .. } => Some(*number != 0),
        Expression::Literal { value: Value::UInt(number), .. } => Some(*number != 0),
        _ => None,
    }
}

/// A literal number of rows.
pub fn literal_count(expression: &Expression) -> Option<u64> {
    match expression {
        Expression::Literal { value: Value::Int(number), .. } => u64::try_from(*number).ok(),
        Expression::Literal { value: Value::UInt(number), .. } => Some(*number),
        _ => None,
    }
}

pub fn row_count(number: u64) -> Expression {
    Expression::literal(Value::UInt(number), MysqlType::bigint_unsigned())
}
