//! String functions that build or cut strings. Manual: "String Functions and Operators" (14.8).
//!
//! All work on bytes; [`Unit`] says whether positions count characters or bytes. A result longer than
//! max_allowed_packet is NULL with a warning, decided before any memory is taken.

use crate::collation::CollationId;
use crate::error::SqlError;
use crate::eval::EvalContext;
use crate::function::argument::{self, Unit};
use crate::function::result::{self, characters_max, collation_of, fits_packet, string_value};
use crate::function::{Arguments, Call, Function, LiteralResult};
use crate::mysql_type::MysqlType;
use crate::value::Value;
use Arguments::{AtLeast, Between, Exactly};

pub mod search;

pub static FUNCTIONS: &[Function] = &[
    Function::new("CONCAT", AtLeast(1), concat_type, concat),
    Function::new("CONCAT_WS", AtLeast(2), concat_with_separator_type, concat_with_separator).takes_null(),
    Function::new("LOWER", Exactly(1), result::like_first, lower),
    Function::new("LCASE", Exactly(1), result::like_first, lower),
    Function::new("UPPER", Exactly(1), result::like_first, upper),
    Function::new("UCASE", Exactly(1), result::like_first, upper),
    Function::new("SUBSTRING", Between(2, 3), result::like_first, substring),
    Function::new("SUBSTR", Between(2, 3), result::like_first, substring),
    Function::new("MID", Exactly(3), result::like_first, substring),
    Function::new("LEFT", Exactly(2), result::like_first, left),
    Function::new("RIGHT", Exactly(2), result::like_first, right),
    Function::new("LENGTH", Exactly(1), result::int::<10>, length),
    Function::new("OCTET_LENGTH", Exactly(1), result::int::<10>, length),
    Function::new("CHAR_LENGTH", Exactly(1), result::int::<10>, char_length),
    Function::new("CHARACTER_LENGTH", Exactly(1), result::int::<10>, char_length),
    Function::new("BIT_LENGTH", Exactly(1), result::int::<11>, bit_length),
    Function::new("TRIM", Between(1, 2), result::like_first, trim_both),
    Function::new("TRIM_BOTH", Between(1, 2), result::like_first, trim_both),
    Function::new("TRIM_LEADING", Between(1, 2), result::like_first, trim_leading),
    Function::new("TRIM_TRAILING", Between(1, 2), result::like_first, trim_trailing),
    Function::new("LTRIM", Exactly(1), result::like_first, trim_leading),
    Function::new("RTRIM", Exactly(1), result::like_first, trim_trailing),
    Function::new("LPAD", Exactly(3), pad_type, left_pad),
    Function::new("RPAD", Exactly(3), pad_type, right_pad),
    Function::new("REPEAT", Exactly(2), result::long_like_first, repeat),
    Function::new("SPACE", Exactly(1), result::long_text, space),
    Function::new("REVERSE", Exactly(1), result::like_first, reverse),
    Function::new("INSERT", Exactly(4), insert_type, insert),
    Function::new("ELT", AtLeast(2), elt_type, elt).takes_null(),
    Function::new("MAKE_SET", AtLeast(2), concat_with_separator_type, make_set).takes_null(),
    Function::new("EXPORT_SET", Between(3, 5), export_set_type, export_set),
    Function::new("QUOTE", Exactly(1), quote_type, quote).takes_null(),
    Function::new("SOUNDEX", Exactly(1), soundex_type, soundex),
    Function::new("WEIGHT_STRING", Between(1, 2), result::long_binary, weight_string),
];

pub static BY_LITERAL: &[(&str, LiteralResult)] = &[
    ("LEFT", cut_type),
    ("RIGHT", cut_type),
    ("SUBSTRING", substring_type),
    ("SUBSTR", substring_type),
    ("MID", substring_type),
    ("LPAD", padded_type),
    ("RPAD", padded_type),
    ("REPEAT", repeated_type),
    ("SPACE", space_type),
];

fn literal_length(literals: &[Option<&Value>], index: usize) -> Option<u64> {
    match literals.get(index)? {
        Some(Value::Int(number)) => Some(u64::try_from(*number).unwrap_or(0)),
        Some(Value::UInt(number)) => Some(*number),
        _ => None,
    }
}

