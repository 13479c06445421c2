//! One type for several values: CASE, COALESCE, UNION. Manual: "Flow Control Functions" (14.5), "UNION Clause".

use expr::collation::{self, CollationId};
use expr::mysql_type::{BlobSize, IntDisplay, MysqlType, TypeKind};
use expr::{ErrorCode, Expression, SqlError};

/// The type that holds values of all of `types`. Nullable if one is. A text of what is no text is the connection's.
pub fn unify(types: &[MysqlType], connection: CollationId) -> Result<MysqlType, SqlError> {
    let nullable = types.iter().any(|ty| ty.nullable);
    let mut known = types.iter().filter(|ty| ty.kind != TypeKind::Null);
    let Some(first) = known.next() else { return Ok(MysqlType::null()) };
    let mut unified = first.clone();
    for ty in known {
        unified = pair(&unified, ty, connection)?;
    }
    if matches!(unified.kind, TypeKind::Enum(_) | TypeKind::Set(_)) {
        // What is made of ENUM and SET is a text: it has no place in a definition to be ordered by.
        unified = string(&unified, &unified, connection)?;
    }
    Ok(unified.with_nullable(nullable))
}

/// The same where only one of the values is taken: texts of one character set, whose collations do not agree, have its
/// binary one.
pub fn unify_choices(types: &[MysqlType], connection: CollationId) -> Result<MysqlType, SqlError> {
    let error = match unify(types, connection) {
        Err(error) if error.code == ErrorCode::CANT_AGGREGATE_2COLLATIONS => error,
        Ok(ty) if matches!(ty.kind, TypeKind::Enum(_) | TypeKind::Set(_)) => return Ok(as_text(&ty)),
        other => return other,
    };
    let mut texts = types.iter().filter(|ty| ty.is_text()).map(|ty| ty.collation.charset());
    let Some(charset) = texts.next().filter(|first| texts.all(|other| other == *first)) else { return Err(error) };
    let binary = |ty: &MysqlType| match ty.is_text() {
        true => MysqlType { collation: charset.binary_collation(), ..ty.clone() },
        false => ty.clone(),
    };
    unify(&types.iter().map(binary).collect::<Vec<_>>(), connection)
}

/// `expression` as a value of `ty`; left alone if it is one already.
pub fn cast_to(expression: Expression, ty: &MysqlType) -> Expression {
    let found = expression.ty();
    if found.kind == ty.kind && found.collation == ty.collation || found.kind == TypeKind::Null {
        return expression;
    }
    let ty = ty.clone().with_nullable(found.nullable || ty.nullable);
    Expression::Cast { argument: Box::new(expression), ty }
}

/// The text type of an ENUM's or SET's members.
pub fn as_text(ty: &MysqlType) -> MysqlType {
    let length = characters_max(ty).min(16_383) as u32;
    let kind = match ty.collation == CollationId::BINARY {
        true => TypeKind::VarBinary { length },
        false => TypeKind::VarChar { length },
    };
    MysqlType { kind, collation: ty.collation, nullable: ty.nullable }
}

fn pair(left: &MysqlType, right: &MysqlType, connection: CollationId) -> Result<MysqlType, SqlError> {
    if left.kind == right.kind && left.collation == right.collation {
        return Ok(left.clone());
    }
    if left.is_numeric() && right.is_numeric() {
        return Ok(numeric(left, right));
    }
    if left.is_temporal() && right.is_temporal() {
        return Ok(temporal(left, right));
    }
    if left.kind == TypeKind::Json && right.kind == TypeKind::Json {
        return Ok(left.clone());
    }
    string(left, right, connection)
}

