//! String functions that look for one string in another, or compare. Manual: "String Functions and Operators" (14.8).
//!
//! LOCATE, INSTR, FIELD, FIND_IN_SET and STRCMP compare by collation; REPLACE and SUBSTRING_INDEX by bytes.

use crate::collation::{self, CollationId};
use crate::error::SqlError;
use crate::eval::EvalContext;
use crate::function::argument::{self, Unit};
use crate::function::result::{self, characters_max, collation_of, fits_packet, string_value};
use crate::function::{Arguments, Call, Function};
use crate::mysql_type::MysqlType;
use crate::value::Value;
use Arguments::{AtLeast, Between, Exactly};
use std::cmp::Ordering;

pub static FUNCTIONS: &[Function] = &[
    Function::new("LOCATE", Between(2, 3), result::int::<11>, locate),
    Function::new("POSITION", Exactly(2), result::int::<11>, locate),
    Function::new("INSTR", Exactly(2), result::int::<11>, instr),
    Function::new("REPLACE", Exactly(3), replace_type, replace),
    Function::new("SUBSTRING_INDEX", Exactly(3), substring_index_type, substring_index),
    Function::new("FIELD", AtLeast(2), result::int::<3>, field).takes_null(),
    Function::new("FIND_IN_SET", Exactly(2), result::int::<3>, find_in_set),
    Function::new("STRCMP", Exactly(2), result::int::<2>, strcmp),
];

/// Order of two strings by a collation; by bytes if it is the binary one.
pub fn compare(left: &Value, right: &Value, by: CollationId) -> Ordering {
    match by {
        CollationId::BINARY => left.to_bytes().cmp(&right.to_bytes()),
        _ => collation::compare(by, &left.to_text(), &right.to_text()),
    }
}

/// Byte offset of `needle` in `haystack`, at a character border, equal by collation.
fn find(haystack: &[u8], needle: &[u8], by: CollationId) -> Option<usize> {
    if needle.is_empty() {
        return Some(0);
    }
    if by == CollationId::BINARY {
        return memchr::memmem::find(haystack, needle);
    }
    let (haystack, needle) = (std::str::from_utf8(haystack).ok()?, std::str::from_utf8(needle).ok()?);
    if by.is_binary() {
        return memchr::memmem::find(haystack.as_bytes(), needle.as_bytes());
    }
    // As many bytes as are looked for are compared, as MySQL does: 'ss' is found in 'ß', and 'é' is not in 'e'.
    let starts_here = |rest: &str| match rest.get(..needle.len()) {
        Some(found) if found.is_ascii() && needle.is_ascii() => {
            found.chars().zip(needle.chars()).all(|(found, wanted)| collation::characters_equal(by, found, wanted))
        }
        Some(found) => collation::equal(by, found, needle),
        None => false,
    };
    haystack.char_indices().map(|(offset, _)| offset).find(|offset| starts_here(&haystack[*offset..]))
}

/// Position from 1, 0 if absent; `start` from 1.
fn position(call: &Call<'_>, haystack: &Value, needle: &Value, start: i64) -> Value {
    let unit = Unit::of_arguments(call);
    let (haystack, needle) = (haystack.to_bytes(), needle.to_bytes());
    let Ok(skipped) = usize::try_from(start.saturating_sub(1)) else { return Value::Int(0) };
    if skipped > unit.count(&haystack) {
        return Value::Int(0);
    }
    let rest = &haystack[unit.offset(&haystack, skipped)..];
    match find(rest, &needle, collation_of(&call.argument_types[..2])) {
        Some(offset) => Value::Int((skipped + unit.count(&rest[..offset]) + 1) as i64),
        None => Value::Int(0),
    }
}

fn locate(call: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    let start = match arguments.get(2) {
        Some(start) => argument::integer(start, context)?,
        None => 1,
    };
    Ok(position(call, &arguments[1], &arguments[0], start))
}

fn instr(call: &Call<'_>, arguments: &[Value], _: &EvalContext) -> Result<Value, SqlError> {
    Ok(position(call, &arguments[0], &arguments[1], 1))
}

