//! EXPLAIN FORMAT=TREE: the operators, each with its inputs below it, in the words of MySQL's tree.

use crate::sql::plan::rules::{Statistics, estimated_rows};
use crate::sql::plan::{Access, Bound, Join, JoinKind, Node, Query, Scan, SetKind, SortKey, Subquery, display, walk};
use expr::Expression;
use std::fmt::Write;

/// What was measured of one operator.
#[derive(Debug, Clone, Copy, Default)]
pub struct Measured {
    pub loops: u64,
    pub rows: u64,
    /// Milliseconds until the first and the last row, over all loops.
    pub first_ms: f64,
    pub total_ms: f64,
}

/// What a running plan measured, by the address of a node; None for a node that did not run.
pub type Measurements<'m> = &'m dyn Fn(usize) -> Option<Measured>;

pub fn address(node: &Node) -> usize {
    std::ptr::from_ref(node) as usize
}

struct Writer<'w> {
    statistics: &'w dyn Statistics,
    measured: Option<Measurements<'w>>,
    out: String,
}

/// A query's tree. `measured`: EXPLAIN ANALYZE.
pub fn query(query: &Query, statistics: &dyn Statistics, measured: Option<Measurements<'_>>) -> String {
    let mut writer = Writer { statistics, measured, out: String::new() };
    writer.query(query, 0, &[]);
    writer.out
}

/// The tree of the rows that a statement changes, below a line that says what it does with them.
pub fn change(head: &str, input: &Node, subqueries: &[Subquery], statistics: &dyn Statistics) -> String {
    let mut writer = Writer { statistics, measured: None, out: String::new() };
    writer.line(0, head, None);
    writer.node(input, 1, &[]);
    writer.subqueries(subqueries, input, 0, &[]);
    writer.out
}

pub fn names(node: &Node) -> Vec<String> {
    display::names(node)
}

/// Where names of outer rows begin, while a text is made.
const OUTER: usize = 1 << 40;

/// What the columns of the rows around a node are called, those of the nearest row last.
pub type OuterNames = [Vec<String>];

/// `outer`, and one row nearer.
pub fn within(outer: &OuterNames, names: Vec<String>) -> Vec<Vec<String>> {
    outer.iter().cloned().chain([names]).collect()
}

/// The name of a column of a row that many levels out.
pub fn outer_name(outer: &OuterNames, level: usize, index: usize) -> Option<&String> {
    outer.len().checked_sub(level).and_then(|row| outer[row].get(index))
}

/// An expression in words; `outer` names the rows around it.
pub fn text(expression: &Expression, names: &[String], outer: &OuterNames) -> String {
    let mut expression = expression.clone();
    let mut read = Vec::new();
    fn name_outer(expression: &mut Expression, outer: &OuterNames, read: &mut Vec<String>) {
        if let Expression::Outer { level, index, ty } = expression {
            read.push(outer_name(outer, *level, *index).cloned().unwrap_or_else(|| "outer".to_owned()));
            *expression = Expression::Column { index: OUTER + read.len() - 1, ty: ty.clone() };
            return;
        }
        walk::each_child_mut(expression, &mut |child| name_outer(child, outer, read));
    }
    name_outer(&mut expression, outer, &mut read);
    let name = |index: usize| match index.checked_sub(OUTER) {
        Some(index) => read.get(index).cloned().unwrap_or_default(),
        None => names.get(index).cloned().unwrap_or_else(|| format!("column {}", index + 1)),
    };
    expression.with_names(name).to_string()
}

fn texts(expressions: &[Expression], names: &[String], outer: &OuterNames) -> String {
    expressions.iter().map(|expression| text(expression, names, outer)).collect::<Vec<_>>().join(", ")
}

