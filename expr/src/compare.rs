//! Comparison of two values by what they are at run time. Manual: "Type Conversion in Expression Evaluation" (14.3).
//!
//! The binder has cast constants to the type of the column they meet where MySQL does so; what arrives here is compared
//! by the general rules: texts by a collation, whole numbers and decimals exactly, dates and times as such, all else as
//! doubles.

use crate::SqlError;
use crate::collation::{self, CollationId};
use crate::eval::EvalContext;
use crate::expression::Comparison;
use crate::value::Value;
use crate::value::temporal::DateTime;
use std::cmp::Ordering;

/// Order of two values, neither of them NULL. `None`: they cannot be ordered (a text that is no date against a date).
pub fn compare(
    left: &Value,
    right: &Value,
    collation: CollationId,
    context: &EvalContext,
) -> Result<Option<Ordering>, SqlError> {
    use Value::{Bit, Bytes, Date, Decimal, Double, Enum, Float, Int, Json, Set, Text, Time, UInt};
    Ok(Some(match (left, right) {
        (Int(left), Int(right)) => left.cmp(right),
        (Text(left) | Enum(_, left) | Set(_, left), Text(right) | Enum(_, right) | Set(_, right)) => {
            collation::compare(collation, left, right)
        }
        (Int(_) | UInt(_) | Bit(..), Int(_) | UInt(_) | Bit(..)) => whole(left).cmp(&whole(right)),
        (Double(left), Double(right)) => order_of_doubles(*left, *right),
        (Date(left), Date(right)) => left.cmp(right),
        (Time(left), Time(right)) => left.cmp(right),
        (Json(_), _) | (_, Json(_)) => left.to_json().cmp(&right.to_json()),
        (Date(_) | Value::DateTime(_), _) | (_, Date(_) | Value::DateTime(_))
            if !is_number(left) && !is_number(right) =>
        {
            return compare_moments(left, right, context);
        }
        (Time(_), Text(_)) | (Text(_), Time(_)) => match (left.to_time(context)?, right.to_time(context)?) {
            (Some(left), Some(right)) => left.cmp(&right),
            _ => return Ok(None),
        },
        (Bytes(_), _) | (_, Bytes(_)) if is_string(left) && is_string(right) => left.to_bytes().cmp(&right.to_bytes()),
        (Decimal(_), Decimal(_) | Int(_) | UInt(_) | Bit(..)) | (Int(_) | UInt(_) | Bit(..), Decimal(_)) => {
            left.to_decimal(context)?.cmp(&right.to_decimal(context)?)
        }
        (Float(_) | Double(_), _) | (_, Float(_) | Double(_)) => {
            order_of_doubles(left.to_f64(context)?, right.to_f64(context)?)
        }
        _ => order_of_doubles(left.to_f64(context)?, right.to_f64(context)?),
    }))
}

/// The truth of a comparison; `None` is NULL.
pub fn holds(
    comparison: Comparison,
    left: &Value,
    right: &Value,
    collation: CollationId,
    context: &EvalContext,
) -> Result<Option<bool>, SqlError> {
    if left.is_null() || right.is_null() {
        return Ok((comparison == Comparison::NullSafeEqual).then(|| left.is_null() && right.is_null()));
    }
    let Some(order) = compare(left, right, collation, context)? else {
        return Ok(Some(comparison == Comparison::NotEqual));
    };
    Ok(Some(match comparison {
        Comparison::Equal | Comparison::NullSafeEqual => order.is_eq(),
        Comparison::NotEqual => order.is_ne(),
        Comparison::Less => order.is_lt(),
        Comparison::LessOrEqual => order.is_le(),
        Comparison::Greater => order.is_gt(),
        Comparison::GreaterOrEqual => order.is_ge(),
    }))
}

fn whole(value: &Value) -> i128 {
    match value {
        Value::Int(number) => (*number).into(),
        Value::UInt(number) | Value::Bit(number, _) => (*number).into(),
        _ => 0,
    }
}

fn is_number(value: &Value) -> bool {
    matches!(
        value,
        Value::Int(_) | Value::UInt(_) | Value::Float(_) | Value::Double(_) | Value::Decimal(_) | Value::Bit(..)
    )
}

fn is_string(value: &Value) -> bool {
    matches!(value, Value::Text(_) | Value::Bytes(_) | Value::Enum(..) | Value::Set(..))
}

/// NaN, which MySQL never stores, comes last.
fn order_of_doubles(left: f64, right: f64) -> Ordering {
    left.partial_cmp(&right).unwrap_or_else(|| left.total_cmp(&right))
}

/// Dates count from midnight; a TIME is one of today.
fn compare_moments(left: &Value, right: &Value, context: &EvalContext) -> Result<Option<Ordering>, SqlError> {
    let moment = |value: &Value| -> Result<Option<DateTime>, SqlError> {
        match value {
            Value::Date(date) => Ok(Some(date.at_midnight())),
            Value::DateTime(moment) => Ok(Some(*moment)),
            other => other.to_datetime(context),
        }
    };
    Ok(moment(left)?.zip(moment(right)?).map(|(left, right)| left.cmp(&right)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::decimal::Decimal;
    use crate::value::temporal::Date;

    #[test]
    fn values_of_different_kinds_compare_as_mysql_says() {
        let context = EvalContext::constant();
        let decimal = |text| Value::Decimal(Decimal::parse(text).unwrap());
        for (left, right, expected) in [
            (Value::Int(-1), Value::UInt(u64::MAX), Ordering::Less),
            (Value::Int(i64::MAX), Value::Double(9.3e18), Ordering::Less),
            (Value::text("10"), Value::Int(9), Ordering::Greater),
            (Value::text("ABC"), Value::text("abc"), Ordering::Equal),
            (decimal("1.50"), decimal("1.5"), Ordering::Equal),
            (decimal("0.1"), Value::Int(0), Ordering::Greater),
            (Value::Date(Date::from_parts(2024, 1, 2)), Value::text("2024-01-02"), Ordering::Equal),
            (Value::Date(Date::from_parts(2024, 1, 2)), Value::Int(20240101), Ordering::Greater),
            (Value::Bytes(b"a".as_slice().into()), Value::text("A"), Ordering::Greater),
            (Value::Enum(1, "z".into()), Value::text("Z"), Ordering::Equal),
        ] {
            let order = compare(&left, &right, CollationId::UTF8MB4_0900_AI_CI, &context).unwrap();
            assert_eq!(order, Some(expected), "{left:?} {right:?}");
        }
    }

    #[test]
    fn null_is_equal_only_to_the_null_safe_operator() {
        let context = EvalContext::constant();
        let holds = |comparison, left, right| holds(comparison, &left, &right, CollationId::BINARY, &context).unwrap();
        assert_eq!(holds(Comparison::Equal, Value::Null, Value::Null), None);
        assert_eq!(holds(Comparison::NullSafeEqual, Value::Null, Value::Null), Some(true));
        assert_eq!(holds(Comparison::NullSafeEqual, Value::Null, Value::Int(1)), Some(false));
    }
}
