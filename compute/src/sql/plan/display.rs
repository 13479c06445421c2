//! Plans as text: one line for a node, its inputs below it, further in. For EXPLAIN and for tests of the rules.

use crate::sql::plan::{Access, Bound, IndexHintKind, JoinKind, Node, Query, Scan, SetKind, SortKey, walk};
use expr::Expression;
use std::fmt::Write;

/// A query as an indented tree; its subqueries follow.
pub fn query_text(query: &Query) -> String {
    let mut out = String::new();
    write_query(query, 0, &mut out);
    out
}

/// A node as an indented tree.
pub fn node_text(node: &Node) -> String {
    let mut out = String::new();
    write_node(node, 0, &mut out);
    out
}

fn write_query(query: &Query, depth: usize, out: &mut String) {
    write_node(&query.root, depth, out);
    for (position, subquery) in query.subqueries.iter().enumerate() {
        let correlated = if subquery.correlated { ", correlated" } else { "" };
        line(depth, &format!("subquery {} ({:?}{correlated})", position + 1, subquery.kind), out);
        write_query(&subquery.query, depth + 1, out);
    }
}

fn line(depth: usize, text: &str, out: &mut String) {
    for _ in 0..depth {
        out.push_str("  ");
    }
    out.push_str(text);
    out.push('\n');
}

/// What the columns of a node are called.
pub fn names(node: &Node) -> Vec<String> {
    match node {
        Node::Scan(scan) => {
            let name = |column: &usize| match scan.table.columns.get(*column) {
                Some(column) => format!("{}.{}", scan.alias, column.name),
                None => format!("{}.row_id", scan.alias),
            };
            scan.columns.iter().map(name).collect()
        }
        Node::Filter { input, .. }
        | Node::Sort { input, .. }
        | Node::Limit { input, .. }
        | Node::Distinct { input } => names(input),
        Node::Project { input, expressions } => texts(expressions, &names(input)),
        Node::Join(join) => match join.kind {
            JoinKind::Inner | JoinKind::Left => pair_names(&join.left, &join.right),
            JoinKind::Semi | JoinKind::Anti => names(&join.left),
        },
        Node::Aggregate { input, group_by, aggregates, .. } => {
            let below = names(input);
            let mut all = texts(group_by, &below);
            all.extend(aggregates.iter().map(|call| {
                let distinct = if call.distinct { "distinct " } else { "" };
                let name = format!("{:?}", call.function).to_lowercase();
                format!("{name}({distinct}{})", texts(&call.arguments, &below).join(", "))
            }));
            all
        }
        Node::Window { input, calls } => {
            let below = names(input);
            let mut all = below.clone();
            all.extend(calls.iter().map(|call| {
                let name = format!("{:?}", call.function).to_lowercase();
                format!("{name}({}) over", texts(&call.arguments, &below).join(", "))
            }));
            all
        }
        Node::SetOperation { left, .. } => names(left),
        Node::RecursiveCte { anchor, .. } => names(anchor),
        Node::Derived(query) => query.fields.iter().map(|field| field.name.clone()).collect(),
        other => (0..walk::types(other).len()).map(|at| format!("column {}", at + 1)).collect(),
    }
}

/// What the columns of the row around a subquery are called: of the row on which the expression with it is evaluated.
pub fn names_around(root: &Node, id: usize) -> Vec<String> {
    // Nodes are walked as what may be changed.
    around(&mut root.clone(), id).unwrap_or_else(|| names(root))
}

fn around(node: &mut Node, id: usize) -> Option<Vec<String>> {
    let holds = |expression: &Expression| {
        walk::any(expression, &|part| match part {
            Expression::Subquery { id: found, .. } | Expression::Quantified { id: found, .. } => *found == id,
            _ => false,
        })
    };
    if let Node::Join(join) = node
        && join.equal.iter().any(|(_, right)| holds(right))
    {
        return Some(names(&join.right));
    }
    let mut held = false;
    walk::each_expression_mut(node, &mut |expression| held |= holds(expression));
    let mut found = None;
    match node {
        Node::Join(join) if held => found = Some(pair_names(&join.left, &join.right)),
        Node::Scan(_) if held => found = Some(names(node)),
        _ if held => walk::each_input_mut(node, &mut |input| found = Some(names(input))),
        _ => walk::each_input_mut(node, &mut |input| found = found.take().or_else(|| around(input, id))),
    }
    found
}

fn pair_names(left: &Node, right: &Node) -> Vec<String> {
    let mut all = names(left);
    all.extend(names(right));
    all
}

fn text(expression: &Expression, names: &[String]) -> String {
    let name = |index: usize| names.get(index).cloned().unwrap_or_else(|| format!("column {}", index + 1));
    expression.with_names(name).to_string()
}

fn texts(expressions: &[Expression], names: &[String]) -> Vec<String> {
    expressions.iter().map(|expression| text(expression, names)).collect()
}

