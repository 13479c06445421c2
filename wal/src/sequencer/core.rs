//! The sequencer's state machine: checks, assigns, forms batches.

use super::conflict_window::{ConflictWindow, Newest};
use super::history::{History, Outcomes};
use super::in_flight::InFlight;
use super::reservations::Reservations;
use common::branch_points::{BranchPoints, POINTS_KEY};
use common::bulk::{self, BulkLayer};
use common::cluster_map::{ClusterMap, MAP_KEY};
use common::env::planted::{Bug, planted};
use common::id::{CommitId, CounterId, Lsn, TabletId, Term};
use common::key::{Key, KeyRange};
use common::service::wal::{Batch, CommitRequest, CounterBump, Mutation, Tenure, Transaction};
use std::collections::{HashMap, HashSet, VecDeque};

#[derive(Debug, Clone, Copy)]
pub struct SequencerLimits {
    pub batch_bytes_max: usize,
    pub transaction_bytes_max: usize,
    pub outcomes_max: usize,
}

/// What becomes of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It has this LSN and is part of the forming batch.
    Accepted(Lsn),
    /// It was accepted before and is on its way.
    InFlight(Lsn),
    /// It is in the log already.
    Committed(Lsn),
    /// Nothing to write; the checks hold.
    NothingToWrite,
    Conflict {
        key: Key,
        newest: Lsn,
    },
    /// It relies on locks that another leader granted, or that ended with their connection.
    LocksLost,
    /// The window does not know these keys' versions. Ask for them once all up to `applied` is applied there, and
    /// come back with the answers.
    NeedsLookup {
        keys: Vec<Key>,
        applied: Lsn,
    },
    Refused(String),
}

/// Newest versions of keys, as a page server that had applied everything up to `applied` gave them.
#[derive(Debug, Clone, Default)]
pub struct VersionsAt {
    pub applied: Lsn,
    pub newest: HashMap<Key, Lsn>,
}

pub struct Sequencer {
    term: Term,
    limits: SequencerLimits,
    map: ClusterMap,
    window: ConflictWindow,
    last_lsn: Lsn,
    time_us: u64,
    counters: Reservations,
    outcomes: Outcomes,
    /// Accepted, not applied yet.
    in_flight: HashMap<CommitId, Lsn>,
    /// Their rows.
    rows: InFlight,
    /// Ids for which somebody was told that they never will be in the log.
    abandoned: HashSet<CommitId>,
    abandoned_order: VecDeque<CommitId>,
    /// With their sizes.
    forming: VecDeque<(Transaction, usize)>,
    forming_bytes: usize,
}

impl Sequencer {
    /// Goes on where `history` ends. `window` has to know every write above its floor, up to the end of `history`.
    pub fn new(term: Term, history: &History, window: ConflictWindow, limits: SequencerLimits) -> Sequencer {
        Sequencer {
            term,
            limits,
            map: history.map.clone(),
            window,
            last_lsn: history.last_lsn,
            time_us: history.time_us,
            counters: Reservations::new(history.counters.clone()),
            outcomes: history.outcomes.clone(),
            in_flight: HashMap::new(),
            rows: InFlight::default(),
            abandoned: HashSet::new(),
            abandoned_order: VecDeque::new(),
            forming: VecDeque::new(),
            forming_bytes: 0,
        }
    }

