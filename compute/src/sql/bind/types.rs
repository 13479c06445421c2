//! Types as written, as MySQL types: lengths checked, character sets and collations resolved.

use crate::sql::parse::ast::{CharacterSet, TypeName};
use expr::collation::charset::Charset;
use expr::collation::{CollationId, collation_by_name};
use expr::mysql_type::{BlobSize, GeometryKind, IntDisplay, MysqlType, TypeKind};
use expr::{ErrorCode, SqlError};

/// A column's type, and its collation where one was written. `default` is that of the table, or of the connection.
pub fn column_type(
    name: &str,
    written: &TypeName,
    default: CollationId,
) -> Result<(MysqlType, Option<CollationId>), SqlError> {
    let given = written_collation(written, default)?;
    let kind = kind(name, written)?;
    let mut ty = MysqlType::new(kind);
    if ty.is_text() {
        ty.collation = given.unwrap_or(default);
        if ty.collation == CollationId::BINARY {
            // CHARACTER SET binary makes a binary string of it.
            ty.kind = match ty.kind {
                TypeKind::Char { length } => TypeKind::Binary { length },
                TypeKind::VarChar { length } => TypeKind::VarBinary { length },
                TypeKind::Text { size } => TypeKind::Blob { size },
                other => other,
            };
        }
        check_row_size(name, &ty)?;
        let given = given.filter(|_| ty.is_text());
        return Ok((ty, given));
    }
    check_row_size(name, &ty)?;
    Ok((ty, None))
}

/// CHARACTER SET and COLLATE as one collation; `None` if neither was written. 1115, 1253, 1273.
pub fn collation_of(written: &CharacterSet) -> Result<Option<CollationId>, SqlError> {
    let charset = written.charset.as_deref().map(Charset::from_name).transpose()?;
    let collation = written.collation.as_deref().map(collation_by_name).transpose()?;
    match (charset, collation) {
        (Some(charset), Some(collation)) if collation.charset() != charset => {
            let text =
                format!("COLLATION '{}' is not valid for CHARACTER SET '{}'", collation.name(), charset.name());
            Err(SqlError::new(ErrorCode(1253), text))
        }
        (_, Some(collation)) => Ok(Some(collation)),
        (Some(charset), None) => Ok(Some(charset.default_collation())),
        (None, None) => Ok(None),
    }
}

fn written_collation(written: &TypeName, default: CollationId) -> Result<Option<CollationId>, SqlError> {
    let collation = collation_of(&written.character_set)?;
    if written.binary && written.character_set.collation.is_none() {
        return Ok(Some(collation.unwrap_or(default).charset().binary_collation()));
    }
    Ok(collation)
}

