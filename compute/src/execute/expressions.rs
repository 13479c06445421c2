//! Bound expressions of table definitions: generated columns, CHECKs, DEFAULT (...). Bound once per table version.

use crate::catalog::TableDef;
use crate::catalog::schema::ColumnDefault;
use crate::execute::context::BindExpressions;
use crate::sql::bind::partition;
use common::id::{Lsn, TableId};
use expr::{Expression, SqlError};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;

/// Of one table. Expressions read all columns of the table's row by position.
#[derive(Debug, Default)]
pub struct TableExpressions {
    /// Generated columns by position, in order: one may read those to its left.
    pub generated: Vec<(usize, Expression)>,
    /// Enforced ones, with their names.
    pub checks: Vec<(String, Expression)>,
    /// DEFAULT (...) by column position.
    pub defaults: HashMap<usize, Expression>,
    pub partition: Option<PartitionExpression>,
}

/// Which partition a row belongs to.
#[derive(Debug)]
pub struct PartitionExpression {
    /// Its number from 0; NULL if there is none for the row.
    pub number: Expression,
    /// What messages name the row by; None if it is made of several columns.
    pub value: Option<Expression>,
    /// Every row has one.
    pub total: bool,
}

impl TableExpressions {
    pub fn bind(table: &TableDef, binder: &dyn BindExpressions) -> Result<TableExpressions, SqlError> {
        let mut expressions = TableExpressions::default();
        for (position, column) in table.columns.iter().enumerate() {
            if let Some(generated) = &column.generated {
                expressions.generated.push((position, binder.bind(table, &generated.expression)?));
            }
            if let ColumnDefault::Expression(text) = &column.default {
                expressions.defaults.insert(position, binder.bind(table, text)?);
            }
        }
        for check in table.checks.iter().filter(|check| check.enforced) {
            expressions.checks.push((check.name.clone(), binder.bind(table, &check.expression)?));
        }
        if let Some(text) = table.partitioning.as_deref().filter(|text| !text.is_empty()) {
            let partitioning = partition::parse_text(text)?;
            let operand = partitioning.method.operand();
            expressions.partition = Some(PartitionExpression {
                number: partition::settled(binder.bind(table, &partition::membership(&partitioning, table))?),
                value: if partitioning.method.has_one_operand() { Some(binder.bind(table, &operand)?) } else { None },
                total: partitioning.method.takes_every_row(),
            });
        }
        Ok(expressions)
    }
}

/// Tables kept before the cache starts again from nothing.
const TABLES_MAX: usize = 10_000;

#[derive(Default)]
pub struct ExpressionCache {
    tables: Mutex<HashMap<TableId, (Lsn, Arc<TableExpressions>)>>,
}

impl ExpressionCache {
    /// The expressions of a table as it is defined. Definitions that are not stored yet are not kept.
    pub fn of(&self, table: &TableDef, binder: &dyn BindExpressions) -> Result<Arc<TableExpressions>, SqlError> {
        if let Some((version, expressions)) = self.tables.lock().get(&table.id)
            && *version == table.version
            && table.version != Lsn::ZERO
        {
            return Ok(expressions.clone());
        }
        let expressions = Arc::new(TableExpressions::bind(table, binder)?);
        if table.version != Lsn::ZERO {
            let mut tables = self.tables.lock();
            if tables.len() >= TABLES_MAX {
                tables.clear();
            }
            tables.insert(table.id, (table.version, expressions.clone()));
        }
        Ok(expressions)
    }
}
