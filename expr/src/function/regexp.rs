//! Regular expressions. Manual: "Regular Expressions" (14.8.2).
//!
//! The engine works in linear time, which is why look-around and back references are refused (error 3690).

use crate::error::{ErrorCode, SqlError};
use crate::eval::EvalContext;
use crate::function::argument;
use crate::function::comparison::is_case_sensitive;
use crate::function::result::{self, collation_of, fits_packet};
use crate::function::{Arguments, Call, Function};
use crate::mysql_type::MysqlType;
use crate::value::Value;
use Arguments::{Between, Exactly};
use regex::{Captures, Regex, RegexBuilder};
use std::cell::RefCell;

pub static FUNCTIONS: &[Function] = &[
    Function::new("REGEXP_LIKE", Between(2, 3), result::boolean, like),
    Function::new("REGEXP", Exactly(2), result::boolean, like),
    Function::new("RLIKE", Exactly(2), result::boolean, like),
    Function::new("REGEXP_INSTR", Between(2, 6), result::int::<11>, instr),
    Function::new("REGEXP_SUBSTR", Between(2, 5), substr_type, substr),
    Function::new("REGEXP_REPLACE", Between(3, 6), replace_type, replace),
];

/// How a pattern matches; part of what a compiled pattern is remembered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Flags {
    ignore_case: bool,
    multi_line: bool,
    dot_matches_line_end: bool,
}

impl Flags {
    /// From a match type like `im`; the collation decides about case if it says nothing. The last of `c` and `i` counts.
    fn of(call: &Call<'_>, match_type: Option<&Value>) -> Result<Flags, SqlError> {
        let sensitive = is_case_sensitive(collation_of(&call.argument_types[..2]));
        let mut flags = Flags { ignore_case: !sensitive, multi_line: false, dot_matches_line_end: false };
        for letter in match_type.map(Value::to_text).unwrap_or_default().chars() {
            match letter {
                'c' => flags.ignore_case = false,
                'i' => flags.ignore_case = true,
                'm' => flags.multi_line = true,
                'n' => flags.dot_matches_line_end = true,
                'u' => {}
                _ => return Err(SqlError::new(ErrorCode::WRONG_ARGUMENTS, "Incorrect arguments to regexp_like")),
            }
        }
        Ok(flags)
    }
}

/// Compiled patterns that each thread keeps, the latest last.
const COMPILED_MAX: usize = 32;
/// Memory one compiled pattern may take.
const COMPILED_BYTES_MAX: usize = 4 << 20;

thread_local! {
    static COMPILED: RefCell<Vec<(String, Flags, Regex)>> = const { RefCell::new(Vec::new()) };
}

fn compiled(pattern: &str, flags: Flags) -> Result<Regex, SqlError> {
    COMPILED.with_borrow_mut(|compiled| {
        let known = compiled.iter().find(|(known, known_flags, _)| known == pattern && *known_flags == flags);
        if let Some((_, _, regex)) = known {
            return Ok(regex.clone());
        }
        if pattern.is_empty() {
            return Err(SqlError::new(ErrorCode::REGEXP_ERROR, "Illegal argument to a regular expression."));
        }
        let regex = RegexBuilder::new(pattern)
            .case_insensitive(flags.ignore_case)
            .multi_line(flags.multi_line)
            .dot_matches_new_line(flags.dot_matches_line_end)
            .size_limit(COMPILED_BYTES_MAX)
            .build()
            .map_err(|error| refused(&error))?;
        if compiled.len() == COMPILED_MAX {
            compiled.remove(0);
        }
        compiled.push((pattern.to_string(), flags, regex.clone()));
        Ok(regex)
    })
}

fn refused(error: &regex::Error) -> SqlError {
    let text = error.to_string();
    let (code, message) = if matches!(error, regex::Error::CompiledTooBig(_)) {
        (ErrorCode::REGEXP_PATTERN_TOO_BIG, "The regular expression pattern exceeds limits on size or complexity.")
    } else if text.contains("look-around") || text.contains("backreferences") {
        let message = "The regular expression contains a feature that is not implemented in this library version.";
        (ErrorCode::REGEXP_UNIMPLEMENTED, message)
    } else if text.contains("unclosed group") || text.contains("unopened group") {
        (ErrorCode::REGEXP_MISMATCHED_PAREN, "Mismatched parenthesis in regular expression.")
    } else if text.contains("unclosed character class") {
        let message = "The regular expression contains an unclosed bracket expression.";
        (ErrorCode::REGEXP_MISSING_CLOSE_BRACKET, message)
    } else if text.contains("escape sequence") {
        (ErrorCode::REGEXP_BAD_ESCAPE_SEQUENCE, "Unrecognized escape sequence in regular expression.")
    } else {
        (ErrorCode::REGEXP_RULE_SYNTAX, "Syntax error in regular expression on line 1, character 1.")
    };
    SqlError::new(code, message)
}

fn like(call: &Call<'_>, arguments: &[Value], _: &EvalContext) -> Result<Value, SqlError> {
    let regex = compiled(&arguments[1].to_text(), Flags::of(call, arguments.get(2))?)?;
    Ok(Value::boolean(regex.is_match(&arguments[0].to_text())))
}

