use super::*;
use crate::collation::CollationId;
use crate::eval::SqlMode;
use crate::mysql_type::{IntDisplay, TypeKind};
use crate::value::decimal::Decimal;
use crate::value::temporal::Date;
use proptest::prelude::*;

/// The type that a literal of that value has.
fn type_of(value: &Value) -> MysqlType {
    match value {
        Value::UInt(_) => MysqlType::bigint_unsigned(),
        Value::Int(_) => MysqlType::bigint(),
        Value::Double(_) => MysqlType::double(),
        Value::Decimal(number) => MysqlType::new(TypeKind::Decimal {
            precision: number.digits().max(number.scale()).max(1),
            scale: number.scale(),
            unsigned: false,
        }),
        Value::Date(_) => MysqlType::new(TypeKind::Date),
        Value::Bytes(bytes) => MysqlType::new(TypeKind::VarBinary { length: bytes.len() as u32 }),
        Value::Text(_) => MysqlType::varchar(20, CollationId::UTF8MB4_0900_AI_CI),
        _ => MysqlType::null(),
    }
}

fn call(name: &str, arguments: &[Value], context: &EvalContext) -> Result<(MysqlType, Value), SqlError> {
    let function = OPERATORS.iter().find(|operator| operator.name == name).expect("an operator");
    let types: Vec<MysqlType> = arguments.iter().map(type_of).collect();
    let ty = (function.result)(&types)?;
    if function.null_if_any_null && arguments.iter().any(Value::is_null) {
        return Ok((ty, Value::Null));
    }
    let value = (function.evaluate)(&Call { argument_types: &types, result_type: &ty }, arguments, context)?;
    Ok((ty, value))
}

/// The result as text with the codes of its warnings, or the error.
fn shown(name: &str, arguments: &[Value]) -> String {
    let context = EvalContext { sql_mode: SqlMode::ERROR_FOR_DIVISION_BY_ZERO, ..EvalContext::constant() };
    match call(name, arguments, &context) {
        Ok((_, value)) => {
            let mut text = if value.is_null() { "NULL".into() } else { value.to_text().into_owned() };
            for warning in context.effects.warnings.lock().expect("no panic").iter() {
                text.push_str(&format!(" {}", warning.code.0));
            }
            text
        }
        Err(error) => format!("{} {}", error.code.0, error.message),
    }
}

fn decimal(text: &str) -> Value {
    Value::Decimal(Decimal::parse(text).expect("decimal"))
}

fn int(number: i64) -> Value {
    Value::Int(number)
}

#[test]
fn arithmetic_follows_the_types() {
    for (left, operator, right, result) in [
        (int(1), "+", int(2), "3"),
        (int(1), "+", decimal("0.50"), "1.50"),
        (int(1), "+", Value::text("2.5x"), "3.5 1292"),
        (Value::Double(0.5), "+", decimal("0.25"), "0.75"),
        (decimal("1.5"), "*", decimal("1.25"), "1.875"),
        (int(1), "/", int(3), "0.3333"),
        (int(2), "/", int(3), "0.6667"),
        (decimal("1.00"), "/", int(3), "0.333333"),
        (Value::Double(1.0), "/", int(4), "0.25"),
        (int(7), "DIV", int(2), "3"),
        (int(-7), "DIV", int(2), "-3"),
        (decimal("7.5"), "DIV", decimal("2.5"), "3"),
        (int(-7), "%", int(3), "-1"),
        (decimal("7.5"), "%", int(2), "1.5"),
        (Value::Double(7.5), "%", int(2), "1.5"),
        (int(1), "/", int(0), "NULL 1365"),
        (int(1), "DIV", int(0), "NULL 1365"),
        (int(1), "%", decimal("0.0"), "NULL 1365"),
        (int(1), "+", Value::Null, "NULL"),
        (Value::Date(Date::from_parts(2024, 1, 31)), "+", int(1), "20240132"),
        (int(i64::MAX), "+", int(1), "1690 BIGINT value is out of range in '(9223372036854775807 + 1)'"),
        (Value::UInt(1), "-", int(2), "1690 BIGINT UNSIGNED value is out of range in '(1 - 2)'"),
        (Value::UInt(u64::MAX), "+", int(-1), "18446744073709551614"),
        (int(i64::MAX), "*", int(2), "1690 BIGINT value is out of range in '(9223372036854775807 * 2)'"),
        (int(i64::MIN), "DIV", int(-1), "1690 BIGINT value is out of range in '(-9223372036854775808 DIV -1)'"),
        (int(i64::MIN), "%", int(-1), "0"),
        (Value::Double(1e308), "*", int(10), "1690 DOUBLE value is out of range in '(1e308 * 10)'"),
    ] {
        assert_eq!(shown(operator, &[left.clone(), right.clone()]), result, "{left:?} {operator} {right:?}");
    }
    assert_eq!(shown("NEG", &[Value::UInt(1 << 63)]), "-9223372036854775808");
    assert_eq!(shown("NEG", &[decimal("1.50")]), "-1.50");
    assert_eq!(shown("NEG", &[Value::text("2")]), "-2");
    assert!(shown("NEG", &[Value::UInt(u64::MAX)]).starts_with("1690 "));
    let context = EvalContext { sql_mode: SqlMode::NO_UNSIGNED_SUBTRACTION, ..EvalContext::constant() };
    let (_, value) = call("-", &[Value::UInt(1), int(2)], &context).expect("signed");
    assert_eq!(value.to_text(), "-1");
}

