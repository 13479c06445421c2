//! Page servers that all believe they own the tablets of a store: exactly one publishes. On the in-memory store, and on a
//! real S3 server.

#[path = "support/log.rs"]
#[allow(dead_code, reason = "each test file uses its part")]
mod log;
#[path = "../../tests/harness/moto.rs"]
mod moto;
#[path = "../../tests/harness/tools.rs"]
#[allow(dead_code, reason = "each test file uses its part")]
mod tools;

use bytes::Bytes;
use common::env::Objects;
use common::id::{Lsn, TabletId};
use common::key::Key;
use common::service::page::{GetRequest, PageError};
use futures::future::join_all;
use log::{LogHandle, MemoryLog};
use moto::Moto;
use object_store::ObjectStore;
use object_store::aws::{AmazonS3Builder, S3ConditionalPut};
use object_store::memory::InMemory;
use pageserver::manifest::{Manifest, ManifestError, ManifestStore};
use std::sync::Arc;

fn memory() -> Arc<dyn ObjectStore> {
    Arc::new(InMemory::new())
}

fn bucket(moto: &Moto) -> Arc<dyn ObjectStore> {
    moto.create_bucket("rivals");
    let builder = AmazonS3Builder::new()
        .with_endpoint(format!("http://{}", moto.address))
        .with_allow_http(true)
        .with_bucket_name("rivals")
        .with_region("us-east-1")
        .with_access_key_id("test")
        .with_secret_access_key("test")
        .with_conditional_put(S3ConditionalPut::ETagMatch);
    Arc::new(builder.build().expect("a client"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_owners_that_publish_at_once_one_wins_in_memory() {
    race_for_manifests(memory(), 500).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_owners_that_publish_at_once_one_wins_on_s3() {
    let moto = Moto::start();
    race_for_manifests(bucket(&moto), 20).await;
}

async fn race_for_manifests(store: Arc<dyn ObjectStore>, rounds: u64) {
    let objects = Objects::new(store);
    let mut current = Manifest::empty(TabletId(1), 0);
    for round in 0..rounds {
        let rivals = (1..=3).map(|owner| {
            let manifests = ManifestStore::new(objects.clone(), TabletId(1));
            let mut next = current.taken_over(owner);
            next.durable = Lsn(round);
            tokio::spawn(async move { manifests.publish(next).await })
        });
        let outcomes: Vec<_> = join_all(rivals).await.into_iter().map(|outcome| outcome.unwrap()).collect();
        let winners: Vec<&Manifest> = outcomes.iter().flatten().collect();
        assert_eq!(winners.len(), 1, "{outcomes:?}");
        let lost = outcomes.iter().filter(|outcome| matches!(outcome, Err(ManifestError::Fenced { .. })));
        assert_eq!(lost.count(), 2, "{outcomes:?}");
        let newest = ManifestStore::new(objects.clone(), TabletId(1)).newest().await.unwrap();
        assert_eq!(newest.as_ref(), Some(winners[0]));
        current = winners[0].clone();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_page_servers_one_flushes_in_memory() {
    for _ in 0..10 {
        race_to_flush(memory()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_page_servers_one_flushes_on_s3() {
    let moto = Moto::start();
    race_to_flush(bucket(&moto)).await;
}

async fn race_to_flush(store: Arc<dyn ObjectStore>) {
    let log = MemoryLog::new(1_000);
    let start = || pageserver::start(Default::default(), Arc::new(LogHandle(log.clone())), store.clone());
    let (one, other) = tokio::join!(start(), start());
    let servers = [one.unwrap(), other.unwrap()];
    let rows =
        (0..50u8).map(|number| (Key::from(vec![0, 0, 0, 9, 0, 0, 0, 1, number]), Some(Bytes::from(vec![1, 0, 0]))));
    let lsn = log.commit(rows.clone().collect(), Vec::new());
    for server in &servers {
        // The one that no longer owns may have found out by now, and refuses.
        let _ = server.service().get(GetRequest { lsn, keys: Vec::new() }).await;
    }
    let outcomes = join_all(servers.iter().map(|server| server.flush())).await;
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == Ok(lsn)).count(), 1, "{outcomes:?}");
    let refused = outcomes.iter().filter(|outcome| matches!(outcome, Err(PageError::Unavailable(_))));
    assert_eq!(refused.count(), 1, "{outcomes:?}");
    drop(servers);
    // Whoever comes next finds what the one has published.
    let next = start().await.unwrap();
    let keys: Vec<Key> = rows.map(|(key, _)| key).collect();
    let found = next.service().get(GetRequest { lsn, keys }).await.unwrap();
    assert!(found.iter().all(Option::is_some));
    next.shutdown().await.unwrap();
}
