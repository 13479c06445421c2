//! The sequencer against a model that remembers everything.

use super::{ConflictWindow, Decision, History, Sequencer, SequencerLimits, VersionsAt};
use bytes::Bytes;
use common::branch_points::{BranchPoints, POINTS_KEY};
use common::bulk::BulkLayer;
use common::cluster_map::{ClusterMap, MAP_KEY, MapChange};
use common::id::{CommitId, CounterId, Lsn, TabletId, Term, TxnId};
use common::key::KeyRange;
use common::service::wal::{Batch, CommitRequest, CounterBump, Mutation, Observed, Undurable, Write};
use proptest::prelude::*;
use std::collections::HashMap;

const LIMITS: SequencerLimits =
    SequencerLimits { batch_bytes_max: 300, transaction_bytes_max: 10_000, outcomes_max: 1000 };

fn sequencer(history: &History, keys_max: usize) -> Sequencer {
    Sequencer::new(Term(1), history, ConflictWindow::new(keys_max, history.last_lsn), LIMITS)
}

fn key(number: u8) -> Bytes {
    Bytes::copy_from_slice(&[number])
}

fn request(id: u128, writes: &[(u8, Lsn)], checks: &[(u8, Lsn)]) -> CommitRequest {
    let row = Some(Bytes::from_static(b"row"));
    let write = |(number, observed): &(u8, Lsn)| Write {
        mutation: Mutation { key: key(*number), row: row.clone() },
        observed: *observed,
    };
    CommitRequest {
        checks: checks.iter().map(|(number, lsn)| Observed { key: key(*number), lsn: *lsn }).collect(),
        ..CommitRequest::of(CommitId(id), TxnId(id), writes.iter().map(write).collect())
    }
}

