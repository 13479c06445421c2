//! A transaction as compute's `txn` module makes it: locks, reads at what the locks say, observed versions, one commit.

use crate::remote::Remote;
use crate::sim::Sim;
use bytes::Bytes;
use common::id::{CommitId, CounterId, Lsn, Term, TxnId};
use common::key::{Key, KeyRange};
use common::prepared::{self, PreparedCommit, PreparedLocks};
use common::service::page::{
    BulkFinished, BulkRow, Direction, GetRequest, PageError, ScanBatch, ScanOutput, ScanRequest, ScannedRow,
};
use common::service::wal::*;
use common::service::{PageService, WalService};
use futures::StreamExt;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// Why a transaction did not commit; it had no effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    Conflict,
    Deadlock,
    LockTimeout,
    /// Nobody answered in time. What a commit came to is not known then.
    NoAnswer(String),
}

pub struct Txn {
    sim: Arc<Sim>,
    remote: Arc<Remote>,
    id: TxnId,
    /// The first LSN at which each key was seen under its lock.
    locked: BTreeMap<Key, Lsn>,
    /// Rows that came with locks.
    known: BTreeMap<Key, (Lsn, Option<Bytes>)>,
    /// Where reads under locks read.
    lsn: Lsn,
    undurable: Option<Undurable>,
    /// Of the oldest of its locks.
    tenure: Option<Tenure>,
    /// It relies on them beyond the versions of keys: on ranges, or on what others cannot do meanwhile.
    relies_on_locks: bool,
    /// Keys whose locks stand for their versions.
    covered: BTreeSet<Key>,
    /// Of all locks, as long as there was one leader.
    term: Option<Term>,
    terms_differ: bool,
    writes: BTreeMap<Key, (Option<Bytes>, Option<Lsn>)>,
    checks: BTreeMap<Key, Lsn>,
    counters: Vec<CounterBump>,
    has_locks: bool,
    /// It finishes a prepared one, so nothing but another one that does may stand in its way.
    finishes: bool,
    /// What was read before it was durable, to be checked against the log.
    read: Vec<(Key, Lsn, Option<Bytes>)>,
}

impl Txn {
    pub fn new(sim: &Arc<Sim>, remote: &Arc<Remote>) -> Txn {
        Txn {
            sim: sim.clone(),
            remote: remote.clone(),
            id: TxnId(sim.random.u128()),
            locked: BTreeMap::new(),
            known: BTreeMap::new(),
            lsn: Lsn::ZERO,
            undurable: None,
            tenure: None,
            relies_on_locks: false,
            covered: BTreeSet::new(),
            term: None,
            terms_differ: false,
            writes: BTreeMap::new(),
            checks: BTreeMap::new(),
            counters: Vec::new(),
            has_locks: false,
            finishes: false,
            read: Vec::new(),
        }
    }

    fn tell(&self, what: impl FnOnce() -> String) {
        self.sim.event(|| format!("txn {:08x} {}", self.id.0 as u32, what()));
    }

    /// Locks keys and ranges for writing.
    pub async fn lock(&mut self, keys: Vec<Key>, ranges: Vec<KeyRange>) -> Result<(), Failure> {
        self.lock_as(keys, LockMode::Exclusive, ranges).await
    }

    /// Locks keys against writers.
    pub async fn lock_shared(&mut self, keys: Vec<Key>) -> Result<(), Failure> {
        self.lock_as(keys, LockMode::Shared, Vec::new()).await
    }

    /// See `LockSet::rely_on_locks` of compute.
    pub fn rely_on_locks(&mut self) {
        self.relies_on_locks = true;
    }

