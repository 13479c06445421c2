//! Errors of routines' texts, with MySQL's numbers and texts.

use expr::{ErrorCode, SqlError};

fn error(code: u16, text: String) -> SqlError {
    SqlError::new(ErrorCode(code), text)
}

pub fn no_label(verb: &str, label: &str) -> SqlError {
    error(1308, format!("{verb} with no matching label: {label}"))
}

pub fn label_again(label: &str) -> SqlError {
    error(1309, format!("Redefining label {label}"))
}

pub fn label_mismatch(label: &str) -> SqlError {
    error(1310, format!("End-label {label} without match"))
}

pub fn return_outside() -> SqlError {
    error(1313, "RETURN is only allowed in a FUNCTION".to_owned())
}

pub fn not_allowed(what: &str) -> SqlError {
    error(1314, format!("{what} is not allowed in stored procedures"))
}

pub fn no_condition(name: &str) -> SqlError {
    error(1319, format!("Undefined CONDITION: {name}"))
}

pub fn no_return(name: &str) -> SqlError {
    error(1320, format!("No RETURN found in FUNCTION {name}"))
}

pub fn no_cursor(name: &str) -> SqlError {
    error(1324, format!("Undefined CURSOR: {name}"))
}

pub fn undeclared(name: &str) -> SqlError {
    error(1327, format!("Undeclared variable: {name}"))
}

pub fn parameter_again(name: &str) -> SqlError {
    error(1330, format!("Duplicate parameter: {name}"))
}

pub fn variable_again(name: &str) -> SqlError {
    error(1331, format!("Duplicate variable: {name}"))
}

pub fn condition_again(name: &str) -> SqlError {
    error(1332, format!("Duplicate condition: {name}"))
}

pub fn cursor_again(name: &str) -> SqlError {
    error(1333, format!("Duplicate cursor: {name}"))
}

pub fn dynamic() -> SqlError {
    error(1336, "Dynamic SQL is not allowed in stored function or trigger".to_owned())
}

pub fn variable_after() -> SqlError {
    error(1337, "Variable or condition declaration after cursor or handler declaration".to_owned())
}

pub fn cursor_after() -> SqlError {
    error(1338, "Cursor declaration after handler declaration".to_owned())
}

pub fn no_row(row: &str, trigger: &str) -> SqlError {
    error(1363, format!("There is no {row} row in on {trigger} trigger"))
}

pub fn row_is_fixed(row: &str, when: &str) -> SqlError {
    error(1362, format!("Updating of {row} row is not allowed in {when}trigger"))
}

pub fn bad_state(state: &str) -> SqlError {
    error(1407, format!("Bad SQLSTATE: '{state}'"))
}

pub fn handler_again() -> SqlError {
    error(1413, "Duplicate handler declared in the same block".to_owned())
}

pub fn gives_rows(what: &str) -> SqlError {
    error(1415, format!("Not allowed to return a result set from a {what}"))
}

pub fn commits() -> SqlError {
    error(1422, "Explicit or implicit commit is not allowed in stored function or trigger.".to_owned())
}

pub fn condition_by_code() -> SqlError {
    error(1646, "SIGNAL/RESIGNAL can only use a CONDITION defined with SQLSTATE".to_owned())
}
