//! Leading: the state while this node is the leader, from the first event to the last reply. It decides and awaits nothing.

use super::handed::HandedOn;
use super::lookup::{Answered, Lookup};
use super::{Answer, CommitAnswer, Driver, Event, LockAnswer, stopped};
use crate::WallClock;
use crate::config::WalConfig;
use crate::lock_table::{LockEvent, LockOutcome, LockTable, RequestId};
use crate::metrics::WalMetrics;
use crate::raft::{Applied, CommandKind, Consensus, ProposeError};
use crate::segment::SegmentLog;
use crate::sequencer::{
    ConflictWindow, Counters, Decision, History, Outcomes, Sequencer, SequencerLimits, note_writes,
};
use crate::stream::read_backwards;
use common::env::planted::{Bug, planted};
use common::env::threads;
use common::id::{CommitId, Lsn, NodeId, TabletId, Term, TxnId};
use common::key::{Key, KeyRange};
use common::prepared::{self, PreparedLocks};
use common::service::wal::{
    AllocateRequest, Batch, CommitError, CommitReply, CommitRequest, Deadlock, LockError, LockMode, LockReply,
    LockRequest, LockTarget, LockWait, NewestVersion, WalError,
};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::sync::Arc;
use tokio::time::Instant;

/// Locks of one transaction that pass on before it is durable; remembering more would hold up everybody else.
const HANDED_ON_MAX: usize = 4096;

/// Deadlines of requests that are over may stay for a while: so many beside those that still wait.
const DEADLINES_SLACK: usize = 4096;

/// A proposal and what came of it.
pub struct Proposed {
    /// `None` for commands without transactions.
    pub batch: Option<Batch>,
    pub result: Result<(), ProposeError>,
}

/// Who waits for an LSN to be durable.
#[derive(Default)]
pub struct Waiting {
    /// A transaction with very many locks keeps them until then.
    keeps_locks: Option<TxnId>,
    commits: Vec<CommitAnswer>,
    outcomes: Vec<Answer<Option<Lsn>>>,
    /// Counter values that this LSN reserves.
    allocations: Vec<(u64, Answer<u64>)>,
}

/// Who waits for locks, and for which.
struct LockWaiter {
    reply: LockAnswer,
    keys: Vec<(Key, LockMode)>,
    ranges: Vec<(KeyRange, LockMode)>,
}

pub struct Leading {
    term: Term,
    sequencer: Sequencer,
    locks: LockTable,
    batches_in_flight: usize,
    batches_in_flight_max: usize,
    /// What there was to take when it was told last: LSNs, a trim, and batches in flight.
    told: (Lsn, Option<Lsn>, usize),
    newest_proposed: Lsn,
    waiting: BTreeMap<Lsn, Waiting>,
    lock_answers: HashMap<RequestId, LockWaiter>,
    handed_on: HandedOn,
    lock_deadlines: BinaryHeap<Reverse<(Instant, RequestId)>>,
    /// When the driver looks at them next; `None`: it has not looked yet.
    armed: Option<Instant>,
    latest_deadlock: Option<Deadlock>,
    /// Transactions that are prepared, or on their way to it, with their records' keys. Only what finishes them frees their locks.
    prepared: HashMap<TxnId, Key>,
    clock: WallClock,
    /// What page servers have reported.
    durable: HashMap<TabletId, Lsn>,
    /// Newest trim that was proposed.
    trim: Lsn,
    trim_wanted: Option<Lsn>,
    /// All up to here is archived; `None`: there is no archive.
    archived: Option<Lsn>,
    archive_log_bytes_max: u64,
    applied: Arc<Applied>,
    log: SegmentLog,
    metrics: Arc<WalMetrics>,
}

