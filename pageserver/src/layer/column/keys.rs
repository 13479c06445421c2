//! The key column of a block: sorted keys (equal ones side by side), found by binary search without decoding the rest.
//!
//! What all keys share is stored once. Keys of one length (the usual case: numbers) keep only the bytes at those places
//! where the keys differ; others are prefix-compressed against their predecessor, with a whole remainder at every 16th
//! key.

use super::varying::{self, Varying};
use super::{Cursor, FormatError, put_varint};
use bytes::{BufMut, Bytes, BytesMut};
use std::cmp::Ordering;
use std::ops::Range;

/// Whole remainders; written by format 1 only.
const FIXED: u8 = 0;
const RESTARTS: u8 = 1;
const VARYING: u8 = 2;
const RESTART_INTERVAL: usize = 16;
/// Longer keys than this are not made (MySQL's limit is 3072 bytes before encoding).
pub const KEY_BYTES_MAX: usize = 64 << 10;
/// What all keys of a block may take at most; more is damage, not data.
const DECODED_BYTES_MAX: usize = 1 << 30;

#[derive(Debug)]
pub struct KeyColumn {
    rows: usize,
    prefix: Bytes,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Fixed { width: usize, remainders: Bytes },
    Varying(Varying),
    Restarts { starts: Vec<u32>, entries: Bytes },
}

pub fn encode(keys: &[&[u8]], out: &mut Vec<u8>) {
    assert!(keys.is_sorted(), "keys of a block are sorted");
    let (Some(first), Some(last)) = (keys.first(), keys.last()) else { panic!("a block without rows") };
    let shared = common_prefix(first, last);
    let one_length = keys.iter().all(|key| key.len() == first.len());
    out.push(if one_length { VARYING } else { RESTARTS });
    put_varint(out, shared as u32);
    out.extend(&first[..shared]);
    if one_length {
        varying::encode(keys, shared, out);
        return;
    }
    let (mut starts, mut entries) = (Vec::new(), Vec::new());
    let mut previous: &[u8] = &[];
    for (index, key) in keys.iter().enumerate() {
        let key = &key[shared..];
        let kept = if index % RESTART_INTERVAL == 0 {
            starts.push(entries.len() as u32);
            0
        } else {
            common_prefix(previous, key)
        };
        put_varint(&mut entries, kept as u32);
        put_varint(&mut entries, (key.len() - kept) as u32);
        entries.extend(&key[kept..]);
        previous = key;
    }
    starts.iter().for_each(|start| out.extend(start.to_le_bytes()));
    out.extend(entries);
}

fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

impl KeyColumn {
    pub fn parse(bytes: &Bytes, rows: usize) -> Result<KeyColumn, FormatError> {
        let mut cursor = Cursor::new(bytes);
        let encoding = cursor.u8()?;
        let shared = cursor.varint()? as usize;
        let prefix = bytes.slice_ref(cursor.take(shared)?);
        let kind = match encoding {
            FIXED => {
                let width = cursor.varint()? as usize;
                let remainders = cursor.take(rows.saturating_mul(width))?;
                Kind::Fixed { width, remainders: bytes.slice_ref(remainders) }
            }
            VARYING => Kind::Varying(Varying::parse(bytes, cursor, rows)?),
            RESTARTS => {
                let count = rows.div_ceil(RESTART_INTERVAL);
                let mut raw = Cursor::new(cursor.take(count * 4)?);
                let starts = (0..count).map(|_| raw.u32()).collect::<Result<Vec<u32>, _>>()?;
                Kind::Restarts { starts, entries: bytes.slice_ref(cursor.rest()) }
            }
            _ => return Err(FormatError("unknown key encoding")),
        };
        let column = KeyColumn { rows, prefix, kind };
        if column.check_entries()?.saturating_add(rows.saturating_mul(shared)) > DECODED_BYTES_MAX {
            return Err(FormatError("keys unfold to more than a gigabyte"));
        }
        Ok(column)
    }

