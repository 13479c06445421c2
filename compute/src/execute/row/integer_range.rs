//! `low <= column <= high` over integers, which is what most conditions on keys are: decided by two comparisons, without
//! evaluating an expression.

use crate::execute::bounds::turned;
use crate::execute::row::evaluate::Evaluator;
use crate::execute::row::operator::Scope;
use expr::Expression;
use expr::mysql_type::TypeKind;
use expr::value::Value;

pub struct IntegerRange {
    column: usize,
    low: i128,
    high: i128,
}

impl IntegerRange {
    /// `None` for any other condition.
    pub fn of<'q>(condition: &'q Expression, scope: &Scope<'q>) -> Option<IntegerRange> {
        let Expression::Call { function, arguments, .. } = condition else { return None };
        let column = |expression: &Expression| match expression {
            Expression::Column { index, ty } if matches!(ty.kind, TypeKind::Int { .. }) => Some(*index),
            _ => None,
        };
        let constant = |expression: &'q Expression| match expression {
            Expression::Literal { .. } | Expression::Parameter { .. } => {
                integer(&Evaluator::new(expression, scope).eval_simple(&[]).ok()?)
            }
            _ => None,
        };
        let (column, low, high) = match (function.name, &arguments[..]) {
            ("BETWEEN", [value, low, high]) => (column(value)?, constant(low)?, constant(high)?),
            (name, [left, right]) => {
                let (at, other, name) = match column(left) {
                    Some(at) => (at, constant(right)?, name),
                    None => (column(right)?, constant(left)?, turned(name)),
                };
                match name {
                    "=" => (at, other, other),
                    "<" => (at, i128::MIN, other - 1),
                    "<=" => (at, i128::MIN, other),
                    ">" => (at, other + 1, i128::MAX),
                    ">=" => (at, other, i128::MAX),
                    _ => return None,
                }
            }
            _ => return None,
        };
        Some(IntegerRange { column, low, high })
    }

    /// `None` where the row has no integer there, and the condition must be evaluated.
    pub fn holds(&self, row: &[Value]) -> Option<bool> {
        match row.get(self.column)? {
            Value::Null => Some(false),
            value => integer(value).map(|number| self.low <= number && number <= self.high),
        }
    }
}

fn integer(value: &Value) -> Option<i128> {
    match value {
        Value::Int(number) => Some((*number).into()),
        Value::UInt(number) => Some((*number).into()),
        _ => None,
    }
}
