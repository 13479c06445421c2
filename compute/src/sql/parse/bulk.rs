//! Fast path for `INSERT INTO t [(columns)] VALUES (literals), ...`: dumps send several megabytes in one statement, and
//! tokens and syntax trees would cost many times that.
//!
//! What it does not understand it leaves to the full parser by giving None; it never refuses anything itself.

use crate::sql::parse::ast::{Insert, InsertSource, InsertValue, Kind, Name, Source, Statement};
use crate::sql::parse::lexer::{is_word_byte, string_literal};
use crate::sql::parse::reserved::is_reserved;
use expr::Value;
use expr::eval::SqlMode;
use expr::value::decimal::Decimal;
use std::collections::HashMap;
use std::sync::Arc;

/// Shorter statements gain nothing.
const LENGTH_MIN: usize = 1024;

pub fn parse(text: &str, sql_mode: SqlMode) -> Option<Statement> {
    if text.len() < LENGTH_MIN {
        return None;
    }
    let mut scanner = Scanner { text, bytes: text.as_bytes(), at: 0, sql_mode };
    let replace = scanner.word("replace");
    if !replace && !scanner.word("insert") {
        return None;
    }
    let ignore = scanner.word("ignore");
    scanner.word("into");
    let mut table = Name { database: None, name: scanner.name()? };
    if scanner.symbol(b'.') {
        table = Name { database: Some(table.name), name: scanner.name()? };
    }
    let mut columns = None;
    if scanner.symbol(b'(') {
        let mut names = vec![scanner.name()?];
        while scanner.symbol(b',') {
            names.push(scanner.name()?);
        }
        scanner.symbol(b')').then_some(())?;
        columns = Some(names);
    }
    scanner.word("values").then_some(())?;
    let mut rows = Vec::new();
    loop {
        rows.push(scanner.row()?);
        if !scanner.symbol(b',') {
            break;
        }
    }
    scanner.symbol(b';');
    scanner.skip_space();
    if scanner.at < text.len() {
        return None;
    }
    let insert = Insert {
        table,
        partitions: Vec::new(),
        columns,
        source: InsertSource::Values(rows),
        row_alias: None,
        on_duplicate: Vec::new(),
        ignore,
        replace,
    };
    // Nothing in it is named after its text.
    let source = Source { text: Arc::from(""), items: Arc::new(HashMap::new()) };
    Some(Statement { kind: Kind::Insert(Box::new(insert)), source, parameters: 0 })
}

struct Scanner<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    sql_mode: SqlMode,
}

impl Scanner<'_> {
    fn skip_space(&mut self) {
        while self.bytes.get(self.at).is_some_and(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn symbol(&mut self, symbol: u8) -> bool {
        self.skip_space();
        let found = self.bytes.get(self.at) == Some(&symbol);
        self.at += usize::from(found);
        found
    }

    /// The unquoted word here, without taking it.
    fn peek_word(&mut self) -> &str {
        self.skip_space();
        let length = self.bytes[self.at..].iter().take_while(|byte| is_word_byte(**byte)).count();
        &self.text[self.at..self.at + length]
    }

    fn word(&mut self, word: &str) -> bool {
        let found = self.peek_word().eq_ignore_ascii_case(word);
        if found {
            self.at += word.len();
        }
        found
    }

    fn name(&mut self) -> Option<String> {
        if self.symbol(b'`') {
            let length = memchr::memchr(b'`', &self.bytes[self.at..])?;
            let name = self.text[self.at..self.at + length].to_owned();
            self.at += length + 1;
            // A doubled quote: rare enough for the full parser.
            return (self.bytes.get(self.at) != Some(&b'`')).then_some(name);
        }
        let word = self.peek_word().to_owned();
        if word.is_empty() || word.as_bytes()[0].is_ascii_digit() || is_reserved(&word) {
            return None;
        }
        self.at += word.len();
        Some(word)
    }

    fn row(&mut self) -> Option<Vec<InsertValue>> {
        self.symbol(b'(').then_some(())?;
        let mut row = Vec::new();
        loop {
            row.push(self.value()?);
            if self.symbol(b',') {
                continue;
            }
            self.symbol(b')').then_some(())?;
            return Some(row);
        }
    }

    fn value(&mut self) -> Option<InsertValue> {
        self.skip_space();
        let start = self.at;
        let byte = *self.bytes.get(self.at)?;
        let value = match byte {
            b'\'' => self.string(b'\'')?,
            b'"' if !self.sql_mode.has(SqlMode::ANSI_QUOTES) => self.string(b'"')?,
            b'-' | b'+' | b'0'..=b'9' => self.number()?,
            b'n' | b'N' if self.word("null") => Value::Null,
            b'd' | b'D' if self.word("default") => {
                return matches!(self.following(), b',' | b')').then_some(InsertValue::Default);
            }
            _ => {
                self.at = start;
                return None;
            }
        };
        matches!(self.following(), b',' | b')').then_some(InsertValue::Literal(value))
    }

    fn following(&mut self) -> u8 {
        self.skip_space();
        self.bytes.get(self.at).copied().unwrap_or(0)
    }

    fn string(&mut self, quote: u8) -> Option<Value> {
        let escapes = !self.sql_mode.has(SqlMode::NO_BACKSLASH_ESCAPES);
        let (text, end) = string_literal(self.text, self.at, quote, escapes)?;
        self.at = end;
        Some(Value::text(text))
    }

    /// Integers that fit, decimals, and hexadecimal strings; others are left to the full parser.
    fn number(&mut self) -> Option<Value> {
        let start = self.at;
        if self.bytes[start..].starts_with(b"0x") {
            let from = start + 2;
            let length = self.bytes[from..].iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
            if length == 0 || length % 2 == 1 {
                return None;
            }
            self.at = from + length;
            let digit = |at: usize| (self.bytes[at] as char).to_digit(16).unwrap_or(0) as u8;
            let bytes: Vec<u8> = (from..from + length).step_by(2).map(|at| digit(at) << 4 | digit(at + 1)).collect();
            return Some(Value::Bytes(Arc::from(bytes)));
        }
        if matches!(self.bytes[start], b'-' | b'+') {
            self.at += 1;
        }
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            while self.bytes.get(self.at).is_some_and(u8::is_ascii_digit) {
                self.at += 1;
            }
            return Decimal::parse(&self.text[start..self.at]).map(Value::Decimal);
        }
        // An exponent, a name: `following` will not be a comma.
        self.text[start..self.at].parse().ok().map(Value::Int)
    }
}
