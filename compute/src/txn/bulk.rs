//! Rows of a new table or a new index past the transaction's buffer: to the object store ahead of the commit.
//!
//! ```text
//! put ─▶ the transaction's buffer ─(so many bytes)─▶ writer: runs of rows ─▶ sorted, PageService::bulk_write
//!                                                    finish: the rest ─▶ PageService::bulk_finish ─▶ references in the commit
//! ```
//!
//! Only for keys that nobody else can see before the commit, and that the statement does not read again: the transaction
//! no longer sees what has left its buffer. What an error or a rollback takes back is never committed, and the page server
//! deletes it in time.
//!
//! Invariants
//! - While one part is sorted and written, the next one is gathered; never more than these two are held.
//! - A key that comes twice is refused, at the latest by `finish`.

use crate::txn::service_error::{page_error, with_backoff};
use crate::txn::spill::{HeldRow, Share, load_all};
use crate::txn::{Remote, Transaction};
use bytes::Bytes;
use common::bulk::BulkLayer;
use common::env::threads;
use common::key::{KEY_PREFIX_BYTES, Key, KeyRange};
use common::service::page::{BULK_BYTES_MAX, BulkFinished, BulkRow};
use expr::SqlError;
use std::mem;
use tokio::task::{JoinError, JoinSet};

/// Keys and rows of one call.
pub(super) const CHUNK_BYTES: usize = BULK_BYTES_MAX / 2;
/// What one row costs beside its bytes, about: it and its key are two handles.
const ROW_OVERHEAD_BYTES: usize = 2 * size_of::<Bytes>();
/// Where all transactions together hold too much, a part of this size is sent: smaller layers are not worth their merge.
const PART_BYTES_MIN: usize = 8 << 20;

/// A key that was written twice.
#[derive(Debug)]
pub struct Duplicate(pub Key);

/// Where the new rows of a statement go.
pub struct Outlet {
    /// What the statement writes; nobody else sees it.
    range: KeyRange,
    may_pass: bool,
    writer: Option<BulkWriter>,
}

impl Outlet {
    /// `may_pass`: past the buffer, once they are many.
    pub fn new(range: KeyRange, may_pass: bool) -> Outlet {
        Outlet { range, may_pass, writer: None }
    }

    /// From here on, rows may go past the buffer.
    pub fn let_pass(&mut self) {
        self.may_pass = true;
    }

    pub fn put(&mut self, key: Key, row: Bytes, transaction: &mut Transaction) -> Result<(), SqlError> {
        match &mut self.writer {
            Some(writer) => {
                writer.put(key, HeldRow::Memory(row));
                Ok(())
            }
            None => transaction.write(key, Some(row), None),
        }
    }

    /// After every few rows. The second kind of error is found at any time after the second of the two rows.
    pub async fn relieve(
        &mut self,
        transaction: &mut Transaction,
        remote: &Remote,
    ) -> Result<Result<(), Duplicate>, SqlError> {
        if self.writer.is_none() && self.may_pass && transaction.buffered_bytes() >= remote.bulk_bytes {
            let mut writer = BulkWriter::new(remote);
            for (key, row) in transaction.take_rows(&self.range) {
                writer.put(key, row);
            }
            self.writer = Some(writer);
        }
        match &mut self.writer {
            Some(writer) => writer.relieve(transaction).await,
            None => Ok(Ok(())),
        }
    }

    /// Once all rows are put: makes what went to the store ready for the commit.
    pub async fn finish(&mut self, transaction: &mut Transaction) -> Result<Result<(), Duplicate>, SqlError> {
        match self.writer.take() {
            Some(writer) => writer.finish(transaction).await,
            None => Ok(Ok(())),
        }
    }
}

type Part = Result<Result<Vec<BulkLayer>, Duplicate>, SqlError>;

/// Rows of one index.
type Run = Vec<(Key, HeldRow)>;

/// Gathers rows in any order and writes them as layers, a part at a time.
struct BulkWriter {
    remote: Remote,
    /// By themselves, because rows of a table often come in the order of its key.
    runs: Vec<Run>,
    bytes: usize,
    share: Share,
    /// The part before: at most one.
    sending: JoinSet<Part>,
}

