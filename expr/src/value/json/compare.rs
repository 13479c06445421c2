//! Order and equality of JSON values. Manual: "Comparison and Ordering of JSON Values" (13.5).
//!
//! Values of different kinds are ordered by their kind: BOOLEAN above ARRAY above OBJECT above STRING above numbers above
//! NULL. Numbers compare exactly, whichever way they are written.

use super::{Json, text::ordered};
use crate::value::decimal::Decimal;
use serde_json::{Number, Value as Node};
use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

/// Of its kind among the others.
pub fn precedence(node: &Node) -> u8 {
    match node {
        Node::Null => 0,
        Node::Number(_) => 1,
        Node::String(_) => 2,
        Node::Object(_) => 3,
        Node::Array(_) => 4,
        Node::Bool(_) => 5,
    }
}

/// Order of two nodes.
pub fn compare_nodes(left: &Node, right: &Node) -> Ordering {
    match (left, right) {
        (Node::Bool(left), Node::Bool(right)) => left.cmp(right),
        (Node::Number(left), Node::Number(right)) => compare_numbers(left, right),
        (Node::String(left), Node::String(right)) => left.cmp(right),
        (Node::Array(left), Node::Array(right)) => left
            .iter()
            .zip(right)
            .map(|(left, right)| compare_nodes(left, right))
            .find(|order| order.is_ne())
            .unwrap_or_else(|| left.len().cmp(&right.len())),
        (Node::Object(left), Node::Object(right)) => left.len().cmp(&right.len()).then_with(|| {
            let pairs = ordered(left).into_iter().zip(ordered(right));
            pairs
                .map(|((key, member), (other_key, other))| {
                    key.cmp(other_key).then_with(|| compare_nodes(member, other))
                })
                .find(|order| order.is_ne())
                .unwrap_or(Ordering::Equal)
        }),
        _ => precedence(left).cmp(&precedence(right)),
    }
}

fn compare_numbers(left: &Number, right: &Number) -> Ordering {
    if let (Some(left), Some(right)) = (left.as_i64(), right.as_i64()) {
        return left.cmp(&right);
    }
    match (exact(left), exact(right)) {
        (Some(left), Some(right)) => left.cmp(&right),
        _ => as_f64(left).total_cmp(&as_f64(right)),
    }
}

fn as_f64(number: &Number) -> f64 {
    number.as_f64().unwrap_or(0.0)
}

/// The number where a decimal holds it without rounding.
pub fn exact(number: &Number) -> Option<Decimal> {
    let magnitude = as_f64(number).abs();
    (magnitude == 0.0 || (1e-14..1e34).contains(&magnitude)).then(|| Decimal::parse(number.as_str())).flatten()
}

fn hash_node<H: Hasher>(node: &Node, state: &mut H) {
    precedence(node).hash(state);
    match node {
        Node::Null => {}
        Node::Bool(truth) => truth.hash(state),
        // Exact for numbers that are equal as decimals, and equal doubles are the same double.
        Node::Number(number) => (as_f64(number) + 0.0).to_bits().hash(state),
        Node::String(text) => text.hash(state),
        Node::Array(items) => items.iter().for_each(|item| hash_node(item, state)),
        Node::Object(members) => {
            for (key, member) in ordered(members) {
                key.hash(state);
                hash_node(member, state);
            }
        }
    }
}

impl Ord for Json {
    fn cmp(&self, other: &Json) -> Ordering {
        compare_nodes(&self.0, &other.0)
    }
}

impl PartialOrd for Json {
    fn partial_cmp(&self, other: &Json) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Json {
    fn eq(&self, other: &Json) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Json {}

impl Hash for Json {
    fn hash<H: Hasher>(&self, state: &mut H) {
        hash_node(&self.0, state);
    }
}
