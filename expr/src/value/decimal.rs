//! DECIMAL: exact numbers of up to 65 digits, 30 of them after the point. Manual: "Precision Math" (14.25).

use ethnum::I256;

/// `mantissa` × 10^-`scale`. The scale is part of the value: `1.50` shows as `1.50`.
#[derive(Debug, Clone, Copy)]
pub struct Decimal {
    mantissa: I256,
    scale: u8,
}

impl Decimal {
    pub const PRECISION_MAX: u8 = 65;
    pub const SCALE_MAX: u8 = 30;

    pub fn new(mantissa: I256, scale: u8) -> Decimal {
        Decimal { mantissa, scale }
    }

    pub fn mantissa(&self) -> I256 {
        self.mantissa
    }

    pub fn scale(&self) -> u8 {
        self.scale
    }
}
