//! What the journal is told of a session's statements: when each began, what it was, what came of it.

use super::Session;
use crate::journal::{Ended, Rows, Verb};
use crate::sql::parse::ast::{InsertSource, Kind};
use expr::SqlError;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// The statement that runs.
pub(super) struct Running {
    began: Instant,
    /// None until it is parsed.
    verb: Option<Verb>,
    read_before: u64,
    sent: u64,
}

impl Session {
    /// A statement came from the client.
    pub(super) fn began(&mut self, text: &str) {
        // In this order: who sees the statement in the list of processes may kill it.
        self.handle.cancel.reset();
        self.engine.began(&self.handle, text);
        let read_before = self.rows_read.load(Ordering::Relaxed);
        self.running = Some(Running { began: Instant::now(), verb: None, read_before, sent: 0 });
    }

    /// What is run first for a statement from the client, is that statement.
    pub(super) fn note_verb(&mut self, kind: &Kind) {
        if let Some(running) = &mut self.running {
            running.verb.get_or_insert_with(|| verb_of(kind));
        }
    }

    pub(super) fn note_sent(&mut self, rows: u64) {
        if let Some(running) = &mut self.running {
            running.sent += rows;
        }
    }

    /// The client has the whole answer. Nothing for what runs within another statement.
    ///
    /// `outcome`: rows changed.
    pub(super) async fn ended(&mut self, outcome: Result<u64, &SqlError>) {
        let text = self.engine.ended(&self.handle);
        let Some(running) = self.running.take() else { return };
        let (took, read) = (running.began.elapsed(), self.rows_read.load(Ordering::Relaxed) - running.read_before);
        let verb = running.verb.unwrap_or(Verb::Other);
        // CREATE DATABASE says that it changed one.
        let changed = if verb.changes_rows() { outcome.unwrap_or(0) } else { 0 };
        let settings = self.variables.effective();
        let is_slow = took >= settings.long_query_time && read >= settings.min_examined_row_limit;
        self.engine
            .journal
            .statement(Ended {
                connection: self.handle.id,
                user: &self.identity.login.user,
                host: &self.identity.login.host,
                database: self.database.as_deref(),
                text: text.as_deref().unwrap_or_default(),
                verb,
                ended_us: self.engine.clock.wall_us(),
                took,
                rows: Rows { sent: running.sent, changed, read },
                error: outcome.err().map(|error| error.code.0),
                is_slow,
                logs_slow: is_slow && self.engine.globals().boolean("slow_query_log"),
            })
            .await;
    }
}

fn verb_of(kind: &Kind) -> Verb {
    match kind {
        Kind::Query { .. } => Verb::Select,
        Kind::Insert(insert) => match insert.source {
            InsertSource::File(_) => Verb::Load,
            _ if insert.replace => Verb::Replace,
            _ => Verb::Insert,
        },
        Kind::Update(_) => Verb::Update,
        Kind::Delete(_) => Verb::Delete,
        Kind::Call { .. } => Verb::Call,
        Kind::Set(_) | Kind::SetTransaction { .. } | Kind::SetRole(_) => Verb::Set,
        Kind::Show(_) | Kind::Explain { .. } => Verb::Show,
        Kind::Begin { .. } => Verb::Begin,
        Kind::Commit { .. } => Verb::Commit,
        Kind::Rollback { .. } => Verb::Rollback,
        Kind::CreateDatabase { .. }
        | Kind::AlterDatabase { .. }
        | Kind::DropDatabase { .. }
        | Kind::CreateTable(_)
        | Kind::CreateTableLike { .. }
        | Kind::DropTables { .. }
        | Kind::AlterTable { .. }
        | Kind::RenameTables(_)
        | Kind::Truncate(_)
        | Kind::CreateView(_)
        | Kind::DropViews { .. }
        | Kind::Account(_)
        | Kind::CreateRoutine(_)
        | Kind::AlterRoutine(_)
        | Kind::DropRoutine(_)
        | Kind::CreateTrigger(_)
        | Kind::DropTrigger(_)
        | Kind::CreateEvent(_)
        | Kind::AlterEvent(_)
        | Kind::DropEvent(_) => Verb::Define,
        Kind::Use(_)
        | Kind::Savepoint(_)
        | Kind::RollbackTo(_)
        | Kind::ReleaseSavepoint(_)
        | Kind::Xa(_)
        | Kind::LockTables(_)
        | Kind::UnlockTables
        | Kind::Flush { .. }
        | Kind::Kill { .. }
        | Kind::Prepare { .. }
        | Kind::ExecutePrepared { .. }
        | Kind::Deallocate(_)
        | Kind::Do(_)
        | Kind::Maintenance { .. }
        | Kind::Signal(_)
        | Kind::GetDiagnostics(_) => Verb::Other,
    }
}
