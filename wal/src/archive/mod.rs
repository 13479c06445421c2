//! Archive: the leader brings what is committed to the object store, and removes there what nobody will read again.
//!
//! ```text
//! applied mark ─▶ sealer: due by size or age? ─▶ read from the log, applied entries only ─▶ object, put if absent ─▶ trim may go on
//! ```
//!
//! A task of its own looks twice a second; no commit knows of it. What it reads are the bytes of the log, which it copies.
//!
//! Invariants
//! - Only what is applied is archived: it is committed, so every leader that ever archives an LSN archives the same.
//! - The log keeps what is not archived, up to a bound of its size. What is lost to the bound is a gap, and is told.
//! - What a recovery could read (above what is in layers) is never deleted.

mod retention;
mod sealer;

use crate::WallClock;
use crate::config::ArchiveConfig;
use crate::driver::Desk;
use crate::metrics::WalMetrics;
use crate::raft::Leadership;
use crate::stream::{self, StreamSource};
use common::env::threads;
use common::id::{Lsn, Term};
use common::log_archive::{ArchiveError, LogArchive, Sealed};
use common::service::wal::WalError;
use sealer::Sealer;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// How often the leader looks whether an object is due.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// Between two attempts that failed, beside the repeats of each request to the store.
const BACKOFF_MIN: Duration = Duration::from_millis(500);
const BACKOFF_MAX: Duration = Duration::from_secs(30);

pub struct Archiver {
    pub archive: LogArchive,
    pub config: ArchiveConfig,
    pub source: StreamSource,
    pub desk: Arc<Desk>,
    pub leadership: watch::Receiver<Leadership>,
    pub metrics: Arc<WalMetrics>,
    pub clock: WallClock,
}

/// Why this leader archives nothing more.
enum Ended {
    /// Another log was founded beside this store: what comes here is not its history.
    Superseded(u64),
}

impl Archiver {
    /// Runs until the node stops.
    pub async fn run(self) {
        let mut stopping = self.source.stopping.clone();
        tokio::select! {
            () = self.follow() => {}
            _ = stopping.wait_for(|stopping| *stopping) => {}
        }
    }

    async fn follow(&self) {
        let mut leadership = self.leadership.clone();
        loop {
            let now = *leadership.borrow_and_update();
            if now.stopped {
                return;
            }
            let over = leadership.wait_for(move |later| later.term != now.term || later.is_leader != now.is_leader);
            if !now.is_leader {
                if over.await.is_err() {
                    return;
                }
                continue;
            }
            let ended = tokio::select! {
                over = over => match over {
                    Ok(_) => None,
                    Err(_) => return,
                },
                ended = self.lead(now.term) => Some(ended),
            };
            self.metrics.archive_lag_lsns.set(0);
            self.metrics.archive_lag_seconds.set(0.0);
            if let Some(Ended::Superseded(by)) = ended {
                tracing::error!(
                    generation = by,
                    "another log was founded beside this store; nothing of this one is archived any more"
                );
                if leadership.changed().await.is_err() {
                    return;
                }
            }
        }
    }

