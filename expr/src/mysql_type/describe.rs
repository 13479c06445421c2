//! Types as text and figures, the way SHOW CREATE TABLE and information_schema.COLUMNS show them.

use super::{BlobSize, GeometryKind, MysqlType, TypeKind};
use std::fmt::Write;

impl BlobSize {
    /// Most bytes of a value.
    pub fn bytes_max(self) -> u64 {
        match self {
            BlobSize::Tiny => u8::MAX as u64,
            BlobSize::Normal => u16::MAX as u64,
            BlobSize::Medium => (1 << 24) - 1,
            BlobSize::Long => u32::MAX as u64,
        }
    }

    fn prefix(self) -> &'static str {
        match self {
            BlobSize::Tiny => "tiny",
            BlobSize::Normal => "",
            BlobSize::Medium => "medium",
            BlobSize::Long => "long",
        }
    }
}

impl GeometryKind {
    pub fn name(self) -> &'static str {
        match self {
            GeometryKind::Geometry => "geometry",
            GeometryKind::Point => "point",
            GeometryKind::LineString => "linestring",
            GeometryKind::Polygon => "polygon",
            GeometryKind::MultiPoint => "multipoint",
            GeometryKind::MultiLineString => "multilinestring",
            GeometryKind::MultiPolygon => "multipolygon",
            GeometryKind::GeometryCollection => "geomcollection",
        }
    }
}

impl MysqlType {
    /// information_schema.COLUMNS.DATA_TYPE: `int`, `varchar`.
    pub fn data_type(&self) -> String {
        match &self.kind {
            TypeKind::Null => "null".into(),
            TypeKind::Int { bytes, .. } => int_name(*bytes).into(),
            TypeKind::Bit { .. } => "bit".into(),
            TypeKind::Year => "year".into(),
            TypeKind::Float { .. } => "float".into(),
            TypeKind::Double { .. } => "double".into(),
            TypeKind::Decimal { .. } => "decimal".into(),
            TypeKind::Date => "date".into(),
            TypeKind::Time { .. } => "time".into(),
            TypeKind::DateTime { .. } => "datetime".into(),
            TypeKind::Timestamp { .. } => "timestamp".into(),
            TypeKind::Char { .. } => "char".into(),
            TypeKind::VarChar { .. } => "varchar".into(),
            TypeKind::Text { size } => format!("{}text", size.prefix()),
            TypeKind::Binary { .. } => "binary".into(),
            TypeKind::VarBinary { .. } => "varbinary".into(),
            TypeKind::Blob { size } => format!("{}blob", size.prefix()),
            TypeKind::Enum(_) => "enum".into(),
            TypeKind::Set(_) => "set".into(),
            TypeKind::Json => "json".into(),
            TypeKind::Geometry(kind) => kind.name().into(),
        }
    }

    /// information_schema.COLUMNS.COLUMN_TYPE: `int unsigned`, `varchar(45)`, `enum('G','PG')`.
    pub fn column_type(&self) -> String {
        let mut text = self.data_type();
        // Writing to a String cannot fail.
        let _ = match &self.kind {
            TypeKind::Int { display, .. } => match display.width {
                Some(width) => write!(text, "({width})"),
                None => Ok(()),
            },
            TypeKind::Bit { bits } => write!(text, "({bits})"),
            TypeKind::Float { display: Some((digits, decimals)), .. }
            | TypeKind::Double { display: Some((digits, decimals)), .. } => write!(text, "({digits},{decimals})"),
            TypeKind::Decimal { precision, scale, .. } => write!(text, "({precision},{scale})"),
            TypeKind::Time { fsp } | TypeKind::DateTime { fsp } | TypeKind::Timestamp { fsp } if *fsp > 0 => {
                write!(text, "({fsp})")
            }
            TypeKind::Char { length }
            | TypeKind::VarChar { length }
            | TypeKind::Binary { length }
            | TypeKind::VarBinary { length } => write!(text, "({length})"),
            TypeKind::Enum(members) | TypeKind::Set(members) => {
                let quoted: Vec<String> =
                    members.iter().map(|member| format!("'{}'", member.replace('\'', "''"))).collect();
                write!(text, "({})", quoted.join(","))
            }
            _ => Ok(()),
        };
        let unsigned_kind = matches!(
            self.kind,
            TypeKind::Int { .. } | TypeKind::Float { .. } | TypeKind::Double { .. } | TypeKind::Decimal { .. }
        );
        if unsigned_kind && self.is_unsigned() {
            text.push_str(" unsigned");
        }
        if self.is_zerofill() {
            text.push_str(" zerofill");
        }
        text
    }

