//! Operands: literals, names, variables, calls, subqueries, and the operators that stand before one.

use crate::sql::parse::call;
use crate::sql::parse::dialect::{BANG, COLLATE, NOT, UNARY};
use crate::sql::parse::lexer::VARIABLE_QUOTE;
use crate::sql::parse::reserved::is_reserved;
use crate::sql::parse::words::{Parsed, Words};
use sqlparser::ast::helpers::attached_token::AttachedToken;
use sqlparser::ast::{
    BinaryOperator, CaseWhen, CastKind, DataType, DateTimeField, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArgumentList, FunctionArguments, Ident, Interval, ObjectName, TypedString, UnaryOperator, Value,
    ValueWithSpan,
};
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Span, Token};

/// Parses one operand.
pub fn parse(parser: &mut Parser<'_>) -> Parsed<Expr> {
    let token = parser.peek_token_ref();
    let span = token.span;
    let value = |value: Value| Ok(Expr::Value(ValueWithSpan { value, span }));
    match &token.token {
        Token::Word(word) => match word.quote_style {
            Some(VARIABLE_QUOTE) => variable(parser),
            Some(_) => name(parser),
            None => word_operand(parser, span),
        },
        Token::Number(digits, _) => {
            let literal = Value::Number(digits.clone(), false);
            parser.advance_token();
            value(literal)
        }
        Token::SingleQuotedString(text) => {
            let literal = Value::SingleQuotedString(text.clone());
            parser.advance_token();
            value(literal)
        }
        Token::NationalStringLiteral(text) => {
            let literal = Value::NationalStringLiteral(text.clone());
            parser.advance_token();
            value(literal)
        }
        Token::HexStringLiteral(digits) => {
            let literal = Value::HexStringLiteral(digits.clone());
            parser.advance_token();
            value(literal)
        }
        Token::SingleQuotedByteStringLiteral(bits) => {
            let literal = Value::SingleQuotedByteStringLiteral(bits.clone());
            parser.advance_token();
            value(literal)
        }
        Token::Placeholder(number) => {
            let literal = Value::Placeholder(number.clone());
            parser.advance_token();
            value(literal)
        }
        Token::Minus => unary(parser, UnaryOperator::Minus, UNARY),
        Token::Plus => unary(parser, UnaryOperator::Plus, UNARY),
        Token::Tilde => unary(parser, UnaryOperator::BitwiseNot, UNARY),
        Token::ExclamationMark => unary(parser, UnaryOperator::BangNot, BANG),
        Token::LParen => parenthesis(parser),
        Token::LBrace => odbc(parser),
        _ => parser.refuse(),
    }
}

fn unary(parser: &mut Parser<'_>, op: UnaryOperator, precedence: u8) -> Parsed<Expr> {
    parser.advance_token();
    // The operator itself binds as tightly as its operand: `- - 1`.
    let expr = Box::new(parser.parse_subexpr(precedence)?);
    Ok(Expr::UnaryOp { op, expr })
}

/// `@name`, `@name := value`, `@@name`.
fn variable(parser: &mut Parser<'_>) -> Parsed<Expr> {
    let variable = Expr::Identifier(parser.parse_identifier()?);
    let Expr::Identifier(name) = &variable else { return parser.refuse() };
    if !name.value.starts_with("@@") && parser.token(&Token::Assignment) {
        let right = Box::new(parser.parse_expr()?);
        return Ok(Expr::BinaryOp { left: Box::new(variable), op: BinaryOperator::Assignment, right });
    }
    Ok(variable)
}

/// `a`, `a.b`, `a.b.c`, or a call of a stored function.
fn name(parser: &mut Parser<'_>) -> Parsed<Expr> {
    let mut parts = vec![parser.parse_identifier()?];
    while parser.peek_token_ref().token == Token::Period
        && matches!(parser.peek_nth_token_ref(1).token, Token::Word(_))
        && parts.len() < 3
    {
        parser.advance_token();
        parts.push(parser.parse_identifier()?);
    }
    if parser.peek_token_ref().token == Token::LParen {
        return call::parse(parser, ObjectName::from(parts));
    }
    Ok(match parts.len() {
        1 => Expr::Identifier(parts.remove(0)),
        _ => Expr::CompoundIdentifier(parts),
    })
}

