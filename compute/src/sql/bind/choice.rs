//! IF, CASE and ELT that choose among ENUM and SET columns: as a text they are the member's name, where a number or a truth
//! value is wanted they are the member's number, as the column itself is. COALESCE and IFNULL are texts there, too. Manual:
//! "The ENUM Type" (13.3.6).

use expr::Expression;
use expr::mysql_type::{MysqlType, TypeKind};

fn has_members(ty: &MysqlType) -> bool {
    matches!(ty.kind, TypeKind::Enum(_) | TypeKind::Set(_))
}

/// What may be chosen, if the expression is a choice that gives a text.
fn choices(expression: &mut Expression) -> Vec<&mut Expression> {
    if !expression.ty().is_string() {
        return Vec::new();
    }
    match expression {
        Expression::Case { branches, otherwise, .. } => {
            branches.iter_mut().map(|(_, result)| result).chain(otherwise.as_deref_mut()).collect()
        }
        Expression::Call { function, arguments, .. } if function.name == "ELT" => {
            arguments.iter_mut().skip(1).collect()
        }
        _ => Vec::new(),
    }
}

/// A column with members, as it is or as the text that a choice makes of it.
fn is_member(expression: &Expression) -> bool {
    match expression {
        Expression::Cast { argument, ty } => has_members(&argument.ty()) && ty.is_string(),
        other => has_members(&other.ty()),
    }
}

fn chooses_member(expression: &mut Expression) -> bool {
    choices(expression).into_iter().any(|choice| is_member(choice) || chooses_member(choice))
}

/// Makes a choice among members one among their numbers; leaves everything else alone.
pub fn as_number(expression: &mut Expression) {
    if !chooses_member(expression) {
        return;
    }
    for choice in choices(expression) {
        if chooses_member(choice) {
            as_number(choice);
            continue;
        }
        let argument = match std::mem::replace(choice, Expression::And(Vec::new())) {
            Expression::Cast { argument, ty } if has_members(&argument.ty()) && ty.is_string() => argument,
            other => Box::new(other),
        };
        *choice = match argument.ty().kind {
            TypeKind::Null => *argument,
            _ => Expression::Cast { argument, ty: MysqlType::double() },
        };
    }
    match expression {
        Expression::Case { ty, .. } => *ty = MysqlType::double(),
        Expression::Call { arguments, .. } => *expression = chosen_by_number(std::mem::take(arguments)),
        _ => {}
    }
}

/// `ELT(n, a, b)` of numbers: `CASE n WHEN 1 THEN a WHEN 2 THEN b END`.
fn chosen_by_number(arguments: Vec<Expression>) -> Expression {
    let mut arguments = arguments.into_iter();
    let number =
        arguments.next().map(|number| Expression::Cast { argument: Box::new(number), ty: MysqlType::bigint() });
    let branches = (1..).zip(arguments).filter_map(|(position, choice)| {
        let operands = vec![number.clone()?, super::literal::integer(position)];
        Some((super::expression::operator("=", operands).ok()?, choice))
    });
    Expression::Case { branches: branches.collect(), otherwise: None, ty: MysqlType::double() }
}
