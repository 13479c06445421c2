//! Which collation a text has that is made of others, or compared with them: by how strongly each holds on to its own.
//! Manual: "Collation Coercibility in Expressions" (12.8.4).

use expr::collation::{Charset, CollationId};
use expr::mysql_type::{BlobSize, MysqlType, TypeKind};
use expr::value::Value;
use expr::{ErrorCode, Expression, SqlError};

/// Lower numbers hold on more strongly; they are what COERCIBILITY() gives.
pub mod strength {
    /// COLLATE.
    pub const EXPLICIT: u8 = 0;
    /// Texts of different collations were put together.
    pub const NONE: u8 = 1;
    /// Columns.
    pub const IMPLICIT: u8 = 2;
    /// USER(), VERSION().
    pub const SYSTEM: u8 = 3;
    /// Literals.
    pub const COERCIBLE: u8 = 4;
    /// Numbers and dates.
    pub const NUMERIC: u8 = 5;
    /// NULL.
    pub const IGNORABLE: u8 = 6;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Derivation {
    pub collation: CollationId,
    pub strength: u8,
    /// A constant of nothing but ASCII, which every character set has.
    ascii: bool,
    /// They cannot even be put together.
    illegal: bool,
}

/// Functions whose result is made of their text arguments, and has their collation.
const FOLLOWS_ARGUMENTS: [&str; 32] = [
    "CONCAT",
    "CONCAT_WS",
    "ELT",
    "EXPORT_SET",
    "GREATEST",
    "INSERT",
    "LCASE",
    "LEAST",
    "LEFT",
    "LOWER",
    "LPAD",
    "LTRIM",
    "MAKE_SET",
    "MID",
    "QUOTE",
    "REGEXP_REPLACE",
    "REGEXP_SUBSTR",
    "REPEAT",
    "REPLACE",
    "REVERSE",
    "RIGHT",
    "RPAD",
    "RTRIM",
    "SOUNDEX",
    "SUBSTR",
    "SUBSTRING",
    "SUBSTRING_INDEX",
    "TRIM",
    "TRIM_BOTH",
    "TRIM_LEADING",
    "TRIM_TRAILING",
    "UCASE",
];

/// Functions that compare their arguments: those must have one collation in common.
const COMPARES: [&str; 14] = [
    "FIELD",
    "FIND_IN_SET",
    "GREATEST",
    "INSTR",
    "LEAST",
    "LOCATE",
    "POSITION",
    "REPLACE",
    "STRCMP",
    "SUBSTRING_INDEX",
    "TRIM_BOTH",
    "TRIM_LEADING",
    "TRIM_TRAILING",
    "INTERVAL",
];

/// Operators, as [`unite`] is told of them.
const COMPARISONS: [&str; 9] = ["=", "<=>", "<>", "<", "<=", ">", ">=", "IN", "between"];

const SYSTEM: [&str; 8] =
    ["CURRENT_ROLE", "CURRENT_USER", "DATABASE", "SCHEMA", "SESSION_USER", "SYSTEM_USER", "USER", "VERSION"];

pub fn follows_arguments(function: &str) -> bool {
    FOLLOWS_ARGUMENTS.contains(&function) || function == "UPPER"
}

/// Their texts have the server's collation.
pub fn is_system(function: &str) -> bool {
    SYSTEM.contains(&function)
}

/// Arguments that are counts, positions and sets of bits.
pub fn is_number(function: &str, position: usize) -> bool {
    match function {
        "ELT" | "MAKE_SET" => position == 0,
        "EXPORT_SET" => position == 0 || position == 4,
        "INSERT" => position == 1 || position == 2,
        "LPAD" | "RPAD" => position == 1,
        "LEFT" | "MID" | "REPEAT" | "RIGHT" | "SUBSTR" | "SUBSTRING" => position >= 1,
        "REGEXP_SUBSTR" => position == 2 || position == 3,
        "REGEXP_REPLACE" => position == 3 || position == 4,
        "SUBSTRING_INDEX" => position == 2,
        "LOCATE" | "POSITION" => position == 2,
        _ => false,
    }
}

pub fn compares(function: &str) -> bool {
    COMPARES.contains(&function)
}

/// Of one expression.
pub fn of(expression: &Expression) -> Derivation {
    let ty = expression.ty();
    let plain = |strength: u8| Derivation { collation: ty.collation, strength, ascii: false, illegal: false };
    match expression {
        Expression::Literal { value: Value::Null, .. } => return plain(strength::IGNORABLE),
        // The text of a document.
        _ if ty.kind == TypeKind::Json => {
            return Derivation { collation: CollationId::UTF8MB4_BIN, ..plain(strength::IMPLICIT) };
        }
        _ if !ty.is_string() => return Derivation { ascii: true, ..plain(strength::NUMERIC) },
        _ => {}
    }
    match expression {
        Expression::Literal { value, .. } => {
            let ascii = matches!(value, Value::Text(text) if text.is_ascii());
            Derivation { ascii, ..plain(strength::COERCIBLE) }
        }
        Expression::Parameter { .. } => plain(strength::COERCIBLE),
        Expression::Call { function, arguments, .. } => match function.name {
            "COLLATE" => plain(strength::EXPLICIT),
            name if SYSTEM.contains(&name) => plain(strength::SYSTEM),
            name if follows_arguments(name) => {
                let parts = aggregate(arguments.iter());
                Derivation { collation: ty.collation, strength: parts.strength.min(strength::COERCIBLE), ..parts }
            }
            _ => plain(strength::COERCIBLE),
        },
        Expression::Case { branches, otherwise, .. } => {
            let results = branches.iter().map(|(_, result)| result).chain(otherwise.as_deref());
            Derivation { collation: ty.collation, ..aggregate(results.map(uncast)) }
        }
        Expression::Coalesce { arguments, .. } => {
            Derivation { collation: ty.collation, ..aggregate(arguments.iter().map(uncast)) }
        }
        Expression::Assign { value, .. } => of(value),
        // CHAR(n USING charset).
        Expression::Cast { argument, .. } if is_of_codes(argument) => plain(strength::COERCIBLE),
        _ => plain(strength::IMPLICIT),
    }
}

fn is_of_codes(expression: &Expression) -> bool {
    matches!(expression, Expression::Call { function, .. } if function.name == "CHAR")
}

/// Through the casts that give the branches of one expression one type.
fn uncast(expression: &Expression) -> &Expression {
    match expression {
        Expression::Cast { argument, ty } if ty.is_text() && argument.ty().is_text() => argument,
        other => other,
    }
}

/// Of a text made of several.
pub fn aggregate<'e>(expressions: impl Iterator<Item = &'e Expression>) -> Derivation {
    let mut together: Option<Derivation> = None;
    for expression in expressions {
        let next = of(expression);
        together = Some(match together {
            None => next,
            Some(so_far) => pair(so_far, next),
        });
    }
    together.unwrap_or(Derivation {
        collation: CollationId::UTF8MB4_0900_AI_CI,
        strength: strength::COERCIBLE,
        ascii: true,
        illegal: false,
    })
}

