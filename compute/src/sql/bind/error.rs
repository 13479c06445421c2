//! Errors of name resolution, with MySQL's numbers and texts.

use expr::{ErrorCode, SqlError};

pub fn no_database() -> SqlError {
    SqlError::new(ErrorCode::NO_DB, "No database selected")
}

pub fn unknown_database(name: &str) -> SqlError {
    SqlError::new(ErrorCode::BAD_DB, format!("Unknown database '{name}'"))
}

pub fn no_such_table(database: &str, name: &str) -> SqlError {
    SqlError::new(ErrorCode::NO_SUCH_TABLE, format!("Table '{database}.{name}' doesn't exist"))
}

pub fn unknown_table(name: &str) -> SqlError {
    SqlError::new(ErrorCode::BAD_TABLE, format!("Unknown table '{name}'"))
}

pub fn unknown_column(name: &str, clause: &str) -> SqlError {
    SqlError::new(ErrorCode::BAD_FIELD, format!("Unknown column '{name}' in '{clause}'"))
}

pub fn ambiguous(name: &str, clause: &str) -> SqlError {
    SqlError::new(ErrorCode::NON_UNIQ, format!("Column '{name}' in {clause} is ambiguous"))
}

pub fn not_unique_table(alias: &str) -> SqlError {
    SqlError::new(ErrorCode::NONUNIQ_TABLE, format!("Not unique table/alias: '{alias}'"))
}

pub fn operand_columns(count: usize) -> SqlError {
    SqlError::new(ErrorCode::OPERAND_COLUMNS, format!("Operand should contain {count} column(s)"))
}

pub fn different_columns() -> SqlError {
    SqlError::new(
        ErrorCode::WRONG_NUMBER_OF_COLUMNS_IN_SELECT,
        "The used SELECT statements have a different number of columns",
    )
}

pub fn no_function(database: Option<&str>, name: &str) -> SqlError {
    match database {
        Some(database) => {
            SqlError::new(ErrorCode::SP_DOES_NOT_EXIST, format!("FUNCTION {database}.{name} does not exist"))
        }
        None => SqlError::new(ErrorCode::SP_DOES_NOT_EXIST, format!("FUNCTION {name} does not exist")),
    }
}

pub fn parameter_count(name: &str) -> SqlError {
    SqlError::new(
        ErrorCode::WRONG_PARAMCOUNT_TO_NATIVE_FCT,
        format!("Incorrect parameter count in the call to native function '{name}'"),
    )
}

pub fn invalid_group_function() -> SqlError {
    SqlError::new(ErrorCode::INVALID_GROUP_FUNC_USE, "Invalid use of group function")
}
