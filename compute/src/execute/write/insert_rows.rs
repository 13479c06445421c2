//! Rows into a table, a chunk at a time: numbers, checks, locks on their keys, duplicates, parents, and the writes.

use crate::catalog::routine::TriggerEvent;
use crate::execute::StatementContext;
use crate::execute::codec;
use crate::execute::row::{Evaluator, Scope};
use crate::execute::write::change::{self, Change};
use crate::execute::write::duplicate::duplicate_entry;
use crate::execute::write::foreign_key::Parents;
use crate::execute::write::keeper::{Image, Keeper, TableRow};
use crate::execute::write::past_buffer::{Past, PastBuffer};
use crate::execute::write::trigger::Triggers;
use crate::execute::write::{assign, auto_increment, skip_if_ignored};
use crate::session::result::Done;
use crate::txn::service_error::deadlock;
use bytes::Bytes;
use common::id::Lsn;
use common::key::Key;
use common::service::wal::LockMode;
use expr::error::WarningLevel;
use expr::value::{Row, Value};
use expr::{Expression, SqlError};
use std::collections::HashMap;

pub enum OnDuplicate<'q> {
    Refuse,
    /// INSERT IGNORE.
    Skip,
    Replace,
    /// ON DUPLICATE KEY UPDATE: column, and value over the existing row then the new one.
    Update(&'q [(usize, Expression)]),
}

/// Those that an INSERT may fire: a duplicate is updated or replaced.
struct RowTriggers {
    insert: Triggers,
    update: Triggers,
    delete: Triggers,
}

/// A row on its way in.
pub struct NewRow {
    pub values: Row,
    /// Its AUTO_INCREMENT column waits for a value.
    pub wants_number: bool,
    /// From 1, for messages.
    pub row_number: u64,
}

/// What is stored under unique keys of a chunk, read under their locks.
type Stored = HashMap<Key, Option<Bytes>>;

pub struct InsertRows<'q> {
    pub keeper: Keeper,
    on_duplicate: OnDuplicate<'q>,
    scope: Scope<'q>,
    parents: Parents,
    triggers: RowTriggers,
    /// The row that came in last, for its trigger.
    last: Option<Row>,
    /// Where nobody else sees the table's keys, duplicates are refused at the end.
    past: PastBuffer,
    /// Greatest value given for the AUTO_INCREMENT column so far.
    explicit_max: u64,
    first_number: u64,
    /// Last value given for the AUTO_INCREMENT column of a row that came in.
    last_given: u64,
    affected: u64,
    /// Of the affected rows, those that are new.
    inserted: u64,
    records: u64,
    duplicates: u64,
}

