//! Follows the log: subscribes after what is applied, applies what comes, and subscribes again after a failure.
//!
//! When memtables are full, it stops taking batches until a flush has made room; the log keeps them meanwhile.

use super::apply::{self, Step, StreamError};
use crate::bulk;
use crate::layer::Layer;
use crate::tablet::Tablets;
use common::bulk::{BulkLayer, is_record};
use common::cluster_map::MAP_KEY;
use common::id::Lsn;
use common::service::WalService;
use common::service::wal::{SubscribeRequest, Transaction, WalError};
use futures::StreamExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

const BACKOFF_MIN: Duration = Duration::from_millis(10);
/// Reads wait for what is not there yet, and another wal node is found at once: asking often costs little.
const BACKOFF_MAX: Duration = Duration::from_millis(250);

pub struct Receiver {
    pub tablets: Arc<Tablets>,
    pub wal: Arc<dyn WalService>,
    /// Told when the active memtable has reached its size.
    pub flush_wanted: Arc<Notify>,
    /// Told when compaction has to come before the next transaction.
    pub compaction_wanted: Arc<Notify>,
    /// Tells when a flush has made room.
    pub flushed: Arc<Notify>,
    pub memtable_bytes_max: usize,
    pub memtables_bytes_max: usize,
    /// Whether a flush can be asked for: a standby has none.
    pub flushes: bool,
}

impl Receiver {
    /// Runs until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let mut backoff = BACKOFF_MIN;
        loop {
            let before = self.tablets.applied();
            let ended = tokio::select! {
                () = stop.cancelled() => return,
                ended = self.follow() => ended,
            };
            if self.tablets.applied() > before {
                backoff = BACKOFF_MIN;
            }
            match ended {
                WalError::Trimmed { first } => tracing::error!(
                    applied = %before, %first,
                    "the log no longer holds what follows the newest layers; start this page server on the store that \
                     the log belongs to, or restore a backup of the log"
                ),
                error => tracing::warn!(%error, ?backoff, "lost the log; subscribing again"),
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(backoff) => {}
            }
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    }

    /// One subscription, until it fails.
    async fn follow(&self) -> WalError {
        let request = SubscribeRequest { from: self.tablets.applied().next(), tablets: Vec::new() };
        let mut stream = match self.wal.subscribe(request).await {
            Ok(stream) => stream,
            Err(error) => return error,
        };
        while let Some(item) = stream.next().await {
            let item = match item {
                Ok(item) => item,
                Err(error) => return error,
            };
            match apply::step(self.tablets.applied(), &item) {
                Ok(Step::Apply { transactions, time_us, up_to }) => {
                    if let Err(error) = self.apply(transactions, time_us).await {
                        return WalError::Unavailable(error.to_string());
                    }
                    self.tablets.applied_up_to(up_to);
                }
                Ok(Step::Skip { up_to }) => self.tablets.applied_up_to(up_to),
                Ok(Step::Nothing) => {}
                Err(error) => return WalError::Unavailable(error.to_string()),
            }
            self.make_room().await;
        }
        WalError::Unavailable("the stream ended".into())
    }

    async fn apply(&self, transactions: &[Transaction], time_us: u64) -> Result<(), StreamError> {
        for transaction in transactions {
            let bulk = self.bulk_of(transaction).await;
            if let Err(error) = bulk.and_then(|bulk| self.tablets.apply(transaction, &bulk, time_us)) {
                // What came before it is applied; the next subscription begins with it.
                self.tablets.applied_up_to(Lsn(transaction.lsn.0 - 1));
                if matches!(error, StreamError::NotClean { .. }) {
                    self.compaction_wanted.notify_one();
                }
                return Err(error);
            }
            // A change of the map is on the store with the next cut; until then its tablets are not compacted.
            // Bulk layers wait for it too: until then their memory is held.
            let wants_flush = |key: &[u8]| key == MAP_KEY || is_record(key);
            if transaction.mutations.iter().any(|(_, mutation)| wants_flush(&mutation.key)) {
                self.flush_wanted.notify_one();
            }
        }
        Ok(())
    }

    /// The layers that a transaction's bulk records name and that are wanted here, open, and with nothing in memtables
    /// that would hide them.
    async fn bulk_of(&self, transaction: &Transaction) -> Result<Vec<Arc<Layer>>, StreamError> {
        let lsn = transaction.lsn;
        let mut layers: Vec<BulkLayer> = Vec::new();
        for (_, mutation) in &transaction.mutations {
            let Some(layer) = BulkLayer::of(mutation) else { continue };
            let layer = layer.map_err(|error| StreamError::BadBulk { lsn, error })?;
            // Once for each tablet that has keys of it.
            if layers.last() != Some(&layer) && self.tablets.want(&layer.range(), lsn) {
                layers.push(layer);
            }
        }
        if layers.is_empty() {
            return Ok(Vec::new());
        }
        let opened = bulk::open(&self.tablets, &layers, lsn).await;
        let opened = opened.map_err(|error| StreamError::NoLayer { lsn, error: error.to_string() })?;
        while layers.iter().any(|layer| self.tablets.hide(&layer.range())) {
            // Seldom: rows that were deleted a moment ago are inserted again.
            if !self.flushes {
                return Err(StreamError::Hidden { lsn });
            }
            self.tablets.cut();
            self.flush_wanted.notify_one();
            self.flushed.notified().await;
        }
        Ok(opened)
    }

    async fn make_room(&self) {
        loop {
            let (largest, active, all) = self.tablets.memtable_bytes();
            if largest < self.memtable_bytes_max && active < self.memtables_bytes_max / 2 {
                return;
            }
            self.flush_wanted.notify_one();
            if all < self.memtables_bytes_max {
                return;
            }
            self.flushed.notified().await;
        }
    }
}
