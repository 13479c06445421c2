//! What a scan's conditions say about keys and columns, for page servers to skip by.

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
    let prefix = prefix.iter().map(value).collect::<Result<Vec<Value>, SqlError>>()?;
    let edge = |bound: &Option<Bound>| -> Result<Option<Edge>, SqlError> {
        let Some(bound) = bound else { return Ok(None) };
        Ok(Some(Edge { value: value(&bound.value)?, inclusive: bound.inclusive }))
    };
    let (low, high) = (edge(low)?, edge(high)?);
    let is_null = |edge: &Option<Edge>| edge.as_ref().is_some_and(|edge| edge.value.is_null());
    if prefix.iter().any(Value::is_null) || is_null(&low) || is_null(&high) {
        return Ok(None);
    }
    let clustered = scan.table.clustered();
    codec::index_range(&scan.table, clustered, &prefix, low.as_ref(), high.as_ref(), context.time_zone)
}

/// Bounds that every row of the scan meets, from comparisons of its columns with constants.
pub fn of_scan(scan: &Scan, context: &EvalContext) -> Result<Vec<ColumnBound>, SqlError> {
    let mut bounds = Vec::new();
    let mut parts = Vec::new();
    if let Some(filter) = &scan.filter {
        walk::conjuncts(filter, &mut parts);
    }
    for part in parts {
        let Expression::Call { function, arguments, .. } = part else { continue };
        match (function.name, &arguments[..]) {
            ("=" | "<" | "<=" | ">" | ">=", [left, right]) => {
                if let Some(bound) = bound(scan, function.name, left, right, context)? {
                    bounds.push(bound);
                } else if let Some(bound) = bound(scan, turned(function.name), right, left, context)? {
                    bounds.push(bound);
                }
            }
            ("BETWEEN", [value, low, high]) => {
                bounds.extend(bound(scan, ">=", value, low, context)?);
                bounds.extend(bound(scan, "<=", value, high, context)?);
            }
            _ => {}
        }
    }
    Ok(bounds)
}

fn turned(comparison: &str) -> &str {
    match comparison {
        "<" => ">",
        "<=" => ">=",
        ">" => "<",
        ">=" => "<=",
        other => other,
    }
}

fn bound(
    scan: &Scan,
    comparison: &str,
    column: &Expression,
    constant: &Expression,
    context: &EvalContext,
) -> Result<Option<ColumnBound>, SqlError> {
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
    let Some(stored) = exactly(&value, &column.ty, context) else { return Ok(None) };
    let (min, max) = match comparison {
        "=" => (Some(stored.clone()), Some(stored)),
        "<" | "<=" => (None, Some(stored)),
        _ => (Some(stored), None),
    };
    Ok(Some(ColumnBound { column: column.id, min, max }))
}

/// A value as the column stores it, if nothing is lost or gained on the way and the column's order is the stored one.
fn exactly(value: &Value, ty: &MysqlType, context: &EvalContext) -> Option<PhysicalValue> {
    let same = match (value, &ty.kind) {
        (Value::Int(_) | Value::UInt(_), TypeKind::Int { .. }) => true,
        (Value::Double(_), TypeKind::Double { .. }) => true,
        (Value::Decimal(number), TypeKind::Decimal { scale, .. }) => number.scale() <= *scale,
        (Value::Date(_), TypeKind::Date) | (Value::DateTime(_), TypeKind::DateTime { .. }) => true,
        (Value::Time(_), TypeKind::Time { .. }) => true,
        _ => false,
    };
    if !same {
        return None;
    }
    to_physical(value, ty, context.time_zone).ok()
}
