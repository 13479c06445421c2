//! WITH RECURSIVE.

use crate::sql::bind::{Binder, Built, Cte, CteDefinition, error};
use crate::sql::parse::ast::syntax::{
    GroupByExpr, JoinOperator, ObjectName, Query, SetExpr, SetOperator, SetQuantifier, TableFactor,
};
use crate::sql::plan::{Field, Node};
use expr::mysql_type::MysqlType;
use expr::{ErrorCode, SqlError};
use sqlparser_visit::relations;

/// The one use of sqlparser's visitor.
mod sqlparser_visit {
    use crate::sql::parse::ast::syntax::{
        Expr, ObjectName, Query, SelectItem, SetExpr, visit_expressions, visit_relations,
    };
    use std::ops::ControlFlow;

    /// Calls `visit` for the name of every table that a query reads.
    pub fn relations(query: &Query, visit: &mut dyn FnMut(&ObjectName)) {
        let _ = visit_relations(query, |name| {
            visit(name);
            ControlFlow::<()>::Continue(())
        });
    }

    /// The same of a part of a query.
    pub fn relations_of(part: &SetExpr, visit: &mut dyn FnMut(&ObjectName)) {
        let _ = visit_relations(part, |name| {
            visit(name);
            ControlFlow::<()>::Continue(())
        });
    }

    /// True if a window function is among these.
    pub fn has_window(items: &Vec<SelectItem>) -> bool {
        visit_expressions(items, |expression| match expression {
            Expr::Function(function) if function.over.is_some() => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        })
        .is_break()
    }
}

/// True if the query reads a table of this name without a database, which is none of its own WITH.
pub fn names(query: &Query, table: &str) -> bool {
    let own = query.with.iter().flat_map(|with| &with.cte_tables);
    if own.into_iter().any(|cte| cte.alias.name.value.eq_ignore_ascii_case(table)) {
        return false;
    }
    let mut found = false;
    relations(query, &mut |name| found |= is_name(name, table));
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
        let (left, right, all) = &parts(&query.body, name)?;
        let all = *all;
        let anchor = self.set_expression(left)?;
        if !columns.is_empty() && columns.len() != anchor.fields.len() {
            return Err(super::table::wrong_list());
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
        self.ctes.push(Cte { name: name.to_owned(), columns: names.clone(), definition });
        let recursive = self.set_expression(right);
        self.ctes.pop();
        let recursive = recursive?;
        check_recursive(right, name)?;
        if recursive.fields.len() != types.len() {
            return Err(error::different_columns());
        }
        let fields = anchor
            .fields
            .iter()
            .zip(&types)
            .map(|(field, ty)| Field { name: field.name.clone(), ty: ty.clone(), origin: None })
            .collect();
        let (anchor, recursive) = (Box::new(anchor.root), Box::new(recursive.root));
        let root = Node::RecursiveCte { id, names, anchor, recursive, all };
        let limit = self.limit(query.limit_clause.as_ref())?;
        Ok(Built { root: super::query::limited(root, limit), fields, calc_found_rows: false })
    }
}

/// The parts of a recursive query: those before that read the table, those that do, and whether all unions of these are
/// UNION ALL.
fn parts<'q>(body: &'q SetExpr, name: &str) -> Result<(&'q SetExpr, SetExpr, bool), SqlError> {
    let reads = |part: &SetExpr| {
        let mut found = false;
        sqlparser_visit::relations_of(part, &mut |table| found |= is_name(table, name));
        found
    };
    let SetExpr::SetOperation { op: SetOperator::Union, .. } = body else {
        let text = format!("Recursive Common Table Expression '{name}' should contain a UNION");
        return Err(SqlError::new(ErrorCode(3573), text));
    };
    let misplaced = || {
        let text = format!(
            "Recursive Common Table Expression '{name}' should have one or more non-recursive query blocks followed by \
             one or more recursive ones"
        );
        SqlError::new(ErrorCode(3574), text)
    };
    let mut rest = body;
    let mut recursive: Option<SetExpr> = None;
    let mut all = true;
    while let SetExpr::SetOperation { left, op: SetOperator::Union, set_quantifier, right } = rest {
        if !reads(right) {
            return Err(misplaced());
        }
        all &= *set_quantifier == SetQuantifier::All;
        recursive = Some(match recursive {
            None => (**right).clone(),
            Some(later) => SetExpr::SetOperation {
                left: right.clone(),
                op: SetOperator::Union,
                set_quantifier: SetQuantifier::All,
                right: Box::new(later),
            },
        });
        if !reads(left) {
            break;
        }
        rest = left;
    }
    match (rest, recursive) {
        (SetExpr::SetOperation { left, op: SetOperator::Union, .. }, Some(recursive)) => Ok((left, recursive, all)),
        _ => Err(misplaced()),
    }
}

/// A recursive part names the table once, in its own FROM, not behind an outer join, and neither groups nor aggregates.
fn check_recursive(part: &SetExpr, name: &str) -> Result<(), SqlError> {
    if let SetExpr::SetOperation { left, right, .. } = part {
        check_recursive(left, name)?;
        return check_recursive(right, name);
    }
    let SetExpr::Select(select) = part else { return Ok(()) };
    let block =
        format!("In recursive query block of Recursive Common Table Expression '{name}', the recursive table must");
    let is_it = |factor: &TableFactor| matches!(factor, TableFactor::Table { name: found, .. } if is_name(found, name));
    let mut direct = 0;
    let mut outer = false;
    for table in &select.from {
        direct += usize::from(is_it(&table.relation));
        let mut left_is = is_it(&table.relation);
        for join in &table.joins {
            let right_is = is_it(&join.relation);
            direct += usize::from(right_is);
            outer |= match &join.join_operator {
                JoinOperator::Left(_) | JoinOperator::LeftOuter(_) => right_is,
                JoinOperator::Right(_) | JoinOperator::RightOuter(_) => left_is,
                _ => false,
            };
            left_is |= right_is;
        }
    }
    let mut all = 0;
    sqlparser_visit::relations_of(part, &mut |found| all += usize::from(is_name(found, name)));
    if all > 1 || all != direct {
        let text = format!("{block} be referenced only once, and not in any subquery");
        return Err(SqlError::new(ErrorCode(3577), text));
    }
    if outer {
        let text = format!(
            "{block} neither be in the right argument of a LEFT JOIN, nor be forced to be non-first with join order hints"
        );
        return Err(SqlError::new(ErrorCode(3576), text));
    }
    let grouped = matches!(&select.group_by, GroupByExpr::Expressions(keys, _) if !keys.is_empty());
    if all > 0 && (grouped || sqlparser_visit::has_window(&select.projection)) {
        let text = format!(
            "Recursive Common Table Expression '{name}' can contain neither aggregation nor window functions in recursive \
             query block"
        );
        return Err(SqlError::new(ErrorCode(3575), text));
    }
    Ok(())
}

fn is_name(found: &ObjectName, name: &str) -> bool {
    found.0.len() == 1 && found.0[0].as_ident().is_some_and(|ident| ident.value.eq_ignore_ascii_case(name))
}
