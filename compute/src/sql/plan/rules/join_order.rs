//! The order of inner joins: from the table with the fewest rows on, along conditions, the smaller side in memory.

use super::Block;
use super::expressions::{Columns, columns_of, conjunction, conjuncts, is_pinned, map_inputs, move_columns};
use super::selectivity::Column;
use super::{estimate, join_keys, lookup};
use crate::sql::plan::{Join, JoinKind, Node, Scan, walk};
use expr::Expression;
use expr::mysql_type::MysqlType;

/// Tables of one chain, at most; choosing is quadratic in them.
const LEAVES_MAX: usize = 32;

/// Reorders all chains of inner joins in a node; its columns stay where they are.
pub fn reorder(mut node: Node, block: &mut Block) -> Node {
    if !is_chain(&node) {
        map_inputs(&mut node, &mut |input| reorder(input, block));
        return node;
    }
    let mut chain = Chain::default();
    chain.flatten(node, 0, block);
    if chain.leaves.len() > LEAVES_MAX {
        return chain.in_order(block);
    }
    chain.greedy(block)
}

fn is_chain(node: &Node) -> bool {
    match node {
        Node::Join(join) => {
            join.kind == JoinKind::Inner
                && !join.lateral
                && join.equal.is_empty()
                && join.condition.as_ref().is_none_or(|condition| !is_pinned(condition))
        }
        _ => false,
    }
}

/// Joined tables, with what joins them over the columns of all of them in their first order.
#[derive(Default)]
struct Chain {
    leaves: Vec<Leaf>,
    conditions: Vec<Expression>,
}

struct Leaf {
    node: Option<Node>,
    /// Where its columns begin.
    base: usize,
    types: Vec<MysqlType>,
    rows: f64,
}

/// What has been joined so far.
struct Joined {
    node: Node,
    /// Leaves in the order of its columns.
    layout: Vec<usize>,
    width: usize,
    rows: f64,
}

impl Chain {
    fn flatten(&mut self, node: Node, base: usize, block: &mut Block) {
        if !is_chain(&node) {
            let node = reorder(node, block);
            let types = walk::types(&node);
            let rows = estimate::rows(&node, block);
            self.leaves.push(Leaf { node: Some(node), base, types, rows });
            return;
        }
        let Node::Join(join) = node else { return };
        let left_width = walk::types(&join.left).len();
        for mut part in conjuncts(join.condition) {
            move_columns(&mut part, &mut block.subqueries, &|column| column + base);
            self.conditions.push(part);
        }
        self.flatten(join.left, base, block);
        self.flatten(join.right, base + left_width, block);
    }

    fn leaf_of(&self, column: usize) -> usize {
        self.leaves.partition_point(|leaf| leaf.base <= column).saturating_sub(1)
    }

    /// Where a column is, in a layout of leaves.
    fn place(&self, layout: &[usize], column: usize) -> usize {
        let leaf = self.leaf_of(column);
        let before = layout.iter().take_while(|other| **other != leaf).map(|other| self.leaves[*other].types.len());
        before.sum::<usize>() + column - self.leaves[leaf].base
    }

    fn start(&mut self, leaf: usize) -> Joined {
        let node = self.leaves[leaf].node.take().unwrap_or(Node::Dual);
        let Leaf { types, rows, .. } = &self.leaves[leaf];
        Joined { node, layout: vec![leaf], width: types.len(), rows: *rows }
    }

    fn in_order(mut self, block: &mut Block) -> Node {
        let mut joined = self.start(0);
        for leaf in 1..self.leaves.len() {
            joined = self.join(joined, leaf, false, block);
        }
        joined.node
    }

    fn greedy(mut self, block: &mut Block) -> Node {
        let by_rows = |left: &usize, right: &usize| self.leaves[*left].rows.total_cmp(&self.leaves[*right].rows);
        let first = (0..self.leaves.len()).min_by(by_rows).unwrap_or(0);
        let mut joined = self.start(first);
        while let Some(next) = self.next(&joined, block) {
            joined = self.join(joined, next, true, block);
        }
        let is_in_place = joined.layout.is_sorted();
        if is_in_place {
            return joined.node;
        }
        let mut expressions = Vec::new();
        for leaf in &self.leaves {
            for (offset, ty) in leaf.types.iter().enumerate() {
                expressions.push(Expression::column(self.place(&joined.layout, leaf.base + offset), ty.clone()));
            }
        }
        Node::Project { input: Box::new(joined.node), expressions }
    }

