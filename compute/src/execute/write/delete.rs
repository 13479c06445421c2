//! DELETE from one table or several.

use super::targets;
use crate::catalog::routine::TriggerEvent;
use crate::execute::row::{Execution, Scope, open};
use crate::execute::write::change::delete_rows;
use crate::execute::write::keeper::{Keeper, TableRow};
use crate::execute::write::trigger::Triggers;
use crate::execute::write::{CHUNK_ROWS, FOUND_ROWS_MAX, skip_if_ignored};
use crate::execute::{StatementContext, codec};
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
    let triggers: Vec<Triggers> =
        keepers.iter().map(|keeper| Triggers::of(&keeper.table, TriggerEvent::Delete, context)).collect();
    let mut affected_rows = 0;
    let found = {
        let execution = Execution::new(context.query_context(context.view(lsn)));
        let scope = Scope::new(execution.clone(), &statement.subqueries);
        let mut operator = open(&input, &scope, None)?;
        let mut found: Vec<Vec<TableRow>> = keepers.iter().map(|_| Vec::new()).collect();
        // A row that a join gives several times is deleted once.
        let mut seen: Vec<HashSet<Key>> = keepers.iter().map(|_| HashSet::new()).collect();
        let single = keepers.len() == 1 && targets::is_single(&statement.input);
        let in_between = single && triggers[0].is_empty();
        while let Some(batch) = context.with_functions(operator.next()).await? {
            execution.check()?;
            for row in batch {
                for (number, (target, keeper)) in statement.targets.iter().zip(&keepers).enumerate() {
                    let Some(row) = targets::row_of(keeper, &row, target.base) else { continue };
                    let (table, zone) = (&keeper.table, keeper.zone());
                    if single || seen[number].insert(codec::clustered_key(table, &row.values, row.row_id, zone)?) {
                        found[number].push(row);
                    }
                }
            }
            if in_between && found[0].len() >= FOUND_ROWS_MAX {
                let rows = std::mem::take(&mut found[0]);
                affected_rows += apply(&keepers[0], rows, &triggers[0], context).await?;
            }
        }
        found
    };
    for ((keeper, rows), triggers) in keepers.iter().zip(found).zip(&triggers) {
        affected_rows += apply(keeper, rows, triggers, context).await?;
    }
    Ok(Done { affected_rows, ..Done::default() })
}

/// Gives how many rows were deleted.
async fn apply(
    keeper: &Keeper,
    rows: Vec<TableRow>,
    triggers: &Triggers,
    context: &mut StatementContext<'_>,
) -> Result<u64, SqlError> {
    let chunk_rows = if context.eval.ignore || !triggers.is_empty() { 1 } else { CHUNK_ROWS };
    let mut rows = rows.into_iter().peekable();
    let mut deleted = 0;
    while rows.peek().is_some() {
        let chunk: Vec<TableRow> = rows.by_ref().take(chunk_rows).collect();
        let count = chunk.len() as u64;
        let mark = context.transaction.mark();
        let result = match triggers.is_empty() {
            true => delete_rows(keeper, chunk, 0, context).await,
            false => delete_with_triggers(keeper, chunk, triggers, context).await,
        };
        if result.is_err() {
            context.transaction.undo_to(mark);
        }
        if skip_if_ignored(result, context)? {
            deleted += count;
        }
    }
    Ok(deleted)
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
