//! Trimmer: drops the part of the log that layers have replaced, when the log itself says so.

use crate::raft::Consensus;
use crate::stream::StreamSource;
use std::sync::Arc;

/// Runs on every member until the node stops.
pub async fn run(raft: Arc<Consensus>, source: StreamSource) {
    let mut trims = source.applied.watch_trim();
    let mut stopping = source.stopping.clone();
    loop {
        let trim = *trims.borrow_and_update();
        if let Some(index) = source.log.purgeable_up_to_lsn(trim.0) {
            match raft.purge(index).await {
                Ok(()) => tracing::debug!(index, lsn = trim.0, "trimmed the log"),
                Err(error) => tracing::warn!(%error, "cannot trim the log; it will be tried again"),
            }
        }
        tokio::select! {
            changed = trims.changed() => if changed.is_err() { return },
            _ = stopping.wait_for(|stopping| *stopping) => return,
        }
    }
}
