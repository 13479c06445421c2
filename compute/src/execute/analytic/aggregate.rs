//! GROUP BY: DataFusion's aggregates where their results are MySQL's.
//!
//! Texts are grouped by the bytes of their collation, and the first text of each group is what the group shows.

use crate::execute::analytic::expression::{Translator, is_plain};
use crate::execute::analytic::scalar::{Kind, RowFunction};
use crate::execute::analytic::types::arrow_type;
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

/// `None` if only the row path can compute it.
pub fn aggregate(call: &AggregateCall, translator: &Translator<'_>) -> Result<Option<Aggregated>> {
    use AggregateFunction::{AnyValue, Avg, Count, Max, Min, StddevPop, StddevSamp, Sum, VarPop, VarSamp};
    let one = |part: Expr| Ok(Some(Aggregated { parts: vec![part], finish: Finish::Cast }));
    let argument = match (&call.arguments[..], call.function) {
        ([], Count) => return one(count(lit(1_i64))),
        ([argument], _) => argument,
        _ => return Ok(None),
    };
    let ty = argument.ty();
    if matches!(call.function, Sum | Avg) && !call.distinct {
        return sum_or_average(call, argument, translator);
    }
    let value = translator.value(argument)?;
    match call.function {
        Count if call.distinct => one(count_distinct(translator.key(argument, false)?)),
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

fn sum_or_average(
    call: &AggregateCall,
    argument: &Expression,
    translator: &Translator<'_>,
) -> Result<Option<Aggregated>> {
    let ty = argument.ty();
    let Some((addend, sum_type)) = addend(argument, translator)? else { return Ok(None) };
    let counted = addend.clone();
    Ok(match (call.function, &call.ty.kind) {
        (AggregateFunction::Sum, _) => Some(Aggregated { parts: vec![sum(addend)], finish: Finish::Cast }),
        (_, TypeKind::Decimal { .. }) => {
            Some(Aggregated { parts: vec![sum(addend), count(counted)], finish: Finish::Average(sum_type) })
        }
        (_, TypeKind::Double { .. }) if !matches!(ty.kind, TypeKind::Decimal { .. }) => {
            Some(Aggregated { parts: vec![sum(addend), count(counted)], finish: Finish::Average(MysqlType::double()) })
        }
        _ => None,
    })
}

/// What to add up so that no sum overflows, and the type of the sum; `None` for types whose sums are the row path's.
fn addend(argument: &Expression, translator: &Translator<'_>) -> Result<Option<(Expr, MysqlType)>> {
    let decimal = |precision: u8, scale: u8| MysqlType::new(TypeKind::Decimal { precision, scale, unsigned: false });
    let ty = argument.ty();
    Ok(match ty.kind {
        TypeKind::Int { .. } | TypeKind::Year => {
            Some((cast(translator.value(argument)?, DataType::Decimal128(20, 0)), decimal(30, 0)))
        }
        TypeKind::Double { .. } | TypeKind::Float { .. } => Some((translator.value(argument)?, MysqlType::double())),
        // Sums are of ten digits more than what is added, as DataFusion has it; without a wider type, they would wrap.
        TypeKind::Decimal { .. } => match (translator.addend(argument)?, arrow_type(&ty)) {
            (Some(_), DataType::Decimal128(precision, scale)) if precision <= 28 => {
                let value = translator.value(argument)?;
                Some((value, decimal(precision + 10, scale.unsigned_abs())))
            }
            (Some((value, scale)), _) => {
                let scale = scale as u8;
                Some((cast(value, DataType::Decimal256(38, scale as i8)), decimal(48, scale)))
            }
            (None, DataType::Decimal128(precision, scale)) => {
                let value = cast(translator.value(argument)?, DataType::Decimal256(precision, scale));
                Some((value, decimal(precision + 10, scale.unsigned_abs())))
            }
            (None, _) => None,
        },
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
