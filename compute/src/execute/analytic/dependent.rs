//! Which group keys are the same for all rows of a group anyway, because the others have the primary key of their table: rows
//! need not be told apart by them.

use crate::execute::analytic::plan::address;
use crate::execute::row::shape;
use crate::sql::plan::{Node, Scan};
use expr::Expression;
use expr::mysql_type::MysqlType;

/// For each of the group keys over the rows of `input`, whether it depends on others that do not.
pub fn on_others(input: &Node, group_by: &[Expression]) -> Vec<bool> {
    let origins: Vec<Option<(&Scan, usize)>> = group_by
        .iter()
        .map(|key| match key {
            Expression::Column { index, .. } => origin(input, *index),
            _ => None,
        })
        .collect();
    let is_of = |scan: &Scan, other: &Scan| address(scan) == address(other);
    let depends = |origin: &Option<(&Scan, usize)>| {
        let Some((scan, position)) = origin else { return false };
        let Some(key) = primary_key(scan) else { return false };
        let has = |column: &usize| origins.iter().flatten().any(|(other, at)| is_of(scan, other) && at == column);
        !key.contains(position) && key.iter().all(has)
    };
    origins.iter().map(depends).collect()
}

/// For each column of a node, whether it comes from a table's column that holds no NULL. `types`: of the node's columns, where what
/// an outer join made up is nullable.
pub fn never_null(node: &Node, types: &[MysqlType]) -> Vec<bool> {
    types.iter().enumerate().map(|(index, ty)| !ty.nullable && origin(node, index).is_some()).collect()
}

/// Positions of its columns in the table, if rows are told apart by columns.
fn primary_key(scan: &Scan) -> Option<Vec<usize>> {
    let index = scan.table.clustered();
    if index.parts.is_empty() || index.parts.iter().any(|part| part.prefix.is_some()) {
        return None;
    }
    index.parts.iter().map(|part| scan.table.column_by_id(part.column).map(|(position, _)| position)).collect()
}

/// The scan, and the position in its table, that a column of a node comes from unchanged, or as NULL with all others of a row
/// that an outer join made up.
fn origin(node: &Node, column: usize) -> Option<(&Scan, usize)> {
    match node {
        Node::Scan(scan) => Some((scan, *scan.columns.get(column)?)),
        Node::Filter { input, .. }
        | Node::Sort { input, .. }
        | Node::Limit { input, .. }
        | Node::Distinct { input } => origin(input, column),
        Node::Project { input, expressions } => match expressions.get(column)? {
            Expression::Column { index, .. } => origin(input, *index),
            _ => None,
        },
        Node::Join(join) => {
            let left_width = shape::width(&join.left);
            match column < left_width {
                true => origin(&join.left, column),
                false => origin(&join.right, column - left_width),
            }
        }
        Node::Derived(query) => origin(&query.root, column),
        _ => None,
    }
}