    /// Decides about a commit. `looked_up` answers an earlier [`Decision::NeedsLookup`].
    pub fn commit(&mut self, request: &CommitRequest, looked_up: Option<&VersionsAt>) -> Decision {
        if !planted(Bug::DuplicateApply) {
            if let Some(lsn) = self.in_flight.get(&request.commit_id) {
                return Decision::InFlight(*lsn);
            }
            if let Some(lsn) = self.outcomes.get(request.commit_id) {
                return Decision::Committed(lsn);
            }
        }
        if self.abandoned.contains(&request.commit_id) {
            return Decision::Refused("its outcome was asked for before it arrived; use a new commit id".to_string());
        }
        let bytes = request_bytes(request);
        if bytes > self.limits.transaction_bytes_max {
            return Decision::Refused(format!(
                "the transaction has {bytes} bytes of keys and rows, more than the limit of {}",
                self.limits.transaction_bytes_max
            ));
        }
        if let Some(version) = request.depends_on.filter(|version| version.term != self.term)
            && !planted(Bug::OldTermAccepted)
        {
            // Any key will do: what counts is that the transaction has to run again.
            let key = request.writes.first().map(|write| write.mutation.key.clone());
            let key = key.or_else(|| request.checks.first().map(|check| check.key.clone())).unwrap_or_default();
            return Decision::Conflict { key, newest: version.lsn };
        }
        if request.relies_on_locks && !self.has_its_locks(request) && !planted(Bug::OldTermAccepted) {
            return Decision::LocksLost;
        }
        if let Some(refusal) = self.check(request, looked_up) {
            return refusal;
        }
        if request.writes.is_empty() && request.counters.is_empty() {
            return Decision::NothingToWrite;
        }
        let new_map = match self.new_map(request) {
            Ok(map) => map,
            Err(reason) => return Decision::Refused(reason),
        };
        for write in request.writes.iter().filter(|write| write.mutation.key == POINTS_KEY) {
            // Whoever follows the log would stop at it.
            if let Err(error) = BranchPoints::decode(write.mutation.row.as_deref()) {
                return Decision::Refused(format!("the branch points: {error}"));
            }
        }
        let bulk = match bulk::layers_of(&request.writes) {
            Ok(bulk) if bulk.is_empty() || new_map.is_none() => bulk,
            Ok(_) => return Decision::Refused("a change of the map goes by itself".to_string()),
            Err(error) => return Decision::Refused(error.to_string()),
        };
        let lsn = self.last_lsn.next();
        self.last_lsn = lsn;
        let mut mutations = Vec::with_capacity(request.writes.len());
        for write in request.writes.iter().filter(|write| !bulk::is_record(&write.mutation.key)) {
            self.rows.insert(&write.mutation, lsn);
            mutations.push((self.map.tablet_of(&write.mutation.key), write.mutation.clone()));
        }
        for layer in bulk {
            self.rows.insert_layer(layer.range(), lsn);
            let tablets = tablets_of(&self.map, &layer);
            mutations.extend(tablets.map(|tablet| (tablet, layer.record())));
        }
        note_writes(&mut self.window, lsn, &mutations);
        if let Some(map) = new_map {
            self.map = map;
        }
        for bump in &request.counters {
            self.counters.used(bump, lsn);
        }
        self.in_flight.insert(request.commit_id, lsn);
        self.forming_bytes += bytes;
        let (commit_id, counters) = (request.commit_id, request.counters.clone());
        self.forming.push_back((Transaction { lsn, commit_id, mutations, counters }, bytes));
        Decision::Accepted(lsn)
    }

    /// True if it has locks and none of them can have been lost: this leader granted them, over the same connection.
    pub fn has_its_locks(&self, request: &CommitRequest) -> bool {
        request.tenure == Some(Tenure { term: self.term, session: request.session })
    }

    /// True for a commit that was accepted before: it comes again because its answer was lost.
    pub fn knows(&self, commit: CommitId) -> bool {
        self.in_flight.contains_key(&commit) || self.outcomes.get(commit).is_some()
    }

    /// The map that a request changes to, if it does: one step from the map in force.
    fn new_map(&self, request: &CommitRequest) -> Result<Option<ClusterMap>, String> {
        let Some(write) = request.writes.iter().find(|write| write.mutation.key == MAP_KEY) else { return Ok(None) };
        let row = write.mutation.row.as_deref().unwrap_or_default();
        let map = ClusterMap::decode(row).map_err(|error| format!("the cluster map: {error}"))?;
        match self.map.change_to(&map) {
            Some(_) => Ok(Some(map)),
            None => Err("the cluster map is not one split or merge away from the one in force".to_string()),
        }
    }

