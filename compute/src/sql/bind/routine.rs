//! What has to do with stored routines: their variables in expressions, calls of them, their definitions, SIGNAL and
//! GET DIAGNOSTICS.
//!
//! A routine's variable is a parameter of the statements in its body: its slot is the parameter's position.

use crate::account::{Privileges, RoutineKind};
use crate::catalog::routine::{ParameterMode, RoutineDef};
use crate::sql::bind::scope::Boundary;
use crate::sql::bind::{Binder, Built, column_type, error};
use crate::sql::parse::VARIABLE_QUOTE;
use crate::sql::parse::ast::syntax::{Expr, Value as Literal};
use crate::sql::parse::ast::{self, Diagnosed, DiagnosticsTarget, Kind, Schedule, SignalState};
use crate::sql::parse::parse_expression;
use crate::sql::plan::{
    CallTarget, Ddl, EventSpec, Field, IntoTarget, Node, ObjectName, RoutineSpec, ScheduleSpec, Statement,
};
use expr::collation::CollationId;
use expr::function::misc::STORED_FUNCTION;
use expr::mysql_type::{MysqlType, TypeKind};
use expr::{ErrorCode, Expression, SqlError};
use std::sync::Arc;

/// The variables that a statement of a body sees.
pub trait Locals {
    /// Slot and type of a variable, or of a column of NEW or OLD, by its name's parts. An error for a column that is not
    /// there.
    fn find(&self, path: &[String]) -> Result<Option<(usize, MysqlType)>, SqlError>;
}

