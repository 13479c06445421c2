//! EXPLAIN: what a statement's plan does, in MySQL's words. Manual: "EXPLAIN Output Format" (10.8.2).
//!
//! The traditional form and JSON come from [`Block`]s: the tables that a query block reads, in the order of its joins.
//! The tree shows the operators themselves (`tree.rs`). Row counts are the planner's estimates.

pub mod json;
pub mod tree;

use crate::catalog::TableDef;
use crate::sql::plan::rules::{Statistics, estimated_rows};
use crate::sql::plan::{Access, InsertSource, Join, JoinKind, Node, Query, Scan, SetKind, Statement, Subquery};
use crate::sql::plan::{display, walk};
use expr::Expression;
use expr::mysql_type::TypeKind;
use tree::OuterNames;

/// A query block: one SELECT with what stands around its tables.
#[derive(Debug, Default)]
pub struct Block {
    pub id: u64,
    pub select_type: &'static str,
    pub lines: Vec<Line>,
    pub filesort: bool,
    pub temporary: bool,
    pub groups: bool,
    /// What it materialises or runs: derived tables, subqueries, further parts of a union.
    pub inner: Vec<Block>,
    /// Ids of the parts of a union that this is the result of.
    pub union_of: Vec<u64>,
}

/// A table as a block reads it.
#[derive(Debug, Default)]
pub struct Line {
    pub table: String,
    pub access_type: &'static str,
    pub possible_keys: Vec<String>,
    pub key: Option<String>,
    pub key_parts: Vec<String>,
    pub key_length: usize,
    pub references: Vec<String>,
    pub rows: u64,
    /// Percent of the rows that the conditions keep.
    pub filtered: f64,
    pub condition: Option<String>,
    pub columns: Vec<String>,
    pub extra: Vec<String>,
}

/// Builds blocks; ids rise in the order in which they are met.
pub struct Explainer<'s> {
    statistics: &'s dyn Statistics,
    next_id: u64,
}

/// What is above a node, on the way down to its tables.
#[derive(Clone, Default)]
struct Above {
    /// Names of the rows that `Outer` stands for.
    outer: Vec<Vec<String>>,
    extra: Vec<String>,
}

/// The blocks of a statement, the outermost first. None if EXPLAIN has nothing to say of it.
pub fn blocks(statement: &Statement, statistics: &dyn Statistics) -> Option<Vec<Block>> {
    let mut explainer = Explainer { statistics, next_id: 1 };
    let mut blocks = match statement {
        Statement::Query(query) => explainer.query(query, "SIMPLE", &[]),
        Statement::Insert(insert) => {
            let select_type = if insert.replace { "REPLACE" } else { "INSERT" };
            let mut blocks = vec![explainer.target(select_type, &insert.table)];
            if let InsertSource::Query(query) = &insert.source {
                explainer.next_id = 1;
                blocks.extend(explainer.query(query, "SIMPLE", &[]));
            }
            blocks
        }
        Statement::Update(update) => {
            let mut blocks = vec![explainer.block(&update.input, "SIMPLE", (&update.input, &update.subqueries), &[])];
            explainer.mark(&mut blocks[0], "UPDATE", update.targets.iter().map(|target| &*target.table));
            blocks
        }
        Statement::Delete(delete) => {
            let mut blocks = vec![explainer.block(&delete.input, "SIMPLE", (&delete.input, &delete.subqueries), &[])];
            explainer.mark(&mut blocks[0], "DELETE", delete.targets.iter().map(|target| &*target.table));
            blocks
        }
        _ => return None,
    };
    if blocks.len() > 1 || blocks.iter().any(|block| !block.inner.is_empty()) {
        blocks.iter_mut().filter(|block| block.select_type == "SIMPLE").for_each(|block| block.select_type = "PRIMARY");
    }
    Some(blocks)
}