#[test]
fn result_types_have_mysqls_digits() {
    let money = MysqlType::new(TypeKind::Decimal { precision: 10, scale: 2, unsigned: false });
    let rate = MysqlType::new(TypeKind::Decimal { precision: 5, scale: 3, unsigned: false });
    let mediumint = MysqlType::new(TypeKind::Int { bytes: 3, unsigned: true, display: IntDisplay::default() });
    for (operator, types, column_type) in [
        ("+", [money.clone(), rate.clone()], "decimal(12,3)"),
        ("*", [money.clone(), rate.clone()], "decimal(15,5)"),
        ("/", [money.clone(), rate.clone()], "decimal(17,6)"),
        ("*", [mediumint, rate.clone()], "decimal(13,3)"),
        ("%", [money.clone(), rate], "decimal(11,3)"),
        ("+", [MysqlType::bigint(), MysqlType::bigint_unsigned()], "bigint unsigned"),
        ("/", [MysqlType::bigint(), MysqlType::bigint()], "decimal(23,4)"),
        ("DIV", [money, MysqlType::double()], "bigint"),
        ("*", [MysqlType::bigint(), MysqlType::varchar(5, CollationId::BINARY)], "double"),
    ] {
        let function = OPERATORS.iter().find(|function| function.name == operator).expect("an operator");
        assert_eq!((function.result)(&types).expect("any types").column_type(), column_type, "{operator}");
    }
}

#[test]
fn unrounded_operators_keep_the_digits_that_the_enclosing_one_needs() {
    let context = EvalContext::constant();
    let division = OPERATORS.iter().find(|function| function.name == "/").expect("an operator");
    let types = [MysqlType::bigint(), MysqlType::bigint()];
    let ty = (division.result)(&types).expect("numbers");
    let evaluate = unrounded(division).expect("arithmetic");
    let third = evaluate(&Call { argument_types: &types, result_type: &ty }, &[int(1), int(3)], &context);
    assert_eq!(third.expect("not zero").to_text(), "0.333333333");
    assert!(unrounded(&OPERATORS[OPERATORS.len() - 1]).is_none());
}

#[test]
fn bits_are_of_unsigned_numbers_or_bytes() {
    for (operator, arguments, result) in [
        ("&", vec![int(-1), int(5)], "5"),
        ("|", vec![int(1), int(6)], "7"),
        ("^", vec![int(5), int(1)], "4"),
        ("~", vec![int(0)], "18446744073709551615"),
        ("<<", vec![int(1), int(4)], "16"),
        ("<<", vec![int(1), int(64)], "0"),
        (">>", vec![int(-1), int(63)], "1"),
        ("&", vec![Value::bytes([0x0f]), int(0xff)], "15"),
        ("|", vec![Value::bytes(b"@ "), Value::bytes(b"!A")], "aa"),
    ] {
        assert_eq!(shown(operator, &arguments), result, "{operator} {arguments:?}");
    }
    assert!(shown("|", &[Value::bytes(b"a"), Value::bytes(b"ab")]).starts_with("3513 "));
}

