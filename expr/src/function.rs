//! Scalar functions: each defined once, on values; that definition is the reference for every vectorised form.
//!
//! A function is a row in a table: name, number of arguments, what type its result has, and the code. Files by chapter
//! of the manual ("Functions and Operators", 14) each contribute one table; [`lookup`] searches them all.
//!
//! Forms that SQL writes with keywords come as plain calls, the keyword as a text literal, upper case:
//! `TRIM(LEADING 'x' FROM s)` is `TRIM_LEADING(s, 'x')`, `EXTRACT(DAY FROM d)` is `EXTRACT('DAY', d)`,
//! `DATE_ADD(d, INTERVAL 1 DAY)` and `d + INTERVAL 1 DAY` are `DATE_ADD(d, 1, 'DAY')`,
//! `TIMESTAMPDIFF(DAY, a, b)` is `TIMESTAMPDIFF('DAY', a, b)`, `v MEMBER OF (j)` is `MEMBER OF(v, j)`.

use crate::error::SqlError;
use crate::eval::EvalContext;
use crate::expression::Expression;
use crate::mysql_type::MysqlType;
use crate::value::Value;
use std::collections::HashMap;
use std::fmt;
use std::sync::LazyLock;

mod argument;
pub mod comparison;
pub mod convert;
pub mod date_time;
pub mod encryption;
pub mod fulltext;
pub mod information;
pub mod json;
pub mod misc;
pub mod numeric;
pub mod regexp;
mod result;
pub mod string;
#[cfg(test)]
mod tests;

pub mod operator;

/// One built-in function or operator.
pub struct Function {
    /// Upper case, as in the manual: `CONCAT`. Operators by their symbol: `+`, `DIV`, `=`, `LIKE`.
    pub name: &'static str,
    pub arguments: Arguments,
    /// Type of the result from the types of the arguments. May refuse a combination.
    pub result: fn(&[MysqlType]) -> Result<MysqlType, SqlError>,
    /// Called with evaluated arguments. `call` carries their types and the result's.
    pub evaluate: fn(&Call<'_>, &[Value], &EvalContext) -> Result<Value, SqlError>,
    pub volatility: Volatility,
    /// Any NULL argument makes the result NULL, without a call of `evaluate`.
    pub null_if_any_null: bool,
}

/// What a function knows of its call besides the values.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    pub argument_types: &'a [MysqlType],
    pub result_type: &'a MysqlType,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arguments {
    Exactly(usize),
    /// Inclusive.
    Between(usize, usize),
    AtLeast(usize),
}

impl Arguments {
    pub fn accepts(self, count: usize) -> bool {
        match self {
            Arguments::Exactly(expected) => count == expected,
            Arguments::Between(low, high) => (low..=high).contains(&count),
            Arguments::AtLeast(low) => count >= low,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Volatility {
    /// Same arguments, same result: may be folded at planning.
    Immutable,
    /// Fixed within one statement: NOW(), session state.
    Statement,
    /// Another value at every call: RAND(), UUID(), SLEEP().
    Volatile,
}

type ResultType = fn(&[MysqlType]) -> Result<MysqlType, SqlError>;
type Evaluate = fn(&Call<'_>, &[Value], &EvalContext) -> Result<Value, SqlError>;
/// Type of the result where it also depends on arguments that are literals (`None` for the others).
type LiteralResult = fn(&[MysqlType], &[Option<&Value>]) -> Result<MysqlType, SqlError>;

impl Function {
    /// The common kind: immutable, NULL if any argument is NULL.
    pub const fn new(name: &'static str, arguments: Arguments, result: ResultType, evaluate: Evaluate) -> Function {
        Function { name, arguments, result, evaluate, volatility: Volatility::Immutable, null_if_any_null: true }
    }

    /// NULL arguments are given to `evaluate`.
    pub const fn takes_null(mut self) -> Function {
        self.null_if_any_null = false;
        self
    }

    pub const fn statement(mut self) -> Function {
        self.volatility = Volatility::Statement;
        self
    }

    pub const fn volatile(mut self) -> Function {
        self.volatility = Volatility::Volatile;
        self
    }

    /// Type of this call's result. The way to ask: unlike the field `result` it also sees literal arguments, on which
    /// the type of some functions depends (`ROUND(x, 2)`, `DATE_ADD(d, 1, 'HOUR')`).
    pub fn result_type(&self, arguments: &[Expression]) -> Result<MysqlType, SqlError> {
        let types: Vec<MysqlType> = arguments.iter().map(Expression::ty).collect();
        let Some(by_literal) = BY_LITERAL.get(self.name) else { return (self.result)(&types) };
        let literals: Vec<Option<&Value>> = arguments
            .iter()
            .map(|argument| match argument {
                Expression::Literal { value, .. } => Some(value),
                _ => None,
            })
            .collect();
        by_literal(&types, &literals)
    }
}

impl fmt::Debug for Function {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name)
    }
}

/// One table per chapter.
static TABLES: &[&[Function]] = &[
    operator::OPERATORS,
    string::FUNCTIONS,
    string::search::FUNCTIONS,
    convert::FUNCTIONS,
    numeric::FUNCTIONS,
    numeric::round::FUNCTIONS,
    numeric::random::FUNCTIONS,
    comparison::FUNCTIONS,
    date_time::FUNCTIONS,
    date_time::clock::FUNCTIONS,
    date_time::arithmetic::FUNCTIONS,
    date_time::parts::FUNCTIONS,
    json::FUNCTIONS,
    json::build::FUNCTIONS,
    json::read::FUNCTIONS,
    json::modify::FUNCTIONS,
    json::schema::FUNCTIONS,
    json::table::FUNCTIONS,
    regexp::FUNCTIONS,
    fulltext::FUNCTIONS,
    encryption::FUNCTIONS,
    information::FUNCTIONS,
    misc::FUNCTIONS,
    misc::network::FUNCTIONS,
];

static BY_NAME: LazyLock<HashMap<&'static str, &'static Function>> =
    LazyLock::new(|| TABLES.iter().flat_map(|table| table.iter()).map(|function| (function.name, function)).collect());

static BY_LITERAL: LazyLock<HashMap<&'static str, LiteralResult>> = LazyLock::new(|| {
    [
        string::BY_LITERAL,
        numeric::round::BY_LITERAL,
        date_time::BY_LITERAL,
        date_time::clock::BY_LITERAL,
        date_time::arithmetic::BY_LITERAL,
    ]
    .concat()
    .into_iter()
    .collect()
});

/// The function of that name, in any case; `None` if MySQL or we have none.
pub fn lookup(name: &str) -> Option<&'static Function> {
    match BY_NAME.get(name) {
        Some(function) => Some(function),
        None => BY_NAME.get(name.to_ascii_uppercase().as_str()).copied(),
    }
}

/// Every function and operator, in no order.
pub fn all() -> impl Iterator<Item = &'static Function> {
    TABLES.iter().flat_map(|table| table.iter())
}
