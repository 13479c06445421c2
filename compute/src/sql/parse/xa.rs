//! XA START, END, PREPARE, COMMIT, ROLLBACK, RECOVER.

use crate::sql::parse::ast::Kind;
use crate::sql::parse::words::{Parsed, Words};
use crate::sql::plan::xa::{PART_BYTES_MAX, XaStatement, Xid};
use sqlparser::parser::Parser;
use sqlparser::tokenizer::Token;

/// Behind the word XA.
pub fn statement(parser: &mut Parser<'_>) -> Parsed<Kind> {
    let statement = match parser.one_of(&["start", "begin", "end", "prepare", "commit", "rollback", "recover"]) {
        Some("start" | "begin") => {
            let xid = xid(parser)?;
            let joins = parser.one_of(&["join", "resume"]).is_some();
            XaStatement::Start { xid, joins }
        }
        Some("end") => {
            let xid = xid(parser)?;
            let suspends = parser.word("suspend");
            if suspends && parser.word("for") {
                parser.expect_word("migrate")?;
            }
            XaStatement::End { xid, suspends }
        }
        Some("prepare") => XaStatement::Prepare(xid(parser)?),
        Some("commit") => XaStatement::Commit { xid: xid(parser)?, one_phase: parser.words(&["one", "phase"]) },
        Some("rollback") => XaStatement::Rollback(xid(parser)?),
        Some("recover") => XaStatement::Recover { convert: parser.words(&["convert", "xid"]) },
        _ => return parser.refuse(),
    };
    Ok(Kind::Xa(statement))
}

/// `global [, branch [, format]]`
fn xid(parser: &mut Parser<'_>) -> Parsed<Xid> {
    let global = part(parser)?;
    let mut xid = Xid { format: 1, global, branch: Vec::new() };
    if parser.token(&Token::Comma) {
        xid.branch = part(parser)?;
        if parser.token(&Token::Comma) {
            xid.format = parser.unsigned()?;
        }
    }
    Ok(xid)
}

fn part(parser: &mut Parser<'_>) -> Parsed<Vec<u8>> {
    let bytes = match &parser.peek_token_ref().token {
        Token::HexStringLiteral(digits) => hex_bytes(digits),
        Token::SingleQuotedString(text) => Some(text.clone().into_bytes()),
        _ => None,
    };
    match bytes {
        Some(bytes) if bytes.len() <= PART_BYTES_MAX => {
            parser.advance_token();
            Ok(bytes)
        }
        _ => parser.refuse(),
    }
}

fn hex_bytes(digits: &str) -> Option<Vec<u8>> {
    let even = if digits.len().is_multiple_of(2) { digits.to_owned() } else { format!("0{digits}") };
    (0..even.len()).step_by(2).map(|at| u8::from_str_radix(even.get(at..at + 2)?, 16).ok()).collect()
}
