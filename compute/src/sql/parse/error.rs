//! Syntax errors with MySQL's number and text.

use expr::{ErrorCode, SqlError};
use sqlparser::parser::ParserError;

/// Longest part of the statement that an error quotes, as in MySQL.
const NEAR_CHARACTERS_MAX: usize = 80;

/// 1064 at a byte offset of the statement.
pub fn near(text: &str, offset: usize) -> SqlError {
    let offset = (0..=offset.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let line = 1 + text[..offset].bytes().filter(|byte| *byte == b'\n').count();
    let rest: String = text[offset..].chars().take(NEAR_CHARACTERS_MAX).collect();
    SqlError::new(
        ErrorCode::PARSE_ERROR,
        format!(
            "You have an error in your SQL syntax; check the manual that corresponds to your MySQL server version for \
             the right syntax to use near '{rest}' at line {line}"
        ),
    )
}

/// 1436: nested deeper than [`super::NESTING_MAX`].
pub fn too_deep() -> SqlError {
    SqlError::new(
        ErrorCode::STACK_OVERRUN_NEED_MORE,
        "Thread stack overrun: the statement is nested too deeply; write it with fewer levels of parentheses or \
         subqueries",
    )
}

/// What sqlparser says, as MySQL would say it. `offset`: where the parser stood, if the error does not tell.
pub fn from_parser(error: ParserError, text: &str, offset: usize) -> SqlError {
    let message = match error {
        ParserError::RecursionLimitExceeded => return too_deep(),
        ParserError::TokenizerError(message) | ParserError::ParserError(message) => message,
    };
    if let Some(what) = message.strip_prefix(UNSUPPORTED) {
        return SqlError::not_supported(what);
    }
    if let Some(state) = message.strip_prefix(BAD_STATE) {
        return SqlError::new(ErrorCode(1407), format!("Bad SQLSTATE: '{state}'"));
    }
    if let Some(option) = message.strip_prefix(USED_TWICE) {
        return SqlError::new(ErrorCode(1225), format!("Option '{option}' used twice in statement"));
    }
    if message == SEPARATOR {
        let text = "Field separator argument is not what is expected; check the manual";
        return SqlError::new(ErrorCode(1083), text);
    }
    // The lexer puts byte offsets into columns.
    let column = message.rsplit_once("Column: ").and_then(|(_, column)| column.trim().parse::<usize>().ok());
    match column {
        Some(column) if column > 0 => near(text, column - 1),
        // "found: EOF" has no place.
        _ if message.contains("EOF") => near(text, text.len()),
        _ => near(text, offset),
    }
}

/// Marks messages of [`unsupported`] on their way through sqlparser's error type.
const UNSUPPORTED: &str = "unsupported: ";

/// 1235 from inside a parse function.
pub fn unsupported(what: &str) -> ParserError {
    ParserError::ParserError(format!("{UNSUPPORTED}{what}"))
}

const USED_TWICE: &str = "used twice: ";

/// 1225 from inside a parse function.
pub fn used_twice(option: &str) -> ParserError {
    ParserError::ParserError(format!("{USED_TWICE}{option}"))
}

const SEPARATOR: &str = "separator";

/// 1083 from inside a parse function.
pub fn separator() -> ParserError {
    ParserError::ParserError(SEPARATOR.to_string())
}

const BAD_STATE: &str = "bad state: ";

/// 1407 from inside a parse function.
pub fn bad_state(state: &str) -> ParserError {
    ParserError::ParserError(format!("{BAD_STATE}{state}"))
}
