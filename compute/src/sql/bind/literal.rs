//! Literals: values and their types.

use crate::sql::bind::Binder;
use crate::sql::parse::ast::syntax::{self, DataType, Ident, TypedString, Value as Literal};
use crate::sql::text_bytes;
use expr::collation::Charset;
use expr::collation::{CollationId, collation_by_name};
use expr::eval::{EvalContext, SqlMode, eval};
use expr::mysql_type::{MysqlType, TypeKind};
use expr::value::Value;
use expr::value::decimal::Decimal;
use expr::{ErrorCode, Expression, SqlError};
use std::sync::Arc;

impl Binder<'_> {
    pub fn literal(&mut self, literal: &Literal) -> Result<Expression, SqlError> {
        Ok(match literal {
            Literal::Number(digits, _) => number(digits)?,
            Literal::SingleQuotedString(text) => string_literal(text, self.context.collation_connection),
            Literal::NationalStringLiteral(text) => text_literal(text, CollationId::UTF8MB3_GENERAL_CI),
            Literal::HexStringLiteral(digits) => bytes_literal(hex(digits)),
            Literal::SingleQuotedByteStringLiteral(bits) => bytes_literal(bits_bytes(bits)),
            Literal::Boolean(truth) => {
                Expression::literal(Value::boolean(*truth), MysqlType::boolean().with_nullable(false))
            }
            Literal::Null => Expression::literal(Value::Null, MysqlType::null()),
            Literal::Placeholder(number) => self.parameter(number)?,
            other => return Err(SqlError::not_supported(other)),
        })
    }

    /// `_utf8mb4'x'`, `_binary 0x41`
    pub fn introduced(&mut self, prefix: &Ident, value: &syntax::Expr) -> Result<Expression, SqlError> {
        let charset = Charset::from_name(prefix.value.trim_start_matches('_'))?;
        let collation = charset.default_collation();
        let syntax::Expr::Value(literal) = value else { return Err(SqlError::not_supported(value)) };
        let value = self.literal(&literal.value)?;
        let Expression::Literal { value, .. } = value else { return Ok(value) };
        Ok(match value {
            // The bytes that the client wrote, taken for another character set's: nothing is converted.
            Value::Text(text) => {
                let bytes = self.context.character_set_client.encode(&text);
                match charset.decode(&bytes) {
                    _ if collation == CollationId::BINARY => binary_string(bytes.into_owned()),
                    Ok(text) => text_literal(&text, collation),
                    Err(_) => return Err(invalid(charset, &bytes)),
                }
            }
            Value::Bytes(bytes) if collation == CollationId::BINARY => binary_string(bytes.to_vec()),
            Value::Bytes(bytes) => match charset.decode(&bytes) {
                Ok(text) => text_literal(&text, collation),
                Err(_) => return Err(invalid(charset, &bytes)),
            },
            other => Expression::literal(other, MysqlType::null()),
        })
    }

    /// `DATE '2020-01-01'`
    pub fn typed_string(&mut self, typed: &TypedString) -> Result<Expression, SqlError> {
        let text = match &typed.value.value {
            Literal::SingleQuotedString(text) => text.clone(),
            other => return Err(SqlError::not_supported(other)),
        };
        let fsp = fraction_digits(&text);
        let what = match typed.data_type {
            DataType::Date => "DATE",
            DataType::Time(..) => "TIME",
            _ => "DATETIME",
        };
        if !is_moment(&text, what, self.context.sql_mode) {
            return Err(SqlError::new(ErrorCode::WRONG_VALUE, format!("Incorrect {what} value: '{text}'")));
        }
        let kind = match typed.data_type {
            DataType::Date => TypeKind::Date,
            DataType::Time(..) => TypeKind::Time { fsp },
            _ => TypeKind::DateTime { fsp },
        };
        let argument = Box::new(text_literal(&text, self.context.collation_connection));
        Ok(Expression::Cast { argument, ty: MysqlType::new(kind) })
    }

    /// A collation by name; 1253 if it is of another character set.
    pub fn collation_named(&self, name: &str) -> Result<CollationId, SqlError> {
        collation_by_name(name)
    }
}

/// MySQL shows up to six bytes.
fn invalid(charset: Charset, bytes: &[u8]) -> SqlError {
    let at = charset.decode(bytes).err().unwrap_or(0);
    let shown: String = bytes.iter().skip(at).take(6).map(|byte| format!("{byte:02X}")).collect();
    SqlError::new(ErrorCode(1300), format!("Invalid {} character string: '{shown}'", charset.name()))
}

pub fn text_literal(text: &str, collation: CollationId) -> Expression {
    let length = text.chars().count().min(u32::MAX as usize) as u32;
    Expression::literal(Value::text(text), MysqlType::varchar(length, collation).with_nullable(false))
}

