//! FROM: tables, derived tables and their joins.

use crate::sql::bind::expression::operator;
use crate::sql::bind::literal::integer;
use crate::sql::bind::scope::{Boundary, Clause, Scope};
use crate::sql::bind::table::{derived, renamed};
use crate::sql::bind::{Binder, column_type, error, partition};
use crate::sql::parse::ast::Name;
use crate::sql::parse::ast::syntax::{
    Ident, Join as JoinSyntax, JoinConstraint, JoinOperator, ObjectName, TableAlias, TableFactor, TableIndexHintType,
    TableIndexHints, TableWithJoins,
};
use crate::sql::plan::{IndexHint, IndexHintKind, Join, JoinKind, Node};
use expr::expression::Comparison;
use expr::{ErrorCode, Expression, SqlError};

/// A part of FROM: what gives the rows, and what may be named.
type Relation = (Node, Scope);

impl Binder<'_> {
    /// Binds FROM into the innermost block's scope.
    pub fn from(&mut self, tables: &[TableWithJoins]) -> Result<Node, SqlError> {
        let mut bound: Option<Relation> = None;
        for table in tables {
            let left = bound.take();
            bound = Some(self.joined(left, table)?);
        }
        let (node, scope) = bound.unwrap_or((Node::Dual, Scope::default()));
        self.block().scope = scope;
        Ok(node)
    }

    /// A table with its joins, after what stands before the comma.
    fn joined(&mut self, before: Option<Relation>, table: &TableWithJoins) -> Result<Relation, SqlError> {
        // A lateral table sees what is left of it.
        self.block().scope = before.as_ref().map(|(_, scope)| scope.clone()).unwrap_or_default();
        let (first, lateral) = self.factor(&table.relation, before.is_some())?;
        let (mut relation, mut before) = match (lateral, before) {
            (true, Some(before)) => (combine(before, first, JoinKind::Inner, true)?, None),
            (_, before) => (first, before),
        };
        for join in &table.joins {
            relation = self.join(relation, join)?;
        }
        match before.take() {
            Some(before) => combine(before, relation, JoinKind::Inner, false),
            None => Ok(relation),
        }
    }

    fn join(&mut self, left: Relation, join: &JoinSyntax) -> Result<Relation, SqlError> {
        // Only what the join's left side has is one level out.
        let before = std::mem::replace(&mut self.block().scope, left.1.clone());
        let (right, lateral) = self.factor(&join.relation, true)?;
        if !lateral {
            self.block().scope = before;
        }
        let (kind, reversed, constraint) = match &join.join_operator {
            JoinOperator::Join(constraint)
            | JoinOperator::Inner(constraint)
            | JoinOperator::CrossJoin(constraint)
            | JoinOperator::StraightJoin(constraint) => (JoinKind::Inner, false, constraint),
            JoinOperator::Left(constraint) | JoinOperator::LeftOuter(constraint) => (JoinKind::Left, false, constraint),
            JoinOperator::Right(constraint) | JoinOperator::RightOuter(constraint) => {
                (JoinKind::Left, true, constraint)
            }
            _ => return Err(SqlError::not_supported("FULL OUTER JOIN")),
        };
        if kind == JoinKind::Left && matches!(constraint, JoinConstraint::None) {
            return Err(SqlError::new(
                ErrorCode::PARSE_ERROR,
                "You have an error in your SQL syntax; an outer join needs ON or USING",
            ));
        }
        if lateral && reversed {
            let alias = right.1.tables.first().map_or("", |table| table.alias.as_str());
            let text = format!("INNER or LEFT JOIN must be used for LATERAL references made by '{alias}'");
            return Err(SqlError::new(ErrorCode(3668), text));
        }
        let (condition, mut scope) = self.constrained(&left.1, &right.1, reversed, constraint)?;
        if kind == JoinKind::Left {
            // The far side may be missing: the right one, or the left one of a RIGHT JOIN.
            for column in &mut scope.columns {
                let is_left = column.table < left.1.tables.len();
                column.ty.nullable |= is_left == reversed;
            }
        }
        let (near, far) = if reversed { (right.0, left.0) } else { (left.0, right.0) };
        let join = Join { kind, left: near, right: far, equal: Vec::new(), condition, lateral };
        Ok((Node::Join(Box::new(join)), scope))
    }

    /// The join's condition over both rows, and the scope of its result. `reversed`: the right row comes first.
    fn constrained(
        &mut self,
        left: &Scope,
        right: &Scope,
        reversed: bool,
        constraint: &JoinConstraint,
    ) -> Result<(Option<Expression>, Scope), SqlError> {
        let mut scope = left.clone();
        scope.append(right.clone())?;
        if reversed {
            for column in &mut scope.columns {
                column.index =
                    if column.index < left.width { column.index + right.width } else { column.index - left.width };
            }
        }
        match constraint {
            JoinConstraint::None => Ok((None, scope)),
            JoinConstraint::On(condition) => {
                let (outer_scope, outer_clause) = {
                    let block = self.block();
                    (std::mem::replace(&mut block.scope, scope), std::mem::replace(&mut block.clause, Clause::On))
                };
                let bound = self.condition(condition);
                let block = self.block();
                let scope = std::mem::replace(&mut block.scope, outer_scope);
                block.clause = outer_clause;
                Ok((Some(bound?), scope))
            }
            JoinConstraint::Using(columns) => {
                let names: Vec<String> = columns.iter().map(column_type::plain_name).collect();
                self.using(left, right, reversed, scope, &names)
            }
            JoinConstraint::Natural => {
                let visible = |scope: &Scope| -> Vec<String> {
                    scope.columns.iter().filter(|column| !column.merged).map(|column| column.name.clone()).collect()
                };
                let others = visible(right);
                let names: Vec<String> = visible(left)
                    .into_iter()
                    .filter(|name| others.iter().any(|other| other.eq_ignore_ascii_case(name)))
                    .collect();
                self.using(left, right, reversed, scope, &names)
            }
        }
    }

    /// USING: one column for each name, first in the result.
    fn using(
        &mut self,
        left: &Scope,
        right: &Scope,
        reversed: bool,
        mut scope: Scope,
        names: &[String],
    ) -> Result<(Option<Expression>, Scope), SqlError> {
        let mut conditions = Vec::new();
        let mut first = Vec::new();
        for name in names {
            let path = [name.clone()];
            let position = |side: &Scope| -> Result<usize, SqlError> {
                let found = side.find(&path, "from clause")?;
                found.map_or(Ok(()), |column| side.check_read(column))?;
                let index = found.map(|column| column.index);
                index
                    .and_then(|index| {
                        side.columns.iter().position(|column| {
                            column.index == index && !column.merged && column.name.eq_ignore_ascii_case(name)
                        })
                    })
                    .ok_or_else(|| error::unknown_column(name, "from clause"))
            };
            let (at_left, at_right) = (position(left)?, left.columns.len() + position(right)?);
            let column =
                |at: usize, scope: &Scope| Expression::column(scope.columns[at].index, scope.columns[at].ty.clone());
            let condition = self.compare(column(at_left, &scope), Comparison::Equal, column(at_right, &scope))?;
            conditions.push(condition);
            let (kept, hidden) = if reversed { (at_right, at_left) } else { (at_left, at_right) };
            scope.columns[hidden].merged = true;
            first.push(kept);
        }
        let mut columns: Vec<_> = first.iter().map(|at| scope.columns[*at].clone()).collect();
        columns.extend(
            scope.columns.iter().enumerate().filter(|(at, _)| !first.contains(at)).map(|(_, column)| column.clone()),
        );
        scope.columns = columns;
        let condition = match conditions.len() {
            0 => None,
            1 => conditions.pop(),
            _ => Some(Expression::And(conditions)),
        };
        Ok((condition, scope))
    }

    /// One table, and whether it reads the rows to its left, of which there may be none.
    fn factor(&mut self, factor: &TableFactor, has_left: bool) -> Result<(Relation, bool), SqlError> {
        let boundary = if has_left { Boundary::Lateral } else { Boundary::Derived };
        match factor {
            TableFactor::JsonTable { json_expr, json_path, columns, alias } => {
                let Some(alias) = alias else {
                    return Err(SqlError::new(ErrorCode(3667), "Every table function must have an alias"));
                };
                let name = &alias.name.value;
                let (query, correlated) = self.json_table(json_expr, json_path, columns, name, boundary)?;
                Ok((derived(query, name, None), has_left && correlated))
            }
            TableFactor::Derived { lateral: true, .. } => Ok((self.plain_factor(factor, boundary)?, has_left)),
            _ => Ok((self.plain_factor(factor, Boundary::Derived)?, false)),
        }
    }

    fn plain_factor(&mut self, factor: &TableFactor, boundary: Boundary) -> Result<Relation, SqlError> {
        match factor {
            TableFactor::Table { name, alias, args: None, index_hints, version: None, partitions, .. } => {
                let name = table_name(name)?;
                if name.database.is_none() && name.name.eq_ignore_ascii_case("dual") && alias.is_none() {
                    return Ok((Node::Dual, Scope::default()));
                }
                let hints = index_hints.iter().map(index_hint).collect();
                let relation = self.relation(&name, alias.as_ref().map(|alias| alias.name.value.as_str()), hints)?;
                match partitions.as_slice() {
                    [] => Ok(relation),
                    names => self.in_partitions(relation, names),
                }
            }
            TableFactor::Derived { subquery, alias, .. } => {
                let Some(TableAlias { name, columns, .. }) = alias else {
                    return Err(SqlError::new(
                        ErrorCode::DERIVED_MUST_HAVE_ALIAS,
                        "Every derived table must have its own alias",
                    ));
                };
                let (query, _) = self.framed_query(subquery, boundary)?;
                let columns: Vec<String> = columns.iter().map(|column| column.name.value.clone()).collect();
                let query = renamed(query, &columns)?;
                unique_names(&query)?;
                Ok(derived(query, &name.value, None))
            }
            TableFactor::NestedJoin { table_with_joins, .. } => self.joined(None, table_with_joins),
            other => Err(SqlError::not_supported(other)),
        }
    }
}

