//! Column definitions: what a client is told about each column of a result or parameter.

use super::character_set::Results;
use crate::sql::plan::Field;
use expr::collation::CollationId;
use expr::mysql_type::{BlobSize, MysqlType, TypeKind};
use mysql_common::constants::{ColumnFlags, ColumnType};
use mysql_common::io::BufMutExt;
use mysql_common::packets::Column;

/// Decimals of floating point columns without a fixed scale, and of strings.
const DECIMALS_NOT_FIXED: u8 = 31;

/// The definition of a result column.
pub fn definition(field: &Field, results: Results) -> Column {
    let charset = results.charset();
    let mut column = typed(&field.ty, results).with_name(&charset.encode(&field.name));
    let mut flags = type_flags(&field.ty);
    if let Some(origin) = &field.origin {
        column = column
            .with_schema(&charset.encode(&origin.database))
            .with_table(&charset.encode(&origin.table))
            .with_org_table(&charset.encode(&origin.original_table))
            .with_org_name(&charset.encode(&origin.original_name));
        for (holds, flag) in [
            (origin.primary_key, ColumnFlags::PRI_KEY_FLAG),
            (origin.unique_key, ColumnFlags::UNIQUE_KEY_FLAG),
            (origin.multiple_key, ColumnFlags::MULTIPLE_KEY_FLAG),
            (origin.primary_key || origin.unique_key || origin.multiple_key, ColumnFlags::PART_KEY_FLAG),
            (origin.auto_increment, ColumnFlags::AUTO_INCREMENT_FLAG),
            (origin.no_default, ColumnFlags::NO_DEFAULT_VALUE_FLAG),
            (origin.on_update_now, ColumnFlags::ON_UPDATE_NOW_FLAG),
        ] {
            flags.set(flag, holds);
        }
    }
    column.with_flags(flags)
}

/// The definition of a `?`.
pub fn parameter(ty: &MysqlType) -> Column {
    typed(ty, Results { collation: Some(CollationId::BINARY) }).with_name(b"?").with_flags(ColumnFlags::BINARY_FLAG)
}

/// Writes a definition's payload. mysql_common's own serialisation has length and character set the wrong way round.
pub fn encode(column: &Column, out: &mut Vec<u8>) {
    out.put_lenenc_str(b"def");
    for text in
        [column.schema_ref(), column.table_ref(), column.org_table_ref(), column.name_ref(), column.org_name_ref()]
    {
        out.put_lenenc_str(text);
    }
    // Bytes of the fields from here on.
    out.push(12);
    out.extend_from_slice(&column.character_set().to_le_bytes());
    out.extend_from_slice(&column.column_length().to_le_bytes());
    out.push(column.column_type() as u8);
    out.extend_from_slice(&column.flags().bits().to_le_bytes());
    out.push(column.decimals());
    out.extend_from_slice(&[0, 0]);
}

fn typed(ty: &MysqlType, results: Results) -> Column {
    let charset = results.collation_of(ty);
    Column::new(column_type(ty))
        .with_character_set(charset.0)
        .with_column_length(length(ty, charset))
        .with_decimals(decimals(ty))
}

