use super::support::*;
use common::cluster_map::{ClusterMap, MAP_KEY, MapChange};
use common::id::{CATALOG_TABLE, CommitId, CounterId, Lsn, TabletId, Term, TxnId};
use common::service::wal::{
    AllocateRequest, CommitError, CommitRequest, CounterBump, LockError, LockMode, LockRequest, LockWait, Mutation,
    Observed, PressureReport, ReadLsn, StreamItem, SubscribeRequest, Tenure, Undurable, WalError, Write,
};
use futures::StreamExt;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_locks_are_gone_goes_past_nobody() {
    let directory = tempfile::tempdir().expect("a directory");
    let node = start_at(directory.path()).await;
    let service = node.service();
    let held = lock(&service, 1, "a").await.expect("nobody has it");
    let without = service.commit(put(2, "a", "row", Lsn::ZERO)).await;
    assert!(matches!(without, Err(CommitError::Conflict { .. })), "{without:?}");
    // Over another connection, or from another leader.
    let stale = Some(Tenure { session: 7, ..held.tenure() });
    let lost = CommitRequest { tenure: stale, ..put(3, "a", "row", Lsn::ZERO) };
    let lost = service.commit(lost).await;
    assert!(matches!(lost, Err(CommitError::Conflict { .. })), "{lost:?}");
    let elsewhere = CommitRequest { tenure: stale, ..put(4, "b", "row", Lsn::ZERO) };
    assert!(service.commit(elsewhere).await.is_ok(), "nobody has locked it");
    let relying = CommitRequest { tenure: stale, relies_on_locks: true, ..put(5, "c", "row", Lsn::ZERO) };
    assert_eq!(service.commit(relying).await, Err(CommitError::LocksLost));
    let own = CommitRequest { tenure: Some(held.tenure()), relies_on_locks: true, ..put(1, "a", "row", Lsn::ZERO) };
    assert!(service.commit(own).await.is_ok());
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_get_dense_lsns_and_conflicts_are_found() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let node = start_at(directory.path()).await;
    let service = node.service();
    assert_eq!(service.read_lsn().await.map(|read| read.lsn), Ok(Lsn(0)));
    let first = service.commit(put(1, "a", "1", Lsn(0))).await.expect("no conflict");
    assert_eq!(first.lsn, Lsn(1));
    assert_eq!(service.read_lsn().await.map(|read| read.lsn), Ok(Lsn(1)));
    let conflict = service.commit(put(2, "a", "2", Lsn(0))).await;
    assert_eq!(conflict, Err(CommitError::Conflict { key: key("a"), newest: Lsn(1) }));
    assert_eq!(service.commit(put(3, "a", "2", Lsn(1))).await.expect("saw the newest").lsn, Lsn(2));
    assert_eq!(service.commit(put(4, "a", "3", Lsn::MAX)).await.expect("a blind write").lsn, Lsn(3));
    let mut checked = put(5, "b", "1", Lsn(0));
    checked.checks = vec![Observed { key: key("a"), lsn: Lsn(2) }];
    assert_eq!(service.commit(checked).await, Err(CommitError::Conflict { key: key("a"), newest: Lsn(3) }));
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_lsn_tells_how_new_the_definitions_are() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let node = start_at(directory.path()).await;
    let service = node.service();
    let definition = |id: u128| {
        let mut key = CATALOG_TABLE.0.to_be_bytes().to_vec();
        key.extend_from_slice(b"\0\0\0\x01items");
        commit_of(id, vec![Write { mutation: Mutation { key: key.into(), row: None }, observed: Lsn::MAX }])
    };
    service.commit(put(1, "a", "1", Lsn(0))).await.expect("no conflict");
    service.commit(definition(2)).await.expect("no conflict");
    service.commit(put(3, "a", "2", Lsn(1))).await.expect("no conflict");
    let read = ReadLsn { lsn: Lsn(3), definitions: Lsn(2) };
    assert_eq!(service.read_lsn().await, Ok(read));
    node.shutdown().await;
    let node = start_at(directory.path()).await;
    assert_eq!(node.service().read_lsn().await, Ok(read), "after a restart too");
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retried_commit_applies_once_also_after_restart() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let node = start_at(directory.path()).await;
    let service = node.service();
    let request = put(7, "a", "1", Lsn(0));
    let first = service.commit(request.clone()).await.expect("no conflict");
    assert_eq!(service.commit(request.clone()).await, Ok(first));
    assert_eq!(service.outcome(CommitId(7)).await, Ok(Some(first.lsn)));
    assert_eq!(service.outcome(CommitId(8)).await, Ok(None));
    // Who asked was told "never": so it must stay.
    let late = service.commit(put(8, "b", "1", Lsn(0))).await;
    assert!(matches!(late, Err(CommitError::Refused(_))), "{late:?}");
    node.shutdown().await;
    let node = start_at(directory.path()).await;
    assert_eq!(node.service().commit(request).await, Ok(first));
    assert_eq!(node.service().outcome(CommitId(7)).await, Ok(Some(first.lsn)));
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restart_recovers_rows_conflicts_and_counters() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let node = start_at(directory.path()).await;
    let service = node.service();
    for number in 1..=20u64 {
        let mut request = put(u128::from(number), &format!("k{}", number % 5), &number.to_string(), Lsn(number - 1));
        request.counters = vec![CounterBump { counter: CounterId(1), next: number + 100, reset: false }];
        service.commit(request).await.expect("no conflict");
    }
    let before = collect(&service, Lsn(1), Lsn(20)).await;
    node.shutdown().await;

    let node = start_at(directory.path()).await;
    let service = node.service();
    assert_eq!(service.read_lsn().await.map(|read| read.lsn), Ok(Lsn(20)));
    assert_eq!(collect(&service, Lsn(1), Lsn(20)).await, before);
    let stale = service.commit(put(100, "k0", "x", Lsn(19))).await;
    assert_eq!(stale, Err(CommitError::Conflict { key: key("k0"), newest: Lsn(20) }));
    let next = AllocateRequest { counter: CounterId(1), count: 3, at_least: 0 };
    assert_eq!((service.allocate(next).await, service.allocate(next).await), (Ok(120), Ok(123)));
    // Two reservations were in between.
    assert_eq!(service.commit(put(101, "k0", "x", Lsn(20))).await.map(|reply| reply.lsn), Ok(Lsn(23)));
    node.shutdown().await;
    let node = start_at(directory.path()).await;
    assert_eq!(node.service().allocate(next).await, Ok(126), "a clean stop leaves no gap");
    drop(node);
    let node = start_when_free(directory.path()).await;
    let after_crash = node.service().allocate(next).await.expect("a value");
    assert!(after_crash >= 129, "{after_crash} was given before the crash");
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_commits_survive_a_node_that_is_dropped() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let mut acknowledged = 0;
    for round in 0..5u64 {
        let node = start_when_free(directory.path()).await;
        let service = node.service();
        assert_eq!(service.read_lsn().await.map(|read| read.lsn), Ok(Lsn(acknowledged)));
        for number in 1..=7 {
            let id = u128::from(round * 100 + number);
            acknowledged =
                service.commit(put(id, "hot", &id.to_string(), Lsn(acknowledged))).await.expect("commit").lsn.0;
        }
        drop(service);
        drop(node);
    }
    let node = start_when_free(directory.path()).await;
    assert_eq!(lsns(&collect(&node.service(), Lsn(1), Lsn(35)).await), (1..=35).collect::<Vec<_>>());
    node.shutdown().await;
}

