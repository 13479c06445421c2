//! Desk: where callers meet the leader's state. Whoever has an event deals with it here at once, on its own thread.
//!
//! The sequencer and the lock table decide in microseconds and wait for nothing, so a caller that finds the desk free need not
//! wake the driver's task and be woken by it: a lock that nobody holds, and the decision about a commit, are calls. What
//! finds the desk taken or the leader overloaded, or is large, goes through the driver's queue, as does everything while this
//! node does not lead.
//!
//! With one member, the log's writer fetches batches here, each when the one before is durable and answered. With several the
//! driver proposes them, because that may wait.
//!
//! Invariants
//! - One at a time is at the desk, and nobody waits for anything there.
//! - Batches go to the log in the order in which they were taken.

use super::leading::{Leading, Waiting};
use super::lookup::Lookups;
use super::{Event, leading};
use crate::raft::{Alone, Command, Consensus, ProposeError};
use crate::segment::Taken;
use common::id::{Lsn, Term};
use common::service::wal::Batch;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use tokio::sync::Notify;

/// How often somebody looks whether the desk is free before the event goes to the queue: a few microseconds.
const LOOKS_MAX: usize = 64;
/// Larger transactions are the driver's: meanwhile others queue instead of holding up threads.
const WRITES_MAX: usize = 512;

#[derive(Default)]
struct Place {
    leading: Option<Leading>,
    /// Callers are not served any more; what was accepted is.
    is_closing: bool,
    /// For good.
    is_closed: bool,
}

pub struct Desk {
    place: Mutex<Place>,
    alone: Option<Arc<Alone>>,
    pub lookups: Lookups,
    /// There is something for the driver.
    poked: Notify,
}

impl Desk {
    pub fn new(consensus: &Consensus, lookups: Lookups) -> Arc<Desk> {
        let alone = match consensus {
            Consensus::Alone(alone) => Some(alone.clone()),
            Consensus::Group(_) => None,
        };
        let desk = Arc::new(Desk { place: Mutex::default(), alone, lookups, poked: Notify::new() });
        if let Some(alone) = &desk.alone {
            let fetched = Arc::downgrade(&desk);
            alone.set_source(Box::new(move || fetched.upgrade()?.next_entry()));
        }
        desk
    }

