//! Programs ready to run, kept by the session: bodies parsed, types of variables resolved, plans beside the statements.

use super::frame::Owner;
use crate::account::RoutineKind;
use crate::catalog::routine::BodyDef;
use crate::catalog::{EventDef, RoutineDef, TableDef, TriggerDef};
use crate::session::identity::Identity;
use crate::session::source::Source;
use crate::session::variables::{self, Values};
use crate::sql::bind::column_type;
use crate::sql::parse::routine::program::Instruction;
use crate::sql::parse::routine::{self, Program};
use common::id::Lsn;
use expr::eval::SqlMode;
use expr::mysql_type::MysqlType;
use expr::{ErrorCode, SqlError};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;

pub struct Loaded {
    pub owner: Owner,
    pub program: Program,
    /// Of variables; then of a trigger's OLD columns, then of its NEW ones.
    pub types: Vec<MysqlType>,
    /// Of a trigger.
    table: Option<Arc<TableDef>>,
    /// Of steps with a statement or an expression.
    sources: Vec<Option<Arc<Source>>>,
    cursors: Vec<Arc<Source>>,
}

impl Loaded {
    fn new(
        owner: Owner,
        program: Program,
        parameters: Vec<MysqlType>,
        table: Option<Arc<TableDef>>,
        body: &BodyDef,
    ) -> Result<Loaded, SqlError> {
        let mut types = parameters;
        for variable in &program.variables[types.len().min(program.variables.len())..] {
            let Some(written) = &variable.ty else { continue };
            let (mut ty, collation) = column_type::column_type(&variable.name, written, body.database_collation)?;
            if ty.is_text() && collation.is_none() {
                ty.collation = body.database_collation;
            }
            types.push(ty);
        }
        if let Some(table) = &table {
            for _ in ["OLD", "NEW"] {
                types.extend(table.columns.iter().map(|column| column.ty.clone()));
            }
        }
        let source =
            |code: &crate::sql::parse::routine::program::Code| Arc::new(Source::new((*code.statement).clone()));
        let sources = program.steps.iter().map(|step| match &step.instruction {
            Instruction::Run(code)
            | Instruction::Set(_, code)
            | Instruction::JumpUnless(code, _)
            | Instruction::Return(code) => Some(source(code)),
            _ => None,
        });
        let sources = sources.collect();
        let cursors = program.cursors.iter().map(|cursor| source(&cursor.query)).collect();
        Ok(Loaded { owner, types, table, sources, cursors, program })
    }

    pub fn source(&self, step: usize) -> Option<Arc<Source>> {
        self.sources.get(step)?.clone()
    }

    pub fn cursor(&self, number: usize) -> Arc<Source> {
        self.cursors[number].clone()
    }

    /// The slot of OLD's first column; NEW's are behind OLD's.
    pub fn rows_at(&self) -> usize {
        self.program.variables.len()
    }

    /// NEW.x or OLD.x. None where the name is not one of a row.
    pub fn row_slot(&self, row: &str, column: &str) -> Result<Option<usize>, SqlError> {
        let Some(table) = &self.table else { return Ok(None) };
        let is_new = row.eq_ignore_ascii_case("new");
        if !is_new && !row.eq_ignore_ascii_case("old") {
            return Ok(None);
        }
        let Some(position) = table.column_index(column) else {
            let text = format!("Unknown column '{column}' in '{}'", row.to_ascii_uppercase());
            return Err(SqlError::new(ErrorCode::BAD_FIELD, text));
        };
        let offset = if is_new { table.columns.len() } else { 0 };
        Ok(Some(self.rows_at() + offset + position))
    }

    pub fn new_column(&self, column: &str) -> Result<usize, SqlError> {
        let slot = self.row_slot("NEW", column)?;
        slot.ok_or_else(|| SqlError::internal("NEW outside of a trigger; report it"))
    }

    /// The column that a slot stands for.
    pub fn column_of(&self, slot: usize) -> Option<&str> {
        let table = self.table.as_ref()?;
        let position = slot.checked_sub(self.rows_at())? % table.columns.len().max(1);
        table.columns.get(position).map(|column| column.name.as_str())
    }
}

/// Of one session, and of those within it.
#[derive(Default)]
pub struct Programs {
    loaded: Mutex<HashMap<Key, (Lsn, Lsn, Arc<Loaded>)>>,
    /// By definer.
    identities: Mutex<HashMap<String, Arc<Identity>>>,
    /// Variables with another sql_mode: of these, with this one.
    modes: Mutex<Vec<(Arc<Values>, SqlMode, Arc<Values>)>>,
}

