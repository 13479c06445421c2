//! Functions between numbers, bytes and text: HEX, CONV, CHAR, FORMAT, base 64 and their like. Manual: 14.8, 14.12.

use crate::collation::CollationId;
use crate::error::{ErrorCode, SqlError};
use crate::eval::EvalContext;
use crate::function::argument;
use crate::function::numeric::round::round_double;
use crate::function::result::{self, characters_max, fits_packet};
use crate::function::{Arguments, Call, Function};
use crate::mysql_type::MysqlType;
use crate::value::Value;
use Arguments::{AtLeast, Between, Exactly};
use std::sync::Arc;

pub static FUNCTIONS: &[Function] = &[
    Function::new("HEX", Exactly(1), hex_type, hex),
    Function::new("UNHEX", Exactly(1), unhex_type, unhex),
    Function::new("CONV", Exactly(3), result::text::<64>, conv),
    Function::new("BIN", Exactly(1), result::text::<64>, bin),
    Function::new("OCT", Exactly(1), result::text::<64>, oct),
    Function::new("BIT_COUNT", Exactly(1), result::int::<10>, bit_count),
    Function::new("ASCII", Exactly(1), result::int::<3>, ascii),
    Function::new("ORD", Exactly(1), result::int::<21>, ord),
    Function::new("CHAR", AtLeast(1), char_type, char).takes_null(),
    Function::new("FORMAT", Between(2, 3), result::text::<97>, format).takes_null(),
    Function::new("TO_BASE64", Exactly(1), to_base64_type, to_base64),
    Function::new("FROM_BASE64", Exactly(1), from_base64_type, from_base64),
];

fn hex_type(types: &[MysqlType]) -> Result<MysqlType, SqlError> {
    let bytes_per_character = if types[0].is_text() { 4 } else { 1 };
    let digits = match types[0].is_numeric() {
        true => 16,
        false => characters_max(&types[0]).saturating_mul(2 * bytes_per_character),
    };
    Ok(result::string(digits, CollationId::UTF8MB4_0900_AI_CI))
}

fn hex(call: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    if call.argument_types[0].is_numeric() {
        return Ok(Value::text(format!("{:X}", rounded_bits(&arguments[0], context)?)));
    }
    let bytes = argument::stored_bytes(call, &arguments[0]);
    match fits_packet("hex", bytes.len().saturating_mul(2), context) {
        true => Ok(Value::text(hex::encode_upper(&bytes))),
        false => Ok(Value::Null),
    }
}

/// As 64 bits; all ones beyond the range.
fn rounded_bits(value: &Value, context: &EvalContext) -> Result<u64, SqlError> {
    match value {
        Value::Float(_) | Value::Double(_) | Value::Decimal(_) => {
            let number = value.to_f64(context)?;
            if number <= i64::MIN as f64 || number >= u64::MAX as f64 {
                return Ok(u64::MAX);
            }
            Ok(if number < 0.0 { (number - 0.5) as i64 as u64 } else { (number + 0.5) as u64 })
        }
        other => argument::bits(other, context),
    }
}

fn unhex_type(types: &[MysqlType]) -> Result<MysqlType, SqlError> {
    Ok(result::string(characters_max(&types[0]).div_ceil(2), CollationId::BINARY))
}

fn unhex(_: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    let text = arguments[0].to_bytes();
    let digits = if text.len().is_multiple_of(2) { text.to_vec() } else { [b"0", text.as_ref()].concat() };
    match hex::decode(digits) {
        Ok(bytes) => Ok(Value::Bytes(bytes.into())),
        Err(_) => {
            let message = format!("Incorrect string value: '{}' for function unhex", String::from_utf8_lossy(&text));
            context.warn(ErrorCode::WRONG_VALUE_FOR_TYPE, message);
            Ok(Value::Null)
        }
    }
}

fn conv(_: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    let from = argument::integer(&arguments[1], context)?;
    let to = argument::integer(&arguments[2], context)?;
    convert_base(&arguments[0], from, to)
}

fn bin(_: &Call<'_>, arguments: &[Value], _: &EvalContext) -> Result<Value, SqlError> {
    convert_base(&arguments[0], 10, 2)
}

fn oct(_: &Call<'_>, arguments: &[Value], _: &EvalContext) -> Result<Value, SqlError> {
    convert_base(&arguments[0], 10, 8)
}

