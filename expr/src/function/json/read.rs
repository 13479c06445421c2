//! JSON functions that look into documents: JSON_EXTRACT, JSON_CONTAINS, MEMBER OF and their like.

use crate::collation::CollationId;
use crate::error::{ErrorCode, SqlError};
use crate::eval::{Effects, EvalContext};
use crate::function::json::build::unquoted;
use crate::function::json::search::search;
use crate::function::json::table::stored;
use crate::function::json::{document, json_value, node_of, path, plain_path, wants_all};
use crate::function::result;
use crate::function::{Arguments, Call, Function};
use crate::mysql_type::{MysqlType, TypeKind};
use crate::store::store;
use crate::value::Value;
use crate::value::json::compare::compare_nodes;
use Arguments::{AtLeast, Between, Exactly};
use serde_json::Value as Node;
use std::sync::Arc;

pub static FUNCTIONS: &[Function] = &[
    Function::new("JSON_EXTRACT", AtLeast(2), result::json, extract),
    Function::new("JSON_VALUE", Exactly(2), value_type, value),
    Function::new("JSON_VALUE OR", Exactly(7), value_or_type, value_or).takes_null(),
    Function::new("JSON_CONTAINS", Between(2, 3), result::boolean, contains),
    Function::new("JSON_CONTAINS_PATH", AtLeast(3), result::boolean, contains_path),
    Function::new("JSON_OVERLAPS", Exactly(2), result::boolean, overlaps),
    Function::new("MEMBER OF", Exactly(2), result::boolean, member_of),
    Function::new("JSON_SEARCH", AtLeast(3), result::json, search).takes_null(),
];

/// One path without wildcards gives the value; otherwise the values that are found, in an array.
fn extract(_: &Call<'_>, arguments: &[Value], _: &EvalContext) -> Result<Value, SqlError> {
    let document = document(arguments, 0, "json_extract")?;
    let mut found: Vec<Node> = Vec::new();
    let mut single = arguments.len() == 2;
    for argument in &arguments[1..] {
        let path = path(argument)?;
        single &= !path.has_wildcard();
        found.extend(path.find(&document.0).into_iter().cloned());
    }
    Ok(match found.len() {
        0 => Value::Null,
        1 if single => json_value(found.remove(0)),
        _ => json_value(Node::Array(found)),
    })
}

/// Without a RETURNING clause: a text of up to 512 characters.
fn value_type(_: &[MysqlType]) -> Result<MysqlType, SqlError> {
    Ok(result::string(512, CollationId::UTF8MB4_0900_AI_CI))
}

fn value(_: &Call<'_>, arguments: &[Value], _: &EvalContext) -> Result<Value, SqlError> {
    let document = document(arguments, 0, "json_value")?;
    Ok(match plain_path(&arguments[1])?.find(&document.0).first() {
        None | Some(Node::Null) => Value::Null,
        Some(found) => Value::text(unquoted(found)),
    })
}

fn value_or_type(types: &[MysqlType]) -> Result<MysqlType, SqlError> {
    Ok(types[2].clone().with_nullable(true))
}

/// JSON_VALUE with ON EMPTY or ON ERROR.
fn value_or(call: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    if arguments[..2].iter().any(Value::is_null) {
        return Ok(Value::Null);
    }
    let document = document(arguments, 0, "json_value")?;
    let path = path(&arguments[1])?;
    let ty = &call.argument_types[2];
    let strict =
        EvalContext { strict_write: true, ignore: false, effects: Arc::<Effects>::default(), ..context.clone() };
    let found = path.find(&document.0);
    let (answer, error) = match found.as_slice() {
        [] => {
            let text = "No value was found by 'json_value' on the specified path.";
            (&arguments[3..5], SqlError::new(ErrorCode(3966), text))
        }
        [single] => match stored(single, FUNCTION, ty, &strict) {
            Ok(value) => return Ok(value),
            Err(error) if error.code == ErrorCode(3669) => {
                let text = format!("{} value is out of range in '{FUNCTION}'", kind_of(ty));
                (&arguments[5..], SqlError::new(ErrorCode::DATA_OUT_OF_RANGE, text))
            }
            Err(error) => (&arguments[5..], error),
        },
        _ => {
            let text = "More than one value was found by 'json_value' on the specified path.";
            (&arguments[5..], SqlError::new(ErrorCode(3967), text))
        }
    };
    match &*answer[0].to_text() {
        "ERROR" => Err(error),
        "DEFAULT" => store(answer[1].clone(), FUNCTION, 1, ty, &strict),
        _ => Ok(Value::Null),
    }
}

