//! What an item of the stream means for a tablet that has applied the log up to some LSN. No I/O, no state.

use common::branch_points::BranchPointsError;
use common::bulk::BulkError;
use common::cluster_map::ClusterMapError;
use common::id::{Lsn, TabletId};
use common::service::wal::{Batch, StreamItem, Transaction};

#[derive(Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// Apply these transactions; then everything up to `up_to` is applied.
    Apply { transactions: &'a [Transaction], time_us: u64, up_to: Lsn },
    /// Nothing is missed by taking everything up to here as applied.
    Skip { up_to: Lsn },
    /// Already applied.
    Nothing,
}

/// The stream does not continue where it should: taking it would lose transactions.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    #[error("the stream jumps from lsn {applied} to {first}")]
    Gap { applied: Lsn, first: Lsn },
    #[error("transactions of the batch at lsn {first} are out of order")]
    Disorder { first: Lsn },
    #[error(
        "lsn {lsn} has a key that is not in tablet {tablet} by the map here: this log and this store do not belong together"
    )]
    OtherMap { lsn: Lsn, tablet: TabletId },
    #[error("the map of tablets at lsn {lsn}: {error}")]
    BadMap { lsn: Lsn, error: ClusterMapError },
    #[error("the map of tablets at lsn {lsn} is not one split or merge away from the one before it")]
    NoStep { lsn: Lsn },
    #[error("the branch points at lsn {lsn}: {error}")]
    BadPoints { lsn: Lsn, error: BranchPointsError },
    #[error("the bulk record at lsn {lsn}: {error}")]
    BadBulk { lsn: Lsn, error: BulkError },
    #[error("the bulk layer of lsn {lsn} cannot be opened: {error}")]
    NoLayer { lsn: Lsn, error: String },
    /// The owner's manifests will have them in layers; a standby goes over to those.
    #[error("memtables of this standby have keys of the bulk layer of lsn {lsn}")]
    Hidden { lsn: Lsn },
    /// Compaction will see to it; then the stream can go on.
    #[error("tablets that merge at lsn {lsn} still share layers with others")]
    NotClean { lsn: Lsn },
}

pub fn step(applied: Lsn, item: &StreamItem) -> Result<Step<'_>, StreamError> {
    match item {
        StreamItem::Heartbeat { up_to } if *up_to > applied => Ok(Step::Skip { up_to: *up_to }),
        StreamItem::Heartbeat { .. } => Ok(Step::Nothing),
        StreamItem::Batch(batch) => step_batch(applied, batch),
    }
}

fn step_batch(applied: Lsn, batch: &Batch) -> Result<Step<'_>, StreamError> {
    let disorder = StreamError::Disorder { first: batch.first_lsn };
    let lsns = || batch.transactions.iter().map(|transaction| transaction.lsn);
    if !lsns().is_sorted_by(|a, b| a < b) || lsns().any(|lsn| lsn < batch.first_lsn || lsn > batch.last_lsn) {
        return Err(disorder);
    }
    if batch.last_lsn <= applied {
        return Ok(Step::Nothing);
    }
    if batch.first_lsn > applied.next() {
        return Err(StreamError::Gap { applied, first: batch.first_lsn });
    }
    // A batch may begin with what was applied before a reconnection.
    let known = batch.transactions.partition_point(|transaction| transaction.lsn <= applied);
    Ok(Step::Apply { transactions: &batch.transactions[known..], time_us: batch.time_us, up_to: batch.last_lsn })
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::id::CommitId;
    use std::sync::Arc;

    fn batch(first: u64, last: u64, lsns: &[u64]) -> StreamItem {
        let transaction = |lsn: &u64| Transaction {
            lsn: Lsn(*lsn),
            commit_id: CommitId(0),
            mutations: Vec::new(),
            counters: Vec::new(),
        };
        StreamItem::Batch(Arc::new(Batch {
            first_lsn: Lsn(first),
            last_lsn: Lsn(last),
            time_us: 1,
            transactions: lsns.iter().map(transaction).collect(),
        }))
    }

    #[test]
    fn batches_continue_overlap_or_are_refused() {
        // (applied, item) -> what is applied, and up to where
        let cases = [
            (4, batch(5, 6, &[5, 6]), Ok((vec![5, 6], 6))),
            (5, batch(5, 6, &[5, 6]), Ok((vec![6], 6))),
            (6, batch(5, 6, &[5, 6]), Ok((vec![], 0))),
            (3, batch(5, 6, &[5, 6]), Err(StreamError::Gap { applied: Lsn(3), first: Lsn(5) })),
            (4, batch(5, 9, &[6, 8]), Ok((vec![6, 8], 9))),
            (4, batch(5, 9, &[8, 6]), Err(StreamError::Disorder { first: Lsn(5) })),
            (4, batch(5, 6, &[7]), Err(StreamError::Disorder { first: Lsn(5) })),
            (4, StreamItem::Heartbeat { up_to: Lsn(9) }, Ok((vec![], 9))),
            (4, StreamItem::Heartbeat { up_to: Lsn(3) }, Ok((vec![], 0))),
        ];
        for (applied, item, expected) in cases {
            let outcome = step(Lsn(applied), &item).map(|step| match step {
                Step::Apply { transactions, up_to, .. } => {
                    (transactions.iter().map(|transaction| transaction.lsn.0).collect(), up_to.0)
                }
                Step::Skip { up_to } => (vec![], up_to.0),
                Step::Nothing => (vec![], 0),
            });
            assert_eq!(outcome, expected, "applied {applied}, {item:?}");
        }
    }
}
