//! Scopes: which columns an expression may name, and the search for one through the queries around it.

use crate::account::ColumnLimits;
use crate::catalog::TableDef;
use crate::sql::bind::{Binder, error};
use crate::sql::plan::{AggregateCall, FieldOrigin, WindowCall};
use expr::mysql_type::MysqlType;
use expr::{Expression, SqlError};
use sqlparser_names::NamedWindow;
use std::sync::Arc;

/// A column of the row that FROM gives.
#[derive(Clone)]
pub struct ScopeColumn {
    pub name: String,
    /// Position in `Scope::tables`.
    pub table: usize,
    /// Position in the row.
    pub index: usize,
    pub ty: MysqlType,
    pub origin: Origin,
    /// The other side of USING or NATURAL: only its qualified name finds it.
    pub merged: bool,
    /// INVISIBLE: not in `*`.
    pub invisible: bool,
}

/// Where a column comes from. What a client is told of it is put together when a result has the column: few of a wide table's do.
#[derive(Clone)]
pub enum Origin {
    None,
    /// This column of the table.
    Stored {
        table: Arc<TableDef>,
        position: usize,
        alias: Arc<str>,
    },
    /// Of a derived or virtual table.
    Told(FieldOrigin),
}

impl Origin {
    pub fn told(&self) -> Option<FieldOrigin> {
        match self {
            Origin::None => None,
            Origin::Stored { table, position, alias } => Some(origin(table, *position, alias)),
            Origin::Told(origin) => Some(origin.clone()),
        }
    }

    /// Its name in the table.
    pub fn original_name(&self) -> Option<&str> {
        match self {
            Origin::None => None,
            Origin::Stored { table, position, .. } => Some(&table.columns[*position].name),
            Origin::Told(origin) => Some(&origin.original_name),
        }
    }
}

/// A table, view or derived table in FROM.
#[derive(Clone)]
pub struct ScopeTable {
    pub alias: String,
    /// None for derived tables.
    pub database: Option<String>,
    pub definition: Option<Arc<TableDef>>,
    /// What may be read of it, where that is not all.
    pub limits: Option<Arc<ColumnLimits>>,
    /// Of a derived table or view: columns, by position in it, that no two of its rows have in common.
    pub keys: Vec<Vec<usize>>,
}

/// Columns in the order of `*`.
#[derive(Clone, Default)]
pub struct Scope {
    pub columns: Vec<ScopeColumn>,
    pub tables: Vec<ScopeTable>,
    /// Number of columns of the row.
    pub width: usize,
}

/// How a block's outer names are found.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Boundary {
    /// Nothing around it.
    Top,
    /// A subquery in an expression: the row around it is one level out.
    Subquery,
    /// A derived table: its siblings are out of sight, what is around the query that it stands in is not.
    Derived,
    /// As `Derived`, but what stands to its left in FROM is one level out.
    Lateral,
}

/// Where an expression stands; error texts name it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Clause {
    Fields,
    /// The document of JSON_TABLE.
    TableFunction,
    Where,
    On,
    Group,
    Having,
    Order,
    WindowPartition,
    WindowOrder,
    Other,
}

impl Clause {
    pub fn name(self) -> &'static str {
        match self {
            Clause::Fields | Clause::Other => "field list",
            Clause::TableFunction => "a table function argument",
            Clause::Where => "where clause",
            Clause::On => "on clause",
            Clause::Group => "group statement",
            Clause::Having => "having clause",
            Clause::Order => "order clause",
            Clause::WindowPartition => "window partition by",
            Clause::WindowOrder => "window order by",
        }
    }
}

/// An item of a select list, as other clauses may refer to it.
#[derive(Clone)]
pub struct SelectItem {
    pub name: String,
    /// The name was given with AS, or is a column's.
    pub expression: Expression,
    pub alias: bool,
    /// A plain column: (table alias, column name).
    pub column: Option<(Option<String>, String)>,
}

/// One SELECT that is being bound.
pub struct Block {
    pub boundary: Boundary,
    /// Index of the frame that collects its subqueries.
    pub frame: usize,
    pub scope: Scope,
    pub clause: Clause,
    /// A SELECT that knows its FROM: aggregates have a row of theirs to be in.
    pub groups: bool,
    pub aggregates: Vec<AggregateCall>,
    pub windows: Vec<WindowCall>,
    /// Inside an aggregate's arguments.
    pub in_aggregate: bool,
    pub items: Vec<SelectItem>,
    pub group_by: Vec<Expression>,
    pub rollup: bool,
    pub named_windows: Vec<NamedWindow>,
    /// VALUES(column) in ON DUPLICATE KEY UPDATE: where the new row starts.
    pub new_row: Option<(Arc<TableDef>, usize)>,
}

