//! Snapshots in use: what open transactions read is kept beyond the retention, as far as the log knows of them.
//!
//! An answer stays true as it grows old: snapshots that are opened later read at or after what was applied when it was
//! asked for. So where the log does not answer, the last answer holds, and without any nothing more is dropped.

use common::id::Lsn;
use common::service::WalService;
use common::service::wal::OldestSnapshot;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Compaction waits no longer for an answer, and does not ask again before that.
const ASK_MAX: Duration = Duration::from_secs(1);
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(5);

pub struct SnapshotsInUse {
    wal: Arc<dyn WalService>,
    /// No snapshot in use is older.
    oldest: Lsn,
    failed: Option<Instant>,
}

impl SnapshotsInUse {
    pub fn new(wal: Arc<dyn WalService>) -> SnapshotsInUse {
        SnapshotsInUse { wal, oldest: Lsn::ZERO, failed: None }
    }

    /// Asks the log. `applied`: an LSN that was applied before.
    pub async fn refresh(&mut self, applied: Lsn) {
        if self.failed.is_some_and(|failed| failed.elapsed() < ASK_AGAIN_AFTER) {
            return;
        }
        self.failed = match tokio::time::timeout(ASK_MAX, self.wal.oldest_snapshot()).await {
            Ok(Ok(OldestSnapshot::At(oldest))) => {
                self.oldest = oldest.min(applied);
                None
            }
            Ok(Ok(OldestSnapshot::Nothing)) => {
                self.oldest = applied;
                None
            }
            Ok(Ok(OldestSnapshot::Unknown)) => Some(Instant::now()),
            Ok(Err(error)) => {
                tracing::debug!(%error, "the snapshots in use are not known");
                Some(Instant::now())
            }
            Err(_) => Some(Instant::now()),
        };
    }

    /// Up to where old versions may be dropped. `horizon`: by the retention; `horizon_max_age`: what is older is dropped in
    /// any case, so that a transaction that nobody ends does not have everything kept.
    pub fn bound(&self, horizon: Lsn, horizon_max_age: Lsn) -> Lsn {
        horizon.min(self.oldest).max(horizon_max_age)
    }
}
