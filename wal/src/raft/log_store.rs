//! openraft's log storage over [`SegmentLog`]: translates entries and votes, adds nothing.

use super::command::Command;
use super::snapshot::with_addresses;
use super::{Entry, LogId, TypeConfig, Vote};
use crate::segment::{EntryMark, LogEntry, Meta, SegmentLog, WriteFailure};
use bytes::Bytes;
use common::env::planted::{Bug, planted};
use openraft::entry::RaftEntry;
use openraft::storage::{IOFlushed, LogState, RaftLogStorage};
use openraft::{EntryPayload, OptionalSend, RaftLogReader};
use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;
use tokio::sync::watch;

const BLANK: u8 = 0;
const COMMAND: u8 = 1;
/// Without addresses; no longer written.
const OLD_MEMBERSHIP: u8 = 2;
const MEMBERSHIP: u8 = 3;
/// Bytes of entries sent to a follower at once, about.
const REPLICATION_BYTES_MAX: usize = 4 << 20;

/// Term and LSN of the newest batch that was put into the log of this node, on disk or not.
pub type Appended = watch::Sender<(u64, u64)>;

#[derive(Clone)]
pub struct LogStore {
    log: SegmentLog,
    appended: Arc<Appended>,
}

impl LogStore {
    pub fn new(log: SegmentLog, appended: Arc<Appended>) -> LogStore {
        LogStore { log, appended }
    }

    async fn write_meta(&self, meta: Meta) -> Result<(), io::Error> {
        write_meta(&self.log, meta).await
    }
}

/// Durable when it returns.
pub async fn write_meta(log: &SegmentLog, meta: Meta) -> Result<(), io::Error> {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    // The receiver is gone only if the caller is, and then nobody wants to know.
    log.write_meta(meta, Box::new(move |result| drop(sender.send(result))));
    match receiver.await {
        Ok(result) => result.map_err(write_error),
        Err(_) => Err(io::Error::other("the log was closed")),
    }
}

fn write_error(failure: WriteFailure) -> io::Error {
    io::Error::new(failure.kind, failure.reason)
}

pub fn log_id(mark: EntryMark) -> LogId {
    LogId::new_term_index(mark.term, mark.index)
}

pub fn mark(log_id: &LogId) -> EntryMark {
    EntryMark { term: log_id.committed_leader_id().term, index: log_id.index() }
}

/// The entry of a command, as [`encode`] makes it.
pub fn command_entry(at: EntryMark, command: &Command) -> LogEntry {
    LogEntry {
        index: at.index,
        term: at.term,
        last_lsn: command.last_lsn().0,
        payload_kind: COMMAND,
        payload: command.encoded().clone(),
    }
}

pub fn encode(entry: Entry) -> Result<LogEntry, io::Error> {
    let EntryMark { term, index } = mark(&entry.log_id());
    let (payload_kind, payload, last_lsn) = match entry.payload {
        EntryPayload::Blank => (BLANK, Bytes::new(), 0),
        EntryPayload::Normal(command) => (COMMAND, command.encoded().clone(), command.last_lsn().0),
        EntryPayload::Membership(membership) => {
            (MEMBERSHIP, postcard::to_stdvec(&membership).map_err(io::Error::other)?.into(), 0)
        }
    };
    Ok(LogEntry { index, term, last_lsn, payload_kind, payload })
}

pub fn decode(entry: &LogEntry) -> Result<Entry, io::Error> {
    let malformed =
        |what: String| io::Error::new(io::ErrorKind::InvalidData, format!("log entry {}: {what}", entry.index));
    let payload = match entry.payload_kind {
        BLANK => EntryPayload::Blank,
        COMMAND => EntryPayload::Normal(
            Command::from_encoded(entry.payload.clone()).map_err(|error| malformed(error.to_string()))?,
        ),
        OLD_MEMBERSHIP => {
            let old =
                postcard::from_bytes(&entry.payload).map_err(|error| malformed(format!("membership: {error}")))?;
            EntryPayload::Membership(with_addresses(&old)?)
        }
        MEMBERSHIP => EntryPayload::Membership(
            postcard::from_bytes(&entry.payload).map_err(|error| malformed(format!("membership: {error}")))?,
        ),
        other => return Err(malformed(format!("payload of unknown kind {other}"))),
    };
    Ok(Entry { log_id: log_id(EntryMark { term: entry.term, index: entry.index }), payload })
}

impl RaftLogReader<TypeConfig> for LogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, io::Error> {
        let start = match range.start_bound() {
            Bound::Included(start) => *start,
            Bound::Excluded(start) => start.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(end) => end.saturating_add(1),
            Bound::Excluded(end) => *end,
            Bound::Unbounded => u64::MAX,
        };
        self.log.read(start..end, usize::MAX)?.iter().map(|entry| decode(entry)).collect()
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        let vote = self.log.vote();
        vote.map(|encoded| postcard::from_bytes(&encoded).map_err(io::Error::other)).transpose()
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry>, io::Error> {
        self.log.read(start..end, REPLICATION_BYTES_MAX)?.iter().map(|entry| decode(entry)).collect()
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = LogStore;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, io::Error> {
        Ok(LogState {
            last_purged_log_id: self.log.purged().map(|(mark, _)| log_id(mark)),
            last_log_id: self.log.last_mark().map(log_id),
        })
    }

    async fn get_log_reader(&mut self) -> LogStore {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        if planted(Bug::VoteNotSaved) {
            return Ok(());
        }
        let encoded = postcard::to_stdvec(vote).map_err(io::Error::other)?;
        self.write_meta(Meta::Vote(encoded.into())).await
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        if let Some(log_id) = committed {
            self.log.note_committed(mark(&log_id));
        }
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        Ok(self.log.committed().map(log_id))
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries = entries.into_iter().map(encode).collect::<Result<Vec<_>, _>>()?;
        let newest = entries.iter().rev().find(|entry| entry.last_lsn > 0).map(|entry| (entry.term, entry.last_lsn));
        self.log.append(entries, Box::new(move |result| callback.io_completed(result.map_err(write_error))));
        if let Some(newest) = newest {
            self.appended.send_replace(newest);
        }
        Ok(())
    }

    async fn truncate_after(&mut self, last_log_id: Option<LogId>) -> Result<(), io::Error> {
        self.write_meta(Meta::Truncate { keep: last_log_id.map(|log_id| log_id.index()) }).await
    }

    async fn purge(&mut self, purged: LogId) -> Result<(), io::Error> {
        // After a snapshot was installed, the log may not reach this far, and the LSN is the snapshot's to know.
        let lsn = self.log.lsn_at(purged.index()).unwrap_or(0);
        self.write_meta(Meta::Purge { mark: mark(&purged), lsn }).await
    }
}