impl Driver {
    /// Gets ready to lead in `term`: waits until everything earlier is applied, and rebuilds the sequencer.
    pub(super) async fn prepare(&mut self, term: Term) -> Result<Leading, WalError> {
        let unavailable = |reason: String| WalError::Unavailable(reason);
        let mut marks = self.source.applied.watch();
        let mut leadership = self.leadership.clone();
        tokio::select! {
            mark = marks.wait_for(|mark| mark.term >= term.0) => {
                mark.map_err(|error| unavailable(error.to_string()))?;
            }
            _ = leadership.wait_for(|now| now.term != term || !now.is_leader || now.stopped) => {
                return Err(unavailable("another leader was elected meanwhile".to_string()));
            }
            () = stopped(&mut self.stopping) => {
                return Err(unavailable("this node is stopping".to_string()));
            }
        }
        let mark = self.source.applied.mark();
        let mut history = self.source.applied.history().clone();
        if planted(Bug::OutcomesForgotten) {
            history.outcomes = Outcomes::new(self.config.outcomes_max);
        }
        if planted(Bug::CountersForgotten) {
            history.counters = Counters::default();
        }
        let (source, config) = (self.source.clone(), self.config.clone());
        let last_lsn = history.last_lsn;
        let window = threads::blocking(move || rebuild_window(&source, mark.index, last_lsn, &config))
            .await
            .map_err(|error| unavailable(error.to_string()))??;
        let limits = SequencerLimits {
            batch_bytes_max: self.config.batch_bytes_max,
            transaction_bytes_max: self.config.transaction_bytes_max,
            outcomes_max: self.config.outcomes_max,
        };
        Ok(Leading {
            term,
            sequencer: Sequencer::new(term, &history, window, limits),
            locks: inherited_locks(&history, self.config.locks_max),
            prepared: history.prepared.iter().map(|(key, prepared)| (prepared.txn, key.clone())).collect(),
            batches_in_flight: 0,
            newest_proposed: history.last_lsn,
            // Alone, the next one is fetched when the one before is on disk, with all that has gathered by then.
            batches_in_flight_max: match &*self.raft {
                Consensus::Group(_) => self.config.batches_in_flight_max,
                Consensus::Alone(_) => 1,
            },
            told: (Lsn::ZERO, None, 0),
            waiting: BTreeMap::new(),
            lock_answers: HashMap::new(),
            handed_on: HandedOn::default(),
            lock_deadlines: BinaryHeap::new(),
            armed: None,
            latest_deadlock: None,
            clock: self.clock.clone(),
            durable: HashMap::new(),
            trim: mark.trim,
            trim_wanted: None,
            // Until it is known: nothing.
            archived: self.archives.then_some(Lsn::ZERO),
            archive_log_bytes_max: self.config.archive.log_bytes_max,
            applied: self.source.applied.clone(),
            log: self.source.log.clone(),
            metrics: self.metrics.clone(),
        })
    }
}

/// A lock table in which prepared transactions hold what they held under earlier leaders.
fn inherited_locks(history: &History, locks_max: usize) -> LockTable {
    let mut table = LockTable::new(locks_max);
    if planted(Bug::PreparedLocksForgotten) {
        return table;
    }
    for (number, PreparedLocks { txn, locks }) in history.prepared.values().enumerate() {
        let (mut keys, mut ranges) = (Vec::new(), Vec::new());
        for (target, mode) in locks {
            match target {
                LockTarget::Key(key) => keys.push((key.clone(), *mode)),
                LockTarget::Range(range) => ranges.push((range.clone(), *mode)),
            }
        }
        // Requests of callers are numbered from below.
        let request = RequestId(u64::MAX - number as u64);
        let events = table.acquire(request, *txn, keys, ranges, LockWait::NoWait);
        if !matches!(events[..], [LockEvent { outcome: LockOutcome::Granted(_), .. }]) {
            tracing::error!(
                ?txn,
                ?events,
                "a prepared transaction has not got its locks; it may have to be rolled back"
            );
        }
    }
    table
}

/// The window that a leader needs whose history ends at `last_lsn`, from the newest part of the log.
fn rebuild_window(
    source: &crate::stream::StreamSource,
    last_index: Option<u64>,
    last_lsn: Lsn,
    config: &WalConfig,
) -> Result<ConflictWindow, WalError> {
    let keys_max = config.conflict_window_keys_max;
    let rebuilt_max = keys_max.min(config.conflict_window_rebuilt_max);
    if planted(Bug::WindowForgotten) {
        return Ok(ConflictWindow::new(keys_max, Lsn::ZERO));
    }
    let Some(last_index) = last_index else {
        return Ok(ConflictWindow::new(keys_max, last_lsn));
    };
    let mut keys = 0;
    let batches = read_backwards(source, last_index, |batch| {
        keys += batch.transactions.iter().map(|transaction| transaction.mutations.len()).sum::<usize>();
        keys >= rebuilt_max
    })?;
    let floor = batches.last().map_or(last_lsn, |oldest| Lsn(oldest.first_lsn.0 - 1));
    let mut window = ConflictWindow::new(keys_max, floor);
    for transaction in batches.iter().rev().flat_map(|batch| &batch.transactions) {
        note_writes(&mut window, transaction.lsn, &transaction.mutations);
    }
    Ok(window)
}

