//! Types as written, to MySQL types: of columns and of CAST.

use crate::sql::parse::ast::syntax::{DataType, ObjectName, Value};
use crate::sql::parse::ast::{CharacterSet, TypeName};
use crate::sql::text_bytes;
use expr::collation::{Charset, CollationId, collation_by_name};
use expr::eval::SqlMode;
use expr::mysql_type::{BlobSize, GeometryKind, IntDisplay, MysqlType, TypeKind};
use expr::{ErrorCode, SqlError};
use std::sync::Arc;

/// A name's last part, without quotes.
pub fn plain_name(name: &ObjectName) -> String {
    name.0.last().and_then(|part| part.as_ident()).map(|ident| ident.value.clone()).unwrap_or_default()
}

/// The text of a text literal, which names its column.
pub fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::SingleQuotedString(text) | Value::NationalStringLiteral(text) => Some(text.trim_start().to_owned()),
        _ => None,
    }
}

/// The collation that a character set and a collation ask for together; None if neither is given.
pub fn collation_of(options: &CharacterSet) -> Result<Option<CollationId>, SqlError> {
    let charset = match options.charset.as_deref() {
        None => None,
        Some(name) if name.eq_ignore_ascii_case("default") => None,
        Some(name) => Some(Charset::from_name(name)?),
    };
    match (&options.collation, charset) {
        (Some(name), charset) => {
            let collation = collation_by_name(name)?;
            if let Some(charset) = charset
                && collation.charset() != charset
            {
                return Err(SqlError::new(
                    ErrorCode(1253),
                    format!("COLLATION '{name}' is not valid for CHARACTER SET '{}'", charset.name()),
                ));
            }
            Ok(Some(collation))
        }
        (None, Some(charset)) => Ok(Some(charset.default_collation())),
        (None, None) => Ok(None),
    }
}

/// The TEXT or BLOB that a VARCHAR or VARBINARY becomes which is too long, if the mode is not strict.
/// Manual: "Silent Column Specification Changes" (15.1.20.7).
pub fn as_long_text(name: &TypeName, home: CollationId, sql_mode: SqlMode) -> Option<TypeName> {
    let length = u64::from(*name.lengths.first()?);
    let charset = name.character_set.charset.as_deref().and_then(Charset::by_name).unwrap_or(home.charset());
    let (bytes, kind) = match name.name.as_str() {
        "VARCHAR" if charset != Charset::Binary => (length * u64::from(charset.bytes_max()), "TEXT"),
        "VARCHAR" | "VARBINARY" => (length, "BLOB"),
        _ => return None,
    };
    if sql_mode.is_strict() || bytes <= 65_535 {
        return None;
    }
    let size = if size_of(bytes) == BlobSize::Medium { "MEDIUM" } else { "LONG" };
    Some(TypeName { name: format!("{size}{kind}"), lengths: Vec::new(), ..name.clone() })
}

fn size_of(bytes: u64) -> BlobSize {
    match bytes {
        0..=255 => BlobSize::Tiny,
        256..=65_535 => BlobSize::Normal,
        65_536..=16_777_215 => BlobSize::Medium,
        _ => BlobSize::Long,
    }
}

/// A column's type, and its collation if one was given; otherwise it has that of its home.
pub fn column_type(
    column: &str,
    name: &TypeName,
    home: CollationId,
) -> Result<(MysqlType, Option<CollationId>), SqlError> {
    let mut collation = collation_of(&name.character_set)?;
    if name.binary {
        let charset = collation.unwrap_or(CollationId::UTF8MB4_0900_AI_CI).charset();
        collation = Some(charset.binary_collation());
    }
    let binary = collation == Some(CollationId::BINARY);
    let kind = kind(column, name, binary, collation.unwrap_or(home).charset())?;
    let mut ty = MysqlType::new(kind);
    if !ty.is_text() {
        return Ok((ty, None));
    }
    ty.collation = collation.unwrap_or(CollationId::UTF8MB4_0900_AI_CI);
    Ok((ty, collation))
}

