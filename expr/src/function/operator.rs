//! Operators: arithmetic, comparison, logic, LIKE and bits, each a function by its symbol. Manual: "Operators" (14.4).
//!
//! AND, OR and CASE are expressions of their own, because they do not evaluate all of their operands. Comparisons of rows
//! reach us taken apart by the binder.

use crate::error::SqlError;
use crate::eval::EvalContext;
use crate::function::{Arguments, Call, Function, Volatility};
use crate::mysql_type::MysqlType;
use crate::value::Value;

mod arithmetic;
mod bits;
pub mod like;
mod predicate;

pub use arithmetic::{rounded, takes_unrounded, unrounded};

/// The code of a function: [`Function::evaluate`].
pub type Evaluate = fn(&Call<'_>, &[Value], &EvalContext) -> Result<Value, SqlError>;
type ResultType = fn(&[MysqlType]) -> Result<MysqlType, SqlError>;

const fn operator(name: &'static str, arguments: Arguments, result: ResultType, evaluate: Evaluate) -> Function {
    Function { name, arguments, result, evaluate, volatility: Volatility::Immutable, null_if_any_null: true }
}

const fn takes_null(name: &'static str, arguments: Arguments, result: ResultType, evaluate: Evaluate) -> Function {
    Function { name, arguments, result, evaluate, volatility: Volatility::Immutable, null_if_any_null: false }
}

const ONE: Arguments = Arguments::Exactly(1);
const TWO: Arguments = Arguments::Exactly(2);

pub static OPERATORS: &[Function] = &[
    operator("+", TWO, arithmetic::sum_type, arithmetic::add),
    operator("-", TWO, arithmetic::sum_type, arithmetic::subtract),
    operator("*", TWO, arithmetic::product_type, arithmetic::multiply),
    operator("/", TWO, arithmetic::quotient_type, arithmetic::divide),
    operator("DIV", TWO, arithmetic::whole_quotient_type, arithmetic::divide_whole),
    operator("%", TWO, arithmetic::remainder_type, arithmetic::remainder),
    operator("NEG", ONE, arithmetic::negation_type, arithmetic::negate),
    operator("&", TWO, bits::result_type, bits::and),
    operator("|", TWO, bits::result_type, bits::or),
    operator("^", TWO, bits::result_type, bits::xor),
    operator("~", ONE, bits::result_type, bits::not),
    operator("<<", TWO, bits::shift_type, bits::shift_left),
    operator(">>", TWO, bits::shift_type, bits::shift_right),
    operator("=", TWO, predicate::comparison_type, predicate::equal),
    takes_null("<=>", TWO, predicate::never_null_comparison_type, predicate::null_safe_equal),
    operator("<>", TWO, predicate::comparison_type, predicate::not_equal),
    operator("<", TWO, predicate::comparison_type, predicate::less),
    operator("<=", TWO, predicate::comparison_type, predicate::less_or_equal),
    operator(">", TWO, predicate::comparison_type, predicate::greater),
    operator(">=", TWO, predicate::comparison_type, predicate::greater_or_equal),
    takes_null("BETWEEN", Arguments::Exactly(3), predicate::comparison_type, predicate::between),
    takes_null("IN", Arguments::AtLeast(2), predicate::comparison_type, predicate::in_list),
    operator("NOT", ONE, predicate::logic_type, predicate::not),
    operator("XOR", TWO, predicate::logic_type, predicate::xor),
    takes_null("IS NULL", ONE, predicate::truth_type, |_, arguments, _| Ok(Value::boolean(arguments[0].is_null()))),
    takes_null("IS NOT NULL", ONE, predicate::truth_type, |_, arguments, _| {
        Ok(Value::boolean(!arguments[0].is_null()))
    }),
    takes_null("IS TRUE", ONE, predicate::truth_type, |_, arguments, context| {
        predicate::is(arguments, context, Some(true), true)
    }),
    takes_null("IS NOT TRUE", ONE, predicate::truth_type, |_, arguments, context| {
        predicate::is(arguments, context, Some(true), false)
    }),
    takes_null("IS FALSE", ONE, predicate::truth_type, |_, arguments, context| {
        predicate::is(arguments, context, Some(false), true)
    }),
    takes_null("IS NOT FALSE", ONE, predicate::truth_type, |_, arguments, context| {
        predicate::is(arguments, context, Some(false), false)
    }),
    takes_null("IS UNKNOWN", ONE, predicate::truth_type, |_, arguments, context| {
        predicate::is(arguments, context, None, true)
    }),
    takes_null("IS NOT UNKNOWN", ONE, predicate::truth_type, |_, arguments, context| {
        predicate::is(arguments, context, None, false)
    }),
    // Its type carries the collation; the binder sets it.
    operator("COLLATE", ONE, crate::function::result::long_text, |_, arguments, _| {
        Ok(Value::text(arguments[0].to_text()))
    }),
    operator("LIKE", Arguments::Between(2, 3), predicate::comparison_type, like::like),
];

fn any_nullable(types: &[MysqlType]) -> bool {
    types.iter().any(|ty| ty.nullable)
}

#[cfg(test)]
mod tests;
