//! The analytic path: plans run by DataFusion on columns, for queries over much data. The only door to DataFusion.
//!
//! A query is prepared (its uncorrelated subqueries are run, row counts are asked for), translated to a logical plan, and
//! run on threads of its own. Results are the same as the row path's, but for the order of rows that nothing orders, and
//! for the last digits of floating-point sums.

mod aggregate;
mod dependent;
mod error;
mod expression;
mod lateral;
mod measure;
mod memory;
mod plan;
mod runtime;
mod scalar;
mod scan;
mod split;
mod text;
mod turns;
mod types;
mod wide_sum;

use crate::execute::choose::{Executor, run as run_any};
use crate::execute::row::{QueryContext, shape, walk};
use crate::sql::plan::{Query, SubqueryKind};
use common::key::KeyRange;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::execute_stream;
use error::{is_out_of_memory, is_overflow, is_refusal, unwrapped};
use expr::eval::{EvalContext, SubqueryResult};
use expr::mysql_type::MysqlType;
use expr::value::{Row, Value};
use expr::{ErrorCode, SqlError};
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
pub use measure::measure;
use plan::{Prepared, address, translate};
use runtime::Joins;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;
use types::ValueReader;

/// The rows of a query, in batches. Dropping the stream ends the query.
pub fn run(query: Arc<Query>, mut context: QueryContext) -> BoxStream<'static, Result<Vec<Row>, SqlError>> {
    let (sender, receiver) = mpsc::channel(2);
    // Subqueries, and parts that the row path runs, must not count as the query's own rows.
    let found_rows = std::mem::take(&mut context.found_rows);
    let handle = match runtime::handle() {
        Ok(handle) => handle,
        Err(error) => return futures::stream::iter([Err(error)]).boxed(),
    };
    let cancel = context.cancel.clone();
    let task = handle.spawn(async move {
        match produce(&query, &context, &sender).await {
            Ok(given) => found_rows.store(given, Ordering::Relaxed),
            // Nobody listens if the stream is gone.
            Err(error) => drop(sender.send(Err(error)).await),
        }
    });
    // Whoever ends the query is answered at once. What it computes ends when it gives its thread back.
    let running = Some((receiver, AbortOnDropHandle::new(task)));
    futures::stream::unfold((running, cancel), async |(running, cancel)| {
        let (mut receiver, task) = running?;
        let batch = tokio::select! {
            biased;
            error = cancel.cancelled() => return Some((Err(error), (None, cancel))),
            batch = receiver.recv() => batch,
        };
        match batch {
            Some(batch) => Some((batch, (Some((receiver, task)), cancel))),
            // All of it was given, unless the task has failed.
            None => task.await.err().map(|error| (Err(failed(&error)), (None, cancel))),
        }
    })
    .boxed()
}

fn failed(error: &tokio::task::JoinError) -> SqlError {
    SqlError::internal(format!("the analytic executor ended: {error}"))
}

/// Gives how many rows there were.
async fn produce(
    query: &Arc<Query>,
    context: &QueryContext,
    sender: &mpsc::Sender<Result<Vec<Row>, SqlError>>,
) -> Result<u64, SqlError> {
    let prepared = prepare(query, context).await?;
    let logical = translate(query, context, &prepared)?;
    let outcome = match attempt(query, &logical, Joins::Hash, context, sender).await {
        Err(Failure::BeforeRows(error)) if is_out_of_memory(&error) => {
            tracing::info!(%error, "a query is run again with joins that go to files");
            attempt(query, &logical, Joins::Merge, context, sender).await
        }
        outcome => outcome,
    };
    match outcome {
        Err(Failure::BeforeRows(error)) if is_overflow(&error) => by_rows(query, context, sender).await,
        outcome => outcome.map_err(SqlError::from),
    }
}

/// Of a query that DataFusion runs.
enum Failure {
    /// Nothing was given yet: it may be run in another way.
    BeforeRows(DataFusionError),
    Final(SqlError),
}

impl From<Failure> for SqlError {
    fn from(failure: Failure) -> SqlError {
        match failure {
            Failure::BeforeRows(error) => unwrapped(error),
            Failure::Final(error) => error,
        }
    }
}

