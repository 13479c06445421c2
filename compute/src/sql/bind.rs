//! Binding: [`ast::Statement`] to [`plan::Statement`], with MySQL's meaning of names and types.
//!
//! Names are looked up in the catalog snapshot and in scopes; every expression gets its MySQL type; aggregates, windows
//! and subqueries take their places in the plan. The result refers to rows by position only. No I/O: what a binder needs
//! of the session comes in [`BindContext`].

mod aggregate;
mod call;
pub mod canonical;
mod choice;
pub mod column_type;
mod comparison;
mod ddl;
mod delete;
mod dependency;
mod derivation;
mod error;
mod expression;
mod from;
mod insert;
mod json_table;
mod literal;
mod load;
mod outer_aggregate;
mod parameter;
pub mod partition;
mod query;
mod recursive;
mod rights;
mod routine;
mod scope;
mod select;
mod self_read;
mod session;
mod set_operation;
mod show;
mod subquery;
mod table;
mod taken;
mod unify;
mod update;
mod window;

#[cfg(test)]
mod statistics_tests;
#[cfg(test)]
mod tests;

use crate::account::{Privileges, Rights};
use crate::catalog::{Catalog, TableDef, ViewDef};
use crate::sql::parse::ast::{self, Source};
use crate::sql::plan::rules::Statistics;
use crate::sql::plan::{Field, Node, Prepared, Query, Statement, Subquery, VariableScope};
use expr::collation::{Charset, CollationId};
use expr::eval::SqlMode;
use expr::function::misc::STORED_FUNCTION;
use expr::mysql_type::MysqlType;
use expr::value::Value;
use expr::{ErrorCode, SqlError};
pub use parameter::TEXT_CHARACTERS;
pub use routine::Locals;
use scope::{Block, Boundary};
use std::collections::BTreeMap;
use std::sync::Arc;
pub use taken::bind_outline;

/// Columns of a virtual table, in order.
pub type VirtualColumns = Arc<[(String, MysqlType)]>;

/// What binding needs of the session.
#[derive(Clone, Copy)]
pub struct BindContext<'a> {
    pub catalog: &'a Catalog,
    /// The default database.
    pub database: Option<&'a str>,
    pub sql_mode: SqlMode,
    /// Of the statement's text.
    pub character_set_client: Charset,
    /// Collation of literals.
    pub collation_connection: CollationId,
    /// Rows of a query without LIMIT: sql_select_limit.
    pub select_limit: u64,
    /// `root@localhost`: definer of views.
    pub definer: &'a str,
    /// Of whom the statement is.
    pub rights: &'a Arc<Rights>,
    /// Value and type of `@@name` (lower case) in a scope; None: session, else global. Error 1193 for unknown names.
    pub variable: &'a dyn Fn(Option<VariableScope>, &str) -> Result<(Value, MysqlType), SqlError>,
    /// Type of `@name` (lower case), if it was set.
    pub user_variable: &'a dyn Fn(&str) -> Option<MysqlType>,
    /// Variables of the routine that the statement stands in.
    pub locals: Option<&'a dyn Locals>,
    /// Columns of a made-up table: (database in lower case, table in upper case).
    pub virtual_table: &'a dyn Fn(&str, &str) -> Option<VirtualColumns>,
    /// Rough number of rows of a table, for the order of joins.
    pub statistics: &'a dyn Statistics,
}

/// Binds a statement with its parameters' types. A parameter gets the type that its surroundings ask for; where they ask
/// for none, as in `SELECT ?`, that of `given`, by its position. Manual: "PREPARE Statement" (15.5.1).
pub fn bind_prepared(
    statement: &ast::Statement,
    context: &BindContext<'_>,
    given: &dyn Fn(usize) -> MysqlType,
) -> Result<Prepared, SqlError> {
    let mut binder = Binder::new(context, statement.source.clone(), statement.parameters);
    let mut bound = binder.statement(&statement.kind)?;
    let open = parameter::open(&binder);
    if !open.is_empty() {
        // What contains them takes its own type from theirs: all is bound again.
        binder = Binder::new(context, statement.source.clone(), statement.parameters);
        for position in &open {
            binder.parameters[*position] = Some(given(*position));
        }
        bound = binder.statement(&statement.kind)?;
    }
    let parameters = (0..).zip(&binder.parameters);
    let parameters = parameters.map(|(position, ty)| ty.clone().unwrap_or_else(|| given(position))).collect();
    let statement = crate::sql::plan::rules::optimise(bound, context.statistics);
    Ok(Prepared { statement, parameters, open })
}

