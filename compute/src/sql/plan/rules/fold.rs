//! Constant folding: what depends on literals only is computed once, here.
//!
//! Only what gives the same under every session is computed; what would leave a warning or an error is left for the
//! execution, which may never come to it.

use super::expressions::{literal_truth, map_inputs, row_count};
use crate::sql::plan::{Node, walk};
use expr::Expression;
use expr::eval::{EvalContext, eval};
use expr::function::Volatility;
use expr::function::operator::unrounded;
use expr::value::Value;

/// Functions beside the operators that look at nothing but their arguments, and are written over literals in practice.
const FOLDED: [&str; 4] = ["DATE_ADD", "DATE_SUB", "LOWER", "UPPER"];

/// Folds all expressions of a node and below. A filter that nothing passes becomes a limit of no rows.
pub fn fold_node(node: &mut Node) {
    walk::each_expression_mut(node, &mut fold);
    map_inputs(node, &mut |mut input| {
        fold_node(&mut input);
        input
    });
    if let Node::Filter { input, predicate } = node {
        match literal_truth(predicate) {
            Some(true) => *node = std::mem::replace(&mut **input, Node::Dual),
            Some(false) => {
                let input = Box::new(std::mem::replace(&mut **input, Node::Dual));
                *node = Node::Limit { input, offset: None, count: Some(row_count(0)) };
            }
            None => {}
        }
    }
}

/// Folds an expression as far as it is constant.
pub fn fold(expression: &mut Expression) {
    if matches!(expression, Expression::Literal { .. }) {
        return;
    }
    if is_foldable(expression)
        && let Some(value) = value_of(expression)
    {
        *expression = Expression::literal(value, expression.ty());
        return;
    }
    walk::each_child_mut(expression, &mut fold);
    match expression {
        Expression::And(operands) => {
            if operands.iter().any(|operand| literal_truth(operand) == Some(false) && !is_null(operand)) {
                *expression = Expression::literal(Value::boolean(false), expr::MysqlType::boolean());
                return;
            }
            operands.retain(|operand| literal_truth(operand) != Some(true));
            if operands.is_empty() {
                *expression = Expression::literal(Value::boolean(true), expr::MysqlType::boolean());
            }
        }
        Expression::Or(operands) => {
            if operands.iter().any(|operand| literal_truth(operand) == Some(true)) {
                *expression = Expression::literal(Value::boolean(true), expr::MysqlType::boolean());
                return;
            }
            operands.retain(|operand| literal_truth(operand) != Some(false) || is_null(operand));
            if operands.is_empty() {
                *expression = Expression::literal(Value::boolean(false), expr::MysqlType::boolean());
            }
        }
        _ => {}
    }
}

fn is_null(expression: &Expression) -> bool {
    matches!(expression, Expression::Literal { value: Value::Null, .. })
}

/// Nothing but literals below functions that are the same everywhere.
fn is_foldable(expression: &Expression) -> bool {
    fn inner(expression: &Expression) -> bool {
        let mut foldable = match expression {
            Expression::Literal { value, .. } => !has_zero_date(value),
            Expression::Call { function, .. } => {
                let is_operator = expr::function::operator::OPERATORS.iter().any(|other| other.name == function.name);
                function.volatility == Volatility::Immutable
                    && (is_operator && function.name != "/" && function.name != "-" || FOLDED.contains(&function.name))
            }
            Expression::Cast { ty, .. } => !matches!(ty.kind, expr::TypeKind::Timestamp { .. } | expr::TypeKind::Json),
            Expression::And(_) | Expression::Or(_) => true,
            _ => false,
        };
        walk::each_child(expression, &mut |child| foldable = foldable && inner(child));
        foldable
    }
    // Decimals keep digits that their type does not show while an expression goes on; see `eval_unrounded`.
    let keeps_digits = matches!(expression, Expression::Call { function, .. } if unrounded(function).is_some() && is_decimal(expression));
    !keeps_digits && inner(expression)
}

fn is_decimal(expression: &Expression) -> bool {
    matches!(expression.ty().kind, expr::TypeKind::Decimal { .. })
}

/// Dates with zeros in them mean what sql_mode says.
fn has_zero_date(value: &Value) -> bool {
    matches!(value, Value::Text(text) if text.contains("-00") || text.contains("-0-") || text.starts_with("0000"))
}

fn value_of(expression: &Expression) -> Option<Value> {
    let context = EvalContext::constant();
    let value = eval(expression, &[], &context).ok()?;
    let is_silent = context.effects.warnings.lock().is_ok_and(|warnings| warnings.is_empty());
    is_silent.then_some(value)
}
