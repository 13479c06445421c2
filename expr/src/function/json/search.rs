//! JSON_SEARCH: the paths of strings that match a LIKE pattern.

use crate::error::{ErrorCode, SqlError};
use crate::eval::EvalContext;
use crate::function::Call;
use crate::function::json::{document, json_value, path, wants_all};
use crate::value::Value;
use crate::value::json::text::{ordered, write_quoted};
use serde_json::Value as Node;

pub fn search(_: &Call<'_>, arguments: &[Value], _: &EvalContext) -> Result<Value, SqlError> {
    let escape = arguments.get(3);
    let others = arguments.iter().enumerate().filter(|(index, _)| *index != 3);
    if others.into_iter().any(|(_, argument)| argument.is_null()) {
        return Ok(Value::Null);
    }
    let document = document(arguments, 0, "json_search")?;
    let all = wants_all(&arguments[1], "json_search")?;
    let escape = match escape.map(Value::to_text) {
        None => '\\',
        Some(text) if text.is_empty() => '\\',
        Some(text) if text.chars().count() == 1 => text.chars().next().unwrap_or('\\'),
        Some(_) => return Err(SqlError::new(ErrorCode::WRONG_ARGUMENTS, "Incorrect arguments to ESCAPE")),
    };
    let pattern = pattern_of(&arguments[2].to_text(), escape);
    let mut places = Vec::new();
    let mut scopes = Vec::new();
    for argument in arguments.iter().skip(4) {
        scopes.extend(path(argument)?.find(&document.0).into_iter().map(std::ptr::from_ref::<Node>));
    }
    let scoped = arguments.len() > 4;
    let mut search = Search { pattern: &pattern, scopes: scoped.then_some(&scopes), all, places: &mut places };
    search.visit(&document.0, &mut String::from("$"), false);
    Ok(match (places.len(), all) {
        (0, _) => Value::Null,
        (1, _) | (_, false) => json_value(Node::String(places.swap_remove(0))),
        _ => json_value(places.into_iter().map(Node::String).collect()),
    })
}

enum Token {
    Literal(char),
    One,
    Any,
}

fn pattern_of(text: &str, escape: char) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        tokens.push(match character {
            escaped if escaped == escape => Token::Literal(characters.next().unwrap_or(escape)),
            '%' => Token::Any,
            '_' => Token::One,
            literal => Token::Literal(literal),
        });
    }
    tokens
}

/// Remembers the last `%` and starts again one character further when what follows it does not fit.
fn matches(text: &str, pattern: &[Token]) -> bool {
    let text: Vec<char> = text.chars().collect();
    let (mut at, mut token) = (0, 0);
    let mut retry = None;
    loop {
        match pattern.get(token) {
            Some(Token::Any) => {
                retry = Some((at, token + 1));
                token += 1;
                continue;
            }
            Some(Token::One) if at < text.len() => {
                (at, token) = (at + 1, token + 1);
                continue;
            }
            Some(Token::Literal(wanted)) if text.get(at) == Some(wanted) => {
                (at, token) = (at + 1, token + 1);
                continue;
            }
            None if at == text.len() => return true,
            _ => {}
        }
        match retry {
            Some((start, after)) if start < text.len() => {
                retry = Some((start + 1, after));
                (at, token) = (start + 1, after);
            }
            _ => return false,
        }
    }
}

struct Search<'s> {
    pattern: &'s [Token],
    /// Only what is in one of these counts.
    scopes: Option<&'s Vec<*const Node>>,
    all: bool,
    places: &'s mut Vec<String>,
}

impl Search<'_> {
    fn visit(&mut self, node: &Node, place: &mut String, in_scope: bool) {
        if !self.all && !self.places.is_empty() {
            return;
        }
        let in_scope = in_scope || self.scopes.is_none_or(|scopes| scopes.contains(&std::ptr::from_ref(node)));
        let length = place.len();
        match node {
            Node::String(text) if in_scope && matches(text, self.pattern) => self.places.push(place.clone()),
            Node::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    place.push_str(&format!("[{index}]"));
                    self.visit(item, place, in_scope);
                    place.truncate(length);
                }
            }
            Node::Object(members) => {
                for (key, member) in ordered(members) {
                    place.push('.');
                    match is_identifier(key) {
                        true => place.push_str(key),
                        false => write_quoted(key, place),
                    }
                    self.visit(member, place, in_scope);
                    place.truncate(length);
                }
            }
            _ => {}
        }
    }
}

/// Names that a path may have without quotes.
fn is_identifier(key: &str) -> bool {
    let starts = |character: char| character.is_alphabetic() || character == '_' || character == '$';
    key.starts_with(starts) && key.chars().all(|character| starts(character) || character.is_numeric())
}
