//! Error 1093: a statement that changes a table does not read it in a subquery.
//!
//! What MySQL makes a temporary table of is out of this: a derived table, view or CTE that is not merged into the query
//! around it, because of what it has or because `optimizer_switch` has `derived_merge=off`. Manual: "Subquery Errors" (15.2.15.9), "Optimizing Derived Tables" (10.2.2.4).

use crate::catalog::TableDef;
use crate::sql::plan::rules::Merging;
use crate::sql::plan::{Node, Query, Subquery, walk};
use common::id::TableId;
use expr::{ErrorCode, Expression, SqlError};

/// A table that a statement changes, by the name that it has there.
pub struct Changed<'t> {
    table: TableId,
    alias: &'t str,
    by_name: bool,
}

impl<'t> Changed<'t> {
    /// Not to be read under any name: UPDATE and DELETE.
    pub fn whole(table: &TableDef, alias: &'t str) -> Changed<'t> {
        Changed { table: table.id, alias, by_name: false }
    }

    /// To be read under another name: INSERT ... VALUES and REPLACE.
    pub fn by_name(table: &'t TableDef) -> Changed<'t> {
        Changed { table: table.id, alias: &table.name, by_name: true }
    }
}

/// Error 1093 if a subquery reads one of the tables. The tables of the statement itself are not looked at.
pub fn refuse(
    changed: &[Changed<'_>],
    input: Option<&Node>,
    subqueries: &[Subquery],
    merging: Merging,
) -> Result<(), SqlError> {
    let of_from = input.into_iter().flat_map(|input| merging.subqueries_below(input)).collect::<Vec<_>>();
    let read = subqueries.iter().map(|subquery| &subquery.query).chain(of_from);
    for query in read {
        if let Some(found) = changed.iter().find(|changed| merging.reads(query, changed)) {
            return Err(SqlError::new(
                ErrorCode(1093),
                format!("You can't specify target table '{}' for update in FROM clause", found.alias),
            ));
        }
    }
    Ok(())
}

impl Merging {
    /// Subqueries of derived tables that are merged.
    fn subqueries_below(self, node: &Node) -> Vec<&Query> {
        match node {
            Node::Derived(query) if self.merges(query) => {
                let inner = query.subqueries.iter().map(|subquery| &subquery.query);
                inner.chain(self.subqueries_below(&query.root)).collect()
            }
            _ => node.inputs().into_iter().flat_map(|input| self.subqueries_below(input)).collect(),
        }
    }

    fn reads(self, query: &Query, changed: &Changed<'_>) -> bool {
        let mut subqueries = query.subqueries.iter();
        self.node_reads(&query.root, changed) || subqueries.any(|subquery| self.reads(&subquery.query, changed))
    }

    fn node_reads(self, node: &Node, changed: &Changed<'_>) -> bool {
        match node {
            Node::Scan(scan) => {
                scan.table.id == changed.table && (!changed.by_name || scan.alias.eq_ignore_ascii_case(changed.alias))
            }
            Node::Derived(query) => self.merges(query) && self.reads(query, changed),
            _ => node.inputs().into_iter().any(|input| self.node_reads(input, changed)),
        }
    }

    fn merges(self, query: &Query) -> bool {
        self == Merging::WherePossible && can_be_merged(query)
    }
}

/// Whether a derived table can be part of the query around it, and need not be a table of its own.
fn can_be_merged(query: &Query) -> bool {
    let is_assignment = |part: &Expression| matches!(part, Expression::Assign { .. });
    let is_subquery = |part: &Expression| matches!(part, Expression::Subquery { .. } | Expression::Quantified { .. });
    let mut node = &query.root;
    loop {
        node = match node {
            Node::Project { input, expressions } => {
                if expressions.iter().any(|item| walk::any(item, &|part| is_assignment(part) || is_subquery(part))) {
                    return false;
                }
                input
            }
            Node::Filter { input, .. } | Node::Sort { input, .. } => input,
            Node::Scan(_) | Node::Virtual(_) | Node::Join(_) | Node::Derived(_) | Node::JsonTable(_) => return true,
            _ => return false,
        }
    }
}
