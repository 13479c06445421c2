//! Collations of the Unicode collation algorithm, by ICU4X's root collation.
//!
//! MySQL's 0900 collations use the weights of Unicode 9; the root collation of CLDR orders some punctuation and symbols
//! differently and knows newer characters. Texts of ASCII characters alone take a shorter way to the same result.

use super::simple::after_common_ascii;
use icu_collator::options::{CollatorOptions, Strength as IcuStrength};
use icu_collator::{Collator, CollatorBorrowed};
use std::cmp::Ordering;
use std::sync::LazyLock;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Strength {
    /// Letters alone: `ai_ci`.
    Primary,
    /// And accents: `as_ci`.
    Secondary,
    /// And case: `as_cs`.
    Tertiary,
}

fn collator(strength: IcuStrength) -> CollatorBorrowed<'static> {
    let mut options = CollatorOptions::default();
    options.strength = Some(strength);
    match Collator::try_new(Default::default(), options) {
        Ok(collator) => collator,
        Err(error) => panic!("the collation data compiled into this program cannot be read: {error}"),
    }
}

static PRIMARY: LazyLock<CollatorBorrowed<'static>> = LazyLock::new(|| collator(IcuStrength::Primary));
static SECONDARY: LazyLock<CollatorBorrowed<'static>> = LazyLock::new(|| collator(IcuStrength::Secondary));
static TERTIARY: LazyLock<CollatorBorrowed<'static>> = LazyLock::new(|| collator(IcuStrength::Tertiary));

fn icu(strength: Strength) -> &'static CollatorBorrowed<'static> {
    match strength {
        Strength::Primary => &PRIMARY,
        Strength::Secondary => &SECONDARY,
        Strength::Tertiary => &TERTIARY,
    }
}

pub(super) fn compare(strength: Strength, left: &str, right: &str) -> Ordering {
    if strength == Strength::Primary && left.is_ascii() && right.is_ascii() {
        let (left, right) = after_common_ascii(left, right);
        let weights = &ASCII.weights;
        let weigh = |text: &'static [u32; 128], byte: u8| text[byte as usize];
        let left = left.bytes().map(|byte| weigh(weights, byte)).filter(|weight| *weight != 0);
        let right = right.bytes().map(|byte| weigh(weights, byte)).filter(|weight| *weight != 0);
        return left.cmp(right);
    }
    icu(strength).compare(left, right)
}

pub(super) fn sort_key(strength: Strength, text: &str, key: &mut Vec<u8>) {
    if strength == Strength::Primary && text.is_ascii() {
        return ASCII.sort_key(text, key);
    }
    let Ok(()) = icu(strength).write_sort_key_to(text, key);
}

/// Primary weights of the ASCII characters, taken from the collator when first needed. No ASCII character contracts or
/// expands, so weights of texts are those of their characters one after the other.
struct AsciiWeights {
    /// Up to four bytes, from the top; 0 for characters that do not count.
    weights: [u32; 128],
    /// Lead bytes that a sort key leaves out where the character before had the same.
    compressed: [bool; 256],
}

static ASCII: LazyLock<AsciiWeights> = LazyLock::new(|| {
    let key_of = |text: &str| {
        let mut key = Vec::new();
        let Ok(()) = PRIMARY.write_sort_key_to(text, &mut key);
        key
    };
    let mut ascii = AsciiWeights { weights: [0; 128], compressed: [false; 256] };
    for byte in 0..128u8 {
        let character = (byte as char).to_string();
        let key = key_of(&character);
        assert!(key.len() <= 4, "an ASCII character has one weight");
        ascii.weights[byte as usize] =
            key.iter().chain([0; 4].iter()).take(4).fold(0, |weight, byte| weight << 8 | *byte as u32);
        if let Some(lead) = key.first() {
            ascii.compressed[*lead as usize] |= key_of(&character.repeat(2)).len() < 2 * key.len();
        }
    }
    ascii
});

/// Ends a run of characters with the same lead byte before a smaller one.
const RUN_END_LOW: u8 = 0x03;
/// Ends it before a greater one.
const RUN_END_HIGH: u8 = 0xff;

impl AsciiWeights {
    /// The bytes that the collator would write: a run of characters with the same (compressed) lead byte has it once.
    fn sort_key(&self, text: &str, key: &mut Vec<u8>) {
        key.reserve(text.len() * 2);
        let mut run_weight = 0u32;
        for byte in text.bytes() {
            let weight = self.weights[byte as usize];
            if weight == 0 {
                continue;
            }
            let [lead, rest @ ..] = weight.to_be_bytes();
            let compressed = self.compressed[lead as usize];
            if !compressed || lead != run_weight.to_be_bytes()[0] {
                if run_weight != 0 {
                    key.push(if weight < run_weight { RUN_END_LOW } else { RUN_END_HIGH });
                }
                key.push(lead);
                run_weight = if compressed { weight } else { 0 };
            }
            key.extend(rest.into_iter().take_while(|byte| *byte != 0));
        }
    }
}
