//! The handle on a node's log: append, truncate, purge, read. Cheap to clone.

use super::disk::Disk;
use super::index::Index;
use super::reader;
use super::record::{EntryMark, LogEntry, Meta};
use super::recovery::{self, RecoveryError};
use super::stuck::Stuck;
use super::writer::Writer;
use crate::metrics::WalMetrics;
use bytes::Bytes;
use common::env::threads;
use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};

#[derive(Debug, Clone)]
pub struct SegmentOptions {
    /// A segment is this large, or as large as its first entry needs.
    pub segment_bytes: u64,
    /// Entries kept in memory for followers and subscribers, beside those not written yet.
    pub cache_bytes_max: usize,
}

/// The log cannot be written any more; the process has to be restarted once the cause is gone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the log cannot be written: {reason}")]
pub struct WriteFailure {
    pub kind: io::ErrorKind,
    pub reason: String,
}

/// Called on the writer thread, once, when the request is on disk or never will be.
pub type WriteDone = Box<dyn FnOnce(Result<(), WriteFailure>) + Send>;

/// What a source has for the log.
pub struct Taken {
    pub entry: LogEntry,
    /// Transactions in it.
    pub commits: usize,
    pub done: WriteDone,
}

/// Gives what has gathered for the log, one entry at a time, on the writer's thread, when a group is about to be written.
pub type Source = Box<dyn Fn() -> Option<Taken> + Send + Sync>;

pub(super) struct WriteRequest {
    pub entries: Vec<Arc<LogEntry>>,
    pub meta: Option<Meta>,
    pub done: Option<WriteDone>,
}

impl WriteRequest {
    /// Of its entries.
    pub fn bytes(&self) -> usize {
        self.entries.iter().map(|entry| entry.payload.len()).sum()
    }
}

/// What is written together.
#[derive(Default)]
pub(super) struct Group {
    pub requests: Vec<WriteRequest>,
    /// The source has something for it.
    pub takes_in: bool,
    /// Transactions that came from the source.
    pub commits: usize,
}

impl Group {
    pub fn bytes(&self) -> usize {
        self.requests.iter().map(WriteRequest::bytes).sum()
    }
}

#[derive(Default)]
struct Queue {
    requests: VecDeque<WriteRequest>,
    /// The source has called since the last group.
    is_called: bool,
    /// Of the entries in them.
    bytes: usize,
    /// Written with the next group, or alone after [`IDLE_BEFORE_LAZY_WRITE`].
    lazy_committed: Option<EntryMark>,
    /// For a writer that is a task: it has waited.
    lazy_is_due: bool,
    /// The writer waits for something to be signalled; while it writes it looks here by itself.
    writer_waits: bool,
    /// It does so without end: for a while after each group it also looks whether a committed position has come.
    writer_sleeps: bool,
    closed: bool,
    /// As if the process had died: nothing that waits is written.
    killed: bool,
}

/// A committed position that no other write takes along is written after this much silence. It also protects the
/// last group: recovery sees by it that the group was synced.
pub(super) const IDLE_BEFORE_LAZY_WRITE: Duration = Duration::from_millis(100);
/// Between two looks at a full disk.
const FULL_DISK_RETRY: Duration = Duration::from_millis(200);
/// Bytes of entries in one write, about.
const GROUP_BYTES_MAX: usize = 16 << 20;

pub(super) struct Shared {
    pub options: SegmentOptions,
    index: Mutex<Index>,
    queue: Mutex<Queue>,
    /// Signalled when something enters the queue.
    queued: Condvar,
    /// The same for a writer that is a task.
    pub queued_simulated: Notify,
    failure: Mutex<Option<WriteFailure>>,
    source: OnceLock<Source>,
    pub stuck: Stuck,
    metrics: Arc<WalMetrics>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a writer that is a task finds.
pub(super) enum GroupNow {
    Ready(Group),
    /// Only a committed position waits.
    Lazy,
    Nothing,
    Ended,
}

impl Shared {
    pub fn index(&self) -> MutexGuard<'_, Index> {
        lock(&self.index)
    }

    pub fn failure(&self) -> Option<WriteFailure> {
        lock(&self.failure).clone()
    }

    /// From now on nothing is written or acknowledged.
    pub fn fail(&self, error: &io::Error) -> WriteFailure {
        let failure = WriteFailure { kind: error.kind(), reason: error.to_string() };
        tracing::error!(%error, "the log cannot be written; this node stops accepting commits");
        lock(&self.failure).get_or_insert(failure).clone()
    }

