//! Character sets and collations: equality, order and sort keys of text. Manual: chapter 12.
//!
//! Invariant: [`compare`], [`sort_key`], [`equal`] and [`hash`] agree for every collation. Stored keys are made of sort
//! keys, so their bytes are a format: they may not change with a version of a library without a migration.

use crate::error::{ErrorCode, SqlError};
use crate::mysql_type::MysqlType;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

pub mod charset;
mod chinese;
mod simple;
mod table;
mod unicode;
mod wide;

pub use charset::Charset;
pub use table::{COLLATIONS, CollationInfo, Pad};

/// MySQL's number of a collation (information_schema.COLLATIONS.ID), as clients send it in the handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CollationId(pub u16);

impl CollationId {
    pub const LATIN1_SWEDISH_CI: CollationId = CollationId(8);
    pub const ASCII_GENERAL_CI: CollationId = CollationId(11);
    pub const UTF8MB3_GENERAL_CI: CollationId = CollationId(33);
    pub const UTF8MB4_GENERAL_CI: CollationId = CollationId(45);
    pub const UTF8MB4_BIN: CollationId = CollationId(46);
    pub const BINARY: CollationId = CollationId(63);
    pub const UTF8MB4_UNICODE_CI: CollationId = CollationId(224);
    pub const UTF8MB4_0900_AI_CI: CollationId = CollationId(255);

    /// What MySQL says of it. Numbers that we do not have count as `utf8mb4_0900_ai_ci`, the server's default.
    pub fn info(self) -> &'static CollationInfo {
        table::by_id(self).unwrap_or(&COLLATIONS[table::DEFAULT])
    }

    /// `None` for a number that we do not have.
    pub fn known(self) -> Option<&'static CollationInfo> {
        table::by_id(self)
    }

    pub fn name(self) -> &'static str {
        self.info().name
    }

    pub fn charset(self) -> Charset {
        self.info().charset
    }

    /// By name, in any case; names of `utf8_...` are those of `utf8mb3_...`.
    pub fn by_name(name: &str) -> Option<&'static CollationInfo> {
        table::by_name(name)
    }

    /// The order is that of code points, which is that of UTF-8's bytes; spaces at the end may not count.
    pub fn orders_by_code_point(self) -> bool {
        self.info().rule == table::Rule::CodePoint
    }

    /// Equal texts are the same characters; the order is that of code points or bytes.
    pub fn is_binary(self) -> bool {
        matches!(self.info().rule, table::Rule::CodePoint | table::Rule::Code)
    }
}

/// By name; 1273 for one that there is not.
pub fn collation_by_name(name: &str) -> Result<CollationId, SqlError> {
    CollationId::by_name(name)
        .map(|info| info.id)
        .ok_or_else(|| SqlError::new(ErrorCode::UNKNOWN_COLLATION, format!("Unknown collation: '{name}'")))
}

/// Without the spaces at the end, where the collation does not count them.
fn padded(info: &CollationInfo, text: &str) -> usize {
    match info.pad {
        Pad::Space => text.trim_end_matches(' ').len(),
        Pad::None => text.len(),
    }
}

/// Order of two texts.
pub fn compare(collation: CollationId, left: &str, right: &str) -> Ordering {
    let info = collation.info();
    let left = &left[..padded(info, left)];
    let right = &right[..padded(info, right)];
    match info.rule {
        table::Rule::CodePoint => left.cmp(right),
        table::Rule::Code => info.charset.encode(left).cmp(&info.charset.encode(right)),
        table::Rule::Pinyin(set) => {
            let (left, right) = simple::after_common_ascii(left, right);
            let (mut left_key, mut right_key) = (Vec::new(), Vec::new());
            set.sort_key(left, &mut left_key);
            set.sort_key(right, &mut right_key);
            left_key.cmp(&right_key)
        }
        table::Rule::Simple(weights) => simple::compare(weights, left, right),
        table::Rule::Unicode(strength, language) => unicode::compare(strength, language, left, right),
    }
}

pub fn equal(collation: CollationId, left: &str, right: &str) -> bool {
    left == right || compare(collation, left, right).is_eq()
}

/// Appends bytes whose order is the order of the texts.
pub fn sort_key(collation: CollationId, text: &str, key: &mut Vec<u8>) {
    let info = collation.info();
    let text = &text[..padded(info, text)];
    match info.rule {
        table::Rule::CodePoint => key.extend_from_slice(text.as_bytes()),
        table::Rule::Code => key.extend_from_slice(&info.charset.encode(text)),
        table::Rule::Pinyin(set) => set.sort_key(text, key),
        table::Rule::Simple(weights) => simple::sort_key(weights, text, key),
        table::Rule::Unicode(strength, language) => unicode::sort_key(strength, language, text, key),
    }
}

