use super::*;
use crate::collation::CollationId;
use crate::eval::SqlMode;
use crate::mysql_type::{BlobSize, IntDisplay};
use crate::value::decimal::Decimal;
use std::sync::Arc;

fn strict() -> EvalContext {
    let mode = SqlMode::STRICT_TRANS_TABLES.0 | SqlMode::NO_ZERO_DATE.0 | SqlMode::NO_ZERO_IN_DATE.0;
    EvalContext { strict_write: true, sql_mode: SqlMode(mode), ..EvalContext::constant() }
}

fn ty(kind: TypeKind) -> MysqlType {
    MysqlType::text(kind, CollationId::UTF8MB4_0900_AI_CI)
}

fn int(bytes: u8, unsigned: bool) -> MysqlType {
    ty(TypeKind::Int { bytes, unsigned, display: IntDisplay::default() })
}

fn members() -> Arc<[String]> {
    Arc::from(["G".to_string(), "PG".to_string(), "R".to_string()])
}

/// Stores in strict mode and without it; shows the value or the error, and the value with its warning.
fn outcomes(value: Value, ty: &MysqlType) -> (String, String) {
    let shown = |context: EvalContext| match store(value.clone(), "x", 3, ty, &context) {
        Ok(value) => {
            let warnings = context.effects.warnings.lock().expect("no panic");
            let codes: String = warnings.iter().map(|warning| format!(" {}", warning.code.0)).collect();
            format!("{}{codes}", value.to_text())
        }
        Err(error) => format!("{} {}", error.code.0, error.message),
    };
    (shown(strict()), shown(EvalContext::constant()))
}

#[test]
fn values_out_of_range_are_errors_or_the_nearest() {
    let range = "1264 Out of range value for column 'x' at row 3";
    let decimal = ty(TypeKind::Decimal { precision: 5, scale: 2, unsigned: false });
    let float = ty(TypeKind::Float { unsigned: false, display: Some((5, 2)) });
    for (value, ty, in_strict, otherwise) in [
        (Value::Int(127), int(1, false), "127", "127"),
        (Value::Int(128), int(1, false), range, "127 1264"),
        (Value::Int(-1), int(4, true), range, "0 1264"),
        (Value::UInt(u64::MAX), int(8, false), range, "9223372036854775807 1264"),
        (Value::Double(1e30), int(8, true), range, "18446744073709551615 1264"),
        (Value::Double(2.5), int(4, false), "2", "2"),
        (Value::text("2.5"), int(4, false), "3", "3"),
        (Value::text("1e2"), int(4, false), "100", "100"),
        (Value::text("abc"), int(4, false), "1366 Incorrect integer value: 'abc' for column 'x' at row 3", "0 1366"),
        (Value::text(""), int(4, false), "1366 Incorrect integer value: '' for column 'x' at row 3", "0 1366"),
        (Value::text("12x"), int(4, false), "1265 Data truncated for column 'x' at row 3", "12 1265"),
        (Value::text("999.994"), decimal.clone(), "999.99 1265", "999.99 1265"),
        (Value::text("1000"), decimal.clone(), range, "999.99 1264"),
        (Value::text("x"), decimal, "1366 Incorrect decimal value: 'x' for column 'x' at row 3", "0.00 1366"),
        (Value::Double(1.006), float.clone(), "1.01", "1.01"),
        (Value::Double(1e9), float, range, "999.99 1264"),
        (Value::text("x"), MysqlType::double(), "1265 Data truncated for column 'x' at row 3", "0 1265"),
        (Value::Int(69), ty(TypeKind::Year), "2069", "2069"),
        (Value::text("0"), ty(TypeKind::Year), "2000", "2000"),
        (Value::Int(1900), ty(TypeKind::Year), range, "0 1264"),
        (Value::Int(300), ty(TypeKind::Bit { bits: 8 }), "1406 Data too long for column 'x' at row 3", "\u{fffd} 1265"),
        (Value::bytes([0, 0, 65]), ty(TypeKind::Bit { bits: 8 }), "A", "A"),
    ] {
        assert_eq!(
            outcomes(value.clone(), &ty),
            (in_strict.into(), otherwise.into()),
            "{value:?} as {}",
            ty.column_type()
        );
    }
}

