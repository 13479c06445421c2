//! JSON_TABLE: rows out of a document. Manual: "JSON Table Functions" (14.17.6).
//!
//! Each value that the path finds is a row. NESTED paths go on from that value: the rows of each of them follow those of
//! the one before, with NULL in the others' columns; where none of them finds anything, there is one row of NULLs.

use crate::error::{ErrorCode, SqlError};
use crate::eval::{Effects, EvalContext};
use crate::function::Arguments::Exactly;
use crate::function::json::{document, json_value, node_of};
use crate::function::{Call, Function, result};
use crate::mysql_type::{IntDisplay, MysqlType, TypeKind};
use crate::store::store;
use crate::value::json::path::JsonPath;
use crate::value::{Row, Value};
use serde_json::Value as Node;
use std::sync::Arc;

/// Values that a path finds, and what is read of each.
#[derive(Debug, Clone)]
pub struct JsonTable {
    pub path: JsonPath,
    pub columns: Vec<JsonColumn>,
}

#[derive(Debug, Clone)]
pub enum JsonColumn {
    /// FOR ORDINALITY: the number of the row, from 1; in a nested path from 1 for each row around it.
    Ordinality {
        name: String,
    },
    Path {
        name: String,
        ty: MysqlType,
        path: JsonPath,
        on_empty: Otherwise,
        on_error: Otherwise,
    },
    Exists {
        name: String,
        ty: MysqlType,
        path: JsonPath,
    },
    Nested(JsonTable),
}

/// What a column is where its path finds nothing, or nothing that it can be.
#[derive(Debug, Clone)]
pub enum Otherwise {
    Null,
    Error,
    Default(Value),
}

impl JsonTable {
    /// Names and types of the columns, in order; those of nested paths stand where the path does.
    pub fn fields(&self) -> Vec<(String, MysqlType)> {
        let mut fields = Vec::new();
        for column in &self.columns {
            match column {
                JsonColumn::Ordinality { name } => {
                    fields.push((
                        name.clone(),
                        MysqlType::new(TypeKind::Int { bytes: 4, unsigned: true, display: IntDisplay::default() }),
                    ));
                }
                JsonColumn::Path { name, ty, .. } | JsonColumn::Exists { name, ty, .. } => {
                    fields.push((name.clone(), ty.clone().with_nullable(true)));
                }
                JsonColumn::Nested(nested) => fields.extend(nested.fields()),
            }
        }
        fields
    }

    /// All rows; none for NULL.
    pub fn rows(&self, value: &Value, context: &EvalContext) -> Result<Vec<Row>, SqlError> {
        if value.is_null() {
            return Ok(Vec::new());
        }
        let document = document(std::slice::from_ref(value), 0, "json_table")?;
        // What does not fit its column is an error that the column has an answer to.
        let strict =
            EvalContext { strict_write: true, ignore: false, effects: Arc::<Effects>::default(), ..context.clone() };
        self.of(&document.0, &strict)
    }

    fn width(&self) -> usize {
        self.columns.iter().map(JsonColumn::width).sum()
    }

    fn of(&self, node: &Node, context: &EvalContext) -> Result<Vec<Row>, SqlError> {
        let mut rows = Vec::new();
        for (number, found) in (1..).zip(self.path.find(node)) {
            self.rows_of(found, number, context, &mut rows)?;
        }
        Ok(rows)
    }

    /// The rows of one value that the path has found.
    fn rows_of(&self, node: &Node, number: u64, context: &EvalContext, rows: &mut Vec<Row>) -> Result<(), SqlError> {
        let mut own: Row = vec![Value::Null; self.width()];
        // Rows of nested paths, with where their columns begin.
        let mut nested_rows = Vec::new();
        let mut at = 0;
        for column in &self.columns {
            match column {
                JsonColumn::Ordinality { .. } => own[at] = Value::UInt(number),
                JsonColumn::Path { name, ty, path, on_empty, on_error } => {
                    own[at] = value_at(node, name, ty, path, (on_empty, on_error), context)?;
                }
                JsonColumn::Exists { name, ty, path } => {
                    let there = i64::from(!path.find(node).is_empty());
                    own[at] = store(Value::Int(there), name, 1, ty, context)?;
                }
                JsonColumn::Nested(nested) => nested_rows.push((at, nested.of(node, context)?)),
            }
            at += column.width();
        }
        let before = rows.len();
        for (at, inner_rows) in nested_rows {
            for inner in inner_rows {
                let mut row = own.clone();
                let end = at + inner.len();
                row.splice(at..end, inner);
                rows.push(row);
            }
        }
        if rows.len() == before {
            rows.push(own);
        }
        Ok(())
    }
}

impl JsonColumn {
    fn width(&self) -> usize {
        match self {
            JsonColumn::Nested(nested) => nested.width(),
            _ => 1,
        }
    }
}

