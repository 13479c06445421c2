//! Columns of 128- and 256-bit integers. Most decimals fit 64 bits; then they are stored as such.

use super::integer::{self, IntegerColumn};
use super::{Cursor, FormatError};
use bytes::Bytes;

const NARROW: u8 = 0;
const PLAIN: u8 = 1;

/// Little-endian two's complement integers of `N` bytes.
#[derive(Debug)]
pub struct WideColumn<const N: usize> {
    rows: usize,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// All values fit 64 bits, signed.
    Narrow(IntegerColumn),
    Plain(Bytes),
}

pub fn encode<const N: usize>(values: &[[u8; N]], out: &mut Vec<u8>) {
    let narrow: Option<Vec<u64>> = values.iter().map(narrowed).collect();
    match narrow {
        Some(narrow) => {
            out.push(NARROW);
            integer::encode(&narrow, true, out);
        }
        None => {
            out.push(PLAIN);
            out.extend(values.iter().flatten());
        }
    }
}

fn narrowed<const N: usize>(value: &[u8; N]) -> Option<u64> {
    let low = u64::from_le_bytes(*value.first_chunk().expect("wide integers have at least eight bytes"));
    (widened::<N>(low) == *value).then_some(low)
}

fn widened<const N: usize>(value: u64) -> [u8; N] {
    let mut wide = if (value as i64) < 0 { [0xff; N] } else { [0; N] };
    wide[..8].copy_from_slice(&value.to_le_bytes());
    wide
}

impl<const N: usize> WideColumn<N> {
    pub fn parse(bytes: &Bytes, rows: usize) -> Result<WideColumn<N>, FormatError> {
        let mut cursor = Cursor::new(bytes);
        let kind = match cursor.u8()? {
            NARROW => Kind::Narrow(IntegerColumn::parse(&bytes.slice_ref(cursor.rest()), rows)?),
            PLAIN => Kind::Plain(bytes.slice_ref(cursor.take(rows * N)?)),
            _ => return Err(FormatError("unknown wide integer encoding")),
        };
        Ok(WideColumn { rows, kind })
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    pub fn get(&self, index: usize) -> [u8; N] {
        match &self.kind {
            Kind::Narrow(column) => widened(column.get(index)),
            Kind::Plain(values) => {
                *values[index * N..].first_chunk().expect("length was checked when the column was parsed")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn narrow_and_wide_values_come_back() {
        let narrow: Vec<[u8; 16]> = (-50..50i128).map(|n| (n * 1_000_000_007).to_le_bytes()).collect();
        let mut wide = narrow.clone();
        wide.push(i128::MIN.to_le_bytes());
        for (values, kind) in [(narrow, NARROW), (wide, PLAIN)] {
            let mut encoded = Vec::new();
            encode(&values, &mut encoded);
            assert_eq!(encoded[0], kind);
            let column = WideColumn::<16>::parse(&encoded.into(), values.len()).unwrap();
            for (index, value) in values.iter().enumerate() {
                assert_eq!(column.get(index), *value);
            }
        }
    }
}