fn kind(column: &str, name: &TypeName, binary: bool, charset: Charset) -> Result<TypeKind, SqlError> {
    let length = name.lengths.first().copied();
    let unsigned = name.unsigned;
    let int = |bytes: u8| {
        let default_width = match (bytes, unsigned) {
            (1, false) => 4,
            (1, true) => 3,
            (2, false) => 6,
            (2, true) => 5,
            (3, false) => 9,
            (3, true) => 8,
            (4, false) => 11,
            (4, true) => 10,
            _ => 20,
        };
        let width = length.map(|width| width.min(255) as u8);
        // Only tinyint(1) and ZEROFILL keep a width.
        let width = match width {
            Some(1) if bytes == 1 && !unsigned => Some(1),
            width if name.zerofill => Some(width.unwrap_or(default_width)),
            _ => None,
        };
        TypeKind::Int { bytes, unsigned, display: IntDisplay { width, zerofill: name.zerofill } }
    };
    let fsp = || -> Result<u8, SqlError> {
        match length {
            None => Ok(0),
            Some(fsp) if fsp <= 6 => Ok(fsp as u8),
            Some(fsp) => Err(SqlError::new(
                ErrorCode::TOO_BIG_PRECISION,
                format!("Too-big precision {fsp} specified for '{column}'. Maximum is 6."),
            )),
        }
    };
    let too_long = |maximum: u32| {
        SqlError::new(
            ErrorCode::TOO_BIG_FIELDLENGTH,
            format!("Column length too big for column '{column}' (max = {maximum}); use BLOB or TEXT instead"),
        )
    };
    let text = |size: BlobSize| if binary { TypeKind::Blob { size } } else { TypeKind::Text { size } };
    Ok(match name.name.as_str() {
        "TINYINT" => int(1),
        "SMALLINT" => int(2),
        "MEDIUMINT" => int(3),
        "INT" => int(4),
        "BIGINT" => int(8),
        "BIT" => match length.unwrap_or(1) {
            bits @ 1..=64 => TypeKind::Bit { bits: bits as u8 },
            0 => return Err(SqlError::new(ErrorCode(3013), format!("Invalid size for column '{column}'."))),
            _ => {
                return Err(SqlError::new(
                    ErrorCode(1439),
                    format!("Display width out of range for column '{column}' (max = 64)"),
                ));
            }
        },
        "YEAR" => TypeKind::Year,
        "FLOAT" | "DOUBLE" => {
            let display = match name.lengths.as_slice() {
                [digits, decimals] => {
                    let (digits, decimals) = precision(column, *digits, *decimals, 255)?;
                    Some((digits, decimals))
                }
                _ => None,
            };
            // FLOAT(p) with p over 24 is DOUBLE.
            if name.name == "DOUBLE" || (display.is_none() && length.is_some_and(|bits| bits > 24)) {
                TypeKind::Double { unsigned, display }
            } else {
                TypeKind::Float { unsigned, display }
            }
        }
        "DECIMAL" => {
            let digits = length.filter(|digits| *digits > 0).unwrap_or(10);
            let decimals = name.lengths.get(1).copied().unwrap_or(0);
            let (precision, scale) = precision(column, digits, decimals, 65)?;
            TypeKind::Decimal { precision, scale, unsigned }
        }
        "DATE" => TypeKind::Date,
        "TIME" => TypeKind::Time { fsp: fsp()? },
        "DATETIME" => TypeKind::DateTime { fsp: fsp()? },
        "TIMESTAMP" => TypeKind::Timestamp { fsp: fsp()? },
        "CHAR" | "BINARY" => match length.unwrap_or(1) {
            length @ 0..=255 if binary || name.name == "BINARY" => TypeKind::Binary { length },
            length @ 0..=255 => TypeKind::Char { length },
            _ => return Err(too_long(255)),
        },
        "VARCHAR" | "VARBINARY" => {
            let Some(length) = length else {
                return Err(SqlError::new(
                    ErrorCode::PARSE_ERROR,
                    format!("You have an error in your SQL syntax; {} needs a length for column '{column}'", name.name),
                ));
            };
            let bytes = binary || name.name == "VARBINARY";
            let maximum = if bytes { 65_535 } else { 16_383 };
            // Where the column names its own, characters of that set have fewer bytes.
            let own = name.character_set.charset.as_deref().and_then(Charset::by_name);
            let maximum = own.map_or(maximum, |charset| 65_535 / charset.bytes_max());
            if length > maximum {
                return Err(too_long(maximum));
            }
            if bytes { TypeKind::VarBinary { length } } else { TypeKind::VarChar { length } }
        }
        "TINYTEXT" => text(BlobSize::Tiny),
        "TEXT" => text(length.map_or(BlobSize::Normal, |length| size_of(u64::from(length) * 4))),
        "MEDIUMTEXT" => text(BlobSize::Medium),
        "LONGTEXT" => text(BlobSize::Long),
        "TINYBLOB" => TypeKind::Blob { size: BlobSize::Tiny },
        "BLOB" => TypeKind::Blob { size: length.map_or(BlobSize::Normal, |length| size_of(u64::from(length))) },
        "MEDIUMBLOB" => TypeKind::Blob { size: BlobSize::Medium },
        "LONGBLOB" => TypeKind::Blob { size: BlobSize::Long },
        "ENUM" => TypeKind::Enum(members(column, &name.members, charset)?),
        "SET" => TypeKind::Set(members(column, &name.members, charset)?),
        "JSON" => TypeKind::Json,
        "GEOMETRY" => TypeKind::Geometry(GeometryKind::Geometry),
        "POINT" => TypeKind::Geometry(GeometryKind::Point),
        "LINESTRING" => TypeKind::Geometry(GeometryKind::LineString),
        "POLYGON" => TypeKind::Geometry(GeometryKind::Polygon),
        "MULTIPOINT" => TypeKind::Geometry(GeometryKind::MultiPoint),
        "MULTILINESTRING" => TypeKind::Geometry(GeometryKind::MultiLineString),
        "MULTIPOLYGON" => TypeKind::Geometry(GeometryKind::MultiPolygon),
        "GEOMETRYCOLLECTION" => TypeKind::Geometry(GeometryKind::GeometryCollection),
        other => return Err(SqlError::not_supported(other)),
    })
}

