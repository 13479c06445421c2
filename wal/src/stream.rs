//! Streams of committed batches to subscribers: from the log where they are behind, from memory where they are not.
//!
//! A subscriber pulls; whoever is slow costs nobody anything but reads of the log. The state machine never waits for one.
//!
//! Invariants
//! - Each LSN from the one asked for is delivered once, in order, in a batch or covered by a heartbeat.
//! - Only applied entries are delivered: what one subscriber saw, no leader change takes back.

use crate::raft::{Applied, AppliedMark, Command, CommandKind};
use crate::segment::SegmentLog;
use bytes::Bytes;
use common::branch_points::POINTS_KEY;
use common::cluster_map::MAP_KEY;
use common::env::planted::{Bug, planted};
use common::env::threads;
use common::id::{Lsn, TabletId};
use common::key::Key;
use common::service::wal::{Batch, Mutation, StreamItem, SubscribeRequest, Transaction, WalError};
use futures::stream::{self, BoxStream};
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Bytes of entries read from the log at once, about.
const READ_BYTES_MAX: usize = 4 << 20;
/// The same for the archive, which reads beside commits: looking so many entries up holds up the log's writer for less than a
/// millisecond.
const ENCODED_BYTES_MAX: usize = 512 << 10;
/// Batches taken from memory at once.
const RING_BATCHES_MAX: usize = 256;

/// Where streams read from; shared by all of them.
#[derive(Clone)]
pub struct StreamSource {
    pub log: SegmentLog,
    pub applied: Arc<Applied>,
    pub heartbeat_interval: Duration,
    /// True once the node stops.
    pub stopping: watch::Receiver<bool>,
}

struct Subscriber {
    source: StreamSource,
    marks: watch::Receiver<AppliedMark>,
    /// It wants to know of definitions: batches without any may come late, as heartbeats.
    definitions: Option<watch::Receiver<Lsn>>,
    tablets: HashSet<TabletId>,
    /// The next LSN to deliver.
    next: Lsn,
    ready: VecDeque<StreamItem>,
    /// Said nothing yet: the first heartbeat comes at once.
    silent: bool,
    /// It is time for another one.
    is_due: bool,
    ended: bool,
}

/// The oldest LSN that the log can still deliver.
pub fn first_lsn(source: &StreamSource) -> Lsn {
    let base = source.applied.history().base_lsn.max(source.applied.floor().map_or(Lsn::ZERO, |(_, lsn)| lsn));
    match source.log.purged() {
        None => base.next(),
        // After a snapshot from another node the log begins behind it, and does not know at which LSN.
        Some((_, 0)) => match oldest_batch(source) {
            Ok(Some(batch)) => batch.first_lsn.max(base.next()),
            _ => source.applied.mark().lsn.next(),
        },
        Some((_, lsn)) => base.max(Lsn(lsn)).next(),
    }
}

fn oldest_batch(source: &StreamSource) -> Result<Option<Arc<Batch>>, WalError> {
    let Some(index) = source.log.index_of_lsn(1) else { return Ok(None) };
    Ok(read_log(source, index)?.into_iter().next())
}

/// Starts a stream; see `WalService::subscribe`.
pub fn subscribe(
    source: StreamSource,
    request: SubscribeRequest,
    only_definitions: bool,
) -> Result<BoxStream<'static, Result<StreamItem, WalError>>, WalError> {
    let first = first_lsn(&source);
    let next = request.from.max(Lsn(1));
    if next < first {
        return Err(WalError::Trimmed { first });
    }
    let subscriber = Subscriber {
        marks: source.applied.watch(),
        definitions: only_definitions.then(|| source.applied.watch_definitions()),
        tablets: request.tablets.into_iter().collect(),
        next,
        ready: VecDeque::new(),
        silent: true,
        is_due: false,
        ended: false,
        source,
    };
    Ok(Box::pin(stream::unfold(subscriber, |mut subscriber| async move {
        let item = subscriber.next_item().await?;
        Some((item, subscriber))
    })))
}

