//! Equalities between the sides of a join become its keys.

use super::Block;
use super::expressions::{conjunction, conjuncts, is_plain, move_columns};
use super::push_down::{Side, side_of};
use crate::sql::plan::{Join, Node, walk};
use expr::Expression;
use expr::mysql_type::{MysqlType, TypeKind};

/// Takes keys out of the conditions of all joins of a node.
pub fn extract(node: &mut Node, block: &mut Block) {
    walk::each_input_mut(node, &mut |input| extract(input, block));
    if let Node::Join(join) = node {
        extract_from(join, block);
    }
}

fn extract_from(join: &mut Join, block: &mut Block) {
    let left_width = walk::types(&join.left).len();
    let mut rest = Vec::new();
    for part in conjuncts(join.condition.take()) {
        match key_of(&part, left_width, block) {
            Some(pair) => join.equal.push(pair),
            None => rest.push(part),
        }
    }
    join.condition = conjunction(rest);
}

/// The two sides of an equality that can be a key: over the left's row, and over the right's.
pub fn key_of(predicate: &Expression, left_width: usize, block: &mut Block) -> Option<(Expression, Expression)> {
    let Expression::Call { function, arguments, .. } = predicate else { return None };
    let [first, second] = arguments.as_slice() else { return None };
    if function.name != "=" || !is_plain(predicate) {
        return None;
    }
    let (left, right) = match (side_of(first, left_width, block), side_of(second, left_width, block)) {
        (Side::Left, Side::Right) => (first, second),
        (Side::Right, Side::Left) => (second, first),
        _ => return None,
    };
    let (left, mut right) = comparable(left.clone(), right.clone())?;
    move_columns(&mut right, &mut block.subqueries, &|column| column.saturating_sub(left_width));
    Some((left, right))
}

/// Both with types whose values have the same form; `None` if equality means something else for them.
fn comparable(left: Expression, right: Expression) -> Option<(Expression, Expression)> {
    use TypeKind::{Date, DateTime, Decimal, Double, Float, Time, Timestamp};
    let (left_type, right_type) = (left.ty(), right.ty());
    let is_moment = |ty: &MysqlType| matches!(ty.kind, DateTime { .. } | Timestamp { .. });
    let is_decimal = |ty: &MysqlType| matches!(ty.kind, Decimal { .. });
    // No BIGINT has more than 20 digits.
    let whole = MysqlType::new(Decimal { precision: 20, scale: 0, unsigned: false });
    let midnight = MysqlType::new(DateTime { fsp: 0 });
    let cast = |argument: Expression, ty: &MysqlType| Expression::Cast { argument: Box::new(argument), ty: ty.clone() };
    let local = |argument: Expression| match argument.ty().kind {
        Timestamp { fsp } => cast(argument, &MysqlType::new(DateTime { fsp })),
        _ => argument,
    };
    match (&left_type.kind, &right_type.kind) {
        _ if left_type.is_integer() && right_type.is_integer() => Some((left, right)),
        _ if is_decimal(&left_type) && is_decimal(&right_type) => Some((left, right)),
        _ if is_decimal(&left_type) && right_type.is_integer() => Some((left, cast(right, &whole))),
        _ if left_type.is_integer() && is_decimal(&right_type) => Some((cast(left, &whole), right)),
        (Double { .. }, Double { .. }) | (Float { .. }, Float { .. }) => Some((left, right)),
        (Date, Date) | (Time { .. }, Time { .. }) => Some((left, right)),
        (DateTime { .. }, DateTime { .. }) | (Timestamp { .. }, Timestamp { .. }) => Some((left, right)),
        // As stored, a TIMESTAMP is of another zone than a DATETIME.
        _ if is_moment(&left_type) && is_moment(&right_type) => Some((local(left), local(right))),
        (Date, _) if is_moment(&right_type) => Some((cast(left, &midnight), local(right))),
        (_, Date) if is_moment(&left_type) => Some((local(left), cast(right, &midnight))),
        _ if is_plain_text(&left_type) && is_plain_text(&right_type) => {
            (left_type.collation == right_type.collation).then_some((left, right))
        }
        _ if is_plain_binary(&left_type) && is_plain_binary(&right_type) => Some((left, right)),
        _ => None,
    }
}

fn is_plain_text(ty: &MysqlType) -> bool {
    matches!(ty.kind, TypeKind::Char { .. } | TypeKind::VarChar { .. } | TypeKind::Text { .. })
}

fn is_plain_binary(ty: &MysqlType) -> bool {
    ty.is_binary() && !matches!(ty.kind, TypeKind::Geometry(_))
}
