//! JSON functions that change a document: JSON_SET, JSON_REMOVE, JSON_ARRAY_APPEND and their like.

use crate::error::{ErrorCode, SqlError};
use crate::eval::EvalContext;
use crate::function::json::{document, made, node_of, plain_path};
use crate::function::result;
use crate::function::{Arguments, Call, Function};
use crate::mysql_type::MysqlType;
use crate::value::Value;
use crate::value::json::path::Leg;
use Arguments::AtLeast;
use serde_json::Value as Node;

pub static FUNCTIONS: &[Function] = &[
    Function::new("JSON_SET", AtLeast(3), |types| pairs_type(types, "JSON_SET"), set).takes_null(),
    Function::new("JSON_INSERT", AtLeast(3), |types| pairs_type(types, "JSON_INSERT"), insert).takes_null(),
    Function::new("JSON_REPLACE", AtLeast(3), |types| pairs_type(types, "JSON_REPLACE"), replace).takes_null(),
    Function::new("JSON_ARRAY_APPEND", AtLeast(3), |types| pairs_type(types, "JSON_ARRAY_APPEND"), array_append)
        .takes_null(),
    Function::new("JSON_ARRAY_INSERT", AtLeast(3), |types| pairs_type(types, "JSON_ARRAY_INSERT"), array_insert)
        .takes_null(),
    Function::new("JSON_REMOVE", AtLeast(2), result::json, remove),
];

/// A document and then pairs of path and value.
fn pairs_type(types: &[MysqlType], name: &str) -> Result<MysqlType, SqlError> {
    match types.len() % 2 {
        1 => result::json(types),
        _ => Err(SqlError::new(
            ErrorCode::WRONG_PARAMCOUNT_TO_NATIVE_FCT,
            format!("Incorrect parameter count in the call to native function '{name}'"),
        )),
    }
}

type Edit = fn(&mut Node, &[Leg], Node) -> Result<(), SqlError>;

/// Applies the pairs one after the other. A NULL document or path makes the result NULL.
fn edit(call: &Call<'_>, arguments: &[Value], function: &str, edit: Edit) -> Result<Value, SqlError> {
    if arguments[0].is_null() || arguments[1..].iter().step_by(2).any(Value::is_null) {
        return Ok(Value::Null);
    }
    let mut document = (*document(arguments, 0, function)?.0).clone();
    for (pair, types) in arguments[1..].chunks(2).zip(call.argument_types[1..].chunks(2)) {
        let path = plain_path(&pair[0])?;
        edit(&mut document, &path.legs, node_of(&pair[1], &types[1]))?;
    }
    made(document)
}

fn set(call: &Call<'_>, arguments: &[Value], _: &EvalContext) -> Result<Value, SqlError> {
    edit(call, arguments, "json_set", |document, legs, value| put(document, legs, value, true, true))
}

fn insert(call: &Call<'_>, arguments: &[Value], _: &EvalContext) -> Result<Value, SqlError> {
    edit(call, arguments, "json_insert", |document, legs, value| put(document, legs, value, false, true))
}

fn replace(call: &Call<'_>, arguments: &[Value], _: &EvalContext) -> Result<Value, SqlError> {
    edit(call, arguments, "json_replace", |document, legs, value| put(document, legs, value, true, false))
}

/// Puts a value at a place that exists, or where its parent is there to take it.
fn put(node: &mut Node, legs: &[Leg], value: Node, replaces: bool, inserts: bool) -> Result<(), SqlError> {
    let Some((leg, deeper)) = legs.split_first() else {
        if replaces {
            *node = value;
        }
        return Ok(());
    };
    let is_last = deeper.is_empty();
    match (leg, node) {
        (Leg::Member(name), Node::Object(members)) => match members.get_mut(name) {
            Some(member) => put(member, deeper, value, replaces, inserts)?,
            None if is_last && inserts => {
                members.insert(name.clone(), value);
            }
            None => {}
        },
        (Leg::Item(index), Node::Array(items)) => match index.position(items.len()) {
            Some(position) if position < items.len() => {
                put(&mut items[position], deeper, value, replaces, inserts)?;
            }
            Some(_) if is_last && inserts => items.push(value),
            None if is_last && inserts => items.insert(0, value),
            _ => {}
        },
        // A value that is no array is treated as an array of one.
        (Leg::Item(index), single) => match index.position(1) {
            Some(0) => put(single, deeper, value, replaces, inserts)?,
            position if is_last && inserts => {
                let existing = single.take();
                *single = match position {
                    Some(_) => Node::Array(vec![existing, value]),
                    None => Node::Array(vec![value, existing]),
                };
            }
            _ => {}
        },
        _ => {}
    }
    Ok(())
}

/// The value at a place.
fn find_mut<'n>(node: &'n mut Node, legs: &[Leg]) -> Option<&'n mut Node> {
    let Some((leg, deeper)) = legs.split_first() else { return Some(node) };
    match (leg, node) {
        (Leg::Member(name), Node::Object(members)) => find_mut(members.get_mut(name)?, deeper),
        (Leg::Item(index), Node::Array(items)) => {
            let position = index.position(items.len())?;
            find_mut(items.get_mut(position)?, deeper)
        }
        (Leg::Item(index), single) if index.position(1) == Some(0) => find_mut(single, deeper),
        _ => None,
    }
}

fn array_append(call: &Call<'_>, arguments: &[Value], _: &EvalContext) -> Result<Value, SqlError> {
    edit(call, arguments, "json_array_append", |document, legs, value| {
        match find_mut(document, legs) {
            Some(Node::Array(items)) => items.push(value),
            Some(single) => *single = Node::Array(vec![single.take(), value]),
            None => {}
        }
        Ok(())
    })
}

fn array_insert(call: &Call<'_>, arguments: &[Value], _: &EvalContext) -> Result<Value, SqlError> {
    edit(call, arguments, "json_array_insert", |document, legs, value| {
        let Some((Leg::Item(index), parents)) = legs.split_last() else {
            return Err(SqlError::new(
                ErrorCode::INVALID_JSON_PATH_ARRAY_CELL,
                "A path expression is not a path to a cell in an array.",
            ));
        };
        if let Some(Node::Array(items)) = find_mut(document, parents) {
            let position = index.position(items.len()).unwrap_or(0).min(items.len());
            items.insert(position, value);
        }
        Ok(())
    })
}

fn remove(_: &Call<'_>, arguments: &[Value], _: &EvalContext) -> Result<Value, SqlError> {
    let mut document = (*document(arguments, 0, "json_remove")?.0).clone();
    for argument in &arguments[1..] {
        let path = plain_path(argument)?;
        let Some((last, parents)) = path.legs.split_last() else {
            return Err(SqlError::new(
                ErrorCode::JSON_VACUOUS_PATH,
                "The path expression '$' is not allowed in this context.",
            ));
        };
        match (find_mut(&mut document, parents), last) {
            (Some(Node::Object(members)), Leg::Member(name)) => {
                members.remove(name);
            }
            (Some(Node::Array(items)), Leg::Item(index)) => {
                if let Some(position) = index.position(items.len()).filter(|position| *position < items.len()) {
                    items.remove(position);
                }
            }
            _ => {}
        }
    }
    made(document)
}
