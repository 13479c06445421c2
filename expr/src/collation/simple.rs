//! Collations with one weight per character: `general_ci` and those of latin1.
//!
//! A weight is a character, so that a sort key is the UTF-8 of the folded text: code point order is byte order.

use super::charset::latin1_byte;
use icu_normalizer::properties::{CanonicalDecompositionBorrowed, Decomposed};
use std::cmp::Ordering;
use std::sync::LazyLock;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weights {
    /// Upper case without accents.
    GeneralCi,
    /// As `GeneralCi`, and by the character itself where that is equal.
    GeneralCs,
    /// latin1_swedish_ci.
    Swedish,
}

/// latin1_swedish_ci from 0xC0: Å, Ä and Ö come after Z (in the places of `[`, `\` and `]`), Ü and Ý sort as Y.
const SWEDISH_HIGH: [u8; 64] = [
    0x41, 0x41, 0x41, 0x41, 0x5c, 0x5b, 0x5c, 0x43, 0x45, 0x45, 0x45, 0x45, 0x49, 0x49, 0x49, 0x49, 0x44, 0x4e, 0x4f,
    0x4f, 0x4f, 0x4f, 0x5d, 0xd7, 0xd8, 0x55, 0x55, 0x55, 0x59, 0x59, 0xde, 0xdf, 0x41, 0x41, 0x41, 0x41, 0x5c, 0x5b,
    0x5c, 0x43, 0x45, 0x45, 0x45, 0x45, 0x49, 0x49, 0x49, 0x49, 0x44, 0x4e, 0x4f, 0x4f, 0x4f, 0x4f, 0x5d, 0xf7, 0xd8,
    0x55, 0x55, 0x55, 0x59, 0x59, 0xde, 0xff,
];

/// Folded characters up to here are in a table; the rest is computed.
const TABLE_END: usize = 0x3000;

static GENERAL: LazyLock<Box<[char]>> = LazyLock::new(|| {
    (0..TABLE_END as u32).map(|code| char::from_u32(code).map_or('\u{fffd}', general_weight)).collect()
});

fn general_weight(character: char) -> char {
    if character.is_ascii() {
        return character.to_ascii_uppercase();
    }
    match character {
        // All characters beyond U+FFFF have one weight.
        '\u{10000}'.. => return '\u{fffd}',
        'ß' => return 'S',
        // A letter of its own in the Cyrillic alphabet, although it decomposes.
        'Й' | 'й' => return 'Й',
        _ => {}
    }
    let decomposition = CanonicalDecompositionBorrowed::new();
    let mut base = character;
    loop {
        match decomposition.decompose(base) {
            Decomposed::Expansion(first, _) | Decomposed::Singleton(first) if !is_hangul(base) => base = first,
            _ => break,
        }
    }
    let mut upper = base.to_uppercase();
    match (upper.next(), upper.next()) {
        (Some(upper), None) => upper,
        _ => base,
    }
}

fn is_hangul(character: char) -> bool {
    ('\u{ac00}'..='\u{d7a3}').contains(&character)
}

/// The character that stands for it in comparisons.
pub(super) fn weight(weights: Weights, character: char) -> (char, char) {
    match weights {
        Weights::GeneralCi => (general(character), '\0'),
        Weights::GeneralCs => (general(character), character),
        Weights::Swedish => (swedish(character), '\0'),
    }
}

fn general(character: char) -> char {
    if character.is_ascii() {
        return character.to_ascii_uppercase();
    }
    GENERAL.get(character as usize).copied().unwrap_or_else(|| general_weight(character))
}

fn swedish(character: char) -> char {
    match latin1_byte(character) {
        Some(byte @ 0xc0..) => SWEDISH_HIGH[byte as usize - 0xc0] as char,
        Some(byte) if byte.is_ascii() => byte.to_ascii_uppercase() as char,
        _ => character,
    }
}

pub(super) fn compare(weights: Weights, left: &str, right: &str) -> Ordering {
    let (left, right) = after_common_ascii(left, right);
    let left = left.chars().map(|character| weight(weights, character));
    let right = right.chars().map(|character| weight(weights, character));
    left.cmp(right)
}

/// What is left once equal ASCII characters at the beginning are skipped; both are cut at a character.
pub(super) fn after_common_ascii<'a>(left: &'a str, right: &'a str) -> (&'a str, &'a str) {
    let same = left.bytes().zip(right.bytes()).take_while(|(a, b)| a == b && a.is_ascii()).count();
    (&left[same..], &right[same..])
}

pub(super) fn sort_key(weights: Weights, text: &str, key: &mut Vec<u8>) {
    key.reserve(text.len());
    let mut push = |character: char| key.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    for character in text.chars() {
        let (first, second) = weight(weights, character);
        push(first);
        if weights == Weights::GeneralCs {
            push(second);
        }
    }
}
