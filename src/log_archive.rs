//! The archive of the log: its flags, and how a log is founded beside a store.
//!
//! ```text
//! tablets go back to the last complete cut ─▶ what is archived above it ─▶ a generation of its own ─▶ log.new ─▶ log
//! ```
//!
//! The log is made aside and then moved into place, so that it is there whole or not at all.

use crate::failure::Failure;
use crate::start;
use common::env::Store;
use common::env::objects::Objects;
use common::id::{CommitId, Lsn};
use common::log_archive::{ArchiveError, Contents, LogArchive, ObjectName, Plan};
use pageserver::StoredState;
use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::time::Duration;
use tracing::{error, info, warn};
use wal::{ArchiveConfig, Base, FoundError, Founding, WalConfig};

const IN_MEMORY: &str = "memory://";
/// Objects below the cut that are looked through for outcomes of recent commits.
const OUTCOME_OBJECTS_MAX: usize = 4;

#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Archive of the log")]
#[group(id = "log_archive")]
pub struct Settings {
    /// A commit is archived on the store after so long: what a loss of all log directories may cost
    #[arg(long, value_name = "TIME", default_value = "20s", value_parser = crate::page_server::parse_time)]
    pub archive_age: Duration,
    /// So many bytes of the log are archived at once, before they have that age
    #[arg(long, value_name = "SIZE", default_value = "32M", value_parser = crate::page_server::parse_size)]
    pub archive_size: u64,
    /// What is not archived stays in the log until that has this size; then the archive has a gap
    #[arg(long, value_name = "SIZE", default_value = "4G", value_parser = crate::page_server::parse_size)]
    pub archive_wait: u64,
}

impl Settings {
    /// What the command line parser cannot see.
    pub fn check(&self) -> Result<(), Failure> {
        if !(1 << 10..=1 << 30).contains(&self.archive_size) {
            return Err(Failure::settings("--archive-size must be between 1K and 1G"));
        }
        Ok(())
    }

    pub fn config(&self, retention: Duration) -> ArchiveConfig {
        ArchiveConfig {
            seal_bytes: self.archive_size,
            seal_age: self.archive_age,
            retention,
            log_bytes_max: self.archive_wait,
        }
    }

    /// The flags that give these settings, for a command that is written down.
    pub fn flags(&self) -> Vec<String> {
        let numbers = [
            ("--archive-age", self.archive_age.as_secs()),
            ("--archive-size", self.archive_size),
            ("--archive-wait", self.archive_wait),
        ];
        numbers.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value.to_string()]).collect()
    }
}

#[derive(Debug, Clone, Copy, Default, clap::Args)]
#[command(next_help_heading = "Archive of the log")]
#[group(id = "log_recovery")]
pub struct RecoverySettings {
    /// Where the log is lost and its archive has a gap: go on with what is before the gap, and lose what is behind it
    #[arg(long)]
    pub accept_archive_gap: bool,
}

/// The archive on a store; a store in memory has none, being gone with the log's process.
pub fn archive_of(store: &Store) -> Option<LogArchive> {
    let objects = Objects::new(store.objects.clone());
    (store.url != IN_MEMORY).then(|| LogArchive::new(objects))
}

/// Makes the log of one member in the directory that `config` names and that holds none: behind what `store` has in layers,
/// with all that is archived above that.
pub async fn found(config: WalConfig, store: &Store, recovery: RecoverySettings) -> Result<StoredState, Failure> {
    let stored = pageserver::recover(store.objects.clone()).await.map_err(start::page_server_failure)?;
    let log = config.directory.clone();
    let made = log.with_extension("new");
    let aside = |error: std::io::Error| Failure::in_the_way(format!("{}: {error}", made.display()));
    let config = WalConfig { directory: made.clone(), ..config };
    // Objects that turn out to be damaged; others may have the same.
    let mut damaged = HashSet::new();
    let last = loop {
        if made.exists() {
            std::fs::remove_dir_all(&made).map_err(aside)?;
        }
        match attempt(config.clone(), store, &stored, &damaged, recovery).await? {
            Ok(last) => break last,
            Err(ArchiveError::Damaged { name, what }) => {
                error!(object = %name, %what, "archived log is damaged; looking for another copy");
                if !damaged.insert(name) {
                    return Err(Failure::damaged(format!("archived log {name}: {what}")));
                }
            }
            Err(error) => return Err(archive_failure(error)),
        }
    };
    if log.exists() {
        // Empty: a log in it was refused before.
        std::fs::remove_dir(&log).map_err(aside)?;
    }
    std::fs::rename(&made, &log).map_err(aside)?;
    sync_directory(&log).map_err(aside)?;
    info!(layers_up_to = %stored.durable, log_up_to = %last, "made a new log");
    Ok(stored)
}