fn word_operand(parser: &mut Parser<'_>, span: Span) -> Parsed<Expr> {
    let Some(word) = parser.nth_word(0).map(str::to_ascii_lowercase) else { return parser.refuse() };
    let called = parser.peek_nth_token_ref(1).token == Token::LParen;
    let literal = |value: Value| Expr::Value(ValueWithSpan { value, span });
    let before_string = matches!(parser.peek_nth_token_ref(1).token, Token::SingleQuotedString(_));
    match word.as_str() {
        "null" => {
            parser.advance_token();
            Ok(literal(Value::Null))
        }
        "true" | "false" => {
            parser.advance_token();
            Ok(literal(Value::Boolean(word == "true")))
        }
        "not" => unary(parser, UnaryOperator::Not, NOT),
        "case" => case(parser),
        "exists" => {
            parser.advance_token();
            match subquery(parser)? {
                Expr::Subquery(subquery) => Ok(Expr::Exists { subquery, negated: false }),
                _ => parser.refuse(),
            }
        }
        "binary" => {
            parser.advance_token();
            let expr = Box::new(parser.parse_subexpr(COLLATE - 1)?);
            let data_type = DataType::Custom(ObjectName::from(vec![Ident::new("BINARY")]), Vec::new());
            Ok(Expr::Cast { kind: CastKind::Cast, expr, data_type, format: None })
        }
        "interval" => interval(parser),
        "row" if called => {
            parser.advance_token();
            parser.expect(&Token::LParen)?;
            let items = parser.list(|parser| parser.parse_expr())?;
            parser.expect(&Token::RParen)?;
            Ok(Expr::Tuple(items))
        }
        "date" | "time" | "timestamp" if before_string => {
            parser.advance_token();
            typed_string(parser, &word)
        }
        _ if word.starts_with('_') && introduces(parser) => {
            let prefix = parser.parse_identifier()?;
            Ok(Expr::Prefixed { prefix, value: Box::new(parse(parser)?) })
        }
        "current_timestamp" | "current_date" | "current_time" | "localtime" | "localtimestamp" | "utc_date"
        | "utc_time" | "utc_timestamp" | "current_user"
            if !called =>
        {
            Ok(bare_call(parser.parse_identifier()?))
        }
        "default" if !called => Ok(bare_call(parser.parse_identifier()?)),
        _ if called => {
            let name = parser.parse_identifier()?;
            if is_reserved(&word) && !call::RESERVED_FUNCTIONS.contains(&word.as_str()) {
                parser.prev_token();
                return parser.refuse();
            }
            call::parse(parser, ObjectName::from(vec![name]))
        }
        _ if is_reserved(&word) => parser.refuse(),
        _ => name(parser),
    }
}

/// A character set introducer: `_utf8mb4'x'`, `_binary 0x41`.
fn introduces(parser: &Parser<'_>) -> bool {
    matches!(
        parser.peek_nth_token_ref(1).token,
        Token::SingleQuotedString(_) | Token::HexStringLiteral(_) | Token::SingleQuotedByteStringLiteral(_)
    )
}

/// A function called without parentheses: CURRENT_TIMESTAMP, DEFAULT.
fn bare_call(name: Ident) -> Expr {
    Expr::Function(function(ObjectName::from(vec![name]), FunctionArguments::None))
}

/// A call built by the parser for a form with a syntax of its own.
pub fn call(name: &str, arguments: Vec<Expr>) -> Expr {
    let args = arguments.into_iter().map(|argument| FunctionArg::Unnamed(FunctionArgExpr::Expr(argument))).collect();
    let list = FunctionArgumentList { duplicate_treatment: None, args, clauses: Vec::new() };
    Expr::Function(function(ObjectName::from(vec![Ident::new(name)]), FunctionArguments::List(list)))
}

pub fn function(name: ObjectName, args: FunctionArguments) -> Function {
    Function {
        name,
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args,
        within_group: Vec::new(),
        filter: None,
        null_treatment: None,
        over: None,
    }
}

/// A string as an argument that the parser makes: units, modes.
pub fn text(value: &str) -> Expr {
    Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(value.to_owned()), span: Span::empty() })
}

fn typed_string(parser: &mut Parser<'_>, word: &str) -> Parsed<Expr> {
    let data_type = match word {
        "date" | "d" => DataType::Date,
        "time" | "t" => DataType::Time(None, sqlparser::ast::TimezoneInfo::None),
        _ => DataType::Timestamp(None, sqlparser::ast::TimezoneInfo::None),
    };
    let span = parser.peek_token_ref().span;
    let value = ValueWithSpan { value: Value::SingleQuotedString(parser.string()?), span };
    Ok(Expr::TypedString(TypedString { data_type, value, uses_odbc_syntax: false }))
}

/// `{d '2020-01-01'}`, `{fn now()}`.
fn odbc(parser: &mut Parser<'_>) -> Parsed<Expr> {
    parser.expect(&Token::LBrace)?;
    let expression = match parser.one_of(&["d", "t", "ts"]) {
        Some(word) => typed_string(parser, word)?,
        None => {
            parser.name()?;
            parser.parse_expr()?
        }
    };
    parser.expect(&Token::RBrace)?;
    Ok(expression)
}

fn case(parser: &mut Parser<'_>) -> Parsed<Expr> {
    let case_token = AttachedToken(parser.next_token());
    let operand = if parser.peek_is("when") { None } else { Some(Box::new(parser.parse_expr()?)) };
    let mut conditions = Vec::new();
    while parser.word("when") {
        let condition = parser.parse_expr()?;
        parser.expect_word("then")?;
        conditions.push(CaseWhen { condition, result: parser.parse_expr()? });
    }
    if conditions.is_empty() {
        return parser.refuse();
    }
    let else_result = if parser.word("else") { Some(Box::new(parser.parse_expr()?)) } else { None };
    if !parser.peek_is("end") {
        return parser.refuse();
    }
    let end_token = AttachedToken(parser.next_token());
    Ok(Expr::Case { case_token, end_token, operand, conditions, else_result })
}

