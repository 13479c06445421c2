//! Alone: the log of one member, which needs no agreement. An entry is committed when it is on this disk.
//!
//! ```text
//! driver's desk ◀─ source: a batch, when a group begins ─ segment writer ── after its fdatasync ──▶ state machine ──▶ desk
//! ```
//!
//! Nothing stands between the desk and the disk: a commit of one session is as many hops of threads as it needs, to the writer
//! and back. The entries, the vote and the snapshots are those that openraft writes for a group of one, so either can go on
//! with what the other has written.
//!
//! Invariants
//! - Each start leads in a term of its own, which is on disk before anything of it.
//! - Entries are applied in the order of the log, on the writer's thread.
//! - After a failed write nothing is taken for the log any more.

use super::applied::Applied;
use super::command::{Command, CommandKind};
use super::log_store::{self, decode, encode, log_id, mark, write_meta};
use super::node::{Leadership, Proposal, ProposeError, RaftStartError};
use super::snapshot::{self, SnapshotState};
use super::state_machine::StateMachine;
use super::{Entry, LogId, Membership, Vote};
use crate::config::WalConfig;
use crate::segment::{EntryMark, LogEntry, Meta, SegmentLog, Source, Taken, WriteFailure};
use common::env::threads;
use common::id::{NodeId, Term};
use common::service::wal::Batch;
use openraft::entry::RaftEntry;
use openraft::vote::RaftLeaderId;
use openraft::{BasicNode, EntryPayload, RaftSnapshotBuilder};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{oneshot, watch};

/// Bytes of entries that are read at once at the start, about.
const REPLAY_BYTES_MAX: usize = 4 << 20;

/// Called on the writer's thread when a command is on disk and applied, with the batch if it was one; or when it never will be.
pub type AppendDone = Box<dyn FnOnce(Result<Option<Arc<Batch>>, ProposeError>) + Send>;