impl BulkWriter {
    fn new(remote: &Remote) -> BulkWriter {
        let share = Share::of(&remote.write_memory);
        BulkWriter { remote: remote.clone(), runs: Vec::new(), bytes: 0, share, sending: JoinSet::new() }
    }

    fn put(&mut self, key: Key, row: HeldRow) {
        self.bytes += key.len() + row.memory_bytes() + ROW_OVERHEAD_BYTES;
        let index = key.get(..KEY_PREFIX_BYTES);
        match self
            .runs
            .iter_mut()
            .find(|run| run.first().is_some_and(|(first, _)| first.get(..KEY_PREFIX_BYTES) == index))
        {
            Some(run) => run.push((key, row)),
            None => self.runs.push(vec![(key, row)]),
        }
    }

    async fn relieve(&mut self, transaction: &mut Transaction) -> Result<Result<(), Duplicate>, SqlError> {
        let memory = &self.remote.write_memory;
        self.share.set(self.bytes);
        let is_full = self.bytes >= self.remote.bulk_bytes || memory.is_over() && self.bytes >= PART_BYTES_MIN;
        if is_full { self.send(transaction).await } else { Ok(Ok(())) }
    }

    async fn finish(mut self, transaction: &mut Transaction) -> Result<Result<(), Duplicate>, SqlError> {
        if let Err(duplicate) = self.send(transaction).await? {
            return Ok(Err(duplicate));
        }
        if let Err(duplicate) = self.sent(transaction).await? {
            return Ok(Err(duplicate));
        }
        let layers = transaction.bulk().to_vec();
        match with_backoff(|| self.remote.pages.bulk_finish(layers.clone())).await.map_err(page_error)? {
            BulkFinished::Ready(layers) => {
                transaction.set_bulk(layers);
                Ok(Ok(()))
            }
            BulkFinished::Duplicate(key) => Ok(Err(Duplicate(key))),
        }
    }

    /// Begins to write what was gathered, once the part before is written.
    async fn send(&mut self, transaction: &mut Transaction) -> Result<Result<(), Duplicate>, SqlError> {
        if let Err(duplicate) = self.sent(transaction).await? {
            return Ok(Err(duplicate));
        }
        let (runs, remote) = (mem::take(&mut self.runs), self.remote.clone());
        // Its part of the memory goes with it.
        let share = mem::replace(&mut self.share, Share::of(&self.remote.write_memory));
        self.bytes = 0;
        self.sending.spawn(async move {
            let written = write_part(runs, &remote).await;
            drop(share);
            written
        });
        Ok(Ok(()))
    }

    /// Waits for the part before.
    async fn sent(&mut self, transaction: &mut Transaction) -> Result<Result<(), Duplicate>, SqlError> {
        let Some(part) = self.sending.join_next().await else { return Ok(Ok(())) };
        Ok(part.map_err(|error| stopped(&error))??.map(|layers| transaction.add_bulk(layers)))
    }
}

fn stopped(error: &JoinError) -> SqlError {
    SqlError::internal(format!("Rows on their way to the store were given up ({error}); try again"))
}

async fn write_part(runs: Vec<Run>, remote: &Remote) -> Part {
    let sorted = threads::blocking(move || sorted(runs)).await.map_err(|error| stopped(&error))?;
    let runs = match sorted {
        Ok(runs) => runs,
        Err(duplicate) => return Ok(Err(duplicate)),
    };
    let mut layers = Vec::new();
    // Each index by itself: a layer with two of them would lie over all keys between, and be merged with those of other parts.
    for run in runs {
        let mut rows = run.into_iter().peekable();
        while rows.peek().is_some() {
            let (mut chunk, mut bytes) = (Vec::new(), 0);
            while let Some((key, row)) =
                rows.next_if(|(key, row)| bytes == 0 || bytes + key.len() + row.byte_len() < CHUNK_BYTES)
            {
                bytes += key.len() + row.byte_len();
                chunk.push((key, Some(row)));
            }
            layers.extend(write(chunk, remote).await?);
        }
    }
    Ok(Ok(layers))
}

/// Each run in the order of its keys, each of which is there once.
fn sorted(mut runs: Vec<Run>) -> Result<Vec<Run>, Duplicate> {
    for run in &mut runs {
        // A sort that sees what is sorted already.
        run.sort_by(|(one, _), (other, _)| one.cmp(other));
        if let Some(pair) = run.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(Duplicate(pair[0].0.clone()));
        }
    }
    Ok(runs)
}

