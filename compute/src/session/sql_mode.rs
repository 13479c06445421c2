//! sql_mode between its text and its flags. Manual: "Server SQL Modes" (7.1.11).

use expr::eval::SqlMode;
use expr::value::Value;
use expr::{ErrorCode, SqlError};

/// What ANSI and TRADITIONAL stand for besides themselves.
const ANSI_PARTS: u64 = SqlMode::REAL_AS_FLOAT.0
    | SqlMode::PIPES_AS_CONCAT.0
    | SqlMode::ANSI_QUOTES.0
    | SqlMode::IGNORE_SPACE.0
    | SqlMode::ONLY_FULL_GROUP_BY.0;
const TRADITIONAL_PARTS: u64 = SqlMode::STRICT_TRANS_TABLES.0
    | SqlMode::STRICT_ALL_TABLES.0
    | SqlMode::NO_ZERO_IN_DATE.0
    | SqlMode::NO_ZERO_DATE.0
    | SqlMode::ERROR_FOR_DIVISION_BY_ZERO.0
    | SqlMode::NO_ENGINE_SUBSTITUTION.0;

/// From a list of names or a number.
pub fn parse(value: &Value, variable: &str) -> Result<SqlMode, SqlError> {
    let known = SqlMode::NAMES.iter().fold(0, |all, (_, mode)| all | mode.0);
    let wrong = |shown: &str| {
        let text = format!("Variable '{variable}' can't be set to the value of '{shown}'");
        Err(SqlError::new(ErrorCode::WRONG_VALUE_FOR_VAR, text))
    };
    let bits = match value {
        Value::Int(number) if *number >= 0 => *number as u64,
        Value::UInt(number) => *number,
        _ => {
            let mut bits = 0;
            for name in value.to_text().split(',').filter(|name| !name.is_empty()) {
                match SqlMode::NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name.trim())) {
                    Some((_, mode)) => bits |= mode.0,
                    None => return wrong(name),
                }
            }
            bits
        }
    };
    if bits & !known != 0 {
        return wrong(&bits.to_string());
    }
    let ansi = if SqlMode(bits).has(SqlMode::ANSI) { ANSI_PARTS } else { 0 };
    let traditional = if SqlMode(bits).has(SqlMode::TRADITIONAL) { TRADITIONAL_PARTS } else { 0 };
    Ok(SqlMode(bits | ansi | traditional))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn combinations_are_spelt_out() {
        let traditional = parse(&Value::text("traditional"), "sql_mode").unwrap();
        assert_eq!(
            traditional.text(),
            "STRICT_TRANS_TABLES,STRICT_ALL_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,ERROR_FOR_DIVISION_BY_ZERO,\
             TRADITIONAL,NO_ENGINE_SUBSTITUTION"
        );
        assert_eq!(parse(&Value::text(traditional.text()), "sql_mode").unwrap(), traditional);
        assert_eq!(parse(&Value::text(""), "sql_mode").unwrap(), SqlMode(0));
        assert_eq!(parse(&Value::text("NO_SUCH_MODE"), "sql_mode").unwrap_err().code, ErrorCode::WRONG_VALUE_FOR_VAR);
    }
}