/// Of `_binary`: a string wherever it stands, while a hexadecimal literal may be a number.
fn binary_string(bytes: Vec<u8>) -> Expression {
    let ty = MysqlType::new(TypeKind::Binary { length: bytes.len() as u32 }).with_nullable(false);
    Expression::literal(Value::Bytes(Arc::from(bytes)), ty)
}

/// A hexadecimal or bit literal where a number is wanted. Manual: "Hexadecimal Literals" (11.1.4).
pub fn as_number(expression: &mut Expression) {
    super::choice::as_number(expression);
    let Expression::Literal { value: Value::Bytes(bytes), ty } = expression else { return };
    if !matches!(ty.kind, TypeKind::VarBinary { .. }) {
        return;
    }
    // Longer ones keep their last eight bytes, as MySQL reads them.
    let number = bytes.iter().fold(0u64, |number, byte| number << 8 | u64::from(*byte));
    *expression = Expression::literal(Value::UInt(number), MysqlType::bigint_unsigned().with_nullable(false));
}

/// Hexadecimal and bit literals among a call's arguments are numbers where the function reads numbers.
pub fn numbers_of_call(name: &str, arguments: &mut [Expression]) {
    for (position, argument) in arguments.iter_mut().enumerate() {
        if position == 0 && matches!(name, "BIN" | "CONV" | "OCT") {
            bits_of_literal(argument);
        } else if reads_numbers(name) || super::derivation::is_number(name, position) {
            as_number(argument);
        }
    }
}

/// Functions of numbers alone, but for a locale.
fn reads_numbers(name: &str) -> bool {
    const OF_NUMBERS: &[&str] = &[
        "ABS",
        "ACOS",
        "ASIN",
        "ATAN",
        "ATAN2",
        "BIT_COUNT",
        "CEIL",
        "CEILING",
        "CHAR",
        "CONV",
        "COS",
        "COT",
        "DEGREES",
        "EXP",
        "FLOOR",
        "FORMAT",
        "FROM_DAYS",
        "INET_NTOA",
        "LN",
        "LOG",
        "LOG10",
        "LOG2",
        "MAKEDATE",
        "MAKETIME",
        "MOD",
        "PERIOD_ADD",
        "PERIOD_DIFF",
        "POW",
        "POWER",
        "RADIANS",
        "ROUND",
        "SEC_TO_TIME",
        "SIGN",
        "SIN",
        "SLEEP",
        "SPACE",
        "SQRT",
        "TAN",
        "TRUNCATE",
    ];
    OF_NUMBERS.contains(&name)
}

/// Its digits in a base are not those of the literal: as of a BIT column, the bits themselves are the number.
fn bits_of_literal(argument: &mut Expression) {
    let is_bits = matches!(argument, Expression::Literal { value: Value::Bytes(_), .. });
    as_number(argument);
    if let Expression::Literal { value: Value::UInt(bits), .. } = argument
        && is_bits
    {
        *argument = Expression::literal(Value::Bit(*bits, 64), MysqlType::new(TypeKind::Bit { bits: 64 }));
    }
}

fn bytes_literal(bytes: Vec<u8>) -> Expression {
    let ty = MysqlType::new(TypeKind::VarBinary { length: bytes.len() as u32 }).with_nullable(false);
    Expression::literal(Value::Bytes(Arc::from(bytes)), ty)
}

/// True if the text is written as a literal of that type has to be. Manual: "Date and Time Literals" (11.1.3).
fn is_moment(text: &str, what: &str, sql_mode: SqlMode) -> bool {
    // Neither a date nor a time of day is written as both.
    let trimmed = text.trim();
    let both = match what {
        "DATE" => is_moment(trimmed, "DATETIME", SqlMode(0)),
        "TIME" => trimmed.len() >= 12 && is_moment(trimmed, "DATETIME", SqlMode(0)),
        _ => false,
    };
    if both {
        return false;
    }
    let quiet = EvalContext::constant();
    let kind = match what {
        "DATE" => TypeKind::Date,
        "TIME" => TypeKind::Time { fsp: 6 },
        _ => TypeKind::DateTime { fsp: 6 },
    };
    let argument = Box::new(text_literal(text, CollationId::UTF8MB4_0900_AI_CI));
    let cast = Expression::Cast { argument, ty: MysqlType::new(kind) };
    let value = eval(&cast, &[], &quiet).unwrap_or(Value::Null);
    let converts = !value.is_null() && (what == "TIME" || sql_mode_takes(&value.to_text(), sql_mode));
    let warned = !quiet.effects.warnings.lock().unwrap_or_else(std::sync::PoisonError::into_inner).is_empty();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let whole = match what {
        // Date and time, with delimiters or as 12 or 14 digits.
        "DATETIME" if plain => matches!(digits, 12 | 14),
        "DATETIME" => {
            text.trim().bytes().filter(|byte| !byte.is_ascii_digit()).count() >= 4 || text.contains(['T', ' '])
        }
        _ => true,
    };
    converts && !warned && whole
}

