//! SIGNAL, RESIGNAL, GET DIAGNOSTICS.

use super::body::state;
use crate::sql::parse::VARIABLE_QUOTE;
use crate::sql::parse::ast::{
    Diagnosed, DiagnosticsTarget, GetDiagnostics, Kind, SIGNAL_ITEMS, STATEMENT_ITEMS, Signal, SignalState,
};
use crate::sql::parse::error;
use crate::sql::parse::words::{Parsed, Words};
use sqlparser::parser::Parser;
use sqlparser::tokenizer::Token;

/// `SIGNAL SQLSTATE [VALUE] '45000' SET MESSAGE_TEXT = 'x', ...`, or a condition's name.
pub fn signal(parser: &mut Parser<'_>) -> Parsed<Kind> {
    let resignal = parser.word("resignal");
    if !resignal {
        parser.expect_word("signal")?;
    }
    let mut found = None;
    if parser.word("sqlstate") {
        parser.word("value");
        let text = parser.string()?;
        let state = state(&text).ok().filter(|state| !state.starts_with(b"00"));
        found = Some(SignalState::State(state.ok_or_else(|| error::bad_state(&text))?));
    } else if !parser.at_end() && parser.peek_token_ref().token != Token::SemiColon && !parser.peek_is("set") {
        found = Some(SignalState::Named(parser.name()?));
    } else if !resignal {
        return parser.refuse();
    }
    let mut items = Vec::new();
    if parser.word("set") {
        items = parser.list(|parser| {
            let Some(item) = parser.one_of(&SIGNAL_ITEMS) else { return parser.refuse() };
            parser.expect(&Token::Eq)?;
            Ok((item, parser.parse_expr()?))
        })?;
    }
    Ok(Kind::Signal(Box::new(Signal { resignal, state: found, items })))
}

/// `GET [CURRENT | STACKED] DIAGNOSTICS ...`
pub fn get(parser: &mut Parser<'_>) -> Parsed<Kind> {
    parser.expect_word("get")?;
    let stacked = parser.word("stacked");
    if !stacked {
        parser.word("current");
    }
    parser.expect_word("diagnostics")?;
    if parser.word("condition") {
        let number = parser.parse_expr()?;
        let items = parser.list(|parser| {
            let target = target(parser)?;
            match parser.one_of(&SIGNAL_ITEMS).or_else(|| parser.one_of(&["returned_sqlstate"])) {
                Some(item) => Ok((target, item)),
                None => parser.refuse(),
            }
        })?;
        return Ok(Kind::GetDiagnostics(Box::new(GetDiagnostics {
            stacked,
            what: Diagnosed::Condition { number, items },
        })));
    }
    let items = parser.list(|parser| {
        let target = target(parser)?;
        match parser.one_of(&STATEMENT_ITEMS) {
            Some(item) => Ok((target, item)),
            None => parser.refuse(),
        }
    })?;
    Ok(Kind::GetDiagnostics(Box::new(GetDiagnostics { stacked, what: Diagnosed::Statement(items) })))
}

/// `@name =` or `name =`.
fn target(parser: &mut Parser<'_>) -> Parsed<DiagnosticsTarget> {
    let target = match &parser.peek_token_ref().token {
        Token::Word(word) if word.quote_style == Some(VARIABLE_QUOTE) && !word.value.starts_with("@@") => {
            let name = word.value.trim_start_matches('@').to_ascii_lowercase();
            parser.advance_token();
            DiagnosticsTarget::User(name)
        }
        _ => DiagnosticsTarget::Named(parser.name()?),
    };
    parser.expect(&Token::Eq)?;
    Ok(target)
}