impl Subscriber {
    async fn next_item(&mut self) -> Option<Result<StreamItem, WalError>> {
        loop {
            if self.ended {
                return None;
            }
            if let Some(item) = self.ready.pop_front() {
                self.silent = false;
                return Some(Ok(item));
            }
            if let Some(definitions) = &mut self.definitions {
                // Before the mark is read, which is never behind: none is missed.
                definitions.mark_unchanged();
            }
            let AppliedMark { lsn: applied, definitions, .. } = *self.marks.borrow_and_update();
            let wants = self.definitions.is_none() || self.next <= definitions;
            if self.next <= applied && wants {
                self.is_due = false;
                match self.fetch().await {
                    Ok(batches) => self.accept(batches, applied),
                    Err(error) => {
                        self.ended = true;
                        return Some(Err(error));
                    }
                }
                continue;
            }
            if self.silent || self.is_due {
                (self.silent, self.is_due) = (false, false);
                self.next = self.next.max(applied.next());
                return Some(Ok(StreamItem::Heartbeat { up_to: applied }));
            }
            let changed = async {
                match &mut self.definitions {
                    Some(definitions) => definitions.changed().await,
                    None => self.marks.changed().await,
                }
            };
            tokio::select! {
                changed = changed => {
                    if changed.is_err() {
                        return None;
                    }
                }
                _ = self.source.stopping.wait_for(|stopping| *stopping) => {
                    self.ended = true;
                    return Some(Err(WalError::Unavailable("this wal node is stopping".to_string())));
                }
                () = tokio::time::sleep(self.source.heartbeat_interval) => self.is_due = true,
            }
        }
    }

    /// Applied batches from the one that contains `next` on; at least that one.
    async fn fetch(&self) -> Result<Vec<Arc<Batch>>, WalError> {
        let recent = self.source.applied.ring().from(self.next, RING_BATCHES_MAX);
        if !recent.is_empty() {
            return Ok(recent);
        }
        let (source, next) = (self.source.clone(), self.next);
        let read = threads::blocking(move || {
            let batches = match source.log.index_of_lsn(next.0) {
                Some(index) => read_log(&source, above_floor(&source, next, index)?)?,
                None => Vec::new(),
            };
            if batches.first().is_none_or(|batch| batch.first_lsn > next) {
                return Err(match first_lsn(&source) {
                    first if first > next => WalError::Trimmed { first },
                    // A snapshot is being installed here, or the end of the log is being written.
                    _ => WalError::Unavailable(format!("lsn {next} is not readable at this node yet; try again")),
                });
            }
            Ok(batches)
        });
        read.await.map_err(|error| WalError::Unavailable(error.to_string()))?
    }

    /// Queues what of `batches` concerns this subscriber and is not delivered yet.
    fn accept(&mut self, batches: Vec<Arc<Batch>>, applied: Lsn) {
        let mut quiet_up_to = None;
        for batch in batches {
            if batch.last_lsn < self.next || batch.last_lsn > applied {
                continue;
            }
            assert!(batch.first_lsn <= self.next, "a gap between batches of the log");
            match filter(&batch, self.next, &self.tablets) {
                Some(wanted) => {
                    self.ready.push_back(StreamItem::Batch(wanted));
                    quiet_up_to = None;
                }
                None => quiet_up_to = Some(batch.last_lsn),
            }
            self.next = batch.last_lsn.next();
        }
        if let Some(up_to) = quiet_up_to {
            self.ready.push_back(StreamItem::Heartbeat { up_to });
        }
    }
}