/// A negative base: the number is signed. Reads as far as there are digits; saturates.
fn convert_base(value: &Value, from: i64, to: i64) -> Result<Value, SqlError> {
    let is_base = |base: i64| (2..=36).contains(&base.unsigned_abs());
    if !is_base(from) || !is_base(to) {
        return Ok(Value::Null);
    }
    let bits = match value {
        Value::Bit(bits, _) => *bits,
        other => {
            let text = other.to_text();
            if text.is_empty() {
                return Ok(Value::Null);
            }
            parse_digits(text.trim_start(), from)
        }
    };
    let (negative, magnitude) = match to < 0 && (bits as i64) < 0 {
        true => (true, (bits as i64).unsigned_abs()),
        false => (false, bits),
    };
    let digits = to_digits(magnitude, to.unsigned_abs());
    Ok(Value::text(if negative { format!("-{digits}") } else { digits }))
}

fn parse_digits(text: &str, base: i64) -> u64 {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let radix = base.unsigned_abs() as u32;
    let values = digits.chars().map_while(|digit| digit.to_digit(radix));
    let magnitude =
        values.fold(0u128, |sum, digit| (sum * u128::from(radix) + u128::from(digit)).min(u128::from(u64::MAX) + 1));
    if base < 0 {
        let limited = magnitude.min(1 << 63);
        let signed = if negative { -(limited as i128) } else { (limited as i128).min(i128::from(i64::MAX)) };
        return signed as i64 as u64;
    }
    match (u64::try_from(magnitude), negative) {
        (Ok(magnitude), true) => magnitude.wrapping_neg(),
        (Ok(magnitude), false) => magnitude,
        (Err(_), _) => u64::MAX,
    }
}

fn to_digits(mut number: u64, base: u64) -> String {
    let mut digits = Vec::new();
    loop {
        let digit = char::from_digit((number % base) as u32, 36).unwrap_or('0');
        digits.push(digit.to_ascii_uppercase());
        number /= base;
        if number == 0 {
            return digits.into_iter().rev().collect();
        }
    }
}

fn bit_count(_: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    let count = match &arguments[0] {
        Value::Bytes(bytes) => bytes.iter().map(|byte| u64::from(byte.count_ones())).sum(),
        other => u64::from(argument::bits(other, context)?.count_ones()),
    };
    Ok(Value::Int(count as i64))
}

fn ascii(call: &Call<'_>, arguments: &[Value], _: &EvalContext) -> Result<Value, SqlError> {
    Ok(Value::Int(argument::stored_bytes(call, &arguments[0]).first().map_or(0, |&byte| i64::from(byte))))
}

fn ord(call: &Call<'_>, arguments: &[Value], _: &EvalContext) -> Result<Value, SqlError> {
    let ty = &call.argument_types[0];
    let bytes = match ty.is_binary() {
        true => arguments[0].to_bytes().iter().copied().take(1).collect(),
        false => Value::text(arguments[0].to_text().chars().take(1).collect::<String>()).stored_bytes(ty).into_owned(),
    };
    Ok(Value::Int(bytes.iter().fold(0, |sum: i64, &byte| sum << 8 | i64::from(byte))))
}

fn char_type(types: &[MysqlType]) -> Result<MysqlType, SqlError> {
    Ok(result::string(types.len() as u64 * 4, CollationId::BINARY))
}

/// Each number's low 32 bits as one to four bytes; NULLs are left out.
fn char(_: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    let mut out = Vec::new();
    for argument in arguments.iter().filter(|argument| !argument.is_null()) {
        let bytes = (argument::bits(argument, context)? as u32).to_be_bytes();
        let leading_zeros = bytes.iter().take(3).take_while(|&&byte| byte == 0).count();
        out.extend_from_slice(&bytes[leading_zeros..]);
    }
    Ok(Value::Bytes(out.into()))
}

/// How a locale separates thousands and marks the decimal point.
fn number_format(locale: &str) -> Option<(&'static str, char)> {
    let language = locale.split('_').next().unwrap_or_default();
    match locale {
        "de_CH" => return Some(("'", '.')),
        "de_AT" | "es_AR" | "es_BO" | "es_CL" | "es_CO" | "es_CR" | "es_EC" | "es_ES" | "es_PY" | "es_UY" | "es_VE" => {
            return Some((if locale == "es_ES" || locale == "de_AT" { "" } else { "." }, ','));
        }
        _ => {}
    }
    match language {
        "en" | "ja" | "zh" | "ko" | "th" | "he" | "hi" | "es" | "ar" => Some((",", '.')),
        "de" | "da" | "id" | "is" | "ro" | "tr" | "vi" | "nb" | "no" | "ru" | "uk" => Some((".", ',')),
        "fr" | "it" | "nl" | "pt" | "pl" | "el" | "sl" | "hr" | "bg" => Some(("", ',')),
        "sv" | "fi" | "cs" | "sk" => Some((" ", ',')),
        _ => None,
    }
}

