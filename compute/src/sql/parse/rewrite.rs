//! What is done to the tokens before sqlparser sees them, and what is learned from them.
//!
//! Forms that its query parser does not know become ones that it does: `LOCK IN SHARE MODE` is `FOR SHARE`,
//! `DISTINCTROW` is `DISTINCT`, several tables after `OF` are one name, `INTO @a, @b` is taken out and remembered.

use crate::sql::parse::ast::{IntoTarget, Source};
use crate::sql::parse::lexer::VARIABLE_QUOTE;
use expr::SqlError;
use sqlparser::tokenizer::{Token, TokenWithSpan};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

/// The variables of `INTO @a, b`, which is taken out of the tokens.
pub fn prepare(tokens: &mut Vec<TokenWithSpan>) -> Result<Vec<IntoTarget>, SqlError> {
    let mut into = Vec::new();
    // Elsewhere INTO names a table.
    let is_query = ["select", "with", "values", "table"].iter().any(|word| is(tokens, 0, word))
        || tokens.first().is_some_and(|token| token.token == Token::LParen);
    let target = |tokens: &[TokenWithSpan], at: usize| target(tokens, at, is_query);
    let mut at = 0;
    while at < tokens.len() {
        if is(tokens, at, "lock")
            && is(tokens, at + 1, "in")
            && is(tokens, at + 2, "share")
            && is(tokens, at + 3, "mode")
        {
            tokens[at].token = Token::make_word("FOR", None);
            tokens[at + 1].token = Token::make_word("SHARE", None);
            tokens.drain(at + 2..at + 4);
        } else if is(tokens, at, "distinctrow") {
            tokens[at].token = Token::make_word("DISTINCT", None);
        } else if is(tokens, at, "of") && at >= 2 && is(tokens, at - 2, "for") {
            join_names(tokens, at + 1);
        } else if is(tokens, at, "into") && (is(tokens, at + 1, "outfile") || is(tokens, at + 1, "dumpfile")) {
            // Whether the account may write files is said before that nobody can.
            into.push(IntoTarget::File);
            let of_file = tokens[at + 2..].iter().take_while(|token| is_of_file(&token.token)).count();
            tokens.drain(at..at + 2 + of_file);
            continue;
        } else if is(tokens, at, "into") && target(tokens, at + 1).is_some() && into.is_empty() {
            let mut end = at + 1;
            while let Some(found) = target(tokens, end) {
                into.push(found);
                end += 1;
                let goes_on = tokens.get(end).is_some_and(|token| token.token == Token::Comma);
                if !goes_on || target(tokens, end + 1).is_none() {
                    break;
                }
                end += 1;
            }
            tokens.drain(at..end);
            continue;
        }
        at += 1;
    }
    Ok(into)
}

/// A file's name, and how its lines are written.
fn is_of_file(token: &Token) -> bool {
    const WORDS: [&str; 12] = [
        "character",
        "set",
        "charset",
        "fields",
        "columns",
        "lines",
        "terminated",
        "by",
        "optionally",
        "enclosed",
        "escaped",
        "starting",
    ];
    match token {
        Token::SingleQuotedString(_) => true,
        Token::Word(word) => WORDS.iter().any(|known| word.value.eq_ignore_ascii_case(known)),
        _ => false,
    }
}

fn is(tokens: &[TokenWithSpan], at: usize, word: &str) -> bool {
    matches!(tokens.get(at), Some(TokenWithSpan { token: Token::Word(found), .. })
        if found.quote_style.is_none() && found.value.eq_ignore_ascii_case(word))
}

/// `@name`, or in a query the name of a routine's variable.
fn target(tokens: &[TokenWithSpan], at: usize, is_query: bool) -> Option<IntoTarget> {
    match tokens.get(at) {
        Some(TokenWithSpan { token: Token::Word(found), .. }) if found.quote_style == Some(VARIABLE_QUOTE) => {
            let name = found.value.trim_start_matches('@').to_ascii_lowercase();
            (!found.value.starts_with("@@")).then_some(IntoTarget::User(name))
        }
        Some(TokenWithSpan { token: Token::Word(found), .. }) if is_query => {
            let plain = found.quote_style.is_some() || !crate::sql::parse::is_reserved(&found.value);
            plain.then(|| IntoTarget::Local(found.value.clone()))
        }
        _ => None,
    }
}