impl Leading {
    pub fn term(&self) -> Term {
        self.term
    }

    pub fn last_lsn(&self) -> Lsn {
        self.sequencer.last_lsn()
    }

    /// The forming batch is full and cannot leave yet: events have to wait in their queue.
    pub fn is_overloaded(&self) -> bool {
        self.batches_in_flight >= self.batches_in_flight_max && self.sequencer.batch_is_full()
    }

    /// Decides about an event. A commit may need versions that page servers have to be asked for first.
    pub fn handle(&mut self, event: Event) -> Option<Lookup> {
        match event {
            Event::Commit { request, looked_up, reply } => return self.commit(*request, looked_up, reply),
            Event::Lock { id, request, reply } => self.lock(id, request, reply),
            Event::CancelLock(id) => self.cancel_lock(id),
            Event::Unlock { txn, reply } => {
                self.unlock(txn);
                let _ = reply.send(());
            }
            Event::UnlockKeys { txn, keys, reply } => {
                self.unlock_keys(txn, &keys);
                let _ = reply.send(());
            }
            Event::Locks { reply } => drop(reply.send(Ok(self.locks.report()))),
            Event::LatestDeadlock { reply } => drop(reply.send(Ok(self.latest_deadlock.clone()))),
            Event::Outcome { commit, reply } => self.outcome(commit, reply),
            Event::Allocate { request, reply } => self.allocate(request, reply),
            Event::ReportDurable { tablet, lsn, reply } => {
                self.report_durable(tablet, lsn);
                let _ = reply.send(Ok(()));
            }
        }
        None
    }

    /// Decides about a commit and answers at once where that is possible. `Some`: page servers have to be asked first.
    fn commit(
        &mut self,
        mut request: CommitRequest,
        looked_up: Option<Answered>,
        reply: CommitAnswer,
    ) -> Option<Lookup> {
        let attempts = looked_up.as_ref().map_or(0, |answered| answered.attempts);
        let refused = self.write_down_locks(&mut request).err();
        let versions = looked_up.as_ref().map(|answered| &answered.versions);
        let is_new = !self.sequencer.knows(request.commit_id);
        // Asked for by itself, so that its conflict is told, and not one of a row that was written since.
        let unknown = is_new.then(|| self.finishes_unknown(&request)).flatten();
        let outdated = unknown.and_then(|record| self.sequencer.check_keys(std::iter::once(record), versions));
        let decision = match (outdated, self.locked_by_another(&request)) {
            (Some(refusal), _) => refusal,
            (None, Some(key)) if is_new => Decision::Conflict { key, newest: self.sequencer.last_lsn() },
            (None, _) => match refused {
                Some(reason) => Decision::Refused(reason),
                None => self.sequencer.commit(&request, versions),
            },
        };
        if matches!(decision, Decision::Accepted(_)) {
            self.note_prepared(&request);
        }
        match decision {
            Decision::Accepted(lsn) if self.prepared.contains_key(&request.txn) => {
                self.waiting.insert(lsn, Waiting { commits: vec![reply], ..Waiting::default() });
            }
            Decision::Accepted(lsn) => {
                let keeps_locks = (self.locks.held_count(request.txn) > HANDED_ON_MAX).then_some(request.txn);
                let mut commits = vec![reply];
                if planted(Bug::EarlyAcknowledgement) {
                    commits.drain(..).for_each(|reply| drop(reply.send(Ok(CommitReply { lsn }))));
                }
                self.waiting.insert(lsn, Waiting { keeps_locks, commits, ..Waiting::default() });
                if keeps_locks.is_none() && !planted(Bug::LockNotPassedOn) {
                    // Its place in the order is certain; whoever gets its locks is told its rows and its LSN.
                    let mut locks = self.locks.held_by(request.txn);
                    if !self.sequencer.has_its_locks(&request) {
                        // Who locks now what it relied on comes after it, as if its locks were still there.
                        let relied = request.checks.iter().map(|check| LockTarget::Key(check.key.clone()));
                        locks.extend(relied.map(|key| (key, LockMode::Shared)));
                    }
                    self.handed_on.insert(locks, lsn);
                    self.unlock(request.txn);
                }
            }
            Decision::InFlight(lsn) => {
                if let Some(waiting) = self.waiting.get_mut(&lsn) {
                    waiting.commits.push(reply);
                }
            }
            Decision::Committed(lsn) => {
                self.unlock(request.txn);
                let _ = reply.send(Ok(CommitReply { lsn }));
            }
            Decision::NothingToWrite => {
                self.unlock(request.txn);
                let _ = reply.send(Ok(CommitReply { lsn: self.applied.mark().lsn }));
            }
            Decision::Conflict { key, newest } => {
                self.metrics.conflicts.inc();
                let _ = reply.send(Err(CommitError::Conflict { key, newest }));
            }
            Decision::LocksLost => {
                self.metrics.conflicts.inc();
                let _ = reply.send(Err(CommitError::LocksLost));
            }
            Decision::NeedsLookup { keys, applied } => {
                // At least what is committed now, so that the window has time to move before the answer is too old.
                let applied = applied.max(self.applied.mark().lsn);
                return Some(Lookup { request, keys, applied, attempts, reply });
            }
            Decision::Refused(reason) => {
                let _ = reply.send(Err(CommitError::Refused(reason)));
            }
        }
        None
    }