/// What WEIGHT_STRING shows. `spaces`: those at the end count.
pub fn weights(collation: CollationId, text: &str, spaces: bool) -> Vec<u8> {
    let info = collation.info();
    let shown = if spaces { text } else { &text[..padded(info, text)] };
    match (info.rule, info.charset) {
        // Two bytes for each character.
        (table::Rule::Simple(weights @ simple::Weights::GeneralCi), Charset::Utf8mb3 | Charset::Utf8mb4) => {
            let weigh = |character| (u32::from(simple::weight(weights, character).0) as u16).to_be_bytes();
            shown.chars().flat_map(weigh).collect()
        }
        _ => {
            let mut key = Vec::new();
            sort_key(collation, text, &mut key);
            key
        }
    }
}

/// Equal texts hash alike.
pub fn hash<H: Hasher>(collation: CollationId, text: &str, state: &mut H) {
    let info = collation.info();
    let text = &text[..padded(info, text)];
    if matches!(info.rule, table::Rule::CodePoint) {
        return text.hash(state);
    }
    let mut key = Vec::with_capacity(text.len() + 8);
    sort_key(collation, text, &mut key);
    key.hash(state);
}

/// Whether two characters are the same to LIKE, which compares one by one.
pub fn characters_equal(collation: CollationId, left: char, right: char) -> bool {
    if left == right {
        return true;
    }
    match collation.info().rule {
        table::Rule::CodePoint | table::Rule::Code => false,
        table::Rule::Pinyin(set) => {
            let (mut left_key, mut right_key) = (Vec::new(), Vec::new());
            set.weigh(left, &mut left_key);
            set.weigh(right, &mut right_key);
            left_key == right_key
        }
        table::Rule::Simple(weights) => simple::weight(weights, left) == simple::weight(weights, right),
        table::Rule::Unicode(strength, language) => {
            let (mut left_buffer, mut right_buffer) = ([0; 4], [0; 4]);
            let left = left.encode_utf8(&mut left_buffer);
            let right = right.encode_utf8(&mut right_buffer);
            unicode::compare(strength, language, left, right).is_eq()
        }
    }
}

/// The collation in which texts of two types compare, when nothing but the types is known.
///
/// MySQL also looks at where a text comes from (a column wins over a literal); the binder knows that and gives literals
/// the column's collation. Left to the types: binary strings win, then the larger character set, then `_bin`, then
/// whichever is not the server's default, because that one was chosen by somebody.
pub fn comparison_collation(left: &MysqlType, right: &MysqlType) -> Result<CollationId, SqlError> {
    let text = |ty: &MysqlType| ty.is_string();
    match (text(left), text(right)) {
        (true, false) => return Ok(left.collation),
        (false, true) => return Ok(right.collation),
        // Numbers and dates as text.
        (false, false) => return Ok(CollationId::UTF8MB4_0900_AI_CI),
        (true, true) => {}
    }
    let (a, b) = (left.collation, right.collation);
    if a == b || a == CollationId::BINARY {
        return Ok(a);
    }
    if b == CollationId::BINARY {
        return Ok(b);
    }
    let rank = |collation: CollationId| {
        (collation.charset().repertoire(), collation.is_binary(), collation != CollationId::UTF8MB4_0900_AI_CI)
    };
    match rank(a).cmp(&rank(b)) {
        Ordering::Greater => Ok(a),
        Ordering::Less => Ok(b),
        Ordering::Equal => Err(SqlError::new(
            ErrorCode::CANT_AGGREGATE_2COLLATIONS,
            format!("Illegal mix of collations ({},IMPLICIT) and ({},IMPLICIT) for operation '='", a.name(), b.name()),
        )),
    }
}

/// The collation of a text made of several, such as CONCAT's: by [`comparison_collation`] over the strings among them.
pub fn aggregate(types: &[MysqlType]) -> Result<CollationId, SqlError> {
    let mut strings = types.iter().filter(|ty| ty.is_string());
    let Some(first) = strings.next() else { return Ok(CollationId::UTF8MB4_0900_AI_CI) };
    let mut collation = first.collation;
    for next in strings {
        let so_far = MysqlType { collation, ..first.clone() };
        collation = comparison_collation(&so_far, next)?;
    }
    Ok(collation)
}

#[cfg(test)]
mod tests;
