//! Comparisons, BETWEEN, IN, NOT, XOR and IS: operators that give 1, 0 or NULL. Manual: 14.4.2 and 14.4.3.

use crate::collation::comparison_collation;
use crate::compare::holds;
use crate::error::SqlError;
use crate::eval::EvalContext;
use crate::expression::Comparison;
use crate::function::Call;
use crate::function::operator::any_nullable;
use crate::mysql_type::MysqlType;
use crate::value::Value;

/// Also checks that every operand has a collation in common with the first: 1267 otherwise.
pub(super) fn comparison_type(types: &[MysqlType]) -> Result<MysqlType, SqlError> {
    for other in &types[1..] {
        comparison_collation(&types[0], other)?;
    }
    logic_type(types)
}

pub(super) fn never_null_comparison_type(types: &[MysqlType]) -> Result<MysqlType, SqlError> {
    Ok(comparison_type(types)?.with_nullable(false))
}

pub(super) fn logic_type(types: &[MysqlType]) -> Result<MysqlType, SqlError> {
    Ok(MysqlType::boolean().with_nullable(any_nullable(types)))
}

pub(super) fn truth_type(_: &[MysqlType]) -> Result<MysqlType, SqlError> {
    Ok(MysqlType::boolean().with_nullable(false))
}

fn truth_value(truth: Option<bool>) -> Value {
    truth.map_or(Value::Null, Value::boolean)
}

/// Compares two of the operands; `None` is NULL.
fn compare_operands(
    call: &Call<'_>,
    arguments: &[Value],
    (left, right): (usize, usize),
    comparison: Comparison,
    context: &EvalContext,
) -> Result<Option<bool>, SqlError> {
    let collation = comparison_collation(&call.argument_types[left], &call.argument_types[right])?;
    holds(comparison, &arguments[left], &arguments[right], collation, context)
}

macro_rules! comparisons {
    ($($name:ident = $comparison:expr,)*) => {
        $(pub(super) fn $name(
            call: &Call<'_>,
            arguments: &[Value],
            context: &EvalContext,
        ) -> Result<Value, SqlError> {
            Ok(truth_value(compare_operands(call, arguments, (0, 1), $comparison, context)?))
        })*
    };
}

comparisons! {
    equal = Comparison::Equal,
    null_safe_equal = Comparison::NullSafeEqual,
    not_equal = Comparison::NotEqual,
    less = Comparison::Less,
    less_or_equal = Comparison::LessOrEqual,
    greater = Comparison::Greater,
    greater_or_equal = Comparison::GreaterOrEqual,
}

/// `a BETWEEN low AND high`: one side that is false decides, even where the other is NULL.
pub(super) fn between(call: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    let above = compare_operands(call, arguments, (0, 1), Comparison::GreaterOrEqual, context)?;
    if above == Some(false) {
        return Ok(Value::boolean(false));
    }
    let below = compare_operands(call, arguments, (0, 2), Comparison::LessOrEqual, context)?;
    Ok(match (above, below) {
        (_, Some(false)) => Value::boolean(false),
        (Some(true), Some(true)) => Value::boolean(true),
        _ => Value::Null,
    })
}

/// `a IN (b, c, ...)`: NULL where nothing is equal and something is NULL.
pub(super) fn in_list(call: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    if arguments[0].is_null() {
        return Ok(Value::Null);
    }
    let mut unknown = false;
    for member in 1..arguments.len() {
        match compare_operands(call, arguments, (0, member), Comparison::Equal, context)? {
            Some(true) => return Ok(Value::boolean(true)),
            Some(false) => {}
            None => unknown = true,
        }
    }
    Ok(if unknown { Value::Null } else { Value::boolean(false) })
}

pub(super) fn not(_: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    Ok(truth_value(arguments[0].to_bool(context)?.map(|truth| !truth)))
}

pub(super) fn xor(_: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    let (left, right) = (arguments[0].to_bool(context)?, arguments[1].to_bool(context)?);
    Ok(truth_value(left.zip(right).map(|(left, right)| left != right)))
}

/// `a IS [NOT] TRUE|FALSE|UNKNOWN`.
pub(super) fn is(
    arguments: &[Value],
    context: &EvalContext,
    wanted: Option<bool>,
    affirmed: bool,
) -> Result<Value, SqlError> {
    Ok(Value::boolean((arguments[0].to_bool(context)? == wanted) == affirmed))
}
