//! Which snapshots are open: computes say it, page servers ask before they drop old versions.
//!
//! Soft state of the leader: reports hold for a while, and a leader says that it does not know until every compute has had
//! the time to report to it.

use common::id::Lsn;
use common::service::wal::{OldestSnapshot, SNAPSHOT_REPORT_LASTS, SnapshotReport};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use tokio::time::Instant;

/// Computes whose reports are kept. With more of them nothing is known.
const REPORTERS_MAX: usize = 4096;

/// More computes than can be kept track of.
#[derive(Debug, PartialEq, Eq)]
pub struct TooMany;

#[derive(Default)]
pub struct Snapshots(Mutex<State>);

#[derive(Default)]
struct State {
    /// By compute: its oldest snapshot, if it has one open, and until when that holds.
    reports: HashMap<u128, (Option<Lsn>, Instant)>,
    /// The term in which this node serves, and since when, about.
    serving: Option<(u64, Instant)>,
}

impl Snapshots {
    /// Takes a report in; returns the oldest snapshot of all reports. An error: there is no room for it.
    pub fn reported(&self, report: SnapshotReport, term: u64, now: Instant) -> Result<Option<Lsn>, TooMany> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.serve(term, now);
        if state.reports.len() >= REPORTERS_MAX && !state.reports.contains_key(&report.reporter) {
            return Err(TooMany);
        }
        state.reports.insert(report.reporter, (report.oldest, now + SNAPSHOT_REPORT_LASTS));
        Ok(state.oldest())
    }

    pub fn oldest(&self, term: u64, now: Instant) -> OldestSnapshot {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let since = state.serve(term, now);
        let known = now >= since + SNAPSHOT_REPORT_LASTS && state.reports.len() < REPORTERS_MAX;
        match state.oldest() {
            _ if !known => OldestSnapshot::Unknown,
            None => OldestSnapshot::Nothing,
            Some(oldest) => OldestSnapshot::At(oldest),
        }
    }
}

impl State {
    fn oldest(&self) -> Option<Lsn> {
        self.reports.values().filter_map(|(oldest, _)| *oldest).min()
    }

    /// Forgets what is over; returns since when this node serves in this term.
    fn serve(&mut self, term: u64, now: Instant) -> Instant {
        self.reports.retain(|_, (_, until)| *until > now);
        match self.serving {
            Some((of, since)) if of == term => since,
            _ => {
                self.serving = Some((term, now));
                now
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn report(reporter: u128, oldest: Option<u64>) -> SnapshotReport {
        SnapshotReport { reporter, oldest: oldest.map(Lsn) }
    }

    #[test]
    fn the_oldest_counts_until_it_is_closed_or_its_compute_is_gone() {
        let (snapshots, start) = (Snapshots::default(), Instant::now());
        assert_eq!(snapshots.reported(report(1, Some(50)), 7, start), Ok(Some(Lsn(50))));
        assert_eq!(snapshots.reported(report(2, Some(40)), 7, start), Ok(Some(Lsn(40))));
        let later = start + SNAPSHOT_REPORT_LASTS;
        assert_eq!(
            snapshots.oldest(7, later - Duration::from_millis(1)),
            OldestSnapshot::Unknown,
            "others may not have reported yet"
        );
        snapshots.reported(report(1, Some(50)), 7, later - Duration::from_secs(1)).unwrap();
        snapshots.reported(report(2, Some(40)), 7, later - Duration::from_secs(1)).unwrap();
        assert_eq!(snapshots.oldest(7, later), OldestSnapshot::At(Lsn(40)));
        snapshots.reported(report(2, None), 7, later).unwrap();
        assert_eq!(snapshots.oldest(7, later), OldestSnapshot::At(Lsn(50)));
        // The first one says nothing any more.
        assert_eq!(snapshots.oldest(7, later + SNAPSHOT_REPORT_LASTS), OldestSnapshot::Nothing);
    }

    #[test]
    fn a_new_leader_does_not_know() {
        let (snapshots, start) = (Snapshots::default(), Instant::now());
        assert_eq!(snapshots.oldest(7, start), OldestSnapshot::Unknown);
        let later = start + SNAPSHOT_REPORT_LASTS;
        assert_eq!(snapshots.oldest(7, later), OldestSnapshot::Nothing);
        assert_eq!(snapshots.oldest(8, later), OldestSnapshot::Unknown);
        snapshots.reported(report(1, Some(3)), 8, later).unwrap();
        snapshots.reported(report(1, Some(4)), 8, later + SNAPSHOT_REPORT_LASTS / 2).unwrap();
        assert_eq!(snapshots.oldest(8, later + SNAPSHOT_REPORT_LASTS), OldestSnapshot::At(Lsn(4)));
    }
}
