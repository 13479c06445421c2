//! Prepared transactions: the record that prepares one, and the commit that finishes it. See [`common::prepared`].

use crate::sql::plan::xa::{Xid, errors};
use crate::txn::commit::{self, CommitFailure, Refusal};
use crate::txn::locking::Locker;
use crate::txn::read_view::{ReadView, ViewScan};
use crate::txn::service_error::{page_error, with_backoff};
use crate::txn::{Remote, Transaction, snapshot};
use common::id::{CommitId, Lsn};
use common::key::Key;
use common::prepared::{self, PreparedCommit, PreparedLocks};
use common::service::page::{GetRequest, RowVersion, ScanBatch};
use common::service::wal::{CommitRequest, LockMode, LockWait, Mutation, Observed, Write};
use expr::SqlError;
use futures::TryStreamExt;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    Commit,
    RollBack,
}

fn key_of(xid: &Xid) -> Key {
    prepared::key_of(&xid.to_bytes())
}

/// Locks the name of a branch. Error 3572 where another session has it; true if there is a prepared one of that name.
pub async fn lock_name(locker: &Locker, xid: &Xid) -> Result<bool, SqlError> {
    let key = key_of(xid);
    let grant = locker.lock(vec![(key.clone(), LockMode::Exclusive)], Some(LockWait::NoWait)).await?;
    if let Some((_, row)) = grant.known.get(&key) {
        return Ok(row.is_some());
    }
    Ok(record(&key, grant.lsn, &locker.remote).await?.is_some())
}

async fn record(key: &Key, lsn: Lsn, remote: &Remote) -> Result<Option<RowVersion>, SqlError> {
    let request = GetRequest { lsn, keys: vec![key.clone()] };
    let mut rows = with_backoff(|| remote.pages.get(request.clone())).await.map_err(page_error)?;
    Ok(rows.pop().flatten())
}

/// Makes a transaction's record durable. Its locks stay. After an error the transaction is rolled back.
pub async fn prepare(transaction: Transaction, xid: &Xid, remote: &Remote) -> Result<(), CommitFailure> {
    let (txn, commit_id) = (transaction.id(), CommitId((remote.new_id)()));
    let key = key_of(xid);
    let observed = transaction.locks().lock().observed(&key).unwrap_or(Lsn::ZERO);
    let CommitRequest { writes, mut checks, counters, depends_on, tenure, also_holds, .. } =
        match transaction.into_commit(commit_id) {
            Ok(request) => request,
            Err(error) => {
                commit::unlock(txn, remote).await;
                return Err(CommitFailure::Failed(error));
            }
        };
    checks.retain(|check| check.key != key);
    let head = PreparedLocks { txn, locks: Vec::new() };
    // Whether they hold is said now; locks keep it so.
    let of_writes = writes.iter().filter(|write| write.observed != Lsn::MAX);
    let of_writes = of_writes.map(|write| Observed { key: write.mutation.key.clone(), lsn: write.observed });
    let all: Vec<Observed> = checks.iter().cloned().chain(of_writes).collect();
    let row = prepared::encode(&head, &PreparedCommit { writes, checks, counters });
    let record = Write { mutation: Mutation { key, row: Some(row) }, observed };
    let request = CommitRequest {
        checks: all,
        depends_on,
        tenure,
        also_holds,
        // The record is worth nothing without its locks.
        relies_on_locks: true,
        has_waited: true,
        ..CommitRequest::of(commit_id, txn, vec![record])
    };
    let sent = commit::send(request, remote).await;
    if sent.is_err() {
        commit::unlock(txn, remote).await;
    }
    sent.map(drop).map_err(CommitFailure::from)
}

/// Finishes a prepared transaction, in whatever session. Error 1397 if there is none of that name.
pub async fn finish(xid: &Xid, how: Finish, remote: &Remote) -> Result<(), SqlError> {
    let key = key_of(xid);
    let lsn = snapshot::read_lsn(remote).await?.lsn;
    let found = record(&key, lsn, remote).await?.ok_or_else(errors::unknown)?;
    let (head, commit) = prepared::decode(&found.row).map_err(|error| errors::failed(&error.to_string()))?;
    let PreparedCommit { writes, checks, counters } = match how {
        Finish::Commit => commit,
        Finish::RollBack => PreparedCommit::default(),
    };
    // First, so that a conflict is told of it before any other key: whoever else finishes it writes these too.
    let record = Write { mutation: Mutation { key: key.clone(), row: None }, observed: found.lsn };
    let writes = std::iter::once(record).chain(writes).collect();
    let request =
        // Its locks are held: no wait for page servers.
        CommitRequest { checks, counters, has_waited: true, ..CommitRequest::of(CommitId((remote.new_id)()), head.txn, writes) };
    match commit::send(request, remote).await {
        Ok(_) => Ok(()),
        Err(Refusal::Failed(error)) => Err(error),
        Err(Refusal::Conflict(other)) if other == key => Err(errors::unknown()),
        // Its locks were not held all the time, as after a log was begun anew beside a store.
        Err(Refusal::Conflict(_)) => Err(errors::failed("what it relied on has changed; it can only be rolled back")),
        Err(Refusal::LocksLost) => Err(errors::failed("the leader changed, and nothing was written; try again")),
    }
}

/// Names of the prepared transactions at an LSN.
pub async fn all(lsn: Lsn, remote: &Remote) -> Result<Vec<Xid>, SqlError> {
    let view = ReadView::of(remote.pages.clone(), lsn);
    let mut batches = view.scan(ViewScan::rows(vec![prepared::all()]).keys_only());
    let mut names = Vec::new();
    while let Some(batch) = batches.try_next().await? {
        let ScanBatch::Rows(rows) = batch else { continue };
        names.extend(rows.iter().filter_map(|row| Xid::from_bytes(prepared::name_of(&row.key)?)));
    }
    Ok(names)
}
