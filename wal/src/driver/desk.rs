//! Desk: where callers meet the leader's state. Whoever has an event deals with it here at once, on its own thread.
//!
//! The sequencer and the lock table decide in microseconds and wait for nothing, so a caller that finds the desk free need not
//! wake the driver's task and be woken by it: a lock that nobody holds, and the decision about a commit, are calls. What
//! finds the desk taken or the leader overloaded, or is large, goes through the driver's queue, as does everything while this
//! node does not lead.
//!
//! With one member, batches leave from here too: to the log, whose writer comes back to the desk when they are durable. With
//! several the driver proposes them, because that may wait.
//!
//! Invariants
//! - One at a time is at the desk, and nobody waits for anything there.
//! - Batches go to the log in the order in which they were taken.

use super::leading::{Leading, Waiting};
use super::lookup::Lookups;
use super::{Event, leading};
use crate::raft::{Alone, Command, CommandKind, Consensus};
use common::id::{Lsn, Term};
use common::service::wal::Batch;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use tokio::sync::Notify;

/// How often somebody looks whether the desk is free before the event goes to the queue: a few microseconds.
const LOOKS_MAX: usize = 64;
/// Larger transactions are the driver's: meanwhile others queue instead of holding up threads.
const WRITES_MAX: usize = 512;
/// Larger batches are the driver's, for the same reason.
const BATCH_BYTES_MAX: usize = 256 << 10;

#[derive(Default)]
struct Place {
    leading: Option<Leading>,
    /// The driver is on its way to the log with a batch: another one must not overtake it.
    is_proposing: bool,
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
    pub fn new(consensus: &Consensus, lookups: Lookups) -> Desk {
        let alone = match consensus {
            Consensus::Alone(alone) => Some(alone.clone()),
            Consensus::Group(_) => None,
        };
        Desk { place: Mutex::default(), alone, lookups, poked: Notify::new() }
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

    /// Sends what may leave on its way, or tells the driver of it.
    fn send_off(self: &Arc<Self>, place: &mut Place) {
        let Some(leading) = &mut place.leading else { return };
        let mut tell = leading.has_earlier_deadline();
        if let Some(alone) = self.alone.as_ref().filter(|_| !place.is_proposing) {
            while leading.has_command() && leading.forming_bytes() <= BATCH_BYTES_MAX && !tell {
                let Some(kind) = leading.take_command() else { break };
                tell = !self.append(alone, leading.term(), kind);
            }
        }
        if tell || leading.has_command() {
            self.poked.notify_one();
        }
    }

    /// For the driver, where there is one member: sends off what was too large for the others. False: this node cannot lead any
    /// more.
    pub fn send_off_large(self: &Arc<Self>, alone: &Alone) -> bool {
        loop {
            let taken = {
                let mut place = self.lock();
                place.is_proposing = false;
                let Some(leading) = &mut place.leading else { return false };
                let taken = leading.take_command().map(|kind| (leading.term(), kind));
                place.is_proposing = taken.is_some();
                taken
            };
            // Without the desk: encoding may take a while.
            let Some((term, kind)) = taken else { return true };
            if !self.append(alone, term, kind) {
                self.lock().is_proposing = false;
                return false;
            }
        }
    }

    /// False: it cannot be encoded, and has its LSNs already. Going on would leave a gap.
    fn append(self: &Arc<Self>, alone: &Alone, term: Term, kind: CommandKind) -> bool {
        let command = match Command::new(&kind) {
            Ok(command) => command,
            Err(error) => {
                tracing::error!(%error, "a batch cannot be encoded; giving up the lead");
                alone.shutdown();
                return false;
            }
        };
        let desk = self.clone();
        // An error may come while the desk is taken: it is for the driver, who sees that consensus has stopped.
        let done = move |result| match result {
            Ok(Some(batch)) => desk.durable(term, &batch),
            Ok(None) => {}
            Err(_) => desk.poked.notify_one(),
        };
        alone.append(command, kind, term, Box::new(done));
        true
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
