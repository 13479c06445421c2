//! openraft's state machine: applies committed entries to the [`Applied`] state, in memory. What a restart needs is in
//! the snapshot and the log behind it.

use super::applied::{Applied, AppliedMark};
use super::command::{Base, CommandKind};
use super::log_store;
use super::snapshot::{self, SnapshotState};
use super::{Entry, LogId, Membership, Snapshot, SnapshotMeta, StoredMembership, TypeConfig};
use crate::segment::{Disk, SegmentLog};
use crate::sequencer::Counters;
use bytes::Bytes;
use common::env::threads;
use common::id::{CATALOG_TABLE, Lsn};
use common::service::wal::{Batch, Transaction};
use futures::{Stream, StreamExt};
use openraft::entry::RaftEntry;
use openraft::storage::{EntryResponder, RaftStateMachine};
use openraft::{EntryPayload, OptionalSend, RaftSnapshotBuilder};
use std::io;
use std::sync::Arc;

pub struct StateMachine {
    applied: Arc<Applied>,
    log: SegmentLog,
    disk: Arc<dyn Disk>,
    outcomes_max: usize,
    last_applied: Option<LogId>,
    membership: StoredMembership,
}

impl StateMachine {
    pub fn new(applied: Arc<Applied>, log: SegmentLog, outcomes_max: usize) -> StateMachine {
        let disk = log.disk().clone();
        StateMachine { applied, log, disk, outcomes_max, last_applied: None, membership: StoredMembership::default() }
    }

    /// A membership that was committed.
    pub(super) fn apply_membership(&mut self, log_id: LogId, membership: Membership) -> AppliedMark {
        self.membership = StoredMembership::new(Some(log_id), membership);
        self.mark_at(log_id)
    }

    /// A command that was committed, with the bytes that it has in the log. Answers with how far the state machine is then,
    /// and the batch, where it was one.
    pub(super) fn apply_command(
        &mut self,
        log_id: LogId,
        command: CommandKind,
        bytes: usize,
    ) -> io::Result<(AppliedMark, Option<Arc<Batch>>)> {
        let mut mark = self.mark_at(log_id);
        let mut applied = None;
        match command {
            CommandKind::Batch(batch) => {
                let batch = Arc::new(batch);
                self.applied.history().apply(&batch).map_err(|what| malformed(log_id, &what))?;
                mark.lsn = batch.last_lsn;
                mark.bytes += bytes as u64;
                mark.definitions = newest_definition(&batch).unwrap_or(mark.definitions);
                self.applied.push_batch(batch.clone(), bytes);
                applied = Some(batch);
            }
            CommandKind::Base(Base { lsn, counters, map, founding }) => {
                let mut history = self.applied.history();
                history.base_lsn = history.base_lsn.max(lsn);
                history.last_lsn = history.last_lsn.max(lsn);
                history.counters = Counters::from_values(counters);
                history.map = map;
                history.generation = founding.generation;
                history.time_us = history.time_us.max(founding.time_us);
                history.prepared = founding.prepared.into_iter().collect();
                for (commit, lsn) in founding.outcomes {
                    history.outcomes.insert(commit, lsn);
                }
                mark.lsn = history.last_lsn;
                mark.definitions = history.last_lsn;
            }
            CommandKind::Trim { lsn } => mark.trim = mark.trim.max(lsn),
        }
        Ok((mark, applied))
    }

    /// An entry is the newest from now on: the mark of the one before, moved to it.
    pub(super) fn mark_at(&mut self, log_id: LogId) -> AppliedMark {
        self.last_applied = Some(log_id);
        let (index, term) = (Some(log_id.index()), log_id.committed_leader_id().term);
        AppliedMark { index, term, ..self.applied.mark() }
    }

    pub(super) fn apply_entry(&mut self, entry: &Entry) -> io::Result<()> {
        let log_id = entry.log_id();
        let mark = match &entry.payload {
            EntryPayload::Blank => self.mark_at(log_id),
            EntryPayload::Membership(membership) => self.apply_membership(log_id, membership.clone()),
            EntryPayload::Normal(command) => {
                let decoded = command.decode().map_err(|error| malformed(log_id, &error.to_string()))?;
                self.apply_command(log_id, decoded, command.encoded().len())?.0
            }
        };
        self.applied.advance(mark);
        Ok(())
    }

