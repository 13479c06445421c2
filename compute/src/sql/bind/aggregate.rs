//! Grouping: from the row of FROM to the row of groups and aggregates.

use crate::sql::bind::call::add_aggregate;
use crate::sql::bind::dependency::Determined;
use crate::sql::bind::scope::Scope;
use crate::sql::bind::{AGGREGATES, WINDOWS};
use crate::sql::plan::{AggregateCall, Node, Subquery, walk};
use expr::aggregate::AggregateFunction;
use expr::eval::SqlMode;
use expr::mysql_type::MysqlType;
use expr::{ErrorCode, Expression, SqlError};

/// Positions from here on stand for group values while expressions are moved.
const GROUPS: usize = 1 << 42;

/// What a SELECT groups by, and what its expressions need of the groups.
pub struct Grouping<'a> {
    pub scope: &'a Scope,
    pub group_by: Vec<Expression>,
    pub rollup: bool,
    pub aggregates: Vec<AggregateCall>,
    /// Columns that WHERE and inner joins make equal to another, or to a constant.
    pub equalities: Vec<(usize, Option<usize>)>,
    pub sql_mode: SqlMode,
}

impl Grouping<'_> {
    /// The node that groups, if there are groups, with the expressions moved to its row, and the row's width.
    pub fn apply(
        mut self,
        node: Node,
        expressions: Vec<&mut Expression>,
        subqueries: &mut [Subquery],
    ) -> Result<(Node, usize), SqlError> {
        let real =
            |call: &AggregateCall| !matches!(call.function, AggregateFunction::AnyValue | AggregateFunction::Grouping);
        if self.group_by.is_empty() && !self.aggregates.iter().any(real) {
            // ANY_VALUE alone does not group.
            let aggregates = self.aggregates;
            for expression in expressions {
                walk::map_columns(expression, subqueries, &mut |index, ty| {
                    let call = index.checked_sub(AGGREGATES).filter(|_| index < WINDOWS);
                    match call.and_then(|call| aggregates.get(call)).and_then(|call| call.arguments.first()) {
                        Some(argument) => argument.clone(),
                        None => Expression::Column { index, ty: ty.clone() },
                    }
                });
            }
            return Ok((node, self.scope.width));
        }
        let determined = Determined::by(&self.group_by, &self.equalities, self.scope);
        let groups = self.group_by.len();
        let mut problem = None;
        for (position, expression) in expressions.into_iter().enumerate() {
            self.replace_groups(expression);
            let (group_by, scope, rollup) = (&self.group_by, self.scope, self.rollup);
            let (aggregates, sql_mode, problem) = (&mut self.aggregates, self.sql_mode, &mut problem);
            walk::map_columns(expression, subqueries, &mut |index, ty| {
                if index >= GROUPS {
                    let ty = ty.clone().with_nullable(ty.nullable || rollup);
                    return Expression::Column { index: index - GROUPS, ty };
                }
                if index >= WINDOWS {
                    return Expression::Column { index, ty: ty.clone() };
                }
                if index >= AGGREGATES {
                    return Expression::Column { index: groups + index - AGGREGATES, ty: ty.clone() };
                }
                let group = group_by
                    .iter()
                    .position(|group| matches!(group, Expression::Column { index: at, .. } if *at == index));
                if let Some(group) = group {
                    let ty = ty.clone().with_nullable(ty.nullable || rollup);
                    return Expression::Column { index: group, ty };
                }
                if sql_mode.has(SqlMode::ONLY_FULL_GROUP_BY) && !determined.has(index) && problem.is_none() {
                    *problem = Some(not_grouped(scope, index, position, group_by.is_empty()));
                }
                any_value(aggregates, groups, index, ty)
            });
        }
        if let Some(problem) = problem {
            return Err(problem);
        }
        let width = groups + self.aggregates.len();
        let node = Node::Aggregate {
            input: Box::new(node),
            group_by: self.group_by,
            rollup: self.rollup,
            aggregates: self.aggregates,
        };
        Ok((node, width))
    }

    /// Puts placeholders where a whole expression is one of the groups.
    fn replace_groups(&self, expression: &mut Expression) {
        if matches!(expression, Expression::Literal { .. }) {
            return;
        }
        if let Some(group) = self.group_by.iter().position(|group| group.is_same(expression)) {
            *expression = Expression::Column { index: GROUPS + group, ty: expression.ty() };
            return;
        }
        walk::each_child_mut(expression, &mut |child| self.replace_groups(child));
    }
}

/// A column that is no group: the value of any row.
fn any_value(aggregates: &mut Vec<AggregateCall>, groups: usize, index: usize, ty: &MysqlType) -> Expression {
    let call = AggregateCall {
        function: AggregateFunction::AnyValue,
        arguments: vec![Expression::Column { index, ty: ty.clone() }],
        distinct: false,
        order_by: Vec::new(),
        separator: None,
        ty: ty.clone().with_nullable(true),
    };
    let ty = call.ty.clone();
    Expression::Column { index: groups + add_aggregate(aggregates, call), ty }
}

/// 1055, or 1140 without GROUP BY.
fn not_grouped(scope: &Scope, index: usize, position: usize, no_groups: bool) -> SqlError {
    let column = scope.columns.iter().find(|column| column.index == index);
    let name = column.map_or_else(String::new, |column| {
        let table = &scope.tables[column.table];
        match &table.database {
            Some(database) => format!("{database}.{}.{}", table.alias, column.name),
            None => format!("{}.{}", table.alias, column.name),
        }
    });
    if no_groups {
        return SqlError::new(
            ErrorCode::MIX_OF_GROUP_FUNC_AND_FIELDS,
            format!(
                "In aggregated query without GROUP BY, expression #{} of SELECT list contains nonaggregated column \
                 '{name}'; this is incompatible with sql_mode=only_full_group_by",
                position + 1
            ),
        );
    }
    SqlError::new(
        ErrorCode::WRONG_FIELD_WITH_GROUP,
        format!(
            "Expression #{} of SELECT list is not in GROUP BY clause and contains nonaggregated column '{name}' which \
             is not functionally dependent on columns in GROUP BY clause; this is incompatible with \
             sql_mode=only_full_group_by",
            position + 1
        ),
    )
}