/// Writes rows, all of which fit into one call.
pub(super) async fn write(chunk: Vec<(Key, Option<HeldRow>)>, remote: &Remote) -> Result<Vec<BulkLayer>, SqlError> {
    let (keys, rows): (Vec<_>, Vec<_>) = chunk.into_iter().unzip();
    let chunk: Vec<BulkRow> = keys.into_iter().zip(load_all(rows).await?).collect();
    with_backoff(|| remote.pages.bulk_write(chunk.clone())).await.map_err(page_error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::plan::Isolation;
    use crate::testing::FakeCluster;
    use crate::txn::commit;
    use common::id::{IndexId, TableId, TxnId};
    use common::key::table_and_index;
    use common::service::page::GetRequest;

    const TABLE: TableId = TableId(1000);

    fn key(index: u32, number: u32) -> Key {
        let mut key = KeyRange::index(TABLE, IndexId(index)).start.to_vec();
        key.extend(number.to_be_bytes());
        key.into()
    }

    /// Rows of two indexes, one in the order of its keys and one against it.
    async fn put(numbers: &[u32], remote: &Remote) -> (Transaction, Outlet, Result<(), Duplicate>) {
        let mut transaction = Transaction::new(TxnId(1), Isolation::RepeatableRead, false, false);
        let mut outlet = Outlet::new(KeyRange::table(TABLE), true);
        for number in numbers {
            for key in [key(1, *number), key(2, u32::MAX - number)] {
                outlet.put(key, vec![*number as u8; 100].into(), &mut transaction).unwrap();
            }
            if let Err(duplicate) = outlet.relieve(&mut transaction, remote).await.unwrap() {
                return (transaction, outlet, Err(duplicate));
            }
        }
        (transaction, outlet, Ok(()))
    }

    #[tokio::test]
    async fn parts_become_layers_of_one_index_each_that_the_commit_shows() {
        let cluster = FakeCluster::new();
        let remote = Remote { bulk_bytes: 4_000, ..cluster.remote() };
        let numbers: Vec<u32> = (0..100).collect();
        let (mut transaction, mut outlet, _) = put(&numbers, &remote).await;
        let layers = transaction.bulk().to_vec();
        assert!(layers.len() >= 4, "{layers:?}");
        for layer in &layers {
            assert_eq!(table_and_index(&layer.first), table_and_index(&layer.last));
        }
        outlet.finish(&mut transaction).await.unwrap().unwrap();
        assert_eq!(transaction.buffered_bytes(), 0);
        let lsn = commit(transaction, &remote).await.unwrap().unwrap();
        let keys = numbers.iter().flat_map(|number| [key(1, *number), key(2, u32::MAX - number)]).collect();
        let rows = remote.pages.get(GetRequest { lsn, keys }).await.unwrap();
        let rows: Vec<u32> = rows.into_iter().map(|row| u32::from(row.unwrap().row[0])).collect();
        assert_eq!(rows, numbers.iter().flat_map(|number| [*number, *number]).collect::<Vec<u32>>());
    }

    #[tokio::test]
    async fn a_key_that_comes_twice_is_refused_in_one_part_and_across_parts() {
        let remote = Remote { bulk_bytes: 4_000, ..FakeCluster::new().remote() };
        for again in [49, 2] {
            let numbers: Vec<u32> = (0..50).chain([again]).collect();
            let (mut transaction, mut outlet, relieved) = put(&numbers, &remote).await;
            let duplicate = match relieved {
                Ok(()) => outlet.finish(&mut transaction).await.unwrap(),
                found => found,
            };
            let key_found = duplicate.unwrap_err().0;
            assert!([key(1, again), key(2, u32::MAX - again)].contains(&key_found), "{again}: {key_found:?}");
        }
    }

    #[tokio::test]
    async fn few_rows_stay_in_the_buffer() {
        let remote = Remote { bulk_bytes: 1 << 20, ..FakeCluster::new().remote() };
        let (mut transaction, mut outlet, _) = put(&[1, 2, 3], &remote).await;
        outlet.finish(&mut transaction).await.unwrap().unwrap();
        assert!(transaction.bulk().is_empty() && transaction.written(&key(2, u32::MAX - 3)).is_some());
    }
}
