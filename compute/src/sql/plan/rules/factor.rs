//! What all alternatives of an OR have in common comes before it: `(a AND b) OR (a AND c)` is `a AND (b OR c)`, in the logic
//! of three values too. A join's equality that stands in every alternative is found only so.

use super::expressions::{is_plain, split};
use crate::sql::plan::walk;
use expr::Expression;
use std::cell::Cell;

/// Alternatives that are looked at, and parts of all of them together: comparing them costs a text of each, at every level.
const ALTERNATIVES_MAX: usize = 64;
const PARTS_MAX: usize = 1000;

/// The common parts, and what is left of the alternatives; all of them as they were, where nothing is common.
pub fn factored(alternatives: Vec<Expression>) -> (Vec<Expression>, Option<Expression>) {
    let is_and = |alternative: &Expression| matches!(alternative, Expression::And(_));
    let counted = Cell::new(0);
    let is_large = |_: &Expression| {
        counted.set(counted.get() + 1);
        counted.get() > PARTS_MAX
    };
    if !(2..=ALTERNATIVES_MAX).contains(&alternatives.len())
        || !alternatives.iter().any(is_and)
        || alternatives.iter().any(|alternative| walk::any(alternative, &is_large))
    {
        return (Vec::new(), Some(Expression::Or(alternatives)));
    }
    let parts_of = |alternative: &Expression| {
        let mut parts = Vec::new();
        split(alternative.clone(), &mut parts);
        parts.into_iter().map(|part| (format!("{part:?}"), part)).collect::<Vec<_>>()
    };
    let mut all: Vec<Vec<(String, Expression)>> = alternatives.iter().map(parts_of).collect();
    let mut common = Vec::new();
    for (text, part) in all[0].clone() {
        let is_there = |parts: &Vec<(String, Expression)>| parts.iter().any(|(other, _)| *other == text);
        if is_plain(&part) && all.iter().all(is_there) {
            all.iter_mut().for_each(|parts| parts.retain(|(other, _)| *other != text));
            common.push(part);
        }
    }
    if common.is_empty() {
        return (common, Some(Expression::Or(alternatives)));
    }
    // An alternative that has nothing else is true wherever the common parts are.
    if all.iter().any(Vec::is_empty) {
        return (common, None);
    }
    let rest = |parts: Vec<(String, Expression)>| {
        let mut parts: Vec<Expression> = parts.into_iter().map(|(_, part)| part).collect();
        if parts.len() == 1 { parts.remove(0) } else { Expression::And(parts) }
    };
    (common, Some(Expression::Or(all.into_iter().map(rest).collect())))
}

#[cfg(test)]
mod tests {
    use super::super::expressions::conjuncts;
    use expr::{Expression, MysqlType};

    fn column(index: usize) -> Expression {
        Expression::column(index, MysqlType::boolean())
    }

    fn and(columns: &[usize]) -> Expression {
        Expression::And(columns.iter().map(|index| column(*index)).collect())
    }

    fn text(parts: &[Expression]) -> Vec<String> {
        let one = |part: &Expression| match part {
            Expression::Column { index, .. } => index.to_string(),
            Expression::And(parts) => format!("({})", text(parts).join("&")),
            Expression::Or(parts) => format!("[{}]", text(parts).join("|")),
            other => format!("{other:?}"),
        };
        parts.iter().map(one).collect()
    }

    #[test]
    fn what_all_alternatives_have_comes_before_them() {
        let parts = |alternatives: Vec<Expression>| text(&conjuncts(Some(Expression::Or(alternatives)))).join(" ");
        assert_eq!(parts(vec![and(&[1, 2]), and(&[3, 1]), and(&[1, 4, 5])]), "1 [2|3|(4&5)]");
        assert_eq!(parts(vec![and(&[1, 2]), column(1)]), "1");
        assert_eq!(parts(vec![and(&[1, 2]), and(&[3, 4])]), "[(1&2)|(3&4)]");
        assert_eq!(parts(vec![column(1), column(2)]), "[1|2]");
        assert_eq!(parts(vec![and(&[1, 2]), and(&[2, 1])]), "1 2");
    }
}
