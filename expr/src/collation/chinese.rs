//! Character sets gbk and gb18030, and their collations: `chinese_ci` orders Han characters by pinyin, and `bin` by code.
//! Manual: "The gb18030 Character Set" (12.10.8).
//!
//! gbk is what its two-byte codes stand for in the Encoding Standard, less what that adds from GB 18030 (`€`,
//! four-byte codes, characters beyond U+FFFF). The order of Han characters is that of CLDR's pinyin collation.

use super::unicode::{self, Language, Strength};
use encoding_rs::{GB18030, GBK};
use std::ops::RangeInclusive;
use std::sync::LazyLock;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chinese {
    Gbk,
    Gb18030,
}

/// No character, and no code.
const NONE: u16 = 0;

/// Between the code points up to U+FFFF and gbk's two-byte codes.
struct Table {
    characters: Box<[u16]>,
    codes: Box<[u16]>,
}

/// Two-byte codes that GB 18030 added to GBK: the euro sign, parts of characters, and rare characters.
const ONLY_GB18030: [RangeInclusive<u16>; 4] = [0xa2e3..=0xa2e3, 0xa8bf..=0xa8bf, 0xa989..=0xa995, 0xfe50..=0xfe9f];

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let mut table =
        Table { characters: vec![NONE; 1 << 16].into_boxed_slice(), codes: vec![NONE; 1 << 16].into_boxed_slice() };
    for lead in 0x81..=0xfe {
        for trail in (0x40..=0xfe).filter(|trail| *trail != 0x7f) {
            let code = [lead, trail];
            let Some(text) = GBK.decode_without_bom_handling_and_without_replacement(&code) else { continue };
            let mut characters = text.chars();
            let (Some(character @ '\u{80}'..='\u{ffff}'), None) = (characters.next(), characters.next()) else {
                continue;
            };
            // Codes for private use are nobody's characters.
            if matches!(character, '\u{e000}'..='\u{f8ff}') {
                continue;
            }
            let code = u16::from_be_bytes(code);
            if ONLY_GB18030.iter().any(|codes| codes.contains(&code)) {
                continue;
            }
            table.characters[code as usize] = character as u32 as u16;
            let known = &mut table.codes[character as usize];
            if *known == NONE {
                *known = code;
            }
        }
    }
    table
});

impl Chinese {
    pub(super) fn has_character(self, character: char) -> bool {
        character.is_ascii() || self.code(character).is_some()
    }

    /// The bytes of a character that is not ASCII.
    fn code(self, character: char) -> Option<([u8; 4], usize)> {
        match self {
            Chinese::Gbk => {
                let code = TABLE.codes.get(character as usize).copied().filter(|code| *code != NONE)?;
                let [lead, trail] = code.to_be_bytes();
                Some(([lead, trail, 0, 0], 2))
            }
            Chinese::Gb18030 => {
                let mut buffer = [0; 4];
                let (bytes, _, lossy) = GB18030.encode(character.encode_utf8(&mut buffer));
                let mut code = [0; 4];
                code.get_mut(..bytes.len()).filter(|_| !lossy)?.copy_from_slice(&bytes);
                // Some codes for private use stand for other characters since.
                (self.character(&bytes) == character).then_some((code, bytes.len()))
            }
        }
    }

