//! Scans of UPDATE, DELETE, SELECT ... FOR UPDATE/SHARE, and all of SERIALIZABLE.
//!
//! Three ways, all of which read what they have locked at the LSN of the grant:
//! - Exact keys are locked whether there is a row or not, so that nobody else inserts one.
//! - REPEATABLE READ and SERIALIZABLE lock the range first and read it then: nothing in it changes, nothing appears in it.
//!   With a LIMIT the range is locked piece by piece, as far as rows are wanted.
//! - READ COMMITTED and SKIP LOCKED find rows in the newest data and lock those that meet the filter. A row that changed
//!   in between is judged by what it is now and let go if it does not meet the filter any more.

use crate::execute::codec;
use crate::execute::row::context::{Locked, Locker};
use crate::execute::row::evaluate::Predicate;
use crate::execute::row::operator::{BATCH_ROWS, Operator, Scope};
use crate::execute::row::scan::access::{self, Source, StoredRow, Target};
use crate::execute::row::scan::decode;
use crate::sql::plan::{Scan, ScanLock};
use crate::txn::ReadView;
use async_trait::async_trait;
use common::key::{Key, KeyRange};
use common::service::page::{Direction, ScannedRow};
use common::service::wal::LockWait;
use expr::SqlError;
use expr::value::Row;
use std::collections::HashSet;
use std::sync::Arc;

pub struct LockingScan<'q> {
    scan: &'q Scan,
    lock: ScanLock,
    locker: Arc<dyn Locker>,
    filter: Option<Predicate<'q>>,
    /// Rows that are still wanted, where that is known.
    goal: Option<u64>,
    state: State,
    scope: Scope<'q>,
}

enum State {
    Unopened,
    /// The range is locked.
    Range {
        index: usize,
        source: Source,
    },
    /// This much of the range is not locked yet; as many rows are looked at next.
    Pieces {
        index: usize,
        rest: KeyRange,
        descending: bool,
        rows: usize,
    },
    /// Rows are locked one by one. Those were found and wait to be locked.
    Rows {
        source: Source,
        found: Vec<Key>,
    },
    Finished,
}