/// Units of INTERVAL, EXTRACT, TIMESTAMPADD.
pub const UNITS: [&str; 20] = [
    "MICROSECOND",
    "SECOND",
    "MINUTE",
    "HOUR",
    "DAY",
    "WEEK",
    "MONTH",
    "QUARTER",
    "YEAR",
    "SECOND_MICROSECOND",
    "MINUTE_MICROSECOND",
    "MINUTE_SECOND",
    "HOUR_MICROSECOND",
    "HOUR_SECOND",
    "HOUR_MINUTE",
    "DAY_MICROSECOND",
    "DAY_SECOND",
    "DAY_MINUTE",
    "DAY_HOUR",
    "YEAR_MONTH",
];

/// A unit's name, in upper case; `SQL_TSI_` may stand before it.
pub fn unit(parser: &mut Parser<'_>) -> Parsed<&'static str> {
    let found = parser.nth_word(0).and_then(|word| {
        let word = word.to_ascii_uppercase();
        let word = word.strip_prefix("SQL_TSI_").unwrap_or(&word);
        UNITS.iter().find(|unit| **unit == word).copied()
    });
    match found {
        Some(unit) => {
            parser.advance_token();
            Ok(unit)
        }
        None => parser.refuse(),
    }
}

/// `INTERVAL 1 DAY`, or the function INTERVAL(n, a, b).
fn interval(parser: &mut Parser<'_>) -> Parsed<Expr> {
    let name = parser.parse_identifier()?;
    let start = parser.index();
    if parser.peek_token_ref().token == Token::LParen
        && !starts_query(parser, 0)
        && let Ok(Expr::Tuple(arguments)) = parenthesis(parser)
    {
        let mut parsed = call("INTERVAL", arguments);
        if let Expr::Function(function) = &mut parsed {
            function.name = ObjectName::from(vec![name]);
        }
        return Ok(parsed);
    }
    // The amount may go on behind a parenthesis.
    while parser.index() > start {
        parser.prev_token();
    }
    let value = parser.parse_expr()?;
    let unit = unit(parser)?;
    Ok(Expr::Interval(Interval {
        value: Box::new(value),
        leading_field: Some(DateTimeField::Custom(Ident::new(unit))),
        leading_precision: None,
        last_field: None,
        fractional_seconds_precision: None,
    }))
}

/// `(expression)`, `(a, b)`, `(SELECT ...)`.
fn parenthesis(parser: &mut Parser<'_>) -> Parsed<Expr> {
    if starts_query(parser, 0) {
        return subquery(parser);
    }
    parser.expect(&Token::LParen)?;
    let mut items = parser.list(|parser| parser.parse_expr())?;
    parser.expect(&Token::RParen)?;
    Ok(match items.len() {
        1 => Expr::Nested(Box::new(items.remove(0))),
        _ => Expr::Tuple(items),
    })
}

/// `(SELECT ...)` from its parenthesis on.
pub fn subquery(parser: &mut Parser<'_>) -> Parsed<Expr> {
    parser.expect(&Token::LParen)?;
    let query = parser.parse_query()?;
    parser.expect(&Token::RParen)?;
    Ok(Expr::Subquery(query))
}

/// True if the parenthesis `ahead` tokens further starts a query rather than an expression.
pub fn starts_query(parser: &Parser<'_>, mut ahead: usize) -> bool {
    loop {
        if parser.peek_nth_token_ref(ahead).token != Token::LParen {
            return false;
        }
        if ["select", "with", "table"].iter().any(|word| parser.nth_is(ahead + 1, word))
            || (parser.nth_is(ahead + 1, "values") && parser.nth_is(ahead + 2, "row"))
        {
            return true;
        }
        if parser.peek_nth_token_ref(ahead + 1).token != Token::LParen {
            return false;
        }
        // `((SELECT 1) UNION ...)` is a query, `((SELECT 1) + 1)` is not.
        let Some(closing) = closing(parser, ahead + 1) else { return false };
        if ["union", "except", "intersect"].iter().any(|word| parser.nth_is(closing + 1, word)) {
            return true;
        }
        let continues = ["order", "limit", "for"].iter().any(|word| parser.nth_is(closing + 1, word))
            || parser.peek_nth_token_ref(closing + 1).token == Token::RParen;
        if !continues {
            return false;
        }
        ahead += 1;
    }
}

fn closing(parser: &Parser<'_>, open: usize) -> Option<usize> {
    let mut depth = 0;
    for ahead in open.. {
        match parser.peek_nth_token_ref(ahead).token {
            Token::LParen => depth += 1,
            Token::RParen => {
                depth -= 1;
                if depth == 0 {
                    return Some(ahead);
                }
            }
            Token::EOF => return None,
            _ => {}
        }
    }
    None
}
