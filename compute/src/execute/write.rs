//! INSERT, REPLACE, UPDATE, DELETE: rows and index entries into the transaction's buffer, every rule of the table kept.
//!
//! Flow: `insert`, `update` and `delete` find and make rows; `keeper` knows one table's keys, entries and expressions;
//! `change` applies updates and deletions of rows, `foreign_key` what follows from them in other tables.
//!
//! Invariants
//! - A row and all its index entries are written together, or an error undoes the whole statement.
//! - Before a unique key is written it is locked and read at the lock's LSN, so a duplicate is an error now and not at
//!   COMMIT; COMMIT checks again.
//! - Keys travel in batches: a statement of thousands of rows makes a few calls.

pub mod assign;
pub mod auto_increment;
mod change;
mod delete;
pub mod duplicate;
pub mod foreign_key;
pub mod insert;
mod insert_rows;
pub mod keeper;
pub mod load;
mod past_buffer;
mod targets;
mod trigger;
mod update;

use crate::execute::StatementContext;
use crate::session::result::Done;
use crate::sql::plan::{InsertSource, ScanLock, Statement, walk};
use expr::error::WarningLevel;
use expr::{ErrorCode, SqlError};

/// Rows that are checked and locked together.
pub const CHUNK_ROWS: usize = 1000;

/// Rows found by an UPDATE or DELETE of one table that are not kept until all are found. What is found afterwards does not depend
/// on what is written: it is read at one LSN, over the writes that the transaction had made before.
pub const FOUND_ROWS_MAX: usize = 20 * CHUNK_ROWS;

/// Runs a statement that changes rows. An error leaves the transaction as it was before the statement, but for locks.
pub async fn execute(statement: &Statement, context: &mut StatementContext<'_>) -> Result<Done, SqlError> {
    let mark = context.transaction.mark();
    context.eval.strict_write = context.eval.sql_mode.is_strict();
    let locked = context.transaction.locks_ranges().then(|| with_locked_sources(statement)).flatten();
    let statement = locked.as_ref().unwrap_or(statement);
    let result = match statement {
        Statement::Insert(insert) => {
            context.eval.ignore = insert.ignore;
            insert::insert(insert, context).await
        }
        Statement::Update(update) => {
            context.eval.ignore = update.ignore;
            update::update(update, context).await
        }
        Statement::Delete(delete) => {
            context.eval.ignore = delete.ignore;
            delete::delete(delete, context).await
        }
        _ => Err(SqlError::internal("A statement that changes no rows came to be executed as one; report it")),
    };
    if result.is_err() {
        context.transaction.undo_to(mark);
    }
    result
}

/// The statement with shared locks on everything that it reads besides its targets: INSERT ... SELECT, subqueries.
/// `None` if it reads nothing else.
fn with_locked_sources(statement: &Statement) -> Option<Statement> {
    let mut statement = match statement {
        Statement::Insert(insert)
            if matches!(insert.source, InsertSource::Query(_)) || !insert.subqueries.is_empty() =>
        {
            statement.clone()
        }
        Statement::Update(update) if !update.subqueries.is_empty() => statement.clone(),
        Statement::Delete(delete) if !delete.subqueries.is_empty() => statement.clone(),
        _ => return None,
    };
    let subqueries = match &mut statement {
        Statement::Insert(insert) => {
            if let InsertSource::Query(query) = &mut insert.source {
                walk::lock_query(query, ScanLock::SHARED);
            }
            &mut insert.subqueries
        }
        Statement::Update(update) => &mut update.subqueries,
        Statement::Delete(delete) => &mut delete.subqueries,
        _ => return None,
    };
    subqueries.iter_mut().for_each(|subquery| walk::lock_query(&mut subquery.query, ScanLock::SHARED));
    Some(statement)
}

/// True for errors after which the whole transaction is rolled back, as InnoDB does it.
pub fn ends_transaction(error: &SqlError) -> bool {
    [ErrorCode::LOCK_DEADLOCK, ErrorCode::LOCK_TABLE_FULL].contains(&error.code)
}

/// Under IGNORE, an error about one row becomes a warning; `false` means that the row is to be skipped.
fn skip_if_ignored(result: Result<(), SqlError>, context: &StatementContext<'_>) -> Result<bool, SqlError> {
    const DEMOTED: [ErrorCode; 10] = [
        ErrorCode(1526),
        ErrorCode(1748),
        ErrorCode::DUP_ENTRY,
        ErrorCode::BAD_NULL,
        ErrorCode::NO_REFERENCED_ROW_2,
        ErrorCode::ROW_IS_REFERENCED_2,
        ErrorCode::CHECK_CONSTRAINT_VIOLATED,
        ErrorCode::VIEW_CHECK_FAILED,
        ErrorCode::NO_DEFAULT_FOR_FIELD,
        ErrorCode::SUBQUERY_NO_1_ROW,
    ];
    match result {
        Ok(()) => Ok(true),
        Err(error) if context.eval.ignore && DEMOTED.contains(&error.code) => {
            context.warn(WarningLevel::Warning, error.code, error.message);
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