impl Binder<'_> {
    /// `t PARTITION (p)`: the rows whose partition is one of these.
    fn in_partitions(&mut self, (node, scope): Relation, names: &[Ident]) -> Result<Relation, SqlError> {
        let Some(table) = scope.tables.first().and_then(|table| table.definition.clone()) else {
            return Err(SqlError::new(ErrorCode(1747), "PARTITION () clause on non partitioned table"));
        };
        let partitioning = partition::of_table(&table)?;
        let names: Vec<String> = names.iter().map(|name| name.value.clone()).collect();
        let numbers = partition::numbers(&partitioning, &names, &table.name)?;
        self.partition_sets.push((scope.tables[0].alias.clone(), numbers.clone()));
        let text = partition::membership(&partitioning, &table);
        let mut operands = vec![partition::settled(super::bind_table_expression(&text, &table, &self.context)?)];
        operands.extend(numbers.into_iter().map(|number| integer(number as i64)));
        let predicate = operator("IN", operands)?;
        Ok((Node::Filter { input: Box::new(node), predicate }, scope))
    }
}

fn unique_names(query: &crate::sql::plan::Query) -> Result<(), SqlError> {
    for (position, field) in query.fields.iter().enumerate() {
        if query.fields[..position].iter().any(|other| other.name.eq_ignore_ascii_case(&field.name)) {
            return Err(SqlError::new(ErrorCode::DUP_FIELDNAME, format!("Duplicate column name '{}'", field.name)));
        }
    }
    Ok(())
}

