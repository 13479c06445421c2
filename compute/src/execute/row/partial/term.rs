//! Sums and products of exact columns as terms over stored integers.
//!
//! A DECIMAL is stored as an integer, and its scale is known here: a term brings both sides of an addition to one scale by
//! multiplying. What it can come to at most is known too, so that nothing overflows on the page server.

use super::Builder;
use crate::execute::row::walk;
use common::service::page::TermStep;
use expr::eval::eval;
use expr::mysql_type::TypeKind;
use expr::value::Value;
use expr::value::decimal::Decimal;
use expr::{Expression, SqlError};

/// 10^38 is less than 2^127.
const DIGITS_MAX: u32 = 38;
const STEPS_MAX: usize = 48;

pub struct Term {
    pub steps: Vec<TermStep>,
    /// Of the whole term's value.
    pub scale: u8,
    /// It is less than 10 to the power of this.
    digits: u32,
    /// Places of columns that can be NULL.
    pub nullable: Vec<u16>,
}

/// `None` for what is not such a term, or may become too large.
pub fn of(expression: &Expression, builder: &mut Builder<'_>) -> Result<Option<Term>, SqlError> {
    let term = match expression {
        _ if is_constant(expression) => constant(expression, builder)?,
        Expression::Column { index, ty } => {
            let (digits, scale) = match ty.kind {
                TypeKind::Int { bytes, .. } => ([3, 3, 5, 8, 10].get(usize::from(bytes)).copied().unwrap_or(20), 0),
                TypeKind::Decimal { precision, scale, .. } => (u32::from(precision), scale),
                _ => return Ok(None),
            };
            let Some(place) = builder.column(*index)? else { return Ok(None) };
            let nullable = if ty.nullable { vec![place] } else { Vec::new() };
            Some(Term { steps: vec![TermStep::Column(place)], scale, digits, nullable })
        }
        Expression::Cast { argument, ty } => {
            let TypeKind::Decimal { precision, scale, unsigned: false } = ty.kind else { return Ok(None) };
            let Some(term) = of(argument, builder)? else { return Ok(None) };
            // Only where the cast changes nothing.
            let fits = term.scale <= scale && term.digits + u32::from(scale - term.scale) <= u32::from(precision);
            if fits { Some(scaled(term, scale)) } else { None }
        }
        Expression::Call { function, arguments, ty } => {
            let (TypeKind::Decimal { .. }, [left, right]) = (&ty.kind, &arguments[..]) else { return Ok(None) };
            let step = match function.name {
                "+" => TermStep::Add,
                "-" => TermStep::Subtract,
                "*" => TermStep::Multiply,
                _ => return Ok(None),
            };
            let (Some(left), Some(right)) = (of(left, builder)?, of(right, builder)?) else { return Ok(None) };
            Some(joined(left, right, step))
        }
        _ => None,
    };
    Ok(term
        .filter(|term| term.digits <= DIGITS_MAX && term.scale <= Decimal::SCALE_MAX && term.steps.len() <= STEPS_MAX))
}

fn joined(left: Term, right: Term, step: TermStep) -> Term {
    let (left, right, scale, digits) = match step {
        TermStep::Multiply => {
            let (scale, digits) = (left.scale.saturating_add(right.scale), left.digits + right.digits);
            (left, right, scale, digits)
        }
        _ => {
            let scale = left.scale.max(right.scale);
            let (left, right) = (scaled(left, scale), scaled(right, scale));
            let digits = left.digits.max(right.digits) + 1;
            (left, right, scale, digits)
        }
    };
    let mut nullable = [left.nullable, right.nullable].concat();
    nullable.sort_unstable();
    nullable.dedup();
    let steps = [left.steps, right.steps, vec![step]].concat();
    Term { steps, scale, digits, nullable }
}

/// The same value with more digits after the point.
fn scaled(mut term: Term, scale: u8) -> Term {
    let more = u32::from(scale.saturating_sub(term.scale));
    term.digits += more;
    if more > 0 && term.digits <= DIGITS_MAX {
        term.steps.extend([TermStep::Constant(10_i128.pow(more)), TermStep::Multiply]);
    }
    term.scale = scale.max(term.scale);
    term
}

fn is_constant(expression: &Expression) -> bool {
    let mut constant = true;
    walk::visit_expression(expression, &mut |part| {
        constant &= matches!(part, Expression::Literal { .. } | Expression::Parameter { .. } | Expression::Cast { .. });
    });
    constant
}

fn constant(expression: &Expression, builder: &Builder<'_>) -> Result<Option<Term>, SqlError> {
    let value = eval(expression, &[], builder.eval)?;
    let number = match value {
        Value::Int(_) | Value::UInt(_) => value.to_decimal(builder.eval)?,
        Value::Decimal(number) => number,
        _ => return Ok(None),
    };
    let steps = i128::try_from(number.mantissa()).ok().map(|mantissa| vec![TermStep::Constant(mantissa)]);
    let digits = u32::from(number.digits());
    Ok(steps.map(|steps| Term { steps, scale: number.scale(), digits, nullable: Vec::new() }))
}