fn cut_type(types: &[MysqlType], literals: &[Option<&Value>]) -> Result<MysqlType, SqlError> {
    let whole = characters_max(&types[0]);
    Ok(result::string(literal_length(literals, 1).unwrap_or(whole).min(whole), collation_of(&types[..1])))
}

fn substring_type(types: &[MysqlType], literals: &[Option<&Value>]) -> Result<MysqlType, SqlError> {
    let whole = characters_max(&types[0]);
    let after_start = match literal_length(literals, 1) {
        Some(start) if start > 0 => whole.saturating_sub(start - 1),
        _ => whole,
    };
    let length = literal_length(literals, 2).unwrap_or(after_start).min(after_start);
    Ok(result::string(length, collation_of(&types[..1])))
}

fn padded_type(types: &[MysqlType], literals: &[Option<&Value>]) -> Result<MysqlType, SqlError> {
    match literal_length(literals, 1) {
        Some(length) => Ok(result::string(length, collation_of(&[types[0].clone(), types[2].clone()]))),
        None => pad_type(types),
    }
}

fn repeated_type(types: &[MysqlType], literals: &[Option<&Value>]) -> Result<MysqlType, SqlError> {
    match literal_length(literals, 1) {
        Some(count) => Ok(result::string(count.saturating_mul(characters_max(&types[0])), collation_of(&types[..1]))),
        None => result::long_like_first(types),
    }
}

fn space_type(types: &[MysqlType], literals: &[Option<&Value>]) -> Result<MysqlType, SqlError> {
    match literal_length(literals, 0) {
        Some(count) => Ok(result::string(count, CollationId::UTF8MB4_0900_AI_CI)),
        None => result::long_text(types),
    }
}

fn concat_type(types: &[MysqlType]) -> Result<MysqlType, SqlError> {
    Ok(result::string(types.iter().map(characters_max).sum(), collation_of(types)))
}

fn concat(call: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    let mut out = Vec::new();
    for argument in arguments {
        let bytes = argument.to_bytes();
        if !fits_packet("concat", out.len() + bytes.len(), context) {
            return Ok(Value::Null);
        }
        out.extend_from_slice(&bytes);
    }
    Ok(string_value(call, &out))
}

/// Also of MAKE_SET, whose separator is a comma: the first argument's length is at least 1.
fn concat_with_separator_type(types: &[MysqlType]) -> Result<MysqlType, SqlError> {
    let separators = characters_max(&types[0]) * (types.len() as u64).saturating_sub(2);
    let parts: u64 = types[1..].iter().map(characters_max).sum();
    Ok(result::string(parts + separators, collation_of(types)))
}

fn concat_with_separator(call: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    if arguments[0].is_null() {
        return Ok(Value::Null);
    }
    join(call, "concat_ws", &arguments[0].to_bytes(), arguments[1..].iter().filter(|part| !part.is_null()), context)
}

fn join<'v>(
    call: &Call<'_>,
    function: &str,
    separator: &[u8],
    parts: impl Iterator<Item = &'v Value>,
    context: &EvalContext,
) -> Result<Value, SqlError> {
    let mut out = Vec::new();
    for (position, part) in parts.enumerate() {
        let bytes = part.to_bytes();
        if !fits_packet(function, out.len() + separator.len() + bytes.len(), context) {
            return Ok(Value::Null);
        }
        if position > 0 {
            out.extend_from_slice(separator);
        }
        out.extend_from_slice(&bytes);
    }
    Ok(string_value(call, &out))
}

/// One character to one: what maps to several (ß to SS), or to none of its character set, stays, as in MySQL.
fn map_case(call: &Call<'_>, argument: &Value, map: fn(char) -> char) -> Value {
    match call.result_type.is_binary() {
        true => string_value(call, &argument.to_bytes()),
        false => {
            let charset = call.result_type.collation.charset();
            let mapped = |character: char| match map(character) {
                other if charset.has_character(other) => other,
                _ => character,
            };
            Value::text(argument.to_text().chars().map(mapped).collect::<String>())
        }
    }
}

