//! Asking page servers for versions that the conflict window no longer has.

use super::{CommitAnswer, Event, PageServiceSlot};
use crate::metrics::WalMetrics;
use crate::sequencer::VersionsAt;
use common::id::Lsn;
use common::key::Key;
use common::service::PageService;
use common::service::wal::{CommitError, CommitRequest, WalError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// How long a commit may wait for page servers.
const LOOKUP_WAIT_MAX: Duration = Duration::from_secs(10);
/// The window can move on while a page server answers; more often than this, something is wrong.
const LOOKUPS_MAX: u32 = 5;

/// A commit that waits for versions.
pub struct Lookup {
    pub request: CommitRequest,
    pub keys: Vec<Key>,
    /// The page server has to have applied at least this.
    pub applied: Lsn,
    pub attempts: u32,
    pub reply: CommitAnswer,
}

/// The versions, coming back with the commit.
pub struct Answered {
    pub versions: VersionsAt,
    pub attempts: u32,
}

/// Lookups under way; ended with this.
pub struct Lookups {
    pages: PageServiceSlot,
    /// Where commits come back.
    events: mpsc::WeakSender<Event>,
    metrics: Arc<WalMetrics>,
    tasks: Mutex<JoinSet<()>>,
}

impl Lookups {
    pub fn new(pages: PageServiceSlot, events: mpsc::WeakSender<Event>, metrics: Arc<WalMetrics>) -> Lookups {
        Lookups { pages, events, metrics, tasks: Mutex::default() }
    }

    pub fn stop(&self) {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
    }

    pub fn start(&self, lookup: Lookup) {
        self.metrics.lookups.inc();
        let pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(pages) = pages else {
            let reason = "a key was read at an LSN older than the conflict window, and no page server is known that could \
                          tell its newest version; run the transaction again";
            let _ = lookup.reply.send(Err(CommitError::Refused(reason.to_string())));
            return;
        };
        if lookup.attempts >= LOOKUPS_MAX {
            let reason = "versions of keys older than the conflict window change faster than page servers can answer";
            let _ = lookup.reply.send(Err(CommitError::Wal(WalError::Unavailable(reason.to_string()))));
            return;
        }
        let events = self.events.clone();
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(async move {
            let answer = tokio::time::timeout(LOOKUP_WAIT_MAX, ask(pages, &lookup.keys, lookup.applied)).await;
            let result = answer.unwrap_or_else(|_| Err(format!("no answer within {LOOKUP_WAIT_MAX:?}")));
            match result {
                Ok(versions) => {
                    let looked_up = Some(Answered { versions, attempts: lookup.attempts + 1 });
                    let event = Event::Commit { request: Box::new(lookup.request), looked_up, reply: lookup.reply };
                    if let Some(events) = events.upgrade() {
                        // Dropped with its reply where the driver has ended; the caller then hears that.
                        let _ = events.send(event).await;
                    }
                }
                Err(reason) => {
                    let error = WalError::Unavailable(format!("look up newest versions at the page server: {reason}"));
                    let _ = lookup.reply.send(Err(CommitError::Wal(error)));
                }
            }
        });
    }
}

async fn ask(pages: Arc<dyn PageService>, keys: &[Key], applied: Lsn) -> Result<VersionsAt, String> {
    let newest = pages.newest_versions(keys.to_vec(), applied).await.map_err(|error| error.to_string())?;
    if newest.len() != keys.len() {
        return Err(format!("{} answers for {} keys", newest.len(), keys.len()));
    }
    Ok(VersionsAt { applied, newest: keys.iter().cloned().zip(newest).collect() })
}
