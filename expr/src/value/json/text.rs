//! JSON as text: `{"a": 1, "bb": [2, 3]}`, shorter keys first.

use super::Json;
use serde_json::{Map, Value as Node};
use std::fmt;

impl Json {
    /// Appends MySQL's text form.
    pub fn write_text(&self, text: &mut String) {
        write_node(&self.0, text);
    }
}

impl fmt::Display for Json {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        self.write_text(&mut text);
        formatter.write_str(&text)
    }
}

/// Appends MySQL's text form of one node.
pub fn write_node(node: &Node, text: &mut String) {
    match node {
        Node::Null => text.push_str("null"),
        Node::Bool(true) => text.push_str("true"),
        Node::Bool(false) => text.push_str("false"),
        // The parser writes exponents with a plus sign, MySQL does not.
        Node::Number(number) => text.extend(number.as_str().chars().filter(|character| *character != '+')),
        Node::String(content) => write_quoted(content, text),
        Node::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    text.push_str(", ");
                }
                write_node(item, text);
            }
            text.push(']');
        }
        Node::Object(members) => {
            text.push('{');
            for (index, (key, member)) in ordered(members).into_iter().enumerate() {
                if index > 0 {
                    text.push_str(", ");
                }
                write_quoted(key, text);
                text.push_str(": ");
                write_node(member, text);
            }
            text.push('}');
        }
    }
}

/// Members in MySQL's order: by length of the key in bytes, then by its bytes.
pub fn ordered(members: &Map<String, Node>) -> Vec<(&str, &Node)> {
    let mut members: Vec<_> = members.iter().map(|(key, member)| (key.as_str(), member)).collect();
    members.sort_by(|(left, _), (right, _)| left.len().cmp(&right.len()).then_with(|| left.cmp(right)));
    members
}

/// Appends a JSON string literal (JSON_QUOTE).
pub fn write_quoted(content: &str, text: &mut String) {
    text.push('"');
    for character in content.chars() {
        match character {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\u{8}' => text.push_str("\\b"),
            '\t' => text.push_str("\\t"),
            '\n' => text.push_str("\\n"),
            '\u{c}' => text.push_str("\\f"),
            '\r' => text.push_str("\\r"),
            control if control < ' ' => text.push_str(&format!("\\u{:04x}", control as u32)),
            other => text.push(other),
        }
    }
    text.push('"');
}