    /// The record, and when it was observed, of a transaction which the commit finishes and which is not prepared, as far as
    /// this leader knows: somebody else has finished it, and its locks may be others' by now. Then its version is looked
    /// at before locks.
    fn finishes_unknown<'r>(&self, request: &'r CommitRequest) -> Option<(&'r Key, Lsn)> {
        let mut finished = request.writes.iter().filter(|write| write.mutation.row.is_none());
        let is_unknown =
            |key: &Key| prepared::name_of(key).is_some() && !self.prepared.values().any(|known| known == key);
        finished.find(|write| is_unknown(&write.mutation.key)).map(|write| (&write.mutation.key, write.observed))
    }

    /// Puts the locks of a transaction that prepares into its record.
    fn write_down_locks(&self, request: &mut CommitRequest) -> Result<(), String> {
        for write in request.writes.iter_mut().filter(|write| prepared::name_of(&write.mutation.key).is_some()) {
            let Some(row) = &write.mutation.row else { continue };
            let head = prepared::decode_head(row).map_err(|error| error.to_string())?;
            if head.txn != request.txn {
                return Err("a transaction prepares another one".to_string());
            }
            let with_locks = prepared::with_locks(row, self.locks.held_by(head.txn));
            write.mutation.row = Some(with_locks.map_err(|error| error.to_string())?);
        }
        Ok(())
    }

    /// A commit has its LSN: what it prepares keeps its locks from now on, what it finishes does not any more.
    fn note_prepared(&mut self, request: &CommitRequest) {
        for write in request.writes.iter().filter(|write| prepared::name_of(&write.mutation.key).is_some()) {
            match write.mutation.row {
                Some(_) => drop(self.prepared.insert(request.txn, write.mutation.key.clone())),
                None => self.prepared.retain(|_, key| *key != write.mutation.key),
            }
        }
    }

    /// A key of the commit that somebody else has locked against it. One that has lost its locks, to another leader or with
    /// its connection, must not go past those who hold them now: they rely on what they have locked, and no version stands
    /// for a range or for what is not there. Who has its locks is not looked at: entries of indexes that go with a row
    /// need no lock but the row's, and may be in a range that somebody has got before the row.
    fn locked_by_another(&self, request: &CommitRequest) -> Option<Key> {
        if self.sequencer.has_its_locks(request) || planted(Bug::LocksNotHonoured) {
            return None;
        }
        let own = |txn: TxnId| txn == request.txn || request.also_holds.contains(&txn);
        let writes = request.writes.iter().map(|write| (&write.mutation.key, LockMode::Exclusive));
        let checks = request.checks.iter().map(|check| (&check.key, LockMode::Shared));
        writes
            .chain(checks)
            .find(|(key, mode)| self.locks.is_locked_against(key, *mode, own))
            .map(|(key, _)| key.clone())
    }

    fn outcome(&mut self, commit: CommitId, reply: Answer<Option<Lsn>>) {
        match self.sequencer.outcome(commit) {
            Decision::Committed(lsn) => drop(reply.send(Ok(Some(lsn)))),
            Decision::InFlight(lsn) => {
                if let Some(waiting) = self.waiting.get_mut(&lsn) {
                    waiting.outcomes.push(reply);
                }
            }
            _ => drop(reply.send(Ok(None))),
        }
    }

    fn allocate(&mut self, request: AllocateRequest, reply: Answer<u64>) {
        let (first, after) = self.sequencer.allocate(request.counter, request.count, request.at_least);
        match after.filter(|_| !planted(Bug::ReservationNotAwaited)) {
            Some(lsn) => self.waiting.entry(lsn).or_default().allocations.push((first, reply)),
            None => drop(reply.send(Ok(first))),
        }
    }

    fn lock(&mut self, id: RequestId, request: LockRequest, reply: LockAnswer) {
        let waiter = LockWaiter { reply, keys: request.keys.clone(), ranges: request.ranges.clone() };
        self.lock_answers.insert(id, waiter);
        let wait = request.wait;
        let events = self.locks.acquire(id, request.txn, request.keys, request.ranges, wait);
        self.answer_locks(events);
        if let LockWait::Timeout(limit) = wait
            && self.lock_answers.contains_key(&id)
        {
            // A year is as good as forever, and does not overflow.
            let limit = limit.min(std::time::Duration::from_secs(365 * 24 * 3600));
            self.lock_deadlines.push(Reverse((Instant::now() + limit, id)));
            if self.lock_deadlines.len() > 2 * self.lock_answers.len() + DEADLINES_SLACK {
                // Most of them were granted long before.
                let waiting = &self.lock_answers;
                self.lock_deadlines.retain(|Reverse((_, id))| waiting.contains_key(id));
            }
        }
    }

    fn cancel_lock(&mut self, id: RequestId) {
        self.lock_answers.remove(&id);
        let events = self.locks.timeout(id);
        self.answer_locks(events);
    }

    fn unlock(&mut self, txn: TxnId) {
        if self.prepared.contains_key(&txn) {
            return;
        }
        let events = self.locks.release(txn);
        self.answer_locks(events);
    }

    fn unlock_keys(&mut self, txn: TxnId, keys: &[Key]) {
        if self.prepared.contains_key(&txn) {
            return;
        }
        let events = self.locks.release_keys(txn, keys);
        self.answer_locks(events);
    }

    /// When the driver has to look at deadlines next; it comes by at `comes_by` in any case.
    pub fn arm(&mut self, comes_by: Instant) -> Option<Instant> {
        let first = self.next_lock_deadline();
        self.armed = Some(first.map_or(comes_by, |first| first.min(comes_by)));
        first
    }

    /// There is a deadline before the driver comes by.
    pub fn has_earlier_deadline(&self) -> bool {
        let first = self.lock_deadlines.peek().map(|Reverse((deadline, _))| *deadline);
        first.is_some_and(|first| self.armed.is_none_or(|armed| first < armed))
    }

    fn next_lock_deadline(&mut self) -> Option<Instant> {
        while let Some(Reverse((deadline, id))) = self.lock_deadlines.peek() {
            if self.lock_answers.contains_key(id) {
                return Some(*deadline);
            }
            self.lock_deadlines.pop();
        }
        None
    }

    pub fn expire_locks(&mut self, now: Instant) {
        while let Some(Reverse((deadline, id))) = self.lock_deadlines.peek().copied()
            && deadline <= now
        {
            self.lock_deadlines.pop();
            let events = self.locks.timeout(id);
            self.answer_locks(events);
        }
    }

    fn answer_locks(&mut self, events: Vec<LockEvent>) {
        if let Some((waits, victim)) = self.locks.take_deadlock() {
            self.latest_deadlock = Some(Deadlock { time_us: (self.clock)(), waits, victim });
        }
        for event in events {
            let waiter = self.lock_answers.remove(&event.request);
            let answer = match event.outcome {
                LockOutcome::Granted(granted) => match &waiter {
                    Some(waiter) => Ok(self.granted(waiter, granted)),
                    None => continue,
                },
                LockOutcome::NotAvailable => Err(LockError::NotAvailable),
                LockOutcome::Timeout => {
                    self.metrics.lock_timeouts.inc();
                    Err(LockError::Timeout)
                }
                LockOutcome::Deadlock => {
                    self.metrics.deadlocks.inc();
                    Err(LockError::Deadlock)
                }
                LockOutcome::Full => Err(LockError::Full),
                LockOutcome::Refused(reason) => Err(LockError::Wal(WalError::Unavailable(reason.to_string()))),
            };
            if let Some(waiter) = waiter {
                let _ = waiter.reply.send(answer);
            }
        }
    }

    /// What a new holder has to know: where it reads, and what is not there yet.
    fn granted(&self, waiter: &LockWaiter, granted: Vec<bool>) -> LockReply {
        // Before the rows in flight are looked at: what leaves them afterwards is at or below this.
        let durable = self.applied.mark().lsn;
        let mut reply =
            LockReply { lsn: durable, granted, newest: Vec::new(), term: self.term, undurable: None, session: 0 };
        let rows = self.sequencer.rows_in_flight();
        if self.handed_on.is_empty() && rows.is_empty() || planted(Bug::LostHandOver) {
            return reply;
        }
        let mut after = Lsn::ZERO;
        for (position, (key, mode)) in waiter.keys.iter().enumerate() {
            after = after.max(self.handed_on.before_key(key, *mode));
            let layer = rows.newest_layer(key);
            if let Some((lsn, row)) = rows.newest(key).filter(|(lsn, _)| *lsn > durable && Some(*lsn) > layer) {
                reply.newest.push(NewestVersion { key: position as u32, lsn: *lsn, row: row.clone() });
                after = after.max(*lsn);
            }
            if let Some(layer) = layer {
                // Its row is not at hand: it is to be read, there or later.
                reply.lsn = reply.lsn.max(layer);
                after = after.max(layer);
            }
        }
        for (range, mode) in &waiter.ranges {
            let newest = rows.newest_in(range).unwrap_or_default();
            reply.lsn = reply.lsn.max(newest);
            after = after.max(newest).max(self.handed_on.before_range(range, *mode));
        }
        reply.undurable = Some(after).filter(|after| *after > durable);
        reply
    }

    fn report_durable(&mut self, tablet: TabletId, lsn: Lsn) {
        let durable = self.durable.entry(tablet).or_default();
        *durable = (*durable).max(lsn);
        self.consider_trim();
    }

    /// All up to here is in layers, as page servers have reported.
    pub fn durable_everywhere(&self) -> Lsn {
        let all = self.sequencer.map().tablets().map(|tablet| self.durable.get(&tablet).copied().unwrap_or_default());
        all.min().unwrap_or_default().min(self.applied.mark().lsn)
    }

    pub fn archived_up_to(&mut self, lsn: Lsn) {
        if self.archived == Some(lsn) {
            return;
        }
        self.archived = Some(lsn);
        self.consider_trim();
    }

    fn consider_trim(&mut self) {
        let mut smallest = self.durable_everywhere();
        if let Some(archived) = self.archived.filter(|archived| *archived < smallest) {
            if self.log.log_bytes() <= self.archive_log_bytes_max {
                smallest = archived;
            } else if smallest > self.trim && self.log.purgeable_up_to_lsn(smallest.0).is_some() {
                tracing::error!(
                    archived = archived.0,
                    trimmed = smallest.0,
                    "the log has reached the size up to which it waits for its archive; what is in layers goes \
                     unarchived, and the archive will have a gap"
                );
            }
        }
        // A trim is an entry of its own: propose it only where it lets a segment go.
        if smallest > self.trim && self.log.purgeable_up_to_lsn(smallest.0).is_some() {
            self.trim_wanted = Some(smallest);
        }
    }

    /// Something may be proposed.
    pub fn has_command(&self) -> bool {
        let has_batch = self.batches_in_flight < self.batches_in_flight_max && self.sequencer.has_batch();
        has_batch || self.trim_wanted.is_some()
    }

    /// What is to be proposed next, if anything may be. It has to be.
    pub fn take_command(&mut self) -> Option<CommandKind> {
        if let Some(lsn) = self.trim_wanted.take() {
            self.trim = lsn;
            return Some(CommandKind::Trim { lsn });
        }
        if self.batches_in_flight >= self.batches_in_flight_max {
            return None;
        }
        let batch = self.sequencer.take_batch((self.clock)())?;
        self.metrics.batch_transactions.observe(batch.transactions.len() as f64);
        self.batches_in_flight += 1;
        self.newest_proposed = batch.last_lsn;
        Some(CommandKind::Batch(batch))
    }

    /// As [`Leading::has_command`], but true once for each thing that has come.
    pub fn has_more_to_take(&mut self) -> bool {
        let now = (self.sequencer.last_lsn(), self.trim_wanted, self.batches_in_flight);
        self.has_command() && std::mem::replace(&mut self.told, now) != now
    }

    /// Something was accepted that is not durable.
    pub fn has_unfinished(&self) -> bool {
        self.batches_in_flight > 0 || self.sequencer.has_batch()
    }

    /// It is not known whether a batch is in the log.
    pub fn proposal_failed(&mut self, batch: &Batch, error: &ProposeError) {
        for transaction in &batch.transactions {
            if let Some(waiting) = self.waiting.remove(&transaction.lsn) {
                fail(waiting, error);
            }
        }
    }

    /// A batch is durable and applied. Those who waited for it, to be answered.
    pub fn durable(&mut self, batch: &Batch) -> Vec<(Lsn, Waiting)> {
        self.batches_in_flight -= 1;
        self.sequencer.applied(batch);
        self.handed_on.durable(batch.last_lsn);
        self.metrics.commits.inc_by(batch.transactions.len() as u64);
        let mut answered = Vec::with_capacity(batch.transactions.len());
        for transaction in &batch.transactions {
            let Some(waiting) = self.waiting.remove(&transaction.lsn) else { continue };
            if let Some(txn) = waiting.keeps_locks {
                self.unlock(txn);
            }
            answered.push((transaction.lsn, waiting));
        }
        answered
    }

    /// Before a clean stop: the log is to say what was handed out, and no more.
    pub fn give_back_reservations(&mut self) {
        self.sequencer.give_back_reservations();
    }

    /// This node does not lead any more: nobody waits in vain.
    pub fn give_up(self, leader: Option<NodeId>) {
        for (lsn, waiting) in self.waiting {
            // What was never proposed will never be in the log; of the rest nobody knows yet.
            let error = if lsn > self.newest_proposed {
                ProposeError::NotLeader(leader)
            } else {
                ProposeError::Unknown("the leader changed".to_string())
            };
            fail(waiting, &error);
        }
        for (_, waiter) in self.lock_answers {
            let _ = waiter.reply.send(Err(LockError::Wal(WalError::NotLeader { leader })));
        }
        self.metrics.locks_held.set(0);
        self.metrics.locks_waiting.set(0);
    }

    pub fn update_gauges(&self) {
        self.metrics.locks_held.set(i64::try_from(self.locks.held()).unwrap_or(i64::MAX));
        self.metrics.locks_waiting.set(i64::try_from(self.locks.waiting()).unwrap_or(i64::MAX));
        self.metrics.committed_lsn.set(i64::try_from(self.applied.mark().lsn.0).unwrap_or(i64::MAX));
    }
}

/// What was waited for is durable.
pub fn answer(lsn: Lsn, waiting: Waiting) {
    for reply in waiting.commits {
        let _ = reply.send(Ok(CommitReply { lsn }));
    }
    for reply in waiting.outcomes {
        let _ = reply.send(Ok(Some(lsn)));
    }
    for (first, reply) in waiting.allocations {
        let _ = reply.send(Ok(first));
    }
}

fn fail(waiting: Waiting, error: &ProposeError) {
    let (commit, outcome) = match error {
        ProposeError::NotLeader(leader) => {
            let error = WalError::NotLeader { leader: *leader };
            (CommitError::Wal(error.clone()), error)
        }
        ProposeError::Unknown(reason) => (CommitError::Unknown(reason.clone()), WalError::Unavailable(reason.clone())),
    };
    for reply in waiting.commits {
        let _ = reply.send(Err(commit.clone()));
    }
    for reply in waiting.outcomes {
        let _ = reply.send(Err(outcome.clone()));
    }
    for (_, reply) in waiting.allocations {
        let _ = reply.send(Err(outcome.clone()));
    }
}