fn kind(name: &str, written: &TypeName) -> Result<TypeKind, SqlError> {
    let unsigned = written.unsigned || written.zerofill;
    let first = written.lengths.first().copied();
    let second = written.lengths.get(1).copied();
    let integer = |bytes: u8, zerofill_width: u8| {
        let width = match first {
            // MySQL 8 shows the width of TINYINT(1) and of ZEROFILL columns only.
            Some(width) if written.zerofill => Some(width.min(255) as u8),
            None if written.zerofill => Some(zerofill_width),
            Some(1) if bytes == 1 && !unsigned => Some(1),
            _ => None,
        };
        TypeKind::Int { bytes, unsigned, display: IntDisplay { width, zerofill: written.zerofill } }
    };
    let fsp = || match first.unwrap_or(0) {
        fsp @ 0..=6 => Ok(fsp as u8),
        fsp => {
            let text = format!("Too-big precision {fsp} specified for '{name}'. Maximum is 6.");
            Err(SqlError::new(ErrorCode::TOO_BIG_PRECISION, text))
        }
    };
    let blob = |text: bool, size: BlobSize| if text { TypeKind::Text { size } } else { TypeKind::Blob { size } };
    Ok(match written.name.as_str() {
        "TINYINT" => integer(1, 3 + u8::from(!unsigned)),
        "BOOL" | "BOOLEAN" => {
            TypeKind::Int { bytes: 1, unsigned: false, display: IntDisplay { width: Some(1), zerofill: false } }
        }
        "SMALLINT" => integer(2, 5),
        "MEDIUMINT" => integer(3, 8),
        "INT" | "INTEGER" => integer(4, 10),
        "BIGINT" => integer(8, 20),
        "BIT" => match first.unwrap_or(1) {
            bits @ 1..=64 => TypeKind::Bit { bits: bits as u8 },
            0 => return Err(SqlError::new(ErrorCode(3013), format!("Invalid size for column '{name}'."))),
            bits => {
                let text = format!("Display width out of range for column '{name}' (max = 64)");
                let _ = bits;
                return Err(SqlError::new(ErrorCode(1439), text));
            }
        },
        "YEAR" => TypeKind::Year,
        "FLOAT" => match (first, second) {
            (Some(digits), Some(scale)) => TypeKind::Float { unsigned, display: Some(float_digits(name, digits, scale)?) },
            // FLOAT(p): single precision up to 24 bits, double from there.
            (Some(25..=53), None) => TypeKind::Double { unsigned, display: None },
            (Some(54..), None) => {
                return Err(SqlError::new(ErrorCode(1063), format!("Incorrect column specifier for column '{name}'")));
            }
            _ => TypeKind::Float { unsigned, display: None },
        },
        "DOUBLE" | "REAL" | "DOUBLE PRECISION" => TypeKind::Double {
            unsigned,
            display: match (first, second) {
                (Some(digits), Some(scale)) => Some(float_digits(name, digits, scale)?),
                _ => None,
            },
        },
        "DECIMAL" | "NUMERIC" | "DEC" | "FIXED" => {
            let (precision, scale) = decimal_digits(name, first, second)?;
            TypeKind::Decimal { precision, scale, unsigned }
        }
        "DATE" => TypeKind::Date,
        "TIME" => TypeKind::Time { fsp: fsp()? },
        "DATETIME" => TypeKind::DateTime { fsp: fsp()? },
        "TIMESTAMP" => TypeKind::Timestamp { fsp: fsp()? },
        "CHAR" => TypeKind::Char { length: short_length(name, first.unwrap_or(1))? },
        "BINARY" => TypeKind::Binary { length: short_length(name, first.unwrap_or(1))? },
        "VARCHAR" => TypeKind::VarChar { length: first.unwrap_or(1) },
        "VARBINARY" => TypeKind::VarBinary { length: first.unwrap_or(1) },
        "TINYTEXT" => blob(true, BlobSize::Tiny),
        "TEXT" => blob(true, sized(first, 4)),
        "MEDIUMTEXT" => blob(true, BlobSize::Medium),
        "LONGTEXT" => blob(true, BlobSize::Long),
        "TINYBLOB" => blob(false, BlobSize::Tiny),
        "BLOB" => blob(false, sized(first, 1)),
        "MEDIUMBLOB" => blob(false, BlobSize::Medium),
        "LONGBLOB" => blob(false, BlobSize::Long),
        "ENUM" => TypeKind::Enum(members(name, written, 65_535)?),
        "SET" => TypeKind::Set(members(name, written, 64)?),
        "JSON" => TypeKind::Json,
        "GEOMETRY" => TypeKind::Geometry(GeometryKind::Geometry),
        "POINT" => TypeKind::Geometry(GeometryKind::Point),
        "LINESTRING" => TypeKind::Geometry(GeometryKind::LineString),
        "POLYGON" => TypeKind::Geometry(GeometryKind::Polygon),
        "MULTIPOINT" => TypeKind::Geometry(GeometryKind::MultiPoint),
        "MULTILINESTRING" => TypeKind::Geometry(GeometryKind::MultiLineString),
        "MULTIPOLYGON" => TypeKind::Geometry(GeometryKind::MultiPolygon),
        "GEOMETRYCOLLECTION" | "GEOMCOLLECTION" => TypeKind::Geometry(GeometryKind::GeometryCollection),
        other => return Err(SqlError::not_supported(format!("column type {other}"))),
    })
}

