//! What can only go wrong between processes.

use super::fake::{ENDLESS_KEY, FakeWal, SILENT_KEY, STUCK_KEY};
use super::{Deadlines, Remote, Services, authority, eventually, identity, loopback, only_wal};
use crate::id::{CommitId, Lsn, TxnId};
use crate::key::{Key, KeyRange};
use crate::rpc::{RpcClient, ServerConfig, WalClient, serve};
use crate::service::page::*;
use crate::service::wal::*;
use futures::StreamExt;
use std::sync::Arc;
use std::time::Duration;

fn commit_of(id: u128, key: &'static [u8]) -> CommitRequest {
    let mutation = Mutation { key: Key::from_static(key), row: None };
    let writes = vec![Write { mutation, observed: Lsn::MAX }];
    CommitRequest::of(CommitId(id), TxnId(id), writes)
}

fn stuck_lock(wait: Duration) -> LockRequest {
    let keys = vec![(Key::from_static(STUCK_KEY), LockMode::Exclusive)];
    LockRequest::keys(TxnId(1), keys, LockWait::Timeout(wait))
}

fn short() -> Deadlines {
    let deadline = Duration::from_millis(200);
    Deadlines { call: deadline, commit: deadline, ..Deadlines::default() }
}

#[tokio::test]
async fn certificates_of_another_cluster_are_refused_by_both_sides() {
    let (ours, theirs) = (authority(), authority());
    let fake = Arc::new(FakeWal::default());
    let server = serve(loopback(), &identity(&ours, 1), only_wal(fake.clone())).unwrap();
    let strangers = [
        // Believes and shows another authority: the client refuses.
        identity(&theirs, 2),
        // Believes ours but shows another: the server refuses.
        identity(&theirs, 2).believing(&ours),
    ];
    for stranger in strangers {
        let client = RpcClient::new(&stranger).unwrap();
        let wal = WalClient::new(client.peer(server.local_addr()), Deadlines::default());
        let refused = wal.read_lsn().await.unwrap_err();
        assert!(matches!(refused, WalError::Unavailable(_)), "{refused}");
        assert!(wal.commit(commit_of(1, b"a")).await.is_err());
    }
    assert_eq!(fake.commits(), 0);
    let client = RpcClient::new(&identity(&ours, 2)).unwrap();
    let wal = WalClient::new(client.peer(server.local_addr()), Deadlines::default());
    wal.commit(commit_of(1, b"a")).await.unwrap();
}

#[tokio::test]
async fn a_node_without_the_role_says_so_and_a_commit_is_certainly_not_made() {
    let authority = authority();
    let server = serve(loopback(), &identity(&authority, 1), Services::default()).unwrap();
    let client = RpcClient::new(&identity(&authority, 2)).unwrap();
    let wal = WalClient::new(client.peer(server.local_addr()), Deadlines::default());
    let refused = wal.commit(commit_of(1, b"a")).await.unwrap_err();
    assert!(
        matches!(&refused, CommitError::Wal(WalError::Unavailable(reason)) if reason.contains("does not offer")),
        "{refused}"
    );
    let refused = wal.subscribe(SubscribeRequest { from: Lsn(1), tablets: vec![] }).await.err().unwrap();
    assert!(matches!(refused, WalError::Unavailable(_)), "{refused}");
}

#[tokio::test]
async fn nobody_listening_means_a_commit_is_certainly_not_made() {
    let nobody = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let client = RpcClient::new(&identity(&authority(), 2)).unwrap();
    let wal = WalClient::new(client.peer(nobody.local_addr().unwrap()), short());
    let refused = wal.commit(commit_of(1, b"a")).await.unwrap_err();
    assert!(matches!(refused, CommitError::Wal(WalError::Unavailable(_))), "{refused}");
}

#[tokio::test]
async fn a_call_past_its_deadline_fails_and_its_work_is_dropped() {
    let remote = Remote::start(short());
    let refused = remote.wal.lock(stuck_lock(Duration::ZERO)).await.unwrap_err();
    assert!(
        matches!(&refused, LockError::Wal(WalError::Unavailable(reason)) if reason.contains("deadline")),
        "{refused}"
    );
    eventually("the lock call ends", || remote.fake_wal.working.count() == 0).await;
}

#[tokio::test]
async fn a_commit_without_an_answer_is_unknown_and_its_outcome_can_be_asked() {
    let remote = Remote::start(short());
    let unknown = remote.wal.commit(commit_of(7, SILENT_KEY)).await.unwrap_err();
    assert!(matches!(unknown, CommitError::Unknown(_)), "{unknown}");
    assert_eq!(remote.wal.outcome(CommitId(7)).await.unwrap(), Some(Lsn(1)));
}

#[tokio::test]
async fn a_call_that_is_given_up_is_dropped_at_the_other_end() {
    let remote = Remote::start(Deadlines::default());
    let working = remote.fake_wal.working.clone();
    let call = remote.wal.lock(stuck_lock(Duration::from_secs(3600)));
    tokio::select! {
        _ = call => panic!("the lock is never granted"),
        () = eventually("the lock call begins", || working.count() == 1) => {}
    }
    eventually("the lock call ends", || working.count() == 0).await;
    assert_eq!(remote.wal.read_lsn().await.unwrap().lsn, Lsn::ZERO, "the lane goes on");
}

