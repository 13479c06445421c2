//! DELETE from one table or several.

use crate::account::Privileges;
use crate::sql::bind::scope::Boundary;
use crate::sql::bind::self_read::{self, Changed};
use crate::sql::bind::update::{Rows, lock_targets};
use crate::sql::bind::{Binder, Frame};
use crate::sql::parse::ast::{
    self,
    syntax::{TableFactor, TableWithJoins},
};
use crate::sql::plan::{Delete, DeleteTarget};
use expr::{ErrorCode, SqlError};

impl Binder<'_> {
    pub fn delete(&mut self, delete: &ast::Delete) -> Result<Delete, SqlError> {
        self.frames.push(Frame::new(Boundary::Top));
        self.change = Privileges::DELETE;
        let rows = Rows {
            with: delete.with.as_ref(),
            tables: &delete.tables,
            selection: delete.selection.as_ref(),
            order_by: &delete.order_by,
            limit: delete.limit.as_ref(),
        };
        let mut input = self.rows_to_change(&rows)?;
        let positions = if delete.targets.is_empty() { vec![0] } else { self.delete_targets(delete)? };
        self.check_read_only_tables(&positions)?;
        let mut targets: Vec<DeleteTarget> = Vec::new();
        let mut aliases = Vec::new();
        for position in positions {
            let base = self.base_of(position);
            let table = self.block().scope.tables[position].clone();
            let Some(definition) = table.definition else {
                return Err(SqlError::new(
                    ErrorCode::NON_UPDATABLE_TABLE,
                    format!("The target table {} of the DELETE is not updatable", table.alias),
                ));
            };
            self.need_table(Privileges::DELETE, &definition.database, &definition.name)?;
            aliases.push(table.alias);
            targets.push(DeleteTarget { table: definition, base });
        }
        lock_targets(&mut input, &aliases);
        self.blocks.pop();
        let subqueries = self.frames.pop().map(|frame| frame.subqueries).unwrap_or_default();
        let changed: Vec<Changed<'_>> =
            targets.iter().zip(&aliases).map(|(target, alias)| Changed::whole(&target.table, alias)).collect();
        self_read::refuse(&changed, &subqueries)?;
        Ok(Delete { input, targets, ignore: delete.ignore, subqueries })
    }

    fn delete_targets(&mut self, delete: &ast::Delete) -> Result<Vec<usize>, SqlError> {
        let mut positions = Vec::new();
        for name in &delete.targets {
            // A table that has an alias is named by that alone.
            let aliased = name.database.is_some() && delete.tables.iter().any(|tables| has_alias(tables, &name.name));
            let found = self.block().scope.tables.iter().position(|table| {
                table.alias == name.name
                    && name.database.as_ref().is_none_or(|database| table.database.as_ref() == Some(database))
            });
            match found {
                Some(position) if !aliased => positions.push(position),
                _ => {
                    return Err(SqlError::new(
                        ErrorCode::UNKNOWN_TABLE,
                        format!("Unknown table '{}' in MULTI DELETE", name.name),
                    ));
                }
            }
        }
        Ok(positions)
    }
}

/// True if one of these tables has this alias.
fn has_alias(tables: &TableWithJoins, alias: &str) -> bool {
    let is = |factor: &TableFactor| matches!(factor, TableFactor::Table { alias: Some(found), .. } if found.name.value == alias);
    is(&tables.relation) || tables.joins.iter().any(|join| is(&join.relation))
}