    /// Walks all prefix-compressed entries once, so that later walks cannot fail. Returns the bytes of all remainders.
    fn check_entries(&self) -> Result<usize, FormatError> {
        let (starts, entries) = match &self.kind {
            Kind::Fixed { remainders, .. } => return Ok(remainders.len()),
            Kind::Varying(varying) => return Ok(self.rows.saturating_mul(varying.width())),
            Kind::Restarts { starts, entries } => (starts, entries),
        };
        let mut total = 0;
        for (group, start) in starts.iter().enumerate() {
            let bytes = entries.get(*start as usize..).ok_or(FormatError("a key begins past the end"))?;
            let mut cursor = Cursor::new(bytes);
            let mut length = 0;
            for _ in 0..RESTART_INTERVAL.min(self.rows - group * RESTART_INTERVAL) {
                let (kept, added) = (cursor.varint()? as usize, cursor.varint()? as usize);
                if kept > length || kept + added > KEY_BYTES_MAX {
                    return Err(FormatError("a key length is out of range"));
                }
                cursor.take(added)?;
                length = kept + added;
                total += length;
            }
        }
        Ok(total)
    }

    pub fn get(&self, index: usize) -> Bytes {
        assert!(index < self.rows, "row out of range");
        let mut key = BytesMut::with_capacity(self.prefix.len() + 32);
        key.put_slice(&self.prefix);
        match &self.kind {
            Kind::Fixed { width, remainders } => key.put_slice(&remainders[index * width..][..*width]),
            Kind::Varying(varying) => varying.put(index, &mut key),
            Kind::Restarts { starts, entries } => {
                let mut walk = Walk::new(&entries[starts[index / RESTART_INTERVAL] as usize..]);
                (0..=index % RESTART_INTERVAL).for_each(|_| walk.next());
                key.put_slice(&walk.key);
            }
        }
        key.freeze()
    }

    /// The keys of some rows, in order. Keys share one allocation.
    pub fn decode(&self, rows: Range<usize>) -> Vec<Bytes> {
        assert!(rows.end <= self.rows, "rows out of range");
        let mut ends = Vec::with_capacity(rows.len());
        let mut all = BytesMut::new();
        match &self.kind {
            Kind::Fixed { width, remainders } => {
                all.reserve(rows.len() * (self.prefix.len() + width));
                for index in rows {
                    all.put_slice(&self.prefix);
                    all.put_slice(&remainders[index * width..][..*width]);
                    ends.push(all.len());
                }
            }
            Kind::Varying(varying) => {
                all.reserve(rows.len() * (self.prefix.len() + varying.width()));
                for index in rows {
                    all.put_slice(&self.prefix);
                    varying.put(index, &mut all);
                    ends.push(all.len());
                }
            }
            Kind::Restarts { starts, entries } => {
                let groups = rows.start / RESTART_INTERVAL..rows.end.div_ceil(RESTART_INTERVAL);
                for (group, start) in groups.clone().zip(&starts[groups]) {
                    let mut walk = Walk::new(&entries[*start as usize..]);
                    let first = group * RESTART_INTERVAL;
                    for index in first..rows.end.min(first + RESTART_INTERVAL) {
                        walk.next();
                        if index >= rows.start {
                            all.put_slice(&self.prefix);
                            all.put_slice(&walk.key);
                            ends.push(all.len());
                        }
                    }
                }
            }
        }
        let all = all.freeze();
        let mut start = 0;
        ends.into_iter().map(|end| all.slice(std::mem::replace(&mut start, end)..end)).collect()
    }

    /// Index of the first key that is not less than `key`; the row count if there is none.
    pub fn lower_bound(&self, key: &[u8]) -> usize {
        let shared = self.prefix.len();
        match key[..shared.min(key.len())].cmp(&self.prefix) {
            Ordering::Less => return 0,
            Ordering::Greater => return self.rows,
            Ordering::Equal => {}
        }
        let wanted = &key[shared..];
        match &self.kind {
            Kind::Fixed { width, remainders } => {
                partition_point(self.rows, |index| &remainders[index * width..][..*width] < wanted)
            }
            Kind::Varying(varying) => varying.lower_bound(wanted, self.rows),
            Kind::Restarts { starts, entries } => {
                let group = partition_point(starts.len(), |group| {
                    let mut walk = Walk::new(&entries[starts[group] as usize..]);
                    walk.next();
                    &walk.key[..] < wanted
                });
                let Some(before) = group.checked_sub(1) else { return 0 };
                let mut walk = Walk::new(&entries[starts[before] as usize..]);
                let first = before * RESTART_INTERVAL;
                for index in first..(first + RESTART_INTERVAL).min(self.rows) {
                    walk.next();
                    if &walk.key[..] >= wanted {
                        return index;
                    }
                }
                (first + RESTART_INTERVAL).min(self.rows)
            }
        }
    }