#[test]
fn predicates_are_three_valued() {
    let text = |text: &str| Value::text(text);
    for (operator, arguments, result) in [
        ("=", vec![text("A"), text("a")], "1"),
        ("=", vec![int(1), Value::Null], "NULL"),
        ("<=>", vec![Value::Null, Value::Null], "1"),
        ("<=>", vec![int(1), Value::Null], "0"),
        ("<>", vec![int(1), text("1.0")], "0"),
        ("<", vec![int(-1), Value::UInt(u64::MAX)], "1"),
        (">=", vec![decimal("1.50"), decimal("1.5")], "1"),
        (">", vec![Value::Date(Date::from_parts(2024, 1, 31)), text("2024-1-30")], "1"),
        ("<=", vec![int(9_007_199_254_740_993), int(9_007_199_254_740_992)], "0"),
        ("BETWEEN", vec![int(2), int(1), int(3)], "1"),
        ("BETWEEN", vec![int(0), int(1), Value::Null], "0"),
        ("BETWEEN", vec![int(2), int(1), Value::Null], "NULL"),
        ("BETWEEN", vec![int(4), Value::Null, int(3)], "0"),
        ("IN", vec![int(2), int(1), int(2), Value::Null], "1"),
        ("IN", vec![int(3), int(1), Value::Null], "NULL"),
        ("IN", vec![int(3), int(1), text("2")], "0"),
        ("IN", vec![Value::Null, int(1)], "NULL"),
        ("NOT", vec![Value::Null], "NULL"),
        ("NOT", vec![text("0")], "1"),
        ("XOR", vec![int(1), int(0)], "1"),
        ("XOR", vec![int(1), Value::Null], "NULL"),
        ("IS NULL", vec![Value::Null], "1"),
        ("IS NOT NULL", vec![Value::Null], "0"),
        ("IS TRUE", vec![Value::Null], "0"),
        ("IS NOT TRUE", vec![Value::Null], "1"),
        ("IS FALSE", vec![int(0)], "1"),
        ("IS NOT FALSE", vec![int(0)], "0"),
        ("IS UNKNOWN", vec![Value::Null], "1"),
        ("IS NOT UNKNOWN", vec![int(0)], "1"),
    ] {
        assert_eq!(shown(operator, &arguments), result, "{operator} {arguments:?}");
    }
}

#[test]
fn like_matches_by_characters() {
    for (text, pattern, result) in [
        ("Drumlin", "drum%", "1"),
        ("Drumlin", "%LIN", "1"),
        ("Drumlin", "d_u%n", "1"),
        ("Drumlin", "drum", "0"),
        ("résumé", "RESUM_", "1"),
        ("a%b", "a\\%b", "1"),
        ("axb", "a\\%b", "0"),
        ("a\\", "a\\\\", "1"),
        ("a\\", "a\\", "1"),
        ("", "%", "1"),
        ("", "_", "0"),
        ("", "", "1"),
        ("aab", "%ab", "1"),
        ("abcabd", "%ab_%d", "1"),
        ("a ", "a", "0"),
    ] {
        assert_eq!(shown("LIKE", &[Value::text(text), Value::text(pattern)]), result, "{text} LIKE {pattern}");
    }
    let escaped = |escape: &str| shown("LIKE", &[Value::text("a%"), Value::text("a|%"), Value::text(escape)]);
    assert_eq!(escaped("|"), "1");
    assert_eq!(escaped(""), "0");
    assert_eq!(escaped("||"), "1210 Incorrect arguments to ESCAPE");
    assert_eq!(shown("LIKE", &[Value::bytes(b"A"), Value::text("a")]), "0");
    assert_eq!(shown("LIKE", &[int(123), Value::text("1%")]), "1");
}

/// The plain definition, exponential in the number of `%`.
fn like_by_definition(text: &[char], pattern: &[char]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some(('%', rest)) => (0..=text.len()).any(|taken| like_by_definition(&text[taken..], rest)),
        Some((wanted, rest)) => text
            .split_first()
            .is_some_and(|(first, left)| (*wanted == '_' || wanted == first) && like_by_definition(left, rest)),
    }
}

proptest! {
    #[test]
    fn like_is_what_its_definition_says(text in "[ab]{0,8}", pattern in "[ab%_]{0,6}") {
        let characters = |text: &str| text.chars().collect::<Vec<char>>();
        let expected = like_by_definition(&characters(&text), &characters(&pattern));
        prop_assert_eq!(like::matches(CollationId::UTF8MB4_BIN, &text, &pattern, None), expected);
    }

    #[test]
    fn integer_arithmetic_is_exact_or_refused(left in any::<i64>(), right in any::<i64>()) {
        let context = EvalContext::constant();
        for (operator, exact) in [
            ("+", left as i128 + right as i128),
            ("-", left as i128 - right as i128),
            ("*", left as i128 * right as i128),
        ] {
            let result = call(operator, &[int(left), int(right)], &context).map(|(_, value)| value.to_text().into_owned());
            match i64::try_from(exact) {
                Ok(exact) => prop_assert_eq!(result, Ok(exact.to_string())),
                Err(_) => prop_assert!(result.is_err()),
            }
        }
    }
}
