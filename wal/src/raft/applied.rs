//! What this node has applied: written by the state machine, read by the service and by streams.

use crate::sequencer::History;
use common::id::Lsn;
use common::service::wal::Batch;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// How far the state machine is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AppliedMark {
    /// Index of the newest entry; `None` before the first.
    pub index: Option<u64>,
    pub term: u64,
    pub lsn: Lsn,
    /// The newest that wrote to the table of definitions, or later: after a snapshot nobody knows.
    pub definitions: Lsn,
    /// All up to here is in layers, as the log says.
    pub trim: Lsn,
    /// Of the batches that this process has applied: how much there is to archive, about.
    pub bytes: u64,
}

/// The newest batches, so that subscribers who follow closely need not read the log.
#[derive(Default)]
pub struct Ring {
    batches: VecDeque<(Arc<Batch>, usize)>,
    bytes: usize,
}

impl Ring {
    fn push(&mut self, batch: Arc<Batch>, bytes: usize, bytes_max: usize) {
        self.bytes += bytes;
        self.batches.push_back((batch, bytes));
        while self.bytes > bytes_max
            && self.batches.len() > 1
            && let Some((_, bytes)) = self.batches.pop_front()
        {
            self.bytes -= bytes;
        }
    }

    /// Batches from the one that contains `from` on, at most `count_max`; empty where that one is not here.
    pub fn from(&self, from: Lsn, count_max: usize) -> Vec<Arc<Batch>> {
        if self.batches.front().is_none_or(|(first, _)| first.first_lsn > from) {
            return Vec::new();
        }
        let start = self.batches.partition_point(|(batch, _)| batch.last_lsn < from);
        self.batches.range(start..).take(count_max).map(|(batch, _)| batch.clone()).collect()
    }
}

pub struct Applied {
    /// Changed by the state machine only.
    history: Mutex<History>,
    ring: Mutex<Ring>,
    ring_bytes_max: usize,
    mark: watch::Sender<AppliedMark>,
    /// Of the mark, for those who care for nothing else: it changes seldom.
    trim: watch::Sender<Lsn>,
    definitions: watch::Sender<Lsn>,
    /// See [`Applied::floor`].
    floor: Mutex<Option<(u64, Lsn)>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Applied {
    pub fn new(outcomes_max: usize, ring_bytes_max: usize) -> Applied {
        Applied {
            history: Mutex::new(History::new(outcomes_max)),
            ring: Mutex::default(),
            ring_bytes_max,
            mark: watch::Sender::new(AppliedMark::default()),
            trim: watch::Sender::new(Lsn::ZERO),
            definitions: watch::Sender::new(Lsn::ZERO),
            floor: Mutex::new(None),
        }
    }

    pub fn history(&self) -> MutexGuard<'_, History> {
        lock(&self.history)
    }

    pub fn ring(&self) -> MutexGuard<'_, Ring> {
        lock(&self.ring)
    }

    pub fn mark(&self) -> AppliedMark {
        *self.mark.borrow()
    }

    pub fn watch(&self) -> watch::Receiver<AppliedMark> {
        self.mark.subscribe()
    }

    /// Index and LSN of a snapshot that came in place of the entries up to there. What the log may still have of those,
    /// until it is purged, was never committed.
    pub fn floor(&self) -> Option<(u64, Lsn)> {
        *lock(&self.floor)
    }

    pub(crate) fn set_floor(&self, index: u64, lsn: Lsn) {
        *lock(&self.floor) = Some((index, lsn));
    }

    pub(super) fn push_batch(&self, batch: Arc<Batch>, bytes: usize) {
        self.ring().push(batch, bytes, self.ring_bytes_max);
    }

    pub(super) fn clear_ring(&self) {
        *self.ring() = Ring::default();
    }

    pub fn watch_trim(&self) -> watch::Receiver<Lsn> {
        self.trim.subscribe()
    }

    pub fn watch_definitions(&self) -> watch::Receiver<Lsn> {
        self.definitions.subscribe()
    }

    pub(crate) fn advance(&self, mark: AppliedMark) {
        self.advance_untold(mark);
        self.tell();
    }

    /// As [`Applied::advance`], for one who has something to do before others wake up: [`Applied::tell`] has to follow.
    pub(super) fn advance_untold(&self, mark: AppliedMark) {
        self.mark.send_if_modified(|now| {
            *now = mark;
            false
        });
    }

    pub(super) fn tell(&self) {
        self.mark.send_modify(|_| {});
        let AppliedMark { trim, definitions, .. } = self.mark();
        for (watched, now) in [(&self.trim, trim), (&self.definitions, definitions)] {
            watched.send_if_modified(|known| std::mem::replace(known, now) != now);
        }
    }
}
