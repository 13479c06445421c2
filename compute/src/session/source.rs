//! Statements as they were given, each with the plan it was last bound to.
//!
//! Binding and planning cost more than running a statement that reads one row. A statement that comes again keeps its
//! plan for as long as nothing changes that the plan was made from: the catalog, the session's variables and database,
//! the row counts that the rules looked at.

use super::Session;
use super::binding::parameter_type;
use super::variables::Values;
use crate::account::Rights;
use crate::catalog::Catalog;
use crate::sql::parse::{self, ast, outline::Kind};
use crate::sql::plan::{Prepared, Query, Statement};
use expr::mysql_type::MysqlType;
use expr::{SqlError, Value};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub(super) struct Source {
    pub statement: ast::Statement,
    /// Of an outline: the kinds of the literals that its parameters stand for.
    literals: Option<Vec<Kind>>,
    /// No plan can be made for the outline; texts are bound with their literals.
    pub refused: AtomicBool,
    kept: Mutex<Option<Kept>>,
}

/// A bound statement, shared where it may be kept.
#[derive(Clone)]
pub(super) enum Plan {
    Query(Arc<Query>),
    /// INSERT, UPDATE, DELETE.
    Change(Arc<Statement>),
    Other(Box<Statement>),
}

impl Plan {
    fn of(statement: Statement) -> Plan {
        match statement {
            Statement::Query(query) => Plan::Query(Arc::new(query)),
            change @ (Statement::Insert(_) | Statement::Update(_) | Statement::Delete(_)) => {
                Plan::Change(Arc::new(change))
            }
            other => Plan::Other(Box::new(other)),
        }
    }
}

struct Kept {
    plan: Plan,
    made_from: Surroundings,
    /// Positions and types of parameters that had their types from values.
    open: Vec<(usize, MysqlType)>,
}

/// Whether a plan for a parameter of type `ty` serves this value. NULL is of every type.
fn fits(value: &Value, ty: &MysqlType) -> bool {
    matches!(value, Value::Null) || parameter_type(value, ty.collation) == *ty
}

/// What a plan is made from, beside the text. Held, so that none of it is freed and its address used again.
#[derive(Clone)]
struct Surroundings {
    catalog: Arc<Catalog>,
    variables: Arc<Values>,
    database: Option<Arc<str>>,
    /// They were enough.
    rights: Arc<Rights>,
    /// Of the row counts.
    statistics: u64,
}

impl Surroundings {
    fn are(&self, other: &Surroundings) -> bool {
        Arc::ptr_eq(&self.catalog, &other.catalog)
            && Arc::ptr_eq(&self.variables, &other.variables)
            && Arc::ptr_eq(&self.rights, &other.rights)
            && self.statistics == other.statistics
            && self.database == other.database
    }
}

impl Source {
    pub fn new(statement: ast::Statement) -> Source {
        Source { statement, literals: None, refused: AtomicBool::new(false), kept: Mutex::new(None) }
    }

    pub fn of_outline(statement: ast::Statement, kinds: Vec<Kind>) -> Source {
        Source { literals: Some(kinds), ..Source::new(statement) }
    }
}

impl Session {
    /// The plan of a statement against a catalog.
    pub(super) fn plan(&self, source: &Source, catalog: &Arc<Catalog>, values: &[Value]) -> Result<Plan, SqlError> {
        let now = Surroundings {
            catalog: catalog.clone(),
            variables: self.variables.clone(),
            database: self.database.clone(),
            rights: self.rights(catalog),
            statistics: self.engine.statistics_version(),
        };
        if let Some(kept) = &*source.kept.lock()
            && kept.made_from.are(&now)
            && kept.open.iter().all(|(position, ty)| fits(&values[*position], ty))
        {
            return Ok(kept.plan.clone());
        }
        if let Some(kinds) = &source.literals {
            return self.plan_outline(source, kinds, catalog, now);
        }
        let text = self.connection_collation();
        let bound = self.bind(&source.statement, catalog, &|position| parameter_type(&values[position], text))?;
        let Prepared { parameters, open, .. } = &bound.prepared;
        let open = open.iter().map(|position| (*position, parameters[*position].clone())).collect();
        let plan = Plan::of(bound.prepared.statement);
        if bound.lasting && !matches!(plan, Plan::Other(_)) {
            *source.kept.lock() = Some(Kept { plan: plan.clone(), made_from: now, open });
        }
        Ok(plan)
    }

    /// The plan of an outline; where none can be made for it, that of the text with its literals.
    fn plan_outline(
        &self,
        source: &Source,
        kinds: &[Kind],
        catalog: &Arc<Catalog>,
        now: Surroundings,
    ) -> Result<Plan, SqlError> {
        if let Ok(Some(bound)) = self.bind_outline(&source.statement, kinds, catalog)
            && bound.lasting
        {
            let plan = Plan::of(bound.prepared.statement);
            *source.kept.lock() = Some(Kept { plan: plan.clone(), made_from: now, open: Vec::new() });
            return Ok(plan);
        }
        source.refused.store(true, Ordering::Relaxed);
        let Some(text) = &self.outlined else {
            return Err(SqlError::internal("an outline without its text; report it"));
        };
        let statement = parse::parse(text, self.sql_mode())?;
        let bound = self.bind(&statement, catalog, &|_| parameter_type(&Value::Null, self.connection_collation()))?;
        Ok(Plan::of(bound.prepared.statement))
    }
}