type Key = (Kind, String, String);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Procedure,
    Function,
    Trigger,
    Event,
}

/// Programs that a session keeps.
const KEPT_MAX: usize = 500;
const MODES_MAX: usize = 8;

impl Programs {
    fn kept(
        &self,
        key: Key,
        versions: (Lsn, Lsn),
        load: impl FnOnce() -> Result<Loaded, SqlError>,
    ) -> Result<Arc<Loaded>, SqlError> {
        if let Some((body, table, loaded)) = self.loaded.lock().get(&key)
            && (*body, *table) == versions
            && versions.0 != Lsn::ZERO
        {
            return Ok(loaded.clone());
        }
        let loaded = Arc::new(load()?);
        let mut kept = self.loaded.lock();
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        kept.insert(key, (versions.0, versions.1, loaded.clone()));
        Ok(loaded)
    }

    pub fn of_routine(&self, routine: &Arc<RoutineDef>) -> Result<Arc<Loaded>, SqlError> {
        let (kind, owner, body_owner) = match routine.kind {
            RoutineKind::Procedure => (Kind::Procedure, Owner::Procedure(routine.clone()), routine::Owner::Procedure),
            RoutineKind::Function => (Kind::Function, Owner::Function(routine.clone()), routine::Owner::Function),
        };
        let key = (kind, routine.database.clone(), routine.name.to_lowercase());
        self.kept(key, (routine.version, Lsn::ZERO), || {
            let names: Vec<&str> = routine.parameters.iter().map(|parameter| parameter.name.as_str()).collect();
            let body = &routine.body;
            let program = routine::parse_body(&body.text, SqlMode(body.sql_mode), body_owner, &names)?;
            let types = routine.parameters.iter().map(|parameter| parameter.ty.clone()).collect();
            Loaded::new(owner, program, types, None, body)
        })
    }

    pub fn of_trigger(&self, trigger: &Arc<TriggerDef>, table: &Arc<TableDef>) -> Result<Arc<Loaded>, SqlError> {
        let key = (Kind::Trigger, trigger.database.clone(), trigger.name.clone());
        self.kept(key, (trigger.version, table.version), || {
            let owner = routine::Owner::Trigger(routine::rows_of(trigger.timing, trigger.event));
            let body = &trigger.body;
            let program = routine::parse_body(&body.text, SqlMode(body.sql_mode), owner, &[])?;
            Loaded::new(Owner::Trigger(trigger.clone()), program, Vec::new(), Some(table.clone()), body)
        })
    }

    pub fn of_event(&self, event: &Arc<EventDef>) -> Result<Arc<Loaded>, SqlError> {
        let key = (Kind::Event, event.database.clone(), event.name.to_lowercase());
        self.kept(key, (event.version, Lsn::ZERO), || {
            let body = &event.body;
            let program = routine::parse_body(&body.text, SqlMode(body.sql_mode), routine::Owner::Procedure, &[])?;
            Loaded::new(Owner::Event, program, Vec::new(), None, body)
        })
    }

    /// One identity for each definer: rights are kept with it.
    pub fn identity(&self, definer: &str, make: impl FnOnce() -> Identity) -> Arc<Identity> {
        let mut identities = self.identities.lock();
        if identities.len() >= KEPT_MAX {
            identities.clear();
        }
        identities.entry(definer.to_owned()).or_insert_with(|| Arc::new(make())).clone()
    }

    /// The same variables with another sql_mode, and the very same again where they come again: plans are kept by them.
    pub fn with_mode(&self, values: &Arc<Values>, mode: SqlMode) -> Arc<Values> {
        let mut modes = self.modes.lock();
        let found = modes.iter().find(|(of, known, _)| Arc::ptr_eq(of, values) && *known == mode);
        if let Some((_, _, with_mode)) = found {
            return with_mode.clone();
        }
        let mut changed = (**values).clone();
        if let Some(variable) = variables::lookup("sql_mode") {
            changed.set(variable, Some(mode.text()));
        }
        let changed = Arc::new(changed);
        if modes.len() >= MODES_MAX {
            modes.remove(0);
        }
        modes.push((values.clone(), mode, changed.clone()));
        changed
    }
}