#[test]
fn texts_that_do_not_fit_are_errors_or_cut() {
    let long = "1406 Data too long for column 'x' at row 3";
    let member = "1265 Data truncated for column 'x' at row 3";
    let latin1 = |kind| MysqlType::text(kind, CollationId::LATIN1_SWEDISH_CI);
    for (value, ty, in_strict, otherwise) in [
        (Value::text("äöü"), ty(TypeKind::VarChar { length: 3 }), "äöü", "äöü"),
        (Value::text("äöüx"), ty(TypeKind::VarChar { length: 3 }), long, "äöü 1265"),
        (Value::text("abc  "), ty(TypeKind::VarChar { length: 3 }), "abc 1265", "abc 1265"),
        (Value::text("ab   "), ty(TypeKind::Char { length: 3 }), "ab", "ab"),
        (Value::Int(-12), ty(TypeKind::Char { length: 3 }), "-12", "-12"),
        (
            Value::text("a".repeat(256)),
            ty(TypeKind::Text { size: BlobSize::Tiny }),
            long,
            &format!("{} 1265", "a".repeat(255)),
        ),
        (Value::text("ab"), ty(TypeKind::Binary { length: 3 }), "ab\0", "ab\0"),
        (Value::text("abcd"), ty(TypeKind::VarBinary { length: 3 }), long, "abc 1265"),
        (
            Value::bytes(b"a\xff"),
            ty(TypeKind::VarChar { length: 3 }),
            "1366 Incorrect string value: '\\xFF' for column 'x' at row 3",
            "a 1366",
        ),
        (
            Value::text("a☃"),
            latin1(TypeKind::VarChar { length: 3 }),
            "1366 Incorrect string value: '\\xE2\\x98\\x83' for column 'x' at row 3",
            "a? 1366",
        ),
        (Value::text("pg "), ty(TypeKind::Enum(members())), "PG", "PG"),
        (Value::text("3"), ty(TypeKind::Enum(members())), "R", "R"),
        (Value::Int(1), ty(TypeKind::Enum(members())), "G", "G"),
        (Value::text("X"), ty(TypeKind::Enum(members())), member, " 1265"),
        (Value::Int(0), ty(TypeKind::Enum(members())), member, " 1265"),
        (Value::text("r,g"), ty(TypeKind::Set(members())), "G,R", "G,R"),
        (Value::text(""), ty(TypeKind::Set(members())), "", ""),
        (Value::Int(6), ty(TypeKind::Set(members())), "PG,R", "PG,R"),
        (Value::text("G,X"), ty(TypeKind::Set(members())), member, "G 1265"),
        (Value::text("[1,2]"), ty(TypeKind::Json), "[1, 2]", "[1, 2]"),
        (Value::Int(1), ty(TypeKind::Json), "1", "1"),
    ] {
        assert_eq!(
            outcomes(value.clone(), &ty),
            (in_strict.into(), otherwise.into()),
            "{value:?} as {}",
            ty.column_type()
        );
    }
    let invalid = outcomes(Value::text("x"), &ty(TypeKind::Json));
    assert!(invalid.0.starts_with("3140 ") && invalid.0 == invalid.1);
}

#[test]
fn dates_that_are_none_are_errors_or_zero() {
    let incorrect = |kind: &str, text: &str| format!("1292 Incorrect {kind} value: '{text}' for column 'x' at row 3");
    let datetime = ty(TypeKind::DateTime { fsp: 0 });
    let time = ty(TypeKind::Time { fsp: 1 });
    let timestamp = ty(TypeKind::Timestamp { fsp: 0 });
    for (text, ty, in_strict, otherwise) in [
        ("2024-01-31", ty(TypeKind::Date), "2024-01-31".into(), "2024-01-31"),
        ("2024-01-31 10:00:00", ty(TypeKind::Date), "2024-01-31 1265".into(), "2024-01-31 1265"),
        ("2024-02-30", ty(TypeKind::Date), incorrect("date", "2024-02-30"), "0000-00-00 1264"),
        ("x", ty(TypeKind::Date), incorrect("date", "x"), "0000-00-00 1265"),
        ("0000-00-00", ty(TypeKind::Date), incorrect("date", "0000-00-00"), "0000-00-00"),
        ("2024-00-01", ty(TypeKind::Date), incorrect("date", "2024-00-01"), "2024-00-01"),
        ("2024-01-31 23:59:59.5", datetime.clone(), "2024-02-01 00:00:00".into(), "2024-02-01 00:00:00"),
        (
            "2024-01-31 10:00:00x",
            datetime.clone(),
            incorrect("datetime", "2024-01-31 10:00:00x"),
            "2024-01-31 10:00:00 1265",
        ),
        ("2024-01-31 10:00:00+02:00", datetime, "2024-01-31 08:00:00".into(), "2024-01-31 08:00:00"),
        ("1969-01-01", timestamp.clone(), incorrect("datetime", "1969-01-01"), "0000-00-00 00:00:00 1264"),
        ("2038-01-19 03:14:07", timestamp.clone(), "2038-01-19 03:14:07".into(), "2038-01-19 03:14:07"),
        ("2038-01-19 03:14:08", timestamp, incorrect("datetime", "2038-01-19 03:14:08"), "0000-00-00 00:00:00 1264"),
        ("12:34:56.78", time.clone(), "12:34:56.8".into(), "12:34:56.8"),
        ("900:00:00", time.clone(), incorrect("time", "900:00:00"), "838:59:59.0 1264"),
        ("x", time, incorrect("time", "x"), "00:00:00.0 1265"),
    ] {
        assert_eq!(outcomes(Value::text(text), &ty), (in_strict, otherwise.into()), "{text} as {}", ty.column_type());
    }
    assert_eq!(outcomes(Value::Int(20240131), &ty(TypeKind::Date)).0, "2024-01-31");
}

#[test]
fn what_was_stored_stores_again_unchanged() {
    let decimal = Value::Decimal(Decimal::parse("1.50").expect("decimal"));
    for (value, ty) in [
        (decimal, ty(TypeKind::Decimal { precision: 5, scale: 2, unsigned: false })),
        (Value::text("PG"), ty(TypeKind::Enum(members()))),
        (Value::Int(5), ty(TypeKind::Set(members()))),
        (Value::Int(99), ty(TypeKind::Year)),
        (Value::text("x"), ty(TypeKind::Binary { length: 4 })),
        (Value::text("2024-01-31 10:00:00.5"), ty(TypeKind::Timestamp { fsp: 3 })),
    ] {
        let once = store(value, "x", 1, &ty, &strict()).expect("fits");
        let twice = store(once.clone(), "x", 1, &ty, &strict()).expect("fits");
        assert_eq!(format!("{once:?}"), format!("{twice:?}"));
    }
}