    /// The leaf to join next: one that a condition connects, with the fewest rows; without any, the smallest.
    fn next(&self, joined: &Joined, block: &mut Block) -> Option<usize> {
        let read: Vec<Columns> =
            self.conditions.iter().map(|condition| columns_of(condition, &mut block.subqueries)).collect();
        let is_connected = |leaf: usize| {
            read.iter().any(|columns| {
                let leaves: Vec<usize> = columns.iter().map(|column| self.leaf_of(*column)).collect();
                leaves.contains(&leaf)
                    && leaves.iter().any(|other| joined.layout.contains(other))
                    && leaves.iter().all(|other| *other == leaf || joined.layout.contains(other))
            })
        };
        let left = (0..self.leaves.len()).filter(|leaf| !joined.layout.contains(leaf));
        left.min_by(|one, other| {
            let key = |leaf: usize| (!is_connected(leaf), self.leaves[leaf].rows);
            let (one, other) = (key(*one), key(*other));
            one.0.cmp(&other.0).then(one.1.total_cmp(&other.1))
        })
    }

    /// Joins a leaf, with all conditions that can be told then. `may_turn`: the bigger side may go to the left, where it
    /// is not held in memory.
    fn join(&mut self, joined: Joined, leaf: usize, may_turn: bool, block: &mut Block) -> Joined {
        let mut layout = joined.layout.clone();
        layout.push(leaf);
        let node = self.leaves[leaf].node.take().unwrap_or(Node::Dual);
        let (mut ready, mut later) = (Vec::new(), Vec::new());
        for condition in std::mem::take(&mut self.conditions) {
            let columns = columns_of(&condition, &mut block.subqueries);
            let is_ready = columns.iter().all(|column| layout.contains(&self.leaf_of(*column)));
            if is_ready { ready.push(condition) } else { later.push(condition) }
        }
        self.conditions = later;
        for condition in &mut ready {
            move_columns(condition, &mut block.subqueries, &|column| self.place(&layout, column));
        }
        let keys: Vec<_> =
            ready.iter().filter_map(|condition| join_keys::key_of(condition, joined.width, block)).collect();
        let leaf_rows = self.leaves[leaf].rows;
        let leaf_width = self.leaves[leaf].types.len();
        let is_lookup = match &node {
            Node::Scan(scan) => lookup::candidate(scan, &keys, joined.rows, block).is_some(),
            _ => false,
        };
        // Each row finds those of one of the leaf's keys.
        let distinct = match &node {
            Node::Scan(scan) => distinct_keys(scan, &keys, block),
            _ => None,
        };
        let rows = match (ready.is_empty(), distinct) {
            (true, _) => joined.rows * leaf_rows,
            (false, Some(distinct)) => (joined.rows * leaf_rows / distinct).max(1.0),
            (false, None) => joined.rows.max(leaf_rows.min(joined.rows * 10.0)),
        };
        let width = joined.width + leaf_width;
        let (mut left, mut right) = (joined.node, node);
        if may_turn && !is_lookup && leaf_rows > joined.rows {
            let old_width = joined.width;
            for condition in &mut ready {
                move_columns(condition, &mut block.subqueries, &|column| {
                    if column < old_width { column + leaf_width } else { column - old_width }
                });
            }
            layout.rotate_right(1);
            std::mem::swap(&mut left, &mut right);
        }
        let join = Join {
            kind: JoinKind::Inner,
            left,
            right,
            equal: Vec::new(),
            condition: conjunction(ready),
            lateral: false,
        };
        Joined { node: Node::Join(Box::new(join)), layout, width, rows }
    }
}

/// How many different keys a scan has where it is joined by `keys`, if that is known: at least as many as the one of its
/// columns that has the most.
fn distinct_keys(scan: &Scan, keys: &[(Expression, Expression)], block: &Block) -> Option<f64> {
    let of_key = |(_, right): &(Expression, Expression)| {
        let Expression::Column { index, .. } = right else { return None };
        Column::of(scan, *scan.columns.get(*index)?, block.statistics)?.distinct()
    };
    keys.iter().filter_map(of_key).max_by(f64::total_cmp)
}
