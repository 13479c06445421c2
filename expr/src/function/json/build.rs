//! JSON functions that make documents or texts from values: JSON_OBJECT, JSON_QUOTE, JSON_MERGE_PATCH, JSON_PRETTY.

use crate::cast::binary_is_no_json;
use crate::error::{ErrorCode, SqlError};
use crate::eval::EvalContext;
use crate::function::json::{document, json_value, made, node_of, text_type};
use crate::function::result;
use crate::function::{Arguments, Call, Function};
use crate::mysql_type::{MysqlType, TypeKind};
use crate::value::Value;
use crate::value::json::Json;
use crate::value::json::text::{ordered, write_node, write_quoted};
use Arguments::{AtLeast, Exactly};
use serde_json::{Map, Value as Node};

pub static FUNCTIONS: &[Function] = &[
    Function::new("JSON_ARRAY", AtLeast(0), result::json, array).takes_null(),
    Function::new("JSON_OBJECT", AtLeast(0), object_type, object).takes_null(),
    Function::new("JSON_QUOTE", Exactly(1), text_type, quote),
    Function::new("JSON_UNQUOTE", Exactly(1), text_type, unquote),
    Function::new("JSON_PRETTY", Exactly(1), text_type, pretty),
    Function::new("JSON_MERGE_PRESERVE", AtLeast(2), result::json, merge_preserve),
    Function::new("JSON_MERGE", AtLeast(2), result::json, merge_preserve),
    Function::new("JSON_MERGE_PATCH", AtLeast(2), result::json, merge_patch).takes_null(),
];

fn array(call: &Call<'_>, arguments: &[Value], _: &EvalContext) -> Result<Value, SqlError> {
    made(arguments.iter().zip(call.argument_types).map(|(value, ty)| node_of(value, ty)).collect())
}

fn object_type(types: &[MysqlType]) -> Result<MysqlType, SqlError> {
    match types.len().is_multiple_of(2) {
        true => result::json(types),
        false => Err(SqlError::new(
            ErrorCode::WRONG_PARAMCOUNT_TO_NATIVE_FCT,
            "Incorrect parameter count in the call to native function 'JSON_OBJECT'",
        )),
    }
}

fn object(call: &Call<'_>, arguments: &[Value], _: &EvalContext) -> Result<Value, SqlError> {
    let mut members = Map::new();
    for (pair, types) in arguments.chunks(2).zip(call.argument_types.chunks(2)) {
        if pair[0].is_null() {
            return Err(SqlError::new(
                ErrorCode::JSON_DOCUMENT_NULL_KEY,
                "JSON documents may not contain NULL member names.",
            ));
        }
        if matches!(pair[0], Value::Bytes(_)) {
            return Err(binary_is_no_json());
        }
        members.insert(pair[0].to_text().into_owned(), node_of(&pair[1], &types[1]));
    }
    made(Node::Object(members))
}

fn quote(call: &Call<'_>, arguments: &[Value], _: &EvalContext) -> Result<Value, SqlError> {
    if !call.argument_types[0].is_text() {
        return Err(SqlError::new(ErrorCode::INCORRECT_TYPE, "Incorrect type for argument 1 in function json_quote."));
    }
    let mut text = String::new();
    write_quoted(&arguments[0].to_text(), &mut text);
    Ok(Value::text(text))
}

/// A document that is a string gives its content; a text in double quotes is read as such a document.
fn unquote(call: &Call<'_>, arguments: &[Value], _: &EvalContext) -> Result<Value, SqlError> {
    if !call.argument_types[0].is_string() && call.argument_types[0].kind != TypeKind::Json {
        return Err(SqlError::new(
            ErrorCode::INCORRECT_TYPE,
            "Incorrect type for argument 1 in function json_unquote.",
        ));
    }
    if let Value::Json(document) = &arguments[0] {
        return Ok(Value::text(unquoted(&document.0)));
    }
    let text = arguments[0].to_text();
    if text.len() < 2 || !text.starts_with('"') || !text.ends_with('"') {
        return Ok(Value::text(text));
    }
    let document = Json::parse(&text).map_err(|error| error.in_argument(1, "json_unquote"))?;
    Ok(Value::text(unquoted(&document.0)))
}