impl Binder<'_> {
    /// A variable of the routine that the statement stands in.
    pub fn local(&self, path: &[String]) -> Result<Option<Expression>, SqlError> {
        // A view sees nothing of who asks.
        let Some(locals) = self.context.locals.filter(|_| self.view_depth == 0) else { return Ok(None) };
        let found = locals.find(path)?;
        Ok(found.map(|(index, ty)| Expression::Parameter { index, ty: ty.with_nullable(true) }))
    }

    /// The same as a number of rows. 1691 for what is no integer.
    pub fn local_row_count(&self, path: &[String]) -> Result<Option<Expression>, SqlError> {
        let found = self.local(path)?;
        match &found {
            Some(variable) if !matches!(variable.ty().kind, TypeKind::Int { .. }) => {
                Err(SqlError::new(ErrorCode(1691), "A variable of a non-integer based type in LIMIT clause"))
            }
            _ => Ok(found),
        }
    }

    /// INTO. 1327 for a name that is no variable.
    pub fn receiver(&self, target: &ast::IntoTarget) -> Result<IntoTarget, SqlError> {
        match target {
            ast::IntoTarget::User(name) => Ok(IntoTarget::User(name.clone())),
            ast::IntoTarget::Local(name) => self.named_target(name),
            ast::IntoTarget::File => Err(SqlError::not_supported("SELECT ... INTO OUTFILE")),
        }
    }

    fn named_target(&self, name: &str) -> Result<IntoTarget, SqlError> {
        let found = match self.context.locals {
            Some(locals) => locals.find(&[name.to_owned()])?,
            None => None,
        };
        match found {
            Some((slot, _)) => Ok(IntoTarget::Slot(slot)),
            None => Err(SqlError::new(ErrorCode(1327), format!("Undeclared variable: {name}"))),
        }
    }

    /// A call of a stored function: by default of the current database.
    pub fn stored_function(
        &mut self,
        database: Option<&str>,
        name: &str,
        arguments: &[&Expr],
    ) -> Result<Expression, SqlError> {
        let Some(database) = database.or(self.context.database) else { return Err(error::no_function(None, name)) };
        let database = database.to_owned();
        let Some(routine) = self.context.catalog.routine(RoutineKind::Function, &database, name).cloned() else {
            return Err(error::no_function(Some(&database), name));
        };
        self.need_execute(&routine)?;
        check_count(&routine, arguments.len())?;
        let mut bound = vec![super::literal::text_literal(&database, CollationId::UTF8MB4_0900_AI_CI)];
        bound.push(super::literal::text_literal(&routine.name, CollationId::UTF8MB4_0900_AI_CI));
        for (argument, parameter) in arguments.iter().zip(&routine.parameters) {
            let mut argument = self.expression(argument)?;
            self.infer(&mut argument, &parameter.ty);
            bound.push(argument);
        }
        let ty = routine.returns.clone().unwrap_or_else(MysqlType::null).with_nullable(true);
        Ok(Expression::Call { function: &STORED_FUNCTION, arguments: bound, ty })
    }

    /// 1370.
    fn need_execute(&self, routine: &RoutineDef) -> Result<(), SqlError> {
        let held = self.rights.routine(routine.kind, &routine.database, &routine.name);
        if self.rights.is_unlimited() || held.has(Privileges::EXECUTE) {
            return Ok(());
        }
        Err(self.routine_denied("execute", &routine.database, &routine.name))
    }

    fn routine_denied(&self, command: &str, database: &str, name: &str) -> SqlError {
        let who = self.rights.who();
        let text = format!("{command} command denied to user {who} for routine '{database}.{name}'");
        SqlError::new(ErrorCode(1370), text)
    }

    /// CALL, SIGNAL, RESIGNAL, GET DIAGNOSTICS.
    pub fn routine_statement(&mut self, kind: &Kind) -> Result<Option<Statement>, SqlError> {
        Ok(Some(match kind {
            Kind::Call { name, arguments } => self.call_procedure(name, arguments)?,
            Kind::Signal(signal) => {
                let state = match &signal.state {
                    None => None,
                    Some(SignalState::State(state)) => Some(*state),
                    Some(SignalState::Named(name)) => {
                        return Err(SqlError::new(ErrorCode(1319), format!("Undefined CONDITION: {name}")));
                    }
                };
                let mut items = Vec::new();
                for (item, value) in &signal.items {
                    if items.iter().any(|(other, _)| other == item) {
                        let text = format!("Duplicate condition information item '{}'", item.to_ascii_uppercase());
                        return Err(SqlError::new(ErrorCode(1641), text));
                    }
                    items.push((*item, self.constant(value)?));
                }
                Statement::Signal { resignal: signal.resignal, state, items }
            }
            Kind::GetDiagnostics(diagnostics) => {
                let (number, items) = match &diagnostics.what {
                    Diagnosed::Statement(items) => (None, items),
                    Diagnosed::Condition { number, items } => (Some(self.constant(number)?), items),
                };
                let mut bound = Vec::new();
                for (target, item) in items {
                    let target = match target {
                        DiagnosticsTarget::User(name) => IntoTarget::User(name.clone()),
                        DiagnosticsTarget::Named(name) => self.named_target(name)?,
                    };
                    bound.push((target, *item));
                }
                Statement::GetDiagnostics { stacked: diagnostics.stacked, number, items: bound }
            }
            _ => return Ok(None),
        }))
    }

    fn call_procedure(&mut self, name: &ast::Name, arguments: &[Expr]) -> Result<Statement, SqlError> {
        let database = self.database_of(name)?;
        let found = self.context.catalog.routine(RoutineKind::Procedure, &database, &name.name);
        let Some(routine) = found.cloned() else {
            let text = format!("PROCEDURE {database}.{} does not exist", name.name);
            return Err(SqlError::new(ErrorCode::SP_DOES_NOT_EXIST, text));
        };
        self.need_execute(&routine)?;
        check_count(&routine, arguments.len())?;
        let mut targets = Vec::new();
        for (position, (argument, parameter)) in arguments.iter().zip(&routine.parameters).enumerate() {
            targets.push(match parameter.mode {
                ParameterMode::In => None,
                ParameterMode::Out | ParameterMode::InOut => Some(self.call_target(argument)?.ok_or_else(|| {
                    let text = format!(
                        "OUT or INOUT argument {} for routine {database}.{} is not a variable or NEW pseudo-variable \
                         in BEFORE trigger",
                        position + 1,
                        routine.name
                    );
                    SqlError::new(ErrorCode(1414), text)
                })?),
            });
        }
        let (query, _) = self.framed(Boundary::Top, |binder| {
            let mut bound = Vec::new();
            for (argument, parameter) in arguments.iter().zip(&routine.parameters) {
                let mut argument = binder.expression(argument)?;
                binder.infer(&mut argument, &parameter.ty);
                bound.push(argument);
            }
            let field = |bound: &Expression| Field { name: String::new(), ty: bound.ty(), origin: None };
            let fields = bound.iter().map(field).collect();
            let root = Node::Project { input: Box::new(Node::Dual), expressions: bound };
            Ok(Built { root, fields, calc_found_rows: false })
        })?;
        self.blocks.clear();
        Ok(Statement::Call { routine, arguments: Box::new(query), targets })
    }

    /// Where an OUT parameter goes.
    fn call_target(&self, argument: &Expr) -> Result<Option<CallTarget>, SqlError> {
        let path: Vec<String> = match argument {
            Expr::Identifier(name) if name.quote_style == Some(VARIABLE_QUOTE) => {
                let name = &name.value;
                let user = (!name.starts_with("@@")).then(|| name.trim_start_matches('@').to_ascii_lowercase());
                return Ok(user.map(CallTarget::User));
            }
            Expr::Value(value) => {
                let Literal::Placeholder(number) = &value.value else { return Ok(None) };
                return Ok(number.trim_start_matches('?').parse().ok().map(CallTarget::Parameter));
            }
            Expr::Identifier(name) => vec![name.value.clone()],
            Expr::CompoundIdentifier(parts) => parts.iter().map(|part| part.value.clone()).collect(),
            _ => return Ok(None),
        };
        Ok(match self.context.locals {
            Some(locals) => locals.find(&path)?.map(|(slot, _)| CallTarget::Slot(slot)),
            None => None,
        })
    }

    /// CREATE, ALTER, DROP of what has a body.
    pub fn routine_ddl(&mut self, kind: &Kind) -> Result<Option<Ddl>, SqlError> {
        Ok(Some(match kind {
            Kind::CreateRoutine(definition) => {
                let name = self.object(&definition.name)?;
                self.check_variables(&definition.system_variables)?;
                let mut parameters = Vec::new();
                let home = self.database_collation(&name.database);
                for parameter in &definition.parameters {
                    parameters.push(column_type::column_type(&parameter.name, &parameter.ty, home)?);
                }
                let returns = definition.returns.as_ref();
                let returns = returns.map(|ty| column_type::column_type("", ty, home)).transpose()?;
                let definition = definition.clone();
                Ddl::CreateRoutine(Box::new(RoutineSpec { name, definition, parameters, returns }))
            }
            Kind::AlterRoutine(definition) => {
                Ddl::AlterRoutine { name: self.object(&definition.name)?, definition: definition.clone() }
            }
            Kind::DropRoutine(dropped) => Ddl::DropRoutine {
                kind: dropped.kind.unwrap_or(RoutineKind::Procedure),
                name: self.object(&dropped.name)?,
                if_exists: dropped.if_exists,
            },
            Kind::CreateTrigger(definition) => {
                let (name, table) = (self.object(&definition.name)?, self.object(&definition.table)?);
                self.check_variables(&definition.system_variables)?;
                if name.database != table.database {
                    return Err(SqlError::new(ErrorCode(1435), "Trigger in wrong schema"));
                }
                Ddl::CreateTrigger { name, table, definition: definition.clone() }
            }
            Kind::DropTrigger(dropped) => {
                Ddl::DropTrigger { name: self.object(&dropped.name)?, if_exists: dropped.if_exists }
            }
            Kind::CreateEvent(definition) => {
                let name = self.object(&definition.name)?;
                let schedule = self.schedule(&definition.schedule)?;
                Ddl::CreateEvent(Box::new(EventSpec { name, definition: definition.clone(), schedule }))
            }
            Kind::AlterEvent(definition) => {
                let name = self.object(&definition.name)?;
                let schedule = definition.schedule.as_ref().map(|schedule| self.schedule(schedule)).transpose()?;
                let rename = definition.rename.as_ref().map(|name| self.object(name)).transpose()?;
                Ddl::AlterEvent { name, definition: definition.clone(), schedule, rename }
            }
            Kind::DropEvent(dropped) => {
                Ddl::DropEvent { name: self.object(&dropped.name)?, if_exists: dropped.if_exists }
            }
            _ => return Ok(None),
        }))
    }

    /// 1193 for a name that is neither a variable of the body nor one of the system.
    fn check_variables(&self, names: &[String]) -> Result<(), SqlError> {
        names.iter().try_for_each(|name| match (self.context.variable)(None, name) {
            Err(error) if error.code == ErrorCode::UNKNOWN_SYSTEM_VARIABLE => Err(error),
            _ => Ok(()),
        })
    }

    fn schedule(&mut self, schedule: &Schedule) -> Result<ScheduleSpec, SqlError> {
        Ok(match schedule {
            Schedule::At(time) => ScheduleSpec::At(self.constant_text(time)?),
            Schedule::Every { count, unit, starts, ends } => ScheduleSpec::Every {
                count: self.constant_text(count)?,
                unit: unit.clone(),
                starts: starts.as_ref().map(|time| self.constant_text(time)).transpose()?,
                ends: ends.as_ref().map(|time| self.constant_text(time)).transpose()?,
            },
        })
    }

    fn constant_text(&mut self, text: &str) -> Result<Expression, SqlError> {
        let (expression, _) = parse_expression(text, self.context.sql_mode)?;
        self.constant(&expression)
    }

    /// What a definition of something with a body needs.
    pub fn check_routine_ddl(&self, ddl: &Ddl) -> Result<(), SqlError> {
        let rights = &self.rights;
        let definer = match ddl {
            Ddl::CreateRoutine(spec) => spec.definition.definer.as_deref(),
            Ddl::CreateTrigger { definition, .. } => definition.definer.as_deref(),
            Ddl::CreateEvent(spec) => spec.definition.definer.as_deref(),
            Ddl::AlterEvent { definition, .. } => definition.definer.as_deref(),
            _ => None,
        };
        self.check_definer(definer)?;
        if rights.is_unlimited() {
            return Ok(());
        }
        match ddl {
            Ddl::CreateRoutine(spec) => rights.require_database(Privileges::CREATE_ROUTINE, &spec.name.database),
            Ddl::AlterRoutine { name, definition } => self.need_alter(definition.kind, name),
            Ddl::DropRoutine { kind, name, .. } => self.need_alter(*kind, name),
            Ddl::CreateTrigger { table, .. } => rights.require_table(Privileges::TRIGGER, &table.database, &table.name),
            Ddl::DropTrigger { name, .. } => {
                let database = self.context.catalog.database(&name.database);
                match database.and_then(|database| database.triggers.get(&name.name)) {
                    Some(trigger) => rights.require_table(Privileges::TRIGGER, &name.database, &trigger.table),
                    None => Ok(()),
                }
            }
            Ddl::CreateEvent(spec) => rights.require_database(Privileges::EVENT, &spec.name.database),
            Ddl::AlterEvent { name, .. } | Ddl::DropEvent { name, .. } => {
                rights.require_database(Privileges::EVENT, &name.database)
            }
            _ => Ok(()),
        }
    }

    fn need_alter(&self, kind: RoutineKind, name: &ObjectName) -> Result<(), SqlError> {
        if self.rights.routine(kind, &name.database, &name.name).has(Privileges::ALTER_ROUTINE) {
            return Ok(());
        }
        Err(self.routine_denied("alter routine", &name.database, &name.name))
    }
}

/// 1318.
fn check_count(routine: &Arc<RoutineDef>, given: usize) -> Result<(), SqlError> {
    let expected = routine.parameters.len();
    if given == expected {
        return Ok(());
    }
    let (kind, database, name) = (routine.kind.sql(), &routine.database, &routine.name);
    let text = format!("Incorrect number of arguments for {kind} {database}.{name}; expected {expected}, got {given}");
    Err(SqlError::new(ErrorCode(1318), text))
}
