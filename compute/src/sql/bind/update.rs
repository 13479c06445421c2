//! UPDATE of one table or several.

use crate::account::Privileges;
use crate::catalog::TableDef;
use crate::sql::bind::insert::{generated, is_own_default};
use crate::sql::bind::query::{Limit, is_descending, limited};
use crate::sql::bind::scope::{Block, Boundary, Clause};
use crate::sql::bind::self_read::{self, Changed};
use crate::sql::bind::{Binder, Frame, error, partition};
use crate::sql::parse::ast::{self, syntax};
use crate::sql::plan::{Node, ScanLock, SortKey, Update, UpdateTarget, walk};
use common::service::wal::LockMode;
use expr::{ErrorCode, SqlError};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The clauses that UPDATE and DELETE share.
pub struct Rows<'s> {
    pub with: Option<&'s syntax::With>,
    pub tables: &'s [syntax::TableWithJoins],
    pub selection: Option<&'s syntax::Expr>,
    pub order_by: &'s [syntax::OrderByExpr],
    pub limit: Option<&'s syntax::Expr>,
}

impl Binder<'_> {
    pub fn update(&mut self, update: &ast::Update) -> Result<Update, SqlError> {
        self.frames.push(Frame::new(Boundary::Top));
        self.change = Privileges::UPDATE;
        let rows = Rows {
            with: update.with.as_ref(),
            tables: &update.tables,
            selection: update.selection.as_ref(),
            order_by: &update.order_by,
            limit: update.limit.as_ref(),
        };
        let mut input = self.rows_to_change(&rows)?;
        let mut targets: Vec<(usize, UpdateTarget)> = Vec::new();
        for assignment in &update.assignments {
            self.block().clause = Clause::Fields;
            let found = self.block().scope.find(&assignment.column, "field list")?.cloned();
            let Some(column) = found else {
                return Err(error::unknown_column(&assignment.column.join("."), "field list"));
            };
            let scope_table = self.block().scope.tables[column.table].clone();
            let Some(table) = scope_table.definition else {
                return Err(SqlError::new(
                    ErrorCode::NON_UPDATABLE_TABLE,
                    format!("The target table {} of the UPDATE is not updatable", scope_table.alias),
                ));
            };
            let base = self.base_of(column.table);
            let position = column.index - base;
            let definition = &table.columns[position];
            self.check_column(Privileges::UPDATE, &table, &definition.name)?;
            let value = match &assignment.value {
                Some(value) if is_own_default(value, definition) => None,
                Some(value) => {
                    generated(&table, definition)?;
                    Some(self.assigned_value(value, &definition.ty)?)
                }
                None => None,
            };
            match targets.iter_mut().find(|(at, _)| *at == column.table) {
                Some((_, target)) => target.assignments.push((position, value)),
                None => targets.push((
                    column.table,
                    UpdateTarget {
                        table: table.clone(),
                        partitions: self
                            .partition_sets
                            .iter()
                            .find(|(alias, _)| *alias == scope_table.alias)
                            .map(|(_, set)| set.clone()),
                        base,
                        assignments: vec![(position, value)],
                    },
                )),
            }
        }
        // A row that has several names is written by the last of them.
        targets.sort_by_key(|(table, _)| *table);
        self.refuse_key_of_twin(&targets)?;
        let changed: Vec<usize> = targets.iter().map(|(table, _)| *table).collect();
        self.check_read_only_tables(&changed)?;
        let aliases: Vec<String> =
            targets.iter().map(|(table, _)| self.blocks[0].scope.tables[*table].alias.clone()).collect();
        lock_targets(&mut input, &aliases);
        self.blocks.pop();
        let subqueries = self.frames.pop().map(|frame| frame.subqueries).unwrap_or_default();
        let targets: Vec<UpdateTarget> = targets.into_iter().map(|(_, target)| target).collect();
        let changed: Vec<Changed<'_>> =
            targets.iter().zip(&aliases).map(|(target, alias)| Changed::whole(&target.table, alias)).collect();
        self_read::refuse(&changed, &subqueries)?;
        Ok(Update { input, targets, ignore: update.ignore, subqueries })
    }

    /// Error 1706: a table is changed by two names, and one of them moves its rows.
    fn refuse_key_of_twin(&mut self, targets: &[(usize, UpdateTarget)]) -> Result<(), SqlError> {
        let moves = |target: &UpdateTarget, partitioned_by: &BTreeSet<usize>| {
            let table = &target.table;
            target.assignments.iter().any(|(position, _)| {
                let id = table.columns[*position].id;
                partitioned_by.contains(position) || table.clustered().parts.iter().any(|part| part.column == id)
            })
        };
        for (at, (table, target)) in targets.iter().enumerate() {
            for (other_table, other) in &targets[at + 1..] {
                if target.table.id != other.table.id {
                    continue;
                }
                let partitioned_by = self.partition_columns(&target.table)?;
                if moves(target, &partitioned_by) || moves(other, &partitioned_by) {
                    let scope = &self.block().scope;
                    return Err(SqlError::new(
                        ErrorCode(1706),
                        format!(
                            "Primary key/partition key update is not allowed since the table is updated both as '{}' and \
                             '{}'.",
                            scope.tables[*table].alias, scope.tables[*other_table].alias
                        ),
                    ));
                }
            }
        }
        Ok(())
    }

    /// Positions of the columns that say in which partition a row is.
    fn partition_columns(&self, table: &Arc<TableDef>) -> Result<BTreeSet<usize>, SqlError> {
        if table.partitioning.is_none() {
            return Ok(BTreeSet::new());
        }
        let text = partition::membership(&partition::of_table(table)?, table);
        Ok(super::bind_table_expression(&text, table, &self.context)?.columns())
    }

    /// Tables, WHERE, ORDER BY and LIMIT; leaves its block on the stack for what is bound over the rows.
    pub fn rows_to_change(&mut self, rows: &Rows<'_>) -> Result<Node, SqlError> {
        if let Some(with) = rows.with {
            self.with(with)?;
        }
        self.blocks.push(Block::new(Boundary::Top, self.frames.len() - 1));
        self.row_ids = true;
        let node = self.from(rows.tables);
        self.row_ids = false;
        let mut node = node?;
        if let Some(selection) = rows.selection {
            self.block().clause = Clause::Where;
            let predicate = self.condition(selection)?;
            node = Node::Filter { input: Box::new(node), predicate };
        }
        let several = rows.tables.len() > 1 || rows.tables.iter().any(|table| !table.joins.is_empty());
        if several && (!rows.order_by.is_empty() || rows.limit.is_some()) {
            let what = if rows.order_by.is_empty() { "LIMIT" } else { "ORDER BY" };
            return Err(SqlError::new(ErrorCode(1221), format!("Incorrect usage of UPDATE and {what}")));
        }
        if !rows.order_by.is_empty() {
            self.block().clause = Clause::Order;
            let mut keys = Vec::new();
            for key in rows.order_by {
                keys.push(SortKey { expression: self.expression(&key.expr)?, descending: is_descending(key) });
            }
            node = Node::Sort { input: Box::new(node), keys };
        }
        if let Some(limit) = rows.limit {
            let count = Some(self.row_count(limit)?);
            node = limited(node, Limit { offset: None, count });
        }
        self.block().clause = Clause::Fields;
        Ok(node)
    }

    /// Position in the row of the first column of a table of the block.
    pub fn base_of(&mut self, table: usize) -> usize {
        let scope = &self.block().scope;
        scope.columns.iter().filter(|column| column.table == table).map(|column| column.index).min().unwrap_or(0)
    }
}

/// Rows that will be changed are locked as they are read.
pub fn lock_targets(node: &mut Node, aliases: &[String]) {
    if let Node::Scan(scan) = node {
        if aliases.contains(&scan.alias) {
            scan.lock = Some(ScanLock { mode: LockMode::Exclusive, wait: None });
        }
        return;
    }
    walk::each_input_mut(node, &mut |input| lock_targets(input, aliases));
}