/// Names for parts of sqlparser's tree that scopes hold.
mod sqlparser_names {
    use crate::sql::parse::ast::syntax;

    pub type NamedWindow = (String, syntax::NamedWindowExpr);
}

impl Block {
    pub fn new(boundary: Boundary, frame: usize) -> Block {
        Block {
            boundary,
            frame,
            scope: Scope::default(),
            clause: Clause::Fields,
            groups: false,
            aggregates: Vec::new(),
            windows: Vec::new(),
            in_aggregate: false,
            items: Vec::new(),
            group_by: Vec::new(),
            rollup: false,
            named_windows: Vec::new(),
            new_row: None,
        }
    }

    /// True where an aggregate of this block may stand, in its own expressions or in subqueries of them.
    pub fn allows_aggregates(&self) -> bool {
        let clauses = [Clause::Fields, Clause::Having, Clause::Order, Clause::WindowPartition, Clause::WindowOrder];
        self.groups && clauses.contains(&self.clause)
    }

    /// A block whose row is a row of one table.
    pub fn over_table(table: &Arc<TableDef>, frame: usize) -> Block {
        let mut block = Block::new(Boundary::Top, frame);
        block.scope = Scope::of_table(table, &table.name);
        block
    }
}

impl Scope {
    /// All columns of a table, in its order.
    pub fn of_table(table: &Arc<TableDef>, alias: &str) -> Scope {
        let named = table.columns.iter().enumerate().filter(|(_, column)| !column.is_key_expression());
        let shared: Arc<str> = alias.into();
        let columns = named.map(|(index, column)| ScopeColumn {
            name: column.name.clone(),
            table: 0,
            index,
            ty: column.ty.clone(),
            origin: Origin::Stored { table: table.clone(), position: index, alias: shared.clone() },
            merged: false,
            invisible: column.invisible,
        });
        Scope {
            columns: columns.collect(),
            tables: vec![ScopeTable {
                alias: alias.to_owned(),
                database: Some(table.database.clone()),
                definition: Some(table.clone()),
                limits: None,
                keys: Vec::new(),
            }],
            width: table.columns.len(),
        }
    }

    /// Puts `right` after this scope's row.
    pub fn append(&mut self, right: Scope) -> Result<(), SqlError> {
        for table in &right.tables {
            // Derived tables are of no database: beside `db.t` there may be one called `t`.
            let clash = self.tables.iter().any(|other| other.alias == table.alias && other.database == table.database);
            if clash {
                return Err(error::not_unique_table(&table.alias));
            }
        }
        let tables = self.tables.len();
        for mut column in right.columns {
            column.table += tables;
            column.index += self.width;
            self.columns.push(column);
        }
        self.tables.extend(right.tables);
        self.width += right.width;
        Ok(())
    }

    /// The column of that name, if there is one; error 1052 if there are several.
    pub fn find(&self, path: &[String], clause: &str) -> Result<Option<&ScopeColumn>, SqlError> {
        let Some((name, qualifier)) = path.split_last() else { return Ok(None) };
        let mut found: Option<&ScopeColumn> = None;
        for column in &self.columns {
            if !column.name.eq_ignore_ascii_case(name) || (qualifier.is_empty() && column.merged) {
                continue;
            }
            let table = &self.tables[column.table];
            let matches = match qualifier {
                [] => true,
                [alias] => table.alias == *alias,
                [database, alias] => table.alias == *alias && table.database.as_deref() == Some(database),
                _ => false,
            };
            if !matches {
                continue;
            }
            if found.is_some_and(|other| other.index != column.index) {
                return Err(error::ambiguous(&path.join("."), clause));
            }
            found = Some(column);
        }
        Ok(found)
    }

    /// The table that a qualifier of `t.*` names.
    pub fn find_table(&self, qualifier: &[String]) -> Option<usize> {
        self.tables.iter().position(|table| match qualifier {
            [alias] => table.alias == *alias,
            [database, alias] => table.alias == *alias && table.database.as_deref() == Some(database),
            _ => false,
        })
    }
}

/// What a client is told about a column of a table.
fn origin(table: &TableDef, position: usize, alias: &str) -> FieldOrigin {
    let column = &table.columns[position];
    let first_of = |index: &&crate::catalog::IndexDef| index.parts.first().is_some_and(|part| part.column == column.id);
    let in_primary = table
        .indexes
        .iter()
        .any(|index| index.name == "PRIMARY" && index.parts.iter().any(|part| part.column == column.id));
    let unique = table.indexes.iter().filter(first_of).any(|index| index.unique && index.parts.len() == 1);
    FieldOrigin {
        database: table.database.clone(),
        table: alias.to_owned(),
        original_table: table.name.clone(),
        original_name: column.name.clone(),
        primary_key: in_primary,
        unique_key: unique && !in_primary,
        multiple_key: !in_primary && !unique && table.indexes.iter().any(|index| first_of(&index)),
        auto_increment: column.auto_increment,
        no_default: !column.ty.nullable
            && column.default == crate::catalog::schema::ColumnDefault::None
            && !column.auto_increment,
        on_update_now: column.on_update_now,
    }
}