/// Gives how many rows there were.
async fn attempt(
    query: &Arc<Query>,
    logical: &LogicalPlan,
    joins: Joins,
    context: &QueryContext,
    sender: &mpsc::Sender<Result<Vec<Row>, SqlError>>,
) -> Result<u64, Failure> {
    let state = runtime::session_state(context.memory.clone(), logical, joins).map_err(Failure::Final)?;
    let physical = match state.create_physical_plan(logical).await {
        Ok(physical) => physical,
        Err(error) if is_refusal(&error) => {
            tracing::warn!(%error, "a query is run on rows, because DataFusion has no plan for it");
            return by_rows(query, context, sender).await.map_err(Failure::Final);
        }
        Err(error) => return Err(Failure::BeforeRows(error)),
    };
    let mut batches = execute_stream(physical, state.task_ctx()).map_err(Failure::BeforeRows)?;
    let types = shape::types(&query.root);
    let mut given = 0;
    while let Some(batch) = batches.next().await {
        let batch = match batch {
            Ok(batch) if batch.num_rows() == 0 => continue,
            Ok(batch) => rows(&batch, &types, &context.eval).map_err(Failure::Final)?,
            Err(error) if given == 0 => return Err(Failure::BeforeRows(error)),
            Err(error) => return Err(Failure::Final(unwrapped(error))),
        };
        given += batch.len() as u64;
        if sender.send(Ok(batch)).await.is_err() {
            break;
        }
    }
    Ok(given)
}

/// On the row path instead. Gives how many rows there were.
async fn by_rows(
    query: &Arc<Query>,
    context: &QueryContext,
    sender: &mpsc::Sender<Result<Vec<Row>, SqlError>>,
) -> Result<u64, SqlError> {
    let mut batches = run_any(query.clone(), context.clone(), Executor::Row);
    let mut given = 0;
    while let Some(batch) = batches.next().await {
        let batch = batch?;
        given += batch.len() as u64;
        if sender.send(Ok(batch)).await.is_err() {
            break;
        }
    }
    Ok(given)
}

fn rows(
    batch: &arrow::record_batch::RecordBatch,
    types: &[MysqlType],
    context: &EvalContext,
) -> Result<Vec<Row>, SqlError> {
    let mut arrays = Vec::with_capacity(types.len());
    for (array, ty) in batch.columns().iter().zip(types) {
        let wanted = types::arrow_type(ty);
        arrays.push(match *array.data_type() == wanted {
            true => array.clone(),
            false => arrow::compute::cast(array, &wanted)
                .map_err(|error| SqlError::internal(format!("A result of another type: {error}; report this query")))?,
        });
    }
    let readers = arrays
        .iter()
        .zip(types)
        .map(|(array, ty)| ValueReader::new(array, ty, context.time_zone))
        .collect::<Result<Vec<_>, SqlError>>()?;
    (0..batch.num_rows()).map(|row| readers.iter().map(|reader| reader.value(row)).collect()).collect()
}

/// Runs the subqueries and asks for row counts.
async fn prepare(query: &Query, context: &QueryContext) -> Result<Prepared, SqlError> {
    let mut blocks = vec![query];
    let mut scans = Vec::new();
    walk::visit_blocks(&query.root, &mut |block| blocks.push(block));
    walk::visit_scans(&query.root, &mut |scan| scans.push(scan));
    let mut prepared = Prepared { blocks: HashMap::new(), rows: HashMap::new(), parts: HashMap::new() };
    for block in blocks {
        let mut eval = context.eval.clone();
        eval.subqueries = vec![SubqueryResult::NotRun; block.subqueries.len()];
        for (id, subquery) in block.subqueries.iter().enumerate() {
            eval.subqueries[id] = result_of(&subquery.query, subquery.kind, context).await?;
        }
        prepared.blocks.insert(address(block), Arc::new(eval));
    }
    for scan in scans {
        let range = KeyRange::index(scan.table.id, scan.table.clustered().id);
        // Without an estimate, DataFusion plans without one.
        if let Ok(estimate) = context.view.pages.estimate(range).await {
            prepared.rows.insert(address(scan), estimate.rows);
            if let Some(parts) = split::parts(scan, estimate.rows, context).await? {
                prepared.parts.insert(address(scan), parts);
            }
        }
    }
    Ok(prepared)
}

/// The result of a subquery that reads nothing of the rows around it. Boxed: subqueries have subqueries.
fn result_of<'a>(
    query: &'a Query,
    kind: SubqueryKind,
    context: &'a QueryContext,
) -> futures::future::BoxFuture<'a, Result<SubqueryResult, SqlError>> {
    async move {
        let mut batches = run_any(Arc::new(query.clone()), context.clone(), Executor::Auto);
        let mut all: Vec<Row> = Vec::new();
        while let Some(batch) = batches.next().await {
            all.extend(batch?);
            match kind {
                SubqueryKind::Exists => return Ok(SubqueryResult::Scalar(Value::boolean(true))),
                SubqueryKind::Scalar if all.len() > 1 => {
                    return Err(SqlError::new(ErrorCode::SUBQUERY_NO_1_ROW, "Subquery returns more than 1 row"));
                }
                _ => {}
            }
        }
        Ok(match kind {
            SubqueryKind::Exists => SubqueryResult::Scalar(Value::boolean(false)),
            SubqueryKind::Scalar => {
                let value = all.pop().and_then(|row| row.into_iter().next());
                SubqueryResult::Scalar(value.unwrap_or_default())
            }
            SubqueryKind::Rows => SubqueryResult::Rows(Arc::new(all)),
        })
    }
    .boxed()
}
