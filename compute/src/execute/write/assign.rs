//! A value into a column: conversion, NULL, defaults.

use crate::catalog::TableDef;
use crate::catalog::schema::{ColumnDef, ColumnDefault};
use crate::execute::expressions::TableExpressions;
use expr::collation;
use expr::eval::{EvalContext, eval};
use expr::mysql_type::{MysqlType, TypeKind};
use expr::store::store;
use expr::value::decimal::Decimal;
use expr::value::temporal::{Date, DateTime, Time};
use expr::value::{Row, Value};
use expr::{ErrorCode, SqlError};

/// A value as the column holds it; NULL stays NULL. Values that do not fit are errors or warnings, as the context says.
pub fn convert(column: &ColumnDef, value: Value, row_number: u64, context: &EvalContext) -> Result<Value, SqlError> {
    if value.is_null() {
        return Ok(Value::Null);
    }
    store(value, &column.name, row_number, &column.ty, context)
}

/// A value into a column that may refuse NULL: error 1048, or the type's implicit default with a warning where the
/// statement tolerates it.
pub fn assign(column: &ColumnDef, value: Value, row_number: u64, context: &EvalContext) -> Result<Value, SqlError> {
    if value.is_null() && !column.ty.nullable {
        let message = format!("Column '{}' cannot be null", column.name);
        if context.strict_write && !context.ignore {
            return Err(SqlError::new(ErrorCode::BAD_NULL, message));
        }
        context.warn(ErrorCode::BAD_NULL, message);
        return Ok(implicit_default(&column.ty));
    }
    convert(column, value, row_number, context)
}

/// Whether a value came through its conversion to a column's type without becoming another.
pub fn is_same(stored: &Value, original: &Value, ty: &MysqlType) -> bool {
    let quiet = EvalContext::constant();
    let same = || -> Result<bool, SqlError> {
        Ok(match stored {
            Value::Null => original.is_null(),
            Value::Int(_) | Value::UInt(_) | Value::Decimal(_) | Value::Bit(..) => {
                stored.to_decimal(&quiet)? == original.to_decimal(&quiet)?
            }
            Value::Float(_) | Value::Double(_) => stored.to_f64(&quiet)? == original.to_f64(&quiet)?,
            Value::Text(text) => collation::equal(ty.collation, text, &original.to_text()),
            Value::Bytes(bytes) => **bytes == *original.to_bytes(),
            Value::Date(_) | Value::DateTime(_) => stored.to_datetime(&quiet)? == original.to_datetime(&quiet)?,
            Value::Time(_) => stored.to_time(&quiet)? == original.to_time(&quiet)?,
            Value::Enum(index, text) => match original {
                Value::Text(other) => collation::equal(ty.collation, text, other),
                Value::Enum(..) => collation::equal(ty.collation, text, &original.to_text()),
                other => other.to_decimal(&quiet)? == Decimal::from(u64::from(*index)),
            },
            Value::Set(bits, text) => match original {
                Value::Text(other) => collation::equal(ty.collation, text, other),
                Value::Set(..) => collation::equal(ty.collation, text, &original.to_text()),
                other => other.to_decimal(&quiet)? == Decimal::from(*bits),
            },
            Value::Json(_) => false,
        })
    };
    same().unwrap_or(false)
}

/// The value of a constant DEFAULT clause.
pub fn literal_default(column: &ColumnDef, text: &str, context: &EvalContext) -> Result<Value, SqlError> {
    if let TypeKind::Bit { .. } = column.ty.kind
        && let Some(bits) = bit_literal(text)
    {
        return convert(column, Value::UInt(bits), 1, context);
    }
    if column.ty.is_binary() {
        return convert(column, Value::bytes(text), 1, context);
    }
    convert(column, Value::text(text), 1, context)
}

/// `b'101'`, or a number.
fn bit_literal(text: &str) -> Option<u64> {
    match text.strip_prefix("b'").and_then(|rest| rest.strip_suffix('\'')) {
        Some(digits) => u64::from_str_radix(digits, 2).ok(),
        None => text.parse().ok(),
    }
}

/// What a column without a value gets. Error 1364 if there is nothing: in strict mode, for NOT NULL without DEFAULT.
/// `values` are the row's columns as far as they are known, for DEFAULT (...).
pub fn default(
    table: &TableDef,
    position: usize,
    expressions: &TableExpressions,
    values: &Row,
    row_number: u64,
    context: &EvalContext,
) -> Result<Value, SqlError> {
    let column = &table.columns[position];
    match &column.default {
        ColumnDefault::Null => Ok(Value::Null),
        ColumnDefault::Literal(text) => literal_default(column, text, context),
        ColumnDefault::Now => now(column, context),
        ColumnDefault::Expression(_) => match expressions.defaults.get(&position) {
            Some(expression) => assign(column, eval(expression, values, context)?, row_number, context),
            None => Err(SqlError::internal(format!("The default of {} is not bound", column.name))),
        },
        ColumnDefault::None if column.ty.nullable => Ok(Value::Null),
        ColumnDefault::None if column.auto_increment => Ok(Value::Null),
        // An ENUM without DEFAULT takes its first member.
        ColumnDefault::None if matches!(column.ty.kind, TypeKind::Enum(_)) => Ok(implicit_default(&column.ty)),
        ColumnDefault::None => {
            let message = format!("Field '{}' doesn't have a default value", column.name);
            if context.strict_write && !context.ignore {
                return Err(SqlError::new(ErrorCode::NO_DEFAULT_FOR_FIELD, message));
            }
            context.warn(ErrorCode::NO_DEFAULT_FOR_FIELD, message);
            Ok(implicit_default(&column.ty))
        }
    }
}

/// The statement's time in the column's type.
pub fn now(column: &ColumnDef, context: &EvalContext) -> Result<Value, SqlError> {
    let fsp = match column.ty.kind {
        TypeKind::DateTime { fsp } | TypeKind::Timestamp { fsp } => fsp,
        _ => 0,
    };
    convert(column, Value::DateTime(context.now().truncate(fsp)), 1, context)
}

/// Manual: "Data Type Default Values" (13.6), implicit default handling.
pub fn implicit_default(ty: &MysqlType) -> Value {
    if ty.nullable {
        return Value::Null;
    }
    match &ty.kind {
        TypeKind::Int { unsigned: false, .. } => Value::Int(0),
        TypeKind::Int { .. } | TypeKind::Year => Value::UInt(0),
        TypeKind::Bit { bits } => Value::Bit(0, *bits),
        TypeKind::Float { .. } => Value::Float(0.0),
        TypeKind::Double { .. } => Value::Double(0.0),
        TypeKind::Decimal { scale, .. } => Value::Decimal(Decimal::new(0.into(), *scale)),
        TypeKind::Date => Value::Date(Date::ZERO),
        TypeKind::DateTime { fsp } | TypeKind::Timestamp { fsp } => Value::DateTime(DateTime::from_packed(0, *fsp)),
        TypeKind::Time { fsp } => Value::Time(Time::new(0, *fsp)),
        TypeKind::Enum(members) => match members.first() {
            Some(first) => Value::Enum(1, first.as_str().into()),
            None => Value::Enum(0, "".into()),
        },
        TypeKind::Set(_) => Value::Set(0, "".into()),
        TypeKind::Binary { length } => Value::bytes(vec![0; *length as usize]),
        TypeKind::Json => Value::Json(expr::value::json::Json::null()),
        _ if ty.is_binary() => Value::bytes([]),
        TypeKind::Null => Value::Null,
        _ => Value::text(""),
    }
}
