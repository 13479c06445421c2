//! Text in, text out. Commands:
//!
//! ```text
//! t1 lock a x b s         asks for keys, waiting
//! t1 lock a-c x           asks for the range [a, c); ranges come after keys
//! t1 nowait a x           t1 skip a x b x
//! t1 free a               gives back one key
//! t1 release              timeout t1      (its oldest waiting request)
//! report                  the report's lines
//! ```
//!
//! Answers, one line each, under `----`: who was granted what, who waits, who failed.

use super::{LockEvent, LockOutcome, LockTable, RequestId};
use bytes::Bytes;
use common::id::TxnId;
use common::key::KeyRange;
use common::service::wal::{LockMode, LockTarget, LockWait};
use proptest::prelude::*;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

/// All of one index.
fn key(name: &str) -> Bytes {
    Bytes::from(format!("an-index{name}"))
}

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
            [name, "free", freed] => table.release_keys(txn(name), &[key(freed)]),
            ["report"] => {
                for line in table.report() {
                    let name = |key: &[u8]| String::from_utf8_lossy(&key[8..]).into_owned();
                    let target = match &line.target {
                        LockTarget::Key(key) => name(key),
                        LockTarget::Range(range) => format!("{}-{}", name(&range.start), name(&range.end)),
                    };
                    let mode = if line.mode == LockMode::Exclusive { "x" } else { "s" };
                    let waits = line.waits_for.map(|others| {
                        let others: Vec<String> = others.iter().map(|other| format!("t{}", other.0)).collect();
                        format!(" waits for {}", others.join(" "))
                    });
                    output.push_str(&format!("- t{} {target} {mode}{}\n", line.txn.0, waits.unwrap_or_default()));
                }
                Vec::new()
            }
            [name, how, keys @ ..] => {
                let wait = match *how {
                    "lock" => LockWait::Timeout(Duration::from_secs(1)),
                    "nowait" => LockWait::NoWait,
                    "skip" => LockWait::SkipLocked,
                    other => panic!("unknown command {other}"),
                };
                let mode = |mode: &str| if mode == "x" { LockMode::Exclusive } else { LockMode::Shared };
                let (ranges, keys): (Vec<_>, Vec<_>) = keys.chunks(2).partition(|pair| pair[0].contains('-'));
                let id = RequestId(next);
                next += 1;
                let targets = keys.iter().chain(&ranges).map(|pair| pair[0].to_string()).collect();
                names.insert(id, (name.to_string(), targets));
                let keys = keys.iter().map(|pair| (key(pair[0]), mode(pair[1]))).collect();
                let ranges = ranges.iter().map(|pair| {
                    let (start, end) = pair[0].split_once('-').expect("a range has two ends");
                    (KeyRange { start: key(start), end: key(end) }, mode(pair[1]))
                });
                let events = table.acquire(id, txn(name), keys, ranges.collect(), wait);
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
                    // Ranges have no flag: they are granted.
                    let flags = granted.into_iter().chain(std::iter::repeat(true));
                    let got: Vec<&str> =
                        keys.iter().zip(flags).filter(|(_, granted)| *granted).map(|(key, _)| key.as_str()).collect();
                    format!("{name} granted {}", got.join(" "))
                }
                LockOutcome::NotAvailable => format!("{name} not available"),
                LockOutcome::Timeout => format!("{name} timeout"),
                LockOutcome::Deadlock => format!("{name} deadlock"),
                LockOutcome::Full => format!("{name} full"),
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

/// Numbers of keys: one, or a range of them.
type Target = (u8, u8, bool);

#[derive(Debug, Clone)]
enum Step {
    Lock { txn: u8, keys: Vec<(u8, bool)>, ranges: Vec<Target>, wait: u8 },
    Release(u8),
    Free { txn: u8, key: u8 },
    Timeout(u8),
}

/// Transactions below this lock keys only, and give back single ones; ranges and giving back do not go together.
const TXNS_WITHOUT_RANGES: u8 = 2;

fn step() -> impl Strategy<Value = Step> {
    let keys = proptest::collection::vec((0..5u8, any::<bool>()), 0..4);
    let ranges = proptest::collection::vec((0..5u8, 1..4u8, any::<bool>()), 0..2);
    prop_oneof![
        6 => (0..6u8, keys, ranges, 0..6u8).prop_map(|(txn, keys, ranges, wait)| {
            let ranges = if txn < TXNS_WITHOUT_RANGES || wait == 1 { Vec::new() } else { ranges };
            let ranges = ranges.into_iter().map(|(start, length, exclusive)| (start, start + length, exclusive)).collect();
            Step::Lock { txn, keys, ranges, wait }
        }),
        2 => (0..6u8).prop_map(Step::Release),
        1 => (0..TXNS_WITHOUT_RANGES, 0..5u8).prop_map(|(txn, key)| Step::Free { txn, key }),
        1 => any::<u8>().prop_map(Step::Timeout),
    ]
}

fn numbered(number: u8) -> Bytes {
    Bytes::copy_from_slice(&[0, 0, 0, 7, 0, 0, 0, 0, number])
}

