//! LOAD DATA: rows of a file into a table, a chunk at a time. Manual: "LOAD DATA Statement" (15.2.9).
//!
//! Flow: `input` gives bytes, `reader` divides them into fields, and here they become rows for [`InsertRows`].

pub mod input;
mod reader;

use crate::catalog::schema::{ColumnDef, ColumnDefault};
use crate::execute::StatementContext;
use crate::execute::row::{Evaluator, Scope};
use crate::execute::write::insert_rows::{InsertRows, NewRow};
use crate::execute::write::{CHUNK_ROWS, assign, skip_if_ignored};
use crate::sql::plan::{Insert, LoadFile, LoadTarget};
use expr::collation::Charset;
use expr::error::WarningLevel;
use expr::mysql_type::{MysqlType, TypeKind};
use expr::value::Value;
use expr::{ErrorCode, SqlError};
use reader::{Line, Next, Reader};
use std::sync::PoisonError;

/// Answers how many rows the file has.
pub async fn from_file<'q>(
    statement: &'q Insert,
    file: &'q LoadFile,
    scope: &Scope<'q>,
    rows: &mut InsertRows<'q>,
    context: &mut StatementContext<'_>,
) -> Result<u64, SqlError> {
    let Some(mut input) = context.input.take() else {
        return Err(SqlError::not_supported("LOAD DATA in this place"));
    };
    let cancel = context.queries.cancel.clone();
    let widths = widths(statement, file);
    let mut reader = Reader::new(&file.format, file.targets.len(), widths, file.lines_ignored);
    let load = Load { statement, file, scope };
    let mut new_rows = Vec::new();
    let mut row_number = 0;
    loop {
        match reader.next() {
            Next::Row(line) => {
                row_number += 1;
                match load.row(line, row_number, rows, context).await {
                    Ok(row) => new_rows.extend(row),
                    Err(error) => return Err(rows.failed(new_rows, error, context).await),
                }
                if new_rows.len() == CHUNK_ROWS {
                    cancel.check()?;
                    rows.insert(std::mem::take(&mut new_rows), context).await?;
                }
            }
            Next::Wanted => {
                let held = reader.held_bytes();
                if held > context.queries.memory.limit_bytes() {
                    let text = format!("A row of more than {held} bytes in the file; are the separators right?");
                    return Err(SqlError::new(ErrorCode::NET_PACKET_TOO_LARGE, text));
                }
                match input.next(&cancel).await? {
                    Some(bytes) => reader.feed(&bytes),
                    None => reader.end(),
                }
            }
            Next::End => break,
        }
    }
    rows.insert(new_rows, context).await?;
    Ok(row_number)
}

struct Load<'l, 'q> {
    statement: &'q Insert,
    file: &'q LoadFile,
    scope: &'l Scope<'q>,
}

impl Load<'_, '_> {
    /// `None` for a row that IGNORE skips.
    async fn row(
        &self,
        line: Line,
        number: u64,
        rows: &InsertRows<'_>,
        context: &mut StatementContext<'_>,
    ) -> Result<Option<NewRow>, SqlError> {
        let mut row = rows.start_row(&self.statement.columns, number, context)?;
        let mut fields = line.fields.into_iter();
        let mut is_short = false;
        for target in &self.file.targets {
            let field = fields.next();
            is_short |= field.is_none();
            match (target, field) {
                (LoadTarget::Variable(name), field) => {
                    let value = match field.and_then(|field| field.bytes) {
                        Some(bytes) => text(bytes, self.file.charset)?,
                        None => Value::Null,
                    };
                    let variables = &context.eval.effects.user_variables;
                    variables.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone(), value);
                }
                (LoadTarget::Column(position), Some(field)) => {
                    let column = &self.statement.table.columns[*position];
                    let value = match field.bytes {
                        Some(bytes) => Some(value(bytes, &column.ty, self.file.charset)?),
                        None => null(column, number, context)?,
                    };
                    let Some(value) = value else { continue };
                    if !skip_if_ignored(rows.set(&mut row, *position, Some(value), context), context)? {
                        return Ok(None);
                    }
                }
                (LoadTarget::Column(position), None) => {
                    // The implicit default, which is there already, is all that a column without a default gets.
                    let column = &self.statement.table.columns[*position];
                    if column.auto_increment || !matches!(column.default, ColumnDefault::None) {
                        rows.set(&mut row, *position, None, context)?;
                    }
                }
            }
        }
        if is_short {
            let text = format!("Row {number} doesn't contain data for all columns");
            complain(ErrorCode(1261), text, context)?;
        }
        for (position, expression) in &self.file.assignments {
            let value = match expression {
                Some(expression) => {
                    let mut evaluator = Evaluator::new(expression, self.scope);
                    Some(context.with_functions(evaluator.eval(&row.values)).await?)
                }
                None => None,
            };
            if !skip_if_ignored(rows.set(&mut row, *position, value, context), context)? {
                return Ok(None);
            }
        }
        if line.cut {
            let text = format!("Row {number} was truncated; it contained more data than there were input columns");
            complain(ErrorCode(1262), text, context)?;
        }
        Ok(Some(row))
    }
}

