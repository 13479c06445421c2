use super::*;
use crate::collation::CollationId;
use crate::function::operator::OPERATORS;
use crate::mysql_type::TypeKind;
use crate::value::Value;

fn int(number: i64) -> Expression {
    Expression::literal(Value::Int(number), MysqlType::bigint())
}

fn text(text: &str) -> Expression {
    Expression::literal(Value::text(text), MysqlType::varchar(9, CollationId::UTF8MB4_0900_AI_CI))
}

fn column(index: usize) -> Expression {
    Expression::column(index, MysqlType::varchar(9, CollationId::UTF8MB4_BIN))
}

fn call(name: &str, arguments: Vec<Expression>) -> Expression {
    let function = OPERATORS.iter().find(|operator| operator.name == name).expect("an operator");
    let types: Vec<MysqlType> = arguments.iter().map(Expression::ty).collect();
    Expression::Call { function, ty: (function.result)(&types).expect("types"), arguments }
}

fn all_kinds() -> Expression {
    Expression::And(vec![
        call("=", vec![column(2), text("it's")]),
        Expression::Or(vec![
            call("IN", vec![column(0), int(1), int(2)]),
            call("IS NOT NULL", vec![call("NEG", vec![column(1)])]),
            call(
                "BETWEEN",
                vec![
                    call("+", vec![int(1), int(2)]),
                    int(0),
                    Expression::Parameter { index: 0, ty: MysqlType::bigint() },
                ],
            ),
        ]),
        Expression::Case {
            branches: vec![(call("<", vec![int(1), int(2)]), call("LIKE", vec![column(2), text("a%")]))],
            otherwise: Some(Box::new(Expression::Cast {
                argument: Box::new(column(3)),
                ty: MysqlType::new(TypeKind::Date),
            })),
            ty: MysqlType::boolean(),
        },
        Expression::Quantified { needle: vec![column(4)], comparison: Comparison::Less, all: true, id: 0 },
    ])
}

#[test]
fn expressions_show_as_text() {
    assert_eq!(
        all_kinds().with_names(|index| format!("`t`.`c{index}`")).to_string(),
        "((`t`.`c2` = 'it\\'s') and ((`t`.`c0` in (1,2)) or (-(`t`.`c1`) is not null) or ((1 + 2) between 0 and ?)) \
         and (case when (1 < 2) then (`t`.`c2` like 'a%') else cast(`t`.`c3` as date) end) \
         and (`t`.`c4`) < all (subquery 1))"
    );
    assert_eq!(call("<=>", vec![column(0), int(1)]).to_string(), "(column 1 <=> 1)");
}

#[test]
fn walking_reaches_every_part() {
    assert_eq!(all_kinds().columns().into_iter().collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    let moved = all_kinds().transform(&mut |expression| match expression {
        Expression::Column { index, ty } => Expression::Column { index: index + 10, ty },
        other => other,
    });
    assert_eq!(moved.columns().into_iter().collect::<Vec<_>>(), [10, 11, 12, 13, 14]);
    assert_eq!(
        moved
            .transform(&mut |expression| match expression {
                Expression::Column { index, ty } => Expression::Column { index: index - 10, ty },
                other => other,
            })
            .to_string(),
        all_kinds().to_string()
    );
}

#[test]
fn constants_are_known_at_planning() {
    let sum = call("+", vec![int(1), int(2)]);
    assert!(sum.is_constant() && sum.is_fixed());
    let parameter = call("+", vec![int(1), Expression::Parameter { index: 0, ty: MysqlType::bigint() }]);
    assert!(!parameter.is_constant() && parameter.is_fixed());
    assert!(!all_kinds().is_constant() && !all_kinds().is_fixed());
}
