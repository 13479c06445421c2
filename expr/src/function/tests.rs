//! Runs the cases in `testdata/*.txt`: `SQL | result`, or `SQL | result | remark`.
//!
//! A result is the value's text, NULL, `0x..` for bytes, or `error N`. A remark is the type of the result (`varchar(5)`)
//! or `warning N`. The SQL is what MySQL takes after SELECT: literals and calls, nested.

use crate::error::SqlError;
use crate::eval::{EvalContext, SessionInfo, SqlMode};
use crate::expression::Expression;
use crate::function::{self, Call};
use crate::mysql_type::{MysqlType, TypeKind};
use crate::value::Value;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::sync::Arc;

mod sql;

/// 2024-03-15 12:34:56.789012 UTC.
const NOW_US: i64 = 1_710_506_096_789_012;

fn context() -> EvalContext {
    let session = SessionInfo {
        database: Some("shop".into()),
        user: "ann@localhost".into(),
        current_user: "ann@%".into(),
        connection_id: 7,
        version: "8.4.0".into(),
        last_insert_id: 42,
        row_count: -1,
        found_rows: 3,
        max_allowed_packet: 1 << 20,
        ..SessionInfo::default()
    };
    let sql_mode = SqlMode(
        SqlMode::STRICT_TRANS_TABLES.0
            | SqlMode::NO_ZERO_DATE.0
            | SqlMode::NO_ZERO_IN_DATE.0
            | SqlMode::ONLY_FULL_GROUP_BY.0
            | SqlMode::ERROR_FOR_DIVISION_BY_ZERO.0,
    );
    EvalContext { now_us: NOW_US, sql_mode, session: Arc::new(session), ..EvalContext::constant() }
}

/// A parsed operand: what it is worth, and whether it was written as a literal.
#[derive(Debug, Clone)]
struct Operand {
    value: Value,
    ty: MysqlType,
    literal: bool,
}

fn call(name: &str, operands: &[Operand], context: &EvalContext) -> Result<Operand, SqlError> {
    let function = function::lookup(name).unwrap_or_else(|| panic!("{name} is a function"));
    assert!(function.arguments.accepts(operands.len()), "{name} takes {:?}", function.arguments);
    let expressions: Vec<Expression> = operands
        .iter()
        .enumerate()
        .map(|(index, operand)| match operand.literal {
            true => Expression::literal(operand.value.clone(), operand.ty.clone()),
            false => Expression::column(index, operand.ty.clone()),
        })
        .collect();
    let ty = function.result_type(&expressions)?;
    let values: Vec<Value> = operands.iter().map(|operand| operand.value.clone()).collect();
    let types: Vec<MysqlType> = operands.iter().map(|operand| operand.ty.clone()).collect();
    let value = match function.null_if_any_null && values.iter().any(Value::is_null) {
        true => Value::Null,
        false => (function.evaluate)(&Call { argument_types: &types, result_type: &ty }, &values, context)?,
    };
    assert!(fits(&value, &ty), "{name} gave {value:?} for type {ty:?}");
    Ok(Operand { value, ty, literal: false })
}

/// The value is of the kind that the type promises.
fn fits(value: &Value, ty: &MysqlType) -> bool {
    match value {
        Value::Null => true,
        Value::Int(_) | Value::UInt(_) => ty.is_integer(),
        Value::Double(_) | Value::Float(_) => matches!(ty.kind, TypeKind::Double { .. } | TypeKind::Float { .. }),
        Value::Decimal(_) => matches!(ty.kind, TypeKind::Decimal { .. }),
        Value::Text(_) => ty.is_text(),
        Value::Bytes(_) => ty.is_binary(),
        Value::Date(_) => matches!(ty.kind, TypeKind::Date),
        Value::DateTime(_) => matches!(ty.kind, TypeKind::DateTime { .. } | TypeKind::Timestamp { .. }),
        Value::Time(_) => matches!(ty.kind, TypeKind::Time { .. }),
        Value::Json(_) => matches!(ty.kind, TypeKind::Json),
        Value::Enum(..) | Value::Set(..) | Value::Bit(..) => true,
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "NULL".into(),
        Value::Bytes(bytes) => format!("0x{}", hex::encode_upper(bytes)),
        other => other.to_text().replace('\n', "\\n"),
    }
}

