//! Ledger: the one log that all members have to agree on, as far as any of them has shown it, and what clients were told.
//!
//! Checked as it grows
//! - Replicas agree: every member shows the same transaction at an LSN, in this life and the next. LSNs are dense.
//! - A transaction is in it once, and somebody asked for it; it is not there if somebody was told that it never will be.
//! - Conflicts: no key of a transaction has a version newer than the one that the transaction observed.
//! - The clock of the batches does not go back.
//! - What was acknowledged is there, at its LSN, and comes after all that was acknowledged before it was asked for.
//! - Of two that locked a key at the same leader, neither conflicts with the other.
//! - Every read at an LSN gives what the log has at that LSN; what was shown before it was durable is in the log.

use crate::sim::{Sim, lock};
use bytes::Bytes;
use common::bulk::is_record;
use common::id::{CommitId, Lsn, Term, TxnId};
use common::key::{Key, KeyRange};
use common::prepared;
use common::service::page::BulkRow;
use common::service::wal::{Batch, CommitRequest, Mutation, Transaction};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Mutex;

#[derive(Default)]
pub struct Ledger {
    state: Mutex<State>,
}

type Versions = BTreeMap<Key, Vec<(Lsn, Option<Bytes>)>>;

#[derive(Default)]
struct State {
    /// The transaction of each LSN, from 1 on.
    log: Vec<Transaction>,
    time_us: u64,
    versions: Versions,
    requests: HashMap<CommitId, CommitRequest>,
    lsn_of: HashMap<CommitId, Lsn>,
    refused: BTreeSet<CommitId>,
    /// The rows of layers that lie in the store before their commit, by the keys of their records, each with the LSN at
    /// which its key was observed.
    bulk: HashMap<Key, Vec<(BulkRow, Lsn)>>,
    /// Keys that commits had locked, with the term of the leader that granted them.
    locked: HashMap<CommitId, (Term, BTreeSet<Key>)>,
    acknowledged: BTreeMap<Lsn, CommitId>,
    acknowledged_max: Lsn,
    /// Numbers that clients got from the counter.
    handed_out: BTreeSet<u64>,
    /// Claims about LSNs that the log has not reached here.
    waiting: BTreeMap<Lsn, Vec<Claim>>,
}

/// What somebody says the log has.
enum Claim {
    /// The newest version of a key at an LSN.
    Version(Key, Option<(Lsn, Bytes)>),
    /// The rows of a range at an LSN.
    Range(KeyRange, Vec<(Key, (Lsn, Bytes))>),
    /// This LSN did not write a key under a lock of this term: somebody else had the lock.
    NotLocked(Key, Term),
    /// Exactly at this LSN a key got this row.
    Written(Key, Option<Bytes>),
}

impl State {
    fn newest(&self, key: &Key, at: Lsn) -> Option<&(Lsn, Option<Bytes>)> {
        let versions = self.versions.get(key)?;
        versions[..versions.partition_point(|(lsn, _)| *lsn <= at)].last()
    }

    fn row(&self, key: &Key, at: Lsn) -> Option<(Lsn, Bytes)> {
        let (lsn, row) = self.newest(key, at)?;
        Some((*lsn, row.clone()?))
    }

    fn rows(&self, range: &KeyRange, at: Lsn) -> Vec<(Key, (Lsn, Bytes))> {
        let end = if range.end.is_empty() { Bound::Unbounded } else { Bound::Excluded(&range.end) };
        let keys = self.versions.range::<Key, _>((Bound::Included(&range.start), end));
        keys.filter_map(|(key, _)| Some((key.clone(), self.row(key, at)?))).collect()
    }

    fn length(&self) -> Lsn {
        Lsn(self.log.len() as u64)
    }

