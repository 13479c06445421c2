//! Unicode in units of two or four bytes: ucs2, utf16, utf16le and utf32.
//!
//! A text of which no byte is its own in ASCII: clients do not write statements in them.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wide {
    /// Two bytes a character, none beyond U+FFFF.
    Ucs2,
    Utf16,
    Utf16le,
    Utf32,
}

impl Wide {
    pub fn unit_bytes(self) -> usize {
        match self {
            Wide::Ucs2 | Wide::Utf16 | Wide::Utf16le => 2,
            Wide::Utf32 => 4,
        }
    }

    pub fn has_character(self, character: char) -> bool {
        self != Wide::Ucs2 || (character as u32) <= 0xffff
    }

    /// `?` for what it has not.
    pub fn encode(self, text: &str) -> Vec<u8> {
        let characters = text.chars().map(|character| if self.has_character(character) { character } else { '?' });
        let mut bytes = Vec::with_capacity(text.len() * self.unit_bytes());
        for character in characters {
            let mut units = [0; 2];
            match self {
                Wide::Utf32 => bytes.extend_from_slice(&(character as u32).to_be_bytes()),
                Wide::Utf16le => {
                    bytes.extend(character.encode_utf16(&mut units).iter().flat_map(|unit| unit.to_le_bytes()));
                }
                Wide::Ucs2 | Wide::Utf16 => {
                    bytes.extend(character.encode_utf16(&mut units).iter().flat_map(|unit| unit.to_be_bytes()));
                }
            }
        }
        bytes
    }

    /// The text of the bytes; where the first that is none begins otherwise. Bytes that are missing at the front of the first
    /// unit are zeros, as MySQL has it: `_utf16 x'41'` is an A.
    pub fn decode(self, bytes: &[u8]) -> Result<String, usize> {
        let unit_bytes = self.unit_bytes();
        let missing = bytes.len().next_multiple_of(unit_bytes) - bytes.len();
        let whole = [&[0; 3][..missing], bytes].concat();
        let position = |unit: usize| (unit * unit_bytes).saturating_sub(missing);
        let mut text = String::with_capacity(bytes.len());
        if self == Wide::Utf32 {
            for (unit, bytes) in whole.as_chunks::<4>().0.iter().enumerate() {
                text.push(char::from_u32(u32::from_be_bytes(*bytes)).ok_or(position(unit))?);
            }
            return Ok(text);
        }
        let read = if self == Wide::Utf16le { u16::from_le_bytes } else { u16::from_be_bytes };
        let mut unit = 0;
        for decoded in char::decode_utf16(whole.as_chunks::<2>().0.iter().map(|bytes| read(*bytes))) {
            let character = decoded.ok().filter(|character| self.has_character(*character)).ok_or(position(unit))?;
            unit += character.len_utf16();
            text.push(character);
        }
        Ok(text)
    }
}
