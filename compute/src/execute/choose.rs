//! Which executor runs a query: rows for few, columns for many.

use crate::execute::row::{QueryContext, walk};
use crate::execute::{analytic, bounds, row};
use crate::sql::plan::{Access, Node, Query};
use common::key::KeyRange;
use expr::function::Volatility;
use expr::value::Row;
use expr::{Expression, SqlError};
use futures::StreamExt;
use futures::stream::BoxStream;
use std::sync::Arc;

/// The session variable `drumlin_executor`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Executor {
    #[default]
    Auto,
    Row,
    /// Analytic wherever it can; for tests.
    Analytic,
}

/// So many rows are read on columns in the time of one lookup.
const ROWS_PER_LOOKUP: u64 = 100;

/// Below this many rows in all scans, planning for columns costs more than it saves.
const ANALYTIC_ROWS_MIN: u64 = 5_000;

/// Whether [`run`] would take the analytic executor.
pub async fn is_analytic(query: &Query, context: &QueryContext, executor: Executor) -> bool {
    match executor {
        Executor::Row => false,
        Executor::Analytic => can_be_analytic(query),
        Executor::Auto => can_be_analytic(query) && has_work(&query.root) && is_large(query, context).await,
    }
}

/// The rows of a query, by whichever executor suits it.
pub fn run(
    query: Arc<Query>,
    context: QueryContext,
    executor: Executor,
) -> BoxStream<'static, Result<Vec<Row>, SqlError>> {
    if executor == Executor::Row || !can_be_analytic(&query) {
        return row::run(query, context);
    }
    if executor == Executor::Analytic {
        return analytic::run(query, context);
    }
    if !has_work(&query.root) {
        return row::run(query, context);
    }
    let chosen = async move {
        // Then the page servers do the work, and there is one row to plan for.
        if context.view.buffer.is_empty() && row::partial::is_whole_query(&query, &context.eval).unwrap_or(false) {
            return row::run(query, context);
        }
        match is_large(&query, &context).await {
            true => analytic::run(query, context),
            false => row::run(query, context),
        }
    };
    futures::stream::once(chosen).flatten().boxed()
}

/// False for what only the row path does: locks, correlated subqueries, volatile functions, user variables, found rows.
pub fn can_be_analytic(query: &Query) -> bool {
    let mut possible = !query.calc_found_rows && query.subqueries.iter().all(|subquery| !subquery.correlated);
    walk::visit_blocks(&query.root, &mut |block| {
        possible &= block.subqueries.iter().all(|subquery| !subquery.correlated);
    });
    walk::visit_scans(&query.root, &mut |scan| possible &= scan.lock.is_none());
    walk::visit_node(
        &query.root,
        0,
        &mut |expression, depth| {
            walk::visit_expression(expression, &mut |part| match part {
                Expression::Call { function, .. } => possible &= function.volatility != Volatility::Volatile,
                Expression::UserVariable { .. } | Expression::Assign { .. } => possible = false,
                // A row of an enclosing query.
                Expression::Outer { level, .. } => possible &= *level <= depth,
                _ => {}
            });
        },
        &mut |_, _| {},
    );
    possible
}

/// True if something is done with the rows that columns do better: a join, a group, an order.
fn has_work(node: &Node) -> bool {
    match node {
        Node::Join(_)
        | Node::Aggregate { .. }
        | Node::Window { .. }
        | Node::Sort { .. }
        | Node::Distinct { .. }
        | Node::SetOperation { .. } => true,
        Node::Filter { input, .. } | Node::Project { input, .. } | Node::Limit { input, .. } => has_work(input),
        Node::Derived(query) => has_work(&query.root),
        Node::Dual
        | Node::Scan(_)
        | Node::Virtual(_)
        | Node::Values { .. }
        | Node::RecursiveCte { .. }
        | Node::WorkingTable { .. }
        | Node::JsonTable(_) => false,
    }
}

/// True if scans of whole tables have many rows, or there are so many lookups that reading whole tables is less.
async fn is_large(query: &Query, context: &QueryContext) -> bool {
    let (mut ranges, mut looked_up, mut lookups) = (Vec::new(), Vec::new(), 0_u64);
    walk::visit_scans(&query.root, &mut |scan| match &scan.access {
        _ if scan.lookups > 0 => {
            lookups = lookups.saturating_add(scan.lookups);
            looked_up.push(KeyRange::index(scan.table.id, scan.table.clustered().id));
        }
        Access::Full => ranges.push(KeyRange::index(scan.table.id, scan.table.clustered().id)),
        Access::Range { index: 0, .. } => {
            if let Ok(Some(range)) = bounds::clustered_range(scan, &context.eval) {
                ranges.push(range);
            }
        }
        Access::Range { .. } | Access::Point { .. } => {}
    });
    let mut rows = 0_u64;
    for range in ranges {
        rows = rows.saturating_add(context.view.pages.estimate(range).await.map_or(0, |estimate| estimate.rows));
        if rows >= ANALYTIC_ROWS_MIN {
            return true;
        }
    }
    if lookups < ANALYTIC_ROWS_MIN {
        return false;
    }
    for range in looked_up {
        rows = rows.saturating_add(context.view.pages.estimate(range).await.map_or(0, |estimate| estimate.rows));
    }
    rows < lookups.saturating_mul(ROWS_PER_LOOKUP)
}
