//! What is searched for. Manual: "Natural Language Full-Text Searches" (14.9.1), "Boolean Full-Text Searches" (14.9.2).

use super::words::{self, Document};
use crate::error::{ErrorCode, SqlError};
use std::iter::Peekable;
use std::str::Chars;

/// Parentheses within parentheses.
const DEPTH_MAX: usize = 32;
/// What `>` and `<` give and take, and `~` takes.
const STEP: f64 = 1.0;

/// Items of a list, each with its operator.
pub struct Query {
    items: Vec<(Operator, Item)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    /// None: it need not match.
    Optional,
    /// `+`
    Required,
    /// `-`
    Excluded,
    /// `>`
    Raised,
    /// `<`
    Lowered,
    /// `~`
    Disliked,
}

enum Item {
    Word(String),
    /// `word*`
    Prefix(String),
    Phrase(Vec<String>),
    /// `"words" @distance`
    Near(Vec<String>, usize),
    List(Query),
}

impl Query {
    /// Any of the words.
    pub fn natural(pattern: &str) -> Query {
        let searched = words::split(pattern).filter(|word| words::is_searched(word));
        Query { items: searched.map(|word| (Operator::Optional, Item::Word(word.to_owned()))).collect() }
    }

    /// Words with operators. Error 1064 for what is no query.
    pub fn boolean(pattern: &str) -> Result<Query, SqlError> {
        let mut characters = pattern.chars().peekable();
        let query = list(&mut characters, 0)?;
        match characters.peek() {
            None => Ok(query),
            Some(rest) => Err(unexpected(*rest)),
        }
    }

    /// `None` where the row does not match.
    pub fn relevance(&self, document: &Document<'_>, equal: &dyn Fn(&str, &str) -> bool) -> Option<f64> {
        let mut relevance = None;
        for (operator, item) in &self.items {
            let found = item.relevance(document, equal);
            match (operator, found) {
                (Operator::Required, None) | (Operator::Excluded, Some(_)) => return None,
                (Operator::Excluded, None) | (_, None) => {}
                (operator, Some(found)) => {
                    let weighed = match operator {
                        Operator::Raised => found + STEP,
                        Operator::Lowered => (found - STEP).max(f64::MIN_POSITIVE),
                        Operator::Disliked => -found,
                        _ => found,
                    };
                    relevance = Some(relevance.unwrap_or(0.0) + weighed);
                }
            }
        }
        relevance
    }
}

impl Item {
    fn relevance(&self, document: &Document<'_>, equal: &dyn Fn(&str, &str) -> bool) -> Option<f64> {
        let count = match self {
            Item::Word(wanted) => document.count(|word| equal(word, wanted)),
            Item::Prefix(wanted) => {
                let length = wanted.chars().count();
                let begins = |word: &str| {
                    let end = word.char_indices().nth(length).map_or(word.len(), |(end, _)| end);
                    equal(&word[..end], wanted)
                };
                document.count(begins)
            }
            Item::Phrase(words) => document.count_phrase(words, equal),
            Item::Near(words, distance) => document.count_near(words, *distance, equal),
            Item::List(query) => return query.relevance(document, equal),
        };
        (count > 0).then_some(count as f64)
    }
}

/// Items up to the end or a closing parenthesis.
fn list(characters: &mut Peekable<Chars<'_>>, depth: usize) -> Result<Query, SqlError> {
    let mut items = Vec::new();
    while let Some(character) = characters.peek().copied() {
        if character == ')' {
            break;
        }
        let operator = match character {
            '+' => Operator::Required,
            '-' => Operator::Excluded,
            '>' => Operator::Raised,
            '<' => Operator::Lowered,
            '~' => Operator::Disliked,
            _ => Operator::Optional,
        };
        if operator != Operator::Optional {
            characters.next();
            if let Some(next) = characters.peek().filter(|next| "+-<>~@*".contains(**next)) {
                return Err(unexpected(*next));
            }
        }
        if let Some(item) = item(characters, depth)? {
            items.push((operator, item));
        }
    }
    Ok(Query { items })
}

/// `None`: what stands here is not searched for.
fn item(characters: &mut Peekable<Chars<'_>>, depth: usize) -> Result<Option<Item>, SqlError> {
    match characters.peek().copied() {
        Some('(') if depth >= DEPTH_MAX => Err(unexpected('(')),
        Some('(') => {
            characters.next();
            let inner = list(characters, depth + 1)?;
            match characters.next() {
                Some(')') => Ok(Some(Item::List(inner))),
                Some(other) => Err(unexpected(other)),
                None => Err(unexpected_end()),
            }
        }
        Some('"') => {
            characters.next();
            let mut text = String::new();
            loop {
                match characters.next() {
                    Some('"') => break,
                    Some(character) => text.push(character),
                    None => return Err(unexpected_end()),
                }
            }
            let phrase: Vec<String> = words::split(&text).map(str::to_owned).collect();
            if characters.next_if_eq(&'@').is_none() {
                return Ok((!phrase.is_empty()).then_some(Item::Phrase(phrase)));
            }
            let mut digits = String::new();
            while let Some(digit) = characters.next_if(char::is_ascii_digit) {
                digits.push(digit);
            }
            let distance = digits.parse().map_err(|_| unexpected('@'))?;
            Ok((!phrase.is_empty()).then_some(Item::Near(phrase, distance)))
        }
        Some(character) if words::is_of_word(character) => {
            let mut word = String::new();
            while let Some(character) = characters.next_if(|character| words::is_of_word(*character)) {
                word.push(character);
            }
            if characters.next_if_eq(&'*').is_some() {
                return Ok(Some(Item::Prefix(word)));
            }
            Ok((!words::is_stopword(&word)).then_some(Item::Word(word)))
        }
        Some(_) => {
            characters.next();
            Ok(None)
        }
        None => Ok(None),
    }
}

fn unexpected(character: char) -> SqlError {
    SqlError::new(ErrorCode::PARSE_ERROR, format!("syntax error, unexpected '{character}'"))
}

fn unexpected_end() -> SqlError {
    SqlError::new(ErrorCode::PARSE_ERROR, "syntax error, unexpected $end")
}
