//! Cuts a text of several statements at the semicolons between them (COM_QUERY with CLIENT_MULTI_STATEMENTS).

use crate::sql::parse::lexer::{comment_end, is_word_byte};
use crate::sql::parse::routine::extent;
use expr::eval::SqlMode;
use std::ops::Range;

/// Ranges of the statements in `text`, without their semicolons. Pieces without a token are left out, unless the text
/// has nothing else. Quotes and comments are skipped; what is unfinished in them is left for the parser to refuse.
pub fn split_statements(text: &str, sql_mode: SqlMode) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    let mut statements = Vec::new();
    let mut start = 0;
    let mut at = 0;
    let mut words: Vec<&str> = Vec::new();
    let mut has_token = false;
    // Of the routine that begins here, once it is known.
    let mut end = 0;
    while at < bytes.len() {
        match bytes[at] {
            b';' if is_routine(&words) && end < at => {
                // The body's semicolons are its own.
                end = extent(&text[start..], sql_mode).map_or(at, |length| at.max(start + length));
                at = end;
            }
            b';' => {
                if has_token {
                    statements.push(start..at);
                }
                at += 1;
                start = at;
                end = 0;
                words.clear();
                has_token = false;
            }
            quote @ (b'\'' | b'"' | b'`') => {
                has_token = true;
                let escapes = quote != b'`'
                    && !sql_mode.has(SqlMode::NO_BACKSLASH_ESCAPES)
                    && !(quote == b'"' && sql_mode.has(SqlMode::ANSI_QUOTES));
                at = quoted_end(bytes, at, escapes);
            }
            b'#' => at = line_end(bytes, at),
            b'-' if bytes[at..].starts_with(b"--") && bytes.get(at + 2).is_none_or(|byte| *byte <= b' ') => {
                at = line_end(bytes, at)
            }
            b'/' if bytes[at..].starts_with(b"/*") => {
                has_token |= bytes[at..].starts_with(b"/*!");
                at = comment_end(bytes, at).unwrap_or(bytes.len());
            }
            byte if is_word_byte(byte) => {
                has_token = true;
                let length = bytes[at..].iter().take_while(|byte| is_word_byte(**byte)).count();
                // Enough to see that it is a routine.
                if words.len() < 16 {
                    words.push(&text[at..at + length]);
                }
                at += length;
            }
            byte => {
                has_token |= byte > b' ';
                at += 1;
            }
        }
    }
    if has_token {
        statements.push(start..bytes.len());
    }
    if statements.is_empty() {
        statements.push(0..text.len());
    }
    statements
}

/// CREATE or ALTER of what has a body: PROCEDURE, FUNCTION, TRIGGER, EVENT.
fn is_routine(words: &[&str]) -> bool {
    let is = |word: &&&str, name: &str| word.eq_ignore_ascii_case(name);
    words.first().is_some_and(|word| ["create", "alter"].iter().any(|name| word.eq_ignore_ascii_case(name)))
        && words.iter().any(|word| ["procedure", "function", "trigger", "event"].iter().any(|name| is(&word, name)))
}

fn line_end(bytes: &[u8], at: usize) -> usize {
    memchr::memchr(b'\n', &bytes[at..]).map_or(bytes.len(), |length| at + length)
}

fn quoted_end(bytes: &[u8], start: usize, backslash_escapes: bool) -> usize {
    let quote = bytes[start];
    let mut at = start + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if backslash_escapes => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(text: &str) -> Vec<&str> {
        split_statements(text, SqlMode::default()).into_iter().map(|range| text[range].trim()).collect()
    }

    #[test]
    fn cuts_at_semicolons_outside_quotes_and_comments() {
        assert_eq!(
            pieces("select ';', \"a\\\";\", `;` ; -- x;\nselect 2 /* ; */;;"),
            ["select ';', \"a\\\";\", `;`", "-- x;\nselect 2 /* ; */"]
        );
        assert_eq!(pieces(""), [""]);
        assert_eq!(pieces(" ; "), [";"]);
        assert_eq!(pieces("/*!40101 set a=1 */; select 1"), ["/*!40101 set a=1 */", "select 1"]);
    }

    #[test]
    fn routine_bodies_are_not_cut() {
        assert_eq!(pieces("create procedure p() begin select 1; select 2; end").len(), 1);
        assert_eq!(pieces("create procedure p() begin select 1; select 2; end; select 3").len(), 2);
        assert_eq!(pieces("create procedure p() if 1 then select 1; end if; select 3").len(), 2);
        assert_eq!(pieces("create procedure p() select 1; select 3; select 4").len(), 3);
        assert_eq!(pieces("begin; select 1; commit").len(), 3);
    }
}
