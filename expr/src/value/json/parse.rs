//! JSON from text.

use super::{DEPTH_MAX, Json, double_node};
use crate::error::{ErrorCode, SqlError};
use serde_json::Value as Node;

/// Why a text is no JSON document, in MySQL's words, and the byte at which that became clear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonError {
    pub reason: &'static str,
    pub position: usize,
    /// Not a matter of the text's form, but deeper than [`DEPTH_MAX`].
    pub too_deep: bool,
}

impl JsonError {
    /// For a value that goes into a JSON column.
    pub fn in_column(&self, column: &str) -> SqlError {
        if self.too_deep {
            return self.depth_error();
        }
        SqlError::new(
            ErrorCode::INVALID_JSON_TEXT,
            format!(
                "Invalid JSON text: \"{}\" at position {} in value for column '{column}'.",
                self.reason, self.position
            ),
        )
    }

    /// For an argument of a function, counted from 1; the function's name in lower case.
    pub fn in_argument(&self, argument: usize, function: &str) -> SqlError {
        if self.too_deep {
            return self.depth_error();
        }
        SqlError::new(
            ErrorCode::INVALID_JSON_TEXT_IN_PARAM,
            format!(
                "Invalid JSON text in argument {argument} to function {function}: \"{}\" at position {}.",
                self.reason, self.position
            ),
        )
    }

    fn depth_error(&self) -> SqlError {
        SqlError::new(ErrorCode::JSON_DOCUMENT_TOO_DEEP, "The JSON document exceeds the maximum depth.")
    }
}

impl Json {
    pub fn parse(text: &str) -> Result<Json, JsonError> {
        let mut node: Node = serde_json::from_str(text).map_err(|error| explain(text, &error))?;
        if !normalize(&mut node, DEPTH_MAX) {
            return Err(JsonError { reason: "", position: 0, too_deep: true });
        }
        Ok(Json::new(node))
    }
}

/// Doubles in their shortest form. False where the document is too deep.
fn normalize(node: &mut Node, depth_left: usize) -> bool {
    match node {
        Node::Number(number) => {
            if number.as_i64().is_none() && number.as_u64().is_none() {
                let value = number.as_f64().unwrap_or(f64::MAX);
                *node = double_node(value.clamp(f64::MIN, f64::MAX));
            } else if number.as_str() == "-0" {
                *node = Node::from(0);
            }
            true
        }
        Node::Array(items) => depth_left > 0 && items.iter_mut().all(|item| normalize(item, depth_left - 1)),
        Node::Object(members) => depth_left > 0 && members.values_mut().all(|member| normalize(member, depth_left - 1)),
        _ => true,
    }
}

fn explain(text: &str, error: &serde_json::Error) -> JsonError {
    let message = error.to_string();
    if message.starts_with("recursion limit") {
        return JsonError { reason: "", position: 0, too_deep: true };
    }
    let line_start = text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum::<usize>();
    let position = (line_start + error.column().saturating_sub(1)).min(text.len());
    let reason = match message.split(" at line").next().unwrap_or("") {
        _ if text.trim().is_empty() => "The document is empty.",
        "trailing characters" => "The document root must not be followed by other values.",
        "expected `:`" => "Missing a colon after a name of object member.",
        "expected `,` or `}`" | "EOF while parsing an object" => "Missing a comma or } after an object member.",
        "expected `,` or `]`" | "EOF while parsing a list" => "Missing a comma or ] after an array element.",
        "key must be a string" | "trailing comma" => "Missing a name for object member.",
        "EOF while parsing a string" => "Missing a closing quotation mark in string.",
        "invalid escape" => "Invalid escape character in string.",
        "lone leading surrogate in hex escape" | "unexpected end of hex escape" => {
            "The surrogate pair in string is invalid."
        }
        message if message.starts_with("control character") => "Invalid encoding in string.",
        _ => "Invalid value.",
    };
    JsonError { reason, position, too_deep: false }
}
