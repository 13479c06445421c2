//! Joins that were made into index lookups, turned back: over many left rows, reading the right table once is less work.

use crate::execute::row::{shape, walk};
use crate::sql::plan::rules::expressions::equals;
use crate::sql::plan::{Access, Join, Node, Scan};
use expr::Expression;
use expr::mysql_type::{MysqlType, TypeKind};

/// The same join without lookups.
pub struct PlainJoin {
    /// The right side: all of the table. Key columns that it did not give before come last.
    pub right: Scan,
    pub equal: Vec<(Expression, Expression)>,
    pub condition: Option<Expression>,
}

/// `None` if the right side is not a scan by keys that are equal to values of the left row.
pub fn unlateral(join: &Join) -> Option<PlainJoin> {
    let Node::Scan(scan) = &join.right else { return None };
    let (index, keys) = match &scan.access {
        Access::Point { index, keys } if keys.len() == 1 => (*index, &keys[0]),
        Access::Range { index, prefix, low: None, high: None, .. } if !prefix.is_empty() => (*index, prefix),
        _ => return None,
    };
    if scan.lock.is_some() {
        return None;
    }
    let mut right = (**scan).clone();
    right.access = Access::Full;
    let mut equal = join.equal.clone();
    // Key parts that are the same for every left row are no part of a join, but conditions on the right one.
    let mut kept = Vec::new();
    for (key, part) in keys.iter().zip(&scan.table.indexes[index].parts) {
        let (position, column) = scan.table.column_by_id(part.column)?;
        let compared = compared_as(&key.ty(), &column.ty).filter(|_| part.prefix.is_none())?;
        let at = right.columns.iter().position(|&given| given == position).unwrap_or_else(|| {
            right.columns.push(position);
            right.columns.len() - 1
        });
        let stored = Expression::column(at, column.ty.clone());
        let part = match compared.kind == column.ty.kind {
            true => stored,
            false => Expression::Cast { argument: Box::new(stored), ty: compared },
        };
        let key = over_left(key, 0)?;
        if reads_columns(&key) {
            equal.push((key, part));
        } else {
            kept.push(equals(part, key)?);
        }
    }
    let left_width = shape::width(&join.left);
    let mut conditions: Vec<Expression> = join.condition.iter().cloned().collect();
    if let Some(filter) = right.filter.take() {
        let mut parts = Vec::new();
        walk::conjuncts(&filter, &mut parts);
        for part in parts {
            if !walk::subqueries_of(part).is_empty() {
                return None;
            }
            if is_key(part, &equal)? {
                continue;
            }
            if reads_left(part) {
                conditions.push(over_left(part, left_width)?);
            } else {
                kept.push(part.clone());
            }
        }
    }
    right.filter = all(kept);
    Some(PlainJoin { right, equal, condition: all(conditions) })
}

fn all(mut parts: Vec<Expression>) -> Option<Expression> {
    match parts.len() {
        0 | 1 => parts.pop(),
        _ => Some(Expression::And(parts)),
    }
}

/// True for the equality that a key of the lookup comes from: it is a key of the join.
fn is_key(part: &Expression, keys: &[(Expression, Expression)]) -> Option<bool> {
    let Expression::Call { function, arguments, .. } = part else { return Some(false) };
    let [first, second] = &arguments[..] else { return Some(false) };
    if function.name != "=" || !reads_left(part) {
        return Some(false);
    }
    let is_pair = |column: &Expression, outer: &Expression| -> Option<bool> {
        if !matches!(column, Expression::Column { .. }) || reads_columns(outer) {
            return Some(false);
        }
        let outer = over_left(outer, 0)?;
        Some(keys.iter().any(|(left, right)| right.is_same(column) && left.is_same(&outer)))
    };
    Some(is_pair(first, second)? || is_pair(second, first)?)
}

fn reads_left(expression: &Expression) -> bool {
    let mut reads = false;
    walk::visit_expression(expression, &mut |part| reads |= matches!(part, Expression::Outer { .. }));
    reads
}

fn reads_columns(expression: &Expression) -> bool {
    let mut reads = false;
    walk::visit_expression(expression, &mut |part| reads |= matches!(part, Expression::Column { .. }));
    reads
}

/// What the right side evaluates, over the left's row and then the right's, whose columns begin at `right_base`.
fn over_left(expression: &Expression, right_base: usize) -> Option<Expression> {
    let mut over_both = expression.clone();
    let mut possible = true;
    walk::visit_expression_mut(&mut over_both, &mut |part| {
        if let Expression::Column { index, .. } = part {
            // A key reads no column of the right side.
            possible &= right_base > 0;
            *index += right_base;
        }
    });
    walk::visit_expression_mut(&mut over_both, &mut |part| {
        if let Expression::Outer { level, index, ty } = part {
            possible &= *level == 1;
            *part = Expression::column(*index, ty.clone());
        }
    });
    // IS NULL by an index is no equality.
    possible &= !matches!(&over_both, Expression::Literal { value, .. } if value.is_null());
    possible.then_some(over_both)
}

/// The type of the column in a join that compares as a lookup by a key of this type does.
fn compared_as(key: &MysqlType, column: &MysqlType) -> Option<MysqlType> {
    match (&key.kind, &column.kind) {
        // As stored, a TIMESTAMP is of another zone than a DATETIME.
        (TypeKind::DateTime { .. }, TypeKind::Timestamp { fsp }) => {
            Some(MysqlType::new(TypeKind::DateTime { fsp: *fsp }))
        }
        _ => compares_as_stored(key, column).then(|| column.clone()),
    }
}

fn compares_as_stored(key: &MysqlType, column: &MysqlType) -> bool {
    match (&key.kind, &column.kind) {
        (TypeKind::Int { .. }, TypeKind::Int { .. }) => true,
        (TypeKind::Decimal { .. }, TypeKind::Decimal { .. }) => key.kind == column.kind,
        (left, right) if key.is_text() && column.is_text() => {
            key.collation == column.collation
                && !matches!(left, TypeKind::Enum(_) | TypeKind::Set(_))
                && !matches!(right, TypeKind::Enum(_) | TypeKind::Set(_))
        }
        (left, right) => left == right,
    }
}
