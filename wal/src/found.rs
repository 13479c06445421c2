//! Founding: makes a log in an empty directory, beside a store that holds data or none. What an earlier log has archived
//! above what is in layers becomes its first entries, with their LSNs, so that whoever follows the log gets it from there.
//!
//! It has to happen aside, or a crash would leave half a log that looks like a whole one.

use crate::StartError;
use crate::config::WalConfig;
use crate::metrics::WalMetrics;
use crate::raft::{Applied, Base, Command, CommandError, CommandKind, Consensus, ProposeError};
use crate::segment::{RealDisk, SegmentLog, SegmentOptions};
use crate::sequencer::retagged;
use common::env::threads;
use common::id::{Lsn, Term};
use common::log_archive::ArchiveError;
use common::service::wal::Batch;
use futures::stream::{BoxStream, FuturesOrdered};
use futures::{StreamExt, TryStreamExt};
use std::sync::Arc;

/// Batches on their way to the disk at the same time.
const IN_FLIGHT_MAX: usize = 64;

#[derive(Debug, thiserror::Error)]
pub enum FoundError {
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error("write the first entries of the log: {0}")]
    Write(#[from] ProposeError),
    #[error(transparent)]
    Encode(#[from] CommandError),
    #[error("archived log: {0}")]
    Malformed(String),
}

/// Makes the log of one member in the directory of `config`, which has to be empty. `batches` follow the base's LSN. Returns
/// the newest LSN; everything is durable then.
pub async fn found(
    config: WalConfig,
    base: Base,
    batches: BoxStream<'_, Result<Batch, ArchiveError>>,
) -> Result<Lsn, FoundError> {
    config.validate().map_err(StartError::Config)?;
    let path = config.directory.clone();
    let disk = RealDisk::open(&path).map_err(|source| StartError::Directory { path, source })?;
    let options = SegmentOptions { segment_bytes: config.segment_bytes, cache_bytes_max: config.cache_bytes_max };
    let metrics = Arc::new(WalMetrics::new().map_err(StartError::Metrics)?);
    let log = threads::blocking(move || SegmentLog::open(Arc::new(disk), options, metrics))
        .await
        .map_err(|error| StartError::NotServing(error.to_string()))?
        .map_err(StartError::Log)?;
    let applied = Arc::new(Applied::new(config.outcomes_max, 0));
    let raft = Consensus::start(&config, log.clone(), applied.clone(), None).await.map_err(StartError::Raft)?;
    let term = raft.leadership().borrow().term;
    let filled = fill(&raft, term, base, batches).await;
    // Also after an error: the directory is made anew for the next attempt.
    raft.shutdown().await;
    let last = applied.mark().lsn;
    threads::blocking(move || log.close()).await.map_err(|error| StartError::NotServing(error.to_string()))?;
    filled.map(|()| last)
}

async fn fill(
    raft: &Consensus,
    term: Term,
    base: Base,
    mut batches: BoxStream<'_, Result<Batch, ArchiveError>>,
) -> Result<(), FoundError> {
    let (map, mut last) = (base.map.clone(), base.lsn);
    raft.propose(Command::new(&CommandKind::Base(base))?, term).await?;
    let mut proposals = FuturesOrdered::new();
    while let Some(batch) = batches.try_next().await? {
        if batch.first_lsn != last.next() {
            return Err(FoundError::Malformed(format!("LSN {} follows LSN {last}", batch.first_lsn)));
        }
        last = batch.last_lsn;
        let batch = retagged(batch, &map).map_err(FoundError::Malformed)?;
        if proposals.len() >= IN_FLIGHT_MAX
            && let Some(result) = proposals.next().await
        {
            result?;
        }
        proposals.push_back(raft.submit(Command::new(&CommandKind::Batch(batch))?, term).await);
    }
    Ok(proposals.try_collect().await?)
}