    /// Archives while this node leads in `term`.
    async fn lead(&self, term: Term) -> Ended {
        let mut marks = self.source.applied.watch();
        // All entries of earlier terms are applied then.
        if marks.wait_for(move |mark| mark.term >= term.0).await.is_err() {
            return std::future::pending().await;
        }
        let generation = self.source.applied.history().generation;
        let archived = match self.insist_on_beginning(generation).await {
            Ok(archived) => archived,
            Err(ended) => return ended,
        };
        let mut sealer = Sealer::new(self.config.seal_bytes, self.config.seal_age, archived);
        self.tell(&sealer);
        tracing::info!(generation, term = term.0, lsn = archived.0, "archiving the log");
        let mut sweep_at = Instant::now() + self.config.sweep_interval();
        loop {
            let mark = self.source.applied.mark();
            let now = Instant::now();
            if sealer.is_due(mark.lsn, mark.bytes, now) {
                self.gauge(&sealer);
                if self.seal(&mut sealer, generation, term).await {
                    continue;
                }
            } else if now >= sweep_at {
                sweep_at = now + self.config.sweep_interval();
                match self.sweep(generation).await {
                    Ok(None) => {}
                    Ok(Some(by)) => return Ended::Superseded(by),
                    Err(error) => {
                        self.metrics.archive_failures.inc();
                        tracing::warn!(%error, "archived log that is not needed was not removed; it is tried again");
                    }
                }
            }
            // Also to a leader that began to serve after this task did.
            self.tell(&sealer);
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }

    /// The newest LSN that is archived. `Err` within: another log was founded since.
    async fn beginning(&self, generation: u64) -> Result<Result<Lsn, Ended>, ArchiveError> {
        let contents = self.archive.contents().await?;
        let newest = contents.newest_generation();
        if newest > generation {
            return Ok(Err(Ended::Superseded(newest)));
        }
        if let Some(lsn) = contents.newest_of(generation) {
            return Ok(Ok(lsn));
        }
        if contents.bases.contains_key(&generation) {
            return Ok(Ok(self.archive.base(generation).await?.continues_at));
        }
        // A log from before there was an archive: it begins with what is there.
        let source = self.source.clone();
        let first = threads::blocking(move || stream::first_lsn(&source)).await;
        Ok(Ok(Lsn(first.map_or(0, |first| first.0.saturating_sub(1)))))
    }

    /// As [`Archiver::beginning`], until the store answers.
    async fn insist_on_beginning(&self, generation: u64) -> Result<Lsn, Ended> {
        let mut backoff = BACKOFF_MIN;
        loop {
            match self.beginning(generation).await {
                Ok(found) => return found,
                Err(error) => {
                    self.metrics.archive_failures.inc();
                    tracing::warn!(%error, ?backoff, "cannot find out what is archived; trying again");
                }
            }
            tokio::time::sleep(backoff).await;
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    }

    /// Writes the next object. False: there is nothing to write, or not yet.
    async fn seal(&self, sealer: &mut Sealer, generation: u64, term: Term) -> bool {
        let (source, next) = (self.source.clone(), sealer.archived().next());
        let bytes_max = usize::try_from(self.config.seal_bytes).unwrap_or(usize::MAX);
        let (mark, cut_at) = (self.source.applied.mark(), Instant::now());
        let cut = threads::blocking(move || {
            let batches = stream::read_encoded(&source, next, bytes_max)?;
            match batches.is_empty() {
                true => Ok(None),
                false => Sealed::new(generation, term, &batches)
                    .map(Some)
                    .map_err(|error| WalError::Corrupt(error.to_string())),
            }
        });
        let sealed = match cut.await {
            Ok(Ok(Some(sealed))) => sealed,
            Ok(Ok(None)) => return false,
            Ok(Err(WalError::Trimmed { first })) => {
                self.metrics.archive_gaps.inc();
                tracing::error!(
                    from = next.0,
                    up_to = first.0 - 1,
                    "the log does not have these transactions any more, and they are not archived: until they are in \
                     layers, nothing behind them can be recovered from the object store alone"
                );
                sealer.skip_to(Lsn(first.0 - 1));
                return true;
            }
            Ok(Err(error)) => return self.failed(&error),
            Err(error) => return self.failed(&error),
        };
        let bytes = sealed.bytes.len() as u64;
        let mut backoff = BACKOFF_MIN;
        while let Err(error) = self.gauging(sealer, self.archive.write(&sealed)).await {
            self.failed(&error);
            self.gauging(sealer, tokio::time::sleep(backoff)).await;
            backoff = (backoff * 2).min(BACKOFF_MAX);
            if matches!(error, ArchiveError::Refused(_)) {
                // Cut anew: with what has come since, under another name.
                return false;
            }
        }
        sealer.written(sealed.name.last, bytes, (mark.lsn, mark.bytes), cut_at);
        self.metrics.archive_objects.inc();
        self.metrics.archive_bytes.inc_by(bytes);
        self.tell(sealer);
        tracing::debug!(object = %sealed.name, bytes, "archived");
        true
    }

    fn failed(&self, error: &dyn std::fmt::Display) -> bool {
        self.metrics.archive_failures.inc();
        tracing::warn!(%error, "the log is not archived; it is tried again");
        false
    }

    /// The log may let go what is archived.
    fn tell(&self, sealer: &Sealer) {
        self.desk.archived(sealer.archived());
        self.gauge(sealer);
    }

    /// Waits, and says meanwhile how far it is behind.
    async fn gauging<T>(&self, sealer: &Sealer, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                () = tokio::time::sleep(LOOK_INTERVAL) => self.gauge(sealer),
            }
        }
    }

    fn gauge(&self, sealer: &Sealer) {
        let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let applied = self.source.applied.mark().lsn.0;
        self.metrics.archived_lsn.set(number(sealer.archived().0));
        self.metrics.archive_lag_lsns.set(number(applied.saturating_sub(sealer.archived().0)));
        self.metrics.archive_lag_seconds.set(sealer.waiting_for(Instant::now()).as_secs_f64());
    }
}
