//! Column encodings: how one column of a block lies in bytes, and how one value or all of them are got back.
//!
//! Every encoding allows a seek: value `i` is found without decoding those before it (at most a frame of 128 for
//! deltas). Decoders check all lengths when a column is parsed, once; afterwards any index below the row count is safe.

pub mod bits;
pub mod bytes;
pub mod integer;
pub mod keys;
mod varying;
pub mod wide;

/// What is wrong with bytes that were read; the caller adds which object and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FormatError(pub &'static str);

/// Reads fixed-size pieces from the front of a slice, never past its end.
#[derive(Clone, Copy)]
pub struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub fn new(bytes: &'a [u8]) -> Cursor<'a> {
        Cursor { rest: bytes }
    }

    pub fn take(&mut self, count: usize) -> Result<&'a [u8], FormatError> {
        let (head, rest) = self.rest.split_at_checked(count).ok_or(FormatError("it ends too early"))?;
        self.rest = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], FormatError> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(FormatError("it ends too early"))?;
        self.rest = rest;
        Ok(*head)
    }

    pub fn u8(&mut self) -> Result<u8, FormatError> {
        Ok(self.array::<1>()?[0])
    }

    pub fn u16(&mut self) -> Result<u16, FormatError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub fn u32(&mut self) -> Result<u32, FormatError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub fn u64(&mut self) -> Result<u64, FormatError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub fn varint(&mut self) -> Result<u32, FormatError> {
        let mut value = 0u32;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.u8()?;
            value |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(FormatError("a length is longer than five bytes"))
    }

    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

pub fn put_varint(out: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