fn combine(left: Relation, right: Relation, kind: JoinKind, lateral: bool) -> Result<Relation, SqlError> {
    let (left_node, mut scope) = left;
    let (right_node, right_scope) = right;
    scope.append(right_scope)?;
    let node = match (left_node, right_node) {
        (Node::Dual, node) | (node, Node::Dual) => node,
        (left, right) => Node::Join(Box::new(Join { kind, left, right, equal: Vec::new(), condition: None, lateral })),
    };
    Ok((node, scope))
}

/// One or two parts.
pub fn table_name(name: &ObjectName) -> Result<Name, SqlError> {
    let parts: Vec<String> = name.0.iter().filter_map(|part| part.as_ident()).map(|part| part.value.clone()).collect();
    match parts.as_slice() {
        [name] => Ok(Name { database: None, name: name.clone() }),
        [database, name] => Ok(Name { database: Some(database.clone()), name: name.clone() }),
        _ => Err(SqlError::not_supported(name)),
    }
}

fn index_hint(hint: &TableIndexHints) -> IndexHint {
    IndexHint {
        kind: match hint.hint_type {
            TableIndexHintType::Use => IndexHintKind::Use,
            TableIndexHintType::Force => IndexHintKind::Force,
            TableIndexHintType::Ignore => IndexHintKind::Ignore,
        },
        indexes: hint.index_names.iter().map(|name| name.value.clone()).collect(),
    }
}
