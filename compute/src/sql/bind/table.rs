//! Tables by name: base tables, views, virtual tables, common table expressions.

use crate::catalog::{TableDef, ViewDef};
use crate::sql::bind::query::scope_of;
use crate::sql::bind::scope::{Boundary, Origin, Scope, ScopeColumn, ScopeTable};
use crate::sql::bind::{Binder, Built, CteDefinition, VIEW_DEPTH_MAX, error};
use crate::sql::parse::ast::{self, Kind, Name};
use crate::sql::plan::{Access, Field, FieldOrigin, IndexHint, Node, Query, Scan, VirtualScan};
use expr::eval::SqlMode;
use expr::{ErrorCode, SqlError};
use std::sync::Arc;

/// Databases whose tables are made up when read.
pub const VIRTUAL_DATABASES: [&str; 4] = ["information_schema", "performance_schema", "mysql", "sys"];

impl<'a> Binder<'a> {
    /// A base table; error 1146 if there is none, 1049 without its database.
    pub fn base_table(&self, name: &Name) -> Result<Arc<TableDef>, SqlError> {
        let database = self.database_of(name)?;
        if let Some(table) = self.context.catalog.table(&database, &name.name) {
            return Ok(table.clone());
        }
        Err(self.missing(&database, &name.name))
    }

    /// Why a table was not found.
    pub fn missing(&self, database: &str, name: &str) -> SqlError {
        let lower = database.to_ascii_lowercase();
        if lower == "information_schema" {
            return SqlError::new(ErrorCode::UNKNOWN_TABLE, format!("Unknown table '{name}' in information_schema"));
        }
        if self.context.catalog.database(database).is_none() && !VIRTUAL_DATABASES.contains(&lower.as_str()) {
            return error::unknown_database(database);
        }
        error::no_such_table(database, name)
    }

    /// What FROM reads for a name: a node and its scope.
    pub fn relation(
        &mut self,
        name: &Name,
        alias: Option<&str>,
        hints: Vec<IndexHint>,
    ) -> Result<(Node, Scope), SqlError> {
        let shown = alias.unwrap_or(&name.name).to_owned();
        if name.database.is_none()
            && let Some(found) = self.cte(&name.name, &shown)?
        {
            return Ok(found);
        }
        let database = self.database_of(name)?;
        let limits = self.read_limits(&database, &name.name)?;
        let (node, mut scope) = self.known_relation(&database, name, &shown, hints)?;
        scope.tables[0].limits = limits;
        Ok((node, scope))
    }

    fn known_relation(
        &mut self,
        database: &str,
        name: &Name,
        shown: &str,
        hints: Vec<IndexHint>,
    ) -> Result<(Node, Scope), SqlError> {
        if let Some(table) = self.context.catalog.table(database, &name.name) {
            let (mut node, mut scope) = (scan(table, shown, hints), Scope::of_table(table, shown));
            if self.row_ids && self.frames.len() == 1 && table.has_hidden_row_id() {
                // No name, so that no expression finds it; targets look for it behind their columns.
                if let Node::Scan(scan) = &mut node {
                    scan.columns.push(table.columns.len());
                }
                scope.width += 1;
            }
            return Ok((node, scope));
        }
        if self.is_replaced(database, &name.name) {
            return Err(error::no_such_table(database, &name.name));
        }
        if let Some(view) = self.context.catalog.view(database, &name.name) {
            let query = self.view(view)?;
            return Ok(derived(query, shown, Some(database.to_owned())));
        }
        match self.virtual_table(database, &name.name, shown) {
            Some(found) => Ok(found),
            None => Err(self.missing(database, &name.name)),
        }
    }

    fn is_replaced(&self, database: &str, name: &str) -> bool {
        self.replaced_view.as_ref().is_some_and(|view| view.database == database && view.name == name)
    }

    fn virtual_table(&self, database: &str, name: &str, alias: &str) -> Option<(Node, Scope)> {
        let database = database.to_ascii_lowercase();
        if !VIRTUAL_DATABASES.contains(&database.as_str()) {
            return None;
        }
        let table = if database == "information_schema" { name.to_ascii_uppercase() } else { name.to_owned() };
        let columns = (self.context.virtual_table)(&database, &table)?;
        let scope_columns = columns.iter().enumerate().map(|(index, (column, ty))| ScopeColumn {
            name: column.clone(),
            table: 0,
            index,
            ty: ty.clone(),
            origin: Origin::Told(plain_origin(&database, alias, &table, column)),
            merged: false,
            invisible: false,
        });
        let scope = Scope {
            columns: scope_columns.collect(),
            tables: vec![ScopeTable {
                alias: alias.to_owned(),
                database: Some(database.clone()),
                definition: None,
                limits: None,
                keys: Vec::new(),
            }],
            width: columns.len(),
        };
        let types = columns.iter().map(|(_, ty)| ty.clone()).collect();
        Some((Node::Virtual(VirtualScan { database, table, columns: (0..columns.len()).collect(), types }), scope))
    }

    fn cte(&mut self, name: &str, alias: &str) -> Result<Option<(Node, Scope)>, SqlError> {
        let Some(position) = self.ctes.iter().rposition(|cte| cte.name.eq_ignore_ascii_case(name)) else {
            return Ok(None);
        };
        let cte = self.ctes[position].clone();
        let query = match cte.definition {
            CteDefinition::Working { id, types } => {
                let fields: Vec<Field> = cte
                    .columns
                    .iter()
                    .zip(&types)
                    .map(|(name, ty)| Field { name: name.clone(), ty: ty.clone(), origin: None })
                    .collect();
                let mut scope = scope_of(&fields);
                scope.tables[0].alias = alias.to_owned();
                return Ok(Some((Node::WorkingTable { id, types }, scope)));
            }
            CteDefinition::Query { query, visible, recursive } => {
                let hidden = self.ctes.split_off(visible);
                let bound = if recursive {
                    self.framed(Boundary::Derived, |binder| binder.recursive(&query, &cte.name, &cte.columns))
                } else {
                    self.framed_query(&query, Boundary::Derived)
                };
                self.ctes.truncate(visible);
                self.ctes.extend(hidden);
                bound?.0
            }
        };
        let query = renamed(query, &cte.columns)?;
        Ok(Some(derived(query, alias, None)))
    }

