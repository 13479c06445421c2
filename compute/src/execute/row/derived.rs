//! Query blocks inside a FROM clause: derived tables, views, CTEs.

use crate::execute::row::operator::{BoxOperator, Scope, open as open_node};
use crate::sql::plan::Query;
use expr::SqlError;

/// A derived table has subqueries of its own and the same enclosing rows as the block that it stands in.
pub fn open<'q>(query: &'q Query, scope: &Scope<'q>, goal: Option<u64>) -> Result<BoxOperator<'q>, SqlError> {
    open_node(&query.root, &scope.inner(&query.subqueries, None), goal)
}
