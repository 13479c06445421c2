//! JSON functions. Manual: "JSON Functions" (14.17). Here: reading arguments, and functions about a whole document.
//!
//! A document comes as a JSON value or as a text that is parsed; a value that goes into a document keeps its kind.

use crate::collation::CollationId;
use crate::error::{ErrorCode, SqlError};
use crate::eval::EvalContext;
use crate::function::convert::encode_base64;
use crate::function::result;
use crate::function::{Arguments, Call, Function};
use crate::mysql_type::{IntDisplay, MysqlType, TypeKind};
use crate::value::Value;
use crate::value::json::DEPTH_MAX;
use crate::value::json::path::JsonPath;
use crate::value::json::text::ordered;
use crate::value::json::{Json, double_node};
use Arguments::{Between, Exactly};
use serde_json::{Number, Value as Node};

pub mod build;
pub mod modify;
pub mod read;
pub mod schema;
mod search;
pub mod table;

pub static FUNCTIONS: &[Function] = &[
    Function::new("JSON_TYPE", Exactly(1), result::text::<51>, json_type),
    Function::new("JSON_VALID", Exactly(1), result::boolean, valid),
    Function::new("JSON_LENGTH", Between(1, 2), result::int::<10>, length),
    Function::new("JSON_DEPTH", Exactly(1), result::int::<10>, depth),
    Function::new("JSON_KEYS", Between(1, 2), result::json, keys),
    Function::new("JSON_STORAGE_SIZE", Exactly(1), result::int::<10>, storage_size),
    Function::new("JSON_STORAGE_FREE", Exactly(1), result::int::<10>, storage_free),
];

/// The document in argument `index` (from 0).
pub fn document(arguments: &[Value], index: usize, function: &str) -> Result<Json, SqlError> {
    match &arguments[index] {
        Value::Json(document) => Ok(document.clone()),
        Value::Text(text) => Json::parse(text).map_err(|error| error.in_argument(index + 1, function)),
        Value::Bytes(_) => Err(SqlError::new(
            ErrorCode::INVALID_JSON_CHARSET,
            "Cannot create a JSON value from a string with CHARACTER SET 'binary'.",
        )),
        _ => {
            let position = index + 1;
            let message = format!(
                "Invalid data type for JSON data in argument {position} to function {function}; a JSON string or JSON \
                 type is required."
            );
            Err(SqlError::new(ErrorCode::INVALID_TYPE_FOR_JSON, message))
        }
    }
}

pub fn path(value: &Value) -> Result<JsonPath, SqlError> {
    JsonPath::parse(&value.to_text())
}

/// A path that matches at most one value.
pub fn plain_path(value: &Value) -> Result<JsonPath, SqlError> {
    let path = path(value)?;
    match path.has_wildcard() {
        false => Ok(path),
        true => Err(SqlError::new(
            ErrorCode::INVALID_JSON_PATH_WILDCARD,
            "In this situation, path expressions may not contain the * and ** tokens or an array range.",
        )),
    }
}

/// What an SQL value becomes inside a document. Truth values become true and false, bytes a text in base 64.
pub fn node_of(value: &Value, ty: &MysqlType) -> Node {
    match value {
        Value::Int(number) if is_boolean(ty) => Node::Bool(*number != 0),
        Value::Bytes(bytes) => {
            // The number by which the protocol calls the type.
            let code = match ty.kind {
                TypeKind::Blob { .. } => 252,
                TypeKind::Binary { .. } => 254,
                TypeKind::Geometry(_) => 255,
                _ => 253,
            };
            Node::String(format!("base64:type{code}:{}", encode_base64(bytes)))
        }
        Value::Bit(..) => Node::String(format!("base64:type16:{}", encode_base64(&value.to_bytes()))),
        other => (*other.to_json().0).clone(),
    }
}

/// The type of comparisons and of TRUE and FALSE, which no column has.
pub fn is_boolean(ty: &MysqlType) -> bool {
    matches!(ty.kind, TypeKind::Int { bytes: 4, display: IntDisplay { width: Some(1), .. }, .. })
}

/// `one` or `all`: whether all is wanted.
pub fn wants_all(value: &Value, function: &str) -> Result<bool, SqlError> {
    match value.to_text().to_ascii_lowercase().as_str() {
        "one" => Ok(false),
        "all" => Ok(true),
        _ => {
            let message = format!("The oneOrAll argument to {function} may take these values: 'one' or 'all'.");
            Err(SqlError::new(ErrorCode::JSON_BAD_ONE_OR_ALL_ARG, message))
        }
    }
}

pub fn json_value(node: Node) -> Value {
    Value::Json(Json::new(node))
}

/// As [`json_value`], for documents that were put together: error 3157 for one that is too deep.
pub fn made(node: Node) -> Result<Value, SqlError> {
    match is_within(&node, DEPTH_MAX) {
        true => Ok(json_value(node)),
        false => Err(SqlError::new(ErrorCode::JSON_DOCUMENT_TOO_DEEP, "The JSON document exceeds the maximum depth.")),
    }
}

/// True if no array or object is nested deeper.
fn is_within(node: &Node, levels: usize) -> bool {
    match node {
        Node::Array(items) => levels > 0 && items.iter().all(|item| is_within(item, levels - 1)),
        Node::Object(members) => levels > 0 && members.values().all(|member| is_within(member, levels - 1)),
        _ => true,
    }
}

