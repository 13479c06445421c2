//! DELETE from one table or several.

use super::targets;
use crate::catalog::routine::TriggerEvent;
use crate::execute::StatementContext;
use crate::execute::row::{Execution, Scope, open};
use crate::execute::write::change::delete_rows;
use crate::execute::write::keeper::{Keeper, TableRow};
use crate::execute::write::trigger::Triggers;
use crate::execute::write::{CHUNK_ROWS, skip_if_ignored};
use crate::session::result::Done;
use crate::sql::plan::{Delete, ScanLock, walk};
use common::key::Key;
use expr::SqlError;
use std::collections::HashSet;

pub async fn delete(statement: &Delete, context: &mut StatementContext<'_>) -> Result<Done, SqlError> {
    let tables: Vec<_> = statement.targets.iter().map(|target| &*target.table).collect();
    let lsn = context.begin_write(&tables).await?;
    let mut input = targets::prepare(&statement.input, &tables);
    if context.transaction.locks_ranges() {
        walk::lock_node(&mut input, ScanLock::SHARED);
    }
    let mut keepers = Vec::with_capacity(tables.len());
    for target in &statement.targets {
        keepers.push(Keeper::new(target.table.clone(), context.expressions(&target.table)?, context.eval.time_zone));
    }
    let found = {
        let execution = Execution::new(context.query_context(context.view(lsn)));
        let scope = Scope::new(execution.clone(), &statement.subqueries);
        let mut operator = open(&input, &scope, None)?;
        let mut found: Vec<Vec<TableRow>> = keepers.iter().map(|_| Vec::new()).collect();
        let mut seen: Vec<HashSet<Key>> = keepers.iter().map(|_| HashSet::new()).collect();
        while let Some(batch) = context.with_functions(operator.next()).await? {
            execution.check()?;
            for row in batch {
                for (number, (target, keeper)) in statement.targets.iter().zip(&keepers).enumerate() {
                    let Some(row) = targets::row_of(keeper, &row, target.base) else { continue };
                    let (table, zone) = (&keeper.table, keeper.zone());
                    let key = crate::execute::codec::clustered_key(table, &row.values, row.row_id, zone)?;
                    if seen[number].insert(key) {
                        found[number].push(row);
                    }
                }
            }
        }
        found
    };
    let mut affected_rows = 0;
    for (keeper, rows) in keepers.iter().zip(found) {
        let triggers = Triggers::of(&keeper.table, TriggerEvent::Delete, context);
        let chunk_rows = if context.eval.ignore || !triggers.is_empty() { 1 } else { CHUNK_ROWS };
        let mut rows = rows.into_iter().peekable();
        while rows.peek().is_some() {
            let chunk: Vec<TableRow> = rows.by_ref().take(chunk_rows).collect();
            let count = chunk.len() as u64;
            let mark = context.transaction.mark();
            let result = match triggers.is_empty() {
                true => delete_rows(keeper, chunk, 0, context).await,
                false => delete_with_triggers(keeper, chunk, &triggers, context).await,
            };
            if result.is_err() {
                context.transaction.undo_to(mark);
            }
            if skip_if_ignored(result, context)? {
                affected_rows += count;
            }
        }
    }
    Ok(Done { affected_rows, ..Done::default() })
}

async fn delete_with_triggers(
    keeper: &Keeper,
    rows: Vec<TableRow>,
    triggers: &Triggers,
    context: &mut StatementContext<'_>,
) -> Result<(), SqlError> {
    for row in rows {
        let old = row.values.clone();
        triggers.before(Some(&old), None, context).await?;
        delete_rows(keeper, vec![row], 0, context).await?;
        triggers.after(Some(&old), None, context).await?;
    }
    Ok(())
}
