use super::*;
use crate::value::temporal::IntervalUnit;

fn warnings(context: &EvalContext) -> Vec<String> {
    context.effects.warnings.lock().expect("no panic").drain(..).map(|warning| warning.message).collect()
}

fn decimal(text: &str) -> Value {
    Value::Decimal(Decimal::parse(text).expect("decimal"))
}

#[test]
fn whole_numbers_round_as_their_type_does() {
    let context = EvalContext::constant();
    for (value, number) in [
        (Value::Null, 0),
        (decimal("2.5"), 3),
        (decimal("-2.5"), -3),
        (Value::Double(2.5), 2),
        (Value::Double(3.5), 4),
        (Value::UInt(u64::MAX), i64::MAX),
        (Value::text(" 12 "), 12),
        (Value::Enum(3, "x".into()), 3),
        (Value::Bit(5, 8), 5),
        (Value::Date(Date::from_parts(2024, 1, 31)), 20240131),
        (Value::Time(Time::new(-3_723_500_000, 1)), -10204),
        (Value::Json(Json::parse("7").expect("json")), 7),
    ] {
        assert_eq!(value.to_i64(&context).expect("no strict mode"), number, "{value:?}");
    }
    assert_eq!(warnings(&context), Vec::<String>::new());
    for (text, number) in [("12.9", 12), ("1e3", 1), ("abc", 0), ("", 0), ("99999999999999999999", i64::MAX)] {
        assert_eq!(Value::text(text).to_i64(&context).expect("no strict mode"), number, "{text}");
        assert_eq!(warnings(&context), [format!("Truncated incorrect INTEGER value: '{text}'")]);
    }
    assert_eq!(Value::Int(-1).to_u64(&context).expect("wraps"), u64::MAX);
    assert_eq!(Value::text("18446744073709551615").to_u64(&context).expect("fits"), u64::MAX);
}

#[test]
fn bad_values_are_errors_in_strict_writes() {
    let context = EvalContext { strict_write: true, ..EvalContext::constant() };
    let error = Value::text("12x").to_f64(&context).expect_err("strict");
    assert_eq!(error.code, ErrorCode::TRUNCATED_WRONG_VALUE);
    assert_eq!(error.message, "Truncated incorrect DOUBLE value: '12x'");
    let context = EvalContext { ignore: true, ..context };
    assert_eq!(Value::text("12x").to_f64(&context).expect("ignored"), 12.0);
    assert_eq!(warnings(&context).len(), 1);
}

#[test]
fn texts_are_mysqls() {
    for (value, text) in [
        (Value::Double(1e20), "1e20"),
        (Value::Float(0.1), "0.1"),
        (decimal("1.50"), "1.50"),
        (Value::Bit(0x4142, 16), "AB"),
        (Value::DateTime(DateTime::new(Date::from_parts(2024, 1, 31), 1_500_000, 3)), "2024-01-31 00:00:01.500"),
        (Value::Json(Json::parse("{\"a\":1,\"b\":[1,2]}").expect("json")), "{\"a\": 1, \"b\": [1, 2]}"),
        (Value::Set(3, "a,b".into()), "a,b"),
    ] {
        assert_eq!(value.to_text(), text);
    }
}

#[test]
fn dates_come_from_texts_numbers_and_times() {
    let context = EvalContext { now_us: 1_706_659_200_000_000, ..EvalContext::constant() };
    let shown = |value: Value| value.to_datetime(&context).expect("no strict mode").map(|moment| moment.to_string());
    assert_eq!(shown(Value::text("24-1-31")).as_deref(), Some("2024-01-31 00:00:00"));
    assert_eq!(shown(Value::Int(20240131)).as_deref(), Some("2024-01-31 00:00:00"));
    assert_eq!(shown(decimal("20240131123456.789")).as_deref(), Some("2024-01-31 12:34:56.789000"));
    assert_eq!(shown(Value::Time(Time::new(3_600_000_000, 0))).as_deref(), Some("2024-01-31 01:00:00"));
    assert_eq!(shown(Value::text("2024-01-31 12:00:00+02:00")).as_deref(), Some("2024-01-31 10:00:00"));
    assert_eq!(warnings(&context), Vec::<String>::new());
    assert_eq!(shown(Value::text("nonsense")), None);
    assert_eq!(warnings(&context), ["Incorrect datetime value: 'nonsense'"]);
    let time = Value::Int(101010).to_time(&context).expect("no strict mode").map(|time| time.to_string());
    assert_eq!(time.as_deref(), Some("10:10:10"));
    assert_eq!(Value::text("x").to_time(&context).expect("no strict mode"), None);
    assert_eq!(warnings(&context), ["Truncated incorrect time value: 'x'"]);
    assert_eq!(IntervalUnit::from_name("sql_tsi_day"), Some(IntervalUnit::Day));
}

#[test]
fn truth_is_not_zero() {
    let context = EvalContext::constant();
    for (value, truth) in [
        (Value::Null, None),
        (Value::text("0.0"), Some(false)),
        (Value::text("0.1"), Some(true)),
        (decimal("0.00"), Some(false)),
        (Value::Double(0.1), Some(true)),
        (Value::Date(Date::ZERO), Some(false)),
    ] {
        assert_eq!(value.to_bool(&context).expect("no strict mode"), truth, "{value:?}");
    }
}
