//! A transaction's state: where it reads, what it wrote, what it relied on, and how to take part of it back.
//!
//! No I/O and no clock. The drivers around it ([`crate::txn::snapshot`], [`crate::txn::commit`]) await.
//!
//! Invariants
//! - A write with an `observed` LSN conflicts with anything newer; a blind write never does.
//! - `bytes` is the sum over the buffer, and never above the limit once `write` has answered.
//! - Undoing to a mark gives the buffer that was there at the mark. Locks and observed versions stay: they can only
//!   make a commit fail that would have passed, never the other way round.

use crate::sql::plan::Isolation;
use crate::txn::locking::LockSet;
use crate::txn::open_snapshots::{OpenSnapshot, OpenSnapshots};
use crate::txn::read_view::{ReadView, WriteBuffer};
use crate::txn::spill::{HeldRow, Share, SpillFile, WriteMemory};
use bytes::Bytes;
use common::bulk::BulkLayer;
use common::id::{CommitId, CounterId, Lsn, TxnId};
use common::key::{Key, KeyRange};
use common::service::PageService;
use common::service::wal::{CommitRequest, CounterBump, Mutation, Observed, Write};
use expr::{ErrorCode, SqlError};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// What one buffered write costs beside its key and row, about: two `Bytes` and their share of a tree node.
const WRITE_OVERHEAD_BYTES: usize = 128;

#[derive(Debug)]
pub struct Transaction {
    id: TxnId,
    isolation: Isolation,
    read_only: bool,
    /// Begun by BEGIN or autocommit=0; else it is one statement long.
    explicit: bool,
    /// Where plain reads read, from the first one on (REPEATABLE READ, SERIALIZABLE).
    snapshot: Option<OpenSnapshot>,
    buffer: Arc<WriteBuffer>,
    rows_read: Arc<AtomicU64>,
    bytes: usize,
    bytes_max: usize,
    memory: Held,
    /// Versions that writes build on, by key. Keys in no entry are written blind.
    observed: HashMap<Key, Lsn>,
    /// Keys relied on without a write.
    checks: HashMap<Key, Lsn>,
    counters: HashMap<CounterId, CounterBump>,
    locks: Arc<Mutex<LockSet>>,
    /// What has left the buffer for the store, to be committed with the rest.
    bulk: Vec<BulkLayer>,
    undo: Vec<Undo>,
    savepoints: Vec<(String, UndoMark)>,
    /// See [`CommitRequest::has_waited`].
    has_waited: bool,
}

/// What a key had in the buffer before a write; `None`: nothing.
#[derive(Debug)]
struct Undo {
    key: Key,
    before: Option<Option<HeldRow>>,
}

/// Where the rows are.
#[derive(Debug, Default)]
struct Held {
    /// Of the buffer and of what undoes its writes.
    row_bytes: usize,
    /// Keys written since rows went to the file the last time.
    fresh: Vec<Key>,
    /// What undoes writes before this one is in the file.
    undo_moved: usize,
    file: Option<(Arc<SpillFile>, u64)>,
    share: Option<Share>,
}

/// Where a row is held.
pub enum Place {
    Buffer(Key),
    Undo(usize),
}

/// A place to come back to within a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UndoMark {
    undo: usize,
    bulk: usize,
}

impl Transaction {
    pub fn new(id: TxnId, isolation: Isolation, read_only: bool, explicit: bool) -> Transaction {
        Transaction {
            id,
            isolation,
            read_only,
            explicit,
            snapshot: None,
            buffer: Arc::default(),
            rows_read: Arc::default(),
            bytes: 0,
            bytes_max: usize::MAX,
            memory: Held::default(),
            observed: HashMap::new(),
            checks: HashMap::new(),
            counters: HashMap::new(),
            locks: Arc::default(),
            bulk: Vec::new(),
            undo: Vec::new(),
            savepoints: Vec::new(),
            has_waited: false,
        }
    }

    /// A bound on the bytes held for COMMIT, in memory and in its file.
    pub fn with_limit(self, bytes_max: usize) -> Transaction {
        Transaction { bytes_max, ..self }
    }

    /// Rows that it reads are counted there.
    pub fn counting(self, rows_read: Arc<AtomicU64>) -> Transaction {
        Transaction { rows_read, ..self }
    }

    pub fn id(&self) -> TxnId {
        self.id
    }

    pub fn isolation(&self) -> Isolation {
        self.isolation
    }

    pub fn is_read_only(&self) -> bool {
        self.read_only
    }

    pub fn is_explicit(&self) -> bool {
        self.explicit
    }