/// `a, b, c` from `at` on becomes one quoted name with commas in it.
fn join_names(tokens: &mut Vec<TokenWithSpan>, at: usize) {
    let mut names = Vec::new();
    let mut end = at;
    while let Some(TokenWithSpan { token: Token::Word(word), .. }) = tokens.get(end) {
        names.push(word.value.clone());
        end += 1;
        if tokens.get(end).is_some_and(|token| token.token == Token::Comma) {
            end += 1;
        } else {
            break;
        }
    }
    if names.len() > 1 {
        tokens[at].token = Token::make_word(&names.join(","), Some('`'));
        tokens.drain(at + 1..end);
    }
}

/// Words that end a select list.
const LIST_ENDS: [&str; 13] = [
    "from",
    "into",
    "where",
    "group",
    "having",
    "order",
    "limit",
    "union",
    "except",
    "intersect",
    "for",
    "window",
    "lock",
];

/// Where the items of every select list stand in the text, for the names of result columns.
pub fn source(text: &str, tokens: &[TokenWithSpan]) -> Source {
    let mut items = HashMap::new();
    // One entry for each open parenthesis: the SELECT whose list is being read at this depth.
    let mut open: Vec<Option<(usize, Vec<Range<usize>>, usize)>> = vec![None];
    fn close(
        items: &mut HashMap<usize, Vec<Range<usize>>>,
        list: Option<(usize, Vec<Range<usize>>, usize)>,
        end: usize,
    ) {
        if let Some((select, mut ranges, start)) = list {
            ranges.push(start..end);
            items.insert(select, ranges);
        }
    }
    let mut previous_end = 0;
    for (at, token) in tokens.iter().enumerate() {
        let start = (token.span.start.column as usize).saturating_sub(1);
        let end = (token.span.end.column as usize).saturating_sub(1);
        let depth = open.len() - 1;
        match &token.token {
            Token::LParen => open.push(None),
            Token::RParen => {
                let list = open.pop().flatten();
                close(&mut items, list, previous_end);
                if open.is_empty() {
                    open.push(None);
                }
            }
            Token::Comma => {
                if let Some((_, ranges, from)) = &mut open[depth] {
                    ranges.push(*from..previous_end);
                    *from = end;
                }
            }
            Token::Word(word) if word.quote_style.is_none() => {
                if word.value.eq_ignore_ascii_case("select") {
                    close(&mut items, open[depth].take(), previous_end);
                    open[depth] = Some((start, Vec::new(), list_start(tokens, at + 1, end)));
                } else if open[depth].is_some() && LIST_ENDS.iter().any(|end| word.value.eq_ignore_ascii_case(end)) {
                    close(&mut items, open[depth].take(), previous_end);
                }
            }
            Token::SemiColon => close(&mut items, open[depth].take(), previous_end),
            _ => {}
        }
        previous_end = end;
    }
    while let Some(list) = open.pop() {
        close(&mut items, list, previous_end);
    }
    Source { text: Arc::from(text), items: Arc::new(items) }
}

/// Offset where the first item starts: after DISTINCT and the like.
fn list_start(tokens: &[TokenWithSpan], mut at: usize, mut end: usize) -> usize {
    const MODIFIERS: [&str; 10] = [
        "distinct",
        "all",
        "high_priority",
        "straight_join",
        "sql_small_result",
        "sql_big_result",
        "sql_buffer_result",
        "sql_no_cache",
        "sql_calc_found_rows",
        "distinctrow",
    ];
    while MODIFIERS.iter().any(|word| is(tokens, at, word)) {
        end = (tokens[at].span.end.column as usize).saturating_sub(1);
        at += 1;
    }
    end
}
