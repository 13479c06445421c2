//! JSON_TABLE in FROM: a derived table whose rows come out of a document, which may be a column of a table to its left.
//! Manual: "JSON Table Functions" (14.17.6).

use crate::sql::bind::column_type::{column_type, text_of};
use crate::sql::bind::scope::{Block, Boundary, Clause};
use crate::sql::bind::{Binder, Built};
use crate::sql::parse::ast::syntax::{
    Expr, JsonTableColumn, JsonTableColumnErrorHandling, JsonTableNamedColumn, Value as Literal, ValueWithSpan,
};
use crate::sql::parse::parse_type;
use crate::sql::plan::{Field, JsonTable, Node, Query};
use expr::collation::CollationId;
use expr::eval::EvalContext;
use expr::function::json::table::{JsonColumn, JsonTable as Table, Otherwise, stored};
use expr::mysql_type::MysqlType;
use expr::value::json::Json;
use expr::value::json::path::JsonPath;
use expr::{ErrorCode, SqlError};

/// Nested paths in one call.
const NESTED_MAX: usize = 16;

impl Binder<'_> {
    /// The query of a table function, and whether it reads what is around it.
    pub fn json_table(
        &mut self,
        document: &Expr,
        path: &ValueWithSpan,
        columns: &[JsonTableColumn],
        alias: &str,
        boundary: Boundary,
    ) -> Result<(Query, bool), SqlError> {
        let mut nested = 0;
        let table = self.rows_of(path, columns, &mut nested)?;
        if nested > NESTED_MAX {
            let text = format!("More than supported {NESTED_MAX} NESTED PATHs were found in JSON_TABLE '{alias}'");
            return Err(SqlError::new(ErrorCode(3670), text));
        }
        let fields = table.fields();
        for (position, (name, _)) in fields.iter().enumerate() {
            if fields[..position].iter().any(|(other, _)| other.eq_ignore_ascii_case(name)) {
                return Err(SqlError::new(ErrorCode::DUP_FIELDNAME, format!("Duplicate column name '{name}'")));
            }
        }
        let fields = fields.into_iter().map(|(name, ty)| Field { name, ty, origin: None }).collect();
        self.framed(boundary, |binder| {
            let mut block = Block::new(boundary, binder.frames.len() - 1);
            block.clause = Clause::TableFunction;
            binder.blocks.push(block);
            let document = binder.expression(document)?;
            let root = Node::JsonTable(Box::new(JsonTable { document, table }));
            Ok(Built { root, fields, calc_found_rows: false })
        })
    }

    fn rows_of(
        &mut self,
        path: &ValueWithSpan,
        columns: &[JsonTableColumn],
        nested: &mut usize,
    ) -> Result<Table, SqlError> {
        let path = path_of(path)?;
        let columns = columns.iter().map(|column| match column {
            JsonTableColumn::ForOrdinality(name) => Ok(JsonColumn::Ordinality { name: name.value.clone() }),
            JsonTableColumn::Nested(inner) => {
                *nested += 1;
                Ok(JsonColumn::Nested(self.rows_of(&inner.path, &inner.columns, nested)?))
            }
            JsonTableColumn::Named(column) => self.json_column(column),
        });
        Ok(Table { path, columns: columns.collect::<Result<_, SqlError>>()? })
    }

    fn json_column(&mut self, column: &JsonTableNamedColumn) -> Result<JsonColumn, SqlError> {
        let name = column.name.value.clone();
        let written = parse_type(&column.r#type.to_string(), self.context.sql_mode)?;
        let (mut ty, collation) = column_type(&name, &written, CollationId::UTF8MB4_0900_AI_CI)?;
        if ty.is_text() {
            ty.collation = collation.unwrap_or(CollationId::UTF8MB4_0900_AI_CI);
        }
        let path = path_of(&column.path)?;
        if column.exists {
            return Ok(JsonColumn::Exists { name, ty, path });
        }
        let on_empty = otherwise(column.on_empty.as_ref(), &name, &ty)?;
        let on_error = otherwise(column.on_error.as_ref(), &name, &ty)?;
        Ok(JsonColumn::Path { name, ty, path, on_empty, on_error })
    }
}

fn path_of(path: &ValueWithSpan) -> Result<JsonPath, SqlError> {
    match &path.value {
        Literal::SingleQuotedString(text) => JsonPath::parse(text),
        other => Err(SqlError::new(
            ErrorCode::PARSE_ERROR,
            format!("You have an error in your SQL syntax; a path of JSON_TABLE is a text, not {other}"),
        )),
    }
}

/// What a clause ON EMPTY or ON ERROR says; a default is a JSON text, which the column must take.
fn otherwise(
    clause: Option<&JsonTableColumnErrorHandling>,
    column: &str,
    ty: &MysqlType,
) -> Result<Otherwise, SqlError> {
    Ok(match clause {
        None | Some(JsonTableColumnErrorHandling::Null) => Otherwise::Null,
        Some(JsonTableColumnErrorHandling::Error) => Otherwise::Error,
        Some(JsonTableColumnErrorHandling::Default(value)) => {
            let invalid = || SqlError::new(ErrorCode::INVALID_DEFAULT, format!("Invalid default value for '{column}'"));
            let text = text_of(&value.value).ok_or_else(invalid)?;
            let document = Json::parse(&text).map_err(|_| invalid())?;
            let strict = EvalContext { strict_write: true, ..EvalContext::constant() };
            match stored(&document.0, column, ty, &strict) {
                Ok(value) if ty.kind == expr::mysql_type::TypeKind::Json || !is_composite(&document) => {
                    Otherwise::Default(value)
                }
                _ => return Err(invalid()),
            }
        }
    })
}

fn is_composite(document: &Json) -> bool {
    document.0.is_array() || document.0.is_object()
}
