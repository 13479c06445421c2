//! What must be the same whether a service is called directly or over the network.

use super::fake::{BROKEN_KEY, FakePages, FakeWal, ROWS};
use super::{Deadlines, Remote, services_of};
use crate::id::{ColumnId, CommitId, CounterId, Lsn, TabletId, TxnId};
use crate::key::{Key, KeyRange};
use crate::physical::{PhysicalType, PhysicalValue};
use crate::service::page::*;
use crate::service::wal::*;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use std::sync::Arc;
use std::time::Duration;

type Services = (Arc<dyn WalService>, Arc<dyn PageService>);

fn direct() -> Services {
    (Arc::new(FakeWal::default()), Arc::new(FakePages::default()))
}

fn remote() -> Services {
    services_of(Remote::start(Deadlines::default()))
}

/// Each case runs against both forms.
macro_rules! both_forms {
    ($($case:ident),* $(,)?) => {
        mod directly { $(#[tokio::test] async fn $case() { super::$case(super::direct()).await })* }
        mod over_quic { $(#[tokio::test] async fn $case() { super::$case(super::remote()).await })* }
    };
}

both_forms!(
    commits_are_numbered_and_idempotent,
    conflicts_name_key_and_version,
    locks_are_granted_refused_and_skipped,
    counters_hand_out_ranges,
    subscribers_get_batches_and_heartbeats,
    trimmed_log_is_the_answer_to_subscribe,
    status_and_durable_reports_travel,
    gets_keep_the_order_of_keys,
    scans_return_rows_keys_and_columns,
    scans_return_aggregates,
    scan_errors_come_after_the_batches_before_them,
    page_figures_travel,
    bulk_rows_travel_and_layers_come_back,
    many_calls_at_once_get_their_own_answers,
);

async fn bulk_rows_travel_and_layers_come_back((_, pages): Services) {
    let rows = |from: u8, to: u8| {
        (from..to).map(|key| (Key::from(vec![key]), (key != 7).then(|| Bytes::from(vec![key; 40_000])))).collect()
    };
    let low = pages.bulk_write(rows(1, 90)).await.unwrap();
    let high = pages.bulk_write(rows(80, 120)).await.unwrap();
    assert_eq!((low[0].rows, &low[0].first[..], &low[0].last[..]), (89, &[1][..], &[89][..]));
    assert_eq!(pages.bulk_finish(low.clone()).await.unwrap(), BulkFinished::Ready(low.clone()));
    let both = [low, high].concat();
    assert_eq!(pages.bulk_finish(both).await.unwrap(), BulkFinished::Duplicate(Key::from(vec![80])));
}

fn commit_of(id: u128, key: &'static [u8], row: Option<Bytes>, observed: Lsn) -> CommitRequest {
    let writes = vec![Write { mutation: Mutation { key: Key::from_static(key), row }, observed }];
    CommitRequest {
        checks: vec![Observed { key: Key::from_static(b"parent"), lsn: observed }],
        counters: vec![CounterBump { counter: CounterId(3), next: 9, reset: true }],
        ..CommitRequest::of(CommitId(id), TxnId(id), writes)
    }
}

async fn commits_are_numbered_and_idempotent((wal, _): Services) {
    // Large enough to travel in many packets.
    let row = Bytes::from(vec![7u8; 300_000]);
    let first = commit_of(1, b"a", Some(row), Lsn::MAX);
    assert_eq!(wal.commit(first.clone()).await.unwrap(), CommitReply { lsn: Lsn(1) });
    assert_eq!(wal.commit(commit_of(2, b"b", None, Lsn::MAX)).await.unwrap(), CommitReply { lsn: Lsn(2) });
    assert_eq!(wal.commit(first).await.unwrap(), CommitReply { lsn: Lsn(1) });
    assert_eq!(wal.read_lsn().await.unwrap().lsn, Lsn(2));
    assert_eq!(wal.outcome(CommitId(2)).await.unwrap(), Some(Lsn(2)));
    assert_eq!(wal.outcome(CommitId(5)).await.unwrap(), None);
}

async fn conflicts_name_key_and_version((wal, _): Services) {
    wal.commit(commit_of(1, b"a", None, Lsn::ZERO)).await.unwrap();
    let refused = wal.commit(commit_of(2, b"a", None, Lsn::ZERO)).await.unwrap_err();
    assert_eq!(refused, CommitError::Conflict { key: Key::from_static(b"a"), newest: Lsn(1) });
}

async fn locks_are_granted_refused_and_skipped((wal, _): Services) {
    let lock = |txn, keys: &[&'static str], wait| {
        let keys = keys.iter().map(|key| (Key::from_static(key.as_bytes()), LockMode::Exclusive)).collect();
        wal.lock(LockRequest::keys(TxnId(txn), keys, wait))
    };
    assert_eq!(lock(1, &["a"], LockWait::NoWait).await.unwrap().granted, [true]);
    assert_eq!(lock(2, &["a"], LockWait::NoWait).await.unwrap_err(), LockError::NotAvailable);
    let short = LockWait::Timeout(Duration::from_millis(1));
    assert_eq!(lock(2, &["a"], short).await.unwrap_err(), LockError::Timeout);
    assert_eq!(lock(2, &["a", "b"], LockWait::SkipLocked).await.unwrap().granted, [false, true]);
    wal.unlock(TxnId(1)).await.unwrap();
    assert_eq!(lock(2, &["a"], LockWait::NoWait).await.unwrap().granted, [true]);
}

async fn counters_hand_out_ranges((wal, _): Services) {
    let allocate = |count, at_least| wal.allocate(AllocateRequest { counter: CounterId(1), count, at_least });
    assert_eq!(allocate(10, 0).await.unwrap(), 1);
    assert_eq!(allocate(1, 0).await.unwrap(), 11);
    assert_eq!(allocate(1, 100).await.unwrap(), 100);
    assert_eq!(allocate(0, 0).await.unwrap(), 101);
}

async fn subscribers_get_batches_and_heartbeats((wal, _): Services) {
    for id in 1..=3u8 {
        wal.commit(commit_of(u128::from(id), b"a", Some(vec![id].into()), Lsn::MAX)).await.unwrap();
    }
    let request = SubscribeRequest { from: Lsn(2), tablets: vec![TabletId(1)] };
    let items: Vec<StreamItem> = wal.subscribe(request).await.unwrap().take(3).try_collect().await.unwrap();
    let [StreamItem::Batch(second), StreamItem::Batch(third), StreamItem::Heartbeat { up_to: Lsn(3) }] = &items[..]
    else {
        panic!("{items:?}");
    };
    assert_eq!((second.first_lsn, third.first_lsn), (Lsn(2), Lsn(3)));
    let expected = Transaction {
        lsn: Lsn(3),
        commit_id: CommitId(3),
        mutations: vec![(TabletId(1), Mutation { key: Key::from_static(b"a"), row: Some(vec![3].into()) })],
        counters: vec![CounterBump { counter: CounterId(3), next: 9, reset: true }],
    };
    assert_eq!(third.transactions, [expected]);
}

async fn trimmed_log_is_the_answer_to_subscribe((wal, _): Services) {
    let outcome = wal.subscribe(SubscribeRequest { from: Lsn::ZERO, tablets: vec![] }).await;
    assert_eq!(outcome.err(), Some(WalError::Trimmed { first: Lsn(1) }));
}

async fn status_and_durable_reports_travel((wal, _): Services) {
    wal.report_durable(TabletId(1), Lsn(7)).await.unwrap();
    wal.report_pressure(PressureReport { reporter: 7, pressure: 0.5 }).await.unwrap();
    assert_eq!(wal.pressure().await, Ok(0.25));
    assert_eq!(wal.oldest_snapshot().await, Ok(OldestSnapshot::Nothing));
    for (reporter, oldest) in [(1, Some(Lsn(9))), (2, Some(Lsn(5))), (3, None)] {
        wal.report_snapshots(SnapshotReport { reporter, oldest }).await.unwrap();
    }
    assert_eq!(wal.oldest_snapshot().await, Ok(OldestSnapshot::At(Lsn(5))));
    let status = wal.status().await.unwrap();
    assert_eq!((status.first, status.committed), (Lsn(7), Lsn::ZERO));
}

async fn gets_keep_the_order_of_keys((_, pages): Services) {
    let keys = [9u8, 1, 250, 5].map(|key| Key::from(vec![key])).to_vec();
    let rows = pages.get(GetRequest { lsn: Lsn(8), keys: keys.clone() }).await.unwrap();
    assert_eq!(
        rows.iter().map(|row| row.as_ref().map(|row| row.lsn.0)).collect::<Vec<_>>(),
        [None, Some(1), None, Some(5)]
    );
    assert_eq!(rows[3].as_ref().unwrap().row, vec![5u8; 5]);
    assert_eq!(pages.newest_versions(keys, Lsn(1)).await.unwrap(), [Lsn(9), Lsn(1), Lsn(0), Lsn(5)]);
    let behind = pages.get(GetRequest { lsn: Lsn::MAX, keys: vec![] }).await.unwrap_err();
    assert_eq!(behind, PageError::Behind { wanted: Lsn::MAX, applied: Lsn(u64::from(ROWS)) });
}

fn scan_of(start: &'static [u8], output: ScanOutput) -> ScanRequest {
    let bound = ColumnBound { column: ColumnId(1), min: Some(PhysicalValue::Int256([1; 32])), max: None };
    ScanRequest {
        lsn: Lsn(500),
        ranges: vec![KeyRange { start: Key::from_static(start), end: Key::new() }],
        direction: Direction::Forward,
        limit: None,
        output,
        bounds: vec![bound],
        batch_rows: 64,
    }
}

fn columns(count: u16) -> ScanOutput {
    let column = |id| ScanColumn { column: ColumnId(id), physical: PhysicalType::Int64, default: PhysicalValue::Null };
    ScanOutput::Columns((0..count).map(column).collect())
}

async fn scans_return_rows_keys_and_columns((_, pages): Services) {
    for (output, expected_batches) in [(ScanOutput::Rows, 4), (ScanOutput::Keys, 4), (columns(2), 4), (columns(0), 4)] {
        let request = scan_of(b"", output.clone());
        let batches: Vec<ScanBatch> = pages.scan(request).await.unwrap().try_collect().await.unwrap();
        assert_eq!(batches.len(), expected_batches, "{output:?}");
        let rows: usize = batches.iter().map(ScanBatch::rows).sum();
        assert_eq!(rows, usize::from(ROWS), "{output:?}");
    }
    let backward = ScanRequest { direction: Direction::Backward, limit: Some(2), ..scan_of(b"", ScanOutput::Keys) };
    let batches: Vec<ScanBatch> = pages.scan(backward).await.unwrap().try_collect().await.unwrap();
    let row = |key: u8| ScannedRow { key: vec![key].into(), lsn: Lsn(u64::from(key)), row: Bytes::new() };
    assert_eq!(batches, [ScanBatch::Rows(vec![row(200), row(199)])]);
    let too_old = pages.scan(ScanRequest { lsn: Lsn::ZERO, ..scan_of(b"", ScanOutput::Keys) }).await;
    assert_eq!(too_old.err(), Some(PageError::TooOld { wanted: Lsn::ZERO, horizon: Lsn(1) }));
}

async fn scans_return_aggregates((_, pages): Services) {
    let column = ScanColumn { column: ColumnId(1), physical: PhysicalType::Int64, default: PhysicalValue::Null };
    let term = vec![TermStep::Column(0), TermStep::Constant(i128::MIN), TermStep::Multiply];
    let calls = vec![PartialCall::Rows, PartialCall::Sum(term), PartialCall::Max(0)];
    let output = ScanOutput::Aggregates(Aggregates { columns: vec![column], calls });
    let batches: Vec<ScanBatch> = pages.scan(scan_of(b"", output)).await.unwrap().try_collect().await.unwrap();
    let rows = PhysicalValue::UInt64(u64::from(ROWS));
    let values = vec![rows, PhysicalValue::Null, PhysicalValue::Int64(i64::from(ROWS))];
    assert_eq!(batches, [ScanBatch::Aggregates(values)]);
}

async fn scan_errors_come_after_the_batches_before_them((_, pages): Services) {
    let items: Vec<_> = pages.scan(scan_of(BROKEN_KEY, ScanOutput::Rows)).await.unwrap().collect().await;
    assert_eq!(items.len(), 2);
    assert!(items[0].is_ok());
    assert_eq!(items[1], Err(PageError::Corrupt("layer 7 at byte 9".to_owned())));
}

async fn page_figures_travel((_, pages): Services) {
    let estimate = pages.estimate(KeyRange { start: vec![101].into(), end: Key::new() }).await.unwrap();
    assert_eq!(estimate, RangeEstimate { rows: 100, bytes: 400 });
    let figures = pages.figures(KeyRange { start: vec![101].into(), end: Key::new() }).await.unwrap();
    assert_eq!((figures.rows, figures.bytes), (100, 400));
    assert_eq!((figures.columns[0].distinct, figures.columns[0].quantiles.len()), (100, 2));
    assert_eq!(pages.flush().await.unwrap(), Lsn(u64::from(ROWS)));
    assert_eq!(pages.status().await.unwrap().tablets, [TabletId(1), TabletId(2)]);
}

async fn many_calls_at_once_get_their_own_answers((_, pages): Services) {
    let calls = (0..1000u32).map(|number| {
        let pages = pages.clone();
        async move {
            let key = (number % 250) as u8;
            let rows = pages.get(GetRequest { lsn: Lsn(500), keys: vec![vec![key].into()] }).await.unwrap();
            let expected = (1..=ROWS).contains(&key).then(|| vec![key; usize::from(key)]);
            assert_eq!(rows[0].as_ref().map(|row| row.row.to_vec()), expected);
        }
    });
    futures::future::join_all(calls).await;
}

impl ScanBatch {
    fn rows(&self) -> usize {
        match self {
            ScanBatch::Rows(rows) => rows.len(),
            ScanBatch::Columns(columns) => columns.num_rows(),
            ScanBatch::Aggregates(_) => 1,
        }
    }
}
