//! Character sets, and conversion between them and the UTF-8 that values are held in.

use super::chinese::Chinese;
use super::wide::Wide;
use super::{COLLATIONS, CollationId, CollationInfo};
use crate::error::{ErrorCode, SqlError};
use std::borrow::Cow;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Charset {
    Ascii,
    Binary,
    Gb18030,
    Gbk,
    /// MySQL's latin1 is Windows code page 1252.
    Latin1,
    Ucs2,
    Utf16,
    Utf16le,
    Utf32,
    /// UTF-8 without characters beyond U+FFFF.
    Utf8mb3,
    Utf8mb4,
}

/// Code page 1252 from 0x80 to 0x9F; the five bytes that it leaves open are control characters.
const CP1252_HIGH: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}', '\u{90}', '‘', '’',
    '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];

impl Charset {
    pub const ALL: [Charset; 11] = [
        Charset::Ascii,
        Charset::Binary,
        Charset::Gb18030,
        Charset::Gbk,
        Charset::Latin1,
        Charset::Ucs2,
        Charset::Utf16,
        Charset::Utf16le,
        Charset::Utf32,
        Charset::Utf8mb3,
        Charset::Utf8mb4,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Charset::Ascii => "ascii",
            Charset::Binary => "binary",
            Charset::Gb18030 => "gb18030",
            Charset::Gbk => "gbk",
            Charset::Latin1 => "latin1",
            Charset::Ucs2 => "ucs2",
            Charset::Utf16 => "utf16",
            Charset::Utf16le => "utf16le",
            Charset::Utf32 => "utf32",
            Charset::Utf8mb3 => "utf8mb3",
            Charset::Utf8mb4 => "utf8mb4",
        }
    }

    /// As SHOW CHARACTER SET describes it.
    pub fn description(self) -> &'static str {
        match self {
            Charset::Ascii => "US ASCII",
            Charset::Binary => "Binary pseudo charset",
            Charset::Gb18030 => "China National Standard GB18030",
            Charset::Gbk => "GBK Simplified Chinese",
            Charset::Latin1 => "cp1252 West European",
            Charset::Ucs2 => "UCS-2 Unicode",
            Charset::Utf16 => "UTF-16 Unicode",
            Charset::Utf16le => "UTF-16LE Unicode",
            Charset::Utf32 => "UTF-32 Unicode",
            Charset::Utf8mb3 => "UTF-8 Unicode",
            Charset::Utf8mb4 => "UTF-8 Unicode",
        }
    }

    /// Most bytes of one character.
    pub fn bytes_max(self) -> u32 {
        match self {
            Charset::Ascii | Charset::Binary | Charset::Latin1 => 1,
            Charset::Gbk | Charset::Ucs2 => 2,
            Charset::Utf8mb3 => 3,
            Charset::Utf8mb4 | Charset::Gb18030 | Charset::Utf16 | Charset::Utf16le | Charset::Utf32 => 4,
        }
    }

    /// Fewest bytes of one character. Statements are written in sets where it is one.
    pub fn bytes_min(self) -> usize {
        self.wide().map_or(1, Wide::unit_bytes)
    }

    /// It has all of Unicode, or all up to U+FFFF.
    pub fn is_unicode(self) -> bool {
        self.wide().is_some() || matches!(self, Charset::Utf8mb3 | Charset::Utf8mb4)
    }

    fn wide(self) -> Option<Wide> {
        match self {
            Charset::Ucs2 => Some(Wide::Ucs2),
            Charset::Utf16 => Some(Wide::Utf16),
            Charset::Utf16le => Some(Wide::Utf16le),
            Charset::Utf32 => Some(Wide::Utf32),
            _ => None,
        }
    }

    /// By name, in any case; `utf8` is utf8mb3.
    pub fn by_name(name: &str) -> Option<Charset> {
        if name.eq_ignore_ascii_case("utf8") {
            return Some(Charset::Utf8mb3);
        }
        Charset::ALL.into_iter().find(|charset| charset.name().eq_ignore_ascii_case(name))
    }

    /// By name; 1115 for one that there is not.
    pub fn from_name(name: &str) -> Result<Charset, SqlError> {
        Charset::by_name(name)
            .ok_or_else(|| SqlError::new(ErrorCode::UNKNOWN_CHARACTER_SET, format!("Unknown character set: '{name}'")))
    }

    pub fn default_collation(self) -> CollationId {
        let default = |info: &&CollationInfo| info.charset == self && info.is_default;
        COLLATIONS.iter().find(default).map_or(CollationId::UTF8MB4_0900_AI_CI, |info| info.id)
    }

    /// The collation of this character set that compares code points.
    pub fn binary_collation(self) -> CollationId {
        match self {
            Charset::Ascii => CollationId(65),
            Charset::Binary => CollationId::BINARY,
            Charset::Gb18030 => CollationId(249),
            Charset::Gbk => CollationId(87),
            Charset::Latin1 => CollationId(47),
            Charset::Ucs2 => CollationId(90),
            Charset::Utf16 => CollationId(55),
            Charset::Utf16le => CollationId(62),
            Charset::Utf32 => CollationId(61),
            Charset::Utf8mb3 => CollationId(83),
            Charset::Utf8mb4 => CollationId::UTF8MB4_BIN,
        }
    }

    /// How many characters it has, as a rank: a text of a smaller set converts into a larger one without loss.
    pub(super) fn repertoire(self) -> u8 {
        match self {
            Charset::Ascii => 0,
            Charset::Latin1 => 1,
            Charset::Gbk => 2,
            Charset::Gb18030 => 3,
            Charset::Ucs2 => 4,
            Charset::Utf8mb3 => 5,
            Charset::Utf16 => 6,
            Charset::Utf16le => 7,
            Charset::Utf32 => 8,
            Charset::Utf8mb4 => 9,
            Charset::Binary => 10,
        }
    }

    /// Its texts are the bytes that values are held in.
    pub fn is_utf8(self) -> bool {
        matches!(self, Charset::Ascii | Charset::Utf8mb3 | Charset::Utf8mb4)
    }

    pub fn has_character(self, character: char) -> bool {
        match self {
            Charset::Ascii => character.is_ascii(),
            Charset::Gb18030 => Chinese::Gb18030.has_character(character),
            Charset::Gbk => Chinese::Gbk.has_character(character),
            Charset::Latin1 => latin1_byte(character).is_some(),
            Charset::Utf8mb3 | Charset::Ucs2 => (character as u32) <= 0xffff,
            Charset::Utf16 | Charset::Utf16le | Charset::Utf32 | Charset::Utf8mb4 | Charset::Binary => true,
        }
    }

    /// The text's bytes in this character set, `?` for what it has not.
    pub fn encode(self, text: &str) -> Cow<'_, [u8]> {
        if let Some(wide) = self.wide() {
            return Cow::Owned(wide.encode(text));
        }
        let plain = match self {
            Charset::Utf8mb4 | Charset::Binary => true,
            Charset::Utf8mb3 => text.chars().all(|character| self.has_character(character)),
            _ => text.is_ascii(),
        };
        if plain {
            return Cow::Borrowed(text.as_bytes());
        }
        match self {
            Charset::Gb18030 => return Cow::Owned(Chinese::Gb18030.encode(text)),
            Charset::Gbk => return Cow::Owned(Chinese::Gbk.encode(text)),
            _ => {}
        }
        let mut bytes = Vec::with_capacity(text.len());
        for character in text.chars() {
            match self {
                Charset::Latin1 => bytes.push(latin1_byte(character).unwrap_or(b'?')),
                _ if self.has_character(character) => {
                    bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                }
                _ => bytes.push(b'?'),
            }
        }
        Cow::Owned(bytes)
    }

    /// The text that bytes of this character set are; the position of the first byte that is none otherwise.
    pub fn decode(self, bytes: &[u8]) -> Result<Cow<'_, str>, usize> {
        if let Some(wide) = self.wide() {
            return wide.decode(bytes).map(Cow::Owned);
        }
        match self {
            Charset::Latin1 if !bytes.is_ascii() => {
                Ok(Cow::Owned(bytes.iter().map(|byte| latin1_character(*byte)).collect()))
            }
            Charset::Gb18030 if !bytes.is_ascii() => Chinese::Gb18030.decode(bytes).map(Cow::Owned),
            Charset::Gbk if !bytes.is_ascii() => Chinese::Gbk.decode(bytes).map(Cow::Owned),
            Charset::Ascii if !bytes.is_ascii() => Err(bytes.iter().take_while(|byte| byte.is_ascii()).count()),
            _ => {
                let text = std::str::from_utf8(bytes).map_err(|error| error.valid_up_to())?;
                match text.char_indices().find(|(_, character)| !self.has_character(*character)) {
                    Some((position, _)) => Err(position),
                    None => Ok(Cow::Borrowed(text)),
                }
            }
        }
    }
}

fn latin1_character(byte: u8) -> char {
    match byte {
        0x80..=0x9f => CP1252_HIGH[byte as usize - 0x80],
        _ => byte as char,
    }
}

pub(super) fn latin1_byte(character: char) -> Option<u8> {
    match character as u32 {
        code @ (0..=0x7f | 0xa0..=0xff) => Some(code as u8),
        _ => CP1252_HIGH.iter().position(|high| *high == character).map(|place| place as u8 + 0x80),
    }
}
