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
    /// Sum divided by count.
    Average,
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
    let value = translator.value(argument)?;
    match call.function {
        Count if call.distinct => one(count_distinct(translator.key(argument, false)?)),
        Count => one(count(value)),
        // MIN and MAX of the same rows are the same with DISTINCT.
        Min if is_ordered(&ty) => one(min(value)),
        Max if is_ordered(&ty) => one(max(value)),
        AnyValue => one(first_value(value, Vec::new())),
        _ if call.distinct => Ok(None),
        Sum => match summable(value, &ty) {
            Some(value) => one(sum(value)),
            None => Ok(None),
        },
        Avg => match (summable(value.clone(), &ty), &call.ty.kind) {
            (Some(addend), TypeKind::Decimal { .. }) => {
                Ok(Some(Aggregated { parts: vec![sum(addend), count(value)], finish: Finish::Average }))
            }
            (Some(addend), TypeKind::Double { .. }) => {
                Ok(Some(Aggregated { parts: vec![sum(addend), count(value)], finish: Finish::Average }))
            }
            _ => Ok(None),
        },
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

/// True if the least array value is the least value.
fn is_ordered(ty: &MysqlType) -> bool {
    match ty.kind {
        TypeKind::Double { .. } | TypeKind::Float { .. } => true,
        // As texts, members of ENUM and SET have another order than their numbers.
        TypeKind::Enum(_) | TypeKind::Set(_) => false,
        _ => is_plain(ty),
    }
}

/// What to add up so that no sum overflows; `None` for types whose sums are the row path's.
fn summable(value: Expr, ty: &MysqlType) -> Option<Expr> {
    match (&ty.kind, arrow_type(ty)) {
        (TypeKind::Int { .. } | TypeKind::Year, _) => Some(cast(value, DataType::Decimal128(20, 0))),
        // DataFusion's sums have ten digits more than what is added.
        (TypeKind::Decimal { .. }, DataType::Decimal128(precision, _)) if precision <= 28 => Some(value),
        (TypeKind::Double { .. } | TypeKind::Float { .. }, _) => Some(value),
        _ => None,
    }
}

/// AVG from its sum and count.
pub fn average(sum: Expr, count: Expr, argument: &MysqlType, call: &MysqlType, translator: &Translator<'_>) -> Expr {
    let types = vec![sum_type(argument), MysqlType::bigint()];
    let kind = Kind::Average { ty: call.clone() };
    RowFunction::udf(kind, types, translator.eval.clone()).call(vec![sum, count])
}

/// The type of the sum behind an AVG, as DataFusion gives it.
fn sum_type(argument: &MysqlType) -> MysqlType {
    let decimal = |precision: u8, scale| MysqlType::new(TypeKind::Decimal { precision, scale, unsigned: false });
    match argument.kind {
        TypeKind::Int { .. } | TypeKind::Year => decimal(30, 0),
        TypeKind::Decimal { precision, scale, .. } => decimal((precision.max(1) + 10).min(38), scale),
        _ => MysqlType::double(),
    }
}