fn sync_directory(log: &Path) -> std::io::Result<()> {
    match log.parent() {
        Some(parent) => std::fs::File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

async fn attempt(
    config: WalConfig,
    store: &Store,
    stored: &StoredState,
    damaged: &HashSet<ObjectName>,
    recovery: RecoverySettings,
) -> Result<Result<Lsn, ArchiveError>, Failure> {
    let mut base = Base {
        lsn: stored.durable,
        counters: stored.counters.iter().map(|bump| (bump.counter, bump.next)).collect(),
        map: stored.map.clone(),
        founding: Founding { time_us: stored.time_us, prepared: stored.prepared.clone(), ..Founding::default() },
    };
    let Some(archive) = archive_of(store) else {
        return flat(wal::found(config, base, Box::pin(futures::stream::empty())).await);
    };
    let mut contents = archive.contents().await.map_err(archive_failure)?;
    contents.objects.retain(|listed| !damaged.contains(&listed.name));
    let bases = archive.bases(&contents).await.map_err(archive_failure)?;
    let plan = Plan::new(&contents, &bases, stored.durable);
    if let Some(gap) = plan.gap {
        let what = format!(
            "the archive of the log on store {} has a gap: LSNs {} to {} are missing, so that those behind it up to {} \
             cannot be recovered",
            store.url, gap.from, gap.up_to, gap.newest
        );
        if !recovery.accept_archive_gap {
            return Err(Failure::damaged(format!(
                "{what}; restore the missing objects below log/ from a copy, or go on with what is before the gap with \
                 --accept-archive-gap"
            )));
        }
        error!("{what}; they are given up, as --accept-archive-gap says");
    }
    base.founding.outcomes = outcomes(&archive, &contents, &bases, stored.durable).await;
    base.founding.generation = archive.claim(&contents, plan.end).await.map_err(archive_failure)?;
    if plan.end > stored.durable {
        warn!(from = %stored.durable.next(), up_to = %plan.end, "the log is lost; taking its end from the archive");
    }
    flat(wal::found(config, base, archive.batches(plan.steps)).await)
}

/// Commits at or below the cut, as far as the newest archived log has them: a compute that has outlived the log may ask.
async fn outcomes(
    archive: &LogArchive,
    contents: &Contents,
    bases: &BTreeMap<u64, common::log_archive::Base>,
    cut: Lsn,
) -> Vec<(CommitId, Lsn)> {
    let plan =
        Plan::new(contents, bases, contents.objects.iter().map(|listed| listed.name.first).min().map_or(cut, before));
    let mut outcomes = Vec::new();
    let below = plan.steps.iter().filter(|step| step.from <= cut).collect::<Vec<_>>();
    for step in &below[below.len().saturating_sub(OUTCOME_OBJECTS_MAX)..] {
        // Without them nothing is wrong but the answer to a question that hardly anybody asks.
        let Ok(object) = archive.read(step.name).await else { continue };
        let transactions = object.batches.into_iter().flat_map(|batch| batch.transactions);
        let counts =
            transactions.filter(|transaction| transaction.lsn >= step.from && transaction.lsn <= step.up_to.min(cut));
        outcomes.extend(counts.map(|transaction| (transaction.commit_id, transaction.lsn)));
    }
    outcomes
}

fn before(lsn: Lsn) -> Lsn {
    Lsn(lsn.0.saturating_sub(1))
}

fn flat(outcome: Result<Lsn, FoundError>) -> Result<Result<Lsn, ArchiveError>, Failure> {
    match outcome {
        Ok(last) => Ok(Ok(last)),
        Err(FoundError::Archive(error)) => Ok(Err(error)),
        Err(FoundError::Start(error)) => Err(start::wal_failure(error)),
        Err(FoundError::Malformed(what)) => Err(Failure::damaged(format!("archived log: {what}"))),
        Err(error) => Err(Failure::running(format!("make the log: {error}"))),
    }
}

fn archive_failure(error: ArchiveError) -> Failure {
    match &error {
        ArchiveError::Damaged { .. } | ArchiveError::DamagedBase { .. } => Failure::damaged(error.to_string()),
        ArchiveError::Store(_) | ArchiveError::Refused(_) => Failure::in_the_way(error.to_string()),
    }
}
