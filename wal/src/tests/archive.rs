//! What a log archives, and a log that is founded on it.

use super::support::*;
use crate::{ArchiveConfig, Base, FoundError, WalConfig, WalEnvironment, WalNode, found, start};
use common::env::object_store;
use common::env::objects::Objects;
use common::id::{CommitId, CounterId, Lsn, TabletId};
use common::log_archive::{ArchiveError, Contents, LogArchive, Plan};
use common::service::WalService;
use common::service::wal::{AllocateRequest, Batch, SubscribeRequest, WalError};
use futures::stream::BoxStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

async fn archive() -> LogArchive {
    let store = object_store::open("memory://", Path::new("")).await.expect("a store in memory");
    LogArchive::new(Objects::new(store.objects))
}

async fn start_archiving(directory: &Path, archive: &LogArchive, config: ArchiveConfig) -> WalNode {
    let settings = WalConfig { segment_bytes: 4 << 10, archive: config, ..WalConfig::single(directory.to_path_buf()) };
    let environment = WalEnvironment { archive: Some(archive.clone()), ..environment() };
    start(settings, environment).await.expect("the node starts")
}

fn at_once() -> ArchiveConfig {
    ArchiveConfig { seal_bytes: 2000, seal_age: Duration::from_millis(1), ..ArchiveConfig::default() }
}

async fn commit(service: &Arc<dyn WalService>, lsns: std::ops::RangeInclusive<u64>) {
    for lsn in lsns {
        let request = put(lsn.into(), &format!("key {}", lsn % 5), &"x".repeat(100), Lsn::MAX);
        assert_eq!(service.commit(request).await.expect("commit").lsn, Lsn(lsn));
    }
}

async fn archived(archive: &LogArchive, after: u64) -> (Contents, Plan) {
    let contents = archive.contents().await.expect("a list");
    let bases = archive.bases(&contents).await.expect("bases");
    let plan = Plan::new(&contents, &bases, Lsn(after));
    (contents, plan)
}

