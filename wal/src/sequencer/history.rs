//! History: what the committed part of the log amounts to, beside the data. The same on every node that has applied the
//! same entries; it is what a Raft snapshot holds.

use super::counters::Counters;
use common::cluster_map::{ClusterMap, MAP_KEY};
use common::id::{CommitId, Lsn};
use common::key::Key;
use common::prepared::{self, PreparedLocks};
use common::service::wal::{Batch, Transaction};
use std::collections::{BTreeMap, HashMap, VecDeque};

/// LSNs of recent commits by their ids, a bounded number of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcomes {
    lsn_of: HashMap<CommitId, Lsn>,
    /// Oldest first.
    order: VecDeque<CommitId>,
    outcomes_max: usize,
}

impl Outcomes {
    pub fn new(outcomes_max: usize) -> Outcomes {
        Outcomes { lsn_of: HashMap::new(), order: VecDeque::new(), outcomes_max }
    }

    pub fn insert(&mut self, commit: CommitId, lsn: Lsn) {
        if self.lsn_of.insert(commit, lsn).is_none() {
            self.order.push_back(commit);
        }
        while self.order.len() > self.outcomes_max
            && let Some(oldest) = self.order.pop_front()
        {
            self.lsn_of.remove(&oldest);
        }
    }

    pub fn get(&self, commit: CommitId) -> Option<Lsn> {
        self.lsn_of.get(&commit).copied()
    }

    /// Oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (CommitId, Lsn)> + '_ {
        self.order.iter().filter_map(|commit| self.lsn_of.get(commit).map(|lsn| (*commit, *lsn)))
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    pub last_lsn: Lsn,
    /// Wall clock of the newest batch.
    pub time_us: u64,
    /// LSNs up to here were taken before the log began.
    pub base_lsn: Lsn,
    pub counters: Counters,
    pub outcomes: Outcomes,
    /// The cluster map after the newest batch.
    pub map: ClusterMap,
    /// Transactions that are prepared and not finished, by the keys of their records.
    pub prepared: BTreeMap<Key, PreparedLocks>,
    /// Of the log in the archive; 0 for logs from before there was one.
    pub generation: u64,
}

/// The map that a transaction changes to, if it does.
pub fn new_map(transaction: &Transaction) -> Option<Result<ClusterMap, String>> {
    let (_, mutation) = transaction.mutations.iter().find(|(_, mutation)| mutation.key == MAP_KEY)?;
    let row = mutation.row.as_deref().unwrap_or_default();
    Some(ClusterMap::decode(row).map_err(|error| format!("the cluster map of LSN {}: {error}", transaction.lsn)))
}

fn is_record(key: &Key) -> bool {
    prepared::name_of(key).is_some()
}

impl History {
    pub fn new(outcomes_max: usize) -> History {
        History {
            last_lsn: Lsn::ZERO,
            time_us: 0,
            base_lsn: Lsn::ZERO,
            counters: Counters::default(),
            outcomes: Outcomes::new(outcomes_max),
            map: ClusterMap::default(),
            prepared: BTreeMap::new(),
            generation: 0,
        }
    }

    /// Takes in the next committed batch. `Err` says why it cannot be the next one.
    pub fn apply(&mut self, batch: &Batch) -> Result<(), String> {
        if batch.first_lsn != self.last_lsn.next() || batch.last_lsn < batch.first_lsn {
            return Err(format!(
                "a batch of LSNs {} to {} follows LSN {}",
                batch.first_lsn, batch.last_lsn, self.last_lsn
            ));
        }
        for transaction in &batch.transactions {
            self.outcomes.insert(transaction.commit_id, transaction.lsn);
            for bump in &transaction.counters {
                self.counters.bump(bump);
            }
            if let Some(map) = new_map(transaction) {
                self.map = map?;
            }
            for (_, mutation) in transaction.mutations.iter().filter(|(_, mutation)| is_record(&mutation.key)) {
                match &mutation.row {
                    Some(row) => {
                        let head = prepared::decode_head(row)
                            .map_err(|error| format!("{error}, at LSN {}", transaction.lsn))?;
                        self.prepared.insert(mutation.key.clone(), head);
                    }
                    None => drop(self.prepared.remove(&mutation.key)),
                }
            }
        }
        self.last_lsn = batch.last_lsn;
        self.time_us = self.time_us.max(batch.time_us);
        Ok(())
    }
}
