//! Rules that turn the binder's plans into plans that read less.
//!
//! [`optimise`] stands between the binder and the executors. Every rule keeps the rows a plan gives (in any order that
//! the plan does not fix) and its columns, by position. Rules run block by block; subqueries once it is known which of them stay,
//! and before their keys are chosen.
//!
//! What always holds
//! - Volatile functions, assignments and user variables stay where they are and are evaluated as often as before.
//! - A subquery belongs to one expression only ([`inline`] sees to it), so moving that expression may change it.
//! - The rows of UPDATE and DELETE keep all their columns at their places.

mod access;
mod estimate;
pub mod expressions;
mod factor;
mod fold;
mod inline;
mod join_keys;
mod join_order;
mod lookup;
mod order;
mod outer_join;
mod prune;
mod push_down;
mod selectivity;
mod unnest;

use crate::catalog::TableDef;
use crate::sql::plan::{Ddl, InsertSource, Node, Query, Show, Statement, Subquery};
use common::id::ColumnId;
use common::service::page::ColumnFigures;
use std::sync::Arc;

/// What is known about tables without reading them.
pub trait Statistics: Send + Sync {
    /// How many rows a table has, about.
    fn rows(&self, table: &TableDef) -> u64;

    fn unnesting(&self) -> Unnesting {
        Unnesting::ByCost
    }

    /// What is known of a column's values.
    fn column(&self, _table: &TableDef, _column: ColumnId) -> Option<Arc<ColumnFigures>> {
        None
    }
}

/// Whether subqueries that read the rows around them, and IN, become joins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unnesting {
    Never,
    /// Where less is read then.
    #[default]
    ByCost,
    /// Wherever they can.
    Always,
}

/// A block's subqueries, with what the rules need to know of the world.
struct Block<'s> {
    subqueries: Vec<Subquery>,
    statistics: &'s dyn Statistics,
}

/// How many rows a node gives, about, for EXPLAIN.
pub fn estimated_rows(node: &Node, statistics: &dyn Statistics) -> f64 {
    estimate::rows(node, &Block { subqueries: Vec::new(), statistics })
}

/// What may be done to a block's rows besides finding them faster.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// A query: only its result counts.
    Free,
    /// Input of UPDATE or DELETE: columns and scans stay as they are.
    Target,
}

/// Improves all queries of a statement.
pub fn optimise(statement: Statement, statistics: &dyn Statistics) -> Statement {
    match statement {
        Statement::Query(query) => Statement::Query(optimise_query(query, statistics)),
        Statement::Do(query) => Statement::Do(optimise_query(query, statistics)),
        Statement::Show(Show::Query(query)) => Statement::Show(Show::Query(optimise_query(query, statistics))),
        Statement::Explain { statement, format, analyze } => {
            Statement::Explain { statement: Box::new(optimise(*statement, statistics)), format, analyze }
        }
        Statement::Insert(mut insert) => {
            if let InsertSource::Query(query) = insert.source {
                insert.source = InsertSource::Query(optimise_query(query, statistics));
            }
            optimise_subqueries(&mut insert.subqueries, statistics);
            Statement::Insert(insert)
        }
        Statement::Update(mut update) => {
            let assigned = update.targets.iter().flat_map(|target| &target.assignments);
            let outside =
                assigned.filter_map(|(_, value)| value.as_ref()).flat_map(expressions::subqueries_of).collect();
            let input = std::mem::replace(&mut update.input, Node::Dual);
            let subqueries = std::mem::take(&mut update.subqueries);
            (update.input, update.subqueries) = optimise_block(input, subqueries, outside, Shape::Target, statistics);
            Statement::Update(update)
        }
        Statement::Delete(mut delete) => {
            let input = std::mem::replace(&mut delete.input, Node::Dual);
            let subqueries = std::mem::take(&mut delete.subqueries);
            (delete.input, delete.subqueries) =
                optimise_block(input, subqueries, Vec::new(), Shape::Target, statistics);
            Statement::Delete(delete)
        }
        Statement::Ddl(Ddl::CreateTable(mut create)) => {
            create.source = create.source.map(|query| optimise_query(query, statistics));
            Statement::Ddl(Ddl::CreateTable(create))
        }
        other => other,
    }
}

/// Improves a query and all queries in it.
pub fn optimise_query(mut query: Query, statistics: &dyn Statistics) -> Query {
    let root = std::mem::replace(&mut query.root, Node::Dual);
    let subqueries = std::mem::take(&mut query.subqueries);
    (query.root, query.subqueries) = optimise_block(root, subqueries, Vec::new(), Shape::Free, statistics);
    query
}

fn optimise_subqueries(subqueries: &mut Vec<Subquery>, statistics: &dyn Statistics) {
    *subqueries = std::mem::take(subqueries)
        .into_iter()
        .map(|subquery| Subquery { query: optimise_query(subquery.query, statistics), ..subquery })
        .collect();
}

/// All rules over one block. `outside`: subqueries that stand in expressions which are not in the block's nodes.
fn optimise_block(
    root: Node,
    mut subqueries: Vec<Subquery>,
    outside: Vec<usize>,
    shape: Shape,
    statistics: &dyn Statistics,
) -> (Node, Vec<Subquery>) {
    let mut root = inline::inline_derived(root, &mut subqueries);
    inline::unshare(&mut root, &mut subqueries, outside);
    let mut block = Block { subqueries, statistics };
    fold::fold_node(&mut root);
    let mut root = inline::pull_projects(root, &mut block);
    root = push_down::push(root, Vec::new(), &mut block);
    if shape == Shape::Free {
        root = inline::pull_projects(join_order::reorder(root, &mut block), &mut block);
        root = unnest::unnest(root, &mut block);
        inline::drop_unused(&mut root, &mut block.subqueries);
    }
    optimise_subqueries(&mut block.subqueries, statistics);
    if shape == Shape::Free {
        root = prune::prune_root(root, &mut block);
    }
    join_keys::extract(&mut root, &mut block);
    access::choose_all(&mut root, &block);
    lookup::convert(&mut root, &mut block);
    root = order::drop_sorts(root, &block);
    (root, block.subqueries)
}