    /// What is wrong with the next transaction, if anything is.
    fn append(&mut self, transaction: &Transaction) -> Result<(), String> {
        let (lsn, commit) = (transaction.lsn, transaction.commit_id);
        // What a leader says about counters of its own accord has no rows.
        let is_reservation = transaction.mutations.is_empty() && !self.requests.contains_key(&commit);
        let own = CommitRequest::of(commit, TxnId(0), Vec::new());
        let Some(request) = self.requests.get(&commit).or(is_reservation.then_some(&own)) else {
            return Err(format!("LSN {lsn} is a commit that nobody asked for"));
        };
        if let Some(first) = self.lsn_of.get(&commit) {
            return Err(format!("the commit of LSN {first} is in the log again, at LSN {lsn}"));
        }
        if self.refused.contains(&commit) {
            return Err(format!("LSN {lsn} is a commit that was said never to be in the log"));
        }
        let asked = request.writes.iter().map(|write| &write.mutation);
        let mut mutations: Vec<&Mutation> = transaction.mutations.iter().map(|(_, mutation)| mutation).collect();
        // A record stands there for each tablet that has keys of its layer.
        mutations.dedup_by(|a, b| a == b && is_record(&a.key));
        // The leader writes its locks into the record of what is prepared.
        let same = |there: &Mutation, asked: &Mutation| {
            there == asked || there.key == asked.key && prepared::name_of(&there.key).is_some()
        };
        if mutations.len() != asked.len() || !mutations.iter().zip(asked).all(|(there, asked)| same(there, asked)) {
            return Err(format!("LSN {lsn} does not have the rows that were asked for"));
        }
        let writes = request.writes.iter().map(|write| (&write.mutation.key, write.observed));
        for (key, observed) in writes.chain(request.checks.iter().map(|check| (&check.key, check.lsn))) {
            if let Some((newest, _)) = self.newest(key, Lsn::MAX).filter(|(newest, _)| *newest > observed) {
                return Err(format!("LSN {lsn} observed key {key:02x?} at {observed}, yet it had version {newest}"));
            }
        }
        self.lsn_of.insert(commit, lsn);
        self.log.push(transaction.clone());
        for mutation in mutations {
            if !is_record(&mutation.key) {
                self.versions.entry(mutation.key.clone()).or_default().push((lsn, mutation.row.clone()));
                continue;
            }
            let rows =
                self.bulk.get(&mutation.key).ok_or_else(|| format!("LSN {lsn} names a layer that nobody wrote"))?;
            for ((key, _), observed) in rows {
                if let Some((newest, _)) = self.newest(key, Lsn::MAX).filter(|(newest, _)| newest > observed) {
                    return Err(format!(
                        "LSN {lsn} observed key {key:02x?} of its layer at {observed}, yet it had version {newest}"
                    ));
                }
            }
            for ((key, row), _) in rows {
                self.versions.entry(key.clone()).or_default().push((lsn, row.clone()));
            }
        }
        if let Some(told) = self.acknowledged.get(&lsn).filter(|told| **told != commit) {
            return Err(format!("LSN {lsn} was acknowledged as {told}, yet {commit} is there"));
        }
        Ok(())
    }

    fn check(&self, at: Lsn, claim: &Claim) -> Result<(), String> {
        match claim {
            Claim::Version(key, found) => {
                let expected = self.row(key, at);
                (expected == *found).then_some(()).ok_or_else(|| {
                    let versions = (found.as_ref().map(|(lsn, _)| *lsn), expected.as_ref().map(|(lsn, _)| *lsn));
                    format!(
                        "a read of key {key:02x?} at LSN {at} gives version {:?}, the log has {:?}",
                        versions.0, versions.1
                    )
                })
            }
            Claim::Range(range, found) => {
                let expected = self.rows(range, at);
                (expected == *found).then_some(()).ok_or_else(|| {
                    format!(
                        "a scan at LSN {at} gives {} rows, the log has {}, or other ones",
                        found.len(),
                        expected.len()
                    )
                })
            }
            Claim::NotLocked(key, term) => {
                let transaction = &self.log[(at.0 - 1) as usize];
                let wrote = transaction.mutations.iter().any(|(_, mutation)| mutation.key == *key);
                let locked = self.locked.get(&transaction.commit_id);
                let locked = locked.is_some_and(|(then, keys)| then == term && keys.contains(key));
                (!wrote || !locked).then_some(()).ok_or_else(|| {
                    format!("key {key:02x?} was locked in term {term} by two: one conflicts with LSN {at} of the other")
                })
            }
            Claim::Written(key, row) => {
                let there = self.newest(key, at).is_some_and(|(lsn, there)| *lsn == at && there == row);
                there
                    .then_some(())
                    .ok_or_else(|| format!("a row of key {key:02x?} was shown that LSN {at} does not have"))
            }
        }
    }
}

impl Ledger {
    /// A commit is sent, for the first time or again.
    pub fn requested(&self, request: &CommitRequest) {
        lock(&self.state).requests.entry(request.commit_id).or_insert_with(|| request.clone());
    }

    /// A commit is about to name a layer with these rows.
    pub fn bulk(&self, record: Key, rows: Vec<(BulkRow, Lsn)>) {
        lock(&self.state).bulk.insert(record, rows);
    }

    /// A member shows a batch.
    pub fn observe(&self, sim: &Sim, member: &str, batch: &Batch) {
        let mut state = lock(&self.state);
        let mut problem = None;
        let known = state.length();
        for transaction in &batch.transactions {
            let length = state.length();
            if let Some(there) = state.log.get((transaction.lsn.0 - 1) as usize) {
                if there != transaction {
                    problem = Some(format!("{member} has another transaction at LSN {} than others", transaction.lsn));
                }
            } else if transaction.lsn != length.next() {
                problem = Some(format!("{member} jumps from LSN {length} to {}", transaction.lsn));
            } else {
                problem = state.append(transaction).err();
            }
            if problem.is_some() {
                break;
            }
        }
        let length = state.length();
        if problem.is_none() && length > known {
            if batch.time_us < state.time_us {
                problem = Some(format!("the clock goes back at LSN {}", batch.first_lsn));
            }
            state.time_us = batch.time_us;
            sim.event(|| format!("{member} shows LSN {} to {length}", known.next()));
            let later = state.waiting.split_off(&length.next());
            for (at, claims) in std::mem::replace(&mut state.waiting, later) {
                for claim in claims {
                    problem = problem.or(state.check(at, &claim).err());
                }
            }
        }
        drop(state);
        if let Some(problem) = problem {
            sim.violation(problem);
        }
    }

