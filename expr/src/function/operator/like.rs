//! LIKE. Manual: "String Comparison Functions and Operators" (14.8.1).

use crate::collation::{CollationId, characters_equal, comparison_collation};
use crate::error::{ErrorCode, SqlError};
use crate::eval::{EvalContext, SqlMode};
use crate::function::Call;
use crate::value::Value;

/// `text LIKE pattern [ESCAPE escape]`; an empty escape means that there is none.
pub(super) fn like(call: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    let escape = match arguments.get(2) {
        None if context.sql_mode.has(SqlMode::NO_BACKSLASH_ESCAPES) => None,
        None => Some('\\'),
        Some(escape) => {
            let escape = escape.to_text();
            let mut characters = escape.chars();
            let first = characters.next();
            if characters.next().is_some() {
                return Err(SqlError::new(ErrorCode(1210), "Incorrect arguments to ESCAPE"));
            }
            first
        }
    };
    let collation = comparison_collation(&call.argument_types[0], &call.argument_types[1])?;
    let (text, pattern) = (&arguments[0], &arguments[1]);
    let matched = match (text, pattern) {
        (Value::Bytes(_), _) | (_, Value::Bytes(_)) => {
            // Byte by byte: every byte is a character of its own.
            let wide = |value: &Value| value.to_bytes().iter().map(|byte| *byte as char).collect::<String>();
            matches(CollationId::BINARY, &wide(text), &wide(pattern), escape)
        }
        _ => matches(collation, &text.to_text(), &pattern.to_text(), escape),
    };
    Ok(Value::boolean(matched))
}

/// One step of a pattern.
enum Step {
    /// `%`
    Any,
    /// `_`
    One,
    Literal(char),
}

/// The first step of a pattern and what follows it.
fn step(pattern: &str, escape: Option<char>) -> Option<(Step, &str)> {
    let mut characters = pattern.chars();
    let first = characters.next()?;
    // An escape at the end stands for itself.
    if Some(first) == escape
        && let Some(literal) = characters.next()
    {
        return Some((Step::Literal(literal), characters.as_str()));
    }
    let step = match first {
        '%' => Step::Any,
        '_' => Step::One,
        literal => Step::Literal(literal),
    };
    Some((step, characters.as_str()))
}

/// Whether the whole text matches. `%` takes as little as possible and is given more only by the last `%` seen, which is
/// enough: the time is bounded by the product of the lengths.
pub fn matches(collation: CollationId, text: &str, pattern: &str, escape: Option<char>) -> bool {
    let (mut text, mut pattern) = (text, pattern);
    // Where to go on when a match fails: the pattern after the last `%`, and the text that it has not taken yet.
    let mut retry: Option<(&str, &str)> = None;
    loop {
        match step(pattern, escape) {
            Some((Step::Any, rest)) => {
                if rest.is_empty() {
                    return true;
                }
                pattern = rest;
                retry = Some((rest, text));
                continue;
            }
            Some((wanted, rest)) => {
                let mut characters = text.chars();
                if let Some(character) = characters.next()
                    && match wanted {
                        Step::Literal(literal) => characters_equal(collation, literal, character),
                        _ => true,
                    }
                {
                    text = characters.as_str();
                    pattern = rest;
                    continue;
                }
            }
            None if text.is_empty() => return true,
            None => {}
        }
        let Some((after_any, untaken)) = retry else { return false };
        let mut characters = untaken.chars();
        if characters.next().is_none() {
            return false;
        }
        text = characters.as_str();
        pattern = after_any;
        retry = Some((after_any, text));
    }
}
