//! Follows the log: subscribes after what is applied, applies what comes, and subscribes again after a failure.
//!
//! When memtables are full, it stops taking batches until a flush has made room; the log keeps them meanwhile.

use super::apply::{self, Step};
use crate::tablet::Tablet;
use common::service::WalService;
use common::service::wal::{SubscribeRequest, WalError};
use futures::StreamExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

const BACKOFF_MIN: Duration = Duration::from_millis(10);
const BACKOFF_MAX: Duration = Duration::from_secs(2);

pub struct Receiver {
    pub tablet: Arc<Tablet>,
    pub wal: Arc<dyn WalService>,
    /// Told when the active memtable has reached its size.
    pub flush_wanted: Arc<Notify>,
    /// Tells when a flush has made room.
    pub flushed: Arc<Notify>,
    pub memtable_bytes_max: usize,
    pub memtables_bytes_max: usize,
}

impl Receiver {
    /// Runs until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let mut backoff = BACKOFF_MIN;
        loop {
            let before = self.tablet.applied();
            let ended = tokio::select! {
                () = stop.cancelled() => return,
                ended = self.follow() => ended,
            };
            if self.tablet.applied() > before {
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
        let request = SubscribeRequest { from: self.tablet.applied().next(), tablets: Vec::new() };
        let mut stream = match self.wal.subscribe(request).await {
            Ok(stream) => stream,
            Err(error) => return error,
        };
        while let Some(item) = stream.next().await {
            let item = match item {
                Ok(item) => item,
                Err(error) => return error,
            };
            match apply::step(self.tablet.applied(), &item) {
                Ok(Step::Apply { transactions, time_us, up_to }) => {
                    transactions.iter().for_each(|transaction| self.tablet.apply(transaction, time_us));
                    self.tablet.applied_up_to(up_to);
                }
                Ok(Step::Skip { up_to }) => self.tablet.applied_up_to(up_to),
                Ok(Step::Nothing) => {}
                Err(error) => return WalError::Unavailable(error.to_string()),
            }
            self.make_room().await;
        }
        WalError::Unavailable("the stream ended".into())
    }

    async fn make_room(&self) {
        loop {
            let (active, all) = self.tablet.memtable_bytes();
            if active < self.memtable_bytes_max {
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