/// Members lose their trailing spaces; 1291 for one that is there twice. `?` stands for bytes that are no text.
fn members(column: &str, members: &[String], charset: Charset) -> Result<Arc<[String]>, SqlError> {
    let text =
        |member: &String| text_bytes::to_bytes(member).map_or_else(|| member.clone(), |bytes| lossy(&bytes, charset));
    let members: Vec<String> = members.iter().map(|member| text(member).trim_end_matches(' ').to_owned()).collect();
    for (position, member) in members.iter().enumerate() {
        if members[..position].contains(member) {
            return Err(SqlError::new(
                ErrorCode(1291),
                format!("Column '{column}' has duplicated value '{member}' in ENUM"),
            ));
        }
    }
    Ok(Arc::from(members))
}

/// The text of bytes, each that is none a `?`.
fn lossy(mut bytes: &[u8], charset: Charset) -> String {
    let mut text = String::new();
    loop {
        match charset.decode(bytes) {
            Ok(rest) => return text + &rest,
            Err(position) => {
                text.push_str(&charset.decode(&bytes[..position]).unwrap_or_default());
                text.push('?');
                bytes = bytes.get(position + charset.bytes_min()..).unwrap_or_default();
            }
        }
    }
}

fn precision(column: &str, digits: u32, decimals: u32, digits_max: u32) -> Result<(u8, u8), SqlError> {
    if decimals > 30 {
        return Err(SqlError::new(
            ErrorCode::TOO_BIG_SCALE,
            format!("Too big scale {decimals} specified for column '{column}'. Maximum is 30."),
        ));
    }
    if digits > digits_max {
        return Err(SqlError::new(
            ErrorCode::TOO_BIG_PRECISION,
            format!("Too-big precision {digits} specified for '{column}'. Maximum is {digits_max}."),
        ));
    }
    if digits < decimals {
        return Err(SqlError::new(
            ErrorCode::M_BIGGER_THAN_D,
            format!("For float(M,D), double(M,D) or decimal(M,D), M must be >= D (column '{column}')."),
        ));
    }
    Ok((digits as u8, decimals as u8))
}