    fn lock(&self) -> MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(|poisoned| {
            self.place.clear_poison();
            self.abandon(poisoned)
        })
    }

    /// Somebody panicked at the desk: what it left is not to be trusted. Whoever waits hears that the outcome is unknown.
    fn abandon<'d>(&self, poisoned: PoisonError<MutexGuard<'d, Place>>) -> MutexGuard<'d, Place> {
        let mut place = poisoned.into_inner();
        if place.leading.take().is_some() {
            tracing::error!("deciding about an event has failed; giving up the lead");
        }
        self.poked.notify_one();
        place
    }

    /// From here on callers are served.
    pub fn open(&self, leading: Leading) {
        let mut place = self.lock();
        if !place.is_closed {
            *place = Place { leading: Some(leading), ..Place::default() };
        }
    }

    /// Callers are not served any more; the leader is still there for what it has accepted.
    pub fn begin_closing(&self) {
        self.lock().is_closing = true;
    }

    /// Takes the leader away.
    pub fn take(&self) -> Option<Leading> {
        self.lock().leading.take()
    }

    /// As if the process had died: nobody is served again.
    pub fn close(&self) {
        let mut place = self.lock();
        place.is_closed = true;
        drop(place.leading.take());
    }

    /// For the driver: `None` where the leader is gone.
    pub fn with<T>(&self, act: impl FnOnce(&mut Leading) -> T) -> Option<T> {
        self.lock().leading.as_mut().map(act)
    }

    pub async fn poked(&self) {
        self.poked.notified().await;
    }

    /// Deals with an event on the caller's thread; gives it back where that cannot be now.
    pub fn try_handle(self: &Arc<Self>, event: Event) -> Result<(), Event> {
        if matches!(&event, Event::Commit { request, .. } if request.writes.len() > WRITES_MAX) {
            return Err(event);
        }
        for _ in 0..LOOKS_MAX {
            let place = match self.place.try_lock() {
                Ok(place) => place,
                Err(TryLockError::Poisoned(_)) => self.lock(),
                Err(TryLockError::WouldBlock) => {
                    std::hint::spin_loop();
                    continue;
                }
            };
            return self.handle_in(place, event, false);
        }
        Err(event)
    }

    /// The same for the driver. `Err`: there is no leader.
    pub fn handle(self: &Arc<Self>, event: Event) -> Result<(), Event> {
        self.handle_in(self.lock(), event, true)
    }

    fn handle_in(
        self: &Arc<Self>,
        mut place: MutexGuard<'_, Place>,
        event: Event,
        is_driver: bool,
    ) -> Result<(), Event> {
        let is_closing = place.is_closing;
        let Some(leading) =
            place.leading.as_mut().filter(|leading| is_driver || !(is_closing || leading.is_overloaded()))
        else {
            return Err(event);
        };
        let lookup = leading.handle(event);
        leading.update_gauges();
        self.send_off(&mut place);
        drop(place);
        if let Some(lookup) = lookup {
            self.lookups.start(lookup);
        }
        Ok(())
    }

    /// Tells whoever takes what may leave.
    fn send_off(&self, place: &mut Place) {
        let Some(leading) = &mut place.leading else { return };
        let may_leave = leading.has_more_to_take();
        match &self.alone {
            Some(alone) if may_leave => alone.call(),
            _ => {}
        }
        if leading.has_earlier_deadline() || (may_leave && self.alone.is_none()) {
            self.poked.notify_one();
        }
    }

    /// All up to here is archived.
    pub fn archived(&self, lsn: Lsn) {
        let mut place = self.lock();
        if let Some(leading) = &mut place.leading {
            leading.archived_up_to(lsn);
            self.send_off(&mut place);
        }
    }

    /// All up to here is in layers, as far as this leader was told.
    pub fn durable_everywhere(&self) -> Lsn {
        self.with(|leading| leading.durable_everywhere()).unwrap_or_default()
    }

    /// As when an event has been dealt with, after something else.
    pub fn look_what_leaves(&self) {
        self.send_off(&mut self.lock());
    }

    /// For the log's writer: the next command, and what is to be done when it is on disk.
    fn next_entry(self: &Arc<Self>) -> Option<Taken> {
        let alone = self.alone.as_ref()?;
        let (term, kind) = self.with(|leading| leading.take_command().map(|kind| (leading.term(), kind)))??;
        // Without the desk: encoding may take a while.
        let command = match Command::new(&kind) {
            Ok(command) if term == alone.term() => command,
            encoded => {
                // The batch has its LSNs already: going on would leave a gap.
                tracing::error!(error = ?encoded.err(), "a batch cannot be written; giving up the lead");
                alone.shutdown();
                return None;
            }
        };
        let desk = self.clone();
        // After a failure the driver sees that consensus has stopped.
        let done = move |result: Result<Option<Arc<Batch>>, ProposeError>| {
            if let Ok(Some(batch)) = result {
                desk.durable(term, &batch);
            }
        };
        Some(alone.entry(&command, kind, Box::new(done)))
    }

    /// A batch is on disk and applied: the next one leaves, and those who waited are answered.
    fn durable(self: &Arc<Self>, term: Term, batch: &Arc<Batch>) {
        let answered: Vec<(Lsn, Waiting)> = {
            let mut place = self.lock();
            let is_closing = place.is_closing;
            let Some(leading) = place.leading.as_mut().filter(|leading| leading.term() == term) else { return };
            let was_overloaded = leading.is_overloaded();
            let answered = leading.durable(batch);
            leading.update_gauges();
            if was_overloaded || is_closing {
                self.poked.notify_one();
            }
            self.send_off(&mut place);
            answered
        };
        for (lsn, waiting) in answered {
            leading::answer(lsn, waiting);
        }
    }
}
