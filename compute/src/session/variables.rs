//! System variables: names, scopes, kinds, defaults, and the values of the server and of one session.
//! Manual: "Server System Variables" (7.1.8).

use crate::sql::plan::VariableScope;
use expr::collation::Charset;
use expr::eval::TimeZone;
use expr::mysql_type::{MysqlType, TypeKind};
use expr::value::Value;
use expr::{ErrorCode, SqlError};
use std::collections::{BTreeMap, HashMap};
use std::sync::OnceLock;

mod effective;
mod table;

pub use effective::{Effective, Outlines};
pub use table::{all, lookup};

/// What a variable is: one row of the table.
#[derive(Debug)]
pub struct Variable {
    /// Lower case.
    pub name: &'static str,
    pub scope: Scope,
    pub kind: Kind,
    /// In the text form of SHOW VARIABLES.
    pub default: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Of the server and of each session, which starts with the server's value.
    Both,
    Global,
    Session,
    /// Of the server, set at its start only.
    ReadOnly,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Boolean,
    /// Bounds; values outside are moved to the nearest, with a warning.
    Integer {
        min: i64,
        max: u64,
    },
    Real {
        min: i64,
        max: u64,
    },
    Text,
    /// Text or NULL.
    NullableText,
    /// One of these, in any case, or its number.
    Enumeration(&'static [&'static str]),
    /// sql_mode.
    SqlMode,
    /// A time zone name or offset.
    TimeZone,
    /// A character set's name.
    CharacterSet,
    Collation,
}

/// The values of one scope; what is missing has its default.
#[derive(Debug, Clone, Default)]
pub struct Values {
    texts: HashMap<&'static str, Option<String>>,
    effective: OnceLock<Effective>,
}

impl Values {
    /// The value in text form; `None` is NULL.
    pub fn text(&self, variable: &'static Variable) -> Option<&str> {
        match self.texts.get(variable.name) {
            Some(value) => value.as_deref(),
            None if variable.kind == Kind::NullableText && variable.default.is_empty() => None,
            None => Some(variable.default),
        }
    }

    pub fn set(&mut self, variable: &'static Variable, text: Option<String>) {
        self.texts.insert(variable.name, text);
        self.effective = OnceLock::new();
    }

    /// What statements look at.
    pub fn effective(&self) -> &Effective {
        self.effective.get_or_init(|| Effective::of(self))
    }

    /// By name, for variables that the code relies on; those are in the table.
    pub fn get(&self, name: &str) -> &str {
        lookup(name).and_then(|variable| self.text(variable)).unwrap_or_default()
    }

    pub fn boolean(&self, name: &str) -> bool {
        self.get(name) == "ON"
    }

    pub fn integer(&self, name: &str) -> u64 {
        self.get(name).parse().unwrap_or_default()
    }

    /// All of a scope, for SHOW VARIABLES.
    pub fn all(&self, global: bool) -> BTreeMap<&'static str, String> {
        table::all()
            .filter(|variable| !(global && variable.scope == Scope::Session))
            .map(|variable| (variable.name, self.text(variable).unwrap_or_default().to_string()))
            .collect()
    }
}

/// A variable's value as an expression sees it: `@@name`.
pub fn value(variable: &'static Variable, text: Option<&str>) -> (Value, MysqlType) {
    let collation = expr::collation::CollationId::UTF8MB4_0900_AI_CI;
    let varchar = MysqlType::varchar(1024, collation);
    let Some(text) = text else { return (Value::Null, varchar) };
    match variable.kind {
        Kind::Boolean => (Value::Int((text == "ON").into()), MysqlType::bigint()),
        Kind::Integer { .. } => match text.parse::<i64>() {
            Ok(number) => (Value::Int(number), MysqlType::bigint()),
            Err(_) => (Value::UInt(text.parse().unwrap_or_default()), MysqlType::bigint_unsigned()),
        },
        Kind::Real { .. } => (
            Value::Double(text.parse().unwrap_or_default()),
            MysqlType::new(TypeKind::Double { unsigned: false, display: Some((17, 6)) }),
        ),
        _ => (Value::text(text), varchar),
    }
}

/// 1231 for a character set in which no statement can be written.
pub fn check_client_charset(charset: Charset) -> Result<(), SqlError> {
    if charset.bytes_min() == 1 {
        return Ok(());
    }
    let text = format!("Variable 'character_set_client' can't be set to the value of '{}'", charset.name());
    Err(SqlError::new(ErrorCode::WRONG_VALUE_FOR_VAR, text))
}