/// The part of a batch from `from` on that touches `tablets` (all if empty); `None` if that is nothing.
fn filter(batch: &Arc<Batch>, from: Lsn, tablets: &HashSet<TabletId>) -> Option<Arc<Batch>> {
    // Whatever tablets a subscriber follows, it has to know when the map changes, and of branch points.
    let is_everybodys = |key: &Key| *key == MAP_KEY || *key == POINTS_KEY;
    let wanted = |(tablet, mutation): &(TabletId, Mutation)| {
        tablets.is_empty() || tablets.contains(tablet) || is_everybodys(&mutation.key)
    };
    let whole = batch.first_lsn >= from
        && (tablets.is_empty()
            || batch
                .transactions
                .iter()
                .all(|transaction| !transaction.mutations.is_empty() && transaction.mutations.iter().all(wanted)));
    if whole {
        return Some(batch.clone());
    }
    let mut transactions = Vec::new();
    for transaction in batch.transactions.iter().filter(|transaction| transaction.lsn >= from) {
        let mutations: Vec<_> = transaction.mutations.iter().filter(|mutation| wanted(mutation)).cloned().collect();
        if !mutations.is_empty() || tablets.is_empty() {
            transactions.push(Transaction { mutations, ..transaction.clone() });
        }
    }
    (!transactions.is_empty())
        .then(|| Arc::new(Batch { first_lsn: batch.first_lsn.max(from), transactions, ..**batch }))
}

/// Batches of applied entries from `index` on, reading further where the first entries carry none.
fn read_log(source: &StreamSource, mut index: u64) -> Result<Vec<Arc<Batch>>, WalError> {
    let corrupt = |error: std::io::Error| WalError::Corrupt(error.to_string());
    let Some(last) = source.applied.mark().index else {
        return Ok(Vec::new());
    };
    let mut batches = Vec::new();
    while batches.is_empty() && index <= last {
        let entries = source.log.read(index..last + 1, READ_BYTES_MAX).map_err(corrupt)?;
        let Some(newest) = entries.last() else { break };
        index = newest.index + 1;
        for entry in entries.iter().filter(|entry| entry.last_lsn > 0) {
            if let CommandKind::Batch(batch) = decode(&entry.payload)? {
                batches.push(Arc::new(batch));
            }
        }
    }
    Ok(batches)
}

/// Applied batches from the one of `next` on as the log has them, about `bytes_max` of them; none where there are none yet.
/// Where the log has let go the next one, [`WalError::Trimmed`].
pub fn read_encoded(source: &StreamSource, next: Lsn, bytes_max: usize) -> Result<Vec<Bytes>, WalError> {
    let corrupt = |error: std::io::Error| WalError::Corrupt(error.to_string());
    let Some(mut last) = source.applied.mark().index else { return Ok(Vec::new()) };
    if planted(Bug::UncommittedArchived) {
        last = source.log.last_mark().map_or(last, |mark| mark.index);
    }
    let first = first_lsn(source);
    if next < first {
        return Err(WalError::Trimmed { first });
    }
    // Committed by others and not on this disk yet.
    let Some(index) = source.log.index_of_lsn(next.0) else { return Ok(Vec::new()) };
    let (mut index, mut bytes, mut batches) = (above_floor(source, next, index)?, 0, Vec::new());
    while bytes < bytes_max && index <= last {
        let entries = source.log.read(index..last + 1, ENCODED_BYTES_MAX.min(bytes_max - bytes)).map_err(corrupt)?;
        let Some(newest) = entries.last() else { break };
        index = newest.index + 1;
        for entry in entries.iter().filter(|entry| entry.last_lsn >= next.0) {
            let command = Command::from_encoded(entry.payload.clone());
            let batch = command.map_err(|error| WalError::Corrupt(error.to_string()))?.encoded_batch();
            bytes += batch.as_ref().map_or(0, Bytes::len);
            batches.extend(batch);
        }
    }
    Ok(batches)
}

/// The same index, where the log from there on is the one that was applied.
fn above_floor(source: &StreamSource, next: Lsn, index: u64) -> Result<u64, WalError> {
    match source.applied.floor() {
        Some((_, lsn)) if next <= lsn => Err(WalError::Trimmed { first: lsn.next() }),
        Some((floor, _)) => Ok(index.max(floor + 1)),
        None => Ok(index),
    }
}

