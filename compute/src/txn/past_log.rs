//! Commits of large transactions: their writes go to the object store as layers, and the log only names these.
//!
//! ```text
//! COMMIT ─▶ buffer is large? ─▶ bulk_write, a table at a time ─▶ bulk_finish ─▶ flush ─▶ commit that names the layers
//! ```
//!
//! An entry of the log of so many bytes would hold up everybody's commits, and memtables would have to take it at once. The
//! sequencer does not see the keys: where they are locked, the commit relies on the locks, and a leader that did not
//! grant them refuses it (error 1213).

use crate::txn::bulk::{self, CHUNK_BYTES};
use crate::txn::commit::FIRST_USER_TABLE;
use crate::txn::service_error::{page_error, with_backoff};
use crate::txn::spill::HeldRow;
use crate::txn::{Remote, Transaction};
use common::bulk::BulkLayer;
use common::id::TableId;
use common::key::{Key, KeyRange, table_and_index};
use common::service::page::{BulkFinished, PageError};
use expr::SqlError;
use futures::{StreamExt, TryStreamExt};

/// A page server that was started since does not know the layers; then they are written again.
const ROUNDS_MAX: u32 = 3;
/// Pieces under way.
const WRITES_MAX: usize = 2;

type Row = (Key, Option<HeldRow>);

/// Whether a transaction is to be committed this way.
pub fn is_large(transaction: &Transaction, remote: &Remote) -> bool {
    // What has left the buffer already was most of it, and its layers might have keys between those of the rest.
    transaction.buffered_bytes() >= remote.bulk_bytes && transaction.bulk().is_empty()
}

/// Writes what is in the buffer to the store. Definitions stay: they are few, and the log's subscribers look for them.
pub async fn store(transaction: &mut Transaction, remote: &Remote) -> Result<(), SqlError> {
    let rows = transaction.take_writes(&KeyRange::table(FIRST_USER_TABLE).start);
    let mut round = 1;
    let layers = loop {
        let pieces = pieces(&rows).map(|piece| bulk::write(piece.to_vec(), remote));
        let pieces: Vec<_> = pieces.collect();
        let written: Vec<Vec<BulkLayer>> = futures::stream::iter(pieces).buffered(WRITES_MAX).try_collect().await?;
        let written = written.concat();
        match with_backoff(|| remote.pages.bulk_finish(written.clone())).await {
            Ok(BulkFinished::Ready(layers)) => break layers,
            Ok(BulkFinished::Duplicate(_)) => {
                return Err(SqlError::internal("a transaction wrote a key twice; report it"));
            }
            Err(error @ PageError::BadRequest(_)) if round < ROUNDS_MAX => {
                tracing::info!(%error, round, "a large transaction is written again");
                round += 1;
            }
            Err(error) => return Err(page_error(error)),
        }
    };
    transaction.add_bulk(layers);
    // A layer cannot lie over keys of its range that are in memtables yet; whoever reads would wait for their flush.
    with_backoff(|| remote.pages.flush()).await.map_err(page_error)?;
    Ok(())
}

/// Rows of one table each, so that nobody else's keys come to lie between them, and not too many at a time.
fn pieces(rows: &[Row]) -> impl Iterator<Item = &[Row]> {
    let mut rest = rows;
    std::iter::from_fn(move || {
        let table = table_of(rest.first()?);
        let mut bytes = 0;
        let fits = |row: &&Row| {
            let size = row.0.len() + row.1.as_ref().map_or(0, HeldRow::byte_len);
            let fits = table_of(row) == table && (bytes == 0 || bytes + size < CHUNK_BYTES);
            bytes += size;
            fits
        };
        let (piece, after) = rest.split_at(rest.iter().take_while(fits).count());
        rest = after;
        Some(piece)
    })
}

fn table_of(row: &Row) -> Option<TableId> {
    table_and_index(&row.0).map(|(table, _)| table)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::plan::Isolation;
    use crate::testing::FakeCluster;
    use crate::txn::commit;
    use common::id::{Lsn, TxnId};
    use common::service::page::GetRequest;
    use common::service::wal::LockMode;

    fn key(table: u32, number: u32) -> Key {
        let mut key = KeyRange::table(TableId(table)).start.to_vec();
        key.extend(number.to_be_bytes());
        key.into()
    }

    #[test]
    fn pieces_are_of_one_table_and_bounded() {
        let row = |table, number, bytes| (key(table, number), Some(HeldRow::Memory(vec![7; bytes].into())));
        let half = CHUNK_BYTES / 2;
        let rows = [row(1000, 1, 10), row(1000, 2, 10), row(1001, 1, half), row(1001, 2, half), row(1001, 3, 3 * half)];
        let shape: Vec<Vec<usize>> =
            pieces(&rows).map(|piece| piece.iter().map(|row| row.1.as_ref().unwrap().byte_len()).collect()).collect();
        assert_eq!(shape, [vec![10, 10], vec![half], vec![half], vec![3 * half]]);
    }

    #[tokio::test]
    async fn a_large_commit_names_layers_and_relies_on_what_it_has_locked_or_read() {
        let cluster = FakeCluster::new();
        let remote = cluster.remote();
        let (locked, read) = (key(1000, 1), key(1000, 2));
        for lsn in 1..=2 {
            let mut first = Transaction::new(TxnId(lsn), Isolation::RepeatableRead, false, false);
            first.write(read.clone(), Some("old".into()), None).unwrap();
            first.write(key(1000, 3), Some("old".into()), None).unwrap();
            commit(first, &remote).await.unwrap();
        }
        let large = async |number, observed| {
            let mut large = Transaction::new(TxnId(number), Isolation::RepeatableRead, false, true);
            let locker = cluster.locker(&large);
            locker.lock(vec![(locked.clone(), LockMode::Exclusive)], None).await.unwrap();
            large.write(locked.clone(), Some(vec![1; 700].into()), None).unwrap();
            large.write(read.clone(), Some("new".into()), Some(Lsn(observed))).unwrap();
            large.write(key(1000, 3), None, None).unwrap();
            assert!(is_large(&large, &remote));
            (commit(large, &remote).await, cluster.last_batch())
        };
        // What was read before it changed is a conflict also where the sequencer does not see the write.
        assert!(large(8, 1).await.0.is_err());
        let (answer, batch) = large(9, 2).await;
        let lsn = answer.unwrap().unwrap();
        let written = &batch.transactions[0].mutations;
        assert!(written.iter().all(|(_, mutation)| BulkLayer::of(mutation).is_some()), "{written:?}");
        let request = GetRequest { lsn, keys: vec![locked, read, key(1000, 3)] };
        let rows = remote.pages.get(request).await.unwrap();
        let rows: Vec<Option<usize>> = rows.iter().map(|row| row.as_ref().map(|row| row.row.len())).collect();
        assert_eq!(rows, [Some(700), Some(3), None]);
    }
}