    fn claim(&self, sim: &Sim, at: Lsn, claim: Claim) {
        let mut state = lock(&self.state);
        if at > state.length() {
            state.waiting.entry(at).or_default().push(claim);
            return;
        }
        let checked = state.check(at, &claim);
        drop(state);
        if let Err(problem) = checked {
            sim.violation(problem);
        }
    }

    pub fn read(&self, sim: &Sim, at: Lsn, key: Key, found: Option<(Lsn, Bytes)>) {
        self.claim(sim, at, Claim::Version(key, found));
    }

    pub fn scanned(&self, sim: &Sim, at: Lsn, range: KeyRange, found: Vec<(Key, (Lsn, Bytes))>) {
        self.claim(sim, at, Claim::Range(range, found));
    }

    /// A row was shown that a lock had brought before it was durable.
    pub fn shown(&self, sim: &Sim, key: Key, lsn: Lsn, row: Option<Bytes>) {
        self.claim(sim, lsn, Claim::Written(key, row));
    }

    /// A commit is about to be sent whose keys are locked.
    pub fn locked(&self, commit: CommitId, term: Term, keys: BTreeSet<Key>) {
        lock(&self.state).locked.insert(commit, (term, keys));
    }

    /// A commit conflicts with `newest`, although all that it writes was locked at the leader of `term`, who refuses it.
    pub fn conflicted(&self, sim: &Sim, key: Key, newest: Lsn, term: Option<Term>) {
        if let Some(term) = term {
            self.claim(sim, newest, Claim::NotLocked(key, term));
        }
    }

    /// A client has got this number. False: another one had got it.
    pub fn handed_out(&self, number: u64) -> bool {
        lock(&self.state).handed_out.insert(number)
    }

    /// The newest LSN that any client was told.
    pub fn acknowledged_max(&self) -> Lsn {
        lock(&self.state).acknowledged_max
    }

    /// A client is told that its commit, which it sent when `before` was the newest acknowledged, is durable.
    pub fn acknowledged(&self, sim: &Sim, commit: CommitId, lsn: Lsn, before: Lsn) {
        let mut state = lock(&self.state);
        let is_write = state
            .requests
            .get(&commit)
            .is_some_and(|request| !request.writes.is_empty() || !request.counters.is_empty());
        if !is_write {
            return;
        }
        let there = state.log.get((lsn.0 as usize).wrapping_sub(1)).map(|transaction| transaction.commit_id);
        state.acknowledged_max = state.acknowledged_max.max(lsn);
        let other = state.acknowledged.insert(lsn, commit).filter(|other| *other != commit);
        drop(state);
        if let Some(there) = there.filter(|there| *there != commit) {
            sim.violation(format!("LSN {lsn} is acknowledged as {commit}, yet {there} is there"));
        }
        if let Some(other) = other {
            sim.violation(format!("LSN {lsn} is acknowledged as {commit}, and was as {other}"));
        }
        if lsn <= before {
            sim.violation(format!("a commit gets LSN {lsn} after LSN {before} was acknowledged"));
        }
    }

    /// A client is told that its commit is not in the log and never will be.
    pub fn refused(&self, sim: &Sim, commit: CommitId) {
        let mut state = lock(&self.state);
        state.refused.insert(commit);
        let there = state.lsn_of.get(&commit).copied();
        drop(state);
        if let Some(lsn) = there {
            sim.violation(format!("a commit is said not to be in the log, yet it is LSN {lsn}"));
        }
    }

    pub fn length(&self) -> u64 {
        lock(&self.state).length().0
    }

    /// Rows of a range as the log has them.
    pub fn rows(&self, range: &KeyRange) -> Vec<(Key, Bytes)> {
        let state = lock(&self.state);
        state.rows(range, Lsn::MAX).into_iter().map(|(key, (_, row))| (key, row)).collect()
    }

    /// At the end, when the members have shown all they have.
    pub fn finish(&self, sim: &Sim) {
        let state = lock(&self.state);
        let length = state.length();
        let lost = state.acknowledged.keys().next_back().copied().filter(|newest| *newest > length);
        let is_read = |claim: &Claim| !matches!(claim, Claim::NotLocked(..));
        let left = state.waiting.iter().rev().find(|(_, claims)| claims.iter().any(is_read)).map(|(at, _)| *at);
        drop(state);
        if let Some(newest) = lost {
            sim.violation(format!("LSN {newest} was acknowledged, and the log ends at {length}: commits are lost"));
        } else if let Some(left) = left {
            sim.violation(format!("something was read at LSN {left}, and the log ends at {length}"));
        }
    }
}
