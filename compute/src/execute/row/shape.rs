//! Columns of a plan's nodes: how many, of which types.

use crate::execute::codec;
use crate::sql::plan::{JoinKind, Node, Scan};
use expr::mysql_type::MysqlType;

/// How many columns a node gives.
pub fn width(node: &Node) -> usize {
    match node {
        Node::Dual => 0,
        Node::Scan(scan) => scan.columns.len(),
        Node::Virtual(scan) => scan.columns.len(),
        Node::Values { rows } => rows.first().map_or(0, Vec::len),
        Node::Filter { input, .. }
        | Node::Sort { input, .. }
        | Node::Limit { input, .. }
        | Node::Distinct { input } => width(input),
        Node::Project { expressions, .. } => expressions.len(),
        Node::Join(join) => match join.kind {
            JoinKind::Inner | JoinKind::Left => width(&join.left) + width(&join.right),
            JoinKind::Semi | JoinKind::Anti => width(&join.left),
        },
        Node::Aggregate { group_by, aggregates, .. } => group_by.len() + aggregates.len(),
        Node::Window { input, calls } => width(input) + calls.len(),
        Node::SetOperation { left, .. } => width(left),
        Node::RecursiveCte { anchor, .. } => width(anchor),
        Node::WorkingTable { types, .. } => types.len(),
        Node::Derived(query) => query.fields.len(),
        Node::JsonTable(table) => table.table.fields().len(),
    }
}

/// Types of the columns a node gives.
pub fn types(node: &Node) -> Vec<MysqlType> {
    match node {
        Node::Dual => Vec::new(),
        Node::Scan(scan) => scan_types(scan),
        Node::Virtual(scan) => scan.types.clone(),
        Node::Values { rows } => rows.first().map_or_else(Vec::new, |row| row.iter().map(|value| value.ty()).collect()),
        Node::Filter { input, .. }
        | Node::Sort { input, .. }
        | Node::Limit { input, .. }
        | Node::Distinct { input } => types(input),
        Node::Project { expressions, .. } => expressions.iter().map(|expression| expression.ty()).collect(),
        Node::Join(join) => {
            let mut columns = types(&join.left);
            let left_width = columns.len();
            columns.extend(types(&join.right));
            types_of_join(join.kind, &columns, left_width)
        }
        Node::Aggregate { group_by, aggregates, rollup, .. } => {
            let groups = group_by.iter().map(|expression| {
                let ty = expression.ty();
                let nullable = *rollup || ty.nullable;
                ty.with_nullable(nullable)
            });
            groups.chain(aggregates.iter().map(|call| call.ty.clone())).collect()
        }
        Node::Window { input, calls } => {
            let mut columns = types(input);
            columns.extend(calls.iter().map(|call| call.ty.clone()));
            columns
        }
        Node::SetOperation { left, .. } => types(left),
        Node::RecursiveCte { anchor, .. } => types(anchor),
        Node::WorkingTable { types, .. } => types.clone(),
        Node::JsonTable(table) => table.table.fields().into_iter().map(|(_, ty)| ty).collect(),
        Node::Derived(query) => query.fields.iter().map(|field| field.ty.clone()).collect(),
    }
}

pub fn scan_types(scan: &Scan) -> Vec<MysqlType> {
    scan.columns.iter().map(|&column| codec::column_type(&scan.table, column)).collect()
}

/// Types of a join's columns. `both`: of its sides, left then right.
pub fn types_of_join(kind: JoinKind, both: &[MysqlType], left_width: usize) -> Vec<MysqlType> {
    let (left, right) = both.split_at(left_width);
    match kind {
        JoinKind::Semi | JoinKind::Anti => left.to_vec(),
        JoinKind::Inner => both.to_vec(),
        JoinKind::Left => left.iter().cloned().chain(right.iter().map(|ty| ty.clone().with_nullable(true))).collect(),
    }
}