impl<'q> InsertRows<'q> {
    /// `scope` is for the expressions of ON DUPLICATE KEY UPDATE.
    pub fn new(
        keeper: Keeper,
        on_duplicate: OnDuplicate<'q>,
        scope: Scope<'q>,
        context: &mut StatementContext<'_>,
    ) -> Result<InsertRows<'q>, SqlError> {
        let parents = Parents::of(&keeper.table, context);
        let of = |event| Triggers::of(&keeper.table, event, context);
        let triggers = RowTriggers {
            insert: of(TriggerEvent::Insert),
            update: of(TriggerEvent::Update),
            delete: of(TriggerEvent::Delete),
        };
        Ok(InsertRows {
            triggers,
            last: None,
            past: PastBuffer::new(Past::Never, &keeper.table),
            keeper,
            on_duplicate,
            scope,
            parents,
            explicit_max: 0,
            first_number: 0,
            last_given: 0,
            affected: 0,
            inserted: 0,
            records: 0,
            duplicates: 0,
        })
    }

    /// Rows may go to the store as they become many.
    pub fn past_buffer(self, past: Past) -> InsertRows<'q> {
        // What triggers do with the rows goes the same way as the rows.
        let past = if self.triggers.insert.is_empty() { past } else { Past::Never };
        InsertRows { past: PastBuffer::new(past, &self.keeper.table), ..self }
    }

    /// Triggers see a row before it is checked for NULL.
    pub fn checks_nulls_later(&self) -> bool {
        self.triggers.insert.has_before()
    }

    /// After the last row.
    pub async fn finish(&mut self, context: &mut StatementContext<'_>) -> Result<(), SqlError> {
        self.past.finish(&self.keeper.table, context).await
    }

    pub fn done(&self) -> Done {
        Done {
            affected_rows: self.affected,
            last_insert_id: self.first_number,
            given_insert_id: self.last_given,
            info: String::new(),
        }
    }

    /// Rows that came in.
    pub fn records(&self) -> u64 {
        self.records
    }

    pub fn inserted(&self) -> u64 {
        self.inserted
    }

    pub fn duplicates(&self) -> u64 {
        self.duplicates
    }

    pub async fn insert(&mut self, rows: Vec<NewRow>, context: &mut StatementContext<'_>) -> Result<(), SqlError> {
        if self.triggers.insert.is_empty() {
            return self.insert_chunk(rows, context).await;
        }
        let column = auto_increment::column(&self.keeper.table);
        for mut row in rows {
            if let (Some(column), true) = (column, row.wants_number) {
                row.values[column] = Value::Int(0);
            }
            self.triggers.insert.before(None, Some(&mut row.values), context).await?;
            if let Some(column) = column {
                row.wants_number = auto_increment::wants_value(&row.values[column], &context.eval);
            }
            self.last = None;
            self.insert_chunk(vec![row], context).await?;
            if let Some(row) = self.last.take() {
                self.triggers.insert.after(None, Some(&row), context).await?;
            }
        }
        Ok(())
    }

    async fn insert_chunk(
        &mut self,
        mut rows: Vec<NewRow>,
        context: &mut StatementContext<'_>,
    ) -> Result<(), SqlError> {
        self.records += rows.len() as u64;
        self.number(&mut rows, context).await?;
        let (rows, failed) = self.complete(rows, context).await?;
        let images: Vec<Image> = rows.iter().map(|(row, _)| self.keeper.image(row)).collect::<Result<_, _>>()?;
        let (mut stored, lsn) = match self.past.is_of_new() {
            true => (Stored::new(), Lsn::ZERO),
            false => self.lock_keys(&images, context).await?,
        };
        let values: Vec<Option<&[expr::Value]>> = rows.iter().map(|(row, _)| Some(&row.values[..])).collect();
        let orphans = self.parents.verify(&self.keeper.table, &values, context).await?;
        for (((mut row, numbered), mut image), orphan) in rows.into_iter().zip(images).zip(orphans) {
            let conflicts = self.conflicts(&image, &stored, context)?;
            if !conflicts.is_empty() {
                self.duplicates += 1;
                let row_id = row.row_id;
                if !self.resolve(&mut row, conflicts, &mut stored, lsn, context).await? {
                    continue;
                }
                if row.row_id != row_id {
                    image = self.keeper.image(&row)?;
                }
            }
            if !skip_if_ignored(orphan.map_or(Ok(()), Err), context)? {
                continue;
            }
            self.past.put(image, context.transaction)?;
            self.affected += 1;
            self.inserted += 1;
            if !self.triggers.insert.is_empty() {
                self.last = Some(row.values.clone());
            }
            match numbered {
                true if self.first_number == 0 => self.first_number = self.number_of(&row).unwrap_or(0),
                true => {}
                false => self.last_given = self.number_of(&row).unwrap_or(0),
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        let table = self.keeper.table.clone();
        self.past.relieve(&table, context).await
    }

    fn number_of(&self, row: &TableRow) -> Option<u64> {
        auto_increment::explicit(&row.values[auto_increment::column(&self.keeper.table)?])
    }

    /// Gives numbers to rows that want one, in order, and notes those that were given.
    async fn number(&mut self, rows: &mut [NewRow], context: &mut StatementContext<'_>) -> Result<(), SqlError> {
        let table = self.keeper.table.clone();
        let Some(column) = auto_increment::column(&table) else { return Ok(()) };
        let increment = context.settings.auto_increment_increment.max(1);
        let mut at = 0;
        while at < rows.len() {
            if !rows[at].wants_number {
                if let Some(given) = auto_increment::explicit(&rows[at].values[column]) {
                    self.explicit_max = self.explicit_max.max(given);
                }
                at += 1;
                continue;
            }
            let run = rows[at..].iter().take_while(|row| row.wants_number).count();
            let first = auto_increment::allocate(&table, run as u64, self.explicit_max + 1, context).await?;
            for (offset, row) in rows[at..at + run].iter_mut().enumerate() {
                row.values[column] = auto_increment::value(&table, column, first + offset as u64 * increment)?;
            }
            at += run;
        }
        if self.explicit_max > 0 {
            auto_increment::move_past(&table, self.explicit_max, context).await?;
        }
        Ok(())
    }

    /// Generated columns, CHECKs, row ids. With each row: whether it was numbered. And the error of the row after them.
    async fn complete(
        &mut self,
        rows: Vec<NewRow>,
        context: &mut StatementContext<'_>,
    ) -> Result<(Vec<(TableRow, bool)>, Option<SqlError>), SqlError> {
        let mut complete = Vec::with_capacity(rows.len());
        let mut failed = None;
        for mut row in rows {
            let checked = self.keeper.complete(&mut row.values, row.row_number, &context.eval);
            match skip_if_ignored(checked, context) {
                Ok(true) => complete.push((TableRow { values: row.values, row_id: None }, row.wants_number)),
                Ok(false) => {}
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        if self.keeper.table.has_hidden_row_id() && !complete.is_empty() {
            let table = self.keeper.table.clone();
            let first = auto_increment::allocate_row_ids(&table, complete.len() as u64, context).await?;
            for (offset, (row, _)) in complete.iter_mut().enumerate() {
                row.row_id = Some(first + offset as u64);
            }
        }
        Ok((complete, failed))
    }

    /// Locks every key of a chunk and reads what is there under the unique ones.
    async fn lock_keys(&self, images: &[Image], context: &mut StatementContext<'_>) -> Result<(Stored, Lsn), SqlError> {
        let unique = images.iter().flat_map(|image| image.unique_keys(&self.keeper.table));
        let mut keys: Vec<Key> = unique.map(|(_, key)| key.clone()).collect();
        keys.sort_unstable();
        keys.dedup();
        let others: Vec<Key> = images.iter().flat_map(|image| image.other_keys(&self.keeper.table)).cloned().collect();
        if keys.is_empty() && others.is_empty() {
            return Ok((Stored::new(), Lsn::ZERO));
        }
        change::lock_and_read_some(keys, others, LockMode::Exclusive, context).await
    }

    /// The unique keys of a row that another row has already, with the position of their index.
    fn conflicts(
        &self,
        image: &Image,
        stored: &Stored,
        context: &StatementContext<'_>,
    ) -> Result<Vec<(usize, Key, Bytes)>, SqlError> {
        let there = |key: &Key| match context.transaction.written(key) {
            Some(row) => row.as_ref().map(|row| row.load()).transpose(),
            None => Ok(stored.get(key).cloned().flatten()),
        };
        let mut taken = Vec::new();
        for (index, key) in image.unique_keys(&self.keeper.table) {
            if let Some(row) = there(key)? {
                taken.push((index, key.clone(), row));
            }
        }
        Ok(taken)
    }

    /// Does what the statement says about duplicates; true if the new row is to be written after it.
    async fn resolve(
        &mut self,
        row: &mut TableRow,
        conflicts: Vec<(usize, Key, Bytes)>,
        stored: &mut Stored,
        lsn: Lsn,
        context: &mut StatementContext<'_>,
    ) -> Result<bool, SqlError> {
        let table = self.keeper.table.clone();
        let Some((index, _, _)) = conflicts.first() else { return Ok(true) };
        match &self.on_duplicate {
            OnDuplicate::Refuse => Err(duplicate_entry(&table, &table.indexes[*index], &row.values)),
            OnDuplicate::Skip => {
                let error = duplicate_entry(&table, &table.indexes[*index], &row.values);
                context.warn(WarningLevel::Warning, error.code, error.message);
                Ok(false)
            }
            OnDuplicate::Replace => {
                self.replace(row, conflicts, lsn, context).await?;
                // Rows that went left their keys in the buffer as deleted; nothing in `stored` is needed again.
                let _ = stored;
                Ok(true)
            }
            OnDuplicate::Update(assignments) => {
                let assignments: &'q [(usize, Expression)] = assignments;
                self.update(row, conflicts, assignments, context).await?;
                Ok(false)
            }
        }
    }

    /// The rows behind conflicting keys, each once, locked.
    async fn existing(
        &self,
        conflicts: Vec<(usize, Key, Bytes)>,
        context: &mut StatementContext<'_>,
    ) -> Result<Vec<TableRow>, SqlError> {
        let mut rows = Vec::new();
        let mut seen: Vec<Key> = Vec::new();
        for (index, key, found) in conflicts {
            let (key, row) = if index == 0 {
                (key, found)
            } else {
                let key = codec::clustered_key_of_entry(&self.keeper.table, &found)?;
                if seen.contains(&key) {
                    continue;
                }
                let row = match context.transaction.written(&key) {
                    Some(row) => row.as_ref().map(|row| row.load()).transpose()?,
                    None => {
                        let (mut read, _) =
                            change::lock_and_read(vec![key.clone()], LockMode::Exclusive, context).await?;
                        read.remove(&key).flatten()
                    }
                };
                // Whoever deletes the row locks the entry first, and that lock is ours: only a lost lock comes here.
                (key, row.ok_or_else(deadlock)?)
            };
            if !seen.contains(&key) {
                rows.push(self.keeper.decode(&row)?);
                seen.push(key);
            }
        }
        Ok(rows)
    }

    /// The one row that was in the way through the table's last unique key alone is replaced where it stands, as in MySQL.
    async fn replace(
        &mut self,
        row: &mut TableRow,
        conflicts: Vec<(usize, Key, Bytes)>,
        _lsn: Lsn,
        context: &mut StatementContext<'_>,
    ) -> Result<(), SqlError> {
        let unique = |(_, index): &(usize, &crate::catalog::IndexDef)| index.unique;
        let last = self.keeper.table.indexes.iter().enumerate().filter(unique).map(|(at, _)| at).max();
        let by_last = conflicts.iter().all(|(index, ..)| Some(*index) == last);
        let existing = self.existing(conflicts, context).await?;
        if let (true, true, [one]) = (by_last, self.triggers.delete.is_empty(), existing.as_slice()) {
            row.row_id = one.row_id;
        }
        let zone = self.keeper.zone();
        let mut identical = 0;
        for old in &existing {
            let stored = |values: &Row| codec::encode_row(&self.keeper.table, values, None, zone);
            identical += u64::from(stored(&old.values)? == stored(&row.values)?);
        }
        // MySQL counts a row replaced by the very same one once.
        self.affected += existing.len() as u64 - identical;
        self.duplicates -= u64::from(identical == existing.len() as u64);
        if self.triggers.delete.is_empty() {
            return change::delete_rows(&self.keeper, existing, 0, context).await;
        }
        for old in existing {
            let values = old.values.clone();
            self.triggers.delete.before(Some(&values), None, context).await?;
            change::delete_rows(&self.keeper, vec![old], 0, context).await?;
            self.triggers.delete.after(Some(&values), None, context).await?;
        }
        Ok(())
    }

    /// ON DUPLICATE KEY UPDATE: the first conflicting row is changed. 2 rows affected, 0 if nothing changed.
    async fn update(
        &mut self,
        row: &TableRow,
        mut conflicts: Vec<(usize, Key, Bytes)>,
        assignments: &'q [(usize, Expression)],
        context: &mut StatementContext<'_>,
    ) -> Result<(), SqlError> {
        conflicts.truncate(1);
        let Some(old) = self.existing(conflicts, context).await?.pop() else { return Ok(()) };
        let table = self.keeper.table.clone();
        let mut both: Row = old.values.clone();
        both.extend(row.values.iter().cloned());
        let mut assigned = Vec::with_capacity(assignments.len());
        for (position, expression) in assignments {
            let mut evaluator = Evaluator::new(expression, &self.scope);
            let value = context.with_functions(evaluator.eval(&both)).await?;
            both[*position] = assign::assign(&table.columns[*position], value, 1, &context.eval)?;
            assigned.push(*position);
        }
        both.truncate(table.columns.len());
        let mut new = TableRow { values: both, row_id: old.row_id };
        self.triggers.update.before(Some(&old.values), Some(&mut new.values), context).await?;
        let (before, after) = (old.values.clone(), new.values.clone());
        let change = match Change::of(&self.keeper, old, new, &assigned, context) {
            Ok(change) => change,
            Err(error) => return skip_if_ignored(Err(error), context).map(|_| ()),
        };
        let after = change.as_ref().map_or(after, |change| change.new.values.clone());
        if self.first_number == 0 {
            self.first_number = change.as_ref().and_then(|change| self.number_of(&change.new)).unwrap_or(0);
        }
        match change {
            None => self.affected += u64::from(context.settings.client_found_rows),
            Some(change) => {
                change::update_rows(&self.keeper, vec![change], 0, context).await?;
                self.affected += 2;
            }
        }
        self.triggers.update.after(Some(&before), Some(&after), context).await
    }
}
