//! UPDATE of one table or several.
//!
//! The row path finds the rows, locks them and reads them again, at one LSN, so that a row that moves is not found twice. Here
//! they are changed, after all were found, or in between where they are many.

use super::targets;
use crate::catalog::routine::TriggerEvent;
use crate::execute::StatementContext;
use crate::execute::row::{Evaluator, Execution, Scope, open};
use crate::execute::write::change::{Change, update_rows};
use crate::execute::write::keeper::{Keeper, TableRow};
use crate::execute::write::trigger::Triggers;
use crate::execute::write::{CHUNK_ROWS, FOUND_ROWS_MAX, assign, auto_increment, skip_if_ignored};
use crate::session::result::Done;
use crate::sql::plan::{ScanLock, Update, UpdateTarget, walk};
use common::key::Key;
use expr::SqlError;
use expr::value::{Row, Value};
use std::collections::HashSet;

pub async fn update(statement: &Update, context: &mut StatementContext<'_>) -> Result<Done, SqlError> {
    let tables: Vec<_> = statement.targets.iter().map(|target| &*target.table).collect();
    let lsn = context.begin_write(&tables).await?;
    let mut input = targets::prepare(&statement.input, &tables);
    if context.transaction.locks_ranges() {
        walk::lock_node(&mut input, ScanLock::SHARED);
    }
    let mut keepers = Vec::with_capacity(tables.len());
    for target in &statement.targets {
        let mut keeper = Keeper::new(target.table.clone(), context.expressions(&target.table)?, context.eval.time_zone);
        keeper.partitions.clone_from(&target.partitions);
        keepers.push(keeper);
    }
    let mut counts = Counts::default();
    let of = |keeper: &Keeper| Triggers::of(&keeper.table, TriggerEvent::Update, context);
    let triggers: Vec<Triggers> = keepers.iter().map(of).collect();
    let fires: Vec<bool> = triggers.iter().map(|triggers| !triggers.is_empty()).collect();
    let changes = {
        let execution = Execution::new(context.query_context(context.view(lsn)));
        let scope = Scope::new(execution.clone(), &statement.subqueries);
        let mut operator = open(&input, &scope, None)?;
        let mut finder = Finder::new(statement, &keepers, &scope);
        finder.fires.clone_from(&fires);
        let in_between = keepers.len() == 1 && !fires[0] && targets::is_single(&statement.input);
        while let Some(batch) = context.with_functions(operator.next()).await? {
            execution.check()?;
            for row in batch {
                if let Err(error) = finder.take(row, &mut counts, context).await {
                    // What is wrong with the rows before it is told first.
                    if in_between {
                        let changes = std::mem::take(&mut finder.changes[0]);
                        apply(&keepers[0], changes, &mut counts, context).await?;
                    }
                    return Err(error);
                }
            }
            if in_between && finder.changes[0].len() >= FOUND_ROWS_MAX {
                let changes = std::mem::take(&mut finder.changes[0]);
                note_numbers(&keepers[0], &statement.targets[0], &changes, context).await?;
                apply(&keepers[0], changes, &mut counts, context).await?;
            }
        }
        finder.changes
    };
    for (number, (keeper, mut changes)) in keepers.iter().zip(changes).enumerate() {
        note_numbers(keeper, &statement.targets[number], &changes, context).await?;
        // A table by a second name: its rows may have been changed by the first already.
        if keepers[..number].iter().any(|other| other.table.id == keeper.table.id) {
            changes = rebased(keeper, &statement.targets[number], changes, context).await?;
        }
        match fires[number] {
            false => apply(keeper, changes, &mut counts, context).await?,
            true => {
                let target = &statement.targets[number];
                apply_with_triggers(keeper, target, changes, &triggers[number], &mut counts, context).await?;
            }
        }
    }
    let warnings = context.eval.effects.warnings.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).len();
    Ok(Done {
        affected_rows: if context.settings.client_found_rows { counts.matched } else { counts.changed },
        info: format!("Rows matched: {}  Changed: {}  Warnings: {warnings}", counts.matched, counts.changed),
        ..Done::default()
    })
}

