//! JSON documents: parsed, compared and shown as MySQL does. Manual: "The JSON Data Type" (13.5).
//!
//! Numbers keep their text: whole numbers that fit 64 bits as they are, doubles in their shortest form with a point or an
//! exponent (`1.0`), decimals with their scale.

use serde_json::{Map, Number, Value as Node};
use std::sync::Arc;

pub mod compare;
mod parse;
pub mod path;
pub mod text;

pub use parse::JsonError;

/// Documents may nest this deep.
pub const DEPTH_MAX: usize = 100;

/// A document; cheap to clone.
#[derive(Debug, Clone)]
pub struct Json(pub Arc<Node>);

impl Json {
    pub fn new(node: Node) -> Json {
        Json(Arc::new(node))
    }

    pub fn null() -> Json {
        Json::new(Node::Null)
    }

    pub fn string(text: impl Into<String>) -> Json {
        Json::new(Node::String(text.into()))
    }

    pub fn double(number: f64) -> Json {
        Json::new(double_node(number))
    }

    pub fn array(items: Vec<Node>) -> Json {
        Json::new(Node::Array(items))
    }

    pub fn object(members: Map<String, Node>) -> Json {
        Json::new(Node::Object(members))
    }

    /// The content of a string document; `None` for all others.
    pub fn as_str(&self) -> Option<&str> {
        self.0.as_str()
    }

    /// Rough memory beside the value itself.
    pub fn heap_bytes(&self) -> usize {
        node_bytes(&self.0)
    }
}

fn node_bytes(node: &Node) -> usize {
    size_of::<Node>()
        + match node {
            Node::Null | Node::Bool(_) => 0,
            Node::Number(_) => 16,
            Node::String(text) => text.len(),
            Node::Array(items) => items.iter().map(node_bytes).sum(),
            Node::Object(members) => members.iter().map(|(key, member)| 48 + key.len() + node_bytes(member)).sum(),
        }
}

/// A number node for a double, in MySQL's text form.
pub fn double_node(number: f64) -> Node {
    let mut text = crate::value::number_text::double(number);
    if !text.contains(['.', 'e']) {
        text.push_str(".0");
    }
    number_node(&text)
}

/// A number node for a text that is a JSON number; null for infinities, which JSON has not.
pub fn number_node(text: &str) -> Node {
    text.parse::<Number>().map_or(Node::Null, Node::Number)
}

#[cfg(test)]
mod tests;