/// The type on the wire.
pub fn column_type(ty: &MysqlType) -> ColumnType {
    match &ty.kind {
        TypeKind::Null => ColumnType::MYSQL_TYPE_NULL,
        TypeKind::Int { bytes: 1, .. } => ColumnType::MYSQL_TYPE_TINY,
        TypeKind::Int { bytes: 2, .. } => ColumnType::MYSQL_TYPE_SHORT,
        TypeKind::Int { bytes: 3, .. } => ColumnType::MYSQL_TYPE_INT24,
        TypeKind::Int { bytes: 4, .. } => ColumnType::MYSQL_TYPE_LONG,
        TypeKind::Int { .. } => ColumnType::MYSQL_TYPE_LONGLONG,
        TypeKind::Bit { .. } => ColumnType::MYSQL_TYPE_BIT,
        TypeKind::Year => ColumnType::MYSQL_TYPE_YEAR,
        TypeKind::Float { .. } => ColumnType::MYSQL_TYPE_FLOAT,
        TypeKind::Double { .. } => ColumnType::MYSQL_TYPE_DOUBLE,
        TypeKind::Decimal { .. } => ColumnType::MYSQL_TYPE_NEWDECIMAL,
        TypeKind::Date => ColumnType::MYSQL_TYPE_DATE,
        TypeKind::Time { .. } => ColumnType::MYSQL_TYPE_TIME,
        TypeKind::DateTime { .. } => ColumnType::MYSQL_TYPE_DATETIME,
        TypeKind::Timestamp { .. } => ColumnType::MYSQL_TYPE_TIMESTAMP,
        TypeKind::Char { .. } | TypeKind::Binary { .. } | TypeKind::Enum(_) | TypeKind::Set(_) => {
            ColumnType::MYSQL_TYPE_STRING
        }
        TypeKind::VarChar { .. } | TypeKind::VarBinary { .. } => ColumnType::MYSQL_TYPE_VAR_STRING,
        TypeKind::Text { .. } | TypeKind::Blob { .. } => ColumnType::MYSQL_TYPE_BLOB,
        TypeKind::Json => ColumnType::MYSQL_TYPE_JSON,
        TypeKind::Geometry(_) => ColumnType::MYSQL_TYPE_GEOMETRY,
    }
}

fn type_flags(ty: &MysqlType) -> ColumnFlags {
    let mut flags = ColumnFlags::empty();
    flags.set(ColumnFlags::NOT_NULL_FLAG, !ty.nullable);
    flags.set(ColumnFlags::UNSIGNED_FLAG, ty.is_unsigned());
    flags.set(ColumnFlags::BINARY_FLAG, !ty.is_text());
    flags.set(
        ColumnFlags::BLOB_FLAG,
        matches!(ty.kind, TypeKind::Text { .. } | TypeKind::Blob { .. } | TypeKind::Json | TypeKind::Geometry(_)),
    );
    flags.set(ColumnFlags::ENUM_FLAG, matches!(ty.kind, TypeKind::Enum(_)));
    flags.set(ColumnFlags::SET_FLAG, matches!(ty.kind, TypeKind::Set(_)));
    flags.set(ColumnFlags::TIMESTAMP_FLAG, matches!(ty.kind, TypeKind::Timestamp { .. }));
    if let TypeKind::Int { display, .. } = ty.kind {
        flags.set(ColumnFlags::ZEROFILL_FLAG, display.zerofill);
    }
    // Numbers carry NUM only inside the client library; BINARY on them is what MySQL sends.
    flags
}

/// Display length; of strings the longest in bytes of the charset they travel in.
fn length(ty: &MysqlType, charset: CollationId) -> u32 {
    let character_bytes = charset.charset().bytes_max();
    match &ty.kind {
        TypeKind::Null => 0,
        TypeKind::Int { display, .. } if display.width.is_some() => display.width.unwrap_or(1).into(),
        TypeKind::Int { bytes: 1, unsigned, .. } => 4 - u32::from(*unsigned),
        TypeKind::Int { bytes: 2, unsigned, .. } => 6 - u32::from(*unsigned),
        TypeKind::Int { bytes: 3, unsigned, .. } => 9 - u32::from(*unsigned),
        TypeKind::Int { bytes: 4, unsigned, .. } => 11 - u32::from(*unsigned),
        TypeKind::Int { .. } => 20,
        TypeKind::Bit { bits } => (*bits).into(),
        TypeKind::Year => 4,
        TypeKind::Float { display: Some((digits, _)), .. } | TypeKind::Double { display: Some((digits, _)), .. } => {
            (*digits).into()
        }
        TypeKind::Float { .. } => 12,
        TypeKind::Double { .. } => 22,
        TypeKind::Decimal { precision, scale, unsigned } => {
            u32::from(*precision) + u32::from(*scale > 0) + u32::from(!*unsigned)
        }
        TypeKind::Date => 10,
        TypeKind::Time { fsp } => 10 + fraction_length(*fsp),
        TypeKind::DateTime { fsp } | TypeKind::Timestamp { fsp } => 19 + fraction_length(*fsp),
        TypeKind::Char { length } | TypeKind::VarChar { length } => length.saturating_mul(character_bytes),
        TypeKind::Binary { length } | TypeKind::VarBinary { length } => *length,
        TypeKind::Text { size } | TypeKind::Blob { size } => match size {
            BlobSize::Tiny => 255 * character_bytes,
            BlobSize::Normal => 65_535 * character_bytes,
            BlobSize::Medium => 16_777_215 * character_bytes,
            BlobSize::Long => u32::MAX,
        },
        TypeKind::Enum(members) => {
            members.iter().map(|member| member.chars().count() as u32).max().unwrap_or(0) * character_bytes
        }
        TypeKind::Set(members) => {
            let characters: usize = members.iter().map(|member| member.chars().count() + 1).sum();
            (characters.saturating_sub(1) as u32) * character_bytes
        }
        TypeKind::Json | TypeKind::Geometry(_) => u32::MAX,
    }
}

