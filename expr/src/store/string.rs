//! Assignment to columns of text, bytes, ENUM, SET and JSON.

use super::Place;
use super::double_text::double_text;
use crate::cast::binary_is_no_json;
use crate::collation::charset::Charset;
use crate::collation::{CollationId, equal};
use crate::error::{ErrorCode, SqlError};
use crate::value::Value;
use crate::value::json::Json;
use compact_str::CompactString;

/// The text of a value in the column's character set.
fn text_of(value: Value, collation: CollationId, place: &Place<'_>) -> Result<CompactString, SqlError> {
    let charset = collation.charset();
    let text = match value {
        Value::Text(text) => text,
        Value::Bytes(_) | Value::Bit(..) => {
            let bytes = value.to_bytes();
            match charset.decode(&bytes) {
                Ok(text) => CompactString::from(text),
                Err(position) => {
                    place.incorrect("string", &shown_bytes(&bytes[position..]))?;
                    // What came before the bad byte is kept.
                    CompactString::from(charset.decode(&bytes[..position]).unwrap_or_default())
                }
            }
        }
        other => CompactString::from(other.to_text()),
    };
    if charset == Charset::Utf8mb4 || text.is_ascii() {
        return Ok(text);
    }
    let Some((position, _)) = text.char_indices().find(|(_, character)| !charset.has_character(*character)) else {
        return Ok(text);
    };
    place.incorrect("string", &shown_bytes(&text.as_bytes()[position..]))?;
    Ok(text.chars().map(|character| if charset.has_character(character) { character } else { '?' }).collect())
}

/// `\xF0\x9F\x98\x80...`, at most six bytes.
fn shown_bytes(bytes: &[u8]) -> String {
    let mut shown: String = bytes
        .iter()
        .take(6)
        .map(|byte| match byte {
            b' '..=b'~' => (*byte as char).to_string(),
            _ => format!("\\x{byte:02X}"),
        })
        .collect();
    if bytes.len() > 6 {
        shown.push_str("...");
    }
    shown
}

/// A floating point number as the text that has room in so many characters.
fn fitting(value: Value, characters: usize, place: &Place<'_>) -> Result<Value, SqlError> {
    let Value::Double(number) = value else { return Ok(value) };
    let (text, fits) = double_text(number, characters);
    if !fits {
        place.too_long()?;
    }
    Ok(Value::text(text))
}

/// Where a text of more than `length` characters is to be cut.
fn excess(text: &str, length: u32) -> Option<usize> {
    if text.len() <= length as usize {
        return None;
    }
    text.char_indices().nth(length as usize).map(|(end, _)| end)
}

pub(super) fn store_char(
    value: Value,
    length: u32,
    collation: CollationId,
    place: &Place<'_>,
) -> Result<Value, SqlError> {
    let value = fitting(value, length as usize, place)?;
    let mut text = text_of(value, collation, place)?;
    let content = text.trim_end_matches(' ').len();
    text.truncate(content);
    if let Some(end) = excess(&text, length) {
        place.too_long()?;
        text.truncate(end);
        let content = text.trim_end_matches(' ').len();
        text.truncate(content);
    }
    Ok(Value::Text(text))
}

pub(super) fn store_varchar(
    value: Value,
    length: u32,
    collation: CollationId,
    place: &Place<'_>,
) -> Result<Value, SqlError> {
    let value = fitting(value, length as usize, place)?;
    let mut text = text_of(value, collation, place)?;
    if let Some(end) = excess(&text, length) {
        if text[end..].bytes().all(|byte| byte == b' ') {
            place.truncated_note();
        } else {
            place.too_long()?;
        }
        text.truncate(end);
    }
    Ok(Value::Text(text))
}

pub(super) fn store_text(
    value: Value,
    bytes_max: u64,
    collation: CollationId,
    place: &Place<'_>,
) -> Result<Value, SqlError> {
    let mut text = text_of(value, collation, place)?;
    let charset = collation.charset();
    if text.len() as u64 > bytes_max && charset.encode(&text).len() as u64 > bytes_max {
        place.too_long()?;
        let mut buffer = [0; 4];
        let mut size_bytes = 0;
        let end = text.char_indices().find(|(_, character)| {
            size_bytes += charset.encode(character.encode_utf8(&mut buffer)).len() as u64;
            size_bytes > bytes_max
        });
        let end = end.map_or(text.len(), |(end, _)| end);
        text.truncate(end);
    }
    Ok(Value::Text(text))
}

/// BINARY(n) and VARBINARY(n).
pub(super) fn store_short_binary(value: Value, length: u32, pad: bool, place: &Place<'_>) -> Result<Value, SqlError> {
    store_binary(fitting(value, length as usize, place)?, length.into(), pad, place)
}

