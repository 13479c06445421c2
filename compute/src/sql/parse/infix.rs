//! Operators after an operand, by MySQL's grammar.

use crate::sql::parse::dialect::{COMPARISON, MULTIPLY, PREDICATE};
use crate::sql::parse::words::{Parsed, Words};
use crate::sql::parse::{error, prefix};
use expr::eval::SqlMode;
use sqlparser::ast::{BinaryOperator, Expr, ObjectName};
use sqlparser::parser::Parser;
use sqlparser::tokenizer::Token;

/// True if sqlparser reads the operator that is next as MySQL does.
pub fn is_plain(parser: &Parser<'_>) -> bool {
    let plain = match &parser.peek_token_ref().token {
        Token::Word(_) => ["and", "or", "xor"].iter().any(|word| parser.peek_is(word)),
        Token::Eq | Token::Spaceship | Token::Neq | Token::Lt | Token::LtEq | Token::Gt | Token::GtEq => true,
        Token::Plus | Token::Minus | Token::Mul | Token::Div | Token::Mod => true,
        Token::Pipe | Token::Ampersand | Token::Caret | Token::ShiftLeft | Token::ShiftRight | Token::Overlap => true,
        _ => false,
    };
    plain && !["any", "some", "all"].iter().any(|word| parser.nth_is(1, word))
}

/// Parses the operator that is next, with its right operand. `precedence`: the operator's.
pub fn parse(parser: &mut Parser<'_>, left: Expr, precedence: u8, sql_mode: SqlMode) -> Parsed<Expr> {
    if parser.nth_word(0).is_some() {
        return word_operator(parser, left, precedence);
    }
    let operator = match parser.peek_token_ref().token {
        Token::StringConcat if sql_mode.has(SqlMode::PIPES_AS_CONCAT) => BinaryOperator::StringConcat,
        Token::StringConcat => BinaryOperator::Or,
        Token::Overlap => BinaryOperator::And,
        Token::Eq => BinaryOperator::Eq,
        Token::Spaceship => BinaryOperator::Spaceship,
        Token::Neq => BinaryOperator::NotEq,
        Token::Lt => BinaryOperator::Lt,
        Token::LtEq => BinaryOperator::LtEq,
        Token::Gt => BinaryOperator::Gt,
        Token::GtEq => BinaryOperator::GtEq,
        Token::Pipe => BinaryOperator::BitwiseOr,
        Token::Ampersand => BinaryOperator::BitwiseAnd,
        Token::ShiftLeft => BinaryOperator::PGBitwiseShiftLeft,
        Token::ShiftRight => BinaryOperator::PGBitwiseShiftRight,
        Token::Plus => BinaryOperator::Plus,
        Token::Minus => BinaryOperator::Minus,
        Token::Mul => BinaryOperator::Multiply,
        Token::Div => BinaryOperator::Divide,
        Token::Mod => BinaryOperator::Modulo,
        Token::Caret => BinaryOperator::BitwiseXor,
        Token::Arrow => BinaryOperator::Arrow,
        Token::LongArrow => BinaryOperator::LongArrow,
        _ => return parser.refuse(),
    };
    parser.advance_token();
    if precedence == COMPARISON
        && matches!(parser.peek_nth_token_ref(1).token, Token::LParen)
        && let Some(quantifier) = parser.one_of(&["any", "some", "all"])
    {
        let right = prefix::subquery(parser)?;
        let (left, right) = (Box::new(left), Box::new(right));
        return Ok(if quantifier == "all" {
            Expr::AllOp { left, compare_op: operator, right }
        } else {
            Expr::AnyOp { left, compare_op: operator, right, is_some: false }
        });
    }
    if matches!(operator, BinaryOperator::Arrow | BinaryOperator::LongArrow) && parser.peek_string().is_none() {
        return parser.refuse();
    }
    binary(parser, left, operator, precedence)
}

fn binary(parser: &mut Parser<'_>, left: Expr, op: BinaryOperator, precedence: u8) -> Parsed<Expr> {
    let right = parser.parse_subexpr(precedence)?;
    Ok(Expr::BinaryOp { left: Box::new(left), op, right: Box::new(right) })
}