    /// The map by which the next transaction is tagged.
    pub fn map(&self) -> &ClusterMap {
        &self.map
    }

    /// `None`: no newer version of any key exists. The first key that has one is told.
    pub fn check(&self, request: &CommitRequest, looked_up: Option<&VersionsAt>) -> Option<Decision> {
        let writes = request.writes.iter().map(|write| (&write.mutation.key, write.observed));
        let checks = request.checks.iter().map(|check| (&check.key, check.lsn));
        self.check_keys(writes.chain(checks), looked_up)
    }

    /// The same, of keys and the LSNs at which they were observed.
    pub fn check_keys<'r>(
        &self,
        observed: impl Iterator<Item = (&'r Key, Lsn)>,
        looked_up: Option<&VersionsAt>,
    ) -> Option<Decision> {
        if planted(Bug::ConflictCheckOff) {
            return None;
        }
        let (mut unknown, mut needed) = (Vec::new(), self.window.floor());
        for (key, observed) in observed {
            match self.window.newest(key) {
                _ if observed == Lsn::MAX => {}
                Newest::At(newest) if newest > observed => {
                    return Some(Decision::Conflict { key: key.clone(), newest });
                }
                Newest::NotAbove(floor) if floor > observed => {
                    // An answer holds if everything it did not see is in the window.
                    let answer = looked_up.filter(|versions| versions.applied >= floor);
                    match answer.and_then(|versions| versions.newest.get(key)) {
                        Some(newest) if *newest > observed => {
                            return Some(Decision::Conflict { key: key.clone(), newest: *newest });
                        }
                        Some(_) => {}
                        None => {
                            unknown.push(key.clone());
                            needed = needed.max(floor);
                        }
                    }
                }
                Newest::At(_) | Newest::NotAbove(_) => {}
            }
        }
        (!unknown.is_empty()).then(|| Decision::NeedsLookup { keys: unknown, applied: needed })
    }

    /// Closes the forming batch, if there is one: as many transactions as fit, one at least. Its time never goes back.
    pub fn take_batch(&mut self, now_us: u64) -> Option<Batch> {
        let first_lsn = self.forming.front()?.0.lsn;
        let mut transactions = Vec::with_capacity(self.forming.len());
        let mut batch_bytes = 0;
        while batch_bytes < self.limits.batch_bytes_max
            && let Some((transaction, bytes)) = self.forming.pop_front()
        {
            batch_bytes += bytes;
            transactions.push(transaction);
        }
        self.forming_bytes -= batch_bytes;
        self.time_us = self.time_us.max(now_us);
        let last_lsn = transactions.last().map_or(first_lsn, |transaction| transaction.lsn);
        Some(Batch { first_lsn, last_lsn, time_us: self.time_us, transactions })
    }

    /// There is a forming batch.
    pub fn has_batch(&self) -> bool {
        !self.forming.is_empty()
    }

    /// The forming batch has reached its size.
    pub fn batch_is_full(&self) -> bool {
        self.forming_bytes >= self.limits.batch_bytes_max
    }

    /// A batch is durable and applied.
    pub fn applied(&mut self, batch: &Batch) {
        for transaction in &batch.transactions {
            self.in_flight.remove(&transaction.commit_id);
            for (_, mutation) in &transaction.mutations {
                self.rows.applied(&mutation.key, transaction.lsn);
            }
            self.rows.layers_applied(transaction.lsn);
            for bump in &transaction.counters {
                self.counters.durable(bump, transaction.lsn);
            }
            self.outcomes.insert(transaction.commit_id, transaction.lsn);
        }
    }

