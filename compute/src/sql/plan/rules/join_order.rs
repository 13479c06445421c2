//! The order of inner joins: along conditions, so that few rows come out of each, the smaller side in memory.

use super::Block;
use super::expressions::{columns_of, conjunction, conjuncts, is_pinned, map_inputs, move_columns};
use super::selectivity::Column;
use super::{estimate, join_keys, lookup};
use crate::sql::plan::{Join, JoinKind, Node, Scan, walk};
use expr::Expression;
use expr::mysql_type::MysqlType;

/// Tables of one chain, at most; choosing is quadratic in them.
const LEAVES_MAX: usize = 32;
/// Tables from which an order is tried, those with the fewest rows first.
const STARTS_MAX: usize = 8;

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

/// A condition, for choosing.
struct Link {
    /// That it reads, in order.
    leaves: Vec<usize>,
    /// Of an equality of two columns: how many different values the one has that has more.
    distinct: Option<f64>,
}

impl Link {
    /// True if the condition joins the leaf with those that are there.
    fn connects(&self, leaf: usize, joined: &[usize]) -> bool {
        self.leaves.len() > 1
            && self.leaves.contains(&leaf)
            && self.leaves.iter().all(|other| *other == leaf || joined.contains(other))
    }
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
        let order = self.cheapest_order(block);
        let mut joined = self.start(order[0]);
        for leaf in &order[1..] {
            joined = self.join(joined, *leaf, true, block);
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

    /// Of the orders that begin with each of the smallest leaves, the one with the fewest rows on the way.
    fn cheapest_order(&self, block: &mut Block) -> Vec<usize> {
        let links: Vec<Link> = self.conditions.iter().map(|condition| self.link(condition, block)).collect();
        let mut starts: Vec<usize> = (0..self.leaves.len()).collect();
        starts.sort_by(|left, right| self.leaves[*left].rows.total_cmp(&self.leaves[*right].rows));
        starts.truncate(STARTS_MAX);
        let orders = starts.into_iter().map(|start| self.order_from(start, &links));
        orders.min_by(|one, other| one.1.total_cmp(&other.1)).map(|(order, _)| order).unwrap_or_default()
    }

    /// The leaf to join next is one that a condition connects, after which there are the fewest rows; of those the smallest.
    /// Second: the rows of all steps.
    fn order_from(&self, start: usize, links: &[Link]) -> (Vec<usize>, f64) {
        let mut order = vec![start];
        let mut rows = self.leaves[start].rows;
        let mut cost = rows;
        while order.len() < self.leaves.len() {
            let left = (0..self.leaves.len()).filter(|leaf| !order.contains(leaf));
            let steps = left.map(|leaf| {
                let ready: Vec<&Link> = links.iter().filter(|link| link.connects(leaf, &order)).collect();
                (ready.is_empty(), self.rows_with(rows, leaf, &ready), self.leaves[leaf].rows, leaf)
            });
            let next = steps.min_by(|one, other| {
                one.0.cmp(&other.0).then(one.1.total_cmp(&other.1)).then(one.2.total_cmp(&other.2))
            });
            let Some((_, after, _, leaf)) = next else { break };
            order.push(leaf);
            rows = after;
            cost += after;
        }
        (order, cost)
    }

    /// Rows of a join of so many rows with a leaf. A row finds those of one of the leaf's keys.
    fn rows_with(&self, rows: f64, leaf: usize, ready: &[&Link]) -> f64 {
        let leaf_rows = self.leaves[leaf].rows;
        if ready.is_empty() {
            return rows * leaf_rows;
        }
        match ready.iter().filter_map(|link| link.distinct).max_by(f64::total_cmp) {
            Some(distinct) => (rows * leaf_rows / distinct).max(1.0),
            None => rows.max(leaf_rows.min(rows * 10.0)),
        }
    }

    fn link(&self, condition: &Expression, block: &mut Block) -> Link {
        let columns = columns_of(condition, &mut block.subqueries);
        let mut leaves: Vec<usize> = columns.iter().map(|column| self.leaf_of(*column)).collect();
        leaves.dedup();
        let distinct = match condition {
            Expression::Call { function, arguments, .. } if function.name == "=" && leaves.len() == 2 => {
                let sides = arguments.iter().map(|side| self.distinct_of(side, block));
                sides.flatten().max_by(f64::total_cmp)
            }
            _ => None,
        };
        Link { leaves, distinct }
    }

    /// How many different values a column has in its table, if that is known.
    fn distinct_of(&self, side: &Expression, block: &Block) -> Option<f64> {
        let Expression::Column { index, .. } = side else { return None };
        let leaf = &self.leaves[self.leaf_of(*index)];
        let mut node = leaf.node.as_ref()?;
        while let Node::Filter { input, .. } = node {
            node = input;
        }
        let Node::Scan(scan) = node else { return None };
        Column::of(scan, *scan.columns.get(index - leaf.base)?, block.statistics)?.distinct()
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
