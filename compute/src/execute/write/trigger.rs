//! Triggers of a table, fired for each row that a statement changes: BEFORE it is changed, where NEW may still be set, and
//! AFTER. What foreign keys change fires none.

use crate::catalog::TableDef;
use crate::catalog::routine::{TriggerDef, TriggerEvent, TriggerTiming};
use crate::execute::StatementContext;
use crate::execute::routines::RowPair;
use crate::execute::write::assign;
use expr::SqlError;
use expr::value::{Row, Value};
use std::sync::Arc;

/// Those of one event.
pub struct Triggers {
    table: Arc<TableDef>,
    before: Vec<Arc<TriggerDef>>,
    after: Vec<Arc<TriggerDef>>,
}

impl Triggers {
    pub fn of(table: &Arc<TableDef>, event: TriggerEvent, context: &StatementContext<'_>) -> Triggers {
        Triggers {
            table: table.clone(),
            before: context.catalog.triggers(table, TriggerTiming::Before, event),
            after: context.catalog.triggers(table, TriggerTiming::After, event),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.before.is_empty() && self.after.is_empty()
    }

    pub fn has_before(&self) -> bool {
        !self.before.is_empty()
    }

    /// `new` is what the triggers leave of it.
    pub async fn before(
        &self,
        old: Option<&Row>,
        new: Option<&mut Row>,
        context: &mut StatementContext<'_>,
    ) -> Result<(), SqlError> {
        if self.before.is_empty() {
            return Ok(());
        }
        let rows = RowPair { old: old.cloned(), new: new.as_deref().cloned() };
        let rows = self.fire(&self.before, rows, context).await?;
        let Some(new) = new else { return Ok(()) };
        if let Some(row) = rows.new {
            *new = row;
        }
        self.check_nulls(new, context)
    }

    pub async fn after(
        &self,
        old: Option<&Row>,
        new: Option<&Row>,
        context: &mut StatementContext<'_>,
    ) -> Result<(), SqlError> {
        if self.after.is_empty() {
            return Ok(());
        }
        let rows = RowPair { old: old.cloned(), new: new.cloned() };
        self.fire(&self.after, rows, context).await.map(|_| ())
    }

    async fn fire(
        &self,
        triggers: &[Arc<TriggerDef>],
        mut rows: RowPair,
        context: &mut StatementContext<'_>,
    ) -> Result<RowPair, SqlError> {
        let Some(routines) = context.routines.clone() else {
            return Err(SqlError::internal("a table has triggers and nobody to fire them; report it"));
        };
        for trigger in triggers {
            rows = routines.fire(trigger, &self.table, rows, context.transaction).await?;
        }
        Ok(rows)
    }

    /// NULL in a column that takes none is looked at only after the triggers.
    fn check_nulls(&self, row: &mut Row, context: &StatementContext<'_>) -> Result<(), SqlError> {
        for (value, column) in row.iter_mut().zip(&self.table.columns) {
            let refuses = !column.ty.nullable && !column.auto_increment && column.generated.is_none();
            if refuses && value.is_null() {
                *value = assign::assign(column, Value::Null, 1, &context.eval)?;
            }
        }
        Ok(())
    }
}
