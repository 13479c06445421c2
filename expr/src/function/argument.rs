//! Reading arguments: positions in text count characters, in binary strings bytes.

use crate::error::SqlError;
use crate::eval::EvalContext;
use crate::function::Call;
use crate::value::Value;
use std::borrow::Cow;

/// What a position counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    Character,
    Byte,
}

impl Unit {
    /// Bytes if the result is a binary string.
    pub fn of_result(call: &Call<'_>) -> Unit {
        if call.result_type.is_binary() { Unit::Byte } else { Unit::Character }
    }

    /// Bytes if one of the arguments is a binary string.
    pub fn of_arguments(call: &Call<'_>) -> Unit {
        if call.argument_types.iter().any(|ty| ty.is_binary()) { Unit::Byte } else { Unit::Character }
    }

    pub fn count(self, bytes: &[u8]) -> usize {
        match self {
            Unit::Byte => bytes.len(),
            Unit::Character => bytes.iter().filter(|&&byte| starts_character(byte)).count(),
        }
    }

    /// Where the unit number `index` (from 0) starts; the end if there are fewer.
    pub fn offset(self, bytes: &[u8], index: usize) -> usize {
        match self {
            Unit::Byte => index.min(bytes.len()),
            Unit::Character if index > bytes.len() => bytes.len(),
            Unit::Character => {
                let mut starts = bytes.iter().enumerate().filter(|&(_, &byte)| starts_character(byte));
                starts.nth(index).map_or(bytes.len(), |(offset, _)| offset)
            }
        }
    }
}

/// Not a continuation byte of UTF-8.
fn starts_character(byte: u8) -> bool {
    byte & 0xC0 != 0x80
}

/// The bytes of the first argument in its own character set: an `é` of a latin1 column is one.
pub fn stored_bytes<'v>(call: &Call<'_>, value: &'v Value) -> Cow<'v, [u8]> {
    call.argument_types.first().map_or_else(|| value.to_bytes(), |ty| value.stored_bytes(ty))
}

/// A count or position argument as MySQL reads it: too large unsigned numbers are just very large.
pub fn integer(value: &Value, context: &EvalContext) -> Result<i64, SqlError> {
    match value {
        Value::UInt(number) => Ok(i64::try_from(*number).unwrap_or(i64::MAX)),
        other => other.to_i64(context),
    }
}

/// Bits of an integer argument, negative ones in two's complement, as functions on 64-bit sets read them.
pub fn bits(value: &Value, context: &EvalContext) -> Result<u64, SqlError> {
    match value {
        Value::UInt(number) | Value::Bit(number, _) | Value::Set(number, _) => Ok(*number),
        Value::Int(number) => Ok(*number as u64),
        other => Ok(other.to_i64(context)? as u64),
    }
}