fn lower(call: &Call<'_>, arguments: &[Value], _: &EvalContext) -> Result<Value, SqlError> {
    Ok(map_case(call, &arguments[0], |character| {
        let mut mapped = character.to_lowercase();
        match (mapped.next(), mapped.next()) {
            (Some(single), None) => single,
            _ => character,
        }
    }))
}

fn upper(call: &Call<'_>, arguments: &[Value], _: &EvalContext) -> Result<Value, SqlError> {
    Ok(map_case(call, &arguments[0], |character| {
        let mut mapped = character.to_uppercase();
        match (mapped.next(), mapped.next()) {
            (Some(single), None) => single,
            _ => character,
        }
    }))
}

/// Bytes of `count` units from unit `start`.
fn slice(bytes: &[u8], unit: Unit, start: usize, count: usize) -> &[u8] {
    let rest = &bytes[unit.offset(bytes, start)..];
    &rest[..unit.offset(rest, count)]
}

fn substring(call: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    let unit = Unit::of_result(call);
    let bytes = arguments[0].to_bytes();
    let start = argument::integer(&arguments[1], context)?;
    let count = match arguments.get(2) {
        Some(count) => argument::integer(count, context)?,
        None => i64::MAX,
    };
    let start = match start {
        1.. => (start - 1) as u64,
        0 => u64::MAX,
        _ => (unit.count(&bytes) as u64).checked_sub(start.unsigned_abs()).unwrap_or(u64::MAX),
    };
    if count <= 0 || start >= bytes.len() as u64 {
        return Ok(string_value(call, b""));
    }
    Ok(string_value(call, slice(&bytes, unit, start as usize, count as usize)))
}

fn left(call: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    let bytes = arguments[0].to_bytes();
    let count = argument::integer(&arguments[1], context)?.max(0) as usize;
    Ok(string_value(call, slice(&bytes, Unit::of_result(call), 0, count)))
}

fn right(call: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    let unit = Unit::of_result(call);
    let bytes = arguments[0].to_bytes();
    let count = argument::integer(&arguments[1], context)?.max(0) as usize;
    let skipped = unit.count(&bytes).saturating_sub(count);
    Ok(string_value(call, &bytes[unit.offset(&bytes, skipped)..]))
}

fn length(call: &Call<'_>, arguments: &[Value], _: &EvalContext) -> Result<Value, SqlError> {
    Ok(Value::Int(argument::stored_bytes(call, &arguments[0]).len() as i64))
}

fn char_length(call: &Call<'_>, arguments: &[Value], _: &EvalContext) -> Result<Value, SqlError> {
    Ok(Value::Int(Unit::of_arguments(call).count(&arguments[0].to_bytes()) as i64))
}

fn bit_length(call: &Call<'_>, arguments: &[Value], _: &EvalContext) -> Result<Value, SqlError> {
    Ok(Value::Int(argument::stored_bytes(call, &arguments[0]).len() as i64 * 8))
}

fn trim(call: &Call<'_>, arguments: &[Value], leading: bool, trailing: bool) -> Result<Value, SqlError> {
    let bytes = arguments[0].to_bytes();
    let removed = arguments.get(1).map(Value::to_bytes);
    let removed = removed.as_deref().unwrap_or(b" ");
    let mut rest: &[u8] = &bytes;
    if !removed.is_empty() {
        while let Some(shorter) = rest.strip_prefix(removed).filter(|_| leading) {
            rest = shorter;
        }
        while let Some(shorter) = rest.strip_suffix(removed).filter(|_| trailing) {
            rest = shorter;
        }
    }
    Ok(string_value(call, rest))
}

fn trim_both(call: &Call<'_>, arguments: &[Value], _: &EvalContext) -> Result<Value, SqlError> {
    trim(call, arguments, true, true)
}

fn trim_leading(call: &Call<'_>, arguments: &[Value], _: &EvalContext) -> Result<Value, SqlError> {
    trim(call, arguments, true, false)
}

fn trim_trailing(call: &Call<'_>, arguments: &[Value], _: &EvalContext) -> Result<Value, SqlError> {
    trim(call, arguments, false, true)
}

fn pad_type(types: &[MysqlType]) -> Result<MysqlType, SqlError> {
    Ok(result::string(u64::from(u32::MAX), collation_of(&[types[0].clone(), types[2].clone()])))
}

