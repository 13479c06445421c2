//! The rare operations whose intermediate results do not fit in 256 bits.

use super::{Decimal, power};
use ethnum::{I256, U256};

/// Product of any two decimals by 512-bit arithmetic; digits after the point are dropped until it fits.
pub(super) fn multiply(left: &Decimal, right: &Decimal) -> Option<Decimal> {
    let negative = left.is_negative() != right.is_negative();
    let mut product = full_product(left.mantissa.unsigned_abs(), right.mantissa.unsigned_abs());
    let mut scale = left.scale as u32 + right.scale as u32;
    // Drop digits in one-digit steps: at most 65 of them, and only here.
    let mut last_dropped = 0;
    while !fits(&product) || scale > Decimal::SCALE_MAX as u32 {
        if scale == 0 {
            return None;
        }
        last_dropped = divide_by_ten(&mut product);
        scale -= 1;
    }
    let magnitude = U256::from_words(join(&product[4..8]), join(&product[..4]));
    let mut mantissa = I256::try_from(magnitude).ok()?;
    if last_dropped >= 5 {
        mantissa += I256::ONE;
    }
    Some(Decimal { mantissa: if negative { -mantissa } else { mantissa }, scale: scale as u8 })
}

/// Eight 32-bit limbs of each number give sixteen, least significant first.
fn full_product(left: U256, right: U256) -> [u32; 16] {
    let (left, right) = (limbs(left), limbs(right));
    let mut product = [0u32; 16];
    for (i, a) in left.iter().enumerate() {
        let mut carry = 0u64;
        for (j, b) in right.iter().enumerate() {
            let sum = *a as u64 * *b as u64 + product[i + j] as u64 + carry;
            product[i + j] = sum as u32;
            carry = sum >> 32;
        }
        product[i + 8] = carry as u32;
    }
    product
}

fn limbs(number: U256) -> [u32; 8] {
    let (high, low) = number.into_words();
    std::array::from_fn(|limb| if limb < 4 { (low >> (32 * limb)) as u32 } else { (high >> (32 * (limb - 4))) as u32 })
}

fn join(limbs: &[u32]) -> u128 {
    limbs.iter().rev().fold(0, |number, limb| number << 32 | *limb as u128)
}

/// Whether it is below 2^254, which leaves room for the sign and for rounding up.
fn fits(number: &[u32; 16]) -> bool {
    number[8..].iter().all(|limb| *limb == 0) && number[7] < 1 << 30
}

/// Divides in place; gives the digit that fell off.
fn divide_by_ten(number: &mut [u32; 16]) -> u32 {
    let mut rest = 0u64;
    for limb in number.iter_mut().rev() {
        let part = rest << 32 | *limb as u64;
        *limb = (part / 10) as u32;
        rest = part % 10;
    }
    rest as u32
}

/// `dividend` × 10^`shift` / `divisor`, digit by digit.
pub(super) fn divide(dividend: I256, divisor: I256, shift: usize) -> Option<I256> {
    let negative = (dividend < I256::ZERO) != (divisor < I256::ZERO);
    let (dividend, divisor) = (dividend.abs(), divisor.abs());
    let mut quotient = dividend / divisor;
    let mut rest = dividend % divisor;
    for _ in 0..shift {
        rest = rest.checked_mul(I256::new(10))?;
        quotient = quotient.checked_mul(I256::new(10))?.checked_add(rest / divisor)?;
        rest %= divisor;
    }
    Some(if negative { -quotient } else { quotient })
}

/// `dividend` × 10^`shift` modulo `divisor`, with the sign of the dividend.
pub(super) fn remainder(dividend: I256, divisor: I256, shift: usize) -> Option<I256> {
    let mut rest = dividend % divisor;
    let mut left = shift;
    while left > 0 {
        // As many digits at once as fit.
        let step = (1..=left).rev().find(|step| power(*step).and_then(|unit| rest.checked_mul(unit)).is_some())?;
        rest = rest.checked_mul(power(step)?)? % divisor;
        left -= step;
    }
    Some(rest)
}