impl Writer<'_> {
    fn query(&mut self, query: &Query, depth: usize, outer: &OuterNames) {
        self.node(&query.root, depth, outer);
        self.subqueries(&query.subqueries, &query.root, depth, outer);
    }

    fn subqueries(&mut self, subqueries: &[Subquery], root: &Node, depth: usize, outer: &OuterNames) {
        for (position, subquery) in subqueries.iter().enumerate() {
            let how = if subquery.correlated { "dependent" } else { "run only once" };
            self.line(depth, &format!("Select #{} (subquery; {how})", position + 2), None);
            let names = display::names_around(root, position);
            self.query(&subquery.query, depth + 1, &within(outer, names));
        }
    }

    fn line(&mut self, depth: usize, text: &str, node: Option<&Node>) {
        let _ = write!(self.out, "{:width$}-> {text}", "", width = depth * 4);
        if let Some(node) = node {
            let rows = estimated_rows(node, self.statistics);
            let _ =
                write!(self.out, "  (rows={})", if rows < 10.0 { (rows * 10.0).round() / 10.0 } else { rows.round() });
            if let Some(measured) = self.measured {
                match measured(address(node)) {
                    Some(found) => {
                        let loops = found.loops.max(1) as f64;
                        let _ = write!(
                            self.out,
                            " (actual time={:.3}..{:.3} rows={} loops={})",
                            found.first_ms / loops,
                            found.total_ms / loops,
                            (found.rows as f64 / loops * 100.0).round() / 100.0,
                            found.loops
                        );
                    }
                    None => self.out.push_str(" (never executed)"),
                }
            }
        }
        self.out.push('\n');
    }

    fn node(&mut self, node: &Node, depth: usize, outer: &OuterNames) {
        let own = |writer: &mut Self, text: &str| writer.line(depth, text, Some(node));
        match node {
            Node::Dual => own(self, "Rows fetched before execution"),
            Node::Values { rows } => own(self, &format!("Rows of VALUES ({} rows)", rows.len())),
            Node::JsonTable(_) => own(self, "Materialize table function"),
            Node::Virtual(scan) => own(self, &format!("Table scan on {}.{}", scan.database, scan.table)),
            Node::Scan(scan) => self.scan(scan, node, depth, outer),
            Node::Filter { input, predicate } => {
                own(self, &format!("Filter: {}", text(predicate, &names(input), outer)));
                self.node(input, depth + 1, outer);
            }
            // What it computes is not worth a line.
            Node::Project { input, .. } => self.node(input, depth, outer),
            Node::Join(join) => self.join(join, node, depth, outer),
            Node::Aggregate { input, group_by, rollup, aggregates } => {
                let all = names(node);
                let calls = all[all.len().saturating_sub(aggregates.len())..].join(", ");
                let head = match group_by.is_empty() {
                    true => format!("Aggregate: {calls}"),
                    false => {
                        let groups = texts(group_by, &names(input), outer);
                        let rollup = if *rollup { " with rollup" } else { "" };
                        let calls = if calls.is_empty() { String::new() } else { format!(": {calls}") };
                        format!("Aggregate using temporary table{calls}, group by {groups}{rollup}")
                    }
                };
                own(self, &head);
                self.node(input, depth + 1, outer);
            }
            Node::Window { input, calls } => {
                let all = names(node);
                own(self, &format!("Window aggregate: {}", all[all.len().saturating_sub(calls.len())..].join(", ")));
                self.node(input, depth + 1, outer);
            }
            Node::Sort { input, keys } => {
                own(self, &format!("Sort: {}", sort_text(keys, &names(input), outer)));
                self.node(input, depth + 1, outer);
            }
            Node::Limit { input, offset, count } => {
                let number = |part: &Option<Expression>| part.as_ref().map(|part| text(part, &[], &[]));
                own(
                    self,
                    &match (number(count), number(offset)) {
                        (Some(count), None) => format!("Limit: {count} row(s)"),
                        (Some(count), Some(offset)) => format!("Limit/Offset: {count}/{offset} row(s)"),
                        (None, offset) => format!("Offset: {} row(s)", offset.unwrap_or_default()),
                    },
                );
                self.node(input, depth + 1, outer);
            }
            Node::Distinct { input } => {
                own(self, "Temporary table with deduplication");
                self.node(input, depth + 1, outer);
            }
            Node::SetOperation { kind, all, left, right } => {
                own(
                    self,
                    match (kind, all) {
                        (SetKind::Union, true) => "Append",
                        (SetKind::Union, false) => "Union materialize with deduplication",
                        (SetKind::Intersect, _) => "Intersect materialize",
                        (SetKind::Except, _) => "Except materialize",
                    },
                );
                self.node(left, depth + 1, outer);
                self.node(right, depth + 1, outer);
            }
            Node::RecursiveCte { anchor, recursive, .. } => {
                own(self, "Materialize recursive CTE");
                self.node(anchor, depth + 1, outer);
                self.line(depth + 1, "Repeat until convergence", None);
                self.node(recursive, depth + 2, outer);
            }
            Node::WorkingTable { .. } => own(self, "Scan new records of the recursive CTE"),
            Node::Derived(query) => {
                own(self, "Rows of a derived table");
                self.query(query, depth + 1, outer);
            }
        }
    }

    fn join(&mut self, join: &Join, node: &Node, depth: usize, outer: &OuterNames) {
        let kind = match join.kind {
            JoinKind::Inner => "inner join",
            JoinKind::Left => "left join",
            JoinKind::Semi => "semijoin",
            JoinKind::Anti => "antijoin",
        };
        let (left, right) = (names(&join.left), names(&join.right));
        let mut head = match join.lateral {
            true => format!("Nested loop {kind}"),
            false => {
                let pairs: Vec<String> = join
                    .equal
                    .iter()
                    .map(|(a, b)| format!("({} = {})", text(a, &left, outer), text(b, &right, outer)))
                    .collect();
                let kind = kind
                    .replacen("join", "hash join", 1)
                    .replace("semihash", "hash semi")
                    .replace("antihash", "hash anti");
                let kind = kind.replace("hash semi join", "hash semijoin").replace("hash anti join", "hash antijoin");
                let condition = if pairs.is_empty() { "(no condition)".to_owned() } else { pairs.join(", ") };
                format!("{}{} {condition}", kind[..1].to_uppercase(), &kind[1..])
            }
        };
        if let Some(condition) = &join.condition {
            let all: Vec<String> = left.iter().chain(&right).cloned().collect();
            let _ = write!(head, ", extra conditions: {}", text(condition, &all, outer));
        }
        self.line(depth, &head, Some(node));
        self.node(&join.left, depth + 1, outer);
        match join.lateral {
            true => self.node(&join.right, depth + 1, &within(outer, left)),
            false => self.node(&join.right, depth + 1, outer),
        }
    }

    fn scan(&mut self, scan: &Scan, node: &Node, depth: usize, outer: &OuterNames) {
        let names = names(node);
        let mut depth = depth;
        if let Some(filter) = &scan.filter {
            self.line(depth, &format!("Filter: {}", text(filter, &names, outer)), None);
            depth += 1;
        }
        self.line(depth, &scan_text(scan, outer), Some(node));
    }
}