impl Explainer<'_> {
    fn target(&mut self, select_type: &'static str, table: &TableDef) -> Block {
        let line = Line { table: table.name.clone(), access_type: "ALL", filtered: 100.0, ..Line::default() };
        Block { id: 1, select_type, lines: vec![line], ..Block::default() }
    }

    /// The block of UPDATE or DELETE bears its name.
    fn mark<'t>(
        &mut self,
        block: &mut Block,
        select_type: &'static str,
        mut targets: impl Iterator<Item = &'t TableDef>,
    ) {
        if targets.next().is_some() {
            block.select_type = select_type;
        }
    }

    /// The blocks of a query: one, or those of a union with its result.
    fn query(&mut self, query: &Query, select_type: &'static str, outer: &OuterNames) -> Vec<Block> {
        let mut parts = Vec::new();
        let kind = union_parts(&query.root, &mut parts);
        let Some(kind) = kind else {
            return vec![self.block(&query.root, select_type, (&query.root, &query.subqueries), outer)];
        };
        let mut blocks = Vec::new();
        for (position, part) in parts.into_iter().enumerate() {
            let part_type = match (position, select_type) {
                (0, "SIMPLE") => "PRIMARY",
                (0, other) => other,
                (_, "DEPENDENT SUBQUERY") => "DEPENDENT UNION",
                _ => kind.1,
            };
            let subqueries: &[Subquery] = if position == 0 { &query.subqueries } else { &[] };
            blocks.push(self.block(part, part_type, (&query.root, subqueries), outer));
        }
        if kind.0 {
            let union_of = blocks.iter().map(|block| block.id).collect();
            blocks.push(Block { select_type: kind.2, union_of, temporary: true, ..Block::default() });
        }
        blocks
    }

    /// `subqueries`: those to tell of behind it, and the node whose expressions they stand in.
    fn block(
        &mut self,
        root: &Node,
        select_type: &'static str,
        (whole, subqueries): (&Node, &[Subquery]),
        outer: &OuterNames,
    ) -> Block {
        let id = self.next_id;
        self.next_id += 1;
        let mut block = Block { id, select_type, ..Block::default() };
        let above = Above { outer: outer.to_vec(), ..Above::default() };
        self.node(root, &above, &mut block);
        for (position, subquery) in subqueries.iter().enumerate() {
            let kind = if subquery.correlated { "DEPENDENT SUBQUERY" } else { "SUBQUERY" };
            let outer = tree::within(outer, display::names_around(whole, position));
            block.inner.extend(self.query(&subquery.query, kind, &outer));
        }
        let mut extra = Vec::new();
        if block.temporary {
            extra.push("Using temporary".to_owned());
        }
        if block.filesort {
            extra.push("Using filesort".to_owned());
        }
        if let Some(first) = block.lines.first_mut() {
            first.extra.extend(extra);
        }
        block
    }

    fn node(&mut self, node: &Node, above: &Above, block: &mut Block) {
        match node {
            Node::Dual | Node::Values { .. } => {}
            Node::Scan(scan) => block.lines.push(self.scan(scan, above)),
            Node::Virtual(scan) => {
                let mut line =
                    Line { table: scan.table.clone(), access_type: "ALL", filtered: 100.0, ..Line::default() };
                line.rows = estimated_rows(node, self.statistics) as u64;
                line.extra = above.extra.clone();
                block.lines.push(line);
            }
            Node::JsonTable(_) => {
                let mut line =
                    Line { table: "json_table".to_owned(), access_type: "ALL", filtered: 100.0, ..Line::default() };
                line.rows = estimated_rows(node, self.statistics) as u64;
                line.extra = above.extra.clone();
                line.extra.push("Table function: json_table".to_owned());
                block.lines.push(line);
            }
            Node::Filter { input, predicate } => {
                let before = block.lines.len();
                self.node(input, above, block);
                let kept = estimated_rows(node, self.statistics);
                let of = estimated_rows(input, self.statistics).max(1.0);
                let text = tree::text(predicate, &tree::names(input), &above.outer);
                if let Some(line) = block.lines[before..].last_mut() {
                    line.add_condition(text);
                    line.filtered = (line.filtered * (kept / of).min(1.0)).max(0.01);
                }
            }
            Node::Project { input, .. } | Node::Limit { input, .. } => self.node(input, above, block),
            Node::Sort { input, .. } => {
                block.filesort = true;
                self.node(input, above, block);
            }
            Node::Aggregate { input, group_by, .. } => {
                block.groups |= !group_by.is_empty();
                block.temporary |= !group_by.is_empty();
                self.node(input, above, block);
            }
            Node::Window { input, .. } => {
                block.temporary = true;
                block.filesort = true;
                self.node(input, above, block);
            }
            Node::Distinct { input } => {
                block.temporary = true;
                self.node(input, above, block);
            }
            Node::Join(join) => self.join(join, above, block),
            Node::Derived(query) => self.derived(query, node, above, block),
            Node::SetOperation { .. } | Node::RecursiveCte { .. } => {
                let mut parts = Vec::new();
                let types = match node {
                    Node::RecursiveCte { anchor, recursive, .. } => {
                        parts.extend([&**anchor, &**recursive]);
                        ["DERIVED", "UNION"]
                    }
                    _ => {
                        union_parts(node, &mut parts);
                        ["DERIVED", "UNION"]
                    }
                };
                let first = self.next_id;
                for (position, part) in parts.into_iter().enumerate() {
                    let inner = self.block(part, types[position.min(1)], (part, &[]), &above.outer);
                    block.inner.push(inner);
                }
                self.materialised(first, node, above, block);
            }
            Node::WorkingTable { .. } => {
                let mut line =
                    Line { table: "<recursive>".to_owned(), access_type: "ALL", filtered: 100.0, ..Line::default() };
                line.rows = 1;
                line.extra.push("Recursive".to_owned());
                block.lines.push(line);
            }
        }
    }

    fn derived(&mut self, query: &Query, node: &Node, above: &Above, block: &mut Block) {
        let first = self.next_id;
        let inner = self.query(query, "DERIVED", &above.outer);
        block.inner.extend(inner);
        self.materialised(first, node, above, block);
    }

    fn materialised(&mut self, id: u64, node: &Node, above: &Above, block: &mut Block) {
        block.lines.push(Line {
            table: format!("<derived{id}>"),
            access_type: "ALL",
            rows: estimated_rows(node, self.statistics) as u64,
            filtered: 100.0,
            extra: above.extra.clone(),
            ..Line::default()
        });
    }

    fn join(&mut self, join: &Join, above: &Above, block: &mut Block) {
        self.node(&join.left, above, block);
        let left_names = tree::names(&join.left);
        let mut inner = Above { outer: above.outer.clone(), extra: Vec::new() };
        if join.lateral {
            inner.outer.push(left_names.clone());
        }
        match join.kind {
            JoinKind::Semi => inner.extra.push("FirstMatch".to_owned()),
            JoinKind::Anti => inner.extra.push("Not exists".to_owned()),
            _ => {}
        }
        if !join.lateral {
            inner.extra.push("Using join buffer (hash join)".to_owned());
        }
        let before = block.lines.len();
        self.node(&join.right, &inner, block);
        let right_names = tree::names(&join.right);
        if let Some(line) = block.lines[before..].first_mut() {
            for (left, right) in &join.equal {
                let left = tree::text(left, &left_names, &above.outer);
                line.add_condition(format!("({left} = {})", tree::text(right, &right_names, &inner.outer)));
            }
            if let Some(condition) = &join.condition {
                let names: Vec<String> = left_names.iter().chain(&right_names).cloned().collect();
                line.add_condition(tree::text(condition, &names, &above.outer));
            }
        }
    }

    fn scan(&self, scan: &Scan, above: &Above) -> Line {
        let node = Node::Scan(Box::new(scan.clone()));
        let table_rows = self.statistics.rows(&scan.table).max(1) as f64;
        let kept = estimated_rows(&node, self.statistics);
        let columns = scan.columns.iter().filter_map(|at| scan.table.columns.get(*at));
        let mut line = Line {
            table: scan.alias.clone(),
            access_type: access_type(scan),
            possible_keys: possible_keys(scan),
            columns: columns.map(|column| column.name.clone()).collect(),
            extra: above.extra.clone(),
            ..Line::default()
        };
        let examined = match &scan.access {
            Access::Full => table_rows,
            Access::Point { index, keys } => {
                line.set_key(scan, *index, keys.first().map_or(0, Vec::len));
                let first = keys.first().into_iter().flatten();
                line.references = first.map(|part| reference(part, &above.outer)).collect();
                keys.len() as f64
            }
            Access::Range { index, prefix, low, high, descending } => {
                let bounded = usize::from(low.is_some() || high.is_some());
                line.set_key(scan, *index, prefix.len() + bounded);
                if bounded == 0 {
                    line.references = prefix.iter().map(|part| reference(part, &above.outer)).collect();
                } else {
                    line.extra.push("Using index condition".to_owned());
                }
                if *descending {
                    line.extra.push("Backward index scan".to_owned());
                }
                kept
            }
        };
        line.rows = examined.round().max(1.0) as u64;
        line.filtered = (100.0 * kept / examined.max(1.0)).clamp(0.01, 100.0);
        if let Some(filter) = &scan.filter {
            line.add_condition(tree::text(filter, &tree::names(&node), &above.outer));
        }
        line
    }
}

