//! WITH RECURSIVE.

use crate::sql::bind::set_operation::converted;
use crate::sql::bind::{Binder, Built, Cte, CteDefinition, error};
use crate::sql::parse::ast::syntax::{Query, SetExpr, SetOperator, SetQuantifier};
use crate::sql::plan::{Field, Node};
use expr::mysql_type::MysqlType;
use expr::{ErrorCode, SqlError};
use sqlparser_visit::relations;

/// The one use of sqlparser's visitor.
mod sqlparser_visit {
    use crate::sql::parse::ast::syntax::{ObjectName, Query, visit_relations};
    use std::ops::ControlFlow;

    /// Calls `visit` for the name of every table that a query reads.
    pub fn relations(query: &Query, visit: &mut dyn FnMut(&ObjectName)) {
        let _ = visit_relations(query, |name| {
            visit(name);
            ControlFlow::<()>::Continue(())
        });
    }
}

/// True if the query reads a table of this name without a database.
pub fn names(query: &Query, table: &str) -> bool {
    let mut found = false;
    relations(query, &mut |name| {
        found |= name.0.len() == 1 && name.0[0].as_ident().is_some_and(|ident| ident.value.eq_ignore_ascii_case(table));
    });
    found
}

impl Binder<'_> {
    /// Binds a recursive table: its anchor parts, then its recursive part over the rows of the round before.
    pub fn recursive(&mut self, query: &Query, name: &str, columns: &[String]) -> Result<Built, SqlError> {
        if query.with.is_some() && query.with.as_ref().is_some_and(|with| !with.cte_tables.is_empty()) {
            self.with(query.with.as_ref().unwrap_or(&crate::sql::parse::ast::syntax::With {
                with_token: crate::sql::parse::ast::syntax::helpers::attached_token::AttachedToken::empty(),
                recursive: false,
                cte_tables: Vec::new(),
            }))?;
        }
        let SetExpr::SetOperation { left, op: SetOperator::Union, set_quantifier, right } = query.body.as_ref() else {
            return Err(SqlError::new(
                ErrorCode(3573),
                format!("Recursive Common Table Expression '{name}' should contain a UNION"),
            ));
        };
        let all = *set_quantifier == SetQuantifier::All;
        let anchor = self.set_expression(left)?;
        if !columns.is_empty() && columns.len() != anchor.fields.len() {
            return Err(error::different_columns());
        }
        // Every column may become NULL in a later round.
        let types: Vec<MysqlType> = anchor.fields.iter().map(|field| field.ty.clone().with_nullable(true)).collect();
        let id = self.cte_ids;
        self.cte_ids += 1;
        let names: Vec<String> = match columns {
            [] => anchor.fields.iter().map(|field| field.name.clone()).collect(),
            columns => columns.to_vec(),
        };
        let definition = CteDefinition::Working { id, types: types.clone() };
        self.ctes.push(Cte { name: name.to_owned(), columns: names, definition });
        let recursive = self.set_expression(right);
        self.ctes.pop();
        let recursive = recursive?;
        if recursive.fields.len() != types.len() {
            return Err(error::different_columns());
        }
        let fields = anchor
            .fields
            .iter()
            .zip(&types)
            .map(|(field, ty)| Field { name: field.name.clone(), ty: ty.clone(), origin: None })
            .collect();
        let recursive = Box::new(converted(recursive.root, &recursive.fields, &types));
        let root = Node::RecursiveCte { id, anchor: Box::new(anchor.root), recursive, all };
        let limit = self.limit(query.limit_clause.as_ref())?;
        Ok(Built { root: super::query::limited(root, limit), fields, calc_found_rows: false })
    }
}
