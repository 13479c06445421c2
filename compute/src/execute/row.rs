//! The row path: plans run on rows, a batch at a time, by operators that stream where they can.
//!
//! Every statement can run here; the analytic path takes over what touches much data. A query's operators borrow its plan
//! and live inside one future that a stream polls: dropping the stream ends the query.
//!
//! Invariants
//! - No operator holds more than the query's memory budget; every loop looks at [`context::Cancel`] once per batch.
//! - Values that compare equal have equal bytes in `keys`, whatever they are used for: groups, joins, DISTINCT, order.

mod accumulate;
mod aggregate;
pub mod context;
mod derived;
mod distinct;
pub mod evaluate;
mod filter;
mod integer_range;
mod join;
mod json_table;
pub mod keys;
mod limit;
pub mod operator;
mod order;
pub mod partial;
pub mod profile;
mod recursive;
mod scan;
mod set_operation;
pub mod shape;
mod sort;
mod subquery;
mod truth;
pub mod waiting;
pub mod walk;
mod window;

pub use context::{Cancel, Execution, Locked, Locker, QueryContext};
pub use evaluate::{Evaluator, Predicate};
pub use operator::{BoxOperator, Operator, Scope, open};
pub use truth::to_count;

use crate::sql::plan::{Node, Query};
use expr::SqlError;
use expr::value::Row;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

/// The rows of a query, in batches. Nothing runs until the stream is polled, and nothing once it is dropped.
pub fn run(query: Arc<Query>, context: QueryContext) -> BoxStream<'static, Result<Vec<Row>, SqlError>> {
    let (sender, receiver) = mpsc::channel(1);
    let producer = async move {
        if let Err(error) = produce(&query, context, &sender).await {
            // The receiver is gone only together with this future.
            let _ = sender.send(Err(error)).await;
        }
    };
    // The producer gives no item of its own; it is polled by whoever polls the stream.
    let producer = producer.into_stream().filter_map(|()| std::future::ready(None));
    futures::stream::select(ReceiverStream::new(receiver), producer).boxed()
}

async fn produce(
    query: &Query,
    context: QueryContext,
    sender: &mpsc::Sender<Result<Vec<Row>, SqlError>>,
) -> Result<(), SqlError> {
    let cancel = context.cancel.clone();
    let execution = Execution::new(context);
    let rows = async {
        let scope = Scope::new(execution.clone(), &query.subqueries);
        if query.calc_found_rows
            && let Node::Limit { input, offset, count } = &query.root
        {
            return counted(input, limit::bounds(offset.as_ref(), count.as_ref(), &scope)?, &scope, sender).await;
        }
        let mut operator = open(&query.root, &scope, None)?;
        let mut given = 0;
        while let Some(batch) = operator.next().await? {
            given += batch.len() as u64;
            if sender.send(Ok(batch)).await.is_err() {
                break;
            }
            tokio::task::consume_budget().await;
        }
        execution.context.found_rows.store(given, Ordering::Relaxed);
        Ok(())
    };
    // A query that waits for a lock or a page must end when it is told to.
    tokio::select! {
        biased;
        error = cancel.cancelled() => Err(error),
        result = rows => result,
    }
}

/// SQL_CALC_FOUND_ROWS: reads everything, gives what LIMIT asks for.
async fn counted<'q>(
    input: &'q Node,
    (offset, count): (u64, u64),
    scope: &Scope<'q>,
    sender: &mpsc::Sender<Result<Vec<Row>, SqlError>>,
) -> Result<(), SqlError> {
    let mut operator = open(input, scope, None)?;
    let mut found = 0;
    let end = offset.saturating_add(count);
    while let Some(mut batch) = operator.next().await? {
        let first = found;
        found += batch.len() as u64;
        batch.truncate(end.saturating_sub(first).min(batch.len() as u64) as usize);
        batch.drain(..offset.saturating_sub(first).min(batch.len() as u64) as usize);
        if !batch.is_empty() && sender.send(Ok(batch)).await.is_err() {
            break;
        }
        tokio::task::consume_budget().await;
    }
    scope.execution.context.found_rows.store(found, Ordering::Relaxed);
    Ok(())
}
