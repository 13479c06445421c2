//! What a scan's conditions say about keys and columns, for page servers to skip and to choose rows by.

use crate::execute::codec::{self, Edge};
use crate::execute::row::walk;
use crate::sql::plan::{Access, Bound, Scan};
use common::key::KeyRange;
use common::physical::PhysicalValue;
use common::service::page::ColumnBound;
use expr::eval::{EvalContext, eval};
use expr::mysql_type::{MysqlType, TypeKind};
use expr::row_encoding::to_physical;
use expr::value::Value;
use expr::{Expression, SqlError};

/// The keys of a scan over a part of the clustered index; `None` if it is not one, or compares with NULL.
pub fn clustered_range(scan: &Scan, context: &EvalContext) -> Result<Option<KeyRange>, SqlError> {
    let Access::Range { index: 0, prefix, low, high, descending: false } = &scan.access else { return Ok(None) };
    let value = |expression: &Expression| eval(expression, &[], context);
    let types: Vec<MysqlType> = prefix.iter().map(Expression::ty).collect();
    let mut prefix = prefix.iter().map(value).collect::<Result<Vec<Value>, SqlError>>()?;
    let edge = |bound: &Option<Bound>| -> Result<Option<Edge>, SqlError> {
        let Some(bound) = bound else { return Ok(None) };
        Ok(Some(Edge { value: value(&bound.value)?, inclusive: bound.inclusive }))
    };
    let mut edges = [edge(low)?, edge(high)?];
    let is_null = |edge: &Option<Edge>| edge.as_ref().is_some_and(|edge| edge.value.is_null());
    if prefix.iter().any(Value::is_null) || edges.iter().any(is_null) {
        return Ok(None);
    }
    let clustered = scan.table.clustered();
    codec::widen(&scan.table, clustered, &mut prefix, &types, &mut edges, context.time_zone)?;
    let [low, high] = edges;
    codec::index_range(&scan.table, clustered, &prefix, low.as_ref(), high.as_ref(), context.time_zone)
}

/// Bounds that every row of the scan meets, from comparisons of its columns with constants.
pub fn of_scan(scan: &Scan, context: &EvalContext) -> Result<Vec<ColumnBound>, SqlError> {
    Ok(judged(scan, context)?.0)
}

/// Bounds that every row of the scan meets, and no other row; `None` where bounds cannot say so much.
pub fn exactly(scan: &Scan, context: &EvalContext) -> Result<Option<Vec<ColumnBound>>, SqlError> {
    let (bounds, exact) = judged(scan, context)?;
    Ok(exact.then_some(bounds))
}

/// Bounds that every row of the scan meets, and whether they are all there is to its conditions.
fn judged(scan: &Scan, context: &EvalContext) -> Result<(Vec<ColumnBound>, bool), SqlError> {
    let mut bounds = Vec::new();
    let mut parts = Vec::new();
    if let Some(filter) = &scan.filter {
        walk::conjuncts(filter, &mut parts);
    }
    let mut exact = true;
    for part in parts {
        let found = match part {
            Expression::Call { function, arguments, .. } => match (function.name, &arguments[..]) {
                ("=" | "<" | "<=" | ">" | ">=", [left, right]) => {
                    match bound(scan, function.name, left, right, context)? {
                        Some(bound) => vec![Some(bound)],
                        None => vec![bound(scan, turned(function.name), right, left, context)?],
                    }
                }
                ("BETWEEN", [value, low, high]) => {
                    vec![bound(scan, ">=", value, low, context)?, bound(scan, "<=", value, high, context)?]
                }
                ("IS NOT NULL", [Expression::Column { index, .. }]) => {
                    let position = scan.columns.get(*index);
                    let column = position.and_then(|position| scan.table.columns.get(*position));
                    vec![column.map(|column| (ColumnBound { column: column.id, min: None, max: None }, true))]
                }
                _ => vec![None],
            },
            _ => vec![None],
        };
        exact &= found.iter().all(|bound| bound.as_ref().is_some_and(|(_, exact)| *exact));
        bounds.extend(found.into_iter().flatten().map(|(bound, _)| bound));
    }
    Ok((bounds, exact))
}

/// The comparison that says the same with its sides exchanged.
pub fn turned(comparison: &str) -> &str {
    match comparison {
        "<" => ">",
        "<=" => ">=",
        ">" => "<",
        ">=" => "<=",
        other => other,
    }
}

/// With whether the bound says as much as the comparison.
fn bound(
    scan: &Scan,
    comparison: &str,
    column: &Expression,
    constant: &Expression,
    context: &EvalContext,
) -> Result<Option<(ColumnBound, bool)>, SqlError> {
    let Expression::Column { index, .. } = column else { return Ok(None) };
    let (Expression::Literal { .. } | Expression::Parameter { .. } | Expression::Cast { .. }) = constant else {
        return Ok(None);
    };
    let Some(column) = scan.columns.get(*index).and_then(|&position| scan.table.columns.get(position)) else {
        return Ok(None);
    };
    let mut reads = false;
    walk::visit_expression(constant, &mut |part| {
        reads |= !matches!(part, Expression::Literal { .. } | Expression::Parameter { .. } | Expression::Cast { .. });
    });
    if reads {
        return Ok(None);
    }
    let value = eval(constant, &[], context)?;
    let Some(stored) = as_stored(&value, &column.ty, context)? else { return Ok(None) };
    let next = |step: i8| neighbour(&stored, step).map_or((stored.clone(), false), |next| (next, true));
    let (min, max, exact) = match comparison {
        "=" => (Some(stored.clone()), Some(stored), true),
        "<=" => (None, Some(stored), true),
        ">=" => (Some(stored), None, true),
        "<" => {
            let (max, exact) = next(-1);
            (None, Some(max), exact)
        }
        _ => {
            let (min, exact) = next(1);
            (Some(min), None, exact)
        }
    };
    Ok(Some((ColumnBound { column: column.id, min, max }, exact)))
}

/// The stored integer before or after another.
fn neighbour(value: &PhysicalValue, step: i8) -> Option<PhysicalValue> {
    match value {
        PhysicalValue::Int64(value) => value.checked_add(step.into()).map(PhysicalValue::Int64),
        PhysicalValue::UInt64(value) => value.checked_add_signed(step.into()).map(PhysicalValue::UInt64),
        PhysicalValue::Int128(value) => value.checked_add(step.into()).map(PhysicalValue::Int128),
        _ => None,
    }
}

/// A value as the column stores it, if nothing is lost or gained on the way and the column's order is the stored one.
pub fn as_stored(value: &Value, ty: &MysqlType, context: &EvalContext) -> Result<Option<PhysicalValue>, SqlError> {
    if let (Value::Int(_) | Value::UInt(_), TypeKind::Decimal { .. }) = (value, &ty.kind) {
        return as_stored(&Value::Decimal(value.to_decimal(context)?), ty, context);
    }
    let same = match (value, &ty.kind) {
        (Value::Int(_) | Value::UInt(_), TypeKind::Int { .. }) => true,
        (Value::Double(_), TypeKind::Double { .. }) => true,
        (Value::Decimal(number), TypeKind::Decimal { scale, .. }) => number.scale() <= *scale,
        (Value::Date(_), TypeKind::Date) | (Value::DateTime(_), TypeKind::DateTime { .. }) => true,
        (Value::Time(_), TypeKind::Time { .. }) => true,
        _ => false,
    };
    if !same {
        return Ok(None);
    }
    Ok(to_physical(value, ty, context.time_zone).ok())
}