#[derive(Default)]
struct Counts {
    matched: u64,
    changed: u64,
}

/// Collects changes from the rows of the input.
struct Finder<'s, 'q> {
    statement: &'q Update,
    keepers: &'s [Keeper],
    /// For each target, for each assignment.
    values: Vec<Vec<Option<Evaluator<'q>>>>,
    /// A row that a join gives several times is changed once.
    seen: Vec<HashSet<Key>>,
    changes: Vec<Vec<Change>>,
    /// Of each target: its triggers fire, also for a row that stays the same; what follows from the change is seen to
    /// after them.
    fires: Vec<bool>,
}

impl<'s, 'q> Finder<'s, 'q> {
    fn new(statement: &'q Update, keepers: &'s [Keeper], scope: &Scope<'q>) -> Finder<'s, 'q> {
        let evaluators = |target: &'q crate::sql::plan::UpdateTarget| {
            let values = target.assignments.iter().map(|(_, value)| value.as_ref());
            values.map(|value| value.map(|value| Evaluator::new(value, scope))).collect()
        };
        Finder {
            statement,
            keepers,
            values: statement.targets.iter().map(evaluators).collect(),
            seen: keepers.iter().map(|_| HashSet::new()).collect(),
            changes: keepers.iter().map(|_| Vec::new()).collect(),
            fires: vec![false; keepers.len()],
        }
    }

    /// One row of the input. Assignments see what those before them assigned to the same table; of the others they see
    /// what was there before.
    async fn take(
        &mut self,
        before: Row,
        counts: &mut Counts,
        context: &mut StatementContext<'_>,
    ) -> Result<(), SqlError> {
        let several = self.keepers.len() > 1;
        for (number, target) in self.statement.targets.iter().enumerate() {
            let keeper = &self.keepers[number];
            let Some(old) = targets::row_of(keeper, &before, target.base) else { continue };
            let key = crate::execute::codec::clustered_key(&keeper.table, &old.values, old.row_id, keeper.zone())?;
            let joins = several || !targets::is_single(&self.statement.input);
            if joins && !self.seen[number].insert(key) {
                continue;
            }
            counts.matched += 1;
            let mut row = before.clone();
            let mut assigned = Vec::with_capacity(target.assignments.len());
            let mut kept = true;
            for ((column, _), value) in target.assignments.iter().zip(&mut self.values[number]) {
                let value = match value {
                    Some(value) => context.with_functions(value.eval(&row)).await?,
                    None => {
                        let own = &row[target.base..target.base + keeper.table.columns.len()];
                        let (table, expressions) = (&keeper.table, &keeper.expressions);
                        assign::default(table, *column, expressions, &own.to_vec(), counts.matched, &context.eval)?
                    }
                };
                let definition = &keeper.table.columns[*column];
                if self.fires[number] && value.is_null() {
                    row[target.base + column] = value;
                    assigned.push(*column);
                    continue;
                }
                match assign::assign(definition, value, counts.matched, &context.eval) {
                    Ok(value) => row[target.base + column] = value,
                    Err(error) => {
                        kept = skip_if_ignored(Err(error), context)?;
                        break;
                    }
                }
                assigned.push(*column);
            }
            if !kept {
                continue;
            }
            let values: Vec<Value> = row[target.base..target.base + keeper.table.columns.len()].to_vec();
            let new = TableRow { values, row_id: old.row_id };
            if self.fires[number] {
                self.changes[number].push(Change { old, new });
                continue;
            }
            match Change::of(keeper, old, new, &assigned, context) {
                Ok(change) => self.changes[number].extend(change),
                Err(error) => {
                    if let Err(error) = skip_if_ignored(Err(error), context) {
                        // Row by row, those before this one may have failed already.
                        let before = std::mem::take(&mut self.changes[number]);
                        update_rows(keeper, before, 0, context).await?;
                        return Err(error);
                    }
                }
            }
        }
        Ok(())
    }
}

