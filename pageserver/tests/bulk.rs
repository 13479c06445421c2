//! Bulk layers: what a page server refuses, and what a commit of them shows, all at once or not at all.

mod support;

use common::cluster_map::MapChange;
use common::id::{Lsn, TabletId};
use common::key::{Key, KeyRange};
use common::service::PageService;
use common::service::page::*;
use futures::TryStreamExt;
use object_store::memory::InMemory;
use pageserver::PageServer;
use pageserver::doctor::{self, DoctorOptions};
use std::sync::Arc;
use std::time::Duration;
use support::log::{LogHandle, MemoryLog};
use support::{key, output_of, row, small_config};

const SECOND_US: u64 = 1_000_000;

async fn start(log: &Arc<MemoryLog>, store: &Arc<InMemory>) -> PageServer {
    pageserver::start(small_config(), Arc::new(LogHandle(log.clone())), store.clone()).await.unwrap()
}

fn rows(numbers: impl Iterator<Item = u32>) -> Vec<BulkRow> {
    let mut rows: Vec<BulkRow> = numbers.map(|number| (key(number), Some(row(number)))).collect();
    rows.sort();
    rows
}

async fn keys_at(service: &Arc<dyn PageService>, lsn: Lsn) -> Vec<Key> {
    let request = ScanRequest {
        lsn,
        ranges: vec![KeyRange::all()],
        direction: Direction::Forward,
        limit: None,
        output: output_of(1),
        bounds: Vec::new(),
        batch_rows: 100,
    };
    let batches: Vec<ScanBatch> = service.scan(request).await.unwrap().try_collect().await.unwrap();
    let keys = batches.into_iter().flat_map(|batch| {
        let ScanBatch::Rows(rows) = batch else { panic!("keys were asked for") };
        rows
    });
    keys.map(|row| row.key).collect()
}

#[tokio::test]
async fn keys_that_two_layers_have_are_found() {
    let (log, store) = (MemoryLog::new(SECOND_US), Arc::new(InMemory::new()));
    let server = start(&log, &store).await;
    let service = server.service();
    let even = service.bulk_write(rows((0..100).map(|number| 2 * number))).await.unwrap();
    let odd = service.bulk_write(rows((0..100).map(|number| 2 * number + 1))).await.unwrap();
    let again = service.bulk_write(rows(77..78)).await.unwrap();
    let all = [even.clone(), odd.clone(), again].concat();
    assert_eq!(service.bulk_finish(all).await.unwrap(), BulkFinished::Duplicate(key(77)));
    let BulkFinished::Ready(merged) = service.bulk_finish([even, odd].concat()).await.unwrap() else {
        panic!("no key is twice")
    };
    assert!(merged.windows(2).all(|pair| pair[0].last < pair[1].first));
    assert_eq!(merged.iter().map(|layer| layer.rows).sum::<u64>(), 200);
}

#[tokio::test]
async fn what_is_out_of_order_or_unknown_is_refused() {
    let (log, store) = (MemoryLog::new(SECOND_US), Arc::new(InMemory::new()));
    let server = start(&log, &store).await;
    let service = server.service();
    let refused = |answer: Result<_, PageError>| assert!(matches!(answer, Err(PageError::BadRequest(_))));
    let mut twice = rows(1..3);
    twice.push(twice[1].clone());
    refused(service.bulk_write(twice).await.map(drop));
    refused(service.bulk_write(vec![(key(1), Some(vec![0; BULK_BYTES_MAX].into()))]).await.map(drop));
    let layers = service.bulk_write(rows(1..30)).await.unwrap();
    let mut other = layers.clone();
    other[0].rows += 1;
    refused(service.bulk_finish(other).await.map(drop));
    assert_eq!(service.bulk_write(Vec::new()).await.unwrap(), []);
    // Whoever has taken over does not know them, and so nobody commits what may be gone.
    drop((service, server));
    let next = start(&log, &store).await;
    refused(next.service().bulk_finish(layers).await.map(drop));
}

