//! Sameness of expressions: equal in form.

use super::Expression;
use crate::value::Value;

impl Expression {
    /// Whether both have the same functions, columns, constants and types in the same places.
    pub fn is_same(&self, other: &Expression) -> bool {
        has_same_root(self, other) && {
            let (own, others) = (self.children(), other.children());
            own.len() == others.len() && own.iter().zip(others).all(|(own, other)| own.is_same(other))
        }
    }
}

/// As [`Expression::is_same`], but for the expressions that they are made of.
fn has_same_root(left: &Expression, right: &Expression) -> bool {
    use Expression::*;
    match (left, right) {
        (Literal { value: left, ty }, Literal { value: right, ty: other }) => ty == other && is_same_value(left, right),
        (Column { index, ty }, Column { index: at, ty: other })
        | (Parameter { index, ty }, Parameter { index: at, ty: other })
        | (Subquery { id: index, ty }, Subquery { id: at, ty: other }) => index == at && ty == other,
        (Outer { level, index, ty }, Outer { level: from, index: at, ty: other }) => {
            level == from && index == at && ty == other
        }
        (Call { function, ty, .. }, Call { function: called, ty: other, .. }) => {
            function.name == called.name && ty == other
        }
        (Cast { ty, .. }, Cast { ty: other, .. }) | (Coalesce { ty, .. }, Coalesce { ty: other, .. }) => ty == other,
        (And(_), And(_)) | (Or(_), Or(_)) => true,
        (Case { branches, otherwise, ty }, Case { branches: others, otherwise: else_, ty: other }) => {
            branches.len() == others.len() && otherwise.is_some() == else_.is_some() && ty == other
        }
        (Quantified { comparison, all, id, .. }, Quantified { comparison: compared, all: of_all, id: at, .. }) => {
            comparison == compared && all == of_all && id == at
        }
        (UserVariable { name, ty }, UserVariable { name: named, ty: other }) => name == named && ty == other,
        (Assign { name, .. }, Assign { name: named, .. }) => name == named,
        _ => false,
    }
}

fn is_same_value(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Null, Value::Null) => true,
        (Value::Int(left), Value::Int(right)) => left == right,
        (Value::UInt(left), Value::UInt(right)) => left == right,
        (Value::Double(left), Value::Double(right)) => left.to_bits() == right.to_bits(),
        (Value::Text(left), Value::Text(right)) => left == right,
        (Value::Bytes(left), Value::Bytes(right)) => left == right,
        // These have no equality of their own, or one that takes 1.5 for 1.50; their debug form tells all of them apart.
        _ => {
            std::mem::discriminant(left) == std::mem::discriminant(right) && format!("{left:?}") == format!("{right:?}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mysql_type::{MysqlType, TypeKind};
    use crate::value::decimal::Decimal;

    fn number(value: i64) -> Expression {
        Expression::literal(Value::Int(value), MysqlType::bigint())
    }

    fn decimal(text: &str) -> Expression {
        let value = Decimal::parse(text).expect("a number");
        let kind = TypeKind::Decimal { precision: 5, scale: 2, unsigned: false };
        Expression::literal(Value::Decimal(value), MysqlType::new(kind))
    }

    #[test]
    fn each_part_counts() {
        let ty = MysqlType::bigint();
        let case = |branches: Vec<(i64, i64)>, otherwise: Option<i64>| Expression::Case {
            branches: branches.into_iter().map(|(when, then)| (number(when), number(then))).collect(),
            otherwise: otherwise.map(|value| Box::new(number(value))),
            ty: ty.clone(),
        };
        let all = [
            number(1),
            number(2),
            Expression::literal(Value::UInt(1), MysqlType::bigint()),
            Expression::literal(Value::Int(1), MysqlType::boolean()),
            decimal("1.5"),
            decimal("1.50"),
            Expression::column(1, ty.clone()),
            Expression::column(2, ty.clone()),
            Expression::Parameter { index: 1, ty: ty.clone() },
            Expression::And(vec![number(1), number(2)]),
            Expression::And(vec![number(2), number(1)]),
            Expression::And(vec![number(1)]),
            Expression::Or(vec![number(1), number(2)]),
            // As many parts, in other places.
            case(vec![(1, 2), (3, 4)], None),
            case(vec![(1, 2)], Some(3)),
            case(vec![(1, 2)], None),
            Expression::Assign { name: "a".to_string(), value: Box::new(number(1)) },
            Expression::Assign { name: "b".to_string(), value: Box::new(number(1)) },
        ];
        for (position, one) in all.iter().enumerate() {
            for (at, other) in all.iter().enumerate() {
                assert_eq!(one.is_same(other), position == at, "{one:?} and {other:?}");
            }
        }
    }
}
