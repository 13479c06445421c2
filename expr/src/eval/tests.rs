use super::*;
use crate::collation::CollationId;
use crate::function::operator::OPERATORS;

fn int(number: i64) -> Expression {
    Expression::literal(Value::Int(number), MysqlType::bigint())
}

fn null() -> Expression {
    Expression::literal(Value::Null, MysqlType::null())
}

fn call(name: &str, arguments: Vec<Expression>) -> Expression {
    let function = OPERATORS.iter().find(|operator| operator.name == name).expect("an operator");
    let types: Vec<MysqlType> = arguments.iter().map(Expression::ty).collect();
    Expression::Call { function, ty: (function.result)(&types).expect("types"), arguments }
}

fn shown_with(expression: &Expression, row: &[Value], context: &EvalContext) -> String {
    match eval(expression, row, context) {
        Ok(value) if value.is_null() => "NULL".into(),
        Ok(value) => value.to_text().into_owned(),
        Err(error) => format!("{} {}", error.code.0, error.message),
    }
}

fn shown(expression: &Expression) -> String {
    shown_with(expression, &[], &EvalContext::constant())
}

#[test]
fn decimals_keep_their_digits_inside_and_show_those_of_their_type() {
    let third = call("/", vec![int(1), int(3)]);
    assert_eq!(shown(&third), "0.3333");
    assert_eq!(shown(&call("*", vec![third.clone(), int(3)])), "1.0000");
    assert_eq!(shown(&call("*", vec![third.clone(), int(100)])), "33.3333");
    assert_eq!(shown(&call("=", vec![call("*", vec![third.clone(), int(3)]), int(1)])), "0");
    // A cast to a number computes further, too.
    let cast = Expression::Cast {
        argument: Box::new(third),
        ty: MysqlType::new(TypeKind::Decimal { precision: 20, scale: 6, unsigned: false }),
    };
    assert_eq!(shown(&call("*", vec![cast, int(3)])), "0.999999");
}

#[test]
fn logic_is_three_valued_and_stops_early() {
    let overflow = || call("+", vec![int(i64::MAX), int(1)]);
    for (expression, result) in [
        (Expression::And(vec![int(1), int(2)]), "1"),
        (Expression::And(vec![null(), int(0)]), "0"),
        (Expression::And(vec![int(1), null()]), "NULL"),
        (Expression::And(vec![int(0), overflow()]), "0"),
        (Expression::Or(vec![null(), int(1)]), "1"),
        (Expression::Or(vec![int(0), null()]), "NULL"),
        (Expression::Or(vec![int(1), overflow()]), "1"),
        (Expression::And(Vec::new()), "1"),
        (
            Expression::Case {
                branches: vec![(null(), overflow()), (int(1), int(7))],
                otherwise: Some(Box::new(overflow())),
                ty: MysqlType::bigint(),
            },
            "7",
        ),
        (Expression::Case { branches: vec![(int(0), int(7))], otherwise: None, ty: MysqlType::bigint() }, "NULL"),
        (Expression::Coalesce { arguments: vec![null(), int(5), overflow()], ty: MysqlType::bigint() }, "5"),
    ] {
        assert_eq!(shown(&expression), result, "{expression}");
    }
}

#[test]
fn any_and_all_range_over_rows() {
    let rows =
        |values: &[Value]| SubqueryResult::Rows(Arc::new(values.iter().map(|value| vec![value.clone()]).collect()));
    let context = |values: &[Value]| EvalContext { subqueries: vec![rows(values)], ..EvalContext::constant() };
    let quantified = |comparison, all| Expression::Quantified { needle: vec![int(5)], comparison, all, id: 0 };
    let (one, five, nine) = (Value::Int(1), Value::Int(5), Value::Int(9));
    for (comparison, all, values, result) in [
        (Comparison::Equal, false, vec![one.clone(), five.clone()], "1"),
        (Comparison::Equal, false, vec![one.clone(), Value::Null], "NULL"),
        (Comparison::Equal, false, vec![], "0"),
        (Comparison::NotEqual, true, vec![one.clone(), nine.clone()], "1"),
        (Comparison::NotEqual, true, vec![five.clone(), Value::Null], "0"),
        (Comparison::NotEqual, true, vec![one.clone(), Value::Null], "NULL"),
        (Comparison::Less, true, vec![], "1"),
        (Comparison::Greater, true, vec![one, nine], "0"),
    ] {
        let expression = quantified(comparison, all);
        assert_eq!(shown_with(&expression, &[], &context(&values)), result, "{expression} of {values:?}");
    }
}

#[test]
fn rows_parameters_and_variables_are_read() {
    let context = EvalContext {
        parameters: Arc::from([Value::Int(3)]),
        outer_rows: vec![Arc::new(vec![Value::Int(4)])],
        ..EvalContext::constant()
    };
    let ty = MysqlType::bigint;
    let row = [Value::text("x"), Value::Int(2)];
    let assign = Expression::Assign { name: "v".into(), value: Box::new(int(6)) };
    for (expression, result) in [
        (Expression::column(1, ty()), "2"),
        (Expression::Parameter { index: 0, ty: ty() }, "3"),
        (Expression::Outer { level: 1, index: 0, ty: ty() }, "4"),
        (Expression::UserVariable { name: "v".into(), ty: ty() }, "NULL"),
        (assign, "6"),
        (Expression::UserVariable { name: "v".into(), ty: ty() }, "6"),
        (
            Expression::Cast {
                argument: Box::new(Expression::column(0, MysqlType::varchar(5, CollationId::UTF8MB4_BIN))),
                ty: MysqlType::bigint(),
            },
            "0",
        ),
    ] {
        assert_eq!(shown_with(&expression, &row, &context), result, "{expression}");
    }
    for expression in [Expression::column(2, ty()), Expression::Outer { level: 2, index: 0, ty: ty() }] {
        assert!(shown_with(&expression, &row, &context).starts_with("1105 "), "{expression}");
    }
}