/// False for a date that is zero, or has a part that is, if NO_ZERO_DATE or NO_ZERO_IN_DATE refuses it.
fn sql_mode_takes(date: &str, sql_mode: SqlMode) -> bool {
    let zero = date.starts_with("0000-00-00");
    let partly = !zero && [5..7, 8..10].into_iter().any(|part| date.get(part) == Some("00"));
    let refused = zero && sql_mode.has(SqlMode::NO_ZERO_DATE) || partly && sql_mode.has(SqlMode::NO_ZERO_IN_DATE);
    !refused
}

/// Digits after the point of the seconds, at most 6.
pub fn fraction_digits(text: &str) -> u8 {
    match text.rsplit_once('.') {
        Some((_, digits)) => digits.bytes().take_while(u8::is_ascii_digit).count().min(6) as u8,
        None => 0,
    }
}

/// A number without sign: BIGINT, BIGINT UNSIGNED, DECIMAL or DOUBLE, whichever holds it.
pub fn number(digits: &str) -> Result<Expression, SqlError> {
    let illegal = || SqlError::new(ErrorCode(1367), format!("Illegal double '{digits}' value found during parsing"));
    if digits.contains(['e', 'E']) {
        let value: f64 = digits.parse().map_err(|_| illegal())?;
        if !value.is_finite() {
            return Err(illegal());
        }
        return Ok(Expression::literal(Value::Double(value), MysqlType::double().with_nullable(false)));
    }
    if let Ok(value) = digits.parse::<i64>() {
        return Ok(integer(value));
    }
    if let Ok(value) = digits.parse::<u64>() {
        return Ok(Expression::literal(Value::UInt(value), MysqlType::bigint_unsigned().with_nullable(false)));
    }
    // More digits than there can be before the point are the greatest number that there is.
    let greatest = || Decimal::parse(&"9".repeat(65));
    match Decimal::parse(digits).or_else(greatest) {
        Some(value) => Ok(decimal(value)),
        None => Err(illegal()),
    }
}

pub fn integer(value: i64) -> Expression {
    Expression::literal(Value::Int(value), MysqlType::bigint().with_nullable(false))
}

pub fn decimal(value: Decimal) -> Expression {
    let scale = value.scale();
    let precision = value.digits().max(scale).max(1);
    let kind = TypeKind::Decimal { precision, scale, unsigned: false };
    Expression::literal(Value::Decimal(value), MysqlType::new(kind).with_nullable(false))
}

/// Minus a literal, as a literal.
pub fn negated(expression: Expression) -> Result<Expression, Expression> {
    let Expression::Literal { value, ty } = &expression else { return Err(expression) };
    Ok(match value {
        Value::Int(value) => match value.checked_neg() {
            Some(value) => integer(value),
            // What `-9223372036854775808` stands for is negated once more: no integer holds it.
            None => decimal(Decimal::from(value.unsigned_abs())),
        },
        Value::UInt(value) if *value == i64::MIN.unsigned_abs() => integer(i64::MIN),
        Value::UInt(value) => decimal(Decimal::from(*value).negate()),
        Value::Double(value) => Expression::literal(Value::Double(-value), ty.clone()),
        Value::Decimal(value) => decimal(value.negate()),
        _ => return Err(expression),
    })
}

/// A text, or the bytes that a driver put into the statement as they are.
fn string_literal(text: &str, collation: CollationId) -> Expression {
    match text_bytes::to_bytes(text) {
        Some(bytes) => bytes_literal(bytes),
        None => text_literal(text, collation),
    }
}

pub fn literal_value(value: &Value, collation: CollationId) -> Expression {
    match value {
        Value::Text(text) => string_literal(text, collation),
        Value::Int(value) => integer(*value),
        Value::Decimal(value) => decimal(*value),
        Value::Bytes(bytes) => bytes_literal(bytes.to_vec()),
        other => Expression::literal(other.clone(), MysqlType::null()),
    }
}

fn hex(digits: &str) -> Vec<u8> {
    let digit = |byte: u8| (byte as char).to_digit(16).unwrap_or(0) as u8;
    digits.as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | pair.get(1).map_or(0, |byte| digit(*byte))).collect()
}

/// Bits, filled up with zeros on the left to whole bytes.
fn bits_bytes(bits: &str) -> Vec<u8> {
    let padded = format!("{}{bits}", "0".repeat((8 - bits.len() % 8) % 8));
    padded.as_bytes().chunks(8).map(|byte| byte.iter().fold(0, |sum, bit| sum << 1 | (bit - b'0'))).collect()
}