fn value_at(
    node: &Node,
    name: &str,
    ty: &MysqlType,
    path: &JsonPath,
    (on_empty, on_error): (&Otherwise, &Otherwise),
    context: &EvalContext,
) -> Result<Value, SqlError> {
    let found = path.find(node);
    if found.is_empty() {
        return match on_empty {
            Otherwise::Null => Ok(Value::Null),
            Otherwise::Default(value) => Ok(value.clone()),
            Otherwise::Error => {
                Err(SqlError::new(ErrorCode(3665), format!("Missing value for JSON_TABLE column '{name}'")))
            }
        };
    }
    match (taken(&found, name, ty, context), on_error) {
        (Ok(value), _) => Ok(value),
        (Err(_), Otherwise::Null) => Ok(Value::Null),
        (Err(_), Otherwise::Default(value)) => Ok(value.clone()),
        (Err(error), Otherwise::Error) => Err(error),
    }
}

/// What a path has found as a value of a column: JSON takes anything, several values as an array; everything else takes
/// one scalar.
fn taken(found: &[&Node], name: &str, ty: &MysqlType, context: &EvalContext) -> Result<Value, SqlError> {
    if ty.kind == TypeKind::Json {
        return Ok(json_value(match found {
            [single] => (*single).clone(),
            several => Node::Array(several.iter().map(|node| (*node).clone()).collect()),
        }));
    }
    match found {
        [single] if !single.is_array() && !single.is_object() => stored(single, name, ty, context),
        _ => Err(SqlError::new(
            ErrorCode(3666),
            format!("Can't store an array or an object in the scalar JSON_TABLE column '{name}'"),
        )),
    }
}

/// A scalar of a document as a value of a column.
pub fn stored(node: &Node, name: &str, ty: &MysqlType, context: &EvalContext) -> Result<Value, SqlError> {
    let number = ty.is_numeric();
    let value = match node {
        Node::Null if ty.kind == TypeKind::Json => json_value(Node::Null),
        Node::Null => return Ok(Value::Null),
        Node::String(text) if ty.kind != TypeKind::Json => Value::text(text.as_str()),
        Node::Bool(truth) if number => Value::Int(i64::from(*truth)),
        Node::Bool(truth) if ty.kind != TypeKind::Json => Value::text(if *truth { "true" } else { "false" }),
        other => json_value(other.clone()),
    };
    store(value, name, 1, ty, context).map_err(|error| match error.code {
        ErrorCode::WARN_DATA_OUT_OF_RANGE => {
            SqlError::new(ErrorCode(3669), format!("Value is out of range for JSON_TABLE's column '{name}'"))
        }
        ErrorCode::DATA_TOO_LONG => error,
        _ => {
            let kind = match ty.kind {
                TypeKind::Decimal { .. } => "DECIMAL",
                TypeKind::Float { .. } | TypeKind::Double { .. } => "DOUBLE",
                _ if ty.is_temporal() => "DATE/TIME/DATETIME/TIMESTAMP",
                _ if number => "INTEGER",
                _ => "CHAR",
            };
            let text = format!("Invalid JSON value for CAST to {kind} from column {name} at row 1");
            SqlError::new(ErrorCode::INVALID_JSON_VALUE_FOR_CAST, text)
        }
    })
}

/// CAST(... AS ... ARRAY), with a value of the items' type behind the document.
pub const CAST_ARRAY: &str = "CAST ARRAY";

pub static FUNCTIONS: &[Function] = &[Function::new(CAST_ARRAY, Exactly(2), result::json, cast_array).takes_null()];

/// The items of an array, each as a value of the type; a scalar is an array of one. Texts keep their form.
/// Manual: "Multi-Valued Indexes" (15.1.15).
fn cast_array(call: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    if arguments[0].is_null() {
        return Ok(Value::Null);
    }
    let refused = |code: u16, what: &str| SqlError::new(ErrorCode(code), format!("{what} functional index"));
    let document = document(arguments, 0, "cast_as_array")?;
    let ty = &call.argument_types[1];
    let strict =
        EvalContext { strict_write: true, ignore: false, effects: Arc::<Effects>::default(), ..context.clone() };
    let items = match &*document.0 {
        Node::Array(items) => items.as_slice(),
        single => std::slice::from_ref(single),
    };
    let mut cast = Vec::with_capacity(items.len());
    for item in items {
        if item.is_array() || item.is_object() || item.is_null() {
            return Err(refused(3903, "Invalid JSON value for"));
        }
        let value = stored(item, "", ty, &strict).map_err(|error| match error.code {
            ErrorCode(3669) => refused(3904, "Out of range JSON value for"),
            ErrorCode::DATA_TOO_LONG => refused(3907, "Data too long for"),
            _ => refused(3903, "Invalid JSON value for"),
        })?;
        cast.push(node_of(&value, ty));
    }
    Ok(json_value(Node::Array(cast)))
}
