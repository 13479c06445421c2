//! Where this compute's open transactions read. The log is told now and then, so that page servers keep what the oldest of
//! them sees.

use crate::txn::Remote;
use common::id::Lsn;
use common::service::wal::{SNAPSHOT_REPORT_EVERY, SnapshotReport};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Debug, Default)]
pub struct OpenSnapshots {
    /// How many are open at an LSN.
    counts: Mutex<BTreeMap<Lsn, usize>>,
}

/// One that is open for as long as this lives.
#[derive(Debug)]
pub struct OpenSnapshot {
    lsn: Lsn,
    among: Arc<OpenSnapshots>,
}

impl OpenSnapshots {
    pub fn open(self: &Arc<Self>, lsn: Lsn) -> OpenSnapshot {
        *self.counts.lock().entry(lsn).or_default() += 1;
        OpenSnapshot { lsn, among: self.clone() }
    }

    pub fn oldest(&self) -> Option<Lsn> {
        self.counts.lock().first_key_value().map(|(lsn, _)| *lsn)
    }
}

impl OpenSnapshot {
    pub fn lsn(&self) -> Lsn {
        self.lsn
    }
}

impl Drop for OpenSnapshot {
    fn drop(&mut self) {
        let mut counts = self.among.counts.lock();
        if let Some(count) = counts.get_mut(&self.lsn) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.lsn);
            }
        }
    }
}

/// Tells the log, again and again.
pub async fn report(remote: Remote) {
    let reporter = (remote.new_id)();
    loop {
        // One that is lost is made up for by the next.
        if let Err(error) =
            remote.wal.report_snapshots(SnapshotReport { reporter, oldest: remote.snapshots.oldest() }).await
        {
            tracing::debug!(%error, "the log did not take which snapshots are open");
        }
        tokio::time::sleep(SNAPSHOT_REPORT_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::plan::Isolation;
    use crate::testing::FakeCluster;
    use crate::txn::Transaction;
    use crate::txn::snapshot::{newest_view, plain_view};
    use common::id::TxnId;

    #[test]
    fn the_oldest_that_is_open_counts() {
        let open = Arc::new(OpenSnapshots::default());
        let [five, seven, five_again] = [5, 7, 5].map(|lsn| open.open(Lsn(lsn)));
        drop(five);
        assert_eq!(open.oldest(), Some(Lsn(5)));
        drop(five_again);
        assert_eq!(open.oldest(), Some(Lsn(7)));
        drop(seven);
        assert_eq!(open.oldest(), None);
    }

    #[tokio::test]
    async fn a_snapshot_is_open_from_the_first_read_to_the_end_of_its_transaction() {
        let remote = FakeCluster::new().remote();
        let transaction = |number, isolation| Transaction::new(TxnId(number), isolation, false, true);
        let mut repeatable = transaction(1, Isolation::RepeatableRead);
        assert_eq!(remote.snapshots.oldest(), None);
        plain_view(&mut repeatable, &remote, Some(Lsn(3))).await.unwrap();
        let mut committed = transaction(2, Isolation::ReadCommitted);
        for lsn in [4, 6] {
            plain_view(&mut committed, &remote, Some(Lsn(lsn))).await.unwrap();
            newest_view(&mut repeatable, &remote).await.unwrap();
            assert_eq!(remote.snapshots.oldest(), Some(Lsn(3)));
        }
        crate::txn::roll_back(repeatable, &remote).await;
        assert_eq!(remote.snapshots.oldest(), Some(Lsn(6)));
        assert!(crate::txn::commit(committed, &remote).await.is_ok());
        assert_eq!(remote.snapshots.oldest(), None);
    }
}
