//! Index: where each entry is on disk, which of them are also in memory, and the facts of the meta records.
//!
//! Guarded by one mutex in `log.rs`, held for memory operations only. The writer thread adds positions after their
//! fdatasync; until then an entry lives in the cache, which never drops what is not written.

use super::disk::DiskFile;
use super::record::{EntryMark, LogEntry, Meta};
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Where an entry's record is.
#[derive(Debug, Clone, Copy)]
pub struct Position {
    pub term: u64,
    /// Newest LSN after this entry, carried over entries without transactions.
    pub lsn: u64,
    pub segment: u64,
    pub offset: u32,
    pub body_bytes: u32,
}

pub struct SegmentInfo {
    pub file: Arc<dyn DiskFile>,
    pub name: String,
    pub size_bytes: u64,
    /// Greatest index of an entry in it, void ones included; `None` without entries.
    pub last_index: Option<u64>,
}

#[derive(Default)]
pub struct Index {
    /// Of the written entries `purged.index + 1 ..`, or `0 ..`.
    positions: VecDeque<Position>,
    /// Entries at the end of the log, the unwritten ones among them.
    cache: VecDeque<Arc<LogEntry>>,
    cache_bytes: usize,
    pub segments: BTreeMap<u64, SegmentInfo>,
    pub vote: Option<Bytes>,
    pub committed: Option<EntryMark>,
    /// The newest entry that is gone, and the newest LSN up to there.
    pub purged: Option<(EntryMark, u64)>,
}

impl Index {
    pub fn first_index(&self) -> u64 {
        self.purged.map_or(0, |(mark, _)| mark.index + 1)
    }

    /// One past the last entry, written or not.
    pub fn next_index(&self) -> u64 {
        self.cache.back().map_or(self.next_written_index(), |entry| entry.index + 1)
    }

    pub fn next_written_index(&self) -> u64 {
        self.first_index() + self.positions.len() as u64
    }

    /// No written entry is left.
    pub fn is_empty(&self) -> bool {
        self.positions.is_empty()
    }

    pub fn position(&self, index: u64) -> Option<&Position> {
        self.positions.get(usize::try_from(index.checked_sub(self.first_index())?).ok()?)
    }

    /// Whether this very entry is written here, or was purged.
    pub fn holds(&self, mark: EntryMark) -> bool {
        self.purged.is_some_and(|(purged, _)| purged.index >= mark.index)
            || self.position(mark.index).is_some_and(|position| position.term == mark.term)
    }

    pub fn cached(&self, index: u64) -> Option<&Arc<LogEntry>> {
        let first = self.cache.front()?.index;
        self.cache.get(usize::try_from(index.checked_sub(first)?).ok()?)
    }

    /// The last entry, or what was purged last where there is none.
    pub fn last_mark(&self) -> Option<EntryMark> {
        if let Some(entry) = self.cache.back() {
            return Some(EntryMark { term: entry.term, index: entry.index });
        }
        match self.positions.back() {
            Some(position) => Some(EntryMark { term: position.term, index: self.next_written_index() - 1 }),
            None => self.purged.map(|(mark, _)| mark),
        }
    }

    /// Newest LSN among what was purged.
    pub fn purged_lsn(&self) -> u64 {
        self.purged.map_or(0, |(_, lsn)| lsn)
    }

    /// The first written entry that carries an LSN of at least `lsn`.
    pub fn index_of_lsn(&self, lsn: u64) -> Option<u64> {
        let at = self.positions.partition_point(|position| position.lsn < lsn);
        (at < self.positions.len()).then(|| self.first_index() + at as u64)
    }

    /// The last entry all of whose transactions are at or below `lsn`.
    pub fn last_index_up_to_lsn(&self, lsn: u64) -> Option<u64> {
        let count = self.positions.partition_point(|position| position.lsn <= lsn) as u64;
        (count > 0).then(|| self.first_index() + count - 1)
    }