#[tokio::test]
async fn a_dropped_stream_ends_its_producer() {
    let remote = Remote::start(Deadlines::default());
    let request = ScanRequest {
        lsn: Lsn(500),
        ranges: vec![KeyRange { start: Key::from_static(ENDLESS_KEY), end: Key::new() }],
        direction: Direction::Forward,
        limit: None,
        output: ScanOutput::Rows,
        bounds: vec![],
        batch_rows: 64,
    };
    let mut scan = remote.pages.scan(request).await.unwrap();
    scan.next().await.unwrap().unwrap();
    assert_eq!(remote.fake_pages.working.count(), 1);
    drop(scan);
    eventually("the scan ends", || remote.fake_pages.working.count() == 0).await;

    // Also where the producer has nothing to say at the moment.
    let mut items = remote.wal.subscribe(SubscribeRequest { from: Lsn(1), tablets: vec![] }).await.unwrap();
    items.next().await.unwrap().unwrap();
    assert_eq!(remote.fake_wal.working.count(), 1);
    drop(items);
    eventually("the subscription ends", || remote.fake_wal.working.count() == 0).await;
}

#[tokio::test]
async fn a_stream_cut_by_a_stopping_server_is_not_taken_for_complete() {
    let remote = Remote::start(Deadlines::default());
    let request = SubscribeRequest { from: Lsn(1), tablets: vec![] };
    let mut items = remote.wal.subscribe(request).await.unwrap();
    items.next().await.unwrap().unwrap();
    let scan = ScanRequest {
        lsn: Lsn(500),
        ranges: vec![KeyRange { start: Key::from_static(ENDLESS_KEY), end: Key::new() }],
        direction: Direction::Forward,
        limit: None,
        output: ScanOutput::Rows,
        bounds: vec![],
        batch_rows: 64,
    };
    let mut scan = remote.pages.scan(scan).await.unwrap();
    let stop = tokio::spawn(remote.server.shutdown(Duration::from_secs(30)));
    assert!(matches!(items.next().await, Some(Err(WalError::Unavailable(_)))));
    assert!(items.next().await.is_none());
    let last = loop {
        match scan.next().await.expect("an error before the end") {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert!(matches!(last, PageError::Unavailable(_)), "{last}");
    stop.await.unwrap();
}

#[tokio::test]
async fn shutdown_answers_what_has_begun_and_refuses_what_comes_after() {
    let remote = Remote::start(Deadlines::default());
    remote.wal.commit(commit_of(1, b"a")).await.unwrap();
    remote.server.shutdown(Duration::from_secs(30)).await;
    let refused = remote.wal.commit(commit_of(2, b"b")).await.unwrap_err();
    assert!(!matches!(refused, CommitError::Conflict { .. } | CommitError::Refused(_)), "{refused}");
    assert_eq!(remote.fake_wal.commits(), 1);
    remote.client.close().await;
}

#[tokio::test]
async fn a_killed_and_restarted_node_is_noticed_by_its_old_clients() {
    let authority = authority();
    let server_identity = identity(&authority, 1);
    // A runtime of its own, so that the server can end as by kill -9: without a word to its clients.
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = {
        let _entered = runtime.enter();
        serve(loopback(), &server_identity, only_wal(Arc::default())).unwrap()
    };
    let listen = server.local_addr();
    let client = RpcClient::new(&identity(&authority, 2)).unwrap();
    let wal = WalClient::new(client.peer(listen), Deadlines::default());
    wal.commit(commit_of(1, b"a")).await.unwrap();
    runtime.shutdown_background();
    drop(server);

    // Its successor knows the transport keys but not the connection: it answers the next packet with a reset.
    let successor = Arc::new(FakeWal::default());
    let server = loop {
        match serve(ServerConfig { listen }, &server_identity, only_wal(successor.clone())) {
            Ok(server) => break server,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    // Where a packet of the connection's own came first, the client knows already.
    let next = wal.commit(commit_of(2, b"b")).await;
    assert!(matches!(next, Ok(_) | Err(CommitError::Unknown(_))), "{next:?}");
    wal.commit(commit_of(3, b"c")).await.unwrap();
    assert_eq!(successor.commits(), 1 + usize::from(next.is_ok()));
    drop(server);
}

#[tokio::test]
async fn garbage_packets_and_frames_disturb_nobody() {
    let remote = Remote::start(Deadlines::default());
    let random = crate::env::Random::seeded(11);
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    for _ in 0..500 {
        let mut packet = vec![0; random.below(1500) as usize];
        random.fill(&mut packet);
        let _ = socket.send_to(&packet, remote.server.local_addr());
    }
    let peer = remote.client.peer(remote.server.local_addr());
    for round in 0..40u64 {
        let mut bytes = vec![0; random.below(300) as usize];
        random.fill(&mut bytes);
        if let Some(first) = bytes.first_mut() {
            // Mostly a valid kind of stream, so that the frames behind it are read.
            *first = (round % 4) as u8;
        }
        if bytes.len() > 5 && round % 3 != 0 {
            let size = (bytes.len() - 5) as u32;
            bytes[1..5].copy_from_slice(&size.to_le_bytes());
        }
        peer.send_raw(&bytes).await;
    }
    remote.wal.commit(commit_of(1, b"a")).await.unwrap();
    assert_eq!(remote.fake_wal.commits(), 1);
}
