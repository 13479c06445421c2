//! Looks at the tablets now and then, and proposes splits and merges to the log, which decides: a proposal is a commit of
//! the map, and holds only if the map has not changed since.

use super::balance::{self, BalanceOptions, Load, Wish};
use super::{Tablet, Tablets};
use crate::config::Config;
use common::cluster_map::{MAP_KEY, MapChange};
use common::env::Random;
use common::id::{CommitId, Lsn, TabletId, TxnId};
use common::key::Key;
use common::service::WalService;
use common::service::page::Direction;
use common::service::wal::{CommitError, CommitRequest, Mutation, Write};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Keys of a memtable that are looked at for the middle of what was written lately.
const SAMPLE_KEYS_MAX: usize = 1 << 16;

pub struct Balancer {
    pub tablets: Arc<Tablets>,
    pub wal: Arc<dyn WalService>,
    pub options: BalanceOptions,
    pub interval: Duration,
    pub read_wait_max: Duration,
}

impl BalanceOptions {
    pub fn of(config: &Config) -> BalanceOptions {
        BalanceOptions {
            bytes_max: config.tablet_bytes_max,
            bytes_min: config.tablet_bytes_min,
            write_bytes_max: config.tablet_write_bytes_max,
            tablets_max: config.tablets_max,
        }
    }
}

impl Balancer {
    /// Runs until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let mut interval = tokio::time::interval(self.interval);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        // The first tick comes at once, when nothing is known yet.
        interval.tick().await;
        let mut rates = Rates { since: Instant::now(), written: HashMap::new() };
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = interval.tick() => {}
            }
            if self.tablets.check_owned().is_err() {
                return;
            }
            let loads = rates.loads(&self.tablets);
            let Some(wish) = balance::wish(&loads, &self.options) else { continue };
            let Some(change) = balance::change(wish, self.middle(wish)) else { continue };
            tokio::select! {
                () = stop.cancelled() => return,
                outcome = propose(&self.tablets, &self.wal, &change) => match outcome {
                    Ok(lsn) => {
                        // The next look should see what came of it.
                        let _ = self.tablets.wait_applied(lsn, self.read_wait_max).await;
                    }
                    Err(error) => tracing::warn!(%error, ?change, "the log refused a change of the map; looking again later"),
                }
            }
        }
    }

    fn middle(&self, wish: Wish) -> Option<Key> {
        match wish {
            Wish::SplitBySize(id) => middle_of_layers(self.tablets.set().by_id(id)?),
            Wish::SplitByWrites(id) => {
                let set = self.tablets.set();
                let tablet = set.by_id(id)?;
                middle_of_writes(tablet).or_else(|| middle_of_layers(tablet))
            }
            Wish::Merge(..) => None,
        }
    }
}

/// Asks the log for a change of the map in force; returns the LSN of the new one.
pub async fn propose(tablets: &Tablets, wal: &Arc<dyn WalService>, change: &MapChange) -> Result<Lsn, CommitError> {
    let applied = tablets.applied();
    let set = tablets.set();
    if let MapChange::Merge { left, right } = change
        && ![left, right].into_iter().all(|id| set.by_id(*id).is_some_and(|tablet| tablet.is_clean()))
    {
        // Bulk layers may have come since somebody looked; those that come from here on refuse the commit.
        return Err(CommitError::Refused("the tablets share layers with others".into()));
    }
    let Some(map) = set.map.changed(change) else {
        return Err(CommitError::Refused("the change does not fit the map in force".into()));
    };
    let random = Random::system();
    let mutation = Mutation { key: MAP_KEY, row: Some(map.encode()) };
    let writes = vec![Write { mutation, observed: applied.max(set.map_lsn) }];
    let request = CommitRequest::of(CommitId(random.u128()), TxnId(random.u128()), writes);
    Ok(wal.commit(request).await?.lsn)
}

/// How much was written since the last look.
struct Rates {
    since: Instant,
    written: HashMap<TabletId, u64>,
}

impl Rates {
    fn loads(&mut self, tablets: &Tablets) -> Vec<Load> {
        let (now, set) = (Instant::now(), tablets.set());
        let elapsed_ms = u64::try_from((now - self.since).as_millis()).unwrap_or(u64::MAX).max(1);
        let written: HashMap<TabletId, u64> =
            set.tablets.iter().map(|tablet| (tablet.id, tablet.written_bytes())).collect();
        let load = |tablet: &Arc<Tablet>| {
            let total = tablet.written_bytes();
            // A tablet that was not there at the last look has its say at the next.
            let before = self.written.get(&tablet.id).copied().unwrap_or(total);
            Load {
                tablet: tablet.id,
                bytes: tablet.layer_bytes(),
                write_bytes_per_second: total.saturating_sub(before).saturating_mul(1000) / elapsed_ms,
                settled: tablet.is_settled(),
                clean: tablet.is_clean(),
            }
        };
        let loads = set.tablets.iter().map(load).collect();
        (self.since, self.written) = (now, written);
        loads
    }
}

/// Where half of the bytes of layers lie on either side.
pub fn middle_of_layers(tablet: &Tablet) -> Option<Key> {
    let snapshot = tablet.snapshot();
    let blocks = snapshot.layers.iter().flat_map(|layer| &layer.index.blocks);
    let within = blocks.filter(|block| snapshot.range.contains(&block.first));
    let mut parts: Vec<(Key, u64)> = within.map(|block| (block.first.clone(), u64::from(block.length))).collect();
    parts.sort();
    balance::middle(&snapshot.range, &parts)
}

/// The middle of the keys in the newest memtable that has some.
fn middle_of_writes(tablet: &Tablet) -> Option<Key> {
    let snapshot = tablet.snapshot();
    let mut tables = std::iter::once(&snapshot.active).chain(snapshot.frozen.iter().map(|frozen| &frozen.table));
    let table = tables.find(|table| !table.is_empty())?;
    let keys = table.chunk(&snapshot.range, Lsn::MAX, Direction::Forward, SAMPLE_KEYS_MAX);
    let parts: Vec<(Key, u64)> = keys.into_iter().map(|version| (version.key, 1)).collect();
    balance::middle(&snapshot.range, &parts)
}