fn replace_type(types: &[MysqlType]) -> Result<MysqlType, SqlError> {
    let (text, new) = (characters_max(&types[0]), characters_max(&types[2]));
    Ok(result::string(text.saturating_mul(new.max(1)), collation_of(types)))
}

fn replace(call: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    let (text, old, new) = (arguments[0].to_bytes(), arguments[1].to_bytes(), arguments[2].to_bytes());
    if old.is_empty() {
        return Ok(string_value(call, &text));
    }
    let mut out = Vec::new();
    let mut copied = 0;
    for found in memchr::memmem::find_iter(&text, old.as_ref()) {
        out.extend_from_slice(&text[copied..found]);
        out.extend_from_slice(&new);
        copied = found + old.len();
        if !fits_packet("replace", out.len(), context) {
            return Ok(Value::Null);
        }
    }
    out.extend_from_slice(&text[copied..]);
    match fits_packet("replace", out.len(), context) {
        true => Ok(string_value(call, &out)),
        false => Ok(Value::Null),
    }
}

fn substring_index_type(types: &[MysqlType]) -> Result<MysqlType, SqlError> {
    Ok(result::string(characters_max(&types[0]), collation_of(&types[..2])))
}

fn substring_index(call: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    let (text, delimiter) = (arguments[0].to_bytes(), arguments[1].to_bytes());
    let count = argument::integer(&arguments[2], context)?;
    if delimiter.is_empty() || count == 0 {
        return Ok(string_value(call, b""));
    }
    let nth = usize::try_from(count.unsigned_abs() - 1).unwrap_or(usize::MAX);
    let part: &[u8] = if count > 0 {
        match memchr::memmem::find_iter(&text, delimiter.as_ref()).nth(nth) {
            Some(end) => &text[..end],
            None => &text,
        }
    } else {
        match memchr::memmem::rfind_iter(&text, delimiter.as_ref()).nth(nth) {
            Some(start) => &text[start + delimiter.len()..],
            None => &text,
        }
    };
    Ok(string_value(call, part))
}

/// Strings compare as strings, integers as integers, all else as DOUBLE.
fn field(call: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    let wanted = &arguments[0];
    if wanted.is_null() {
        return Ok(Value::Int(0));
    }
    let is_string = |ty: &MysqlType| !ty.is_numeric() && !matches!(ty.kind, crate::TypeKind::Null);
    let known = call.argument_types.iter().filter(|ty| !matches!(ty.kind, crate::TypeKind::Null));
    let all_strings = known.clone().all(is_string);
    let all_integers = known.clone().all(MysqlType::is_integer);
    for (index, candidate) in arguments.iter().enumerate().skip(1) {
        let equal = match candidate {
            Value::Null => false,
            _ if all_strings => compare(wanted, candidate, collation_of(call.argument_types)) == Ordering::Equal,
            _ if all_integers => argument::bits(wanted, context)? == argument::bits(candidate, context)?,
            _ => wanted.to_f64(context)? == candidate.to_f64(context)?,
        };
        if equal {
            return Ok(Value::Int(index as i64));
        }
    }
    Ok(Value::Int(0))
}

fn find_in_set(call: &Call<'_>, arguments: &[Value], _: &EvalContext) -> Result<Value, SqlError> {
    let by = collation_of(call.argument_types);
    let list = arguments[1].to_bytes();
    let wanted = arguments[0].to_bytes();
    if list.is_empty() {
        return Ok(Value::Int(0));
    }
    let equal = |member: &[u8]| match by {
        CollationId::BINARY => member == wanted.as_ref(),
        // Spaces at the end count here, whatever the collation.
        _ => {
            let (member, wanted) = (String::from_utf8_lossy(member), String::from_utf8_lossy(&wanted));
            let spaces = |text: &str| text.len() - text.trim_end_matches(' ').len();
            spaces(&member) == spaces(&wanted) && collation::compare(by, &member, &wanted).is_eq()
        }
    };
    let found = list.split(|&byte| byte == b',').position(equal);
    Ok(Value::Int(found.map_or(0, |index| index as i64 + 1)))
}

fn strcmp(call: &Call<'_>, arguments: &[Value], _: &EvalContext) -> Result<Value, SqlError> {
    Ok(Value::Int(compare(&arguments[0], &arguments[1], collation_of(call.argument_types)) as i64))
}
