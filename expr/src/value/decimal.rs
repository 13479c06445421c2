//! DECIMAL: exact numbers of up to 65 digits, 30 of them after the point. Manual: "Precision Math" (14.25).
//!
//! Equality, order and hash look at the number alone: `1.5` and `1.50` are equal. Operations that would need more than
//! 65 digits drop digits after the point first, and give `None` where the whole part alone is too long.

use ethnum::{I256, U256};
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::LazyLock;

mod text;
mod wide;

pub use text::ParsedPrefix;
pub(crate) use text::number_prefix_bytes;

/// `mantissa` × 10^-`scale`. The scale is part of the value: `1.50` shows as `1.50`.
#[derive(Debug, Clone, Copy)]
pub struct Decimal {
    mantissa: I256,
    scale: u8,
}

/// 10^0 to 10^76, all the powers that fit.
static POWERS: LazyLock<[I256; 77]> = LazyLock::new(|| {
    let mut powers = [I256::ONE; 77];
    for exponent in 1..powers.len() {
        powers[exponent] = powers[exponent - 1] * I256::new(10);
    }
    powers
});

/// 10^`exponent`, for exponents up to 76.
fn power_of_ten(exponent: usize) -> I256 {
    POWERS[exponent]
}

impl Decimal {
    pub const PRECISION_MAX: u8 = 65;
    pub const SCALE_MAX: u8 = 30;
    pub const ZERO: Decimal = Decimal { mantissa: I256::ZERO, scale: 0 };

    pub fn new(mantissa: I256, scale: u8) -> Decimal {
        Decimal { mantissa, scale }
    }

    pub fn mantissa(&self) -> I256 {
        self.mantissa
    }

    pub fn scale(&self) -> u8 {
        self.scale
    }

    /// The largest number of that many digits: `999.99` for (5, 2).
    pub fn largest(precision: u8, scale: u8) -> Decimal {
        Decimal { mantissa: power_of_ten(precision.min(76) as usize) - I256::ONE, scale }
    }

    pub fn is_zero(&self) -> bool {
        self.mantissa == I256::ZERO
    }

    pub fn is_negative(&self) -> bool {
        self.mantissa < I256::ZERO
    }

    /// Digits of the mantissa, without leading zeros; 0 for zero.
    pub fn digits(&self) -> u8 {
        digits_of(self.mantissa.unsigned_abs()) as u8
    }

    /// Digits before the point, without leading zeros.
    pub fn whole_digits(&self) -> u8 {
        self.digits().saturating_sub(self.scale)
    }

    /// Whether it can be a DECIMAL(precision, scale) without losing anything but digits after the point.
    pub fn fits(&self, precision: u8, scale: u8) -> bool {
        let rounded = self.round(scale as i32);
        rounded.mantissa.unsigned_abs() < power_of_ten(precision.min(76) as usize).unsigned_abs()
    }

    pub fn negate(&self) -> Decimal {
        Decimal { mantissa: -self.mantissa, scale: self.scale }
    }

    pub fn absolute(&self) -> Decimal {
        Decimal { mantissa: self.mantissa.abs(), scale: self.scale }
    }

    /// Sum, with the larger scale of the two.
    pub fn add(&self, other: &Decimal) -> Option<Decimal> {
        let scale = self.scale.max(other.scale);
        if let (Some(left), Some(right)) = (self.mantissa_at(scale), other.mantissa_at(scale))
            && let Some(sum) = left.checked_add(right)
        {
            return Decimal { mantissa: sum, scale }.limited();
        }
        // Too many digits in all: one of the two has a long whole part, so digits after the point give way.
        let whole = self.whole_digits().max(other.whole_digits());
        let scale = Self::PRECISION_MAX.saturating_sub(whole).min(scale);
        let left = self.round(scale as i32).mantissa_at(scale)?;
        let right = other.round(scale as i32).mantissa_at(scale)?;
        Decimal { mantissa: left.checked_add(right)?, scale }.limited()
    }

    pub fn subtract(&self, other: &Decimal) -> Option<Decimal> {
        self.add(&other.negate())
    }

    /// Product, with the sum of the scales, at most 30.
    pub fn multiply(&self, other: &Decimal) -> Option<Decimal> {
        let scale = self.scale as u32 + other.scale as u32;
        let product = match self.mantissa.checked_mul(other.mantissa) {
            Some(mantissa) if scale <= u8::MAX as u32 => Decimal { mantissa, scale: scale as u8 },
            _ => wide::multiply(self, other)?,
        };
        if product.scale > Self::SCALE_MAX {
            product.round(Self::SCALE_MAX as i32).limited()
        } else {
            product.limited()
        }
    }