    async fn lock_as(&mut self, keys: Vec<Key>, mode: LockMode, ranges: Vec<KeyRange>) -> Result<(), Failure> {
        self.has_locks = true;
        let request = LockRequest {
            txn: self.id,
            keys: keys.iter().map(|key| (key.clone(), mode)).collect(),
            ranges: ranges.into_iter().map(|range| (range, LockMode::Exclusive)).collect(),
            wait: LockWait::Timeout(Duration::from_secs(5)),
        };
        let has_ranges = !request.ranges.is_empty();
        self.tell(|| format!("locks {}", names(&keys)));
        let reply = match self.remote.lock(request).await {
            Ok(reply) => reply,
            Err(LockError::Deadlock) => return Err(Failure::Deadlock),
            Err(LockError::Timeout | LockError::NotAvailable | LockError::Full) => return Err(Failure::LockTimeout),
            Err(LockError::Wal(error)) => return Err(Failure::NoAnswer(error.to_string())),
        };
        self.tell(|| format!("has its locks at LSN {}, term {}, after {:?}", reply.lsn, reply.term, reply.undurable));
        let tenure = reply.tenure();
        for newest in reply.newest {
            self.known.insert(keys[newest.key as usize].clone(), (newest.lsn, newest.row));
        }
        for key in keys {
            let lsn = self.known.get(&key).map_or(reply.lsn, |(lsn, _)| *lsn);
            self.locked.entry(key).or_insert(lsn);
        }
        self.relies_on_locks |= has_ranges;
        self.tenure = Some(self.tenure.map_or(tenure, |oldest| oldest.min(tenure)));
        self.terms_differ |= self.term.is_some_and(|term| term != reply.term);
        self.term.get_or_insert(reply.term);
        self.lsn = self.lsn.max(reply.lsn);
        if let Some(lsn) = reply.undurable {
            self.lsn = self.lsn.max(lsn);
            let version = Undurable { term: reply.term, lsn };
            if self.undurable.is_none_or(|known| known.term == version.term && known.lsn < version.lsn) {
                self.undurable = Some(version);
            }
        }
        Ok(())
    }

    /// Reads keys at the newest LSN there is, without locks; writes of these are checked against it.
    pub async fn begin_optimistic(&mut self) -> Result<Lsn, Failure> {
        self.lsn = read_lsn(&self.sim, &self.remote).await?;
        Ok(self.lsn)
    }

    /// Rows with their versions, under locks or at the snapshot.
    pub async fn get(&mut self, keys: &[Key]) -> Result<Vec<Option<Bytes>>, Failure> {
        let asked: Vec<Key> = keys.iter().filter(|key| !self.known.contains_key(*key)).cloned().collect();
        let found = get(&self.sim, &self.remote, self.lsn, &asked).await?;
        let mut stored: BTreeMap<Key, Option<Bytes>> = asked.into_iter().zip(found).collect();
        let mut rows = Vec::with_capacity(keys.len());
        for key in keys {
            rows.push(match self.known.get(key) {
                Some((lsn, row)) => {
                    self.read.push((key.clone(), *lsn, row.clone()));
                    row.clone()
                }
                None => stored.remove(key).flatten(),
            });
        }
        Ok(rows)
    }

    /// Keys and rows of a range, under its lock.
    pub async fn scan(&mut self, range: KeyRange) -> Result<Vec<(Key, Bytes)>, Failure> {
        scan(&self.sim, &self.remote, self.lsn, range).await
    }

    pub fn lsn(&self) -> Lsn {
        self.lsn
    }

    pub fn put(&mut self, key: Key, row: Option<Bytes>) {
        let observed = self.locked.get(&key).copied().unwrap_or(self.lsn);
        self.writes.insert(key, (row, Some(observed)));
    }

    pub fn put_blind(&mut self, key: Key, row: Bytes) {
        self.writes.insert(key, (Some(row), None));
    }

    pub fn check(&mut self, key: Key) {
        self.checks.insert(key, self.lsn);
    }

    pub fn bump(&mut self, counter: CounterId, next: u64) {
        self.counters.push(CounterBump { counter, next, reset: false });
    }