    pub fn is_zerofill(&self) -> bool {
        matches!(&self.kind, TypeKind::Int { display, .. } if display.zerofill)
    }

    /// CHARACTER_MAXIMUM_LENGTH: characters of text, bytes of binary strings; `None` for other kinds.
    pub fn character_length(&self) -> Option<u64> {
        match &self.kind {
            TypeKind::Char { length }
            | TypeKind::VarChar { length }
            | TypeKind::Binary { length }
            | TypeKind::VarBinary { length } => Some(*length as u64),
            TypeKind::Text { size } | TypeKind::Blob { size } => Some(size.bytes_max()),
            TypeKind::Enum(members) => members.iter().map(|member| member.chars().count() as u64).max(),
            TypeKind::Set(members) => {
                let characters: u64 = members.iter().map(|member| member.chars().count() as u64).sum();
                Some(characters + members.len().saturating_sub(1) as u64)
            }
            _ => None,
        }
    }

    /// CHARACTER_OCTET_LENGTH.
    pub fn octet_length(&self) -> Option<u64> {
        let length = self.character_length()?;
        match self.kind {
            TypeKind::Text { .. } => Some(length),
            _ if self.is_text() => Some(length * self.collation.charset().bytes_max() as u64),
            _ => Some(length),
        }
    }

    /// NUMERIC_PRECISION: decimal digits, bits of BIT.
    pub fn numeric_precision(&self) -> Option<u64> {
        Some(match self.kind {
            TypeKind::Int { bytes, unsigned, .. } => match bytes {
                1 => 3,
                2 => 5,
                3 => 7,
                4 => 10,
                _ => 19 + unsigned as u64,
            },
            TypeKind::Bit { bits } => bits as u64,
            TypeKind::Float { display, .. } => display.map_or(12, |(digits, _)| digits as u64),
            TypeKind::Double { display, .. } => display.map_or(22, |(digits, _)| digits as u64),
            TypeKind::Decimal { precision, .. } => precision as u64,
            _ => return None,
        })
    }

    /// NUMERIC_SCALE.
    pub fn numeric_scale(&self) -> Option<u64> {
        match self.kind {
            TypeKind::Int { .. } => Some(0),
            TypeKind::Decimal { scale, .. } => Some(scale as u64),
            TypeKind::Float { display, .. } | TypeKind::Double { display, .. } => {
                display.map(|(_, decimals)| decimals as u64)
            }
            _ => None,
        }
    }

    /// DATETIME_PRECISION: fractional second digits of types with a time.
    pub fn datetime_precision(&self) -> Option<u64> {
        match self.kind {
            TypeKind::Time { fsp } | TypeKind::DateTime { fsp } | TypeKind::Timestamp { fsp } => Some(fsp as u64),
            _ => None,
        }
    }

