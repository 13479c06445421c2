//! Deadlock detection: a cycle in the waits-for graph through one transaction.

use common::id::TxnId;
use std::collections::HashSet;

/// A cycle that contains `start`, if there is one. `blockers` gives the transactions that one waits for. Depth first,
/// with its own stack: a queue of a hundred thousand sessions must not overflow the thread's.
pub fn find_cycle(start: TxnId, mut blockers: impl FnMut(TxnId) -> Vec<TxnId>) -> Option<Vec<TxnId>> {
    let mut seen = HashSet::from([start]);
    let mut path = vec![(start, blockers(start).into_iter())];
    while let Some((_, next)) = path.last_mut() {
        match next.next() {
            Some(txn) if txn == start => return Some(path.iter().map(|(txn, _)| *txn).collect()),
            Some(txn) => {
                if seen.insert(txn) {
                    path.push((txn, blockers(txn).into_iter()));
                }
            }
            None => {
                path.pop();
            }
        }
    }
    None
}