#[derive(Debug, Clone)]
enum Step {
    /// Keys with how far behind the newest LSN each was observed; `None` is a blind write.
    Commit {
        id: u8,
        writes: Vec<(u8, Option<u8>)>,
        checks: Vec<(u8, u8)>,
    },
    TakeBatch(u64),
    /// The oldest batch in flight is applied.
    Applied,
    Outcome(u8),
    /// The leader changes: what is in flight is lost, or not.
    NewLeader {
        lost: bool,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let writes = proptest::collection::btree_map(0..8u8, proptest::option::weighted(0.9, 0..12u8), 0..4);
    let checks = proptest::collection::btree_map(0..8u8, 0..12u8, 0..2);
    prop_oneof![
        10 => (any::<u8>(), writes, checks).prop_map(|(id, writes, checks)| Step::Commit {
            id, writes: writes.into_iter().collect(), checks: checks.into_iter().collect()
        }),
        4 => (0..1000u64).prop_map(Step::TakeBatch),
        3 => Just(Step::Applied),
        1 => any::<u8>().prop_map(Step::Outcome),
        1 => any::<bool>().prop_map(|lost| Step::NewLeader { lost }),
    ]
}

proptest! {
    #[test]
    fn decides_as_a_model_that_remembers_everything(
        window_keys in 1..12usize,
        steps in proptest::collection::vec(step(), 1..120),
    ) {
        let mut history = History::new(1000);
        let mut sequencer = sequencer(&history, window_keys);
        let mut newest: HashMap<u8, Lsn> = HashMap::new();
        let mut committed: HashMap<u8, Lsn> = HashMap::new();
        let mut refused: Vec<u8> = Vec::new();
        let mut log: Vec<Batch> = Vec::new();
        let mut in_flight: Vec<Batch> = Vec::new();
        let mut last = Lsn(0);
        for step in steps {
            match step {
                Step::Commit { id, writes, checks } => {
                    let back = |behind: u8| Lsn(last.0.saturating_sub(behind.into()));
                    let writes: Vec<_> = writes.iter().map(|(key, behind)| (*key, behind.map_or(Lsn::MAX, back))).collect();
                    let checks: Vec<_> = checks.iter().map(|(key, behind)| (*key, back(*behind))).collect();
                    let request = request(id.into(), &writes, &checks);
                    let mut decision = sequencer.commit(&request, None);
                    if let Decision::NeedsLookup { keys, applied } = decision {
                        let versions = keys.iter().map(|key| (key.clone(), newest.get(&key[0]).copied().unwrap_or_default()));
                        let versions = VersionsAt { applied, newest: versions.collect() };
                        decision = sequencer.commit(&request, Some(&versions));
                    }
                    let conflict = writes.iter().chain(&checks)
                        .any(|(key, observed)| newest.get(key).is_some_and(|newest| newest > observed));
                    if let Some(lsn) = committed.get(&id) {
                        prop_assert!(decision == Decision::Committed(*lsn) || decision == Decision::InFlight(*lsn), "{:?}", decision);
                    } else if refused.contains(&id) {
                        prop_assert!(matches!(decision, Decision::Refused(_)), "{:?}", decision);
                    } else if conflict {
                        let right = matches!(&decision, Decision::Conflict { key, newest: at } if newest[&key[0]] == *at);
                        prop_assert!(right, "{:?}", decision);
                    } else if writes.is_empty() {
                        prop_assert_eq!(decision, Decision::NothingToWrite);
                    } else {
                        last = last.next();
                        prop_assert_eq!(decision, Decision::Accepted(last));
                        committed.insert(id, last);
                        for (key, _) in &writes {
                            newest.insert(*key, last);
                        }
                    }
                }
                Step::TakeBatch(now_us) => {
                    if let Some(batch) = sequencer.take_batch(now_us) {
                        let newest_batch = in_flight.last().or(log.last());
                        prop_assert_eq!(batch.first_lsn.0, newest_batch.map_or(0, |batch| batch.last_lsn.0) + 1);
                        prop_assert!(batch.last_lsn <= last);
                        prop_assert!(batch.time_us >= newest_batch.map_or(0, |batch| batch.time_us));
                        let lsns: Vec<u64> = batch.transactions.iter().map(|transaction| transaction.lsn.0).collect();
                        prop_assert_eq!(lsns, (batch.first_lsn.0..=batch.last_lsn.0).collect::<Vec<_>>());
                        in_flight.push(batch);
                    }
                }
                Step::Applied => {
                    if !in_flight.is_empty() {
                        let batch = in_flight.remove(0);
                        history.apply(&batch).expect("batches follow each other");
                        sequencer.applied(&batch);
                        log.push(batch);
                    }
                }
                Step::Outcome(id) => {
                    let outcome = sequencer.outcome(CommitId(id.into()));
                    match committed.get(&id) {
                        Some(lsn) => prop_assert!(outcome == Decision::Committed(*lsn) || outcome == Decision::InFlight(*lsn)),
                        None => {
                            prop_assert!(matches!(outcome, Decision::Refused(_)));
                            refused.push(id);
                        }
                    }
                }
                Step::NewLeader { lost } => {
                    if !lost {
                        for batch in in_flight.drain(..) {
                            history.apply(&batch).expect("batches follow each other");
                            log.push(batch);
                        }
                    }
                    in_flight.clear();
                    refused.clear();
                    last = history.last_lsn;
                    committed.retain(|_, lsn| *lsn <= last);
                    newest.clear();
                    let mut window = ConflictWindow::new(window_keys, Lsn(0));
                    for transaction in log.iter().flat_map(|batch| &batch.transactions) {
                        for (_, mutation) in &transaction.mutations {
                            newest.insert(mutation.key[0], transaction.lsn);
                            window.insert(&mutation.key, transaction.lsn);
                        }
                    }
                    sequencer = Sequencer::new(Term(1), &history, window, LIMITS);
                }
            }
        }
    }
}

#[test]
fn an_old_answer_is_not_used() {
    let history = History::new(10);
    let mut sequencer = sequencer(&history, 2);
    for number in 0..3 {
        sequencer.commit(&request(number, &[(number as u8, Lsn::MAX)], &[]), None);
    }
    let late = request(10, &[(0, Lsn(0))], &[]);
    let asked = sequencer.commit(&late, None);
    assert_eq!(asked, Decision::NeedsLookup { keys: vec![key(0)], applied: Lsn(1) });
    // The window moves on before the answer, which does not know LSN 2.
    sequencer.commit(&request(4, &[(4, Lsn::MAX)], &[]), None);
    let answer = VersionsAt { applied: Lsn(1), newest: HashMap::from([(key(0), Lsn(0))]) };
    assert_eq!(sequencer.commit(&late, Some(&answer)), Decision::NeedsLookup { keys: vec![key(0)], applied: Lsn(2) });
}

#[test]
fn counters_rise_and_can_be_set_back() {
    let mut history = History::new(10);
    let mut leader = sequencer(&history, 10);
    let counter = CounterId(1);
    assert_eq!(leader.allocate(counter, 3, 0), (1, Some(Lsn(1))));
    assert_eq!(leader.allocate(counter, 0, 0), (4, None));
    assert_eq!(leader.allocate(counter, 1, 100), (100, Some(Lsn(2))));
    let bump = |next, reset| CounterBump { counter, next, reset };
    let mut commit = request(1, &[], &[]);
    commit.counters = vec![bump(50, false)];
    assert_eq!(leader.commit(&commit, None), Decision::Accepted(Lsn(3)));
    assert_eq!(leader.allocate(counter, 0, 0), (101, None), "a bump never lowers");
    let batch = leader.take_batch(1).expect("a batch");
    history.apply(&batch).expect("the first batch");
    leader.applied(&batch);
    assert_eq!(sequencer(&history, 10).allocate(counter, 0, 0), (104, None), "what was reserved is not given again");
    assert_eq!(leader.allocate(counter, 1, 0), (101, None), "it is reserved in the log");
    leader.give_back_reservations();
    let batch = leader.take_batch(2).expect("a batch");
    history.apply(&batch).expect("the second batch");
    assert_eq!(sequencer(&history, 10).allocate(counter, 0, 0), (102, None), "after a clean stop there is no gap");
    commit = request(2, &[], &[]);
    commit.counters = vec![bump(7, true)];
    leader.commit(&commit, None);
    assert_eq!(leader.allocate(counter, 1, 0).0, 7);
    assert_eq!(leader.allocate(counter, u64::MAX, 0).0, 8);
    assert_eq!(leader.allocate(counter, 1, 0).0, u64::MAX, "the last value stays");
}

#[test]
fn transactions_above_the_limit_are_refused() {
    let mut sequencer = sequencer(&History::new(10), 10);
    let mut large = request(1, &[(1, Lsn(0))], &[]);
    large.writes[0].mutation.row = Some(Bytes::from(vec![0; 10_001]));
    assert!(matches!(sequencer.commit(&large, None), Decision::Refused(reason) if reason.contains("10000")));
    assert_eq!(sequencer.commit(&request(1, &[(1, Lsn(0))], &[]), None), Decision::Accepted(Lsn(1)));
}

fn map_request(id: u128, map: &ClusterMap, observed: Lsn) -> CommitRequest {
    let mut request = request(id, &[], &[]);
    request.writes = vec![Write { mutation: Mutation { key: MAP_KEY, row: Some(map.encode()) }, observed }];
    request
}

#[test]
fn each_transaction_is_tagged_by_the_map_at_its_lsn() {
    let mut history = History::new(10);
    let mut leader = sequencer(&history, 10);
    let split = MapChange::Split { tablet: TabletId(1), at: key(5) };
    let halves = ClusterMap::default().changed(&split).expect("a split");
    leader.commit(&request(1, &[(7, Lsn(0))], &[]), None);
    assert_eq!(leader.commit(&map_request(2, &halves, Lsn(1)), None), Decision::Accepted(Lsn(2)));
    leader.commit(&request(3, &[(7, Lsn(1)), (3, Lsn(0))], &[]), None);
    // A rival that read the map before, and one that skips a step.
    let conflict = leader.commit(&map_request(4, &halves, Lsn(1)), None);
    assert_eq!(conflict, Decision::Conflict { key: MAP_KEY, newest: Lsn(2) });
    assert!(matches!(leader.commit(&map_request(5, &ClusterMap::default(), Lsn(2)), None), Decision::Refused(_)));
    let mut garbled = map_request(6, &halves, Lsn(2));
    garbled.writes[0].mutation.row = Some(Bytes::from_static(b"Mxx"));
    assert!(matches!(leader.commit(&garbled, None), Decision::Refused(_)));
    let mut tags = Vec::new();
    while let Some(batch) = leader.take_batch(1) {
        history.apply(&batch).expect("batches follow each other");
        let of_batch = batch.transactions.iter().flat_map(|transaction| &transaction.mutations);
        tags.extend(of_batch.map(|(tablet, mutation)| (mutation.key.clone(), tablet.0)));
    }
    assert_eq!(tags, [(key(7), 1), (MAP_KEY, 1), (key(7), 2), (key(3), 1)]);
    assert_eq!(history.map, halves);
    // The next leader tags by it, too.
    let mut next = sequencer(&history, 10);
    next.commit(&request(7, &[(9, Lsn(3))], &[]), None);
    assert_eq!(next.take_batch(1).expect("a batch").transactions[0].mutations[0].0, TabletId(2));
}

#[test]
fn what_another_leader_gave_out_is_refused() {
    let mut sequencer = sequencer(&History::new(10), 10);
    let mut commit = request(1, &[(1, Lsn(5))], &[]);
    commit.depends_on = Some(Undurable { term: Term(2), lsn: Lsn(5) });
    assert_eq!(sequencer.commit(&commit, None), Decision::Conflict { key: key(1), newest: Lsn(5) });
    commit.depends_on = Some(Undurable { term: Term(1), lsn: Lsn(5) });
    assert_eq!(sequencer.commit(&commit, None), Decision::Accepted(Lsn(1)));
}

#[test]
fn rows_are_known_from_their_lsn_until_they_are_applied() {
    let mut sequencer = sequencer(&History::new(10), 10);
    sequencer.commit(&request(1, &[(1, Lsn::MAX), (2, Lsn::MAX)], &[]), None);
    let first = sequencer.take_batch(1).expect("a commit was accepted");
    sequencer.commit(&request(2, &[(2, Lsn::MAX)], &[]), None);
    let rows = sequencer.rows_in_flight();
    assert_eq!(rows.newest(&key(1)).map(|(lsn, _)| *lsn), Some(Lsn(1)));
    assert_eq!(rows.newest(&key(2)).map(|(lsn, _)| *lsn), Some(Lsn(2)));
    assert_eq!(rows.newest_in(&KeyRange { start: key(0), end: key(2) }), Some(Lsn(1)));
    sequencer.applied(&first);
    let rows = sequencer.rows_in_flight();
    assert_eq!((rows.newest(&key(1)), rows.newest_in(&KeyRange::all())), (None, Some(Lsn(2))));
    let second = sequencer.take_batch(1).expect("a commit was accepted");
    sequencer.applied(&second);
    assert!(sequencer.rows_in_flight().is_empty());
}

fn bulk(id: u128, sequence: u64, first: u8, last: u8) -> CommitRequest {
    let layer = BulkLayer {
        home: TabletId(1),
        generation: 1,
        sequence,
        bytes: 100,
        index_offset: 50,
        first: key(first),
        last: key(last),
        rows: 3,
        tombstones: 0,
    };
    let mut request = request(id, &[], &[]);
    request.writes.push(Write { mutation: layer.record(), observed: Lsn::MAX });
    request
}

#[test]
fn what_observed_a_key_of_a_bulk_range_before_it_asks_for_its_version() {
    let mut sequencer = sequencer(&History::new(1000), 100);
    assert_eq!(sequencer.commit(&request(1, &[(20, Lsn::MAX), (90, Lsn::MAX)], &[]), None), Decision::Accepted(Lsn(1)));
    assert_eq!(sequencer.commit(&bulk(2, 1, 10, 30), None), Decision::Accepted(Lsn(2)));
    // Who gets the lock of such a key has to read at that LSN, until it is applied.
    let rows = sequencer.rows_in_flight();
    assert_eq!([5, 20, 31].map(|number| rows.newest_layer(&key(number))), [None, Some(Lsn(2)), None]);
    assert_eq!(rows.newest_in(&KeyRange { start: key(5), end: key(15) }), Some(Lsn(2)));
    // Beyond the range, all is known.
    assert_eq!(sequencer.commit(&request(3, &[(90, Lsn(1))], &[]), None), Decision::Accepted(Lsn(3)));
    let within = request(4, &[(20, Lsn(1))], &[(11, Lsn(0))]);
    let wanted = Decision::NeedsLookup { keys: vec![key(20), key(11)], applied: Lsn(2) };
    assert_eq!(sequencer.commit(&within, None), wanted);
    // 20 is in the layer.
    let answer =
        |lsn: u64| VersionsAt { applied: Lsn(2), newest: HashMap::from([(key(20), Lsn(lsn)), (key(11), Lsn::ZERO)]) };
    assert_eq!(sequencer.commit(&within, Some(&answer(2))), Decision::Conflict { key: key(20), newest: Lsn(2) });
    assert_eq!(sequencer.commit(&within, Some(&answer(1))), Decision::Accepted(Lsn(4)));
    // What was written after it is known again.
    let conflict = Decision::Conflict { key: key(20), newest: Lsn(4) };
    assert_eq!(sequencer.commit(&request(5, &[(20, Lsn(2))], &[]), None), conflict);
    assert_eq!(sequencer.commit(&request(6, &[(15, Lsn(2))], &[]), None), Decision::Accepted(Lsn(5)));
}

#[test]
fn branch_points_that_nobody_could_read_are_refused() {
    let mut sequencer = sequencer(&History::new(1000), 100);
    let mut points = BranchPoints::default();
    points.insert("before the sale", Lsn(1)).unwrap();
    for (number, row, accepted) in [
        (1, Some(Bytes::from_static(b"no points")), false),
        (2, Some(points.encode()), true),
        (3, Some(points.encode().slice(..3)), false),
        (4, None, true),
    ] {
        let mut change = request(number, &[], &[]);
        change.writes.push(Write { mutation: Mutation { key: POINTS_KEY, row }, observed: Lsn::MAX });
        let decision = sequencer.commit(&change, None);
        assert_eq!(matches!(decision, Decision::Accepted(_)), accepted, "{number}: {decision:?}");
    }
}

#[test]
fn a_layer_goes_to_every_tablet_that_has_keys_of_it() {
    let mut sequencer = sequencer(&History::new(1000), 100);
    let map = sequencer.map().changed(&MapChange::Split { tablet: TabletId(1), at: key(20) }).unwrap();
    let mut change = request(1, &[], &[]);
    change.writes.push(Write { mutation: Mutation { key: MAP_KEY, row: Some(map.encode()) }, observed: Lsn(0) });
    assert_eq!(sequencer.commit(&change, None), Decision::Accepted(Lsn(1)));
    let merge = map.changed(&MapChange::Merge { left: TabletId(1), right: TabletId(2) }).unwrap();
    assert_eq!(sequencer.commit(&bulk(2, 1, 10, 19), None), Decision::Accepted(Lsn(2)));
    assert_eq!(sequencer.commit(&bulk(3, 2, 19, 30), None), Decision::Accepted(Lsn(3)));
    // Whoever thought that they share nothing has to look again.
    let mut change = request(4, &[], &[]);
    change.writes.push(Write { mutation: Mutation { key: MAP_KEY, row: Some(merge.encode()) }, observed: Lsn(2) });
    assert_eq!(sequencer.commit(&change, None), Decision::Conflict { key: MAP_KEY, newest: Lsn(3) });
    change.writes.extend(bulk(5, 3, 40, 50).writes);
    change.writes[0].observed = Lsn(3);
    assert!(matches!(sequencer.commit(&change, None), Decision::Refused(_)));
    let batch = std::iter::from_fn(|| sequencer.take_batch(1)).flat_map(|batch| batch.transactions);
    let tablets: Vec<Vec<u64>> =
        batch.map(|transaction| transaction.mutations.iter().map(|(tablet, _)| tablet.0).collect()).collect();
    assert_eq!(tablets, [vec![1], vec![1], vec![1, 2]]);
}

#[test]
fn layers_with_keys_in_common_are_refused() {
    let mut sequencer = sequencer(&History::new(1000), 100);
    let mut both = bulk(1, 1, 10, 20);
    both.writes.extend(bulk(1, 2, 20, 30).writes);
    assert!(matches!(sequencer.commit(&both, None), Decision::Refused(_)));
    assert_eq!(sequencer.last_lsn(), Lsn(0));
}