fn pair(left: Derivation, right: Derivation) -> Derivation {
    let ascii = left.ascii && right.ascii;
    let illegal = left.illegal || right.illegal;
    // Numbers and NULL have no say.
    for (one, other) in [(left, right), (right, left)] {
        if one.strength >= strength::NUMERIC && other.strength < strength::NUMERIC {
            return Derivation { ascii, illegal, ..other };
        }
    }
    if left.collation.charset() != right.collation.charset() {
        let together = across_charsets(left, right);
        return Derivation { ascii, illegal: illegal || together.illegal, ..together };
    }
    let stronger = match left.strength.cmp(&right.strength) {
        std::cmp::Ordering::Less => left,
        std::cmp::Ordering::Greater => right,
        std::cmp::Ordering::Equal if left.collation == right.collation => left,
        std::cmp::Ordering::Equal if left.strength == strength::EXPLICIT => {
            Derivation { illegal: true, ..none(left.collation) }
        }
        std::cmp::Ordering::Equal if left.collation.is_binary() => left,
        std::cmp::Ordering::Equal if right.collation.is_binary() => right,
        std::cmp::Ordering::Equal => none(left.collation),
    };
    Derivation { ascii, illegal: illegal || stronger.illegal, ..stronger }
}

fn none(collation: CollationId) -> Derivation {
    Derivation {
        collation: collation.charset().binary_collation(),
        strength: strength::NONE,
        ascii: false,
        illegal: false,
    }
}