    /// Takes over the state of a snapshot that is on disk.
    pub(super) fn restore(&mut self, meta: &SnapshotMeta, decoded: &SnapshotState) {
        let history = decoded.history(self.outcomes_max);
        let lsn = history.last_lsn;
        if let Some(log_id) = meta.last_log_id.as_ref().filter(|log_id| !self.log.holds(log_store::mark(log_id))) {
            self.applied.set_floor(log_id.index(), lsn);
        }
        *self.applied.history() = history;
        self.applied.clear_ring();
        self.last_applied = meta.last_log_id;
        self.membership = meta.last_membership.clone();
        self.applied.advance(AppliedMark {
            index: meta.last_log_id.map(|log_id| log_id.index()),
            term: meta.last_log_id.map_or(0, |log_id| log_id.committed_leader_id().term),
            lsn,
            definitions: lsn,
            trim: decoded.trim,
            bytes: self.applied.mark().bytes,
        });
    }

    pub(super) fn last_applied(&self) -> Option<LogId> {
        self.last_applied
    }

    pub(super) fn membership(&self) -> &Membership {
        self.membership.membership()
    }

    pub(super) fn snapshot_builder(&self) -> SnapshotBuilder {
        SnapshotBuilder {
            meta: SnapshotMeta { last_log_id: self.last_applied, last_membership: self.membership.clone() },
            state: SnapshotState::new(&self.applied.history(), self.applied.mark().trim),
            disk: self.disk.clone(),
        }
    }
}

fn malformed(log_id: LogId, what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("log entry {}: {what}", log_id.index()))
}

/// The newest transaction of a batch that wrote to the table of definitions.
fn newest_definition(batch: &Batch) -> Option<Lsn> {
    let table = CATALOG_TABLE.0.to_be_bytes();
    let defines =
        |transaction: &&Transaction| transaction.mutations.iter().any(|(_, mutation)| mutation.key.starts_with(&table));
    batch.transactions.iter().rev().find(defines).map(|transaction| transaction.lsn)
}

/// The state at one entry, ready to be written.
pub struct SnapshotBuilder {
    meta: SnapshotMeta,
    state: SnapshotState,
    disk: Arc<dyn Disk>,
}

impl RaftSnapshotBuilder<TypeConfig> for SnapshotBuilder {
    type SnapshotData = Bytes;

    async fn build_snapshot(&mut self) -> Result<Snapshot, io::Error> {
        let state = self.state.encode()?;
        snapshot::save_when_possible(self.disk.clone(), self.meta.clone(), state.clone()).await?;
        Ok(Snapshot { meta: self.meta.clone(), snapshot: state })
    }
}

impl RaftStateMachine<TypeConfig> for StateMachine {
    type SnapshotData = Bytes;
    type SnapshotBuilder = SnapshotBuilder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        Ok((self.last_applied, self.membership.clone()))
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> Result<(), io::Error>
    where
        Strm: Stream<Item = Result<EntryResponder<TypeConfig>, io::Error>> + Unpin + OptionalSend,
    {
        while let Some(item) = entries.next().await {
            let (entry, responder) = item?;
            self.apply_entry(&entry)?;
            if let Some(responder) = responder {
                responder.send(());
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder {
        self.snapshot_builder()
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, state: Bytes) -> Result<(), io::Error> {
        let decoded = SnapshotState::decode(&state)?;
        snapshot::save_when_possible(self.disk.clone(), meta.clone(), state).await?;
        self.restore(meta, &decoded);
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, io::Error> {
        let disk = self.disk.clone();
        let loaded = threads::blocking(move || snapshot::load(&disk)).await.map_err(io::Error::other)??;
        Ok(loaded.map(|(meta, state)| Snapshot { meta, snapshot: state }))
    }
}