    /// Makes an entry readable before it is written.
    pub fn push_unwritten(&mut self, entry: Arc<LogEntry>) {
        assert_eq!(entry.index, self.next_index(), "an append must continue the log");
        self.cache_bytes += entry.payload.len();
        self.cache.push_back(entry);
    }

    /// Records that an entry is on disk, and drops old entries from memory down to `cache_bytes_max`.
    pub fn push_written(&mut self, entry: &LogEntry, segment: u64, offset: u32, body_bytes: u32) {
        assert_eq!(entry.index, self.next_written_index(), "entries are written in order");
        let before = self.positions.back().map_or(self.purged_lsn(), |position| position.lsn);
        let lsn = before.max(entry.last_lsn);
        self.positions.push_back(Position { term: entry.term, lsn, segment, offset, body_bytes });
        if let Some(info) = self.segments.get_mut(&segment) {
            info.last_index = info.last_index.max(Some(entry.index));
        }
    }

    pub fn shrink_cache(&mut self, cache_bytes_max: usize) {
        while self.cache_bytes > cache_bytes_max {
            match self.cache.front() {
                Some(front) if front.index < self.next_written_index() => {
                    self.cache_bytes -= front.payload.len();
                    self.cache.pop_front();
                }
                _ => break,
            }
        }
    }

    /// Takes in a fact that is on disk (or, while recovering, was found there).
    pub fn apply_meta(&mut self, meta: &Meta) {
        match meta {
            Meta::Vote(vote) => self.vote = Some(vote.clone()),
            Meta::Committed(mark) => self.committed = Some(*mark),
            Meta::Truncate { keep } => self.truncate_positions(*keep),
            Meta::Purge { mark, lsn } => self.purge(*mark, *lsn),
            Meta::Checkpoint { vote, committed, purged } => {
                self.vote = vote.clone().or(self.vote.take());
                self.committed = committed.or(self.committed);
                if let Some((mark, lsn)) = purged {
                    self.purge(*mark, *lsn);
                }
            }
        }
    }

    fn truncate_positions(&mut self, keep: Option<u64>) {
        let next = keep.map_or(0, |index| index + 1).max(self.first_index());
        self.positions.truncate(usize::try_from(next - self.first_index()).unwrap_or(usize::MAX));
    }

    /// Forgets cached entries above `keep`.
    pub fn truncate_cache(&mut self, keep: Option<u64>) {
        let next = keep.map_or(0, |index| index + 1);
        while let Some(back) = self.cache.back()
            && back.index >= next
        {
            self.cache_bytes -= back.payload.len();
            self.cache.pop_back();
        }
    }

    fn purge(&mut self, mark: EntryMark, lsn: u64) {
        if self.purged.is_some_and(|(old, _)| old.index > mark.index) {
            return;
        }
        let gone = usize::try_from(mark.index + 1 - self.first_index()).unwrap_or(usize::MAX);
        self.positions.drain(..gone.min(self.positions.len()));
        while let Some(front) = self.cache.front()
            && front.index <= mark.index
        {
            self.cache_bytes -= front.payload.len();
            self.cache.pop_front();
        }
        self.purged = Some((mark, lsn));
    }

    pub fn checkpoint(&self) -> Meta {
        Meta::Checkpoint { vote: self.vote.clone(), committed: self.committed, purged: self.purged }
    }

    /// Oldest segments of which nothing is needed any more. Never the newest one.
    pub fn deletable_segments(&self) -> Vec<u64> {
        let Some((mark, _)) = self.purged else { return Vec::new() };
        let newest = self.segments.keys().next_back().copied();
        self.segments
            .iter()
            .take_while(|(number, info)| {
                Some(**number) != newest && info.last_index.is_none_or(|last| last <= mark.index)
            })
            .map(|(number, _)| *number)
            .collect()
    }

    pub fn log_bytes(&self) -> u64 {
        self.segments.values().map(|info| info.size_bytes).sum()
    }
}