fn decode(payload: &bytes::Bytes) -> Result<CommandKind, WalError> {
    Command::from_encoded(payload.clone())
        .and_then(|command| command.decode())
        .map_err(|error| WalError::Corrupt(error.to_string()))
}

/// Applied batches from newest to oldest, until `enough` says so; for rebuilding the conflict window.
pub fn read_backwards(
    source: &StreamSource,
    last_index: u64,
    mut enough: impl FnMut(&Batch) -> bool,
) -> Result<Vec<Batch>, WalError> {
    const ENTRIES_AT_ONCE: u64 = 64;
    let mut batches = Vec::new();
    let mut end = last_index + 1;
    let first = source.log.first_index();
    while end > first {
        let start = end.saturating_sub(ENTRIES_AT_ONCE).max(first);
        let entries = source.log.read(start..end, usize::MAX).map_err(|error| WalError::Corrupt(error.to_string()))?;
        for entry in entries.iter().rev().filter(|entry| entry.last_lsn > 0) {
            if let CommandKind::Batch(batch) = decode(&entry.payload)? {
                let stop = enough(&batch);
                batches.push(batch);
                if stop {
                    return Ok(batches);
                }
            }
        }
        end = start;
    }
    Ok(batches)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::WalMetrics;
    use crate::segment::memory_disk::MemoryDisk;
    use crate::segment::{LogEntry, SegmentOptions};
    use common::id::CommitId;
    use futures::StreamExt;

    /// A log with a batch for each of these LSNs, one an entry.
    fn log(lsns: std::ops::RangeInclusive<u64>) -> SegmentLog {
        let options = SegmentOptions { segment_bytes: 1 << 16, cache_bytes_max: 0 };
        let metrics = Arc::new(WalMetrics::new().expect("metrics"));
        let log = SegmentLog::open(MemoryDisk::new(), options, metrics).expect("an empty log");
        let entry = |lsn: u64| {
            let (commit_id, mutations, counters) = (CommitId(lsn.into()), Vec::new(), Vec::new());
            let transactions = vec![Transaction { lsn: Lsn(lsn), commit_id, mutations, counters }];
            let batch = Batch { first_lsn: Lsn(lsn), last_lsn: Lsn(lsn), time_us: 1, transactions };
            let payload = Command::new(&CommandKind::Batch(batch)).expect("it encodes").encoded().clone();
            LogEntry { index: lsn - 1, term: 1, last_lsn: lsn, payload_kind: 1, payload }
        };
        let (sender, written) = std::sync::mpsc::channel();
        log.append(lsns.map(entry).collect(), Box::new(move |result| sender.send(result).expect("the test waits")));
        written.recv().expect("an answer").expect("written");
        log
    }

    #[tokio::test]
    async fn entries_that_a_snapshot_replaced_are_not_delivered() {
        let applied = Arc::new(Applied::new(10, 0));
        let source = StreamSource {
            log: log(1..=3),
            applied: applied.clone(),
            heartbeat_interval: Duration::from_secs(3600),
            stopping: watch::channel(false).1,
        };
        applied.advance(AppliedMark { index: Some(0), term: 1, lsn: Lsn(1), ..AppliedMark::default() });
        let from_start = || subscribe(source.clone(), SubscribeRequest { from: Lsn(1), tablets: Vec::new() }, false);
        let Ok(mut stream) = from_start() else { panic!("the log has it") };
        let first = stream.next().await.expect("an item").expect("a batch");
        assert!(matches!(first, StreamItem::Batch(batch) if batch.last_lsn == Lsn(1)));
        // Another leader's history comes, and the log here still has what this member had written itself.
        applied.set_floor(7, Lsn(5));
        applied.advance(AppliedMark { index: Some(7), term: 2, lsn: Lsn(5), ..AppliedMark::default() });
        assert_eq!(stream.next().await, Some(Err(WalError::Trimmed { first: Lsn(6) })));
        assert_eq!(from_start().err(), Some(WalError::Trimmed { first: Lsn(6) }));
    }
}
