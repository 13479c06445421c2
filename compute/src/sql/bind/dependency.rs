//! Functional dependence: which columns have one value within a group. Manual: "Detection of Functional Dependence"
//! (14.19.4).

use crate::sql::bind::scope::Scope;
use crate::sql::plan::{JoinKind, Node};
use expr::Expression;
use std::collections::HashSet;

/// Columns with one value for each group.
pub struct Determined {
    columns: HashSet<usize>,
}

impl Determined {
    pub fn by(groups: &[Expression], equalities: &[(usize, Option<usize>)], scope: &Scope) -> Determined {
        let mut columns: HashSet<usize> = groups
            .iter()
            .filter_map(|group| match group {
                Expression::Column { index, .. } => Some(*index),
                _ => None,
            })
            .collect();
        loop {
            let before = columns.len();
            for (left, right) in equalities {
                match right {
                    None => {
                        columns.insert(*left);
                    }
                    Some(right) if columns.contains(left) || columns.contains(right) => {
                        columns.extend([*left, *right]);
                    }
                    Some(_) => {}
                }
            }
            for table in 0..scope.tables.len() {
                add_table(scope, table, &mut columns);
            }
            if columns.len() == before {
                return Determined { columns };
            }
        }
    }

    pub fn has(&self, column: usize) -> bool {
        self.columns.contains(&column)
    }
}

/// A table's columns, if those of a unique key without NULLs are known.
fn add_table(scope: &Scope, table: usize, columns: &mut HashSet<usize>) {
    let of_table = || scope.columns.iter().filter(|column| column.table == table).map(|column| column.index);
    let Some(definition) = &scope.tables[table].definition else {
        // Columns of a derived table follow each other.
        let first = of_table().min().unwrap_or(0);
        let known = |key: &Vec<usize>| key.iter().all(|column| columns.contains(&(first + column)));
        if scope.tables[table].keys.iter().any(known) {
            columns.extend(of_table());
        }
        return;
    };
    let position = |name: &str| {
        scope.columns.iter().find(|column| column.table == table && column.name == name).map(|column| column.index)
    };
    let known = definition.indexes.iter().any(|index| {
        index.unique
            && !index.parts.is_empty()
            && index.parts.iter().all(|part| {
                definition.column_by_id(part.column).is_some_and(|(_, column)| {
                    part.prefix.is_none()
                        && !column.ty.nullable
                        && position(&column.name).is_some_and(|at| columns.contains(&at))
                })
            })
    });
    if known {
        columns.extend(scope.columns.iter().filter(|column| column.table == table).map(|column| column.index));
    }
}

/// Columns of a query's result that no two rows have in common: those of a key of its only table, its groups, or all if it
/// is DISTINCT.
pub fn keys(root: &Node) -> Vec<Vec<usize>> {
    match root {
        Node::Sort { input, .. } | Node::Limit { input, .. } | Node::Filter { input, .. } => keys(input),
        Node::Distinct { input } => {
            let mut all = keys(input);
            all.push((0..crate::sql::plan::walk::types(input).len()).collect());
            all
        }
        Node::Aggregate { group_by, rollup: false, .. } if !group_by.is_empty() => {
            vec![(0..group_by.len()).collect()]
        }
        Node::Scan(scan) => {
            let position = |part: &crate::catalog::schema::IndexPart| {
                let (at, column) = scan.table.column_by_id(part.column)?;
                let whole = part.prefix.is_none() && !column.ty.nullable;
                whole.then(|| scan.columns.iter().position(|given| *given == at))?
            };
            let unique = scan.table.indexes.iter().filter(|index| index.unique && !index.parts.is_empty());
            unique.filter_map(|index| index.parts.iter().map(position).collect()).collect()
        }
        Node::Derived(query) => keys(&query.root),
        Node::Project { input, expressions } => {
            let place = |column: usize| {
                expressions.iter().position(|it| matches!(it, Expression::Column { index, .. } if *index == column))
            };
            keys(input).into_iter().filter_map(|key| key.into_iter().map(place).collect()).collect()
        }
        _ => Vec::new(),
    }
}

/// Pairs of columns that every row of the node has equal; None beside a column that has one value.
pub fn equalities(node: &Node) -> Vec<(usize, Option<usize>)> {
    let mut found = Vec::new();
    collect(node, 0, &mut found);
    found
}

fn collect(node: &Node, base: usize, found: &mut Vec<(usize, Option<usize>)>) {
    match node {
        Node::Filter { input, predicate } => {
            conjunct(predicate, base, found);
            collect(input, base, found);
        }
        Node::Join(join) => {
            let left = crate::sql::plan::walk::types(&join.left).len();
            // The far side of an outer join is determined by the near side's equal columns all the same.
            if let Some(condition) = &join.condition {
                conjunct(condition, base, found);
            }
            collect(&join.left, base, found);
            if join.kind == JoinKind::Inner {
                collect(&join.right, base + left, found);
            }
        }
        _ => {}
    }
}

fn conjunct(expression: &Expression, base: usize, found: &mut Vec<(usize, Option<usize>)>) {
    match expression {
        Expression::And(parts) => parts.iter().for_each(|part| conjunct(part, base, found)),
        Expression::Call { function, arguments, .. } if function.name == "=" => match arguments.as_slice() {
            [Expression::Column { index: left, .. }, Expression::Column { index: right, .. }] => {
                found.push((base + left, Some(base + right)))
            }
            [Expression::Column { index, .. }, constant] | [constant, Expression::Column { index, .. }]
                if is_constant(constant) =>
            {
                found.push((base + index, None))
            }
            _ => {}
        },
        _ => {}
    }
}

fn is_constant(expression: &Expression) -> bool {
    !crate::sql::plan::walk::any(expression, &|part| {
        matches!(part, Expression::Column { .. } | Expression::Subquery { .. } | Expression::Quantified { .. })
    })
}