#[tokio::test]
async fn a_commit_shows_layers_in_all_tablets_at_once_also_after_a_split() {
    let (log, store) = (MemoryLog::new(SECOND_US), Arc::new(InMemory::new()));
    let server = start(&log, &store).await;
    let service = server.service();
    let all = rows(0..200);
    let middle = all[100].0.clone();
    let layers = service.bulk_write(all.clone()).await.unwrap();
    assert_eq!(layers.len(), 1);
    let before = server.change_map(&MapChange::Split { tablet: TabletId(1), at: middle.clone() }).await.unwrap();
    // One row lies in a memtable, under the layer.
    let old = log.commit(vec![(all[3].0.clone(), None), (all[150].0.clone(), None)], Vec::new());
    assert_eq!(keys_at(&service, old).await, [common::cluster_map::MAP_KEY]);
    let records = layers.iter().map(|layer| layer.record()).map(|record| (record.key, record.row)).collect();
    let lsn = log.commit(records, Vec::new());
    let keys: Vec<Key> = all.iter().map(|(key, _)| key.clone()).collect();
    let shown = keys_at(&service, lsn).await;
    assert_eq!(shown[1..], keys[..]);
    assert_eq!(keys_at(&service, old).await.len(), 1);
    assert!(before < old && old < lsn);
    let newest = service.newest_versions(vec![keys[3].clone(), keys[150].clone()], lsn).await.unwrap();
    assert_eq!(newest, [lsn, lsn]);
    let later = log.commit(vec![(keys[4].clone(), None)], Vec::new());
    assert_eq!(keys_at(&service, later).await.len(), 200);
    service.flush().await.unwrap();
    server.compact().await.unwrap();
    assert!(server.is_clean(TabletId(1)) && server.is_clean(TabletId(2)));
    assert_eq!(keys_at(&service, later).await.len(), 200);
    assert_eq!(keys_at(&service, lsn).await.len(), 201);
    drop((service, server));
    let recovered = pageserver::recover(store.clone()).await.unwrap();
    assert_eq!(recovered.durable, later);
    let log = MemoryLog::beginning_at(recovered.durable, recovered.map, SECOND_US);
    let server = start(&log, &store).await;
    assert_eq!(keys_at(&server.service(), lsn).await.len(), 201);
}

#[tokio::test]
async fn layers_of_a_load_that_was_killed_are_leaks_until_the_next_owner_deletes_them() {
    let (log, store) = (MemoryLog::new(SECOND_US), Arc::new(InMemory::new()));
    let leaks = || async {
        let options = DoctorOptions { grace: Duration::ZERO, now_us: u64::MAX };
        let report = doctor::examine(store.clone(), options, Arc::default()).await.unwrap();
        assert!(report.is_sound());
        (report.leaks.len(), report.leaked_bytes)
    };
    let server = start(&log, &store).await;
    let kept = rows(0..50);
    log.commit(kept.clone(), Vec::new());
    let lsn = log.newest();
    keys_at(&server.service(), lsn).await;
    server.flush().await.unwrap();
    server.compact().await.unwrap();
    server.compact().await.unwrap();
    assert_eq!(leaks().await, (0, 0));
    let layers = server.service().bulk_write(rows(100..300)).await.unwrap();
    // As long as its transaction may commit, nobody here takes it for a leak.
    server.compact().await.unwrap();
    server.compact().await.unwrap();
    assert_eq!(leaks().await, (layers.len(), layers.iter().map(|layer| layer.bytes).sum()));
    drop(server);
    let next = start(&log, &store).await;
    assert_eq!(leaks().await.0, layers.len());
    // Seen by one look, deleted by the next.
    next.compact().await.unwrap();
    next.compact().await.unwrap();
    assert_eq!(leaks().await, (0, 0));
    assert_eq!(keys_at(&next.service(), lsn).await, kept.into_iter().map(|(key, _)| key).collect::<Vec<_>>());
}