    /// What was read may be shown: waits until it is durable.
    pub async fn show(&mut self) -> Result<(), Failure> {
        if let Some(version) = self.undurable {
            match self.remote.wait_durable(version).await {
                Ok(true) => {}
                Ok(false) => return Err(Failure::Conflict),
                Err(error) => return Err(Failure::NoAnswer(error.to_string())),
            }
        }
        for (key, lsn, row) in std::mem::take(&mut self.read) {
            self.sim.ledger.shown(&self.sim, key, lsn, row);
        }
        Ok(())
    }

    pub async fn commit(mut self) -> Result<Lsn, Failure> {
        let only_locked = !self.terms_differ && self.writes.keys().all(|key| self.locked.contains_key(key));
        let request = self.request();
        self.send(request, only_locked).await
    }

    /// As `txn::past_log` of compute: the writes, all of them under locks, become layers, and the commit names these.
    pub async fn commit_past_log(mut self) -> Result<Lsn, Failure> {
        match self.write_layers().await {
            Ok(()) => self.commit().await,
            Err(failure) => {
                self.unlock().await;
                Err(failure)
            }
        }
    }

    async fn write_layers(&mut self) -> Result<(), Failure> {
        self.tell(|| "writes layers".to_string());
        let failure = |error| match error {
            // Another page server has taken over.
            PageError::BadRequest(_) => Failure::Conflict,
            other => no_answer(other),
        };
        let writes = std::mem::take(&mut self.writes);
        let rows: Vec<BulkRow> = writes.iter().map(|(key, (row, _))| (key.clone(), row.clone())).collect();
        let layers = self.remote.bulk_write(rows).await.map_err(failure)?;
        let BulkFinished::Ready(layers) = self.remote.bulk_finish(layers).await.map_err(failure)? else {
            self.sim.violation("a transaction has a key twice".to_string());
            return Err(Failure::Conflict);
        };
        for layer in layers {
            let of_layer = writes.range(layer.first.clone()..=layer.last.clone());
            let of_layer = of_layer.map(|(key, (row, at))| ((key.clone(), row.clone()), at.unwrap_or(Lsn::MAX)));
            let record = layer.record();
            self.sim.ledger.bulk(record.key.clone(), of_layer.collect());
            self.put_blind(record.key, record.row.expect("a record names a layer"));
        }
        self.relies_on_locks = true;
        self.covered = writes.into_keys().collect();
        Ok(())
    }

    /// As `txn::prepared::prepare` of compute: what the commit would say becomes a record, and the locks stay.
    pub async fn prepare(mut self, name: &[u8]) -> Result<Lsn, Failure> {
        let commit = self.request();
        let of_writes = commit.writes.iter().filter(|write| write.observed != Lsn::MAX);
        let of_writes = of_writes.map(|write| Observed { key: write.mutation.key.clone(), lsn: write.observed });
        let checks = commit.checks.iter().cloned().chain(of_writes).collect();
        let head = PreparedLocks { txn: self.id, locks: Vec::new() };
        let said = PreparedCommit { writes: commit.writes, checks: commit.checks, counters: commit.counters };
        let mutation = Mutation { key: prepared::key_of(name), row: Some(prepared::encode(&head, &said)) };
        let request = CommitRequest {
            writes: vec![Write { mutation, observed: Lsn::MAX }],
            checks,
            counters: Vec::new(),
            relies_on_locks: true,
            ..commit
        };
        self.tell(|| "prepares".to_string());
        self.send(request, false).await
    }

