//! How ALTER TABLE carries a value into a column of another type.
//!
//! It is not quite an assignment: between types of other kinds MySQL goes through the text of a value, or its number,
//! before it is stored, and text that is cut for a shorter column of the same kind is said to be truncated (1265).

use crate::catalog::schema::ColumnDef;
use crate::execute::write::assign;
use expr::eval::EvalContext;
use expr::mysql_type::{MysqlType, TypeKind};
use expr::value::Value;
use expr::value::decimal::Decimal;
use expr::{ErrorCode, SqlError};

/// The value of a row's column `before` as its new column `after` has it.
pub fn converted(
    before: &ColumnDef,
    after: &ColumnDef,
    value: Value,
    row_number: u64,
    context: &EvalContext,
) -> Result<Value, SqlError> {
    if value.is_null() && !after.ty.nullable {
        return null_refused(before, after, row_number, context);
    }
    if value.is_null() || before.ty.kind == after.ty.kind {
        return Ok(value);
    }
    let value = carried(value, &before.ty, &after.ty, context)?;
    let whole = cut_in_place(&before.ty, &after.ty).then(|| value.clone());
    let stored = assign::convert(after, value, row_number, context);
    let strict = context.strict_write && !context.ignore;
    let cut = match (&stored, &whole) {
        (Err(error), Some(_)) => error.code == ErrorCode::DATA_TOO_LONG,
        // A VARCHAR loses no spaces in silence.
        (Ok(stored), Some(whole)) => strict && is_varying(&after.ty) && stored.to_bytes() != whole.to_bytes(),
        _ => false,
    };
    if cut { Err(truncated(after, row_number)) } else { stored }
}

fn null_refused(
    before: &ColumnDef,
    after: &ColumnDef,
    row_number: u64,
    context: &EvalContext,
) -> Result<Value, SqlError> {
    if matches!(after.ty.kind, TypeKind::Timestamp { .. }) && before.ty.kind != after.ty.kind {
        return assign::now(after, context);
    }
    if context.strict_write && before.ty.kind == after.ty.kind && before.name == after.name {
        return Err(SqlError::new(ErrorCode(1138), "Invalid use of NULL value"));
    }
    if context.strict_write {
        return Err(truncated(after, row_number));
    }
    Ok(assign::implicit_default(&after.ty))
}

fn truncated(column: &ColumnDef, row_number: u64) -> SqlError {
    let text = format!("Data truncated for column '{}' at row {row_number}", column.name);
    SqlError::new(ErrorCode::WARN_DATA_TRUNCATED, text)
}

/// What of the value is stored: its text, its number, or itself.
fn carried(value: Value, before: &MysqlType, after: &MysqlType, context: &EvalContext) -> Result<Value, SqlError> {
    let large = matches!(after.kind, TypeKind::Text { .. } | TypeKind::Blob { .. } | TypeKind::Json);
    Ok(match (value, &after.kind) {
        (Value::Bit(bits, _), _) if !large => Value::UInt(bits),
        (value @ (Value::Text(_) | Value::Bytes(_)), TypeKind::Decimal { .. }) => decimal_of(&value, context)?,
        (Value::Double(number), TypeKind::Year) => whole(number),
        (Value::Float(number), TypeKind::Year) => whole(f64::from(number)),
        (value, kind) if is_number(&before.kind) && !large && is_text_or_moment(kind) => {
            Value::text(number_text(&value, before))
        }
        (value, _) => value,
    })
}

fn is_number(kind: &TypeKind) -> bool {
    matches!(
        kind,
        TypeKind::Int { .. }
            | TypeKind::Year
            | TypeKind::Float { .. }
            | TypeKind::Double { .. }
            | TypeKind::Decimal { .. }
    )
}

fn is_text_or_moment(kind: &TypeKind) -> bool {
    matches!(
        kind,
        TypeKind::Char { .. }
            | TypeKind::VarChar { .. }
            | TypeKind::Binary { .. }
            | TypeKind::VarBinary { .. }
            | TypeKind::Enum(_)
            | TypeKind::Set(_)
            | TypeKind::Date
            | TypeKind::Time { .. }
            | TypeKind::DateTime { .. }
            | TypeKind::Timestamp { .. }
    )
}

/// Half to even, as the processor rounds.
fn whole(number: f64) -> Value {
    Value::Int(number.round_ties_even() as i64)
}

/// As a result set shows the number: with all decimals of a DOUBLE(M,D), the zeros of ZEROFILL and of a year.
fn number_text(value: &Value, ty: &MysqlType) -> String {
    let decimals = match ty.kind {
        TypeKind::Double { display: Some((_, decimals)), .. }
        | TypeKind::Float { display: Some((_, decimals)), .. } => Some(usize::from(decimals)),
        _ => None,
    };
    match (value, decimals) {
        (Value::Double(number), Some(decimals)) if number.is_finite() => return format!("{number:.decimals$}"),
        (Value::Float(number), Some(decimals)) if number.is_finite() => {
            return format!("{:.decimals$}", f64::from(*number));
        }
        _ => {}
    }
    let width = match ty.kind {
        TypeKind::Year => 4,
        TypeKind::Int { display, .. } if display.zerofill => display.width.unwrap_or(0).into(),
        _ => 0,
    };
    format!("{:0>width$}", value.to_text())
}

/// The number that a text is read as; error 1292 where it is none to its end.
fn decimal_of(value: &Value, context: &EvalContext) -> Result<Value, SqlError> {
    let text = value.to_text();
    let parsed = Decimal::parse_prefix(text.as_bytes());
    if parsed.consumed == 0 || !text.as_bytes()[parsed.consumed..].iter().all(u8::is_ascii_whitespace) {
        context.truncated_value("DECIMAL", &text)?;
    }
    Ok(Value::Decimal(parsed.number))
}

fn is_varying(ty: &MysqlType) -> bool {
    matches!(ty.kind, TypeKind::VarChar { .. } | TypeKind::VarBinary { .. })
}

/// Between columns of one kind and one collation the bytes are cut, not stored anew.
fn cut_in_place(before: &MysqlType, after: &MysqlType) -> bool {
    if before.collation != after.collation {
        return false;
    }
    // One byte counts the bytes of a short VARCHAR, two those of a longer one: only then they are stored anew.
    let long = |length: u32| u64::from(length) * u64::from(before.collation.charset().bytes_max()) > 255;
    match (&before.kind, &after.kind) {
        (TypeKind::Char { .. }, TypeKind::Char { .. }) | (TypeKind::Binary { .. }, TypeKind::Binary { .. }) => true,
        (TypeKind::VarChar { length: from }, TypeKind::VarChar { length: to }) => long(*from) == long(*to),
        (TypeKind::VarBinary { length: from }, TypeKind::VarBinary { length: to }) => (*from > 255) == (*to > 255),
        _ => false,
    }
}
