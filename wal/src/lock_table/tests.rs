//! Text in, text out. Commands:
//!
//! ```text
//! t1 lock a x b s         asks for keys, waiting
//! t1 nowait a x           t1 skip a x b x
//! t1 release              timeout t1      (its oldest waiting request)
//! ```
//!
//! Answers, one line each, under `----`: who was granted what, who waits, who failed.

use super::{LockEvent, LockOutcome, LockTable, RequestId};
use bytes::Bytes;
use common::id::TxnId;
use common::service::wal::{LockMode, LockWait};
use proptest::prelude::*;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

/// Runs a script and writes what happened under each block.
fn run(script: &str) -> String {
    let mut table = LockTable::new(100);
    let mut names: BTreeMap<RequestId, (String, Vec<String>)> = BTreeMap::new();
    let mut waiting: Vec<RequestId> = Vec::new();
    let mut output = String::new();
    let mut next = 0;
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let txn = |name: &str| TxnId(name.trim_start_matches('t').parse().expect("a transaction is t and a number"));
        let events = match words.as_slice() {
            ["timeout", name] => {
                let at = waiting.iter().position(|id| names[id].0 == *name).expect("it waits");
                table.timeout(waiting[at])
            }
            [name, "release"] => table.release(txn(name)),
            [name, how, keys @ ..] => {
                let wait = match *how {
                    "lock" => LockWait::Timeout(Duration::from_secs(1)),
                    "nowait" => LockWait::NoWait,
                    "skip" => LockWait::SkipLocked,
                    other => panic!("unknown command {other}"),
                };
                let mode = |mode: &str| if mode == "x" { LockMode::Exclusive } else { LockMode::Shared };
                let keys: Vec<_> =
                    keys.chunks(2).map(|pair| (Bytes::copy_from_slice(pair[0].as_bytes()), mode(pair[1]))).collect();
                let id = RequestId(next);
                next += 1;
                let keys_named = keys.iter().map(|(key, _)| String::from_utf8_lossy(key).into_owned()).collect();
                names.insert(id, (name.to_string(), keys_named));
                let events = table.acquire(id, txn(name), keys, wait);
                if !events.iter().any(|event| event.request == id) {
                    waiting.push(id);
                    output.push_str(&format!("{name} waits\n"));
                }
                events
            }
            _ => panic!("cannot read {line}"),
        };
        for LockEvent { request, outcome } in events {
            waiting.retain(|id| *id != request);
            let (name, keys) = &names[&request];
            let text = match outcome {
                LockOutcome::Granted(granted) => {
                    let got: Vec<&str> =
                        keys.iter().zip(granted).filter(|(_, granted)| *granted).map(|(key, _)| key.as_str()).collect();
                    format!("{name} granted {}", got.join(" "))
                }
                LockOutcome::NotAvailable => format!("{name} not available"),
                LockOutcome::Timeout => format!("{name} timeout"),
                LockOutcome::Deadlock => format!("{name} deadlock"),
                LockOutcome::Refused(why) => format!("{name} refused: {why}"),
            };
            output.push_str(text.trim_end());
            output.push('\n');
        }
    }
    output.push_str(&format!("held={} waiting={}\n", table.held(), table.waiting()));
    output
}

#[test]
fn cases() {
    let mut failures = String::new();
    for case in include_str!("cases.txt").split("\n\n").map(str::trim).filter(|case| !case.is_empty()) {
        let (script, expected) = case.split_once("----\n").expect("a case has ---- between script and answer");
        let actual = run(script);
        if actual.trim() != expected.trim() {
            failures.push_str(&format!("{script}---- expected\n{expected}\n---- actual\n{actual}\n\n"));
        }
    }
    assert!(failures.is_empty(), "{failures}");
}

#[derive(Debug, Clone)]
enum Step {
    Lock { txn: u8, keys: Vec<(u8, bool)>, wait: u8 },
    Release(u8),
    Timeout(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let keys = proptest::collection::vec((0..4u8, any::<bool>()), 1..4);
    prop_oneof![
        6 => (0..6u8, keys, 0..6u8).prop_map(|(txn, keys, wait)| Step::Lock { txn, keys, wait }),
        2 => (0..6u8).prop_map(Step::Release),
        1 => any::<u8>().prop_map(Step::Timeout),
    ]
}

proptest! {
    /// Whatever happens: holders exclude each other, counts are right, nobody waits in a circle or for nobody, and once
    /// everybody has released, nothing is left.
    #[test]
    fn grants_exclude_each_other_and_nothing_is_left(steps in proptest::collection::vec(step(), 1..80)) {
        let mut table = LockTable::new(1000);
        // The model: what each transaction was told it holds.
        let mut held: HashMap<(u8, u8), bool> = HashMap::new();
        let mut requests: HashMap<RequestId, (u8, Vec<(u8, bool)>)> = HashMap::new();
        for (number, step) in steps.into_iter().enumerate() {
            let mut released = None;
            let events = match step {
                Step::Lock { txn, keys, wait } => {
                    let id = RequestId(number as u64);
                    requests.insert(id, (txn, keys.clone()));
                    let wait = match wait { 0 => LockWait::NoWait, 1 => LockWait::SkipLocked, _ => LockWait::Timeout(Duration::ZERO) };
                    let mode = |exclusive| if exclusive { LockMode::Exclusive } else { LockMode::Shared };
                    let keys = keys.iter().map(|(key, exclusive)| (Bytes::copy_from_slice(&[*key]), mode(*exclusive))).collect();
                    table.acquire(id, TxnId(txn.into()), keys, wait)
                }
                Step::Release(txn) => {
                    released = Some(txn);
                    table.release(TxnId(txn.into()))
                }
                Step::Timeout(which) => {
                    let mut ids: Vec<_> = requests.keys().copied().collect();
                    ids.sort();
                    if ids.is_empty() { continue }
                    table.timeout(ids[usize::from(which) % ids.len()])
                }
            };
            if let Some(txn) = released {
                held.retain(|(_, holder), _| *holder != txn);
            }
            for event in &events {
                let (txn, keys) = requests.remove(&event.request).expect("a request ends once");
                match &event.outcome {
                    LockOutcome::Granted(granted) => {
                        prop_assert_eq!(granted.len(), keys.len());
                        for ((key, exclusive), _) in keys.iter().zip(granted).filter(|(_, granted)| **granted) {
                            *held.entry((*key, txn)).or_default() |= *exclusive;
                        }
                    }
                    // A victim loses everything, before others get it.
                    LockOutcome::Deadlock => held.retain(|(_, holder), _| *holder != txn),
                    _ => {}
                }
            }
            for ((key, txn), exclusive) in &held {
                for ((other_key, other), other_exclusive) in &held {
                    prop_assert!(
                        key != other_key || txn == other || (!exclusive && !other_exclusive),
                        "t{} and t{} both hold {}", txn, other, key
                    );
                }
            }
            prop_assert!(table.held() >= held.len());
            prop_assert_eq!(table.waiting(), requests.len());
            // Somebody who does not wait holds what is waited for; or else nobody could ever go on.
            if table.waiting() > 0 {
                let waiting: Vec<u8> = requests.values().map(|(txn, _)| *txn).collect();
                prop_assert!((0..6u8).any(|txn| !waiting.contains(&txn)), "everybody waits");
            }
        }
        for txn in 0..6u8 {
            table.release(TxnId(txn.into()));
        }
        prop_assert_eq!((table.held(), table.waiting()), (0, 0));
        prop_assert!(table.is_empty());
    }
}
