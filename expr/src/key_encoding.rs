//! Keys: bytes whose order is the order of an index, collation and direction included.
//!
//! Layout (`docs/formats.md`, "Key"): table id and index id (four bytes each, big endian), then for each part a marker
//! (0 NULL, 1 a value) and the value: numbers and dates in a fixed width, big endian, made so that unsigned byte order is
//! their order; strings as their sort key (text) or themselves (binary) with 0x00 written as 0x00 0xFF, closed by
//! 0x00 0x00. All bytes of a descending part are inverted. No part's encoding is the beginning of another's, so parts
//! compare one after the other.

use crate::SqlError;
use crate::collation;
use crate::eval::TimeZone;
use crate::mysql_type::{MysqlType, TypeKind};
use crate::row_encoding::to_physical;
use crate::value::Value;
use bytes::Bytes;
use common::id::{IndexId, TableId};
use common::key::{Key, KeyRange, index_prefix, prefix_end};
use common::physical::PhysicalValue;

const NULL: u8 = 0;
const VALUE: u8 = 1;

/// How an index holds a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KeyPart {
    pub descending: bool,
    /// Characters (bytes of binary types) of a prefix index.
    pub prefix: Option<u32>,
}

/// A key in the making: parts are added from the left.
#[derive(Debug, Clone)]
pub struct KeyBuilder {
    bytes: Vec<u8>,
}

impl KeyBuilder {
    pub fn new(table: TableId, index: IndexId) -> KeyBuilder {
        let mut bytes = Vec::with_capacity(32);
        bytes.extend_from_slice(&index_prefix(table, index));
        KeyBuilder { bytes }
    }

    /// Adds a part. The value has the column's type (as [`to_physical`] asks). `zone` is the session's, for TIMESTAMP.
    /// JSON cannot be a key.
    pub fn push(&mut self, value: &Value, ty: &MysqlType, part: KeyPart, zone: TimeZone) -> Result<(), SqlError> {
        let start = self.bytes.len();
        match value {
            Value::Null => self.bytes.push(NULL),
            Value::Text(text) if ty.is_text() => {
                self.bytes.push(VALUE);
                let text = part.prefix.map_or(text.as_str(), |length| first_characters(text, length));
                let mut sort_key = Vec::with_capacity(text.len() * 2);
                collation::sort_key(ty.collation, text, &mut sort_key);
                self.push_escaped(&sort_key);
            }
            _ => {
                if matches!(ty.kind, TypeKind::Json) {
                    return Err(SqlError::internal("a JSON column cannot be part of a key"));
                }
                self.bytes.push(VALUE);
                match to_physical(value, ty, zone)? {
                    PhysicalValue::Null => {}
                    PhysicalValue::Int64(number) => {
                        self.bytes.extend_from_slice(&((number as u64) ^ 1 << 63).to_be_bytes());
                    }
                    PhysicalValue::UInt64(number) => self.bytes.extend_from_slice(&number.to_be_bytes()),
                    PhysicalValue::Float64(number) => self.bytes.extend_from_slice(&ordered_bits(number).to_be_bytes()),
                    PhysicalValue::Int128(number) => {
                        self.bytes.extend_from_slice(&((number as u128) ^ 1 << 127).to_be_bytes());
                    }
                    PhysicalValue::Int256(mut number) => {
                        number.reverse();
                        number[0] ^= 0x80;
                        self.bytes.extend_from_slice(&number);
                    }
                    PhysicalValue::Bytes(bytes) => {
                        let length = part.prefix.map_or(bytes.len(), |length| bytes.len().min(length as usize));
                        self.push_escaped(&bytes[..length]);
                    }
                }
            }
        }
        if part.descending {
            self.bytes[start..].iter_mut().for_each(|byte| *byte = !*byte);
        }
        Ok(())
    }

    /// A hidden row id, or another number that is no column.
    pub fn push_u64(&mut self, number: u64) {
        self.bytes.push(VALUE);
        self.bytes.extend_from_slice(&number.to_be_bytes());
    }

    /// Bytes of another key's parts, as they are: the clustered key at the end of an index entry.
    pub fn push_encoded(&mut self, parts: &[u8]) {
        self.bytes.extend_from_slice(parts);
    }