/// A number that is assigned to the AUTO_INCREMENT column is not given out again.
async fn note_numbers(
    keeper: &Keeper,
    target: &UpdateTarget,
    changes: &[Change],
    context: &mut StatementContext<'_>,
) -> Result<(), SqlError> {
    let Some(column) = auto_increment::column(&keeper.table) else { return Ok(()) };
    if !target.assignments.iter().any(|(position, _)| *position == column) {
        return Ok(());
    }
    match changes.iter().filter_map(|change| auto_increment::explicit(&change.new.values[column])).max() {
        Some(greatest) => auto_increment::move_past(&keeper.table, greatest, context).await,
        None => Ok(()),
    }
}

/// The changes, over the rows as the statement itself has left them.
async fn rebased(
    keeper: &Keeper,
    target: &UpdateTarget,
    changes: Vec<Change>,
    context: &mut StatementContext<'_>,
) -> Result<Vec<Change>, SqlError> {
    let assigned: Vec<usize> = target.assignments.iter().map(|(position, _)| *position).collect();
    let mut rebased = Vec::with_capacity(changes.len());
    for change in changes {
        let key =
            crate::execute::codec::clustered_key(&keeper.table, &change.old.values, change.old.row_id, keeper.zone())?;
        let old = match context.transaction.written(&key) {
            Some(Some(row)) => keeper.decode(&row.load()?)?,
            _ => change.old,
        };
        let mut new = old.clone();
        for position in &assigned {
            new.values[*position] = change.new.values[*position].clone();
        }
        rebased.extend(Change::of(keeper, old, new, &assigned, context)?);
    }
    Ok(rebased)
}

async fn apply(
    keeper: &Keeper,
    changes: Vec<Change>,
    counts: &mut Counts,
    context: &mut StatementContext<'_>,
) -> Result<(), SqlError> {
    // Under IGNORE each row stands for itself.
    let chunk_rows = if context.eval.ignore { 1 } else { CHUNK_ROWS };
    let mut changes = changes.into_iter().peekable();
    while changes.peek().is_some() {
        let chunk: Vec<Change> = changes.by_ref().take(chunk_rows).collect();
        let rows = chunk.len() as u64;
        let mark = context.transaction.mark();
        let result = update_rows(keeper, chunk, 0, context).await;
        if result.is_err() {
            context.transaction.undo_to(mark);
        }
        if skip_if_ignored(result, context)? {
            counts.changed += rows;
        }
    }
    Ok(())
}

/// One row after the other: the triggers of each see what those before it have done.
async fn apply_with_triggers(
    keeper: &Keeper,
    target: &UpdateTarget,
    changes: Vec<Change>,
    triggers: &Triggers,
    counts: &mut Counts,
    context: &mut StatementContext<'_>,
) -> Result<(), SqlError> {
    let assigned: Vec<usize> = target.assignments.iter().map(|(position, _)| *position).collect();
    for Change { old, mut new } in changes {
        let mark = context.transaction.mark();
        let before = old.values.clone();
        let changed = async {
            triggers.before(Some(&before), Some(&mut new.values), context).await?;
            let mut after = new.values.clone();
            let change = Change::of(keeper, old, new, &assigned, context)?;
            let changed = change.is_some();
            if let Some(change) = change {
                after.clone_from(&change.new.values);
                update_rows(keeper, vec![change], 0, context).await?;
            }
            triggers.after(Some(&before), Some(&after), context).await?;
            Ok(changed)
        };
        match changed.await {
            Ok(changed) => counts.changed += u64::from(changed),
            Err(error) => {
                context.transaction.undo_to(mark);
                skip_if_ignored(Err(error), context)?;
            }
        }
    }
    Ok(())
}