    /// What is known of a commit: `Committed`, `InFlight`, or `Refused`, which it stays from now on.
    pub fn outcome(&mut self, commit: CommitId) -> Decision {
        if let Some(lsn) = self.in_flight.get(&commit) {
            return Decision::InFlight(*lsn);
        }
        if let Some(lsn) = self.outcomes.get(commit) {
            return Decision::Committed(lsn);
        }
        if self.abandoned.insert(commit) {
            self.abandoned_order.push_back(commit);
            if self.abandoned_order.len() > self.limits.outcomes_max
                && let Some(oldest) = self.abandoned_order.pop_front()
            {
                self.abandoned.remove(&oldest);
            }
        }
        Decision::Refused("not in the log".to_string())
    }

    /// Hands out values of a counter, and the LSN that has to be durable before anybody gets them.
    pub fn allocate(&mut self, counter: CounterId, count: u64, at_least: u64) -> (u64, Option<Lsn>) {
        let handed = self.counters.allocate(counter, count, at_least);
        if let Some(bump) = handed.reserve {
            self.note_counters(vec![bump]);
        }
        (handed.first, if count == 0 { None } else { self.counters.waits_for(counter) })
    }

    /// Before a clean stop, when nothing more is handed out: the log is to say what was handed out, and no more.
    pub fn give_back_reservations(&mut self) {
        let bumps = self.counters.give_back();
        if !bumps.is_empty() {
            self.note_counters(bumps);
        }
    }

    /// Puts a transaction into the forming batch that nobody asked for: one about counters.
    fn note_counters(&mut self, counters: Vec<CounterBump>) {
        let lsn = self.last_lsn.next();
        self.last_lsn = lsn;
        for bump in &counters {
            self.counters.bump(bump, lsn);
        }
        // Unique as the LSN is within a term. Ids of computes are drawn at random from all.
        let commit_id = CommitId(u128::from(self.term.0) << 64 | u128::from(lsn.0));
        let bytes = counters_bytes(&counters);
        self.forming_bytes += bytes;
        self.forming.push_back((Transaction { lsn, commit_id, mutations: Vec::new(), counters }, bytes));
    }

    /// Rows that are not applied yet.
    pub fn rows_in_flight(&self) -> &InFlight {
        &self.rows
    }

    /// The newest LSN given out.
    pub fn last_lsn(&self) -> Lsn {
        self.last_lsn
    }
}

/// The tablets that have keys of a layer.
pub(super) fn tablets_of<'m>(map: &'m ClusterMap, layer: &BulkLayer) -> impl Iterator<Item = TabletId> + use<'m> {
    let keys = layer.range();
    let overlapping = map.ranges().filter(move |(_, range)| !range.intersection(&keys).is_empty());
    overlapping.map(|(tablet, _)| tablet)
}

/// Tells the window what a transaction wrote, as the log has it.
pub fn note_writes(window: &mut ConflictWindow, lsn: Lsn, mutations: &[(TabletId, Mutation)]) {
    let mut before: Option<&Mutation> = None;
    for (_, mutation) in mutations {
        match BulkLayer::of(mutation) {
            None => window.insert(&mutation.key, lsn),
            // Several tablets share it from now on: who wants to merge some of them has to look again.
            Some(_) if before.is_some_and(|before| before.key == mutation.key) => window.insert(&MAP_KEY, lsn),
            Some(Ok(layer)) => window.insert_range(layer.range(), lsn),
            // The sequencer lets none of these into the log.
            Some(Err(_)) => window.insert_range(KeyRange::all(), lsn),
        }
        before = Some(mutation);
    }
}

fn request_bytes(request: &CommitRequest) -> usize {
    // 32 bytes for what comes with each write: LSN, tablet, lengths.
    let writes = request
        .writes
        .iter()
        .map(|write| write.mutation.key.len() + write.mutation.row.as_ref().map_or(0, |row| row.len()) + 32);
    writes.sum::<usize>() + counters_bytes(&request.counters)
}

fn counters_bytes(counters: &[CounterBump]) -> usize {
    counters.len() * 24
}
