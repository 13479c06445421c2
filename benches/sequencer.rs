//! The core without I/O: check and assign commits, take and release locks.

use bytes::Bytes;
use common::id::{CommitId, Lsn, Term, TxnId};
use common::service::wal::{CommitRequest, LockMode, LockWait, Mutation, Write};
use criterion::{BatchSize, Bencher, Criterion, Throughput, criterion_group, criterion_main};
use std::time::Duration;
use wal::lock_table::{LockTable, RequestId};
use wal::sequencer::{ConflictWindow, Decision, History, Sequencer, SequencerLimits};

const TRANSACTIONS: u64 = 1000;

fn key(number: u64) -> Bytes {
    let mut key = vec![0, 0, 0, 7, 0, 0, 0, 0];
    key.extend_from_slice(&number.to_be_bytes());
    key.into()
}

fn transactions(first: u64, count: u64) -> Vec<CommitRequest> {
    let row = Some(Bytes::from(vec![1; 120]));
    (first..first + TRANSACTIONS)
        .map(|id| {
            let writes = (0..count).map(|at| Write {
                mutation: Mutation { key: key(id.wrapping_mul(0x9e37_79b9) * count + at), row: row.clone() },
                observed: Lsn(id - 1),
            });
            CommitRequest::of(CommitId(u128::from(id)), TxnId(u128::from(id)), writes.collect())
        })
        .collect()
}

/// As the driver does it: locks, the commit, and what becomes of the batch.
fn lock_and_commit(bencher: &mut Bencher<'_>, writes: u64, limits: SequencerLimits) {
    let window = ConflictWindow::new(1_000_000, Lsn::ZERO);
    let mut sequencer = Sequencer::new(Term(1), &History::new(256 << 10), window, limits);
    let mut locks = LockTable::new(1_000_000);
    let mut next = 1;
    bencher.iter_batched(
        || {
            next += TRANSACTIONS;
            transactions(next - TRANSACTIONS, writes)
        },
        |requests| {
            for request in &requests {
                let keys = request.writes.iter().map(|write| (write.mutation.key.clone(), LockMode::Exclusive));
                let id = RequestId(request.txn.0 as u64);
                locks.acquire(id, request.txn, keys.collect(), Vec::new(), LockWait::NoWait);
                assert!(matches!(sequencer.commit(request, None), Decision::Accepted(_)));
                locks.release(request.txn);
            }
            let batch = sequencer.take_batch(1).expect("commits were accepted");
            sequencer.applied(&batch);
            batch
        },
        BatchSize::LargeInput,
    );
}

fn sequencer(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("sequencer");
    group.measurement_time(Duration::from_secs(4));
    group.throughput(Throughput::Elements(TRANSACTIONS));

    let limits = SequencerLimits { batch_bytes_max: 4 << 20, transaction_bytes_max: 1 << 20, outcomes_max: 256 << 10 };
    for writes in [1, 4] {
        let name = format!("lock and commit, {writes} keys");
        group.bench_function(name, |bencher| lock_and_commit(bencher, writes, limits));
    }

    group.bench_function("hand a hot key through 1000 waiters", |bencher| {
        let hot = key(1);
        bencher.iter(|| {
            let mut locks = LockTable::new(1_000_000);
            let wait = LockWait::Timeout(Duration::from_secs(50));
            for txn in 0..TRANSACTIONS {
                locks.acquire(
                    RequestId(txn),
                    TxnId(txn.into()),
                    vec![(hot.clone(), LockMode::Exclusive)],
                    Vec::new(),
                    wait,
                );
            }
            for txn in 0..TRANSACTIONS {
                locks.release(TxnId(txn.into()));
            }
            locks.held()
        });
    });
    group.throughput(Throughput::Elements(1));
    group.bench_function("find a deadlock of 1000 transactions", |bencher| {
        bencher.iter_batched(
            chain,
            |mut locks| {
                // The last one wants what the first one has.
                let wanted = vec![(key(0), LockMode::Exclusive)];
                let wait = LockWait::Timeout(Duration::from_secs(50));
                let last = TRANSACTIONS - 1;
                let events = locks.acquire(RequestId(TRANSACTIONS), TxnId(last.into()), wanted, Vec::new(), wait);
                assert!(locks.take_deadlock().is_some(), "{events:?}");
                locks
            },
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

/// Each transaction has a key and waits for that of the next.
fn chain() -> LockTable {
    let mut locks = LockTable::new(1_000_000);
    let wait = LockWait::Timeout(Duration::from_secs(50));
    for txn in 0..TRANSACTIONS {
        let own = vec![(key(txn), LockMode::Exclusive)];
        locks.acquire(RequestId(2 * TRANSACTIONS + txn), TxnId(txn.into()), own, Vec::new(), wait);
    }
    for txn in 0..TRANSACTIONS - 1 {
        let next = vec![(key(txn + 1), LockMode::Exclusive)];
        locks.acquire(RequestId(txn), TxnId(txn.into()), next, Vec::new(), wait);
    }
    locks
}

criterion_group!(benches, sequencer);
criterion_main!(benches);