/// A warning, or an error where strict mode makes one of it.
fn complain(code: ErrorCode, text: String, context: &StatementContext<'_>) -> Result<(), SqlError> {
    if context.eval.strict_write && !context.eval.ignore {
        return Err(SqlError::new(code, text));
    }
    context.warn(WarningLevel::Warning, code, text);
    Ok(())
}

/// NULL for a column; `None`: it keeps its implicit default.
fn null(column: &ColumnDef, number: u64, context: &StatementContext<'_>) -> Result<Option<Value>, SqlError> {
    if column.ty.nullable || column.auto_increment || column.generated.is_some() {
        return Ok(Some(Value::Null));
    }
    let name = &column.name;
    let text = format!("Column set to default value; NULL supplied to NOT NULL column '{name}' at row {number}");
    complain(ErrorCode(1263), text, context)?;
    Ok(match column.ty.kind {
        TypeKind::Timestamp { .. } => Some(assign::now(column, &context.eval)?),
        _ => None,
    })
}

fn value(bytes: Vec<u8>, ty: &MysqlType, charset: Charset) -> Result<Value, SqlError> {
    match ty.is_binary() || matches!(ty.kind, TypeKind::Bit { .. }) {
        true => Ok(Value::bytes(bytes)),
        false => text(bytes, charset),
    }
}

fn text(bytes: Vec<u8>, charset: Charset) -> Result<Value, SqlError> {
    if charset == Charset::Utf8mb4 {
        return match String::from_utf8(bytes) {
            Ok(text) => Ok(Value::text(text)),
            Err(error) => Err(invalid(charset, error.as_bytes(), error.utf8_error().valid_up_to())),
        };
    }
    match charset.decode(&bytes) {
        Ok(text) => Ok(Value::text(&text)),
        Err(_) if charset == Charset::Binary => Ok(Value::bytes(bytes)),
        Err(position) => Err(invalid(charset, &bytes, position)),
    }
}

fn invalid(charset: Charset, bytes: &[u8], position: usize) -> SqlError {
    let shown: String = bytes.iter().skip(position).take(6).map(|byte| format!("\\x{byte:02X}")).collect();
    SqlError::new(ErrorCode(1300), format!("Invalid {} character string: '{shown}'", charset.name()))
}

/// What a field takes in a file without separators: the width that the column is shown with.
fn widths(statement: &Insert, file: &LoadFile) -> Vec<usize> {
    let of = |target: &LoadTarget| match target {
        LoadTarget::Variable(_) => 0,
        LoadTarget::Column(position) => width(&statement.table.columns[*position].ty, file.charset),
    };
    if file.format.is_fixed() { file.targets.iter().map(of).collect() } else { Vec::new() }
}

fn width(ty: &MysqlType, charset: Charset) -> usize {
    let fraction = |fsp: u8| if fsp == 0 { 0 } else { 1 + usize::from(fsp) };
    match &ty.kind {
        TypeKind::Int { bytes, .. } => match bytes {
            1 => 4,
            2 => 6,
            3 => 8,
            4 => 11,
            _ => 20,
        },
        TypeKind::Decimal { precision, .. } => usize::from(*precision) + 2,
        TypeKind::Float { .. } => 12,
        TypeKind::Double { .. } => 22,
        TypeKind::Year => 4,
        TypeKind::Date => 10,
        TypeKind::Time { fsp } => 10 + fraction(*fsp),
        TypeKind::DateTime { fsp } | TypeKind::Timestamp { fsp } => 19 + fraction(*fsp),
        TypeKind::Char { length } | TypeKind::VarChar { length } => *length as usize * charset.bytes_max() as usize,
        TypeKind::Binary { length } | TypeKind::VarBinary { length } => *length as usize,
        TypeKind::Bit { bits } => usize::from(*bits).div_ceil(8),
        TypeKind::Enum(members) => members.iter().map(|member| member.len()).max().unwrap_or(0),
        TypeKind::Set(members) => members.iter().map(|member| member.len() + 1).sum::<usize>().saturating_sub(1),
        _ => 0,
    }
}
