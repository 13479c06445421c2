//! How long chains of operators may be: `1 + 1 + 1 ...` is parsed in a loop, and is a tree as deep as the chain is long.
//!
//! Everything that walks the tree afterwards takes stack for each level. Worker threads have stacks for the limits here
//! (`STACK_BYTES` in `src/main.rs`); what is longer gets MySQL's error for a statement that needs too much of it.

use sqlparser::tokenizer::{Token, TokenWithSpan};

/// Arithmetic and comparisons: each level is evaluated by a call of its own.
const OPERATORS_MAX: usize = 2_000;
/// AND, OR and XOR: bound to one flat node, so only the syntax tree is deep.
const CONNECTIVES_MAX: usize = 100_000;
/// UNION, INTERSECT, EXCEPT.
const SET_OPERATIONS_MAX: usize = 2_000;

/// What has been counted since the level of parentheses opened.
#[derive(Clone, Copy, Default)]
struct Counts {
    operators: usize,
    connectives: usize,
    set_operations: usize,
}

pub fn are_too_long(tokens: &[TokenWithSpan]) -> bool {
    let mut levels = vec![Counts::default()];
    for token in tokens {
        let last = levels.len() - 1;
        let counts = &mut levels[last];
        match &token.token {
            Token::LParen => levels.push(Counts::default()),
            Token::RParen if last > 0 => {
                levels.pop();
            }
            Token::Comma | Token::SemiColon => {
                *counts = Counts { set_operations: counts.set_operations, ..Counts::default() }
            }
            Token::Plus
            | Token::Minus
            | Token::Mul
            | Token::Div
            | Token::Mod
            | Token::Eq
            | Token::Neq
            | Token::Lt
            | Token::LtEq
            | Token::Gt
            | Token::GtEq
            | Token::Spaceship
            | Token::Pipe
            | Token::Ampersand
            | Token::Caret
            | Token::ShiftLeft
            | Token::ShiftRight
            | Token::Arrow
            | Token::LongArrow
            | Token::Tilde
            | Token::ExclamationMark => counts.operators += 1,
            Token::StringConcat | Token::Overlap => connective(counts),
            Token::Word(word) if word.quote_style.is_none() => {
                let is = |words: &[&str]| words.iter().any(|other| word.value.eq_ignore_ascii_case(other));
                if is(&["and", "or", "xor"]) {
                    connective(counts);
                } else if is(&[
                    "div", "mod", "like", "in", "is", "between", "regexp", "rlike", "not", "binary", "collate",
                ]) {
                    counts.operators += 1;
                } else if is(&["union", "intersect", "except"]) {
                    *counts = Counts { set_operations: counts.set_operations + 1, ..Counts::default() };
                } else if is(&["from", "where", "having", "on", "limit"]) {
                    *counts = Counts { set_operations: counts.set_operations, ..Counts::default() };
                }
            }
            _ => {}
        }
        let counts = &levels[levels.len() - 1];
        if counts.operators > OPERATORS_MAX
            || counts.connectives > CONNECTIVES_MAX
            || counts.set_operations > SET_OPERATIONS_MAX
        {
            return true;
        }
    }
    false
}

/// Operands of AND and OR are trees of their own.
fn connective(counts: &mut Counts) {
    counts.connectives += 1;
    counts.operators = 0;
}

#[cfg(test)]
mod tests {
    use crate::sql::parse::parse;
    use expr::ErrorCode;
    use expr::eval::SqlMode;

    #[test]
    fn chains_end_where_a_new_operand_begins() {
        let parsed = |text: String| parse(&text, SqlMode::default()).map(drop).map_err(|error| error.code);
        let chain = |count: usize, between: &str| format!("SELECT {}", vec!["1"; count].join(between));
        assert_eq!(parsed(chain(1_000, " + ")), Ok(()));
        assert_eq!(parsed(chain(1_000, " = 1, ")), Ok(()));
        assert_eq!(parsed(chain(3_000, " = 1 OR ")), Ok(()));
        assert_eq!(parsed(chain(3_000, " + ")), Err(ErrorCode::STACK_OVERRUN_NEED_MORE));
        assert_eq!(parsed(format!("SELECT {}1", "- ".repeat(3_000))), Err(ErrorCode::STACK_OVERRUN_NEED_MORE));
        assert_eq!(parsed(chain(3_000, " UNION ALL SELECT ")), Err(ErrorCode::STACK_OVERRUN_NEED_MORE));
    }
}