/// The text cut or padded to the wanted size by `join`, from the filler and the text; NULL for a negative size.
fn pad(
    call: &Call<'_>,
    arguments: &[Value],
    function: &str,
    context: &EvalContext,
    join: fn(&[u8], &[u8]) -> Vec<u8>,
) -> Result<Value, SqlError> {
    let unit = Unit::of_result(call);
    let (text, padding) = (arguments[0].to_bytes(), arguments[2].to_bytes());
    let Ok(wanted) = usize::try_from(argument::integer(&arguments[1], context)?) else { return Ok(Value::Null) };
    let have = unit.count(&text);
    if wanted <= have {
        return Ok(string_value(call, slice(&text, unit, 0, wanted)));
    }
    let bytes_per_unit_max = if unit == Unit::Byte { 1 } else { 4 };
    if !fits_packet(function, wanted.saturating_mul(bytes_per_unit_max), context) {
        return Ok(Value::Null);
    }
    if padding.is_empty() {
        return Ok(string_value(call, b""));
    }
    let (missing, padding_units) = (wanted - have, unit.count(&padding).max(1));
    let mut filler = padding.repeat(missing / padding_units);
    filler.extend_from_slice(slice(&padding, unit, 0, missing % padding_units));
    Ok(string_value(call, &join(&filler, &text)))
}

fn left_pad(call: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    pad(call, arguments, "lpad", context, |filler, text| [filler, text].concat())
}

fn right_pad(call: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    pad(call, arguments, "rpad", context, |filler, text| [text, filler].concat())
}

fn repeat(call: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    let bytes = arguments[0].to_bytes();
    let count = argument::integer(&arguments[1], context)?.max(0) as usize;
    if bytes.is_empty() {
        return Ok(string_value(call, b""));
    }
    match fits_packet("repeat", bytes.len().saturating_mul(count), context) {
        true => Ok(string_value(call, &bytes.repeat(count))),
        false => Ok(Value::Null),
    }
}

fn space(call: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    let count = argument::integer(&arguments[0], context)?.max(0) as usize;
    match fits_packet("space", count, context) {
        true => Ok(string_value(call, &b" ".repeat(count))),
        false => Ok(Value::Null),
    }
}

fn reverse(call: &Call<'_>, arguments: &[Value], _: &EvalContext) -> Result<Value, SqlError> {
    match call.result_type.is_binary() {
        true => Ok(string_value(call, &arguments[0].to_bytes().iter().rev().copied().collect::<Vec<u8>>())),
        false => Ok(Value::text(arguments[0].to_text().chars().rev().collect::<String>())),
    }
}

fn insert_type(types: &[MysqlType]) -> Result<MysqlType, SqlError> {
    let texts = [types[0].clone(), types[3].clone()];
    Ok(result::string(texts.iter().map(characters_max).sum(), collation_of(&texts)))
}

fn insert(call: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    let unit = Unit::of_result(call);
    let (text, new) = (arguments[0].to_bytes(), arguments[3].to_bytes());
    let start = argument::integer(&arguments[1], context)?;
    let count = argument::integer(&arguments[2], context)?;
    let have = unit.count(&text) as i64;
    if start < 1 || start > have {
        return Ok(string_value(call, &text));
    }
    let count = if count < 0 { i64::MAX } else { count };
    let end = (start - 1).saturating_add(count).min(have);
    if !fits_packet("insert", text.len() + new.len(), context) {
        return Ok(Value::Null);
    }
    let before = &text[..unit.offset(&text, (start - 1) as usize)];
    let after = &text[unit.offset(&text, end as usize)..];
    Ok(string_value(call, &[before, &new, after].concat()))
}

fn elt_type(types: &[MysqlType]) -> Result<MysqlType, SqlError> {
    let longest = types[1..].iter().map(characters_max).max().unwrap_or(0);
    Ok(result::string(longest, collation_of(&types[1..])))
}

fn elt(call: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    if arguments[0].is_null() {
        return Ok(Value::Null);
    }
    let index = argument::integer(&arguments[0], context)?;
    match usize::try_from(index).ok().filter(|&index| index > 0).and_then(|index| arguments.get(index)) {
        None | Some(Value::Null) => Ok(Value::Null),
        Some(chosen) => Ok(string_value(call, &chosen.to_bytes())),
    }
}

