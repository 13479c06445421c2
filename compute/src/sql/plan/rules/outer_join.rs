//! When a condition cannot hold for a row that an outer join made up: then the join is an inner one.

use expr::Expression;
use expr::expression::Comparison;
use expr::value::Value;

/// The predicate is not true where all columns that `is_missing` names are NULL.
pub fn rejects_missing(predicate: &Expression, is_missing: &dyn Fn(usize) -> bool) -> bool {
    if is_null_then(predicate, is_missing) {
        return true;
    }
    let first_is_null =
        |arguments: &[Expression]| arguments.first().is_some_and(|first| is_null_then(first, is_missing));
    match predicate {
        Expression::And(operands) => operands.iter().any(|operand| rejects_missing(operand, is_missing)),
        Expression::Or(operands) => operands.iter().all(|operand| rejects_missing(operand, is_missing)),
        Expression::Call { function, arguments, .. } => match function.name {
            "BETWEEN" | "IN" | "IS NOT NULL" | "IS TRUE" | "IS FALSE" | "IS NOT UNKNOWN" => first_is_null(arguments),
            "<=>" => match arguments.as_slice() {
                [left, right] => {
                    let is_value = |other: &Expression| matches!(other, Expression::Literal { value, .. } if !matches!(value, Value::Null));
                    is_null_then(left, is_missing) && is_value(right)
                        || is_null_then(right, is_missing) && is_value(left)
                }
                _ => false,
            },
            _ => false,
        },
        // NULL = ANY (...) is NULL, or false without rows.
        Expression::Quantified { needle, comparison, all: false, .. } => {
            *comparison != Comparison::NullSafeEqual && needle.iter().any(|part| is_null_then(part, is_missing))
        }
        _ => false,
    }
}

/// The expression is NULL where all columns that `is_missing` names are NULL.
pub fn is_null_then(expression: &Expression, is_missing: &dyn Fn(usize) -> bool) -> bool {
    match expression {
        Expression::Column { index, .. } => is_missing(*index),
        Expression::Cast { argument, .. } => is_null_then(argument, is_missing),
        Expression::Call { function, arguments, .. } if function.null_if_any_null => {
            arguments.iter().any(|argument| is_null_then(argument, is_missing))
        }
        Expression::Call { function, arguments, .. } if matches!(function.name, "IN") => {
            arguments.first().is_some_and(|first| is_null_then(first, is_missing))
        }
        Expression::Or(operands) | Expression::And(operands) => {
            !operands.is_empty() && operands.iter().all(|operand| is_null_then(operand, is_missing))
        }
        _ => false,
    }
}
