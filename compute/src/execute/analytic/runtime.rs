//! Threads, memory and spilling of analytic queries: apart from those of transactions, and bounded.

use crate::execute::analytic::error::unwrapped;
use crate::execute::analytic::memory::QueryPool;
use crate::execute::analytic::turns;
use crate::execute::query_memory::QueryMemory;
use datafusion::common::tree_node::TreeNode;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::{Optimizer, OptimizerRule};
use datafusion::prelude::SessionConfig;
use expr::SqlError;
use std::sync::{Arc, OnceLock};
use tokio::runtime::{Builder, Handle, Runtime};

/// Threads of analytic queries: as many as the machine has. They take what transactions leave (`common::env::threads::give_way`).
pub fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, |count| count.get())
}

/// Where analytic queries run. Lives as long as the process.
pub fn handle() -> Result<Handle, SqlError> {
    static RUNTIME: OnceLock<Option<Runtime>> = OnceLock::new();
    let build = || {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(threads()).thread_name("analytic").enable_all();
        builder.on_thread_start(common::env::threads::give_way);
        // Deep plans poll deep.
        builder.thread_stack_size(64 << 20).build().ok()
    };
    match RUNTIME.get_or_init(build) {
        Some(runtime) => Ok(runtime.handle().clone()),
        None => Err(SqlError::internal("No threads for analytic queries; raise the limit on threads and restart")),
    }
}

/// Rows of a batch where memory is short.
const MERGE_BATCH_ROWS: usize = 256;

/// How rows find each other by their keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Joins {
    /// One side in a table in memory, which has to fit.
    Hash,
    /// Both sides sorted: slower, but what does not fit goes to files.
    Merge,
}

/// DataFusion's state for one query, whose plan this is. What does not fit in memory goes to temporary files.
///
/// Below the ORDER BY of a union DataFusion leaves a key that is constant in one of its parts out of that part's sort; with a LIMIT
/// the parts' sorts then share a bound by the other keys, and rows are missing. So what has a union is sorted as a whole.
pub fn session_state(memory: Arc<QueryMemory>, plan: &LogicalPlan, joins: Joins) -> Result<SessionState, SqlError> {
    // A dozen sorts share the memory, and each keeps this much back for merging its files.
    let kept_back_bytes_max = memory.limit_bytes() / 32;
    let environment =
        RuntimeEnvBuilder::new().with_memory_pool(Arc::new(QueryPool::new(memory))).build_arc().map_err(unwrapped)?;
    // DataFusion merges only what has several parts.
    let parts = if joins == Joins::Merge { threads().max(2) } else { threads() };
    let mut config = SessionConfig::new().with_target_partitions(parts).with_information_schema(false);
    config.options_mut().optimizer.prefer_hash_join = joins == Joins::Hash;
    if joins == Joins::Merge {
        let kept_back_bytes = config.options().execution.sort_spill_reservation_bytes.min(kept_back_bytes_max);
        config = config.with_batch_size(MERGE_BATCH_ROWS).with_sort_spill_reservation_bytes(kept_back_bytes);
    }
    // The check compares types with those from before DataFusion simplified the plan, which may have shown meanwhile that a column is
    // never NULL. Results are read by the types of our own plan (`analytic.rs`, `rows`).
    config.options_mut().execution.skip_physical_aggregate_schema_check = true;
    config.options_mut().optimizer.repartition_sorts =
        !plan.exists(|node| Ok(matches!(node, LogicalPlan::Union(_)))).map_err(unwrapped)?;
    Ok(SessionStateBuilder::new()
        .with_optimizer_rules(rules())
        .with_config(config)
        .with_runtime_env(environment)
        .with_physical_optimizer_rules(turns::rules())
        .build())
}

/// DataFusion's rules, without the one that takes chains of joins apart and puts them together in another order: ours was
/// chosen by what is known of the tables, and no join in our plans waits for its keys in a filter above.
fn rules() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    let mut rules = Optimizer::new().rules;
    rules.retain(|rule| rule.name() != "eliminate_cross_join");
    rules
}