    /// True where the key at `index` equals `key`.
    pub fn equals(&self, index: usize, key: &[u8]) -> bool {
        match &self.kind {
            Kind::Fixed { width, remainders } => {
                key.strip_prefix(&self.prefix[..]) == Some(&remainders[index * width..][..*width])
            }
            Kind::Varying(varying) => {
                key.strip_prefix(&self.prefix[..]).is_some_and(|remainder| varying.equals(index, remainder))
            }
            Kind::Restarts { .. } => self.get(index) == key,
        }
    }
}

/// Steps through prefix-compressed keys that [`KeyColumn::check_entries`] has accepted.
struct Walk<'a> {
    cursor: Cursor<'a>,
    key: Vec<u8>,
}

impl<'a> Walk<'a> {
    fn new(entries: &'a [u8]) -> Walk<'a> {
        Walk { cursor: Cursor::new(entries), key: Vec::with_capacity(32) }
    }

    fn next(&mut self) {
        let mut step = || {
            let (kept, added) = (self.cursor.varint()?, self.cursor.varint()?);
            Ok::<_, FormatError>((kept as usize, self.cursor.take(added as usize)?))
        };
        let (kept, added) = step().expect("entries were checked when the column was parsed");
        self.key.truncate(kept);
        self.key.extend_from_slice(added);
    }
}

pub fn partition_point(count: usize, before: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low + (high - low) / 2;
        if before(middle) { low = middle + 1 } else { high = middle }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(mut keys: Vec<Vec<u8>>, probes: &[Vec<u8>]) {
        keys.sort();
        let slices: Vec<&[u8]> = keys.iter().map(|key| &key[..]).collect();
        let mut encoded = Vec::new();
        encode(&slices, &mut encoded);
        let column = KeyColumn::parse(&encoded.into(), keys.len()).unwrap();
        assert_eq!(column.decode(0..keys.len()), slices);
        for (from, to) in [(0, keys.len() / 2), (keys.len() / 3, keys.len() * 2 / 3), (keys.len() / 2, keys.len())] {
            assert_eq!(column.decode(from..to), slices[from..to]);
        }
        for (index, key) in keys.iter().enumerate() {
            assert_eq!(column.get(index), key);
            assert!(column.equals(index, key));
        }
        for probe in keys.iter().chain(probes) {
            assert_eq!(column.lower_bound(probe), slices.partition_point(|key| *key < &probe[..]), "{probe:?}");
        }
    }

    proptest! {
        #[test]
        fn keys_of_any_length(
            keys in prop::collection::vec(prop::collection::vec(0u8..3, 0..12), 1..100),
            probes in prop::collection::vec(prop::collection::vec(0u8..4, 0..12), 0..20),
        ) {
            check(keys, &probes);
        }

        #[test]
        fn keys_of_one_length(keys in prop::collection::vec(any::<[u8; 9]>(), 1..100), probes in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..12), 0..20)) {
            let keys = keys.into_iter().map(|key| { let mut all = vec![0, 1, 2]; all.extend(key); all }).collect();
            check(keys, &probes);
        }

        /// As numbers make them: some bytes never change, some are the same for long, steps are even or not.
        #[test]
        fn keys_of_numbers(
            start in 0u64..1 << 40, step in 1u64..100_000, count in 1u64..200, parts in 1u64..9, jump in 0u64..1 << 50,
            probes in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>()), 0..40),
        ) {
            let key = |number: u64| {
                let mut key = vec![9, 9, 1];
                let after = if number > count / 2 { jump } else { 0 };
                key.extend((start + number / parts * step + after).to_be_bytes());
                key.push(1);
                key.extend((number % parts).to_be_bytes());
                key
            };
            let keys: Vec<Vec<u8>> = (0..count).map(key).collect();
            let probes = probes.into_iter().map(|(of, at, byte)| {
                let mut probe = keys[of.index(keys.len())].clone();
                let at = at.index(probe.len());
                probe[at] = byte;
                if byte % 5 == 0 {
                    probe.truncate(at);
                }
                probe
            }).collect::<Vec<_>>();
            check(keys, &probes);
        }

        #[test]
        fn damaged_bytes_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 3..200), encoding in 0u8..3, shared in 0u8..4, rows in 1usize..50) {
            bytes[0] = encoding;
            bytes[1] = shared;
            if let Ok(column) = KeyColumn::parse(&bytes.into(), rows) {
                column.decode(0..rows);
                column.lower_bound(&[1, 2, 3]);
                column.equals(rows - 1, &[1, 2, 3]);
            }
        }
    }
}
