//! SET: user variables, system variables, character sets, the next transaction.

use super::variables;
use super::{Session, optimizer_switch};
use crate::sql::plan::{SetItem, VariableScope};
use expr::collation::charset::Charset;
use expr::collation::{CollationId, collation_by_name};
use expr::eval::{EvalContext, eval};
use expr::value::Value;
use expr::{ErrorCode, Expression, SqlError};
use std::sync::Arc;

/// A SET names only the flags that change.
const OPTIMIZER_SWITCH: &str = "optimizer_switch";

impl Session {
    /// Carries out all items, or none: values are computed and checked first, as MySQL does.
    pub(super) async fn set(&mut self, items: &[SetItem], context: &EvalContext) -> Result<(), SqlError> {
        let mut checked = Vec::with_capacity(items.len());
        for item in items {
            checked.push(self.check_item(item, context)?);
        }
        for change in checked {
            self.apply(change, context).await?;
        }
        Ok(())
    }

    fn check_item(&self, item: &SetItem, context: &EvalContext) -> Result<Change, SqlError> {
        Ok(match item {
            SetItem::User { name, value } => Change::User(name.to_lowercase(), constant(value, context)?),
            SetItem::Names { charset, collation } => {
                let (charset, collation) = names(charset.as_deref(), collation.as_deref())?;
                variables::check_client_charset(charset)?;
                Change::Names(charset, collation)
            }
            SetItem::Computed { .. } => return Err(SqlError::internal("SET of a query that was not run; report it")),
            SetItem::CharacterSet(charset) => {
                let charset = charset.as_deref().map_or(Ok(Charset::Utf8mb4), Charset::from_name)?;
                variables::check_client_charset(charset)?;
                Change::CharacterSet(charset)
            }
            SetItem::System { scope, name, value } => {
                let variable = variables::lookup(name).ok_or_else(|| variables::unknown(name))?;
                variables::check_scope(variable, *scope)?;
                if *scope != VariableScope::Session {
                    self.newest_rights().require_dynamic("SYSTEM_VARIABLES_ADMIN")?;
                }
                let text = match value {
                    Some(value) => {
                        let value = constant(value, context)?;
                        let mut text = variables::normalise(variable, &value)?;
                        if let (OPTIMIZER_SWITCH, Some(change)) = (variable.name, &text) {
                            let values = match scope {
                                VariableScope::Session => self.variables.clone(),
                                _ => self.engine.globals(),
                            };
                            text = Some(optimizer_switch::changed(values.get(OPTIMIZER_SWITCH), change)?);
                        }
                        let moved =
                            matches!(variable.kind, variables::Kind::Integer { .. } | variables::Kind::Real { .. })
                                && text
                                    .as_ref()
                                    .is_some_and(|text| text.parse::<f64>().ok() != value.to_f64(context).ok());
                        if moved {
                            let shown = value.to_text();
                            let text = format!("Truncated incorrect {} value: '{shown}'", variable.name);
                            context.warn(ErrorCode::TRUNCATED_WRONG_VALUE, text);
                        }
                        text
                    }
                    // DEFAULT: the server's value for a session, the built-in one for the server.
                    None if *scope == VariableScope::Session => {
                        self.engine.globals().text(variable).map(str::to_string)
                    }
                    None => variables::Values::default().text(variable).map(str::to_string),
                };
                Change::System(*scope, variable, text)
            }
        })
    }

    async fn apply(&mut self, change: Change, context: &EvalContext) -> Result<(), SqlError> {
        match change {
            Change::User(name, value) => {
                let mut shared =
                    context.effects.user_variables.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                shared.insert(name, value);
            }
            Change::Names(charset, collation) => {
                for name in ["character_set_client", "character_set_connection", "character_set_results"] {
                    self.set_text(name, charset.name());
                }
                self.set_text("collation_connection", collation.name());
            }
            Change::CharacterSet(charset) => {
                self.set_text("character_set_client", charset.name());
                self.set_text("character_set_results", charset.name());
                let collation = self.variables.get("collation_database").to_string();
                self.set_text("collation_connection", &collation);
                let connection = self.variables.get("character_set_database").to_string();
                self.set_text("character_set_connection", &connection);
            }
            Change::System(VariableScope::Session, variable, text) => self.set_session(variable, text).await?,
            Change::System(_, variable, text) => self.engine.set_global(variable, text),
        }
        Ok(())
    }

    async fn set_session(
        &mut self,
        variable: &'static variables::Variable,
        text: Option<String>,
    ) -> Result<(), SqlError> {
        let value = text.clone().unwrap_or_default();
        match variable.name {
            // Turning autocommit on commits what is open.
            "autocommit" if value == "ON" && !self.autocommit() => self.commit().await?,
            "character_set_connection" => {
                if let Some(charset) = Charset::by_name(&value) {
                    self.set_text("collation_connection", charset.default_collation().name());
                }
            }
            "collation_connection" => {
                if let Some(info) = CollationId::by_name(&value) {
                    self.set_text("character_set_connection", info.charset.name());
                }
            }
            // They are set, and read as 0.
            "rand_seed1" => {
                self.random.set_first_seed(value.parse().unwrap_or_default());
                return Ok(());
            }
            "rand_seed2" => {
                self.random.set_second_seed(value.parse().unwrap_or_default());
                return Ok(());
            }
            "last_insert_id" | "identity" => self.last_insert_id = value.parse().unwrap_or_default(),
            _ => {}
        }
        Arc::make_mut(&mut self.variables).set(variable, text);
        Ok(())
    }
}

enum Change {
    User(String, Value),
    Names(Charset, CollationId),
    CharacterSet(Charset),
    System(VariableScope, &'static variables::Variable, Option<String>),
}

/// SET NAMES: a character set, a collation of it or its default; nothing is DEFAULT.
fn names(charset: Option<&str>, collation: Option<&str>) -> Result<(Charset, CollationId), SqlError> {
    let charset = charset.map_or(Ok(Charset::Utf8mb4), Charset::from_name)?;
    let collation = collation.map_or(Ok(charset.default_collation()), collation_by_name)?;
    if collation.charset() != charset {
        let text = format!("COLLATION '{}' is not valid for CHARACTER SET '{}'", collation.name(), charset.name());
        return Err(SqlError::new(ErrorCode(1253), text));
    }
    Ok((charset, collation))
}

/// The value of an expression that reads no table.
fn constant(expression: &Expression, context: &EvalContext) -> Result<Value, SqlError> {
    eval(expression, &[], context)
}