    /// Binds a view's SELECT in its own surroundings.
    pub fn view(&mut self, view: &'a ViewDef) -> Result<Query, SqlError> {
        if self.view_depth >= VIEW_DEPTH_MAX {
            return Err(SqlError::new(
                ErrorCode(1462),
                format!("`{}`.`{}` contains view recursion", view.database, view.name),
            ));
        }
        // Not of this view, but of the statement that replaces another one.
        let replaced = self.replaced_view.as_ref().map(|view| error::no_such_table(&view.database, &view.name).message);
        let invalid = |error: SqlError| match error.code {
            ErrorCode::NO_SUCH_TABLE if replaced.as_ref() == Some(&error.message) => error,
            ErrorCode::NO_SUCH_TABLE
            | ErrorCode::BAD_FIELD
            | ErrorCode::BAD_DB
            | ErrorCode::SP_DOES_NOT_EXIST
            | ErrorCode(1142..=1143) => SqlError::new(
                ErrorCode(1356),
                format!(
                    "View '{}.{}' references invalid table(s) or column(s) or function(s) or definer/invoker of \
                         view lack rights to use them",
                    view.database, view.name
                ),
            ),
            _ => error,
        };
        let sql_mode = SqlMode(view.sql_mode);
        let statement = crate::sql::parse::parse(&view.select, sql_mode)?;
        let Kind::Query { query, .. } = &statement.kind else {
            return Err(SqlError::internal(format!("view {} is not a query", view.name)));
        };
        let rights = self.rights_of_view(view)?;
        let outer_rights = std::mem::replace(&mut self.rights, rights);
        let (context, source) = (self.context, std::mem::replace(&mut self.source, statement.source));
        let blocks = std::mem::take(&mut self.blocks);
        let ctes = std::mem::take(&mut self.ctes);
        self.context.database = Some(&view.select_database);
        // A temporary table does not stand in for a view's own.
        self.context.catalog = self.context.catalog.shared.as_deref().unwrap_or(self.context.catalog);
        self.context.sql_mode = sql_mode;
        self.view_depth += 1;
        let bound = stacker::maybe_grow(256 << 10, 4 << 20, || self.framed_query(query, Boundary::Top));
        self.view_depth -= 1;
        self.rights = outer_rights;
        self.context = context;
        self.source = source;
        self.blocks = blocks;
        self.ctes = ctes;
        let (query, _) = bound.map_err(invalid)?;
        if query.fields.len() != view.columns.len() {
            return Err(invalid(error::unknown_column("*", "field list")));
        }
        renamed(query, &view.columns)
    }

    /// `TABLE t`
    pub fn table_query(&mut self, database: Option<String>, name: &str) -> Result<Built, SqlError> {
        let (root, scope) = self.relation(&ast::Name { database, name: name.to_owned() }, None, Vec::new())?;
        let fields = scope
            .columns
            .iter()
            .map(|column| Field { name: column.name.clone(), ty: column.ty.clone(), origin: column.origin.told() })
            .collect();
        Ok(Built { root, fields, calc_found_rows: false })
    }
}

/// A scan of all of a table's columns.
pub fn scan(table: &Arc<TableDef>, alias: &str, hints: Vec<IndexHint>) -> Node {
    Node::Scan(Box::new(Scan {
        table: table.clone(),
        alias: alias.to_owned(),
        columns: (0..table.columns.len()).collect(),
        filter: None,
        access: Access::Full,
        lock: None,
        hints,
        lookups: 0,
    }))
}

/// A query as a table.
pub fn derived(query: Query, alias: &str, database: Option<String>) -> (Node, Scope) {
    let mut scope = scope_of(&query.fields);
    let keys = super::dependency::keys(&query.root);
    scope.tables[0] = ScopeTable { alias: alias.to_owned(), database, definition: None, limits: None, keys };
    for column in &mut scope.columns {
        if let Origin::Told(origin) = &mut column.origin {
            origin.table = alias.to_owned();
        }
    }
    (Node::Derived(Box::new(query)), scope)
}

/// 1353.
pub fn wrong_list() -> SqlError {
    SqlError::new(
        ErrorCode::VIEW_WRONG_LIST,
        "In definition of view, derived table or common table expression, SELECT list and column names list have \
         different column counts",
    )
}

/// Gives a query's columns other names.
pub fn renamed(mut query: Query, columns: &[String]) -> Result<Query, SqlError> {
    if columns.is_empty() {
        return Ok(query);
    }
    if columns.len() != query.fields.len() {
        return Err(wrong_list());
    }
    for (field, name) in query.fields.iter_mut().zip(columns) {
        field.name = name.clone();
    }
    Ok(query)
}

fn plain_origin(database: &str, alias: &str, table: &str, column: &str) -> FieldOrigin {
    FieldOrigin {
        database: database.to_owned(),
        table: alias.to_owned(),
        original_table: table.to_owned(),
        original_name: column.to_owned(),
        primary_key: false,
        unique_key: false,
        multiple_key: false,
        auto_increment: false,
        no_default: false,
        on_update_now: false,
    }
}
