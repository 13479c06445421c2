//! Keys of one length, of which only the bytes that differ within the block are kept: of ascending numbers two or three.
//!
//! Places where all keys have the same byte do not change the order of the keys, so the kept bytes are in order too. Up
//! to eight of them are searched as numbers, beginning where an even distribution would have the key.

use super::keys::{KEY_BYTES_MAX, partition_point};
use super::{Cursor, FormatError, put_varint};
use bytes::{BufMut, Bytes, BytesMut};
use std::cmp::Ordering;

/// So that the last key can be read as a number of eight bytes.
const PADDING_BYTES: usize = 8;
/// Keys around a guess that are looked at before the search widens.
const GUESS_STEP: usize = 4;

#[derive(Debug)]
pub struct Varying {
    /// The remainder of a key; meaningful where the keys agree.
    template: Vec<u8>,
    /// Places of the bytes that are kept, ascending.
    places: Vec<u16>,
    /// The kept bytes, key by key, and the padding.
    kept: Bytes,
}

/// Appends what follows the shared prefix of `shared` bytes.
pub fn encode(keys: &[&[u8]], shared: usize, out: &mut Vec<u8>) {
    let first = &keys[0][shared..];
    let mut varies = vec![false; first.len()];
    for key in keys {
        for (varies, (byte, first)) in varies.iter_mut().zip(key[shared..].iter().zip(first)) {
            *varies |= byte != first;
        }
    }
    put_varint(out, first.len() as u32);
    let mut mask = vec![0u8; first.len().div_ceil(8)];
    for place in (0..first.len()).filter(|place| varies[*place]) {
        mask[place / 8] |= 1 << (place % 8);
    }
    out.extend(mask);
    out.extend((0..first.len()).filter(|place| !varies[*place]).map(|place| first[place]));
    for key in keys {
        out.extend((0..first.len()).filter(|place| varies[*place]).map(|place| key[shared + place]));
    }
    out.extend([0; PADDING_BYTES]);
}

impl Varying {
    pub fn parse(bytes: &Bytes, mut cursor: Cursor, rows: usize) -> Result<Varying, FormatError> {
        let width = cursor.varint()? as usize;
        if width > KEY_BYTES_MAX {
            return Err(FormatError("a key length is out of range"));
        }
        let mask = cursor.take(width.div_ceil(8))?;
        let is_kept = |place: &usize| mask[place / 8] >> (place % 8) & 1 == 1;
        let places: Vec<u16> = (0..width).filter(is_kept).map(|place| place as u16).collect();
        let mut constant = cursor.take(width - places.len())?.iter();
        let template = (0..width).map(|place| if is_kept(&place) { 0 } else { constant.next().copied().unwrap_or(0) });
        let template = template.collect();
        let kept = cursor.take(rows.saturating_mul(places.len()).saturating_add(PADDING_BYTES))?;
        Ok(Varying { template, places, kept: bytes.slice_ref(kept) })
    }

    /// Length of a key without the shared prefix.
    pub fn width(&self) -> usize {
        self.template.len()
    }

    fn kept(&self, index: usize) -> &[u8] {
        &self.kept[index * self.places.len()..][..self.places.len()]
    }

    /// The kept bytes of a key, of which there are one to eight, as a number.
    fn word(&self, index: usize) -> u64 {
        let count = self.places.len();
        let bytes = self.kept[index * count..].first_chunk().expect("padding follows the last key");
        u64::from_be_bytes(*bytes) >> (64 - 8 * count)
    }

    pub fn put(&self, index: usize, out: &mut BytesMut) {
        let start = out.len();
        out.put_slice(&self.template);
        for (place, byte) in self.places.iter().zip(self.kept(index)) {
            out[start + usize::from(*place)] = *byte;
        }
    }

    pub fn equals(&self, index: usize, remainder: &[u8]) -> bool {
        if remainder.len() != self.template.len() {
            return false;
        }
        let mut places = self.places.iter().zip(self.kept(index)).peekable();
        remainder.iter().enumerate().all(|(at, byte)| match places.next_if(|(place, _)| usize::from(**place) == at) {
            Some((_, kept)) => kept == byte,
            None => self.template[at] == *byte,
        })
    }

    /// How many of `rows` keys are less than `wanted`.
    pub fn lower_bound(&self, wanted: &[u8], rows: usize) -> usize {
        // The kept bytes of `wanted`, up to where it leaves what all keys have: from there on, all keys that agree with
        // it so far are on one side of it.
        let mut key = [0u8; KEPT_ON_STACK];
        let mut spilled = Vec::new();
        let count = self.places.len();
        let key: &mut [u8] = if count <= KEPT_ON_STACK {
            &mut key[..count]
        } else {
            spilled.resize(count, 0);
            &mut spilled
        };
        let mut known = 0;
        let mut after = None;
        for (at, constant) in self.template.iter().enumerate() {
            let varies = self.places.get(known).is_some_and(|place| usize::from(*place) == at);
            match wanted.get(at) {
                None => {
                    after = Some(false);
                    break;
                }
                Some(byte) if varies => {
                    key[known] = *byte;
                    known += 1;
                }
                Some(byte) => match constant.cmp(byte) {
                    Ordering::Equal => {}
                    order => {
                        after = Some(order == Ordering::Less);
                        break;
                    }
                },
            }
        }
        if after.is_none() && wanted.len() > self.template.len() {
            // Keys that agree all the way are shorter, and so less.
            after = Some(true);
        }
        let passes_equal = after == Some(true);
        if (1..=8).contains(&count) {
            // What is not known is filled so that equal beginnings fall on the right side.
            key[known..].fill(if passes_equal { 0xff } else { 0 });
            let number = key.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
            return self.search(number, passes_equal, rows);
        }
        let key = &key[..known];
        partition_point(rows, |index| match self.kept(index)[..known].cmp(key) {
            Ordering::Equal => passes_equal,
            order => order == Ordering::Less,
        })
    }

    /// How many words are less than `wanted`, or not greater.
    fn search(&self, wanted: u64, or_equal: bool, rows: usize) -> usize {
        let before = |index: usize| {
            let word = self.word(index);
            word < wanted || (or_equal && word == wanted)
        };
        let (first, last) = (self.word(0), self.word(rows - 1));
        if !before(0) {
            return 0;
        }
        if before(rows - 1) {
            return rows;
        }
        // From here on `low` is before, `high` is not.
        let (mut low, mut high) = (0, rows - 1);
        let share = u128::from(wanted.saturating_sub(first)) * (rows - 1) as u128;
        let guess = (share / u128::from((last - first).max(1))) as usize;
        let guess = guess.clamp(low, high);
        let mut step = GUESS_STEP;
        if before(guess) {
            low = guess;
            while low + step < high && before(low + step) {
                low += step;
                step *= 4;
            }
            high = high.min(low + step);
        } else {
            high = guess;
            while high > low + step && !before(high - step) {
                high -= step;
                step *= 4;
            }
            low = low.max(high.saturating_sub(step));
        }
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if before(middle) { low = middle } else { high = middle }
        }
        high
    }
}

/// Kept bytes of a key that is looked for; more of them take an allocation.
const KEPT_ON_STACK: usize = 32;