/// Text functions of JSON answer in utf8mb4_bin.
pub fn text_type(_: &[MysqlType]) -> Result<MysqlType, SqlError> {
    Ok(result::string(u64::from(u32::MAX), CollationId::UTF8MB4_BIN))
}

pub fn kind_name(node: &Node) -> &'static str {
    match node {
        Node::Null => "NULL",
        Node::Bool(_) => "BOOLEAN",
        Node::String(_) => "STRING",
        Node::Array(_) => "ARRAY",
        Node::Object(_) => "OBJECT",
        Node::Number(number) if number.as_i64().is_some() => "INTEGER",
        Node::Number(number) if number.as_u64().is_some() => "UNSIGNED INTEGER",
        Node::Number(number) if is_double(number) => "DOUBLE",
        Node::Number(_) => "DECIMAL",
    }
}

/// Doubles are kept in their shortest form; another form is a decimal's.
fn is_double(number: &Number) -> bool {
    let shortest = double_node(number.as_f64().unwrap_or(0.0));
    matches!(shortest, Node::Number(shortest) if shortest == *number)
}

fn json_type(_: &Call<'_>, arguments: &[Value], _: &EvalContext) -> Result<Value, SqlError> {
    Ok(Value::text(kind_name(&document(arguments, 0, "json_type")?.0)))
}

fn valid(_: &Call<'_>, arguments: &[Value], _: &EvalContext) -> Result<Value, SqlError> {
    Ok(Value::boolean(match &arguments[0] {
        Value::Json(_) => true,
        Value::Text(text) => Json::parse(text).is_ok(),
        _ => false,
    }))
}

/// The document, or what the path in the second argument finds in it.
fn part(arguments: &[Value], function: &str) -> Result<Option<Node>, SqlError> {
    let document = document(arguments, 0, function)?;
    let Some(path) = arguments.get(1) else { return Ok(Some((*document.0).clone())) };
    Ok(plain_path(path)?.find(&document.0).first().map(|node| (*node).clone()))
}

fn length(_: &Call<'_>, arguments: &[Value], _: &EvalContext) -> Result<Value, SqlError> {
    Ok(match part(arguments, "json_length")? {
        None => Value::Null,
        Some(Node::Array(items)) => Value::Int(items.len() as i64),
        Some(Node::Object(members)) => Value::Int(members.len() as i64),
        Some(_) => Value::Int(1),
    })
}

fn depth(_: &Call<'_>, arguments: &[Value], _: &EvalContext) -> Result<Value, SqlError> {
    /// Documents nest no deeper than the parser allows, so the recursion ends.
    fn depth_of(node: &Node) -> i64 {
        1 + match node {
            Node::Array(items) => items.iter().map(depth_of).max().unwrap_or(0),
            Node::Object(members) => members.values().map(depth_of).max().unwrap_or(0),
            _ => 0,
        }
    }
    Ok(Value::Int(depth_of(&document(arguments, 0, "json_depth")?.0)))
}

fn keys(_: &Call<'_>, arguments: &[Value], _: &EvalContext) -> Result<Value, SqlError> {
    Ok(match part(arguments, "json_keys")? {
        Some(Node::Object(members)) => {
            json_value(ordered(&members).into_iter().map(|(key, _)| Node::from(key)).collect())
        }
        _ => Value::Null,
    })
}

/// Bytes that MySQL's binary form of the document takes.
fn storage_size(_: &Call<'_>, arguments: &[Value], _: &EvalContext) -> Result<Value, SqlError> {
    let document = document(arguments, 0, "json_storage_size")?;
    Ok(Value::Int(1 + content_size(&document.0) as i64))
}

fn storage_free(_: &Call<'_>, arguments: &[Value], _: &EvalContext) -> Result<Value, SqlError> {
    document(arguments, 0, "json_storage_free").map(|_| Value::Int(0))
}

/// Without the byte that tells the kind.
fn content_size(node: &Node) -> usize {
    match node {
        Node::Null | Node::Bool(_) => 1,
        Node::Number(number) => match number.as_i64() {
            Some(number) if i16::try_from(number).is_ok() => 2,
            Some(number) if i32::try_from(number).is_ok() => 4,
            _ => 8,
        },
        Node::String(text) => {
            let length_bytes = (usize::BITS - text.len().leading_zeros()).max(1).div_ceil(7) as usize;
            length_bytes + text.len()
        }
        Node::Array(items) => container_size(items.len(), 0, 0, items.iter()),
        Node::Object(members) => {
            let key_bytes = members.keys().map(String::len).sum();
            container_size(members.len(), members.len(), key_bytes, members.values())
        }
    }
}

/// Offsets take two bytes while everything fits 64 KiB, else four; values no larger than an offset are kept in it.
fn container_size<'n>(
    count: usize,
    keys: usize,
    key_bytes: usize,
    values: impl Iterator<Item = &'n Node> + Clone,
) -> usize {
    let size = |offset_bytes: usize| {
        let inlined = |node: &Node| match node {
            Node::Null | Node::Bool(_) => true,
            Node::Number(number) => number.as_i64().is_some() && content_size(node) <= offset_bytes,
            _ => false,
        };
        let outside: usize = values.clone().filter(|node| !inlined(node)).map(content_size).sum();
        2 * offset_bytes + keys * (offset_bytes + 2) + count * (1 + offset_bytes) + key_bytes + outside
    };
    let small = size(2);
    if small <= usize::from(u16::MAX) { small } else { size(4) }
}
