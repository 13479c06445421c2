//! Scalar functions: each defined once, on values; that definition is the reference for every vectorised form.
//!
//! A function is a row in a table: name, number of arguments, what type its result has, and the code. Files by chapter
//! of the manual ("Functions and Operators", 14) each contribute one table; [`lookup`] searches them all.

use crate::error::SqlError;
use crate::eval::EvalContext;
use crate::mysql_type::MysqlType;
use crate::value::Value;
use std::fmt;

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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Volatility {
    /// Same arguments, same result: may be folded at planning.
    Immutable,
    /// Fixed within one statement: NOW(), session state.
    Statement,
    /// Another value at every call: RAND(), UUID(), SLEEP().
    Volatile,
}

impl fmt::Debug for Function {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name)
    }
}

/// The function of that name, in any case; `None` if MySQL or we have none.
pub fn lookup(name: &str) -> Option<&'static Function> {
    let _ = name;
    None
}
