//! EXPLAIN ANALYZE of the analytic path: DataFusion's operators with what they measured.

use super::error::{is_overflow, is_refusal, unwrapped};
use super::plan::translate;
use super::turns::Turns;
use super::{failed, prepare, runtime};
use crate::execute::row::QueryContext;
use crate::sql::plan::Query;
use datafusion::physical_plan::{ExecutionPlan, displayable, execute_stream};
use expr::SqlError;
use futures::StreamExt;
use std::fmt::Write;
use std::sync::Arc;

/// Runs the query, drops its rows, and says what its operators did. None: DataFusion has no plan for it, or gave it up for
/// numbers that it has no room for.
pub async fn measure(query: Arc<Query>, context: QueryContext) -> Result<Option<String>, SqlError> {
    let cancel = context.cancel.clone();
    let run = async move {
        let prepared = prepare(&query, &context).await?;
        let logical = translate(&query, &context, &prepared)?;
        let state = runtime::session_state(context.memory.clone(), &logical, runtime::Joins::Hash)?;
        let physical = match state.create_physical_plan(&logical).await {
            Ok(physical) => physical,
            Err(error) if is_refusal(&error) => return Ok(None),
            Err(error) => return Err(unwrapped(error)),
        };
        let mut batches = execute_stream(physical.clone(), state.task_ctx()).map_err(unwrapped)?;
        while let Some(batch) = batches.next().await {
            match batch {
                Ok(_) => {}
                Err(error) if is_overflow(&error) => return Ok(None),
                Err(error) => return Err(unwrapped(error)),
            }
        }
        let mut text = String::new();
        write(&physical, 0, &mut text);
        Ok(Some(text))
    };
    let task = tokio_util::task::AbortOnDropHandle::new(runtime::handle()?.spawn(run));
    tokio::select! {
        biased;
        error = cancel.cancelled() => Err(error),
        ended = task => ended.unwrap_or_else(|error| Err(failed(&error))),
    }
}

/// Operators that only hand rows on.
const PASSING: [&str; 6] = [
    "RepartitionExec",
    "CoalesceBatchesExec",
    "CoalescePartitionsExec",
    "CooperativeExec",
    "ProjectionExec",
    Turns::NAME,
];

fn write(plan: &Arc<dyn ExecutionPlan>, depth: usize, out: &mut String) {
    let passes = PASSING.contains(&plan.name());
    if !passes {
        let text = displayable(plan.as_ref()).one_line().to_string();
        let details = text.trim().split_once(": ").map_or(String::new(), |(_, details)| format!(": {details}"));
        let _ = write!(out, "{:width$}-> {}{details}", "", words(plan.name()), width = depth * 4);
        if let Some(metrics) = plan.metrics() {
            let rows = metrics.output_rows().unwrap_or(0);
            let _ = write!(out, "  (actual rows={rows}");
            if let Some(compute_ns) = metrics.elapsed_compute() {
                let _ = write!(out, " compute={:.3} ms", compute_ns as f64 / 1e6);
            }
            out.push(')');
        }
        out.push('\n');
    }
    for child in plan.children() {
        write(child, if passes { depth } else { depth + 1 }, out);
    }
}

/// In MySQL's words, where it has them.
fn words(name: &str) -> &str {
    match name {
        "AggregateExec" => "Aggregate",
        "FilterExec" => "Filter",
        "HashJoinExec" => "Hash join",
        "NestedLoopJoinExec" | "CrossJoinExec" => "Nested loop join",
        "SortMergeJoinExec" => "Merge join",
        "SortExec" | "SortPreservingMergeExec" => "Sort",
        "GlobalLimitExec" | "LocalLimitExec" => "Limit",
        "UnionExec" | "InterleaveExec" => "Append",
        "WindowAggExec" | "BoundedWindowAggExec" => "Window aggregate",
        other => other,
    }
}