fn sort_texts(keys: &[SortKey], names: &[String]) -> String {
    let one = |key: &SortKey| text(&key.expression, names) + if key.descending { " desc" } else { "" };
    keys.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn write_node(node: &Node, depth: usize, out: &mut String) {
    let below = |input: &Node, out: &mut String| write_node(input, depth + 1, out);
    match node {
        Node::Dual => line(depth, "dual", out),
        Node::Scan(scan) => line(depth, &scan_text(scan), out),
        Node::Virtual(scan) => line(depth, &format!("virtual {}.{}", scan.database, scan.table), out),
        Node::JsonTable(table) => line(depth, &format!("json_table of {}", text(&table.document, &[])), out),
        Node::Values { rows } => line(depth, &format!("values ({} rows)", rows.len()), out),
        Node::Filter { input, predicate } => {
            line(depth, &format!("filter {}", text(predicate, &names(input))), out);
            below(input, out);
        }
        Node::Project { input, expressions } => {
            line(depth, &format!("project {}", texts(expressions, &names(input)).join(", ")), out);
            below(input, out);
        }
        Node::Join(join) => {
            let mut head = format!("{} join", format!("{:?}", join.kind).to_lowercase());
            if join.lateral {
                head.push_str(" lateral");
            }
            for (left, right) in &join.equal {
                let _ = write!(head, " [{} = {}]", text(left, &names(&join.left)), text(right, &names(&join.right)));
            }
            if let Some(condition) = &join.condition {
                let _ = write!(head, " on {}", text(condition, &pair_names(&join.left, &join.right)));
            }
            line(depth, &head, out);
            below(&join.left, out);
            below(&join.right, out);
        }
        Node::Aggregate { input, rollup, .. } => {
            let rollup = if *rollup { " with rollup" } else { "" };
            line(depth, &format!("aggregate {}{rollup}", names(node).join(", ")), out);
            below(input, out);
        }
        Node::Window { input, calls } => {
            let all = names(node);
            line(depth, &format!("window {}", all[all.len() - calls.len()..].join(", ")), out);
            below(input, out);
        }
        Node::Sort { input, keys } => {
            line(depth, &format!("sort {}", sort_texts(keys, &names(input))), out);
            below(input, out);
        }
        Node::Limit { input, offset, count } => {
            let mut head = "limit".to_owned();
            if let Some(count) = count {
                let _ = write!(head, " {count}");
            }
            if let Some(offset) = offset {
                let _ = write!(head, " offset {offset}");
            }
            line(depth, &head, out);
            below(input, out);
        }
        Node::Distinct { input } => {
            line(depth, "distinct", out);
            below(input, out);
        }
        Node::SetOperation { kind, all, left, right } => {
            let name = match kind {
                SetKind::Union => "union",
                SetKind::Intersect => "intersect",
                SetKind::Except => "except",
            };
            line(depth, &format!("{name}{}", if *all { " all" } else { "" }), out);
            below(left, out);
            below(right, out);
        }
        Node::RecursiveCte { id, anchor, recursive, .. } => {
            line(depth, &format!("recursive {id}"), out);
            below(anchor, out);
            below(recursive, out);
        }
        Node::WorkingTable { id, .. } => line(depth, &format!("rows of the round before of {id}"), out),
        Node::Derived(query) => {
            line(depth, "derived", out);
            write_query(query, depth + 1, out);
        }
    }
}

/// `scan t (a, b) range PRIMARY = (1), b >= 2 filter (t.a = 1)`
fn scan_text(scan: &Scan) -> String {
    let names = names(&Node::Scan(Box::new(scan.clone())));
    let columns: Vec<&str> = names.iter().map(|name| &name[scan.alias.len() + 1..]).collect();
    let mut text = format!("scan {} ({})", scan.alias, columns.join(", "));
    let index = |position: usize| scan.table.indexes.get(position).map_or("?", |index| index.name.as_str());
    match &scan.access {
        Access::Full => {}
        Access::Point { index: position, keys } => {
            let keys: Vec<String> = keys.iter().map(|key| format!("({})", texts(key, &[]).join(", "))).collect();
            let _ = write!(text, " point {} {}", index(*position), keys.join(" "));
        }
        Access::Range { index: position, prefix, low, high, descending } => {
            let _ = write!(text, " range {}", index(*position));
            if !prefix.is_empty() {
                let _ = write!(text, " = ({})", texts(prefix, &[]).join(", "));
            }
            let bound = |sign: char, bound: &Bound| {
                format!(" {sign}{} {}", if bound.inclusive { "=" } else { "" }, self::text(&bound.value, &[]))
            };
            text.extend(low.iter().map(|low| bound('>', low)));
            text.extend(high.iter().map(|high| bound('<', high)));
            text.push_str(if *descending { " backward" } else { "" });
        }
    }
    if let Some(filter) = &scan.filter {
        let _ = write!(text, " filter {}", self::text(filter, &names));
    }
    if let Some(lock) = &scan.lock {
        let _ = write!(text, " lock {:?}", lock.mode);
    }
    for hint in &scan.hints {
        let kind = match hint.kind {
            IndexHintKind::Use => "use",
            IndexHintKind::Force => "force",
            IndexHintKind::Ignore => "ignore",
        };
        let _ = write!(text, " {kind} ({})", hint.indexes.join(", "));
    }
    text
}