    fn push_escaped(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.bytes.push(*byte);
            if *byte == 0 {
                self.bytes.push(0xff);
            }
        }
        self.bytes.extend_from_slice(&[0, 0]);
    }

    /// What is there so far: the beginning of every key with these parts.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub fn finish(self) -> Key {
        Bytes::from(self.bytes)
    }
}

/// One end of a range over the part after a key's prefix.
#[derive(Debug, Clone, Copy)]
pub struct KeyBound<'a> {
    pub value: &'a Value,
    pub inclusive: bool,
}

/// Keys that begin with `prefix` and whose next part lies between the bounds, in the order of the values whatever the
/// direction of the part. A part that is NULL lies in no range that has a bound.
pub fn range(
    prefix: &KeyBuilder,
    low: Option<KeyBound<'_>>,
    high: Option<KeyBound<'_>>,
    ty: &MysqlType,
    part: KeyPart,
    zone: TimeZone,
) -> Result<KeyRange, SqlError> {
    if low.is_none() && high.is_none() {
        return Ok(KeyRange::prefix(prefix.bytes()));
    }
    let encode = |value: &Value| -> Result<Vec<u8>, SqlError> {
        let mut key = prefix.clone();
        key.push(value, ty, part, zone)?;
        Ok(key.bytes)
    };
    // A prefix index holds less than the value: keys with an equal prefix are on neither side for sure.
    let cut = part.prefix.is_some();
    let before = |bound: KeyBound<'_>, inclusive: bool| -> Result<Key, SqlError> {
        let key = encode(bound.value)?;
        Ok(if inclusive || cut { Bytes::from(key) } else { prefix_end(&key) })
    };
    let after = |bound: KeyBound<'_>, inclusive: bool| -> Result<Key, SqlError> {
        let key = encode(bound.value)?;
        Ok(if inclusive || cut { prefix_end(&key) } else { Bytes::from(key) })
    };
    // Where NULLs are: before all values, or after them in a descending part.
    let edge = |last: bool| -> Key {
        let mut key = prefix.bytes.clone();
        key.push(if part.descending { !VALUE } else { VALUE });
        if last { prefix_end(&key) } else { Bytes::from(key) }
    };
    let (first, second) = if part.descending { (high, low) } else { (low, high) };
    let start = first.map_or_else(|| Ok(edge(false)), |bound| before(bound, bound.inclusive))?;
    let end = second.map_or_else(|| Ok(edge(true)), |bound| after(bound, bound.inclusive))?;
    Ok(KeyRange { start, end })
}

/// The first `count` characters.
fn first_characters(text: &str, count: u32) -> &str {
    text.char_indices().nth(count as usize).map_or(text, |(end, _)| &text[..end])
}

