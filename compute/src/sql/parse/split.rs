//! Cuts a text of several statements at the semicolons between them (COM_QUERY with CLIENT_MULTI_STATEMENTS).

use crate::sql::parse::lexer::{comment_end, is_word_byte};
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
    while at < bytes.len() {
        match bytes[at] {
            b';' if !is_routine(&words) => {
                if has_token {
                    statements.push(start..at);
                }
                at += 1;
                start = at;
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
                // Enough to see that it is a routine, and that it has a body.
                let word = &text[at..at + length];
                if words.len() < 16 || word.eq_ignore_ascii_case("begin") {
                    words.push(word);
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

/// CREATE PROCEDURE, FUNCTION, TRIGGER, EVENT with a body of statements: everything that follows belongs to it.
fn is_routine(words: &[&str]) -> bool {
    let is = |word: &&&str, name: &str| word.eq_ignore_ascii_case(name);
    words.first().is_some_and(|word| word.eq_ignore_ascii_case("create"))
        && words
            .iter()
            .take(16)
            .any(|word| ["procedure", "function", "trigger", "event"].iter().any(|name| is(&word, name)))
        && words.iter().any(|word| is(&word, "begin"))
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
        assert_eq!(pieces("begin; select 1; commit").len(), 3);
    }
}
