//! SET in all its forms.

use crate::sql::parse::VARIABLE_QUOTE;
use crate::sql::parse::ast::{Kind, SetItem};
use crate::sql::parse::words::{Parsed, Words};
use crate::sql::parse::{account, error};
use crate::sql::plan::{Isolation, VariableScope};
use sqlparser::ast::{Expr, FunctionArguments, Ident, Value, ValueWithSpan};
use sqlparser::parser::Parser;
use sqlparser::tokenizer::Token;

pub fn set(parser: &mut Parser<'_>) -> Parsed<Kind> {
    parser.expect_word("set")?;
    if let Some(kind) = account::set(parser)? {
        return Ok(kind);
    }
    let assigns = matches!(parser.peek_nth_token_ref(1).token, Token::Eq | Token::Assignment);
    if parser.peek_is("resource") && !assigns {
        return Err(error::unsupported("SET RESOURCE"));
    }
    if parser.word("transaction") {
        return transaction(parser, None);
    }
    for (word, scope) in
        [("session", VariableScope::Session), ("local", VariableScope::Session), ("global", VariableScope::Global)]
    {
        if parser.words(&[word, "transaction"]) {
            return transaction(parser, Some(scope));
        }
    }
    Ok(Kind::Set(parser.list(item)?))
}

/// ISOLATION LEVEL x, READ ONLY, READ WRITE.
fn transaction(parser: &mut Parser<'_>, scope: Option<VariableScope>) -> Parsed<Kind> {
    let mut isolation = None;
    let mut read_only = None;
    parser.list(|parser| {
        if parser.words(&["isolation", "level"]) {
            isolation = Some(if parser.words(&["read", "uncommitted"]) {
                Isolation::ReadUncommitted
            } else if parser.words(&["read", "committed"]) {
                Isolation::ReadCommitted
            } else if parser.words(&["repeatable", "read"]) {
                Isolation::RepeatableRead
            } else if parser.word("serializable") {
                Isolation::Serializable
            } else {
                return parser.refuse();
            });
        } else if parser.words(&["read", "only"]) {
            read_only = Some(true);
        } else if parser.words(&["read", "write"]) {
            read_only = Some(false);
        } else {
            return parser.refuse();
        }
        Ok(())
    })?;
    Ok(Kind::SetTransaction { scope, isolation, read_only })
}

fn item(parser: &mut Parser<'_>) -> Parsed<SetItem> {
    if parser.word("names") {
        if parser.word("default") {
            return Ok(SetItem::Names { charset: None, collation: None });
        }
        let charset = Some(parser.name_or_string()?);
        let collation = if parser.word("collate") { Some(parser.name_or_string()?) } else { None };
        return Ok(SetItem::Names { charset, collation });
    }
    if parser.words(&["character", "set"]) || parser.words(&["char", "set"]) || parser.word("charset") {
        let charset = if parser.word("default") { None } else { Some(parser.name_or_string()?) };
        return Ok(SetItem::CharacterSet(charset));
    }
    if let Token::Word(word) = &parser.peek_token_ref().token
        && word.quote_style == Some(VARIABLE_QUOTE)
    {
        let name = word.value.clone();
        parser.advance_token();
        if let Some(name) = name.strip_prefix("@@") {
            let (scope, name) = scoped(name);
            return system(parser, scope, name);
        }
        equals(parser)?;
        let value = parser.parse_expr()?;
        return Ok(SetItem::User { name: name.trim_start_matches('@').to_ascii_lowercase(), value });
    }
    const SCOPES: [&str; 5] = ["global", "session", "local", "persist", "persist_only"];
    let is_scope = SCOPES.iter().any(|scope| parser.peek_is(scope))
        && matches!(parser.peek_nth_token_ref(1).token, Token::Word(_));
    let mut scope = VariableScope::Session;
    if is_scope {
        scope = match parser.one_of(&SCOPES) {
            Some("global") => VariableScope::Global,
            Some("persist" | "persist_only") => VariableScope::Persist,
            _ => VariableScope::Session,
        };
        if let Token::Word(word) = &parser.peek_token_ref().token
            && word.quote_style == Some(VARIABLE_QUOTE)
        {
            return parser.refuse();
        }
    }
    let mut name = parser.name()?;
    while parser.token(&Token::Period) {
        name = format!("{name}.{}", parser.name()?);
    }
    system(parser, scope, name)
}

/// `session.name` of `@@session.name`.
pub fn scoped(name: &str) -> (VariableScope, String) {
    let lower = name.to_ascii_lowercase();
    match lower.split_once('.') {
        Some(("session" | "local", name)) => (VariableScope::Session, name.to_owned()),
        Some(("global", name)) => (VariableScope::Global, name.to_owned()),
        Some(("persist" | "persist_only", name)) => (VariableScope::Persist, name.to_owned()),
        _ => (VariableScope::Session, lower),
    }
}

fn equals(parser: &mut Parser<'_>) -> Parsed<()> {
    if parser.token(&Token::Assignment) { Ok(()) } else { parser.expect(&Token::Eq) }
}

/// `= value`; words that are no expression elsewhere (ON, BINARY, a bare name) are texts here.
fn system(parser: &mut Parser<'_>, scope: VariableScope, name: String) -> Parsed<SetItem> {
    equals(parser)?;
    let name = name.to_ascii_lowercase();
    for word in ["on", "all", "binary", "row", "system"] {
        if parser.peek_is(word) && parser.peek_nth_token_ref(1).token != Token::LParen {
            let span = parser.peek_token_ref().span;
            parser.advance_token();
            let value = Value::SingleQuotedString(word.to_ascii_uppercase());
            return Ok(SetItem::System { scope, name, value: Some(Expr::Value(ValueWithSpan { value, span })) });
        }
    }
    let value = match parser.parse_expr()? {
        Expr::Function(function)
            if matches!(function.args, FunctionArguments::None)
                && function.name.to_string().eq_ignore_ascii_case("default") =>
        {
            None
        }
        // A bare name: `SET sql_mode = ANSI`.
        Expr::Identifier(Ident { value, quote_style, span }) if quote_style != Some(VARIABLE_QUOTE) => {
            Some(Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(value), span }))
        }
        value => Some(value),
    };
    Ok(SetItem::System { scope, name, value })
}
