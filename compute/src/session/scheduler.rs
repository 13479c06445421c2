//! Events: bodies that run by the clock, each time on one compute of all.
//!
//! Every compute looks at the events that its catalog has. Who finds one due claims it by a commit that notes the time in
//! the event's definition: of all who try, one commit finds the definition as it was. So an event runs once for each of
//! its times, and on no compute if the one that has claimed it dies before it has run; that is at most once.

mod interval;

use super::routine::Frame;
use super::{Engine, Login, Session};
use crate::account::AccountName;
use crate::catalog::routine::{EventStatus, ScheduleDef};
use crate::catalog::{EventDef, storage};
use crate::session::named_locks::txn_of;
use crate::session::result::StatementResult;
use crate::sql::plan::Isolation;
use crate::txn::{self, CommitFailure, Transaction};
use common::id::Lsn;
use expr::SqlError;
use futures::TryStreamExt;
use interval::Interval;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;

/// How often it is looked whether something is due: schedules are in seconds.
const TICK: Duration = Duration::from_millis(500);
/// Events that run at the same time on this compute.
const RUNNING_MAX: usize = 16;
/// Numbers of their sessions count down from here, away from those of connections.
const FIRST_SESSION: u64 = u32::MAX as u64;

pub struct Scheduler {
    engine: Arc<Engine>,
    /// When each event is due next, by its definition.
    due: HashMap<(String, String), (Lsn, Option<u64>)>,
    running: JoinSet<()>,
    next_session: AtomicU64,
}

impl Scheduler {
    pub fn new(engine: Arc<Engine>) -> Scheduler {
        let next_session = AtomicU64::new(FIRST_SESSION);
        Scheduler { engine, due: HashMap::new(), running: JoinSet::new(), next_session }
    }

    /// Until it is dropped, with what it runs.
    pub async fn run(mut self) {
        loop {
            tokio::time::sleep(TICK).await;
            while self.running.try_join_next().is_some() {}
            if self.engine.globals().get("event_scheduler") == "ON" {
                self.tick().await;
            }
        }
    }

    async fn tick(&mut self) {
        let catalog = self.engine.services.catalog.newest();
        let now_us = self.engine.clock.wall_us();
        let events: Vec<Arc<EventDef>> =
            catalog.databases.values().flat_map(|database| database.events.values()).cloned().collect();
        self.due.retain(|(database, name), _| catalog.event(database, name).is_some());
        for event in events {
            if event.status != EventStatus::Enabled || self.running.len() >= RUNNING_MAX {
                continue;
            }
            let key = (event.database.clone(), event.name.to_lowercase());
            let due = match self.due.get(&key) {
                Some((version, due)) if *version == event.version => *due,
                _ => {
                    let due = next_time(&event, now_us);
                    self.due.insert(key, (event.version, due));
                    due
                }
            };
            match due {
                Some(due_us) if due_us > now_us => {}
                due => self.claim(event, due).await,
            }
        }
    }

    /// Notes the run, or that there will be none any more, and runs the event if nobody was faster.
    async fn claim(&mut self, event: Arc<EventDef>, due: Option<u64>) {
        let remote = &self.engine.services.remote;
        let mut claimed = (*event).clone();
        claimed.last_executed_us = due.or(event.last_executed_us);
        let now_us = due.unwrap_or_else(|| self.engine.clock.wall_us());
        let is_over = due.is_none() || next_time(&claimed, now_us).is_none();
        if is_over {
            claimed.status = EventStatus::Disabled;
        }
        let key = storage::event_key(&event.database, &event.name);
        let row = match is_over && !event.preserve {
            true => None,
            false => match storage::row_of(&claimed) {
                Ok(row) => Some(row),
                Err(error) => return tracing::warn!(event = event.name, %error, "an event cannot be noted"),
            },
        };
        let id = txn_of(remote, FIRST_SESSION);
        let mut transaction = Transaction::new(id, Isolation::ReadCommitted, false, true);
        if let Err(error) = transaction.write(key, row, Some(event.version)) {
            return tracing::warn!(event = event.name, %error, "an event cannot be noted");
        }
        match txn::commit(transaction, remote).await {
            Ok(Some(lsn)) => {
                // The next look must not find what was claimed.
                let reached = self.engine.services.catalog.snapshot_at_least(lsn).await;
                if let Err(error) = reached {
                    tracing::warn!(event = event.name, %error, "the catalog is late");
                }
                if due.is_some() {
                    let session = self.next_session.fetch_sub(1, Ordering::Relaxed);
                    self.running.spawn(run(self.engine.clone(), session, event));
                }
            }
            Ok(None) | Err(CommitFailure::Conflict | CommitFailure::SchemaChanged) => {}
            Err(CommitFailure::Failed(error)) => {
                tracing::warn!(event = event.name, %error, "an event cannot be claimed");
            }
        }
    }
}

/// When the event is to run next; None: never again.
fn next_time(event: &EventDef, now_us: u64) -> Option<u64> {
    match &event.schedule {
        ScheduleDef::At(at_us) => event.last_executed_us.is_none().then_some(*at_us),
        ScheduleDef::Every { count, unit, starts_us, ends_us } => {
            let interval = Interval::parse(count, unit)?;
            // One that starts with its definition runs at once. Times that nobody was there for are left out.
            let second = |us: u64| us / 1_000_000;
            let is_new = event.last_executed_us.is_none() && second(*starts_us) >= second(event.body.altered_us);
            let next = match is_new {
                true => *starts_us,
                false => {
                    let after = event.last_executed_us.unwrap_or(0).max(now_us.saturating_sub(1_000_000));
                    interval.next(*starts_us, after)?
                }
            };
            (ends_us.is_none_or(|ends_us| next <= ends_us)).then_some(next)
        }
    }
}

/// Runs a body once, as its definer.
async fn run(engine: Arc<Engine>, number: u64, event: Arc<EventDef>) {
    let user = AccountName::parse(&event.body.definer).user;
    // Of nobody, until it becomes the definer's.
    let account = AccountName::new("", "event_scheduler");
    let login = Login { user, host: "localhost".to_owned(), account, expired: false };
    let mut session = Session::new(engine, number, login);
    if let Err(error) = session.run_event(&event).await {
        tracing::warn!(database = event.database, event = event.name, code = error.code.0, %error, "an event failed");
    }
    session.close().await;
}

impl Session {
    async fn run_event(&mut self, event: &Arc<EventDef>) -> Result<(), SqlError> {
        let program = self.programs.of_event(event)?;
        self.become_definer(&event.body.definer)?;
        let body = &event.body;
        let saved = self.enter(&event.database, body.sql_mode, &body.definer, true)?;
        let values = vec![expr::Value::Null; program.types.len()];
        self.frames.push(Frame::new(program, values, saved, Vec::new()));
        loop {
            match self.proceed().await? {
                // Nobody is there to see them.
                StatementResult::Rows(rows) => {
                    let outcome: Result<(), SqlError> = rows.rows.try_for_each(|_| std::future::ready(Ok(()))).await;
                    self.rows_ended(0, outcome.as_ref().err()).await?;
                }
                _ => return Ok(()),
            }
        }
    }
}
