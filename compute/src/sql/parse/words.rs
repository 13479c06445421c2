//! Reading MySQL's words from sqlparser's tokens: by text, since many of MySQL's words are no keyword there.

use crate::sql::parse::VARIABLE_QUOTE;
use crate::sql::parse::ast::Name;
use crate::sql::parse::reserved::is_reserved;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::Token;

pub type Parsed<T> = Result<T, ParserError>;

/// What our own parse functions need of a parser.
pub trait Words {
    /// The word `ahead` tokens further, if it is one without quotes.
    fn nth_word(&self, ahead: usize) -> Option<&str>;
    /// The next token is this word, without quotes, in any case.
    fn peek_is(&self, word: &str) -> bool;
    fn nth_is(&self, ahead: usize, word: &str) -> bool;
    /// Takes the word if it is next.
    fn word(&mut self, word: &str) -> bool;
    /// Takes all of these words if they are next, else none.
    fn words(&mut self, words: &[&str]) -> bool;
    /// Takes the first of `choices` that is next.
    fn one_of(&mut self, choices: &[&'static str]) -> Option<&'static str>;
    fn expect_word(&mut self, word: &str) -> Parsed<()>;
    fn token(&mut self, token: &Token) -> bool;
    fn expect(&mut self, token: &Token) -> Parsed<()>;
    /// An identifier: quoted, or not reserved.
    fn name(&mut self) -> Parsed<String>;
    /// An identifier or a string.
    fn name_or_string(&mut self) -> Parsed<String>;
    /// `name` or `database.name`.
    fn object_name(&mut self) -> Parsed<Name>;
    fn string(&mut self) -> Parsed<String>;
    fn peek_string(&self) -> Option<&str>;
    fn unsigned(&mut self) -> Parsed<u64>;
    /// `(a, b, c)`
    fn name_list(&mut self) -> Parsed<Vec<String>>;
    /// Takes `=` if it is next.
    fn optional_equals(&mut self);
    /// Byte offset of the next token, `usize::MAX` at the end.
    fn offset(&self) -> usize;
    /// Byte offset after the last token taken.
    fn end_offset(&self) -> usize;
    /// At the end of the statement.
    fn at_end(&self) -> bool;
    /// A syntax error at the next token.
    fn refuse<T>(&self) -> Parsed<T>;
    /// Skips a parenthesised group that starts here.
    fn skip_group(&mut self) -> Parsed<()>;
    /// Items between commas.
    fn list<T>(&mut self, item: impl FnMut(&mut Self) -> Parsed<T>) -> Parsed<Vec<T>>
    where
        Self: Sized;
}

impl Words for Parser<'_> {
    fn nth_word(&self, ahead: usize) -> Option<&str> {
        match &self.peek_nth_token_ref(ahead).token {
            Token::Word(word) if word.quote_style.is_none() => Some(&word.value),
            _ => None,
        }
    }

    fn peek_is(&self, word: &str) -> bool {
        self.nth_is(0, word)
    }

    fn nth_is(&self, ahead: usize, word: &str) -> bool {
        self.nth_word(ahead).is_some_and(|found| found.eq_ignore_ascii_case(word))
    }

    fn word(&mut self, word: &str) -> bool {
        let found = self.peek_is(word);
        if found {
            self.advance_token();
        }
        found
    }

    fn words(&mut self, words: &[&str]) -> bool {
        let found = words.iter().enumerate().all(|(ahead, word)| self.nth_is(ahead, word));
        if found {
            for _ in words {
                self.advance_token();
            }
        }
        found
    }

    fn one_of(&mut self, choices: &[&'static str]) -> Option<&'static str> {
        let found = choices.iter().find(|choice| self.peek_is(choice)).copied();
        if found.is_some() {
            self.advance_token();
        }
        found
    }

    fn expect_word(&mut self, word: &str) -> Parsed<()> {
        if self.word(word) { Ok(()) } else { self.refuse() }
    }

    fn token(&mut self, token: &Token) -> bool {
        self.consume_token(token)
    }

    fn expect(&mut self, token: &Token) -> Parsed<()> {
        if self.consume_token(token) { Ok(()) } else { self.refuse() }
    }

    fn name(&mut self) -> Parsed<String> {
        match &self.peek_token_ref().token {
            Token::Word(word) if word.quote_style == Some(VARIABLE_QUOTE) => self.refuse(),
            Token::Word(word) if word.quote_style.is_some() || !is_reserved(&word.value) => {
                let name = word.value.clone();
                self.advance_token();
                Ok(name)
            }
            _ => self.refuse(),
        }
    }

    fn name_or_string(&mut self) -> Parsed<String> {
        match self.peek_string() {
            Some(_) => self.string(),
            // `BINARY` and `DEFAULT` name character sets and the like.
            None if self.peek_is("binary") => {
                self.advance_token();
                Ok("binary".to_owned())
            }
            None => self.name(),
        }
    }

    fn object_name(&mut self) -> Parsed<Name> {
        let first = self.name()?;
        if self.token(&Token::Period) {
            return Ok(Name { database: Some(first), name: self.name()? });
        }
        Ok(Name { database: None, name: first })
    }

    fn string(&mut self) -> Parsed<String> {
        match &self.peek_token_ref().token {
            Token::SingleQuotedString(text) | Token::NationalStringLiteral(text) => {
                let text = text.clone();
                self.advance_token();
                Ok(text)
            }
            _ => self.refuse(),
        }
    }

    fn peek_string(&self) -> Option<&str> {
        match &self.peek_token_ref().token {
            Token::SingleQuotedString(text) | Token::NationalStringLiteral(text) => Some(text),
            _ => None,
        }
    }

    fn unsigned(&mut self) -> Parsed<u64> {
        match &self.peek_token_ref().token {
            Token::Number(digits, _) => match digits.parse() {
                Ok(number) => {
                    self.advance_token();
                    Ok(number)
                }
                Err(_) => self.refuse(),
            },
            _ => self.refuse(),
        }
    }

    fn name_list(&mut self) -> Parsed<Vec<String>> {
        self.expect(&Token::LParen)?;
        let names = self.list(|parser| parser.name())?;
        self.expect(&Token::RParen)?;
        Ok(names)
    }

    fn optional_equals(&mut self) {
        self.token(&Token::Eq);
    }

    fn offset(&self) -> usize {
        match self.peek_token_ref().span.start.column {
            0 => usize::MAX,
            column => column as usize - 1,
        }
    }

    fn end_offset(&self) -> usize {
        (self.get_current_token().span.end.column as usize).saturating_sub(1)
    }

    fn at_end(&self) -> bool {
        self.peek_token_ref().token == Token::EOF
    }

    fn refuse<T>(&self) -> Parsed<T> {
        self.expected_ref("something else", self.peek_token_ref())
    }

    fn skip_group(&mut self) -> Parsed<()> {
        self.expect(&Token::LParen)?;
        let mut depth = 1;
        while depth > 0 {
            match self.peek_token_ref().token {
                Token::LParen => depth += 1,
                Token::RParen => depth -= 1,
                Token::EOF => return self.refuse(),
                _ => {}
            }
            self.advance_token();
        }
        Ok(())
    }

    fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Parsed<T>) -> Parsed<Vec<T>> {
        let mut items = vec![item(self)?];
        while self.token(&Token::Comma) {
            items.push(item(self)?);
        }
        Ok(items)
    }
}
