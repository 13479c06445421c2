//! The outline of a statement: its text with `?` for those literals that a plan may be made without, and their values.
//!
//! Applications send the same statement again and again, each time with other keys and values in its text. By their outlines such
//! texts are known as one, and share a plan. Taken out are numbers and texts behind comparisons, in lists of IN and VALUES, and
//! numbers that are added in an UPDATE. Whether a plan may really be made without them is for the binder to say
//! (`bind/taken.rs`); where this reader does not see through a text, it has no outline.

use super::lexer::{is_word_byte, string_literal};
use crate::sql::text_bytes;
use expr::Value;
use expr::eval::SqlMode;
use expr::value::decimal::Decimal;

/// Longer texts gain little.
const TEXT_BYTES_MAX: usize = 2048;
const LITERALS_MAX: usize = 64;
/// Digits of a decimal that is taken out.
pub const DIGITS_MAX: usize = 30;

#[derive(Debug, Clone)]
pub struct Outline {
    pub text: String,
    pub kinds: Vec<Kind>,
    pub values: Vec<Value>,
}

/// Plans are made for kinds of literals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    Integer,
    Decimal { scale: u8 },
    Text,
}

/// `None` for what has none, or nothing to take out.
pub fn of(text: &str, sql_mode: SqlMode) -> Option<Outline> {
    if text.len() > TEXT_BYTES_MAX {
        return None;
    }
    let bytes = text.as_bytes();
    let start = bytes.iter().position(|byte| !byte.is_ascii_whitespace())?;
    let verb = match bytes[start].to_ascii_lowercase() {
        b's' => Verb::Select,
        b'i' | b'r' => Verb::Insert,
        b'u' => Verb::Update,
        b'd' => Verb::Delete,
        _ => return None,
    };
    let length = bytes[start..].iter().take_while(|byte| is_word_byte(**byte)).count();
    let word = &text[start..start + length];
    let is_verb = match verb {
        Verb::Select => word.eq_ignore_ascii_case("select"),
        Verb::Insert => word.eq_ignore_ascii_case("insert") || word.eq_ignore_ascii_case("replace"),
        Verb::Update => word.eq_ignore_ascii_case("update"),
        Verb::Delete => word.eq_ignore_ascii_case("delete"),
    };
    if !is_verb {
        return None;
    }
    let mut reader = Reader {
        text,
        bytes,
        at: start + length,
        sql_mode,
        verb,
        copied: 0,
        outline: Outline { text: String::with_capacity(text.len()), kinds: Vec::new(), values: Vec::new() },
        before: Before::Other,
        lists: Vec::new(),
        in_values: false,
        betweens: 0,
        takes: verb != Verb::Select,
    };
    reader.read()?;
    let mut outline = reader.outline;
    if outline.values.is_empty() {
        return None;
    }
    outline.text.push_str(&text[reader.copied..]);
    Some(outline)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verb {
    Select,
    Insert,
    Update,
    Delete,
}

/// What stands before a token, as far as it says whether a literal is taken out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    /// A comparison, or where the items of a list begin.
    Value,
    /// `+` or `-` between two values.
    Sign,
    /// The word IN, whose parenthesis is a list.
    In,
    Other,
}

struct Reader<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    sql_mode: SqlMode,
    verb: Verb,
    /// So far the text is in the outline.
    copied: usize,
    outline: Outline,
    before: Before,
    /// For each open parenthesis, whether it is a list.
    lists: Vec<bool>,
    /// Behind VALUES.
    in_values: bool,
    /// BETWEENs that wait for their AND.
    betweens: usize,
    /// Literals are taken out here.
    takes: bool,
}

