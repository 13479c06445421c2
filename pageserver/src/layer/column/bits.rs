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

/// Values that are unpacked together: whatever the width, they begin and end at a byte.
pub const GROUP: usize = 64;

/// Calls `take` with each group of [`GROUP`] values or fewer of `[start, start + count)`, in order, and how many of
/// the array count.
#[inline]
pub fn for_each_group(
    packed: &[u8],
    width: u32,
    start: usize,
    count: usize,
    mut take: impl FnMut(&[u64; GROUP], usize),
) {
    let unpack = kernel(width);
    let mut group = [0; GROUP];
    let end = start + count;
    let mut at = start;
    while at < end {
        let bytes = packed.get(at * width as usize / 8..).and_then(|rest| rest.get(..GROUP / 8 * width as usize));
        let rows = match bytes {
            Some(bytes) if at.is_multiple_of(8) && end - at >= GROUP => {
                unpack(bytes, &mut group);
                GROUP
            }
            // The ends, and up to the next value that begins at a byte.
            _ => {
                let to_byte = if at.is_multiple_of(8) { GROUP } else { 8 - at % 8 };
                let rows = to_byte.min(end - at);
                for (index, value) in group[..rows].iter_mut().enumerate() {
                    *value = get(packed, width, at + index);
                }
                rows
            }
        };
        take(&group, rows);
        at += rows;
    }
}

/// Appends values `[start, start + count)`, each passed through `map`.
#[inline]
pub fn unpack<T>(packed: &[u8], width: u32, start: usize, count: usize, out: &mut Vec<T>, map: impl Fn(u64) -> T) {
    out.reserve(count);
    for_each_group(packed, width, start, count, |group, rows| {
        out.extend(group[..rows].iter().map(|value| map(*value)))
    });
}

/// Appends values `[start, start + count)`, each with `base` added.
pub fn unpack_words(packed: &[u8], width: u32, base: u64, start: usize, count: usize, out: &mut Vec<u64>) {
    let unpack = kernel(width);
    let end = start + count;
    let mut at = start;
    let from_byte = start.next_multiple_of(8).min(end);
    out.extend((at..from_byte).map(|index| base.wrapping_add(get(packed, width, index))));
    at = from_byte;
    let groups = (end - at) / GROUP;
    let filled = out.len();
    out.resize(filled + groups * GROUP, 0);
    let bytes = packed.get(at * width as usize / 8..).unwrap_or_default();
    let (targets, _) = out[filled..].as_chunks_mut::<GROUP>();
    for (target, bytes) in targets.iter_mut().zip(bytes.chunks_exact(GROUP / 8 * width as usize)) {
        unpack(bytes, target);
        target.iter_mut().for_each(|value| *value = value.wrapping_add(base));
    }
    at += groups * GROUP;
    out.extend((at..end).map(|index| base.wrapping_add(get(packed, width, index))));
}

type Kernel = fn(&[u8], &mut [u64; GROUP]);

/// Unpacks a whole group, with the width known to the compiler: all shifts are constants, and nothing is checked twice.
fn unpack_group<const WIDTH: usize>(bytes: &[u8], out: &mut [u64; GROUP]) {
    let mut words = [0u64; WIDTH];
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
        *word = u64::from_le_bytes(*bytes);
    }
    let mask = (1u64 << WIDTH) - 1;
    macro_rules! value {
        ($($index:literal)*) => {$({
            let bit = $index * WIDTH;
            let (word, shift) = (bit / 64, bit % 64);
            let low = words[word] >> shift;
            let value = if shift + WIDTH > 64 { low | words[word + 1] << (64 - shift) } else { low };
            out[$index] = value & mask;
        })*};
    }
    value!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31);
    value!(32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63);
}

fn kernel(width: u32) -> Kernel {
    macro_rules! widths {
        ($($width:literal)*) => {
            match width {
                $($width => unpack_group::<$width>,)*
                _ => panic!("a width that was not checked"),
            }
        };
    }
    widths!(1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38
        39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56)
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
            for (start, count) in [(0, 300), (7, 200), (8, 64), (64, 130), (200, 100), (299, 1), (5, 0)] {
                let mut all = Vec::new();
                unpack(&packed, width, start, count, &mut all, |value| value);
                unpack_words(&packed, width, 5, start, count, &mut all);
                let (plain, added) = all.split_at(count);
                assert_eq!(plain, &values[start..start + count], "width {width}, {count} from {start}");
                assert!(plain.iter().zip(added).all(|(plain, added)| plain + 5 == *added));
            }
        }
    }
}