/// The type of a CAST, as the parser wrote it down.
pub fn cast_type(
    data_type: &DataType,
    argument: &MysqlType,
    collation_connection: CollationId,
) -> Result<MysqlType, SqlError> {
    let DataType::Custom(name, modifiers) = data_type else { return Err(SqlError::not_supported(data_type)) };
    let lengths: Vec<u32> = modifiers.iter().filter_map(|modifier| modifier.parse().ok()).collect();
    let charset = modifiers.iter().find_map(|modifier| modifier.strip_prefix("CHARSET "));
    let length = lengths.first().copied();
    let characters = super::unify::characters_max(argument).min(u64::from(u32::MAX)) as u32;
    let as_binary = |length: Option<u32>| match length {
        Some(length) => TypeKind::VarBinary { length },
        None if characters <= 16_383 => TypeKind::VarBinary { length: characters * 4 },
        None => TypeKind::Blob { size: BlobSize::Long },
    };
    let kind = match plain_name(name).as_str() {
        "SIGNED" => TypeKind::Int { bytes: 8, unsigned: false, display: IntDisplay::default() },
        "UNSIGNED" => TypeKind::Int { bytes: 8, unsigned: true, display: IntDisplay::default() },
        "CHAR" => {
            let collation = match charset {
                Some(charset) => Charset::from_name(charset)?.default_collation(),
                None => collation_connection,
            };
            if collation == CollationId::BINARY {
                return Ok(MysqlType::new(as_binary(length)));
            }
            let kind = match length {
                Some(length) => TypeKind::VarChar { length },
                None if characters <= 16_383 => TypeKind::VarChar { length: characters },
                None => TypeKind::Text { size: BlobSize::Long },
            };
            return Ok(MysqlType::text(kind, collation));
        }
        // BINARY(n) is filled up to n bytes.
        "BINARY" => match length {
            Some(length) => TypeKind::Binary { length },
            None => as_binary(None),
        },
        "DECIMAL" => {
            let digits = length.filter(|digits| *digits > 0).unwrap_or(10);
            let (precision, scale) = precision("CAST", digits, lengths.get(1).copied().unwrap_or(0), 65)?;
            TypeKind::Decimal { precision, scale, unsigned: false }
        }
        "FLOAT" if length.is_none_or(|bits| bits <= 24) => TypeKind::Float { unsigned: false, display: None },
        "FLOAT" | "DOUBLE" | "REAL" => TypeKind::Double { unsigned: false, display: None },
        "DATE" => TypeKind::Date,
        "TIME" | "DATETIME" if length.is_some_and(|fsp| fsp > 6) => {
            let text = format!("Too-big precision {} specified for 'CAST'. Maximum is 6.", length.unwrap_or(0));
            return Err(SqlError::new(ErrorCode::TOO_BIG_PRECISION, text));
        }
        "TIME" => TypeKind::Time { fsp: length.unwrap_or(0) as u8 },
        "DATETIME" => TypeKind::DateTime { fsp: length.unwrap_or(0) as u8 },
        "YEAR" => TypeKind::Year,
        "JSON" => TypeKind::Json,
        other => return Err(SqlError::not_supported(other)),
    };
    Ok(MysqlType::new(kind))
}