/// Tasks of a dropped node hold its directory until they notice.
async fn start_when_free(directory: &std::path::Path) -> crate::WalNode {
    loop {
        let config = crate::WalConfig::single(directory.to_path_buf());
        match crate::start(config, environment()).await {
            Ok(node) => return node,
            Err(crate::StartError::Directory { source, .. }) if source.kind() == std::io::ErrorKind::ResourceBusy => {
                tokio::task::yield_now().await;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn locks_pass_on_with_what_the_next_holder_has_to_see() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let node = start_at(directory.path()).await;
    let service = node.service();
    assert_eq!(lock(&service, 1, "a").await.expect("free").lsn, Lsn(0));
    let nowait = LockRequest::keys(TxnId(2), vec![(key("a"), LockMode::Shared)], LockWait::NoWait);
    assert_eq!(service.lock(nowait.clone()).await, Err(LockError::NotAvailable));
    let skip = LockRequest {
        keys: vec![(key("a"), LockMode::Shared), (key("b"), LockMode::Shared)],
        wait: LockWait::SkipLocked,
        ..nowait.clone()
    };
    assert_eq!(service.lock(skip).await.expect("skips").granted, [false, true]);
    let soon = LockRequest { wait: LockWait::Timeout(Duration::from_millis(1)), ..nowait };
    assert_eq!(service.lock(soon).await, Err(LockError::Timeout));

    let waiter = tokio::spawn({
        let service = service.clone();
        async move { lock(&service, 3, "a").await }
    });
    while service.status().await.expect("status").locks_waiting == 0 {
        tokio::task::yield_now().await;
    }
    let lsn = service.commit(put(1, "a", "1", Lsn(0))).await.expect("commit").lsn;
    // Reading at the LSN of the grant shows what the previous holder committed, or the grant does.
    let reply = waiter.await.expect("task").expect("granted");
    match reply.newest.as_slice() {
        [] => assert_eq!((reply.lsn, reply.undurable), (lsn, None)),
        [newest] => {
            assert_eq!((newest.key, newest.lsn, newest.row.as_deref()), (0, lsn, Some(&b"1"[..])));
            assert_eq!(reply.undurable, Some(lsn));
        }
        more => panic!("{more:?}"),
    }
    let version = Undurable { term: reply.term, lsn };
    assert_eq!(service.wait_durable(version).await, Ok(true));
    assert_eq!(service.read_lsn().await.map(|read| read.lsn), Ok(lsn));
    assert_eq!(service.wait_durable(Undurable { term: Term(reply.term.0 + 1), lsn }).await, Ok(false));
    service.unlock(TxnId(3)).await.expect("unlock");
    lock(&service, 4, "a").await.expect("free again");
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_lock_call_leaves_the_queue() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let node = start_at(directory.path()).await;
    let service = node.service();
    lock(&service, 1, "a").await.expect("free");
    let waiter = tokio::spawn({
        let service = service.clone();
        async move { lock(&service, 2, "a").await }
    });
    while service.status().await.expect("status").locks_waiting == 0 {
        tokio::task::yield_now().await;
    }
    waiter.abort();
    while service.status().await.expect("status").locks_waiting > 0 {
        tokio::task::yield_now().await;
    }
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscribers_see_every_commit_once_in_order_while_commits_go_on() {
    let directory = tempfile::tempdir().expect("temporary directory");
    // Little memory, so that slow subscribers have to read the log.
    let node = start_with(directory.path(), |config| {
        config.stream_bytes_max = 2_000;
        config.cache_bytes_max = 2_000;
        config.segment_bytes = 16 << 10;
    })
    .await;
    let service = node.service();
    const WRITERS: u128 = 4;
    const COMMITS: u128 = 100;
    let last = Lsn(u64::try_from(WRITERS * COMMITS).expect("small"));
    let subscribers: Vec<_> = (1..=4)
        .map(|_| {
            tokio::spawn({
                let service = service.clone();
                async move { collect(&service, Lsn(1), last).await }
            })
        })
        .collect();
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            tokio::spawn({
                let service = service.clone();
                async move {
                    for number in 0..COMMITS {
                        let id = writer * 1_000_000 + number;
                        service.commit(put(id, &format!("{writer}"), "row", Lsn::MAX)).await.expect("commit");
                    }
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.expect("writer");
    }
    let expected: Vec<u64> = (1..=last.0).collect();
    for subscriber in subscribers {
        assert_eq!(lsns(&subscriber.await.expect("subscriber")), expected);
    }
    for from in [1, 2, 57, last.0 - 1, last.0] {
        assert_eq!(lsns(&collect(&service, Lsn(from), last).await), (from..=last.0).collect::<Vec<_>>(), "from {from}");
    }
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_filter_by_tablet_and_end_with_the_node() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let node = start_at(directory.path()).await;
    let service = node.service();
    service.commit(put(1, "a", "1", Lsn(0))).await.expect("commit");
    let request = SubscribeRequest { from: Lsn(1), tablets: vec![TabletId(99)] };
    let mut elsewhere = service.subscribe(request).await.expect("subscribes");
    let heartbeat = Some(Ok(common::service::wal::StreamItem::Heartbeat { up_to: Lsn(1) }));
    assert_eq!(elsewhere.next().await, heartbeat);
    node.shutdown().await;
    assert!(matches!(elsewhere.next().await, Some(Err(WalError::Unavailable(_)))));
    assert_eq!(elsewhere.next().await, None);
    assert!(matches!(service.read_lsn().await, Err(WalError::NotLeader { .. } | WalError::Unavailable(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_map_reaches_every_subscriber_and_outlives_restarts() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let node = start_at(directory.path()).await;
    let service = node.service();
    let split = MapChange::Split { tablet: TabletId(1), at: key("m") };
    let halves = ClusterMap::default().changed(&split).expect("a split");
    let write = Write { mutation: Mutation { key: MAP_KEY, row: Some(halves.encode()) }, observed: Lsn(0) };
    service.commit(commit_of(1, vec![write])).await.expect("the map changes");
    service.commit(put(2, "a", "1", Lsn(0))).await.expect("commit");
    let request = SubscribeRequest { from: Lsn(1), tablets: vec![TabletId(2)] };
    let mut upper = service.subscribe(request).await.expect("subscribes");
    let first = upper.next().await.expect("an item").expect("the log can be read");
    let StreamItem::Batch(batch) = first else { panic!("{first:?} instead of the map's transaction") };
    assert_eq!(batch.transactions[0].mutations[0].1.key, MAP_KEY);
    node.shutdown().await;
    let node = start_at(directory.path()).await;
    let service = node.service();
    service.commit(put(3, "z", "1", Lsn(2))).await.expect("commit");
    let batches = collect(&service, Lsn(3), Lsn(3)).await;
    assert_eq!(batches[0].transactions[0].mutations[0].0, TabletId(2));
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trim_deletes_segments_and_keeps_what_is_newer() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let small = |config: &mut crate::WalConfig| config.segment_bytes = 4 << 10;
    let node = start_with(directory.path(), small).await;
    let service = node.service();
    let row = "x".repeat(700);
    for number in 1..=60u64 {
        service.commit(put(u128::from(number), &number.to_string(), &row, Lsn::MAX)).await.expect("commit");
    }
    let before = service.status().await.expect("status");
    assert_eq!(before.first, Lsn(1));
    service.report_durable(TabletId(1), Lsn(40)).await.expect("report");
    let first = loop {
        let now = service.status().await.expect("status");
        if now.first > Lsn(1) && now.log_bytes < before.log_bytes {
            break now.first;
        }
        tokio::task::yield_now().await;
    };
    assert!(first <= Lsn(41), "nothing above the durable LSN may go, the log begins at {first}");
    let gone = service.subscribe(SubscribeRequest { from: Lsn(1), tablets: vec![] }).await.err();
    assert_eq!(gone, Some(WalError::Trimmed { first }));
    node.shutdown().await;
    let node = start_with(directory.path(), small).await;
    let service = node.service();
    assert_eq!(service.status().await.expect("status").first, first);
    assert_eq!(lsns(&collect(&service, first, Lsn(60)).await), (first.0..=60).collect::<Vec<_>>());
    assert_eq!(service.outcome(CommitId(3)).await, Ok(Some(Lsn(3))), "outcomes outlive the trim");
    assert_eq!(service.commit(put(99, "z", "1", Lsn::MAX)).await.expect("commit").lsn, Lsn(61));
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_log_beside_old_data_begins_behind_it() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let split = MapChange::Split { tablet: TabletId(1), at: key("a") };
    let base = crate::Base {
        lsn: Lsn(500),
        counters: vec![(CounterId(4), 17)],
        map: ClusterMap::default().changed(&split).expect("a split"),
        founding: crate::Founding { outcomes: vec![(CommitId(77), Lsn(490))], ..Default::default() },
    };
    let config = crate::WalConfig::single(directory.path().to_path_buf());
    let nothing = futures::stream::empty().boxed();
    assert_eq!(crate::found(config, base, nothing).await.expect("a log"), Lsn(500));
    let node = start_with(directory.path(), |_| {}).await;
    let service = node.service();
    assert_eq!(service.read_lsn().await.map(|read| read.lsn), Ok(Lsn(500)));
    let old = service.subscribe(SubscribeRequest { from: Lsn(500), tablets: vec![] }).await.err();
    assert_eq!(old, Some(WalError::Trimmed { first: Lsn(501) }));
    let ask = AllocateRequest { counter: CounterId(4), count: 0, at_least: 0 };
    assert_eq!(service.allocate(ask).await, Ok(17));
    assert_eq!(service.commit(put(1, "a", "1", Lsn(500))).await.expect("commit").lsn, Lsn(501));
    node.shutdown().await;
    let node = start_with(directory.path(), |_| {}).await;
    assert_eq!(node.service().outcome(CommitId(77)).await, Ok(Some(Lsn(490))));
    let batches = collect(&node.service(), Lsn(501), Lsn(501)).await;
    assert_eq!(lsns(&batches), [501]);
    assert_eq!(batches[0].transactions[0].mutations[0].0, TabletId(2));
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_older_than_the_window_are_refused_without_a_page_server() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let node = start_with(directory.path(), |config| config.conflict_window_keys_max = 2).await;
    let service = node.service();
    for number in 1..=4u128 {
        service.commit(put(number, &number.to_string(), "1", Lsn::MAX)).await.expect("commit");
    }
    let old = service.commit(put(9, "other", "1", Lsn(1))).await;
    assert!(matches!(&old, Err(CommitError::Refused(reason)) if reason.contains("page server")), "{old:?}");
    service.commit(put(10, "other", "1", Lsn(2))).await.expect("the window reaches back to LSN 2");
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_in_use_is_refused() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let node = start_at(directory.path()).await;
    let second = crate::start(crate::WalConfig::single(directory.path().to_path_buf()), environment()).await;
    let message = second.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(message.contains("in use by another process"), "{message}");
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_that_have_not_waited_for_page_servers_wait_at_the_log() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let registry = prometheus::Registry::new();
    let environment = crate::WalEnvironment { registry: Some(registry.clone()), ..environment() };
    let config = crate::WalConfig::single(directory.path().to_path_buf());
    let node = crate::start(config, environment).await.expect("the node starts");
    let service = node.service();
    let delayed = || {
        let families = registry.gather();
        let family = families.iter().find(|family| family.name() == "wal_commits_delayed_total").expect("a metric");
        family.get_metric()[0].get_counter().get_value()
    };
    // A report holds for some seconds, and the machine may be slow.
    let report = PressureReport { reporter: 1, pressure: 0.5 };
    for id in 1.. {
        service.report_pressure(report).await.expect("it leads");
        let waited = CommitRequest { has_waited: true, ..put(2 * id, "a", "1", Lsn::MAX) };
        service.commit(waited).await.expect("commit");
        assert_eq!(delayed(), 0.0);
        service.commit(put(2 * id + 1, "a", "2", Lsn::MAX)).await.expect("commit");
        if delayed() == 1.0 {
            break;
        }
    }
    node.shutdown().await;
}
