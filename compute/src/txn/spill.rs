//! Rows that transactions hold until COMMIT: in memory while all of them together hold little, in files beyond that.
//!
//! ```text
//! write ─▶ buffer ─(all buffers together are over the limit)─▶ relieve: new rows ─▶ the transaction's file
//! read  ◀─ buffer ◀──────────────────────────────────────────────── load ◀──────────────┘
//! ```
//!
//! Keys stay in memory: the lock table has each of them too, and bounds their number. A file has no name and goes with its
//! transaction; it is appended to only, so what a rollback takes back leaves a hole until then.

use crate::txn::{Remote, Transaction};
use bytes::Bytes;
use common::env::threads;
use expr::{ErrorCode, SqlError};
use prometheus::core::Collector;
use prometheus::{IntCounter, IntGauge};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

/// A transaction that holds less is left alone: its rows are not worth a file.
const SPILL_BYTES_MIN: usize = 1 << 20;
/// What one write to a file takes.
const CHUNK_BYTES: usize = 1 << 20;

const ERROR_ON_READ: ErrorCode = ErrorCode(1024);
const ERROR_ON_WRITE: ErrorCode = ErrorCode(1026);

/// What all transactions of a compute hold in memory for their commits.
#[derive(Debug)]
pub struct WriteMemory {
    limit_bytes: usize,
    /// Where files are made.
    directory: PathBuf,
    used_bytes: IntGauge,
    spilled_bytes: IntCounter,
}

impl WriteMemory {
    pub fn new(limit_bytes: usize, directory: PathBuf) -> WriteMemory {
        let used = "Bytes that transactions hold in memory for their commits, about.";
        let used = IntGauge::new("drumlin_transaction_memory_bytes", used);
        let spilled = "Bytes of rows that transactions have put into files, because all together held too much.";
        let spilled = IntCounter::new("drumlin_transaction_spilled_bytes_total", spilled);
        WriteMemory {
            limit_bytes,
            directory,
            used_bytes: used.expect("a metric with a valid name"),
            spilled_bytes: spilled.expect("a metric with a valid name"),
        }
    }

    /// For `/metrics`.
    pub fn metrics(&self) -> [Box<dyn Collector>; 2] {
        [Box::new(self.used_bytes.clone()), Box::new(self.spilled_bytes.clone())]
    }

    pub(super) fn is_over(&self) -> bool {
        usize::try_from(self.used_bytes.get()).unwrap_or(0) > self.limit_bytes
    }
}

/// One transaction's part of it.
#[derive(Debug)]
pub struct Share {
    memory: Arc<WriteMemory>,
    bytes: usize,
}

impl Share {
    pub fn of(memory: &Arc<WriteMemory>) -> Share {
        Share { memory: memory.clone(), bytes: 0 }
    }