    /// True where locking reads lock ranges: nothing they would have found may appear.
    pub fn locks_ranges(&self) -> bool {
        matches!(self.isolation, Isolation::RepeatableRead | Isolation::Serializable)
    }

    pub fn locks(&self) -> Arc<Mutex<LockSet>> {
        self.locks.clone()
    }

    /// It has waited for page servers, or was to and need not.
    pub fn note_waited(&mut self) {
        self.has_waited = true;
    }

    /// True if COMMIT has something to send.
    pub fn has_writes(&self) -> bool {
        !self.buffer.is_empty() || !self.counters.is_empty() || !self.bulk.is_empty()
    }

    /// True if the lock table may know of this transaction.
    pub fn has_locks(&self) -> bool {
        !self.locks.lock().is_empty()
    }

    /// Where plain reads read once that is settled.
    pub fn snapshot(&self) -> Option<Lsn> {
        self.snapshot.as_ref().map(OpenSnapshot::lsn)
    }

    /// Settles where plain reads read: for the whole transaction, but for READ COMMITTED, which asks at each statement.
    pub fn settle_snapshot(&mut self, lsn: Lsn, open: &Arc<OpenSnapshots>) {
        let per_statement = matches!(self.isolation, Isolation::ReadCommitted | Isolation::ReadUncommitted);
        if self.snapshot.is_none() || per_statement {
            self.snapshot = Some(open.open(lsn));
        }
    }

    /// The data at `lsn` with this transaction's writes over it.
    pub fn view(&self, pages: &Arc<dyn PageService>, lsn: Lsn) -> ReadView {
        let (buffer, rows_read) = (self.buffer.clone(), self.rows_read.clone());
        ReadView { pages: pages.clone(), lsn, buffer, known: Default::default(), rows_read }
    }

    /// Puts a row (or deletes with `None`). `observed` is the LSN at which the key was read; `None` for a blind write.
    /// Error 1197 if the transaction would become larger than the limit.
    pub fn write(&mut self, key: Key, row: Option<Bytes>, observed: Option<Lsn>) -> Result<(), SqlError> {
        let row = row.map(HeldRow::Memory);
        let size = cost(&key, &row);
        if self.bytes.saturating_add(size) > self.bytes_max {
            return Err(SqlError::new(
                ErrorCode(1197),
                "Multi-statement transaction required more than 'max_binlog_cache_size' bytes of storage; increase \
                 this mysqld variable and try again",
            ));
        }
        self.memory.row_bytes += row.as_ref().map_or(0, HeldRow::memory_bytes);
        self.memory.fresh.push(key.clone());
        if let Some(lsn) = observed {
            note_observed(&mut self.observed, &key, lsn);
        }
        let before = Arc::make_mut(&mut self.buffer).insert(key.clone(), row);
        self.bytes += size;
        if let Some(before) = &before {
            self.bytes -= cost(&key, before);
        }
        self.undo.push(Undo { key, before });
        Ok(())
    }

    /// Relies on a key without writing it: the commit fails if it has a version newer than `lsn`.
    pub fn check(&mut self, key: Key, lsn: Lsn) {
        note_observed(&mut self.checks, &key, lsn);
    }

    /// Makes counter values permanent with the commit.
    pub fn bump_counter(&mut self, bump: CounterBump) {
        let entry = self.counters.entry(bump.counter).or_insert(bump);
        if bump.reset {
            *entry = bump;
        } else {
            entry.next = entry.next.max(bump.next);
        }
    }

    /// The least value that the counter will have after the commit, as far as this transaction knows.
    pub fn counter_next(&self, counter: CounterId) -> u64 {
        self.counters.get(&counter).map_or(0, |bump| bump.next)
    }

    /// What this transaction has written under a key; the inner `None` for a deletion.
    pub fn written(&self, key: &Key) -> Option<&Option<HeldRow>> {
        self.buffer.get(key)
    }

    /// What was written, wherever it is, about.
    pub fn buffered_bytes(&self) -> usize {
        self.bytes
    }

    /// What of it is in memory, about.
    pub fn memory_bytes(&self) -> usize {
        self.memory.row_bytes + WRITE_OVERHEAD_BYTES * self.undo.len().max(self.buffer.len())
    }

    pub fn row_bytes_in_memory(&self) -> usize {
        self.memory.row_bytes
    }

    pub(super) fn share(&mut self, memory: &Arc<WriteMemory>) -> &mut Share {
        self.memory.share.get_or_insert_with(|| Share::of(memory))
    }

    /// The file that has some of the rows, and where it ends.
    pub(super) fn spill_file(&self) -> Option<(Arc<SpillFile>, u64)> {
        self.memory.file.clone()
    }