impl Line {
    fn add_condition(&mut self, text: String) {
        self.condition = Some(match self.condition.take() {
            Some(before) => format!("({before} and {text})"),
            None => {
                self.extra.insert(0, "Using where".to_owned());
                text
            }
        });
    }

    fn set_key(&mut self, scan: &Scan, index: usize, parts: usize) {
        let Some(index) = scan.table.indexes.get(index) else { return };
        self.key = Some(index.name.clone());
        for part in index.parts.iter().take(parts) {
            if let Some((_, column)) = scan.table.column_by_id(part.column) {
                self.key_parts.push(column.name.clone());
                self.key_length += key_bytes(&column.ty, part.prefix);
            }
        }
    }
}

/// The parts of a union at the root, from the left. (There is a result to make apart, the type of the further parts, that of
/// the result.)
fn union_parts<'n>(node: &'n Node, parts: &mut Vec<&'n Node>) -> Option<(bool, &'static str, &'static str)> {
    match node {
        Node::SetOperation { kind, all, left, right } => {
            let types = match kind {
                SetKind::Union => (!all, "UNION", "UNION RESULT"),
                SetKind::Intersect => (true, "INTERSECT", "INTERSECT RESULT"),
                SetKind::Except => (true, "EXCEPT", "EXCEPT RESULT"),
            };
            for side in [left, right] {
                if union_parts(side, parts).is_none() {
                    parts.push(side);
                }
            }
            Some(types)
        }
        Node::Sort { input, .. } | Node::Limit { input, .. } => {
            matches!(**input, Node::SetOperation { .. }).then(|| union_parts(input, parts)).flatten()
        }
        _ => None,
    }
}