/// The content of a string; the text form of anything else.
pub fn unquoted(node: &Node) -> String {
    match node {
        Node::String(content) => content.clone(),
        other => {
            let mut text = String::new();
            write_node(other, &mut text);
            text
        }
    }
}

fn pretty(_: &Call<'_>, arguments: &[Value], _: &EvalContext) -> Result<Value, SqlError> {
    let mut text = String::new();
    write_pretty(&document(arguments, 0, "json_pretty")?.0, 0, &mut text);
    Ok(Value::text(text))
}

fn write_pretty(node: &Node, depth: usize, text: &mut String) {
    let new_line = |text: &mut String, depth: usize| {
        text.push('\n');
        text.extend(std::iter::repeat_n("  ", depth));
    };
    match node {
        Node::Array(items) if !items.is_empty() => {
            for (index, item) in items.iter().enumerate() {
                text.push(if index == 0 { '[' } else { ',' });
                new_line(text, depth + 1);
                write_pretty(item, depth + 1, text);
            }
            new_line(text, depth);
            text.push(']');
        }
        Node::Object(members) if !members.is_empty() => {
            for (index, (key, member)) in ordered(members).into_iter().enumerate() {
                text.push(if index == 0 { '{' } else { ',' });
                new_line(text, depth + 1);
                write_quoted(key, text);
                text.push_str(": ");
                write_pretty(member, depth + 1, text);
            }
            new_line(text, depth);
            text.push('}');
        }
        other => write_node(other, text),
    }
}

fn merge_preserve(_: &Call<'_>, arguments: &[Value], _: &EvalContext) -> Result<Value, SqlError> {
    let mut merged = (*document(arguments, 0, "json_merge_preserve")?.0).clone();
    for index in 1..arguments.len() {
        merged = preserve(merged, (*document(arguments, index, "json_merge_preserve")?.0).clone());
    }
    made(merged)
}

/// Objects are united, values of common keys merged; everything else becomes one array.
fn preserve(left: Node, right: Node) -> Node {
    match (left, right) {
        (Node::Object(mut left), Node::Object(right)) => {
            for (key, member) in right {
                let merged = match left.remove(&key) {
                    Some(existing) => preserve(existing, member),
                    None => member,
                };
                left.insert(key, merged);
            }
            Node::Object(left)
        }
        (left, right) => {
            let mut items = into_items(left);
            items.extend(into_items(right));
            Node::Array(items)
        }
    }
}

fn into_items(node: Node) -> Vec<Node> {
    match node {
        Node::Array(items) => items,
        single => vec![single],
    }
}

/// A NULL document is unknown, and so is what an object makes of it; anything but an object replaces it.
fn merge_patch(_: &Call<'_>, arguments: &[Value], _: &EvalContext) -> Result<Value, SqlError> {
    let mut merged = None;
    for (index, argument) in arguments.iter().enumerate() {
        if argument.is_null() {
            merged = None;
            continue;
        }
        let patch = (*document(arguments, index, "json_merge_patch")?.0).clone();
        merged = match (merged, patch) {
            (None, Node::Object(_)) if index > 0 => None,
            (Some(target), patch) => Some(patched(target, patch)),
            (None, patch) => Some(patch),
        };
    }
    Ok(merged.map_or(Value::Null, json_value))
}

/// RFC 7396: members of the patch replace, null members remove.
fn patched(target: Node, patch: Node) -> Node {
    let Node::Object(changes) = patch else { return patch };
    let mut members = match target {
        Node::Object(members) => members,
        _ => Map::new(),
    };
    for (key, change) in changes {
        match (change, members.remove(&key)) {
            (Node::Null, _) => {}
            (change, existing) => {
                members.insert(key, patched(existing.unwrap_or(Node::Null), change));
            }
        }
    }
    Node::Object(members)
}