/// Byte offset of the position argument, which counts characters from 1.
fn start_offset(text: &str, position: Option<&Value>, context: &EvalContext) -> Result<usize, SqlError> {
    let position = position.map_or(Ok(1), |position| argument::integer(position, context))?;
    let offset = match usize::try_from(position).ok().filter(|position| *position >= 1) {
        Some(position) if position - 1 == text.chars().count() => Some(text.len()),
        Some(position) => text.char_indices().nth(position - 1).map(|(offset, _)| offset),
        None => None,
    };
    let error = || {
        SqlError::new(ErrorCode::REGEXP_INDEX_OUTOFBOUNDS_ERROR, "Index out of bounds in regular expression search.")
    };
    offset.ok_or_else(error)
}

fn integer_or(value: Option<&Value>, default: i64, context: &EvalContext) -> Result<i64, SqlError> {
    value.map_or(Ok(default), |value| argument::integer(value, context))
}

/// Start and end of the occurrence (from 1) of a pattern at or after an offset.
fn occurrence(regex: &Regex, text: &str, offset: usize, number: i64) -> Option<(usize, usize)> {
    let skipped = usize::try_from(number.max(1) - 1).ok()?;
    let found = regex.find_iter(&text[offset..]).nth(skipped)?;
    Some((offset + found.start(), offset + found.end()))
}

fn instr(call: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    let text = arguments[0].to_text();
    let regex = compiled(&arguments[1].to_text(), Flags::of(call, arguments.get(5))?)?;
    let offset = start_offset(&text, arguments.get(2), context)?;
    let number = integer_or(arguments.get(3), 1, context)?;
    let wants_end = match integer_or(arguments.get(4), 0, context)? {
        0 => false,
        1 => true,
        _ => {
            let message = "Incorrect arguments to regexp_instr: return_option must be 1 or 0.";
            return Err(SqlError::new(ErrorCode::WRONG_ARGUMENTS, message));
        }
    };
    Ok(Value::Int(match occurrence(&regex, &text, offset, number) {
        None => 0,
        Some((start, end)) => text[..if wants_end { end } else { start }].chars().count() as i64 + 1,
    }))
}

fn substr_type(types: &[MysqlType]) -> Result<MysqlType, SqlError> {
    Ok(result::string(result::characters_max(&types[0]), collation_of(&types[..2])))
}

fn substr(call: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    let text = arguments[0].to_text();
    let regex = compiled(&arguments[1].to_text(), Flags::of(call, arguments.get(4))?)?;
    let offset = start_offset(&text, arguments.get(2), context)?;
    let number = integer_or(arguments.get(3), 1, context)?;
    let found = occurrence(&regex, &text, offset, number);
    Ok(found.map_or(Value::Null, |(start, end)| result::string_value(call, &text.as_bytes()[start..end])))
}

fn replace_type(types: &[MysqlType]) -> Result<MysqlType, SqlError> {
    Ok(result::string(u64::from(u32::MAX), collation_of(&types[..3])))
}

fn replace(call: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    let text = arguments[0].to_text();
    let regex = compiled(&arguments[1].to_text(), Flags::of(call, arguments.get(5))?)?;
    let replacement = arguments[2].to_text();
    let offset = start_offset(&text, arguments.get(3), context)?;
    let wanted = integer_or(arguments.get(4), 0, context)?.max(0) as usize;
    let mut out = text[..offset].to_string();
    let rest = &text[offset..];
    let mut copied = 0;
    for (index, captures) in regex.captures_iter(rest).enumerate() {
        if wanted != 0 && index + 1 != wanted {
            continue;
        }
        let Some(whole) = captures.get(0) else { continue };
        out.push_str(&rest[copied..whole.start()]);
        expand(&replacement, &captures, &mut out)?;
        copied = whole.end();
        if !fits_packet("regexp_replace", out.len(), context) {
            return Ok(Value::Null);
        }
    }
    out.push_str(&rest[copied..]);
    Ok(result::string_value(call, out.as_bytes()))
}

/// `$1` is a group; a backslash takes the next character as it is.
fn expand(replacement: &str, captures: &Captures<'_>, out: &mut String) -> Result<(), SqlError> {
    let mut characters = replacement.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\\' => out.extend(characters.next()),
            '$' => {
                let Some(mut group) = characters.next().and_then(|digit| digit.to_digit(10)) else {
                    let message = "Illegal argument to a regular expression.";
                    return Err(SqlError::new(ErrorCode::REGEXP_ERROR, message));
                };
                // More digits count while there is such a group.
                while let Some(digit) = characters.peek().and_then(|digit| digit.to_digit(10)) {
                    let longer = group * 10 + digit;
                    if longer as usize >= captures.len() {
                        break;
                    }
                    group = longer;
                    characters.next();
                }
                if group as usize >= captures.len() {
                    let message = "Index out of bounds in regular expression search.";
                    return Err(SqlError::new(ErrorCode::REGEXP_INDEX_OUTOFBOUNDS_ERROR, message));
                }
                out.push_str(captures.get(group as usize).map_or("", |found| found.as_str()));
            }
            literal => out.push(literal),
        }
    }
    Ok(())
}