pub struct Alone {
    node: NodeId,
    term: Term,
    log: SegmentLog,
    applied: Arc<Applied>,
    /// Index of the next entry; held while one is appended.
    next_index: Mutex<u64>,
    machine: Arc<Mutex<StateMachine>>,
    leadership: Arc<watch::Sender<Leadership>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Alone {
    /// Recovers the state and leads in a new term, which is on disk when this returns.
    pub async fn start(config: &WalConfig, log: SegmentLog, applied: Arc<Applied>) -> Result<Alone, RaftStartError> {
        let failed = |error: io::Error| RaftStartError::Raft(error.to_string());
        let (replayed, outcomes_max) = ((log.clone(), applied.clone()), config.outcomes_max);
        let machine = threads::blocking(move || replay(replayed.0, replayed.1, outcomes_max))
            .await
            .map_err(|error| RaftStartError::Raft(error.to_string()))?
            .map_err(failed)?;
        let node = config.node;
        let last = log.last_mark();
        let voters: BTreeSet<u64> = machine.membership().voter_ids().collect();
        if last.is_some() && voters != BTreeSet::from([node.0]) {
            return Err(RaftStartError::OtherMembers(voters));
        }
        let vote: Option<Vote> = match log.vote() {
            Some(encoded) => Some(postcard::from_bytes(&encoded).map_err(|error| failed(io::Error::other(error)))?),
            None => None,
        };
        let newest = vote.map_or(0, |vote| vote.leader_id.term()).max(last.map_or(0, |mark| mark.term));
        let term = Term(newest + 1);
        let encoded = postcard::to_stdvec(&Vote::new_committed(term.0, node.0))
            .map_err(|error| failed(io::Error::other(error)))?;
        write_meta(&log, Meta::Vote(encoded.into())).await.map_err(failed)?;
        let alone = Alone {
            node,
            term,
            next_index: Mutex::new(last.map_or(0, |mark| mark.index + 1)),
            log,
            applied,
            machine: Arc::new(Mutex::new(machine)),
            leadership: Arc::new(watch::Sender::new(Leadership::default())),
        };
        if last.is_none() {
            alone.append_first(&config.address).await?;
        }
        // All entries of earlier terms are applied once this one is.
        alone.append_entry(Entry::new(log_id(EntryMark { term: 0, index: 0 }), EntryPayload::Blank)).await?;
        let leads = Leadership { term, leader: Some(node), is_leader: true, stopped: false };
        alone.leadership.send_replace(leads);
        Ok(alone)
    }

    /// Who the members are, in the form in which a group begins.
    async fn append_first(&self, address: &str) -> Result<(), RaftStartError> {
        let nodes = BTreeMap::from([(self.node.0, BasicNode::new(address))]);
        let membership = Membership::new(vec![BTreeSet::from([self.node.0])], nodes)
            .map_err(|error| RaftStartError::Raft(error.to_string()))?;
        let first = log_id(EntryMark { term: 0, index: 0 });
        self.append_entry(Entry::new(first, EntryPayload::Membership(membership))).await
    }

    /// Appends an entry that is no command; its place is given to it here, but that the first has no term.
    async fn append_entry(&self, entry: Entry) -> Result<(), RaftStartError> {
        let (sender, receiver) = oneshot::channel();
        let machine = self.machine.clone();
        {
            let mut next = lock(&self.next_index);
            let term = if *next == 0 { 0 } else { self.term.0 };
            let at = log_id(EntryMark { term, index: *next });
            let entry = Entry::new(at, entry.payload);
            let encoded = encode(entry.clone()).map_err(|error| RaftStartError::Raft(error.to_string()))?;
            *next += 1;
            let done = move |result: Result<(), WriteFailure>| {
                let result = result.map_err(|failure| failure.to_string());
                let done = result.and_then(|()| lock(&machine).apply_entry(&entry).map_err(|error| error.to_string()));
                let _ = sender.send(done);
            };
            self.log.append(vec![encoded], Box::new(done));
        }
        match receiver.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(reason)) => Err(RaftStartError::Raft(reason)),
            Err(_) => Err(RaftStartError::Raft("the log was closed".to_string())),
        }
    }

    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.leadership.subscribe()
    }

    pub fn node(&self) -> NodeId {
        self.node
    }

    /// The entry of a command, which has to be the next one in the log, and what its writer has to do then.
    pub fn entry(&self, command: &Command, kind: CommandKind, done: AppendDone) -> Taken {
        let (machine, applied, log) = (self.machine.clone(), self.applied.clone(), self.log.clone());
        let leadership = self.leadership.clone();
        let mut next = lock(&self.next_index);
        let at = EntryMark { term: self.term.0, index: *next };
        *next += 1;
        let bytes = command.encoded().len();
        let commits = if let CommandKind::Batch(batch) = &kind { batch.transactions.len() } else { 0 };
        let written = move |result: Result<(), WriteFailure>| {
            let result = result.map_err(|failure| failure.to_string());
            let taken = result.and_then(|()| {
                let kept = lock(&machine).apply_command(log_id(at), kind, bytes);
                kept.map_err(|error| error.to_string())
            });
            match taken {
                Ok((mark, batch)) => {
                    // Read from here on; whoever follows the log is woken after whoever waits for an answer.
                    applied.advance_untold(mark);
                    log.note_committed(at);
                    done(Ok(batch));
                    applied.tell();
                }
                Err(reason) => {
                    stop(&leadership);
                    done(Err(ProposeError::Unknown(reason)));
                }
            }
        };
        Taken { entry: log_store::command_entry(at, command), commits, done: Box::new(written) }
    }

    /// Where the writer finds commands when it begins a group, in the order of the log. They come from there alone then.
    pub fn set_source(&self, source: Source) {
        self.log.set_source(source);
    }

    /// The source has something.
    pub fn call(&self) {
        self.log.call();
    }

    pub fn term(&self) -> Term {
        self.term
    }

    /// Appends a command, where there is nothing in the source yet.
    pub fn submit(&self, command: Command, term: Term) -> Proposal {
        let refused = |error| -> Proposal { Box::pin(std::future::ready(Err(error))) };
        if term != self.term || self.leadership.borrow().stopped {
            return refused(ProposeError::NotLeader(None));
        }
        let kind = match command.decode() {
            Ok(kind) => kind,
            Err(error) => return refused(ProposeError::Unknown(error.to_string())),
        };
        let (sender, receiver) = oneshot::channel();
        let Taken { entry, done, .. } =
            self.entry(&command, kind, Box::new(move |result| drop(sender.send(result.map(drop)))));
        self.log.append(vec![entry], done);
        Box::pin(async move {
            receiver.await.unwrap_or_else(|_| Err(ProposeError::Unknown("this node stopped".to_string())))
        })
    }

    /// Drops entries up to this index, which has to be applied: first a snapshot, then the purge.
    pub async fn purge(&self, index: u64) -> io::Result<()> {
        let Some(last) = self.log.read(index..index + 1, 1)?.first().map(|entry| entry.term) else { return Ok(()) };
        let lsn = self.log.lsn_at(index).unwrap_or(0);
        let mut builder = lock(&self.machine).snapshot_builder();
        builder.build_snapshot().await?;
        write_meta(&self.log, Meta::Purge { mark: EntryMark { term: last, index }, lsn }).await
    }

    /// Nothing is appended from here on.
    pub fn shutdown(&self) {
        stop(&self.leadership);
    }
}

fn stop(leadership: &watch::Sender<Leadership>) {
    leadership.send_modify(|now| *now = Leadership { is_leader: false, stopped: true, ..*now });
}

/// The state that the snapshot and the log behind it amount to. All of the log counts: what is on this disk is committed.
fn replay(log: SegmentLog, applied: Arc<Applied>, outcomes_max: usize) -> io::Result<StateMachine> {
    let mut machine = StateMachine::new(applied, log.clone(), outcomes_max);
    if let Some((meta, state)) = snapshot::load(log.disk())? {
        machine.restore(&meta, &SnapshotState::decode(&state)?);
    }
    let mut next = machine.last_applied().map_or(0, |last: LogId| mark(&last).index + 1).max(log.first_index());
    loop {
        let entries: Vec<Arc<LogEntry>> = log.read(next..u64::MAX, REPLAY_BYTES_MAX)?;
        let Some(newest) = entries.last() else { return Ok(machine) };
        next = newest.index + 1;
        for entry in &entries {
            machine.apply_entry(&decode(entry)?)?;
        }
    }
}