    fn request(&mut self) -> CommitRequest {
        let commit_id = CommitId(self.sim.random.u128());
        let writes = std::mem::take(&mut self.writes).into_iter();
        let writes: Vec<Write> = writes
            .map(|(key, (row, observed))| Write {
                mutation: Mutation { key, row },
                observed: observed.unwrap_or(Lsn::MAX),
            })
            .collect();
        let mut checks = std::mem::take(&mut self.checks);
        // As compute does it: a conflict is told of the record first, and then somebody else has finished what it stands for.
        let mut writes = writes;
        writes.sort_by_key(|write| prepared::name_of(&write.mutation.key).is_none());
        for (key, lsn) in &self.locked {
            if !self.covered.contains(key) && !writes.iter().any(|write| write.mutation.key == *key) {
                checks.entry(key.clone()).or_insert(*lsn);
            }
        }
        CommitRequest {
            checks: checks.into_iter().map(|(key, lsn)| Observed { key, lsn }).collect(),
            depends_on: self.undurable,
            tenure: self.tenure,
            relies_on_locks: self.relies_on_locks,
            counters: std::mem::take(&mut self.counters),
            ..CommitRequest::of(commit_id, self.id, writes)
        }
    }

    async fn send(mut self, request: CommitRequest, only_locked: bool) -> Result<Lsn, Failure> {
        let commit_id = request.commit_id;
        self.tell(|| "commits".to_string());
        let before = self.sim.ledger.acknowledged_max();
        if !self.terms_differ
            && let Some(term) = self.term
        {
            self.sim.ledger.locked(commit_id, term, self.locked.keys().cloned().collect());
        }
        let answer = match self.remote.commit(request).await {
            Ok(reply) => Ok(reply.lsn),
            Err(CommitError::Conflict { key, newest }) => {
                if self.finishes && prepared::name_of(&key).is_none() {
                    self.sim.violation(format!(
                        "what was prepared cannot be finished: key {key:02x?} has version {newest}"
                    ));
                }
                if only_locked && self.same_leader().await {
                    self.sim.ledger.conflicted(&self.sim, key, newest, self.term);
                }
                Err(Failure::Conflict)
            }
            Err(CommitError::LocksLost) => Err(Failure::Conflict),
            Err(CommitError::Refused(reason)) => Err(Failure::NoAnswer(reason)),
            Err(CommitError::Unknown(reason)) => self.learn_outcome(commit_id, reason).await,
            Err(CommitError::Wal(error)) => Err(Failure::NoAnswer(error.to_string())),
        };
        match &answer {
            Ok(lsn) => {
                self.sim.ledger.acknowledged(&self.sim, commit_id, *lsn, before);
                for (key, lsn, row) in std::mem::take(&mut self.read) {
                    self.sim.ledger.shown(&self.sim, key, lsn, row);
                }
            }
            Err(_) => self.unlock().await,
        }
        answer
    }

    async fn learn_outcome(&self, commit: CommitId, reason: String) -> Result<Lsn, Failure> {
        match self.remote.outcome(commit).await {
            Ok(Some(lsn)) => Ok(lsn),
            Ok(None) => {
                self.sim.ledger.refused(&self.sim, commit);
                Err(Failure::Conflict)
            }
            Err(_) => Err(Failure::NoAnswer(reason)),
        }
    }

    /// Whether the leader that granted the locks leads still, and is the one that answers.
    async fn same_leader(&self) -> bool {
        self.remote.true_leader().await.is_some_and(|leader| Some(leader) == self.term)
    }

    async fn unlock(&self) {
        if self.has_locks {
            // What cannot be unlocked now is told again: as a compute does that must not leave locks behind.
            self.tell(|| "unlocks".to_string());
            for _ in 0..5 {
                if self.remote.unlock(self.id).await.is_ok() {
                    return;
                }
            }
        }
    }

    pub async fn roll_back(self) {
        self.unlock().await;
    }
}

/// The last parts of keys, for the trace.
fn names(keys: &[Key]) -> String {
    let name = |key: &Key| format!("{}/{}", key.get(3).copied().unwrap_or(0), key.last().copied().unwrap_or(0));
    keys.iter().map(name).collect::<Vec<_>>().join(" ")
}

fn no_answer(error: PageError) -> Failure {
    Failure::NoAnswer(error.to_string())
}