fn numeric(left: &MysqlType, right: &MysqlType) -> MysqlType {
    let approximate = |ty: &MysqlType| matches!(ty.kind, TypeKind::Float { .. } | TypeKind::Double { .. });
    if approximate(left) || approximate(right) {
        return MysqlType::double();
    }
    let unsigned = left.is_unsigned() && right.is_unsigned();
    if let (Some(a), Some(b)) = (int_bytes(left), int_bytes(right)) {
        // A signed and an unsigned BIGINT have no integer type in common.
        let mixed = left.is_unsigned() != right.is_unsigned();
        let bytes = a.max(b);
        let widest_unsigned = (left.is_unsigned() && a == 8) || (right.is_unsigned() && b == 8);
        if mixed && widest_unsigned {
            return decimal(20, 0, false);
        }
        let wide = mixed && (if left.is_unsigned() { a } else { b }) == bytes;
        let bytes = if !wide { bytes } else { (bytes * 2).min(8) };
        return MysqlType::new(TypeKind::Int { bytes, unsigned, display: IntDisplay::default() });
    }
    let ((whole_a, scale_a), (whole_b, scale_b)) = (digits(left), digits(right));
    let scale = scale_a.max(scale_b);
    decimal((whole_a.max(whole_b) + scale).min(65), scale, unsigned)
}

fn decimal(precision: u8, scale: u8, unsigned: bool) -> MysqlType {
    MysqlType::new(TypeKind::Decimal { precision, scale, unsigned })
}

fn int_bytes(ty: &MysqlType) -> Option<u8> {
    match ty.kind {
        TypeKind::Int { bytes, .. } => Some(bytes),
        TypeKind::Year => Some(2),
        TypeKind::Bit { .. } => Some(8),
        _ => None,
    }
}

/// Digits before and after the point.
fn digits(ty: &MysqlType) -> (u8, u8) {
    match ty.kind {
        TypeKind::Decimal { precision, scale, .. } => (precision - scale, scale),
        TypeKind::Int { bytes, .. } => (
            match bytes {
                1 => 3,
                2 => 5,
                3 => 8,
                4 => 10,
                _ => 20,
            },
            0,
        ),
        _ => (20, 0),
    }
}

fn temporal(left: &MysqlType, right: &MysqlType) -> MysqlType {
    let fsp = |ty: &MysqlType| match ty.kind {
        TypeKind::Time { fsp } | TypeKind::DateTime { fsp } | TypeKind::Timestamp { fsp } => fsp,
        _ => 0,
    };
    let fsp = fsp(left).max(fsp(right));
    MysqlType::new(match (&left.kind, &right.kind) {
        (TypeKind::Time { .. }, TypeKind::Time { .. }) => TypeKind::Time { fsp },
        (TypeKind::Timestamp { .. }, TypeKind::Timestamp { .. }) => TypeKind::Timestamp { fsp },
        _ => TypeKind::DateTime { fsp },
    })
}

fn string(left: &MysqlType, right: &MysqlType, connection: CollationId) -> Result<MysqlType, SqlError> {
    let binary = left.is_binary() || right.is_binary();
    let characters = characters_max(left).max(characters_max(right));
    if binary {
        return Ok(MysqlType::new(match characters {
            0..=65_535 => TypeKind::VarBinary { length: characters as u32 },
            65_536..=16_777_215 => TypeKind::Blob { size: BlobSize::Medium },
            _ => TypeKind::Blob { size: BlobSize::Long },
        }));
    }
    let collation: CollationId = match (left.is_text(), right.is_text()) {
        (true, true) => collation::comparison_collation(left, right)?,
        (true, false) => left.collation,
        (false, true) => right.collation,
        (false, false) if left.kind == TypeKind::Json || right.kind == TypeKind::Json => CollationId::UTF8MB4_BIN,
        (false, false) => connection,
    };
    let kind = match characters {
        0..=16_383 => TypeKind::VarChar { length: characters as u32 },
        16_384..=4_194_303 => TypeKind::Text { size: BlobSize::Medium },
        _ => TypeKind::Text { size: BlobSize::Long },
    };
    Ok(MysqlType::text(kind, collation))
}

/// The most characters that a value of the type has as a text.
pub fn characters_max(ty: &MysqlType) -> u64 {
    match &ty.kind {
        TypeKind::Null => 0,
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
        // A sign, a point, and a zero where no digit is before it.
        TypeKind::Decimal { precision, scale, .. } => u64::from(*precision) + 2 + u64::from(scale == precision),
        TypeKind::Json | TypeKind::Geometry(_) => u64::from(u32::MAX),
        _ => 26,
    }
}
