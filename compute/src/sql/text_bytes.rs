//! Statements whose literals hold bytes that are not UTF-8: drivers put binary strings into the text as they are.
//!
//! Such a byte (always 0x80 or above) becomes a character of Unicode's last private-use range, `U+10FF80..=U+10FFFF`,
//! and is turned back where a literal's value is taken. Nobody else's text has these characters: they are for
//! private use and the last ones there are; text that has them anyway stays whole in a statement that is UTF-8.

use std::borrow::Cow;

/// Of byte 0x80.
const FIRST: u32 = 0x10_FF80;

/// The statement as text.
pub fn to_text(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(carry(bytes)),
    }
}

fn carry(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().filter_map(|byte| char::from_u32(FIRST + u32::from(*byte) - 0x80)));
    }
    text
}

/// Bytes written in hexadecimal digits, all carried: what they are as text only a character set tells.
pub fn of_digits(digits: &str) -> String {
    let digit = |byte: u8| (byte as char).to_digit(16).unwrap_or(0);
    let bytes = digits.as_bytes().chunks(2).map(|pair| pair.iter().fold(0, |byte, next| byte << 4 | digit(*next)));
    bytes.filter_map(|byte| char::from_u32(if byte < 0x80 { byte } else { FIRST + byte - 0x80 })).collect()
}

/// The bytes of a literal that carries some; `None` if it is text as it stands.
pub fn to_bytes(literal: &str) -> Option<Vec<u8>> {
    if !literal.chars().any(|character| u32::from(character) >= FIRST) {
        return None;
    }
    let mut bytes = Vec::with_capacity(literal.len());
    let mut buffer = [0; 4];
    for character in literal.chars() {
        match u32::from(character).checked_sub(FIRST) {
            Some(byte) => bytes.push(byte as u8 + 0x80),
            None => bytes.extend_from_slice(character.encode_utf8(&mut buffer).as_bytes()),
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binary_literals_survive() {
        let bytes = b"INSERT INTO t VALUES ('\xff\xd8\xc3\xa9\x00\x80')";
        assert_eq!(to_bytes(&to_text(bytes)).unwrap(), bytes);
        assert_eq!(to_bytes("h\u{e9}llo"), None);
        assert!(matches!(to_text("h\u{e9}llo".as_bytes()), Cow::Borrowed(_)));
    }
}
