//! Digests and compression. Manual: "Encryption and Compression Functions" (14.13).

use crate::collation::CollationId;
use crate::error::{ErrorCode, SqlError};
use crate::eval::EvalContext;
use crate::function::argument;
use crate::function::result::{self, fits_packet};
use crate::function::{Arguments, Call, Function};
use crate::mysql_type::MysqlType;
use crate::value::Value;
use Arguments::{Between, Exactly};
use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use md5::{Digest, Md5};
use sha1::Sha1;
use sha2::{Sha224, Sha256, Sha384, Sha512};
use std::io::{Read, Write};

pub mod aes;

pub static FUNCTIONS: &[Function] = &[
    Function::new("MD5", Exactly(1), result::text::<32>, |call, arguments, _| Ok(digest::<Md5>(call, arguments))),
    Function::new("SHA", Exactly(1), result::text::<40>, |call, arguments, _| Ok(digest::<Sha1>(call, arguments))),
    Function::new("SHA1", Exactly(1), result::text::<40>, |call, arguments, _| Ok(digest::<Sha1>(call, arguments))),
    Function::new("SHA2", Exactly(2), result::text::<128>, sha2),
    Function::new("COMPRESS", Exactly(1), compress_type, compress),
    Function::new("UNCOMPRESS", Exactly(1), result::long_binary, uncompress),
    Function::new("UNCOMPRESSED_LENGTH", Exactly(1), result::int::<10>, uncompressed_length),
    Function::new("AES_ENCRYPT", Between(2, 3), aes::encrypted_type, aes::encrypt).takes_null().statement(),
    Function::new("AES_DECRYPT", Between(2, 3), aes::decrypted_type, aes::decrypt).takes_null().statement(),
    // Without the component that has the rules, no password is any good.
    Function::new("VALIDATE_PASSWORD_STRENGTH", Exactly(1), result::int::<10>, |_, _, _| Ok(Value::Int(0))),
    Function::new("RANDOM_BYTES", Exactly(1), result::binary::<1024>, random_bytes).volatile(),
];

fn digest<D: Digest>(call: &Call<'_>, arguments: &[Value]) -> Value {
    Value::text(hex::encode(D::digest(argument::stored_bytes(call, &arguments[0]))))
}

fn sha2(call: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    Ok(match argument::integer(&arguments[1], context)? {
        224 => digest::<Sha224>(call, arguments),
        0 | 256 => digest::<Sha256>(call, arguments),
        384 => digest::<Sha384>(call, arguments),
        512 => digest::<Sha512>(call, arguments),
        _ => {
            context.warn(
                ErrorCode::WRONG_PARAMETERS_TO_NATIVE_FCT,
                "Incorrect parameters in the call to native function 'sha2'",
            );
            Value::Null
        }
    })
}

/// Bytes before the compressed data that hold the length of the original, least significant first.
const LENGTH_BYTES: usize = 4;

fn compress_type(types: &[MysqlType]) -> Result<MysqlType, SqlError> {
    let bytes = result::characters_max(&types[0]).saturating_mul(4).saturating_add(120);
    Ok(result::string(bytes, CollationId::BINARY))
}

fn compress(call: &Call<'_>, arguments: &[Value], _: &EvalContext) -> Result<Value, SqlError> {
    let bytes = argument::stored_bytes(call, &arguments[0]);
    if bytes.is_empty() {
        return Ok(Value::bytes(b""));
    }
    let length = u32::try_from(bytes.len()).map_err(|_| SqlError::internal("COMPRESS: text is over 4 GiB"))?;
    let mut encoder = ZlibEncoder::new(length.to_le_bytes().to_vec(), Compression::default());
    let written = encoder.write_all(&bytes).and_then(|()| encoder.finish());
    let mut compressed = written.map_err(|error| SqlError::internal(format!("COMPRESS: {error}")))?;
    // A CHAR column would lose a space at the end.
    if compressed.last() == Some(&b' ') {
        compressed.push(b'.');
    }
    Ok(Value::bytes(compressed))
}

fn corrupted(context: &EvalContext) -> Value {
    context.warn(ErrorCode::ZLIB_Z_DATA_ERROR, "ZLIB: Input data corrupted");
    Value::Null
}

fn length_of(bytes: &[u8]) -> Option<usize> {
    let header = bytes.get(..LENGTH_BYTES).filter(|_| bytes.len() > LENGTH_BYTES)?;
    // The top two bits are not part of the length.
    Some(header.iter().rev().fold(0usize, |sum, &byte| sum << 8 | usize::from(byte)) & 0x3FFF_FFFF)
}

fn uncompress(_: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    let bytes = arguments[0].to_bytes();
    if bytes.is_empty() {
        return Ok(Value::bytes(b""));
    }
    let Some(length) = length_of(&bytes) else { return Ok(corrupted(context)) };
    if !fits_packet("uncompress", length, context) {
        return Ok(Value::Null);
    }
    let mut original = Vec::new();
    let read = ZlibDecoder::new(&bytes[LENGTH_BYTES..]).take(length as u64).read_to_end(&mut original);
    match read {
        Ok(_) if original.len() == length => Ok(Value::bytes(original)),
        _ => Ok(corrupted(context)),
    }
}

fn uncompressed_length(_: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    let bytes = arguments[0].to_bytes();
    Ok(match length_of(&bytes) {
        Some(length) => Value::Int(length as i64),
        None if bytes.is_empty() => Value::Int(0),
        None => corrupted(context),
    })
}

fn random_bytes(_: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    match argument::integer(&arguments[0], context)? {
        count @ 1..=1024 => Ok(Value::bytes((0..count).map(|_| rand::random::<u8>()).collect::<Vec<_>>())),
        _ => Err(SqlError::new(ErrorCode::DATA_OUT_OF_RANGE, "length value is out of range in 'random_bytes'")),
    }
}
