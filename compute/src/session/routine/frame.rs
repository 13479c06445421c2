//! One routine that runs: where it stands, its variables, its cursors, the handlers at work; and what the session was
//! before it.

use super::cursor::OpenCursor;
use super::program::Loaded;
use crate::account::{AccountName, RoutineKind};
use crate::catalog::{RoutineDef, TriggerDef};
use crate::session::Session;
use crate::session::identity::{Identity, Login};
use crate::session::variables::{self, Values};
use crate::sql::bind::Locals;
use crate::sql::parse::routine::program::Depth;
use crate::sql::plan::CallTarget;
use expr::error::Warning;
use expr::eval::SqlMode;
use expr::mysql_type::MysqlType;
use expr::value::Value;
use expr::{ErrorCode, SqlError};
use std::sync::Arc;

/// Whose body it is.
#[derive(Debug, Clone)]
pub enum Owner {
    Procedure(Arc<RoutineDef>),
    Function(Arc<RoutineDef>),
    Trigger(Arc<TriggerDef>),
    Event,
}

impl Owner {
    pub fn is_routine(&self, other: &RoutineDef) -> bool {
        match self {
            Owner::Procedure(routine) | Owner::Function(routine) => {
                routine.kind == other.kind
                    && routine.database == other.database
                    && routine.name.eq_ignore_ascii_case(&other.name)
            }
            Owner::Trigger(_) | Owner::Event => false,
        }
    }

    /// For messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Owner::Procedure(_) => RoutineKind::Procedure.sql(),
            Owner::Function(_) => "function",
            Owner::Trigger(_) => "trigger",
            Owner::Event => "EVENT",
        }
    }
}

/// Where a value goes.
pub enum Target {
    User(String),
    Slot(usize),
}

pub struct Frame {
    pub program: Arc<Loaded>,
    /// The step that comes next.
    pub at: usize,
    /// What the statement that runs sees; nothing, while it runs a text of its own (EXECUTE).
    pub scope: Option<usize>,
    pub values: Arc<[Value]>,
    /// By number; those that are open.
    pub cursors: Vec<Option<OpenCursor>>,
    /// Innermost last.
    pub handling: Vec<Handling>,
    /// Where parameters go in the end.
    pub outs: Vec<(usize, CallTarget)>,
    pub saved: Saved,
}

/// A handler at work.
pub struct Handling {
    /// What it was called for.
    pub condition: Warning,
    /// The diagnostics area as it was then.
    pub diagnostics: Vec<Warning>,
    pub resume: usize,
}

/// The session as it was outside.
pub struct Saved {
    database: Option<Arc<str>>,
    variables: Arc<Values>,
    identity: Arc<Identity>,
    /// As they were set inside, from `variables`.
    inside: Arc<Values>,
}

impl Frame {
    pub fn new(program: Arc<Loaded>, values: Vec<Value>, saved: Saved, outs: Vec<(usize, CallTarget)>) -> Frame {
        let cursors = program.program.cursors.iter().map(|_| None).collect();
        let values = values.into();
        Frame { program, at: 0, scope: None, values, cursors, handling: Vec::new(), outs, saved }
    }

    pub fn set(&mut self, slot: usize, value: Value) {
        if let Some(place) = Arc::make_mut(&mut self.values).get_mut(slot) {
            *place = value;
        }
    }

    /// EXECUTE ... USING: OUT parameters go to the variables that were given.
    pub fn give_back_to(&mut self, using: &[String]) {
        for (_, target) in &mut self.outs {
            if let CallTarget::Parameter(position) = target
                && let Some(name) = using.get(*position)
            {
                *target = CallTarget::User(name.to_lowercase());
            }
        }
    }

    /// For messages.
    pub fn name_of(&self, slot: usize) -> &str {
        let named = self.program.program.variables.get(slot).map(|variable| variable.name.as_str());
        named.or_else(|| self.program.column_of(slot)).unwrap_or_default()
    }

    /// A jump or the end of a block: what is further in than this ends.
    pub fn leave_to(&mut self, depth: Depth) {
        self.handling.truncate(depth.handlers);
        self.close_cursors(depth);
    }

    pub fn close_cursors(&mut self, depth: Depth) {
        for (open, cursor) in self.cursors.iter_mut().zip(&self.program.program.cursors) {
            if cursor.depth >= depth.cursors {
                *open = None;
            }
        }
    }
}

/// What the statement at hand sees of the frame.
impl Locals for Frame {
    fn find(&self, path: &[String]) -> Result<Option<(usize, MysqlType)>, SqlError> {
        let Some(scope) = self.scope else { return Ok(None) };
        let slot = match path {
            [name] => self.program.program.slot(scope, name),
            [row, column] => self.program.row_slot(row, column)?,
            _ => None,
        };
        Ok(slot.map(|slot| (slot, self.program.types[slot].clone())))
    }
}

impl Session {
    /// The session becomes what a body runs under: its database, its sql_mode, its definer's rights.
    pub(in crate::session) fn enter(
        &mut self,
        database: &str,
        sql_mode: u64,
        definer: &str,
        invoker: bool,
    ) -> Result<Saved, SqlError> {
        let identity = match invoker {
            true => self.identity.clone(),
            false => self.definer(definer)?,
        };
        let variables = self.variables.clone();
        if variables.effective().sql_mode != SqlMode(sql_mode) {
            self.variables = self.programs.with_mode(&variables, SqlMode(sql_mode));
        }
        let saved = Saved {
            database: self.database.replace(database.into()),
            variables,
            identity: std::mem::replace(&mut self.identity, identity),
            inside: self.variables.clone(),
        };
        if saved.database == self.database {
            // The same text in the same place: plans are kept by it.
            self.database.clone_from(&saved.database);
        }
        Ok(saved)
    }

    pub(super) fn restore(&mut self, frame: Frame) {
        let Saved { database, variables, identity, inside } = frame.saved;
        self.database = database;
        self.identity = identity;
        if Arc::ptr_eq(&self.variables, &inside) {
            self.variables = variables;
            return;
        }
        // What the body has set stays set; sql_mode is the one from outside.
        if let Some(variable) = variables::lookup("sql_mode") {
            let text = variables.text(variable).map(str::to_owned);
            Arc::make_mut(&mut self.variables).set(variable, text);
        }
    }

    /// Of a session that runs nothing but a body.
    pub(in crate::session) fn become_definer(&mut self, definer: &str) -> Result<(), SqlError> {
        self.identity = self.definer(definer)?;
        Ok(())
    }

    /// 1449 for one that is gone.
    fn definer(&self, definer: &str) -> Result<Arc<Identity>, SqlError> {
        let name = AccountName::parse(definer);
        if *self.identity.current_user == *definer || name == self.identity.login.account {
            return Ok(self.identity.clone());
        }
        let accounts = &self.engine.services.catalog.newest().accounts;
        let Some(account) = accounts.definer(&name) else {
            let text = format!("The user specified as a definer ({}) does not exist", name.literal());
            return Err(SqlError::new(ErrorCode(1449), text));
        };
        if account.name == self.identity.login.account {
            return Ok(self.identity.clone());
        }
        let user = self.identity.user.clone();
        let login = Login {
            user: self.identity.login.user.clone(),
            host: self.identity.login.host.clone(),
            account: account.name.clone(),
            expired: false,
        };
        Ok(self.programs.identity(definer, || Identity::as_definer(login, user, definer)))
    }
}