    /// Rows that no file has.
    pub(super) fn rows_in_memory(&self) -> Vec<(Place, Bytes)> {
        let fresh = self.memory.fresh.iter().filter_map(|key| match self.buffer.get(key) {
            Some(Some(HeldRow::Memory(row))) => Some((Place::Buffer(key.clone()), row.clone())),
            _ => None,
        });
        let undo = self.undo.iter().enumerate().skip(self.memory.undo_moved);
        let undo = undo.filter_map(|(at, undo)| match &undo.before {
            Some(Some(HeldRow::Memory(row))) => Some((Place::Undo(at), row.clone())),
            _ => None,
        });
        fresh.chain(undo).collect()
    }

    /// All of [`Transaction::rows_in_memory`] are in the file now, which ends there.
    pub(super) fn rows_moved(&mut self, moved: impl Iterator<Item = (Place, HeldRow)>, file: (Arc<SpillFile>, u64)) {
        let buffer = Arc::make_mut(&mut self.buffer);
        for (place, row) in moved {
            match place {
                Place::Buffer(key) => drop(buffer.insert(key, Some(row))),
                Place::Undo(at) => self.undo[at].before = Some(Some(row)),
            }
        }
        self.memory.fresh.clear();
        self.memory.undo_moved = self.undo.len();
        self.memory.row_bytes = 0;
        self.memory.file = Some(file);
    }

    /// Takes the rows of a range out of the buffer, in key order, and what would undo them. The statement at work wrote
    /// all of them, and nothing is stored under their keys: a deletion among them leaves nothing to delete.
    pub fn take_rows(&mut self, range: &KeyRange) -> Vec<(Key, HeldRow)> {
        let buffer = Arc::make_mut(&mut self.buffer);
        let mut taken = buffer.split_off(&range.start);
        if !range.end.is_empty() {
            buffer.append(&mut taken.split_off(&range.end));
        }
        self.forget(&taken);
        self.memory.fresh.retain(|key| !range.contains(key));
        let oldest = self.undo.iter().position(|undo| range.contains(&undo.key)).unwrap_or(self.undo.len());
        let marked = self.savepoints.iter().map(|(_, mark)| mark.undo).max().unwrap_or(0);
        assert!(marked <= oldest, "rows leave the buffer in the statement that wrote them");
        self.undo.retain(|undo| !range.contains(&undo.key));
        self.memory.undo_moved = self.memory.undo_moved.min(oldest);
        taken.into_iter().filter_map(|(key, row)| Some((key, row?))).collect()
    }

    /// These have left the buffer.
    fn forget(&mut self, taken: &WriteBuffer) {
        self.bytes -= taken.iter().map(|(key, row)| cost(key, row)).sum::<usize>();
        let rows = taken.values().flatten().map(HeldRow::memory_bytes).sum::<usize>();
        self.memory.row_bytes = self.memory.row_bytes.saturating_sub(rows);
    }

    /// Takes every write from `start` on out of the buffer, in key order: the commit is next, and names layers instead. What
    /// was locked is relied on as a lock from now on; other versions that were relied on become checks.
    pub fn take_writes(&mut self, start: &Key) -> Vec<(Key, Option<HeldRow>)> {
        let taken = Arc::make_mut(&mut self.buffer).split_off(start);
        let mut locks = self.locks.lock();
        for key in taken.keys() {
            let relied = [self.observed.remove(key), self.checks.remove(key)].into_iter().flatten().min();
            let under_lock = locks.cover_key(key);
            // What was seen before the key was locked may have changed before it was.
            if let Some(lsn) = relied.filter(|lsn| under_lock.is_none_or(|locked| *lsn < locked)) {
                note_observed(&mut self.checks, key, lsn);
            }
        }
        drop(locks);
        self.forget(&taken);
        // Nothing goes to the file any more.
        self.memory.fresh.clear();
        self.memory.undo_moved = 0;
        self.undo.clear();
        self.savepoints.clear();
        taken.into_iter().collect()
    }

    /// Layers that the commit will name.
    pub fn bulk(&self) -> &[BulkLayer] {
        &self.bulk
    }

    pub fn add_bulk(&mut self, layers: Vec<BulkLayer>) {
        self.bulk.extend(layers);
    }

    /// Layers that have the rows of those before.
    pub fn set_bulk(&mut self, layers: Vec<BulkLayer>) {
        self.bulk = layers;
    }

    /// Where the transaction is now: for a statement that may fail halfway.
    pub fn mark(&self) -> UndoMark {
        UndoMark { undo: self.undo.len(), bulk: self.bulk.len() }
    }