impl Reader<'_> {
    fn peek(&self, ahead: usize) -> u8 {
        self.bytes.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn read(&mut self) -> Option<()> {
        while self.at < self.bytes.len() {
            let byte = self.bytes[self.at];
            let is_value = self.takes && self.before == Before::Value;
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' => {
                    self.at += 1;
                    continue;
                }
                b'\'' => self.string(is_value)?,
                b'0'..=b'9' => self.number(self.at, is_value || self.takes && self.before == Before::Sign)?,
                b'-' if self.peek(1) == b'-' => return None,
                b'-' if is_value && self.peek(1).is_ascii_digit() => {
                    let start = self.at;
                    self.at += 1;
                    self.number(start, true)?;
                }
                b'+' | b'-' => {
                    self.at += 1;
                    let adds = matches!(self.verb, Verb::Update | Verb::Insert);
                    self.before = if adds { Before::Sign } else { Before::Other };
                    continue;
                }
                b'=' | b'<' | b'>' => {
                    self.at += 1;
                    self.before = Before::Value;
                    continue;
                }
                b'(' => {
                    let inner = self.lists.last() == Some(&true) && self.before == Before::Value;
                    let is_list = self.before == Before::In || inner || self.lists.is_empty() && self.in_values;
                    self.lists.push(is_list);
                    self.at += 1;
                    self.before = if is_list { Before::Value } else { Before::Other };
                    continue;
                }
                b')' => {
                    self.lists.pop()?;
                    self.at += 1;
                }
                b',' => {
                    self.at += 1;
                    self.before = if self.lists.last() == Some(&true) { Before::Value } else { Before::Other };
                    continue;
                }
                b'`' => self.at += memchr::memchr(b'`', &self.bytes[self.at + 1..])? + 2,
                b'/' if self.peek(1) == b'*' => return None,
                b'"' | b'?' | b'@' | b'#' | b':' | b'{' | b'\\' | 0 => return None,
                _ if is_word_byte(byte) => {
                    self.word()?;
                    continue;
                }
                _ => self.at += 1,
            }
            self.before = Before::Other;
        }
        Some(())
    }

    fn word(&mut self) -> Option<()> {
        let length = self.bytes[self.at..].iter().take_while(|byte| is_word_byte(**byte)).count();
        let word = &self.text[self.at..self.at + length];
        self.at += length;
        self.before = Before::Other;
        let is = |known: &str| word.eq_ignore_ascii_case(known);
        match word.as_bytes()[0].to_ascii_lowercase() {
            b's' if is("select") => return None,
            b'u' if is("union") => return None,
            b'w' if is("with") => return None,
            b'e' if is("except") => return None,
            b'i' if is("intersect") || is("interval") => return None,
            // Within parentheses it is one of EXTRACT or TRIM.
            b'f' if is("from") && self.lists.is_empty() => self.takes = true,
            // What names columns of the result, or groups.
            b'g' if is("group") => self.takes = false,
            b'o' if is("order") => self.takes = false,
            b'l' if is("limit") => self.takes = false,
            b'b' if is("between") => {
                self.betweens += 1;
                self.before = Before::Value;
            }
            b'a' if is("and") && self.betweens > 0 => {
                self.betweens -= 1;
                self.before = Before::Value;
            }
            b'i' if is("in") => self.before = Before::In,
            _ => {}
        }
        if self.lists.is_empty() {
            self.in_values = self.verb == Verb::Insert && (is("values") || is("value"));
        }
        Some(())
    }

    fn string(&mut self, taken: bool) -> Option<()> {
        let start = self.at;
        let escapes = !self.sql_mode.has(SqlMode::NO_BACKSLASH_ESCAPES);
        let (value, end) = string_literal(self.text, start, b'\'', escapes)?;
        self.at = end;
        let next = self.bytes[end..].iter().find(|byte| !byte.is_ascii_whitespace());
        // Two literals are one.
        if next == Some(&b'\'') || !value.is_ascii() && text_bytes::to_bytes(&value).is_some() {
            return None;
        }
        match taken {
            true => self.take(start, Kind::Text, Value::text(&value)),
            false => Some(()),
        }
    }

    /// `start`: of the number with its sign.
    fn number(&mut self, start: usize, taken: bool) -> Option<()> {
        let whole = self.digits();
        let mut scale = 0;
        if self.peek(0) == b'.' {
            self.at += 1;
            scale = self.digits();
        }
        if is_word_byte(self.peek(0)) || self.peek(0) == b'.' {
            return None;
        }
        if !taken {
            return Some(());
        }
        let digits = &self.text[start..self.at];
        if scale == 0 && !digits.ends_with('.') {
            return self.take(start, Kind::Integer, Value::Int(digits.parse().ok()?));
        }
        let number = Decimal::parse(digits).filter(|_| whole > 0 && scale > 0 && whole + scale <= DIGITS_MAX)?;
        self.take(start, Kind::Decimal { scale: number.scale() }, Value::Decimal(number))
    }

    fn digits(&mut self) -> usize {
        let count = self.bytes[self.at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        count
    }

    fn take(&mut self, start: usize, kind: Kind, value: Value) -> Option<()> {
        if self.outline.values.len() == LITERALS_MAX {
            return None;
        }
        self.outline.text.push_str(&self.text[self.copied..start]);
        self.outline.text.push('?');
        self.outline.kinds.push(kind);
        self.outline.values.push(value);
        self.copied = self.at;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        match of(text, SqlMode::default()) {
            None => "none".to_owned(),
            Some(outline) => {
                assert_eq!(outline.kinds.len(), outline.values.len());
                let values: Vec<String> = outline.values.iter().map(|value| value.to_text().into_owned()).collect();
                format!("{} | {}", outline.text, values.join(" "))
            }
        }
    }

    #[test]
    fn literals_that_are_compared_or_stored_are_taken_out() {
        for (text, expected) in [
            ("SELECT a FROM t WHERE id=5", "SELECT a FROM t WHERE id=? | 5"),
            (
                "select 1 = 1, 'x' from t where a = 'it''s' and b = -7",
                "select 1 = 1, 'x' from t where a = ? and b = ? | it's -7",
            ),
            ("SELECT * FROM t WHERE id BETWEEN 3 AND 9 AND 1", "SELECT * FROM t WHERE id BETWEEN ? AND ? AND 1 | 3 9"),
            (
                "SELECT * FROM t WHERE a IN (1, 'b', f(2)) LIMIT 3",
                "SELECT * FROM t WHERE a IN (?, ?, f(2)) LIMIT 3 | 1 b",
            ),
            ("SELECT * FROM t WHERE (a,b) IN ((1,2),(3,4))", "SELECT * FROM t WHERE (a,b) IN ((?,?),(?,?)) | 1 2 3 4"),
            ("SELECT EXTRACT(DAY FROM d) = 5 FROM t WHERE b=2", "SELECT EXTRACT(DAY FROM d) = 5 FROM t WHERE b=? | 2"),
            ("SELECT a=2 FROM t WHERE b=2 GROUP BY a=2", "SELECT a=2 FROM t WHERE b=? GROUP BY a=2 | 2"),
            (
                "INSERT INTO t (a, b) VALUES (1, 'x'), (NOW(), f(3), 2.50)",
                "INSERT INTO t (a, b) VALUES (?, ?), (NOW(), f(3), ?) | 1 x 2.50",
            ),
            (
                "INSERT INTO t VALUES (1) ON DUPLICATE KEY UPDATE a = a + 5, b = VALUES(b)",
                "INSERT INTO t VALUES (?) ON DUPLICATE KEY UPDATE a = a + ?, b = VALUES(b) | 1 5",
            ),
            (
                "UPDATE t SET a = a + 1.25, b = b-3, c = 'x' WHERE id = 4",
                "UPDATE t SET a = a + ?, b = b-?, c = ? WHERE id = ? | 1.25 3 x 4",
            ),
            ("DELETE FROM `t=1` WHERE t1.x <= 4", "DELETE FROM `t=1` WHERE t1.x <= ? | 4"),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    #[test]
    fn what_it_does_not_see_through_has_no_outline() {
        for text in [
            "SELECT 1",
            "SELECT a FROM t",
            "SELECT a FROM t WHERE b = \"x\"",
            "SELECT a FROM t WHERE b = 'x' 'y'",
            "SELECT a FROM t WHERE b = 1e3",
            "SELECT a FROM t WHERE b = 0x41",
            "SELECT a FROM t WHERE b = 1 -- c",
            "SELECT a FROM t WHERE b = 1 /* c */",
            "SELECT a FROM t WHERE b = ? AND c = 1",
            "SELECT a FROM t WHERE b = 1 AND c = @x",
            "SELECT a FROM t WHERE b = 1 UNION SELECT 2",
            "SELECT a FROM t WHERE b = (SELECT 1 FROM u WHERE x = 1)",
            "SELECT a FROM t WHERE b = 1 AND d > NOW() - INTERVAL 1 DAY",
            "SELECT a FROM t WHERE b = 'never ends",
            "SET a = 1",
            "selection = 1",
        ] {
            assert_eq!(shown(text), "none", "{text}");
        }
    }
}
