//! From a column as it was asked for to a column as it is stored, with MySQL's rules about types, NULL and defaults.

use crate::catalog::schema::{ColumnDef, ColumnDefault};
use crate::execute::write::assign;
use crate::sql::plan::ColumnSpec;
use common::id::ColumnId;
use expr::collation::CollationId;
use expr::eval::EvalContext;
use expr::mysql_type::{MysqlType, TypeKind};
use expr::value::{Value, number_text};
use expr::{ErrorCode, SqlError};

/// MySQL's limit on columns of a table.
pub const COLUMNS_MAX: usize = 4096;

/// Characters in the comment of a column, an index or a partition.
pub const COMMENT_MAX: usize = 1024;

/// A column's definition. `table_collation` is for text without a character set of its own.
pub fn define(
    spec: &ColumnSpec,
    id: ColumnId,
    table_collation: CollationId,
    eval: &EvalContext,
) -> Result<ColumnDef, SqlError> {
    if spec.name.is_empty() || spec.name.ends_with(' ') {
        return Err(SqlError::new(ErrorCode(1166), format!("Incorrect column name '{}'", spec.name)));
    }
    if spec.name.chars().count() > 64 {
        return Err(SqlError::new(ErrorCode::TOO_LONG_IDENT, format!("Identifier name '{}' is too long", spec.name)));
    }
    if let Some(note) = &spec.note {
        eval.note(ErrorCode(1246), note.clone());
    }
    let comment = fit_comment(&spec.comment, COMMENT_MAX, ErrorCode(1629), &format!("field '{}'", spec.name), eval)?;
    let mut ty = spec.ty.clone();
    if ty.is_text() {
        ty.collation = spec.collation.unwrap_or(table_collation);
    }
    // Texts of a table of bytes are bytes.
    if ty.collation == CollationId::BINARY {
        ty.kind = match ty.kind {
            TypeKind::Char { length } => TypeKind::Binary { length },
            TypeKind::VarChar { length } => TypeKind::VarBinary { length },
            TypeKind::Text { size } => TypeKind::Blob { size },
            other => other,
        };
    }
    ty.nullable = spec.nullable.unwrap_or(true) && !spec.auto_increment;
    let mut column = ColumnDef {
        id,
        name: spec.name.clone(),
        ty,
        default: spec.default.clone(),
        on_update_now: spec.on_update_now,
        auto_increment: spec.auto_increment,
        generated: spec.generated.clone(),
        comment,
        invisible: spec.invisible,
        added_default: None,
    };
    if takes_no_default(&column.ty)
        && !eval.sql_mode.is_strict()
        && matches!(&column.default, ColumnDefault::Literal(text) if text.is_empty())
    {
        let error = no_default_taken(&column);
        eval.warn(error.code, error.message);
        column.default = ColumnDefault::None;
    }
    check(&column, eval)?;
    settle_default(&mut column, eval)?;
    Ok(column)
}

/// A comment of at most so many characters: a longer one is an error in strict mode, and is cut otherwise.
pub fn fit_comment(
    comment: &str,
    characters_max: usize,
    code: ErrorCode,
    what: &str,
    eval: &EvalContext,
) -> Result<String, SqlError> {
    let Some((end, _)) = comment.char_indices().nth(characters_max) else { return Ok(comment.to_owned()) };
    let text = format!("Comment for {what} is too long (max = {characters_max})");
    if eval.sql_mode.is_strict() {
        return Err(SqlError::new(code, text));
    }
    eval.warn(code, text);
    Ok(comment[..end].to_owned())
}

/// A number or a moment as a default is kept, and shown, as the column would hold it: `1` as `1.00`.
pub fn settle_default(column: &mut ColumnDef, eval: &EvalContext) -> Result<(), SqlError> {
    let ty = &column.ty;
    let settles = ty.is_temporal() || (ty.is_numeric() && !matches!(ty.kind, TypeKind::Bit { .. }));
    if let (true, ColumnDefault::Literal(text)) = (settles, &column.default) {
        let value = assign::literal_default(column, text, eval)?;
        let text = match (&ty.kind, &value) {
            (TypeKind::Float { display: Some((_, decimals)), .. }, Value::Float(number)) => {
                number_text::fixed(f64::from(*number), *decimals)
            }
            (TypeKind::Double { display: Some((_, decimals)), .. }, Value::Double(number)) => {
                number_text::fixed(*number, *decimals)
            }
            _ => value.to_text().into_owned(),
        };
        column.default = ColumnDefault::Literal(text);
    }
    Ok(())
}

/// Whether a column's clauses go together.
pub fn check(column: &ColumnDef, eval: &EvalContext) -> Result<(), SqlError> {
    let invalid_default =
        || SqlError::new(ErrorCode::INVALID_DEFAULT, format!("Invalid default value for '{}'", column.name));
    if column.auto_increment {
        let number = matches!(column.ty.kind, TypeKind::Int { .. } | TypeKind::Float { .. } | TypeKind::Double { .. });
        if !number {
            return Err(SqlError::new(
                ErrorCode(1063),
                format!("Incorrect column specifier for column '{}'", column.name),
            ));
        }
        if !matches!(column.default, ColumnDefault::None) {
            return Err(invalid_default());
        }
    }
    if column.on_update_now && clock_digits(&column.ty).is_none() {
        return Err(SqlError::new(
            ErrorCode::INVALID_ON_UPDATE,
            format!("Invalid ON UPDATE clause for '{}' column", column.name),
        ));
    }
    match &column.default {
        ColumnDefault::None | ColumnDefault::Expression(_) => Ok(()),
        ColumnDefault::Null if column.ty.nullable => Ok(()),
        ColumnDefault::Null => Err(invalid_default()),
        ColumnDefault::Now => clock_digits(&column.ty).map(drop).ok_or_else(invalid_default),
        ColumnDefault::Literal(_) if takes_no_default(&column.ty) => Err(no_default_taken(column)),
        ColumnDefault::Literal(text) => {
            let strict = EvalContext { strict_write: true, ignore: false, ..eval.clone() };
            assign::literal_default(column, text, &strict).map(drop).map_err(|_| invalid_default())
        }
    }
}

fn no_default_taken(column: &ColumnDef) -> SqlError {
    SqlError::new(
        ErrorCode::BLOB_CANT_HAVE_DEFAULT,
        format!("BLOB, TEXT, GEOMETRY or JSON column '{}' can't have a default value", column.name),
    )
}

fn takes_no_default(ty: &MysqlType) -> bool {
    matches!(ty.kind, TypeKind::Text { .. } | TypeKind::Blob { .. } | TypeKind::Json | TypeKind::Geometry(_))
}

/// Fraction digits of the types that may take the statement's time by themselves.
fn clock_digits(ty: &MysqlType) -> Option<u8> {
    match ty.kind {
        TypeKind::DateTime { fsp } | TypeKind::Timestamp { fsp } => Some(fsp),
        _ => None,
    }
}

/// What existing rows get when a column is added without a value for them: the text of the type's implicit default.
pub fn implicit_default_text(ty: &MysqlType) -> Option<String> {
    if ty.nullable {
        return None;
    }
    Some(match &ty.kind {
        TypeKind::Date => "0000-00-00".into(),
        TypeKind::DateTime { .. } | TypeKind::Timestamp { .. } => "0000-00-00 00:00:00".into(),
        TypeKind::Time { .. } => "00:00:00".into(),
        TypeKind::Enum(members) => members.first().cloned().unwrap_or_default(),
        TypeKind::Json => "null".into(),
        _ if ty.is_numeric() => "0".into(),
        _ => String::new(),
    })
}