impl<'q> LockingScan<'q> {
    pub fn new(
        scan: &'q Scan,
        lock: ScanLock,
        locker: Arc<dyn Locker>,
        goal: Option<u64>,
        scope: &Scope<'q>,
    ) -> LockingScan<'q> {
        let filter = scan.filter.as_ref().map(|filter| Predicate::new(filter, scope));
        LockingScan { scan, lock, locker, filter, goal, state: State::Unopened, scope: scope.clone() }
    }

    /// Rows there at once, or what comes next.
    async fn open(&mut self) -> Result<Vec<Row>, SqlError> {
        match access::target(self.scan, &self.scope)? {
            Target::Nothing => self.state = State::Finished,
            Target::Keys { index, keys } => {
                self.state = State::Finished;
                return self.read_points(index, keys).await;
            }
            Target::Range { index, range, descending } => {
                if !self.locker.locks_ranges() || self.lock.wait == Some(LockWait::SkipLocked) {
                    let view = self.locker.newest().await?;
                    let target = Target::Range { index, range, descending };
                    let source = access::source(self.scan, target, &view, None, BATCH_ROWS);
                    self.state = State::Rows { source, found: Vec::new() };
                } else if let Some(goal) = self.goal {
                    let rows = (goal as usize).clamp(1, BATCH_ROWS);
                    self.state = State::Pieces { index, rest: range, descending, rows };
                } else {
                    let locked = self.locker.lock(Vec::new(), vec![range.clone()], self.lock).await?;
                    let target = Target::Range { index, range, descending };
                    let source = access::source(self.scan, target, &locked.view, None, BATCH_ROWS);
                    self.state = State::Range { index, source };
                }
            }
        }
        Ok(Vec::new())
    }

    async fn read_points(&mut self, index: usize, keys: Vec<Key>) -> Result<Vec<Row>, SqlError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let new = self.not_held(&keys);
        let locked = self.locker.lock(keys.clone(), Vec::new(), self.lock).await?;
        let keys = granted(keys, &locked);
        let entries = access::read_keys(&locked.view, keys.clone()).await?;
        self.let_go(without_row(&keys, &entries), &new).await?;
        if index == 0 {
            return self.judge(entries.into_iter().map(StoredRow::from).collect(), &new).await;
        }
        // The rows themselves are read under their own locks.
        let rows = entries.iter().map(|entry| codec::clustered_key_of_entry(&self.scan.table, &entry.row));
        let rows = rows.collect::<Result<Vec<Key>, SqlError>>()?;
        self.lock_rows(rows).await
    }

    /// Locks rows and gives those that meet the filter, as they are now.
    async fn lock_rows(&mut self, keys: Vec<Key>) -> Result<Vec<Row>, SqlError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let new = self.not_held(&keys);
        let locked = self.locker.lock(keys.clone(), Vec::new(), self.lock).await?;
        let keys = granted(keys, &locked);
        let entries = access::read_keys(&locked.view, keys.clone()).await?;
        self.let_go(without_row(&keys, &entries), &new).await?;
        let now = access::rows_of_entries(&self.scan.table, 0, &locked.view, entries).await?;
        self.judge(now, &new).await
    }

    /// Rows that meet the filter; the others are let go where the level allows it.
    async fn judge(&mut self, stored: Vec<StoredRow>, new: &HashSet<Key>) -> Result<Vec<Row>, SqlError> {
        if self.filter.is_none() || new.is_empty() {
            return self.filtered(&stored).await;
        }
        let mut rows = Vec::with_capacity(stored.len());
        let mut unwanted = Vec::new();
        for row in stored {
            let met = self.filtered(std::slice::from_ref(&row)).await?;
            if met.is_empty() {
                unwanted.push(row.key);
            }
            rows.extend(met);
        }
        self.let_go(unwanted, new).await?;
        Ok(rows)
    }

    /// Which keys this call locks for the first time; none where what was locked stays locked anyway.
    fn not_held(&self, keys: &[Key]) -> HashSet<Key> {
        if self.locker.locks_ranges() {
            return HashSet::new();
        }
        keys.iter().filter(|key| !self.locker.holds(key)).cloned().collect()
    }

    async fn let_go(&mut self, mut keys: Vec<Key>, new: &HashSet<Key>) -> Result<(), SqlError> {
        keys.retain(|key| new.contains(key));
        if keys.is_empty() {
            return Ok(());
        }
        self.locker.unlock(keys).await
    }

    /// Locks the next piece of the range and gives its rows.
    async fn next_piece(&mut self) -> Result<Vec<Row>, SqlError> {
        let State::Pieces { index, rest, descending, rows } = &self.state else { return Ok(Vec::new()) };
        let (index, rest, descending, rows) = (*index, rest.clone(), *descending, *rows);
        let wanted = self.goal.unwrap_or(u64::MAX);
        if wanted == 0 || rest.is_empty() {
            self.state = State::Finished;
            return Ok(Vec::new());
        }
        let newest = self.locker.newest().await?;
        let (piece, end) = self.choose_piece(index, &rest, descending, rows, wanted, &newest).await?;
        let locked = self.locker.lock(Vec::new(), vec![piece.clone()], self.lock).await?;
        let mut source = self.source_of(index, piece, descending, None, &locked.view);
        let mut found = Vec::new();
        while let Some(stored) = source.next().await? {
            found.extend(self.rows_in_locked_range(index, stored).await?);
        }
        let left = wanted.saturating_sub(found.len() as u64);
        self.goal = Some(left);
        self.state = match end {
            Some(rest) if left > 0 => {
                State::Pieces { index, rest, descending, rows: rows.saturating_mul(2).min(BATCH_ROWS) }
            }
            _ => State::Finished,
        };
        Ok(found)
    }

    /// How much of `rest` has to be locked for the rows wanted, by the newest data; and what is left behind it.
    async fn choose_piece(
        &mut self,
        index: usize,
        rest: &KeyRange,
        descending: bool,
        rows: usize,
        wanted: u64,
        newest: &ReadView,
    ) -> Result<(KeyRange, Option<KeyRange>), SqlError> {
        let mut source = self.source_of(index, rest.clone(), descending, Some(rows as u64), newest);
        let mut looked_at = 0;
        let mut met = 0;
        let mut last = None;
        'looking: while let Some((entries, stored)) = source.next_with_entries().await? {
            for (entry, row) in entries.into_iter().zip(stored) {
                looked_at += 1;
                last = Some(entry);
                if let Some(row) = row {
                    met += self.filtered(std::slice::from_ref(&row)).await?.len() as u64;
                }
                if met >= wanted {
                    break 'looking;
                }
            }
        }
        let Some(last) = last.filter(|_| met >= wanted || looked_at >= rows) else {
            return Ok((rest.clone(), None));
        };
        Ok(if descending {
            let piece = KeyRange { start: last.clone(), end: rest.end.clone() };
            (piece, Some(KeyRange { start: rest.start.clone(), end: last }))
        } else {
            let mut after = last.to_vec();
            after.push(0);
            let after = Key::from(after);
            let piece = KeyRange { start: rest.start.clone(), end: after.clone() };
            (piece, Some(KeyRange { start: after, end: rest.end.clone() }))
        })
    }

    fn source_of(
        &self,
        index: usize,
        range: KeyRange,
        descending: bool,
        limit: Option<u64>,
        view: &ReadView,
    ) -> Source {
        let direction = if descending { Direction::Backward } else { Direction::Forward };
        Source::of_range(self.scan.table.clone(), index, range, direction, limit, view)
    }

    /// Rows of a range that is locked. Those that an entry of another index led to are locked themselves.
    async fn rows_in_locked_range(&mut self, index: usize, stored: Vec<StoredRow>) -> Result<Vec<Row>, SqlError> {
        if index == 0 {
            return self.filtered(&stored).await;
        }
        self.lock_rows(stored.into_iter().map(|row| row.key).collect()).await
    }

    /// Finds the next rows that meet the filter, and locks as many as are wanted.
    async fn next_rows(&mut self) -> Result<Vec<Row>, SqlError> {
        let State::Rows { source, found } = &mut self.state else { return Ok(Vec::new()) };
        if self.goal == Some(0) {
            self.state = State::Finished;
            return Ok(Vec::new());
        }
        if found.is_empty() {
            let Some(stored) = source.next().await? else {
                self.state = State::Finished;
                return Ok(Vec::new());
            };
            let mut keys = Vec::with_capacity(stored.len());
            for row in stored {
                if !self.filtered(std::slice::from_ref(&row)).await?.is_empty() {
                    keys.push(row.key);
                }
            }
            if let State::Rows { found, .. } = &mut self.state {
                *found = keys;
            }
        }
        let State::Rows { found, .. } = &mut self.state else { return Ok(Vec::new()) };
        let count = self.goal.map_or(found.len(), |goal| found.len().min(usize::try_from(goal).unwrap_or(usize::MAX)));
        let keys: Vec<Key> = found.drain(..count).collect();
        let rows = self.lock_rows(keys).await?;
        self.goal = self.goal.map(|goal| goal.saturating_sub(rows.len() as u64));
        Ok(rows)
    }

    async fn filtered(&mut self, stored: &[StoredRow]) -> Result<Vec<Row>, SqlError> {
        let mut rows = decode(self.scan, stored, &self.scope)?;
        if let Some(filter) = &mut self.filter {
            filter.retain(&mut rows).await?;
        }
        Ok(rows)
    }
}

