use super::*;
use crate::collation::CollationId;
use crate::eval::SqlMode;

fn text(length: u32) -> MysqlType {
    MysqlType::varchar(length, CollationId::UTF8MB4_0900_AI_CI)
}

fn decimal(precision: u8, scale: u8) -> MysqlType {
    MysqlType::new(TypeKind::Decimal { precision, scale, unsigned: false })
}

/// The value as text and the codes of its warnings; NULL shows as `NULL`.
fn shown(value: Value, target: &MysqlType) -> String {
    let mode = SqlMode(SqlMode::NO_ZERO_DATE.0 | SqlMode::NO_ZERO_IN_DATE.0);
    let context = EvalContext { sql_mode: mode, ..EvalContext::constant() };
    let value = cast(value, target, &context).expect("warnings only");
    let mut text = if value.is_null() { "NULL".to_string() } else { value.to_text().into_owned() };
    for warning in context.effects.warnings.lock().expect("no panic").iter() {
        text.push_str(&format!(" {}", warning.code.0));
    }
    text
}

#[test]
fn casts_convert_or_warn() {
    let signed = MysqlType::bigint();
    let unsigned = MysqlType::bigint_unsigned();
    let date = MysqlType::new(TypeKind::Date);
    let datetime = MysqlType::new(TypeKind::DateTime { fsp: 0 });
    let json = MysqlType::new(TypeKind::Json);
    for (value, target, result) in [
        (Value::text("12.9"), &signed, "12 1292"),
        (Value::UInt(u64::MAX), &signed, "-1"),
        (Value::text("18446744073709551615"), &signed, "-1 1105"),
        (Value::Double(1e30), &signed, "9223372036854775807 1292"),
        (Value::Int(-1), &unsigned, "18446744073709551615"),
        (Value::text("-1"), &unsigned, "18446744073709551615 1105"),
        (Value::text("1.005"), &decimal(5, 2), "1.01"),
        (Value::Int(12345), &decimal(4, 1), "999.9 1264"),
        (Value::text("abc"), &decimal(4, 1), "0.0 1292"),
        (Value::text("äöü"), &text(2), "äö 1292"),
        (Value::Double(1.5), &text(10), "1.5"),
        (Value::bytes(b"\xff"), &text(10), "NULL 1300"),
        (Value::text("ab"), &MysqlType::new(TypeKind::Binary { length: 3 }), "ab\0"),
        (Value::text("2024-1-2 3:4:5"), &date, "2024-01-02"),
        (Value::text("0000-00-00"), &date, "NULL 1292"),
        (Value::text("2024-01-02 03:04:05.6"), &datetime, "2024-01-02 03:04:06"),
        (Value::text("x"), &datetime, "NULL 1292"),
        (Value::Int(123456), &MysqlType::new(TypeKind::Time { fsp: 2 }), "12:34:56.00"),
        (Value::text("[1,2]"), &json, "[1, 2]"),
        (Value::Int(5), &json, "5"),
        (Value::Null, &signed, "NULL"),
    ] {
        assert_eq!(shown(value.clone(), target), result, "{value:?} as {}", target.column_type());
    }
    let context = EvalContext::constant();
    let error = cast(Value::text("x"), &json, &context).expect_err("no JSON");
    assert_eq!(error.code, ErrorCode::INVALID_JSON_TEXT_IN_PARAM);
}
