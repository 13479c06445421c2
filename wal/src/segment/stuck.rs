//! Whether the disk takes what is to be written: no space, a write that does not end, or too much that waits.
//!
//! The writer thread cannot say so while it is held up: a leader looks at it from time to time. What one disk does not take others
//! may have committed long ago, and memory holds all of it meanwhile.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Bytes of entries that may wait for the writer: two of the largest transactions.
const WAITING_BYTES_MAX: usize = 1 << 30;
/// A disk that writes more slowly than this is stuck.
const BYTES_PER_SECOND_MIN: u64 = 4 << 20;

pub struct Stuck {
    told: watch::Sender<bool>,
    /// Since when the writer has been busy with one group, and how many bytes that has.
    under_way: Mutex<Option<(Instant, usize)>>,
}

impl Stuck {
    pub fn new() -> Stuck {
        Stuck { told: watch::Sender::new(false), under_way: Mutex::new(None) }
    }

    pub fn watch(&self) -> watch::Receiver<bool> {
        self.told.subscribe()
    }

    pub fn begin(&self, bytes: usize) {
        *self.under_way.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), bytes));
    }

    /// The group is on disk, or will never be.
    pub fn end(&self) {
        *self.under_way.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.told.send_if_modified(std::mem::take);
    }

    pub fn no_space(&self) {
        self.told.send_replace(true);
    }

    /// Whoever cares for it comes by: `waiting_bytes` are not the writer's yet.
    pub fn look(&self, waiting_bytes: usize, limit: Duration) {
        // Held until it is told, so that it is never told of a group that has ended.
        let under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((since, bytes)) = *under_way else { return };
        let allowed = limit + Duration::from_secs(bytes as u64 / BYTES_PER_SECOND_MIN);
        let taken = since.elapsed();
        if (taken > allowed || waiting_bytes > WAITING_BYTES_MAX) && !*self.told.borrow() {
            tracing::error!(?taken, bytes, waiting_bytes, "the disk of the log does not take what is written");
            self.told.send_replace(true);
        }
    }
}
