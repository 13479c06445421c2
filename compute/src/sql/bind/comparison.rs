//! Comparisons: rows, IN, BETWEEN; constants take the form of what they are compared with.
//!
//! How values of different types compare is `expr`'s business. What is done here lets an index serve: a date written as
//! a text becomes a date, a number written as a text beside an integer column becomes a number, and a literal takes the
//! collation of the column (MySQL's coercibility, manual "Collation Coercibility in Expressions", 12.8.4).

use crate::sql::bind::expression::{negate, operator};
use crate::sql::bind::literal::{fraction_digits, integer};
use crate::sql::bind::{Binder, derivation, error};
use crate::sql::parse::ast::syntax::{Expr, Query};
use crate::sql::plan::SubqueryKind;
use expr::expression::Comparison;
use expr::function::json::is_boolean;
use expr::mysql_type::{MysqlType, TypeKind};
use expr::value::Value;
use expr::{Expression, SqlError};

pub fn symbol(comparison: Comparison) -> &'static str {
    match comparison {
        Comparison::Equal => "=",
        Comparison::NullSafeEqual => "<=>",
        Comparison::NotEqual => "<>",
        Comparison::Less => "<",
        Comparison::LessOrEqual => "<=",
        Comparison::Greater => ">",
        Comparison::GreaterOrEqual => ">=",
    }
}

/// The items of a row constructor, through its parentheses.
pub fn row_items(expression: &Expr) -> Option<&[Expr]> {
    match expression {
        Expr::Tuple(items) => Some(items),
        Expr::Nested(inner) => row_items(inner),
        _ => None,
    }
}

impl Binder<'_> {
    /// `left op right`, where both may be rows.
    pub fn compare_syntax(&mut self, left: &Expr, op: Comparison, right: &Expr) -> Result<Expression, SqlError> {
        match (row_items(left), row_items(right)) {
            (None, None) => {
                let left = self.expression(left)?;
                let right = self.expression(right)?;
                self.compare(left, op, right)
            }
            (Some(left), Some(right)) => {
                if left.len() != right.len() {
                    return Err(error::operand_columns(left.len()));
                }
                self.compare_rows(left, op, right)
            }
            // (a, b) = (SELECT ...)
            (Some(_), None) => match right {
                Expr::Subquery(query) => self.quantified(left, op, false, query),
                _ => Err(error::operand_columns(row_items(left).map_or(1, <[Expr]>::len))),
            },
            (None, Some(_)) => Err(error::operand_columns(1)),
        }
    }

    /// `left op right` for single values.
    pub fn compare(
        &mut self,
        mut left: Expression,
        op: Comparison,
        mut right: Expression,
    ) -> Result<Expression, SqlError> {
        self.infer_pair(&mut left, &mut right);
        self.meet_compared(&left, &right, op);
        self.meet_compared(&right, &left, op);
        adapt(&left, &mut right);
        adapt(&right, &mut left);
        let mut operands = vec![left, right];
        truth_beside_json(&mut operands);
        numbers(&mut operands);
        derivation::unite(&mut operands, symbol(op))?;
        operator(symbol(op), operands)
    }

    fn compare_rows(&mut self, left: &[Expr], op: Comparison, right: &[Expr]) -> Result<Expression, SqlError> {
        let mut pairs = Vec::new();
        for (left, right) in left.iter().zip(right) {
            match op {
                Comparison::Equal | Comparison::NullSafeEqual | Comparison::NotEqual => {
                    pairs.push(self.compare_syntax(left, op, right)?)
                }
                // a < c OR (a = c AND b < d)
                _ => pairs.push(self.compare_syntax(left, Comparison::Equal, right)?),
            }
        }
        match op {
            Comparison::Equal | Comparison::NullSafeEqual => Ok(Expression::And(pairs)),
            Comparison::NotEqual => Ok(Expression::Or(pairs)),
            _ => {
                let strict = match op {
                    Comparison::LessOrEqual => Comparison::Less,
                    Comparison::GreaterOrEqual => Comparison::Greater,
                    other => other,
                };
                let mut alternatives = Vec::new();
                for position in 0..left.len() {
                    let last = position + 1 == left.len();
                    let decisive =
                        self.compare_syntax(&left[position], if last { op } else { strict }, &right[position])?;
                    let mut all: Vec<Expression> = pairs[..position].to_vec();
                    all.push(decisive);
                    alternatives.push(if all.len() == 1 { all.remove(0) } else { Expression::And(all) });
                }
                Ok(Expression::Or(alternatives))
            }
        }
    }

    pub fn in_list(&mut self, needle: &Expr, list: &[Expr], negated: bool) -> Result<Expression, SqlError> {
        if row_items(needle).is_some() {
            let mut alternatives = Vec::new();
            for item in list {
                alternatives.push(self.compare_syntax(needle, Comparison::Equal, item)?);
            }
            return negate(Expression::Or(alternatives), negated);
        }
        let needle = self.expression(needle)?;
        let mut operands = vec![needle];
        for item in list {
            let mut item = self.expression(item)?;
            let mut needle = operands[0].clone();
            self.infer_pair(&mut needle, &mut item);
            operands[0] = needle;
            self.meet_compared(&item, &operands[0], Comparison::Equal);
            adapt(&operands[0], &mut item);
            operands.push(item);
        }
        numbers(&mut operands);
        // Beside a number, texts are numbers too.
        if !operands[0].ty().is_numeric() {
            derivation::unite(&mut operands, "IN")?;
        }
        negate(operator("IN", operands)?, negated)
    }

    pub fn between(&mut self, value: &Expr, low: &Expr, high: &Expr, negated: bool) -> Result<Expression, SqlError> {
        let mut value = self.expression(value)?;
        let mut low = self.expression(low)?;
        let mut high = self.expression(high)?;
        self.infer_pair(&mut value, &mut low);
        self.infer_pair(&mut value, &mut high);
        self.meet_compared(&low, &value, Comparison::GreaterOrEqual);
        self.meet_compared(&high, &value, Comparison::LessOrEqual);
        adapt(&value, &mut low);
        adapt(&value, &mut high);
        let mut operands = vec![value, low, high];
        numbers(&mut operands);
        derivation::unite(&mut operands, "between")?;
        negate(operator("BETWEEN", operands)?, negated)
    }

    /// `needle op ANY|ALL (subquery)`.
    pub fn quantified(
        &mut self,
        needle: &Expr,
        comparison: Comparison,
        all: bool,
        query: &Query,
    ) -> Result<Expression, SqlError> {
        let mut needle = match row_items(needle) {
            Some(items) => self.expressions(items)?,
            None => vec![self.expression(needle)?],
        };
        let (id, types) = self.subquery(query, SubqueryKind::Rows)?;
        if needle.len() != types.len() {
            return Err(error::operand_columns(needle.len()));
        }
        for (needle, ty) in needle.iter_mut().zip(&types) {
            self.infer(needle, ty);
        }
        Ok(Expression::Quantified { needle, comparison, all, id })
    }
}

