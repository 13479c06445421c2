//! Lexer: statement text to sqlparser's tokens, by MySQL's rules (manual: "Language Structure", 11).
//!
//! Ours because comments that hold SQL (`/*!50705 ... */`), sql_mode and MySQL's literals change what a token is.
//! Every token's span has the byte offset in the text as its column: error texts and result column names need it.
//!
//! What holds: no whitespace tokens; user and system variables are one word with quote style `@`; a word after a period
//! is never a keyword; adjacent string literals are one; placeholders are numbered from 0 (`?0`).

use crate::sql::parse::error;
use expr::SqlError;
use expr::eval::SqlMode;
use sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan};

/// Comments of the form `/*!NNNNN` are executed up to this version.
const VERSION_NUMBER: u32 = 80_400;

/// Quote style that marks `@name` and `@@name`; the word's value starts with the `@`. MySQL quotes no names by it, and of
/// those that sqlparser can print (it panics for others) it is the one left.
pub const VARIABLE_QUOTE: char = '[';

/// Splits `text` into tokens.
pub fn tokens(text: &str, sql_mode: SqlMode) -> Result<Vec<TokenWithSpan>, SqlError> {
    let mut lexer = Lexer { text, bytes: text.as_bytes(), at: 0, line: 1, tokens: Vec::new(), parameters: 0, sql_mode };
    lexer.run()?;
    Ok(lexer.tokens)
}

struct Lexer<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    line: u64,
    tokens: Vec<TokenWithSpan>,
    parameters: usize,
    sql_mode: SqlMode,
}

/// A byte that an unquoted identifier may hold.
pub fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}