pub(super) fn store_binary(value: Value, length: u64, pad: bool, place: &Place<'_>) -> Result<Value, SqlError> {
    if let Value::Bytes(bytes) = &value
        && (bytes.len() as u64 == length || (!pad && (bytes.len() as u64) < length))
    {
        return Ok(value);
    }
    let mut bytes = value.to_bytes().into_owned();
    if bytes.len() as u64 > length {
        place.too_long()?;
        bytes.truncate(length as usize);
    } else if pad {
        bytes.resize(length as usize, 0);
    }
    Ok(Value::Bytes(bytes.into()))
}

/// By name, in the column's collation, or else by number. Members are counted from 1; 0 is the error value ''.
pub(super) fn store_enum(
    value: Value,
    members: &[String],
    collation: CollationId,
    place: &Place<'_>,
) -> Result<Value, SqlError> {
    let index = match &value {
        // The error value of another column, or of this one.
        Value::Enum(0, _) => return Ok(Value::Enum(0, CompactString::default())),
        value if !is_number(value) => {
            let text = value.to_text();
            let text = text.trim_end_matches(' ');
            match member_of(text, members, collation) {
                Some(place) => Some(place + 1),
                None => text.parse().ok(),
            }
        }
        number => usize::try_from(whole(number).to_i64(place.context)?).ok(),
    };
    match index.filter(|index| (1..=members.len()).contains(index)) {
        Some(index) => Ok(Value::Enum(index as u16, CompactString::new(&members[index - 1]))),
        None => {
            place.truncated()?;
            Ok(Value::Enum(0, CompactString::default()))
        }
    }
}

/// A number stands for a member or members; everything else, dates and times too, for its text.
fn is_number(value: &Value) -> bool {
    matches!(
        value,
        Value::Int(_) | Value::UInt(_) | Value::Decimal(_) | Value::Float(_) | Value::Double(_) | Value::Bit(..)
    )
}

/// Without its fraction, which is cut here and not rounded.
fn whole(number: &Value) -> Value {
    match number {
        Value::Decimal(number) => Value::Decimal(number.truncate(0)),
        Value::Double(number) => Value::Double(number.trunc()),
        Value::Float(number) => Value::Float(number.trunc()),
        other => other.clone(),
    }
}

fn member_of(text: &str, members: &[String], collation: CollationId) -> Option<usize> {
    members
        .iter()
        .position(|member| member == text)
        .or_else(|| members.iter().position(|member| equal(collation, member, text)))
}

/// By names between commas, or else by number: bit n for member n, counted from 0.
pub(super) fn store_set(
    value: Value,
    members: &[String],
    collation: CollationId,
    place: &Place<'_>,
) -> Result<Value, SqlError> {
    let all = if members.len() >= 64 { u64::MAX } else { (1 << members.len()) - 1 };
    let bits = match &value {
        value if !is_number(value) => bits_of_text(&value.to_text(), members, collation, all, place)?,
        number => {
            let bits = whole(number).to_u64(place.context)?;
            if bits & !all != 0 {
                place.truncated()?;
            }
            bits & all
        }
    };
    Ok(Value::Set(bits, set_text(bits, members)))
}

fn bits_of_text(
    text: &str,
    members: &[String],
    collation: CollationId,
    all: u64,
    place: &Place<'_>,
) -> Result<u64, SqlError> {
    if text.is_empty() {
        return Ok(0);
    }
    let mut bits = 0;
    let mut unknown = false;
    for name in text.split(',') {
        match member_of(name.trim_end_matches(' '), members, collation) {
            Some(member) => bits |= 1 << member,
            None => unknown = true,
        }
    }
    if unknown {
        if let Ok(number) = text.trim().parse::<u64>()
            && number & !all == 0
        {
            return Ok(number);
        }
        place.truncated()?;
    }
    Ok(bits)
}

/// The members' names in the order of the definition.
pub(crate) fn set_text(bits: u64, members: &[String]) -> CompactString {
    let mut text = CompactString::default();
    for (index, member) in members.iter().enumerate().take(64) {
        if bits >> index & 1 == 1 {
            if !text.is_empty() {
                text.push(',');
            }
            text.push_str(member);
        }
    }
    text
}

/// Text is parsed; numbers and dates become documents of their own. What is no JSON is an error in every mode.
pub(super) fn store_json(value: Value, place: &Place<'_>) -> Result<Value, SqlError> {
    match value {
        Value::Json(_) => Ok(value),
        Value::Text(_) | Value::Enum(..) | Value::Set(..) => {
            Ok(Value::Json(Json::parse(&value.to_text()).map_err(|error| error.in_column(place.column))?))
        }
        Value::Bytes(_) | Value::Bit(..) => Err(binary_is_no_json()),
        other => Ok(Value::Json(other.to_json())),
    }
}

/// SRID and well-known binary, taken as they are.
pub(super) fn store_geometry(value: Value) -> Result<Value, SqlError> {
    match value {
        Value::Bytes(_) => Ok(value),
        _ => Err(SqlError::new(
            ErrorCode::CANT_CREATE_GEOMETRY_OBJECT,
            "Cannot get geometry object from data you send to the GEOMETRY field",
        )),
    }
}