    /// `?` stands for what there is no code for.
    pub(super) fn encode(self, text: &str) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(text.len());
        for character in text.chars() {
            self.push(character, &mut bytes);
        }
        bytes
    }

    fn push(self, character: char, bytes: &mut Vec<u8>) {
        if character.is_ascii() {
            return bytes.push(character as u8);
        }
        match self.code(character) {
            Some((code, length)) => bytes.extend_from_slice(&code[..length]),
            None => bytes.push(b'?'),
        }
    }

    /// The position of the first byte that begins no code otherwise. A code that has no character is `?`.
    pub(super) fn decode(self, bytes: &[u8]) -> Result<String, usize> {
        let mut text = String::with_capacity(bytes.len() * 3 / 2);
        let mut position = 0;
        while let Some(&first) = bytes.get(position) {
            if first.is_ascii() {
                text.push(first as char);
                position += 1;
                continue;
            }
            let length = self.code_bytes(&bytes[position..]).ok_or(position)?;
            text.push(self.character(&bytes[position..position + length]));
            position += length;
        }
        Ok(text)
    }

    /// Length of the code that these bytes begin with.
    fn code_bytes(self, bytes: &[u8]) -> Option<usize> {
        match bytes {
            [0x81..=0xfe, 0x40..=0x7e | 0x80..=0xfe, ..] => Some(2),
            [0x81..=0xfe, 0x30..=0x39, 0x81..=0xfe, 0x30..=0x39, ..] if self == Chinese::Gb18030 => Some(4),
            _ => None,
        }
    }

    fn character(self, code: &[u8]) -> char {
        match (self, code) {
            (Chinese::Gbk, [lead, trail]) => match TABLE.characters[u16::from_be_bytes([*lead, *trail]) as usize] {
                NONE => '?',
                character => char::from_u32(u32::from(character)).unwrap_or('?'),
            },
            _ => GB18030
                .decode_without_bom_handling_and_without_replacement(code)
                .and_then(|text| text.chars().next())
                .unwrap_or('?'),
        }
    }

    /// Appends what a character counts in `chinese_ci`: characters that are no Han by their code, in upper case (gbk: of
    /// ASCII alone), then Han characters by pinyin. No two characters of different codes count the same.
    pub(super) fn weigh(self, character: char, key: &mut Vec<u8>) {
        if character.is_ascii() {
            return key.push(character.to_ascii_uppercase() as u8);
        }
        if !is_han(character) {
            let folded = if self == Chinese::Gb18030 { upper(character) } else { character };
            return self.push(folded, key);
        }
        key.push(HAN);
        unicode::sort_key(Strength::Primary, Language::Chinese, character.encode_utf8(&mut [0; 4]), key);
        // Below every byte of a sort key.
        key.push(0);
        self.push(character, key);
    }

    pub(super) fn sort_key(self, text: &str, key: &mut Vec<u8>) {
        key.reserve(text.len() * 2);
        text.chars().for_each(|character| self.weigh(character, key));
    }
}

/// Above the first byte of every code.
const HAN: u8 = 0xff;

fn is_han(character: char) -> bool {
    matches!(character, '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{20000}'..='\u{323af}')
}

fn upper(character: char) -> char {
    let mut mapped = character.to_uppercase();
    match (mapped.next(), mapped.next()) {
        (Some(single), None) => single,
        _ => character,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_characters_stand_for_each_other() {
        assert_eq!(Chinese::Gbk.encode("中文a啊ㅂ€"), b"\xd6\xd0\xce\xc4a\xb0\xa1??");
        assert_eq!(Chinese::Gbk.decode(b"\xd6\xd0a\xe2\x40").as_deref(), Ok("中a釦"));
        assert_eq!(Chinese::Gbk.decode(b"a\x91"), Err(1));
        assert_eq!(Chinese::Gbk.decode(b"@@\xff\xff"), Err(2));
        assert_eq!(Chinese::Gbk.decode(b"\x81\x30\x81\x30"), Err(0));
        assert_eq!(Chinese::Gb18030.encode("中€ㅂ😀"), b"\xd6\xd0\xa2\xe3\x81\x39\xab\x30\x94\x39\xfc\x36");
        for character in (0x80..0x1_0000).filter_map(char::from_u32) {
            for set in [Chinese::Gbk, Chinese::Gb18030] {
                if set.has_character(character) {
                    let bytes = set.encode(&character.to_string());
                    assert_eq!(set.decode(&bytes), Ok(character.to_string()), "{character:?} {bytes:x?}");
                }
            }
        }
    }

    #[test]
    fn han_characters_follow_each_other_by_pinyin() {
        // a, bai, zhong; and far from their code points.
        for pair in ["A啊", "啊白", "白中", "。啊", "阿中"].map(|pair| pair.chars().collect::<Vec<char>>()) {
            for set in [Chinese::Gbk, Chinese::Gb18030] {
                let (mut low, mut high) = (Vec::new(), Vec::new());
                set.weigh(pair[0], &mut low);
                set.weigh(pair[1], &mut high);
                assert!(low < high, "{pair:?}");
            }
        }
    }
}