fn format(_: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    if arguments[0].is_null() || arguments[1].is_null() {
        return Ok(Value::Null);
    }
    let digits = argument::integer(&arguments[1], context)?.clamp(0, 30) as u8;
    let (separator, point) = match arguments.get(2) {
        None => (",", '.'),
        Some(locale) => {
            let name = if locale.is_null() { "NULL".into() } else { locale.to_text() };
            number_format(&name).unwrap_or_else(|| {
                let message = format!("Unknown locale: '{name}'");
                context.warn(ErrorCode::UNKNOWN_LOCALE, message);
                (",", '.')
            })
        }
    };
    let rounded = match &arguments[0] {
        exact @ (Value::Decimal(_) | Value::Int(_) | Value::UInt(_)) => {
            Value::Decimal(exact.to_decimal(context)?.round(i32::from(digits))).to_text().into_owned()
        }
        other => format!("{:.*}", digits as usize, round_double(other.to_f64(context)?, i64::from(digits))),
    };
    let (sign, magnitude) = match rounded.strip_prefix('-') {
        Some(magnitude) => ("-", magnitude),
        None => ("", rounded.as_str()),
    };
    let (whole, fraction) = magnitude.split_once('.').unwrap_or((magnitude, ""));
    let mut out = String::from(sign);
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            out.push_str(separator);
        }
        out.push(digit);
    }
    if digits > 0 {
        out.push(point);
        out.push_str(fraction);
        out.extend(std::iter::repeat_n('0', (digits as usize).saturating_sub(fraction.len())));
    }
    Ok(Value::text(out))
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
/// TO_BASE64 starts a new line after so many characters.
const BASE64_LINE_CHARACTERS: usize = 76;

fn to_base64_type(types: &[MysqlType]) -> Result<MysqlType, SqlError> {
    let bytes = characters_max(&types[0]).saturating_mul(if types[0].is_text() { 4 } else { 1 });
    let characters = bytes.div_ceil(3).saturating_mul(4);
    let lines = characters / BASE64_LINE_CHARACTERS as u64;
    Ok(result::string(characters.saturating_add(lines), CollationId::UTF8MB4_0900_AI_CI))
}

fn to_base64(call: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    let bytes = argument::stored_bytes(call, &arguments[0]);
    if !fits_packet("to_base64", bytes.len() / 3 * 4 + bytes.len() / 57, context) {
        return Ok(Value::Null);
    }
    let encoded = encode_base64(&bytes);
    let lines = encoded.as_bytes().chunks(BASE64_LINE_CHARACTERS).map(String::from_utf8_lossy);
    Ok(Value::text(lines.collect::<Vec<_>>().join("\n")))
}

/// In one line.
pub fn encode_base64(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0u32, |sum, &byte| sum << 8 | u32::from(byte)) << (8 * (3 - group.len()));
        for position in 0..4 {
            let sextet = bits >> (18 - 6 * position) & 63;
            out.push(if position <= group.len() { char::from(BASE64[sextet as usize]) } else { '=' });
        }
    }
    out
}

fn from_base64_type(types: &[MysqlType]) -> Result<MysqlType, SqlError> {
    Ok(result::string(characters_max(&types[0]).saturating_mul(3) / 4, CollationId::BINARY))
}

fn from_base64(_: &Call<'_>, arguments: &[Value], _: &EvalContext) -> Result<Value, SqlError> {
    let text = arguments[0].to_bytes();
    Ok(decode_base64(&text).map_or(Value::Null, |bytes| Value::Bytes(Arc::from(bytes))))
}

/// White space is skipped; padding must complete the last group of four.
fn decode_base64(text: &[u8]) -> Option<Vec<u8>> {
    let symbols: Vec<u8> = text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let mut out = Vec::with_capacity(symbols.len() / 4 * 3);
    let groups = symbols.chunks(4);
    let last = groups.len().saturating_sub(1);
    for (index, group) in groups.enumerate() {
        let padding = group.iter().rev().take_while(|&&symbol| symbol == b'=').count();
        if group.len() != 4 || padding > 2 || (padding > 0 && index != last) {
            return None;
        }
        let mut bits = 0u32;
        for &symbol in &group[..4 - padding] {
            bits = bits << 6 | BASE64.iter().position(|&known| known == symbol)? as u32;
        }
        bits <<= 6 * padding;
        out.extend_from_slice(&bits.to_be_bytes()[1..4 - padding]);
    }
    Some(out)
}