fn access_type(scan: &Scan) -> &'static str {
    let reads_outer = |parts: &[Expression]| {
        parts.iter().any(|part| walk::any(part, &|inner| matches!(inner, Expression::Outer { .. })))
    };
    match &scan.access {
        Access::Full => "ALL",
        Access::Point { keys, .. } if keys.len() > 1 => "range",
        Access::Point { keys, .. } if keys.iter().any(|key| reads_outer(key)) => "eq_ref",
        Access::Point { .. } => "const",
        Access::Range { low: None, high: None, prefix, .. } if prefix.is_empty() => "index",
        Access::Range { low: None, high: None, .. } => "ref",
        Access::Range { .. } => "range",
    }
}

/// Indexes whose first column a condition names, and the one that is used.
fn possible_keys(scan: &Scan) -> Vec<String> {
    let mut named = Vec::new();
    if let Some(filter) = &scan.filter {
        collect_columns(filter, &mut named);
    }
    let used = match &scan.access {
        Access::Full => None,
        Access::Point { index, .. } | Access::Range { index, .. } => Some(*index),
    };
    let ids: Vec<_> = named
        .iter()
        .filter_map(|at| scan.columns.get(*at))
        .filter_map(|at| scan.table.columns.get(*at))
        .map(|it| it.id)
        .collect();
    let serves = |(position, index): &(usize, &crate::catalog::IndexDef)| {
        !index.building
            && !index.parts.is_empty()
            && (used == Some(*position) || index.parts.first().is_some_and(|part| ids.contains(&part.column)))
    };
    scan.table.indexes.iter().enumerate().filter(serves).map(|(_, index)| index.name.clone()).collect()
}

fn collect_columns(expression: &Expression, columns: &mut Vec<usize>) {
    if let Expression::Column { index, .. } = expression {
        columns.push(*index);
    }
    walk::each_child(expression, &mut |child| collect_columns(child, columns));
}

/// What a part of a key is compared with.
fn reference(part: &Expression, outer: &OuterNames) -> String {
    match part {
        Expression::Literal { .. } | Expression::Parameter { .. } => "const".to_owned(),
        Expression::Outer { level, index, .. } => {
            tree::outer_name(outer, *level, *index).cloned().unwrap_or_else(|| "func".to_owned())
        }
        Expression::Cast { argument, .. } => reference(argument, outer),
        _ => "func".to_owned(),
    }
}

/// Bytes of a part of a key, as MySQL counts them.
fn key_bytes(ty: &expr::MysqlType, prefix: Option<u32>) -> usize {
    let plain = match &ty.kind {
        TypeKind::Int { bytes, .. } => usize::from(*bytes),
        TypeKind::Float { .. } | TypeKind::Timestamp { fsp: 0 } => 4,
        TypeKind::Date | TypeKind::Time { fsp: 0 } => 3,
        TypeKind::DateTime { fsp: 0 } => 5,
        TypeKind::Year => 1,
        _ if ty.is_text() => {
            let characters =
                prefix.map_or_else(|| ty.character_length().unwrap_or(0) as usize, |prefix| prefix as usize);
            let fixed = matches!(ty.kind, TypeKind::Char { .. });
            characters * ty.collation.charset().bytes_max() as usize + if fixed { 0 } else { 2 }
        }
        _ => ty.octet_length().map_or(8, |length| length as usize),
    };
    plain + usize::from(ty.nullable)
}
