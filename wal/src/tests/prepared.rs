//! Prepared transactions: their locks outlive whoever took them, the leader and the log's older part.

use super::support::*;
use super::versions::Versions;
use bytes::Bytes;
use common::id::{CommitId, Lsn, TabletId, TxnId};
use common::prepared::{self, PreparedCommit, PreparedLocks};
use common::service::WalService;
use common::service::wal::{
    CommitError, CommitRequest, LockError, LockMode, LockRequest, LockWait, Mutation, Tenure, Write,
};
use std::sync::Arc;

const NAME: &[u8] = b"name";

fn record(row: Option<Bytes>, observed: Lsn) -> Write {
    Write { mutation: Mutation { key: prepared::key_of(NAME), row }, observed }
}

/// Locks `name` for a transaction, and the commit that prepares it.
async fn lock_and_prepare(service: &Arc<dyn WalService>, txn: u128, name: &str) -> CommitRequest {
    let granted = lock(service, txn, name).await.expect("nobody else has it");
    let head = PreparedLocks { txn: TxnId(txn), locks: Vec::new() };
    let row = prepared::encode(&head, &PreparedCommit::default());
    CommitRequest {
        tenure: Some(granted.tenure()),
        relies_on_locks: true,
        ..CommitRequest::of(CommitId(txn), TxnId(txn), vec![record(Some(row), Lsn(0))])
    }
}

async fn lock_now(service: &Arc<dyn WalService>, txn: u128, name: &str) -> Result<(), LockError> {
    let keys = vec![(key(name), LockMode::Exclusive)];
    service.lock(LockRequest::keys(TxnId(txn), keys, LockWait::NoWait)).await.map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn locks_of_a_prepared_transaction_hold_until_it_is_finished() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let node = start_at(directory.path()).await;
    let service = node.service();
    let prepare = lock_and_prepare(&service, 1, "a").await;
    let at = service.commit(prepare.clone()).await.expect("it is prepared").lsn;
    assert_eq!(service.commit(prepare).await.map(|reply| reply.lsn), Ok(at), "once");
    // Its compute goes.
    service.unlock(TxnId(1)).await.expect("heard");
    assert_eq!(lock_now(&service, 2, "a").await, Err(LockError::NotAvailable));
    let past = service.commit(put(3, "a", "x", Lsn::MAX)).await;
    assert_eq!(past, Err(CommitError::Conflict { key: key("a"), newest: at }), "nobody goes past it");
    node.shutdown().await;

    // Another leader, which has only the snapshot for that part of the log.
    let node = start_at(directory.path()).await;
    let service = node.service();
    for id in 10..40 {
        service.commit(put(id, "b", &"x".repeat(100_000), Lsn::MAX)).await.expect("commit");
    }
    service.report_durable(TabletId(1), Lsn(30)).await.expect("heard");
    while service.status().await.expect("status").first <= at {
        tokio::task::yield_now().await;
    }
    drop(service);
    node.shutdown().await;
    let node = start_at(directory.path()).await;
    let service = node.service();
    assert_eq!(lock_now(&service, 4, "a").await, Err(LockError::NotAvailable));
    // What was prepared is older than the log: only page servers know its version.
    let writes = vec![put(0, "a", "row", Lsn(0)).writes.remove(0), record(None, at)];
    let finish = |id| CommitRequest::of(CommitId(id), TxnId(1), writes.clone());
    let unknown = service.commit(finish(6)).await;
    assert!(matches!(&unknown, Err(CommitError::Refused(reason)) if reason.contains("page server")), "{unknown:?}");
    assert_eq!(lock_now(&service, 4, "a").await, Err(LockError::NotAvailable), "it is prepared still");
    node.set_page_service(Versions::of([(prepared::key_of(NAME), at)]));
    let waits = tokio::spawn({
        let service = service.clone();
        async move { lock(&service, 5, "a").await }
    });
    let finished = service.commit(finish(6)).await.expect("it is finished").lsn;
    let granted = waits.await.expect("task").expect("the lock is free");
    assert!(granted.lsn >= finished || granted.newest.iter().any(|newest| newest.lsn == finished), "{granted:?}");
    let again = service.commit(finish(7)).await;
    assert!(matches!(again, Err(CommitError::Conflict { .. })), "{again:?}");
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_lost_its_locks_is_not_prepared() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let node = start_at(directory.path()).await;
    let service = node.service();
    let mut prepare = lock_and_prepare(&service, 1, "a").await;
    prepare.tenure = prepare.tenure.map(|tenure| Tenure { session: tenure.session + 1, ..tenure });
    assert_eq!(service.commit(prepare.clone()).await, Err(CommitError::LocksLost));
    prepare.writes[0].mutation.row = Some(Bytes::from_static(b"\x07"));
    let malformed = service.commit(prepare).await;
    assert!(matches!(malformed, Err(CommitError::Refused(_))), "{malformed:?}");
    service.unlock(TxnId(1)).await.expect("heard");
    assert_eq!(lock_now(&service, 2, "a").await, Ok(()));
    node.shutdown().await;
}
