//! Types of results: how long a text can get, which collation it has; and making string values of those types.

use crate::collation::{self, CollationId};
use crate::error::{ErrorCode, SqlError};
use crate::eval::EvalContext;
use crate::function::Call;
use crate::mysql_type::{BlobSize, IntDisplay, MysqlType, TypeKind};
use crate::value::Value;
use std::sync::Arc;

/// What a session without its own setting allows: MySQL's default of max_allowed_packet, 64 MiB.
const MAX_ALLOWED_PACKET_DEFAULT: usize = 64 << 20;

/// Characters in the longest text form of a value of that type.
pub fn characters_max(ty: &MysqlType) -> u64 {
    match &ty.kind {
        TypeKind::Null => 0,
        TypeKind::Int { display: IntDisplay { width: Some(width), .. }, .. } => u64::from(*width),
        TypeKind::Int { bytes, unsigned, .. } => match (bytes, unsigned) {
            (1, false) => 4,
            (1, true) => 3,
            (2, false) => 6,
            (2, true) => 5,
            (3, false) => 9,
            (3, true) => 8,
            (4, false) => 11,
            (4, true) => 10,
            _ => 20,
        },
        TypeKind::Bit { bits } => u64::from(bits.div_ceil(8)),
        TypeKind::Year => 4,
        TypeKind::Float { .. } => 12,
        TypeKind::Double { .. } => 23,
        TypeKind::Decimal { precision, scale, unsigned } => {
            // Without digits before the point there is a zero.
            u64::from(*precision) + u64::from(*scale > 0) + u64::from(!*unsigned) + u64::from(scale == precision)
        }
        TypeKind::Date => 10,
        TypeKind::Time { fsp } => 10 + fraction_characters(*fsp),
        TypeKind::DateTime { fsp } | TypeKind::Timestamp { fsp } => 19 + fraction_characters(*fsp),
        TypeKind::Char { length }
        | TypeKind::VarChar { length }
        | TypeKind::Binary { length }
        | TypeKind::VarBinary { length } => u64::from(*length),
        TypeKind::Text { size } | TypeKind::Blob { size } => match size {
            BlobSize::Tiny => 255,
            BlobSize::Normal => 65_535,
            BlobSize::Medium => 16_777_215,
            BlobSize::Long => u64::from(u32::MAX),
        },
        TypeKind::Enum(members) => members.iter().map(|member| member.chars().count() as u64).max().unwrap_or(0),
        TypeKind::Set(members) => members.iter().map(|member| member.chars().count() as u64 + 1).sum(),
        TypeKind::Json | TypeKind::Geometry(_) => u64::from(u32::MAX),
    }
}

fn fraction_characters(fsp: u8) -> u64 {
    if fsp == 0 { 0 } else { u64::from(fsp) + 1 }
}

/// Collation of a text made from values of these types. Where they cannot be brought together it is the first one's:
/// only comparing such texts is an error.
pub fn collation_of(types: &[MysqlType]) -> CollationId {
    let first = types.iter().find(|ty| ty.is_string()).map(|ty| ty.collation);
    collation::aggregate(types).ok().or(first).unwrap_or(CollationId::UTF8MB4_0900_AI_CI)
}

/// As [`collation_of`], for results that are text even of binary strings: formatted dates.
pub fn text_collation_of(types: &[MysqlType]) -> CollationId {
    match collation_of(types) {
        CollationId::BINARY => CollationId::UTF8MB4_0900_AI_CI,
        text => text,
    }
}

/// VARCHAR, or TEXT when longer than a VARCHAR can be; their binary forms for the binary collation.
pub fn string(characters_max: u64, collation: CollationId) -> MysqlType {
    let bytes = if collation == CollationId::BINARY { characters_max } else { characters_max.saturating_mul(4) };
    let size = match bytes {
        0..=65_535 => None,
        65_536..=16_777_215 => Some(BlobSize::Medium),
        _ => Some(BlobSize::Long),
    };
    let kind = match (size, collation == CollationId::BINARY) {
        (None, true) => TypeKind::VarBinary { length: characters_max as u32 },
        (None, false) => TypeKind::VarChar { length: characters_max as u32 },
        (Some(size), true) => TypeKind::Blob { size },
        (Some(size), false) => TypeKind::Text { size },
    };
    MysqlType::text(kind, collation)
}

