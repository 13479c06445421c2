//! MySQL types of columns and expressions: kind, attributes, collation, nullability.
//! Manual: "Data Types" (13), "Character Sets, Collations, Unicode" (12).

use crate::collation::CollationId;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

mod describe;

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct MysqlType {
    pub kind: TypeKind,
    /// Of text kinds; [`CollationId::BINARY`] for all others.
    pub collation: CollationId,
    pub nullable: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TypeKind {
    /// Of the literal NULL.
    Null,
    /// TINYINT (1 byte), SMALLINT (2), MEDIUMINT (3), INT (4), BIGINT (8).
    Int {
        bytes: u8,
        unsigned: bool,
        display: IntDisplay,
    },
    /// 1 to 64 bits.
    Bit {
        bits: u8,
    },
    Year,
    Float {
        unsigned: bool,
        display: Option<(u8, u8)>,
    },
    Double {
        unsigned: bool,
        display: Option<(u8, u8)>,
    },
    Decimal {
        precision: u8,
        scale: u8,
        unsigned: bool,
    },
    Date,
    /// `fsp`: fractional second digits, 0 to 6.
    Time {
        fsp: u8,
    },
    DateTime {
        fsp: u8,
    },
    Timestamp {
        fsp: u8,
    },
    /// Lengths of Char and VarChar count characters.
    Char {
        length: u32,
    },
    VarChar {
        length: u32,
    },
    Text {
        size: BlobSize,
    },
    /// Lengths of Binary and VarBinary count bytes.
    Binary {
        length: u32,
    },
    VarBinary {
        length: u32,
    },
    Blob {
        size: BlobSize,
    },
    Enum(Arc<[String]>),
    Set(Arc<[String]>),
    Json,
    /// Stored and shown as bytes (SRID and WKB); no spatial functions yet.
    Geometry(GeometryKind),
}

/// Integer display attributes that SHOW CREATE TABLE still shows: `tinyint(1)`, ZEROFILL with its width.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct IntDisplay {
    pub width: Option<u8>,
    pub zerofill: bool,
}

/// TINY (255 bytes), plain (65,535), MEDIUM (16 MiB), LONG (4 GiB).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum BlobSize {
    Tiny,
    Normal,
    Medium,
    Long,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum GeometryKind {
    Geometry,
    Point,
    LineString,
    Polygon,
    MultiPoint,
    MultiLineString,
    MultiPolygon,
    GeometryCollection,
}

impl MysqlType {
    /// A type without a collation, nullable.
    pub fn new(kind: TypeKind) -> MysqlType {
        MysqlType { kind, collation: CollationId::BINARY, nullable: true }
    }

    /// A text type, nullable.
    pub fn text(kind: TypeKind, collation: CollationId) -> MysqlType {
        MysqlType { kind, collation, nullable: true }
    }

    pub fn with_nullable(mut self, nullable: bool) -> MysqlType {
        self.nullable = nullable;
        self
    }

    pub fn bigint() -> MysqlType {
        MysqlType::new(TypeKind::Int { bytes: 8, unsigned: false, display: IntDisplay::default() })
    }

    pub fn bigint_unsigned() -> MysqlType {
        MysqlType::new(TypeKind::Int { bytes: 8, unsigned: true, display: IntDisplay::default() })
    }

    /// The type of comparisons and of TRUE and FALSE: INT, 0 or 1.
    pub fn boolean() -> MysqlType {
        MysqlType::new(TypeKind::Int {
            bytes: 4,
            unsigned: false,
            display: IntDisplay { width: Some(1), zerofill: false },
        })
    }

    pub fn double() -> MysqlType {
        MysqlType::new(TypeKind::Double { unsigned: false, display: None })
    }

    pub fn varchar(length: u32, collation: CollationId) -> MysqlType {
        MysqlType::text(TypeKind::VarChar { length }, collation)
    }

    pub fn null() -> MysqlType {
        MysqlType::new(TypeKind::Null)
    }

    /// CHAR, VARCHAR, TEXT, ENUM, SET: values have a character set and collation.
    pub fn is_text(&self) -> bool {
        matches!(
            self.kind,
            TypeKind::Char { .. }
                | TypeKind::VarChar { .. }
                | TypeKind::Text { .. }
                | TypeKind::Enum(_)
                | TypeKind::Set(_)
        )
    }

    /// BINARY, VARBINARY, BLOB, GEOMETRY.
    pub fn is_binary(&self) -> bool {
        matches!(
            self.kind,
            TypeKind::Binary { .. } | TypeKind::VarBinary { .. } | TypeKind::Blob { .. } | TypeKind::Geometry(_)
        )
    }

    pub fn is_string(&self) -> bool {
        self.is_text() || self.is_binary()
    }

    /// DATE, TIME, DATETIME, TIMESTAMP (not YEAR, which is a number).
    pub fn is_temporal(&self) -> bool {
        matches!(
            self.kind,
            TypeKind::Date | TypeKind::Time { .. } | TypeKind::DateTime { .. } | TypeKind::Timestamp { .. }
        )
    }

    /// Integers, BIT, YEAR.
    pub fn is_integer(&self) -> bool {
        matches!(self.kind, TypeKind::Int { .. } | TypeKind::Bit { .. } | TypeKind::Year)
    }

    /// Integers, BIT, YEAR, FLOAT, DOUBLE, DECIMAL.
    pub fn is_numeric(&self) -> bool {
        self.is_integer()
            || matches!(self.kind, TypeKind::Float { .. } | TypeKind::Double { .. } | TypeKind::Decimal { .. })
    }

    pub fn is_unsigned(&self) -> bool {
        match self.kind {
            TypeKind::Int { unsigned, .. }
            | TypeKind::Float { unsigned, .. }
            | TypeKind::Double { unsigned, .. }
            | TypeKind::Decimal { unsigned, .. } => unsigned,
            TypeKind::Bit { .. } | TypeKind::Year => true,
            _ => false,
        }
    }
}
