//! Expressions as text, close to what MySQL's EXPLAIN shows.

use super::{Comparison, Expression};
use crate::value::Value;
use std::fmt;

impl Comparison {
    pub fn symbol(self) -> &'static str {
        match self {
            Comparison::Equal => "=",
            Comparison::NullSafeEqual => "<=>",
            Comparison::NotEqual => "<>",
            Comparison::Less => "<",
            Comparison::LessOrEqual => "<=",
            Comparison::Greater => ">",
            Comparison::GreaterOrEqual => ">=",
        }
    }

    /// The comparison with its operands exchanged.
    pub fn mirrored(self) -> Comparison {
        match self {
            Comparison::Less => Comparison::Greater,
            Comparison::LessOrEqual => Comparison::GreaterOrEqual,
            Comparison::Greater => Comparison::Less,
            Comparison::GreaterOrEqual => Comparison::LessOrEqual,
            same => same,
        }
    }
}

/// An expression with names for the columns of its input row.
pub struct WithNames<'e, N> {
    expression: &'e Expression,
    name: N,
}

impl Expression {
    /// For EXPLAIN: columns by name instead of by position.
    pub fn with_names<N: Fn(usize) -> String>(&self, name: N) -> WithNames<'_, N> {
        WithNames { expression: self, name }
    }
}

impl<N: Fn(usize) -> String> fmt::Display for WithNames<'_, N> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_expression(self.expression, &self.name, formatter)
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_expression(self, &|index| format!("column {}", index + 1), formatter)
    }
}

type Names<'n> = &'n dyn Fn(usize) -> String;

fn write_expression(expression: &Expression, names: Names<'_>, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    match expression {
        Expression::Literal { value, .. } => write_literal(value, out),
        Expression::Column { index, .. } => out.write_str(&names(*index)),
        Expression::Outer { level, index, .. } => write!(out, "outer({level}, {})", index + 1),
        Expression::Parameter { .. } => out.write_str("?"),
        Expression::Call { function, arguments, .. } => write_call(function.name, arguments, names, out),
        Expression::Cast { argument, ty } => {
            out.write_str("cast(")?;
            write_expression(argument, names, out)?;
            write!(out, " as {})", ty.column_type())
        }
        Expression::And(operands) => write_list(operands, " and ", names, out),
        Expression::Or(operands) => write_list(operands, " or ", names, out),
        Expression::Case { branches, otherwise, .. } => {
            out.write_str("(case")?;
            for (condition, result) in branches {
                out.write_str(" when ")?;
                write_expression(condition, names, out)?;
                out.write_str(" then ")?;
                write_expression(result, names, out)?;
            }
            if let Some(otherwise) = otherwise {
                out.write_str(" else ")?;
                write_expression(otherwise, names, out)?;
            }
            out.write_str(" end)")
        }
        Expression::Coalesce { arguments, .. } => {
            out.write_str("coalesce")?;
            write_list(arguments, ",", names, out)
        }
        Expression::Subquery { id, .. } => write!(out, "(subquery {})", id + 1),
        Expression::Quantified { needle, comparison, all, id } => {
            write_list(needle, ",", names, out)?;
            let quantifier = if *all { "all" } else { "any" };
            write!(out, " {} {quantifier} (subquery {})", comparison.symbol(), id + 1)
        }
        Expression::UserVariable { name, .. } => write!(out, "@{name}"),
        Expression::Assign { name, value } => {
            write!(out, "(@{name} := ")?;
            write_expression(value, names, out)?;
            out.write_str(")")
        }
    }
}

fn write_literal(value: &Value, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    match value {
        Value::Null => out.write_str("NULL"),
        Value::Bytes(bytes) => {
            out.write_str("0x")?;
            bytes.iter().try_for_each(|byte| write!(out, "{byte:02X}"))
        }
        Value::Bit(number, _) => write!(out, "0x{number:X}"),
        Value::Int(_) | Value::UInt(_) | Value::Float(_) | Value::Double(_) | Value::Decimal(_) => {
            out.write_str(&value.to_text())
        }
        _ => write!(out, "'{}'", value.to_text().replace('\\', "\\\\").replace('\'', "\\'")),
    }
}

/// `(a + b)` for operators, `name(a,b)` for all others.
fn write_call(name: &str, arguments: &[Expression], names: Names<'_>, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    let word = name.to_ascii_lowercase();
    let is_symbol = !name.starts_with(|character: char| character.is_ascii_alphabetic());
    let part = |index: usize, out: &mut fmt::Formatter<'_>| write_expression(&arguments[index], names, out);
    match (word.as_str(), arguments.len()) {
        ("neg", 1) => {
            out.write_str("-(")?;
            part(0, out)?;
            out.write_str(")")
        }
        ("~", 1) => {
            out.write_str("~")?;
            part(0, out)
        }
        ("not", 1) => {
            out.write_str("(not ")?;
            part(0, out)?;
            out.write_str(")")
        }
        ("between", 3) => {
            out.write_str("(")?;
            part(0, out)?;
            out.write_str(" between ")?;
            part(1, out)?;
            out.write_str(" and ")?;
            part(2, out)?;
            out.write_str(")")
        }
        ("in", 2..) => {
            out.write_str("(")?;
            part(0, out)?;
            out.write_str(" in ")?;
            write_list(&arguments[1..], ",", names, out)?;
            out.write_str(")")
        }
        (predicate, 1) if predicate.starts_with("is ") => {
            out.write_str("(")?;
            part(0, out)?;
            write!(out, " {predicate})")
        }
        (operator, 2) if is_symbol || matches!(operator, "div" | "xor" | "like") => {
            out.write_str("(")?;
            part(0, out)?;
            write!(out, " {operator} ")?;
            part(1, out)?;
            out.write_str(")")
        }
        _ => {
            out.write_str(&word)?;
            write_list(arguments, ",", names, out)
        }
    }
}

fn write_list(items: &[Expression], separator: &str, names: Names<'_>, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    out.write_str("(")?;
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.write_str(separator)?;
        }
        write_expression(item, names, out)?;
    }
    out.write_str(")")
}
