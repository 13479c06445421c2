//! DECIMAL from and to text.

use super::{Decimal, power_of_ten};
use ethnum::I256;

/// A number at the beginning of a text.
#[derive(Debug, Clone, Copy)]
pub struct ParsedPrefix {
    pub number: Decimal,
    /// Bytes that belong to the number, leading spaces included; 0 when the text does not begin with a number.
    pub consumed: usize,
    /// Too large: the number is the largest there is.
    pub overflow: bool,
}

impl Decimal {
    /// The whole text must be a number: sign, digits, point, exponent. More than 30 digits after the point are rounded.
    pub fn parse(text: &str) -> Option<Decimal> {
        let parsed = Decimal::parse_prefix(text.as_bytes());
        (parsed.consumed == text.len() && parsed.consumed > 0 && !parsed.overflow).then_some(parsed.number)
    }

    /// The longest number that the text begins with.
    pub fn parse_prefix(text: &[u8]) -> ParsedPrefix {
        let shape = NumberShape::of(text);
        if shape.consumed == 0 {
            return ParsedPrefix { number: Decimal::ZERO, consumed: 0, overflow: false };
        }
        let (number, overflow) = shape.number();
        ParsedPrefix {
            number: if shape.negative { number.negate() } else { number },
            consumed: shape.consumed,
            overflow,
        }
    }

    /// Appends `-12.50`.
    pub fn write_text(&self, text: &mut String) {
        use std::fmt::Write;
        if self.is_negative() {
            text.push('-');
        }
        let magnitude = self.mantissa.unsigned_abs();
        let start = text.len();
        let written = match u128::try_from(magnitude) {
            Ok(small) => write!(text, "{small}"),
            Err(_) => write!(text, "{magnitude}"),
        };
        debug_assert!(written.is_ok(), "writing to a String cannot fail");
        let scale = self.scale as usize;
        if scale > 0 {
            let digits = text.len() - start;
            if digits <= scale {
                text.insert_str(start, &"0".repeat(scale + 1 - digits));
            }
            text.insert(text.len() - scale, '.');
        }
    }
}

/// Bytes at the beginning of a text that are a number, leading spaces included; 0 where it begins with none.
pub(crate) fn number_prefix_bytes(text: &[u8]) -> usize {
    NumberShape::of(text).consumed
}

/// Where the parts of a number are in a text.
struct NumberShape<'a> {
    negative: bool,
    whole: &'a [u8],
    fraction: &'a [u8],
    exponent: i32,
    consumed: usize,
}

fn digits_at(text: &[u8], start: usize) -> &[u8] {
    let rest = &text[start..];
    let length = rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
    &rest[..length]
}

impl NumberShape<'_> {
    fn of(text: &[u8]) -> NumberShape<'_> {
        let mut position = text.iter().position(|byte| !byte.is_ascii_whitespace()).unwrap_or(text.len());
        let negative = text.get(position) == Some(&b'-');
        if matches!(text.get(position), Some(b'-' | b'+')) {
            position += 1;
        }
        let whole = digits_at(text, position);
        position += whole.len();
        let mut fraction: &[u8] = &[];
        if text.get(position) == Some(&b'.') {
            fraction = digits_at(text, position + 1);
            if !whole.is_empty() || !fraction.is_empty() {
                position += 1 + fraction.len();
            }
        }
        if whole.is_empty() && fraction.is_empty() {
            return NumberShape { negative, whole, fraction, exponent: 0, consumed: 0 };
        }
        let mut exponent = 0;
        if matches!(text.get(position), Some(b'e' | b'E')) {
            let sign = matches!(text.get(position + 1), Some(b'-' | b'+')) as usize;
            let digits = digits_at(text, position + 1 + sign);
            if !digits.is_empty() {
                let size = digits.iter().fold(0i32, |size, digit| (size * 10 + (digit - b'0') as i32).min(100_000));
                exponent = if text.get(position + 1) == Some(&b'-') { -size } else { size };
                position += 1 + sign + digits.len();
            }
        }
        NumberShape { negative, whole, fraction, exponent, consumed: position }
    }

    /// The absolute value, and whether it was too large.
    fn number(&self) -> (Decimal, bool) {
        let digits = || self.whole.iter().chain(self.fraction).map(|digit| digit - b'0');
        let leading_zeros = digits().take_while(|digit| *digit == 0).count() as i64;
        // Digits before the point, once the exponent has moved it; leading zeros not counted, so it may be negative.
        let significant = (self.whole.len() + self.fraction.len()) as i64 - leading_zeros;
        let whole_digits = self.whole.len() as i64 - leading_zeros + self.exponent as i64;
        let fraction_digits = (self.fraction.len() as i64 - self.exponent as i64).max(0);
        if significant == 0 {
            return (Decimal::new(I256::ZERO, fraction_digits.min(Decimal::SCALE_MAX as i64) as u8), false);
        }
        if whole_digits > Decimal::PRECISION_MAX as i64 {
            return (Decimal::largest(Decimal::PRECISION_MAX, 0), true);
        }
        let room = Decimal::PRECISION_MAX as i64 - whole_digits.max(0);
        let scale = fraction_digits.min(Decimal::SCALE_MAX as i64).min(room);
        // The mantissa is the first `kept` digits (zeros appended where there are fewer), rounded by the next one.
        let kept = whole_digits + scale;
        let mut mantissa = I256::ZERO;
        let mut round_up = false;
        if kept >= 0 {
            let mut rest = digits().skip(leading_zeros as usize);
            for _ in 0..kept.min(significant) {
                mantissa = mantissa * I256::new(10) + I256::from(rest.next().unwrap_or(0));
            }
            round_up = rest.next().is_some_and(|digit| digit >= 5);
            if kept > significant {
                mantissa *= power_of_ten((kept - significant) as usize);
            }
        }
        if round_up {
            mantissa += I256::ONE;
        }
        let number = Decimal::new(mantissa, scale as u8);
        match number.limited() {
            Some(number) => (number, false),
            None => (Decimal::largest(Decimal::PRECISION_MAX, 0), true),
        }
    }
}