fn across_charsets(left: Derivation, right: Derivation) -> Derivation {
    for (one, other) in [(left, right), (right, left)] {
        if one.collation == CollationId::BINARY {
            return if one.strength <= other.strength { one } else { other };
        }
    }
    let unicode = |of: Derivation| of.collation.charset().is_unicode();
    let wide = |of: Derivation| unicode(of) && of.collation.charset().has_character(char::MAX);
    for (one, other) in [(left, right), (right, left)] {
        let holds_all = unicode(one)
            && (one.strength < other.strength
                || one.strength == other.strength && (!unicode(other) || wide(one) && !wide(other)));
        if holds_all || other.ascii && one.strength <= other.strength || other.collation.charset() == Charset::Ascii {
            return one;
        }
    }
    for (one, other) in [(left, right), (right, left)] {
        if one.strength < other.strength && other.strength >= strength::SYSTEM {
            return one;
        }
    }
    Derivation { illegal: true, ..none(left.collation) }
}

/// 1267, 1270 or 1271.
fn illegal_mix(operands: &[Expression], operation: &str) -> SqlError {
    let told = |operand: &Expression| {
        let derivation = of(operand);
        let word = match derivation.strength {
            strength::EXPLICIT => "EXPLICIT",
            strength::NONE => "NONE",
            strength::IMPLICIT => "IMPLICIT",
            strength::SYSTEM => "SYSCONST",
            strength::COERCIBLE => "COERCIBLE",
            strength::NUMERIC => "NUMERIC",
            _ => "IGNORABLE",
        };
        format!("({},{word})", derivation.collation.name())
    };
    let operation = operation.to_ascii_lowercase();
    match operands {
        [a, b] => SqlError::new(
            ErrorCode::CANT_AGGREGATE_2COLLATIONS,
            format!("Illegal mix of collations {} and {} for operation '{operation}'", told(a), told(b)),
        ),
        [a, b, c] => SqlError::new(
            ErrorCode(1270),
            format!("Illegal mix of collations {}, {}, {} for operation '{operation}'", told(a), told(b), told(c)),
        ),
        _ => SqlError::new(ErrorCode(1271), format!("Illegal mix of collations for operation '{operation}'")),
    }
}

/// Gives operands that are compared with one another the collation that they have in common.
pub fn unite(operands: &mut [Expression], operation: &str) -> Result<(), SqlError> {
    // Documents are compared as such, unless a function wants their text.
    let documents = !COMPARISONS.contains(&operation);
    let is_text = |ty: MysqlType| ty.is_string() || documents && ty.kind == TypeKind::Json;
    let texts = operands.iter().filter(|operand| is_text(operand.ty())).count();
    if texts < 2 {
        return Ok(());
    }
    let together = aggregate(operands.iter());
    if together.strength == strength::NONE {
        return Err(illegal_mix(operands, operation));
    }
    for (position, operand) in operands.iter_mut().enumerate() {
        if is_number(operation, position) {
            continue;
        }
        match together.collation == CollationId::BINARY {
            true => encode(operand),
            false => decode_literal(operand, together.collation)?,
        }
        set_collation(operand, together.collation);
    }
    Ok(())
}