    /// Quotient, cut (not rounded) at the digits that MySQL computes; `None` for division by zero and overflow.
    ///
    /// MySQL keeps numbers in groups of nine digits and computes whole groups, so there are more digits than
    /// `scale + increment`, which is what a result shows: `1/3*3` is 1.0000, not 0.9999. Round to the type's scale.
    pub fn divide(&self, other: &Decimal, increment: u8) -> Option<Decimal> {
        if other.is_zero() {
            return None;
        }
        let group = |digits: u32| digits.div_ceil(9) * 9;
        let (left, right) = (group(self.scale as u32), group(other.scale as u32));
        let spare = left - self.scale as u32 + right - other.scale as u32;
        let scale = group(left + right + (increment as u32).saturating_sub(spare)).min(Self::SCALE_MAX as u32) as u8;
        let scale = scale.max(self.scale);
        let shift = (scale - self.scale) as usize + other.scale as usize;
        let mantissa = match power(shift).and_then(|factor| self.mantissa.checked_mul(factor)) {
            Some(dividend) => dividend / other.mantissa,
            None => wide::divide(self.mantissa, other.mantissa, shift)?,
        };
        Decimal { mantissa, scale }.limited()
    }

    /// Whole part of the quotient (DIV).
    pub fn divide_whole(&self, other: &Decimal) -> Option<Decimal> {
        let remainder = self.remainder(other)?;
        let whole = self.subtract(&remainder)?;
        // Exact: what is left is a multiple of the divisor.
        whole.divide(other, 0).map(|quotient| quotient.truncate(0))
    }

    /// Remainder with the sign of the dividend; `None` for a zero divisor.
    pub fn remainder(&self, other: &Decimal) -> Option<Decimal> {
        if other.is_zero() {
            return None;
        }
        let scale = self.scale.max(other.scale);
        let Some(divisor) = other.mantissa_at(scale) else {
            // The divisor has more digits than any dividend.
            return Some(*self);
        };
        let mantissa = match self.mantissa_at(scale) {
            Some(dividend) => dividend % divisor,
            None => wide::remainder(self.mantissa, divisor, (scale - self.scale) as usize)?,
        };
        Some(Decimal { mantissa, scale })
    }

    /// Rounds half away from zero to `scale` digits after the point; negative scales round whole digits.
    /// The result has that scale (0 for negative ones); a larger scale appends zeros as far as they fit.
    pub fn round(&self, scale: i32) -> Decimal {
        self.cut(scale, true)
    }

    /// Like [`Decimal::round`], towards zero.
    pub fn truncate(&self, scale: i32) -> Decimal {
        self.cut(scale, false)
    }

    fn cut(&self, scale: i32, half_away: bool) -> Decimal {
        let kept = scale.clamp(-80, Self::SCALE_MAX as i32);
        let drop = self.scale as i32 - kept;
        if drop <= 0 {
            // Appending zeros; where they do not fit, as many as fit.
            let mut wanted = kept as u8;
            loop {
                match self.mantissa_at(wanted) {
                    Some(mantissa) => return Decimal { mantissa, scale: wanted },
                    None => wanted -= 1,
                }
            }
        }
        let Some(factor) = power(drop as usize) else {
            return Decimal { mantissa: I256::ZERO, scale: kept.max(0) as u8 };
        };
        let mut mantissa = self.mantissa / factor;
        if half_away {
            let rest = (self.mantissa % factor).unsigned_abs();
            if rest >= factor.unsigned_abs() - rest {
                mantissa += if self.is_negative() { I256::MINUS_ONE } else { I256::ONE };
            }
        }
        if kept < 0 {
            let unit = power((-kept) as usize).and_then(|unit| mantissa.checked_mul(unit));
            return Decimal { mantissa: unit.unwrap_or(I256::ZERO), scale: 0 };
        }
        Decimal { mantissa, scale: kept as u8 }
    }

    /// The next whole number at or below (FLOOR).
    pub fn floor(&self) -> Decimal {
        let whole = self.truncate(0);
        if self.is_negative() && whole != *self {
            Decimal { mantissa: whole.mantissa - I256::ONE, scale: 0 }
        } else {
            whole
        }
    }

    /// The next whole number at or above (CEILING).
    pub fn ceiling(&self) -> Decimal {
        self.negate().floor().negate()
    }

    /// Rounded half away from zero; `None` out of range.
    pub fn to_i64(&self) -> Option<i64> {
        i64::try_from(self.round(0).mantissa).ok()
    }

