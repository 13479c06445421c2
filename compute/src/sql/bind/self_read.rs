//! Error 1093: a statement that changes a table does not read it in a subquery.
//!
//! What is made before is out of this: a derived table, view or CTE. MySQL decides for some of these to merge them into the
//! query around, and refuses them then; Django and TypeORM write `IN (SELECT * FROM (SELECT ...) AS made)` to have a table
//! made. Manual: "Subquery Errors" (15.2.15.9), "Restrictions on Subqueries" (15.2.15.12).

use crate::catalog::TableDef;
use crate::sql::plan::{Node, Query, Subquery};
use common::id::TableId;
use expr::{ErrorCode, SqlError};

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
pub fn refuse(changed: &[Changed<'_>], subqueries: &[Subquery]) -> Result<(), SqlError> {
    for subquery in subqueries {
        if let Some(found) = changed.iter().find(|changed| reads(&subquery.query, changed)) {
            return Err(SqlError::new(
                ErrorCode(1093),
                format!("You can't specify target table '{}' for update in FROM clause", found.alias),
            ));
        }
    }
    Ok(())
}

fn reads(query: &Query, changed: &Changed<'_>) -> bool {
    node_reads(&query.root, changed) || query.subqueries.iter().any(|subquery| reads(&subquery.query, changed))
}

fn node_reads(node: &Node, changed: &Changed<'_>) -> bool {
    match node {
        Node::Scan(scan) => {
            scan.table.id == changed.table && (!changed.by_name || scan.alias.eq_ignore_ascii_case(changed.alias))
        }
        Node::Derived(_) => false,
        _ => node.inputs().into_iter().any(|input| node_reads(input, changed)),
    }
}