    /// Characters that a value may need as text: what VARCHAR or CHAR of such values must hold, and what the client is
    /// told.
    pub fn display_length(&self) -> u32 {
        let fraction = |fsp: u8| if fsp > 0 { 1 + fsp as u32 } else { 0 };
        match &self.kind {
            TypeKind::Null => 0,
            TypeKind::Int { bytes, unsigned, display } => {
                let digits = match bytes {
                    1 => 3,
                    2 => 5,
                    3 => 7 + *unsigned as u32,
                    4 => 10,
                    _ => 19 + *unsigned as u32,
                };
                let plain = digits + !*unsigned as u32;
                display.width.map_or(plain, |width| plain.max(width as u32))
            }
            TypeKind::Bit { bits } => *bits as u32,
            TypeKind::Year => 4,
            TypeKind::Float { display, .. } => display.map_or(12, |(digits, _)| digits as u32 + 2),
            TypeKind::Double { display, .. } => display.map_or(22, |(digits, _)| digits as u32 + 2),
            TypeKind::Decimal { precision, scale, unsigned } => {
                *precision as u32 + (*scale > 0) as u32 + (!*unsigned) as u32 + (scale == precision) as u32
            }
            TypeKind::Date => 10,
            TypeKind::Time { fsp } => 10 + fraction(*fsp),
            TypeKind::DateTime { fsp } | TypeKind::Timestamp { fsp } => 19 + fraction(*fsp),
            TypeKind::Json => u32::MAX,
            TypeKind::Geometry(_) => u32::MAX,
            _ => self.character_length().map_or(0, |length| u32::try_from(length).unwrap_or(u32::MAX)),
        }
    }

    /// Digits after the point that values of this type show; `None` for floating point without a fixed number.
    pub fn decimals(&self) -> Option<u8> {
        match self.kind {
            TypeKind::Decimal { scale, .. } => Some(scale),
            TypeKind::Float { display, .. } | TypeKind::Double { display, .. } => display.map(|(_, decimals)| decimals),
            TypeKind::Time { fsp } | TypeKind::DateTime { fsp } | TypeKind::Timestamp { fsp } => Some(fsp),
            _ => Some(0),
        }
    }
}

fn int_name(bytes: u8) -> &'static str {
    match bytes {
        1 => "tinyint",
        2 => "smallint",
        3 => "mediumint",
        4 => "int",
        _ => "bigint",
    }
}

#[cfg(test)]
mod tests {
    use super::super::*;

    fn int(bytes: u8, unsigned: bool, width: Option<u8>, zerofill: bool) -> MysqlType {
        MysqlType::new(TypeKind::Int { bytes, unsigned, display: IntDisplay { width, zerofill } })
    }

    #[test]
    fn column_types_are_what_show_create_table_says() {
        let utf8 = CollationId::UTF8MB4_0900_AI_CI;
        let members: Arc<[String]> = Arc::from(["G".to_string(), "it's".to_string()]);
        for (ty, text) in [
            (int(4, true, None, false), "int unsigned"),
            (int(1, false, Some(1), false), "tinyint(1)"),
            (int(4, true, Some(8), true), "int(8) unsigned zerofill"),
            (MysqlType::varchar(45, utf8), "varchar(45)"),
            (MysqlType::new(TypeKind::Decimal { precision: 5, scale: 2, unsigned: true }), "decimal(5,2) unsigned"),
            (MysqlType::new(TypeKind::Float { unsigned: false, display: Some((7, 2)) }), "float(7,2)"),
            (MysqlType::new(TypeKind::Timestamp { fsp: 6 }), "timestamp(6)"),
            (MysqlType::new(TypeKind::DateTime { fsp: 0 }), "datetime"),
            (MysqlType::text(TypeKind::Enum(members.clone()), utf8), "enum('G','it''s')"),
            (MysqlType::text(TypeKind::Text { size: BlobSize::Medium }, utf8), "mediumtext"),
            (MysqlType::new(TypeKind::Bit { bits: 8 }), "bit(8)"),
            (MysqlType::new(TypeKind::Year), "year"),
            (MysqlType::new(TypeKind::Geometry(GeometryKind::Point)), "point"),
        ] {
            assert_eq!(ty.column_type(), text);
        }
        assert_eq!(MysqlType::text(TypeKind::Set(members.clone()), utf8).character_length(), Some(6));
        assert_eq!(MysqlType::text(TypeKind::Enum(members), utf8).octet_length(), Some(16));
        assert_eq!(MysqlType::varchar(45, utf8).octet_length(), Some(180));
        assert_eq!(int(8, true, None, false).numeric_precision(), Some(20));
        assert_eq!(int(4, false, None, false).display_length(), 11);
    }
}