fn type_name(ty: &MysqlType) -> String {
    let fraction = |name: &str, fsp: u8| if fsp == 0 { name.to_string() } else { format!("{name}({fsp})") };
    match &ty.kind {
        TypeKind::VarChar { length } => format!("varchar({length})"),
        TypeKind::VarBinary { length } => format!("varbinary({length})"),
        TypeKind::Decimal { precision, scale, .. } => format!("decimal({precision},{scale})"),
        TypeKind::Int { bytes: 8, unsigned: true, .. } => "bigint unsigned".into(),
        TypeKind::Int { bytes: 8, .. } => "bigint".into(),
        TypeKind::Int { .. } => "int".into(),
        TypeKind::DateTime { fsp } => fraction("datetime", *fsp),
        TypeKind::Time { fsp } => fraction("time", *fsp),
        other => format!("{other:?}").to_lowercase().split([' ', '{']).next().unwrap_or_default().to_string(),
    }
}

/// What went wrong with a line, if something did.
fn check(line: &str) -> Option<String> {
    let mut columns = line.split(" | ").map(str::trim);
    let (sql, wanted, remark) = (columns.next()?, columns.next()?, columns.next());
    let context = context();
    let outcome = sql::evaluate(sql, &context);
    let got = match &outcome {
        Ok(operand) => shown(&operand.value),
        Err(error) => format!("error {}", error.code.0),
    };
    if got != wanted {
        let detail = outcome.err().map(|error| format!(" ({error})")).unwrap_or_default();
        return Some(format!("{sql}: got {got}{detail}, not {wanted}"));
    }
    let warnings = context.effects.warnings.lock().expect("no panic while it was held").clone();
    match remark {
        Some(remark) if remark.starts_with("warning ") => {
            let codes: Vec<String> = warnings.iter().map(|warning| format!("warning {}", warning.code.0)).collect();
            (!codes.iter().any(|code| code == remark)).then(|| format!("{sql}: warnings {warnings:?}, not {remark}"))
        }
        Some(ty) => {
            let got = outcome.map(|operand| type_name(&operand.ty)).unwrap_or_default();
            (got != ty).then(|| format!("{sql}: type {got}, not {ty}"))
        }
        None => None,
    }
}

fn check_file(text: &str) {
    let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    assert!(!lines.is_empty());
    let failures: Vec<String> = lines.iter().filter_map(|line| check(line)).collect();
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), lines.len(), failures.join("\n"));
}

#[test]
fn string_functions() {
    check_file(include_str!("testdata/string.txt"));
}

#[test]
fn numeric_functions() {
    check_file(include_str!("testdata/numeric.txt"));
}

#[test]
fn date_and_time_functions() {
    check_file(include_str!("testdata/date_time.txt"));
}

#[test]
fn json_functions() {
    check_file(include_str!("testdata/json.txt"));
}

#[test]
fn other_functions() {
    check_file(include_str!("testdata/other.txt"));
}

#[test]
fn names_are_upper_case_and_unique() {
    let mut names = BTreeSet::new();
    for function in function::all() {
        assert_eq!(function.name, function.name.to_ascii_uppercase());
        assert!(names.insert(function.name), "{} is there twice", function.name);
        assert!(function::lookup(&function.name.to_ascii_lowercase()).is_some());
    }
    assert!(function::lookup("no_such_function").is_none());
}