/// Waits until the archive reaches `lsn`.
async fn wait_archived(archive: &LogArchive, lsn: u64) -> (Contents, Plan) {
    loop {
        let (contents, plan) = archived(archive, 0).await;
        if plan.end >= Lsn(lsn) {
            return (contents, plan);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn batches<'a>(archive: &'a LogArchive, plan: &Plan) -> BoxStream<'a, Result<Batch, ArchiveError>> {
    archive.batches(plan.steps.clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_is_lost_goes_on_where_its_archive_ends() {
    let (first, second, archive) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), archive().await);
    let node = start_archiving(first.path(), &archive, at_once()).await;
    let service = node.service();
    commit(&service, 1..=60).await;
    let counter = AllocateRequest { counter: CounterId(3), count: 10, at_least: 1 };
    assert_eq!(service.allocate(counter).await, Ok(1));
    let last = service.read_lsn().await.expect("it leads").lsn;
    let log = collect(&service, Lsn(1), last).await;
    let (contents, plan) = wait_archived(&archive, last.0).await;
    assert_eq!(plan.gap, None);
    assert!(contents.objects.len() > 2, "cut by size: {contents:?}");
    drop(node);

    // All up to 20 is in layers.
    let (contents, plan) = archived(&archive, 20).await;
    let generation = archive.claim(&contents, plan.end).await.expect("a generation");
    let base = Base { lsn: Lsn(20), ..Base::default() };
    let base = Base { founding: crate::Founding { generation, ..base.founding.clone() }, ..base };
    let config = WalConfig::single(second.path().to_path_buf());
    assert_eq!(found(config, base, batches(&archive, &plan)).await.expect("a log"), last);
    let node = start_archiving(second.path(), &archive, at_once()).await;
    let service = node.service();
    let wanted: Vec<Batch> =
        log.iter().filter(|batch| batch.first_lsn > Lsn(20)).map(|batch| (**batch).clone()).collect();
    let got: Vec<Batch> = collect(&service, Lsn(21), last).await.iter().map(|batch| (**batch).clone()).collect();
    assert_eq!(got, wanted, "as they were committed");
    let below = service.subscribe(SubscribeRequest { from: Lsn(20), tablets: vec![] }).await.err();
    assert_eq!(below, Some(WalError::Trimmed { first: Lsn(21) }));
    assert_eq!(service.outcome(CommitId(30)).await, Ok(Some(Lsn(30))));
    assert!(service.allocate(counter).await.expect("values") > 10, "no value is given twice");
    let request = put(1000, "key 1", "new", Lsn::MAX);
    assert!(service.commit(request).await.expect("commit").lsn > last);
    let next = last.next();
    let (_, plan) = wait_archived(&archive, next.0).await;
    let generations: Vec<u64> = plan.steps.iter().map(|step| step.name.generation).collect();
    assert!(generations.is_sorted() && generations.ends_with(&[1]), "{generations:?}");
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_keeps_what_is_not_archived_up_to_its_bound() {
    let (directory, archive) = (tempfile::tempdir().unwrap(), archive().await);
    let late = ArchiveConfig { seal_age: Duration::from_secs(3600), seal_bytes: 1 << 30, ..ArchiveConfig::default() };
    let node = start_archiving(directory.path(), &archive, late.clone()).await;
    let service = node.service();
    commit(&service, 1..=200).await;
    service.report_durable(TabletId(1), Lsn(150)).await.expect("reported");
    commit(&service, 201..=210).await;
    assert_eq!(service.status().await.expect("status").first, Lsn(1), "nothing is archived");
    node.shutdown().await;

    // With less room than the log takes.
    let node = start_archiving(directory.path(), &archive, ArchiveConfig { log_bytes_max: 1, ..late }).await;
    let service = node.service();
    service.report_durable(TabletId(1), Lsn(150)).await.expect("reported");
    while service.status().await.expect("status").first == Lsn(1) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(archive.contents().await.expect("a list").objects, []);
    node.shutdown().await;

    // What is left is archived once that works again.
    let node = start_archiving(directory.path(), &archive, at_once()).await;
    let first = node.service().status().await.expect("status").first;
    loop {
        let (_, plan) = archived(&archive, first.0 - 1).await;
        if plan.end >= Lsn(210) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_in_layers_and_old_is_removed_and_the_rest_is_not() {
    let (directory, archive) = (tempfile::tempdir().unwrap(), archive().await);
    let brief = ArchiveConfig { retention: Duration::ZERO, ..at_once() };
    let settings =
        WalConfig { segment_bytes: 4 << 10, archive: brief, ..WalConfig::single(directory.path().to_path_buf()) };
    let clock = Arc::new(|| common::env::Clock::wall_us(&common::env::SystemClock) + 1_000_000);
    let environment = WalEnvironment { archive: Some(archive.clone()), ..WalEnvironment::new(clock) };
    let node = start(settings, environment).await.expect("the node starts");
    let service = node.service();
    commit(&service, 1..=60).await;
    let (before, _) = wait_archived(&archive, 60).await;
    service.report_durable(TabletId(1), Lsn(40)).await.expect("reported");
    let after = loop {
        let (contents, _) = archived(&archive, 0).await;
        if contents.objects.first() != before.objects.first() {
            break contents;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    let (_, plan) = archived(&archive, 40).await;
    assert_eq!((plan.end, plan.gap), (Lsn(60), None), "{after:?}");
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn archived_log_that_does_not_follow_its_base_is_refused() {
    let (directory, archive) = (tempfile::tempdir().unwrap(), archive().await);
    let node = start_archiving(directory.path(), &archive, at_once()).await;
    commit(&node.service(), 1..=5).await;
    let (_, plan) = wait_archived(&archive, 5).await;
    node.shutdown().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let base = Base { lsn: Lsn(3000), ..Base::default() };
    let config = WalConfig::single(elsewhere.path().to_path_buf());
    let outcome = found(config.clone(), base, batches(&archive, &plan)).await;
    assert!(matches!(outcome, Err(FoundError::Malformed(_))), "{outcome:?}");
    // The attempt has let go of the directory.
    for entry in std::fs::read_dir(elsewhere.path()).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    let (_, plan) = archived(&archive, 0).await;
    assert_eq!(found(config, Base::default(), batches(&archive, &plan)).await.expect("a log"), Lsn(5));
}