const FUNCTION: &str = "json_value";

fn kind_of(ty: &MysqlType) -> &'static str {
    match ty.kind {
        TypeKind::Decimal { .. } => "DECIMAL",
        TypeKind::Int { unsigned: true, .. } => "UNSIGNED",
        TypeKind::Int { .. } => "SIGNED",
        _ => "DOUBLE",
    }
}

fn contains(_: &Call<'_>, arguments: &[Value], _: &EvalContext) -> Result<Value, SqlError> {
    let target = document(arguments, 0, "json_contains")?;
    let candidate = document(arguments, 1, "json_contains")?;
    let Some(place) = arguments.get(2) else { return Ok(Value::boolean(contains_node(&target.0, &candidate.0))) };
    Ok(match plain_path(place)?.find(&target.0).first() {
        Some(part) => Value::boolean(contains_node(part, &candidate.0)),
        None => Value::Null,
    })
}

fn contains_node(target: &Node, candidate: &Node) -> bool {
    match (target, candidate) {
        (Node::Array(_), Node::Array(wanted)) => wanted.iter().all(|item| contains_node(target, item)),
        (Node::Array(items), single) => items.iter().any(|item| contains_node(item, single)),
        (Node::Object(members), Node::Object(wanted)) => {
            wanted.iter().all(|(key, member)| members.get(key).is_some_and(|target| contains_node(target, member)))
        }
        _ => compare_nodes(target, candidate).is_eq(),
    }
}

fn contains_path(_: &Call<'_>, arguments: &[Value], _: &EvalContext) -> Result<Value, SqlError> {
    let document = document(arguments, 0, "json_contains_path")?;
    let all = wants_all(&arguments[1], "json_contains_path")?;
    let mut any_found = false;
    for argument in &arguments[2..] {
        let found = !path(argument)?.find(&document.0).is_empty();
        if all && !found {
            return Ok(Value::boolean(false));
        }
        any_found |= found;
    }
    Ok(Value::boolean(any_found))
}

fn overlaps(_: &Call<'_>, arguments: &[Value], _: &EvalContext) -> Result<Value, SqlError> {
    let left = document(arguments, 0, "json_overlaps")?;
    let right = document(arguments, 1, "json_overlaps")?;
    Ok(Value::boolean(overlap(&left.0, &right.0)))
}

fn overlap(left: &Node, right: &Node) -> bool {
    match (left, right) {
        (Node::Array(left), Node::Array(right)) => left.iter().any(|item| has_item(right, item)),
        (Node::Array(items), single) | (single, Node::Array(items)) => has_item(items, single),
        (Node::Object(left), Node::Object(right)) => {
            left.iter().any(|(key, member)| right.get(key).is_some_and(|other| compare_nodes(member, other).is_eq()))
        }
        _ => compare_nodes(left, right).is_eq(),
    }
}

fn has_item(items: &[Node], wanted: &Node) -> bool {
    items.iter().any(|item| compare_nodes(item, wanted).is_eq())
}

fn member_of(call: &Call<'_>, arguments: &[Value], _: &EvalContext) -> Result<Value, SqlError> {
    let wanted = node_of(&arguments[0], &call.argument_types[0]);
    let document = document(arguments, 1, "member of")?;
    Ok(Value::boolean(match &*document.0 {
        Node::Array(items) => has_item(items, &wanted),
        single => compare_nodes(single, &wanted).is_eq(),
    }))
}