/// Hexadecimal literals beside a number are numbers.
fn numbers(operands: &mut [Expression]) {
    if operands.iter().any(|operand| operand.ty().is_numeric()) {
        operands.iter_mut().for_each(super::literal::as_number);
    }
}

/// Gives a constant the form of what it is compared with, where that changes no result.
fn adapt(other: &Expression, constant: &mut Expression) {
    let ty = other.ty();
    match constant {
        Expression::Literal { value: Value::Text(text), .. } => {
            if ty.is_temporal() {
                let kind = temporal_kind(&ty, text);
                let argument = Box::new(constant.clone());
                *constant = Expression::Cast { argument, ty: MysqlType::new(kind) };
            } else if matches!(ty.kind, TypeKind::Int { .. })
                && matches!(other, Expression::Column { .. } | Expression::Outer { .. })
                && let Ok(number) = text.parse::<i64>()
                && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-')
            {
                *constant = integer(number);
            }
        }
        // Two digits beside a YEAR are one of 1970 to 2069.
        Expression::Literal { value: Value::Int(number @ 1..=99), .. }
            if ty.kind == TypeKind::Year && matches!(other, Expression::Column { .. } | Expression::Outer { .. }) =>
        {
            *constant = integer(if *number < 70 { 2000 + *number } else { 1900 + *number });
        }
        // A parameter beside a column of bits is compared as if it were stored there.
        Expression::Parameter { .. }
            if matches!(ty.kind, TypeKind::Bit { .. })
                && matches!(other, Expression::Column { .. } | Expression::Outer { .. }) =>
        {
            *constant = Expression::Cast { argument: Box::new(constant.clone()), ty: ty.with_nullable(true) };
        }
        // A number beside a date is a date, if it can be one.
        Expression::Literal { value: Value::Int(_) | Value::UInt(_) | Value::Decimal(_), .. }
            if matches!(ty.kind, TypeKind::Date | TypeKind::DateTime { .. } | TypeKind::Timestamp { .. })
                && matches!(other, Expression::Column { .. } | Expression::Outer { .. }) =>
        {
            let cast = Expression::Cast {
                argument: Box::new(constant.clone()),
                ty: MysqlType::new(TypeKind::DateTime { fsp: 6 }),
            };
            let quiet = expr::eval::EvalContext::constant();
            if expr::eval::eval(&cast, &[], &quiet).is_ok_and(|moment| !moment.is_null()) {
                *constant = cast;
            }
        }
        Expression::Parameter { ty: parameter, .. }
            if matches!(ty.kind, TypeKind::DateTime { .. } | TypeKind::Timestamp { .. })
                && matches!(other, Expression::Column { .. })
                && matches!(parameter.kind, TypeKind::DateTime { .. } | TypeKind::Timestamp { .. }) =>
        {
            let argument = Box::new(constant.clone());
            *constant = Expression::Cast { argument, ty: MysqlType::new(TypeKind::DateTime { fsp: 6 }) };
        }
        _ => {}
    }
}

/// TRUE, FALSE and other truth values beside a JSON document are its true and false, and not numbers.
fn truth_beside_json(operands: &mut [Expression]) {
    let json = MysqlType::new(TypeKind::Json);
    if operands.iter().any(|operand| operand.ty().kind == TypeKind::Json) {
        for operand in operands.iter_mut().filter(|operand| is_boolean(&operand.ty())) {
            *operand = Expression::Cast { argument: Box::new(operand.clone()), ty: json.clone() };
        }
    }
}

/// What a text is as a date beside a value of `ty`.
fn temporal_kind(ty: &MysqlType, text: &str) -> TypeKind {
    let fsp = fraction_digits(text);
    match ty.kind {
        TypeKind::Time { .. } => TypeKind::Time { fsp },
        // A time of day in the text must not be lost.
        TypeKind::Date if text.trim().len() <= 10 => TypeKind::Date,
        _ => TypeKind::DateTime { fsp },
    }
}