/// Checks and normalises a value for SET; `value` is what the expression gave. May move a number into its bounds.
pub fn normalise(variable: &'static Variable, value: &Value) -> Result<Option<String>, SqlError> {
    let wrong_value = || {
        let shown = if value.is_null() { "NULL".into() } else { value.to_text() };
        let text = format!("Variable '{}' can't be set to the value of '{shown}'", variable.name);
        SqlError::new(ErrorCode::WRONG_VALUE_FOR_VAR, text)
    };
    let wrong_type = || {
        let text = format!("Incorrect argument type to variable '{}'", variable.name);
        SqlError::new(ErrorCode::WRONG_TYPE_FOR_VAR, text)
    };
    if value.is_null() {
        return match variable.kind {
            Kind::NullableText => Ok(None),
            Kind::CharacterSet if variable.name == "character_set_results" => Ok(None),
            _ => Err(wrong_value()),
        };
    }
    let text = value.to_text();
    let normalised = match variable.kind {
        Kind::Boolean => match (value, &*text.to_ascii_uppercase()) {
            (_, "ON" | "TRUE") | (Value::Int(1) | Value::UInt(1), _) => "ON".to_string(),
            (_, "OFF" | "FALSE") | (Value::Int(0) | Value::UInt(0), _) => "OFF".to_string(),
            _ => return Err(wrong_value()),
        },
        Kind::Integer { min, max } => match value {
            Value::Int(number) => (i128::from(*number)).clamp(min.into(), max.into()).to_string(),
            Value::UInt(number) => (i128::from(*number)).clamp(min.into(), max.into()).to_string(),
            _ => return Err(wrong_type()),
        },
        Kind::Real { min, max } => match value {
            Value::Int(_) | Value::UInt(_) | Value::Decimal(_) | Value::Double(_) | Value::Float(_) => {
                let number: f64 = text.parse().map_err(|_| wrong_type())?;
                format!("{:.6}", number.clamp(min as f64, max as f64))
            }
            _ => return Err(wrong_type()),
        },
        Kind::Text | Kind::NullableText => text.into_owned(),
        Kind::Enumeration(members) => {
            let number = match value {
                Value::Int(number) => usize::try_from(*number).ok(),
                Value::UInt(number) => usize::try_from(*number).ok(),
                _ => members.iter().position(|member| member.eq_ignore_ascii_case(&text)),
            };
            number.and_then(|number| members.get(number)).ok_or_else(wrong_value)?.to_string()
        }
        Kind::SqlMode => super::sql_mode::parse(value, variable.name)?.text(),
        Kind::TimeZone => {
            time_zone(&text)?;
            text.into_owned()
        }
        Kind::CharacterSet => {
            let charset = Charset::from_name(&text)?;
            if variable.name == "character_set_client" {
                check_client_charset(charset)?;
            }
            charset.name().to_string()
        }
        Kind::Collation => expr::collation::collation_by_name(&text)?.name().to_string(),
    };
    Ok(Some(normalised))
}

/// SYSTEM is UTC: a server of many nodes has no place of its own. 1298.
pub fn time_zone(text: &str) -> Result<TimeZone, SqlError> {
    if text.eq_ignore_ascii_case("SYSTEM") {
        return Ok(TimeZone::Offset(0));
    }
    TimeZone::parse(text)
        .ok_or_else(|| SqlError::new(ErrorCode(1298), format!("Unknown or incorrect time zone: '{text}'")))
}

/// Whether a variable may be set in a scope. Manual: errors 1228, 1229, 1238.
pub fn check_scope(variable: &'static Variable, scope: VariableScope) -> Result<(), SqlError> {
    let name = variable.name;
    match (variable.scope, scope) {
        // A session's own value is there to be read.
        (_, VariableScope::Session) if name == "max_allowed_packet" || name == "net_buffer_length" => {
            let text = format!("SESSION variable '{name}' is read-only. Use SET GLOBAL to assign the value");
            Err(SqlError::new(ErrorCode::VARIABLE_IS_READONLY, text))
        }
        _ if name == "error_count" || name == "warning_count" => {
            let text = format!("Variable '{name}' is a read only variable");
            Err(SqlError::new(ErrorCode::INCORRECT_GLOBAL_LOCAL_VAR, text))
        }
        (Scope::Both, _)
        | (Scope::Global, VariableScope::Global | VariableScope::Persist)
        | (Scope::Session, VariableScope::Session) => Ok(()),
        (Scope::ReadOnly, _) => {
            let text = format!("Variable '{name}' is a read only variable");
            Err(SqlError::new(ErrorCode::INCORRECT_GLOBAL_LOCAL_VAR, text))
        }
        (Scope::Global, VariableScope::Session) => {
            let text = format!("Variable '{name}' is a GLOBAL variable and should be set with SET GLOBAL");
            Err(SqlError::new(ErrorCode::GLOBAL_VARIABLE, text))
        }
        (Scope::Session, _) => {
            let text = format!("Variable '{name}' is a SESSION variable and can't be used with SET GLOBAL");
            Err(SqlError::new(ErrorCode::LOCAL_VARIABLE, text))
        }
    }
}

/// 1193.
pub fn unknown(name: &str) -> SqlError {
    SqlError::new(ErrorCode::UNKNOWN_SYSTEM_VARIABLE, format!("Unknown system variable '{name}'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_a_value_of_its_kind() {
        for variable in table::all() {
            let (value, _) = value(variable, Values::default().text(variable));
            if !value.is_null() && !matches!(variable.kind, Kind::Real { .. }) {
                let text = normalise(variable, &value).unwrap();
                assert_eq!(text.as_deref(), Some(variable.default), "{}", variable.name);
            }
        }
    }

    #[test]
    fn booleans_take_words_and_numbers() {
        let autocommit = lookup("AUTOCOMMIT").unwrap();
        for (given, taken) in [(Value::text("on"), "ON"), (Value::Int(0), "OFF"), (Value::text("False"), "OFF")] {
            assert_eq!(normalise(autocommit, &given).unwrap().as_deref(), Some(taken));
        }
        assert_eq!(normalise(autocommit, &Value::Int(2)).unwrap_err().code, ErrorCode::WRONG_VALUE_FOR_VAR);
    }
}
