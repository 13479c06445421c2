//! Statements about the session: transactions, locks, prepared statements, KILL, FLUSH, DO, table maintenance.

use crate::sql::parse::VARIABLE_QUOTE;
use crate::sql::parse::ast::Kind;
use crate::sql::parse::error;
use crate::sql::parse::words::{Parsed, Words};
use sqlparser::parser::Parser;
use sqlparser::tokenizer::Token;

/// Reads the statement if its verb is one of these.
pub fn statement(parser: &mut Parser<'_>, verb: &str) -> Parsed<Option<Kind>> {
    let kind = match verb {
        "begin" => {
            parser.advance_token();
            parser.word("work");
            Kind::Begin { consistent_snapshot: false, read_only: None }
        }
        "start" if parser.nth_is(1, "transaction") => start_transaction(parser)?,
        "commit" => {
            parser.advance_token();
            parser.word("work");
            let (chain, release) = completion(parser)?;
            Kind::Commit { chain, release }
        }
        "rollback" => rollback(parser)?,
        "savepoint" => {
            parser.advance_token();
            Kind::Savepoint(parser.name()?)
        }
        "release" => {
            parser.advance_token();
            parser.expect_word("savepoint")?;
            Kind::ReleaseSavepoint(parser.name()?)
        }
        "lock" if parser.nth_is(1, "table") || parser.nth_is(1, "tables") => lock_tables(parser)?,
        "unlock" if parser.nth_is(1, "table") || parser.nth_is(1, "tables") => {
            parser.advance_token();
            parser.advance_token();
            Kind::UnlockTables
        }
        "flush" => flush(parser)?,
        "kill" => {
            parser.advance_token();
            let query_only = parser.word("query");
            parser.word("connection");
            Kind::Kill { query_only, connection: parser.parse_expr()? }
        }
        "prepare" => {
            parser.advance_token();
            let name = parser.name()?;
            parser.expect_word("from")?;
            Kind::Prepare { name, source: parser.parse_expr()? }
        }
        "execute" => {
            parser.advance_token();
            let name = parser.name()?;
            let using = if parser.word("using") { parser.list(variable)? } else { Vec::new() };
            Kind::ExecutePrepared { name, using }
        }
        "deallocate" => {
            parser.advance_token();
            parser.expect_word("prepare")?;
            Kind::Deallocate(parser.name()?)
        }
        "do" => {
            parser.advance_token();
            Kind::Do(parser.list(|parser| parser.parse_expr())?)
        }
        "analyze" | "check" | "optimize" | "repair" | "checksum" => maintenance(parser, verb)?,
        _ => return Ok(None),
    };
    Ok(Some(kind))
}

fn variable(parser: &mut Parser<'_>) -> Parsed<String> {
    match &parser.peek_token_ref().token {
        Token::Word(word) if word.quote_style == Some(VARIABLE_QUOTE) && !word.value.starts_with("@@") => {
            let name = word.value.trim_start_matches('@').to_ascii_lowercase();
            parser.advance_token();
            Ok(name)
        }
        _ => parser.refuse(),
    }
}

fn start_transaction(parser: &mut Parser<'_>) -> Parsed<Kind> {
    parser.advance_token();
    parser.advance_token();
    let mut consistent_snapshot = false;
    let mut read_only = None;
    if !parser.at_end() && parser.peek_token_ref().token != Token::SemiColon {
        parser.list(|parser| {
            if parser.words(&["with", "consistent", "snapshot"]) {
                consistent_snapshot = true;
            } else if parser.words(&["read", "only"]) {
                read_only = Some(true);
            } else if parser.words(&["read", "write"]) {
                read_only = Some(false);
            } else {
                return parser.refuse();
            }
            Ok(())
        })?;
    }
    Ok(Kind::Begin { consistent_snapshot, read_only })
}

/// `[AND [NO] CHAIN] [[NO] RELEASE]`
fn completion(parser: &mut Parser<'_>) -> Parsed<(bool, bool)> {
    let mut chain = false;
    if parser.word("and") {
        chain = !parser.word("no");
        parser.expect_word("chain")?;
    }
    let mut release = false;
    if parser.words(&["no", "release"]) {
    } else if parser.word("release") {
        release = true;
    }
    Ok((chain, release))
}

fn rollback(parser: &mut Parser<'_>) -> Parsed<Kind> {
    parser.advance_token();
    parser.word("work");
    if parser.word("to") {
        parser.word("savepoint");
        return Ok(Kind::RollbackTo(parser.name()?));
    }
    let (chain, release) = completion(parser)?;
    Ok(Kind::Rollback { chain, release })
}

fn lock_tables(parser: &mut Parser<'_>) -> Parsed<Kind> {
    parser.advance_token();
    parser.advance_token();
    let tables = parser.list(|parser| {
        let name = parser.object_name()?;
        const LOCKS: [&str; 3] = ["read", "write", "low_priority"];
        if parser.word("as") || !LOCKS.iter().any(|word| parser.peek_is(word)) {
            parser.name()?;
        }
        if parser.word("read") {
            parser.word("local");
            return Ok((name, false));
        }
        parser.word("low_priority");
        parser.expect_word("write")?;
        Ok((name, true))
    })?;
    Ok(Kind::LockTables(tables))
}

fn flush(parser: &mut Parser<'_>) -> Parsed<Kind> {
    parser.advance_token();
    let _ = parser.word("no_write_to_binlog") || parser.word("local");
    let tables = parser.peek_is("tables") || parser.peek_is("table");
    if parser.at_end() {
        return parser.refuse();
    }
    // What is flushed does not matter: names, lists, WITH READ LOCK.
    while !parser.at_end() && parser.peek_token_ref().token != Token::SemiColon {
        parser.advance_token();
    }
    Ok(Kind::Flush { tables })
}

fn maintenance(parser: &mut Parser<'_>, verb: &str) -> Parsed<Kind> {
    parser.advance_token();
    let _ = parser.word("no_write_to_binlog") || parser.word("local");
    if !parser.word("tables") {
        parser.expect_word("table")?;
    }
    let tables = parser.list(|parser| parser.object_name())?;
    if parser.peek_is("update") || parser.peek_is("drop") {
        return Err(error::unsupported("ANALYZE TABLE with histograms"));
    }
    // QUICK, FAST, MEDIUM, EXTENDED, CHANGED, FOR UPGRADE
    while !parser.at_end() && parser.peek_token_ref().token != Token::SemiColon {
        if parser.nth_word(0).is_none() {
            return parser.refuse();
        }
        parser.advance_token();
    }
    Ok(Kind::Maintenance { verb: verb.to_owned(), tables })
}