    /// Takes back every write since the mark.
    pub fn undo_to(&mut self, mark: UndoMark) {
        self.bulk.truncate(mark.bulk);
        if self.undo.len() <= mark.undo {
            return;
        }
        let buffer = Arc::make_mut(&mut self.buffer);
        for Undo { key, before } in self.undo.drain(mark.undo..).rev() {
            let written = buffer.get(&key);
            self.bytes -= written.map_or(0, |row| cost(&key, row));
            let bytes = written.and_then(|row| row.as_ref()).map_or(0, HeldRow::memory_bytes);
            self.memory.row_bytes = self.memory.row_bytes.saturating_sub(bytes);
            match before {
                Some(row) => {
                    self.bytes += cost(&key, &row);
                    buffer.insert(key, row);
                }
                None => {
                    buffer.remove(&key);
                }
            }
        }
        self.memory.undo_moved = self.memory.undo_moved.min(mark.undo);
        // A savepoint set after the mark cannot be returned to.
        self.savepoints.retain(|(_, savepoint)| savepoint.undo <= mark.undo);
    }

    /// SAVEPOINT: a name set before moves here.
    pub fn savepoint(&mut self, name: &str) {
        self.savepoints.retain(|(other, _)| !same_name(other, name));
        self.savepoints.push((name.to_owned(), self.mark()));
    }

    /// ROLLBACK TO SAVEPOINT: the savepoint stays, later ones go.
    pub fn rollback_to(&mut self, name: &str) -> Result<(), SqlError> {
        let position = self.find_savepoint(name)?;
        let mark = self.savepoints[position].1;
        self.savepoints.truncate(position + 1);
        self.undo_to(mark);
        Ok(())
    }

    /// RELEASE SAVEPOINT: this one and later ones go, no write is taken back.
    pub fn release_savepoint(&mut self, name: &str) -> Result<(), SqlError> {
        let position = self.find_savepoint(name)?;
        self.savepoints.truncate(position);
        Ok(())
    }

    fn find_savepoint(&self, name: &str) -> Result<usize, SqlError> {
        self.savepoints
            .iter()
            .position(|(other, _)| same_name(other, name))
            .ok_or_else(|| SqlError::new(ErrorCode::SP_DOES_NOT_EXIST, format!("SAVEPOINT {name} does not exist")))
    }

    /// Everything the commit has to say. The buffer goes into it; the transaction is over.
    pub fn into_commit(self, commit_id: CommitId) -> Result<CommitRequest, SqlError> {
        let Transaction { id, buffer, observed, mut checks, counters, locks, bulk, has_waited, .. } = self;
        let locks = locks.lock();
        let buffer = Arc::try_unwrap(buffer).unwrap_or_else(|shared| (*shared).clone());
        for (key, lsn) in locks.iter().filter(|(key, _)| !buffer.contains_key(*key)) {
            note_observed(&mut checks, key, lsn);
        }
        // A key that was written and then taken back is still one whose version was relied on, through its lock.
        let writes: Vec<Write> = buffer
            .into_iter()
            .map(|(key, row)| {
                let lsn = [observed.get(&key).copied(), locks.observed(&key), checks.remove(&key)];
                let observed = lsn.into_iter().flatten().min().unwrap_or(Lsn::MAX);
                let row = row.map(|row| row.load()).transpose()?;
                Ok(Write { mutation: Mutation { key, row }, observed })
            })
            .chain(bulk.iter().map(|layer| Ok(Write { mutation: layer.record(), observed: Lsn::MAX })))
            .collect::<Result<_, SqlError>>()?;
        let checks = checks.into_iter().map(|(key, lsn)| Observed { key, lsn }).collect();
        Ok(CommitRequest {
            checks,
            depends_on: locks.undurable(),
            counters: counters.into_values().collect(),
            tenure: locks.tenure(),
            relies_on_locks: locks.relies_on_locks(),
            also_holds: locks.also_holds(),
            has_waited,
            ..CommitRequest::of(commit_id, id, writes)
        })
    }
}

fn same_name(left: &str, right: &str) -> bool {
    left.to_lowercase() == right.to_lowercase()
}

fn cost(key: &Key, row: &Option<HeldRow>) -> usize {
    key.len() + row.as_ref().map_or(0, HeldRow::byte_len) + WRITE_OVERHEAD_BYTES
}

/// The oldest observation counts: what came after it built on it.
fn note_observed(map: &mut HashMap<Key, Lsn>, key: &Key, lsn: Lsn) {
    match map.get_mut(key) {
        Some(oldest) => *oldest = lsn.min(*oldest),
        None => {
            map.insert(key.clone(), lsn);
        }
    }
}

#[cfg(test)]
mod tests;