impl<'a> Lexer<'a> {
    fn peek(&self, ahead: usize) -> u8 {
        self.bytes.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn push(&mut self, token: Token, start: usize) {
        let span = Span::new(Location::new(self.line, start as u64 + 1), Location::new(self.line, self.at as u64 + 1));
        self.tokens.push(TokenWithSpan::new(token, span));
    }

    fn unfinished(&self, start: usize) -> SqlError {
        error::near(self.text, start)
    }

    fn run(&mut self) -> Result<(), SqlError> {
        let mut in_version_comment = false;
        while self.at < self.bytes.len() {
            let start = self.at;
            let byte = self.bytes[start];
            match byte {
                b'\n' => {
                    self.line += 1;
                    self.at += 1;
                }
                b' ' | b'\t' | b'\r' | 0x0b | 0x0c => self.at += 1,
                // A zero byte at the end is what some clients send; elsewhere it is an error.
                0 if self.text[start..].bytes().all(|rest| rest == 0) => break,
                b'#' => self.skip_line(),
                b'-' if self.peek(1) == b'-' && (self.at + 2 >= self.bytes.len() || self.peek(2) <= b' ') => {
                    self.skip_line()
                }
                b'/' if self.peek(1) == b'*' => in_version_comment |= self.comment()?,
                b'*' if in_version_comment && self.peek(1) == b'/' => {
                    in_version_comment = false;
                    self.at += 2;
                }
                b'\'' => self.string(b'\'')?,
                b'"' if self.sql_mode.has(SqlMode::ANSI_QUOTES) => self.quoted_word(b'"')?,
                b'"' => self.string(b'"')?,
                b'`' => self.quoted_word(b'`')?,
                b'@' => self.variable()?,
                b'0'..=b'9' => self.number_or_word()?,
                b'.' if self.peek(1).is_ascii_digit() && !self.follows_name() => self.number(),
                b'x' | b'X' if self.peek(1) == b'\'' => self.hex_string()?,
                b'b' | b'B' if self.peek(1) == b'\'' => self.bit_string()?,
                b'n' | b'N' if self.peek(1) == b'\'' => {
                    self.at += 1;
                    let text = self.string_text(b'\'')?;
                    self.push(Token::NationalStringLiteral(text), start);
                }
                _ if is_word_byte(byte) => self.word(),
                _ => self.operator()?,
            }
        }
        if in_version_comment {
            return Err(self.unfinished(self.bytes.len()));
        }
        Ok(())
    }

    fn skip_line(&mut self) {
        self.at = memchr::memchr(b'\n', &self.bytes[self.at..]).map_or(self.bytes.len(), |length| self.at + length);
    }

    /// At `/*`. True if what follows is SQL, up to the closing `*/`.
    fn comment(&mut self) -> Result<bool, SqlError> {
        let start = self.at;
        if self.peek(2) == b'!' {
            let digits = self.bytes[start + 3..].iter().take(6).take_while(|byte| byte.is_ascii_digit()).count();
            // Five digits, or six.
            let digits = if digits >= 5 { digits } else { 0 };
            let version: u32 = self.text[start + 3..start + 3 + digits].parse().unwrap_or(0);
            if version <= VERSION_NUMBER {
                self.at = start + 3 + digits;
                return Ok(true);
            }
        }
        self.at = match comment_end(self.bytes, start) {
            Some(end) => end,
            None => return Err(self.unfinished(start)),
        };
        self.line += memchr::memchr_iter(b'\n', &self.bytes[start..self.at]).count() as u64;
        Ok(false)
    }

    /// True if the token before is a name that this byte touches: `t.1x`.
    fn follows_name(&self) -> bool {
        self.tokens
            .last()
            .is_some_and(|last| matches!(last.token, Token::Word(_)) && last.span.end.column == self.at as u64 + 1)
    }

    fn after_period(&self) -> bool {
        self.tokens.last().is_some_and(|last| last.token == Token::Period)
    }

    fn word(&mut self) {
        let start = self.at;
        while self.at < self.bytes.len() && is_word_byte(self.bytes[self.at]) {
            self.at += 1;
        }
        let quote = self.after_period().then_some('`');
        self.push(Token::make_word(&self.text[start..self.at], quote), start);
    }

    fn quoted_word(&mut self, quote: u8) -> Result<(), SqlError> {
        let start = self.at;
        let text = self.quoted_name(quote)?;
        self.push(Token::make_word(&text, Some(quote as char)), start);
        Ok(())
    }

    /// A name in quotes; a doubled quote stands for one.
    fn quoted_name(&mut self, quote: u8) -> Result<String, SqlError> {
        let start = self.at;
        self.at += 1;
        let mut text = String::new();
        loop {
            let Some(length) = memchr::memchr(quote, &self.bytes[self.at..]) else {
                return Err(self.unfinished(start));
            };
            text.push_str(&self.text[self.at..self.at + length]);
            self.at += length + 1;
            if self.peek(0) != quote {
                return Ok(text);
            }
            text.push(quote as char);
            self.at += 1;
        }
    }

    /// `@name`, `@'name'`, `@@name`, `@@scope.name`; a lone `@` stays a token (`'user'@'host'`).
    fn variable(&mut self) -> Result<(), SqlError> {
        let start = self.at;
        self.at += 1;
        let mut name = String::from("@");
        if self.peek(0) == b'@' {
            self.at += 1;
            name.push('@');
        }
        match self.peek(0) {
            quote @ (b'`' | b'\'' | b'"') => {
                name.push_str(&self.quoted_name(quote)?);
            }
            byte if is_word_byte(byte) || byte == b'.' => {
                let from = self.at;
                while self.at < self.bytes.len() && (is_word_byte(self.peek(0)) || self.peek(0) == b'.') {
                    self.at += 1;
                }
                name.push_str(&self.text[from..self.at]);
                // @@session.`name`
                if name.ends_with('.') && self.peek(0) == b'`' {
                    name.push_str(&self.quoted_name(b'`')?);
                }
            }
            _ => {
                self.push(Token::AtSign, start);
                return Ok(());
            }
        }
        self.push(Token::make_word(&name, Some(VARIABLE_QUOTE)), start);
        Ok(())
    }

    fn string(&mut self, quote: u8) -> Result<(), SqlError> {
        let start = self.at;
        let text = self.string_text(quote)?;
        if let Some(TokenWithSpan { token: Token::SingleQuotedString(last), span }) = self.tokens.last_mut() {
            last.push_str(&text);
            span.end.column = self.at as u64 + 1;
            return Ok(());
        }
        self.push(Token::SingleQuotedString(text), start);
        Ok(())
    }

    /// The value of the string literal that starts here with `quote`.
    fn string_text(&mut self, quote: u8) -> Result<String, SqlError> {
        let start = self.at;
        let backslash_escapes = !self.sql_mode.has(SqlMode::NO_BACKSLASH_ESCAPES);
        match string_literal(self.text, start, quote, backslash_escapes) {
            Some((text, end)) => {
                self.line += memchr::memchr_iter(b'\n', &self.bytes[start..end]).count() as u64;
                self.at = end;
                Ok(text)
            }
            None => Err(self.unfinished(start)),
        }
    }

    fn hex_string(&mut self) -> Result<(), SqlError> {
        let start = self.at;
        let from = start + 2;
        let length = self.bytes[from..].iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        if self.bytes.get(from + length) != Some(&b'\'') || length % 2 == 1 {
            return Err(self.unfinished(start));
        }
        self.at = from + length + 1;
        self.push(Token::HexStringLiteral(self.text[from..from + length].to_owned()), start);
        Ok(())
    }

    fn bit_string(&mut self) -> Result<(), SqlError> {
        let start = self.at;
        let from = start + 2;
        let length = self.bytes[from..].iter().take_while(|byte| matches!(byte, b'0' | b'1')).count();
        if self.bytes.get(from + length) != Some(&b'\'') {
            return Err(self.unfinished(start));
        }
        self.at = from + length + 1;
        self.push(Token::SingleQuotedByteStringLiteral(self.text[from..from + length].to_owned()), start);
        Ok(())
    }

    /// A number, or a name that starts with a digit.
    fn number_or_word(&mut self) -> Result<(), SqlError> {
        let start = self.at;
        if self.after_period() {
            self.word();
            return Ok(());
        }
        let run = self.bytes[start..].iter().take_while(|byte| is_word_byte(**byte)).count();
        let word = &self.text[start..start + run];
        if let Some(digits) = word.strip_prefix("0x").filter(|digits| !digits.is_empty())
            && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
        {
            self.at += run;
            let padded = if digits.len() % 2 == 1 { format!("0{digits}") } else { digits.to_owned() };
            self.push(Token::HexStringLiteral(padded), start);
        } else if let Some(digits) = word.strip_prefix("0b").filter(|digits| !digits.is_empty())
            && digits.bytes().all(|byte| matches!(byte, b'0' | b'1'))
        {
            self.at += run;
            self.push(Token::SingleQuotedByteStringLiteral(digits.to_owned()), start);
        } else if word.bytes().all(|byte| byte.is_ascii_digit()) || self.exponent(word) {
            self.number();
        } else {
            self.word();
        }
        Ok(())
    }

    /// `1e5`, or `1e` before a sign and a digit.
    fn exponent(&self, word: &str) -> bool {
        let digits = word.bytes().take_while(u8::is_ascii_digit).count();
        let rest = &word[digits..];
        let Some(power) = rest.strip_prefix(['e', 'E']) else { return false };
        if power.is_empty() {
            matches!(self.peek(word.len()), b'+' | b'-') && self.peek(word.len() + 1).is_ascii_digit()
        } else {
            power.bytes().all(|byte| byte.is_ascii_digit())
        }
    }

    fn digits(&mut self) {
        while self.peek(0).is_ascii_digit() {
            self.at += 1;
        }
    }

    fn number(&mut self) {
        let start = self.at;
        self.digits();
        if self.peek(0) == b'.' {
            self.at += 1;
            self.digits();
        }
        if matches!(self.peek(0), b'e' | b'E') {
            let sign = usize::from(matches!(self.peek(1), b'+' | b'-'));
            if self.peek(1 + sign).is_ascii_digit() {
                self.at += 1 + sign;
                self.digits();
            }
        }
        self.push(Token::Number(self.text[start..self.at].to_owned(), false), start);
    }

    fn operator(&mut self) -> Result<(), SqlError> {
        let start = self.at;
        let rest = &self.text[start..];
        const OPERATORS: [(&str, Token); 13] = [
            ("<=>", Token::Spaceship),
            ("->>", Token::LongArrow),
            ("->", Token::Arrow),
            ("<<", Token::ShiftLeft),
            (">>", Token::ShiftRight),
            ("<=", Token::LtEq),
            (">=", Token::GtEq),
            ("<>", Token::Neq),
            ("!=", Token::Neq),
            (":=", Token::Assignment),
            ("||", Token::StringConcat),
            ("&&", Token::Overlap),
            ("=", Token::Eq),
        ];
        if let Some((symbol, token)) = OPERATORS.iter().find(|(symbol, _)| rest.starts_with(symbol)) {
            self.at += symbol.len();
            self.push(token.clone(), start);
            return Ok(());
        }
        let token = match self.bytes[start] {
            b'<' => Token::Lt,
            b'>' => Token::Gt,
            b'+' => Token::Plus,
            b'-' => Token::Minus,
            b'*' => Token::Mul,
            b'/' => Token::Div,
            b'%' => Token::Mod,
            b'(' => Token::LParen,
            b')' => Token::RParen,
            b',' => Token::Comma,
            b';' => Token::SemiColon,
            b'.' => Token::Period,
            b':' => Token::Colon,
            b'&' => Token::Ampersand,
            b'|' => Token::Pipe,
            b'^' => Token::Caret,
            b'~' => Token::Tilde,
            b'!' => Token::ExclamationMark,
            b'{' => Token::LBrace,
            b'}' => Token::RBrace,
            b'?' => {
                self.parameters += 1;
                Token::Placeholder(format!("?{}", self.parameters - 1))
            }
            _ => return Err(self.unfinished(start)),
        };
        self.at += 1;
        self.push(token, start);
        Ok(())
    }
}

/// Offset after the comment that starts at `start` with `/*`; comments that hold SQL may hold a plain comment.
pub fn comment_end(bytes: &[u8], start: usize) -> Option<usize> {
    let mut at = start + 2;
    let holds_sql = bytes.get(at) == Some(&b'!');
    while at < bytes.len() {
        at += memchr::memchr2(b'*', b'/', &bytes[at..])?;
        if bytes[at..].starts_with(b"*/") {
            return Some(at + 2);
        }
        if holds_sql && bytes[at..].starts_with(b"/*") {
            at = comment_end(bytes, at)?;
        } else {
            at += 1;
        }
    }
    None
}

/// Value of the string literal at `start`, which is `quote`, and the offset after it.
pub fn string_literal(text: &str, start: usize, quote: u8, backslash_escapes: bool) -> Option<(String, usize)> {
    let bytes = text.as_bytes();
    let mut value = String::new();
    let mut at = start + 1;
    loop {
        let length = if backslash_escapes {
            memchr::memchr2(quote, b'\\', &bytes[at..])?
        } else {
            memchr::memchr(quote, &bytes[at..])?
        };
        value.push_str(&text[at..at + length]);
        at += length;
        if bytes[at] == quote {
            at += 1;
            if bytes.get(at) != Some(&quote) {
                return Some((value, at));
            }
            value.push(quote as char);
            at += 1;
            continue;
        }
        let escaped = text[at + 1..].chars().next()?;
        at += 1 + escaped.len_utf8();
        match escaped {
            '0' => value.push('\0'),
            'b' => value.push('\u{8}'),
            'n' => value.push('\n'),
            'r' => value.push('\r'),
            't' => value.push('\t'),
            'Z' => value.push('\u{1a}'),
            // LIKE's own escapes stay as they are.
            '%' | '_' => {
                value.push('\\');
                value.push(escaped);
            }
            other => value.push(other),
        }
    }
}