fn granted(keys: Vec<Key>, locked: &Locked) -> Vec<Key> {
    keys.into_iter().zip(&locked.granted).filter(|(_, granted)| **granted).map(|(key, _)| key).collect()
}

fn without_row(keys: &[Key], entries: &[ScannedRow]) -> Vec<Key> {
    // Keys are looked up in order, and those without a row are left out.
    let mut entries = entries.iter().peekable();
    keys.iter().filter(|key| entries.next_if(|entry| entry.key == **key).is_none()).cloned().collect()
}

#[async_trait]
impl Operator for LockingScan<'_> {
    async fn next(&mut self) -> Result<Option<Vec<Row>>, SqlError> {
        loop {
            self.scope.execution.check()?;
            let rows = match &mut self.state {
                State::Finished => return Ok(None),
                State::Unopened => self.open().await?,
                State::Range { index, source } => {
                    let index = *index;
                    let stored = source.next().await?;
                    match stored {
                        Some(stored) => self.rows_in_locked_range(index, stored).await?,
                        None => {
                            self.state = State::Finished;
                            Vec::new()
                        }
                    }
                }
                State::Pieces { .. } => self.next_piece().await?,
                State::Rows { .. } => self.next_rows().await?,
            };
            if !rows.is_empty() {
                return Ok(Some(rows));
            }
        }
    }
}