/// Bits of a double whose unsigned order is the doubles' order; both zeros are one.
fn ordered_bits(number: f64) -> u64 {
    let bits = if number == 0.0 { 0 } else { number.to_bits() };
    if bits >> 63 == 0 { bits | 1 << 63 } else { !bits }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collation::CollationId;
    use crate::value::decimal::Decimal;
    use proptest::prelude::*;
    use std::cmp::Ordering;

    const UTC: TimeZone = TimeZone::Offset(0);

    fn key(values: &[&Value], ty: &MysqlType, part: KeyPart) -> Key {
        let mut builder = KeyBuilder::new(TableId(5), IndexId(1));
        for value in values {
            builder.push(value, ty, part, UTC).unwrap();
        }
        builder.finish()
    }

    fn check(left: &Value, right: &Value, ty: &MysqlType, expected: Ordering) -> Result<(), TestCaseError> {
        for descending in [false, true] {
            let part = KeyPart { descending, prefix: None };
            let expected = if descending { expected.reverse() } else { expected };
            prop_assert_eq!(key(&[left], ty, part).cmp(&key(&[right], ty, part)), expected);
            // Whatever follows, an unequal first part decides.
            if expected.is_ne() {
                let order = key(&[left, right], ty, part).cmp(&key(&[right, left], ty, part));
                prop_assert_eq!(order, expected);
            }
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn byte_order_is_number_order(left: i64, right: i64, a: u64, b: u64, x in -1e300f64..1e300, y in -1e3f64..1e3) {
            check(&Value::Int(left), &Value::Int(right), &MysqlType::bigint(), left.cmp(&right))?;
            check(&Value::UInt(a), &Value::UInt(b), &MysqlType::bigint_unsigned(), a.cmp(&b))?;
            check(&Value::Double(x), &Value::Double(y), &MysqlType::double(), x.total_cmp(&y))?;
            for precision in [18, 38, 60] {
                let ty = MysqlType::new(TypeKind::Decimal { precision, scale: 2, unsigned: false });
                let decimal = |number: i64| Decimal::new((number / 100_000).into(), 2);
                check(&Value::Decimal(decimal(left)), &Value::Decimal(decimal(right)), &ty, (left / 100_000).cmp(&(right / 100_000)))?;
            }
        }

        #[test]
        fn byte_order_is_text_order(left in "[a-cA-C\u{0}\u{e4}\u{e9} ]{0,6}", right in "[a-cA-C\u{0}\u{e4}\u{e9} ]{0,6}") {
            for collation in [CollationId::UTF8MB4_BIN, CollationId::UTF8MB4_0900_AI_CI, CollationId::UTF8MB4_GENERAL_CI] {
                let expected = collation::compare(collation, &left, &right);
                check(&Value::text(&left), &Value::text(&right), &MysqlType::varchar(9, collation), expected)?;
            }
            let binary = MysqlType::new(TypeKind::VarBinary { length: 40 });
            let bytes = |text: &str| Value::Bytes(text.as_bytes().into());
            check(&bytes(&left), &bytes(&right), &binary, left.as_bytes().cmp(right.as_bytes()))?;
        }

        #[test]
        fn ranges_hold_exactly_the_values_between_their_bounds(
            value in -5i64..5, low in prop::option::of((-5i64..5, any::<bool>())),
            high in prop::option::of((-5i64..5, any::<bool>())), descending: bool,
        ) {
            let ty = MysqlType::bigint();
            let part = KeyPart { descending, prefix: None };
            let prefix = KeyBuilder::new(TableId(5), IndexId(1));
            let values = (low.map(|(value, _)| Value::Int(value)), high.map(|(value, _)| Value::Int(value)));
            let bound = |value: &'_ Option<Value>, inclusive: Option<(i64, bool)>| {
                value.clone().zip(inclusive).map(|(value, (_, inclusive))| (value, inclusive))
            };
            let (low_value, high_value) = (bound(&values.0, low), bound(&values.1, high));
            let range = range(
                &prefix,
                low_value.as_ref().map(|(value, inclusive)| KeyBound { value, inclusive: *inclusive }),
                high_value.as_ref().map(|(value, inclusive)| KeyBound { value, inclusive: *inclusive }),
                &ty, part, UTC,
            ).unwrap();
            let above = low.is_none_or(|(low, inclusive)| value > low || inclusive && value == low);
            let below = high.is_none_or(|(high, inclusive)| value < high || inclusive && value == high);
            prop_assert_eq!(range.contains(&key(&[&Value::Int(value)], &ty, part)), above && below);
            let has_bound = low.is_some() || high.is_some();
            prop_assert_eq!(range.contains(&key(&[&Value::Null], &ty, part)), !has_bound);
        }
    }

    #[test]
    fn nulls_come_first_and_prefixes_cut() {
        let ty = MysqlType::varchar(9, CollationId::UTF8MB4_BIN);
        let part = KeyPart { descending: false, prefix: Some(2) };
        assert!(key(&[&Value::Null], &ty, part) < key(&[&Value::text("")], &ty, part));
        assert_eq!(key(&[&Value::text("\u{e4}bc")], &ty, part), key(&[&Value::text("\u{e4}bd")], &ty, part));
        assert!(
            KeyBuilder::new(TableId(1), IndexId(0))
                .push(&Value::Int(1), &MysqlType::new(TypeKind::Json), part, UTC)
                .is_err()
        );
    }
}
