//! LOAD DATA. Manual: "LOAD DATA Statement" (15.2.9).

use crate::sql::parse::ast::{Insert, InsertSource, Kind, LoadFile, LoadTarget};
use crate::sql::parse::dml::{assignments, column_path};
use crate::sql::parse::error;
use crate::sql::parse::lexer::VARIABLE_QUOTE;
use crate::sql::parse::words::{Parsed, Words};
use crate::sql::plan::LoadFormat;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::Token;

pub fn load(parser: &mut Parser<'_>) -> Parsed<Kind> {
    parser.expect_word("load")?;
    if parser.peek_is("xml") {
        return Err(error::unsupported("LOAD XML"));
    }
    parser.expect_word("data")?;
    let _ = parser.word("low_priority") || parser.word("concurrent");
    let local = parser.word("local");
    parser.expect_word("infile")?;
    let name = parser.string()?;
    let replace = parser.word("replace");
    let ignore = !replace && parser.word("ignore");
    parser.expect_word("into")?;
    parser.expect_word("table")?;
    let table = parser.object_name()?;
    let partitions = if parser.word("partition") { parser.name_list()? } else { Vec::new() };
    let charset = match parser.words(&["character", "set"]) || parser.word("charset") {
        true => Some(parser.name_or_string()?),
        false => None,
    };
    let format = format(parser)?;
    let mut lines_ignored = 0;
    if parser.word("ignore") {
        lines_ignored = parser.unsigned()?;
        if parser.one_of(&["lines", "rows"]).is_none() {
            return parser.refuse();
        }
    }
    let mut targets = None;
    if parser.token(&Token::LParen) {
        let mut listed = Vec::new();
        if !parser.token(&Token::RParen) {
            listed = parser.list(target)?;
            parser.expect(&Token::RParen)?;
        }
        targets = Some(listed).filter(|listed| !listed.is_empty());
    }
    let assignments = if parser.word("set") { assignments(parser)? } else { Vec::new() };
    let file = LoadFile { name, local, charset, format, lines_ignored, targets, assignments };
    Ok(Kind::Insert(Box::new(Insert {
        table,
        partitions,
        columns: None,
        source: InsertSource::File(Box::new(file)),
        row_alias: None,
        on_duplicate: Vec::new(),
        ignore,
        replace,
    })))
}

fn target(parser: &mut Parser<'_>) -> Parsed<LoadTarget> {
    if let Token::Word(word) = &parser.peek_token_ref().token
        && word.quote_style == Some(VARIABLE_QUOTE)
        && !word.value.starts_with("@@")
    {
        let name = word.value.trim_start_matches('@').to_lowercase();
        parser.advance_token();
        return Ok(LoadTarget::Variable(name));
    }
    Ok(LoadTarget::Column(column_path(parser)?.join(".")))
}

fn format(parser: &mut Parser<'_>) -> Parsed<LoadFormat> {
    let mut format = LoadFormat::default();
    if parser.word("fields") || parser.word("columns") {
        let mut any = false;
        loop {
            if parser.words(&["terminated", "by"]) {
                format.fields_terminated = bytes(parser)?;
            } else if parser.words(&["optionally", "enclosed", "by"]) || parser.words(&["enclosed", "by"]) {
                format.enclosed = one_byte(parser)?;
            } else if parser.words(&["escaped", "by"]) {
                format.escaped = one_byte(parser)?;
            } else if any {
                break;
            } else {
                return parser.refuse();
            }
            any = true;
        }
    }
    if parser.word("lines") {
        let mut any = false;
        loop {
            if parser.words(&["starting", "by"]) {
                format.lines_starting = bytes(parser)?;
            } else if parser.words(&["terminated", "by"]) {
                format.lines_terminated = bytes(parser)?;
            } else if any {
                break;
            } else {
                return parser.refuse();
            }
            any = true;
        }
    }
    Ok(format)
}

/// A string, or a hexadecimal literal.
fn bytes(parser: &mut Parser<'_>) -> Parsed<Vec<u8>> {
    let Token::HexStringLiteral(digits) = &parser.peek_token_ref().token else {
        return Ok(parser.string()?.into_bytes());
    };
    let digits = if digits.len() % 2 == 1 { format!("0{digits}") } else { digits.clone() };
    let byte = |at: usize| digits.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
    match (0..digits.len()).step_by(2).map(byte).collect::<Option<Vec<u8>>>() {
        Some(bytes) => {
            parser.advance_token();
            Ok(bytes)
        }
        None => parser.refuse(),
    }
}

/// What encloses or escapes is one byte or nothing.
fn one_byte(parser: &mut Parser<'_>) -> Parsed<Option<u8>> {
    match bytes(parser)?.as_slice() {
        [] => Ok(None),
        [byte] => Ok(Some(*byte)),
        _ => Err(error::separator()),
    }
}
