//! Aggregate functions: reference semantics on values. Manual: "Aggregate Functions" (14.19).

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AggregateFunction {
    /// Rows for COUNT(*) (no argument); else rows where no argument is NULL.
    Count,
    Sum,
    Avg,
    Min,
    Max,
    GroupConcat,
    BitAnd,
    BitOr,
    BitXor,
    StddevPop,
    StddevSamp,
    VarPop,
    VarSamp,
    JsonArrayAgg,
    JsonObjectAgg,
    AnyValue,
    /// GROUPING(...) of WITH ROLLUP.
    Grouping,
}