    /// Rounded half away from zero; `None` out of range and for negative numbers.
    pub fn to_u64(&self) -> Option<u64> {
        u64::try_from(self.round(0).mantissa).ok()
    }

    pub fn to_f64(&self) -> f64 {
        // Both parts exact, so the division rounds once.
        const EXACT: i128 = 1 << 53;
        if self.scale <= 22
            && let Ok(mantissa) = i128::try_from(self.mantissa)
            && (-EXACT..=EXACT).contains(&mantissa)
        {
            return mantissa as f64 / power_of_ten(self.scale as usize).as_f64();
        }
        self.to_string().parse().unwrap_or(0.0)
    }

    /// By the shortest text of the number, as MySQL does; out of range gives the largest decimal.
    pub fn from_f64(number: f64) -> Decimal {
        if !number.is_finite() {
            return if number < 0.0 { Decimal::largest(65, 0).negate() } else { Decimal::largest(65, 0) };
        }
        Decimal::parse_prefix(crate::value::number_text::double(number).as_bytes()).number
    }

    /// The mantissa that this number has at a scale at least as large as its own.
    fn mantissa_at(&self, scale: u8) -> Option<I256> {
        if scale == self.scale {
            return Some(self.mantissa);
        }
        self.mantissa.checked_mul(power((scale - self.scale) as usize)?)
    }

    /// At most 65 digits, by dropping digits after the point.
    fn limited(self) -> Option<Decimal> {
        // The common case, without counting digits.
        if self.mantissa.unsigned_abs() < power_of_ten(Self::PRECISION_MAX as usize).unsigned_abs() {
            return Some(self);
        }
        let excess = self.digits() as i32 - Self::PRECISION_MAX as i32;
        if excess <= 0 {
            return Some(self);
        }
        if excess > self.scale as i32 {
            return None;
        }
        let cut = self.round(self.scale as i32 - excess);
        if cut.digits() <= Self::PRECISION_MAX {
            return Some(cut);
        }
        if cut.scale == 0 { None } else { Some(cut.round(cut.scale as i32 - 1)) }
    }

    /// Without zeros at the end of the digits after the point.
    pub fn trimmed(&self) -> Decimal {
        let mut trimmed = *self;
        while trimmed.scale > 0 && trimmed.mantissa % I256::new(10) == I256::ZERO {
            trimmed.mantissa /= I256::new(10);
            trimmed.scale -= 1;
        }
        trimmed
    }
}

/// 10^`exponent` where it fits.
fn power(exponent: usize) -> Option<I256> {
    POWERS.get(exponent).copied()
}

fn digits_of(mut number: U256) -> u32 {
    let mut digits = 0;
    let chunk = U256::new(10_000_000_000_000_000_000);
    while number >= chunk {
        number /= chunk;
        digits += 19;
    }
    let mut rest = number.as_u64();
    while rest > 0 {
        rest /= 10;
        digits += 1;
    }
    digits
}

impl Ord for Decimal {
    fn cmp(&self, other: &Decimal) -> Ordering {
        let scale = self.scale.max(other.scale);
        if let (Some(left), Some(right)) = (self.mantissa_at(scale), other.mantissa_at(scale)) {
            return left.cmp(&right);
        }
        let (left, right) = (self.truncate(0), other.truncate(0));
        left.mantissa.cmp(&right.mantissa).then_with(|| {
            // Less than one, at scales of at most 255 digits in all cases that parse: round to what fits.
            let fraction = |number: &Decimal, whole: &Decimal| {
                let unit = power(number.scale as usize).unwrap_or(I256::ONE);
                Decimal { mantissa: number.mantissa - whole.mantissa * unit, scale: number.scale }.round(30).mantissa
            };
            fraction(self, &left).cmp(&fraction(other, &right))
        })
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Decimal) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Decimal {
    fn eq(&self, other: &Decimal) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Decimal {}

impl Hash for Decimal {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let trimmed = self.trimmed();
        trimmed.mantissa.hash(state);
        trimmed.scale.hash(state);
    }
}

impl From<i64> for Decimal {
    fn from(number: i64) -> Decimal {
        Decimal { mantissa: I256::from(number), scale: 0 }
    }
}

impl From<u64> for Decimal {
    fn from(number: u64) -> Decimal {
        Decimal { mantissa: I256::from(number), scale: 0 }
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        self.write_text(&mut text);
        formatter.write_str(&text)
    }
}

#[cfg(test)]
mod tests;