/// Text or bytes like the first argument, of at most its length.
pub fn like_first(types: &[MysqlType]) -> Result<MysqlType, SqlError> {
    Ok(string(types.first().map_or(0, characters_max), collation_of(&types[..1.min(types.len())])))
}

/// As long as a LONGTEXT: for lengths that only the values tell.
pub fn long_like_first(types: &[MysqlType]) -> Result<MysqlType, SqlError> {
    Ok(string(u64::from(u32::MAX), collation_of(&types[..1.min(types.len())])))
}

/// A text of at most N characters in the default collation, whatever the arguments.
pub fn text<const N: u32>(_: &[MysqlType]) -> Result<MysqlType, SqlError> {
    Ok(string(u64::from(N), CollationId::UTF8MB4_0900_AI_CI))
}

pub fn long_text(_: &[MysqlType]) -> Result<MysqlType, SqlError> {
    Ok(string(u64::from(u32::MAX), CollationId::UTF8MB4_0900_AI_CI))
}

/// At most N bytes.
pub fn binary<const N: u32>(_: &[MysqlType]) -> Result<MysqlType, SqlError> {
    Ok(string(u64::from(N), CollationId::BINARY))
}

pub fn long_binary(_: &[MysqlType]) -> Result<MysqlType, SqlError> {
    Ok(string(u64::from(u32::MAX), CollationId::BINARY))
}

pub fn bigint(_: &[MysqlType]) -> Result<MysqlType, SqlError> {
    Ok(MysqlType::bigint())
}

pub fn bigint_unsigned(_: &[MysqlType]) -> Result<MysqlType, SqlError> {
    Ok(MysqlType::bigint_unsigned())
}

/// INT with a display width: what most integer functions give.
pub fn int<const WIDTH: u8>(_: &[MysqlType]) -> Result<MysqlType, SqlError> {
    let display = IntDisplay { width: Some(WIDTH), zerofill: false };
    Ok(MysqlType::new(TypeKind::Int { bytes: if WIDTH > 11 { 8 } else { 4 }, unsigned: false, display }))
}

pub fn boolean(_: &[MysqlType]) -> Result<MysqlType, SqlError> {
    Ok(MysqlType::boolean())
}

pub fn double(_: &[MysqlType]) -> Result<MysqlType, SqlError> {
    Ok(MysqlType::double())
}

pub fn date(_: &[MysqlType]) -> Result<MysqlType, SqlError> {
    Ok(MysqlType::new(TypeKind::Date))
}

pub fn json(_: &[MysqlType]) -> Result<MysqlType, SqlError> {
    Ok(MysqlType::new(TypeKind::Json))
}

/// Fractional digits of a value as TIME or DATETIME: its own; six for DOUBLE and text, whose digits only values tell.
pub fn fsp_of(ty: &MysqlType) -> u8 {
    match &ty.kind {
        TypeKind::Time { fsp } | TypeKind::DateTime { fsp } | TypeKind::Timestamp { fsp } => *fsp,
        TypeKind::Decimal { scale, .. } => (*scale).min(6),
        TypeKind::Null | TypeKind::Date | TypeKind::Year | TypeKind::Int { .. } | TypeKind::Bit { .. } => 0,
        _ => 6,
    }
}

/// Bytes as a value of the call's type. What is not UTF-8 in a text shows replacement characters.
pub fn string_value(call: &Call<'_>, bytes: &[u8]) -> Value {
    if call.result_type.is_binary() { Value::Bytes(Arc::from(bytes)) } else { text_value(bytes) }
}

pub fn text_value(bytes: &[u8]) -> Value {
    Value::text(String::from_utf8_lossy(bytes))
}

/// Whether a string of that many bytes may be made; if not, the warning is given and the result is to be NULL.
pub fn fits_packet(function: &str, length_bytes: usize, context: &EvalContext) -> bool {
    let limit = match context.session.max_allowed_packet {
        0 => MAX_ALLOWED_PACKET_DEFAULT,
        limit => limit,
    };
    if length_bytes <= limit {
        return true;
    }
    let message = format!("Result of {function}() was larger than max_allowed_packet ({limit}) - truncated");
    context.warn(ErrorCode::WARN_ALLOWED_PACKET_OVERFLOWED, message);
    false
}