fn word_operator(parser: &mut Parser<'_>, left: Expr, precedence: u8) -> Parsed<Expr> {
    if parser.word("and") {
        return binary(parser, left, BinaryOperator::And, precedence);
    }
    if parser.word("or") {
        return binary(parser, left, BinaryOperator::Or, precedence);
    }
    if parser.word("xor") {
        return binary(parser, left, BinaryOperator::Xor, precedence);
    }
    if parser.word("div") {
        return binary(parser, left, BinaryOperator::MyIntegerDivide, precedence);
    }
    if parser.word("mod") {
        return binary(parser, left, BinaryOperator::Modulo, MULTIPLY);
    }
    if parser.word("collate") {
        let collation = ObjectName::from(vec![sqlparser::ast::Ident::new(parser.name_or_string()?)]);
        return Ok(Expr::Collate { expr: Box::new(left), collation });
    }
    if parser.word("is") {
        return is_test(parser, left);
    }
    if parser.words(&["sounds", "like"]) {
        let right = parser.parse_subexpr(PREDICATE)?;
        let sound = |argument| prefix::call("SOUNDEX", vec![argument]);
        return Ok(Expr::BinaryOp {
            left: Box::new(sound(left)),
            op: BinaryOperator::Eq,
            right: Box::new(sound(right)),
        });
    }
    if parser.word("member") {
        parser.word("of");
        parser.expect(&Token::LParen)?;
        let array = parser.parse_expr()?;
        parser.expect(&Token::RParen)?;
        return Ok(prefix::call("MEMBER OF", vec![left, array]));
    }
    let negated = parser.word("not");
    predicate(parser, left, negated)
}

fn is_test(parser: &mut Parser<'_>, left: Expr) -> Parsed<Expr> {
    let negated = parser.word("not");
    let expr = Box::new(left);
    Ok(match (parser.one_of(&["null", "true", "false", "unknown"]), negated) {
        (Some("null"), false) => Expr::IsNull(expr),
        (Some("null"), true) => Expr::IsNotNull(expr),
        (Some("true"), false) => Expr::IsTrue(expr),
        (Some("true"), true) => Expr::IsNotTrue(expr),
        (Some("false"), false) => Expr::IsFalse(expr),
        (Some("false"), true) => Expr::IsNotFalse(expr),
        (Some(_), false) => Expr::IsUnknown(expr),
        (Some(_), true) => Expr::IsNotUnknown(expr),
        (None, _) => return parser.refuse(),
    })
}

fn predicate(parser: &mut Parser<'_>, left: Expr, negated: bool) -> Parsed<Expr> {
    let expr = Box::new(left);
    if parser.word("between") {
        let low = Box::new(parser.parse_subexpr(PREDICATE)?);
        parser.expect_word("and")?;
        let high = Box::new(parser.parse_subexpr(COMPARISON)?);
        return Ok(Expr::Between { expr, negated, low, high });
    }
    if parser.word("in") {
        if prefix::starts_query(parser, 0) {
            let Expr::Subquery(subquery) = prefix::subquery(parser)? else { return parser.refuse() };
            return Ok(Expr::InSubquery { expr, subquery, negated });
        }
        parser.expect(&Token::LParen)?;
        let list = parser.list(|parser| parser.parse_expr())?;
        parser.expect(&Token::RParen)?;
        return Ok(Expr::InList { expr, list, negated });
    }
    if parser.word("like") {
        let pattern = Box::new(parser.parse_subexpr(PREDICATE)?);
        let escape_char = if parser.word("escape") { Some(Box::new(parser.parse_subexpr(PREDICATE)?)) } else { None };
        return Ok(Expr::Like { negated, any: false, expr, pattern, escape_char });
    }
    if parser.word("regexp") || parser.word("rlike") {
        let pattern = Box::new(parser.parse_subexpr(PREDICATE)?);
        return Ok(Expr::RLike { negated, expr, pattern, regexp: true });
    }
    if parser.peek_is("against") {
        return Err(error::unsupported("AGAINST without MATCH"));
    }
    parser.refuse()
}