/// Binds an expression over the columns of one table: CHECK constraints, generated columns, DEFAULT (expression).
/// Columns are positions in `table.columns`.
pub fn bind_table_expression(
    text: &str,
    table: &Arc<TableDef>,
    context: &BindContext<'_>,
) -> Result<expr::Expression, SqlError> {
    let (expression, source) = crate::sql::parse::parse_expression(text, context.sql_mode)?;
    let mut binder = Binder::new(context, source, 0);
    // The definition was checked when it was made.
    binder.rights = Rights::of_server();
    binder.of_definition = true;
    binder.frames.push(Frame::new(Boundary::Top));
    binder.blocks.push(Block::over_table(table, 0));
    let bound = binder.expression(&expression)?;
    let is_stored = |part: &expr::Expression| matches!(part, expr::Expression::Call { function, .. } if function.name == STORED_FUNCTION.name);
    if crate::sql::plan::walk::any(&bound, &is_stored) {
        return Err(SqlError::not_supported("stored functions in expressions of a table's definition"));
    }
    if !binder.frames.iter().all(|frame| frame.subqueries.is_empty()) {
        return Err(SqlError::not_supported("subqueries in expressions of a table's definition"));
    }
    Ok(bound)
}

/// Columns of a view, by its query. Error 1356 where it is not valid any more.
pub fn bind_view(view: &ViewDef, context: &BindContext<'_>) -> Result<Vec<Field>, SqlError> {
    // The view brings its own text.
    Ok(Binder::new(context, Source::default(), 0).view(view)?.fields)
}

/// Positions from here on stand for the aggregates of a block until it knows its groups.
const AGGREGATES: usize = 1 << 40;
/// Positions from here on stand for the window calls of a block.
const WINDOWS: usize = 1 << 41;
/// Views within views.
const VIEW_DEPTH_MAX: usize = 64;

/// One query whose subqueries are being collected: a statement, a subquery, a derived table.
struct Frame {
    subqueries: Vec<Subquery>,
    /// Reads columns of a query around it.
    correlated: bool,
    /// How its blocks see what is around them.
    boundary: Boundary,
}

impl Frame {
    fn new(boundary: Boundary) -> Frame {
        Frame { subqueries: Vec::new(), correlated: false, boundary }
    }
}

/// A query without its subqueries, which are in the frame.
struct Built {
    root: Node,
    fields: Vec<Field>,
    calc_found_rows: bool,
}

/// A common table expression in sight.
#[derive(Clone)]
struct Cte {
    name: String,
    columns: Vec<String>,
    definition: CteDefinition,
}

#[derive(Clone)]
enum CteDefinition {
    /// Bound again at each use. `visible`: how many of the binder's CTEs it may name.
    Query { query: Arc<ast::syntax::Query>, visible: usize, recursive: bool },
    /// Inside its own definition.
    Working { id: usize, types: Vec<MysqlType> },
}

struct Binder<'a> {
    context: BindContext<'a>,
    /// Of the statement, or of the view that is being bound.
    rights: Arc<Rights>,
    source: Source,
    blocks: Vec<Block>,
    frames: Vec<Frame>,
    ctes: Vec<Cte>,
    cte_ids: usize,
    parameters: Vec<Option<MysqlType>>,
    /// The parameters are literals that were taken out of the text.
    taken: Option<taken::Taken>,
    view_depth: usize,
    /// Tables of FROM also give their hidden row ids: they are those of UPDATE or DELETE.
    row_ids: bool,
    /// UPDATE or DELETE: what those tables are open for.
    change: Privileges,
    /// `t PARTITION (p)` in FROM: numbers of partitions, by the table's alias.
    partition_sets: Vec<(String, Vec<u64>)>,
    /// Of a view that is being made: where a star stands in the statement, and the columns that it stands for.
    stars: Option<BTreeMap<usize, (usize, String)>>,
    /// The view that the statement replaces: to its new SELECT it is not there.
    replaced_view: Option<crate::sql::plan::ObjectName>,
    /// What is bound is part of a table's definition.
    of_definition: bool,
    /// The statement reads a variable or has a parameter.
    reads_variable: bool,
    /// Types of variables assigned in this statement, by name.
    assigned: Vec<(String, MysqlType)>,
}

