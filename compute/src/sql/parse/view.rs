//! CREATE VIEW and ALTER VIEW.

use crate::sql::parse::VARIABLE_QUOTE;
use crate::sql::parse::ast::{CreateView, Kind};
use crate::sql::parse::words::{Parsed, Words};
use sqlparser::parser::Parser;
use sqlparser::tokenizer::Token;

/// True if a view's definition follows CREATE or ALTER: VIEW comes before any other kind of object.
pub fn is_next(parser: &Parser<'_>) -> bool {
    const PARTS: [&str; 12] = [
        "or",
        "replace",
        "algorithm",
        "undefined",
        "merge",
        "temptable",
        "definer",
        "sql",
        "security",
        "invoker",
        "current_user",
        "view",
    ];
    for ahead in 0.. {
        match &parser.peek_nth_token_ref(ahead).token {
            Token::Word(word) if word.quote_style.is_some() => {}
            Token::Word(_) if parser.nth_is(ahead, "view") => return true,
            Token::Word(word) => {
                let named =
                    ahead > 0 && matches!(parser.peek_nth_token_ref(ahead - 1).token, Token::Eq | Token::AtSign);
                if !named && !PARTS.iter().any(|part| word.value.eq_ignore_ascii_case(part)) {
                    return false;
                }
            }
            Token::Eq | Token::AtSign | Token::SingleQuotedString(_) | Token::LParen | Token::RParen => {}
            _ => return false,
        }
    }
    false
}

/// From what follows CREATE or ALTER on.
pub fn create(parser: &mut Parser<'_>, text: &str) -> Parsed<Kind> {
    let or_replace = parser.words(&["or", "replace"]);
    let mut algorithm = "UNDEFINED".to_owned();
    let mut definer = None;
    let mut invoker = false;
    loop {
        if parser.word("algorithm") {
            parser.optional_equals();
            algorithm = parser.name()?.to_ascii_uppercase();
        } else if parser.word("definer") {
            parser.optional_equals();
            definer = account(parser)?;
        } else if parser.words(&["sql", "security"]) {
            invoker = parser.word("invoker");
            if !invoker {
                parser.expect_word("definer")?;
            }
        } else {
            break;
        }
    }
    parser.expect_word("view")?;
    let name = parser.object_name()?;
    let columns = if parser.peek_token_ref().token == Token::LParen { Some(parser.name_list()?) } else { None };
    parser.expect_word("as")?;
    let start = parser.offset();
    let query = parser.parse_query()?;
    let select = text.get(start..parser.end_offset()).unwrap_or_default().to_owned();
    let mut check_option = None;
    if parser.word("with") {
        check_option = Some(if parser.word("local") { "LOCAL" } else { "CASCADED" }.to_owned());
        parser.word("cascaded");
        parser.expect_word("check")?;
        parser.expect_word("option")?;
    }
    Ok(Kind::CreateView(Box::new(CreateView {
        name,
        or_replace,
        alter: false,
        columns,
        query,
        select,
        select_start: start,
        definer,
        invoker,
        algorithm,
        check_option,
    })))
}

/// `'user'@'host'` as `user@host`; None for CURRENT_USER.
pub fn account(parser: &mut Parser<'_>) -> Parsed<Option<String>> {
    if parser.word("current_user") {
        if parser.token(&Token::LParen) {
            parser.expect(&Token::RParen)?;
        }
        return Ok(None);
    }
    let user = parser.name_or_string()?;
    if parser.token(&Token::AtSign) {
        return Ok(Some(format!("{user}@{}", parser.name_or_string()?)));
    }
    // The lexer reads `@'host'` and `@host` as a user variable.
    let host = match &parser.peek_token_ref().token {
        Token::Word(word) if word.quote_style == Some(VARIABLE_QUOTE) => {
            let host = word.value.trim_start_matches('@').to_owned();
            parser.advance_token();
            host
        }
        _ => "%".to_owned(),
    };
    Ok(Some(format!("{user}@{host}")))
}
