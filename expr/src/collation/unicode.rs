//! Collations of the Unicode collation algorithm, by ICU4X.
//!
//! MySQL's 0900 collations use the weights of Unicode 9; the root collation of CLDR orders some punctuation and symbols
//! differently and knows newer characters. Texts of ASCII characters alone take a shorter way to the same result.

use super::simple::after_common_ascii;
use icu_collator::options::{CollatorOptions, Strength as IcuStrength};
use icu_collator::{Collator, CollatorBorrowed};
use icu_locale_core::Locale;
use std::cmp::Ordering;
use std::sync::{LazyLock, OnceLock};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Strength {
    /// Letters alone: `ai_ci`.
    Primary,
    /// And accents: `as_ci`.
    Secondary,
    /// And case: `as_cs`.
    Tertiary,
}

/// Whose order of letters: that of the root collation, or a language's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    Root,
    Bosnian,
    Bulgarian,
    Chinese,
    Croatian,
    Czech,
    Danish,
    Esperanto,
    Estonian,
    Galician,
    GermanPhonebook,
    Hungarian,
    Icelandic,
    Japanese,
    Latvian,
    Lithuanian,
    Mongolian,
    NorwegianBokmal,
    NorwegianNynorsk,
    Persian,
    Polish,
    Romanian,
    Russian,
    SerbianLatin,
    Sinhala,
    Slovak,
    Slovenian,
    Spanish,
    SpanishTraditional,
    Swedish,
    Turkish,
    Vietnamese,
}

impl Language {
    const COUNT: usize = Language::Vietnamese as usize + 1;

    /// As CLDR names it.
    fn locale(self) -> &'static str {
        match self {
            Language::Root => "und",
            Language::Bosnian => "bs",
            Language::Bulgarian => "bg",
            Language::Chinese => "zh",
            Language::Croatian => "hr",
            Language::Czech => "cs",
            Language::Danish => "da",
            Language::Esperanto => "eo",
            Language::Estonian => "et",
            Language::Galician => "gl",
            Language::GermanPhonebook => "de-u-co-phonebk",
            Language::Hungarian => "hu",
            Language::Icelandic => "is",
            Language::Japanese => "ja",
            Language::Latvian => "lv",
            Language::Lithuanian => "lt",
            Language::Mongolian => "mn",
            Language::NorwegianBokmal => "nb",
            Language::NorwegianNynorsk => "nn",
            Language::Persian => "fa",
            Language::Polish => "pl",
            Language::Romanian => "ro",
            Language::Russian => "ru",
            Language::SerbianLatin => "sr-Latn",
            Language::Sinhala => "si",
            Language::Slovak => "sk",
            Language::Slovenian => "sl",
            Language::Spanish => "es",
            Language::SpanishTraditional => "es-u-co-trad",
            Language::Swedish => "sv",
            Language::Turkish => "tr",
            Language::Vietnamese => "vi",
        }
    }
}

type Icu = CollatorBorrowed<'static>;

/// Made when first used: by strength, then language.
static COLLATORS: [[OnceLock<Icu>; Language::COUNT]; 3] = [const { [const { OnceLock::new() }; Language::COUNT] }; 3];

fn collator(strength: Strength, language: Language) -> Icu {
    let mut options = CollatorOptions::default();
    options.strength = Some(match strength {
        Strength::Primary => IcuStrength::Primary,
        Strength::Secondary => IcuStrength::Secondary,
        Strength::Tertiary => IcuStrength::Tertiary,
    });
    let made = Locale::try_from_str(language.locale())
        .map_err(|error| error.to_string())
        .and_then(|locale| Collator::try_new((&locale).into(), options).map_err(|error| error.to_string()));
    match made {
        Ok(collator) => collator,
        Err(error) => panic!("the collation data compiled into this program cannot be read: {error}"),
    }
}

fn icu(strength: Strength, language: Language) -> &'static Icu {
    COLLATORS[strength as usize][language as usize].get_or_init(|| collator(strength, language))
}

/// The order of ASCII texts without accents is known without the collator. Other languages contract letters (`ch`).
fn is_plain(strength: Strength, language: Language) -> bool {
    strength == Strength::Primary && language == Language::Root
}

/// What the first characters that differ say, if both are letters of their own: ASCII, not ignored, of different weights,
/// and followed by nothing that could belong to them. `None` where more has to be looked at.
fn by_first_difference(left: &str, right: &str) -> Option<Ordering> {
    let (left, right) = (left.as_bytes(), right.as_bytes());
    let at = left.iter().zip(right).position(|(left, right)| left != right || !left.is_ascii())?;
    let weight = |text: &[u8]| {
        let alone = text.get(at + 1).is_none_or(u8::is_ascii);
        ASCII.weights.get(usize::from(text[at])).copied().filter(|weight| alone && *weight != 0)
    };
    let order = weight(left)?.cmp(&weight(right)?);
    order.is_ne().then_some(order)
}

pub(super) fn compare(strength: Strength, language: Language, left: &str, right: &str) -> Ordering {
    if !is_plain(strength, language) {
        return icu(strength, language).compare(left, right);
    }
    if let Some(order) = by_first_difference(left, right) {
        return order;
    }
    if left.is_ascii() && right.is_ascii() {
        let (left, right) = after_common_ascii(left, right);
        let weights = &ASCII.weights;
        let weigh = |text: &'static [u32; 128], byte: u8| text[byte as usize];
        let left = left.bytes().map(|byte| weigh(weights, byte)).filter(|weight| *weight != 0);
        let right = right.bytes().map(|byte| weigh(weights, byte)).filter(|weight| *weight != 0);
        return left.cmp(right);
    }
    icu(strength, language).compare(left, right)
}

pub(super) fn sort_key(strength: Strength, language: Language, text: &str, key: &mut Vec<u8>) {
    if is_plain(strength, language) && text.is_ascii() {
        return ASCII.sort_key(text, key);
    }
    let Ok(()) = icu(strength, language).write_sort_key_to(text, key);
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
        let Ok(()) = icu(Strength::Primary, Language::Root).write_sort_key_to(text, &mut key);
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

/// Characters whose weights are gathered before they are appended.
const GATHERED: usize = 64;

impl AsciiWeights {
    /// The bytes that the collator would write: a run of characters with the same (compressed) lead byte has it once.
    fn sort_key(&self, text: &str, key: &mut Vec<u8>) {
        key.reserve(text.len() * 2);
        let mut run_weight = 0u32;
        for characters in text.as_bytes().chunks(GATHERED) {
            // For each a mark, a lead byte and three more; the last may write one more than it has.
            let mut gathered = [0; 5 * GATHERED + 1];
            let mut length = 0;
            for byte in characters {
                let weight = self.weights[usize::from(byte & 0x7f)];
                if weight == 0 {
                    continue;
                }
                let [lead, rest @ ..] = weight.to_be_bytes();
                let compressed = self.compressed[lead as usize];
                if !compressed || lead != (run_weight >> 24) as u8 {
                    if run_weight != 0 {
                        gathered[length] = if weight < run_weight { RUN_END_LOW } else { RUN_END_HIGH };
                        length += 1;
                    }
                    gathered[length] = lead;
                    length += 1;
                    run_weight = if compressed { weight } else { 0 };
                }
                gathered[length..length + 3].copy_from_slice(&rest);
                length += 3 - (weight.trailing_zeros() / 8).min(3) as usize;
            }
            key.extend_from_slice(&gathered[..length]);
        }
    }
}