impl Binder<'_> {
    pub fn block(&mut self) -> &mut Block {
        if self.blocks.is_empty() {
            let frame = self.frames.len().saturating_sub(1);
            self.blocks.push(Block::new(Boundary::Top, frame));
        }
        let last = self.blocks.len() - 1;
        &mut self.blocks[last]
    }

    pub fn clause(&self) -> Clause {
        self.blocks.last().map_or(Clause::Other, |block| block.clause)
    }

    /// A column by its name, searched from the innermost block outwards. None: there is none.
    pub fn find_column(&mut self, path: &[String]) -> Result<Option<Expression>, SqlError> {
        let clause = self.clause();
        let mut level = 0;
        let mut visible = true;
        for position in (0..self.blocks.len()).rev() {
            if visible {
                let clause = if position + 1 == self.blocks.len() { clause } else { self.blocks[position].clause };
                if let Some(found) = self.find_in_block(position, path, clause, level)? {
                    for inner in position + 1..self.blocks.len() {
                        let frame = self.blocks[inner].frame;
                        self.frames[frame].correlated = true;
                    }
                    return Ok(Some(found));
                }
            }
            visible = true;
            match self.blocks[position].boundary {
                Boundary::Top => break,
                Boundary::Subquery | Boundary::Lateral => level += 1,
                Boundary::Derived => visible = false,
            }
        }
        Ok(None)
    }

    /// Searches one block: its columns, and what its clause adds to them.
    fn find_in_block(
        &mut self,
        position: usize,
        path: &[String],
        clause: Clause,
        level: usize,
    ) -> Result<Option<Expression>, SqlError> {
        let block = &self.blocks[position];
        let at_level = |mut expression: Expression| {
            crate::sql::plan::walk::lift(&mut expression, level);
            expression
        };
        if clause == Clause::Having
            && !block.in_aggregate
            && let Some(expression) = find_in_having(block, path)
        {
            return Ok(Some(at_level(self.duplicate(&expression, position))));
        }
        let block = &self.blocks[position];
        if let Some(column) = block.scope.find(path, clause.name())? {
            block.scope.check_read(column)?;
            return Ok(Some(match level {
                0 => Expression::Column { index: column.index, ty: column.ty.clone() },
                _ => Expression::Outer { level, index: column.index, ty: column.ty.clone() },
            }));
        }
        if matches!(clause, Clause::Order | Clause::Group)
            && let [name] = path
            && let Some(item) = block.items.iter().find(|item| item.alias && item.name.eq_ignore_ascii_case(name))
        {
            let expression = item.expression.clone();
            return Ok(Some(at_level(self.duplicate(&expression, position))));
        }
        Ok(None)
    }

    /// A copy of an expression with copies of its subqueries: a subquery stands in one place only.
    pub fn duplicate(&mut self, expression: &Expression, block: usize) -> Expression {
        let mut copy = expression.clone();
        let frame = self.blocks[block].frame;
        self.duplicate_subqueries(&mut copy, frame);
        copy
    }

    fn duplicate_subqueries(&mut self, expression: &mut Expression, frame: usize) {
        if let Expression::Subquery { id, .. } | Expression::Quantified { id, .. } = expression {
            let subqueries = &mut self.frames[frame].subqueries;
            if let Some(subquery) = subqueries.get(*id).cloned() {
                subqueries.push(subquery);
                *id = subqueries.len() - 1;
            }
        }
        crate::sql::plan::walk::each_child_mut(expression, &mut |child| self.duplicate_subqueries(child, frame));
    }
}

/// HAVING finds columns of GROUP BY first, then of the select list.
fn find_in_having(block: &Block, path: &[String]) -> Option<Expression> {
    let (name, qualifier) = path.split_last()?;
    let named = |item: &&SelectItem| match (&item.column, qualifier) {
        (_, []) => item.name.eq_ignore_ascii_case(name),
        (Some((table, column)), [alias]) => {
            column.eq_ignore_ascii_case(name) && table.as_deref() == Some(alias.as_str())
        }
        _ => false,
    };
    let grouped = block.scope.find(path, "having clause").ok().flatten().and_then(|column| {
        block.group_by.iter().find(|group| matches!(group, Expression::Column { index, .. } if *index == column.index))
    });
    grouped.cloned().or_else(|| block.items.iter().find(named).map(|item| item.expression.clone()))
}