/// Whatever the arguments are: a value or an error, never a panic.
#[test]
fn odd_arguments_do_no_harm() {
    let odd: Vec<Operand> = [
        "NULL",
        "0",
        "-1",
        "1",
        "9223372036854775807",
        "-9223372036854775808",
        "18446744073709551615",
        "''",
        "'a'",
        "'é日'",
        "0.5",
        "-99999999999999999999999999999999999999999999999999999999999999999",
        "1e308",
        "-1e-308",
        "x'FF00'",
        "'2024-02-31'",
        "DATE'2024-02-29'",
        "TIME'-838:59:59'",
        "TIMESTAMP'9999-12-31 23:59:59.999999'",
        "DATE'0000-00-00'",
        "'$[*]'",
        "'{\"a\": [1, null]}'",
        "'[[['",
        "'%'",
        "'DAY'",
        "'YEAR_MONTH'",
    ]
    .iter()
    .map(|sql| sql::evaluate(sql, &context()).expect("a literal"))
    .collect();
    for function in function::all() {
        let count = match function.arguments {
            function::Arguments::Exactly(count) => count,
            function::Arguments::Between(low, high) => high.min(low.max(3)),
            function::Arguments::AtLeast(low) => low.max(3),
        };
        // Every value at every place, the others shifted by different steps.
        for start in 0..odd.len() {
            for step in 0..odd.len() {
                let operands: Vec<Operand> =
                    (0..count).map(|index| odd[(start + index * step) % odd.len()].clone()).collect();
                let _ = call(function.name, &operands, &context());
            }
        }
    }
}

fn text_of(name: &str, operands: &[Operand]) -> String {
    shown(&call(name, operands, &context()).expect("no error").value)
}

proptest! {
    #[test]
    fn encodings_come_back(text in "\\PC{0,80}") {
        let operand = sql::text(&text);
        for (there, back) in [("HEX", "UNHEX"), ("TO_BASE64", "FROM_BASE64"), ("COMPRESS", "UNCOMPRESS")] {
            let encoded = call(there, std::slice::from_ref(&operand), &context()).expect("no error");
            prop_assert_eq!(text_of(back, &[encoded]), format!("0x{}", hex::encode_upper(&text)));
        }
        let reversed = call("REVERSE", std::slice::from_ref(&operand), &context()).expect("no error");
        let restored = call("REVERSE", &[reversed], &context()).expect("no error").value;
        prop_assert_eq!(restored.to_text(), text);
    }

    #[test]
    fn numbers_come_back_from_every_base(number: i64, base in 2i64..=36) {
        let integer = |number: i64| Operand { value: Value::Int(number), ty: MysqlType::bigint(), literal: true };
        let there = call("CONV", &[integer(number), integer(-10), integer(-base)], &context()).expect("no error");
        prop_assert_eq!(text_of("CONV", &[there, integer(-base), integer(-10)]), number.to_string());
    }

    #[test]
    fn formatted_dates_are_read_back(days in 366i64..3_652_425, second in 0i64..86_400) {
        let date = crate::value::temporal::from_day_number(days).expect("in the calendar");
        let moment = crate::value::temporal::DateTime::new(date, second * 1_000_000, 0);
        let ty = MysqlType::new(TypeKind::DateTime { fsp: 0 });
        let operand = Operand { value: Value::DateTime(moment), ty, literal: false };
        for pattern in ["%Y-%m-%d %H:%i:%s", "%W, %D %M %Y, %r", "%Y %j %T", "%x week %v %a %h%p:%i.%S"] {
            let written = call("DATE_FORMAT", &[operand.clone(), sql::text(pattern)], &context()).expect("no error");
            let read = text_of("STR_TO_DATE", &[written, sql::text(pattern)]);
            prop_assert_eq!(read, moment.to_string(), "{}", pattern);
        }
    }
}

/// The section "Functions" of docs/compatibility.md names exactly the functions that are there.
#[test]
fn the_document_lists_the_functions() {
    let document = include_str!("../../../docs/compatibility.md");
    let listed = document
        .split_once("<!-- functions: present -->")
        .and_then(|(_, rest)| rest.split_once("<!-- end -->"))
        .map(|(list, _)| list)
        .expect("the list is between its marks");
    let listed: BTreeSet<&str> = listed.split('`').skip(1).step_by(2).collect();
    let operators: BTreeSet<&str> = function::operator::OPERATORS.iter().map(|operator| operator.name).collect();
    let present: BTreeSet<&str> =
        function::all().map(|function| function.name).filter(|name| !operators.contains(name)).collect();
    let missing: Vec<_> = present.difference(&listed).collect();
    let wrong: Vec<_> = listed.difference(&present).collect();
    assert!(missing.is_empty() && wrong.is_empty(), "not in the document: {missing:?}; not there: {wrong:?}");
}