    pub fn observe_sync(&self, elapsed: Duration, bytes: usize) {
        self.metrics.observe_sync(elapsed, bytes);
    }

    /// Waits a moment. False: the writer has to end.
    pub fn wait_before_retry(&self) -> bool {
        let deadline = Instant::now() + FULL_DISK_RETRY;
        let mut queue = lock(&self.queue);
        while let Some(left) = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            if queue.closed || queue.killed {
                return false;
            }
            queue.writer_waits = true;
            queue = self.queued.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
            queue.writer_waits = false;
        }
        !(queue.closed || queue.killed)
    }

    /// What has entered the queue is to be seen.
    fn signal(&self, mut queue: MutexGuard<'_, Queue>) {
        let waits = std::mem::take(&mut queue.writer_waits);
        // Whoever wakes up needs it.
        drop(queue);
        if waits {
            self.queued.notify_all();
        }
        if threads::are_simulated() {
            self.queued_simulated.notify_one();
        }
    }

    pub fn is_killed(&self) -> bool {
        lock(&self.queue).killed
    }

    /// As [`Shared::next_group`], without waiting.
    pub fn group_now(&self) -> GroupNow {
        let mut queue = lock(&self.queue);
        if queue.killed {
            queue.requests.clear();
            return GroupNow::Ended;
        }
        match (queue.is_empty(), queue.lazy_committed.is_some(), queue.closed) {
            (false, ..) | (true, true, true) => GroupNow::Ready(take_group(&mut queue)),
            (true, false, true) => GroupNow::Ended,
            (true, true, false) if queue.lazy_is_due => GroupNow::Ready(take_group(&mut queue)),
            (true, true, false) => GroupNow::Lazy,
            (true, false, false) => GroupNow::Nothing,
        }
    }

    /// The silence was long enough, if nothing has come.
    pub fn lazy_is_due(&self) {
        lock(&self.queue).lazy_is_due = true;
    }

    /// Everything that waits, up to a limit; blocks until there is something. `None`: the writer has to end.
    pub fn next_group(&self) -> Option<Group> {
        let mut queue = lock(&self.queue);
        loop {
            if queue.killed {
                queue.requests.clear();
                return None;
            }
            if !queue.is_empty() {
                break;
            }
            if queue.closed {
                return queue.lazy_committed.is_some().then(|| take_group(&mut queue));
            }
            queue.writer_waits = true;
            if queue.writer_sleeps {
                queue = self.queued.wait(queue).unwrap_or_else(PoisonError::into_inner);
                (queue.writer_waits, queue.writer_sleeps) = (false, false);
                continue;
            }
            let waited = self.queued.wait_timeout(queue, IDLE_BEFORE_LAZY_WRITE);
            let (guard, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            queue = guard;
            queue.writer_waits = false;
            if timeout.timed_out() && queue.is_empty() && !queue.killed {
                if queue.lazy_committed.is_some() {
                    break;
                }
                queue.writer_sleeps = true;
            }
        }
        Some(take_group(&mut queue))
    }

    /// Takes what the source has into a group, up to a limit.
    pub fn take_in(&self, group: &mut Group) {
        let Some(source) = self.source.get() else { return };
        let mut bytes = group.bytes();
        while bytes < GROUP_BYTES_MAX {
            let Some(Taken { entry, commits, done }) = source() else { return };
            let request = WriteRequest { entries: vec![Arc::new(entry)], meta: None, done: Some(done) };
            self.index().push_unwritten(request.entries[0].clone());
            bytes += request.bytes();
            group.requests.push(request);
            group.commits += commits;
        }
        lock(&self.queue).is_called = true;
    }
}

impl Queue {
    /// Nothing that has to be written now.
    fn is_empty(&self) -> bool {
        self.requests.is_empty() && !self.is_called
    }
}

fn take_group(queue: &mut Queue) -> Group {
    let mut group = Group { takes_in: std::mem::take(&mut queue.is_called), ..Group::default() };
    queue.lazy_is_due = false;
    if let Some(mark) = queue.lazy_committed.take() {
        group.requests.push(WriteRequest { entries: Vec::new(), meta: Some(Meta::Committed(mark)), done: None });
    }
    let mut bytes = 0;
    while bytes < GROUP_BYTES_MAX
        && let Some(request) = queue.requests.pop_front()
    {
        bytes += request.bytes();
        group.requests.push(request);
    }
    queue.bytes -= bytes;
    group
}