#[test]
fn a_transaction_gets_half_of_the_table_and_all_together_the_whole() {
    let mut table = LockTable::new(10);
    let lock = |table: &mut LockTable, txn: u128, names: &[&str]| {
        let keys = names.iter().map(|name| (key(name), LockMode::Exclusive)).collect();
        let events = table.acquire(RequestId(txn as u64), TxnId(txn), keys, Vec::new(), LockWait::NoWait);
        match &events[..] {
            [LockEvent { outcome: LockOutcome::Granted(_), .. }] => true,
            [LockEvent { outcome: LockOutcome::Full, .. }] => false,
            other => panic!("{other:?}"),
        }
    };
    assert!(lock(&mut table, 1, &["a", "b", "c", "d", "e"]));
    assert!(!lock(&mut table, 1, &["f"]), "it has its half");
    let range = KeyRange { start: key("a"), end: key("f") };
    let events =
        table.acquire(RequestId(9), TxnId(1), Vec::new(), vec![(range, LockMode::Exclusive)], LockWait::NoWait);
    assert!(matches!(events[..], [LockEvent { outcome: LockOutcome::Granted(_), .. }]), "{events:?}");
    table.release(TxnId(1));
    assert!(lock(&mut table, 1, &["a", "b", "c", "d", "e"]));
    assert!(lock(&mut table, 2, &["f", "g", "h"]));
    assert!(lock(&mut table, 3, &["i", "j"]));
    assert!(!lock(&mut table, 3, &["k"]), "there is no room");
    table.release(TxnId(1));
    assert_eq!(table.held_count(TxnId(3)), 2);
}

proptest! {
    /// Whatever happens: holders exclude each other, counts are right, nobody waits in a circle or for nobody, and once
    /// everybody has released, nothing is left.
    #[test]
    fn grants_exclude_each_other_and_nothing_is_left(steps in proptest::collection::vec(step(), 1..80)) {
        let mut table = LockTable::new(1000);
        // The model: what each transaction was told it holds, keys as ranges of one.
        let mut held: HashMap<(u8, u8, u8), bool> = HashMap::new();
        let mut requests: HashMap<RequestId, (u8, Vec<Target>, usize)> = HashMap::new();
        for (number, step) in steps.into_iter().enumerate() {
            let mut released = None;
            let events = match step {
                Step::Lock { txn, keys, ranges, wait } => {
                    let id = RequestId(number as u64);
                    let wait = match wait { 0 => LockWait::NoWait, 1 => LockWait::SkipLocked, _ => LockWait::Timeout(Duration::ZERO) };
                    let mode = |exclusive| if exclusive { LockMode::Exclusive } else { LockMode::Shared };
                    let mut targets: Vec<Target> = keys.iter().map(|(key, exclusive)| (*key, key + 1, *exclusive)).collect();
                    targets.extend(&ranges);
                    requests.insert(id, (txn, targets, keys.len()));
                    let keys = keys.iter().map(|(key, exclusive)| (numbered(*key), mode(*exclusive))).collect();
                    let ranges = ranges.iter().map(|(start, end, exclusive)| {
                        (KeyRange { start: numbered(*start), end: numbered(*end) }, mode(*exclusive))
                    });
                    table.acquire(id, TxnId(txn.into()), keys, ranges.collect(), wait)
                }
                Step::Release(txn) => {
                    released = Some((txn, 0, u8::MAX));
                    table.release(TxnId(txn.into()))
                }
                Step::Free { txn, key } => {
                    // Only while it waits for nothing: what a waiting request got is not told yet.
                    if requests.values().any(|(waiting, ..)| *waiting == txn) { continue }
                    released = Some((txn, key, key + 1));
                    table.release_keys(TxnId(txn.into()), &[numbered(key)])
                }
                Step::Timeout(which) => {
                    let mut ids: Vec<_> = requests.keys().copied().collect();
                    ids.sort();
                    if ids.is_empty() { continue }
                    table.timeout(ids[usize::from(which) % ids.len()])
                }
            };
            if let Some((txn, start, end)) = released {
                held.retain(|(holder, from, to), _| *holder != txn || *from < start || *to > end);
            }
            for event in &events {
                let (txn, targets, keys) = requests.remove(&event.request).expect("a request ends once");
                match &event.outcome {
                    LockOutcome::Granted(granted) => {
                        prop_assert_eq!(granted.len(), keys);
                        let flags = granted.iter().copied().chain(std::iter::repeat(true));
                        for ((start, end, exclusive), _) in targets.iter().zip(flags).filter(|(_, granted)| *granted) {
                            *held.entry((txn, *start, *end)).or_default() |= *exclusive;
                        }
                    }
                    // A victim loses everything, before others get it.
                    LockOutcome::Deadlock => held.retain(|(holder, ..), _| *holder != txn),
                    _ => {}
                }
            }
            for ((txn, start, end), exclusive) in &held {
                for ((other, other_start, other_end), other_exclusive) in &held {
                    let apart = end <= other_start || other_end <= start;
                    prop_assert!(
                        apart || txn == other || (!exclusive && !other_exclusive),
                        "t{} holds {}-{}, t{} holds {}-{}", txn, start, end, other, other_start, other_end
                    );
                }
            }
            prop_assert_eq!(table.waiting(), requests.len());
            // Somebody who does not wait holds what is waited for; or else nobody could ever go on.
            if table.waiting() > 0 {
                let waiting: Vec<u8> = requests.values().map(|(txn, ..)| *txn).collect();
                prop_assert!((0..6u8).any(|txn| !waiting.contains(&txn)), "everybody waits");
            }
            for line in table.report() {
                // A second request of one transaction may wait for the first.
                let requests = requests.values().filter(|(txn, ..)| TxnId((*txn).into()) == line.txn).count();
                let waits = line.waits_for.is_none_or(|others| !others.is_empty());
                prop_assert!(waits || requests > 1, "t{} waits for nobody", line.txn.0);
            }
        }
        for txn in 0..6u8 {
            table.release(TxnId(txn.into()));
        }
        prop_assert_eq!((table.held(), table.waiting()), (0, 0));
        prop_assert!(table.is_empty());
    }
}