fn sort_text(keys: &[SortKey], names: &[String], outer: &OuterNames) -> String {
    let one = |key: &SortKey| text(&key.expression, names, outer) + if key.descending { " DESC" } else { "" };
    keys.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn scan_text(scan: &Scan, outer: &OuterNames) -> String {
    let alias = &scan.alias;
    let part_name = |index: usize, part: usize| {
        let part = scan.table.indexes.get(index).and_then(|index| index.parts.get(part));
        let column = part.and_then(|part| scan.table.column_by_id(part.column));
        column.map_or_else(|| "row_id".to_owned(), |(_, column)| column.name.clone())
    };
    let index_name = |index: usize| scan.table.indexes.get(index).map_or("?", |index| index.name.as_str());
    let equalities = |index: usize, values: &[Expression]| {
        let one = |(at, value): (usize, &Expression)| format!("{}={}", part_name(index, at), text(value, &[], outer));
        values.iter().enumerate().map(one).collect::<Vec<_>>().join(", ")
    };
    let lock = match scan.lock {
        Some(lock) if lock.mode == common::service::wal::LockMode::Exclusive => ", locking for update",
        Some(_) => ", locking for share",
        None => "",
    };
    let found = match &scan.access {
        Access::Full => format!("Table scan on {alias}"),
        Access::Point { index, keys } => match keys.as_slice() {
            [key] => {
                format!("Single-row index lookup on {alias} using {} ({})", index_name(*index), equalities(*index, key))
            }
            keys => {
                let all: Vec<String> = keys.iter().map(|key| format!("({})", equalities(*index, key))).collect();
                let shown = if all.len() > 8 {
                    format!("{} OR ({} more)", all[..8].join(" OR "), all.len() - 8)
                } else {
                    all.join(" OR ")
                };
                format!("Index range scan on {alias} using {} over {shown}", index_name(*index))
            }
        },
        Access::Range { index, prefix, low, high, descending } => {
            let reverse = if *descending { " (reverse)" } else { "" };
            if low.is_none() && high.is_none() {
                match prefix.is_empty() {
                    true => format!("Index scan on {alias} using {}{reverse}", index_name(*index)),
                    false => format!(
                        "Index lookup on {alias} using {} ({}){reverse}",
                        index_name(*index),
                        equalities(*index, prefix)
                    ),
                }
            } else {
                let column = part_name(*index, prefix.len());
                let bound = |bound: &Bound, sign: &str| {
                    format!("{} {sign}{}", text(&bound.value, &[], outer), if bound.inclusive { "=" } else { "" })
                };
                let mut over = equalities(*index, prefix);
                if !over.is_empty() {
                    over += " AND ";
                }
                if let Some(low) = low {
                    over += &format!("{} ", bound(low, "<"));
                }
                over += &column;
                if let Some(high) = high {
                    let sign = if high.inclusive { "<=" } else { "<" };
                    over += &format!(" {sign} {}", text(&high.value, &[], outer));
                }
                format!("Index range scan on {alias} using {} over ({over}){reverse}", index_name(*index))
            }
        }
    };
    found + lock
}
