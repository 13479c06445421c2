//! JSON documents as bytes, in the order of `expr::value::json::compare`.

use super::{decimal, double, string};
use expr::value::decimal::Decimal;
use expr::value::json::compare::{exact, precedence};
use expr::value::json::text::ordered;
use serde_json::Value as Node;

/// Behind the last item of an array.
const END: u8 = 0;
const ITEM: u8 = 1;

/// The depth of documents is bounded where they are parsed.
pub fn document(node: &Node, key: &mut Vec<u8>) {
    key.push(precedence(node));
    match node {
        Node::Null => {}
        Node::Bool(truth) => key.push(u8::from(*truth)),
        Node::Number(number) => {
            // Numbers of one double differ by their exact value, where they have one.
            double(number.as_f64().unwrap_or(0.0), key);
            decimal(&exact(number).unwrap_or_else(|| Decimal::from(0_i64)), key);
        }
        Node::String(text) => string(text.as_bytes(), key),
        Node::Array(items) => {
            for item in items {
                key.push(ITEM);
                document(item, key);
            }
            key.push(END);
        }
        Node::Object(members) => {
            key.extend_from_slice(&(members.len() as u64).to_be_bytes());
            for (name, member) in ordered(members) {
                string(name.as_bytes(), key);
                document(member, key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expr::value::json::Json;
    use expr::value::json::compare::compare_nodes;

    #[test]
    fn bytes_are_ordered_as_documents() {
        let texts = [
            "null",
            "-100291029",
            "-1",
            "-1.0",
            "0",
            "21.931902",
            "22.1",
            "93",
            "93.0",
            "1e300",
            "-1e300",
            "9007199254740993",
            "9007199254740992",
            "\"\"",
            "\"a\"",
            "\"ab\"",
            "{}",
            "{\"a\": 1}",
            "{\"a\": 2}",
            "{\"b\": 1}",
            "{\"a\": 1, \"b\": 2}",
            "[]",
            "[1]",
            "[1, 2]",
            "[2]",
            "[\"a\"]",
            "[[]]",
            "false",
            "true",
        ];
        let documents: Vec<Json> = texts.iter().map(|text| Json::parse(text).unwrap()).collect();
        for left in &documents {
            for right in &documents {
                let (mut left_key, mut right_key) = (Vec::new(), Vec::new());
                document(&left.0, &mut left_key);
                document(&right.0, &mut right_key);
                assert_eq!(left_key.cmp(&right_key), compare_nodes(&left.0, &right.0), "{left:?} {right:?}");
            }
        }
    }
}