/// A read LSN, checked: at least every commit that was acknowledged before.
pub async fn read_lsn(sim: &Arc<Sim>, remote: &Arc<Remote>) -> Result<Lsn, Failure> {
    let before = sim.ledger.acknowledged_max();
    let lsn = remote.read_lsn().await.map_err(|error| Failure::NoAnswer(error.to_string()))?.lsn;
    if lsn < before {
        sim.violation(format!("a stale read: LSN {lsn} is given after LSN {before} was acknowledged"));
    }
    Ok(lsn)
}

/// Rows at an LSN, checked against the log.
pub async fn get(sim: &Arc<Sim>, remote: &Arc<Remote>, lsn: Lsn, keys: &[Key]) -> Result<Vec<Option<Bytes>>, Failure> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let found = remote.get(GetRequest { lsn, keys: keys.to_vec() }).await.map_err(no_answer)?;
    for (key, version) in keys.iter().zip(&found) {
        let version = version.as_ref().map(|version| (version.lsn, version.row.clone()));
        sim.ledger.read(sim, lsn, key.clone(), version);
    }
    Ok(found.into_iter().map(|version| version.map(|version| version.row)).collect())
}

/// Records of what is prepared: key, LSN, row.
pub async fn prepared(sim: &Arc<Sim>, remote: &Arc<Remote>) -> Result<Vec<(Key, Lsn, Bytes)>, Failure> {
    let lsn = read_lsn(sim, remote).await?;
    let keys: Vec<Key> = scan(sim, remote, lsn, prepared::all()).await?.into_iter().map(|(key, _)| key).collect();
    let found = remote.get(GetRequest { lsn, keys: keys.clone() }).await.map_err(no_answer)?;
    Ok(keys.into_iter().zip(found).filter_map(|(key, found)| found.map(|found| (key, found.lsn, found.row))).collect())
}

/// As `txn::prepared::finish` of compute.
pub async fn finish_prepared(
    sim: &Arc<Sim>,
    remote: &Arc<Remote>,
    record: Key,
    (at, row): (Lsn, Bytes),
    commits: bool,
) -> Result<Lsn, Failure> {
    let Ok((head, said)) = prepared::decode(&row) else {
        sim.violation(format!("the record of LSN {at} does not decode"));
        return Err(Failure::Conflict);
    };
    let mut txn = Txn::new(sim, remote);
    (txn.id, txn.finishes) = (head.txn, true);
    if commits {
        let observed = |lsn| Some(lsn).filter(|lsn| *lsn != Lsn::MAX);
        let writes = said.writes.into_iter();
        txn.writes = writes.map(|write| (write.mutation.key, (write.mutation.row, observed(write.observed)))).collect();
        txn.checks = said.checks.into_iter().map(|check| (check.key, check.lsn)).collect();
    }
    txn.writes.insert(record, (None, Some(at)));
    txn.commit().await
}

/// Keys and rows of a range at an LSN, checked against the log.
pub async fn scan(
    sim: &Arc<Sim>,
    remote: &Arc<Remote>,
    lsn: Lsn,
    range: KeyRange,
) -> Result<Vec<(Key, Bytes)>, Failure> {
    let request = ScanRequest {
        lsn,
        ranges: vec![range.clone()],
        direction: Direction::Forward,
        limit: None,
        output: ScanOutput::Rows,
        bounds: Vec::new(),
        batch_rows: 100,
    };
    let mut batches = remote.scan(request).await.map_err(no_answer)?;
    let mut rows: Vec<ScannedRow> = Vec::new();
    while let Some(batch) = batches.next().await {
        match batch.map_err(no_answer)? {
            ScanBatch::Rows(batch) => rows.extend(batch),
            _ => return Err(Failure::NoAnswer("something else came for rows".to_string())),
        }
    }
    let found = rows.iter().map(|row| (row.key.clone(), (row.lsn, row.row.clone()))).collect();
    sim.ledger.scanned(sim, lsn, range, found);
    Ok(rows.into_iter().map(|row| (row.key, row.row)).collect())
}
