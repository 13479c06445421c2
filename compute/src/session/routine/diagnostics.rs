//! SIGNAL, RESIGNAL and GET DIAGNOSTICS: conditions made by hand, and asked for.

use super::frame::Handling;
use crate::session::Session;
use crate::sql::plan::IntoTarget;
use expr::error::{Warning, WarningLevel};
use expr::eval::{EvalContext, eval};
use expr::sqlstate::{self, SqlState};
use expr::value::Value;
use expr::{ErrorCode, Expression, SqlError};
use std::collections::BTreeMap;

/// What SIGNAL said beside message and number, by item; of the last condition that it made.
pub(crate) type SignalItems = BTreeMap<&'static str, String>;

impl Session {
    pub(in crate::session) fn signal(
        &mut self,
        resignal: bool,
        state: Option<SqlState>,
        items: &[(&'static str, Expression)],
        context: &EvalContext,
    ) -> Result<(), SqlError> {
        let active = self.active_condition().map(|handling| handling.condition.clone());
        let mut condition = match (resignal, active) {
            (true, None) => return Err(SqlError::new(ErrorCode(1645), "RESIGNAL when handler not active")),
            (true, Some(active)) if state.is_none() => active,
            _ => new_condition(state.unwrap_or(*b"45000")),
        };
        if !resignal {
            self.signal_items.clear();
        }
        for (item, value) in items {
            let value = eval(value, &[], context)?;
            self.set_item(item, &value, &mut condition, context)?;
        }
        if condition.level == WarningLevel::Warning {
            if !resignal {
                self.warnings.clear();
            }
            self.warnings.push(condition);
            return Ok(());
        }
        let state = condition.state;
        Err(SqlError { code: condition.code, message: condition.message, state })
    }

    fn set_item(
        &mut self,
        item: &'static str,
        value: &Value,
        condition: &mut Warning,
        context: &EvalContext,
    ) -> Result<(), SqlError> {
        let wrong = |value: &str| {
            let text = format!("Variable '{}' can't be set to the value of '{value}'", item.to_ascii_uppercase());
            SqlError::new(ErrorCode(1231), text)
        };
        if value.is_null() {
            return Err(wrong("NULL"));
        }
        match item {
            "message_text" => {
                const CHARACTERS_MAX: usize = 128;
                let text = value.to_text();
                condition.message = text.chars().take(CHARACTERS_MAX).collect();
                if text.chars().count() > CHARACTERS_MAX && context.sql_mode.is_strict() {
                    return Err(SqlError::new(ErrorCode(1648), "Data too long for condition item 'MESSAGE_TEXT'"));
                }
            }
            "mysql_errno" => {
                let number = value.to_i64(context)?;
                let code = u16::try_from(number).ok().filter(|code| *code > 0);
                condition.state.get_or_insert(condition.sqlstate());
                condition.code = ErrorCode(code.ok_or_else(|| wrong(&number.to_string()))?);
            }
            item => {
                self.signal_items.insert(item, value.to_text().into_owned());
            }
        }
        Ok(())
    }

    /// Of the innermost handler at work.
    fn active_condition(&self) -> Option<&Handling> {
        self.frames.iter().rev().find_map(|frame| frame.handling.last())
    }

    pub(in crate::session) fn get_diagnostics(
        &mut self,
        stacked: bool,
        number: Option<&Expression>,
        items: &[(IntoTarget, &'static str)],
        context: &EvalContext,
    ) -> Result<(), SqlError> {
        let conditions = match stacked {
            false => self.warnings.clone(),
            true => match self.active_condition() {
                Some(handling) => handling.diagnostics.clone(),
                None => {
                    let text = "GET STACKED DIAGNOSTICS when handler not active";
                    return Err(SqlError::new(ErrorCode(1887), text).with_state(*b"0Z002"));
                }
            },
        };
        let Some(number) = number else {
            for (target, item) in items {
                let value = match *item {
                    "number" => Value::Int(conditions.len() as i64),
                    _ => Value::Int(self.row_count),
                };
                self.assign_into(target, value)?;
            }
            return Ok(());
        };
        let number = eval(number, &[], context)?;
        let position = number.to_i64(context)?;
        let condition = usize::try_from(position).ok().and_then(|at| conditions.get(at.checked_sub(1)?));
        let Some(condition) = condition else {
            // The statement works, and says what is wrong.
            let text = "Invalid condition number";
            self.warnings.push(Warning::new(WarningLevel::Error, ErrorCode(1758), text));
            return Ok(());
        };
        for (target, item) in items {
            let value = self.item_of(condition, item);
            self.assign_into(target, value)?;
        }
        Ok(())
    }

    fn item_of(&self, condition: &Warning, item: &str) -> Value {
        let state = condition.sqlstate();
        let signalled = || Value::text(self.signal_items.get(item).map_or("", String::as_str));
        match item {
            "message_text" => Value::text(&condition.message),
            "mysql_errno" => Value::Int(condition.code.0.into()),
            "returned_sqlstate" => Value::text(String::from_utf8_lossy(&state)),
            "class_origin" | "subclass_origin" => {
                let iso = match item {
                    "class_origin" => [
                        b"00", b"01", b"02", b"07", b"08", b"0A", b"21", b"22", b"23", b"24", b"25", b"26", b"27",
                        b"28", b"2D", b"2E", b"33", b"34", b"35", b"3C", b"3D", b"3F", b"40", b"42", b"44",
                    ]
                    .iter()
                    .any(|class| state.starts_with(*class)),
                    _ => state.ends_with(b"000") && !state.starts_with(b"HY") && !state.starts_with(b"45"),
                };
                match self.signal_items.get(item) {
                    Some(given) => Value::text(given),
                    None => Value::text(if iso { "ISO 9075" } else { "MySQL" }),
                }
            }
            _ => signalled(),
        }
    }
}

/// A condition as SIGNAL makes it, by its SQLSTATE.
fn new_condition(state: SqlState) -> Warning {
    let (level, code, message) = if sqlstate::is_warning(state) {
        (WarningLevel::Warning, 1642, "Unhandled user-defined warning condition")
    } else if sqlstate::is_not_found(state) {
        (WarningLevel::Error, 1643, "Unhandled user-defined not found condition")
    } else {
        (WarningLevel::Error, 1644, "Unhandled user-defined exception condition")
    };
    Warning { level, code: ErrorCode(code), message: message.to_owned(), state: Some(state) }
}
