//! What a client that asks for it is told with the end of a statement: the session's changes.
//! Manual: "Server Tracking of Client Session State" (7.1.18).

use super::Session;
use super::variables::{self, Values};
use std::sync::Arc;

/// The session as the client knows it.
#[derive(Clone)]
pub struct Tracked {
    database: Option<Arc<str>>,
    variables: Arc<Values>,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Change {
    Variable {
        name: String,
        value: String,
    },
    Schema(String),
    /// session_track_state_change: something changed.
    State,
}

impl Session {
    pub fn tracked(&self) -> Tracked {
        Tracked { database: self.database.clone(), variables: self.variables.clone() }
    }

    /// What is another than the client knows. Usually nothing, and found out without looking.
    pub fn changes_since(&self, known: &Tracked) -> Vec<Change> {
        let mut changes = Vec::new();
        let same_variables = Arc::ptr_eq(&known.variables, &self.variables);
        if !same_variables {
            let names = self.variables.get("session_track_system_variables").to_ascii_lowercase();
            let all = names.trim() == "*";
            let wanted = |name: &str| all || names.split(',').any(|wanted| wanted.trim() == name);
            for variable in variables::all() {
                let (before, now) = (known.variables.text(variable), self.variables.text(variable));
                if before != now && wanted(variable.name) {
                    let value = self.variables.get(variable.name).to_owned();
                    changes.push(Change::Variable { name: variable.name.to_owned(), value });
                }
            }
        }
        if known.database != self.database && self.variables.boolean("session_track_schema") {
            changes.push(Change::Schema(self.database.as_deref().unwrap_or_default().to_owned()));
        }
        let changed = !same_variables || known.database != self.database;
        if changed && self.variables.boolean("session_track_state_change") {
            changes.push(Change::State);
        }
        changes
    }
}
