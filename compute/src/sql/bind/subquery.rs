//! Subqueries in expressions.

use crate::sql::bind::Binder;
use crate::sql::bind::scope::Boundary;
use crate::sql::parse::ast::syntax::Query;
use crate::sql::plan::{Subquery, SubqueryKind};
use expr::SqlError;
use expr::mysql_type::MysqlType;

impl Binder<'_> {
    /// Binds a subquery of the innermost block: its position in the query's list, and the types of its columns.
    pub fn subquery(&mut self, query: &Query, kind: SubqueryKind) -> Result<(usize, Vec<MysqlType>), SqlError> {
        // The block around it may not have been made, as in `SET @a = (SELECT 1)`.
        self.frame();
        self.block();
        let (query, correlated) = self.framed_query(query, Boundary::Subquery)?;
        let types = query.fields.iter().map(|field| field.ty.clone()).collect();
        let frame = self.block().frame;
        let subqueries = &mut self.frames[frame].subqueries;
        subqueries.push(Subquery { query, kind, correlated });
        Ok((subqueries.len() - 1, types))
    }
}
