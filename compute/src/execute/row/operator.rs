//! What every operator of the row path is, and which one runs which node of a plan.

use crate::execute::query_memory::Reservation;
use crate::execute::row::context::Execution;
use crate::execute::row::{
    aggregate, derived, distinct, filter, join, json_table, limit, partial, recursive, scan, set_operation, sort,
    window,
};
use crate::sql::plan::{Node, Subquery};
use async_trait::async_trait;
use expr::SqlError;
use expr::eval::{EvalContext, SubqueryResult};
use expr::value::Row;
use std::collections::HashMap;
use std::sync::Arc;

/// Gives the rows of one node, a batch at a time. `'q` is the life of the plan.
#[async_trait]
pub trait Operator: Send {
    /// The next rows, at least one; `None` at the end, and not asked again after it.
    async fn next(&mut self) -> Result<Option<Vec<Row>>, SqlError>;
}

pub type BoxOperator<'q> = Box<dyn Operator + 'q>;

/// Rows per batch, about.
pub const BATCH_ROWS: usize = 1000;

/// What the operators of one query block run in. Cheap to clone.
#[derive(Clone)]
pub struct Scope<'q> {
    pub execution: Arc<Execution>,
    /// With the rows of the enclosing queries, and a place for each of `subqueries`.
    pub eval: Arc<EvalContext>,
    pub subqueries: &'q [Subquery],
    /// Rows of the round before, by id of the recursive CTE.
    pub working: Arc<HashMap<usize, Arc<Vec<Vec<Row>>>>>,
}

impl<'q> Scope<'q> {
    /// The outermost scope of a plan.
    pub fn new(execution: Arc<Execution>, subqueries: &'q [Subquery]) -> Scope<'q> {
        let mut eval = execution.context.eval.clone();
        eval.subqueries = vec![SubqueryResult::NotRun; subqueries.len()];
        Scope { execution, eval: Arc::new(eval), subqueries, working: Arc::default() }
    }

    /// For a query block inside this one that has subqueries of its own; inside `outer_row`, if there is one.
    pub fn inner(&self, subqueries: &'q [Subquery], outer_row: Option<Arc<Row>>) -> Scope<'q> {
        let mut eval = (*self.eval).clone();
        eval.subqueries = vec![SubqueryResult::NotRun; subqueries.len()];
        if let Some(row) = outer_row {
            eval.outer_rows.insert(0, row);
        }
        Scope { eval: Arc::new(eval), subqueries, ..self.clone() }
    }

    /// For the right side of a lateral join: the same block, inside the left's row.
    pub fn lateral(&self, left: Arc<Row>) -> Scope<'q> {
        self.inner(self.subqueries, Some(left))
    }
}

/// Prepares a node to give its rows. `goal` is how many rows will be read at most, where that is known.
pub fn open<'q>(node: &'q Node, scope: &Scope<'q>, goal: Option<u64>) -> Result<BoxOperator<'q>, SqlError> {
    let operator: BoxOperator<'q> = match node {
        Node::Dual => Box::new(filter::Once::new(vec![Vec::new()])),
        Node::Scan(scan) => scan::open(scan, scope, goal)?,
        Node::Virtual(virtual_scan) => Box::new(scan::VirtualRows::new(virtual_scan, scope)),
        Node::Values { rows } => Box::new(filter::Values::new(rows, scope)),
        Node::Filter { input, predicate } => Box::new(filter::Filter::new(open(input, scope, None)?, predicate, scope)),
        Node::Project { input, expressions } => {
            Box::new(filter::Project::new(open(input, scope, goal)?, expressions, scope))
        }
        Node::Join(join) => join::open(join, scope)?,
        Node::Aggregate { input, group_by, rollup, aggregates } => {
            match partial::PartialAggregate::open(input, group_by, aggregates, scope)? {
                Some(pushed) => Box::new(pushed),
                None => {
                    let input = open(input, scope, None)?;
                    Box::new(aggregate::Aggregate::new(input, group_by, *rollup, aggregates, scope))
                }
            }
        }
        Node::Window { input, calls } => Box::new(window::Window::new(open(input, scope, None)?, calls, scope)),
        Node::Sort { input, keys } => Box::new(sort::open(input, keys, goal, scope)?),
        Node::Limit { input, offset, count } => limit::open(input, offset.as_ref(), count.as_ref(), scope)?,
        Node::Distinct { input } => Box::new(distinct::Distinct::new(input, scope)?),
        Node::SetOperation { .. } => set_operation::open(node, scope, goal)?,
        Node::RecursiveCte { id, names, anchor, recursive, all } => {
            Box::new(recursive::RecursiveCte::new(*id, names, anchor, recursive, *all, scope)?)
        }
        Node::WorkingTable { id, .. } => Box::new(recursive::WorkingTable::new(*id, scope)?),
        Node::Derived(query) => derived::open(query, scope, goal)?,
        Node::JsonTable(table) => Box::new(json_table::JsonRows::new(table, scope)),
    };
    Ok(match &scope.execution.context.profile {
        Some(profile) => profile.around(std::ptr::from_ref(node) as usize, operator),
        None => operator,
    })
}

/// Reads everything, up to the memory limit.
pub async fn collect(
    operator: &mut (dyn Operator + '_),
    execution: &Arc<Execution>,
    reservation: &mut Reservation,
) -> Result<Vec<Row>, SqlError> {
    let mut rows = Vec::new();
    while let Some(batch) = operator.next().await? {
        execution.check()?;
        reservation.grow_rows(&batch)?;
        rows.extend(batch);
    }
    Ok(rows)
}