impl<'a> Binder<'a> {
    fn new(context: &BindContext<'a>, source: Source, parameters: usize) -> Binder<'a> {
        Binder {
            context: *context,
            rights: context.rights.clone(),
            source,
            blocks: Vec::new(),
            frames: Vec::new(),
            ctes: Vec::new(),
            cte_ids: 0,
            parameters: vec![None; parameters],
            taken: None,
            view_depth: 0,
            row_ids: false,
            change: Privileges::NONE,
            partition_sets: Vec::new(),
            stars: None,
            replaced_view: None,
            of_definition: false,
            reads_variable: false,
            assigned: Vec::new(),
        }
    }

    fn frame(&mut self) -> &mut Frame {
        if self.frames.is_empty() {
            self.frames.push(Frame::new(Boundary::Top));
        }
        let last = self.frames.len() - 1;
        &mut self.frames[last]
    }

    fn statement(&mut self, kind: &ast::Kind) -> Result<Statement, SqlError> {
        Ok(match kind {
            ast::Kind::Query { query, into } => {
                let mut bound = self.top_query(query, into)?;
                let limit = self.context.select_limit;
                if limit != u64::MAX && query.limit_clause.is_none() && !matches!(bound.root, Node::Limit { .. }) {
                    let root = std::mem::replace(&mut bound.root, Node::Dual);
                    let count = expr::Expression::literal(Value::UInt(limit), MysqlType::bigint_unsigned());
                    bound.root = query::limited(root, query::Limit { offset: None, count: Some(count) });
                }
                Statement::Query(bound)
            }
            ast::Kind::Insert(insert) => Statement::Insert(Box::new(self.insert(insert)?)),
            ast::Kind::Update(update) => Statement::Update(Box::new(self.update(update)?)),
            ast::Kind::Delete(delete) => Statement::Delete(Box::new(self.delete(delete)?)),
            ast::Kind::Explain { statement, format, analyze } => Statement::Explain {
                statement: Box::new(self.statement(statement)?),
                format: *format,
                analyze: *analyze,
            },
            ast::Kind::Show(show) => self.show(show)?,
            ast::Kind::Call { .. } | ast::Kind::Signal(_) | ast::Kind::GetDiagnostics(_) => {
                match self.routine_statement(kind)? {
                    Some(statement) => statement,
                    None => return Err(SqlError::internal("a statement of routines was not bound; report it")),
                }
            }
            other => match self.ddl(other)? {
                Some(ddl) => {
                    self.check_ddl(&ddl)?;
                    Statement::Ddl(ddl)
                }
                None => self.session_statement(other)?,
            },
        })
    }

    /// A query that is the statement, or its source.
    fn top_query(&mut self, query: &ast::syntax::Query, into: &[ast::IntoTarget]) -> Result<Query, SqlError> {
        if into.contains(&ast::IntoTarget::File) {
            self.rights.require_any(Privileges::FILE)?;
            return Err(SqlError::not_supported("SELECT ... INTO OUTFILE"));
        }
        let mut bound = self.framed_query(query, Boundary::Top)?.0;
        if !into.is_empty() && into.len() != bound.fields.len() {
            return Err(SqlError::new(
                ErrorCode::WRONG_NUMBER_OF_COLUMNS_IN_SELECT,
                "The used SELECT statements have a different number of columns",
            ));
        }
        bound.into_variables = into.iter().map(|target| self.receiver(target)).collect::<Result<_, _>>()?;
        Ok(bound)
    }

    /// Binds a query with a frame of its own. Second: whether it reads columns from around it.
    fn framed_query(&mut self, query: &ast::syntax::Query, boundary: Boundary) -> Result<(Query, bool), SqlError> {
        self.framed(boundary, |binder| binder.query(query))
    }

    /// Gives what `bind` builds a frame of its own.
    fn framed(
        &mut self,
        boundary: Boundary,
        bind: impl FnOnce(&mut Self) -> Result<Built, SqlError>,
    ) -> Result<(Query, bool), SqlError> {
        self.frames.push(Frame::new(boundary));
        let depth = self.frames.len();
        let blocks = self.blocks.len();
        let built = bind(self);
        self.blocks.truncate(blocks);
        self.frames.truncate(depth);
        let Some(frame) = self.frames.pop() else { return Err(SqlError::internal("the binder lost a query's frame")) };
        let Built { root, fields, calc_found_rows } = built?;
        let query = Query { root, fields, subqueries: frame.subqueries, into_variables: Vec::new(), calc_found_rows };
        Ok((query, frame.correlated))
    }

    /// The database of a name, given or the default one.
    fn database_of(&self, name: &ast::Name) -> Result<String, SqlError> {
        match (&name.database, self.context.database) {
            (Some(database), _) => Ok(database.clone()),
            (None, Some(database)) => Ok(database.to_owned()),
            (None, None) => Err(error::no_database()),
        }
    }
}