/// A node's log. Clones share it; it is closed by [`SegmentLog::close`].
#[derive(Clone)]
pub struct SegmentLog {
    shared: Arc<Shared>,
    disk: Arc<dyn Disk>,
    writer: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl SegmentLog {
    /// Reads and checks what is on disk and starts the writer thread.
    pub fn open(
        disk: Arc<dyn Disk>,
        options: SegmentOptions,
        metrics: Arc<WalMetrics>,
    ) -> Result<SegmentLog, RecoveryError> {
        let recovered = recovery::recover(&*disk)?;
        if recovered.torn_bytes > 0 {
            tracing::warn!(bytes = recovered.torn_bytes, "cut off a write that a crash had interrupted");
        }
        let shared = Arc::new(Shared {
            options,
            index: Mutex::new(recovered.index),
            queue: Mutex::default(),
            queued: Condvar::new(),
            queued_simulated: Notify::new(),
            failure: Mutex::new(None),
            source: OnceLock::new(),
            stuck: Stuck::new(),
            metrics,
        });
        let writer = Writer::new(disk.clone(), shared.clone(), recovered.write_position, recovered.next_segment);
        if threads::are_simulated() {
            // It ends as the thread does, when the log is closed or killed.
            tokio::spawn(writer.run_simulated());
            return Ok(SegmentLog { shared, disk, writer: Arc::default() });
        }
        let thread = std::thread::Builder::new()
            .name("log-writer".to_string())
            .spawn(move || writer.run())
            .map_err(|source| RecoveryError::Io { doing: "start the writer of", path: disk.path_of(""), source })?;
        Ok(SegmentLog { shared, disk, writer: Arc::new(Mutex::new(Some(thread))) })
    }

    /// Adds entries; they are readable at once. `done` is called when they are on disk.
    pub fn append(&self, entries: Vec<LogEntry>, done: WriteDone) {
        let entries: Vec<Arc<LogEntry>> = entries.into_iter().map(Arc::new).collect();
        {
            let mut index = self.shared.index();
            for entry in &entries {
                index.push_unwritten(entry.clone());
            }
        }
        self.submit(WriteRequest { entries, meta: None, done: Some(done) });
    }

    /// From now on the writer takes what `source` has when it is called for. One source for a log.
    pub fn set_source(&self, source: Source) {
        assert!(self.shared.source.set(source).is_ok(), "a log has one source");
    }

    /// The source has something.
    pub fn call(&self) {
        let mut queue = lock(&self.shared.queue);
        queue.is_called = true;
        self.shared.signal(queue);
    }

    /// Makes a fact durable, after everything appended before.
    pub fn write_meta(&self, meta: Meta, done: WriteDone) {
        if let Meta::Truncate { keep } = &meta {
            self.shared.index().truncate_cache(*keep);
        }
        self.submit(WriteRequest { entries: Vec::new(), meta: Some(meta), done: Some(done) });
    }

    /// Remembers how far the log is committed. Written with the next group; losing it costs nothing but time. Comes behind
    /// each group, so it wakes nobody: the writer looks for it some time after.
    pub fn note_committed(&self, mark: EntryMark) {
        let mut queue = lock(&self.shared.queue);
        queue.lazy_committed = Some(mark);
        if queue.writer_sleeps || threads::are_simulated() {
            self.shared.signal(queue);
        }
    }

    fn submit(&self, request: WriteRequest) {
        let mut queue = lock(&self.shared.queue);
        if queue.closed || queue.killed {
            drop(queue);
            if let Some(done) = request.done {
                done(Err(WriteFailure { kind: io::ErrorKind::Other, reason: "the log is closed".to_string() }));
            }
            return;
        }
        queue.bytes += request.bytes();
        queue.requests.push_back(request);
        self.shared.signal(queue);
    }

    /// Entries of `range` that exist, in order, stopping after about `bytes_max` (but never before the first).
    pub fn read(&self, range: Range<u64>, bytes_max: usize) -> io::Result<Vec<Arc<LogEntry>>> {
        enum Source {
            Memory(Arc<LogEntry>),
            Disk(super::index::Position, Arc<dyn super::disk::DiskFile>, String),
        }
        let mut sources = Vec::new();
        {
            let index = self.shared.index();
            let mut bytes = 0;
            for at in range.start.max(index.first_index())..range.end.min(index.next_index()) {
                if bytes >= bytes_max {
                    break;
                }
                if let Some(entry) = index.cached(at) {
                    bytes += entry.payload.len();
                    sources.push((at, Source::Memory(entry.clone())));
                } else if let Some(position) = index.position(at)
                    && let Some(info) = index.segments.get(&position.segment)
                {
                    bytes += position.body_bytes as usize;
                    sources.push((at, Source::Disk(*position, info.file.clone(), info.name.clone())));
                } else {
                    return Err(io::Error::other(format!("entry {at} is neither in memory nor on disk")));
                }
            }
        }
        let mut entries = Vec::with_capacity(sources.len());
        for (at, source) in sources {
            entries.push(match source {
                Source::Memory(entry) => entry,
                Source::Disk(position, file, name) => {
                    Arc::new(reader::read_entry(&*file, &self.disk.path_of(&name), &position, at)?)
                }
            });
        }
        Ok(entries)
    }

    pub fn vote(&self) -> Option<Bytes> {
        self.shared.index().vote.clone()
    }

    /// How far the log was committed, as far as it was noted, and is here: the note comes from the leader, and may be on
    /// disk before the entries that it speaks of, or beside others that were never committed.
    pub fn committed(&self) -> Option<EntryMark> {
        let index = self.shared.index();
        index.committed.filter(|mark| index.holds(*mark))
    }

    /// Whether this very entry is on disk, or was purged.
    pub fn holds(&self, mark: EntryMark) -> bool {
        self.shared.index().holds(mark)
    }

    /// The last entry, or what was purged last where there is none.
    pub fn last_mark(&self) -> Option<EntryMark> {
        self.shared.index().last_mark()
    }

    /// The newest entry that is gone, and the newest LSN up to there.
    pub fn purged(&self) -> Option<(EntryMark, u64)> {
        self.shared.index().purged
    }

    pub fn first_index(&self) -> u64 {
        self.shared.index().first_index()
    }

    /// The first entry on disk that reaches `lsn`.
    pub fn index_of_lsn(&self, lsn: u64) -> Option<u64> {
        self.shared.index().index_of_lsn(lsn)
    }

    /// The last entry whose removal would let a whole segment go and loses nothing above `lsn`.
    pub fn purgeable_up_to_lsn(&self, lsn: u64) -> Option<u64> {
        let index = self.shared.index();
        let limit = index.last_index_up_to_lsn(lsn)?;
        let newest = index.segments.keys().next_back().copied()?;
        let whole = index.segments.iter().take_while(|(number, _)| **number != newest);
        whole.filter_map(|(_, info)| info.last_index).take_while(|last| *last <= limit).last()
    }

    /// Newest LSN of the entries up to this index, which must be on disk.
    pub fn lsn_at(&self, index: u64) -> Option<u64> {
        self.shared.index().position(index).map(|position| position.lsn)
    }

    pub fn log_bytes(&self) -> u64 {
        self.shared.index().log_bytes()
    }

    pub fn failure(&self) -> Option<WriteFailure> {
        self.shared.failure()
    }

    /// True while the disk does not take what is to be written next.
    pub fn stuck(&self) -> watch::Receiver<bool> {
        self.shared.stuck.watch()
    }

    /// Finds out whether a write takes longer than `limit`.
    pub fn look_whether_stuck(&self, limit: Duration) {
        let waiting_bytes = lock(&self.shared.queue).bytes;
        self.shared.stuck.look(waiting_bytes, limit);
    }

    pub fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    /// Writes what waits and ends the writer thread. Blocks.
    pub fn close(&self) {
        let mut queue = lock(&self.shared.queue);
        queue.closed = true;
        self.shared.signal(queue);
        self.join();
    }

    /// Ends the writer thread as a crash would: what waits is lost, unanswered. Blocks for the write under way.
    pub fn kill(&self) {
        let mut queue = lock(&self.shared.queue);
        queue.killed = true;
        self.shared.signal(queue);
        self.join();
    }

    fn join(&self) {
        let thread = lock(&self.writer).take();
        if let Some(thread) = thread
            // The writer itself has the last handle where nobody closed the log: it is at its end.
            && thread.thread().id() != std::thread::current().id()
            && thread.join().is_err()
        {
            tracing::error!("the log's writer thread panicked");
        }
        self.disk.release();
    }
}

impl Drop for SegmentLog {
    fn drop(&mut self) {
        // The last handle: without a close this is a crash.
        if Arc::strong_count(&self.writer) == 1 {
            self.kill();
        }
    }
}