fn fraction_length(fsp: u8) -> u32 {
    if fsp == 0 { 0 } else { u32::from(fsp) + 1 }
}

fn decimals(ty: &MysqlType) -> u8 {
    match &ty.kind {
        TypeKind::Decimal { scale, .. } => *scale,
        TypeKind::Time { fsp } | TypeKind::DateTime { fsp } | TypeKind::Timestamp { fsp } => *fsp,
        TypeKind::Float { display, .. } | TypeKind::Double { display, .. } => {
            display.map_or(DECIMALS_NOT_FIXED, |(_, scale)| scale)
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UTF8MB4: Results = Results { collation: Some(CollationId::UTF8MB4_0900_AI_CI) };

    fn describe(ty: MysqlType) -> (ColumnType, u32, u16, u8) {
        let field = Field { name: "c".to_string(), ty, origin: None };
        let column = definition(&field, UTF8MB4);
        (column.column_type(), column.column_length(), column.character_set(), column.decimals())
    }

    #[test]
    fn a_client_reads_back_what_was_sent() {
        use mysql_common::io::ParseBuf;
        use mysql_common::proto::MyDeserialize;
        let field =
            Field { name: "c".to_string(), ty: MysqlType::new(TypeKind::VarBinary { length: 9 }), origin: None };
        let sent = definition(&field, UTF8MB4);
        let mut bytes = Vec::new();
        encode(&sent, &mut bytes);
        let read = Column::deserialize((), &mut ParseBuf(&bytes)).unwrap();
        assert_eq!((read.character_set(), read.column_length(), read.name_str().as_ref()), (63, 9, "c"));
        assert_eq!((read.column_type(), read.flags()), (sent.column_type(), sent.flags()));
    }

    #[test]
    fn lengths_and_character_sets_are_those_that_mysql_sends() {
        use ColumnType::*;
        let text = |kind| MysqlType::text(kind, CollationId::UTF8MB4_0900_AI_CI);
        assert_eq!(describe(text(TypeKind::VarChar { length: 45 })), (MYSQL_TYPE_VAR_STRING, 180, 255, 0));
        assert_eq!(describe(text(TypeKind::Text { size: BlobSize::Normal })), (MYSQL_TYPE_BLOB, 262_140, 255, 0));
        assert_eq!(describe(MysqlType::new(TypeKind::VarBinary { length: 9 })), (MYSQL_TYPE_VAR_STRING, 9, 63, 0));
        assert_eq!(describe(MysqlType::new(TypeKind::DateTime { fsp: 6 })), (MYSQL_TYPE_DATETIME, 26, 63, 6));
        assert_eq!(describe(MysqlType::bigint()), (MYSQL_TYPE_LONGLONG, 20, 63, 0));
        let decimal = TypeKind::Decimal { precision: 5, scale: 2, unsigned: false };
        assert_eq!(describe(MysqlType::new(decimal)), (MYSQL_TYPE_NEWDECIMAL, 7, 63, 2));
        assert_eq!(describe(MysqlType::double()), (MYSQL_TYPE_DOUBLE, 22, 63, 31));
    }
}
