//! Bit packing: unsigned integers of a fixed width of 1 to 56 bits, one after the other, least significant bit first.
//!
//! Eight bytes of padding follow the packed bits, so that every value is one unaligned 64-bit read.

use super::FormatError;

/// A value that begins at bit 7 of a byte still fits a 64-bit read.
pub const WIDTH_BITS_MAX: u32 = 56;
const PADDING_BYTES: usize = 8;

/// Bits needed for values up to `max`; at least 1.
pub fn width_for(max: u64) -> u32 {
    (64 - max.leading_zeros()).max(1)
}

pub fn packed_bytes(count: usize, width: u32) -> usize {
    (count * width as usize).div_ceil(8) + PADDING_BYTES
}

pub fn pack(values: impl Iterator<Item = u64>, count: usize, width: u32, out: &mut Vec<u8>) {
    assert!((1..=WIDTH_BITS_MAX).contains(&width), "width that a 64-bit read cannot hold");
    let start = out.len();
    out.resize(start + packed_bytes(count, width), 0);
    let packed = &mut out[start..];
    let mut bit = 0;
    for value in values {
        let (byte, shift) = (bit >> 3, bit & 7);
        let window: &mut [u8; 8] = packed[byte..].first_chunk_mut().expect("padding covers the last value");
        *window = (u64::from_le_bytes(*window) | value << shift).to_le_bytes();
        bit += width as usize;
    }
}

/// Checks that `bytes` holds `count` values of `width` bits, padding included; afterwards [`get`] may be called.
pub fn check(bytes: &[u8], count: usize, width: u32) -> Result<(), FormatError> {
    if !(1..=WIDTH_BITS_MAX).contains(&width) {
        return Err(FormatError("a bit width is out of range"));
    }
    if bytes.len() < packed_bytes(count, width) {
        return Err(FormatError("packed integers end too early"));
    }
    Ok(())
}

pub fn mask(width: u32) -> u64 {
    (1u64 << width) - 1
}

#[inline]
pub fn get(packed: &[u8], width: u32, index: usize) -> u64 {
    let bit = index * width as usize;
    let window: &[u8; 8] = packed[bit >> 3..].first_chunk().expect("length was checked when the column was parsed");
    (u64::from_le_bytes(*window) >> (bit & 7)) & mask(width)
}

/// Appends values `[start, start + count)`, each passed through `map`.
#[inline]
pub fn unpack<T>(packed: &[u8], width: u32, start: usize, count: usize, out: &mut Vec<T>, map: impl Fn(u64) -> T) {
    out.reserve(count);
    let mask = mask(width);
    let mut bit = start * width as usize;
    out.extend((0..count).map(|_| {
        let window: &[u8; 8] = packed[bit >> 3..].first_chunk().expect("length was checked when the column was parsed");
        let value = (u64::from_le_bytes(*window) >> (bit & 7)) & mask;
        bit += width as usize;
        map(value)
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_width_gives_back_what_was_packed() {
        for width in 1..=WIDTH_BITS_MAX {
            let values: Vec<u64> = (0..300u64).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15) & mask(width)).collect();
            let mut packed = Vec::new();
            pack(values.iter().copied(), values.len(), width, &mut packed);
            check(&packed, values.len(), width).unwrap();
            for (index, value) in values.iter().enumerate() {
                assert_eq!(get(&packed, width, index), *value, "width {width} index {index}");
            }
            let mut all = Vec::new();
            unpack(&packed, width, 7, 200, &mut all, |value| value);
            assert_eq!(all, values[7..207]);
        }
    }
}
