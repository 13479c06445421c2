//! The collations there are, with MySQL's numbers and names.

use super::CollationId;
use super::charset::Charset;
use super::simple::Weights;
use super::unicode::Strength;

/// Whether spaces at the end of a text count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pad {
    /// PAD SPACE: they do not.
    Space,
    /// NO PAD: they are characters like any other.
    None,
}

/// How texts compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    CodePoint,
    /// One weight per character.
    Simple(Weights),
    /// The Unicode collation algorithm.
    Unicode(Strength),
}

/// A row of information_schema.COLLATIONS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CollationInfo {
    pub id: CollationId,
    pub name: &'static str,
    pub charset: Charset,
    /// It is what the character set alone stands for.
    pub is_default: bool,
    pub pad: Pad,
    pub sort_length: u8,
    pub(super) rule: Rule,
}

const fn row(
    id: u16,
    name: &'static str,
    charset: Charset,
    is_default: bool,
    pad: Pad,
    sort_length: u8,
    rule: Rule,
) -> CollationInfo {
    CollationInfo { id: CollationId(id), name, charset, is_default, pad, sort_length, rule }
}

const GENERAL: Rule = Rule::Simple(Weights::GeneralCi);
const GENERAL_CS: Rule = Rule::Simple(Weights::GeneralCs);
const PRIMARY: Rule = Rule::Unicode(Strength::Primary);

/// In MySQL's order: by character set, then by number.
pub static COLLATIONS: &[CollationInfo] = &[
    row(11, "ascii_general_ci", Charset::Ascii, true, Pad::Space, 1, GENERAL),
    row(65, "ascii_bin", Charset::Ascii, false, Pad::Space, 1, Rule::CodePoint),
    row(63, "binary", Charset::Binary, true, Pad::None, 1, Rule::CodePoint),
    row(8, "latin1_swedish_ci", Charset::Latin1, true, Pad::Space, 1, Rule::Simple(Weights::Swedish)),
    row(47, "latin1_bin", Charset::Latin1, false, Pad::Space, 1, Rule::CodePoint),
    row(48, "latin1_general_ci", Charset::Latin1, false, Pad::Space, 1, GENERAL),
    row(49, "latin1_general_cs", Charset::Latin1, false, Pad::Space, 1, GENERAL_CS),
    row(33, "utf8mb3_general_ci", Charset::Utf8mb3, true, Pad::Space, 1, GENERAL),
    row(83, "utf8mb3_bin", Charset::Utf8mb3, false, Pad::Space, 1, Rule::CodePoint),
    row(192, "utf8mb3_unicode_ci", Charset::Utf8mb3, false, Pad::Space, 8, PRIMARY),
    row(214, "utf8mb3_unicode_520_ci", Charset::Utf8mb3, false, Pad::Space, 8, PRIMARY),
    row(45, "utf8mb4_general_ci", Charset::Utf8mb4, false, Pad::Space, 1, GENERAL),
    row(46, "utf8mb4_bin", Charset::Utf8mb4, false, Pad::Space, 1, Rule::CodePoint),
    row(224, "utf8mb4_unicode_ci", Charset::Utf8mb4, false, Pad::Space, 8, PRIMARY),
    row(246, "utf8mb4_unicode_520_ci", Charset::Utf8mb4, false, Pad::Space, 8, PRIMARY),
    row(255, "utf8mb4_0900_ai_ci", Charset::Utf8mb4, true, Pad::None, 0, PRIMARY),
    row(278, "utf8mb4_0900_as_cs", Charset::Utf8mb4, false, Pad::None, 0, Rule::Unicode(Strength::Tertiary)),
    row(305, "utf8mb4_0900_as_ci", Charset::Utf8mb4, false, Pad::None, 0, Rule::Unicode(Strength::Secondary)),
    row(309, "utf8mb4_0900_bin", Charset::Utf8mb4, false, Pad::None, 1, Rule::CodePoint),
];

/// Place of `utf8mb4_0900_ai_ci`.
pub(super) const DEFAULT: usize = 15;

const NONE: u8 = u8::MAX;

/// Place in [`COLLATIONS`] by number, so that a comparison need not search.
const PLACES: [u8; 512] = {
    let mut places = [NONE; 512];
    let mut place = 0;
    while place < COLLATIONS.len() {
        places[COLLATIONS[place].id.0 as usize] = place as u8;
        place += 1;
    }
    places
};

pub(super) fn by_id(id: CollationId) -> Option<&'static CollationInfo> {
    let place = *PLACES.get(id.0 as usize)?;
    COLLATIONS.get(place as usize)
}

pub(super) fn by_name(name: &str) -> Option<&'static CollationInfo> {
    let mut name = name.to_ascii_lowercase();
    if let Some(rest) = name.strip_prefix("utf8_") {
        name = format!("utf8mb3_{rest}");
    }
    COLLATIONS.iter().find(|info| info.name == name)
}