fn float_digits(name: &str, digits: u32, scale: u32) -> Result<(u8, u8), SqlError> {
    if scale > 30 {
        return Err(too_big_scale(name, scale));
    }
    if digits > 255 {
        let text = format!("Display width out of range for column '{name}' (max = 255)");
        return Err(SqlError::new(ErrorCode(1439), text));
    }
    if scale > digits {
        return Err(scale_above_precision(name));
    }
    Ok((digits as u8, scale as u8))
}

fn decimal_digits(name: &str, first: Option<u32>, second: Option<u32>) -> Result<(u8, u8), SqlError> {
    let precision = match first {
        None | Some(0) => 10,
        Some(precision) => precision,
    };
    let scale = second.unwrap_or(0);
    if scale > 30 {
        return Err(too_big_scale(name, scale));
    }
    if precision > 65 {
        let text = format!("Too-big precision {precision} specified for '{name}'. Maximum is 65.");
        return Err(SqlError::new(ErrorCode::TOO_BIG_PRECISION, text));
    }
    if scale > precision {
        return Err(scale_above_precision(name));
    }
    Ok((precision as u8, scale as u8))
}

fn too_big_scale(name: &str, scale: u32) -> SqlError {
    let text = format!("Too big scale {scale} specified for column '{name}'. Maximum is 30.");
    SqlError::new(ErrorCode::TOO_BIG_SCALE, text)
}

fn scale_above_precision(name: &str) -> SqlError {
    let text = format!("For float(M,D), double(M,D) or decimal(M,D), M must be >= D (column '{name}').");
    SqlError::new(ErrorCode::M_BIGGER_THAN_D, text)
}

/// CHAR and BINARY: at most 255.
fn short_length(name: &str, length: u32) -> Result<u32, SqlError> {
    if length > 255 {
        let text = format!("Column length too big for column '{name}' (max = 255); use BLOB or TEXT instead");
        return Err(SqlError::new(ErrorCode::TOO_BIG_FIELDLENGTH, text));
    }
    Ok(length)
}

/// VARCHAR and VARBINARY have to fit a row of 65,535 bytes.
fn check_row_size(name: &str, ty: &MysqlType) -> Result<(), SqlError> {
    let (length, max) = match ty.kind {
        TypeKind::VarChar { length } => (length, 65_535 / ty.collation.charset().bytes_max()),
        TypeKind::VarBinary { length } => (length, 65_535),
        _ => return Ok(()),
    };
    if length > max {
        let text = format!("Column length too big for column '{name}' (max = {max}); use BLOB or TEXT instead");
        return Err(SqlError::new(ErrorCode::TOO_BIG_FIELDLENGTH, text));
    }
    Ok(())
}

/// TEXT(n) and BLOB(n): the smallest that holds n characters.
fn sized(length: Option<u32>, character_bytes: u64) -> BlobSize {
    match length.map(|length| u64::from(length) * character_bytes) {
        None => BlobSize::Normal,
        Some(0..=255) => BlobSize::Tiny,
        Some(256..=65_535) => BlobSize::Normal,
        Some(65_536..=16_777_215) => BlobSize::Medium,
        Some(_) => BlobSize::Long,
    }
}

fn members(name: &str, written: &TypeName, max: usize) -> Result<std::sync::Arc<[String]>, SqlError> {
    if written.members.len() > max {
        let text = format!("Too many enumeration values for column {name}.");
        return Err(SqlError::new(ErrorCode(3502), text));
    }
    // Spaces at the end are not part of a member.
    Ok(written.members.iter().map(|member| member.trim_end_matches(' ').to_string()).collect())
}
