//! GROUP BY: DataFusion's aggregates where their results are MySQL's.
//!
//! Texts are grouped by the bytes of their collation, and the first text of each group is what the group shows.

use crate::execute::analytic::expression::{Translator, is_plain};
use crate::execute::analytic::scalar::{Kind, RowFunction};
use crate::execute::analytic::types::arrow_type;
use crate::execute::analytic::wide_sum::wide_sum;
use crate::sql::plan::AggregateCall;
use arrow::datatypes::DataType;
use datafusion::error::Result;
use datafusion::functions_aggregate::expr_fn::{count, count_distinct, first_value, max, min, stddev, stddev_pop, sum};
use datafusion::functions_aggregate::expr_fn::{var_pop, var_sample};
use datafusion::logical_expr::{Expr, cast, lit};
use expr::Expression;
use expr::aggregate::AggregateFunction;
use expr::mysql_type::{MysqlType, TypeKind};

/// One aggregate of a group: what DataFusion computes, and what becomes of that afterwards.
pub struct Aggregated {
    /// Aggregates to compute, in order.
    pub parts: Vec<Expr>,
    pub finish: Finish,
}

/// How a call's value comes from its parts.
pub enum Finish {
    /// The part, cast to the type of the call.
    Cast,
    /// Sum, of this type, divided by count.
    Average(MysqlType),
}

/// `None` if only the row path can compute it. `never_null`: of the input's columns, those that hold no NULL.
pub fn aggregate(call: &AggregateCall, translator: &Translator<'_>, never_null: &[bool]) -> Result<Option<Aggregated>> {
    use AggregateFunction::{AnyValue, Avg, Count, Max, Min, StddevPop, StddevSamp, Sum, VarPop, VarSamp};
    let one = |part: Expr| Ok(Some(Aggregated { parts: vec![part], finish: Finish::Cast }));
    let argument = match (&call.arguments[..], call.function) {
        ([], Count) => return one(count(lit(1_i64))),
        ([argument], _) => argument,
        _ => return Ok(None),
    };
    let ty = argument.ty();
    if matches!(call.function, Sum | Avg) && !call.distinct {
        return sum_or_average(call, argument, translator, never_null);
    }
    let value = translator.value(argument)?;
    match call.function {
        Count if call.distinct => one(count_distinct(translator.key(argument, false)?)),
        Count if is_never_null(argument, never_null) => one(count(lit(1_i64))),
        Count => one(count(value)),
        // MIN and MAX of the same rows are the same with DISTINCT.
        Min if is_ordered(&ty) => one(min(value)),
        Max if is_ordered(&ty) => one(max(value)),
        AnyValue => one(first_value(value, Vec::new())),
        _ if call.distinct => Ok(None),
        StddevPop | StddevSamp | VarPop | VarSamp if ty.is_numeric() => {
            let value = cast(value, DataType::Float64);
            one(match call.function {
                StddevPop => stddev_pop(value),
                StddevSamp => stddev(value),
                VarPop => var_pop(value),
                _ => var_sample(value),
            })
        }
        _ => Ok(None),
    }
}

/// Columns that hold no NULL, and sums and products of them: counting their values is counting rows.
fn is_never_null(expression: &Expression, columns: &[bool]) -> bool {
    match expression {
        Expression::Column { index, .. } => columns.get(*index).copied().unwrap_or(false),
        Expression::Literal { value, .. } => !value.is_null(),
        Expression::Call { function, arguments, .. } if matches!(function.name, "+" | "-" | "*") => {
            arguments.iter().all(|argument| is_never_null(argument, columns))
        }
        _ => false,
    }
}

fn sum_or_average(
    call: &AggregateCall,
    argument: &Expression,
    translator: &Translator<'_>,
    never_null: &[bool],
) -> Result<Option<Aggregated>> {
    let ty = argument.ty();
    let Some(Total { sum, ty: sum_type, value }) = total(argument, translator)? else { return Ok(None) };
    let counted = if is_never_null(argument, never_null) { lit(1_i64) } else { value };
    Ok(match (call.function, &call.ty.kind) {
        (AggregateFunction::Sum, _) => Some(Aggregated { parts: vec![sum], finish: Finish::Cast }),
        (_, TypeKind::Decimal { .. }) => {
            Some(Aggregated { parts: vec![sum, count(counted)], finish: Finish::Average(sum_type) })
        }
        (_, TypeKind::Double { .. }) if !matches!(ty.kind, TypeKind::Decimal { .. }) => {
            Some(Aggregated { parts: vec![sum, count(counted)], finish: Finish::Average(MysqlType::double()) })
        }
        _ => None,
    })
}

/// A sum that does not overflow, the type of its value, and what is added up.
struct Total {
    sum: Expr,
    ty: MysqlType,
    value: Expr,
}

/// `None` for types whose sums are the row path's.
fn total(argument: &Expression, translator: &Translator<'_>) -> Result<Option<Total>> {
    let decimal = |precision: u8, scale: u8| MysqlType::new(TypeKind::Decimal { precision, scale, unsigned: false });
    let ty = argument.ty();
    Ok(match ty.kind {
        TypeKind::Int { .. } | TypeKind::Year => {
            let value = cast(translator.value(argument)?, DataType::Decimal128(20, 0));
            Some(Total { sum: sum(value.clone()), ty: decimal(30, 0), value })
        }
        TypeKind::Double { .. } | TypeKind::Float { .. } => {
            let value = translator.value(argument)?;
            Some(Total { sum: sum(value.clone()), ty: MysqlType::double(), value })
        }
        TypeKind::Decimal { .. } => {
            let wide = translator.addend(argument)?;
            let (value, scale) = match (wide, arrow_type(&ty)) {
                // DataFusion's sums have ten digits more than what is added; with more than 38 they would wrap.
                (_, DataType::Decimal128(precision, scale)) if precision <= 28 => {
                    let value = translator.value(argument)?;
                    let ty = decimal(precision + 10, scale.unsigned_abs());
                    return Ok(Some(Total { sum: sum(value.clone()), ty, value }));
                }
                (Some(wide), _) => wide,
                (None, DataType::Decimal128(_, scale)) => (translator.value(argument)?, scale.into()),
                (None, _) => return Ok(None),
            };
            Some(Total { sum: wide_sum(value.clone()), ty: decimal(48, scale as u8), value })
        }
        _ => None,
    })
}

/// True if the least array value is the least value.
fn is_ordered(ty: &MysqlType) -> bool {
    match ty.kind {
        TypeKind::Double { .. } | TypeKind::Float { .. } => true,
        // As texts, members of ENUM and SET have another order than their numbers.
        TypeKind::Enum(_) | TypeKind::Set(_) => false,
        _ => is_plain(ty),
    }
}

/// AVG from its sum and count.
pub fn average(sum: Expr, count: Expr, sum_type: MysqlType, call: &MysqlType, translator: &Translator<'_>) -> Expr {
    let types = vec![sum_type, MysqlType::bigint()];
    let kind = Kind::Average { ty: call.clone() };
    RowFunction::udf(kind, types, translator.eval.clone()).call(vec![sum, count])
}