/// A BIT among texts is a string of bytes.
fn bits_as_bytes(operand: &mut Expression) {
    let ty = operand.ty();
    if let TypeKind::Bit { bits } = ty.kind {
        let kind = TypeKind::VarBinary { length: u32::from(bits.div_ceil(8)) };
        let bytes = MysqlType::new(kind).with_nullable(ty.nullable);
        *operand = Expression::Cast { argument: Box::new(operand.clone()), ty: bytes };
    }
}

/// A text of a character set other than UTF-8 becomes its bytes there, as values are held in UTF-8.
fn encode(operand: &mut Expression) {
    let ty = operand.ty();
    if ty.is_text() && !ty.collation.charset().is_utf8() {
        let length = super::unify::characters_max(&ty).saturating_mul(u64::from(ty.collation.charset().bytes_max()));
        let kind = match length {
            0..=65_535 => TypeKind::VarBinary { length: length as u32 },
            _ => TypeKind::Blob { size: BlobSize::Long },
        };
        let bytes = MysqlType::new(kind).with_nullable(ty.nullable);
        *operand = Expression::Cast { argument: Box::new(operand.clone()), ty: bytes };
    }
}

/// A binary literal beside a text column is that column's text; error 3854 if it is none.
fn decode_literal(operand: &mut Expression, collation: CollationId) -> Result<(), SqlError> {
    let Expression::Literal { value: Value::Bytes(bytes), ty } = operand else { return Ok(()) };
    let text = match collation.charset().decode(bytes) {
        Ok(text) => text.into_owned(),
        Err(_) => {
            let shown: String = bytes.iter().take(6).map(|byte| format!("\\x{byte:02X}")).collect();
            let charset = collation.charset().name();
            let text = format!("Cannot convert string '{shown}' from binary to {charset}");
            return Err(SqlError::new(ErrorCode(3854), text));
        }
    };
    let nullable = ty.nullable;
    let length = text.chars().count() as u32;
    let ty = MysqlType::varchar(length, collation).with_nullable(nullable);
    *operand = Expression::literal(Value::text(text), ty);
    Ok(())
}

fn set_collation(expression: &mut Expression, collation: CollationId) {
    match expression {
        Expression::Literal { ty, .. }
        | Expression::Column { ty, .. }
        | Expression::Outer { ty, .. }
        | Expression::Parameter { ty, .. }
        | Expression::Call { ty, .. }
        | Expression::Cast { ty, .. }
        | Expression::Case { ty, .. }
        | Expression::Coalesce { ty, .. }
        | Expression::Subquery { ty, .. }
        | Expression::UserVariable { ty, .. } => {
            if ty.is_text() {
                ty.collation = collation;
            }
        }
        Expression::And(_) | Expression::Or(_) | Expression::Quantified { .. } | Expression::Assign { .. } => {}
    }
}

/// For functions that put texts together without comparing: what has no collation of its own takes the common one.
pub fn lend(operands: &mut [Expression], operation: &str) -> Result<(), SqlError> {
    if follows_arguments(operation) {
        for (position, operand) in operands.iter_mut().enumerate() {
            if !is_number(operation, position) {
                bits_as_bytes(operand);
            }
        }
    }
    let together = aggregate(operands.iter());
    if together.illegal && follows_arguments(operation) {
        return Err(illegal_mix(operands, operation));
    }
    if together.collation == CollationId::BINARY && follows_arguments(operation) {
        operands.iter_mut().for_each(encode);
    }
    if together.strength == strength::NONE || together.collation == CollationId::BINARY {
        return Ok(());
    }
    if follows_arguments(operation) {
        for (position, operand) in operands.iter_mut().enumerate() {
            if !is_number(operation, position) {
                decode_literal(operand, together.collation)?;
            }
        }
    }
    for operand in operands.iter_mut().filter(|operand| of(operand).strength >= strength::SYSTEM) {
        set_collation(operand, together.collation);
    }
    Ok(())
}