fn make_set(call: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    if arguments[0].is_null() {
        return Ok(Value::Null);
    }
    let bits = argument::bits(&arguments[0], context)?;
    let members = arguments[1..].iter().take(64).enumerate();
    let chosen = members.filter(|(index, member)| bits >> index & 1 == 1 && !member.is_null());
    join(call, "make_set", b",", chosen.map(|(_, member)| member), context)
}

fn export_set_type(types: &[MysqlType]) -> Result<MysqlType, SqlError> {
    let longest = characters_max(&types[1]).max(characters_max(&types[2]));
    let separator = types.get(3).map_or(1, characters_max);
    let texts = &types[1..types.len().min(4)];
    Ok(result::string(longest.saturating_mul(64).saturating_add(separator.saturating_mul(63)), collation_of(texts)))
}

fn export_set(call: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    let bits = argument::bits(&arguments[0], context)?;
    let separator = arguments.get(3).map(Value::to_bytes);
    let count = match arguments.get(4) {
        Some(count) => usize::try_from(argument::integer(count, context)?).unwrap_or(64).min(64),
        None => 64,
    };
    let parts = (0..count).map(|index| if bits >> index & 1 == 1 { &arguments[1] } else { &arguments[2] });
    join(call, "export_set", separator.as_deref().unwrap_or(b","), parts, context)
}

fn quote_type(types: &[MysqlType]) -> Result<MysqlType, SqlError> {
    // NULL has four characters.
    let quoted = characters_max(&types[0]).saturating_mul(2) + 2;
    Ok(result::string(quoted.max(4), collation_of(types)))
}

fn quote(call: &Call<'_>, arguments: &[Value], _: &EvalContext) -> Result<Value, SqlError> {
    if arguments[0].is_null() {
        return Ok(string_value(call, b"NULL"));
    }
    let mut out = vec![b'\''];
    for &byte in arguments[0].to_bytes().iter() {
        match byte {
            0 => out.extend_from_slice(b"\\0"),
            0x1A => out.extend_from_slice(b"\\Z"),
            b'\'' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            _ => out.push(byte),
        }
    }
    out.push(b'\'');
    Ok(string_value(call, &out))
}

fn soundex_type(types: &[MysqlType]) -> Result<MysqlType, SqlError> {
    Ok(result::string(characters_max(&types[0]).max(4), collation_of(types)))
}

/// MySQL's is not cut at four characters, drops vowels first and repeated codes second.
fn soundex(call: &Call<'_>, arguments: &[Value], _: &EvalContext) -> Result<Value, SqlError> {
    const CODES_A_TO_Z: &[u8; 26] = b"01230120022455012623010202";
    let code = |letter: char| match letter.to_ascii_uppercase() {
        upper @ 'A'..='Z' => CODES_A_TO_Z[upper as usize - 'A' as usize],
        _ => b'0',
    };
    let text = arguments[0].to_text();
    let mut letters = text.chars().filter(|character| character.is_alphabetic());
    let Some(first) = letters.next() else { return Ok(string_value(call, b"")) };
    // Only letters of ASCII have another case here.
    let mut out = String::from(first.to_ascii_uppercase());
    let mut previous = code(first);
    for letter in letters {
        let digit = code(letter);
        if digit != b'0' && digit != previous {
            out.push(char::from(digit));
            previous = digit;
        }
    }
    while out.chars().count() < 4 {
        out.push('0');
    }
    Ok(string_value(call, out.as_bytes()))
}

/// With a second argument the text was filled up, and its spaces count.
fn weight_string(call: &Call<'_>, arguments: &[Value], _: &EvalContext) -> Result<Value, SqlError> {
    let ty = &call.argument_types[0];
    match ty.is_text() {
        true => {
            let filled = arguments.len() > 1;
            Ok(Value::bytes(crate::collation::weights(ty.collation, &arguments[0].to_text(), filled)))
        }
        false if ty.is_binary() => Ok(string_value(call, &arguments[0].to_bytes())),
        false => Ok(Value::Null),
    }
}
