//! Errors on their way through DataFusion and back.

use datafusion::error::DataFusionError;
use expr::{ErrorCode, SqlError};

/// Ours, to travel inside DataFusion.
pub fn wrapped(error: SqlError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// DataFusion could not plan a query, or refuses the plan that it made; nothing is wrong with the query.
pub fn is_refusal(error: &DataFusionError) -> bool {
    matches!(
        error.find_root(),
        DataFusionError::Plan(_)
            | DataFusionError::Internal(_)
            | DataFusionError::NotImplemented(_)
            | DataFusionError::SchemaError(..)
    )
}

/// A number had more digits than Arrow's decimals have. MySQL's have more.
pub fn is_overflow(error: &DataFusionError) -> bool {
    matches!(error.find_root(), DataFusionError::ArrowError(inner, _) if inner.to_string().contains("verflow"))
}

/// An operator needed more memory than it could have, and has no files to go to.
pub fn is_out_of_memory(error: &DataFusionError) -> bool {
    matches!(error.find_root(), DataFusionError::ResourcesExhausted(_))
}

/// What a client gets.
pub fn unwrapped(error: DataFusionError) -> SqlError {
    if let DataFusionError::External(inner) = error.find_root()
        && let Some(ours) = inner.downcast_ref::<SqlError>()
    {
        return ours.clone();
    }
    match error.find_root() {
        DataFusionError::ResourcesExhausted(text) => SqlError::new(
            ErrorCode::OUT_OF_RESOURCES,
            format!("Out of memory; select less at a time, or raise --query-memory or --total-query-memory ({text})"),
        ),
        root @ DataFusionError::ArrowError(inner, _) if is_overflow(root) => {
            SqlError::new(ErrorCode::DATA_OUT_OF_RANGE, format!("Value is out of range ({inner})"))
        }
        other => SqlError::internal(format!("Analytic execution failed: {other}")),
    }
}