    pub(super) fn set(&mut self, bytes: usize) {
        self.memory.used_bytes.add(bytes as i64 - self.bytes as i64);
        self.bytes = bytes;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// A row that a transaction has written. Cheap to clone.
#[derive(Debug, Clone)]
pub enum HeldRow {
    Memory(Bytes),
    File { file: Arc<SpillFile>, offset: u64, bytes: usize },
}

impl HeldRow {
    pub fn byte_len(&self) -> usize {
        match self {
            HeldRow::Memory(row) => row.len(),
            HeldRow::File { bytes, .. } => *bytes,
        }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        match self {
            HeldRow::Memory(row) => row.len(),
            HeldRow::File { .. } => 0,
        }
    }

    /// The row. May read a file: for one row, or on a thread that may block. Error 1024.
    pub fn load(&self) -> Result<Bytes, SqlError> {
        match self {
            HeldRow::Memory(row) => Ok(row.clone()),
            HeldRow::File { file, offset, bytes } => {
                let mut row = vec![0; *bytes];
                file.file.read_exact_at(&mut row, *offset).map_err(|error| {
                    SqlError::new(ERROR_ON_READ, format!("Error reading file 'transaction' ({error})"))
                })?;
                Ok(row.into())
            }
        }
    }
}

/// The rows, each in its place.
pub async fn load_all(rows: Vec<Option<HeldRow>>) -> Result<Vec<Option<Bytes>>, SqlError> {
    let load = |rows: Vec<Option<HeldRow>>| {
        rows.into_iter().map(|row| row.map(|row| row.load()).transpose()).collect::<Result<Vec<_>, SqlError>>()
    };
    if !rows.iter().flatten().any(|row| matches!(row, HeldRow::File { .. })) {
        return load(rows);
    }
    threads::blocking(move || load(rows))
        .await
        .map_err(|error| SqlError::new(ERROR_ON_READ, format!("Error reading file 'transaction' ({error})")))?
}

#[derive(Debug)]
pub struct SpillFile {
    file: File,
}

impl SpillFile {
    fn create(memory: &WriteMemory) -> io::Result<SpillFile> {
        std::fs::create_dir_all(&memory.directory)?;
        Ok(SpillFile { file: tempfile::tempfile_in(&memory.directory)? })
    }

    /// Writes rows one after the other. Gives where each begins, and where the last one ends.
    fn append(&self, rows: &[Bytes], mut end: u64) -> io::Result<(Vec<u64>, u64)> {
        let mut offsets = Vec::with_capacity(rows.len());
        let mut chunk = Vec::with_capacity(CHUNK_BYTES);
        for row in rows {
            offsets.push(end + chunk.len() as u64);
            chunk.extend_from_slice(row);
            if chunk.len() >= CHUNK_BYTES {
                self.file.write_all_at(&chunk, end)?;
                end += chunk.len() as u64;
                chunk.clear();
            }
        }
        self.file.write_all_at(&chunk, end)?;
        Ok((offsets, end + chunk.len() as u64))
    }
}

/// Called after every few rows that a statement writes: what is too much in memory goes to the transaction's file.
/// Error 1026 if it cannot be written; the statement fails.
pub async fn relieve(transaction: &mut Transaction, remote: &Remote) -> Result<(), SqlError> {
    let memory = &remote.write_memory;
    let held = transaction.memory_bytes();
    transaction.share(memory).set(held);
    if !memory.is_over() || transaction.row_bytes_in_memory() < SPILL_BYTES_MIN {
        return Ok(());
    }
    let failed = |error: &dyn std::fmt::Display| {
        let text = format!("Error writing file in '{}' ({error})", memory.directory.display());
        SqlError::new(ERROR_ON_WRITE, text)
    };
    let (file, end) = match transaction.spill_file() {
        Some(there) => there,
        None => (Arc::new(SpillFile::create(memory).map_err(|error| failed(&error))?), 0),
    };
    let places = transaction.rows_in_memory();
    let rows: Vec<Bytes> = places.iter().map(|(_, row)| row.clone()).collect();
    let (to, written) = (file.clone(), threads::blocking(move || file.append(&rows, end)));
    let (offsets, new_end) = written.await.map_err(|error| failed(&error))?.map_err(|error| failed(&error))?;
    let moved = places
        .into_iter()
        .zip(offsets)
        .map(|((place, row), offset)| (place, HeldRow::File { file: to.clone(), offset, bytes: row.len() }));
    transaction.rows_moved(moved, (to.clone(), new_end));
    memory.spilled_bytes.inc_by(new_end - end);
    let held = transaction.memory_bytes();
    transaction.share(memory).set(held);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::plan::Isolation;
    use crate::testing::FakeCluster;
    use crate::txn::{ViewScan, commit};
    use common::id::{Lsn, TxnId};
    use common::key::{Key, KeyRange};
    use common::service::page::{GetRequest, ScanBatch};
    use futures::TryStreamExt;

    fn key(number: u32) -> Key {
        let mut key = vec![0, 0, 3, 0xe9];
        key.extend(number.to_be_bytes());
        key.into()
    }

    fn row(number: u32, seed: u8) -> Bytes {
        vec![seed; 30_000 + number as usize].into()
    }

    async fn shown(transaction: &Transaction, remote: &Remote) -> Vec<(usize, u8)> {
        let view = transaction.view(&remote.pages, Lsn::ZERO);
        let batches: Vec<ScanBatch> = view.scan(ViewScan::rows(vec![KeyRange::all()])).try_collect().await.unwrap();
        let rows = batches.into_iter().flat_map(|batch| match batch {
            ScanBatch::Rows(rows) => rows,
            other => panic!("{other:?}"),
        });
        let shown: Vec<(usize, u8)> = rows.map(|row| (row.row.len() - 30_000, row.row[0])).collect();
        let keys = (0..200).map(key).collect();
        let got = view.get(keys).await.unwrap().into_iter().flatten();
        assert_eq!(got.map(|row| (row.row.len() - 30_000, row.row[0])).collect::<Vec<_>>(), shown);
        shown
    }

    #[tokio::test]
    async fn rows_in_files_are_read_taken_back_and_committed_as_those_in_memory() {
        let directory = tempfile::tempdir().unwrap();
        let cluster = FakeCluster::new();
        let write_memory = Arc::new(WriteMemory::new(1 << 20, directory.path().join("spill")));
        let remote = Remote { write_memory: write_memory.clone(), ..cluster.remote() };
        let mut transaction = Transaction::new(TxnId(1), Isolation::RepeatableRead, false, true);
        let write = |transaction: &mut Transaction, numbers: std::ops::Range<u32>, seed: u8| {
            for number in numbers {
                let row = (seed > 0).then(|| row(number, seed));
                transaction.write(key(number), row, None).unwrap();
            }
        };
        let expected = |ranges: &[(std::ops::Range<usize>, u8)]| -> Vec<(usize, u8)> {
            ranges.iter().flat_map(|(numbers, seed)| numbers.clone().map(|number| (number, *seed))).collect()
        };
        write(&mut transaction, 0..30, 1);
        relieve(&mut transaction, &remote).await.unwrap();
        assert_eq!(write_memory.spilled_bytes.get(), 0, "little is left alone");
        write(&mut transaction, 30..100, 1);
        relieve(&mut transaction, &remote).await.unwrap();
        assert_eq!(transaction.row_bytes_in_memory(), 0);
        assert!(write_memory.spilled_bytes.get() > 3_000_000 && write_memory.used_bytes.get() < 100_000);
        transaction.savepoint("s");
        // Some over rows in the file, some over rows that are not there yet, some gone.
        write(&mut transaction, 50..150, 2);
        write(&mut transaction, 60..140, 3);
        write(&mut transaction, 0..5, 0);
        relieve(&mut transaction, &remote).await.unwrap();
        write(&mut transaction, 70..80, 4);
        let after = [(5..50, 1), (50..60, 2), (60..70, 3), (70..80, 4), (80..140, 3), (140..150, 2)];
        assert_eq!(shown(&transaction, &remote).await, expected(&after));
        transaction.rollback_to("s").unwrap();
        assert_eq!(shown(&transaction, &remote).await, expected(&[(0..100, 1)]));
        write(&mut transaction, 90..160, 5);
        relieve(&mut transaction, &remote).await.unwrap();
        let last = expected(&[(0..90, 1), (90..160, 5)]);
        assert_eq!(shown(&transaction, &remote).await, last);
        // No file has a name.
        assert_eq!(std::fs::read_dir(directory.path().join("spill")).unwrap().count(), 0);
        let lsn = commit(transaction, &remote).await.unwrap().unwrap();
        let request = GetRequest { lsn, keys: (0..200).map(key).collect() };
        let rows = remote.pages.get(request).await.unwrap().into_iter().flatten();
        assert_eq!(rows.map(|row| (row.row.len() - 30_000, row.row[0])).collect::<Vec<_>>(), last);
        assert_eq!(write_memory.used_bytes.get(), 0);
    }

    #[tokio::test]
    async fn a_directory_that_cannot_be_written_is_an_error_of_the_statement() {
        let cluster = FakeCluster::new();
        let write_memory = Arc::new(WriteMemory::new(0, "/dev/null/spill".into()));
        let remote = Remote { write_memory, ..cluster.remote() };
        let mut transaction = Transaction::new(TxnId(1), Isolation::RepeatableRead, false, true);
        transaction.write(key(1), Some(vec![1; 2 << 20].into()), None).unwrap();
        let error = relieve(&mut transaction, &remote).await.unwrap_err();
        assert_eq!(error.code, ERROR_ON_WRITE);
        assert!(error.to_string().contains("/dev/null/spill"), "{error}");
        assert_eq!(shown_length(&transaction), 2 << 20);
    }

    fn shown_length(transaction: &Transaction) -> usize {
        transaction.written(&key(1)).unwrap().as_ref().unwrap().load().unwrap().len()
    }
}
