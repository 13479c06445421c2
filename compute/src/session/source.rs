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
use crate::sql::parse::ast;
use crate::sql::plan::{Prepared, Query, Statement};
use expr::mysql_type::MysqlType;
use expr::{SqlError, Value};
use parking_lot::Mutex;
use std::sync::Arc;

pub(super) struct Source {
    pub statement: ast::Statement,
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
        Source { statement, kept: Mutex::new(None) }
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
        let text = self.connection_collation();
        let bound = self.bind(&source.statement, catalog, &|position| parameter_type(&values[position], text))?;
        let Prepared { parameters, open, .. } = &bound.prepared;
        let open = open.iter().map(|position| (*position, parameters[*position].clone())).collect();
        let plan = match bound.prepared.statement {
            Statement::Query(query) => Plan::Query(Arc::new(query)),
            change @ (Statement::Insert(_) | Statement::Update(_) | Statement::Delete(_)) => {
                Plan::Change(Arc::new(change))
            }
            other => Plan::Other(Box::new(other)),
        };
        if bound.lasting && !matches!(plan, Plan::Other(_)) {
            *source.kept.lock() = Some(Kept { plan: plan.clone(), made_from: now, open });
        }
        Ok(plan)
    }
}
